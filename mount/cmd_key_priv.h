/* cmd_key_priv: the parts of cmd_key.c. */
#ifndef VARVE_MOUNT_CMD_KEY_PRIV_H
#define VARVE_MOUNT_CMD_KEY_PRIV_H

#include "fs/fs.h"
#include "mount/passphrase.h"

/* What stood on the command line. */
struct key_request {
    const char *volume;
    struct passphrase_source source, new_source;
    struct passphrase_source others[STORE_KEY_SLOTS];
    const char *label;
    int slot; /* -1: not given */
    bool as_json, later, drop_others;
};

/* Tells what went wrong. Returns the exit status. */
int cmd_key_explain(const char *volume, int err);
/* Gets the passphrase of a volume that is encrypted. 0, or an exit status after telling why; to be
 * wiped in any case. */
int cmd_key_unlock(const struct key_request *r, struct passphrase *p);

/* cmd_key_rotate.c; both return the exit status. */
int cmd_key_rotate(const struct key_request *r);
int cmd_key_finish(const struct key_request *r);

#endif
