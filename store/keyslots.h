/* keyslots: the keys of an encrypted volume as they are kept in its file KEYS (format_keys.h), and
 * who may open them.
 *
 *   passphrase --scrypt--> 64 bytes: wrapping key, check key
 *     slot n:  root key, AES-256-GCM under the wrapping key, a random nonce, authenticating uuid,
 *              slot number, cost, time, salt and label (key_slot_extra());
 *              check = HMAC-SHA256 under the check key of the same bytes and the nonce
 *   root key --HKDF-SHA256, the ring's salt, "varvefs ring" and uuid--> ring key
 *     ring:    all generations, AES-256-GCM under the ring key, a random nonce, authenticating the
 *              file up to the ring, and the count (key_ring_extra())
 *
 * Salt and nonce are fresh at every wrap. The check tells a wrong passphrase from a slot that was
 * tampered with, and ties the slot to one passphrase (which GCM alone does not).
 *
 * The file is replaced by rename, synced before and after, so at any moment there is a whole one.
 * None of this is thread-safe: a volume's keys are changed by whoever holds its lock, one thread at
 * a time. */
#ifndef VARVE_STORE_KEYSLOTS_H
#define VARVE_STORE_KEYSLOTS_H

#include "store/env.h"
#include "store/keyring.h"

struct keyslots; /* unlocked; in locked memory */

/* Reads KEYS in `dir` without unlocking it. 0; 1 when there is none; -EIO raised by corrupt();
 * -EPROTONOSUPPORT (logged) for a later version; or another I/O error (logged). */
int keyslots_read(struct env *env, const char *dir, struct key_file *out);

/* New keys for volume `uuid`: generation 1, and slot 0 for `passphrase`. Nothing is written. 0,
 * -ENOMEM, or an error of env->random(). */
int keyslots_new(struct env *env, const uint8_t uuid[UUID_SIZE], struct slice passphrase,
                 const struct crypt_cost *cost, struct keyslots **out);
/* Reads KEYS and opens it with whichever slot the passphrase fits. As keyslots_read(), and
 * -EKEYREJECTED when it fits none; -EIO raised by corrupt() also for a slot or ring that was
 * tampered with; -ENOMEM. */
int keyslots_unlock(struct env *env, const char *dir, struct slice passphrase,
                    struct keyslots **out);
/* Wipes. NULL is fine. */
void keyslots_free(struct keyslots *k);

/* Writes KEYS in `dir`, durably. On failure the old file is in force (and nothing is left of the
 * new one, as far as it can be removed), unless the error came from the rename or later: then
 * either may be. */
int keyslots_write(struct keyslots *k, struct env *env, const char *dir);
/* Removes what an interrupted keyslots_write() left. */
void keyslots_remove_temp(struct env *env, const char *dir);

/* What new files are to be written with; lives as long as `k`. */
struct keyring *keyslots_ring(struct keyslots *k);
const struct key_file *keyslots_file(const struct keyslots *k);
/* The slot that unlocked it. */
uint32_t keyslots_slot(const struct keyslots *k);

/* ---- changes, in memory until keyslots_write() ---- */

/* Puts the passphrase in slot `slot`, whatever is there. `label` has at most KEY_LABEL_SIZE - 1
 * bytes (asserted). 0, -ENOMEM, or an error of env->random(). */
int keyslots_set(struct keyslots *k, struct env *env, uint32_t slot, struct slice passphrase,
                 const struct crypt_cost *cost, const char *label);
/* Empties it; another one has to be left (asserted). */
void keyslots_clear(struct keyslots *k, uint32_t slot);
/* 0 when the passphrase fits that slot, -EKEYREJECTED when not, -EIO when it was tampered with
 * (not raised), -ENOMEM. */
int keyslots_try(const struct keyslots *k, uint32_t slot, struct slice passphrase);
/* Starts a new generation, under a new root key: whoever knew the old one, from an old copy of KEYS
 * and a passphrase that was removed since, does not get at the new one. So slots have to be wrapped
 * anew: slot i is kept if passphrases[i] is not empty, with the cost and label it had, and emptied
 * otherwise (one is kept, asserted). 0, -ENOSPC when there are KEY_GENERATIONS_MAX already, or as
 * keyslots_set(); after a failure `k` is only good to be freed. */
int keyslots_rotate(struct keyslots *k, struct env *env, const struct slice passphrases[KEY_SLOTS]);
/* The next keyslots_write() leaves out the generations before `epoch`; when it succeeds they are
 * forgotten. */
void keyslots_drop_before(struct keyslots *k, uint32_t epoch);

#endif
