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
 * header and the offset. So a frame verifies at one place of one file only. */
#include "store/codec_priv.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>
#include <xxhash.h>

/* The odd number next to 2^64 divided by the golden ratio: neighbouring offsets differ in many
 * bits. */
#define OFFSET_FACTOR UINT64_C(0x9E3779B97F4A7C15)

/* ---- packing ---- */

uint32_t frame_pack_how(struct slice payload, const struct pack_how *how, struct buf *out)
{
    assert(payload.len <= FRAME_RAW_MAX);
    uint8_t *frame = buf_reserve(out, FRAME_HEADER_SIZE + payload.len);
    uint8_t *stored = frame + FRAME_HEADER_SIZE;
    struct frame_header h = {.raw_len = (uint32_t)payload.len};
    size_t len = zstd_pack(payload, how, stored);
    if (len > 0) {
        h.codec = how->dict ? CODEC_ZSTD_DICT : CODEC_ZSTD;
        h.dict = how->dict ? codec_dict_id(how->dict) : 0;
    } else if (payload.len) {
        memcpy(stored, payload.data, payload.len);
        len = payload.len;
    }
    assert(len <= payload.len);
    h.stored_len = (uint32_t)len;
    frame_header_encode(&h, frame);
    out->len += FRAME_HEADER_SIZE + len;
    return (uint32_t)(FRAME_HEADER_SIZE + len);
}

uint32_t frame_pack(struct slice payload, int zstd_level, struct buf *out)
{
    struct pack_how how = {.zstd_level = zstd_level};
    return frame_pack_how(payload, &how, out);
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

struct codec_dict *codec_dicts_find(const struct codec_dicts *dicts, uint16_t id)
{
    for (uint32_t i = 0; dicts && i < dicts->count; i++)
        if (codec_dict_id(dicts->list[i]) == id)
            return dicts->list[i];
    return NULL;
}

/* `packed` is what frame_pack() made of the value. */
static int decode(const struct codec_file *cf, const struct frame_header *h, struct slice packed,
                  uint8_t *out)
{
    if (h->codec == CODEC_RAW && packed.len == h->raw_len) {
        if (packed.len)
            memcpy(out, packed.data, packed.len);
        return 0;
    }
    if (h->codec == CODEC_ZSTD)
        return zstd_unpack(packed, NULL, out, h->raw_len);
    const struct codec_dict *dict = codec_dicts_find(cf->dicts, h->dict);
    return h->codec == CODEC_ZSTD_DICT && dict ? zstd_unpack(packed, dict, out, h->raw_len) : -EIO;
}

/* Decrypts to `room`, which may be where `stored` begins, or if it is NULL to memory of its own. */
static int decode_encrypted(const struct codec_file *cf, uint64_t offset,
                            const struct frame_header *h, struct slice stored, uint8_t *room,
                            uint8_t *out)
{
    if (stored.len < FRAME_SEAL_SIZE)
        return -EIO;
    size_t len = stored.len - FRAME_SEAL_SIZE;
    if (h->codec == CODEC_RAW)
        return len == h->raw_len ? codec_open(cf, offset, h, stored, out) : -EIO;
    uint8_t *packed = room ? room : codec_scratch(len);
    int err = codec_open(cf, offset, h, stored, packed);
    return err ? err : decode(cf, h, slice_of(packed, len), out);
}

static int unpack(const struct codec_file *cf, uint64_t offset, const struct frame_header *h,
                  struct slice stored, uint8_t *room, uint8_t *out)
{
    assert(stored.len == h->stored_len);
    assert(h->raw_len <= FRAME_RAW_MAX);
    bool names_dict = h->codec == CODEC_ZSTD_DICT;
    if (h->cipher != cf->cipher || (h->dict != 0) != names_dict || h->flags != 0)
        return -EIO;
    if (h->cipher == CIPHER_NONE)
        return decode(cf, h, stored, out);
    return decode_encrypted(cf, offset, h, stored, room, out);
}

int frame_unpack_to(const struct codec_file *cf, uint64_t offset, const struct frame_header *h,
                    struct slice stored, uint8_t *out)
{
    return unpack(cf, offset, h, stored, NULL, out);
}

int frame_unpack_last(const struct codec_file *cf, uint64_t offset, const struct frame_header *h,
                      uint8_t *stored, uint8_t *out)
{
    return unpack(cf, offset, h, slice_of(stored, h->stored_len), stored, out);
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
        return corrupt(name, offset,
                       "the frame does not decode (codec %u, cipher %u, dictionary %u)", h.codec,
                       h.cipher, h.dict);
    return 0;
}
