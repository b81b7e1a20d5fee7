/* dump: shows what files of a store, and the store itself, hold, as items of facts (facts.h).
 *
 * Nothing is locked and nothing is changed: a file is shown as it is at this moment, also of a
 * volume that is in use. What does not verify or decode is an item "damage", and the showing goes
 * on behind it as far as frames can be found. */
#ifndef VARVE_STORE_DUMP_H
#define VARVE_STORE_DUMP_H

#include "store/entry.h"
#include "store/file.h"
#include "store/store.h"

struct dump {
    struct env *env;
    const char *dir;
    const struct store_dump_options *opt;
    store_item_fn *fn;
    void *ctx;
    int stop;       /* what `fn` returned to end it */
    uint64_t shown; /* entries, for the limit */
    /* the item that is being made */
    const char *what;
    struct store_fact facts[STORE_FACTS_MAX];
    uint32_t count;
};

/* ---- making items (dump.c) ---- */
void dump_begin(struct dump *d, const char *what);
void dump_number(struct dump *d, const char *name, uint64_t number);
void dump_hex(struct dump *d, const char *name, uint64_t number);
void dump_time(struct dump *d, const char *name, int64_t realtime_ns);
void dump_text(struct dump *d, const char *name, const char *text);
/* The digits of a uuid, for dump_text(). */
enum { DUMP_UUID_TEXT = 2 * UUID_SIZE + 1 };
void dump_uuid_digits(const uint8_t uuid[UUID_SIZE], char out[DUMP_UUID_TEXT]);
void dump_key(struct dump *d, const char *name, struct slice key);
void dump_value(struct dump *d, const char *name, struct slice value);
/* Shows the item; nothing is shown any more once `fn` ended it. */
void dump_end(struct dump *d);
void dump_damage(struct dump *d, uint64_t offset, const char *why);

/* An entry, if its key is among those that are asked for and the limit is not reached. `where`: a
 * constant for its place, or NULL. */
void dump_entry(struct dump *d, const char *where, const struct entry *e);
/* Is anything left to show of entries? */
bool dump_wants_entries(const struct dump *d);
const char *dump_type_name(enum entry_type type);

/* ---- frames (dump_walk.c) ---- */
struct dump_walk {
    struct dump *dump;
    const struct file *file;
    uint64_t end; /* frames lie below */
    uint64_t at;  /* where the next is looked for */
    bool zeros;   /* a frame of zeros ends it: a journal */
    struct buf window, payload;
    uint64_t window_at;
};
struct dump_frame {
    uint64_t offset;
    struct frame_header header;
    bool decoded;         /* `payload` is what it holds */
    struct slice payload; /* until the next call */
};
void dump_walk_init(struct dump_walk *w, struct dump *d, const struct file *f, uint64_t end);
void dump_walk_release(struct dump_walk *w);
/* The next frame that verifies, after showing what does not. 0, 1 at the end, or an I/O error. */
int dump_walk_next(struct dump_walk *w, struct dump_frame *out);

/* ---- kinds of files ---- */
int dump_table(struct dump *d, const struct file *f, uint64_t size);   /* dump_table.c */
int dump_journal(struct dump *d, const struct file *f, uint64_t size); /* dump_journal.c */
/* A log's record; `where`: a constant, or NULL. */
void dump_record(struct dump *d, const struct dump_frame *frame, const char *where);
int dump_tail(struct dump *d); /* dump_tail.c */
/* Opens a file as far as its header allows: without a key frames are only verified. */
int dump_open_file(struct dump *d, enum file_kind kind, uint64_t number, struct file *f);
int dump_blob(struct dump *d, const struct file *f, uint64_t size); /* dump.c */

#endif
