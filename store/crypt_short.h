/* crypt_short: AES-256-GCM of short messages, by the parts that libcrypto makes it of.
 *
 * What libcrypto does for a message besides encrypting it (a nonce set, a tag asked for: some
 * hundred comparisons of names) takes longer than a record of the log takes to be encrypted. Here a
 * message is one call for AES, of all its counters at once (EVP, in ECB mode), and GCM's own
 * functions for the tag (openssl/modes.h), which get that for their cipher. The result is the same,
 * bit by bit. For crypt.c only; docs/decisions/0081. */
#ifndef VARVE_STORE_CRYPT_SHORT_H
#define VARVE_STORE_CRYPT_SHORT_H

#include "store/crypt.h"

enum { CRYPT_SHORT_MAX = 1024 }; /* of longer ones libcrypto's way is the faster one */

/* A key made ready. Used by one thread at a time. */
struct crypt_short;

struct crypt_short *crypt_short_new(const uint8_t key[CRYPT_KEY_SIZE]);
/* Wipes what was made of the key. NULL is fine. */
void crypt_short_free(struct crypt_short *s);

/* As crypt_seal() and crypt_open(), of at most CRYPT_SHORT_MAX bytes (asserted). */
void crypt_short_seal(struct crypt_short *s, const uint8_t nonce[CRYPT_NONCE_SIZE],
                      struct slice extra, const uint8_t *in, size_t len, uint8_t *out,
                      uint8_t tag[CRYPT_TAG_SIZE]);
/* False when the tag does not hold: then what is in `out` must not be used. */
bool crypt_short_open(struct crypt_short *s, const uint8_t nonce[CRYPT_NONCE_SIZE],
                      struct slice extra, const uint8_t *in, size_t len, uint8_t *out,
                      const uint8_t tag[CRYPT_TAG_SIZE]);

#endif
