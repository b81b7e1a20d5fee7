/* Reading through the door: every way of it against a model, on random histories that lie in
 * memtables, level 0, deeper levels and blob files, at present and at pins, with several shapes of
 * table. And what reading counts. */
#include "store/entry.h"
#include "tests/unit/history.h"
#include "tests/unit/store_rig.h"

static void filters_are_counted(void **state)
{
    struct rig *r = *state;
    enum { KEYS = 2000 };
    char key[16];
    rig_open(r);
    struct store_batch *b = store_batch_new(r->s);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%05d", i * 2);
        store_batch_put(b, slice_str(key), slice_str("value"));
    }
    assert_ok(store_write(r->s, b, 0));
    assert_ok(store_flush(r->s));
    assert_ok(store_compact(r->s, (struct slice){0}, (struct slice){0}));
    store_batch_free(b);

    struct store_read read;
    store_read_begin(r->s, &read);
    struct store_insight before, after;
    store_get_insight(r->s, &before);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%05d", i * 2);
        assert_ok(store_has(&read, slice_str(key)));
    }
    store_get_insight(r->s, &after);
    assert_int_equal(after.filter_negatives, before.filter_negatives);
    assert_int_equal(after.filter_false_positives, before.filter_false_positives);
    for (int i = 0; i + 1 < KEYS; i++) {
        snprintf(key, sizeof key, "k%05d", i * 2 + 1);
        assert_absent(store_has(&read, slice_str(key)));
    }
    store_get_insight(r->s, &after);
    uint64_t no = after.filter_negatives - before.filter_negatives,
             wrong = after.filter_false_positives - before.filter_false_positives;
    assert_in_range(no + wrong, KEYS - 20, KEYS - 1); /* the gaps between tables ask no filter */
    assert_in_range(wrong, 1, KEYS / 25);
    store_read_end(&read);
    rig_close(r);
}

/* ---- past the cache ---- */

enum { LARGE = 8 << 10, LARGES = 8 };

static void put_larges(struct rig *r)
{
    uint8_t value[LARGE];
    struct store_batch *b = store_batch_new(r->s);
    for (int i = 0; i < LARGES; i++) {
        memset(value, 'a' + i, sizeof value);
        store_batch_put(b, slice_of(&"abcdefgh"[i], 1), slice_of(value, sizeof value));
    }
    store_batch_merge(b, slice_str("b"), slice_str("more"));
    store_batch_put(b, slice_str("small"), slice_str("value"));
    assert_ok(store_write(r->s, b, 0));
    store_batch_free(b);
    assert_ok(store_flush(r->s));
}

/* True: the value was decoded to where the reader wanted it. */
static bool read_into(const struct store_read *read, const char *key, size_t room,
                      struct slice expected)
{
    uint8_t into[LARGE];
    struct store_value v = {0};
    assert_true(room <= sizeof into);
    assert_ok(store_get_into(read, slice_str(key), into, room, &v));
    bool there = v.data.data == into;
    assert_slice(v.data, expected.data, expected.len);
    store_value_release(&v);
    return there;
}

/* The first time a value goes past the cache, though that is empty; the second time it stays. */
static void a_value_goes_past_the_cache_once(void **state)
{
    struct rig *r = *state;
    uint8_t value[LARGE];
    struct store_read read;
    rig_open(r);
    put_larges(r);
    store_read_begin(r->s, &read);
    memset(value, 'c', sizeof value);
    uint64_t cached = rig_stats(r).cache_bytes, reads = rig_stats(r).blob_reads;
    assert_true(read_into(&read, "c", LARGE, slice_of(value, LARGE)));
    assert_true(rig_stats(r).cache_bytes < cached + LARGE);
    assert_false(read_into(&read, "c", LARGE, slice_of(value, LARGE)));
    assert_true(rig_stats(r).cache_bytes >= cached + LARGE);
    assert_int_equal(rig_stats(r).blob_reads, reads + 2);
    assert_false(read_into(&read, "c", LARGE, slice_of(value, LARGE)));
    assert_int_equal(rig_stats(r).blob_reads, reads + 2);
    store_read_end(&read);
    rig_close(r);
}

/* What does not fit, is to be folded, or is in a block, is where store_get() would leave it. */
static void other_values_are_for_the_reader_to_copy(void **state)
{
    struct rig *r = *state;
    uint8_t value[LARGE + 4];
    struct store_read read;
    struct store_value v = {0};
    uint8_t into[16];
    rig_open(r);
    put_larges(r);
    store_read_begin(r->s, &read);
    memset(value, 'd', sizeof value);
    assert_false(read_into(&read, "d", LARGE - 1, slice_of(value, LARGE)));
    memset(value, 'b', LARGE);
    memcpy(value + LARGE, "more", 4);
    assert_false(read_into(&read, "b", LARGE, slice_of(value, LARGE + 4)));
    assert_false(read_into(&read, "small", LARGE, slice_str("value")));
    assert_absent(store_get_into(&read, slice_str("none"), into, sizeof into, &v));
    assert_int_equal(v.data.len, 0);
    store_value_release(&v);
    store_read_end(&read);
    rig_close(r);
}

/* ---- a store beside its model ---- */

enum { KEYS = 60, PINS_MAX = 4 };

struct pair_of {
    struct rig *r;
    struct history h;
    struct simrng rng;
    uint64_t pins[PINS_MAX];
    uint32_t pin_count;
};

static const struct history_mix mix = {
    .of = {[ENTRY_DELETE] = 3, [ENTRY_PUT] = 12, [ENTRY_MERGE] = 4, [ENTRY_RANGE_DELETE] = 2},
    .keys = KEYS,
    .value_max = 400};

static void put_op(struct store_batch *b, const struct entry *e)
{
    if (e->type == ENTRY_PUT)
        store_batch_put(b, e->key, e->value);
    else if (e->type == ENTRY_MERGE)
        store_batch_merge(b, e->key, e->value);
    else if (e->type == ENTRY_DELETE)
        store_batch_delete(b, e->key);
    else
        store_batch_delete_range(b, e->key, e->value);
}

static void write_some(struct pair_of *p, size_t count)
{
    struct store_batch *b = store_batch_new(p->r->s);
    for (size_t i = 0; i < count; i++) {
        history_random_op(&p->h, &p->rng, &mix);
        put_op(b, &p->h.ops[p->h.count - 1]);
    }
    assert_ok(store_write(p->r->s, b, 0));
    store_batch_free(b);
    assert_int_equal(rig_stats(p->r).seq, p->h.count);
}

static void change_places(struct pair_of *p)
{
    uint8_t room[2][HISTORY_KEY_MAX];
    struct slice a = history_key(simrng_below(&p->rng, KEYS), room[0]),
                 b = history_key(simrng_below(&p->rng, KEYS), room[1]);
    struct store_pin pin;
    char name[16];
    switch (simrng_below(&p->rng, 6)) {
    case 0:
    case 1:
        assert_ok(store_flush(p->r->s));
        break;
    case 2:
        assert_ok(store_compact(p->r->s, slice_cmp(a, b) < 0 ? a : b, slice_cmp(a, b) < 0 ? b : a));
        break;
    case 3:
        while (store_work(p->r->s) == 0)
            ;
        break;
    case 4:
        if (p->pin_count == PINS_MAX)
            break;
        snprintf(name, sizeof name, "pin%u", p->pin_count);
        assert_ok(store_pin_create(p->r->s, name, 0, &pin));
        p->pins[p->pin_count++] = pin.seq;
        break;
    default:
        break;
    }
}

/* ---- what a read sees ---- */

struct seen {
    size_t count;
    struct slice keys[KEYS + 8];
    struct buf values[KEYS + 8];
    uint8_t rooms[KEYS + 8][HISTORY_KEY_MAX];
};

static struct seen *seen_new(const struct pair_of *p, uint64_t seq, struct slice lower,
                             struct slice upper)
{
    struct seen *s = mem_zalloc(sizeof *s);
    for (size_t k = 0; k < KEYS + 4; k++) {
        s->keys[s->count] = history_key(k, s->rooms[s->count]);
        struct slice key = s->keys[s->count];
        bool inside = slice_cmp(key, lower) >= 0 && (!upper.len || slice_cmp(key, upper) < 0);
        s->count += inside && history_read(&p->h, key, seq, &s->values[s->count]);
    }
    return s;
}

static void seen_free(struct seen *s)
{
    for (size_t i = 0; i < KEYS + 8; i++)
        buf_release(&s->values[i]);
    free(s);
}

static size_t seen_find(const struct seen *s, struct slice key)
{
    size_t i = 0;
    while (i < s->count && slice_cmp(s->keys[i], key) < 0)
        i++;
    return i;
}

static struct slice any_key(struct pair_of *p, uint8_t room[HISTORY_KEY_MAX])
{
    return history_key(simrng_below(&p->rng, KEYS + 3), room);
}

/* ---- points ---- */

static void check_value(const struct pair_of *p, struct slice key, uint64_t seq, int result,
                        const struct store_value *v)
{
    struct buf expected = {0};
    bool there = history_read(&p->h, key, seq, &expected);
    assert_int_equal(result, there ? 0 : 1);
    if (there)
        assert_slice(v->data, expected.data, expected.len);
    else
        assert_int_equal(v->data.len, 0);
    buf_release(&expected);
}

static void check_points(struct pair_of *p, const struct store_read *read)
{
    struct store_value v = {0}, pinned = {0};
    for (size_t i = 0; i < 30; i++) {
        uint8_t room[HISTORY_KEY_MAX];
        struct slice key = any_key(p, room);
        int rc = store_get(read, key, &v);
        check_value(p, key, read->seq, rc, &v);
        assert_int_equal(store_has(read, key), rc);
        assert_int_equal(store_get_pinned(read, key, &pinned), rc);
        check_value(p, key, read->seq, rc, &pinned);
    }
    store_value_release(&v);
    store_value_release(&pinned);
}

static void check_multi(struct pair_of *p, const struct store_read *read)
{
    enum { MANY = 40 };
    uint8_t rooms[MANY][HISTORY_KEY_MAX];
    struct slice keys[MANY];
    struct store_value values[MANY];
    int results[MANY];
    memset(values, 0, sizeof values);
    for (int round = 0; round < 2; round++) { /* the values are used again */
        size_t count = simrng_below(&p->rng, MANY + 1);
        for (size_t i = 0; i < count; i++)
            keys[i] = any_key(p, rooms[i]);
        store_multi_get(read, keys, count, values, results);
        for (size_t i = 0; i < count; i++)
            check_value(p, keys[i], read->seq, results[i], &values[i]);
    }
    for (size_t i = 0; i < MANY; i++)
        store_value_release(&values[i]);
}

/* ---- cursors ---- */

struct cursor {
    struct pair_of *p;
    struct store_iter *it;
    struct seen *s;
    size_t at; /* s->count, SIZE_MAX: off an end */
};

static bool stands(const struct cursor *c)
{
    return c->at < c->s->count;
}

static int move_anywhere(struct cursor *c)
{
    uint8_t room[HISTORY_KEY_MAX];
    struct slice key = any_key(c->p, room);
    size_t first = seen_find(c->s, key);
    bool equal = first < c->s->count && slice_eq(c->s->keys[first], key);
    switch (simrng_below(&c->p->rng, 4)) {
    case 0:
        c->at = 0;
        return store_iter_first(c->it);
    case 1:
        c->at = c->s->count - 1;
        return store_iter_last(c->it);
    case 2:
        c->at = first - !equal;
        return store_iter_seek_for_prev(c->it, key);
    default:
        c->at = first;
        return store_iter_seek(c->it, key);
    }
}

static void check_peek(struct cursor *c)
{
    struct slice key;
    bool more = c->at + 1 < c->s->count;
    assert_int_equal(store_iter_peek(c->it, &key), more ? 0 : 1);
    if (more)
        assert_slice(key, c->s->keys[c->at + 1].data, c->s->keys[c->at + 1].len);
}

static void check_place(struct cursor *c)
{
    const struct buf *expected = &c->s->values[c->at];
    struct slice value;
    uint64_t len, before = rig_stats(c->p->r).blob_reads;
    if (simrng_below(&c->p->rng, 4) == 0)
        check_peek(c);
    assert_slice(store_iter_key(c->it), c->s->keys[c->at].data, c->s->keys[c->at].len);
    int rc = store_iter_value_len(c->it, &len);
    assert_true(rc == 1 || (rc == 0 && len == expected->len));
    assert_int_equal(rig_stats(c->p->r).blob_reads, before);
    if (simrng_coin(&c->p->rng)) {
        assert_ok(store_iter_value(c->it, &value));
        assert_slice(value, expected->data, expected->len);
    }
    if (simrng_below(&c->p->rng, 4) == 0)
        check_peek(c);
}

static void wander(struct cursor *c)
{
    bool forwards = true;
    for (int i = 0; i < 60; i++) {
        int rc;
        forwards = simrng_below(&c->p->rng, 6) ? forwards : !forwards;
        if (!stands(c) || simrng_below(&c->p->rng, 16) == 0) {
            rc = move_anywhere(c);
        } else {
            c->at += forwards ? 1 : SIZE_MAX;
            rc = forwards ? store_iter_next(c->it) : store_iter_prev(c->it);
        }
        assert_int_equal(rc, stands(c) ? 0 : 1);
        if (stands(c))
            check_place(c);
    }
    store_iter_free(c->it);
    seen_free(c->s);
}

static void check_cursors(struct pair_of *p, const struct store_read *read)
{
    uint8_t room[2][HISTORY_KEY_MAX];
    struct slice lower = {0}, upper = {0};
    if (simrng_coin(&p->rng))
        lower = any_key(p, room[0]);
    if (simrng_coin(&p->rng))
        upper = any_key(p, room[1]);
    struct cursor c = {.p = p, .at = SIZE_MAX};
    c.it = store_iter_new(read, lower, upper);
    c.s = seen_new(p, read->seq, lower, upper);
    wander(&c);

    uint8_t prefix[3], end[3];
    struct slice key = any_key(p, room[0]), until = slice_of(end, 1 + simrng_below(&p->rng, 3));
    until.len = until.len < key.len ? until.len : key.len;
    memcpy(prefix, key.data, until.len);
    memcpy(end, key.data, until.len);
    end[until.len - 1]++;
    c = (struct cursor){.p = p, .at = SIZE_MAX};
    c.it = store_iter_new_prefix(read, slice_of(prefix, until.len));
    c.s = seen_new(p, read->seq, slice_of(prefix, until.len), until);
    wander(&c);
}

/* ---- many intervals ---- */

enum { INTERVALS = 12 };

struct many {
    struct pair_of *p;
    const struct store_read *read;
    struct store_interval intervals[INTERVALS];
    struct seen *seen[INTERVALS];
    size_t given[INTERVALS];
    int flags;
    size_t stop_after; /* entries; 0: never */
    size_t last_index, total;
};

static int on_entry(void *ctx, size_t index, struct slice key, struct slice value)
{
    struct many *m = ctx;
    const struct store_interval *now = &m->intervals[index], *last = &m->intervals[m->last_index];
    assert_true(index < INTERVALS);
    int order = slice_cmp(last->start, now->start);
    assert_true(order < 0 || (order == 0 && m->last_index <= index));
    m->last_index = index;
    size_t i = m->given[index]++;
    assert_true(i < m->seen[index]->count);
    assert_slice(key, m->seen[index]->keys[i].data, m->seen[index]->keys[i].len);
    if (m->flags & STORE_SCAN_KEYS)
        assert_int_equal(value.len, 0);
    else
        assert_slice(value, m->seen[index]->values[i].data, m->seen[index]->values[i].len);
    return ++m->total == m->stop_after ? 42 : 0;
}

static void check_many(struct pair_of *p, const struct store_read *read)
{
    struct many m = {.p = p, .read = read};
    uint8_t rooms[INTERVALS][2][HISTORY_KEY_MAX];
    size_t all = 0, first = 0;
    m.flags = simrng_coin(&p->rng) ? STORE_SCAN_KEYS : 0;
    for (size_t i = 0; i < INTERVALS; i++) {
        struct store_interval *v = &m.intervals[i];
        v->start = simrng_below(&p->rng, 8) ? any_key(p, rooms[i][0]) : (struct slice){0};
        v->end = simrng_below(&p->rng, 8) ? any_key(p, rooms[i][1]) : (struct slice){0};
        v->limit = simrng_coin(&p->rng) ? 1 + simrng_below(&p->rng, 8) : 0;
        m.seen[i] = seen_new(p, read->seq, v->start, v->end);
        all += v->limit && v->limit < m.seen[i]->count ? v->limit : m.seen[i]->count;
        if (slice_cmp(v->start, m.intervals[first].start) < 0)
            first = i;
    }
    m.last_index = first;
    if (simrng_below(&p->rng, 4) == 0)
        m.stop_after = 1 + simrng_below(&p->rng, 20);
    uint64_t before = rig_stats(p->r).blob_reads;
    bool stops = m.stop_after && m.stop_after <= all;
    assert_int_equal(store_scan_many(read, m.intervals, INTERVALS, m.flags, on_entry, &m),
                     stops ? 42 : 0);
    assert_int_equal(m.total, stops ? m.stop_after : all);
    if (m.flags & STORE_SCAN_KEYS)
        assert_int_equal(rig_stats(p->r).blob_reads, before);
    for (size_t i = 0; i < INTERVALS; i++)
        seen_free(m.seen[i]);
}

/* ---- all of it ---- */

static void check_all(struct pair_of *p)
{
    struct store_read read;
    if (p->pin_count > 0 && simrng_coin(&p->rng))
        store_read_begin_at(p->r->s, p->pins[simrng_below(&p->rng, p->pin_count)], &read);
    else
        store_read_begin(p->r->s, &read);
    if (read.seq > 1) {
        check_points(p, &read);
        check_multi(p, &read);
        check_cursors(p, &read);
        check_many(p, &read);
    }
    store_read_end(&read);
}

static size_t two(struct slice key)
{
    return key.len < 2 ? 0 : 2;
}

static const struct store_prefix first_two = {.id = 3, .len = two};

static void shape(struct rig *r, struct simrng *rng)
{
    r->opt.merge = &history_merge;
    r->opt.block_bytes = simrng_coin(rng) ? 200 : 2000;
    r->opt.table_bytes = simrng_coin(rng) ? 2000 : 32 << 10;
    r->opt.filter_one_in = simrng_below(rng, 4) ? 2 + (uint32_t)simrng_below(rng, 100) : 0;
    r->opt.filter_bottom = simrng_coin(rng);
    r->opt.filter_whole_keys = simrng_coin(rng) ? 1 + (uint32_t)simrng_below(rng, 20) : 1 << 20;
    r->opt.index_whole_bytes = simrng_coin(rng) ? 1 + (uint32_t)simrng_below(rng, 200) : 1 << 20;
    r->opt.prefix = simrng_below(rng, 3) ? &first_two : NULL;
    r->opt.separate_min = 100;
    r->opt.direct_min = 250;
    r->opt.cache_bytes = simrng_below(rng, 4) ? 256 << 10 : 0;
}

static void reads_as_the_model_does(void **state)
{
    struct rig *r = *state;
    struct pair_of p = {.r = r, .rng = {unit_seed()}};
    for (int round = 0; round < 12; round++) {
        snprintf(r->dir, sizeof r->dir, "/vol%d", round);
        shape(r, &p.rng);
        assert_ok(store_create(r->dir, &r->opt));
        rig_open(r);
        for (int i = 0; i < 40; i++) {
            write_some(&p, 1 + simrng_below(&p.rng, 12));
            change_places(&p);
            check_all(&p);
        }
        rig_close(r);
        history_clear(&p.h);
        p.pin_count = 0;
    }
    history_release(&p.h);
}

/* ---- prefixes ---- */

static size_t up_to_slash(struct slice key)
{
    const uint8_t *slash = key.len ? memchr(key.data, '/', key.len) : NULL;
    return slash ? (size_t)(slash - key.data) + 1 : 0;
}

static const struct store_prefix folders = {.id = 9, .len = up_to_slash};

static struct store_insight insight_of(struct rig *r)
{
    struct store_insight i;
    store_get_insight(r->s, &i);
    return i;
}

static size_t count_under(const struct store_read *read, const char *prefix, bool backwards)
{
    size_t n = 0;
    struct store_iter *it = store_iter_new_prefix(read, slice_str(prefix));
    int rc = backwards ? store_iter_last(it) : store_iter_first(it);
    for (; rc == 0; rc = backwards ? store_iter_prev(it) : store_iter_next(it))
        n++;
    assert_absent(rc);
    store_iter_free(it);
    return n;
}

static void scans_ask_the_filters_for_prefixes(void **state)
{
    struct rig *r = *state;
    enum { FOLDERS = 400 };
    char key[32];
    struct store_read read;
    r->opt.prefix = &folders;
    r->opt.filter_whole_keys = 200;
    r->opt.block_bytes = 512;
    rig_open(r);
    for (int i = 0; i < FOLDERS; i += 2) {
        for (int n = 0; n < 3; n++) {
            snprintf(key, sizeof key, "%04d/%d", i, n);
            rig_put(r, key, "value");
        }
    }
    assert_ok(store_flush(r->s));
    rig_put(r, "0000/zz", "value"); /* a second table of level 0, with a span that holds all */
    rig_put(r, "9999/zz", "value");
    assert_ok(store_flush(r->s));
    store_read_begin(r->s, &read);
    struct store_stats s = rig_stats(r);
    uint64_t asked = s.cache_hits + s.cache_misses;
    for (int i = 1; i < FOLDERS; i += 2) {
        snprintf(key, sizeof key, "%04d/", i);
        assert_int_equal(count_under(&read, key, i % 4 == 1), 0);
    }
    uint64_t denied = insight_of(r).filter_prefix_negatives;
    assert_in_range(denied, FOLDERS * 9 / 10, FOLDERS); /* of two tables each */
    s = rig_stats(r);
    assert_in_range(s.cache_hits + s.cache_misses - asked, 1, FOLDERS); /* parts of filters */
    for (int i = 0; i < FOLDERS; i += 2) {
        snprintf(key, sizeof key, "%04d/", i);
        assert_int_equal(count_under(&read, key, i % 4 == 0), i ? 3 : 4);
    }
    /* Bounds that leave the prefix are not asked about it. */
    denied = insight_of(r).filter_prefix_negatives;
    struct store_iter *it = store_iter_new(&read, slice_str("0001/"), slice_str("0003/"));
    assert_ok(store_iter_first(it));
    store_iter_free(it);
    it = store_iter_new(&read, slice_str("0001/"), (struct slice){0});
    assert_ok(store_iter_first(it));
    store_iter_free(it);
    assert_int_equal(insight_of(r).filter_prefix_negatives, denied);
    store_read_end(&read);
    rig_close(r);

    static const struct store_prefix other = {.id = 10, .len = up_to_slash};
    r->opt.prefix = &other; /* the filters were not made by this rule */
    rig_open(r);
    store_read_begin(r->s, &read);
    assert_int_equal(count_under(&read, "0001/", false), 0);
    assert_int_equal(count_under(&read, "0002/", false), 3);
    assert_int_equal(insight_of(r).filter_prefix_negatives, 0);
    store_read_end(&read);
    rig_close(r);
}

/* ---- where filters are made ---- */

static uint64_t table_bytes(struct rig *r)
{
    return rig_stats(r).level_bytes[6];
}

static void the_last_level_may_do_without(void **state)
{
    struct rig *r = *state;
    uint64_t bytes[2];
    struct store_read read;
    for (uint32_t bottom = 0; bottom < 2; bottom++) {
        snprintf(r->dir, sizeof r->dir, "/vol%u", bottom);
        r->opt.filter_bottom = bottom;
        assert_ok(store_create(r->dir, &r->opt));
        rig_open(r);
        for (int i = 0; i < 2000; i++) {
            char key[16];
            snprintf(key, sizeof key, "%06d", i * 7 % 2000);
            rig_put(r, key, "v");
            if (i == 1000) /* so that two tables are merged, and none just moves down */
                assert_ok(store_flush(r->s));
        }
        assert_ok(store_compact(r->s, (struct slice){0}, (struct slice){0}));
        bytes[bottom] = table_bytes(r);
        store_read_begin(r->s, &read);
        assert_absent(store_has(&read, slice_str("000100x")));
        assert_ok(store_has(&read, slice_str("000100")));
        store_read_end(&read);
        struct store_insight i = insight_of(r);
        assert_int_equal(i.filter_negatives + i.filter_false_positives, bottom);
        rig_close(r);
    }
    assert_in_range(bytes[1] - bytes[0], 2000 * 6 / 8, 2000 * 9 / 8);
}

/* ---- values that outlive their read ---- */

static void pinned_values_outlive_the_read(void **state)
{
    struct rig *r = *state;
    struct store_value in_memtable = {0}, small = {0}, in_block = {0}, blob = {0};
    struct store_read read;
    static char large[6000], other[300], huge[9000];
    memset(large, 'l', sizeof large - 1);
    memset(other, 'o', sizeof other - 1);
    memset(huge, 'h', sizeof huge - 1);
    r->opt.direct_min = 8000;
    rig_open(r);
    rig_put(r, "block", other);
    rig_put(r, "blob", huge);
    assert_ok(store_flush(r->s));
    rig_put(r, "large", large);
    rig_put(r, "small", "s");
    store_read_begin(r->s, &read);
    assert_ok(store_get_pinned(&read, slice_str("large"), &in_memtable));
    assert_ok(store_get_pinned(&read, slice_str("small"), &small));
    assert_ok(store_get_pinned(&read, slice_str("block"), &in_block));
    assert_ok(store_get_pinned(&read, slice_str("blob"), &blob));
    assert_non_null(in_memtable.view);
    assert_non_null(in_block.pin);
    assert_true(!small.view && !blob.view && !in_block.view);
    store_read_end(&read);
    /* The memtable is flushed and gone, the table's block is no longer in the cache. */
    rig_put(r, "more", "x");
    assert_ok(store_flush(r->s));
    assert_ok(store_compact(r->s, (struct slice){0}, (struct slice){0}));
    assert_slice(in_memtable.data, large, sizeof large - 1);
    assert_slice(small.data, "s", 1);
    assert_slice(in_block.data, other, sizeof other - 1);
    assert_slice(blob.data, huge, sizeof huge - 1);
    store_read_begin(r->s, &read);
    assert_absent(
        store_get_pinned(&read, slice_str("none"), &in_memtable)); /* lets go of the view */
    assert_null(in_memtable.view);
    store_read_end(&read);
    store_value_release(&in_memtable);
    store_value_release(&small);
    store_value_release(&in_block);
    store_value_release(&blob);
    rig_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(filters_are_counted),
        RIG_SIM(a_value_goes_past_the_cache_once),
        RIG_SIM(other_values_are_for_the_reader_to_copy),
        RIG_SIM(reads_as_the_model_does),
        RIG_SIM(scans_ask_the_filters_for_prefixes),
        RIG_SIM(the_last_level_may_do_without),
        RIG_SIM(pinned_values_outlive_the_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
