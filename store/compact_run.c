/* compact_run: see compact_run.h.
 *
 * Invariants:
 *   1. Producing and installing are apart: until tree_install() nothing refers to the outputs.
 *   2. Everything that is dropped, by entries or by whole tables, is counted as garbage of the blob
 *      file that holds its value.
 *   3. A table is dropped unread only if one newer tombstone after another covers its whole span,
 *      each for every reader that sees anything of the table; whatever its own tombstones hide
 *      further down, these hide, too.
 *   4. A large job is cut at user keys into parts that run side by side, each with outputs within
 * its own keys. They are installed by one edit, or, if one fails, removed all.
 *   5. A slice has outputs below its key only, and the inputs have only keys from there on
 * afterwards: by the same edit. */
#include "store/compact_run.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/compact_cut.h"
#include "store/compact_dict.h"
#include "store/compact_slice.h"
#include "store/pace.h"
#include "store/rekey.h"

enum { PART_TABLES = 2 }; /* full ones that a part of a job reads at least */

static void remove_inputs(struct edit *e, const struct pick *p)
{
    for (uint32_t i = 0; i < p->upper_count; i++)
        if (pick_takes(p, p->upper[i]))
            edit_remove_table(e, p->input_level, p->upper[i]->meta->number);
    for (uint32_t i = 0; i < p->lower_count; i++)
        if (pick_takes(p, p->lower[i]))
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
    struct slicing *slicing; /* NULL: it is no slice */
    bool whole;              /* the job is all of it; otherwise a part */
    bool counts;             /* what is dropped unread is counted here, not by another part */
    struct iter **children;
    struct table **tables; /* borrowed: of the same number */
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
static int add_input(struct inputs *in, int level, struct version_table *vt)
{
    struct table *table;
    int err = version_table_open(vt, &table);
    if (err < 0)
        return err;
    add_rangedels(in->dels, table_rangedel(table));
    in->tables[in->count] = table;
    struct iter *it =
        in->whole ? table_iter_new_masked(table, TABLE_ITER_READAHEAD, job_drop_blob, in->job)
                  : table_iter_new(table, TABLE_ITER_READAHEAD);
    in->children[in->count++] = in->slicing ? slicing_watch(in->slicing, level, vt, table, it) : it;
    return 0;
}

static int add_upper(struct inputs *in, const struct pick *p)
{
    int err = 0;
    for (uint32_t i = 0; i < p->upper_count && err == 0; i++)
        if (pick_takes(p, p->upper[i]))
            err = add_input(in, p->input_level, p->upper[i]);
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
        if (!pick_takes(p, p->lower[i]))
            continue;
        if (!hidden(in->job, upper_dels, m, &lost))
            err = add_input(in, p->output_level, p->lower[i]);
        else if (in->counts)
            drop(in->job, m, lost);
    }
    rangedel_unref(upper_dels);
    return err;
}

/* What of them lies in the part's keys. */
static struct rangedel *clip(struct rangedel_builder *all, const struct job *j)
{
    struct rangedel *r = rangedel_build(all);
    if (j->first.len == 0 && j->limit.len == 0)
        return r;
    struct rangedel_builder *b = rangedel_builder_new();
    for (size_t i = 0; i < rangedel_count(r); i++) {
        struct rangedel_fragment f = rangedel_at(r, i);
        if (slice_cmp(f.start, j->first) < 0)
            f.start = j->first;
        if (j->limit.len > 0 && slice_cmp(f.end, j->limit) > 0)
            f.end = j->limit;
        for (uint32_t k = 0; k < f.seq_count && slice_cmp(f.start, f.end) < 0; k++)
            rangedel_builder_add(b, f.start, f.end, f.seqs[k]);
    }
    struct rangedel *clipped = rangedel_build(b);
    rangedel_builder_free(b);
    rangedel_unref(r);
    return clipped;
}

static int open_inputs(struct job *j, const struct pick *p, bool whole, struct slicing *slicing,
                       struct iter **input, struct rangedel **dels)
{
    struct inputs in = {.job = j,
                        .slicing = slicing,
                        .whole = whole,
                        .counts = j->first.len == 0,
                        .children =
                            mem_alloc((p->upper_count + p->lower_count) * sizeof *in.children),
                        .tables = mem_alloc((p->upper_count + p->lower_count) * sizeof *in.tables),
                        .dels = rangedel_builder_new()};
    int err = add_upper(&in, p);
    if (err == 0)
        err = add_lower(&in, p);
    if (err == 0) {
        *input = iter_merge_new(in.children, in.count);
        *dels = clip(in.dels, j);
        j->dict = compact_dict(j, p, in.tables, in.count);
    } else {
        while (in.count > 0)
            iter_free(in.children[--in.count]);
    }
    rangedel_builder_free(in.dels);
    free(in.children);
    free(in.tables);
    return err;
}

/* ---- the job, in parts ---- */

struct part {
    struct job job;
    struct iter *input;
    struct rangedel *dels;
    struct slicing *slicing; /* NULL: it is no slice */
    bool *stop;              /* atomic: of all parts */
    int err;
    struct env_thread *thread; /* NULL: it runs in the caller's */
};

struct parts {
    struct part list[COMPACT_PARTS_MAX];
    struct buf cuts[COMPACT_PARTS_MAX - 1];
    uint32_t count;
    bool stop; /* atomic */
};

/* Jobs that are for more than merging are not cut: the values that they move are to lie together,
 * and they have to come to an end. Nor are those of tables of which a part is not seen: what of
 * that is garbage is only told by a cursor that goes through the whole table. */
static bool may_cut(struct tree *t, const struct pick *p)
{
    if ((p->reason != PICK_LEVEL0 && p->reason != PICK_SIZE && p->reason != PICK_MANUAL) ||
        rekey_epoch(t) != 0 || p->until.len > 0)
        return false;
    for (uint32_t i = 0; i < p->upper_count; i++)
        if (p->upper[i]->meta->cut_seq != 0)
            return false;
    for (uint32_t i = 0; i < p->lower_count; i++)
        if (p->lower[i]->meta->cut_seq != 0)
            return false;
    return true;
}

/* Would more threads only take the processor from readers and writers? Where compactions are so far
 * behind that writers are slowed, they get it all the same. */
static bool is_crowded(struct tree *t)
{
    uint32_t trigger = setting_u32(&t->settings.live.level0_tables);
    return __atomic_load_n(&t->level0, __ATOMIC_RELAXED) < pace_level0_slow(trigger) &&
           squad_crowded(t->squad);
}

/* As many as there are workers, if each has a few tables to write. */
static uint32_t parts_wanted(struct tree *t, const struct pick *p)
{
    uint64_t each = PART_TABLES * setting_u64(&t->settings.live.table_bytes);
    uint64_t most = p->input_bytes / each, workers = setting_u32(&t->settings.live.workers);
    most = most < workers ? most : workers;
    most = most < COMPACT_PARTS_MAX ? most : COMPACT_PARTS_MAX;
    bool go = most > 1 && may_cut(t, p) && (p->reason == PICK_MANUAL || !is_crowded(t));
    return go ? (uint32_t)most : 1;
}

/* All parts go by the same pins: what one drops unread, and counts, the others pass over. */
static void share_readers(struct job *j, const struct job *first)
{
    const struct tree_readers *r = &first->readers;
    tree_readers_release(&j->readers);
    j->readers.pin_count = r->pin_count;
    j->readers.pins = mem_dup(r->pins, r->pin_count * sizeof *r->pins);
}

static int part_open(struct parts *all, uint32_t i, struct tree *t, const struct pick *p)
{
    struct part *part = &all->list[i];
    struct job *j = &part->job;
    job_init(j, t, p->output_level);
    if (i > 0)
        share_readers(j, &all->list[0].job);
    j->table_bytes = j->set->o.table_bytes;
    j->is_compaction = true;
    part->stop = &all->stop;
    j->stop = all->count > 1 ? &all->stop : NULL;
    if (i > 0)
        j->first = buf_slice(&all->cuts[i - 1]);
    if (i + 1 < all->count)
        j->limit = buf_slice(&all->cuts[i]);
    j->relocate = relocate_begin(t, &j->set->o, j->version, p);
    if (p->until.len > 0) {
        assert(all->count == 1);
        j->limit = buf_slice(&p->until);
        part->slicing = slicing_new(j->limit);
    }
    return open_inputs(j, p, all->count == 1, part->slicing, &part->input, &part->dels);
}

/* The first that fails has the others end. */
static void part_run(void *arg)
{
    struct part *part = arg;
    part->err = job_run(&part->job, part->input, part->dels);
    part->input = NULL;
    if (part->err < 0)
        __atomic_store_n(part->stop, true, __ATOMIC_RELEASE);
}

/* One that gets no thread of its own runs in this one. */
static void run_all(struct parts *all, struct env *env)
{
    for (uint32_t i = 1; i < all->count; i++)
        if (env->thread_start(env, part_run, &all->list[i], &all->list[i].thread) < 0)
            all->list[i].thread = NULL;
    part_run(&all->list[0]);
    for (uint32_t i = 1; i < all->count; i++) {
        if (all->list[i].thread)
            env->thread_join(env, all->list[i].thread);
        else
            part_run(&all->list[i]);
    }
}

/* What one of them failed with, rather than that it was told to end. */
static int result_of(const struct parts *all)
{
    int err = 0;
    for (uint32_t i = 0; i < all->count; i++)
        if (all->list[i].err < 0 && (err == 0 || err == -ECANCELED))
            err = all->list[i].err;
    return err;
}

static void roll_back(struct parts *all, int err)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (all->list[i].err == 0)
            job_rollback(&all->list[i].job, err);
}

/* Values are left to be compressed anew: so another job is to be made for the outputs. What a slice
 * left of an input is none of them. */
static void mark_outputs(struct tree *t, const struct edit *e)
{
    struct view *v = viewbox_get(t->box);
    for (uint32_t i = 0; i < e->tables_added_count; i++) {
        const struct version_level *l = &v->version->levels[e->tables_added[i].level];
        uint64_t number = e->tables_added[i].meta->number;
        if (edit_removed_from(e, number) >= 0)
            continue;
        for (uint32_t k = 0; k < l->count; k++)
            if (l->tables[k]->number == number)
                __atomic_store_n(&l->tables[k]->renew, true, __ATOMIC_RELAXED);
    }
    view_unref(v);
    tree_wake(t);
}

/* All outputs, with one edit. */
static int install(struct parts *all, struct tree *t, const struct pick *p)
{
    struct edit *edit = &all->list[0].job.edit;
    for (uint32_t i = 1; i < all->count; i++)
        edit_append(edit, &all->list[i].job.edit);
    remove_inputs(edit, p);
    uint64_t left = 0;
    for (uint32_t i = 0; i < all->count; i++)
        left += relocate_left(all->list[i].job.relocate);
    int err = all->list[0].slicing ? slicing_finish(all->list[0].slicing, edit) : 0;
    if (err == 0)
        err = tree_install(t, edit, NULL, 0);
    if (err < 0)
        roll_back(all, err);
    else if (left > 0)
        mark_outputs(t, edit);
    return err;
}

static void count_written(struct parts *all, struct tree *t)
{
    for (uint32_t i = 0; i < all->count; i++) {
        tree_count(&t->counters.written_compaction, all->list[i].job.written_table);
        tree_count(&t->counters.written_blob, all->list[i].job.written_blob);
        tree_count(&t->counters.moved_blob, relocate_moved(all->list[i].job.relocate));
    }
}

static int rewrite(struct tree *t, const struct pick *p, const struct job_watch *watch,
                   uint32_t *count)
{
    struct parts all = {.count = 1};
    uint32_t wanted = parts_wanted(t, p), opened = 0;
    int err = 0;
    if (wanted > 1)
        all.count = compact_cut(p, wanted, all.cuts);
    *count = all.count;
    while (err == 0 && opened < all.count)
        err = part_open(&all, opened++, t, p);
    all.list[0].job.watch = watch;
    if (err == 0) {
        run_all(&all, t->env);
        err = result_of(&all);
        if (err < 0)
            roll_back(&all, -ECANCELED);
        else
            err = install(&all, t, p);
    }
    if (err == 0)
        count_written(&all, t);
    for (uint32_t i = 0; i < opened; i++) {
        iter_free(all.list[i].input);
        rangedel_unref(all.list[i].dels);
        slicing_free(all.list[i].slicing);
        job_release(&all.list[i].job);
    }
    for (uint32_t i = 0; i < COMPACT_PARTS_MAX - 1; i++)
        buf_release(&all.cuts[i]);
    return err;
}

int compact_run(struct tree *t, const struct pick *p, const struct job_watch *watch)
{
    uint32_t parts = 0;
    assert(p->upper_count > 0 && p->input_level <= p->output_level);
    int err = p->trivial_move ? move(t, p) : rewrite(t, p, watch, &parts);
    if (err == 0) {
        tree_count(&t->counters.compactions, 1);
        tree_count(&t->counters.slices, p->until.len > 0);
        log_message(LOG_INFO,
                    "compaction: %" PRIu32 " tables of level %d and %" PRIu32
                    " of level %d, %" PRIu64 " bytes%s%s",
                    p->upper_count, p->input_level, p->lower_count, p->output_level, p->input_bytes,
                    p->trivial_move ? ", moved" : "",
                    parts > 1          ? ", in parts"
                    : p->until.len > 0 ? ", a slice of them"
                                       : "");
    }
    return err;
}
