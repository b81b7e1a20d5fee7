/* simdisk_file: the calls of struct env_file on a simulated disk. See simdisk.h.
 *
 * Guarantees: each call answers as env_posix does (tests/unit/store_env.c runs the same tests on
 * both).
 *
 * Invariants:
 *  1. A call does nothing before simdisk_enter() has said so, except to refuse misuse.
 *  2. A handle is in the disk's list from its making to close(), and refers to a node that is used
 *     or, after a crash, to none. */
#include "tests/sim/simdisk_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct env_file_ops sim_file_ops;

static struct simhandle *handle_of(struct env_file *file)
{
    assert(file && file->ops == &sim_file_ops);
    return (struct simhandle *)file;
}

/* For each call on a handle: as simdisk_enter(), and the file in `*out`. */
static int enter_file(struct simhandle *h, enum sim_call call, bool *go, struct simfile **out)
{
    *out = NULL;
    int err = simdisk_enter(h->disk, call, h->path, go);
    if (h->node == SIM_NO_NODE) {
        *go = false;
        return -EIO;
    }
    assert(h->disk->nodes[h->node].used && h->disk->nodes[h->node].handles > 0);
    *out = &h->disk->nodes[h->node].file;
    return err;
}

static bool too_far(uint64_t offset, uint64_t len)
{
    return offset > SIMIMAGE_WRITE_END_MAX || len > SIMIMAGE_WRITE_END_MAX - offset;
}

static int sim_read(struct env_file *file, uint64_t offset, void *data, size_t len, size_t *got)
{
    bool go;
    struct simfile *f;
    *got = 0;
    int err = enter_file(handle_of(file), SIM_READ, &go, &f);
    if (!err)
        *got = simimage_read(f->now, offset, data, len);
    return err;
}

static int sim_write(struct env_file *file, uint64_t offset, const void *data, size_t len)
{
    struct simhandle *h = handle_of(file);
    bool go;
    struct simfile *f;
    if (!h->writable)
        return -EBADF;
    if (too_far(offset, len))
        return -EFBIG;
    int err = enter_file(h, SIM_WRITE, &go, &f);
    if (!go)
        return err;
    if (err)
        len = simfile_tear(offset, len, &h->disk->rng);
    size_t fit = simimage_fit(f->now, offset, len, simdisk_free_bytes(h->disk));
    assert(fit <= len);
    simfile_write(f, offset, data, fit);
    return err ? err : fit < len ? -ENOSPC : 0;
}

static int sim_sync(struct env_file *file)
{
    struct simhandle *h = handle_of(file);
    bool go;
    struct simfile *f;
    int err = enter_file(h, SIM_SYNC, &go, &f);
    if (go)
        simfile_sync(f);
    else if (f && !h->disk->is_cut)
        simfile_sync_failed(f, &h->disk->rng);
    return err;
}

static int sim_truncate(struct env_file *file, uint64_t size)
{
    struct simhandle *h = handle_of(file);
    bool go;
    struct simfile *f;
    if (!h->writable)
        return -EBADF;
    if (size > INT64_MAX)
        return -EFBIG;
    int err = enter_file(h, SIM_TRUNCATE, &go, &f);
    if (go)
        simfile_truncate(f, size);
    return err;
}

static int sim_punch(struct env_file *file, uint64_t offset, uint64_t len)
{
    struct simhandle *h = handle_of(file);
    bool go;
    struct simfile *f;
    assert(offset % ENV_PUNCH_UNIT == 0 && len % ENV_PUNCH_UNIT == 0);
    if (!h->writable)
        return -EBADF;
    if (len == 0)
        return 0;
    if (too_far(offset, len))
        return -EFBIG;
    int err = enter_file(h, SIM_PUNCH, &go, &f);
    if (!go)
        return err;
    if (err) /* it ends somewhere within */
        len = simrng_below(&h->disk->rng, len / ENV_PUNCH_UNIT + 1) * ENV_PUNCH_UNIT;
    if (len > 0)
        simfile_punch(f, offset, len);
    return err;
}

static int sim_allocate(struct env_file *file, uint64_t offset, uint64_t len)
{
    struct simhandle *h = handle_of(file);
    bool go;
    struct simfile *f;
    if (!h->writable)
        return -EBADF;
    if (too_far(offset, len))
        return -EFBIG;
    int err = enter_file(h, SIM_ALLOCATE, &go, &f);
    if (err)
        return err;
    if (simimage_fit(f->now, offset, (size_t)len, simdisk_free_bytes(h->disk)) < len)
        return -ENOSPC;
    simfile_reserve(f, offset, len);
    return 0;
}

static int sim_size(struct env_file *file, uint64_t *size)
{
    bool go;
    struct simfile *f;
    *size = 0;
    int err = enter_file(handle_of(file), SIM_SIZE, &go, &f);
    if (!err)
        *size = simimage_size(f->now);
    return err;
}

static void sim_close(struct env_file *file)
{
    struct simhandle *h = handle_of(file);
    LIST_REMOVE(h, link);
    if (h->node != SIM_NO_NODE)
        simdisk_drop_handle(h->disk, h->node);
    free(h->path);
    free(h);
}

static const struct env_file_ops sim_file_ops = {
    .read = sim_read,
    .write = sim_write,
    .sync = sim_sync,
    .truncate = sim_truncate,
    .allocate = sim_allocate,
    .punch = sim_punch,
    .size = sim_size,
    .close = sim_close,
};

struct env_file *simdisk_new_handle(struct simdisk *d, const char *path, uint32_t node,
                                    bool writable)
{
    struct simhandle *h = mem_zalloc(sizeof *h);
    h->base.ops = &sim_file_ops;
    h->disk = d;
    h->path = mem_strdup(path);
    h->node = node;
    h->writable = writable;
    d->nodes[node].handles++;
    LIST_INSERT_HEAD(&d->handles, h, link);
    return &h->base;
}
