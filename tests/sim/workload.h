/* workload: a recorded history of store operations and a model of what it leads to. For power-cut
 * and random tests.
 *
 * A history is made from a seed. Playing it drives a store until it fails; the model tells the
 * state after any number of acknowledged batches. */
#ifndef VARVE_TESTS_SIM_WORKLOAD_H
#define VARVE_TESTS_SIM_WORKLOAD_H

#include "store/store.h"

enum { WORKLOAD_KEYS = 24, WORKLOAD_PINS = 4 };

/* A bulk ingestion is begun with the first half of its keys at one step, and put into the store at
 * a later one, as a batch of its own; what is written between is older than it. */
enum step_kind {
    STEP_WRITE,
    STEP_SYNC,
    STEP_PIN,
    STEP_UNPIN,
    STEP_WORK,
    STEP_FLUSH,
    STEP_REOPEN,
    STEP_INGEST_BEGIN,
    STEP_INGEST
};

enum op_kind { OP_PUT, OP_DELETE, OP_MERGE, OP_DELETE_RANGE };
struct op {
    enum op_kind kind;
    int key, end; /* end: of a range, exclusive */
    uint32_t len; /* of the value, which follows from `fill` */
    uint32_t fill;
};
enum { WORKLOAD_OPS = 8 };
struct step {
    enum step_kind kind;
    struct op ops[WORKLOAD_OPS];
    int op_count;
    bool sync;
    int pin;
};

struct workload {
    struct step *steps;
    size_t count;
};

/* Is the step one batch of the history? */
static inline bool step_is_batch(const struct step *s)
{
    return s->kind == STEP_WRITE || s->kind == STEP_INGEST;
}

/* `reopen`: the history closes and opens the store now and then. */
void workload_make(struct workload *w, uint64_t seed, size_t steps, bool reopen);
void workload_release(struct workload *w);

/* The state that a reader should see. */
struct model {
    struct buf value[WORKLOAD_KEYS];
    bool present[WORKLOAD_KEYS];
};
void model_apply(struct model *m, const struct step *s);
void model_release(struct model *m);
void model_copy(struct model *to, const struct model *from);
/* The first key in which what a read sees differs, by look-ups and by cursors both ways; -1: none;
 * -2: an error. */
int model_differs(const struct model *m, const struct store_read *read);

/* How far playing got. Batches are counted from the beginning of the history. */
struct progress {
    size_t acked;                  /* batches acknowledged */
    size_t synced;                 /* of these, known to be on disk */
    bool in_flight;                /* a batch had been handed over when it failed */
    size_t pinned[WORKLOAD_PINS];  /* batches before the pin was taken; SIZE_MAX: no such pin */
    bool pin_doubt[WORKLOAD_PINS]; /* the last call about it failed: it may be there or not */
};

/* Small memtables, blocks and tables, so that a short history flushes, compacts and separates
 * values. */
void workload_options(struct store_options *o, struct env *env);
/* From now on stores of workload_options() are encrypted, or not (as at first). */
void workload_encrypt(bool on);
/* Plays from step `from` until the end or the first error, which it returns. The store is opened
 * and closed inside; `p` goes on from where it stands (progress_init() first). */
int workload_play(const struct workload *w, size_t from, struct env *env, const char *dir,
                  struct progress *p);
void progress_init(struct progress *p);

/* Model after the first `batches` batches. */
void workload_model(const struct workload *w, size_t batches, struct model *m);

#endif
