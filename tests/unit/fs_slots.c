/* Entries that do not stand at their own slot. Names that share one cannot be found, so others are
 * planted in the way of a name, behind the file system's back. */
#include "tests/unit/vol_raw.h"

#define ROOT FS_INO_ROOT

/* A volume with folder "dir" in which the slots of "wanted" are taken by `count` others, all of
 * them names of file "blocker". */
struct crowd {
    struct vol v;
    uint64_t dir, blocker, home;
    int count;
};

static void put_blockers(struct crowd *c, bool there)
{
    struct raw r;
    raw_begin(&r, &c->v);
    struct inode dir = raw_inode(&r, c->dir), file = raw_inode(&r, c->blocker);
    c->home = raw_slot(&r, "wanted");
    for (int i = 0; i < c->count; i++) {
        char name[32];
        snprintf(name, sizeof name, "blocker %d", i);
        if (there)
            raw_put_dirent(&r, c->dir, c->home + (uint64_t)i, name, c->blocker, S_IFREG);
        else
            raw_delete(&r, key_dirent(c->dir, c->home + (uint64_t)i));
        file.nlink += there ? 1 : -1u;
        dir.size += there ? 1 : -UINT64_C(1);
    }
    raw_put_inode(&r, &dir);
    raw_put_inode(&r, &file);
    raw_end(&r);
    vol_open(&c->v);
}

static void crowd_begin(struct crowd *c, int count)
{
    *c = (struct crowd){.count = count};
    vol_make(&c->v, 0);
    c->dir = vol_mkdir(&c->v, ROOT, "dir");
    c->blocker = vol_file(&c->v, ROOT, "blocker");
    put_blockers(c, true);
}

/* Without the blockers, which are no proper entries, the volume has to be sound. */
static void crowd_end(struct crowd *c)
{
    put_blockers(c, false);
    vol_free(&c->v);
}

/* ---- where names stand ---- */

struct place {
    const char *name;
    uint64_t slot, ino;
};

static int see_place(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    struct place *p = ctx;
    if (strcmp(name, p->name) == 0) {
        assert_int_equal(p->slot, 0); /* once */
        p->slot = next;
        p->ino = attr->ino;
    }
    return 0;
}

static uint64_t slot_of(struct crowd *c, const char *name, uint64_t ino)
{
    struct place p = {.name = name};
    assert_ok(fs_readdir(c->v.fs, c->dir, 0, true, see_place, &p));
    assert_true(p.ino == ino);
    return p.slot;
}

static void test_the_next_free_slot(void **state)
{
    (void)state;
    for (int count = 0; count <= SLOT_PROBES; count++) {
        struct crowd c;
        crowd_begin(&c, count);
        assert_true(vol_find(&c.v, c.dir, "wanted") == 0);
        uint64_t f = vol_text(&c.v, c.dir, "wanted", "text");
        assert_true(vol_find(&c.v, c.dir, "wanted") == f);
        assert_true(slot_of(&c, "wanted", f) == c.home + (uint64_t)count);
        assert_int_equal(vol_attr(&c.v, c.dir).size, count + 1);
        assert_true(vol_find(&c.v, c.dir, "blocker 0") == 0); /* at no slot of its own */
        vol_reopen(&c.v);
        assert_true(vol_find(&c.v, c.dir, "wanted") == f);
        crowd_end(&c);
    }
}

/* Once displaced, an entry is found when those in its way are gone, and does not move. */
static void test_stays_where_it_is(void **state)
{
    (void)state;
    struct crowd c;
    struct fs_attr a;
    crowd_begin(&c, 3);
    uint64_t f = vol_file(&c.v, c.dir, "wanted");
    put_blockers(&c, false);
    assert_true(vol_find(&c.v, c.dir, "wanted") == f);
    assert_true(slot_of(&c, "wanted", f) == c.home + 3);
    assert_errno(fs_mknod(c.v.fs, c.dir, "wanted", S_IFREG, 0, &vol_cred, &a), EEXIST);
    assert_errno(fs_link(c.v.fs, f, c.dir, "wanted", &a), EEXIST);
    vol_assert_sound(&c.v);
    assert_ok(fs_unlink(c.v.fs, c.dir, "wanted"));
    assert_true(vol_find(&c.v, c.dir, "wanted") == 0);
    f = vol_file(&c.v, c.dir, "wanted"); /* its own slot is free by now */
    assert_true(slot_of(&c, "wanted", f) == c.home);
    vol_free(&c.v);
}

static void test_no_slot_is_free(void **state)
{
    (void)state;
    struct crowd c;
    struct fs_attr a;
    crowd_begin(&c, SLOT_PROBES + 1);
    vol_file(&c.v, ROOT, "file");
    uint64_t other = vol_mkdir(&c.v, ROOT, "other");
    struct fs_attr before = vol_attr(&c.v, c.dir);
    struct vol *v = &c.v;
    assert_errno(fs_mknod(v->fs, c.dir, "wanted", S_IFREG, 0, &vol_cred, &a), ENOSPC);
    assert_errno(fs_mkdir(v->fs, c.dir, "wanted", 0755, &vol_cred, &a), ENOSPC);
    assert_errno(fs_symlink(v->fs, c.dir, "wanted", "t", &vol_cred, &a), ENOSPC);
    assert_errno(fs_link(v->fs, c.blocker, c.dir, "wanted", &a), ENOSPC);
    assert_errno(fs_rename(v->fs, ROOT, "file", c.dir, "wanted", 0), ENOSPC);
    assert_errno(fs_rename(v->fs, ROOT, "other", c.dir, "wanted", 0), ENOSPC);
    a = vol_attr(v, c.dir);
    assert_true(vol_same_attr(&a, &before)); /* nothing of it has happened */
    vol_file(v, other, "wanted");            /* it is a matter of that folder */
    vol_file(v, c.dir, "any other name");
    crowd_end(&c);
}

static void test_renames(void **state)
{
    (void)state;
    struct crowd c;
    crowd_begin(&c, 2);
    struct vol *v = &c.v;
    uint64_t f = vol_file(v, c.dir, "first"), g = vol_file(v, ROOT, "second");
    assert_ok(fs_rename(v->fs, c.dir, "first", c.dir, "wanted", 0));
    assert_true(slot_of(&c, "wanted", f) == c.home + 2);
    assert_ok(fs_rename(v->fs, ROOT, "second", c.dir, "wanted", FS_RENAME_EXCHANGE));
    assert_true(slot_of(&c, "wanted", g) == c.home + 2 && vol_find(v, ROOT, "second") == f);
    assert_ok(fs_rename(v->fs, ROOT, "second", c.dir, "wanted", 0)); /* replaces */
    assert_true(slot_of(&c, "wanted", f) == c.home + 2);
    assert_int_equal(vol_attr(v, c.dir).size, 3);
    assert_ok(fs_rename(v->fs, c.dir, "wanted", ROOT, "back", 0));
    assert_true(vol_find(v, c.dir, "wanted") == 0 && vol_find(v, ROOT, "back") == f);
    crowd_end(&c);
}

/* A snapshot keeps its own idea of which folders have displaced entries. */
static void test_in_snapshots(void **state)
{
    (void)state;
    struct crowd c;
    crowd_begin(&c, 1);
    uint64_t f = vol_file(&c.v, c.dir, "wanted");
    assert_ok(fs_snapshot_create(c.v.fs, "s"));
    assert_ok(fs_unlink(c.v.fs, c.dir, "wanted"));
    uint64_t there = UINT64_C(1) << FS_INO_BITS;
    assert_true(vol_find(&c.v, there | c.dir, "wanted") == (there | f));
    assert_ok(fs_snapshot_delete(c.v.fs, "s"));
    crowd_end(&c);
}

/* ---- damage ---- */

/* An entry that does not decode may be the wanted one: nobody is told that the name is free. */
static void test_damaged_entry(void **state)
{
    (void)state;
    struct vol v;
    struct raw r;
    struct fs_attr a;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir");
    raw_begin(&r, &v);
    struct key k = key_dirent(dir, raw_slot(&r, "wanted"));
    raw_put(&r, k, slice_str("short"));
    raw_end(&r);
    vol_open(&v);
    assert_errno(fs_lookup(v.fs, dir, "wanted", &a), EIO);
    assert_errno(fs_mknod(v.fs, dir, "wanted", S_IFREG, 0, &vol_cred, &a), EIO);
    assert_errno(fs_unlink(v.fs, dir, "wanted"), EIO);
    assert_errno(fs_rename(v.fs, ROOT, "dir", dir, "wanted", 0), EIO);
    raw_begin(&r, &v);
    raw_delete(&r, k);
    raw_end(&r);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_next_free_slot), cmocka_unit_test(test_stays_where_it_is),
        cmocka_unit_test(test_no_slot_is_free),    cmocka_unit_test(test_renames),
        cmocka_unit_test(test_in_snapshots),       cmocka_unit_test(test_damaged_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
