/* crypt: see crypt.h.
 *
 * libcrypto spends more on setting up a cipher than on encrypting a small frame. So the cipher is
 * fetched once for the process, and a key keeps contexts in which its schedule is computed already;
 * a use only sets the nonce, and short messages do without that, too (crypt_short.h). A context is
 * for one thread at a time: who needs one takes it out of its slot, and puts it back after.
 *
 * Invariants:
 * 1. A context in a slot belongs to the key, has its schedule, and is used by nobody.
 * 2. Failures of libcrypto other than a tag that does not hold mean that there is no memory, or a
 *    mistake of ours, and end the process as in mem_alloc(). */
#include "store/crypt.h"

#include "store/crypt_short.h"
#include "store/secret.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    CONTEXT_SLOTS = 4,     /* threads that work with one file at the same time, without making
                              contexts anew */
    PIECE_BYTES = 1 << 30, /* libcrypto counts in ints */
    HKDF_BLOCKS_MAX = 255,
};

_Static_assert(CONTEXT_SLOTS == 1 << 2, "first_slot() has two bits");

/* Each half is made when it is needed first. */
struct context {
    EVP_CIPHER_CTX *cipher;
    struct crypt_short *brief;
};

struct crypt_key {
    struct context *slots[CONTEXT_SLOTS]; /* atomic */
    uint8_t key[CRYPT_KEY_SIZE];
};

/* ---- contexts ---- */

static EVP_CIPHER *aes_gcm; /* written once, under aes_gcm_once */
static pthread_once_t aes_gcm_once = PTHREAD_ONCE_INIT;

static void must(bool worked)
{
    if (!worked)
        abort();
}

static void aes_gcm_fetch(void)
{
    aes_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    must(aes_gcm);
}

/* Threads begin their search at different slots, so that each mostly finds its own again. */
static unsigned first_slot(void)
{
    static _Thread_local char here; /* its place tells threads apart, but not in the low bits */
    return (unsigned)((uint64_t)(uintptr_t)&here * UINT64_C(0x9E3779B97F4A7C15) >> 62);
}

static void context_free(struct context *c)
{
    if (!c)
        return;
    EVP_CIPHER_CTX_free(c->cipher); /* wipes the schedule */
    crypt_short_free(c->brief);
    free(c);
}

static struct context *context_take(struct crypt_key *k, unsigned first)
{
    for (unsigned i = 0; i < CONTEXT_SLOTS; i++) {
        struct context **slot = &k->slots[(first + i) % CONTEXT_SLOTS], *c = NULL;
        if (__atomic_load_n(slot, __ATOMIC_RELAXED))
            c = __atomic_exchange_n(slot, NULL, __ATOMIC_ACQUIRE);
        if (c)
            return c;
    }
    return mem_zalloc(sizeof(struct context));
}

static void context_give(struct crypt_key *k, unsigned first, struct context *c)
{
    for (unsigned i = 0; i < CONTEXT_SLOTS; i++) {
        struct context *empty = NULL;
        if (__atomic_compare_exchange_n(&k->slots[(first + i) % CONTEXT_SLOTS], &empty, c, false,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            return;
    }
    context_free(c);
}

static EVP_CIPHER_CTX *cipher_of(struct context *c, const struct crypt_key *k)
{
    if (!c->cipher) {
        pthread_once(&aes_gcm_once, aes_gcm_fetch);
        c->cipher = EVP_CIPHER_CTX_new();
        must(c->cipher && EVP_EncryptInit_ex2(c->cipher, aes_gcm, k->key, NULL, NULL));
    }
    return c->cipher;
}

static struct crypt_short *brief_of(struct context *c, const struct crypt_key *k)
{
    if (!c->brief)
        c->brief = crypt_short_new(k->key);
    return c->brief;
}

struct crypt_key *crypt_key_new(const uint8_t key[CRYPT_KEY_SIZE])
{
    struct crypt_key *k = mem_zalloc(sizeof *k);
    memcpy(k->key, key, CRYPT_KEY_SIZE);
    return k;
}

void crypt_key_free(struct crypt_key *k)
{
    if (!k)
        return;
    for (int i = 0; i < CONTEXT_SLOTS; i++)
        context_free(k->slots[i]);
    secret_wipe(k, sizeof *k);
    free(k);
}

/* ---- AES-256-GCM ---- */

/* Runs `len` bytes through the context. */
static bool update(EVP_CIPHER_CTX *ctx, const uint8_t *in, size_t len, uint8_t *out)
{
    bool good = true;
    while (good && len > 0) {
        int piece = len < PIECE_BYTES ? (int)len : PIECE_BYTES, done = 0;
        good = EVP_CipherUpdate(ctx, out, &done, in, piece) && done == piece;
        in += piece;
        out += piece;
        len -= (size_t)piece;
    }
    return good;
}

static bool update_extra(EVP_CIPHER_CTX *ctx, struct slice extra)
{
    int done;
    assert(extra.len <= INT_MAX);
    return extra.len == 0 || EVP_CipherUpdate(ctx, NULL, &done, extra.data, (int)extra.len);
}

static void seal_long(EVP_CIPHER_CTX *ctx, const uint8_t nonce[CRYPT_NONCE_SIZE],
                      struct slice extra, const uint8_t *in, size_t len, uint8_t *out,
                      uint8_t tag[CRYPT_TAG_SIZE])
{
    uint8_t none[CRYPT_TAG_SIZE];
    int done = 0;
    must(EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) && update_extra(ctx, extra) &&
         update(ctx, in, len, out) && EVP_EncryptFinal_ex(ctx, none, &done) && done == 0 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, CRYPT_TAG_SIZE, tag));
}

static bool open_long(EVP_CIPHER_CTX *ctx, const uint8_t nonce[CRYPT_NONCE_SIZE],
                      struct slice extra, const uint8_t *in, size_t len, uint8_t *out,
                      const uint8_t tag[CRYPT_TAG_SIZE])
{
    uint8_t expected[CRYPT_TAG_SIZE], none[CRYPT_TAG_SIZE];
    int done = 0;
    memcpy(expected, tag, sizeof expected);
    must(EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce, NULL) && update_extra(ctx, extra) &&
         update(ctx, in, len, out) &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, CRYPT_TAG_SIZE, expected));
    bool holds = EVP_DecryptFinal_ex(ctx, none, &done) > 0;
    if (!holds)
        ERR_clear_error();
    return holds;
}

void crypt_seal(struct crypt_key *k, const uint8_t nonce[CRYPT_NONCE_SIZE], struct slice extra,
                const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[CRYPT_TAG_SIZE])
{
    unsigned first = first_slot();
    struct context *c = context_take(k, first);
    if (len <= CRYPT_SHORT_MAX)
        crypt_short_seal(brief_of(c, k), nonce, extra, in, len, out, tag);
    else
        seal_long(cipher_of(c, k), nonce, extra, in, len, out, tag);
    context_give(k, first, c);
}

int crypt_open(struct crypt_key *k, const uint8_t nonce[CRYPT_NONCE_SIZE], struct slice extra,
               const uint8_t *in, size_t len, uint8_t *out, const uint8_t tag[CRYPT_TAG_SIZE])
{
    unsigned first = first_slot();
    struct context *c = context_take(k, first);
    bool holds = len <= CRYPT_SHORT_MAX
                     ? crypt_short_open(brief_of(c, k), nonce, extra, in, len, out, tag)
                     : open_long(cipher_of(c, k), nonce, extra, in, len, out, tag);
    context_give(k, first, c);
    if (holds)
        return 0;
    secret_wipe(out, len);
    return -EBADMSG;
}

/* ---- keys from keys ---- */

void crypt_hmac(struct slice key, struct slice data, uint8_t out[CRYPT_MAC_SIZE])
{
    unsigned len = 0;
    assert(key.len <= INT_MAX);
    /* It takes no NULL for an empty key. */
    must(HMAC(EVP_sha256(), key.len ? key.data : (const uint8_t *)"", (int)key.len, data.data,
              data.len, out, &len));
    assert(len == CRYPT_MAC_SIZE);
}

void crypt_hkdf(struct slice secret, struct slice salt, struct slice info, uint8_t *out, size_t len)
{
    uint8_t extracted[CRYPT_MAC_SIZE], block[CRYPT_MAC_SIZE + CRYPT_INFO_MAX + 1];
    uint8_t made[CRYPT_MAC_SIZE] = {0};
    size_t before = 0; /* bytes of the block before this one */
    assert(info.len <= CRYPT_INFO_MAX && len <= (size_t)HKDF_BLOCKS_MAX * CRYPT_MAC_SIZE);
    crypt_hmac(salt, secret, extracted);
    for (uint8_t number = 1; len > 0; number++) {
        memcpy(block, made, before);
        if (info.len)
            memcpy(block + before, info.data, info.len);
        block[before + info.len] = number;
        crypt_hmac(slice_of(extracted, sizeof extracted), slice_of(block, before + info.len + 1),
                   made);
        before = sizeof made;
        size_t piece = len < sizeof made ? len : sizeof made;
        memcpy(out, made, piece);
        out += piece;
        len -= piece;
    }
    secret_wipe(extracted, sizeof extracted);
    secret_wipe(block, sizeof block);
    secret_wipe(made, sizeof made);
}

int crypt_scrypt(struct slice passphrase, struct slice salt, const struct crypt_cost *cost,
                 uint8_t *out, size_t len)
{
    assert(cost->log_n > 0 && cost->log_n < 32 && cost->r > 0 && cost->p > 0);
    uint64_t n = UINT64_C(1) << cost->log_n;
    /* What it needs, and some more: the default limit is below what we ask for. */
    uint64_t memory = 128 * cost->r * (n + cost->p + 2) + (1 << 20);
    int good = EVP_PBE_scrypt(passphrase.len ? (const char *)passphrase.data : "", passphrase.len,
                              salt.data, salt.len, n, cost->r, cost->p, memory, out, len);
    if (good)
        return 0;
    ERR_clear_error();
    secret_wipe(out, len);
    return -ENOMEM;
}
