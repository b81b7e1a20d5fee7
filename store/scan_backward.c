/* scan_backward: a scan's way down. The sources stand before the present key; the largest key
 * among them is the next candidate, and a point read says whether it is there: entries come oldest
 * first, so that the newest would have to be gathered anyway. Going backwards is rare.
 *
 * Guarantee: what lies under a tombstone of a newer source is passed by a seek.
 *
 * Invariant: every source stands on its last entry with a key below the present one, or has none.
 */
#include <assert.h>

#include "store/scan_priv.h"

enum { RETREAT_STEPS = 4 }; /* versions that are stepped over before it pays to seek */

int scan_seek_sources_before(struct scan *s, struct slice key)
{
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

/* If a tombstone lies over the present key, passes what older sources have under it. */
static int retreat_covered(struct scan *s)
{
    for (uint32_t i = 0; i < s->source_count; i++) {
        struct source *src = &s->sources[i];
        int err = source_cover(src, buf_slice(&s->key), s->read_seq);
        if (err < 0)
            return err;
        if (src->cover.seq > 0)
            return retreat(s, i + 1, src->cover.lo);
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
            s->valid = true;
            return 0;
        }
    }
    return 1;
}
