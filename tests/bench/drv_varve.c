/* drv_varve: our own store behind kvbench's driver interface. */
#include <errno.h>

#include "store/store.h"
#include "tests/bench/kv_driver.h"

struct kv_store {
    struct store *store;
};

/* KV_VARVE_ENCRYPT=1: the store is encrypted; what an opening costs is not what is measured. */
enum { SECRET_LOG_N = 10 };

static int get_secret(void *ctx, uint8_t out[STORE_SECRET_MAX], size_t *len)
{
    static const char passphrase[] = "benchmark";
    (void)ctx;
    *len = sizeof passphrase - 1;
    memcpy(out, passphrase, *len);
    return 0;
}
static const struct store_secret secret = {.get = get_secret};

struct kv_snapshot {
    struct store_read read;
};

static int status_of(int err)
{
    if (err < 0)
        fprintf(stderr, "varve: %s\n", strerror(-err));
    return err < 0 ? KV_ERROR : err == 1 ? KV_NOT_FOUND : KV_OK;
}

static struct slice in(struct kv_slice s)
{
    return slice_of(s.data, s.len);
}

static struct kv_slice out(struct slice s)
{
    return (struct kv_slice){s.data, s.len};
}

static void fill_options(const struct kv_config *c, struct store_options *o)
{
    store_options_init(o);
    o->memtables_max = 4;
    o->memtable_bytes = c->memtable_bytes / o->memtables_max;
    o->cache_bytes = c->cache_bytes;
    o->block_bytes = (uint32_t)c->block_bytes;
    o->table_bytes = c->memtable_bytes / 2;
    o->blob_bytes = 64 << 20;
    o->separate_min = c->blob_min ? (uint32_t)c->blob_min : UINT32_MAX;
    if (!c->blob_min)
        o->direct_min = UINT32_MAX;
    o->zstd_level = strcmp(c->codec, "none") ? (int)c->level : 0;
    o->filter_one_in = c->filter_bits ? 100 : 0;
    o->workers = (uint32_t)c->jobs;
    o->commit_ns = 0; /* none of the peers syncs unless it is asked to */
    const char *encrypt = getenv("KV_VARVE_ENCRYPT");
    if (encrypt && strcmp(encrypt, "1") == 0) {
        o->secret = &secret;
        o->scrypt_log_n = SECRET_LOG_N;
    }
}

static struct kv_store *open_store(const struct kv_config *config)
{
    struct store_options o;
    struct kv_store *s = calloc(1, sizeof *s);
    fill_options(config, &o);
    int err = store_create(config->dir, &o);
    if (err == 0 || err == -ENOTEMPTY)
        err = store_open(config->dir, &o, &s->store);
    if (status_of(err) == KV_OK)
        return s;
    free(s);
    return NULL;
}

static void close_store(struct kv_store *s)
{
    status_of(store_close(s->store));
    free(s);
}

/* A thread keeps its batch and the memory of what it read last. */
static _Thread_local struct store_batch *own_batch;
static _Thread_local struct store *batch_of;
static _Thread_local struct store_value own_value;

static struct store_batch *clear_batch(struct kv_store *s)
{
    if (own_batch && batch_of == s->store) {
        store_batch_clear(own_batch);
    } else {
        store_batch_free(own_batch);
        own_batch = store_batch_new(s->store);
        batch_of = s->store;
    }
    return own_batch;
}

static int write_batch(struct kv_store *s, const struct kv_op *ops, size_t count, bool sync)
{
    struct store_batch *b = clear_batch(s);
    for (const struct kv_op *op = ops; op < ops + count; op++) {
        if (op->kind == KV_PUT)
            store_batch_put(b, in(op->key), in(op->value));
        else if (op->kind == KV_DELETE)
            store_batch_delete(b, in(op->key));
        else
            store_batch_delete_range(b, in(op->key), in(op->value));
    }
    return status_of(store_write(s->store, b, sync ? STORE_SYNC : 0));
}

static struct kv_snapshot *snapshot(struct kv_store *s)
{
    struct kv_snapshot *at = malloc(sizeof *at);
    store_read_begin(s->store, &at->read);
    return at;
}

static void release(struct kv_store *s, struct kv_snapshot *at)
{
    (void)s;
    store_read_end(&at->read);
    free(at);
}

static int get(struct kv_store *s, struct kv_snapshot *at, struct kv_slice key,
               struct kv_buf *value)
{
    struct store_read now;
    if (!at)
        store_read_begin(s->store, &now);
    int err = store_get(at ? &at->read : &now, in(key), &own_value);
    if (err == 0)
        kv_buf_set(value, own_value.data.data, own_value.data.len);
    /* What it points to dies with the read. */
    store_value_release(&own_value);
    if (!at)
        store_read_end(&now);
    return status_of(err);
}

static int visit_all(struct store_iter *it, kv_visit_fn *visit, void *arg)
{
    int err = store_iter_first(it);
    for (; err == 0; err = store_iter_next(it)) {
        struct slice value;
        err = store_iter_value(it, &value);
        if (err < 0 || !visit(arg, out(store_iter_key(it)), out(value)))
            break;
    }
    return err == 1 ? 0 : err;
}

static int scan(struct kv_store *s, struct kv_snapshot *at, struct kv_slice from,
                struct kv_slice to, kv_visit_fn *visit, void *arg)
{
    struct store_read now;
    if (!at)
        store_read_begin(s->store, &now);
    struct store_iter *it = store_iter_new(at ? &at->read : &now, in(from), in(to));
    int err = visit_all(it, visit, arg);
    store_iter_free(it);
    if (!at)
        store_read_end(&now);
    return status_of(err);
}

static int sync_store(struct kv_store *s)
{
    return status_of(store_sync(s->store));
}

static int flush(struct kv_store *s)
{
    return status_of(store_flush(s->store));
}

static int stats(struct kv_store *s, struct kv_stats *out)
{
    struct store_insight all;
    store_get_insight(s->store, &all);
    out->filter_negatives = all.filter_negatives;
    out->filter_false_positives = all.filter_false_positives;
    return KV_OK;
}

const struct kv_driver kv_driver_varve = {
    .name = "varve",
    .open = open_store,
    .close = close_store,
    .write_batch = write_batch,
    .get = get,
    .scan = scan,
    .snapshot = snapshot,
    .release = release,
    .sync = sync_store,
    .flush = flush,
    .stats = stats,
};
