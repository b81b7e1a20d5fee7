/* unlock: gets at the keys of a store with what its options say of secrets. */
#ifndef VARVE_STORE_UNLOCK_H
#define VARVE_STORE_UNLOCK_H

#include "store/keyslots.h"
#include "store/store.h"

/* Asks for a passphrase, in locked memory, and calls `use` with it; its result is returned. -EINVAL
 * for an empty one, or what `secret` returns instead of one. */
typedef int unlock_use_fn(void *ctx, struct slice passphrase);
int unlock_ask(const struct store_secret *secret, unlock_use_fn *use, void *ctx);

/* What a passphrase that is set now shall cost. */
struct crypt_cost unlock_cost(const struct store_options *o);

/* New keys for the store that is being made in `dir`, written there. */
int unlock_new(struct env *env, const char *dir, const struct store_options *o,
               const uint8_t uuid[UUID_SIZE], struct keyslots **out);
/* The keys of the store in `dir`: NULL when it is not encrypted. 0, or an error as store_open() has
 * it. */
int unlock_store(struct env *env, const char *dir, const struct store_options *o,
                 struct keyslots **out);
/* Raises that KEYS is missing although files are encrypted. */
int unlock_missing(struct env *env, const char *dir);

#endif
