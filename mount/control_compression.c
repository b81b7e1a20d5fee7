/* control_compression: the attribute of a file or folder by which it is compressed in a way of its
 * own. Not listed, so no copy carries it. */
#include <errno.h>
#include <string.h>

#include "mount/control.h"
#include "mount/options.h"
#include "mount/tell.h"

_Static_assert(TELL_COMPRESSION_MAX <= 32, "it fits");

bool control_is_compression(const char *name)
{
    return strcmp(name, CONTROL_XATTR_COMPRESSION) == 0;
}

int control_compression_parse(const char *value, size_t len, int *zstd_level)
{
    char text[16];
    if (len == 0 || len >= sizeof text || memchr(value, 0, len))
        return -EINVAL;
    memcpy(text, value, len);
    text[len] = 0;
    *zstd_level = FS_COMPRESSION_DEFAULT;
    return strcmp(text, "default") == 0 ? 0 : options_compression(text, zstd_level);
}

int control_compression_set(struct mount *m, uint64_t ino, const char *value, size_t len)
{
    int level;
    int err = control_compression_parse(value, len, &level);
    return err == 0 ? fs_set_compression(m->fs, ino, level) : err;
}

int control_compression_get(struct mount *m, uint64_t ino, char text[32])
{
    int level;
    int err = fs_get_compression(m->fs, ino, &level);
    if (err == 0)
        tell_compression(level, text);
    return err == 1 ? -ENODATA : err;
}

int control_compression_remove(struct mount *m, uint64_t ino)
{
    int level;
    int err = fs_get_compression(m->fs, ino, &level);
    if (err == 0)
        err = fs_set_compression(m->fs, ino, FS_COMPRESSION_DEFAULT);
    return err == 1 ? -ENODATA : err;
}
