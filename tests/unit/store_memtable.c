/* memtable: random histories against a model that knows every operation by its number; then the
 * same with four writers, a thread of tombstones and readers at published numbers, all at once. */
#include "store/memtable.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/unit.h"

/* ---- a history: operation i has number i + 1, and is known to all beforehand ---- */

enum { KEYS = 300, OPS = 12000, VALUE_MAX = 32 };

struct op {
    enum entry_type type;
    uint16_t key, end; /* end: of a range tombstone */
};

struct history {
    uint8_t key_bytes[KEYS][32];
    struct slice keys[KEYS]; /* ascending */
    struct op ops[OPS];
    uint32_t prev[OPS];             /* index + 1 of the older operation on the same key, 0: none */
    uint32_t points_below[OPS + 2]; /* how many point entries have a number below */
    uint32_t rangedels[OPS], rangedel_count;
};

static uint64_t rand_from(uint64_t *rng, uint64_t n)
{
    *rng = *rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*rng >> 33) % n;
}

/* Like a file system's keys: an inode, a kind, a number; of different lengths. */
static void make_keys(struct history *h)
{
    for (unsigned i = 0; i < KEYS; i++) {
        uint8_t *k = h->key_bytes[i];
        put_be64(k, 100 + i / 30);
        k[8] = (uint8_t)(i % 30 / 10);
        put_be64(k + 9, i % 10);
        h->keys[i] = slice_of(k, i % 10 ? 17 : 9);
    }
    h->keys[0] = slice_of(NULL, 0);
}

static struct op random_op(uint64_t *rng, unsigned rangedel_percent)
{
    struct op op = {.key = (uint16_t)rand_from(rng, KEYS)};
    if (rand_from(rng, 100) < rangedel_percent) {
        op.type = ENTRY_RANGE_DELETE;
        op.key = (uint16_t)rand_from(rng, KEYS - 1);
        unsigned width = 1 + (unsigned)rand_from(rng, rand_from(rng, 3) ? 8 : KEYS);
        op.end = (uint16_t)(op.key + width < KEYS ? op.key + width : KEYS - 1);
    } else {
        op.type = (enum entry_type)rand_from(rng, ENTRY_RANGE_DELETE);
        if (op.type == ENTRY_DELETE || rand_from(rng, 3) == 0)
            op.type = ENTRY_MERGE;
    }
    return op;
}

static struct history *history_new(uint64_t *rng, unsigned rangedel_percent)
{
    struct history *h = mem_zalloc(sizeof *h);
    uint32_t newest[KEYS] = {0};
    make_keys(h);
    for (uint32_t i = 0; i < OPS; i++) {
        struct op *op = &h->ops[i];
        *op = random_op(rng, rangedel_percent);
        bool is_point = op->type != ENTRY_RANGE_DELETE;
        h->points_below[i + 2] = h->points_below[i + 1] + is_point;
        if (is_point) {
            h->prev[i] = newest[op->key];
            newest[op->key] = i + 1;
        } else {
            h->rangedels[h->rangedel_count++] = i;
        }
    }
    return h;
}

static struct slice value_of(uint8_t bytes[VALUE_MAX], uint32_t i)
{
    for (unsigned at = 0; at < VALUE_MAX; at++)
        bytes[at] = (uint8_t)(i * 7 + at);
    return slice_of(bytes, i % VALUE_MAX);
}

static void apply(struct memtable *m, const struct history *h, uint32_t i)
{
    uint8_t bytes[VALUE_MAX];
    const struct op *op = &h->ops[i];
    if (op->type == ENTRY_RANGE_DELETE) {
        memtable_add_rangedel(m, h->keys[op->key], h->keys[op->end], i + 1);
        return;
    }
    struct entry e = {.key = h->keys[op->key], .seq = i + 1, .type = op->type};
    if (op->type != ENTRY_DELETE)
        e.value = value_of(bytes, i);
    memtable_add(m, &e);
}

/* ---- the model; functions return how many things were wrong, so that threads can use them ---- */

static uint64_t expected_cover(const struct history *h, unsigned key, uint64_t read_seq)
{
    for (uint32_t i = h->rangedel_count; i > 0; i--) {
        uint32_t at = h->rangedels[i - 1];
        if (at + 1 < read_seq && h->ops[at].key <= key && key < h->ops[at].end)
            return at + 1;
    }
    return 0;
}

static bool has_value(struct slice actual, uint32_t i)
{
    uint8_t bytes[VALUE_MAX];
    return slice_eq(actual, value_of(bytes, i));
}

/* `newest`: index + 1 of the newest operation on the key that may be seen. */
static bool lookup_is_right(const struct history *h, const struct lookup *l, uint32_t newest,
                            uint64_t cover)
{
    uint32_t operands = 0;
    for (uint32_t at = newest; at > cover; at = h->prev[at - 1]) {
        enum entry_type type = h->ops[at - 1].type;
        if (type == ENTRY_DELETE)
            return l->state == LOOKUP_ABSENT && l->operand_count == operands;
        if (!entry_type_is_merge(type))
            return l->state == LOOKUP_FOUND && l->type == type && has_value(l->base, at - 1) &&
                   l->operand_count == operands;
        if (operands >= l->operand_count)
            return false;
        const struct lookup_operand *o = &l->operands[operands++];
        if (o->type != type || !has_value(slice_of(l->bytes.data + o->offset, o->len), at - 1))
            return false;
    }
    /* Nothing, or only hidden entries: the memtable has decided in the second case. */
    enum lookup_state state = LOOKUP_MORE;
    for (uint32_t at = newest; at > 0; at = h->prev[at - 1])
        if (at <= cover)
            state = LOOKUP_ABSENT;
    return l->state == state && l->operand_count == operands && l->cover_seq == cover;
}

/* `newest` as above. */
static unsigned check_get(struct memtable *m, const struct history *h, unsigned key,
                          uint64_t read_seq, uint32_t newest)
{
    struct lookup l;
    uint64_t cover = expected_cover(h, key, read_seq);
    lookup_init(&l, h->keys[key], read_seq);
    memtable_get(m, &l);
    bool right = lookup_is_right(h, &l, newest, cover);
    lookup_release(&l, NULL);

    struct rangedel_cover c;
    memtable_cover(m, h->keys[key], read_seq, &c);
    right &= c.seq == cover && slice_cmp(c.lo, h->keys[key]) <= 0;
    right &= c.hi.len == 0 || slice_cmp(h->keys[key], c.hi) < 0;
    return !right;
}

static uint32_t newest_below(const struct history *h, unsigned key, uint64_t read_seq)
{
    uint64_t seq = read_seq - 1 < OPS ? read_seq - 1 : OPS;
    while (seq > 0 && (h->ops[seq - 1].type == ENTRY_RANGE_DELETE || h->ops[seq - 1].key != key))
        seq--;
    return (uint32_t)seq;
}

static bool entry_is_right(const struct history *h, const struct entry *e)
{
    const struct op *op = &h->ops[e->seq - 1];
    return op->type == e->type && slice_eq(h->keys[op->key], e->key) &&
           (e->type == ENTRY_DELETE ? e->value.len == 0
                                    : has_value(e->value, (uint32_t)e->seq - 1));
}

/* A whole walk: entries in order, and of those below `read_seq` each and no other. */
static unsigned check_walk(struct memtable *m, const struct history *h, uint64_t read_seq,
                           bool forward)
{
    unsigned wrong = 0, below = 0;
    struct iter *it = memtable_iter_new(m);
    struct entry before = {0};
    bool any = false;
    for (int r = forward ? iter_first(it) : iter_last(it); r == 0;
         r = forward ? iter_next(it) : iter_prev(it)) {
        int order = entry_cmp(before.key, before.seq, it->e.key, it->e.seq);
        wrong += any && (forward ? order >= 0 : order <= 0);
        wrong += !entry_is_right(h, &it->e);
        below += it->e.seq < read_seq;
        before = it->e;
        any = true;
    }
    wrong += it->valid;
    iter_free(it);
    return wrong + (below != h->points_below[read_seq]);
}

/* ---- one thread ---- */

static void test_empty(void **state)
{
    (void)state;
    struct memtable *m = memtable_new();
    assert_true(memtable_empty(m));
    assert_true(memtable_bytes(m) < 32 * 1024);
    struct iter *it = memtable_iter_new(m);
    memtable_unref(m); /* the cursor holds one */
    assert_absent(iter_first(it));
    assert_absent(iter_last(it));
    assert_absent(iter_seek(it, slice_str("a"), SEQ_MAX));
    assert_false(it->valid);
    iter_free(it);
    memtable_unref(NULL);
}

static void test_references(void **state)
{
    (void)state;
    struct memtable *m = memtable_new();
    struct entry e = {slice_str("k"), 1, ENTRY_PUT, 0, slice_str("v")};
    memtable_add(m, &e);
    assert_ptr_equal(memtable_ref(m), m);
    memtable_unref(m);
    struct lookup l;
    lookup_init(&l, slice_str("k"), 2);
    memtable_get(m, &l);
    assert_int_equal(l.state, LOOKUP_FOUND);
    assert_slice_str(l.base, "v");
    lookup_release(&l, NULL);
    memtable_unref(m);
}

static void test_counts(void **state)
{
    (void)state;
    struct memtable *m = memtable_new();
    struct entry e = {slice_str("k"), 1, ENTRY_DELETE, 0, {0}};
    memtable_add(m, &e);
    assert_int_equal(memtable_entry_count(m), 1);
    assert_false(memtable_empty(m));
    memtable_add_rangedel(m, slice_str("a"), slice_str("b"), 2);
    assert_int_equal(memtable_rangedel_count(m), 1);
    memtable_unref(m);

    m = memtable_new();
    memtable_add_rangedel(m, slice_str("a"), slice_str("b"), 2);
    assert_false(memtable_empty(m));
    memtable_unref(m);
}

static void test_large_value(void **state)
{
    (void)state;
    enum { LARGE = 3 << 20 };
    struct memtable *m = memtable_new();
    uint8_t *value = mem_alloc(LARGE);
    memset(value, 5, LARGE);
    struct entry e = {slice_str("k"), 1, ENTRY_PUT, 0, slice_of(value, LARGE)};
    memtable_add(m, &e);
    struct iter *it = memtable_iter_new(m);
    assert_ok(iter_first(it));
    assert_slice(it->e.value, value, LARGE);
    assert_true(memtable_bytes(m) > LARGE);
    iter_free(it);
    memtable_unref(m);
    free(value);
}

static void check_seeks(struct memtable *m, const struct history *h, uint64_t *rng)
{
    struct iter *it = memtable_iter_new(m);
    for (int i = 0; i < 300; i++) {
        unsigned key = (unsigned)rand_from(rng, KEYS);
        uint64_t read_seq = 1 + rand_from(rng, OPS + 1);
        uint32_t newest = newest_below(h, key, read_seq);
        int found = iter_seek(it, h->keys[key], read_seq - 1);
        if (newest) {
            assert_ok(found);
            assert_int_equal(it->e.seq, newest);
            assert_int_equal(slice_cmp(it->e.key, h->keys[key]), 0);
        } else if (found == 0) {
            assert_true(slice_cmp(it->e.key, h->keys[key]) > 0);
        }
    }
    iter_free(it);
}

static void check_rangedels(struct memtable *m, const struct history *h, uint64_t *rng)
{
    struct rangedel_builder *b = rangedel_builder_new();
    memtable_rangedels(m, b);
    struct rangedel *r = rangedel_build(b);
    for (int i = 0; i < 1000; i++) {
        unsigned key = (unsigned)rand_from(rng, KEYS);
        uint64_t read_seq = rand_from(rng, OPS + 2);
        struct rangedel_cover c;
        rangedel_cover(r, h->keys[key], read_seq, &c);
        assert_int_equal(c.seq, expected_cover(h, key, read_seq));
    }
    rangedel_unref(r);
    rangedel_builder_free(b);
}

static void test_random(void **state)
{
    (void)state;
    static const unsigned percents[] = {0, 1, 10, 50, 100};
    uint64_t rng = unit_seed();
    for (size_t p = 0; p < sizeof percents / sizeof *percents; p++) {
        struct history *h = history_new(&rng, percents[p]);
        struct memtable *m = memtable_new();
        for (uint32_t i = 0; i < OPS; i++) {
            apply(m, h, i);
            unsigned key = (unsigned)rand_from(&rng, KEYS);
            uint64_t read_seq = rand_from(&rng, 4) ? 1 + rand_from(&rng, i + 2) : i + 2;
            assert_int_equal(check_get(m, h, key, read_seq, newest_below(h, key, read_seq)), 0);
        }
        assert_int_equal(memtable_entry_count(m), h->points_below[OPS + 1]);
        assert_int_equal(memtable_rangedel_count(m), h->rangedel_count);
        assert_int_equal(check_walk(m, h, OPS + 1, true), 0);
        assert_int_equal(check_walk(m, h, OPS + 1, false), 0);
        check_seeks(m, h, &rng);
        check_rangedels(m, h, &rng);
        memtable_unref(m);
        free(h);
    }
}

/* ---- many threads ---- */

enum { WRITERS = 4, READERS = 2 };

struct shared {
    struct memtable *m;
    struct history *h;
    /* Each thread's part is inserted below this number. One for each writer, the last for the
     * tombstones. */
    _Atomic uint64_t done_below[WRITERS + 1];
    atomic_int wrong;
};

struct worker {
    struct shared *shared;
    unsigned number;
    uint64_t rng;
    pthread_t thread;
};

static bool is_mine(const struct worker *w, uint32_t i)
{
    bool is_rangedel = w->shared->h->ops[i].type == ENTRY_RANGE_DELETE;
    return w->number == WRITERS ? is_rangedel : !is_rangedel && i % WRITERS == w->number;
}

static void *write_part(void *arg)
{
    struct worker *w = arg;
    for (uint32_t i = 0; i < OPS; i++) {
        if (is_mine(w, i))
            apply(w->shared->m, w->shared->h, i);
        atomic_store_explicit(&w->shared->done_below[w->number], i + 2, memory_order_release);
    }
    return NULL;
}

static uint64_t published(struct shared *s)
{
    uint64_t all = UINT64_MAX;
    for (unsigned i = 0; i <= WRITERS; i++) {
        uint64_t mine = atomic_load_explicit(&s->done_below[i], memory_order_acquire);
        all = mine < all ? mine : all;
    }
    return all;
}

static void *read_all_along(void *arg)
{
    struct worker *w = arg;
    struct shared *s = w->shared;
    unsigned wrong = 0;
    uint64_t read_seq;
    do {
        read_seq = published(s);
        for (int i = 0; i < 50; i++) {
            unsigned key = (unsigned)rand_from(&w->rng, KEYS);
            uint64_t older = read_seq - rand_from(&w->rng, read_seq < 50 ? read_seq : 50);
            wrong += check_get(s->m, s->h, key, older, newest_below(s->h, key, older));
        }
        wrong += check_walk(s->m, s->h, read_seq, rand_from(&w->rng, 2));
    } while (read_seq <= OPS);
    atomic_fetch_add(&s->wrong, (int)wrong);
    return NULL;
}

static void run_threads(uint64_t *rng, unsigned rangedel_percent)
{
    struct shared s = {.m = memtable_new(), .h = history_new(rng, rangedel_percent)};
    struct worker workers[WRITERS + 1 + READERS];
    for (unsigned i = 0; i <= WRITERS; i++)
        atomic_init(&s.done_below[i], 1);
    for (unsigned i = 0; i < WRITERS + 1 + READERS; i++) {
        workers[i] = (struct worker){.shared = &s, .number = i, .rng = *rng + i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL,
                                        i <= WRITERS ? write_part : read_all_along, &workers[i]),
                         0);
    }
    for (unsigned i = 0; i < WRITERS + 1 + READERS; i++)
        pthread_join(workers[i].thread, NULL);
    assert_int_equal(atomic_load(&s.wrong), 0);

    assert_int_equal(memtable_entry_count(s.m), s.h->points_below[OPS + 1]);
    assert_int_equal(check_walk(s.m, s.h, OPS + 1, true), 0);
    assert_int_equal(check_walk(s.m, s.h, OPS + 1, false), 0);
    for (unsigned key = 0; key < KEYS; key++) {
        for (uint64_t read_seq = 1; read_seq <= OPS + 1; read_seq += 1 + rand_from(rng, 500)) {
            uint32_t newest = newest_below(s.h, key, read_seq);
            assert_int_equal(check_get(s.m, s.h, key, read_seq, newest), 0);
        }
    }
    check_rangedels(s.m, s.h, rng);
    memtable_unref(s.m);
    free(s.h);
}

static void test_threads(void **state)
{
    (void)state;
    uint64_t rng = unit_seed();
    run_threads(&rng, 0);
    run_threads(&rng, 5);
    run_threads(&rng, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),  cmocka_unit_test(test_references),
        cmocka_unit_test(test_counts), cmocka_unit_test(test_large_value),
        cmocka_unit_test(test_random), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
