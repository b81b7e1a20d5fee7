/* keep: a stream that comes in pieces; see fs_stream_keep() of fs.h.
 *
 * Invariant: `sum`, `blocks`, `bytes`, `totals` and `last` are those of the whole blocks that were
 * handed on; whatever a piece has behind them is as if it had not come. */
#include "fs/stream_read.h"
#include "fs/token.h"

struct fs_stream_kept {
    bool begun, ended;
    struct stream_head head;
    uint64_t blocks, sum, bytes;
    struct stream_totals totals;
    struct key last;
};

struct fs_stream_kept *fs_stream_kept_new(void)
{
    return mem_zalloc(sizeof(struct fs_stream_kept));
}

void fs_stream_kept_free(struct fs_stream_kept *k)
{
    free(k);
}

/* Is it the first piece, or the one that belongs behind what is there? */
static int begin(struct fs_stream_kept *k, const struct stream_reader *r)
{
    if (!k->begun) {
        if (r->head.first_block != 0)
            return -ECHILD;
        k->head = r->head;
        k->sum = r->sum;
        return 0;
    }
    if (!stream_head_same(&k->head, &r->head) || r->blocks != k->blocks || r->sum != k->sum)
        return -EINVAL;
    return 0;
}

/* What a block of records adds. 0 or -EBADMSG. */
static int count_block(struct fs_stream_kept *k, struct slice payload)
{
    struct stream_totals totals = k->totals;
    struct stream_record r;
    struct key last = k->last;
    int err;
    while ((err = stream_record_take(&payload, &r)) == 0) {
        if (stream_record_check(&r, &k->head.super) < 0 || r.key.len > KEY_MAX ||
            slice_cmp(r.key, key_slice(&last)) <= 0)
            return -EBADMSG;
        totals.records++;
        totals.bytes += r.key.len + r.value.len;
        memcpy(last.bytes, r.key.data, r.key.len);
        last.len = (uint16_t)r.key.len;
    }
    if (err < 0)
        return err;
    k->totals = totals;
    k->last = last;
    return 0;
}

static int hand_on(struct fs_stream_kept *k, const struct stream_reader *r, fs_stream_write_fn *put)
{
    int err = put ? put(r->ctx, r->raw.data, r->raw.len) : 0;
    k->bytes += err == 0 ? r->raw.len : 0;
    return err;
}

static int keep_block(struct fs_stream_kept *k, struct stream_reader *r, fs_stream_write_fn *put)
{
    struct slice payload;
    int err = stream_reader_block(r, &payload);
    bool ends = r->last.kind == STREAM_END;
    if (err == 0 && !ends)
        err = count_block(k, payload);
    if (err == 0)
        err = hand_on(k, r, put);
    if (err < 0)
        return err;
    k->blocks = r->blocks;
    k->sum = r->sum;
    k->ended = ends;
    return 0;
}

int fs_stream_keep(struct fs_stream_kept *k, fs_stream_read_fn *read, fs_stream_write_fn *put,
                   void *ctx)
{
    struct stream_reader r;
    if (k->ended)
        return 0;
    stream_reader_init(&r, read, ctx);
    int err = stream_reader_head(&r);
    if (err == 0)
        err = begin(k, &r);
    if (err == 0 && !k->begun)
        err = hand_on(k, &r, put);
    k->begun |= err == 0;
    while (err == 0 && !k->ended)
        err = keep_block(k, &r, put);
    stream_reader_release(&r);
    return err;
}

void fs_stream_token(const struct fs_stream_kept *k, char token[FS_STREAM_TOKEN_MAX])
{
    token[0] = 0;
    if (!k->begun || k->blocks == 0 || k->ended)
        return;
    struct token t = {.blocks = k->blocks,
                      .sum = k->sum,
                      .stream = stream_first_sum(&k->head),
                      .totals = k->totals,
                      .last = k->last};
    token_print(&t, token);
}

uint64_t fs_stream_kept_bytes(const struct fs_stream_kept *k)
{
    return k->bytes;
}

void fs_stream_kept_report(const struct fs_stream_kept *k, struct fs_stream_report *report)
{
    *report = (struct fs_stream_report){
        .records = k->totals.records, .bytes = k->totals.bytes, .blocks = k->blocks};
    memcpy(report->snapshot, k->head.name, sizeof report->snapshot);
}
