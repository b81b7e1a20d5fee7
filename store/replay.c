/* replay: see replay.h.
 *
 * Invariants:
 *   1. A record is taken whole or not at all.
 *   2. A record is taken only if every blob frame that it refers to verifies: what a reader can
 *      reach after recovery can be read.
 *   3. The same files give the same result each time: what was not taken once is never taken later.
 *      (Blob files and logs of the past are never written to again, and numbers never used again.)
 *      So an error of the disk, which may not come again, ends the replay as an error and not as
 *      the end of history. */
#include "store/replay.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/batch.h"
#include "store/logtail.h"
#include "store/replay_proof.h"

struct replay {
    struct tree *tree;
    uint64_t number; /* of the log */
    struct journal_reader *log;
    char *name; /* of the log, for messages */
    struct replay_target *to;
    struct memgen *gen;       /* borrowed from the target */
    struct blob_reader *blob; /* borrowed from gen->blob */
};

/* A blob file that a power cut left without a sound header is damaged, but no error. */
static int header_error(int err)
{
    return err == -EIO && corrupt_last()[0] ? 1 : err;
}

/* Makes sure that the file of `ref` is open. 0, 1 when there is no such (whole) file, or an
 * error. */
static int open_blob(struct replay *r, const struct blob_ref *ref)
{
    struct tree *t = r->tree;
    if (r->gen->blob)
        return r->gen->blob->number == ref->file
                   ? 0
                   : corrupt(r->name, journal_offset(r->log), "it refers to two blob files");
    char *path = name_file(t->dir, FILE_BLOB, ref->file);
    uint64_t size;
    int err = t->env->file_size(t->env, path, &size);
    free(path);
    if (err == -ENOENT || (err == 0 && size < ref->where.offset + ref->where.len))
        return 1;
    if (err < 0)
        return err;
    struct version_blob *blob = version_blob_new(&t->source, ref->file);
    corrupt_forget();
    err = version_blob_open(blob, &r->blob);
    if (err < 0) {
        version_blob_unref(blob);
        return header_error(err);
    }
    memgen_set_blob(r->gen, blob);
    return 0;
}

/* First pass over a record: is it well formed, and does every frame behind it verify? 0, 1 (history
 * ends here), or an error. */
static int verify(struct replay *r, struct slice record)
{
    struct batch_reader b;
    struct entry e;
    int err = batch_reader_init(&b, record);
    if (err < 0 || b.first_seq != r->to->seq)
        return corrupt(r->name, journal_offset(r->log), "a record that is out of sequence");
    while ((err = batch_reader_next(&b, &e)) == 0) {
        struct blob_ref ref;
        if (!entry_type_is_blob(e.type))
            continue;
        if (!blob_ref_decode(e.value, &ref))
            return corrupt(r->name, journal_offset(r->log), "a malformed reference");
        err = open_blob(r, &ref);
        if (err == 0)
            err = blob_probe(r->blob, &ref);
        if (err != 0)
            return err;
    }
    return err < 0 ? corrupt(r->name, journal_offset(r->log), "a malformed record") : 0;
}

static void take_entry(struct replay *r, const struct entry *e)
{
    struct memgen *g = r->gen;
    if (e->type == ENTRY_RANGE_DELETE) {
        memtable_add_rangedel(g->mem, e->key, e->value, e->seq);
        g->rangedel_since_ns = r->tree->env->monotonic_ns(r->tree->env);
        return;
    }
    memtable_add(g->mem, e);
    struct blob_ref ref;
    if (entry_type_is_blob(e->type) && blob_ref_decode(e->value, &ref)) {
        g->blob_frames++;
        g->blob_bytes += ref.where.len;
    }
}

static void take_record(struct replay *r, struct slice record)
{
    struct batch_reader b;
    struct entry e;
    int err = batch_reader_init(&b, record);
    assert(err == 0);
    while ((err = batch_reader_next(&b, &e)) == 0)
        take_entry(r, &e);
    assert(err == 1);
    r->to->seq += b.count;
    r->gen->log_bytes = journal_offset(r->log);
}

/* The first record only says where the log begins. It was on disk before any other was
 * acknowledged: if it does not verify although others came after it, that is damage. */
static int beginning(struct replay *r, uint64_t *first_seq)
{
    struct slice record;
    struct batch_reader b;
    int err = journal_next(r->log, &record);
    if (err == 0 && (batch_reader_init(&b, record) < 0 || b.count != 0))
        err = 1;
    if (err == 1)
        return corrupt(r->name, journal_offset(r->log), "a log without its beginning");
    if (err == 0)
        *first_seq = b.first_seq;
    return err;
}

/* A record whose own frame is sound, but not one that it refers to. If it had been synced, one
 * value is damaged and no reason to end history: it reads as -EIO. */
static bool only_value_damaged(struct replay *r)
{
    uint64_t at = journal_offset(r->log);
    if (!r->blob || r->tree->settings.live.recovery == STORE_RECOVER_STRICT ||
        !replay_was_synced(r->tree, r->number, at, r->to->seq))
        return false;
    log_message(LOG_ERROR,
                "%s: a value that the record at offset %" PRIu64
                " refers to is damaged; the others are there",
                r->name, at);
    return true;
}

/* Can the error be taken for the end of history? */
static bool ends_here(const struct replay *r, int err)
{
    return err == -EIO && corrupt_last()[0] &&
           r->tree->settings.live.recovery == STORE_RECOVER_POINT;
}

static enum replay_end judge_end(struct replay *r, int err)
{
    uint64_t at = journal_offset(r->log);
    if (err == 1 && journal_end(r->log) == JOURNAL_CLEAN)
        return REPLAY_CLEAN;
    if (err < 0 || replay_was_synced(r->tree, r->number, at, r->to->seq))
        return REPLAY_DAMAGED;
    log_message(LOG_INFO, "%s: ends at offset %" PRIu64 ", as after a power cut", r->name, at);
    return REPLAY_TORN;
}

/* Is the record in tables already? 0: no, 1: yes. One that is so in part is damage. */
static int is_flushed(const struct replay *r, struct slice record, uint64_t flushed_seq)
{
    struct batch_reader b;
    if (r->to->seq > flushed_seq || batch_reader_init(&b, record) < 0 || b.first_seq >= flushed_seq)
        return 0;
    if (b.first_seq + b.count > flushed_seq)
        return corrupt(r->name, journal_offset(r->log), "a record that is in tables only in part");
    return 1;
}

static int replay_record(struct replay *r, struct slice record)
{
    struct replay_target *to = r->to;
    int err = verify(r, record);
    if (err == 1 && only_value_damaged(r))
        err = 0;
    if (err != 0)
        return err;
    take_record(r, record);
    if (to->is_full && !r->gen->blob && to->is_full(to->ctx, r->gen))
        r->gen = to->next_gen(to->ctx, r->gen->log_number, to->seq);
    return 0;
}

static int replay_records(struct replay *r, enum replay_end *end)
{
    struct slice record;
    uint64_t flushed_seq = r->to->seq, synced;
    int err;
    corrupt_forget();
    while ((err = journal_next(r->log, &record)) == 0) {
        if (batch_mark_decode(record, &synced))
            continue;
        err = is_flushed(r, record, flushed_seq);
        if (err == 0)
            err = replay_record(r, record);
        else if (err == 1)
            err = 0;
        if (err != 0)
            break;
    }
    if (err < 0 && !ends_here(r, err))
        return err;
    *end = judge_end(r, err);
    return 0;
}

/* Cuts off what the file has behind `offset`, durably: a power cut may have left a frame of a
 * record there whose predecessors it lost. No reader gets to it, until they are put back. */
static int cut_behind(struct env_file *io, uint64_t offset)
{
    uint64_t size;
    int err = io->ops->size(io, &size);
    if (err == 0 && size > offset)
        err = io->ops->truncate(io, offset);
    return err == 0 && size > offset ? io->ops->sync(io) : err;
}

/* What was read from TAIL goes where it belongs, before TAIL is used for the next log. What the
 * file holds from there on is no part of history, and must not become one by what is put before
 * it; where it had been synced, it is left for someone to repair. */
static int keep_tail(struct replay *r, enum replay_end end)
{
    struct tree *t = r->tree;
    struct env_file *io;
    uint64_t offset;
    struct slice bytes = journal_from_tail(r->log, &offset);
    bool refused = end == REPLAY_DAMAGED && t->settings.live.recovery != STORE_RECOVER_POINT;
    if (bytes.len == 0 || t->read_only || refused)
        return 0;
    int err = t->env->open(t->env, r->name, ENV_OPEN_WRITE, &io);
    if (err < 0)
        return err;
    err = cut_behind(io, offset);
    if (err == 0)
        err = io->ops->write(io, offset, bytes.data, bytes.len);
    if (err == 0)
        err = io->ops->sync(io);
    io->ops->close(io);
    return err;
}

/* 0, or 1 for a log without any record. */
static int open_log(struct replay *r, uint64_t number)
{
    struct tree *t = r->tree;
    uint64_t size;
    int err = t->env->file_size(t->env, r->name, &size);
    if (err == 0 && size <= replay_empty_bytes(t) &&
        !logtail_continues(t->env, t->dir, number, size))
        return 1;
    if (err == 0)
        err = journal_open(t->env, t->dir, FILE_LOG, number, t->uuid, &r->log);
    return err == 1 ? corrupt(r->name, 0, "a log without its header") : err;
}

int replay_log(struct tree *t, uint64_t number, bool first, struct replay_target *to,
               enum replay_end *end, uint64_t *first_seq)
{
    struct replay r = {
        .tree = t, .number = number, .to = to, .name = name_file(t->dir, FILE_LOG, number)};
    *first_seq = 0;
    int err = open_log(&r, number);
    *end = err == 1 ? REPLAY_EMPTY : REPLAY_STALE;
    if (err == 0)
        err = beginning(&r, first_seq);
    if (err == 0 && (*first_seq == to->seq || (first && *first_seq < to->seq))) {
        r.gen = to->next_gen(to->ctx, number, to->seq);
        err = replay_records(&r, end);
        if (err == 0)
            err = keep_tail(&r, *end);
    }
    journal_reader_free(r.log);
    free(r.name);
    return err < 0 ? err : 0;
}
