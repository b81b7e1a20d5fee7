/* streams: see streams.h. */
#include "mount/streams.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs.h"
#include "mount/cmd.h"
#include "mount/explain.h"
#include "mount/tell.h"

int stream_file_write(void *ctx, const void *data, size_t len)
{
    struct stream_file *f = ctx;
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(f->fd, at, len);
        if (n < 0 && errno == EINTR && !cmd_cancelled())
            continue;
        if (n < 0) {
            f->failed = true;
            return -errno;
        }
        at += n;
        len -= (size_t)n;
        f->bytes += (uint64_t)n;
    }
    return 0;
}

int stream_file_read(void *ctx, void *data, size_t len, size_t *got)
{
    struct stream_file *f = ctx;
    *got = 0;
    while (*got < len) {
        ssize_t n = read(f->fd, (char *)data + *got, len - *got);
        if (cmd_cancelled())
            return -EINTR;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            f->failed = true;
            return -errno;
        }
        if (n == 0)
            return 0;
        *got += (size_t)n;
        f->bytes += (uint64_t)n;
    }
    return 0;
}

int stream_sync_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = slash ? mem_printf("%.*s", (int)(slash - path + 1), path) : mem_strdup(".");
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd < 0 || fsync(fd) != 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    free(parent);
    return err;
}

void signal_ignore_pipe(void)
{
    signal(SIGPIPE, SIG_IGN);
}

int explain_stream(const char *stream, const char *where, int err)
{
    assert(err < 0);
    switch (err) {
    case -ENOMSG:
        return tell_error("%s: not a stream of 'varvefs send'; nothing has changed", stream);
    case -EPROTONOSUPPORT:
        return tell_error("%s: written by a newer varvefs than this one (%s)", stream,
                          VARVEFS_VERSION);
    case -EBADMSG:
        return tell_error("%s: the stream was altered on its way; nothing has changed", stream);
    case -EPIPE:
        return tell_error("%s: the stream is truncated; nothing has changed", stream);
    case -ECHILD:
        return tell_error("%s: the stream goes on with one that was interrupted; receive both with "
                          "--partial=FILE",
                          stream);
    case -EXDEV:
        return tell_error("%s: the stream is of another volume than this one came from", where);
    case -ESTALE:
        return tell_error("%s: the snapshot that the stream leads from is not here; send from one "
                          "that is, or all of it into a new volume",
                          where);
    case -ENOTEMPTY:
        return tell_error("%s: the stream leads from nothing and makes a new volume, but something "
                          "is here; send with --from=SNAPSHOT",
                          where);
    case -EOPNOTSUPP:
        return tell_error("%s: the snapshot that the stream leads from has limits of folders, or "
                          "files with a compression of their own, which streams do not have; send "
                          "all of it into a new volume",
                          where);
    case -EBUSY:
        return tell_error(
            "%s: changed since the snapshot that the stream leads from; --force undoes "
            "that",
            where);
    case -EINTR:
        return tell_error("interrupted; nothing has changed");
    default:
        return explain_volume(where, err);
    }
}
