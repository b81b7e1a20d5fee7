/* The verifier against planted faults: each is found, under its number and path, and nothing else
 * is said. Here: superblock, inodes, keys, snapshots. */
#include "tests/unit/vol_site.h"

/* ---- nothing ---- */

static void test_sound_volume(void **state)
{
    (void)state;
    struct site s;
    struct vol_findings list;
    struct fs_check_report report;
    site_make(&s);
    vol_close(&s.v);
    assert_ok(vol_check_disk(s.v.disk, &list, &report));
    assert_int_equal(list.count, 0);
    assert_int_equal(report.inodes, 8);
    assert_int_equal(report.folders, 3);
    assert_int_equal(report.files, 3);
    assert_int_equal(report.symlinks, 1);
    assert_int_equal(report.others, 1);
    assert_int_equal(report.entries, 8);
    assert_int_equal(report.chunks, 5);
    assert_int_equal(report.bytes, 4 + 2 * CHUNK + 100);
    vol_free(&s.v);
}

static void test_refuses(void **state)
{
    (void)state;
    struct site s;
    struct vol_findings list;
    struct fs_check_report report;
    site_make(&s);
    assert_errno(vol_check_disk(s.v.disk, &list, &report), EAGAIN); /* it is open */
    struct simdisk *empty = simdisk_new(1);
    assert_errno(vol_check_disk(empty, &list, &report), ENOENT);
    simdisk_free(empty);
    struct raw r;
    uint8_t later[12] = {2};
    raw_begin(&r, &s.v);
    struct buf saved = {0};
    raw_get(&r, key_super(SUPER_RECORD), &saved);
    raw_put(&r, key_super(SUPER_RECORD), slice_of(later, sizeof later));
    raw_end(&r);
    assert_errno(vol_check_disk(s.v.disk, &list, &report), EPROTONOSUPPORT);
    raw_begin(&r, &s.v);
    raw_put(&r, key_super(SUPER_RECORD), buf_slice(&saved));
    raw_end(&r);
    buf_release(&saved);
    vol_free(&s.v);
}

/* ---- 201 to 203: the superblock ---- */

static void no_super(struct raw *r, const struct site *s)
{
    (void)s;
    raw_delete(r, key_super(SUPER_RECORD));
}
static void bad_super(struct raw *r, const struct site *s)
{
    (void)s;
    raw_put(r, key_super(SUPER_RECORD), slice_str("\1\0\0\0"));
}
static void no_counters(struct raw *r, const struct site *s)
{
    (void)s;
    raw_delete(r, key_super(SUPER_COUNTERS));
}
static void bad_counters(struct raw *r, const struct site *s)
{
    (void)s;
    raw_put(r, key_super(SUPER_COUNTERS), slice_str("x"));
}
static void no_next_ino(struct raw *r, const struct site *s)
{
    (void)s;
    raw_delete(r, key_super(SUPER_NEXT_INO));
}
static void bad_next_ino(struct raw *r, const struct site *s)
{
    (void)s;
    raw_put(r, key_super(SUPER_NEXT_INO), slice_of("\1\0\0\0\0\0\0\0", 8));
}
static void inodes_off(struct raw *r, const struct site *s)
{
    (void)s;
    raw_add_counters(r, 1, 0);
}
static void chunks_off(struct raw *r, const struct site *s)
{
    (void)s;
    raw_add_counters(r, 0, -1);
}
static void small_next_ino(struct raw *r, const struct site *s)
{
    uint8_t number[8];
    put_u64(number, s->fifo);
    raw_put(r, key_super(SUPER_NEXT_INO), slice_of(number, 8));
}
/* Without its counters, the rest of a volume is looked at all the same. */
static void no_counters_and_more(struct raw *r, const struct site *s)
{
    raw_delete(r, key_super(SUPER_COUNTERS));
    CHANGE_INODE(r, s->dir, n.size++);
}

static void test_superblock(void **state)
{
    (void)state;
    assert_finds(no_super, FINDING_SUPER, "");
    assert_finds(bad_super, FINDING_SUPER, "");
    assert_finds(no_counters, FINDING_SUPER, "");
    assert_finds(bad_counters, FINDING_SUPER, "");
    assert_finds(no_next_ino, FINDING_SUPER, "");
    assert_finds(bad_next_ino, FINDING_SUPER, "");
    assert_finds(inodes_off, FINDING_COUNTERS, "");
    assert_finds(chunks_off, FINDING_COUNTERS, "");
    assert_finds(small_next_ino, FINDING_NEXT_INO, "");
    const struct expected both[] = {{FINDING_SUPER, ""}, {FINDING_DIR_COUNT, "/dir"}};
    assert_finds_all(no_counters_and_more, both, 2);
}

static void two_pins_of_one_number(struct raw *r, const struct site *s)
{
    (void)s;
    struct store_pin pin;
    assert_ok(store_pin_create(r->store, "a", 3, &pin));
    assert_ok(store_pin_create(r->store, "b", 3, &pin));
}
static void pin_without_number(struct raw *r, const struct site *s)
{
    (void)s;
    struct store_pin pin;
    assert_ok(store_pin_create(r->store, "a", 0, &pin));
}

static void test_impossible_snapshots(void **state)
{
    (void)state;
    assert_finds(two_pins_of_one_number, FINDING_SUPER, "");
    assert_finds(pin_without_number, FINDING_SUPER, "");
}

/* ---- 204 to 206: inodes and keys ---- */

static void bad_file(struct raw *r, const struct site *s)
{
    raw_put(r, key_attr(s->file), slice_str("x"));
}
static void bad_folder(struct raw *r, const struct site *s)
{
    raw_put(r, key_attr(s->dir), slice_str("x"));
}
static void odd_type(struct raw *r, const struct site *s)
{
    struct buf b = {0};
    raw_get(r, key_attr(s->fifo), &b);
    put_u32(b.data, 0);
    raw_put(r, key_attr(s->fifo), buf_slice(&b));
    buf_release(&b);
}
static void fifo_with_size(struct raw *r, const struct site *s)
{
    CHANGE_INODE(r, s->fifo, n.size = 5);
}
static void file_with_entries(struct raw *r, const struct site *s)
{
    raw_put_dirent(r, s->plain, raw_slot(r, "a"), "a", s->fifo, S_IFIFO);
    raw_put_dirent(r, s->plain, raw_slot(r, "b"), "b", s->fifo, S_IFIFO);
    CHANGE_INODE(r, s->fifo, n.nlink += 2);
}
static void root_is_a_file(struct raw *r, const struct site *s)
{
    (void)s;
    CHANGE_INODE(r, ROOT, n.mode = S_IFREG | 0644);
}
static void no_root(struct raw *r, const struct site *s)
{
    (void)s;
    raw_delete(r, key_attr(ROOT));
    raw_add_counters(r, -1, 0);
}
static void stray_chunk(struct raw *r, const struct site *s)
{
    (void)s;
    raw_put(r, key_chunk(UNUSED_INO, 0), slice_str("x"));
    raw_put(r, key_chunk(UNUSED_INO, 1), slice_str("x"));
}
static void stray_xattr(struct raw *r, const struct site *s)
{
    (void)s;
    raw_put(r, key_xattr(UNUSED_INO, "user.a"), slice_str("x"));
}
static void lost_attributes(struct raw *r, const struct site *s)
{
    raw_delete(r, key_attr(s->file));
    raw_add_counters(r, -1, -3);
}

static void test_inodes(void **state)
{
    (void)state;
    assert_finds(bad_file, FINDING_INODE, "/dir/file");
    assert_finds(bad_folder, FINDING_INODE, "/dir"); /* and nothing of what is in it */
    assert_finds(odd_type, FINDING_INODE, "/fifo");
    assert_finds(fifo_with_size, FINDING_INODE, "/fifo");
    assert_finds(file_with_entries, FINDING_INODE, "/second");
    assert_finds(stray_chunk, FINDING_NO_INODE, "/?");
    assert_finds(stray_xattr, FINDING_NO_INODE, "/?");
    const struct expected lost[] = {{FINDING_NO_INODE, "/?"}, {FINDING_DANGLING, "/dir"}};
    assert_finds_all(lost_attributes, lost, 2);
}

static void test_root(void **state)
{
    (void)state;
    const struct expected file[] = {{FINDING_INODE, "/"}, {FINDING_INODE, ""}};
    assert_finds_all(root_is_a_file, file, 2);
    const struct expected missing[] = {{FINDING_NO_INODE, "/"}, {FINDING_INODE, ""}};
    assert_finds_all(no_root, missing, 2);
}

static void put_raw_key(struct raw *r, const char *bytes, size_t len)
{
    raw_write(r, RAW_PUT, slice_of(bytes, len), slice_str("x"));
}
static void short_key(struct raw *r, const struct site *s)
{
    (void)s;
    put_raw_key(r, "12345678", 8);
}
static void unknown_kind(struct raw *r, const struct site *s)
{
    (void)s;
    put_raw_key(r, "\0\0\0\0\0\0\0\1\4", 9);
}
static void unknown_super(struct raw *r, const struct site *s)
{
    (void)s;
    put_raw_key(r, "\0\0\0\0\0\0\0\0\7", 9);
}
static void longer_super(struct raw *r, const struct site *s)
{
    (void)s;
    put_raw_key(r, "\0\0\0\0\0\0\0\0\1x", 10);
}
static void orphan_without_number(struct raw *r, const struct site *s)
{
    (void)s;
    put_raw_key(r, "\0\0\0\0\0\0\0\0\3xyz", 12);
}
static void reserved_inode(struct raw *r, const struct site *s)
{
    (void)s;
    put_raw_key(r, "\0\0\0\0\0\0\0\2\0", 9);
}
static void large_inode(struct raw *r, const struct site *s)
{
    (void)s;
    put_raw_key(r, "\1\0\0\0\0\0\0\1\0", 9);
}
static void longer_attr(struct raw *r, const struct site *s)
{
    struct key k = key_attr(s->file);
    k.bytes[k.len++] = 0;
    raw_put(r, k, slice_str("x"));
}
static void chunk_without_number(struct raw *r, const struct site *s)
{
    struct key k = key_chunk(s->file, 1);
    k.len--;
    raw_put(r, k, slice_str("x"));
}

static void test_keys(void **state)
{
    (void)state;
    assert_finds(short_key, FINDING_KEY, "");
    assert_finds(unknown_kind, FINDING_KEY, "");
    assert_finds(unknown_super, FINDING_KEY, "");
    assert_finds(longer_super, FINDING_KEY, "");
    assert_finds(orphan_without_number, FINDING_KEY, "");
    assert_finds(reserved_inode, FINDING_KEY, "");
    assert_finds(large_inode, FINDING_KEY, "");
    assert_finds(longer_attr, FINDING_KEY, "");
    assert_finds(chunk_without_number, FINDING_KEY, "/dir/file");
}

/* ---- 223, snapshots, stopping ---- */

static void test_orphan_note(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    vol_file(&v, ROOT, "f");
    assert_ok(fs_unlink(v.fs, ROOT, "f"));
    v.options.no_sweep = true;
    vol_crash(&v, SIM_KEEP_ALL);
    struct vol_findings list;
    struct fs_check_report report;
    vol_close(&v);
    assert_ok(vol_check_disk(v.disk, &list, &report));
    const struct expected e = {FINDING_ORPHAN_NOTE, ""};
    assert_found(&list, &e, 1);
    assert_true(report.notes == 1 && report.damages == 0);
    v.options.no_sweep = false;
    vol_open(&v);
    vol_free(&v);
}

/* Faults that only a snapshot has are found there, by their path in it. */
static void test_in_snapshots(void **state)
{
    (void)state;
    struct site s;
    struct raw r;
    struct vol_findings list;
    struct fs_check_report report;
    struct store_pin pin;
    struct buf saved = {0};
    site_make(&s);
    raw_begin(&r, &s.v);
    raw_get(&r, key_attr(s.sub), &saved);
    CHANGE_INODE(&r, s.sub, n.size = 7);
    raw_add_counters(&r, 1, 0);
    assert_ok(store_pin_create(r.store, "then", 9, &pin));
    raw_put(&r, key_attr(s.sub), buf_slice(&saved));
    raw_add_counters(&r, -1, 0);
    raw_end(&r);
    assert_ok(vol_check_disk(s.v.disk, &list, &report));
    const struct expected e[] = {{FINDING_DIR_COUNT, "/.varve/snapshots/then/dir/sub"},
                                 {FINDING_COUNTERS, "/.varve/snapshots/then"}};
    assert_found(&list, e, 2);
    assert_int_equal(report.inodes, 8); /* what is counted is the present */
    struct fs_options o = s.v.options;
    list = (struct vol_findings){0};
    assert_ok(fs_check(VOL_DIR, &o, false, vol_on_finding, NULL, &list, &report));
    assert_int_equal(list.count, 0);
    buf_release(&saved);
    simdisk_free(s.v.disk);
}

static int stop_at_once(void *ctx, const struct store_finding *f)
{
    (void)f;
    ++*(int *)ctx;
    return 1;
}

static void test_stopping(void **state)
{
    (void)state;
    struct site s;
    struct raw r;
    struct store_pin pin;
    struct fs_check_report report;
    site_make(&s);
    raw_begin(&r, &s.v);
    CHANGE_INODE(&r, s.dir, n.size++);
    CHANGE_INODE(&r, s.sub, n.size++; n.nlink++);
    raw_put(&r, key_attr(s.file), slice_str("x"));
    assert_ok(store_pin_create(r.store, "a", 1, &pin));
    assert_ok(store_pin_create(r.store, "b", 2, &pin));
    raw_end(&r);
    int calls = 0;
    assert_ok(fs_check(VOL_DIR, &s.v.options, true, stop_at_once, NULL, &calls, &report));
    assert_int_equal(calls, 1);
    assert_int_equal(report.damages, 1);
    simdisk_free(s.v.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_volume), cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_superblock),   cmocka_unit_test(test_impossible_snapshots),
        cmocka_unit_test(test_inodes),       cmocka_unit_test(test_root),
        cmocka_unit_test(test_keys),         cmocka_unit_test(test_orphan_note),
        cmocka_unit_test(test_in_snapshots), cmocka_unit_test(test_stopping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
