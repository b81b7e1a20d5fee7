/* entry: the checksum of an entry in memory; see entry.h. */
#include "store/entry.h"

#include <assert.h>
#include <stdio.h>
#include <xxhash.h>

#include "store/err.h"

enum { KEY_SHOWN_BYTES = 32 };

uint64_t entry_hash(struct slice key, enum entry_type type, struct slice value)
{
    uint64_t h = XXH3_64bits_withSeed(key.data, key.len, (uint64_t)type + 1);
    return value.len ? XXH3_64bits_withSeed(value.data, value.len, h) : h;
}

/* The finisher of MurmurHash3 (Appleby), so that each bit of either changes half of the sum. */
uint32_t entry_sum_of(uint64_t hash, uint64_t seq)
{
    uint64_t x = hash ^ (seq * UINT64_C(0x9E3779B97F4A7C15));
    x = (x ^ x >> 33) * UINT64_C(0xFF51AFD7ED558CCD);
    x = (x ^ x >> 33) * UINT64_C(0xC4CEB9FE1A85EC53);
    uint32_t sum = (uint32_t)(x ^ x >> 32);
    return sum ? sum : 1;
}

int entry_damaged(struct slice key, const char *where)
{
    char text[4 * KEY_SHOWN_BYTES + 1];
    size_t at = 0;
    for (size_t i = 0; i < key.len && i < KEY_SHOWN_BYTES; i++) {
        bool plain = key.data[i] > 0x20 && key.data[i] < 0x7f && key.data[i] != '\\';
        at += (size_t)snprintf(text + at, sizeof text - at, plain ? "%c" : "\\x%02x", key.data[i]);
    }
    text[at] = 0;
    return corrupt(where, UINT64_MAX,
                   "the entry of key %s%s was changed in memory: suspect the machine's memory",
                   text, key.len > KEY_SHOWN_BYTES ? "..." : "");
}

int entry_verify(const struct entry *e, const char *where)
{
    if (e->sum == 0 || e->sum == entry_sum(e))
        return 0;
    return entry_damaged(e->key, where);
}
