/* receive: a stream becomes the present, and a snapshot, of a volume. */
#ifndef VARVE_FS_RECEIVE_H
#define VARVE_FS_RECEIVE_H

#include "fs/stream_read.h"
#include "fs/volume.h"

/* What the stream `r`, whose head was read, leads to, into `store`, as a snapshot pin->name, with
 * pin->tag and created_ns: all at once, or nothing. `base`: the number of the state that it leads
 * from, or 0: the store is empty. What the present has that is another than there is undone.
 * Verifies all of it before anything is to be seen. */
int receive_apply(struct store *store, uint64_t base, struct stream_reader *r,
                  struct store_pin *pin, struct fs_stream_report *report);
/* Is the present another state than at `base`, but for inode numbers that were reserved? 0: no; 1:
 * yes; or an error. */
int receive_is_changed(struct store *store, uint64_t base);
/* Does the state at `base` have limits of folders, or files that are compressed in a way of their
 * own? Then no stream can lead from it to another here. 0, 1, or an error. */
int receive_has_rules(struct store *store, uint64_t base);

#endif
