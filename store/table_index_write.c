/* table_index_write: the index of a table as it is written: one block, or, if that is large, parts
 * and a top over them.
 *
 * Guarantees: a separator is at or after every entry of its block (or of the last block of its
 * part), and before every entry of the next.
 *
 * Invariants:
 *   1. The top's separator of a part is that of the part's last block.
 *   2. The top's sequence numbers of a part are the lowest and the highest of its blocks. */
#include "store/table_priv.h"

#include <assert.h>

/* The shortest key from `last` on that is below `next`, or `last` itself where there is none
 * without trouble. "the quick" and "the slow" are kept apart by "the s", "ab" and "ad" by "ac". */
static void separate(struct slice last, struct slice next, struct buf *out)
{
    size_t same = slice_shared(last, next);
    assert(slice_cmp(last, next) < 0);
    buf_set(out, last);
    if (same == last.len)
        return; /* a prefix of `next`: nothing shorter is left */
    if (next.len > same + 1) {
        buf_set(out, slice_of(next.data, same + 1));
    } else if (last.data[same] + 1 < next.data[same]) {
        out->data[same]++;
        out->len = same + 1;
    }
    assert(slice_cmp(last, buf_slice(out)) <= 0 && slice_cmp(buf_slice(out), next) < 0);
}

void table_index_add(struct block_writer *w, const struct block_handle *h, struct slice last_key,
                     uint64_t last_seq, const struct slice *next_key)
{
    struct buf key = {0}, value = {0};
    struct entry e = {.type = ENTRY_PUT};
    if (!next_key) {
        buf_set(&key, last_key);
    } else if (slice_eq(last_key, *next_key)) {
        buf_set(&key, last_key);
        e.seq = last_seq;
    } else {
        separate(last_key, *next_key, &key);
    }
    block_handle_encode(h, &value);
    e.key = buf_slice(&key);
    e.value = buf_slice(&value);
    block_writer_add(w, &e);
    buf_release(&key);
    buf_release(&value);
}

/* ---- in parts ---- */

struct cutter {
    struct block_writer *top, part;
    struct block_handle handle; /* of the part: its numbers so far */
    struct buf last;            /* the key of the separator added last, and its number */
    uint64_t last_seq;
    table_put_fn *put;
    void *ctx;
    struct buf scratch;
};

static int end_part(struct cutter *c)
{
    struct buf value = {0};
    uint32_t blocks = c->part.count;
    assert(blocks > 0);
    buf_clear(&c->scratch);
    block_writer_finish(&c->part, &c->scratch);
    int err = c->put(c->ctx, buf_slice(&c->scratch), &c->handle.where);
    if (err == 0) {
        block_handle_encode(&c->handle, &value);
        buf_put_varint(&value, blocks);
        struct entry e = {.key = buf_slice(&c->last),
                          .seq = c->last_seq,
                          .type = ENTRY_PUT,
                          .value = buf_slice(&value)};
        block_writer_add(c->top, &e);
    }
    buf_release(&value);
    return err;
}

static void add_to_part(struct cutter *c, const struct entry *e)
{
    struct slice value = e->value;
    struct block_handle h;
    bool sound = block_handle_take(&value, &h);
    assert(sound && value.len == 0); /* table_index_add() made it */
    (void)sound;
    if (c->part.count == 0) {
        c->handle = h;
    } else {
        c->handle.min_seq = h.min_seq < c->handle.min_seq ? h.min_seq : c->handle.min_seq;
        c->handle.max_seq = h.max_seq > c->handle.max_seq ? h.max_seq : c->handle.max_seq;
    }
    block_writer_add(&c->part, e);
    buf_set(&c->last, e->key);
    c->last_seq = e->seq;
}

static int cut(struct cutter *c, struct slice whole, uint32_t part_bytes)
{
    struct block block;
    struct block_iter bi;
    int err = block_open(whole, &block), rc;
    assert(err == 0);
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    for (rc = iter_first(&bi.it); rc == 0 && err == 0; rc = iter_next(&bi.it)) {
        add_to_part(c, &bi.it.e);
        if (c->part.estimate_bytes >= part_bytes)
            err = end_part(c);
    }
    assert(rc >= 0);
    if (err == 0 && c->part.count > 0)
        err = end_part(c);
    block_iter_release(&bi);
    return err;
}

int table_index_cut(struct block_writer *w, uint32_t part_bytes, table_put_fn *put, void *ctx)
{
    struct cutter c = {.top = w, .put = put, .ctx = ctx};
    struct buf whole = {0};
    assert(w->count > 0);
    block_writer_init(&c.part, TABLE_INDEX_INTERVAL);
    block_writer_finish(w, &whole);
    int err = cut(&c, buf_slice(&whole), part_bytes);
    block_writer_release(&c.part);
    buf_release(&c.last);
    buf_release(&c.scratch);
    buf_release(&whole);
    return err;
}
