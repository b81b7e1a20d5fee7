/* salvage_build: everything that was found, merged into tables, and the accounts of the blob files
 * that they refer to.
 *
 * An entry may be found several times: in a table and in the log that it was flushed from, or in
 * the inputs and outputs of a compaction of which the end was not seen. Equal entries are one. Of
 * two that differ, a value or deletion stands for itself, while an operand may be one of several
 * that were folded: the former is kept; of two operands, that of the older file. */
#include "store/salvage_priv.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/build.h"
#include "store/err.h"
#include "store/framescan.h"

/* ---- one of each ---- */

struct once {
    struct iter *merged;
    struct buf key, value; /* of `e` */
    struct entry e;
};

static void once_take(struct once *o, const struct entry *e)
{
    buf_set(&o->key, e->key);
    buf_set(&o->value, e->value);
    o->e = *e;
    o->e.key = buf_slice(&o->key);
    o->e.value = buf_slice(&o->value);
}

/* The next entry that differs from the one before in key or number. `err` is what the merged cursor
 * stands on; returns what it stands on then. */
static int once_next(struct once *o, int err)
{
    const struct entry *e = &o->merged->e;
    once_take(o, e);
    while ((err = iter_next(o->merged)) == 0 && e->seq == o->e.seq && slice_eq(e->key, o->e.key))
        if (entry_type_is_merge(o->e.type) && !entry_type_is_merge(e->type))
            once_take(o, e);
    return err;
}

/* ---- tables ---- */

struct building {
    struct salvage *s;
    struct rangedel *dels;
    struct buf from; /* where the tombstones of the next table begin */
};

static uint64_t next_file(void *ctx)
{
    struct building *b = ctx;
    return b->s->next_file++;
}

static struct rangedel *rangedels(void *ctx, struct slice upto)
{
    struct building *b = ctx;
    struct rangedel_builder *out = rangedel_builder_new();
    struct slice from = buf_slice(&b->from);
    for (size_t i = 0; i < rangedel_count(b->dels); i++) {
        struct rangedel_fragment f = rangedel_at(b->dels, i);
        struct slice start = slice_cmp(f.start, from) < 0 ? from : f.start;
        struct slice end = upto.len && slice_cmp(f.end, upto) > 0 ? upto : f.end;
        for (uint32_t k = 0; k < f.seq_count; k++)
            rangedel_builder_add(out, start, end, f.seqs[k]);
    }
    struct rangedel *r = rangedel_build(out);
    rangedel_builder_free(out);
    buf_set(&b->from, upto);
    return r;
}

static int pump(struct salvage *s, struct build *build)
{
    struct once o = {.merged = iter_merge_new(s->children, s->child_count)};
    s->child_count = 0;
    int err = iter_first(o.merged);
    while (err == 0) {
        err = once_next(&o, err);
        if (err < 0)
            break;
        int added = build_add(build, &o.e);
        if (added < 0)
            err = added;
        s->report->entries++;
    }
    iter_free(o.merged);
    buf_release(&o.key);
    buf_release(&o.value);
    return err < 0 ? err : 0;
}

int salvage_build(struct salvage *s, int level)
{
    struct building b = {.s = s, .dels = rangedel_build(s->dels)};
    struct build_options opt = {
        .env = s->env,
        .dir = s->dir,
        .uuid = s->uuid,
        .table = {.block_bytes = s->opt.block_bytes, .filter_one_in = s->opt.filter_one_in},
        .table_bytes = s->opt.table_bytes,
        .memory_bytes = BUILD_MEMORY_BYTES,
        .blob_bytes = s->opt.blob_bytes,
        .parity = {s->opt.parity_data, s->opt.parity_shards},
        .ctx = &b,
        .next_file = next_file,
        .rangedels = rangedels};
    strength_of_tables(&opt.table.strength, &s->opt, level);
    strength_of_values(&opt.blob_strength, &s->opt);
    struct build *build = build_new(&opt);
    int err = pump(s, build);
    if (err == 0)
        err = build_finish(build, &s->edit, level);
    if (err < 0)
        build_abandon(build);
    build_free(build);
    rangedel_unref(b.dels);
    buf_release(&b.from);
    return err;
}

/* ---- blob files ---- */

static const struct salvage_file *find_file(const struct salvage *s, enum file_kind kind,
                                            uint64_t number)
{
    for (size_t i = 0; i < s->file_count; i++)
        if (s->files[i].kind == kind && s->files[i].number == number)
            return &s->files[i];
    return NULL;
}

/* Frames of the file that verify, and what does not. */
static void scan_blob(struct salvage *s, const struct file *f, uint64_t size, uint64_t *count,
                      uint64_t *bytes)
{
    struct framescan scan;
    struct framescan_item item;
    framescan_init(&scan, f, FILE_HEADER_SIZE, size);
    while (framescan_next(&scan, &item) == 0) {
        if (item.what == FRAMESCAN_FRAME || item.what == FRAMESCAN_REPAIRED) {
            ++*count;
            *bytes += item.len;
        } else if (item.what == FRAMESCAN_GAP && item.offset + item.len < size) {
            salvage_tell(s, FINDING_SALVAGE_BLOB, STORE_DAMAGE, FILE_BLOB, f->header.number,
                         item.offset, "%" PRIu64 " bytes of values do not verify", item.len);
            s->report->losses++;
        }
    }
    framescan_release(&scan);
}

/* What the manifest is to know of a blob file. */
struct account {
    uint64_t count, bytes, size;
    uint32_t key_epoch;
    uint64_t header_sum;
};

static void take_header(struct account *a, const struct file_header *h)
{
    a->key_epoch = h->key_epoch;
    a->header_sum = file_header_sum(h);
}

/* A file with nothing but a header in place of one that is gone: what refers to it is told by file
 * and offset, and leaves it in the end, as if its values were damaged. Of this volume, whoever made
 * the one that is gone, so it has a number that an ancestor's would have: see salvage_uuid(). */
static int make_placeholder(struct salvage *s, uint64_t number, struct account *a)
{
    struct blob_writer *w;
    salvage_tell(s, FINDING_SALVAGE_BLOB, STORE_DAMAGE, FILE_BLOB, number, UINT64_MAX,
                 "the file is missing, and so are all values in it");
    s->report->losses++;
    int err = blob_create(s->env, s->dir, number, salvage_uuid(s, number), &w);
    if (err == 0) {
        err = blob_sync(w);
        a->size = blob_size(w);
        take_header(a, blob_writer_header(w));
        blob_writer_free(w);
    }
    return err;
}

static void read_blob(struct salvage *s, uint64_t number, struct account *a)
{
    struct file f;
    if (file_open(s->env, s->dir, FILE_BLOB, number, salvage_uuid(s, number), &f) == 0) {
        scan_blob(s, &f, a->size, &a->count, &a->bytes);
        take_header(a, &f.header);
        file_close(&f);
    } else {
        salvage_tell(s, FINDING_SALVAGE_BLOB, STORE_DAMAGE, FILE_BLOB, number, 0,
                     "the file cannot be opened: all values in it are lost");
        s->report->losses++;
    }
}

/* `share` is what all tables refer to. What else is in the file is garbage. */
static int add_blob(struct salvage *s, const struct table_blob_share *share)
{
    const struct salvage_file *on_disk = find_file(s, FILE_BLOB, share->file);
    struct account a = {.size = on_disk ? on_disk->bytes : 0};
    int err = 0;
    if (on_disk)
        read_blob(s, share->file, &a);
    else
        err = make_placeholder(s, share->file, &a);
    if (a.count < share->count || a.bytes < share->bytes) {
        a.count = share->count;
        a.bytes = share->bytes;
    }
    if (err == 0) {
        edit_add_blob(&s->edit, share->file, a.count, a.bytes, a.size);
        edit_set_blob_key(&s->edit, share->file, a.key_epoch, a.header_sum);
        if (a.count > share->count)
            edit_add_garbage(&s->edit, share->file, a.count - share->count, a.bytes - share->bytes);
        s->report->blob_files++;
    }
    salvage_did(s, a.size);
    return err;
}

/* While something is lost, a blob file without references may be all that is left of it. */
static int keep_orphans(struct salvage *s, const struct table_meta *shares)
{
    int err = 0;
    for (size_t i = 0; i < s->file_count && err == 0 && s->report->losses; i++) {
        bool referred = false;
        if (s->files[i].kind != FILE_BLOB)
            continue;
        for (uint32_t k = 0; k < shares->share_count; k++)
            referred |= shares->shares[k].file == s->files[i].number;
        if (referred)
            continue;
        char *path = name_file(s->dir, FILE_BLOB, s->files[i].number);
        char *kept = mem_printf("%s.orphan", path);
        err = s->env->rename(s->env, path, kept);
        salvage_tell(s, FINDING_SALVAGE_BLOB, STORE_WARNING, FILE_BLOB, s->files[i].number,
                     UINT64_MAX, "nothing refers to it any more; it is kept as %s", kept);
        free(kept);
        free(path);
    }
    return err;
}

int salvage_blobs(struct salvage *s)
{
    struct table_meta *all = table_meta_new();
    for (uint32_t t = 0; t < s->edit.tables_added_count; t++) {
        const struct table_meta *m = s->edit.tables_added[t].meta;
        for (uint32_t i = 0; i < m->share_count; i++)
            table_meta_add_share(all, m->shares[i].file, m->shares[i].count, m->shares[i].bytes);
    }
    int err = 0;
    for (uint32_t i = 0; i < all->share_count && err == 0; i++)
        err = add_blob(s, &all->shares[i]);
    if (err == 0)
        err = keep_orphans(s, all);
    table_meta_unref(all);
    return err;
}
