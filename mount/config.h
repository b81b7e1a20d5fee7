/* config: the settings of a mount as text, one NAME=VALUE a line, and what is written to it. */
#ifndef VARVE_MOUNT_CONFIG_H
#define VARVE_MOUNT_CONFIG_H

#include "fs/fs.h"

#define CONFIG_ERROR_LINE "# last error: " /* how the line begins that tells of a refusal */

/* What is in force, below `error` in a line of its own, if there was one (not NULL, not ""). What
 * is printed may be written back as it is. */
void config_print(struct fs *fs, const char *error, struct buf *out);

/* Takes lines as config_print() makes them: NAME=VALUE with blanks around each; empty lines and
 * those that begin with # mean nothing. All of them are in force afterwards, or none. -EINVAL: a
 * line is not of that form, names no setting, or its value is of another kind; -ERANGE: the value
 * is out of range; -EPERM: it cannot change while mounted; or what applying it gives. `message`
 * says which line and why, and is "" otherwise. */
int config_apply(struct fs *fs, struct slice text, char message[STORE_MESSAGE_MAX]);

#endif
