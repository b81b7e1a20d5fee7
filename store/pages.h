/* pages: large pieces of memory that are used again and again.
 *
 * Touching fresh memory is dear: a fault of a page of 4 KiB takes 1 us on bare metal and 7 to 20 us
 * in a virtual machine, more than all that is done with the page afterwards. malloc() takes what is
 * large fresh from the system each time. So memtables, cached blocks and buffers come from here:
 * from regions of 2 MiB that the system is asked to back by one huge page each, and that are kept.
 *
 * A region is cut in pieces of one size class (16 classes to each doubling: 1/16 is lost at most).
 * What is free and yet kept is bounded by PAGES_KEPT_BYTES, and a region for each class in use:
 * beyond it a region that is free as a whole goes back, and so does the memory of a free piece in a
 * region that is not.
 *
 * Thread-safe. */
#ifndef VARVE_STORE_PAGES_H
#define VARVE_STORE_PAGES_H

#include <stddef.h>
#include <stdint.h>

enum {
    PAGES_REGION_BYTES = 2 << 20,
    PAGES_KEPT_BYTES = 32 << 20, /* free and yet not given back, at most */
    PAGES_ALIGN = 64,
};

/* `bytes` of memory (at least 1), not initialised, aligned to PAGES_ALIGN. As mem_alloc(), it does
 * not fail. Only pages_free() gives it back. */
void *pages_alloc(size_t bytes);
/* `bytes` as it was asked for. NULL is fine. */
void pages_free(void *p, size_t bytes);
/* What pages_alloc(bytes) really takes: ask for all of it, or count it against a budget. */
size_t pages_size(size_t bytes);

struct pages_stats {
    uint64_t used_bytes; /* handed out, in pieces of their class's size */
    uint64_t kept_bytes; /* free, and not given back */
    uint64_t held_bytes; /* of address space: what regions there are */
};
void pages_stats(struct pages_stats *out);
/* Gives back all that is free as whole regions. */
void pages_trim(void);

#endif
