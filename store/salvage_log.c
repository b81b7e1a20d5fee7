/* salvage_log: what the logs hold. Of each log its records are taken as long as they verify, in the
 * order of the logs, and only as far as each goes on where the one before ended: what comes after a
 * gap would stand on operations that are lost. Operations that are in tables already are found
 * twice then, which merging sees to. */
#include "store/salvage_priv.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "store/batch.h"
#include "store/journal.h"

static void take_entry(struct salvage *s, struct memtable *m, const struct entry *e)
{
    if (e->type == ENTRY_RANGE_DELETE)
        memtable_add_rangedel(m, e->key, e->value, e->seq);
    else
        memtable_add(m, e);
    if (e->seq > s->max_seq)
        s->max_seq = e->seq;
}

/* A record is taken whole or not at all. False when it is none. */
static bool take_record(struct salvage *s, struct memtable *m, struct slice record, uint64_t *seq)
{
    struct batch_reader b;
    struct entry e;
    uint64_t synced;
    if (batch_mark_decode(record, &synced))
        return true;
    int err = batch_reader_init(&b, record);
    if (err < 0 || b.first_seq != *seq)
        return false;
    while ((err = batch_reader_next(&b, &e)) == 0)
        ;
    if (err < 0)
        return false;
    batch_reader_init(&b, record);
    while (batch_reader_next(&b, &e) == 0)
        take_entry(s, m, &e);
    *seq += b.count;
    s->report->operations += b.count;
    return true;
}

static void take_log(struct salvage *s, struct journal_reader *j, uint64_t number,
                     uint64_t *expected)
{
    struct slice record;
    struct batch_reader b;
    struct memtable *m = memtable_new();
    uint64_t seq = 0;
    bool good = journal_next(j, &record) == 0 && batch_reader_init(&b, record) == 0;
    if (good)
        seq = b.first_seq;
    if (good && *expected && seq != *expected) {
        salvage_tell(s, FINDING_SALVAGE_LOG, STORE_DAMAGE, FILE_LOG, number, UINT64_MAX,
                     "it begins at operation %" PRIu64 ", but the logs before end at %" PRIu64
                     ": it is left out",
                     seq, *expected);
        s->report->losses++;
        salvage_keep_copy(s, FILE_LOG, number);
        memtable_unref(m);
        return;
    }
    if (good && b.count > 0)
        good = take_record(s, m, record, &seq);
    while (good && journal_next(j, &record) == 0)
        good = take_record(s, m, record, &seq);
    if (!good || journal_end(j) != JOURNAL_CLEAN) {
        salvage_tell(s, FINDING_SALVAGE_LOG, STORE_WARNING, FILE_LOG, number, journal_offset(j),
                     "what follows does not verify, as after a power cut, and is left out");
        salvage_keep_copy(s, FILE_LOG, number);
    }
    if (seq)
        *expected = seq;
    salvage_add_child(s, memtable_iter_new(m));
    memtable_rangedels(m, s->dels);
    memtable_unref(m);
    s->report->logs++;
}

int salvage_logs(struct salvage *s, uint64_t from)
{
    uint64_t expected = 0;
    for (size_t i = 0; i < s->file_count; i++) {
        const struct salvage_file *f = &s->files[i];
        struct journal_reader *j;
        if (f->kind != FILE_LOG || f->number < from)
            continue;
        int err = journal_open(s->env, s->dir, FILE_LOG, f->number, s->uuid, &j);
        if (err == 0) {
            take_log(s, j, f->number, &expected);
            journal_reader_free(j);
        } else if (err < 0) {
            salvage_tell(s, FINDING_SALVAGE_LOG, STORE_DAMAGE, FILE_LOG, f->number, 0,
                         "it cannot be opened and is left out");
            s->report->losses++;
            salvage_keep_copy(s, FILE_LOG, f->number);
        }
        salvage_did(s, f->bytes);
    }
    return 0;
}
