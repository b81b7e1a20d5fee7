/* codec: see codec.h.
 *
 * Guarantees: frame_verify() and frame_unpack() are total: any bytes end in a verdict, nothing
 * outside the input is read, and nothing past raw_len is written.
 *
 * Invariants:
 * 1. A frame's raw length is at most FRAME_RAW_MAX and its stored length at most its raw length
 * (and FRAME_SEAL_SIZE, if it is encrypted), since what does not shrink is stored raw. frame_pack()
 * asserts it, frame_verify() checks it.
 * 2. The checksum covers every byte of the frame but itself, and its seed every byte of the file
 * header and the offset. So a frame verifies at one place of one file only.
 * 3. Compression contexts belong to one thread and end with it. */
#include "store/codec_priv.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>

enum {
    COMPRESS_MIN = 64, /* shorter values are stored raw */
    /* Of 128 KiB that cannot be compressed, zstd finds it out in 20 to 40 us by itself up to level
     * 4, and in 300 to 500 us from level 5 on; then a sample, at 5 us, is worth while. */
    SAMPLE_FROM_LEVEL = 5,
    SAMPLE_ABOVE = 16 * 1024, /* shorter values are not sampled */
    SAMPLE_PIECES = 8,        /* spread over the value, so that data of two kinds shows both */
    SAMPLE_PIECE_BYTES = 512,
    SAMPLE_BYTES = SAMPLE_PIECES * SAMPLE_PIECE_BYTES,
    SAMPLE_LEVEL = 1,
    SCRATCH_KEPT_BYTES = 1 << 20, /* memory beyond this is not kept for the next frame */
};

/* The odd number next to 2^64 divided by the golden ratio: neighbouring offsets differ in many
 * bits. */
#define OFFSET_FACTOR UINT64_C(0x9E3779B97F4A7C15)

/* ---- contexts ---- */

struct contexts {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
    struct buf scratch; /* codec_scratch() */
};

static _Thread_local struct contexts *own_contexts;
static pthread_key_t contexts_key; /* only for its destructor; written once, under contexts_once */
static pthread_once_t contexts_once = PTHREAD_ONCE_INIT;

static void contexts_free(void *arg)
{
    struct contexts *c = arg;
    ZSTD_freeCCtx(c->compress);
    ZSTD_freeDCtx(c->decompress);
    buf_release(&c->scratch);
    free(c);
    own_contexts = NULL;
}

static void contexts_key_make(void)
{
    int err = pthread_key_create(&contexts_key, contexts_free);
    if (err)
        abort(); /* no key left of the 1024 that every process has: not an error to go on from */
}

static struct contexts *contexts_get(void)
{
    if (!own_contexts) {
        pthread_once(&contexts_once, contexts_key_make);
        own_contexts = mem_zalloc(sizeof *own_contexts);
        if (pthread_setspecific(contexts_key, own_contexts) != 0)
            abort();
    }
    return own_contexts;
}

/* Out of memory ends the process here as in mem_alloc(). */
static ZSTD_CCtx *compress_context(void)
{
    struct contexts *c = contexts_get();
    if (!c->compress) {
        c->compress = ZSTD_createCCtx();
        if (!c->compress)
            abort();
        /* The frame header has the length already, and a checksum of everything. */
        size_t rc = ZSTD_CCtx_setParameter(c->compress, ZSTD_c_contentSizeFlag, 0);
        assert(!ZSTD_isError(rc));
    }
    return c->compress;
}

static ZSTD_DCtx *decompress_context(void)
{
    struct contexts *c = contexts_get();
    if (!c->decompress) {
        c->decompress = ZSTD_createDCtx();
        if (!c->decompress)
            abort();
    }
    return c->decompress;
}

uint8_t *codec_scratch(size_t len)
{
    struct buf *scratch = &contexts_get()->scratch;
    if (scratch->cap > SCRATCH_KEPT_BYTES && len <= SCRATCH_KEPT_BYTES)
        buf_release(scratch);
    return buf_reserve(scratch, len);
}

/* ---- packing ---- */

/* Compresses into at most `room` bytes; 0 when it does not fit. */
static size_t compress_within(struct slice in, int level, uint8_t *out, size_t room)
{
    ZSTD_CCtx *ctx = compress_context();
    size_t rc = ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, level);
    assert(!ZSTD_isError(rc));
    size_t len = ZSTD_compress2(ctx, out, room, in.data, in.len);
    assert(ZSTD_isError(len) || (len > 0 && len <= room));
    return ZSTD_isError(len) ? 0 : len;
}

/* The longest stored form that is worth decompressing again: 15/16 of the value. */
static size_t useful_len(size_t raw_len)
{
    return raw_len - raw_len / 16;
}

/* A guess from a few pieces whether compressing the whole can pay. It errs only where a value is
 * random but repeats itself at a distance, and asks less of the sample, which has few repeats of
 * its own. */
static bool sample_shrinks(struct slice in)
{
    uint8_t sample[SAMPLE_BYTES], out[SAMPLE_BYTES];
    assert(in.len > SAMPLE_BYTES);
    size_t stride = in.len / SAMPLE_PIECES;
    for (size_t i = 0; i < SAMPLE_PIECES; i++)
        memcpy(sample + i * SAMPLE_PIECE_BYTES,
               in.data + i * stride + (stride - SAMPLE_PIECE_BYTES) / 2, SAMPLE_PIECE_BYTES);
    size_t room = SAMPLE_BYTES - SAMPLE_BYTES / 64;
    return compress_within(slice_of(sample, SAMPLE_BYTES), SAMPLE_LEVEL, out, room) > 0;
}

/* Compresses to `out`, which has room for useful_len() bytes. 0: store raw. */
static size_t compress_if_useful(struct slice in, int level, uint8_t *out)
{
    if (level == 0 || in.len < COMPRESS_MIN)
        return 0;
    if (level >= SAMPLE_FROM_LEVEL && in.len > SAMPLE_ABOVE && !sample_shrinks(in))
        return 0;
    return compress_within(in, level, out, useful_len(in.len));
}

uint32_t frame_pack(struct slice payload, int zstd_level, struct buf *out)
{
    assert(payload.len <= FRAME_RAW_MAX);
    assert(zstd_level >= ZSTD_minCLevel() && zstd_level <= ZSTD_maxCLevel());
    uint8_t *frame = buf_reserve(out, FRAME_HEADER_SIZE + payload.len);
    uint8_t *stored = frame + FRAME_HEADER_SIZE;
    struct frame_header h = {.raw_len = (uint32_t)payload.len};
    size_t len = compress_if_useful(payload, zstd_level, stored);
    h.codec = len ? CODEC_ZSTD : CODEC_RAW;
    if (len == 0 && payload.len) {
        memcpy(stored, payload.data, payload.len);
        len = payload.len;
    }
    assert(len <= payload.len);
    h.stored_len = (uint32_t)len;
    frame_header_encode(&h, frame);
    out->len += FRAME_HEADER_SIZE + len;
    return (uint32_t)(FRAME_HEADER_SIZE + len);
}

/* ---- sealing and verifying ---- */

void codec_file_init(struct codec_file *cf, const struct file_header *header)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    file_header_encode(header, bytes);
    *cf = (struct codec_file){.seed = XXH3_64bits(bytes, sizeof bytes),
                              .number = header->number,
                              .kind = header->kind,
                              .cipher = header->cipher,
                              .key_epoch = (uint16_t)header->key_epoch};
}

uint64_t codec_seed(const struct codec_file *cf, uint64_t offset)
{
    return cf->seed ^ (offset * OFFSET_FACTOR);
}

/* The checksum is the last field of the frame header. */
enum { SUMMED_HEADER_BYTES = FRAME_HEADER_SIZE - sizeof(uint64_t) };

static uint64_t frame_checksum(const struct codec_file *cf, uint64_t offset, struct slice frame)
{
    struct slice stored = frame_stored(frame);
    uint64_t seed = XXH3_64bits_withSeed(frame.data, SUMMED_HEADER_BYTES, codec_seed(cf, offset));
    return XXH3_64bits_withSeed(stored.data, stored.len, seed);
}

void frame_seal(const struct codec_file *cf, uint64_t offset, uint8_t *frame, size_t len)
{
    assert(len >= FRAME_HEADER_SIZE && len <= FRAME_SIZE_MAX);
    assert(get_u32(frame) == len - FRAME_HEADER_SIZE);
    put_u64(frame + SUMMED_HEADER_BYTES, frame_checksum(cf, offset, slice_of(frame, len)));
}

static bool header_is_zero(const uint8_t *p)
{
    return (get_u64(p) | get_u64(p + 8) | get_u64(p + 16)) == 0;
}

enum frame_verdict frame_verify(const struct codec_file *cf, uint64_t offset, struct slice in,
                                struct frame_header *h)
{
    *h = (struct frame_header){0};
    if (in.len < FRAME_HEADER_SIZE)
        return FRAME_SHORT;
    if (header_is_zero(in.data))
        return FRAME_ZERO;
    frame_header_decode(in.data, h);
    uint32_t room = h->raw_len + (h->cipher == CIPHER_NONE ? 0 : FRAME_SEAL_SIZE);
    if (h->raw_len > FRAME_RAW_MAX || h->stored_len > room)
        return FRAME_BAD;
    if (in.len - FRAME_HEADER_SIZE < h->stored_len)
        return FRAME_SHORT;
    struct slice frame = slice_of(in.data, FRAME_HEADER_SIZE + h->stored_len);
    return frame_checksum(cf, offset, frame) == h->checksum ? FRAME_OK : FRAME_BAD;
}

const char *frame_verdict_text(enum frame_verdict verdict)
{
    switch (verdict) {
    case FRAME_OK:
        return "the frame is sound";
    case FRAME_SHORT:
        return "the frame is cut off";
    case FRAME_ZERO:
        return "there are zeros in place of the frame";
    case FRAME_BAD:
        return "the checksum of the frame does not hold";
    }
    return "unknown verdict";
}

/* ---- unpacking ---- */

/* `packed` is what frame_pack() made of the value. */
static int decode(const struct frame_header *h, struct slice packed, uint8_t *out)
{
    if (h->codec == CODEC_RAW && packed.len == h->raw_len) {
        if (packed.len)
            memcpy(out, packed.data, packed.len);
        return 0;
    }
    if (h->codec != CODEC_ZSTD)
        return -EIO;
    /* An error code of zstd is larger than any length. */
    size_t len =
        ZSTD_decompressDCtx(decompress_context(), out, h->raw_len, packed.data, packed.len);
    return len == h->raw_len ? 0 : -EIO;
}

static int decode_encrypted(const struct codec_file *cf, uint64_t offset,
                            const struct frame_header *h, struct slice stored, uint8_t *out)
{
    if (stored.len < FRAME_SEAL_SIZE)
        return -EIO;
    size_t len = stored.len - FRAME_SEAL_SIZE;
    if (h->codec == CODEC_RAW)
        return len == h->raw_len ? codec_open(cf, offset, h, stored, out) : -EIO;
    uint8_t *packed = codec_scratch(len);
    int err = codec_open(cf, offset, h, stored, packed);
    return err ? err : decode(h, slice_of(packed, len), out);
}

int frame_unpack_to(const struct codec_file *cf, uint64_t offset, const struct frame_header *h,
                    struct slice stored, uint8_t *out)
{
    assert(stored.len == h->stored_len);
    assert(h->raw_len <= FRAME_RAW_MAX);
    if (h->cipher != cf->cipher || h->dict != 0 || h->flags != 0)
        return -EIO;
    if (h->cipher == CIPHER_NONE)
        return decode(h, stored, out);
    return decode_encrypted(cf, offset, h, stored, out);
}

int frame_unpack(const struct codec_file *cf, uint64_t offset, const struct frame_header *h,
                 struct slice stored, struct buf *out)
{
    int err = frame_unpack_to(cf, offset, h, stored, buf_reserve(out, h->raw_len));
    if (err)
        return err;
    out->len += h->raw_len;
    assert(out->len <= out->cap);
    return 0;
}

int frame_open(const struct codec_file *cf, const char *name, uint64_t offset, struct slice in,
               struct buf *out)
{
    struct frame_header h;
    buf_clear(out);
    enum frame_verdict verdict = frame_verify(cf, offset, in, &h);
    if (verdict != FRAME_OK)
        return corrupt(name, offset, "%s", frame_verdict_text(verdict));
    if (in.len != (size_t)FRAME_HEADER_SIZE + h.stored_len)
        return corrupt(name, offset, "%zu bytes for a frame of %zu", in.len,
                       (size_t)FRAME_HEADER_SIZE + h.stored_len);
    if (frame_unpack(cf, offset, &h, frame_stored(in), out))
        return corrupt(name, offset, "the frame does not decode (codec %u, cipher %u)", h.codec,
                       h.cipher);
    return 0;
}
