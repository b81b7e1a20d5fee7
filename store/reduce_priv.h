/* reduce_priv: shared by the two files of module reduce. */
#ifndef VARVE_STORE_REDUCE_PRIV_H
#define VARVE_STORE_REDUCE_PRIV_H

#include "store/reduce.h"

/* An operand that waits for its group to be complete. Offsets into `bytes`. */
struct operand {
    enum entry_type type;
    uint64_t seq;
    size_t offset, len;
};

struct group {
    struct operand *list; /* newest first */
    uint32_t count, cap;
    struct buf bytes;
    struct buf folded;
    uint32_t emit; /* next operand to be emitted unchanged; == count: none */
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
    bool closed; /* the newest terminal entry (PUT, DELETE, hidden) was met */
    size_t closed_stripe;
    uint64_t hidden_from; /* number of the newest PUT or DELETE kept: older ones are held for pins;
                             0: none */

    /* tombstones along the stream */
    size_t fragment;    /* first with end > key */
    uint64_t *kept_min; /* per fragment: lowest number of a kept entry with a key before the present
                           one */
    uint64_t key_kept_min; /* the same of the present key */
    struct buf taken;      /* where the last reduce_rangedels() ended */
    bool taken_all;

    struct group group;
    struct buf out; /* an entry that was made */
};

/* How many pins do not see `seq`: entries with the same number are seen by the same readers. */
size_t reduce_stripe(const struct reduce *r, uint64_t seq);
/* Input stands on an entry of the present key. */
bool reduce_same_key(const struct reduce *r);
/* Is the entry hidden, for all that would see it, by a tombstone? */
bool reduce_hidden(struct reduce *r, uint64_t seq);
int reduce_advance(struct reduce *r);
/* Drops the entry that input stands on. */
void reduce_drop(struct reduce *r);
bool reduce_older_exists(struct reduce *r);
/* Notes that an entry of the present key is kept. */
void reduce_keep(struct reduce *r, const struct entry *e, bool terminal);

/* ---- reduce_merge.c ---- */
void group_init(struct group *g);
void group_release(struct group *g);
/* Input stands on a visible MERGE: gathers its group and gives the first entry that comes of it. 0
 * or an error. */
int group_reduce(struct reduce *r, struct entry *e);
/* The next operand of a group that is emitted unchanged; 1 when there is none. */
int group_next(struct reduce *r, struct entry *e);

#endif
