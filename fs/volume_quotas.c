/* volume_quotas: the table of folders with a limit; see volume.h.
 *
 * Invariant: an entry stays until the volume is closed, so a pointer to one needs no lock. */
#include "fs/volume.h"

/* ---- the table ---- */

void quota_init(struct fs *fs)
{
    pthread_mutex_init(&fs->quotas.change, NULL);
    pthread_rwlock_init(&fs->quotas.lock, NULL);
}

void quota_release(struct fs *fs)
{
    for (size_t i = 0; i < fs->quotas.count; i++)
        free(fs->quotas.list[i]);
    free(fs->quotas.list);
    pthread_rwlock_destroy(&fs->quotas.lock);
    pthread_mutex_destroy(&fs->quotas.change);
}

/* Where that folder stands, or the first behind it. [lock] */
static size_t place_of(const struct quota_table *t, uint64_t folder)
{
    size_t lo = 0, hi = t->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->list[mid]->folder < folder)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct quota *quota_find(struct fs *fs, uint64_t folder)
{
    struct quota_table *t = &fs->quotas;
    pthread_rwlock_rdlock(&t->lock);
    size_t at = place_of(t, folder);
    struct quota *q = at < t->count && t->list[at]->folder == folder ? t->list[at] : NULL;
    pthread_rwlock_unlock(&t->lock);
    return q && !__atomic_load_n(&q->gone, __ATOMIC_ACQUIRE) ? q : NULL;
}

struct quota *quota_add(struct fs *fs, uint64_t folder, const struct quota_record *record)
{
    struct quota_table *t = &fs->quotas;
    struct quota *q = mem_zalloc(sizeof *q);
    *q = (struct quota){.folder = folder,
                        .limit = record->limit_bytes,
                        .taking = record->taking,
                        .from = record->from};
    pthread_rwlock_wrlock(&t->lock);
    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 16;
        t->list = mem_realloc(t->list, t->cap * sizeof(struct quota *));
    }
    size_t at = place_of(t, folder);
    if (at < t->count && t->list[at]->folder == folder) { /* one that is gone */
        assert(t->list[at]->gone);
        free(q);
        q = t->list[at];
        q->limit = record->limit_bytes;
        q->taking = record->taking;
        q->from = record->from;
        q->bytes = q->inodes = 0;
        __atomic_store_n(&q->gone, false, __ATOMIC_RELEASE);
        pthread_rwlock_unlock(&t->lock);
        return q;
    }
    memmove(t->list + at + 1, t->list + at, (t->count - at) * sizeof(struct quota *));
    t->list[at] = q;
    t->count++;
    pthread_rwlock_unlock(&t->lock);
    return q;
}

void quota_forget_all(struct fs *fs)
{
    struct quota_table *t = &fs->quotas;
    pthread_rwlock_wrlock(&t->lock);
    for (size_t i = 0; i < t->count; i++)
        __atomic_store_n(&t->list[i]->gone, true, __ATOMIC_RELEASE);
    pthread_rwlock_unlock(&t->lock);
}

/* ---- loading ---- */

/* One that does not decode is told, and is no limit any more: that keeps nobody from the data. */
static void load_one(struct fs *fs, uint8_t kind, uint64_t folder, struct slice value)
{
    struct quota_record record;
    struct quota_used used;
    struct quota *q = kind == SUPER_QUOTA ? NULL : quota_find(fs, folder);
    if (kind == SUPER_QUOTA && folder != 0 && quota_decode(value, &record) == 0) {
        quota_add(fs, folder, &record);
    } else if (kind == SUPER_QUOTA_USED && quota_used_decode(value, &used) == 0) {
        if (q) { /* otherwise quota_sweep() takes it away */
            q->bytes = used.bytes;
            q->inodes = used.inodes;
        }
    } else {
        corrupt("the superblock", UINT64_MAX, "the limit of inode %llu does not decode",
                (unsigned long long)folder);
    }
}

int quota_load(struct fs *fs, const struct store_read *read)
{
    struct key lower = key_super(SUPER_QUOTA), upper = key_super(SUPER_QUOTA_USED + 1);
    struct store_iter *it = store_iter_new(read, key_slice(&lower), key_slice(&upper));
    int err;
    for (err = store_iter_first(it); err == 0; err = store_iter_next(it)) {
        uint64_t zero, folder;
        uint8_t kind;
        struct slice rest, value;
        err = store_iter_value(it, &value);
        if (err < 0)
            break;
        if (key_split(store_iter_key(it), &zero, &kind, &rest) && take_be64(&rest, &folder) &&
            rest.len == 0)
            load_one(fs, kind, folder, value);
    }
    store_iter_free(it);
    return err < 0 ? err : 0;
}
