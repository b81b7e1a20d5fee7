/* report_metrics: the figures of a file system in Prometheus' text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/), named as its rules want it: base
 * units (bytes, seconds) at the end, _total behind what only grows, states as ones and zeros. What
 * is counted since the volume was opened begins anew with each mount. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "mount/report.h"
#include "mount/tell.h"
#include "mount/wire.h"

/* ---- printing ---- */

static void family(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP varvefs_%s %s\n# TYPE varvefs_%s %s\n", name, help, name, type);
}

static void plain(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
    family(out, name, type, help);
    fprintf(out, "varvefs_%s %" PRIu64 "\n", name, value);
}

static void labelled(FILE *out, const char *name, const char *label, const char *which,
                     uint64_t value)
{
    fprintf(out, "varvefs_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, which, value);
}

static void seconds(FILE *out, const char *name, const char *labels, uint64_t ns)
{
    fprintf(out, "varvefs_%s%s %" PRIu64 ".%09" PRIu64 "\n", name, labels, ns / 1000000000,
            ns % 1000000000);
}

/* Members of one family, each with the value of its label. */
struct member {
    const char *which;
    uint64_t value;
};
static void members(FILE *out, const char *name, const char *label, const struct member *m,
                    size_t count)
{
    for (size_t i = 0; i < count; i++)
        labelled(out, name, label, m[i].which, m[i].value);
}
#define MEMBERS(out, name, label, list) \
    members(out, name, label, list, sizeof(list) / sizeof *(list))

/* ---- families ---- */

static void identity(FILE *out, struct fs *fs, const struct fs_stats *s)
{
    char uuid[TELL_UUID_MAX];
    tell_uuid(s->uuid, uuid);
    family(out, "info", "gauge", "What this is.");
    fprintf(out, "varvefs_info{version=\"" VARVEFS_VERSION "\",uuid=\"%s\",encrypted=\"%s\"} 1\n",
            uuid, s->store.key_epoch ? "yes" : "no");
    plain(out, "failed", "gauge", "1: the volume has become read-only after an error.",
          fs_failure(fs) != NULL);
}

static void volume(FILE *out, const struct fs_stats *s)
{
    plain(out, "inodes", "gauge", "Inodes in use.", s->inodes);
    plain(out, "data_bytes", "gauge", "Allocated by files, before compression.", s->used_bytes);
    plain(out, "snapshots", "gauge", "Snapshots that are kept.", s->store.pins);
    plain(out, "volume_bytes", "gauge", "What the volume takes on disk.", s->volume_bytes);
    plain(out, "live_bytes", "gauge", "Of tables and values what is in use.",
          s->store.space_live_bytes);
    plain(out, "garbage_bytes", "gauge", "Of tables and values what is known to be of no use.",
          s->store.space_garbage_bytes);
    plain(out, "disk_size_bytes", "gauge", "Size of the disk below.", s->store.disk_total_bytes);
    plain(out, "disk_free_bytes", "gauge", "Free on the disk below.", s->store.disk_free_bytes);
    plain(out, "disk_usable_bytes", "gauge",
          "Free on the disk without the reserve and what compaction may need.",
          s->store.disk_usable_bytes);
    family(out, "space_state", "gauge", "1: what the volume takes in now.");
    for (int i = 0; i <= STORE_SPACE_FULL; i++)
        labelled(out, "space_state", "state", fs_space_state_name((enum store_space_state)i),
                 s->store.space_state == (enum store_space_state)i);
}

static void store_shape(FILE *out, const struct store_stats *s)
{
    char level[16];
    family(out, "tables", "gauge", "Tables of a level of the tree.");
    for (int i = 0; i < STORE_LEVELS; i++) {
        snprintf(level, sizeof level, "%d", i);
        labelled(out, "tables", "level", level, s->level_tables[i]);
    }
    family(out, "table_bytes", "gauge", "Size of the tables of a level of the tree.");
    for (int i = 0; i < STORE_LEVELS; i++) {
        snprintf(level, sizeof level, "%d", i);
        labelled(out, "table_bytes", "level", level, s->level_bytes[i]);
    }
    plain(out, "memtable_bytes", "gauge", "What is in memory and not in tables yet.",
          s->memtable_bytes);
    plain(out, "memtables_sealed", "gauge", "Memtables that wait to be flushed.",
          s->sealed_memtables);
    plain(out, "log_bytes", "gauge", "Size of the write-ahead logs.", s->log_bytes);
    plain(out, "blob_files", "gauge", "Files of large values.", s->blob_files);
    plain(out, "blob_bytes", "gauge", "Size of the files of large values.", s->blob_bytes);
    plain(out, "blob_garbage_bytes", "gauge", "Of these what no table refers to.",
          s->blob_garbage_bytes);
}

static void writing(FILE *out, const struct store_stats *s, const struct store_insight *in)
{
    char level[16];
    const struct member written[] = {{"log", s->bytes_written_log},
                                     {"flush", s->bytes_written_flush},
                                     {"compaction", s->bytes_written_compaction},
                                     {"blob", s->bytes_written_blob},
                                     {"parity", s->bytes_written_parity}};
    plain(out, "user_bytes_total", "counter", "Keys and values that were given to the store.",
          s->bytes_written_user);
    family(out, "written_bytes_total", "counter", "Written to the disk, by what for.");
    MEMBERS(out, "written_bytes_total", "to", written);
    family(out, "level_written_bytes_total", "counter", "Written by jobs to tables of a level.");
    for (int i = 0; i < STORE_LEVELS; i++) {
        snprintf(level, sizeof level, "%d", i);
        labelled(out, "level_written_bytes_total", "level", level, in->level_written[i]);
    }
    plain(out, "batches_total", "counter", "Changes that were committed.", in->batches);
    plain(out, "syncs_total", "counter", "Times that the log was brought to the disk.", in->syncs);
    plain(out, "flushes_total", "counter", "Memtables that became tables.", s->flushes);
    plain(out, "compactions_total", "counter", "Compactions that ended.", s->compactions);
    plain(out, "compaction_slices_total", "counter",
          "Of these: slices of one that was too large for what was free.", s->compaction_slices);
    plain(out, "punched_bytes_total", "counter",
          "Bytes that were given back to the disk between slices.", s->bytes_punched);
    plain(out, "stalls_total", "counter", "Times that writers had to wait.", in->stalls);
    family(out, "stall_seconds_total", "counter", "How long writers had to wait.");
    seconds(out, "stall_seconds_total", "", in->stall_ns);
}

static void health(FILE *out, const struct store_stats *s)
{
    plain(out, "repairs_total", "counter", "Damaged frames that were rebuilt from parity.",
          s->repairs);
    plain(out, "files_healed_total", "counter", "Files that were written anew after damage.",
          s->files_healed);
    plain(out, "files_to_heal", "gauge", "Files with damage that was repaired and is still there.",
          s->files_to_heal);
    plain(out, "old_key_bytes", "gauge", "What is still encrypted with an older key.",
          s->old_key_bytes);
}

static void reading(FILE *out, const struct store_insight *in)
{
    uint64_t tables = 0;
    for (int i = 0; i < STORE_LEVELS; i++)
        tables += in->found_level[i];
    const struct member lookups[] = {{"memtable", in->found_memtable + in->found_sealed},
                                     {"table", tables},
                                     {"deleted", in->deleted + in->range_deleted},
                                     {"absent", in->absent}};
    const struct member filters[] = {{"negative", in->filter_negatives},
                                     {"true_positive", in->filter_true_positives},
                                     {"false_positive", in->filter_false_positives}};
    const struct member blocks[] = {{"cache", in->blocks_cached}, {"disk", in->blocks_read}};
    const struct member values[] = {{"cache", in->blobs_cached}, {"disk", in->blobs_read}};
    family(out, "lookups_total", "counter", "Point reads, by what ended them.");
    MEMBERS(out, "lookups_total", "result", lookups);
    plain(out, "folds_total", "counter", "Point reads that put partial updates together.",
          in->folded);
    family(out, "filter_answers_total", "counter", "Answers of filters to point reads.");
    MEMBERS(out, "filter_answers_total", "answer", filters);
    family(out, "blocks_read_total", "counter", "Blocks that reads needed, by where they were.");
    MEMBERS(out, "blocks_read_total", "from", blocks);
    family(out, "values_read_total", "counter",
           "Large values that reads needed, by where they were.");
    MEMBERS(out, "values_read_total", "from", values);
    plain(out, "seeks_total", "counter", "Cursors that were placed.", in->seeks);
    plain(out, "steps_total", "counter", "Steps of cursors.", in->steps);
}

static void cache(FILE *out, const struct store_stats *s, const struct store_insight *in)
{
    plain(out, "cache_bytes", "gauge", "Memory that the cache takes.", s->cache_bytes);
    family(out, "cache_hits_total", "counter", "What was asked for and was in the cache, by kind.");
    for (int i = 0; i < STORE_CACHE_KINDS; i++)
        labelled(out, "cache_hits_total", "kind", fs_cache_kind_name((enum store_cache_kind)i),
                 in->cache_hits[i]);
    family(out, "cache_misses_total", "counter",
           "What was asked for and was not in the cache, by kind.");
    for (int i = 0; i < STORE_CACHE_KINDS; i++)
        labelled(out, "cache_misses_total", "kind", fs_cache_kind_name((enum store_cache_kind)i),
                 in->cache_misses[i]);
}

static void latency(FILE *out, const char *op, const struct store_latency *l)
{
    const struct {
        const char *quantile;
        uint64_t ns;
    } points[] = {
        {"0.5", l->p50_ns}, {"0.9", l->p90_ns}, {"0.99", l->p99_ns}, {"0.999", l->p999_ns}};
    char labels[64];
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        snprintf(labels, sizeof labels, "{op=\"%s\",quantile=\"%s\"}", op, points[i].quantile);
        seconds(out, "op_duration_seconds", labels, points[i].ns);
    }
    snprintf(labels, sizeof labels, "{op=\"%s\"}", op);
    seconds(out, "op_duration_seconds_sum", labels, l->sum_ns);
    fprintf(out, "varvefs_op_duration_seconds_count%s %" PRIu64 "\n", labels, l->samples);
}

static void latencies(FILE *out, const struct store_insight *in)
{
    family(out, "op_duration_seconds", "summary",
           "How long operations of the store took; of frequent ones a sample is timed.");
    for (int i = 0; i < STORE_TIMERS; i++)
        latency(out, fs_timer_name((enum store_timer)i), &in->latency[i]);
}

/* The daemon itself, under the names that all exporters use for this. */
static void process(FILE *out)
{
    struct rusage usage;
    unsigned long long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm) {
        if (fscanf(statm, "%*u %llu", &pages) != 1)
            pages = 0;
        fclose(statm);
    }
    getrusage(RUSAGE_SELF, &usage);
    fprintf(out,
            "# HELP process_cpu_seconds_total Processor time that the daemon took.\n"
            "# TYPE process_cpu_seconds_total counter\n"
            "process_cpu_seconds_total %.6f\n"
            "# HELP process_resident_memory_bytes Memory that the daemon takes.\n"
            "# TYPE process_resident_memory_bytes gauge\n"
            "process_resident_memory_bytes %llu\n",
            (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
            pages * (unsigned long long)sysconf(_SC_PAGESIZE));
}

static void requests(FILE *out)
{
    struct wire_requests q;
    wire_requests(&q);
    family(out, "requests_total", "counter", "Requests of the kernel, by how they came.");
    fprintf(out, "varvefs_requests_total{by=\"io_uring\"} %" PRIu64 "\n", q.by_rings);
    fprintf(out, "varvefs_requests_total{by=\"device\"} %" PRIu64 "\n", q.by_device);
}

int report_metrics(struct fs *fs, struct buf *to)
{
    struct fs_stats stats;
    struct store_insight in;
    char *text = NULL;
    size_t len = 0;
    int err = fs_get_stats(fs, &stats);
    if (err < 0)
        return err;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return -errno;
    fs_get_insight(fs, &in);
    identity(out, fs, &stats);
    volume(out, &stats);
    store_shape(out, &stats.store);
    writing(out, &stats.store, &in);
    health(out, &stats.store);
    reading(out, &in);
    cache(out, &stats.store, &in);
    latencies(out, &in);
    requests(out);
    process(out);
    err = fclose(out) == 0 ? 0 : -errno;
    if (err == 0)
        buf_append(to, slice_of(text, len));
    free(text);
    return err;
}
