/* crypt_short: see crypt_short.h.
 *
 * GCM encrypts counters, which begin at 1 behind the nonce: the first for the tag, each further one
 * for a block of the message. All are known before anything is encrypted. So they are written down
 * and encrypted in one go; libcrypto's GCM, which asks a function of its caller's for each when it
 * wants it, gets what is there already.
 *
 * Invariants:
 * 1. What GCM asks for is found by the counter that it names, so its order is its own affair.
 * 2. stream[i] is counter i + 1 of the message in hand, encrypted, for i < count. While a key is
 *    made ready there is no message: what GCM asks for then (a block of zeros) is encrypted for
 *    it. */
#include "store/crypt_short.h"

#include "store/secret.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/modes.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    BLOCK_SIZE = 16,
    BLOCKS_MAX = CRYPT_SHORT_MAX / BLOCK_SIZE + 1, /* and the one for the tag */
};

_Static_assert(CRYPT_SHORT_MAX % BLOCK_SIZE == 0, "whole blocks");

struct crypt_short {
    EVP_CIPHER_CTX *aes;
    GCM128_CONTEXT *gcm;
    size_t count; /* of the blocks in `stream` */
    uint8_t stream[BLOCKS_MAX][BLOCK_SIZE];
};

static void must(bool worked)
{
    if (!worked)
        abort(); /* as in crypt.c: there is no memory, or it is a mistake of ours */
}

/* `in` and `out` may be the same. */
static void encrypt_blocks(EVP_CIPHER_CTX *aes, const uint8_t *in, size_t count, uint8_t *out)
{
    int len = (int)count * BLOCK_SIZE, done = 0;
    must(EVP_EncryptUpdate(aes, out, &done, in, len) && done == len);
}

/* ---- what GCM asks for ---- */

static const uint8_t *stream_at(const struct crypt_short *s, const uint8_t counter[BLOCK_SIZE],
                                size_t blocks)
{
    size_t i = (size_t)get_be32(counter + CRYPT_NONCE_SIZE) - 1;
    must(i < s->count && blocks <= s->count - i);
    return s->stream[i];
}

static void give_block(const unsigned char *counter, unsigned char *out, const void *key)
{
    const struct crypt_short *s = key;
    if (s->count == 0)
        encrypt_blocks(s->aes, counter, 1, out);
    else
        memcpy(out, stream_at(s, counter, 1), BLOCK_SIZE);
}

static void run_blocks(const unsigned char *in, unsigned char *out, size_t blocks, const void *key,
                       const unsigned char *counter)
{
    const uint8_t *stream = stream_at(key, counter, blocks);
    for (size_t i = 0; i < blocks * BLOCK_SIZE; i += sizeof(uint64_t))
        put_u64(out + i, get_u64(in + i) ^ get_u64(stream + i));
}

/* ---- keys ---- */

static EVP_CIPHER *aes_ecb; /* written once, under aes_ecb_once */
static pthread_once_t aes_ecb_once = PTHREAD_ONCE_INIT;

static void aes_ecb_fetch(void)
{
    aes_ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
    must(aes_ecb);
}

static EVP_CIPHER_CTX *aes_new(const uint8_t key[CRYPT_KEY_SIZE])
{
    pthread_once(&aes_ecb_once, aes_ecb_fetch);
    EVP_CIPHER_CTX *aes = EVP_CIPHER_CTX_new();
    must(aes && EVP_EncryptInit_ex2(aes, aes_ecb, key, NULL, NULL) &&
         EVP_CIPHER_CTX_set_padding(aes, 0));
    return aes;
}

struct crypt_short *crypt_short_new(const uint8_t key[CRYPT_KEY_SIZE])
{
    struct crypt_short *s = mem_zalloc(sizeof *s);
    s->aes = aes_new(key);
    s->gcm = CRYPTO_gcm128_new(s, give_block);
    must(s->gcm);
    return s;
}

void crypt_short_free(struct crypt_short *s)
{
    if (!s)
        return;
    CRYPTO_gcm128_release(s->gcm); /* wipes, as the next */
    EVP_CIPHER_CTX_free(s->aes);
    secret_wipe(s, sizeof *s);
    free(s);
}

/* ---- messages ---- */

/* Encrypts the counters of a message of `len` bytes. */
static void make_stream(struct crypt_short *s, const uint8_t nonce[CRYPT_NONCE_SIZE], size_t len)
{
    assert(len <= CRYPT_SHORT_MAX);
    s->count = 1 + (len + BLOCK_SIZE - 1) / BLOCK_SIZE;
    for (uint32_t i = 0; i < s->count; i++) {
        memcpy(s->stream[i], nonce, CRYPT_NONCE_SIZE);
        put_be32(s->stream[i] + CRYPT_NONCE_SIZE, i + 1);
    }
    encrypt_blocks(s->aes, s->stream[0], s->count, s->stream[0]);
}

static void begin(struct crypt_short *s, const uint8_t nonce[CRYPT_NONCE_SIZE], struct slice extra,
                  size_t len)
{
    make_stream(s, nonce, len);
    CRYPTO_gcm128_setiv(s->gcm, nonce, CRYPT_NONCE_SIZE);
    if (extra.len > 0)
        must(CRYPTO_gcm128_aad(s->gcm, extra.data, extra.len) == 0);
}

void crypt_short_seal(struct crypt_short *s, const uint8_t nonce[CRYPT_NONCE_SIZE],
                      struct slice extra, const uint8_t *in, size_t len, uint8_t *out,
                      uint8_t tag[CRYPT_TAG_SIZE])
{
    begin(s, nonce, extra, len);
    if (len > 0)
        must(CRYPTO_gcm128_encrypt_ctr32(s->gcm, in, out, len, run_blocks) == 0);
    CRYPTO_gcm128_tag(s->gcm, tag, CRYPT_TAG_SIZE);
}

bool crypt_short_open(struct crypt_short *s, const uint8_t nonce[CRYPT_NONCE_SIZE],
                      struct slice extra, const uint8_t *in, size_t len, uint8_t *out,
                      const uint8_t tag[CRYPT_TAG_SIZE])
{
    uint8_t expected[CRYPT_TAG_SIZE]; /* it may lie where `out` is */
    memcpy(expected, tag, sizeof expected);
    begin(s, nonce, extra, len);
    if (len > 0)
        must(CRYPTO_gcm128_decrypt_ctr32(s->gcm, in, out, len, run_blocks) == 0);
    return CRYPTO_gcm128_finish(s->gcm, expected, sizeof expected) == 0;
}
