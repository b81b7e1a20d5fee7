/* build: see build.h.
 *
 * Invariants:
 *   1. A table begins and ends between user keys; its tombstones lie between its beginning and
 *      that of the next one. So spans do not overlap, and all that is known of a key on the
 *      output level is in one table.
 *   2. Every file made is in `made` from before its creation until it was removed again or the
 *      build is freed: build_abandon() can remove all of them.
 *   3. build_finish() returns 0 only when all files, and their names, are on disk. */
#include "store/build.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/err.h"

enum {
    BLOB_WRITE_BYTES = 1 << 20, /* pending blob frames are written in pieces of about this size */
    CANCEL_ENTRIES = 1024,      /* entries between two questions whether to go on */
};

struct made {
    enum file_kind kind;
    uint64_t number;
};

struct build {
    struct build_options opt;
    struct table_writer *table;
    struct blob_writer *blob;
    uint64_t blob_frames, blob_bytes; /* of the open blob file */
    struct edit_blob *blobs;          /* finished ones */
    uint32_t blob_count;
    struct table_meta **metas;
    uint32_t meta_count;
    struct made *made;
    uint32_t made_count;
    struct buf last_key, packed, ref;
    uint64_t last_seq; /* of last_key's version that was added last */
    uint64_t entries;
    bool ended;                    /* finished or abandoned: nothing is added any more */
    uint64_t held_pin, held_bytes; /* of the entry that is added next */
    bool warm;                     /* it is */
    uint64_t written_table, written_blob, written_parity;
};

struct build *build_new(const struct build_options *opt)
{
    struct build *b = mem_zalloc(sizeof *b);
    assert(opt->next_file && opt->rangedels);
    b->opt = *opt;
    return b;
}

static uint64_t make(struct build *b, enum file_kind kind)
{
    b->made = mem_realloc(b->made, (b->made_count + 1) * sizeof *b->made);
    uint64_t number = b->opt.next_file(b->opt.ctx);
    assert(number > 0 && (b->made_count == 0 || number > b->made[b->made_count - 1].number));
    b->made[b->made_count++] = (struct made){kind, number};
    return number;
}

/* A file that is whole gets its companion; without one it is as good. */
static void protect(struct build *b, enum file_kind kind, uint64_t number)
{
    uint64_t bytes;
    if (b->opt.parity.parity == 0)
        return;
    parity_make(b->opt.env, b->opt.dir, kind, number, b->opt.uuid, &b->opt.parity, &bytes);
    b->written_parity += bytes;
}

/* ---- blob files ---- */

static int end_blob(struct build *b)
{
    if (!b->blob)
        return 0;
    int err = blob_write(b->blob);
    if (err == 0)
        err = blob_sync(b->blob);
    if (err == 0) {
        const struct file_header *h = blob_writer_header(b->blob);
        b->blobs = mem_realloc(b->blobs, (b->blob_count + 1) * sizeof *b->blobs);
        b->blobs[b->blob_count++] = (struct edit_blob){.number = blob_number(b->blob),
                                                       .count = b->blob_frames,
                                                       .bytes = b->blob_bytes,
                                                       .file_bytes = blob_size(b->blob),
                                                       .key_epoch = h->key_epoch,
                                                       .header_sum = file_header_sum(h)};
        b->written_blob += blob_size(b->blob);
        protect(b, FILE_BLOB, blob_number(b->blob));
    }
    blob_writer_free(b->blob);
    b->blob = NULL;
    b->blob_frames = b->blob_bytes = 0;
    return err;
}

/* Places a packed frame; b->ref is the reference to it then. */
static int place(struct build *b, struct slice frame)
{
    struct frame_header h;
    struct blob_ref ref;
    int err = 0;
    if (!b->blob)
        err = blob_create(b->opt.env, b->opt.dir, make(b, FILE_BLOB), b->opt.uuid, &b->blob);
    if (err < 0)
        return err;
    frame_header_decode(frame.data, &h);
    blob_add(b->blob, frame, h.raw_len, &ref);
    b->ref.len = 0;
    blob_ref_encode(&ref, &b->ref);
    b->blob_frames++;
    b->blob_bytes += ref.where.len;
    if (blob_pending(b->blob) >= BLOB_WRITE_BYTES)
        err = blob_write(b->blob);
    if (err == 0 && blob_size(b->blob) >= b->opt.blob_bytes)
        err = end_blob(b);
    return err;
}

/* `frame`: of the value, or empty if it is still to be packed. `*out` lives until the next call. */
static int separate(struct build *b, const struct entry *in, struct slice frame, struct entry *out)
{
    if (frame.len == 0) {
        b->packed.len = 0;
        frame_pack(in->value, strength_of_key(&b->opt.blob_strength, in->key), &b->packed);
        frame = buf_slice(&b->packed);
    }
    int err = place(b, frame);
    *out = *in;
    out->sum = 0;
    out->type = entry_type_is_merge(in->type) ? ENTRY_MERGE_BLOB : ENTRY_PUT_BLOB;
    out->value = buf_slice(&b->ref);
    return err;
}

/* ---- tables ---- */

static int begin_table(struct build *b)
{
    return table_create(b->opt.env, b->opt.dir, make(b, FILE_TABLE), b->opt.uuid, &b->opt.table,
                        &b->table);
}

static int end_table(struct build *b, struct rangedel *dels)
{
    struct table_meta *meta;
    struct table_writer *w = b->table;
    assert(w && (table_entry_count(w) > 0 || rangedel_count(dels) > 0));
    table_set_rangedel(w, dels);
    b->table = NULL;
    int err = table_finish(w, &meta);
    if (err < 0)
        return err;
    assert(b->meta_count == 0 || slice_cmp(buf_slice(&b->metas[b->meta_count - 1]->limit),
                                           buf_slice(&meta->smallest)) <= 0);
    b->written_table += meta->size_bytes;
    protect(b, FILE_TABLE, meta->number);
    b->metas = mem_realloc(b->metas, (b->meta_count + 1) * sizeof *b->metas);
    b->metas[b->meta_count++] = meta;
    return 0;
}

static bool is_full(const struct build *b)
{
    const struct build_options *o = &b->opt;
    if (o->table_bytes == 0)
        return false;
    return table_estimate_bytes(b->table) >= o->table_bytes ||
           (o->memory_bytes > 0 && table_writer_bytes(b->table) >= o->memory_bytes);
}

/* Ends the open table before `key` if it has grown enough. */
static int maybe_split(struct build *b, struct slice key)
{
    bool wide = b->opt.too_wide && b->opt.too_wide(b->opt.ctx, key);
    if (!b->table || !(wide || is_full(b)) || slice_eq(key, buf_slice(&b->last_key)))
        return 0;
    assert(slice_cmp(key, buf_slice(&b->last_key)) > 0);
    struct rangedel *dels = b->opt.rangedels(b->opt.ctx, key);
    int err = end_table(b, dels);
    rangedel_unref(dels);
    return err;
}

static bool to_separate(const struct build *b, const struct entry *e)
{
    return b->opt.separate_min && e->value.len >= b->opt.separate_min &&
           (e->type == ENTRY_PUT || e->type == ENTRY_MERGE);
}

static int add(struct build *b, const struct entry *e, struct slice frame)
{
    struct entry separated;
    assert(!b->ended && e->type != ENTRY_RANGE_DELETE);
    /* Each input is in order by itself; two damaged ones may still hold the same version of a key.
     */
    if (b->last_key.len && entry_cmp(buf_slice(&b->last_key), b->last_seq, e->key, e->seq) >= 0)
        return corrupt("a table", UINT64_MAX, "a version of a key that another table holds too");
    if (++b->entries % CANCEL_ENTRIES == 0 && b->opt.cancelled && b->opt.cancelled(b->opt.ctx))
        return -ECANCELED;
    int err = entry_verify(e, "a job");
    if (err == 0)
        err = maybe_split(b, e->key);
    if (err == 0 && !b->table)
        err = begin_table(b);
    if (err < 0)
        return err;
    if (frame.len > 0 || to_separate(b, e)) {
        err = separate(b, e, frame, &separated);
        if (err < 0)
            return err;
        e = &separated;
    }
    if (b->held_bytes)
        table_add_held(b->table, b->held_pin, b->held_bytes);
    if (b->warm)
        table_add_warm(b->table);
    b->held_bytes = 0;
    b->warm = false;
    buf_set(&b->last_key, e->key);
    b->last_seq = e->seq;
    return table_add(b->table, e);
}

int build_add(struct build *b, const struct entry *e)
{
    return add(b, e, (struct slice){0});
}

int build_add_frame(struct build *b, const struct entry *e, struct slice frame)
{
    assert(entry_type_is_blob(e->type) && frame.len >= FRAME_HEADER_SIZE);
    return add(b, e, frame);
}

void build_held(struct build *b, uint64_t pin, uint64_t bytes)
{
    /* Reported before the entry is added: which table it will be in is known only then. */
    b->held_pin = pin;
    b->held_bytes = bytes;
}

void build_warm(struct build *b)
{
    b->warm = true;
}

static int end_last_table(struct build *b)
{
    struct rangedel *dels = b->opt.rangedels(b->opt.ctx, (struct slice){0});
    int err = 0;
    if (!b->table && rangedel_count(dels) > 0)
        err = begin_table(b);
    if (err == 0 && b->table)
        err = end_table(b, dels);
    rangedel_unref(dels);
    return err;
}

int build_finish(struct build *b, struct edit *edit, int level)
{
    assert(!b->ended && level >= 0 && level < LEVEL_COUNT);
    b->ended = true;
    int err = end_blob(b);
    if (err == 0)
        err = end_last_table(b);
    if (err == 0 && b->made_count > 0)
        err = b->opt.env->sync_dir(b->opt.env, b->opt.dir);
    if (err < 0)
        return err;
    for (uint32_t i = 0; i < b->blob_count; i++) {
        const struct edit_blob *made = &b->blobs[i];
        edit_add_blob(edit, made->number, made->count, made->bytes, made->file_bytes);
        edit_set_blob_key(edit, made->number, made->key_epoch, made->header_sum);
    }
    for (uint32_t i = 0; i < b->meta_count; i++)
        edit_add_table(edit, level, b->metas[i]);
    return 0;
}

void build_abandon(struct build *b)
{
    b->ended = true;
    table_abandon(b->table);
    b->table = NULL;
    blob_writer_free(b->blob);
    b->blob = NULL;
    for (uint32_t i = 0; i < b->made_count; i++) {
        char *path = name_file(b->opt.dir, b->made[i].kind, b->made[i].number);
        int err = b->opt.env->remove(b->opt.env, path);
        if (err < 0 && err != -ENOENT) /* the next open removes what nothing names */
            log_message(LOG_INFO, "%s could not be removed", path);
        if (b->opt.parity.parity > 0)
            parity_remove(b->opt.env, b->opt.dir, b->made[i].number);
        free(path);
    }
    b->made_count = 0;
}

void build_free(struct build *b)
{
    if (!b)
        return;
    table_abandon(b->table);
    blob_writer_free(b->blob);
    for (uint32_t i = 0; i < b->meta_count; i++)
        table_meta_unref(b->metas[i]);
    free(b->metas);
    free(b->blobs);
    free(b->made);
    buf_release(&b->last_key);
    buf_release(&b->packed);
    buf_release(&b->ref);
    free(b);
}

void build_written(const struct build *b, uint64_t *table_bytes, uint64_t *blob_bytes)
{
    *table_bytes = b->written_table;
    *blob_bytes = b->written_blob;
}

uint64_t build_bytes(const struct build *b)
{
    return b->written_table + b->written_blob + b->written_parity +
           (b->table ? table_estimate_bytes(b->table) : 0) + (b->blob ? blob_size(b->blob) : 0);
}

uint64_t build_parity_written(const struct build *b)
{
    return b->written_parity;
}
