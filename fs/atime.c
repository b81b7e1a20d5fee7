/* atime: see atime.h. A hash table in shards, each with open addressing and a lock of its own, so
 * that readers of different files do not meet. Taking an entry out moves later ones of its run up,
 * so a look-up ends at the first free slot. */
#include "fs/atime.h"

enum { RELATIVE_SECONDS = 24 * 60 * 60 }; /* as relatime has it */

struct slot {
    uint64_t ino; /* 0: free */
    struct fs_time time;
    bool waits;        /* it is not in the record */
    int64_t written_s; /* otherwise: since when it is */
};

struct shard {
    pthread_mutex_t lock;
    uint32_t count;                 /* [lock] */
    struct slot slots[ATIME_SLOTS]; /* [lock] */
};

struct atimes {
    enum fs_atime rule;    /* constant */
    bool folders;          /* constant: theirs, too */
    size_t count, waiting; /* atomic: entries, and those of them that wait */
    struct shard shards[ATIME_SHARDS];
};

struct atimes *atimes_new(enum fs_atime rule, bool folders)
{
    if (rule == FS_ATIME_NONE)
        return NULL;
    struct atimes *t = mem_zalloc(sizeof *t);
    t->rule = rule;
    t->folders = folders;
    for (size_t i = 0; i < ATIME_SHARDS; i++)
        pthread_mutex_init(&t->shards[i].lock, NULL);
    return t;
}

void atimes_free(struct atimes *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < ATIME_SHARDS; i++)
        pthread_mutex_destroy(&t->shards[i].lock);
    free(t);
}

size_t atime_waiting(struct atimes *t)
{
    return t ? __atomic_load_n(&t->waiting, __ATOMIC_ACQUIRE) : 0;
}

static bool is_empty(struct atimes *t)
{
    return !t || __atomic_load_n(&t->count, __ATOMIC_ACQUIRE) == 0;
}

/* ---- the table ---- */

static uint64_t hash(uint64_t ino)
{
    return ino * UINT64_C(0x9e3779b97f4a7c15);
}

static struct shard *lock_shard_of(struct atimes *t, uint64_t ino)
{
    struct shard *s = &t->shards[hash(ino) >> 58];
    pthread_mutex_lock(&s->lock);
    return s;
}

static uint32_t home_of(uint64_t ino)
{
    return (uint32_t)(hash(ino) >> 50) % ATIME_SLOTS;
}

/* The inode's, or the free one where it would be. [lock] */
static struct slot *find(struct shard *s, uint64_t ino)
{
    uint32_t i = home_of(ino);
    assert(ino != 0 && s->count <= ATIME_SHARD_MAX);
    while (s->slots[i].ino != 0 && s->slots[i].ino != ino)
        i = (i + 1) % ATIME_SLOTS;
    return &s->slots[i];
}

/* [lock] */
static void set_waits(struct atimes *t, struct slot *slot, bool waits)
{
    if (waits && !slot->waits)
        __atomic_fetch_add(&t->waiting, 1, __ATOMIC_RELEASE);
    if (!waits && slot->waits)
        __atomic_fetch_sub(&t->waiting, 1, __ATOMIC_RELEASE);
    slot->waits = waits;
}

/* [lock] */
static void take_out(struct atimes *t, struct shard *s, struct slot *gone)
{
    uint32_t hole = (uint32_t)(gone - s->slots);
    assert(gone->ino != 0 && s->count > 0);
    set_waits(t, gone, false);
    for (uint32_t i = (hole + 1) % ATIME_SLOTS; s->slots[i].ino != 0; i = (i + 1) % ATIME_SLOTS) {
        uint32_t far = (i + ATIME_SLOTS - home_of(s->slots[i].ino)) % ATIME_SLOTS;
        if (far < (i + ATIME_SLOTS - hole) % ATIME_SLOTS)
            continue; /* its home lies behind the hole */
        s->slots[hole] = s->slots[i];
        hole = i;
    }
    s->slots[hole] = (struct slot){0};
    s->count--;
    __atomic_fetch_sub(&t->count, 1, __ATOMIC_RELEASE);
}

/* Lets one go that is written. False: all wait. [lock] */
static bool make_room(struct atimes *t, struct shard *s)
{
    for (size_t i = 0; i < ATIME_SLOTS; i++)
        if (s->slots[i].ino != 0 && !s->slots[i].waits) {
            take_out(t, s, &s->slots[i]);
            return true;
        }
    return false;
}

bool atime_get(struct atimes *t, uint64_t ino, struct fs_time *time)
{
    if (is_empty(t))
        return false;
    struct shard *s = lock_shard_of(t, ino);
    struct slot found = *find(s, ino);
    pthread_mutex_unlock(&s->lock);
    if (found.ino != 0)
        *time = found.time;
    return found.ino != 0;
}

void atime_written(struct atimes *t, uint64_t ino, struct fs_time time, struct fs_time now)
{
    struct shard *s = lock_shard_of(t, ino);
    struct slot *slot = find(s, ino);
    if (slot->ino != 0 && same_time(slot->time, time)) {
        set_waits(t, slot, false);
        slot->written_s = now.sec;
    }
    pthread_mutex_unlock(&s->lock);
}

void atime_set(struct atimes *t, uint64_t ino, struct fs_time time, struct fs_time now)
{
    if (is_empty(t))
        return;
    struct shard *s = lock_shard_of(t, ino);
    struct slot *slot = find(s, ino);
    if (slot->ino != 0) {
        set_waits(t, slot, false);
        slot->time = time;
        slot->written_s = now.sec;
    }
    pthread_mutex_unlock(&s->lock);
}

void atime_drop(struct atimes *t, uint64_t ino)
{
    if (is_empty(t))
        return;
    struct shard *s = lock_shard_of(t, ino);
    struct slot *slot = find(s, ino);
    if (slot->ino != 0)
        take_out(t, s, slot);
    pthread_mutex_unlock(&s->lock);
}

size_t atime_list(struct atimes *t, size_t shard, struct fs_time now,
                  uint64_t inos[ATIME_SHARD_MAX])
{
    struct shard *s = &t->shards[shard];
    size_t count = 0;
    assert(shard < ATIME_SHARDS);
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < ATIME_SLOTS; i++) {
        struct slot *slot = &s->slots[i];
        /* What moves up into its place is looked at next. */
        while (slot->ino != 0 && !slot->waits && now.sec - slot->written_s > ATIME_STAY_S)
            take_out(t, s, slot);
        if (slot->ino != 0 && slot->waits)
            inos[count++] = slot->ino;
    }
    pthread_mutex_unlock(&s->lock);
    return count;
}

/* ---- noting ---- */

static bool later(struct fs_time a, struct fs_time b)
{
    return a.sec > b.sec || (a.sec == b.sec && a.nsec > b.nsec);
}

bool atime_is_due(enum fs_atime rule, const struct inode *n, struct fs_time now)
{
    if (rule != FS_ATIME_RELATIVE)
        return rule == FS_ATIME_STRICT;
    return !later(n->atime, n->mtime) || !later(n->atime, n->ctime) ||
           now.sec - n->atime.sec >= RELATIVE_SECONDS;
}

/* [lock] */
static void note(struct atimes *t, struct shard *s, const struct inode *n, struct fs_time now)
{
    struct slot *slot = find(s, n->ino);
    if (slot->ino == 0) {
        if (s->count == ATIME_SHARD_MAX && !make_room(t, s))
            return;
        slot = find(s, n->ino);
        *slot = (struct slot){.ino = n->ino, .time = now};
        s->count++;
        __atomic_fetch_add(&t->count, 1, __ATOMIC_RELEASE);
        set_waits(t, slot, true);
        return;
    }
    struct inode seen = *n;
    seen.atime = slot->time;
    /* Two readers may come in another order than their times. */
    if (atime_is_due(t->rule, &seen, now) && (later(now, slot->time) || !slot->waits)) {
        slot->time = now;
        set_waits(t, slot, true);
    }
}

void atime_note(struct fs *fs, const struct inode *n)
{
    struct atimes *t = fs->atimes;
    if (!t || (S_ISDIR(n->mode) && !t->folders))
        return;
    struct fs_time now = fs_now(fs);
    if (!atime_is_due(t->rule, n, now))
        return;
    struct shard *s = lock_shard_of(t, n->ino);
    note(t, s, n, now);
    pthread_mutex_unlock(&s->lock);
}
