/* replay_proof: see replay_proof.h. Reads what is left of the logs frame by frame, as a scrub does;
 * only after something did not verify. */
#include "store/replay_proof.h"

#include "store/batch.h"
#include "store/framescan.h"
#include "store/journal.h"

static bool is_mark(struct slice record, uint64_t covered)
{
    uint64_t synced;
    return batch_mark_decode(record, &synced) && synced > covered;
}

/* Is there a mark in that frame that covers more than `covered` bytes? */
static bool mark_in(const struct frame_header *h, struct slice payload, uint64_t covered)
{
    struct slice record;
    if (!journal_is_row(FILE_LOG, h))
        return is_mark(payload, covered);
    while (journal_row_take(&payload, &record))
        if (is_mark(record, covered))
            return true;
    return false;
}

/* Is there one behind `from`? */
static bool has_mark(const struct file *f, uint64_t from, uint64_t size, uint64_t covered)
{
    struct framescan scan;
    struct framescan_item item;
    struct buf payload = {0};
    bool found = false;
    framescan_init(&scan, f, from, size);
    while (!found && framescan_next(&scan, &item) == 0) {
        buf_clear(&payload);
        found = item.what == FRAMESCAN_FRAME &&
                frame_unpack(&f->codec, item.offset, &item.header, frame_stored(item.frame),
                             &payload) == 0 &&
                mark_in(&item.header, buf_slice(&payload), covered);
    }
    framescan_release(&scan);
    buf_release(&payload);
    return found;
}

static bool log_has_mark(struct tree *t, uint64_t number, uint64_t from, uint64_t covered)
{
    struct file f;
    uint64_t size;
    if (file_open_maybe(t->env, t->dir, FILE_LOG, number, t->uuid, &f) != 0)
        return false;
    bool found =
        file_size(&f, false, &size) == 0 && size > from && has_mark(&f, from, size, covered);
    file_close(&f);
    return found;
}

struct later {
    struct tree *tree;
    uint64_t number, seq;
    bool accepted; /* a log goes on just there */
    bool proved;   /* one that begins behind has a mark */
};

/* Where log `number` begins; 0: nobody knows. */
static uint64_t beginning(struct tree *t, uint64_t number)
{
    struct journal_reader *j;
    struct slice record;
    struct batch_reader b = {0};
    if (journal_open(t->env, t->dir, FILE_LOG, number, t->uuid, &j) != 0)
        return 0;
    if (journal_next(j, &record) != 0 || batch_reader_init(&b, record) != 0)
        b.first_seq = 0;
    journal_reader_free(j);
    return b.first_seq;
}

static int look_in_later(void *ctx, const char *name)
{
    struct later *l = ctx;
    enum file_kind kind;
    uint64_t number;
    if (name_parse(name, &kind, &number) != 0 || kind != FILE_LOG || number <= l->number)
        return 0;
    uint64_t first = beginning(l->tree, number);
    l->accepted |= first == l->seq;
    l->proved = l->proved || (first > l->seq && log_has_mark(l->tree, number, FILE_HEADER_SIZE, 0));
    return 0;
}

bool replay_was_synced(struct tree *t, uint64_t number, uint64_t offset, uint64_t seq)
{
    struct later l = {.tree = t, .number = number, .seq = seq};
    uint64_t from = offset < FILE_HEADER_SIZE ? FILE_HEADER_SIZE : offset;
    if (log_has_mark(t, number, from, offset))
        return true;
    t->env->list(t->env, t->dir, look_in_later, &l);
    return l.proved && !l.accepted;
}
