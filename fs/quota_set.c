/* quota_set: see quota_set.h.
 *
 * A folder that is not empty is taken over in steps, each a batch of its own:
 *   1. the folder counts towards its own limit, and the limit's record says that it is `taking`;
 *   2. inode by inode, what is below it and counted where the folder was counted before (`from`)
 *      comes over, a folder before what is in it: so whatever is made meanwhile in a folder that
 *      has come over counts already, and what is made in another is met later;
 *   3. when a whole pass has found nothing, the record says so.
 * The sums are right after each step, and the limit holds for what has come over. A crash in
 * between leaves the mark, and the next mount goes on.
 *
 * A pass has to be made again because an entry may be renamed, while its folder is being listed,
 * from a place that is still to come to one that has been. */
#include "fs/quota_set.h"

#include "fs/names.h"

/* ---- the folders that are still to be looked at ---- */

struct stack {
    uint64_t *inos; /* owned */
    size_t count, cap;
};

static void push(struct stack *s, uint64_t ino)
{
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->inos = mem_realloc(s->inos, s->cap * sizeof *s->inos);
    }
    s->inos[s->count++] = ino;
}

/* ---- one entry ---- */

struct take {
    struct fs *fs;
    const struct quota *quota;
    struct stack folders;
    uint64_t taken; /* inodes that came over in this pass */
};

static int take_locked(struct take *k, struct txn *t, const struct inode *folder, struct inode *n)
{
    const struct quota *q = k->quota;
    int err = 0;
    if (folder->quota != q->folder)
        return 0; /* it has left meanwhile */
    if (n->quota == q->from && n->quota != n->ino) {
        n->quota = q->folder;
        inode_put(t, n);
        t->frees = t->charges.over_limits = true;
        err = txn_commit(t);
        k->taken += err == 0;
    }
    /* By its parent's entry alone, so that folders which are in each other by damage end. */
    if (err == 0 && inode_is_dir(n) && n->quota == q->folder && n->ino != q->folder &&
        n->parent == folder->ino)
        push(&k->folders, n->ino);
    return err;
}

static int take_entry(struct take *k, uint64_t dir, const char *name)
{
    struct txn t;
    struct inode folder, n;
    struct dirent entry;
    int err = txn_init(&t, k->fs);
    if (err < 0)
        return err;
    err = names_lock_entry(&t, dir, name, &folder, &entry, &n);
    if (err == 0)
        err = take_locked(k, &t, &folder, &n);
    txn_end(&t);
    return err == -ENOENT ? 0 : err; /* it has gone */
}

/* ---- one folder, piece by piece: no lock is held while it is listed ---- */

enum { PIECE = 128 };
struct piece {
    char names[PIECE][FS_NAME_MAX + 1];
    size_t count;
    uint64_t next;
};

static int add_name(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    struct piece *p = ctx;
    (void)attr;
    if (p->count == PIECE)
        return 1;
    p->next = next;
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        memcpy(p->names[p->count++], name, strlen(name) + 1);
    return 0;
}

static int list_piece(struct fs *fs, uint64_t dir, struct piece *p)
{
    struct reader r;
    struct inode n;
    p->count = 0;
    int err = reader_begin(fs, dir, &r);
    if (err < 0)
        return err;
    err = inode_get(&r.read, dir, &n);
    if (err == 0 && inode_is_dir(&n))
        err = dir_list(&r, &n, p->next, false, add_name, p);
    reader_end(&r);
    return err == -ENOENT ? 0 : err;
}

static int take_folder(struct take *k, uint64_t dir, struct piece *p)
{
    int err;
    p->next = 0;
    do {
        err = list_piece(k->fs, dir, p);
        for (size_t i = 0; i < p->count && err == 0; i++)
            err = take_entry(k, dir, p->names[i]);
    } while (err == 0 && p->count == PIECE);
    return err;
}

/* ---- all of it ---- */

static int take_pass(struct take *k, struct piece *p)
{
    int err = 0;
    k->taken = 0;
    push(&k->folders, k->quota->folder);
    while (err == 0 && k->folders.count > 0)
        err = take_folder(k, k->folders.inos[--k->folders.count], p);
    k->folders.count = 0;
    return err;
}

/* Everything has come over: the record says so. */
static int end_taking(struct fs *fs, struct quota *q)
{
    const struct quota_record record = {.limit_bytes = q->limit};
    struct txn t;
    struct inode n;
    int err = txn_init(&t, fs);
    if (err < 0)
        return err;
    txn_lock(&t, &q->folder, 1);
    err = inode_get(&t.read, q->folder, &n);
    if (err == 0) {
        quota_put(t.batch, q->folder, &record);
        t.frees = true;
        err = txn_commit(&t);
    }
    txn_end(&t);
    if (err == 0 || err == -ENOENT) {
        q->taking = false;
        q->from = 0;
    }
    return err == -ENOENT ? 0 : err; /* deleted meanwhile, and its record as well */
}

/* [change] */
static int take_all(struct fs *fs, struct quota *q)
{
    struct take k = {.fs = fs, .quota = q};
    struct piece *p = mem_alloc(sizeof *p);
    int err;
    assert(q->taking);
    do
        err = take_pass(&k, p);
    while (err == 0 && k.taken > 0);
    free(p);
    free(k.folders.inos);
    return err == 0 ? end_taking(fs, q) : err;
}

/* ---- setting ---- */

static int set_known(struct txn *t, struct quota *q, uint64_t limit_bytes)
{
    const struct quota_record record = {
        .limit_bytes = limit_bytes, .taking = q->taking, .from = q->from};
    quota_put(t->batch, q->folder, &record);
    t->frees = true;
    int err = txn_commit(t);
    if (err == 0)
        __atomic_store_n(&q->limit, limit_bytes, __ATOMIC_RELAXED);
    return err;
}

static int set_first(struct txn *t, struct inode *n, uint64_t limit_bytes)
{
    bool taking = n->size > 0;
    const struct quota_record record = {
        .limit_bytes = limit_bytes, .taking = taking, .from = taking ? n->quota : 0};
    struct quota *q = quota_add(t->fs, n->ino, &record);
    n->quota = n->ino;
    n->ctime = t->now;
    inode_put(t, n);
    quota_put(t->batch, n->ino, &record);
    t->charges.over_limits = true;
    int err = txn_commit(t);
    if (err < 0)
        __atomic_store_n(&q->gone, true, __ATOMIC_RELEASE);
    return err;
}

static int set_locked(struct txn *t, uint64_t folder, uint64_t limit_bytes)
{
    struct inode n;
    int err = inode_get(&t->read, folder, &n);
    if (err < 0)
        return err;
    if (!inode_is_dir(&n))
        return -ENOTDIR;
    if (n.nlink == 0)
        return -ENOENT;
    struct quota *q = quota_find(t->fs, folder);
    if ((q != NULL) != (n.quota == folder))
        return corrupt("the superblock", UINT64_MAX,
                       "there is a limit of inode %llu, and its record says otherwise, or it is "
                       "missing",
                       (unsigned long long)folder);
    return q ? set_known(t, q, limit_bytes) : set_first(t, &n, limit_bytes);
}

int quota_set(struct fs *fs, uint64_t folder, uint64_t limit_bytes)
{
    struct txn t;
    int err = txn_init(&t, fs);
    if (err < 0)
        return err;
    pthread_mutex_lock(&fs->quotas.change);
    txn_lock(&t, &folder, 1);
    err = set_locked(&t, folder, limit_bytes);
    txn_end(&t);
    struct quota *q = err == 0 ? quota_find(fs, folder) : NULL;
    if (q && q->taking)
        err = take_all(fs, q);
    pthread_mutex_unlock(&fs->quotas.change);
    return err;
}

int quota_resume(struct fs *fs)
{
    int err = quota_sweep(fs);
    for (size_t i = 0; i < fs->quotas.count && err == 0; i++)
        if (fs->quotas.list[i]->taking)
            err = take_all(fs, fs->quotas.list[i]);
    return err;
}
