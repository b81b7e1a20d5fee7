/* codec: the block pipeline, the same for tables, blobs, logs and manifests: compress, encrypt,
 * checksum. A frame is the unit: header (format.h) and stored payload.
 *
 * Making a frame has several steps, so that the costly one can be done before the place is known,
 * by any thread: frame_pack() compresses; frame_encrypt(), in a file that has a key, and
 * frame_seal() bind the frame to a file and an offset. A frame that was moved, swapped with
 * another, or read from another file does not verify, and whoever has no key cannot make one that
 * decodes.
 *
 * What is on disk, for a second reader (h = the 24 header bytes, XXH3 = XXH3_64bits_withSeed):
 *
 *   file seed      XXH3(file header, 96 bytes, seed 0)
 *   place seed     file seed ^ (offset of h * 0x9E3779B97F4A7C15 mod 2^64)
 *   checksum       XXH3(payload as stored, seed XXH3(h[0..16], seed place seed))
 *
 *   codec 0, raw   payload = value                          stored length = raw length
 *   codec 1, zstd  payload = zstd frames of the value, the content size left out
 *   codec 2, zstd  the same, made with the dictionary that the frame names
 *
 *   cipher 1      payload = encrypted payload of codec 0, 1 or 2, tag (16), draft u32
 *                 AES-256-GCM under the file's key (keyring.h); the nonce is u8 0, draft u24,
 *                 offset u64; authenticated, too: h[0..16], offset u64, file number u64
 *   table footer  its tag: the same of no payload; the nonce is u8 1, zeros (3), offset u64;
 *                 authenticated: bytes 0 to 63 of the footer, offset u64, file number u64
 *
 * The flags are 0, and so is the dictionary number, unless the codec is 2. */
#ifndef VARVE_STORE_CODEC_H
#define VARVE_STORE_CODEC_H

#include "store/codec_zstd.h"
#include "store/format.h"

struct crypt_key;

/* The dictionaries that the frames of a file name: a few. */
struct codec_dicts {
    struct codec_dict **list; /* borrowed */
    uint32_t count;
};
/* NULL: there is none of that number. `dicts` may be NULL. */
struct codec_dict *codec_dicts_find(const struct codec_dicts *dicts, uint16_t id);

/* The identity of one file, from its header; frames are bound to it. Plain data: copy freely, while
 * the file is open. */
struct codec_file {
    uint64_t seed;
    uint64_t number;
    enum file_kind kind;
    uint8_t cipher;
    uint16_t key_epoch;    /* low bits, as its frames have them */
    struct crypt_key *key; /* borrowed; NULL: none, or not known: then frames can be verified, but
                              neither made nor decoded */
    const struct codec_dicts *dicts; /* borrowed; NULL: none; needed for decoding only */
};

/* `header` as it was encoded. Without a key. */
void codec_file_init(struct codec_file *cf, const struct file_header *header);

/* The checksum seed for bytes at `offset` of that file. */
uint64_t codec_seed(const struct codec_file *cf, uint64_t offset);

/* zstd level 0 stores raw. Values below 64 bytes, and what zstd cannot shrink by at least 1/16, are
 * stored raw. Appends header (checksum still zero) and payload to `*out`. payload.len <=
 * FRAME_RAW_MAX. Returns the frame's whole length. Thread-safe; keeps a compression context per
 * thread. */
uint32_t frame_pack(struct slice payload, int zstd_level, struct buf *out);
/* The same with a dictionary, or with a memory of what did not shrink (codec_zstd.h). */
uint32_t frame_pack_how(struct slice payload, const struct pack_how *how, struct buf *out);

/* The payload as stored of the whole frame in `frame`. */
static inline struct slice frame_stored(struct slice frame)
{
    return slice_of(frame.data + FRAME_HEADER_SIZE, frame.len - FRAME_HEADER_SIZE);
}

/* Encrypts the packed frame that begins at bytes->data[at] and ends at the end of `*bytes`, for its
 * place in a file that has a key. The frame grows by FRAME_SEAL_SIZE. No two frames of a file may
 * have the same offset and draft, be they ever so short-lived (append.c sees to it);
 * draft <= FRAME_DRAFT_MAX. */
void frame_encrypt(const struct codec_file *cf, uint64_t offset, uint32_t draft, struct buf *bytes,
                   size_t at);
/* Makes the frame in `*frame`, read from `offset` of that file, where it verified, what
 * frame_pack() had made: that is how a frame moves to another place, or under another key, without
 * being compressed again. Returns 0 or -EIO (it is none that was written here with this key). */
int frame_decrypt(const struct codec_file *cf, uint64_t offset, struct buf *frame);

/* Writes the checksum of the frame at `frame` (frame.len bytes), packed or encrypted, for its
 * place. */
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

/* Whether the stored bytes of a frame that verified in that file are the value itself, to be used
 * without decoding. Never in an encrypted file, whatever the frame says of itself. */
static inline bool frame_is_plain(const struct codec_file *cf, const struct frame_header *h)
{
    return cf->cipher == CIPHER_NONE && h->codec == CODEC_RAW && h->cipher == CIPHER_NONE &&
           h->dict == 0 && h->flags == 0 && h->stored_len == h->raw_len;
}

/* Decodes a frame that verified at `offset` of that file: appends h->raw_len bytes to `*out`.
 * Returns 0 or -EIO (payload does not decode to what the header says, or was not written with the
 * file's key; unknown codec or cipher). */
int frame_unpack(const struct codec_file *cf, uint64_t offset, const struct frame_header *h,
                 struct slice stored, struct buf *out);
/* The same into memory of exactly h->raw_len bytes. */
int frame_unpack_to(const struct codec_file *cf, uint64_t offset, const struct frame_header *h,
                    struct slice stored, uint8_t *out);
/* The same, and `stored` (h->stored_len bytes) is used up: what is encrypted is decrypted where it
 * is, and not in memory of its own. */
int frame_unpack_last(const struct codec_file *cf, uint64_t offset, const struct frame_header *h,
                      uint8_t *stored, uint8_t *out);

/* Memory of this thread for a frame from its reading to its decoding, which would otherwise be
 * fresh for each: an empty buffer, good until this thread asks again. */
struct buf *codec_frame_room(void);

/* Verifies and decodes in one go the frame that fills `in` exactly. Raises corrupt() with `name`
 * and `offset` on any fault. Replaces the contents of `*out`. Returns 0 or -EIO. */
int frame_open(const struct codec_file *cf, const char *name, uint64_t offset, struct slice in,
               struct buf *out);

/* The footer of a table for `offset` of that file; fills in f->tag. Returns the tag that the
 * manifest knows the table by. */
uint64_t footer_encode(const struct codec_file *cf, uint64_t offset, struct table_footer *f,
                       uint8_t out[TABLE_FOOTER_SIZE]);
/* Returns 0, or -EIO when it is not what was written there (without the key: when its checksum does
 * not hold). */
int footer_decode(const struct codec_file *cf, uint64_t offset, const uint8_t in[TABLE_FOOTER_SIZE],
                  struct table_footer *out, uint64_t *tag);

#endif
