/* lookup: the state of one point read while it goes from the newest source to the oldest.
 *
 * A source (memtable, table) is asked with its own range tombstones first, then its entries for the
 * key, newest first. Each reports through lookup_cover() and lookup_entry(); the walk ends when
 * lookup_done().
 *
 * Guarantees: the result is that of the newest entry below `read_seq` that no newer tombstone
 * hides, with merge operands gathered newest first until a base or the end is met. */
#ifndef VARVE_STORE_LOOKUP_H
#define VARVE_STORE_LOOKUP_H

#include "store/cache.h"
#include "store/entry.h"

enum lookup_state {
    LOOKUP_MORE,   /* no base met yet: ask the next source */
    LOOKUP_ABSENT, /* deleted; with operands: they are folded onto nothing */
    LOOKUP_FOUND,  /* `base` holds it; with operands: they are folded onto it */
};

struct lookup_operand {
    enum entry_type type; /* ENTRY_MERGE or ENTRY_MERGE_BLOB */
    uint64_t seq;
    size_t offset, len; /* in `bytes` */
};

enum lookup_source { LOOKUP_MEMTABLE, LOOKUP_SEALED, LOOKUP_LEVEL };

enum lookup_absence {
    LOOKUP_NOTHING,   /* no source has anything */
    LOOKUP_TOMBSTONE, /* a DELETE was met */
    LOOKUP_RANGE,     /* a range tombstone hides what is older */
};

struct lookup {
    struct slice key; /* borrowed from the caller */
    uint64_t read_seq;
    uint64_t hash; /* filter_hash() of the key, computed once */
    enum lookup_state state;
    uint64_t cover_seq;   /* newest tombstone below read_seq met so far */
    enum entry_type type; /* of `base`, if FOUND */
    uint64_t end_seq;     /* of what ended the walk: `base`, or a DELETE; 0: neither did */
    struct slice base;    /* lives as long as its source (memtable) or `pin` (table block) */
    struct cache_item *pin;
    struct lookup_operand *operands; /* newest first; bytes are copied */
    uint32_t operand_count, operand_cap;
    struct buf bytes;
    /* For whoever counts: which source is asked now, or ended the read; why there is nothing; and
     * what happened on the way. */
    uint8_t
        source; /* LOOKUP_MEMTABLE, LOOKUP_SEALED, or LOOKUP_LEVEL + the level; set by who asks */
    uint8_t absence;
    uint32_t tables_out_of_span, tables_asked;
    uint32_t filter_negatives, filter_false_positives, filter_true_positives, blocks_missed;
    uint32_t level0_asked; /* tables of level 0 */
};

void lookup_init(struct lookup *l, struct slice key, uint64_t read_seq);
/* `cache` is where `pin` came from. */
void lookup_release(struct lookup *l, struct cache *cache);

static inline bool lookup_done(const struct lookup *l)
{
    return l->state != LOOKUP_MORE;
}

/* A source whose newest number is `max_seq` holds nothing that this read could see: a newer
 * tombstone hides all of it. It need not be asked. */
static inline bool lookup_covered(const struct lookup *l, uint64_t max_seq)
{
    return max_seq < l->cover_seq;
}

/* A tombstone with this number (< read_seq; 0: none) covers the key in the source asked now. */
void lookup_cover(struct lookup *l, uint64_t seq);

/* The next older entry for the key (e->seq < read_seq). `pin`: the block that its value lies in, or
 * NULL for a memtable; taken over (one more cache_pin() made) only if the value is kept. Returns
 * true to be given the source's next older entry for this key, false when the walk has ended. */
bool lookup_entry(struct lookup *l, const struct entry *e, struct cache_item *pin);

/* No source is left. */
void lookup_end(struct lookup *l);

#endif
