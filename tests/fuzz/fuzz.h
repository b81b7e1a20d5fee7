/* fuzz: what every fuzz target starts with: bytes taken off the input, and payloads made of it.
 *
 * Checksums would stop a fuzzer at the door, so no target leaves them to chance: what it makes is
 * sealed as if we had written it. And few targets begin from nothing: fuzz_payload() takes a sound
 * sample that the target makes at its start, and the input says how it is damaged. So there are no
 * corpora to keep: the seeds are in the targets, and follow the format when it changes. */
#ifndef VARVE_FUZZ_FUZZ_H
#define VARVE_FUZZ_FUZZ_H

#include <assert.h>
#include <stdlib.h>

#include "store/bytes.h"
#include "store/err.h"

/* libFuzzer calls these. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_no_message(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    (void)text;
}

/* Damage is what this is about: nobody wants to read of it. */
static inline void fuzz_quiet(void)
{
    log_set_sink(fuzz_no_message, NULL);
}

/* ---- numbers off the input; zeros once it has ended ---- */

static inline uint8_t fuzz_u8(struct slice *in)
{
    uint8_t v = 0;
    take_u8(in, &v);
    return v;
}

static inline uint16_t fuzz_u16(struct slice *in)
{
    uint16_t v = 0;
    if (!take_u16(in, &v))
        v = fuzz_u8(in);
    return v;
}

static inline uint32_t fuzz_u32(struct slice *in)
{
    uint32_t v = 0;
    if (!take_u32(in, &v))
        v = fuzz_u16(in);
    return v;
}

static inline uint64_t fuzz_u64(struct slice *in)
{
    uint64_t v = 0;
    if (!take_u64(in, &v))
        v = fuzz_u32(in);
    return v;
}

/* Up to `most` bytes: as many as a leading byte says, and as there are. */
static inline struct slice fuzz_bytes(struct slice *in, size_t most)
{
    struct slice out = {0};
    size_t len = fuzz_u8(in);
    len = len < most ? len : most;
    take_bytes(in, len < in->len ? len : in->len, &out);
    return out;
}

/* ---- damage ---- */

/* One change within the bytes, which stay as many as they are. */
static inline void fuzz_change(struct slice *in, uint8_t *bytes, size_t len)
{
    if (len == 0)
        return;
    uint8_t how = fuzz_u8(in);
    size_t at = fuzz_u16(in) % len;
    switch (how % 4) {
    case 0:
        bytes[at] = fuzz_u8(in);
        break;
    case 1:
        bytes[at] = (uint8_t)(bytes[at] ^ 1 << (how >> 5));
        break;
    case 2:
        bytes[at] = (uint8_t)(bytes[at] + (how >> 2) - 32);
        break;
    default:
        if (len >= sizeof(uint32_t) && at <= len - sizeof(uint32_t))
            put_u32(bytes + at, fuzz_u32(in));
    }
}

/* One change that also changes how many they are. */
static inline void fuzz_resize(struct slice *in, struct buf *b)
{
    uint8_t how = fuzz_u8(in);
    size_t at = fuzz_u16(in) % (b->len + 1), n = how >> 2;
    if (how % 4 == 0) {
        b->len = at;
    } else if (how % 4 == 1) { /* a piece is gone */
        n = n < b->len - at ? n : b->len - at;
        memmove(b->data + at, b->data + at + n, b->len - at - n);
        b->len -= n;
    } else { /* a piece comes in: bytes of the input, or the beginning once more */
        uint8_t piece[64] = {0};
        for (size_t i = 0; i < n; i++)
            piece[i] = how % 4 == 2 ? fuzz_u8(in) : i < b->len ? b->data[i] : 0;
        buf_reserve(b, n);
        memmove(b->data + at + n, b->data + at, b->len - at);
        memcpy(b->data + at, piece, n);
        b->len += n;
    }
}

/* Replaces `*out` by a payload: the rest of the input as it is, or `sample`, damaged as the input
 * says. */
static inline void fuzz_payload(struct slice *in, struct slice sample, struct buf *out)
{
    uint8_t how = fuzz_u8(in);
    buf_clear(out);
    if (how % 8 == 7) {
        buf_append(out, *in);
        *in = (struct slice){0};
        return;
    }
    buf_append(out, sample);
    for (int i = 0; i < 1 + how % 8 && in->len > 0; i++) {
        if (fuzz_u8(in) % 4 == 0)
            fuzz_resize(in, out);
        else
            fuzz_change(in, out->data, out->len);
    }
}

#endif
