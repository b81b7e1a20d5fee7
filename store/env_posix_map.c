/* env_posix_map: see env_posix_map.h.
 *
 * A page of a mapped file that the kernel cannot provide shows as SIGBUS at the instruction that
 * touches it. The handler returns from there to the copy that was under way in this thread; if
 * there was none, the signal is somebody else's and goes to whoever handled it before.
 *
 * Invariant: `landing` is set only while this thread copies in posix_map_write(). */
#define _GNU_SOURCE 1
#include "store/env_posix_map.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static _Thread_local sigjmp_buf *volatile landing;
static struct sigaction before; /* written once, under `once` */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    if (landing)
        siglongjmp(*landing, 1);
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    } else {
        signal(number,
               SIG_DFL); /* the instruction faults again, and ends the process as it should */
    }
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &before);
}

/* Blocks for all of it, by writing zeros: what is only reserved would still change the file's
 * metadata when it is first written to. */
static int fill(int fd, size_t size)
{
    static const uint8_t zeros[64 << 10];
    for (size_t at = 0; at < size;) {
        size_t len = size - at < sizeof zeros ? size - at : sizeof zeros;
        ssize_t n = pwrite(fd, zeros, len, (off_t)at);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -EIO;
        at += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int posix_map_file(int fd, size_t size, uint8_t **map)
{
    struct stat st;
    int err = fstat(fd, &st) ? -errno : 0;
    assert(size > 0);
    *map = NULL;
    if (err == 0 && (st.st_size != (off_t)size || st.st_blocks * 512 < st.st_size)) {
        err = ftruncate(fd, 0) ? -errno : 0;
        if (err == 0)
            err = fill(fd, size);
    }
    if (err < 0)
        return err;
    pthread_once(&once, install);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (p == MAP_FAILED)
        return errno == ENODEV || errno == EINVAL ? -EOPNOTSUPP : -errno;
    *map = p;
    return 0;
}

void posix_unmap(uint8_t *map, size_t size)
{
    if (map)
        munmap(map, size);
}

int posix_map_write(uint8_t *to, const void *data, size_t len)
{
    sigjmp_buf here;
    if (sigsetjmp(here, 0)) {
        landing = NULL;
        return -EIO;
    }
    landing = &here;
    memcpy(to, data, len);
    landing = NULL;
    return 0;
}
