/* Tests of keys at the store's door: who may open an encrypted store, what its files show, and that
 * passphrases come and go. */
#include "tests/unit/secret_rig.h"

/* ---- opening ---- */

static void what_was_written_comes_back(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    put(r, "small", 10, 'a');
    put(r, "separated", 1000, 'b');
    put(r, "direct", 9000, 'c');
    rig_reopen(r);
    assert_has(r, "small", 10, 'a');
    assert_has(r, "separated", 1000, 'b');
    assert_has(r, "direct", 9000, 'c');
}

static void who_has_no_key_gets_nothing(void **state)
{
    struct rig *r = *state;
    int asked = first.asked;
    refuse_with(r, NULL, ENOKEY);
    refuse_with(r, &wrong_secret, EKEYREJECTED);
    assert_false(rig_logged("damaged"));
    open_with(r, &first_secret);
    assert_int_equal(first.asked, asked + 1);
    assert_true(wrong.asked > 0);
}

static int refuse_to_say(void *ctx, uint8_t out[STORE_SECRET_MAX], size_t *len)
{
    (void)out;
    *len = 0;
    return *(int *)ctx;
}

static void whoever_is_asked_may_refuse(void **state)
{
    struct rig *r = *state;
    int answer = -ECANCELED;
    struct store_secret silent = {.ctx = &answer, .get = refuse_to_say};
    refuse_with(r, &silent, ECANCELED);
    answer = 0; /* an empty passphrase */
    refuse_with(r, &silent, EINVAL);
}

static void damaged_and_missing_keys_are_told_apart(void **state)
{
    struct rig *r = *state;
    struct buf keys = {0};
    assert_ok(simdisk_get(r->disk, "/vol/KEYS", &keys));
    assert_ok(simdisk_flip(r->disk, "/vol/KEYS", 100, 1));
    refuse_with(r, &first_secret, EIO);
    assert_true(rig_logged("KEYS"));
    assert_true(rig_logged("put back a copy"));
    rig_log_reset();
    assert_ok(r->env->remove(r->env, "/vol/KEYS"));
    refuse_with(r, &first_secret, EIO);
    assert_true(rig_logged("it is missing, but the volume is encrypted"));
    rig_log_reset();
    refuse_with(r, NULL, EIO);
    assert_true(rig_logged("it is missing, but the volume is encrypted"));
    assert_ok(simdisk_put(r->disk, "/vol/KEYS", buf_slice(&keys)));
    open_with(r, &first_secret);
    buf_release(&keys);
}

static void keys_of_another_store_do_not_open_it(void **state)
{
    struct rig *r = *state;
    struct buf keys = {0};
    assert_ok(store_create("/other", &r->opt));
    assert_ok(simdisk_get(r->disk, "/other/KEYS", &keys));
    assert_ok(simdisk_put(r->disk, "/vol/KEYS", buf_slice(&keys)));
    refuse_with(r, &first_secret, EIO);
    assert_true(rig_logged("another volume than the keys"));
    buf_release(&keys);
}

/* It has the same keys, and from then on its own passphrases. */
static void a_checkpoint_is_encrypted_and_opens_with_the_same_passphrase(void **state)
{
    struct rig *r = *state, copy = *r;
    struct store_checkpoint c;
    struct store_pin pin;
    open_with(r, &first_secret);
    put(r, "a", 100, 'a');
    put(r, "b", 9000, 'b');
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    put(r, "c", 9000, 'c');
    assert_ok(store_checkpoint(r->s, "/copy", "p", &c));
    assert_true(c.linked_files >= 2 && c.copied_bytes < 4096);
    strcpy(copy.dir, "/copy");
    copy.s = NULL;
    refuse_with(&copy, NULL, ENOKEY);
    refuse_with(&copy, &wrong_secret, EKEYREJECTED);
    open_with(&copy, &first_secret);
    put(&copy, "d", 9000, 'd');
    assert_ok(store_compact(copy.s, (struct slice){0}, (struct slice){0}));
    rig_close_clean(&copy);
    rig_close_clean(r);
    open_with(&copy, &first_secret);
    assert_has(&copy, "a", 100, 'a');
    assert_has(&copy, "b", 9000, 'b');
    assert_has(&copy, "d", 9000, 'd');
    rig_assert(&copy, "c", NULL);
    rig_close_clean(&copy);
    open_with(r, &first_secret);
    assert_has(r, "c", 9000, 'c');
    rig_close_clean(r);
}

static void a_plain_store_needs_no_key(void **state)
{
    struct rig *r = *state;
    struct store_options o = r->opt;
    struct store_secret required = first_secret;
    struct store *s;
    int asked = first.asked;
    o.secret = NULL;
    assert_ok(store_create("/plain", &o));
    o.secret = &first_secret;
    assert_ok(store_open("/plain", &o, &s));
    assert_ok(store_close(s));
    required.required = true;
    o.secret = &required;
    assert_errno(store_open("/plain", &o, &s), EMEDIUMTYPE);
    assert_int_equal(first.asked, asked);
}

/* A plain file in the place of an encrypted one, by somebody who wants to be believed. */
static void a_file_of_a_plain_store_is_refused(void **state)
{
    struct rig *r = *state;
    struct store_options o = r->opt;
    struct buf manifest = {0}, current = {0};
    o.secret = NULL;
    assert_ok(store_create("/plain", &o));
    assert_ok(simdisk_get(r->disk, "/plain/000001.manifest", &manifest));
    assert_ok(simdisk_get(r->disk, "/plain/CURRENT", &current));
    assert_ok(simdisk_put(r->disk, "/vol/000001.manifest", buf_slice(&manifest)));
    assert_ok(simdisk_put(r->disk, "/vol/CURRENT", buf_slice(&current)));
    refuse_with(r, &first_secret, EIO);
    assert_true(rig_logged("not encrypted, but the volume is"));
    buf_release(&manifest);
    buf_release(&current);
}

/* ---- what the files show ---- */

static const char marker[] = "MARKER-in-plain-text";

static int find_marker(void *ctx, const char *path)
{
    struct rig *r = ctx;
    struct buf bytes = {0};
    assert_ok(simdisk_get(r->disk, path, &bytes));
    if (strncmp(path, "/vol/", 5) == 0 && memmem(bytes.data, bytes.len, marker, sizeof marker - 1))
        fail_msg("%s shows what was written", path);
    buf_release(&bytes);
    return 0;
}

static void put_marked(struct rig *r, int i, size_t len)
{
    struct store_batch *b = store_batch_new(r->s);
    struct buf key = {0}, value = {0};
    char number[20];
    snprintf(number, sizeof number, "%06d", i);
    buf_append(&key, slice_str(marker));
    buf_append(&key, slice_str(number));
    while (value.len < len)
        buf_append(&value, slice_str(marker));
    store_batch_put(b, buf_slice(&key), buf_slice(&value));
    if (i % 50 == 0) {
        buf_put_u8(&key, 'x');
        store_batch_delete_range(b, slice_str(marker), buf_slice(&key));
    }
    assert_ok(store_write(r->s, b, 0));
    buf_release(&key);
    buf_release(&value);
    store_batch_free(b);
}

/* Keys, values, ends of intervals, names of pins: in the log, in blob files, in tables and their
 * indexes, filters, tombstones and properties, and in the manifest. Compression off, so that
 * nothing else hides them. */
static void no_file_shows_what_was_written(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    r->opt.zstd_level = 0;
    rig_open(r);
    for (int i = 0; i < 400; i++) {
        put_marked(r, i, i % 3 == 0 ? 20 : i % 3 == 1 ? 600 : 5000);
        if (i == 200)
            assert_ok(store_pin_create(r->s, marker, 1, &pin));
        if (i % 100 == 99)
            assert_ok(simdisk_files(r->disk, find_marker, r));
    }
    assert_ok(store_flush(r->s));
    assert_ok(store_compact(r->s, (struct slice){0}, (struct slice){0}));
    assert_ok(simdisk_files(r->disk, find_marker, r));
    rig_close(r);
    assert_ok(simdisk_files(r->disk, find_marker, r));
}

/* ---- passphrases ---- */

static void passphrases_are_added_and_removed(void **state)
{
    struct rig *r = *state;
    struct store_keys keys;
    uint32_t slot;
    assert_ok(store_keys_add(r->dir, &r->opt, &second_secret, "for the night", &slot));
    assert_int_equal(slot, 1);
    assert_ok(store_keys_get(r->dir, &r->opt, &keys));
    assert_int_equal(keys.slot_count, 2);
    assert_int_equal(keys.generations, 1);
    assert_string_equal(keys.slots[1].label, "for the night");
    assert_int_equal(keys.slots[1].scrypt_log_n, SECRET_LOG_N);
    open_with(r, &second_secret);
    rig_close(r);
    assert_ok(store_keys_remove(r->dir, &r->opt, 0));
    refuse_with(r, &first_secret, EKEYREJECTED);
    open_with(r, &second_secret);
    rig_close(r);
    assert_errno(store_keys_remove(r->dir, &r->opt, 1), EBUSY);
    assert_errno(store_keys_remove(r->dir, &r->opt, 0), ENOENT);
    assert_errno(store_keys_remove(r->dir, &r->opt, 8), ENOENT);
    open_with(r, &second_secret);
}

static void there_are_eight_slots(void **state)
{
    struct rig *r = *state;
    uint32_t slot;
    char label[STORE_KEY_LABEL_MAX + 2];
    memset(label, 'l', sizeof label);
    label[STORE_KEY_LABEL_MAX + 1] = 0;
    assert_errno(store_keys_add(r->dir, &r->opt, &second_secret, label, &slot), EINVAL);
    label[STORE_KEY_LABEL_MAX] = 0;
    for (uint32_t i = 1; i < STORE_KEY_SLOTS; i++) {
        assert_ok(store_keys_add(r->dir, &r->opt, &second_secret, label, &slot));
        assert_int_equal(slot, i);
    }
    assert_errno(store_keys_add(r->dir, &r->opt, &second_secret, "", &slot), ENOSPC);
    assert_ok(store_keys_remove(r->dir, &r->opt, 4));
    assert_ok(store_keys_add(r->dir, &r->opt, &second_secret, "", &slot));
    assert_int_equal(slot, 4);
}

static void a_passphrase_is_changed(void **state)
{
    struct rig *r = *state;
    uint32_t slot;
    rig_open(r);
    put(r, "key", 1000, 'k');
    rig_close(r);
    r->opt.secret = &wrong_secret;
    assert_errno(store_keys_change(r->dir, &r->opt, &second_secret, &slot), EKEYREJECTED);
    r->opt.secret = NULL;
    assert_errno(store_keys_change(r->dir, &r->opt, &second_secret, &slot), ENOKEY);
    r->opt.secret = &first_secret;
    assert_ok(store_keys_change(r->dir, &r->opt, &second_secret, &slot));
    assert_int_equal(slot, 0);
    refuse_with(r, &first_secret, EKEYREJECTED);
    open_with(r, &second_secret);
    assert_has(r, "key", 1000, 'k');
}

static void keys_change_only_while_nobody_has_it_open(void **state)
{
    struct rig *r = *state;
    struct store_keys keys;
    uint32_t slot;
    rig_open(r);
    assert_errno(store_keys_change(r->dir, &r->opt, &second_secret, &slot), EAGAIN);
    assert_errno(store_keys_add(r->dir, &r->opt, &second_secret, "", &slot), EAGAIN);
    assert_errno(store_keys_remove(r->dir, &r->opt, 0), EAGAIN);
    assert_errno(store_keys_rotate(r->dir, &r->opt, NULL, NULL, &slot), EAGAIN);
    assert_ok(store_keys_get(r->dir, &r->opt, &keys));
}

static void a_plain_store_has_no_keys(void **state)
{
    struct rig *r = *state;
    struct store_options o = r->opt;
    struct store_keys keys;
    uint32_t slot;
    o.secret = NULL;
    assert_ok(store_create("/plain", &o));
    assert_absent(store_keys_get("/plain", &o, &keys));
    assert_absent(store_keys_add("/plain", &r->opt, &second_secret, "", &slot));
    assert_absent(store_keys_rotate("/plain", &r->opt, NULL, NULL, &slot));
    assert_errno(store_keys_add("/none", &r->opt, &second_secret, "", &slot), ENOENT);
}

/* What an interrupted change left goes at the next open. */
static void a_left_over_file_is_removed(void **state)
{
    struct rig *r = *state;
    uint64_t size;
    assert_ok(simdisk_put(r->disk, "/vol/KEYS.tmp", slice_str("half")));
    r->opt.read_only = true;
    rig_open(r);
    rig_close(r);
    assert_ok(r->env->file_size(r->env, "/vol/KEYS.tmp", &size));
    r->opt.read_only = false;
    rig_open(r);
    assert_errno(r->env->file_size(r->env, "/vol/KEYS.tmp", &size), ENOENT);
}

/* An attempt to make a store that was cut anywhere can be made again, and is a store or none. */
static void making_one_may_be_cut(void **state)
{
    struct rig *r = *state;
    uint64_t seed = unit_seed();
    for (uint64_t at = 1; at < 30; at++) {
        struct simdisk *d = simdisk_new(seed);
        struct store_options o = r->opt;
        struct store *s;
        o.env = simdisk_env(d);
        simdisk_cut_at(d, at, at % 2 ? SIM_CUT_BEFORE : SIM_CUT_WITHIN);
        int made = store_create("/new", &o);
        simdisk_crash(d, at % 3 ? SIM_RANDOM : SIM_KEEP_SYNCED, seed + at);
        int opened = store_open("/new", &o, &s);
        if (made == 0)
            assert_ok(opened);
        if (opened == 0) {
            assert_ok(store_close(s));
        } else {
            assert_errno(opened, ENOENT);
            made = store_create("/new", &o);
            assert_true(made == 0 || made == -ENOTEMPTY);
        }
        simdisk_free(d);
    }
}

#define test RIG_ENCRYPTED

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(what_was_written_comes_back),
        test(who_has_no_key_gets_nothing),
        test(whoever_is_asked_may_refuse),
        test(damaged_and_missing_keys_are_told_apart),
        test(keys_of_another_store_do_not_open_it),
        test(a_checkpoint_is_encrypted_and_opens_with_the_same_passphrase),
        test(a_plain_store_needs_no_key),
        test(a_file_of_a_plain_store_is_refused),
        test(no_file_shows_what_was_written),
        test(passphrases_are_added_and_removed),
        test(there_are_eight_slots),
        test(a_passphrase_is_changed),
        test(keys_change_only_while_nobody_has_it_open),
        test(a_plain_store_has_no_keys),
        test(a_left_over_file_is_removed),
        test(making_one_may_be_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
