/* edit: one change of the durable state of a store; the record of the manifest.
 *
 * An edit installs all the results of a flush, a compaction or a snapshot at once. The base state
 * that a manifest begins with is an edit too: everything added onto nothing.
 *
 * Encoding: fields one after another, each: varint tag, varint length, that many bytes. A reader
 * skips tags it does not know if they are even, and refuses the manifest if they are odd (what it
 * cannot ignore safely). Numbers in a field are varints unless said otherwise; nothing may follow
 * the last one.
 *
 *    1  uuid (16 bytes), features u64         at most once
 *    3  next file number                      at most once
 *    5  flushed sequence number               at most once
 *    7  number of the oldest log needed       at most once
 *    9  table removed: level, number
 *   11  table added: level, then its properties (table_meta_encode())
 *   13  blob file added: number, count, bytes, bytes of the file
 *   15  blob garbage: number, count, bytes    ascending number
 *   17  blob file removed: number
 *   19  pin removed: name (1..255 bytes)
 *   21  pin added: seq, tag u64, created u64 (nanoseconds, two's complement), name (the rest)
 *   23  ancestor: its files' numbers are below this, uuid (16 bytes); ascending; in the base only
 *   24  history is whole from this number on at most once
 *   39  key of the blob file whose adding stands just before: number, key epoch (not 0), and
 *       the checksum of its file header, u64
 */
#ifndef VARVE_STORE_EDIT_H
#define VARVE_STORE_EDIT_H

#include "store/lineage.h"
#include "store/table.h"

enum { PIN_NAME_MAX = 255 };

/* A durable snapshot: reads at `seq`, under a name. */
struct pin {
    uint64_t seq;       /* 1..SEQ_MAX */
    uint64_t tag;       /* the caller's own, opaque to the store */
    int64_t created_ns; /* realtime */
    char *name;         /* 1..PIN_NAME_MAX bytes without NUL; unique among the pins */
};

struct edit_table {
    int level;
    struct table_meta *meta; /* a reference */
};
struct edit_number {
    int level;
    uint64_t number;
};
/* A blob file enters with what it holds; garbage is added as entries that refer to it drop out. */
struct edit_blob {
    uint64_t number;
    uint64_t count, bytes; /* frames, and the sum of their lengths */
    uint64_t file_bytes;   /* of the whole file; only in `blobs_added`, as is the rest */
    uint32_t key_epoch;    /* 0: not encrypted */
    uint64_t header_sum;   /* file_header_sum(); only of an encrypted one */
};

struct edit {
    bool has_uuid, has_next_file, has_flushed, has_log;
    uint8_t uuid[UUID_SIZE];
    uint64_t features;  /* with uuid: incompatible features of the store */
    uint64_t next_file; /* numbers from here on were never used */
    /* of the base only: the volumes whose files this one shares */
    struct lineage ancestors;
    bool has_history;
    uint64_t history_seq; /* see struct version */
    uint64_t flushed_seq; /* everything below is in tables */
    uint64_t log_number;  /* logs with lower numbers are not needed */
    uint64_t began_ns;    /* not written: monotonic, when the job began that made it; 0: none */
    struct edit_table *tables_added;
    struct edit_number *tables_removed;
    struct edit_blob *blobs_added, *blobs_garbage; /* garbage: ascending, one per file */
    uint64_t *blobs_removed;
    struct pin *pins_added;
    char **pins_removed; /* names */
    uint32_t tables_added_count, tables_removed_count, blobs_added_count, blobs_garbage_count,
        blobs_removed_count, pins_added_count, pins_removed_count;
};

void edit_init(struct edit *e);
void edit_release(struct edit *e);
/* Takes its own reference. A table that only changes level is removed and added with its number. */
void edit_add_table(struct edit *e, int level, struct table_meta *meta);
void edit_remove_table(struct edit *e, int level, uint64_t number);
/* The level that the edit takes the table from, or -1. One that it adds, too, moves, or is what a
 * slice has left of it. */
int edit_removed_from(const struct edit *e, uint64_t number);
void edit_add_blob(struct edit *e, uint64_t number, uint64_t count, uint64_t bytes,
                   uint64_t file_bytes);
/* Says with which generation of the key the file was written that edit_add_blob() added last, and
 * what tells it from others. Nothing to say if `key_epoch` is 0. */
void edit_set_blob_key(struct edit *e, uint64_t number, uint32_t key_epoch, uint64_t header_sum);
/* Adds up per file: O(log files) for a file that is in already. */
void edit_add_garbage(struct edit *e, uint64_t number, uint64_t count, uint64_t bytes);
void edit_remove_blob(struct edit *e, uint64_t number);
void edit_add_pin(struct edit *e, const struct pin *pin); /* copies */
void edit_remove_pin(struct edit *e, const char *name);   /* copies */

/* Adds what `from` adds, its garbage and what it says of history; nothing else may be in it
 * (asserted). */
void edit_append(struct edit *e, const struct edit *from);

/* Appends. */
void edit_encode(const struct edit *e, struct buf *out);
/* Into an initialised, empty edit, which a failure leaves empty. Returns 0; -EIO for bytes that are
 * no edit; -EPROTONOSUPPORT for a field that this program may not ignore. The caller raises. */
int edit_decode(struct slice in, struct edit *e);

#endif
