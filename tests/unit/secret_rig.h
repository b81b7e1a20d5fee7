/* secret_rig: store_rig.h with an encrypted store, and three passphrases. */
#ifndef VARVE_UNIT_SECRET_RIG_H
#define VARVE_UNIT_SECRET_RIG_H

#include "tests/sim/secrets.h"
#include "tests/unit/store_rig.h"

static struct secret_text first = {.text = "the first passphrase"},
                          second = {.text = "the second passphrase"},
                          wrong = {.text = "no passphrase of this store"};
static struct store_secret first_secret, second_secret, wrong_secret;

static inline int rig_encrypted(void **state)
{
    struct rig *r = mem_zalloc(sizeof *r);
    first_secret = secret_of(&first);
    second_secret = secret_of(&second);
    wrong_secret = secret_of(&wrong);
    r->disk = simdisk_new(1);
    r->env = simdisk_env(r->disk);
    strcpy(r->dir, "/vol");
    rig_log_reset();
    rig_options(&r->opt, r->env);
    secret_options(&r->opt, &first_secret);
    assert_ok(store_create(r->dir, &r->opt));
    *state = r;
    return 0;
}

static inline void open_with(struct rig *r, const struct store_secret *secret)
{
    r->opt.secret = secret;
    rig_open(r);
}

static inline void refuse_with(struct rig *r, const struct store_secret *secret, int error)
{
    uint64_t before = simdisk_digest(r->disk);
    r->opt.secret = secret;
    assert_errno(store_open(r->dir, &r->opt, &r->s), error);
    assert_null(r->s);
    assert_true(simdisk_digest(r->disk) == before);
}

static inline void put(struct rig *r, const char *key, size_t len, char fill)
{
    struct store_batch *b = store_batch_new(r->s);
    char *value = mem_alloc(len + 1);
    memset(value, fill, len);
    store_batch_put(b, slice_str(key), slice_of(value, len));
    assert_ok(store_write(r->s, b, 0));
    store_batch_free(b);
    free(value);
}

static inline void assert_has(struct rig *r, const char *key, size_t len, char fill)
{
    struct store_read read;
    struct store_value v = {0};
    store_read_begin(r->s, &read);
    assert_ok(store_get(&read, slice_str(key), &v));
    assert_int_equal(v.data.len, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(v.data.data[i], fill);
    store_value_release(&v);
    store_read_end(&read);
}

#define RIG_ENCRYPTED(test)                         \
    {                                               \
#test, test, rig_encrypted, rig_leave, NULL \
    }

#endif
