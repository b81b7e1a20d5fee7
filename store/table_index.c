/* table_index: the index of a table, as it is written, and as flat arrays while the table is open.
 *
 * On disk the index is a block (block.h) of separators and handles. It is decoded once, at opening:
 * a search is then a binary search over an array of words, and looks at whole separators only where
 * their words are equal.
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

/* ---- writing ---- */

/* The shortest key from `last` on that is below `next`, or `last` itself where there is none
 * without trouble. "the quick" and "the slow" are kept apart by "the s", "ab" and "ad" by "ac". */
static void separate(struct slice last, struct slice next, struct buf *out)
{
    size_t same = slice_shared(last, next);
    assert(slice_cmp(last, next) < 0);
    buf_set(out, last);
    if (same == last.len)
        return; /* a prefix of `next`: nothing shorter is left */
    if (next.len > same + 1) {
        buf_set(out, slice_of(next.data, same + 1));
    } else if (last.data[same] + 1 < next.data[same]) {
        out->data[same]++;
        out->len = same + 1;
    }
    assert(slice_cmp(last, buf_slice(out)) <= 0 && slice_cmp(buf_slice(out), next) < 0);
}

void table_index_add(struct block_writer *w, const struct block_handle *h, struct slice last_key,
                     uint64_t last_seq, const struct slice *next_key)
{
    struct buf key = {0}, value = {0};
    struct entry e = {.type = ENTRY_PUT};
    if (!next_key) {
        buf_set(&key, last_key);
    } else if (slice_eq(last_key, *next_key)) {
        buf_set(&key, last_key);
        e.seq = last_seq;
    } else {
        separate(last_key, *next_key, &key);
    }
    block_handle_encode(h, &value);
    e.key = buf_slice(&key);
    e.value = buf_slice(&value);
    block_writer_add(w, &e);
    buf_release(&key);
    buf_release(&value);
}

/* ---- building ---- */

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

/* Takes one entry of the index block; NULL, or what is wrong with it. */
static const char *take_entry(struct table_index *ix, uint32_t *cap, const struct entry *e,
                              uint64_t data_end)
{
    struct slice value = e->value;
    struct block_handle h;
    if (e->type != ENTRY_PUT || !block_handle_take(&value, &h) || value.len)
        return "an index entry is no block handle";
    uint64_t begin = ix->count ? frame_end(&ix->entries[ix->count - 1]) : FILE_HEADER_SIZE;
    const char *fault = handle_fault(&h, begin, data_end);
    if (fault)
        return fault;
    if (e->key.len > FRAME_RAW_MAX - ix->keys.len)
        return "the separators are too long";
    if (ix->count == *cap) {
        *cap = *cap ? *cap * 2 : 16;
        ix->entries = mem_realloc(ix->entries, *cap * sizeof *ix->entries);
    }
    assert(ix->count < *cap);
    ix->entries[ix->count++] =
        (struct table_index_entry){h, e->seq, (uint32_t)ix->keys.len, (uint32_t)e->key.len};
    buf_append(&ix->keys, e->key);
    return NULL;
}

static const char *take_entries(struct table_index *ix, struct slice payload, uint64_t data_end)
{
    const char *fault = NULL;
    struct block block;
    struct block_iter bi;
    uint32_t cap = 0;
    block_iter_init(&bi);
    int rc = block_open(payload, &block);
    if (!rc) {
        block_iter_set(&bi, &block);
        rc = iter_first(&bi.it);
    }
    while (!rc && !fault) {
        fault = take_entry(ix, &cap, &bi.it.e, data_end);
        rc = iter_next(&bi.it);
    }
    if (rc < 0)
        fault = "the index block does not decode";
    block_iter_release(&bi);
    return fault;
}

/* The words, once all separators are known: the first and the last share what all share. */
static void fill_order(struct table_index *ix)
{
    if (ix->count == 0)
        return;
    ix->newest = mem_zalloc((ix->count / TABLE_INDEX_GROUP + 1) * sizeof *ix->newest);
    for (uint32_t i = 0; i < ix->count; i++) {
        uint64_t *newest = &ix->newest[i / TABLE_INDEX_GROUP], max = ix->entries[i].handle.max_seq;
        *newest = max > *newest ? max : *newest;
    }
    ix->shared = (uint32_t)slice_shared(separator(ix, 0), separator(ix, ix->count - 1));
    ix->entries = mem_realloc(ix->entries, ix->count * sizeof *ix->entries);
    ix->keys.data = mem_realloc(ix->keys.data, ix->keys.len);
    ix->keys.cap = ix->keys.len;
    ix->order = mem_alloc(ix->count * sizeof *ix->order);
    for (uint32_t i = 0; i < ix->count; i++)
        ix->order[i] = order_of(after_shared(ix, separator(ix, i)));
}

int table_index_build(struct table_index *ix, struct slice payload, uint64_t data_end,
                      const char *name, uint64_t offset)
{
    assert(ix->count == 0 && data_end >= FILE_HEADER_SIZE);
    const char *fault = take_entries(ix, payload, data_end);
    if (!fault && ix->count == 0)
        fault = "the index is empty";
    if (fault) {
        table_index_release(ix);
        return corrupt(name, offset, "%s", fault);
    }
    fill_order(ix);
    index_assert_valid(ix);
    return 0;
}

void table_index_release(struct table_index *ix)
{
    free(ix->order);
    free(ix->newest);
    free(ix->entries);
    buf_release(&ix->keys);
    *ix = (struct table_index){0};
}

uint64_t table_index_memory_bytes(const struct table_index *ix)
{
    return ix->count * (sizeof *ix->order + sizeof *ix->entries) + ix->keys.cap;
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
