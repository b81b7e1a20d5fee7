/* virtual: see virtual.h. Owned by whoever owns the root folder: the kernel's permission check then
 * lets exactly them (and root) take and drop snapshots. */
#include "fs/virtual.h"

#include "fs/history.h"
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
    attr->size = 0; /* times are without number */
    if (ino == FS_INO_CONTROL)
        attr->size = history_any(fs) ? 2 : 1;
    else if (ino == FS_INO_SNAPSHOTS)
        attr->size = snapshot_count(fs);
    attr->nlink = 2 + (uint32_t)attr->size; /* what is in them are folders */
    return 0;
}

int virtual_lookup(struct fs *fs, uint64_t dir, const char *name, struct fs_attr *attr)
{
    uint64_t number;
    if (dir == FS_INO_CONTROL && strcmp(name, FS_SNAPSHOTS_NAME) == 0)
        return virtual_getattr(fs, FS_INO_SNAPSHOTS, attr);
    if (dir == FS_INO_CONTROL && strcmp(name, FS_AT_NAME) == 0 && history_any(fs))
        return virtual_getattr(fs, FS_INO_AT, attr);
    if (dir == FS_INO_CONTROL)
        return -ENOENT;
    int err = dir == FS_INO_SNAPSHOTS ? snapshot_find(fs, name, &number)
                                      : history_find(fs, name, &number);
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

/* Moments by time: cookie COOKIE_FIRST + microseconds since 1970, rounded up. */
static int list_moments(struct fs *fs, uint64_t cookie, fs_dirent_fn *fn, void *ctx)
{
    char name[HISTORY_NAME_MAX];
    int64_t created, after = cookie > COOKIE_FIRST ? (int64_t)(cookie - COOKIE_FIRST) * 1000 : -1;
    for (; history_after(fs, after, &created, name) == 0; after = created) {
        struct fs_attr attr;
        int err = virtual_lookup(fs, FS_INO_AT, name, &attr);
        if (err == -ENOENT || err == -ESTALE)
            continue; /* forgotten just now */
        if (err < 0)
            return err;
        if (fn(ctx, name, &attr, COOKIE_FIRST + (uint64_t)(created / 1000 + 1)))
            return 0;
    }
    return 0;
}

/* The folders in /.varve: cookie COOKIE_FIRST + which comes next. */
static int list_control(struct fs *fs, uint64_t cookie, fs_dirent_fn *fn, void *ctx)
{
    struct fs_attr attr;
    int err = 0;
    if (cookie < COOKIE_FIRST) {
        err = virtual_getattr(fs, FS_INO_SNAPSHOTS, &attr);
        if (err < 0 || fn(ctx, FS_SNAPSHOTS_NAME, &attr, COOKIE_FIRST))
            return err;
    }
    if (cookie <= COOKIE_FIRST && history_any(fs)) {
        err = virtual_getattr(fs, FS_INO_AT, &attr);
        if (err == 0)
            fn(ctx, FS_AT_NAME, &attr, COOKIE_FIRST + 1);
    }
    return err;
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
    return dir == FS_INO_AT ? list_moments(fs, cookie, fn, ctx) : list_control(fs, cookie, fn, ctx);
}
