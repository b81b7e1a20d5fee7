/* table_check_props: what a table says of itself, against what its check has seen. */
#include "store/table_check_priv.h"

#include <inttypes.h>

void table_check_widen(struct table_meta *m, uint64_t min_seq, uint64_t max_seq)
{
    bool first = m->entry_count == 0 && m->rangedel_count == 0;
    if (first || min_seq < m->min_seq)
        m->min_seq = min_seq;
    if (first || max_seq > m->max_seq)
        m->max_seq = max_seq;
}

/* ---- tombstones ---- */

static void check_fragment(struct checker *c, const struct rangedel_fragment *f)
{
    const struct table_meta *m = c->t->meta;
    uint64_t at = c->t->footer.rangedel.offset;
    if (slice_cmp(f->start, buf_slice(&m->smallest)) < 0 ||
        slice_cmp(f->end, buf_slice(&m->limit)) > 0)
        table_check_report(c, TABLE_FINDING_TOMBSTONES, at,
                           "tombstone %" PRIu64 " leaves the table's span", f->seqs[0]);
    if (f->seqs[0] > SEQ_MAX)
        table_check_report(c, TABLE_FINDING_TOMBSTONES, at,
                           "tombstone %" PRIu64 " has too large a number", f->seqs[0]);
    table_check_widen(c->seen, f->seqs[f->seq_count - 1], f->seqs[0]);
    c->seen->rangedel_count++;
}

/* The payload of the tombstones' frame. What decodes is in order and disjoint. */
void table_check_tombstones(struct checker *c)
{
    struct rangedel *r;
    if (rangedel_decode(buf_slice(&c->payload), &r)) {
        table_check_report(c, TABLE_FINDING_TOMBSTONES, c->t->footer.rangedel.offset,
                           "the range tombstones do not decode");
        c->whole = false;
        return;
    }
    if (c->t->meta->front)
        r = table_lens_rangedel_front(r, buf_slice(&c->t->meta->smallest));
    size_t count = rangedel_count(r);
    for (size_t i = 0; i < count && c->stop == 0; i++) {
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
        table_check_report(c, TABLE_FINDING_PROPERTIES, c->t->footer.props.offset,
                           "%s: %s should be %" PRIu64 " and is %" PRIu64, of->who, what, is, said);
}

static void compare_key(struct checker *c, const struct comparison *of, const char *what,
                        const struct buf *said, const struct buf *is)
{
    if (!slice_eq(buf_slice(said), buf_slice(is)))
        table_check_report(c, TABLE_FINDING_PROPERTIES, c->t->footer.props.offset,
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

/* Of the whole file, whatever is left of the table. */
static void compare_file(struct checker *c, const struct comparison *of)
{
    const struct table_meta *said = of->said, *is = of->is;
    if (said->ingest_seq == 0) { /* the file cannot know it */
        compare_number(c, of, "the lowest sequence number", said->min_seq, is->min_seq);
        compare_number(c, of, "the highest sequence number", said->max_seq, is->max_seq);
    }
    compare_number(c, of, "the length of the dictionary", said->dict_len, is->dict_len);
    compare_number(c, of, "the place of its copy", said->dict_copy, is->dict_copy);
    compare_key(c, of, "the limit", &said->limit, &is->limit);
}

static void compare_counts(struct checker *c, const struct comparison *of)
{
    const struct table_meta *said = of->said, *is = of->is;
    compare_number(c, of, "the number of entries", said->entry_count, is->entry_count);
    compare_number(c, of, "the number of deletes", said->delete_count, is->delete_count);
    compare_number(c, of, "the number of tombstones", said->rangedel_count, is->rangedel_count);
    compare_shares(c, of);
}

static void compare(struct checker *c, const struct comparison *of)
{
    compare_file(c, of);
    compare_counts(c, of);
    compare_key(c, of, "the smallest key", &of->said->smallest, &of->is->smallest);
    compare_number(c, of, "the size of the blocks", of->said->raw_bytes, of->is->raw_bytes);
}

/* What the manifest says of a table that is cut in front, and what is left of it. */
static void compare_left(struct checker *c)
{
    const struct table_meta *said = c->t->meta, *is = c->seen;
    struct comparison of = {"the manifest", said, is};
    compare_counts(c, &of);
    if (is->entry_count + is->rangedel_count > 0 && said->ingest_seq == 0 &&
        (is->min_seq < said->min_seq || is->max_seq > said->max_seq))
        table_check_report(c, TABLE_FINDING_PROPERTIES, c->t->footer.props.offset,
                           "the manifest: what is left of the table has other numbers than all of "
                           "it");
}

/* The payload of the properties' frame, against the contents; and against what the table was opened
 * by. */
void table_check_props(struct checker *c)
{
    struct table_meta *props;
    if (table_meta_decode(buf_slice(&c->payload), &props)) {
        table_check_report(c, TABLE_FINDING_PROPERTIES, c->t->footer.props.offset,
                           "the properties do not decode");
        return;
    }
    struct comparison by = {"the manifest", c->t->meta, props};
    struct comparison own = {"the properties", props, c->seen};
    bool cut = c->t->meta->front > 0;
    if (cut)
        compare_file(c, &by);
    else
        compare(c, &by);
    if (c->whole && cut)
        compare_left(c);
    else if (c->whole)
        compare(c, &own);
    table_meta_unref(props);
}
