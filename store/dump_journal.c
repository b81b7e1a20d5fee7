/* dump_journal: logs and manifests: their records, as operations and as edits. */
#include <assert.h>

#include "store/batch.h"
#include "store/dump.h"
#include "store/edit.h"
#include "store/journal.h"

/* ---- a log ---- */

/* So much of the log had been synced before it was written. */
static void show_mark(struct dump *d, uint64_t offset, uint64_t synced_bytes)
{
    dump_begin(d, "mark");
    dump_number(d, "offset", offset);
    dump_number(d, "synced_bytes", synced_bytes);
    dump_end(d);
}

static void show_record(struct dump *d, uint64_t offset, struct slice record, const char *where)
{
    struct batch_reader r;
    struct entry e;
    uint64_t synced;
    if (batch_mark_decode(record, &synced)) {
        show_mark(d, offset, synced);
        return;
    }
    int rc = batch_reader_init(&r, record);
    if (rc == 0) {
        dump_begin(d, "record");
        dump_number(d, "offset", offset);
        dump_number(d, "bytes", record.len);
        dump_number(d, "first_seq", r.first_seq);
        dump_number(d, "operations", r.count);
        if (where)
            dump_text(d, "where", where);
        dump_end(d);
        while (d->stop == 0 && (rc = batch_reader_next(&r, &e)) == 0)
            dump_entry(d, NULL, &e);
    }
    if (rc < 0)
        dump_damage(d, offset, "a record does not decode");
}

static void show_row(struct dump *d, const struct dump_frame *frame)
{
    struct slice row = frame->payload, record;
    dump_begin(d, "row");
    dump_number(d, "offset", frame->offset);
    dump_number(d, "stored_bytes", frame->header.stored_len);
    dump_number(d, "bytes", frame->payload.len);
    dump_end(d);
    while (d->stop == 0 && row.len > 0 && journal_row_take(&row, &record))
        show_record(d, frame->offset, record, NULL);
    if (d->stop == 0 && row.len > 0)
        dump_damage(d, frame->offset, "a row of records does not decode");
}

void dump_record(struct dump *d, const struct dump_frame *frame, const char *where)
{
    if (journal_is_row(FILE_LOG, &frame->header))
        show_row(d, frame);
    else
        show_record(d, frame->offset, frame->payload, where);
}

/* ---- a manifest ---- */

static void show_tables(struct dump *d, const struct edit *e)
{
    for (uint32_t i = 0; i < e->tables_removed_count; i++) {
        dump_begin(d, "table-removed");
        dump_number(d, "level", (uint64_t)e->tables_removed[i].level);
        dump_number(d, "number", e->tables_removed[i].number);
        dump_end(d);
    }
    for (uint32_t i = 0; i < e->tables_added_count; i++) {
        const struct table_meta *m = e->tables_added[i].meta;
        dump_begin(d, "table-added");
        dump_number(d, "level", (uint64_t)e->tables_added[i].level);
        dump_number(d, "number", m->number);
        dump_number(d, "bytes", m->size_bytes);
        dump_hex(d, "tag", m->tag);
        dump_key(d, "smallest", buf_slice(&m->smallest));
        dump_key(d, "limit", buf_slice(&m->limit));
        dump_number(d, "min_seq", m->min_seq);
        dump_number(d, "max_seq", m->max_seq);
        dump_number(d, "entries", m->entry_count);
        dump_number(d, "tombstone_fragments", m->rangedel_count);
        if (m->cut_seq)
            dump_number(d, "cut_seq", m->cut_seq);
        if (m->ingest_seq)
            dump_number(d, "ingest_seq", m->ingest_seq);
        dump_end(d);
    }
}

static void show_blob_numbers(struct dump *d, const char *what, const struct edit_blob *b,
                              uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        dump_begin(d, what);
        dump_number(d, "number", b[i].number);
        dump_number(d, "values", b[i].count);
        dump_number(d, "bytes", b[i].bytes);
        if (b[i].file_bytes)
            dump_number(d, "file_bytes", b[i].file_bytes);
        dump_end(d);
    }
}

static void show_pins(struct dump *d, const struct edit *e)
{
    for (uint32_t i = 0; i < e->pins_removed_count; i++) {
        dump_begin(d, "pin-removed");
        dump_text(d, "name", e->pins_removed[i]);
        dump_end(d);
    }
    for (uint32_t i = 0; i < e->pins_added_count; i++) {
        const struct pin *p = &e->pins_added[i];
        dump_begin(d, "pin-added");
        dump_text(d, "name", p->name);
        dump_number(d, "seq", p->seq);
        dump_number(d, "tag", p->tag);
        dump_time(d, "made", p->created_ns);
        dump_end(d);
    }
}

static void show_ancestors(struct dump *d, const struct lineage *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        char uuid[DUMP_UUID_TEXT];
        dump_uuid_digits(l->parts[i].uuid, uuid);
        dump_begin(d, "ancestor");
        dump_text(d, "volume", uuid);
        dump_number(d, "files_below", l->parts[i].end);
        dump_end(d);
    }
}

static void show_edit(struct dump *d, const struct dump_frame *frame)
{
    struct edit e;
    edit_init(&e);
    if (edit_decode(frame->payload, &e) < 0) {
        dump_damage(d, frame->offset, "an edit does not decode");
        return;
    }
    dump_begin(d, "edit");
    dump_number(d, "offset", frame->offset);
    dump_number(d, "bytes", frame->payload.len);
    if (e.has_next_file)
        dump_number(d, "next_file", e.next_file);
    if (e.has_flushed)
        dump_number(d, "flushed_seq", e.flushed_seq);
    if (e.has_log)
        dump_number(d, "log_number", e.log_number);
    if (e.has_history)
        dump_number(d, "history_seq", e.history_seq);
    dump_end(d);
    show_ancestors(d, &e.ancestors);
    show_tables(d, &e);
    show_blob_numbers(d, "blob-added", e.blobs_added, e.blobs_added_count);
    show_blob_numbers(d, "blob-garbage", e.blobs_garbage, e.blobs_garbage_count);
    for (uint32_t i = 0; i < e.blobs_removed_count; i++) {
        dump_begin(d, "blob-removed");
        dump_number(d, "number", e.blobs_removed[i]);
        dump_end(d);
    }
    show_pins(d, &e);
    edit_release(&e);
}

int dump_journal(struct dump *d, const struct file *f, uint64_t size)
{
    struct dump_walk w;
    struct dump_frame frame;
    int err = 0;
    dump_walk_init(&w, d, f, size);
    while (d->stop == 0 && (err = dump_walk_next(&w, &frame)) == 0) {
        if (!frame.decoded)
            continue;
        if (f->header.kind == FILE_MANIFEST)
            show_edit(d, &frame);
        else
            dump_record(d, &frame, NULL);
    }
    dump_walk_release(&w);
    return err < 0 ? err : 0;
}
