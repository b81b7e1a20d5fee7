/* virtual: see virtual.h. Owned by whoever owns the root folder: the kernel's permission check then
 * lets exactly them (and root) take and drop snapshots. */
#include "fs/virtual.h"

#include "fs/snapshot.h"

enum { COOKIE_DOT = 1, COOKIE_DOTDOT = 2, COOKIE_FIRST = 16 };

bool virtual_is_control(uint64_t dir, const char *name)
{
    return dir == FS_INO_ROOT && strcmp(name, FS_CONTROL_NAME) == 0;
}

int virtual_getattr(struct fs *fs, uint64_t ino, struct fs_attr *attr)
{
    struct store_read read;
    struct inode root;
    assert(ino_is_virtual(ino));
    volume_read_begin(fs, &read);
    int err = inode_get(&read, FS_INO_ROOT, &root);
    store_read_end(&read);
    if (err < 0)
        return err;
    inode_attr(fs, &root, 0, attr);
    attr->ino = ino;
    attr->mode = S_IFDIR | 0755;
    attr->size = ino == FS_INO_CONTROL ? 1 : snapshot_count(fs);
    attr->nlink = 2 + (uint32_t)attr->size; /* what is in them are folders */
    return 0;
}

int virtual_lookup(struct fs *fs, uint64_t dir, const char *name, struct fs_attr *attr)
{
    uint64_t number;
    if (dir == FS_INO_CONTROL)
        return strcmp(name, FS_SNAPSHOTS_NAME) == 0 ? virtual_getattr(fs, FS_INO_SNAPSHOTS, attr)
                                                    : -ENOENT;
    assert(dir == FS_INO_SNAPSHOTS);
    int err = snapshot_find(fs, name, &number);
    return err == 0 ? snapshot_root(fs, number, attr) : err;
}

static int dots(struct fs *fs, uint64_t dir, uint64_t cookie, fs_dirent_fn *fn, void *ctx)
{
    struct fs_attr attr, above;
    int err = virtual_getattr(fs, dir, &attr);
    if (err == 0)
        err = dir == FS_INO_CONTROL ? snapshot_root(fs, 0, &above)
                                    : virtual_getattr(fs, FS_INO_CONTROL, &above);
    if (err == 0 && cookie < COOKIE_DOT && fn(ctx, ".", &attr, COOKIE_DOT))
        return 1;
    if (err == 0 && cookie < COOKIE_DOTDOT && fn(ctx, "..", &above, COOKIE_DOTDOT))
        return 1;
    return err;
}

/* Snapshots by number: cookie COOKIE_FIRST + number. */
static int list_snapshots(struct fs *fs, uint64_t cookie, fs_dirent_fn *fn, void *ctx)
{
    char name[FS_NAME_MAX + 1];
    uint64_t number = cookie > COOKIE_FIRST ? cookie - COOKIE_FIRST : 0;
    while (snapshot_after(fs, number, &number, name) == 0) {
        struct fs_attr attr;
        int err = snapshot_root(fs, number, &attr);
        if (err == -ESTALE)
            continue; /* deleted just now */
        if (err < 0)
            return err;
        if (fn(ctx, name, &attr, COOKIE_FIRST + number))
            return 0;
    }
    return 0;
}

int virtual_readdir(struct fs *fs, uint64_t dir, uint64_t cookie, bool with_attr, fs_dirent_fn *fn,
                    void *ctx)
{
    (void)with_attr; /* they cost nothing here */
    assert(ino_is_virtual(dir) && fn);
    int err = dots(fs, dir, cookie, fn, ctx);
    if (err != 0)
        return err < 0 ? err : 0;
    if (dir == FS_INO_SNAPSHOTS)
        return list_snapshots(fs, cookie, fn, ctx);
    struct fs_attr attr;
    if (cookie >= COOKIE_FIRST)
        return 0;
    err = virtual_getattr(fs, FS_INO_SNAPSHOTS, &attr);
    if (err == 0)
        fn(ctx, FS_SNAPSHOTS_NAME, &attr, COOKIE_FIRST);
    return err;
}
