/* dir: see dir.h.
 *
 * Invariants:
 *   1. An entry stands at its own slot, or, if that was taken when it was made, at one of the
 * SLOT_PROBES following ones; then its folder has INODE_DISPLACED, for ever. So a look-up that
 * finds its slot empty, or with another name, is final in a folder without the flag.
 *   2. No two entries of a folder share a slot: it is the cookie. */
#include "fs/dir.h"

#include <stdio.h>

int dir_check_name(const char *name)
{
    size_t len = strlen(name);
    if (len == 0)
        return -ENOENT;
    if (len > FS_NAME_MAX)
        return -ENAMETOOLONG;
    return strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? -EINVAL : 0;
}

static int corrupt_entry(uint64_t dir, uint64_t slot)
{
    char name[64];
    snprintf(name, sizeof name, "folder inode %llu, slot %llu", (unsigned long long)dir,
             (unsigned long long)slot);
    return corrupt(name, UINT64_MAX, "the entry does not decode");
}

/* Is `name` in that slot? 0 with `*out`, 1 when it is not, or an error. */
static int look(const struct store_read *read, uint64_t dir, uint64_t slot, struct slice name,
                struct store_value *v, struct dirent *out)
{
    struct dirent_record d;
    struct key k = key_dirent(dir, slot);
    int err = store_get(read, key_slice(&k), v);
    if (err != 0)
        return err;
    if (dirent_decode(v->data, &d) < 0)
        return corrupt_entry(dir, slot);
    *out = (struct dirent){.ino = d.ino, .type = d.type, .slot = slot};
    return slice_eq(d.name, name) ? 0 : 1;
}

int dir_find(const struct fs *fs, const struct store_read *read, const struct inode *dir,
             const char *name, struct dirent *out)
{
    struct store_value v = {0};
    struct slice wanted = slice_str(name);
    assert(inode_is_dir(dir));
    uint64_t slot = dirent_slot(fs->super.hash_seed, wanted);
    int err = look(read, dir->ino, slot, wanted, &v, out);
    if (err == 1 && (dir->flags & INODE_DISPLACED)) {
        for (int i = 0; i < SLOT_PROBES && err == 1; i++) {
            slot = dirent_slot_next(slot);
            err = look(read, dir->ino, slot, wanted, &v, out);
        }
    }
    store_value_release(&v);
    return err == 1 ? -ENOENT : err;
}

static void put(struct txn *t, uint64_t dir, uint64_t slot, const char *name, uint64_t ino,
                uint32_t mode)
{
    uint8_t bytes[16 + FS_NAME_MAX];
    struct buf b = {.data = bytes, .cap = sizeof bytes};
    struct dirent_record d = {
        .ino = ino, .type = (uint8_t)((mode & S_IFMT) >> 12), .name = slice_str(name)};
    struct key k = key_dirent(dir, slot);
    dirent_encode(&d, &b);
    assert(b.data == bytes); /* it had room */
    store_batch_put(t->batch, key_slice(&k), buf_slice(&b));
    t->slot = slot;
}

int dir_insert(struct txn *t, struct inode *dir, const char *name, uint64_t ino, uint32_t mode)
{
    uint64_t slot = dirent_slot(t->fs->super.hash_seed, slice_str(name));
    assert(inode_is_dir(dir) && dir->nlink > 0 && dir_check_name(name) == 0);
    for (int i = 0; i <= SLOT_PROBES; i++, slot = dirent_slot_next(slot)) {
        struct key k = key_dirent(dir->ino, slot);
        int has = store_has(&t->read, key_slice(&k));
        if (has < 0)
            return has;
        if (has == 0)
            continue;
        put(t, dir->ino, slot, name, ino, mode);
        if (i > 0)
            dir->flags |= INODE_DISPLACED;
        dir->size++;
        dir->mtime = dir->ctime = t->now;
        return 0;
    }
    return -ENOSPC;
}

void dir_remove(struct txn *t, struct inode *dir, const struct dirent *entry)
{
    struct key k = key_dirent(dir->ino, entry->slot);
    assert(entry->slot >= SLOT_MIN && entry->slot <= SLOT_MAX);
    store_batch_delete(t->batch, key_slice(&k));
    dir->size -= dir->size > 0; /* a damaged count must not wrap */
    dir->mtime = dir->ctime = t->now;
}

void dir_replace(struct txn *t, struct inode *dir, const struct dirent *entry, const char *name,
                 uint64_t ino, uint32_t mode)
{
    assert(entry->slot >= SLOT_MIN && entry->slot <= SLOT_MAX);
    put(t, dir->ino, entry->slot, name, ino, mode);
    dir->mtime = dir->ctime = t->now;
}

/* ---- listing ---- */

enum { COOKIE_DOT = 1, COOKIE_DOTDOT = 2 };

/* Hands one entry on. 1 when `fn` ends the listing. */
static int emit(struct reader *r, uint64_t ino, uint32_t type_mode, const char *name, uint64_t next,
                bool with_attr, fs_dirent_fn *fn, void *ctx)
{
    struct fs_attr attr = {.ino = ino_join(r->snapshot, ino), .mode = type_mode};
    if (with_attr) {
        struct inode n;
        int err = inode_get(&r->read, ino, &n);
        /* What is damaged must not keep the rest of the folder from being listed. */
        if (err == 0)
            inode_attr(r->fs, &n, r->snapshot, &attr);
        else if (err == -ENOENT)
            corrupt(name, UINT64_MAX, "an entry for an inode that is not there");
    }
    return fn(ctx, name, &attr, next) ? 1 : 0;
}

static int emit_entry(struct reader *r, uint64_t dir, struct store_iter *it, bool with_attr,
                      fs_dirent_fn *fn, void *ctx)
{
    char name[FS_NAME_MAX + 1];
    uint64_t folder, slot = 0;
    uint8_t kind;
    struct slice rest, value;
    struct dirent_record d;
    int err = store_iter_value(it, &value);
    if (err < 0)
        return err;
    if (!key_split(store_iter_key(it), &folder, &kind, &rest) || !take_be64(&rest, &slot) ||
        dirent_decode(value, &d) < 0)
        return corrupt_entry(dir, slot);
    memcpy(name, d.name.data, d.name.len);
    name[d.name.len] = 0;
    return emit(r, d.ino, (uint32_t)d.type << 12, name, slot, with_attr, fn, ctx);
}

int dir_list(struct reader *r, const struct inode *dir, uint64_t cookie, bool with_attr,
             fs_dirent_fn *fn, void *ctx)
{
    int err = 0;
    assert(inode_is_dir(dir) && fn);
    if (cookie < COOKIE_DOT)
        err = emit(r, dir->ino, S_IFDIR, ".", COOKIE_DOT, with_attr, fn, ctx);
    if (err == 0 && cookie < COOKIE_DOTDOT)
        err = emit(r, dir->parent, S_IFDIR, "..", COOKIE_DOTDOT, with_attr, fn, ctx);
    if (err != 0 || cookie >= SLOT_MAX)
        return 0;
    struct key lower = key_dirent(dir->ino, cookie + 1), upper = key_kind(dir->ino, KIND_DATA);
    struct store_iter *it = store_iter_new(&r->read, key_slice(&lower), key_slice(&upper));
    err = store_iter_first(it);
    while (err == 0) {
        err = emit_entry(r, dir->ino, it, with_attr, fn, ctx);
        if (err == 0)
            err = store_iter_next(it);
    }
    store_iter_free(it);
    return err < 0 ? err : 0;
}
