/* dump_table: a table: its footer, then its frames in the order of the file, each shown as what the
 * footer says it is; what it does not name is a data block. So a table whose footer or index is
 * damaged shows its entries all the same. */
#include <assert.h>

#include "store/dump.h"
#include "store/filter.h"
#include "store/rangedel.h"
#include "store/table_priv.h"

static bool is_at(const struct frame_ref *where, uint64_t offset)
{
    return where->len > 0 && where->offset == offset;
}

/* ---- sections ---- */

static void section(struct dump *d, const char *name, const struct frame_ref *where)
{
    dump_begin(d, "section");
    dump_text(d, "name", name);
    dump_number(d, "offset", where->offset);
    dump_number(d, "bytes", where->len);
    dump_end(d);
}

static bool show_footer(struct dump *d, const struct file *f, uint64_t size,
                        struct table_footer *footer)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    uint64_t tag, at = size - TABLE_FOOTER_SIZE;
    *footer = (struct table_footer){0};
    if (size < FILE_HEADER_SIZE + TABLE_FOOTER_SIZE || file_read(f, at, bytes, sizeof bytes) < 0 ||
        table_footer_decode(bytes, codec_seed(&f->codec, at), footer, &tag) < 0) {
        dump_damage(d, size >= sizeof bytes ? at : 0, "the footer does not verify");
        *footer = (struct table_footer){0};
        return false;
    }
    dump_begin(d, "footer");
    dump_hex(d, "tag", tag);
    dump_end(d);
    section(d, "index", &footer->index);
    section(d, "filter", &footer->filter);
    section(d, "range tombstones", &footer->rangedel);
    section(d, "properties", &footer->props);
    return true;
}

static void show_shares(struct dump *d, const struct table_meta *m)
{
    for (uint32_t i = 0; i < m->share_count; i++) {
        dump_begin(d, "refers");
        dump_number(d, "blob_file", m->shares[i].file);
        dump_number(d, "values", m->shares[i].count);
        dump_number(d, "bytes", m->shares[i].bytes);
        dump_end(d);
    }
    for (uint32_t i = 0; i < m->held_count; i++) {
        dump_begin(d, "held");
        dump_number(d, "pin", m->held[i].pin);
        dump_number(d, "bytes", m->held[i].bytes);
        dump_end(d);
    }
}

/* `*dict_copy`: where the properties say that the copy of the dictionary is; 0: there is none. */
static void show_properties(struct dump *d, const struct dump_frame *frame, uint64_t *dict_copy)
{
    struct table_meta *m;
    if (table_meta_decode(frame->payload, &m) < 0) {
        dump_damage(d, frame->offset, "the properties do not decode");
        return;
    }
    dump_begin(d, "properties");
    dump_key(d, "smallest", buf_slice(&m->smallest));
    dump_key(d, "limit", buf_slice(&m->limit));
    dump_number(d, "min_seq", m->min_seq);
    dump_number(d, "max_seq", m->max_seq);
    dump_number(d, "entries", m->entry_count);
    dump_number(d, "deletes", m->delete_count);
    dump_number(d, "tombstone_fragments", m->rangedel_count);
    dump_number(d, "raw_bytes", m->raw_bytes);
    dump_time(d, "made", (int64_t)m->created_ns);
    if (m->dict_len) {
        dump_number(d, "dictionary_bytes", m->dict_len);
        dump_number(d, "dictionary_copy", m->dict_copy);
    }
    dump_end(d);
    *dict_copy = m->dict_copy;
    show_shares(d, m);
    table_meta_unref(m);
}

static void show_filter(struct dump *d, const struct dump_frame *frame)
{
    struct filter f;
    if (filter_open(frame->payload, &f) < 0) {
        dump_damage(d, frame->offset, "the filter does not decode");
        return;
    }
    uint64_t keys = filter_count(&f);
    dump_begin(d, "filter");
    dump_number(d, "keys", keys);
    dump_number(d, "bytes", frame->payload.len);
    /* The format's own geometry: version, columns, share of blocks with one less, layers. */
    dump_number(d, "columns", frame->payload.len > 1 ? frame->payload.data[1] : 0);
    dump_number(d, "layers", frame->payload.len > 3 ? frame->payload.data[3] : 0);
    dump_number(d, "millibits_per_key", keys ? frame->payload.len * 8000 / keys : 0);
    dump_end(d);
}

static void show_tombstones(struct dump *d, const struct dump_frame *frame)
{
    struct rangedel *r;
    if (rangedel_decode(frame->payload, &r) < 0) {
        dump_damage(d, frame->offset, "the range tombstones do not decode");
        return;
    }
    for (size_t i = 0; i < rangedel_count(r) && dump_wants_entries(d); i++) {
        struct rangedel_fragment f = rangedel_at(r, i);
        if ((d->opt->to.len && slice_cmp(f.start, d->opt->to) >= 0) ||
            slice_cmp(f.end, d->opt->from) <= 0)
            continue;
        d->shown++;
        dump_begin(d, "tombstone");
        dump_key(d, "start", f.start);
        dump_key(d, "end", f.end);
        dump_number(d, "seq", f.seqs[0]);
        dump_number(d, "numbers", f.seq_count);
        dump_number(d, "oldest_seq", f.seqs[f.seq_count - 1]);
        dump_end(d);
    }
    rangedel_unref(r);
}

/* ---- blocks ---- */

static void show_block(struct dump *d, const struct dump_frame *frame, const struct block *b)
{
    dump_begin(d, "block");
    dump_number(d, "offset", frame->offset);
    dump_number(d, "bytes", (uint64_t)FRAME_HEADER_SIZE + frame->header.stored_len);
    dump_number(d, "raw_bytes", frame->header.raw_len);
    dump_number(d, "codec", frame->header.codec);
    dump_number(d, "restarts", b->restart_count);
    dump_number(d, "min_seq", b->base_seq);
    dump_number(d, "max_seq", b->max_seq);
    dump_end(d);
}

/* Of the index: one entry for each block. */
static void show_handle(struct dump *d, const struct entry *e)
{
    struct block_handle h;
    struct slice value = e->value;
    dump_begin(d, "index");
    dump_key(d, "separator", e->key);
    dump_number(d, "separator_seq", e->seq);
    if (block_handle_take(&value, &h)) {
        dump_number(d, "offset", h.where.offset);
        dump_number(d, "bytes", h.where.len);
        dump_number(d, "min_seq", h.min_seq);
        dump_number(d, "max_seq", h.max_seq);
        uint32_t blocks;
        if (value.len > 0 && take_varint32(&value, &blocks))
            dump_number(d, "part_of_blocks", blocks);
    } else {
        dump_text(d, "damage", "a handle does not decode");
    }
    dump_end(d);
}

/* `index`: its entries are handles. */
static void show_entries(struct dump *d, const struct dump_frame *frame, bool index)
{
    struct block b;
    struct block_iter bi;
    if (block_open(frame->payload, &b) < 0) {
        dump_damage(d, frame->offset, "a block does not decode");
        return;
    }
    if (d->opt->blocks)
        show_block(d, frame, &b);
    if (index ? !d->opt->blocks : !dump_wants_entries(d))
        return;
    block_iter_init(&bi);
    block_iter_set(&bi, &b);
    int rc = iter_first(&bi.it);
    for (; rc == 0 && d->stop == 0; rc = iter_next(&bi.it)) {
        if (index)
            show_handle(d, &bi.it.e);
        else
            dump_entry(d, NULL, &bi.it.e);
    }
    if (rc < 0)
        dump_damage(d, frame->offset, "an entry does not decode");
    block_iter_release(&bi);
}

static void show_filter_parts(struct dump *d, const struct table_filter *parts)
{
    dump_begin(d, "filter_parts");
    dump_number(d, "count", parts->part_count);
    dump_number(d, "offset", parts->parts[0].offset);
    dump_end(d);
}

/* Is it nothing but handles, without prints: a part of the index? */
static bool is_index_part(const struct dump_frame *frame)
{
    struct block b;
    struct block_iter bi;
    struct block_handle h;
    if (block_open(frame->payload, &b) < 0 || b.prints)
        return false;
    block_iter_init(&bi);
    block_iter_set(&bi, &b);
    int rc = iter_first(&bi.it);
    bool handles = rc == 0;
    for (; rc == 0 && handles; rc = iter_next(&bi.it)) {
        struct slice value = bi.it.e.value;
        handles = bi.it.e.type == ENTRY_PUT && block_handle_take(&value, &h) && value.len == 0 &&
                  h.where.offset + h.where.len <= frame->offset;
    }
    block_iter_release(&bi);
    return handles;
}

/* Does a part of the filter begin there? */
static bool is_part(const struct table_filter *parts, const struct table_footer *footer,
                    uint64_t offset)
{
    return parts->part_count > 0 && offset >= parts->parts[0].offset &&
           offset < footer->filter.offset;
}

static void show_dict(struct dump *d, const struct dump_frame *frame)
{
    dump_begin(d, "dictionary");
    dump_number(d, "offset", frame->offset);
    dump_number(d, "bytes", (uint64_t)FRAME_HEADER_SIZE + frame->header.stored_len);
    dump_number(d, "raw_bytes", frame->header.raw_len);
    dump_end(d);
}

static void show_frame(struct dump *d, const struct table_footer *footer,
                       const struct table_filter *parts, const struct dump_frame *frame)
{
    if (!frame->decoded) {
        dump_begin(d, "frame");
        dump_number(d, "offset", frame->offset);
        dump_number(d, "bytes", (uint64_t)FRAME_HEADER_SIZE + frame->header.stored_len);
        dump_number(d, "cipher", frame->header.cipher);
        dump_end(d);
    } else if (is_at(&footer->props, frame->offset)) {
        show_properties(d, frame, &(uint64_t){0});
    } else if (is_at(&footer->filter, frame->offset) && parts->part_count) {
        show_filter_parts(d, parts);
    } else if (is_at(&footer->filter, frame->offset) || is_part(parts, footer, frame->offset)) {
        show_filter(d, frame);
    } else if (is_at(&footer->rangedel, frame->offset)) {
        show_tombstones(d, frame);
    } else if (table_dict_is(frame->payload)) {
        show_dict(d, frame);
    } else {
        show_entries(d, frame, is_at(&footer->index, frame->offset) || is_index_part(frame));
    }
}

/* The properties come first, wherever they are: they say what to expect. */
static int show_properties_first(struct dump *d, const struct file *f,
                                 const struct table_footer *footer, uint64_t end,
                                 uint64_t *dict_copy)
{
    struct dump_walk w;
    struct dump_frame frame;
    if (footer->props.len == 0)
        return 0;
    dump_walk_init(&w, d, f, end);
    w.at = footer->props.offset < end ? footer->props.offset : end;
    int err = dump_walk_next(&w, &frame);
    if (err == 0 && frame.decoded && is_at(&footer->props, frame.offset))
        show_properties(d, &frame, dict_copy);
    dump_walk_release(&w);
    return err < 0 ? err : 0;
}

/* Where the parts of the filter are, if it is in parts; what is wrong is said when its frame comes.
 */
static int find_filter_parts(struct dump *d, const struct file *f,
                             const struct table_footer *footer, uint64_t end,
                             struct table_filter *parts)
{
    struct dump_walk w;
    struct dump_frame frame;
    struct buf payload = {0};
    *parts = (struct table_filter){0};
    if (footer->filter.len == 0)
        return 0;
    dump_walk_init(&w, d, f, end);
    w.at = footer->filter.offset < end ? footer->filter.offset : end;
    int err = dump_walk_next(&w, &frame);
    if (err == 0 && frame.decoded && is_at(&footer->filter, frame.offset)) {
        buf_set(&payload, frame.payload);
        if (table_filter_open(parts, &payload, footer->filter.offset) < 0)
            table_filter_release(parts);
    }
    buf_release(&payload);
    dump_walk_release(&w);
    return err < 0 ? err : 0;
}

static int show_frames(struct dump *d, const struct file *f, const struct table_footer *footer,
                       uint64_t end)
{
    struct dump_walk w;
    struct dump_frame frame;
    struct table_filter parts;
    int err = find_filter_parts(d, f, footer, end, &parts);
    dump_walk_init(&w, d, f, end);
    while (err == 0 && d->stop == 0 && (err = dump_walk_next(&w, &frame)) == 0)
        if (!is_at(&footer->props, frame.offset))
            show_frame(d, footer, &parts, &frame);
    dump_walk_release(&w);
    table_filter_release(&parts);
    return err < 0 ? err : 0;
}

int dump_table(struct dump *d, const struct file *f, uint64_t size)
{
    struct table_footer footer;
    uint64_t end = show_footer(d, f, size, &footer) ? size - TABLE_FOOTER_SIZE : size, copy = 0;
    struct codec_dict *dict = NULL;
    struct file with = *f; /* the same file, with the dictionary if there is one */
    int err = show_properties_first(d, f, &footer, end, &copy);
    if (table_dict_read(f, FILE_HEADER_SIZE, end, &dict) != 0 && copy)
        table_dict_read(f, copy, end, &dict);
    struct codec_dicts dicts = {.list = &dict, .count = dict != NULL};
    with.codec.dicts = &dicts;
    if (err == 0)
        err = show_frames(d, &with, &footer, end);
    codec_dict_unref(dict);
    return err;
}
