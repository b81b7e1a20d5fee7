/* table_dict: the dictionary of a table.
 *
 * Without it no block of the table can be decoded, so it is there twice, before and behind the
 * data: one place that is damaged does not take the table with it. */
#include "store/table_priv.h"

#include "store/dicts.h"
#include "store/err.h"

#include <assert.h>
#include <inttypes.h>

/* RFC 8878, section 5. */
#define DICT_MAGIC UINT32_C(0xEC30A437)

bool table_dict_is(struct slice payload)
{
    return payload.len > sizeof(uint32_t) && get_u32(payload.data) == DICT_MAGIC;
}

/* 0, 1 when there is no sound dictionary at `where`, or an I/O error. */
static int probe(const struct file *f, const struct frame_ref *where, struct codec_dict **out)
{
    struct frame_header h;
    struct buf frame = {0}, content = {0};
    int rc = file_probe_frame(f, where, &frame, &h);
    if (rc == 0 &&
        (frame_unpack(&f->codec, where->offset, &h, frame_stored(buf_slice(&frame)), &content) ||
         codec_dict_share(DICT_ID, buf_slice(&content), out)))
        rc = 1;
    buf_release(&frame);
    buf_release(&content);
    return rc;
}

int table_dict_read(const struct file *f, uint64_t offset, uint64_t end, struct codec_dict **out)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame_header h;
    size_t got = 0;
    *out = NULL;
    if (f->header.cipher != CIPHER_NONE && !f->codec.key)
        return 1;
    if (end < sizeof bytes || offset > end - sizeof bytes ||
        f->io->ops->read(f->io, offset, bytes, sizeof bytes, &got) < 0 || got < sizeof bytes)
        return 1;
    frame_header_decode(bytes, &h);
    if (h.stored_len > end - sizeof bytes - offset || h.raw_len > ZSTD_DICT_BYTES_MAX ||
        h.raw_len == 0)
        return 1;
    struct frame_ref where = {offset, FRAME_HEADER_SIZE + h.stored_len};
    return probe(f, &where, out) == 0 ? 0 : 1;
}

int table_dict_load(struct table *t, uint64_t end)
{
    const struct table_meta *m = t->meta;
    struct frame_ref first = table_dict_first(m), copy = table_dict_copy(m);
    if (m->dict_len == 0)
        return 0;
    if (copy.offset > end || copy.len > end - copy.offset)
        return corrupt(t->file.path, UINT64_MAX, "the copy of its dictionary lies outside");
    int rc = probe(&t->file, &first, &t->dict);
    if (rc != 0) {
        int second = probe(&t->file, &copy, &t->dict);
        if (second < 0)
            return second;
        if (second > 0)
            return corrupt(t->file.path, first.offset,
                           "its dictionary does not verify, nor does the copy at %" PRIu64,
                           copy.offset);
        log_message(LOG_WARNING, "%s: its dictionary is damaged; the copy behind the data is used",
                    t->file.path);
        file_repaired(&t->file, first.offset);
    }
    assert(t->dict);
    t->dicts = (struct codec_dicts){&t->dict, 1};
    t->file.codec.dicts = &t->dicts;
    return 0;
}

struct codec_dict *table_dict(const struct table *t)
{
    return t->dict;
}
