/* table, damaged: each byte changed, each length cut, and parts that are wrong under sound
 * checksums. Reading gives -EIO, with the file named, or what was written; it never gives anything
 * else where a checksum tells, and never does harm where none can. */
#include "store/table.h"

#include <errno.h>

#include "tests/unit/logged.h"
#include "tests/unit/table_forge.h"

/* ---- reading that may fail but may not lie ---- */

/* Returns whether anything failed. */
static bool try_forward(const struct maker *m, struct iter *it)
{
    int rc = iter_first(it);
    for (size_t i = 0; rc == 0; i++) {
        assert_true(i < m->count && maker_same_entry(&it->e, &m->entries[i]));
        rc = iter_next(it);
        assert_true(rc != 1 || i + 1 == m->count);
    }
    assert_true(rc == 1 || rc == -EIO);
    return rc < 0;
}

static bool try_backward(const struct maker *m, struct iter *it)
{
    int rc = iter_last(it);
    for (size_t i = m->count; rc == 0; i--) {
        assert_true(i > 0 && maker_same_entry(&it->e, &m->entries[i - 1]));
        rc = iter_prev(it);
        assert_true(rc != 1 || i == 1);
    }
    assert_true(rc == 1 || rc == -EIO);
    return rc < 0;
}

static bool try_seeks(const struct maker *m, struct iter *it)
{
    bool failed = false;
    for (size_t i = 0; i < m->count; i++) {
        int rc = iter_seek(it, m->entries[i].key, m->entries[i].seq);
        assert_true(rc == 0 ? maker_same_entry(&it->e, &m->entries[i]) : rc == -EIO);
        failed = failed || rc;
    }
    return failed;
}

static bool try_gets(const struct maker *m, struct table *t)
{
    bool failed = false;
    for (size_t i = 0; i < m->count; i++) {
        struct lookup l;
        uint64_t read_seq = m->entries[i].seq + 1;
        struct maker_answer a = maker_lookup(m, m->entries[i].key, read_seq);
        lookup_init(&l, m->entries[i].key, read_seq);
        int rc = table_get(t, &l);
        assert_true(rc == 0 ? maker_same_answer(&l, &a) : rc == -EIO);
        failed = failed || rc;
        lookup_release(&l, m->cache);
    }
    return failed;
}

/* Reads the table in every way. Whether anything failed, which must have been logged. */
static bool try_all(struct maker *m, bool by_meta)
{
    struct table *t;
    logged_reset();
    int rc = by_meta ? maker_open(m, &t) : maker_open_file(m, &t);
    bool failed = rc != 0;
    assert_true(rc == 0 || rc == -EIO || rc == -EPROTONOSUPPORT);
    if (rc == 0) {
        cache_set_capacity(m->cache, 0); /* every read is one of the disk */
        for (int flags = 0; flags < 4; flags++) {
            struct iter *it = table_iter_new(t, flags);
            failed = try_forward(m, it) || failed;
            failed = try_backward(m, it) || failed;
            failed = try_seeks(m, it) || failed;
            iter_free(it);
        }
        failed = try_gets(m, t) || failed;
        table_unref(t);
    }
    if (failed)
        assert_logged("000012.table");
    assert_int_equal(simdisk_open_files(m->disk), 0);
    return failed;
}

/* A table small enough to try everything on each of its bytes, with all kinds of sections. */
static void make_small(struct maker *m, size_t count, int zstd_level, bool parts)
{
    struct simrng rng = {7};
    maker_init(m, 0);
    m->opt.block_bytes = 200;
    m->opt.strength = strength_plain(zstd_level);
    m->opt.index_whole_bytes = parts;
    maker_fill(m, &rng, count, count, 2);
    maker_tombstone(m, "a", "b", 5);
    assert_ok(maker_write(m));
    assert_false(try_all(m, true));
    assert_false(try_all(m, false));
}

static void test_each_byte(void **state)
{
    struct maker m;
    (void)state;
    for (int way = 0; way < 4; way++) {
        make_small(&m, 12, way % 2, way / 2);
        struct buf bytes = maker_bytes(&m);
        struct forge *f = forge_new(buf_slice(&bytes));
        struct frame_ref props = f->footer.props;
        for (uint64_t at = 0; at < m.meta->size_bytes; at++) {
            /* The properties are not read when the manifest has them. */
            for (int by_meta = 0; by_meta < 2; by_meta++) {
                uint8_t mask = (uint8_t)(1u << (at * 5 + (uint64_t)by_meta) % 8);
                assert_ok(simdisk_flip(m.disk, MAKER_PATH, at, mask));
                bool failed = try_all(&m, by_meta);
                assert_ok(simdisk_flip(m.disk, MAKER_PATH, at, mask));
                assert_true(failed ||
                            (by_meta && at >= props.offset && at - props.offset < props.len));
            }
        }
        forge_free(f);
        buf_release(&bytes);
        assert_false(try_all(&m, true));
        maker_release(&m);
    }
}

static void test_each_length(void **state)
{
    struct maker m;
    (void)state;
    make_small(&m, 12, 0, false);
    struct buf bytes = maker_bytes(&m);
    for (size_t len = 0; len < bytes.len; len++) {
        assert_ok(simdisk_put(m.disk, MAKER_PATH, slice_of(bytes.data, len)));
        assert_true(try_all(&m, true));
        assert_true(try_all(&m, false));
        if (len >= FILE_HEADER_SIZE && len < FILE_HEADER_SIZE + TABLE_FOOTER_SIZE)
            assert_logged("too short");
        m.meta->size_bytes = len; /* as if the manifest knew no better */
        assert_true(try_all(&m, true));
        m.meta->size_bytes = bytes.len;
    }
    buf_put_u8(&bytes, 0);
    assert_ok(simdisk_put(m.disk, MAKER_PATH, buf_slice(&bytes)));
    assert_true(try_all(&m, true));
    assert_true(try_all(&m, false));
    buf_release(&bytes);
    maker_release(&m);
}

/* A frame in another's place, of the same file or of another, is refused. */
static void test_moved_frames(void **state)
{
    struct maker m;
    (void)state;
    make_small(&m, 12, 0, false);
    struct buf bytes = maker_bytes(&m), moved = {0};
    struct forge *f = forge_new(buf_slice(&bytes));
    struct frame_ref a = f->blocks[0].handle.where, b = f->blocks[1].handle.where;
    uint32_t len = a.len < b.len ? a.len : b.len;
    buf_append(&moved, buf_slice(&bytes));
    memcpy(moved.data + b.offset, bytes.data + a.offset, len);
    assert_ok(simdisk_put(m.disk, MAKER_PATH, buf_slice(&moved)));
    assert_true(try_all(&m, true));
    forge_free(f);
    buf_release(&moved);
    /* The same contents as another file: the same sizes, another salt. */
    assert_ok(m.env->remove(m.env, MAKER_PATH));
    table_meta_unref(m.meta);
    m.meta = NULL;
    assert_ok(maker_write(&m));
    struct buf twin = maker_bytes(&m);
    assert_int_equal(twin.len, bytes.len);
    memcpy(twin.data + a.offset, bytes.data + a.offset, a.len);
    assert_ok(simdisk_put(m.disk, MAKER_PATH, buf_slice(&twin)));
    assert_true(try_all(&m, true));
    buf_release(&twin);
    buf_release(&bytes);
    maker_release(&m);
}

/* ---- wrong under sound checksums ---- */

/* Reads whatever can be read: no harm is done, forward moves keep the order, and moves end. */
static void read_harmless(struct maker *m)
{
    struct table *t;
    struct buf last = {0};
    logged_reset();
    int rc = maker_open(m, &t);
    assert_true(rc == 0 || rc == -EIO);
    if (rc)
        return;
    for (int flags = 0; flags < 4; flags += 3) {
        struct iter *it = table_iter_new(t, flags);
        uint64_t last_seq = 0;
        rc = iter_first(it);
        for (bool first = true; rc == 0; first = false) {
            if (!first)
                assert_true(entry_cmp(buf_slice(&last), last_seq, it->e.key, it->e.seq) < 0);
            assert_true(it->e.type < ENTRY_RANGE_DELETE);
            buf_set(&last, it->e.key);
            last_seq = it->e.seq;
            rc = iter_next(it);
        }
        size_t n = 0;
        for (rc = iter_last(it); rc == 0; rc = iter_prev(it))
            assert_true(++n < 100000);
        for (size_t i = 0; i < m->count; i++) {
            rc = iter_seek(it, m->entries[i].key, m->entries[i].seq);
            if (rc == 0)
                rc = i % 2 ? iter_next(it) : iter_prev(it);
            assert_true(rc == 0 || rc == 1 || rc == -EIO);
        }
        iter_free(it);
    }
    for (size_t i = 0; i < m->count; i++) {
        struct lookup l;
        lookup_init(&l, m->entries[i].key, m->entries[i].seq + 1);
        logged_reset();
        rc = table_get(t, &l);
        assert_true(rc == 0 || rc == -EIO);
        assert_int_equal(logged.count, rc ? 1 : 0);
        lookup_release(&l, m->cache);
    }
    table_range_bytes(t, m->entries[0].key, m->entries[m->count - 1].key);
    buf_release(&last);
    table_unref(t);
}

/* Changes some bytes of a payload, or its length. */
static void scribble(struct buf *b, struct simrng *rng)
{
    size_t changes = 1 + simrng_below(rng, 3);
    for (size_t i = 0; i < changes && b->len; i++) {
        uint8_t *at = &b->data[simrng_below(rng, b->len)];
        uint64_t how = simrng_below(rng, 4);
        *at = how == 0   ? 0xff
              : how == 1 ? 0
              : how == 2 ? (uint8_t)(*at + 1)
                         : (uint8_t)simrng_next(rng);
    }
    if (simrng_below(rng, 10) == 0 && b->len)
        b->len = simrng_below(rng, b->len);
    if (simrng_below(rng, 10) == 0)
        buf_put_u64(b, simrng_next(rng));
}

static void test_scribbled_payloads(void **state)
{
    struct simrng rng = {unit_seed()};
    struct maker m;
    (void)state;
    make_small(&m, 60, 0, false);
    cache_set_capacity(m.cache, 1 << 20);
    struct buf bytes = maker_bytes(&m);
    for (int round = 0; round < 4000; round++) {
        struct forge *f = forge_new(buf_slice(&bytes));
        struct buf *parts[] = {&f->filter, &f->rangedel, &f->index,
                               &f->blocks[simrng_below(&rng, f->block_count)].payload};
        struct buf *part = parts[simrng_below(&rng, 4)];
        if (part == &f->index) {
            forge_install(f, &m); /* gives the blocks their places */
            forge_make_index(f, &f->index);
        }
        scribble(part, &rng);
        forge_install(f, &m);
        read_harmless(&m);
        forge_free(f);
    }
    buf_release(&bytes);
    maker_release(&m);
}

static void expect_refused(struct maker *m, struct forge *f, const char *why)
{
    struct table *t;
    forge_install(f, m);
    logged_reset();
    assert_errno(maker_open(m, &t), EIO);
    assert_logged("000012.table");
    assert_logged(why);
    read_harmless(m);
}

/* Handles that lead astray. Each change is taken back by the next one. */
static void test_bad_handles(void **state)
{
    struct maker m;
    (void)state;
    make_small(&m, 60, 0, false);
    struct buf bytes = maker_bytes(&m);
    struct forge *f = forge_new(buf_slice(&bytes));
    size_t last = f->block_count - 1;
    assert_true(last > 3);
    f->blocks[2].shift = -1;
    expect_refused(&m, f, "reaches into another");
    f->blocks[2].shift = 0;
    f->blocks[0].shift = -1;
    expect_refused(&m, f, "reaches into another");
    f->blocks[0].shift = 0;
    f->blocks[last].shift = 1;
    expect_refused(&m, f, "outside the data");
    f->blocks[last].shift = INT64_MAX;
    expect_refused(&m, f, "outside the data");
    f->blocks[last].shift = -(int64_t)f->blocks[last].handle.where.offset - 5; /* wraps around */
    expect_refused(&m, f, "outside the data");
    f->blocks[last].shift = 0;
    f->blocks[last].stretch = 1;
    expect_refused(&m, f, "outside the data");
    f->blocks[last].stretch = (int64_t)(UINT32_MAX - f->blocks[last].handle.where.len);
    expect_refused(&m, f, "outside the data");
    f->blocks[last].stretch = FRAME_HEADER_SIZE - 1 - (int64_t)f->blocks[last].handle.where.len;
    expect_refused(&m, f, "shorter than a frame header");
    f->blocks[last].stretch = 0;
    f->blocks[1].handle.max_seq = SEQ_MAX + 1;
    expect_refused(&m, f, "no block handle");
    f->blocks[1].handle.max_seq = 0;
    f->blocks[1].handle.min_seq = 0;
    f->blocks[1].junk = true;
    expect_refused(&m, f, "no block handle");
    f->blocks[1].junk = false;
    f->no_index = true;
    expect_refused(&m, f, "number of entries");
    f->no_index = false;
    buf_append(&f->index, buf_slice(&f->blocks[0].payload)); /* entries of another kind */
    expect_refused(&m, f, "no block handle");
    buf_clear(&f->index);
    forge_make_index(f, &f->index);
    f->index.data[0] = 100; /* the first key cannot share bytes with one before */
    expect_refused(&m, f, "index block does not decode");
    buf_clear(&f->index);
    forge_make_index(f, &f->index);
    struct block block;
    assert_ok(block_open(buf_slice(&f->index), &block));
    f->index.data[get_u32(block.restarts + 4 * last)] = 100; /* nor the last so many */
    expect_refused(&m, f, "index block does not decode");
    forge_free(f);
    buf_release(&bytes);
    maker_release(&m);
}

static void footer_astray(struct table_footer *footer)
{
    footer->index.offset = UINT64_MAX - 10;
}

static void footer_far_away(struct table_footer *footer)
{
    footer->index.offset = UINT64_C(1) << 40;
}

static void footer_too_long(struct table_footer *footer)
{
    footer->filter.len = UINT32_MAX;
}

static void footer_into_header(struct table_footer *footer)
{
    footer->rangedel.offset = 8;
}

static void footer_swapped(struct table_footer *footer)
{
    struct frame_ref filter = footer->filter;
    footer->filter = footer->rangedel;
    footer->rangedel = filter;
}

static void test_bad_footers(void **state)
{
    static const struct {
        void (*tamper)(struct table_footer *footer);
        const char *why;
    } cases[] = {
        {footer_astray, "not verify"},         {footer_far_away, "outside the file"},
        {footer_too_long, "outside the file"}, {footer_into_header, "outside the file"},
        {footer_swapped, "not decode"},
    };
    struct maker m;
    (void)state;
    make_small(&m, 20, 0, false);
    struct buf bytes = maker_bytes(&m);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct forge *f = forge_new(buf_slice(&bytes));
        f->tamper_footer = cases[i].tamper;
        expect_refused(&m, f, cases[i].why);
        forge_free(f);
    }
    buf_release(&bytes);
    maker_release(&m);
}

static bool to_tombstone(size_t nth, struct entry *e)
{
    (void)nth;
    e->type = ENTRY_RANGE_DELETE;
    return true;
}

static bool drop(size_t nth, struct entry *e)
{
    (void)nth;
    (void)e;
    return false;
}

/* Blocks that decode, but are not what the index says. */
static void test_bad_blocks(void **state)
{
    struct maker m;
    struct table *t;
    (void)state;
    make_small(&m, 60, 0, false);
    struct buf bytes = maker_bytes(&m);
    for (int kind = 0; kind < 4; kind++) {
        struct forge *f = forge_new(buf_slice(&bytes));
        if (kind == 0)
            forge_change_block(f, 1, to_tombstone);
        if (kind == 1)
            forge_change_block(f, 1, drop); /* an empty block is passed over */
        for (size_t i = 0; kind == 3 && i < f->block_count; i++)
            if (i < 2 || i > 4) /* and so are several, at both ends */
                forge_change_block(f, i, drop);
        if (kind == 2) {
            struct buf first = f->blocks[1].payload;
            f->blocks[1].payload = f->blocks[2].payload;
            f->blocks[2].payload = first;
        }
        forge_install(f, &m);
        read_harmless(&m);
        assert_ok(maker_open(&m, &t));
        logged_reset();
        struct iter *it = table_iter_new(t, 0);
        size_t forward = 0, backward = 0;
        int rc;
        for (rc = iter_first(it); rc == 0; rc = iter_next(it))
            forward++;
        assert_int_equal(rc, kind % 2 ? 1 : -EIO);
        assert_int_equal(iter_seek(it, slice_str(""), 0), 0);
        for (rc = iter_last(it); rc == 0; rc = iter_prev(it))
            backward++;
        assert_int_equal(rc, kind % 2 ? 1 : -EIO);
        assert_true(forward > 0 && backward > 0);
        if (kind % 2)
            assert_int_equal(forward, backward);
        if (kind % 2 == 0)
            assert_logged("000012.table is damaged at offset");
        iter_free(it);
        table_unref(t);
        forge_free(f);
    }
    buf_release(&bytes);
    maker_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_byte),    cmocka_unit_test(test_each_length),
        cmocka_unit_test(test_moved_frames), cmocka_unit_test(test_scribbled_payloads),
        cmocka_unit_test(test_bad_handles),  cmocka_unit_test(test_bad_footers),
        cmocka_unit_test(test_bad_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
