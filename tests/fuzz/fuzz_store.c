/* A whole store, some frames of which are damaged and sealed again: it opens or says why not, reads
 * or says -EIO, is verified, compacts, and never crashes. */
#include <errno.h>
#include <stdio.h>

#include "store/store.h"
#include "tests/fuzz/fuzz_volume.h"

static struct fuzz_volume volume;

static int join(void *ctx, struct slice key, const struct slice *base, const struct slice *operands,
                size_t count, struct buf *out)
{
    (void)ctx;
    (void)key;
    if (base)
        buf_append(out, *base);
    for (size_t i = 0; i < count; i++)
        buf_append(out, operands[i]);
    return 0;
}

static const struct store_merge merge = {.full = join};

static void options(struct store_options *o, struct simdisk *disk)
{
    store_options_init(o);
    o->env = simdisk_env(disk);
    o->workers = 0;
    o->merge = &merge;
    o->zstd_level = 0; /* payloads as they are: damage goes where it is aimed */
    o->block_bytes = 256;
    o->table_bytes = 4096;
    o->memtable_bytes = 64 << 10;
    o->separate_min = 200;
    o->direct_min = 600;
    o->reserve_bytes = 0;
    o->cache_bytes = 1 << 20;
}

static void fill(struct store *s, int round)
{
    static char value[1000];
    struct store_batch *b = store_batch_new(s);
    memset(value, 'a' + round, sizeof value);
    for (int i = 0; i < 60; i++) {
        char key[16];
        int n = snprintf(key, sizeof key, "k%03d", i * 7 % 60);
        struct slice k = slice_of(key, (size_t)n), v = slice_of(value, (size_t)(i * i % 1000));
        if (i % 13 == round)
            store_batch_delete(b, k);
        else if (i % 5 == 0)
            store_batch_merge(b, k, slice_of(value, (size_t)i));
        else
            store_batch_put(b, k, v);
    }
    store_batch_delete_range(b, slice_str("k01"), slice_str("k01x"));
    int err = store_write(s, b, 0);
    assert(err == 0);
    store_batch_free(b);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct simdisk *disk = simdisk_new(1);
    struct store_options o;
    struct store *s;
    struct store_pin pin;
    fuzz_quiet();
    options(&o, disk);
    int err = store_create("/v", &o);
    assert(err == 0);
    err = store_open("/v", &o, &s);
    assert(err == 0);
    for (int round = 0; round < 4; round++) {
        fill(s, round);
        if (round == 1)
            err = store_pin_create(s, "pinned", 1, &pin);
        if (round == 0)
            err = store_compact(s, (struct slice){0}, (struct slice){0});
        else if (round < 3)
            err = store_flush(s);
        assert(err == 0);
    }
    /* As a process leaves it that is killed: the last round is in the log. */
    fuzz_volume_take(&volume, simdisk_clone(disk));
    store_close(s);
    simdisk_free(disk);
    return 0;
}

static int no_finding(void *ctx, const struct store_finding *f)
{
    assert(f->code >= 100 && f->text);
    (void)ctx;
    return 0;
}

static void read_all(struct store *s)
{
    struct store_read r;
    struct store_value v = {0};
    struct slice value;
    store_read_begin(s, &r);
    for (int i = 0; i < 60; i += 3) {
        char key[16];
        int n = snprintf(key, sizeof key, "k%03d", i);
        int err = store_get(&r, slice_of(key, (size_t)n), &v);
        assert(err == 0 || err == 1 || err == -EIO || err == -EPROTONOSUPPORT);
    }
    store_value_release(&v);
    struct store_iter *it = store_iter_new(&r, (struct slice){0}, (struct slice){0});
    int err;
    for (err = store_iter_first(it); err == 0; err = store_iter_next(it))
        store_iter_value(it, &value);
    assert(err == 1 || err < 0);
    for (err = store_iter_last(it); err == 0; err = store_iter_prev(it))
        assert(store_iter_key(it).len > 0);
    store_iter_seek(it, slice_str("k030"));
    store_iter_free(it);
    store_read_end(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct simdisk *disk = simdisk_clone(volume.disk);
    struct store_options o;
    struct store *s;
    uint8_t how = fuzz_u8(&in);
    options(&o, disk);
    for (int i = 0; i <= how % 3; i++)
        fuzz_volume_damage(&volume, &in, disk);
    o.read_only = true;
    if (store_open("/v", &o, &s) == 0) {
        store_check(s, no_finding, NULL, NULL);
        read_all(s);
        store_close(s);
    } else {
        store_check_closed("/v", &o, no_finding, NULL);
    }
    o.read_only = false;
    if (how & 64 && store_open("/v", &o, &s) == 0) {
        store_compact(s, (struct slice){0}, (struct slice){0});
        read_all(s);
        store_close(s);
    }
    simdisk_free(disk);
    return 0;
}
