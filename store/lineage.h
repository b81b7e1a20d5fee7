/* lineage: which volume wrote a file that is found in this one.
 *
 * A volume that began as a checkpoint of another shares that one's tables and blob files: the same
 * files, under their own numbers, with the other's uuid in their headers. Its own files have
 * numbers from where the checkpoint was made on, and its own uuid. So a number says whose file it
 * must be, and a file that was carried over from the other volume later is recognised, though both
 * go on with the same numbers (docs/decisions/0030). */
#ifndef VARVE_STORE_LINEAGE_H
#define VARVE_STORE_LINEAGE_H

#include "store/format.h"

/* Files below `end`, and not below the end of the part before, are those of `uuid`. */
struct lineage_part {
    uint64_t end;
    uint8_t uuid[UUID_SIZE];
};

/* Zero-initialised: a volume that began empty. Changed by one thread, before others read it. */
struct lineage {
    struct lineage_part *parts; /* `end` ascends */
    uint32_t count;
};

void lineage_release(struct lineage *l);
/* False when `end` does not ascend: then nothing has changed. */
bool lineage_add(struct lineage *l, uint64_t end, const uint8_t uuid[UUID_SIZE]);
/* Of the volume that wrote file `number`; `own` for this one. Borrowed. `l` NULL: an empty one. */
const uint8_t *lineage_uuid(const struct lineage *l, uint64_t number, const uint8_t *own);

#endif
