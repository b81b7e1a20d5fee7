/* rangedel_parts: what the files of the range tombstone module share; nobody else includes it. The
 * door is rangedel.h. */
#ifndef VARVE_STORE_RANGEDEL_PARTS_H
#define VARVE_STORE_RANGEDEL_PARTS_H

#include "store/rangedel.h"

/* A fragmented list in the making: what it points to may yet move. Zero-initialised is empty. */
struct rangedel_parts {
    struct buf keys;  /* bytes of all starts and ends */
    struct buf spans; /* struct rangedel_span, in key order */
    struct buf seqs;  /* uint64_t: each span's numbers, one span after the other */
};

/* A fragment; places are in `keys`. */
struct rangedel_span {
    size_t start_at, start_len, end_at, end_len;
    uint32_t seq_count;
};

/* Makes the list, with one reference; takes over the memory and leaves `*p` empty. The spans are
 * ordered and disjoint, the numbers of each descend; the caller has seen to it. */
struct rangedel *rangedel_from_parts(struct rangedel_parts *p);
void rangedel_parts_release(struct rangedel_parts *p);

#endif
