/*
 * drv_wiredtiger.c - WiredTiger's B-tree tables with the log on.
 * An unsynced commit stays in the log's memory buffer for a while, so it may not survive the end
 * of the process.  Codecs are loadable extensions; snappy stands for all of them.
 */
#include <wiredtiger.h>

#include "tests/bench/kv_driver.h"

#define TABLE "table:kvbench"

struct kv_store {
    WT_CONNECTION *connection;
};

static int failed(int rc)
{
    if (!rc)
        return KV_OK;
    if (rc == WT_NOTFOUND)
        return KV_NOT_FOUND;
    fprintf(stderr, "wiredtiger: %s\n", wiredtiger_strerror(rc));
    return KV_ERROR;
}

static WT_ITEM to_item(struct kv_slice s)
{
    return (WT_ITEM){.data = s.data, .size = s.len};
}

static WT_CURSOR *open_cursor(WT_CONNECTION *c, const char *begin)
{
    WT_SESSION *session;
    WT_CURSOR *cursor;
    int rc = c->open_session(c, NULL, "isolation=snapshot", &session);
    if (!rc && begin)
        rc = session->begin_transaction(session, begin);
    if (!rc)
        rc = session->open_cursor(session, TABLE, NULL, NULL, &cursor);
    return failed(rc) == KV_OK ? cursor : NULL;
}

/* The thread's own cursor, in a session of its own; a snapshot is such a pair too. */
static WT_CURSOR *cursor_of(struct kv_store *s, struct kv_snapshot *at)
{
    static _Thread_local WT_CURSOR *cursor;
    if (at)
        return (WT_CURSOR *)at;
    if (!cursor)
        cursor = open_cursor(s->connection, NULL);
    if (!cursor)
        abort();
    return cursor;
}

static struct kv_store *open_store(const struct kv_config *c)
{
    struct kv_store *s = calloc(1, sizeof *s);
    bool packed = strcmp(c->codec, "none");
    uint64_t log_bytes = 2 * c->memtable_bytes, most = 2ull << 30;
    char text[512];
    snprintf(text, sizeof text,
             "create,cache_size=%llu,checkpoint=(log_size=%llu),eviction=(threads_max=%d),"
             "log=(enabled=true,file_max=16MB,prealloc=false),"
             "transaction_sync=(enabled=false,method=fsync)%s",
             (unsigned long long)(c->cache_bytes + c->memtable_bytes),
             (unsigned long long)(log_bytes < most ? log_bytes : most), (int)c->jobs,
             packed ? ",extensions=[libwiredtiger_snappy.so]" : "");
    int rc = wiredtiger_open(c->dir, NULL, text, &s->connection);
    WT_SESSION *session;
    if (!rc)
        rc = s->connection->open_session(s->connection, NULL, NULL, &session);
    snprintf(text, sizeof text, "key_format=u,value_format=u,leaf_page_max=%d%s",
             (int)c->block_bytes, packed ? ",block_compressor=snappy" : "");
    if (!rc)
        rc = session->create(session, TABLE, text);
    if (!rc)
        rc = session->close(session, NULL);
    return failed(rc) == KV_OK ? s : NULL;
}

static void close_store(struct kv_store *s)
{
    failed(s->connection->close(s->connection, NULL));
    free(s);
}

/* Truncates from the first key at or after op->key to the last one before op->value. */
static int delete_range(WT_SESSION *session, const struct kv_op *op)
{
    WT_CURSOR *ends[2] = {NULL, NULL};
    WT_ITEM keys[2] = {to_item(op->key), to_item(op->value)};
    int rc = 0, order;
    for (int i = 0; i < 2 && !rc; i++) {
        rc = session->open_cursor(session, TABLE, NULL, NULL, &ends[i]);
        if (rc)
            break;
        ends[i]->set_key(ends[i], &keys[i]);
        rc = ends[i]->search_near(ends[i], &order);
        if (!rc && i == 0 && order < 0)
            rc = ends[i]->next(ends[i]);
        else if (!rc && i == 1 && order >= 0)
            rc = ends[i]->prev(ends[i]);
    }
    if (!rc)
        rc = ends[0]->compare(ends[0], ends[1], &order);
    if (!rc && order <= 0)
        rc = session->truncate(session, NULL, ends[0], ends[1], NULL);
    for (int i = 0; i < 2; i++)
        if (ends[i])
            ends[i]->close(ends[i]);
    return rc;
}

static int apply(WT_CURSOR *cursor, const struct kv_op *op)
{
    WT_ITEM key = to_item(op->key), value = to_item(op->value);
    cursor->set_key(cursor, &key);
    cursor->set_value(cursor, &value);
    if (op->kind == KV_PUT)
        return cursor->insert(cursor);
    int rc = op->kind == KV_DELETE ? cursor->remove(cursor) : delete_range(cursor->session, op);
    return rc == WT_NOTFOUND ? 0 : rc;
}

static int write_batch(struct kv_store *s, const struct kv_op *ops, size_t count, bool sync)
{
    WT_CURSOR *cursor = cursor_of(s, NULL);
    WT_SESSION *session = cursor->session;
    int rc;
    do {
        rc = session->begin_transaction(session, NULL);
        for (size_t i = 0; i < count && !rc; i++)
            rc = apply(cursor, &ops[i]);
        if (!rc)
            rc = session->commit_transaction(session, sync ? "sync=on" : NULL);
        else
            session->rollback_transaction(session, NULL);
    } while (rc == WT_ROLLBACK);
    return failed(rc);
}

static int get(struct kv_store *s, struct kv_snapshot *at, struct kv_slice key,
               struct kv_buf *value)
{
    WT_CURSOR *cursor = cursor_of(s, at);
    WT_ITEM item = to_item(key);
    cursor->set_key(cursor, &item);
    int rc = cursor->search(cursor);
    if (!rc)
        rc = cursor->get_value(cursor, &item);
    if (!rc)
        kv_buf_set(value, item.data, item.size);
    cursor->reset(cursor);
    return failed(rc);
}

static int scan(struct kv_store *s, struct kv_snapshot *at, struct kv_slice from,
                struct kv_slice to, kv_visit_fn *visit, void *arg)
{
    WT_CURSOR *cursor = cursor_of(s, at);
    WT_ITEM key = to_item(from), value;
    int order;
    cursor->set_key(cursor, &key);
    int rc = cursor->search_near(cursor, &order);
    if (!rc && order < 0)
        rc = cursor->next(cursor);
    for (; !rc; rc = cursor->next(cursor)) {
        rc = cursor->get_key(cursor, &key);
        if (!rc)
            rc = cursor->get_value(cursor, &value);
        struct kv_slice k = {key.data, key.size}, v = {value.data, value.size};
        if (rc || (to.len && kv_compare(k, to) >= 0) || !visit(arg, k, v))
            break;
    }
    cursor->reset(cursor);
    return rc == WT_NOTFOUND ? KV_OK : failed(rc);
}

static struct kv_snapshot *snapshot(struct kv_store *s)
{
    return (struct kv_snapshot *)open_cursor(s->connection, "isolation=snapshot");
}

static void release(struct kv_store *s, struct kv_snapshot *at)
{
    (void)s;
    WT_SESSION *session = ((WT_CURSOR *)at)->session;
    session->close(session, NULL);
}

static int flush(struct kv_store *s)
{
    WT_SESSION *session = cursor_of(s, NULL)->session;
    return failed(session->checkpoint(session, NULL));
}

static int sync_store(struct kv_store *s)
{
    WT_SESSION *session = cursor_of(s, NULL)->session;
    return failed(session->log_flush(session, "sync=on"));
}

const struct kv_driver kv_driver_wiredtiger = {
    .name = "wiredtiger",
    .open = open_store,
    .close = close_store,
    .write_batch = write_batch,
    .get = get,
    .scan = scan,
    .snapshot = snapshot,
    .release = release,
    .flush = flush,
    .sync = sync_store,
};
