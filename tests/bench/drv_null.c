/* drv_null.c - keeps nothing: shows the harness's own cost, and the shape of a driver. */
#include "tests/bench/kv_driver.h"

static struct kv_store *open_store(const struct kv_config *config)
{
    return (struct kv_store *)config;
}

static void close_store(struct kv_store *s)
{
    (void)s;
}

static int write_batch(struct kv_store *s, const struct kv_op *ops, size_t count, bool sync)
{
    (void)s, (void)ops, (void)count, (void)sync;
    return KV_OK;
}

static int get(struct kv_store *s, struct kv_snapshot *at, struct kv_slice key,
               struct kv_buf *value)
{
    (void)s, (void)at, (void)key, (void)value;
    return KV_NOT_FOUND;
}

static int scan(struct kv_store *s, struct kv_snapshot *at, struct kv_slice from,
                struct kv_slice to, kv_visit_fn *visit, void *arg)
{
    (void)s, (void)at, (void)from, (void)to, (void)visit, (void)arg;
    return KV_OK;
}

static struct kv_snapshot *snapshot(struct kv_store *s)
{
    return (struct kv_snapshot *)s;
}

static void release(struct kv_store *s, struct kv_snapshot *at)
{
    (void)s, (void)at;
}

static int sync_store(struct kv_store *s)
{
    (void)s;
    return KV_OK;
}

const struct kv_driver kv_driver_null = {
    .name = "null",
    .open = open_store,
    .close = close_store,
    .write_batch = write_batch,
    .get = get,
    .scan = scan,
    .snapshot = snapshot,
    .release = release,
    .sync = sync_store,
};
