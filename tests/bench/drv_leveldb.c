/* drv_leveldb.c - LevelDB.  No range delete (emulated), no blob files; snappy is its codec. */
#include <leveldb/c.h>

#include "tests/bench/kv_driver.h"

struct kv_store {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write[2]; /* [sync] */
};

static int failed(char *error)
{
    if (!error)
        return KV_OK;
    fprintf(stderr, "leveldb: %s\n", error);
    leveldb_free(error);
    return KV_ERROR;
}

static struct kv_store *open_store(const struct kv_config *c)
{
    struct kv_store *s = calloc(1, sizeof *s);
    s->cache = leveldb_cache_create_lru(c->cache_bytes);
    s->filter = leveldb_filterpolicy_create_bloom((int)c->filter_bits);
    s->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(s->options, 1);
    leveldb_options_set_write_buffer_size(s->options, c->memtable_bytes / 2);
    leveldb_options_set_max_file_size(s->options, c->memtable_bytes / 2);
    leveldb_options_set_block_size(s->options, c->block_bytes);
    leveldb_options_set_cache(s->options, s->cache);
    leveldb_options_set_filter_policy(s->options, s->filter);
    leveldb_options_set_compression(
        s->options, strcmp(c->codec, "none") ? leveldb_snappy_compression : leveldb_no_compression);
    s->read = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(s->read, 1);
    for (int sync = 0; sync < 2; sync++) {
        s->write[sync] = leveldb_writeoptions_create();
        leveldb_writeoptions_set_sync(s->write[sync], (uint8_t)sync);
    }
    char *error = NULL;
    s->db = leveldb_open(s->options, c->dir, &error);
    return failed(error) == KV_OK ? s : NULL;
}

static void close_store(struct kv_store *s)
{
    leveldb_close(s->db);
    leveldb_writeoptions_destroy(s->write[0]);
    leveldb_writeoptions_destroy(s->write[1]);
    leveldb_readoptions_destroy(s->read);
    leveldb_options_destroy(s->options);
    leveldb_filterpolicy_destroy(s->filter);
    leveldb_cache_destroy(s->cache);
    free(s);
}

static leveldb_readoptions_t *read_at(struct kv_snapshot *at)
{
    leveldb_readoptions_t *r = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(r, 1);
    leveldb_readoptions_set_snapshot(r, (const leveldb_snapshot_t *)at);
    return r;
}

static int scan(struct kv_store *s, struct kv_snapshot *at, struct kv_slice from,
                struct kv_slice to, kv_visit_fn *visit, void *arg)
{
    leveldb_readoptions_t *r = read_at(at);
    leveldb_iterator_t *it = leveldb_create_iterator(s->db, r);
    leveldb_iter_seek(it, from.data, from.len);
    for (; leveldb_iter_valid(it); leveldb_iter_next(it)) {
        struct kv_slice key, value;
        key.data = leveldb_iter_key(it, &key.len);
        if (to.len && kv_compare(key, to) >= 0)
            break;
        value.data = leveldb_iter_value(it, &value.len);
        if (!visit(arg, key, value))
            break;
    }
    char *error = NULL;
    leveldb_iter_get_error(it, &error);
    leveldb_iter_destroy(it);
    leveldb_readoptions_destroy(r);
    return failed(error);
}

static bool add_delete(void *batch, struct kv_slice key, struct kv_slice value)
{
    (void)value;
    leveldb_writebatch_delete(batch, key.data, key.len);
    return true;
}

static int write_batch(struct kv_store *s, const struct kv_op *ops, size_t count, bool sync)
{
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    int status = KV_OK;
    for (const struct kv_op *op = ops; op < ops + count && status == KV_OK; op++) {
        struct kv_slice k = op->key, v = op->value;
        if (op->kind == KV_PUT)
            leveldb_writebatch_put(batch, k.data, k.len, v.data, v.len);
        else if (op->kind == KV_DELETE)
            leveldb_writebatch_delete(batch, k.data, k.len);
        else
            status = scan(s, NULL, k, v, add_delete, batch);
    }
    char *error = NULL;
    if (status == KV_OK)
        leveldb_write(s->db, s->write[sync], batch, &error);
    leveldb_writebatch_destroy(batch);
    return error ? failed(error) : status;
}

static int get(struct kv_store *s, struct kv_snapshot *at, struct kv_slice key,
               struct kv_buf *value)
{
    leveldb_readoptions_t *r = at ? read_at(at) : s->read;
    char *error = NULL;
    size_t len;
    char *found = leveldb_get(s->db, r, key.data, key.len, &len, &error);
    int status = failed(error);
    if (found) {
        kv_buf_set(value, found, len);
        leveldb_free(found);
    } else if (status == KV_OK) {
        status = KV_NOT_FOUND;
    }
    if (at)
        leveldb_readoptions_destroy(r);
    return status;
}

static struct kv_snapshot *snapshot(struct kv_store *s)
{
    return (struct kv_snapshot *)leveldb_create_snapshot(s->db);
}

static void release(struct kv_store *s, struct kv_snapshot *at)
{
    leveldb_release_snapshot(s->db, (const leveldb_snapshot_t *)at);
}

static int sync_store(struct kv_store *s)
{
    return write_batch(s, NULL, 0, true); /* an empty batch still syncs the log */
}

const struct kv_driver kv_driver_leveldb = {
    .name = "leveldb",
    .open = open_store,
    .close = close_store,
    .write_batch = write_batch,
    .get = get,
    .scan = scan,
    .snapshot = snapshot,
    .release = release,
    .sync = sync_store,
};
