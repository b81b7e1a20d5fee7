/* scrub: reads every frame of every file of an open store in the background, a bounded step at a
 * time, and proves its checksum; no key is needed. What is damaged and has parity is rebuilt and
 * given to healing (care.h); a manifest is started anew; what is in a damaged log is flushed; a
 * file without the parity that the settings ask for gets it. The rest is reported, by file and
 * offset.
 *
 * A pass goes through the files in the order of their numbers and leaves out those that were made
 * after it began. Where it stands is kept in the file SCRUB (format.h), so that it goes on after a
 * restart. */
#ifndef VARVE_STORE_SCRUB_H
#define VARVE_STORE_SCRUB_H

#include "store/tree.h"

struct scrub {
    struct tree *tree;
    pthread_mutex_t lock;           /* held during a step, and to look at or change what is below */
    struct scrub_state at;          /* [lock] */
    bool wanted;                    /* atomic: a pass is to go on; changed under `lock` */
    bool changed;                   /* [lock] since it was saved */
    uint64_t next_ns;               /* [lock] monotonic: not before */
    uint64_t saved_ns, saved_bytes; /* [lock] when it was saved last, and at how many bytes */
    store_finding_fn *fn;           /* [lock] told of damage, besides the log; may be NULL */
    void *fn_ctx;
};

/* Reads SCRUB: a pass that was not ended goes on. */
void scrub_init(struct scrub *s, struct tree *t);
/* Saves where it stands, unless the store is read-only. */
void scrub_release(struct scrub *s);
/* Begins a pass, if none is under way. */
void scrub_start(struct scrub *s);
/* No further steps; what was done is kept, and scrub_start() goes on from there. */
void scrub_stop(struct scrub *s);
/* Is there anything to be done now? No lock. */
bool scrub_wanted(const struct scrub *s);
/* Reads about 1 MiB. 0 when it did something, 1 when there is nothing to do, or not yet (`rate`:
 * bytes a second, 0: as fast as it goes), or an error. */
int scrub_step(struct scrub *s, uint64_t rate);
void scrub_get(struct scrub *s, struct store_scrub_status *out);

#endif
