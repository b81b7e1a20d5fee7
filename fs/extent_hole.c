/* extent_hole: the part of extent that is about what is not there: chunks that go, by truncating or
 * punching, and where they are missing. */
#include "fs/extent_priv.h"

/* ---- counting ---- */

/* Chunks that exist in [from, to). */
static int count_chunks(const struct store_read *read, uint64_t ino, uint64_t from, uint64_t to,
                        uint64_t *count)
{
    struct key lower = key_chunk(ino, from), upper = key_chunk(ino, to);
    struct store_iter *it = store_iter_new(read, key_slice(&lower), key_slice(&upper));
    int err;
    *count = 0;
    for (err = store_iter_first(it); err == 0; err = store_iter_next(it))
        ++*count;
    store_iter_free(it);
    return err < 0 ? err : 0;
}

/* The same, for places below the file's end; of a dense file nothing is looked at. */
static int count_within(const struct txn *t, const struct inode *n, uint64_t from, uint64_t to,
                        uint64_t *count)
{
    assert(from <= to && to <= extent_spans(t->fs, n->size));
    *count = to - from;
    return extent_dense(t->fs, n) || from == to ? 0
                                                : count_chunks(&t->read, n->ino, from, to, count);
}

/* The same for all from `from` on, counting on the shorter side. */
static int count_rest(const struct txn *t, const struct inode *n, uint64_t from, uint64_t *count)
{
    uint64_t spans = extent_spans(t->fs, n->size), before;
    assert(from <= spans);
    if (spans - from <= from || extent_dense(t->fs, n))
        return count_within(t, n, from, spans, count);
    int err = count_chunks(&t->read, n->ino, 0, from, &before);
    *count = before < n->chunks ? n->chunks - before : 0; /* a damaged count must not wrap */
    return err;
}

int extent_missing(const struct txn *t, const struct inode *n, uint64_t from, uint64_t to,
                   uint64_t *bytes)
{
    uint64_t chunk_bytes = t->fs->super.chunk_bytes, spans = extent_spans(t->fs, n->size);
    uint64_t first = from / chunk_bytes, end = extent_spans(t->fs, to), there = 0;
    assert(t->reading && from < to);
    int err = first < spans ? count_within(t, n, first, end < spans ? end : spans, &there) : 0;
    if (err < 0)
        return err;
    uint64_t places = there < end - first ? end - first - there : 0;
    *bytes = places < (to - from) / chunk_bytes ? places * chunk_bytes : places ? to - from : 0;
    return 0;
}

/* ---- what goes ---- */

/* `gone` chunks of those in [start, end) go: one range tombstone, however many there are. */
static void drop_chunks(struct txn *t, struct inode *n, const struct key *start,
                        const struct key *end, uint64_t gone)
{
    store_batch_delete_range(t->batch, key_slice(start), key_slice(end));
    if (gone > n->chunks)
        gone = n->chunks; /* a damaged count must not wrap */
    t->chunks -= (int64_t)gone;
    n->chunks -= gone;
    t->frees = true;
}

static int drop_rest(struct txn *t, struct inode *n, uint64_t from)
{
    struct key start = key_chunk(n->ino, from), end = key_kind(n->ino, KIND_END);
    uint64_t gone;
    if (from >= extent_spans(t->fs, n->size) || n->chunks == 0)
        return 0;
    int err = count_rest(t, n, from, &gone);
    if (err == 0)
        drop_chunks(t, n, &start, &end, gone);
    return err;
}

/* A tombstone that would hide nothing is left out. */
static int drop_within(struct txn *t, struct inode *n, uint64_t from, uint64_t to)
{
    struct key start = key_chunk(n->ino, from), end = key_chunk(n->ino, to);
    uint64_t gone = 0;
    int err = from < to && n->chunks > 0 ? count_within(t, n, from, to, &gone) : 0;
    if (err == 0 && gone > 0)
        drop_chunks(t, n, &start, &end, gone);
    return err;
}

/* Bytes [from, to) of a chunk become zeros, if it exists: it is cut where nothing else follows. */
static int blank(struct txn *t, const struct inode *n, uint64_t chunk, uint32_t from, uint32_t to)
{
    uint64_t chunk_bytes = t->fs->super.chunk_bytes;
    struct key k = key_chunk(n->ino, chunk);
    struct buf patch = {0};
    assert(from < to && to <= chunk_bytes);
    int exists = extent_chunk_exists(t->fs, &t->read, n, chunk);
    if (exists <= 0)
        return exists;
    if (to == chunk_bytes || chunk * chunk_bytes + to >= n->size)
        patch_put_cut(&patch, from);
    else
        patch_put_zero(&patch, from, to - from);
    store_batch_merge(t->batch, key_slice(&k), buf_slice(&patch));
    buf_release(&patch);
    return 0;
}

int extent_punch(struct txn *t, struct inode *n, uint64_t from, uint64_t to)
{
    uint64_t chunk_bytes = t->fs->super.chunk_bytes;
    assert(t->reading && S_ISREG(n->mode));
    if (to > n->size)
        to = n->size;
    if (from >= to)
        return 0;
    /* A tail that reaches the end of the file is as good as whole. */
    uint64_t first = extent_spans(t->fs, from);
    uint64_t last = to == n->size ? extent_spans(t->fs, to) : to / chunk_bytes;
    uint32_t head = (uint32_t)(from % chunk_bytes), tail = (uint32_t)(to % chunk_bytes);
    int err = 0;
    if (head) {
        uint64_t chunk = from / chunk_bytes, room = chunk_bytes - head;
        err = blank(t, n, chunk, head, head + (uint32_t)(to - from < room ? to - from : room));
    }
    if (err == 0 && tail && to < n->size && last >= first)
        err = blank(t, n, last, 0, tail);
    return err == 0 ? drop_within(t, n, first, last) : err;
}

/* Chunks beyond the new end go, the last one that stays is cut. */
static int shrink(struct txn *t, struct inode *n, uint64_t size)
{
    uint64_t keep = extent_spans(t->fs, size);
    uint32_t tail = (uint32_t)(size % t->fs->super.chunk_bytes);
    assert(size < n->size);
    int err = tail ? blank(t, n, keep - 1, tail, t->fs->super.chunk_bytes) : 0;
    if (err == 0)
        err = drop_rest(t, n, keep);
    t->frees = true;
    return err;
}

int extent_truncate(struct txn *t, struct inode *n, uint64_t size)
{
    assert(t->reading && S_ISREG(n->mode));
    if (size > (uint64_t)FS_FILE_SIZE_MAX)
        return -EFBIG;
    int err = size < n->size ? shrink(t, n, size) : 0;
    if (err == 0)
        n->size = size;
    return err;
}

/* ---- holes ---- */

/* The first place from `from` on that has a chunk (data) or has none (!data), below `spans`;
 * `spans` when there is none. */
static int find_place(const struct reader *r, const struct inode *n, uint64_t from, uint64_t spans,
                      bool data, uint64_t *place)
{
    struct key lower = key_chunk(n->ino, from), upper = key_chunk(n->ino, spans);
    struct store_iter *it = store_iter_new(&r->read, key_slice(&lower), key_slice(&upper));
    uint64_t expect = from;
    int err;
    *place = data ? spans : from;
    for (err = store_iter_first(it); err == 0; err = store_iter_next(it)) {
        uint64_t ino, chunk = 0;
        uint8_t kind;
        struct slice rest;
        if (!key_split(store_iter_key(it), &ino, &kind, &rest) || !take_be64(&rest, &chunk)) {
            err = corrupt("a table", UINT64_MAX, "a chunk without a number");
            break;
        }
        if (data)
            *place = chunk;
        if (data || chunk != expect)
            break;
        *place = ++expect;
    }
    store_iter_free(it);
    return err < 0 ? err : 0;
}

int extent_seek(const struct reader *r, const struct inode *n, uint64_t offset, bool data,
                uint64_t *found)
{
    if (offset >= n->size)
        return -ENXIO;
    *found = data ? offset : n->size;
    if (extent_dense(r->fs, n))
        return 0;
    uint64_t chunk_bytes = r->fs->super.chunk_bytes, spans = extent_spans(r->fs, n->size), place;
    int err = find_place(r, n, offset / chunk_bytes, spans, data, &place);
    if (err < 0)
        return err;
    assert(place <= spans);
    if (place == spans)
        return data ? -ENXIO : 0;
    *found = place * chunk_bytes > offset ? place * chunk_bytes : offset;
    return 0;
}
