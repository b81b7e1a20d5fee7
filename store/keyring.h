/* keyring: the master keys of an open volume, one for each generation (epoch), in locked memory;
 * and the keys of its files, which are made of them.
 *
 * The key of a file is HKDF-SHA256 of the master key of its epoch, with the salt of the file's
 * header, for "varvefs file", its kind (u8), the uuid in that header, and its number (u64). Salts
 * are random, so no two files have the same key, not even one that was restored from a backup and
 * written on. A volume that began as a checkpoint of another has that one's keys, and the ring the
 * other's uuid: whose file it may be is not the ring's to say (lineage.h).
 *
 * Thread-safe. */
#ifndef VARVE_STORE_KEYRING_H
#define VARVE_STORE_KEYRING_H

#include "store/crypt.h"
#include "store/format_keys.h"

struct keyring;

/* Empty, for the volume `uuid`. Never NULL. */
struct keyring *keyring_new(const uint8_t uuid[UUID_SIZE]);
/* Wipes all. NULL is fine. */
void keyring_free(struct keyring *k);

/* Adds a generation: newer than all that are there, of which there are fewer than
 * KEY_GENERATIONS_MAX (asserted). */
void keyring_add(struct keyring *k, const struct key_generation *g);
/* Forgets the generations before `epoch`, which stays (asserted). */
void keyring_drop_before(struct keyring *k, uint32_t epoch);
/* The generation that new files are written with; 0: there is none. */
uint32_t keyring_current(struct keyring *k);
uint32_t keyring_count(struct keyring *k);
/* Copies all, oldest first; returns how many. The caller wipes them. */
uint32_t keyring_copy(struct keyring *k, struct key_generation out[KEY_GENERATIONS_MAX]);

const uint8_t *keyring_uuid(const struct keyring *k);

/* The key of the file that `header` begins. 0 with a key that is the caller's, or -ENOKEY when the
 * generation that it names is not here. */
int keyring_file_key(struct keyring *k, const struct file_header *header, struct crypt_key **out);

#endif
