/* view: what a reader reads: the memtables and one version, as they were at one moment. Immutable,
 * but that the active memtable grows by sequence numbers that the reader does not see.
 *
 * The box holds the current view. Readers take it without a lock (sleepable read-copy-update, after
 * McKenney: a reader announces itself in one of two counters of its own slot, and the writer that
 * replaced the view waits for the short moment in which a reader may be between reading the pointer
 * and taking its reference). */
#ifndef VARVE_STORE_VIEW_H
#define VARVE_STORE_VIEW_H

#include "store/counters.h"
#include "store/lookup.h"
#include "store/memtable.h"
#include "store/store.h"
#include "store/values.h"
#include "store/version.h"

/* ---- a memtable with what backs it on disk until it is flushed ---- */

/* The commits of one memtable write at most one blob file: when it is full the memtable is sealed.
 */
struct memgen {
    int refs; /* atomic */
    struct memtable *mem;
    uint64_t log_number;
    uint64_t first_seq;         /* that the log begins with */
    uint64_t rangedel_since_ns; /* monotonic time of the first range tombstone; 0: none (atomic) */
    struct version_blob *blob;  /* a reference; NULL: none (atomic, set once) */
    uint64_t log_bytes;         /* of the log, with what of it is in TAIL (atomic) */
    uint64_t blob_frames,
        blob_bytes; /* that the log refers to; the commit leader's own until sealed */
    bool synced;    /* log and blob file are known to be on disk whole (atomic; only ever set once
                       sealed) */
    bool flushed;   /* its contents are in tables, its log may be gone (atomic) */
};

struct memgen *memgen_new(uint64_t log_number, uint64_t first_seq);
struct memgen *memgen_ref(struct memgen *g);
void memgen_unref(struct memgen *g);
/* Takes over the reference on `blob`. Once. */
void memgen_set_blob(struct memgen *g, struct version_blob *blob);

/* ---- views ---- */
struct view {
    int refs;             /* atomic */
    struct memgen **gens; /* newest first; gens[0] is the active one */
    uint32_t gen_count;   /* 0 only in a read-only store without logs */
    struct version *version;
};

/* Makes its own references on `gens` and `version`. */
struct view *view_new(struct memgen *const *gens, uint32_t gen_count, struct version *version);
struct view *view_ref(struct view *v);
void view_unref(struct view *v);

/* What reading needs beside the view. */
struct view_context {
    const struct store_merge *merge; /* may be NULL */
    struct cache *cache;
    struct values *values;             /* NULL: separated values are not cached */
    struct counters *counters;         /* may be NULL */
    struct env *env;                   /* its clock, for `counters` */
    const struct store_prefix *prefix; /* may be NULL */
};

/* One point read at `read_seq` (at least 1): the memtables, level 0, then one table a level; folds
 * operands, fetches blobs. 0 with out->data, or 1, or -EIO. `out`'s memory is the caller's: see
 * store_get(); `key` may not lie in it. */
int view_get(struct view *view, struct view_context *ctx, struct slice key, uint64_t read_seq,
             struct store_value *out);
/* The same for a reader that wants the value in memory of its own: `into` has `room` bytes. A
 * separated value that fits and is read for the first time is decoded there, past the cache, and
 * out->data is there; otherwise out->data is as view_get() leaves it, and copying is the caller's.
 * `into` may have been written to in either case. */
int view_get_into(struct view *view, struct view_context *ctx, struct slice key, uint64_t read_seq,
                  uint8_t *into, size_t room, struct store_value *out);
/* view_get() without fetching or folding: 0 when the key exists, 1 when not. */
int view_has(struct view *view, struct view_context *ctx, struct slice key, uint64_t read_seq);
/* What a read of the key at `read_seq` is made of, unfolded and unfetched: `l`, to be released with
 * lookup_release(l, ctx->cache) in either case; `key` lives as long. 0 or -EIO. */
int view_trace(struct view *view, struct view_context *ctx, struct slice key, uint64_t read_seq,
               struct lookup *l);
/* view_get() of many keys: those that the memtables do not settle are sorted, and each table is
 * asked once for all of its own, block by block. results[i] is what view_get() of keys[i] would
 * return, and values[i] what it would leave. The keys may not lie in the values. */
void view_multi_get(struct view *view, struct view_context *ctx, const struct slice *keys,
                    size_t count, uint64_t read_seq, struct store_value *values, int *results);
/* Gets a separated value, whichever memtable or version its file belongs to, from the cache or the
 * file: pinned in ctx->cache; NULL after an error. `keep`: it may be wanted again, as values.h has
 * it. */
int view_read_blob(struct view *view, struct view_context *ctx, struct slice encoded_ref, bool keep,
                   struct cache_item **value);

/* A cursor has stepped over so many entries that nobody sees. */
void view_count_steps(struct view_context *ctx, uint64_t steps);

/* ---- the box ---- */
struct viewbox;
struct viewbox *viewbox_new(struct view *first); /* takes over the reference */
void viewbox_free(struct viewbox *b);            /* unrefs the view */
/* A reference on the current view. Never blocks on a writer. */
struct view *viewbox_get(struct viewbox *b);
/* A view together with the newest published sequence number such that the view holds everything
 * below it. `*published` is read with acquire order. */
struct view *viewbox_get_with_seq(struct viewbox *b, const uint64_t *published, uint64_t *seq);
/* Replaces the view (takes over the reference on `v`) and drops the old one. One caller at a time.
 */
void viewbox_set(struct viewbox *b, struct view *v);
/* For the one that may call viewbox_set(): borrowed. */
struct view *viewbox_peek(struct viewbox *b);

#endif
