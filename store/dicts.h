/* dicts: makes dictionaries for the blocks of tables, and says which one is in use.
 *
 * Blocks of a few KiB hold too little to learn from: with a dictionary they come out as small as
 * large ones do, and are read faster. Whether one pays is measured, for each job that writes tables
 * anew, by a sample of blocks: some of them are held out, and what they take with the dictionary in
 * use, and with one trained on the others, decides. So a dictionary is replaced as the data
 * changes, and where it does not help there is none.
 *
 * A dictionary is part of each table that was written with it (table.h), so it comes and goes with
 * the tables that need it. */
#ifndef VARVE_STORE_DICTS_H
#define VARVE_STORE_DICTS_H

#include "store/codec.h"

enum {
    DICT_ID = 1,     /* what frames of tables call the one dictionary of their file */
    DICTS_MAX = 64,  /* no new ones while there are so many different ones in memory */
    DICT_AGAIN = 16, /* jobs until another one is tried beside the one in use */
};

/* Of one store. Thread-safe. */
struct dicts;

struct dicts *dicts_new(void);
void dicts_free(struct dicts *d); /* NULL is fine */

struct dict_block {
    struct slice raw;
    int zstd_level;
};
struct dict_wanted {
    uint32_t dict_bytes;     /* size of one that is made, at most */
    uint32_t gain_percent;   /* of the size without: it has to save so much, itself counted */
    uint64_t expected_bytes; /* raw bytes of the blocks of a table */
};
/* The dictionary for tables whose blocks are like these, or NULL: none pays. One reference. */
struct codec_dict *dicts_choose(struct dicts *d, const struct dict_block *blocks, size_t count,
                                const struct dict_wanted *wanted);
/* A table that is read has this one: it is the one in use until there is another. NULL is fine. */
void dicts_offer(struct dicts *d, struct codec_dict *dict);

struct dicts_stats {
    uint64_t trained, refused; /* made, and those of them that did not pay */
    uint64_t chosen;           /* jobs that have one */
};
void dicts_stats(struct dicts *d, struct dicts_stats *out);

#endif
