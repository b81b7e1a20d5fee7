/* Tables whose blocks were made with a dictionary: written, read, checked, and damaged. */
#include "store/dicts.h"
#include "store/table_priv.h"
#include "tests/unit/dict_maker.h"
#include "tests/unit/logged.h"
#include "tests/unit/table_maker.h"

#include <errno.h>
#include <inttypes.h>

enum { ENTRIES = 1000 };

struct made {
    struct maker m;
    struct codec_dict *dict; /* the test's own reference */
};

static void make(struct made *x, size_t entries)
{
    struct simrng rng = {unit_seed()};
    struct buf content = {0};
    uint8_t record[RECORD_BYTES];
    char key[32];
    logged_reset();
    maker_init(&x->m, 1 << 20);
    dict_train(&rng, 0, &content);
    assert_ok(codec_dict_share(DICT_ID, buf_slice(&content), &x->dict));
    for (size_t i = 0; i < entries; i++) {
        snprintf(key, sizeof key, "key%06zu", i);
        record_fill(&rng, 0, record);
        maker_add(&x->m, slice_str(key), i + 1, ENTRY_PUT, slice_of(record, sizeof record));
    }
    x->m.opt.block_bytes = 2048;
    x->m.opt.dict = x->dict;
    assert_ok(maker_write(&x->m));
    buf_release(&content);
}

static void release(struct made *x)
{
    codec_dict_unref(x->dict);
    maker_release(&x->m);
    assert_int_equal(codec_dict_shared_count(), 0);
}

static void assert_all_there(struct made *x, struct table *t)
{
    struct iter *it = table_iter_new(t, 0);
    size_t i = 0;
    for (int rc = iter_first(it); rc == 0; rc = iter_next(it))
        assert_true(maker_same_entry(&it->e, &x->m.entries[i++]));
    assert_int_equal(i, x->m.count);
    iter_free(it);
}

static int no_finding(void *ctx, int code, uint64_t offset, const char *text)
{
    int *count = ctx;
    if (getenv("VERBOSE"))
        fprintf(stderr, "%d at %" PRIu64 ": %s\n", code, offset, text);
    ++*count;
    return 0;
}

static int findings(struct table *t)
{
    int count = 0;
    assert_ok(table_check(t, no_finding, NULL, NULL, &count));
    return count;
}

static void with_a_dictionary(void **state)
{
    (void)state;
    struct made x;
    struct table *t;
    make(&x, ENTRIES);
    const struct table_meta *m = x.m.meta;
    assert_true(m->dict_len > 100 && m->dict_copy > FILE_HEADER_SIZE + m->dict_len);
    uint64_t with = m->size_bytes;
    for (int by_file = 0; by_file < 2; by_file++) {
        assert_ok(by_file ? maker_open_file(&x.m, &t) : maker_open(&x.m, &t));
        assert_ptr_equal(table_dict(t), x.dict); /* the same bytes, so the same object */
        assert_all_there(&x, t);
        assert_int_equal(findings(t), 0);
        assert_true(table_memory_bytes(t) > codec_dict_share_bytes(x.dict));
        table_unref(t);
    }
    /* Both copies counted it has paid. */
    struct table_meta *first = x.m.meta;
    assert_ok(x.m.env->remove(x.m.env, MAKER_PATH));
    x.m.meta = NULL;
    x.m.opt.dict = NULL;
    assert_ok(maker_write(&x.m));
    assert_true(with < x.m.meta->size_bytes);
    assert_int_equal(x.m.meta->dict_len, 0);
    table_meta_unref(first);
    release(&x);
}

/* A table that is small does without, though it was to have one. */
static void a_small_table_has_none(void **state)
{
    (void)state;
    struct made x;
    struct table *t;
    make(&x, 100);
    assert_int_equal(x.m.meta->dict_len, 0);
    assert_ok(maker_open(&x.m, &t));
    assert_null(table_dict(t));
    assert_all_there(&x, t);
    assert_int_equal(findings(t), 0);
    table_unref(t);
    release(&x);
}

static void damage(struct made *x, uint64_t offset)
{
    assert_ok(simdisk_flip(x->m.disk, MAKER_PATH, offset, 1));
}

static void one_damaged_copy_is_no_loss(void **state)
{
    (void)state;
    struct made x;
    struct table *t;
    make(&x, ENTRIES);
    uint64_t places[] = {FILE_HEADER_SIZE + x.m.meta->dict_len / 2,
                         x.m.meta->dict_copy + x.m.meta->dict_len / 2};
    for (int i = 0; i < 2; i++) {
        damage(&x, places[i]);
        assert_ok(maker_open(&x.m, &t));
        assert_all_there(&x, t);
        assert_int_equal(findings(t), 1);
        table_unref(t);
        damage(&x, places[i]); /* as it was */
        if (i == 0)
            assert_logged("its dictionary is damaged; the copy behind the data is used");
    }
    /* Both: an error that says where. */
    damage(&x, places[0]);
    damage(&x, places[1]);
    assert_errno(maker_open(&x.m, &t), EIO);
    assert_logged("000012.table");
    assert_logged("offset 96");
    release(&x);
}

/* Whatever byte of the file is changed: an error, or the right entries; never others. */
static void any_byte_may_be_damaged(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct made x;
    make(&x, ENTRIES);
    for (int i = 0; i < 300; i++) {
        uint64_t at = simrng_below(&rng, x.m.meta->size_bytes);
        struct table *t;
        damage(&x, at);
        cache_set_capacity(x.m.cache, 0);
        int rc = maker_open(&x.m, &t);
        assert_true(rc == 0 || rc == -EIO);
        if (rc == 0) {
            struct iter *it = table_iter_new(t, 0);
            size_t n = 0;
            for (rc = iter_first(it); rc == 0; rc = iter_next(it))
                assert_true(maker_same_entry(&it->e, &x.m.entries[n++]));
            assert_true(rc == -EIO || (rc == 1 && n == x.m.count));
            iter_free(it);
            table_unref(t);
        }
        damage(&x, at);
    }
    release(&x);
}

static void impossible_places_are_refused(void **state)
{
    (void)state;
    struct made x;
    struct table *t;
    make(&x, ENTRIES);
    struct table_meta *m = x.m.meta;
    uint64_t copy = m->dict_copy;
    uint32_t len = m->dict_len;
    m->dict_copy = m->size_bytes;
    assert_errno(maker_open(&x.m, &t), EIO);
    m->dict_copy = UINT64_MAX;
    assert_errno(maker_open(&x.m, &t), EIO);
    m->dict_copy = copy;
    m->dict_len = len + 1;
    assert_errno(maker_open(&x.m, &t), EIO);
    m->dict_len = 0; /* as if there were none: blocks name one */
    m->dict_copy = 0;
    assert_ok(maker_open(&x.m, &t));
    struct iter *it = table_iter_new(t, 0);
    assert_errno(iter_first(it), EIO);
    iter_free(it);
    assert_true(findings(t) > 0);
    table_unref(t);
    release(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_a_dictionary),
        cmocka_unit_test(a_small_table_has_none),
        cmocka_unit_test(one_damaged_copy_is_no_loss),
        cmocka_unit_test(any_byte_may_be_damaged),
        cmocka_unit_test(impossible_places_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
