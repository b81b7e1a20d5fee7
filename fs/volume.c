/* volume: see volume.h.
 *
 * Invariants:
 *   1. Everything here but the open store can be lost at any moment: volume_load() makes it again.
 *   2. `reserved` is on its way to disk before any number below it is given out, in the order of
 * the log: a number is never given out twice.
 *   3. A snapshot's entry is in the table exactly while its pin is in the store, but for the moment
 * of a creation or deletion, when the lock is held. */
#include "fs/volume.h"

/* ---- loading ---- */

static int load_super(struct fs *fs, const struct store_read *read)
{
    struct store_value v = {0};
    struct key k = key_super(SUPER_RECORD);
    int err = store_get(read, key_slice(&k), &v);
    if (err == 0) {
        err = super_decode(v.data, &fs->super);
        if (err == -EPROTONOSUPPORT)
            log_message(LOG_ERROR,
                        "this volume was made by a newer varvefs (record version %u, features "
                        "%#llx); upgrade varvefs to use it",
                        fs->super.version, (unsigned long long)fs->super.features);
        else if (err < 0)
            corrupt("the superblock", UINT64_MAX, "it does not decode");
    } else if (err == 1) {
        err = corrupt("the superblock", UINT64_MAX, "the store has none");
    }
    store_value_release(&v);
    return err;
}

static int load_counters(struct fs *fs, const struct store_read *read)
{
    struct store_value v = {0};
    struct counters c = {0};
    struct key k = key_super(SUPER_COUNTERS);
    int err = store_get(read, key_slice(&k), &v);
    if (err == 0 && counters_decode(v.data, &c) < 0)
        err = corrupt("the superblock", UINT64_MAX, "its counters do not decode");
    fs->inodes = c.inodes;
    fs->chunks = c.chunks;
    store_value_release(&v);
    return err < 0 ? err : 0;
}

static int load_next_ino(struct fs *fs, const struct store_read *read)
{
    struct store_value v = {0};
    struct key k = key_super(SUPER_NEXT_INO);
    int err = store_get(read, key_slice(&k), &v);
    struct slice in = v.data;
    fs->inos.next = FS_INO_FIRST;
    if (err == 0 && (!take_u64(&in, &fs->inos.next) || fs->inos.next > FS_INO_MASK))
        err = corrupt("the superblock", UINT64_MAX, "its next inode number is impossible");
    fs->inos.reserved = fs->inos.next;
    store_value_release(&v);
    return err < 0 ? err : 0;
}

static int load_orphans(struct fs *fs, const struct store_read *read)
{
    struct key lower = key_super(SUPER_ORPHAN), upper = key_super(SUPER_ORPHAN + 1);
    struct store_iter *it = store_iter_new(read, key_slice(&lower), key_slice(&upper));
    int err;
    for (err = store_iter_first(it); err == 0; err = store_iter_next(it)) {
        uint64_t zero, ino;
        uint8_t kind;
        struct slice rest;
        if (key_split(store_iter_key(it), &zero, &kind, &rest) && take_be64(&rest, &ino) && ino)
            orphan_add(fs, ino);
    }
    store_iter_free(it);
    return err < 0 ? err : 0;
}

static int load_snapshot(void *ctx, const struct store_pin *pin)
{
    struct snapshot_table *t = ctx;
    t->entries = mem_realloc(t->entries, (t->count + 1) * sizeof *t->entries);
    size_t i = t->count++;
    for (; i > 0 && t->entries[i - 1].number > pin->tag; i--)
        t->entries[i] = t->entries[i - 1];
    t->entries[i] = (struct snapshot_entry){.number = pin->tag,
                                            .seq = pin->seq,
                                            .created_ns = pin->created_ns,
                                            .name = mem_strdup(pin->name)};
    if (pin->tag > t->last_number)
        t->last_number = pin->tag;
    return 0;
}

int volume_load(struct fs *fs)
{
    struct store_read read;
    locks_init(&fs->locks);
    pthread_mutex_init(&fs->rename, NULL);
    pthread_mutex_init(&fs->inos.lock, NULL);
    pthread_mutex_init(&fs->orphans.lock, NULL);
    pthread_mutex_init(&fs->batches.lock, NULL);
    pthread_rwlock_init(&fs->snapshots.lock, NULL);
    store_read_begin(fs->store, &read);
    int err = load_super(fs, &read);
    if (err == 0)
        err = load_counters(fs, &read);
    if (err == 0)
        err = load_next_ino(fs, &read);
    if (err == 0)
        err = load_orphans(fs, &read);
    store_read_end(&read);
    if (err == 0)
        err = store_pin_list(fs->store, load_snapshot, &fs->snapshots);
    return err;
}

void volume_release(struct fs *fs)
{
    for (size_t i = 0; i < fs->snapshots.count; i++)
        free(fs->snapshots.entries[i].name);
    free(fs->snapshots.entries);
    free(fs->orphans.inos);
    while (fs->batches.count > 0)
        store_batch_free(fs->batches.list[--fs->batches.count]);
    pthread_rwlock_destroy(&fs->snapshots.lock);
    pthread_mutex_destroy(&fs->batches.lock);
    pthread_mutex_destroy(&fs->orphans.lock);
    pthread_mutex_destroy(&fs->inos.lock);
    pthread_mutex_destroy(&fs->rename);
    locks_release(&fs->locks);
}

/* ---- batches ---- */

struct store_batch *batch_take(struct fs *fs)
{
    struct store_batch *b = NULL;
    pthread_mutex_lock(&fs->batches.lock);
    if (fs->batches.count > 0)
        b = fs->batches.list[--fs->batches.count];
    pthread_mutex_unlock(&fs->batches.lock);
    return b ? b : store_batch_new(fs->store);
}

void batch_give(struct fs *fs, struct store_batch *b)
{
    store_batch_clear(b);
    pthread_mutex_lock(&fs->batches.lock);
    if (fs->batches.count < BATCH_POOL) {
        fs->batches.list[fs->batches.count++] = b;
        b = NULL;
    }
    pthread_mutex_unlock(&fs->batches.lock);
    store_batch_free(b);
}

/* ---- inode numbers ---- */

/* Moves the mark on disk so that numbers below `end` may be given out. [inos.lock held] */
static int reserve(struct fs *fs, uint64_t end)
{
    uint64_t mark = end + INO_RESERVE;
    if (mark > FS_INO_MASK)
        return -ENOSPC;
    struct store_batch *b = batch_take(fs);
    struct key k = key_super(SUPER_NEXT_INO);
    uint8_t value[8];
    put_u64(value, mark);
    store_batch_put(b, key_slice(&k), slice_of(value, sizeof value));
    int err = store_write(fs->store, b, 0);
    batch_give(fs, b);
    if (err == 0)
        fs->inos.reserved = mark;
    return err;
}

static int new_run(struct fs *fs, struct ino_run *run, uint64_t folder)
{
    uint32_t size = run->folder == folder ? run->size * 2 : INO_RUN_MIN;
    if (size > INO_RUN_MAX)
        size = INO_RUN_MAX;
    uint64_t end = fs->inos.next + size;
    int err = end > fs->inos.reserved ? reserve(fs, end) : 0;
    if (err < 0)
        return err;
    *run = (struct ino_run){.folder = folder, .next = fs->inos.next, .end = end, .size = size};
    fs->inos.next = end;
    return 0;
}

int ino_take(struct fs *fs, uint64_t folder, uint64_t *ino)
{
    struct ino_alloc *a = &fs->inos;
    int err = 0;
    assert(folder != 0);
    pthread_mutex_lock(&a->lock);
    struct ino_run *run = &a->runs[folder * UINT64_C(0x9e3779b97f4a7c15) >> 52];
    if (run->folder != folder || run->next == run->end)
        err = new_run(fs, run, folder);
    if (err == 0)
        *ino = run->next++;
    pthread_mutex_unlock(&a->lock);
    return err;
}

/* ---- readers ---- */

static const struct snapshot_entry *find_snapshot(const struct snapshot_table *t, uint64_t number)
{
    size_t lo = 0, hi = t->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->entries[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < t->count && t->entries[lo].number == number ? &t->entries[lo] : NULL;
}

int reader_begin(struct fs *fs, uint64_t ino, struct reader *r)
{
    *r = (struct reader){.fs = fs, .snapshot = ino_snapshot(ino)};
    if (r->snapshot == 0) {
        store_read_begin(fs->store, &r->read);
        return 0;
    }
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    const struct snapshot_entry *s = find_snapshot(&fs->snapshots, r->snapshot);
    if (!s) {
        pthread_rwlock_unlock(&fs->snapshots.lock);
        return -ESTALE;
    }
    store_read_begin_at(fs->store, s->seq, &r->read);
    return 0;
}

void reader_end(struct reader *r)
{
    store_read_end(&r->read);
    if (r->snapshot != 0)
        pthread_rwlock_unlock(&r->fs->snapshots.lock);
}

/* ---- orphans ---- */

static size_t home(const struct orphan_set *s, uint64_t ino)
{
    return (size_t)((ino * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (s->cap - 1);
}

static void insert(struct orphan_set *s, uint64_t ino)
{
    size_t i = home(s, ino);
    while (s->inos[i] && s->inos[i] != ino)
        i = (i + 1) & (s->cap - 1);
    s->count += s->inos[i] == 0;
    s->inos[i] = ino;
}

static void grow(struct orphan_set *s)
{
    struct orphan_set old = *s;
    s->cap = old.cap ? old.cap * 2 : 64;
    s->inos = mem_zalloc(s->cap * sizeof *s->inos);
    s->count = 0;
    for (size_t i = 0; i < old.cap; i++)
        if (old.inos[i])
            insert(s, old.inos[i]);
    free(old.inos);
}

static void hint(struct orphan_set *s)
{
    __atomic_store_n(&s->count_hint, s->count, __ATOMIC_RELEASE);
}

void orphan_add(struct fs *fs, uint64_t ino)
{
    struct orphan_set *s = &fs->orphans;
    assert(ino != 0);
    pthread_mutex_lock(&s->lock);
    if (2 * (s->count + 1) > s->cap)
        grow(s);
    insert(s, ino);
    hint(s);
    pthread_mutex_unlock(&s->lock);
}

/* Closes the gap at `i`: whatever was pushed behind it moves up (deletion in linear probing). */
static void close_gap(struct orphan_set *s, size_t i)
{
    for (size_t j = (i + 1) & (s->cap - 1); s->inos[j]; j = (j + 1) & (s->cap - 1)) {
        size_t distance = (j - home(s, s->inos[j])) & (s->cap - 1);
        if (distance >= ((j - i) & (s->cap - 1))) {
            s->inos[i] = s->inos[j];
            i = j;
        }
    }
    s->inos[i] = 0;
}

bool orphan_take(struct fs *fs, uint64_t ino)
{
    struct orphan_set *s = &fs->orphans;
    if (__atomic_load_n(&s->count_hint, __ATOMIC_ACQUIRE) == 0)
        return false;
    pthread_mutex_lock(&s->lock);
    size_t i = home(s, ino);
    while (s->inos[i] && s->inos[i] != ino)
        i = (i + 1) & (s->cap - 1);
    bool found = s->inos[i] == ino;
    if (found) {
        close_gap(s, i);
        s->count--;
        hint(s);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}
