/* version: see version.h. This file has the version, what its successors share with it, and what is
 * asked of it; version_file.c has the files' objects, version_apply.c makes the next version.
 *
 * Guarantees: nothing here blocks or reaches the disk, but for a file that the last reference
 * closes.
 *
 * Invariants:
 *   1. Arrays of tables and pins never change once a version has them; the last of the versions
 *      that share one frees it. */
#include "store/version_priv.h"

#include <assert.h>
#include <stdlib.h>

static void ref_up(int *refs)
{
    int before = __atomic_fetch_add(refs, 1, __ATOMIC_RELAXED);
    assert(before > 0);
    (void)before;
}

/* True for the last reference: everything that others did before they let go is visible then. */
static bool ref_down(int *refs)
{
    int before = __atomic_fetch_sub(refs, 1, __ATOMIC_ACQ_REL);
    assert(before > 0);
    return before == 1;
}

static int *refs_new(void)
{
    int *refs = mem_alloc(sizeof *refs);
    *refs = 1;
    return refs;
}

/* ---- levels and pins, shared ---- */

int version_table_order(int level, const struct version_table *a, const struct version_table *b)
{
    if (level > 0)
        return slice_cmp(buf_slice(&a->meta->smallest), buf_slice(&b->meta->smallest));
    if (a->meta->max_seq != b->meta->max_seq)
        return a->meta->max_seq > b->meta->max_seq ? -1 : 1;
    return (a->number < b->number) - (a->number > b->number);
}

void version_level_own(struct version_level *level, struct version_level contents)
{
    assert(!level->tables && !level->refs && !contents.refs);
    if (contents.count == 0) {
        assert(contents.bytes == 0 && contents.held_count == 0);
        free(contents.tables);
        return;
    }
    *level = contents;
    level->refs = refs_new();
}

void version_level_share(struct version_level *level, const struct version_level *from)
{
    assert(!level->tables && !level->refs);
    if (from->refs)
        ref_up(from->refs);
    *level = *from;
}

static void level_release(struct version_level *level)
{
    if (level->refs && ref_down(level->refs)) {
        for (uint32_t i = 0; i < level->count; i++)
            version_table_unref(level->tables[i]);
        free(level->tables);
        free(level->refs);
    }
    *level = (struct version_level){0};
}

void version_pins_own(struct version *v, struct pin *pins, uint32_t count)
{
    assert(!v->pins && !v->pin_refs);
    if (count == 0) {
        free(pins);
        return;
    }
    v->pins = pins;
    v->pin_count = count;
    v->pin_refs = refs_new();
}

void version_pins_share(struct version *v, const struct version *from)
{
    assert(!v->pins && !v->pin_refs);
    if (from->pin_refs)
        ref_up(from->pin_refs);
    v->pins = from->pins;
    v->pin_count = from->pin_count;
    v->pin_refs = from->pin_refs;
}

static void pins_release(struct version *v)
{
    if (v->pin_refs && ref_down(v->pin_refs)) {
        for (uint32_t i = 0; i < v->pin_count; i++)
            free(v->pins[i].name);
        free(v->pins);
        free(v->pin_refs);
    }
}

/* ---- versions ---- */

struct version *version_new(const struct version_source *src)
{
    assert(src);
    struct version *v = mem_zalloc(sizeof *v);
    v->refs = 1;
    v->source = src;
    v->next_file = 1;
    return v;
}

struct version *version_ref(struct version *v)
{
    ref_up(&v->refs);
    return v;
}

void version_unref(struct version *v)
{
    if (!v || !ref_down(&v->refs))
        return;
    for (int l = 0; l < LEVEL_COUNT; l++)
        level_release(&v->levels[l]);
    for (uint32_t i = 0; i < v->blob_count; i++)
        version_blob_unref(v->blobs[i].blob);
    free(v->blobs);
    pins_release(v);
    free(v);
}

static bool level_has(const struct version_level *l, int level, const struct version_table *t)
{
    if (level > 0) {
        uint32_t i = version_find(l, buf_slice(&t->meta->smallest));
        return i < l->count && l->tables[i] == t;
    }
    for (uint32_t i = 0; i < l->count; i++)
        if (l->tables[i] == t)
            return true;
    return false;
}

/* What is left of it on its level, or NULL. */
static struct version_table *rest_of(const struct version_table *t, const struct version_level *l)
{
    for (uint32_t i = 0; t->number <= l->number_max && i < l->count; i++)
        if (l->tables[i]->number == t->number)
            return l->tables[i];
    return NULL;
}

static void mark_table(struct version_table *t, const struct version *now, int level)
{
    for (int l = 0; l < LEVEL_COUNT; l++)
        if (level_has(&now->levels[l], l, t))
            return;
    struct version_table *rest = rest_of(t, &now->levels[level]);
    assert(!t->rest && !t->dead);
    if (rest)
        t->rest = version_table_ref(rest);
    else
        __atomic_store_n(&t->dead, true, __ATOMIC_RELEASE);
}

/* What stays on a level is in the same order in both, so one walk finds what left it; only that is
 * looked for elsewhere. */
static void mark_level(const struct version *old, const struct version *now, int level)
{
    const struct version_level *a = &old->levels[level], *b = &now->levels[level];
    uint32_t j = 0;
    if (a->tables == b->tables)
        return;
    for (uint32_t i = 0; i < a->count; i++) {
        while (j < b->count && version_table_order(level, b->tables[j], a->tables[i]) < 0)
            j++;
        if (j == b->count || b->tables[j] != a->tables[i])
            mark_table(a->tables[i], now, level);
    }
}

void version_mark_dead(const struct version *old, const struct version *now)
{
    for (int l = 0; l < LEVEL_COUNT; l++)
        mark_level(old, now, l);
    for (uint32_t i = 0; i < old->blob_count; i++)
        if (!version_find_blob(now, old->blobs[i].blob->number))
            __atomic_store_n(&old->blobs[i].blob->dead, true, __ATOMIC_RELEASE);
}

void version_to_edit(const struct version *v, struct edit *e)
{
    e->has_uuid = e->has_next_file = e->has_flushed = e->has_log = true;
    memcpy(e->uuid, v->uuid, UUID_SIZE);
    e->features = v->features;
    e->next_file = v->next_file;
    e->flushed_seq = v->flushed_seq;
    e->log_number = v->log_number;
    e->has_history = v->history_seq > 0;
    e->history_seq = v->history_seq;
    const struct lineage *before = v->source->lineage;
    for (uint32_t i = 0; before && i < before->count; i++)
        lineage_add(&e->ancestors, before->parts[i].end, before->parts[i].uuid);
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < v->levels[l].count; i++)
            edit_add_table(e, l, v->levels[l].tables[i]->meta);
    for (uint32_t i = 0; i < v->blob_count; i++) {
        const struct version_blob_state *b = &v->blobs[i];
        edit_add_blob(e, b->blob->number, b->count, b->bytes, b->file_bytes);
        edit_set_blob_key(e, b->blob->number, b->key_epoch, b->header_sum);
        if (b->garbage_count > 0 || b->garbage_bytes > 0)
            edit_add_garbage(e, b->blob->number, b->garbage_count, b->garbage_bytes);
    }
    for (uint32_t i = 0; i < v->pin_count; i++)
        edit_add_pin(e, &v->pins[i]);
}

/* ---- questions ---- */

uint32_t version_find(const struct version_level *level, struct slice key)
{
    uint32_t lo = 0, hi = level->count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (slice_cmp(buf_slice(&level->tables[mid]->meta->limit), key) > 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static bool starts_below(const struct version_table *t, struct slice limit)
{
    return limit.len == 0 || slice_cmp(buf_slice(&t->meta->smallest), limit) < 0;
}

bool version_overlaps(const struct version *v, int level, struct slice start, struct slice limit)
{
    assert(level >= 0 && level < LEVEL_COUNT);
    const struct version_level *l = &v->levels[level];
    if (level > 0) {
        uint32_t i = version_find(l, start);
        return i < l->count && starts_below(l->tables[i], limit);
    }
    for (uint32_t i = 0; i < l->count; i++) {
        const struct version_table *t = l->tables[i];
        if (starts_below(t, limit) && slice_cmp(buf_slice(&t->meta->limit), start) > 0)
            return true;
    }
    return false;
}

bool version_blob_has_old_key(const struct version_blob_state *b, uint32_t epoch)
{
    assert(epoch > 0);
    return b->key_epoch != epoch && !__atomic_load_n(&b->blob->failed, __ATOMIC_RELAXED);
}

struct version_blob_state *version_find_blob(const struct version *v, uint64_t number)
{
    uint32_t lo = 0, hi = v->blob_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (v->blobs[mid].blob->number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < v->blob_count && v->blobs[lo].blob->number == number ? &v->blobs[lo] : NULL;
}

const struct pin *version_find_pin(const struct version *v, const char *name)
{
    for (uint32_t i = 0; i < v->pin_count; i++)
        if (strcmp(v->pins[i].name, name) == 0)
            return &v->pins[i];
    return NULL;
}

bool version_has_pin(const struct version *v, uint64_t seq)
{
    uint32_t lo = 0, hi = v->pin_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (v->pins[mid].seq < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < v->pin_count && v->pins[lo].seq == seq;
}

uint64_t version_gone_bytes(const struct version *v, const struct table_meta *m)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < m->held_count; i++)
        if (!version_has_pin(v, m->held[i].pin))
            bytes += m->held[i].bytes;
    return bytes;
}

/* ---- invariants ---- */

static void level_assert_valid(const struct version *v, int level)
{
    const struct version_level *l = &v->levels[level];
    uint64_t bytes = 0, entries = 0, rangedels = 0;
    uint32_t held = 0;
    assert((l->count == 0) == (l->refs == NULL) && (l->count == 0) == (l->tables == NULL));
    for (uint32_t i = 0; i < l->count; i++) {
        const struct table_meta *m = l->tables[i]->meta;
        assert(__atomic_load_n(&l->tables[i]->refs, __ATOMIC_RELAXED) > 0);
        assert(slice_cmp(buf_slice(&m->smallest), buf_slice(&m->limit)) < 0);
        assert(l->tables[i]->number == m->number && m->number != 0);
        assert(m->number <= l->number_max && m->number < v->next_file);
        bytes += table_meta_bytes(m);
        entries += m->entry_count;
        rangedels += m->rangedel_count;
        held += m->held_count > 0;
        if (i == 0)
            continue;
        const struct version_table *before = l->tables[i - 1];
        assert(version_table_order(level, before, l->tables[i]) < 0);
        assert(level == 0 ||
               slice_cmp(buf_slice(&before->meta->limit), buf_slice(&m->smallest)) <= 0);
    }
    assert(bytes == l->bytes && held == l->held_count);
    assert(entries == l->entry_count && rangedels == l->rangedel_count);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void numbers_assert_distinct(const struct version *v)
{
    size_t count = 0, n = 0;
    for (int l = 0; l < LEVEL_COUNT; l++)
        count += v->levels[l].count;
    uint64_t *numbers = mem_alloc(count * sizeof *numbers);
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < v->levels[l].count; i++)
            numbers[n++] = v->levels[l].tables[i]->number;
    assert(n == count);
    qsort(numbers, count, sizeof *numbers, by_number);
    for (size_t i = 1; i < count; i++)
        assert(numbers[i - 1] < numbers[i]);
    free(numbers);
}

void version_assert_valid(const struct version *v)
{
    assert(__atomic_load_n(&v->refs, __ATOMIC_RELAXED) > 0);
    for (int l = 0; l < LEVEL_COUNT; l++)
        level_assert_valid(v, l);
    numbers_assert_distinct(v);
    uint64_t file_bytes = 0, garbage = 0;
    for (uint32_t i = 0; i < v->blob_count; i++) {
        const struct version_blob_state *b = &v->blobs[i];
        file_bytes += b->file_bytes;
        garbage += b->garbage_bytes;
        assert(b->garbage_count < b->count && b->garbage_bytes <= b->bytes);
        assert(b->blob->number < v->next_file);
        assert(i == 0 || b[-1].blob->number < b->blob->number);
    }
    assert(file_bytes == v->blob_file_bytes && garbage == v->blob_garbage_bytes);
    for (uint32_t i = 1; i < v->pin_count; i++) {
        assert(v->pins[i - 1].seq <= v->pins[i].seq);
        assert(version_find_pin(v, v->pins[i].name) == &v->pins[i]);
    }
}
