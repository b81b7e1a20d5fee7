/* table_check: everything that can be said about a table that is open, from its bytes on disk.
 *
 * Every frame is read again from the file, past the cache and what was loaded at opening: memory
 * does not rot, disks do. Nothing is raised or logged: findings go to the caller.
 *
 * Guarantees: total over any bytes; each fault is reported where it is. What cannot be compared
 * because a block could not be read is not reported again as a difference.
 *
 * Invariants:
 *   1. `stop` is 0 until the check has to end: what a callback returned, or an I/O error. Once it
 * is set no callback is called.
 *   2. `seen` holds what the properties should say, as long as `whole`. */
#include "store/table_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct checker {
    struct table *t;
    table_finding_fn *finding;
    table_ref_fn *ref;
    const struct store_prefix *prefix;
    void *ctx;
    int stop;
    bool whole;              /* every entry was seen so far */
    struct table_meta *seen; /* counted from the contents */
    struct buf last_key;     /* of the entry before, if any */
    uint64_t last_seq;
    struct buf frame, payload; /* scratch */
    /* The filter as it is on disk: one, or in parts; NULL: none that can be asked. */
    struct buf *filter_bytes;
    struct filter *filters;
    uint32_t filter_count;
};

static bool done(const struct checker *c)
{
    return c->stop != 0;
}

static void report(struct checker *c, enum table_finding code, uint64_t offset, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));

static void report(struct checker *c, enum table_finding code, uint64_t offset, const char *format,
                   ...)
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
        report(c, TABLE_FINDING_FRAME, offset, "the file ends %zu bytes too early", len - got);
    else
        report(c, TABLE_FINDING_FRAME, offset, "the file %s does not verify", what);
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
        report(c, TABLE_FINDING_FRAME, where->offset, "a frame does not verify");
    else if (frame_unpack(&c->t->file.codec, where->offset, &h, frame_stored(buf_slice(&c->frame)),
                          &c->payload))
        report(c, TABLE_FINDING_FRAME, where->offset, "a frame does not decode");
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

/* The frame at `where` begins at `*at`, where the one before ended, and moves it on. */
static void check_place(struct checker *c, const struct frame_ref *where, uint64_t *at)
{
    if (where->len == 0)
        return;
    if (where->offset > *at)
        report(c, TABLE_FINDING_LAYOUT, *at, "nothing refers to %" PRIu64 " bytes",
               where->offset - *at);
    else if (where->offset < *at)
        report(c, TABLE_FINDING_LAYOUT, where->offset, "a frame reaches into the one before");
    if (where->offset + where->len > *at)
        *at = where->offset + where->len;
}

static void check_layout(struct checker *c)
{
    const struct table *t = c->t;
    uint64_t at = FILE_HEADER_SIZE;
    struct frame_ref footer = {t->meta->size_bytes - TABLE_FOOTER_SIZE, TABLE_FOOTER_SIZE};
    for (uint32_t i = 0; i < t->index.count; i++)
        check_place(c, &t->index.entries[i].handle.where, &at);
    for (uint32_t i = 0; i < t->filter.part_count; i++)
        check_place(c, &t->filter.parts[i], &at);
    check_place(c, &t->footer.filter, &at);
    check_place(c, &t->footer.rangedel, &at);
    check_place(c, &t->footer.props, &at);
    check_place(c, &t->footer.index, &at);
    check_place(c, &footer, &at);
}

/* ---- entries ---- */

static void widen_seqs(struct table_meta *m, uint64_t min_seq, uint64_t max_seq)
{
    bool first = m->entry_count == 0 && m->rangedel_count == 0;
    if (first || min_seq < m->min_seq)
        m->min_seq = min_seq;
    if (first || max_seq > m->max_seq)
        m->max_seq = max_seq;
}

static void check_ref(struct checker *c, uint64_t offset, const struct entry *e)
{
    struct blob_ref ref;
    if (!blob_ref_decode(e->value, &ref)) {
        report(c, TABLE_FINDING_BLOB_REF, offset,
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
        report(c, TABLE_FINDING_ORDER, offset,
               "entry %" PRIu64 " is not behind entry %" PRIu64 " in order", e->seq, c->last_seq);
    if (e->type >= ENTRY_RANGE_DELETE)
        report(c, TABLE_FINDING_ORDER, offset, "entry %" PRIu64 " has type %d, which cannot be",
               e->seq, (int)e->type);
}

/* The entry against the separators on both sides of block `i`. */
static void check_sides(struct checker *c, uint32_t i, const struct entry *e)
{
    const struct table_index *ix = &c->t->index;
    uint64_t offset = ix->entries[i].handle.where.offset;
    if (entry_cmp(e->key, e->seq, table_index_separator(ix, i), ix->entries[i].sep_seq) > 0)
        report(c, TABLE_FINDING_SEPARATOR, offset,
               "entry %" PRIu64 " is past the block's separator", e->seq);
    if (i > 0 && entry_cmp(e->key, e->seq, table_index_separator(ix, i - 1),
                           ix->entries[i - 1].sep_seq) <= 0)
        report(c, TABLE_FINDING_SEPARATOR, offset,
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
        report(c, TABLE_FINDING_FILTER, offset, "the filter denies the key of entry %" PRIu64,
               e->seq);
    const struct store_prefix *rule = c->prefix;
    size_t len = rule && rule->id == c->t->meta->prefix_rule ? rule->len(e->key) : 0;
    if (len > 0 && !filter_has(c, filter_hash_prefix(slice_of(e->key.data, len), rule->id)))
        report(c, TABLE_FINDING_FILTER, offset,
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
            report(c, TABLE_FINDING_FILTER, where->offset, "a filter does not decode");
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
    widen_seqs(m, e->seq, e->seq);
    m->entry_count++;
    m->delete_count += e->type == ENTRY_DELETE;
    buf_set(&c->last_key, e->key);
    c->last_seq = e->seq;
}

static void check_entry(struct checker *c, uint32_t i, const struct entry *e)
{
    uint64_t offset = c->t->index.entries[i].handle.where.offset;
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
        report(c, TABLE_FINDING_BLOCK, c->t->index.entries[i].handle.where.offset,
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
        report(c, TABLE_FINDING_BLOCK, c->t->index.entries[i].handle.where.offset,
               "a block has %" PRIu32 " entries and says %" PRIu32, n, block.print_count);
    return rc >= 0;
}

static void check_block(struct checker *c, uint32_t i)
{
    const struct block_handle *h = &c->t->index.entries[i].handle;
    uint64_t min_seq, max_seq;
    if (!read_frame(c, &h->where)) {
        c->whole = false;
        return;
    }
    c->seen->raw_bytes += c->payload.len;
    if (!walk_block(c, i, &min_seq, &max_seq)) {
        report(c, TABLE_FINDING_BLOCK, h->where.offset, "a block does not decode");
        c->whole = false;
    } else if (min_seq > max_seq) {
        report(c, TABLE_FINDING_BLOCK, h->where.offset, "a block is empty");
    } else if (min_seq != h->min_seq || max_seq != h->max_seq) {
        report(c, TABLE_FINDING_SEQ_BOUNDS, h->where.offset,
               "the index bounds sequence numbers by %" PRIu64 " and %" PRIu64
               ", which are %" PRIu64 " and %" PRIu64,
               h->min_seq, h->max_seq, min_seq, max_seq);
    }
}

/* ---- tombstones ---- */

static void check_fragment(struct checker *c, const struct rangedel_fragment *f)
{
    const struct table_meta *m = c->t->meta;
    uint64_t at = c->t->footer.rangedel.offset;
    if (slice_cmp(f->start, buf_slice(&m->smallest)) < 0 ||
        slice_cmp(f->end, buf_slice(&m->limit)) > 0)
        report(c, TABLE_FINDING_TOMBSTONES, at, "tombstone %" PRIu64 " leaves the table's span",
               f->seqs[0]);
    if (f->seqs[0] > SEQ_MAX)
        report(c, TABLE_FINDING_TOMBSTONES, at, "tombstone %" PRIu64 " has too large a number",
               f->seqs[0]);
    widen_seqs(c->seen, f->seqs[f->seq_count - 1], f->seqs[0]);
    c->seen->rangedel_count++;
}

/* The payload of the tombstones' frame. What decodes is in order and disjoint. */
static void check_tombstones(struct checker *c)
{
    struct rangedel *r;
    if (rangedel_decode(buf_slice(&c->payload), &r)) {
        report(c, TABLE_FINDING_TOMBSTONES, c->t->footer.rangedel.offset,
               "the range tombstones do not decode");
        c->whole = false;
        return;
    }
    size_t count = rangedel_count(r);
    for (size_t i = 0; i < count && !done(c); i++) {
        struct rangedel_fragment f = rangedel_at(r, i);
        check_fragment(c, &f);
    }
    if (count > 0) {
        struct slice start = rangedel_at(r, 0).start, end = rangedel_at(r, count - 1).end;
        struct table_meta *m = c->seen;
        if (m->entry_count == 0 || slice_cmp(start, buf_slice(&m->smallest)) < 0)
            buf_set(&m->smallest, start);
        if (slice_cmp(end, buf_slice(&m->limit)) > 0)
            buf_set(&m->limit, end);
    }
    rangedel_unref(r);
}

/* ---- properties ---- */

/* One meta against what it should be; `who` says the first. */
struct comparison {
    const char *who;
    const struct table_meta *said, *is;
};

static void compare_number(struct checker *c, const struct comparison *of, const char *what,
                           uint64_t said, uint64_t is)
{
    if (said != is)
        report(c, TABLE_FINDING_PROPERTIES, c->t->footer.props.offset,
               "%s: %s should be %" PRIu64 " and is %" PRIu64, of->who, what, is, said);
}

static void compare_key(struct checker *c, const struct comparison *of, const char *what,
                        const struct buf *said, const struct buf *is)
{
    if (!slice_eq(buf_slice(said), buf_slice(is)))
        report(c, TABLE_FINDING_PROPERTIES, c->t->footer.props.offset,
               "%s: %s is not the right key", of->who, what);
}

static void compare_shares(struct checker *c, const struct comparison *of)
{
    const struct table_meta *said = of->said, *is = of->is;
    compare_number(c, of, "the number of blob files", said->share_count, is->share_count);
    for (uint32_t i = 0; i < said->share_count && i < is->share_count; i++) {
        const struct table_blob_share *a = &said->shares[i], *b = &is->shares[i];
        compare_number(c, of, "a blob file", a->file, b->file);
        compare_number(c, of, "the number of references to a blob file", a->count, b->count);
        compare_number(c, of, "the sum of the references to a blob file", a->bytes, b->bytes);
    }
}

static void compare(struct checker *c, const struct comparison *of)
{
    const struct table_meta *said = of->said, *is = of->is;
    compare_key(c, of, "the smallest key", &said->smallest, &is->smallest);
    compare_key(c, of, "the limit", &said->limit, &is->limit);
    if (said->ingest_seq == 0) { /* the file cannot know it */
        compare_number(c, of, "the lowest sequence number", said->min_seq, is->min_seq);
        compare_number(c, of, "the highest sequence number", said->max_seq, is->max_seq);
    }
    compare_number(c, of, "the number of entries", said->entry_count, is->entry_count);
    compare_number(c, of, "the number of deletes", said->delete_count, is->delete_count);
    compare_number(c, of, "the number of tombstones", said->rangedel_count, is->rangedel_count);
    compare_number(c, of, "the size of the blocks", said->raw_bytes, is->raw_bytes);
    compare_shares(c, of);
}

/* The payload of the properties' frame, against the contents; and against what the table was opened
 * by. */
static void check_props(struct checker *c)
{
    struct table_meta *props;
    if (table_meta_decode(buf_slice(&c->payload), &props)) {
        report(c, TABLE_FINDING_PROPERTIES, c->t->footer.props.offset,
               "the properties do not decode");
        return;
    }
    struct comparison by = {"the manifest", c->t->meta, props};
    struct comparison own = {"the properties", props, c->seen};
    compare(c, &by);
    if (c->whole)
        compare(c, &own);
    table_meta_unref(props);
}

/* ---- all of it ---- */

static void check_entries(struct checker *c)
{
    struct table_meta *m = c->seen;
    for (uint32_t i = 0; i < c->t->index.count && !done(c); i++)
        check_block(c, i);
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
            check_tombstones(c);
        else
            c->whole = false;
    }
    if (f->props.len == 0)
        report(c, TABLE_FINDING_PROPERTIES, UINT64_MAX, "the table has no properties");
    else if (!done(c) && read_frame(c, &f->props))
        check_props(c);
}

int table_check(struct table *t, table_finding_fn *finding, table_ref_fn *ref,
                const struct store_prefix *prefix, void *ctx)
{
    struct checker c = {.t = t, .finding = finding, .ref = ref, .prefix = prefix, .ctx = ctx};
    c.whole = true;
    assert(finding);
    c.seen = table_meta_new();
    check_ends(&c);
    if (!done(&c))
        check_layout(&c);
    load_filters(&c);
    if (!done(&c))
        check_entries(&c);
    if (!done(&c))
        check_sections(&c);
    release_filters(&c);
    table_meta_unref(c.seen);
    buf_release(&c.last_key);
    buf_release(&c.frame);
    buf_release(&c.payload);
    return c.stop;
}
