/* memll - an in-memory FUSE file system on the low-level API: what FUSE itself costs.
 * memll [-o nocache|nowb|lean|...] MOUNTPOINT
 *   nocache: entry/attr timeout 0;  nowb: no writeback cache;
 *   lean: no open/flush/release/opendir requests at all (ENOSYS to the kernel)
 */
#define FUSE_USE_VERSION 312
#define _GNU_SOURCE
#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct node;
struct ent {
    struct ent *hnext;
    struct node *dir, *node;
    size_t idx;
    unsigned h;
    char name[];
};
struct node {
    struct stat st;
    unsigned long nlookup;
    char *data;
    size_t cap; /* file data or link target */
    struct ent **ents;
    size_t nents, ecap, live; /* directory */
    struct node *parent;
    pthread_rwlock_t rw;
};
static struct node root;
static struct ent **tab;
static size_t tabsize = 1 << 21;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static ino_t nextino = 2;
static struct {
    int nocache, nowb, lean;
} opt;
static double tmo = 86400;

static struct node *N(fuse_ino_t i)
{
    return i == FUSE_ROOT_ID ? &root : (struct node *)i;
}
static unsigned hash(struct node *d, const char *s)
{
    unsigned long h = (unsigned long)d * 0x9e3779b97f4a7c15u;
    while (*s)
        h = (h ^ (unsigned char)*s++) * 0x100000001b3u;
    return (h ^ h >> 29) & (tabsize - 1);
}
static struct ent *find(struct node *d, const char *s)
{
    for (struct ent *e = tab[hash(d, s)]; e; e = e->hnext)
        if (e->dir == d && !strcmp(e->name, s))
            return e;
    return NULL;
}
static struct timespec ts(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return t;
}
static void add(struct node *d, const char *s, struct node *n)
{
    struct ent *e = malloc(sizeof *e + strlen(s) + 1);
    strcpy(e->name, s);
    e->dir = d;
    e->node = n;
    e->h = hash(d, s);
    e->hnext = tab[e->h];
    tab[e->h] = e;
    if (d->nents == d->ecap)
        d->ents = realloc(d->ents, (d->ecap = d->ecap * 2 + 8) * sizeof *d->ents);
    e->idx = d->nents;
    d->ents[d->nents++] = e;
    d->live++;
    d->st.st_mtim = d->st.st_ctim = ts();
}
static void del(struct ent *e)
{
    struct ent **p = &tab[e->h];
    while (*p != e)
        p = &(*p)->hnext;
    *p = e->hnext;
    struct node *d = e->dir;
    d->ents[e->idx] = NULL;
    d->live--;
    while (d->nents && !d->ents[d->nents - 1])
        d->nents--;
    d->st.st_mtim = d->st.st_ctim = ts();
    free(e);
}
static void put(struct node *n)
{
    if (n != &root && !n->nlookup && !n->st.st_nlink) {
        free(n->data);
        free(n->ents);
        free(n);
    }
}
static struct node *mk(fuse_req_t r, mode_t mode)
{
    struct node *n = calloc(1, sizeof *n);
    const struct fuse_ctx *c = fuse_req_ctx(r);
    pthread_rwlock_init(&n->rw, NULL);
    n->st.st_ino = nextino++;
    n->st.st_mode = mode;
    n->st.st_nlink = S_ISDIR(mode) ? 2 : 1;
    n->st.st_uid = c->uid;
    n->st.st_gid = c->gid;
    n->st.st_blksize = 4096;
    n->st.st_atim = n->st.st_mtim = n->st.st_ctim = ts();
    return n;
}
static void fill(struct fuse_entry_param *e, struct node *n)
{
    memset(e, 0, sizeof *e);
    e->ino = n == &root ? FUSE_ROOT_ID : (fuse_ino_t)n;
    e->attr = n->st;
    e->attr_timeout = e->entry_timeout = tmo;
    n->nlookup++;
}
#define LOCK   pthread_mutex_lock(&mu)
#define UNLOCK pthread_mutex_unlock(&mu)
static void init(void *u, struct fuse_conn_info *c)
{
    (void)u;
    if (!opt.nowb)
        c->want |= c->capable & FUSE_CAP_WRITEBACK_CACHE;
    c->want |= c->capable & FUSE_CAP_PARALLEL_DIROPS;
    c->want |= c->capable & FUSE_CAP_SPLICE_READ ? 0 : 0;
    c->want &= ~FUSE_CAP_SPLICE_READ;
    c->max_background = 64;
}
static void lookup(fuse_req_t r, fuse_ino_t p, const char *s)
{
    struct fuse_entry_param e;
    struct ent *x;
    LOCK;
    x = find(N(p), s);
    if (x)
        fill(&e, x->node);
    else {
        memset(&e, 0, sizeof e);
        e.entry_timeout = tmo;
    }
    UNLOCK;
    if (x || tmo)
        fuse_reply_entry(r, &e);
    else
        fuse_reply_err(r, ENOENT);
}
static void forget1(fuse_ino_t i, uint64_t n)
{
    struct node *x = N(i);
    x->nlookup -= n;
    put(x);
}
static void forget(fuse_req_t r, fuse_ino_t i, uint64_t n)
{
    LOCK;
    forget1(i, n);
    UNLOCK;
    fuse_reply_none(r);
}
static void forget_multi(fuse_req_t r, size_t n, struct fuse_forget_data *f)
{
    LOCK;
    for (size_t i = 0; i < n; i++)
        forget1(f[i].ino, f[i].nlookup);
    UNLOCK;
    fuse_reply_none(r);
}
static void getattr(fuse_req_t r, fuse_ino_t i, struct fuse_file_info *fi)
{
    (void)fi;
    LOCK;
    struct stat st = N(i)->st;
    UNLOCK;
    fuse_reply_attr(r, &st, tmo);
}
static void resize(struct node *n, size_t size)
{
    if (size > n->cap) {
        size_t cap = n->cap ? n->cap : 4096;
        while (cap < size)
            cap *= 2;
        n->data = realloc(n->data, cap);
        n->cap = cap;
    }
    if (size > (size_t)n->st.st_size)
        memset(n->data + n->st.st_size, 0, size - n->st.st_size);
    if (size == 0) {
        free(n->data);
        n->data = NULL;
        n->cap = 0;
    }
    n->st.st_size = size;
    n->st.st_blocks = (size + 511) / 512;
}
static void setattr(fuse_req_t r, fuse_ino_t i, struct stat *a, int set, struct fuse_file_info *fi)
{
    (void)fi;
    LOCK;
    struct node *n = N(i);
    if (set & FUSE_SET_ATTR_MODE)
        n->st.st_mode = (n->st.st_mode & S_IFMT) | (a->st_mode & 07777);
    if (set & FUSE_SET_ATTR_UID)
        n->st.st_uid = a->st_uid;
    if (set & FUSE_SET_ATTR_GID)
        n->st.st_gid = a->st_gid;
    if (set & FUSE_SET_ATTR_SIZE) {
        pthread_rwlock_wrlock(&n->rw);
        resize(n, a->st_size);
        pthread_rwlock_unlock(&n->rw);
    }
    if (set & FUSE_SET_ATTR_ATIME)
        n->st.st_atim = set & FUSE_SET_ATTR_ATIME_NOW ? ts() : a->st_atim;
    if (set & FUSE_SET_ATTR_MTIME)
        n->st.st_mtim = set & FUSE_SET_ATTR_MTIME_NOW ? ts() : a->st_mtim;
    n->st.st_ctim = ts();
    struct stat st = n->st;
    UNLOCK;
    fuse_reply_attr(r, &st, tmo);
}
static struct node *mkent(fuse_req_t r, fuse_ino_t p, const char *s, mode_t m,
                          struct fuse_entry_param *e)
{
    struct node *d = N(p);
    if (find(d, s))
        return NULL;
    struct node *n = mk(r, m);
    n->parent = d;
    add(d, s, n);
    if (S_ISDIR(m))
        d->st.st_nlink++;
    fill(e, n);
    return n;
}
static void mkdir_(fuse_req_t r, fuse_ino_t p, const char *s, mode_t m)
{
    struct fuse_entry_param e;
    LOCK;
    struct node *n = mkent(r, p, s, m | S_IFDIR, &e);
    UNLOCK;
    if (n)
        fuse_reply_entry(r, &e);
    else
        fuse_reply_err(r, EEXIST);
}
static void mknod_(fuse_req_t r, fuse_ino_t p, const char *s, mode_t m, dev_t d)
{
    (void)d;
    struct fuse_entry_param e;
    LOCK;
    struct node *n = mkent(r, p, s, m, &e);
    UNLOCK;
    if (n)
        fuse_reply_entry(r, &e);
    else
        fuse_reply_err(r, EEXIST);
}
static void symlink_(fuse_req_t r, const char *t, fuse_ino_t p, const char *s)
{
    struct fuse_entry_param e;
    LOCK;
    struct node *n = mkent(r, p, s, S_IFLNK | 0777, &e);
    if (n) {
        n->data = strdup(t);
        n->st.st_size = strlen(t);
        e.attr = n->st;
    }
    UNLOCK;
    if (n)
        fuse_reply_entry(r, &e);
    else
        fuse_reply_err(r, EEXIST);
}
static void readlink_(fuse_req_t r, fuse_ino_t i)
{
    fuse_reply_readlink(r, N(i)->data);
}
static void link_(fuse_req_t r, fuse_ino_t i, fuse_ino_t p, const char *s)
{
    struct fuse_entry_param e;
    int err = 0;
    LOCK;
    if (find(N(p), s))
        err = EEXIST;
    else {
        N(i)->st.st_nlink++;
        add(N(p), s, N(i));
        fill(&e, N(i));
    }
    UNLOCK;
    if (err)
        fuse_reply_err(r, err);
    else
        fuse_reply_entry(r, &e);
}
static void create(fuse_req_t r, fuse_ino_t p, const char *s, mode_t m, struct fuse_file_info *fi)
{
    struct fuse_entry_param e;
    LOCK;
    struct node *n = mkent(r, p, s, m | S_IFREG, &e);
    UNLOCK;
    fi->keep_cache = 1;
    if (n)
        fuse_reply_create(r, &e, fi);
    else
        fuse_reply_err(r, EEXIST);
}
static void drop(struct ent *e)
{
    struct node *n = e->node, *d = e->dir;
    int dir = S_ISDIR(n->st.st_mode);
    del(e);
    if (dir) {
        n->st.st_nlink = 0;
        d->st.st_nlink--;
    } else
        n->st.st_nlink--;
    n->st.st_ctim = ts();
    put(n);
}
static void unlink_(fuse_req_t r, fuse_ino_t p, const char *s)
{
    LOCK;
    struct ent *e = find(N(p), s);
    if (e)
        drop(e);
    UNLOCK;
    fuse_reply_err(r, e ? 0 : ENOENT);
}
static void rmdir_(fuse_req_t r, fuse_ino_t p, const char *s)
{
    LOCK;
    struct ent *e = find(N(p), s);
    int err = !e ? ENOENT : e->node->live ? ENOTEMPTY : 0;
    if (!err)
        drop(e);
    UNLOCK;
    fuse_reply_err(r, err);
}
static void rename_(fuse_req_t r, fuse_ino_t p, const char *s, fuse_ino_t p2, const char *s2,
                    unsigned fl)
{
    int err = 0;
    LOCK;
    struct ent *e = find(N(p), s), *o = find(N(p2), s2);
    if (!e)
        err = ENOENT;
    else if (fl & ~1u)
        err = EINVAL;
    else if (o && fl & 1)
        err = EEXIST;
    else if (o && o->node->live)
        err = ENOTEMPTY;
    else if (!o || o->node != e->node) {
        struct node *n = e->node;
        if (o)
            drop(o);
        del(e);
        add(N(p2), s2, n);
        n->parent = N(p2);
        if (S_ISDIR(n->st.st_mode)) {
            N(p)->st.st_nlink--;
            N(p2)->st.st_nlink++;
        }
        n->st.st_ctim = ts();
    }
    UNLOCK;
    fuse_reply_err(r, err);
}
static void open_(fuse_req_t r, fuse_ino_t i, struct fuse_file_info *fi)
{
    (void)i;
    if (opt.lean) {
        fuse_reply_err(r, ENOSYS);
        return;
    }
    fi->keep_cache = 1;
    fuse_reply_open(r, fi);
}
static void opendir_(fuse_req_t r, fuse_ino_t i, struct fuse_file_info *fi)
{
    (void)i;
    if (opt.lean) {
        fuse_reply_err(r, ENOSYS);
        return;
    }
    fuse_reply_open(r, fi);
}
static void ok(fuse_req_t r, fuse_ino_t i, struct fuse_file_info *fi)
{
    (void)i;
    (void)fi;
    fuse_reply_err(r, 0);
}
static void flush_(fuse_req_t r, fuse_ino_t i, struct fuse_file_info *fi)
{
    (void)i;
    (void)fi;
    fuse_reply_err(r, opt.lean ? ENOSYS : 0);
}
static void fsync_(fuse_req_t r, fuse_ino_t i, int d, struct fuse_file_info *fi)
{
    (void)i;
    (void)d;
    (void)fi;
    fuse_reply_err(r, 0);
}
static void read_(fuse_req_t r, fuse_ino_t i, size_t len, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    struct node *n = N(i);
    pthread_rwlock_rdlock(&n->rw);
    size_t size = n->st.st_size;
    if ((size_t)off >= size)
        len = 0;
    else if (off + len > size)
        len = size - off;
    fuse_reply_buf(r, n->data + off, len);
    pthread_rwlock_unlock(&n->rw);
}
static void write_(fuse_req_t r, fuse_ino_t i, const char *b, size_t len, off_t off,
                   struct fuse_file_info *fi)
{
    (void)fi;
    struct node *n = N(i);
    pthread_rwlock_wrlock(&n->rw);
    if (off + len > (size_t)n->st.st_size)
        resize(n, off + len);
    n->st.st_mtim = n->st.st_ctim = ts();
    memcpy(n->data + off, b, len);
    pthread_rwlock_unlock(&n->rw);
    fuse_reply_write(r, len);
}
static void readdirx(fuse_req_t r, fuse_ino_t i, size_t size, off_t off, int plus)
{
    char *buf = malloc(size), *p = buf;
    struct node *d = N(i);
    LOCK;
    for (size_t k = off; k < d->nents + 2; k++) {
        const char *s;
        struct node *n;
        struct fuse_entry_param e;
        size_t need;
        if (k < 2) {
            s = k ? ".." : ".";
            n = k && d->parent ? d->parent : d;
        } else {
            if (!d->ents[k - 2])
                continue;
            s = d->ents[k - 2]->name;
            n = d->ents[k - 2]->node;
        }
        if (plus) {
            fill(&e, n);
            n->nlookup--;
            if (k < 2)
                e.ino = 0;
            need = fuse_add_direntry_plus(r, p, size, s, &e, k + 1);
        } else
            need = fuse_add_direntry(r, p, size, s, &n->st, k + 1);
        if (need > size)
            break;
        if (plus && k >= 2)
            n->nlookup++;
        p += need;
        size -= need;
    }
    UNLOCK;
    fuse_reply_buf(r, buf, p - buf);
    free(buf);
}
static void readdir_(fuse_req_t r, fuse_ino_t i, size_t n, off_t o, struct fuse_file_info *f)
{
    (void)f;
    readdirx(r, i, n, o, 0);
}
static void readdirplus_(fuse_req_t r, fuse_ino_t i, size_t n, off_t o, struct fuse_file_info *f)
{
    (void)f;
    readdirx(r, i, n, o, 1);
}
static void statfs_(fuse_req_t r, fuse_ino_t i)
{
    (void)i;
    struct statvfs s = {.f_bsize = 4096,
                        .f_frsize = 4096,
                        .f_blocks = 1 << 24,
                        .f_bfree = 1 << 23,
                        .f_bavail = 1 << 23,
                        .f_namemax = 255};
    fuse_reply_statfs(r, &s);
}
static const struct fuse_lowlevel_ops ops = {
    .init = init,
    .lookup = lookup,
    .forget = forget,
    .forget_multi = forget_multi,
    .getattr = getattr,
    .setattr = setattr,
    .mkdir = mkdir_,
    .mknod = mknod_,
    .symlink = symlink_,
    .readlink = readlink_,
    .link = link_,
    .create = create,
    .unlink = unlink_,
    .rmdir = rmdir_,
    .rename = rename_,
    .open = open_,
    .opendir = opendir_,
    .release = ok,
    .releasedir = ok,
    .flush = flush_,
    .fsync = fsync_,
    .fsyncdir = fsync_,
    .read = read_,
    .write = write_,
    .readdir = readdir_,
    .readdirplus = readdirplus_,
    .statfs = statfs_,
};
static const struct fuse_opt spec[] = {{"nocache", offsetof(typeof(opt), nocache), 1},
                                       {"nowb", offsetof(typeof(opt), nowb), 1},
                                       {"lean", offsetof(typeof(opt), lean), 1},
                                       FUSE_OPT_END};
int main(int argc, char **argv)
{
    struct fuse_args a = FUSE_ARGS_INIT(argc, argv);
    struct fuse_cmdline_opts o;
    if (fuse_opt_parse(&a, &opt, spec, NULL) || fuse_parse_cmdline(&a, &o))
        return 1;
    if (opt.nocache)
        tmo = 0;
    tab = calloc(tabsize, sizeof *tab);
    root.st.st_mode = S_IFDIR | 0755;
    root.st.st_nlink = 2;
    root.st.st_ino = 1;
    root.nlookup = 1;
    root.st.st_mtim = root.st.st_ctim = ts();
    struct fuse_session *s = fuse_session_new(&a, &ops, sizeof ops, NULL);
    if (!s || fuse_set_signal_handlers(s) || fuse_session_mount(s, o.mountpoint))
        return 1;
    fuse_daemonize(o.foreground);
    int rc;
    if (o.singlethread)
        rc = fuse_session_loop(s);
    else {
        struct fuse_loop_config *c = fuse_loop_cfg_create();
        fuse_loop_cfg_set_clone_fd(c, o.clone_fd);
        fuse_loop_cfg_set_max_threads(c, o.max_threads);
        rc = fuse_session_loop_mt(s, c);
    }
    fuse_session_unmount(s);
    fuse_session_destroy(s);
    return rc;
}
