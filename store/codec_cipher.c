/* codec_cipher: the cipher half of the block pipeline; the layout is in codec.h.
 *
 * Guarantees: what decrypts was sealed by somebody who has the file's key, for this file, this
 * offset, with this header and this length. A frame that was changed, moved, swapped, repeated or
 * cut off does not; nor does the footer of a table that became longer or shorter.
 *
 * Invariants:
 * 1. A nonce is used once with a file's key. Its first byte tells frames from the footer, of which
 *    there is one; and of frames no two have the same offset and draft (append.c, invariant 4).
 *    Another file has another key, since its salt is random.
 * 2. In an encrypted file nothing is taken that is not encrypted.
 * 3. The checksum is over what is on disk, and says nothing of what it was before. */
#include "store/codec_priv.h"

#include "store/crypt.h"

#include <assert.h>
#include <errno.h>

enum { DOMAIN_FRAME = 0, DOMAIN_FOOTER = 1 };

enum {
    BOUND_HEADER_SIZE = 16, /* of the frame header: all but the checksum */
    PLACE_SIZE = 16,
    BOUND_FRAME_SIZE = BOUND_HEADER_SIZE + PLACE_SIZE,
    BOUND_FOOTER_SIZE = FOOTER_TAGGED_SIZE + PLACE_SIZE,
};

_Static_assert(FRAME_TAG_SIZE == (int)CRYPT_TAG_SIZE, "a frame has room for the tag");

static void make_nonce(unsigned domain, uint32_t draft, uint64_t offset,
                       uint8_t out[CRYPT_NONCE_SIZE])
{
    assert(draft <= FRAME_DRAFT_MAX);
    put_u32(out, domain | draft << 8);
    put_u64(out + 4, offset);
}

/* The end of what is authenticated besides the payload. */
static void put_place(const struct codec_file *cf, uint64_t offset, uint8_t out[PLACE_SIZE])
{
    put_u64(out, offset);
    put_u64(out + 8, cf->number);
}

/* ---- frames ---- */

void frame_encrypt(const struct codec_file *cf, uint64_t offset, uint32_t draft, struct buf *bytes,
                   size_t at)
{
    uint8_t nonce[CRYPT_NONCE_SIZE], bound[BOUND_FRAME_SIZE];
    struct frame_header h;
    assert(cf->cipher == CIPHER_AES256_GCM && cf->key);
    assert(at + FRAME_HEADER_SIZE <= bytes->len);
    frame_header_decode(bytes->data + at, &h);
    size_t len = h.stored_len;
    assert(at + FRAME_HEADER_SIZE + len == bytes->len && h.cipher == CIPHER_NONE);
    uint8_t *tail = buf_reserve(bytes, FRAME_SEAL_SIZE), *frame = bytes->data + at;
    h.stored_len += FRAME_SEAL_SIZE;
    h.cipher = cf->cipher;
    h.key_epoch = cf->key_epoch;
    frame_header_encode(&h, frame);
    make_nonce(DOMAIN_FRAME, draft, offset, nonce);
    memcpy(bound, frame, BOUND_HEADER_SIZE);
    put_place(cf, offset, bound + BOUND_HEADER_SIZE);
    uint8_t *payload = frame + FRAME_HEADER_SIZE;
    crypt_seal(cf->key, nonce, slice_of(bound, sizeof bound), payload, len, payload, tail);
    put_u32(tail + CRYPT_TAG_SIZE, draft);
    bytes->len += FRAME_SEAL_SIZE;
}

int codec_open(const struct codec_file *cf, uint64_t offset, const struct frame_header *h,
               struct slice stored, uint8_t *out)
{
    uint8_t nonce[CRYPT_NONCE_SIZE], header[FRAME_HEADER_SIZE], bound[BOUND_FRAME_SIZE];
    assert(cf->key && stored.len >= FRAME_SEAL_SIZE && stored.len == h->stored_len);
    size_t len = stored.len - FRAME_SEAL_SIZE;
    const uint8_t *tail = stored.data + len;
    uint32_t draft = get_u32(tail + CRYPT_TAG_SIZE);
    if (h->cipher != cf->cipher || h->key_epoch != cf->key_epoch || draft > FRAME_DRAFT_MAX)
        return -EIO;
    frame_header_encode(h, header);
    make_nonce(DOMAIN_FRAME, draft, offset, nonce);
    memcpy(bound, header, BOUND_HEADER_SIZE);
    put_place(cf, offset, bound + BOUND_HEADER_SIZE);
    return crypt_open(cf->key, nonce, slice_of(bound, sizeof bound), stored.data, len, out, tail)
               ? -EIO
               : 0;
}

int frame_decrypt(const struct codec_file *cf, uint64_t offset, struct buf *frame)
{
    struct frame_header h;
    assert(frame->len >= FRAME_HEADER_SIZE);
    frame_header_decode(frame->data, &h);
    if (h.cipher != cf->cipher)
        return -EIO;
    if (h.cipher == CIPHER_NONE)
        return 0;
    if (h.stored_len < FRAME_SEAL_SIZE || frame->len != (size_t)FRAME_HEADER_SIZE + h.stored_len)
        return -EIO;
    uint8_t *payload = frame->data + FRAME_HEADER_SIZE;
    int err = codec_open(cf, offset, &h, slice_of(payload, h.stored_len), payload);
    if (err)
        return err;
    h.stored_len -= FRAME_SEAL_SIZE;
    h.cipher = CIPHER_NONE;
    h.key_epoch = 0;
    h.checksum = 0;
    frame_header_encode(&h, frame->data);
    frame->len -= FRAME_SEAL_SIZE;
    return 0;
}

/* ---- the footer ---- */

static bool footer_is_tagged(const struct codec_file *cf, const struct table_footer *f)
{
    static const uint8_t none[FRAME_TAG_SIZE];
    return cf->cipher != CIPHER_NONE || memcmp(f->tag, none, sizeof none) == 0;
}

uint64_t footer_encode(const struct codec_file *cf, uint64_t offset, struct table_footer *f,
                       uint8_t out[TABLE_FOOTER_SIZE])
{
    uint64_t seed = codec_seed(cf, offset);
    memset(f->tag, 0, sizeof f->tag);
    if (cf->cipher != CIPHER_NONE) {
        uint8_t nonce[CRYPT_NONCE_SIZE], bound[BOUND_FOOTER_SIZE];
        assert(cf->key);
        table_footer_encode(f, seed, out);
        make_nonce(DOMAIN_FOOTER, 0, offset, nonce);
        memcpy(bound, out, FOOTER_TAGGED_SIZE);
        put_place(cf, offset, bound + FOOTER_TAGGED_SIZE);
        crypt_seal(cf->key, nonce, slice_of(bound, sizeof bound), NULL, 0, NULL, f->tag);
    }
    return table_footer_encode(f, seed, out);
}

int footer_decode(const struct codec_file *cf, uint64_t offset, const uint8_t in[TABLE_FOOTER_SIZE],
                  struct table_footer *out, uint64_t *tag)
{
    uint8_t nonce[CRYPT_NONCE_SIZE], bound[BOUND_FOOTER_SIZE];
    int err = table_footer_decode(in, codec_seed(cf, offset), out, tag);
    if (err || !footer_is_tagged(cf, out))
        return -EIO;
    if (!cf->key)
        return 0;
    make_nonce(DOMAIN_FOOTER, 0, offset, nonce);
    memcpy(bound, in, FOOTER_TAGGED_SIZE);
    put_place(cf, offset, bound + FOOTER_TAGGED_SIZE);
    return crypt_open(cf->key, nonce, slice_of(bound, sizeof bound), NULL, 0, NULL, out->tag) ? -EIO
                                                                                              : 0;
}
