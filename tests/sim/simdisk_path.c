/* simdisk_path: the calls of struct env on paths of a simulated disk. See simdisk.h.
 *
 * Guarantees: each call answers as env_posix does (tests/unit/store_env.c runs the same tests on
 * both).
 *
 * Invariants:
 *  1. A call does nothing before simdisk_enter() has said so.
 *  2. Once the power is cut, a call that would have been refused fails with -EIO as well.
 *  3. A file without a name is nameless as long as handles or locks keep it. */
#include "tests/sim/simdisk_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct simdisk *simdisk_of(struct env *env)
{
    struct simdisk *d = env->ctx;
    /* A copy of the table is as good: the store makes one for its keys. */
    assert(d->env.ctx == d && d->env.open == env->open);
    return d;
}

uint32_t simdisk_make_node(struct simdisk *d, struct simentry *place, bool is_folder)
{
    assert(place->node == SIM_NO_NODE);
    place->node = simdisk_add_node(d, is_folder);
    place->is_folder = is_folder;
    simtree_change(&d->tree, &(struct simchange){1, {*place}});
    return place->node;
}

int simdisk_create(struct simdisk *d, const char *path, struct env_file **out)
{
    bool go;
    struct simentry place;
    int err = simdisk_enter(d, SIM_CREATE, path, &go);
    if (!go)
        return err;
    int refused = simtree_resolve(&d->tree, path, &place);
    if (refused)
        return err ? err : refused;
    if (place.node != SIM_NO_NODE)
        return err ? err : -EEXIST;
    uint32_t node = simdisk_make_node(d, &place, false);
    if (!err)
        *out = simdisk_new_handle(d, path, node, true);
    return err;
}

int simdisk_find(const struct simdisk *d, const char *path, struct simentry *place)
{
    int err = simtree_resolve(&d->tree, path, place);
    if (err)
        return err;
    if (place->node == SIM_NO_NODE)
        return -ENOENT;
    return place->is_folder ? -EISDIR : 0;
}

int simdisk_open(struct env *env, const char *path, enum env_open_mode mode, struct env_file **out)
{
    struct simdisk *d = simdisk_of(env);
    bool go;
    struct simentry place;
    *out = NULL;
    bool there = simdisk_find(d, path, &place) == 0;
    if (mode == ENV_OPEN_CREATE || (mode == ENV_OPEN_MAPPED && !there))
        return simdisk_create(d, path, out);
    int err = simdisk_enter(d, SIM_OPEN, path, &go);
    if (!err)
        err = simdisk_find(d, path, &place);
    if (!err)
        *out = simdisk_new_handle(d, path, place.node, mode != ENV_OPEN_READ);
    return err;
}

/* After a name of the node is gone, which may have been its last. */
static void unname(struct simdisk *d, uint32_t node)
{
    assert(d->nodes[node].used && !d->nodes[node].nameless);
    d->nodes[node].nameless = d->nodes[node].handles > 0 && !simnames_of(&d->tree.now, node);
}

int simdisk_remove(struct env *env, const char *path)
{
    struct simdisk *d = simdisk_of(env);
    bool go;
    struct simentry place;
    int err = simdisk_enter(d, SIM_REMOVE, path, &go);
    if (!go)
        return err;
    int refused = simdisk_find(d, path, &place);
    if (refused)
        return err ? err : refused;
    uint32_t node = place.node;
    place.node = SIM_NO_NODE;
    simtree_change(&d->tree, &(struct simchange){1, {place}});
    unname(d, node);
    return err;
}

int simdisk_rename(struct env *env, const char *from, const char *to)
{
    struct simdisk *d = simdisk_of(env);
    bool go;
    struct simentry old, target;
    int err = simdisk_enter(d, SIM_RENAME, from, &go);
    if (!go)
        return err;
    int refused = simdisk_find(d, from, &old);
    if (!refused)
        refused = simtree_resolve(&d->tree, to, &target);
    if (!refused && target.node != SIM_NO_NODE && target.is_folder)
        refused = -EISDIR;
    if (refused || target.node == old.node)
        return err ? err : refused;
    uint32_t replaced = target.node;
    target.node = old.node;
    old.node = SIM_NO_NODE;
    simtree_change(&d->tree, &(struct simchange){2, {old, target}});
    if (replaced != SIM_NO_NODE)
        unname(d, replaced);
    return err;
}

int simdisk_link(struct env *env, const char *from, const char *to)
{
    struct simdisk *d = simdisk_of(env);
    bool go;
    struct simentry old, fresh;
    int err = simdisk_enter(d, SIM_LINK, to, &go);
    if (!go)
        return err;
    int refused = simdisk_find(d, from, &old);
    if (!refused)
        refused = simtree_resolve(&d->tree, to, &fresh);
    if (!refused && fresh.node != SIM_NO_NODE)
        refused = -EEXIST;
    if (refused)
        return err ? err : refused;
    fresh.node = old.node;
    fresh.is_folder = false;
    simtree_change(&d->tree, &(struct simchange){1, {fresh}});
    return err;
}

int simdisk_mkdir(struct env *env, const char *path)
{
    struct simdisk *d = simdisk_of(env);
    bool go;
    struct simentry place;
    int err = simdisk_enter(d, SIM_MKDIR, path, &go);
    if (!go)
        return err;
    int refused = simtree_resolve(&d->tree, path, &place);
    if (refused)
        return err ? err : refused;
    if (place.node != SIM_NO_NODE)
        return err ? err : -EEXIST;
    simdisk_make_node(d, &place, true);
    return err;
}

/* Calls `fn` for entries of `folder`, beginning anywhere, as their order promises nothing. A copy
 * is walked, since `fn` may change the folder. */
static int list_folder(struct simdisk *d, uint32_t folder, env_list_fn *fn, void *fn_ctx)
{
    size_t count = d->tree.now.count;
    if (count == 0)
        return 0;
    struct simentry *all = mem_dup(d->tree.now.at, count * sizeof *all);
    size_t first = (size_t)simrng_below(&d->rng, count);
    int stop = 0;
    for (size_t i = 0; i < count && !stop; i++) {
        const struct simentry *e = &all[(first + i) % count];
        if (e->folder == folder)
            stop = fn(fn_ctx, e->name);
    }
    free(all);
    return stop;
}

/* After simdisk_enter(): the folder at `path`. */
static int find_folder(const struct simdisk *d, const char *path, uint32_t *node)
{
    struct simentry place;
    int err = simtree_resolve(&d->tree, path, &place);
    *node = place.node;
    if (err)
        return err;
    if (place.node == SIM_NO_NODE)
        return -ENOENT;
    return place.is_folder ? 0 : -ENOTDIR;
}

int simdisk_list(struct env *env, const char *path, env_list_fn *fn, void *fn_ctx)
{
    struct simdisk *d = simdisk_of(env);
    bool go;
    uint32_t folder;
    int err = simdisk_enter(d, SIM_LIST, path, &go);
    if (!err)
        err = find_folder(d, path, &folder);
    return err ? err : list_folder(d, folder, fn, fn_ctx);
}

int simdisk_sync_dir(struct env *env, const char *path)
{
    struct simdisk *d = simdisk_of(env);
    bool go;
    uint32_t folder;
    int err = simdisk_enter(d, SIM_SYNC_DIR, path, &go);
    if (!go)
        return err;
    int refused = find_folder(d, path, &folder);
    if (refused)
        return err ? err : refused;
    simtree_sync(&d->tree, folder);
    simdisk_collect(d);
    return err;
}

int simdisk_file_size(struct env *env, const char *path, uint64_t *size)
{
    struct simdisk *d = simdisk_of(env);
    bool go;
    struct simentry place;
    *size = 0;
    int err = simdisk_enter(d, SIM_SIZE, path, &go);
    if (!err)
        err = simdisk_find(d, path, &place);
    if (!err)
        *size = simimage_size(d->nodes[place.node].file.now);
    return err;
}

int simdisk_file_usage(struct env *env, const char *path, struct env_usage *out)
{
    struct simdisk *d = simdisk_of(env);
    const struct simnames *names = &d->tree.now;
    bool go;
    struct simentry place;
    *out = (struct env_usage){0};
    int err = simdisk_enter(d, SIM_SIZE, path, &go);
    if (!err)
        err = simdisk_find(d, path, &place);
    if (err)
        return err;
    out->stored_bytes = simimage_stored_bytes(d->nodes[place.node].file.now);
    for (size_t i = 0; i < names->count; i++)
        out->links += names->at[i].node == place.node;
    return 0;
}
