/* table_check: everything that can be said about a table that is open, from its bytes on disk.
 *
 * Every frame is read again from the file, past the cache and what was loaded at opening: memory
 * does not rot, disks do. Nothing is raised or logged: findings go to the caller.
 *
 * Of a table that is cut in front (table.h) only what is left is looked at, and held against what
 * the manifest says of it; the properties are of the whole file.
 *
 * Guarantees: total over any bytes; each fault is reported where it is. What cannot be compared
 * because a block could not be read is not reported again as a difference.
 *
 * Invariants:
 *   1. `stop` is 0 until the check has to end: what a callback returned, or an I/O error. Once it
 * is set no callback is called.
 *   2. `seen` holds what the properties should say, as long as `whole`. */
#include "store/table_check_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bool done(const struct checker *c)
{
    return c->stop != 0;
}

void table_check_report(struct checker *c, enum table_finding code, uint64_t offset,
                        const char *format, ...)
{
    char text[256];
    va_list args;
    if (done(c))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->stop = c->finding(c->ctx, (int)code, offset, text);
}

/* ---- frames ---- */

/* Is it what should be at that place? */
typedef bool sound_fn(struct checker *c, uint64_t offset, const uint8_t *bytes);

/* Reads the `len` bytes at `offset`, a header or a footer, and reports what is wrong with them,
 * unless parity makes up for it. */
static void check_end(struct checker *c, uint64_t offset, size_t len, sound_fn *sound,
                      const char *what)
{
    uint8_t bytes[FILE_HEADER_SIZE > TABLE_FOOTER_SIZE ? FILE_HEADER_SIZE : TABLE_FOOTER_SIZE];
    struct env_file *io = c->t->file.io;
    size_t got = 0;
    assert(len <= sizeof bytes);
    int rc = io->ops->read(io, offset, bytes, len, &got);
    assert(rc <= 0 && got <= len);
    if (rc == 0 && got == len && sound(c, offset, bytes))
        return;
    if (file_restore(&c->t->file, offset, bytes, len) == 0 && sound(c, offset, bytes))
        file_repaired(&c->t->file, offset);
    else if (rc)
        c->stop = rc;
    else if (got < len)
        table_check_report(c, TABLE_FINDING_FRAME, offset, "the file ends %zu bytes too early",
                           len - got);
    else
        table_check_report(c, TABLE_FINDING_FRAME, offset, "the file %s does not verify", what);
}

/* Reads the frame at `where` into c->payload; false when it is not sound, which is reported. */
static bool read_frame(struct checker *c, const struct frame_ref *where)
{
    struct frame_header h;
    int rc = file_probe_frame(&c->t->file, where, &c->frame, &h);
    buf_clear(&c->payload);
    if (rc < 0)
        c->stop = rc;
    else if (rc > 0)
        table_check_report(c, TABLE_FINDING_FRAME, where->offset, "a frame does not verify");
    else if (frame_unpack(&c->t->file.codec, where->offset, &h, frame_stored(buf_slice(&c->frame)),
                          &c->payload))
        table_check_report(c, TABLE_FINDING_FRAME, where->offset, "a frame does not decode");
    else
        return true;
    return false;
}

/* The header is what it was when the file was opened. */
static bool header_sound(struct checker *c, uint64_t offset, const uint8_t *bytes)
{
    uint8_t then[FILE_HEADER_SIZE];
    (void)offset;
    file_header_encode(&c->t->file.header, then);
    return memcmp(bytes, then, sizeof then) == 0;
}

static bool footer_sound(struct checker *c, uint64_t offset, const uint8_t *bytes)
{
    struct table_footer footer;
    uint64_t tag;
    return footer_decode(&c->t->file.codec, offset, bytes, &footer, &tag) == 0 &&
           tag == c->t->meta->tag;
}

static void check_ends(struct checker *c)
{
    check_end(c, 0, FILE_HEADER_SIZE, header_sound, "header");
    if (!done(c))
        check_end(c, c->t->meta->size_bytes - TABLE_FOOTER_SIZE, TABLE_FOOTER_SIZE, footer_sound,
                  "footer");
}

/* ---- where the frames lie ---- */

/* The frame at `where` begins where the one before ended, which moves on. */
static void check_place(struct checker *c, const struct frame_ref *where)
{
    if (where->len == 0)
        return;
    if (c->at && where->offset > c->at)
        table_check_report(c, TABLE_FINDING_LAYOUT, c->at, "nothing refers to %" PRIu64 " bytes",
                           where->offset - c->at);
    else if (where->offset < c->at)
        table_check_report(c, TABLE_FINDING_LAYOUT, where->offset,
                           "a frame reaches into the one before");
    if (where->offset + where->len > c->at)
        c->at = where->offset + where->len;
}

/* Of all that lies behind the blocks. */
static void check_layout(struct checker *c)
{
    const struct table *t = c->t;
    struct frame_ref footer = {t->meta->size_bytes - TABLE_FOOTER_SIZE, TABLE_FOOTER_SIZE};
    struct frame_ref copy = table_dict_copy(t->meta);
    check_place(c, &copy);
    for (uint32_t i = 0; t->begins && i < t->index.count; i++)
        check_place(c, &t->index.entries[i].handle.where);
    for (uint32_t i = 0; i < t->filter.part_count; i++)
        check_place(c, &t->filter.parts[i]);
    check_place(c, &t->footer.filter);
    check_place(c, &t->footer.rangedel);
    check_place(c, &t->footer.props);
    check_place(c, &t->footer.index);
    check_place(c, &footer);
}

/* ---- entries ---- */

static void check_ref(struct checker *c, uint64_t offset, const struct entry *e)
{
    struct blob_ref ref;
    if (!blob_ref_decode(e->value, &ref)) {
        table_check_report(c, TABLE_FINDING_BLOB_REF, offset,
                           "the value of entry %" PRIu64 " is no blob reference", e->seq);
        c->whole = false;
        return;
    }
    table_meta_add_share(c->seen, ref.file, 1, ref.where.len);
    if (c->ref && !done(c))
        c->stop = c->ref(c->ctx, e->key, &ref);
}

/* The entry against the one before, wherever that was. */
static void check_order(struct checker *c, uint64_t offset, const struct entry *e)
{
    struct slice last = buf_slice(&c->last_key);
    if (c->seen->entry_count > 0 && entry_cmp(last, c->last_seq, e->key, e->seq) >= 0)
        table_check_report(c, TABLE_FINDING_ORDER, offset,
                           "entry %" PRIu64 " is not behind entry %" PRIu64 " in order", e->seq,
                           c->last_seq);
    if (e->type >= ENTRY_RANGE_DELETE)
        table_check_report(c, TABLE_FINDING_ORDER, offset,
                           "entry %" PRIu64 " has type %d, which cannot be", e->seq, (int)e->type);
}

static uint64_t block_offset(const struct checker *c, uint32_t i)
{
    return table_part_entry(&c->part, i)->handle.where.offset;
}

/* The entry against the separators on both sides of block `i`. */
static void check_sides(struct checker *c, uint32_t i, const struct entry *e)
{
    if (table_part_side(c->t, &c->part, i, e) > 0)
        table_check_report(c, TABLE_FINDING_SEPARATOR, block_offset(c, i),
                           "entry %" PRIu64 " is past the block's separator", e->seq);
    if (i > 0 && table_part_side(c->t, &c->part, i - 1, e) <= 0)
        table_check_report(c, TABLE_FINDING_SEPARATOR, block_offset(c, i),
                           "entry %" PRIu64 " is before the separator of the block before", e->seq);
}

static bool filter_has(const struct checker *c, uint64_t hash)
{
    const struct filter *f = &c->filters[table_filter_part_of(&c->t->filter, hash)];
    return f->bytes.len == 0 || filter_may_contain(f, hash);
}

static void check_filter(struct checker *c, uint64_t offset, const struct entry *e)
{
    if (!c->filters)
        return;
    if (!filter_has(c, filter_hash(e->key)))
        table_check_report(c, TABLE_FINDING_FILTER, offset,
                           "the filter denies the key of entry %" PRIu64, e->seq);
    const struct store_prefix *rule = c->prefix;
    size_t len = rule && rule->id == c->t->meta->prefix_rule ? rule->len(e->key) : 0;
    if (len > 0 && !filter_has(c, filter_hash_prefix(slice_of(e->key.data, len), rule->id)))
        table_check_report(c, TABLE_FINDING_FILTER, offset,
                           "the filter denies the prefix of the key of entry %" PRIu64, e->seq);
}

/* Reads the filter, or each of its parts. One that is not sound is reported, and then not asked. */
static void load_filters(struct checker *c)
{
    const struct table_filter *f = &c->t->filter;
    if (!f->is_there || done(c))
        return;
    c->filter_count = f->part_count ? f->part_count : 1;
    c->filter_bytes = mem_zalloc(c->filter_count * sizeof *c->filter_bytes);
    c->filters = mem_zalloc(c->filter_count * sizeof *c->filters);
    for (uint32_t i = 0; i < c->filter_count && !done(c); i++) {
        const struct frame_ref *where = f->part_count ? &f->parts[i] : &c->t->footer.filter;
        if (!read_frame(c, where))
            continue;
        c->filter_bytes[i] = c->payload;
        c->payload = (struct buf){0};
        if (filter_open(buf_slice(&c->filter_bytes[i]), &c->filters[i]))
            table_check_report(c, TABLE_FINDING_FILTER, where->offset, "a filter does not decode");
    }
}

static void release_filters(struct checker *c)
{
    for (uint32_t i = 0; i < c->filter_count; i++)
        buf_release(&c->filter_bytes[i]);
    free(c->filter_bytes);
    free(c->filters);
}

static void count_entry(struct checker *c, const struct entry *e)
{
    struct table_meta *m = c->seen;
    if (m->entry_count == 0)
        buf_set(&m->smallest, e->key);
    table_check_widen(m, e->seq, e->seq);
    m->entry_count++;
    m->delete_count += e->type == ENTRY_DELETE;
    buf_set(&c->last_key, e->key);
    c->last_seq = e->seq;
}

static void check_entry(struct checker *c, uint32_t i, const struct entry *e)
{
    uint64_t offset = block_offset(c, i);
    if (c->t->meta->front && slice_cmp(e->key, buf_slice(&c->t->meta->smallest)) < 0)
        return; /* not part of the table, though the block is */
    check_order(c, offset, e);
    check_sides(c, i, e);
    check_filter(c, offset, e);
    if (entry_type_is_blob(e->type))
        check_ref(c, offset, e);
    count_entry(c, e);
}

/* ---- blocks ---- */

/* Entry number `n` of the block, against its print. */
static void check_print(struct checker *c, uint32_t i, const struct block *b, uint32_t n,
                        const struct entry *e)
{
    if (b->prints && (n >= b->print_count || b->prints[n] != (uint8_t)filter_hash(e->key)))
        table_check_report(c, TABLE_FINDING_BLOCK, block_offset(c, i),
                           "entry %" PRIu64 " has not the print that the block says", e->seq);
}

/* Walks the entries of the payload of block `i`; false when not all of it could be decoded. */
static bool walk_block(struct checker *c, uint32_t i, uint64_t *min_seq, uint64_t *max_seq)
{
    struct block block;
    struct block_iter bi;
    *min_seq = UINT64_MAX;
    *max_seq = 0;
    if (block_open(buf_slice(&c->payload), &block))
        return false;
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    uint32_t n = 0;
    int rc = iter_first(&bi.it);
    for (; rc == 0 && !done(c); rc = iter_next(&bi.it)) {
        check_entry(c, i, &bi.it.e);
        check_print(c, i, &block, n++, &bi.it.e);
        *min_seq = bi.it.e.seq < *min_seq ? bi.it.e.seq : *min_seq;
        *max_seq = bi.it.e.seq > *max_seq ? bi.it.e.seq : *max_seq;
    }
    block_iter_release(&bi);
    if (rc >= 0 && !done(c) && block.prints && n != block.print_count)
        table_check_report(c, TABLE_FINDING_BLOCK, block_offset(c, i),
                           "a block has %" PRIu32 " entries and says %" PRIu32, n,
                           block.print_count);
    return rc >= 0;
}

static void check_block(struct checker *c, uint32_t i)
{
    const struct block_handle *h = &table_part_entry(&c->part, i)->handle;
    uint64_t min_seq, max_seq;
    if (done(c) || table_lens_gone(c->t->meta, h->where.offset))
        return;
    check_place(c, &h->where);
    if (done(c))
        return;
    if (!read_frame(c, &h->where)) {
        c->whole = false;
        return;
    }
    c->seen->raw_bytes += c->payload.len;
    if (!walk_block(c, i, &min_seq, &max_seq)) {
        table_check_report(c, TABLE_FINDING_BLOCK, h->where.offset, "a block does not decode");
        c->whole = false;
    } else if (min_seq > max_seq) {
        table_check_report(c, TABLE_FINDING_BLOCK, h->where.offset, "a block is empty");
    } else if (min_seq != h->min_seq || max_seq != h->max_seq) {
        table_check_report(c, TABLE_FINDING_SEQ_BOUNDS, h->where.offset,
                           "the index bounds sequence numbers by %" PRIu64 " and %" PRIu64
                           ", which are %" PRIu64 " and %" PRIu64,
                           h->min_seq, h->max_seq, min_seq, max_seq);
    }
}

/* ---- the dictionary ---- */

/* Both of it: what was loaded at opening says what they should be. */
static void check_dict(struct checker *c)
{
    struct frame_ref places[] = {table_dict_first(c->t->meta), table_dict_copy(c->t->meta)};
    for (int i = 0; i < 2 && c->t->dict && !done(c); i++)
        if (read_frame(c, &places[i]) &&
            !slice_eq(buf_slice(&c->payload), codec_dict_content(c->t->dict)))
            table_check_report(c, TABLE_FINDING_FRAME, places[i].offset,
                               "the dictionary is not that of the table");
}

/* ---- all of it ---- */

/* Makes part `p` of the index, as it is on disk, the one that the check is in. False when it is not
 * sound, which is reported: then nothing is known of its blocks. */
static bool enter_part(struct checker *c, uint32_t p)
{
    const struct table *t = c->t;
    struct table_index_draft draft;
    const struct frame_ref *where = &t->index.entries[p].handle.where;
    if (!t->begins) {
        c->part = (struct table_part){.ix = &t->index};
        return true;
    }
    free(c->part_memory);
    c->part_memory = NULL;
    c->part.ix = NULL;
    if (!read_frame(c, where))
        return false;
    const char *fault = table_index_decode(buf_slice(&c->payload), t->data_end, &draft);
    if (!fault)
        fault = table_part_fault(t, p, &draft);
    if (fault) {
        table_check_report(c, TABLE_FINDING_FRAME, where->offset, "%s", fault);
    } else {
        c->part_memory = mem_alloc(table_index_size(&draft));
        table_index_lay(&draft, c->part_memory);
        table_index_view(c->part_memory, &c->part.view);
        c->part.ix = &c->part.view;
        c->part.begin = t->begins[p];
    }
    table_index_draft_release(&draft);
    return !fault;
}

static void check_part(struct checker *c, uint32_t p)
{
    if (!enter_part(c, p)) {
        c->whole = false;
        c->at = 0;
        return;
    }
    for (uint32_t i = 0; i < c->part.ix->count && !done(c); i++)
        check_block(c, c->part.begin + i);
}

static void check_entries(struct checker *c)
{
    struct table_meta *m = c->seen;
    uint32_t parts = c->t->begins ? c->t->index.count : c->t->index.count > 0;
    struct frame_ref dict = table_dict_first(c->t->meta);
    c->at = FILE_HEADER_SIZE;
    check_place(c, &dict);
    if (c->t->meta->front)
        c->at = c->t->meta->front;
    for (uint32_t p = 0; p < parts && !done(c); p++)
        check_part(c, p);
    if (!done(c))
        check_layout(c);
    if (m->entry_count > 0) {
        buf_set(&m->limit, buf_slice(&c->last_key));
        buf_put_u8(&m->limit, 0);
    }
}

/* The sections behind the blocks; those that are empty have no frame. */
static void check_sections(struct checker *c)
{
    const struct table_footer *f = &c->t->footer;
    if (c->t->filter.part_count && !done(c))
        read_frame(c, &f->filter); /* the directory; the parts were read */
    if (f->index.len && !done(c))
        read_frame(c, &f->index);
    if (f->rangedel.len && !done(c)) {
        if (read_frame(c, &f->rangedel))
            table_check_tombstones(c);
        else
            c->whole = false;
    }
    if (f->props.len == 0)
        table_check_report(c, TABLE_FINDING_PROPERTIES, UINT64_MAX, "the table has no properties");
    else if (!done(c) && read_frame(c, &f->props))
        table_check_props(c);
}

int table_check(struct table *t, table_finding_fn *finding, table_ref_fn *ref,
                const struct store_prefix *prefix, void *ctx)
{
    struct checker c = {.t = t, .finding = finding, .ref = ref, .prefix = prefix, .ctx = ctx};
    c.whole = true;
    assert(finding);
    c.seen = table_meta_new();
    c.seen->dict_len = t->meta->dict_len;
    c.seen->dict_copy = t->meta->dict_copy;
    check_ends(&c);
    check_dict(&c);
    load_filters(&c);
    if (!done(&c))
        check_entries(&c);
    if (!done(&c))
        check_sections(&c);
    release_filters(&c);
    free(c.part_memory);
    table_meta_unref(c.seen);
    buf_release(&c.last_key);
    buf_release(&c.frame);
    buf_release(&c.payload);
    return c.stop;
}
