/* Checksums of entries in memory: a byte that changes anywhere between store_batch_put() and the
 * table is found when it is read, and never written to disk; and nothing else is taken for that. */
#include "tests/unit/past.h"

#include "store/store_priv.h"

static void open_summed(struct rig *r)
{
    r->opt.entry_sums = 1;
    rig_open(r);
}

/* Changes a bit of the newest memtable's entry of this key: of its value, or else of its key. */
static void spoil(struct rig *r, const char *key, bool value)
{
    struct view *v = viewbox_get(r->s->tree.box);
    struct iter *it = memtable_iter_new(v->gens[0]->mem);
    assert_ok(iter_seek(it, slice_str(key), SEQ_MAX));
    struct slice bytes = value ? it->e.value : it->e.key;
    assert_true(bytes.len > 0);
    ((uint8_t *)(uintptr_t)bytes.data)[bytes.len - 1] ^= 0x40;
    iter_free(it);
    view_unref(v);
}

static int try_get(struct rig *r, const char *key)
{
    struct store_read read;
    struct store_value v = {0};
    store_read_begin(r->s, &read);
    int err = store_get(&read, slice_str(key), &v);
    store_value_release(&v);
    store_read_end(&read);
    return err;
}

static int try_scan(struct rig *r)
{
    struct store_read read;
    store_read_begin(r->s, &read);
    struct store_iter *it = store_iter_new(&read, (struct slice){0}, (struct slice){0});
    int err = store_iter_first(it);
    while (err == 0)
        err = store_iter_next(it);
    store_iter_free(it);
    store_read_end(&read);
    return err;
}

/* All but the one, at once and one by one. (A key that has changed stands in the wrong place, so
 * that searches may go astray; a cursor that comes by, and the flush, find it.) */
static void assert_others_are_read(struct rig *r)
{
    struct slice keys[2] = {slice_str(rig_key(20)), slice_str(rig_key(21))};
    struct store_value values[2] = {0};
    int results[2];
    struct store_read read;
    store_read_begin(r->s, &read);
    store_multi_get(&read, keys, 2, values, results);
    assert_int_equal(results[0], -EIO);
    assert_int_equal(results[1], 0);
    store_value_release(&values[0]);
    store_value_release(&values[1]);
    store_read_end(&read);
    rig_assert_fill(r, 0, 20, 100, 0);
    rig_assert_fill(r, 21, 50, 100, 0);
}

/* Reading finds it, flushing refuses it, the store writes nothing any more; the log has what was
 * written, and the next opening all of it. */
static void damaged_memtable(struct rig *r, bool value)
{
    open_summed(r);
    rig_fill(r, 0, 50, 100, 0);
    assert_ok(store_sync(r->s));
    rig_log_reset();
    spoil(r, rig_key(20), value);
    if (value) {
        assert_errno(try_get(r, rig_key(20)), EIO);
        assert_true(rig_logged("a memtable") && rig_logged(rig_key(20)));
    }
    assert_errno(try_scan(r), EIO);
    if (value)
        assert_others_are_read(r);
    int tables = rig_files(r, FILE_TABLE).count;
    assert_errno(store_flush(r->s), EROFS);
    assert_non_null(store_failure(r->s));
    assert_true(rig_logged("not written to disk"));
    assert_int_equal(rig_files(r, FILE_TABLE).count, tables);
    assert_errno(rig_try_put(r, "more", slice_str("x"), 0), EROFS);
    if (value)
        assert_others_are_read(r);
    store_close(r->s);
    r->s = NULL;
    rig_open(r);
    rig_assert_fill(r, 0, 50, 100, 0);
    rig_compact(r);
    rig_assert_fill(r, 0, 50, 100, 0);
    rig_close_clean(r);
}

static void test_value_in_a_memtable(void **state)
{
    damaged_memtable(*state, true);
}

/* Whoever looks for the key that it was does not find it; whoever comes by says what has happened.
 */
static void test_key_in_a_memtable(void **state)
{
    damaged_memtable(*state, false);
}

/* Before it is in the log: refused, and nothing is written. */
static void test_batch(void **state)
{
    struct rig *r = *state;
    open_summed(r);
    rig_put(r, "a", "1");
    for (int what = 0; what < 5; what++) {
        static uint8_t large[8000];
        struct store_batch *b = store_batch_new(r->s);
        store_batch_put(b, slice_str("key"), slice_str("value"));
        store_batch_put(b, slice_str("large"), slice_of(large, sizeof large));
        store_batch_delete(b, slice_str("deleted"));
        store_batch_delete_range(b, slice_str("from"), slice_str("until"));
        assert_int_equal(b->count, 4);
        size_t at = what == 0   ? b->ops[0].key
                    : what == 1 ? b->ops[0].value
                    : what == 2 ? b->ops[1].value + b->ops[1].value_len - 1
                    : what == 3 ? b->ops[2].key
                                : b->ops[3].value + 4;
        b->bytes.data[at] ^= 2;
        assert_errno(store_write(r->s, b, 0), EIO);
        assert_true(rig_logged("a batch"));
        b->bytes.data[at] ^= 2;
        store_batch_free(b);
        assert_int_equal(rig_count(r), 1);
        rig_put(r, "a", "still"); /* it goes on */
    }
    rig_reopen(r);
    rig_assert(r, "a", "still");
    assert_int_equal(rig_count(r), 1);
    rig_close_clean(r);
}

/* An entry that changed on its way into a table: no table is made of it. */
static void test_table_writer(void **state)
{
    struct rig *r = *state;
    static const uint8_t uuid[UUID_SIZE] = {1};
    for (int wrong = 0; wrong < 2; wrong++) {
        struct table_options opt = {
            .block_bytes = 1000, .strength = strength_plain(1), .sums = true};
        struct table_writer *w;
        struct table_meta *meta;
        struct buf room = {0};
        int err = 0;
        assert_ok(table_create(r->env, r->dir, 90 + (uint64_t)wrong, uuid, &opt, &w));
        for (uint64_t i = 0; i < 100 && err == 0; i++) {
            struct entry e = {.key = slice_str(rig_key(i)),
                              .seq = 5,
                              .type = ENTRY_PUT,
                              .value = rig_value(i, 90, &room)};
            e.sum = entry_sum(&e);
            if (wrong && i == 50)
                room.data[7] ^= 1;
            err = table_add(w, &e);
        }
        buf_release(&room);
        if (wrong) {
            assert_errno(err, EIO);
            assert_true(rig_logged("before it was written"));
            table_abandon(w);
        } else {
            assert_ok(err);
            assert_ok(table_finish(w, &meta));
            assert_ok(r->env->remove(r->env, rig_file(r, FILE_TABLE, meta->number)));
            table_meta_unref(meta);
        }
    }
}

/* The sum is of everything that an entry is. */
static void test_sum(void **state)
{
    (void)state;
    struct entry e = {
        .key = slice_str("key"), .seq = 7, .type = ENTRY_PUT, .value = slice_str("v")};
    struct entry other[] = {e, e, e, e};
    other[0].key = slice_str("kez");
    other[1].seq = 8;
    other[2].type = ENTRY_MERGE;
    other[3].value = slice_str("w");
    e.sum = entry_sum(&e);
    assert_true(e.sum != 0);
    assert_ok(entry_verify(&e, "here"));
    for (int i = 0; i < 4; i++) {
        assert_ok(entry_verify(&other[i], "here")); /* it has none */
        assert_true(entry_sum(&other[i]) != e.sum);
        other[i].sum = e.sum;
        assert_errno(entry_verify(&other[i], "here"), EIO);
    }
}

/* Nothing is taken for damage: random histories, flushed, compacted, recovered; the setting changes
 * meanwhile. */
static void test_no_false_alarm(void **state)
{
    struct rig *r = *state;
    struct past p;
    char message[STORE_MESSAGE_MAX];
    past_init(&p, r, unit_seed());
    r->opt.memtable_bytes = 16 << 10;
    open_summed(r);
    for (int i = 0; i < 1500; i++) {
        past_step(&p);
        if (i % 50 == 0)
            past_assert_all(&p, r->s);
        if (i % 200 == 100)
            assert_ok(store_set(r->s, "entry.sums", i % 400 < 200 ? "0" : "1", message));
    }
    rig_compact(r);
    past_assert_all(&p, r->s);
    assert_null(store_failure(r->s));
    assert_int_equal(rig_log.errors, 0);
    rig_close_clean(r);
    past_release(&p);
}

/* Off, nothing is kept and nothing is found: that is the price of what it costs nothing. */
static void test_off(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    rig_put(r, "k", "value");
    struct view *v = viewbox_get(r->s->tree.box);
    struct iter *it = memtable_iter_new(v->gens[0]->mem);
    assert_ok(iter_first(it));
    assert_int_equal(it->e.sum, 0);
    iter_free(it);
    view_unref(v);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_SIM(test_value_in_a_memtable),
        RIG_SIM(test_key_in_a_memtable),
        RIG_SIM(test_batch),
        RIG_SIM(test_table_writer),
        cmocka_unit_test(test_sum),
        RIG_SIM(test_no_false_alarm),
        RIG_SIM(test_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
