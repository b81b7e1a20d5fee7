/* A file system with records that the fuzzer wrote behind its back: it opens or refuses, is
 * verified, and every operation ends with an answer or an error. */
#include <errno.h>

#include "fs/format.h"
#include "fs/fs.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/simdisk.h"

enum { RECORDS_MAX = 64, INODES = 6 };

static struct simdisk *sound;
static struct {
    struct buf key, value;
} records[RECORDS_MAX];
static uint32_t record_count;
static const struct fs_cred cred;

static void open_options(struct fs_options *o, struct store_options *so, struct simdisk *d)
{
    fs_options_init(o);
    store_options_init(so);
    so->reserve_bytes = 0;
    so->memtable_bytes = 1 << 20;
    so->cache_bytes = 1 << 20;
    so->zstd_level = 0;
    o->env = simdisk_env(d);
    o->workers = 0;
    o->store = so;
}

static void populate(struct fs *fs)
{
    struct fs_attr dir, file, attr;
    int err = fs_mkdir(fs, FS_INO_ROOT, "folder", 0755, &cred, &dir);
    assert(err == 0);
    err = fs_mknod(fs, dir.ino, "file", S_IFREG | 0644, 0, &cred, &file);
    assert(err == 0);
    err = fs_write(fs, file.ino, 20000, "bytes", 5);
    assert(err == 0);
    err = fs_setxattr(fs, file.ino, "user.x", "value", 5, 0);
    assert(err == 0);
    err = fs_set_quota(fs, dir.ino, 100000);
    assert(err == 0);
    err = fs_symlink(fs, FS_INO_ROOT, "link", "folder/file", &cred, &attr);
    assert(err == 0);
    err = fs_link(fs, file.ino, FS_INO_ROOT, "second", &attr);
    assert(err == 0);
}

static void open_store(struct simdisk *d, struct store **s)
{
    struct fs_options o;
    struct store_options so;
    open_options(&o, &so, d);
    so.env = simdisk_env(d);
    so.workers = 0;
    so.merge = &fs_merge;
    int err = store_open("/v", &so, s);
    assert(err == 0);
}

static void take_records(struct simdisk *d)
{
    struct store *s;
    struct store_read r;
    struct slice value;
    open_store(d, &s);
    store_read_begin(s, &r);
    struct store_iter *it = store_iter_new(&r, (struct slice){0}, (struct slice){0});
    for (int err = store_iter_first(it); err == 0 && record_count < RECORDS_MAX;
         err = store_iter_next(it)) {
        buf_append(&records[record_count].key, store_iter_key(it));
        if (store_iter_value(it, &value) == 0)
            buf_append(&records[record_count].value, value);
        record_count++;
    }
    store_iter_free(it);
    store_read_end(&r);
    store_close(s);
    assert(record_count > 10);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct fs_make_options mo;
    struct fs_options o;
    struct store_options so;
    struct fs *fs;
    fuzz_quiet();
    sound = simdisk_new(1);
    fs_make_options_init(&mo);
    mo.env = simdisk_env(sound);
    mo.chunk_bytes = 16 << 10;
    int err = fs_make("/v", &mo);
    assert(err == 0);
    open_options(&o, &so, sound);
    err = fs_open("/v", &o, &fs);
    assert(err == 0);
    populate(fs);
    fs_close(fs);
    take_records(sound);
    return 0;
}

static void write_records(struct slice *in, struct simdisk *d)
{
    struct store *s;
    struct buf key = {0}, value = {0};
    open_store(d, &s);
    struct store_batch *b = store_batch_new(s);
    for (int i = 1 + fuzz_u8(in) % 3; i > 0; i--) {
        uint8_t how = fuzz_u8(in);
        uint32_t at = fuzz_u8(in) % record_count;
        buf_set(&key, buf_slice(&records[at].key));
        if (how & 1)
            fuzz_change(in, key.data, key.len);
        if (how & 2)
            buf_append(&key, fuzz_bytes(in, 12));
        fuzz_payload(in, buf_slice(&records[at].value), &value);
        if (how & 4)
            store_batch_delete(b, buf_slice(&key));
        else if (how & 8)
            store_batch_merge(b, buf_slice(&key), buf_slice(&value));
        else
            store_batch_put(b, buf_slice(&key), buf_slice(&value));
    }
    int err = store_write(s, b, 0);
    assert(err == 0);
    store_batch_free(b);
    store_close(s);
    buf_release(&key);
    buf_release(&value);
}

static int no_finding(void *ctx, const struct store_finding *f)
{
    (void)ctx;
    assert(f->text && *f->text);
    return 0;
}

static int no_entry(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    (void)ctx;
    (void)attr;
    (void)next;
    assert(*name);
    return 0;
}

static void use(struct fs *fs, uint64_t ino)
{
    static char bytes[4 << 10], target[FS_SYMLINK_MAX + 1], names[1 << 16];
    struct fs_attr attr;
    size_t got;
    uint64_t at;
    fs_getattr(fs, ino, &attr);
    fs_readdir(fs, ino, 0, true, no_entry, NULL);
    fs_read(fs, ino, 19999, bytes, sizeof bytes, &got);
    fs_readlink(fs, ino, target);
    fs_listxattr(fs, ino, names, sizeof names, &got);
    fs_getxattr(fs, ino, "user.x", bytes, sizeof bytes, &got);
    fs_seek_data(fs, ino, 0, &at);
    fs_seek_hole(fs, ino, 0, &at);
    fs_lookup(fs, ino, "file", &attr);
    fs_lookup(fs, ino, "..", &attr);
    fs_check_open(fs, ino, true);
}

static void change(struct fs *fs, uint64_t ino)
{
    struct fs_attr attr;
    uint64_t copied;
    fs_write(fs, ino, 5, "x", 1);
    fs_fallocate(fs, ino, FS_FALLOCATE_KEEP_SIZE | FS_FALLOCATE_PUNCH_HOLE, 3, 40000);
    fs_fallocate(fs, ino, 0, 0, 50000);
    fs_copy(fs, ino, 0, FS_INO_FIRST + 1, 100, 40000, &copied);
    fs_copy(fs, FS_INO_FIRST + 1, 0, ino, 100, 40000, &copied);
    fs_set_flags(fs, ino, FS_FLAG_NODUMP);
    if (fs_tmpfile(fs, ino, 0600, true, &cred, &attr) == 0)
        fs_link(fs, attr.ino, ino, "unnamed", &attr);
    fs_link(fs, ino, FS_INO_ROOT, "linked", &attr);
    fs_rename_with(fs, ino, "new", ino, "newer", &(struct fs_rename_how){.whiteout = &cred});
    fs_set_quota(fs, ino, 30000);
    fs_set_compression(fs, ino, 3);
    fs_mknod(fs, ino, "new", S_IFREG | 0600, 0, &cred, &attr);
    fs_rename(fs, ino, "file", FS_INO_ROOT, "file", 0);
    fs_unlink(fs, ino, "file");
    fs_rmdir(fs, FS_INO_ROOT, "folder");
    fs_removexattr(fs, ino, "user.x");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct simdisk *d = simdisk_clone(sound);
    struct fs_options o;
    struct store_options so;
    struct fs_check_report report;
    struct fs *fs;
    write_records(&in, d);
    open_options(&o, &so, d);
    o.read_only = true;
    fs_check("/v", &o, true, no_finding, NULL, NULL, &report);
    o.read_only = false;
    if (fs_open("/v", &o, &fs) == 0) {
        for (uint64_t i = 0; i < INODES; i++)
            use(fs, i < 1 ? FS_INO_ROOT : FS_INO_FIRST + i - 1);
        for (uint64_t i = 0; i < INODES; i++)
            change(fs, i < 1 ? FS_INO_ROOT : FS_INO_FIRST + i - 1);
        fs_close(fs);
    }
    simdisk_free(d);
    return 0;
}
