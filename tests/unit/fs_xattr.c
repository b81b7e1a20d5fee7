/* Extended attributes: names, values, flags, sizes, and what becomes of them. */
#include "tests/unit/vol.h"

#define ROOT FS_INO_ROOT

static void assert_value(struct vol *v, uint64_t ino, const char *name, const void *value,
                         size_t len)
{
    uint8_t *got = malloc(len + 1);
    size_t got_len;
    assert_ok(fs_getxattr(v->fs, ino, name, NULL, 0, &got_len));
    assert_int_equal(got_len, len);
    assert_ok(fs_getxattr(v->fs, ino, name, got, len + 1, &got_len));
    assert_slice(slice_of(got, got_len), value, len);
    free(got);
}

static void test_set_get_remove(void **state)
{
    (void)state;
    struct vol v;
    size_t len;
    vol_make(&v, 0);
    const uint64_t inos[] = {ROOT, vol_file(&v, ROOT, "f"), vol_mkdir(&v, ROOT, "d"),
                             vol_symlink(&v, ROOT, "s", "t")};
    for (size_t i = 0; i < 4; i++) {
        uint64_t ino = inos[i];
        assert_errno(fs_getxattr(v.fs, ino, "user.a", NULL, 0, &len), ENODATA);
        assert_ok(fs_setxattr(v.fs, ino, "user.a", "value\0with NUL", 14, 0));
        assert_value(&v, ino, "user.a", "value\0with NUL", 14);
        assert_ok(fs_setxattr(v.fs, ino, "user.a", "other", 5, 0));
        assert_value(&v, ino, "user.a", "other", 5);
        assert_ok(fs_setxattr(v.fs, ino, "user.empty", NULL, 0, 0));
        assert_value(&v, ino, "user.empty", "", 0);
        assert_ok(fs_setxattr(v.fs, ino, "security.selinux", "x", 1, 0));
        assert_ok(fs_setxattr(v.fs, ino, "trusted.overlay.opaque", "y", 1, 0));
        assert_ok(fs_removexattr(v.fs, ino, "user.a"));
        assert_errno(fs_getxattr(v.fs, ino, "user.a", NULL, 0, &len), ENODATA);
        assert_errno(fs_removexattr(v.fs, ino, "user.a"), ENODATA);
    }
    vol_reopen(&v);
    for (size_t i = 0; i < 4; i++)
        assert_value(&v, inos[i], "trusted.overlay.opaque", "y", 1);
    vol_free(&v);
}

static void test_flags(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    assert_errno(fs_setxattr(v.fs, f, "user.a", "1", 1, FS_XATTR_REPLACE), ENODATA);
    assert_ok(fs_setxattr(v.fs, f, "user.a", "2", 1, FS_XATTR_CREATE));
    assert_errno(fs_setxattr(v.fs, f, "user.a", "3", 1, FS_XATTR_CREATE), EEXIST);
    assert_value(&v, f, "user.a", "2", 1);
    assert_ok(fs_setxattr(v.fs, f, "user.a", "4", 1, FS_XATTR_REPLACE));
    assert_value(&v, f, "user.a", "4", 1);
    assert_errno(fs_setxattr(v.fs, f, "user.a", "5", 1, 4), EINVAL);
    assert_value(&v, f, "user.a", "4", 1);
    vol_free(&v);
}

static void test_names(void **state)
{
    (void)state;
    struct vol v;
    size_t len;
    char name[300];
    memset(name, 'n', sizeof name);
    memcpy(name, "user.", 5);
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    name[255] = 0;
    assert_ok(fs_setxattr(v.fs, f, name, "x", 1, 0));
    assert_value(&v, f, name, "x", 1);
    name[255] = 'n';
    name[256] = 0;
    assert_errno(fs_setxattr(v.fs, f, name, "x", 1, 0), ERANGE);
    assert_errno(fs_getxattr(v.fs, f, name, NULL, 0, &len), ERANGE);
    assert_errno(fs_removexattr(v.fs, f, name), ERANGE);
    assert_errno(fs_setxattr(v.fs, f, "", "x", 1, 0), ERANGE);
    assert_errno(fs_getxattr(v.fs, f, "", NULL, 0, &len), ERANGE);
    assert_errno(fs_setxattr(v.fs, f, "user.", "x", 1, 0), EINVAL);
    assert_errno(fs_setxattr(v.fs, f, "userx", "x", 1, 0), EOPNOTSUPP);
    assert_errno(fs_setxattr(v.fs, f, "other.a", "x", 1, 0), EOPNOTSUPP);
    assert_errno(fs_setxattr(v.fs, f, "system.other", "x", 1, 0), EOPNOTSUPP);
    assert_errno(fs_getxattr(v.fs, f, "system.other", NULL, 0, &len), EOPNOTSUPP);
    assert_errno(fs_getxattr(v.fs, f, "user.", NULL, 0, &len), EINVAL);
    assert_errno(fs_getxattr(v.fs, f, "", NULL, 0, &len), ERANGE);
    assert_ok(fs_setxattr(v.fs, f, "user.\xff/\n", "x", 1, 0));
    assert_value(&v, f, "user.\xff/\n", "x", 1);
    assert_errno(fs_setxattr(v.fs, 999, "user.a", "x", 1, 0), ENOENT);
    assert_errno(fs_removexattr(v.fs, 999, "user.a"), ENOENT);
    vol_free(&v);
}

static void test_values_of_all_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        0, 1, 255, 256, 257, 4095, 4096, 4097, 16384, 65535, FS_XATTR_VALUE_MAX};
    struct vol v;
    struct vol *p = &v;
    uint8_t *data = malloc(FS_XATTR_VALUE_MAX + 1);
    for (size_t i = 0; i <= FS_XATTR_VALUE_MAX; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    vol_make(&v, 16 << 10);
    uint64_t f = vol_file(&v, ROOT, "f");
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char name[24];
            snprintf(name, sizeof name, "user.%zu", i);
            if (round == 0)
                assert_ok(fs_setxattr(v.fs, f, name, data, sizes[i], 0));
            assert_value(p, f, name, data, sizes[i]);
        }
        if (round == 0)
            vol_settle(p); /* into tables and blob files */
        if (round == 1)
            vol_crash(p, SIM_KEEP_ALL);
    }
    assert_errno(fs_setxattr(v.fs, f, "user.more", data, FS_XATTR_VALUE_MAX + 1, 0), E2BIG);
    free(data);
    vol_free(&v);
}

static void test_get_sizes(void **state)
{
    (void)state;
    struct vol v;
    char value[8] = "-------";
    size_t len;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    assert_ok(fs_setxattr(v.fs, f, "user.a", "12345", 5, 0));
    assert_errno(fs_getxattr(v.fs, f, "user.a", value, 4, &len), ERANGE);
    assert_int_equal(len, 5);
    assert_string_equal(value, "-------");
    assert_ok(fs_getxattr(v.fs, f, "user.a", value, 5, &len));
    assert_memory_equal(value, "12345--", 8);
    vol_free(&v);
}

static bool listed(const char *names, size_t len, const char *name)
{
    for (size_t at = 0; at < len; at += strlen(names + at) + 1)
        if (strcmp(names + at, name) == 0)
            return true;
    return false;
}

static void test_list(void **state)
{
    (void)state;
    struct vol v;
    char names[64];
    size_t len;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f"), g = vol_file(&v, ROOT, "g");
    assert_ok(fs_listxattr(v.fs, f, NULL, 0, &len));
    assert_int_equal(len, 0);
    assert_ok(fs_setxattr(v.fs, f, "user.b", "x", 1, 0));
    assert_ok(fs_setxattr(v.fs, f, "user.a", "x", 1, 0));
    assert_ok(fs_setxattr(v.fs, f, "trusted.c", "x", 1, 0));
    assert_ok(fs_setxattr(v.fs, g, "user.other", "x", 1, 0));
    assert_ok(fs_write(v.fs, f, 0, "data", 4)); /* its other keys are not names */
    assert_ok(fs_listxattr(v.fs, f, NULL, 0, &len));
    assert_int_equal(len, 7 + 7 + 10);
    assert_errno(fs_listxattr(v.fs, f, names, len - 1, &len), ERANGE);
    assert_int_equal(len, 24);
    assert_ok(fs_listxattr(v.fs, f, names, 24, &len));
    assert_true(listed(names, len, "user.a") && listed(names, len, "user.b"));
    assert_true(listed(names, len, "trusted.c") && !listed(names, len, "user.other"));
    assert_ok(fs_removexattr(v.fs, f, "user.b"));
    assert_ok(fs_listxattr(v.fs, f, names, sizeof names, &len));
    assert_int_equal(len, 17);
    assert_ok(fs_listxattr(v.fs, FS_INO_CONTROL, names, sizeof names, &len));
    assert_int_equal(len, 0);
    vol_free(&v);
}

/* They go with the inode, and an inode does not get another's. */
static void test_go_with_the_inode(void **state)
{
    (void)state;
    struct vol v;
    size_t len;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    assert_ok(fs_setxattr(v.fs, f, "user.a", "x", 1, 0));
    assert_ok(fs_unlink(v.fs, ROOT, "f"));
    assert_value(&v, f, "user.a", "x", 1); /* still open */
    assert_ok(fs_setxattr(v.fs, f, "user.b", "y", 1, 0));
    fs_forget(v.fs, f);
    assert_errno(fs_getxattr(v.fs, f, "user.a", NULL, 0, &len), ENODATA);
    assert_errno(fs_setxattr(v.fs, f, "user.a", "x", 1, 0), ENOENT);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_get_remove),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_values_of_all_sizes),
        cmocka_unit_test(test_get_sizes),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_go_with_the_inode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
