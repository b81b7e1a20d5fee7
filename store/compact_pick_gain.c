/* compact_pick_gain: what would be freed if a table's tombstones reached the data that they hide.
 *
 * What a pin sees: entries with seq < pin. An entry d under a tombstone t > d is dead unless a pin
 * p has d < p <= t: such a pin sees the entry and not the tombstone.
 *
 * It is a reckoning, not a count. How much of a table lies under a tombstone is taken from the
 * index of the table if it is open, and else from the keys; blob bytes there from a sample of the
 * entries, since one large file among many small ones has few entries and most of the blobs.
 * Nothing is opened for it but the table with the tombstones: an unlink has mostly opened what it
 * is about.
 *
 * Invariant: a table's `gain` was reckoned when `gain_signature` described what lay below. */
#include "store/compact_pick_priv.h"

#include <assert.h>

enum {
    /* A table in which this part of the entries are deletions counts as one with tombstones. */
    DELETES_PART = 2,
    /* Entries that are looked at: of one stretch of keys, and for one table with tombstones. */
    SAMPLE_MAX = 2048,
    SAMPLES_MAX = 32 * SAMPLE_MAX,
};

struct reckoning {
    const struct version *v;
    struct version_gain gain;
    uint32_t samples_left;
};

/* ---- how much of a table is dead ---- */

static uint64_t greatest_pin(const struct version *v, uint64_t seq_max)
{
    uint32_t lo = 0, hi = v->pin_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (v->pins[mid].seq <= seq_max)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 ? v->pins[lo - 1].seq : 0;
}

/* The part of the sequence numbers of `below`, taken as spread evenly, that are dead under the
 * tombstones `seqs`: with p(t) the greatest pin <= t, entries in [p(t), t) for some t. Pins 40 and
 * 70, tombstones 100 and 50: [70, 100) and [40, 50) are dead; 40..49 is, since pin 70 sees
 * tombstone 50. */
static double dead_part(const struct version *v, const uint64_t *seqs, uint32_t seq_count,
                        const struct table_meta *below)
{
    uint64_t lo = below->min_seq, hi = below->max_seq + 1, dead = 0, pin_before = UINT64_MAX;
    assert(seq_count > 0 && lo < hi);
    if (hi > seqs[0])
        hi = seqs[0]; /* newer entries are of other keys: under a tombstone all is older than it */
    if (lo >= hi)
        return 0;
    for (uint32_t i = 0; i < seq_count && pin_before > lo; i++) {
        uint64_t pin = greatest_pin(v, seqs[i]);
        if (pin == pin_before)
            continue; /* within the interval before */
        uint64_t from = pin > lo ? pin : lo, to = seqs[i] < hi ? seqs[i] : hi;
        dead += from < to ? to - from : 0;
        pin_before = pin;
    }
    return (double)dead / (double)(hi - lo);
}

static double share_bytes(const struct table_meta *m)
{
    double bytes = 0;
    for (uint32_t i = 0; i < m->share_count; i++)
        bytes += (double)m->shares[i].bytes;
    return bytes;
}

/* 8 bytes of a key from `at` on as a number: keys with equal bytes before are in its order. */
static uint64_t key_number(struct slice key, size_t at)
{
    uint8_t bytes[8] = {0};
    if (key.len > at)
        memcpy(bytes, key.data + at, key.len - at < 8 ? key.len - at : 8);
    return get_be64(bytes);
}

/* The part of `all` that `span`, which lies within, is if keys are spread evenly. */
static double key_part(struct pick_span all, struct pick_span span)
{
    size_t at = slice_shared(all.start, all.limit);
    double whole = (double)(key_number(all.limit, at) - key_number(all.start, at));
    double part = (double)(key_number(span.limit, at) - key_number(span.start, at));
    return part < whole ? part / whole : 1;
}

/* Blob bytes that entries in `span` of an open table refer to; `range_bytes`: of the table's data
 * there. */
static double sample_blobs(struct reckoning *r, struct table *table, struct pick_span span,
                           double range_bytes)
{
    struct iter *it = table_iter_new(table, TABLE_ITER_FILL_CACHE);
    uint32_t n = 0;
    double blobs = 0;
    int ret = iter_seek(it, span.start, SEQ_MAX);
    while (ret == 0 && n < SAMPLE_MAX && slice_cmp(it->e.key, span.limit) < 0) {
        struct blob_ref ref;
        if (entry_type_is_blob(it->e.type) && blob_ref_decode(it->e.value, &ref))
            blobs += ref.where.len;
        n++;
        ret = iter_next(it);
    }
    if (ret == 0 && n == SAMPLE_MAX) {
        double seen = (double)table_range_bytes(table, span.start, it->e.key);
        if (seen > 0 && seen < range_bytes)
            blobs *= range_bytes / seen;
    }
    iter_free(it);
    r->samples_left -= n < r->samples_left ? n : r->samples_left;
    return blobs;
}

/* Bytes of the table, and of blobs, within `span`. */
static double span_weight(struct reckoning *r, const struct version_table *t, struct pick_span span)
{
    assert(slice_cmp(span.start, span.limit) < 0);
    struct table *table = version_table_opened(t);
    double shares = share_bytes(t->meta), size = (double)table_meta_bytes(t->meta);
    if (!table)
        return key_part(pick_table_span(t), span) * (size + shares);
    double bytes = (double)table_range_bytes(table, span.start, span.limit);
    if (shares > 0 && r->samples_left > 0) {
        double sampled = sample_blobs(r, table, span, bytes);
        return bytes + (sampled < shares ? sampled : shares);
    }
    return bytes + shares * (bytes < size ? bytes / size : 1);
}

static struct slice later(struct slice a, struct slice b)
{
    return slice_cmp(a, b) >= 0 ? a : b;
}

static struct slice earlier(struct slice a, struct slice b)
{
    return slice_cmp(a, b) <= 0 ? a : b;
}

/* Bytes of `below` that are dead under tombstones `dels`; `*whole`: it is all of it. Neighbouring
 * fragments that kill alike are taken as one: a folder of files that is removed leaves one for each
 * file. */
static double covered_weight(struct reckoning *r, const struct rangedel *dels,
                             const struct version_table *below, bool *whole)
{
    struct pick_span table = pick_table_span(below), run = {table.start, table.start};
    double all = (double)table_meta_bytes(below->meta) + share_bytes(below->meta);
    double sum = 0, run_part = 0;
    for (size_t i = rangedel_find(dels, table.start); i < rangedel_count(dels); i++) {
        struct rangedel_fragment f = rangedel_at(dels, i);
        if (slice_cmp(f.start, table.limit) >= 0)
            break;
        struct slice start = later(f.start, table.start);
        double part = dead_part(r->v, f.seqs, f.seq_count, below->meta);
        if (part != run_part || !slice_eq(run.limit, start)) {
            if (run_part > 0)
                sum += run_part * span_weight(r, below, run);
            run.start = start;
            run_part = part;
        }
        run.limit = earlier(f.end, table.limit);
    }
    assert(run_part >= 0 && run_part <= 1);
    *whole = run_part >= 1 && slice_eq(run.start, table.start) && slice_eq(run.limit, table.limit);
    if (run_part > 0 && !*whole)
        sum += run_part * span_weight(r, below, run);
    return *whole || sum > all ? all : sum;
}

/* ---- tables below ---- */

/* What tombstones `dels` make of one table: `rewritten` says that the job takes it in anyway. */
static void reckon_table(struct reckoning *r, const struct rangedel *dels,
                         const struct version_table *below, bool rewritten)
{
    bool whole;
    double dead = covered_weight(r, dels, below, &whole),
           size = (double)table_meta_bytes(below->meta);
    assert(dead >= 0 && (!whole || dead >= size));
    r->gain.freed += dead;
    if (whole)
        r->gain.cost -= rewritten ? size : 0; /* it is dropped without being read */
    else if (dead > 0)
        r->gain.cost += rewritten ? 0 : size;
}

/* Range tombstones against one level >= 1; tables that none of them touches are skipped. */
static void reckon_level(struct reckoning *r, const struct rangedel *dels,
                         const struct version_level *level, struct pick_run run, bool rewritten)
{
    while (run.first < run.end) {
        const struct version_table *below = level->tables[run.first];
        struct pick_span span = pick_table_span(below);
        size_t i = rangedel_find(dels, span.start);
        if (i == rangedel_count(dels))
            return;
        struct slice start = rangedel_at(dels, i).start;
        if (slice_cmp(start, span.limit) < 0) {
            reckon_table(r, dels, below, rewritten);
            run.first++;
        } else {
            run.first = version_find(level, start);
        }
    }
}

/* Deletions of single keys: each is taken to free an entry of average size, as far as there are
 * any. */
static void reckon_deletes(struct reckoning *r, const struct table_meta *m,
                           const struct version_level *level, struct pick_run run)
{
    double entries = 0, bytes = 0, deletes = (double)m->delete_count;
    for (uint32_t i = run.first; i < run.end; i++) {
        const struct table_meta *below = level->tables[i]->meta;
        double weight = (double)table_meta_bytes(below) + share_bytes(below);
        entries += (double)below->entry_count;
        bytes += weight * dead_part(r->v, &m->max_seq, 1, below);
    }
    if (entries > 0)
        r->gain.freed += bytes * (deletes < entries ? deletes / entries : 1);
}

/* ---- a table with tombstones ---- */

bool pick_has_tombstones(const struct table_meta *m)
{
    return m->rangedel_count > 0 ||
           (m->delete_count > 0 && m->delete_count >= m->entry_count / DELETES_PART);
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

static uint64_t mix_run(uint64_t h, const struct version_level *level, struct pick_run run)
{
    for (uint32_t i = run.first; i < run.end; i++) {
        h = mix(h, level->tables[i]->number);
        h = mix(h, level->tables[i]->meta->front);
        h = mix(h, version_table_opened(level->tables[i]) != NULL);
    }
    return h;
}

/* Tells apart all that the gain depends on: what overlaps on the levels from `to` on, and older on
 * level 0; which of it is open; and the pins. Never 0. */
static uint64_t signature(const struct version *v, const struct version_table *t, int level,
                          uint32_t index, int to)
{
    uint64_t h = mix(0, (uint64_t)to);
    assert(v->levels[level].tables[index] == t);
    for (uint32_t i = 0; i < v->pin_count; i++)
        h = mix(h, v->pins[i].seq);
    if (level == 0)
        h = mix_run(h, &v->levels[0], (struct pick_run){index + 1, v->levels[0].count});
    for (int l = to; l < LEVEL_COUNT; l++)
        h = mix_run(h, &v->levels[l], pick_overlap(&v->levels[l], pick_table_span(t)));
    return h ? h : 1;
}

static void reckon(struct reckoning *r, struct version_table *t, struct table *table, int level,
                   uint32_t index, int to)
{
    const struct version *v = r->v;
    for (uint32_t i = index + 1; level == 0 && table && i < v->levels[0].count; i++)
        reckon_table(r, table_rangedel(table), v->levels[0].tables[i], true);
    for (int l = to; l < LEVEL_COUNT; l++) {
        struct pick_run run = pick_overlap(&v->levels[l], pick_table_span(t));
        if (table)
            reckon_level(r, table_rangedel(table), &v->levels[l], run, l == to);
        if (t->meta->delete_count > 0)
            reckon_deletes(r, t->meta, &v->levels[l], run);
    }
}

bool pick_gain(const struct version *v, int level, uint32_t index, int to,
               struct version_gain *gain)
{
    struct version_table *t = v->levels[level].tables[index];
    struct reckoning r = {.v = v, .samples_left = SAMPLES_MAX};
    struct table *table = NULL;
    assert(pick_has_tombstones(t->meta) && to > level);
    if (t->meta->rangedel_count > 0 &&
        (__atomic_load_n(&t->failed, __ATOMIC_RELAXED) || version_table_open(t, &table) < 0))
        return false;
    uint64_t wanted = signature(v, t, level, index, to);
    pthread_mutex_lock(&t->opening);
    bool known = t->gain_signature == wanted;
    *gain = t->gain;
    pthread_mutex_unlock(&t->opening);
    if (known)
        return true;
    reckon(&r, t, table, level, index, to);
    *gain = r.gain;
    pthread_mutex_lock(&t->opening);
    t->gain = r.gain;
    t->gain_signature = wanted;
    pthread_mutex_unlock(&t->opening);
    return true;
}
