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
enum { OVER_IO_URING = 1 << (41 - 32) }; /* FUSE_OVER_IO_URING, in flags2 */

static uint32_t offered;                   /* atomic: the flags of WANTED that INIT offers */
static uint32_t granted;                   /* atomic: and that were answered so */
static struct rings *rings;                /* set before INIT is answered; NULL: none */
static bool rings_offered;                 /* of the one thread that handles INIT */
static uint64_t by_device;                 /* atomic: requests read */
static bool init_answered;                 /* atomic */
static __thread bool kill_suid, kill_sgid; /* of the last request */

static void look_at_init(const uint8_t *arg, size_t len)
{
    struct fuse_init_in in = {0};
    assert(!__atomic_load_n(&init_answered, __ATOMIC_ACQUIRE));
    memcpy(&in, arg, len < sizeof in ? len : sizeof in);
    __atomic_store_n(&offered, in.flags & WANTED, __ATOMIC_RELEASE);
    rings_offered = in.flags & FUSE_INIT_EXT && in.flags2 & OVER_IO_URING;
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
    if (n <= 0)
        return n;
    __atomic_fetch_add(&by_device, 1, __ATOMIC_RELAXED);
    return (ssize_t)look_at_request(data, (size_t)n);
}

/* Can answers be as long as the kernel has been promised? */
static bool fits_rings(const struct fuse_init_out *out)
{
    size_t pages = (size_t)out->max_pages * (size_t)sysconf(_SC_PAGESIZE);
    return out->max_write <= RINGS_PAYLOAD_MAX && pages <= RINGS_PAYLOAD_MAX;
}

/* Adds our flags to libfuse's answer, which is a header and then the fields as far as this kernel
 * knows them. Returns whether requests shall come by rings. */
static bool change_init_reply(const struct iovec *iov, int count)
{
    struct fuse_out_header header;
    struct fuse_init_out out = {0};
    if (count < 2 || iov[0].iov_len != sizeof header ||
        iov[1].iov_len < offsetof(struct fuse_init_out, max_background))
        return false;
    memcpy(&header, iov[0].iov_base, sizeof header);
    if (header.error != 0)
        return false;
    __atomic_store_n(&init_answered, true, __ATOMIC_RELEASE);
    uint32_t added = __atomic_load_n(&offered, __ATOMIC_ACQUIRE);
    size_t len = iov[1].iov_len < sizeof out ? iov[1].iov_len : sizeof out;
    memcpy(&out, iov[1].iov_base, len);
    bool by_rings = rings && rings_offered && len == sizeof out && fits_rings(&out);
    out.flags |= added | (by_rings ? FUSE_INIT_EXT : 0);
    out.flags2 |= by_rings ? OVER_IO_URING : 0;
    memcpy(iov[1].iov_base, &out, len);
    __atomic_store_n(&granted, added, __ATOMIC_RELEASE);
    return by_rings;
}

static ssize_t answer_init(int fd, struct iovec *iov, int count)
{
    bool by_rings = change_init_reply(iov, count);
    ssize_t n = writev(fd, iov, count);
    if (rings && __atomic_load_n(&init_answered, __ATOMIC_ACQUIRE))
        rings_decide(rings, n >= 0 && by_rings);
    return n;
}

ssize_t wire_send(int fd, struct iovec *iov, int count)
{
    assert(count > 0);
    if (!__atomic_load_n(&init_answered, __ATOMIC_ACQUIRE))
        return answer_init(fd, iov, count);
    if (rings && rings_answer(rings, iov, count))
        return 0;
    return writev(fd, iov, count);
}

static ssize_t wire_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    (void)userdata;
    return wire_send(fd, iov, count);
}

void wire_use_rings(struct rings *r)
{
    assert(!rings && !__atomic_load_n(&init_answered, __ATOMIC_ACQUIRE));
    rings = r;
}

size_t wire_look(void *request, size_t len)
{
    return look_at_request(request, len);
}

int wire_attach(struct fuse_session *se)
{
    static const struct fuse_custom_io io = {.read = wire_read, .writev = wire_writev};
    assert(fuse_session_fd(se) >= 0 && !init_answered);
    return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}

void *wire_room(size_t size)
{
    return rings ? rings_room(rings, size) : NULL;
}

void wire_requests(struct wire_requests *out)
{
    out->by_device = __atomic_load_n(&by_device, __ATOMIC_RELAXED);
    out->by_rings = rings ? rings_requests(rings) : 0;
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
