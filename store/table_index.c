/* table_index: the index of a table, or a part of it, as flat arrays in one piece of memory.
 *
 * On disk it is a block (block.h) of separators and handles. It is decoded once, when it comes into
 * memory: a search is then a binary search over an array of words, and looks at whole separators
 * only where their words are equal. The index of a large table is cut into parts; then the arrays
 * of this module are those of one part, or of the top, whose handles are those of the parts.
 *
 * A separator is a place in internal order: (key, seq). It is at or after every entry of its block
 * and before every entry of the next. Its number is 0 (behind all versions of its key), but where
 * the versions of one key go on in the next block: there it is that of the block's last entry.
 *
 * Guarantees: what was built is sound, whatever the bytes were: handles lie within the bounds
 * given, in order and apart from each other; separators ascend. Memory is bounded by the file's
 * size and FRAME_RAW_MAX.
 *
 * Invariants (index_assert_valid):
 *   1. Separators ascend strictly in internal order; `order` ascends.
 *   2. All separators begin with the same `shared` bytes.
 *   3. Frames ascend and do not overlap.
 *
 * Example: separators "app/car", "app/cat", "app/dog" share "app/"; the words are "car", "cat" and
 * "dog". The search for "app/cow" compares "cow" with two words and finds the third block; that for
 * "cow" stops at the shared bytes: it is above all. */
#include "store/table_priv.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* What stands before the arrays: order, newest, entries, keys. */
struct image {
    uint32_t count, shared;
    uint64_t keys_len;
};

/* ---- decoding ---- */

static struct slice separator(const struct table_index *ix, uint32_t i)
{
    assert(i < ix->count);
    return table_index_separator(ix, i);
}

/* The first eight bytes of `s` as a number that sorts like them; zeros where it ends. */
static uint64_t order_of(struct slice s)
{
    uint8_t head[8] = {0};
    if (s.len >= sizeof head)
        return get_be64(s.data);
    if (s.len)
        memcpy(head, s.data, s.len);
    return get_be64(head);
}

static struct slice after_shared(const struct table_index *ix, struct slice s)
{
    assert(s.len >= ix->shared);
    return slice_of(s.data + ix->shared, s.len - ix->shared);
}

static uint64_t frame_end(const struct table_index_entry *e)
{
    return e->handle.where.offset + e->handle.where.len;
}

/* NULL, or what is wrong with a handle that follows frames up to `begin`. */
static const char *handle_fault(const struct block_handle *h, uint64_t begin, uint64_t data_end)
{
    if (h->where.len < FRAME_HEADER_SIZE)
        return "a data frame is shorter than a frame header";
    if (h->where.offset < begin)
        return "a data frame reaches into another";
    if (h->where.offset > data_end || h->where.len > data_end - h->where.offset)
        return "a data frame ends outside the data";
    assert(h->min_seq <= h->max_seq && h->max_seq <= SEQ_MAX); /* block_handle_take() saw to it */
    return NULL;
}

/* Room for one more entry. */
static void grow(struct table_index_draft *d)
{
    if (d->count < d->cap)
        return;
    d->cap = d->cap ? d->cap * 2 : 16;
    d->entries = mem_realloc(d->entries, d->cap * sizeof *d->entries);
    d->begins = mem_realloc(d->begins, ((size_t)d->cap + 1) * sizeof *d->begins);
}

/* Behind the handle of a part: how many blocks it has. All entries are of one kind. */
static const char *take_blocks(struct table_index_draft *d, struct slice *value)
{
    uint32_t blocks = 1;
    bool part = value->len > 0;
    if (part && (!take_varint32(value, &blocks) || value->len || blocks == 0))
        return "an index entry is no block handle";
    if (d->count > 0 && d->in_parts != part)
        return "the index has blocks and parts";
    d->in_parts = part;
    if (blocks > UINT32_MAX - 1 - d->begins[d->count])
        return "the index has too many blocks";
    d->begins[d->count + 1] = d->begins[d->count] + blocks;
    return NULL;
}

/* Takes one entry of the index block; NULL, or what is wrong with it. */
static const char *take_entry(struct table_index_draft *d, const struct entry *e, uint64_t data_end)
{
    struct slice value = e->value;
    struct block_handle h;
    if (e->type != ENTRY_PUT || !block_handle_take(&value, &h))
        return "an index entry is no block handle";
    uint64_t begin = d->count ? frame_end(&d->entries[d->count - 1]) : FILE_HEADER_SIZE;
    const char *fault = handle_fault(&h, begin, data_end);
    if (fault)
        return fault;
    if (e->key.len > FRAME_RAW_MAX - d->keys.len)
        return "the separators are too long";
    grow(d);
    fault = take_blocks(d, &value);
    if (fault)
        return fault;
    assert(d->count < d->cap);
    d->entries[d->count++] =
        (struct table_index_entry){h, e->seq, (uint32_t)d->keys.len, (uint32_t)e->key.len};
    buf_append(&d->keys, e->key);
    return NULL;
}

static const char *take_entries(struct table_index_draft *d, struct slice payload,
                                uint64_t data_end)
{
    const char *fault = NULL;
    struct block block;
    struct block_iter bi;
    block_iter_init(&bi);
    int rc = block_open(payload, &block);
    if (!rc) {
        block_iter_set(&bi, &block);
        rc = iter_first(&bi.it);
    }
    while (!rc && !fault) {
        fault = take_entry(d, &bi.it.e, data_end);
        rc = iter_next(&bi.it);
    }
    if (rc < 0)
        fault = "the index block does not decode";
    block_iter_release(&bi);
    return fault;
}

const char *table_index_decode(struct slice payload, uint64_t data_end, struct table_index_draft *d)
{
    assert(data_end >= FILE_HEADER_SIZE);
    *d = (struct table_index_draft){0};
    grow(d);
    d->begins[0] = 0;
    const char *fault = take_entries(d, payload, data_end);
    if (!fault && d->count == 0)
        fault = "the index is empty";
    return fault;
}

void table_index_draft_release(struct table_index_draft *d)
{
    free(d->entries);
    free(d->begins);
    buf_release(&d->keys);
    *d = (struct table_index_draft){0};
}

/* ---- in one piece ---- */

static size_t group_count(uint32_t count)
{
    return count / TABLE_INDEX_GROUP + 1;
}

size_t table_index_size(const struct table_index_draft *d)
{
    return sizeof(struct image) + d->count * (sizeof(uint64_t) + sizeof *d->entries) +
           group_count(d->count) * sizeof(uint64_t) + d->keys.len;
}

void table_index_view(const void *memory, struct table_index *ix)
{
    const struct image *image = memory;
    assert((uintptr_t)memory % sizeof(uint64_t) == 0);
    ix->count = image->count;
    ix->shared = image->shared;
    ix->order = (const uint64_t *)(image + 1);
    ix->newest = ix->order + ix->count;
    ix->entries = (const struct table_index_entry *)(ix->newest + group_count(ix->count));
    ix->keys = slice_of((const uint8_t *)(ix->entries + ix->count), image->keys_len);
}

static void index_assert_valid(const struct table_index *ix)
{
    for (uint32_t i = 1; i < ix->count; i++) {
        const struct table_index_entry *e = &ix->entries[i];
        assert(frame_end(e - 1) <= e->handle.where.offset);
        assert(ix->order[i - 1] <= ix->order[i]);
        assert(entry_cmp(separator(ix, i - 1), e[-1].sep_seq, separator(ix, i), e->sep_seq) < 0);
        (void)e;
    }
    assert(ix->shared <= ix->keys.len);
    (void)ix;
}

static struct slice drafted(const struct table_index_draft *d, uint32_t i)
{
    return slice_of(d->keys.data + d->entries[i].sep_at, d->entries[i].sep_len);
}

/* The words are filled in once all separators are known: the first and the last share what all
 * share. */
void table_index_lay(const struct table_index_draft *d, void *memory)
{
    struct image *image = memory;
    struct table_index ix;
    assert(d->count > 0);
    *image = (struct image){
        .count = d->count,
        .shared = (uint32_t)slice_shared(drafted(d, 0), drafted(d, d->count - 1)),
        .keys_len = d->keys.len,
    };
    table_index_view(memory, &ix);
    uint64_t *order = (uint64_t *)(image + 1), *newest = order + d->count;
    memset(newest, 0, group_count(d->count) * sizeof *newest);
    memcpy(newest + group_count(d->count), d->entries, d->count * sizeof *d->entries);
    memcpy((uint8_t *)memory + table_index_size(d) - d->keys.len, d->keys.data, d->keys.len);
    for (uint32_t i = 0; i < d->count; i++) {
        uint64_t *group = &newest[i / TABLE_INDEX_GROUP], max = d->entries[i].handle.max_seq;
        *group = max > *group ? max : *group;
        order[i] = order_of(after_shared(&ix, separator(&ix, i)));
    }
    index_assert_valid(&ix);
}

uint32_t table_index_young(const struct table_index *ix, uint32_t i, uint32_t end, uint64_t seq)
{
    assert(end <= ix->count);
    while (i < end) {
        if (i % TABLE_INDEX_GROUP == 0 && ix->newest[i / TABLE_INDEX_GROUP] < seq)
            i += TABLE_INDEX_GROUP;
        else if (ix->entries[i].handle.max_seq < seq)
            i++;
        else
            return i;
    }
    return end;
}

/* ---- searching ---- */

/* The first i in [lo, hi) with order[i] >= word; hi: none. Without a branch on what is compared:
 * which way a search goes cannot be foretold, so each branch would cost half a misprediction. */
static uint32_t lower_bound(const uint64_t *order, uint32_t lo, uint32_t hi, uint64_t word)
{
    const uint64_t *base = order + lo;
    size_t n = hi - lo;
    if (n == 0)
        return lo;
    while (n > 1) {
        size_t half = n / 2;
        base = base[half - 1] < word ? base + half : base;
        n -= half;
    }
    return (uint32_t)(base - order) + (*base < word);
}

/* The same over whole separators, for those whose words are equal to that of `tail`, the key behind
 * the shared bytes. */
static uint32_t lower_bound_exact(const struct table_index *ix, uint32_t lo, uint32_t hi,
                                  struct slice tail, uint64_t seq)
{
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        struct slice sep = after_shared(ix, separator(ix, mid));
        if (entry_cmp(sep, ix->entries[mid].sep_seq, tail, seq) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint32_t table_index_search(const struct table_index *ix, struct slice key, uint64_t seq)
{
    if (ix->count == 0)
        return 0;
    size_t head = key.len < ix->shared ? key.len : ix->shared;
    int cmp = head ? memcmp(key.data, ix->keys.data, head) : 0;
    if (cmp != 0 || head < ix->shared)
        return cmp <= 0 ? 0 : ix->count;
    struct slice tail = after_shared(ix, key);
    uint64_t word = order_of(tail);
    uint32_t lo = lower_bound(ix->order, 0, ix->count, word);
    if (lo == ix->count || ix->order[lo] != word)
        return lo;
    uint32_t hi = word == UINT64_MAX ? ix->count : lower_bound(ix->order, lo, ix->count, word + 1);
    return lower_bound_exact(ix, lo, hi, tail, seq);
}
