/* cmd_checkpoint_priv: what the commands checkpoint and clone share. */
#ifndef VARVE_MOUNT_CMD_CHECKPOINT_PRIV_H
#define VARVE_MOUNT_CMD_CHECKPOINT_PRIV_H

#include "fs/fs.h"
#include "mount/cmd.h"
#include "mount/passphrase.h"

struct checkpoint {
    struct passphrase_source source;
    const char *shown, *dir_shown; /* as on the command line */
    const char *snapshot;          /* NULL: the present */
    bool as_json, quiet;
    bool is_clone; /* links only; and it is called so */
    struct cmd_place place;
    char *dir; /* absolute */
    struct store_checkpoint made;
};
/* Makes it, and tells. Returns the exit status. */
int cmd_checkpoint_run(struct checkpoint *c);
void cmd_checkpoint_release(struct checkpoint *c);

#endif
