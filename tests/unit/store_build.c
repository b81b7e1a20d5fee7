#include <errno.h>

#include "store/build.h"
#include "store/scan.h"
#include "tests/unit/logged.h"
#include "tests/unit/view_maker.h"

enum { LEVEL = 2, SEPARATE_MIN = 40, CANCEL_NEVER = 1000000 };

static const struct history_mix mix = {
    .of = {[ENTRY_DELETE] = 2,
           [ENTRY_PUT] = 10,
           [ENTRY_MERGE] = 3,
           [ENTRY_PUT_BLOB] = 1,
           [ENTRY_RANGE_DELETE] = 1},
    .keys = 200,
    .value_max = 80,
};

/* ---- a job: what is to be built, and what came of it ---- */

struct job {
    struct world w;
    struct world_slice s;
    struct build_options opt;
    struct build *build;
    struct edit edit;
    struct buf taken; /* where the last piece of the tombstones ended */
    int asked;        /* cancelled() is told yes at 0 */
    size_t files;     /* in the folder before */
    uint64_t held_bytes;
};

static uint64_t next_file(void *ctx)
{
    struct job *j = ctx;
    return j->w.next_file++;
}

static bool cancelled(void *ctx)
{
    struct job *j = ctx;
    return j->asked-- == 0;
}

static struct rangedel *rangedels(void *ctx, struct slice upto)
{
    struct job *j = ctx;
    struct rangedel_builder *b = rangedel_builder_new();
    for (size_t i = 0; i < j->s.count; i++) {
        const struct entry *e = &j->s.list[i];
        if (e->type == ENTRY_RANGE_DELETE)
            rangedel_builder_add(b, world_max(e->key, buf_slice(&j->taken)),
                                 world_min_end(e->value, upto), e->seq);
    }
    struct rangedel *r = rangedel_build(b);
    rangedel_builder_free(b);
    buf_set(&j->taken, upto);
    return r;
}

static int count_file(void *ctx, const char *name)
{
    size_t *count = ctx;
    assert_true(strlen(name) > 0);
    ++*count;
    return 0;
}

static size_t files_in(const struct job *j)
{
    size_t count = 0;
    assert_ok(j->w.env->list(j->w.env, WORLD_DIR, count_file, &count));
    return count;
}

/* All operations of the history are to be built; blob values are in a file already. */
static void job_prepare(struct job *j)
{
    world_take(&j->w, j->w.h.count - j->w.placed, &j->s);
    edit_init(&j->edit);
    if (j->s.blob)
        edit_add_blob(&j->edit, j->s.blob, j->s.blob_count, j->s.blob_bytes, j->s.blob_file_bytes);
    j->files = files_in(j);
    j->asked = CANCEL_NEVER;
    j->opt = (struct build_options){.env = j->w.env,
                                    .dir = WORLD_DIR,
                                    .uuid = world_uuid,
                                    .table = j->w.table,
                                    .table_bytes = 3000,
                                    .blob_bytes = 2500,
                                    .separate_min = SEPARATE_MIN,
                                    .blob_strength = strength_plain(1),
                                    .ctx = j,
                                    .next_file = next_file,
                                    .rangedels = rangedels,
                                    .cancelled = cancelled};
}

static void job_init(struct job *j, struct simrng *rng, size_t count)
{
    *j = (struct job){0};
    world_init(&j->w, 1 << 20);
    history_random(&j->w.h, rng, &mix, count);
    job_prepare(j);
}

static void job_release(struct job *j)
{
    build_free(j->build);
    edit_release(&j->edit);
    buf_release(&j->taken);
    world_slice_release(&j->s);
    world_release(&j->w);
}

static int job_run(struct job *j)
{
    int err = 0;
    j->taken.len = 0;
    j->build = build_new(&j->opt);
    for (size_t i = 0; i < j->s.count && err == 0; i++) {
        const struct entry *e = &j->s.list[i];
        if (e->type == ENTRY_RANGE_DELETE)
            continue;
        if (e->seq % 10 == 3) {
            build_held(j->build, 5 + e->seq % 2, e->key.len);
            j->held_bytes += e->key.len;
        }
        err = build_add(j->build, e);
    }
    return err < 0 ? err : build_finish(j->build, &j->edit, LEVEL);
}

static void job_drop_build(struct job *j)
{
    build_abandon(j->build);
    build_free(j->build);
    j->build = NULL;
}

static struct version *job_install(struct job *j)
{
    struct version *v;
    assert_ok(version_apply(j->w.version, &j->edit, NULL, 0, &v));
    version_assert_valid(v); /* that spans are disjoint, for one */
    return v;
}

/* ---- what must be so ---- */

/* The plain value of an operation, by its number. */
static struct slice plain_value(const struct job *j, uint64_t seq)
{
    assert_int_equal(j->w.h.ops[seq - 1].seq, seq);
    return j->w.h.ops[seq - 1].value;
}

static void check_value(struct job *j, struct view *view, const struct entry *want,
                        const struct entry *e)
{
    struct slice plain = plain_value(j, want->seq);
    bool was_blob = entry_type_is_blob(want->type);
    bool large = plain.len >= SEPARATE_MIN && want->type != ENTRY_DELETE;
    assert_int_equal(entry_type_is_blob(e->type), was_blob || large);
    assert_int_equal(entry_type_is_merge(e->type), entry_type_is_merge(want->type));
    if (!entry_type_is_blob(e->type)) {
        assert_int_equal(e->type, want->type);
        assert_slice(e->value, plain.data, plain.len);
        return;
    }
    struct cache_item *value;
    assert_ok(view_read_blob(view, &j->w.ctx, e->value, false, &value));
    assert_slice(value->data, plain.data, plain.len);
    cache_release(j->w.ctx.cache, value);
}

/* The level has the entries, one after the other. */
static void check_entries(struct job *j, struct view *view)
{
    struct iter *it = level_iter_new(view->version, LEVEL, 0);
    int status = iter_first(it);
    for (size_t i = 0; i < j->s.count; i++) {
        const struct entry *want = &j->s.list[i];
        if (want->type == ENTRY_RANGE_DELETE)
            continue;
        assert_ok(status);
        assert_slice(it->e.key, want->key.data, want->key.len);
        assert_true(it->e.seq == want->seq);
        check_value(j, view, want, &it->e);
        status = iter_next(it);
    }
    assert_absent(status);
    iter_free(it);
}

/* At each key and each number the tombstones of the tables hide what the original ones do. */
static void check_tombstones(struct job *j, const struct version *v)
{
    const struct version_level *level = &v->levels[LEVEL];
    uint8_t room[HISTORY_KEY_MAX];
    j->taken.len = 0;
    struct rangedel *all = rangedels(j, (struct slice){0});
    for (size_t k = 0; k < 2 * mix.keys + 10; k++) {
        struct slice key = history_key(k, room);
        uint32_t i = version_find(level, key);
        for (uint64_t seq = 1; seq <= j->w.h.count + 1; seq += 7) {
            struct rangedel_cover want, have = {0};
            struct table *t;
            rangedel_cover(all, key, seq, &want);
            if (i < level->count) {
                assert_ok(version_table_open(level->tables[i], &t));
                rangedel_cover(table_rangedel(t), key, seq, &have);
            }
            assert_true(have.seq == want.seq);
        }
    }
    rangedel_unref(all);
}

/* The blob files' counts are those of the tables' shares of them; nothing else was made. */
static void check_accounts(const struct job *j, const struct version *v)
{
    const struct version_level *level = &v->levels[LEVEL];
    uint64_t table_bytes, blob_bytes, held_bytes = 0, made_bytes = 0;
    for (uint32_t b = 0; b < v->blob_count; b++) {
        const struct version_blob_state *state = &v->blobs[b];
        uint64_t count = 0, bytes = 0;
        for (uint32_t i = 0; i < level->count; i++)
            for (uint32_t s = 0; s < level->tables[i]->meta->share_count; s++) {
                const struct table_blob_share *share = &level->tables[i]->meta->shares[s];
                count += share->file == state->blob->number ? share->count : 0;
                bytes += share->file == state->blob->number ? share->bytes : 0;
            }
        assert_int_equal(count, state->count);
        assert_int_equal(bytes, state->bytes);
        made_bytes += state->blob->number == j->s.blob ? 0 : state->file_bytes;
    }
    for (uint32_t i = 0; i < level->count; i++)
        for (uint32_t h = 0; h < level->tables[i]->meta->held_count; h++)
            held_bytes += level->tables[i]->meta->held[h].bytes;
    assert_int_equal(held_bytes, j->held_bytes);
    build_written(j->build, &table_bytes, &blob_bytes);
    assert_int_equal(table_bytes, level->bytes);
    assert_int_equal(blob_bytes, made_bytes);
    assert_int_equal(files_in(j), level->count + v->blob_count);
}

static int check_durable(void *ctx, const char *path)
{
    assert_true(simdisk_is_durable(ctx, path));
    return 0;
}

/* ---- tests ---- */

static void what_is_built_is_what_was_given(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int i = 0; i < 25; i++) {
        struct job j;
        job_init(&j, &rng, 1 + simrng_below(&rng, 1200));
        assert_ok(job_run(&j));
        assert_ok(simdisk_files(j.w.disk, check_durable, j.w.disk));
        struct version *v = job_install(&j);
        struct view *view = view_new(NULL, 0, v);
        check_entries(&j, view);
        check_tombstones(&j, v);
        check_accounts(&j, v);
        view_unref(view);
        version_unref(v);
        job_release(&j);
    }
}

/* Splitting is what is asked for: a table ends soon after its size, but not within a key. */
static void tables_end_between_keys(void **state)
{
    (void)state;
    struct job j = {0};
    uint8_t room[HISTORY_KEY_MAX];
    world_init(&j.w, 1 << 20);
    for (uint64_t i = 0; i < 600; i++) /* three keys, 200 versions of each, far over the aim */
        history_add(&j.w.h, history_key(i % 3, room), i + 1, ENTRY_PUT,
                    slice_str("some thirty bytes, as they come"));
    job_prepare(&j);
    j.opt.table_bytes = 500;
    assert_ok(job_run(&j));
    struct version *v = job_install(&j);
    assert_int_equal(v->levels[LEVEL].count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(v->levels[LEVEL].tables[i]->meta->entry_count, 200);
    version_unref(v);
    job_release(&j);
}

/* Small keys: the hashes of a table take more memory than all else. */
static void tables_end_when_their_writer_has_enough(void **state)
{
    (void)state;
    enum {
        KEYS = 5000,
        HASHES = 1000,
        MORE = 100 /* the index may have so many bytes as hashes */
    };
    struct job j = {0};
    char key[16];
    world_init(&j.w, 1 << 20);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "%05d", i);
        history_add(&j.w.h, slice_str(key), (uint64_t)i + 1, ENTRY_PUT, slice_str("v"));
    }
    job_prepare(&j);
    j.opt.table_bytes = 1 << 20;
    j.opt.memory_bytes = HASHES * sizeof(uint64_t);
    assert_ok(job_run(&j));
    struct version *v = job_install(&j);
    uint64_t sum = 0;
    assert_in_range(v->levels[LEVEL].count, KEYS / HASHES, KEYS / (HASHES - MORE) + 1);
    for (uint32_t i = 0; i < v->levels[LEVEL].count; i++) {
        assert_true(v->levels[LEVEL].tables[i]->meta->entry_count <= HASHES);
        sum += v->levels[LEVEL].tables[i]->meta->entry_count;
    }
    assert_int_equal(sum, KEYS);
    version_unref(v);
    job_release(&j);
}

static void without_a_size_there_is_one_table(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct job j;
    job_init(&j, &rng, 1000);
    j.opt.table_bytes = 0;
    j.opt.memory_bytes = 1; /* whatever its writer takes */
    j.opt.separate_min = 0;
    assert_ok(job_run(&j));
    struct version *v = job_install(&j);
    assert_int_equal(v->levels[LEVEL].count, 1);
    assert_true(v->blob_count <= 1); /* the one that was there */
    version_unref(v);
    job_release(&j);
}

static void nothing_makes_nothing_and_tombstones_make_a_table(void **state)
{
    (void)state;
    struct job j = {0};
    world_init(&j.w, 1 << 20);
    job_prepare(&j);
    assert_ok(job_run(&j));
    assert_int_equal(j.edit.tables_added_count + j.edit.blobs_added_count, 0);
    assert_int_equal(files_in(&j), 0);
    build_free(j.build);
    world_slice_release(&j.s);
    edit_release(&j.edit);
    history_add(&j.w.h, slice_str("a"), 1, ENTRY_RANGE_DELETE, slice_str("b"));
    job_prepare(&j);
    assert_ok(job_run(&j));
    struct version *v = job_install(&j);
    assert_int_equal(v->levels[LEVEL].count, 1);
    assert_int_equal(v->levels[LEVEL].tables[0]->meta->entry_count, 0);
    assert_int_equal(v->levels[LEVEL].tables[0]->meta->rangedel_count, 1);
    version_unref(v);
    job_release(&j);
}

static void abandoning_leaves_nothing(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct job j;
    job_init(&j, &rng, 1500);
    assert_ok(job_run(&j)); /* also when it had ended well */
    assert_true(files_in(&j) > j.files + 5);
    build_abandon(j.build);
    assert_int_equal(files_in(&j), j.files);
    build_abandon(j.build); /* once more is harmless */
    build_free(j.build);
    for (size_t n = 0; n < j.s.count; n += 100) {
        int err = 0;
        j.taken.len = 0;
        j.build = build_new(&j.opt);
        for (size_t i = 0; i < n && err == 0; i++)
            if (j.s.list[i].type != ENTRY_RANGE_DELETE)
                err = build_add(j.build, &j.s.list[i]);
        assert_ok(err);
        job_drop_build(&j);
        assert_int_equal(files_in(&j), j.files);
    }
    job_release(&j);
}

static void it_can_be_cancelled(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct job j;
    job_init(&j, &rng, 5000);
    for (int asked = 0; asked < 3; asked++) {
        j.asked = asked;
        assert_errno(job_run(&j), ECANCELED);
        job_drop_build(&j);
        assert_int_equal(files_in(&j), j.files);
    }
    job_release(&j);
}

/* Each call of this kind fails once; each time the error is returned and nothing is left. */
static void fail_each(struct job *j, enum sim_call call, int err, int least)
{
    for (int after = 0;; after++) {
        struct sim_fault fault = {.call = call, .after = (uint64_t)after, .err = err};
        uint32_t blobs_before = j->edit.blobs_added_count;
        simdisk_fail(j->w.disk, &fault);
        int got = job_run(j);
        simdisk_heal(j->w.disk);
        if (got == 0) {
            assert_in_range(after, least, 1000);
            job_drop_build(j);
            assert_int_equal(files_in(j), j->files);
            return;
        }
        assert_int_equal(got, err);
        assert_int_equal(j->edit.tables_added_count, 0);
        assert_int_equal(j->edit.blobs_added_count, blobs_before);
        job_drop_build(j);
        assert_int_equal(files_in(j), j->files);
    }
}

static void every_fault_is_returned_and_leaves_nothing(void **state)
{
    (void)state;
    static const struct {
        enum sim_call call;
        int err, least;
    } faults[] = {
        {SIM_CREATE, -ENOSPC, 5},       {SIM_WRITE, -ENOSPC, 5}, {SIM_SYNC, -EIO, 5},
        {SIM_RANDOM_BYTES, -EAGAIN, 5}, {SIM_SYNC_DIR, -EIO, 1},
    };
    struct simrng rng = {unit_seed()};
    logged_reset();
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct job j;
        job_init(&j, &rng, 700);
        fail_each(&j, faults[i].call, faults[i].err, faults[i].least);
        job_release(&j);
    }
}

/* A file that cannot be removed stays behind, with a word in the log; the others go. */
static void what_cannot_be_removed_is_logged(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct job j;
    job_init(&j, &rng, 700);
    assert_ok(job_run(&j));
    struct sim_fault fault = {.call = SIM_REMOVE, .after = 2, .err = -EIO};
    simdisk_fail(j.w.disk, &fault);
    logged_reset();
    build_abandon(j.build);
    assert_logged("could not be removed");
    assert_int_equal(files_in(&j), j.files + 1);
    simdisk_heal(j.w.disk);
    job_release(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_built_is_what_was_given),
        cmocka_unit_test(tables_end_between_keys),
        cmocka_unit_test(tables_end_when_their_writer_has_enough),
        cmocka_unit_test(without_a_size_there_is_one_table),
        cmocka_unit_test(nothing_makes_nothing_and_tombstones_make_a_table),
        cmocka_unit_test(abandoning_leaves_nothing),
        cmocka_unit_test(it_can_be_cancelled),
        cmocka_unit_test(every_fault_is_returned_and_leaves_nothing),
        cmocka_unit_test(what_cannot_be_removed_is_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
