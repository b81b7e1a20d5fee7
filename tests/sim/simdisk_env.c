/* simdisk_env: the table of struct env for a simulated disk; locks, space, clocks, randomness. The
 * calls on paths are in simdisk_path.c, those on files in simdisk_file.c. See simdisk.h.
 *
 * Guarantees: each call answers as env_posix does (tests/unit/store_env.c runs the same tests on
 * both).
 *
 * Invariants:
 *  1. A lock is in the disk's list from its making to unlock(). For each node one that excludes
 *     others is alive at most, or any number that do not; they keep the node, whether or not the
 *     file is removed.
 *  2. The clocks never stand still: reading them moves them. */
#include "tests/sim/simdisk_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Makes the lock's file if it is not there. */
static int lock_file(struct simdisk *d, const char *path, uint32_t *node)
{
    struct simentry place;
    int err = simdisk_find(d, path, &place);
    if (err == -ENOENT && *place.name) {
        struct env_file *made = NULL;
        err = simdisk_create(d, path, &made);
        if (made)
            made->ops->close(made);
        if (!err)
            err = simdisk_find(d, path, &place);
    }
    *node = place.node;
    return err;
}

static int add_lock(struct simdisk *d, uint32_t node, bool exclusive, struct env_lock **out)
{
    struct env_lock *l;
    LIST_FOREACH(l, &d->locks, link)
    if (l->node == node && (exclusive || l->exclusive))
        return -EAGAIN;
    l = mem_zalloc(sizeof *l);
    l->node = node;
    l->exclusive = exclusive;
    d->nodes[node].handles++;
    LIST_INSERT_HEAD(&d->locks, l, link);
    *out = l;
    return 0;
}

static int sim_lock(struct env *env, const char *path, struct env_lock **out)
{
    struct simdisk *d = simdisk_of(env);
    bool go;
    uint32_t node;
    *out = NULL;
    int err = simdisk_enter(d, SIM_LOCK, path, &go);
    if (!err)
        err = lock_file(d, path, &node);
    return err ? err : add_lock(d, node, true, out);
}

static int sim_lock_read(struct env *env, const char *path, struct env_lock **out)
{
    struct simdisk *d = simdisk_of(env);
    bool go;
    struct simentry place;
    *out = NULL;
    int err = simdisk_enter(d, SIM_LOCK, path, &go);
    if (!err)
        err = simdisk_find(d, path, &place);
    return err ? err : add_lock(d, place.node, false, out);
}

static void sim_unlock(struct env *env, struct env_lock *lock)
{
    LIST_REMOVE(lock, link);
    if (lock->node != SIM_NO_NODE)
        simdisk_drop_handle(simdisk_of(env), lock->node);
    free(lock);
}

static int sim_space(struct env *env, const char *path, struct env_space *out)
{
    struct simdisk *d = simdisk_of(env);
    bool go;
    struct simentry place;
    *out = (struct env_space){0};
    int err = simdisk_enter(d, SIM_SPACE, path, &go);
    if (!err)
        err = simtree_resolve(&d->tree, path, &place);
    if (!err && place.node == SIM_NO_NODE)
        err = -ENOENT;
    if (err)
        return err;
    out->free_bytes = simdisk_free_bytes(d);
    out->total_bytes = d->capacity_bytes;
    assert(out->free_bytes <= out->total_bytes);
    return 0;
}

static uint64_t tick(struct env *env)
{
    struct simdisk *d = simdisk_of(env);
    simdisk_advance(d, SIM_CALL_NS);
    return d->clock_ns;
}

static int64_t sim_realtime_ns(struct env *env)
{
    return (int64_t)tick(env);
}

static uint64_t sim_monotonic_ns(struct env *env)
{
    return tick(env);
}

static uint64_t sim_preemptions(struct env *env)
{
    (void)env;
    return 0;
}

/* Nobody is ever in a hurry: what is written is to be the same each time, however threads meet. */
static uint32_t sim_processors(struct env *env)
{
    (void)env;
    return 0;
}

static void sim_give_way(struct env *env)
{
    (void)env;
}

static int sim_random(struct env *env, void *out, size_t len)
{
    struct simdisk *d = simdisk_of(env);
    bool go;
    int err = simdisk_enter(d, SIM_RANDOM_BYTES, "", &go);
    for (size_t i = 0; i < len && !err; i++)
        ((uint8_t *)out)[i] = (uint8_t)simrng_next(&d->rng);
    return err;
}

static int sim_thread_start(struct env *env, void (*fn)(void *arg), void *arg,
                            struct env_thread **out)
{
    (void)env, (void)fn, (void)arg;
    *out = NULL;
    return -ENOSYS;
}

static void sim_thread_join(struct env *env, struct env_thread *thread)
{
    (void)env;
    (void)thread;
    assert(thread == NULL); /* none was ever started */
}

const struct env simdisk_env_table = {
    .open = simdisk_open,
    .remove = simdisk_remove,
    .rename = simdisk_rename,
    .link = simdisk_link,
    .mkdir = simdisk_mkdir,
    .list = simdisk_list,
    .sync_dir = simdisk_sync_dir,
    .file_size = simdisk_file_size,
    .file_usage = simdisk_file_usage,
    .lock = sim_lock,
    .lock_read = sim_lock_read,
    .unlock = sim_unlock,
    .space = sim_space,
    .realtime_ns = sim_realtime_ns,
    .monotonic_ns = sim_monotonic_ns,
    .preemptions = sim_preemptions,
    .processors = sim_processors,
    .give_way = sim_give_way,
    .random = sim_random,
    .thread_start = sim_thread_start,
    .thread_join = sim_thread_join,
};
