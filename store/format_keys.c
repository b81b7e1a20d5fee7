/* format_keys: see format_keys.h. The rules of format.c hold: what an encoder writes its decoder
 * accepts and gives back; a decoder is total and accepts one spelling only. */
#include "store/format_keys.h"

#include <assert.h>
#include <xxhash.h>

enum {
    AT_VERSION = 8,
    AT_ZEROS = 10,
    AT_UUID = 16,
    AT_EDITION = 32,
    AT_ZEROS_2 = 40,
    AT_SLOTS = 64,
    AT_RING = 1600,
    AT_ZEROS_3 = 2432,
    AT_SUM = 2552,
    KEYS_VERSION = 1,
};
enum {
    SLOT_AT_LOG_N = 1,
    SLOT_AT_R = 2,
    SLOT_AT_P = 4,
    SLOT_AT_MADE = 8,
    SLOT_AT_SALT = 16,
    SLOT_AT_LABEL = 48,
    SLOT_AT_NONCE = 96,
    SLOT_AT_WRAPPED = 112,
    SLOT_AT_TAG = 144,
    SLOT_AT_CHECK = 160,
};
enum { RING_AT_NONCE = 32, RING_AT_COUNT = 44, RING_AT_SEALED = 48, RING_AT_TAG = 816 };
enum { GENERATION_AT_MADE = 8, GENERATION_AT_KEY = 16 };

#define COST_MEMORY_MAX (UINT64_C(1) << 30)
#define COST_WORK_MAX   (UINT64_C(32) << 20) /* of N * r * p */

_Static_assert(AT_SLOTS + KEY_SLOTS * KEY_SLOT_SIZE == AT_RING, "the ring follows the slots");
_Static_assert(AT_RING == (int)KEY_RING_BOUND, "the ring binds all before it");
_Static_assert(SLOT_AT_NONCE == (int)KEY_SLOT_BOUND, "a slot binds all before its nonce");
_Static_assert(SLOT_AT_CHECK + CRYPT_MAC_SIZE == KEY_SLOT_SIZE, "the check ends the slot");
_Static_assert(RING_AT_SEALED + KEY_RING_SIZE == RING_AT_TAG, "the tag follows the generations");
_Static_assert(AT_RING + RING_AT_TAG + CRYPT_TAG_SIZE == AT_ZEROS_3, "the ring ends there");
_Static_assert(GENERATION_AT_KEY + CRYPT_KEY_SIZE == KEY_GENERATION_SIZE, "the key ends it");
_Static_assert(AT_SUM + 8 == KEYS_SIZE, "the checksum ends the file");

static const uint8_t keys_magic[8] = {'V', 'R', 'V', 'K', 'E', 'Y', 'S', 0x1a};

bool key_cost_is_sane(const struct crypt_cost *cost)
{
    if (cost->log_n < KEY_COST_LOG_N_MIN || cost->log_n > KEY_COST_LOG_N_MAX || cost->r == 0 ||
        cost->r > KEY_COST_R_MAX || cost->p == 0 || cost->p > KEY_COST_P_MAX)
        return false;
    uint64_t blocks = (UINT64_C(1) << cost->log_n) * cost->r;
    return 128 * blocks <= COST_MEMORY_MAX && blocks * cost->p <= COST_WORK_MAX;
}

/* ---- slots ---- */

/* The label is text that ends, with zeros behind it. */
static bool label_is_sane(const char label[KEY_LABEL_SIZE])
{
    size_t len = strnlen(label, KEY_LABEL_SIZE);
    for (size_t i = len; i < KEY_LABEL_SIZE; i++)
        if (label[i])
            return false;
    return len < KEY_LABEL_SIZE;
}

static void slot_encode(const struct key_slot *s, uint8_t *p)
{
    memset(p, 0, KEY_SLOT_SIZE);
    if (!s->used)
        return;
    assert(key_cost_is_sane(&s->cost) && label_is_sane(s->label));
    p[0] = 1;
    p[SLOT_AT_LOG_N] = s->cost.log_n;
    put_u16(p + SLOT_AT_R, s->cost.r);
    put_u16(p + SLOT_AT_P, s->cost.p);
    put_u64(p + SLOT_AT_MADE, (uint64_t)s->made_ns);
    memcpy(p + SLOT_AT_SALT, s->salt, SALT_SIZE);
    memcpy(p + SLOT_AT_LABEL, s->label, KEY_LABEL_SIZE);
    memcpy(p + SLOT_AT_NONCE, s->nonce, CRYPT_NONCE_SIZE);
    memcpy(p + SLOT_AT_WRAPPED, s->wrapped, CRYPT_KEY_SIZE);
    memcpy(p + SLOT_AT_TAG, s->tag, CRYPT_TAG_SIZE);
    memcpy(p + SLOT_AT_CHECK, s->check, CRYPT_MAC_SIZE);
}

static bool slot_decode(const uint8_t *p, struct key_slot *s)
{
    uint8_t again[KEY_SLOT_SIZE];
    *s = (struct key_slot){.used = p[0] != 0};
    if (s->used) {
        s->cost =
            (struct crypt_cost){p[SLOT_AT_LOG_N], get_u16(p + SLOT_AT_R), get_u16(p + SLOT_AT_P)};
        s->made_ns = (int64_t)get_u64(p + SLOT_AT_MADE);
        memcpy(s->salt, p + SLOT_AT_SALT, SALT_SIZE);
        memcpy(s->label, p + SLOT_AT_LABEL, KEY_LABEL_SIZE);
        memcpy(s->nonce, p + SLOT_AT_NONCE, CRYPT_NONCE_SIZE);
        memcpy(s->wrapped, p + SLOT_AT_WRAPPED, CRYPT_KEY_SIZE);
        memcpy(s->tag, p + SLOT_AT_TAG, CRYPT_TAG_SIZE);
        memcpy(s->check, p + SLOT_AT_CHECK, CRYPT_MAC_SIZE);
        if (!key_cost_is_sane(&s->cost) || !label_is_sane(s->label))
            return false;
    }
    /* One spelling only: it has to be what would be written. */
    slot_encode(s, again);
    return memcmp(p, again, sizeof again) == 0;
}

void key_slot_extra(const struct key_file *f, uint32_t number, uint8_t out[KEY_SLOT_EXTRA_SIZE])
{
    uint8_t slot[KEY_SLOT_SIZE];
    assert(number < KEY_SLOTS && f->slots[number].used);
    slot_encode(&f->slots[number], slot);
    memcpy(out, f->uuid, UUID_SIZE);
    put_u32(out + UUID_SIZE, number);
    memcpy(out + UUID_SIZE + 4, slot, KEY_SLOT_BOUND);
}

/* ---- the file ---- */

static bool all_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

static bool ring_count_is_sane(uint32_t count)
{
    return count >= 1 && count <= KEY_GENERATIONS_MAX;
}

/* Everything but the checksum. */
static void file_encode(const struct key_file *f, uint8_t out[KEYS_SIZE])
{
    uint8_t *ring = out + AT_RING;
    memset(out, 0, KEYS_SIZE);
    memcpy(out, keys_magic, sizeof keys_magic);
    put_u16(out + AT_VERSION, KEYS_VERSION);
    memcpy(out + AT_UUID, f->uuid, UUID_SIZE);
    put_u64(out + AT_EDITION, f->edition);
    for (uint32_t i = 0; i < KEY_SLOTS; i++)
        slot_encode(&f->slots[i], out + AT_SLOTS + i * KEY_SLOT_SIZE);
    memcpy(ring, f->ring.salt, SALT_SIZE);
    memcpy(ring + RING_AT_NONCE, f->ring.nonce, CRYPT_NONCE_SIZE);
    put_u32(ring + RING_AT_COUNT, f->ring.count);
    memcpy(ring + RING_AT_SEALED, f->ring.sealed, KEY_RING_SIZE);
    memcpy(ring + RING_AT_TAG, f->ring.tag, CRYPT_TAG_SIZE);
}

void key_file_encode(const struct key_file *f, uint8_t out[KEYS_SIZE])
{
    assert(ring_count_is_sane(f->ring.count));
    file_encode(f, out);
    put_u64(out + AT_SUM, XXH3_64bits(out, AT_SUM));
}

void key_ring_extra(const struct key_file *f, uint8_t out[KEY_RING_EXTRA_SIZE])
{
    uint8_t bytes[KEYS_SIZE];
    file_encode(f, bytes);
    memcpy(out, bytes, KEY_RING_BOUND);
    put_u32(out + KEY_RING_BOUND, f->ring.count);
}

static void ring_decode(const uint8_t *p, struct key_ring *r)
{
    memcpy(r->salt, p, SALT_SIZE);
    memcpy(r->nonce, p + RING_AT_NONCE, CRYPT_NONCE_SIZE);
    r->count = get_u32(p + RING_AT_COUNT);
    memcpy(r->sealed, p + RING_AT_SEALED, KEY_RING_SIZE);
    memcpy(r->tag, p + RING_AT_TAG, CRYPT_TAG_SIZE);
}

enum key_verdict key_file_decode(struct slice in, struct key_file *out)
{
    *out = (struct key_file){0};
    size_t magic_len = in.len < sizeof keys_magic ? in.len : sizeof keys_magic;
    if (magic_len && memcmp(in.data, keys_magic, magic_len) != 0)
        return KEY_FILE_NOT_OURS;
    if (in.len != KEYS_SIZE || get_u64(in.data + AT_SUM) != XXH3_64bits(in.data, AT_SUM))
        return KEY_FILE_DAMAGED;
    uint16_t version = get_u16(in.data + AT_VERSION);
    if (version > KEYS_VERSION)
        return KEY_FILE_NEWER;
    bool good = version == KEYS_VERSION && all_zero(in.data + AT_ZEROS, AT_UUID - AT_ZEROS) &&
                all_zero(in.data + AT_ZEROS_2, AT_SLOTS - AT_ZEROS_2) &&
                all_zero(in.data + AT_ZEROS_3, AT_SUM - AT_ZEROS_3);
    memcpy(out->uuid, in.data + AT_UUID, UUID_SIZE);
    out->edition = get_u64(in.data + AT_EDITION);
    for (uint32_t i = 0; i < KEY_SLOTS && good; i++)
        good = slot_decode(in.data + AT_SLOTS + i * KEY_SLOT_SIZE, &out->slots[i]);
    ring_decode(in.data + AT_RING, &out->ring);
    return good && ring_count_is_sane(out->ring.count) ? KEY_FILE_OK : KEY_FILE_DAMAGED;
}

/* ---- what the ring holds ---- */

void key_generations_encode(const struct key_generation *list, uint32_t count,
                            uint8_t out[KEY_RING_SIZE])
{
    assert(count <= KEY_GENERATIONS_MAX);
    memset(out, 0, KEY_RING_SIZE);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *p = out + i * KEY_GENERATION_SIZE;
        put_u32(p, list[i].epoch);
        put_u64(p + GENERATION_AT_MADE, (uint64_t)list[i].made_ns);
        memcpy(p + GENERATION_AT_KEY, list[i].key, CRYPT_KEY_SIZE);
    }
}

bool key_generations_decode(const uint8_t in[KEY_RING_SIZE], uint32_t count,
                            struct key_generation list[KEY_GENERATIONS_MAX])
{
    uint32_t before = 0;
    assert(count <= KEY_GENERATIONS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *p = in + i * KEY_GENERATION_SIZE;
        list[i].epoch = get_u32(p);
        list[i].made_ns = (int64_t)get_u64(p + GENERATION_AT_MADE);
        memcpy(list[i].key, p + GENERATION_AT_KEY, CRYPT_KEY_SIZE);
        if (list[i].epoch <= before || get_u32(p + 4) != 0)
            return false;
        before = list[i].epoch;
    }
    size_t used = (size_t)count * KEY_GENERATION_SIZE;
    return all_zero(in + used, KEY_RING_SIZE - used);
}
