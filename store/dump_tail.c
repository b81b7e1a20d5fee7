/* dump_tail: TAIL, the end of the newest log that may not be in the log's file yet.
 *
 * Its frames are the log's own, at the log's offsets, so the log's header has to be there to verify
 * them. Behind the last of them is what was there before, which is no damage. */
#include <errno.h>
#include <stdlib.h>

#include "store/dump.h"
#include "store/journal.h"
#include "store/logtail.h"

struct tail {
    uint64_t number, base, log_bytes;
    struct buf bytes;
    struct file log;
    bool row_in_file;
};

static uint64_t size_of_log(struct dump *d, const struct tail *t)
{
    uint64_t size = 0;
    char *path = name_file(d->dir, FILE_LOG, t->number);
    if (d->env->file_size(d->env, path, &size) < 0)
        size = 0;
    free(path);
    return size;
}

/* The frame at `at` of the log; 1: there is none that verifies. */
static int frame_at(const struct tail *t, uint64_t at, struct dump_frame *out, struct buf *payload)
{
    struct slice rest = buf_slice(&t->bytes);
    rest = slice_of(rest.data + (at - t->base), rest.len - (at - t->base));
    *out = (struct dump_frame){.offset = at};
    if (rest.len < FRAME_HEADER_SIZE)
        return 1;
    frame_header_decode(rest.data, &out->header);
    uint64_t len = (uint64_t)FRAME_HEADER_SIZE + out->header.stored_len;
    if (len > rest.len || out->header.raw_len > FRAME_RAW_MAX)
        return 1;
    struct slice frame = slice_of(rest.data, (size_t)len);
    if (frame_verify(&t->log.codec, at, frame, &out->header) != FRAME_OK)
        return 1;
    buf_clear(payload);
    out->decoded = frame_unpack(&t->log.codec, at, &out->header, frame_stored(frame), payload) == 0;
    out->payload = buf_slice(payload);
    return 0;
}

/* Has the log's file a row where TAIL begins? That stands for all that TAIL holds. */
static bool row_in_file(const struct tail *t)
{
    struct buf bytes = {0};
    struct frame_header h = {0};
    uint64_t left = t->log_bytes > t->base ? t->log_bytes - t->base : 0;
    size_t len = left < JOURNAL_ROW_MAX ? (size_t)left : JOURNAL_ROW_MAX;
    bool row = len > 0 && file_read(&t->log, t->base, buf_reserve(&bytes, len), len) == 0 &&
               frame_verify(&t->log.codec, t->base, slice_of(bytes.data, len), &h) == FRAME_OK &&
               journal_is_row(FILE_LOG, &h);
    buf_release(&bytes);
    return row;
}

/* Has the log's file these bytes at that place? It may end before, or have zeros there. */
static bool is_in_file(const struct tail *t, uint64_t at, size_t len)
{
    if (t->row_in_file)
        return true;
    struct buf bytes = {0};
    bool same = at + len <= t->log_bytes &&
                file_read(&t->log, at, buf_reserve(&bytes, len), len) == 0 &&
                memcmp(bytes.data, t->bytes.data + (at - t->base), len) == 0;
    buf_release(&bytes);
    return same;
}

static void show_records(struct dump *d, const struct tail *t)
{
    struct dump_frame frame;
    struct buf payload = {0};
    uint64_t at = t->base;
    while (d->stop == 0 && frame_at(t, at, &frame, &payload) == 0) {
        size_t len = (size_t)FRAME_HEADER_SIZE + frame.header.stored_len;
        if (frame.decoded)
            dump_record(d, &frame, is_in_file(t, at, len) ? "also in the log" : "in TAIL alone");
        else if (t->log.header.cipher == CIPHER_NONE || t->log.codec.key)
            dump_damage(d, at, "a frame does not decode");
        at += len;
    }
    buf_release(&payload);
}

static void show_tail(struct dump *d, const struct tail *t)
{
    dump_begin(d, "tail");
    dump_number(d, "log", t->number);
    dump_number(d, "base", t->base);
    dump_number(d, "bytes", t->bytes.len);
    dump_number(d, "log_bytes", t->log_bytes);
    dump_end(d);
}

int dump_tail(struct dump *d)
{
    struct tail t = {0};
    int err = logtail_read_any(d->env, d->dir, &t.number, &t.base, &t.bytes);
    if (err == 1) {
        char *path = name_tail(d->dir);
        uint64_t size;
        err = d->env->file_size(d->env, path, &size);
        if (err == 0)
            dump_damage(d, 0, "the header of TAIL does not decode");
        free(path);
    } else if (err == 0 && t.number == 0) {
        show_tail(d, &t);
    } else if (err == 0) {
        t.log_bytes = size_of_log(d, &t);
        show_tail(d, &t);
        if (dump_open_file(d, FILE_LOG, t.number, &t.log) == 0) {
            t.row_in_file = row_in_file(&t);
            show_records(d, &t);
        } else {
            dump_damage(d, t.base, "the log that TAIL goes on with does not open");
        }
        file_close(&t.log);
    }
    buf_release(&t.bytes);
    return err;
}
