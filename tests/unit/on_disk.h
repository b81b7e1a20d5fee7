/* on_disk: a folder on the simulated disk, for tests of the files in it one by one. */
#ifndef VARVE_UNIT_ON_DISK_H
#define VARVE_UNIT_ON_DISK_H

#include <stdlib.h>

#include "store/format.h"
#include "tests/sim/simdisk.h"
#include "tests/unit/logged.h"

#define DIR "vol"
static const uint8_t uuid[UUID_SIZE] = "this volume's id";

struct on_disk {
    struct simdisk *disk;
    struct env *env;
};

static inline int on_disk_begin(struct on_disk *d)
{
    d->disk = simdisk_new(1);
    d->env = simdisk_env(d->disk);
    logged_reset();
    return d->env->mkdir(d->env, DIR);
}

/* True: a file was left open. */
static inline bool on_disk_end(struct on_disk *d)
{
    bool leaked = simdisk_open_files(d->disk) > 0;
    simdisk_free(d->disk);
    return leaked;
}

/* For tests that need no more. */
static inline int on_disk_setup(void **state)
{
    *state = mem_zalloc(sizeof(struct on_disk));
    return on_disk_begin(*state);
}

static inline int on_disk_teardown(void **state)
{
    bool leaked = on_disk_end(*state);
    free(*state);
    return leaked;
}

#endif
