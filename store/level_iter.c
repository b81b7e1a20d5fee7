/* level_iter: the cursor over one level: its tables in key order, one open cursor at a time.
 *
 * Invariant: while valid, `table` is a cursor over the table `at` and stands on the same entry. */
#include <assert.h>
#include <stdlib.h>

#include "store/scan.h"

#define NO_TABLE UINT32_MAX

struct level_iter {
    struct iter it;
    struct version *version; /* a reference */
    const struct version_level *level;
    int flags;
    uint32_t at;
    struct iter *table;
    struct buf target; /* a key that was sought, and may lie in the table that goes */
};

static int settle(struct level_iter *li, int status)
{
    assert(status != 0 || (li->table && li->table->valid && li->at < li->level->count));
    li->it.valid = status == 0;
    if (li->it.valid)
        li->it.e = li->table->e;
    return status;
}

static int enter(struct level_iter *li, uint32_t i)
{
    struct table *t;
    if (i == li->at)
        return 0;
    iter_free(li->table);
    li->table = NULL;
    li->at = NO_TABLE;
    int err = version_table_open(li->level->tables[i], &t);
    if (err < 0)
        return err;
    li->table = table_iter_new(t, li->flags);
    li->at = i;
    return 0;
}

/* Goes on into the following tables while there is nothing (more) in this one: some hold only
 * tombstones. */
static int onward(struct level_iter *li, int status)
{
    assert(li->table && li->at < li->level->count);
    while (status == 1 && li->at + 1 < li->level->count) {
        status = enter(li, li->at + 1);
        if (status == 0)
            status = iter_first(li->table);
    }
    return settle(li, status);
}

static int backward(struct level_iter *li, int status)
{
    assert(li->table && li->at < li->level->count);
    while (status == 1 && li->at > 0) {
        status = enter(li, li->at - 1);
        if (status == 0)
            status = iter_last(li->table);
    }
    return settle(li, status);
}

static int level_first(struct iter *it)
{
    struct level_iter *li = (struct level_iter *)it;
    if (li->level->count == 0)
        return settle(li, 1);
    int status = enter(li, 0);
    return status < 0 ? settle(li, status) : onward(li, iter_first(li->table));
}

static int level_last(struct iter *it)
{
    struct level_iter *li = (struct level_iter *)it;
    if (li->level->count == 0)
        return settle(li, 1);
    int status = enter(li, li->level->count - 1);
    return status < 0 ? settle(li, status) : backward(li, iter_last(li->table));
}

static int level_seek(struct iter *it, struct slice key, uint64_t seq)
{
    struct level_iter *li = (struct level_iter *)it;
    uint32_t i = li->level->count ? version_find(li->level, key) : 0;
    if (i >= li->level->count)
        return settle(li, 1);
    if (i != li->at && li->table) {
        buf_set(&li->target, key);
        key = buf_slice(&li->target);
    }
    int status = enter(li, i);
    return status < 0 ? settle(li, status) : onward(li, iter_seek(li->table, key, seq));
}

static int level_next(struct iter *it)
{
    struct level_iter *li = (struct level_iter *)it;
    assert(it->valid);
    return onward(li, iter_next(li->table));
}

static int level_prev(struct iter *it)
{
    struct level_iter *li = (struct level_iter *)it;
    assert(it->valid);
    return backward(li, iter_prev(li->table));
}

/* Whole tables are passed over by the highest number that they hold. */
static int level_skip(struct iter *it, uint64_t seq, struct slice end)
{
    struct level_iter *li = (struct level_iter *)it;
    const struct version_level *lv = li->level;
    uint64_t before = li->table->stepped;
    assert(it->valid);
    int status = iter_skip(li->table, seq, end);
    it->stepped += li->table->stepped - before;
    while (status == 1 && li->at + 1 < lv->count) {
        uint32_t i = li->at + 1;
        while (i < lv->count && lv->tables[i]->meta->max_seq < seq &&
               (end.len == 0 || slice_cmp(buf_slice(&lv->tables[i]->meta->limit), end) <= 0))
            i++;
        if (i == lv->count)
            break;
        status = enter(li, i);
        if (status == 0)
            status = iter_first(li->table);
        if (status == 0)
            status = iter_skip(li->table, seq, end);
        it->stepped += status >= 0 && li->table ? li->table->stepped : 0;
    }
    return settle(li, status);
}

static void level_free(struct iter *it)
{
    struct level_iter *li = (struct level_iter *)it;
    iter_free(li->table);
    version_unref(li->version);
    buf_release(&li->target);
    free(li);
}

static const struct iter_ops level_ops = {.first = level_first,
                                          .last = level_last,
                                          .seek = level_seek,
                                          .next = level_next,
                                          .prev = level_prev,
                                          .skip = level_skip,
                                          .free = level_free};

struct iter *level_iter_new(struct version *v, int level, int table_iter_flags)
{
    assert(level >= 1 && level < LEVEL_COUNT);
    struct level_iter *li = mem_zalloc(sizeof *li);
    li->it.ops = &level_ops;
    li->version = version_ref(v);
    li->level = &v->levels[level];
    li->flags = table_iter_flags;
    li->at = NO_TABLE;
    return &li->it;
}
