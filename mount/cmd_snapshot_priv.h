/* cmd_snapshot_priv: the parts of cmd_snapshot.c. */
#ifndef VARVE_MOUNT_CMD_SNAPSHOT_PRIV_H
#define VARVE_MOUNT_CMD_SNAPSHOT_PRIV_H

#include "fs/fs.h"
#include "mount/cmd.h"
#include "mount/passphrase.h"

struct snapshot_where {
    const char *path; /* as it was given */
    struct passphrase_source source;
};
/* What the command works on: one of the two is not NULL. */
struct snapshot_work {
    struct cmd_place place;
    struct fs *fs; /* of a volume that is not mounted */
    char *dir;     /* .varve/snapshots of a mount */
};
/* 0, or an exit status after telling why. To be closed in any case. */
int cmd_snapshot_open(const struct snapshot_where *where, bool read_only, struct snapshot_work *w);
/* Returns `status`, or what closing met. */
int cmd_snapshot_close(struct snapshot_work *w, int status);

/* cmd_snapshot_list.c: prints them, oldest first; `space`: with what deleting each would free.
 * Returns the exit status. */
int cmd_snapshot_list(const struct snapshot_where *where, bool space, bool as_json);

#endif
