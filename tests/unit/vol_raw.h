/* vol_raw: goes behind the file system's back: the store of a volume is opened alone, and single
 * records are read and written. For planting what the file system itself would never write. */
#ifndef VARVE_UNIT_VOL_RAW_H
#define VARVE_UNIT_VOL_RAW_H

#include "fs/format.h"
#include "tests/unit/vol.h"

struct raw {
    struct vol *v;
    struct store *store;
};

/* Closes the volume, and opens its store. */
static inline void raw_begin(struct raw *r, struct vol *v)
{
    struct store_options o = v->store;
    if (v->fs)
        vol_close(v);
    o.env = simdisk_env(v->disk);
    o.workers = 0;
    o.merge = &fs_merge;
    *r = (struct raw){.v = v};
    assert_ok(store_open(VOL_DIR, &o, &r->store));
}

/* Leaves the volume closed. */
static inline void raw_end(struct raw *r)
{
    assert_ok(store_close(r->store));
}

enum raw_op { RAW_PUT, RAW_DELETE, RAW_MERGE };

static inline void raw_write(struct raw *r, enum raw_op op, struct slice key, struct slice value)
{
    struct store_batch *b = store_batch_new(r->store);
    if (op == RAW_PUT)
        store_batch_put(b, key, value);
    else if (op == RAW_DELETE)
        store_batch_delete(b, key);
    else
        store_batch_merge(b, key, value);
    assert_ok(store_write(r->store, b, 0));
    store_batch_free(b);
}

static inline void raw_put(struct raw *r, struct key k, struct slice value)
{
    raw_write(r, RAW_PUT, key_slice(&k), value);
}

static inline void raw_delete(struct raw *r, struct key k)
{
    raw_write(r, RAW_DELETE, key_slice(&k), (struct slice){0});
}

/* The value of the key, which must be there, into `out`. */
static inline void raw_get(struct raw *r, struct key k, struct buf *out)
{
    struct store_read read;
    struct store_value v = {0};
    store_read_begin(r->store, &read);
    assert_ok(store_get(&read, key_slice(&k), &v));
    buf_set(out, v.data);
    store_value_release(&v);
    store_read_end(&read);
}

static inline bool raw_has(struct raw *r, struct key k)
{
    struct store_read read;
    store_read_begin(r->store, &read);
    int has = store_has(&read, key_slice(&k));
    store_read_end(&read);
    assert_true(has >= 0);
    return has == 0;
}

static inline struct inode raw_inode(struct raw *r, uint64_t ino)
{
    struct inode n;
    struct buf b = {0};
    raw_get(r, key_attr(ino), &b);
    assert_ok(inode_decode(buf_slice(&b), ino, &n));
    buf_release(&b);
    return n;
}

static inline void raw_put_inode(struct raw *r, const struct inode *n)
{
    struct buf b = {0};
    inode_encode(n, &b);
    raw_put(r, key_attr(n->ino), buf_slice(&b));
    buf_release(&b);
}

static inline struct super_record raw_super(struct raw *r)
{
    struct super_record s;
    struct buf b = {0};
    raw_get(r, key_super(SUPER_RECORD), &b);
    assert_ok(super_decode(buf_slice(&b), &s));
    buf_release(&b);
    return s;
}

static inline uint64_t raw_slot(struct raw *r, const char *name)
{
    return dirent_slot(raw_super(r).hash_seed, slice_str(name));
}

static inline void raw_put_dirent(struct raw *r, uint64_t dir, uint64_t slot, const char *name,
                                  uint64_t ino, uint32_t mode)
{
    struct buf b = {0};
    struct dirent_record d = {
        .ino = ino, .type = (uint8_t)((mode & S_IFMT) >> 12), .name = slice_str(name)};
    dirent_encode(&d, &b);
    raw_put(r, key_dirent(dir, slot), buf_slice(&b));
    buf_release(&b);
}

static inline void raw_add_counters(struct raw *r, int64_t inodes, int64_t chunks)
{
    struct buf b = {0};
    struct counters c = {inodes, chunks};
    struct key k = key_super(SUPER_COUNTERS);
    counters_encode(&c, &b);
    raw_write(r, RAW_MERGE, key_slice(&k), buf_slice(&b));
    buf_release(&b);
}

#endif
