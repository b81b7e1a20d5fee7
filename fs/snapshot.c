/* snapshot: see snapshot.h.
 *
 * Makers, droppers and renamers take turns (t->change); only the moment at which the table changes
 * excludes readers of snapshots (t->lock). So taking a snapshot, which waits for the disk, holds
 * nobody up, and dropping one waits for those who are reading, and then for nobody. */
#include "fs/snapshot.h"

#include "fs/dir.h"

/* [change or lock held] */
static struct snapshot_entry *by_name(struct snapshot_table *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->entries[i].name, name) == 0)
            return &t->entries[i];
    return NULL;
}

/* The first number from `n` on that no snapshot has, or FS_SNAPSHOTS_MAX + 1. [change held] */
static uint64_t free_from(const struct snapshot_table *t, uint64_t n)
{
    for (size_t i = snapshot_place(t, n); i < t->count && t->entries[i].number == n; i++)
        n++;
    return n;
}

/* A number that no snapshot has, going round. 0: there is none. [change held] */
static uint64_t free_number(const struct snapshot_table *t)
{
    if (t->count >= FS_SNAPSHOTS_MAX)
        return 0;
    uint64_t n = free_from(t, t->last_number + 1);
    if (n > FS_SNAPSHOTS_MAX)
        n = free_from(t, 1);
    assert(n >= 1 && n <= FS_SNAPSHOTS_MAX);
    return n;
}

static void insert(struct snapshot_table *t, const struct snapshot_entry *entry)
{
    pthread_rwlock_wrlock(&t->lock);
    snapshot_insert(t, entry);
    pthread_rwlock_unlock(&t->lock);
}

/* [change held] */
static int adopt(struct fs *fs, const char *name, snapshot_make_fn *make, void *ctx)
{
    struct snapshot_table *t = &fs->snapshots;
    if (by_name(t, name))
        return -EEXIST;
    struct store_pin pin = {
        .tag = free_number(t), .created_ns = store_realtime(fs->store), .name = name};
    if (pin.tag == 0)
        return -EMLINK;
    int err = make(ctx, &pin);
    if (err < 0)
        return err;
    assert(pin.tag <= FS_SNAPSHOTS_MAX && pin.seq > 0);
    const struct snapshot_entry entry = {
        .number = pin.tag, .seq = pin.seq, .created_ns = pin.created_ns, .name = mem_strdup(name)};
    t->last_number = pin.tag;
    insert(t, &entry);
    return 0;
}

int snapshot_adopt(struct fs *fs, const char *name, snapshot_make_fn *make, void *ctx)
{
    int err = dir_check_name(name);
    if (err == 0 && fs->read_only)
        err = -EROFS;
    if (err < 0)
        return err;
    pthread_mutex_lock(&fs->snapshots.change);
    err = adopt(fs, name, make, ctx);
    pthread_mutex_unlock(&fs->snapshots.change);
    return err;
}

static int make_pin(void *ctx, struct store_pin *pin)
{
    struct fs *fs = ctx;
    return store_pin_create(fs->store, pin->name, pin->tag, pin);
}

int snapshot_create(struct fs *fs, const char *name)
{
    return snapshot_adopt(fs, name, make_pin, fs);
}

/* First out of the table, so that nobody begins to read what is about to go. */
static int drop(struct fs *fs, const char *name)
{
    struct snapshot_table *t = &fs->snapshots;
    const struct snapshot_entry *e = by_name(t, name);
    if (!e)
        return -ENOENT;
    pthread_rwlock_wrlock(&t->lock);
    struct snapshot_entry gone = snapshot_remove(t, (size_t)(e - t->entries));
    pthread_rwlock_unlock(&t->lock);
    int err = store_pin_delete(fs->store, name);
    assert(err <= 0); /* what is in the table is in the store */
    if (err < 0)
        insert(t, &gone);
    else
        free(gone.name);
    return err;
}

int snapshot_delete(struct fs *fs, const char *name)
{
    if (fs->read_only)
        return -EROFS;
    pthread_mutex_lock(&fs->snapshots.change);
    int err = drop(fs, name);
    pthread_mutex_unlock(&fs->snapshots.change);
    return err;
}

static int rename_entry(struct fs *fs, const char *from, const char *to)
{
    struct snapshot_table *t = &fs->snapshots;
    struct snapshot_entry *e = by_name(t, from);
    int err = e ? store_pin_rename(fs->store, from, to) : -ENOENT;
    assert(err <= 0); /* what is in the table is in the store */
    if (err < 0)
        return err;
    char *name = mem_strdup(to);
    pthread_rwlock_wrlock(&t->lock);
    free(e->name);
    e->name = name;
    pthread_rwlock_unlock(&t->lock);
    return 0;
}

int snapshot_rename(struct fs *fs, const char *from, const char *to)
{
    int err = dir_check_name(to);
    if (err == 0 && fs->read_only)
        err = -EROFS;
    if (err < 0)
        return err;
    pthread_mutex_lock(&fs->snapshots.change);
    err = rename_entry(fs, from, to);
    pthread_mutex_unlock(&fs->snapshots.change);
    return err;
}

int snapshot_find(struct fs *fs, const char *name, uint64_t *number)
{
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    const struct snapshot_entry *e = by_name(&fs->snapshots, name);
    *number = e ? e->number : 0;
    pthread_rwlock_unlock(&fs->snapshots.lock);
    return e ? 0 : -ENOENT;
}

int snapshot_seq(struct fs *fs, const char *name, uint64_t *seq)
{
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    const struct snapshot_entry *e = by_name(&fs->snapshots, name);
    *seq = e ? e->seq : 0;
    pthread_rwlock_unlock(&fs->snapshots.lock);
    return e ? 0 : -ENOENT;
}

int snapshot_root(struct fs *fs, uint64_t number, struct fs_attr *attr)
{
    struct reader r;
    struct inode n;
    uint64_t ino = ino_join(number, FS_INO_ROOT);
    int err = reader_begin(fs, ino, &r);
    if (err < 0)
        return err;
    err = inode_get(&r.read, FS_INO_ROOT, &n);
    if (err == 0)
        inode_attr(fs, &n, number, attr);
    reader_end(&r);
    return err;
}

int snapshot_after(struct fs *fs, uint64_t after, uint64_t *number, char *name)
{
    const struct snapshot_table *t = &fs->snapshots;
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    size_t i = snapshot_place(t, after + 1);
    bool found = i < t->count;
    if (found) {
        *number = t->entries[i].number;
        memcpy(name, t->entries[i].name, strlen(t->entries[i].name) + 1);
    }
    pthread_rwlock_unlock(&fs->snapshots.lock);
    return found ? 0 : 1;
}

size_t snapshot_count(struct fs *fs)
{
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    size_t count = fs->snapshots.count;
    pthread_rwlock_unlock(&fs->snapshots.lock);
    return count;
}

bool snapshot_exists(struct fs *fs, uint64_t number)
{
    const struct snapshot_table *t = &fs->snapshots;
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    size_t at = snapshot_place(t, number);
    bool exists = at < t->count && t->entries[at].number == number;
    pthread_rwlock_unlock(&fs->snapshots.lock);
    return exists;
}
