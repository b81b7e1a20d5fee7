/* dump: keys and values of the file system in words, and back. */
#include "fs/dump.h"
#include "tests/sim/simrng.h"
#include "tests/unit/vol.h"

static char *told(struct slice key)
{
    struct buf out = {0};
    dump_tell_key(key, &out);
    buf_put_u8(&out, 0);
    return (char *)out.data;
}

static void check(struct key k, const char *text)
{
    struct buf back = {0};
    char *said = told(key_slice(&k));
    assert_string_equal(said, text);
    assert_ok(dump_parse_key(said, &back));
    assert_true(slice_eq(buf_slice(&back), key_slice(&k)));
    buf_release(&back);
    free(said);
}

static void test_keys(void **state)
{
    (void)state;
    check(key_super(SUPER_RECORD), "super/record");
    check(key_super(SUPER_COUNTERS), "super/counters");
    check(key_super(SUPER_NEXT_INO), "super/next");
    check(key_super(SUPER_RECEIVED), "super/received");
    check(key_orphan(99), "super/orphan/99");
    check(key_attr(1), "1/attr");
    check(key_attr((UINT64_C(1) << 48) - 1), "281474976710655/attr");
    check(key_xattr(17, "user.mime"), "17/xattr/user.mime");
    check(key_xattr(17, "user.a b%/\n\xff"), "17/xattr/user.a%20b%25/%0A%FF");
    check(key_xattr(17, "user.+"), "17/xattr/user.+");
    check(key_dirent(1, 4096), "1/slot/4096");
    check(key_chunk(17, 3), "17/data/3");
    check(key_kind(17, KIND_END), "17/end");
}

static void test_any_bytes_come_back(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    uint8_t bytes[24];
    struct buf back = {0};
    for (int i = 0; i < 50000; i++) {
        size_t len = simrng_below(&rng, sizeof bytes);
        for (size_t k = 0; k < len; k++)
            bytes[k] = (uint8_t)(simrng_coin(&rng) ? simrng_below(&rng, 5) : simrng_next(&rng));
        char *said = told(slice_of(bytes, len));
        if (dump_parse_key(said, &back) != 0 || !slice_eq(buf_slice(&back), slice_of(bytes, len)))
            fail_msg("%s does not come back", said);
        free(said);
    }
    buf_release(&back);
}

static void test_beginnings_and_nonsense(void **state)
{
    (void)state;
    struct buf out = {0};
    static const char *const bad[] = {
        "",          "x",          "17x",       "17/",         "17/what",
        "17/data/x", "17/data/1/", "17/attr/1", "super/x",     "super/next/1",
        "raw:0",     "raw:xx",     "-1/attr",   "17/xattr/%4", " 17"};
    assert_ok(dump_parse_key("17", &out));
    assert_int_equal(out.len, 8);
    assert_ok(dump_parse_key("17/data", &out));
    assert_int_equal(out.len, 9);
    assert_ok(dump_parse_key("17/data/3+", &out));
    assert_int_equal(out.len, 18);
    assert_ok(dump_parse_key("super", &out));
    assert_int_equal(out.len, 8);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (dump_parse_key(bad[i], &out) != -EINVAL)
            fail_msg("'%s' was taken", bad[i]);
    buf_release(&out);
}

/* ---- through the door ---- */

struct seen {
    char lines[1 << 16];
    size_t len;
};

static int see(void *ctx, const struct store_item *item)
{
    struct seen *s = ctx;
    s->len += (size_t)snprintf(s->lines + s->len, sizeof s->lines - s->len, "%s", item->what);
    for (uint32_t i = 0; i < item->count; i++)
        if (item->facts[i].kind == FACT_TEXT)
            s->len += (size_t)snprintf(s->lines + s->len, sizeof s->lines - s->len, " %s=%s",
                                       item->facts[i].name, item->facts[i].text);
    s->len += (size_t)snprintf(s->lines + s->len, sizeof s->lines - s->len, "\n");
    assert_true(s->len < sizeof s->lines);
    return 0;
}

static void test_door(void **state)
{
    (void)state;
    struct vol volume, *v = &volume;
    struct fs_attr dir, file;
    struct seen *s = mem_zalloc(sizeof *s);
    const struct fs_cred cred = {0};
    vol_make(v, 0);
    assert_ok(fs_mkdir(v->fs, FS_INO_ROOT, "a folder", 0750, &cred, &dir));
    assert_ok(fs_mknod(v->fs, dir.ino, "file", S_IFREG | 0644, 0, &cred, &file));
    assert_ok(fs_write(v->fs, file.ino, 100, "hello", 5));
    assert_ok(fs_setxattr(v->fs, file.ino, "user.x", "1", 1, 0));
    char attr[40], data[40];
    snprintf(attr, sizeof attr, "%llu/attr", (unsigned long long)file.ino);
    snprintf(data, sizeof data, "%llu/data/0", (unsigned long long)file.ino);
    assert_ok(fs_dump_key(v->fs, attr, 1, see, s));
    assert_non_null(strstr(s->lines, attr));
    assert_non_null(strstr(s->lines, "means=mode 100644, 1 links, owner 0:0, size 105, 1 chunks"));
    assert_ok(fs_dump_key(v->fs, data, 0, see, s));
    assert_non_null(strstr(s->lines, data));
    assert_errno(fs_dump_key(v->fs, "nonsense", 0, see, s), EINVAL);
    assert_errno(fs_dump_key(v->fs, "", 0, see, s), EINVAL);
    vol_close(v);
    s->len = 0;
    struct fs_dump_options opt = {.entries = true, .from = "nonsense"};
    assert_errno(fs_dump(VOL_DIR, &v->options, NULL, &opt, see, s), EINVAL);
    opt.from = NULL;
    assert_ok(fs_dump(VOL_DIR, &v->options, NULL, &opt, see, s));
    assert_non_null(strstr(s->lines, "table-added"));
    assert_non_null(strstr(s->lines, "smallest=super/record"));
    const char *limit = strstr(s->lines, "limit=");
    assert_non_null(limit);
    assert_true(strncmp(limit, "limit=raw:", 10) != 0);
    free(s);
    vol_free(v);
}

static void test_folder_entries(void **state)
{
    (void)state;
    struct buf out = {0}, value = {0};
    struct key k = key_dirent(1, 5000);
    struct dirent_record d = {.ino = 99, .type = 8, .name = slice_str("a name")};
    dirent_encode(&d, &value);
    dump_tell_value(key_slice(&k), buf_slice(&value), &out);
    assert_slice_str(buf_slice(&out), "inode 99, type 8, name a%20name");
    buf_clear(&out);
    dump_tell_value(key_slice(&k), slice_str("x"), &out);
    assert_slice_str(buf_slice(&out), "does not decode");
    buf_clear(&out);
    k = key_chunk(1, 0);
    dump_tell_value(key_slice(&k), buf_slice(&value), &out);
    assert_int_equal(out.len, 0);
    buf_release(&out);
    buf_release(&value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_any_bytes_come_back),
        cmocka_unit_test(test_beginnings_and_nonsense),
        cmocka_unit_test(test_door),
        cmocka_unit_test(test_folder_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
