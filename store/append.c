/* append: see append.h.
 *
 * Invariants:
 * 1. `size` is at least FILE_HEADER_SIZE and the file has nothing or zeros behind it, but for the
 * time of one write.
 * 2. A frame that was sealed for offset x and then dropped is never found at x in this file: either
 *    it was never written there, or the cut behind a failed write is durable before x is used
 * again. Without this, a power cut could bring back a dropped frame where another of the same
 * length was acknowledged.
 * 3. Once spent, always spent.
 * 4. No two frames that were ever sealed for this file have the same offset and draft, so no nonce
 *    is used twice (codec_cipher.c). While a draft lasts, each frame is sealed once, at the end of
 *    what is pending, and the next one lies behind it. An offset is given out again only after
 *    something was dropped: after a write that failed, of which any part may be on disk and be
 *    found there by somebody later, when what is pending is discarded, or when another frame takes
 *    its place; then the draft is another. When the drafts are used up the file is spent. A file is
 * written only by the process that created it, from the beginning: none is ever opened again to be
 * appended to. */
#include "store/append.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

static void append_assert_valid(const struct append *a)
{
    assert(a->file.io);
    assert(a->size >= FILE_HEADER_SIZE);
    assert(a->size <= INT64_MAX - a->pending.len);
    assert(a->kept <= a->pending.len);
}

int append_create(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                  const uint8_t uuid[UUID_SIZE], struct append *out)
{
    *out = (struct append){0};
    int err = file_create(env, dir, kind, number, uuid, &out->file);
    if (err)
        return err;
    out->size = FILE_HEADER_SIZE;
    out->unsynced = true;
    append_assert_valid(out);
    return 0;
}

void append_close(struct append *a)
{
    file_close(&a->file);
    buf_release(&a->pending);
    *a = (struct append){0};
}

uint32_t append_seal(struct append *a, size_t at)
{
    append_assert_valid(a);
    assert(at + FRAME_HEADER_SIZE <= a->pending.len);
    assert(at >= a->sealed);
    if (a->file.codec.key)
        frame_encrypt(&a->file.codec, a->size + at, a->draft, &a->pending, at);
    frame_seal(&a->file.codec, a->size + at, a->pending.data + at, a->pending.len - at);
    a->sealed = a->pending.len;
    return (uint32_t)(a->pending.len - at);
}

static int failed(struct append *a, const char *what, int err)
{
    assert(err < 0);
    log_message(LOG_ERROR, "%s: cannot %s at offset %" PRIu64 ": %s", a->file.path, what, a->size,
                strerror(-err));
    return err;
}

/* After a failed write: the next one is at the same offset. */
static void cut_back(struct append *a)
{
    struct env_file *io = a->file.io;
    int err = io->ops->truncate(io, a->size);
    if (!err)
        err = io->ops->sync(io);
    if (err)
        failed(a, "cut off what a failed write left", err);
    a->spent = err != 0;
    a->unsynced = err != 0;
    a->zeroed = 0;
}

/* Memory beyond this is not kept for the next group. */
enum { PENDING_KEPT_BYTES = 4 << 20, ZEROS_BYTES = 4096 };

static void forget_pending(struct append *a)
{
    if (a->pending.cap > PENDING_KEPT_BYTES && a->kept == 0)
        buf_release(&a->pending);
    a->pending.len = a->kept;
    a->sealed = a->kept;
}

void append_discard(struct append *a)
{
    if (a->sealed > a->kept) {
        a->spent = a->spent || a->draft == FRAME_DRAFT_MAX;
        a->draft += a->draft < FRAME_DRAFT_MAX;
    }
    forget_pending(a);
}

/* Page by page: the kernel keeps what is written at once in one piece, and counts and may write all
 * of the piece for each byte of it that changes. What fails here only costs time later. */
static void write_zeros(struct append *a, size_t len)
{
    static const uint8_t zeros[ZEROS_BYTES];
    uint64_t at = a->size, end = a->size + len;
    while (at < end) {
        size_t n = ZEROS_BYTES - (size_t)(at % ZEROS_BYTES);
        n = end - at < n ? (size_t)(end - at) : n;
        if (a->file.io->ops->write(a->file.io, at, zeros, n) < 0)
            return;
        at += n;
        a->zeroed = at;
    }
}

/* Writes `bytes`, which stand for all that is pending. */
static int write_all(struct append *a, struct slice bytes, size_t zeros)
{
    struct env_file *io = a->file.io;
    int err = io->ops->write(io, a->size, bytes.data, bytes.len);
    if (err) {
        failed(a, "write", err);
        cut_back(a);
        return err;
    }
    a->size += bytes.len;
    a->written += bytes.len;
    a->kept = 0;
    a->unsynced = true;
    forget_pending(a);
    write_zeros(a, zeros);
    return 0;
}

int append_write_ahead(struct append *a, size_t zeros)
{
    append_assert_valid(a);
    int err = a->spent ? -EIO : 0;
    if (!err && a->pending.len)
        err = write_all(a, buf_slice(&a->pending), zeros);
    append_discard(a);
    return err;
}

int append_write_instead(struct append *a, struct buf *frame, size_t zeros)
{
    append_assert_valid(a);
    assert(frame->len >= FRAME_HEADER_SIZE && a->pending.len > 0);
    if (a->draft == FRAME_DRAFT_MAX)
        return append_write_ahead(a, zeros);
    a->draft++;
    if (a->file.codec.key)
        frame_encrypt(&a->file.codec, a->size, a->draft, frame, 0);
    frame_seal(&a->file.codec, a->size, frame->data, frame->len);
    int err = a->spent ? -EIO : write_all(a, buf_slice(frame), zeros);
    append_discard(a);
    return err;
}

int append_write(struct append *a)
{
    return append_write_ahead(a, 0);
}

int append_sync(struct append *a)
{
    append_assert_valid(a);
    if (a->spent)
        return -EIO;
    if (!a->unsynced)
        return 0;
    int err = a->file.io->ops->sync(a->file.io);
    if (err) {
        a->spent = true;
        return failed(a, "sync", err);
    }
    a->unsynced = false;
    return 0;
}
