/* format_keys: the file KEYS of an encrypted volume: who may open it.
 *
 * Eight slots hold one and the same root key, each encrypted under a key that is made of a
 * passphrase; the ring holds the master keys, one for each generation, encrypted under a key that
 * is made of the root key. So a passphrase is changed without touching the ring, and a generation
 * is dropped without knowing any passphrase. keyslots.h says how the keys are made.
 *
 * KEYS_SIZE bytes, integers little-endian:
 *     0 magic "VRVKEYS\x1a"   8 version u16 (1)   10 zeros (6)   16 volume uuid
 *    32 edition u64: how often the file was written   40 zeros (24)
 *    64 slots, KEY_SLOT_SIZE each   1600 ring   2432 zeros   2552 XXH3 of bytes 0..2552
 *
 * A slot, all zeros when it is free:
 *     0 used u8 (1)   1 log2 N u8   2 r u16   4 p u16 (scrypt's cost)   6 zeros (2)
 *     8 time made i64, nanoseconds   16 salt (32)   48 label (48), text, zeros behind it
 *    96 nonce (12)   108 zeros (4)   112 root key, encrypted (32)   144 tag (16)   160 check (32)
 * The ring:
 *     0 salt (32)   32 nonce (12)   44 count u32, 1 to 16
 *    48 generations, encrypted: 16 of 48 bytes: epoch u32, zeros (4), time made i64, key (32);
 *       those behind `count` are zeros   816 tag (16) */
#ifndef VARVE_STORE_FORMAT_KEYS_H
#define VARVE_STORE_FORMAT_KEYS_H

#include "store/crypt.h"
#include "store/format.h"

enum {
    KEYS_SIZE = 2560,
    KEY_SLOTS = 8,
    KEY_SLOT_SIZE = 192,
    KEY_SLOT_BOUND = 96, /* the part of a slot that its tag and its check bind */
    KEY_LABEL_SIZE = 48, /* of which the last byte is 0 */
    KEY_GENERATIONS_MAX = 16,
    KEY_GENERATION_SIZE = 48,
    KEY_RING_SIZE = KEY_GENERATIONS_MAX * KEY_GENERATION_SIZE,
    KEY_RING_BOUND = 1600, /* bytes of the file that the ring's tag binds: all before the ring */
};

/* Costs outside these are refused: cheaper is no protection, dearer is somebody's trap. At most
 * 1 GiB, and 32 times the work of the default. */
enum {
    KEY_COST_LOG_N_MIN = 10,
    KEY_COST_LOG_N_MAX = 22,
    KEY_COST_R_MAX = 32,
    KEY_COST_P_MAX = 16,
    KEY_COST_LOG_N_DEFAULT = 17, /* 128 MiB with r = 8 */
    KEY_COST_R_DEFAULT = 8,
    KEY_COST_P_DEFAULT = 1,
};
bool key_cost_is_sane(const struct crypt_cost *cost);

struct key_slot {
    bool used;
    struct crypt_cost cost;
    int64_t made_ns;
    uint8_t salt[SALT_SIZE];
    char label[KEY_LABEL_SIZE]; /* NUL-terminated */
    uint8_t nonce[CRYPT_NONCE_SIZE];
    uint8_t wrapped[CRYPT_KEY_SIZE];
    uint8_t tag[CRYPT_TAG_SIZE];
    uint8_t check[CRYPT_MAC_SIZE];
};

struct key_ring {
    uint8_t salt[SALT_SIZE];
    uint8_t nonce[CRYPT_NONCE_SIZE];
    uint32_t count;
    uint8_t sealed[KEY_RING_SIZE];
    uint8_t tag[CRYPT_TAG_SIZE];
};

struct key_file {
    uint8_t uuid[UUID_SIZE];
    uint64_t edition;
    struct key_slot slots[KEY_SLOTS];
    struct key_ring ring;
};

void key_file_encode(const struct key_file *f, uint8_t out[KEYS_SIZE]);

enum key_verdict {
    KEY_FILE_OK,
    KEY_FILE_NOT_OURS, /* no magic */
    KEY_FILE_DAMAGED,  /* the checksum does not hold, a wrong length, or fields that no writer makes
                        */
    KEY_FILE_NEWER,    /* a later version */
};
enum key_verdict key_file_decode(struct slice in, struct key_file *out);

/* The bytes of slot `number` that its tag and check are over: uuid, number u32, the first
 * KEY_SLOT_BOUND bytes. */
enum { KEY_SLOT_EXTRA_SIZE = UUID_SIZE + 4 + KEY_SLOT_BOUND };
void key_slot_extra(const struct key_file *f, uint32_t number, uint8_t out[KEY_SLOT_EXTRA_SIZE]);
/* The bytes that the ring's tag is over: the first KEY_RING_BOUND of the file, and the count. */
enum { KEY_RING_EXTRA_SIZE = KEY_RING_BOUND + 4 };
void key_ring_extra(const struct key_file *f, uint8_t out[KEY_RING_EXTRA_SIZE]);

/* One generation of the master key. */
struct key_generation {
    uint32_t epoch; /* 1 and above */
    int64_t made_ns;
    uint8_t key[CRYPT_KEY_SIZE];
};
/* The plain text of the ring. `count` at most KEY_GENERATIONS_MAX. */
void key_generations_encode(const struct key_generation *list, uint32_t count,
                            uint8_t out[KEY_RING_SIZE]);
/* False when epochs do not ascend from 1 or above, or what is to be zero is not. */
bool key_generations_decode(const uint8_t in[KEY_RING_SIZE], uint32_t count,
                            struct key_generation list[KEY_GENERATIONS_MAX]);

#endif
