/* acl: POSIX access control lists: who may do what beyond the permission bits.
 *
 * An inode has up to two: an access list, and a folder a default list, which what is made in it
 * inherits. They are extended attributes (ACL_NAME_*), in the kernel's own form: u32 version (2),
 * then for each entry u16 tag, u16 permissions, u32 user or group (-1 for the others), little
 * endian. The inode's record says by a flag that there is one, so files without cost no look-up.
 *
 * Invariants, of what is on disk:
 *   1. INODE_ACL_ACCESS, INODE_ACL_DEFAULT are set if and only if the attribute is there; a default
 * list only for a folder, none for a symbolic link.
 *   2. An access list says more than permission bits can (it has a mask); its entries for owner,
 * mask and others are the permission bits of the inode.
 *
 * Checking permissions by them is the kernel's business. The rules of inheritance and of masks are
 * those of POSIX 1003.1e draft 17, section 23.1, and of Linux. */
#ifndef VARVE_FS_ACL_H
#define VARVE_FS_ACL_H

#include "fs/inode.h"

#define ACL_NAME_ACCESS  "system.posix_acl_access"
#define ACL_NAME_DEFAULT "system.posix_acl_default"

enum acl_kind { ACL_NOT, ACL_ACCESS, ACL_DEFAULT };
/* Which list the attribute of that name is. */
enum acl_kind acl_kind_of(const char *name);

/* ---- lists as bytes ---- */

/* Is it one? 0; 1: a list without entries, or nothing, which stands for none; -EINVAL; -EOPNOTSUPP:
 * another version. */
int acl_check(struct slice list);
/* The permission bits (0777) that the list amounts to. [acl_check() == 0, as below] */
uint32_t acl_mode(struct slice list);
/* Does it say nothing that permission bits could not? */
bool acl_is_minimal(struct slice list);
/* After chmod: the entries that permission bits stand for become those of `mode`. */
void acl_chmod(uint8_t *list, size_t len, uint32_t mode);
/* For something that is made with `mode`: neither gives more than the other. Takes away from the
 * list, and returns `mode` with permission bits taken away. */
uint32_t acl_limit(uint8_t *list, size_t len, uint32_t mode);

/* ---- lists of inodes (which the caller puts) ---- */

/* Is there a list of that kind? */
static inline bool acl_has(const struct inode *n, enum acl_kind kind)
{
    return n->flags & (kind == ACL_ACCESS ? INODE_ACL_ACCESS : INODE_ACL_DEFAULT);
}
/* Sets or (without entries) removes the list; an access list sets the permission bits, too. Errors
 * as acl_check(); -EOPNOTSUPP for symbolic links, -EACCES for a default list of no folder. */
int acl_set(struct txn *t, struct inode *n, enum acl_kind kind, struct slice list);
/* After a change of n->mode: the access list follows it. */
int acl_follow(struct txn *t, const struct inode *n);
/* What n, new in `folder`, gets: its lists by the folder's default list, and permission bits
 * limited by that or, where there is none, by `umask`. */
int acl_inherit(struct txn *t, const struct inode *folder, uint32_t umask, struct inode *n);

#endif
