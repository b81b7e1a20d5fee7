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

/* ---- cut in front ---- */

/* The first entry whose key is at or after `key`, and what tombstones are left of there; `cut`:
 * below that number only, 0: of all. */
static struct maker left_of(const struct maker *all, const char *key, uint64_t cut)
{
    struct maker left = {.entries = mem_alloc(all->count * sizeof *all->entries)};
    for (size_t i = 0; i < all->count; i++)
        if (slice_cmp(all->entries[i].key, slice_str(key)) >= 0 &&
            (cut == 0 || all->entries[i].seq < cut))
            left.entries[left.count++] = all->entries[i];
    for (size_t i = 0; i < all->tombstone_count; i++) {
        struct maker_tombstone t = all->tombstones[i];
        if (strcmp(t.end, key) <= 0 || (cut && t.seq >= cut))
            continue;
        if (strcmp(t.start, key) < 0)
            t.start = (char *)(uintptr_t)key;
        left.tombstones[left.tombstone_count++] = t;
    }
    return left;
}

/* What the manifest would say of it; the counts are of entries, whatever `cut` hides. */
static struct table_meta *cut_meta(struct maker *m, struct table *whole, const char *key)
{
    struct table_meta *left = table_meta_copy(m->meta);
    assert_ok(table_front(whole, slice_str(key), &left->front, &left->rangedel_count));
    buf_set(&left->smallest, slice_str(key));
    left->share_count = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct blob_ref ref;
        const struct entry *e = &m->entries[i];
        bool gone = slice_cmp(e->key, slice_str(key)) < 0;
        left->entry_count -= gone;
        left->delete_count -= gone && e->type == ENTRY_DELETE;
        if (!gone && entry_type_is_blob(e->type) && blob_ref_decode(e->value, &ref))
            table_meta_add_share(left, ref.file, 1, ref.where.len);
    }
    return left;
}

/* Nothing of what lies before the front may be read: it is made garbage, which no frame is. */
static void spoil(struct maker *m, const struct table_meta *left)
{
    struct env_file *f;
    assert_ok(m->env->open(m->env, MAKER_PATH, ENV_OPEN_WRITE, &f));
    for (uint64_t at = FILE_HEADER_SIZE + left->dict_len; at < left->front; at++)
        assert_ok(f->ops->write(f, at, "x", 1));
    f->ops->close(f);
}

static int on_finding(void *ctx, int code, uint64_t offset, const char *text)
{
    (void)ctx;
    fail_msg("finding %d at %llu: %s", code, (unsigned long long)offset, text);
    return 0;
}

static void walk_since(struct table *t, const struct maker *left)
{
    struct table_since_counts counts = {0};
    struct iter *it = table_since_iter_new(t, 1, SEQ_MAX, &counts);
    size_t at = 0;
    for (int err = iter_first(it);; err = iter_next(it)) {
        assert_stands(it, err, left, at++);
        if (err != 0)
            break;
    }
    assert_stands(it, iter_seek(it, slice_str("a"), SEQ_MAX), left, 0);
    iter_free(it);
}

static void test_front(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct maker m;
    maker_init(&m, 1 << 20);
    for (int round = 0; round < 40; round++) {
        struct table *t;
        char key[80];
        m.opt.index_whole_bytes = round % 2 ? 300 : 0; /* an index in parts, too */
        maker_fill(&m, &rng, ENTRIES, KEYS, 8);
        assert_ok(maker_write(&m));
        assert_ok(maker_open(&m, &t));
        struct slice at = m.entries[simrng_below(&rng, m.count)].key;
        snprintf(key, sizeof key, "%.*s%s", (int)at.len, (const char *)at.data,
                 round % 3 ? "" : "!"); /* a key that is there, or is not */
        struct table_meta *left = cut_meta(&m, t, key), *whole = m.meta;
        table_unref(t);
        if (left->entry_count == 0 || slice_cmp(slice_str(key), buf_slice(&left->limit)) >= 0 ||
            slice_cmp(slice_str(key), buf_slice(&whole->smallest)) <= 0) {
            table_meta_unref(left);
            maker_clear(&m);
            continue;
        }
        spoil(&m, left);
        cache_set_capacity(m.cache, 0);
        cache_set_capacity(m.cache, 1 << 20);
        for (int cut = 0; cut < 2; cut++) {
            left->cut_seq = cut ? left->min_seq + ENTRIES / 2 : 0;
            struct maker seen = left_of(&m, key, left->cut_seq);
            m.meta = left;
            assert_ok(maker_open(&m, &t));
            m.meta = whole;
            if (seen.count > 0) {
                walk(t, &seen, &rng);
                look_up(t, m.cache, &m, &seen, &rng);
                walk_since(t, &seen);
            }
            assert_ok(table_check(t, on_finding, NULL, NULL, NULL));
            assert_true(table_range_bytes(t, (struct slice){0}, (struct slice){0}) <=
                        whole->size_bytes - left->front);
            struct rangedel *expected = maker_rangedel(&seen);
            assert_int_equal(rangedel_count(table_rangedel(t)), rangedel_count(expected));
            rangedel_unref(expected);
            table_unref(t);
            free(seen.entries);
        }
        table_meta_unref(left);
        maker_clear(&m);
    }
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
        cmocka_unit_test(test_cut),      cmocka_unit_test(test_masked_references),
        cmocka_unit_test(test_ingested), cmocka_unit_test(test_front),
        cmocka_unit_test(test_meta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
