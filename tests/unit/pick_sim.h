/* pick_sim: a fixture: a small LSM tree for the tests of compact_pick: it flushes, runs the jobs
 * that are picked, several at once if asked, and can read. Keys are numbers; a table's contents are
 * kept beside it in memory, and written to a simulated disk as well, so that tombstones can be read
 * back. */
#ifndef VARVE_UNIT_PICK_SIM_H
#define VARVE_UNIT_PICK_SIM_H

#include "store/compact_pick.h"
#include "tests/sim/simdisk.h"
#include "tests/unit/version_maker.h"

enum { SIM_TABLES_MAX = 100000, SIM_KEYS_MAX = 20000, SIM_JOBS_MAX = 4, SIM_PINS_MAX = 8 };

struct sim_entry {
    uint32_t key;
    bool del;
    uint64_t seq;
};
struct sim_tombstone {
    uint32_t start, end;
    uint64_t seq;
};
struct sim_run { /* entries by key, newest first; tombstones in any order */
    struct sim_entry *entries;
    struct sim_tombstone *tombstones;
    uint32_t entry_count, entry_cap, tombstone_count, tombstone_cap;
};
struct sim_job {
    bool running;
    struct pick pick;
    struct version *version;
    struct edit edit;
};
struct sim {
    struct simrng rng;
    struct simdisk *disk;
    struct version_source source;
    uint8_t uuid[UUID_SIZE];
    struct pick_options opt;
    struct version *v;
    struct sim_run *tables; /* by number */
    struct sim_run history; /* all that was ever written */
    struct sim_run memtable;
    struct sim_job jobs[SIM_JOBS_MAX];
    int jobs_max;
    uint32_t value_bytes;
    uint64_t next_number, seq, next_pin;
    uint64_t flushed_bytes, written_bytes; /* of tables: by flushes, by jobs */
    uint64_t job_count, move_count, reasons[PICK_MANUAL + 1];
};

static inline void sim_init(struct sim *s, uint64_t seed)
{
    *s = (struct sim){.rng = {seed}, .jobs_max = 1, .value_bytes = 90, .next_number = 1, .seq = 1};
    s->opt = (struct pick_options){.level0_trigger = 4,
                                   .base_bytes = 40000,
                                   .fanout = 4,
                                   .table_bytes = 10000,
                                   .inputs_bytes_max = 250000};
    s->disk = simdisk_new(1);
    s->source = (struct version_source){
        .env = simdisk_env(s->disk), .dir = "vol", .uuid = s->uuid, .cache = cache_new(0)};
    assert_ok(s->source.env->mkdir(s->source.env, "vol"));
    s->v = version_new(&s->source);
    s->tables = mem_zalloc(SIM_TABLES_MAX * sizeof *s->tables);
}

static inline void sim_run_release(struct sim_run *r)
{
    free(r->entries);
    free(r->tombstones);
    *r = (struct sim_run){0};
}

static inline void sim_release(struct sim *s)
{
    for (int i = 0; i < SIM_JOBS_MAX; i++)
        assert_false(s->jobs[i].running);
    version_unref(s->v);
    for (uint64_t i = 0; i < s->next_number; i++)
        sim_run_release(&s->tables[i]);
    sim_run_release(&s->history);
    sim_run_release(&s->memtable);
    free(s->tables);
    cache_free(s->source.cache);
    simdisk_free(s->disk);
}

static inline void sim_add_entry(struct sim_run *r, struct sim_entry e)
{
    if (r->entry_count == r->entry_cap) {
        r->entry_cap = r->entry_cap ? r->entry_cap * 2 : 64;
        r->entries = mem_realloc(r->entries, r->entry_cap * sizeof *r->entries);
    }
    r->entries[r->entry_count++] = e;
}

static inline void sim_add_tombstone(struct sim_run *r, struct sim_tombstone t)
{
    if (r->tombstone_count == r->tombstone_cap) {
        r->tombstone_cap = r->tombstone_cap ? r->tombstone_cap * 2 : 8;
        r->tombstones = mem_realloc(r->tombstones, r->tombstone_cap * sizeof *r->tombstones);
    }
    r->tombstones[r->tombstone_count++] = t;
}

static inline int sim_compare(const void *a, const void *b)
{
    const struct sim_entry *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->seq < y->seq) - (x->seq > y->seq);
}

static inline struct slice sim_key(uint32_t key, uint8_t bytes[4])
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(key >> (24 - 8 * i));
    return slice_of(bytes, 4);
}

/* ---- writing tables ---- */

/* The table of entries [first, end) of `r` and its tombstones within [from, to). */
static inline struct table_meta *sim_write_table(struct sim *s, const struct sim_run *r,
                                                 uint32_t first, uint32_t end, uint32_t from,
                                                 uint32_t to)
{
    struct table_options opt = {.block_bytes = 1000};
    struct table_writer *w;
    struct table_meta *meta;
    struct rangedel_builder *b = rangedel_builder_new();
    uint8_t text[4], text_end[4];
    uint64_t number = s->next_number++;
    struct sim_run *copy = &s->tables[number];
    uint8_t *value = mem_zalloc(s->value_bytes);
    assert_true(number < SIM_TABLES_MAX);
    assert_ok(table_create(s->source.env, "vol", number, s->uuid, &opt, &w));
    for (uint32_t i = first; i < end; i++) {
        const struct sim_entry *e = &r->entries[i];
        struct entry out = {sim_key(e->key, text), e->seq, e->del ? ENTRY_DELETE : ENTRY_PUT, 0,
                            slice_of(value, e->del ? 0 : s->value_bytes)};
        assert_ok(table_add(w, &out));
        sim_add_entry(copy, *e);
    }
    for (uint32_t i = 0; i < r->tombstone_count; i++) {
        struct sim_tombstone t = r->tombstones[i];
        t.start = t.start > from ? t.start : from;
        t.end = t.end < to ? t.end : to;
        if (t.start >= t.end)
            continue;
        rangedel_builder_add(b, sim_key(t.start, text), sim_key(t.end, text_end), t.seq);
        sim_add_tombstone(copy, t);
    }
    struct rangedel *dels = rangedel_build(b);
    table_set_rangedel(w, dels);
    rangedel_unref(dels);
    rangedel_builder_free(b);
    assert_ok(table_finish(w, &meta));
    free(value);
    return meta;
}

static inline bool sim_has_pin(const struct version *v, uint64_t lo, uint64_t hi, uint64_t *pin)
{
    bool found = false;
    for (uint32_t i = 0; i < v->pin_count; i++)
        if (v->pins[i].seq > lo && v->pins[i].seq <= hi) {
            *pin = v->pins[i].seq;
            found = true;
        }
    return found;
}

/* Notes what is kept in the table although something newer hides it, for the newest pin that sees
 * it. */
static inline void sim_note_held(struct sim *s, const struct version *v, struct table_meta *meta)
{
    const struct sim_run *r = &s->tables[meta->number];
    uint64_t bytes[SIM_PINS_MAX * 8] = {0}, pins[SIM_PINS_MAX * 8];
    for (uint32_t i = 0; i < v->pin_count; i++)
        pins[i] = v->pins[i].seq;
    for (uint32_t i = 0; i < r->entry_count; i++) {
        const struct sim_entry *e = &r->entries[i];
        uint64_t hidden_at = SEQ_MAX, pin;
        if (i > 0 && e[-1].key == e->key)
            hidden_at = e[-1].seq;
        for (uint32_t k = 0; k < r->tombstone_count; k++) {
            const struct sim_tombstone *t = &r->tombstones[k];
            if (t->start <= e->key && e->key < t->end && t->seq > e->seq && t->seq < hidden_at)
                hidden_at = t->seq;
        }
        if (hidden_at == SEQ_MAX || !sim_has_pin(v, e->seq, hidden_at, &pin))
            continue;
        for (uint32_t k = 0; k < v->pin_count; k++)
            if (pins[k] == pin) {
                bytes[k] += s->value_bytes + 10;
                break;
            }
    }
    for (uint32_t k = 0; k < v->pin_count; k++)
        if (bytes[k] > 0)
            maker_held(meta, pins[k], bytes[k]);
}

/* Writes `r` as a row of tables into the edit. */
static inline uint64_t sim_write_run(struct sim *s, const struct version *v,
                                     const struct sim_run *r, int level, uint64_t table_bytes,
                                     struct edit *e)
{
    uint32_t first = 0, from = 0, per_table = (uint32_t)(table_bytes / (s->value_bytes + 10)) + 1;
    uint64_t bytes = 0;
    if (r->entry_count == 0 && r->tombstone_count == 0)
        return 0;
    while (from < UINT32_MAX) {
        uint32_t end = first + per_table < r->entry_count ? first + per_table : r->entry_count;
        while (end > 0 && end < r->entry_count && r->entries[end].key == r->entries[end - 1].key)
            end++;
        uint32_t to = end < r->entry_count ? r->entries[end].key : UINT32_MAX;
        bool any = end > first;
        for (uint32_t i = 0; i < r->tombstone_count; i++)
            any |= r->tombstones[i].start < to && r->tombstones[i].end > from;
        if (any) {
            struct table_meta *meta = sim_write_table(s, r, first, end, from, to);
            sim_note_held(s, v, meta);
            edit_add_table(e, level, meta);
            bytes += meta->size_bytes;
            table_meta_unref(meta);
        }
        first = end;
        from = to;
    }
    return bytes;
}

/* Installs the edit and releases it. */
static inline void sim_install(struct sim *s, struct edit *e)
{
    struct version *next;
    assert_ok(version_apply(s->v, e, NULL, 0, &next));
    version_assert_valid(next);
    version_unref(s->v);
    s->v = next;
    edit_release(e);
}

/* ---- what a store does ---- */

static inline void sim_put(struct sim *s, uint32_t key, bool del)
{
    struct sim_entry e = {key, del, s->seq++};
    assert_true(key < SIM_KEYS_MAX);
    sim_add_entry(&s->memtable, e);
    sim_add_entry(&s->history, e);
}

static inline void sim_delete_range(struct sim *s, uint32_t start, uint32_t end)
{
    struct sim_tombstone t = {start, end, s->seq++};
    assert_true(start < end && end <= SIM_KEYS_MAX);
    sim_add_tombstone(&s->memtable, t);
    sim_add_tombstone(&s->history, t);
}

static inline void sim_flush(struct sim *s)
{
    struct edit e;
    edit_init(&e);
    if (s->memtable.entry_count)
        qsort(s->memtable.entries, s->memtable.entry_count, sizeof(struct sim_entry), sim_compare);
    s->flushed_bytes += sim_write_run(s, s->v, &s->memtable, 0, UINT32_MAX, &e);
    sim_install(s, &e);
    sim_run_release(&s->memtable);
}

static inline void sim_pin(struct sim *s)
{
    char name[16];
    struct edit e;
    snprintf(name, sizeof name, "%d", (int)s->next_pin++);
    struct pin p = maker_pin(s->seq++, name);
    edit_init(&e);
    edit_add_pin(&e, &p);
    sim_install(s, &e);
}

static inline void sim_unpin(struct sim *s, uint32_t i)
{
    struct edit e;
    edit_init(&e);
    edit_remove_pin(&e, s->v->pins[i].name);
    sim_install(s, &e);
}

/* ---- compaction ---- */

/* Is the entry the newest for some reader: one of the pins, or of now? */
static inline bool sim_needed(const struct version *v, const struct sim_run *in, uint32_t i)
{
    const struct sim_entry *e = &in->entries[i];
    uint64_t hidden_at = UINT64_MAX, pin;
    if (i > 0 && e[-1].key == e->key)
        hidden_at = e[-1].seq;
    for (uint32_t k = 0; k < in->tombstone_count; k++) {
        const struct sim_tombstone *t = &in->tombstones[k];
        if (t->start <= e->key && e->key < t->end && t->seq > e->seq && t->seq < hidden_at)
            hidden_at = t->seq;
    }
    return hidden_at == UINT64_MAX || sim_has_pin(v, e->seq, hidden_at, &pin);
}

static inline bool sim_deeper(const struct version *v, int level, uint32_t start, uint32_t end)
{
    uint8_t a[4], b[4];
    for (int l = level + 1; l < LEVEL_COUNT; l++)
        if (version_overlaps(v, l, sim_key(start, a), sim_key(end, b)))
            return true;
    return false;
}

static inline void sim_reduce(const struct version *v, const struct sim_run *in, int level,
                              struct sim_run *out)
{
    uint64_t pin;
    for (uint32_t i = 0; i < in->entry_count; i++) {
        const struct sim_entry *e = &in->entries[i];
        bool last = i + 1 == in->entry_count || e[1].key != e->key;
        if (!sim_needed(v, in, i))
            continue;
        if (e->del && last && !sim_has_pin(v, 0, e->seq, &pin) &&
            !sim_deeper(v, level, e->key, e->key + 1))
            continue;
        sim_add_entry(out, *e);
    }
    for (uint32_t k = 0; k < in->tombstone_count; k++) {
        const struct sim_tombstone *t = &in->tombstones[k];
        if (sim_has_pin(v, 0, t->seq, &pin) || sim_deeper(v, level, t->start, t->end))
            sim_add_tombstone(out, *t);
    }
}

static inline void sim_gather(struct sim *s, struct version_table *const *tables, uint32_t count,
                              struct sim_run *in)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_run *r = &s->tables[tables[i]->number];
        for (uint32_t k = 0; k < r->entry_count; k++)
            sim_add_entry(in, r->entries[k]);
        for (uint32_t k = 0; k < r->tombstone_count; k++)
            sim_add_tombstone(in, r->tombstones[k]);
    }
}

/* What every job must be like. */
static inline void sim_check_pick(const struct sim *s, const struct pick *p)
{
    uint64_t bytes = 0;
    struct slice start = buf_slice(&p->start), limit = buf_slice(&p->limit);
    const struct version_level *lower = &s->v->levels[p->output_level];
    uint32_t overlapping = 0;
    assert_true(p->upper_count > 0 && p->input_level <= p->output_level);
    for (uint32_t i = 0; i < p->upper_count + p->lower_count; i++) {
        const struct version_table *t =
            i < p->upper_count ? p->upper[i] : p->lower[i - p->upper_count];
        assert_false(t->busy);
        assert_true(slice_cmp(start, buf_slice(&t->meta->smallest)) <= 0);
        assert_true(slice_cmp(buf_slice(&t->meta->limit), limit) <= 0);
        bytes += t->meta->size_bytes;
    }
    assert_int_equal(bytes, p->input_bytes);
    for (uint32_t i = 0; i < lower->count; i++) {
        const struct table_meta *m = lower->tables[i]->meta;
        overlapping += slice_cmp(buf_slice(&m->smallest), limit) < 0 &&
                       slice_cmp(start, buf_slice(&m->limit)) < 0;
    }
    assert_int_equal(overlapping,
                     p->input_level == p->output_level ? p->upper_count : p->lower_count);
    if (p->trivial_move)
        assert_true(p->lower_count == 0 && p->input_level < p->output_level);
    for (int l = 1; l < p->output_level && p->input_level == 0; l++)
        assert_int_equal(s->v->levels[l].count, 0);
}

static inline void sim_set_busy(struct pick *p, bool busy)
{
    for (uint32_t i = 0; i < p->upper_count; i++)
        p->upper[i]->busy = busy;
    for (uint32_t i = 0; i < p->lower_count; i++)
        p->lower[i]->busy = busy;
}

/* Produces what the picked job makes; it is installed by sim_finish(). */
static inline void sim_begin(struct sim *s, struct sim_job *j)
{
    struct pick *p = &j->pick;
    struct sim_run in = {0}, out = {0};
    sim_check_pick(s, p);
    sim_set_busy(p, true);
    j->running = true;
    j->version = version_ref(s->v);
    edit_init(&j->edit);
    s->job_count++;
    s->reasons[p->reason]++;
    for (uint32_t i = 0; i < p->upper_count; i++) {
        edit_remove_table(&j->edit, p->input_level, p->upper[i]->number);
        if (p->trivial_move)
            edit_add_table(&j->edit, p->output_level, p->upper[i]->meta);
    }
    s->move_count += p->trivial_move;
    if (p->trivial_move)
        return;
    for (uint32_t i = 0; i < p->lower_count; i++)
        edit_remove_table(&j->edit, p->output_level, p->lower[i]->number);
    sim_gather(s, p->upper, p->upper_count, &in);
    sim_gather(s, p->lower, p->lower_count, &in);
    if (in.entry_count)
        qsort(in.entries, in.entry_count, sizeof *in.entries, sim_compare);
    sim_reduce(s->v, &in, p->output_level, &out);
    s->written_bytes += sim_write_run(s, s->v, &out, p->output_level, s->opt.table_bytes, &j->edit);
    sim_run_release(&in);
    sim_run_release(&out);
}

static inline void sim_finish(struct sim *s, struct sim_job *j)
{
    assert_true(j->running);
    sim_install(s, &j->edit);
    sim_set_busy(&j->pick, false);
    pick_release(&j->pick);
    version_unref(j->version);
    *j = (struct sim_job){0};
}

/* Begins a job or ends one, at random. False when there is nothing to do. */
static inline bool sim_step(struct sim *s)
{
    int running = 0, some = -1, none = -1;
    for (int i = 0; i < s->jobs_max; i++) {
        if (!s->jobs[i].running)
            none = i;
        else if (simrng_below(&s->rng, (uint64_t)++running) == 0)
            some = i;
    }
    bool begin = none >= 0 && (running == 0 || simrng_coin(&s->rng));
    if (begin && compact_pick(s->v, &s->opt, &s->jobs[none].pick) == 0) {
        sim_begin(s, &s->jobs[none]);
        return true;
    }
    if (running == 0)
        return false;
    sim_finish(s, &s->jobs[some]);
    return true;
}

/* Until there is nothing to do; that must come. */
static inline void sim_settle(struct sim *s)
{
    uint64_t steps = 0;
    while (sim_step(s))
        assert_true(++steps < 20000);
    assert_true(s->v->levels[0].count < s->opt.level0_trigger);
    assert_int_equal(compact_debt(s->v, &s->opt), 0);
}

/* ---- reading ---- */

/* The newest operation on `key` below `seq` in `r`. */
static inline uint64_t sim_newest(const struct sim_run *r, uint32_t key, uint64_t seq, bool *alive)
{
    uint64_t newest = 0;
    for (uint32_t i = 0; i < r->entry_count; i++) {
        const struct sim_entry *e = &r->entries[i];
        if (e->key == key && e->seq < seq && e->seq > newest) {
            newest = e->seq;
            *alive = !e->del;
        }
    }
    for (uint32_t i = 0; i < r->tombstone_count; i++) {
        const struct sim_tombstone *t = &r->tombstones[i];
        if (t->start <= key && key < t->end && t->seq < seq && t->seq > newest) {
            newest = t->seq;
            *alive = false;
        }
    }
    return newest;
}

/* Reads as a store does: from the newest source on, the first that knows something decides. 0:
 * absent. */
static inline uint64_t sim_read(const struct sim *s, uint32_t key, uint64_t seq)
{
    bool alive = false;
    uint8_t a[4], b[4];
    struct slice start = sim_key(key, a), limit = sim_key(key + 1, b);
    uint64_t found = sim_newest(&s->memtable, key, seq, &alive);
    for (int l = 0; l < LEVEL_COUNT && found == 0; l++) {
        for (uint32_t i = 0; i < s->v->levels[l].count && found == 0; i++) {
            const struct version_table *t = s->v->levels[l].tables[i];
            if (slice_cmp(buf_slice(&t->meta->smallest), limit) < 0 &&
                slice_cmp(start, buf_slice(&t->meta->limit)) < 0)
                found = sim_newest(&s->tables[t->number], key, seq, &alive);
        }
    }
    return alive ? found : 0;
}

/* Some keys, now and at each pin, against all that was ever written. */
static inline void sim_check_reads(struct sim *s, int count)
{
    while (count-- > 0) {
        uint32_t key = (uint32_t)simrng_below(&s->rng, SIM_KEYS_MAX);
        for (uint32_t i = 0; i <= s->v->pin_count; i++) {
            uint64_t at = i < s->v->pin_count ? s->v->pins[i].seq : SEQ_MAX;
            bool alive = false;
            uint64_t expect = sim_newest(&s->history, key, at, &alive);
            assert_int_equal(sim_read(s, key, at), alive ? expect : 0);
        }
    }
}

static inline uint64_t sim_bytes(const struct sim *s)
{
    uint64_t bytes = 0;
    for (int l = 0; l < LEVEL_COUNT; l++)
        bytes += s->v->levels[l].bytes;
    return bytes;
}

/* Bytes of one entry for each key that is there. */
static inline uint64_t sim_live_bytes(const struct sim *s)
{
    uint64_t bytes = 0;
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++)
        if (sim_read(s, key, SEQ_MAX) > 0)
            bytes += s->value_bytes + 14;
    return bytes;
}

#endif
