/* rename: names_rename() of names.h. Up to five inodes change in one batch: both folders, what is
 * moved, what is replaced or exchanged with it, and a whiteout that is made.
 *
 * Moves of folders between folders take fs->rename first: the chain of parents above the
 * destination must not change while it is looked at, or two moves could put two folders each into
 * the other. */
#include "fs/flags.h"
#include "fs/names.h"

struct side {
    uint64_t dir_ino;
    const char *name;
    struct inode *dir; /* both sides share one when the folder is the same */
    struct dirent entry;
    struct inode n;
    bool exists;
};

struct move {
    struct txn t;
    struct inode dirs[2];
    struct side from, to;
    const struct fs_rename_how *how;
    uint64_t orphan; /* made by it; 0: none */
};

static int look(struct move *m, struct side *s)
{
    int err = dir_find(m->t.fs, &m->t.read, s->dir, s->name, &s->entry);
    s->exists = err == 0;
    return err == -ENOENT ? 0 : err;
}

/* Reads folders and entries under the present locks. */
static int look_both(struct move *m)
{
    const struct store_read *read = &m->t.read;
    int err = inode_get(read, m->from.dir_ino, &m->dirs[0]);
    if (err == 0 && m->to.dir_ino != m->from.dir_ino)
        err = inode_get(read, m->to.dir_ino, &m->dirs[1]);
    if (err < 0)
        return err;
    m->from.dir = &m->dirs[0];
    m->to.dir = m->to.dir_ino == m->from.dir_ino ? &m->dirs[0] : &m->dirs[1];
    if (!inode_is_dir(m->from.dir) || !inode_is_dir(m->to.dir))
        return -ENOTDIR;
    if (m->to.dir->nlink == 0)
        return -ENOENT;
    err = look(m, &m->from);
    return err == 0 ? look(m, &m->to) : err;
}

static uint64_t entry_ino(const struct side *s)
{
    return s->exists ? s->entry.ino : 0;
}

static int lock_all(struct move *m)
{
    uint64_t inos[4] = {m->from.dir_ino, m->to.dir_ino, 0, 0};
    for (;;) {
        txn_lock(&m->t, inos, 4);
        int err = look_both(m);
        if (err < 0)
            return err;
        if (!m->from.exists)
            return -ENOENT;
        if (inos[2] == entry_ino(&m->from) && inos[3] == entry_ino(&m->to))
            break;
        txn_unlock(&m->t);
        inos[2] = entry_ino(&m->from);
        inos[3] = entry_ino(&m->to);
    }
    int err = inode_get(&m->t.read, m->from.entry.ino, &m->from.n);
    if (err == 0 && m->to.exists)
        err = inode_get(&m->t.read, m->to.entry.ino, &m->to.n);
    return err == -ENOENT
               ? corrupt(m->from.name, UINT64_MAX, "an entry for an inode that is not there")
               : err;
}

/* More folders above another than any path could name: they must form a circle. */
enum { DEPTH_MAX = 1 << 20 };

/* Would `folder` come to lie below itself if it were put into `dir`? */
static int below_itself(struct move *m, uint64_t folder, uint64_t dir)
{
    for (int depth = 0; dir != FS_INO_ROOT; depth++) {
        struct inode n;
        if (dir == folder)
            return -EINVAL;
        int err = inode_get(&m->t.read, dir, &n);
        if (err == -ENOENT || depth > DEPTH_MAX)
            err = corrupt(m->to.name, UINT64_MAX, "the folders above it do not lead to the root");
        if (err < 0)
            return err;
        assert(n.ino == dir);
        dir = n.parent;
    }
    return folder == FS_INO_ROOT ? -EINVAL : 0;
}

/* Both names change. */
static int check_flags(const struct move *m)
{
    int err = flags_check_remove(m->from.dir, &m->from.n);
    if (err < 0)
        return err;
    return m->to.exists ? flags_check_remove(m->to.dir, &m->to.n) : flags_check_make(m->to.dir);
}

/* What stands in the way of replacing `to`. */
static int check_replace(const struct move *m)
{
    bool from_dir = inode_is_dir(&m->from.n), to_dir = inode_is_dir(&m->to.n);
    if (from_dir && !to_dir)
        return -ENOTDIR;
    if (!from_dir && to_dir)
        return -EISDIR;
    return to_dir && m->to.n.size > 0 ? -ENOTEMPTY : 0;
}

static bool same_file(const struct move *m)
{
    return m->to.exists && m->from.n.ino == m->to.n.ino;
}

static int check(struct move *m)
{
    bool across = m->from.dir != m->to.dir, exchange = m->how->flags & FS_RENAME_EXCHANGE;
    int err = 0;
    if (exchange && !m->to.exists)
        return -ENOENT;
    if (same_file(m))
        return m->how->flags & FS_RENAME_NOREPLACE ? -EEXIST : 0;
    if (inode_is_dir(&m->from.n) && across)
        err = below_itself(m, m->from.n.ino, m->to.dir_ino);
    if (err == 0 && exchange && inode_is_dir(&m->to.n) && across)
        err = below_itself(m, m->to.n.ino, m->from.dir_ino);
    if (err == 0 && m->to.exists && m->how->flags & FS_RENAME_NOREPLACE)
        err = -EEXIST;
    if (err == 0)
        err = check_flags(m);
    if (err == 0 && m->to.exists && !exchange)
        err = check_replace(m);
    if (err == 0 && across)
        err = inode_enter(&m->from.n, m->to.dir);
    if (err == 0 && across && exchange)
        err = inode_enter(&m->to.n, m->from.dir);
    return err;
}

/* A folder that changes its parent takes its ".." along. */
static void reparent(struct inode *n, struct inode *old_dir, struct inode *new_dir, uint64_t slot)
{
    n->parent = new_dir->ino;
    n->slot = slot;
    if (inode_is_dir(n) && old_dir != new_dir) {
        old_dir->nlink -= old_dir->nlink > 2;
        new_dir->nlink++;
    }
}

static void exchange(struct move *m)
{
    struct side *a = &m->from, *b = &m->to;
    assert(a->exists && b->exists && !same_file(m));
    dir_replace(&m->t, a->dir, &a->entry, a->name, b->n.ino, b->n.mode);
    dir_replace(&m->t, b->dir, &b->entry, b->name, a->n.ino, a->n.mode);
    reparent(&a->n, a->dir, b->dir, b->entry.slot);
    reparent(&b->n, b->dir, a->dir, a->entry.slot);
    b->n.ctime = m->t.now;
    inode_put(&m->t, &b->n);
}

/* Under the old name. */
static int leave_whiteout(struct move *m)
{
    struct inode n;
    uint64_t ino;
    struct side *s = &m->from;
    int err = ino_take(m->t.fs, s->dir_ino, s->dir->policy, &ino);
    if (err < 0)
        return err;
    inode_new(&m->t, ino, S_IFCHR, 0, m->how->whiteout, s->dir, &n);
    dir_replace(&m->t, s->dir, &s->entry, s->name, ino, S_IFCHR);
    n.slot = m->t.slot;
    inode_put(&m->t, &n);
    return 0;
}

static int move(struct move *m)
{
    struct side *from = &m->from, *to = &m->to;
    int err = 0;
    assert(from->exists && !same_file(m));
    if (to->exists) {
        dir_replace(&m->t, to->dir, &to->entry, to->name, from->n.ino, from->n.mode);
        to->dir->nlink -= inode_is_dir(&to->n) && to->dir->nlink > 2;
        names_drop_link(&m->t, &to->n);
        m->orphan = to->n.nlink == 0 ? to->n.ino : 0;
    } else {
        err = dir_insert(&m->t, to->dir, to->name, from->n.ino, from->n.mode);
    }
    if (err < 0)
        return err;
    reparent(&from->n, from->dir, to->dir, m->t.slot);
    if (m->how->whiteout)
        return leave_whiteout(m);
    dir_remove(&m->t, from->dir, &from->entry);
    return 0;
}

static bool is_ready(const struct move *m, const struct inode *n)
{
    return !S_ISREG(n->mode) || !m->how->ready || m->how->ready(m->how->ready_ctx, n->ino);
}

/* May each file take the other's place now? */
static bool are_ready(const struct move *m)
{
    bool exchange = m->how->flags & FS_RENAME_EXCHANGE;
    return !m->to.exists || (is_ready(m, &m->from.n) && (!exchange || is_ready(m, &m->to.n)));
}

static int apply(struct move *m)
{
    assert(m->from.exists && m->from.n.ino == m->from.entry.ino);
    assert(!m->to.exists || m->to.n.ino == m->to.entry.ino);
    int err = check(m);
    if (err < 0)
        return err;
    if (same_file(m))
        return 0; /* two names of one file, or one name: nothing to do, says POSIX */
    if (!are_ready(m))
        return -EAGAIN;
    if (m->how->flags & FS_RENAME_EXCHANGE)
        exchange(m);
    else
        err = move(m);
    if (err < 0)
        return err;
    m->from.n.ctime = m->t.now;
    inode_put(&m->t, &m->from.n);
    inode_put(&m->t, m->from.dir);
    if (m->to.dir != m->from.dir)
        inode_put(&m->t, m->to.dir);
    err = txn_commit(&m->t);
    if (err == 0 && m->orphan)
        orphan_add(m->t.fs, m->orphan);
    return err;
}

int names_rename(struct fs *fs, uint64_t dir, const char *name, uint64_t new_dir,
                 const char *new_name, const struct fs_rename_how *how)
{
    struct move m = {.from = {.dir_ino = dir, .name = name},
                     .to = {.dir_ino = new_dir, .name = new_name},
                     .how = how};
    unsigned flags = how->flags;
    if ((flags & ~(unsigned)(FS_RENAME_NOREPLACE | FS_RENAME_EXCHANGE)) ||
        (flags & FS_RENAME_EXCHANGE && (flags & FS_RENAME_NOREPLACE || how->whiteout)))
        return -EINVAL;
    int err = txn_init(&m.t, fs);
    if (err < 0)
        return err;
    bool across = dir != new_dir;
    if (across)
        pthread_mutex_lock(&fs->rename);
    err = lock_all(&m);
    if (err == 0)
        err = apply(&m);
    txn_end(&m.t);
    if (across)
        pthread_mutex_unlock(&fs->rename);
    return err;
}
