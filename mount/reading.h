/* reading: a volume, or what is mounted, opened to read its snapshots, for commands that look at
 * more than files: `WHERE[@SNAPSHOT]` on the command line. */
#ifndef VARVE_MOUNT_READING_H
#define VARVE_MOUNT_READING_H

#include "fs/fs.h"
#include "mount/cmd.h"
#include "mount/passphrase.h"
#include "mount/temp.h"

/* What "WHERE", "WHERE@SNAPSHOT", or the path of a snapshot's folder in a mount means. */
struct reading_name {
    char *where;
    char *snapshot; /* NULL: the present */
};
void reading_name_parse(const char *text, struct reading_name *out);
void reading_name_release(struct reading_name *n);
/* Can it be a snapshot's name? */
bool reading_is_snapshot_name(const char *name);

/* Of a mount, which has its volume open, a checkpoint is read: links, made at once, in a folder of
 * its own beside the volume, and removed at the end; or, where the command is killed, by the next
 * one, or the next mount. */
struct reading {
    struct cmd_place place;
    struct fs *fs;    /* read-only */
    struct temp temp; /* the checkpoint's, of a mount */
};
/* 0, or an exit status after telling why; to be closed in any case. Interrupts do not end the
 * program from then on (cmd_cancelled()). */
int reading_open(const struct passphrase_source *source, const char *where, struct reading *r);
/* Returns `status`, or what closing met. */
int reading_close(struct reading *r, int status);

#endif
