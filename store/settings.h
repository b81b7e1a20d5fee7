/* settings: what can be set of a store, by name: one row for each setting, and the snapshots that
 * carry the values in force.
 *
 * The values are the fields of struct store_options (store.h); a row of the table in settings.c
 * gives such a field its name, kind, range, default and help. They are read in two ways:
 *
 *   a job (flush, compaction, ...) takes one snapshot when it begins, settings_get(), and keeps it
 *   to its end: what it does is of one piece, whatever is set meanwhile. struct job has it: j->set
 *   a hot path reads the one field that it needs, atomically and without a lock:
 *       setting_u64(&t->settings.live.memtable_bytes), setting_u32(&t->settings.live.workers)
 *
 * To add a setting:
 *   1. a field in struct store_options: uint64_t, or uint32_t (a level or choice that is never
 *      negative may be an int), with a comment that says what it does;
 *   2. a row in the table of settings.c. Its range is what makes sense to a person; what the
 * store's own arithmetic relies on is asserted, or checked in check_options() of store.c: a program
 *      (a test) may open a store with less than the range allows;
 *   3. read it in one of the two ways above, never by a copy that is kept: SETTING_LIVE rows
 *      change while the store is open. A row that cannot is SETTING_AT_OPEN, and says why in its
 * help;
 *   4. if a change has to be told to someone (the cache, the workers), tell it in apply() of
 *      store_settings.c;
 *   5. a line in docs/OPERATIONS.md, "Settings"; a test compares that table with this one. */
#ifndef VARVE_STORE_SETTINGS_H
#define VARVE_STORE_SETTINGS_H

#include <pthread.h>

#include "store/store.h"

enum setting_when { SETTING_AT_OPEN, SETTING_LIVE };

/* A row: constant. */
struct setting {
    const char *name;
    enum store_setting_kind kind;
    enum setting_when when;
    uint16_t offset, size;      /* of the field in struct store_options; 4 or 8 bytes */
    uint64_t min, max, preset;  /* bytes, a count, percent, nanoseconds, or an index of `choices` */
    const char *const *choices; /* of kind CHOICE: max + 1 words */
    const char *help;           /* one sentence without a full stop */
};

/* The rows, by name. */
extern const struct setting settings_table[];
size_t settings_count(void);
/* NULL: there is none. */
const struct setting *setting_find(const char *name);

uint64_t setting_load(const struct setting *row, const struct store_options *o);
void setting_store(const struct setting *row, struct store_options *o, uint64_t value);

/* ---- in words (settings_text.c) ---- */

/* Decimal, then: K, M, G or T (times 1024; "KiB" and "KB" mean the same) for BYTES; "%" or nothing
 * for PERCENT; ns, us, ms, s, m or h, which has to be there unless it is 0, for DURATION; one of
 * the words for CHOICE. -EINVAL: not of that form; -ERANGE: outside the row's range. Then `message`
 * (STORE_MESSAGE_MAX) says what is wrong, with the range; otherwise it is "". */
int setting_parse(const struct setting *row, const char *text, uint64_t *value,
                  char message[STORE_MESSAGE_MAX]);
/* In full: bytes without a suffix, a duration in the largest unit that leaves nothing over. What it
 * prints setting_parse() reads. Returns `out`. */
char *setting_print(const struct setting *row, uint64_t value, char out[STORE_SETTING_TEXT_MAX]);
/* "1048576 to 4294967296 bytes", "fast, small": what it takes. */
void setting_print_range(const struct setting *row, char out[STORE_RANGE_TEXT_MAX]);

/* ---- snapshots ---- */

struct settings {
    int refs; /* atomic */
    struct store_options o;
};

struct settings_box {
    pthread_mutex_t lock;
    struct settings *current;  /* [lock] */
    struct store_options live; /* the same values; each field is read and set atomically */
};

void settings_box_init(struct settings_box *b, const struct store_options *o);
void settings_box_release(struct settings_box *b);
/* A reference on what is in force now. */
struct settings *settings_get(struct settings_box *b);
void settings_unref(struct settings *s); /* NULL is fine */
/* Puts a snapshot with the value in place of the current one. Returns the value that it had. */
uint64_t settings_change(struct settings_box *b, const struct setting *row, uint64_t value);

static inline uint64_t setting_u64(const uint64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}
static inline uint32_t setting_u32(const uint32_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}
static inline int setting_int(const int *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

#endif
