/* The verifier against damaged files: every kind of file, flipped, cut off, removed, exchanged and
 * emptied. Each is found, under a number that is right for the file; and when the verifier says
 * that all is well, then all that can be read is as it was. */
#include "tests/unit/vol.h"

#define ROOT FS_INO_ROOT

/* ---- a volume with files of all kinds ---- */

enum { FILES_MAX = 64 };
struct files {
    struct {
        char path[64];
        uint64_t size;
    } file[FILES_MAX];
    size_t count;
};

static const char *const kinds[] = {"CURRENT", ".manifest", ".log", ".table", ".blob"};
enum { KIND_CURRENT, KIND_MANIFEST, KIND_LOG, KIND_TABLE, KIND_BLOB, KINDS, KIND_OTHER = KINDS };

static int kind_of(const char *path)
{
    for (int kind = 0; kind < KINDS; kind++)
        if (strstr(path, kinds[kind]))
            return kind;
    return KIND_OTHER;
}

struct listing {
    struct simdisk *disk;
    struct files *files;
};

static int note_file(void *ctx, const char *path)
{
    struct listing *l = ctx;
    struct files *f = l->files;
    struct buf b = {0};
    assert_true(f->count < FILES_MAX);
    assert_ok(simdisk_get(l->disk, path, &b));
    snprintf(f->file[f->count].path, sizeof f->file[0].path, "%s", path);
    f->file[f->count++].size = b.len;
    buf_release(&b);
    return 0;
}

static void list_files(struct simdisk *d, struct files *out)
{
    struct listing l = {d, out};
    *out = (struct files){0};
    assert_ok(simdisk_files(d, note_file, &l));
}

/* Tables, blob files, and a log with blobs of its own: what a killed process leaves. */
static struct simdisk *make_volume(void)
{
    struct vol v;
    static uint8_t data[40000];
    vol_make(&v, 16 << 10);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i >> 7);
    for (int i = 0; i < 12; i++) {
        char name[24];
        snprintf(name, sizeof name, "file %d", i);
        uint64_t dir = i % 3 ? ROOT : vol_mkdir(&v, ROOT, name + 1), f = vol_file(&v, dir, name);
        assert_ok(fs_write(v.fs, f, 0, data + i, 1000 * (size_t)i));
        if (i == 6)
            assert_ok(fs_compact(v.fs));
        if (i == 8)
            assert_ok(fs_snapshot_create(v.fs, "then"));
        if (i == 9)
            vol_reopen(&v);
    }
    uint64_t f = vol_file(&v, ROOT, "large");
    assert_ok(fs_write(v.fs, f, 5, data, sizeof data));
    assert_ok(fs_setxattr(v.fs, f, "user.a", data, 900, 0));
    uint64_t gone = vol_find(&v, ROOT, "file 1");
    assert_ok(fs_unlink(v.fs, ROOT, "file 1"));
    fs_forget(v.fs, gone);
    struct simdisk *d = simdisk_clone(v.disk); /* as if the process were killed now */
    vol_close(&v);
    simdisk_free(v.disk);
    return d;
}

/* ---- all that can be read, as one number ---- */

struct digest {
    struct fs *fs;
    uint64_t hash;
    int err; /* the first error */
};

static void add_bytes(struct digest *d, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++)
        d->hash = (d->hash ^ p[i]) * UINT64_C(0x100000001b3);
}

struct entries {
    uint64_t ino[64];
    size_t count;
    struct digest *d;
};

static int add_entry(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    struct entries *e = ctx;
    (void)next;
    add_bytes(e->d, name, strlen(name));
    add_bytes(e->d, &attr->ino, sizeof attr->ino);
    if (name[0] != '.' && e->count < 64)
        e->ino[e->count++] = attr->ino;
    return 0;
}

static void note_error(struct digest *d, int err)
{
    if (err < 0 && d->err == 0)
        d->err = err;
}

static void add_inode(struct digest *d, uint64_t ino)
{
    static char data[100000];
    struct fs_attr a;
    struct entries e = {.d = d};
    size_t got = 0;
    int err = fs_getattr(d->fs, ino, &a);
    note_error(d, err);
    if (err < 0)
        return;
    add_bytes(d, &a.size, sizeof a.size);
    add_bytes(d, &a.mtime.sec, sizeof a.mtime.sec);
    if (S_ISREG(a.mode)) {
        note_error(d, fs_read(d->fs, ino, 0, data, sizeof data, &got));
        add_bytes(d, data, got);
    }
    note_error(d, fs_listxattr(d->fs, ino, data, sizeof data, &got));
    add_bytes(d, data, got);
    if (got > 0) {
        note_error(d, fs_getxattr(d->fs, ino, "user.a", data, sizeof data, &got));
        add_bytes(d, data, got);
    }
    if (!S_ISDIR(a.mode))
        return;
    note_error(d, fs_readdir(d->fs, ino, 0, true, add_entry, &e));
    for (size_t i = 0; i < e.count; i++)
        add_inode(d, e.ino[i]);
}

/* Of the present and the snapshots. 0 or the first error that was met. */
static int digest_of(struct simdisk *disk, uint64_t *hash)
{
    struct store_options store;
    struct fs_options o;
    struct digest d = {.hash = 1};
    small_store(&store);
    fs_options_init(&o);
    o.env = simdisk_env(disk);
    o.store = &store;
    o.read_only = true;
    o.workers = 0;
    int err = fs_open(VOL_DIR, &o, &d.fs);
    if (err < 0)
        return err;
    add_inode(&d, ROOT);
    add_inode(&d, UINT64_C(1) << FS_INO_BITS | ROOT);
    assert_ok(fs_close(d.fs));
    *hash = d.hash;
    return d.err;
}

/* ---- verdicts ---- */

static bool code_fits(int code, int kind)
{
    switch (code) {
    case FINDING_CURRENT:
        return kind == KIND_CURRENT;
    case FINDING_MANIFEST:
    case FINDING_MANIFEST_TAIL:
        return kind == KIND_MANIFEST || kind == KIND_CURRENT;
    case FINDING_LOG:
    case FINDING_LOG_TAIL:
        return kind == KIND_LOG || kind == KIND_BLOB; /* which blobs a log refers to */
    case FINDING_UNNAMED_FILE: /* what a part of the history that is lost had referred to */
        return kind == KIND_LOG || kind == KIND_BLOB || kind == KIND_MANIFEST;
    case FINDING_FILE_HEADER:
        return kind != KIND_CURRENT;
    default:
        if (code >= FINDING_TABLE_FRAME && code <= FINDING_TABLE_PROPERTIES)
            return kind == KIND_TABLE;
        if (code >= FINDING_BLOB_OPEN && code <= FINDING_BLOB_TWICE)
            return kind == KIND_BLOB || kind == KIND_TABLE;
        return code == FINDING_TABLE_OPEN ? kind == KIND_TABLE : false;
    }
}

static bool codes_seen[256];

/* What the verifier says of the disk, in which something was done to a file. */
static void assert_noticed(struct simdisk *d, uint64_t sound_hash, int kind, const char *what,
                           bool must_be_found)
{
    struct vol_findings list;
    struct fs_check_report report;
    uint64_t hash = 0;
    int err = vol_check_disk(d, &list, &report);
    if (err == -ENOENT && kind == KIND_CURRENT)
        return; /* without CURRENT it is no volume */
    if (err == -EPROTONOSUPPORT)
        return; /* the version number itself */
    if (err < 0)
        fail_msg("%s: the verifier fails with %d", what, err);
    bool fits = list.count == 0;
    for (size_t i = 0; i < list.count; i++) {
        fits |= code_fits(list.code[i], kind);
        assert_in_range(list.code[i], 101, 255);
        codes_seen[list.code[i]] = true;
    }
    if (!fits)
        fail_msg("%s: the verifier says:\n%s", what, list.text);
    if (list.count > 0)
        return;
    if (must_be_found)
        fail_msg("%s: the verifier says nothing", what);
    err = digest_of(d, &hash);
    if (err < 0 || hash != sound_hash)
        fail_msg("%s: the verifier says nothing, but reading says %d, and it is %s", what, err,
                 hash == sound_hash ? "the same" : "not the same");
}

/* ---- damage ---- */

struct sound {
    struct simdisk *disk;
    struct files files;
    uint64_t hash;
};

static void sound_begin(struct sound *s)
{
    struct vol_findings list;
    struct fs_check_report report;
    s->disk = make_volume();
    list_files(s->disk, &s->files);
    assert_ok(vol_check_disk(s->disk, &list, &report));
    if (list.count > 0)
        fail_msg("the verifier says of the sound volume:\n%s", list.text);
    assert_ok(digest_of(s->disk, &s->hash));
    size_t of_kind[KINDS + 1] = {0};
    for (size_t i = 0; i < s->files.count; i++)
        of_kind[kind_of(s->files.file[i].path)]++;
    assert_true(of_kind[KIND_CURRENT] == 1 && of_kind[KIND_MANIFEST] == 1);
    assert_true(of_kind[KIND_LOG] > 0 && of_kind[KIND_TABLE] > 1 && of_kind[KIND_BLOB] > 1);
}

static void sound_end(struct sound *s)
{
    simdisk_free(s->disk);
}

static bool chosen(uint64_t at, uint64_t size, uint64_t step)
{
    return at < 100 || at % step == 0 || size - at <= 20;
}

static void test_flipped_bytes(void **state)
{
    (void)state;
    struct sound s;
    size_t flips = 0;
    sound_begin(&s);
    for (size_t i = 0; i < s.files.count; i++) {
        const char *path = s.files.file[i].path;
        uint64_t size = s.files.file[i].size;
        if (kind_of(path) == KIND_OTHER)
            continue;
        for (uint64_t at = 0; at < size; at++) {
            char what[128];
            if (!chosen(at, size, size / 25 + 1))
                continue;
            struct simdisk *d = simdisk_clone(s.disk);
            assert_ok(simdisk_flip(d, path, at, (uint8_t)(1u << at % 8)));
            snprintf(what, sizeof what, "%s, byte %llu of %llu flipped", path,
                     (unsigned long long)at, (unsigned long long)size);
            assert_noticed(d, s.hash, kind_of(path), what, false);
            simdisk_free(d);
            flips++;
        }
    }
    assert_true(flips > 500);
    sound_end(&s);
}

/* A log may end anywhere, and then history does; all other files are named with their size. */
static void test_cut_off(void **state)
{
    (void)state;
    struct sound s;
    sound_begin(&s);
    for (size_t i = 0; i < s.files.count; i++) {
        const char *path = s.files.file[i].path;
        uint64_t size = s.files.file[i].size;
        const uint64_t sizes[] = {0, 1, 50, 96, size / 2, size - 20, size - 1};
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            char what[128];
            if (kind_of(path) == KIND_OTHER || sizes[j] >= size)
                continue;
            struct simdisk *d = simdisk_clone(s.disk);
            assert_ok(simdisk_truncate(d, path, sizes[j]));
            snprintf(what, sizeof what, "%s, cut off at %llu of %llu", path,
                     (unsigned long long)sizes[j], (unsigned long long)size);
            assert_noticed(d, s.hash, kind_of(path), what, kind_of(path) != KIND_LOG);
            simdisk_free(d);
        }
    }
    sound_end(&s);
}

static void test_longer(void **state)
{
    (void)state;
    struct sound s;
    static const uint8_t more[5000] = {1, 2, 3};
    sound_begin(&s);
    for (size_t i = 0; i < s.files.count; i++) {
        const char *path = s.files.file[i].path;
        if (kind_of(path) == KIND_OTHER)
            continue;
        for (size_t len = 1; len <= sizeof more; len += sizeof more - 1) {
            char what[128];
            struct buf b = {0};
            struct simdisk *d = simdisk_clone(s.disk);
            assert_ok(simdisk_get(d, path, &b));
            buf_append_bytes(&b, more, len);
            assert_ok(simdisk_put(d, path, buf_slice(&b)));
            snprintf(what, sizeof what, "%s, %zu bytes longer", path, len);
            assert_noticed(d, s.hash, kind_of(path), what, false);
            buf_release(&b);
            simdisk_free(d);
        }
    }
    sound_end(&s);
}

static void test_removed(void **state)
{
    (void)state;
    struct sound s;
    sound_begin(&s);
    for (size_t i = 0; i < s.files.count; i++) {
        const char *path = s.files.file[i].path;
        char what[128];
        if (kind_of(path) == KIND_OTHER)
            continue;
        struct simdisk *d = simdisk_clone(s.disk);
        struct env *env = simdisk_env(d);
        assert_ok(env->remove(env, path));
        snprintf(what, sizeof what, "%s, removed", path);
        assert_noticed(d, s.hash, kind_of(path), what, true);
        simdisk_free(d);
    }
    sound_end(&s);
}

/* One file under the name of another of its kind, and of any other kind. */
static void test_exchanged(void **state)
{
    (void)state;
    struct sound s;
    sound_begin(&s);
    for (size_t i = 0; i < s.files.count; i++) {
        for (size_t j = 0; j < s.files.count; j++) {
            const char *a = s.files.file[i].path, *b = s.files.file[j].path;
            char what[160];
            struct buf contents = {0};
            if (i == j || kind_of(a) == KIND_OTHER || kind_of(b) == KIND_OTHER)
                continue;
            struct simdisk *d = simdisk_clone(s.disk);
            assert_ok(simdisk_get(d, b, &contents));
            assert_ok(simdisk_put(d, a, buf_slice(&contents)));
            snprintf(what, sizeof what, "%s with the contents of %s", a, b);
            assert_noticed(d, s.hash, kind_of(a), what, true);
            buf_release(&contents);
            simdisk_free(d);
        }
    }
    sound_end(&s);
}

/* The volume as it was before, in one file: old, but whole in itself. */
static void test_foreign_files(void **state)
{
    (void)state;
    struct sound s, other;
    sound_begin(&s);
    sound_begin(&other);
    for (size_t i = 0; i < other.files.count; i++) {
        const char *path = other.files.file[i].path;
        char what[160];
        struct buf contents = {0}, own = {0};
        if (kind_of(path) == KIND_OTHER || simdisk_get(s.disk, path, &own) < 0)
            continue;
        struct simdisk *d = simdisk_clone(s.disk);
        assert_ok(simdisk_get(other.disk, path, &contents));
        assert_ok(simdisk_put(d, path, buf_slice(&contents)));
        snprintf(what, sizeof what, "%s of another volume", path);
        assert_noticed(d, s.hash, kind_of(path), what, false);
        buf_release(&contents);
        buf_release(&own);
        simdisk_free(d);
    }
    sound_end(&s);
    sound_end(&other);
}

static void assert_only(struct simdisk *d, int code, const char *path)
{
    struct vol_findings list;
    struct fs_check_report report;
    assert_ok(vol_check_disk(d, &list, &report));
    for (size_t i = 0; i < list.count; i++)
        if (list.code[i] != code || strcmp(list.path[i], path) != 0)
            fail_msg("the verifier says:\n%s", list.text);
    assert_int_equal(report.damages, 0);
    assert_int_equal(report.warnings, 1);
}

static void test_files_that_nothing_names(void **state)
{
    (void)state;
    struct sound s;
    struct buf b = {0};
    sound_begin(&s);
    struct simdisk *d = simdisk_clone(s.disk);
    assert_ok(simdisk_put(d, VOL_DIR "/notes.txt", slice_str("hello")));
    assert_only(d, FINDING_UNKNOWN_FILE, "notes.txt");
    simdisk_free(d);
    for (size_t i = 0; i < s.files.count; i++) {
        char path[64], name[32];
        int kind = kind_of(s.files.file[i].path);
        if (kind != KIND_TABLE && kind != KIND_BLOB)
            continue;
        d = simdisk_clone(s.disk);
        assert_ok(simdisk_get(d, s.files.file[i].path, &b));
        snprintf(name, sizeof name, "000999%s", kinds[kind]);
        snprintf(path, sizeof path, "%s/%s", VOL_DIR, name);
        assert_ok(simdisk_put(d, path, buf_slice(&b)));
        assert_only(d, FINDING_UNNAMED_FILE, name);
        simdisk_free(d);
    }
    buf_release(&b);
    sound_end(&s);
}

/* The damages above have led to these. */
static void test_codes_were_met(void **state)
{
    (void)state;
    static const int codes[] = {FINDING_CURRENT,     FINDING_MANIFEST,  FINDING_MANIFEST_TAIL,
                                FINDING_TABLE_OPEN,  FINDING_LOG,       FINDING_LOG_TAIL,
                                FINDING_TABLE_FRAME, FINDING_BLOB_OPEN, FINDING_BLOB_FRAME,
                                FINDING_FILE_HEADER};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (!codes_seen[codes[i]])
            fail_msg("nothing led to finding %d", codes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flipped_bytes),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_longer),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_exchanged),
        cmocka_unit_test(test_foreign_files),
        cmocka_unit_test(test_files_that_nothing_names),
        cmocka_unit_test(test_codes_were_met), /* the last */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
