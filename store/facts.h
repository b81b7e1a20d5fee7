/* facts: how the door shows what is in a file: items, each a row of named facts, so that whoever
 * prints them need not know the format, and can print them for people or for programs. Part of
 * store.h. */
#ifndef VARVE_STORE_FACTS_H
#define VARVE_STORE_FACTS_H

#include "store/bytes.h"

enum store_fact_kind {
    FACT_NUMBER, /* number */
    FACT_HEX,    /* number, better read in hexadecimal: a checksum, flags */
    FACT_TIME,   /* number: nanoseconds since 1970, two's complement */
    FACT_TEXT,   /* text */
    FACT_KEY,    /* bytes: a key */
    FACT_VALUE,  /* bytes: a value, or a part of one */
};

/* What it points to lives as long as the call that shows it. */
struct store_fact {
    const char *name; /* a constant */
    enum store_fact_kind kind;
    uint64_t number;
    const char *text;
    struct slice bytes;
};

enum { STORE_FACTS_MAX = 24 };

struct store_item {
    const char *what; /* a constant: "frame", "entry", "tombstone", "edit", "damage", ... */
    const struct store_fact *facts;
    uint32_t count;
};
/* Nonzero ends the showing and is returned. */
typedef int store_item_fn(void *ctx, const struct store_item *item);

#endif
