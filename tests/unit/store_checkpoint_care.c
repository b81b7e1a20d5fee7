/* Care for what two stores share: a scrub, the verifier, salvage, dump and healing of a checkpoint
 * and of the store that it was made of, plain and encrypted, with parity and without. On the
 * simulated disk, through the door. */
#include "tests/unit/kin.h"
#include "tests/unit/secret_rig.h"

enum { KEYS = 400, SMALL = 100, LARGE = 6000, LARGE_KEYS = 40 };

static void fill(struct rig *r)
{
    rig_fill(r, 0, KEYS, SMALL, 0);
    rig_fill(r, 1000, 1000 + LARGE_KEYS, LARGE, 0);
    rig_compact(r);
    rig_fill(r, KEYS, 2 * KEYS, SMALL, 0);
    rig_fill(r, 2000, 2000 + LARGE_KEYS, LARGE, 0);
    rig_delete_range(r, "k00009000", "k00009999");
    assert_ok(store_flush(r->s));
}

static void assert_all(struct rig *r)
{
    rig_assert_fill(r, 0, 2 * KEYS, SMALL, 0);
    rig_assert_fill(r, 1000, 1000 + LARGE_KEYS, LARGE, 0);
    rig_assert_fill(r, 2000, 2000 + LARGE_KEYS, LARGE, 0);
}

static struct store_scrub_status pass(struct rig *r)
{
    struct store_scrub_status st;
    int err;
    assert_ok(store_scrub_start(r->s));
    while ((err = store_scrub_step(r->s)) == 0)
        ;
    assert_int_equal(err, 1);
    store_scrub_status(r->s, &st);
    assert_false(st.running);
    return st;
}

/* Both stores, open. */
struct pair {
    struct rig *r;
    struct rig copy;
    bool parity;
};

static struct pair pair_make(struct rig *r, bool parity, const char *pin)
{
    struct pair p = {.r = r, .parity = parity};
    struct store_pin made;
    r->opt.parity_data = parity ? 8 : 0;
    r->opt.parity_shards = parity ? 2 : 0;
    p.copy = kin_beside(r, "-copy");
    rig_open(r);
    fill(r);
    if (pin) {
        assert_ok(store_pin_create(r->s, pin, 0, &made));
        rig_fill(r, 0, 50, SMALL, 5);
        rig_fill(r, 1000, 1005, LARGE, 5);
        rig_delete_range(r, rig_key(100), rig_key(200));
        rig_compact(r);
    }
    kin_make(r, &p.copy, pin);
    if (pin) { /* so that both have the same again */
        rig_fill(r, 0, 200, SMALL, 0);
        rig_fill(r, 1000, 1005, LARGE, 0);
    }
    rig_open(&p.copy);
    return p;
}

static int no_finding(void *ctx, const struct store_finding *f)
{
    (void)ctx;
    fail_msg("salvage says: %d %s: %s", f->code, f->file, f->text);
    return 0;
}

/* Nothing is found wrong by anybody. Leaves it open. */
static void assert_well(struct rig *r)
{
    struct store_salvage_report report;
    assert_all(r);
    struct store_scrub_status st = pass(r);
    assert_true(st.frames > 10);
    assert_int_equal(st.damaged, 0);
    assert_int_equal(st.repaired, 0);
    assert_int_equal(st.parity_made, 0);
    rig_close_clean(r);
    assert_absent(store_salvage(r->dir, &r->opt, no_finding, NULL, NULL, &report));
    rig_open(r);
    assert_all(r);
}

/* Every table and blob file of the store has a companion, or none has. */
static void assert_companions(struct rig *r, bool there)
{
    int files = rig_files(r, FILE_TABLE).count + rig_files(r, FILE_BLOB).count;
    assert_true(files > 3);
    assert_int_equal(rig_files(r, FILE_PARITY).count, there ? files : 0);
}

static void end(struct pair *p)
{
    assert_well(&p->copy);
    assert_well(p->r);
    rig_close_clean(&p->copy);
    rig_close_clean(p->r);
}

/* ---- nothing is wrong ---- */

static void well(struct rig *r, bool parity, const char *pin)
{
    struct pair p = pair_make(r, parity, pin);
    if (!pin)
        assert_companions(&p.copy, parity);
    assert_well(&p.copy);
    rig_fill(&p.copy, 3000, 3100, SMALL, 0);
    rig_fill(&p.copy, 4000, 4010, LARGE, 0);
    assert_well(&p.copy);
    rig_compact(&p.copy);
    rig_work(&p.copy);
    end(&p);
}

static void test_plain(void **state)
{
    well(*state, false, NULL);
}

static void test_parity(void **state)
{
    well(*state, true, NULL);
}

static void test_plain_at_a_pin(void **state)
{
    well(*state, false, "p");
}

static void test_parity_at_a_pin(void **state)
{
    well(*state, true, "p");
}

/* A scrub gives shared files the companions that only one of the two wants. */
static void test_parity_in_the_copy_alone(void **state)
{
    struct pair p = pair_make(*state, false, NULL);
    assert_companions(&p.copy, false);
    rig_close(&p.copy);
    p.copy.opt.parity_data = 8;
    p.copy.opt.parity_shards = 2;
    rig_open(&p.copy);
    struct store_scrub_status st = pass(&p.copy);
    assert_true(st.parity_made > 3);
    assert_companions(&p.copy, true);
    assert_companions(p.r, false);
    /* They are of use. */
    struct rig_names n = rig_files(&p.copy, FILE_TABLE);
    rig_flip(&p.copy, FILE_TABLE, n.number[0], FILE_HEADER_SIZE + 40);
    rig_reopen(&p.copy);
    st = pass(&p.copy);
    assert_int_equal(st.repaired, 1);
    rig_work(&p.copy);
    assert_well(&p.copy);
    rig_close(&p.copy);
    rig_close(p.r);
}

/* Where no links can be had the companions are copied. */
static void test_companions_are_copied(void **state)
{
    struct rig *r = *state;
    struct sim_fault fault = {.call = SIM_LINK, .err = -EXDEV, .sticky = true};
    simdisk_fail(r->disk, &fault);
    struct pair p = pair_make(r, true, NULL);
    simdisk_heal(r->disk);
    assert_companions(&p.copy, true);
    rig_flip(&p.copy, FILE_TABLE, rig_files(&p.copy, FILE_TABLE).number[0], FILE_HEADER_SIZE + 40);
    rig_reopen(&p.copy);
    struct store_scrub_status st = pass(&p.copy);
    assert_true(st.repaired == 1 && st.damaged == 0);
    rig_work(&p.copy);
    end(&p);
}

/* ---- healing ---- */

/* Damage in each shared file; first one store heals, then the other. */
static void heal_both(struct rig *r, bool copy_first)
{
    struct pair p = pair_make(r, true, NULL);
    struct rig *one = copy_first ? &p.copy : p.r, *two = copy_first ? p.r : &p.copy;
    rig_close(one);
    rig_close(two);
    static const enum file_kind kinds[] = {FILE_TABLE, FILE_BLOB};
    int files = 0;
    for (int k = 0; k < 2; k++) {
        struct rig_names n = rig_files(&p.copy, kinds[k]);
        for (int i = 0; i < n.count; i++, files++)
            rig_flip(r, kinds[k], n.number[i], FILE_HEADER_SIZE + 40);
    }
    rig_open(one);
    rig_open(two);
    struct store_scrub_status st = pass(one);
    assert_int_equal(st.damaged, 0);
    assert_int_equal(st.repaired, files);
    rig_work(one);
    assert_well(one);
    /* The other has the damage still, and what makes up for it. */
    assert_all(two);
    rig_reopen(two); /* what reading has noted is forgotten: the pass is to find it */
    st = pass(two);
    assert_int_equal(st.damaged, 0);
    assert_int_equal(st.repaired, files);
    rig_work(two);
    end(&p);
}

static void test_copy_heals_first(void **state)
{
    heal_both(*state, true);
}

static void test_origin_heals_first(void **state)
{
    heal_both(*state, false);
}

/* One of the two ends, with all its files: the other has its own names for what it needs. */
static void test_origin_moves_on(void **state)
{
    struct pair p = pair_make(*state, true, NULL);
    rig_fill(p.r, 0, 2 * KEYS, SMALL, 9);
    rig_fill(p.r, 1000, 1000 + LARGE_KEYS, LARGE, 9);
    rig_fill(p.r, 2000, 2000 + LARGE_KEYS, LARGE, 9);
    rig_compact(p.r);
    rig_work(p.r);
    assert_companions(&p.copy, true);
    rig_flip(&p.copy, FILE_BLOB, rig_files(&p.copy, FILE_BLOB).number[0], FILE_HEADER_SIZE + 40);
    rig_reopen(&p.copy);
    assert_int_equal(pass(&p.copy).repaired, 1);
    rig_work(&p.copy);
    assert_well(&p.copy);
    rig_close_clean(&p.copy);
    rig_close_clean(p.r);
}

/* ---- damage that cannot be made up for ---- */

static int hear(void *ctx, const struct store_finding *f)
{
    assert_int_equal(f->code, FINDING_SCRUB);
    snprintf(ctx, 64, "%s", f->file);
    return 0;
}

static void test_damage_is_told_by_both(void **state)
{
    struct pair p = pair_make(*state, false, NULL);
    uint64_t number = rig_files(&p.copy, FILE_TABLE).number[0];
    rig_flip(p.r, FILE_TABLE, number, FILE_HEADER_SIZE + 40);
    struct rig *both[] = {p.r, &p.copy};
    for (int i = 0; i < 2; i++) {
        char heard[64] = "", name[64];
        rig_reopen(both[i]);
        store_scrub_listen(both[i]->s, hear, heard);
        struct store_scrub_status st = pass(both[i]);
        assert_int_equal(st.damaged, 1);
        snprintf(name, sizeof name, "%06" PRIu64 ".table", number);
        assert_string_equal(heard, name);
        rig_close(both[i]);
        assert_int_equal(rig_check(both[i]).damage, 1);
    }
}

/* ---- dump ---- */

struct shown {
    int ancestors, damage, files;
};

static int show(void *ctx, const struct store_item *item)
{
    struct shown *s = ctx;
    s->ancestors += strcmp(item->what, "ancestor") == 0;
    s->damage += strcmp(item->what, "damage") == 0;
    s->files += strcmp(item->what, "file") == 0;
    return 0;
}

static void test_dump(void **state)
{
    struct pair p = pair_make(*state, false, NULL);
    struct rig *copy = &p.copy;
    static const enum file_kind kinds[] = {FILE_TABLE, FILE_BLOB, FILE_MANIFEST};
    for (int k = 0; k < 3; k++) {
        struct rig_names n = rig_files(copy, kinds[k]);
        for (int i = 0; i < n.count; i++) {
            struct shown s = {0};
            struct store_dump_options o = {0};
            const char *slash = strrchr(rig_file(copy, kinds[k], n.number[i]), '/');
            assert_ok(store_dump(copy->dir, &copy->opt, slash + 1, &o, show, &s));
            assert_int_equal(s.damage, 0);
            assert_int_equal(s.files, 1);
            assert_int_equal(s.ancestors, kinds[k] == FILE_MANIFEST);
        }
    }
    rig_close(copy);
    rig_close(p.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_plain),
        RIG_SIM(test_parity),
        RIG_SIM(test_plain_at_a_pin),
        RIG_SIM(test_parity_at_a_pin),
        RIG_ENCRYPTED(test_plain),
        RIG_ENCRYPTED(test_parity),
        RIG_ENCRYPTED(test_plain_at_a_pin),
        RIG_ENCRYPTED(test_parity_at_a_pin),
        RIG_SIM(test_parity_in_the_copy_alone),
        RIG_ENCRYPTED(test_parity_in_the_copy_alone),
        RIG_SIM(test_companions_are_copied),
        RIG_SIM(test_copy_heals_first),
        RIG_SIM(test_origin_heals_first),
        RIG_ENCRYPTED(test_copy_heals_first),
        RIG_ENCRYPTED(test_origin_heals_first),
        RIG_SIM(test_origin_moves_on),
        RIG_SIM(test_damage_is_told_by_both),
        RIG_ENCRYPTED(test_damage_is_told_by_both),
        RIG_SIM(test_dump),
        RIG_ENCRYPTED(test_dump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
