/* scan_source: one source of a scan: a cursor of entries with the range tombstones that belong to
 * them. */
#ifndef VARVE_STORE_SCAN_SOURCE_H
#define VARVE_STORE_SCAN_SOURCE_H

#include "store/scan.h"

enum source_kind { SOURCE_MEMTABLE, SOURCE_TABLE, SOURCE_LEVEL };

struct source {
    enum source_kind kind;
    uint32_t age; /* 0: the newest source */
    struct iter *it;
    struct memtable *mem;              /* SOURCE_MEMTABLE */
    struct table *table;               /* SOURCE_TABLE */
    const struct version_level *level; /* SOURCE_LEVEL */
    /* the last answer of source_cover(), good for keys in [lo, hi) */
    struct rangedel_cover cover;
    bool have_cover;
};

/* The sources of a view that can have anything in [lower, upper) (empty: no bound), newest first,
 * malloc'd. 0 or an error. The view outlives them. */
int sources_open(struct view *view, struct slice lower, struct slice upper, int table_iter_flags,
                 struct source **out, uint32_t *count);
void sources_close(struct source *list, uint32_t count);
/* The newest tombstone of this source below `read_seq` over `key`; 0: none. The answer is s->cover.
 */
int source_cover(struct source *s, struct slice key, uint64_t read_seq);

#endif
