/* send: see send.h.
 *
 * The stream holds each record that was changed between the two states, as it is in the later one.
 *
 * Inodes that had no name when a snapshot was taken, but a user, are not part of what is sent: of a
 * received volume nobody uses them. So an inode that is such an orphan in the later state is
 * deleted on the other side, if it had a name in the earlier; one that was an orphan in the earlier
 * (and was then left out) and has got a name is sent whole. The counters are sent without them. */
#include "fs/send.h"

#include "fs/inode.h"
#include "fs/moment.h"
#include "fs/token.h"

#include <stdio.h>

struct numbers {
    uint64_t *list; /* ascending */
    size_t count;
};

struct sending {
    struct fs *fs;
    struct stream_head head;
    struct store_read before, after; /* `before` if head.base.seq is not 0 */
    struct numbers orphans_before, orphans_after;
    uint64_t block, sum;
    struct buf payload, frame, last;
    struct token resume;
    fs_stream_write_fn *write;
    void *ctx;
    struct stream_totals totals;
};

/* ---- blocks ---- */

static int put_out(struct sending *s, enum stream_block_kind kind)
{
    s->frame.len = 0;
    stream_block_encode(kind, s->block++, buf_slice(&s->payload), &s->sum, &s->frame);
    s->payload.len = 0;
    return s->write(s->ctx, s->frame.data, s->frame.len);
}

/* An inode's record without what is the volume's own business: its limit, and how it is compressed.
 * `*value` may be put into `room`. */
static void strip(struct slice key, struct slice *value, struct buf *room)
{
    uint64_t ino;
    uint8_t inode_kind;
    struct slice rest;
    struct inode n;
    if (!key_split(key, &ino, &inode_kind, &rest) || ino == 0 || inode_kind != KIND_ATTR ||
        inode_decode(*value, ino, &n) < 0 || (n.quota == 0 && n.policy == 0))
        return;
    n.quota = 0;
    n.policy = 0;
    inode_encode(&n, room);
    *value = buf_slice(room);
}

static int put_record(struct sending *s, enum stream_record_kind kind, struct slice key,
                      struct slice value)
{
    struct buf room = {0};
    if (kind == STREAM_PUT)
        strip(key, &value, &room);
    struct stream_record r = {.kind = kind, .key = key, .value = value};
    assert(slice_cmp(key, buf_slice(&s->last)) > 0);
    stream_record_encode(&r, &s->payload);
    buf_set(&s->last, key);
    s->totals.records++;
    s->totals.bytes += key.len + value.len;
    buf_release(&room);
    return s->payload.len >= STREAM_BLOCK_BYTES ? put_out(s, STREAM_RECORDS) : 0;
}

static int put_end(struct sending *s)
{
    int err = s->payload.len ? put_out(s, STREAM_RECORDS) : 0;
    if (err < 0)
        return err;
    stream_totals_encode(&s->totals, &s->payload);
    return put_out(s, STREAM_END);
}

/* ---- inodes without a name ---- */

static int load_orphans(const struct store_read *read, struct numbers *n)
{
    struct key lower = key_super(SUPER_ORPHAN), upper = key_super(SUPER_ORPHAN + 1);
    struct store_iter *it = store_iter_new(read, key_slice(&lower), key_slice(&upper));
    int err;
    for (err = store_iter_first(it); err == 0; err = store_iter_next(it)) {
        uint64_t zero, ino;
        uint8_t kind;
        struct slice rest;
        if (!key_split(store_iter_key(it), &zero, &kind, &rest) || !take_be64(&rest, &ino))
            continue;
        n->list = mem_realloc(n->list, (n->count + 1) * sizeof *n->list);
        n->list[n->count++] = ino;
    }
    store_iter_free(it);
    return err < 0 ? err : 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool has(const struct numbers *n, uint64_t ino)
{
    return n->count && bsearch(&ino, n->list, n->count, sizeof *n->list, by_number);
}

static bool is_special(const struct sending *s, uint64_t ino)
{
    return has(&s->orphans_before, ino) || has(&s->orphans_after, ino);
}

/* All keys of the inode behind `behind` (empty: all) in one state: put, or deleted. */
static int send_interval(struct sending *s, const struct store_read *read, uint64_t ino,
                         struct slice behind, enum stream_record_kind kind)
{
    struct key start = key_attr(ino), end = key_kind(ino, KIND_END);
    struct store_iter *it = store_iter_new(read, key_slice(&start), key_slice(&end));
    int err = behind.len ? store_iter_seek(it, behind) : store_iter_first(it);
    if (err == 0 && behind.len && slice_eq(store_iter_key(it), behind))
        err = store_iter_next(it);
    for (; err == 0; err = store_iter_next(it)) {
        struct slice value = {0};
        err = kind == STREAM_PUT ? store_iter_value(it, &value) : 0;
        if (err == 0)
            err = put_record(s, kind, store_iter_key(it), value);
        if (err != 0)
            break;
    }
    store_iter_free(it);
    return err < 0 ? err : 0;
}

static int send_special(struct sending *s, uint64_t ino, struct slice behind)
{
    bool was = has(&s->orphans_before, ino), is = has(&s->orphans_after, ino);
    if (is && !was && s->head.base.seq)
        return send_interval(s, &s->before, ino, behind, STREAM_DELETE);
    if (was && !is)
        return send_interval(s, &s->after, ino, behind, STREAM_PUT);
    return 0;
}

/* ---- the volume's own records ---- */

static int count_orphans(struct sending *s, struct counters *c)
{
    for (size_t i = 0; i < s->orphans_after.count; i++) {
        struct inode n;
        int err = inode_get(&s->after, s->orphans_after.list[i], &n);
        if (err == -ENOENT)
            continue;
        if (err < 0)
            return err;
        c->inodes--;
        c->chunks -= (int64_t)n.chunks;
    }
    return 0;
}

static int send_super(struct sending *s)
{
    struct store_value v = {0};
    struct counters c;
    struct buf value = {0};
    struct key k = key_super(SUPER_COUNTERS);
    int err = store_get(&s->after, key_slice(&k), &v);
    if (err == 1 || (err == 0 && counters_decode(v.data, &c) < 0))
        err = corrupt("the superblock", UINT64_MAX, "its counters are missing or do not decode");
    if (err == 0)
        err = count_orphans(s, &c);
    if (err == 0) {
        counters_encode(&c, &value);
        err = put_record(s, STREAM_PUT, key_slice(&k), buf_slice(&value));
    }
    k = key_super(SUPER_NEXT_INO);
    if (err == 0)
        err = store_get(&s->after, key_slice(&k), &v);
    if (err == 0)
        err = put_record(s, STREAM_PUT, key_slice(&k), v.data);
    else if (err == 1)
        err = corrupt("the superblock", UINT64_MAX, "its next inode number is missing");
    store_value_release(&v);
    buf_release(&value);
    return err;
}

/* ---- what has changed ---- */

static int send_change(struct sending *s, struct store_since *since, const struct store_change *c)
{
    struct slice value;
    if (c->kind == STORE_CHANGE_REMOVED)
        return put_record(s, STREAM_DELETE, c->key, (struct slice){0});
    int err = store_since_value(since, STORE_AFTER, &value);
    assert(err != 1);
    return err == 0 ? put_record(s, STREAM_PUT, c->key, value) : err;
}

/* From `lower` on. Special inodes come whole, when the first of their changes is met. */
static int send_changes(struct sending *s, struct slice lower)
{
    struct store_since *since;
    struct store_change c;
    uint64_t done = 0;
    int err = store_since_new(&s->after, s->head.base.seq ? s->before.seq : 1, lower,
                              (struct slice){0}, STORE_SINCE_KEYS, &since);
    if (err < 0)
        return err;
    while ((err = store_since_next(since, &c)) == 0) {
        uint64_t ino;
        uint8_t kind;
        struct slice rest;
        if (!key_split(c.key, &ino, &kind, &rest) || ino == 0 || ino == done)
            continue;
        if (is_special(s, ino)) {
            done = ino;
            err = send_special(s, ino, (struct slice){0});
        } else {
            err = send_change(s, since, &c);
        }
        if (err < 0)
            break;
    }
    store_since_free(since);
    return err < 0 ? err : 0;
}

/* ---- the whole ---- */

static int send_from_start(struct sending *s)
{
    int err = send_super(s);
    struct key first = key_attr(FS_INO_ROOT);
    return err == 0 ? send_changes(s, key_slice(&first)) : err;
}

static int send_rest(struct sending *s)
{
    uint64_t ino;
    uint8_t kind;
    struct slice rest, last = key_slice(&s->resume.last);
    struct buf lower = {0};
    if (!key_split(last, &ino, &kind, &rest) || ino == 0)
        return -EINVAL; /* the volume's own records are in the first block, with others */
    buf_set(&s->last, last);
    int err = 0;
    if (is_special(s, ino)) {
        struct key end = key_kind(ino, KIND_END);
        err = send_special(s, ino, last);
        buf_set(&lower, key_slice(&end));
    } else {
        buf_set(&lower, last);
        buf_put_u8(&lower, 0);
    }
    if (err == 0)
        err = send_changes(s, buf_slice(&lower));
    buf_release(&lower);
    return err;
}

static int send_head(struct sending *s)
{
    struct buf bytes = {0};
    s->head.first_block = s->block;
    s->head.sum = s->sum;
    stream_head_encode(&s->head, &bytes);
    int err = s->write(s->ctx, bytes.data, bytes.len);
    buf_release(&bytes);
    return err;
}

/* Which two states, and where it begins. */
static int prepare(struct sending *s, const char *from, const char *to, const char *token)
{
    uint64_t before = 0, after;
    int err = moment_of_name(s->fs, to, &after, &s->head.made);
    if (err == 0 && from)
        err = moment_of_name(s->fs, from, &before, &s->head.base);
    if (err == 0 && from && (before > after || strcmp(from, to) == 0))
        err = -EINVAL; /* nothing need have changed between two */
    if (err < 0)
        return err;
    memcpy(s->head.origin, s->fs->super.uuid, sizeof s->head.origin);
    s->head.super = s->fs->super;
    memcpy(s->head.name, to, strlen(to) + 1);
    uint64_t stream = stream_first_sum(&s->head);
    s->sum = stream;
    if (token) {
        if (token_parse(token, &s->resume) < 0 || s->resume.stream != stream)
            return -EINVAL;
        s->block = s->resume.blocks;
        s->sum = s->resume.sum;
        s->totals = s->resume.totals;
    }
    store_read_begin_at(s->fs->store, after, &s->after);
    if (from)
        store_read_begin_at(s->fs->store, before, &s->before);
    err = load_orphans(&s->after, &s->orphans_after);
    return err == 0 && from ? load_orphans(&s->before, &s->orphans_before) : err;
}

int send_stream(struct fs *fs, const char *from, const char *to, const char *token,
                fs_stream_write_fn *write, void *ctx, struct fs_stream_report *report)
{
    struct sending s = {.fs = fs, .write = write, .ctx = ctx};
    *report = (struct fs_stream_report){0};
    int err = prepare(&s, from, to, token);
    if (err == 0)
        err = send_head(&s);
    if (err == 0)
        err = token ? send_rest(&s) : send_from_start(&s);
    if (err == 0)
        err = put_end(&s);
    *report = (struct fs_stream_report){
        .records = s.totals.records, .bytes = s.totals.bytes, .blocks = s.block};
    snprintf(report->snapshot, sizeof report->snapshot, "%s", to);
    if (s.after.view)
        store_read_end(&s.after);
    if (s.before.view)
        store_read_end(&s.before);
    free(s.orphans_before.list);
    free(s.orphans_after.list);
    buf_release(&s.payload);
    buf_release(&s.frame);
    buf_release(&s.last);
    return err;
}
