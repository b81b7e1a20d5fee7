/* blob: files of large values. Appended to by one writer, read by reference from many threads, also
 * while it is still being written (only what was appended before the reference was handed out). */
#ifndef VARVE_STORE_BLOB_H
#define VARVE_STORE_BLOB_H

#include "store/care.h"
#include "store/codec.h"
#include "store/env.h"

/* ---- writing: one thread at a time ---- */
struct blob_writer;

/* Creates file `number` (-EEXIST) with its header. Does not sync. */
int blob_create(struct env *env, const char *dir, uint64_t number, const uint8_t uuid[UUID_SIZE],
                struct blob_writer **out);
void blob_writer_free(struct blob_writer *w);
/* Places a packed frame (frame_pack()) of a value of `raw_len` bytes at the end of what is pending,
 * sealing the copy, and tells where it will be. */
void blob_add(struct blob_writer *w, struct slice packed, uint32_t raw_len, struct blob_ref *ref);
/* Writes all that is pending with one write. On failure nothing of it counts: the file is cut back
 * and synced, the references are void and their places are given out again. If the file cannot be
 * cut back, or a sync ever failed, every later write and sync fails with -EIO (append.h). */
int blob_write(struct blob_writer *w);
/* Pending bytes, so that long runs can be written in pieces. */
size_t blob_pending(const struct blob_writer *w);
void blob_discard(struct blob_writer *w);
/* Syncs if anything was written since the last sync. */
int blob_sync(struct blob_writer *w);
uint64_t blob_number(const struct blob_writer *w);
const struct file_header *blob_writer_header(const struct blob_writer *w);
/* Bytes written so far, header included. */
uint64_t blob_size(const struct blob_writer *w);

/* ---- reading ---- */
struct blob_reader; /* thread-safe */

/* Opens file `number` and checks its header (`uuid` NULL: not the volume). -EIO raised by
 * corrupt(), also when the file is missing; -EPROTONOSUPPORT (logged) for a later format. */
int blob_open(struct env *env, const char *dir, uint64_t number, const uint8_t uuid[UUID_SIZE],
              struct blob_reader **out);
void blob_reader_free(struct blob_reader *r);
/* Who is told of frames that had to be rebuilt from parity (file.h). */
void blob_set_care(struct blob_reader *r, struct care *care);
/* Reads and verifies the frame as it is stored, for blob_unpack(). Replaces `*frame`. `ref->file`
 * is this file (asserted); all else in a reference may be damaged: -EIO raised by corrupt(). After
 * it ref->raw_len is known to be right. */
int blob_fetch(struct blob_reader *r, const struct blob_ref *ref, struct buf *frame);
/* Decodes what blob_fetch() gave for `ref` into ref->raw_len bytes; what is in `frame` is used up.
 * -EIO raised by corrupt(). */
int blob_unpack(struct blob_reader *r, const struct blob_ref *ref, struct buf *frame,
                uint8_t *value);
/* Both: ref->raw_len bytes, malloc'd, the caller's; NULL after an error. */
int blob_read(struct blob_reader *r, const struct blob_ref *ref, uint8_t **value);
/* Reads and verifies the frame and makes it what frame_pack() had made, compressed still: what a
 * relocation hands to blob_add() of another file. Replaces `*frame`. */
int blob_read_frame(struct blob_reader *r, const struct blob_ref *ref, struct buf *frame);
/* Verifies without raising: 0, 1 when the frame is not whole and sound, or a negative errno. For
 * recovery. */
int blob_probe(struct blob_reader *r, const struct blob_ref *ref);
/* How the file begins. */
const struct file_header *blob_reader_header(const struct blob_reader *r);
int blob_reader_size(struct blob_reader *r, uint64_t *size);

#endif
