/* recover, its modes: what each does about damage in the middle of a log, at its end, and about
 * logs that are missing. On the simulated disk. */
#include "tests/unit/store_rig.h"

#include "store/batch.h"
#include "store/journal.h"
#include "store/store_priv.h"

enum { COUNT = 40, VALUE = 60, LARGE = 5000 };

static int try_open(struct rig *k, enum store_recovery mode)
{
    rig_log_reset();
    k->opt.recovery = mode;
    return store_open(k->dir, &k->opt, &k->s);
}

/* Opens in the mode; just the first `count` keys are there. */
static void assert_prefix(struct rig *k, enum store_recovery mode, uint64_t count)
{
    assert_ok(try_open(k, mode));
    assert_int_equal(rig_count(k), count);
    rig_assert_fill(k, 0, count, VALUE, 0);
}

static void assert_refused(struct rig *k, enum store_recovery mode, const char *why)
{
    uint64_t digest = simdisk_digest(k->disk);
    assert_errno(try_open(k, mode), EIO);
    assert_true(rig_logged(why));
    assert_true(rig_logged(".log"));
    assert_int_equal(simdisk_digest(k->disk), digest);
}

static uint64_t last_log(const struct rig *r)
{
    struct rig_names n = rig_files(r, FILE_LOG);
    assert_true(n.count > 0);
    return n.number[n.count - 1];
}

static void put_synced(struct rig *r, uint64_t from, uint64_t to, bool sync)
{
    assert_ok(rig_try_fill(r, from, to, VALUE, 0, sync ? STORE_SYNC : 0));
}

/* Bytes of a log that are records: behind those of the newest may be zeros. */
static uint64_t log_bytes(const struct rig *r, uint64_t log)
{
    const struct memgen *active = viewbox_peek(r->s->tree.box)->gens[0];
    return active->log_number == log ? journal_size(r->s->commit.log)
                                     : rig_file_bytes(r, rig_file(r, FILE_LOG, log));
}

/* A copy of what a kill would leave, with a bit of the log flipped about where key `at` is. */
static struct rig *damaged(const struct rig *r, uint64_t log, uint64_t at, uint64_t of)
{
    struct rig *k = rig_kill(r);
    uint64_t size = log_bytes(r, log);
    assert_ok(simdisk_flip(k->disk, rig_file(k, FILE_LOG, log), size * at / of, 0x10));
    return k;
}

/* What was synced and is followed by something that says so. */
static void test_damage_in_the_middle(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    put_synced(r, 0, COUNT, true);
    put_synced(r, COUNT, COUNT + 3, false);
    struct rig *k = damaged(r, last_log(r), 1, 2);
    assert_refused(k, STORE_RECOVER_TAIL, "recovery=point");
    assert_refused(k, STORE_RECOVER_STRICT, "damage, not a power cut");
    assert_ok(try_open(k, STORE_RECOVER_POINT));
    uint64_t count = rig_count(k);
    assert_true(count > COUNT / 4 && count < COUNT);
    rig_assert_fill(k, 0, count, VALUE, 0);
    /* What is written from now on is safe, whatever mode is used next. */
    put_synced(k, count, count + 5, true);
    struct rig *killed = rig_kill(k);
    assert_prefix(killed, STORE_RECOVER_POINT, count + 5);
    rig_close_clean(killed);
    assert_prefix(killed, STORE_RECOVER_STRICT, count + 5);
    rig_close_clean(killed);
    rig_drop(killed);
    killed = rig_kill(k);
    assert_prefix(killed, STORE_RECOVER_TAIL, count + 5);
    rig_close_clean(killed);
    rig_drop(killed);
    rig_close_clean(k);
    rig_drop(k);
    rig_close(r);
}

/* The same of a log whose records are in rows, the mark among them. */
static void test_damage_in_a_row(void **state)
{
    struct rig *r = *state;
    r->opt.log_row_bytes = 512;
    rig_open(r);
    put_synced(r, 0, COUNT, false);
    assert_ok(store_sync(r->s));
    put_synced(r, COUNT, 2 * COUNT, false);
    assert_ok(journal_flush(r->s->commit.log));
    assert_true(log_bytes(r, last_log(r)) < 2 * COUNT * VALUE); /* so they are rows */
    struct rig *k = damaged(r, last_log(r), 1, 4);
    assert_refused(k, STORE_RECOVER_TAIL, "recovery=point");
    assert_prefix(k, STORE_RECOVER_POINT, 0);
    rig_close_clean(k);
    rig_drop(k);
    k = damaged(r, last_log(r), 3, 4); /* behind what was synced: a power cut explains it */
    assert_prefix(k, STORE_RECOVER_TAIL, COUNT);
    rig_close_clean(k);
    rig_drop(k);
    rig_close(r);
}

/* Nothing says that it was synced, so a power cut explains it. */
static void test_damage_that_was_never_synced(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    put_synced(r, 0, COUNT, false);
    assert_ok(journal_flush(r->s->commit.log)); /* from TAIL to the file */
    struct rig *k = damaged(r, last_log(r), 1, 2);
    assert_refused(k, STORE_RECOVER_STRICT, "recovery=strict");
    for (int mode = 0; mode < 2; mode++) {
        struct rig *m = rig_kill(k);
        assert_ok(try_open(m, mode ? STORE_RECOVER_POINT : STORE_RECOVER_TAIL));
        uint64_t count = rig_count(m);
        assert_true(count > COUNT / 4 && count < COUNT);
        rig_assert_fill(m, 0, count, VALUE, 0);
        rig_close_clean(m);
        rig_drop(m);
    }
    rig_drop(k);
    rig_close(r);
}

static void test_torn_tail(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    put_synced(r, 0, COUNT, true);
    struct rig *k = rig_kill(r);
    const char *log = rig_file(k, FILE_LOG, last_log(k));
    assert_ok(simdisk_truncate(k->disk, log, log_bytes(r, last_log(r)) - 3));
    assert_refused(k, STORE_RECOVER_STRICT, "recovery=strict");
    struct rig *m = rig_kill(k);
    assert_prefix(m, STORE_RECOVER_POINT, COUNT - 1);
    rig_close_clean(m);
    rig_drop(m);
    assert_prefix(k, STORE_RECOVER_TAIL, COUNT - 1);
    /* An end that was accepted stays accepted, however much is synced behind it. */
    for (uint64_t life = 0; life < 4; life++) {
        put_synced(k, COUNT - 1 + 2 * life, COUNT + 1 + 2 * life, true);
        m = rig_kill(k);
        rig_drop(k);
        k = m;
        assert_prefix(k, STORE_RECOVER_TAIL, COUNT + 1 + 2 * life);
    }
    rig_close_clean(k);
    rig_drop(k);
    rig_close(r);
}

static void test_sound_logs_pass_all_modes(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    put_synced(r, 0, COUNT, true);
    put_synced(r, COUNT, COUNT + 5, false);
    for (int mode = STORE_RECOVER_TAIL; mode <= STORE_RECOVER_POINT; mode++) {
        struct rig *k = rig_kill(r);
        assert_prefix(k, (enum store_recovery)mode, COUNT + 5);
        assert_int_equal(rig_log.errors, 0);
        rig_close_clean(k);
        rig_drop(k);
    }
    rig_close(r);
}

/* Three lives leave three logs; each case removes or damages one. */
static struct rig *three_logs(const struct rig *r)
{
    struct rig *k = rig_kill(r);
    for (uint64_t life = 0; life < 3; life++) {
        k->opt.recovery = STORE_RECOVER_TAIL;
        rig_open(k);
        put_synced(k, life * COUNT, (life + 1) * COUNT, true);
        struct rig *next = rig_kill(k);
        rig_drop(k);
        k = next;
    }
    assert_int_equal(rig_files(k, FILE_LOG).count, 3);
    return k;
}

static void test_missing_first_log(void **state)
{
    struct rig *r = *state;
    struct rig *k = three_logs(r);
    assert_ok(k->env->remove(k->env, rig_file(k, FILE_LOG, rig_files(k, FILE_LOG).number[0])));
    assert_refused(k, STORE_RECOVER_TAIL, "is missing");
    assert_refused(k, STORE_RECOVER_STRICT, "is missing");
    assert_prefix(k, STORE_RECOVER_POINT, 0);
    assert_true(rig_logged("history ends"));
    rig_close_clean(k);
    assert_prefix(k, STORE_RECOVER_STRICT, 0);
    rig_close_clean(k);
    rig_drop(k);
}

/* One in the middle: what follows does not go on where history ends. */
static void test_missing_middle_log(void **state)
{
    struct rig *r = *state;
    struct rig *k = three_logs(r);
    assert_ok(k->env->remove(k->env, rig_file(k, FILE_LOG, rig_files(k, FILE_LOG).number[1])));
    assert_refused(k, STORE_RECOVER_STRICT, "recovery=strict");
    assert_prefix(k, STORE_RECOVER_POINT, COUNT);
    rig_close_clean(k);
    rig_drop(k);
}

static void test_damaged_beginning(void **state)
{
    struct rig *r = *state;
    static const uint64_t places[] = {0, 20, FILE_HEADER_SIZE + 4, FILE_HEADER_SIZE + 24};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct rig *k = three_logs(r);
        const char *log = rig_file(k, FILE_LOG, rig_files(k, FILE_LOG).number[1]);
        assert_ok(simdisk_flip(k->disk, log, places[i], 0x01));
        assert_refused(k, STORE_RECOVER_TAIL, "damaged");
        assert_refused(k, STORE_RECOVER_STRICT, "damaged");
        assert_prefix(k, STORE_RECOVER_POINT, COUNT);
        assert_true(rig_logged("dropped"));
        put_synced(k, COUNT, COUNT + 2, true);
        struct rig *killed = rig_kill(k);
        assert_prefix(killed, STORE_RECOVER_POINT, COUNT + 2);
        rig_close_clean(killed);
        rig_drop(killed);
        rig_close_clean(k);
        rig_drop(k);
    }
}

/* The value behind a synced record is damaged: that key alone is lost. */
static void test_damaged_value(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    struct store_value v = {0};
    struct store_read read;
    rig_open(r);
    put_synced(r, 0, COUNT, true);
    assert_ok(rig_try_put(r, "large", rig_value(7, LARGE, &room), STORE_SYNC));
    put_synced(r, COUNT, COUNT + 5, true);
    put_synced(r, COUNT + 5, COUNT + 6, false);
    struct rig *k = rig_kill(r);
    struct rig_names n = rig_files(k, FILE_BLOB);
    assert_ok(simdisk_flip(k->disk, rig_file(k, FILE_BLOB, n.number[0]), 2000, 1));
    assert_refused(k, STORE_RECOVER_STRICT, "damage, not a power cut");
    assert_ok(try_open(k, STORE_RECOVER_TAIL));
    rig_assert_fill(k, 0, COUNT + 6, VALUE, 0);
    store_read_begin(k->s, &read);
    assert_errno(store_get(&read, slice_str("large"), &v), EIO);
    assert_true(rig_logged(".blob is damaged at offset"));
    store_read_end(&read);
    assert_ok(store_flush(k->s));
    rig_delete(k, "large");
    rig_compact(k);
    rig_close_clean(k);
    rig_drop(k);
    store_value_release(&v);
    buf_release(&room);
    rig_close(r);
}

static void test_marks(void **state)
{
    (void)state;
    struct buf b = {0};
    struct batch_reader reader;
    uint64_t synced;
    batch_mark_encode(1234, 99999, &b);
    assert_true(batch_mark_decode(buf_slice(&b), &synced));
    assert_int_equal(synced, 99999);
    assert_ok(batch_reader_init(&reader, buf_slice(&b)));
    assert_int_equal(reader.first_seq, 1234);
    for (size_t len = 0; len < b.len; len++)
        assert_false(batch_mark_decode(slice_of(b.data, len), &synced));
    buf_put_u8(&b, 0);
    assert_false(batch_mark_decode(buf_slice(&b), &synced));
    buf_clear(&b);
    buf_put_varint(&b, 5); /* the beginning of a log */
    buf_put_varint(&b, 0);
    assert_false(batch_mark_decode(buf_slice(&b), &synced));
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_damage_in_the_middle),
        RIG_SIM(test_damage_in_a_row),
        RIG_SIM(test_damage_that_was_never_synced),
        RIG_SIM(test_torn_tail),
        RIG_SIM(test_sound_logs_pass_all_modes),
        RIG_SIM(test_missing_first_log),
        RIG_SIM(test_missing_middle_log),
        RIG_SIM(test_damaged_beginning),
        RIG_SIM(test_damaged_value),
        cmocka_unit_test(test_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
