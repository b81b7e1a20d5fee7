/* Data of files: against an array of bytes, in random histories; holes; the largest offsets. */
#include "tests/unit/vol.h"

#include "tests/sim/simrng.h"

#define ROOT FS_INO_ROOT

/* ---- a model of a file ---- */

enum { CHUNKS_MAX = 14 };
struct file_model {
    uint8_t *bytes; /* zeros behind size */
    uint64_t size, size_max;
    uint64_t chunk_bytes;
    bool exists[CHUNKS_MAX]; /* chunks */
};

static void model_init(struct file_model *m, uint64_t chunk_bytes, uint64_t size_max)
{
    assert_true(size_max <= chunk_bytes * CHUNKS_MAX);
    *m = (struct file_model){
        .bytes = calloc(1, size_max), .size_max = size_max, .chunk_bytes = chunk_bytes};
}

static void model_write(struct file_model *m, uint64_t offset, const uint8_t *data, size_t len)
{
    assert_true(offset + len <= m->size_max);
    memcpy(m->bytes + offset, data, len);
    for (uint64_t c = offset / m->chunk_bytes; len > 0 && c <= (offset + len - 1) / m->chunk_bytes;
         c++)
        m->exists[c] = true;
    if (len > 0 && offset + len > m->size)
        m->size = offset + len;
}

static void model_truncate(struct file_model *m, uint64_t size)
{
    if (size < m->size)
        memset(m->bytes + size, 0, m->size - size);
    for (uint64_t c = 0; c < CHUNKS_MAX; c++)
        m->exists[c] &= c * m->chunk_bytes < size;
    m->size = size;
}

static void model_punch(struct file_model *m, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to && i < m->size; i++)
        m->bytes[i] = 0;
    for (uint64_t c = 0; c < CHUNKS_MAX; c++)
        if (from <= c * m->chunk_bytes && ((c + 1) * m->chunk_bytes <= to || m->size <= to))
            m->exists[c] = false;
}

static uint64_t model_blocks(const struct file_model *m)
{
    uint64_t chunks = 0, spans = (m->size + m->chunk_bytes - 1) / m->chunk_bytes;
    for (int c = 0; c < CHUNKS_MAX; c++)
        chunks += m->exists[c];
    return ((chunks == spans ? m->size : chunks * m->chunk_bytes) + 511) / 512;
}

/* What SEEK_DATA and SEEK_HOLE say; -1: ENXIO. */
static int64_t model_seek(const struct file_model *m, uint64_t offset, bool data)
{
    for (uint64_t at = offset; at < m->size; at = (at / m->chunk_bytes + 1) * m->chunk_bytes)
        if (m->exists[at / m->chunk_bytes] == data)
            return (int64_t)at;
    return data || offset >= m->size ? -1 : (int64_t)m->size;
}

/* ---- comparing ---- */

static void assert_read(struct vol *v, uint64_t ino, const struct file_model *m, uint64_t offset,
                        size_t len)
{
    uint8_t *got_bytes = malloc(len + 1);
    size_t got = 99, expected = 0;
    memset(got_bytes, 0xee, len + 1);
    if (offset < m->size)
        expected = len < m->size - offset ? len : (size_t)(m->size - offset);
    assert_ok(fs_read(v->fs, ino, offset, got_bytes, len, &got));
    assert_int_equal(got, expected);
    if (expected && memcmp(got_bytes, m->bytes + offset, expected) != 0) {
        size_t i = 0;
        while (got_bytes[i] == m->bytes[offset + i])
            i++;
        fail_msg("byte %llu of %llu is %#x instead of %#x", (unsigned long long)(offset + i),
                 (unsigned long long)m->size, got_bytes[i], m->bytes[offset + i]);
    }
    assert_int_equal(got_bytes[len], 0xee);
    free(got_bytes);
}

static void assert_seek(struct vol *v, uint64_t ino, const struct file_model *m, uint64_t offset)
{
    for (int data = 0; data < 2; data++) {
        uint64_t found = 0;
        int64_t expected = model_seek(m, offset, data);
        int err = data ? fs_seek_data(v->fs, ino, offset, &found)
                       : fs_seek_hole(v->fs, ino, offset, &found);
        if (expected < 0)
            assert_errno(err, ENXIO);
        else {
            assert_ok(err);
            assert_int_equal(found, expected);
        }
    }
}

static void assert_same(struct vol *v, uint64_t ino, const struct file_model *m)
{
    struct fs_attr a = vol_attr(v, ino);
    assert_int_equal(a.size, m->size);
    assert_int_equal(a.blocks, model_blocks(m));
    assert_read(v, ino, m, 0, (size_t)m->size + 10);
}

/* ---- random histories ---- */

static uint64_t random_offset(struct simrng *r, const struct file_model *m)
{
    uint64_t at = simrng_below(r, m->size_max);
    switch (simrng_below(r, 4)) {
    case 0:
        return at / m->chunk_bytes * m->chunk_bytes; /* at a boundary */
    case 1:
        return m->size < m->size_max ? m->size : at; /* at the end */
    case 2:
        return simrng_below(r, m->chunk_bytes); /* near the beginning */
    default:
        return at;
    }
}

static size_t random_len(struct simrng *r, const struct file_model *m, uint64_t room)
{
    static const uint64_t small[] = {0, 1, 511, 4096};
    uint64_t len = simrng_below(r, 3 * m->chunk_bytes);
    if (simrng_below(r, 3) == 0)
        len = small[simrng_below(r, 4)];
    if (simrng_below(r, 3) == 0)
        len = len / m->chunk_bytes * m->chunk_bytes;
    return (size_t)(len < room ? len : room);
}

static void do_write(struct vol *v, uint64_t ino, struct file_model *m, struct simrng *r)
{
    uint64_t offset = random_offset(r, m);
    size_t len = random_len(r, m, m->size_max - offset);
    uint8_t *data = malloc(len + 1);
    uint64_t fill = simrng_next(r);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(fill >> (i / 97 % 8 * 8)) ^ (uint8_t)(i % 97 ? 0 : simrng_next(r));
    assert_ok(fs_write(v->fs, ino, offset, data, len));
    model_write(m, offset, data, len);
    free(data);
}

static void do_truncate(struct vol *v, uint64_t ino, struct file_model *m, struct simrng *r)
{
    struct fs_attr a, want = {.size = random_offset(r, m)};
    assert_ok(fs_setattr(v->fs, ino, FS_SET_SIZE, &want, &a));
    model_truncate(m, want.size);
    assert_int_equal(a.size, m->size);
    assert_int_equal(a.blocks, model_blocks(m));
}

static void do_fallocate(struct vol *v, uint64_t ino, struct file_model *m, struct simrng *r)
{
    static const unsigned modes[] = {
        0, FS_FALLOCATE_KEEP_SIZE, FS_FALLOCATE_KEEP_SIZE | FS_FALLOCATE_PUNCH_HOLE,
        FS_FALLOCATE_KEEP_SIZE | FS_FALLOCATE_ZERO_RANGE, FS_FALLOCATE_ZERO_RANGE};
    unsigned mode = modes[simrng_below(r, 5)];
    uint64_t offset = random_offset(r, m);
    uint64_t len = 1 + random_len(r, m, m->size_max - 1 - offset);
    assert_ok(fs_fallocate(v->fs, ino, mode, offset, len));
    if (mode & (FS_FALLOCATE_PUNCH_HOLE | FS_FALLOCATE_ZERO_RANGE))
        model_punch(m, offset, offset + len);
    if (!(mode & FS_FALLOCATE_KEEP_SIZE) && offset + len > m->size)
        m->size = offset + len;
    assert_int_equal(vol_attr(v, ino).size, m->size);
    assert_int_equal(vol_attr(v, ino).blocks, model_blocks(m));
}

static void one_step(struct vol *v, uint64_t ino, struct file_model *m, struct simrng *r)
{
    uint64_t offset = simrng_below(r, m->size_max + 100);
    switch (simrng_below(r, 14)) {
    case 0:
    case 1:
    case 2:
    case 3:
        do_write(v, ino, m, r);
        break;
    case 4:
    case 5:
        do_truncate(v, ino, m, r);
        break;
    case 6:
    case 7:
        assert_read(v, ino, m, offset, random_len(r, m, UINT64_MAX));
        break;
    case 8:
        assert_seek(v, ino, m, offset);
        break;
    case 9:
        assert_same(v, ino, m);
        break;
    case 10:
        assert_true(fs_work(v->fs) >= 0);
        break;
    case 11:
    case 12:
        do_fallocate(v, ino, m, r);
        break;
    default:
        if (simrng_below(r, 8) == 0)
            vol_crash(v, SIM_KEEP_ALL);
        else if (simrng_below(r, 8) == 0)
            vol_reopen(v);
    }
}

static void play_history(uint32_t chunk_bytes, uint64_t size_max, int steps, struct simrng *r)
{
    struct vol v;
    struct file_model m[2];
    uint64_t ino[2];
    vol_make(&v, chunk_bytes);
    for (int i = 0; i < 2; i++) {
        model_init(&m[i], chunk_bytes, size_max);
        ino[i] = vol_file(&v, ROOT, i ? "b" : "a");
    }
    for (int i = 0; i < steps; i++) {
        size_t which = simrng_below(r, 2);
        one_step(&v, ino[which], &m[which], r);
    }
    for (int i = 0; i < 2; i++)
        assert_same(&v, ino[i], &m[i]);
    vol_settle(&v);
    assert_ok(fs_compact(v.fs));
    for (int i = 0; i < 2; i++) {
        assert_same(&v, ino[i], &m[i]);
        free(m[i].bytes);
    }
    vol_free(&v);
}

static void test_random_histories(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    for (int i = 0; i < 30; i++)
        play_history(16 << 10, (16 << 10) * (1 + simrng_below(&r, CHUNKS_MAX)), 300, &r);
    play_history(64 << 10, 5 * (64 << 10) + 1234, 200, &r);
    play_history(128 << 10, 400000, 150, &r);
    play_history(1 << 20, 3 << 20, 60, &r);
}

/* ---- corners ---- */

/* What is cut off does not come back when the file grows again. */
static void test_cut_and_grown(void **state)
{
    (void)state;
    enum { C = 16 << 10 };
    static const uint64_t cuts[] = {0, 1, 100, C - 1, C, C + 1, 2 * C, 3 * C - 5};
    struct simrng r = {1};
    struct vol v;
    vol_make(&v, C);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct file_model m;
        struct fs_attr a, want = {.size = cuts[i]};
        char name[24];
        uint8_t *data = malloc(3 * C);
        for (size_t j = 0; j < 3 * C; j++)
            data[j] = (uint8_t)(1 + simrng_below(&r, 255));
        snprintf(name, sizeof name, "%zu", i);
        uint64_t f = vol_file(&v, ROOT, name);
        model_init(&m, C, 4 * C);
        assert_ok(fs_write(v.fs, f, 0, data, 3 * C));
        model_write(&m, 0, data, 3 * C);
        assert_ok(fs_setattr(v.fs, f, FS_SET_SIZE, &want, &a));
        model_truncate(&m, want.size);
        want.size = 4 * C;
        assert_ok(fs_setattr(v.fs, f, FS_SET_SIZE, &want, &a));
        model_truncate(&m, want.size);
        assert_same(&v, f, &m);
        assert_ok(fs_write(v.fs, f, 2 * C + 7, data, 9)); /* into what may be a hole now */
        model_write(&m, 2 * C + 7, data, 9);
        assert_same(&v, f, &m);
        for (uint64_t at = 0; at < 4 * C; at += 1000)
            assert_seek(&v, f, &m, at);
        free(data);
        free(m.bytes);
    }
    vol_free(&v);
}

static void assert_bytes(struct vol *v, uint64_t ino, uint64_t offset, const char *text, size_t len)
{
    char got_bytes[64];
    size_t got;
    assert_ok(fs_read(v->fs, ino, offset, got_bytes, sizeof got_bytes, &got));
    assert_slice(slice_of(got_bytes, got), text, len);
}

static void test_the_largest_offsets(void **state)
{
    (void)state;
    const uint64_t max = (uint64_t)FS_FILE_SIZE_MAX;
    struct vol v;
    struct fs_attr a, want = {.size = max};
    uint64_t found;
    vol_make(&v, 16 << 10);
    uint64_t f = vol_file(&v, ROOT, "f");
    assert_ok(fs_write(v.fs, f, max - 5, "12345", 5));
    assert_int_equal(vol_attr(&v, f).size, max);
    assert_bytes(&v, f, max - 5, "12345", 5);
    assert_bytes(&v, f, max - 2, "45", 2);
    assert_bytes(&v, f, max, "", 0);
    assert_bytes(&v, f, UINT64_MAX, "", 0);
    assert_errno(fs_write(v.fs, f, max - 5, "123456", 6), EFBIG);
    assert_errno(fs_write(v.fs, f, max, "1", 1), EFBIG);
    assert_errno(fs_write(v.fs, f, UINT64_MAX, "1", 1), EFBIG);
    assert_ok(fs_write(v.fs, f, max, "", 0));
    assert_ok(fs_seek_data(v.fs, f, 0, &found));
    assert_int_equal(found, (max - 5) & ~UINT64_C(16383));
    assert_ok(fs_seek_hole(v.fs, f, 0, &found));
    assert_int_equal(found, 0);
    assert_ok(fs_seek_hole(v.fs, f, max - 1, &found));
    assert_int_equal(found, max);
    assert_errno(fs_seek_data(v.fs, f, max, &found), ENXIO);
    assert_errno(fs_seek_hole(v.fs, f, max, &found), ENXIO);
    assert_ok(fs_write(v.fs, f, 3, "first", 5));
    assert_int_equal(vol_attr(&v, f).blocks, 2 * (16 << 10) / 512);
    uint64_t g = vol_file(&v, ROOT, "g");
    assert_ok(fs_setattr(v.fs, g, FS_SET_SIZE, &want, &a));
    assert_true(a.size == max && a.blocks == 0);
    assert_errno(fs_seek_data(v.fs, g, 0, &found), ENXIO);
    want.size = max - 3;
    assert_ok(fs_setattr(v.fs, f, FS_SET_SIZE, &want, &a));
    assert_bytes(&v, f, max - 5, "12", 2);
    want.size = 5;
    assert_ok(fs_setattr(v.fs, f, FS_SET_SIZE, &want, &a));
    assert_int_equal(a.blocks, 1);
    assert_bytes(&v, f, 0, "\0\0\0fi", 5);
    vol_free(&v);
}

/* Few chunks far apart: counting them on either side of the new end. */
static void test_sparse_truncate(void **state)
{
    (void)state;
    enum { C = 16 << 10 };
    static const uint64_t chunks[] = {0, 5, 1000, 1000000, 1000001, 50000000};
    for (int keep = 0; keep <= 6; keep++) {
        struct vol v;
        struct fs_attr a;
        vol_make(&v, C);
        uint64_t f = vol_file(&v, ROOT, "f");
        for (int i = 0; i < 6; i++)
            assert_ok(fs_write(v.fs, f, chunks[i] * C + 100, "x", 1));
        struct fs_attr want = {.size = keep ? chunks[keep - 1] * C + 101 : 0};
        assert_ok(fs_setattr(v.fs, f, FS_SET_SIZE, &want, &a));
        uint64_t expected = keep == 1 ? 101 : (uint64_t)keep * C;
        assert_int_equal(a.blocks, (expected + 511) / 512);
        vol_free(&v);
    }
}

static void test_sizes_of_writes(void **state)
{
    (void)state;
    struct vol v;
    vol_make(&v, 0);
    uint64_t f = vol_file(&v, ROOT, "f");
    uint8_t *data = calloc(1, FS_WRITE_MAX + 1), *back = malloc(FS_WRITE_MAX);
    size_t got;
    for (size_t i = 0; i < FS_WRITE_MAX; i += 1000)
        data[i] = (uint8_t)(i / 1000);
    assert_errno(fs_write(v.fs, f, 0, data, FS_WRITE_MAX + 1), EINVAL);
    assert_int_equal(vol_attr(&v, f).size, 0);
    assert_ok(fs_write(v.fs, f, 77, data, FS_WRITE_MAX));
    assert_int_equal(vol_attr(&v, f).size, 77 + FS_WRITE_MAX);
    assert_ok(fs_read(v.fs, f, 77, back, FS_WRITE_MAX, &got));
    assert_int_equal(got, FS_WRITE_MAX);
    assert_memory_equal(data, back, FS_WRITE_MAX);
    free(data);
    free(back);
    vol_free(&v);
}

static void test_errors(void **state)
{
    (void)state;
    struct vol v;
    struct fs_attr a;
    char data[8];
    size_t got = 5;
    uint64_t found;
    vol_make(&v, 0);
    uint64_t dir = vol_mkdir(&v, ROOT, "dir"), link = vol_symlink(&v, ROOT, "link", "target");
    assert_ok(fs_mknod(v.fs, ROOT, "fifo", S_IFIFO | 0644, 0, &vol_cred, &a));
    assert_errno(fs_read(v.fs, dir, 0, data, 1, &got), EISDIR);
    assert_int_equal(got, 0);
    assert_errno(fs_read(v.fs, link, 0, data, 1, &got), EINVAL);
    assert_errno(fs_read(v.fs, a.ino, 0, data, 1, &got), EINVAL);
    assert_errno(fs_read(v.fs, 999, 0, data, 1, &got), ENOENT);
    assert_errno(fs_read(v.fs, FS_INO_CONTROL, 0, data, 1, &got), EISDIR);
    assert_errno(fs_write(v.fs, dir, 0, "x", 1), EISDIR);
    assert_errno(fs_write(v.fs, link, 0, "x", 1), EINVAL);
    assert_errno(fs_write(v.fs, a.ino, 0, "x", 1), EINVAL);
    assert_errno(fs_write(v.fs, 999, 0, "x", 1), ENOENT);
    assert_errno(fs_seek_data(v.fs, dir, 0, &found), EINVAL);
    assert_errno(fs_seek_hole(v.fs, FS_INO_SNAPSHOTS, 0, &found), EISDIR);
    /* A whole chunk for an inode that is none leaves nothing behind. */
    char *chunk = calloc(1, 128 << 10);
    assert_errno(fs_write(v.fs, 999, 0, chunk, 128 << 10), ENOENT);
    assert_errno(fs_write(v.fs, dir, 0, chunk, 128 << 10), EISDIR);
    free(chunk);
    vol_free(&v);
}

/* A small write costs about its own size, not the chunk's. */
static void test_small_writes_are_small(void **state)
{
    (void)state;
    struct vol v;
    struct fs_stats before, after;
    uint8_t *data = malloc(1 << 20), page[4096];
    struct simrng r = {3};
    vol_make(&v, 128 << 10);
    vol_close(&v);
    v.options.store = NULL;
    vol_open(&v);
    for (size_t i = 0; i < 1 << 20; i++)
        data[i] = (uint8_t)simrng_next(&r);
    uint64_t f = vol_file(&v, ROOT, "f");
    assert_ok(fs_write(v.fs, f, 0, data, 1 << 20));
    assert_ok(fs_get_stats(v.fs, &before));
    for (int i = 0; i < 100; i++) {
        memset(page, i, sizeof page);
        assert_ok(fs_write(v.fs, f, 4096 * simrng_below(&r, 256), page, sizeof page));
    }
    assert_ok(fs_get_stats(v.fs, &after));
    uint64_t written = after.store.bytes_written_log + after.store.bytes_written_blob -
                       before.store.bytes_written_log - before.store.bytes_written_blob;
    assert_true(written < 100 * (4096 + 400));
    assert_int_equal(after.used_bytes, 1 << 20);
    free(data);
    vol_free(&v);
}

static uint64_t cached_bytes(struct vol *v)
{
    struct fs_stats s;
    assert_ok(fs_get_stats(v->fs, &s));
    return s.store.cache_bytes;
}

static uint64_t cached_by_reading(struct vol *v, uint64_t ino, uint64_t offset, size_t len)
{
    uint8_t *data = malloc(len);
    size_t got;
    uint64_t before = cached_bytes(v);
    assert_ok(fs_read(v->fs, ino, offset, data, len, &got));
    assert_int_equal(got, len);
    free(data);
    return cached_bytes(v) - before;
}

/* What is read whole, the last chunk to its end, the kernel keeps: it goes past the cache. */
static void test_whole_chunks_past_the_cache(void **state)
{
    struct vol v;
    enum { CHUNK = 64 << 10, LAST = 40 << 10 };
    uint8_t *data = malloc(3 * CHUNK + LAST);
    struct simrng r = {3};
    (void)state;
    vol_make(&v, CHUNK);
    vol_close(&v);
    v.options.store = NULL;
    vol_open(&v);
    for (size_t i = 0; i < 3 * CHUNK + LAST; i++)
        data[i] = (uint8_t)simrng_next(&r);
    uint64_t f = vol_file(&v, ROOT, "f");
    assert_ok(fs_write(v.fs, f, 0, data, 3 * CHUNK + LAST));
    assert_true(cached_by_reading(&v, f, 0, CHUNK) < CHUNK / 2);
    assert_true(cached_by_reading(&v, f, 3 * CHUNK, LAST) < LAST / 2);
    assert_true(cached_by_reading(&v, f, CHUNK + 100, 200) >= CHUNK);
    assert_true(cached_by_reading(&v, f, 2 * CHUNK, CHUNK - 1) >= CHUNK);
    assert_true(cached_by_reading(&v, f, CHUNK, CHUNK) < CHUNK / 2); /* it is there */
    free(data);
    vol_free(&v);
}

static bool same_times(const struct fs_attr *a, const struct fs_attr *b)
{
    return vol_same_time(a->mtime, b->mtime) && vol_same_time(a->ctime, b->ctime);
}

/* A cache writes when it likes: its times come apart from its data. */
static void test_written_back(void **state)
{
    struct vol v;
    struct fs_attr before, after;
    (void)state;
    vol_make(&v, 0);
    uint64_t ino = vol_file(&v, ROOT, "file");
    assert_ok(fs_getattr(v.fs, ino, &before));
    simdisk_advance(v.disk, 1000000000);
    assert_ok(fs_write_back(v.fs, ino, 0, "0123456789", 10));
    assert_ok(fs_write_back(v.fs, ino, 2, "ab", 2));
    assert_ok(fs_getattr(v.fs, ino, &after));
    assert_true(same_times(&before, &after) && after.size == 10);
    assert_bytes(&v, ino, 0, "01ab456789", 10);
    assert_ok(fs_write(v.fs, ino, 2, "23", 2));
    assert_ok(fs_getattr(v.fs, ino, &after));
    assert_false(same_times(&before, &after));
    vol_assert_sound(&v);
    vol_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_histories),
        cmocka_unit_test(test_cut_and_grown),
        cmocka_unit_test(test_the_largest_offsets),
        cmocka_unit_test(test_sparse_truncate),
        cmocka_unit_test(test_sizes_of_writes),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_small_writes_are_small),
        cmocka_unit_test(test_whole_chunks_past_the_cache),
        cmocka_unit_test(test_written_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
