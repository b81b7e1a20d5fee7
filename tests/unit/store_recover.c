/* recover: what is found after the process was killed, the power was cut, or files were damaged,
 * for logs of every shape. On the simulated disk. */
#include "tests/unit/store_rig.h"

#include "store/batch.h"
#include "store/journal.h"
#include "store/replay.h"
#include "store/store_priv.h"

enum { BATCHES = 30, VALUE = 60 };

/* ---- short words ---- */

/* Opens the killed store: just the first `count` keys of rig_fill() are there. */
static void assert_prefix(struct rig *k, uint64_t count, size_t len)
{
    rig_open(k);
    assert_int_equal(rig_count(k), count);
    rig_assert_fill(k, 0, count, len, 0);
}

/* How many keys the store holds, which must be a prefix of those that rig_fill() wrote. */
static uint64_t prefix_found(struct rig *k, size_t len)
{
    uint64_t count = rig_count(k);
    rig_assert_fill(k, 0, count, len, 0);
    return count;
}

static uint64_t only_log(const struct rig *r)
{
    struct rig_names logs = rig_files(r, FILE_LOG);
    assert_int_equal(logs.count, 1);
    return logs.number[0];
}

static void remove_file(struct rig *k, enum file_kind kind, uint64_t number)
{
    assert_ok(k->env->remove(k->env, rig_file(k, kind, number)));
}

static int try_open(struct rig *k)
{
    struct store *s;
    rig_log_reset();
    int err = store_open(k->dir, &k->opt, &s);
    if (err == 0)
        assert_ok(store_close(s));
    return err;
}

static void truncate_to(struct rig *k, const char *path, uint64_t bytes)
{
    assert_ok(simdisk_truncate(k->disk, path, bytes));
}

/* A log of this number, beginning at `first_seq`, with the keys [from, to), one batch each. */
static void forge_log(struct rig *k, uint64_t number, uint64_t first_seq, uint64_t from,
                      uint64_t to)
{
    struct journal_writer *w;
    struct buf record = {0}, room = {0};
    struct store_batch b;
    uint8_t uuid[UUID_SIZE];
    struct buf manifest = {0};
    struct file_header h;
    struct rig_names manifests = rig_files(k, FILE_MANIFEST);
    assert_ok(simdisk_get(k->disk, rig_file(k, FILE_MANIFEST, manifests.number[0]), &manifest));
    assert_int_equal(file_header_decode(buf_slice(&manifest), &h), HEADER_OK);
    memcpy(uuid, h.uuid, UUID_SIZE);
    assert_ok(journal_create(k->env, k->dir, FILE_LOG, number, uuid, &w));
    batch_init(&b, UINT32_MAX, &(struct strength){0});
    batch_encode(&b, first_seq, &record);
    journal_add(w, buf_slice(&record));
    for (uint64_t i = from; i < to; i++) {
        store_batch_clear(&b);
        store_batch_put(&b, slice_str(rig_key(i)), rig_value(i, VALUE, &room));
        buf_clear(&record);
        batch_encode(&b, first_seq + i - from, &record);
        journal_add(w, buf_slice(&record));
    }
    assert_ok(journal_write(w));
    assert_ok(journal_sync(w));
    journal_writer_free(w);
    batch_release(&b);
    buf_release(&record);
    buf_release(&room);
    buf_release(&manifest);
}

/* ---- killed ---- */

static void test_killed_loses_nothing(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, BATCHES, VALUE, 0);
    for (uint64_t life = 1; life < 20; life++) {
        struct rig *k = rig_kill(r);
        rig_close(r);
        simdisk_free(r->disk);
        *r = *k;
        free(k);
        assert_prefix(r, life * BATCHES, VALUE);
        rig_fill(r, life * BATCHES, (life + 1) * BATCHES, VALUE, 0);
    }
    /* Each life has left its log; one flush retires them all. */
    assert_int_equal(rig_stats(r).sealed_memtables, 19);
    assert_int_equal(rig_files(r, FILE_LOG).count, 20);
    assert_ok(store_flush(r->s));
    rig_work(r);
    assert_int_equal(rig_files(r, FILE_LOG).count, 1);
    assert_int_equal(prefix_found(r, VALUE), 20 * BATCHES);
    rig_close_clean(r);
}

/* Lives that are too short to write anything leave nothing behind. */
static void test_killed_at_once(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, BATCHES, VALUE, 0);
    struct rig *k = rig_kill(r);
    for (int life = 0; life < 10; life++) {
        rig_open(k);
        struct rig *next = rig_kill(k);
        rig_drop(k);
        k = next;
    }
    assert_prefix(k, BATCHES, VALUE);
    assert_true(rig_files(k, FILE_LOG).count <= 2);
    assert_int_equal(rig_files(k, FILE_MANIFEST).count, 1);
    rig_drop(k);
    rig_close_clean(r);
}

/* Where the records of a log end in its file: behind them may be zeros. */
static uint64_t log_end(struct rig *r, uint64_t number)
{
    struct journal_reader *j;
    struct slice record;
    assert_ok(journal_open(r->env, r->dir, FILE_LOG, number, NULL, &j));
    while (journal_next(j, &record) == 0)
        ;
    uint64_t end = journal_offset(j);
    journal_reader_free(j);
    return end;
}

static void test_recovery_twice_gives_the_same(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, BATCHES, 700, 0);
    assert_ok(store_flush(r->s));
    rig_fill(r, BATCHES, 2 * BATCHES, 5000, 0);
    assert_ok(journal_flush(r->s->commit.log)); /* all of it is in the log's file */
    struct rig *k = rig_kill(r);
    struct rig_names logs = rig_files(k, FILE_LOG);
    uint64_t log = logs.number[logs.count - 1];
    truncate_to(k, rig_file(k, FILE_LOG, log), log_end(k, log) - 100);
    uint64_t digest = simdisk_digest(k->disk);
    k->opt.read_only = true;
    uint64_t found = 0;
    for (int i = 0; i < 3; i++) {
        rig_open(k);
        uint64_t count = rig_count(k);
        assert_true(i == 0 || count == found);
        found = count;
        rig_close(k);
        assert_int_equal(simdisk_digest(k->disk), digest);
    }
    k->opt.read_only = false;
    rig_open(k);
    assert_int_equal(rig_count(k), found);
    assert_true(found < 2 * BATCHES && found > BATCHES);
    rig_assert_fill(k, BATCHES, found, 5000, 0);
    struct rig *again = rig_kill(k);
    rig_open(again);
    assert_int_equal(rig_count(again), found);
    rig_close_clean(again);
    rig_drop(again);
    rig_drop(k);
    rig_close(r);
}

/* ---- logs of each shape ---- */

/* Cut off at every byte: the whole records before it, never an error, never another value. */
static void test_log_cut_anywhere(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 8, VALUE, 0);
    assert_ok(journal_flush(r->s->commit.log));
    uint64_t log = only_log(r), bytes = log_end(r, log), before = 8;
    for (uint64_t size = bytes; size-- > 0;) {
        struct rig *k = rig_kill(r);
        truncate_to(k, rig_file(k, FILE_LOG, log), size);
        rig_open(k);
        uint64_t found = prefix_found(k, VALUE);
        assert_true(found == before || found + 1 == before);
        before = found;
        rig_put(k, "more", "v");
        rig_close_clean(k);
        rig_drop(k);
    }
    assert_int_equal(before, 0);
    rig_close(r);
}

/* A flip anywhere: a prefix, or damage; never a wrong value. */
static void test_log_flipped_anywhere(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 4, VALUE, 0);
    assert_ok(journal_flush(r->s->commit.log));
    uint64_t log = only_log(r), bytes = log_end(r, log);
    uint64_t refused = 0;
    for (uint64_t at = 0; at < bytes; at++) {
        struct rig *k = rig_kill(r);
        assert_ok(simdisk_flip(k->disk, rig_file(k, FILE_LOG, log), at, 0x40));
        int err = store_open(k->dir, &k->opt, &k->s);
        if (err < 0) {
            /* Header and beginning were on disk before anything else. */
            assert_true(err == -EIO || err == -EPROTONOSUPPORT);
            assert_true(at < LOG_EMPTY_BYTES);
            refused++;
        } else {
            assert_true(prefix_found(k, VALUE) < 4);
        }
        rig_drop(k);
    }
    assert_true(refused >= FILE_HEADER_SIZE);
    rig_close(r);
}

static void test_logs_without_contents(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, BATCHES, VALUE, 0);
    static const size_t sizes[] = {0, 1, FILE_HEADER_SIZE, LOG_EMPTY_BYTES};
    static const uint8_t zeros[LOG_EMPTY_BYTES];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct rig *k = rig_kill(r);
        assert_ok(simdisk_put(k->disk, rig_path(k, "000500.log"), slice_of(zeros, sizes[i])));
        assert_prefix(k, BATCHES, VALUE);
        rig_put(k, "more", "v");
        rig_close_clean(k);
        rig_drop(k);
    }
    rig_close(r);
}

/* Three memtables, none of them flushed: logs [0, BATCHES), and so on. */
static void make_three_logs(struct rig *r)
{
    rig_open(r);
    for (uint64_t i = 0; i < 3; i++) {
        rig_fill(r, i * BATCHES, (i + 1) * BATCHES, VALUE, 0);
        if (i < 2)
            assert_ok(commit_seal(&r->s->commit));
        assert_ok(journal_flush(r->s->commit.log));
    }
    assert_int_equal(rig_files(r, FILE_LOG).count, 3);
}

static void test_first_log_missing(void **state)
{
    struct rig *r = *state;
    make_three_logs(r);
    struct rig *k = rig_kill(r);
    struct rig_names logs = rig_files(k, FILE_LOG);
    remove_file(k, FILE_LOG, logs.number[0]);
    uint64_t digest = simdisk_digest(k->disk);
    for (int i = 0; i < 2; i++) {
        assert_errno(try_open(k), EIO);
        assert_true(rig_logged("missing"));
        assert_int_equal(simdisk_digest(k->disk), digest);
    }
    rig_drop(k);
    rig_close(r);
}

/* A log that lost its first bytes had them on disk once. */
static void test_log_without_its_beginning(void **state)
{
    struct rig *r = *state;
    make_three_logs(r);
    struct rig_names logs = rig_files(r, FILE_LOG);
    for (int i = 0; i < 3; i++) {
        struct rig *k = rig_kill(r);
        const char *path = rig_file(k, FILE_LOG, logs.number[i]);
        assert_ok(simdisk_flip(k->disk, path, FILE_HEADER_SIZE + FRAME_HEADER_SIZE, 1));
        assert_errno(try_open(k), EIO);
        assert_true(rig_logged("without its beginning"));
        rig_drop(k);
        k = rig_kill(r);
        assert_ok(simdisk_flip(k->disk, path, 3, 1));
        assert_errno(try_open(k), EIO);
        rig_drop(k);
    }
    rig_close(r);
}

/* History ends where the first log is torn; what follows is left out, for good. */
static void test_log_torn_in_the_middle(void **state)
{
    struct rig *r = *state;
    make_three_logs(r);
    for (int i = 0; i < 3; i++) {
        struct rig *k = rig_kill(r);
        struct rig_names logs = rig_files(k, FILE_LOG);
        truncate_to(k, rig_file(k, FILE_LOG, logs.number[i]), log_end(k, logs.number[i]) - 1);
        uint64_t found = (uint64_t)(i + 1) * BATCHES - 1;
        assert_prefix(k, found, VALUE);
        rig_fill(k, found, found + 5, VALUE, 0);
        struct rig *again = rig_kill(k);
        assert_prefix(again, found + 5, VALUE);
        rig_close_clean(again);
        rig_drop(again);
        rig_drop(k);
    }
    rig_close(r);
}

/* The same with nothing left of the first log, and removals that are undone or fail: what was left
 * out stays out. */
static void test_what_is_left_out_stays_out(void **state)
{
    struct rig *r = *state;
    make_three_logs(r);
    struct rig_names logs = rig_files(r, FILE_LOG);
    for (int undone = 0; undone < 8; undone++) {
        struct rig *k = rig_kill(r);
        struct buf before[3] = {{0}, {0}, {0}};
        for (int i = 0; i < 3; i++)
            assert_ok(simdisk_get(k->disk, rig_file(k, FILE_LOG, logs.number[i]), &before[i]));
        /* Just the header and the beginning, and a torn record. */
        before[0].len = LOG_EMPTY_BYTES + 1;
        truncate_to(k, rig_file(k, FILE_LOG, logs.number[0]), before[0].len);
        assert_prefix(k, 0, VALUE);
        rig_fill(k, 0, BATCHES, VALUE, 0); /* up to where the second log would go on */
        struct rig *again = rig_kill(k);
        for (int i = 0; i < 3; i++)
            if (undone & 1 << i)
                assert_ok(simdisk_put(again->disk, rig_file(again, FILE_LOG, logs.number[i]),
                                      buf_slice(&before[i])));
        assert_prefix(again, BATCHES, VALUE);
        rig_close_clean(again);
        rig_drop(again);
        rig_drop(k);
        for (int i = 0; i < 3; i++)
            buf_release(&before[i]);
    }
    rig_close(r);
}

/* A log that does not go on where the one before it ended, in either direction. */
static void test_stale_logs(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, BATCHES, VALUE, 0);
    static const uint64_t begins[] = {1, BATCHES, BATCHES + 2, 1000000};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        struct rig *k = rig_kill(r);
        forge_log(k, 500, begins[i], 5000, 5010);
        assert_prefix(k, BATCHES, VALUE);
        rig_close_clean(k);
        rig_drop(k);
    }
    struct rig *k = rig_kill(r);
    forge_log(k, 500, BATCHES + 1, BATCHES, BATCHES + 10);
    assert_prefix(k, BATCHES + 10, VALUE);
    rig_close_clean(k);
    rig_drop(k);
    rig_close(r);
}

static void test_log_of_another_volume(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, BATCHES, VALUE, 0);
    struct rig *k = rig_kill(r);
    struct rig other = *k;
    strcpy(other.dir, "/other");
    assert_ok(store_create(other.dir, &other.opt));
    rig_open(&other);
    rig_fill(&other, 0, BATCHES, VALUE, 0);
    struct buf bytes = {0};
    assert_ok(simdisk_get(k->disk, rig_file(&other, FILE_LOG, only_log(&other)), &bytes));
    assert_ok(simdisk_put(k->disk, rig_file(k, FILE_LOG, only_log(k)), buf_slice(&bytes)));
    rig_close(&other);
    assert_errno(try_open(k), EIO);
    buf_release(&bytes);
    rig_drop(k);
    rig_close(r);
}

/* ---- blob files behind the log ---- */

static void test_blob_frames_missing(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 10, 5000, 0);
    struct rig_names blobs = rig_files(r, FILE_BLOB);
    assert_int_equal(blobs.count, 1);
    uint64_t bytes = rig_file_bytes(r, rig_file(r, FILE_BLOB, blobs.number[0])), before = 10;
    for (uint64_t size = bytes;; size = size > 997 ? size - 997 : 0) {
        struct rig *k = rig_kill(r);
        truncate_to(k, rig_file(k, FILE_BLOB, blobs.number[0]), size);
        rig_open(k);
        uint64_t found = prefix_found(k, 5000);
        assert_true(found <= before && found + 1 >= before);
        before = found;
        rig_close_clean(k);
        rig_drop(k);
        if (size == 0)
            break;
    }
    assert_int_equal(before, 0);
    struct rig *k = rig_kill(r);
    remove_file(k, FILE_BLOB, blobs.number[0]);
    assert_prefix(k, 0, 5000);
    rig_close_clean(k);
    rig_drop(k);
    rig_close(r);
}

static void test_blob_frame_damaged(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 10, 5000, 0);
    struct rig_names blobs = rig_files(r, FILE_BLOB);
    uint64_t bytes = rig_file_bytes(r, rig_file(r, FILE_BLOB, blobs.number[0]));
    for (uint64_t at = 0; at < bytes; at += 301) {
        struct rig *k = rig_kill(r);
        assert_ok(simdisk_flip(k->disk, rig_file(k, FILE_BLOB, blobs.number[0]), at, 1));
        rig_open(k);
        assert_true(prefix_found(k, 5000) < 10);
        rig_close_clean(k);
        rig_drop(k);
    }
    rig_close(r);
}

/* An error of the disk is not the end of history: the open fails, and the next one finds all. */
static void test_disk_errors_are_no_end(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 10, 5000, 0);
    rig_fill(r, 10, 20, VALUE, 0);
    static const char *const parts[] = {".blob", ".log", ".manifest", "CURRENT"};
    static const enum sim_call calls[] = {SIM_OPEN, SIM_READ, SIM_SIZE, SIM_LIST};
    static const int errors[] = {-EIO, -EMFILE};
    struct rig *k = rig_kill(r);
    int failed = 0;
    for (int i = 0; i < 4 * 4 * 2 * 8; i++) {
        struct sim_fault fault = {.call = calls[i % 4],
                                  .path_part = i % 4 == 3 ? NULL : parts[i / 4 % 4],
                                  .after = (uint64_t)(i / 32),
                                  .err = errors[i / 16 % 2]};
        simdisk_fail(k->disk, &fault);
        int err = store_open(k->dir, &k->opt, &k->s);
        simdisk_heal(k->disk);
        if (err < 0) {
            assert_int_equal(err, fault.err);
            failed++;
            rig_open(k);
        }
        assert_int_equal(rig_count(k), 20);
        rig_assert_fill(k, 0, 10, 5000, 0);
        struct rig *next = rig_kill(k);
        rig_drop(k);
        k = next;
    }
    assert_true(failed > 40);
    rig_drop(k);
    rig_close(r);
}

/* ---- what else is in the folder ---- */

static void test_leftovers(void **state)
{
    struct rig *r = *state;
    static const char *const ours[] = {"000700.table", "000701.blob", "000702.manifest",
                                       "000703.tmp", "000704.log"};
    static const char *const theirs[] = {"notes.txt",
                                         "lost+found",
                                         "1.table",
                                         "000001.log~",
                                         "18446744073709551615.table",
                                         "99999999999999999999.log"};
    uint64_t size;
    rig_open(r);
    rig_fill(r, 0, BATCHES, VALUE, 0);
    struct rig *k = rig_kill(r);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        assert_ok(simdisk_put(k->disk, rig_path(k, ours[i]), slice_str("")));
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
        assert_ok(simdisk_put(k->disk, rig_path(k, theirs[i]), slice_str("")));
    assert_prefix(k, BATCHES, VALUE);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        assert_errno(k->env->file_size(k->env, rig_path(k, ours[i]), &size), ENOENT);
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
        assert_ok(k->env->file_size(k->env, rig_path(k, theirs[i]), &size));
    /* Their numbers are not used again. */
    rig_fill(k, 0, 10, 5000, 0);
    struct rig_names blobs = rig_files(k, FILE_BLOB);
    assert_true(blobs.number[0] > 704);
    rig_drop(k);
    rig_close(r);
}

/* After a manifest that ends in something that does not verify, data that nothing names may be all
 * that is left of it: it stays until a manifest ends well. */
static void test_torn_manifest_keeps_data(void **state)
{
    struct rig *r = *state;
    uint64_t size;
    rig_open(r);
    rig_fill(r, 0, BATCHES, VALUE, 0);
    assert_ok(store_flush(r->s));
    struct rig *k = rig_kill(r);
    struct rig_names m = rig_files(k, FILE_MANIFEST);
    struct buf bytes = {0};
    assert_ok(simdisk_get(k->disk, rig_file(k, FILE_MANIFEST, m.number[0]), &bytes));
    buf_append(&bytes, slice_str("torn, as after a power cut"));
    assert_ok(simdisk_put(k->disk, rig_file(k, FILE_MANIFEST, m.number[0]), buf_slice(&bytes)));
    assert_ok(simdisk_put(k->disk, rig_path(k, "000700.table"), slice_str("perhaps")));
    assert_prefix(k, BATCHES, VALUE);
    assert_ok(k->env->file_size(k->env, rig_path(k, "000700.table"), &size));
    rig_reopen(k);
    assert_errno(k->env->file_size(k->env, rig_path(k, "000700.table"), &size), ENOENT);
    buf_release(&bytes);
    rig_close_clean(k);
    rig_drop(k);
    rig_close(r);
}

/* Flushed, but for the removal of the log. */
static void test_log_that_is_not_needed(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, BATCHES, VALUE, 0);
    uint64_t log = only_log(r);
    struct buf bytes = {0};
    assert_ok(simdisk_get(r->disk, rig_file(r, FILE_LOG, log), &bytes));
    assert_ok(store_flush(r->s));
    rig_delete(r, rig_key(3));
    struct rig *k = rig_kill(r);
    assert_ok(simdisk_put(k->disk, rig_file(k, FILE_LOG, log), buf_slice(&bytes)));
    rig_open(k);
    rig_assert(k, rig_key(3), NULL);
    assert_int_equal(rig_count(k), BATCHES - 1);
    rig_close_clean(k);
    rig_drop(k);
    buf_release(&bytes);
    rig_close(r);
}

/* The tombstones and merges of a log are what they were. */
/* ---- more than memory should hold ---- */

/* A log of some hundred KiB, and a store killed behind it that is to be opened with small
 * memtables. */
static struct rig *killed_with_a_long_log(struct rig *r, uint64_t count)
{
    r->opt.memtable_bytes = 64 << 20;
    rig_open(r);
    rig_fill(r, 0, count, 300, 0);
    struct rig *k = rig_kill(r);
    rig_close(r);
    k->opt.memtable_bytes = 64 << 10;
    return k;
}

static void assert_bounded(struct rig *k)
{
    struct store_stats st = rig_stats(k);
    assert_true(st.level_tables[0] >= 3);
    assert_true(st.memtable_bytes < 4 * k->opt.memtable_bytes);
}

/* Replay fills one small memtable after another, and they are flushed as it goes on. */
static void test_long_log(void **state)
{
    struct rig *r = *state;
    struct rig *k = killed_with_a_long_log(r, 1000);
    rig_open(k);
    assert_bounded(k);
    assert_int_equal(prefix_found(k, 300), 1000);
    rig_fill(k, 1000, 1010, 300, 0);
    struct rig *again = rig_kill(k); /* a log that is in tables in part */
    assert_prefix(again, 1010, 300);
    rig_work(again);
    rig_close_clean(again);
    rig_drop(again);
    rig_close_clean(k);
    rig_drop(k);
}

/* The power is cut at each step of such a recovery: nothing that was synced goes. */
static void test_long_log_and_power_cuts(void **state)
{
    struct rig *r = *state;
    r->opt.memtable_bytes = 64 << 20;
    rig_open(r);
    rig_fill(r, 0, 500, 300, 0);
    assert_ok(store_sync(r->s));
    struct rig *base = rig_kill(r);
    rig_close(r);
    base->opt.memtable_bytes = 64 << 10;
    bool done = false;
    for (uint64_t after = 0; !done; after += 3) {
        struct rig *k = rig_kill(base);
        simdisk_cut_at(k->disk, after + 1, after % 2 ? SIM_CUT_WITHIN : SIM_CUT_BEFORE);
        int err = store_open(k->dir, &k->opt, &k->s);
        done = err == 0;
        if (done)
            store_close(k->s);
        k->s = NULL;
        simdisk_crash(k->disk, (enum sim_crash)(after % 3), after);
        assert_prefix(k, 500, 300);
        rig_close_clean(k);
        rig_drop(k);
    }
    rig_drop(base);
}

/* Flushing fails: then it stays in memory, and the store opens all the same. */
static void test_long_log_without_space(void **state)
{
    struct rig *r = *state;
    struct rig *k = killed_with_a_long_log(r, 1000);
    simdisk_fail(k->disk,
                 &(struct sim_fault){
                     .call = SIM_WRITE, .path_part = ".table", .err = -ENOSPC, .sticky = true});
    rig_open(k);
    assert_int_equal(rig_stats(k).level_tables[0], 0);
    assert_int_equal(prefix_found(k, 300), 1000);
    simdisk_heal(k->disk);
    assert_ok(store_flush(k->s));
    rig_close_clean(k);
    rig_drop(k);
}

/* Read-only, nothing is flushed. */
static void test_long_log_read_only(void **state)
{
    struct rig *r = *state;
    struct rig *k = killed_with_a_long_log(r, 1000);
    uint64_t digest = simdisk_digest(k->disk);
    k->opt.read_only = true;
    rig_open(k);
    assert_int_equal(prefix_found(k, 300), 1000);
    rig_close(k);
    assert_int_equal(simdisk_digest(k->disk), digest);
    rig_drop(k);
}

/* With values in a blob file, which one memtable has: from the first of them on it is not split. */
static void test_long_log_with_blobs(void **state)
{
    struct rig *r = *state;
    r->opt.memtable_bytes = 64 << 20;
    rig_open(r);
    rig_fill(r, 0, 400, 300, 0);
    rig_fill(r, 400, 420, 6000, 0);
    rig_fill(r, 420, 800, 300, 0);
    struct rig *k = rig_kill(r);
    rig_close(r);
    k->opt.memtable_bytes = 64 << 10;
    for (int i = 0; i < 3; i++) {
        rig_open(k);
        assert_int_equal(rig_count(k), 800);
        rig_assert_fill(k, 0, 400, 300, 0);
        rig_assert_fill(k, 400, 420, 6000, 0);
        rig_assert_fill(k, 420, 800, 300, 0);
        struct rig *next = rig_kill(k);
        rig_drop(k);
        k = next;
    }
    rig_open(k);
    rig_close_clean(k);
    rig_drop(k);
}

static void test_everything_comes_back(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_fill(r, 0, 100, VALUE, 0);
    assert_ok(store_flush(r->s));
    rig_delete_range(r, rig_key(10), rig_key(90));
    rig_merge_op(r, "m", "a");
    rig_merge_op(r, "m", "b");
    rig_put(r, rig_key(50), "back");
    rig_delete(r, rig_key(5));
    struct rig *k = rig_kill(r);
    rig_open(k);
    for (int i = 0; i < 2; i++) {
        rig_assert(k, "m", "ab");
        rig_assert(k, rig_key(50), "back");
        rig_assert(k, rig_key(5), NULL);
        rig_assert(k, rig_key(89), NULL);
        assert_int_equal(rig_count(k), 9 + 10 + 2);
        rig_compact(k);
    }
    rig_close_clean(k);
    rig_drop(k);
    rig_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_killed_loses_nothing),
        RIG_SIM(test_killed_at_once),
        RIG_SIM(test_recovery_twice_gives_the_same),
        RIG_SIM(test_log_cut_anywhere),
        RIG_SIM(test_log_flipped_anywhere),
        RIG_SIM(test_logs_without_contents),
        RIG_SIM(test_first_log_missing),
        RIG_SIM(test_log_without_its_beginning),
        RIG_SIM(test_log_torn_in_the_middle),
        RIG_SIM(test_what_is_left_out_stays_out),
        RIG_SIM(test_stale_logs),
        RIG_SIM(test_log_of_another_volume),
        RIG_SIM(test_blob_frames_missing),
        RIG_SIM(test_blob_frame_damaged),
        RIG_SIM(test_disk_errors_are_no_end),
        RIG_SIM(test_leftovers),
        RIG_SIM(test_torn_manifest_keeps_data),
        RIG_SIM(test_log_that_is_not_needed),
        RIG_SIM(test_long_log),
        RIG_SIM(test_long_log_and_power_cuts),
        RIG_SIM(test_long_log_without_space),
        RIG_SIM(test_long_log_read_only),
        RIG_SIM(test_long_log_with_blobs),
        RIG_SIM(test_everything_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
