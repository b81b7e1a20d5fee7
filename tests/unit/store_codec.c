/* Tests of store/codec.h: values come back, frames are bound to their place, and nothing that is
 * not a frame is taken for one. */
#include "store/codec.h"

#include "tests/sim/simrng.h"
#include "tests/unit/logged.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <xxhash.h>

#ifndef VARVE_SANITIZED
#define VARVE_SANITIZED 0
#endif

enum { LEN_MAX = 300 * 1024 };

static struct codec_file file_numbered(uint64_t number)
{
    struct file_header h = {.kind = FILE_BLOB, .version = FORMAT_VERSION, .number = number};
    struct codec_file cf;
    memset(h.salt, 0x5a, sizeof h.salt);
    codec_file_init(&cf, &h);
    return cf;
}

/* ---- data of different kinds ---- */

enum data { DATA_ZEROS, DATA_TEXT, DATA_RANDOM, DATA_MIXED, DATA_KINDS };

static void data_fill(struct simrng *rng, enum data kind, uint8_t *out, size_t len)
{
    static const char *const words[] = {"lake ", "layer ", "sediment ", "year ", "clay ", "silt\n"};
    size_t word = 0, at = 0;
    for (size_t i = 0; i < len; i++) {
        bool random = kind == DATA_RANDOM || (kind == DATA_MIXED && i < len / 2);
        if (kind == DATA_ZEROS) {
            out[i] = 0;
        } else if (random) {
            out[i] = (uint8_t)simrng_next(rng);
        } else {
            if (words[word][at] == 0) {
                word = simrng_below(rng, 6);
                at = 0;
            }
            out[i] = (uint8_t)words[word][at++];
        }
    }
}

static size_t random_len(struct simrng *rng)
{
    switch (simrng_below(rng, 4)) {
    case 0:
        return simrng_below(rng, 130);
    case 1:
        return simrng_below(rng, 17000);
    default:
        return simrng_below(rng, LEN_MAX);
    }
}

static uint8_t codec_of(const struct buf *frame)
{
    struct frame_header h;
    frame_header_decode(frame->data, &h);
    return h.codec;
}

/* Packs, seals, verifies and unpacks `value` in all the ways there are. */
static void round_trip(struct slice value, int level)
{
    struct codec_file cf = file_numbered(9);
    struct buf frame = {0}, back = {0};
    struct frame_header h;
    const uint64_t offset = 12345;
    uint32_t len = frame_pack(value, level, &frame);
    assert_int_equal(len, frame.len);
    frame_seal(&cf, offset, frame.data, frame.len);
    assert_int_equal(frame_verify(&cf, offset, buf_slice(&frame), &h), FRAME_OK);
    assert_int_equal(h.raw_len, value.len);
    assert_int_equal(h.stored_len, len - FRAME_HEADER_SIZE);
    assert_true(h.stored_len <= value.len);
    assert_int_equal(frame_is_plain(&cf, &h), h.codec == CODEC_RAW);
    buf_append(&back, slice_str("before"));
    assert_ok(frame_unpack(&cf, offset, &h, frame_stored(buf_slice(&frame)), &back));
    assert_slice_str(slice_of(back.data, 6), "before");
    assert_slice(slice_of(back.data + 6, back.len - 6), value.data, value.len);
    uint8_t *exact = mem_alloc(value.len);
    assert_ok(frame_unpack_to(&cf, offset, &h, frame_stored(buf_slice(&frame)), exact));
    assert_slice(slice_of(exact, value.len), value.data, value.len);
    uint8_t *used = mem_dup(frame.data + FRAME_HEADER_SIZE, h.stored_len);
    memset(exact, 0, value.len);
    assert_ok(frame_unpack_last(&cf, offset, &h, used, exact));
    assert_slice(slice_of(exact, value.len), value.data, value.len);
    free(used);
    free(exact);
    assert_ok(frame_open(&cf, "f", offset, buf_slice(&frame), &back));
    assert_slice(buf_slice(&back), value.data, value.len);
    buf_release(&frame);
    buf_release(&back);
}

static void values_come_back(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    static const int levels[] = {0, 1, 3, 3, 9, 2};
    uint8_t *value = mem_alloc(LEN_MAX);
    for (size_t len = 0; len <= 130; len++) {
        data_fill(&rng, DATA_TEXT, value, len);
        round_trip(slice_of(value, len), 3);
    }
    for (int i = 0; i < 300; i++) {
        size_t len = random_len(&rng);
        data_fill(&rng, (enum data)simrng_below(&rng, DATA_KINDS), value, len);
        round_trip(slice_of(value, len), levels[simrng_below(&rng, 6)]);
    }
    round_trip(slice_of(NULL, 0), 3);
    free(value);
}

static void assert_stored_as(enum data kind, size_t len, int level, enum codec_id codec)
{
    struct simrng rng = {len};
    uint8_t *value = mem_alloc(len);
    struct buf frame = {0};
    data_fill(&rng, kind, value, len);
    frame_pack(slice_of(value, len), level, &frame);
    assert_int_equal(codec_of(&frame), codec);
    if (codec == CODEC_ZSTD)
        assert_true(frame.len - FRAME_HEADER_SIZE <= len - len / 16);
    else
        assert_slice(frame_stored(buf_slice(&frame)), value, len);
    buf_release(&frame);
    free(value);
}

static void compressed_only_where_it_pays(void **state)
{
    (void)state;
    assert_stored_as(DATA_ZEROS, 63, 3, CODEC_RAW);
    assert_stored_as(DATA_ZEROS, 64, 3, CODEC_ZSTD);
    assert_stored_as(DATA_ZEROS, 100000, 0, CODEC_RAW);
    for (size_t len = 1000; len < LEN_MAX; len *= 3) {
        assert_stored_as(DATA_ZEROS, len, 3, CODEC_ZSTD);
        assert_stored_as(DATA_TEXT, len, 1, CODEC_ZSTD);
        assert_stored_as(DATA_RANDOM, len, 3, CODEC_RAW);
        assert_stored_as(DATA_RANDOM, len, 5, CODEC_RAW);
        assert_stored_as(DATA_TEXT, len, 5, CODEC_ZSTD);
        assert_stored_as(DATA_MIXED, len, 3, CODEC_ZSTD);
    }
}

/* Random bytes with some zeros at the end, which zstd saves all but a few bytes of. */
static void a_sixteenth_must_be_saved(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    enum { LEN = 8000 };
    uint8_t value[LEN];
    for (size_t zeros = 0; zeros < 900; zeros += 100) {
        struct buf frame = {0};
        data_fill(&rng, DATA_RANDOM, value, LEN);
        memset(value + LEN - zeros, 0, zeros);
        frame_pack(slice_of(value, LEN), 3, &frame);
        assert_int_equal(codec_of(&frame), zeros <= LEN / 16 ? CODEC_RAW : CODEC_ZSTD);
        buf_release(&frame);
    }
}

/* Values that are sampled first: half random and half text, wherever the text lies. */
static void a_compressible_part_is_found(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    uint8_t *value = mem_alloc(LEN_MAX);
    struct buf frame = {0};
    for (int i = 0; i < 200; i++) {
        size_t len = 16 * 1024 + 1 + simrng_below(&rng, LEN_MAX - 16 * 1024);
        size_t part = len / 2, at = simrng_below(&rng, len - part + 1);
        data_fill(&rng, DATA_RANDOM, value, len);
        data_fill(&rng, DATA_TEXT, value + at, part);
        buf_clear(&frame);
        frame_pack(slice_of(value, len), 5, &frame);
        assert_int_equal(codec_of(&frame), CODEC_ZSTD);
    }
    buf_release(&frame);
    free(value);
}

/* The definition in codec.h, written down a second time. */
static void checksum_is_as_documented(void **state)
{
    (void)state;
    struct file_header fh = {.kind = FILE_LOG, .version = 1, .number = 77};
    struct codec_file cf;
    uint8_t header[FILE_HEADER_SIZE];
    file_header_encode(&fh, header);
    codec_file_init(&cf, &fh);
    assert_int_equal(cf.number, 77);
    assert_int_equal(cf.kind, FILE_LOG);
    struct buf frame = {0};
    frame_pack(slice_str("hello"), 3, &frame);
    static const uint8_t packed[] = {5, 0, 0, 0, 5, 0, 0, 0, 0, 0,   0,   0,   0,   0,  0,
                                     0, 0, 0, 0, 0, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'};
    assert_slice(buf_slice(&frame), packed, sizeof packed);
    frame_seal(&cf, 96, frame.data, frame.len);
    uint64_t seed = XXH3_64bits(header, 96) ^ 96 * UINT64_C(0x9E3779B97F4A7C15);
    assert_true(codec_seed(&cf, 96) == seed);
    uint64_t sum = XXH3_64bits_withSeed("hello", 5, XXH3_64bits_withSeed(packed, 16, seed));
    assert_true(get_u64(frame.data + 16) == sum);
    buf_release(&frame);
}

static void packing_appends(void **state)
{
    (void)state;
    struct codec_file cf = file_numbered(1);
    struct buf b = {0}, back = {0};
    uint32_t first = frame_pack(slice_str("one"), 0, &b);
    uint32_t second = frame_pack(slice_str("second"), 0, &b);
    assert_int_equal(b.len, first + second);
    frame_seal(&cf, 100, b.data, first);
    frame_seal(&cf, 100 + first, b.data + first, second);
    assert_ok(frame_open(&cf, "f", 100, slice_of(b.data, first), &back));
    assert_slice_str(buf_slice(&back), "one");
    assert_ok(frame_open(&cf, "f", 100 + first, slice_of(b.data + first, second), &back));
    assert_slice_str(buf_slice(&back), "second");
    buf_release(&b);
    buf_release(&back);
}

/* ---- what does not verify ---- */

static void a_moved_frame_does_not_verify(void **state)
{
    (void)state;
    struct codec_file cf = file_numbered(1), other = file_numbered(2);
    struct buf frame = {0};
    struct frame_header h;
    frame_pack(slice_str("value"), 0, &frame);
    frame_seal(&cf, 4096, frame.data, frame.len);
    for (unsigned bit = 0; bit < 63; bit++) {
        uint64_t elsewhere = 4096 ^ UINT64_C(1) << bit;
        assert_int_equal(frame_verify(&cf, elsewhere, buf_slice(&frame), &h), FRAME_BAD);
    }
    assert_int_equal(frame_verify(&other, 4096, buf_slice(&frame), &h), FRAME_BAD);
    frame_seal(&other, 8192, frame.data, frame.len);
    assert_int_equal(frame_verify(&other, 8192, buf_slice(&frame), &h), FRAME_OK);
    assert_int_equal(frame_verify(&cf, 4096, buf_slice(&frame), &h), FRAME_BAD);
    buf_release(&frame);
}

/* Files that differ in nothing but one bit of their header have different seeds. */
static void every_field_of_the_file_header_matters(void **state)
{
    (void)state;
    struct file_header base = {.kind = FILE_LOG, .version = 1, .number = 5}, h;
    struct codec_file a, b;
    codec_file_init(&a, &base);
    h = base;
    h.kind = FILE_MANIFEST;
    codec_file_init(&b, &h);
    assert_true(a.seed != b.seed);
    h = base;
    h.uuid[15] = 1;
    codec_file_init(&b, &h);
    assert_true(a.seed != b.seed);
    h = base;
    h.salt[31] = 1;
    codec_file_init(&b, &h);
    assert_true(a.seed != b.seed);
}

static void any_damage_is_seen(void **state)
{
    (void)state;
    struct codec_file cf = file_numbered(3);
    struct frame_header h;
    static const size_t lens[] = {0, 1, 17, 300};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        struct simrng rng = {i};
        uint8_t value[300];
        struct buf frame = {0};
        data_fill(&rng, DATA_TEXT, value, lens[i]);
        frame_pack(slice_of(value, lens[i]), 3, &frame);
        frame_seal(&cf, 200, frame.data, frame.len);
        for (size_t bit = 0; bit < 8 * frame.len; bit++) {
            frame.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_not_equal(frame_verify(&cf, 200, buf_slice(&frame), &h), FRAME_OK);
            frame.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t cut = 0; cut < frame.len; cut++) {
            uint8_t *part = mem_dup(frame.data, cut);
            assert_int_equal(frame_verify(&cf, 200, slice_of(part, cut), &h), FRAME_SHORT);
            free(part);
        }
        assert_int_equal(frame_verify(&cf, 200, buf_slice(&frame), &h), FRAME_OK);
        buf_release(&frame);
    }
}

static enum frame_verdict verdict_of(uint32_t stored_len, uint32_t raw_len)
{
    struct codec_file cf = file_numbered(3);
    struct frame_header h = {.stored_len = stored_len, .raw_len = raw_len}, back;
    uint8_t bytes[FRAME_HEADER_SIZE];
    frame_header_encode(&h, bytes);
    return frame_verify(&cf, 200, slice_of(bytes, sizeof bytes), &back);
}

static void absurd_lengths_are_refused_unread(void **state)
{
    (void)state;
    assert_int_equal(verdict_of(0, 0), FRAME_ZERO);
    assert_int_equal(verdict_of(1, 1), FRAME_SHORT);
    assert_int_equal(verdict_of(FRAME_RAW_MAX, FRAME_RAW_MAX), FRAME_SHORT);
    assert_int_equal(verdict_of(1, FRAME_RAW_MAX + 1), FRAME_BAD);
    assert_int_equal(verdict_of(FRAME_RAW_MAX + 1, FRAME_RAW_MAX + 1), FRAME_BAD);
    assert_int_equal(verdict_of(UINT32_MAX, UINT32_MAX), FRAME_BAD);
    assert_int_equal(verdict_of(2, 1), FRAME_BAD);
}

/* ---- frames that verify and yet do not decode: only a program can have made them ---- */

static int unpack_as(const struct frame_header *h, struct slice stored)
{
    struct buf out = {0};
    uint8_t *exact = mem_alloc(h->raw_len);
    struct codec_file cf = file_numbered(1);
    int err = frame_unpack(&cf, 100, h, stored, &out);
    assert_int_equal(frame_unpack_to(&cf, 100, h, stored, exact), err);
    assert_int_equal(out.len, err ? 0 : h->raw_len);
    free(exact);
    buf_release(&out);
    return err;
}

static void what_does_not_decode_is_an_error(void **state)
{
    (void)state;
    uint8_t value[1000] = {0};
    struct buf frame = {0};
    struct frame_header sound, h;
    frame_pack(slice_of(value, sizeof value), 3, &frame);
    frame_header_decode(frame.data, &sound);
    struct slice stored = frame_stored(buf_slice(&frame));
    assert_int_equal(sound.codec, CODEC_ZSTD);
    assert_ok(unpack_as(&sound, stored));
    for (int i = 0; i < 8; i++) {
        h = sound;
        h.raw_len = i == 0 ? sound.raw_len - 1 : i == 1 ? sound.raw_len + 1 : sound.raw_len;
        h.codec = i == 2 ? CODEC_RAW : i == 3 ? CODEC_ZSTD_DICT : i == 4 ? 200 : sound.codec;
        h.cipher = i == 5;
        h.dict = i == 6;
        h.flags = i == 7;
        assert_errno(unpack_as(&h, stored), EIO);
    }
    h = sound;
    h.stored_len--;
    assert_errno(unpack_as(&h, slice_of(stored.data, h.stored_len)), EIO);
    h.stored_len = 0;
    assert_errno(unpack_as(&h, slice_of(stored.data, 0)), EIO);
    h = (struct frame_header){.stored_len = 5, .raw_len = 5, .dict = 1};
    assert_errno(unpack_as(&h, slice_str("hello")), EIO);
    h = (struct frame_header){.stored_len = 5, .raw_len = 5, .cipher = 1};
    assert_errno(unpack_as(&h, slice_str("hello")), EIO);
    buf_release(&frame);
}

static void opening_says_what_is_wrong(void **state)
{
    (void)state;
    struct codec_file cf = file_numbered(3);
    struct buf frame = {0}, out = {0};
    static const uint8_t zeros[100];
    frame_pack(slice_str("hello"), 0, &frame);
    frame_seal(&cf, 200, frame.data, frame.len);
    buf_append(&out, slice_str("old"));
    logged_reset();
    assert_errno(frame_open(&cf, "a/b.blob", 200, slice_of(frame.data, frame.len - 1), &out), EIO);
    assert_logged("a/b.blob");
    assert_logged("200");
    assert_logged("cut off");
    assert_int_equal(out.len, 0);
    assert_errno(frame_open(&cf, "f", 200, slice_of(zeros, sizeof zeros), &out), EIO);
    assert_logged("zeros");
    assert_errno(frame_open(&cf, "f", 201, buf_slice(&frame), &out), EIO);
    assert_logged("checksum");
    buf_put_u8(&frame, 0);
    assert_errno(frame_open(&cf, "f", 200, buf_slice(&frame), &out), EIO);
    assert_logged("30 bytes for a frame of 29");
    frame.len--;
    frame.data[8] = 99;
    frame_seal(&cf, 200, frame.data, frame.len);
    assert_errno(frame_open(&cf, "f", 200, buf_slice(&frame), &out), EIO);
    assert_logged("codec 99");
    buf_release(&frame);
    buf_release(&out);
}

/* Damaged payloads with headers that fit: whatever zstd makes of them stays within its memory. */
static void decoding_is_total(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    uint8_t *value = mem_alloc(LEN_MAX);
    for (int i = 0; i < 2000; i++) {
        struct buf frame = {0};
        struct frame_header h;
        size_t len = 64 + simrng_below(&rng, 3000);
        data_fill(&rng, DATA_TEXT, value, len);
        frame_pack(slice_of(value, len), 3, &frame);
        frame_header_decode(frame.data, &h);
        for (uint64_t n = simrng_below(&rng, 4); n > 0 && h.stored_len; n--)
            frame.data[FRAME_HEADER_SIZE + simrng_below(&rng, h.stored_len)] =
                (uint8_t)simrng_next(&rng);
        if (simrng_below(&rng, 3) == 0)
            h.raw_len = (uint32_t)simrng_below(&rng, 2 * len);
        if (simrng_below(&rng, 3) == 0)
            h.stored_len = (uint32_t)simrng_below(&rng, h.stored_len + 1);
        uint8_t *stored = mem_dup(frame.data + FRAME_HEADER_SIZE, h.stored_len);
        unpack_as(&h, slice_of(stored, h.stored_len));
        free(stored);
        buf_release(&frame);
    }
    free(value);
}

static void random_bytes_are_no_frame(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct codec_file cf = file_numbered(3);
    for (int i = 0; i < 20000; i++) {
        struct frame_header h;
        size_t len = simrng_below(&rng, 100);
        uint8_t *bytes = mem_alloc(len);
        data_fill(&rng, DATA_RANDOM, bytes, len);
        if (len >= 8 && simrng_coin(&rng)) { /* lengths that could be */
            put_u32(bytes, (uint32_t)simrng_below(&rng, 100));
            put_u32(bytes + 4, (uint32_t)simrng_below(&rng, 100));
        }
        assert_int_not_equal(frame_verify(&cf, 200, slice_of(bytes, len), &h), FRAME_OK);
        free(bytes);
    }
}

/* ---- threads ---- */

static void *pack_in_thread(void *arg)
{
    struct simrng rng = {*(uint64_t *)arg};
    uint8_t *value = mem_alloc(LEN_MAX);
    for (int i = 0; i < 30; i++) {
        size_t len = random_len(&rng);
        data_fill(&rng, (enum data)simrng_below(&rng, DATA_KINDS), value, len);
        round_trip(slice_of(value, len), (int)simrng_below(&rng, 5));
    }
    free(value);
    return NULL;
}

/* Each thread has a context to itself while it compresses, and leaves none behind (the leak
 * sanitizer looks). */
static void threads_do_not_meet(void **state)
{
    (void)state;
    enum { THREADS = 4, ROUNDS = 5 };
    uint64_t seeds[THREADS] = {unit_seed()};
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        for (uint64_t i = 0; i < THREADS; i++) {
            seeds[i] = seeds[0] + i;
            assert_int_equal(pthread_create(&threads[i], NULL, pack_in_thread, &seeds[i]), 0);
        }
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static size_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*u %lu", &pages), 1);
    fclose(f);
    return pages * 4096;
}

enum { TURNS = 32, TURN_BYTES = 128 << 10 };

struct turns {
    pthread_mutex_t lock;  /* one compresses at a time, */
    pthread_barrier_t all; /* but none ends before all have */
    uint8_t *value;
};

static void *pack_in_turn(void *arg)
{
    struct turns *t = arg;
    struct buf out = {0};
    pthread_mutex_lock(&t->lock);
    frame_pack(slice_of(t->value, TURN_BYTES), 3, &out);
    pthread_mutex_unlock(&t->lock);
    assert_true(out.len < TURN_BYTES / 2);
    pthread_barrier_wait(&t->all);
    buf_release(&out);
    return NULL;
}

/* What compressing takes is lent: it is not as much as there are threads, but as many as do so at a
 * time. */
static void threads_share_memory(void **state)
{
    struct turns t = {.lock = PTHREAD_MUTEX_INITIALIZER, .value = calloc(1, TURN_BYTES)};
    pthread_t threads[TURNS];
    struct simrng rng = {unit_seed()};
    (void)state;
    for (size_t i = 0; i < TURN_BYTES; i++)
        t.value[i] = (uint8_t)simrng_below(&rng, 4);
    pthread_barrier_init(&t.all, NULL, TURNS + 1);
    size_t before = resident_bytes();
    for (int i = 0; i < TURNS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pack_in_turn, &t), 0);
    pthread_barrier_wait(&t.all);
    size_t after = resident_bytes();
    for (int i = 0; i < TURNS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    size_t outputs = TURNS * (size_t)TURN_BYTES; /* at most, if none was released */
    if (!VARVE_SANITIZED)
        assert_true(after <= before + outputs + (6 << 20));
    pthread_barrier_destroy(&t.all);
    free(t.value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back),
        cmocka_unit_test(compressed_only_where_it_pays),
        cmocka_unit_test(a_sixteenth_must_be_saved),
        cmocka_unit_test(a_compressible_part_is_found),
        cmocka_unit_test(checksum_is_as_documented),
        cmocka_unit_test(packing_appends),
        cmocka_unit_test(a_moved_frame_does_not_verify),
        cmocka_unit_test(every_field_of_the_file_header_matters),
        cmocka_unit_test(any_damage_is_seen),
        cmocka_unit_test(absurd_lengths_are_refused_unread),
        cmocka_unit_test(what_does_not_decode_is_an_error),
        cmocka_unit_test(opening_says_what_is_wrong),
        cmocka_unit_test(decoding_is_total),
        cmocka_unit_test(random_bytes_are_no_frame),
        cmocka_unit_test(threads_do_not_meet),
        cmocka_unit_test(threads_share_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
