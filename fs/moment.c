/* moment: see moment.h. */
#include "fs/moment.h"

int moment_of(const struct store_read *read, uint64_t number, int64_t created_ns,
              struct stream_moment *out)
{
    struct store_value v = {0};
    struct received_record r;
    struct key k = key_super(SUPER_RECEIVED);
    *out = (struct stream_moment){.seq = read->seq, .created_ns = created_ns};
    int err = store_get(read, key_slice(&k), &v);
    if (err == 0 && received_decode(v.data, &r) < 0)
        err = corrupt("the superblock", UINT64_MAX, "what was received does not decode");
    /* Later snapshots have the record too, but it is not of them. */
    if (err == 0 && r.pin_tag == number && r.pin_created_ns == created_ns)
        *out = (struct stream_moment){.seq = r.seq, .created_ns = r.created_ns};
    store_value_release(&v);
    return err < 0 ? err : 0;
}

/* [snapshots.lock] */
static int moment_of_entry(struct fs *fs, const struct snapshot_entry *e, struct stream_moment *out)
{
    struct store_read read;
    store_read_begin_at(fs->store, e->seq, &read);
    int err = moment_of(&read, e->number, e->created_ns, out);
    store_read_end(&read);
    return err;
}

int moment_of_name(struct fs *fs, const char *name, uint64_t *seq, struct stream_moment *out)
{
    const struct snapshot_table *t = &fs->snapshots;
    int err = -ENOENT;
    *seq = 0;
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    for (size_t i = 0; i < t->count && err == -ENOENT; i++)
        if (strcmp(t->entries[i].name, name) == 0) {
            *seq = t->entries[i].seq;
            err = moment_of_entry(fs, &t->entries[i], out);
        }
    pthread_rwlock_unlock(&fs->snapshots.lock);
    return err;
}

int moment_find(struct fs *fs, const struct stream_moment *wanted, uint64_t *seq, char **name)
{
    const struct snapshot_table *t = &fs->snapshots;
    int err = 1;
    *seq = 0;
    *name = NULL;
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    for (size_t i = 0; i < t->count && err == 1; i++) {
        struct stream_moment m;
        err = moment_of_entry(fs, &t->entries[i], &m);
        if (err == 0 && !moment_same(&m, wanted))
            err = 1;
        if (err == 0) {
            *seq = t->entries[i].seq;
            *name = mem_strdup(t->entries[i].name);
        }
    }
    pthread_rwlock_unlock(&fs->snapshots.lock);
    return err;
}
