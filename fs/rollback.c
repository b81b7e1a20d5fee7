/* rollback: see rollback.h (docs/decisions/0060 says why in this way).
 *
 * Every record that is another one than in the snapshot, and only those, is written anew as it was,
 * or deleted, by a bulk ingestion: nobody sees anything of it before all of it is there, and on
 * disk. History goes on in one line: all snapshots stay as they are, also later ones.
 *
 * One record does not go back: how far inode numbers were given out. A number that was used is
 * never used again, for snapshots and handles still know whose it was. */
#include "fs/rollback.h"

enum { TELL_EVERY = 256 };

struct going_back {
    struct fs *fs;
    struct store_since *since;
    struct store_ingest *ingest;
    struct buf before;
    fs_progress_fn *fn;
    void *ctx;
    uint64_t done;
    struct fs_rollback *out;
};

static bool stays(struct slice key)
{
    struct key next_ino = key_super(SUPER_NEXT_INO);
    return slice_eq(key, key_slice(&next_ino));
}

/* The value that the key had into g->before. 0; 1: it is the same now; or an error. */
static int value_before(struct going_back *g)
{
    struct slice value;
    int err = store_since_value(g->since, STORE_BEFORE, &value);
    assert(err != 1);
    if (err < 0)
        return err;
    buf_set(&g->before, value);
    err = store_since_value(g->since, STORE_AFTER, &value);
    if (err < 0)
        return err;
    return err == 0 && slice_eq(value, buf_slice(&g->before));
}

static int go_back(struct going_back *g, const struct store_change *c)
{
    if (stays(c->key))
        return 0;
    if (c->kind == STORE_CHANGE_CREATED) {
        g->out->removed++;
        return store_ingest_delete(g->ingest, c->key);
    }
    int err = value_before(g);
    if (err != 0)
        return err < 0 ? err : 0;
    g->out->restored++;
    g->out->bytes += g->before.len;
    return store_ingest_put(g->ingest, c->key, buf_slice(&g->before));
}

static int tell(struct going_back *g)
{
    bool due = g->fn && ++g->done % TELL_EVERY == 0;
    return due && g->fn(g->ctx, g->done, 0) ? -EINTR : 0;
}

static int go_through(struct going_back *g)
{
    struct store_change c;
    int err;
    while ((err = store_since_next(g->since, &c)) == 0) {
        err = go_back(g, &c);
        if (err == 0)
            err = tell(g);
        if (err < 0)
            return err;
    }
    return err < 0 ? err : 0;
}

int rollback_to(struct fs *fs, uint64_t seq, fs_progress_fn *fn, void *ctx, struct fs_rollback *out)
{
    struct going_back g = {.fs = fs, .fn = fn, .ctx = ctx, .out = out};
    struct store_read read;
    struct slice none = {0};
    *out = (struct fs_rollback){0};
    store_read_begin(fs->store, &read);
    int err = store_since_new(&read, seq, none, none, STORE_SINCE_KEYS, &g.since);
    if (err == 0) {
        g.ingest = store_ingest_new(fs->store);
        err = go_through(&g);
        if (err == 0)
            err = store_ingest_finish(g.ingest);
        store_ingest_free(g.ingest);
        store_since_free(g.since);
    }
    store_read_end(&read);
    buf_release(&g.before);
    return err == 0 ? volume_reload(fs) : err;
}
