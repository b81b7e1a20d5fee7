/* Tests of store/codec_zstd.h: values come back with and without a dictionary and never with a
 * wrong one; what cannot be compressed does not keep what can be from being. */
#include "store/codec.h"

#include "tests/unit/dict_maker.h"
#include "tests/unit/logged.h"
#include "tests/unit/uneven.h"

#include <errno.h>
#include <pthread.h>

enum { LEN_MAX = 64 << 10 };

static struct codec_dict *dict_new(struct simrng *rng, int kind, uint16_t id)
{
    struct buf content = {0};
    struct codec_dict *d;
    dict_train(rng, kind, &content);
    assert_ok(codec_dict_new(id, buf_slice(&content), &d));
    assert_int_equal(codec_dict_id(d), id);
    assert_true(codec_dict_memory_bytes(d) > content.len);
    buf_release(&content);
    return d;
}

/* ---- dictionaries ---- */

static void values_come_back_with_a_dictionary(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct codec_dict *dict = dict_new(&rng, 0, 7);
    uint8_t *value = mem_alloc(LEN_MAX), *stored = mem_alloc(LEN_MAX), *back = mem_alloc(LEN_MAX);
    uint64_t memory = codec_dict_memory_bytes(dict);
    for (int i = 0; i < 500; i++) {
        struct pack_how how = {.zstd_level = 1 + (int)simrng_below(&rng, 9), .dict = dict};
        size_t len = 200 + simrng_below(&rng, LEN_MAX - 200);
        records_fill(&rng, i % 2, value, len);
        size_t stored_len = zstd_pack(slice_of(value, len), &how, stored);
        assert_true(stored_len > 0 && stored_len <= zstd_useful_len(len));
        assert_ok(zstd_unpack(slice_of(stored, stored_len), dict, back, len));
        assert_memory_equal(back, value, len);
    }
    /* Tables for nine levels, made once. */
    assert_true(codec_dict_memory_bytes(dict) > memory);
    codec_dict_unref(dict);
    free(value);
    free(stored);
    free(back);
}

static void small_values_gain_most(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct codec_dict *dict = dict_new(&rng, 0, 7);
    uint8_t value[1024], stored[1024];
    size_t without = 0, with = 0;
    for (int i = 0; i < 100; i++) {
        struct pack_how how = {.zstd_level = 1};
        records_fill(&rng, 0, value, sizeof value);
        without += zstd_pack(slice_of(value, sizeof value), &how, stored);
        how.dict = dict;
        with += zstd_pack(slice_of(value, sizeof value), &how, stored);
    }
    assert_true(with > 0 && with < without * 3 / 4);
    codec_dict_unref(dict);
}

static void a_wrong_dictionary_is_an_error(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct codec_dict *dict = dict_new(&rng, 0, 7), *other = dict_new(&rng, 1, 7);
    uint8_t value[4096], stored[4096], back[4096];
    struct pack_how how = {.zstd_level = 3, .dict = dict};
    records_fill(&rng, 0, value, sizeof value);
    size_t len = zstd_pack(slice_of(value, sizeof value), &how, stored);
    assert_true(len > 0);
    assert_errno(zstd_unpack(slice_of(stored, len), other, back, sizeof back), EIO);
    assert_errno(zstd_unpack(slice_of(stored, len), NULL, back, sizeof back), EIO);
    assert_errno(zstd_unpack(slice_of(stored, len), dict, back, sizeof back - 1), EIO);
    assert_ok(zstd_unpack(slice_of(stored, len), dict, back, sizeof back));
    /* And the other way round: what was made without one needs none. */
    how.dict = NULL;
    len = zstd_pack(slice_of(value, sizeof value), &how, stored);
    assert_ok(zstd_unpack(slice_of(stored, len), NULL, back, sizeof back));
    assert_memory_equal(back, value, sizeof value);
    codec_dict_unref(dict);
    codec_dict_unref(other);
}

static void a_frame_names_its_dictionary(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct codec_dict *list[] = {dict_new(&rng, 1, 3), dict_new(&rng, 0, 500)};
    struct codec_dicts both = {.list = list, .count = 2}, first = {.list = list, .count = 1};
    struct file_header fh = {.kind = FILE_TABLE, .version = FORMAT_VERSION, .number = 4};
    struct pack_how how = {.zstd_level = 1, .dict = list[1]};
    struct codec_file cf;
    struct frame_header h;
    struct buf frame = {0}, out = {0};
    uint8_t value[4096];
    codec_file_init(&cf, &fh);
    logged_reset();
    records_fill(&rng, 0, value, sizeof value);
    frame_pack_how(slice_of(value, sizeof value), &how, &frame);
    frame_seal(&cf, 96, frame.data, frame.len);
    assert_int_equal(frame_verify(&cf, 96, buf_slice(&frame), &h), FRAME_OK);
    assert_int_equal(h.codec, CODEC_ZSTD_DICT);
    assert_int_equal(h.dict, 500);
    assert_errno(frame_open(&cf, "f", 96, buf_slice(&frame), &out), EIO);
    cf.dicts = &first;
    assert_errno(frame_open(&cf, "f", 96, buf_slice(&frame), &out), EIO);
    assert_logged("dictionary 500");
    cf.dicts = &both;
    assert_ok(frame_open(&cf, "f", 96, buf_slice(&frame), &out));
    assert_slice(buf_slice(&out), value, sizeof value);
    /* What does not shrink names none. */
    buf_clear(&frame);
    frame_pack_how(slice_of(value, 10), &how, &frame);
    frame_header_decode(frame.data, &h);
    assert_int_equal(h.codec, CODEC_RAW);
    assert_int_equal(h.dict, 0);
    buf_release(&frame);
    buf_release(&out);
    codec_dict_unref(list[0]);
    codec_dict_unref(list[1]);
}

static void what_is_no_dictionary_is_refused(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct codec_dict *d;
    struct buf content = {0};
    dict_train(&rng, 0, &content);
    assert_errno(codec_dict_new(1, slice_of(NULL, 0), &d), EIO);
    assert_errno(codec_dict_new(1, slice_str("not a dictionary, not at all"), &d), EIO);
    /* Whatever happens to the bytes: refused, or used without harm to memory. What comes back may
     * be wrong then; so a dictionary is never taken from a file whose checksum does not hold. */
    for (int i = 0; i < 2000; i++) {
        struct buf bad = {0};
        buf_set(&bad, slice_of(content.data, simrng_below(&rng, content.len + 1)));
        for (int k = 0; k < 4 && bad.len; k++)
            bad.data[simrng_below(&rng, bad.len < 200 ? bad.len : 200)] =
                (uint8_t)simrng_next(&rng);
        int err = codec_dict_new(1, buf_slice(&bad), &d);
        assert_true(err == 0 || err == -EIO);
        assert_true((err == 0) == (d != NULL));
        if (err == 0) {
            uint8_t value[1024], stored[1024], back[1024];
            struct pack_how how = {.zstd_level = 1, .dict = d};
            records_fill(&rng, 0, value, sizeof value);
            size_t len = zstd_pack(slice_of(value, sizeof value), &how, stored);
            if (len > 0) {
                err = zstd_unpack(slice_of(stored, len), d, back, sizeof back);
                assert_true(err == 0 || err == -EIO);
            }
        }
        codec_dict_unref(d);
        buf_release(&bad);
    }
    buf_release(&content);
}

static void damaged_values_are_errors(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct codec_dict *dict = dict_new(&rng, 0, 7);
    uint8_t value[2048], stored[2048], back[2048];
    struct pack_how how = {.zstd_level = 3, .dict = dict};
    records_fill(&rng, 0, value, sizeof value);
    size_t len = zstd_pack(slice_of(value, sizeof value), &how, stored);
    for (int i = 0; i < 3000; i++) {
        uint8_t bad[2048];
        memcpy(bad, stored, len);
        bad[simrng_below(&rng, len)] ^= (uint8_t)(1 + simrng_below(&rng, 255));
        size_t cut = simrng_coin(&rng) ? len : simrng_below(&rng, len);
        int err = zstd_unpack(slice_of(bad, cut), dict, back, sizeof back);
        assert_true(err == 0 || err == -EIO); /* the checksum is the frame's */
    }
    codec_dict_unref(dict);
}

/* ---- from many threads ---- */

static void *use_dict(void *arg)
{
    struct codec_dict *dict = arg;
    struct simrng rng = {(uintptr_t)&rng};
    uint8_t value[1024], stored[1024], back[1024];
    for (int i = 0; i < 300; i++) {
        struct pack_how how = {.zstd_level = 1 + i % 5, .dict = i % 3 ? dict : NULL};
        records_fill(&rng, i % 2, value, sizeof value);
        size_t len = zstd_pack(slice_of(value, sizeof value), &how, stored);
        assert(len > 0);
        int err = zstd_unpack(slice_of(stored, len), how.dict, back, sizeof back);
        assert(err == 0 && memcmp(value, back, sizeof value) == 0);
        (void)err;
    }
    codec_dict_unref(dict);
    return NULL;
}

static void threads_share_a_dictionary(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct codec_dict *dict = dict_new(&rng, 0, 7);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_ok(pthread_create(&threads[i], NULL, use_dict, codec_dict_ref(dict)));
    codec_dict_unref(dict);
    for (int i = 0; i < 4; i++)
        assert_ok(pthread_join(threads[i], NULL));
}

/* ---- what cannot be compressed ---- */

static void random_fill(struct simrng *rng, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)simrng_next(rng);
}

static void bad_luck_ends_with_the_first_text(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    uint8_t value[4096], stored[4096], misses = 0;
    struct pack_how how = {.zstd_level = 1, .misses = &misses};
    for (int round = 0; round < 50; round++) {
        size_t unlucky = simrng_below(&rng, 60);
        for (size_t i = 0; i < unlucky; i++) {
            random_fill(&rng, value, sizeof value);
            assert_int_equal(zstd_pack(slice_of(value, sizeof value), &how, stored), 0);
        }
        records_fill(&rng, 0, value, sizeof value);
        assert_true(zstd_pack(slice_of(value, sizeof value), &how, stored) > 0);
        assert_int_equal(misses, 0);
    }
}

/* Its bytes are spread evenly, yet it is one piece over and over: only trying shows it. */
static void what_only_looks_random_is_tried_in_the_end(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    enum { PIECE = 1021 };
    uint8_t value[8192], stored[8192], misses = 0;
    struct pack_how how = {.zstd_level = 1, .misses = &misses};
    for (int i = 0; i < 40; i++) {
        random_fill(&rng, value, sizeof value);
        zstd_pack(slice_of(value, sizeof value), &how, stored);
    }
    for (size_t i = PIECE; i < sizeof value; i++)
        value[i] = value[i - PIECE];
    int tries = 1;
    while (zstd_pack(slice_of(value, sizeof value), &how, stored) == 0)
        tries++;
    assert_in_range(tries, 2, 20);
    assert_true(zstd_pack(slice_of(value, sizeof value), &how, stored) > 0);
}

/* ---- in a hurry ---- */

enum { HURRIED_LEN = UNEVEN_LEN };

static void in_a_hurry_repeats_are_not_looked_for(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    uint8_t *value = mem_alloc(HURRIED_LEN), *stored = mem_alloc(HURRIED_LEN),
            *back = mem_alloc(HURRIED_LEN);
    struct pack_hurry hurry = {0};
    struct pack_how calm = {.zstd_level = 1}, hurried = {.zstd_level = 1, .hurry = &hurry};
    uneven_fill(&rng, value, HURRIED_LEN);
    uneven_repeats(&rng, value);
    struct slice in = slice_of(value, HURRIED_LEN);
    for (int i = 0; i < 20; i++) {
        size_t calm_len = zstd_pack(in, &calm, stored);
        size_t len = zstd_pack(in, &hurried, stored);
        assert_true(calm_len > 0);
        assert_true(len > calm_len + calm_len / 8 && len <= zstd_useful_len(HURRIED_LEN));
        assert_ok(zstd_unpack(slice_of(stored, len), NULL, back, HURRIED_LEN));
        assert_memory_equal(back, value, HURRIED_LEN);
    }
    free(value);
    free(stored);
    free(back);
}

/* Values with repeats, small ones, and other levels come out as without a hurry, to the byte. */
static void in_a_hurry_the_rest_is_compressed_as_ever(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        int level;
        bool records;
    } cases[] = {{HURRIED_LEN, 1, true}, {16 << 10, 1, false}, {HURRIED_LEN, 2, false}};
    struct simrng rng = {unit_seed()};
    uint8_t *value = mem_alloc(HURRIED_LEN), *calm = mem_alloc(HURRIED_LEN),
            *hurried = mem_alloc(HURRIED_LEN);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pack_hurry hurry = {0};
        struct pack_how how = {.zstd_level = cases[i].level};
        if (cases[i].records)
            records_fill(&rng, 0, value, cases[i].len);
        else
            uneven_fill(&rng, value, cases[i].len);
        size_t len = zstd_pack(slice_of(value, cases[i].len), &how, calm);
        how.hurry = &hurry;
        assert_true(len > 0);
        assert_int_equal(zstd_pack(slice_of(value, cases[i].len), &how, hurried), len);
        assert_memory_equal(calm, hurried, len);
    }
    free(value);
    free(calm);
    free(hurried);
}

/* One sample speaks for a few values, not for ever. */
static void a_verdict_of_a_hurry_does_not_last(void **state)
{
    (void)state;
    enum { VALUES_MOST = 8 };
    struct simrng rng = {unit_seed()};
    uint8_t *value = mem_alloc(HURRIED_LEN), *stored = mem_alloc(HURRIED_LEN);
    struct pack_hurry hurry = {0};
    struct pack_how calm = {.zstd_level = 1}, hurried = {.zstd_level = 1, .hurry = &hurry};
    uneven_fill(&rng, value, HURRIED_LEN);
    assert_true(zstd_pack(slice_of(value, HURRIED_LEN), &hurried, stored) > 0);
    records_fill(&rng, 0, value, HURRIED_LEN);
    size_t len = zstd_pack(slice_of(value, HURRIED_LEN), &calm, stored);
    int worse = 0;
    while (zstd_pack(slice_of(value, HURRIED_LEN), &hurried, stored) > len && worse < 100)
        worse++;
    assert_in_range(worse, 1, VALUES_MOST);
    free(value);
    free(stored);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back_with_a_dictionary),
        cmocka_unit_test(small_values_gain_most),
        cmocka_unit_test(a_wrong_dictionary_is_an_error),
        cmocka_unit_test(a_frame_names_its_dictionary),
        cmocka_unit_test(what_is_no_dictionary_is_refused),
        cmocka_unit_test(damaged_values_are_errors),
        cmocka_unit_test(threads_share_a_dictionary),
        cmocka_unit_test(bad_luck_ends_with_the_first_text),
        cmocka_unit_test(what_only_looks_random_is_tried_in_the_end),
        cmocka_unit_test(in_a_hurry_repeats_are_not_looked_for),
        cmocka_unit_test(in_a_hurry_the_rest_is_compressed_as_ever),
        cmocka_unit_test(a_verdict_of_a_hurry_does_not_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
