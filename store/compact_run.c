/* compact_run: see compact_run.h. Producing and installing are apart: until tree_install() nothing
 * refers to the outputs. */
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

/* Adds a table to the inputs: its entries as a cursor, its tombstones to the builder. */
static int add_input(struct version_table *vt, struct iter **children, size_t *count,
                     struct rangedel_builder *dels)
{
    struct table *table;
    int err = version_table_open(vt, &table);
    if (err < 0)
        return err;
    const struct rangedel *r = table_rangedel(table);
    for (size_t i = 0; i < rangedel_count(r); i++) {
        struct rangedel_fragment f = rangedel_at(r, i);
        for (uint32_t k = 0; k < f.seq_count; k++)
            rangedel_builder_add(dels, f.start, f.end, f.seqs[k]);
    }
    children[(*count)++] = table_iter_new(table, TABLE_ITER_READAHEAD);
    return 0;
}

static int open_inputs(const struct pick *p, struct iter **input, struct rangedel **dels)
{
    struct iter **children = mem_alloc((p->upper_count + p->lower_count) * sizeof *children);
    struct rangedel_builder *b = rangedel_builder_new();
    size_t count = 0;
    int err = 0;
    for (uint32_t i = 0; i < p->upper_count && err == 0; i++)
        err = add_input(p->upper[i], children, &count, b);
    for (uint32_t i = 0; i < p->lower_count && err == 0; i++)
        err = add_input(p->lower[i], children, &count, b);
    if (err == 0) {
        *input = iter_merge_new(children, count);
        *dels = rangedel_build(b);
    } else {
        while (count > 0)
            iter_free(children[--count]);
    }
    rangedel_builder_free(b);
    free(children);
    return err;
}

static int rewrite(struct tree *t, const struct pick *p)
{
    struct job j;
    struct iter *input;
    struct rangedel *dels;
    job_init(&j, t, p->output_level);
    j.table_bytes = t->opt.table_bytes;
    j.is_compaction = true;
    int err = open_inputs(p, &input, &dels);
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
    }
    job_release(&j);
    return err;
}

int compact_run(struct tree *t, const struct pick *p)
{
    assert(p->upper_count > 0 && p->input_level <= p->output_level);
    int err = p->trivial_move ? move(t, p) : rewrite(t, p);
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
