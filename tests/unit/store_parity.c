/* parity: layouts, rebuilding whatever was damaged as far as the code reaches, and never further.
 * On the simulated disk. */
#include <errno.h>
#include <stdio.h>

#include "store/err.h"
#include "store/parity.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

#define DATA   "vol/000007.blob"
#define PARITY "vol/000007.parity"

struct rig {
    struct simdisk *disk;
    struct env *env;
    struct buf content; /* of the data file */
    struct parity_options opt;
    struct parity_layout layout;
    struct simrng rng;
};

static const uint8_t uuid[UUID_SIZE] = "parity's volume";

static int enter(void **state)
{
    struct rig *r = mem_zalloc(sizeof *r);
    log_set_sink(unit_log, NULL);
    r->disk = simdisk_new(1);
    r->env = simdisk_env(r->disk);
    assert_ok(r->env->mkdir(r->env, "vol"));
    *state = r;
    return 0;
}

static int leave(void **state)
{
    struct rig *r = *state;
    assert_int_equal(simdisk_open_files(r->disk), 0);
    simdisk_free(r->disk);
    buf_release(&r->content);
    free(r);
    return 0;
}

/* A data file of `len` random bytes, with its companion. */
static void make(struct rig *r, size_t len, uint32_t data, uint32_t parity)
{
    uint64_t bytes, size;
    buf_clear(&r->content);
    while (r->content.len < len)
        buf_put_u64(&r->content, simrng_next(&r->rng));
    r->content.len = len;
    r->opt = (struct parity_options){data, parity};
    parity_layout_init(&r->layout, len, &r->opt);
    assert_ok(simdisk_put(r->disk, DATA, buf_slice(&r->content)));
    assert_ok(parity_make(r->env, "vol", FILE_BLOB, 7, uuid, &r->opt, &bytes));
    assert_ok(r->env->file_size(r->env, PARITY, &size));
    assert_int_equal(size, bytes);
    assert_int_equal(size, parity_layout_bytes(&r->layout));
}

/* What parity_restore() says of all of the file; what it gives must be right. */
static int restore(struct rig *r, uint64_t offset, size_t len)
{
    struct parity *p;
    struct env_file *f;
    uint8_t *out = mem_zalloc(len);
    int rc = parity_open(r->env, DATA, 7, &p);
    if (rc == 0) {
        assert_ok(r->env->open(r->env, DATA, ENV_OPEN_READ, &f));
        rc = parity_restore(p, f, offset, out, len);
        f->ops->close(f);
        parity_free(p);
    }
    if (rc == 0)
        assert_memory_equal(out, r->content.data + offset, len);
    free(out);
    return rc;
}

static int restore_all(struct rig *r)
{
    return restore(r, 0, r->content.len);
}

/* Flips a bit anywhere in shard `i` of the file. */
static void damage(struct rig *r, uint32_t i)
{
    uint64_t at = (uint64_t)i * r->layout.shard_bytes, left = r->content.len - at;
    uint64_t len = left < r->layout.shard_bytes ? left : r->layout.shard_bytes;
    assert_ok(simdisk_flip(r->disk, DATA, at + simrng_next(&r->rng) % len,
                           (uint8_t)(1 << simrng_next(&r->rng) % 8)));
}

/* The same in shard (column, row) of the companion. */
static void damage_parity(struct rig *r, uint32_t column, uint32_t row)
{
    uint64_t shards = (uint64_t)r->layout.parity * r->layout.rows * r->layout.shard_bytes;
    uint64_t front = (parity_layout_bytes(&r->layout) - shards) / 2;
    uint64_t at = front + (uint64_t)(column * r->layout.rows + row) * r->layout.shard_bytes;
    assert_ok(simdisk_flip(r->disk, PARITY, at + simrng_next(&r->rng) % r->layout.shard_bytes, 4));
}

static void repair(struct rig *r)
{
    assert_ok(simdisk_put(r->disk, DATA, buf_slice(&r->content)));
}

/* ---- layouts ---- */

static void test_layouts_hold_every_byte(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1,
                                     4095,
                                     4096,
                                     4097,
                                     100000,
                                     1 << 20,
                                     (5u << 20) + 1,
                                     UINT64_C(1) << 33,
                                     (UINT64_C(1) << 40) + 12345};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (uint32_t data = 1; data <= PARITY_DATA_MAX; data = data * 3 / 2 + 1) {
            struct parity_layout l, again;
            struct parity_options opt = {data, 1 + data % PARITY_MAX};
            uint8_t head[PARITY_HEAD_BYTES];
            parity_layout_init(&l, sizes[s], &opt);
            assert_true((uint64_t)l.shards * l.shard_bytes >= sizes[s]);
            assert_true((uint64_t)(l.shards - 1) * l.shard_bytes < sizes[s]);
            assert_true(l.data <= data && (uint64_t)l.data * l.rows >= l.shards);
            assert_true(l.shards <= 1 << 20);
            parity_head_encode(&l, 99, head);
            assert_ok(parity_head_decode(head, 99, &again));
            assert_memory_equal(&l, &again, sizeof l);
            assert_errno(parity_head_decode(head, 98, &again), EIO);
        }
    }
    struct parity_options bad[] = {{0, 1}, {PARITY_DATA_MAX + 1, 1}, {4, PARITY_MAX + 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_errno(parity_options_check(&bad[i]), EINVAL);
    assert_ok(parity_options_check(&(struct parity_options){0, 0}));
}

static void test_head_with_any_bit_flipped_is_refused(void **state)
{
    (void)state;
    struct parity_layout l;
    struct parity_options opt = {10, 2};
    uint8_t head[PARITY_HEAD_BYTES];
    parity_layout_init(&l, 1234567, &opt);
    parity_head_encode(&l, 5, head);
    for (size_t bit = 0; bit < 8 * sizeof head; bit++) {
        head[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_errno(parity_head_decode(head, 5, &l), EIO);
        head[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* ---- rebuilding ---- */

static void test_sound_file_is_read_as_it_is(void **state)
{
    struct rig *r = *state;
    static const size_t sizes[] = {1, 96, 4096, 4097, 50000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        make(r, sizes[i], 8, 2);
        assert_ok(restore_all(r));
        assert_ok(restore(r, sizes[i] / 2, sizes[i] - sizes[i] / 2));
        assert_absent(restore(r, 1, sizes[i])); /* past the end */
    }
}

/* Random damage: a row is rebuilt exactly if no more than `parity` of its shards are damaged. */
static void test_random_damage(void **state)
{
    struct rig *r = *state;
    r->rng.state = unit_seed();
    for (int round = 0; round < 60; round++) {
        uint32_t data = 1 + (uint32_t)(simrng_next(&r->rng) % 20);
        uint32_t parity = 1 + (uint32_t)(simrng_next(&r->rng) % 5);
        make(r, 1 + simrng_next(&r->rng) % 400000, data, parity);
        const struct parity_layout *l = &r->layout;
        uint8_t *hurt = mem_zalloc(l->rows), *bad = mem_zalloc(l->shards);
        uint64_t hits = simrng_next(&r->rng) % (l->shards + 1);
        for (uint64_t i = 0; i < hits; i++) {
            uint32_t shard = (uint32_t)(simrng_next(&r->rng) % l->shards);
            if (!bad[shard]) {
                damage(r, shard);
                bad[shard] = 1;
                hurt[shard % l->rows]++;
            }
        }
        if (simrng_next(&r->rng) % 2) {
            damage_parity(r, 0, 0);
            hurt[0]++;
        }
        for (uint32_t i = 0; i < l->shards; i++) {
            uint64_t at = (uint64_t)i * l->shard_bytes;
            size_t len =
                r->content.len - at < l->shard_bytes ? r->content.len - at : l->shard_bytes;
            bool possible = !bad[i] || hurt[i % l->rows] <= parity;
            assert_int_equal(restore(r, at, len), possible ? 0 : 1);
        }
        free(hurt);
        free(bad);
        repair(r);
    }
}

static void test_run_of_damage(void **state)
{
    struct rig *r = *state;
    make(r, 1 << 20, 16, 2); /* 256 shards: 16 rows, so a run of 32 shards may be lost */
    assert_int_equal(r->layout.rows, 16);
    for (uint32_t i = 100; i < 132; i++)
        damage(r, i);
    assert_ok(restore_all(r));
    damage(r, 132);
    assert_absent(restore_all(r));
    repair(r);
    assert_ok(restore_all(r));
}

static void test_file_that_was_cut_off(void **state)
{
    struct rig *r = *state;
    make(r, 300000, 8, 2);
    for (uint64_t size = 300000; size > 300000 - (2 * r->layout.rows - 1) * 4096u; size -= 4999) {
        assert_ok(simdisk_truncate(r->disk, DATA, size));
        assert_ok(restore_all(r));
    }
    assert_ok(simdisk_truncate(r->disk, DATA, 100000));
    assert_absent(restore_all(r));
}

/* A disk that cannot read a sector is as good as one that reads something else. */
static void test_unreadable_places(void **state)
{
    struct rig *r = *state;
    make(r, 100000, 8, 2);
    for (uint64_t after = 0; after < 20; after++) {
        struct sim_fault fault = {
            .call = SIM_READ, .path_part = ".blob", .after = after, .err = -EIO};
        simdisk_fail(r->disk, &fault);
        assert_ok(restore_all(r));
        simdisk_heal(r->disk);
    }
}

/* ---- a damaged companion ---- */

/* Any one byte of it: the file is restored all the same, and the check knows. */
static void test_any_byte_of_the_companion(void **state)
{
    struct rig *r = *state;
    struct parity *p;
    make(r, 100000, 8, 2);
    damage(r, 3);
    uint64_t size = parity_layout_bytes(&r->layout);
    assert_ok(parity_open(r->env, DATA, 7, &p));
    assert_ok(parity_check(p));
    parity_free(p);
    for (uint64_t at = 0; at < size; at += at < 400 || at > size - 400 ? 1 : 97) {
        assert_ok(simdisk_flip(r->disk, PARITY, at, 0x10));
        assert_ok(restore_all(r));
        assert_ok(parity_open(r->env, DATA, 7, &p));
        assert_absent(parity_check(p));
        parity_free(p);
        assert_ok(simdisk_flip(r->disk, PARITY, at, 0x10));
    }
}

static void test_useless_companions(void **state)
{
    struct rig *r = *state;
    struct parity *p;
    struct buf bytes = {0};
    make(r, 100000, 8, 2);
    assert_ok(simdisk_get(r->disk, PARITY, &bytes));
    for (size_t len = 0; len < bytes.len; len += len < 1000 ? 7 : 501) { /* cut off */
        assert_ok(simdisk_put(r->disk, PARITY, slice_of(bytes.data, len)));
        int rc = parity_open(r->env, DATA, 7, &p);
        assert_true(rc == 1);
    }
    for (uint32_t i = 0; i < 200; i++) /* garbage */
        bytes.data[i] = bytes.data[bytes.len - 1 - i] = (uint8_t)i;
    assert_ok(simdisk_put(r->disk, PARITY, buf_slice(&bytes)));
    assert_absent(parity_open(r->env, DATA, 7, &p));
    assert_ok(parity_remove(r->env, "vol", 7));
    assert_absent(parity_open(r->env, DATA, 7, &p));
    assert_absent(parity_remove(r->env, "vol", 7));
    make(r, 5000, 8, 2);
    assert_ok(r->env->rename(r->env, PARITY, "vol/000008.parity"));
    assert_absent(parity_open(r->env, "vol/000008.blob", 8, &p)); /* another file's */
    buf_release(&bytes);
}

/* Nothing is left of one that could not be made. */
static void test_failures_of_making(void **state)
{
    struct rig *r = *state;
    static const enum sim_call calls[] = {SIM_CREATE, SIM_WRITE, SIM_SYNC, SIM_READ};
    uint64_t bytes;
    make(r, 200000, 8, 2);
    assert_ok(parity_remove(r->env, "vol", 7));
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        struct sim_fault fault = {.call = calls[c], .err = -ENOSPC};
        simdisk_fail(r->disk, &fault);
        assert_errno(parity_make(r->env, "vol", FILE_BLOB, 7, uuid, &r->opt, &bytes), ENOSPC);
        simdisk_heal(r->disk);
        assert_int_equal(bytes, 0);
        assert_errno(r->env->file_size(r->env, PARITY, &bytes), ENOENT);
    }
    assert_ok(parity_make(r->env, "vol", FILE_BLOB, 7, uuid, &r->opt, &bytes));
    assert_ok(parity_make(r->env, "vol", FILE_BLOB, 7, uuid, &r->opt, &bytes)); /* replaces it */
    assert_ok(restore_all(r));
}

#define T(test)                         \
    {                                   \
#test, test, enter, leave, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_layouts_hold_every_byte),
        T(test_head_with_any_bit_flipped_is_refused),
        T(test_sound_file_is_read_as_it_is),
        T(test_random_damage),
        T(test_run_of_damage),
        T(test_file_that_was_cut_off),
        T(test_unreadable_places),
        T(test_any_byte_of_the_companion),
        T(test_useless_companions),
        T(test_failures_of_making),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
