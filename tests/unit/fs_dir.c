/* Listings: each entry exactly once, however a listing is divided and whatever happens meanwhile;
 * cookies that stay good. */
#include "tests/unit/vol_raw.h"

#include "tests/sim/simrng.h"

#define ROOT FS_INO_ROOT

/* ---- taking a listing in pieces ---- */

enum { ENTRIES_MAX = 10100 };
struct list {
    struct {
        char name[24];
        uint64_t ino, next;
        uint32_t mode, nlink;
    } entry[ENTRIES_MAX];
    size_t count, room; /* take no more than that */
};

static int take(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    struct list *l = ctx;
    if (l->count == l->room)
        return 1;
    snprintf(l->entry[l->count].name, sizeof l->entry[0].name, "%s", name);
    l->entry[l->count].ino = attr->ino;
    l->entry[l->count].mode = attr->mode;
    l->entry[l->count].nlink = attr->nlink;
    l->entry[l->count].next = next;
    l->count++;
    return 0;
}

/* Goes on for at most `most` entries. False at the end. */
static bool list_on(struct vol *v, uint64_t dir, struct list *l, size_t most, bool with_attr)
{
    uint64_t cookie = l->count ? l->entry[l->count - 1].next : 0;
    size_t before = l->count;
    l->room = before + most;
    assert_true(l->room <= ENTRIES_MAX);
    assert_ok(fs_readdir(v->fs, dir, cookie, with_attr, take, l));
    return l->count > before;
}

static void list_all(struct vol *v, uint64_t dir, struct list *l)
{
    l->count = 0;
    list_on(v, dir, l, ENTRIES_MAX, true);
}

/* How often the name is in the list. */
static int times_met(const struct list *l, const char *name)
{
    int met = 0;
    for (size_t i = 0; i < l->count; i++)
        met += strcmp(l->entry[i].name, name) == 0;
    return met;
}

static void assert_cookies(const struct list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        assert_true(l->entry[i].next > 0 && l->entry[i].next <= INT64_MAX);
        assert_true(i == 0 || l->entry[i].next > l->entry[i - 1].next);
    }
}

static void assert_same_list(const struct list *a, const struct list *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_string_equal(a->entry[i].name, b->entry[i].name);
        assert_true(a->entry[i].next == b->entry[i].next);
    }
}

static struct list *list_new(void)
{
    return calloc(1, sizeof(struct list));
}

/* ---- what is in a listing ---- */

static void test_few(void **state)
{
    (void)state;
    struct vol v;
    struct list *l = list_new();
    vol_make(&v, 0);
    list_all(&v, ROOT, l);
    assert_int_equal(l->count, 2); /* the control folder is not shown */
    assert_string_equal(l->entry[0].name, ".");
    assert_string_equal(l->entry[1].name, "..");
    assert_true(l->entry[0].ino == ROOT && l->entry[1].ino == ROOT);
    assert_true(l->entry[0].mode == (S_IFDIR | 0755) && l->entry[1].mode == (S_IFDIR | 0755));
    uint64_t a = vol_mkdir(&v, ROOT, "a"), b = vol_mkdir(&v, a, "b");
    uint64_t s = vol_symlink(&v, b, "s", "t");
    list_all(&v, b, l);
    assert_int_equal(l->count, 3);
    assert_true(l->entry[0].ino == b && l->entry[1].ino == a && l->entry[2].ino == s);
    assert_true(l->entry[2].mode == (S_IFLNK | 0777) && l->entry[2].nlink == 1);
    l->count = 0;
    list_on(&v, b, l, 10, false); /* without attributes: the type alone */
    assert_true(l->entry[0].mode == S_IFDIR && l->entry[1].mode == S_IFDIR);
    assert_true(l->entry[2].mode == S_IFLNK && l->entry[2].ino == s);
    free(l);
    vol_free(&v);
}

static void test_errors_and_odd_cookies(void **state)
{
    (void)state;
    struct vol v;
    struct list *l = list_new();
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    l->room = 10;
    assert_errno(fs_readdir(v.fs, f, 0, false, take, l), ENOTDIR);
    assert_errno(fs_readdir(v.fs, 999, 0, false, take, l), ENOENT);
    static const uint64_t behind[] = {SLOT_MAX, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(fs_readdir(v.fs, ROOT, behind[i], false, take, l));
        assert_errno(fs_readdir(v.fs, f, behind[i], false, take, l), ENOTDIR);
    }
    assert_int_equal(l->count, 0);
    static const uint64_t before[] = {2, 3, 17, 4095};
    for (size_t i = 0; i < 4; i++) {
        l->count = 0;
        assert_ok(fs_readdir(v.fs, ROOT, before[i], false, take, l));
        assert_int_equal(l->count, 1);
    }
    free(l);
    vol_free(&v);
}

/* What the callback refuses is met first the next time. */
static void test_refused_entries_come_again(void **state)
{
    (void)state;
    struct vol v;
    struct list *all = list_new(), *l = list_new();
    vol_make(&v, 0);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        vol_file(&v, ROOT, name);
    list_all(&v, ROOT, all);
    assert_int_equal(all->count, 10);
    for (size_t i = 0; i < all->count; i++) {
        uint64_t cookie = i ? all->entry[i - 1].next : 0;
        l->count = l->room = 0;
        assert_ok(fs_readdir(v.fs, ROOT, cookie, true, take, l)); /* refuses all */
        l->room = 1;
        assert_ok(fs_readdir(v.fs, ROOT, cookie, true, take, l));
        assert_string_equal(l->entry[0].name, all->entry[i].name);
    }
    free(all);
    free(l);
    vol_free(&v);
}

/* ---- a large folder ---- */

static void make_large(struct vol *v, uint64_t *dir, int count)
{
    vol_make(v, 0);
    vol_close(v);
    v->options.store = NULL; /* the usual settings */
    vol_open(v);
    *dir = vol_mkdir(v, ROOT, "large");
    for (int i = 0; i < count; i++) {
        char name[24];
        snprintf(name, sizeof name, "%d", i);
        vol_file(v, *dir, name);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void assert_all_once(const struct list *l, int count)
{
    const char **names = malloc(l->count * sizeof *names);
    assert_int_equal(l->count, count + 2);
    for (size_t i = 0; i < l->count; i++)
        names[i] = l->entry[i].name;
    qsort(names, l->count, sizeof *names, by_name);
    for (size_t i = 1; i < l->count; i++)
        assert_true(strcmp(names[i - 1], names[i]) != 0);
    free(names);
}

static void test_any_division(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    static const size_t pieces[] = {1, 2, 3, 7, 100, 4999};
    struct simrng r = {unit_seed()};
    struct vol v;
    uint64_t dir;
    struct list *whole = list_new(), *l = list_new();
    make_large(&v, &dir, COUNT);
    list_all(&v, dir, whole);
    assert_all_once(whole, COUNT);
    assert_cookies(whole);
    vol_reopen(&v);
    for (size_t i = 0; i <= sizeof pieces / sizeof *pieces; i++) {
        bool random = i == sizeof pieces / sizeof *pieces;
        l->count = 0;
        for (;;) {
            size_t most = random ? 1 + simrng_below(&r, 300) : pieces[i];
            if (most > ENTRIES_MAX - l->count)
                most = ENTRIES_MAX - l->count;
            if (!list_on(&v, dir, l, most, i % 2))
                break;
        }
        assert_same_list(whole, l);
    }
    free(whole);
    free(l);
    vol_free(&v);
}

/* ---- changes meanwhile ---- */

/* Files 0 to STAY - 1 stay; others come, go and change their names. */
enum { STAY = 300, GUESTS = 60 };

static void change_something(struct vol *v, uint64_t dir, uint64_t other, struct simrng *r)
{
    char name[24], new_name[24];
    struct fs_attr a;
    snprintf(name, sizeof name, "guest %d", (int)simrng_below(r, GUESTS));
    snprintf(new_name, sizeof new_name, "guest %d", (int)simrng_below(r, GUESTS));
    switch (simrng_below(r, 5)) {
    case 0:
        fs_mknod(v->fs, dir, name, S_IFREG, 0, &vol_cred, &a);
        break;
    case 1:
        fs_unlink(v->fs, dir, name);
        break;
    case 2:
        fs_rename(v->fs, dir, name, dir, new_name, 0);
        break;
    case 3:
        fs_rename(v->fs, dir, name, other, new_name, 0);
        break;
    default: /* those that stay may become other files */
        snprintf(new_name, sizeof new_name, "%d", (int)simrng_below(r, STAY));
        fs_rename(v->fs, dir, name, dir, new_name, simrng_coin(r) ? FS_RENAME_EXCHANGE : 0);
    }
}

static void test_changes_meanwhile(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    struct vol v;
    struct list *l = list_new();
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir"), other = vol_mkdir(&v, ROOT, "other");
    char name[24];
    for (int i = 0; i < STAY; i++) {
        snprintf(name, sizeof name, "%d", i);
        vol_file(&v, dir, name);
    }
    for (int round = 0; round < 15; round++) {
        l->count = 0;
        while (list_on(&v, dir, l, 1 + simrng_below(&r, 20), simrng_coin(&r))) {
            for (uint64_t n = simrng_below(&r, 12); n > 0; n--)
                change_something(&v, dir, other, &r);
            if (simrng_below(&r, 40) == 0)
                vol_crash(&v, SIM_KEEP_ALL);
            if (simrng_below(&r, 10) == 0)
                assert_true(fs_work(v.fs) >= 0);
        }
        assert_cookies(l);
        for (int i = 0; i < STAY; i++) {
            snprintf(name, sizeof name, "%d", i);
            assert_int_equal(times_met(l, name), 1);
        }
        for (int i = 0; i < GUESTS; i++) {
            snprintf(name, sizeof name, "guest %d", i);
            assert_in_range(times_met(l, name), 0, 1);
        }
    }
    free(l);
    vol_free(&v);
}

/* ---- cookies elsewhere ---- */

static void test_cookies_in_snapshots(void **state)
{
    (void)state;
    struct vol v;
    struct list *whole = list_new(), *l = list_new(), *old = list_new();
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir"), there = UINT64_C(1) << FS_INO_BITS | dir;
    char name[24];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "%d", i);
        vol_file(&v, dir, name);
    }
    list_all(&v, dir, whole);
    assert_ok(fs_snapshot_create(v.fs, "s"));
    for (int i = 0; i < 100; i += 2) {
        snprintf(name, sizeof name, "%d", i);
        assert_ok(fs_unlink(v.fs, dir, name));
    }
    list_all(&v, there, old);
    assert_same_list(whole, old);
    for (size_t i = 0; i < old->count; i++)
        assert_true(old->entry[i].ino >> FS_INO_BITS == 1);
    list_on(&v, dir, l, 20, true); /* begun in the present, ended in the snapshot */
    while (list_on(&v, there, l, 7, true))
        ;
    assert_true(l->count > 70 && l->count < whole->count);
    assert_cookies(l);
    assert_ok(fs_snapshot_delete(v.fs, "s"));
    free(whole);
    free(l);
    free(old);
    vol_free(&v);
}

static void test_control_folder(void **state)
{
    (void)state;
    struct vol v;
    struct list *l = list_new();
    vol_make(&v, 0);
    list_all(&v, FS_INO_CONTROL, l);
    assert_int_equal(l->count, 3);
    assert_true(l->entry[0].ino == FS_INO_CONTROL && l->entry[1].ino == ROOT);
    assert_true(l->entry[1].nlink == 2 && l->entry[1].mode == (S_IFDIR | 0755));
    assert_string_equal(l->entry[2].name, FS_SNAPSHOTS_NAME);
    assert_true(l->entry[2].ino == FS_INO_SNAPSHOTS);
    assert_cookies(l);
    char name[24];
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_ok(fs_snapshot_create(v.fs, name));
    }
    list_all(&v, FS_INO_SNAPSHOTS, l);
    assert_int_equal(l->count, 52);
    assert_true(l->entry[0].ino == FS_INO_SNAPSHOTS && l->entry[1].ino == FS_INO_CONTROL);
    assert_cookies(l);
    for (size_t piece = 1; piece < 60; piece += 3) {
        struct list *in_pieces = list_new();
        while (list_on(&v, FS_INO_SNAPSHOTS, in_pieces, piece, true))
            ;
        assert_same_list(l, in_pieces);
        free(in_pieces);
    }
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(times_met(l, name), 1);
        assert_ok(fs_snapshot_delete(v.fs, name));
    }
    free(l);
    vol_free(&v);
}

/* ---- damage ---- */

/* An entry whose inode is gone is shown all the same, and so are those behind it. */
static void test_damaged_inode(void **state)
{
    (void)state;
    struct vol v;
    struct raw r;
    struct list *l = list_new();
    struct fs_attr a;
    struct buf saved = {0};
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    vol_file(&v, ROOT, "g");
    vol_file(&v, ROOT, "h");
    raw_begin(&r, &v);
    raw_get(&r, key_attr(f), &saved);
    raw_delete(&r, key_attr(f));
    raw_end(&r);
    vol_open(&v);
    list_all(&v, ROOT, l);
    assert_int_equal(l->count, 5);
    for (size_t i = 2; i < 5; i++) {
        bool damaged = l->entry[i].ino == f;
        assert_int_equal(l->entry[i].nlink, damaged ? 0 : 1);
        assert_int_equal(l->entry[i].mode, damaged ? S_IFREG : S_IFREG | 0644);
    }
    assert_errno(fs_lookup(v.fs, ROOT, "f", &a), EIO); /* and not ENOENT */
    assert_errno(fs_unlink(v.fs, ROOT, "f"), EIO);
    assert_errno(fs_rename(v.fs, ROOT, "f", ROOT, "x", 0), EIO);
    assert_errno(fs_rename(v.fs, ROOT, "g", ROOT, "f", 0), EIO);
    raw_begin(&r, &v);
    raw_put(&r, key_attr(f), buf_slice(&saved));
    raw_end(&r);
    buf_release(&saved);
    free(l);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_errors_and_odd_cookies),
        cmocka_unit_test(test_refused_entries_come_again),
        cmocka_unit_test(test_any_division),
        cmocka_unit_test(test_changes_meanwhile),
        cmocka_unit_test(test_cookies_in_snapshots),
        cmocka_unit_test(test_control_folder),
        cmocka_unit_test(test_damaged_inode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
