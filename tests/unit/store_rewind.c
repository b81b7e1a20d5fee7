/* rewind: going back to a pin at once: what is there is what the pin held, with the pins before it;
 * against the model of the past. */
#include "tests/unit/past.h"

/* Takes from the model what came after the pin. */
static void rewind_model(struct past *p, size_t pin)
{
    uint64_t seq = p->pins[pin];
    while (p->count > 1 && p->states[p->count - 1].seq > seq)
        p->count--;
    for (size_t i = 0; i < PAST_PINS; i++)
        if (p->pins[i] > seq)
            p->pins[i] = 0;
}

static void rewind_to(struct past *p, size_t pin)
{
    struct rig *r = p->r;
    assert_ok(store_rewind(r->s, past_pin_name(pin)));
    rig_reopen(r);
    rewind_model(p, pin);
    past_assert_all(p, r->s);
}

/* A history that is gone back in again and again, and goes on from there. */
static void test_random_histories(void **state)
{
    struct rig *r = *state;
    struct past p;
    int rewound = 0;
    past_init(&p, r, unit_seed());
    r->opt.memtable_bytes = 16 << 10;
    r->opt.table_bytes = 8 << 10;
    r->opt.block_bytes = 256;
    rig_open(r);
    for (int i = 0; i < 2500; i++) {
        size_t pin = (size_t)simrng_below(&p.rng, PAST_PINS);
        past_step(&p);
        if (i % 40 == 0 && p.pins[pin]) {
            rewind_to(&p, pin);
            rewound++;
        }
        if (i % 100 == 50) {
            rig_compact(r);
            past_assert_all(&p, r->s);
        }
    }
    assert_true(rewound > 5);
    rig_compact(r);
    past_assert_all(&p, r->s);
    rig_close_clean(r);
    past_release(&p);
}

/* What was cut off comes back as space. */
static void test_space(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    rig_open(r);
    rig_fill(r, 0, 100, 3000, 0);
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    rig_fill(r, 0, 200, 9000, 5);
    rig_compact(r);
    assert_ok(store_rewind(r->s, "p"));
    rig_reopen(r);
    rig_work(r);
    rig_compact(r);
    rig_work(r);
    rig_assert_fill(r, 0, 100, 3000, 0);
    assert_int_equal(rig_count(r), 100);
    struct store_stats st = rig_stats(r);
    assert_true(st.blob_bytes < 100 * 3000 * 2);
    rig_close_clean(r);
}

static void test_refusals(void **state)
{
    struct rig *r = *state;
    struct store_pin pin;
    rig_open(r);
    rig_put(r, "a", "1");
    assert_ok(store_pin_create(r->s, "p", 0, &pin));
    rig_put(r, "a", "2");
    assert_absent(store_rewind(r->s, "none"));
    rig_assert(r, "a", "2");
    rig_close(r);
    r->opt.workers = 1;
    rig_open(r);
    assert_errno(store_rewind(r->s, "p"), EBUSY);
    rig_close(r);
    r->opt.workers = 0;
    r->opt.read_only = true;
    rig_open(r);
    assert_errno(store_rewind(r->s, "p"), EROFS);
    rig_close(r);
    r->opt.read_only = false;
    rig_open(r);
    rig_assert(r, "a", "2");
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_random_histories),
        RIG_SIM(test_space),
        RIG_POSIX(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
