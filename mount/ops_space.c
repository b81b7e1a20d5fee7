/* ops_space: requests about where files have data and where they have none, and about copying
 * between them. */
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "mount/control.h"
#include "mount/live.h"
#include "mount/ops_priv.h"

/* ---- lseek ---- */

/* The kernel does not send its unwritten pages first, so where there may be some, we fetch them. */

bool ops_may_hold(struct mount *m, uint64_t ino)
{
    if (m->read_only || ino >> FS_INO_BITS != 0)
        return false;
    return mount_opens_quickly(m) || lookups_has_writer(m->lookups, ino);
}

/* What is unwritten can only add data: where there is some, nothing more need be known. */
static bool is_data(struct mount *m, uint64_t ino, uint64_t offset)
{
    uint64_t found;
    return fs_seek_data(m->fs, ino, offset, &found) == 0 && found == offset;
}

struct seek {
    uint64_t ino, offset;
    int whence;
};

static void reply_seek(fuse_req_t req, int err, const void *args)
{
    const struct seek *s = args;
    struct fs *fs = mount_of(req)->fs;
    uint64_t found = 0;
    assert(s->whence == SEEK_DATA || s->whence == SEEK_HOLE);
    if (err >= 0)
        err = s->whence == SEEK_DATA ? fs_seek_data(fs, s->ino, s->offset, &found)
                                     : fs_seek_hole(fs, s->ino, s->offset, &found);
    assert(err < 0 || found >= s->offset);
    if (err < 0)
        reply_status(req, err);
    else
        fuse_reply_lseek(req, (off_t)found);
}

void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
    struct mount *m = mount_of(req);
    const struct seek seek = {.ino = ino, .offset = (uint64_t)offset, .whence = whence};
    (void)fi;
    if ((whence != SEEK_DATA && whence != SEEK_HOLE) || offset < 0 || ino == CONTROL_INO_FENCE ||
        live_is(ino))
        reply_status(req, -EINVAL);
    else if (ops_may_hold(m, ino) && !(whence == SEEK_DATA && is_data(m, ino, seek.offset)))
        control_after_flush(req, reply_seek, &seek, sizeof seek);
    else
        reply_seek(req, 0, &seek);
}

/* ---- fallocate ---- */

_Static_assert(FALLOC_FL_KEEP_SIZE == (int)FS_FALLOCATE_KEEP_SIZE &&
                   FALLOC_FL_PUNCH_HOLE == (int)FS_FALLOCATE_PUNCH_HOLE &&
                   FALLOC_FL_ZERO_RANGE == (int)FS_FALLOCATE_ZERO_RANGE,
               "fs.h has the kernel's values");

/* The kernel has written back the pages of a range that is to be punched or zeroed. */
void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t len,
                   struct fuse_file_info *fi)
{
    (void)fi;
    if (offset < 0 || len <= 0 || mode < 0)
        reply_status(req, -EINVAL);
    else if (live_is(ino))
        reply_status(req, -EOPNOTSUPP);
    else
        reply_status(req, fs_fallocate(mount_of(req)->fs, ino, (unsigned)mode, (uint64_t)offset,
                                       (uint64_t)len));
}

/* ---- copy_file_range ---- */

enum { ANSWER_MAX = 0x7ffff000 }; /* as for read(2) and write(2) */

/* The kernel has written back what it had of both files from these offsets on, and asks for no more
 * than the source has. */
void ops_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
                         struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
                         struct fuse_file_info *to_fi, size_t len, int flags)
{
    uint64_t copied = 0;
    (void)from_fi;
    (void)to_fi;
    if (from_offset < 0 || to_offset < 0 || flags != 0) {
        reply_status(req, -EINVAL);
        return;
    }
    if (live_is(from) || live_is(to) || from == CONTROL_INO_FENCE) {
        reply_status(req, -EOPNOTSUPP); /* then the kernel reads and writes */
        return;
    }
    int err = fs_copy(mount_of(req)->fs, from, (uint64_t)from_offset, to, (uint64_t)to_offset,
                      len < ANSWER_MAX ? len : ANSWER_MAX, &copied);
    if (err < 0)
        reply_status(req, err);
    else
        fuse_reply_write(req, copied);
}
