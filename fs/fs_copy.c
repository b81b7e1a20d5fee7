/* fs_copy: the part of the door that copies from file to file, without the data leaving it.
 *
 * In steps, each one transaction on the destination. A step has either a long hole, or a window of
 * data and short holes: chunks of the destination that get nothing but holes are punched, the
 * others are written. Each step sees one state of the source; what is written to that meanwhile may
 * be in a later one. */
#include "fs/fs_priv.h"

#include "fs/extent.h"
#include "fs/flags.h"
#include "fs/virtual.h"

enum { STEP_BYTES = 4 << 20, PIECES_MAX = STEP_BYTES / FS_CHUNK_BYTES_MIN + 1 };

/* A part of a step, within one chunk of the destination. */
struct piece {
    uint32_t at, len; /* within the step */
    bool hole;
};

struct copy {
    struct fs *fs;
    uint64_t from, from_offset, to, to_offset;
    uint64_t len, done;
    uint64_t moved; /* of `done`, what was no long hole */
    /* The step: */
    uint64_t step;
    bool long_hole;
    struct buf data; /* else */
    struct piece pieces[PIECES_MAX];
    size_t count;
};

/* ---- looking at the source ---- */

/* How many bytes from `at` on are a hole, at most `room`. */
static int hole_len(const struct reader *r, const struct inode *n, uint64_t at, uint64_t room,
                    uint64_t *len)
{
    uint64_t found;
    int err = extent_seek(r, n, at, true, &found);
    *len = err == -ENXIO || (err == 0 && found - at > room) ? room : found - at;
    return err == -ENXIO ? 0 : err;
}

static int plan_pieces(struct copy *c, const struct reader *r, const struct inode *n)
{
    uint64_t chunk_bytes = c->fs->super.chunk_bytes, from = c->from_offset + c->done,
             to = c->to_offset + c->done, hole;
    int err = 0;
    c->count = 0;
    for (uint64_t at = 0, len; at < c->step && err == 0; at += len) {
        len = chunk_bytes - (to + at) % chunk_bytes;
        if (len > c->step - at)
            len = c->step - at;
        err = hole_len(r, n, from + at, len, &hole);
        assert(c->count < PIECES_MAX);
        c->pieces[c->count++] =
            (struct piece){.at = (uint32_t)at, .len = (uint32_t)len, .hole = hole == len};
    }
    return err;
}

static int read_window(struct copy *c, const struct reader *r, const struct inode *n)
{
    size_t got = 0;
    /* So that the next step begins with a chunk of the destination. */
    uint64_t most = STEP_BYTES - (c->to_offset + c->done) % c->fs->super.chunk_bytes;
    if (c->step > most)
        c->step = most;
    c->data.len = 0;
    buf_reserve(&c->data, c->step);
    int err = plan_pieces(c, r, n);
    if (err == 0)
        err = extent_read(r, n, c->from_offset + c->done, c->data.data, c->step, &got);
    assert(err < 0 || got == c->step);
    return err;
}

/* The next step; c->step is 0 at the end of the source. */
static int plan(struct copy *c, const struct reader *r, const struct inode *n)
{
    uint64_t at = c->from_offset + c->done, hole;
    c->step = c->len - c->done;
    if (!S_ISREG(n->mode))
        return S_ISDIR(n->mode) ? -EISDIR : -EINVAL;
    if (at >= n->size)
        c->step = 0;
    else if (c->step > n->size - at)
        c->step = n->size - at;
    if (c->done == 0)
        c->len = c->step; /* the end that it has now: it may be the destination, too, and grow */
    if (c->step == 0)
        return 0;
    int err = hole_len(r, n, at, c->step, &hole);
    if (err < 0)
        return err;
    c->long_hole = hole == c->step || hole > STEP_BYTES;
    if (!c->long_hole)
        return read_window(c, r, n);
    c->step = hole;
    return 0;
}

/* ---- writing the destination ---- */

static int put_pieces(struct copy *c, struct txn *t, struct inode *n)
{
    uint64_t to = c->to_offset + c->done;
    int err = 0;
    for (size_t i = 0; i < c->count && err == 0; i++) {
        const struct piece *p = &c->pieces[i];
        err = p->hole ? extent_punch(t, n, to + p->at, to + p->at + p->len)
                      : extent_write(t, n, to + p->at, c->data.data + p->at, p->len);
    }
    return err;
}

static int put_locked(struct copy *c, struct txn *t)
{
    struct inode n;
    uint64_t to = c->to_offset + c->done;
    int err = inode_get(&t->read, c->to, &n);
    if (err == 0)
        err = flags_check_data(&n, false);
    if (err == 0 && !S_ISREG(n.mode))
        err = S_ISDIR(n.mode) ? -EISDIR : -EINVAL;
    if (err == 0)
        err = c->long_hole ? extent_punch(t, &n, to, to + c->step) : put_pieces(c, t, &n);
    if (err < 0)
        return err;
    if (to + c->step > n.size)
        n.size = to + c->step;
    n.mtime = n.ctime = t->now;
    inode_put(t, &n);
    return txn_commit(t);
}

static int put(struct copy *c)
{
    struct txn t;
    uint64_t to = c->to_offset + c->done;
    int err = txn_init(&t, c->fs);
    if (err < 0)
        return err;
    for (size_t i = 0; !c->long_hole && i < c->count; i++) {
        const struct piece *p = &c->pieces[i];
        if (!p->hole)
            extent_prepare(&t, c->to, to + p->at, c->data.data + p->at, p->len);
    }
    txn_lock(&t, &c->to, 1);
    err = put_locked(c, &t);
    txn_end(&t);
    return err;
}

/* ---- the whole ---- */

/* 0, 1 at the end of the source, or an error. */
static int copy_step(struct copy *c)
{
    struct reader r;
    struct inode n;
    int err = fs_begin_read(c->fs, c->from, &r, &n);
    if (err < 0)
        return err;
    err = plan(c, &r, &n);
    reader_end(&r);
    if (err < 0 || c->step == 0)
        return err < 0 ? err : 1;
    err = put(c);
    if (err == 0) {
        c->done += c->step;
        c->moved += c->long_hole ? 0 : c->step;
    }
    return err;
}

static bool overlap(const struct copy *c)
{
    return c->from == c->to && c->from_offset < c->to_offset + c->len &&
           c->to_offset < c->from_offset + c->len;
}

static int check(const struct copy *c)
{
    const uint64_t max = (uint64_t)FS_FILE_SIZE_MAX;
    struct fs_attr a;
    if (c->from_offset > max || c->len > max - c->from_offset)
        return -EINVAL;
    if (c->to_offset > max || c->len > max - c->to_offset)
        return -EFBIG;
    if (overlap(c))
        return -EINVAL;
    int err = ino_is_virtual(c->from) ? -EISDIR : fs_check_open(c->fs, c->to, false);
    if (err == 0)
        err = fs_getattr(c->fs, c->to, &a);
    if (err == 0 && !S_ISREG(a.mode))
        err = S_ISDIR(a.mode) ? -EISDIR : -EINVAL;
    return err;
}

int fs_copy(struct fs *fs, uint64_t from, uint64_t from_offset, uint64_t to, uint64_t to_offset,
            uint64_t len, uint64_t *copied)
{
    struct copy *c = mem_zalloc(sizeof *c);
    c->fs = fs;
    c->from = from;
    c->from_offset = from_offset;
    c->to = to;
    c->to_offset = to_offset;
    c->len = len;
    int err = check(c);
    while (err == 0 && c->done < c->len && c->moved < FS_COPY_MAX)
        err = copy_step(c);
    *copied = c->done;
    buf_release(&c->data);
    free(c);
    return err < 0 && *copied == 0 ? err : 0;
}
