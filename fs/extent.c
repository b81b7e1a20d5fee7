/* extent: see extent.h for the invariants. Reading and writing; the rest is in extent_hole.c. */
#include "fs/extent_priv.h"

int extent_chunk_exists(const struct fs *fs, const struct store_read *read, const struct inode *n,
                        uint64_t chunk)
{
    if (chunk >= extent_spans(fs, n->size))
        return 0;
    if (extent_dense(fs, n))
        return 1;
    struct key k = key_chunk(n->ino, chunk);
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

/* Whoever reads a chunk from its beginning to its end, or to the end of the file, most likely keeps
 * it (the kernel does in its pages): that goes past the store's cache. Parts of chunks do not, for
 * the next part may be asked for soon. */
static int read_piece(const struct reader *r, const struct inode *n, const struct piece *p,
                      uint8_t *out, struct store_value *v)
{
    struct key k = key_chunk(n->ino, p->chunk);
    uint64_t end = p->chunk * r->fs->super.chunk_bytes + p->len;
    bool all = p->offset == 0 && (p->len == r->fs->super.chunk_bytes || end == n->size);
    int err = store_get_into(&r->read, key_slice(&k), all ? out : NULL, all ? p->len : 0, v);
    if (err < 0)
        return err;
    size_t have = err == 0 && v->data.len > p->offset ? v->data.len - p->offset : 0;
    if (have > p->len)
        have = p->len;
    if (have && v->data.data != out)
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
        err = read_piece(r, n, &p, (uint8_t *)data + p.at, &v);
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
        int exists = extent_chunk_exists(t->fs, &t->read, n, p.chunk);
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
