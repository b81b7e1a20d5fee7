/* acl: see acl.h. */
#include "fs/acl.h"

#include <stdio.h>

enum { HEADER_BYTES = 4, ENTRY_BYTES = 8, VERSION = 2 };

enum acl_tag {
    TAG_USER_OBJ = 1, /* the owner */
    TAG_USER = 2,
    TAG_GROUP_OBJ = 4, /* the file's group */
    TAG_GROUP = 8,
    TAG_MASK = 16, /* the most that TAG_USER, TAG_GROUP_OBJ and TAG_GROUP give */
    TAG_OTHER = 32,
};

enum acl_kind acl_kind_of(const char *name)
{
    return strcmp(name, ACL_NAME_ACCESS) == 0    ? ACL_ACCESS
           : strcmp(name, ACL_NAME_DEFAULT) == 0 ? ACL_DEFAULT
                                                 : ACL_NOT;
}

static const char *name_of(enum acl_kind kind)
{
    assert(kind != ACL_NOT);
    return kind == ACL_ACCESS ? ACL_NAME_ACCESS : ACL_NAME_DEFAULT;
}

/* ---- lists as bytes ---- */

static size_t entry_count(size_t len)
{
    assert(len >= HEADER_BYTES);
    return (len - HEADER_BYTES) / ENTRY_BYTES;
}

static const uint8_t *entry_at(const uint8_t *list, size_t i)
{
    return list + HEADER_BYTES + i * ENTRY_BYTES;
}

static unsigned tag_of(const uint8_t *entry)
{
    return get_u16(entry);
}

static unsigned perm_of(const uint8_t *entry)
{
    return get_u16(entry + 2);
}

static void set_perm(uint8_t *entry, unsigned perm)
{
    assert(perm <= 07);
    put_u16(entry + 2, (uint16_t)perm);
}

/* Entries come by tags in ascending order; of owner, group, others and mask there is one at most.
 */
static bool tag_may_follow(unsigned tag, unsigned before)
{
    bool many = tag == TAG_USER || tag == TAG_GROUP;
    return many ? tag >= before : tag > before;
}

static bool entry_valid(const uint8_t *entry)
{
    unsigned tag = tag_of(entry);
    if (perm_of(entry) > 07)
        return false;
    if (tag == TAG_USER || tag == TAG_GROUP)
        return get_u32(entry + 4) != UINT32_MAX;
    return tag == TAG_USER_OBJ || tag == TAG_GROUP_OBJ || tag == TAG_MASK || tag == TAG_OTHER;
}

int acl_check(struct slice list)
{
    const unsigned needed = TAG_USER_OBJ | TAG_GROUP_OBJ | TAG_OTHER;
    unsigned seen = 0, before = 0;
    if (list.len == 0)
        return 1;
    if (list.len < HEADER_BYTES || (list.len - HEADER_BYTES) % ENTRY_BYTES != 0)
        return -EINVAL;
    if (get_u32(list.data) != VERSION)
        return -EOPNOTSUPP;
    if (list.len == HEADER_BYTES)
        return 1;
    for (size_t i = 0; i < entry_count(list.len); i++) {
        const uint8_t *entry = entry_at(list.data, i);
        if (!entry_valid(entry) || !tag_may_follow(tag_of(entry), before))
            return -EINVAL;
        before = tag_of(entry);
        seen |= before;
    }
    bool masked = !(seen & (TAG_USER | TAG_GROUP)) || seen & TAG_MASK;
    return (seen & needed) == needed && masked ? 0 : -EINVAL;
}

/* What stands for the group's three permission bits: the mask if there is one. */
static const uint8_t *group_entry(const uint8_t *list, size_t len)
{
    const uint8_t *found = NULL;
    for (size_t i = 0; i < entry_count(len); i++) {
        unsigned tag = tag_of(entry_at(list, i));
        if (tag == TAG_MASK || tag == TAG_GROUP_OBJ)
            found = entry_at(list, i); /* the mask comes later */
    }
    assert(found);
    return found;
}

/* The entries that the nine permission bits stand for, by shift. */
struct classes {
    uint8_t *of[3]; /* others, group, owner */
};

static struct classes classes_of(uint8_t *list, size_t len)
{
    assert(acl_check(slice_of(list, len)) == 0);
    uint8_t *last = list + len - ENTRY_BYTES;
    return (struct classes){{last, list + (group_entry(list, len) - list), list + HEADER_BYTES}};
}

uint32_t acl_mode(struct slice list)
{
    assert(acl_check(list) == 0);
    size_t count = entry_count(list.len);
    return perm_of(entry_at(list.data, 0)) << 6 | perm_of(group_entry(list.data, list.len)) << 3 |
           perm_of(entry_at(list.data, count - 1));
}

bool acl_is_minimal(struct slice list)
{
    return entry_count(list.len) == 3;
}

void acl_chmod(uint8_t *list, size_t len, uint32_t mode)
{
    struct classes c = classes_of(list, len);
    for (unsigned i = 0; i < 3; i++)
        set_perm(c.of[i], mode >> 3 * i & 07);
}

uint32_t acl_limit(uint8_t *list, size_t len, uint32_t mode)
{
    struct classes c = classes_of(list, len);
    for (unsigned i = 0; i < 3; i++) {
        set_perm(c.of[i], perm_of(c.of[i]) & mode >> 3 * i & 07);
        mode &= ~(07u << 3 * i) | perm_of(c.of[i]) << 3 * i;
    }
    return mode;
}

/* ---- lists of inodes ---- */

static uint32_t flag_of(enum acl_kind kind)
{
    assert(kind != ACL_NOT);
    return kind == ACL_ACCESS ? INODE_ACL_ACCESS : INODE_ACL_DEFAULT;
}

/* The inode's list, which its record says it has, as bytes that may be changed. 0 or -EIO. */
static int get(const struct txn *t, const struct inode *n, enum acl_kind kind, struct buf *list)
{
    struct store_value v = {0};
    struct key k = key_xattr(n->ino, name_of(kind));
    assert(acl_has(n, kind));
    int err = store_get(&t->read, key_slice(&k), &v);
    if (err == 0)
        buf_append(list, v.data);
    store_value_release(&v);
    if (err < 0 || (err == 0 && acl_check(buf_slice(list)) == 0))
        return err;
    char name[48];
    snprintf(name, sizeof name, "inode %llu", (unsigned long long)n->ino);
    return corrupt(name, UINT64_MAX, "an access control list that is missing or does not decode");
}

static void put(struct txn *t, struct inode *n, enum acl_kind kind, struct slice list)
{
    struct key k = key_xattr(n->ino, name_of(kind));
    n->flags |= flag_of(kind);
    store_batch_put(t->batch, key_slice(&k), list);
}

static void drop(struct txn *t, struct inode *n, enum acl_kind kind)
{
    struct key k = key_xattr(n->ino, name_of(kind));
    if (!acl_has(n, kind))
        return;
    n->flags &= ~flag_of(kind);
    store_batch_delete(t->batch, key_slice(&k));
    t->frees = true;
}

int acl_set(struct txn *t, struct inode *n, enum acl_kind kind, struct slice list)
{
    assert(t->reading && kind != ACL_NOT);
    if (S_ISLNK(n->mode))
        return -EOPNOTSUPP;
    int err = list.len > FS_XATTR_VALUE_MAX ? -E2BIG : acl_check(list);
    if (err < 0)
        return err;
    if (err == 0 && kind == ACL_DEFAULT && !inode_is_dir(n))
        return -EACCES;
    if (err == 0 && kind == ACL_ACCESS)
        n->mode = (n->mode & ~0777u) | acl_mode(list);
    if (err == 1 || (kind == ACL_ACCESS && acl_is_minimal(list)))
        drop(t, n, kind);
    else
        put(t, n, kind, list);
    return 0;
}

int acl_follow(struct txn *t, const struct inode *n)
{
    struct buf list = {0};
    struct key k = key_xattr(n->ino, ACL_NAME_ACCESS);
    if (!acl_has(n, ACL_ACCESS))
        return 0;
    int err = get(t, n, ACL_ACCESS, &list);
    if (err == 0) {
        acl_chmod(list.data, list.len, n->mode);
        store_batch_put(t->batch, key_slice(&k), buf_slice(&list));
    }
    buf_release(&list);
    return err;
}

int acl_inherit(struct txn *t, const struct inode *folder, uint32_t umask, struct inode *n)
{
    struct buf list = {0};
    if (S_ISLNK(n->mode))
        return 0;
    if (!acl_has(folder, ACL_DEFAULT)) {
        n->mode &= ~(umask & 0777);
        return 0;
    }
    int err = get(t, folder, ACL_DEFAULT, &list);
    if (err == 0) {
        if (inode_is_dir(n))
            put(t, n, ACL_DEFAULT, buf_slice(&list));
        n->mode = acl_limit(list.data, list.len, n->mode);
        if (!acl_is_minimal(buf_slice(&list)))
            put(t, n, ACL_ACCESS, buf_slice(&list));
    }
    buf_release(&list);
    return err;
}
