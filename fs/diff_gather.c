/* diff_gather: the changes of records between two states, put together by inode.
 *
 * The store tells them in the order of keys: so an inode's attributes come first, then its extended
 * attributes, a folder's entries, data. Memory is taken for what has changed only. */
#include "fs/diff_priv.h"

struct gather {
    struct diff_changes *out;
    struct store_since *since;
    struct diff_node *node; /* of the key at hand; the last */
    struct buf before;
};

void diff_changes_release(struct diff_changes *c)
{
    free(c->nodes);
    free(c->names);
    buf_release(&c->text);
    *c = (struct diff_changes){0};
}

/* Both values of the key at hand, that of before in g->before. `*was`, `*is`: there was one. */
static int values(struct gather *g, bool *was, bool *is, struct slice *after)
{
    struct slice value;
    int err = store_since_value(g->since, STORE_BEFORE, &value);
    *was = err == 0;
    buf_set(&g->before, value);
    if (err < 0)
        return err;
    err = store_since_value(g->since, STORE_AFTER, after);
    *is = err == 0;
    return err < 0 ? err : 0;
}

static struct diff_node *node_of(struct gather *g, uint64_t ino)
{
    struct diff_changes *c = g->out;
    if (c->node_count > 0 && c->nodes[c->node_count - 1].ino == ino)
        return &c->nodes[c->node_count - 1];
    assert(c->node_count == 0 || c->nodes[c->node_count - 1].ino < ino);
    if (c->node_count == c->node_cap) {
        c->node_cap = c->node_cap ? c->node_cap * 2 : 64;
        c->nodes = mem_realloc(c->nodes, c->node_cap * sizeof *c->nodes);
    }
    c->nodes[c->node_count] = (struct diff_node){.ino = ino, .was = true, .is = true};
    return &c->nodes[c->node_count++];
}

/* ---- by kind ---- */

static void compare_attr(struct diff_node *n, const struct inode *a, const struct inode *b)
{
    n->times = !same_time(a->mtime, b->mtime);
    if (!inode_is_dir(b) && a->size != b->size)
        n->what |= FS_DIFFERS_DATA;
    if (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid || a->rdev != b->rdev ||
        (a->flags | INODE_DISPLACED) != (b->flags | INODE_DISPLACED))
        n->what |= FS_DIFFERS_ATTR;
}

/* An inode that has lost its last name is gone, whoever may still use it. */
static int take_attr(struct gather *g)
{
    struct inode a = {0}, b = {0};
    struct slice after;
    int err = values(g, &g->node->was, &g->node->is, &after);
    if (err < 0)
        return err;
    if ((g->node->was && inode_decode(buf_slice(&g->before), g->node->ino, &a) < 0) ||
        (g->node->is && inode_decode(after, g->node->ino, &b) < 0))
        return corrupt("an inode", UINT64_MAX, "its attributes do not decode");
    g->node->was = g->node->was && a.nlink > 0;
    g->node->is = g->node->is && b.nlink > 0;
    g->node->mode = (g->node->is ? b.mode : a.mode) & S_IFMT;
    if (g->node->was && g->node->is)
        compare_attr(g->node, &a, &b);
    return 0;
}

static void add_name(struct gather *g, const struct dirent_record *d, bool came)
{
    struct diff_changes *c = g->out;
    if (c->name_count == c->name_cap) {
        c->name_cap = c->name_cap ? c->name_cap * 2 : 64;
        c->names = mem_realloc(c->names, c->name_cap * sizeof *c->names);
    }
    c->names[c->name_count++] = (struct diff_name){
        .ino = d->ino, .dir = g->node->ino, .came = came, .at = c->text.len, .len = d->name.len};
    buf_append(&c->text, d->name);
}

static int take_entry(struct gather *g)
{
    struct dirent_record a = {0}, b = {0};
    struct slice after;
    bool was, is;
    int err = values(g, &was, &is, &after);
    if (err < 0)
        return err;
    if ((was && dirent_decode(buf_slice(&g->before), &a) < 0) ||
        (is && dirent_decode(after, &b) < 0))
        return corrupt("a folder", UINT64_MAX, "an entry does not decode");
    if (was && is && a.ino == b.ino && slice_eq(a.name, b.name))
        return 0;
    g->node->entries = true;
    if (was)
        add_name(g, &a, false);
    if (is)
        add_name(g, &b, true);
    return 0;
}

/* Written again with the same value, as after going back to a snapshot, it has not changed. That is
 * looked at only if nothing else says that it has: values may be large, and many. */
static int take_value(struct gather *g, unsigned what)
{
    struct slice after;
    bool was, is, seen = (g->node->what & what) || (what == FS_DIFFERS_DATA && g->node->times);
    if (!g->node->was || !g->node->is)
        return 0;
    if (!seen) {
        int err = values(g, &was, &is, &after);
        if (err < 0)
            return err;
        seen = was != is || !slice_eq(buf_slice(&g->before), after);
    }
    g->node->what |= seen ? what : 0;
    return 0;
}

static int take(struct gather *g, struct slice key)
{
    uint64_t ino;
    uint8_t kind;
    struct slice rest;
    if (!key_split(key, &ino, &kind, &rest) || ino == 0)
        return 0;
    g->node = node_of(g, ino);
    switch (kind) {
    case KIND_ATTR:
        return take_attr(g);
    case KIND_XATTR:
        return take_value(g, FS_DIFFERS_XATTR);
    case KIND_DIRENT:
        return take_entry(g);
    case KIND_DATA:
        return take_value(g, FS_DIFFERS_DATA);
    default:
        return 0;
    }
}

static int by_inode(const void *a, const void *b)
{
    const struct diff_name *x = a, *y = b;
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    if (x->came != y->came)
        return x->came ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

int diff_gather(const struct store_read *after, uint64_t from, struct diff_changes *out)
{
    struct gather g = {.out = out};
    struct store_change change;
    struct slice none = {0};
    *out = (struct diff_changes){0};
    int err = store_since_new(after, from, none, none, STORE_SINCE_KEYS, &g.since);
    if (err < 0)
        return err;
    while ((err = store_since_next(g.since, &change)) == 0) {
        err = take(&g, change.key);
        if (err < 0)
            break;
    }
    store_since_free(g.since);
    buf_release(&g.before);
    if (out->name_count)
        qsort(out->names, out->name_count, sizeof *out->names, by_inode);
    return err < 0 ? err : 0;
}
