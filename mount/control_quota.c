/* control_quota: the attributes of a folder by which it gets a limit, and tells how much of it is
 * used. Not listed, so no copy of the folder carries them. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mount/control.h"
#include "mount/options.h"

bool control_is_quota(const char *name)
{
    return strcmp(name, CONTROL_XATTR_QUOTA) == 0 || strcmp(name, CONTROL_XATTR_QUOTA_USED) == 0;
}

int control_quota_parse(const char *value, size_t len, uint64_t *limit_bytes)
{
    char text[32];
    if (len == 0 || len >= sizeof text || memchr(value, 0, len))
        return -EINVAL;
    memcpy(text, value, len);
    text[len] = 0;
    *limit_bytes = 0;
    return strcmp(text, "none") == 0 ? 0 : options_size(text, limit_bytes);
}

int control_quota_set(struct mount *m, uint64_t ino, const char *name, const char *value,
                      size_t len)
{
    uint64_t limit_bytes;
    if (strcmp(name, CONTROL_XATTR_QUOTA) != 0)
        return -EPERM;
    int err = control_quota_parse(value, len, &limit_bytes);
    return err == 0 ? fs_set_quota(m->fs, ino, limit_bytes) : err;
}

int control_quota_get(struct mount *m, uint64_t ino, const char *name, char text[32])
{
    struct fs_quota q;
    bool used = strcmp(name, CONTROL_XATTR_QUOTA_USED) == 0;
    assert(control_is_quota(name));
    int err = fs_get_quota(m->fs, ino, &q);
    if (err == 1 || (err == 0 && q.folder != ino) || (err == 0 && !used && q.limit_bytes == 0))
        return -ENODATA;
    if (err == 0)
        snprintf(text, 32, "%" PRIu64, used ? q.used_bytes : q.limit_bytes);
    return err;
}

int control_quota_remove(struct mount *m, uint64_t ino, const char *name)
{
    char text[32];
    int err = control_quota_get(m, ino, name, text);
    if (err < 0)
        return err;
    return strcmp(name, CONTROL_XATTR_QUOTA) == 0 ? fs_set_quota(m->fs, ino, 0) : -EPERM;
}
