/* compact_slice: see compact_slice.h.
 *
 * What is left of an input is what its properties say, less what the job has read of it. So counts
 * and shares of blob files stay exact, and no pass is made for them alone.
 *
 * Invariants:
 *   1. An entry below `until` is counted once, when a cursor comes to stand on it; none at or above
 * is.
 *   2. Nothing is subtracted that is not there: a table that has more than it says is damaged. */
#include "store/compact_slice.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/compact_cut.h"
#include "store/err.h"

/* ---- may it be sliced ---- */

/* What holds for one input. */
static const char *input_obstacle(struct env *env, const char *dir, const struct version_table *t)
{
    struct env_usage usage;
    if (t->meta->cut_seq)
        return "of one of its tables only a part of history belongs to this volume";
    char *path = name_file(dir, FILE_TABLE, t->number);
    int err = env->file_usage(env, path, &usage);
    free(path);
    if (err < 0)
        return "one of its tables cannot be looked at";
    return usage.links == 1 ? NULL : "one of its tables is shared with a checkpoint";
}

/* Holes are asked for behind the end of a file: what is there is nothing. */
static bool can_punch(struct env *env, const char *dir, const struct version_table *t)
{
    struct env_file *f;
    char *path = name_file(dir, FILE_TABLE, t->number);
    uint64_t behind = (t->meta->size_bytes / ENV_PUNCH_UNIT + 1) * ENV_PUNCH_UNIT;
    int err = env->open(env, path, ENV_OPEN_WRITE, &f);
    if (err == 0) {
        err = f->ops->punch(f, behind, ENV_PUNCH_UNIT);
        f->ops->close(f);
    }
    free(path);
    return err == 0;
}

const char *compact_slice_obstacle(struct env *env, const char *dir, const struct pick *p)
{
    const char *why = NULL;
    for (uint32_t i = 0; i < p->upper_count && !why; i++)
        why = input_obstacle(env, dir, p->upper[i]);
    for (uint32_t i = 0; i < p->lower_count && !why; i++)
        why = input_obstacle(env, dir, p->lower[i]);
    if (!why && !can_punch(env, dir, p->upper[0]))
        why = "the file system cannot punch holes into files";
    return why;
}

static uint64_t bytes_of(struct version_table *const *tables, uint32_t count, struct slice until)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct table *table = version_table_opened(tables[i]);
        assert(table);
        bytes += table_range_bytes(table, (struct slice){0}, until);
    }
    return bytes;
}

int compact_slice(struct pick *p, uint64_t bytes_max)
{
    assert(p->until.len == 0);
    int ret = compact_cut_below(p, bytes_max, &p->until);
    if (ret != 0) {
        buf_clear(&p->until);
        return ret;
    }
    struct slice until = buf_slice(&p->until);
    p->input_bytes =
        bytes_of(p->upper, p->upper_count, until) + bytes_of(p->lower, p->lower_count, until);
    return 0;
}

/* ---- what is left of the inputs ---- */

struct sliced {
    int level;
    struct version_table *vt;
    struct table *table;
    struct table_meta *left; /* not yet with its new bounds */
};

struct slicing {
    struct slice until;
    struct sliced *inputs;
    size_t count;
};

struct watch_iter {
    struct iter it;
    struct iter *inner;
    struct slicing *s;
    size_t input;
};

static int has_more(const struct sliced *in)
{
    char name[32];
    snprintf(name, sizeof name, "%06" PRIu64 ".table", in->vt->number);
    return corrupt(name, UINT64_MAX, "the table has more than its properties say");
}

static bool take_ref(struct table_meta *left, const struct blob_ref *ref)
{
    for (uint32_t i = 0; i < left->share_count; i++) {
        struct table_blob_share *s = &left->shares[i];
        if (s->file != ref->file)
            continue;
        if (s->count == 0 || s->bytes < ref->where.len)
            return false;
        s->count--;
        s->bytes -= ref->where.len;
        return true;
    }
    return false;
}

static bool take(struct table_meta *left, const struct entry *e)
{
    struct blob_ref ref;
    bool is_delete = e->type == ENTRY_DELETE;
    if (left->entry_count == 0 || (is_delete && left->delete_count == 0))
        return false;
    left->entry_count--;
    left->delete_count -= is_delete;
    /* A reference that does not decode was not counted when the table was written either. */
    return !entry_type_is_blob(e->type) || !blob_ref_decode(e->value, &ref) || take_ref(left, &ref);
}

static int stand(struct watch_iter *w, int rc)
{
    struct sliced *in = &w->s->inputs[w->input];
    if (rc == 0 && slice_cmp(w->inner->e.key, w->s->until) < 0 && !take(in->left, &w->inner->e))
        rc = has_more(in);
    w->it.valid = rc == 0;
    if (rc != 0)
        return rc;
    w->it.e = w->inner->e;
    w->it.warm = w->inner->warm;
    return 0;
}

static int watch_first(struct iter *it)
{
    struct watch_iter *w = (struct watch_iter *)it;
    return stand(w, iter_first(w->inner));
}

static int watch_next(struct iter *it)
{
    struct watch_iter *w = (struct watch_iter *)it;
    return stand(w, iter_next(w->inner));
}

static void watch_free(struct iter *it)
{
    struct watch_iter *w = (struct watch_iter *)it;
    iter_free(w->inner);
    free(w);
}

struct slicing *slicing_new(struct slice until)
{
    struct slicing *s = mem_zalloc(sizeof *s);
    assert(until.len > 0);
    s->until = until;
    return s;
}

void slicing_free(struct slicing *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        table_meta_unref(s->inputs[i].left);
    free(s->inputs);
    free(s);
}

struct iter *slicing_watch(struct slicing *s, int level, struct version_table *vt,
                           struct table *table, struct iter *all)
{
    static const struct iter_ops ops = {
        .first = watch_first, .next = watch_next, .free = watch_free};
    if (slice_cmp(buf_slice(&vt->meta->limit), s->until) <= 0)
        return all; /* nothing is left of it */
    struct watch_iter *w = mem_zalloc(sizeof *w);
    w->it.ops = &ops;
    w->inner = all;
    w->s = s;
    w->input = s->count;
    s->inputs = mem_realloc(s->inputs, (s->count + 1) * sizeof *s->inputs);
    s->inputs[s->count++] = (struct sliced){level, vt, table, table_meta_copy(vt->meta)};
    return &w->it;
}

/* Drops the shares that nothing is left of. False if they do not fit what is left. */
static bool settle_shares(struct table_meta *left)
{
    uint64_t refs = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < left->share_count; i++) {
        refs += left->shares[i].count;
        if (left->shares[i].count > 0)
            left->shares[n++] = left->shares[i];
        else if (left->shares[i].bytes > 0)
            return false;
    }
    left->share_count = n;
    return refs <= left->entry_count && left->delete_count <= left->entry_count;
}

/* Of what nobody counts exactly, the part that is left of the file. */
static void settle_estimates(struct table_meta *left, const struct table_meta *was)
{
    double part = (double)table_meta_bytes(left) / (double)table_meta_bytes(was);
    left->raw_bytes = (uint64_t)(part * (double)was->raw_bytes);
    for (uint32_t i = 0; i < left->held_count; i++)
        left->held[i].bytes = 1 + (uint64_t)(part * (double)left->held[i].bytes);
}

static int finish_input(const struct slicing *s, struct sliced *in, struct edit *e)
{
    struct table_meta *left = in->left;
    uint64_t front;
    int err = table_front(in->table, s->until, &front, &left->rangedel_count);
    if (err < 0)
        return err;
    if (!settle_shares(left))
        return has_more(in);
    buf_set(&left->smallest, s->until);
    left->front = front;
    settle_estimates(left, in->vt->meta);
    if (left->entry_count > 0 || left->rangedel_count > 0)
        edit_add_table(e, in->level, left);
    return 0;
}

int slicing_finish(struct slicing *s, struct edit *e)
{
    int err = 0;
    for (size_t i = 0; i < s->count && err == 0; i++)
        err = finish_input(s, &s->inputs[i], e);
    return err;
}
