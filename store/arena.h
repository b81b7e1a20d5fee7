/* arena: memory that is handed out piece by piece and given back all at once; for what a memtable
 * holds.
 *
 * Any number of threads may allocate. Threads are spread over slots that each have their own chunk,
 * so that two writers seldom touch the same cache line. */
#ifndef VARVE_STORE_ARENA_H
#define VARVE_STORE_ARENA_H

#include "store/bytes.h"

enum {
    ARENA_ALIGN = 8,
    ARENA_LINE = 64, /* of the processor's cache */
    ARENA_SLOTS = 8, /* a power of two */
};

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a);

/* `bytes` > 0; aligned to ARENA_ALIGN; not initialised; lives until arena_free(). */
void *arena_alloc(struct arena *a, size_t bytes);
/* The same, aligned to ARENA_LINE. */
void *arena_alloc_line(struct arena *a, size_t bytes);

/* What the arena takes from the system, unused ends of chunks included. */
size_t arena_bytes(const struct arena *a);

/* The calling thread's slot, below ARENA_SLOTS: for counters that should not be fought over too. */
unsigned arena_slot(void);

#endif
