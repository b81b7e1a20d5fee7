/* A table, its index whole or in parts: frames of any kind that are not what they should be under
 * checksums that hold. Whatever is in them, reading ends in entries in order or in -EIO. */
#include "store/table.h"

#include <errno.h>
#include <stdio.h>

#include "tests/fuzz/fuzz.h"
#include "tests/sim/simdisk.h"

enum { ENTRIES = 120, KINDS = 3, FRAMES_MAX = 512 };
#define PATH "/000012.table"

static const uint8_t uuid[UUID_SIZE] = "a volume's uuid";
static struct simdisk *disk;
static struct cache *cache;
static struct sample {
    struct buf bytes;
    struct codec_file codec;
    struct frame_ref frames[FRAMES_MAX];
    uint32_t count;
} samples[KINDS];

/* Keys with some versions each, over blocks of a few entries, and two tombstones. */
static void write_table(const struct table_options *opt)
{
    struct table_writer *w;
    struct table_meta *meta;
    char key[32];
    int err = table_create(simdisk_env(disk), "/", 12, uuid, opt, &w);
    struct rangedel_builder *b = rangedel_builder_new();
    rangedel_builder_add(b, slice_str("key 000010"), slice_str("key 000020"), 500);
    rangedel_builder_add(b, slice_str("key 000015"), slice_str("key 0001"), 7);
    struct rangedel *dels = rangedel_build(b);
    table_set_rangedel(w, dels);
    for (uint64_t i = 0; i < ENTRIES && err == 0; i++) {
        snprintf(key, sizeof key, "key %06d", (int)i / 3);
        struct entry e = {.key = slice_str(key),
                          .seq = 1000 - i,
                          .type = i % 7 ? ENTRY_PUT : ENTRY_MERGE,
                          .value = slice_str("a value")};
        err = table_add(w, &e);
    }
    err = err ? err : table_finish(w, &meta);
    assert(err == 0);
    table_meta_unref(meta);
    rangedel_unref(dels);
    rangedel_builder_free(b);
}

static void take_sample(struct sample *s)
{
    struct file_header h;
    uint64_t at = FILE_HEADER_SIZE;
    int err = simdisk_get(disk, PATH, &s->bytes);
    enum header_verdict verdict = file_header_decode(buf_slice(&s->bytes), &h);
    assert(err == 0 && verdict == HEADER_OK);
    codec_file_init(&s->codec, &h);
    while (s->count < FRAMES_MAX) {
        struct frame_header fh;
        struct slice rest = slice_of(s->bytes.data + at, s->bytes.len - at);
        if (frame_verify(&s->codec, at, rest, &fh) != FRAME_OK)
            break;
        s->frames[s->count] = (struct frame_ref){at, FRAME_HEADER_SIZE + fh.stored_len};
        at += s->frames[s->count++].len;
    }
    assert(at + TABLE_FOOTER_SIZE == s->bytes.len);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fuzz_quiet();
    disk = simdisk_new(1);
    cache = cache_new(0);
    for (int i = 0; i < KINDS; i++) {
        struct table_options opt = {.block_bytes = 150,
                                    .filter_one_in = i == 1 ? 0 : 100,
                                    .filter_whole_keys = i == 2 ? 20 : 0,
                                    .index_whole_bytes = i ? 300 : 0};
        write_table(&opt);
        take_sample(&samples[i]);
        struct env *env = simdisk_env(disk);
        int err = env->remove(env, PATH);
        assert(err == 0);
    }
    return 0;
}

/* ---- reading whatever it is ---- */

static void walk(struct iter *it, bool backwards)
{
    struct buf key = {0};
    uint64_t seq = 0;
    bool first = true;
    int rc = backwards ? iter_last(it) : iter_first(it);
    for (; rc == 0; rc = backwards ? iter_prev(it) : iter_next(it)) {
        int order = first ? -1 : entry_cmp(buf_slice(&key), seq, it->e.key, it->e.seq);
        /* Backwards order is proved where blocks meet, and within each. */
        assert(first || backwards || order < 0);
        buf_set(&key, it->e.key);
        seq = it->e.seq;
        first = false;
    }
    assert(rc == 1 || rc == -EIO);
    buf_release(&key);
}

static void get(struct table *t, struct slice key, uint64_t read_seq)
{
    struct lookup l;
    lookup_init(&l, key, read_seq);
    int err = table_get(t, &l);
    assert(err == 0 || err == -EIO);
    lookup_release(&l, cache);
}

static int on_finding(void *ctx, int code, uint64_t offset, const char *text)
{
    (void)ctx, (void)code, (void)offset, (void)text;
    return 0;
}

static void read_all(struct table *t, struct slice *in)
{
    struct table_since_counts counts = {0};
    char key[32];
    struct iter *it = table_iter_new(t, fuzz_u8(in) % 4);
    walk(it, false);
    walk(it, true);
    for (int i = 0; i < 4; i++) {
        struct slice wild = fuzz_bytes(in, 30);
        snprintf(key, sizeof key, "key %06d", fuzz_u8(in) % ENTRIES / 3);
        struct slice k = wild.len ? wild : slice_str(key);
        uint64_t seq = 1 + fuzz_u16(in) % 1100;
        int rc = iter_seek(it, k, seq);
        assert(rc != 0 || entry_cmp(k, seq, it->e.key, it->e.seq) <= 0);
        if (rc == 0)
            iter_skip(it, fuzz_u16(in), wild);
        get(t, k, seq);
        table_range_bytes(t, k, wild);
    }
    iter_free(it);
    it = table_since_iter_new(t, fuzz_u16(in), UINT64_C(70000), &counts);
    for (int rc = iter_first(it); rc == 0; rc = iter_next(it))
        ;
    iter_free(it);
    table_check(t, on_finding, NULL, NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct sample *s = &samples[fuzz_u8(&in) % KINDS];
    struct buf file = {0};
    struct table *t;
    buf_append(&file, buf_slice(&s->bytes));
    for (int i = 0, n = 1 + fuzz_u8(&in) % 3; i < n; i++) {
        /* The sections at the end more often than their part of the frames. */
        uint32_t back = fuzz_u16(&in), at = back % 2 ? back / 2 % 12 : back / 2;
        struct frame_ref where = s->frames[s->count - 1 - at % s->count];
        uint8_t *frame = file.data + where.offset;
        for (int k = 0, changes = 1 + fuzz_u8(&in) % 3; k < changes; k++)
            fuzz_change(&in, frame + FRAME_HEADER_SIZE, where.len - FRAME_HEADER_SIZE);
        frame_seal(&s->codec, where.offset, frame, where.len);
    }
    int err = simdisk_put(disk, PATH, buf_slice(&file));
    assert(err == 0);
    cache_set_capacity(cache, 0); /* the tables all have one number */
    cache_set_capacity(cache, 1 << 20);
    err = table_open_file(simdisk_env(disk), "/", 12, uuid, cache, &t);
    assert(err == 0 || err == -EIO);
    if (err == 0) {
        read_all(t, &in);
        table_unref(t);
    }
    buf_release(&file);
    return 0;
}
