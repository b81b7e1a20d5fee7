/* flush: see flush.h.
 *
 * The oldest go first, so what is in tables is a prefix of history. Order of writes: blob files of
 * the memtables synced; tables and new blob files written and synced; folder synced; edit. Until
 * the edit is on disk the logs stay, so a crash anywhere leaves the memtables to be replayed. */
#include "store/flush.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/job.h"

/* Of flushes that tell how fast flushes are; and what is never believed to be less. */
enum { RATE_BYTES_MIN = 1 << 20, RATE_MIN = 1 << 20 };

/* Nobody writes to the blob file any more: it can have parity. Its name is synced with those of the
 * tables; if it is lost the file is as good without. */
static void protect(struct tree *t, uint64_t number)
{
    struct parity_options parity = tree_parity(t);
    uint64_t bytes;
    if (parity.parity == 0)
        return;
    parity_make(t->env, t->dir, FILE_BLOB, number, t->uuid, &parity, &bytes);
    tree_count(&t->counters.written_parity, bytes);
}

static int add_blob_key(struct job *j, struct version_blob *blob)
{
    struct blob_reader *reader;
    int err = j->tree->keys ? version_blob_open(blob, &reader) : 1;
    if (err == 0) {
        const struct file_header *h = blob_reader_header(reader);
        edit_set_blob_key(&j->edit, blob->number, h->key_epoch, file_header_sum(h));
    }
    return err == 1 ? 0 : err;
}

/* A blob file enters the version with all that the log refers to; what the flush drops is counted
 * as garbage. */
static int add_blob(struct job *j, const struct memgen *g)
{
    struct tree *t = j->tree;
    uint64_t size;
    if (!g->blob || g->blob_frames == 0)
        return 0;
    char *path = name_file(t->dir, FILE_BLOB, g->blob->number);
    int err = tree_sync_file(t, FILE_BLOB, g->blob->number);
    if (err == 0)
        err = t->env->file_size(t->env, path, &size);
    if (err == 0)
        protect(t, g->blob->number);
    if (err == 0) {
        edit_add_blob(&j->edit, g->blob->number, g->blob_frames, g->blob_bytes, size);
        err = add_blob_key(j, g->blob);
    } else if (err == -ENOENT)
        err = corrupt(path, UINT64_MAX, "it is gone");
    free(path);
    return err;
}

static struct iter *merged(struct memgen **gens, uint32_t count, struct rangedel **dels)
{
    struct iter **children = mem_alloc(count * sizeof(struct iter *));
    struct rangedel_builder *b = rangedel_builder_new();
    for (uint32_t i = 0; i < count; i++) {
        children[i] = memtable_iter_new(gens[i]->mem);
        memtable_rangedels(gens[i]->mem, b);
    }
    *dels = rangedel_build(b);
    rangedel_builder_free(b);
    struct iter *it = iter_merge_new(children, count);
    free(children);
    return it;
}

static int produce(struct job *j, struct memgen **gens, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int err = add_blob(j, gens[i]);
        if (err < 0)
            return err;
    }
    struct rangedel *dels;
    struct iter *input = merged(gens, count, &dels);
    int err = job_run(j, input, dels);
    rangedel_unref(dels);
    return err;
}

static int install(struct job *j, struct memgen **gens, uint32_t count)
{
    /* The next newer one tells where the tables will end. */
    const struct memgen *next = gens[-1];
    j->edit.has_flushed = j->edit.has_log = true;
    j->edit.flushed_seq = next->first_seq;
    j->edit.log_number = next->log_number;
    int err = tree_install(j->tree, &j->edit, gens, count);
    if (err < 0)
        job_rollback(j, err);
    return err;
}

static bool any_damaged(struct memgen *const *gens, uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++)
        any |= memtable_is_damaged(gens[i]->mem);
    return any;
}

/* The number of the oldest sealed ones that have at most `bytes`, but one if there is any; `*sum`:
 * what they have. */
static uint32_t choose(const struct view *v, uint64_t bytes, uint64_t *sum)
{
    uint32_t count = 0;
    *sum = 0;
    while (count + 1 < v->gen_count) {
        uint64_t more = memtable_bytes(v->gens[v->gen_count - 1 - count]->mem);
        if (count > 0 && *sum + more > bytes)
            break;
        *sum += more;
        count++;
    }
    return count;
}

/* The moving average over the last few; what is too little to tell the speed by is left out. */
static void note_rate(struct tree *t, uint64_t bytes, uint64_t began_ns)
{
    uint64_t took = t->env->monotonic_ns(t->env) - began_ns;
    if (bytes < RATE_BYTES_MIN || took == 0)
        return;
    double now = (double)bytes / (double)took * 1e9;
    uint64_t before = __atomic_load_n(&t->flush_rate, __ATOMIC_RELAXED);
    uint64_t rate = (uint64_t)(before ? (3 * (double)before + now) / 4 : now);
    __atomic_store_n(&t->flush_rate, rate > RATE_MIN ? rate : RATE_MIN, __ATOMIC_RELAXED);
}

/* Have point reads, since the last flush began, found as much as the blocks of `bytes` are many?
 * Then what was just written is likely to be read, and goes to the cache on its way. */
static bool reads_follow(struct tree *t, uint64_t bytes, uint32_t block_bytes)
{
    uint64_t found = counters_sum(&t->counts, COUNT_GET) - counters_sum(&t->counts, COUNT_ABSENT);
    uint64_t more = found > t->flush_found ? found - t->flush_found : 0;
    t->flush_found = found;
    return more >= bytes / block_bytes + 1;
}

int flush_run(struct tree *t, uint64_t bytes)
{
    struct job j;
    uint64_t sum;
    job_init(&j, t, 0);
    uint32_t count = choose(j.view, bytes, &sum);
    struct memgen **gens = j.view->gens + j.view->gen_count - count;
    j.flush_bytes = sum;
    for (uint32_t i = 0; i < count; i++)
        j.flush_entries += memtable_entry_count(gens[i]->mem);
    __atomic_store_n(&t->flush_left, sum, __ATOMIC_RELAXED);
    j.all_warm = count > 0 && reads_follow(t, sum, j.set->o.block_bytes);
    int err = count ? produce(&j, gens, count) : 1;
    if (err == -EIO && any_damaged(gens, count)) /* the logs have the right ones still */
        err = tree_fail(t, err, "an entry in memory has changed, and is not written to disk");
    if (err == 0)
        err = install(&j, gens, count);
    if (err == 0) {
        note_rate(t, sum, j.edit.began_ns);
        for (uint32_t i = 0; i < count; i++)
            if (gens[i]->log_number <
                gens[-1]->log_number) /* not the beginning of a log (recovery) */
                purge_add(&t->purge, FILE_LOG, gens[i]->log_number);
        tree_count(&t->counters.flushes, 1);
        tree_count(&t->counters.written_flush, j.written_table);
        tree_count(&t->counters.written_blob, j.written_blob);
    }
    __atomic_store_n(&t->flush_left, 0, __ATOMIC_RELAXED);
    job_release(&j);
    return err;
}
