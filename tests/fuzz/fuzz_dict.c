/* A dictionary and a frame that was made with it: whatever the bytes of either are, decoding stays
 * within them; undamaged it gives the value, and with another dictionary never a wrong one as long
 * as that says which it is. */
#include <stdio.h>
#include <zdict.h>

#include "store/codec.h"
#include "store/dicts.h"
#include "store/table_priv.h"
#include "tests/fuzz/fuzz.h"

enum { VALUE_BYTES = 4096, SAMPLES = 200, SAMPLE_BYTES = 120 };
static struct buf content, frame;
static uint8_t value[VALUE_BYTES];

static void fill(uint8_t *out, size_t len, unsigned seed)
{
    char line[SAMPLE_BYTES + 1];
    for (size_t at = 0; at < len; at += SAMPLE_BYTES) {
        seed = seed * 1664525 + 1013904223;
        int n =
            snprintf(line, sizeof line, "{\"inode\":%u,\"mode\":33188,\"links\":1,\"owner\":%u,",
                     seed >> 7, seed >> 25);
        memset(line + n, ' ', sizeof line - (size_t)n);
        memcpy(out + at, line, len - at < SAMPLE_BYTES ? len - at : SAMPLE_BYTES);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    static uint8_t samples[SAMPLES * SAMPLE_BYTES];
    size_t lens[SAMPLES];
    struct codec_dict *dict;
    fuzz_quiet();
    fill(samples, sizeof samples, 1);
    for (size_t i = 0; i < SAMPLES; i++)
        lens[i] = SAMPLE_BYTES;
    size_t len = ZDICT_trainFromBuffer(buf_reserve(&content, 2048), 2048, samples, lens, SAMPLES);
    assert(!ZDICT_isError(len));
    content.len = len;
    int err = codec_dict_new(DICT_ID, buf_slice(&content), &dict);
    assert(err == 0);
    (void)err;
    fill(value, sizeof value, 99);
    struct pack_how how = {.zstd_level = 3, .dict = dict};
    frame_pack_how(slice_of(value, sizeof value), &how, &frame);
    codec_dict_unref(dict);
    return 0;
}

/* Decodes `stored` with the dictionary of those bytes. */
static void decode(struct slice bytes, struct slice stored, uint32_t raw_len, bool same)
{
    struct codec_dict *dict = NULL;
    uint8_t *exact = mem_dup(bytes.data, bytes.len);
    int err = codec_dict_share(DICT_ID, slice_of(exact, bytes.len), &dict);
    free(exact); /* it has a copy */
    assert((err == 0) == (dict != NULL));
    assert(err || table_dict_is(bytes));
    uint8_t *out = mem_alloc(raw_len), *in = mem_dup(stored.data, stored.len);
    int rc = zstd_unpack(slice_of(in, stored.len), dict, out, raw_len);
    assert(!same || rc == 0);
    if (same)
        assert(memcmp(out, value, raw_len) == 0);
    bool whole = slice_eq(bytes, buf_slice(&content));
    if (err == 0) { /* what it is used for besides */
        struct pack_how how = {.zstd_level = 1, .dict = dict};
        struct buf packed = {0};
        struct frame_header h;
        frame_pack_how(slice_of(value, sizeof value), &how, &packed);
        frame_header_decode(packed.data, &h);
        uint8_t back[VALUE_BYTES];
        if (h.codec == CODEC_ZSTD_DICT) {
            rc = zstd_unpack(frame_stored(buf_slice(&packed)), dict, back, sizeof back);
            assert(!whole || (rc == 0 && memcmp(back, value, sizeof back) == 0));
        }
        buf_release(&packed);
    }
    free(out);
    free(in);
    codec_dict_unref(dict);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct buf bytes = {0}, stored = {0};
    struct slice sound = frame_stored(buf_slice(&frame));
    uint8_t what = fuzz_u8(&in);
    uint32_t raw_len = what & 4 ? fuzz_u16(&in) : VALUE_BYTES;
    buf_set(&bytes, buf_slice(&content));
    buf_set(&stored, sound);
    if (what & 1)
        fuzz_payload(&in, buf_slice(&content), &bytes);
    if (what & 2)
        fuzz_payload(&in, sound, &stored);
    bool same = slice_eq(buf_slice(&bytes), buf_slice(&content)) &&
                slice_eq(buf_slice(&stored), sound) && raw_len == VALUE_BYTES;
    decode(buf_slice(&bytes), buf_slice(&stored), raw_len, same);
    buf_release(&bytes);
    buf_release(&stored);
    return 0;
}
