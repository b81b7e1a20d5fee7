/* fsmodel: see fsmodel.h. The model itself, and random operations on it. */
#include "tests/sim/fsmodel.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LONG_50  "llllllllllllllllllllllllllllllllllllllllllllllllll"
#define LONG_250 LONG_50 LONG_50 LONG_50 LONG_50 LONG_50

const char *fsmodel_name(int i)
{
    static const char *const names[FSMODEL_NAMES] = {
        "a", "b", "c", "file.txt", "\xff\x01 \n", LONG_250 "-long", ".hidden", "bad/name"};
    return names[i];
}

const char *fsmodel_xattr(int i)
{
    static const char *const names[FSMODEL_XATTRS] = {"user.a", "user.longer name", "trusted.t"};
    return names[i];
}

/* ---- nodes ---- */

static int add_node(struct fsmodel *m, uint32_t mode, int parent)
{
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 64;
        m->nodes = mem_realloc(m->nodes, m->cap * sizeof *m->nodes);
    }
    m->nodes[m->count] = (struct fsnode){
        .mode = mode, .nlink = S_ISDIR(mode) ? 2 : 1, .uid = 7, .gid = 8, .parent = parent};
    return (int)m->count++;
}

void fsmodel_init(struct fsmodel *m)
{
    *m = (struct fsmodel){0};
    add_node(m, S_IFDIR | 0755, 0);
}

void fsmodel_release(struct fsmodel *m)
{
    for (size_t i = 0; i < m->count; i++) {
        buf_release(&m->nodes[i].data);
        for (int x = 0; x < FSMODEL_XATTRS; x++)
            buf_release(&m->nodes[i].xattr[x]);
    }
    free(m->nodes);
}

static struct fsnode *node_at(struct fsmodel *m, int id)
{
    return (size_t)id < m->count && !m->nodes[id].gone ? &m->nodes[id] : NULL;
}

static bool is_dir(const struct fsnode *n)
{
    return S_ISDIR(n->mode);
}

static bool is_empty(const struct fsnode *n)
{
    for (int i = 0; i < FSMODEL_NAMES; i++)
        if (n->entry[i])
            return false;
    return true;
}

/* What immutable and append-only forbid: see fs/flags.h. */
static bool is_immutable(const struct fsnode *n)
{
    return n->flags & FS_FLAG_IMMUTABLE;
}

static bool is_fixed(const struct fsnode *n)
{
    return n->flags & (FS_FLAG_IMMUTABLE | FS_FLAG_APPEND);
}

static void drop_link(struct fsnode *n)
{
    n->nlink = is_dir(n) ? 0 : n->nlink - 1;
}

/* ---- operations ---- */

static int check_folder(const struct fsnode *n)
{
    return !n ? -ENOENT : is_dir(n) ? 0 : -ENOTDIR;
}

/* What is new gets the folder's default list, limited by its mode, or its mode limited by umask. */
static void inherit(struct fsnode *n, const struct fsnode *dir)
{
    struct fsacl a = dir->acl[1];
    if (S_ISLNK(n->mode))
        return;
    if (!a.there) {
        n->mode &= ~(uint32_t)FSMODEL_UMASK;
        return;
    }
    if (is_dir(n))
        n->acl[1] = a;
    uint8_t *group = a.plain ? &a.group : &a.mask;
    a.owner &= n->mode >> 6 & 7;
    *group &= n->mode >> 3 & 7;
    a.other &= n->mode & 7;
    n->mode = (n->mode & ~0777u) | (uint32_t)(a.owner << 6 | *group << 3 | a.other);
    if (!a.plain)
        n->acl[0] = a;
}

/* With what a new node has from its folder. */
static int add_inheriting(struct fsmodel *m, uint32_t mode, int folder)
{
    int id = add_node(m, mode, folder);
    const struct fsnode *dir = node_at(m, folder);
    if (dir->mode & S_ISGID) {
        m->nodes[id].gid = dir->gid;
        m->nodes[id].mode |= S_ISDIR(mode) ? S_ISGID : 0;
    }
    m->nodes[id].flags = dir->flags & FS_FLAG_NODUMP;
    m->nodes[id].quota = dir->quota;
    m->nodes[id].policy = S_ISREG(mode) || S_ISDIR(mode) ? dir->policy : 0;
    if (!S_ISCHR(mode)) /* a whiteout */
        inherit(&m->nodes[id], dir);
    return id;
}

static int make(struct fsmodel *m, const struct fsop *op, uint32_t mode)
{
    struct fsnode *dir = node_at(m, op->node);
    int err = check_folder(dir);
    if (err < 0)
        return err;
    if (dir->nlink == 0)
        return op->kind == FSOP_TMPFILE ? -EPERM : -ENOENT;
    if (op->kind != FSOP_TMPFILE && dir->entry[op->name])
        return -EEXIST;
    if (is_immutable(dir))
        return -EPERM;
    int id = add_inheriting(m, mode, op->node);
    if (op->kind == FSOP_TMPFILE) {
        m->nodes[id].nlink = 0;
        m->nodes[id].linkable = op->flags != 0;
        return 0;
    }
    dir = node_at(m, op->node); /* it may have moved */
    dir->entry[op->name] = id + 1;
    dir->nlink += S_ISDIR(mode);
    if (S_ISLNK(mode)) {
        fsop_bytes(op, &m->nodes[id].data);
        m->nodes[id].data.len = op->len;
    }
    return 0;
}

static int do_link(struct fsmodel *m, const struct fsop *op)
{
    struct fsnode *n = node_at(m, op->node), *dir = node_at(m, op->node2);
    int err = check_folder(dir);
    if (err < 0)
        return err;
    if (!n)
        return -ENOENT;
    if (is_dir(n))
        return -EPERM;
    if ((n->nlink == 0 && !n->linkable) || dir->nlink == 0)
        return -ENOENT;
    if (n->nlink > 0 && dir->quota && n->quota != dir->quota)
        return -EXDEV;
    if (dir->entry[op->name2])
        return -EEXIST;
    if (is_immutable(dir) || is_fixed(n))
        return -EPERM;
    if (n->nlink == 0)
        n->quota = dir->quota;
    dir->entry[op->name2] = op->node + 1;
    n->linkable = false;
    n->nlink++;
    return 0;
}

static int do_remove(struct fsmodel *m, const struct fsop *op)
{
    struct fsnode *dir = node_at(m, op->node);
    int err = check_folder(dir);
    if (err < 0)
        return err;
    if (!dir->entry[op->name])
        return -ENOENT;
    struct fsnode *n = node_at(m, dir->entry[op->name] - 1);
    if (is_fixed(dir) || is_fixed(n))
        return -EPERM;
    if (is_dir(n) != (op->kind == FSOP_RMDIR))
        return is_dir(n) ? -EISDIR : -ENOTDIR;
    if (is_dir(n) && !is_empty(n))
        return -ENOTEMPTY;
    dir->entry[op->name] = 0;
    dir->nlink -= is_dir(n);
    drop_link(n);
    return 0;
}

/* Is folder `id` the same as `below`, or above it? */
static bool is_above(const struct fsmodel *m, int id, int below)
{
    for (; below != 0; below = m->nodes[below].parent)
        if (below == id)
            return true;
    return id == 0;
}

static int check_replace(const struct fsnode *a, const struct fsnode *b)
{
    if (is_dir(a) != is_dir(b))
        return is_dir(a) ? -ENOTDIR : -EISDIR;
    return is_dir(b) && !is_empty(b) ? -ENOTEMPTY : 0;
}

/* Node `id` comes into a folder: 0, -EXDEV, and what it counts towards then. */
static int enter(const struct fsmodel *m, int id, int folder, int *quota)
{
    const struct fsnode *n = &m->nodes[id], *dir = &m->nodes[folder];
    *quota = n->quota;
    if (n->quota == id + 1 || n->quota == dir->quota)
        return 0;
    if (is_dir(n) && !is_empty(n))
        return -EXDEV;
    if (!is_dir(n) && n->nlink > 1)
        return dir->quota ? -EXDEV : 0;
    *quota = dir->quota;
    return 0;
}

static int enter_both(struct fsmodel *m, const struct fsop *op, int from, int to)
{
    int quota_from, quota_to = 0;
    bool exchange = op->flags & FS_RENAME_EXCHANGE;
    if (op->node == op->node2 || from == to)
        return 0;
    int err = enter(m, from, op->node2, &quota_from);
    if (err == 0 && exchange)
        err = enter(m, to, op->node, &quota_to);
    if (err < 0)
        return err;
    m->nodes[from].quota = quota_from;
    if (exchange)
        m->nodes[to].quota = quota_to;
    return 0;
}

/* What counted towards `from` in that folder, and below, counts towards `quota`. */
static void take_over(struct fsmodel *m, int folder, int from, int quota)
{
    for (int i = 0; i < FSMODEL_NAMES; i++) {
        int id = m->nodes[folder].entry[i] - 1;
        if (id < 0)
            continue;
        if (m->nodes[id].quota == from && from != id + 1)
            m->nodes[id].quota = quota;
        if (is_dir(&m->nodes[id]) && m->nodes[id].quota == quota)
            take_over(m, id, from, quota);
    }
}

static int do_policy(struct fsmodel *m, const struct fsop *op)
{
    struct fsnode *n = node_at(m, op->node);
    if (!n)
        return -ENOENT;
    if (!S_ISREG(n->mode) && !is_dir(n))
        return -EINVAL;
    n->policy = (int)(op->fill % 4);
    return 0;
}

static int do_quota(struct fsmodel *m, const struct fsop *op)
{
    struct fsnode *n = node_at(m, op->node);
    if (!n)
        return -ENOENT;
    if (!is_dir(n))
        return -ENOTDIR;
    if (n->nlink == 0)
        return -ENOENT;
    int from = n->quota;
    n->quota = op->node + 1;
    if (from != n->quota)
        take_over(m, op->node, from, n->quota);
    return 0;
}

static int check_rename(struct fsmodel *m, const struct fsop *op, int from, int to)
{
    bool exchange = op->flags & FS_RENAME_EXCHANGE, across = op->node != op->node2;
    if (from < 0 || (exchange && to < 0))
        return -ENOENT;
    if (from == to)
        return op->flags & FS_RENAME_NOREPLACE ? -EEXIST : 0;
    struct fsnode *a = &m->nodes[from], *b = to < 0 ? NULL : &m->nodes[to];
    if (across && is_dir(a) && is_above(m, from, op->node2))
        return -EINVAL;
    if (across && exchange && is_dir(b) && is_above(m, to, op->node))
        return -EINVAL;
    if (b && op->flags & FS_RENAME_NOREPLACE)
        return -EEXIST;
    if (is_fixed(&m->nodes[op->node]) || is_fixed(a))
        return -EPERM;
    if (b ? is_fixed(&m->nodes[op->node2]) || is_fixed(b) : is_immutable(&m->nodes[op->node2]))
        return -EPERM;
    return b && !exchange ? check_replace(a, b) : 0;
}

static void put_entry(struct fsmodel *m, int dir, int name, int id)
{
    m->nodes[dir].entry[name] = id + 1;
    if (is_dir(&m->nodes[id])) {
        m->nodes[m->nodes[id].parent].nlink--;
        m->nodes[dir].nlink++;
        m->nodes[id].parent = dir;
    }
}

static int do_rename(struct fsmodel *m, const struct fsop *op)
{
    struct fsnode *dir = node_at(m, op->node), *dir2 = node_at(m, op->node2);
    const unsigned exclusive = FS_RENAME_NOREPLACE | FSMODEL_WHITEOUT;
    if (op->flags & FS_RENAME_EXCHANGE && op->flags & exclusive)
        return -EINVAL;
    if (!dir || !dir2)
        return -ENOENT;
    if (!is_dir(dir) || !is_dir(dir2))
        return -ENOTDIR;
    if (dir2->nlink == 0)
        return -ENOENT;
    int from = dir->entry[op->name] - 1, to = dir2->entry[op->name2] - 1;
    int err = check_rename(m, op, from, to);
    if (err == 0)
        err = enter_both(m, op, from, to);
    if (err < 0 || from == to)
        return err;
    dir->entry[op->name] = 0;
    if (to >= 0 && op->flags & FS_RENAME_EXCHANGE) {
        put_entry(m, op->node, op->name, to);
    } else if (to >= 0) {
        dir2->nlink -= is_dir(&m->nodes[to]);
        drop_link(&m->nodes[to]);
    }
    put_entry(m, op->node2, op->name2, from);
    if (op->flags & FSMODEL_WHITEOUT) {
        int id = add_inheriting(m, S_IFCHR, op->node);
        m->nodes[op->node].entry[op->name] = id + 1;
    }
    return 0;
}

static void resize(struct buf *b, size_t len)
{
    if (len > b->len) {
        buf_reserve(b, len - b->len);
        memset(b->data + b->len, 0, len - b->len);
    }
    b->len = len;
}

static int do_fallocate(struct fsmodel *m, const struct fsop *op)
{
    struct fsnode *n = node_at(m, op->node);
    const unsigned keep = FS_FALLOCATE_KEEP_SIZE, punch = FS_FALLOCATE_PUNCH_HOLE,
                   zero = FS_FALLOCATE_ZERO_RANGE;
    size_t end = op->offset + op->len;
    if (op->len == 0)
        return -EINVAL;
    if ((op->flags & ~(keep | punch | zero)) || (op->flags & (keep | punch)) == punch ||
        (op->flags & (punch | zero)) == (punch | zero))
        return -EOPNOTSUPP;
    if (!n)
        return -ENOENT;
    if (!S_ISREG(n->mode))
        return is_dir(n) ? -EISDIR : -ENODEV;
    if (op->flags & (punch | zero) ? is_fixed(n) : is_immutable(n))
        return -EPERM;
    if (!(op->flags & keep) && end > n->data.len)
        resize(&n->data, end);
    for (size_t i = op->offset; op->flags & (punch | zero) && i < end && i < n->data.len; i++)
        n->data.data[i] = 0;
    return 0;
}

static int do_data(struct fsmodel *m, const struct fsop *op)
{
    struct fsnode *n = node_at(m, op->node);
    if (op->kind == FSOP_WRITE && op->len == 0)
        return 0;
    if (!n)
        return -ENOENT;
    if (op->kind == FSOP_TRUNCATE && is_fixed(n))
        return -EPERM;
    if (!S_ISREG(n->mode))
        return is_dir(n) ? -EISDIR : -EINVAL;
    if (is_immutable(n))
        return -EPERM;
    if (op->kind == FSOP_TRUNCATE) {
        resize(&n->data, op->offset);
        return 0;
    }
    struct buf bytes = {0};
    fsop_bytes(op, &bytes);
    if (op->offset + op->len > n->data.len)
        resize(&n->data, op->offset + op->len);
    memcpy(n->data.data + op->offset, bytes.data, op->len);
    buf_release(&bytes);
    return 0;
}

static int check_copy(const struct fsop *op, const struct fsnode *from, const struct fsnode *to)
{
    if (op->node == op->node2 && op->offset < op->offset2 + op->len &&
        op->offset2 < op->offset + op->len)
        return -EINVAL;
    if (!to)
        return -ENOENT;
    if (is_fixed(to))
        return -EPERM;
    if (!S_ISREG(to->mode))
        return is_dir(to) ? -EISDIR : -EINVAL;
    if (op->len == 0)
        return 0;
    return !from ? -ENOENT : S_ISREG(from->mode) ? 0 : is_dir(from) ? -EISDIR : -EINVAL;
}

static int do_copy(struct fsmodel *m, const struct fsop *op)
{
    struct fsnode *from = node_at(m, op->node), *to = node_at(m, op->node2);
    int err = check_copy(op, from, to);
    if (err < 0 || op->len == 0 || op->offset >= from->data.len)
        return err;
    size_t len = from->data.len - op->offset;
    if (len > op->len)
        len = op->len;
    if (op->offset2 + len > to->data.len)
        resize(&to->data, op->offset2 + len);
    memmove(to->data.data + op->offset2, from->data.data + op->offset, len);
    return 0;
}

static int do_flags(struct fsmodel *m, const struct fsop *op)
{
    struct fsnode *n = node_at(m, op->node);
    if (op->flags & ~(unsigned)FS_FLAGS)
        return -EOPNOTSUPP;
    if (!n)
        return -ENOENT;
    if (!S_ISREG(n->mode) && !is_dir(n))
        return -ENOTTY;
    n->flags = op->flags;
    return 0;
}

static int do_change(struct fsmodel *m, const struct fsop *op)
{
    struct fsnode *n = node_at(m, op->node);
    if (!n)
        return -ENOENT;
    if (is_fixed(n))
        return -EPERM;
    if (op->flags & FS_SET_MODE) {
        n->mode = (n->mode & S_IFMT) | (op->fill & 07777);
        n->acl[0].owner = n->mode >> 6 & 7;
        n->acl[0].mask = n->mode >> 3 & 7;
        n->acl[0].other = n->mode & 7;
    }
    if (op->flags & FS_SET_UID)
        n->uid = op->fill;
    if (op->flags & FS_SET_GID)
        n->gid = op->fill >> 3;
    return 0;
}

static int do_xattr(struct fsmodel *m, const struct fsop *op)
{
    struct fsnode *n = node_at(m, op->node);
    int x = op->name % FSMODEL_XATTRS;
    if (!n)
        return -ENOENT;
    if (is_fixed(n))
        return -EPERM;
    if (n->has_xattr[x] && op->kind == FSOP_SETXATTR && op->flags == FS_XATTR_CREATE)
        return -EEXIST;
    if (!n->has_xattr[x] && (op->kind == FSOP_REMOVEXATTR || op->flags == FS_XATTR_REPLACE))
        return -ENODATA;
    n->has_xattr[x] = op->kind == FSOP_SETXATTR;
    fsop_bytes(op, &n->xattr[x]);
    n->xattr[x].len = op->len;
    return 0;
}

static int do_acl(struct fsmodel *m, const struct fsop *op)
{
    struct fsnode *n = node_at(m, op->node);
    struct fsacl a = {0};
    int which = op->name % 2;
    if (!n)
        return -ENOENT;
    if (is_fixed(n))
        return -EPERM;
    if (S_ISLNK(n->mode))
        return -EOPNOTSUPP;
    if (op->kind == FSOP_SETACL) {
        if (which == 1 && !is_dir(n))
            return -EACCES;
        a = fsop_acl(op);
        if (which == 0)
            n->mode = (n->mode & ~0777u) |
                      (uint32_t)(a.owner << 6 | (a.plain ? a.group : a.mask) << 3 | a.other);
        a.there = which == 1 || !a.plain;
    }
    n->acl[which] = a;
    return 0;
}

static void end_orphan(struct fsmodel *m, int id)
{
    struct fsnode *n = node_at(m, id);
    if (n && n->nlink == 0)
        n->gone = true;
}

static bool takes_name(enum fsop_kind k)
{
    return k == FSOP_CREATE || k == FSOP_FIFO || k == FSOP_MKDIR || k == FSOP_SYMLINK ||
           k == FSOP_UNLINK || k == FSOP_RMDIR || k == FSOP_RENAME;
}

int fsmodel_apply(struct fsmodel *m, const struct fsop *op)
{
    if ((takes_name(op->kind) && strchr(fsmodel_name(op->name), '/')) ||
        ((op->kind == FSOP_RENAME || op->kind == FSOP_LINK) &&
         strchr(fsmodel_name(op->name2), '/')))
        return -EINVAL;
    switch (op->kind) {
    case FSOP_CREATE:
        return make(m, op, S_IFREG | 0666);
    case FSOP_FIFO:
        return make(m, op, S_IFIFO | 0622);
    case FSOP_MKDIR:
        return make(m, op, S_IFDIR | 0777);
    case FSOP_SYMLINK:
        return make(m, op, S_IFLNK | 0777);
    case FSOP_TMPFILE:
        return make(m, op, S_IFREG | 0600);
    case FSOP_LINK:
        return do_link(m, op);
    case FSOP_UNLINK:
    case FSOP_RMDIR:
        return do_remove(m, op);
    case FSOP_RENAME:
        return do_rename(m, op);
    case FSOP_WRITE:
    case FSOP_TRUNCATE:
        return do_data(m, op);
    case FSOP_FALLOCATE:
        return do_fallocate(m, op);
    case FSOP_COPY:
        return do_copy(m, op);
    case FSOP_FLAGS:
        return do_flags(m, op);
    case FSOP_CHANGE:
        return do_change(m, op);
    case FSOP_SETXATTR:
    case FSOP_REMOVEXATTR:
        return do_xattr(m, op);
    case FSOP_SETACL:
    case FSOP_REMOVEACL:
        return do_acl(m, op);
    case FSOP_POLICY:
        return do_policy(m, op);
    case FSOP_QUOTA:
        return do_quota(m, op);
    case FSOP_FORGET:
        end_orphan(m, op->node);
        return 0;
    case FSOP_REOPEN:
        for (size_t i = 0; i < m->count; i++)
            end_orphan(m, (int)i);
        return 0;
    default:
        return 0;
    }
}

/* ---- at random ---- */

/* How often each kind comes, of a thousand. */
static const int weights[FSOP_KINDS] = {
    [FSOP_CREATE] = 130,  [FSOP_FIFO] = 10,      [FSOP_MKDIR] = 65,       [FSOP_SYMLINK] = 25,
    [FSOP_TMPFILE] = 15,  [FSOP_LINK] = 50,      [FSOP_UNLINK] = 100,     [FSOP_RMDIR] = 40,
    [FSOP_RENAME] = 120,  [FSOP_WRITE] = 115,    [FSOP_POLICY] = 12,      [FSOP_QUOTA] = 8,
    [FSOP_TRUNCATE] = 45, [FSOP_FALLOCATE] = 50, [FSOP_COPY] = 25,        [FSOP_CHANGE] = 20,
    [FSOP_FLAGS] = 15,    [FSOP_SETXATTR] = 28,  [FSOP_REMOVEXATTR] = 10, [FSOP_SETACL] = 13,
    [FSOP_REMOVEACL] = 4, [FSOP_FORGET] = 30,    [FSOP_SYNC] = 22,        [FSOP_WORK] = 30,
    [FSOP_SNAPSHOT] = 8,  [FSOP_UNSNAPSHOT] = 6, [FSOP_REOPEN] = 4};

static enum fsop_kind random_kind(struct simrng *r, bool reopen)
{
    int dice = (int)simrng_below(r, 1000), kind = 0;
    while (dice >= weights[kind])
        dice -= weights[kind++];
    assert(kind < FSOP_KINDS);
    return kind == FSOP_REOPEN && !reopen ? FSOP_WORK : (enum fsop_kind)kind;
}

/* A node of that type, if one is met soon. */
static int random_node(const struct fsmodel *m, struct simrng *r, uint32_t type)
{
    int id = 0;
    for (int tries = 0; tries < 30; tries++) {
        id = (int)simrng_below(r, m->count + (tries == 0));
        if (simrng_below(r, 25) == 0)
            break; /* anything, for once; also what is not there */
        if ((size_t)id < m->count && !m->nodes[id].gone && (m->nodes[id].mode & S_IFMT) == type)
            break;
    }
    return id;
}

/* Rarely the one that is refused. */
static int random_name(struct simrng *r)
{
    int i = (int)simrng_below(r, FSMODEL_NAMES);
    return i == FSMODEL_NAMES - 1 && simrng_below(r, 4) ? 0 : i;
}

static int taken_name(const struct fsmodel *m, struct simrng *r, int dir)
{
    int i = random_name(r);
    for (int tries = 0; tries < FSMODEL_NAMES && (size_t)dir < m->count; tries++) {
        if (m->nodes[dir].entry[i])
            break;
        i = random_name(r);
    }
    return i;
}

static void random_data(struct simrng *r, struct fsop *op)
{
    static const uint32_t lengths[] = {0, 1, 100, 4096, FSMODEL_CHUNK, 2 * FSMODEL_CHUNK};
    op->offset = (uint32_t)simrng_below(r, FSMODEL_SIZE_MAX);
    if (simrng_below(r, 2))
        op->offset = simrng_below(r, 3) ? 0 : op->offset / FSMODEL_CHUNK * FSMODEL_CHUNK;
    op->len = lengths[simrng_below(r, 6)] + (uint32_t)simrng_below(r, 3) / 2;
    if (op->len > FSMODEL_SIZE_MAX - op->offset)
        op->len = FSMODEL_SIZE_MAX - op->offset;
}

/* Mostly one that there is. */
static unsigned random_fallocate(struct simrng *r)
{
    static const unsigned modes[] = {0,
                                     FS_FALLOCATE_KEEP_SIZE,
                                     FS_FALLOCATE_KEEP_SIZE | FS_FALLOCATE_PUNCH_HOLE,
                                     FS_FALLOCATE_KEEP_SIZE | FS_FALLOCATE_PUNCH_HOLE,
                                     FS_FALLOCATE_KEEP_SIZE | FS_FALLOCATE_ZERO_RANGE,
                                     FS_FALLOCATE_ZERO_RANGE};
    return simrng_below(r, 30) ? modes[simrng_below(r, 6)] : (unsigned)simrng_below(r, 64);
}

/* Mostly none: what cannot be changed would soon be everything. */
static unsigned random_flags(struct simrng *r)
{
    static const unsigned flags[] = {FS_FLAG_IMMUTABLE, FS_FLAG_APPEND, FS_FLAG_NODUMP, 0x1f0};
    return simrng_below(r, 3) ? 0 : flags[simrng_below(r, 4)];
}

void fsmodel_random(const struct fsmodel *m, struct simrng *r, bool reopen, struct fsop *op)
{
    *op = (struct fsop){.kind = random_kind(r, reopen), .fill = (uint32_t)simrng_next(r)};
    bool acl = op->kind == FSOP_SETACL || op->kind == FSOP_REMOVEACL;
    bool folder = takes_name(op->kind) || op->kind == FSOP_TMPFILE || op->kind == FSOP_QUOTA ||
                  ((acl || op->kind == FSOP_POLICY) && simrng_below(r, 2));
    op->node = random_node(m, r, folder ? S_IFDIR : S_IFREG);
    op->node2 = random_node(m, r, S_IFDIR);
    op->name = random_name(r);
    op->name2 = random_name(r);
    op->pin = (int)simrng_below(r, 3);
    switch (op->kind) {
    case FSOP_UNLINK:
    case FSOP_RMDIR:
    case FSOP_RENAME:
        op->name = taken_name(m, r, op->node);
        op->flags = simrng_below(r, 4) ? 0 : 1 + (unsigned)simrng_below(r, 7);
        break;
    case FSOP_TMPFILE:
        op->flags = simrng_below(r, 4) != 0;
        break;
    case FSOP_FLAGS:
        if (simrng_coin(r))
            op->node = random_node(m, r, S_IFDIR);
        op->flags = op->node ? random_flags(r) : 0;
        break;
    case FSOP_COPY:
        op->node2 = random_node(m, r, S_IFREG);
        random_data(r, op);
        op->offset2 = op->offset;
        random_data(r, op);
        if (op->len > FSMODEL_SIZE_MAX - op->offset2)
            op->len = FSMODEL_SIZE_MAX - op->offset2;
        break;
    case FSOP_SYMLINK:
        op->len = 1 + (uint32_t)simrng_below(r, 60);
        break;
    case FSOP_WRITE:
    case FSOP_TRUNCATE:
        random_data(r, op);
        break;
    case FSOP_FALLOCATE:
        random_data(r, op);
        op->flags = random_fallocate(r);
        break;
    case FSOP_CHANGE:
        op->flags = 1 + (unsigned)simrng_below(r, 7);
        break;
    case FSOP_SETXATTR:
        op->len = (uint32_t)simrng_below(r, simrng_below(r, 5) ? 50 : 3000);
        op->flags = simrng_below(r, 4) ? 0 : 1 + (unsigned)simrng_below(r, 2);
        break;
    default:
        break;
    }
}
