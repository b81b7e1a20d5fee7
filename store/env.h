/* env: the only door of the store to the outside: files, folders, sync, clocks, randomness,
 * threads.
 *
 * A table of functions, so that the same store runs on the real system (env_posix) and on a
 * simulated disk (tests/sim) that loses, tears, reorders and corrupts. Nothing else under store/
 * calls the operating system for these. (Mutexes and condition variables are plain pthreads
 * everywhere: they do not reach outside the process.)
 *
 * Paths are NUL-terminated and used as given; a relative one must mean the same as long as a file
 * is open. A file is closed before it is removed, renamed or replaced by another: an implementation
 * may reopen it by its path, and reading fails (-EIO) once that names another file. All functions
 * may be called from any thread; one file may be read and written by several threads at once, at
 * different offsets. Errors are negative errno. */
#ifndef VARVE_STORE_ENV_H
#define VARVE_STORE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct env;
struct env_file;
struct env_lock;
struct env_thread;
struct keyring;

enum env_open_mode {
    ENV_OPEN_READ,   /* must exist */
    ENV_OPEN_WRITE,  /* must exist; read and write */
    ENV_OPEN_CREATE, /* must not exist (-EEXIST); read and write; empty */
    /* Made if it does not exist; read and write. truncate() comes first, once, and tells how large
     * the file is to be: new bytes are zeros, with space of their own. Then a write within that
     * size is hardly dearer than a copy in memory (a shared mapping, where there are such), and
     * otherwise like any write: it outlives the process, and survives a power cut after sync().
     * -EOPNOTSUPP from open or truncate where it cannot be done. */
    ENV_OPEN_MAPPED,
};

struct env_space {
    uint64_t total_bytes;
    uint64_t
        free_bytes; /* for this process: without what is reserved for root, unless it is root */
};

/* What a file has on its disk. */
struct env_usage {
    uint64_t links;        /* names, in any folder */
    uint64_t stored_bytes; /* storage: without holes, in the disk's own units */
};

/* What env_file_ops.punch gives back comes in whole ones of these. */
enum { ENV_PUNCH_UNIT = 4096 };

struct env_file_ops {
    /* Reads up to `len` bytes at `offset`; `*got` < `len` only at the end of the file. */
    int (*read)(struct env_file *f, uint64_t offset, void *data, size_t len, size_t *got);
    /* Writes all `len` bytes at `offset`, extending the file if needed, or fails: then any part of
     * the interval may have been written, and nothing outside it. */
    int (*write)(struct env_file *f, uint64_t offset, const void *data, size_t len);
    /* Returns once contents and size would survive a power cut. After a failure nothing is known
     * about what was written since the last success. */
    int (*sync)(struct env_file *f);
    int (*truncate)(struct env_file *f, uint64_t size);
    /* Reserves space so that writes inside need no more of it; does not change the size that read()
     * sees. -EOPNOTSUPP where it cannot be done: the caller goes on without. */
    int (*allocate)(struct env_file *f, uint64_t offset, uint64_t len);
    /* Gives the storage of [offset, offset + len), multiples of ENV_PUNCH_UNIT, back to the disk:
     * what lies before the end reads as zeros from then on, and the size stays. After a power cut
     * it may be done, not done, or done for some of the units, unless sync() has returned since.
     * -EOPNOTSUPP where it cannot be done; that is said, too, for a place behind the end. */
    int (*punch)(struct env_file *f, uint64_t offset, uint64_t len);
    int (*size)(struct env_file *f, uint64_t *size);
    /* The next read of that interval is to come from the disk, as far as the system allows, and not
     * from memory that may be better than the disk. A hint; may be NULL. */
    void (*forget)(struct env_file *f, uint64_t offset, uint64_t len);
    /* Does not sync. Always frees `f`. */
    void (*close)(struct env_file *f);
};

/* Implementations embed this as their first member. */
struct env_file {
    const struct env_file_ops *ops;
};

/* `name` is without the folder, valid during the call. Nonzero ends the listing and is returned. */
typedef int env_list_fn(void *ctx, const char *name);

struct env {
    void *ctx; /* the implementation's own; it does not rely on where the table itself is */

    int (*open)(struct env *env, const char *path, enum env_open_mode mode, struct env_file **out);
    int (*remove)(struct env *env, const char *path); /* of a file */
    /* Atomic; replaces `to` if it exists. */
    int (*rename)(struct env *env, const char *from, const char *to);
    /* Gives the file at `from` a second name, `to`, which must not exist (-EEXIST). What is done to
     * the file under one name is seen under the other; each is removed on its own. Any other
     * error may mean that such names cannot be had there (-EXDEV, -EMLINK, -EPERM, -EOPNOTSUPP):
     * nothing was changed, and the caller copies. */
    int (*link)(struct env *env, const char *from, const char *to);
    int (*mkdir)(struct env *env, const char *path); /* mode 0700; -EEXIST if it is there */
    /* Entries of folder `path` in no order, without "." and "..". */
    int (*list)(struct env *env, const char *path, env_list_fn *fn, void *fn_ctx);
    /* Returns once the entries made, renamed and removed in folder `path` would survive a power
     * cut. */
    int (*sync_dir)(struct env *env, const char *path);
    int (*file_size)(struct env *env, const char *path, uint64_t *size);
    int (*file_usage)(struct env *env, const char *path, struct env_usage *out);
    /* Takes an exclusive lock on file `path`, made if needed, which ends with the process at the
     * latest. -EAGAIN when another holder has it, also within this process. */
    int (*lock)(struct env *env, const char *path, struct env_lock **out);
    /* The same on a file that must exist (-ENOENT), without changing anything, its contents and
     * times included, and not against others that lock so: for who only reads. */
    int (*lock_read)(struct env *env, const char *path, struct env_lock **out);
    void (*unlock)(struct env *env, struct env_lock *lock);
    int (*space)(struct env *env, const char *path, struct env_space *out);

    /* Since 1970, UTC; as exact as the system's tick, which is the clock that the kernel takes the
     * times of files from: so times of both can be compared. */
    int64_t (*realtime_ns)(struct env *env);
    uint64_t (*monotonic_ns)(struct env *env);             /* never goes back */
    int (*random)(struct env *env, void *out, size_t len); /* fit for keys */

    int (*thread_start)(struct env *env, void (*fn)(void *arg), void *arg, struct env_thread **out);
    void (*thread_join)(struct env *env, struct env_thread *thread); /* and frees it */
    /* How often the calling thread has lost its processor to others, ever; 0: nobody knows. */
    uint64_t (*preemptions)(struct env *env);
    /* How many processors the process may use; 0: it is not known, or is not to matter. */
    uint32_t (*processors)(struct env *env);
    /* From now on the calling thread, and those that it starts, leave the processor to others where
     * there are too few. What cannot be done is left. */
    void (*give_way)(struct env *env);

    /* Not the implementation's: whoever opens an encrypted volume reaches its files through a copy
     * of the table that has the volume's keys here (keyring.h). NULL: files are not encrypted. */
    struct keyring *keys;
};

/* The real system. Never freed; the same object each time. */
struct env *env_posix(void);

#endif
