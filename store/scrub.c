/* scrub: see scrub.h.
 *
 * Each step takes a view, finds the file that comes next, and reads a piece of it through a handle
 * of its own; so a file that is gone by the next step is just left behind, and nobody waits.
 *
 * What counts as damage depends on the kind. Tables are all frames, up to the footer. The file of a
 * journal or of a memtable's values may end in anything: it grows, or a power cut has torn it; only
 * what lies before a sound frame is damage. Of a table that is cut in front (table.h) only what is
 * left is read. A blob file of the version holds the frames that the manifest counts; behind them
 * there may be what a power cut left.
 *
 * Invariants:
 *   1. Only the thread that has `lock` steps. Nothing of the tree is held during a read.
 *   2. A frame counts only if it was verified, and every byte before (file, offset) was looked at.
 */
#include "store/scrub.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/err.h"
#include "store/framescan.h"
#include "store/parity.h"
#include "store/replace.h"

enum { STEP_BYTES = 1 << 20, SAVE_BYTES = 256 << 20 };
#define SAVE_NS  UINT64_C(30000000000)
#define BURST_NS UINT64_C(1000000000) /* how far it may be ahead of its rate */

/* ---- where it stands, on disk ---- */

static int read_state(struct tree *t, struct scrub_state *out)
{
    char *path = name_scrub(t->dir);
    struct env_file *f;
    uint8_t bytes[1024];
    size_t got = 0;
    int err = t->env->open(t->env, path, ENV_OPEN_READ, &f);
    if (err == 0) {
        err = f->ops->read(f, 0, bytes, sizeof bytes, &got);
        f->ops->close(f);
        if (err == 0)
            err = scrub_state_decode(slice_of(bytes, got), out);
        if (err < 0)
            log_message(LOG_WARNING, "%s cannot be used; the next scrub begins anew", path);
    }
    free(path);
    return err;
}

/* It is of no importance if this fails: then more is read twice. */
static void save(struct scrub *s)
{
    struct tree *t = s->tree;
    struct buf text = {0};
    if (!s->changed || t->read_only || tree_failure(t))
        return;
    char *path = name_scrub(t->dir), *temp = name_temp(t->dir, tree_new_file(t));
    scrub_state_encode(&s->at, &text);
    bool tried;
    if (replace_file(t->env, t->dir, temp, path, buf_slice(&text), &tried) < 0)
        log_message(LOG_INFO, "%s could not be written", path);
    s->changed = false;
    s->saved_ns = t->env->monotonic_ns(t->env);
    s->saved_bytes = s->at.bytes;
    buf_release(&text);
    free(temp);
    free(path);
}

/* ---- beginning and end ---- */

void scrub_init(struct scrub *s, struct tree *t)
{
    *s = (struct scrub){.tree = t};
    pthread_mutex_init(&s->lock, NULL);
    if (read_state(t, &s->at) == 0 && s->at.limit > 0 && !t->read_only)
        s->wanted = true;
}

void scrub_release(struct scrub *s)
{
    pthread_mutex_lock(&s->lock);
    save(s);
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_destroy(&s->lock);
}

/* [lock held] */
static void begin_pass(struct scrub *s)
{
    struct tree *t = s->tree;
    s->at = (struct scrub_state){.passes = s->at.passes,
                                 .started = (uint64_t)t->env->realtime_ns(t->env),
                                 .limit = __atomic_load_n(&t->next_file, __ATOMIC_RELAXED)};
    s->saved_bytes = 0;
    s->changed = true;
}

/* [lock held] */
static void end_pass(struct scrub *s)
{
    struct tree *t = s->tree;
    s->at.passes++;
    s->at.limit = s->at.file = s->at.offset = 0;
    s->at.ended = (uint64_t)t->env->realtime_ns(t->env);
    s->changed = true;
    __atomic_store_n(&s->wanted, false, __ATOMIC_RELAXED);
    log_message(s->at.damaged ? LOG_ERROR : LOG_INFO,
                "scrub: %" PRIu64 " bytes in %" PRIu64 " frames were read, %" PRIu64
                " were repaired, %" PRIu64 " are damaged",
                s->at.bytes, s->at.frames, s->at.repaired, s->at.damaged);
    save(s);
}

void scrub_start(struct scrub *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->at.limit == 0)
        begin_pass(s);
    s->next_ns = 0;
    __atomic_store_n(&s->wanted, true, __ATOMIC_RELAXED);
    save(s);
    pthread_mutex_unlock(&s->lock);
}

void scrub_stop(struct scrub *s)
{
    pthread_mutex_lock(&s->lock);
    __atomic_store_n(&s->wanted, false, __ATOMIC_RELAXED);
    save(s);
    pthread_mutex_unlock(&s->lock);
}

bool scrub_wanted(const struct scrub *s)
{
    return __atomic_load_n(&s->wanted, __ATOMIC_RELAXED);
}

/* ---- which file ---- */

struct target {
    enum file_kind kind;
    uint64_t number;
    bool grows;                            /* its end is not for us to judge */
    const struct table_meta *meta;         /* of a table */
    const struct version_blob_state *blob; /* of a blob file of the version */
};

/* Takes the candidate if it is the lowest so far from the pass's place on. */
static void offer(const struct scrub *s, struct target *best, struct target t)
{
    if (t.number >= s->at.file && t.number < s->at.limit && t.number > 0 &&
        (best->number == 0 || t.number < best->number))
        *best = t;
}

static void offer_version(const struct scrub *s, const struct version *v, struct target *best)
{
    for (int level = 0; level < LEVEL_COUNT; level++)
        for (uint32_t i = 0; i < v->levels[level].count; i++) {
            const struct table_meta *m = v->levels[level].tables[i]->meta;
            offer(s, best, (struct target){.kind = FILE_TABLE, .number = m->number, .meta = m});
        }
    for (uint32_t i = 0; i < v->blob_count; i++)
        offer(s, best,
              (struct target){
                  .kind = FILE_BLOB, .number = v->blobs[i].blob->number, .blob = &v->blobs[i]});
}

static void offer_gens(const struct scrub *s, const struct view *v, struct target *best)
{
    for (uint32_t i = 0; i < v->gen_count; i++) {
        const struct memgen *g = v->gens[i];
        const struct version_blob *b = __atomic_load_n(&g->blob, __ATOMIC_ACQUIRE);
        offer(s, best, (struct target){.kind = FILE_LOG, .number = g->log_number, .grows = true});
        if (b && !version_find_blob(v->version, b->number))
            offer(s, best, (struct target){.kind = FILE_BLOB, .number = b->number, .grows = true});
    }
}

/* The file that the pass looks at next; number 0: there is none. Lives as long as `v`. */
static struct target next_target(const struct scrub *s, struct view *v)
{
    struct target best = {0};
    offer_version(s, v->version, &best);
    offer_gens(s, v, &best);
    offer(s, &best,
          (struct target){
              .kind = FILE_MANIFEST, .number = tree_manifest_number(s->tree), .grows = true});
    return best;
}

/* ---- one file ---- */

struct stepping {
    struct scrub *scrub;
    const struct target *target;
    struct file file;
    uint64_t size, bytes; /* of the file; read in this step */
};

static void damage(struct stepping *p, uint64_t offset, const char *what)
{
    struct scrub *s = p->scrub;
    s->at.damaged++;
    corrupt(p->file.path ? p->file.path : "a file", offset, "%s (met by a scrub)", what);
    if (!s->fn)
        return;
    char name[48];
    const char *path = p->file.path ? p->file.path : "", *slash = strrchr(path, '/');
    snprintf(name, sizeof name, "%s", slash ? slash + 1 : path);
    struct store_finding f = {.code = FINDING_SCRUB,
                              .severity = STORE_DAMAGE,
                              .file = name,
                              .offset = offset,
                              .text = what};
    s->fn(s->fn_ctx, &f);
}

/* What is damaged in a file of which memory has the contents is written anew. */
static void renew(struct stepping *p)
{
    struct tree *t = p->scrub->tree;
    if (p->target->kind == FILE_MANIFEST) {
        tree_renew_manifest(t);
    } else {
        pthread_mutex_lock(&t->lock);
        t->flush_wanted = true;
        pthread_mutex_unlock(&t->lock);
    }
    p->scrub->at.repaired++;
    log_message(LOG_WARNING, "%s is damaged; what it holds is %s", p->file.path,
                p->target->kind == FILE_MANIFEST ? "written to a new one" : "flushed to tables");
}

static void take_gap(struct stepping *p, const struct framescan_item *item)
{
    const struct target *t = p->target;
    bool at_end = item->offset + item->len >= p->size;
    if (item->what == FRAMESCAN_ZEROS && t->kind != FILE_TABLE)
        return;
    if (t->grows && at_end)
        return;
    if (t->blob && at_end && item->offset >= FILE_HEADER_SIZE + t->blob->bytes)
        return;
    if (t->grows && t->kind != FILE_BLOB)
        renew(p);
    else
        damage(p, item->offset, "bytes that do not verify");
}

/* Reads frames from the pass's offset on up to `end`, a step's worth. True at the end of them. */
static bool read_frames(struct stepping *p, uint64_t end)
{
    struct scrub_state *at = &p->scrub->at;
    struct framescan scan;
    struct framescan_item item;
    uint64_t from = at->offset < FILE_HEADER_SIZE ? FILE_HEADER_SIZE : at->offset;
    if (from >= end)
        return true;
    framescan_init(&scan, &p->file, from, end);
    int rc;
    while ((rc = framescan_next(&scan, &item)) == 0) {
        if (item.what == FRAMESCAN_FRAME || item.what == FRAMESCAN_REPAIRED)
            at->frames++;
        if (item.what == FRAMESCAN_REPAIRED)
            at->repaired++;
        if (item.what == FRAMESCAN_GAP || item.what == FRAMESCAN_ZEROS)
            take_gap(p, &item);
        at->offset = item.offset + item.len;
        at->bytes += item.len;
        if (scan.bytes_read >= STEP_BYTES && scan.at >= scan.window_at + scan.window.len)
            break;
        if (item.offset + item.len - from >= STEP_BYTES)
            break;
    }
    p->bytes += scan.bytes_read;
    framescan_release(&scan);
    return rc == 1;
}

/* All frames; of a table that is cut in front the dictionary, and what is left. */
static bool read_all_frames(struct stepping *p, uint64_t end)
{
    struct scrub_state *at = &p->scrub->at;
    const struct table_meta *m = p->target->meta;
    if (!m || m->front == 0 || at->offset >= m->front)
        return read_frames(p, end);
    if (!read_frames(p, FILE_HEADER_SIZE + (uint64_t)m->dict_len))
        return false;
    at->offset = m->front;
    return read_frames(p, end);
}

static void check_footer(struct stepping *p)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    struct table_footer footer;
    uint64_t at = p->target->meta->size_bytes - sizeof bytes, tag;
    size_t got = 0;
    int rc = p->file.io->ops->read(p->file.io, at, bytes, sizeof bytes, &got);
    if (rc == 0 && got == sizeof bytes &&
        footer_decode(&p->file.codec, at, bytes, &footer, &tag) == 0 && tag == p->target->meta->tag)
        return;
    if (file_restore(&p->file, at, bytes, sizeof bytes) == 0 &&
        footer_decode(&p->file.codec, at, bytes, &footer, &tag) == 0 &&
        tag == p->target->meta->tag) {
        file_repaired(&p->file, at);
        p->scrub->at.repaired++;
    } else {
        damage(p, at, "the footer does not verify");
    }
}

/* No hole is made meanwhile: it removes the companion, and one that was begun before and ends after
 * would protect what is gone. One that waits takes the new companion with it. */
static void make_parity(struct stepping *p, const struct parity_options *want)
{
    struct tree *t = p->scrub->tree;
    uint64_t bytes;
    purge_pause(&t->purge);
    if (parity_make(t->env, t->dir, p->target->kind, p->target->number,
                    tree_file_uuid(t, p->target->number), want, &bytes) == 0)
        p->scrub->at.parity_made++;
    purge_resume(&t->purge);
}

/* The companion: made if it is missing and wanted, and made again if it is damaged. Not over a file
 * that is damaged itself. */
static void check_parity(struct stepping *p, uint64_t damaged_before)
{
    struct scrub *s = p->scrub;
    struct tree *t = s->tree;
    struct parity_options want = tree_parity(t);
    struct parity *parity;
    if (p->target->grows || t->read_only)
        return;
    int rc = parity_open(t->env, p->file.path, p->target->number, &parity);
    bool there = rc == 0;
    if (there) {
        rc = parity_check(parity);
        parity_free(parity);
    }
    if (rc == 0 || (!there && want.parity == 0) || s->at.damaged != damaged_before ||
        care_has(&t->care, p->target->kind, p->target->number))
        return;
    if (want.parity == 0)
        parity_remove(t->env, t->dir, p->target->number);
    else
        make_parity(p, &want);
    t->env->sync_dir(t->env, t->dir); /* a hole relies on it where there is no companion */
}

/* [lock held] */
static void file_ended(struct scrub *s, uint64_t number)
{
    s->at.file = number + 1;
    s->at.offset = 0;
}

static void open_failed(struct stepping *p, int err)
{
    struct scrub *s = p->scrub;
    char *path = name_file(s->tree->dir, p->target->kind, p->target->number);
    uint64_t size;
    bool gone = s->tree->env->file_size(s->tree->env, path, &size) == -ENOENT;
    if (err == 1 || (gone && p->target->grows))
        goto done; /* a journal that is being made, or that was retired just now */
    p->file.path = mem_strdup(path);
    damage(p, 0, gone ? "the file is missing" : "the file header does not verify");
    free(p->file.path);
    p->file.path = NULL;
done:
    free(path);
}

static uint64_t end_of_frames(const struct stepping *p)
{
    if (p->target->kind != FILE_TABLE)
        return p->size;
    return p->target->meta->size_bytes - TABLE_FOOTER_SIZE;
}

/* A piece of the file. [lock held] */
static void step_file(struct stepping *p)
{
    struct scrub *s = p->scrub;
    struct tree *t = s->tree;
    const struct target *target = p->target;
    if (target->number != s->at.file)
        s->at.offset = 0;
    s->at.file = target->number;
    const uint8_t *uuid = tree_file_uuid(t, target->number);
    int err = file_open_maybe(t->env, t->dir, target->kind, target->number, uuid, &p->file);
    if (err == 0)
        err = file_size(&p->file, !target->grows, &p->size);
    if (err != 0) {
        open_failed(p, err);
        file_ended(s, target->number);
        return;
    }
    file_set_care(&p->file, &t->care);
    uint64_t damaged = s->at.damaged;
    if (read_all_frames(p, end_of_frames(p))) {
        if (target->kind == FILE_TABLE)
            check_footer(p);
        check_parity(p, damaged);
        file_ended(s, target->number);
    }
    file_close(&p->file);
}

/* ---- steps ---- */

/* May it go on now? Counts what was read before against the rate. [lock held] */
static bool in_time(struct scrub *s, uint64_t rate)
{
    uint64_t now = s->tree->env->monotonic_ns(s->tree->env);
    return rate == 0 || s->next_ns <= now + BURST_NS;
}

static void reckon(struct scrub *s, uint64_t rate, uint64_t bytes)
{
    uint64_t now = s->tree->env->monotonic_ns(s->tree->env);
    if (s->next_ns < now)
        s->next_ns = now;
    if (rate > 0)
        s->next_ns += (uint64_t)((double)bytes * 1e9 / (double)rate);
    if (now - s->saved_ns >= SAVE_NS || s->at.bytes - s->saved_bytes >= SAVE_BYTES)
        save(s);
}

int scrub_step(struct scrub *s, uint64_t rate)
{
    struct tree *t = s->tree;
    if (!scrub_wanted(s) || tree_failure(t) || pthread_mutex_trylock(&s->lock) != 0)
        return 1;
    bool go = scrub_wanted(s) && in_time(s, rate);
    if (go && s->at.limit == 0)
        begin_pass(s);
    if (go) {
        struct view *v = viewbox_get(t->box);
        struct target target = next_target(s, v);
        struct stepping p = {.scrub = s, .target = &target};
        if (target.number == 0)
            end_pass(s);
        else
            step_file(&p);
        s->changed = true;
        view_unref(v);
        reckon(s, rate, p.bytes);
    }
    pthread_mutex_unlock(&s->lock);
    return go ? 0 : 1;
}

/* What is left of the pass. [lock held] */
static uint64_t bytes_left(const struct scrub *s, const struct version *v)
{
    uint64_t left = 0;
    for (int level = 0; level < LEVEL_COUNT; level++)
        for (uint32_t i = 0; i < v->levels[level].count; i++) {
            const struct table_meta *m = v->levels[level].tables[i]->meta;
            left += m->number > s->at.file && m->number < s->at.limit ? table_meta_bytes(m) : 0;
        }
    for (uint32_t i = 0; i < v->blob_count; i++) {
        uint64_t number = v->blobs[i].blob->number;
        if (number >= s->at.file && number < s->at.limit)
            left += v->blobs[i].file_bytes;
        if (number == s->at.file)
            left -= s->at.offset < v->blobs[i].file_bytes ? s->at.offset : v->blobs[i].file_bytes;
    }
    return left;
}

void scrub_get(struct scrub *s, struct store_scrub_status *out)
{
    struct view *v = viewbox_get(s->tree->box);
    pthread_mutex_lock(&s->lock);
    const struct scrub_state *at = &s->at;
    *out = (struct store_scrub_status){.running = scrub_wanted(s),
                                       .passes = at->passes,
                                       .started_ns = (int64_t)at->started,
                                       .ended_ns = (int64_t)at->ended,
                                       .file = at->file,
                                       .offset = at->offset,
                                       .done_bytes = at->bytes,
                                       .total_bytes = at->bytes,
                                       .frames = at->frames,
                                       .repaired = at->repaired,
                                       .damaged = at->damaged,
                                       .parity_made = at->parity_made};
    if (at->limit > 0)
        out->total_bytes += bytes_left(s, v->version);
    pthread_mutex_unlock(&s->lock);
    view_unref(v);
}
