/* events: what happened to a store, for people: a text file in the volume's folder, EVENTS, which
 * is turned over (to EVENTS.1) when it has half of the size that is allowed for both.
 *
 * An event is a line, "2026-11-29T03:41:19.123Z WHAT: ...", and perhaps a few more that begin with
 * blanks. It is said without I/O, so under any lock; it is written by who has none. It is never
 * synced, and what goes wrong with it harms nobody: then it is not there. Of an encrypted volume no
 * keys are told. */
#ifndef VARVE_STORE_EVENTS_H
#define VARVE_STORE_EVENTS_H

#include "store/store.h"
#include "store/version.h"

struct events;

/* `limit`: atomic, the size of both files together; 0: nothing is written. Borrows all. NULL if
 * `dir` may not be written to. */
struct events *events_new(struct env *env, const char *dir, const uint64_t *limit);
/* Writes what is left. NULL is fine, here and below. */
void events_free(struct events *e);

/* Adds an event. `what`: a word or two. Takes the module's own lock for a moment. */
void events_say(struct events *e, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What an edit that was installed did, with a picture of where: `edit` made `next` of `base`;
 * `memtables` were flushed by it. `began_ns`: monotonic, when the job began; 0: no job. */
void events_install(struct events *e, const struct version *base, const struct edit *edit,
                    const struct version *next, uint32_t memtables, uint64_t began_ns);
/* Writes what was said so far. With no lock held. */
void events_write(struct events *e);

/* Calls `fn` for each line of EVENTS.1 and EVENTS in `dir`, oldest first, without its end; what is
 * not printable comes as '?'. Nonzero from it ends the reading and is returned. None of the files
 * need be there. */
int events_read(struct env *env, const char *dir, store_line_fn *fn, void *ctx);

/* ---- the picture (events_picture.c) ---- */

/* Appends lines that show the tables that `edit` takes away ('-') and brings ('+'), level by level,
 * at their places in the space of keys. The scale is the deepest level of `base`: as much room for
 * each of its tables. */
enum { PICTURE_WIDTH = 64 };
void events_picture(struct buf *out, const struct version *base, const struct edit *edit,
                    bool keys);
/* "12 bytes", "3.4 MiB". */
void events_bytes(struct buf *out, uint64_t bytes);
/* Appends formatted text. */
void events_print(struct buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
