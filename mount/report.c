/* report: see report.h. Figures are gathered once and printed by one of two printers, so text and
 * JSON cannot differ. */
#include "mount/report.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mount/json.h"
#include "mount/tell.h"
#include "mount/wire.h"

struct report {
    FILE *out;
    struct json json;
    bool as_json;
};

/* ---- printing ---- */

static void section(struct report *r, const char *key, const char *title)
{
    if (r->as_json)
        json_object(&r->json, key);
    else
        fprintf(r->out, "\n%s\n", title);
}

static void section_end(struct report *r)
{
    if (r->as_json)
        json_close(&r->json);
}

static void count(struct report *r, const char *key, const char *name, uint64_t value)
{
    if (r->as_json)
        json_uint(&r->json, key, value);
    else
        fprintf(r->out, "  %-30s%" PRIu64 "\n", name, value);
}

static void bytes(struct report *r, const char *key, const char *name, uint64_t value)
{
    char text[TELL_BYTES_MAX];
    if (r->as_json) {
        json_uint(&r->json, key, value);
        return;
    }
    tell_bytes(value, text);
    fprintf(r->out, "  %-30s%s\n", name, text);
}

/* `part` of `whole`, as a factor. */
static void ratio(struct report *r, const char *key, const char *name, uint64_t part,
                  uint64_t whole)
{
    double value = whole ? (double)part / (double)whole : 0;
    if (r->as_json)
        json_real(&r->json, key, value);
    else
        fprintf(r->out, "  %-30s%.3f\n", name, value);
}

/* "850 ns", "12.3 us", "4.56 s": three digits. */
static void tell_ns(uint64_t ns, char out[16])
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    double value = (double)ns;
    int unit = 0;
    for (; value >= 999.5 && unit < 3; unit++)
        value /= 1000;
    int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(out, 16, "%.*f %s", digits, value, units[unit]);
}

/* ---- activity ---- */

static void lookups(struct report *r, const struct store_insight *in)
{
    char key[32], name[32];
    section(r, "lookups", "look-ups");
    count(r, "gets", "point reads", in->gets);
    count(r, "found_memtable", "found in the memtable", in->found_memtable);
    count(r, "found_sealed", "found in a sealed one", in->found_sealed);
    for (int level = 0; level < STORE_LEVELS; level++) {
        snprintf(key, sizeof key, "found_level_%d", level);
        snprintf(name, sizeof name, "found on level %d", level);
        if (r->as_json || in->found_level[level])
            count(r, key, name, in->found_level[level]);
    }
    count(r, "deleted", "deleted", in->deleted);
    count(r, "range_deleted", "deleted by a range", in->range_deleted);
    count(r, "absent", "not there", in->absent);
    count(r, "folded", "put together from updates", in->folded);
    count(r, "tables_out_of_span", "tables with other keys", in->tables_out_of_span);
    count(r, "tables_asked", "tables asked", in->tables_asked);
    count(r, "filter_negatives", "kept out by a filter", in->filter_negatives);
    count(r, "filter_true_positives", "let in by a filter rightly", in->filter_true_positives);
    count(r, "filter_false_positives", "let in by a filter in vain", in->filter_false_positives);
    count(r, "filter_prefix_negatives", "scans kept out by a filter", in->filter_prefix_negatives);
    count(r, "blocks_missed", "blocks without the key", in->blocks_missed);
    ratio(r, "filter_false_positive_rate", "rate of the latter", in->filter_false_positives,
          in->filter_false_positives + in->filter_negatives);
    section_end(r);
}

/* Of one kind: blocks, parts of indexes and filters, values. */
static void cache_kind(struct report *r, const struct store_insight *in, enum store_cache_kind kind)
{
    char key[32], name[40];
    uint64_t hits = in->cache_hits[kind], misses = in->cache_misses[kind];
    const char *what = fs_cache_kind_name(kind);
    if (!r->as_json && hits + misses == 0)
        return;
    snprintf(key, sizeof key, "%s_hits", what);
    snprintf(name, sizeof name, "hits of kind %s", what);
    count(r, key, name, hits);
    snprintf(key, sizeof key, "%s_misses", what);
    snprintf(name, sizeof name, "misses of kind %s", what);
    count(r, key, name, misses);
}

static void caches(struct report *r, const struct store_stats *s, const struct store_insight *in)
{
    section(r, "cache", "blocks and values");
    bytes(r, "cache_bytes", "in the cache", s->cache_bytes);
    count(r, "cache_hits", "cache hits", s->cache_hits);
    count(r, "cache_misses", "cache misses", s->cache_misses);
    ratio(r, "cache_hit_rate", "hit rate", s->cache_hits, s->cache_hits + s->cache_misses);
    for (int kind = 0; kind < STORE_CACHE_KINDS; kind++)
        cache_kind(r, in, (enum store_cache_kind)kind);
    bytes(r, "cache_kept", "of these kept", in->cache_kept_bytes);
    count(r, "blocks_cached", "blocks that reads found there", in->blocks_cached);
    count(r, "blocks_read", "blocks read from the disk", in->blocks_read);
    count(r, "job_blocks_cached", "blocks that compactions found there", in->job_blocks_cached);
    count(r, "job_blocks_read", "blocks that they read from the disk", in->job_blocks_read);
    count(r, "blobs_cached", "values found there", in->blobs_cached);
    count(r, "blobs_read", "values read from blob files", in->blobs_read);
    count(r, "seeks", "cursors placed", in->seeks);
    count(r, "steps", "steps of cursors", in->steps);
    count(r, "passed", "dead entries stepped over", in->passed);
    section_end(r);
}

/* A line of /proc/self/status, which is in KiB; 0 where there is none. */
static uint64_t process_bytes(const char *what)
{
    char line[128];
    size_t len = strlen(what);
    unsigned long long kib = 0;
    FILE *status = fopen("/proc/self/status", "re");
    if (!status)
        return 0;
    while (kib == 0 && fgets(line, sizeof line, status))
        if (strncmp(line, what, len) == 0 && sscanf(line + len, ": %llu", &kib) != 1)
            kib = 0;
    fclose(status);
    return kib * 1024;
}

/* Of the process, all volumes that it has open. */
static void memory(struct report *r, const struct store_stats *s)
{
    uint64_t resident = process_bytes("VmRSS");
    uint64_t told = s->memory_used_bytes + s->memory_free_bytes;
    section(r, "memory", "memory");
    bytes(r, "resident", "of the process", resident);
    bytes(r, "resident_peak", "at its most", process_bytes("VmHWM"));
    bytes(r, "blocks", "memtables and cache", s->memory_used_bytes);
    bytes(r, "free", "free, and used again", s->memory_free_bytes);
    bytes(r, "other", "all else", resident > told ? resident - told : 0);
    section_end(r);
}

/* Of a mount: how the kernel's requests came. */
static void requests(struct report *r)
{
    struct wire_requests q;
    wire_requests(&q);
    if (q.by_device + q.by_rings == 0)
        return;
    section(r, "requests", "requests of the kernel");
    count(r, "by_io_uring", "by io_uring", q.by_rings);
    count(r, "by_device", "by /dev/fuse", q.by_device);
    section_end(r);
}

static uint64_t table_bytes(const struct store_stats *s)
{
    uint64_t sum = 0;
    for (int level = 0; level < STORE_LEVELS; level++)
        sum += s->level_bytes[level];
    return sum;
}

/* Live data is about what the deepest level holds, and of blob files what is no garbage. */
static uint64_t live_bytes(const struct store_stats *s)
{
    int level = STORE_LEVELS - 1;
    while (level > 0 && s->level_bytes[level] == 0)
        level--;
    return s->level_bytes[level] + s->blob_bytes - s->blob_garbage_bytes;
}

/* A word among the figures. */
static void word(struct report *r, const char *key, const char *name, const char *value)
{
    if (r->as_json)
        json_string(&r->json, key, value);
    else
        fprintf(r->out, "  %-30s%s\n", name, value);
}

static void space(struct report *r, const struct store_stats *s)
{
    section(r, "space", "space");
    word(r, "space_state", "state", fs_space_state_name(s->space_state));
    bytes(r, "space_used", "used", s->space_used_bytes);
    bytes(r, "space_live", "live", s->space_live_bytes);
    bytes(r, "space_garbage", "known to be garbage", s->space_garbage_bytes);
    bytes(r, "disk_free", "free on the disk", s->disk_free_bytes);
    bytes(r, "disk_usable", "of it for writes", s->disk_usable_bytes);
    bytes(r, "space_reserve", "reserve", s->space_reserve_bytes);
    bytes(r, "space_compaction", "a compaction takes at most", s->space_compaction_bytes);
    section_end(r);
}

static void writing(struct report *r, const struct store_stats *s, const struct store_insight *in)
{
    uint64_t all = s->bytes_written_log + s->bytes_written_flush + s->bytes_written_compaction +
                   s->bytes_written_blob;
    section(r, "writing", "writing");
    count(r, "batches", "batches", in->batches);
    count(r, "syncs", "syncs", in->syncs);
    bytes(r, "written_user", "keys and values given", s->bytes_written_user);
    bytes(r, "written_log", "written to logs", s->bytes_written_log);
    bytes(r, "written_flush", "to tables by flushes", s->bytes_written_flush);
    bytes(r, "written_compaction", "to tables by compactions", s->bytes_written_compaction);
    bytes(r, "written_blob", "to blob files", s->bytes_written_blob);
    ratio(r, "write_amplification", "write amplification", all, s->bytes_written_user);
    ratio(r, "space_amplification", "space amplification", table_bytes(s) + s->blob_bytes,
          live_bytes(s));
    count(r, "flushes", "flushes", s->flushes);
    count(r, "compactions", "compactions", s->compactions);
    count(r, "compaction_slices", "that were slices of one", s->compaction_slices);
    bytes(r, "punched", "given back between slices", s->bytes_punched);
    count(r, "stalls", "stalls", in->stalls);
    count(r, "stall_ns", "nanoseconds in stalls", in->stall_ns);
    count(r, "stall_ns_max", "the longest", in->stall_ns_max);
    section_end(r);
}

static void level_json(struct report *r, int level, const struct store_stats *s,
                       const struct store_insight *in)
{
    uint64_t user = s->bytes_written_user, all = table_bytes(s);
    json_object(&r->json, NULL);
    json_int(&r->json, "level", level);
    json_uint(&r->json, "tables", s->level_tables[level]);
    json_uint(&r->json, "bytes", s->level_bytes[level]);
    json_uint(&r->json, "written", in->level_written[level]);
    json_uint(&r->json, "read", in->level_read[level]);
    json_real(&r->json, "write_amplification",
              user ? (double)in->level_written[level] / (double)user : 0);
    json_real(&r->json, "share", all ? (double)s->level_bytes[level] / (double)all : 0);
    json_close(&r->json);
}

static void level_text(struct report *r, int level, const struct store_stats *s,
                       const struct store_insight *in)
{
    char held[TELL_BYTES_MAX], wrote[TELL_BYTES_MAX], took[TELL_BYTES_MAX];
    uint64_t user = s->bytes_written_user, all = table_bytes(s);
    if (s->level_tables[level] == 0 && in->level_written[level] == 0)
        return;
    tell_bytes(s->level_bytes[level], held);
    tell_bytes(in->level_written[level], wrote);
    tell_bytes(in->level_read[level], took);
    fprintf(r->out, "  %-7d%8" PRIu32 "%14s%14s%14s%13.3f%7.1f%%\n", level, s->level_tables[level],
            held, wrote, took, user ? (double)in->level_written[level] / (double)user : 0,
            all ? 100 * (double)s->level_bytes[level] / (double)all : 0);
}

static void levels(struct report *r, const struct store_stats *s, const struct store_insight *in)
{
    if (r->as_json)
        json_list(&r->json, "levels");
    else
        fprintf(r->out, "\n  %-7s%8s%14s%14s%14s%13s%8s\n", "level", "tables", "holds", "written",
                "taken away", "written/user", "share");
    for (int level = 0; level < STORE_LEVELS; level++)
        (r->as_json ? level_json : level_text)(r, level, s, in);
    section_end(r);
}

static void latency_json(struct report *r, const char *name, const struct store_latency *l)
{
    json_object(&r->json, name);
    json_uint(&r->json, "samples", l->samples);
    json_uint(&r->json, "one_in", l->period);
    json_uint(&r->json, "sum_ns", l->sum_ns);
    json_uint(&r->json, "p50_ns", l->p50_ns);
    json_uint(&r->json, "p90_ns", l->p90_ns);
    json_uint(&r->json, "p99_ns", l->p99_ns);
    json_uint(&r->json, "p999_ns", l->p999_ns);
    json_uint(&r->json, "max_ns", l->max_ns);
    json_close(&r->json);
}

static void latency_text(struct report *r, const char *name, const struct store_latency *l)
{
    const uint64_t values[] = {l->samples ? l->sum_ns / l->samples : 0,
                               l->p50_ns,
                               l->p90_ns,
                               l->p99_ns,
                               l->p999_ns,
                               l->max_ns};
    fprintf(r->out, "  %-12s%9" PRIu64, name, l->samples);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[16];
        tell_ns(values[i], text);
        fprintf(r->out, "%10s", text);
    }
    putc('\n', r->out);
}

static void latencies(struct report *r, const struct store_insight *in)
{
    if (r->as_json)
        json_object(&r->json, "latencies");
    else
        fprintf(r->out, "\n  %-12s%9s%10s%10s%10s%10s%10s%10s\n", "times", "samples", "mean",
                "median", "90 %", "99 %", "99.9 %", "longest");
    for (int i = 0; i < STORE_TIMERS; i++)
        (r->as_json ? latency_json : latency_text)(r, fs_timer_name((enum store_timer)i),
                                                   &in->latency[i]);
    section_end(r);
}

/* ---- reports ---- */

static int begin(struct report *r, bool as_json, char **text, size_t *len)
{
    *r = (struct report){.as_json = as_json};
    r->out = open_memstream(text, len);
    if (!r->out)
        return -errno;
    json_init(&r->json, r->out);
    return 0;
}

static int end(struct report *r, char **text, const size_t *len, struct buf *out)
{
    int err = fclose(r->out) == 0 ? 0 : -errno;
    if (err == 0)
        buf_append(out, slice_of(*text, *len));
    free(*text);
    return err;
}

static void identity(struct report *r, const struct fs_stats *s)
{
    char uuid[TELL_UUID_MAX];
    tell_uuid(s->uuid, uuid);
    if (r->as_json)
        json_string(&r->json, "uuid", uuid);
    else
        fprintf(r->out, "\nidentity\n  %-30s%s\n", "uuid", uuid);
}

static void files(struct report *r, const struct fs_stats *s)
{
    section(r, "files", "files");
    count(r, "inodes", "inodes in use", s->inodes);
    bytes(r, "used_bytes", "data in files", s->used_bytes);
    bytes(r, "volume_bytes", "the volume takes", s->volume_bytes);
    count(r, "snapshots", "snapshots", s->store.pins);
    section_end(r);
}

int report_activity(struct fs *fs, bool as_json, struct buf *out)
{
    struct report r;
    struct fs_stats stats;
    struct store_insight in;
    char *text = NULL;
    size_t len = 0;
    int err = fs_get_stats(fs, &stats);
    if (err == 0)
        err = begin(&r, as_json, &text, &len);
    if (err < 0)
        return err;
    fs_get_insight(fs, &in);
    if (as_json)
        json_object(&r.json, NULL);
    identity(&r, &stats);
    files(&r, &stats);
    lookups(&r, &in);
    caches(&r, &stats.store, &in);
    requests(&r);
    memory(&r, &stats.store);
    writing(&r, &stats.store, &in);
    space(&r, &stats.store);
    levels(&r, &stats.store, &in);
    latencies(&r, &in);
    section_end(&r);
    return end(&r, &text, &len, out);
}

static int setting(void *ctx, const struct store_setting *s)
{
    struct report *r = ctx;
    if (!r->as_json) {
        fprintf(r->out, "%-24s%-14s%s; %s, default %s%s\n", s->name, s->text, s->help,
                s->range_text, s->preset_text, s->live ? "" : ", fixed while open");
        return 0;
    }
    json_object(&r->json, NULL);
    json_string(&r->json, "name", s->name);
    json_string(&r->json, "value", s->text);
    json_string(&r->json, "default", s->preset_text);
    json_string(&r->json, "range", s->range_text);
    json_bool(&r->json, "live", s->live);
    json_string(&r->json, "help", s->help);
    json_close(&r->json);
    return 0;
}

int report_settings(struct fs *fs, bool as_json, struct buf *out)
{
    struct report r;
    char *text = NULL;
    size_t len = 0;
    int err = begin(&r, as_json, &text, &len);
    if (err < 0)
        return err;
    if (as_json)
        json_list(&r.json, NULL);
    fs_list_settings(fs, setting, &r);
    section_end(&r);
    return end(&r, &text, &len, out);
}

int report_xattr(struct fs *fs, const char *name, struct buf *out)
{
    if (strcmp(name, REPORT_XATTR_ACTIVITY) == 0)
        return report_activity(fs, false, out);
    if (strcmp(name, REPORT_XATTR_ACTIVITY_JSON) == 0)
        return report_activity(fs, true, out);
    if (strcmp(name, REPORT_XATTR_SETTINGS) == 0)
        return report_settings(fs, false, out);
    return strcmp(name, REPORT_XATTR_SETTINGS_JSON) == 0 ? report_settings(fs, true, out) : 1;
}
