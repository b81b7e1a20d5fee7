/*
 * drv_lmdb.c - LMDB: a copy-on-write B+tree in a memory map, one writer at a time.
 * No log, codec, filter or cache of its own: the page cache is its cache.  Range delete is
 * emulated.  A write without `sync` commits in a no-sync environment.
 */
#include <lmdb.h>
#include <pthread.h>

#include "tests/bench/kv_driver.h"

struct kv_store {
    MDB_env *env;
    MDB_dbi dbi;
    pthread_mutex_t lock; /* `nosync` and the commit that goes by it */
    bool nosync;
};

static int failed(int rc)
{
    if (!rc)
        return KV_OK;
    if (rc == MDB_NOTFOUND)
        return KV_NOT_FOUND;
    fprintf(stderr, "lmdb: %s\n", mdb_strerror(rc));
    return KV_ERROR;
}

static MDB_val to_val(struct kv_slice s)
{
    return (MDB_val){s.len, (void *)s.data};
}

static struct kv_slice to_slice(MDB_val v)
{
    return (struct kv_slice){v.mv_data, v.mv_size};
}

static struct kv_store *open_store(const struct kv_config *config)
{
    struct kv_store *s = calloc(1, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->nosync = true;
    MDB_txn *txn;
    int rc = mdb_env_create(&s->env);
    if (!rc)
        rc = mdb_env_set_mapsize(s->env, (size_t)64 << 30);
    if (!rc)
        rc = mdb_env_open(s->env, config->dir, MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD, 0644);
    if (!rc)
        rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (!rc)
        rc = mdb_dbi_open(txn, NULL, 0, &s->dbi);
    if (!rc)
        rc = mdb_txn_commit(txn);
    return failed(rc) == KV_OK ? s : NULL;
}

static void close_store(struct kv_store *s)
{
    mdb_env_close(s->env);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int delete_range(MDB_txn *txn, MDB_dbi dbi, MDB_val key, struct kv_slice to)
{
    MDB_cursor *cursor;
    MDB_val value;
    int rc = mdb_cursor_open(txn, dbi, &cursor);
    if (rc)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!rc && kv_compare(to_slice(key), to) < 0) {
        rc = mdb_cursor_del(cursor, 0);
        if (!rc) /* a delete leaves the cursor just before the next entry */
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc;
}

static int apply(MDB_txn *txn, MDB_dbi dbi, const struct kv_op *op)
{
    MDB_val key = to_val(op->key), value = to_val(op->value);
    if (op->kind == KV_PUT)
        return mdb_put(txn, dbi, &key, &value, 0);
    int rc = op->kind == KV_DELETE ? mdb_del(txn, dbi, &key, NULL)
                                   : delete_range(txn, dbi, key, op->value);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int write_batch(struct kv_store *s, const struct kv_op *ops, size_t count, bool sync)
{
    MDB_txn *txn;
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    if (s->nosync == sync)
        rc = mdb_env_set_flags(s->env, MDB_NOSYNC, s->nosync = !sync);
    if (!rc)
        rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (!rc) {
        for (size_t i = 0; i < count && !rc; i++)
            rc = apply(txn, s->dbi, &ops[i]);
        if (!rc)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    pthread_mutex_unlock(&s->lock);
    return failed(rc);
}

/* One read transaction per thread, renewed for each read outside a snapshot. */
static MDB_txn *read_begin(struct kv_store *s, struct kv_snapshot *at)
{
    static _Thread_local MDB_txn *txn;
    if (at)
        return (MDB_txn *)at;
    int rc = txn ? mdb_txn_renew(txn) : mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    return failed(rc) == KV_OK ? txn : NULL;
}

static int get(struct kv_store *s, struct kv_snapshot *at, struct kv_slice key,
               struct kv_buf *value)
{
    MDB_txn *txn = read_begin(s, at);
    if (!txn)
        return KV_ERROR;
    MDB_val k = to_val(key), v;
    int rc = mdb_get(txn, s->dbi, &k, &v);
    if (!rc)
        kv_buf_set(value, v.mv_data, v.mv_size);
    if (!at)
        mdb_txn_reset(txn);
    return failed(rc);
}

static int scan(struct kv_store *s, struct kv_snapshot *at, struct kv_slice from,
                struct kv_slice to, kv_visit_fn *visit, void *arg)
{
    MDB_txn *txn = read_begin(s, at);
    MDB_cursor *cursor;
    MDB_val key = to_val(from), value;
    if (!txn || mdb_cursor_open(txn, s->dbi, &cursor))
        return KV_ERROR;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!rc && (!to.len || kv_compare(to_slice(key), to) < 0) &&
           visit(arg, to_slice(key), to_slice(value)))
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    mdb_cursor_close(cursor);
    if (!at)
        mdb_txn_reset(txn);
    return rc == MDB_NOTFOUND ? KV_OK : failed(rc);
}

static struct kv_snapshot *snapshot(struct kv_store *s)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    return failed(rc) == KV_OK ? (struct kv_snapshot *)txn : NULL;
}

static void release(struct kv_store *s, struct kv_snapshot *at)
{
    (void)s;
    mdb_txn_abort((MDB_txn *)at);
}

static int sync_store(struct kv_store *s)
{
    return failed(mdb_env_sync(s->env, 1));
}

const struct kv_driver kv_driver_lmdb = {
    .name = "lmdb",
    .open = open_store,
    .close = close_store,
    .write_batch = write_batch,
    .get = get,
    .scan = scan,
    .snapshot = snapshot,
    .release = release,
    .sync = sync_store,
};
