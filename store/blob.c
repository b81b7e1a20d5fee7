/* blob: see blob.h.
 *
 * Guarantees: a value comes back exactly as it was added, or not at all; a reference that is wrong
 * in any field, whoever damaged it, is found out.
 *
 * Invariants:
 * 1. A reference that blob_add() hands out names this file, a frame behind everything that was
 * written, and the length that the frame's header has.
 * 2. A reader has no state that changes, so any number of threads may use it, and what a writer
 * appends meanwhile does not concern it. */
#include "store/blob.h"

#include "store/append.h"
#include "store/err.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* ---- writing ---- */

struct blob_writer {
    struct append tail;
};

int blob_create(struct env *env, const char *dir, uint64_t number, const uint8_t uuid[UUID_SIZE],
                struct blob_writer **out)
{
    *out = NULL;
    struct blob_writer *w = mem_zalloc(sizeof *w);
    int err = append_create(env, dir, FILE_BLOB, number, uuid, &w->tail);
    if (err)
        blob_writer_free(w);
    else
        *out = w;
    return err;
}

void blob_writer_free(struct blob_writer *w)
{
    if (!w)
        return;
    append_close(&w->tail);
    free(w);
}

void blob_add(struct blob_writer *w, struct slice packed, uint32_t raw_len, struct blob_ref *ref)
{
    struct frame_header h;
    assert(packed.len >= FRAME_HEADER_SIZE);
    frame_header_decode(packed.data, &h);
    assert(h.raw_len == raw_len);
    assert(packed.len == (size_t)FRAME_HEADER_SIZE + h.stored_len);
    size_t at = w->tail.pending.len;
    ref->file = blob_number(w);
    ref->where.offset = append_offset(&w->tail);
    ref->raw_len = raw_len;
    buf_append(&w->tail.pending, packed);
    ref->where.len = append_seal(&w->tail, at);
}

int blob_write(struct blob_writer *w)
{
    return append_write(&w->tail);
}

size_t blob_pending(const struct blob_writer *w)
{
    return w->tail.pending.len;
}

void blob_discard(struct blob_writer *w)
{
    append_discard(&w->tail);
}

int blob_sync(struct blob_writer *w)
{
    return append_sync(&w->tail);
}

uint64_t blob_number(const struct blob_writer *w)
{
    return w->tail.file.header.number;
}

const struct file_header *blob_writer_header(const struct blob_writer *w)
{
    return &w->tail.file.header;
}

uint64_t blob_size(const struct blob_writer *w)
{
    return w->tail.size;
}

/* ---- reading ---- */

struct blob_reader {
    struct file file;
};

int blob_open(struct env *env, const char *dir, uint64_t number, const uint8_t uuid[UUID_SIZE],
              struct blob_reader **out)
{
    *out = NULL;
    struct blob_reader *r = mem_zalloc(sizeof *r);
    int err = file_open(env, dir, FILE_BLOB, number, uuid, &r->file);
    if (err)
        blob_reader_free(r);
    else
        *out = r;
    return err;
}

void blob_reader_free(struct blob_reader *r)
{
    if (!r)
        return;
    file_close(&r->file);
    free(r);
}

void blob_set_care(struct blob_reader *r, struct care *care)
{
    file_set_care(&r->file, care);
}

/* blob_read_frame() that tells the header too. */
static int frame_read(struct blob_reader *r, const struct blob_ref *ref, struct buf *frame,
                      struct frame_header *h)
{
    assert(ref->file == r->file.header.number);
    int err = file_read_frame(&r->file, &ref->where, frame, h);
    if (err)
        return err;
    assert(frame->len == ref->where.len);
    if (h->raw_len == ref->raw_len)
        return 0;
    buf_clear(frame);
    return corrupt(r->file.path, ref->where.offset,
                   "the value has %" PRIu32 " bytes and not %" PRIu32 ", as its reference says",
                   h->raw_len, ref->raw_len);
}

int blob_read_frame(struct blob_reader *r, const struct blob_ref *ref, struct buf *frame)
{
    struct frame_header h;
    int err = frame_read(r, ref, frame, &h);
    if (err || frame_decrypt(&r->file.codec, ref->where.offset, frame) == 0)
        return err;
    buf_clear(frame);
    return corrupt(r->file.path, ref->where.offset, "the value does not decode (cipher %u)",
                   h.cipher);
}

int blob_fetch(struct blob_reader *r, const struct blob_ref *ref, struct buf *frame)
{
    struct frame_header h;
    return frame_read(r, ref, frame, &h);
}

int blob_unpack(struct blob_reader *r, const struct blob_ref *ref, struct buf *frame,
                uint8_t *value)
{
    struct frame_header h;
    assert(ref->file == r->file.header.number && frame->len == ref->where.len);
    frame_header_decode(frame->data, &h);
    assert(h.raw_len == ref->raw_len);
    assert(frame->len == (size_t)FRAME_HEADER_SIZE + h.stored_len);
    uint8_t *stored = frame->data + FRAME_HEADER_SIZE;
    int err = frame_unpack_last(&r->file.codec, ref->where.offset, &h, stored, value);
    buf_clear(frame);
    if (err == 0)
        return 0;
    return corrupt(r->file.path, ref->where.offset,
                   "the value does not decode (codec %u, cipher %u)", h.codec, h.cipher);
}

int blob_read(struct blob_reader *r, const struct blob_ref *ref, uint8_t **value)
{
    struct buf frame = {0};
    *value = NULL;
    int err = blob_fetch(r, ref, &frame);
    if (!err) {
        *value = mem_alloc(ref->raw_len);
        err = blob_unpack(r, ref, &frame, *value);
    }
    if (err) {
        free(*value);
        *value = NULL;
    }
    buf_release(&frame);
    return err;
}

int blob_probe(struct blob_reader *r, const struct blob_ref *ref)
{
    struct buf frame = {0};
    struct frame_header h;
    assert(ref->file == r->file.header.number);
    int rc = file_probe_frame(&r->file, &ref->where, &frame, &h);
    if (!rc && h.raw_len != ref->raw_len)
        rc = 1;
    buf_release(&frame);
    return rc;
}

const struct file_header *blob_reader_header(const struct blob_reader *r)
{
    return &r->file.header;
}

int blob_reader_size(struct blob_reader *r, uint64_t *size)
{
    return r->file.io->ops->size(r->file.io, size);
}
