/* Tests of store/keyslots.h and store/format_keys.h: a passphrase opens what it was set for and
 * nothing else; any damage is told from a wrong passphrase; the file is never lost. */
#include "store/keyslots.h"

#include "store/secret.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/simrng.h"
#include "tests/unit/logged.h"

#include <errno.h>
#include <stdio.h>
#include <xxhash.h>

static const uint8_t uuid[UUID_SIZE] = "this volume's id";
static const struct crypt_cost cheap = {KEY_COST_LOG_N_MIN, 1, 1};
#define DIR  "vol"
#define PATH "vol/KEYS"
#define TEMP "vol/KEYS.tmp"

struct fixture {
    struct simdisk *disk;
    struct env *env;
    struct keyslots *k; /* as written */
};

static int setup(void **state)
{
    struct fixture *x = mem_zalloc(sizeof *x);
    x->disk = simdisk_new(1);
    x->env = simdisk_env(x->disk);
    *state = x;
    logged_reset();
    assert_ok(x->env->mkdir(x->env, DIR));
    assert_ok(x->env->sync_dir(x->env, ""));
    assert_ok(keyslots_new(x->env, uuid, slice_str("first"), &cheap, &x->k));
    assert_ok(keyslots_write(x->k, x->env, DIR));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    bool leaked = simdisk_open_files(x->disk) > 0;
    keyslots_free(x->k);
    simdisk_free(x->disk);
    free(x);
    return leaked;
}

static int unlock_on(struct env *env, const char *passphrase, struct keyslots **k)
{
    return keyslots_unlock(env, DIR, slice_str(passphrase), k);
}

static int try_unlock(struct fixture *x, const char *passphrase)
{
    struct keyslots *k;
    int err = unlock_on(x->env, passphrase, &k);
    assert_true((err == 0) == (k != NULL));
    keyslots_free(k);
    return err;
}

/* The master keys that the passphrase leads to are those of `k`. */
static void assert_same_keys(struct fixture *x, const char *passphrase, struct keyslots *expected)
{
    struct key_generation a[KEY_GENERATIONS_MAX], b[KEY_GENERATIONS_MAX];
    struct keyslots *k;
    assert_ok(unlock_on(x->env, passphrase, &k));
    uint32_t count = keyring_copy(keyslots_ring(k), a);
    assert_int_equal(count, keyring_copy(keyslots_ring(expected), b));
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(a[i].epoch, b[i].epoch);
        assert_memory_equal(a[i].key, b[i].key, sizeof a[i].key);
    }
    keyslots_free(k);
}

static int set(struct fixture *x, uint32_t slot, const char *passphrase)
{
    return keyslots_set(x->k, x->env, slot, slice_str(passphrase), &cheap, passphrase);
}

/* ---- passphrases ---- */

static void a_passphrase_opens_and_no_other(void **state)
{
    struct fixture *x = *state;
    assert_same_keys(x, "first", x->k);
    assert_errno(try_unlock(x, "First"), EKEYREJECTED);
    assert_errno(try_unlock(x, "first "), EKEYREJECTED);
    assert_errno(try_unlock(x, ""), EKEYREJECTED);
    assert_int_equal(logged.count, 0);
}

static void without_a_file_there_are_no_keys(void **state)
{
    struct fixture *x = *state;
    assert_ok(x->env->remove(x->env, PATH));
    assert_absent(try_unlock(x, "first"));
}

static void eight_slots_open_the_same_keys(void **state)
{
    struct fixture *x = *state;
    char name[20];
    for (uint32_t i = 1; i < KEY_SLOTS; i++) {
        snprintf(name, sizeof name, "passphrase %u", i);
        assert_ok(set(x, i, name));
    }
    assert_ok(keyslots_write(x->k, x->env, DIR));
    assert_same_keys(x, "first", x->k);
    for (uint32_t i = 1; i < KEY_SLOTS; i++) {
        struct keyslots *k;
        snprintf(name, sizeof name, "passphrase %u", i);
        assert_same_keys(x, name, x->k);
        assert_ok(unlock_on(x->env, name, &k));
        assert_int_equal(keyslots_slot(k), i);
        assert_string_equal(keyslots_file(k)->slots[i].label, name);
        keyslots_free(k);
    }
}

static void a_changed_passphrase_replaces_the_old_one(void **state)
{
    struct fixture *x = *state;
    struct key_slot before = keyslots_file(x->k)->slots[0];
    assert_ok(set(x, 0, "second"));
    assert_ok(keyslots_write(x->k, x->env, DIR));
    assert_errno(try_unlock(x, "first"), EKEYREJECTED);
    assert_same_keys(x, "second", x->k);
    assert_memory_not_equal(before.salt, keyslots_file(x->k)->slots[0].salt, SALT_SIZE);
    assert_memory_not_equal(before.nonce, keyslots_file(x->k)->slots[0].nonce, CRYPT_NONCE_SIZE);
}

static void a_cleared_slot_opens_nothing(void **state)
{
    struct fixture *x = *state;
    assert_ok(set(x, 5, "fifth"));
    keyslots_clear(x->k, 0);
    assert_ok(keyslots_write(x->k, x->env, DIR));
    assert_errno(try_unlock(x, "first"), EKEYREJECTED);
    assert_same_keys(x, "fifth", x->k);
    assert_ok(keyslots_try(x->k, 5, slice_str("fifth")));
    assert_errno(keyslots_try(x->k, 5, slice_str("first")), EKEYREJECTED);
}

/* Each write has a salt and a nonce of its own, though nothing was changed. */
static void no_two_writes_look_alike(void **state)
{
    struct fixture *x = *state;
    struct key_ring before = keyslots_file(x->k)->ring;
    uint64_t edition = keyslots_file(x->k)->edition;
    assert_ok(keyslots_write(x->k, x->env, DIR));
    assert_memory_not_equal(before.salt, keyslots_file(x->k)->ring.salt, SALT_SIZE);
    assert_memory_not_equal(before.sealed, keyslots_file(x->k)->ring.sealed, KEY_RING_SIZE);
    assert_int_equal(keyslots_file(x->k)->edition, edition + 1);
}

/* ---- generations ---- */

static void rotation_adds_a_generation_and_wraps_anew(void **state)
{
    struct fixture *x = *state;
    struct slice kept[KEY_SLOTS] = {[0] = slice_str("first"), [2] = slice_str("second")};
    struct key_generation before[KEY_GENERATIONS_MAX], after[KEY_GENERATIONS_MAX];
    struct buf old = {0};
    assert_ok(set(x, 1, "dropped"));
    assert_ok(set(x, 2, "second"));
    assert_ok(keyslots_write(x->k, x->env, DIR));
    assert_ok(simdisk_get(x->disk, PATH, &old));
    keyring_copy(keyslots_ring(x->k), before);
    assert_ok(keyslots_rotate(x->k, x->env, kept));
    assert_ok(keyslots_write(x->k, x->env, DIR));
    assert_int_equal(keyring_copy(keyslots_ring(x->k), after), 2);
    assert_memory_equal(&before[0], &after[0], sizeof before[0]);
    assert_int_equal(after[1].epoch, 2);
    assert_memory_not_equal(after[0].key, after[1].key, CRYPT_KEY_SIZE);
    assert_same_keys(x, "first", x->k);
    assert_same_keys(x, "second", x->k);
    assert_errno(try_unlock(x, "dropped"), EKEYREJECTED);
    /* Old slots in the new file: the root key is another. */
    struct buf now = {0};
    assert_ok(simdisk_get(x->disk, PATH, &now));
    memcpy(now.data + 64, old.data + 64, KEY_SLOTS * KEY_SLOT_SIZE);
    put_u64(now.data + 2552, XXH3_64bits(now.data, 2552));
    assert_ok(simdisk_put(x->disk, PATH, buf_slice(&now)));
    assert_errno(try_unlock(x, "dropped"), EIO);
    assert_logged("tampered with");
    buf_release(&old);
    buf_release(&now);
}

static void generations_come_and_go(void **state)
{
    struct fixture *x = *state;
    struct slice kept[KEY_SLOTS] = {[0] = slice_str("first")};
    for (uint32_t epoch = 2; epoch <= KEY_GENERATIONS_MAX; epoch++) {
        assert_ok(keyslots_rotate(x->k, x->env, kept));
        assert_int_equal(keyring_current(keyslots_ring(x->k)), epoch);
    }
    assert_errno(keyslots_rotate(x->k, x->env, kept), ENOSPC);
    assert_ok(keyslots_write(x->k, x->env, DIR));
    assert_same_keys(x, "first", x->k);
    keyslots_drop_before(x->k, 15);
    struct sim_fault fault = {.call = SIM_WRITE, .err = -ENOSPC};
    simdisk_fail(x->disk, &fault);
    assert_errno(keyslots_write(x->k, x->env, DIR), ENOSPC);
    assert_int_equal(keyring_count(keyslots_ring(x->k)), KEY_GENERATIONS_MAX);
    assert_ok(keyslots_write(x->k, x->env, DIR));
    assert_int_equal(keyring_count(keyslots_ring(x->k)), 2);
    assert_same_keys(x, "first", x->k);
    assert_ok(keyslots_rotate(x->k, x->env, kept));
    assert_int_equal(keyring_current(keyslots_ring(x->k)), 17);
}

/* ---- damage ---- */

static void every_flipped_bit_is_damage(void **state)
{
    struct fixture *x = *state;
    for (uint64_t bit = 0; bit < KEYS_SIZE * 8; bit++) {
        uint8_t mask = (uint8_t)(1 << bit % 8);
        struct key_file f;
        assert_ok(simdisk_flip(x->disk, PATH, bit / 8, mask));
        assert_errno(keyslots_read(x->env, DIR, &f), EIO);
        assert_ok(simdisk_flip(x->disk, PATH, bit / 8, mask));
    }
    assert_ok(try_unlock(x, "first"));
}

static void a_file_of_another_size_is_damage(void **state)
{
    struct fixture *x = *state;
    struct buf bytes = {0};
    assert_ok(simdisk_get(x->disk, PATH, &bytes));
    buf_put_u8(&bytes, 0);
    for (size_t len = 0; len <= bytes.len; len++) {
        assert_ok(simdisk_put(x->disk, PATH, slice_of(bytes.data, len)));
        assert_int_equal(try_unlock(x, "first"), len == KEYS_SIZE ? 0 : -EIO);
    }
    buf_release(&bytes);
}

/* The file with one bit changed, by somebody who can compute a checksum. */
static int unlock_changed(struct fixture *x, const struct buf *whole, size_t bit)
{
    struct buf bytes = {0};
    buf_append(&bytes, buf_slice(whole));
    bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    put_u64(bytes.data + 2552, XXH3_64bits(bytes.data, 2552));
    assert_ok(simdisk_put(x->disk, PATH, buf_slice(&bytes)));
    buf_release(&bytes);
    return try_unlock(x, "first");
}

/* Whatever is changed, nothing opens; and but for what makes another passphrase of it (the slot's
 * salt, cost and check) it is not taken for a wrong passphrase. */
static void every_tampered_bit_is_refused(void **state)
{
    struct fixture *x = *state;
    struct buf whole = {0};
    int rejected = 0;
    assert_ok(simdisk_get(x->disk, PATH, &whole));
    for (size_t bit = 0; bit < 2552 * 8; bit++) {
        /* Costs a run of scrypt each: all of slot 0 and the edges, else one bit in three. */
        size_t at = bit / 8;
        if (at == 65 || at == 66 || at == 67 || at == 68 || at == 69)
            continue; /* what a guess costs: below */
        if (at >= 256 && bit % 3)
            continue;
        int err = unlock_changed(x, &whole, bit);
        bool in_slot = at < 32 || (at >= 64 && at < 256);
        assert_true(err == -EIO || err == -EPROTONOSUPPORT || (err == -EKEYREJECTED && in_slot));
        if (at >= 176 && at < 224)
            assert_int_equal(err, -EIO); /* the wrapped key and its tag */
        rejected += err == -EKEYREJECTED;
    }
    assert_true(rejected > 0);
    buf_release(&whole);
}

static void absurd_costs_are_refused_unread(void **state)
{
    struct fixture *x = *state;
    static const struct crypt_cost bad[] = {{0, 8, 1},  {9, 8, 1},   {23, 8, 1},     {255, 8, 1},
                                            {17, 0, 1}, {17, 8, 0},  {17, 33, 1},    {17, 8, 17},
                                            {22, 8, 1}, {21, 32, 1}, {17, 65535, 1}, {20, 8, 5}};
    static const struct crypt_cost good[] = {{10, 1, 1}, {17, 8, 1}, {20, 8, 1}, {20, 8, 4}};
    struct buf whole = {0};
    struct key_file f;
    assert_ok(simdisk_get(x->disk, PATH, &whole));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(key_cost_is_sane(&bad[i]));
        whole.data[65] = bad[i].log_n;
        put_u16(whole.data + 66, bad[i].r);
        put_u16(whole.data + 68, bad[i].p);
        put_u64(whole.data + 2552, XXH3_64bits(whole.data, 2552));
        assert_int_equal(key_file_decode(buf_slice(&whole), &f), KEY_FILE_DAMAGED);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(key_cost_is_sane(&good[i]));
    buf_release(&whole);
}

/* A slot of one volume, or of one place, in another. */
static void slots_belong_to_their_place(void **state)
{
    struct fixture *x = *state;
    struct buf whole = {0};
    assert_ok(simdisk_get(x->disk, PATH, &whole));
    memcpy(whole.data + 64 + KEY_SLOT_SIZE, whole.data + 64, KEY_SLOT_SIZE);
    memset(whole.data + 64, 0, KEY_SLOT_SIZE);
    put_u64(whole.data + 2552, XXH3_64bits(whole.data, 2552));
    assert_ok(simdisk_put(x->disk, PATH, buf_slice(&whole)));
    assert_errno(try_unlock(x, "first"), EKEYREJECTED);
    buf_release(&whole);
}

static void decoding_is_total(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    uint8_t bytes[KEYS_SIZE], again[KEYS_SIZE];
    struct key_file f;
    for (int round = 0; round < 3000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = simrng_below(&rng, 4) ? 0 : (uint8_t)simrng_next(&rng);
        memcpy(bytes, "VRVKEYS\x1a\x01\0", 10);
        for (size_t i = 0; i < KEY_SLOTS; i++)
            if (simrng_below(&rng, 3))
                memset(bytes + 64 + i * KEY_SLOT_SIZE, 0, KEY_SLOT_SIZE);
        put_u64(bytes + 2552, XXH3_64bits(bytes, 2552));
        if (key_file_decode(slice_of(bytes, sizeof bytes), &f) == KEY_FILE_OK) {
            key_file_encode(&f, again);
            assert_memory_equal(bytes, again, sizeof bytes);
        }
    }
    assert_int_equal(key_file_decode(slice_str("something else"), &f), KEY_FILE_NOT_OURS);
    assert_int_equal(key_file_decode(slice_of(NULL, 0), &f), KEY_FILE_DAMAGED);
}

static void a_later_version_is_told_as_such(void **state)
{
    struct fixture *x = *state;
    struct buf whole = {0};
    assert_ok(simdisk_get(x->disk, PATH, &whole));
    put_u16(whole.data + 8, 2);
    put_u64(whole.data + 2552, XXH3_64bits(whole.data, 2552));
    assert_ok(simdisk_put(x->disk, PATH, buf_slice(&whole)));
    assert_errno(try_unlock(x, "first"), EPROTONOSUPPORT);
    assert_logged("newer varvefs");
    buf_release(&whole);
}

/* ---- crashes and failures ---- */

/* After any cut in the middle of a change one of the two passphrases opens, and the keys are those
 * that there were. */
static void a_crash_leaves_one_whole_file(void **state)
{
    struct fixture *x = *state;
    static const enum sim_crash modes[] = {SIM_KEEP_SYNCED, SIM_KEEP_ALL, SIM_RANDOM};
    uint64_t seed = unit_seed(), calls = simdisk_ops(x->disk);
    bool saw_old = false, saw_new = false;
    assert_ok(set(x, 0, "second"));
    struct simdisk *whole = simdisk_clone(x->disk);
    assert_ok(keyslots_write(x->k, simdisk_env(whole), DIR));
    calls = simdisk_ops(whole) - calls;
    simdisk_free(whole);
    assert_true(calls >= 4);
    for (uint64_t i = 0; i < (calls + 1) * 90; i++) {
        struct simdisk *d = simdisk_clone(x->disk);
        struct keyslots *k;
        simdisk_cut_at(d, 1 + i % (calls + 1), i / 3 % 2 ? SIM_CUT_BEFORE : SIM_CUT_WITHIN);
        int written = keyslots_write(x->k, simdisk_env(d), DIR);
        simdisk_crash(d, modes[i / (calls + 1) % 3], seed + i);
        int new = unlock_on(simdisk_env(d), "second", &k);
        if (new == 0)
            keyslots_free(k);
        else
            assert_errno(new, EKEYREJECTED);
        int old = unlock_on(simdisk_env(d), "first", &k);
        assert_int_equal(old, new == 0 ? -EKEYREJECTED : 0);
        if (old == 0)
            keyslots_free(k);
        if (written == 0)
            assert_ok(new);
        saw_old = saw_old || old == 0;
        saw_new = saw_new || (new == 0 && written < 0);
        keyslots_remove_temp(simdisk_env(d), DIR);
        uint64_t size;
        assert_errno(simdisk_env(d)->file_size(simdisk_env(d), TEMP, &size), ENOENT);
        simdisk_free(d);
    }
    assert_true(saw_old && saw_new);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    struct fixture *x = *state;
    static const enum sim_call calls[] = {SIM_CREATE, SIM_WRITE, SIM_SYNC};
    assert_ok(set(x, 0, "second"));
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct sim_fault fault = {.call = calls[i], .err = -ENOSPC};
        uint64_t size;
        simdisk_fail(x->disk, &fault);
        assert_errno(keyslots_write(x->k, x->env, DIR), ENOSPC);
        assert_ok(try_unlock(x, "first"));
        assert_errno(x->env->file_size(x->env, TEMP, &size), ENOENT);
    }
    assert_ok(keyslots_write(x->k, x->env, DIR));
    assert_ok(try_unlock(x, "second"));
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_passphrase_opens_and_no_other),
        test(without_a_file_there_are_no_keys),
        test(eight_slots_open_the_same_keys),
        test(a_changed_passphrase_replaces_the_old_one),
        test(a_cleared_slot_opens_nothing),
        test(no_two_writes_look_alike),
        test(rotation_adds_a_generation_and_wraps_anew),
        test(generations_come_and_go),
        test(every_flipped_bit_is_damage),
        test(a_file_of_another_size_is_damage),
        test(every_tampered_bit_is_refused),
        test(absurd_costs_are_refused_unread),
        test(slots_belong_to_their_place),
        test(decoding_is_total),
        test(a_later_version_is_told_as_such),
        test(a_crash_leaves_one_whole_file),
        test(a_failed_write_leaves_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
