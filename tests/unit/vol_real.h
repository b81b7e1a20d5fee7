/* vol_real: a fixture: a volume in a real folder, with background workers, for tests with several
 * threads. Failures fail the test. */
#ifndef VARVE_UNIT_VOL_REAL_H
#define VARVE_UNIT_VOL_REAL_H

#include <pthread.h>
#include <unistd.h>

#include "store/env.h"
#include "tests/sim/simrng.h"
#include "tests/unit/vol.h"

struct vol_real {
    char dir[256];
    struct store_options store;
    struct fs_options options;
    struct fs *fs;
    uint64_t seed;
    size_t rounds; /* how much each thread does: ROUNDS, or what the test says */
};

static inline void vol_real_open(struct vol_real *v)
{
    assert_ok(fs_open(v->dir, &v->options, &v->fs));
}

static inline void vol_real_make(struct vol_real *v, uint32_t chunk_bytes, size_t rounds)
{
    struct fs_make_options make;
    const char *tmp = getenv("TMPDIR");
    *v = (struct vol_real){.seed = unit_seed(), .rounds = unit_setting("ROUNDS", rounds)};
    snprintf(v->dir, sizeof v->dir, "%s/varve-real-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(v->dir));
    log_set_sink(unit_log, NULL);
    small_store(&v->store);
    v->store.memtable_bytes = 64 << 10;
    v->store.blob_bytes = 256 << 10;
    fs_options_init(&v->options);
    v->options.store = &v->store;
    v->options.workers = 2;
    fs_make_options_init(&make);
    make.chunk_bytes = chunk_bytes;
    assert_ok(fs_make(v->dir, &make));
    vol_real_open(v);
}

static inline int vol_real_remove(void *ctx, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", (const char *)ctx, name);
    return unlink(path);
}

/* Closes it, and lets the verifier look. */
static inline void vol_real_verify(struct vol_real *v)
{
    struct vol_findings list = {0};
    struct fs_check_report report;
    assert_ok(fs_close(v->fs));
    v->fs = NULL;
    assert_ok(fs_check(v->dir, &v->options, true, vol_on_finding, NULL, &list, &report));
    if (list.count)
        fail_msg("the verifier says:\n%s", list.text);
}

/* The same, and removes it. */
static inline void vol_real_end(struct vol_real *v)
{
    vol_real_verify(v);
    assert_ok(env_posix()->list(env_posix(), v->dir, vol_real_remove, v->dir));
    assert_int_equal(rmdir(v->dir), 0);
}

#endif
