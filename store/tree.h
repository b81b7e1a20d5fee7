/* tree: the state that an open store's modules share, and the few functions that change it: taking
 * file numbers, sealing memtables, installing edits, failing.
 *
 * Lock order (outer first): pins > commit queue > install > lock > memtable's and cache's own.
 * Readers take none.
 *
 *   pins          making, renaming and deleting durable snapshots             (store_pin.c)
 *   commit queue  one leader at a time: log, active blob file, rotation       (commit.c)
 *   install       the manifest, and the version part of the view              (tree_install)
 *   lock          everything marked [lock]; guards viewbox_set(); short, nothing is read or
 *                 written under it
 */
#ifndef VARVE_STORE_TREE_H
#define VARVE_STORE_TREE_H

#include <pthread.h>

#include "store/care.h"
#include "store/compact_pick.h"
#include "store/counters.h"
#include "store/dicts.h"
#include "store/events.h"
#include "store/keyslots.h"
#include "store/manifest.h"
#include "store/parity.h"
#include "store/press.h"
#include "store/purge.h"
#include "store/settings.h"
#include "store/view.h"

/* Counters for store_get_stats(); atomic, relaxed. */
struct tree_counters {
    uint64_t flushes, compactions;
    uint64_t slices; /* of the compactions */
    uint64_t written_user, written_log, written_flush, written_compaction, written_blob;
    uint64_t moved_blob; /* of written_blob: values that were moved */
    uint64_t written_parity;
};

/* A kind of background work: flush, compaction or healing. All [lock]. */
struct tree_work {
    bool running;
    int error;         /* of the last job; 0: it went well */
    uint32_t failures; /* since the last that went well */
    uint64_t retry_ns; /* monotonic time before which workers leave it alone; 0: none */
};

struct tree {
    /* constant while open */
    struct env *env; /* &env_with_keys */
    struct env env_with_keys;
    struct keyslots *keys; /* NULL: not encrypted. What may change of it: [install] */
    uint64_t first_file;   /* files with this number and above are of this opening */
    uint64_t rekey_ns;     /* atomic: monotonic time before which rekey_finish() need not look */
    char *dir;
    bool read_only;
    const struct store_filter *filter; /* may be NULL */
    uint8_t uuid[UUID_SIZE];
    struct lineage lineage;
    struct version_source source;
    struct view_context read_ctx;
    struct cache *cache;
    struct values *values;
    uint32_t processors;       /* of the machine */
    struct dicts *dicts;       /* for the tables of the last levels */
    struct squad *squad;       /* workers that have nothing to do help those that write tables */
    struct env_lock *dir_lock; /* NULL when read-only and nobody could hold it */

    /* Recovery has dropped what comes after some damage: all that is left of the logs must be in
     * tables before anything new is acknowledged, or the next recovery would drop that, too. */
    bool history_cut;
    struct viewbox *box;
    struct purge purge;
    struct care care;
    uint64_t published;      /* atomic: readers see seq < published */
    uint64_t next_file;      /* atomic */
    uint32_t level0;         /* atomic: tables of level 0 in the current version */
    uint64_t debt_bytes;     /* atomic: what its deeper levels have over their targets */
    uint64_t sealed_bytes;   /* atomic: memory of the sealed memtables */
    uint64_t log_in_tail;    /* atomic: bytes of the log that only TAIL has */
    uint64_t flush_rate;     /* atomic: bytes of memtables a second, lately; 0: not known */
    uint64_t level0_asked;   /* atomic: COUNT_LEVEL0_ASKED when level 0 went down last */
    uint64_t flush_left;     /* atomic: bytes of memtables the running flush still has to write */
    uint64_t flush_found;    /* point reads that had found something when the last flush began;
                                the flush's own */
    bool space_low;          /* atomic: when a writer looked last there was little for it */
    uint64_t blob_bytes_max; /* of a blob file, whatever is set: a part of the disk's size */
    int64_t expected_bytes;  /* announced by tree_expect_memory(); changed as settings are */
    struct settings_box settings; /* see settings.h: a job takes a snapshot, others read `live` */

    pthread_mutex_t install;
    struct manifest *manifest; /* [install] */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* [lock] a job ended, a memtable was sealed, a failure, closing */
    char *failure;          /* [lock to set; atomic to read] why it is read-only */
    bool closing;           /* [lock to set; atomic to read] */
    uint64_t throttle_ns;   /* [lock] see throttle.c */
    bool flush_wanted;      /* [lock] seal the active memtable at the next occasion */
    struct tree_work flush, compact, heal;
    bool placing; /* [lock] an ingestion chooses levels: no compaction is picked meanwhile */
    /* [lock] inputs of jobs that met damage: they stay busy, so that no job reads them again */
    uint32_t parked_tables;
    const char *slices_told; /* the running compaction's: what was said of slices last, or NULL */
    uint64_t *pending_pins;  /* [lock] sequence numbers of pins that are being made */
    uint32_t pending_pin_count;

    struct tree_counters counters;
    struct counters counts; /* see counters.h */
    struct events *events;  /* NULL: read-only */
};

static inline uint64_t tree_published(const struct tree *t)
{
    return __atomic_load_n(&t->published, __ATOMIC_ACQUIRE);
}
static inline struct parity_options tree_parity(const struct tree *t)
{
    const struct store_options *live = &t->settings.live;
    return (struct parity_options){setting_u32(&live->parity_data),
                                   setting_u32(&live->parity_shards)};
}
/* The largest blob file for a disk, or a limit, of that size: the values of any of them can be
 * moved even when it is full. The least is for those that are too small to care. */
enum { TREE_BLOB_DISK_PART = 64, TREE_BLOB_BYTES_LEAST = 1 << 20 };
static inline uint64_t tree_blob_bytes_for(uint64_t disk_bytes)
{
    uint64_t part = disk_bytes / TREE_BLOB_DISK_PART;
    return part > TREE_BLOB_BYTES_LEAST ? part : TREE_BLOB_BYTES_LEAST;
}
/* The size at which a blob file is ended, by `set`: a job's settings, or the live ones. */
static inline uint64_t tree_blob_bytes(const struct tree *t, const struct store_options *set)
{
    uint64_t bytes = setting_u64(&set->blob_bytes), limit = setting_u64(&set->limit_bytes);
    uint64_t limited = limit ? tree_blob_bytes_for(limit) : UINT64_MAX;
    if (bytes > limited)
        bytes = limited;
    return bytes < t->blob_bytes_max ? bytes : t->blob_bytes_max;
}
static inline uint64_t tree_new_file(struct tree *t)
{
    return __atomic_fetch_add(&t->next_file, 1, __ATOMIC_RELAXED);
}
static inline void tree_count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}
static inline bool tree_closing(const struct tree *t)
{
    return __atomic_load_n(&t->closing, __ATOMIC_ACQUIRE);
}

/* Announces the memory that cache and memtables may take by these settings (NULL: none), in place
 * of what was announced before: pages_expect(). */
void tree_expect_memory(struct tree *t, const struct store_options *o);

/* The locks and the condition. Everything else of `t` is the opener's to fill in. */
void tree_init_locks(struct tree *t);
void tree_destroy_locks(struct tree *t);
/* Sleeps until something changes, but at most `ns` of real time. [lock held] */
void tree_wait(struct tree *t, uint64_t ns);
/* Wakes whoever waits for a change, to look again. [takes lock] */
void tree_wake(struct tree *t);

/* The disk below, or what the setting disk.limit makes of it: no larger than that, and free is what
 * tables, blob files and logs leave of it. What a job is just writing does not count. For who
 * asks on behalf of writers: jobs go by the disk, or a volume over its limit could not be emptied.
 * 0 or a negative errno. */
struct env_space;
int tree_space(const struct tree *t, struct env_space *out);

/* NULL, or why nothing can be written any more. */
const char *tree_failure(const struct tree *t);
/* Makes it so, for good; the first reason stays. Returns -EROFS. */
int tree_fail(struct tree *t, int err, const char *what);

/* All pins in force or in the making, ascending, malloc'd: what a job has to respect. Take them
 * after the view that the inputs are read from: a pin that is made later is above all of these. */
struct tree_readers {
    uint64_t *pins;
    size_t pin_count;
};
void tree_readers_get(struct tree *t, struct tree_readers *r);
void tree_readers_release(struct tree_readers *r);

/* Makes `edit` durable and current, dropping the `flushed` memtables (an array of gens of the
 * current view, may be empty) from the view. On failure the store has failed (-EROFS), or the edit
 * did not fit (-EIO, a fault of ours or damage). `*edit` gets its next_file set. Rotates the
 * manifest when due. */
int tree_install(struct tree *t, struct edit *edit, struct memgen *const *flushed, uint32_t count);

/* Of the volume whose file `number` is, in its header: this one's, or an ancestor's (lineage.h). */
static inline const uint8_t *tree_file_uuid(const struct tree *t, uint64_t number)
{
    return lineage_uuid(&t->lineage, number, t->uuid);
}

/* The number of the manifest in force. */
uint64_t tree_manifest_number(struct tree *t);
/* Starts a new manifest with the present state as its base, since the one in force is damaged.
 * -ENOSPC: it still is in force. After another error the store has failed. */
int tree_renew_manifest(struct tree *t);

/* Makes `first` (a reference, taken over) the current view, of recovery. */
void tree_publish(struct tree *t, struct view *first);
/* Syncs what was written to a file before the call. An error of the sync itself fails the store
 * (-EROFS); a file that cannot be opened (-ENOENT, ...) does not. */
int tree_sync_file(struct tree *t, enum file_kind kind, uint64_t number);
/* Log and blob file of a sealed memtable; nothing to do if they are known to be on disk, or if its
 * contents are in tables. Errors as above. */
int tree_sync_gen(struct tree *t, struct memgen *g);
/* The same of all sealed memtables of `v`, the oldest first. Several threads may do so at once. */
int tree_sync_sealed(struct tree *t, const struct view *v);

/* Puts a new active memtable with a new log in front (the caller is the commit leader, or
 * recovery). */
void tree_push_gen(struct tree *t, struct memgen *g);

#endif
