/* quota: see quota.h.
 *
 * Invariants:
 *   1. What the store has as counted towards a limit is the sum over the records of inodes that
 *      name it, after every batch.
 *
 *   2. The sum in memory is at least that, and more only by what operations under way have asked
 *      for; none of these takes it over the limit. */
#include "fs/quota.h"

int quota_sweep(struct fs *fs)
{
    struct key lower = key_super(SUPER_QUOTA_USED), upper = key_super(SUPER_QUOTA_USED + 1);
    struct store_batch *batch = batch_take(fs);
    struct store_read read;
    store_read_begin(fs->store, &read);
    struct store_iter *it = store_iter_new(&read, key_slice(&lower), key_slice(&upper));
    int err;
    for (err = store_iter_first(it); err == 0; err = store_iter_next(it)) {
        uint64_t zero, folder;
        uint8_t kind;
        struct slice rest;
        if (key_split(store_iter_key(it), &zero, &kind, &rest) && take_be64(&rest, &folder) &&
            rest.len == 0 && !quota_find(fs, folder))
            store_batch_delete(batch, store_iter_key(it));
    }
    store_iter_free(it);
    store_read_end(&read);
    if (err >= 0)
        err = store_batch_count(batch) ? store_write(fs->store, batch, STORE_RESERVE) : 0;
    batch_give(fs, batch);
    return err;
}

/* ---- records ---- */

void quota_put(struct store_batch *batch, uint64_t folder, const struct quota_record *record)
{
    uint8_t bytes[32];
    struct buf b = {.data = bytes, .cap = sizeof bytes};
    struct key k = key_quota(folder);
    quota_encode(record, &b);
    assert(b.data == bytes && folder != 0);
    store_batch_put(batch, key_slice(&k), buf_slice(&b));
}

/* What is still in use below it, files that are open and have no name, is counted no more from here
 * on; a change that is on its way just now leaves a sum behind, which the next mount takes away. */
void quota_forget(struct quota_charges *all, struct store_batch *batch, uint64_t folder)
{
    struct key limit = key_quota(folder), used = key_quota_used(folder);
    assert(all->gone == 0);
    all->gone = folder;
    store_batch_delete(batch, key_slice(&limit));
    store_batch_delete(batch, key_slice(&used));
}

/* ---- operations ---- */

void quota_charge(struct quota_charges *all, uint64_t folder, int64_t bytes, int64_t inodes)
{
    uint32_t i = 0;
    if (folder == 0 || (bytes == 0 && inodes == 0))
        return;
    while (i < all->count && all->list[i].folder != folder)
        i++;
    if (i == all->count) {
        assert(i < QUOTA_CHARGES_MAX);
        all->list[all->count++] = (struct quota_charge){.folder = folder};
    }
    all->list[i].bytes += bytes;
    all->list[i].inodes += inodes;
}

static void put_change(struct store_batch *batch, const struct quota_charge *c)
{
    struct quota_used delta = {.inodes = c->inodes, .bytes = c->bytes};
    struct key k = key_quota_used(c->folder);
    uint8_t bytes[16];
    struct buf b = {.data = bytes, .cap = sizeof bytes};
    quota_used_encode(&delta, &b);
    assert(b.data == bytes && b.len == sizeof bytes);
    store_batch_merge(batch, key_slice(&k), buf_slice(&b));
}

/* Adds, unless that would be too much. */
static bool reserve(struct quota *q, int64_t bytes, bool over_limits)
{
    int64_t used = __atomic_load_n(&q->bytes, __ATOMIC_RELAXED);
    assert(bytes > 0);
    do {
        uint64_t limit = __atomic_load_n(&q->limit, __ATOMIC_RELAXED);
        if (!over_limits && limit && used + bytes > 0 && (uint64_t)(used + bytes) > limit)
            return false;
    } while (!__atomic_compare_exchange_n(&q->bytes, &used, used + bytes, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return true;
}

bool quota_fits(struct fs *fs, uint64_t folder, uint64_t bytes)
{
    struct quota *q = folder ? quota_find(fs, folder) : NULL;
    uint64_t limit = q ? __atomic_load_n(&q->limit, __ATOMIC_RELAXED) : 0;
    int64_t used = q ? __atomic_load_n(&q->bytes, __ATOMIC_RELAXED) : 0;
    if (limit == 0 || bytes == 0)
        return true;
    return bytes <= limit && (used <= 0 || (uint64_t)used <= limit - bytes);
}

int quota_admit(struct fs *fs, struct quota_charges *all, struct store_batch *batch)
{
    for (uint32_t i = 0; i < all->count; i++) {
        struct quota_charge *c = &all->list[i];
        struct quota *q = quota_find(fs, c->folder);
        if (!q || c->folder == all->gone) {
            c->bytes = c->inodes = 0; /* nobody counts any more */
            continue;
        }
        if (c->bytes > 0 && !reserve(q, c->bytes, all->over_limits)) {
            all->count = i;
            quota_settle(fs, all, false);
            return -EDQUOT;
        }
    }
    for (uint32_t i = 0; i < all->count; i++)
        if (all->list[i].bytes || all->list[i].inodes)
            put_change(batch, &all->list[i]);
    return 0;
}

void quota_settle(struct fs *fs, struct quota_charges *all, bool written)
{
    for (uint32_t i = 0; i < all->count; i++) {
        const struct quota_charge *c = &all->list[i];
        struct quota *q = quota_find(fs, c->folder);
        if (!q)
            continue;
        if (written == (c->bytes < 0))
            __atomic_fetch_add(&q->bytes, written ? c->bytes : -c->bytes, __ATOMIC_RELAXED);
        if (written)
            __atomic_fetch_add(&q->inodes, c->inodes, __ATOMIC_RELAXED);
        if (written && c->folder == all->gone)
            __atomic_store_n(&q->gone, true, __ATOMIC_RELEASE);
    }
    all->count = 0;
    all->gone = 0;
}
