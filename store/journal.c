/* journal: reading; see journal.h. Writing is in journal_write.c.
 *
 * Guarantees: whatever happened to the file, a reader returns a prefix of the records that were
 * written, whole and in order, and says how it ended. A reader's memory is bounded by its window
 * and the largest record that is really there.
 *
 * Invariants of a reader:
 * 1. The window holds the bytes of the file from `window_at` on; `next` is inside it or at its end.
 * 2. Everything before window_at + next was returned or is the header.
 * 3. `end` leaves JOURNAL_MORE once and for all, and so does `err` 0.
 * 4. TAIL goes on where the file ends, unless the file has a row from TAIL's base on: that stands
 *    for all that TAIL holds, whatever place among its frames the row's end may fall on. */
#include "store/journal.h"

#include "store/err.h"
#include "store/file.h"
#include "store/logtail.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* ---- reading ---- */

enum { WINDOW_BYTES = 512 * 1024 };

struct journal_reader {
    struct file file;
    uint64_t size; /* of the file when it was opened; what is appended later is not read */
    struct buf window;
    uint64_t window_at;
    size_t next;
    uint64_t record_at;
    struct buf value; /* a record or row that had to be decoded */
    struct slice row; /* what is left of a row */
    uint64_t row_at;  /* where the last row begins; 0: there was none */
    struct buf tail;  /* of TAIL: the file's bytes from `tail_at` on, that may not be in it */
    uint64_t tail_at;
    uint64_t from_tail; /* offset from which on records are taken from there; 0: from the file */
    enum journal_end end;
    int err; /* the first that occurred; returned from then on */
};

static void reader_assert_valid(const struct journal_reader *r)
{
    assert(r->next <= r->window.len);
    assert(r->window_at >= FILE_HEADER_SIZE);
    assert(r->window_at + r->window.len <= r->size);
    assert(r->record_at <= r->window_at + r->next);
    assert(!r->from_tail || r->from_tail <= r->window_at + r->next);
}

static int size_get(struct journal_reader *r)
{
    int err = r->file.io->ops->size(r->file.io, &r->size);
    if (err)
        log_message(LOG_ERROR, "%s: cannot get the size: %s", r->file.path, strerror(-err));
    else if (r->size < FILE_HEADER_SIZE)
        return corrupt(r->file.path, 0, "the file became shorter while it was opened");
    return err;
}

static int tail_get(struct journal_reader *r, struct env *env, const char *dir)
{
    int rc = logtail_read(env, dir, r->file.header.number, &r->tail_at, &r->tail);
    if (rc < 0)
        log_message(LOG_ERROR, "%s: cannot read its end in TAIL: %s", r->file.path, strerror(-rc));
    return rc < 0 ? rc : 0;
}

int journal_open(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                 const uint8_t uuid[UUID_SIZE], struct journal_reader **out)
{
    assert(kind == FILE_LOG || kind == FILE_MANIFEST);
    *out = NULL;
    struct journal_reader *r = mem_zalloc(sizeof *r);
    int rc = file_open_maybe(env, dir, kind, number, uuid, &r->file);
    if (!rc)
        rc = size_get(r);
    if (!rc && kind == FILE_LOG)
        rc = tail_get(r, env, dir);
    if (rc) {
        journal_reader_free(r);
        return rc;
    }
    r->window_at = r->record_at = FILE_HEADER_SIZE;
    reader_assert_valid(r);
    *out = r;
    return 0;
}

void journal_reader_free(struct journal_reader *r)
{
    if (!r)
        return;
    file_close(&r->file);
    buf_release(&r->window);
    buf_release(&r->value);
    buf_release(&r->tail);
    free(r);
}

static uint64_t bytes_left(const struct journal_reader *r)
{
    return r->size - (r->window_at + r->next);
}

/* Moves the window so that it begins at `next` and is filled as far as it is wide: at least `need`
 * bytes, which the file has. Returns 0 or an I/O error. */
static int window_fill(struct journal_reader *r, size_t need)
{
    assert(need <= bytes_left(r));
    size_t kept = r->window.len - r->next;
    size_t width = need > WINDOW_BYTES ? need : WINDOW_BYTES;
    if (width > bytes_left(r))
        width = (size_t)bytes_left(r);
    assert(kept < width);
    if (kept)
        memmove(r->window.data, r->window.data + r->next, kept);
    r->window_at += r->next;
    r->window.len = kept;
    r->next = 0;
    int err = file_read(&r->file, r->window_at + kept, buf_reserve(&r->window, width - kept),
                        width - kept);
    if (err)
        return err;
    r->window.len = width;
    reader_assert_valid(r);
    return 0;
}

/* The next `need` bytes in `*bytes`. */
static int window_get(struct journal_reader *r, size_t need, struct slice *bytes)
{
    int err = 0;
    if (r->window.len - r->next < need)
        err = window_fill(r, need);
    if (!err)
        *bytes = slice_of(r->window.data + r->next, need);
    return err;
}

/* Nothing more is returned. */
static int finish(struct journal_reader *r, enum journal_end end)
{
    assert(r->end == JOURNAL_MORE && end != JOURNAL_MORE);
    r->end = end;
    return 1;
}

static bool all_zero(struct slice s)
{
    return s.len == 0 || (s.data[0] == 0 && memcmp(s.data, s.data + 1, s.len - 1) == 0);
}

/* The file has no more records: goes on with those of TAIL, if that reaches here. What TAIL held
 * before stands behind them, so how they end says nothing. */
static bool tail_begin(struct journal_reader *r)
{
    uint64_t here = r->record_at;
    if (r->from_tail || here < r->tail_at || here - r->tail_at >= r->tail.len ||
        (r->row_at && r->row_at >= r->tail_at))
        return false;
    r->from_tail = here;
    r->window_at = r->tail_at;
    r->next = (size_t)(here - r->tail_at);
    r->size = r->tail_at + r->tail.len;
    buf_set(&r->window, buf_slice(&r->tail));
    r->end = JOURNAL_MORE;
    reader_assert_valid(r);
    return true;
}

/* At the end if only zeros follow: space that was reserved, or a file that had grown before its
 * contents reached the disk. */
static int finish_at_zeros(struct journal_reader *r)
{
    while (bytes_left(r)) {
        struct slice bytes;
        uint64_t left = bytes_left(r);
        int err = window_get(r, left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES, &bytes);
        if (err)
            return err;
        if (!all_zero(bytes))
            return finish(r, JOURNAL_TORN);
        r->next += bytes.len;
    }
    return finish(r, JOURNAL_CLEAN);
}

/* The next whole frame in `*frame`; 1 at the end. The length in the header is believed only as far
 * as the file reaches. */
static int frame_next(struct journal_reader *r, struct slice *frame, struct frame_header *h)
{
    if (bytes_left(r) < FRAME_HEADER_SIZE)
        return finish_at_zeros(r);
    int err = window_get(r, FRAME_HEADER_SIZE, frame);
    if (err)
        return err;
    /* Most records are in the window already, and need no second look. */
    uint64_t here = r->window_at + r->next;
    struct slice in = slice_of(frame->data, r->window.len - r->next);
    enum frame_verdict verdict = frame_verify(&r->file.codec, here, in, h);
    size_t len = (size_t)FRAME_HEADER_SIZE + h->stored_len;
    if (verdict == FRAME_SHORT && len <= bytes_left(r)) {
        err = window_get(r, len, frame);
        if (err)
            return err;
        verdict = frame_verify(&r->file.codec, here, *frame, h);
    }
    if (verdict == FRAME_ZERO)
        return finish_at_zeros(r);
    if (verdict != FRAME_OK)
        return finish(r, JOURNAL_TORN);
    frame->len = len;
    return 0;
}

bool journal_is_row(enum file_kind kind, const struct frame_header *h)
{
    return kind == FILE_LOG && h->codec == CODEC_ZSTD;
}

bool journal_row_take(struct slice *row, struct slice *record)
{
    return take_lenbytes(row, record);
}

static int row_next(struct journal_reader *r, struct slice *payload)
{
    if (journal_row_take(&r->row, payload))
        return 0;
    return corrupt(r->file.path, r->record_at, "a malformed row of records");
}

static int record_value(struct journal_reader *r, const struct frame_header *h, struct slice stored,
                        struct slice *payload)
{
    *payload = stored;
    if (frame_is_plain(&r->file.codec, h))
        return 0;
    buf_clear(&r->value);
    if (frame_unpack(&r->file.codec, r->record_at, h, stored, &r->value))
        return corrupt(r->file.path, r->record_at,
                       "the record does not decode (codec %u, cipher %u)", h->codec, h->cipher);
    *payload = buf_slice(&r->value);
    if (!journal_is_row(r->file.header.kind, h))
        return 0;
    r->row = *payload;
    r->row_at = r->record_at;
    return row_next(r, payload);
}

static int record_next(struct journal_reader *r, struct slice *payload)
{
    struct slice frame;
    struct frame_header h;
    if (r->row.len)
        return row_next(r, payload);
    r->record_at = r->window_at + r->next;
    int rc = frame_next(r, &frame, &h);
    if (!rc) {
        r->next += frame.len;
        rc = record_value(r, &h, frame_stored(frame), payload);
    }
    return rc;
}

/* The end of the file, or what did not verify there, stays the verdict if TAIL has nothing to add.
 */
static int tail_next(struct journal_reader *r, struct slice *payload)
{
    enum journal_end end = r->end;
    if (!tail_begin(r))
        return 1;
    int rc = record_next(r, payload);
    if (rc == 1)
        r->end = end;
    return rc;
}

int journal_next(struct journal_reader *r, struct slice *payload)
{
    *payload = slice_of(NULL, 0);
    reader_assert_valid(r);
    if (r->end != JOURNAL_MORE || r->err)
        return r->err ? r->err : 1;
    int rc = record_next(r, payload);
    if (rc == 1 && r->from_tail)
        r->end = JOURNAL_CLEAN;
    else if (rc == 1)
        rc = tail_next(r, payload);
    if (rc < 0)
        r->err = rc;
    return rc;
}

struct slice journal_from_tail(const struct journal_reader *r, uint64_t *offset)
{
    *offset = r->from_tail;
    if (!r->from_tail)
        return slice_of(NULL, 0);
    return slice_of(r->tail.data + (r->from_tail - r->tail_at),
                    (size_t)(r->record_at - r->from_tail));
}

uint64_t journal_offset(const struct journal_reader *r)
{
    return r->record_at;
}

enum journal_end journal_end(const struct journal_reader *r)
{
    return r->end;
}

const struct file_header *journal_header(const struct journal_reader *r)
{
    return &r->file.header;
}
