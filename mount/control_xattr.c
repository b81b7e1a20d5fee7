/* control_xattr: the attributes that tell about a snapshot. They are answered and not listed, so no
 * copy of a snapshot carries them. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "mount/control.h"

struct shot {
    uint64_t number;
    int64_t created_ns;
    char name[FS_NAME_MAX + 1]; /* "": not found */
};

static int match_number(void *ctx, const struct fs_snapshot *snapshot)
{
    struct shot *s = ctx;
    if (snapshot->number != s->number)
        return 0;
    s->created_ns = snapshot->created_ns;
    snprintf(s->name, sizeof s->name, "%s", snapshot->name);
    return 1;
}

/* Of a snapshot's root folder, and that attribute? */
static bool is_about(uint64_t ino, const char *name, const char *attribute)
{
    assert(ino != 0 && name);
    return ino >> FS_INO_BITS != 0 && (ino & ((UINT64_C(1) << FS_INO_BITS) - 1)) == FS_INO_ROOT &&
           strcmp(name, attribute) == 0;
}

bool control_is_frees(uint64_t ino, const char *name)
{
    return is_about(ino, name, CONTROL_XATTR_FREES);
}

void control_frees_print(const struct store_pin_space *space, char text[CONTROL_SHOT_TEXT_MAX])
{
    snprintf(text, CONTROL_SHOT_TEXT_MAX, "%" PRIu64 " %" PRIu64 " %" PRIu64, space->value_bytes,
             space->entry_bytes, space->entries);
}

int control_frees_parse(const char *text, struct store_pin_space *space)
{
    int used = 0;
    *space = (struct store_pin_space){0};
    int got = sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 "%n", &space->value_bytes,
                     &space->entry_bytes, &space->entries, &used);
    return got == 3 && text[used] == 0 ? 0 : -EINVAL;
}

static int frees(struct mount *m, const char *name, char value[CONTROL_SHOT_TEXT_MAX])
{
    struct store_pin_space space;
    int err = fs_snapshot_space(m->fs, name, &space);
    if (err == 0)
        control_frees_print(&space, value);
    return err == -ENOENT ? -ESTALE : err; /* deleted or renamed just now */
}

static int process(char value[CONTROL_SHOT_TEXT_MAX])
{
    char space[40] = "";
    ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    space[n > 0 ? n : 0] = 0;
    snprintf(value, CONTROL_SHOT_TEXT_MAX, "%ld %s", (long)getpid(), space);
    return 0;
}

int control_xattr(struct mount *m, uint64_t ino, const char *name,
                  char value[CONTROL_SHOT_TEXT_MAX])
{
    struct shot s = {.number = ino >> FS_INO_BITS};
    bool created = is_about(ino, name, CONTROL_XATTR_CREATED);
    if (ino == FS_INO_ROOT && strcmp(name, CONTROL_XATTR_PROCESS) == 0)
        return process(value);
    if (!created && !control_is_frees(ino, name))
        return 1;
    int err = fs_snapshot_list(m->fs, match_number, &s);
    if (err < 0)
        return err;
    if (!s.name[0])
        return -ESTALE;
    if (!created)
        return frees(m, s.name, value);
    snprintf(value, CONTROL_SHOT_TEXT_MAX, "%lld.%09lld", (long long)(s.created_ns / 1000000000),
             (long long)(s.created_ns % 1000000000));
    return 0;
}
