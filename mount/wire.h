/* wire: what libfuse does not speak of the kernel's protocol (<linux/fuse.h>), put in and read off
 * on its way through.
 *
 * FUSE_HANDLE_KILLPRIV_V2 (protocol 7.33). Without it the kernel asks for the attribute
 * security.capability before every single write(2), which makes small writes cost a round trip each
 * although they go to its own cache. With it, the daemon has to take the set-user-id and
 * set-group-id bits away where the kernel says so: on writes, by a flag that wire_kills_suid()
 * tells, on truncation by FUSE_SET_ATTR_KILL_SUID, and always on a change of owner. Libfuse has it
 * from 3.17 on; Debian 12 has 3.14.
 *
 * FUSE_SETXATTR_EXT (7.33 too). With it, the kernel says of an access control list whether who sets
 * it may leave the file set-group-id, which only it knows. Libfuse 3.14 does not expect the longer
 * request; so what is longer is taken out, and told by wire_kills_sgid().
 *
 * FUSE_OVER_IO_URING (7.42): requests come by rings.h, and their answers go there. */
#ifndef VARVE_MOUNT_WIRE_H
#define VARVE_MOUNT_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/uio.h>

#include "mount/fuse.h"
#include "mount/rings.h"

/* Puts us between a mounted session and its device. One session for each process. 0 or a negative
 * errno. */
int wire_attach(struct fuse_session *se);
/* From now on, and before INIT is answered: requests come by these rings (borrowed), too, if the
 * kernel offers it; rings_decide() is called as soon as that is known. */
void wire_use_rings(struct rings *r);
/* Of a request that came by one of them: looks at it as at one that was read from the device.
 * Returns how long it is for libfuse. */
size_t wire_look(void *request, size_t len);
/* Sends an answer to where its request came from. Non-negative, or -1 with errno set. */
ssize_t wire_send(int fd, struct iovec *iov, int count);
/* rings_room() of the request that this thread has in hand. */
void *wire_room(size_t size);
/* Requests of the kernel so far, by both ways. */
struct wire_requests {
    uint64_t by_device, by_rings;
};
void wire_requests(struct wire_requests *out);
/* Has the kernel been told that we take set-id bits away? Known once INIT is answered. */
bool wire_has_killpriv(void);
/* Does the request that this thread has read last want set-id bits taken away? */
bool wire_kills_suid(void);
/* Does the request that this thread has read last, a SETXATTR of an access control list, want the
 * set-group-id bit taken away? */
bool wire_kills_sgid(void);

#endif
