/* paths: see paths.h.
 *
 * From an inode upwards: its record says in which folder it has a name, and in which slot. That is
 * right for folders. A record that does not know the slot has its folder searched. */
#include "fs/paths.h"

enum { DEPTH_MAX = 1 << 16 };

void paths_init(struct paths *p, const struct store_read *read)
{
    memset(p, 0, sizeof *p);
    p->read = read;
}

void paths_release(struct paths *p)
{
    for (size_t i = 0; i < PATHS_KEPT; i++)
        buf_release(&p->kept[i].path);
    buf_release(&p->climb);
}

/* ---- entries ---- */

int paths_each_entry(const struct store_read *read, uint64_t dir, paths_entry_fn *fn, void *ctx)
{
    struct key lower = key_kind(dir, KIND_DIRENT), upper = key_kind(dir, KIND_DATA);
    struct store_iter *it = store_iter_new(read, key_slice(&lower), key_slice(&upper));
    int err, told = 0;
    for (err = store_iter_first(it); err == 0 && told == 0; err = store_iter_next(it)) {
        struct slice value;
        struct dirent_record d;
        err = store_iter_value(it, &value);
        if (err == 0 && dirent_decode(value, &d) < 0)
            err = corrupt("a folder", UINT64_MAX, "an entry does not decode");
        if (err < 0)
            break;
        told = fn(ctx, dir, &d);
    }
    store_iter_free(it);
    return err < 0 ? err : told;
}

struct wanted {
    uint64_t ino;
    struct buf *name;
};

static int match(void *ctx, uint64_t dir, const struct dirent_record *d)
{
    struct wanted *w = ctx;
    (void)dir;
    if (d->ino != w->ino)
        return 0;
    buf_set(w->name, d->name);
    return 1;
}

/* What stands in that slot, if it names the inode. 0, 1 when not, or an error. */
static int name_in_slot(const struct store_read *read, const struct inode *n, struct buf *name)
{
    struct store_value v = {0};
    struct dirent_record d;
    struct key k = key_dirent(n->parent, n->slot);
    int err = store_get(read, key_slice(&k), &v);
    if (err == 0 && (dirent_decode(v.data, &d) < 0 || d.ino != n->ino))
        err = 1;
    if (err == 0)
        buf_set(name, d.name);
    store_value_release(&v);
    return err;
}

/* The name that the record speaks of. 0, 1 when it is not there, or an error. */
static int name_of(const struct store_read *read, const struct inode *n, struct buf *name)
{
    struct wanted wanted = {n->ino, name};
    int err = n->slot >= SLOT_MIN && n->slot <= SLOT_MAX ? name_in_slot(read, n, name) : 1;
    if (err != 1)
        return err;
    err = paths_each_entry(read, n->parent, match, &wanted);
    return err < 0 ? err : !err;
}

/* ---- climbing ---- */

static struct paths_kept *place_of(struct paths *p, uint64_t dir)
{
    return &p->kept[dir * UINT64_C(0x9E3779B97F4A7C15) >> 54];
}
_Static_assert(PATHS_KEPT == 1 << 10, "the upper ten bits choose the place");

static void prepend(struct buf *path, struct slice name)
{
    size_t len = path->len;
    buf_reserve(path, name.len + 1);
    if (len)
        memmove(path->data + name.len + 1, path->data, len);
    path->data[0] = '/';
    memcpy(path->data + 1, name.data, name.len);
    path->len = len + name.len + 1;
}

/* The path of a folder, "" for the root, without a NUL, into p->climb. */
static int climb(struct paths *p, uint64_t dir)
{
    struct buf name = {0};
    int err = 0;
    uint64_t at = dir;
    p->climb.len = 0;
    for (int depth = 0; at != FS_INO_ROOT && err == 0; depth++) {
        const struct paths_kept *kept = place_of(p, at);
        struct inode n;
        if (kept->dir == at) {
            struct slice above = buf_slice(&kept->path);
            buf_reserve(&p->climb, above.len);
            memmove(p->climb.data + above.len, p->climb.data, p->climb.len);
            if (above.len)
                memcpy(p->climb.data, above.data, above.len);
            p->climb.len += above.len;
            break;
        }
        err = inode_get(p->read, at, &n);
        if (err == 0)
            err = name_of(p->read, &n, &name);
        if (err == 1 || depth > DEPTH_MAX)
            err = -ENOENT;
        if (err == 0)
            prepend(&p->climb, buf_slice(&name));
        at = n.parent;
    }
    buf_release(&name);
    if (err < 0)
        return err;
    struct paths_kept *kept = place_of(p, dir);
    kept->dir = dir;
    buf_set(&kept->path, buf_slice(&p->climb));
    return 0;
}

int paths_of_entry(struct paths *p, uint64_t dir, struct slice name, struct buf *out)
{
    int err = climb(p, dir);
    out->len = 0;
    if (err < 0)
        return err;
    buf_append(out, buf_slice(&p->climb));
    buf_put_u8(out, '/');
    buf_append(out, name);
    buf_put_u8(out, 0);
    return 0;
}

int paths_of_inode(struct paths *p, const struct inode *n, struct buf *out)
{
    struct buf name = {0};
    out->len = 0;
    if (n->ino == FS_INO_ROOT) {
        buf_append(out, slice_of("/", 2));
        return 0;
    }
    int err = name_of(p->read, n, &name);
    if (err == 0)
        err = paths_of_entry(p, n->parent, buf_slice(&name), out);
    buf_release(&name);
    return err;
}
