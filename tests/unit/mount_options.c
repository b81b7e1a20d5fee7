/* Sizes, compression, and the list after -o. */
#include "mount/options.h"

#include <errno.h>

#include "tests/unit/unit.h"

static void sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"1", 1},
        {"4096", 4096},
        {"64K", 64 << 10},
        {"64k", 64 << 10},
        {"64KiB", 64 << 10},
        {"3M", 3 << 20},
        {"2g", UINT64_C(2) << 30},
        {"5TiB", UINT64_C(5) << 40},
        {"18446744073709551615", UINT64_MAX},
        {"16777215T", UINT64_C(16777215) << 40},
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t bytes = 77;
        assert_ok(options_size(good[i].text, &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
}

static void not_sizes(void **state)
{
    static const char *const bad[] = {"",   "K",     "-1",  "+1",   " 1",  "1 ",   "1.5G", "1KB",
                                      "1B", "1KiBx", "1KK", "0x10", "1iB", "many", "1P",   "1Ki"};
    uint64_t bytes;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bytes = 77;
        assert_errno(options_size(bad[i], &bytes), EINVAL);
        assert_int_equal(bytes, 0);
    }
    assert_errno(options_size("18446744073709551616", &bytes), ERANGE);
    assert_errno(options_size("16777216T", &bytes), ERANGE);
    assert_errno(options_size("18446744073709551615K", &bytes), ERANGE);
}

static void compression(void **state)
{
    static const char *const bad[] = {"",        "gzip",    "zstd:",   "zstd:0",
                                      "zstd:20", "zstd:-1", "zstd:1x", "none:1",
                                      "zstd: 1", "zstd:+1", "ZSTD",    "zstd:100"};
    int level;
    (void)state;
    assert_ok(options_compression("none", &level));
    assert_int_equal(level, 0);
    assert_ok(options_compression("zstd", &level));
    assert_int_equal(level, 1);
    assert_ok(options_compression("zstd:1", &level));
    assert_int_equal(level, 1);
    assert_ok(options_compression("zstd:19", &level));
    assert_int_equal(level, 19);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_errno(options_compression(bad[i], &level), EINVAL);
        assert_int_equal(level, -1);
    }
}

/* Parses a list that is right. */
static void parse(struct options_mount *o, const char *list)
{
    char *why = NULL;
    options_mount_init(o);
    assert_ok(options_mount_parse(o, list, false, &why));
    assert_null(why);
}

static void refuse(const char *list, const char *reason)
{
    struct options_mount o;
    char *why = NULL;
    options_mount_init(&o);
    assert_errno(options_mount_parse(&o, list, false, &why), EINVAL);
    assert_string_equal(why, reason);
    free(why);
    options_mount_release(&o);
}

static void nothing(void **state)
{
    struct options_mount o;
    (void)state;
    parse(&o, "");
    assert_false(o.read_only || o.allow_other || o.allow_root || o.nonempty || o.debug);
    assert_int_equal(o.zstd_level, -1);
    assert_int_equal(o.cache_bytes, 0);
    assert_int_equal(o.kernel.len, 0);
    assert_null(o.log_path);
    options_mount_release(&o);
    parse(&o, ",,");
    assert_int_equal(o.kernel.len, 0);
    options_mount_release(&o);
}

static void own(void **state)
{
    struct options_mount o;
    (void)state;
    parse(&o, "ro,cache=256M,memtable=8M,compression=zstd:9,log=/tmp/a "
              "b,nonempty,allow_other,allow_root,debug");
    assert_true(o.read_only && o.allow_other && o.allow_root && o.nonempty && o.debug);
    assert_int_equal(o.cache_bytes, 256 << 20);
    assert_int_equal(o.memtable_bytes, 8 << 20);
    assert_int_equal(o.zstd_level, 9);
    assert_string_equal(o.log_path, "/tmp/a b");
    assert_slice_str(buf_slice(&o.kernel), "ro,allow_other,allow_root,debug");
    options_mount_release(&o);
}

static void opening(void **state)
{
    struct options_mount o;
    (void)state;
    parse(&o, "rw");
    assert_int_equal(o.open, OPEN_BY_ITSELF);
    options_mount_release(&o);
    parse(&o, "open=quick");
    assert_int_equal(o.open, OPEN_QUICK);
    assert_int_equal(o.kernel.len, 0);
    options_mount_release(&o);
    parse(&o, "open=quick,open=checked");
    assert_int_equal(o.open, OPEN_CHECKED);
    options_mount_release(&o);
    parse(&o, "io_uring=off,io_uring=on");
    assert_int_equal(o.io_uring, IO_URING_ON);
    parse(&o, "io_uring=auto");
    assert_int_equal(o.io_uring, IO_URING_AUTO);
    refuse("io_uring=1", "io_uring cannot be '1'; write auto, on or off");
    refuse("open=never", "'never' is no way to open; write quick or checked");
}

static void commit(void **state)
{
    struct options_mount o;
    (void)state;
    parse(&o, "rw");
    assert_int_equal(o.store.commit_ns, 5000000000);
    options_mount_release(&o);
    parse(&o, "commit=60,commit=0");
    assert_int_equal(o.store.commit_ns, 0);
    assert_int_equal(o.kernel.len, 0);
    options_mount_release(&o);
    parse(&o, "commit=3600");
    assert_int_equal(o.store.commit_ns, 3600000000000);
    options_mount_release(&o);
    refuse("commit=3601", "commit.interval: '3601s' is out of range; it takes 0ns to 1h");
    refuse("commit=5s", "'5s' is no number of seconds; write for example 5, or 0 for never");
    refuse("commit=-1", "'-1' is no number of seconds; write for example 5, or 0 for never");
    refuse("commit=", "mount option 'commit' needs a value");
}

static void later_ones_win(void **state)
{
    struct options_mount o;
    (void)state;
    parse(&o, "ro,rw,cache=1M,cache=2M,log=a,log=b,compression=none,compression=zstd");
    assert_false(o.read_only);
    assert_int_equal(o.cache_bytes, 2 << 20);
    assert_string_equal(o.log_path, "b");
    assert_int_equal(o.zstd_level, 1);
    options_mount_release(&o);
}

static void of_others(void **state)
{
    struct options_mount o;
    (void)state;
    parse(&o,
          "defaults,auto,noauto,nofail,user,user=me,users,nouser,owner,group,_netdev,comment=a=b,"
          "x-systemd.automount,x-gvfs-show,X-mount.mkdir=0755,relatime,default_permissions,"
          "acl,user_xattr");
    assert_int_equal(o.kernel.len, 0);
    options_mount_release(&o);
    parse(&o, "nosuid,nodev,noexec,noatime,suid,dev,exec,sync,dirsync,auto_unmount");
    assert_slice_str(buf_slice(&o.kernel),
                     "nosuid,nodev,noexec,noatime,suid,dev,exec,sync,dirsync,auto_unmount");
    options_mount_release(&o);
}

static void times(void **state)
{
    static const struct {
        const char *list;
        enum fs_atime atime;
        bool no_dir_atime, lazytime;
        const char *kernel;
    } cases[] = {
        {"", FS_ATIME_RELATIVE, false, false, ""},
        {"noatime", FS_ATIME_NONE, false, false, "noatime"},
        {"strictatime", FS_ATIME_STRICT, false, false, ""},
        {"noatime,relatime", FS_ATIME_RELATIVE, false, false, "noatime"},
        {"strictatime,atime", FS_ATIME_RELATIVE, false, false, ""},
        {"strictatime,nostrictatime", FS_ATIME_RELATIVE, false, false, ""},
        {"nodiratime,lazytime", FS_ATIME_RELATIVE, true, true, ""},
        {"nodiratime,lazytime,diratime,nolazytime", FS_ATIME_RELATIVE, false, false, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct options_mount o;
        parse(&o, cases[i].list);
        assert_int_equal(o.atime, cases[i].atime);
        assert_int_equal(o.no_dir_atime, cases[i].no_dir_atime);
        assert_int_equal(o.lazytime, cases[i].lazytime);
        assert_slice_str(buf_slice(&o.kernel), cases[i].kernel);
        options_mount_release(&o);
    }
}

static void escapes(void **state)
{
    struct options_mount o;
    (void)state;
    parse(&o, "log=/a\\,b\\\\c,ro");
    assert_string_equal(o.log_path, "/a,b\\c");
    assert_true(o.read_only);
    options_mount_release(&o);
}

static void refused(void **state)
{
    (void)state;
    refuse("frob", "unknown mount option 'frob'");
    refuse("ro,frob=1,rw", "unknown mount option 'frob'");
    refuse("r", "unknown mount option 'r'");
    refuse("roo", "unknown mount option 'roo'");
    refuse("norelatime", "unknown mount option 'norelatime'");
    refuse("fsname=x", "unknown mount option 'fsname'");
    refuse("=", "unknown mount option ''");
    refuse("cache", "mount option 'cache' needs a value");
    refuse("cache=", "mount option 'cache' needs a value");
    refuse("ro=yes", "mount option 'ro' takes no value");
    refuse("cache=0", "'0' is not a size; write for example 64M or 2G");
    refuse("cache=big", "'big' is not a size; write for example 64M or 2G");
    refuse("compression=lz4", "'lz4' is no compression; write none, zstd or zstd:1 to zstd:19");
}

static void sloppy(void **state)
{
    struct options_mount o;
    char *why = NULL;
    (void)state;
    options_mount_init(&o);
    assert_ok(options_mount_parse(&o, "frob,ro,frob=1", true, &why));
    assert_true(o.read_only);
    assert_slice_str(buf_slice(&o.kernel), "ro");
    assert_errno(options_mount_parse(&o, "cache=big", true, &why), EINVAL);
    free(why);
    options_mount_release(&o);
}

/* Whatever is given, it is taken or refused with a reason, and nothing leaks. */
static void random_lists(void **state)
{
    static const char *const pieces[] = {"ro",     "rw",          "cache", "=",   ",",
                                         "64M",    "\\",          "log",   "x-",  "debug",
                                         "zstd:3", "compression", "\xff",  "user"};
    uint64_t seed = unit_seed();
    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct options_mount o;
        char list[200] = "", *why = NULL;
        options_mount_init(&o);
        for (int i = 0; i < 8; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            strcat(list, pieces[(seed >> 33) % (sizeof pieces / sizeof *pieces)]);
        }
        int err = options_mount_parse(&o, list, false, &why);
        assert_true(err == 0 ? why == NULL : err == -EINVAL && why != NULL && *why);
        free(why);
        options_mount_release(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),        cmocka_unit_test(not_sizes),
        cmocka_unit_test(compression),  cmocka_unit_test(nothing),
        cmocka_unit_test(opening),      cmocka_unit_test(own),
        cmocka_unit_test(commit),       cmocka_unit_test(later_ones_win),
        cmocka_unit_test(of_others),    cmocka_unit_test(escapes),
        cmocka_unit_test(refused),      cmocka_unit_test(sloppy),
        cmocka_unit_test(random_lists), cmocka_unit_test(times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
