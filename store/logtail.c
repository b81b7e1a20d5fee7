/* logtail: see logtail.h.
 *
 * Invariants:
 *   1. The header is changed only while TAIL holds nothing that is not in the log's file as well:
 * so a kill in the middle of the change loses nothing.
 *   2. The bytes at `at` are those of the log's file at base + at, or will be, or a row in the file
 *      stands for all of them; no frame is ever put here that the log then drops (journal_write.c
 *      sees to it). */
#include "store/logtail.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/err.h"

struct logtail {
    struct env *env;
    struct env_file *io;
    char *path;
};

enum { TAIL_BYTES = LOGTAIL_HEADER_SIZE + LOGTAIL_ROOM };

static int put_header(struct logtail *t, uint64_t number, uint64_t base)
{
    uint8_t header[LOGTAIL_HEADER_SIZE];
    logtail_header_encode(number, base, header);
    return t->io->ops->write(t->io, 0, header, sizeof header);
}

int logtail_open(struct env *env, const char *dir, struct logtail **out)
{
    struct logtail *t = mem_zalloc(sizeof *t);
    *out = NULL;
    t->env = env;
    t->path = name_tail(dir);
    int err = env->open(env, t->path, ENV_OPEN_MAPPED, &t->io);
    if (err == 0)
        err = t->io->ops->truncate(t->io, TAIL_BYTES);
    if (err == 0)
        err = put_header(t, 0, 0);
    if (err == 0) {
        *out = t;
        return 0;
    }
    log_message(LOG_INFO, "%s cannot be used (%s): each record is written to its log", t->path,
                strerror(-err));
    logtail_free(t, false);
    return err;
}

void logtail_free(struct logtail *t, bool remove)
{
    if (!t)
        return;
    if (t->io)
        t->io->ops->close(t->io);
    if (remove)
        t->env->remove(t->env, t->path); /* if it stays it is used again */
    free(t->path);
    free(t);
}

int logtail_begin(struct logtail *t, uint64_t number, uint64_t base)
{
    assert(number > 0 && base >= FILE_HEADER_SIZE);
    int err = put_header(t, number, base);
    if (err < 0)
        put_header(t, 0, 0);
    return err;
}

int logtail_put(struct logtail *t, size_t at, struct slice bytes)
{
    assert(at <= LOGTAIL_ROOM && bytes.len <= LOGTAIL_ROOM - at);
    return t->io->ops->write(t->io, LOGTAIL_HEADER_SIZE + at, bytes.data, bytes.len);
}

/* ---- reading ---- */

static int read_header(struct env *env, const char *dir, struct env_file **io, uint64_t *number,
                       uint64_t *base)
{
    uint8_t header[LOGTAIL_HEADER_SIZE];
    size_t got;
    char *path = name_tail(dir);
    int err = env->open(env, path, ENV_OPEN_READ, io);
    free(path);
    if (err < 0)
        return err == -ENOENT ? 1 : err;
    err = (*io)->ops->read(*io, 0, header, sizeof header, &got);
    if (err == 0 && (got < sizeof header || !logtail_header_decode(header, number, base)))
        err = 1;
    return err;
}

/* `wanted`: the number of the log that is asked for; 0: any. */
static int read_tail(struct env *env, const char *dir, uint64_t wanted, uint64_t *number,
                     uint64_t *base, struct buf *bytes)
{
    struct env_file *io = NULL;
    size_t got = 0;
    *number = *base = 0;
    int err = read_header(env, dir, &io, number, base);
    if (err == 0 && wanted && *number != wanted)
        err = 1;
    if (err == 0)
        err = io->ops->read(io, LOGTAIL_HEADER_SIZE, buf_reserve(bytes, LOGTAIL_ROOM), LOGTAIL_ROOM,
                            &got);
    bytes->len += got;
    if (io)
        io->ops->close(io);
    return err;
}

int logtail_read(struct env *env, const char *dir, uint64_t number, uint64_t *base,
                 struct buf *bytes)
{
    uint64_t of;
    assert(number > 0);
    return read_tail(env, dir, number, &of, base, bytes);
}

int logtail_read_any(struct env *env, const char *dir, uint64_t *number, uint64_t *base,
                     struct buf *bytes)
{
    return read_tail(env, dir, 0, number, base, bytes);
}

bool logtail_continues(struct env *env, const char *dir, uint64_t number, uint64_t size)
{
    struct env_file *io = NULL;
    uint64_t of = 0, base;
    int err = read_header(env, dir, &io, &of, &base);
    if (io)
        io->ops->close(io);
    return err == 0 && of == number && base <= size;
}
