/* memkey: keys as memtables store and compare them: eight bytes at a time.
 *
 * A stored key is followed by zero bytes up to a multiple of 8 and to at least 8. Loaded as
 * big-endian words, padded keys compare like the keys, but for those that differ only in zero bytes
 * at the end; there the length decides. Example: "ab" < "ab\0": equal words, and 2 < 3. */
#ifndef VARVE_STORE_MEMKEY_H
#define VARVE_STORE_MEMKEY_H

#include <endian.h>

#include "store/bytes.h"

enum { MEMKEY_WORDS = 3 };

/* A key to compare stored keys with. Borrows the bytes. */
struct memkey {
    struct slice key;
    uint64_t words[MEMKEY_WORDS]; /* the first ones of the padded key */
};

void memkey_init(struct memkey *k, struct slice key);

static inline size_t memkey_stored_size(size_t len)
{
    return len <= 8 ? 8 : (len + 7) / 8 * 8;
}

/* `to` has memkey_stored_size() bytes. */
static inline void memkey_store(uint8_t *to, struct slice key)
{
    memset(to + memkey_stored_size(key.len) - 8, 0, 8);
    if (key.len)
        memcpy(to, key.data, key.len);
}

static inline uint64_t memkey_load(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return be64toh(word);
}

/* The word that begins at byte `at` of the padded key; 0 behind its end. Of two keys that share
 * their first `at` bytes, the one with the lesser word is the lesser. */
static inline uint64_t memkey_word_at(struct slice key, size_t at)
{
    if (at + 8 <= key.len)
        return memkey_load(key.data + at);
    uint64_t word = 0;
    for (size_t i = at; i < at + 8; i++)
        word = word << 8 | (i < key.len ? key.data[i] : 0);
    return word;
}

/* The rest of memkey_cmp() once the first words are equal. */
int memkey_cmp_rest(const uint8_t *stored, size_t len, const struct memkey *k);

/* The order of the stored key against `k`: <0, 0 or >0. */
static inline int memkey_cmp(const uint8_t *stored, size_t len, const struct memkey *k)
{
    uint64_t word = memkey_load(stored);
    if (word != k->words[0])
        return word < k->words[0] ? -1 : 1;
    return memkey_cmp_rest(stored, len, k);
}

#endif
