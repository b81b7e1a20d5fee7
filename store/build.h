/* build: writes a reduced stream as a row of tables, and separates large values into blob files on
 * the way. Nothing is installed: the results are an addition to an edit, or are removed again. */
#ifndef VARVE_STORE_BUILD_H
#define VARVE_STORE_BUILD_H

#include "store/blob.h"
#include "store/edit.h"
#include "store/parity.h"

/* What a table's writer may hold: hashes of one and a half million small keys, more than
 * filter.whole_keys has by default, so that the filter is one in parts. */
enum { BUILD_MEMORY_BYTES = 12 << 20 };

struct build_options {
    struct env *env;
    const char *dir;
    const uint8_t *uuid;
    struct table_options table;
    uint64_t table_bytes;  /* a table is ended at this size, between user keys; 0: one table */
    uint64_t memory_bytes; /* or, unless it is to be one table, when its writer takes so much
                            * memory; 0: whatever that is */
    uint64_t blob_bytes;   /* the same for blob files */
    uint32_t separate_min; /* inline values (PUT, MERGE) from this size on become blobs; 0: none */
    struct strength blob_strength; /* of values that become blobs */
    struct parity_options parity;  /* of each file; one that cannot be made is gone without */
    void *ctx;
    uint64_t (*next_file)(void *ctx); /* a fresh file number */
    /* The tombstones of [where the last call ended, upto) (empty: to the end): of the table that
     * ends there. One reference. */
    struct rangedel *(*rangedels)(void *ctx, struct slice upto);
    /* Asked before each entry is added, in order: is the open table to end there, though it is not
     * full, because it lies over much on the next level? May be NULL. */
    bool (*too_wide)(void *ctx, struct slice key);
    /* Asked now and then; true ends the job with -ECANCELED. May be NULL. */
    bool (*cancelled)(void *ctx);
};

struct build;

struct build *build_new(const struct build_options *opt);
int build_add(struct build *b, const struct entry *e);
/* The same for an entry whose value is separated already and is to move: `frame` is its frame,
 * packed or sealed for another place; e->value is not looked at. */
int build_add_frame(struct build *b, const struct entry *e, struct slice frame);
/* The entry that is added next is read often (table.h). */
void build_warm(struct build *b);
/* Attributes held bytes (reduce.h) to the table being written. */
void build_held(struct build *b, uint64_t pin, uint64_t bytes);
/* Ends the last table; every file is synced, then the folder. Tables (whose spans do not overlap)
 * and blob files are added to `edit` at `level`. Without entries and tombstones nothing is made.
 * After a failure, or instead, build_abandon(). */
int build_finish(struct build *b, struct edit *edit, int level);
/* Removes what was written, also when build_finish() had succeeded (and nothing was installed).
 * What cannot be removed is logged, and left to the next open. */
void build_abandon(struct build *b);
void build_free(struct build *b);
/* Bytes written: tables, blob files. */
void build_written(const struct build *b, uint64_t *table_bytes, uint64_t *blob_bytes);
/* The same together, with what is in files that are not whole yet. Grows. */
uint64_t build_bytes(const struct build *b);
uint64_t build_parity_written(const struct build *b);

#endif
