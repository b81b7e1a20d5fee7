/* scan: see scan.h. The moves, and what the scan stands on; scan_forward.c and scan_backward.c
 * have the two ways, scan_source.c the sources.
 *
 * Invariants:
 *   1. After a move that did not return 0 the scan stands nowhere, and every seek works: it
 *      places all sources anew.
 *   2. While the scan stands on a key found in `found`, that source stands on the entry, so its
 *      value is alive.
 *   3. A source that is older than a tombstone's holds, under that tombstone, only entries that
 *      it hides (version.h, invariant 3), so all of them may be passed by one seek. */
#include "store/scan.h"

#include <assert.h>
#include <stdlib.h>

#include "store/scan_priv.h"

struct scan *scan_new(struct view *view, struct view_context *ctx, uint64_t read_seq,
                      struct slice lower, struct slice upper, int flags)
{
    struct scan *s = mem_zalloc(sizeof *s);
    assert(read_seq > 0);
    s->view = view_ref(view);
    s->ctx = ctx;
    s->read_seq = read_seq;
    s->flags = flags & SCAN_FILL_CACHE ? TABLE_ITER_FILL_CACHE : 0;
    buf_set(&s->lower, lower);
    buf_set(&s->upper, upper);
    buf_set(&s->widest_lower, lower);
    buf_set(&s->widest_upper, upper);
    scan_find_prefix(s);
    return s;
}

struct view_context *scan_context(const struct scan *s)
{
    return s->ctx;
}

void scan_free(struct scan *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->source_count; i++)
        s->stepped += s->sources[i].it->stepped;
    view_count_steps(s->ctx, s->stepped);
    store_value_release(&s->value);
    sources_close(s->sources, s->source_count);
    free(s->heap);
    view_unref(s->view);
    buf_release(&s->lower);
    buf_release(&s->upper);
    buf_release(&s->widest_lower);
    buf_release(&s->widest_upper);
    buf_release(&s->key);
    buf_release(&s->held.key);
    buf_release(&s->held.bytes);
    free(s);
}

/* A cursor that is placed in one more table costs as much as asking so many filters. */
enum { SEEK_ASKS = 16 };

static void count_level0(struct scan *s)
{
    if (s->level0_count > 0)
        counter_add(counters_mine(s->ctx->counters), COUNT_LEVEL0_ASKED,
                    (uint64_t)SEEK_ASKS * s->level0_count);
}

/* What every seek begins with. 0, 1 when there cannot be anything, or an error. */
static int begin_seek(struct scan *s)
{
    struct slice lower = buf_slice(&s->lower), upper = buf_slice(&s->upper);
    s->valid = s->held.ahead = false;
    if (s->read_seq <= 1 || (upper.len && slice_cmp(lower, upper) >= 0))
        return 1;
    if (s->opened) {
        count_level0(s);
        return 0;
    }
    int err = sources_open(s->view, buf_slice(&s->widest_lower), buf_slice(&s->widest_upper),
                           s->flags, &s->sources, &s->source_count);
    if (err < 0)
        return err;
    s->heap = mem_alloc(s->source_count * sizeof(struct source *));
    s->opened = true;
    for (uint32_t i = 0; i < s->source_count; i++)
        s->level0_count += s->sources[i].kind == SOURCE_TABLE;
    count_level0(s);
    return 0;
}

/* ---- forwards ---- */

int scan_seek(struct scan *s, struct slice key)
{
    int err = begin_seek(s);
    if (err != 0)
        return err;
    if (slice_cmp(key, buf_slice(&s->lower)) < 0)
        key = buf_slice(&s->lower);
    err = scan_seek_sources(s, key, s->read_seq - 1);
    return err < 0 ? err : scan_forwards(s);
}

int scan_first(struct scan *s)
{
    return scan_seek(s, buf_slice(&s->lower));
}

static int move_on(struct scan *s)
{
    assert(s->valid);
    if (s->direction == SCAN_BACKWARDS) {
        s->valid = false;
        int err = scan_seek_sources(s, buf_slice(&s->key), 0);
        if (err < 0)
            return err;
    }
    return scan_forwards(s);
}

int scan_next(struct scan *s)
{
    if (!s->held.ahead)
        return move_on(s);
    s->held.ahead = false;
    assert(s->valid == (s->held.status == 0));
    return s->held.status;
}

/* ---- backwards ---- */

static int start_backwards(struct scan *s, struct slice below)
{
    int err = begin_seek(s);
    if (err != 0)
        return err;
    err = scan_seek_sources_before(s, below);
    return err < 0 ? err : scan_backwards(s);
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
    assert(s->valid || s->held.ahead);
    if (s->held.ahead || s->direction == SCAN_FORWARDS) {
        struct slice key = scan_key(s);
        s->valid = s->held.ahead = false;
        int err = scan_seek_sources_before(s, key);
        if (err < 0)
            return err;
    }
    return scan_backwards(s);
}

/* ---- what it stands on ---- */

struct slice scan_key(const struct scan *s)
{
    assert(s->valid || s->held.ahead);
    return buf_slice(s->held.ahead ? &s->held.key : &s->key);
}

/* The entry that the scan stands on, if it is a PUT; its value lives until the next move. */
static const struct entry *put_at(const struct scan *s)
{
    if (s->held.ahead)
        return s->held.is_put ? &s->held.put : NULL;
    assert(s->valid);
    if (!s->found)
        return NULL;
    assert(s->found->it->valid && slice_eq(s->found->it->e.key, buf_slice(&s->key)));
    return &s->found->it->e;
}

/* Fetches a separated value, which stays pinned until the next move. */
static int read_blob(struct scan *s, struct slice encoded_ref)
{
    struct cache_item *item;
    store_value_release(&s->value);
    int err = view_read_blob(s->view, s->ctx, encoded_ref, true, &item);
    if (err < 0)
        return err;
    s->value.pin = item;
    s->value.pin_owner = s->ctx->cache;
    s->value.data = item->data;
    return 0;
}

int scan_value(struct scan *s, struct slice *value)
{
    *value = (struct slice){0};
    const struct entry *e = put_at(s);
    if (e && e->type == ENTRY_PUT) {
        *value = e->value;
        return 0;
    }
    int err =
        e ? read_blob(s, e->value) : view_get(s->view, s->ctx, scan_key(s), s->read_seq, &s->value);
    if (err == 1)
        return corrupt("a table", UINT64_MAX, "a key is there for a scan, but not for a look-up");
    if (err == 0)
        *value = s->value.data;
    return err;
}

int scan_value_len(const struct scan *s, uint64_t *len)
{
    struct blob_ref ref;
    const struct entry *e = put_at(s);
    *len = 0;
    if (!e)
        return 1;
    if (e->type == ENTRY_PUT) {
        *len = e->value.len;
        return 0;
    }
    if (!blob_ref_decode(e->value, &ref))
        return corrupt("a table", UINT64_MAX, "a malformed reference to a blob file");
    *len = ref.raw_len;
    return 0;
}

/* ---- looking ahead ---- */

/* Keeps what the scan stands on. */
static void hold(struct scan *s)
{
    struct scan_held *h = &s->held;
    const struct entry *e = put_at(s);
    buf_set(&h->key, buf_slice(&s->key));
    h->is_put = e != NULL;
    if (e) {
        buf_set(&h->bytes, e->value);
        h->put = (struct entry){.type = e->type, .value = buf_slice(&h->bytes)};
    }
}

int scan_peek(struct scan *s, struct slice *key)
{
    *key = (struct slice){0};
    if (!s->held.ahead) {
        hold(s);
        int status = move_on(s);
        if (status < 0)
            return status;
        s->held.ahead = true;
        s->held.status = status;
    }
    if (s->held.status == 0)
        *key = buf_slice(&s->key);
    return s->held.status;
}

void scan_set_bounds(struct scan *s, struct slice lower, struct slice upper)
{
    buf_set(&s->lower, lower);
    buf_set(&s->upper, upper);
    scan_find_prefix(s);
    s->valid = s->held.ahead = false;
}
