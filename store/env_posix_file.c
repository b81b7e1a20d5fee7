/* env_posix_file: the files of the real system's env. See env.h and env_posix.h.
 *
 * Guarantees: every call is whole or fails, whatever signals arrive and however short the kernel's
 * answers are.
 *
 * Invariants:
 *  1. A file for writing has a descriptor of its own from open to close: an error of writing back
 *     is reported to the descriptors that are open when it happens, so it must not be closed in
 *     between.
 *  2. A file for reading has one only while a call runs or the pool likes to keep it.
 *  3. No offset or length that the kernel could take for a negative number is passed to it. */
#define _GNU_SOURCE 1
#include "store/env_posix.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/bytes.h"
#include "store/env_posix_map.h"
#include "store/fd_pool.h"

struct posix_file {
    struct env_file base;
    bool pooled; /* opened for reading: `pool` is valid; otherwise `fd` is */
    bool to_map; /* ENV_OPEN_MAPPED: truncate() maps it */
    int fd;
    uint8_t *map; /* NULL: not mapped (yet) */
    size_t map_bytes;
    struct fd_pool_file pool;
};

static const struct env_file_ops posix_file_ops;

static struct posix_file *posix_file_of(struct env_file *file)
{
    assert(file && file->ops == &posix_file_ops);
    return (struct posix_file *)file;
}

static int fd_begin(struct posix_file *f, int *fd)
{
    *fd = f->fd;
    return f->pooled ? fd_pool_pin(&f->pool, fd) : 0;
}

static void fd_end(struct posix_file *f)
{
    if (f->pooled)
        fd_pool_unpin(&f->pool);
}

static int read_fully(int fd, uint64_t offset, uint8_t *data, size_t len, size_t *got)
{
    assert(offset <= INT64_MAX && len <= INT64_MAX - offset);
    while (*got < len) {
        ssize_t n = pread(fd, data + *got, len - *got, (off_t)(offset + *got));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            break;
        if (n > 0)
            *got += (size_t)n;
    }
    return 0;
}

static int posix_read(struct env_file *file, uint64_t offset, void *data, size_t len, size_t *got)
{
    struct posix_file *f = posix_file_of(file);
    int fd;
    *got = 0;
    if (offset > INT64_MAX) /* no file reaches there: its end */
        return 0;
    if (len > INT64_MAX - offset)
        len = (size_t)(INT64_MAX - offset);
    int err = fd_begin(f, &fd);
    if (err)
        return err;
    err = read_fully(fd, offset, data, len, got);
    fd_end(f);
    if (err)
        *got = 0;
    return err;
}

static int posix_write(struct env_file *file, uint64_t offset, const void *data, size_t len)
{
    struct posix_file *f = posix_file_of(file);
    if (f->pooled)
        return -EBADF;
    if (offset > INT64_MAX || len > INT64_MAX - offset)
        return -EFBIG;
    if (f->map && offset <= f->map_bytes && len <= f->map_bytes - offset)
        return posix_map_write(f->map + offset, data, len);
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(f->fd, (const uint8_t *)data + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0) /* not to be had from a regular file; asking again would never end */
            return -EIO;
        if (n > 0)
            done += (size_t)n;
    }
    return 0;
}

/* fdatasync(2) writes the size and the map of blocks too: all that reading the data again needs. */
static int posix_sync(struct env_file *file)
{
    struct posix_file *f = posix_file_of(file);
    int fd, err = fd_begin(f, &fd);
    if (err)
        return err;
    do
        err = fdatasync(fd) ? -errno : 0;
    while (err == -EINTR);
    fd_end(f);
    return err;
}

static int posix_truncate(struct env_file *file, uint64_t size)
{
    struct posix_file *f = posix_file_of(file);
    int err;
    if (f->pooled)
        return -EBADF;
    if (size > INT64_MAX)
        return -EFBIG;
    if (f->to_map) {
        assert(!f->map);
        f->map_bytes = size;
        return posix_map_file(f->fd, size, &f->map);
    }
    do
        err = ftruncate(f->fd, (off_t)size) ? -errno : 0;
    while (err == -EINTR);
    return err;
}

/* fallocate(2); the size stays. */
static int change_storage(struct env_file *file, int mode, uint64_t offset, uint64_t len)
{
    struct posix_file *f = posix_file_of(file);
    int err;
    if (f->pooled)
        return -EBADF;
    if (len == 0)
        return 0;
    if (offset > INT64_MAX || len > INT64_MAX - offset)
        return -EFBIG;
    mode |= FALLOC_FL_KEEP_SIZE;
    do
        err = fallocate(f->fd, mode, (off_t)offset, (off_t)len) ? -errno : 0;
    while (err == -EINTR);
    return err == -ENOSYS ? -EOPNOTSUPP : err;
}

static int posix_allocate(struct env_file *file, uint64_t offset, uint64_t len)
{
    return change_storage(file, 0, offset, len);
}

static int posix_punch(struct env_file *file, uint64_t offset, uint64_t len)
{
    assert(offset % ENV_PUNCH_UNIT == 0 && len % ENV_PUNCH_UNIT == 0);
    return change_storage(file, FALLOC_FL_PUNCH_HOLE, offset, len);
}

static int posix_size(struct env_file *file, uint64_t *size)
{
    struct posix_file *f = posix_file_of(file);
    struct stat st;
    *size = 0;
    int fd, err = fd_begin(f, &fd);
    if (err)
        return err;
    err = fstat(fd, &st) ? -errno : 0;
    fd_end(f);
    if (!err) {
        assert(st.st_size >= 0);
        *size = (uint64_t)st.st_size;
    }
    return err;
}

/* close(2) is not repeated after EINTR: on Linux the descriptor is gone by then. */
static void posix_forget(struct env_file *file, uint64_t offset, uint64_t len)
{
    struct posix_file *f = posix_file_of(file);
    int fd;
    if (offset > INT64_MAX || len > INT64_MAX - offset || fd_begin(f, &fd) != 0)
        return;
    (void)posix_fadvise(fd, (off_t)offset, (off_t)len, POSIX_FADV_DONTNEED);
    fd_end(f);
}

static void posix_close(struct env_file *file)
{
    struct posix_file *f = posix_file_of(file);
    posix_unmap(f->map, f->map_bytes);
    if (f->pooled)
        fd_pool_close(&f->pool);
    else
        close(f->fd);
    free(f);
}

static const struct env_file_ops posix_file_ops = {
    .read = posix_read,
    .write = posix_write,
    .sync = posix_sync,
    .truncate = posix_truncate,
    .allocate = posix_allocate,
    .punch = posix_punch,
    .size = posix_size,
    .forget = posix_forget,
    .close = posix_close,
};

static int open_own(const char *path, enum env_open_mode mode, int *fd)
{
    int flags = O_RDWR | (mode == ENV_OPEN_CREATE ? O_CREAT | O_EXCL : 0) |
                (mode == ENV_OPEN_MAPPED ? O_CREAT : 0);
    *fd = fd_pool_open_other(path, flags, 0600);
    return *fd < 0 ? *fd : 0;
}

int env_posix_open(struct env *env, const char *path, enum env_open_mode mode,
                   struct env_file **out)
{
    (void)env;
    assert(mode >= ENV_OPEN_READ && mode <= ENV_OPEN_MAPPED);
    *out = NULL;
    struct posix_file *f = mem_zalloc(sizeof *f);
    f->base.ops = &posix_file_ops;
    f->pooled = mode == ENV_OPEN_READ;
    f->to_map = mode == ENV_OPEN_MAPPED;
    f->fd = -1;
    int err = f->pooled ? fd_pool_open(&f->pool, path) : open_own(path, mode, &f->fd);
    if (err)
        free(f);
    else
        *out = &f->base;
    return err;
}
