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

enum { WANTED = FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT };

static uint32_t offered;                   /* atomic: the flags of WANTED that INIT offers */
static uint32_t granted;                   /* atomic: and that were answered so */
static bool init_answered;                 /* atomic */
static __thread bool kill_suid, kill_sgid; /* of the last request */

static void look_at_init(const uint8_t *arg, size_t len)
{
    struct fuse_init_in in = {0};
    assert(!__atomic_load_n(&init_answered, __ATOMIC_ACQUIRE));
    memcpy(&in, arg, len < sizeof in ? len : sizeof in);
    __atomic_store_n(&offered, in.flags & WANTED, __ATOMIC_RELEASE);
}

static void look_at_write(const uint8_t *arg, size_t len)
{
    struct fuse_write_in in;
    if (len < sizeof in)
        return;
    memcpy(&in, arg, sizeof in);
    kill_suid = (in.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
}

/* Takes out what libfuse does not expect; name and value follow it. Returns by how many bytes the
 * request is shorter now. */
static size_t shorten_setxattr(struct fuse_in_header *header, uint8_t *arg, size_t len)
{
    struct fuse_setxattr_in in;
    const size_t extra = sizeof in - FUSE_COMPAT_SETXATTR_IN_SIZE;
    if (!(__atomic_load_n(&granted, __ATOMIC_ACQUIRE) & FUSE_SETXATTR_EXT) || len < sizeof in)
        return 0;
    memcpy(&in, arg, sizeof in);
    kill_sgid = (in.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0;
    memmove(arg + FUSE_COMPAT_SETXATTR_IN_SIZE, arg + sizeof in, len - sizeof in);
    header->len -= (uint32_t)extra;
    return extra;
}

/* Returns how long the request is for libfuse. */
static size_t look_at_request(uint8_t *data, size_t len)
{
    struct fuse_in_header header;
    uint8_t *arg = data + sizeof header;
    kill_suid = kill_sgid = false;
    if (len < sizeof header)
        return len;
    memcpy(&header, data, sizeof header);
    size_t arg_len = len - sizeof header;
    if (header.opcode == FUSE_INIT)
        look_at_init(arg, arg_len);
    else if (header.opcode == FUSE_WRITE)
        look_at_write(arg, arg_len);
    else if (header.opcode == FUSE_SETXATTR)
        len -= shorten_setxattr(&header, arg, arg_len);
    memcpy(data, &header, sizeof header);
    return len;
}

static ssize_t wire_read(int fd, void *data, size_t size, void *userdata)
{
    (void)userdata;
    ssize_t n = read(fd, data, size);
    return n > 0 ? (ssize_t)look_at_request(data, (size_t)n) : n;
}

/* Adds our flags to libfuse's answer, which is a header and then the fields as far as this kernel
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
    uint32_t added = __atomic_load_n(&offered, __ATOMIC_ACQUIRE);
    uint8_t *reply = iov[1].iov_base;
    memcpy(&flags, reply + at, sizeof flags);
    flags |= added;
    memcpy(reply + at, &flags, sizeof flags);
    __atomic_store_n(&granted, added, __ATOMIC_RELEASE);
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
    return __atomic_load_n(&granted, __ATOMIC_ACQUIRE) & FUSE_HANDLE_KILLPRIV_V2;
}

bool wire_kills_suid(void)
{
    return kill_suid;
}

bool wire_kills_sgid(void)
{
    return kill_sgid;
}
