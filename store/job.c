/* job: see job.h.
 *
 * Invariants:
 *   1. The view is taken before the pins. A pin that is made later has a number above everything
 *      that was published by then, thus above all that is in the inputs: what hides an entry from
 *      other readers hides it from that pin, too. (The other way round a memtable could be sealed
 *      in between, with entries on both sides of a pin that the job knows nothing of.)
 *   2. However long nothing is written, because all is dropped, the job asks now and then whether
 *      it should go on. */
#include "store/job.h"

#include "store/throttle.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* ---- beginning and end ---- */

void job_init(struct job *j, struct tree *t, int output_level)
{
    *j = (struct job){.tree = t, .output_level = output_level};
    edit_init(&j->edit);
    j->edit.began_ns = t->env->monotonic_ns(t->env);
    j->set = settings_get(&t->settings);
    j->view = viewbox_get(t->box);
    j->version = j->view->version;
    tree_readers_get(t, &j->readers);
}

void job_release(struct job *j)
{
    build_free(j->build);
    relocate_free(j->relocate);
    codec_dict_unref(j->dict);
    edit_release(&j->edit);
    tree_readers_release(&j->readers);
    view_unref(j->view);
    settings_unref(j->set);
    buf_release(&j->last_key);
}

/* ---- what reduce and build ask ---- */

/* Deeper levels only: what is on the output level and above, and older, is among the inputs. */
static bool older_exists(void *ctx, struct slice start, struct slice limit)
{
    struct job *j = ctx;
    for (int level = j->output_level + 1; level < LEVEL_COUNT; level++)
        if (version_overlaps(j->version, level, start, limit))
            return true;
    return false;
}

/* The highest number of any table on a deeper level with keys in [start, limit). A flush does not
 * join tombstones: their numbers may still be asked for (since.h). */
static uint64_t older_newest(void *ctx, struct slice start, struct slice limit)
{
    struct job *j = ctx;
    uint64_t newest = 0;
    for (int l = j->output_level + 1; l < LEVEL_COUNT; l++) {
        const struct version_level *level = &j->version->levels[l];
        for (uint32_t i = version_find(level, start); i < level->count; i++) {
            const struct table_meta *m = level->tables[i]->meta;
            if (slice_cmp(buf_slice(&m->smallest), limit) >= 0)
                break;
            newest = m->max_seq > newest ? m->max_seq : newest;
        }
    }
    return newest;
}

/* A flush writes above everything: level 0 itself is older too. */
static bool older_exists_flush(void *ctx, struct slice start, struct slice limit)
{
    struct job *j = ctx;
    return version_overlaps(j->version, 0, start, limit) || older_exists(ctx, start, limit);
}

static int fetch(void *ctx, struct slice encoded_ref, struct buf *out)
{
    struct job *j = ctx;
    struct view_context *read_ctx = &j->tree->read_ctx;
    struct cache_item *value;
    int err = view_read_blob(j->view, read_ctx, encoded_ref, false, &value);
    if (err < 0)
        return err;
    buf_append(out, value->data);
    cache_release(read_ctx->cache, value);
    return 0;
}

void job_drop_blob(void *job, struct slice encoded_ref)
{
    struct job *j = job;
    struct blob_ref ref;
    /* A reference that does not decode was reported where it was read; there is nothing to count.
     */
    if (blob_ref_decode(encoded_ref, &ref))
        edit_add_garbage(&j->edit, ref.file, 1, ref.where.len);
}

static void held(void *ctx, uint64_t pin, uint64_t bytes)
{
    struct job *j = ctx;
    build_held(j->build, pin, bytes);
}

/* The table ends there. */
static struct rangedel *rangedels(void *ctx, struct slice upto)
{
    struct job *j = ctx;
    j->below_bytes = 0;
    return reduce_rangedels(j->reduce, upto);
}

/* A few deletions can lie over any number of tables. */
static bool too_wide(void *ctx, struct slice key)
{
    struct job *j = ctx;
    if (j->output_level + 1 >= LEVEL_COUNT)
        return false;
    const struct version_level *below = &j->version->levels[j->output_level + 1];
    while (j->below < below->count &&
           slice_cmp(buf_slice(&below->tables[j->below]->meta->limit), key) <= 0)
        j->below_bytes += table_meta_bytes(below->tables[j->below++]->meta);
    if (!j->keys_seen)
        j->below_bytes = 0; /* what lies before the first key is under none of the tables */
    j->keys_seen = true;
    return j->below_bytes > JOB_BELOW_TABLES * j->table_bytes;
}

static uint64_t next_file(void *ctx)
{
    struct job *j = ctx;
    return tree_new_file(j->tree);
}

/* ---- whether to go on ---- */

/* Entries, and bytes of them, between two questions. */
enum { ASK_ENTRIES = 1024, ASK_BYTES = 1 << 20 };

static bool space_left(struct job *j)
{
    struct tree *t = j->tree;
    struct env_space space;
    return t->env->space(t->env, t->dir, &space) < 0 ||
           space.free_bytes >= j->set->o.reserve_bytes / JOB_RESERVE_PART;
}

/* A flush goes on at once. */
static void throttle(struct job *j)
{
    uint64_t bytes = build_bytes(j->build);
    if (bytes > j->throttled_bytes)
        throttle_take(j->tree, bytes - j->throttled_bytes, !j->is_compaction);
    if (bytes > j->throttled_bytes)
        j->throttled_bytes = bytes;
}

/* Writers go by it. What comes after the last entry, filters, indexes and syncing, is taken for an
 * eighth of it all. */
static void tell_left(struct job *j, uint32_t entries)
{
    enum { END_PART = 8 };
    if (j->flush_entries == 0)
        return;
    j->flush_done += entries;
    double done = (double)j->flush_done / (double)j->flush_entries;
    double left = 1 - (1 - 1.0 / END_PART) * (done < 1 ? done : 1);
    __atomic_store_n(&j->tree->flush_left, (uint64_t)(left * (double)j->flush_bytes),
                     __ATOMIC_RELAXED);
}

static int go_on(struct job *j)
{
    throttle(j);
    squad_feel(j->tree->squad, j->tree->env, &j->feeling);
    if (tree_failure(j->tree) || (j->is_compaction && tree_closing(j->tree)))
        return -ECANCELED;
    if (j->stop && __atomic_load_n(j->stop, __ATOMIC_ACQUIRE))
        return -ECANCELED;
    if (j->watch && j->watch->fn(j->watch->ctx) != 0)
        return -EINTR;
    return j->is_compaction && !space_left(j) ? -ENOSPC : 0;
}

/* The input as it is, but for the questions. A cursor for one pass forward. */
struct asking {
    struct iter it;
    struct iter *input;
    struct job *job;
    uint32_t entries;
    uint64_t bytes;
};

static int asking_step(struct asking *a, int err)
{
    struct slice limit = a->job->limit;
    if (err == 0 && limit.len > 0 && slice_cmp(a->input->e.key, limit) >= 0)
        err = 1;
    a->it.valid = err == 0;
    if (err != 0)
        return err;
    a->it.e = a->input->e;
    a->job->warm = a->input->warm || a->job->all_warm;
    a->bytes += a->it.e.value.len;
    if (++a->entries < ASK_ENTRIES && a->bytes < ASK_BYTES)
        return 0;
    tell_left(a->job, a->entries);
    a->entries = 0;
    a->bytes = 0;
    err = go_on(a->job);
    a->it.valid = err == 0;
    return err;
}

static int asking_first(struct iter *it)
{
    struct asking *a = (struct asking *)it;
    struct slice first = a->job->first;
    return asking_step(a, first.len ? iter_seek(a->input, first, SEQ_MAX) : iter_first(a->input));
}

static int asking_next(struct iter *it)
{
    struct asking *a = (struct asking *)it;
    return asking_step(a, iter_next(a->input));
}

static void asking_free(struct iter *it)
{
    struct asking *a = (struct asking *)it;
    iter_free(a->input);
    free(a);
}

static struct iter *asking_new(struct job *j, struct iter *input)
{
    static const struct iter_ops ops = {
        .first = asking_first, .next = asking_next, .free = asking_free};
    struct asking *a = mem_zalloc(sizeof *a);
    a->it.ops = &ops;
    a->input = input;
    a->job = j;
    return &a->it;
}

/* ---- running ---- */

/* A filter that lets all pass is none. */
static uint32_t filter_one_in(const struct store_options *set, int level)
{
    if (level == LEVEL_COUNT - 1 && !set->filter_bottom)
        return 0;
    return set->filter_one_in == 1 ? 0 : set->filter_one_in;
}

void job_build_options(const struct tree *t, const struct settings *settings,
                       struct build_options *out)
{
    const struct store_options *set = &settings->o;
    *out = (struct build_options){.env = t->env,
                                  .dir = t->dir,
                                  .uuid = t->uuid,
                                  .table = {.block_bytes = set->block_bytes,
                                            .filter_one_in = filter_one_in(set, 0),
                                            .filter_whole_keys = set->filter_whole_keys,
                                            .index_whole_bytes = set->index_whole_bytes,
                                            .sums = set->entry_sums != 0,
                                            .prefix = t->read_ctx.prefix,
                                            .cache = t->read_ctx.cache},
                                  .table_bytes = set->table_bytes,
                                  .memory_bytes = BUILD_MEMORY_BYTES,
                                  .blob_bytes = tree_blob_bytes(t, set),
                                  .separate_min = set->separate_min,
                                  .parity = {set->parity_data, set->parity_shards}};
    out->table.squad = set->helpers > 0 && set->workers > 1 ? t->squad : NULL;
    strength_of_values(&out->blob_strength, set);
    out->table.strength = out->blob_strength;
}

static void options(struct job *j, struct reduce_options *r, struct build_options *b)
{
    const struct tree *t = j->tree;
    *r = (struct reduce_options){.pins = j->readers.pins,
                                 .pin_count = j->readers.pin_count,
                                 .merge = t->read_ctx.merge,
                                 .ctx = j,
                                 .older_exists =
                                     j->output_level == 0 ? older_exists_flush : older_exists,
                                 .older_newest = j->output_level == 0 ? NULL : older_newest,
                                 .fetch = fetch,
                                 .drop_blob = job_drop_blob,
                                 .held = held};
    job_build_options(t, j->set, b);
    b->table.filter_one_in = filter_one_in(&j->set->o, j->output_level);
    strength_of_tables(&b->table.strength, &j->set->o, j->output_level);
    b->table.dict = j->dict;
    b->table_bytes = j->table_bytes;
    b->ctx = j;
    b->next_file = next_file;
    b->rangedels = rangedels;
    b->too_wide = j->is_compaction ? too_wide : NULL;
}

/* A value that moves leaves garbage behind in the same edit. */
static int add_entry(struct job *j, const struct entry *e)
{
    struct slice frame;
    int ret = 1;
    if (j->warm)
        build_warm(j->build);
    if (j->relocate && entry_type_is_blob(e->type))
        ret = relocate_take(j->relocate, e->key, e->value, &frame);
    if (ret < 0)
        return ret;
    if (ret == 1)
        return build_add(j->build, e);
    job_drop_blob(j, e->value);
    return build_add_frame(j->build, e, frame);
}

/* Does the store's owner have no use for it? Not asked of what a pin sees, or has something of the
 * key above it, which might be a partial update. */
static bool is_useless(struct job *j, const struct entry *e)
{
    const struct store_filter *filter = j->tree->filter;
    if (!filter || !j->is_compaction)
        return false;
    bool first = j->last_key.len == 0 || !slice_eq(buf_slice(&j->last_key), e->key);
    buf_set(&j->last_key, e->key);
    if (!first || (e->type != ENTRY_PUT && e->type != ENTRY_PUT_BLOB))
        return false;
    if (j->readers.pin_count > 0 && j->readers.pins[j->readers.pin_count - 1] > e->seq)
        return false;
    return filter->drop(filter->ctx, e->key, e->type == ENTRY_PUT ? &e->value : NULL);
}

/* Older versions, which pins or deeper levels may have, must not come to light. */
static int add_useless(struct job *j, const struct entry *e)
{
    struct entry gone = {.key = e->key, .seq = e->seq, .type = ENTRY_DELETE};
    struct buf limit = {0};
    job_lose_history(j, e->seq + 1);
    if (e->type == ENTRY_PUT_BLOB)
        job_drop_blob(j, e->value);
    buf_set(&limit, e->key);
    buf_put_u8(&limit, 0);
    bool older = j->readers.pin_count > 0 || older_exists(j, e->key, buf_slice(&limit));
    buf_release(&limit);
    return older ? build_add(j->build, &gone) : 0;
}

static int pump(struct job *j)
{
    struct entry e;
    int err;
    while ((err = reduce_next(j->reduce, &e)) == 0) {
        err = is_useless(j, &e) ? add_useless(j, &e) : add_entry(j, &e);
        if (err < 0)
            return err;
    }
    return err < 0 ? err : build_finish(j->build, &j->edit, j->output_level);
}

void job_lose_history(struct job *j, uint64_t seq)
{
    if (seq == 0)
        return;
    j->edit.history_seq =
        j->edit.has_history && j->edit.history_seq > seq ? j->edit.history_seq : seq;
    j->edit.has_history = true;
}

int job_run(struct job *j, struct iter *input, struct rangedel *dels)
{
    struct reduce_options reduce_opt;
    struct build_options build_opt;
    options(j, &reduce_opt, &build_opt);
    j->reduce = reduce_new(asking_new(j, input), dels, &reduce_opt);
    j->build = build_new(&build_opt);
    int err = pump(j);
    job_lose_history(j, reduce_history(j->reduce));
    reduce_free(j->reduce);
    j->reduce = NULL;
    if (err < 0)
        build_abandon(j->build);
    build_written(j->build, &j->written_table, &j->written_blob);
    tree_count(&j->tree->counters.written_parity, build_parity_written(j->build));
    return err;
}

void job_rollback(struct job *j, int err)
{
    if (err != -EROFS)
        build_abandon(j->build);
}
