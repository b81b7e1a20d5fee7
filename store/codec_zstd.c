/* codec_zstd: see codec_zstd.h.
 *
 * What cannot be compressed is found out cheaply, in three ways. Up to level 4 zstd gives up on
 * large random values by itself (128 KiB in 12 us, less than copying them). From level 5 on it
 * takes twenty times that, so that large values are tried on a sample first. And in a stream whose
 * last values did not shrink, a count of 512 bytes, which costs a tenth of trying to compress 4
 * KiB, decides for most of those that follow.
 *
 * Invariants:
 *   1. A context to decompress with belongs to one thread and ends with it. One to compress with,
 *      which takes a megabyte, is lent to a thread for a value: the one that came back last, so
 *      that there are as many as have been in use at a time lately. Which dictionary it uses is set
 * for each value, so that none outlives its owner's reference there. What is set for one value in
 *      a hurry is taken back before the next.
 *   2. zstd has no level that counts bytes and looks for no repeats; it is put together from
 *      parameters, of which one is not promised to stay. Where zstd does not take it hurrying does
 *      nothing (hurry_begin()), and all else goes on. */
#define ZSTD_STATIC_LINKING_ONLY /* for ZSTD_c_literalCompressionMode: invariant 2 */
#include "store/codec_priv.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

enum {
    COMPRESS_MIN = 64,        /* shorter values are stored raw */
    SAMPLE_FROM_LEVEL = 5,    /* on a sample is tried from this level on, */
    SAMPLE_ABOVE = 16 * 1024, /* of values longer than this */
    SAMPLE_PIECES = 8,        /* spread over the value, so that data of two kinds shows both */
    SAMPLE_PIECE_BYTES = 512,
    SAMPLE_BYTES = SAMPLE_PIECES * SAMPLE_PIECE_BYTES,
    SAMPLE_LEVEL = 1,
    MISSES_WARY = 4,      /* after so many misses in a row bytes are counted first, */
    MISSES_TRY_EACH = 16, /* but each so many-th is tried whatever they say */
    COUNTED = 512,
    HURRY_LEVEL = 1,              /* hurrying is for this level, */
    HURRY_ABOVE = 32 * 1024,      /* and for values longer than this */
    HURRY_SAMPLE = 16 * 1024,     /* from the middle of one */
    HURRY_VALUES = 8,             /* that go by one sample */
    IDLE_MAX = 64,                /* contexts to compress with that nobody uses */
    IDLE_PERIOD = 4096,           /* values: as many contexts are kept as were in use at a time
                                     within one to two of these */
    SCRATCH_KEPT_BYTES = 1 << 20, /* memory beyond this is not kept for the next frame */
    FRAME_KEPT_BYTES = 256 << 10, /* the same of codec_frame_room(), which all that read have */
};

/* ---- contexts ---- */

struct contexts {
    ZSTD_CCtx *compress; /* while a value is compressed; otherwise NULL */
    ZSTD_DCtx *decompress;
    struct buf scratch; /* codec_scratch() */
    struct buf frame;   /* codec_frame_room() */
};

static _Thread_local struct contexts *own_contexts;
static pthread_key_t contexts_key; /* only for its destructor; written once, under contexts_once */
static pthread_once_t contexts_once = PTHREAD_ONCE_INIT;

static struct {
    pthread_mutex_t lock;
    unsigned count, in_use;    /* [lock] contexts */
    unsigned borrowed;         /* [lock] in this period, of IDLE_PERIOD */
    unsigned peak, last_peak;  /* [lock] of in_use, in this period and in the one before */
    ZSTD_CCtx *list[IDLE_MAX]; /* [lock] */
} idle = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void contexts_free(void *arg)
{
    struct contexts *c = arg;
    assert(!c->compress);
    ZSTD_freeDCtx(c->decompress);
    buf_release(&c->scratch);
    buf_release(&c->frame);
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
static ZSTD_CCtx *new_compress(void)
{
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    if (!ctx)
        abort();
    /* The frame header has the length already, and a checksum of everything. */
    size_t rc = ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, 0);
    assert(!ZSTD_isError(rc));
    return ctx;
}

static void borrow_compress(void)
{
    struct contexts *c = contexts_get();
    assert(!c->compress);
    pthread_mutex_lock(&idle.lock);
    if (idle.count > 0)
        c->compress = idle.list[--idle.count];
    if (idle.borrowed++ == IDLE_PERIOD) {
        idle.last_peak = idle.peak;
        idle.peak = idle.borrowed = 0;
    }
    idle.in_use++;
    if (idle.peak < idle.in_use)
        idle.peak = idle.in_use;
    pthread_mutex_unlock(&idle.lock);
    if (!c->compress)
        c->compress = new_compress();
}

static void return_compress(void)
{
    struct contexts *c = contexts_get();
    ZSTD_CCtx *ctx = c->compress;
    c->compress = NULL;
    pthread_mutex_lock(&idle.lock);
    unsigned wanted = idle.peak > idle.last_peak ? idle.peak : idle.last_peak;
    idle.in_use--;
    if (idle.count < IDLE_MAX && idle.count + idle.in_use < wanted) {
        idle.list[idle.count++] = ctx;
        ctx = NULL;
    }
    pthread_mutex_unlock(&idle.lock);
    ZSTD_freeCCtx(ctx);
}

static ZSTD_CCtx *compress_context(void)
{
    assert(own_contexts->compress);
    return own_contexts->compress;
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

struct buf *codec_frame_room(void)
{
    struct buf *frame = &contexts_get()->frame;
    if (frame->cap > FRAME_KEPT_BYTES)
        buf_release(frame);
    buf_clear(frame);
    return frame;
}

/* ---- compressing ---- */

/* Compresses into at most `room` bytes; 0 when it does not fit. */
static size_t compress_within(struct slice in, int level, struct codec_dict *dict, uint8_t *out,
                              size_t room)
{
    ZSTD_CCtx *ctx = compress_context();
    size_t rc = ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, level);
    assert(!ZSTD_isError(rc));
    rc = ZSTD_CCtx_refCDict(ctx, dict ? codec_dict_for_level(dict, level) : NULL);
    assert(!ZSTD_isError(rc));
    size_t len = ZSTD_compress2(ctx, out, room, in.data, in.len);
    if (ZSTD_isError(len)) { /* no dictionary may be set in the midst of a value */
        ZSTD_CCtx_reset(ctx, ZSTD_reset_session_only);
        return 0;
    }
    assert(len > 0 && len <= room);
    return len;
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
    return compress_within(slice_of(sample, SAMPLE_BYTES), SAMPLE_LEVEL, NULL, out, room) > 0;
}

/* Are the bytes spread as evenly as random ones are? Of n random bytes the squares of the counts
 * add up to n + n * (n - 1) / 256 = 1534, with a deviation of 45; of base64, in which each byte has
 * 6 bits, to 4600; of text to 20000. */
static bool looks_random(struct slice in)
{
    enum { RANDOM_MOST = 2200 };
    uint16_t counts[256] = {0};
    uint32_t squares = 0;
    size_t stride = in.len / COUNTED;
    if (stride == 0)
        return false;
    for (size_t i = 0; i < COUNTED; i++)
        squares += 2U * counts[in.data[i * stride]]++ + 1U; /* (c + 1)^2 - c^2 */
    return squares <= RANDOM_MOST;
}

/* Is it known without trying that compressing does not pay? */
static bool is_hopeless(struct slice in, const struct pack_how *how)
{
    uint8_t *misses = how->misses;
    if (misses && *misses >= MISSES_WARY && looks_random(in)) {
        *misses = *misses < MISSES_WARY + MISSES_TRY_EACH ? *misses + 1 : MISSES_WARY;
        return *misses > MISSES_WARY;
    }
    return how->zstd_level >= SAMPLE_FROM_LEVEL && in.len > SAMPLE_ABOVE && !sample_shrinks(in);
}

static void note(uint8_t *misses, bool shrunk)
{
    if (!misses)
        return;
    if (shrunk)
        *misses = 0;
    else if (*misses < MISSES_WARY)
        (*misses)++;
}

/* ---- in a hurry ---- */

static bool set(ZSTD_cParameter what, int value)
{
    return !ZSTD_isError(ZSTD_CCtx_setParameter(compress_context(), what, value));
}

/* From here on zstd hardly looks for repeats: it steps over 64 bytes after each that it looked for
 * in vain, and codes what is left by how often bytes occur, which it otherwise does not do when it
 * takes such steps. */
static bool hurry_begin(void)
{
    return set(ZSTD_c_targetLength, 64) && set(ZSTD_c_minMatch, 7) && set(ZSTD_c_hashLog, 10) &&
           set(ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
}

static void hurry_end(void)
{
    bool back = set(ZSTD_c_targetLength, 0) && set(ZSTD_c_minMatch, 0) && set(ZSTD_c_hashLog, 0);
    assert(back);
    (void)back;
    set(ZSTD_c_literalCompressionMode, ZSTD_ps_auto);
}

/* As compress_within() at HURRY_LEVEL. */
static size_t compress_hurried(struct slice in, uint8_t *out, size_t room)
{
    size_t len = hurry_begin() ? compress_within(in, HURRY_LEVEL, NULL, out, room) : 0;
    hurry_end();
    return len;
}

/* Do repeats save less than a fifth of a piece of the value? In program text they save half, in
 * text that is all its own a tenth. */
static bool repeats_save_little(struct slice in)
{
    uint8_t out[HURRY_SAMPLE];
    struct slice sample = slice_of(in.data + (in.len - HURRY_SAMPLE) / 2, HURRY_SAMPLE);
    size_t without = compress_hurried(sample, out, HURRY_SAMPLE);
    size_t with = without ? compress_within(sample, HURRY_LEVEL, NULL, out, HURRY_SAMPLE) : 0;
    return with > without / 5 * 4;
}

static bool is_for_hurry(struct slice in, const struct pack_how *how)
{
    struct pack_hurry *h = how->hurry;
    if (!h || how->zstd_level != HURRY_LEVEL || how->dict || in.len <= HURRY_ABOVE)
        return false;
    if (h->left == 0) {
        h->no_match = repeats_save_little(in);
        h->left = HURRY_VALUES;
    }
    h->left--;
    return h->no_match;
}

static size_t try_pack(struct slice in, const struct pack_how *how, uint8_t *out)
{
    size_t room = zstd_useful_len(in.len);
    size_t len = is_for_hurry(in, how) ? compress_hurried(in, out, room) : 0;
    if (len == 0)
        len = compress_within(in, how->zstd_level, how->dict, out, room);
    note(how->misses, len > 0);
    return len;
}

size_t zstd_pack(struct slice in, const struct pack_how *how, uint8_t *out)
{
    assert(how->zstd_level >= 0 && how->zstd_level <= ZSTD_LEVEL_MAX);
    if (how->zstd_level == 0 || in.len < COMPRESS_MIN)
        return 0;
    borrow_compress();
    size_t len = is_hopeless(in, how) ? 0 : try_pack(in, how, out);
    return_compress();
    return len;
}

int zstd_unpack(struct slice stored, const struct codec_dict *dict, uint8_t *out, size_t raw_len)
{
    /* An error code of zstd is larger than any length. */
    size_t len = ZSTD_decompress_usingDDict(decompress_context(), out, raw_len, stored.data,
                                            stored.len, dict ? dict->decode : NULL);
    return len == raw_len ? 0 : -EIO;
}
