/* codec: the block pipeline, the same for tables, blobs, logs and manifests: compress, (encrypt,)
 * checksum. A frame is the unit: header (format.h) and stored payload.
 *
 * Making a frame has two steps, so that the costly one can be done before the place is known, by
 * any thread: frame_pack() compresses; frame_seal() binds the frame to a file and an offset. A
 * frame that was moved, swapped with another, or read from another file does not verify.
 *
 * What is on disk, for a second reader (h = the 24 header bytes, XXH3 = XXH3_64bits_withSeed):
 *
 *   file seed      XXH3(file header, 96 bytes, seed 0)
 *   place seed     file seed ^ (offset of h * 0x9E3779B97F4A7C15 mod 2^64)
 *   checksum       XXH3(payload as stored, seed XXH3(h[0..16], seed place seed))
 *
 *   codec 0, raw   payload = value                          stored length = raw length
 *   codec 1, zstd  payload = zstd frames of the value, the content size left out
 *
 * The flags are 0, and so is the dictionary number, unless the codec is 2. */
#ifndef VARVE_STORE_CODEC_H
#define VARVE_STORE_CODEC_H

#include "store/format.h"

/* The identity of one file, from its header; frames are bound to it. Plain data: copy freely. */
struct codec_file {
    uint64_t seed;
    uint64_t number;
    enum file_kind kind;
};

/* `header` as it was encoded. */
void codec_file_init(struct codec_file *cf, const struct file_header *header);

/* The checksum seed for bytes at `offset` of that file. */
uint64_t codec_seed(const struct codec_file *cf, uint64_t offset);

/* zstd level 0 stores raw. Values below 64 bytes, and what zstd cannot shrink by at least 1/16, are
 * stored raw. Appends header (checksum still zero) and payload to `*out`. payload.len <=
 * FRAME_RAW_MAX. Returns the frame's whole length. Thread-safe; keeps a compression context per
 * thread. */
uint32_t frame_pack(struct slice payload, int zstd_level, struct buf *out);

/* The payload as stored of the whole frame in `frame`. */
static inline struct slice frame_stored(struct slice frame)
{
    return slice_of(frame.data + FRAME_HEADER_SIZE, frame.len - FRAME_HEADER_SIZE);
}

/* Writes the checksum of the packed frame at `frame` (frame.len bytes) for its place. Sealing again
 * for another place is allowed: that is how a frame moves without being compressed again. */
void frame_seal(const struct codec_file *cf, uint64_t offset, uint8_t *frame, size_t len);

enum frame_verdict {
    FRAME_OK,
    FRAME_SHORT, /* the bytes end before the frame does */
    FRAME_ZERO,  /* the header is all zeros: nothing was ever written here */
    FRAME_BAD,   /* does not verify, or its header is absurd */
};

/* Checks the frame at the front of `in`, which was read from `offset` of that file. On FRAME_OK
 * `*h` is its header, and header and payload take FRAME_HEADER_SIZE + h->stored_len bytes. Does not
 * decompress. */
enum frame_verdict frame_verify(const struct codec_file *cf, uint64_t offset, struct slice in,
                                struct frame_header *h);

/* For messages. Static text. */
const char *frame_verdict_text(enum frame_verdict verdict);

/* Whether the stored bytes of a frame that verified are the value itself, to be used without
 * decoding. */
static inline bool frame_is_plain(const struct frame_header *h)
{
    return h->codec == CODEC_RAW && h->cipher == CIPHER_NONE && h->dict == 0 && h->flags == 0 &&
           h->stored_len == h->raw_len;
}

/* Decodes a frame that verified: appends h->raw_len bytes to `*out`. Returns 0 or -EIO (payload
 * does not decode to what the header says, unknown codec or cipher). */
int frame_unpack(const struct frame_header *h, struct slice stored, struct buf *out);
/* The same into memory of exactly h->raw_len bytes. */
int frame_unpack_to(const struct frame_header *h, struct slice stored, uint8_t *out);

/* Verifies and decodes in one go the frame that fills `in` exactly. Raises corrupt() with `name`
 * and `offset` on any fault. Replaces the contents of `*out`. Returns 0 or -EIO. */
int frame_open(const struct codec_file *cf, const char *name, uint64_t offset, struct slice in,
               struct buf *out);

#endif
