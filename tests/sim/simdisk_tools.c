/* simdisk_tools: what tests measure on a simulated disk, and do to it behind the env's back. See
 * simdisk.h.
 *
 * Guarantees: nothing here counts a call, moves a clock, meets a fault or draws a random number; so
 * a test may look at a disk at any time without changing what happens next.
 *
 * Invariants:
 *  1. A file that was tampered with is durable as it then is. */
#include "tests/sim/simdisk_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t simdisk_used_bytes(const struct simdisk *d)
{
    uint64_t used = 0;
    bool *counted = mem_zalloc(d->node_count * sizeof *counted); /* a file with two names once */
    for (size_t i = 0; i < d->tree.now.count; i++) {
        const struct simentry *e = &d->tree.now.at[i];
        if (!e->is_folder && !counted[e->node])
            used += simimage_stored_bytes(d->nodes[e->node].file.now);
        counted[e->node] = true;
    }
    for (uint32_t i = 0; i < d->node_count; i++)
        if (d->nodes[i].nameless)
            used += simimage_stored_bytes(d->nodes[i].file.now);
    free(counted);
    return used;
}

uint64_t simdisk_free_bytes(const struct simdisk *d)
{
    if (d->capacity_bytes == SIM_CAPACITY_DEFAULT)
        return SIM_CAPACITY_DEFAULT; /* no test fills it, so nothing is counted */
    uint64_t used = simdisk_used_bytes(d);
    return d->capacity_bytes > used ? d->capacity_bytes - used : 0;
}

void simdisk_set_capacity(struct simdisk *d, uint64_t bytes)
{
    d->capacity_bytes = bytes;
}

size_t simdisk_open_files(const struct simdisk *d)
{
    size_t count = 0;
    const struct simhandle *h;
    LIST_FOREACH(h, &d->handles, link)
    count += h->node != SIM_NO_NODE;
    return count;
}

size_t simdisk_locks(const struct simdisk *d)
{
    size_t count = 0;
    const struct env_lock *l;
    LIST_FOREACH(l, &d->locks, link)
    count += l->node != SIM_NO_NODE;
    return count;
}

static int file_at(const struct simdisk *d, const char *path, struct simfile **out)
{
    struct simentry place;
    *out = NULL;
    int err = simdisk_find(d, path, &place);
    if (!err)
        *out = &d->nodes[place.node].file;
    return err;
}

static void get_contents(const struct simimage *m, struct buf *out)
{
    size_t len = (size_t)simimage_size(m);
    buf_clear(out);
    size_t got = simimage_read(m, 0, buf_reserve(out, len), len);
    assert(got == len);
    out->len = got;
}

int simdisk_get(const struct simdisk *d, const char *path, struct buf *out)
{
    struct simfile *f;
    buf_clear(out);
    int err = file_at(d, path, &f);
    if (!err)
        get_contents(f->now, out);
    return err;
}

int simdisk_flip(struct simdisk *d, const char *path, uint64_t offset, uint8_t mask)
{
    struct simfile *f;
    uint8_t byte;
    int err = file_at(d, path, &f);
    if (err)
        return err;
    if (simimage_read(f->now, offset, &byte, 1) < 1)
        return -ERANGE;
    byte ^= mask;
    simimage_write(&f->now, offset, &byte, 1);
    simfile_settle(f);
    return 0;
}

int simdisk_truncate(struct simdisk *d, const char *path, uint64_t size)
{
    struct simfile *f;
    int err = file_at(d, path, &f);
    if (err)
        return err;
    simimage_truncate(&f->now, size);
    simfile_settle(f);
    return 0;
}

int simdisk_swap(struct simdisk *d, const char *a, const char *b)
{
    struct simfile *fa, *fb;
    int err = file_at(d, a, &fa);
    if (!err)
        err = file_at(d, b, &fb);
    if (err)
        return err;
    struct simimage *m = fa->now;
    fa->now = fb->now;
    fb->now = m;
    simfile_settle(fa);
    simfile_settle(fb);
    return 0;
}

int simdisk_put(struct simdisk *d, const char *path, struct slice contents)
{
    struct simentry place;
    int err = simdisk_find(d, path, &place);
    if (err == -ENOENT && *place.name) {
        simdisk_make_node(d, &place, false);
        simtree_sync(&d->tree, place.folder);
        err = 0;
    }
    if (err)
        return err;
    struct simfile *f = &d->nodes[place.node].file;
    simimage_truncate(&f->now, 0);
    simimage_write(&f->now, 0, contents.data, contents.len);
    simfile_settle(f);
    return 0;
}

/* The full path of an entry, in a string that the caller frees. */
static char *full_path(const struct simdisk *d, const struct simentry *e)
{
    char *path = mem_printf("/%s", e->name);
    for (uint32_t folder = e->folder; folder != SIM_ROOT;) {
        const struct simentry *above = simnames_of(&d->tree.now, folder);
        assert(above && above->is_folder);
        char *longer = mem_printf("/%s%s", above->name, path);
        free(path);
        path = longer;
        folder = above->folder;
    }
    return path;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int simdisk_files(const struct simdisk *d, env_list_fn *fn, void *fn_ctx)
{
    size_t count = 0;
    int stop = 0;
    char **paths = mem_zalloc(d->tree.now.count * sizeof *paths);
    for (size_t i = 0; i < d->tree.now.count; i++)
        if (!d->tree.now.at[i].is_folder)
            paths[count++] = full_path(d, &d->tree.now.at[i]);
    qsort(paths, count, sizeof *paths, by_bytes);
    for (size_t i = 0; i < count; i++) {
        if (!stop)
            stop = fn(fn_ctx, paths[i]);
        free(paths[i]);
    }
    free(paths);
    return stop;
}

bool simdisk_is_durable(const struct simdisk *d, const char *path)
{
    struct simentry place;
    if (simdisk_find(d, path, &place))
        return false;
    const struct simfile *f = &d->nodes[place.node].file;
    if (f->pending || f->diverged)
        return false;
    for (const struct simentry *e = &place;; e = simnames_of(&d->tree.now, e->folder)) {
        const struct simentry *kept = simnames_find(&d->tree.durable, e->folder, e->name);
        if (!kept || kept->node != e->node || simtree_is_pending(&d->tree, e->folder, e->name))
            return false;
        if (e->folder == SIM_ROOT)
            return true;
    }
}

/* FNV-1a, 64 bits, by Fowler, Noll and Vo: http://www.isthe.com/chongo/tech/comp/fnv/ */
static void digest_bytes(uint64_t *hash, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        *hash = (*hash ^ ((const uint8_t *)data)[i]) * UINT64_C(0x100000001b3);
}

struct digest {
    const struct simdisk *disk;
    uint64_t hash;
    struct buf contents;
};

static int digest_file(void *ctx, const char *path)
{
    struct digest *g = ctx;
    int err = simdisk_get(g->disk, path, &g->contents);
    digest_bytes(&g->hash, path, strlen(path) + 1);
    digest_bytes(&g->hash, &g->contents.len, sizeof g->contents.len);
    digest_bytes(&g->hash, g->contents.data, g->contents.len);
    return err;
}

uint64_t simdisk_digest(const struct simdisk *d)
{
    struct digest g = {.disk = d, .hash = UINT64_C(0xcbf29ce484222325)};
    int err = simdisk_files(d, digest_file, &g);
    assert(err == 0);
    (void)err;
    buf_release(&g.contents);
    return g.hash;
}
