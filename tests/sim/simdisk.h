/* simdisk: a deterministic disk in memory behind struct env, for tests that cut power and break
 * things.
 *
 * What a test does with it: run a workload on simdisk_env(), perhaps with faults; cut the power at
 * some call, or clone the disk at any moment; let simdisk_crash() choose what survived; open it
 * again and check. Everything follows from the seeds, so a failure replays.
 *
 * The model of durability is as hostile as POSIX allows: sync() makes the contents and size of that
 * file durable but not its name; sync_dir() makes the names in that folder durable but no contents.
 * Files are independent, and so are the writes to one file. Bytes outside a pending write never
 * change. Names are journalled: the changes to one name happen in order, and a rename is atomic.
 *
 * A disk is used by one thread at a time; a disk and its clones may be used in different threads at
 * once. thread_start() fails with -ENOSYS. Paths are taken from the root, which exists, whether or
 * not they begin with "/"; ".." is no special name; a name has at most SIM_NAME_MAX bytes. A file
 * may have several names (env.link), each durable on its own. Renaming
 * folders is not simulated (-EISDIR). A clone costs its names and a few counters for each file. */
#ifndef VARVE_TESTS_SIM_SIMDISK_H
#define VARVE_TESTS_SIM_SIMDISK_H

#include "store/bytes.h"
#include "store/env.h"

struct simdisk;

enum { SIM_NAME_MAX = 59 };

struct simdisk *simdisk_new(uint64_t seed);
/* Frees the disk with all handles and locks that are still open: nothing obtained from its env may
 * be used afterwards. NULL is ignored. */
void simdisk_free(struct simdisk *d);
/* Another disk, equal in all but its handles and locks, of which it has none: what a new process
 * would find if the old one ended just now. Files that only a handle kept alive are gone. */
struct simdisk *simdisk_clone(const struct simdisk *d);
/* Valid as long as the disk. */
struct env *simdisk_env(struct simdisk *d);

/* Moves the clocks. Each call of the env moves them by one microsecond. */
void simdisk_advance(struct simdisk *d, uint64_t ns);

/* The calls of the env, for counting and for faults. */
enum sim_call {
    SIM_OPEN, /* of a file that is there */
    SIM_READ,
    SIM_SIZE,     /* file.size, file_size and file_usage */
    SIM_ALLOCATE, /* file.allocate */
    SIM_LIST,
    SIM_LOCK, /* lock, and SIM_CREATE if the file was not there; lock_read */
    SIM_SPACE,
    SIM_RANDOM_BYTES, /* env.random */
    SIM_CREATE,       /* from here on: calls that change what is on the disk */
    SIM_WRITE,
    SIM_TRUNCATE,
    SIM_PUNCH,
    SIM_SYNC,
    SIM_SYNC_DIR,
    SIM_RENAME,
    SIM_LINK,
    SIM_REMOVE,
    SIM_MKDIR,
    SIM_CALLS,
};

/* How many calls that change the disk have been made, including those that failed. */
uint64_t simdisk_ops(const struct simdisk *d);
/* Is told of each of them when it begins, and is counted already; NULL: nobody. Clones have none.
 */
typedef void sim_listen_fn(void *ctx, enum sim_call call);
void simdisk_listen(struct simdisk *d, sim_listen_fn *fn, void *ctx);

enum sim_cut {
    SIM_CUT_BEFORE, /* the call has no effect */
    SIM_CUT_WITHIN, /* the call has some of its effect, or none, or all: a write is torn */
};

/* The power is cut at the n-th call from now that changes the disk, 1 being the next: it fails with
 * -EIO, and so do all later calls that touch the disk, reading included, without effect. Until
 * simdisk_crash(). 0 disarms. */
void simdisk_cut_at(struct simdisk *d, uint64_t n, enum sim_cut how);
bool simdisk_is_cut(const struct simdisk *d);

enum sim_crash {
    SIM_KEEP_SYNCED, /* everything that was not synced is lost */
    SIM_KEEP_ALL,    /* as after kill -9: everything stays */
    SIM_RANDOM,      /* anything that a power cut may leave, by the seed */
};

/* Checks all invariants, with assert(). */
void simdisk_assert_valid(const struct simdisk *d);

/* The machine goes down, power cut or not, and comes up again. Then the env works, clocks go on,
 * the faults and the cut that were armed are not, and all that is there is durable. Handles and
 * locks obtained before are dead: all that they allow is close() and unlock(), and neither is
 * needed. SIM_RANDOM: a pending write was kept, lost, torn at a sector of 512 bytes, scattered
 * (each sector kept or not), or extended the file without its data, with zeros or garbage in its
 * place; a pending truncation was kept or lost, a hole there, not there, or in part; pending
 * changes of names were kept up to some point, or each or not as long as none overtakes an earlier
 * one of the same name. */
void simdisk_crash(struct simdisk *d, enum sim_crash mode, uint64_t seed);

struct sim_fault {
    enum sim_call call;
    const char *path_part; /* at most SIM_NAME_MAX; only calls on paths with it; NULL: all */
    uint64_t after;        /* so many such calls are still as usual */
    int err;               /* what the call returns: a negative errno */
    bool sticky;           /* every such call from then on; otherwise one */
};

/* Arms a fault, in addition to those that are armed; at most SIM_FAULTS_MAX. The path of a file is
 * the one under which it was opened. A write that fails so is torn; a sync that fails so loses some
 * of what is pending for good, though it can still be read until the next crash; all other calls
 * that fail so have no effect. */
enum { SIM_FAULTS_MAX = 32 };
void simdisk_fail(struct simdisk *d, const struct sim_fault *fault);
/* Disarms all of them. */
void simdisk_heal(struct simdisk *d);

/* From now on file contents may take `bytes` of storage, in units of 4 KiB; at first it is 1 PiB. A
 * write that does not fit is done as far as it fits and fails with -ENOSPC. */
void simdisk_set_capacity(struct simdisk *d, uint64_t bytes);
/* The storage in use: by files that have a name or are open. */
uint64_t simdisk_used_bytes(const struct simdisk *d);

/* Handles of files, and locks, that have been neither closed nor killed by a crash. */
size_t simdisk_open_files(const struct simdisk *d);
size_t simdisk_locks(const struct simdisk *d);

/* Looking at and tampering with the disk behind the env's back: no call is counted, no fault and no
 * cut matters. Each returns 0 or a negative errno: -ENOENT, -EISDIR, -ERANGE (flip: after the end).
 * What is changed counts as synced then, including what was pending for that file. */
int simdisk_get(const struct simdisk *d, const char *path, struct buf *out); /* replaces `*out` */
int simdisk_flip(struct simdisk *d, const char *path, uint64_t offset, uint8_t mask);
int simdisk_truncate(struct simdisk *d, const char *path, uint64_t size);
int simdisk_swap(struct simdisk *d, const char *a, const char *b); /* their contents */
/* Makes or replaces a file. Making one makes all names of its folder durable. */
int simdisk_put(struct simdisk *d, const char *path, struct slice contents);

/* The full path of each file, in bytewise order. Nonzero from `fn` ends the listing and is
 * returned. */
int simdisk_files(const struct simdisk *d, env_list_fn *fn, void *fn_ctx);
/* Would the name and the contents of the file survive any power cut as they are? */
bool simdisk_is_durable(const struct simdisk *d, const char *path);
/* Equal for disks whose files have equal paths and contents. */
uint64_t simdisk_digest(const struct simdisk *d);

#endif
