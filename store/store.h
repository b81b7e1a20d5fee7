/* store: the door of the LSM engine. Bytes in, bytes out; it knows nothing of inodes.
 *
 * Keys are 1 to STORE_KEY_MAX bytes, ordered bytewise; values 0 to STORE_VALUE_MAX bytes.
 *
 * Promise (docs/ARCHITECTURE, "What survives a crash"): after any crash the store is an exact
 * prefix of the acknowledged history, and never a shorter one than the last successful sync. A
 * killed process loses nothing that was acknowledged. Nothing on disk, however damaged, crashes the
 * process or comes back as wrong data: it is -EIO, and the log names file and offset.
 *
 * Unless said otherwise functions are thread-safe and return 0, 1 for absent or end, or a negative
 * errno: -EIO     damage on disk, or the disk fails. After a failed sync the store is read-only for
 * good (store_failure()). -EROFS   opened read-only -ENOSPC  the disk, or the reserve kept for
 * deletes, is used up; nothing was written */
#ifndef VARVE_STORE_STORE_H
#define VARVE_STORE_STORE_H

#include "store/bytes.h"
#include "store/err.h"
#include "store/facts.h"
#include "store/insight.h"
#include "store/timed.h"

struct env;

enum { STORE_KEY_MAX = 65535, STORE_VALUE_MAX = 64 << 20, STORE_NAME_MAX = 255 };
/* A batch's keys and values together; more is -E2BIG. */
#define STORE_BATCH_MAX (UINT64_C(128) << 20)

struct store;
struct store_batch;
struct store_iter;
struct view;

/* Folds partial updates. Both functions get operands oldest first, must be pure functions of their
 * arguments, and may be called from any thread. */
struct store_merge {
    void *ctx;
    /* The value that `operands` make of `base` (NULL: there is none). Appends to `*out`. 0, or -EIO
     * when the bytes are none of the caller's making. */
    int (*full)(void *ctx, struct slice key, const struct slice *base, const struct slice *operands,
                size_t count, struct buf *out);
    /* One operand that does what `operands` do in turn. Appends to `*out`. 0, 1 when they are
     * better left apart, or -EIO. May be NULL. */
    int (*partial)(void *ctx, struct slice key, const struct slice *operands, size_t count,
                   struct buf *out);
};

/* Lets compactions drop what the caller knows to be of no use any more, without its being deleted
 * key by key. */
struct store_filter {
    void *ctx;
    /* Is the value of this key of no use? Asked of a value that no pin sees, and above which the
     * compaction has nothing of the key. `value` is NULL for one in a blob file. What is dropped is
     * gone for all who begin to read then, as if deleted; partial updates of it that come later, or
     * that other levels have, apply to nothing. An answer true must stay true. Called from any
     * thread, and as often as compaction pleases, maybe never. */
    bool (*drop)(void *ctx, struct slice key, const struct slice *value);
};

/* How an opener gets at a passphrase: 1 to STORE_SECRET_MAX bytes of any kind. */
enum { STORE_SECRET_MAX = 1024 };
struct store_secret {
    void *ctx;
    /* Called at most once by each function that is given it, and only if the store is encrypted, or
     * is to be. Puts the passphrase at `out`, which is wiped when it has been used. 0, or a
     * negative errno that ends the function and is returned by it. */
    int (*get)(void *ctx, uint8_t out[STORE_SECRET_MAX], size_t *len);
    bool required; /* a store that is not encrypted is refused (-EMEDIUMTYPE) */
};

/* What opening does about logs that cannot be replayed to their end. */
enum store_recovery {
    /* The end of a log that was not synced may be torn: history ends there, as a power cut leaves
     * it. What had been synced and does not verify is damage: -EIO. */
    STORE_RECOVER_TAIL,
    /* Nothing may be missing: a torn end is -EIO, too. */
    STORE_RECOVER_STRICT,
    /* History ends at the first damage; all operations after it are dropped, later logs included.
     */
    STORE_RECOVER_POINT,
};

/* Which part of a key is a prefix that scans go by (of a file system: one folder's names), so that
 * filters know it as well. The keys that begin with a key's prefix have just that prefix. */
struct store_prefix {
    uint64_t id;                     /* not 0; of this rule and no other, ever */
    size_t (*len)(struct slice key); /* of the key's prefix; 0: it has none. A pure function */
};

/* Of what class the value of a key is, for settings that go by that (compression.class0 and so on);
 * or that it is to be compressed at one level of zstd, whatever is set. */
enum { STORE_CLASSES = 4, STORE_CLASS_ZSTD = STORE_CLASSES, STORE_ZSTD_LEVELS = 20 };
struct store_classes {
    /* Below STORE_CLASSES, or STORE_CLASS_ZSTD + the level, 0 (none) to 19. It may change what it
     * says of a key; then that is for what is written from then on. Called by any thread, and
     * often. */
    uint32_t (*of)(void *ctx, struct slice key);
    void *ctx;
    /* Which values are from before of() said what it says now, for keys with a level of their own.
     * Those in blob files with numbers below since() are compressed anew when a compaction comes
     * by, and some come for that alone; 0: none are. since_in(): the largest for any key in [start,
     * limit); empty slices: for any. NULL, both: nothing is compressed anew. */
    uint64_t (*since)(void *ctx, struct slice key);
    uint64_t (*since_in)(void *ctx, struct slice start, struct slice limit);
};

struct store_options {
    struct env *env;                   /* NULL: the real system */
    bool read_only;                    /* creates, changes and deletes nothing */
    const struct store_secret *secret; /* NULL: there is none, and a new store is not encrypted */
    uint32_t scrypt_log_n; /* what a guess at a passphrase that is set costs: 128 * 8 * 2^this bytes
                              of memory; 10 to 20; default 17 */
    const struct store_merge
        *merge; /* lives as long as the store; NULL: a batch with a merge is refused (-EINVAL) */
    const struct store_filter *filter; /* lives as long as the store; NULL: all is kept */
    enum store_recovery recovery;      /* default STORE_RECOVER_TAIL */
    /* Settings: each has a name by which it can be changed (below). */
    uint64_t memtable_bytes; /* a memtable is sealed at this size; default 16 MiB */
    uint32_t
        memtables_max;     /* unflushed ones, the active included; writers wait beyond; default 4 */
    uint64_t cache_bytes;  /* decoded blocks and values; default 64 MiB */
    uint32_t block_bytes;  /* default 8 KiB */
    uint64_t table_bytes;  /* aim of a compaction's output table; default 64 MiB */
    uint64_t blob_bytes;   /* a blob file is sealed at this size, or at a 64th of the disk (1 MiB at
                              least); default 256 MiB */
    uint32_t separate_min; /* values from this size on go to blob files at flush; default 2 KiB */
    uint32_t direct_min;   /* values from this size on go there at commit; default 16 KiB */
    /* Values are moved out of blob files by compaction (docs/OPERATIONS.md, "Blob files"): of a
     * file that is garbage to this part, by any compaction that meets them (default 50; half of it
     * for the oldest blob_age_percent of the files, default 25); and by compactions of their own
     * when more than this part of all blob bytes is garbage (default 25). 1 to 100. */
    uint32_t blob_stale_percent, blob_age_percent, blob_garbage_percent;
    int zstd_level;         /* 0: no compression; default 1 */
    int log_zstd;           /* of what is written to the log at once, if it has at least */
    uint32_t log_row_bytes; /* so many bytes; defaults 1 and 16 KiB */
    /* Where another level is set it goes before that: 1 + the level; 0, the default: none is. For
     * tables by their level in the tree, and for classes of keys, which go before that. */
    uint32_t level_zstd[STORE_LEVELS], class_zstd[STORE_CLASSES];
    /* Tables of the last levels get a dictionary of up to `dict_bytes` (0: none; default 16 KiB) if
     * it saves so many percent (default 2) of what their blocks take without. */
    uint32_t dict_bytes, dict_gain_percent;
    uint32_t helpers; /* workers with nothing to do that help those that write tables; default 1 */
    const struct store_classes *classes; /* lives as long as the store; NULL: all are of class 0 */
    uint32_t filter_one_in; /* filters' rate of false positives is one in this many; default 100; 0:
                               no filters */
    uint32_t filter_bottom; /* 0: tables of the last level have no filters, as for stores whose
                               reads mostly find something; default 1 */
    uint32_t filter_whole_keys; /* a filter over more keys is kept in parts, in the cache; default
                                   1 Mi */
    uint32_t index_whole_bytes; /* a larger index of a table is kept in parts, in the cache; default
                                   512 KiB */
    const struct store_prefix *prefix; /* lives as long as the store; NULL: none */
    /* Level 0 is compacted when it has so many tables (default 24), or twice the bytes of the level
     * below; earlier if reads pay for it. Writers are slowed down more and more from one and a
     * half times as many on, and wait at three times. */
    uint32_t level0_tables;
    uint32_t workers; /* background threads, beside one that only flushes; 0: there are none,
                         and the caller pulls store_work(); default 2 */
    uint64_t background_rate; /* bytes a second that compactions and healing write at most, unless
                                 writers wait for them; 0, the default: no limit */
    uint64_t commit_ns; /* what was written is synced when it is so old, though nobody asks; 0: only
                           when somebody does; default 5 s */
    uint64_t limit_bytes; /* that the store takes on disk, as if there were no more; 0: no limit */
    uint64_t reserve_bytes; /* disk space that only STORE_RESERVE writes may use; default 64 MiB */
    uint64_t idle_flush_ns; /* a memtable that holds range tombstones is flushed when this old;
                               default 10 s */
    uint32_t entry_sums; /* 1: entries carry a checksum on their way through memory (docs/decisions/
                            0039); default 0 */
    uint64_t events_bytes; /* of the event log, EVENTS; 0: there is none; default 1 MiB */
    /* Reed-Solomon parity of table and blob files: `parity_shards` (up to 32; 0, the default: none)
     * for each `parity_data` (1 to 128, default 32) shards of 4 KiB. Takes parity_shards /
     * parity_data of their size. */
    uint32_t parity_data, parity_shards;
    uint64_t scrub_rate;     /* bytes a second that a scrub reads at most; 0: no limit; default
                                32 MiB */
    uint64_t scrub_every_ns; /* a scrub begins by itself when the last one ended so long ago;
                                0, the default: only when asked for */
};

/* All defaults. */
void store_options_init(struct store_options *o);

/* Makes an empty store in folder `dir`, durably. The folder is made if it does not exist (its
 * parent must); otherwise it must be empty
 * (-ENOTEMPTY). With o->secret it is encrypted. */
int store_create(const char *dir, const struct store_options *o);
/* Recovers and opens. Besides the above: -ENOENT when `dir` holds no store (no CURRENT), -EUCLEAN
 * when it is a checkpoint that is not finished, -EAGAIN when it is open elsewhere (any number may
 * have it open read-only), -EPROTONOSUPPORT when a newer program made it (the log says what is
 * unknown). Of an encrypted store: -ENOKEY when o->secret is NULL, -EKEYREJECTED when the
 * passphrase is wrong; keys that are damaged, missing or tampered with are -EIO, raised by
 * corrupt(). */
int store_open(const char *dir, const struct store_options *o, struct store **out);
/* Ends the background work, syncs the log, and frees. No reads or iterators may be left. Returns
 * the sync's result; the store is freed in any case. */
int store_close(struct store *s);

/* The 16 bytes that tell this store from all others. */
void store_uuid(const struct store *s, uint8_t out[16]);
/* The store's clock: nanoseconds since 1970 (UTC), and ones that never go back. */
int64_t store_realtime(const struct store *s);
uint64_t store_monotonic(const struct store *s);

/* ---- settings ---- */

/* Everything in struct store_options that does not say how the store is opened has a name, a range
 * and a default, and can be changed while it is open; jobs that run go on with what they began
 * with. A change lasts until the store is closed. */
enum store_setting_kind {
    STORE_SETTING_BYTES,    /* written as 4096, 64K, 32M, 1G, 1T; shown in full */
    STORE_SETTING_COUNT,    /* 4 */
    STORE_SETTING_PERCENT,  /* 25% or 25 */
    STORE_SETTING_DURATION, /* 10s; units ns, us, ms, s, m, h; the value is in nanoseconds */
    STORE_SETTING_CHOICE,   /* one of a few words; the value is its place among them */
};
enum {
    STORE_MESSAGE_MAX = 256,
    STORE_SETTING_TEXT_MAX = 32,
    STORE_RANGE_TEXT_MAX = 128,
    STORE_WORKERS_MAX = 64,
};

struct store_setting {
    const char *name, *help; /* constants; help is one sentence without a full stop */
    enum store_setting_kind kind;
    bool live; /* can change while the store is open */
    uint64_t value, min, max, preset;
    /* The same in words; the first two as store_set() takes them. */
    char text[STORE_SETTING_TEXT_MAX], preset_text[STORE_SETTING_TEXT_MAX];
    char range_text[STORE_RANGE_TEXT_MAX];
};
typedef int store_setting_fn(void *ctx, const struct store_setting *setting); /* nonzero: stop */

/* Before a store is opened. -ENOENT: there is no such setting; -EINVAL: no value of its kind;
 * -ERANGE: outside its range. Then `message` says what is wrong and what would be right; otherwise
 * it is "". */
int store_options_set(struct store_options *o, const char *name, const char *value,
                      char message[STORE_MESSAGE_MAX]);
/* In the order of their names. Returns what `fn` returned last. */
int store_options_list(const struct store_options *o, store_setting_fn *fn, void *ctx);

/* While it is open: takes effect at once. Besides the above: -EPERM for one that is fixed while
 * the store is open (as is `workers` of a store that was opened with none). */
int store_set(struct store *s, const char *name, const char *value,
              char message[STORE_MESSAGE_MAX]);
/* 0, or 1: there is no such setting. */
int store_get_setting(struct store *s, const char *name, struct store_setting *out);
int store_list_settings(struct store *s, store_setting_fn *fn, void *ctx);
/* Tells how much memory the caller takes for what it must keep: bytes, in place of what was told
 * before. The cache takes so much less than `cache.bytes`, but half of that at least. */
void store_lend_memory(struct store *s, uint64_t bytes);

/* ---- writing ---- */

/* A batch collects operations that become visible, and durable, at once. For one thread; reusable.
 */
struct store_batch *store_batch_new(struct store *s);
void store_batch_free(struct store_batch *b); /* NULL is fine */
void store_batch_clear(struct store_batch *b);
/* All copy. Later operations of a batch win over earlier ones. Values of `direct_min` bytes and
 * more are compressed here, in the caller's thread. */
void store_batch_put(struct store_batch *b, struct slice key, struct slice value);
void store_batch_delete(struct store_batch *b, struct slice key);
void store_batch_merge(struct store_batch *b, struct slice key, struct slice operand);
/* Deletes start <= key < end. An empty interval is ignored. */
void store_batch_delete_range(struct store_batch *b, struct slice start, struct slice end);
uint32_t store_batch_count(const struct store_batch *b);
uint64_t store_batch_bytes(const struct store_batch *b);

enum store_write_flags {
    STORE_SYNC = 1,    /* return only once it would survive a power cut */
    STORE_RESERVE = 2, /* may use the reserve: for batches that free space */
};
/* Applies the batch (which stays the caller's). An empty one with STORE_SYNC is store_sync(). */
int store_write(struct store *s, struct store_batch *b, int flags);
/* Everything acknowledged so far would survive a power cut. */
int store_sync(struct store *s);

/* What left at once. */
struct store_dropped {
    uint64_t tables, table_bytes, value_bytes; /* values in blob files: these are garbage now */
};
/* Deletes start <= key < limit (an empty interval is ignored), as a batch with STORE_RESERVE and
 * STORE_SYNC would, and gives the space of whole tables back at once, without reading them: of
 * those that lie within, and of which no pin sees anything. Compaction brings the rest. What was
 * dropped is no history: see store_since_new(). Works on a full disk. */
int store_drop_range(struct store *s, struct slice start, struct slice limit,
                     struct store_dropped *out);

/* ---- reading ---- */

/* One consistent view: everything published before store_read_begin(), or exactly what a pin holds.
 * Cheap; for one thread at a time; holds memory and files back while it lasts. */
struct store_read {
    struct store *store;
    struct view *view;
    uint64_t seq;
};
void store_read_begin(struct store *s, struct store_read *r);
/* At a pin's sequence number (struct store_pin). The caller makes sure that the pin exists while it
 * reads. */
void store_read_begin_at(struct store *s, uint64_t seq, struct store_read *r);
void store_read_end(struct store_read *r);

/* A value that was read. Zero-initialise before the first use; store_get() reuses it; release at
 * the end. */
struct store_value {
    struct slice data;
    struct buf own;
    void *pin, *pin_owner; /* the store's own, as is the view */
    struct view *view;
};
void store_value_release(struct store_value *v);

/* 0 with v->data until the value is reused or released (it must be before the read ends), or 1. */
int store_get(const struct store_read *r, struct slice key, struct store_value *v);
/* The same for a reader that wants the value in `into`, which has `room` bytes, and is likely to
 * keep it: v->data is there if it was decoded there, past the cache, as large values are the first
 * time; otherwise it is as store_get() leaves it, and the caller copies. `into` may have been
 * written to in either case. */
int store_get_into(const struct store_read *r, struct slice key, void *into, size_t room,
                   struct store_value *v);
/* store_get() for a reader that cannot wait: v->data lives until the value is reused or released,
 * also when the read has ended, but not beyond store_close(). It lies in the cache, without a copy,
 * if it came from a block there; a small one from a memtable is copied; a larger one keeps the
 * read's view alive, which holds memory and files back. Any thread may release it. */
int store_get_pinned(const struct store_read *r, struct slice key, struct store_value *v);
/* store_get() of many keys, in any order: results[i] and values[i] are those of keys[i]. Faster
 * than one after the other: keys that the memtables do not settle are sorted, and go through the
 * tables together. The values are each to be initialised and released as for store_get(). */
void store_multi_get(const struct store_read *r, const struct slice *keys, size_t count,
                     struct store_value *values, int *results);
/* 0 when the key exists, 1 when not. Never touches a blob file. */
int store_has(const struct store_read *r, struct slice key);

/* A cursor over [lower, upper) (an empty slice: no bound), both copied. It holds its own view: it
 * may outlive `r`. It stands nowhere until moved. Moves return 0 (it stands on a key), 1 (off the
 * end) or an error. */
struct store_iter *store_iter_new(const struct store_read *r, struct slice lower,
                                  struct slice upper);
/* Over the keys that begin with `prefix`. */
struct store_iter *store_iter_new_prefix(const struct store_read *r, struct slice prefix);
void store_iter_free(struct store_iter *it); /* NULL is fine */
int store_iter_first(struct store_iter *it);
int store_iter_last(struct store_iter *it);
int store_iter_seek(struct store_iter *it, struct slice key);          /* first key >= key */
int store_iter_seek_for_prev(struct store_iter *it, struct slice key); /* last key <= key */
int store_iter_next(struct store_iter *it);
int store_iter_prev(struct store_iter *it);
/* Of the key it stands on; live until the next move. The value is fetched here, not by the move. */
struct slice store_iter_key(const struct store_iter *it);
int store_iter_value(struct store_iter *it, struct slice *value);
/* The length of that value, never touching a blob file: 0, or 1 if only folding operands could
 * tell. */
int store_iter_value_len(const struct store_iter *it, uint64_t *len);
/* The key that store_iter_next() would come to, without going there: 0, or 1 when there is none.
 * The cursor stays where it is; `*key` lives until the next move. After an error it stands nowhere.
 */
int store_iter_peek(struct store_iter *it, struct slice *key);

/* One of many intervals [start, end) (an empty end: no bound); `limit` entries of it at most, 0:
 * all.
 */
struct store_interval {
    struct slice start, end;
    uint64_t limit;
};
enum store_scan_flags { STORE_SCAN_KEYS = 1 /* values are not fetched: they are given empty */ };
/* An entry of intervals[index]; the slices live during the call. Nonzero ends the scan. */
typedef int store_scan_fn(void *ctx, size_t index, struct slice key, struct slice value);
/* Scans many intervals, which may overlap, with one cursor: intervals in the order of their starts
 * (of equal ones, as given), keys ascending in each. Returns 0, what `fn` returned, or an error. */
int store_scan_many(const struct store_read *r, const struct store_interval *intervals,
                    size_t count, int flags, store_scan_fn *fn, void *ctx);

/* ---- durable snapshots ---- */

struct store_pin {
    uint64_t seq;       /* for store_read_begin_at() */
    uint64_t tag;       /* as given */
    int64_t created_ns; /* realtime */
    const char *name;   /* in store_pin_list(): valid during the call */
};
/* Pins the present state under `name` (1 to STORE_NAME_MAX bytes), durably. -EEXIST, -ENAMETOOLONG,
 * -EINVAL. `*pin` is filled in but for `name`. */
int store_pin_create(struct store *s, const char *name, uint64_t tag, struct store_pin *pin);
int store_pin_delete(struct store *s, const char *name);                 /* 1: there is none */
int store_pin_rename(struct store *s, const char *from, const char *to); /* 1, -EEXIST */
/* In order of age. Nonzero from `fn` ends it and is returned. */
typedef int store_pin_fn(void *ctx, const struct store_pin *pin);
int store_pin_list(struct store *s, store_pin_fn *fn, void *ctx);

/* Deletes at once all pins with that tag that were made before `before_ns`. What they held is
 * dropped in the course of things, not soon. `*count`: how many. */
int store_pin_expire(struct store *s, uint64_t tag, int64_t before_ns, uint64_t *count);

/* What only this pin holds: compaction drops just that once it is deleted (and pins that are
 * deleted besides may free more than the sum). Entries in tables are counted as they are before
 * compression, which is more than they take; values in blob files to the byte. */
struct store_pin_space {
    uint64_t value_bytes; /* in blob files */
    uint64_t entry_bytes; /* keys, and what is not in blob files */
    uint64_t entries;
};
/* Costs what was changed between the pin and the next one. 0, 1 when there is no such pin, or an
 * error. */
int store_pin_space(struct store *s, const char *name, struct store_pin_space *out);

/* ---- bulk ingestion ---- */

/* Many keys at once, in ascending order, written straight into tables: neither log nor memtable has
 * them. Until store_ingest_finish() nobody sees anything of it; then all of it is there at once,
 * durably: newer than everything that was written before that call, older than what comes after.
 * For one thread; other writers go on meanwhile, but for a short moment at the end. */
struct store_ingest;
struct store_ingest *store_ingest_new(struct store *s);
/* -EINVAL: the key is not above the one before, or sizes are out of bounds; it is as if it had not
 * been given. -ENOSPC or another error, which from then on every call returns. */
int store_ingest_put(struct store_ingest *g, struct slice key, struct slice value);
/* As store_ingest_put(): what is older of that key is deleted. */
int store_ingest_delete(struct store_ingest *g, struct slice key);
/* Once, as the last call but store_ingest_free(). With it, as with everything that it makes
 * durable, all that was acknowledged before. On failure nothing of it is there. 0 for no keys at
 * all. */
int store_ingest_finish(struct store_ingest *g);
/* The same, and at once with it a pin of just what is there then, with pin->name, tag and
 * created_ns as given: all of that, or nothing. pin->seq is filled in. -EEXIST. At least one key
 * was given. */
int store_ingest_finish_pinned(struct store_ingest *g, struct store_pin *pin);
/* Removes what was written, if it was not finished. Before the store is closed. NULL is fine. */
void store_ingest_free(struct store_ingest *g);

/* ---- what has changed ---- */

/* The difference between the state at `from_seq` and what `r` reads, from r's view, in the order of
 * keys. It costs what was changed between the two, not what the store holds.
 *
 * Whether it can be told: `from_seq` has to be the number of a pin that exists when `r` begins, or
 * at most 1 (before everything), or one from which on flushes and compactions have not yet dropped
 * or folded anything. Otherwise that past is gone: -ESTALE. -EINVAL: it is above r->seq. */
enum store_change_kind {
    STORE_CHANGE_NONE,
    STORE_CHANGE_CREATED, /* `key` was not there, and is */
    STORE_CHANGE_CHANGED, /* it was and is there, and was written in between; the value may be the
                             same */
    STORE_CHANGE_REMOVED, /* it was there, and is not */
    STORE_CHANGE_RANGE,   /* what was there from `key` up to `end` was deleted; of those keys, each
                             that is there now follows as a change of its own */
};
struct store_change {
    enum store_change_kind kind;
    struct slice key, end; /* live until the next call */
};
enum store_since_flags {
    STORE_SINCE_KEYS = 1, /* no ranges: each key of them is told as removed, which costs as much */
};
struct store_since;
/* Over keys in [lower, upper) (an empty slice: no bound), both copied. It may outlive `r`, whose
 * pin must exist as long as `r` lasts. */
int store_since_new(const struct store_read *r, uint64_t from_seq, struct slice lower,
                    struct slice upper, int flags, struct store_since **out);
void store_since_free(struct store_since *s); /* NULL is fine */
/* The next change: 0, 1 at the end, or an error. */
int store_since_next(struct store_since *s, struct store_change *change);
enum store_side { STORE_BEFORE, STORE_AFTER };
/* The value of the key told last, before or after. 0, 1 when it was not there, or an error. Lives
 * until the next call. */
int store_since_value(struct store_since *s, enum store_side side, struct slice *value);
/* What it took so far. */
struct store_effort {
    uint64_t tables_read, tables_skipped, blocks_read, blocks_skipped;
};
void store_since_effort(const struct store_since *s, struct store_effort *out);

/* ---- checkpoints ---- */

struct store_checkpoint {
    uint64_t seq;     /* it holds the operations below this number, and none from there on */
    uint8_t uuid[16]; /* its own */
    uint64_t linked_files, copied_files, copied_bytes;
};
/* Makes folder `dir` (which is made, or must be empty) a store of its own, durably, while this one
 * goes on: with all that was acknowledged before the call and all pins (`pin` NULL), or what `pin`
 * holds, with the pins up to it; it can be opened for reading and writing. Files are linked where
 * that is possible and copied where not; neither store ever writes to what both have. 1: there is
 * no such pin; -ENOTEMPTY; or an error, after which nothing is left, or a folder that store_open()
 * refuses. */
int store_checkpoint(struct store *s, const char *dir, const char *pin,
                     struct store_checkpoint *out);

/* Goes back to a pin at once, whatever has happened since: all that came after it is gone, later
 * pins too; with no way back. For a store that was opened with `workers` 0 (otherwise -EBUSY), as
 * the last call but store_close(); it is so from the next opening on. 1: there is no such pin. */
int store_rewind(struct store *s, const char *pin);

/* ---- background work ---- */

/* Does one bounded step (a flush or a compaction). 0 when it did something, 1 when there was
 * nothing to do. Only with `workers` 0. */
int store_work(struct store *s);
/* Seals the memtable and returns once all is in tables. */
int store_flush(struct store *s);
/* Brings [start, limit) (empty slices: everything) down to the bottom level, dropping what nobody
 * can see. */
int store_compact(struct store *s, struct slice start, struct slice limit);
struct store_compaction {
    uint64_t jobs, done_bytes; /* that ended, and what they read */
    uint64_t total_bytes;      /* about what there is to do in all; never less than done_bytes */
};
/* The same, told how far it is: `fn` is called in this thread, now and then, also within a job
 * and while a job of the workers has to end first. When it returns nonzero the job is given up,
 * nothing of it remains, and this returns -EINTR; what was done before stays done. */
typedef int store_compaction_fn(void *ctx, const struct store_compaction *c);
int store_compact_watched(struct store *s, struct slice start, struct slice limit,
                          store_compaction_fn *fn, void *ctx);
/* NULL, or what made the store read-only. */
const char *store_failure(struct store *s);

enum store_space_state {
    STORE_SPACE_HEALTHY,
    STORE_SPACE_TIGHT, /* the largest compaction that may come up does not fit; smaller ones go on
                        */
    STORE_SPACE_FULL, /* writes fail with -ENOSPC; those with STORE_RESERVE, flushes and compactions
                         that fit go on */
};
/* "healthy", "tight", "full" */
const char *store_space_state_name(enum store_space_state state);

struct store_stats {
    uint64_t seq; /* operations ever */
    uint64_t memtable_bytes, sealed_memtables;
    uint64_t log_bytes;
    uint32_t level_tables[STORE_LEVELS];
    uint64_t level_bytes[STORE_LEVELS];
    uint64_t table_entries, table_rangedels;
    uint64_t blob_files, blob_bytes, blob_garbage_bytes;
    uint64_t cache_bytes, cache_hits, cache_misses;
    uint64_t memory_used_bytes; /* of the process: memtables and cache, and what is on its way */
    uint64_t memory_free_bytes; /* kept to be used again for these */
    uint64_t pins;
    uint64_t flushes, compactions;
    uint64_t compaction_slices; /* of these: parts of one that was too large for what was free */
    uint64_t bytes_punched;     /* given back to the disk between such parts, by holes in files */
    uint64_t bytes_written_user, bytes_written_log, bytes_written_flush, bytes_written_compaction,
        bytes_written_blob;
    uint64_t
        bytes_moved_blob; /* of these: values moved out of blob files that were mostly garbage */
    uint64_t bytes_written_parity;
    uint64_t repairs;       /* frames that were damaged and were rebuilt from parity */
    uint64_t files_to_heal; /* in which there were any, and that were not rewritten yet */
    uint64_t files_healed;
    uint64_t blob_reads;
    uint64_t stall_ns, stall_ns_max; /* as in struct store_insight */
    uint64_t disk_total_bytes, disk_free_bytes;
    uint64_t disk_usable_bytes;      /* free without the reserve, and what compactions may need */
    uint64_t space_used_bytes;       /* logs, tables and blob files */
    uint64_t space_garbage_bytes;    /* known to be of no use: in blob files, and in tables for pins
                                        that are gone */
    uint64_t space_live_bytes;       /* the rest of tables and blob files */
    uint64_t space_reserve_bytes;    /* the setting disk.reserve */
    uint64_t space_compaction_bytes; /* what the largest compaction that may come up takes before it
                                        gives anything back, with what is left to logs meanwhile */
    enum store_space_state space_state;
    /* Of an encrypted store; otherwise all 0. */
    uint32_t key_epoch;       /* the generation of the key that new files are encrypted with */
    uint32_t key_generations; /* that there are; 1: nothing is left of older ones */
    uint64_t old_key_files, old_key_bytes; /* what is left of older ones, as far as it is known;
                                              linear in tables and blob files while any is */
};
/* No file that is there has this number or a higher one; those that will be made do. For
 * store_classes.since. */
uint64_t store_next_file(const struct store *s);
int store_get_stats(struct store *s, struct store_stats *out);
/* How it has fared since it was opened: insight.h. */
void store_get_insight(struct store *s, struct store_insight *out);

/* ---- keys: of an encrypted store that is not open ----
 *
 * Up to STORE_KEY_SLOTS passphrases open a store; each has a slot. Data is encrypted under a master
 * key, of which there is a new generation each time that store_keys_rotate() starts one; then
 * compaction carries the old data over, and store_stats tells what is left. All take o->env,
 * o->secret (a passphrase that opens the store) and o->scrypt_log_n. Errors as store_open() has
 * them; 1 when the store is not encrypted. */
enum { STORE_KEY_SLOTS = 8, STORE_KEY_LABEL_MAX = 47, STORE_KEY_GENERATIONS_MAX = 16 };
struct store_key_slot {
    uint32_t number;
    int64_t made_ns;
    char label[STORE_KEY_LABEL_MAX + 1];
    uint32_t scrypt_log_n, scrypt_r, scrypt_p;
};
struct store_keys {
    struct store_key_slot slots[STORE_KEY_SLOTS]; /* those in use, ascending */
    uint32_t slot_count;
    uint32_t generations; /* more than one: data is being carried over */
};
/* Needs no passphrase, and may be called while the store is open somewhere. */
int store_keys_get(const char *dir, const struct store_options *o, struct store_keys *out);
/* Adds a passphrase, in the first free slot: -ENOSPC when there is none. `label` is for people, at
 * most STORE_KEY_LABEL_MAX bytes (-EINVAL). */
int store_keys_add(const char *dir, const struct store_options *o, const struct store_secret *added,
                   const char *label, uint32_t *slot);
/* Replaces the passphrase that o->secret gave. */
int store_keys_change(const char *dir, const struct store_options *o,
                      const struct store_secret *now, uint32_t *slot);
/* Takes a passphrase away: -ENOENT when the slot is free, -EBUSY when it is the only one. Who knows
 * it and has a copy of KEYS from before can still decrypt, until the key is rotated. */
int store_keys_remove(const char *dir, const struct store_options *o, uint32_t slot);
/* Starts a new generation. The slots have to be made anew for it, so the other passphrases are
 * needed, too: `other` is called for each slot but the one that o->secret opened, with what is
 * known of it. It puts the passphrase at `out` and returns 0, or returns 1: the slot is given up;
 * or a negative errno, which ends it. (NULL: all others are given up.) -EKEYREJECTED also when one
 * of them is wrong, with the slot in `*slot` (otherwise STORE_KEY_SLOTS); -ENOSPC when there are
 * STORE_KEY_GENERATIONS_MAX already. */
typedef int store_keys_other_fn(void *ctx, const struct store_key_slot *slot,
                                uint8_t out[STORE_SECRET_MAX], size_t *len);
int store_keys_rotate(const char *dir, const struct store_options *o, store_keys_other_fn *other,
                      void *ctx, uint32_t *slot);

/* ---- looking inside ---- */

struct store_dump_options {
    struct slice from, to; /* entries with from <= key < to; empty: no bound */
    uint64_t limit;        /* show no more entries, tombstones and values than this; 0: all */
    bool entries;          /* show them */
    bool blocks;           /* show blocks and the index of tables */
};
/* Shows file `name` of the store in `dir` (NULL: the manifest in force), as far as it can be read;
 * damage is an item. Locks and changes nothing: the store may be open elsewhere. Uses env and
 * secret of `o`; without its keys the frames of an encrypted file are only verified. -EINVAL: not
 * the name of a file that can be shown; or what reading it gives. Otherwise what `fn` returned
 * last. */
int store_dump(const char *dir, const struct store_options *o, const char *name,
               const struct store_dump_options *opt, store_item_fn *fn, void *ctx);
/* Shows every version of `key` that the open store still has, with where it is, and the range
 * tombstones over it: newest source first. */
int store_dump_key(struct store *s, struct slice key, const struct store_dump_options *opt,
                   store_item_fn *fn, void *ctx);

/* The lines of the event log of the store in `dir`, oldest first; keys in them are "raw:" and
 * hexadecimal digits. Needs nothing but `env` of `o`; the store may be open elsewhere. */
typedef int store_line_fn(void *ctx, const char *line); /* nonzero: stop */
int store_events(const char *dir, const struct store_options *o, store_line_fn *fn, void *ctx);

/* ---- verifying ---- */

enum store_severity {
    STORE_NOTE,    /* worth knowing; nothing is wrong (a torn tail after a crash) */
    STORE_WARNING, /* harmless untidiness (a file that nothing names) */
    STORE_DAMAGE,  /* data is lost or wrong */
};
/* Numbers never change their meaning. docs/OPERATIONS.md says of each what it means and what to do.
 */
enum store_finding_code {
    FINDING_CURRENT = 101,       /* CURRENT is missing or damaged */
    FINDING_MANIFEST = 102,      /* the manifest is missing or damaged */
    FINDING_MANIFEST_TAIL = 103, /* the manifest ends in bytes that do not verify */
    FINDING_TABLE_OPEN = 104,    /* a table is missing, foreign, cut off or damaged at its ends */
    FINDING_LOG = 105,           /* a log is damaged, or one is missing */
    FINDING_LOG_TAIL = 106,      /* a log ends in bytes that do not verify, as after a power cut */
    FINDING_LEVELS = 107,        /* tables of one level overlap */
    FINDING_UNKNOWN_FILE = 108,  /* a file that is none of ours */
    FINDING_UNNAMED_FILE = 109,  /* a file of ours that nothing names */
    FINDING_TABLE_FRAME = 111, /* 111 to 120: inside a table, in the order of enum table_finding */
    FINDING_TABLE_LAYOUT = 112,
    FINDING_TABLE_BLOCK = 113,
    FINDING_TABLE_ORDER = 114,
    FINDING_TABLE_SEPARATOR = 115,
    FINDING_TABLE_SEQ_BOUNDS = 116,
    FINDING_TABLE_FILTER = 117,
    FINDING_TABLE_BLOB_REF = 118,
    FINDING_TABLE_TOMBSTONES = 119,
    FINDING_TABLE_PROPERTIES = 120,
    FINDING_BLOB_OPEN = 131,  /* a blob file is missing, foreign or cut off */
    FINDING_BLOB_FRAME = 132, /* a value in a blob file does not verify */
    FINDING_BLOB_UNKNOWN =
        133, /* a value is said to be in a blob file that the manifest does not name */
    FINDING_BLOB_GARBAGE =
        134, /* the manifest's account of a blob file does not match what refers to it */
    FINDING_BLOB_TWICE = 135, /* two references to one value */
    FINDING_SCRUB = 137,      /* a scrub met bytes that do not verify and cannot be rebuilt */
    FINDING_REPAIRED = 136,   /* damaged on disk, but rebuilt from parity whenever it is read */
    /* 151 to 156: what a salvage found and did */
    FINDING_SALVAGE = 151,       /* which way it went */
    FINDING_SALVAGE_TABLE = 152, /* a table of which only a part could be read */
    FINDING_SALVAGE_LOG = 153,   /* a log, or the rest of one, that was left out */
    FINDING_SALVAGE_BLOB = 154,  /* values that are lost, or a blob file that nothing refers to */
    FINDING_SALVAGE_PINS = 155,  /* snapshots may be lost */
    FINDING_SALVAGE_PLACE = 156, /* where entries stand in history only a lost manifest knew */
    FINDING_FILE_HEADER =
        141, /* (of a store that does not open) a file's header is damaged or another file's */
    FINDING_KEYS = 142,    /* KEYS is missing or damaged */
    FINDING_KEYLESS = 143, /* what was looked at without the key, and what was not */
};

struct store_finding {
    int code;
    enum store_severity severity;
    const char *file; /* short name or path, or "" */
    uint64_t offset;  /* UINT64_MAX: none */
    const char *text;
};
typedef int store_finding_fn(void *ctx, const struct store_finding *f); /* nonzero: stop */
/* Bytes done of bytes to do. */
typedef void store_progress_fn(void *ctx, uint64_t done, uint64_t total);
/* ---- scrubbing: reading everything in the background, and healing it ---- */

struct store_scrub_status {
    bool running;
    uint64_t passes; /* ended, ever */
    /* of the pass under way, or the last one */
    int64_t started_ns, ended_ns;     /* realtime; 0: not yet */
    uint64_t file, offset;            /* where it stands */
    uint64_t done_bytes, total_bytes; /* total: what is left now, and what was done */
    uint64_t frames, repaired, damaged, parity_made;
};
/* Begins a pass, or goes on with one that was stopped or that an earlier process had begun. It runs
 * in the workers, below everything else, at `scrub_rate` bytes a second; with no workers,
 * store_scrub_step() is pulled. */
int store_scrub_start(struct store *s);
int store_scrub_stop(struct store *s);
void store_scrub_status(struct store *s, struct store_scrub_status *out);
/* Who is told of what cannot be repaired, besides the log; NULL: nobody. */
void store_scrub_listen(struct store *s, store_finding_fn *fn, void *ctx);
/* One bounded step, also of healing. 0 did something, 1 nothing to do now, or an error. */
int store_scrub_step(struct store *s);

/* Reads the whole store of a store opened read-only, changing nothing: every frame of every file,
 * order, filters and indexes against contents, every blob reference, tombstones, garbage counts,
 * unknown files. Returns 0 when the check ran to its end, whatever it found. `progress` may be
 * NULL. */
int store_check(struct store *s, store_finding_fn *fn, store_progress_fn *progress, void *ctx);
/* When a store cannot even be opened: looks at CURRENT, manifest, logs and headers, and reports
 * what it finds. */
int store_check_closed(const char *dir, const struct store_options *o, store_finding_fn *fn,
                       void *ctx);

/* Of an encrypted store, without its key: every checksum of every file, changing nothing. What that
 * cannot show is said in a note. Returns 0 when it ran to its end. */
int store_check_keyless(const char *dir, const struct store_options *o, store_finding_fn *fn,
                        store_progress_fn *progress, void *ctx);

/* ---- salvage: for a store that does not open, or of which tables are damaged ---- */

struct store_salvage_report {
    uint64_t tables_kept, tables_rebuilt; /* whole ones; ones of which only parts can be read */
    uint64_t entries, blob_files;         /* written anew; with a new account */
    uint64_t logs, operations;            /* that were read from logs */
    uint64_t losses;                      /* findings that are a loss of data */
    bool pins_lost;                       /* nobody knows whether there were any */
};
/* Makes the store in `dir`, which nobody has open, one that opens: with the manifest if one is
 * whole, otherwise from tables, logs and blob files alone. Nothing is removed; what is replaced and
 * could not be read whole is kept under another name. Takes as much space as there is in tables.
 * `fn` and `progress` may be NULL. Returns 0, 1 when there was nothing to do (and nothing was
 * done), -EAGAIN when it is open, -ENOENT when there is nothing of a store in `dir`,
 * -EUCLEAN for a checkpoint that was not finished, or an error: then it can be tried again. */
int store_salvage(const char *dir, const struct store_options *o, store_finding_fn *fn,
                  store_progress_fn *progress, void *ctx, struct store_salvage_report *report);

#endif
