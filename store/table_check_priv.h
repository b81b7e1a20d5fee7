/* table_check_priv: what the files of table_check share. */
#ifndef VARVE_STORE_TABLE_CHECK_PRIV_H
#define VARVE_STORE_TABLE_CHECK_PRIV_H

#include "store/table_priv.h"

struct checker {
    struct table *t;
    table_finding_fn *finding;
    table_ref_fn *ref;
    const struct store_prefix *prefix;
    void *ctx;
    int stop;
    bool whole;              /* every entry was seen so far */
    struct table_meta *seen; /* counted from the contents */
    struct buf last_key;     /* of the entry before, if any */
    uint64_t last_seq;
    struct buf frame, payload; /* scratch */
    uint64_t at;               /* where the next frame should begin; 0: that is not known */
    /* Of an index in parts the part that the check is in, as it is on disk. */
    struct table_part part;
    void *part_memory;
    /* The filter as it is on disk: one, or in parts; NULL: none that can be asked. */
    struct buf *filter_bytes;
    struct filter *filters;
    uint32_t filter_count;
};

/* Tells the caller of a finding, unless the check has to end. */
void table_check_report(struct checker *c, enum table_finding code, uint64_t offset,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- tombstones and properties (table_check_props.c) ---- */

/* Widens the bounds of what was seen by those of an entry or a tombstone that is not counted yet.
 */
void table_check_widen(struct table_meta *seen, uint64_t min_seq, uint64_t max_seq);
/* The payload of the tombstones' frame, in c->payload. */
void table_check_tombstones(struct checker *c);
/* The payload of the properties' frame, in c->payload, against the contents, and against what the
 * table was opened by. */
void table_check_props(struct checker *c);

#endif
