/* compact_cut: see compact_cut.h.
 *
 * Cuts need not be keys that exist. Of the span of the job the shared beginning is left as it is,
 * and the eight bytes behind it are taken as a number: bisected, until so much of the inputs lies
 * below, as their indexes tell, as a part should have. Where that is too coarse, since too much
 * lies between two numbers, the next eight bytes are bisected within. */
#include "store/compact_cut.h"

#include <assert.h>
#include <stdlib.h>

enum {
    NUMBER_SIZE = 8,
    ROUNDS_MAX = 16, /* of finer cuts: so many numbers behind each other */
};

struct cutting {
    const struct pick *p;
    struct table **tables; /* borrowed from the pick's */
    uint32_t count;
    uint64_t bytes;
    struct slice prefix;
};

static int open_tables(struct cutting *c, struct version_table **list, uint32_t count)
{
    int err = 0;
    for (uint32_t i = 0; i < count && err == 0; i++) {
        err = version_table_open(list[i], &c->tables[c->count]);
        if (err == 0)
            c->count++;
    }
    return err;
}

static void number_key(const struct cutting *c, uint64_t number, struct buf *key)
{
    buf_set(key, c->prefix);
    buf_put_be64(key, number);
}

static uint64_t key_number(struct slice key, size_t at)
{
    uint8_t bytes[NUMBER_SIZE] = {0};
    if (key.len > at)
        memcpy(bytes, key.data + at, key.len - at < NUMBER_SIZE ? key.len - at : NUMBER_SIZE);
    return get_be64(bytes);
}

static uint64_t bytes_below(const struct cutting *c, struct slice key)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < c->count; i++)
        bytes += table_range_bytes(c->tables[i], (struct slice){0}, key);
    return bytes;
}

/* Is it no key of the job any more, or lie `wanted` bytes or more below it? */
static bool is_past(const struct cutting *c, struct slice key, uint64_t wanted)
{
    return slice_cmp(key, buf_slice(&c->p->limit)) >= 0 || bytes_below(c, key) >= wanted;
}

/* The least number in (lo, hi] whose key is past that; hi itself is not looked at. */
static uint64_t bisect(const struct cutting *c, uint64_t lo, uint64_t hi, uint64_t wanted)
{
    struct buf key = {0};
    while (lo + 1 < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        number_key(c, mid, &key);
        if (is_past(c, buf_slice(&key), wanted))
            hi = mid;
        else
            lo = mid;
    }
    buf_release(&key);
    return hi;
}

static uint32_t cut(const struct cutting *c, uint32_t wanted, struct buf *cuts)
{
    struct slice start = buf_slice(&c->p->start), limit = buf_slice(&c->p->limit);
    uint64_t lo = key_number(start, c->prefix.len), end = key_number(limit, c->prefix.len);
    uint32_t parts = 1;
    for (uint32_t i = 1; i < wanted; i++) {
        uint64_t at = bisect(c, lo, end, c->bytes / wanted * i);
        if (at <= lo || at >= end)
            break;
        number_key(c, at, &cuts[parts - 1]);
        parts++;
        lo = at;
    }
    return parts;
}

static int open_inputs(struct cutting *c, const struct pick *p)
{
    struct slice start = buf_slice(&p->start);
    *c = (struct cutting){.p = p};
    c->prefix = slice_of(start.data, slice_shared(start, buf_slice(&p->limit)));
    c->tables = mem_alloc((p->upper_count + p->lower_count) * sizeof(struct table *));
    int err = open_tables(c, p->upper, p->upper_count);
    return err < 0 ? err : open_tables(c, p->lower, p->lower_count);
}

uint32_t compact_cut(const struct pick *p, uint32_t wanted, struct buf cuts[COMPACT_PARTS_MAX - 1])
{
    struct cutting c;
    uint32_t parts = 1;
    assert(wanted >= 1 && wanted <= COMPACT_PARTS_MAX);
    for (uint32_t i = 0; i < COMPACT_PARTS_MAX - 1; i++)
        cuts[i] = (struct buf){0};
    int err = open_inputs(&c, p);
    for (uint32_t i = 0; i < c.count; i++)
        c.bytes += table_range_bytes(c.tables[i], (struct slice){0}, (struct slice){0});
    if (err == 0 && c.bytes > 0)
        parts = cut(&c, wanted, cuts);
    free(c.tables);
    return parts;
}

/* ---- the first piece ---- */

/* Within `c->prefix`, and numbers [lo, end) behind it: the last key of the job with no more than
 * `bytes_max` below. */
static void last_below(const struct cutting *c, uint64_t lo, uint64_t end, uint64_t bytes_max,
                       struct buf *key)
{
    uint64_t at = bisect(c, lo, end, bytes_max + 1);
    number_key(c, at > lo ? at - 1 : lo, key);
}

/* Much may lie behind the number that the limit begins with, so that is one of those asked for.
 * Rounds that have raised nothing leave no bytes in the key. */
static uint64_t find_below(struct cutting *c, uint64_t bytes_max, struct buf *key)
{
    struct buf prefix = {0};
    uint64_t lo = key_number(buf_slice(&c->p->start), c->prefix.len);
    uint64_t end = key_number(buf_slice(&c->p->limit), c->prefix.len);
    last_below(c, lo, end < UINT64_MAX ? end + 1 : end, bytes_max, key);
    uint64_t found = bytes_below(c, buf_slice(key));
    size_t len = key->len;
    for (int i = 0; i < ROUNDS_MAX && found < bytes_max / 2; i++) {
        buf_set(&prefix, buf_slice(key));
        c->prefix = buf_slice(&prefix);
        last_below(c, 0, UINT64_MAX, bytes_max, key);
        uint64_t more = bytes_below(c, buf_slice(key));
        if (more > found)
            len = key->len;
        found = more;
    }
    key->len = len;
    buf_release(&prefix);
    return found;
}

int compact_cut_below(const struct pick *p, uint64_t bytes_max, struct buf *key)
{
    struct cutting c;
    uint64_t found = 0;
    int err = open_inputs(&c, p);
    buf_clear(key);
    if (err == 0)
        found = find_below(&c, bytes_max, key);
    if (err == 0 &&
        (found == 0 || found > bytes_max || slice_cmp(buf_slice(key), buf_slice(&p->start)) <= 0 ||
         slice_cmp(buf_slice(key), buf_slice(&p->limit)) >= 0))
        err = 1;
    free(c.tables);
    return err;
}
