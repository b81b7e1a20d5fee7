/* append: a numbered file that grows at its end only: pending bytes, one write, one sync. What the
 * writers of journals and blob files share.
 *
 * No byte ever has two meanings: an offset is given out again only when it is certain that nothing
 * of a write that failed can come back there, whatever a power cut does. */
#ifndef VARVE_STORE_APPEND_H
#define VARVE_STORE_APPEND_H

#include "store/file.h"

/* Used by one thread at a time. The fields are for reading; only append_ functions and frame_pack()
 * into `pending` change them. Zero-initialised is "not open". */
struct append {
    struct file file;
    uint64_t size;      /* bytes written, header included */
    struct buf pending; /* frames for offset `size` on */
    size_t sealed;      /* bytes of it that are sealed */
    uint32_t draft;     /* how often frames that were sealed for this file were dropped */
    size_t kept;        /* of what is pending: bytes at the front that stay after a failed write */
    uint64_t written;   /* bytes that were written since the owner set it to 0 */
    uint64_t zeroed;    /* the file has zeros from `size` to here; at or below `size`: none */
    bool unsynced;      /* something was written since the last sync */
    bool spent;         /* see append_write() */
};

/* file_create(), with which the contract is the same. */
int append_create(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                  const uint8_t uuid[UUID_SIZE], struct append *out);
/* Closes without syncing and drops what is pending; one that is not open is fine. */
void append_close(struct append *a);

/* Where the next byte that is added will be. */
static inline uint64_t append_offset(const struct append *a)
{
    return a->size + a->pending.len;
}

/* Encrypts, if the file has a key, and seals the packed frame that begins at pending.data[at] and
 * ends at the end of what is pending. Returns the frame's whole length as it will be stored. */
uint32_t append_seal(struct append *a, size_t at);

/* Writes all that is pending with one write, and then `zeros` bytes of zeros behind it, which later
 * writes will replace: a sync of those has no new blocks and no new size to write, which takes half
 * the time. On failure what is pending is dropped (but for `kept`), and the file is cut back to
 * what it was and synced, so that nothing of it can be found later; if this fails too the file is
 * spent: every later write or sync fails with -EIO. Failures are logged. */
int append_write_ahead(struct append *a, size_t zeros);
int append_write(struct append *a);
/* The same, but the packed frame in `frame`, which says the same as all that is pending and is not
 * longer, is encrypted and sealed for the place where that begins, and written instead. `kept` is
 * still pending after a failure. `*frame` is used up. */
int append_write_instead(struct append *a, struct buf *frame, size_t zeros);
/* Drops what is pending. */
void append_discard(struct append *a);
/* Syncs if anything was written since the last sync. A file whose sync failed is spent, since
 * nobody knows what of it is on disk. */
int append_sync(struct append *a);

#endif
