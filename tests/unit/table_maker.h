/* table_maker: a fixture: a model of a table's contents, as plain arrays, and the table that is
 * written of it, on a simulated disk. What reading must give follows from the model alone. */
#ifndef VARVE_UNIT_TABLE_MAKER_H
#define VARVE_UNIT_TABLE_MAKER_H

#include "store/table.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

#define MAKER_PATH "vol/000012.table"

static const uint8_t maker_uuid[UUID_SIZE] = "a volume's uuid";

struct maker_tombstone {
    char *start, *end;
    uint64_t seq;
};

struct maker {
    struct simdisk *disk;
    struct env *env;
    struct cache *cache;
    struct table_options opt;
    struct entry *entries; /* in internal order; keys and values are the maker's own */
    size_t count, cap;
    struct maker_tombstone tombstones[32];
    size_t tombstone_count;
    struct table_meta *meta; /* of the table last written */
};

static inline void maker_init(struct maker *m, uint64_t cache_bytes)
{
    *m = (struct maker){
        .opt = {.block_bytes = 512, .strength = strength_plain(1), .filter_one_in = 100}};
    m->disk = simdisk_new(1);
    m->env = simdisk_env(m->disk);
    m->cache = cache_new(cache_bytes);
    assert_ok(m->env->mkdir(m->env, "vol"));
    assert_ok(m->env->sync_dir(m->env, "/"));
}

/* Forgets the contents and removes the table. */
static inline void maker_clear(struct maker *m)
{
    for (size_t i = 0; i < m->count; i++) {
        free((void *)(uintptr_t)m->entries[i].key.data);
        free((void *)(uintptr_t)m->entries[i].value.data);
    }
    for (size_t i = 0; i < m->tombstone_count; i++) {
        free(m->tombstones[i].start);
        free(m->tombstones[i].end);
    }
    m->count = m->tombstone_count = 0;
    if (m->meta)
        assert_ok(m->env->remove(m->env, MAKER_PATH));
    table_meta_unref(m->meta);
    m->meta = NULL;
    /* The next table has the same number, which a store never does. */
    cache_set_capacity(m->cache, 0);
    cache_set_capacity(m->cache, 1 << 20);
}

static inline void maker_release(struct maker *m)
{
    maker_clear(m);
    free(m->entries);
    cache_free(m->cache);
    simdisk_assert_valid(m->disk);
    assert_int_equal(simdisk_open_files(m->disk), 0);
    simdisk_free(m->disk);
}

/* Copies; the caller keeps the order. */
static inline void maker_add(struct maker *m, struct slice key, uint64_t seq, enum entry_type type,
                             struct slice value)
{
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 64;
        m->entries = mem_realloc(m->entries, m->cap * sizeof *m->entries);
    }
    m->entries[m->count++] =
        (struct entry){slice_of(mem_dup(key.data, key.len), key.len), seq, type, 0,
                       slice_of(mem_dup(value.data, value.len), value.len)};
}

static inline void maker_put(struct maker *m, const char *key, uint64_t seq, const char *value)
{
    maker_add(m, slice_str(key), seq, ENTRY_PUT, slice_str(value));
}

static inline void maker_put_blob(struct maker *m, struct slice key, uint64_t seq,
                                  enum entry_type type, uint64_t file, uint32_t len)
{
    struct buf value = {0};
    struct blob_ref ref = {.file = file, .where = {1000 + seq * 100, len}, .raw_len = len * 2};
    blob_ref_encode(&ref, &value);
    maker_add(m, key, seq, type, buf_slice(&value));
    buf_release(&value);
}

static inline void maker_tombstone(struct maker *m, const char *start, const char *end,
                                   uint64_t seq)
{
    assert_true(m->tombstone_count < sizeof m->tombstones / sizeof *m->tombstones);
    m->tombstones[m->tombstone_count++] =
        (struct maker_tombstone){mem_strdup(start), mem_strdup(end), seq};
}

/* ---- random contents ---- */

/* A key of letters, so that a text can hold it; many share their heads. */
static inline size_t maker_random_key(struct simrng *rng, char out[64])
{
    size_t len = 0, words = 1 + simrng_below(rng, 3);
    for (size_t w = 0; w < words; w++) {
        char letter = (char)('a' + simrng_below(rng, 4));
        size_t times = 1 + simrng_below(rng, 12);
        memset(out + len, letter, times);
        len += times;
    }
    out[len] = 0;
    return len;
}

static inline int maker_compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return entry_cmp(x->key, x->seq, y->key, y->seq);
}

/* About `count` entries of `keys` keys, and some tombstones, at sequence numbers 1 to 1000 or so.
 */
static inline void maker_fill(struct maker *m, struct simrng *rng, size_t count, size_t keys,
                              size_t tombstones)
{
    char(*names)[64] = mem_alloc(keys * sizeof *names), other[64];
    uint8_t value[300];
    for (size_t i = 0; i < keys; i++)
        maker_random_key(rng, names[i]);
    for (size_t i = 0; i < count; i++) {
        struct slice key = slice_str(names[simrng_below(rng, keys)]);
        enum entry_type type = (enum entry_type)simrng_below(rng, ENTRY_RANGE_DELETE);
        size_t len = type == ENTRY_DELETE ? 0 : simrng_below(rng, sizeof value);
        memset(value, (int)simrng_below(rng, 256), len);
        uint64_t seq = i + 1; /* each number once */
        if (entry_type_is_blob(type))
            maker_put_blob(m, key, seq, type, 1 + simrng_below(rng, 5), 100 + (uint32_t)len);
        else
            maker_add(m, key, seq, type, slice_of(value, len));
    }
    qsort(m->entries, m->count, sizeof *m->entries, maker_compare_entries);
    for (size_t i = 0; i < tombstones; i++) {
        maker_random_key(rng, other);
        const char *name = names[simrng_below(rng, keys)];
        bool order = strcmp(name, other) < 0;
        if (strcmp(name, other) != 0)
            maker_tombstone(m, order ? name : other, order ? other : name,
                            1 + simrng_below(rng, count * 2));
    }
    free(names);
}

/* ---- writing ---- */

static inline struct rangedel *maker_rangedel(const struct maker *m)
{
    struct rangedel_builder *b = rangedel_builder_new();
    for (size_t i = 0; i < m->tombstone_count; i++)
        rangedel_builder_add(b, slice_str(m->tombstones[i].start), slice_str(m->tombstones[i].end),
                             m->tombstones[i].seq);
    struct rangedel *r = rangedel_build(b);
    rangedel_builder_free(b);
    return r;
}

static inline int maker_write_to(struct maker *m, struct table_writer *w)
{
    struct rangedel *r = maker_rangedel(m);
    int rc = 0;
    table_set_rangedel(w, r);
    rangedel_unref(r);
    for (size_t i = 0; i < m->count && rc == 0; i++)
        rc = table_add(w, &m->entries[i]);
    if (rc)
        table_abandon(w);
    else
        rc = table_finish(w, &m->meta);
    return rc;
}

/* Writes the contents as table 12. */
static inline int maker_write(struct maker *m)
{
    struct table_writer *w;
    assert_null(m->meta);
    int rc = table_create(m->env, "vol", 12, maker_uuid, &m->opt, &w);
    return rc ? rc : maker_write_to(m, w);
}

static inline int maker_open(struct maker *m, struct table **out)
{
    return table_open(m->env, "vol", m->meta, maker_uuid, m->cache, out);
}

static inline int maker_open_file(struct maker *m, struct table **out)
{
    return table_open_file(m->env, "vol", 12, maker_uuid, m->cache, out);
}

/* The table's bytes. */
static inline struct buf maker_bytes(const struct maker *m)
{
    struct buf bytes = {0};
    assert_ok(simdisk_get(m->disk, MAKER_PATH, &bytes));
    return bytes;
}

/* ---- what reading must give ---- */

static inline bool maker_same_entry(const struct entry *a, const struct entry *b)
{
    return slice_eq(a->key, b->key) && a->seq == b->seq && a->type == b->type &&
           slice_eq(a->value, b->value);
}

/* Index of the first entry at or after (key, seq). */
static inline size_t maker_find(const struct maker *m, struct slice key, uint64_t seq)
{
    size_t i = 0;
    while (i < m->count && entry_cmp(m->entries[i].key, m->entries[i].seq, key, seq) < 0)
        i++;
    return i;
}

/* The newest tombstone below `read_seq` over `key`; 0: none. */
static inline uint64_t maker_cover(const struct maker *m, struct slice key, uint64_t read_seq)
{
    uint64_t cover = 0;
    for (size_t i = 0; i < m->tombstone_count; i++) {
        const struct maker_tombstone *t = &m->tombstones[i];
        if (slice_cmp(slice_str(t->start), key) <= 0 && slice_cmp(key, slice_str(t->end)) < 0 &&
            t->seq < read_seq && t->seq > cover)
            cover = t->seq;
    }
    return cover;
}

/* What a lookup that went through the model alone is like: the words of lookup.h, plainly. */
struct maker_answer {
    enum lookup_state state;
    const struct entry *base;
    size_t operand_count;
    const struct entry *operands; /* the first, newest; the others follow it */
};

static inline struct maker_answer maker_lookup(const struct maker *m, struct slice key,
                                               uint64_t read_seq)
{
    uint64_t cover = maker_cover(m, key, read_seq);
    size_t i = maker_find(m, key, read_seq - 1);
    struct maker_answer a = {.state = LOOKUP_MORE, .operands = m->entries + i};
    for (; i < m->count && slice_eq(m->entries[i].key, key); i++) {
        const struct entry *e = &m->entries[i];
        if (e->seq < cover || e->type == ENTRY_DELETE) {
            a.state = LOOKUP_ABSENT;
            break;
        }
        if (!entry_type_is_merge(e->type)) {
            a.state = LOOKUP_FOUND;
            a.base = e;
            break;
        }
        a.operand_count++;
    }
    return a;
}

/* Does the lookup `l` have the answer `a`? */
static inline bool maker_same_answer(const struct lookup *l, const struct maker_answer *a)
{
    if (l->state != a->state || l->operand_count != a->operand_count)
        return false;
    if (a->base && (l->type != a->base->type || !slice_eq(l->base, a->base->value)))
        return false;
    for (size_t i = 0; i < a->operand_count; i++) {
        const struct lookup_operand *o = &l->operands[i];
        if (o->type != a->operands[i].type ||
            !slice_eq(slice_of(l->bytes.data + o->offset, o->len), a->operands[i].value))
            return false;
    }
    return true;
}

#endif
