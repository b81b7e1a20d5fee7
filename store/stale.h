/* stale: which blob files compaction moves values out of, so that they can be deleted. A pure
 * function of a version: whoever picks a job and whoever runs it come to the same answer.
 *
 * A file is *stale* if its garbage is `stale_percent` of what it holds, or half of that and it is
 * among the oldest `age_percent` of the files: old files have had their losses, what is left in
 * them stays long. A compaction that passes on a value of a stale file moves it, whatever the
 * compaction is for.
 *
 * A file is *sought* if garbage presses: if more than `garbage_percent` of what all files hold is
 * garbage. Then the files with the largest part of garbage are sought, as many as it takes to come
 * down to four fifths of that, and compactions are made for their sake alone
 * (compact_pick_blobs.c). Sought files are stale, too.
 *
 * Why it ends: moving leaves a file with more garbage than before, so it stays stale or sought
 * until it is gone; what is moved goes to a file without garbage, which becomes stale only when
 * entries are deleted or overwritten. So no value is moved twice unless somebody writes. */
#ifndef VARVE_STORE_STALE_H
#define VARVE_STORE_STALE_H

#include "store/version.h"

struct stale_options {
    uint32_t stale_percent;   /* 1 to 100; more: no file is stale by itself */
    uint32_t age_percent;     /* 0 to 100 */
    uint32_t garbage_percent; /* 0 to 100; more: no file is sought */
    uint64_t garbage_min;     /* less garbage in all does not press, whatever part it is */
    uint64_t live_max;        /* files with more than this that is in use are not sought, nor
                                 together more than this: what there is no room to move */
};

/* The sought files are not more than this at a time. */
enum { STALE_SOUGHT_MAX = 64 };

struct stale_file {
    uint64_t number;
    uint64_t live_bytes, garbage_bytes;
    bool sought;
};

struct stale {
    struct stale_file *files; /* ascending number */
    uint32_t count, sought_count;
    uint64_t sought_live_bytes, sought_garbage_bytes;
};

/* Into uninitialised memory; stale_release() ends it. O(blob files), but for the sought ones. Files
 * in which a value could not be read are left out. */
void stale_init(struct stale *s, const struct version *v, const struct stale_options *opt);
void stale_release(struct stale *s);
/* NULL when the file is not stale. Binary search. */
const struct stale_file *stale_find(const struct stale *s, uint64_t number);
/* Does garbage press? O(1). */
bool stale_presses(const struct version *v, const struct stale_options *opt);

#endif
