/* control_checkpoint: the attribute of .varve/snapshots by which a checkpoint of a mounted volume
 * is made. Not listed, so no copy of the tree carries it. */
#include "mount/control.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

bool control_is_checkpoint(uint64_t ino, const char *name)
{
    return ino == FS_INO_SNAPSHOTS && strcmp(name, CONTROL_XATTR_CHECKPOINT) == 0;
}

/* ---- texts ---- */

int control_checkpoint_take(const char *value, size_t len, const char **dir, const char **snapshot)
{
    size_t dir_len = strnlen(value, len);
    *dir = value;
    *snapshot = dir_len < len ? value + dir_len + 1 : NULL;
    bool good = len < CONTROL_CHECKPOINT_VALUE_MAX && value[0] == '/' &&
                (!*snapshot || strlen(*snapshot) == len - dir_len - 1);
    return good && (!*snapshot || **snapshot) ? 0 : -EINVAL;
}

void control_checkpoint_print(const struct store_checkpoint *c,
                              char text[CONTROL_CHECKPOINT_TEXT_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < sizeof c->uuid; i++, len += 2)
        snprintf(text + len, 3, "%02x", c->uuid[i]);
    int more = snprintf(text + len, CONTROL_CHECKPOINT_TEXT_MAX - len,
                        " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, c->seq, c->linked_files,
                        c->copied_files, c->copied_bytes);
    assert(more > 0 && (size_t)more < CONTROL_CHECKPOINT_TEXT_MAX - len);
    (void)more;
}

int control_checkpoint_parse(const char *text, struct store_checkpoint *c)
{
    int used = 0;
    *c = (struct store_checkpoint){0};
    for (size_t i = 0; i < sizeof c->uuid; i++, text += 2) {
        unsigned byte;
        if (sscanf(text, "%2x%n", &byte, &used) != 1 || used != 2)
            return -EINVAL;
        c->uuid[i] = (uint8_t)byte;
    }
    int got = sscanf(text, " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 "%n", &c->seq,
                     &c->linked_files, &c->copied_files, &c->copied_bytes, &used);
    return got == 4 && text[used] == 0 ? 0 : -EINVAL;
}

/* ---- asking ---- */

int control_checkpoint_ask(const char *mount, const char *dir, const char *snapshot,
                           struct store_checkpoint *out)
{
    char text[CONTROL_CHECKPOINT_TEXT_MAX] = "";
    char value[CONTROL_CHECKPOINT_VALUE_MAX];
    size_t len = strlen(dir), more = snapshot ? strlen(snapshot) + 1 : 0;
    *out = (struct store_checkpoint){0};
    if (len + more >= sizeof value)
        return -ENAMETOOLONG;
    char *door = mem_printf("%s/%s/%s", mount, FS_CONTROL_NAME, FS_SNAPSHOTS_NAME);
    memcpy(value, dir, len + 1);
    if (more)
        memcpy(value + len + 1, snapshot, more);
    int err = setxattr(door, CONTROL_XATTR_CHECKPOINT, value, len + more, 0) ? -errno : 0;
    if (err == 0 && getxattr(door, CONTROL_XATTR_CHECKPOINT, text, sizeof text - 1) < 0)
        err = -errno;
    free(door);
    return err < 0 ? err : control_checkpoint_parse(text, out);
}

/* ---- making ---- */

/* Would it be made through our own mount? It would never end. */
static bool is_inside(const char *mount_path, const char *dir)
{
    struct stat mount, parent;
    char *above = mem_strdup(dir);
    char *slash = strrchr(above, '/');
    assert(slash);
    slash[slash == above] = 0;
    bool inside =
        stat(mount_path, &mount) == 0 && stat(above, &parent) == 0 && mount.st_dev == parent.st_dev;
    free(above);
    return inside;
}

int control_checkpoint_make(struct mount *m, const char *mount_path, const char *dir,
                            const char *snapshot, struct store_checkpoint *out)
{
    *out = (struct store_checkpoint){0};
    if (is_inside(mount_path, dir))
        return -ELOOP;
    int err = fs_checkpoint(m->fs, dir, snapshot, out);
    if (err == 1)
        return -ENODATA;
    if (err == 0)
        log_message(LOG_INFO,
                    "%s: a checkpoint; %" PRIu64 " files are linked, %" PRIu64 " copied (%" PRIu64
                    " bytes)",
                    dir, out->linked_files, out->copied_files, out->copied_bytes);
    return err;
}
