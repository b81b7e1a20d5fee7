/* xattr: see xattr.h. Names in the system. space mean something that would have to be enforced:
 * those of access control lists are acl.h's matter, others are refused rather than kept without
 * effect. */
#include "fs/xattr.h"

int xattr_check_name(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > 255)
        return -ERANGE;
    static const char *const spaces[] = {"user.", "trusted.", "security."};
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        size_t n = strlen(spaces[i]);
        if (strncmp(name, spaces[i], n) == 0)
            return len > n ? 0 : -EINVAL;
    }
    return -EOPNOTSUPP;
}

int xattr_get(const struct reader *r, uint64_t ino, const char *name, void *value, size_t size,
              size_t *len)
{
    struct store_value v = {0};
    *len = 0;
    if (strlen(name) == 0 || strlen(name) > 255)
        return -ERANGE;
    struct key k = key_xattr(ino, name);
    int err = store_get(&r->read, key_slice(&k), &v);
    if (err == 0) {
        *len = v.data.len;
        if (size > 0 && size < v.data.len)
            err = -ERANGE;
        else if (size > 0 && v.data.len)
            memcpy(value, v.data.data, v.data.len);
    }
    store_value_release(&v);
    return err == 1 ? -ENODATA : err;
}

/* Appends the name of the attribute with that key, if there is room; counts it in any case. */
static int add_name(struct slice key, char *names, size_t size, size_t *len)
{
    uint64_t ino;
    uint8_t kind;
    struct slice name;
    assert(names || size == 0);
    if (!key_split(key, &ino, &kind, &name) || name.len == 0)
        return corrupt("a table", UINT64_MAX, "an extended attribute without a name");
    size_t at = *len;
    *len += name.len + 1;
    if (*len > size)
        return 0;
    memcpy(names + at, name.data, name.len);
    names[at + name.len] = 0;
    return 0;
}

int xattr_list(const struct reader *r, uint64_t ino, char *names, size_t size, size_t *len)
{
    struct key lower = key_kind(ino, KIND_XATTR), upper = key_kind(ino, KIND_DIRENT);
    struct store_iter *it = store_iter_new(&r->read, key_slice(&lower), key_slice(&upper));
    *len = 0;
    int err = store_iter_first(it);
    while (err == 0) {
        err = add_name(store_iter_key(it), names, size, len);
        if (err == 0)
            err = store_iter_next(it);
    }
    store_iter_free(it);
    if (err == 1)
        err = size > 0 && *len > size ? -ERANGE : 0;
    return err;
}

int xattr_set(struct txn *t, uint64_t ino, const char *name, struct slice value, int flags)
{
    struct key k = key_xattr(ino, name);
    assert(t->reading && xattr_check_name(name) == 0);
    if (flags & ~(FS_XATTR_CREATE | FS_XATTR_REPLACE))
        return -EINVAL;
    if (value.len > FS_XATTR_VALUE_MAX)
        return -E2BIG;
    if (flags & (FS_XATTR_CREATE | FS_XATTR_REPLACE)) {
        int has = store_has(&t->read, key_slice(&k));
        if (has < 0)
            return has;
        if (has == 0 && (flags & FS_XATTR_CREATE))
            return -EEXIST;
        if (has == 1 && (flags & FS_XATTR_REPLACE))
            return -ENODATA;
    }
    store_batch_put(t->batch, key_slice(&k), value);
    return 0;
}

int xattr_remove(struct txn *t, uint64_t ino, const char *name)
{
    struct key k = key_xattr(ino, name);
    assert(t->reading && xattr_check_name(name) == 0);
    int has = store_has(&t->read, key_slice(&k));
    if (has != 0)
        return has < 0 ? has : -ENODATA;
    store_batch_delete(t->batch, key_slice(&k));
    t->frees = true;
    return 0;
}
