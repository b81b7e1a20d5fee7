/* journal_write: the writer of a journal; see journal.h.
 *
 * Guarantees: what journal_write() returned 0 for outlives the process; what journal_sync() did, a
 * power cut.
 *
 * Invariants:
 *   1. The first `tail.kept` bytes of what is pending are in TAIL, and not in the file: they are
 * written records. The rest are no records yet.
 *   2. Space on the disk is reserved for what is in TAIL alone: writing it out does not fail for
 * want of space.
 *   3. A frame that is dropped was never put in TAIL, or TAIL holds nothing any more, or a row
 * stands in the file where TAIL begins, by which readers know that TAIL has nothing to add
 * (journal.c).
 *   4. `row` holds all records that are pending, in plain, as a row has them; of these the first
 * `row_kept` bytes are those of the `tail.kept` bytes that are in TAIL. Or it is empty, while
 *      `row_level` is 0. */
#include "store/journal.h"

#include "store/append.h"
#include "store/logtail.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    /* Space is reserved, and zeros are written, in pieces: a log that is used little takes little.
     */
    RESERVE_BYTES_MIN = 64 << 10,
    RESERVE_BYTES_MAX = 4 << 20,
    AHEAD_BYTES_MIN = 4 << 10,
    AHEAD_BYTES_MAX = 128 << 10,
    /* What comes in larger records on average does not become a row, nor more than
     * JOURNAL_ROW_MAX: that is contents, which are compressed soon where they end up, and whose
     * writers would wait twice as long. */
    ROW_RECORD_MAX = 1 << 10,
};
_Static_assert((int)JOURNAL_ROW_MAX >= (int)LOGTAIL_ROOM, "what TAIL holds fits into a row");

struct journal_writer {
    struct append tail;
    struct logtail *window; /* TAIL; NULL: not used */
    uint64_t reserved;      /* space is reserved up to here */
    uint64_t reserve_more;  /* this much more next time */
    size_t ahead;           /* zeros that are written behind what is synced, next time */

    struct buf row, packed; /* records that are pending; the frame that they become */
    size_t row_kept;
    uint32_t records; /* that are pending, or were and are discarded */
    int row_level;    /* of what is pending; 0: it does not become a row */
    int next_level;   /* of what comes when nothing is pending */
    size_t row_min;
};

int journal_create(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                   const uint8_t uuid[UUID_SIZE], struct journal_writer **out)
{
    assert(kind == FILE_LOG || kind == FILE_MANIFEST);
    *out = NULL;
    struct journal_writer *w = mem_zalloc(sizeof *w);
    w->ahead = AHEAD_BYTES_MIN;
    w->reserve_more = RESERVE_BYTES_MIN;
    int err = append_create(env, dir, kind, number, uuid, &w->tail);
    if (err)
        journal_writer_free(w);
    else
        *out = w;
    return err;
}

void journal_writer_free(struct journal_writer *w)
{
    if (!w)
        return;
    append_close(&w->tail);
    buf_release(&w->row);
    buf_release(&w->packed);
    free(w);
}

void journal_use_rows(struct journal_writer *w, int zstd_level, size_t min)
{
    w->next_level = zstd_level;
    w->row_min = min;
}

/* Stored raw: nobody waits for a record to be compressed. */
void journal_add(struct journal_writer *w, struct slice payload)
{
    size_t at = w->tail.pending.len;
    if (at == 0) {
        w->row_level = w->window ? w->next_level : 0;
        w->records = 0;
    }
    w->records++;
    frame_pack(payload, 0, &w->tail.pending);
    append_seal(&w->tail, at);
    if (w->row_level > 0)
        buf_put_lenbytes(&w->row, payload);
}

/* What is fresh is pending no more. */
static void drop_fresh(struct journal_writer *w)
{
    append_discard(&w->tail);
    w->row.len = w->row_kept;
}

/* ---- to the file ---- */

/* Makes one frame of all that is pending, if that pays. */
static bool make_row(struct journal_writer *w)
{
    size_t len = w->tail.pending.len;
    buf_clear(&w->packed);
    if (w->row_level == 0 || len < w->row_min || len > JOURNAL_ROW_MAX ||
        len / w->records > ROW_RECORD_MAX)
        return false;
    struct pack_how how = {.zstd_level = w->row_level};
    struct frame_header h;
    frame_pack_how(buf_slice(&w->row), &how, &w->packed);
    frame_header_decode(w->packed.data, &h);
    return journal_is_row(w->tail.file.header.kind, &h);
}

static int write_out(struct journal_writer *w, size_t zeros)
{
    int err = make_row(w) ? append_write_instead(&w->tail, &w->packed, zeros)
                          : append_write_ahead(&w->tail, zeros);
    if (err < 0) {
        w->reserved = 0; /* the cut behind a failed write gave it back */
        w->row.len = w->row_kept;
        return err;
    }
    w->row.len = w->row_kept = 0;
    if (w->window && logtail_begin(w->window, w->tail.file.header.number, w->tail.size) < 0)
        w->window = NULL;
    return 0;
}

int journal_flush(struct journal_writer *w)
{
    assert(w->tail.pending.len == w->tail.kept);
    return w->tail.kept ? write_out(w, 0) : 0;
}

/* ---- to TAIL ---- */

/* Is there space on the disk for all that is pending? 0, or why not. */
static int reserve(struct journal_writer *w)
{
    uint64_t end = append_offset(&w->tail);
    if (end <= w->reserved)
        return 0;
    struct env_file *io = w->tail.file.io;
    uint64_t from = w->reserved > w->tail.size ? w->reserved : w->tail.size;
    int err = io->ops->allocate(io, from, end - from + w->reserve_more);
    if (err < 0)
        return err;
    w->reserved = end + w->reserve_more;
    if (w->reserve_more < RESERVE_BYTES_MAX)
        w->reserve_more *= 2;
    return 0;
}

void journal_use_tail(struct journal_writer *w, struct logtail *tail)
{
    assert(w->tail.file.header.kind == FILE_LOG && w->tail.pending.len == 0 && !w->window);
    if (reserve(w) == 0 && logtail_begin(tail, w->tail.file.header.number, w->tail.size) == 0)
        w->window = tail;
}

/* Puts what is fresh there. A failure leaves any part of it. */
static int show(struct journal_writer *w)
{
    struct append *a = &w->tail;
    struct slice fresh = slice_of(a->pending.data + a->kept, a->pending.len - a->kept);
    int err = logtail_put(w->window, a->kept, fresh);
    if (err == 0) {
        a->kept = a->pending.len;
        w->row_kept = w->row.len;
    }
    return err;
}

/* What was shown in part, and then could not be written to the file either, must not be found
 * there. */
static void hide(struct journal_writer *w)
{
    static const uint8_t zeros[FRAME_HEADER_SIZE];
    size_t room = LOGTAIL_ROOM - w->tail.kept, len = room < sizeof zeros ? room : sizeof zeros;
    if (logtail_put(w->window, w->tail.kept, slice_of(zeros, len)) < 0)
        w->tail.spent = true;
}

int journal_write(struct journal_writer *w)
{
    struct append *a = &w->tail;
    if (a->spent || a->pending.len == a->kept) {
        drop_fresh(w);
        return a->spent ? -EIO : 0;
    }
    if (!w->window)
        return write_out(w, 0);
    int err = reserve(w);
    if (err < 0) {
        drop_fresh(w);
        return err;
    }
    bool fits = a->pending.len <= LOGTAIL_ROOM;
    if (fits && show(w) == 0)
        return 0;
    err = write_out(w, 0);
    if (err < 0 && fits)
        hide(w);
    return err;
}

bool journal_is_spent(const struct journal_writer *w)
{
    return w->tail.spent;
}

int journal_seal(struct journal_writer *w)
{
    struct append *a = &w->tail;
    int err = journal_flush(w);
    if (err == 0 && (w->reserved > a->size || a->zeroed > a->size))
        a->file.io->ops->truncate(a->file.io, a->size); /* what fails here wastes space, no more */
    w->window = NULL;
    return err;
}

void journal_discard(struct journal_writer *w)
{
    drop_fresh(w);
}

/* ---- syncing ---- */

/* Who syncs once does so again: zeros for the next ones to replace. The more often, the more. */
static size_t zeros_ahead(struct journal_writer *w)
{
    if (w->tail.file.header.kind != FILE_LOG || append_offset(&w->tail) <= w->tail.zeroed)
        return 0;
    size_t zeros = w->ahead;
    if (w->ahead < AHEAD_BYTES_MAX)
        w->ahead *= 2;
    return zeros;
}

int journal_sync(struct journal_writer *w)
{
    assert(w->tail.pending.len == w->tail.kept);
    int err = w->tail.kept ? write_out(w, zeros_ahead(w)) : 0;
    return err < 0 ? err : append_sync(&w->tail);
}

uint64_t journal_size(const struct journal_writer *w)
{
    return w->tail.size + w->tail.kept;
}

uint64_t journal_in_tail(const struct journal_writer *w)
{
    return w->tail.kept;
}

uint64_t journal_take_written(struct journal_writer *w)
{
    uint64_t written = w->tail.written;
    w->tail.written = 0;
    return written;
}
