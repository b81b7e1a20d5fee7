/* simdisk: what a random crash leaves of the contents of a file: all that may be, and nothing else.
 */
#include "tests/sim/simdisk.h"
#include "tests/unit/env_place.h"

enum { SEEDS = 600, SECTOR = 512 };

static void sync_all_names(struct place *p)
{
    assert_ok(p->env->sync_dir(p->env, "/"));
    assert_ok(p->env->sync_dir(p->env, p->folder));
}

/* A durable file. */
static void keep(struct place *p, const char *name, const char *text)
{
    file_make(p->env, in(p, name), text);
    file_sync(p->env, in(p, name));
    sync_all_names(p);
}

/* A durable file of 2000 'd', then 3000 'x' at 1500 that are not synced. */
enum { OLD_END = 2000, FROM = 1500, NEW_END = 4500 };

struct outcome {
    bool lost, whole, torn, scattered, shorter, zeros, garbage, holes;
};

/* Checks all that must hold of the file after a crash, and says what has happened to the write. */
static struct outcome judge(struct slice s)
{
    struct outcome o = {0};
    size_t x = 0, zeros = 0, garbage = 0, kept_sectors = 0, prefix;
    assert_true(s.len >= OLD_END && s.len <= NEW_END);
    for (size_t i = 0; i < s.len; i++) {
        bool is_x = s.data[i] == 'x' && i >= FROM;
        assert_true(is_x || i >= OLD_END || s.data[i] == 'd');
        if (i > FROM && i % SECTOR && i < OLD_END)
            assert_int_equal(is_x, s.data[i - 1] == 'x'); /* within a sector, all or nothing */
        x += is_x;
        zeros += s.data[i] == 0;
        garbage += i >= OLD_END && !is_x && s.data[i] != 0;
    }
    for (prefix = 0; FROM + prefix < s.len && s.data[FROM + prefix] == 'x';)
        prefix++;
    kept_sectors = x / SECTOR;
    o.lost = x == 0 && s.len == OLD_END;
    o.whole = x == NEW_END - FROM;
    o.torn = x == prefix && x && !o.whole && (FROM + x) % SECTOR == 0 && FROM + x == s.len;
    o.scattered = x > prefix && kept_sectors > 0;
    o.shorter = o.scattered && s.len < NEW_END;
    o.holes = o.scattered && garbage > SECTOR / 2;
    o.zeros = x == 0 && s.len == NEW_END && zeros == NEW_END - OLD_END;
    o.garbage = garbage > 1000;
    return o;
}

static void test_random_writes(void **state)
{
    struct place *p = *state;
    char *old = mem_zalloc(OLD_END + 1), *fresh = mem_zalloc(NEW_END - FROM + 1);
    memset(old, 'd', OLD_END);
    memset(fresh, 'x', NEW_END - FROM);
    keep(p, "a", old);
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_WRITE);
    file_write(f, FROM, fresh);
    f->ops->close(f);
    int lost = 0, whole = 0, torn = 0, scattered = 0, zeros = 0, garbage = 0;
    int shorter = 0, holes = 0;
    struct buf b = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct simdisk *copy = simdisk_clone(p->disk);
        simdisk_crash(copy, SIM_RANDOM, seed);
        assert_ok(simdisk_get(copy, in(p, "a"), &b));
        struct outcome o = judge(buf_slice(&b));
        lost += o.lost;
        whole += o.whole;
        torn += o.torn;
        scattered += o.scattered;
        shorter += o.shorter;
        holes += o.holes;
        zeros += o.zeros;
        garbage += o.garbage;
        simdisk_free(copy);
    }
    assert_true(lost > SEEDS / 20 && whole > SEEDS / 20 && torn > SEEDS / 40);
    assert_true(scattered > SEEDS / 40 && shorter && zeros && garbage && holes);
    buf_release(&b);
    free(old);
    free(fresh);
}

/* Each of a row of writes and truncations may be kept or lost, whatever became of the others. */
static void test_random_lists(void **state)
{
    struct place *p = *state;
    keep(p, "a", "....");
    struct env_file *f = file_open(p->env, in(p, "a"), ENV_OPEN_WRITE);
    file_write(f, 0, "1");
    file_write(f, 1, "2");
    file_write(f, 2, "3");
    assert_ok(f->ops->truncate(f, 3));
    f->ops->close(f);
    bool seen[16] = {0};
    struct buf b = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct simdisk *copy = simdisk_clone(p->disk);
        simdisk_crash(copy, SIM_RANDOM, seed);
        assert_ok(simdisk_get(copy, in(p, "a"), &b));
        assert_true(b.len == 3 || (b.len == 4 && b.data[3] == '.'));
        int which = b.len == 3 ? 8 : 0;
        for (int i = 0; i < 3; i++) {
            assert_true(b.data[i] == '.' || b.data[i] == '1' + i);
            which |= (b.data[i] != '.') << i;
        }
        seen[which] = true;
        simdisk_free(copy);
    }
    for (int i = 0; i < 16; i++)
        assert_true(seen[i]);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_SIM(test_random_writes),
        PLACE_SIM(test_random_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
