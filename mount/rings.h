/* rings: requests by io_uring instead of read(2) and write(2) on /dev/fuse (Linux 6.14 and later,
 * where fuse.enable_uring is set).
 *
 * The kernel then has a queue for each processor, and hands a request to a thread that waits for
 * that queue: here one that is bound to that processor, so that nobody has to be woken on another.
 * One system call gives an answer and waits for the next request. /dev/fuse goes on for INIT,
 * FORGET and INTERRUPT, and for what the daemon tells the kernel by itself.
 *
 * Each thread has a *ring*, and each ring a place for a request (an *entry*). A request that is
 * answered later, by another thread, keeps its entry meanwhile; its ring gets another one. So
 * however many of them wait, there is always one that takes the next request. */
#ifndef VARVE_MOUNT_RINGS_H
#define VARVE_MOUNT_RINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct rings;
struct ring;

/* May the kernel offer it to anybody? (Where that cannot be read, it may turn out at INIT.) */
bool rings_are_allowed(void);
/* Has it do so from now on, for all mounts that ask: for root. 0 or a negative errno: -ENOENT when
 * this kernel does not have it, -EACCES. */
int rings_allow(void);

/* Contents of a request or an answer are no longer, without their headers: bytes. */
enum { RINGS_PAYLOAD_MAX = 1 << 20 };

/* Sets up rings for the connection behind `fd` (of /dev/fuse, borrowed), the same number for each
 * processor. The kernel is not told of them yet. 0 with *out, the caller's; or a negative errno:
 * -ENOSYS, -EPERM where io_uring is not to be had, -ENOMEM. */
int rings_new(int fd, struct rings **out);
/* When no thread uses any of them any more. NULL is fine. */
void rings_free(struct rings *r);
unsigned rings_count(const struct rings *r);
struct ring *rings_get(struct rings *r, unsigned i);

/* Said once, by any thread: whether the kernel takes requests there. Until then ring_begin()
 * waits. */
void rings_decide(struct rings *r, bool use);
/* Does the kernel hand out requests there? False as long as it is not known. */
bool rings_are_used(const struct rings *r);

/* Requests that came by them so far. */
uint64_t rings_requests(const struct rings *r);

/* A ring is one thread's, which calls these: */

/* Waits for rings_decide(), binds the thread to the ring's processor, and tells the kernel of it. 0
 * or -ECANCELED when rings are not used, or ring_wake() came before. A thread that this one makes
 * would be bound, too: thread_begin(). */
int ring_begin(struct ring *ring);
/* Hands in what was answered since, and waits for the next request: its bytes as read(2) of
 * /dev/fuse would give them, good until ring_done(). Returns their number, 0 when it was woken, or
 * a negative errno: -ENODEV when the mount is gone. */
ssize_t ring_next(struct ring *ring, void **request);
/* The request is handled; if it has no answer yet, one comes by another thread. */
void ring_done(struct ring *ring);

/* Where the answer to the request that this thread has in hand will be copied to: an answer that is
 * made there, at least `size` bytes, is not copied any more. What came with the request, behind its
 * fixed part, is overwritten. NULL: it is not one of these rings', or there is not so much room. */
void *rings_room(struct rings *r, size_t size);

/* From any thread: ring_next() and ring_begin() return. */
void ring_wake(struct ring *ring);
/* An answer, as it would be written to /dev/fuse. False: its request did not come by a ring, or it
 * is none (a notification). From any thread. The kernel gets it when the ring's thread is done with
 * the request that it has in hand. */
bool rings_answer(struct rings *r, const struct iovec *iov, int count);

#endif
