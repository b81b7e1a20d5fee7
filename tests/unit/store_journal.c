/* Tests of store/journal.h: what was written is read back, and damage of any kind anywhere leaves
 * just the records before it. */
#include "store/journal.h"

#include "tests/sim/simrng.h"
#include "tests/unit/on_disk.h"

#include <errno.h>

static const uint8_t other_uuid[UUID_SIZE] = "another volume's";
#define PATH "vol/000003.log"

static struct journal_writer *create(struct on_disk *x)
{
    struct journal_writer *w;
    assert_ok(journal_create(x->env, DIR, FILE_LOG, 3, uuid, &w));
    return w;
}

static struct journal_reader *open_log(struct on_disk *x)
{
    struct journal_reader *r;
    assert_ok(journal_open(x->env, DIR, FILE_LOG, 3, uuid, &r));
    return r;
}

/* ---- a journal as it should be ---- */

enum { RECORDS_MAX = 64 };

/* Records and where they begin; at[count] is the end. */
struct model {
    struct buf records[RECORDS_MAX];
    uint64_t at[RECORDS_MAX + 1];
    size_t count;
};

static void model_add(struct model *m, struct simrng *rng, size_t len)
{
    assert_true(m->count < RECORDS_MAX);
    struct buf *b = &m->records[m->count];
    buf_reserve(b, len);
    for (size_t i = 0; i < len; i++)
        b->data[i] = (uint8_t)simrng_next(rng);
    b->len = len;
    m->at[0] = FILE_HEADER_SIZE;
    m->at[m->count + 1] = m->at[m->count] + FRAME_HEADER_SIZE + len;
    m->count++;
}

static void model_release(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        buf_release(&m->records[i]);
    *m = (struct model){0};
}

/* Writes the model's records from `from` on, in groups of up to `group`. */
static void model_write(const struct model *m, struct journal_writer *w, size_t group)
{
    for (size_t i = 0; i < m->count; i++) {
        journal_add(w, buf_slice(&m->records[i]));
        if ((i + 1) % group == 0 || i + 1 == m->count) {
            assert_ok(journal_write(w));
            assert_true(journal_size(w) == m->at[i + 1]);
        }
    }
}

/* The reader returns the first `count` records and then ends as told. */
static void assert_reads(struct on_disk *x, const struct model *m, size_t count,
                         enum journal_end end)
{
    struct journal_reader *r = open_log(x);
    struct slice payload;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(journal_end(r), JOURNAL_MORE);
        assert_ok(journal_next(r, &payload));
        assert_slice(payload, m->records[i].data, m->records[i].len);
        assert_true(journal_offset(r) == m->at[i]);
    }
    for (int again = 0; again < 2; again++) {
        assert_absent(journal_next(r, &payload));
        assert_int_equal(payload.len, 0);
        assert_int_equal(journal_end(r), end);
        assert_true(journal_offset(r) == m->at[count]);
    }
    journal_reader_free(r);
}

/* A log of small records, an empty one among them. */
static void small_log(struct on_disk *x, struct model *m, struct simrng *rng)
{
    struct journal_writer *w = create(x);
    *m = (struct model){0};
    for (size_t i = 0; i < 12; i++)
        model_add(m, rng, i == 5 ? 0 : 1 + simrng_below(rng, 60));
    model_write(m, w, 5);
    journal_writer_free(w);
}

static void an_empty_journal(void **state)
{
    struct on_disk *x = *state;
    struct model m = {.at = {FILE_HEADER_SIZE}};
    struct journal_writer *w = create(x);
    assert_int_equal(journal_size(w), FILE_HEADER_SIZE);
    assert_ok(journal_write(w)); /* nothing is pending */
    assert_ok(journal_sync(w));
    assert_reads(x, &m, 0, JOURNAL_CLEAN);
    struct journal_reader *r = open_log(x);
    assert_int_equal(journal_header(r)->number, 3);
    assert_int_equal(journal_header(r)->kind, FILE_LOG);
    journal_reader_free(r);
    journal_writer_free(w);
    journal_writer_free(NULL);
    journal_reader_free(NULL);
}

static void records_come_back(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct model m = {0};
    static const size_t lens[] = {0, 1, 200, 100000, 3 << 20, 511 * 1024, 512 * 1024, 5};
    for (size_t i = 0; i < 40; i++)
        model_add(&m, &rng, i < 8 ? lens[i] : simrng_below(&rng, 200000));
    struct journal_writer *w = create(x);
    model_write(&m, w, 7);
    assert_reads(x, &m, m.count, JOURNAL_CLEAN);
    journal_writer_free(w);
    assert_reads(x, &m, m.count, JOURNAL_CLEAN);
    model_release(&m);
}

/* Each call moves the simulated clock by a microsecond, which counts them. */
static void reads_are_large(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {1};
    struct journal_writer *w = create(x);
    struct model m = {0};
    model_add(&m, &rng, 200);
    for (int i = 0; i < 20000; i++)
        journal_add(w, buf_slice(&m.records[0]));
    assert_ok(journal_write(w));
    struct slice payload;
    size_t count = 0;
    uint64_t before = x->env->monotonic_ns(x->env);
    struct journal_reader *r = open_log(x);
    while (journal_next(r, &payload) == 0)
        count++;
    uint64_t calls = (x->env->monotonic_ns(x->env) - before) / 1000;
    assert_int_equal(count, 20000);
    assert_true(calls <= 5 + journal_size(w) / (256 * 1024));
    journal_reader_free(r);
    journal_writer_free(w);
    model_release(&m);
}

static void pending_records_are_not_written(void **state)
{
    struct on_disk *x = *state;
    struct model m = {0};
    struct simrng rng = {1};
    model_add(&m, &rng, 10);
    struct journal_writer *w = create(x);
    model_write(&m, w, 1);
    journal_add(w, slice_str("dropped"));
    assert_reads(x, &m, 1, JOURNAL_CLEAN);
    journal_discard(w);
    assert_ok(journal_write(w));
    assert_true(journal_size(w) == m.at[1]);
    assert_reads(x, &m, 1, JOURNAL_CLEAN);
    journal_add(w, slice_str("dropped too"));
    journal_writer_free(w);
    assert_reads(x, &m, 1, JOURNAL_CLEAN);
    model_release(&m);
}

/* What is appended after the opening is not read, whole or not. */
static void a_reader_ends_where_the_file_ended(void **state)
{
    struct on_disk *x = *state;
    struct journal_writer *w = create(x);
    struct slice payload;
    journal_add(w, slice_str("one"));
    assert_ok(journal_write(w));
    struct journal_reader *r = open_log(x);
    journal_add(w, slice_str("two"));
    assert_ok(journal_write(w));
    assert_ok(journal_next(r, &payload));
    assert_slice_str(payload, "one");
    assert_absent(journal_next(r, &payload));
    assert_int_equal(journal_end(r), JOURNAL_CLEAN);
    journal_reader_free(r);
    journal_writer_free(w);
}

/* ---- damage ---- */

static bool only_zeros(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i])
            return false;
    return true;
}

static size_t records_before(const struct model *m, uint64_t offset)
{
    size_t n = 0;
    while (n < m->count && m->at[n + 1] <= offset)
        n++;
    return n;
}

static void cut_at_every_byte(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct model m;
    struct buf whole = {0};
    small_log(x, &m, &rng);
    assert_ok(simdisk_get(x->disk, PATH, &whole));
    assert_true(whole.len == m.at[m.count]);
    for (size_t len = 0; len <= whole.len; len++) {
        assert_ok(simdisk_put(x->disk, PATH, slice_of(whole.data, len)));
        if (len < FILE_HEADER_SIZE) {
            struct journal_reader *r;
            assert_absent(journal_open(x->env, DIR, FILE_LOG, 3, uuid, &r));
            assert_null(r);
            continue;
        }
        size_t n = records_before(&m, len);
        struct slice rest = slice_of(whole.data + m.at[n], len - m.at[n]);
        assert_reads(x, &m, n, only_zeros(rest) ? JOURNAL_CLEAN : JOURNAL_TORN);
    }
    assert_int_equal(logged.count, 0); /* a cut is no corruption */
    buf_release(&whole);
    model_release(&m);
}

static void flip_every_bit(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct model m;
    small_log(x, &m, &rng);
    for (uint64_t bit = 0; bit < 8 * m.at[m.count]; bit++) {
        assert_ok(simdisk_flip(x->disk, PATH, bit / 8, (uint8_t)(1 << bit % 8)));
        if (bit / 8 < FILE_HEADER_SIZE) {
            struct journal_reader *r;
            assert_errno(journal_open(x->env, DIR, FILE_LOG, 3, uuid, &r), EIO);
            assert_null(r);
        } else {
            assert_reads(x, &m, records_before(&m, bit / 8), JOURNAL_TORN);
        }
        assert_ok(simdisk_flip(x->disk, PATH, bit / 8, (uint8_t)(1 << bit % 8)));
    }
    assert_reads(x, &m, m.count, JOURNAL_CLEAN);
    model_release(&m);
}

/* A stretch that is zeroed, or filled with something else, or that moved. */
static void damage_of_many_bytes(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct model m;
    struct buf whole = {0};
    small_log(x, &m, &rng);
    assert_ok(simdisk_get(x->disk, PATH, &whole));
    const size_t body = whole.len - FILE_HEADER_SIZE;
    for (int i = 0; i < 3000; i++) {
        struct buf hurt = {0};
        buf_append(&hurt, buf_slice(&whole));
        size_t from = FILE_HEADER_SIZE + simrng_below(&rng, body);
        size_t len = 1 + simrng_below(&rng, whole.len - from);
        uint8_t *p = hurt.data + from;
        switch (simrng_below(&rng, 3)) {
        case 0:
            memset(p, 0, len);
            break;
        case 1:
            memmove(p, hurt.data + FILE_HEADER_SIZE + simrng_below(&rng, body - len + 1), len);
            break;
        default:
            for (size_t j = 0; j < len; j++)
                p[j] = (uint8_t)simrng_next(&rng);
        }
        size_t same = 0;
        while (same < whole.len && hurt.data[same] == whole.data[same])
            same++;
        assert_ok(simdisk_put(x->disk, PATH, buf_slice(&hurt)));
        size_t n = records_before(&m, same);
        bool clean = only_zeros(slice_of(hurt.data + m.at[n], hurt.len - m.at[n]));
        assert_reads(x, &m, n, clean ? JOURNAL_CLEAN : JOURNAL_TORN);
        buf_release(&hurt);
    }
    buf_release(&whole);
    model_release(&m);
}

static void zeros_behind_the_end(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct model m;
    struct buf b = {0};
    small_log(x, &m, &rng);
    static const size_t lens[] = {1, 23, 24, 25, 4096, 512 * 1024, (1 << 20) + 7};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        uint64_t end = m.at[m.count];
        assert_ok(simdisk_truncate(x->disk, PATH, end));
        assert_ok(simdisk_truncate(x->disk, PATH, end + lens[i]));
        assert_reads(x, &m, m.count, JOURNAL_CLEAN);
        assert_ok(simdisk_flip(x->disk, PATH, end + lens[i] - 1, 1));
        assert_reads(x, &m, m.count, JOURNAL_TORN);
    }
    buf_release(&b);
    model_release(&m);
}

static void appended(struct on_disk *x, const void *data, size_t len)
{
    struct buf b = {0};
    assert_ok(simdisk_get(x->disk, PATH, &b));
    buf_append_bytes(&b, data, len);
    assert_ok(simdisk_put(x->disk, PATH, buf_slice(&b)));
    buf_release(&b);
}

static void absurd_lengths_are_not_believed(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    static const uint32_t lens[] = {1, 100, FRAME_RAW_MAX, FRAME_RAW_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < 5; i++) {
        struct model m;
        uint8_t frame[FRAME_HEADER_SIZE];
        struct frame_header h = {.stored_len = lens[i], .raw_len = lens[i], .checksum = 1};
        small_log(x, &m, &rng);
        frame_header_encode(&h, frame);
        appended(x, frame, sizeof frame);
        assert_reads(x, &m, m.count, JOURNAL_TORN);
        assert_ok(x->env->remove(x->env, PATH));
        model_release(&m);
    }
}

static void records_of_another_journal_do_not_count(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct model old, new;
    struct buf old_bytes = {0}, new_bytes = {0};
    small_log(x, &old, &rng);
    assert_ok(simdisk_get(x->disk, PATH, &old_bytes));
    assert_ok(x->env->remove(x->env, PATH));
    small_log(x, &new, &rng); /* the same number, another salt */
    assert_ok(simdisk_get(x->disk, PATH, &new_bytes));
    memcpy(old_bytes.data, new_bytes.data, FILE_HEADER_SIZE);
    assert_ok(simdisk_put(x->disk, PATH, buf_slice(&old_bytes)));
    assert_reads(x, &old, 0, JOURNAL_TORN);
    buf_release(&old_bytes);
    buf_release(&new_bytes);
    model_release(&old);
    model_release(&new);
}

/* ---- records that another program wrote ---- */

static void append_frame(struct on_disk *x, int level, uint8_t codec)
{
    struct journal_reader *r = open_log(x);
    struct codec_file cf;
    struct buf frame = {0};
    uint64_t size;
    uint8_t text[500];
    memset(text, 'x', sizeof text);
    struct buf row = {0};
    buf_put_lenbytes(&row, slice_of(text, sizeof text));
    codec_file_init(&cf, journal_header(r));
    journal_reader_free(r);
    assert_ok(x->env->file_size(x->env, PATH, &size));
    frame_pack(level > 0 ? buf_slice(&row) : slice_of(text, sizeof text), level, &frame);
    if (codec)
        frame.data[8] = codec;
    frame_seal(&cf, size, frame.data, frame.len);
    appended(x, frame.data, frame.len);
    buf_release(&frame);
    buf_release(&row);
}

static void compressed_records_are_read(void **state)
{
    struct on_disk *x = *state;
    struct slice payload;
    journal_writer_free(create(x));
    append_frame(x, 3, 0);
    append_frame(x, 0, 0);
    append_frame(x, 3, 0);
    struct journal_reader *r = open_log(x);
    for (int i = 0; i < 3; i++) {
        assert_ok(journal_next(r, &payload));
        assert_int_equal(payload.len, 500);
        assert_int_equal(payload.data[499], 'x');
    }
    assert_absent(journal_next(r, &payload));
    journal_reader_free(r);
}

/* This is no torn end: somebody wrote it. */
static void a_sound_record_that_does_not_decode_is_corruption(void **state)
{
    struct on_disk *x = *state;
    struct slice payload;
    journal_writer_free(create(x));
    append_frame(x, 0, 0);
    append_frame(x, 0, 77);
    append_frame(x, 0, 0);
    struct journal_reader *r = open_log(x);
    assert_ok(journal_next(r, &payload));
    for (int again = 0; again < 2; again++) {
        assert_errno(journal_next(r, &payload), EIO);
        assert_logged(PATH);
        assert_logged("620"); /* 96 + 24 + 500 */
        assert_logged("codec 77");
    }
    journal_reader_free(r);
}

/* ---- opening what is not it ---- */

static void other_files_are_refused(void **state)
{
    struct on_disk *x = *state;
    struct journal_reader *r;
    struct journal_writer *w = create(x), *second;
    struct buf bytes = {0};
    assert_errno(journal_create(x->env, DIR, FILE_LOG, 3, uuid, &second), EEXIST);
    assert_null(second);
    journal_writer_free(w);
    assert_errno(journal_open(x->env, DIR, FILE_LOG, 4, uuid, &r), ENOENT);
    assert_errno(journal_open(x->env, DIR, FILE_MANIFEST, 3, uuid, &r), ENOENT);
    assert_errno(journal_open(x->env, DIR, FILE_LOG, 3, other_uuid, &r), EIO);
    assert_null(r);
    assert_ok(simdisk_get(x->disk, PATH, &bytes));
    assert_ok(simdisk_put(x->disk, "vol/000004.log", buf_slice(&bytes)));
    assert_ok(simdisk_put(x->disk, "vol/000003.manifest", buf_slice(&bytes)));
    assert_errno(journal_open(x->env, DIR, FILE_LOG, 4, uuid, &r), EIO);
    assert_errno(journal_open(x->env, DIR, FILE_MANIFEST, 3, uuid, &r), EIO);
    assert_ok(journal_open(x->env, DIR, FILE_LOG, 3, NULL, &r));
    journal_reader_free(r);
    memset(bytes.data, 0, bytes.len);
    assert_ok(simdisk_put(x->disk, PATH, buf_slice(&bytes)));
    assert_absent(journal_open(x->env, DIR, FILE_LOG, 3, uuid, &r));
    assert_null(r);
    buf_release(&bytes);
}

static void io_errors_are_no_end(void **state)
{
    struct on_disk *x = *state;
    struct simrng rng = {unit_seed()};
    struct model m;
    struct slice payload;
    struct journal_reader *r;
    small_log(x, &m, &rng);
    struct sim_fault size = {.call = SIM_SIZE, .err = -EIO};
    simdisk_fail(x->disk, &size);
    assert_errno(journal_open(x->env, DIR, FILE_LOG, 3, uuid, &r), EIO);
    r = open_log(x);
    struct sim_fault read = {.call = SIM_READ, .err = -EBADMSG};
    simdisk_fail(x->disk, &read);
    for (int again = 0; again < 2; again++) {
        assert_errno(journal_next(r, &payload), EBADMSG);
        assert_int_equal(journal_end(r), JOURNAL_MORE);
    }
    journal_reader_free(r);
    model_release(&m);
}

/* ---- faults and power cuts ---- */

static void fail_next(struct on_disk *x, enum sim_call call)
{
    struct sim_fault fault = {.call = call, .err = -ENOSPC};
    simdisk_fail(x->disk, &fault);
}

static void a_failed_write_leaves_nothing(void **state)
{
    struct on_disk *x = *state;
    struct journal_writer *w = create(x);
    struct model m = {0};
    struct simrng rng = {unit_seed()};
    for (int i = 0; i < 3; i++)
        model_add(&m, &rng, 2000);
    for (size_t i = 0; i < m.count; i++) {
        for (int j = 0; j < 5; j++)
            journal_add(w, slice_str("a record that must never be read"));
        fail_next(x, SIM_WRITE);
        assert_errno(journal_write(w), ENOSPC);
        assert_true(journal_size(w) == m.at[i]);
        assert_reads(x, &m, i, JOURNAL_CLEAN);
        journal_add(w, buf_slice(&m.records[i]));
        assert_ok(journal_write(w));
        assert_reads(x, &m, i + 1, JOURNAL_CLEAN);
    }
    assert_ok(journal_sync(w));
    journal_writer_free(w);
    model_release(&m);
}

static void assert_spent(struct journal_writer *w)
{
    uint64_t size = journal_size(w);
    journal_add(w, slice_str("too late"));
    assert_errno(journal_write(w), EIO);
    assert_errno(journal_sync(w), EIO);
    assert_true(journal_size(w) == size);
}

static void a_writer_that_cannot_be_trusted_is_spent(void **state)
{
    struct on_disk *x = *state;
    static const enum sim_call second[] = {SIM_TRUNCATE, SIM_SYNC};
    for (int i = 0; i < 2; i++) {
        struct journal_writer *w = create(x);
        journal_add(w, slice_str("never read"));
        fail_next(x, SIM_WRITE);
        fail_next(x, second[i]);
        assert_errno(journal_write(w), ENOSPC);
        assert_spent(w);
        journal_writer_free(w);
        assert_ok(x->env->remove(x->env, PATH));
    }
    struct journal_writer *w = create(x);
    journal_add(w, slice_str("written"));
    assert_ok(journal_write(w));
    fail_next(x, SIM_SYNC);
    assert_errno(journal_sync(w), ENOSPC);
    assert_spent(w);
    journal_writer_free(w);
}

static void syncs_only_what_was_written(void **state)
{
    struct on_disk *x = *state;
    struct journal_writer *w = create(x);
    assert_ok(journal_sync(w)); /* the header */
    fail_next(x, SIM_SYNC);
    assert_ok(journal_sync(w)); /* nothing to do: the fault is not met */
    journal_add(w, slice_str("new"));
    assert_ok(journal_write(w));
    assert_errno(journal_sync(w), ENOSPC);
    journal_writer_free(w);
}

/* A history of equal-sized records, so that a stale one would fit where a new one belongs. */
struct history {
    uint64_t next_id;
    uint64_t written[1000]; /* ids of the records that the journal should have */
    size_t count, synced;
};

static void add_group(struct history *h, struct journal_writer *w, struct simrng *rng,
                      uint64_t group[], size_t *n)
{
    *n = 1 + simrng_below(rng, 4);
    for (size_t i = 0; i < *n; i++) {
        uint8_t payload[176] = {0}; /* with its header 200 bytes: sectors hold several */
        put_u64(payload, group[i] = ++h->next_id);
        journal_add(w, slice_of(payload, sizeof payload));
    }
}

static void history_step(struct history *h, struct journal_writer *w, struct simrng *rng)
{
    uint64_t group[4];
    size_t n;
    uint64_t kind = simrng_below(rng, 8);
    if (kind == 0) {
        add_group(h, w, rng, group, &n);
        journal_discard(w);
    } else if (kind <= 2) {
        if (journal_sync(w) == 0)
            h->synced = h->count;
    } else {
        add_group(h, w, rng, group, &n);
        uint64_t before = journal_size(w);
        if (journal_write(w) == 0) {
            memcpy(h->written + h->count, group, n * sizeof *group);
            h->count += n;
        } else {
            assert_true(journal_size(w) == before);
        }
    }
}

static void random_faults(struct on_disk *x, struct simrng *rng)
{
    static const enum sim_call calls[] = {SIM_WRITE, SIM_WRITE, SIM_SYNC, SIM_TRUNCATE};
    simdisk_heal(x->disk);
    for (uint64_t n = simrng_below(rng, 4); n > 0; n--) {
        struct sim_fault fault = {
            .call = calls[simrng_below(rng, 4)], .after = simrng_below(rng, 6), .err = -EIO};
        simdisk_fail(x->disk, &fault);
    }
}

/* After a crash the journal has a prefix of what was written, no shorter than at the last sync.
 * Records whose write failed are not there, unless the failure could not be undone and was the last
 * word. */
static void assert_history(struct on_disk *x, const struct history *h, bool in_doubt)
{
    struct journal_reader *r;
    struct slice payload;
    size_t n = 0;
    int rc = journal_open(x->env, DIR, FILE_LOG, 3, uuid, &r);
    if (rc != 0) {
        assert_int_equal(h->synced, 0);
        return;
    }
    while (journal_next(r, &payload) == 0) {
        if (n == h->count && in_doubt)
            break;
        assert_true(n < h->count);
        assert_int_equal(payload.len, 176);
        assert_true(get_u64(payload.data) == h->written[n]);
        n++;
    }
    assert_true(n >= h->synced);
    journal_reader_free(r);
}

static void run_history(uint64_t seed)
{
    struct simrng rng = {seed};
    struct on_disk x = {.disk = simdisk_new(seed)};
    struct history h = {0};
    struct journal_writer *w;
    x.env = simdisk_env(x.disk);
    assert_ok(x.env->mkdir(x.env, DIR));
    assert_ok(x.env->sync_dir(x.env, ""));
    assert_ok(journal_create(x.env, DIR, FILE_LOG, 3, uuid, &w));
    assert_ok(x.env->sync_dir(x.env, DIR));
    random_faults(&x, &rng);
    if (simrng_coin(&rng))
        simdisk_cut_at(x.disk, 1 + simrng_below(&rng, 60), SIM_CUT_WITHIN);
    for (uint64_t steps = simrng_below(&rng, 60); steps > 0; steps--)
        history_step(&h, w, &rng);
    simdisk_heal(x.disk);
    uint64_t group[4];
    size_t n;
    add_group(&h, w, &rng, group, &n);
    bool spent = journal_write(w) != 0; /* with no fault left */
    for (size_t i = 0; !spent && i < n; i++)
        h.written[h.count++] = group[i];
    simdisk_crash(x.disk, SIM_RANDOM, simrng_next(&rng));
    journal_writer_free(w);
    assert_history(&x, &h, spent);
    simdisk_free(x.disk);
}

static void history_survives_faults_and_power_cuts(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    for (uint64_t i = 0; i < 5000; i++)
        run_history(seed + i);
}

#define test(name) cmocka_unit_test_setup_teardown(name, on_disk_setup, on_disk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(an_empty_journal),
        test(records_come_back),
        test(reads_are_large),
        test(pending_records_are_not_written),
        test(a_reader_ends_where_the_file_ended),
        test(cut_at_every_byte),
        test(flip_every_bit),
        test(damage_of_many_bytes),
        test(zeros_behind_the_end),
        test(absurd_lengths_are_not_believed),
        test(records_of_another_journal_do_not_count),
        test(compressed_records_are_read),
        test(a_sound_record_that_does_not_decode_is_corruption),
        test(other_files_are_refused),
        test(io_errors_are_no_end),
        test(a_failed_write_leaves_nothing),
        test(a_writer_that_cannot_be_trusted_is_spent),
        test(syncs_only_what_was_written),
        test(history_survives_faults_and_power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
