/* diff: see diff.h.
 *
 * First all changes are gathered, by inode (diff_gather.c); then each inode is told: as made, gone,
 * under another name, or changed. A name that came and one that went of the same inode are a
 * renaming. What lies in a folder that was renamed has not changed, and is not told.
 *
 * Going backwards: the same, with came and went, before and after exchanged. */
#include "fs/diff_priv.h"
#include "fs/paths.h"

struct telling {
    struct diff_changes changes;
    struct store_read before, after; /* in time: `after` is the later one */
    struct paths *old, *new;         /* of the states that are told as before and after */
    bool backwards;
    fs_difference_fn *fn;
    void *ctx;
    struct buf path, from;
    uint64_t *lost; /* changed inodes whose name is not known; ascending */
    unsigned *lost_what;
    size_t lost_count;
};

static int tell(struct telling *t, enum fs_difference_kind kind, const struct diff_node *n)
{
    struct fs_difference d = {.kind = kind,
                              .what = kind == FS_CHANGED ? n->what : 0,
                              .path = (const char *)t->path.data,
                              .from = kind == FS_RENAMED ? (const char *)t->from.data : NULL,
                              .ino = n->ino,
                              .mode = n->mode};
    return t->fn(t->ctx, &d);
}

static int path_of(struct telling *t, struct paths *in, const struct diff_name *name,
                   struct buf *out)
{
    return paths_of_entry(in, name->dir, diff_name_text(&t->changes, name), out);
}

/* ---- what has changed, and where it is ---- */

static void lose(struct telling *t, const struct diff_node *n)
{
    t->lost = mem_realloc(t->lost, (t->lost_count + 1) * sizeof *t->lost);
    t->lost_what = mem_realloc(t->lost_what, (t->lost_count + 1) * sizeof *t->lost_what);
    t->lost[t->lost_count] = n->ino;
    t->lost_what[t->lost_count++] = n->what;
}

static int tell_changed(struct telling *t, const struct diff_node *n, const struct diff_name *came)
{
    struct inode record;
    int err;
    if (came) {
        err = path_of(t, t->new, came, &t->path);
    } else {
        err = inode_get(t->new->read, n->ino, &record);
        if (err == 0)
            err = paths_of_inode(t->new, &record, &t->path);
    }
    if (err == 1) {
        lose(t, n);
        return 0;
    }
    return err == 0 ? tell(t, FS_CHANGED, n) : err;
}

/* ---- one inode ---- */

struct names {
    const struct diff_name *list;
    size_t count;
};

static int tell_names(struct telling *t, const struct diff_node *n, struct names went,
                      struct names came)
{
    size_t pairs = went.count < came.count ? went.count : came.count;
    int err = 0;
    for (size_t i = 0; i < pairs && err == 0; i++) {
        err = path_of(t, t->old, &went.list[i], &t->from);
        if (err == 0)
            err = path_of(t, t->new, &came.list[i], &t->path);
        if (err == 0)
            err = tell(t, FS_RENAMED, n);
    }
    for (size_t i = pairs; i < came.count && err == 0; i++) {
        err = path_of(t, t->new, &came.list[i], &t->path);
        if (err == 0)
            err = tell(t, FS_CREATED, n);
    }
    for (size_t i = pairs; i < went.count && err == 0; i++) {
        err = path_of(t, t->old, &went.list[i], &t->path);
        if (err == 0)
            err = tell(t, FS_DELETED, n);
    }
    return err;
}

static int tell_inode(struct telling *t, const struct diff_node *given, struct names went,
                      struct names came)
{
    struct diff_node n = *given;
    if (t->backwards) {
        bool was = n.was;
        struct names names = went;
        n.was = n.is;
        n.is = was;
        went = came;
        came = names;
    }
    /* A folder's time goes with its entries. */
    if (n.times && !n.entries)
        n.what |= FS_DIFFERS_ATTR;
    int err = n.was || n.is ? tell_names(t, &n, went, came) : 0;
    if (err == 0 && n.was && n.is && n.what)
        err = tell_changed(t, &n, came.count ? &came.list[0] : NULL);
    return err;
}

/* Names and inodes ascend together. */
static int tell_all(struct telling *t)
{
    const struct diff_changes *c = &t->changes;
    size_t i = 0, k = 0;
    int err = 0;
    while ((i < c->node_count || k < c->name_count) && err == 0) {
        uint64_t ino =
            k == c->name_count || (i < c->node_count && c->nodes[i].ino < c->names[k].ino)
                ? c->nodes[i].ino
                : c->names[k].ino;
        struct diff_node n = {.ino = ino, .was = true, .is = true};
        struct names went = {.list = c->names + k}, came;
        if (i < c->node_count && c->nodes[i].ino == ino)
            n = c->nodes[i++];
        for (; k < c->name_count && c->names[k].ino == ino && !c->names[k].came; k++)
            went.count++;
        came = (struct names){.list = c->names + k};
        for (; k < c->name_count && c->names[k].ino == ino; k++)
            came.count++;
        err = tell_inode(t, &n, went, came);
    }
    return err;
}

/* ---- those whose name is not known: all folders are looked through ---- */

struct search {
    struct telling *t;
    uint64_t *dirs; /* still to be looked through */
    size_t dir_count, dir_cap;
    size_t left;
};

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int on_entry(void *ctx, uint64_t dir, const struct dirent_record *d)
{
    struct search *s = ctx;
    struct telling *t = s->t;
    if (d->type == S_IFDIR >> 12) {
        if (s->dir_count == s->dir_cap) {
            s->dir_cap = s->dir_cap ? s->dir_cap * 2 : 64;
            s->dirs = mem_realloc(s->dirs, s->dir_cap * sizeof *s->dirs);
        }
        s->dirs[s->dir_count++] = d->ino;
        return 0;
    }
    const uint64_t *found = bsearch(&d->ino, t->lost, t->lost_count, sizeof *t->lost, by_number);
    if (!found || t->lost_what[found - t->lost] == 0)
        return 0;
    struct diff_node n = {
        .ino = d->ino, .mode = (uint32_t)d->type << 12, .what = t->lost_what[found - t->lost]};
    t->lost_what[found - t->lost] = 0;
    s->left--;
    int err = paths_of_entry(t->new, dir, d->name, &t->path);
    return err == 0 ? tell(t, FS_CHANGED, &n) : err;
}

static int tell_lost(struct telling *t)
{
    struct search s = {.t = t, .left = t->lost_count};
    int err = 0;
    if (t->lost_count == 0)
        return 0;
    s.dirs = mem_alloc(sizeof *s.dirs);
    s.dirs[s.dir_count++] = FS_INO_ROOT;
    s.dir_cap = 1;
    while (s.dir_count > 0 && s.left > 0 && err == 0)
        err = paths_each_entry(t->new->read, s.dirs[--s.dir_count], on_entry, &s);
    free(s.dirs);
    return err;
}

/* ---- */

int diff_states(struct fs *fs, uint64_t from, uint64_t to, bool backwards, fs_difference_fn *fn,
                void *ctx)
{
    struct telling t = {.backwards = backwards, .fn = fn, .ctx = ctx};
    struct paths *earlier = mem_alloc(sizeof *earlier), *later = mem_alloc(sizeof *later);
    assert(from <= to || to == 0);
    store_read_begin_at(fs->store, from, &t.before);
    if (to)
        store_read_begin_at(fs->store, to, &t.after);
    else
        store_read_begin(fs->store, &t.after);
    paths_init(earlier, &t.before);
    paths_init(later, &t.after);
    t.old = backwards ? later : earlier;
    t.new = backwards ? earlier : later;
    int err = diff_gather(&t.after, from, &t.changes);
    if (err == 0)
        err = tell_all(&t);
    if (err == 0)
        err = tell_lost(&t);
    diff_changes_release(&t.changes);
    paths_release(earlier);
    paths_release(later);
    free(earlier);
    free(later);
    store_read_end(&t.before);
    store_read_end(&t.after);
    buf_release(&t.path);
    buf_release(&t.from);
    free(t.lost);
    free(t.lost_what);
    return err;
}
