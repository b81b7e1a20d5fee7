/* relocate: see relocate.h.
 *
 * Guarantees: a value that cannot be read stays where it is, and does not keep others from moving.
 *
 * Invariants:
 *   1. A file that is not stale is gathered only if the job takes all that is in use in it, so it
 *      goes away with the job; and only with at least GATHER_FILES - 1 others, of which none has
 *      more than all smaller ones together. So a value is gathered a number of times that grows
 *      with the logarithm of the size of a small file, not with the number of files. */
#include "store/relocate.h"

#include "store/rekey.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    GATHER_FILES = 8,
    SMALL_PART = 16, /* of a full blob file */
    GAIN_PART = 4,   /* of a small file's size: what moving has to free to be worth a new file */
    /* Parts of the free space: what the values may take that are sought together, and what one job
     * may move. */
    SOUGHT_SPACE_PART = 2,
    MOVE_SPACE_PART = 4,
    /* With less free space than this many times the reserve, garbage presses much sooner. */
    SCARCE_RESERVES = 2,
    SCARCE_PART = 4,
    /* A job moves at most so much, and one that presses a part of it: level 0 may wait for it. */
    MOVE_FILES = 2, /* full blob files */
    MOVE_BYTES_MAX = 128 << 20,
    MOVE_PRESSING_PART = 4,
    GARBAGE_MIN_PART = 16, /* of a full blob file: less garbage in all does not press */
};

struct relocate {
    const struct version *v;
    struct stale stale;
    uint32_t key_epoch; /* values under another generation of the key move; 0: that is no matter */
    struct table_blob_share *shares; /* of the inputs, by file once planned */
    uint32_t share_count, share_cap;
    bool worth_it;      /* to move what is stale, but not sought */
    uint64_t *gathered; /* files that are small, ascending */
    uint32_t gathered_count;
    uint64_t bytes_max, moved;
    struct strength strength; /* of values that are compressed anew */
    uint64_t left;            /* values that should have been, and were too much */
    struct buf frame;
    uint64_t last_file;             /* what was asked for last, and the answer */
    struct version_blob *last_blob; /* NULL: stays */
};

void relocate_options(const struct tree *t, const struct store_options *set,
                      struct stale_options *stale, uint64_t *move_bytes_max)
{
    struct env_space space;
    uint64_t blob_bytes = tree_blob_bytes(t, set);
    *stale = (struct stale_options){.stale_percent = setting_u32(&set->blob_stale_percent),
                                    .age_percent = setting_u32(&set->blob_age_percent),
                                    .garbage_percent = setting_u32(&set->blob_garbage_percent),
                                    .garbage_min = blob_bytes / GARBAGE_MIN_PART,
                                    .live_max = UINT64_MAX};
    *move_bytes_max =
        blob_bytes < MOVE_BYTES_MAX / MOVE_FILES ? MOVE_FILES * blob_bytes : MOVE_BYTES_MAX;
    if (t->env->space(t->env, t->dir, &space) < 0)
        return; /* the writes themselves will tell */
    stale->live_max = space.free_bytes / SOUGHT_SPACE_PART;
    if (space.free_bytes / MOVE_SPACE_PART < *move_bytes_max)
        *move_bytes_max = space.free_bytes / MOVE_SPACE_PART;
    /* Scarce is what writers see: a limit (tree_space()) does not keep values from being moved. */
    if (tree_space(t, &space) == 0 &&
        space.free_bytes / SCARCE_RESERVES < setting_u64(&set->reserve_bytes)) {
        stale->garbage_percent /= SCARCE_PART;
        stale->garbage_min /= SCARCE_PART;
    }
}

struct relocate *relocate_new(const struct version *v, const struct stale_options *opt,
                              uint64_t bytes_max)
{
    struct relocate *r = mem_zalloc(sizeof *r);
    r->v = v;
    r->bytes_max = bytes_max;
    stale_init(&r->stale, v, opt);
    return r;
}

void relocate_free(struct relocate *r)
{
    if (!r)
        return;
    stale_release(&r->stale);
    free(r->shares);
    free(r->gathered);
    buf_release(&r->frame);
    free(r);
}

/* ---- small files ---- */

void relocate_add_input(struct relocate *r, const struct table_meta *m)
{
    if (r->share_count + m->share_count > r->share_cap) {
        r->share_cap = 2 * (r->share_count + m->share_count);
        r->shares = mem_realloc(r->shares, r->share_cap * sizeof *r->shares);
    }
    for (uint32_t i = 0; i < m->share_count; i++)
        r->shares[r->share_count++] = m->shares[i];
}

static int by_file(const void *a, const void *b)
{
    const struct table_blob_share *x = a, *y = b;
    return (x->file > y->file) - (x->file < y->file);
}

static int by_bytes(const void *a, const void *b)
{
    const struct table_blob_share *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return by_file(a, b);
}

/* Makes one of all shares in a file. */
static void join_shares(struct relocate *r)
{
    uint32_t n = 0;
    if (r->share_count > 1)
        qsort(r->shares, r->share_count, sizeof *r->shares, by_file);
    for (uint32_t i = 0; i < r->share_count; i++) {
        if (n > 0 && r->shares[n - 1].file == r->shares[i].file) {
            r->shares[n - 1].count += r->shares[i].count;
            r->shares[n - 1].bytes += r->shares[i].bytes;
        } else {
            r->shares[n++] = r->shares[i];
        }
    }
    r->share_count = n;
}

/* Small, and all that is in use is among the inputs. */
static bool may_gather(const struct relocate *r, const struct table_blob_share *s,
                       uint64_t small_bytes)
{
    const struct version_blob_state *b = version_find_blob(r->v, s->file);
    return b && b->file_bytes < small_bytes && s->count == b->count - b->garbage_count &&
           !__atomic_load_n(&b->blob->failed, __ATOMIC_RELAXED);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* What moving all shares in stale files would free, of each file the part that its share is of what
 * is in use there. */
static double stale_gain(const struct relocate *r)
{
    double gain = 0;
    for (uint32_t i = 0; i < r->share_count; i++) {
        const struct stale_file *f = stale_find(&r->stale, r->shares[i].file);
        if (f && f->live_bytes > 0)
            gain += (double)f->garbage_bytes * (double)r->shares[i].bytes / (double)f->live_bytes;
    }
    return gain;
}

void relocate_plan(struct relocate *r, uint64_t small_bytes)
{
    uint32_t n = 0, taken = 0;
    uint64_t sum = 0;
    join_shares(r);
    r->worth_it = stale_gain(r) >= (double)(small_bytes / GAIN_PART);
    for (uint32_t i = 0; i < r->share_count; i++)
        if (may_gather(r, &r->shares[i], small_bytes))
            r->shares[n++] = r->shares[i];
    if (n > 1)
        qsort(r->shares, n, sizeof *r->shares, by_bytes);
    for (uint32_t i = 0; i < n && sum + r->shares[i].bytes <= r->bytes_max; i++) {
        sum += r->shares[i].bytes;
        if (i == 0 || r->shares[i].bytes <= sum - r->shares[i].bytes)
            taken = i + 1;
    }
    if (taken >= GATHER_FILES) {
        r->gathered = mem_alloc(taken * sizeof *r->gathered);
        for (uint32_t i = 0; i < taken; i++)
            r->gathered[i] = r->shares[i].file;
        qsort(r->gathered, taken, sizeof *r->gathered, by_number);
        r->gathered_count = taken;
    }
    free(r->shares);
    r->shares = NULL;
    r->share_count = r->share_cap = 0;
}

struct relocate *relocate_begin(const struct tree *t, const struct store_options *set,
                                const struct version *v, const struct pick *p)
{
    struct stale_options opt;
    uint64_t bytes_max;
    relocate_options(t, set, &opt, &bytes_max);
    if (p->reason == PICK_LEVEL0 || p->reason == PICK_SIZE)
        bytes_max /= MOVE_PRESSING_PART;
    struct relocate *r = relocate_new(v, &opt, bytes_max);
    r->key_epoch = rekey_epoch(t);
    strength_of_values(&r->strength, set);
    if (p->until.len > 0)
        return r; /* of what its tables refer to it has only a part, and little space: no plans */
    for (uint32_t i = 0; i < p->upper_count; i++)
        relocate_add_input(r, p->upper[i]->meta);
    for (uint32_t i = 0; i < p->lower_count; i++)
        relocate_add_input(r, p->lower[i]->meta);
    relocate_plan(r, tree_blob_bytes(t, set) / SMALL_PART);
    return r;
}

/* ---- moving ---- */

static bool has_old_key(const struct relocate *r, uint64_t file)
{
    const struct version_blob_state *b = r->key_epoch ? version_find_blob(r->v, file) : NULL;
    return b && version_blob_has_old_key(b, r->key_epoch);
}

static bool is_chosen(const struct relocate *r, uint64_t file)
{
    const struct stale_file *f = stale_find(&r->stale, file);
    return (f && (f->sought || r->worth_it)) || has_old_key(r, file) ||
           (r->gathered_count > 0 &&
            bsearch(&file, r->gathered, r->gathered_count, sizeof *r->gathered, by_number));
}

/* The file, if values are to be moved out of it. */
static struct version_blob *find_source(struct relocate *r, uint64_t file)
{
    if (file != r->last_file) {
        struct version_blob_state *b = is_chosen(r, file) ? version_find_blob(r->v, file) : NULL;
        r->last_file = file;
        r->last_blob = b ? b->blob : NULL;
    }
    return r->last_blob;
}

static int read_frame(struct relocate *r, struct version_blob *blob, const struct blob_ref *ref)
{
    struct blob_reader *reader, *used;
    int err = version_blob_open(blob, &reader);
    if (err < 0)
        return err;
    used = reader;
    err = blob_read_frame(reader, ref, &r->frame);
    /* The file may have been replaced by a healed one just now (version_blob_reopen()). */
    if (err == -EIO && version_blob_open(blob, &reader) == 0 && reader != used)
        err = blob_read_frame(reader, ref, &r->frame);
    return err;
}

/* The value in a frame of its own making: of the level that is wanted now. */
static int make_frame(struct relocate *r, struct version_blob *blob, const struct blob_ref *ref,
                      struct slice key)
{
    struct blob_reader *reader;
    uint8_t *value;
    int err = version_blob_open(blob, &reader);
    if (err == 0)
        err = blob_read(reader, ref, &value);
    if (err < 0)
        return err;
    buf_clear(&r->frame);
    frame_pack(slice_of(value, ref->raw_len), strength_of_key(&r->strength, key), &r->frame);
    free(value);
    return 0;
}

/* Was the value compressed before its key's level was what it is? */
static bool is_outdated(const struct relocate *r, struct slice key, uint64_t file)
{
    const struct store_classes *c = r->strength.classes;
    return c && c->since && file < c->since(c->ctx, key);
}

static struct version_blob *find_outdated(const struct relocate *r, uint64_t file)
{
    const struct version_blob_state *b = version_find_blob(r->v, file);
    return b && !__atomic_load_n(&b->blob->failed, __ATOMIC_RELAXED) ? b->blob : NULL;
}

int relocate_take(struct relocate *r, struct slice key, struct slice encoded_ref,
                  struct slice *frame)
{
    struct blob_ref ref;
    *frame = (struct slice){0};
    if (!blob_ref_decode(encoded_ref, &ref))
        return 1; /* reported where it is read */
    struct version_blob *blob = find_source(r, ref.file);
    bool anew = is_outdated(r, key, ref.file);
    if (!blob && anew)
        blob = find_outdated(r, ref.file);
    bool much = r->moved > 0 && r->moved + ref.where.len > r->bytes_max;
    r->left += anew && blob && much;
    if (!blob || much)
        return 1;
    int err = anew ? make_frame(r, blob, &ref, key) : read_frame(r, blob, &ref);
    assert(err <= 0);
    if (err == -EIO) {
        __atomic_store_n(&blob->failed, true, __ATOMIC_RELAXED);
        return 1;
    }
    if (err < 0)
        return err;
    r->moved += ref.where.len;
    *frame = buf_slice(&r->frame);
    return 0;
}

uint64_t relocate_left(const struct relocate *r)
{
    return r ? r->left : 0;
}

uint64_t relocate_moved(const struct relocate *r)
{
    return r->moved;
}
