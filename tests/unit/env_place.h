/* env_place: a fixture: an empty folder in the real system's env, on a simulated disk or in memory,
 * and what is needed to run the same tests in all of them. At the end it must be possible to remove
 * it, and on the simulated disk nothing may be open or locked. */
#ifndef VARVE_UNIT_ENV_PLACE_H
#define VARVE_UNIT_ENV_PLACE_H

#include <stdio.h>
#include <unistd.h>

#include "tests/sim/memdisk.h"
#include "tests/sim/simdisk.h"
#include "tests/unit/env_files.h"

/* Where a test works: an empty folder in some env. */
struct place {
    struct env *env;
    struct simdisk *disk; /* NULL: the real system, or memory */
    struct memdisk *memory;
    char folder[256];
    char path[4][512];
    int next;
};

static inline int place_posix(void **state)
{
    struct place *p = mem_zalloc(sizeof *p);
    p->env = env_posix();
    const char *tmp = getenv("TMPDIR");
    snprintf(p->folder, sizeof p->folder, "%s/varve-env-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(p->folder));
    *state = p;
    return 0;
}

static inline int place_sim(void **state)
{
    struct place *p = mem_zalloc(sizeof *p);
    p->disk = simdisk_new(1);
    p->env = simdisk_env(p->disk);
    strcpy(p->folder, "/vol");
    assert_ok(p->env->mkdir(p->env, p->folder));
    *state = p;
    return 0;
}

static inline int place_memory(void **state)
{
    struct place *p = mem_zalloc(sizeof *p);
    p->memory = memdisk_new();
    p->env = memdisk_env(p->memory);
    strcpy(p->folder, "/vol");
    assert_ok(p->env->mkdir(p->env, p->folder));
    *state = p;
    return 0;
}

static inline void place_remove_folder(const char *path);

static inline int place_remove_entry(void *folder, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", (const char *)folder, name);
    if (unlink(path))
        place_remove_folder(path);
    return 0;
}

static inline void place_remove_folder(const char *path)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%s", path);
    assert_ok(env_posix()->list(env_posix(), path, place_remove_entry, copy));
    assert_int_equal(rmdir(path), 0);
}

static inline int place_leave(void **state)
{
    struct place *p = *state;
    if (p->disk) {
        simdisk_assert_valid(p->disk);
        assert_int_equal(simdisk_open_files(p->disk), 0);
        assert_int_equal(simdisk_locks(p->disk), 0);
        simdisk_free(p->disk);
    } else if (p->memory) {
        memdisk_free(p->memory); /* asserts that nothing is open or locked */
    } else {
        place_remove_folder(p->folder);
    }
    free(p);
    return 0;
}

/* The simulated disk holds its invariants, if the place is on one. */
static inline void place_check(const struct place *p)
{
    if (p->disk)
        simdisk_assert_valid(p->disk);
}

/* The path of `name` in the folder; valid for the next three calls. */
static inline const char *in(struct place *p, const char *name)
{
    char *path = p->path[p->next++ % 4];
    snprintf(path, sizeof p->path[0], "%s/%s", p->folder, name);
    return path;
}

/* Entries for cmocka's table: the test in one place, or in all. */
#define PLACE_POSIX(test)                                     \
    {                                                         \
        "posix: " #test, test, place_posix, place_leave, NULL \
    }
#define PLACE_SIM(test)                                   \
    {                                                     \
        "sim: " #test, test, place_sim, place_leave, NULL \
    }
#define PLACE_MEMORY(test)                                      \
    {                                                           \
        "memory: " #test, test, place_memory, place_leave, NULL \
    }
#define PLACE_ALL(test) PLACE_POSIX(test), PLACE_SIM(test), PLACE_MEMORY(test)

#endif
