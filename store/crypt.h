/* crypt: the ciphers, from libcrypto: AES-256-GCM (NIST SP 800-38D), HKDF-SHA256 (RFC 5869),
 * HMAC-SHA256 (RFC 2104) and scrypt (RFC 7914). What they are used for is in codec.h and
 * keyslots.h; nothing here knows of files.
 *
 * Whoever seals sees to it that no nonce is used twice with one key: with GCM two messages under
 * one nonce give away both, and the key of the tags. */
#ifndef VARVE_STORE_CRYPT_H
#define VARVE_STORE_CRYPT_H

#include "store/bytes.h"

enum {
    CRYPT_KEY_SIZE = 32,
    CRYPT_NONCE_SIZE = 12,
    CRYPT_TAG_SIZE = 16,
    CRYPT_MAC_SIZE = 32, /* HMAC-SHA256 */
    CRYPT_INFO_MAX = 256,
};

/* ---- AES-256-GCM ---- */

/* A key that is ready for use: the key schedule is computed once for each thread that works with it
 * at the same time, and kept. Thread-safe. */
struct crypt_key;

/* Copies `key`. */
struct crypt_key *crypt_key_new(const uint8_t key[CRYPT_KEY_SIZE]);
/* Wipes the key and all that was made of it. NULL is fine. */
void crypt_key_free(struct crypt_key *k);

/* Encrypts `len` bytes (0 is fine: then only `extra` is authenticated) from `in` to `out`, which
 * are the same or do not overlap. */
void crypt_seal(struct crypt_key *k, const uint8_t nonce[CRYPT_NONCE_SIZE], struct slice extra,
                const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[CRYPT_TAG_SIZE]);
/* The other way round. Returns 0, or -EBADMSG when the tag does not hold: then `out` is zeros. */
int crypt_open(struct crypt_key *k, const uint8_t nonce[CRYPT_NONCE_SIZE], struct slice extra,
               const uint8_t *in, size_t len, uint8_t *out, const uint8_t tag[CRYPT_TAG_SIZE]);

/* ---- keys from keys ---- */

void crypt_hmac(struct slice key, struct slice data, uint8_t out[CRYPT_MAC_SIZE]);
/* `len` bytes (at most 255 * 32) from a secret, a salt (may be empty) and what they are for (at
 * most CRYPT_INFO_MAX bytes). */
void crypt_hkdf(struct slice secret, struct slice salt, struct slice info, uint8_t *out,
                size_t len);

/* What a guess costs: 128 * r * 2^log_n bytes of memory, and p times the work. */
struct crypt_cost {
    uint8_t log_n;
    uint16_t r, p;
};
/* Returns 0, or -ENOMEM when there is no memory for it. All costs above 0. */
int crypt_scrypt(struct slice passphrase, struct slice salt, const struct crypt_cost *cost,
                 uint8_t *out, size_t len);

#endif
