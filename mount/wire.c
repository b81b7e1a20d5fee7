/* wire: see wire.h.
 *
 * Invariants:
 *  1. The kernel sends nothing but INIT until that is answered; so the first reply without an error
 * is the reply to INIT, and only it is changed: bits that the kernel has offered are added.
 *  2. A worker handles the request that it has read before it reads the next: so what is known of
 * the last one is kept per thread. */
#include "mount/wire.h"

#include <assert.h>
#include <errno.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static bool offered;            /* atomic: INIT offers it */
static bool granted;            /* atomic: and was answered so */
static bool init_answered;      /* atomic */
static __thread bool kill_suid; /* of the last request */

static void look_at_init(const uint8_t *arg, size_t len)
{
    struct fuse_init_in in = {0};
    assert(!__atomic_load_n(&init_answered, __ATOMIC_ACQUIRE));
    memcpy(&in, arg, len < sizeof in ? len : sizeof in);
    __atomic_store_n(&offered, (in.flags & FUSE_HANDLE_KILLPRIV_V2) != 0, __ATOMIC_RELEASE);
}

static void look_at_request(const uint8_t *data, size_t len)
{
    struct fuse_in_header header;
    struct fuse_write_in in;
    kill_suid = false;
    if (len < sizeof header)
        return;
    memcpy(&header, data, sizeof header);
    if (header.opcode == FUSE_INIT)
        look_at_init(data + sizeof header, len - sizeof header);
    if (header.opcode != FUSE_WRITE || len < sizeof header + sizeof in)
        return;
    memcpy(&in, data + sizeof header, sizeof in);
    kill_suid = (in.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
}

static ssize_t wire_read(int fd, void *data, size_t size, void *userdata)
{
    (void)userdata;
    ssize_t n = read(fd, data, size);
    if (n > 0)
        look_at_request(data, (size_t)n);
    return n;
}

/* Adds our flag to libfuse's answer, which is a header and then the fields as far as this kernel
 * knows them. */
static void change_init_reply(const struct iovec *iov, int count)
{
    struct fuse_out_header header;
    uint32_t flags;
    const size_t at = offsetof(struct fuse_init_out, flags);
    if (count < 2 || iov[0].iov_len != sizeof header || iov[1].iov_len < at + sizeof flags)
        return;
    memcpy(&header, iov[0].iov_base, sizeof header);
    if (header.error != 0)
        return;
    __atomic_store_n(&init_answered, true, __ATOMIC_RELEASE);
    if (!__atomic_load_n(&offered, __ATOMIC_ACQUIRE))
        return;
    uint8_t *reply = iov[1].iov_base;
    memcpy(&flags, reply + at, sizeof flags);
    flags |= FUSE_HANDLE_KILLPRIV_V2;
    memcpy(reply + at, &flags, sizeof flags);
    __atomic_store_n(&granted, true, __ATOMIC_RELEASE);
}

static ssize_t wire_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    (void)userdata;
    assert(count > 0);
    if (!__atomic_load_n(&init_answered, __ATOMIC_ACQUIRE))
        change_init_reply(iov, count);
    return writev(fd, iov, count);
}

int wire_attach(struct fuse_session *se)
{
    static const struct fuse_custom_io io = {.read = wire_read, .writev = wire_writev};
    assert(fuse_session_fd(se) >= 0 && !init_answered);
    return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}

bool wire_has_killpriv(void)
{
    return __atomic_load_n(&granted, __ATOMIC_ACQUIRE);
}

bool wire_kills_suid(void)
{
    return kill_suid;
}
