/* check_keyless: what can be said of an encrypted store without its key: every file's header, every
 * frame's checksum, the footers of tables, CURRENT and KEYS. Frames follow one another, so they are
 * found by their lengths alone.
 *
 * What cannot be said: which files and values are referred to, and what is in them. A frame at the
 * end of a log, a manifest or a blob file that does not verify is what a power cut leaves; in front
 * of sound ones it is damage, and so it is anywhere in a table. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/check_priv.h"
#include "store/file.h"
#include "store/keyslots.h"

struct keyless {
    struct check_report report;
    struct env *env;
    const char *dir;
    struct buf frame;
    uint64_t frames, frame_bytes;
};

/* One file that is being read. */
struct walk {
    struct keyless *k;
    const char *name;
    struct file file;
    uint64_t end;    /* of the frames */
    uint64_t bad_at; /* a frame that does not verify, and of which nothing was said yet; 0: none */
};

static void tell(struct walk *w, int code, enum store_severity severity, uint64_t offset,
                 const char *text)
{
    check_tell(&w->k->report, code, severity, w->name, offset, text);
}

static int frame_code(enum file_kind kind)
{
    switch (kind) {
    case FILE_TABLE:
        return FINDING_TABLE_FRAME;
    case FILE_BLOB:
        return FINDING_BLOB_FRAME;
    case FILE_MANIFEST:
        return FINDING_MANIFEST;
    default:
        return FINDING_LOG;
    }
}

/* ---- frames ---- */

/* The frame at `at`: 0 with its length, 1 when it does not verify (its length, if it has a sane
 * one, else 0), or an error of the disk. */
static int read_frame(struct walk *w, uint64_t at, uint32_t *len)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame_header h;
    size_t got;
    *len = 0;
    int err = w->file.io->ops->read(w->file.io, at, bytes, sizeof bytes, &got);
    if (err)
        return err;
    if (got < sizeof bytes)
        return 1;
    frame_header_decode(bytes, &h);
    if (h.stored_len > w->end - at - FRAME_HEADER_SIZE ||
        h.stored_len > FRAME_RAW_MAX + FRAME_SEAL_SIZE)
        return 1;
    *len = FRAME_HEADER_SIZE + h.stored_len;
    struct frame_ref where = {at, *len};
    return file_probe_frame(&w->file, &where, &w->k->frame, &h);
}

/* Are there only zeros from `at` on? 0 yes, 1 no, or an error. */
static int only_zeros(struct walk *w, uint64_t at)
{
    uint8_t bytes[4096];
    while (at < w->end) {
        size_t len = w->end - at < sizeof bytes ? (size_t)(w->end - at) : sizeof bytes, got;
        int err = w->file.io->ops->read(w->file.io, at, bytes, len, &got);
        if (err || got < len)
            return err ? err : 1;
        if (bytes[0] != 0 || memcmp(bytes, bytes + 1, len - 1) != 0)
            return 1;
        at += len;
    }
    return 0;
}

static void tell_bad(struct walk *w)
{
    tell(w, frame_code(w->file.header.kind), STORE_DAMAGE, w->bad_at,
         "the checksum of the frame does not hold");
    w->bad_at = 0;
}

/* Walks to the end, or to where frames cannot be told any more. 0 or an error of the disk. */
static int walk_frames(struct walk *w, uint64_t *at)
{
    for (*at = FILE_HEADER_SIZE; *at < w->end && !w->k->report.stopped;) {
        uint32_t len;
        int rc = read_frame(w, *at, &len);
        if (rc < 0)
            return rc;
        if (rc == 0 && w->bad_at)
            tell_bad(w); /* sound ones follow */
        if (rc == 0) {
            w->k->frames++;
            w->k->frame_bytes += len;
        }
        if (rc == 1 && (w->bad_at || len == 0))
            return 0;
        if (rc == 1)
            w->bad_at = *at;
        *at += len;
    }
    return 0;
}

/* How the frames of a file that grows end. */
static void check_tail(struct walk *w, uint64_t at)
{
    enum file_kind kind = w->file.header.kind;
    if (w->bad_at)
        at = w->bad_at;
    if (at >= w->end || only_zeros(w, at) == 0)
        return;
    if (kind == FILE_BLOB)
        tell(w, FINDING_BLOB_FRAME, STORE_WARNING, at,
             "it ends in bytes that do not verify; whether anything refers to them cannot be told "
             "without the key");
    else
        tell(w, kind == FILE_LOG ? FINDING_LOG_TAIL : FINDING_MANIFEST_TAIL,
             kind == FILE_LOG ? STORE_NOTE : STORE_WARNING, at,
             "it ends in bytes that do not verify, as a power cut leaves them; what comes before "
             "is whole");
}

static void check_footer(struct walk *w, uint64_t at)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    struct table_footer footer;
    uint64_t tag;
    if (w->bad_at)
        tell_bad(w);
    else if (at != w->end)
        tell(w, FINDING_TABLE_FRAME, STORE_DAMAGE, at, "the frames cannot be told from here on");
    if (file_read(&w->file, w->end, bytes, sizeof bytes) == 0 &&
        footer_decode(&w->file.codec, w->end, bytes, &footer, &tag) != 0)
        tell(w, FINDING_TABLE_FRAME, STORE_DAMAGE, w->end, "the footer does not verify");
}

static int check_frames(struct walk *w)
{
    bool table = w->file.header.kind == FILE_TABLE;
    uint64_t size, at;
    int err = w->file.io->ops->size(w->file.io, &size);
    if (err)
        return err;
    uint64_t footer = table ? TABLE_FOOTER_SIZE : 0;
    if (size < FILE_HEADER_SIZE + footer) {
        tell(w, FINDING_TABLE_OPEN, STORE_DAMAGE, UINT64_MAX, "the file is cut off");
        return 0;
    }
    w->end = size - footer;
    err = walk_frames(w, &at);
    if (err == 0 && table)
        check_footer(w, at);
    else if (err == 0)
        check_tail(w, at);
    check_did(&w->k->report, size);
    return err;
}

/* ---- files ---- */

static void check_numbered(struct keyless *k, const char *name, enum file_kind kind,
                           uint64_t number)
{
    struct walk w = {.k = k, .name = name};
    corrupt_forget();
    int err = file_open_keyless(k->env, k->dir, kind, number, &w.file);
    if (err == -ENOENT)
        return;
    if (err == 1) {
        check_tell(&k->report, FINDING_FILE_HEADER, kind == FILE_LOG ? STORE_NOTE : STORE_WARNING,
                   name, 0, "it has no header: it was cut off while it was made");
        return;
    }
    if (err == 0)
        err = check_frames(&w);
    if (err < 0)
        check_tell_error(&k->report, FINDING_FILE_HEADER, name, err);
    file_close(&w.file);
}

static int check_name(void *ctx, const char *name)
{
    struct keyless *k = ctx;
    enum file_kind kind;
    uint64_t number;
    if (name_parse(name, &kind, &number) != 0)
        check_tell(&k->report, FINDING_UNKNOWN_FILE, STORE_WARNING, name, UINT64_MAX,
                   "this file is none of varvefs's; it is left alone");
    else if (kind == FILE_MANIFEST || kind == FILE_LOG || kind == FILE_TABLE || kind == FILE_BLOB)
        check_numbered(k, name, kind, number);
    return k->report.stopped;
}

static int add_size(void *ctx, const char *name)
{
    struct keyless *k = ctx;
    char *path = mem_printf("%s/%s", k->dir, name);
    uint64_t size;
    if (k->env->file_size(k->env, path, &size) == 0)
        k->report.total += size;
    free(path);
    return 0;
}

static void check_keys(struct keyless *k)
{
    struct key_file f;
    corrupt_forget();
    int err = keyslots_read(k->env, k->dir, &f);
    if (err == 1)
        check_tell(&k->report, FINDING_KEYS, STORE_DAMAGE, "KEYS", UINT64_MAX,
                   "it is missing, but the volume is encrypted");
    else if (err < 0)
        check_tell_error(&k->report, FINDING_KEYS, "KEYS", err);
}

int check_keyless(struct env *env, const char *dir, store_finding_fn *fn,
                  store_progress_fn *progress, void *ctx)
{
    struct keyless k = {.report = {.fn = fn, .ctx = ctx, .progress = progress},
                        .env = env,
                        .dir = dir};
    char text[200];
    int err = env->list(env, dir, add_size, &k);
    check_keys(&k);
    check_current(&k.report, env, dir);
    if (err == 0)
        err = env->list(env, dir, check_name, &k);
    snprintf(text, sizeof text,
             "checked without the key: the checksums of %" PRIu64 " frames, %" PRIu64
             " bytes; not whether they fit together, nor the files and folders in them",
             k.frames, k.frame_bytes);
    check_tell(&k.report, FINDING_KEYLESS, STORE_NOTE, "", UINT64_MAX, text);
    buf_release(&k.frame);
    return err < 0 ? err : 0;
}
