/* memkey: see memkey.h.
 *
 * Invariant: a word of a stored key is loaded only if it begins inside the key, so that nothing
 * behind the padding is ever read. */
#include "store/memkey.h"

void memkey_init(struct memkey *k, struct slice key)
{
    k->key = key;
    for (size_t i = 0; i < MEMKEY_WORDS; i++)
        k->words[i] = memkey_word_at(key, i * 8);
}

int memkey_cmp_rest(const uint8_t *stored, size_t len, const struct memkey *k)
{
    enum { AT_HAND = 8 * MEMKEY_WORDS };
    size_t common = len < k->key.len ? len : k->key.len;
    for (size_t i = 1; i < MEMKEY_WORDS && i * 8 < common; i++) {
        uint64_t word = memkey_load(stored + i * 8);
        if (word != k->words[i])
            return word < k->words[i] ? -1 : 1;
    }
    if (common > AT_HAND) {
        int order = memcmp(stored + AT_HAND, k->key.data + AT_HAND, common - AT_HAND);
        if (order)
            return order;
    }
    return (len > k->key.len) - (len < k->key.len);
}
