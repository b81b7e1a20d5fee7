/* table_lens: a table that is cut, or was ingested, reads like one that has only what is seen. */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/table_maker.h"

enum { KEYS = 60, ENTRIES = 500 };

/* What is seen of `all` below `cut`: entries and tombstones are borrowed. */
static struct maker seen_of(const struct maker *all, uint64_t cut)
{
    struct maker seen = {.entries = mem_alloc(all->count * sizeof *all->entries)};
    for (size_t i = 0; i < all->count; i++)
        if (all->entries[i].seq < cut)
            seen.entries[seen.count++] = all->entries[i];
    for (size_t i = 0; i < all->tombstone_count; i++)
        if (all->tombstones[i].seq < cut)
            seen.tombstones[seen.tombstone_count++] = all->tombstones[i];
    return seen;
}

static void assert_stands(const struct iter *it, int status, const struct maker *seen, size_t at)
{
    if (at >= seen->count) {
        assert_absent(status);
        assert_false(it->valid);
        return;
    }
    assert_ok(status);
    assert_true(it->valid && maker_same_entry(&it->e, &seen->entries[at]));
}

static void walk(struct table *t, const struct maker *seen, struct simrng *rng)
{
    struct iter *it = table_iter_new(t, TABLE_ITER_FILL_CACHE);
    size_t at = SIZE_MAX;
    for (int i = 0; i < 600; i++) {
        uint64_t dice = simrng_below(rng, 8);
        if (dice == 0) {
            at = 0;
            assert_stands(it, iter_first(it), seen, at);
        } else if (dice == 1) {
            at = seen->count - 1;
            assert_stands(it, iter_last(it), seen, at);
        } else if (dice == 2 || at >= seen->count) {
            struct slice key = seen->entries[simrng_below(rng, seen->count)].key;
            uint64_t seq = simrng_below(rng, ENTRIES + 50);
            at = maker_find(seen, key, seq);
            assert_stands(it, iter_seek(it, key, seq), seen, at);
        } else if (simrng_coin(rng)) {
            at++;
            assert_stands(it, iter_next(it), seen, at);
        } else {
            at--; /* before the first is as far away as behind the last */
            assert_stands(it, iter_prev(it), seen, at);
        }
    }
    iter_free(it);
}

static void look_up(struct table *t, struct cache *cache, const struct maker *all,
                    const struct maker *seen, struct simrng *rng)
{
    for (int i = 0; i < 300; i++) {
        struct lookup l;
        struct slice key = all->entries[simrng_below(rng, all->count)].key;
        uint64_t read_seq = 1 + simrng_below(rng, ENTRIES + 20);
        lookup_init(&l, key, read_seq);
        assert_ok(table_get(t, &l));
        struct maker_answer a = maker_lookup(seen, key, read_seq);
        assert_true(maker_same_answer(&l, &a));
        lookup_release(&l, cache);
    }
}

/* ---- cut ---- */

static void test_cut(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct maker m;
    maker_init(&m, 1 << 20);
    for (int round = 0; round < 30; round++) {
        struct table *t;
        maker_fill(&m, &rng, ENTRIES, KEYS, 8);
        assert_ok(maker_write(&m));
        m.meta->cut_seq = m.meta->min_seq + 1 + simrng_below(&rng, ENTRIES);
        struct maker seen = seen_of(&m, m.meta->cut_seq);
        assert_ok(maker_open(&m, &t));
        if (seen.count > 0) {
            walk(t, &seen, &rng);
            look_up(t, m.cache, &m, &seen, &rng);
        }
        struct rangedel *expected = maker_rangedel(&seen);
        assert_int_equal(rangedel_count(table_rangedel(t)), rangedel_count(expected));
        rangedel_unref(expected);
        table_unref(t);
        free(seen.entries);
        maker_clear(&m);
    }
    maker_release(&m);
}

struct masked {
    uint64_t count, bytes;
};

static void note_masked(void *ctx, struct slice encoded_ref)
{
    struct masked *m = ctx;
    struct blob_ref ref;
    assert_true(blob_ref_decode(encoded_ref, &ref));
    m->count++;
    m->bytes += ref.where.len;
}

/* What a job passes on, and what is masked, is all that the table held of blob files. */
static void test_masked_references(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct maker m;
    maker_init(&m, 1 << 20);
    for (int round = 0; round < 20; round++) {
        struct table *t;
        struct masked masked = {0}, passed = {0}, shares = {0};
        maker_fill(&m, &rng, ENTRIES, KEYS, 0);
        assert_ok(maker_write(&m));
        m.meta->cut_seq = m.meta->min_seq + 1 + simrng_below(&rng, ENTRIES);
        assert_ok(maker_open(&m, &t));
        struct iter *it = table_iter_new_masked(t, TABLE_ITER_READAHEAD, note_masked, &masked);
        for (int err = iter_first(it); err == 0; err = iter_next(it))
            if (entry_type_is_blob(it->e.type))
                note_masked(&passed, it->e.value);
        iter_free(it);
        for (uint32_t i = 0; i < m.meta->share_count; i++) {
            shares.count += m.meta->shares[i].count;
            shares.bytes += m.meta->shares[i].bytes;
        }
        assert_int_equal(masked.count + passed.count, shares.count);
        assert_int_equal(masked.bytes + passed.bytes, shares.bytes);
        table_unref(t);
        maker_clear(&m);
    }
    maker_release(&m);
}

/* ---- ingested ---- */

static void test_ingested(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct maker m;
    struct table *t;
    maker_init(&m, 1 << 20);
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%05d", i * 2);
        maker_put(&m, key, 7, "value");
    }
    assert_ok(maker_write(&m));
    m.meta->ingest_seq = m.meta->min_seq = m.meta->max_seq = 100;
    assert_ok(maker_open(&m, &t));
    for (size_t i = 0; i < m.count; i++)
        m.entries[i].seq = 100;
    walk(t, &m, &rng);
    look_up(t, m.cache, &m, &m, &rng);
    struct lookup l;
    lookup_init(&l, m.entries[5].key, 100); /* its own number is not below */
    assert_ok(table_get(t, &l));
    assert_int_equal(l.state, LOOKUP_MORE);
    lookup_release(&l, m.cache);
    table_unref(t);
    maker_release(&m);
}

/* Both are in the manifest, and only sound ones are taken. */
static void test_meta(void **state)
{
    (void)state;
    struct maker m;
    struct buf bytes = {0};
    struct table_meta *back;
    maker_init(&m, 1 << 20);
    maker_put(&m, "a", 7, "value");
    maker_put(&m, "b", 9, "value");
    assert_ok(maker_write(&m));
    m.meta->cut_seq = 8;
    table_meta_encode(m.meta, &bytes);
    assert_ok(table_meta_decode(buf_slice(&bytes), &back));
    assert_int_equal(back->cut_seq, 8);
    assert_int_equal(back->max_seq, 9);
    back->cut_seq = 0;
    back->ingest_seq = back->min_seq = back->max_seq = 40;
    buf_clear(&bytes);
    table_meta_encode(back, &bytes);
    table_meta_unref(back);
    assert_ok(table_meta_decode(buf_slice(&bytes), &back));
    assert_int_equal(back->ingest_seq, 40);
    table_meta_unref(back);
    /* The last field's value is its last byte: one that is not the entries' number is refused. */
    bytes.data[bytes.len - 1] = 41;
    assert_errno(table_meta_decode(buf_slice(&bytes), &back), EIO);
    buf_release(&bytes);
    maker_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_masked_references),
        cmocka_unit_test(test_ingested),
        cmocka_unit_test(test_meta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
