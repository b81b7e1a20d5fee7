/* How two states differ: by example, and, after random operations, against a comparison of the two
 * trees that walks both. */
#include "tests/unit/vol.h"

#include "tests/sim/fsmodel.h"

#define ROOT FS_INO_ROOT

/* ---- by example ---- */

struct told {
    char text[4096]; /* a line for each, in any order */
    int count;
};

static int on_difference(void *ctx, const struct fs_difference *d)
{
    struct told *t = ctx;
    size_t used = strlen(t->text);
    snprintf(t->text + used, sizeof t->text - used, "%c%s%s%s\n", "+MR-"[d->kind],
             d -> from ? d -> from : "", d->from ? ">" : "", d->path);
    t->count++;
    return 0;
}

/* The lines of `expected` are told, and no others. */
static void assert_told(struct vol *v, const char *from, const char *to, const char *expected)
{
    struct told t = {0};
    char line[300];
    int lines = 0;
    assert_ok(fs_diff(v->fs, from, to, on_difference, &t));
    for (const char *at = expected; *at; at = strchr(at, '\n') + 1, lines++) {
        snprintf(line, sizeof line, "%.*s\n", (int)strcspn(at, "\n"), at);
        if (!strstr(t.text, line))
            fail_msg("not told: %s told was:\n%s", line, t.text);
    }
    if (t.count != lines)
        fail_msg("%d are told, not %d:\n%s", t.count, lines, t.text);
}

static void test_by_example(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a, want = {.mode = 0700};
    vol_make(&v, 0);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), e = vol_mkdir(&v, d, "e");
    uint64_t f = vol_text(&v, e, "f", "one"), g = vol_text(&v, d, "g", "two");
    vol_text(&v, d, "gone", "x");
    vol_symlink(&v, d, "soft", "target");
    assert_ok(fs_snapshot_create(v.fs, "a"));
    assert_told(&v, "a", NULL, "");
    assert_ok(fs_rename(v.fs, d, "e", ROOT, "moved", 0)); /* what is in it has not changed */
    assert_told(&v, "a", NULL, "R/d/e>/moved\n");
    assert_ok(fs_write(v.fs, f, 1, "NE", 2));
    assert_ok(fs_link(v.fs, g, ROOT, "second", &a));
    assert_ok(fs_unlink(v.fs, d, "gone"));
    vol_text(&v, d, "new", "y");
    assert_ok(fs_setattr(v.fs, d, FS_SET_MODE, &want, &a));
    assert_ok(fs_setxattr(v.fs, g, "user.x", "v", 1, 0));
    vol_text(&v, ROOT, "short", "lived");
    assert_ok(fs_unlink(v.fs, ROOT, "short"));
    assert_ok(fs_snapshot_create(v.fs, "b"));
    static const char forth[] =
        "R/d/e>/moved\nM/moved/f\n+/second\nM/second\n-/d/gone\n+/d/new\nM/d\n";
    assert_told(&v, "a", "b", forth);
    assert_told(&v, "a", NULL, forth);
    assert_told(&v, "b", "a", "R/moved>/d/e\nM/d/e/f\n-/second\nM/d/g\n+/d/gone\n-/d/new\nM/d\n");
    assert_told(&v, "b", "b", "");
    /* What is written again as it was has not changed. */
    struct fs_rollback done;
    assert_ok(fs_rollback(v.fs, "a", NULL, NULL, NULL, &done));
    assert_told(&v, "a", NULL, "");
    assert_told(&v, "b", NULL, "R/moved>/d/e\nM/d/e/f\n-/second\nM/d/g\n+/d/gone\n-/d/new\nM/d\n");
    struct told t = {0};
    assert_errno(fs_diff(v.fs, "none", NULL, on_difference, &t), ENOENT);
    assert_errno(fs_diff(v.fs, "a", "none", on_difference, &t), ENOENT);
    vol_free(&v);
}

/* A file that has lost the name that its record knows is found all the same. */
static void test_lost_names(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t d = vol_mkdir(&v, ROOT, "d"), far = vol_mkdir(&v, ROOT, "far");
    uint64_t f = vol_text(&v, d, "one", "text"), other = vol_text(&v, d, "x", "other");
    assert_ok(fs_link(v.fs, f, far, "two", &a));
    assert_ok(fs_link(v.fs, f, d, "three", &a)); /* what its record knows */
    assert_ok(fs_unlink(v.fs, d, "three"));
    assert_ok(fs_unlink(v.fs, d, "one"));
    assert_ok(fs_snapshot_create(v.fs, "a"));
    assert_ok(fs_write(v.fs, f, 0, "TEXT", 4));
    assert_ok(fs_write(v.fs, other, 0, "O", 1));
    assert_told(&v, "a", NULL, "M/far/two\nM/d/x\n");
    vol_free(&v);
}

static int stop(void *ctx, const struct fs_difference *d)
{
    (void)ctx;
    (void)d;
    return 42;
}

static void test_can_be_stopped(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    assert_ok(fs_snapshot_create(v.fs, "a"));
    vol_file(&v, ROOT, "f");
    assert_int_equal(fs_diff(v.fs, "a", NULL, stop, NULL), 42);
    vol_free(&v);
}

/* ---- at random ---- */

enum { LINKS_MAX = 2000, OPS = 200 };

struct link {
    uint64_t dir, ino;
    char name[300];
};
struct tree {
    struct fs *fs;
    uint64_t snapshot;
    struct link links[LINKS_MAX];
    size_t count;
};

static struct tree *tree_of(struct fs *fs, const char *snapshot);

struct listing {
    struct tree *t;
    uint64_t dir;
};

static int on_entry(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    struct listing *l = ctx;
    (void)next;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    assert_true(l->t->count < LINKS_MAX);
    struct link *k = &l->t->links[l->t->count++];
    k->dir = l->dir;
    k->ino = attr->ino & ((UINT64_C(1) << FS_INO_BITS) - 1);
    snprintf(k->name, sizeof k->name, "%s", name);
    return 0;
}

static uint64_t in(const struct tree *t, uint64_t ino)
{
    return t->snapshot << FS_INO_BITS | ino;
}

static struct tree *tree_of(struct fs *fs, const char *snapshot)
{
    struct tree *t = calloc(1, sizeof *t);
    struct fs_attr a = {0};
    t->fs = fs;
    if (snapshot)
        assert_ok(fs_lookup(fs, FS_INO_SNAPSHOTS, snapshot, &a));
    t->snapshot = a.ino >> FS_INO_BITS;
    struct listing l = {t, ROOT};
    assert_ok(fs_readdir(fs, in(t, ROOT), 0, true, on_entry, &l));
    for (size_t i = 0; i < t->count; i++) {
        assert_ok(fs_getattr(fs, in(t, t->links[i].ino), &a));
        l.dir = t->links[i].ino;
        if (S_ISDIR(a.mode))
            assert_ok(fs_readdir(fs, in(t, l.dir), 0, true, on_entry, &l));
    }
    return t;
}

static bool has_link(const struct tree *t, const struct link *k)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->links[i].dir == k->dir && t->links[i].ino == k->ino &&
            strcmp(t->links[i].name, k->name) == 0)
            return true;
    return false;
}

static bool has_inode(const struct tree *t, uint64_t ino)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->links[i].ino == ino)
            return true;
    return ino == ROOT;
}

static bool entries_differ(const struct tree *a, const struct tree *b, uint64_t dir)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->links[i].dir == dir && !has_link(b, &a->links[i]))
            return true;
    for (size_t i = 0; i < b->count; i++)
        if (b->links[i].dir == dir && !has_link(a, &b->links[i]))
            return true;
    return false;
}

static bool xattr_differs(const struct tree *a, const struct tree *b, uint64_t ino,
                          const char *name)
{
    char va[4096], vb[4096];
    size_t la = 0, lb = 0;
    int ea = fs_getxattr(a->fs, in(a, ino), name, va, sizeof va, &la);
    int eb = fs_getxattr(b->fs, in(b, ino), name, vb, sizeof vb, &lb);
    return ea != eb || la != lb || memcmp(va, vb, la) != 0;
}

static bool xattrs_differ(const struct tree *a, const struct tree *b, uint64_t ino)
{
    for (int x = 0; x < FSMODEL_XATTRS; x++)
        if (xattr_differs(a, b, ino, fsmodel_xattr(x)))
            return true;
    return xattr_differs(a, b, ino, fsacl_name(0)) || xattr_differs(a, b, ino, fsacl_name(1));
}

static bool data_differs(const struct tree *a, const struct tree *b, uint64_t ino)
{
    static uint8_t da[FSMODEL_SIZE_MAX + 10], db[FSMODEL_SIZE_MAX + 10];
    size_t la, lb;
    assert_ok(fs_read(a->fs, in(a, ino), 0, da, sizeof da, &la));
    assert_ok(fs_read(b->fs, in(b, ino), 0, db, sizeof db, &lb));
    return la != lb || memcmp(da, db, la) != 0;
}

/* Must it be told as changed? May it? */
static void changed(const struct tree *a, const struct tree *b, uint64_t ino, bool *must, bool *may)
{
    struct fs_attr x, y;
    assert_ok(fs_getattr(a->fs, in(a, ino), &x));
    assert_ok(fs_getattr(b->fs, in(b, ino), &y));
    *must = x.mode != y.mode || x.uid != y.uid || x.gid != y.gid || x.flags != y.flags ||
            xattrs_differ(a, b, ino);
    if (S_ISREG(x.mode))
        *must = *must || data_differs(a, b, ino);
    bool times = !vol_same_time(x.mtime, y.mtime);
    *may = *must || (times && !(S_ISDIR(x.mode) && entries_differ(a, b, ino)));
    if (times && S_ISREG(x.mode))
        *must = true;
}

struct checking {
    const struct tree *a, *b;
    size_t came, went, changed;
};

/* The link that a path of a tree is. */
static struct link link_of(const struct tree *t, const char *path)
{
    struct link k = {.ino = ROOT};
    struct fs_attr a;
    assert_int_equal(path[0], '/');
    while (*path == '/' && path[1]) {
        size_t len = strcspn(path + 1, "/");
        k.dir = k.ino;
        snprintf(k.name, sizeof k.name, "%.*s", (int)len, path + 1);
        assert_ok(fs_lookup(t->fs, in(t, k.dir), k.name, &a));
        k.ino = a.ino & ((UINT64_C(1) << FS_INO_BITS) - 1);
        path += 1 + len;
    }
    return k;
}

static int check_one(void *ctx, const struct fs_difference *d)
{
    struct checking *c = ctx;
    struct link k = link_of(d->kind == FS_DELETED ? c->a : c->b, d->path);
    bool must, may;
    assert_int_equal(k.ino, d->ino);
    if (d->kind == FS_RENAMED) {
        struct link from = link_of(c->a, d->from);
        assert_true(from.ino == d->ino && !has_link(c->b, &from));
        c->went++;
    }
    if (d->kind == FS_CREATED || d->kind == FS_RENAMED) {
        assert_false(has_link(c->a, &k));
        c->came++;
    } else if (d->kind == FS_DELETED) {
        assert_false(has_link(c->b, &k));
        c->went++;
    } else {
        assert_true(has_inode(c->a, k.ino) && has_inode(c->b, k.ino));
        changed(c->a, c->b, k.ino, &must, &may);
        if (!may)
            fail_msg("%s has not changed", d->path);
        c->changed += must;
    }
    return 0;
}

static void check(struct fs *fs, const char *from, const char *to)
{
    struct tree *a = tree_of(fs, from), *b = tree_of(fs, to);
    struct checking c = {.a = a, .b = b};
    size_t came = 0, went = 0, changes = 0;
    bool must, may;
    int err = fs_diff(fs, from, to, check_one, &c);
    assert_ok(err);
    for (size_t i = 0; i < a->count; i++)
        went += !has_link(b, &a->links[i]);
    for (size_t i = 0; i < b->count; i++) {
        bool first = true;
        came += !has_link(a, &b->links[i]);
        for (size_t k = 0; k < i; k++)
            first = first && b->links[k].ino != b->links[i].ino;
        if (first && has_inode(a, b->links[i].ino)) {
            changed(a, b, b->links[i].ino, &must, &may);
            changes += must;
        }
    }
    changed(a, b, ROOT, &must, &may);
    assert_int_equal(c.came, came);
    assert_int_equal(c.went, went);
    assert_int_equal(c.changed, changes + must);
    free(a);
    free(b);
}

static void test_random(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    for (uint64_t round = 0; round < 15; round++) {
        struct simrng r = {seed + round};
        struct fsmodel m;
        struct vol v;
        uint64_t inos[4 * OPS + 1] = {ROOT};
        size_t ino_count = 1;
        vol_make(&v, FSMODEL_CHUNK);
        fsmodel_init(&m);
        static const char *const names[] = {"s0", "s1", "s2"};
        for (int part = 0; part < 4; part++) {
            for (int i = 0; i < OPS; i++) {
                struct fsop op;
                fsmodel_random(&m, &r, false, &op);
                if (op.kind < FSOP_SYNC)
                    assert_int_equal(fsop_play(v.fs, &op, inos, &ino_count),
                                     fsmodel_apply(&m, &op));
            }
            if (part < 3)
                assert_ok(fs_snapshot_create(v.fs, names[part]));
            if (round % 3 == 1)
                vol_settle(&v);
            if (round % 3 == 2)
                assert_ok(fs_compact(v.fs));
        }
        check(v.fs, "s0", "s1");
        check(v.fs, "s1", "s2");
        check(v.fs, "s2", "s0");
        check(v.fs, "s0", NULL);
        check(v.fs, "s2", NULL);
        fsmodel_release(&m);
        vol_free(&v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_example),
        cmocka_unit_test(test_lost_names),
        cmocka_unit_test(test_can_be_stopped),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
