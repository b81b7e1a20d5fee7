/* snapshot: see snapshot.h. Readers of a snapshot hold the table's lock for reading, so a deletion
 * waits until they are done; taking one does not wait for readers of others longer than it takes to
 * add a line to the table. */
#include "fs/snapshot.h"

#include "fs/dir.h"

static struct snapshot_entry *by_name(struct snapshot_table *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->entries[i].name, name) == 0)
            return &t->entries[i];
    return NULL;
}

/* A number that no snapshot has, going round. [lock held] 0: there is none. */
static uint64_t free_number(struct snapshot_table *t)
{
    if (t->count >= FS_SNAPSHOTS_MAX)
        return 0;
    for (uint64_t n = t->last_number;;) {
        n = n >= FS_SNAPSHOTS_MAX ? 1 : n + 1;
        size_t i = 0;
        while (i < t->count && t->entries[i].number != n)
            i++;
        if (i == t->count)
            return n;
    }
}

static void insert(struct snapshot_table *t, const char *name, uint64_t number,
                   const struct store_pin *pin)
{
    t->entries = mem_realloc(t->entries, (t->count + 1) * sizeof *t->entries);
    size_t i = t->count++;
    for (; i > 0 && t->entries[i - 1].number > number; i--)
        t->entries[i] = t->entries[i - 1];
    t->entries[i] = (struct snapshot_entry){
        .number = number, .seq = pin->seq, .created_ns = pin->created_ns, .name = mem_strdup(name)};
    t->last_number = number;
}

int snapshot_create(struct fs *fs, const char *name)
{
    struct snapshot_table *t = &fs->snapshots;
    struct store_pin pin;
    int err = dir_check_name(name);
    if (err < 0)
        return err;
    if (fs->read_only)
        return -EROFS;
    pthread_rwlock_wrlock(&t->lock);
    uint64_t number = by_name(t, name) ? 0 : free_number(t);
    if (number == 0)
        err = by_name(t, name) ? -EEXIST : -EMLINK;
    if (err == 0)
        err = store_pin_create(fs->store, name, number, &pin);
    if (err == 0)
        insert(t, name, number, &pin);
    pthread_rwlock_unlock(&t->lock);
    return err;
}

int snapshot_delete(struct fs *fs, const char *name)
{
    struct snapshot_table *t = &fs->snapshots;
    if (fs->read_only)
        return -EROFS;
    pthread_rwlock_wrlock(&t->lock);
    struct snapshot_entry *e = by_name(t, name);
    int err = e ? store_pin_delete(fs->store, name) : -ENOENT;
    if (err == 0) {
        free(e->name);
        size_t i = (size_t)(e - t->entries);
        memmove(e, e + 1, (t->count - i - 1) * sizeof *e);
        t->count--;
    }
    pthread_rwlock_unlock(&t->lock);
    return err == 1 ? -ENOENT : err;
}

int snapshot_rename(struct fs *fs, const char *from, const char *to)
{
    struct snapshot_table *t = &fs->snapshots;
    int err = dir_check_name(to);
    if (err < 0)
        return err;
    if (fs->read_only)
        return -EROFS;
    pthread_rwlock_wrlock(&t->lock);
    struct snapshot_entry *e = by_name(t, from);
    err = e ? store_pin_rename(fs->store, from, to) : -ENOENT;
    if (err == 0) {
        free(e->name);
        e->name = mem_strdup(to);
    }
    pthread_rwlock_unlock(&t->lock);
    return err == 1 ? -ENOENT : err;
}

int snapshot_find(struct fs *fs, const char *name, uint64_t *number)
{
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    const struct snapshot_entry *e = by_name(&fs->snapshots, name);
    *number = e ? e->number : 0;
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
    int err = 1;
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    for (size_t i = 0; i < t->count && err == 1; i++) {
        if (t->entries[i].number <= after)
            continue;
        *number = t->entries[i].number;
        memcpy(name, t->entries[i].name, strlen(t->entries[i].name) + 1);
        err = 0;
    }
    pthread_rwlock_unlock(&fs->snapshots.lock);
    return err;
}
