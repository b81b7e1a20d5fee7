/* Random operations, sensible and not, on a real file system and on a model of one: results,
 * errors and all that can be seen have to be the same. OPS=n sets how many. */
#include "tests/unit/vol.h"

#include "tests/sim/fsmodel.h"

struct play {
    struct vol v;
    struct fsmodel m;
    struct fsmodel pinned[3]; /* as the model was */
    bool has_pin[3];
    uint64_t *inos;
    size_t ino_count;
};

static void begin(struct play *p, size_t ops)
{
    struct fs_attr a, want = {.uid = 7, .gid = 8, .mode = 0755};
    *p = (struct play){.inos = calloc(ops + 1, sizeof *p->inos), .ino_count = 1};
    vol_make(&p->v, FSMODEL_CHUNK);
    p->v.options.atime = FS_ATIME_STRICT; /* each comparison reads */
    vol_reopen(&p->v);
    assert_ok(fs_setattr(p->v.fs, FS_INO_ROOT, FS_SET_UID | FS_SET_GID | FS_SET_MODE, &want, &a));
    fsmodel_init(&p->m);
    p->inos[0] = FS_INO_ROOT;
}

static void assert_equal(struct play *p, const struct fsmodel *m, uint64_t snapshot)
{
    char why[256];
    if (!fsmodel_equals(m, p->v.fs, snapshot, NULL, why))
        fail_msg("snapshot %d: %s", (int)snapshot, why);
}

static void end(struct play *p)
{
    assert_equal(p, &p->m, 0);
    for (int i = 0; i < 3; i++)
        if (p->has_pin[i])
            fsmodel_release(&p->pinned[i]);
    fsmodel_release(&p->m);
    free(p->inos);
    vol_free(&p->v);
}

static void copy_model(struct fsmodel *to, const struct fsmodel *from)
{
    *to = (struct fsmodel){.nodes = mem_dup(from->nodes, from->count * sizeof *from->nodes),
                           .count = from->count,
                           .cap = from->count};
    for (size_t i = 0; i < to->count; i++) {
        to->nodes[i].data = (struct buf){0};
        buf_append(&to->nodes[i].data, buf_slice(&from->nodes[i].data));
        for (int x = 0; x < FSMODEL_XATTRS; x++) {
            to->nodes[i].xattr[x] = (struct buf){0};
            buf_append(&to->nodes[i].xattr[x], buf_slice(&from->nodes[i].xattr[x]));
        }
    }
}

static void change_pin(struct play *p, int pin, bool wanted)
{
    char name[24];
    snprintf(name, sizeof name, "s%d", pin);
    if (wanted == p->has_pin[pin])
        return;
    p->has_pin[pin] = wanted;
    if (wanted) {
        assert_ok(fs_snapshot_create(p->v.fs, name));
        copy_model(&p->pinned[pin], &p->m);
    } else {
        assert_ok(fs_snapshot_delete(p->v.fs, name));
        fsmodel_release(&p->pinned[pin]);
    }
}

static void check_pins(struct play *p)
{
    for (int i = 0; i < 3; i++) {
        char name[24];
        snprintf(name, sizeof name, "s%d", i);
        uint64_t root = vol_find(&p->v, FS_INO_SNAPSHOTS, name);
        assert_int_equal(root != 0, p->has_pin[i]);
        if (root)
            assert_equal(p, &p->pinned[i], root >> FS_INO_BITS);
    }
}

static void step(struct play *p, struct simrng *r)
{
    struct fsop op;
    char text[160];
    fsmodel_random(&p->m, r, true, &op);
    fsop_print(&op, text);
    int expected = fsmodel_apply(&p->m, &op);
    switch (op.kind) {
    case FSOP_SYNC:
        assert_ok(fs_fsync(p->v.fs, FS_INO_ROOT, false));
        break;
    case FSOP_WORK:
        assert_true(fs_work(p->v.fs) >= 0);
        break;
    case FSOP_SNAPSHOT:
    case FSOP_UNSNAPSHOT:
        change_pin(p, op.pin, op.kind == FSOP_SNAPSHOT);
        break;
    case FSOP_REOPEN:
        if (op.fill % 2)
            vol_crash(&p->v, SIM_KEEP_ALL);
        else
            vol_reopen(&p->v);
        assert_equal(p, &p->m, 0);
        break;
    default: {
        int err = fsop_play(p->v.fs, &op, p->inos, &p->ino_count);
        if (err != expected)
            fail_msg("%s: %d instead of %d", text, err, expected);
        assert_int_equal(p->ino_count, p->m.count);
    }
    }
}

static void test_random(void **state)
{
    (void)state;
    const char *given = getenv("OPS");
    size_t ops = given ? strtoull(given, NULL, 0) : 15000;
    uint64_t seed = unit_seed();
    struct simrng r = {seed};
    /* Many short lives and a long one: short ones are full of firsts. */
    for (size_t done = 0, length; done < ops; done += length) {
        struct play p;
        length = done < ops / 2 ? 300 : ops - done;
        begin(&p, length);
        for (size_t i = 0; i < length; i++) {
            step(&p, &r);
            if (i % 500 == 0) {
                assert_equal(&p, &p.m, 0);
                check_pins(&p);
            }
        }
        check_pins(&p);
        vol_settle(&p.v);
        assert_ok(fs_compact(p.v.fs));
        check_pins(&p);
        end(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
