/* scan: the cursor over what a read at one sequence number sees of a view: user keys with their
 * newest visible value, forwards and backwards, between two bounds.
 *
 * Each source (memtable, level-0 table, deeper level) is a cursor of entries with the range
 * tombstones of the same source. When the scan meets an entry under a tombstone of a newer source,
 * it moves that source and all older ones past the tombstone's end by a seek, instead of stepping
 * through the dead; so it does with the versions of a key when there turn out to be many. */
#ifndef VARVE_STORE_SCAN_H
#define VARVE_STORE_SCAN_H

#include "store/view.h"

struct scan;

enum scan_flags { SCAN_FILL_CACHE = 1 };

/* References the view; copies the bounds (empty: none). `ctx` outlives the scan. `read_seq` is at
 * least 1. Nothing is opened or read before the first move. */
struct scan *scan_new(struct view *view, struct view_context *ctx, uint64_t read_seq,
                      struct slice lower, struct slice upper, int flags);
void scan_free(struct scan *s);
/* As the store_iter functions of store.h. A seek may be given scan_key(). */
int scan_first(struct scan *s);
int scan_last(struct scan *s);
int scan_seek(struct scan *s, struct slice key);
int scan_seek_for_prev(struct scan *s, struct slice key);
int scan_next(struct scan *s);
int scan_prev(struct scan *s);
struct slice scan_key(const struct scan *s);
int scan_value(struct scan *s, struct slice *value);
int scan_value_len(const struct scan *s, uint64_t *len);
int scan_peek(struct scan *s, struct slice *key);
/* What it was made with. */
struct view_context *scan_context(const struct scan *s);
/* Other bounds, within those that it was made with; it stands nowhere then. */
void scan_set_bounds(struct scan *s, struct slice lower, struct slice upper);

/* The cursor over one level >= 1 of a version: its tables one after the other, opened as they are
 * reached. */
struct iter *level_iter_new(struct version *v, int level, int table_iter_flags);

#endif
