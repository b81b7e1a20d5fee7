/* checkpoint: a second store made of links to the first one's files, while that goes on. */
#include "tests/unit/past.h"

/* The same rig in another folder of the same env; nothing is there yet. */
static struct rig beside(const struct rig *r, const char *name)
{
    struct rig other = *r;
    other.s = NULL;
    snprintf(other.dir, sizeof other.dir, "%.200s%s", r->dir, name);
    return other;
}

static struct store_checkpoint make(struct rig *r, const struct rig *other, const char *pin)
{
    struct store_checkpoint out;
    assert_ok(store_checkpoint(r->s, other->dir, pin, &out));
    return out;
}

static void leave(struct rig *other)
{
    if (other->s)
        rig_close(other);
    if (other->disk)
        return;
    assert_ok(other->env->list(other->env, other->dir, rig_remove_entry, other->dir));
    assert_int_equal(rmdir(other->dir), 0);
}

static bool is_there(const struct rig *r, const char *name)
{
    uint64_t size;
    return r->env->file_size(r->env, rig_path(r, name), &size) == 0;
}

/* ---- what is in it ---- */

static void test_whole(void **state)
{
    struct rig *r = *state, other = beside(r, "-copy");
    uint8_t uuid[16], other_uuid[16];
    struct store_read read;
    rig_open(r);
    rig_fill(r, 0, 400, 700, 0);
    rig_fill(r, 0, 20, 5000, 0);
    struct store_pin pin;
    assert_ok(store_pin_create(r->s, "p", 7, &pin));
    rig_fill(r, 100, 200, 300, 5);
    rig_fill(r, 100, 200, 300, 5);
    rig_delete_range(r, rig_key(300), rig_key(400));
    struct store_checkpoint c = make(r, &other, NULL);
    assert_true(c.linked_files > 1 && c.copied_files == 0 && c.copied_bytes == 0);
    rig_fill(r, 0, 400, 100, 9); /* not in it any more */
    rig_open(&other);
    store_uuid(r->s, uuid);
    store_uuid(other.s, other_uuid);
    assert_memory_not_equal(uuid, other_uuid, 16);
    assert_memory_equal(c.uuid, other_uuid, 16);
    /* What was lost of the past is known there, too. */
    struct store_since *since;
    store_read_begin(other.s, &read);
    assert_errno(
        store_since_new(&read, pin.seq + 5, (struct slice){0}, (struct slice){0}, 0, &since),
        ESTALE);
    store_read_end(&read);
    rig_assert_fill(&other, 20, 100, 700, 0);
    rig_assert_fill(&other, 0, 20, 5000, 0);
    rig_assert_fill(&other, 100, 200, 300, 5);
    assert_int_equal(rig_count(&other), 300);
    assert_int_equal(rig_stats(&other).pins, 1);
    store_read_begin_at(other.s, pin.seq, &read);
    rig_assert_fill_at(&read, 20, 400, 700, 0);
    store_read_end(&read);
    assert_int_equal(rig_stats(&other).seq, c.seq - 1);
    assert_false(is_there(&other, "INCOMPLETE"));
    rig_close_clean(&other);
    rig_close_clean(r);
    leave(&other);
}

/* Where links cannot be had. */
static void test_copies(void **state)
{
    struct rig *r = *state, other = beside(r, "-copy");
    static const int errors[] = {-EXDEV, -EPERM, -EOPNOTSUPP};
    rig_open(r);
    rig_fill(r, 0, 400, 700, 0);
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "-copy%d", i);
        other = beside(r, name);
        simdisk_fail(r->disk,
                     &(struct sim_fault){.call = SIM_LINK, .err = errors[i], .sticky = true});
        struct store_checkpoint c = make(r, &other, NULL);
        simdisk_heal(r->disk);
        assert_true(c.linked_files == 0 && c.copied_files > 1 && c.copied_bytes > 100000);
        simdisk_crash(other.disk = simdisk_clone(r->disk), SIM_KEEP_SYNCED, 0);
        other.env = other.opt.env = simdisk_env(other.disk);
        rig_open(&other);
        rig_assert_fill(&other, 0, 400, 700, 0);
        rig_close_clean(&other);
        simdisk_free(other.disk);
    }
    /* One file with too many names is copied, the others are linked. */
    other = beside(r, "-more");
    simdisk_fail(r->disk, &(struct sim_fault){.call = SIM_LINK, .err = -EMLINK});
    struct store_checkpoint c = make(r, &other, NULL);
    assert_true(c.copied_files == 1 && c.linked_files >= 1);
    rig_close_clean(r);
}

/* Both are written to, compacted and opened again, and stay what they are to themselves. */
static void test_lives_apart(void **state)
{
    struct rig *r = *state;
    struct past p, q;
    uint64_t seed = unit_seed();
    past_init(&p, r, seed);
    rig_open(r);
    for (int i = 0; i < 300; i++)
        past_step(&p);
    struct rig other = beside(r, "-copy");
    make(r, &other, NULL);
    rig_open(&other);
    /* The other's past is this one's up to here. */
    past_init(&q, &other, seed + 1);
    q.states = mem_realloc(q.states, p.count * sizeof *q.states);
    memcpy(q.states, p.states, p.count * sizeof *q.states);
    q.count = p.count;
    memcpy(q.pins, p.pins, sizeof q.pins);
    past_assert_all(&q, other.s);
    for (int i = 0; i < 300; i++) {
        past_step(&p);
        past_step(&q);
        if (i % 100 == 0) {
            past_assert_all(&p, r->s);
            past_assert_all(&q, other.s);
        }
    }
    struct rig third = beside(&other, "-of-copy"); /* a checkpoint of a checkpoint */
    make(&other, &third, NULL);
    rig_compact(&other);
    rig_open(&third);
    past_assert_all(&q, third.s);
    rig_compact(&third);
    past_assert_all(&q, third.s);
    rig_close_clean(&third);
    past_assert_all(&p, r->s);
    past_assert_all(&q, other.s);
    rig_close_clean(&other);
    rig_close_clean(r);
    past_release(&q);
    past_release(&p);
    leave(&third);
    leave(&other);
}

/* ---- at a pin ---- */

/* What came after the pin is not in it, also not when it is compacted, and every byte of what it
 * shares is accounted for (the verifier counts). */
static void test_at_a_pin(void **state)
{
    struct rig *r = *state;
    struct past p;
    past_init(&p, r, unit_seed());
    rig_open(r);
    for (int round = 0; round < 12; round++) {
        char name[24];
        size_t i = (size_t)round % PAST_PINS;
        for (int k = 0; k < 60 || !p.pins[i]; k++)
            past_step(&p);
        snprintf(name, sizeof name, "-copy%d", round);
        struct rig other = beside(r, name);
        struct store_checkpoint c = make(r, &other, past_pin_name(i));
        assert_int_equal(c.seq, p.pins[i]);
        rig_open(&other);
        struct store_read read;
        store_read_begin(other.s, &read);
        past_assert_read(&read, past_at(&p, p.pins[i]));
        /* What has changed since any of the older pins that came along. */
        for (size_t k = 0; k < PAST_PINS; k++) {
            if (!p.pins[k] || p.pins[k] > p.pins[i])
                continue;
            struct store_read at = read;
            at.seq = p.pins[i];
            assert_ok(past_check_since(&p, &at, p.pins[k], 0, 0, PAST_KEYS));
        }
        store_read_end(&read);
        uint64_t pins = 0;
        for (size_t k = 0; k < PAST_PINS; k++)
            pins += p.pins[k] && p.pins[k] <= p.pins[i];
        assert_int_equal(rig_stats(&other).pins, pins);
        if (round % 2) /* look at it as it is, too */
            rig_compact(&other);
        rig_close_clean(&other);
        rig_open(&other);
        store_read_begin(other.s, &read);
        past_assert_read(&read, past_at(&p, p.pins[i]));
        store_read_end(&read);
        rig_put(&other, rig_key(3), "new");
        rig_delete_range(&other, rig_key(10), rig_key(20));
        rig_compact(&other);
        rig_assert(&other, rig_key(3), "new");
        rig_assert(&other, rig_key(15), NULL);
        rig_close_clean(&other);
        leave(&other);
    }
    past_assert_all(&p, r->s);
    rig_close_clean(r);
    past_release(&p);
}

/* What was written after the pin, and is of no use to the new store, is given back by it. */
static void test_space_behind_a_cut(void **state)
{
    struct rig *r = *state, other = beside(r, "-copy");
    struct store_pin pin;
    rig_open(r);
    rig_fill(r, 0, 100, 600, 0);
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    rig_fill(r, 50, 1000, 600, 1);
    rig_compact(r);
    make(r, &other, "p");
    rig_open(&other);
    assert_true(rig_volume_bytes(&other) > 200000);
    rig_assert_fill(&other, 0, 100, 600, 0);
    rig_compact(&other);
    assert_ok(store_pin_delete(other.s, "p"));
    rig_compact(&other);
    rig_assert_fill(&other, 0, 100, 600, 0);
    assert_int_equal(rig_count(&other), 100);
    assert_true(rig_volume_bytes(&other) < 150000);
    rig_close_clean(&other);
    rig_close_clean(r);
}

/* ---- nothing that is shared is written to ---- */

struct contents {
    struct rig *rig;
    uint64_t hash, count;
};

static int add_contents(void *ctx, const char *name)
{
    struct contents *c = ctx;
    struct buf bytes = {0};
    enum file_kind kind;
    uint64_t number, hash = 0;
    if (name_parse(name, &kind, &number) != 0 || (kind != FILE_TABLE && kind != FILE_BLOB))
        return 0;
    assert_ok(simdisk_get(c->rig->disk, rig_path(c->rig, name), &bytes));
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ bytes.data[i]) * 1099511628211u;
    c->hash += hash ^ number * 0x9E3779B97F4A7C15u;
    c->count++;
    buf_release(&bytes);
    return 0;
}

static struct contents contents_of(struct rig *r)
{
    struct contents c = {.rig = r};
    assert_ok(r->env->list(r->env, r->dir, add_contents, &c));
    return c;
}

static void test_shared_files_stay(void **state)
{
    struct rig *r = *state, other = beside(r, "-copy");
    struct past p;
    past_init(&p, r, unit_seed());
    rig_open(r);
    for (int i = 0; i < 200; i++)
        past_step(&p);
    make(r, &other, NULL);
    struct contents before = contents_of(&other);
    assert_true(before.count > 0);
    for (int i = 0; i < 200; i++)
        past_step(&p);
    rig_compact(r);
    rig_reopen(r);
    struct contents after = contents_of(&other);
    assert_int_equal(after.count, before.count);
    assert_int_equal(after.hash, before.hash);
    /* And the other way round. */
    struct rig second = beside(r, "-second");
    make(r, &second, NULL);
    before = contents_of(&second);
    rig_open(&second);
    rig_fill(&second, 0, 300, 700, 1);
    rig_compact(&second);
    rig_close_clean(&second);
    past_assert_all(&p, r->s);
    rig_close_clean(r);
    struct contents own = contents_of(r);
    assert_int_equal(own.hash, before.hash);
    past_release(&p);
}

/* A file of the other store, carried over under its name and number, is not taken for our own. */
static void test_foreign_file_of_a_relative(void **state)
{
    struct rig *r = *state, other = beside(r, "-copy");
    rig_open(r);
    rig_fill(r, 0, 10, 100, 0);
    make(r, &other, NULL);
    rig_open(&other);
    rig_fill(r, 10, 20, 100, 0);
    rig_fill(&other, 10, 20, 100, 1);
    assert_ok(store_flush(r->s));
    assert_ok(store_flush(other.s));
    rig_close(r);
    rig_close(&other);
    struct rig_names mine = rig_files(r, FILE_TABLE), theirs = rig_files(&other, FILE_TABLE);
    uint64_t number = theirs.number[theirs.count - 1];
    struct buf bytes = {0};
    assert_ok(simdisk_get(r->disk, rig_file(r, FILE_TABLE, mine.number[mine.count - 1]), &bytes));
    assert_ok(simdisk_put(r->disk, rig_file(&other, FILE_TABLE, number), buf_slice(&bytes)));
    buf_release(&bytes);
    struct rig_findings found = rig_check(&other);
    assert_true(found.damage > 0);
    assert_true(rig_logged("another volume"));
}

/* ---- errors ---- */

static void test_errors(void **state)
{
    struct rig *r = *state, other = beside(r, "-copy");
    struct store_checkpoint c;
    struct store *s;
    rig_open(r);
    rig_fill(r, 0, 100, 700, 0);
    assert_errno(store_checkpoint(r->s, r->dir, NULL, &c), ENOTEMPTY);
    assert_errno(store_checkpoint(r->s, "/none/copy", NULL, &c), ENOENT);
    assert_absent(store_checkpoint(r->s, other.dir, "no such pin", &c));
    make(r, &other, NULL);
    assert_errno(store_checkpoint(r->s, other.dir, NULL, &c), ENOTEMPTY);
    /* The mark alone says that it is none. */
    assert_ok(simdisk_put(r->disk, rig_path(&other, "INCOMPLETE"), slice_str("")));
    assert_errno(store_open(other.dir, &other.opt, &s), EUCLEAN);
    other.opt.read_only = true;
    assert_errno(store_open(other.dir, &other.opt, &s), EUCLEAN);
    assert_true(rig_logged("not finished"));
    other.opt.read_only = false;
    assert_ok(r->env->remove(r->env, rig_path(&other, "INCOMPLETE")));
    rig_open(&other);
    rig_close_clean(&other);
    rig_close(r);
    r->opt.read_only = true;
    rig_open(r);
    assert_errno(store_checkpoint(r->s, "/more", NULL, &c), EROFS);
    rig_close(r);
}

static int no_entry(void *ctx, const char *name)
{
    (void)ctx;
    return strcmp(name, "LOCK") == 0 ? 0 : 42;
}

/* Any call fails: nothing is left, the store goes on, and the next attempt works. */
static void test_any_call_fails(void **state)
{
    (void)state;
    static const enum sim_call calls[] = {SIM_CREATE, SIM_WRITE,  SIM_SYNC,  SIM_SYNC_DIR,
                                          SIM_LINK,   SIM_RENAME, SIM_MKDIR, SIM_RANDOM_BYTES};
    for (size_t k = 0; k < sizeof calls / sizeof *calls; k++) {
        bool fails = true;
        for (uint64_t after = 0; fails; after++) {
            void *one;
            assert_ok(rig_sim(&one));
            struct rig *r = one, other = beside(r, "-copy");
            struct store_checkpoint c;
            rig_open(r);
            rig_fill(r, 0, 100, 700, 0);
            assert_ok(store_flush(r->s));
            simdisk_fail(r->disk,
                         &(struct sim_fault){
                             .call = calls[k], .path_part = "-copy", .after = after, .err = -EIO});
            if (calls[k] == SIM_RANDOM_BYTES) {
                simdisk_heal(r->disk);
                simdisk_fail(r->disk,
                             &(struct sim_fault){.call = calls[k], .after = after, .err = -EIO});
            }
            int err = store_checkpoint(r->s, other.dir, NULL, &c);
            simdisk_heal(r->disk);
            /* The last syncs: it is there, though not surely durable. */
            fails = err != 0;
            if (fails) {
                assert_errno(err, EIO);
                if (calls[k] != SIM_MKDIR)
                    assert_ok(r->env->list(r->env, other.dir, no_entry, NULL));
                make(r, &other, NULL);
            }
            rig_open(&other);
            rig_assert_fill(&other, 0, 100, 700, 0);
            rig_close_clean(&other);
            rig_put(r, "goes", "on");
            rig_close_clean(r);
            assert_ok(rig_leave(&one));
        }
    }
}

/* ---- meanwhile ---- */

struct writer {
    struct rig *rig;
    uint64_t acked; /* atomic */
    int stop;       /* atomic */
};

static void *write_on(void *arg)
{
    struct writer *w = arg;
    while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
        uint64_t i = w->acked;
        rig_fill(w->rig, i, i + 1, i % 7 ? 200 : 6000, 0);
        __atomic_store_n(&w->acked, i + 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

/* One writer, whose keys ascend: a checkpoint has the first of them, as many as had been
 * acknowledged when it began, or more. */
static void test_while_a_writer_goes_on(void **state)
{
    struct rig *r = *state;
    struct writer w = {.rig = r};
    pthread_t thread;
    r->opt.workers = 2;
    rig_open(r);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    for (int i = 0; i < 6; i++) {
        char name[32];
        snprintf(name, sizeof name, "-copy%d", i);
        struct rig other = beside(r, name);
        usleep(20000);
        uint64_t least = __atomic_load_n(&w.acked, __ATOMIC_ACQUIRE);
        make(r, &other, NULL);
        uint64_t most = __atomic_load_n(&w.acked, __ATOMIC_ACQUIRE) + 1;
        rig_open(&other);
        uint64_t count = rig_count(&other);
        assert_true(count >= least && count <= most);
        rig_put(&other, rig_key(0), "its own");
        rig_compact(&other);
        assert_int_equal(rig_count(&other), count ? count : 1);
        rig_close_clean(&other);
        leave(&other);
    }
    __atomic_store_n(&w.stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    assert_true(w.acked > 10);
    for (uint64_t i = 0; i < w.acked; i++)
        rig_assert_fill(r, i, i + 1, i % 7 ? 200 : 6000, 0);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_whole),
        RIG_POSIX(test_whole),
        RIG_SIM(test_copies),
        RIG_SIM(test_lives_apart),
        RIG_POSIX(test_lives_apart),
        RIG_SIM(test_at_a_pin),
        RIG_SIM(test_space_behind_a_cut),
        RIG_SIM(test_shared_files_stay),
        RIG_SIM(test_foreign_file_of_a_relative),
        RIG_SIM(test_errors),
        cmocka_unit_test(test_any_call_fails),
        RIG_POSIX(test_while_a_writer_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
