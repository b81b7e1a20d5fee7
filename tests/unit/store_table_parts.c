/* table, with an index in parts: what of it is in memory, what is read when, what is kept in the
 * cache, and parts that are not what the top says under sound checksums. That it reads as any other
 * table is shown by store_table.c, store_reading.c and the others, which cut indexes at random. */
#include "store/table.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/logged.h"
#include "tests/unit/table_forge.h"

enum { KEYS = 3000 };

static struct slice key_of(char name[32], int i)
{
    snprintf(name, 32, "key %06d", i);
    return slice_str(name);
}

/* One entry of each key, each block of a few; `count` keys. */
static void make(struct maker *m, int count, uint32_t index_whole_bytes)
{
    char name[32];
    maker_init(m, 8 << 20);
    m->opt.block_bytes = 150;
    m->opt.strength = strength_plain(0);
    m->opt.index_whole_bytes = index_whole_bytes;
    m->opt.filter_one_in = 0;
    for (int i = 0; i < count; i++)
        maker_add(m, key_of(name, i), (uint64_t)(i + 1), ENTRY_PUT, slice_str("the value"));
    assert_ok(maker_write(m));
}

static struct cache_stats stats_of(const struct maker *m)
{
    struct cache_stats s;
    cache_stats(m->cache, &s);
    return s;
}

static int get(const struct maker *m, struct table *t, int i)
{
    char name[32];
    struct lookup l;
    lookup_init(&l, key_of(name, i), SEQ_MAX);
    int err = table_get(t, &l);
    assert_true(err < 0 || l.state == LOOKUP_FOUND);
    lookup_release(&l, m->cache);
    return err;
}

/* ---- memory ---- */

/* What an open table takes does not grow with it: twenty times the keys, the same memory but for
 * one entry a part. */
static void test_memory_does_not_grow(void **state)
{
    uint64_t bytes[2];
    (void)state;
    for (int large = 0; large < 2; large++) {
        struct maker m;
        struct table *t;
        make(&m, large ? 60000 : 3000, large ? 16 << 10 : 1 << 20);
        assert_ok(maker_open(&m, &t));
        bytes[large] = table_memory_bytes(t);
        assert_ok(get(&m, t, 2999));
        table_unref(t);
        maker_release(&m);
    }
    assert_true(bytes[1] < bytes[0]);
}

static void test_cut_only_past_the_threshold(void **state)
{
    (void)state;
    for (int parts = 0; parts < 2; parts++) {
        struct maker m;
        struct table *t;
        make(&m, KEYS, parts ? 8 << 10 : 1 << 20);
        assert_ok(maker_open(&m, &t));
        assert_int_equal(stats_of(&m).items, 0);
        assert_ok(get(&m, t, 5));
        assert_int_equal(stats_of(&m).items, parts ? 2 : 1);
        table_unref(t);
        maker_release(&m);
    }
}

/* ---- what is kept ---- */

/* How many of the reads of keys far apart find their part of the index, after much else was read.
 */
static uint64_t misses_after_a_flood(struct maker *m, struct table *t)
{
    for (int i = 0; i < KEYS; i += 100)
        assert_ok(get(m, t, i));
    for (uint64_t i = 0; i < 4000; i++) { /* twice: what is used again displaces what is not */
        char junk[1000] = {0};
        cache_release(m->cache, cache_put(m->cache, 999, i / 2, slice_of(junk, sizeof junk)));
        struct cache_item *again = cache_get(m->cache, STORE_CACHE_BLOCK, 999, i / 2);
        if (again)
            cache_release(m->cache, again);
    }
    uint64_t before = stats_of(m).misses;
    struct iter *it = table_iter_new(t, 0);
    char name[32];
    for (int i = 0; i < KEYS; i += 100)
        assert_ok(iter_seek(it, key_of(name, i), SEQ_MAX));
    iter_free(it);
    return stats_of(m).misses - before;
}

static void test_kept_on_upper_levels(void **state)
{
    uint64_t misses[2];
    (void)state;
    for (int upper = 0; upper < 2; upper++) {
        struct maker m;
        struct table *t;
        make(&m, KEYS, 200);
        cache_set_capacity(m.cache, 1 << 20);
        assert_ok(maker_open(&m, &t));
        table_set_upper(t, upper);
        misses[upper] = misses_after_a_flood(&m, t);
        assert_true(upper ? stats_of(&m).kept_bytes > 0 : stats_of(&m).kept_bytes == 0);
        assert_true(stats_of(&m).kept_bytes <= stats_of(&m).capacity_bytes / 4);
        table_set_upper(t, false);
        assert_int_equal(stats_of(&m).kept_bytes, 0);
        /* A read that was on its way while the table sank: nothing of it outlives the table. */
        table_set_upper(t, true);
        assert_ok(get(&m, t, 7));
        cache_set_capacity(m.cache, 0);
        cache_set_capacity(m.cache, 1 << 20);
        assert_ok(get(&m, t, 7));
        assert_true(stats_of(&m).kept_bytes > 0);
        table_unref(t);
        assert_int_equal(stats_of(&m).kept_bytes, 0);
        maker_release(&m);
    }
    /* The blocks are gone in both cases, which does not count, and with them, below, the parts. */
    assert_true(misses[0] > misses[1] + 10);
}

/* ---- what is not read ---- */

/* A scan for what is new reads no part of the index without it: these may even be damaged. */
static void test_since_passes_over_parts(void **state)
{
    struct maker m;
    struct table *t;
    struct table_since_counts counts = {0};
    (void)state;
    make(&m, KEYS, 2000);
    assert_ok(maker_open(&m, &t));
    struct iter *it = table_since_iter_new(t, KEYS - 1, KEYS + 1, &counts);
    assert_ok(iter_first(it));
    assert_int_equal(it->e.seq, KEYS - 1);
    assert_ok(iter_next(it));
    assert_absent(iter_next(it));
    iter_free(it);
    assert_true(counts.blocks_read <= 2 && counts.blocks_skipped > 300);
    assert_int_equal(stats_of(&m).items, 1);
    table_unref(t);
    maker_release(&m);
}

/* ---- damage ---- */

/* Each key of the damaged part is -EIO, with file and place; each other key is found, and so are
 * all once the part is sound again. */
static void test_damaged_part(void **state)
{
    struct maker m;
    struct table *t;
    char place[64];
    (void)state;
    make(&m, KEYS, 2000);
    struct buf bytes = maker_bytes(&m);
    struct forge *f = forge_new(buf_slice(&bytes)); /* its blocks are the parts */
    struct frame_ref where = f->blocks[3].handle.where;
    assert_true(f->block_count > 5);
    assert_ok(simdisk_flip(m.disk, MAKER_PATH, where.offset + where.len - 3, 4));
    assert_ok(maker_open(&m, &t));
    snprintf(place, sizeof place, "%llu", (unsigned long long)where.offset);
    int failed = 0, first = -1;
    for (int i = 0; i < KEYS; i++) {
        logged_reset();
        int err = get(&m, t, i);
        assert_true(err == 0 || err == -EIO);
        if (err == 0)
            continue;
        assert_logged(MAKER_PATH);
        assert_logged(place);
        first = first < 0 ? i : first;
        failed++;
    }
    assert_true(failed > 50 && failed < KEYS / 3);
    char name[32];
    struct iter *it = table_iter_new(t, 0);
    assert_ok(iter_seek(it, key_of(name, first - 1), SEQ_MAX));
    assert_int_equal(iter_next(it), -EIO);
    assert_int_equal(iter_seek(it, key_of(name, first), SEQ_MAX), -EIO);
    assert_ok(iter_seek(it, key_of(name, first + failed), SEQ_MAX));
    assert_int_equal(iter_prev(it), -EIO);
    iter_free(it);
    /* Sizes are a guess there, and never a fault. */
    assert_true(table_range_bytes(t, key_of(name, 0), (struct slice){0}) > 10000);
    assert_true(table_range_bytes(t, key_of(name, first + 1), (struct slice){0}) < bytes.len);
    assert_ok(simdisk_flip(m.disk, MAKER_PATH, where.offset + where.len - 3, 4));
    for (int i = 0; i < KEYS; i++)
        assert_ok(get(&m, t, i));
    table_unref(t);
    forge_free(f);
    buf_release(&bytes);
    maker_release(&m);
}

/* ---- what no checksum finds ---- */

struct part {
    struct buf payload, key;
    uint64_t seq;
    struct block_handle handle;
    uint32_t blocks;
};

static void take_parts(struct forge *f, struct part *parts)
{
    for (size_t i = 0; i < f->block_count; i++) {
        struct block b;
        const struct forge_block *from = &f->blocks[i];
        parts[i] = (struct part){.seq = from->seq, .handle = from->handle};
        buf_set(&parts[i].key, buf_slice(&from->key));
        buf_set(&parts[i].payload, buf_slice(&from->payload));
        assert_ok(block_open(buf_slice(&from->payload), &b));
        parts[i].blocks = b.restart_count; /* one for each entry */
    }
}

/* Puts the file together again, up to the parts as it was. */
static void install(struct maker *m, struct forge *f, struct part *parts, struct slice file)
{
    struct buf out = {0}, value = {0}, top = {0};
    struct block_writer w;
    struct table_footer footer = {0};
    uint8_t bytes[TABLE_FOOTER_SIZE];
    buf_append(&out, slice_of(file.data, f->blocks[0].handle.where.offset));
    block_writer_init(&w, 1);
    for (size_t i = 0; i < f->block_count; i++) {
        struct part *p = &parts[i];
        p->handle.where = forge_frame(f, &p->payload, &out);
        buf_clear(&value);
        block_handle_encode(&p->handle, &value);
        if (p->blocks)
            buf_put_varint(&value, p->blocks);
        block_writer_add(
            &w, &(struct entry){buf_slice(&p->key), p->seq, ENTRY_PUT, 0, buf_slice(&value)});
    }
    block_writer_finish(&w, &top);
    footer.props = forge_frame(f, &f->props, &out);
    footer.index = forge_frame(f, &top, &out);
    m->meta->tag = table_footer_encode(&footer, codec_seed(&f->codec, out.len), bytes);
    buf_append_bytes(&out, bytes, sizeof bytes);
    m->meta->size_bytes = out.len;
    assert_ok(simdisk_put(m->disk, MAKER_PATH, buf_slice(&out)));
    block_writer_release(&w);
    buf_release(&out);
    buf_release(&value);
    buf_release(&top);
    cache_set_capacity(m->cache, 0);
    cache_set_capacity(m->cache, 1 << 20);
}

/* The entries of part `from`, from `begin` up to `end`, behind those in `out`. */
static void copy_entries(const struct part *from, uint32_t begin, uint32_t end,
                         struct block_writer *out)
{
    struct block block;
    struct block_iter bi;
    uint32_t n = 0;
    assert_ok(block_open(buf_slice(&from->payload), &block));
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    for (int rc = iter_first(&bi.it); rc == 0; rc = iter_next(&bi.it), n++)
        if (n >= begin && n < end)
            block_writer_add(out, &bi.it.e);
    block_iter_release(&bi);
}

static void more_blocks_than_there_are(struct part *parts)
{
    parts[2].blocks++;
}

static void numbers_of_others(struct part *parts)
{
    parts[2].handle.max_seq++;
}

static void another_part(struct part *parts)
{
    struct buf keep = parts[2].payload;
    parts[2].payload = parts[3].payload;
    parts[3].payload = keep;
}

static void rebuild(struct part *p, const struct part *before, uint32_t before_begin, uint32_t end)
{
    struct block_writer w;
    struct buf out = {0};
    block_writer_init(&w, 1);
    if (before)
        copy_entries(before, before_begin, UINT32_MAX, &w);
    copy_entries(p, 0, end, &w);
    block_writer_finish(&w, &out);
    block_writer_release(&w);
    buf_release(&p->payload);
    p->payload = out;
}

/* One block less, of which the top knows. */
static void too_short(struct part *parts)
{
    parts[2].blocks--;
    rebuild(&parts[2], NULL, 0, parts[2].blocks);
    parts[2].handle.max_seq = parts[3].handle.min_seq - 1 - 3; /* set right by set_numbers() */
}

/* It begins with the last block of the part before. */
static void too_early(struct part *parts)
{
    rebuild(&parts[2], &parts[1], parts[1].blocks - 1, UINT32_MAX);
    parts[2].blocks++;
}

/* Bounds as the entries have them, so that another fault is the one that is found. */
static void set_numbers(struct part *p)
{
    struct block block;
    struct block_iter bi;
    p->handle.min_seq = UINT64_MAX;
    p->handle.max_seq = 0;
    assert_ok(block_open(buf_slice(&p->payload), &block));
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    for (int rc = iter_first(&bi.it); rc == 0; rc = iter_next(&bi.it)) {
        struct slice value = bi.it.e.value;
        struct block_handle h;
        assert_true(block_handle_take(&value, &h));
        p->handle.min_seq = h.min_seq < p->handle.min_seq ? h.min_seq : p->handle.min_seq;
        p->handle.max_seq = h.max_seq > p->handle.max_seq ? h.max_seq : p->handle.max_seq;
    }
    block_iter_release(&bi);
}

static int on_finding(void *ctx, int code, uint64_t offset, const char *text)
{
    (void)offset, (void)text;
    *(int *)ctx |= 1 << code;
    return 0;
}

static const struct {
    void (*change)(struct part *parts);
    bool set_numbers;
    const char *says;
} faults[] = {
    {more_blocks_than_there_are, false, "has not the blocks"},
    {numbers_of_others, false, "has not the sequence numbers"},
    {another_part, false, "has not the"},
    {too_short, true, "ends where it should not"},
    {too_early, true, "begins where it should not"},
};

static void test_forged_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct maker m;
        struct table *t;
        struct part parts[FORGE_BLOCKS_MAX];
        int findings = 0, failed = 0;
        make(&m, KEYS, 2000);
        struct buf bytes = maker_bytes(&m);
        struct forge *f = forge_new(buf_slice(&bytes));
        take_parts(f, parts);
        faults[i].change(parts);
        if (faults[i].set_numbers)
            set_numbers(&parts[2]);
        install(&m, f, parts, buf_slice(&bytes));
        assert_ok(maker_open(&m, &t));
        for (int k = 0; k < KEYS; k++) {
            logged_reset();
            if (get(&m, t, k) == 0)
                continue;
            assert_logged(MAKER_PATH);
            assert_logged(faults[i].says);
            failed++;
        }
        assert_true(failed > 50 && failed < KEYS / 2);
        logged_reset();
        assert_ok(table_check(t, on_finding, NULL, NULL, &findings));
        assert_int_equal(logged.count, 0);
        assert_true(findings & 1 << TABLE_FINDING_FRAME);
        table_unref(t);
        for (size_t p = 0; p < f->block_count; p++) {
            buf_release(&parts[p].payload);
            buf_release(&parts[p].key);
        }
        forge_free(f);
        buf_release(&bytes);
        maker_release(&m);
    }
}

/* An index of blocks and of parts, and one whose part is a top again: refused. */
static void test_forged_tops(void **state)
{
    (void)state;
    for (int nested = 0; nested < 2; nested++) {
        struct maker m;
        struct table *t;
        struct part parts[FORGE_BLOCKS_MAX];
        struct table_footer footer;
        uint64_t tag;
        make(&m, KEYS, 2000);
        struct buf bytes = maker_bytes(&m), top = {0};
        struct forge *f = forge_new(buf_slice(&bytes));
        size_t at = bytes.len - TABLE_FOOTER_SIZE;
        assert_ok(table_footer_decode(bytes.data + at, codec_seed(&f->codec, at), &footer, &tag));
        forge_unpack(f, buf_slice(&bytes), footer.index, &top);
        take_parts(f, parts);
        if (nested)
            buf_set(&parts[2].payload, buf_slice(&top));
        else
            parts[2].blocks = 0;
        install(&m, f, parts, buf_slice(&bytes));
        logged_reset();
        int err = maker_open(&m, &t);
        if (nested) {
            assert_ok(err);
            for (int k = 0; k < KEYS && err == 0; k++)
                err = get(&m, t, k);
            table_unref(t);
        }
        assert_int_equal(err, -EIO);
        assert_logged(MAKER_PATH);
        assert_logged(nested ? "outside the data" : "blocks and parts");
        for (size_t p = 0; p < f->block_count; p++) {
            buf_release(&parts[p].payload);
            buf_release(&parts[p].key);
        }
        buf_release(&top);
        forge_free(f);
        buf_release(&bytes);
        maker_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_does_not_grow),
        cmocka_unit_test(test_cut_only_past_the_threshold),
        cmocka_unit_test(test_kept_on_upper_levels),
        cmocka_unit_test(test_since_passes_over_parts),
        cmocka_unit_test(test_damaged_part),
        cmocka_unit_test(test_forged_parts),
        cmocka_unit_test(test_forged_tops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
