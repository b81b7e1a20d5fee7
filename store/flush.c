/* flush: see flush.h.
 *
 * Order of writes: blob files of the memtables synced; tables and new blob files written and
 * synced; folder synced; edit. Until the edit is on disk the logs stay, so a crash anywhere leaves
 * the memtables to be replayed. */
#include "store/flush.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/job.h"

static int sync_blob(struct tree *t, const struct memgen *g)
{
    if (!g->blob)
        return 0;
    char *path = name_file(t->dir, FILE_BLOB, g->blob->number);
    struct env_file *f;
    int err = t->env->open(t->env, path, ENV_OPEN_WRITE, &f);
    if (err == 0) {
        err = f->ops->sync(f);
        f->ops->close(f);
    }
    free(path);
    return err < 0 ? tree_fail(t, err, "cannot sync a blob file") : 0;
}

/* The blob files enter the version with all that the logs refer to; what the flush drops is counted
 * as garbage. */
static int add_blob(struct job *j, const struct memgen *g)
{
    if (!g->blob || g->blob_frames == 0)
        return 0;
    uint64_t size;
    char *path = name_file(j->tree->dir, FILE_BLOB, g->blob->number);
    int err = j->tree->env->file_size(j->tree->env, path, &size);
    if (err == 0)
        edit_add_blob(&j->edit, g->blob->number, g->blob_frames, g->blob_bytes, size);
    else
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
        int err = sync_blob(j->tree, gens[i]);
        if (err == 0)
            err = add_blob(j, gens[i]);
        if (err < 0)
            return err;
    }
    struct rangedel *dels;
    struct iter *input = merged(gens, count, &dels);
    int err = job_run(j, input, dels);
    rangedel_unref(dels);
    return err;
}

int flush_run(struct tree *t)
{
    struct job j;
    job_init(&j, t, 0);
    /* All but the active one; the newest of them borders on gens[0], which tells where the tables
     * will end. */
    uint32_t count = j.view->gen_count ? j.view->gen_count - 1 : 0;
    struct memgen **gens = j.view->gens + 1;
    int err = 1;
    if (count > 0) {
        err = produce(&j, gens, count);
        if (err == 0) {
            j.edit.has_flushed = j.edit.has_log = true;
            j.edit.flushed_seq = j.view->gens[0]->first_seq;
            j.edit.log_number = j.view->gens[0]->log_number;
            err = tree_install(t, &j.edit, gens, count);
            if (err < 0)
                job_rollback(&j, err);
        }
    }
    if (err == 0) {
        for (uint32_t i = 0; i < count; i++)
            purge_add(&t->purge, FILE_LOG, gens[i]->log_number);
        tree_count(&t->counters.flushes, 1);
        tree_count(&t->counters.written_flush, j.written_table);
        tree_count(&t->counters.written_blob, j.written_blob);
    }
    job_release(&j);
    return err;
}
