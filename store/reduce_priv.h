/* reduce_priv: shared by the two files of module reduce. */
#ifndef VARVE_STORE_REDUCE_PRIV_H
#define VARVE_STORE_REDUCE_PRIV_H

#include "store/reduce.h"

/* An entry that waits for its group to be complete. */
struct operand {
    enum entry_type type;
    uint64_t seq;
    size_t at, len;                 /* what it has, in `bytes` */
    size_t fetched_at, fetched_len; /* in `fetched`, if that is a blob reference */
};

struct group {
    struct operand *list; /* newest first */
    uint32_t count, cap;
    struct buf bytes, fetched, folded;
    uint32_t emit; /* next one to be passed on unchanged; == count: none */
};

struct reduce {
    struct iter *input;
    struct rangedel *dels;
    struct reduce_options opt;
    bool started, advance; /* the entry that input stands on was handed out */
    int status;            /* of the last move */

    /* the key being worked on */
    struct buf key;
    bool have_key;
    bool closed; /* a PUT, DELETE or hidden entry was met: what follows in its stripe is dropped */
    size_t closed_stripe;
    uint64_t closed_seq;  /* number of what hides the rest of the stripe */
    uint64_t history;     /* reduce_history() */
    uint64_t hidden_from; /* number of the last PUT or DELETE kept; 0: none */

    /* tombstones along the stream */
    size_t fragment;    /* first with end > key */
    uint64_t *kept_min; /* per fragment: lowest number of a kept entry with a key before the present
                           one */
    uint64_t key_kept_min; /* the same of the present key */
    struct buf taken;      /* where the last reduce_rangedels() ended */
    bool taken_all;

    struct group group;
};

/* How many pins do not see `seq`: entries with the same number are seen by the same readers. */
size_t reduce_stripe(const struct reduce *r, uint64_t seq);
/* Input stands on an entry of the present key. */
bool reduce_same_key(const struct reduce *r);
/* The tombstone that hides the entry for all that would see it; 0: none. */
uint64_t reduce_hidden(struct reduce *r, uint64_t seq);
/* Something is lost that only reads below and at `hider` would have seen. */
static inline void reduce_lose(struct reduce *r, uint64_t hider)
{
    r->history = hider >= r->history ? hider + 1 : r->history;
}
int reduce_advance(struct reduce *r);
/* Drops the entry that input stands on. */
void reduce_drop(struct reduce *r);
bool reduce_older_exists(struct reduce *r);
/* Of the present key nothing is still to come: what was kept of it counts for its fragment. */
void reduce_key_done(struct reduce *r);
/* Notes that an entry of the present key is kept. */
void reduce_keep(struct reduce *r, const struct entry *e);

/* ---- reduce_merge.c ---- */
void group_init(struct group *g);
void group_release(struct group *g);
/* Input stands on a visible MERGE: gathers its group and gives the first entry that comes of it. 0
 * or an error of the input. */
int group_reduce(struct reduce *r, struct entry *e);
/* The next entry of a group that is passed on unchanged; 1 when there is none. */
int group_next(struct reduce *r, struct entry *e);

#endif
