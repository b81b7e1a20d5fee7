/* version: the durable state of a store at one moment: which tables on which level, which blob
 * files with how much garbage, which pins. Immutable once made, shared by reference count; readers
 * never lock.
 *
 * Invariants (version_assert_valid):
 *   1. Level 0 is in order of age, newest first (descending max_seq, then descending number); its
 *      tables may overlap.
 *   2. Deeper levels are in key order; their spans [smallest, limit) do not overlap.
 *   3. For one key, everything on a level is newer than everything on the levels below it. (Only
 *      the contents could tell; the check of a store does.)
 *   4. Blob files and pins ascend by number and by sequence number; garbage never exceeds what the
 *      file holds; the names of pins differ.
 *   5. No table's number occurs twice; next_file is above every number that is named.
 *
 * Tables and blob files are objects of their own, shared by all versions that name them. When the
 * last version lets go of one that has been marked dead, its `on_death` is called: that is when the
 * file may be removed. A table of which a compaction in slices has taken the front is another
 * object with the same number from then on; the old one keeps it alive, and when the last version
 * lets go of the old one, `on_cut` is called: that is when what the new one does not see may be
 * given back. Versions that follow each other also share the arrays of the levels that no edit
 * touched between them. */
#ifndef VARVE_STORE_VERSION_H
#define VARVE_STORE_VERSION_H

#include <pthread.h>

#include "store/blob.h"
#include "store/edit.h"

/* Called once, from any thread, when nothing refers to a dead file any more. `table`: it is still
 * open, and this is a reference, taken over, for whoever removes the file; NULL: it is closed. */
typedef void version_death_fn(void *ctx, enum file_kind kind, uint64_t number, struct table *table);

/* The same, when nothing sees more of a table than `left` says; not if that is dead, too. */
typedef void version_cut_fn(void *ctx, const struct table_meta *left);

/* Where files come from; lives longer than all versions. */
struct version_source {
    struct env *env;
    const char *dir;
    const uint8_t *uuid;
    struct lineage *lineage; /* filled in by manifest_read(); NULL: none is expected */
    struct cache *cache;
    struct care *care;          /* is told of repairs; may be NULL */
    struct counters *counters;  /* of what readers need; may be NULL */
    version_death_fn *on_death; /* may be NULL */
    version_cut_fn *on_cut;     /* may be NULL */
    void *death_ctx;            /* of both */
};

/* What compact_pick reckoned of a table's tombstones: bytes freed, and what it takes. */
struct version_gain {
    double freed, cost;
};

struct version_table {
    int refs;    /* atomic */
    bool dead;   /* atomic; set by the install that drops it */
    bool failed; /* atomic; it could not be opened, so that picking leaves it alone */
    bool upper;  /* atomic; it is on a level above the last */
    bool renew;  /* atomic; some of its values are still to be compressed anew */
    bool heal;   /* atomic; frames of it had to be rebuilt: picking has it rewritten soon */
    bool busy;   /* an input of a running job; protected by the tree's lock */
    const struct version_source *source;
    uint64_t number; /* meta->number */
    struct table_meta *meta;
    /* A reference on the same table, cut in front: set by the install that cut it; NULL: it is not.
     */
    struct version_table *rest;
    struct table *table;      /* atomic: opened at first use, then never changes */
    pthread_mutex_t opening;  /* held while opening it, so that it is read once */
    struct version_gain gain; /* [opening] */
    uint64_t gain_signature;  /* [opening] what it depends on; 0: not reckoned yet */
};
struct version_blob {
    int refs;    /* atomic */
    bool dead;   /* atomic */
    bool failed; /* atomic; a value in it could not be moved, so that it is left alone */
    const struct version_source *source;
    uint64_t number;
    uint64_t header_sum;        /* atomic: what its header must have; 0: not known */
    struct blob_reader *reader; /* atomic: opened at first use */
    struct blob_reader **old;   /* [opening] earlier ones, which readers may still use */
    uint32_t old_count;
    pthread_mutex_t opening;
};

/* One reference; takes its own on `meta`. */
struct version_table *version_table_new(const struct version_source *src, struct table_meta *meta);
struct version_table *version_table_ref(struct version_table *t);
void version_table_unref(struct version_table *t); /* NULL is fine */
/* Opens it if need be; borrowed, lives as long as `t`. Thread-safe; without a lock once it is open.
 * -EIO raised by corrupt(), or another error of table_open(): then the next call tries again. */
int version_table_open(struct version_table *t, struct table **out);
/* It is, or is not, on a level above the last: what of it is kept in the cache goes by that. */
void version_table_set_upper(struct version_table *t, bool upper);
/* NULL when nobody has opened it yet. */
struct table *version_table_opened(const struct version_table *t);

struct version_blob *version_blob_new(const struct version_source *src, uint64_t number);
struct version_blob *version_blob_ref(struct version_blob *b);
void version_blob_unref(struct version_blob *b); /* NULL is fine */
/* As version_table_open(). */
int version_blob_open(struct version_blob *b, struct blob_reader **out);

/* After the file was replaced by one with the same contents: whoever opens it from now on gets the
 * new one. A reader that met -EIO in the old one tries again, if this has changed. */
int version_blob_reopen(struct version_blob *b);

struct version_level {
    struct version_table **tables; /* a reference each */
    uint32_t count;
    uint32_t held_count;                         /* tables with entries that only pins hold */
    uint64_t bytes, entry_count, rangedel_count; /* of all tables */
    uint64_t number_max;                         /* no file number is above; 0 if empty */
    int *refs; /* atomic: versions that share `tables`; NULL: empty */
};
struct version_blob_state {
    struct version_blob *blob; /* a reference */
    uint64_t count, bytes, file_bytes;
    uint64_t garbage_count, garbage_bytes;
    uint32_t key_epoch;  /* 0: not encrypted */
    uint64_t header_sum; /* of an encrypted one; see edit.h */
};

struct version {
    int refs; /* atomic */
    const struct version_source *source;
    struct version_level levels[LEVEL_COUNT];
    struct version_blob_state *blobs;
    uint32_t blob_count;
    uint64_t blob_file_bytes, blob_garbage_bytes; /* of all blob files */
    struct pin *pins;
    uint32_t pin_count;
    int *pin_refs; /* atomic: versions that share `pins`; NULL: none */
    uint8_t uuid[UUID_SIZE];
    uint64_t features, next_file, flushed_seq, log_number;
    /* Of the operations from this number on, all are still there as they were made, in tables as
     * in memory: nothing that is as new was dropped or folded. */
    uint64_t history_seq;
};

struct version *version_new(const struct version_source *src); /* empty; next_file is 1 */
struct version *version_ref(struct version *v);
void version_unref(struct version *v); /* NULL is fine */
/* All of the above but 3, which is not to be seen from here. O(n log n). */
void version_assert_valid(const struct version *v);

/* A new version: `base` with `edit` applied: first what it removes, then what it adds, then
 * garbage. A table that is removed and added with the same number changes level and stays the same
 * object; or it stays on its level and is cut in front (table.h), and is another object. Blob files
 * whose garbage reaches what they hold are left out (and are marked dead by version_mark_dead()).
 * next_file never falls, and rises above every number in the edit by itself. `blobs`: objects of
 * files that already exist in memory (the active ones), reused for edit->blobs_added by number; may
 * be NULL. Returns 0, or -EIO when the edit does not fit the base: the log says why, the caller
 * raises. Costs O(tables) only on levels that the edit touches. */
int version_apply(const struct version *base, const struct edit *edit, struct version_blob **blobs,
                  size_t blob_count, struct version **out);
/* Marks everything dead that `old` names and `now` does not, and ties what is cut to what is left
 * of it. Call once, after `now` is installed durably. */
void version_mark_dead(const struct version *old, const struct version *now);
/* The edit that makes this version from nothing. Into an initialised edit. */
void version_to_edit(const struct version *v, struct edit *e);

/* Index of the first table of a level >= 1 whose limit is > key; count when there is none. */
uint32_t version_find(const struct version_level *level, struct slice key);
/* Does any table of `level` overlap [start, limit)? Empty limit: to the end. */
bool version_overlaps(const struct version *v, int level, struct slice start, struct slice limit);
/* Are its values to be encrypted with generation `epoch` (not 0) of the key, and are not? No if
 * they could not be read. */
bool version_blob_has_old_key(const struct version_blob_state *b, uint32_t epoch);
/* NULL when the version does not have it. Binary search. */
struct version_blob_state *version_find_blob(const struct version *v, uint64_t number);
const struct pin *version_find_pin(const struct version *v, const char *name);
/* Is a pin of this sequence number in force? Binary search. */
bool version_has_pin(const struct version *v, uint64_t seq);
/* What the table holds for pins that are gone, in bytes: a rewrite drops it. */
uint64_t version_gone_bytes(const struct version *v, const struct table_meta *m);

#endif
