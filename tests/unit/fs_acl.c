/* Access control lists: what is one, what follows of which permissions, how they are set, follow
 * chmod, and are inherited. */
#include "tests/unit/acl_maker.h"
#include "tests/unit/vol_site.h"

/* ---- lists as bytes ---- */

static void test_check(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int err;
    } cases[] = {
        {"u:7 g:5 o:0", 0},
        {"u:7 u1:7 g:5 m:7 o:0", 0},
        {"u:7 u1:7 u2:0 g:5 g3:1 g4:2 m:7 o:0", 0},
        {"u:7 u2:7 u1:0 g:5 m:7 o:0", 0}, /* numbers in any order, as for the kernel */
        {"u:7 g:5 m:7 o:0", 0},
        {"", 1},
        {"u:7 g:5", -EINVAL},
        {"u:7 o:5", -EINVAL},
        {"g:7 o:5", -EINVAL},
        {"u:7 g:7 g:5 o:5", -EINVAL},
        {"u:7 u:7 g:5 o:5", -EINVAL},
        {"u:7 u1:7 g:5 o:5", -EINVAL}, /* without a mask */
        {"u:7 g:5 g1:4 o:5", -EINVAL},
        {"u:7 g:5 u1:7 m:7 o:5", -EINVAL},
        {"u:7 g:5 m:7 m:7 o:5", -EINVAL},
        {"u:7 g:5 o:5 m:7", -EINVAL},
        {"u:7 g:5 o:5 o:5", -EINVAL},
        {"u:10 g:5 o:5", -EINVAL},
    };
    struct buf list = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        acl_make(cases[i].text, &list);
        assert_int_equal(acl_check(buf_slice(&list)), cases[i].err);
    }
    assert_absent(acl_check((struct slice){0}));
    acl_make("u:7 g:5 o:0", &list);
    for (size_t len = 1; len < list.len; len++)
        assert_int_equal(acl_check(slice_of(list.data, len)), len == 4 ? 1 : -EINVAL);
    put_u32(list.data, 1);
    assert_errno(acl_check(buf_slice(&list)), EOPNOTSUPP);
    acl_make("u:7 u1:7 g:5 m:7 o:0", &list);
    put_u32(list.data + 4 + 8 + 4, UINT32_MAX); /* a user without number */
    assert_errno(acl_check(buf_slice(&list)), EINVAL);
    acl_make("u:7 g:5 o:0", &list);
    put_u16(list.data + 4, 64);
    assert_errno(acl_check(buf_slice(&list)), EINVAL);
    buf_release(&list);
}

static void test_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t mode; /* that it amounts to */
        bool minimal;
        uint32_t given;                /* to chmod, and to limit */
        const char *changed, *limited; /* what it is then */
        uint32_t left;                 /* of what is given, when limited */
    } cases[] = {
        {"u:7 g:5 o:1", 0751, true, 0640, "u:6 g:4 o:0", "u:6 g:4 o:0", 0640},
        {"u:6 g:4 o:4", 0644, true, 04777, "u:7 g:7 o:7", "u:6 g:4 o:4", 04644},
        {"u:7 u5:7 g:5 m:6 o:4", 0764, false, 0712, "u:7 u5:7 g:5 m:1 o:2", "u:7 u5:7 g:5 m:0 o:0",
         0700},
        {"u:4 u5:7 g:5 g6:2 m:7 o:7", 0477, false, 02666, "u:6 u5:7 g:5 g6:2 m:6 o:6",
         "u:4 u5:7 g:5 g6:2 m:6 o:6", 02466},
    };
    struct buf list = {0};
    char text[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        acl_make(cases[i].text, &list);
        assert_string_equal(acl_text(buf_slice(&list), text), cases[i].text);
        assert_int_equal(acl_mode(buf_slice(&list)), cases[i].mode);
        assert_int_equal(acl_is_minimal(buf_slice(&list)), cases[i].minimal);
        acl_chmod(list.data, list.len, cases[i].given);
        assert_string_equal(acl_text(buf_slice(&list), text), cases[i].changed);
        acl_make(cases[i].text, &list);
        assert_int_equal(acl_limit(list.data, list.len, cases[i].given), cases[i].left);
        assert_string_equal(acl_text(buf_slice(&list), text), cases[i].limited);
    }
    buf_release(&list);
}

/* ---- lists of inodes ---- */

static int set(struct vol *v, uint64_t ino, const char *name, const char *text, int flags)
{
    struct buf list = {0};
    acl_make(text, &list);
    int err = fs_setxattr(v->fs, ino, name, list.data, list.len, flags);
    buf_release(&list);
    return err;
}

/* The inode's list is that one; NULL: it has none. */
static void assert_list(struct vol *v, uint64_t ino, const char *name, const char *want)
{
    uint8_t bytes[512];
    char text[256];
    size_t len;
    int err = fs_getxattr(v->fs, ino, name, bytes, sizeof bytes, &len);
    if (!want) {
        assert_errno(err, ENODATA);
        return;
    }
    assert_ok(err);
    assert_string_equal(acl_text(slice_of(bytes, len), text), want);
}

static uint32_t mode_of(struct vol *v, uint64_t ino)
{
    return vol_attr(v, ino).mode & 07777;
}

static void test_set(void **state)
{
    (void)state;
    struct vol v;
    char names[256];
    size_t len;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    assert_list(&v, f, ACL_NAME_ACCESS, NULL);
    assert_ok(set(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:6 o:1", 0));
    assert_list(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:6 o:1");
    assert_int_equal(mode_of(&v, f), 0761);
    assert_ok(fs_listxattr(v.fs, f, names, sizeof names, &len));
    assert_slice(slice_of(names, len), ACL_NAME_ACCESS, sizeof ACL_NAME_ACCESS);
    vol_assert_sound(&v);
    vol_reopen(&v);
    assert_list(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:6 o:1");
    /* As of setxattr(2), flags do not matter. */
    assert_ok(set(&v, f, ACL_NAME_ACCESS, "u:4 u5:6 g:5 m:4 o:0", FS_XATTR_CREATE));
    assert_int_equal(mode_of(&v, f), 0440);
    /* One that says no more than permission bits is not kept. */
    assert_ok(set(&v, f, ACL_NAME_ACCESS, "u:6 g:2 o:3", 0));
    assert_list(&v, f, ACL_NAME_ACCESS, NULL);
    assert_int_equal(mode_of(&v, f), 0623);
    assert_ok(fs_listxattr(v.fs, f, names, sizeof names, &len));
    assert_int_equal(len, 0);
    vol_free(&v);
}

static void test_remove(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t d = vol_mkdir(&v, ROOT, "d");
    const char *const names[] = {ACL_NAME_ACCESS, ACL_NAME_DEFAULT};
    for (size_t i = 0; i < 2; i++) {
        assert_ok(fs_removexattr(v.fs, d, names[i])); /* there is none */
        assert_ok(set(&v, d, names[i], "u:7 u5:6 g:5 m:5 o:5", 0));
        assert_ok(fs_removexattr(v.fs, d, names[i]));
        assert_list(&v, d, names[i], NULL);
        assert_int_equal(mode_of(&v, d), 0755);
        assert_ok(set(&v, d, names[i], "u:7 u5:6 g:5 m:5 o:5", 0));
        assert_ok(set(&v, d, names[i], "", 0)); /* a list without entries */
        assert_list(&v, d, names[i], NULL);
    }
    vol_free(&v);
}

static void test_refused(void **state)
{
    (void)state;
    struct vol v;
    size_t len;
    static uint8_t huge[FS_XATTR_VALUE_MAX + 4];
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f"), s = vol_symlink(&v, ROOT, "s", "t");
    put_u32(huge, 2);
    assert_ok(set(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:6 o:1", 0));
    assert_errno(set(&v, f, ACL_NAME_ACCESS, "u:7 g:5", 0), EINVAL);
    assert_errno(fs_setxattr(v.fs, f, ACL_NAME_ACCESS, "abcde", 5, 0), EINVAL);
    assert_errno(fs_setxattr(v.fs, f, ACL_NAME_ACCESS, "\1\0\0\0", 4, 0), EOPNOTSUPP);
    assert_errno(fs_setxattr(v.fs, f, ACL_NAME_ACCESS, huge, sizeof huge, 0), E2BIG);
    assert_errno(set(&v, f, ACL_NAME_DEFAULT, "u:7 g:5 o:5", 0), EACCES);
    assert_ok(fs_removexattr(v.fs, f, ACL_NAME_DEFAULT));
    assert_errno(set(&v, s, ACL_NAME_ACCESS, "u:7 g:5 o:5", 0), EOPNOTSUPP);
    assert_errno(fs_getxattr(v.fs, s, ACL_NAME_ACCESS, NULL, 0, &len), EOPNOTSUPP);
    assert_errno(fs_setxattr(v.fs, f, "system.other", "x", 1, 0), EOPNOTSUPP);
    assert_errno(set(&v, 999, ACL_NAME_ACCESS, "u:7 g:5 o:5", 0), ENOENT);
    assert_errno(fs_getxattr(v.fs, 999, ACL_NAME_ACCESS, NULL, 0, &len), ENOENT);
    assert_errno(set(&v, FS_INO_CONTROL, ACL_NAME_ACCESS, "u:7 g:5 o:5", 0), EPERM);
    assert_errno(fs_getxattr(v.fs, FS_INO_CONTROL, ACL_NAME_ACCESS, NULL, 0, &len), ENODATA);
    assert_list(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:6 o:1"); /* nothing has happened */
    assert_int_equal(mode_of(&v, f), 0761);
    vol_free(&v);
}

static void chmod_to(struct vol *v, uint64_t ino, uint32_t mode)
{
    struct fs_attr want = {.mode = mode}, a;
    assert_ok(fs_setattr(v->fs, ino, FS_SET_MODE, &want, &a));
    assert_int_equal(a.mode & 07777, mode);
}

static void test_chmod(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    assert_ok(set(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:6 o:1", 0));
    chmod_to(&v, f, 06712);
    assert_list(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:1 o:2");
    chmod_to(&v, f, 0712);
    assert_list(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:1 o:2");
    chmod_to(&v, f, 0);
    assert_list(&v, f, ACL_NAME_ACCESS, "u:0 u5:6 g:5 m:0 o:0");
    vol_free(&v);
}

/* Set-id bits stay, unless who sets the list may not keep them. */
static void test_set_id(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    chmod_to(&v, f, 06755);
    assert_ok(set(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:6 o:1", 0));
    assert_int_equal(mode_of(&v, f), 06761);
    assert_ok(set(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:5 o:1", FS_XATTR_KILL_SGID));
    assert_int_equal(mode_of(&v, f), 04751);
    chmod_to(&v, f, 06755);
    assert_ok(set(&v, f, ACL_NAME_ACCESS, "u:6 g:5 o:1", FS_XATTR_KILL_SGID));
    assert_int_equal(mode_of(&v, f), 04651);
    assert_errno(fs_setxattr(v.fs, f, "user.a", "x", 1, FS_XATTR_KILL_SGID), EINVAL);
    vol_free(&v);
}

static uint64_t make(struct vol *v, uint64_t dir, const char *name, uint32_t mode, uint32_t umask)
{
    const struct fs_cred cred = {.uid = 1000, .gid = 100, .umask = umask};
    struct fs_attr a;
    if (S_ISDIR(mode))
        assert_ok(fs_mkdir(v->fs, dir, name, mode & 07777, &cred, &a));
    else
        assert_ok(fs_mknod(v->fs, dir, name, mode, 0, &cred, &a));
    assert_int_equal(a.mode & 07777, mode_of(v, a.ino));
    return a.ino;
}

static void test_umask(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    const struct fs_cred cred = {.umask = 0777};
    vol_make(&v, 0);
    assert_int_equal(mode_of(&v, make(&v, ROOT, "f", S_IFREG | 06666, 022)), 06644);
    assert_int_equal(mode_of(&v, make(&v, ROOT, "p", S_IFIFO | 0666, 07077)), 0600);
    assert_int_equal(mode_of(&v, make(&v, ROOT, "d", S_IFDIR | 01777, 027)), 01750);
    assert_ok(fs_symlink(v.fs, ROOT, "s", "t", &cred, &a));
    assert_int_equal(a.mode & 07777, 0777);
    vol_free(&v);
}

static void test_inherit(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    const char *list = "u:7 u5:6 g:5 m:7 o:1";
    vol_make(&v, 0);
    uint64_t d = vol_mkdir(&v, ROOT, "d");
    assert_ok(set(&v, d, ACL_NAME_DEFAULT, list, 0));
    assert_int_equal(mode_of(&v, d), 0755);
    assert_list(&v, d, ACL_NAME_ACCESS, NULL);
    /* The umask does not count where there is a default list. */
    uint64_t f = make(&v, d, "f", S_IFREG | 0666, 077);
    assert_int_equal(mode_of(&v, f), 0660);
    assert_list(&v, f, ACL_NAME_ACCESS, "u:6 u5:6 g:5 m:6 o:0");
    assert_list(&v, f, ACL_NAME_DEFAULT, NULL);
    uint64_t p = make(&v, d, "p", S_IFIFO | 0600, 0);
    assert_list(&v, p, ACL_NAME_ACCESS, "u:6 u5:6 g:5 m:0 o:0");
    uint64_t e = make(&v, d, "e", S_IFDIR | 0777, 077);
    assert_int_equal(mode_of(&v, e), 0771);
    assert_list(&v, e, ACL_NAME_ACCESS, list);
    assert_list(&v, e, ACL_NAME_DEFAULT, list);
    f = make(&v, e, "f", S_IFREG | 0640, 0);
    assert_list(&v, f, ACL_NAME_ACCESS, "u:6 u5:6 g:5 m:4 o:0");
    assert_ok(fs_symlink(v.fs, e, "s", "t", &vol_cred, &a));
    assert_int_equal(a.mode & 07777, 0777);
    vol_assert_sound(&v);
    vol_crash(&v, SIM_KEEP_ALL);
    assert_list(&v, vol_find(&v, e, "f"), ACL_NAME_ACCESS, "u:6 u5:6 g:5 m:4 o:0");
    assert_list(&v, e, ACL_NAME_DEFAULT, list);
    vol_free(&v);
}

/* A default list with three entries gives permission bits, and no list. */
static void test_inherit_minimal(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t d = vol_mkdir(&v, ROOT, "d");
    assert_ok(set(&v, d, ACL_NAME_DEFAULT, "u:7 g:0 o:4", 0));
    uint64_t f = make(&v, d, "f", S_IFREG | 0666, 0777), e = make(&v, d, "e", S_IFDIR | 02777, 0);
    assert_int_equal(mode_of(&v, f), 0604);
    assert_list(&v, f, ACL_NAME_ACCESS, NULL);
    assert_int_equal(mode_of(&v, e), 02704);
    assert_list(&v, e, ACL_NAME_ACCESS, NULL);
    assert_list(&v, e, ACL_NAME_DEFAULT, "u:7 g:0 o:4");
    vol_free(&v);
}

/* Links and renames keep it, a snapshot shows what was, and it goes with its inode. */
static void test_life(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    assert_ok(set(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:6 o:1", 0));
    assert_ok(fs_link(v.fs, f, ROOT, "g", &a));
    assert_ok(fs_rename(v.fs, ROOT, "f", ROOT, "h", 0));
    assert_list(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:6 o:1");
    assert_ok(fs_snapshot_create(v.fs, "s"));
    assert_ok(fs_removexattr(v.fs, f, ACL_NAME_ACCESS));
    assert_ok(fs_lookup(v.fs, FS_INO_SNAPSHOTS, "s", &a));
    assert_ok(fs_lookup(v.fs, a.ino, "h", &a));
    assert_list(&v, a.ino, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:6 o:1");
    assert_errno(set(&v, a.ino, ACL_NAME_ACCESS, "u:7 g:5 o:5", 0), EROFS);
    assert_list(&v, f, ACL_NAME_ACCESS, NULL);
    assert_ok(fs_unlink(v.fs, ROOT, "g"));
    assert_ok(set(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:6 o:1", 0));
    assert_ok(fs_unlink(v.fs, ROOT, "h"));
    assert_list(&v, f, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:6 o:1"); /* still open somewhere */
    fs_forget(v.fs, f);
    vol_free(&v);
}

/* ---- the verifier, and damage ---- */

static void put_list(struct raw *r, uint64_t ino, const char *name, const char *text)
{
    struct buf list = {0};
    acl_make(text, &list);
    raw_put(r, key_xattr(ino, name), buf_slice(&list));
    buf_release(&list);
}
static void without_flag(struct raw *r, const struct site *s)
{
    put_list(r, s->file, ACL_NAME_ACCESS, "u:6 u5:6 g:5 m:4 o:4");
}
static void without_list(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->file, n.flags |= INODE_ACL_ACCESS);
}
static void without_default(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->dir, n.flags |= INODE_ACL_DEFAULT);
}
static void other_mode(struct raw *r, const struct site *s)
{
    without_flag(r, s);
    CHANGE_INODE(r, s->file, n.flags |= INODE_ACL_ACCESS; n.mode ^= 1);
}
static void no_list(struct raw *r, const struct site *s)
{
    without_list(r, s);
    raw_put(r, key_xattr(s->file, ACL_NAME_ACCESS), slice_str("nonsense"));
}
static void minimal(struct raw *r, const struct site *s)
{
    without_list(r, s);
    put_list(r, s->file, ACL_NAME_ACCESS, "u:6 g:4 o:4");
}
static void of_a_link(struct raw *r, const struct site *s)
{
    put_list(r, s->link, ACL_NAME_ACCESS, "u:7 u5:6 g:5 m:7 o:7");
    CHANGE_INODE(r, s->link, n.flags |= INODE_ACL_ACCESS);
}
static void default_of_a_file(struct raw *r, const struct site *s)
{
    put_list(r, s->file, ACL_NAME_DEFAULT, "u:6 u5:6 g:5 m:4 o:4");
    CHANGE_INODE(r, s->file, n.flags |= INODE_ACL_DEFAULT);
}
static void sound(struct raw *r, const struct site *s)
{
    without_flag(r, s);
    CHANGE_INODE(r, s->file, n.flags |= INODE_ACL_ACCESS);
}

static void test_verifier(void **state)
{
    (void)state;
    assert_finds(without_flag, FINDING_ACL, "/dir/file");
    assert_finds(without_list, FINDING_ACL, "/dir/file");
    assert_finds(without_default, FINDING_ACL, "/dir");
    assert_finds(other_mode, FINDING_ACL, "/dir/file");
    assert_finds(no_list, FINDING_ACL, "/dir/file");
    assert_finds(minimal, FINDING_ACL, "/dir/file");
    assert_finds(of_a_link, FINDING_ACL, "/link");
    assert_finds(default_of_a_file, FINDING_ACL, "/dir/file");
    assert_finds_all(sound, NULL, 0);
}

/* A list that does not decode is damage where it is needed, and nothing is made by it. */
static void test_damaged(void **state)
{
    (void)state;
    struct site s;
    struct raw r;
    struct fs_attr want = {.mode = 0600}, a;
    site_make(&s);
    raw_begin(&r, &s.v);
    no_list(&r, &s);
    without_default(&r, &s);
    raw_end(&r);
    vol_open(&s.v);
    assert_errno(fs_setattr(s.v.fs, s.file, FS_SET_MODE, &want, &a), EIO);
    assert_errno(fs_mkdir(s.v.fs, s.dir, "new", 0755, &vol_cred, &a), EIO);
    assert_int_equal(vol_find(&s.v, s.dir, "new"), 0);
    assert_ok(fs_removexattr(s.v.fs, s.file, ACL_NAME_ACCESS)); /* which mends it */
    assert_ok(fs_removexattr(s.v.fs, s.dir, ACL_NAME_DEFAULT));
    assert_ok(fs_setattr(s.v.fs, s.file, FS_SET_MODE, &want, &a));
    assert_ok(fs_mkdir(s.v.fs, s.dir, "new", 0755, &vol_cred, &a));
    vol_free(&s.v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),   cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_set),     cmocka_unit_test(test_remove),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_chmod),
        cmocka_unit_test(test_set_id),  cmocka_unit_test(test_umask),
        cmocka_unit_test(test_inherit), cmocka_unit_test(test_inherit_minimal),
        cmocka_unit_test(test_life),    cmocka_unit_test(test_verifier),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
