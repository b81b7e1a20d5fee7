/* The file KEYS with a checksum that holds: what decodes encodes to the same again, nothing unlocks
 * but what was written, and what the ring might hold decodes or is refused. */
#include "store/keyslots.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/simdisk.h"

#include <xxhash.h>

enum { AT_SUM = KEYS_SIZE - 8 };

static const uint8_t uuid[UUID_SIZE] = "a volume's uuid";
static const char passphrase[] = "a passphrase";
static struct simdisk *disk;
static struct buf sample;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    const struct crypt_cost cheap = {KEY_COST_LOG_N_MIN, 1, 1};
    struct keyslots *k;
    fuzz_quiet();
    disk = simdisk_new(1);
    struct env *env = simdisk_env(disk);
    int err = keyslots_new(env, uuid, slice_str(passphrase), &cheap, &k);
    assert(err == 0);
    err = keyslots_set(k, env, 5, slice_str("another"), &cheap, "label");
    assert(err == 0);
    err = keyslots_write(k, env, "/");
    assert(err == 0);
    keyslots_free(k);
    err = simdisk_get(disk, "/KEYS", &sample);
    assert(err == 0 && sample.len == KEYS_SIZE);
    return 0;
}

/* A guess at a dear slot would take the fuzzer's time. */
static bool is_cheap(const struct key_file *f)
{
    for (int i = 0; i < KEY_SLOTS; i++)
        if (f->slots[i].used && (f->slots[i].cost.log_n > KEY_COST_LOG_N_MIN ||
                                 f->slots[i].cost.r > 2 || f->slots[i].cost.p > 2))
            return false;
    return true;
}

static void unlock(struct slice bytes)
{
    struct keyslots *k;
    int err = simdisk_put(disk, "/KEYS", bytes);
    assert(err == 0);
    err = keyslots_unlock(simdisk_env(disk), "/", slice_str(passphrase), &k);
    assert((err == 0) == (k != NULL));
    assert(err != 0 || slice_eq(bytes, buf_slice(&sample)));
    keyslots_free(k);
}

static void decode_ring(struct slice in)
{
    struct key_generation list[KEY_GENERATIONS_MAX];
    uint8_t bytes[KEY_RING_SIZE] = {0}, again[KEY_RING_SIZE];
    uint32_t count = fuzz_u8(&in) % (KEY_GENERATIONS_MAX + 1);
    memcpy(bytes, in.data, in.len < sizeof bytes ? in.len : sizeof bytes);
    if (!key_generations_decode(bytes, count, list))
        return;
    key_generations_encode(list, count, again);
    assert(memcmp(bytes, again, sizeof bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct buf bytes = {0};
    struct key_file f;
    uint8_t again[KEYS_SIZE];
    if (in.len > 0)
        decode_ring(in);
    fuzz_payload(&in, buf_slice(&sample), &bytes);
    if (bytes.len == KEYS_SIZE)
        put_u64(bytes.data + AT_SUM, XXH3_64bits(bytes.data, AT_SUM));
    enum key_verdict verdict = key_file_decode(buf_slice(&bytes), &f);
    if (verdict == KEY_FILE_OK) {
        key_file_encode(&f, again);
        assert(slice_eq(buf_slice(&bytes), slice_of(again, sizeof again)));
        if (is_cheap(&f))
            unlock(buf_slice(&bytes));
    }
    buf_release(&bytes);
    return 0;
}
