/* fsmodel_play: the same operations on a real file system, and the comparison with it; see
 * fsmodel.h. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/sim/fsmodel.h"

void fsop_bytes(const struct fsop *op, struct buf *out)
{
    out->len = 0;
    uint8_t *p = buf_reserve(out, op->len + 1);
    /* No NUL, and half of it compressible. */
    for (uint32_t i = 0; i < op->len; i++)
        p[i] = (uint8_t)(1 + ((i % 2 ? op->fill : (op->fill >> (i % 23)) + i / 24) & 0x7f));
    p[op->len] = 0;
    out->len = op->len + 1;
}

const char *fsacl_name(int which)
{
    return which == 0 ? "system.posix_acl_access" : "system.posix_acl_default";
}

struct fsacl fsop_acl(const struct fsop *op)
{
    uint32_t f = op->fill;
    return (struct fsacl){.there = true,
                          .plain = f >> 15 & 1 && f >> 16 & 1,
                          .owner = f & 7,
                          .user = f >> 3 & 7,
                          .group = f >> 6 & 7,
                          .mask = f >> 9 & 7,
                          .other = f >> 12 & 7};
}

void fsacl_bytes(const struct fsacl *a, struct buf *out)
{
    const struct {
        uint16_t tag, perm;
        uint32_t id;
    } entries[] = {{1, a->owner, UINT32_MAX},
                   {2, a->user, 5},
                   {4, a->group, UINT32_MAX},
                   {16, a->mask, UINT32_MAX},
                   {32, a->other, UINT32_MAX}};
    buf_clear(out);
    buf_put_u32(out, 2);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        if (a->plain && (entries[i].tag == 2 || entries[i].tag == 16))
            continue;
        buf_put_u16(out, entries[i].tag);
        buf_put_u16(out, entries[i].perm);
        buf_put_u32(out, entries[i].id);
    }
}

void fsop_print(const struct fsop *op, char text[160])
{
    static const char *const kinds[FSOP_KINDS] = {
        [FSOP_CREATE] = "create",       [FSOP_FIFO] = "fifo",
        [FSOP_MKDIR] = "mkdir",         [FSOP_SYMLINK] = "symlink",
        [FSOP_LINK] = "link",           [FSOP_UNLINK] = "unlink",
        [FSOP_RMDIR] = "rmdir",         [FSOP_RENAME] = "rename",
        [FSOP_WRITE] = "write",         [FSOP_TRUNCATE] = "truncate",
        [FSOP_FALLOCATE] = "fallocate", [FSOP_CHANGE] = "change",
        [FSOP_SETXATTR] = "setxattr",   [FSOP_REMOVEXATTR] = "removexattr",
        [FSOP_SETACL] = "setacl",       [FSOP_REMOVEACL] = "removeacl",
        [FSOP_TMPFILE] = "tmpfile",     [FSOP_COPY] = "copy",
        [FSOP_FLAGS] = "flags",         [FSOP_POLICY] = "policy",
        [FSOP_QUOTA] = "quota",         [FSOP_FORGET] = "forget",
        [FSOP_SYNC] = "sync",           [FSOP_WORK] = "work",
        [FSOP_SNAPSHOT] = "snapshot",   [FSOP_UNSNAPSHOT] = "unsnapshot",
        [FSOP_REOPEN] = "reopen",
    };
    snprintf(text, 160,
             "%s node %d name %d, node %d name %d, flags %u, offset %u and %u, len %u, pin %d",
             kinds[op->kind], op->node, op->name, op->node2, op->name2, op->flags, op->offset,
             op->offset2, op->len, op->pin);
}

/* ---- playing ---- */

static int play_make(struct fs *fs, const struct fsop *op, uint64_t dir, const char *bytes,
                     uint64_t *made)
{
    static const struct fs_cred cred = {.uid = 7, .gid = 8, .umask = FSMODEL_UMASK};
    const char *name = fsmodel_name(op->name);
    struct fs_attr a = {0};
    int err;
    if (op->kind == FSOP_MKDIR)
        err = fs_mkdir(fs, dir, name, 0777, &cred, &a);
    else if (op->kind == FSOP_TMPFILE)
        err = fs_tmpfile(fs, dir, 0600, op->flags != 0, &cred, &a);
    else if (op->kind == FSOP_SYMLINK)
        err = fs_symlink(fs, dir, name, bytes, &cred, &a);
    else
        err = fs_mknod(fs, dir, name, op->kind == FSOP_FIFO ? S_IFIFO | 0622 : S_IFREG | 0666, 0,
                       &cred, &a);
    *made = a.ino;
    return err;
}

static int play_acl(struct fs *fs, const struct fsop *op, uint64_t ino)
{
    struct fsacl acl = fsop_acl(op);
    struct buf list = {0};
    if (op->kind == FSOP_REMOVEACL)
        return fs_removexattr(fs, ino, fsacl_name(op->name % 2));
    fsacl_bytes(&acl, &list);
    int err = fs_setxattr(fs, ino, fsacl_name(op->name % 2), list.data, list.len, 0);
    buf_release(&list);
    return err;
}

static int play_change(struct fs *fs, const struct fsop *op, uint64_t ino)
{
    struct fs_attr a,
        want = {
            .size = op->offset, .mode = op->fill & 07777, .uid = op->fill, .gid = op->fill >> 3};
    return fs_setattr(fs, ino, op->kind == FSOP_TRUNCATE ? FS_SET_SIZE : op->flags, &want, &a);
}

/* `*made`: the whiteout, if one was made: nothing is moved if both names are of one file. */
static int play_rename(struct fs *fs, const struct fsop *op, uint64_t dir, uint64_t dir2,
                       uint64_t *made)
{
    static const struct fs_cred cred = {.uid = 7, .gid = 8};
    const char *name = fsmodel_name(op->name), *name2 = fsmodel_name(op->name2);
    unsigned flags = op->flags & ~(unsigned)FSMODEL_WHITEOUT;
    struct fs_attr before = {0}, after;
    if (flags == op->flags)
        return fs_rename(fs, dir, name, dir2, name2, flags);
    fs_lookup(fs, dir, name, &before);
    const struct fs_rename_how how = {.flags = flags, .whiteout = &cred};
    int err = fs_rename_with(fs, dir, name, dir2, name2, &how);
    if (err == 0 && fs_lookup(fs, dir, name, &after) == 0 && after.ino != before.ino)
        *made = after.ino;
    return err;
}

int fsop_play(struct fs *fs, const struct fsop *op, uint64_t *inos, size_t *ino_count)
{
    /* What was never made, or is gone, is asked for under a number that nothing has, and two such
     * under two numbers. */
    uint64_t nowhere = FS_INO_FIRST - 1, made = 0, copied;
    uint64_t ino = (size_t)op->node < *ino_count ? inos[op->node] : nowhere;
    uint64_t ino2 = (size_t)op->node2 < *ino_count ? inos[op->node2] : 0;
    if (ino2 == 0)
        ino2 = op->node2 == op->node ? ino : nowhere - 1;
    const char *name = fsmodel_name(op->name), *xattr = fsmodel_xattr(op->name % FSMODEL_XATTRS);
    struct fs_attr a;
    struct buf bytes = {0};
    int err = 0;
    fsop_bytes(op, &bytes);
    switch (op->kind) {
    case FSOP_CREATE:
    case FSOP_FIFO:
    case FSOP_MKDIR:
    case FSOP_SYMLINK:
    case FSOP_TMPFILE:
        err = play_make(fs, op, ino, (const char *)bytes.data, &made);
        if (err == 0)
            inos[(*ino_count)++] = made;
        break;
    case FSOP_LINK:
        err = fs_link(fs, ino, ino2, fsmodel_name(op->name2), &a);
        break;
    case FSOP_UNLINK:
        err = fs_unlink(fs, ino, name);
        break;
    case FSOP_RMDIR:
        err = fs_rmdir(fs, ino, name);
        break;
    case FSOP_RENAME:
        err = play_rename(fs, op, ino, ino2, &made);
        if (made)
            inos[(*ino_count)++] = made;
        break;
    case FSOP_WRITE:
        err = fs_write(fs, ino, op->offset, bytes.data, op->len);
        break;
    case FSOP_FALLOCATE:
        err = fs_fallocate(fs, ino, op->flags, op->offset, op->len);
        break;
    case FSOP_COPY:
        err = fs_copy(fs, ino, op->offset, ino2, op->offset2, op->len, &copied);
        break;
    case FSOP_FLAGS:
        err = fs_set_flags(fs, ino, op->flags);
        break;
    case FSOP_TRUNCATE:
    case FSOP_CHANGE:
        err = play_change(fs, op, ino);
        break;
    case FSOP_SETXATTR:
        err = fs_setxattr(fs, ino, xattr, bytes.data, op->len, (int)op->flags);
        break;
    case FSOP_REMOVEXATTR:
        err = fs_removexattr(fs, ino, xattr);
        break;
    case FSOP_SETACL:
    case FSOP_REMOVEACL:
        err = play_acl(fs, op, ino);
        break;
    case FSOP_POLICY:
        err = fs_set_compression(fs, ino, (int)(op->fill % 4) - 1);
        break;
    case FSOP_QUOTA:
        err = fs_set_quota(fs, ino, 0);
        break;
    default:
        assert(op->kind == FSOP_FORGET);
        fs_forget(fs, ino);
    }
    buf_release(&bytes);
    return err;
}

/* ---- comparing ---- */

struct comparison {
    const struct fsmodel *m;
    struct fs *fs;
    uint64_t *inos; /* of each node; 0: not met yet */
    char *why;
    char path[2048];
};

static bool differs(struct comparison *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool differs(struct comparison *c, const char *format, ...)
{
    va_list args;
    int used = snprintf(c->why, 256, "%.100s: ", c->path[0] ? c->path : "/");
    va_start(args, format);
    vsnprintf(c->why + used, 256 - (size_t)used, format, args);
    va_end(args);
    return false;
}

static bool same_attr(struct comparison *c, const struct fsnode *n, const struct fs_attr *a)
{
    uint64_t size = n->data.len;
    if (S_ISDIR(n->mode)) {
        size = 0;
        for (int i = 0; i < FSMODEL_NAMES; i++)
            size += n->entry[i] != 0;
    }
    if (a->mode != n->mode || a->nlink != n->nlink)
        return differs(c, "mode %o and %u links, should be %o and %u", a->mode, a->nlink, n->mode,
                       n->nlink);
    if (a->uid != n->uid || a->gid != n->gid)
        return differs(c, "owner %u:%u, should be %u:%u", a->uid, a->gid, n->uid, n->gid);
    if (a->flags != n->flags)
        return differs(c, "flags %x, should be %x", a->flags, n->flags);
    if (a->size != size)
        return differs(c, "size %llu, should be %llu", (unsigned long long)a->size,
                       (unsigned long long)size);
    return true;
}

static bool same_data(struct comparison *c, const struct fsnode *n, uint64_t ino)
{
    uint8_t *data = mem_alloc(FSMODEL_SIZE_MAX + 10);
    size_t got = 0;
    int err;
    if (S_ISLNK(n->mode)) {
        err = fs_readlink(c->fs, ino, (char *)data);
        got = err == 0 ? strlen((char *)data) : 0;
    } else {
        err = fs_read(c->fs, ino, 0, data, FSMODEL_SIZE_MAX + 10, &got);
    }
    bool same = err == 0 && slice_eq(slice_of(data, got), buf_slice(&n->data));
    size_t i = slice_shared(slice_of(data, got), buf_slice(&n->data));
    free(data);
    return same || differs(c, "contents differ at %zu of %zu (error %d)", i, n->data.len, err);
}

static bool same_acl(struct comparison *c, const struct fsnode *n, uint64_t ino, int which)
{
    uint8_t value[256];
    size_t len;
    struct buf list = {0};
    int err = fs_getxattr(c->fs, ino, fsacl_name(which), value, sizeof value, &len);
    int want = S_ISLNK(n->mode) ? -EOPNOTSUPP : n->acl[which].there ? 0 : -ENODATA;
    fsacl_bytes(&n->acl[which], &list);
    bool same = err == want && (err < 0 || slice_eq(slice_of(value, len), buf_slice(&list)));
    buf_release(&list);
    return same || differs(c, "%s differs (%d)", fsacl_name(which), err);
}

static bool same_xattrs(struct comparison *c, const struct fsnode *n, uint64_t ino)
{
    char value[4096];
    size_t len, names = 0;
    for (int which = 0; which < 2; which++) {
        if (!same_acl(c, n, ino, which))
            return false;
        names += n->acl[which].there ? strlen(fsacl_name(which)) + 1 : 0;
    }
    for (int x = 0; x < FSMODEL_XATTRS; x++) {
        int err = fs_getxattr(c->fs, ino, fsmodel_xattr(x), value, sizeof value, &len);
        if (n->has_xattr[x] ? err != 0 || !slice_eq(slice_of(value, len), buf_slice(&n->xattr[x]))
                            : err != -ENODATA)
            return differs(c, "extended attribute %s differs (%d)", fsmodel_xattr(x), err);
        names += n->has_xattr[x] ? strlen(fsmodel_xattr(x)) + 1 : 0;
    }
    int err = fs_listxattr(c->fs, ino, value, sizeof value, &len);
    return (err == 0 && len == names) || differs(c, "names of extended attributes differ");
}

struct count {
    size_t entries;
    uint64_t dot, dotdot;
};

static int count_entry(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    struct count *k = ctx;
    (void)next;
    if (strcmp(name, ".") == 0)
        k->dot = attr->ino;
    else if (strcmp(name, "..") == 0)
        k->dotdot = attr->ino;
    else
        k->entries++;
    return 0;
}

static bool same_node(struct comparison *c, int id, const struct fs_attr *a);

static bool same_folder(struct comparison *c, const struct fsnode *n, uint64_t ino)
{
    size_t len = strlen(c->path), entries = 0;
    struct count k = {0};
    int err = fs_readdir(c->fs, ino, 0, true, count_entry, &k);
    if (err < 0 || k.dot != ino || k.dotdot != c->inos[n->parent])
        return differs(c, "its listing, \".\" or \"..\" is wrong (%d)", err);
    for (int i = 0; i < FSMODEL_NAMES; i++) {
        struct fs_attr a;
        err = fs_lookup(c->fs, ino, fsmodel_name(i), &a);
        entries += n->entry[i] != 0;
        if (err != (n->entry[i] ? 0 : -ENOENT))
            return differs(c, "looking up \"%.20s\" says %d", fsmodel_name(i), err);
        snprintf(c->path + len, sizeof c->path - len, "/%.20s", fsmodel_name(i));
        if (n->entry[i] && !same_node(c, n->entry[i] - 1, &a))
            return false;
        c->path[len] = 0;
    }
    return k.entries == entries || differs(c, "%zu entries, should be %zu", k.entries, entries);
}

static bool same_node(struct comparison *c, int id, const struct fs_attr *a)
{
    const struct fsnode *n = &c->m->nodes[id];
    if (c->inos[id])
        return c->inos[id] == a->ino || differs(c, "it should be a second name of another");
    c->inos[id] = a->ino;
    if (!same_attr(c, n, a) || !same_xattrs(c, n, a->ino))
        return false;
    if (S_ISDIR(n->mode))
        return same_folder(c, n, a->ino);
    return S_ISFIFO(n->mode) || S_ISCHR(n->mode) || same_data(c, n, a->ino);
}

/* Two nodes are two inodes. */
static bool all_distinct(struct comparison *c)
{
    for (size_t i = 0; i < c->m->count; i++)
        for (size_t j = i + 1; j < c->m->count && c->inos[i]; j++)
            if (c->inos[i] == c->inos[j])
                return differs(c, "two files are one");
    return true;
}

/* What each counts towards, as far as the folder has a name by which its number is known. */
static bool same_quotas(struct comparison *c)
{
    for (size_t i = 0; i < c->m->count; i++) {
        int folder = c->m->nodes[i].quota;
        struct fs_quota q;
        if (c->inos[i] == 0 || (folder && c->inos[folder - 1] == 0))
            continue;
        int err = fs_get_quota(c->fs, c->inos[i], &q);
        if (err != (folder ? 0 : 1) || (folder && q.folder != c->inos[folder - 1]))
            return differs(c, "inode %llu counts towards %llu (%d), should be towards node %d",
                           (unsigned long long)c->inos[i], (unsigned long long)q.folder, err,
                           folder - 1);
    }
    return true;
}

static bool same_policies(struct comparison *c)
{
    for (size_t i = 0; i < c->m->count; i++) {
        int level, expected = c->m->nodes[i].policy - 1;
        if (c->inos[i] == 0)
            continue;
        int err = fs_get_compression(c->fs, c->inos[i], &level);
        if (err < 0 || level != expected)
            return differs(c, "inode %llu is compressed at level %d, should be at %d",
                           (unsigned long long)c->inos[i], level, expected);
    }
    return true;
}

bool fsmodel_equals(const struct fsmodel *m, struct fs *fs, uint64_t snapshot, uint64_t *inos,
                    char why[256])
{
    struct comparison c = {.m = m, .fs = fs, .why = why};
    struct fs_attr a;
    c.inos = mem_zalloc(m->count * sizeof *c.inos);
    why[0] = 0;
    int err = fs_getattr(fs, snapshot << FS_INO_BITS | FS_INO_ROOT, &a);
    bool same = err == 0 ? same_node(&c, 0, &a) && all_distinct(&c) : differs(&c, "error %d", err);
    if (same && !m->limits_unseen)
        same = same_policies(&c) && (snapshot != 0 || same_quotas(&c));
    if (inos && same)
        memcpy(inos, c.inos, m->count * sizeof *inos);
    free(c.inos);
    return same;
}
