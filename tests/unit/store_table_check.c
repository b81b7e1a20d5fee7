/* table_check: sound tables have no findings; each kind of fault has its own; no byte may change
 * unseen. */
#include "store/table.h"

#include <errno.h>

#include "tests/unit/logged.h"
#include "tests/unit/table_forge.h"

/* What a check said. */
struct report {
    size_t counts[TABLE_FINDING_PROPERTIES + 1];
    size_t total;
    uint64_t first_offset;
    char first[256];
    size_t refs;
    uint64_t ref_bytes;
    int stop_at;     /* the callback stops the check at the n-th finding; 0: never */
    int stop_at_ref; /* the same for references */
};

static int on_finding(void *ctx, int code, uint64_t offset, const char *text)
{
    struct report *r = ctx;
    assert_in_range(code, 1, TABLE_FINDING_PROPERTIES);
    assert_in_range(strlen(text), 1, 200);
    if (r->total++ == 0) {
        r->first_offset = offset;
        strcpy(r->first, text);
    }
    r->counts[code]++;
    return (int)r->total == r->stop_at ? 42 : 0;
}

static int on_ref(void *ctx, struct slice key, const struct blob_ref *ref)
{
    struct report *r = ctx;
    assert_true(key.len > 0);
    r->refs++;
    r->ref_bytes += ref->where.len;
    return (int)r->refs == r->stop_at_ref ? 43 : 0;
}

static struct report check(struct table *t)
{
    struct report r = {0};
    logged_reset();
    assert_ok(table_check(t, on_finding, on_ref, NULL, &r));
    assert_int_equal(logged.count, 0);
    return r;
}

/* Just this kind of finding, at least once. */
static void assert_only(const struct report *r, enum table_finding code)
{
    if (r->counts[code] == 0 || r->counts[code] != r->total)
        fail_msg("%zu findings, %zu of code %d; the first: %s", r->total, r->counts[code],
                 (int)code, r->first);
}

static void make_with(struct maker *m, int zstd_level, bool parts)
{
    struct simrng rng = {8};
    maker_init(m, 1 << 20);
    m->opt.block_bytes = 300;
    m->opt.strength = strength_plain(zstd_level);
    m->opt.index_whole_bytes = parts;
    maker_fill(m, &rng, 60, 40, 3);
    assert_ok(maker_write(m));
}

static void make(struct maker *m, int zstd_level)
{
    make_with(m, zstd_level, false);
}

static size_t two(struct slice key)
{
    return key.len < 2 ? 0 : 2;
}

static const struct store_prefix two_letters = {.id = 7, .len = two};

static void test_sound_tables(void **state)
{
    struct simrng rng = {unit_seed()};
    struct maker m;
    struct table *t;
    (void)state;
    maker_init(&m, 1 << 20);
    for (int round = 0; round < 40; round++) {
        size_t count = simrng_below(&rng, 4) ? 1 + simrng_below(&rng, 300) : 0;
        m.opt.block_bytes = 1u << simrng_below(&rng, 13);
        m.opt.strength = strength_plain((int)simrng_below(&rng, 3));
        m.opt.filter_one_in = simrng_below(&rng, 3) ? 100 : 0;
        m.opt.filter_whole_keys = simrng_coin(&rng) ? 1 + (uint32_t)simrng_below(&rng, 40) : 0;
        m.opt.index_whole_bytes = simrng_coin(&rng) ? 1 + (uint32_t)simrng_below(&rng, 400) : 0;
        m.opt.prefix = simrng_coin(&rng) ? &two_letters : NULL;
        if (count)
            maker_fill(&m, &rng, count, 1 + simrng_below(&rng, count * 2), simrng_below(&rng, 9));
        else
            maker_tombstone(&m, "a", "b", 7);
        assert_ok(maker_write(&m));
        uint64_t refs = 0, bytes = 0;
        for (uint32_t i = 0; i < m.meta->share_count; i++) {
            refs += m.meta->shares[i].count;
            bytes += m.meta->shares[i].bytes;
        }
        assert_ok(simrng_coin(&rng) ? maker_open(&m, &t) : maker_open_file(&m, &t));
        struct report r = check(t);
        if (r.total)
            fail_msg("%zu findings; the first: %s", r.total, r.first);
        assert_int_equal(r.refs, refs);
        assert_int_equal(r.ref_bytes, bytes);
        assert_ok(table_check(t, on_finding, NULL, &two_letters, &r));
        assert_int_equal(r.total, 0);
        table_unref(t);
        maker_clear(&m);
    }
    maker_release(&m);
}

/* A disk that rots under an open table. */
static void try_each_byte(bool parts)
{
    struct maker m;
    struct table *t;
    make_with(&m, 1, parts);
    assert_ok(maker_open(&m, &t));
    struct iter *it = table_iter_new(t, TABLE_ITER_FILL_CACHE);
    while (it->valid ? iter_next(it) == 0 : iter_first(it) == 0)
        ; /* what is cached does not blind the check */
    iter_free(it);
    for (uint64_t at = 0; at < m.meta->size_bytes; at++) {
        assert_ok(simdisk_flip(m.disk, MAKER_PATH, at, (uint8_t)(1u << at % 8)));
        struct report r = check(t);
        assert_ok(simdisk_flip(m.disk, MAKER_PATH, at, (uint8_t)(1u << at % 8)));
        assert_only(&r, TABLE_FINDING_FRAME);
        assert_int_equal(r.total, 1);
        assert_true(r.first_offset <= at);
    }
    assert_int_equal(check(t).total, 0);
    table_unref(t);
    maker_release(&m);
}

static void test_each_byte(void **state)
{
    (void)state;
    try_each_byte(false);
    try_each_byte(true);
}

static void try_each_length(bool parts)
{
    struct maker m;
    struct table *t;
    make_with(&m, 0, parts);
    assert_ok(maker_open(&m, &t));
    for (uint64_t len = m.meta->size_bytes; len-- > 0;) {
        assert_ok(simdisk_truncate(m.disk, MAKER_PATH, len));
        struct report r = check(t);
        assert_only(&r, TABLE_FINDING_FRAME);
    }
    table_unref(t);
    maker_release(&m);
}

static void test_each_length(void **state)
{
    (void)state;
    try_each_length(false);
    try_each_length(true);
}

static void test_stops(void **state)
{
    struct maker m;
    struct table *t;
    (void)state;
    make(&m, 0);
    assert_ok(maker_open(&m, &t));
    struct report r = {.stop_at_ref = 2};
    assert_int_equal(table_check(t, on_finding, on_ref, NULL, &r), 43);
    assert_int_equal(r.refs, 2);
    simdisk_fail(m.disk, &(struct sim_fault){SIM_READ, NULL, 4, -EREMOTEIO, true});
    r = (struct report){0};
    logged_reset();
    assert_errno(table_check(t, on_finding, on_ref, NULL, &r), EREMOTEIO);
    assert_int_equal(r.total, 0);
    simdisk_heal(m.disk);
    assert_ok(simdisk_truncate(m.disk, MAKER_PATH, 500));
    for (int stop_at = 1; stop_at < 5; stop_at++) {
        r = (struct report){.stop_at = stop_at};
        assert_int_equal(table_check(t, on_finding, on_ref, NULL, &r), 42);
        assert_int_equal(r.total, stop_at);
    }
    table_unref(t);
    maker_release(&m);
}

/* ---- one fault of each kind, under sound checksums ---- */

static struct report check_forged(struct maker *m, struct forge *f)
{
    struct table *t;
    forge_install(f, m);
    assert_ok(maker_open(m, &t));
    struct report r = check(t);
    table_unref(t);
    return r;
}

static bool drop_second(size_t nth, struct entry *e)
{
    (void)e;
    return nth != 1;
}

static bool break_ref(size_t nth, struct entry *e)
{
    (void)nth;
    if (entry_type_is_blob(e->type))
        e->value = slice_str("\377\377no reference");
    return true;
}

static bool to_delete(size_t nth, struct entry *e)
{
    (void)nth;
    e->type = ENTRY_DELETE;
    return true;
}

static bool to_tombstone(size_t nth, struct entry *e)
{
    if (nth == 0)
        e->type = ENTRY_RANGE_DELETE;
    return true;
}

static bool rename_key(size_t nth, struct entry *e)
{
    if (nth == 0)
        e->key = slice_str("Nobody knows this key");
    return true;
}

static void fault_frame(struct forge *f)
{
    f->blocks[1].payload.len -= 3; /* and so what decodes is no block */
}

/* The print of the first entry in a block is wrong: a point read would not find it. */
static void fault_print(struct forge *f)
{
    struct block block;
    assert_ok(block_open(buf_slice(&f->blocks[0].payload), &block));
    assert_non_null(block.prints);
    f->blocks[0].payload.data[block.prints - f->blocks[0].payload.data] ^= 1;
}

static void fault_gap(struct forge *f)
{
    f->blocks[2].gap_before = 7;
}

static void fault_order(struct forge *f)
{
    forge_change_block(f, 2, to_tombstone);
}

static void fault_separator(struct forge *f)
{
    f->blocks[1].key.len--; /* and so it is below the block's last key */
}

/* The separator moves up to the first key of the next block. */
static void fault_separator_before(struct forge *f)
{
    struct block block;
    struct block_iter bi;
    assert_ok(block_open(buf_slice(&f->blocks[1].payload), &block));
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    assert_ok(iter_first(&bi.it));
    buf_set(&f->blocks[0].key, bi.it.e.key);
    f->blocks[0].seq = bi.it.e.seq;
    block_iter_release(&bi);
}

static void fault_max_seq(struct forge *f)
{
    f->blocks[1].handle.max_seq++;
}

static void fault_min_seq(struct forge *f)
{
    assert_true(f->blocks[1].handle.min_seq > 0);
    f->blocks[1].handle.min_seq--;
}

static void fault_blob_ref(struct forge *f)
{
    for (size_t i = 0; i < f->block_count; i++)
        forge_change_block(f, i, break_ref);
}

static void fault_tombstones(struct forge *f)
{
    struct rangedel_builder *b = rangedel_builder_new();
    struct rangedel *r;
    size_t count;
    assert_ok(rangedel_decode(buf_slice(&f->rangedel), &r));
    count = rangedel_count(r);
    rangedel_unref(r);
    for (size_t i = 0; i < count; i++) { /* past the table's limit */
        char start[3] = {'z', (char)('a' + i)}, end[3] = {'z', (char)('b' + i)};
        rangedel_builder_add(b, slice_str(start), slice_str(end), 7 + i);
    }
    r = rangedel_build(b);
    assert_int_equal(rangedel_count(r), count);
    buf_clear(&f->rangedel);
    rangedel_encode(r, &f->rangedel);
    rangedel_unref(r);
    rangedel_builder_free(b);
}

static void fault_properties(struct forge *f)
{
    struct table_meta *m;
    assert_ok(table_meta_decode(buf_slice(&f->props), &m));
    m->raw_bytes++;
    buf_clear(&f->props);
    table_meta_encode(m, &f->props);
    table_meta_unref(m);
}

static void fault_dropped_entry(struct forge *f)
{
    forge_change_block(f, 1, drop_second);
}

static void fault_changed_types(struct forge *f)
{
    forge_change_block(f, 0, to_delete);
}

static void fault_no_properties(struct forge *f)
{
    buf_clear(&f->props);
}

static void test_faults(void **state)
{
    static const struct {
        void (*fault)(struct forge *f);
        enum table_finding code;
    } faults[] = {
        {fault_frame, TABLE_FINDING_BLOCK},
        {fault_print, TABLE_FINDING_BLOCK},
        {fault_gap, TABLE_FINDING_LAYOUT},
        {fault_order, TABLE_FINDING_ORDER},
        {fault_separator, TABLE_FINDING_SEPARATOR},
        {fault_separator_before, TABLE_FINDING_SEPARATOR},
        {fault_max_seq, TABLE_FINDING_SEQ_BOUNDS},
        {fault_min_seq, TABLE_FINDING_SEQ_BOUNDS},
        {fault_blob_ref, TABLE_FINDING_BLOB_REF},
        {fault_tombstones, TABLE_FINDING_TOMBSTONES},
        {fault_properties, TABLE_FINDING_PROPERTIES},
        {fault_dropped_entry, TABLE_FINDING_PROPERTIES},
        {fault_changed_types, TABLE_FINDING_PROPERTIES},
        {fault_no_properties, TABLE_FINDING_PROPERTIES},
    };
    struct maker m;
    (void)state;
    make(&m, 0);
    struct buf bytes = maker_bytes(&m);
    struct forge *none = forge_new(buf_slice(&bytes));
    assert_int_equal(check_forged(&m, none).total, 0);
    forge_free(none);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct forge *f = forge_new(buf_slice(&bytes));
        faults[i].fault(f);
        struct report r = check_forged(&m, f);
        if (r.counts[faults[i].code] == 0)
            fail_msg("fault %zu, code %d, was not found; %zu findings, the first: %s", i,
                     (int)faults[i].code, r.total, r.first);
        forge_free(f);
    }
    buf_release(&bytes);
    maker_release(&m);
}

/* Properties hold nothing that the file's name, size and footer say already. */
static void test_properties_alone(void **state)
{
    struct maker m;
    struct table_meta *props;
    (void)state;
    make(&m, 0);
    struct buf bytes = maker_bytes(&m);
    struct forge *f = forge_new(buf_slice(&bytes));
    assert_ok(table_meta_decode(buf_slice(&f->props), &props));
    assert_int_equal(props->number, 0);
    assert_int_equal(props->size_bytes, 0);
    assert_int_equal(props->tag, 0);
    assert_int_equal(props->entry_count, m.count);
    table_meta_unref(props);
    forge_free(f);
    buf_release(&bytes);
    maker_release(&m);
}

/* A key that the filter was not built over. */
static void test_filter_fault(void **state)
{
    struct maker m;
    (void)state;
    make(&m, 0);
    struct buf bytes = maker_bytes(&m);
    struct forge *f = forge_new(buf_slice(&bytes));
    uint64_t none = 0;
    buf_clear(&f->filter);
    filter_build(&none, 0, 100, &f->filter);
    struct report r = check_forged(&m, f);
    assert_only(&r, TABLE_FINDING_FILTER);
    assert_int_equal(r.total, m.count);
    forge_free(f);
    f = forge_new(buf_slice(&bytes));
    forge_change_block(f, 0, rename_key);
    r = check_forged(&m, f);
    assert_int_equal(r.counts[TABLE_FINDING_FILTER], 1);
    forge_free(f);
    buf_release(&bytes);
    maker_release(&m);
}

/* Blocks in the wrong order, and what the manifest says against what the file says. */
static void test_swapped_blocks_and_manifest(void **state)
{
    struct maker m;
    struct table *t;
    (void)state;
    make(&m, 0);
    struct buf bytes = maker_bytes(&m);
    struct forge *f = forge_new(buf_slice(&bytes));
    struct buf first = f->blocks[1].payload;
    f->blocks[1].payload = f->blocks[2].payload;
    f->blocks[2].payload = first;
    struct report r = check_forged(&m, f);
    assert_true(r.counts[TABLE_FINDING_ORDER] > 0);
    assert_true(r.counts[TABLE_FINDING_SEPARATOR] > 0);
    forge_free(f);
    f = forge_new(buf_slice(&bytes));
    m.meta->raw_bytes += 5;
    buf_put_u8(&m.meta->limit, 0);
    r = check_forged(&m, f);
    assert_only(&r, TABLE_FINDING_PROPERTIES);
    assert_int_equal(r.total, 2);
    assert_non_null(strstr(r.first, "the manifest"));
    assert_ok(maker_open_file(&m, &t));
    assert_int_equal(check(t).total, 0); /* the file agrees with itself */
    table_unref(t);
    forge_free(f);
    buf_release(&bytes);
    maker_release(&m);
}

/* Any payload changed under sound checksums: the check ends and harms nothing. */
static void test_scribbled_payloads(void **state)
{
    struct simrng rng = {unit_seed()};
    struct maker m;
    struct table *t;
    size_t found = 0, opened = 0;
    (void)state;
    make(&m, 0);
    struct buf bytes = maker_bytes(&m);
    for (int round = 0; round < 3000; round++) {
        struct forge *f = forge_new(buf_slice(&bytes));
        struct buf *parts[] = {&f->filter, &f->rangedel, &f->props,
                               &f->blocks[simrng_below(&rng, f->block_count)].payload};
        struct buf *part = parts[simrng_below(&rng, 4)];
        uint8_t *at = &part->data[simrng_below(&rng, part->len)];
        *at = (uint8_t)(*at ^ (1 + simrng_below(&rng, 255)));
        forge_install(f, &m);
        logged_reset();
        int rc = simrng_coin(&rng) ? maker_open(&m, &t) : maker_open_file(&m, &t);
        if (rc == 0) {
            opened++;
            found += check(t).total > 0;
            table_unref(t);
        }
        forge_free(f);
    }
    assert_true(found > opened / 4);
    buf_release(&bytes);
    maker_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_tables),
        cmocka_unit_test(test_each_byte),
        cmocka_unit_test(test_each_length),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_properties_alone),
        cmocka_unit_test(test_filter_fault),
        cmocka_unit_test(test_swapped_blocks_and_manifest),
        cmocka_unit_test(test_scribbled_payloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
