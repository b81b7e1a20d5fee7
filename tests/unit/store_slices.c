/* compact_slice, and all that has to know of tables that are cut in front: compactions that are too
 * large for what is free go in slices, and give back in between what they have taken. */
#include "tests/unit/secret_rig.h"
#include "tests/unit/sliced.h"

#include "store/store_priv.h"

/* ---- short words ---- */

static void deny_holes(struct rig *r)
{
    simdisk_fail(r->disk,
                 &(struct sim_fault){.call = SIM_PUNCH, .err = -EOPNOTSUPP, .sticky = true});
}

/* Tables that are cut, and the bytes before their fronts. */
static uint32_t cut_tables(struct rig *r, uint64_t *gone)
{
    struct view *v = viewbox_get(r->s->tree.box);
    uint32_t count = 0;
    *gone = 0;
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < v->version->levels[l].count; i++) {
            const struct table_meta *m = v->version->levels[l].tables[i]->meta;
            count += m->front > 0;
            *gone += m->size_bytes - table_meta_bytes(m);
        }
    view_unref(v);
    return count;
}

/* One of them that has entries and a hole, or 0. */
static uint64_t some_cut_table(struct rig *r, uint64_t *front)
{
    struct view *v = viewbox_get(r->s->tree.box);
    uint64_t number = 0, from, end;
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < v->version->levels[l].count; i++) {
            const struct table_meta *m = v->version->levels[l].tables[i]->meta;
            if (m->front && m->entry_count > 0 && table_meta_hole(m, &from, &end)) {
                number = m->number;
                *front = m->front;
            }
        }
    view_unref(v);
    assert_true(number > 0);
    return number;
}

/* Steps until so many slices more have been made. */
static void slices(struct rig *r, uint64_t count)
{
    uint64_t end = rig_stats(r).compaction_slices + count;
    while (rig_stats(r).compaction_slices < end)
        assert_ok(store_work(r->s));
    while (purge_run(&r->s->tree.purge) == 0)
        ;
}

/* A store in the middle of its slices, open. */
static uint64_t half_way(struct rig *r, bool blobs)
{
    uint64_t contents, gone;
    sliced_make(r, blobs);
    rig_open(r);
    contents = sliced_contents(r);
    sliced_room(r, SLICED_ROOM);
    slices(r, 2);
    assert_true(cut_tables(r, &gone) >= SLICED_FLUSHES);
    assert_true(gone > 0);
    return contents;
}

/* ---- what it is for ---- */

/* Without holes the compaction fails, and says why; with them it goes through, in the same space.
 */
static void test_more_than_is_free(void **state)
{
    struct rig *r = *state;
    sliced_make(r, false);
    rig_open(r);
    uint64_t contents = sliced_contents(r);
    sliced_room(r, SLICED_ROOM);
    deny_holes(r);
    rig_log_reset();
    assert_errno(store_compact(r->s, (struct slice){0}, (struct slice){0}), ENOSPC);
    assert_true(rig_logged("cannot go in slices: the file system cannot punch holes"));
    assert_int_equal(rig_stats(r).compaction_slices, 0);
    simdisk_heal(r->disk);
    uint64_t before = simdisk_used_bytes(r->disk);
    rig_compact(r);
    struct store_stats st = rig_stats(r);
    assert_true(rig_logged("it goes in slices"));
    assert_true(st.compaction_slices > 5);
    assert_true(st.bytes_punched > 300 << 10);
    assert_int_equal(st.level_tables[0], 0);
    assert_true(contents == sliced_contents(r));
    uint64_t gone;
    assert_int_equal(cut_tables(r, &gone), 0);
    assert_true(simdisk_used_bytes(r->disk) < before * 3 / 4);
    rig_close_clean(r);
}

/* All of it is one key: there is nothing between to cut it at, and that is said. Here it fits in
 * the end, since only one version stays. */
static void test_one_key(void **state)
{
    struct rig *r = *state;
    struct buf room = {0};
    r->opt.separate_min = r->opt.direct_min = 64 << 10;
    r->opt.level0_tables = 64;
    rig_open(r);
    for (uint64_t i = 0; i < 4; i++) {
        assert_ok(rig_try_put(r, "key", rig_value(i, 20000, &room), 0));
        assert_ok(store_flush(r->s));
    }
    sliced_room(r, 32 << 10);
    rig_log_reset();
    rig_compact(r);
    assert_true(rig_logged("cannot go in slices: no key was found to cut it at"));
    assert_false(rig_logged("it goes in slices"));
    assert_int_equal(rig_stats(r).compaction_slices, 0);
    rig_close_clean(r);
    buf_release(&room);
}

/* After each slice: the same contents, in this process and in one that is opened now; nothing for
 * the verifier; what the version says is used is used; and that gets less. */
static void test_each_slice(void **state)
{
    struct rig *r = *state;
    sliced_make(r, true);
    rig_open(r);
    uint64_t contents = sliced_contents(r), gone, seen = 0, most = 0;
    uint64_t others = simdisk_used_bytes(r->disk) - rig_stats(r).space_used_bytes;
    sliced_room(r, SLICED_ROOM);
    int err;
    while ((err = store_work(r->s)) == 0) {
        if (rig_stats(r).compaction_slices == seen)
            continue;
        seen = rig_stats(r).compaction_slices;
        while (purge_run(&r->s->tree.purge) == 0)
            ;
        assert_true(contents == sliced_contents(r));
        cut_tables(r, &gone);
        most = gone > most ? gone : most;
        /* But for the manifest, and the last unit of each file. */
        uint64_t said = rig_stats(r).space_used_bytes, used = simdisk_used_bytes(r->disk);
        uint64_t units = (uint64_t)rig_files(r, FILE_TABLE).count * ENV_PUNCH_UNIT;
        if (used > said + others + units)
            fail_msg("%" PRIu64 " bytes are used, and said are %" PRIu64, used, said);
        struct rig *k = rig_kill(r);
        simdisk_set_capacity(k->disk, 100 << 20);
        struct rig_findings found = rig_check(k);
        if (found.damage || found.warnings)
            fail_msg("after slice %" PRIu64 " the verifier says: %s", seen, found.text);
        rig_open(k);
        assert_true(contents == sliced_contents(k));
        rig_drop(k);
    }
    assert_int_equal(err, 1);
    assert_true(seen > 5);
    assert_true(most > 300 << 10);
    assert_true(contents == sliced_contents(r));
    rig_close_clean(r);
}

/* In a store in the middle of it all can be done that can be done otherwise. */
static void test_goes_on_later(void **state)
{
    struct rig *r = *state;
    uint64_t contents = half_way(r, true);
    rig_reopen(r);
    assert_true(contents == sliced_contents(r));
    simdisk_set_capacity(r->disk, 100 << 20);
    rig_compact(r);
    uint64_t gone;
    assert_int_equal(cut_tables(r, &gone), 0);
    assert_true(contents == sliced_contents(r));
    assert_ok(store_pin_delete(r->s, "past"));
    rig_delete_range(r, "k", "l");
    rig_compact(r);
    assert_int_equal(rig_count(r), 0);
    rig_close_clean(r);
}

/* What is written meanwhile to level 0 waits until the slices are through. */
static void test_newer_tables_wait(void **state)
{
    struct rig *r = *state;
    half_way(r, false);
    for (int i = 0; i < 3; i++) {
        assert_ok(rig_try_put(r, rig_key(1), slice_str("new"), STORE_RESERVE));
        assert_ok(store_flush(r->s));
        slices(r, 1);
        uint64_t gone;
        assert_true(cut_tables(r, &gone) > 0);
        assert_int_equal(rig_stats(r).level_tables[0], SLICED_FLUSHES + i + 1);
        rig_assert(r, rig_key(1), "new");
    }
    rig_work(r);
    rig_assert(r, rig_key(1), "new");
    rig_close_clean(r);
}

static uint32_t class_of_all(void *ctx, struct slice key)
{
    (void)ctx;
    (void)key;
    return STORE_CLASS_ZSTD + 3;
}

static uint64_t since_now(void *ctx, struct slice key)
{
    (void)key;
    return *(uint64_t *)ctx;
}

static uint64_t since_now_in(void *ctx, struct slice start, struct slice limit)
{
    (void)start;
    (void)limit;
    return *(uint64_t *)ctx;
}

/* A slice that leaves values to be compressed anew marks its outputs, not what is left of inputs.
 */
static void test_outputs_are_marked(void **state)
{
    struct rig *r = *state;
    uint64_t since = 1000;
    struct store_classes classes = {
        .of = class_of_all, .ctx = &since, .since = since_now, .since_in = since_now_in};
    uint32_t outputs = 0, cut = 0;
    sliced_make(r, true);
    r->opt.classes = &classes;
    r->opt.blob_bytes = 1 << 10; /* a job moves no more than two of them */
    rig_open(r);
    sliced_room(r, SLICED_ROOM);
    slices(r, 1);
    struct view *v = viewbox_get(r->s->tree.box);
    for (int l = 0; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < v->version->levels[l].count; i++) {
            struct version_table *t = v->version->levels[l].tables[i];
            bool marked = __atomic_load_n(&t->renew, __ATOMIC_RELAXED);
            outputs += marked;
            cut += t->meta->front > 0;
            assert_false(marked && t->meta->front > 0);
        }
    view_unref(v);
    assert_true(outputs > 0 && cut > 0);
    since = 0;
    simdisk_set_capacity(r->disk, 100 << 20);
    rig_close_clean(r);
}

/* A range tombstone over all of it frees everything, with next to nothing free. */
static void test_all_is_deleted(void **state)
{
    struct rig *r = *state;
    half_way(r, true);
    assert_ok(store_pin_delete(r->s, "past"));
    sliced_room(r, 48 << 10);
    assert_ok(rig_try_delete_range(r, "k", "l", STORE_RESERVE));
    assert_ok(store_flush(r->s));
    rig_work(r);
    rig_compact(r);
    assert_int_equal(rig_count(r), 0);
    assert_true(rig_volume_bytes(r) < 60000);
    rig_close_clean(r);
}

/* ---- who else has the file ---- */

/* Readers of an older version keep what it has until they end. */
static void test_reader_keeps_it(void **state)
{
    struct rig *r = *state;
    sliced_make(r, true);
    rig_open(r);
    struct store_read read;
    uint64_t gone;
    store_read_begin(r->s, &read);
    uint64_t contents = sliced_contents_at(&read);
    sliced_room(r, 512 << 10);
    slices(r, 1);
    assert_true(cut_tables(r, &gone) > 0 && gone > 0);
    assert_int_equal(rig_stats(r).bytes_punched, 0);
    assert_true(contents == sliced_contents_at(&read));
    slices(r, 1);
    assert_int_equal(rig_stats(r).bytes_punched, 0);
    assert_true(contents == sliced_contents_at(&read));
    store_read_end(&read);
    rig_work(r);
    assert_true(rig_stats(r).bytes_punched > 0);
    rig_close_clean(r);
}

static struct rig beside(const struct rig *r)
{
    struct rig other = *r;
    other.s = NULL;
    snprintf(other.dir, sizeof other.dir, "%.200s-copy", r->dir);
    return other;
}

/* A file that a checkpoint shares is never punched, so there is no use in slices. */
static void test_shared_before(void **state)
{
    struct rig *r = *state, other = beside(r);
    struct store_checkpoint c;
    sliced_make(r, true);
    rig_open(r);
    uint64_t contents = sliced_contents(r);
    assert_ok(store_checkpoint(r->s, other.dir, NULL, &c));
    sliced_room(r, SLICED_ROOM);
    rig_log_reset();
    assert_errno(store_compact(r->s, (struct slice){0}, (struct slice){0}), ENOSPC);
    assert_true(rig_logged("cannot go in slices: one of its tables is shared with a checkpoint"));
    assert_int_equal(rig_stats(r).bytes_punched, 0);
    simdisk_set_capacity(r->disk, 100 << 20);
    rig_open(&other);
    assert_true(contents == sliced_contents(&other));
    rig_close_clean(&other);
    rig_close_clean(r);
}

/* One that is made in the middle has the cut tables as they are, and they are punched no further.
 */
static void test_shared_after(void **state)
{
    struct rig *r = *state, other = beside(r);
    struct store_checkpoint c;
    uint64_t contents = half_way(r, true), gone;
    simdisk_set_capacity(r->disk, 100 << 20);
    assert_ok(store_checkpoint(r->s, other.dir, NULL, &c));
    rig_open(&other);
    assert_true(cut_tables(&other, &gone) > 0);
    assert_true(contents == sliced_contents(&other));
    rig_close_clean(&other);
    rig_compact(r);
    assert_true(contents == sliced_contents(r));
    rig_open(&other);
    assert_true(contents == sliced_contents(&other));
    rig_compact(&other);
    assert_int_equal(cut_tables(&other, &gone), 0);
    assert_true(contents == sliced_contents(&other));
    rig_close_clean(&other);
    rig_close_clean(r);
}

/* A checkpoint between the edit and the hole: the file stays whole as long as both have it. The
 * next open after that gives it back. */
static void test_shared_in_between(void **state)
{
    struct rig *r = *state, other = beside(r);
    struct store_checkpoint c;
    struct store_read read;
    struct env_usage usage;
    uint64_t front = 0;
    sliced_make(r, false);
    rig_open(r);
    uint64_t contents = sliced_contents(r);
    store_read_begin(r->s, &read); /* so that nothing is punched yet */
    sliced_room(r, 512 << 10);
    slices(r, 1);
    simdisk_set_capacity(r->disk, 100 << 20);
    assert_ok(store_checkpoint(r->s, other.dir, NULL, &c));
    store_read_end(&read);
    while (purge_run(&r->s->tree.purge) == 0)
        ;
    uint64_t number = some_cut_table(r, &front);
    assert_ok(r->env->file_usage(r->env, rig_file(r, FILE_TABLE, number), &usage));
    assert_int_equal(usage.links, 2);
    assert_true(usage.stored_bytes > front);
    assert_int_equal(rig_stats(r).bytes_punched, 0);
    rig_open(&other);
    assert_true(contents == sliced_contents(&other));
    rig_close_clean(&other);
    assert_ok(r->env->remove(r->env, rig_file(&other, FILE_TABLE, number)));
    r->opt.level0_tables = 64; /* nothing is to be done */
    rig_close_clean(r);
    rig_open(r);
    while (purge_run(&r->s->tree.purge) == 0)
        ;
    uint64_t before = usage.stored_bytes;
    assert_ok(r->env->file_usage(r->env, rig_file(r, FILE_TABLE, number), &usage));
    assert_true(usage.stored_bytes < before - front + 2 * ENV_PUNCH_UNIT);
    assert_true(contents == sliced_contents(r));
    rig_close_clean(r);
}

/* Where links cannot be had a checkpoint copies the hole, too, as zeros; it is made again where it
 * is opened. */
static void test_copied(void **state)
{
    struct rig *r = *state, other = beside(r);
    struct store_checkpoint c;
    struct env_usage usage;
    uint64_t front = 0, contents = half_way(r, true), number = some_cut_table(r, &front);
    simdisk_set_capacity(r->disk, 100 << 20);
    simdisk_fail(r->disk, &(struct sim_fault){.call = SIM_LINK, .err = -EXDEV, .sticky = true});
    assert_ok(store_checkpoint(r->s, other.dir, NULL, &c));
    simdisk_heal(r->disk);
    const char *path = rig_file(&other, FILE_TABLE, number);
    assert_ok(r->env->file_usage(r->env, path, &usage));
    uint64_t copied = usage.stored_bytes;
    other.opt.level0_tables = 64; /* nothing is to be done */
    rig_open(&other);
    while (purge_run(&other.s->tree.purge) == 0)
        ;
    assert_ok(r->env->file_usage(r->env, path, &usage));
    assert_true(usage.stored_bytes < copied - front + 2 * ENV_PUNCH_UNIT);
    assert_true(contents == sliced_contents(&other));
    rig_close_clean(&other);
    rig_close_clean(r);
}

/* A volume that began as a checkpoint at a snapshot has tables of which a part of history is not
 * its own; only a pass over all of them finds what is garbage of that. */
static void test_tables_of_a_checkpoint(void **state)
{
    struct rig *r = *state, other = beside(r);
    struct store_checkpoint c;
    struct store_pin pin;
    r->opt.level0_tables = 64;
    rig_open(r);
    for (uint64_t i = 0; i < 4; i++) {
        rig_fill(r, 0, 1000, 300, i);
        if (i == 3)
            assert_ok(store_pin_create(r->s, "p", 0, &pin));
        rig_fill(r, 0, 1000, 300, i + 100);
        assert_ok(store_flush(r->s));
    }
    assert_ok(store_checkpoint(r->s, other.dir, "p", &c));
    rig_close_clean(r);
    rig_open(&other);
    struct rig_names tables = rig_files(r, FILE_TABLE);
    for (int i = 0; i < tables.count; i++)
        assert_ok(r->env->remove(r->env, rig_file(r, FILE_TABLE, tables.number[i])));
    sliced_room(&other, SLICED_ROOM);
    rig_log_reset();
    assert_errno(store_compact(other.s, (struct slice){0}, (struct slice){0}), ENOSPC);
    assert_true(rig_logged("only a part of history belongs to this volume"));
    rig_assert_fill(&other, 0, 1000, 300, 3);
    rig_close_clean(&other);
}

/* ---- what looks at files ---- */

static int count_finding(void *ctx, const struct store_finding *f)
{
    (void)f;
    ++*(int *)ctx;
    return 0;
}

/* Past the door, behind which a step would go on with the slices first. */
static struct store_scrub_status scrub(struct rig *r)
{
    struct store_scrub_status st;
    int found = 0;
    store_scrub_listen(r->s, count_finding, &found);
    assert_ok(store_scrub_start(r->s));
    while (scrub_step(&r->s->scrub, 0) == 0)
        ;
    store_scrub_listen(r->s, NULL, NULL);
    store_scrub_status(r->s, &st);
    assert_int_equal(found, st.damaged);
    return st;
}

/* A scrub reads what is left of a table, and nothing of what is not. */
static void test_scrub(void **state)
{
    struct rig *r = *state;
    uint64_t front = 0;
    r->opt.scrub_rate = 0;
    half_way(r, true);
    assert_int_equal(scrub(r).damaged, 0);
    uint64_t number = some_cut_table(r, &front);
    rig_flip(r, FILE_TABLE, number, front - 8); /* the end of what is not part of it */
    assert_int_equal(scrub(r).damaged, 0);
    rig_flip(r, FILE_TABLE, number, front + 40);
    assert_int_equal(scrub(r).damaged, 1);
    rig_close(r);
    assert_true(rig_check(r).damage > 0);
}

/* A companion cannot rebuild anything without what was punched, so it goes, and a scrub makes one
 * anew that can. */
static void test_parity(void **state)
{
    struct rig *r = *state;
    uint64_t front = 0, size;
    r->opt.scrub_rate = 0;
    r->opt.parity_data = 8;
    r->opt.parity_shards = 2;
    uint64_t contents = half_way(r, true), number = some_cut_table(r, &front);
    assert_errno(r->env->file_size(r->env, rig_file(r, FILE_PARITY, number), &size), ENOENT);
    simdisk_set_capacity(r->disk, 100 << 20);
    struct store_scrub_status st = scrub(r);
    assert_int_equal(st.damaged, 0);
    assert_true(st.parity_made > 0);
    assert_ok(r->env->file_size(r->env, rig_file(r, FILE_PARITY, number), &size));
    rig_flip(r, FILE_TABLE, number, front + 40);
    st = scrub(r);
    assert_true(st.damaged == 0 && st.repaired == 1);
    assert_true(contents == sliced_contents(r));
    rig_work(r);
    assert_true(contents == sliced_contents(r));
    rig_close_clean(r);
}

/* A store with holes that wait. */
static uint64_t before_holes(struct rig *r)
{
    struct store_read read;
    rig_open(r);
    uint64_t contents = sliced_contents(r);
    store_read_begin(r->s, &read); /* so that nothing is punched yet */
    sliced_room(r, 512 << 10);
    slices(r, 1);
    simdisk_set_capacity(r->disk, 100 << 20);
    store_read_end(&read);
    assert_int_equal(rig_stats(r).bytes_punched, 0);
    return contents;
}

/* The folder is synced where a companion was removed, and not for nothing. */
static void holes_without_folder(struct rig *r, uint32_t parity)
{
    sliced_make(r, false);
    r->opt.parity_data = 8;
    r->opt.parity_shards = parity;
    if (parity) {
        r->opt.scrub_rate = 0;
        r->opt.level0_tables = 64; /* nothing else is to be done */
        rig_open(r);
        assert_true(scrub(r).parity_made > 0);
        rig_close(r);
        r->opt.level0_tables = 4;
    }
    uint64_t contents = before_holes(r);
    simdisk_fail(r->disk, &(struct sim_fault){.call = SIM_SYNC_DIR, .err = -EIO, .sticky = true});
    while (purge_run(&r->s->tree.purge) == 0)
        ;
    simdisk_heal(r->disk);
    assert_int_equal(rig_stats(r).bytes_punched > 0, parity == 0);
    assert_true(contents == sliced_contents(r));
    rig_close_clean(r);
}

static void test_hole_without_companion(void **state)
{
    holes_without_folder(*state, 0);
}

static void test_hole_with_companion(void **state)
{
    holes_without_folder(*state, 2);
}

static struct {
    int (*open)(struct env *env, const char *path, enum env_open_mode mode, struct env_file **out);
    struct purge *purge;
} between;

/* Holes that wait are tried while companions are being made, as a worker may. */
static int open_between(struct env *env, const char *path, enum env_open_mode mode,
                        struct env_file **out)
{
    bool making = mode == ENV_OPEN_CREATE && strstr(path, ".parity") && between.purge;
    struct purge *purge = between.purge;
    between.purge = NULL;
    while (making && purge_run(purge) == 0)
        ;
    between.purge = purge;
    return between.open(env, path, mode, out);
}

/* A companion that a scrub was making when a hole came does not stay beside it. */
static void test_parity_while_holes_are_made(void **state)
{
    struct rig *r = *state;
    uint64_t front = 0, size;
    sliced_make(r, false);
    r->opt.scrub_rate = 0;
    r->opt.parity_data = 8;
    r->opt.parity_shards = 2;
    between.open = r->env->open;
    r->env->open = open_between;
    uint64_t contents = before_holes(r);
    between.purge = &r->s->tree.purge;
    assert_true(scrub(r).parity_made > 0);
    between.purge = NULL;
    while (purge_run(&r->s->tree.purge) == 0)
        ;
    assert_true(rig_stats(r).bytes_punched > 0);
    uint64_t number = some_cut_table(r, &front);
    assert_errno(r->env->file_size(r->env, rig_file(r, FILE_PARITY, number), &size), ENOENT);
    scrub(r);
    rig_flip(r, FILE_TABLE, number, front + 40);
    struct store_scrub_status st = scrub(r);
    assert_true(st.damaged == 0 && st.repaired == 1);
    rig_work(r);
    assert_true(contents == sliced_contents(r));
    rig_close_clean(r);
}

static int take_item(void *ctx, const struct store_item *item)
{
    uint32_t *counts = ctx;
    counts[0] += strcmp(item->what, "damage") == 0;
    counts[1] += strcmp(item->what, "hole") == 0;
    counts[2] += strcmp(item->what, "entry") == 0;
    return 0;
}

/* What is shown of the file alone: a hole, and what is behind. */
static void test_dump(void **state)
{
    static const struct store_dump_options all = {.entries = true};
    struct rig *r = *state;
    uint64_t front = 0;
    uint32_t counts[3] = {0};
    half_way(r, false);
    const char *path = rig_file(r, FILE_TABLE, some_cut_table(r, &front));
    assert_ok(store_dump(r->dir, &r->opt, strrchr(path, '/') + 1, &all, take_item, counts));
    assert_int_equal(counts[0], 0);
    assert_int_equal(counts[1], 1);
    assert_true(counts[2] > 0);
    rig_close_clean(r);
}

static int tell(void *ctx, const struct store_finding *f)
{
    (void)ctx;
    if (getenv("VERBOSE"))
        fprintf(stderr, "%d %s: %s\n", f->code, f->file, f->text);
    return 0;
}

/* With the manifest it is known what is left: a damaged block costs that block, and nothing comes
 * back from before the front. */
static void test_salvage(void **state)
{
    struct rig *r = *state;
    struct store_salvage_report report;
    uint64_t front = 0, contents = half_way(r, true), number = some_cut_table(r, &front);
    rig_close(r);
    simdisk_set_capacity(r->disk, 100 << 20);
    assert_int_equal(store_salvage(r->dir, &r->opt, tell, NULL, NULL, &report), 1);
    /* A damaged index loses nothing: the table is made anew of its blocks. */
    struct rig_findings found;
    uint64_t size = rig_file_bytes(r, rig_file(r, FILE_TABLE, number));
    rig_flip(r, FILE_TABLE, number, size - TABLE_FOOTER_SIZE - 8); /* the index's frame */
    found = rig_check(r);
    assert_true(found.damage > 0);
    assert_ok(store_salvage(r->dir, &r->opt, tell, NULL, NULL, &report));
    assert_int_equal(report.tables_rebuilt, 1);
    rig_open(r);
    assert_true(contents == sliced_contents(r));
    rig_close(r);
    assert_int_equal(rig_check(r).damage, 0);
}

/* Without its key an encrypted volume's hole is no damage. */
static void test_keyless_check(void **state)
{
    struct rig *r = *state;
    struct rig_findings found = {0};
    struct store_options o;
    half_way(r, true);
    rig_close(r);
    o = r->opt;
    o.secret = NULL;
    assert_ok(store_check_keyless(r->dir, &o, rig_note_finding, NULL, &found));
    if (found.damage || found.warnings)
        fail_msg("the verifier says: %s", found.text);
    assert_true(found.codes[FINDING_TABLE_FRAME - 100] > 0);
}

/* ---- power cuts ---- */

/* The edit is durable and the hole is not: the next open makes it again. */
static void test_hole_is_made_again(void **state)
{
    struct rig *r = *state;
    uint64_t front = 0, contents = half_way(r, true), number = some_cut_table(r, &front);
    const char *path = rig_file(r, FILE_TABLE, number);
    struct env_usage before, after;
    assert_ok(r->env->file_usage(r->env, path, &before));
    struct rig *k = rig_kill(r);
    simdisk_crash(k->disk, SIM_KEEP_SYNCED, 1);
    simdisk_set_capacity(k->disk, 100 << 20);
    assert_ok(k->env->file_usage(k->env, path, &after));
    assert_true(after.stored_bytes > before.stored_bytes + ENV_PUNCH_UNIT);
    k->opt.level0_tables = 64;
    struct rig_findings found = rig_check(k);
    assert_true(found.damage == 0 && found.warnings == 0);
    rig_open(k);
    while (purge_run(&k->s->tree.purge) == 0)
        ;
    assert_ok(k->env->file_usage(k->env, path, &after));
    assert_int_equal(after.stored_bytes, before.stored_bytes);
    assert_true(contents == sliced_contents(k));
    rig_drop(k);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_more_than_is_free),
        RIG_SIM(test_one_key),
        RIG_SIM(test_each_slice),
        RIG_SIM(test_goes_on_later),
        RIG_SIM(test_newer_tables_wait),
        RIG_SIM(test_outputs_are_marked),
        RIG_SIM(test_all_is_deleted),
        RIG_SIM(test_reader_keeps_it),
        RIG_SIM(test_shared_before),
        RIG_SIM(test_shared_after),
        RIG_SIM(test_shared_in_between),
        RIG_SIM(test_copied),
        RIG_SIM(test_tables_of_a_checkpoint),
        RIG_SIM(test_scrub),
        RIG_SIM(test_parity),
        RIG_SIM(test_hole_without_companion),
        RIG_SIM(test_hole_with_companion),
        RIG_SIM(test_parity_while_holes_are_made),
        RIG_SIM(test_dump),
        RIG_SIM(test_salvage),
        {"encrypted: test_keyless_check", test_keyless_check, rig_encrypted, rig_leave, NULL},
        RIG_SIM(test_hole_is_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
