/* check_keyless: what can be said of an encrypted store without its key: every file's header, every
 * frame's checksum, the footers of tables, CURRENT and KEYS. Frames follow one another, so they are
 * found by their lengths alone (framescan.h).
 *
 * What cannot be said: which files and values are referred to, and what is in them. A frame at the
 * end of a log, a manifest or a blob file that does not verify is what a power cut leaves; in front
 * of sound ones it is damage, and so it is anywhere in a table, but for zeros: they may be a hole
 * that a compaction in slices has left. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/check_priv.h"
#include "store/framescan.h"
#include "store/keyslots.h"

struct keyless {
    struct check_report report;
    struct env *env;
    const char *dir;
    uint64_t frames, frame_bytes;
};

/* One file that is being read. */
struct walk {
    struct keyless *k;
    const char *name;
    struct file file;
    uint64_t end;    /* of the frames */
    uint64_t gap_at; /* bytes that are no frame, and of which nothing was said yet; 0: none */
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

static void tell_gap(struct walk *w)
{
    if (w->gap_at)
        tell(w, frame_code(w->file.header.kind), STORE_DAMAGE, w->gap_at,
             "bytes that do not verify, with sound ones behind them");
    w->gap_at = 0;
}

static bool is_hole(const struct walk *w, const struct framescan_item *item)
{
    return w->file.header.kind == FILE_TABLE && item->what == FRAMESCAN_GAP &&
           file_hole_end(&w->file, item->offset, item->offset + item->len) > item->offset;
}

static void take_item(struct walk *w, const struct framescan_item *item)
{
    if (is_hole(w, item)) {
        tell_gap(w);
        tell(w, FINDING_TABLE_FRAME, STORE_NOTE, item->offset,
             "there are zeros: a compaction gave this part of the table back to the disk; or they "
             "are damage, which cannot be told without the key");
        return;
    }
    if (item->what == FRAMESCAN_GAP && !w->gap_at)
        w->gap_at = item->offset;
    if (item->what == FRAMESCAN_GAP || item->what == FRAMESCAN_ZEROS)
        return;
    tell_gap(w);
    if (item->what == FRAMESCAN_REPAIRED)
        tell(w, FINDING_REPAIRED, STORE_WARNING, item->offset,
             "it is damaged, but its parity makes up for it");
    w->k->frames++;
    w->k->frame_bytes += item->len;
}

/* How a file that grows ends. */
static void check_tail(struct walk *w)
{
    enum file_kind kind = w->file.header.kind;
    if (!w->gap_at)
        return;
    if (kind == FILE_BLOB)
        tell(w, FINDING_BLOB_FRAME, STORE_WARNING, w->gap_at,
             "it ends in bytes that do not verify; whether anything refers to them cannot be told "
             "without the key");
    else
        tell(w, kind == FILE_LOG ? FINDING_LOG_TAIL : FINDING_MANIFEST_TAIL,
             kind == FILE_LOG ? STORE_NOTE : STORE_WARNING, w->gap_at,
             "it ends in bytes that do not verify, as a power cut leaves them; what comes before "
             "is whole");
}

static void check_footer(struct walk *w)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    struct table_footer footer;
    uint64_t tag;
    if (w->gap_at)
        tell(w, FINDING_TABLE_FRAME, STORE_DAMAGE, w->gap_at, "bytes that do not verify");
    if (file_read(&w->file, w->end, bytes, sizeof bytes) == 0 &&
        footer_decode(&w->file.codec, w->end, bytes, &footer, &tag) != 0)
        tell(w, FINDING_TABLE_FRAME, STORE_DAMAGE, w->end, "the footer does not verify");
}

static void scan(struct walk *w)
{
    struct framescan s;
    struct framescan_item item;
    framescan_init(&s, &w->file, FILE_HEADER_SIZE, w->end);
    while (!w->k->report.stopped && framescan_next(&s, &item) == 0)
        take_item(w, &item);
    framescan_release(&s);
}

static int check_frames(struct walk *w)
{
    bool table = w->file.header.kind == FILE_TABLE;
    uint64_t size, footer = table ? TABLE_FOOTER_SIZE : 0;
    int err = w->file.io->ops->size(w->file.io, &size);
    if (err)
        return err;
    if (size < FILE_HEADER_SIZE + footer) {
        tell(w, FINDING_TABLE_OPEN, STORE_DAMAGE, UINT64_MAX, "the file is cut off");
        return 0;
    }
    w->end = size - footer;
    scan(w);
    if (table)
        check_footer(w);
    else
        check_tail(w);
    check_did(&w->k->report, size);
    return 0;
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
    struct keyless k = {
        .report = {.fn = fn, .ctx = ctx, .progress = progress}, .env = env, .dir = dir};
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
    return err < 0 ? err : 0;
}
