/* fd_pool: a bounded number of descriptors for any number of files that are open for reading.
 *
 * A large volume has more tables than a process may have descriptors. The pool keeps the
 * descriptors of the files that were read lately, closes idle ones when it needs room (second
 * chance: "The clock algorithm", Corbato 1968), and opens them again by path when they are wanted.
 * While a descriptor is there, using it costs two atomic operations and no lock. One pool for the
 * process, because the limit is the process's. Part of env_posix: nothing else includes it. */
#ifndef VARVE_STORE_FD_POOL_H
#define VARVE_STORE_FD_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* One file that is open for reading, embedded in its user's struct. All fields are the pool's own.
 */
struct fd_pool_file {
    char *path; /* owned; constant while open */
    dev_t dev;  /* dev, ino: what the path must still name; constant while open */
    ino_t ino;
    atomic_uint state; /* how many have it pinned, or the mark of a file without a descriptor */
    atomic_bool used;  /* since the clock's hand last came by */
    int fd;            /* written under the pool's mutex, read by those who have pinned it */
    struct fd_pool_file *prev, *next; /* ring of those with a descriptor; under the pool's mutex */
};

/* Opens the regular file `path` for reading and initialises `*f`; the path is copied. A relative
 * path has to keep its meaning: the process does not change its folder. -ENOENT, -EISDIR, -EINVAL
 * for what is neither file nor folder, or another negative errno; then `*f` needs no closing. */
int fd_pool_open(struct fd_pool_file *f, const char *path);

/* Releases what fd_pool_open() took. Nobody has it pinned or is about to. */
void fd_pool_close(struct fd_pool_file *f);

/* A descriptor of the file in `*fd`, valid until fd_pool_unpin(); pins nest and are brief, around
 * one system call. From any thread. Fails only when the file has to be opened again and cannot:
 * -EIO if it has been removed, renamed or replaced since fd_pool_open(), or what open(2) said. */
int fd_pool_pin(struct fd_pool_file *f, int *fd);
void fd_pool_unpin(struct fd_pool_file *f);

/* open(2), for files and folders that are not pooled: close-on-exec, restarted after signals. Where
 * the process has run out of descriptors, idle ones of the pool are closed first. The caller closes
 * the result with close(2). Returns a descriptor or a negative errno. */
int fd_pool_open_other(const char *path, int flags, mode_t mode);

/* From now on at most `limit` descriptors (at least one), unless more than that are pinned at once.
 * The limit at the start is half of what the process may have, once its soft limit has been raised
 * to the hard one, and at most FD_POOL_LIMIT_MAX. */
enum { FD_POOL_LIMIT_MAX = 32768 };
void fd_pool_set_limit(size_t limit);
size_t fd_pool_limit(void);

/* How many descriptors the pool has open. */
size_t fd_pool_count(void);

#endif
