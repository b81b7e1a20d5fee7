/* fspower: what tests share that cut the power while a whole volume becomes another. Failures fail
 * the test. */
#ifndef VARVE_SIM_FSPOWER_H
#define VARVE_SIM_FSPOWER_H

#include <errno.h>
#include <stdio.h>

#include "tests/sim/fsmodel.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/small_store.h"
#include "tests/unit/unit.h"

/* `store` has to live as long as `o`. */
static inline void fspower_options(struct fs_options *o, struct store_options *store,
                                   struct simdisk *d)
{
    small_store(store);
    fs_options_init(o);
    o->env = simdisk_env(d);
    o->workers = 0;
    o->store = store;
}

static inline void fspower_make(struct simdisk *d, const char *dir, struct fs_make_options *make)
{
    fs_make_options_init(make);
    make->env = simdisk_env(d);
    make->chunk_bytes = FSMODEL_CHUNK;
    make->uid = 7;
    make->gid = 8;
    assert_ok(fs_make(dir, make));
}

/* For fs_check(); `ctx`: the words for where it is. */
static inline int fspower_on_finding(void *ctx, const struct store_finding *f)
{
    if (f->severity == STORE_DAMAGE)
        fail_msg("%s: the verifier says: %d %s: %s", (const char *)ctx, f->code, f->file, f->text);
    return 0;
}

#endif
