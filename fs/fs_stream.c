/* fs_stream: the part of the door that is about sending snapshots and receiving them. */
#include "fs/moment.h"
#include "fs/open.h"
#include "fs/receive.h"
#include "fs/send.h"
#include "fs/snapshot.h"

#include <stdio.h>

int fs_send(struct fs *fs, const char *from, const char *to, const char *token,
            fs_stream_write_fn *write, void *ctx, struct fs_stream_report *report)
{
    return send_stream(fs, from, to, token, write, ctx, report);
}

/* ---- into a volume that is there ---- */

struct adoption {
    struct fs *fs;
    uint64_t base;
    struct stream_reader *stream;
    struct fs_stream_report *report;
};

static int adopt(void *ctx, struct store_pin *pin)
{
    struct adoption *a = ctx;
    return receive_apply(a->fs->store, a->base, a->stream, pin, a->report);
}

/* Does the stream fit this volume as it is? `*base`: the number of what it leads from. */
static int check_base(struct fs *fs, const struct stream_head *h, bool force, uint64_t *base,
                      struct fs_stream_report *report)
{
    uint64_t seq;
    char *name;
    if (memcmp(h->origin, fs->super.uuid, sizeof h->origin) != 0 ||
        h->super.chunk_bytes != fs->super.chunk_bytes || h->super.hash_seed != fs->super.hash_seed)
        return -EXDEV;
    int err = moment_find(fs, &h->made, &seq, &name);
    if (err == 0)
        snprintf(report->snapshot, sizeof report->snapshot, "%s", name);
    free(name);
    if (err != 1)
        return err < 0 ? err : -EALREADY;
    if (h->base.seq == 0)
        return -ENOTEMPTY;
    err = moment_find(fs, &h->base, base, &name);
    free(name);
    if (err != 0)
        return err < 0 ? err : -ESTALE;
    int rules = receive_has_rules(fs->store, *base);
    if (rules != 0)
        return rules < 0 ? rules : -EOPNOTSUPP;
    int changed = force ? 0 : receive_is_changed(fs->store, *base);
    return changed > 0 ? -EBUSY : changed;
}

static int receive(struct fs *fs, const struct fs_receive_options *o, struct stream_reader *r,
                   struct fs_stream_report *report)
{
    struct adoption a = {.fs = fs, .stream = r, .report = report};
    int err = stream_reader_head(r);
    if (err < 0)
        return err;
    const char *name = o->name ? o->name : r->head.name;
    snprintf(report->snapshot, sizeof report->snapshot, "%s", name);
    if (r->head.first_block != 0)
        return -ECHILD;
    err = check_base(fs, &r->head, o->force, &a.base, report);
    if (err == 0)
        err = snapshot_adopt(fs, name, adopt, &a);
    return err == 0 ? volume_reload(fs) : err;
}

int fs_receive(struct fs *fs, const struct fs_receive_options *o, fs_stream_read_fn *read,
               void *ctx, struct fs_stream_report *report)
{
    struct stream_reader r;
    *report = (struct fs_stream_report){0};
    if (fs->read_only)
        return -EROFS;
    stream_reader_init(&r, read, ctx);
    int err = receive(fs, o, &r, report);
    stream_reader_release(&r);
    return err;
}

/* ---- into one that begins with it ---- */

static int fill(const char *path, const struct fs_make_options *make, struct stream_reader *r,
                const char *name, struct fs_stream_report *report)
{
    struct fs_options open = {.env = make->env, .zstd_level = -1, .secret = make->secret};
    struct store_options so;
    struct store *s;
    open_store_options(&so, &open);
    so.zstd_level = r->head.super.zstd_level;
    int err = store_create(path, &so);
    if (err == 0)
        err = store_open(path, &so, &s);
    if (err < 0)
        return err;
    struct store_pin pin = {.tag = 1, .created_ns = store_realtime(s), .name = name};
    err = receive_apply(s, 0, r, &pin, report);
    int closed = store_close(s);
    return err < 0 ? err : closed;
}

int fs_receive_new(const char *path, const struct fs_make_options *make,
                   const struct fs_receive_options *o, fs_stream_read_fn *read, void *ctx,
                   struct fs_stream_report *report)
{
    struct stream_reader r;
    *report = (struct fs_stream_report){0};
    stream_reader_init(&r, read, ctx);
    int err = stream_reader_head(&r);
    if (err == 0 && r.head.first_block != 0)
        err = -ECHILD;
    if (err == 0 && r.head.base.seq != 0)
        err = -ESTALE;
    if (err == 0) {
        const char *name = o->name ? o->name : r.head.name;
        snprintf(report->snapshot, sizeof report->snapshot, "%s", name);
        err = fill(path, make, &r, name, report);
    }
    stream_reader_release(&r);
    return err;
}
