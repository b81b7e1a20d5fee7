/* journal: an append-only file of frames; the write-ahead log and the manifest share it.
 *
 * Writing: records are framed into one buffer and written with one write; those of a log go to TAIL
 * first (logtail.h), and many at a time to its file. The writer keeps its own offset, so a write
 * that failed is overwritten by the next and never leaves a hole in the middle. Reading: in order,
 * up to the first frame that does not verify, then on in TAIL; how it ended is told apart.
 *
 * A record is the raw payload of a frame of its own. But a frame of codec zstd in a log is a *row*:
 * its value is one or more records, each with its length (varint) in front. What TAIL held becomes
 * one when it goes to the file. Readers of records do not notice; all of a row have its offset. */
#ifndef VARVE_STORE_JOURNAL_H
#define VARVE_STORE_JOURNAL_H

#include "store/codec.h"
#include "store/env.h"

struct logtail;

/* ---- writing: one thread at a time ---- */
struct journal_writer;

/* Creates the file `number` in `dir` (-EEXIST if it is there) and writes its header. Does not sync.
 */
int journal_create(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                   const uint8_t uuid[UUID_SIZE], struct journal_writer **out);
/* From now on records go to `tail` first, which begins to hold this log: what it held must be in
 * its file (journal_flush()). Borrowed; not needed any more once it is flushed. Whatever fails with
 * it, records go to the file instead. */
void journal_use_tail(struct journal_writer *w, struct logtail *tail);
/* From now on records that go to the file together, and take at least `min` bytes with their
 * frames, become a row, made at this level of zstd (0: none do). Of a log that has a TAIL; at any
 * time, and in force from the next records on that have nothing pending before them. */
void journal_use_rows(struct journal_writer *w, int zstd_level, size_t min);
/* Closes without syncing; frees. NULL is fine. */
void journal_writer_free(struct journal_writer *w);
/* Frames `payload` for the end of what is pending. Nothing is written yet. */
void journal_add(struct journal_writer *w, struct slice payload);
/* Hands all that is pending to the kernel: to TAIL, or with one write to the file. On failure
 * nothing of it counts as written, the pending records are dropped, and the journal is as before
 * the first journal_add() since the last success: the file is cut back and synced. If that fails
 * too, or a sync ever failed, every later write and sync fails with -EIO (append.h). */
int journal_write(struct journal_writer *w);
/* Everything that was written is in the file. Errors as above, but nothing is dropped. */
int journal_flush(struct journal_writer *w);
/* Flushes, and gives back space that was reserved: nothing more is written to it but perhaps a
 * sync. */
int journal_seal(struct journal_writer *w);
/* Nothing can be written or synced any more. */
bool journal_is_spent(const struct journal_writer *w);
/* Forgets what is pending. */
void journal_discard(struct journal_writer *w);
/* Flushes, and syncs if anything was written since the last sync. Nothing may be pending
 * (asserted). */
int journal_sync(struct journal_writer *w);
/* Bytes written so far, to the file or TAIL, header included. Becomes less when a row takes the
 * place of what TAIL held. */
uint64_t journal_size(const struct journal_writer *w);
/* Of these, those that only TAIL has. */
uint64_t journal_in_tail(const struct journal_writer *w);
/* Bytes that went to the file since this was asked last. */
uint64_t journal_take_written(struct journal_writer *w);

/* ---- reading ---- */
struct journal_reader;

enum journal_end {
    JOURNAL_MORE,  /* not at the end */
    JOURNAL_CLEAN, /* at the end of the file, or at zeros that go on to the end of the file */
    JOURNAL_TORN,  /* bytes that do not verify, and no later frame boundary is known */
};

/* Opens and checks the header. -ENOENT if there is no such file; -EIO (raised by corrupt()) for a
 * header that is of another file, kind or volume (uuid; NULL: not checked), or damaged; 1 when the
 * file is shorter than a header or its header is all zeros: a journal whose creation was cut off,
 * holding nothing; -EPROTONOSUPPORT (logged) for a later format. What is appended to the file after
 * this call is not read. */
int journal_open(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                 const uint8_t uuid[UUID_SIZE], struct journal_reader **out);
void journal_reader_free(struct journal_reader *r);
/* The next record's payload, living until the next call. Returns 0, 1 at the end (see
 * journal_end()), or a negative errno when the file cannot be read, or -EIO raised by corrupt() for
 * a record that verifies and yet does not decode; an error comes again at every later call. */
int journal_next(struct journal_reader *r, struct slice *payload);
/* Where the record that was returned last begins; at the end: where the good part ends. */
uint64_t journal_offset(const struct journal_reader *r);
enum journal_end journal_end(const struct journal_reader *r);
/* At the end: the bytes of records that were not in the log's file but in TAIL, and their offset in
 * the log; living as long as the reader. Empty: there were none. */
struct slice journal_from_tail(const struct journal_reader *r, uint64_t *offset);
const struct file_header *journal_header(const struct journal_reader *r);

/* ---- rows, for those who read frames and not records ---- */

/* The frame of a row that journal_write() made is no longer. */
enum { JOURNAL_ROW_MAX = 192 << 10 };

/* Is a frame `h` of a file of that kind a row? */
bool journal_is_row(enum file_kind kind, const struct frame_header *h);
/* Takes the next record from the front of the decoded row. False at its end, and where it is
 * malformed: then something is left. */
bool journal_row_take(struct slice *row, struct slice *record);

#endif
