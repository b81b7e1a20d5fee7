/* dump_walk: the frames of a file, one after another, also behind a damaged place.
 *
 * Where a frame does not verify the next is looked for byte by byte: a frame verifies only at its
 * own offset, so what is found is one. The search ends after SEARCH_MAX bytes, not counting a hole
 * in a table: a compaction in slices gave that back, and what borders on it are the ends of frames.
 */
#include <assert.h>

#include "store/dump.h"

enum { WINDOW = 1 << 20, SEARCH_MAX = 4 << 20 };

void dump_walk_init(struct dump_walk *w, struct dump *d, const struct file *f, uint64_t end)
{
    *w = (struct dump_walk){.dump = d, .file = f, .end = end, .at = FILE_HEADER_SIZE};
    w->zeros = f->header.kind == FILE_LOG || f->header.kind == FILE_MANIFEST;
}

void dump_walk_release(struct dump_walk *w)
{
    buf_release(&w->window);
    buf_release(&w->payload);
}

/* The bytes from `at` on, `len` of them, which end at or before w->end. */
static int bytes_at(struct dump_walk *w, uint64_t at, size_t len, struct slice *out)
{
    assert(at + len <= w->end);
    if (at < w->window_at || at + len > w->window_at + w->window.len) {
        uint64_t left = w->end - at;
        size_t want = left < WINDOW ? (size_t)left : WINDOW;
        want = want < len ? len : want;
        buf_clear(&w->window);
        int err = file_read(w->file, at, buf_reserve(&w->window, want), want);
        if (err < 0)
            return err;
        w->window.len = want;
        w->window_at = at;
    }
    *out = slice_of(w->window.data + (at - w->window_at), len);
    return 0;
}

/* The frame at `at`, if there is one. */
static int probe(struct dump_walk *w, uint64_t at, struct frame_header *h, struct slice *frame,
                 enum frame_verdict *verdict)
{
    *verdict = FRAME_SHORT;
    if (w->end - at < FRAME_HEADER_SIZE)
        return 0;
    int err = bytes_at(w, at, FRAME_HEADER_SIZE, frame);
    if (err < 0)
        return err;
    frame_header_decode(frame->data, h);
    uint64_t len = (uint64_t)FRAME_HEADER_SIZE + h->stored_len;
    *verdict = FRAME_BAD;
    if (len <= w->end - at && h->raw_len <= FRAME_RAW_MAX)
        err = bytes_at(w, at, (size_t)len, frame);
    if (err == 0)
        *verdict = frame_verify(&w->file->codec, at, *frame, h);
    return err;
}

static void decode(struct dump_walk *w, struct slice frame, struct dump_frame *out)
{
    buf_clear(&w->payload);
    out->decoded = frame_unpack(&w->file->codec, out->offset, &out->header, frame_stored(frame),
                                &w->payload) == 0;
    out->payload = out->decoded ? buf_slice(&w->payload) : (struct slice){0};
    if (!out->decoded && (w->file->header.cipher == CIPHER_NONE || w->file->codec.key))
        dump_damage(w->dump, out->offset, "a frame does not decode");
}

/* Passes over the hole that begins at, or a little behind, the place where no frame is, and says
 * so. */
static bool pass_hole(struct dump_walk *w)
{
    bool table = w->file->header.kind == FILE_TABLE;
    uint64_t behind = table ? file_hole_end(w->file, w->at, w->end) : w->at;
    if (behind == w->at)
        return false;
    dump_begin(w->dump, "hole");
    dump_number(w->dump, "offset", w->at);
    dump_number(w->dump, "bytes", behind - w->at);
    dump_end(w->dump);
    w->at = behind;
    return true;
}

int dump_walk_next(struct dump_walk *w, struct dump_frame *out)
{
    uint64_t begin = w->at;
    bool hole = false;
    *out = (struct dump_frame){0};
    while (w->at < w->end && w->at - begin <= SEARCH_MAX) {
        enum frame_verdict verdict;
        struct slice frame;
        int err = probe(w, w->at, &out->header, &frame, &verdict);
        if (err < 0)
            return err;
        if (verdict == FRAME_OK) {
            out->offset = w->at;
            w->at += frame.len;
            decode(w, frame, out);
            return 0;
        }
        if (w->at == begin && verdict == FRAME_ZERO && w->zeros)
            return 1; /* a journal ends so */
        if (w->at == begin && !hole && pass_hole(w)) {
            begin = w->at;
            hole = true;
            continue;
        }
        if (w->at == begin && !hole)
            dump_damage(w->dump, begin, frame_verdict_text(verdict));
        w->at++;
    }
    return 1;
}
