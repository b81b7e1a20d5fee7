/* lookup: the rules of one point read, source by source; and against a model that sees everything
 * at once. */
#include "store/lookup.h"

#include <stdio.h>

#include "store/filter.h"
#include "tests/unit/unit.h"

static const struct slice KEY = {(const uint8_t *)"key", 3};

static struct entry entry_at(uint64_t seq, enum entry_type type, const char *value)
{
    return (struct entry){.key = KEY, .seq = seq, .type = type, .value = slice_str(value)};
}

static bool offer(struct lookup *l, uint64_t seq, enum entry_type type, const char *value)
{
    struct entry e = entry_at(seq, type, value);
    return lookup_entry(l, &e, NULL);
}

static struct slice operand(const struct lookup *l, uint32_t i)
{
    return slice_of(l->bytes.data + l->operands[i].offset, l->operands[i].len);
}

static void test_init(void **state)
{
    (void)state;
    struct lookup l;
    lookup_init(&l, KEY, 7);
    assert_int_equal(l.hash, filter_hash(KEY));
    assert_int_equal(l.read_seq, 7);
    assert_false(lookup_done(&l));
    lookup_end(&l);
    assert_true(lookup_done(&l));
    assert_int_equal(l.state, LOOKUP_ABSENT);
    lookup_release(&l, NULL);
}

static void test_put(void **state)
{
    (void)state;
    struct lookup l;
    lookup_init(&l, KEY, 10);
    assert_false(offer(&l, 9, ENTRY_PUT, "value"));
    assert_int_equal(l.state, LOOKUP_FOUND);
    assert_int_equal(l.type, ENTRY_PUT);
    assert_slice_str(l.base, "value");
    assert_null(l.pin);
    lookup_end(&l);
    assert_int_equal(l.state, LOOKUP_FOUND);
    lookup_release(&l, NULL);
}

static void test_delete(void **state)
{
    (void)state;
    struct lookup l;
    lookup_init(&l, KEY, 10);
    assert_false(offer(&l, 3, ENTRY_DELETE, ""));
    assert_int_equal(l.state, LOOKUP_ABSENT);
    lookup_release(&l, NULL);
}

static void test_operands_then_base(void **state)
{
    (void)state;
    struct lookup l;
    lookup_init(&l, KEY, 100);
    assert_true(offer(&l, 90, ENTRY_MERGE, "new"));
    assert_true(offer(&l, 80, ENTRY_MERGE_BLOB, "older"));
    assert_true(offer(&l, 70, ENTRY_MERGE, ""));
    assert_false(offer(&l, 60, ENTRY_PUT_BLOB, "base"));
    assert_int_equal(l.state, LOOKUP_FOUND);
    assert_int_equal(l.type, ENTRY_PUT_BLOB);
    assert_int_equal(l.operand_count, 3);
    assert_slice_str(operand(&l, 0), "new");
    assert_slice_str(operand(&l, 1), "older");
    assert_slice_str(operand(&l, 2), "");
    assert_int_equal(l.operands[1].type, ENTRY_MERGE_BLOB);
    lookup_release(&l, NULL);
}

static void test_operands_without_base(void **state)
{
    (void)state;
    struct lookup l;
    lookup_init(&l, KEY, 100);
    for (uint64_t seq = 99; seq > 59; seq--)
        assert_true(offer(&l, seq, ENTRY_MERGE, "x"));
    assert_false(offer(&l, 20, ENTRY_DELETE, ""));
    assert_int_equal(l.state, LOOKUP_ABSENT);
    assert_int_equal(l.operand_count, 40);
    lookup_release(&l, NULL);
}

/* A tombstone hides what is older than it, keeps what is newer, and ends the gathering. */
static void test_cover(void **state)
{
    (void)state;
    struct lookup l;
    lookup_init(&l, KEY, 100);
    lookup_cover(&l, 50);
    assert_true(offer(&l, 60, ENTRY_MERGE, "kept"));
    assert_false(offer(&l, 40, ENTRY_MERGE, "hidden"));
    assert_int_equal(l.state, LOOKUP_ABSENT);
    assert_int_equal(l.operand_count, 1);
    lookup_release(&l, NULL);

    lookup_init(&l, KEY, 100);
    lookup_cover(&l, 50);
    lookup_cover(&l, 0);
    lookup_cover(&l, 30); /* of an older source */
    assert_int_equal(l.cover_seq, 50);
    assert_true(lookup_covered(&l, 49));
    assert_false(lookup_covered(&l, 50));
    assert_false(lookup_covered(&l, 51));
    assert_false(offer(&l, 40, ENTRY_PUT, "hidden"));
    assert_int_equal(l.state, LOOKUP_ABSENT);
    lookup_release(&l, NULL);
}

static void test_pin(void **state)
{
    (void)state;
    struct cache *cache = cache_new(0);
    struct cache_item *block = cache_put(cache, 1, 1, slice_str("block"));
    struct lookup l;
    lookup_init(&l, KEY, 100);
    struct entry merge = entry_at(20, ENTRY_MERGE, "m"), put = entry_at(10, ENTRY_PUT, "");
    put.value = block->data;
    assert_true(lookup_entry(&l, &merge, block));
    assert_null(l.pin);
    assert_false(lookup_entry(&l, &put, block));
    assert_ptr_equal(l.pin, block);
    cache_release(cache, block); /* the reader's own pin; the lookup's remains */
    assert_slice_str(l.base, "block");
    lookup_release(&l, cache);

    struct cache_stats stats;
    cache_stats(cache, &stats);
    assert_int_equal(stats.items, 0);
    cache_free(cache);
}

/* ---- against a model ---- */

enum { OPS = 12, SOURCES = 4 };

struct op {
    bool is_tombstone;
    enum entry_type type;
    char value[8];
};

static uint64_t rng;

static uint64_t rand_below(uint64_t n)
{
    rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (rng >> 33) % n;
}

/* ops[i] has number i + 1. Newest first over the whole history, no notion of sources. */
static void check_against_model(const struct op *ops, uint64_t read_seq, const struct lookup *l)
{
    uint32_t operands = 0;
    enum lookup_state expected = LOOKUP_ABSENT;
    for (uint64_t seq = read_seq - 1; seq >= 1; seq--) {
        const struct op *op = &ops[seq - 1];
        if (op->is_tombstone || op->type == ENTRY_DELETE)
            break;
        if (!entry_type_is_merge(op->type)) {
            expected = LOOKUP_FOUND;
            assert_int_equal(l->state, LOOKUP_FOUND);
            assert_int_equal(l->type, op->type);
            assert_slice_str(l->base, op->value);
            break;
        }
        assert_true(operands < l->operand_count);
        assert_int_equal(l->operands[operands].type, op->type);
        assert_slice_str(operand(l, operands), op->value);
        operands++;
    }
    assert_int_equal(l->state, expected);
    assert_int_equal(l->operand_count, operands);
}

/* The source of numbers [low, high]. */
static void ask_source(struct lookup *l, const struct op *ops, uint64_t low, uint64_t high)
{
    uint64_t newest = high < l->read_seq ? high : l->read_seq - 1;
    for (uint64_t seq = newest; seq >= low; seq--) {
        if (ops[seq - 1].is_tombstone) {
            lookup_cover(l, seq);
            break;
        }
    }
    for (uint64_t seq = newest; seq >= low; seq--)
        if (!ops[seq - 1].is_tombstone && !offer(l, seq, ops[seq - 1].type, ops[seq - 1].value))
            return;
}

static void random_history(struct op *ops)
{
    for (uint64_t i = 0; i < OPS; i++) {
        ops[i] = (struct op){.is_tombstone = rand_below(6) == 0};
        /* Mostly operands, so that histories reach over several sources. */
        ops[i].type = rand_below(2) ? ENTRY_MERGE : (enum entry_type)rand_below(5);
        if (ops[i].type != ENTRY_DELETE)
            snprintf(ops[i].value, sizeof ops[i].value, "v%u", (unsigned)i);
    }
}

static void test_random(void **state)
{
    (void)state;
    rng = unit_seed();
    for (int round = 0; round < 20000; round++) {
        struct op ops[OPS];
        random_history(ops);
        bool skip_covered = rand_below(2);
        for (uint64_t read_seq = 1; read_seq <= OPS + 1; read_seq++) {
            struct lookup l;
            lookup_init(&l, KEY, read_seq);
            for (uint64_t s = SOURCES; s > 0 && !lookup_done(&l); s--) {
                uint64_t low = (s - 1) * OPS / SOURCES + 1, high = s * OPS / SOURCES;
                if (!(skip_covered && lookup_covered(&l, high)))
                    ask_source(&l, ops, low, high);
            }
            lookup_end(&l);
            check_against_model(ops, read_seq, &l);
            lookup_release(&l, NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_delete),
        cmocka_unit_test(test_operands_then_base),
        cmocka_unit_test(test_operands_without_base),
        cmocka_unit_test(test_cover),
        cmocka_unit_test(test_pin),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
