/* control_xattr: the attributes that tell about a snapshot. They are answered and not listed, so no
 * copy of a snapshot carries them. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "mount/control.h"

struct created {
    uint64_t number;
    int64_t ns;
    bool found;
};

static int match_number(void *ctx, const struct fs_snapshot *snapshot)
{
    struct created *c = ctx;
    if (snapshot->number == c->number) {
        c->ns = snapshot->created_ns;
        c->found = true;
    }
    return c->found;
}

int control_xattr(struct mount *m, uint64_t ino, const char *name, char value[32])
{
    struct created c = {.number = ino >> FS_INO_BITS};
    assert(ino != 0 && name);
    if (c.number == 0 || ino != (c.number << FS_INO_BITS | FS_INO_ROOT) ||
        strcmp(name, CONTROL_XATTR_CREATED) != 0)
        return 1;
    int err = fs_snapshot_list(m->fs, match_number, &c);
    if (err < 0)
        return err;
    if (!c.found)
        return -ESTALE;
    snprintf(value, 32, "%lld.%09lld", (long long)(c.ns / 1000000000),
             (long long)(c.ns % 1000000000));
    return 0;
}
