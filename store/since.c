/* since: see since.h. The difference of the states at two numbers of one view.
 *
 * Three streams ascend together: the keys that the window's entries name, the ranges that its
 * tombstones cover, and, if ranges are to be told key by key, the keys that were there before in
 * those ranges. Each key that comes up is looked up in both states; which entries are left of its
 * history does not matter then.
 *
 * Why nothing is missed, if the state at `from` is kept (since_is_kept()): what job it may be that
 * drops an entry or a tombstone, it keeps for each reader the newest one that it sees and that
 * makes a difference. So a key whose value differs between the two has an entry, or lies under a
 * tombstone, in the window.
 *
 * Invariants:
 *   1. Keys come in ascending order, each once; a range comes before the first key in it.
 *   2. `entries` stands on the first entry whose key was not given, or is at its end; so do the
 *      ranges, by `next_range`, and `before`. */
#include "store/since.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/scan.h"

struct since {
    struct view *view; /* a reference */
    struct view_context *ctx;
    uint64_t from, to;
    bool keys_only, started;
    struct table_since_counts counts;
    struct iter *entries; /* NULL: the window is empty */
    int entries_status;
    struct rangedel *dels;
    size_t next_range;   /* fragment that the next range begins with */
    struct scan *before; /* keys_only: the keys of the state before, in a range */
    int before_status;   /* 1: at its end; then the next range is due */
    struct buf key, range_end;
    struct store_value value;
};

bool since_is_kept(const struct view *view, uint64_t from)
{
    const struct version *v = view->version;
    return from <= 1 || from >= v->history_seq || version_has_pin(v, from);
}

int since_new(struct view *view, struct view_context *ctx, uint64_t from, uint64_t to,
              struct slice lower, struct slice upper, bool keys_only, struct since **out)
{
    assert(from <= to && to > 0);
    struct since *s = mem_zalloc(sizeof *s);
    *out = NULL;
    s->view = view_ref(view);
    s->ctx = ctx;
    s->from = from;
    s->to = to;
    s->keys_only = keys_only;
    s->entries_status = s->before_status = 1;
    int err = 0;
    if (from < to && !(upper.len && slice_cmp(lower, upper) >= 0))
        err = since_open(view, from, to, lower, upper, &s->counts, &s->entries, &s->dels);
    if (err < 0)
        since_free(s);
    else
        *out = s;
    return err;
}

void since_free(struct since *s)
{
    if (!s)
        return;
    store_value_release(&s->value);
    scan_free(s->before);
    iter_free(s->entries);
    rangedel_unref(s->dels);
    view_unref(s->view);
    buf_release(&s->key);
    buf_release(&s->range_end);
    free(s);
}

const struct table_since_counts *since_counts(const struct since *s)
{
    return &s->counts;
}

/* ---- ranges ---- */

static bool range_left(const struct since *s)
{
    return s->next_range < rangedel_count(s->dels);
}

/* The next range: fragments that follow each other without a gap are one. Its start lives as long
 * as `dels`, its end in range_end. */
static struct slice take_range(struct since *s)
{
    struct rangedel_fragment f = rangedel_at(s->dels, s->next_range++);
    struct slice start = f.start;
    while (range_left(s) && slice_eq(rangedel_at(s->dels, s->next_range).start, f.end))
        f = rangedel_at(s->dels, s->next_range++);
    buf_set(&s->range_end, f.end);
    assert(slice_cmp(start, f.end) < 0);
    return start;
}

/* Makes `before` stand on the next key that was there and lies in a range. */
static int next_before(struct since *s)
{
    if (s->before_status == 0)
        s->before_status = scan_next(s->before);
    while (s->before_status == 1 && s->from > 1 && range_left(s)) {
        struct slice start = take_range(s);
        scan_free(s->before);
        s->before = scan_new(s->view, s->ctx, s->from, start, buf_slice(&s->range_end), 0);
        s->before_status = scan_first(s->before);
    }
    return s->before_status < 0 ? s->before_status : 0;
}

/* ---- keys ---- */

static int start(struct since *s)
{
    s->started = true;
    s->entries_status = iter_first(s->entries);
    if (s->entries_status < 0)
        return s->entries_status;
    return s->keys_only ? next_before(s) : 0;
}

/* Moves both streams past s->key. */
static int pass_key(struct since *s)
{
    struct slice key = buf_slice(&s->key);
    while (s->entries_status == 0 && slice_eq(s->entries->e.key, key))
        s->entries_status = iter_next(s->entries);
    if (s->entries_status < 0)
        return s->entries_status;
    if (s->before_status == 0 && slice_eq(scan_key(s->before), key))
        return next_before(s);
    return 0;
}

/* The next key of either stream into s->key: 0, 1 at the end, or an error. */
static int next_key(struct since *s)
{
    struct slice key;
    if (s->entries_status == 0 && s->before_status == 0) {
        struct slice a = s->entries->e.key, b = scan_key(s->before);
        key = slice_cmp(a, b) <= 0 ? a : b;
    } else if (s->entries_status == 0) {
        key = s->entries->e.key;
    } else if (s->before_status == 0) {
        key = scan_key(s->before);
    } else {
        return 1;
    }
    assert(s->key.len == 0 || slice_cmp(key, buf_slice(&s->key)) > 0);
    buf_set(&s->key, key);
    return pass_key(s);
}

/* Was and is s->key there? 0 or an error. */
static int look_up(struct since *s, bool *was, bool *is)
{
    struct slice key = buf_slice(&s->key);
    int before = s->from > 1 ? view_has(s->view, s->ctx, key, s->from) : 1;
    int after = before < 0 ? before : view_has(s->view, s->ctx, key, s->to);
    *was = before == 0;
    *is = after == 0;
    return after < 0 ? after : 0;
}

int since_next(struct since *s, struct store_change *change)
{
    bool was = false, is = false;
    *change = (struct store_change){.kind = STORE_CHANGE_NONE};
    int err = s->entries ? (s->started ? 0 : start(s)) : 1;
    while (err == 0 && !was && !is) {
        if (!s->keys_only && range_left(s) &&
            (s->entries_status == 1 ||
             slice_cmp(rangedel_at(s->dels, s->next_range).start, s->entries->e.key) <= 0)) {
            change->key = take_range(s);
            change->end = buf_slice(&s->range_end);
            change->kind = STORE_CHANGE_RANGE;
            return 0;
        }
        err = next_key(s);
        if (err == 0)
            err = look_up(s, &was, &is);
    }
    if (err != 0)
        return err;
    change->key = buf_slice(&s->key);
    change->kind = !was ? STORE_CHANGE_CREATED : is ? STORE_CHANGE_CHANGED : STORE_CHANGE_REMOVED;
    return 0;
}

int since_value(struct since *s, bool after, struct slice *value)
{
    uint64_t at = after ? s->to : s->from;
    assert(s->key.len > 0);
    *value = (struct slice){0};
    int err = at > 1 ? view_get(s->view, s->ctx, buf_slice(&s->key), at, &s->value) : 1;
    if (err == 0)
        *value = s->value.data;
    return err;
}
