/* dicts: which dictionary is in use, that it pays, and that it goes when it does not. */
#include "store/dicts.h"
#include "tests/unit/dict_maker.h"

enum { BLOCKS = 128, BLOCK_BYTES = 2048 };

/* Blocks of one kind of records; kind 2 is random bytes. */
struct sample {
    uint8_t bytes[BLOCKS][BLOCK_BYTES];
    struct dict_block blocks[BLOCKS];
};

static struct sample *sample_new(struct simrng *rng, int kind)
{
    struct sample *s = mem_alloc(sizeof *s);
    for (size_t i = 0; i < BLOCKS; i++) {
        if (kind < 2)
            records_fill(rng, kind, s->bytes[i], BLOCK_BYTES);
        for (size_t k = 0; kind == 2 && k < BLOCK_BYTES; k++)
            s->bytes[i][k] = (uint8_t)simrng_next(rng);
        s->blocks[i] = (struct dict_block){slice_of(s->bytes[i], BLOCK_BYTES), 1};
    }
    return s;
}

static const struct dict_wanted wanted = {
    .dict_bytes = 4096, .gain_percent = 3, .expected_bytes = 4 << 20};

static uint64_t packed_bytes(const struct sample *s, struct codec_dict *dict)
{
    struct pack_how how = {.zstd_level = 1, .dict = dict};
    struct buf out = {0};
    for (size_t i = 0; i < BLOCKS; i++)
        frame_pack_how(s->blocks[i].raw, &how, &out);
    uint64_t bytes = out.len;
    buf_release(&out);
    return bytes;
}

static struct codec_dict *choose(struct dicts *d, const struct sample *s,
                                 const struct dict_wanted *w)
{
    return dicts_choose(d, s->blocks, BLOCKS, w);
}

static void one_that_pays_is_made_once(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct dicts *d = dicts_new();
    struct dicts_stats stats;
    struct sample *s = sample_new(&rng, 0), *later = sample_new(&rng, 0);
    struct codec_dict *first = choose(d, s, &wanted);
    assert_non_null(first);
    assert_int_equal(codec_dict_id(first), DICT_ID);
    assert_true(codec_dict_content(first).len <= wanted.dict_bytes);
    assert_true(packed_bytes(later, first) < packed_bytes(later, NULL) * 9 / 10);
    /* The same goes on for what is alike. */
    for (int i = 0; i < 5; i++) {
        struct codec_dict *again = choose(d, later, &wanted);
        assert_ptr_equal(again, first);
        codec_dict_unref(again);
    }
    dicts_stats(d, &stats);
    assert_int_equal(stats.trained, 1);
    assert_int_equal(stats.refused, 0);
    assert_int_equal(stats.chosen, 6);
    /* It has to save what is asked for, its own bytes counted. */
    struct dict_wanted much = wanted, small = wanted;
    much.gain_percent = 90;
    small.expected_bytes = 3 * wanted.dict_bytes;
    assert_null(choose(d, later, &much));
    assert_null(choose(d, later, &small));
    codec_dict_unref(first);
    free(s);
    free(later);
    dicts_free(d);
    assert_int_equal(codec_dict_shared_count(), 0);
}

static void another_kind_of_data_gets_another(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct dicts *d = dicts_new();
    struct sample *a = sample_new(&rng, 0), *b = sample_new(&rng, 1);
    struct codec_dict *of_a = choose(d, a, &wanted), *of_b = choose(d, b, &wanted);
    assert_non_null(of_a);
    assert_non_null(of_b);
    assert_ptr_not_equal(of_a, of_b);
    assert_true(packed_bytes(b, of_b) < packed_bytes(b, of_a));
    struct codec_dict *again = choose(d, b, &wanted);
    assert_ptr_equal(again, of_b);
    codec_dict_unref(again);
    codec_dict_unref(of_a);
    codec_dict_unref(of_b);
    free(a);
    free(b);
    dicts_free(d);
}

static void what_does_not_shrink_has_none_and_is_not_tried_each_time(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct dicts *d = dicts_new();
    struct dicts_stats stats;
    struct sample *s = sample_new(&rng, 2);
    for (int i = 0; i < 100; i++)
        assert_null(choose(d, s, &wanted));
    dicts_stats(d, &stats);
    assert_int_equal(stats.trained, stats.refused);
    assert_in_range(stats.trained, 2, 7); /* at 0, 3, 8, 17, 34, 67 */
    assert_int_equal(stats.chosen, 0);
    free(s);
    dicts_free(d);
}

static void nothing_is_made_where_nothing_is_compressed_or_there_is_little(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct dicts *d = dicts_new();
    struct dicts_stats stats;
    struct sample *s = sample_new(&rng, 0);
    assert_null(dicts_choose(d, s->blocks, 0, &wanted));
    assert_null(dicts_choose(d, s->blocks, 3, &wanted));
    assert_null(dicts_choose(d, s->blocks, 31, &wanted));
    struct dict_block large = {slice_of(s->bytes[0], sizeof s->bytes), 1}, larges[40];
    for (size_t i = 0; i < 40; i++)
        larges[i] = large; /* blocks that hold enough to learn from */
    assert_null(dicts_choose(d, larges, 40, &wanted));
    for (size_t i = 0; i < BLOCKS; i++)
        s->blocks[i].zstd_level = 0;
    assert_null(choose(d, s, &wanted));
    dicts_stats(d, &stats);
    assert_int_equal(stats.trained, 0);
    free(s);
    dicts_free(d);
}

/* One that comes with a table that is read is used until it does not pay any more. */
static void one_that_is_offered_is_used(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct dicts *d = dicts_new();
    struct dicts_stats stats;
    struct sample *a = sample_new(&rng, 0), *b = sample_new(&rng, 1);
    struct buf content = {0};
    struct codec_dict *dict, *got;
    dict_train(&rng, 0, &content);
    assert_ok(codec_dict_share(DICT_ID, buf_slice(&content), &dict));
    assert_ok(codec_dict_share(DICT_ID, buf_slice(&content), &got));
    assert_ptr_equal(got, dict); /* each content is in memory once */
    codec_dict_unref(got);
    assert_int_equal(codec_dict_shared_count(), 1);
    assert_true(codec_dict_share_bytes(dict) >= content.len);
    dicts_offer(d, NULL);
    dicts_offer(d, dict);
    assert_true(codec_dict_share_bytes(dict) <= codec_dict_memory_bytes(dict) / 2);
    got = choose(d, a, &wanted);
    assert_ptr_equal(got, dict);
    codec_dict_unref(got);
    dicts_stats(d, &stats);
    assert_int_equal(stats.trained, 0);
    got = choose(d, b, &wanted);
    assert_non_null(got);
    assert_ptr_not_equal(got, dict);
    codec_dict_unref(got);
    codec_dict_unref(dict);
    buf_release(&content);
    free(a);
    free(b);
    dicts_free(d);
    assert_int_equal(codec_dict_shared_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_pays_is_made_once),
        cmocka_unit_test(another_kind_of_data_gets_another),
        cmocka_unit_test(what_does_not_shrink_has_none_and_is_not_tried_each_time),
        cmocka_unit_test(nothing_is_made_where_nothing_is_compressed_or_there_is_little),
        cmocka_unit_test(one_that_is_offered_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
