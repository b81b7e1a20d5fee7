/* extent: see extent.h for the invariants. */
#include "fs/extent.h"

static uint64_t span_count(const struct fs *fs, uint64_t size)
{
    return size / fs->super.chunk_bytes + (size % fs->super.chunk_bytes != 0);
}

static bool dense(const struct fs *fs, const struct inode *n)
{
    return n->chunks >= span_count(fs, n->size);
}

/* 1 when chunk `c` exists, 0 when not, or an error. */
static int chunk_exists(const struct fs *fs, const struct store_read *read, const struct inode *n,
                        uint64_t c)
{
    if (c >= span_count(fs, n->size))
        return 0;
    if (dense(fs, n))
        return 1;
    struct key k = key_chunk(n->ino, c);
    int has = store_has(read, key_slice(&k));
    return has < 0 ? has : !has;
}

/* ---- pieces: the part of an interval that lies in one chunk ---- */

struct piece {
    uint64_t chunk;
    uint32_t offset, len; /* within the chunk */
    size_t at;            /* within the caller's data */
};

/* The piece at `done` bytes into [offset, offset + len). */
static struct piece piece_at(const struct fs *fs, uint64_t offset, size_t len, size_t done)
{
    uint64_t chunk_bytes = fs->super.chunk_bytes, pos = offset + done;
    struct piece p = {
        .chunk = pos / chunk_bytes, .offset = (uint32_t)(pos % chunk_bytes), .at = done};
    uint64_t room = chunk_bytes - p.offset;
    assert(done < len && room > 0);
    p.len = (uint32_t)(len - done < room ? len - done : room);
    assert(p.len > 0 && p.offset + p.len <= chunk_bytes);
    return p;
}

/* ---- reading ---- */

static int read_piece(const struct reader *r, uint64_t ino, const struct piece *p, uint8_t *out,
                      struct store_value *v)
{
    struct key k = key_chunk(ino, p->chunk);
    int err = store_get(&r->read, key_slice(&k), v);
    if (err < 0)
        return err;
    size_t have = err == 0 && v->data.len > p->offset ? v->data.len - p->offset : 0;
    if (have > p->len)
        have = p->len;
    if (have)
        memcpy(out, v->data.data + p->offset, have);
    memset(out + have, 0, p->len - have);
    return 0;
}

int extent_read(const struct reader *r, const struct inode *n, uint64_t offset, void *data,
                size_t len, size_t *got)
{
    struct store_value v = {0};
    int err = 0;
    assert(S_ISREG(n->mode) || S_ISLNK(n->mode));
    *got = 0;
    if (offset >= n->size)
        return 0;
    if (len > n->size - offset)
        len = (size_t)(n->size - offset);
    while (*got < len && err == 0) {
        struct piece p = piece_at(r->fs, offset, len, *got);
        err = read_piece(r, n->ino, &p, (uint8_t *)data + p.at, &v);
        *got += p.len;
    }
    store_value_release(&v);
    return err;
}

/* ---- writing ---- */

static bool whole(const struct fs *fs, const struct piece *p)
{
    return p->len == fs->super.chunk_bytes;
}

void extent_prepare(struct txn *t, uint64_t ino, uint64_t offset, const void *data, size_t len)
{
    struct piece p;
    assert(!t->reading); /* before any lock */
    for (size_t done = 0; done < len; done += p.len) {
        p = piece_at(t->fs, offset, len, done);
        if (!whole(t->fs, &p))
            continue;
        struct key k = key_chunk(ino, p.chunk);
        store_batch_put(t->batch, key_slice(&k), slice_of((const uint8_t *)data + p.at, p.len));
    }
}

static void put_part(struct txn *t, const struct inode *n, const struct piece *p,
                     const uint8_t *data)
{
    struct key k = key_chunk(n->ino, p->chunk);
    uint64_t end = p->chunk * t->fs->super.chunk_bytes + p->offset + p->len;
    if (p->offset == 0 && end >= n->size) {
        store_batch_put(t->batch, key_slice(&k), slice_of(data, p->len));
        return;
    }
    struct buf patch = {0};
    patch_put_write(&patch, p->offset, slice_of(data, p->len));
    store_batch_merge(t->batch, key_slice(&k), buf_slice(&patch));
    buf_release(&patch);
}

int extent_write(struct txn *t, struct inode *n, uint64_t offset, const void *data, size_t len)
{
    uint64_t added = 0;
    struct piece p;
    assert(t->reading && (S_ISREG(n->mode) || S_ISLNK(n->mode)));
    assert(offset <= (uint64_t)FS_FILE_SIZE_MAX && len <= (uint64_t)FS_FILE_SIZE_MAX - offset);
    for (size_t done = 0; done < len; done += p.len) {
        p = piece_at(t->fs, offset, len, done);
        int exists = chunk_exists(t->fs, &t->read, n, p.chunk);
        if (exists < 0)
            return exists;
        added += !exists;
        if (!whole(t->fs, &p))
            put_part(t, n, &p, (const uint8_t *)data + p.at);
    }
    n->chunks += added;
    t->chunks += (int64_t)added;
    if (offset + len > n->size)
        n->size = offset + len;
    return 0;
}

/* ---- truncating ---- */

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

/* How many chunks stay when only the first `keep` places do. A file with holes has to count, on the
 * shorter side. */
static int chunks_kept(struct txn *t, const struct inode *n, uint64_t keep, uint64_t *kept)
{
    uint64_t spans = span_count(t->fs, n->size), gone;
    *kept = keep;
    assert(keep < spans);
    if (dense(t->fs, n) || keep == 0)
        return 0;
    if (keep <= spans - keep)
        return count_chunks(&t->read, n->ino, 0, keep, kept);
    int err = count_chunks(&t->read, n->ino, keep, spans, &gone);
    *kept = n->chunks - gone;
    return err;
}

static int shrink(struct txn *t, struct inode *n, uint64_t size)
{
    uint64_t keep = span_count(t->fs, size), spans = span_count(t->fs, n->size), kept = n->chunks;
    uint32_t tail = (uint32_t)(size % t->fs->super.chunk_bytes);
    assert(size < n->size && keep <= spans);
    int exists = tail ? chunk_exists(t->fs, &t->read, n, keep - 1) : 0;
    if (exists < 0)
        return exists;
    if (keep < spans && n->chunks > 0) {
        struct key start = key_chunk(n->ino, keep), end = key_kind(n->ino, KIND_END);
        int err = chunks_kept(t, n, keep, &kept);
        if (err < 0)
            return err;
        store_batch_delete_range(t->batch, key_slice(&start), key_slice(&end));
    }
    if (exists) {
        struct key k = key_chunk(n->ino, keep - 1);
        struct buf patch = {0};
        patch_put_cut(&patch, tail);
        store_batch_merge(t->batch, key_slice(&k), buf_slice(&patch));
        buf_release(&patch);
    }
    if (kept > n->chunks)
        kept = n->chunks; /* a damaged count must not wrap */
    t->chunks -= (int64_t)(n->chunks - kept);
    n->chunks = kept;
    t->frees = true;
    return 0;
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
    if (dense(r->fs, n))
        return 0;
    uint64_t chunk_bytes = r->fs->super.chunk_bytes, spans = span_count(r->fs, n->size), place;
    int err = find_place(r, n, offset / chunk_bytes, spans, data, &place);
    if (err < 0)
        return err;
    assert(place <= spans);
    if (place == spans)
        return data ? -ENXIO : 0;
    *found = place * chunk_bytes > offset ? place * chunk_bytes : offset;
    return 0;
}
