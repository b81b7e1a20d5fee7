/* ops_name: requests about names. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mount/control.h"
#include "mount/live.h"
#include "mount/ops_priv.h"
#include "mount/settle.h"

/* What the kernel promises of a name. */
static void assert_name(uint64_t dir, const char *name)
{
    assert(dir != 0);
    assert(*name && !strchr(name, '/'));
    (void)dir;
    (void)name;
}

void ops_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    struct fs_attr attr;
    assert_name(dir, name);
    if (dir == FS_INO_CONTROL && strcmp(name, CONTROL_FENCE_NAME) == 0) {
        control_fence_attr(&attr);
        reply_entry(req, 0, &attr);
        return;
    }
    if (ops_live_lookup(req, dir, name))
        return;
    int err = fs_lookup(mount_of(req)->fs, dir, name, &attr);
    /* What is not there yet comes by itself: the kernel must not remember that it was not. */
    if (dir == FS_INO_AT || (dir == FS_INO_CONTROL && strcmp(name, FS_AT_NAME) == 0))
        reply_entry(req, err, &attr);
    else
        reply_lookup(req, err, &attr);
}

void ops_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev)
{
    struct fs_cred cred = reply_cred(req);
    struct fs_attr attr;
    assert_name(dir, name);
    assert(!S_ISDIR(mode) && !S_ISLNK(mode));
    int err = fs_mknod(mount_of(req)->fs, dir, name, mode, rdev, &cred, &attr);
    reply_entry(req, err, &attr);
}

void ops_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                struct fuse_file_info *fi)
{
    struct mount *m = mount_of(req);
    struct fs_cred cred = reply_cred(req);
    struct fuse_entry_param entry;
    struct fs_attr attr;
    assert_name(dir, name);
    int err = fs_mknod(m->fs, dir, name, (mode & 07777) | S_IFREG, 0, &cred, &attr);
    if (err < 0) {
        reply_status(req, err);
        return;
    }
    assert(S_ISREG(attr.mode) && attr.ino >= FS_INO_FIRST);
    reply_entry_fill(&attr, &entry);
    fi->keep_cache = 1;
    lookups_add(m->lookups, attr.ino);
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY;
    if (writes)
        lookups_open(m->lookups, attr.ino);
    if (fuse_reply_create(req, &entry, fi) != -ENOENT)
        return;
    if (writes)
        lookups_close(m->lookups, attr.ino);
    reply_forget(m, attr.ino, 1);
}

void ops_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
    struct fs_cred cred = reply_cred(req);
    struct fs_attr attr;
    assert_name(dir, name);
    if (dir == FS_INO_SNAPSHOTS) {
        control_snapshot(req, name, mode);
        return;
    }
    int err = fs_mkdir(mount_of(req)->fs, dir, name, mode, &cred, &attr);
    reply_entry(req, err, &attr);
}

void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name)
{
    struct fs_cred cred = reply_cred(req);
    struct fs_attr attr;
    assert_name(dir, name);
    assert(*target);
    int err = fs_symlink(mount_of(req)->fs, dir, name, target, &cred, &attr);
    reply_entry(req, err, &attr);
}

void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name)
{
    struct fs_attr attr;
    assert_name(dir, name);
    int err = fs_link(mount_of(req)->fs, ino, dir, name, &attr);
    reply_entry(req, err, &attr);
}

void ops_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    assert_name(dir, name);
    bool live = dir == FS_INO_CONTROL && live_is_name(name);
    reply_status(req, live ? -EPERM : fs_unlink(mount_of(req)->fs, dir, name));
}

void ops_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    assert_name(dir, name);
    reply_status(req, fs_rmdir(mount_of(req)->fs, dir, name));
}

/* ---- renaming ---- */

/* What is to be renamed, and the files of which all is known here: those that have been settled. */
struct renaming {
    struct mount *mount;
    uint64_t dir, new_dir;
    unsigned flags;
    uint64_t settled[2]; /* as many as change places */
    uint64_t unsettled;  /* that made it wait last */
    const char *name, *new_name;
    char names[]; /* of one that waits */
};

static bool is_settled(void *ctx, uint64_t ino)
{
    struct renaming *r = ctx;
    bool settled = ino == r->settled[0] || ino == r->settled[1] || !ops_may_hold(r->mount, ino);
    if (!settled)
        r->unsettled = ino;
    return settled;
}

/* -EAGAIN: not before r->unsettled is settled. */
static int try_rename(fuse_req_t req, struct renaming *r)
{
    struct fs_cred cred = reply_cred(req);
    const unsigned whiteout = RENAME_WHITEOUT;
    struct fs_rename_how how = {.flags = r->flags & ~whiteout,
                                .whiteout = r->flags & whiteout ? &cred : NULL,
                                .ready = is_settled,
                                .ready_ctx = r};
    r->unsettled = 0;
    return fs_rename_with(r->mount->fs, r->dir, r->name, r->new_dir, r->new_name, &how);
}

static void rename_settled(fuse_req_t req, void *args)
{
    struct renaming *r = args;
    r->settled[r->settled[0] ? 1 : 0] = r->unsettled;
    int err = try_rename(req, r);
    /* The kernel has both folders locked: other files cannot have come to these names. */
    if (err == -EAGAIN && r->unsettled && !r->settled[1]) {
        settle_first(r->mount->settle, req, r->unsettled, rename_settled, r);
        return;
    }
    reply_status(req, err);
    free(r);
}

static void rename_later(fuse_req_t req, const struct renaming *now)
{
    size_t len = strlen(now->name) + 1, new_len = strlen(now->new_name) + 1;
    struct renaming *r = mem_alloc(sizeof *r + len + new_len);
    *r = *now;
    r->name = memcpy(r->names, now->name, len);
    r->new_name = memcpy(r->names + len, now->new_name, new_len);
    settle_first(r->mount->settle, req, r->unsettled, rename_settled, r);
}

/* A file that replaces another takes its contents along (settle.h). */
void ops_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t new_dir,
                const char *new_name, unsigned flags)
{
    assert_name(dir, name);
    assert_name(new_dir, new_name);
    struct renaming r = {.mount = mount_of(req),
                         .dir = dir,
                         .new_dir = new_dir,
                         .flags = flags,
                         .name = name,
                         .new_name = new_name};
    int err = try_rename(req, &r);
    if (err == -EAGAIN && r.unsettled)
        rename_later(req, &r);
    else
        reply_status(req, err);
}

static void forget(struct mount *m, uint64_t ino, uint64_t count)
{
    assert(ino != 0 && count > 0);
    if (live_is(ino))
        live_forget(m->live, ino, count);
    else
        reply_forget(m, ino, count);
}

void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    forget(mount_of(req), ino, count);
    fuse_reply_none(req);
}

void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        forget(mount_of(req), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}
