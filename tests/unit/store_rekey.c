/* Tests of store/rekey.h: a new generation of the key is carried through the store, and called
 * complete only when nothing of the old one is left. */
#include "tests/unit/secret_rig.h"

enum { KEYS = 300 };

static size_t value_len(int i)
{
    return i % 3 == 0 ? 20 : i % 3 == 1 ? 700 : 5000;
}

static void fill(struct rig *r, int from, int to, char with)
{
    for (int i = from; i < to; i++) {
        char key[20];
        snprintf(key, sizeof key, "key %04d", i);
        put(r, key, value_len(i), with);
    }
}

static void assert_filled(struct rig *r, int from, int to, char with)
{
    for (int i = from; i < to; i++) {
        char key[20];
        snprintf(key, sizeof key, "key %04d", i);
        assert_has(r, key, value_len(i), with);
    }
}

static void rotate(struct rig *r)
{
    uint32_t slot;
    r->opt.secret = &first_secret;
    assert_ok(store_keys_rotate(r->dir, &r->opt, NULL, NULL, &slot));
}

static struct store_stats stats_of(struct rig *r)
{
    struct store_stats s;
    assert_ok(store_get_stats(r->s, &s));
    return s;
}

/* Works until nothing is left to do. */
static void work_it_off(struct rig *r)
{
    for (int idle = 0, steps = 0; idle < 3; steps++) {
        int err = store_work(r->s);
        assert_true(err == 0 || err == 1);
        assert_true(steps < 10000);
        idle = err == 1 ? idle + 1 : 0;
        simdisk_advance(r->disk, UINT64_C(2000000000));
    }
}

/* ---- what is on the disk, whoever names it ---- */

struct scan {
    struct rig *rig;
    uint32_t files, old_files;
    uint32_t epoch;
};

/* Each frame says the same as its file. */
static void scan_frames(struct slice bytes, const struct file_header *h)
{
    for (size_t at = FILE_HEADER_SIZE; at + FRAME_HEADER_SIZE <= bytes.len;) {
        struct frame_header f;
        frame_header_decode(bytes.data + at, &f);
        if (f.stored_len == 0)
            break;
        assert_int_equal(f.cipher, CIPHER_AES256_GCM);
        assert_int_equal(f.key_epoch, h->key_epoch);
        at += FRAME_HEADER_SIZE + f.stored_len;
    }
}

static int scan_file(void *ctx, const char *path)
{
    struct scan *s = ctx;
    struct buf bytes = {0};
    struct file_header h;
    enum file_kind kind;
    uint64_t number;
    if (strncmp(path, "/vol/", 5) != 0 || name_parse(path + 5, &kind, &number) != 0 ||
        !kind_is_numbered(kind))
        return 0;
    assert_ok(simdisk_get(s->rig->disk, path, &bytes));
    assert_int_equal(file_header_decode(buf_slice(&bytes), &h), HEADER_OK);
    assert_int_equal(h.cipher, CIPHER_AES256_GCM);
    s->files++;
    s->old_files += h.key_epoch != s->epoch;
    size_t footer = kind == FILE_TABLE ? TABLE_FOOTER_SIZE : 0;
    scan_frames(slice_of(bytes.data, bytes.len - footer), &h);
    buf_release(&bytes);
    return 0;
}

static struct scan scan_disk(struct rig *r, uint32_t epoch)
{
    struct scan s = {.rig = r, .epoch = epoch};
    assert_ok(simdisk_files(r->disk, scan_file, &s));
    assert_true(s.files > 0);
    return s;
}

static uint32_t generations_in_keys(struct rig *r)
{
    struct store_keys keys;
    assert_ok(store_keys_get(r->dir, &r->opt, &keys));
    return keys.generations;
}

/* ---- carrying over ---- */

static void a_store_that_was_never_rotated_has_nothing_left(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    fill(r, 0, KEYS, 'a');
    work_it_off(r);
    struct store_stats s = stats_of(r);
    assert_int_equal(s.key_epoch, 1);
    assert_int_equal(s.key_generations, 1);
    assert_int_equal(s.old_key_files, 0);
}

static void everything_is_carried_over(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    rig_open(r);
    fill(r, 0, KEYS, 'a');
    assert_ok(store_pin_create(r->s, "pin", 1, &pin));
    fill(r, 0, KEYS / 3, 'b');
    assert_ok(store_compact(r->s, (struct slice){0}, (struct slice){0}));
    fill(r, KEYS / 2, KEYS, 'c');
    rig_close(r);
    rotate(r);
    assert_int_equal(generations_in_keys(r), 2);
    assert_true(scan_disk(r, 2).old_files > 3);
    rig_open(r);
    struct store_stats s = stats_of(r);
    assert_int_equal(s.key_epoch, 2);
    assert_int_equal(s.key_generations, 2);
    assert_true(s.old_key_files > 3 && s.old_key_bytes > 1000);
    work_it_off(r);
    s = stats_of(r);
    assert_int_equal(s.key_generations, 1);
    assert_int_equal(s.old_key_files, 0);
    assert_int_equal(s.old_key_bytes, 0);
    assert_int_equal(scan_disk(r, 2).old_files, 0);
    assert_int_equal(generations_in_keys(r), 1);
    assert_true(rig_logged("generation 2 of the key"));
    assert_filled(r, 0, KEYS / 3, 'b');
    assert_filled(r, KEYS / 3, KEYS / 2, 'a');
    assert_filled(r, KEYS / 2, KEYS, 'c');
    rig_reopen(r);
    assert_filled(r, 0, KEYS / 3, 'b');
    assert_filled(r, KEYS / 2, KEYS, 'c');
    assert_int_equal(scan_disk(r, 2).old_files, 0);
}

/* What is left falls, and never says 0 too early. */
static void the_figure_tells_what_is_left(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    fill(r, 0, KEYS, 'a');
    assert_ok(store_compact(r->s, (struct slice){0}, (struct slice){0}));
    rig_close(r);
    rotate(r);
    rig_open(r);
    struct store_stats s = stats_of(r);
    uint64_t files = s.old_key_files;
    assert_true(files > 1);
    for (int i = 0; i < 10000 && s.key_generations > 1; i++) {
        assert_true(s.old_key_files <= files);
        assert_int_equal(s.key_generations, generations_in_keys(r));
        files = s.old_key_files;
        assert_true(store_work(r->s) >= 0);
        simdisk_advance(r->disk, UINT64_C(2000000000));
        s = stats_of(r);
    }
    assert_int_equal(s.key_generations, 1);
    assert_int_equal(s.old_key_files, 0);
    assert_int_equal(scan_disk(r, 2).old_files, 0);
}

/* A file that nobody names, and one that cannot be read, keep the key that they may need. */
static void a_file_that_is_left_keeps_its_key(void **state)
{
    struct rig *r = *state;
    struct file_header h = {.kind = FILE_TABLE,
                            .version = FORMAT_VERSION,
                            .number = 3,
                            .cipher = CIPHER_AES256_GCM,
                            .key_epoch = 1};
    uint8_t bytes[FILE_HEADER_SIZE];
    rig_open(r);
    fill(r, 0, KEYS, 'a');
    rig_close(r);
    rotate(r);
    rig_open(r);
    store_uuid(r->s, h.uuid);
    file_header_encode(&h, bytes);
    assert_ok(simdisk_put(r->disk, "/vol/000003.table", slice_of(bytes, sizeof bytes)));
    work_it_off(r);
    assert_int_equal(stats_of(r).old_key_files, 0);
    assert_int_equal(stats_of(r).key_generations, 2);
    assert_int_equal(generations_in_keys(r), 2);
    bytes[20] ^= 1;
    assert_ok(simdisk_put(r->disk, "/vol/000003.table", slice_of(bytes, sizeof bytes)));
    work_it_off(r);
    assert_int_equal(generations_in_keys(r), 2);
    assert_ok(r->env->remove(r->env, "/vol/000003.table"));
    work_it_off(r);
    assert_int_equal(generations_in_keys(r), 1);
}

static void a_reader_of_old_files_is_waited_for(void **state)
{
    struct rig *r = *state;
    struct store_read read;
    struct store_value v = {0};
    rig_open(r);
    fill(r, 0, KEYS, 'a');
    rig_close(r);
    rotate(r);
    rig_open(r);
    store_read_begin(r->s, &read);
    work_it_off(r);
    assert_int_equal(generations_in_keys(r), 2);
    assert_ok(store_get(&read, slice_str("key 0001"), &v)); /* opened only now */
    store_value_release(&v);
    store_read_end(&read);
    work_it_off(r);
    assert_int_equal(generations_in_keys(r), 1);
}

static void rotations_may_follow_each_other(void **state)
{
    struct rig *r = *state;
    uint32_t slot;
    rig_open(r);
    fill(r, 0, KEYS, 'a');
    rig_close(r);
    for (uint32_t i = 2; i <= STORE_KEY_GENERATIONS_MAX; i++)
        rotate(r);
    assert_errno(store_keys_rotate(r->dir, &r->opt, NULL, NULL, &slot), ENOSPC);
    rig_open(r);
    assert_int_equal(stats_of(r).key_generations, STORE_KEY_GENERATIONS_MAX);
    work_it_off(r);
    assert_int_equal(stats_of(r).key_generations, 1);
    assert_int_equal(stats_of(r).key_epoch, STORE_KEY_GENERATIONS_MAX);
    assert_int_equal(scan_disk(r, STORE_KEY_GENERATIONS_MAX).old_files, 0);
    assert_filled(r, 0, KEYS, 'a');
}

/* KEYS cannot be written when all is done: nothing is lost, and it is done later. */
static void dropping_the_old_key_may_fail(void **state)
{
    struct rig *r = *state;
    struct sim_fault fault = {
        .call = SIM_WRITE, .path_part = "KEYS.tmp", .err = -ENOSPC, .sticky = true};
    rig_open(r);
    fill(r, 0, KEYS, 'a');
    rig_close(r);
    rotate(r);
    rig_open(r);
    simdisk_fail(r->disk, &fault);
    for (int i = 0; i < 200; i++) {
        store_work(r->s);
        simdisk_advance(r->disk, UINT64_C(2000000000));
    }
    assert_int_equal(stats_of(r).old_key_files, 0);
    assert_int_equal(stats_of(r).key_generations, 2);
    simdisk_heal(r->disk);
    work_it_off(r);
    assert_int_equal(stats_of(r).key_generations, 1);
    assert_int_equal(generations_in_keys(r), 1);
    rig_reopen(r);
    assert_filled(r, 0, KEYS, 'a');
}

/* ---- slots ---- */

static int other_secret(void *ctx, const struct store_key_slot *slot, uint8_t out[STORE_SECRET_MAX],
                        size_t *len)
{
    const struct secret_text *texts = ctx;
    if (slot->number >= 2)
        return 1;
    *len = strlen(texts[slot->number].text);
    memcpy(out, texts[slot->number].text, *len);
    return 0;
}

static void slots_are_kept_if_their_passphrase_is_given(void **state)
{
    struct rig *r = *state;
    struct store_keys keys;
    uint32_t slot;
    struct secret_text right[] = {first, second}, bad[] = {first, wrong};
    assert_ok(store_keys_add(r->dir, &r->opt, &second_secret, "second", &slot));
    assert_ok(store_keys_add(r->dir, &r->opt, &wrong_secret, "to be given up", &slot));
    uint64_t before = simdisk_digest(r->disk);
    assert_errno(store_keys_rotate(r->dir, &r->opt, other_secret, bad, &slot), EKEYREJECTED);
    assert_int_equal(slot, 1);
    assert_true(simdisk_digest(r->disk) == before);
    assert_ok(store_keys_rotate(r->dir, &r->opt, other_secret, right, &slot));
    assert_ok(store_keys_get(r->dir, &r->opt, &keys));
    assert_int_equal(keys.slot_count, 2);
    assert_string_equal(keys.slots[1].label, "second");
    open_with(r, &second_secret);
    rig_close(r);
    open_with(r, &first_secret);
    rig_close(r);
    r->opt.secret = &wrong_secret;
    assert_errno(store_open(r->dir, &r->opt, &r->s), EKEYREJECTED);
}

/* Who had a passphrase and a copy of KEYS from before a rotation does not get at what is written
 * after it. */
static void an_old_copy_of_the_keys_does_not_open_what_is_new(void **state)
{
    struct rig *r = *state;
    struct buf keys = {0};
    assert_ok(simdisk_get(r->disk, "/vol/KEYS", &keys));
    rotate(r);
    rig_open(r);
    fill(r, 0, 10, 'n');
    work_it_off(r);
    rig_close(r);
    assert_ok(simdisk_put(r->disk, "/vol/KEYS", buf_slice(&keys)));
    rig_log_reset();
    assert_errno(store_open(r->dir, &r->opt, &r->s), EIO);
    assert_true(rig_logged("generation 2 of the key, which the volume does not have"));
    buf_release(&keys);
}

/* ---- foreign files ---- */

struct named {
    char path[64]; /* the blob file with the highest number */
};

static int note_blob(void *ctx, const char *path)
{
    struct named *n = ctx;
    if (strncmp(path, "/vol/", 5) == 0 && strstr(path, ".blob"))
        snprintf(n->path, sizeof n->path, "%s", path);
    return 0;
}

static struct named last_blob(struct simdisk *d)
{
    struct named n = {""};
    assert_ok(simdisk_files(d, note_blob, &n));
    assert_true(n.path[0]);
    return n;
}

/* A blob file of the same number and size, frames at the same places, from a copy of the store that
 * went another way: all of it is genuine but for its place in history. */
static void a_file_of_another_history_is_refused(void **state)
{
    struct rig *r = *state;
    struct simdisk *copy = simdisk_clone(r->disk);
    struct rig other = {.disk = copy, .env = simdisk_env(copy), .opt = r->opt};
    struct buf bytes = {0};
    uint8_t some[100];
    strcpy(other.dir, r->dir);
    other.opt.env = other.env;
    rig_open(r);
    put(r, "key", 5000, 'm');
    rig_close(r);
    assert_ok(other.env->random(other.env, some, sizeof some)); /* other salts */
    rig_open(&other);
    put(&other, "key", 5000, 't');
    rig_close(&other);
    struct named mine = last_blob(r->disk), theirs = last_blob(copy);
    assert_string_equal(mine.path, theirs.path);
    assert_ok(simdisk_get(copy, theirs.path, &bytes));
    assert_ok(simdisk_put(r->disk, mine.path, buf_slice(&bytes)));
    rig_open(r);
    struct store_read read;
    struct store_value v = {0};
    store_read_begin(r->s, &read);
    rig_log_reset();
    assert_errno(store_get(&read, slice_str("key"), &v), EIO);
    assert_true(rig_logged("an older or a foreign one"));
    store_value_release(&v);
    store_read_end(&read);
    buf_release(&bytes);
    simdisk_free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_ENCRYPTED(a_store_that_was_never_rotated_has_nothing_left),
        RIG_ENCRYPTED(everything_is_carried_over),
        RIG_ENCRYPTED(the_figure_tells_what_is_left),
        RIG_ENCRYPTED(a_file_that_is_left_keeps_its_key),
        RIG_ENCRYPTED(a_reader_of_old_files_is_waited_for),
        RIG_ENCRYPTED(rotations_may_follow_each_other),
        RIG_ENCRYPTED(dropping_the_old_key_may_fail),
        RIG_ENCRYPTED(slots_are_kept_if_their_passphrase_is_given),
        RIG_ENCRYPTED(an_old_copy_of_the_keys_does_not_open_what_is_new),
        RIG_ENCRYPTED(a_file_of_another_history_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
