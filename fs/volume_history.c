/* volume_history: the moments of history in memory; see volume.h.
 *
 * Invariant: points ascend by sequence number, each once. */
#include "fs/volume.h"

/* The first that is not below `seq`. */
static size_t place(const struct history *h, uint64_t seq)
{
    size_t lo = 0, hi = h->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (h->points[mid].seq < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void history_add(struct history *h, const struct history_point *p)
{
    size_t at = place(h, p->seq);
    if (at < h->count && h->points[at].seq == p->seq)
        return;
    if (h->count == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 64;
        h->points = mem_realloc(h->points, h->cap * sizeof *h->points);
    }
    memmove(h->points + at + 1, h->points + at, (h->count - at) * sizeof *h->points);
    h->points[at] = *p;
    h->count++;
}

bool history_has(const struct history *h, uint64_t seq)
{
    size_t at = place(h, seq);
    return at < h->count && h->points[at].seq == seq;
}

uint64_t history_seq(struct history *h, uint64_t number)
{
    if (number < FS_MOMENT_FIRST || number > FS_TREES_MAX)
        return 0;
    pthread_mutex_lock(&h->asking);
    uint64_t seq = h->moments[number - FS_MOMENT_FIRST].seq;
    pthread_mutex_unlock(&h->asking);
    return seq && history_has(h, seq) ? seq : 0;
}
