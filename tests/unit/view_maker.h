/* view_maker: a fixture: a history laid out as a store would have it, on a simulated disk: its
 * oldest part in tables of deep levels, then tables of level 0, and the newest in memtables. */
#ifndef VARVE_UNIT_VIEW_MAKER_H
#define VARVE_UNIT_VIEW_MAKER_H

#include "store/view.h"
#include "tests/sim/simdisk.h"
#include "tests/unit/history.h"

#define WORLD_DIR "vol"

static const uint8_t world_uuid[UUID_SIZE] = "a world of its o";

enum { WORLD_GENS_MAX = 8 };

struct world {
    struct simdisk *disk;
    struct env *env;
    struct cache *cache;
    struct counters counters;
    struct version_source source;
    struct table_options table;
    struct view_context ctx;
    struct history h;
    size_t placed; /* operations from here on are in no place yet */
    struct version *version;
    struct memgen *gens[WORLD_GENS_MAX]; /* oldest first */
    uint32_t gen_count;
    uint64_t next_file;
};

static inline void world_init(struct world *w, uint64_t cache_bytes)
{
    *w = (struct world){.next_file = 1};
    w->table = (struct table_options){
        .block_bytes = 256, .strength = strength_plain(1), .filter_one_in = 100};
    w->disk = simdisk_new(1);
    w->env = simdisk_env(w->disk);
    w->cache = cache_new(cache_bytes);
    w->source = (struct version_source){
        .env = w->env, .dir = WORLD_DIR, .uuid = world_uuid, .cache = w->cache};
    counters_init(&w->counters);
    w->source.counters = &w->counters;
    w->ctx = (struct view_context){
        .merge = &history_merge, .cache = w->cache, .counters = &w->counters, .env = w->env};
    w->version = version_new(&w->source);
    assert_ok(w->env->mkdir(w->env, WORLD_DIR));
    assert_ok(w->env->sync_dir(w->env, "/"));
}

static inline void world_release(struct world *w)
{
    for (uint32_t i = 0; i < w->gen_count; i++)
        memgen_unref(w->gens[i]);
    version_unref(w->version);
    history_release(&w->h);
    assert_int_equal(simdisk_open_files(w->disk), 0);
    counters_release(&w->counters);
    cache_free(w->cache); /* asserts that nothing is pinned */
    simdisk_free(w->disk);
}

static inline struct store_insight world_insight(struct world *w)
{
    struct store_insight in = {0};
    counters_read(&w->counters, &in);
    return in;
}

/* ---- stored entries ---- */

/* The operations of one slice as a source stores them, in internal order, and its blob file. */
struct world_slice {
    struct entry *list;
    size_t count;
    uint8_t (*refs)[BLOB_REF_MAX];
    uint64_t blob, blob_count, blob_bytes, blob_file_bytes;
};

static inline void world_store_blob(struct world *w, struct world_slice *s, struct entry *e,
                                    struct blob_writer **file)
{
    struct buf bytes = {0};
    struct blob_ref ref;
    if (!*file) {
        s->blob = w->next_file++;
        assert_ok(blob_create(w->env, WORLD_DIR, s->blob, world_uuid, file));
    }
    frame_pack(e->value, 1, &bytes);
    blob_add(*file, buf_slice(&bytes), (uint32_t)e->value.len, &ref);
    s->blob_count++;
    s->blob_bytes += ref.where.len;
    buf_clear(&bytes);
    blob_ref_encode(&ref, &bytes);
    memcpy(s->refs[s->count], bytes.data, bytes.len);
    e->value = slice_of(s->refs[s->count], bytes.len);
    buf_release(&bytes);
}

static inline int world_compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return entry_cmp(x->key, x->seq, y->key, y->seq);
}

/* The next `count` operations. */
static inline void world_take(struct world *w, size_t count, struct world_slice *s)
{
    struct blob_writer *file = NULL;
    *s = (struct world_slice){.list = mem_alloc(count * sizeof *s->list),
                              .refs = mem_alloc(count * sizeof *s->refs)};
    assert_true(w->placed + count <= w->h.count);
    for (size_t i = 0; i < count; i++) {
        struct entry e = w->h.ops[w->placed++];
        if (entry_type_is_blob(e.type))
            world_store_blob(w, s, &e, &file);
        s->list[s->count++] = e;
    }
    if (file) {
        assert_ok(blob_write(file));
        assert_ok(blob_sync(file));
        s->blob_file_bytes = blob_size(file);
        blob_writer_free(file);
    }
    qsort(s->list, s->count, sizeof *s->list, world_compare);
}

static inline void world_slice_release(struct world_slice *s)
{
    free(s->list);
    free(s->refs);
}

/* ---- placing ---- */

static inline struct slice world_max(struct slice a, struct slice b)
{
    return slice_cmp(a, b) > 0 ? a : b;
}

/* The lower of two ends; empty: there is none. */
static inline struct slice world_min_end(struct slice a, struct slice b)
{
    return b.len == 0 || (a.len && slice_cmp(a, b) < 0) ? a : b;
}

/* The part of the slice in [from, to) as a table, if there is any; to empty: to the end. */
static inline void world_write_table(struct world *w, const struct world_slice *s,
                                     struct slice from, struct slice to, int level,
                                     struct edit *edit)
{
    struct rangedel_builder *b = rangedel_builder_new();
    struct table_writer *t;
    struct table_meta *meta;
    assert_ok(table_create(w->env, WORLD_DIR, w->next_file++, world_uuid, &w->table, &t));
    for (size_t i = 0; i < s->count; i++) {
        const struct entry *e = &s->list[i];
        bool inside = slice_cmp(e->key, from) >= 0 && (!to.len || slice_cmp(e->key, to) < 0);
        if (e->type == ENTRY_RANGE_DELETE)
            rangedel_builder_add(b, world_max(e->key, from), world_min_end(e->value, to), e->seq);
        else if (inside)
            assert_ok(table_add(t, e));
    }
    struct rangedel *dels = rangedel_build(b);
    if (table_entry_count(t) > 0 || rangedel_count(dels) > 0) {
        table_set_rangedel(t, dels);
        assert_ok(table_finish(t, &meta));
        edit_add_table(edit, level, meta);
        table_meta_unref(meta);
    } else {
        table_abandon(t);
    }
    rangedel_unref(dels);
    rangedel_builder_free(b);
}

/* The next `count` operations go to tables on `level`, which end before each of `cuts`. */
static inline void world_place_tables(struct world *w, size_t count, int level,
                                      const struct slice *cuts, size_t cut_count)
{
    struct world_slice s;
    struct edit edit;
    struct version *next;
    struct slice from = {0};
    edit_init(&edit);
    world_take(w, count, &s);
    for (size_t i = 0; i <= cut_count; i++) {
        struct slice to = i < cut_count ? cuts[i] : (struct slice){0};
        world_write_table(w, &s, from, to, level, &edit);
        from = to;
    }
    if (s.blob)
        edit_add_blob(&edit, s.blob, s.blob_count, s.blob_bytes, s.blob_file_bytes);
    assert_ok(version_apply(w->version, &edit, NULL, 0, &next));
    version_assert_valid(next);
    version_unref(w->version);
    w->version = next;
    edit_release(&edit);
    world_slice_release(&s);
}

/* The next `count` operations go to a memtable. */
static inline struct memgen *world_place_gen(struct world *w, size_t count)
{
    assert_true(w->gen_count < WORLD_GENS_MAX);
    struct memgen *g = memgen_new(w->next_file++, w->placed + 1);
    struct world_slice s;
    size_t first = w->placed;
    world_take(w, count, &s);
    for (size_t i = 0; i < s.count; i++)
        if (s.list[i].type != ENTRY_RANGE_DELETE)
            memtable_add(g->mem, &s.list[i]);
    for (size_t i = first; i < w->placed; i++) /* these in the order of their numbers */
        if (w->h.ops[i].type == ENTRY_RANGE_DELETE)
            memtable_add_rangedel(g->mem, w->h.ops[i].key, w->h.ops[i].value, w->h.ops[i].seq);
    if (s.blob)
        memgen_set_blob(g, version_blob_new(&w->source, s.blob));
    world_slice_release(&s);
    return w->gens[w->gen_count++] = g;
}

/* A view of all that was placed; the caller's reference. */
static inline struct view *world_view(const struct world *w)
{
    struct memgen *newest_first[WORLD_GENS_MAX];
    for (uint32_t i = 0; i < w->gen_count; i++)
        newest_first[i] = w->gens[w->gen_count - 1 - i];
    return view_new(newest_first, w->gen_count, w->version);
}

/* ---- at random ---- */

static inline void world_place_level(struct world *w, struct simrng *rng, size_t keys, size_t count,
                                     int level)
{
    uint8_t room[4][HISTORY_KEY_MAX];
    struct slice cuts[4];
    size_t cut_count = 0, at = 0;
    while (level > 0 && cut_count < 4 && simrng_coin(rng)) {
        at += 1 + simrng_below(rng, keys / 2);
        cuts[cut_count] = history_key(at, room[cut_count]);
        cut_count++;
    }
    world_place_tables(w, count, level, cuts, cut_count);
}

/* Places the whole history, cut at random. */
static inline void world_place_random(struct world *w, struct simrng *rng, size_t keys)
{
    uint32_t levels = (uint32_t)simrng_below(rng, 4), tables = (uint32_t)simrng_below(rng, 4);
    uint32_t gens = 1 + (uint32_t)simrng_below(rng, 3), parts = levels + tables + gens;
    int level = LEVEL_COUNT;
    for (uint32_t i = 0; i < parts; i++) {
        size_t left = w->h.count - w->placed;
        size_t count = i + 1 == parts ? left : simrng_below(rng, left / (parts - i) * 2 + 1);
        if (i < levels) {
            level -= 1 + (int)simrng_below(rng, 2);
            if (count > 0)
                world_place_level(w, rng, keys, count, level);
        } else if (i < levels + tables) {
            if (count > 0)
                world_place_level(w, rng, keys, count, 0);
        } else {
            world_place_gen(w, count);
        }
    }
    assert_true(w->placed == w->h.count && level > 0);
}

#endif
