/* simdisk: faults: when they come, on which paths, and that every call can fail. */
#include <errno.h>

#include "tests/sim/simdisk.h"
#include "tests/unit/env_place.h"

static void put_text(struct place *p, const char *name, const char *text)
{
    assert_ok(simdisk_put(p->disk, in(p, name), slice_str(text)));
}

static void fail_at(struct place *p, enum sim_call call, uint64_t after, int error, bool sticky)
{
    simdisk_fail(p->disk, &(struct sim_fault){
                              .call = call, .after = after, .err = -error, .sticky = sticky});
}

static void test_fault_comes_when_told(void **state)
{
    struct place *p = *state;
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_CREATE);
    size_t got;
    char byte;
    file_write(f, 0, "text");
    fail_at(p, SIM_SYNC, 2, EIO, false);
    assert_ok(f->ops->sync(f));
    assert_ok(f->ops->sync(f));
    assert_errno(f->ops->sync(f), EIO);
    assert_ok(f->ops->sync(f));
    fail_at(p, SIM_READ, 0, EIO, true);
    for (int i = 0; i < 3; i++)
        assert_errno(f->ops->read(f, 0, &byte, 1, &got), EIO);
    assert_int_equal(got, 0);
    simdisk_heal(p->disk);
    file_assert(f, "text");
    f->ops->close(f);
    fail_at(p, SIM_OPEN, 0, EIO, true);
    simdisk_crash(p->disk, SIM_KEEP_ALL, 0); /* heals, too */
    file_assert_at(p->env, in(p, "a"), "text");
}

static void test_fault_on_some_paths(void **state)
{
    struct place *p = *state;
    struct env_file *f;
    simdisk_fail(
        p->disk,
        &(struct sim_fault){
            .call = SIM_CREATE, .path_part = ".blob", .after = 1, .err = -EMFILE, .sticky = true});
    file_make(p->env, in(p, "1.blob"), "");
    file_make(p->env, in(p, "2.table"), "");
    assert_errno(p->env->open(p->env, in(p, "3.blob"), ENV_OPEN_CREATE, &f), EMFILE);
    assert_null(f);
    file_make(p->env, in(p, "4.table"), "");
    file_assert_none(p->env, in(p, "3.blob"));
}

static int ignore_name(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return 0;
}

/* One call of each kind; the index of the one that failed, or -1. */
static int call_everything(struct place *p)
{
    struct env *e = p->env;
    struct env_file *f = file_open(e, in(p, "file"), ENV_OPEN_WRITE), *other = NULL;
    struct env_lock *lock = NULL;
    struct env_space space;
    struct env_usage usage;
    uint64_t size;
    size_t got;
    char byte = 0;
    int err[SIM_CALLS] = {
        [SIM_READ] = f->ops->read(f, 0, &byte, 1, &got),
        [SIM_SIZE] = f->ops->size(f, &size) | e->file_size(e, in(p, "file"), &size) |
                     e->file_usage(e, in(p, "file"), &usage),
        [SIM_ALLOCATE] = f->ops->allocate(f, 0, 1),
        [SIM_LIST] = e->list(e, p->folder, ignore_name, NULL),
        [SIM_LOCK] = e->lock(e, in(p, "file"), &lock),
        [SIM_SPACE] = e->space(e, p->folder, &space),
        [SIM_RANDOM_BYTES] = e->random(e, &byte, 1),
        [SIM_CREATE] = e->open(e, in(p, "new"), ENV_OPEN_CREATE, &other),
        [SIM_WRITE] = f->ops->write(f, 0, "x", 1),
        [SIM_TRUNCATE] = f->ops->truncate(f, 1),
        [SIM_PUNCH] = f->ops->punch(f, 0, ENV_PUNCH_UNIT),
        [SIM_SYNC] = f->ops->sync(f),
        [SIM_SYNC_DIR] = e->sync_dir(e, p->folder),
        [SIM_RENAME] = e->rename(e, in(p, "from"), in(p, "to")),
        [SIM_LINK] = e->link(e, in(p, "doomed"), in(p, "second")),
        [SIM_REMOVE] = e->remove(e, in(p, "doomed")),
        [SIM_MKDIR] = e->mkdir(e, in(p, "sub")),
    };
    f->ops->close(f);
    if (other)
        other->ops->close(other);
    if (lock)
        e->unlock(e, lock);
    int failed = -1, count = 0;
    for (int i = 0; i < SIM_CALLS; i++)
        if (err[i] == -ENXIO) {
            failed = i;
            count++;
        } else {
            assert_int_equal(err[i], 0);
        }
    assert_true(count <= 1);
    return failed;
}

static void test_every_call_can_fail(void **state)
{
    (void)state;
    for (int call = SIM_OPEN; call < SIM_CALLS; call++) {
        void *one;
        assert_ok(place_sim(&one));
        struct place *p = one;
        put_text(p, "file", "text");
        put_text(p, "from", "text");
        put_text(p, "doomed", "text");
        fail_at(p, (enum sim_call)call, call == SIM_SIZE, ENXIO, false);
        if (call == SIM_OPEN) {
            struct env_file *f;
            assert_errno(p->env->open(p->env, in(p, "file"), ENV_OPEN_READ, &f), ENXIO);
        } else {
            assert_int_equal(call_everything(p), call);
        }
        assert_ok(place_leave(&one));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_SIM(test_fault_comes_when_told),
        PLACE_SIM(test_fault_on_some_paths),
        cmocka_unit_test(test_every_call_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
