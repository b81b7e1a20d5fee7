/* salvage_table: what can be had of a table, whole or not.
 *
 * A table whose index, footer or properties are damaged still has its blocks: each is a frame that
 * verifies by itself, in the order of keys. Which frames are blocks of data follows from where they
 * stand and what they hold: an index, or a part of one, has nothing but handles of frames that
 * follow each other; it ends at the footer, or has no prints; tombstones have a type that data has
 * not, and filter and properties are no blocks. */
#include "store/salvage_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/block.h"
#include "store/err.h"
#include "store/framescan.h"
#include "store/table_priv.h"

/* ---- a table that may be whole ---- */

static int count_finding(void *ctx, int code, uint64_t offset, const char *text)
{
    uint64_t *found = ctx;
    (void)code, (void)offset, (void)text;
    ++*found;
    return 1; /* one is enough */
}

int salvage_open_table(struct salvage *s, uint64_t number, struct table_meta *meta,
                       struct table **out)
{
    const uint8_t *uuid = salvage_uuid(s, number);
    uint64_t found = 0;
    int err = meta ? table_open(s->env, s->dir, meta, uuid, s->cache, out)
                   : table_open_file(s->env, s->dir, number, uuid, s->cache, out);
    if (err == 0 && (table_check(*out, count_finding, NULL, NULL, &found) < 0 || found)) {
        table_unref(*out);
        *out = NULL;
    }
    return *out ? 0 : 1;
}

/* ---- one that is not ---- */

struct scanning {
    struct salvage *s;
    const struct table_meta *meta; /* NULL: nothing is known of it */
    struct memtable *out;
    struct rangedel_builder *dels;
    uint64_t size;
    bool placed_later;
};

/* How the volume sees what has number `seq` in the file (table_lens.c): false: not at all. */
static bool see(const struct scanning *c, uint64_t *seq)
{
    if (c->meta && c->meta->cut_seq && *seq >= c->meta->cut_seq)
        return false;
    if (c->meta && c->meta->ingest_seq)
        *seq = c->meta->ingest_seq;
    if (*seq > c->s->max_seq)
        c->s->max_seq = *seq;
    return true;
}

/* Is the key part of the table? */
static bool see_key(const struct scanning *c, struct slice key)
{
    return !c->meta || c->meta->front == 0 || slice_cmp(key, buf_slice(&c->meta->smallest)) >= 0;
}

/* Nothing but handles of frames before `at`, one behind the other, each with a number behind it if
 * they are of parts: an index, a part of one, or the top of one. `first`: where the first must be;
 * 0: anywhere. */
static bool is_index(struct block_iter *bi, uint64_t first, uint64_t at)
{
    uint64_t expected = first;
    uint32_t blocks;
    int err = iter_first(&bi->it);
    for (; err == 0; err = iter_next(&bi->it)) {
        struct slice value = bi->it.e.value;
        struct block_handle h;
        if (bi->it.e.type != ENTRY_PUT || !block_handle_take(&value, &h))
            return false;
        if (value.len > 0 && (!take_varint32(&value, &blocks) || value.len > 0))
            return false;
        if ((expected && h.where.offset != expected) || h.where.offset < FILE_HEADER_SIZE ||
            h.where.len > at || h.where.offset > at - h.where.len)
            return false;
        expected = h.where.offset + h.where.len;
    }
    return err == 1;
}

/* Blocks of data have prints, where an index is in parts: it is younger than they are. */
static bool may_be_index(const struct scanning *c, const struct framescan_item *item,
                         struct block_iter *bi)
{
    bool last = item->offset + item->len + TABLE_FOOTER_SIZE == c->size;
    if (last && is_index(bi, FILE_HEADER_SIZE, item->offset))
        return true;
    return !bi->block.prints && is_index(bi, 0, item->offset);
}

static bool is_tombstones(struct block_iter *bi)
{
    return iter_first(&bi->it) == 0 && bi->it.e.type == ENTRY_RANGE_DELETE;
}

static void take_tombstones(struct scanning *c, struct slice payload)
{
    struct rangedel *r;
    if (rangedel_decode(payload, &r) != 0)
        return;
    if (c->meta && c->meta->front)
        r = table_lens_rangedel_front(r, buf_slice(&c->meta->smallest));
    for (size_t i = 0; i < rangedel_count(r); i++) {
        struct rangedel_fragment f = rangedel_at(r, i);
        for (uint32_t k = 0; k < f.seq_count; k++) {
            uint64_t seq = f.seqs[k];
            if (see(c, &seq))
                rangedel_builder_add(c->dels, f.start, f.end, seq);
        }
    }
    rangedel_unref(r);
}

static void take_entries(struct scanning *c, struct block_iter *bi)
{
    for (int err = iter_first(&bi->it); err == 0; err = iter_next(&bi->it)) {
        struct entry e = bi->it.e;
        struct blob_ref ref;
        if (e.type >= ENTRY_RANGE_DELETE || e.seq == 0 || e.seq > SEQ_MAX || e.key.len == 0 ||
            (entry_type_is_blob(e.type) && !blob_ref_decode(e.value, &ref)))
            continue;
        if (see_key(c, e.key) && see(c, &e.seq))
            memtable_add(c->out, &e);
    }
}

static void take_properties(struct scanning *c, struct slice payload)
{
    struct table_meta *m;
    if (table_meta_decode(payload, &m) != 0)
        return;
    c->placed_later |= m->placed_later;
    table_meta_unref(m);
}

static void take_payload(struct scanning *c, const struct framescan_item *item,
                         struct slice payload)
{
    struct block block;
    struct block_iter bi;
    if (table_dict_is(payload))
        return;
    if (block_open(payload, &block) != 0) {
        take_properties(c, payload); /* or a filter, which is none */
        return;
    }
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    if (is_tombstones(&bi))
        take_tombstones(c, payload);
    else if (!may_be_index(c, item, &bi))
        take_entries(c, &bi);
    block_iter_release(&bi);
}

/* The dictionary that the blocks were made with, or NULL. It is there twice. */
static struct codec_dict *find_dict(const struct scanning *c, const struct file *f)
{
    struct codec_dict *dict = NULL;
    struct framescan scan;
    struct framescan_item item;
    if (table_dict_read(f, FILE_HEADER_SIZE, c->size, &dict) == 0)
        return dict;
    framescan_init(&scan, f, FILE_HEADER_SIZE, c->size);
    while (!dict && framescan_next(&scan, &item) == 0) {
        bool sound = item.what == FRAMESCAN_FRAME || item.what == FRAMESCAN_REPAIRED;
        if (sound && item.offset == FILE_HEADER_SIZE)
            break; /* it would be this one */
        if (sound)
            table_dict_read(f, item.offset, c->size, &dict);
    }
    framescan_release(&scan);
    return dict;
}

static void scan_frames(struct scanning *c, const struct file *f, uint64_t *lost)
{
    struct framescan scan;
    struct framescan_item item;
    struct buf payload = {0};
    uint64_t front = c->meta && c->meta->front < c->size ? c->meta->front : 0;
    framescan_init(&scan, f, front ? front : FILE_HEADER_SIZE, c->size);
    while (framescan_next(&scan, &item) == 0) {
        buf_clear(&payload);
        bool footer = item.offset + item.len == c->size && item.len <= TABLE_FOOTER_SIZE;
        if (item.what == FRAMESCAN_FRAME || item.what == FRAMESCAN_REPAIRED) {
            if (frame_unpack(&f->codec, item.offset, &item.header, frame_stored(item.frame),
                             &payload) == 0)
                take_payload(c, &item, buf_slice(&payload));
            else
                *lost += item.len;
        } else if (!footer) {
            *lost += item.len;
        }
    }
    framescan_release(&scan);
    buf_release(&payload);
}

void salvage_scan_table(struct salvage *s, uint64_t number, const struct table_meta *meta,
                        struct memtable *out, struct rangedel_builder *dels, uint64_t *lost,
                        bool *placed_later)
{
    struct file f;
    struct scanning c = {.s = s, .meta = meta, .out = out, .dels = dels};
    char *path = name_file(s->dir, FILE_TABLE, number);
    uint64_t size = 0;
    *lost = 0;
    (void)s->env->file_size(s->env, path, &size);
    if (file_open(s->env, s->dir, FILE_TABLE, number, salvage_uuid(s, number), &f) != 0) {
        *lost = size;
    } else {
        if (file_size(&f, true, &c.size) == 0 && c.size > FILE_HEADER_SIZE) {
            struct codec_dict *dict = find_dict(&c, &f);
            struct codec_dicts dicts = {.list = &dict, .count = dict != NULL};
            f.codec.dicts = &dicts;
            scan_frames(&c, &f, lost);
            codec_dict_unref(dict);
        }
        file_close(&f);
    }
    *placed_later = c.placed_later;
    free(path);
}
