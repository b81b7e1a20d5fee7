/* table: opening a table. Reading it is table_read.c's and table_iter.c's.
 *
 * Index, filter and range tombstones are decoded at opening and stay; of an index or a filter in
 * parts only what says where the parts are. Parts and data blocks come and go through the cache
 * under (table number, offset of the frame).
 *
 * Guarantees: what a table says was verified: the footer by its checksum and the tag that the
 * manifest knows, each frame by a checksum that is bound to this file and this offset. A reference,
 * a length or a count from disk is checked before it is used.
 *
 * Invariants (table_assert_valid):
 *   1. All fields but the atomic ones are fixed once the table is open.
 *   2. FILE_HEADER_SIZE <= data_end <= the offset of each section; sections end before the footer.
 *   3. The index is empty exactly if the file has no point entries. Of a table that is cut in front
 *      all of them may be gone. */
#include "store/table_priv.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static void table_assert_valid(const struct table *t)
{
    assert(__atomic_load_n(&t->refs, __ATOMIC_RELAXED) > 0);
    assert(t->cache && t->meta && t->rangedel);
    assert(t->data_end >= FILE_HEADER_SIZE);
    assert(t->meta->front || (t->index.count == 0) == (t->meta->entry_count == 0));
    assert(t->index.count > 0 || t->meta->entry_count == 0);
    assert(t->meta->front <= t->data_end);
    assert(t->block_count >= t->index.count && (t->begins || t->block_count == t->index.count));
    (void)t;
}

/* ---- opening ---- */

/* Is there a frame, or nothing, between file header and footer? */
static bool section_fits(const struct frame_ref *where, uint64_t footer_at)
{
    if (where->len == 0)
        return true;
    return where->len >= FRAME_HEADER_SIZE && where->offset >= FILE_HEADER_SIZE &&
           where->offset <= footer_at && where->len <= footer_at - where->offset;
}

/* Sets data_end to where the first of the sections begins. */
static int check_sections(struct table *t, uint64_t footer_at)
{
    const struct table_footer *f = &t->footer;
    const struct frame_ref *sections[] = {&f->index, &f->filter, &f->rangedel, &f->props};
    t->data_end = footer_at;
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (!section_fits(sections[i], footer_at))
            return corrupt(t->file.path, footer_at, "the footer names a place outside the file");
        if (sections[i]->len && sections[i]->offset < t->data_end)
            t->data_end = sections[i]->offset;
    }
    return 0;
}

/* Reads and verifies the footer; `meta`, if there is one, says what size and tag must be. */
static int read_footer(struct table *t, const struct table_meta *meta, uint64_t *size,
                       uint64_t *tag)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    int rc = file_size(&t->file, meta == NULL, size);
    if (!rc && meta && *size < meta->size_bytes)
        rc = file_size(&t->file, true, size);
    if (rc)
        return rc;
    if (meta && *size != meta->size_bytes)
        return corrupt(t->file.path, UINT64_MAX,
                       "the file has %" PRIu64 " bytes and should have %" PRIu64, *size,
                       meta->size_bytes);
    if (*size < FILE_HEADER_SIZE + TABLE_FOOTER_SIZE)
        return corrupt(t->file.path, UINT64_MAX, "the file is too short for a table");
    uint64_t at = *size - TABLE_FOOTER_SIZE;
    rc = file_read(&t->file, at, bytes, sizeof bytes);
    if (rc || footer_decode(&t->file.codec, at, bytes, &t->footer, tag)) {
        if (file_restore(&t->file, at, bytes, sizeof bytes) != 0 ||
            footer_decode(&t->file.codec, at, bytes, &t->footer, tag))
            return rc ? rc : corrupt(t->file.path, at, "the footer does not verify");
        file_repaired(&t->file, at);
    }
    if (meta && *tag != meta->tag)
        return corrupt(t->file.path, at, "the file is an older or a foreign one");
    return check_sections(t, at);
}

/* Reads the payload of a section that is there. */
static int read_section(struct table *t, const struct frame_ref *where, struct buf *payload)
{
    struct buf frame = {0};
    struct frame_header h;
    assert(where->len > 0);
    int rc = file_read_frame(&t->file, where, &frame, &h);
    if (!rc &&
        frame_unpack(&t->file.codec, where->offset, &h, frame_stored(buf_slice(&frame)), payload))
        rc = corrupt(t->file.path, where->offset, "a frame does not decode");
    buf_release(&frame);
    return rc;
}

/* Takes over what was decoded of the index's frame. */
static void take_index(struct table *t, struct table_index_draft *d)
{
    t->index_memory = mem_alloc(table_index_size(d));
    table_index_lay(d, t->index_memory);
    table_index_view(t->index_memory, &t->index);
    t->block_count = d->begins[d->count];
    if (!d->in_parts)
        return;
    t->begins = mem_dup(d->begins, ((size_t)d->count + 1) * sizeof *d->begins);
    t->data_end = t->index.entries[0].handle.where.offset;
}

static int load_index(struct table *t)
{
    struct buf payload = {0};
    struct table_index_draft draft;
    const struct frame_ref *where = &t->footer.index;
    if (where->len == 0 ? t->meta->entry_count > 0
                        : t->meta->entry_count == 0 && t->meta->front == 0)
        return corrupt(t->file.path, where->offset, "the index does not fit the number of entries");
    if (where->len == 0)
        return 0;
    int rc = read_section(t, where, &payload);
    if (!rc) {
        const char *fault = table_index_decode(buf_slice(&payload), t->data_end, &draft);
        if (fault)
            rc = corrupt(t->file.path, where->offset, "%s", fault);
        else
            take_index(t, &draft);
        table_index_draft_release(&draft);
    }
    buf_release(&payload);
    return rc;
}

static int load_filter(struct table *t)
{
    if (t->footer.filter.len == 0)
        return 0;
    struct buf payload = {0};
    int rc = read_section(t, &t->footer.filter, &payload);
    if (!rc && table_filter_open(&t->filter, &payload, t->footer.filter.offset))
        rc = corrupt(t->file.path, t->footer.filter.offset, "the filter does not decode");
    buf_release(&payload);
    if (!rc && t->filter.part_count && t->filter.parts[0].offset < t->data_end)
        t->data_end = t->filter.parts[0].offset;
    return rc;
}

static struct rangedel *rangedel_none(void)
{
    struct rangedel_builder *b = rangedel_builder_new();
    struct rangedel *none = rangedel_build(b);
    rangedel_builder_free(b);
    return none;
}

static int load_rangedel(struct table *t)
{
    struct buf payload = {0};
    const struct frame_ref *where = &t->footer.rangedel;
    if (where->len == 0) {
        t->rangedel = rangedel_none();
    } else {
        int rc = read_section(t, where, &payload);
        if (!rc && rangedel_decode(buf_slice(&payload), &t->rangedel))
            rc = corrupt(t->file.path, where->offset, "the range tombstones do not decode");
        buf_release(&payload);
        if (rc)
            return rc;
    }
    if (t->meta->front)
        t->rangedel = table_lens_rangedel_front(t->rangedel, buf_slice(&t->meta->smallest));
    if (rangedel_count(t->rangedel) != t->meta->rangedel_count)
        return corrupt(t->file.path, where->offset,
                       "there should be %" PRIu64 " range tombstones, not %zu",
                       t->meta->rangedel_count, rangedel_count(t->rangedel));
    t->rangedel = table_lens_rangedel(t->rangedel, t->meta);
    return 0;
}

/* The meta that the file has of itself. */
static int load_props(struct table *t, uint64_t number, uint64_t size, uint64_t tag)
{
    struct buf payload = {0};
    const struct frame_ref *where = &t->footer.props;
    if (where->len == 0)
        return corrupt(t->file.path, UINT64_MAX, "the table has no properties");
    int rc = read_section(t, where, &payload);
    if (!rc && table_meta_decode(buf_slice(&payload), &t->meta))
        rc = corrupt(t->file.path, where->offset, "the properties do not decode");
    buf_release(&payload);
    if (rc)
        return rc;
    t->meta->number = number;
    t->meta->size_bytes = size;
    t->meta->tag = tag;
    return 0;
}

/* `meta` may be NULL: then it comes from the file. */
static int open_table(struct env *env, const char *dir, uint64_t number, struct table_meta *meta,
                      const uint8_t uuid[UUID_SIZE], struct cache *cache, struct table **out)
{
    uint64_t size, tag;
    struct table *t = mem_zalloc(sizeof *t);
    assert(cache);
    *out = NULL;
    t->refs = 1;
    t->cache = cache;
    t->meta = meta ? table_meta_ref(meta) : NULL;
    int rc = file_open(env, dir, FILE_TABLE, number, uuid, &t->file);
    if (!rc)
        rc = read_footer(t, meta, &size, &tag);
    if (!rc && !meta)
        rc = load_props(t, number, size, tag);
    if (!rc)
        rc = table_dict_load(t, t->data_end);
    if (!rc)
        rc = load_filter(t);
    if (!rc)
        rc = load_rangedel(t);
    if (!rc)
        rc = load_index(t);
    if (!rc && t->meta->dict_len)
        t->data_end = t->meta->dict_copy;
    if (!rc && t->meta->front > t->data_end)
        rc = corrupt(t->file.path, t->meta->front, "the table should begin behind its data");
    if (rc) {
        table_unref(t);
        return rc;
    }
    t->is_cut = t->meta->front > 0;
    table_assert_valid(t);
    *out = t;
    return 0;
}

int table_open(struct env *env, const char *dir, struct table_meta *meta,
               const uint8_t uuid[UUID_SIZE], struct cache *cache, struct table **out)
{
    assert(meta);
    return open_table(env, dir, meta->number, meta, uuid, cache, out);
}

int table_open_file(struct env *env, const char *dir, uint64_t number,
                    const uint8_t uuid[UUID_SIZE], struct cache *cache, struct table **out)
{
    return open_table(env, dir, number, NULL, uuid, cache, out);
}

struct table *table_ref(struct table *t)
{
    int before = __atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
    assert(before > 0);
    (void)before;
    return t;
}

void table_unref(struct table *t)
{
    if (!t)
        return;
    int before = __atomic_fetch_sub(&t->refs, 1, __ATOMIC_ACQ_REL);
    assert(before > 0);
    if (before > 1)
        return;
    table_part_close(t);
    file_close(&t->file);
    table_meta_unref(t->meta);
    free(t->index_memory);
    free(t->begins);
    table_filter_release(&t->filter);
    rangedel_unref(t->rangedel);
    codec_dict_unref(t->dict);
    free(t);
}

void table_set_care(struct table *t, struct care *care)
{
    file_set_care(&t->file, care);
}

void table_set_counters(struct table *t, struct counters *counters)
{
    t->counters = counters;
}

const struct table_meta *table_get_meta(const struct table *t)
{
    return t->meta;
}

struct rangedel *table_rangedel(const struct table *t)
{
    return t->rangedel;
}

uint64_t table_memory_bytes(const struct table *t)
{
    /* A fragment is taken at its frame's share, with what pointers and numbers add. */
    uint64_t rangedel = t->footer.rangedel.len + rangedel_count(t->rangedel) * 64;
    uint64_t index = t->index.count * (sizeof *t->index.order + sizeof *t->index.entries +
                                       (t->begins ? sizeof *t->begins : 0)) +
                     t->index.keys.len;
    uint64_t dict = t->dict ? codec_dict_share_bytes(t->dict) : 0;
    return index + table_filter_memory_bytes(&t->filter) + rangedel + dict;
}
