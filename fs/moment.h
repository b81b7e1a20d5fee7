/* moment: which state of which volume a snapshot is, so that copies of a volume know each other's
 * snapshots: by number and time of where it was taken, also where it was received. */
#ifndef VARVE_FS_MOMENT_H
#define VARVE_FS_MOMENT_H

#include "fs/stream.h"
#include "fs/volume.h"

/* Of the snapshot with these, whose state `read` reads. 0 or an error. */
int moment_of(const struct store_read *read, uint64_t number, int64_t created_ns,
              struct stream_moment *out);
/* The snapshot of that name: 0 with its number in the store and its moment, -ENOENT, or an error.
 */
int moment_of_name(struct fs *fs, const char *name, uint64_t *seq, struct stream_moment *out);
/* The snapshot that is of that moment: 0 with its number and name (malloc'd), 1, or an error. */
int moment_find(struct fs *fs, const struct stream_moment *wanted, uint64_t *seq, char **name);
static inline bool moment_same(const struct stream_moment *a, const struct stream_moment *b)
{
    return a->seq == b->seq && a->created_ns == b->created_ns;
}

#endif
