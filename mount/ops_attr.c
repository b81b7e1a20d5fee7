/* ops_attr: requests about attributes, extended attributes, links' targets, and the whole file
 * system. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "mount/control.h"
#include "mount/keeper.h"
#include "mount/live.h"
#include "mount/ops_priv.h"
#include "mount/report.h"
#include "mount/times.h"
#include "mount/wire.h"

void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs_attr attr;
    (void)fi;
    if (ino == CONTROL_INO_FENCE) {
        control_fence_attr(&attr);
        reply_attr(req, 0, &attr);
        return;
    }
    if (live_is(ino)) {
        ops_live_getattr(req, ino);
        return;
    }
    int err = fs_getattr(mount_of(req)->fs, ino, &attr);
    reply_attr(req, err, &attr);
}

/* Is who made the request in that group, or above such questions? What cannot be told is no. */
static bool is_in_group(fuse_req_t req, uint32_t gid)
{
    enum { GROUPS_MAX = 65536 };
    struct fs_cred cred = reply_cred(req);
    if (cred.uid == 0 || cred.gid == gid)
        return true;
    gid_t *list = mem_alloc(GROUPS_MAX * sizeof *list);
    int count = fuse_req_getgroups(req, GROUPS_MAX, list);
    bool found = false;
    for (int i = 0; i < count && i < GROUPS_MAX && !found; i++)
        found = list[i] == gid;
    free(list);
    return found;
}

/* As the kernel does for other file systems: set-user-id goes always, set-group-id where the group
 * may execute, or where the caller is not of the group. */
static uint32_t without_suid(fuse_req_t req, const struct fs_attr *attr)
{
    uint32_t mode = attr->mode & ~(uint32_t)S_ISUID;
    assert(!S_ISDIR(mode));
    if (mode & S_ISGID && (mode & S_IXGRP || !is_in_group(req, attr->gid)))
        mode &= ~(uint32_t)S_ISGID;
    return mode;
}

int ops_drop_suid(fuse_req_t req, uint64_t ino)
{
    struct fs *fs = mount_of(req)->fs;
    struct fs_attr attr, want;
    int err = fs_getattr(fs, ino, &attr);
    if (err < 0 || S_ISDIR(attr.mode) || !(attr.mode & (S_ISUID | S_ISGID)))
        return err;
    want = (struct fs_attr){.mode = without_suid(req, &attr)};
    assert((want.mode & ~attr.mode) == 0); /* takes away, never gives */
    return want.mode == attr.mode ? 0 : fs_setattr(fs, ino, FS_SET_MODE, &want, &attr);
}

/* A request to set nothing is how the kernel announces a write, or an allocation, that takes them
 * away, or (by root, who may keep them) file capabilities alone; it wants to see the new mode in
 * the answer. One to set the change time is a change of owner that changes none. */
static bool kills_suid(fuse_req_t req, unsigned set, int to_set)
{
    if (set == 0)
        return reply_cred(req).uid != 0;
    return set & (FS_SET_UID | FS_SET_GID) || set == FS_SET_CTIME ||
           to_set & FUSE_SET_ATTR_KILL_SUID;
}

void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                 struct fuse_file_info *fi)
{
    struct fs *fs = mount_of(req)->fs;
    struct fs_attr want, attr;
    unsigned set = reply_set(st, to_set, &want);
    int err = 0;
    (void)fi;
    if (live_is(ino)) {
        ops_live_setattr(req, ino, set);
        return;
    }
    if (wire_has_killpriv() && !(set & FS_SET_MODE) && kills_suid(req, set, to_set))
        err = ops_drop_suid(req, ino);
    if (err == 0)
        err = fs_setattr(fs, ino, set, &want, &attr);
    reply_attr(req, err, &attr);
}

void ops_readlink(fuse_req_t req, fuse_ino_t ino)
{
    char target[FS_SYMLINK_MAX + 1];
    int err = fs_readlink(mount_of(req)->fs, ino, target);
    times_nudge(mount_of(req)->times);
    assert(err < 0 || strlen(target) <= FS_SYMLINK_MAX);
    if (err < 0)
        reply_status(req, err);
    else
        fuse_reply_readlink(req, target);
}

/* The kernel lets everyone write an attribute who may write to the folder. */
int ops_may_order(fuse_req_t req)
{
    struct fs_attr root;
    uint32_t uid = reply_cred(req).uid;
    int err = fs_getattr(mount_of(req)->fs, FS_INO_ROOT, &root);
    return err < 0 || uid == 0 || uid == root.uid ? err : -EPERM;
}

static int order(fuse_req_t req, const char *name, const char *value, size_t len)
{
    struct mount *m = mount_of(req);
    int err = ops_may_order(req);
    if (err < 0)
        return err;
    if (strcmp(name, KEEPER_XATTR) == 0)
        return keeper_set(m->keeper, value, len);
    return control_is_scrub(FS_INO_ROOT, name)
               ? control_scrub_set(m, value, len)
               : control_compact_set(control_compact_of(m), value, len);
}

/* The owner of a folder may not raise their own limit. NULL: it is taken away. */
static int order_quota(fuse_req_t req, uint64_t ino, const char *name, const char *value,
                       size_t len)
{
    struct mount *m = mount_of(req);
    int err = ops_may_order(req);
    if (err < 0)
        return err;
    return value ? control_quota_set(m, ino, name, value, len) : control_quota_remove(m, ino, name);
}

void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t len,
                  int flags)
{
    if (control_is_scrub(ino, name) || control_is_compact(ino, name) || keeper_is_rule(ino, name))
        reply_status(req, order(req, name, value, len));
    else if (control_is_checkpoint(ino, name))
        control_checkpoint(req, value, len);
    else if (live_is(ino))
        reply_status(req, -EPERM);
    else if (control_is_quota(name))
        reply_status(req, order_quota(req, ino, name, value, len));
    else if (control_is_compression(name))
        reply_status(req, control_compression_set(mount_of(req), ino, value, len));
    else
        reply_status(req, fs_setxattr(mount_of(req)->fs, ino, name, value, len,
                                      wire_kills_sgid() ? flags | FS_XATTR_KILL_SGID : flags));
}

/* Both kinds of answer: the length alone, or the bytes. */
static void reply_bytes(fuse_req_t req, int err, const void *data, size_t len, size_t size)
{
    assert(err <= 0 && (err < 0 || size == 0 || data));
    if (err == 0 && size > 0 && len > size)
        err = -ERANGE;
    if (err < 0)
        reply_status(req, err);
    else if (size == 0)
        fuse_reply_xattr(req, len);
    else
        fuse_reply_buf(req, data, len);
}

/* What the folder .varve tells of the mount. */
static void reply_report(fuse_req_t req, const char *name, size_t size)
{
    struct buf out = {0};
    int err = report_xattr(mount_of(req)->fs, name, &out);
    reply_bytes(req, err == 1 ? -ENODATA : err, out.data, out.len, size);
    buf_release(&out);
}

/* How far a piece of background work is; false: it is no such attribute. */
static bool reply_state(fuse_req_t req, uint64_t ino, const char *name, size_t size)
{
    struct mount *m = mount_of(req);
    struct control_compact_status status;
    union {
        char scrub[CONTROL_SCRUB_TEXT_MAX];
        char checkpoint[CONTROL_CHECKPOINT_TEXT_MAX];
        char compact[CONTROL_COMPACT_TEXT_MAX];
        char keep[KEEPER_RULE_MAX];
    } text;
    if (control_is_scrub(ino, name)) {
        control_scrub_get(m, text.scrub);
    } else if (control_is_checkpoint(ino, name)) {
        control_checkpoint_get(m, text.checkpoint);
    } else if (keeper_is_rule(ino, name)) {
        keeper_get(m->keeper, text.keep);
    } else if (control_is_compact(ino, name)) {
        control_compact_get(control_compact_of(m), &status);
        control_compact_print(&status, text.compact);
    } else {
        return false;
    }
    const char *value = (const char *)&text;
    reply_bytes(req, 0, value, strlen(value), size);
    return true;
}

/* The attributes that are no values of anybody's; 1: it is none of them. */
static int get_own(struct mount *m, uint64_t ino, const char *name,
                   char text[CONTROL_SHOT_TEXT_MAX])
{
    if (control_is_quota(name))
        return control_quota_get(m, ino, name, text);
    if (control_is_compression(name))
        return control_compression_get(m, ino, text);
    return control_xattr(m, ino, name, text);
}

void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    char text[CONTROL_SHOT_TEXT_MAX];
    size_t len = 0;
    if (ino == CONTROL_INO_FENCE || live_is(ino)) {
        reply_status(req, -ENODATA);
        return;
    }
    if (ino == FS_INO_CONTROL) {
        reply_report(req, name, size);
        return;
    }
    if (reply_state(req, ino, name, size))
        return;
    /* What a snapshot frees takes work to find out. */
    int err = control_is_frees(ino, name) ? ops_may_order(req) : 0;
    if (err == 0)
        err = get_own(mount_of(req), ino, name, text);
    if (err != 1) {
        reply_bytes(req, err, text, err == 0 ? strlen(text) : 0, size);
        return;
    }
    void *value = size ? reply_buffer(size) : NULL;
    err = fs_getxattr(mount_of(req)->fs, ino, name, value, size, &len);
    reply_bytes(req, err, value, len, size);
}

/* Names in the trusted space are for root's eyes, as on other file systems. What is left, in order.
 */
static size_t without_trusted(char *names, size_t len)
{
    static const char space[] = "trusted.";
    size_t kept = 0;
    for (size_t at = 0, one; at < len; at += one) {
        one = strlen(names + at) + 1;
        assert(at + one <= len);
        if (strncmp(names + at, space, sizeof space - 1) == 0)
            continue;
        memmove(names + kept, names + at, one);
        kept += one;
    }
    return kept;
}

/* The kernel's limit for a list is XATTR_LIST_MAX, 64 KiB: so it fits a buffer of that size, or
 * cannot be told. */
void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    enum { LIST_MAX = 65536 };
    size_t len = 0;
    if (live_is(ino)) {
        reply_bytes(req, 0, "", 0, size);
        return;
    }
    if (reply_cred(req).uid == 0) {
        void *names = size ? reply_buffer(size) : NULL;
        int err = fs_listxattr(mount_of(req)->fs, ino, names, size, &len);
        reply_bytes(req, err, names, len, size);
        return;
    }
    char *names = reply_buffer(LIST_MAX);
    int err = fs_listxattr(mount_of(req)->fs, ino, names, LIST_MAX, &len);
    reply_bytes(req, err, names, err == 0 ? without_trusted(names, len) : 0, size);
}

void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    struct mount *m = mount_of(req);
    int err = live_is(ino)                   ? -EPERM
              : control_is_quota(name)       ? order_quota(req, ino, name, NULL, 0)
              : control_is_compression(name) ? control_compression_remove(m, ino)
                                             : fs_removexattr(m->fs, ino, name);
    reply_status(req, err);
}

/* In units of 4 KiB. */
void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
    enum { UNIT = 4096 };
    struct fs_space space;
    assert(ino != 0);
    int err = fs_get_space(mount_of(req)->fs, live_is(ino) ? FS_INO_ROOT : ino, &space);
    if (err < 0) {
        reply_status(req, err);
        return;
    }
    assert(space.free_bytes <= space.total_bytes);
    const struct statvfs st = {.f_bsize = UNIT,
                               .f_frsize = UNIT,
                               .f_blocks = space.total_bytes / UNIT,
                               .f_bfree = space.free_bytes / UNIT,
                               .f_bavail = space.free_bytes / UNIT,
                               .f_files = space.inodes + space.inodes_free,
                               .f_ffree = space.inodes_free,
                               .f_favail = space.inodes_free,
                               .f_namemax = FS_NAME_MAX};
    fuse_reply_statfs(req, &st);
}
