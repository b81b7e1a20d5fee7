/* compact_run: see compact_run.h.
 *
 * Invariants:
 *   1. Producing and installing are apart: until tree_install() nothing refers to the outputs.
 *   2. Everything that is dropped, by entries or by whole tables, is counted as garbage of the blob
 *      file that holds its value.
 *   3. A table is dropped unread only if one newer tombstone after another covers its whole span,
 *      each for every reader that sees anything of the table; whatever its own tombstones hide
 *      further down, these hide, too. */
#include "store/compact_run.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/job.h"

static void remove_inputs(struct edit *e, const struct pick *p)
{
    for (uint32_t i = 0; i < p->upper_count; i++)
        edit_remove_table(e, p->input_level, p->upper[i]->meta->number);
    for (uint32_t i = 0; i < p->lower_count; i++)
        edit_remove_table(e, p->output_level, p->lower[i]->meta->number);
}

static int move(struct tree *t, const struct pick *p)
{
    struct edit edit;
    edit_init(&edit);
    remove_inputs(&edit, p);
    for (uint32_t i = 0; i < p->upper_count; i++)
        edit_add_table(&edit, p->output_level, p->upper[i]->meta);
    int err = tree_install(t, &edit, NULL, 0);
    edit_release(&edit);
    return err;
}

/* ---- inputs ---- */

struct inputs {
    struct job *job;
    struct iter **children;
    size_t count;
    struct rangedel_builder *dels; /* of all tables so far */
};

/* The oldest of the fragment's numbers that is above everything in the table; 0: none is. */
static uint64_t hider(const struct rangedel_fragment *f, const struct table_meta *m)
{
    uint64_t seq = 0;
    for (uint32_t i = 0; i < f->seq_count && f->seqs[i] > m->max_seq; i++)
        seq = f->seqs[i];
    return seq;
}

/* Does some pin see entries of the table, but not the tombstone? */
static bool pin_between(const struct tree_readers *r, const struct table_meta *m, uint64_t seq)
{
    for (size_t i = 0; i < r->pin_count; i++)
        if (r->pins[i] > m->min_seq && r->pins[i] <= seq)
            return true;
    return false;
}

/* Do tombstones of others hide the whole table from everyone? Those below `*lost` do. */
static bool hidden(const struct job *j, const struct rangedel *dels, const struct table_meta *m,
                   uint64_t *lost)
{
    struct slice at = buf_slice(&m->smallest), limit = buf_slice(&m->limit);
    *lost = 0;
    for (size_t i = rangedel_find(dels, at); i < rangedel_count(dels); i++) {
        struct rangedel_fragment f = rangedel_at(dels, i);
        uint64_t seq = slice_cmp(f.start, at) <= 0 ? hider(&f, m) : 0;
        if (seq == 0 || pin_between(&j->readers, m, seq))
            return false;
        *lost = seq >= *lost ? seq + 1 : *lost;
        at = f.end;
        if (slice_cmp(at, limit) >= 0)
            return true;
    }
    return false;
}

/* A table that is hidden is dropped as it is, without being read. */
static void drop(struct job *j, const struct table_meta *m, uint64_t lost)
{
    job_lose_history(j, lost);
    for (uint32_t i = 0; i < m->share_count; i++)
        edit_add_garbage(&j->edit, m->shares[i].file, m->shares[i].count, m->shares[i].bytes);
}

static void add_rangedels(struct rangedel_builder *b, const struct rangedel *r)
{
    for (size_t i = 0; i < rangedel_count(r); i++) {
        struct rangedel_fragment f = rangedel_at(r, i);
        for (uint32_t k = 0; k < f.seq_count; k++)
            rangedel_builder_add(b, f.start, f.end, f.seqs[k]);
    }
}

/* A table's entries as a cursor, its tombstones to the builder. */
static int add_input(struct inputs *in, struct version_table *vt)
{
    struct table *table;
    int err = version_table_open(vt, &table);
    if (err < 0)
        return err;
    add_rangedels(in->dels, table_rangedel(table));
    in->children[in->count++] =
        table_iter_new_masked(table, TABLE_ITER_READAHEAD, job_drop_blob, in->job);
    return 0;
}

static int add_upper(struct inputs *in, const struct pick *p)
{
    int err = 0;
    for (uint32_t i = 0; i < p->upper_count && err == 0; i++)
        err = add_input(in, p->upper[i]);
    return err;
}

static int add_lower(struct inputs *in, const struct pick *p)
{
    struct rangedel *upper_dels = rangedel_build(in->dels);
    int err = 0;
    add_rangedels(in->dels, upper_dels);
    for (uint32_t i = 0; i < p->lower_count && err == 0; i++) {
        const struct table_meta *m = p->lower[i]->meta;
        uint64_t lost;
        if (hidden(in->job, upper_dels, m, &lost))
            drop(in->job, m, lost);
        else
            err = add_input(in, p->lower[i]);
    }
    rangedel_unref(upper_dels);
    return err;
}

static int open_inputs(struct job *j, const struct pick *p, struct iter **input,
                       struct rangedel **dels)
{
    struct inputs in = {.job = j,
                        .children =
                            mem_alloc((p->upper_count + p->lower_count) * sizeof *in.children),
                        .dels = rangedel_builder_new()};
    int err = add_upper(&in, p);
    if (err == 0)
        err = add_lower(&in, p);
    if (err == 0) {
        *input = iter_merge_new(in.children, in.count);
        *dels = rangedel_build(in.dels);
    } else {
        while (in.count > 0)
            iter_free(in.children[--in.count]);
    }
    rangedel_builder_free(in.dels);
    free(in.children);
    return err;
}

/* ---- the job ---- */

static int rewrite(struct tree *t, const struct pick *p, const struct job_watch *watch)
{
    struct job j;
    struct iter *input;
    struct rangedel *dels;
    job_init(&j, t, p->output_level);
    j.table_bytes = j.set->o.table_bytes;
    j.is_compaction = true;
    j.watch = watch;
    j.relocate = relocate_begin(t, &j.set->o, j.version, p);
    int err = open_inputs(&j, p, &input, &dels);
    if (err == 0) {
        err = job_run(&j, input, dels);
        rangedel_unref(dels);
    }
    if (err == 0) {
        remove_inputs(&j.edit, p);
        err = tree_install(t, &j.edit, NULL, 0);
        if (err < 0)
            job_rollback(&j, err);
    }
    if (err == 0) {
        tree_count(&t->counters.written_compaction, j.written_table);
        tree_count(&t->counters.written_blob, j.written_blob);
        tree_count(&t->counters.moved_blob, relocate_moved(j.relocate));
    }
    job_release(&j);
    return err;
}

int compact_run(struct tree *t, const struct pick *p, const struct job_watch *watch)
{
    assert(p->upper_count > 0 && p->input_level <= p->output_level);
    int err = p->trivial_move ? move(t, p) : rewrite(t, p, watch);
    if (err == 0) {
        tree_count(&t->counters.compactions, 1);
        log_message(LOG_INFO,
                    "compaction: %" PRIu32 " tables of level %d and %" PRIu32
                    " of level %d, %" PRIu64 " bytes%s",
                    p->upper_count, p->input_level, p->lower_count, p->output_level, p->input_bytes,
                    p->trivial_move ? ", moved" : "");
    }
    return err;
}
