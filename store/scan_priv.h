/* scan_priv: shared by the files of module scan. */
#ifndef VARVE_STORE_SCAN_PRIV_H
#define VARVE_STORE_SCAN_PRIV_H

#include "store/scan.h"
#include "store/scan_source.h"

enum scan_direction { SCAN_FORWARDS, SCAN_BACKWARDS };

/* After scan_peek() the sources, `key` and `found` are those of the key after the one that the scan
 * stands on. That one is kept here, with its entry if it is a PUT. */
struct scan_held {
    bool ahead;
    int status;       /* of the move ahead: 0 or 1 */
    bool is_put;      /* else the value has to be asked for */
    struct entry put; /* type and value are of use; the value lies in `bytes` */
    struct buf key, bytes;
};

struct scan {
    struct view *view; /* a reference */
    struct view_context *ctx;
    uint64_t read_seq;
    struct buf lower, upper;
    struct buf widest_lower, widest_upper; /* those that it was made with: for the sources */
    bool has_prefix;      /* all keys within the bounds have one prefix, by the store's rule, ... */
    uint64_t prefix_hash; /* ... with this filter_hash_prefix() */
    int flags;            /* of the tables' cursors */
    bool opened;
    struct source *sources;              /* newest first */
    uint32_t source_count, level0_count; /* of them: tables of level 0 */
    enum scan_direction direction;
    bool valid; /* stands on `key` */
    struct buf key;
    struct source *found; /* stands on the key's newest entry, a PUT; NULL: ask for the value */
    struct store_value value;
    uint32_t skipped;      /* covered intervals since the last key that was found, or seek */
    struct scan_held held; /* what the scan stands on while its sources look ahead */

    /* forwards only */
    struct source *
        *heap; /* the sources that stand on an entry, the first in internal order on top */
    uint32_t heap_count;
    bool settled;             /* `key` is settled: what is left of it is passed over */
    uint64_t stepped;         /* entries stepped over, ever */
    uint32_t passed;          /* entries stepped over since the last seek or settled key */
    bool clear;               /* no source has a tombstone below read_seq from here to ... */
    struct slice clear_until; /* ... here (empty: the end); lives as long as the sources */
};

/* ---- scan_prefix.c ---- */
/* What the bounds say of prefixes. To be called whenever they change. */
void scan_find_prefix(struct scan *s);
/* `*denies`: the source has no key within the bounds, as the filter of its only table there says.
 * It may have tombstones. Returns 0 or an error. */
int scan_source_denies(struct scan *s, const struct source *src, bool *denies);

/* ---- scan_forward.c ---- */
/* Moves every source to its first entry at or after (key, seq); an empty key: to its first. 0 or an
 * error. */
int scan_seek_sources(struct scan *s, struct slice key, uint64_t seq);
/* Stands on the first key that is there, from where the sources stand: 0, 1 or an error. */
int scan_forwards(struct scan *s);

/* ---- scan_backward.c ---- */
/* Moves every source to its last entry below `key`; an empty key: to its last. 0 or an error. */
int scan_seek_sources_before(struct scan *s, struct slice key);
/* Stands on the last key that is there, from where the sources stand: 0, 1 or an error. */
int scan_backwards(struct scan *s);

#endif
