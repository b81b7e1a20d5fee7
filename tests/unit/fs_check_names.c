/* The verifier against planted faults: folders, names and what inodes hold. */
#include "tests/unit/vol_site.h"

/* ---- 207 to 209: folders ---- */

static void bad_entry(struct raw *r, const struct site *s)
{
    raw_put(r, key_dirent(s->dir, raw_slot(r, "nobody")), slice_str("short"));
}
static void entry_without_slot(struct raw *r, const struct site *s)
{
    struct key k = key_kind(s->dir, KIND_DIRENT);
    raw_put(r, k, slice_str("x"));
}
static void moved_entry(struct raw *r, const struct site *s)
{
    remove_name(r, s->dir, "file");
    raw_put_dirent(r, s->dir, raw_slot(r, "file") + 1, "file", s->file, S_IFREG);
    CHANGE_INODE(r, s->dir, n.size++);
}
/* Near enough, and the folder says that it has such entries: nothing is wrong. */
static void displaced_entry(struct raw *r, const struct site *s)
{
    moved_entry(r, s);
    CHANGE_INODE(r, s->dir, n.flags |= INODE_DISPLACED);
}
static void too_far_entry(struct raw *r, const struct site *s)
{
    remove_name(r, s->dir, "file");
    raw_put_dirent(r, s->dir, raw_slot(r, "file") + SLOT_PROBES + 1, "file", s->file, S_IFREG);
    CHANGE_INODE(r, s->dir, n.size++; n.flags |= INODE_DISPLACED);
}
static void twice_the_same_name(struct raw *r, const struct site *s)
{
    raw_put_dirent(r, s->dir, raw_slot(r, "file") + 1, "file", s->file, S_IFREG);
    CHANGE_INODE(r, s->dir, n.size++; n.flags |= INODE_DISPLACED);
    CHANGE_INODE(r, s->file, n.nlink++);
}
static void entries_off(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->sub, n.size = 0);
}

static void test_folders(void **state)
{
    (void)state;
    assert_finds(bad_entry, FINDING_DIRENT, "/dir");
    assert_finds(entry_without_slot, FINDING_DIRENT, "/dir");
    assert_finds(moved_entry, FINDING_SLOT, "/dir");
    assert_finds_all(displaced_entry, NULL, 0);
    assert_finds(too_far_entry, FINDING_SLOT, "/dir");
    assert_finds(twice_the_same_name, FINDING_SLOT, "/dir");
    assert_finds(entries_off, FINDING_DIR_COUNT, "/dir/sub");
}

/* ---- 210 to 217: names and inodes ---- */

static void dangling(struct raw *r, const struct site *s)
{
    put_name(r, s->dir, "nobody", UNUSED_INO, S_IFREG);
}
static void wrong_type(struct raw *r, const struct site *s)
{
    raw_put_dirent(r, s->dir, raw_slot(r, "file"), "file", s->file, S_IFLNK);
}
static void links_off(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->file, n.nlink = 2);
}
static void no_links(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->plain, n.nlink = 0);
}
static void folder_links_off(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->sub, n.nlink = 3);
}
static void folder_without_links(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->sub, n.nlink = 0);
}
static void root_links_off(struct raw *r, const struct site *s)
{
    (void)s;
    CHANGE_INODE(r, ROOT, n.nlink = 2);
}
static void folder_twice(struct raw *r, const struct site *s)
{
    put_name(r, ROOT, "again", s->sub, S_IFDIR);
    CHANGE_INODE(r, ROOT, n.nlink++);
}
static void root_in_a_folder(struct raw *r, const struct site *s)
{
    put_name(r, s->dir, "up", ROOT, S_IFDIR);
    CHANGE_INODE(r, s->dir, n.nlink++);
}
static void wrong_parent(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->sub, n.parent = ROOT);
}
static void missing_parent(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->sub, n.parent = UNUSED_INO);
}
static void root_with_parent(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, ROOT, n.parent = s->dir);
}
static void lost_file(struct raw *r, const struct site *s)
{
    remove_name(r, s->dir, "file");
}
static void lost_folder(struct raw *r, const struct site *s)
{
    remove_name(r, s->dir, "sub");
    CHANGE_INODE(r, s->dir, n.nlink--);
}
static void unlisted_orphan(struct raw *r, const struct site *s)
{
    put_inode(r, UNUSED_INO, S_IFREG | 0644, 0, s->dir);
}
static void circle(struct raw *r, const struct site *s)
{
    put_inode(r, UNUSED_INO, S_IFDIR | 0755, 3, UNUSED_INO - 1);
    put_inode(r, UNUSED_INO - 1, S_IFDIR | 0755, 3, UNUSED_INO);
    put_name(r, UNUSED_INO, "b", UNUSED_INO - 1, S_IFDIR);
    put_name(r, UNUSED_INO - 1, "a", UNUSED_INO, S_IFDIR);
    (void)s;
}
static void orphan_of_nothing(struct raw *r, const struct site *s)
{
    (void)s;
    raw_put(r, key_orphan(UNUSED_INO), (struct slice){0});
}
static void orphan_with_links(struct raw *r, const struct site *s)
{
    raw_put(r, key_orphan(s->file), (struct slice){0});
}
static void orphan_with_links_without_name(struct raw *r, const struct site *s)
{
    remove_name(r, s->dir, "file");
    raw_put(r, key_orphan(s->file), (struct slice){0});
}

static void test_names(void **state)
{
    (void)state;
    assert_finds(dangling, FINDING_DANGLING, "/dir");
    assert_finds(wrong_type, FINDING_DIRENT_TYPE, "/dir/file");
    assert_finds(links_off, FINDING_LINKS, "/dir/file");
    assert_finds(no_links, FINDING_LINKS, "/second");
    assert_finds(folder_links_off, FINDING_LINKS, "/dir/sub");
    assert_finds(folder_without_links, FINDING_LINKS, "/dir/sub");
    assert_finds(root_links_off, FINDING_LINKS, "/");
    assert_finds(folder_twice, FINDING_DIR_TWICE, "/dir/sub");
    assert_finds(root_in_a_folder, FINDING_DIR_TWICE, "/");
    assert_finds(wrong_parent, FINDING_PARENT, "/dir/sub");
    assert_finds(missing_parent, FINDING_PARENT, "/dir/sub");
    assert_finds(root_with_parent, FINDING_PARENT, "/");
    assert_finds(lost_file, FINDING_LOST, "/?");
    assert_finds(lost_folder, FINDING_LOST, "/?");
    assert_finds(unlisted_orphan, FINDING_LOST, "/?");
    assert_finds(orphan_of_nothing, FINDING_ORPHAN, "");
    assert_finds(orphan_with_links, FINDING_ORPHAN, "/dir/file");
    assert_finds(orphan_with_links_without_name, FINDING_ORPHAN, "/?");
}

static void test_circle(void **state)
{
    (void)state;
    struct site s;
    struct raw r;
    struct vol_findings list;
    struct fs_check_report report;
    site_make(&s);
    raw_begin(&r, &s.v);
    circle(&r, &s);
    raw_end(&r);
    assert_ok(vol_check_disk(s.v.disk, &list, &report));
    assert_int_equal(list.count, 1); /* once for all that hangs together */
    assert_int_equal(list.code[0], FINDING_UNREACHABLE);
    assert_memory_equal(list.path[0], "/?", 2);
    use_volume(&s.v);
    simdisk_free(s.v.disk);
}

/* ---- memory ---- */

enum { FILES = 2000, LINES_MOST = 40 };

static void name_of(int i, char name[16])
{
    snprintf(name, 16, "file%d", i);
}

/* A volume with many files, some of them with two names and some deleted while they are open. */
static void many_files(struct site *s)
{
    struct fs_attr a;
    char name[16];
    site_make(s);
    for (int i = 0; i < FILES; i++) {
        name_of(i, name);
        uint64_t ino = vol_file(&s->v, s->sub, name);
        if (i % 10 == 0)
            assert_ok(fs_link(s->v.fs, ino, s->dir, name, &a));
    }
    vol_close(&s->v);
}

/* Files are not kept in memory to tell that their links are right, and of a volume where those of
 * some are wrong, not many more than these. */
static void test_many_files(void **state)
{
    (void)state;
    struct site s;
    struct raw r;
    struct vol_findings list;
    struct fs_check_report report;
    many_files(&s);
    assert_ok(vol_check_disk(s.v.disk, &list, &report));
    assert_int_equal(list.count, 0);
    assert_int_equal(report.files, FILES + 3);
    assert_int_equal(report.lines, 3 + 2); /* folders, and their names */

    raw_begin(&r, &s.v);
    links_off(&r, &s);
    put_name(&r, s.dir, "file7", s.inner, S_IFREG);
    raw_end(&r);
    assert_ok(vol_check_disk(s.v.disk, &list, &report));
    const struct expected both[] = {{FINDING_LINKS, "/dir/file"},
                                    {FINDING_LINKS, "/dir/sub/inner"}};
    assert_found(&list, both, 2);
    assert_int_equal(report.files, FILES + 3); /* counted once */
    assert_int_equal(report.entries, 8 + FILES + FILES / 10 + 1);
    assert_in_range(report.lines, 3 + 2 + 2 + 3, LINES_MOST);
    use_volume(&s.v);
    simdisk_free(s.v.disk);
}

/* ---- 218 to 222: what inodes hold ---- */

static void chunk_beyond_end(struct raw *r, const struct site *s)
{
    raw_put(r, key_chunk(s->file, 3), slice_str("x"));
    CHANGE_INODE(r, s->file, n.chunks++);
    raw_add_counters(r, 0, 1);
}
static void bytes_beyond_end(struct raw *r, const struct site *s)
{
    raw_put(r, key_chunk(s->plain, 0), slice_str("text!"));
}
static void chunk_of_a_folder(struct raw *r, const struct site *s)
{
    raw_put(r, key_chunk(s->sub, 0), slice_str("x"));
    CHANGE_INODE(r, s->sub, n.chunks++);
    raw_add_counters(r, 0, 1);
}
static void chunks_of_inode_off(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->file, n.chunks = 2);
}
static void missing_chunk(struct raw *r, const struct site *s)
{
    raw_delete(r, key_chunk(s->file, 1));
    raw_add_counters(r, 0, -1);
}
static void bad_patch(struct raw *r, const struct site *s)
{
    struct key k = key_chunk(s->file, 2);
    raw_write(r, RAW_MERGE, key_slice(&k), slice_str("\3?"));
}
static void foreign_xattr(struct raw *r, const struct site *s)
{
    raw_put(r, key_xattr(s->file, "system.a"), slice_str("x"));
}
static void nameless_xattr(struct raw *r, const struct site *s)
{
    struct key k = key_kind(s->file, KIND_XATTR);
    raw_put(r, k, slice_str("x"));
}
static void huge_xattr(struct raw *r, const struct site *s)
{
    uint8_t *data = calloc(1, FS_XATTR_VALUE_MAX + 1);
    raw_put(r, key_xattr(s->file, "user.b"), slice_of(data, FS_XATTR_VALUE_MAX + 1));
    free(data);
}
static void empty_link(struct raw *r, const struct site *s)
{
    raw_delete(r, key_chunk(s->link, 0));
    CHANGE_INODE(r, s->link, n.size = n.chunks = 0);
    raw_add_counters(r, 0, -1);
}
static void long_link(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->link, n.size = FS_SYMLINK_MAX + 1);
}
static void cut_off_link(struct raw *r, const struct site *s)
{
    raw_put(r, key_chunk(s->link, 0), slice_str("dir"));
}
static void link_with_nul(struct raw *r, const struct site *s)
{
    raw_put(r, key_chunk(s->link, 0), slice_of("dir\0file", 8));
}

static void test_contents(void **state)
{
    (void)state;
    assert_finds(chunk_beyond_end, FINDING_BEYOND_END, "/dir/file");
    assert_finds(bytes_beyond_end, FINDING_BEYOND_END, "/second");
    assert_finds(chunk_of_a_folder, FINDING_BEYOND_END, "/dir/sub");
    assert_finds(chunks_of_inode_off, FINDING_CHUNK_COUNT, "/dir/file");
    assert_finds(missing_chunk, FINDING_CHUNK_COUNT, "/dir/file");
    assert_finds(bad_patch, FINDING_CHUNK, "/dir/file");
    assert_finds(foreign_xattr, FINDING_XATTR, "/dir/file");
    assert_finds(nameless_xattr, FINDING_XATTR, "/dir/file");
    assert_finds(huge_xattr, FINDING_XATTR, "/dir/file");
    assert_finds(empty_link, FINDING_SYMLINK, "/link");
    const struct expected twice[] = {{FINDING_SYMLINK, "/link"}, {FINDING_SYMLINK, "/link"}};
    assert_finds_all(long_link, twice, 2);
    assert_finds(cut_off_link, FINDING_SYMLINK, "/link");
    assert_finds(link_with_nul, FINDING_SYMLINK, "/link");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),  cmocka_unit_test(test_names),
        cmocka_unit_test(test_circle),   cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
