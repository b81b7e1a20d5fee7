/* flags: see flags.h. */
#include "fs/flags.h"

_Static_assert((int)INODE_IMMUTABLE == (int)FS_FLAG_IMMUTABLE, "the record has the door's bits");
_Static_assert((int)INODE_APPEND == (int)FS_FLAG_APPEND, "the record has the door's bits");
_Static_assert((int)INODE_NODUMP == (int)FS_FLAG_NODUMP, "the record has the door's bits");

static int unless(const struct inode *n, unsigned flags)
{
    return n->flags & flags ? -EPERM : 0;
}

int flags_check_data(const struct inode *n, bool keeps)
{
    return unless(n, keeps ? INODE_IMMUTABLE : INODE_IMMUTABLE | INODE_APPEND);
}

/* To an append-only file, times alone may be told: they follow what was appended. */
int flags_check_set(const struct inode *n, unsigned set)
{
    const unsigned times = FS_SET_MTIME | FS_SET_CTIME | FS_SET_MTIME_NOW | FS_SET_ATIME_NOW;
    return unless(n, set & ~times ? INODE_IMMUTABLE | INODE_APPEND : INODE_IMMUTABLE);
}

int flags_check_fixed(const struct inode *n)
{
    return unless(n, INODE_IMMUTABLE | INODE_APPEND);
}

int flags_check_make(const struct inode *dir)
{
    return unless(dir, INODE_IMMUTABLE);
}

int flags_check_remove(const struct inode *dir, const struct inode *n)
{
    int err = unless(dir, INODE_IMMUTABLE | INODE_APPEND);
    return err == 0 ? flags_check_fixed(n) : err;
}
