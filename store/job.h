/* job: what a flush and a compaction have in common: a reduced stream, written out as tables and
 * blob files, with the garbage it leaves behind counted into the edit. */
#ifndef VARVE_STORE_JOB_H
#define VARVE_STORE_JOB_H

#include "store/build.h"
#include "store/reduce.h"
#include "store/relocate.h"
#include "store/tree.h"

/* An output table ends when it has come over so many full tables of the level below: so no later
 * job that takes it down has much more to rewrite than that. */
enum { JOB_BELOW_TABLES = 10 };
/* A compaction does not take the last of the space: this part of the reserve is for the log, and
 * for flushes. */
enum { JOB_RESERVE_PART = 4 };

/* Someone who is asked now and then whether the job should go on, in the job's thread. Nonzero: it
 * ends with -EINTR. */
struct job_watch {
    int (*fn)(void *ctx);
    void *ctx;
};

struct job {
    struct tree *tree;
    struct edit edit; /* the caller adds what is removed, and installs it */
    int output_level;
    uint64_t flush_bytes;   /* a flush: of the memtables, with so many entries in them, of which */
    uint64_t flush_entries; /* so many are done */
    uint64_t flush_done;
    uint64_t table_bytes;    /* of an output table; 0: one table */
    bool is_compaction;      /* it ends early when the store closes, and leaves space to others */
    struct settings *set;    /* the whole job goes by these (a reference) */
    struct view *view;       /* where blob files are found (a reference) */
    struct version *version; /* of the view; its deeper levels may hold older data */
    struct tree_readers readers;
    struct reduce *reduce;
    struct build *build;
    struct relocate *relocate;     /* owned; NULL: values stay where they are */
    const struct job_watch *watch; /* NULL: nobody */
    const bool *stop;              /* atomic: another part of the job failed; NULL: it has none */
    struct slice first, limit;     /* only entries with these keys (empty: no bound); borrowed */
    struct buf last_key;           /* of the entry before, if there is a filter (store.h) */
    struct codec_dict *dict;       /* a reference: for the blocks of its tables; NULL: none */
    struct squad_feeling feeling;
    bool warm;     /* the entry that was read last came out of the cache (iter.h) */
    bool all_warm; /* whatever is written is to go to the cache */
    bool keys_seen;
    uint32_t below;       /* tables under the output level that end at or before the last key */
    uint64_t below_bytes; /* of those that the open output table reaches over */
    uint64_t written_table, written_blob;
    uint64_t throttled_bytes; /* of build_bytes(): that throttle_take() was told of */
};

/* Takes the view and then the readers (see job.c): the inputs are of this view, or older. */
void job_init(struct job *j, struct tree *t, int output_level);
void job_release(struct job *j);
/* Reduces `input` (taken over) and `dels` (borrowed) into files named in j->edit. On failure no
 * file is left: -ECANCELED when the store closes or has failed, or another error. */
int job_run(struct job *j, struct iter *input, struct rangedel *dels);
/* What is the same for everybody who writes tables and blob files of this store; the rest is zero.
 */
void job_build_options(const struct tree *t, const struct settings *settings,
                       struct build_options *out);
/* The reference belongs to nobody once the job is installed: counts it as garbage. */
void job_drop_blob(void *job, struct slice encoded_ref);
/* The job drops something that reads below `seq` would have seen: from there on only what is pinned
 * can be compared with the present (struct version's history_seq). */
void job_lose_history(struct job *j, uint64_t seq);
/* After tree_install() failed with `err`: removes the files that job_run() made, unless the edit
 * may be on disk after all (a failed manifest): then they stay for the next open to decide. */
void job_rollback(struct job *j, int err);

#endif
