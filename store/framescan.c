/* framescan: see framescan.h.
 *
 * Behind a gap every offset is tried. That is affordable since a header has fields that random or
 * textual bytes do not fit (plausible()): a checksum is reckoned for one offset of millions.
 *
 * Invariants:
 *   1. Items follow one another without a gap between them: each begins where the last one ended.
 *   2. Memory: a window, or the largest frame that the file has room for. */
#include "store/framescan.h"

#include <assert.h>
#include <stdlib.h>

enum {
    WINDOW_BYTES = 1 << 20,
    SECTOR_BYTES = 4096, /* what is given up when the disk cannot read */
    CODEC_MOST = 7,      /* no frame has higher numbers there */
    CIPHER_MOST = 3,
    STORED_EXTRA_MOST = 64, /* an authentication tag may make the stored form longer than the raw */
};

void framescan_init(struct framescan *s, const struct file *file, uint64_t from, uint64_t end)
{
    *s = (struct framescan){.file = file, .at = from, .end = end, .window_at = from};
    assert(from >= FILE_HEADER_SIZE);
}

void framescan_release(struct framescan *s)
{
    buf_release(&s->window);
    buf_release(&s->one);
}

/* Bytes of the window from `at` on. */
static struct slice window_from(const struct framescan *s, uint64_t at)
{
    if (at < s->window_at || at >= s->window_at + s->window.len)
        return (struct slice){0};
    size_t skip = (size_t)(at - s->window_at);
    return slice_of(s->window.data + skip, s->window.len - skip);
}

/* The window begins at `at` and has `need` bytes, if the file has. A place that cannot be read
 * reads as 0xff, which is no frame. */
static struct slice window_at(struct framescan *s, uint64_t at, size_t need)
{
    struct slice have = window_from(s, at);
    uint64_t left = s->end - at;
    need = left < need ? (size_t)left : need;
    if (have.len >= need)
        return have;
    size_t want = need > WINDOW_BYTES ? need : WINDOW_BYTES, got = 0;
    want = left < want ? (size_t)left : want;
    struct env_file *io = s->file->io;
    buf_clear(&s->window);
    uint8_t *bytes = buf_reserve(&s->window, want);
    if (io->ops->forget)
        io->ops->forget(io, at, want);
    if (io->ops->read(io, at, bytes, want, &got) < 0) {
        memset(bytes, 0xff, want);
        for (size_t done = 0; done < want; done += SECTOR_BYTES) {
            size_t len = want - done < SECTOR_BYTES ? want - done : SECTOR_BYTES, part;
            if (io->ops->read(io, at + done, bytes + done, len, &part) < 0)
                memset(bytes + done, 0xff, len);
        }
        got = want;
    }
    if (io->ops->forget) /* nor is it worth keeping */
        io->ops->forget(io, at, want);
    memset(bytes + got, 0xff, want - got);
    s->window.len = want;
    s->window_at = at;
    s->bytes_read += want;
    return buf_slice(&s->window);
}

/* Could a frame of ours have this header, with `left` bytes behind the beginning of it? */
static bool plausible(const struct frame_header *h, uint64_t left)
{
    return h->codec <= CODEC_MOST && h->cipher <= CIPHER_MOST && h->raw_len <= FRAME_RAW_MAX &&
           h->stored_len <= h->raw_len + STORED_EXTRA_MOST &&
           left >= FRAME_HEADER_SIZE + (uint64_t)h->stored_len;
}

/* Is there a sound frame at `at`? */
static bool frame_at(struct framescan *s, uint64_t at, struct framescan_item *item)
{
    struct frame_header h;
    struct slice in = window_at(s, at, FRAME_HEADER_SIZE);
    if (in.len < FRAME_HEADER_SIZE)
        return false;
    frame_header_decode(in.data, &h);
    if (!plausible(&h, s->end - at))
        return false;
    size_t len = (size_t)FRAME_HEADER_SIZE + h.stored_len;
    in = window_at(s, at, len);
    if (in.len < len ||
        frame_verify(&s->file->codec, at, slice_of(in.data, len), &item->header) != FRAME_OK)
        return false;
    item->what = FRAMESCAN_FRAME;
    item->frame = slice_of(in.data, len);
    return true;
}

/* The frame at `at` with the help of parity. */
static bool rebuilt_at(struct framescan *s, uint64_t at, struct framescan_item *item)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame_header h;
    if (s->end - at < FRAME_HEADER_SIZE || file_restore(s->file, at, bytes, sizeof bytes) != 0)
        return false;
    frame_header_decode(bytes, &h);
    if (!plausible(&h, s->end - at))
        return false;
    size_t len = (size_t)FRAME_HEADER_SIZE + h.stored_len;
    buf_clear(&s->one);
    if (file_restore(s->file, at, buf_reserve(&s->one, len), len) != 0 ||
        frame_verify(&s->file->codec, at, slice_of(s->one.data, len), &item->header) != FRAME_OK)
        return false;
    s->one.len = len;
    file_repaired(s->file, at);
    item->what = FRAMESCAN_REPAIRED;
    item->frame = buf_slice(&s->one);
    return true;
}

/* Only zeros from `at` to the end? */
static bool zeros_from(struct framescan *s, uint64_t at)
{
    while (at < s->end) {
        struct slice in = window_at(s, at, 1);
        for (size_t i = 0; i < in.len; i++)
            if (in.data[i])
                return false;
        at += in.len;
    }
    return true;
}

/* Where the next frame that verifies begins; `end`: there is none. */
static uint64_t next_sound(struct framescan *s, uint64_t at)
{
    struct framescan_item item;
    /* If only the payload is damaged the header tells. */
    struct frame_header h;
    struct slice in = window_at(s, at, FRAME_HEADER_SIZE);
    if (in.len >= FRAME_HEADER_SIZE) {
        frame_header_decode(in.data, &h);
        uint64_t behind = at + FRAME_HEADER_SIZE + h.stored_len;
        if (plausible(&h, s->end - at) && behind < s->end && frame_at(s, behind, &item))
            return behind;
    }
    for (at++; at < s->end; at++)
        if (frame_at(s, at, &item))
            return at;
    return s->end;
}

int framescan_next(struct framescan *s, struct framescan_item *item)
{
    *item = (struct framescan_item){.offset = s->at};
    if (s->at >= s->end)
        return 1;
    if (!frame_at(s, s->at, item) && !rebuilt_at(s, s->at, item)) {
        bool zeros = zeros_from(s, s->at);
        item->what = zeros ? FRAMESCAN_ZEROS : FRAMESCAN_GAP;
        item->len = (zeros ? s->end : next_sound(s, s->at)) - s->at;
    } else {
        item->len = item->frame.len;
    }
    assert(item->len > 0 && item->len <= s->end - s->at);
    s->at += item->len;
    return 0;
}
