/* scan_forward: a scan's way up. The sources stand on their next entries, ordered by a heap. Each
 * step looks at the first of them (key, newest first) and decides: too new for this read, an older
 * version of a key that is settled, hidden by a tombstone, deleted, or found.
 *
 * Guarantees: what is not seen is stepped over one by one only in small numbers; then, and
 * wherever a tombstone of a newer source says so, it is passed by a seek. What a source's own
 * tombstone hides is passed over by a skip: what that source wrote after it lies in between.
 *
 * Invariants:
 *   1. Every source stands on its first entry that is not settled yet, or has none.
 *   2. `clear`: no source has a tombstone below read_seq over a key from the present one to
 *      clear_until. The scan only ascends, so only the upper end has to be known. */
#include "store/scan_priv.h"

#include <assert.h>

enum {
    PASS_STEPS = 8,         /* entries that are stepped over before it pays to seek */
    SKIP_DOUBLINGS_MAX = 10 /* how many neighbouring intervals one skip may join: 2 to this */
};

/* ---- the heap ---- */

static inline bool before(const struct source *a, const struct source *b)
{
    const struct entry *x = &a->it->e, *y = &b->it->e;
    int order = entry_cmp(x->key, x->seq, y->key, y->seq);
    return order ? order < 0 : a->age < b->age;
}

static void sift_down(struct scan *s, uint32_t i)
{
    struct source *moved = s->heap[i];
    for (;;) {
        uint32_t least = 2 * i + 1;
        if (least >= s->heap_count)
            break;
        if (least + 1 < s->heap_count && before(s->heap[least + 1], s->heap[least]))
            least++;
        if (!before(s->heap[least], moved))
            break;
        s->heap[i] = s->heap[least];
        i = least;
    }
    s->heap[i] = moved;
}

static void heap_build(struct scan *s)
{
    s->heap_count = 0;
    for (uint32_t i = 0; i < s->source_count; i++)
        if (s->sources[i].it->valid)
            s->heap[s->heap_count++] = &s->sources[i];
    for (uint32_t i = s->heap_count / 2; i-- > 0;)
        sift_down(s, i);
}

/* The source on top has moved with this status. */
static int heap_moved(struct scan *s, int status)
{
    assert(s->heap_count > 0 && (status != 0 || s->heap[0]->it->valid));
    if (status < 0)
        return status;
    if (status == 1)
        s->heap[0] = s->heap[--s->heap_count];
    if (s->heap_count > 1)
        sift_down(s, 0);
    return 0;
}

/* Moves the source on top beyond entries with its key down to (key, seq), of which it has one or
 * more: steps, and seeks if there turn out to be many. */
static int pass(struct scan *s, uint64_t seq)
{
    struct iter *it = s->heap[0]->it;
    assert(it->valid);
    s->stepped++;
    if (++s->passed <= PASS_STEPS)
        return heap_moved(s, iter_next(it));
    s->passed = 0;
    return heap_moved(s, iter_seek(it, it->e.key, seq));
}

/* ---- tombstones ---- */

/* The end of what `by` covers from where it was last asked: of that interval, and of some that
 * follow it seamlessly. The more often the scan has skipped without finding a key, the more: so a
 * chain of intervals is neither walked to its end for the sake of a key close by, nor skipped link
 * by link. `*oldest` becomes the lowest number of their tombstones: what is older is hidden by
 * each. */
static void covered_until(struct scan *s, struct source *by, struct buf *end, uint64_t *oldest)
{
    uint32_t doublings = s->skipped < SKIP_DOUBLINGS_MAX ? s->skipped : SKIP_DOUBLINGS_MAX;
    s->skipped++;
    *oldest = by->cover.seq;
    buf_set(end, by->cover.hi);
    for (uint32_t links = UINT32_C(1) << doublings; links > 1 && end->len > 0; links--) {
        if (s->upper.len > 0 && slice_cmp(buf_slice(end), buf_slice(&s->upper)) >= 0)
            break;
        /* An error is for who gets there: it comes back at the next question about that place. */
        if (source_cover(by, buf_slice(end), s->read_seq) < 0 || by->cover.seq == 0)
            break;
        *oldest = by->cover.seq < *oldest ? by->cover.seq : *oldest;
        buf_set(end, by->cover.hi);
    }
}

/* The entry on top lies under a tombstone of `by`, which is newer: moves all sources older than
 * that past the tombstone. */
static int skip_covered(struct scan *s, struct source *by)
{
    struct buf end = {0};
    uint64_t oldest;
    int status = 0;
    assert(by->age < s->heap[0]->age && by->cover.seq > s->heap[0]->it->e.seq);
    covered_until(s, by, &end, &oldest);
    for (uint32_t i = by->age + 1; i < s->source_count && status >= 0; i++) {
        struct iter *it = s->sources[i].it;
        if (!it->valid || (end.len && slice_cmp(it->e.key, buf_slice(&end)) >= 0))
            continue;
        if (end.len == 0)
            it->valid = false;
        else
            status = iter_seek(it, buf_slice(&end), s->read_seq - 1);
    }
    buf_release(&end);
    heap_build(s);
    return status < 0 ? status : 0;
}

/* The entry on top lies under a tombstone of its own source: moves that past all that is older than
 * the tombstone and under it. What the source wrote after it lies in between. */
static int skip_own(struct scan *s, struct source *by)
{
    struct rangedel_cover cover = by->cover;
    struct buf end = {0};
    uint64_t oldest;
    assert(by == s->heap[0] && cover.seq > by->it->e.seq);
    covered_until(s, by, &end, &oldest);
    int status = iter_skip(by->it, oldest, buf_slice(&end));
    /* Under the first one, also what is older than that, but not than the oldest. */
    if (status == 0 && oldest < cover.seq)
        status = iter_skip(by->it, cover.seq, cover.hi);
    buf_release(&end);
    return heap_moved(s, status);
}

/* Of two ends, of which empty is the last. */
static struct slice earlier_end(struct slice a, struct slice b)
{
    return b.len == 0 || (a.len > 0 && slice_cmp(a, b) < 0) ? a : b;
}

/* Asks the sources, newest first, for the first one with a tombstone over `e`, which `top` has:
 * `*by`, or NULL if there is none. Those older than `top` cannot have one. */
static int ask_cover(struct scan *s, const struct source *top, struct source **by)
{
    const struct entry *e = &top->it->e;
    bool none = true;
    s->clear_until = (struct slice){0};
    for (uint32_t i = 0; i < s->source_count; i++) {
        struct source *src = &s->sources[i];
        int err = source_cover(src, e->key, s->read_seq);
        if (err < 0)
            return err;
        if (src->age <= top->age && src->cover.seq > e->seq) {
            *by = src;
            return 0;
        }
        none = none && src->cover.seq == 0;
        s->clear_until = earlier_end(s->clear_until, src->cover.hi);
    }
    s->clear = none;
    return 0;
}

static int find_cover(struct scan *s, const struct source *top, struct source **by)
{
    *by = NULL;
    if (s->clear && (s->clear_until.len == 0 || slice_cmp(top->it->e.key, s->clear_until) < 0))
        return 0;
    s->clear = false;
    return ask_cover(s, top, by);
}

/* ---- steps ---- */

/* The newest version of a key that the read sees, on top: 0 if the key is there, 1 if not, or an
 * error. */
static int settle(struct scan *s)
{
    struct source *top = s->heap[0], *by;
    const struct entry *e = &top->it->e;
    int err = find_cover(s, top, &by);
    if (err < 0)
        return err;
    if (by) {
        err = by->age < top->age ? skip_covered(s, by) : skip_own(s, by);
        return err < 0 ? err : 1;
    }
    buf_set(&s->key, e->key);
    s->settled = true;
    s->passed = 0;
    if (e->type == ENTRY_DELETE)
        return 1;
    s->found = entry_type_is_merge(e->type) ? NULL : top;
    s->skipped = 0;
    return 0;
}

/* One look at the entry on top. 0: found; 1: go on; or an error. */
static int step(struct scan *s)
{
    const struct entry *e = &s->heap[0]->it->e;
    int err;
    if (s->settled && slice_eq(e->key, buf_slice(&s->key)))
        err = pass(s, 0);
    else if (e->seq >= s->read_seq)
        err = pass(s, s->read_seq - 1);
    else
        return settle(s);
    return err < 0 ? err : 1;
}

int scan_forwards(struct scan *s)
{
    struct slice upper = buf_slice(&s->upper);
    s->valid = false;
    s->direction = SCAN_FORWARDS;
    while (s->heap_count > 0) {
        if (upper.len && slice_cmp(s->heap[0]->it->e.key, upper) >= 0)
            return 1;
        int err = step(s);
        if (err < 0)
            return err;
        if (err == 0) {
            s->valid = true;
            return 0;
        }
    }
    return 1;
}

int scan_seek_sources(struct scan *s, struct slice key, uint64_t seq)
{
    s->clear = s->settled = false;
    s->passed = s->skipped = 0;
    for (uint32_t i = 0; i < s->source_count; i++) {
        struct iter *it = s->sources[i].it;
        bool denies;
        int status = scan_source_denies(s, &s->sources[i], &denies);
        if (status == 0 && denies)
            it->valid = false;
        else if (status == 0)
            status = key.len ? iter_seek(it, key, seq) : iter_first(it);
        if (status < 0)
            return status;
    }
    heap_build(s);
    return 0;
}
