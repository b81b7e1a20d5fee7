/* send: a snapshot, or what leads from one to another, as a stream. */
#ifndef VARVE_FS_SEND_H
#define VARVE_FS_SEND_H

#include "fs/volume.h"

/* As fs_send(). */
int send_stream(struct fs *fs, const char *from, const char *to, const char *token,
                fs_stream_write_fn *write, void *ctx, struct fs_stream_report *report);

#endif
