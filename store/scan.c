/* scan: see scan.h.
 *
 * Forwards: the sources stand on their next entries, ordered by a heap. Each step looks at the
 * smallest (key, newest first) and decides: not visible yet, an older version of a key that is
 * settled, hidden by a tombstone, deleted, or found. Backwards: the sources stand before the
 * present key; the largest key among them is the next candidate, and a point read says whether it
 * is there. (Going backwards is rare; entries come oldest first, so that the newest would have to
 * be gathered anyway.)
 *
 * Invariants:
 *   1. Forwards, every source stands on its first entry that is not settled yet. While the scan
 * stands on a key found in `found`, that source still stands on the entry, so its value is alive.
 *   2. `key` is the present key, and forwards all its remaining versions are skipped by the next
 * move.
 *   3. A source that is older than a tombstone's holds, under that tombstone, only entries that it
 * hides (version.h, invariant 3), so all of them may be skipped by one seek. */
#include "store/scan.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/scan_source.h"

enum direction { FORWARDS, BACKWARDS };

struct scan {
    struct view *view;
    struct view_context *ctx;
    uint64_t read_seq;
    struct buf lower, upper;
    int flags;
    bool opened;
    struct source *sources;
    uint32_t source_count;
    struct source **heap; /* forwards: those that stand on an entry */
    uint32_t heap_count;
    enum direction direction;
    bool valid;
    struct buf key;
    bool settled;         /* `key` is settled: its other versions are to be skipped */
    struct source *found; /* whose inline or blob value it is; NULL: by a point read */
    struct store_value value;
};

struct scan *scan_new(struct view *view, struct view_context *ctx, uint64_t read_seq,
                      struct slice lower, struct slice upper, int flags)
{
    struct scan *s = mem_zalloc(sizeof *s);
    s->view = view_ref(view);
    s->ctx = ctx;
    s->read_seq = read_seq;
    s->flags = flags & SCAN_FILL_CACHE ? TABLE_ITER_FILL_CACHE : 0;
    buf_set(&s->lower, lower);
    buf_set(&s->upper, upper);
    return s;
}

void scan_free(struct scan *s)
{
    if (!s)
        return;
    store_value_release(&s->value);
    sources_close(s->sources, s->source_count);
    free(s->heap);
    view_unref(s->view);
    buf_release(&s->lower);
    buf_release(&s->upper);
    buf_release(&s->key);
    free(s);
}

static int open_sources(struct scan *s)
{
    if (s->opened)
        return 0;
    int err = sources_open(s->view, s->flags, &s->sources, &s->source_count);
    if (err < 0)
        return err;
    s->heap = mem_alloc((s->source_count + 1) * sizeof(struct source *));
    s->opened = true;
    return 0;
}

/* ---- the heap ---- */

static bool before(const struct source *a, const struct source *b)
{
    int order = entry_cmp(a->it->e.key, a->it->e.seq, b->it->e.key, b->it->e.seq);
    return order ? order < 0 : a->age < b->age;
}

static void sift_down(struct scan *s, uint32_t i)
{
    for (;;) {
        uint32_t least = i, left = 2 * i + 1, right = left + 1;
        if (left < s->heap_count && before(s->heap[left], s->heap[least]))
            least = left;
        if (right < s->heap_count && before(s->heap[right], s->heap[least]))
            least = right;
        if (least == i)
            return;
        struct source *moved = s->heap[i];
        s->heap[i] = s->heap[least];
        s->heap[least] = moved;
        i = least;
    }
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

/* The top source has moved with this status. */
static int heap_moved(struct scan *s, int status)
{
    if (status < 0)
        return status;
    if (status == 1)
        s->heap[0] = s->heap[--s->heap_count];
    if (s->heap_count > 0)
        sift_down(s, 0);
    return 0;
}

static int top_next(struct scan *s)
{
    return heap_moved(s, iter_next(s->heap[0]->it));
}

/* ---- forwards ---- */

static int seek_all(struct scan *s, struct slice key, uint64_t seq)
{
    for (uint32_t i = 0; i < s->source_count; i++) {
        struct iter *it = s->sources[i].it;
        int status = key.len ? iter_seek(it, key, seq) : iter_first(it);
        if (status < 0)
            return status;
    }
    heap_build(s);
    return 0;
}

/* Moves the sources older than `by` that stand below the end of its tombstone past it, and past
 * those that follow it seamlessly. */
static int skip_hidden(struct scan *s, struct source *by)
{
    struct buf end = {0};
    bool to_end = false;
    buf_set(&end, by->cover.hi);
    while (!to_end) {
        to_end = end.len == 0;
        if (to_end)
            break;
        int err = source_cover(by, buf_slice(&end), s->read_seq);
        if (err < 0 || by->cover.seq == 0)
            break; /* an error comes back at the next question about that place */
        buf_set(&end, by->cover.hi);
    }
    int status = 0;
    for (uint32_t i = by->age + 1; i < s->source_count && status >= 0; i++) {
        struct iter *it = s->sources[i].it;
        if (!it->valid || (!to_end && slice_cmp(it->e.key, buf_slice(&end)) >= 0))
            continue;
        if (to_end)
            it->valid = false;
        else
            status = iter_seek(it, buf_slice(&end), s->read_seq - 1);
    }
    buf_release(&end);
    heap_build(s);
    return status < 0 ? status : 0;
}

/* The newest source with a tombstone over the top entry; NULL: none. */
static int find_cover(struct scan *s, const struct entry *e, struct source **by)
{
    *by = NULL;
    for (uint32_t i = 0; i < s->source_count; i++) {
        struct source *src = &s->sources[i];
        int err = source_cover(src, e->key, s->read_seq);
        if (err < 0)
            return err;
        if (src->cover.seq > e->seq) {
            *by = src;
            return 0;
        }
    }
    return 0;
}

/* One look at the top entry. 0: found; 1: go on; or an error. */
static int forward_step(struct scan *s)
{
    struct source *top = s->heap[0], *by;
    const struct entry *e = &top->it->e;
    int err;
    if (s->settled && slice_eq(e->key, buf_slice(&s->key)))
        err = top_next(s);
    else if (e->seq >= s->read_seq)
        err = heap_moved(s, iter_seek(top->it, e->key, s->read_seq - 1));
    else if ((err = find_cover(s, e, &by)) == 0 && by)
        err = by->age < top->age ? skip_hidden(s, by) : top_next(s);
    else if (err == 0) {
        buf_set(&s->key, e->key);
        s->settled = true;
        if (e->type != ENTRY_DELETE) {
            s->found = entry_type_is_merge(e->type) ? NULL : top;
            return 0;
        }
        err = top_next(s);
    }
    return err < 0 ? err : 1;
}

static int forwards(struct scan *s)
{
    s->valid = false;
    s->direction = FORWARDS;
    while (s->heap_count > 0) {
        if (s->upper.len && slice_cmp(s->heap[0]->it->e.key, buf_slice(&s->upper)) >= 0)
            return 1;
        int err = forward_step(s);
        if (err < 0)
            return err;
        if (err == 0) {
            s->valid = true;
            return 0;
        }
    }
    return 1;
}

int scan_seek(struct scan *s, struct slice key)
{
    int err = open_sources(s);
    s->valid = s->settled = false;
    if (err == 0) {
        if (slice_cmp(key, buf_slice(&s->lower)) < 0)
            key = buf_slice(&s->lower);
        err = s->read_seq <= 1 ? 1 : seek_all(s, key, s->read_seq - 1);
    }
    return err ? err : forwards(s);
}

int scan_first(struct scan *s)
{
    return scan_seek(s, buf_slice(&s->lower));
}

int scan_next(struct scan *s)
{
    assert(s->valid);
    if (s->direction == BACKWARDS) {
        int err = seek_all(s, buf_slice(&s->key), 0);
        if (err < 0) {
            s->valid = false;
            return err;
        }
        s->settled = true;
    }
    return forwards(s);
}

/* ---- backwards ---- */

/* Moves every source to its last entry below `key` (empty: the very last). */
static int seek_all_before(struct scan *s, struct slice key)
{
    for (uint32_t i = 0; i < s->source_count; i++) {
        struct iter *it = s->sources[i].it;
        int status = key.len ? iter_seek_before(it, key) : iter_last(it);
        if (status < 0)
            return status;
    }
    return 0;
}

/* The source that stands on the largest key; the newest of several. */
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

/* Moves the sources from `age` on that stand at or after `from` to their last entry below it. */
static int retreat(struct scan *s, uint32_t age, struct slice from)
{
    for (uint32_t i = age; i < s->source_count; i++) {
        struct iter *it = s->sources[i].it;
        if (!it->valid || slice_cmp(it->e.key, from) < 0)
            continue;
        int status = from.len ? iter_seek_before(it, from) : 1;
        if (status < 0)
            return status;
        if (from.len == 0)
            it->valid = false;
    }
    return 0;
}

/* If a tombstone lies over s->key, skips what older sources have under it. */
static int retreat_hidden(struct scan *s)
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

static int backwards(struct scan *s)
{
    struct source *top;
    s->valid = false;
    s->direction = BACKWARDS;
    s->found = NULL;
    while ((top = largest(s)) != NULL) {
        if (slice_cmp(top->it->e.key, buf_slice(&s->lower)) < 0)
            return 1;
        buf_set(&s->key, top->it->e.key);
        int has = view_has(s->view, s->ctx, buf_slice(&s->key), s->read_seq);
        if (has < 0)
            return has;
        int err = retreat_hidden(s);
        if (err == 0)
            err = retreat(s, 0, buf_slice(&s->key));
        if (err < 0)
            return err;
        if (has == 0) {
            s->valid = true;
            return 0;
        }
    }
    return 1;
}

static int start_backwards(struct scan *s, struct slice below)
{
    int err = open_sources(s);
    s->valid = false;
    if (err == 0)
        err = seek_all_before(s, below);
    return err < 0 ? err : backwards(s);
}

int scan_last(struct scan *s)
{
    return start_backwards(s, buf_slice(&s->upper));
}

int scan_seek_for_prev(struct scan *s, struct slice key)
{
    if (s->upper.len && slice_cmp(key, buf_slice(&s->upper)) >= 0)
        return scan_last(s);
    /* The last key <= key is the last one below its successor. */
    struct buf after = {0};
    buf_append(&after, key);
    buf_put_u8(&after, 0);
    int err = start_backwards(s, buf_slice(&after));
    buf_release(&after);
    return err;
}

int scan_prev(struct scan *s)
{
    assert(s->valid);
    if (s->direction == FORWARDS) {
        int err = seek_all_before(s, buf_slice(&s->key));
        if (err < 0) {
            s->valid = false;
            return err;
        }
    }
    return backwards(s);
}

/* ---- what it stands on ---- */

struct slice scan_key(const struct scan *s)
{
    assert(s->valid);
    return buf_slice(&s->key);
}

int scan_value(struct scan *s, struct slice *value)
{
    assert(s->valid);
    if (s->found && s->found->it->e.type == ENTRY_PUT) {
        *value = s->found->it->e.value;
        return 0;
    }
    int err = view_get(s->view, s->ctx, buf_slice(&s->key), s->read_seq, &s->value);
    if (err == 1)
        return corrupt("a table", UINT64_MAX, "a key is there for a scan, but not for a look-up");
    *value = err == 0 ? s->value.data : (struct slice){0};
    return err;
}
