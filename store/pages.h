/* pages: large pieces of memory that are used again and again.
 *
 * Touching fresh memory is dear: a fault of a page of 4 KiB takes 1 us on bare metal and 7 to 20 us
 * in a virtual machine, more than all that is done with the page afterwards. malloc() takes what is
 * large fresh from the system each time. So memtables, cached blocks and buffers come from here:
 * from regions of 2 MiB that the system is asked to back by one huge page each, and that are kept.
 *
 * Pieces of up to 16 KiB are of one of 16 classes to each doubling, and share slabs of 128 KiB with
 * those of their class; larger ones are whole pages of 4 KiB, and what is above 2 MiB whole
 * regions. What is free and yet kept is bounded, by PAGES_KEPT_BYTES, and where all that may be in
 * use at a time has been announced, by what is left of that: beyond, the memory of what is freed
 * goes back.
 *
 * Thread-safe. */
#ifndef VARVE_STORE_PAGES_H
#define VARVE_STORE_PAGES_H

#include <stddef.h>
#include <stdint.h>

enum {
    PAGES_REGION_BYTES = 2 << 20,
    PAGES_KEPT_BYTES = 32 << 20, /* free and yet not given back, at most */
    PAGES_LEAST_BYTES = 8 << 20, /* so much is kept in any case */
    PAGES_ALIGN = 64,
};

/* `bytes` of memory (at least 1), not initialised, aligned to PAGES_ALIGN. As mem_alloc(), it does
 * not fail. Only pages_free() gives it back. */
void *pages_alloc(size_t bytes);
/* `bytes` as it was asked for. NULL is fine. */
void pages_free(void *p, size_t bytes);
/* What pages_alloc(bytes) really takes: ask for all of it, or count it against a budget. */
size_t pages_size(size_t bytes);

/* So much more (or less) is going to be in use at a time, at most. While somebody has announced
 * something, what is kept and what is in use shall not be more together, but for
 * PAGES_LEAST_BYTES: what is kept beyond goes back, also when less is expected than before. */
void pages_expect(int64_t bytes);

struct pages_stats {
    uint64_t used_bytes;     /* handed out, as pages_size() has it */
    uint64_t kept_bytes;     /* free, and not given back */
    uint64_t held_bytes;     /* of address space: what regions there are */
    uint64_t expected_bytes; /* sum of what was announced */
};
void pages_stats(struct pages_stats *out);
/* Gives back all that is free as whole regions. */
void pages_trim(void);

#endif
