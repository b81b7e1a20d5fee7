/* settings: the table, and the snapshots. See settings.h, also for how to add a row.
 *
 * Invariants:
 *   1. The table is sorted by name, and no field has two rows.
 *   2. A snapshot never changes once it is in the box.
 *   3. `live` has the values of `current`, but for the moment of a change. */
#include "store/settings.h"

#include <assert.h>
#include <stdlib.h>

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1024) * KIB)
#define GIB (UINT64_C(1024) * MIB)
#define TIB (UINT64_C(1024) * GIB)
#define MS  UINT64_C(1000000)
#define SEC (UINT64_C(1000) * MS)
#define FIELD(name)                                 \
    .offset = offsetof(struct store_options, name), \
    .size = sizeof(((struct store_options *)NULL)->name)

/* A level of zstd that is set in place of another, or not; the place is 1 + the level. */
static const char *const zstd_choices[] = {"default", "0",  "1",  "2",  "3",  "4",  "5",
                                           "6",       "7",  "8",  "9",  "10", "11", "12",
                                           "13",      "14", "15", "16", "17", "18", "19"};
#define ZSTD_CHOICE(setting, field, text)                                                  \
    {                                                                                      \
        .name = setting, .kind = STORE_SETTING_CHOICE, .when = SETTING_LIVE, FIELD(field), \
        .max = sizeof zstd_choices / sizeof *zstd_choices - 1, .choices = zstd_choices,    \
        .help = text                                                                       \
    }
#define OF_CLASS(i)                                                                                \
    ZSTD_CHOICE("compression.class" #i, class_zstd[i],                                             \
                "level of zstd for what belongs to keys of class " #i ", wherever it is; default " \
                "leaves that to the other settings of compression")
#define OF_LEVEL(i)                                     \
    ZSTD_CHOICE("compression.level" #i, level_zstd[i],  \
                "level of zstd for tables of level " #i \
                " of the tree; default is compression.level")

const struct setting settings_table[] = {
    {.name = "background.rate",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(background_rate),
     .min = 0,
     .max = TIB,
     .preset = 0,
     .help = "bytes a second that compactions and healing write at most, unless writers wait for "
             "them; 0: no limit"},
    {.name = "blob.age_percent",
     .kind = STORE_SETTING_PERCENT,
     .when = SETTING_LIVE,
     FIELD(blob_age_percent),
     .min = 0,
     .max = 100,
     .preset = 25,
     .help = "share of the blob files, the oldest, of which values are moved at half of "
             "blob.stale_percent"},
    {.name = "blob.bytes",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(blob_bytes),
     .min = MIB,
     .max = 64 * GIB,
     .preset = 256 * MIB,
     .help = "size at which a blob file is sealed and the next one begun"},
    {.name = "blob.direct_min",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(direct_min),
     .min = 512,
     .max = STORE_VALUE_MAX,
     .preset = 16 * KIB,
     .help = "values of this size and more go to a blob file when they are written"},
    {.name = "blob.garbage_percent",
     .kind = STORE_SETTING_PERCENT,
     .when = SETTING_LIVE,
     FIELD(blob_garbage_percent),
     .min = 1,
     .max = 100,
     .preset = 25,
     .help = "garbage in all blob files from which on values are moved for that alone"},
    {.name = "blob.separate_min",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(separate_min),
     .min = 128,
     .max = STORE_VALUE_MAX,
     .preset = 2 * KIB,
     .help = "values of this size and more go to a blob file when a memtable is flushed"},
    {.name = "blob.stale_percent",
     .kind = STORE_SETTING_PERCENT,
     .when = SETTING_LIVE,
     FIELD(blob_stale_percent),
     .min = 1,
     .max = 100,
     .preset = 50,
     .help = "garbage in a blob file from which on any compaction moves the values that it meets"},
    {.name = "cache.bytes",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(cache_bytes),
     .min = MIB,
     .max = TIB,
     .preset = 64 * MIB,
     .help = "memory for decoded blocks and values"},
    {.name = "commit.interval",
     .kind = STORE_SETTING_DURATION,
     .when = SETTING_LIVE,
     FIELD(commit_ns),
     .min = 0,
     .max = 3600 * SEC,
     .preset = 5 * SEC,
     .help = "age at which what was written is synced, though nobody asks; 0: only when somebody "
             "does"},
    {.name = "compaction.level0_tables",
     .kind = STORE_SETTING_COUNT,
     .when = SETTING_LIVE,
     FIELD(level0_tables),
     .min = 2,
     .max = 256,
     .preset = 24,
     .help = "tables that flushes leave on level 0 before they are compacted, unless reads pay for "
             "it earlier"},
    OF_CLASS(0),
    OF_CLASS(1),
    OF_CLASS(2),
    OF_CLASS(3),
    {.name = "compression.helpers",
     .kind = STORE_SETTING_COUNT,
     .when = SETTING_LIVE,
     FIELD(helpers),
     .min = 0,
     .max = STORE_WORKERS_MAX,
     .preset = 1,
     .help = "so many workers that have nothing to do may compress blocks of tables that others "
             "write"},
    {.name = "compression.level",
     .kind = STORE_SETTING_COUNT,
     .when = SETTING_LIVE,
     FIELD(zstd_level),
     .min = 0,
     .max = 19,
     .preset = 1,
     .help = "level of zstd for what is written from now on; 0 compresses nothing"},
    OF_LEVEL(0),
    OF_LEVEL(1),
    OF_LEVEL(2),
    OF_LEVEL(3),
    OF_LEVEL(4),
    OF_LEVEL(5),
    OF_LEVEL(6),
    {.name = "dictionary.bytes",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(dict_bytes),
     .min = 0,
     .max = MIB,
     .preset = 16 * KIB,
     .help = "most that a dictionary for the blocks of a table of the last levels takes; 0: no new "
             "tables have one"},
    {.name = "dictionary.gain",
     .kind = STORE_SETTING_PERCENT,
     .when = SETTING_LIVE,
     FIELD(dict_gain_percent),
     .min = 0,
     .max = 100,
     .preset = 2,
     .help = "what a dictionary has to save, itself counted, for a table to have one"},
    {.name = "disk.limit",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(limit_bytes),
     .min = 0,
     .max = 1024 * TIB,
     .preset = 0,
     .help = "disk space that the volume takes at most, as on a disk of that size; 0: no limit"},
    {.name = "disk.reserve",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(reserve_bytes),
     .min = MIB,
     .max = TIB,
     .preset = 64 * MIB,
     .help = "free space that is left to deletes and to background work"},
    {.name = "entry.sums",
     .kind = STORE_SETTING_COUNT,
     .when = SETTING_LIVE,
     FIELD(entry_sums),
     .min = 0,
     .max = 1,
     .preset = 0,
     .help = "1: entries carry a checksum on their way through memory, so that bad memory is found "
             "before it is written to disk"},
    {.name = "events.bytes",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(events_bytes),
     .min = 0,
     .max = GIB,
     .preset = MIB,
     .help = "size of the event log, EVENTS and EVENTS.1 together; 0, and an encrypted volume, has "
             "none"},
    {.name = "filter.bottom",
     .kind = STORE_SETTING_COUNT,
     .when = SETTING_LIVE,
     FIELD(filter_bottom),
     .min = 0,
     .max = 1,
     .preset = 1,
     .help =
         "whether new tables of the last level have filters; 0 where reads mostly find something"},
    {.name = "filter.one_in",
     .kind = STORE_SETTING_COUNT,
     .when = SETTING_LIVE,
     FIELD(filter_one_in),
     .min = 0,
     .max = 65536,
     .preset = 100,
     .help = "filters of new tables let one absent key in so many pass; 0 makes none"},
    {.name = "filter.whole_keys",
     .kind = STORE_SETTING_COUNT,
     .when = SETTING_LIVE,
     FIELD(filter_whole_keys),
     .min = 1024,
     .max = 1 << 30,
     .preset = 1 << 20,
     .help = "filters over more keys are kept in parts, which the cache holds as they are needed"},
    {.name = "index.whole_bytes",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(index_whole_bytes),
     .min = 16 * KIB,
     .max = 64 * MIB,
     .preset = 512 * KIB,
     .help = "a larger index of a new table is kept in parts, which the cache holds as they are "
             "needed"},
    {.name = "log.compression",
     .kind = STORE_SETTING_COUNT,
     .when = SETTING_LIVE,
     FIELD(log_zstd),
     .min = 0,
     .max = 19,
     .preset = 1,
     .help = "level of zstd for records of the log that are written together; 0 compresses none"},
    {.name = "log.row_bytes",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(log_row_bytes),
     .min = 512,
     .max = 128 * KIB,
     .preset = 16 * KIB,
     .help = "so much of the log has to be written at once, in records of at most 1 KiB on "
             "average, to be compressed"},
    {.name = "memtable.bytes",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(memtable_bytes),
     .min = 64 * KIB,
     .max = 16 * GIB,
     .preset = 16 * MIB,
     .help = "size at which the memtable is sealed, to be flushed"},
    {.name = "memtable.idle_flush",
     .kind = STORE_SETTING_DURATION,
     .when = SETTING_LIVE,
     FIELD(idle_flush_ns),
     .min = 10 * MS,
     .max = 86400 * SEC,
     .preset = 10 * SEC,
     .help =
         "age at which a memtable that holds range tombstones is flushed, so that space returns"},
    {.name = "memtables.max",
     .kind = STORE_SETTING_COUNT,
     .when = SETTING_LIVE,
     FIELD(memtables_max),
     .min = 2,
     .max = 64,
     .preset = 4,
     .help = "memtables in memory, the active one included; writers wait for a flush beyond"},
    {.name = "parity.data",
     .kind = STORE_SETTING_COUNT,
     .when = SETTING_LIVE,
     FIELD(parity_data),
     .min = 1,
     .max = 128,
     .preset = 32,
     .help = "shards of 4 KiB of a table or blob file that share the shards of parity"},
    {.name = "parity.shards",
     .kind = STORE_SETTING_COUNT,
     .when = SETTING_LIVE,
     FIELD(parity_shards),
     .min = 0,
     .max = 32,
     .preset = 0,
     .help = "so many damaged ones of these can be rebuilt, in files written from now on; 0 makes "
             "no parity"},
    {.name = "scrub.every",
     .kind = STORE_SETTING_DURATION,
     .when = SETTING_LIVE,
     FIELD(scrub_every_ns),
     .min = 0,
     .max = 366 * 24 * 3600 * SEC,
     .preset = 0,
     .help =
         "a scrub begins by itself when the last one ended so long ago; 0: only when asked for"},
    {.name = "scrub.rate",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(scrub_rate),
     .min = 0,
     .max = TIB,
     .preset = 32 * MIB,
     .help = "bytes a second that a scrub reads at most; 0: no limit"},
    {.name = "table.block_bytes",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(block_bytes),
     .min = 512,
     .max = 4 * MIB,
     .preset = 8 * KIB,
     .help = "size of a block of entries in new tables, before compression"},
    {.name = "table.bytes",
     .kind = STORE_SETTING_BYTES,
     .when = SETTING_LIVE,
     FIELD(table_bytes),
     .min = 64 * KIB,
     .max = 16 * GIB,
     .preset = 64 * MIB,
     .help = "size that a compaction aims at for its output tables"},
    {.name = "workers",
     .kind = STORE_SETTING_COUNT,
     .when = SETTING_LIVE,
     FIELD(workers),
     .min = 1,
     .max = STORE_WORKERS_MAX,
     .preset = 2,
     .help = "threads that flush and compact"},
};

size_t settings_count(void)
{
    return sizeof settings_table / sizeof *settings_table;
}

const struct setting *setting_find(const char *name)
{
    for (size_t i = 0; i < settings_count(); i++)
        if (strcmp(settings_table[i].name, name) == 0)
            return &settings_table[i];
    return NULL;
}

/* ---- fields ---- */

static void *field_of(const struct setting *row, struct store_options *o)
{
    assert(row->size == sizeof(uint32_t) || row->size == sizeof(uint64_t));
    assert(row->offset + row->size <= sizeof *o);
    return (char *)o + row->offset;
}

uint64_t setting_load(const struct setting *row, const struct store_options *o)
{
    uint32_t half;
    uint64_t whole;
    assert(row->offset + row->size <= sizeof *o);
    const char *field = (const char *)o + row->offset;
    if (row->size == sizeof whole) {
        memcpy(&whole, field, sizeof whole);
        return whole;
    }
    assert(row->size == sizeof half);
    memcpy(&half, field, sizeof half);
    return half;
}

void setting_store(const struct setting *row, struct store_options *o, uint64_t value)
{
    void *field = field_of(row, o);
    if (row->size == sizeof(uint64_t)) {
        __atomic_store_n((uint64_t *)field, value, __ATOMIC_RELAXED);
        return;
    }
    assert(value <= UINT32_MAX);
    __atomic_store_n((uint32_t *)field, (uint32_t)value, __ATOMIC_RELAXED);
}

/* ---- snapshots ---- */

static struct settings *snapshot_new(const struct store_options *o)
{
    struct settings *s = mem_alloc(sizeof *s);
    s->refs = 1;
    s->o = *o;
    return s;
}

void settings_box_init(struct settings_box *b, const struct store_options *o)
{
    pthread_mutex_init(&b->lock, NULL);
    b->current = snapshot_new(o);
    b->live = *o;
}

void settings_box_release(struct settings_box *b)
{
    settings_unref(b->current);
    b->current = NULL;
    pthread_mutex_destroy(&b->lock);
}

struct settings *settings_get(struct settings_box *b)
{
    pthread_mutex_lock(&b->lock);
    struct settings *s = b->current;
    int before = __atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
    assert(before > 0);
    pthread_mutex_unlock(&b->lock);
    return s;
}

void settings_unref(struct settings *s)
{
    if (!s)
        return;
    int before = __atomic_fetch_sub(&s->refs, 1, __ATOMIC_ACQ_REL);
    assert(before > 0);
    if (before == 1)
        free(s);
}

uint64_t settings_change(struct settings_box *b, const struct setting *row, uint64_t value)
{
    pthread_mutex_lock(&b->lock);
    struct settings *old = b->current, *fresh = snapshot_new(&old->o);
    uint64_t before = setting_load(row, &old->o);
    setting_store(row, &fresh->o, value);
    setting_store(row, &b->live, value);
    b->current = fresh;
    pthread_mutex_unlock(&b->lock);
    settings_unref(old);
    return before;
}
