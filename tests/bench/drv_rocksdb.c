/* drv_rocksdb.c - RocksDB through its C interface, integrated blob files included. */
#include <rocksdb/c.h>

#include "tests/bench/kv_driver.h"

struct kv_store {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write[2]; /* [sync] */
};

static int failed(char *error)
{
    if (!error)
        return KV_OK;
    fprintf(stderr, "rocksdb: %s\n", error);
    rocksdb_free(error);
    return KV_ERROR;
}

static rocksdb_options_t *make_options(const struct kv_config *c, rocksdb_cache_t *cache)
{
    int codec = !strcmp(c->codec, "zstd")  ? rocksdb_zstd_compression
                : !strcmp(c->codec, "lz4") ? rocksdb_lz4_compression
                                           : rocksdb_no_compression;
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(t, cache);
    rocksdb_block_based_options_set_block_size(t, c->block_bytes);
    rocksdb_block_based_options_set_format_version(t, 5);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(t, 1);
    rocksdb_block_based_options_set_filter_policy(
        t, c->ribbon ? rocksdb_filterpolicy_create_ribbon((double)c->filter_bits)
                     : rocksdb_filterpolicy_create_bloom_full((double)c->filter_bits));
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_block_based_table_factory(o, t);
    rocksdb_block_based_options_destroy(t);
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_write_buffer_size(o, c->memtable_bytes / 2);
    rocksdb_options_set_max_write_buffer_number(o, 2);
    rocksdb_options_set_max_bytes_for_level_base(o, 2 * c->memtable_bytes);
    rocksdb_options_set_target_file_size_base(o, c->memtable_bytes / 2);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
    rocksdb_options_set_max_background_jobs(o, (int)c->jobs);
    rocksdb_options_set_compression(o, codec);
    rocksdb_options_set_compression_options(o, -14, (int)c->level, 0, 0);
    if (c->want_stats)
        rocksdb_options_enable_statistics(o);
    if (c->blob_min) { /* blob files know no level: zstd uses its default, 3 */
        rocksdb_options_set_enable_blob_files(o, 1);
        rocksdb_options_set_min_blob_size(o, c->blob_min);
        rocksdb_options_set_blob_file_size(o, 64 << 20);
        rocksdb_options_set_blob_compression_type(o, codec);
        rocksdb_options_set_blob_cache(o, cache);
        rocksdb_options_set_enable_blob_gc(o, 1);
        rocksdb_options_set_blob_gc_age_cutoff(o, 0.25);
        rocksdb_options_set_blob_gc_force_threshold(o, 0.5);
        rocksdb_options_set_blob_compaction_readahead_size(o, 2 << 20);
    }
    return o;
}

static struct kv_store *open_store(const struct kv_config *config)
{
    struct kv_store *s = calloc(1, sizeof *s);
    s->cache = rocksdb_cache_create_lru(config->cache_bytes);
    s->options = make_options(config, s->cache);
    s->read = rocksdb_readoptions_create();
    for (int sync = 0; sync < 2; sync++) {
        s->write[sync] = rocksdb_writeoptions_create();
        rocksdb_writeoptions_set_sync(s->write[sync], (unsigned char)sync);
    }
    char *error = NULL;
    s->db = rocksdb_open(s->options, config->dir, &error);
    return failed(error) == KV_OK ? s : NULL;
}

static void close_store(struct kv_store *s)
{
    rocksdb_close(s->db);
    rocksdb_writeoptions_destroy(s->write[0]);
    rocksdb_writeoptions_destroy(s->write[1]);
    rocksdb_readoptions_destroy(s->read);
    rocksdb_options_destroy(s->options);
    rocksdb_cache_destroy(s->cache);
    free(s);
}

static int put(struct kv_store *s, struct kv_slice key, struct kv_slice value, bool sync)
{
    char *error = NULL;
    rocksdb_put(s->db, s->write[sync], key.data, key.len, value.data, value.len, &error);
    return failed(error);
}

static int write_batch(struct kv_store *s, const struct kv_op *ops, size_t count, bool sync)
{
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    for (const struct kv_op *op = ops; op < ops + count; op++) {
        struct kv_slice k = op->key, v = op->value;
        if (op->kind == KV_PUT)
            rocksdb_writebatch_put(batch, k.data, k.len, v.data, v.len);
        else if (op->kind == KV_DELETE)
            rocksdb_writebatch_delete(batch, k.data, k.len);
        else
            rocksdb_writebatch_delete_range(batch, k.data, k.len, v.data, v.len);
    }
    char *error = NULL;
    rocksdb_write(s->db, s->write[sync], batch, &error);
    rocksdb_writebatch_destroy(batch);
    return failed(error);
}

static rocksdb_readoptions_t *read_at(struct kv_snapshot *at)
{
    rocksdb_readoptions_t *r = rocksdb_readoptions_create();
    if (at)
        rocksdb_readoptions_set_snapshot(r, (const rocksdb_snapshot_t *)at);
    return r;
}

static int get(struct kv_store *s, struct kv_snapshot *at, struct kv_slice key,
               struct kv_buf *value)
{
    rocksdb_readoptions_t *r = at ? read_at(at) : s->read;
    char *error = NULL;
    rocksdb_pinnableslice_t *found = rocksdb_get_pinned(s->db, r, key.data, key.len, &error);
    int status = failed(error);
    if (found) {
        size_t len;
        const char *data = rocksdb_pinnableslice_value(found, &len);
        kv_buf_set(value, data, len);
        rocksdb_pinnableslice_destroy(found);
    } else if (status == KV_OK) {
        status = KV_NOT_FOUND;
    }
    if (at)
        rocksdb_readoptions_destroy(r);
    return status;
}

static int scan(struct kv_store *s, struct kv_snapshot *at, struct kv_slice from,
                struct kv_slice to, kv_visit_fn *visit, void *arg)
{
    rocksdb_readoptions_t *r = read_at(at);
    if (to.len)
        rocksdb_readoptions_set_iterate_upper_bound(r, to.data, to.len);
    rocksdb_iterator_t *it = rocksdb_create_iterator(s->db, r);
    rocksdb_iter_seek(it, from.data, from.len);
    for (; rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        struct kv_slice key, value;
        key.data = rocksdb_iter_key(it, &key.len);
        value.data = rocksdb_iter_value(it, &value.len);
        if (!visit(arg, key, value))
            break;
    }
    char *error = NULL;
    rocksdb_iter_get_error(it, &error);
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(r);
    return failed(error);
}

static struct kv_snapshot *snapshot(struct kv_store *s)
{
    return (struct kv_snapshot *)rocksdb_create_snapshot(s->db);
}

static void release(struct kv_store *s, struct kv_snapshot *at)
{
    rocksdb_release_snapshot(s->db, (const rocksdb_snapshot_t *)at);
}

static int flush(struct kv_store *s)
{
    rocksdb_flushoptions_t *f = rocksdb_flushoptions_create();
    char *error = NULL;
    rocksdb_flush(s->db, f, &error);
    rocksdb_flushoptions_destroy(f);
    return failed(error);
}

static int sync_store(struct kv_store *s)
{
    char *error = NULL;
    rocksdb_flush_wal(s->db, 1, &error);
    return failed(error);
}

static uint64_t ticker(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static int stats(struct kv_store *s, struct kv_stats *out)
{
    char *text = rocksdb_options_statistics_get_string(s->options);
    if (!text)
        return KV_UNSUPPORTED;
    out->filter_negatives = ticker(text, "rocksdb.bloom.filter.useful COUNT : ");
    out->filter_false_positives = ticker(text, "rocksdb.bloom.filter.full.positive COUNT : ") -
                                  ticker(text, "rocksdb.bloom.filter.full.true.positive COUNT : ");
    rocksdb_free(text);
    return KV_OK;
}

const struct kv_driver kv_driver_rocksdb = {
    .name = "rocksdb",
    .open = open_store,
    .close = close_store,
    .put = put,
    .write_batch = write_batch,
    .get = get,
    .scan = scan,
    .snapshot = snapshot,
    .release = release,
    .flush = flush,
    .sync = sync_store,
    .stats = stats,
};
