/* volume_policies: the table of inode numbers whose contents are compressed in a way of their own;
 * see volume.h.
 *
 * Invariants:
 *   1. Intervals ascend and do not overlap; what the store has is the same, but for single inodes
 *      that were deleted.
 *
 *   2. Records change with `change` held, and memory follows before it is let go. */
#include "fs/volume.h"

void policy_init(struct fs *fs)
{
    pthread_mutex_init(&fs->policies.change, NULL);
    pthread_rwlock_init(&fs->policies.lock, NULL);
}

void policy_release(struct fs *fs)
{
    free(fs->policies.list);
    pthread_rwlock_destroy(&fs->policies.lock);
    pthread_mutex_destroy(&fs->policies.change);
}

/* ---- looking ---- */

/* The first that ends behind `ino`. [lock, or change] */
static size_t place_of(const struct policy_table *t, uint64_t ino)
{
    size_t lo = 0, hi = t->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->list[mid].end <= ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int policy_level(struct policy_table *t, uint64_t ino)
{
    int level = -1;
    if (__atomic_load_n(&t->count, __ATOMIC_RELAXED) == 0)
        return -1;
    pthread_rwlock_rdlock(&t->lock);
    size_t at = place_of(t, ino);
    if (at < t->count && t->list[at].start <= ino)
        level = t->list[at].level;
    pthread_rwlock_unlock(&t->lock);
    return level;
}

uint64_t policy_since(struct policy_table *t, uint64_t start, uint64_t end)
{
    uint64_t since = 0;
    if (__atomic_load_n(&t->count, __ATOMIC_RELAXED) == 0)
        return 0;
    pthread_rwlock_rdlock(&t->lock);
    for (size_t at = place_of(t, start); at < t->count && t->list[at].start < end; at++)
        if (t->list[at].since > since)
            since = t->list[at].since;
    pthread_rwlock_unlock(&t->lock);
    return since;
}

bool policy_is_single(struct policy_table *t, uint64_t ino)
{
    if (__atomic_load_n(&t->count, __ATOMIC_RELAXED) == 0)
        return false;
    pthread_rwlock_rdlock(&t->lock);
    size_t at = place_of(t, ino);
    bool single = at < t->count && t->list[at].start == ino && t->list[at].end == ino + 1;
    pthread_rwlock_unlock(&t->lock);
    return single;
}

/* ---- changing ---- */

/* What takes the place of list[first .. first + gone): up to three intervals. */
struct splice {
    size_t first, gone, count;
    struct policy put[3];
};

static void splice_add(struct splice *s, uint64_t start, uint64_t end, int level, uint64_t since)
{
    if (start < end && level >= 0)
        s->put[s->count++] = (struct policy){start, end, since, (uint8_t)level};
}

/* What becomes of the table when [start, end) is of `level`: pieces of what it cuts stay, and
 * neighbours of the same level become one with it. [change] */
static struct splice plan(const struct policy_table *t, uint64_t start, uint64_t end, int level,
                          uint64_t since)
{
    struct splice s = {.first = place_of(t, start)};
    assert(start < end && level <= FS_ZSTD_LEVEL_MAX);
    const struct policy *before = s.first > 0 ? &t->list[s.first - 1] : NULL;
    if (level >= 0 && before && before->end == start && before->level == level &&
        before->since == since) {
        start = before->start;
        s.first--;
    }
    size_t at = s.first;
    if (at < t->count && t->list[at].start < start)
        splice_add(&s, t->list[at].start, start, t->list[at].level, t->list[at].since);
    struct policy rest = {0};
    for (; at < t->count && t->list[at].start < end; at++)
        if (t->list[at].end > end)
            rest = (struct policy){end, t->list[at].end, t->list[at].since, t->list[at].level};
    if (rest.end == 0 && at < t->count && t->list[at].start == end && t->list[at].level == level &&
        t->list[at].since == since)
        rest = t->list[at++];
    if (rest.end > 0 && rest.level == level && rest.since == since) {
        end = rest.end;
        rest.end = 0;
    }
    splice_add(&s, start, end, level, since);
    splice_add(&s, rest.start, rest.end, rest.level, rest.since);
    s.gone = at - s.first;
    assert(s.count <= 3);
    return s;
}

static void put_record(struct store_batch *b, const struct policy *p)
{
    uint8_t bytes[24];
    struct buf value = {.data = bytes, .cap = sizeof bytes};
    struct key k = key_policy(p->start);
    policy_encode(p, &value);
    assert(value.data == bytes);
    store_batch_put(b, key_slice(&k), buf_slice(&value));
}

void policy_put(const struct policy_table *t, uint64_t start, uint64_t end, int level,
                uint64_t since, struct store_batch *b)
{
    struct splice s = plan(t, start, end, level, since);
    for (size_t i = 0; i < s.gone; i++) {
        struct key k = key_policy(t->list[s.first + i].start);
        store_batch_delete(b, key_slice(&k));
    }
    for (size_t i = 0; i < s.count; i++)
        put_record(b, &s.put[i]);
}

void policy_apply(struct policy_table *t, uint64_t start, uint64_t end, int level, uint64_t since)
{
    struct splice s = plan(t, start, end, level, since);
    pthread_rwlock_wrlock(&t->lock);
    if (t->count + s.count > t->cap) {
        t->cap = (t->count + s.count) * 2;
        t->list = mem_realloc(t->list, t->cap * sizeof *t->list);
    }
    memmove(t->list + s.first + s.count, t->list + s.first + s.gone,
            (t->count - s.first - s.gone) * sizeof *t->list);
    if (s.count)
        memcpy(t->list + s.first, s.put, s.count * sizeof *t->list);
    __atomic_store_n(&t->count, t->count + s.count - s.gone, __ATOMIC_RELAXED);
    pthread_rwlock_unlock(&t->lock);
}

int policy_write(struct fs *fs, uint64_t start, uint64_t end, int level)
{
    struct store_batch *b = batch_take(fs);
    pthread_mutex_lock(&fs->policies.change);
    policy_put(&fs->policies, start, end, level, 0, b);
    int err = store_write(fs->store, b, 0);
    if (err == 0)
        policy_apply(&fs->policies, start, end, level, 0);
    pthread_mutex_unlock(&fs->policies.change);
    batch_give(fs, b);
    return err;
}

/* ---- loading ---- */

static void append(struct policy_table *t, const struct policy *p)
{
    pthread_rwlock_wrlock(&t->lock);
    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 16;
        t->list = mem_realloc(t->list, t->cap * sizeof *t->list);
    }
    t->list[t->count] = *p;
    __atomic_store_n(&t->count, t->count + 1, __ATOMIC_RELAXED);
    pthread_rwlock_unlock(&t->lock);
}

int policy_load(struct fs *fs, const struct store_read *read)
{
    struct key lower = key_super(SUPER_POLICY), upper = key_super(SUPER_POLICY + 1);
    struct store_iter *it = store_iter_new(read, key_slice(&lower), key_slice(&upper));
    struct policy_table *t = &fs->policies;
    int err;
    pthread_rwlock_wrlock(&t->lock);
    __atomic_store_n(&t->count, 0, __ATOMIC_RELAXED);
    pthread_rwlock_unlock(&t->lock);
    for (err = store_iter_first(it); err == 0; err = store_iter_next(it)) {
        uint64_t zero, start, from = t->count ? t->list[t->count - 1].end : 1;
        uint8_t kind;
        struct slice rest, value;
        struct policy p;
        err = store_iter_value(it, &value);
        if (err < 0)
            break;
        /* One that is damaged is left out: it says only how new contents are compressed. */
        if (key_split(store_iter_key(it), &zero, &kind, &rest) && take_be64(&rest, &start) &&
            rest.len == 0 && policy_decode(value, start, &p) == 0 && p.start >= from)
            append(t, &p);
        else
            corrupt("the superblock", UINT64_MAX, "a compression of inodes does not decode");
    }
    store_iter_free(it);
    return err < 0 ? err : 0;
}
