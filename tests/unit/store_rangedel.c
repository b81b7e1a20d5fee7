/* rangedel: fragments and answers against a plain list of tombstones, for every key of a small
 * universe and every sequence number; the form on disk there and back; then payloads that are not
 * sound. */
#include "store/rangedel.h"

#include <errno.h>

#include "store/block.h"
#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

/* ---- the universe: all strings of up to three of three letters, and some long ones ---- */

enum { UNIVERSE_MAX = 100, KEY_MAX = 12, TOMBSTONES_MAX = 60, SEQ_TOP = 30 };

struct key {
    uint8_t bytes[KEY_MAX];
    size_t len;
};

static struct key universe[UNIVERSE_MAX];
static size_t universe_count;

static struct slice key_at(size_t i)
{
    return slice_of(universe[i].bytes, universe[i].len);
}

static int key_cmp(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    return slice_cmp(slice_of(x->bytes, x->len), slice_of(y->bytes, y->len));
}

static void add_strings(const char *prefix, size_t len)
{
    static const uint8_t letters[] = {0, 'm', 0xff};
    size_t prefix_len = strlen(prefix), count = 1;
    for (size_t i = 0; i < len; i++)
        count *= 3;
    for (size_t n = 0; n < count; n++) {
        struct key *k = &universe[universe_count++];
        memcpy(k->bytes, prefix, prefix_len);
        k->len = prefix_len + len;
        for (size_t i = 0, rest = n; i < len; i++, rest /= 3)
            k->bytes[prefix_len + i] = letters[rest % 3];
    }
}

static int make_universe(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 3; len++)
        add_strings("", len);
    for (size_t len = 0; len <= 2; len++) {
        add_strings("mmmmmmm", len); /* differ in the eighth byte and beyond */
        add_strings("mmmmmmmm", len);
    }
    assert_true(universe_count <= UNIVERSE_MAX);
    qsort(universe, universe_count, sizeof *universe, key_cmp);
    size_t kept = 0; /* the two long families have keys in common */
    for (size_t i = 0; i < universe_count; i++)
        if (kept == 0 || key_cmp(&universe[kept - 1], &universe[i]) != 0)
            universe[kept++] = universe[i];
    universe_count = kept;
    return 0;
}

/* ---- the model ---- */

struct tombstone {
    size_t start, end; /* in the universe */
    uint64_t seq;
};

struct model {
    struct tombstone t[TOMBSTONES_MAX];
    size_t count;
};

static void model_add(struct model *m, struct rangedel_builder *b, size_t start, size_t end,
                      uint64_t seq)
{
    assert_true(m->count < TOMBSTONES_MAX);
    m->t[m->count++] = (struct tombstone){start, end, seq};
    rangedel_builder_add(b, key_at(start), key_at(end), seq);
}

static void model_fill(struct model *m, struct rangedel_builder *b, struct simrng *rng)
{
    size_t count = simrng_below(rng, simrng_coin(rng) ? 6 : TOMBSTONES_MAX);
    size_t widest = simrng_coin(rng) ? 5 : universe_count;
    uint64_t top = simrng_coin(rng) ? 4 : SEQ_TOP - 1;
    size_t start = 0, end = 0;
    *m = (struct model){0};
    while (m->count < count) {
        uint64_t how = simrng_below(rng, 8);
        if (how == 0) /* in touch with the last, or the same again */
            start = end;
        else if (how > 1)
            start = simrng_below(rng, universe_count);
        end = start + simrng_below(rng, widest);
        if (end >= universe_count)
            end = simrng_below(rng, universe_count); /* maybe before the start */
        model_add(m, b, start, end, 1 + simrng_below(rng, top));
    }
}

/* The newest number below `read_seq` that hides key `k`; 0: none. */
static uint64_t model_cover(const struct model *m, size_t k, uint64_t read_seq)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct tombstone *t = &m->t[i];
        if (t->start <= k && k < t->end && t->seq < read_seq && t->seq > newest)
            newest = t->seq;
    }
    return newest;
}

static void check_fragments(const struct rangedel *r, const struct model *m)
{
    for (size_t i = 0; i < rangedel_count(r); i++) {
        struct rangedel_fragment f = rangedel_at(r, i), last = {0};
        assert_true(slice_cmp(f.start, f.end) < 0);
        assert_true(f.seq_count >= 1);
        for (uint32_t s = 1; s < f.seq_count; s++)
            assert_true(f.seqs[s - 1] > f.seqs[s]);
        if (i == 0)
            continue;
        last = rangedel_at(r, i - 1);
        assert_true(slice_cmp(last.end, f.start) <= 0);
        bool same = last.seq_count == f.seq_count &&
                    memcmp(last.seqs, f.seqs, f.seq_count * sizeof *f.seqs) == 0;
        assert_false(slice_eq(last.end, f.start) && same);
    }
    for (size_t k = 0; k < universe_count; k++) {
        size_t i = rangedel_find(r, key_at(k));
        assert_true(i == rangedel_count(r) || slice_cmp(rangedel_at(r, i).end, key_at(k)) > 0);
        assert_true(i == 0 || slice_cmp(rangedel_at(r, i - 1).end, key_at(k)) <= 0);
        if (i == rangedel_count(r) || slice_cmp(rangedel_at(r, i).start, key_at(k)) > 0) {
            assert_int_equal(model_cover(m, k, SEQ_MAX), 0);
            continue;
        }
        struct rangedel_fragment f = rangedel_at(r, i); /* every number, and no other */
        uint64_t read_seq = SEQ_MAX;
        for (uint32_t s = 0; s < f.seq_count; s++, read_seq = f.seqs[s - 1])
            assert_true(model_cover(m, k, read_seq) == f.seqs[s]);
        assert_int_equal(model_cover(m, k, read_seq), 0);
    }
}

static bool cover_has(const struct rangedel_cover *c, struct slice key)
{
    return slice_cmp(c->lo, key) <= 0 && (c->hi.len == 0 || slice_cmp(key, c->hi) < 0);
}

/* The interval is the whole fragment or the whole gap. */
static void check_reach(const struct rangedel *r, const struct rangedel_cover *c, struct slice key)
{
    size_t i = rangedel_find(r, key), count = rangedel_count(r);
    struct slice none = {0};
    struct slice before = i ? rangedel_at(r, i - 1).end : none;
    struct slice start = i < count ? rangedel_at(r, i).start : none;
    bool inside = i < count && slice_cmp(start, key) <= 0;
    assert_true(slice_eq(c->lo, inside ? start : before));
    assert_true(slice_eq(c->hi, inside ? rangedel_at(r, i).end : start));
    assert_true(inside || c->seq == 0);
}

static void check_covers(const struct rangedel *r, const struct model *m)
{
    for (size_t k = 0; k < universe_count; k++) {
        for (uint64_t read_seq = 0; read_seq <= SEQ_TOP; read_seq++) {
            struct rangedel_cover c;
            rangedel_cover(r, key_at(k), read_seq, &c);
            assert_true(c.seq == model_cover(m, k, read_seq));
            assert_true(cover_has(&c, key_at(k)));
            check_reach(r, &c, key_at(k));
            for (size_t n = k > 3 ? k - 3 : 0; n < universe_count && n < k + 3; n++)
                assert_true(!cover_has(&c, key_at(n)) || model_cover(m, n, read_seq) == c.seq);
        }
    }
}

static void assert_same(const struct rangedel *a, const struct rangedel *b)
{
    assert_int_equal(rangedel_count(a), rangedel_count(b));
    for (size_t i = 0; i < rangedel_count(a); i++) {
        struct rangedel_fragment x = rangedel_at(a, i), y = rangedel_at(b, i);
        assert_slice(x.start, y.start.data, y.start.len);
        assert_slice(x.end, y.end.data, y.end.len);
        assert_int_equal(x.seq_count, y.seq_count);
        assert_memory_equal(x.seqs, y.seqs, x.seq_count * sizeof *x.seqs);
    }
}

static void check_round_trip(const struct rangedel *r)
{
    struct buf payload = {0};
    struct rangedel *back;
    rangedel_encode(r, &payload);
    uint8_t *exact = mem_dup(payload.data, payload.len);
    assert_ok(rangedel_decode(slice_of(exact, payload.len), &back));
    memset(exact, 0xee, payload.len); /* nothing is borrowed from the payload */
    free(exact);
    assert_same(r, back);
    rangedel_unref(back);
    buf_release(&payload);
}

static void test_random(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct rangedel_builder *b = rangedel_builder_new();
    for (int round = 0; round < 1000; round++) {
        struct model m;
        model_fill(&m, b, &rng);
        struct rangedel *r = rangedel_build(b);
        assert_true(rangedel_builder_empty(b));
        check_fragments(r, &m);
        check_covers(r, &m);
        check_round_trip(r);
        rangedel_unref(r);
    }
    rangedel_builder_free(b);
}

/* Fragments given to another builder, as at a flush, come out as they were. */
static void test_again(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct rangedel_builder *b = rangedel_builder_new();
    for (int round = 0; round < 300; round++) {
        struct model m;
        model_fill(&m, b, &rng);
        struct rangedel *r = rangedel_build(b);
        for (size_t i = 0; i < rangedel_count(r); i++) {
            struct rangedel_fragment f = rangedel_at(r, i);
            for (uint32_t s = 0; s < f.seq_count; s++)
                rangedel_builder_add(b, f.start, f.end, f.seqs[s]);
        }
        struct rangedel *again = rangedel_build(b);
        assert_same(r, again);
        rangedel_unref(again);
        rangedel_unref(r);
    }
    rangedel_builder_free(b);
}

static void add(struct rangedel_builder *b, const char *start, const char *end, uint64_t seq)
{
    rangedel_builder_add(b, slice_str(start), slice_str(end), seq);
}

static void assert_fragment(const struct rangedel *r, size_t i, const char *start, const char *end,
                            uint64_t newest, uint32_t seq_count)
{
    struct rangedel_fragment f = rangedel_at(r, i);
    assert_slice_str(f.start, start);
    assert_slice_str(f.end, end);
    assert_true(f.seqs[0] == newest);
    assert_int_equal(f.seq_count, seq_count);
}

static void test_builder(void **state)
{
    (void)state;
    struct rangedel_builder *b = rangedel_builder_new();
    assert_true(rangedel_builder_empty(b));
    add(b, "b", "b", 1);
    add(b, "b", "a", 1);
    add(b, "b", "", 1);
    assert_true(rangedel_builder_empty(b));
    struct rangedel *r = rangedel_build(b), *other = rangedel_ref(r);
    assert_int_equal(rangedel_count(r), 0);
    struct rangedel_cover c;
    rangedel_cover(r, slice_str("a"), SEQ_MAX, &c);
    assert_true(c.seq == 0 && c.lo.len == 0 && c.hi.len == 0);
    check_round_trip(r);
    rangedel_unref(r);
    assert_int_equal(rangedel_count(other), 0);
    rangedel_unref(other);
    rangedel_unref(NULL);

    add(b, "c", "e", 7);
    add(b, "e", "g", 7); /* touches: one piece */
    add(b, "g", "h", 3); /* touches, but differs */
    add(b, "a", "b", SEQ_MAX);
    add(b, "f", "g", 7); /* a piece of what is there */
    add(b, "gg", "h", 9);
    assert_false(rangedel_builder_empty(b));
    r = rangedel_build(b);
    assert_int_equal(rangedel_count(r), 4);
    assert_fragment(r, 0, "a", "b", SEQ_MAX, 1);
    assert_fragment(r, 1, "c", "g", 7, 1);
    assert_fragment(r, 2, "g", "gg", 3, 1);
    assert_fragment(r, 3, "gg", "h", 9, 2);
    rangedel_unref(r);
    rangedel_builder_free(b);
    rangedel_builder_free(NULL);
}

/* Numbers of fragments that must not get out of hand, and work that would be felt if it did. */
static void test_many(void **state)
{
    (void)state;
    enum { MANY = 100000, DEEP = 1000 };
    struct rangedel_builder *b = rangedel_builder_new();
    uint8_t start[8], end[8];
    for (int touching = 0; touching < 2; touching++) {
        for (uint64_t i = 0; i < MANY; i++) {
            uint64_t at = i * 7919 % MANY; /* each once, in no order */
            put_be64(start, 2 * at);
            put_be64(end, 2 * at + 1 + (uint64_t)touching);
            rangedel_builder_add(b, slice_of(start, 8), slice_of(end, 8), 5);
        }
        struct rangedel *r = rangedel_build(b);
        assert_int_equal(rangedel_count(r), touching ? 1 : MANY);
        rangedel_unref(r);
    }
    for (uint64_t i = 0; i < DEEP; i++) { /* one within the other, and pieces of the innermost */
        put_be64(start, i);
        put_be64(end, 10 * MANY - i);
        rangedel_builder_add(b, slice_of(start, 8), slice_of(end, 8), 1 + i);
    }
    for (uint64_t i = DEEP; i < MANY; i++) {
        put_be64(start, i);
        put_be64(end, i + 1 + i % 3);
        rangedel_builder_add(b, slice_of(start, 8), slice_of(end, 8), DEEP);
    }
    struct rangedel *r = rangedel_build(b);
    assert_int_equal(rangedel_count(r), 2 * DEEP - 1);
    assert_int_equal(rangedel_at(r, DEEP - 1).seq_count, DEEP);
    check_round_trip(r);
    rangedel_unref(r);
    rangedel_builder_free(b);
}

/* A question costs as many comparisons as the list has binary digits (asserted in rangedel.c, where
 * they are made), of fragments as of the numbers of one. */
static void test_questions_are_cheap(void **state)
{
    (void)state;
    enum { MANY = 200000, NUMBERS = 5000 };
    struct rangedel_builder *b = rangedel_builder_new();
    struct rangedel_cover cover;
    uint8_t start[8], end[8];
    for (uint64_t i = 0; i < MANY; i++) {
        put_be64(start, i);
        put_be64(end, i + 1);
        rangedel_builder_add(b, slice_of(start, 8), slice_of(end, 8), 1 + NUMBERS + i);
    }
    put_be64(start, 77);
    put_be64(end, 78);
    for (uint64_t i = 0; i < NUMBERS; i++)
        rangedel_builder_add(b, slice_of(start, 8), slice_of(end, 8), 1 + i);
    struct rangedel *r = rangedel_build(b);
    assert_int_equal(rangedel_count(r), MANY);
    for (uint64_t i = 0; i < MANY; i += 1 + i / 50) {
        put_be64(start, i);
        rangedel_cover(r, slice_of(start, 8), SEQ_MAX, &cover);
        assert_int_equal(cover.seq, 1 + NUMBERS + i);
    }
    put_be64(start, 77);
    for (uint64_t read_seq = 1; read_seq <= NUMBERS; read_seq += 7) {
        rangedel_cover(r, slice_of(start, 8), read_seq, &cover);
        assert_int_equal(cover.seq, read_seq - 1);
    }
    rangedel_unref(r);
    rangedel_builder_free(b);
}

/* ---- unsound payloads ---- */

struct forged {
    const char *start;
    uint64_t seq;
    enum entry_type type;
    const char *value;
    size_t value_len;
};

static int decode_forged(const struct forged *f, size_t count)
{
    struct block_writer w;
    struct buf payload = {0};
    struct rangedel *r;
    block_writer_init(&w, BLOCK_RESTART_INTERVAL);
    for (size_t i = 0; i < count; i++) {
        struct entry e = {slice_str(f[i].start), f[i].seq, f[i].type, 0,
                          slice_of(f[i].value, f[i].value_len)};
        block_writer_add(&w, &e);
    }
    block_writer_finish(&w, &payload);
    int ret = rangedel_decode(buf_slice(&payload), &r);
    assert_int_equal(ret == 0, r != NULL);
    rangedel_unref(r);
    buf_release(&payload);
    block_writer_release(&w);
    return ret;
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        struct forged f[2];
        int ret;
    } cases[] = {
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1b", 2}, {"b", 9, ENTRY_RANGE_DELETE, "\1c\5\3", 4}}, 0},
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1c", 2}, {"b", 9, ENTRY_RANGE_DELETE, "\1c", 2}}, -EIO},
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1b", 2}, {"b", 9, ENTRY_PUT, "\1c", 2}}, -EIO},
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1b", 2}, {"b", 0, ENTRY_RANGE_DELETE, "\1c", 2}}, -EIO},
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1b", 2}, {"b", 9, ENTRY_RANGE_DELETE, "\1b", 2}}, -EIO},
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1b", 2}, {"b", 9, ENTRY_RANGE_DELETE, "\1a", 2}}, -EIO},
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1b", 2}, {"b", 9, ENTRY_RANGE_DELETE, "\2c", 2}}, -EIO},
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1b", 2}, {"b", 9, ENTRY_RANGE_DELETE, "", 0}}, -EIO},
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1b", 2}, {"b", 9, ENTRY_RANGE_DELETE, "\1c\0", 3}}, -EIO},
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1b", 2}, {"b", 9, ENTRY_RANGE_DELETE, "\1c\x8", 3}}, 0},
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1b", 2}, {"b", 9, ENTRY_RANGE_DELETE, "\1c\x9", 3}}, -EIO},
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1b", 2}, {"b", 9, ENTRY_RANGE_DELETE, "\1c\x85", 3}},
         -EIO},
        {{{"a", 9, ENTRY_RANGE_DELETE, "\1b", 2}, {"a", 8, ENTRY_RANGE_DELETE, "\1b", 2}}, -EIO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(decode_forged(cases[i].f, 2), cases[i].ret);
    struct rangedel *r;
    assert_errno(rangedel_decode(slice_str("no block"), &r), EIO);
    struct rangedel_builder *b = rangedel_builder_new();
    struct buf payload = {0};
    add(b, "a", "b", 9);
    add(b, "c", "d", 9);
    r = rangedel_build(b);
    rangedel_encode(r, &payload);
    rangedel_unref(r);
    payload.data[7]++; /* the second entry shares a byte of "a", and so comes before it */
    assert_errno(rangedel_decode(buf_slice(&payload), &r), EIO);
    payload.data[7] = 9; /* shares more than there is */
    assert_errno(rangedel_decode(buf_slice(&payload), &r), EIO);
    buf_release(&payload);
    rangedel_builder_free(b);
    assert_errno(rangedel_decode(slice_of(NULL, 0), &r), EIO);
    assert_null(r);
}

static void test_mutated(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct rangedel_builder *b = rangedel_builder_new();
    size_t accepted = 0;
    for (int round = 0; round < 500; round++) {
        struct model m;
        struct buf payload = {0};
        model_fill(&m, b, &rng);
        struct rangedel *r = rangedel_build(b), *back;
        rangedel_encode(r, &payload);
        rangedel_unref(r);
        for (int i = 0; i < 40; i++) {
            uint8_t *damaged = mem_dup(payload.data, payload.len);
            for (uint64_t n = 1 + simrng_below(&rng, 3); n > 0; n--)
                damaged[simrng_below(&rng, payload.len)] ^= (uint8_t)(1 << simrng_below(&rng, 8));
            int ret = rangedel_decode(slice_of(damaged, payload.len), &back);
            assert_true(ret == 0 || ret == -EIO);
            if (ret == 0) { /* then it is a sound list, if another one */
                check_round_trip(back);
                accepted++;
            }
            rangedel_unref(back);
            free(damaged);
        }
        buf_release(&payload);
    }
    assert_true(accepted > 0);
    rangedel_builder_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_builder),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_questions_are_cheap),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_mutated),
    };
    return cmocka_run_group_tests_name("rangedel", tests, make_universe, NULL);
}
