/* scan_backward: a scan's way down. The sources stand before the present key; the largest key
 * among them is the next candidate, and a point read says whether it is there: entries come oldest
 * first, so that the newest would have to be gathered anyway. Going backwards is rare.
 *
 * Guarantee: what lies under a tombstone of a newer source, or under a chain of those that touch,
 * is passed by few seeks.
 *
 * Invariant: every source stands on its last entry with a key below the present one, or has none.
 */
#include <assert.h>

#include "store/scan_priv.h"

enum {
    RETREAT_STEPS = 4,      /* versions that are stepped over before it pays to seek */
    RETREAT_DOUBLINGS = 10, /* how many neighbouring intervals one retreat may join: 2 to this */
    PROBE_HOPS = 4,         /* intervals between a probe and what it was to be next to */
};

int scan_seek_sources_before(struct scan *s, struct slice key)
{
    s->skipped = 0;
    for (uint32_t i = 0; i < s->source_count; i++) {
        struct iter *it = s->sources[i].it;
        bool denies;
        int status = scan_source_denies(s, &s->sources[i], &denies);
        if (status == 0 && denies)
            it->valid = false;
        else if (status == 0)
            status = key.len ? iter_seek_before(it, key) : iter_last(it);
        if (status < 0)
            return status;
    }
    return 0;
}

/* The source that stands on the largest key. */
static struct source *largest(struct scan *s)
{
    struct source *best = NULL;
    for (uint32_t i = 0; i < s->source_count; i++) {
        struct source *src = &s->sources[i];
        if (src->it->valid && (!best || slice_cmp(src->it->e.key, best->it->e.key) > 0))
            best = src;
    }
    return best;
}

/* To the last entry below the key that the cursor stands on, which is `key`. */
static int step_below(struct iter *it, struct slice key)
{
    int status = 0;
    for (int i = 0; i < RETREAT_STEPS && status == 0; i++) {
        status = iter_prev(it);
        if (status == 0 && slice_cmp(it->e.key, key) < 0)
            return 0;
    }
    return status == 0 ? iter_seek_before(it, key) : status;
}

/* Moves the sources off the present key. */
static int leave_key(struct scan *s)
{
    struct slice key = buf_slice(&s->key);
    for (uint32_t i = 0; i < s->source_count; i++) {
        struct iter *it = s->sources[i].it;
        if (!it->valid || slice_cmp(it->e.key, key) < 0)
            continue;
        assert(slice_eq(it->e.key, key));
        int status = step_below(it, key);
        if (status < 0)
            return status;
    }
    return 0;
}

/* Moves the sources from `age` on below `from`, where a tombstone of a newer one begins. */
static int retreat(struct scan *s, uint32_t age, struct slice from)
{
    for (uint32_t i = age; i < s->source_count; i++) {
        struct iter *it = s->sources[i].it;
        if (!it->valid || slice_cmp(it->e.key, from) < 0)
            continue;
        int status = from.len ? iter_seek_before(it, from) : 1;
        if (status < 0)
            return status;
        it->valid = status == 0;
    }
    return 0;
}

/* A key below `key` (not empty) that is next to it, or so near that hardly any key lies between:
 * "ab" and "ac\0" to "ac\0" and "ac" itself; "ab" and eight bytes of 255 to "ac". */
static void just_below(struct slice key, struct buf *out)
{
    assert(key.len > 0);
    buf_set(out, key);
    if (out->data[out->len - 1]-- == 0) {
        out->len--;
        return;
    }
    for (int i = 0; i < 8; i++)
        buf_put_u8(out, 0xff);
}

/* Are the keys right below `*from` under tombstones of `by`, too? Then `*from` becomes where the
 * lowest of the intervals begins that was seen to be so. */
static bool extend_down(struct scan *s, struct source *by, struct buf *from, struct buf *probe)
{
    struct slice lo = {0};
    just_below(buf_slice(from), probe);
    for (int hops = 0; hops < PROBE_HOPS; hops++) {
        /* An error is for who gets there: it comes back at the next question about that place. */
        if (source_cover(by, buf_slice(probe), s->read_seq) < 0 || by->cover.seq == 0)
            return false;
        if (hops == 0)
            lo = by->cover.lo;
        if (by->cover.hi.len == 0)
            return false;
        if (slice_cmp(by->cover.hi, buf_slice(from)) >= 0) {
            buf_set(from, lo);
            return true;
        }
        buf_set(probe, by->cover.hi);
    }
    return false;
}

/* Where the tombstones of `by` begin that lie over the present key and, seamlessly, below it: of
 * the more intervals, the more often the scan has retreated without finding a key (as
 * scan_forward.c). */
static void covered_from(struct scan *s, struct source *by, struct buf *from)
{
    struct buf probe = {0};
    struct slice lower = buf_slice(&s->lower);
    uint32_t doublings = s->skipped < RETREAT_DOUBLINGS ? s->skipped : RETREAT_DOUBLINGS;
    s->skipped++;
    buf_set(from, by->cover.lo);
    for (uint32_t links = UINT32_C(1) << doublings; links > 1 && from->len > 0; links--)
        if (slice_cmp(buf_slice(from), lower) <= 0 || !extend_down(s, by, from, &probe))
            break;
    buf_release(&probe);
}

/* If a tombstone lies over the present key, passes what older sources have under it. */
static int retreat_covered(struct scan *s)
{
    for (uint32_t i = 0; i < s->source_count; i++) {
        struct source *src = &s->sources[i];
        int err = source_cover(src, buf_slice(&s->key), s->read_seq);
        if (err < 0)
            return err;
        if (src->cover.seq == 0)
            continue;
        struct buf from = {0};
        covered_from(s, src, &from);
        err = retreat(s, i + 1, buf_slice(&from));
        buf_release(&from);
        return err;
    }
    return 0;
}

int scan_backwards(struct scan *s)
{
    struct source *top;
    s->valid = false;
    s->direction = SCAN_BACKWARDS;
    s->found = NULL;
    while ((top = largest(s)) != NULL) {
        if (slice_cmp(top->it->e.key, buf_slice(&s->lower)) < 0)
            return 1;
        buf_set(&s->key, top->it->e.key);
        int has = view_has(s->view, s->ctx, buf_slice(&s->key), s->read_seq);
        if (has < 0)
            return has;
        int err = retreat_covered(s);
        if (err == 0)
            err = leave_key(s);
        if (err < 0)
            return err;
        if (has == 0) {
            s->skipped = 0;
            s->valid = true;
            return 0;
        }
    }
    return 1;
}
