/* store_stats: figures behind the door. Read without stopping anyone; each is right for itself, not
 * all for the same instant. */
#include <stdlib.h>

#include "store/env.h"
#include "store/pages.h"
#include "store/rekey.h"
#include "store/store_priv.h"

_Static_assert((int)STORE_LEVELS == (int)LEVEL_COUNT, "the door says how many levels there are");

static uint64_t load(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static uint64_t file_bytes(struct tree *t, enum file_kind kind, uint64_t number)
{
    uint64_t size = 0;
    char *path = name_file(t->dir, kind, number);
    if (t->env->file_size(t->env, path, &size) < 0)
        size = 0; /* gone since a moment */
    free(path);
    return size;
}

static void memtables(struct tree *t, const struct view *v, struct store_stats *out)
{
    for (uint32_t i = 0; i < v->gen_count; i++) {
        const struct memgen *g = v->gens[i];
        const struct version_blob *blob = __atomic_load_n(&g->blob, __ATOMIC_ACQUIRE);
        out->memtable_bytes += memtable_bytes(g->mem);
        out->log_bytes += load(&g->log_bytes);
        if (blob) {
            out->blob_bytes += file_bytes(t, FILE_BLOB, blob->number);
            out->blob_files++;
        }
    }
    out->sealed_memtables = v->gen_count ? v->gen_count - 1 : 0;
}

/* From the totals that a version keeps: nothing here is linear in tables or blob files. */
static void files(const struct version *v, struct store_stats *out)
{
    for (int level = 0; level < LEVEL_COUNT; level++) {
        const struct version_level *l = &v->levels[level];
        out->level_tables[level] = l->count;
        out->level_bytes[level] = l->bytes;
        out->table_entries += l->entry_count;
        out->table_rangedels += l->rangedel_count;
    }
    out->blob_files += v->blob_count;
    out->blob_bytes += v->blob_file_bytes;
    out->blob_garbage_bytes = v->blob_garbage_bytes;
    out->pins = v->pin_count;
}

void store_get_insight(struct store *s, struct store_insight *out)
{
    *out = (struct store_insight){0};
    struct cache_stats cache;
    counters_read(&s->tree.counts, out);
    cache_stats(s->tree.cache, &cache);
    memcpy(out->cache_hits, cache.kind_hits, sizeof out->cache_hits);
    memcpy(out->cache_misses, cache.kind_misses, sizeof out->cache_misses);
    out->cache_kept_bytes = cache.kept_bytes;
}

const char *store_space_state_name(enum store_space_state state)
{
    static const char *const names[] = {[STORE_SPACE_HEALTHY] = "healthy",
                                        [STORE_SPACE_TIGHT] = "tight",
                                        [STORE_SPACE_FULL] = "full"};
    return names[state];
}

/* Linear in tables that pins hold something of. */
static uint64_t held_for_nobody(const struct version *v)
{
    uint64_t bytes = 0;
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < v->levels[l].count && v->levels[l].held_count > 0; i++)
            bytes += version_gone_bytes(v, v->levels[l].tables[i]->meta);
    return bytes;
}

/* Once the files' figures are there. */
static void space_figures(struct tree *t, const struct version *v, const struct env_space *space,
                          struct store_stats *out)
{
    uint64_t kept = out->blob_bytes, garbage = out->blob_garbage_bytes + held_for_nobody(v);
    for (int level = 0; level < LEVEL_COUNT; level++)
        kept += out->level_bytes[level];
    out->disk_total_bytes = space->total_bytes;
    out->disk_free_bytes = space->free_bytes;
    out->disk_usable_bytes = work_space_usable(t, space);
    out->space_used_bytes = kept + out->log_bytes;
    out->space_garbage_bytes = garbage < kept ? garbage : kept;
    out->space_live_bytes = kept - out->space_garbage_bytes;
    out->space_reserve_bytes = setting_u64(&t->settings.live.reserve_bytes);
    out->space_compaction_bytes = work_space_needed(t);
    if (out->disk_usable_bytes == 0)
        out->space_state = STORE_SPACE_FULL;
    else if (space->free_bytes < out->space_compaction_bytes)
        out->space_state = STORE_SPACE_TIGHT;
}

uint64_t store_next_file(const struct store *s)
{
    return __atomic_load_n(&s->tree.next_file, __ATOMIC_RELAXED);
}

int store_get_stats(struct store *s, struct store_stats *out)
{
    struct tree *t = &s->tree;
    struct cache_stats cache;
    struct env_space space = {0};
    struct store_insight insight;
    struct pages_stats memory;
    *out = (struct store_stats){.seq = tree_published(t) - 1};
    struct view *v = viewbox_get(t->box);
    memtables(t, v, out);
    files(v->version, out);
    rekey_stats(t, v, out);
    int err = tree_space(t, &space);
    space_figures(t, v->version, &space, out);
    view_unref(v);
    cache_stats(t->cache, &cache);
    out->cache_bytes = cache.used_bytes;
    out->cache_hits = cache.hits;
    out->cache_misses = cache.misses;
    pages_stats(&memory);
    out->memory_used_bytes = memory.used_bytes;
    out->memory_free_bytes = memory.kept_bytes;
    out->flushes = load(&t->counters.flushes);
    out->compactions = load(&t->counters.compactions);
    out->compaction_slices = load(&t->counters.slices);
    out->bytes_punched = load(&t->purge.punched_bytes);
    out->bytes_written_user = load(&t->counters.written_user);
    out->bytes_written_log = load(&t->counters.written_log) + load(&t->log_in_tail);
    out->bytes_written_flush = load(&t->counters.written_flush);
    out->bytes_written_compaction = load(&t->counters.written_compaction);
    out->bytes_written_blob = load(&t->counters.written_blob);
    out->bytes_moved_blob = load(&t->counters.moved_blob);
    out->bytes_written_parity = load(&t->counters.written_parity);
    out->repairs = load(&t->care.repairs);
    out->files_healed = load(&t->care.healed);
    out->files_to_heal = care_any(&t->care) ? __atomic_load_n(&t->care.count, __ATOMIC_RELAXED) : 0;
    store_get_insight(s, &insight);
    out->blob_reads = insight.blobs_read;
    out->stall_ns = insight.stall_ns;
    out->stall_ns_max = insight.stall_ns_max;
    return err;
}
