/* events: saying and writing. See events.h.
 *
 * Invariants:
 *   1. `said` holds at most SAID_MAX bytes; what does not fit is counted, and the count told.
 *   2. Only one thread writes at a time, outside of `lock`; the order in the file is that in which
 *      events were said. */
#include "store/events.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SAID_MAX = 256 << 10 };

struct events {
    struct env *env;
    const uint64_t *limit;
    char *path, *old_path;
    pthread_mutex_t lock;
    struct buf said; /* [lock] */
    uint64_t lost;   /* [lock] events that did not fit */
    pthread_mutex_t writing;
    struct env_file *file; /* [writing] NULL: not open */
    uint64_t size;         /* [writing] */
};

void events_print(struct buf *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    va_start(args, format);
    vsnprintf((char *)buf_reserve(out, (size_t)len + 1), (size_t)len + 1, format, args);
    va_end(args);
    out->len += (size_t)len;
}

void events_bytes(struct buf *out, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) {
        events_print(out, "%" PRIu64 " bytes", bytes);
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1024 && unit < 3; unit++)
        value /= 1024;
    events_print(out, "%.1f %s", value, units[unit]);
}

/* ---- beginning and end ---- */

struct events *events_new(struct env *env, const char *dir, const uint64_t *limit)
{
    struct events *e = mem_zalloc(sizeof *e);
    e->env = env;
    e->limit = limit;
    e->path = name_events(dir, false);
    e->old_path = name_events(dir, true);
    pthread_mutex_init(&e->lock, NULL);
    pthread_mutex_init(&e->writing, NULL);
    return e;
}

static void close_file(struct events *e)
{
    if (e->file)
        e->file->ops->close(e->file);
    e->file = NULL;
}

void events_free(struct events *e)
{
    if (!e)
        return;
    events_write(e);
    close_file(e);
    buf_release(&e->said);
    pthread_mutex_destroy(&e->lock);
    pthread_mutex_destroy(&e->writing);
    free(e->path);
    free(e->old_path);
    free(e);
}

/* ---- saying ---- */

static bool wanted(const struct events *e)
{
    return e && __atomic_load_n(e->limit, __ATOMIC_RELAXED) > 0;
}

static void begin(const struct events *e, struct buf *text, const char *what)
{
    int64_t ns = e->env->realtime_ns(e->env);
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    events_print(text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s: ", tm.tm_year + 1900, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ns / 1000000 % 1000), what);
}

static void add(struct events *e, const struct buf *text)
{
    pthread_mutex_lock(&e->lock);
    if (e->said.len + text->len > SAID_MAX) {
        e->lost++;
    } else {
        if (e->lost > 0)
            events_print(&e->said, "(%" PRIu64 " events are missing here)\n", e->lost);
        e->lost = 0;
        buf_append(&e->said, buf_slice(text));
    }
    pthread_mutex_unlock(&e->lock);
}

void events_say(struct events *e, const char *what, const char *format, ...)
{
    struct buf text = {0};
    char line[1024];
    va_list args;
    if (!wanted(e))
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    begin(e, &text, what);
    events_print(&text, "%s\n", line);
    add(e, &text);
    buf_release(&text);
}

/* ---- what an edit did ---- */

/* Of tables that are not only moved. */
struct sum {
    uint32_t in, out, moved, reclaimed_blobs;
    uint32_t sliced; /* of `in`: only a part of each, the rest stays */
    uint64_t in_bytes, out_bytes;
    uint32_t in_levels; /* a bit for each */
    int out_level;
};

static const struct edit_table *added(const struct edit *e, uint64_t number)
{
    for (uint32_t i = 0; i < e->tables_added_count; i++)
        if (e->tables_added[i].meta->number == number)
            return &e->tables_added[i];
    return NULL;
}

/* Is it what a slice has left of a table, on the level where that was? */
static bool is_rest(const struct edit *e, const struct edit_table *a)
{
    return edit_removed_from(e, a->meta->number) == a->level;
}

static struct sum sum_up(const struct version *base, const struct edit *e,
                         const struct version *next)
{
    struct sum s = {.out_level = -1};
    uint64_t came[LEVEL_COUNT] = {0}, moved[LEVEL_COUNT] = {0};
    for (uint32_t i = 0; i < e->tables_removed_count; i++) {
        const struct edit_table *again = added(e, e->tables_removed[i].number);
        bool sliced = again && is_rest(e, again);
        s.sliced += sliced;
        s.moved += again && !sliced;
        s.in += !again || sliced;
        s.in_levels |= 1u << e->tables_removed[i].level;
        if (again)
            moved[e->tables_removed[i].level] += table_meta_bytes(again->meta);
    }
    for (uint32_t i = 0; i < e->tables_added_count; i++) {
        if (!is_rest(e, &e->tables_added[i]))
            s.out_level = e->tables_added[i].level;
        came[e->tables_added[i].level] += table_meta_bytes(e->tables_added[i].meta);
        s.out_bytes += table_meta_bytes(e->tables_added[i].meta);
    }
    for (int level = 0; level < LEVEL_COUNT; level++) {
        s.in_bytes += base->levels[level].bytes + came[level] - next->levels[level].bytes;
        s.in_bytes -= moved[level];
        s.out_bytes -= moved[level];
    }
    s.out = e->tables_added_count - s.moved - s.sliced;
    return s;
}

static void tell_levels(struct buf *out, uint32_t levels)
{
    const char *between = "";
    for (int level = 0; level < LEVEL_COUNT; level++) {
        if (!(levels & 1u << level))
            continue;
        events_print(out, "%s%d", between, level);
        between = ", ";
    }
}

static void tell_tables(struct buf *out, const struct sum *s)
{
    if (s->moved > 0)
        events_print(out, "%" PRIu32 " tables moved from level ", s->moved);
    else
        events_print(out, "%" PRIu32 " tables of level ", s->in);
    tell_levels(out, s->in_levels);
    if (s->out_level >= 0)
        events_print(out, " to level %d", s->out_level);
    if (s->in + s->out == 0)
        return;
    if (s->sliced > 0)
        events_print(out, ", of %" PRIu32 " a slice", s->sliced);
    events_print(out, ": ");
    events_bytes(out, s->in_bytes);
    events_print(out, " became %" PRIu32 " tables, ", s->out);
    events_bytes(out, s->out_bytes);
}

static const char *kind_of(const struct edit *e, uint32_t memtables, const struct sum *s)
{
    if (memtables > 0)
        return "flush";
    if (e->tables_removed_count > 0)
        return s->in + s->out == 0 ? "move" : "compaction";
    if (e->tables_added_count > 0)
        return "tables added";
    return e->pins_added_count + e->pins_removed_count > 0 ? "snapshot" : "install";
}

static void tell_rest(struct buf *out, const struct edit *e)
{
    for (uint32_t i = 0; i < e->pins_removed_count; i++)
        events_print(out, " '%s' is gone", e->pins_removed[i]);
    for (uint32_t i = 0; i < e->pins_added_count; i++)
        events_print(out, " '%s' at %" PRIu64, e->pins_added[i].name, e->pins_added[i].seq);
    if (e->blobs_added_count > 0)
        events_print(out, "; %" PRIu32 " blob files", e->blobs_added_count);
    uint64_t garbage = 0;
    for (uint32_t i = 0; i < e->blobs_garbage_count; i++)
        garbage += e->blobs_garbage[i].bytes;
    if (garbage > 0) {
        events_print(out, "; garbage in blob files: ");
        events_bytes(out, garbage);
    }
}

void events_install(struct events *e, const struct version *base, const struct edit *edit,
                    const struct version *next, uint32_t memtables, uint64_t began_ns)
{
    struct buf text = {0};
    if (!wanted(e))
        return;
    struct sum s = sum_up(base, edit, next);
    bool keys = e->env->keys == NULL;
    begin(e, &text, kind_of(edit, memtables, &s));
    if (memtables > 0) {
        events_print(&text, "%" PRIu32 " memtables became %" PRIu32 " tables, ", memtables, s.out);
        events_bytes(&text, s.out_bytes);
    } else if (edit->tables_removed_count + edit->tables_added_count > 0) {
        tell_tables(&text, &s);
    }
    tell_rest(&text, edit);
    if (began_ns > 0)
        events_print(&text, "; %.3f s",
                     (double)(e->env->monotonic_ns(e->env) - began_ns) / 1000000000);
    events_print(&text, "\n");
    events_picture(&text, base, edit, keys);
    add(e, &text);
    buf_release(&text);
}

/* ---- writing ---- */

static int open_file(struct events *e)
{
    int err = e->env->open(e->env, e->path, ENV_OPEN_WRITE, &e->file);
    if (err == -ENOENT)
        err = e->env->open(e->env, e->path, ENV_OPEN_CREATE, &e->file);
    if (err == 0)
        err = e->file->ops->size(e->file, &e->size);
    return err;
}

/* Writes one piece, turning the file over first if it is full. */
static void write_out(struct events *e, const struct buf *text)
{
    uint64_t limit = __atomic_load_n(e->limit, __ATOMIC_RELAXED);
    int err = e->file ? 0 : open_file(e);
    if (err == 0 && e->size > 0 && e->size + text->len > limit / 2) {
        close_file(e);
        err = e->env->rename(e->env, e->path, e->old_path);
        if (err == 0)
            err = open_file(e);
    }
    if (err == 0)
        err = e->file->ops->write(e->file, e->size, text->data, text->len);
    if (err == 0)
        e->size += text->len;
    else
        close_file(e); /* the next piece tries again */
}

void events_write(struct events *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->writing);
    pthread_mutex_lock(&e->lock);
    struct buf text = e->said;
    e->said = (struct buf){0};
    pthread_mutex_unlock(&e->lock);
    if (text.len > 0 && wanted(e))
        write_out(e, &text);
    buf_release(&text);
    pthread_mutex_unlock(&e->writing);
}

/* ---- reading ---- */

static int read_whole(struct env *env, const char *path, struct buf *out)
{
    struct env_file *f;
    uint64_t size = 0;
    size_t got = 0;
    int err = env->open(env, path, ENV_OPEN_READ, &f);
    if (err < 0)
        return err == -ENOENT ? 0 : err;
    err = f->ops->size(f, &size);
    if (err == 0)
        err = f->ops->read(f, 0, buf_reserve(out, (size_t)size + 1), (size_t)size, &got);
    out->len = err == 0 ? got : 0;
    f->ops->close(f);
    return err;
}

/* A line that was not written to its end is left out: it is being written. */
static int each_line(struct buf *text, store_line_fn *fn, void *ctx)
{
    char *line = (char *)text->data;
    int rc = 0;
    for (size_t i = 0; i < text->len && rc == 0; i++) {
        uint8_t *c = &text->data[i];
        if (*c == '\n') {
            *c = 0;
            rc = fn(ctx, line);
            line = (char *)c + 1;
        } else if (*c < ' ' || *c >= 127) {
            *c = '?';
        }
    }
    return rc;
}

int events_read(struct env *env, const char *dir, store_line_fn *fn, void *ctx)
{
    int err = 0;
    for (int old = 1; old >= 0 && err == 0; old--) {
        struct buf text = {0};
        char *path = name_events(dir, old);
        err = read_whole(env, path, &text);
        if (err == 0)
            err = each_line(&text, fn, ctx);
        buf_release(&text);
        free(path);
    }
    return err;
}
