/* Attributes: what setattr sets, and which times of which inodes each operation changes. */
#include "fs/volume.h"
#include "tests/unit/vol.h"

#define ROOT FS_INO_ROOT

/* ---- setattr ---- */

static void test_each_flag(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr want = {.mode = S_IFDIR | 04711, /* the type is not changed */
                           .uid = 5,
                           .gid = 6,
                           .atime = {-3, 1},
                           .mtime = {INT64_C(1) << 40, 999999999},
                           .ctime = {9, 9},
                           .size = 7};
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    static const unsigned sets[] = {FS_SET_MODE,  FS_SET_UID,       FS_SET_GID,
                                    FS_SET_ATIME, FS_SET_MTIME,     FS_SET_CTIME,
                                    FS_SET_SIZE,  FS_SET_ATIME_NOW, FS_SET_MTIME_NOW};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct fs_attr b = vol_attr(&v, f), a, again;
        unsigned s = sets[i];
        assert_ok(fs_setattr(v.fs, f, s, &want, &a));
        again = vol_attr(&v, f);
        assert_true(vol_same_attr(&a, &again));
        assert_int_equal(a.mode, s == FS_SET_MODE ? S_IFREG | 04711 : b.mode);
        assert_int_equal(a.uid, s == FS_SET_UID ? 5 : b.uid);
        assert_int_equal(a.gid, s == FS_SET_GID ? 6 : b.gid);
        assert_int_equal(a.size, s == FS_SET_SIZE ? 7 : b.size);
        assert_true(s == FS_SET_CTIME ? vol_same_time(a.ctime, want.ctime)
                                      : vol_ns(a.ctime) > vol_ns(b.ctime));
        if (s == FS_SET_ATIME_NOW)
            assert_true(vol_same_time(a.atime, a.ctime));
        else
            assert_true(vol_same_time(a.atime, s == FS_SET_ATIME ? want.atime : b.atime));
        if (s == FS_SET_MTIME_NOW || s == FS_SET_SIZE)
            assert_true(vol_same_time(a.mtime, a.ctime));
        else
            assert_true(vol_same_time(a.mtime, s == FS_SET_MTIME ? want.mtime : b.mtime));
        assert_true(vol_same_time(a.btime, b.btime));
    }
    vol_free(&v);
}

static void test_all_flags_at_once(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a,
        want = {.mode = 0, .uid = 1, .gid = 2, .size = 3, .atime = {4, 5}, .mtime = {6, 7}};
    vol_make(&v, 0);
    uint64_t f = vol_text(&v, ROOT, "f", "12345");
    assert_ok(fs_setattr(
        v.fs, f, FS_SET_MODE | FS_SET_UID | FS_SET_GID | FS_SET_SIZE | FS_SET_ATIME | FS_SET_MTIME,
        &want, &a));
    assert_true(a.mode == S_IFREG && a.uid == 1 && a.gid == 2 && a.size == 3);
    assert_true(a.atime.sec == 4 && a.mtime.sec == 6); /* mtime as given, in spite of the size */
    vol_reopen(&v);
    struct fs_attr again = vol_attr(&v, f);
    assert_true(vol_same_attr(&a, &again));
    vol_free(&v);
}

static void test_setattr_errors(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a, want = {.size = 1, .atime = {0, 1000000000}, .uid = 77};
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f"), dir = vol_mkdir(&v, ROOT, "d");
    uint64_t link = vol_symlink(&v, ROOT, "l", "target");
    assert_ok(fs_mknod(v.fs, ROOT, "p", S_IFIFO | 0644, 0, &vol_cred, &a));
    assert_errno(fs_setattr(v.fs, a.ino, FS_SET_SIZE, &want, &a), EINVAL);
    assert_errno(fs_setattr(v.fs, dir, FS_SET_SIZE, &want, &a), EISDIR);
    assert_errno(fs_setattr(v.fs, link, FS_SET_SIZE, &want, &a), EINVAL);
    assert_errno(fs_setattr(v.fs, 999, FS_SET_UID, &want, &a), ENOENT);
    struct fs_attr before = vol_attr(&v, f);
    assert_errno(fs_setattr(v.fs, f, FS_SET_ATIME | FS_SET_UID, &want, &a), EINVAL);
    want.atime.nsec = UINT32_MAX;
    assert_errno(fs_setattr(v.fs, f, FS_SET_ATIME | FS_SET_SIZE, &want, &a), EINVAL);
    want.size = (uint64_t)INT64_MAX + 1;
    assert_errno(fs_setattr(v.fs, f, FS_SET_SIZE | FS_SET_UID, &want, &a), EFBIG);
    a = vol_attr(&v, f);
    assert_true(vol_same_attr(&a, &before)); /* all or nothing */
    vol_free(&v);
}

/* ---- times ---- */

enum { A = 1, M = 2, C = 4, NEW = 8 };

/* The inodes of the play. */
struct cast {
    uint64_t p, q; /* folders */
    uint64_t f, g; /* files: p/f, q/g */
    uint64_t d, e; /* empty folders: p/d, q/e */
    uint64_t s;    /* a symbolic link: p/s */
};

struct act {
    const char *what;
    int (*play)(struct vol *v, const struct cast *c);
    unsigned p, q, f, g, d, s; /* which times it sets */
};

static int play_read(struct vol *v, const struct cast *c)
{
    char data[16];
    size_t got;
    return fs_read(v->fs, c->f, 0, data, sizeof data, &got);
}
static int play_write(struct vol *v, const struct cast *c)
{
    return fs_write(v->fs, c->f, 1, "x", 1);
}
static int play_write_nothing(struct vol *v, const struct cast *c)
{
    return fs_write(v->fs, c->f, 1, "x", 0);
}
static int play_truncate(struct vol *v, const struct cast *c)
{
    struct fs_attr a, want = {.size = 2};
    return fs_setattr(v->fs, c->f, FS_SET_SIZE, &want, &a);
}
static int play_chmod(struct vol *v, const struct cast *c)
{
    struct fs_attr a, want = {.mode = 0600};
    return fs_setattr(v->fs, c->f, FS_SET_MODE, &want, &a);
}
static int ignore_entry(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    (void)ctx;
    (void)name;
    (void)attr;
    (void)next;
    return 0;
}
static int play_look(struct vol *v, const struct cast *c)
{
    struct fs_attr a;
    assert_ok(fs_readdir(v->fs, c->p, 0, true, ignore_entry, NULL));
    return fs_lookup(v->fs, c->p, "f", &a);
}
static int play_readlink(struct vol *v, const struct cast *c)
{
    char target[FS_SYMLINK_MAX + 1];
    return fs_readlink(v->fs, c->s, target);
}
static int play_create(struct vol *v, const struct cast *c)
{
    struct fs_attr a;
    return fs_mknod(v->fs, c->p, "new", S_IFREG | 0644, 0, &vol_cred, &a);
}
static int play_mkdir(struct vol *v, const struct cast *c)
{
    struct fs_attr a;
    return fs_mkdir(v->fs, c->p, "new", 0755, &vol_cred, &a);
}
static int play_symlink(struct vol *v, const struct cast *c)
{
    struct fs_attr a;
    return fs_symlink(v->fs, c->p, "new", "target", &vol_cred, &a);
}
static int play_link(struct vol *v, const struct cast *c)
{
    struct fs_attr a;
    return fs_link(v->fs, c->f, c->q, "new", &a);
}
static int play_unlink(struct vol *v, const struct cast *c)
{
    return fs_unlink(v->fs, c->p, "f");
}
static int play_rmdir(struct vol *v, const struct cast *c)
{
    return fs_rmdir(v->fs, c->p, "d");
}
static int play_rename_within(struct vol *v, const struct cast *c)
{
    return fs_rename(v->fs, c->p, "f", c->p, "new", 0);
}
static int play_rename_across(struct vol *v, const struct cast *c)
{
    return fs_rename(v->fs, c->p, "f", c->q, "new", 0);
}
static int play_rename_folder(struct vol *v, const struct cast *c)
{
    return fs_rename(v->fs, c->p, "d", c->q, "new", 0);
}
static int play_replace(struct vol *v, const struct cast *c)
{
    return fs_rename(v->fs, c->p, "f", c->q, "g", 0);
}
static int play_exchange(struct vol *v, const struct cast *c)
{
    return fs_rename(v->fs, c->p, "f", c->q, "g", FS_RENAME_EXCHANGE);
}
static int play_setxattr(struct vol *v, const struct cast *c)
{
    return fs_setxattr(v->fs, c->f, "user.new", "x", 1, 0);
}
static int play_removexattr(struct vol *v, const struct cast *c)
{
    return fs_removexattr(v->fs, c->f, "user.old");
}
static int play_getxattr(struct vol *v, const struct cast *c)
{
    char value[8];
    size_t len;
    return fs_getxattr(v->fs, c->f, "user.old", value, sizeof value, &len);
}
static const char acl[] = "\2\0\0\0\1\0\7\0\377\377\377\377\4\0\5\0\377\377\377\377"
                          "\20\0\7\0\377\377\377\377\40\0\5\0\377\377\377\377";
static int play_set_acl(struct vol *v, const struct cast *c)
{
    return fs_setxattr(v->fs, c->f, "system.posix_acl_access", acl, sizeof acl - 1, 0);
}
static int play_default_acl(struct vol *v, const struct cast *c)
{
    return fs_setxattr(v->fs, c->p, "system.posix_acl_default", acl, sizeof acl - 1, 0);
}
static int play_refused(struct vol *v, const struct cast *c)
{
    assert_errno(fs_rmdir(v->fs, ROOT, "p"), ENOTEMPTY);
    assert_errno(fs_unlink(v->fs, c->p, "d"), EISDIR);
    assert_errno(fs_rename(v->fs, c->p, "f", c->q, "g", FS_RENAME_NOREPLACE), EEXIST);
    assert_errno(fs_setxattr(v->fs, c->f, "user.old", "x", 1, FS_XATTR_CREATE), EEXIST);
    return 0;
}

static const struct act acts[] = {
    {"read", play_read, 0, 0, 0, 0, 0, 0},
    {"write", play_write, 0, 0, M | C, 0, 0, 0},
    {"write nothing", play_write_nothing, 0, 0, 0, 0, 0, 0},
    {"truncate", play_truncate, 0, 0, M | C, 0, 0, 0},
    {"chmod", play_chmod, 0, 0, C, 0, 0, 0},
    {"look", play_look, 0, 0, 0, 0, 0, 0},
    {"readlink", play_readlink, 0, 0, 0, 0, 0, 0},
    {"create", play_create, M | C | NEW, 0, 0, 0, 0, 0},
    {"mkdir", play_mkdir, M | C | NEW, 0, 0, 0, 0, 0},
    {"symlink", play_symlink, M | C | NEW, 0, 0, 0, 0, 0},
    {"link", play_link, 0, M | C, C, 0, 0, 0},
    {"unlink", play_unlink, M | C, 0, C, 0, 0, 0},
    {"rmdir", play_rmdir, M | C, 0, 0, 0, C, 0},
    {"rename within", play_rename_within, M | C, 0, C, 0, 0, 0},
    {"rename across", play_rename_across, M | C, M | C, C, 0, 0, 0},
    {"rename a folder", play_rename_folder, M | C, M | C, 0, 0, C, 0},
    {"replace", play_replace, M | C, M | C, C, C, 0, 0},
    {"exchange", play_exchange, M | C, M | C, C, C, 0, 0},
    {"setxattr", play_setxattr, 0, 0, C, 0, 0, 0},
    {"removexattr", play_removexattr, 0, 0, C, 0, 0, 0},
    {"getxattr", play_getxattr, 0, 0, 0, 0, 0, 0},
    {"set an access list", play_set_acl, 0, 0, C, 0, 0, 0},
    {"set a default list", play_default_acl, C, 0, 0, 0, 0, 0},
    {"refused", play_refused, 0, 0, 0, 0, 0, 0},
};

static const struct fs_attr long_ago = {.atime = {1, 1}, .mtime = {2, 2}, .ctime = {3, 3}};

static void age(struct vol *v, uint64_t ino)
{
    struct fs_attr a;
    assert_ok(fs_setattr(v->fs, ino, FS_SET_ATIME | FS_SET_MTIME | FS_SET_CTIME, &long_ago, &a));
}

static void set_the_stage(struct vol *v, struct cast *c)
{
    vol_make(v, 0);
    *c = (struct cast){.p = vol_mkdir(v, ROOT, "p"), .q = vol_mkdir(v, ROOT, "q")};
    c->f = vol_text(v, c->p, "f", "some text");
    c->g = vol_text(v, c->q, "g", "other text");
    c->d = vol_mkdir(v, c->p, "d");
    c->e = vol_mkdir(v, c->q, "e");
    c->s = vol_symlink(v, c->p, "s", "target");
    assert_ok(fs_setxattr(v->fs, c->f, "user.old", "x", 1, 0));
    const uint64_t all[] = {c->p, c->q, c->f, c->g, c->d, c->e, c->s, ROOT};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        age(v, all[i]);
}

/* The act has set just these times of the inode, to the present. */
static void assert_times(struct vol *v, const struct act *act, const char *who, uint64_t ino,
                         unsigned set, int64_t began)
{
    struct fs_attr a = vol_attr(v, ino);
    const struct fs_time is[] = {a.atime, a.mtime, a.ctime};
    const struct fs_time was[] = {long_ago.atime, long_ago.mtime, long_ago.ctime};
    for (unsigned i = 0; i < 3; i++) {
        bool changed = !vol_same_time(is[i], was[i]);
        if (changed != ((set >> i & 1) != 0))
            fail_msg("%s: the %s of %s %s", act->what,
                     (const char *[]){"atime", "mtime", "ctime"}[i], who,
                     changed ? "has changed" : "has not changed");
        assert_true(!changed || vol_ns(is[i]) > began);
    }
}

static void test_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        const struct act *act = &acts[i];
        struct vol v;
        struct cast c;
        set_the_stage(&v, &c);
        int64_t began = v.options.env->realtime_ns(v.options.env);
        assert_ok(act->play(&v, &c));
        assert_times(&v, act, "p", c.p, act->p, began);
        assert_times(&v, act, "q", c.q, act->q, began);
        assert_times(&v, act, "f", c.f, act->f, began);
        assert_times(&v, act, "g", c.g, act->g, began);
        assert_times(&v, act, "d", c.d, act->d, began);
        assert_times(&v, act, "e", c.e, 0, began);
        assert_times(&v, act, "s", c.s, act->s, began);
        assert_times(&v, act, "the root", ROOT, 0, began);
        if (act->p & NEW) {
            struct fs_attr made, folder = vol_attr(&v, c.p);
            assert_ok(fs_lookup(v.fs, c.p, "new", &made));
            assert_true(vol_same_time(made.atime, made.btime) && vol_ns(made.btime) > began);
            assert_true(vol_same_time(made.mtime, made.btime));
            assert_true(vol_same_time(made.ctime, made.btime));
            assert_true(vol_same_time(folder.mtime, made.btime)); /* one operation, one time */
        }
        vol_free(&v);
    }
}

/* What is so already is not written: the kernel tells change times that it was told. */
static void test_nothing_new(void **state)
{
    (void)state;
    struct vol v;
    struct fs_stats before, after;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    struct fs_attr a, want = vol_attr(&v, f);
    assert_ok(fs_get_stats(v.fs, &before));
    assert_ok(fs_setattr(v.fs, f, FS_SET_CTIME | FS_SET_MTIME | FS_SET_MODE, &want, &a));
    assert_ok(fs_get_stats(v.fs, &after));
    assert_int_equal(after.store.seq, before.store.seq);
    assert_true(vol_same_attr(&a, &want));
    want.ctime.nsec ^= 1;
    assert_ok(fs_setattr(v.fs, f, FS_SET_CTIME, &want, &a));
    assert_ok(fs_get_stats(v.fs, &after));
    assert_true(after.store.seq > before.store.seq);
    struct fs_attr now = vol_attr(&v, f);
    assert_true(vol_same_attr(&now, &want));
    assert_ok(fs_setattr(v.fs, f, FS_SET_MODE, &want, &a)); /* the change time is another */
    assert_false(vol_same_time(a.ctime, want.ctime));
    vol_free(&v);
}

/* The outside's clock may be ahead by a tick; by more it is a time that somebody has set. */
static void test_clock(void **state)
{
    (void)state;
    static const int64_t aheads[] = {15000000, 500000000, INT64_C(3600) * 1000000000};
    for (size_t i = 0; i < sizeof aheads / sizeof *aheads; i++) {
        struct vol v;
        struct fs_attr a, want = {0};
        vol_make(&v, 0);
        uint64_t f = vol_file(&v, ROOT, "f");
        int64_t ns = v.options.env->realtime_ns(v.options.env) + aheads[i];
        want.ctime = fs_time_of(ns);
        assert_ok(fs_setattr(v.fs, f, FS_SET_CTIME, &want, &a));
        assert_true(vol_ns(a.ctime) == ns);
        int64_t now = vol_ns(vol_attr(&v, vol_mkdir(&v, ROOT, "d")).mtime);
        assert_int_equal(now >= ns, i == 0);
        simdisk_advance(v.disk, 20000000); /* it moves on by itself */
        assert_true(vol_ns(vol_attr(&v, vol_mkdir(&v, ROOT, "e")).mtime) > now);
        want.ctime = (struct fs_time){5, 0};
        assert_ok(fs_setattr(v.fs, f, FS_SET_CTIME, &want, &a));
        assert_true(vol_ns(vol_attr(&v, vol_mkdir(&v, ROOT, "g")).mtime) > now);
        vol_free(&v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_flag),      cmocka_unit_test(test_all_flags_at_once),
        cmocka_unit_test(test_setattr_errors), cmocka_unit_test(test_times),
        cmocka_unit_test(test_clock),          cmocka_unit_test(test_nothing_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
