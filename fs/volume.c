/* volume: see volume.h.
 *
 * Invariants:
 *   1. Everything here but the open store can be lost at any moment: volume_load() makes it again.
 *
 *   2. While an entry is in the table of snapshots its pin is in the store. */
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
    if (err == 1 || (err == 0 && counters_decode(v.data, &c) < 0))
        err = corrupt("the superblock", UINT64_MAX, "its counters are missing or do not decode");
    fs->inodes = c.inodes;
    fs->chunks = c.chunks;
    store_value_release(&v);
    return err;
}

static int load_next_ino(struct fs *fs, const struct store_read *read)
{
    struct store_value v = {0};
    struct key k = key_super(SUPER_NEXT_INO);
    int err = store_get(read, key_slice(&k), &v);
    if (err == 1 || (err == 0 && next_ino_decode(v.data, &fs->inos.next) < 0))
        err = corrupt("the superblock", UINT64_MAX, "its next inode number is missing or wrong");
    fs->inos.reserved = fs->inos.next;
    store_value_release(&v);
    return err;
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

/* By age, so the last is the one that numbers go on from. */
static int load_snapshot(void *ctx, const struct store_pin *pin)
{
    struct fs *fs = ctx;
    struct snapshot_table *t = &fs->snapshots;
    if (pin->tag == FS_HISTORY_TAG) {
        const struct history_point point = {.seq = pin->seq, .created_ns = pin->created_ns};
        history_add(&fs->history, &point);
        return 0;
    }
    size_t at = snapshot_place(t, pin->tag);
    if (pin->tag == 0 || pin->tag > FS_TREES_MAX ||
        (at < t->count && t->entries[at].number == pin->tag))
        return corrupt("the manifest", UINT64_MAX, "snapshot \"%s\" has an impossible number",
                       pin->name);
    const struct snapshot_entry entry = {.number = pin->tag,
                                         .seq = pin->seq,
                                         .created_ns = pin->created_ns,
                                         .name = mem_strdup(pin->name)};
    snapshot_insert(t, &entry);
    t->last_number = entry.number;
    return 0;
}

static void init_locks(struct fs *fs)
{
    pthread_rwlockattr_t writers_first;
    locks_init(&fs->locks);
    pthread_mutex_init(&fs->rename, NULL);
    pthread_mutex_init(&fs->inos.lock, NULL);
    pthread_mutex_init(&fs->orphans.lock, NULL);
    pthread_mutex_init(&fs->batches.lock, NULL);
    pthread_mutex_init(&fs->snapshots.change, NULL);
    pthread_mutex_init(&fs->history.asking, NULL);
    /* By default readers that take turns would keep a writer out for ever. */
    pthread_rwlockattr_init(&writers_first);
    pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&fs->snapshots.lock, &writers_first);
    pthread_rwlockattr_destroy(&writers_first);
}

static int first_error(int a, int b)
{
    return a < 0 ? a : b;
}

static int choose_snapshot(struct fs *fs, const char *name)
{
    for (size_t i = 0; i < fs->snapshots.count; i++)
        if (strcmp(fs->snapshots.entries[i].name, name) == 0) {
            fs->base_seq = fs->snapshots.entries[i].seq;
            return 0;
        }
    return -ENODATA;
}

int volume_load(struct fs *fs, const char *snapshot)
{
    struct store_read read;
    assert(fs->store && (!snapshot || fs->read_only));
    init_locks(fs);
    quota_init(fs);
    int listed = store_pin_list(fs->store, load_snapshot, fs);
    int err = snapshot && listed == 0 ? choose_snapshot(fs, snapshot) : 0;
    volume_read_begin(fs, &read);
    if (err == 0)
        err = load_super(fs, &read);
    if (err == 0) {
        /* The verifier wants what can be had, whatever else is damaged. */
        err = load_counters(fs, &read);
        err = first_error(err, load_next_ino(fs, &read));
        err = first_error(err, load_orphans(fs, &read));
        err = first_error(err, quota_load(fs, &read));
        err = first_error(err, policy_load(fs, &read));
        err = first_error(err, listed);
    }
    store_read_end(&read);
    return err;
}

int volume_reload(struct fs *fs)
{
    struct store_read read;
    pthread_mutex_lock(&fs->orphans.lock);
    free(fs->orphans.inos);
    fs->orphans.inos = NULL;
    fs->orphans.count = fs->orphans.cap = fs->orphans.count_hint = 0;
    pthread_mutex_unlock(&fs->orphans.lock);
    volume_read_begin(fs, &read);
    pthread_mutex_lock(&fs->inos.lock);
    uint64_t next = fs->inos.next, reserved = fs->inos.reserved;
    int err = load_next_ino(fs, &read);
    if (fs->inos.reserved <= reserved) { /* what was reserved is still ours */
        fs->inos.next = next;
        fs->inos.reserved = reserved;
    }
    pthread_mutex_unlock(&fs->inos.lock);
    err = first_error(err, load_counters(fs, &read));
    err = first_error(err, load_orphans(fs, &read));
    quota_forget_all(fs);
    err = first_error(err, quota_load(fs, &read));
    err = first_error(err, policy_load(fs, &read));
    ino_forget_runs(fs);
    store_read_end(&read);
    return err;
}

void volume_release(struct fs *fs)
{
    for (size_t i = 0; i < fs->snapshots.count; i++)
        free(fs->snapshots.entries[i].name);
    free(fs->snapshots.entries);
    free(fs->history.points);
    free(fs->orphans.inos);
    quota_release(fs);
    while (fs->batches.count > 0)
        store_batch_free(fs->batches.list[--fs->batches.count]);
    pthread_rwlock_destroy(&fs->snapshots.lock);
    pthread_mutex_destroy(&fs->snapshots.change);
    pthread_mutex_destroy(&fs->history.asking);
    pthread_mutex_destroy(&fs->batches.lock);
    pthread_mutex_destroy(&fs->orphans.lock);
    pthread_mutex_destroy(&fs->inos.lock);
    pthread_mutex_destroy(&fs->rename);
    locks_release(&fs->locks);
}

/* ---- time ---- */

/* How far the kernel's clock for files may be ahead of the one that we can read: a tick. */
#define AHEAD_NS (20 * 1000 * 1000)

struct fs_time fs_time_of(int64_t ns)
{
    int64_t second = 1000000000;
    int64_t sec = ns / second - (ns % second < 0); /* before 1970 it counts backwards */
    return (struct fs_time){.sec = sec, .nsec = (uint32_t)(ns - sec * second)};
}

static int64_t least_ns(struct fs *fs)
{
    return __atomic_load_n(&fs->now_least_ns, __ATOMIC_RELAXED);
}

struct fs_time fs_now(struct fs *fs)
{
    int64_t ns = store_realtime(fs->store), least = least_ns(fs);
    return fs_time_of(least > ns && least - ns <= AHEAD_NS ? least : ns);
}

void fs_now_raise(struct fs *fs, struct fs_time seen)
{
    int64_t ns = store_realtime(fs->store), least = least_ns(fs), sec = ns / 1000000000;
    if (seen.sec < sec || seen.sec > sec + 1)
        return; /* and no overflow below */
    int64_t seen_ns = seen.sec * 1000000000 + seen.nsec;
    if (seen_ns <= ns || seen_ns - ns > AHEAD_NS)
        return;
    while (seen_ns > least && !__atomic_compare_exchange_n(&fs->now_least_ns, &least, seen_ns, true,
                                                           __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

/* ---- batches ---- */

struct store_batch *batch_take(struct fs *fs)
{
    struct store_batch *b = NULL;
    pthread_mutex_lock(&fs->batches.lock);
    if (fs->batches.count > 0)
        b = fs->batches.list[--fs->batches.count];
    pthread_mutex_unlock(&fs->batches.lock);
    assert(!b || store_batch_count(b) == 0);
    return b ? b : store_batch_new(fs->store);
}

void batch_give(struct fs *fs, struct store_batch *b)
{
    assert(b);
    store_batch_clear(b);
    pthread_mutex_lock(&fs->batches.lock);
    if (fs->batches.count < BATCH_POOL) {
        fs->batches.list[fs->batches.count++] = b;
        b = NULL;
    }
    pthread_mutex_unlock(&fs->batches.lock);
    store_batch_free(b);
}

/* ---- readers ---- */

void volume_read_begin(const struct fs *fs, struct store_read *read)
{
    if (fs->base_seq)
        store_read_begin_at(fs->store, fs->base_seq, read); /* nobody drops it: see volume_load() */
    else
        store_read_begin(fs->store, read);
}

int reader_begin(struct fs *fs, uint64_t ino, struct reader *r)
{
    *r = (struct reader){.fs = fs, .snapshot = ino_snapshot(ino)};
    if (r->snapshot == 0) {
        volume_read_begin(fs, &r->read);
        return 0;
    }
    const struct snapshot_table *t = &fs->snapshots;
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    size_t at = snapshot_place(t, r->snapshot);
    bool found = at < t->count && t->entries[at].number == r->snapshot;
    uint64_t seq = found ? t->entries[at].seq : history_seq(&fs->history, r->snapshot);
    if (seq == 0) {
        pthread_rwlock_unlock(&fs->snapshots.lock);
        return -ESTALE;
    }
    store_read_begin_at(fs->store, seq, &r->read);
    return 0;
}

void reader_end(struct reader *r)
{
    assert(r->fs && r->read.view);
    store_read_end(&r->read);
    if (r->snapshot != 0)
        pthread_rwlock_unlock(&r->fs->snapshots.lock);
}
