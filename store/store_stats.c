/* store_stats: figures behind the door. Read without stopping anyone; each is right for itself, not
 * all for the same instant. */
#include <stdlib.h>

#include "store/env.h"
#include "store/store_priv.h"

static uint64_t load(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void memtables(struct tree *t, const struct view *v, struct store_stats *out)
{
    for (uint32_t i = 0; i < v->gen_count; i++) {
        out->memtable_bytes += memtable_bytes(v->gens[i]->mem);
        uint64_t size;
        char *path = name_file(t->dir, FILE_LOG, v->gens[i]->log_number);
        if (t->env->file_size(t->env, path, &size) == 0)
            out->log_bytes += size;
        free(path);
        if (!v->gens[i]->blob)
            continue;
        path = name_file(t->dir, FILE_BLOB, v->gens[i]->blob->number);
        if (t->env->file_size(t->env, path, &size) == 0) {
            out->blob_bytes += size;
            out->blob_files++;
        }
        free(path);
    }
    out->sealed_memtables = v->gen_count ? v->gen_count - 1 : 0;
}

static void tables(const struct version *v, struct store_stats *out)
{
    for (int level = 0; level < LEVEL_COUNT; level++) {
        out->level_tables[level] = v->levels[level].count;
        out->level_bytes[level] = v->levels[level].bytes;
        for (uint32_t i = 0; i < v->levels[level].count; i++) {
            out->table_entries += v->levels[level].tables[i]->meta->entry_count;
            out->table_rangedels += v->levels[level].tables[i]->meta->rangedel_count;
        }
    }
    out->pins = v->pin_count;
}

static void blobs(const struct version *v, struct store_stats *out)
{
    out->blob_files += v->blob_count;
    for (uint32_t i = 0; i < v->blob_count; i++) {
        out->blob_bytes += v->blobs[i].file_bytes;
        out->blob_garbage_bytes += v->blobs[i].garbage_bytes;
    }
}

int store_get_stats(struct store *s, struct store_stats *out)
{
    struct tree *t = &s->tree;
    struct cache_stats cache;
    struct env_space space = {0};
    *out = (struct store_stats){.seq = tree_published(t) - 1};
    struct view *v = viewbox_get(t->box);
    memtables(t, v, out);
    tables(v->version, out);
    blobs(v->version, out);
    view_unref(v);
    cache_stats(t->cache, &cache);
    out->cache_bytes = cache.used_bytes;
    out->cache_hits = cache.hits;
    out->cache_misses = cache.misses;
    out->flushes = load(&t->counters.flushes);
    out->compactions = load(&t->counters.compactions);
    out->bytes_written_user = load(&t->counters.written_user);
    out->bytes_written_log = load(&t->counters.written_log);
    out->bytes_written_flush = load(&t->counters.written_flush);
    out->bytes_written_compaction = load(&t->counters.written_compaction);
    out->bytes_written_blob = load(&t->counters.written_blob);
    out->blob_reads = load(&t->read_ctx.blob_reads);
    out->stall_ns = load(&t->counters.stall_ns);
    out->stall_ns_max = load(&t->counters.stall_ns_max);
    int err = t->env->space(t->env, t->dir, &space);
    out->disk_total_bytes = space.total_bytes;
    out->disk_free_bytes = space.free_bytes;
    out->disk_usable_bytes =
        space.free_bytes > t->opt.reserve_bytes ? space.free_bytes - t->opt.reserve_bytes : 0;
    return err;
}
