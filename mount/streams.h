/* streams: files and pipes that streams of snapshots are read from and written to. */
#ifndef VARVE_MOUNT_STREAMS_H
#define VARVE_MOUNT_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No stream has a shorter head. */
enum { STREAM_HEAD_LEAST = 96 };

struct stream_file {
    int fd;
    uint64_t bytes; /* that went through */
    bool failed;    /* it was this file that an error came from */
};
/* As fs_stream_write_fn and fs_stream_read_fn, with a struct stream_file as context. */
int stream_file_write(void *ctx, const void *data, size_t len);
int stream_file_read(void *ctx, void *data, size_t len, size_t *got);

/* The name of a file or folder, just made or moved there, is durable. 0 or a negative errno. */
int stream_sync_name(const char *path);

/* Writing to a pipe that nobody reads is an error, and does not end the program. */
void signal_ignore_pipe(void);

/* What reading a stream met, in one line; `stream` is where it came from, `where` the volume.
 * Returns the exit status. */
int explain_stream(const char *stream, const char *where, int err);

#endif
