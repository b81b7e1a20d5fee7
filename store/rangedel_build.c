/* rangedel_build: gathers tombstones and cuts them into fragments, in a sweep over the sorted
 * edges.
 *
 * Guarantees: neighbours that touch differ in their numbers, so the list is the shortest there is.
 * Time is O(n log n) for n tombstones, plus the numbers of all fragments: work in proportion to the
 * tombstones that lie over one another is done only where a fragment ends that holds a number for
 * each of them.
 *
 * Invariants of the sweep, between two keys:
 *   1. `active` holds the numbers of the tombstones that were begun and not ended, descending, each
 * with how many tombstones bear it (pieces of one may overlap); none bears it 0 times.
 *   2. The open fragment has just these numbers; they stand at the end of parts.seqs. There is none
 * open if and only if `active` is empty. */
#include "store/rangedel_parts.h"

#include <assert.h>
#include <stdlib.h>

struct tombstone {
    size_t start_at, end_at; /* in `keys` */
    uint32_t start_len, end_len;
    uint64_t seq;
};

struct rangedel_builder {
    struct buf keys;
    struct buf tombstones;
};

/* ---- gathering ---- */

struct rangedel_builder *rangedel_builder_new(void)
{
    return mem_zalloc(sizeof(struct rangedel_builder));
}

void rangedel_builder_free(struct rangedel_builder *b)
{
    if (!b)
        return;
    buf_release(&b->keys);
    buf_release(&b->tombstones);
    free(b);
}

bool rangedel_builder_empty(const struct rangedel_builder *b)
{
    return b->tombstones.len == 0;
}

static size_t tombstone_count(const struct rangedel_builder *b)
{
    return b->tombstones.len / sizeof(struct tombstone);
}

static const struct tombstone *tombstones(const struct rangedel_builder *b)
{
    return (const struct tombstone *)(const void *)b->tombstones.data;
}

static bool key_is_at(const struct rangedel_builder *b, struct slice key, size_t at, uint32_t len)
{
    return slice_eq(key, slice_of(b->keys.data + at, len));
}

/* Where `key` is in `keys`; it often is the start or the end of the last tombstone. */
static size_t put_key(struct rangedel_builder *b, struct slice key)
{
    size_t count = tombstone_count(b), at = b->keys.len;
    if (count) {
        const struct tombstone *last = &tombstones(b)[count - 1];
        if (key_is_at(b, key, last->start_at, last->start_len))
            return last->start_at;
        if (key_is_at(b, key, last->end_at, last->end_len))
            return last->end_at;
    }
    buf_append(&b->keys, key);
    return at;
}

void rangedel_builder_add(struct rangedel_builder *b, struct slice start, struct slice end,
                          uint64_t seq)
{
    assert(seq >= 1 && seq <= SEQ_MAX);
    assert(start.len <= UINT32_MAX && end.len <= UINT32_MAX);
    if (slice_cmp(start, end) >= 0)
        return;
    struct tombstone t = {.start_len = (uint32_t)start.len, .end_len = (uint32_t)end.len};
    t.start_at = put_key(b, start);
    t.end_at = put_key(b, end);
    t.seq = seq;
    buf_append_bytes(&b->tombstones, &t, sizeof t);
}

/* ---- edges ---- */

/* Where a tombstone begins or ends. */
struct edge {
    uint64_t head; /* the key's first eight bytes, big-endian, filled up with zeros */
    const uint8_t *key;
    uint32_t key_len;
    int32_t delta; /* 1: begins, -1: ends */
    uint64_t seq;
};

static struct edge edge_of(const struct rangedel_builder *b, size_t at, uint32_t len, uint64_t seq,
                           int32_t delta)
{
    uint8_t head[8] = {0};
    const uint8_t *key = b->keys.data + at;
    memcpy(head, key, len < sizeof head ? len : sizeof head);
    return (struct edge){get_be64(head), key, len, delta, seq};
}

static int edge_key_cmp(const struct edge *a, const struct edge *b)
{
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    return slice_cmp(slice_of(a->key, a->key_len), slice_of(b->key, b->key_len));
}

/* By key, then by number descending. */
static int edge_cmp(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    int order = edge_key_cmp(x, y);
    return order ? order : (x->seq < y->seq) - (x->seq > y->seq);
}

/* Both edges of each tombstone, sorted; the caller frees them. */
static struct edge *sorted_edges(const struct rangedel_builder *b)
{
    size_t count = tombstone_count(b);
    struct edge *edges = mem_alloc(2 * count * sizeof *edges);
    bool sorted = true; /* as they often are: tombstones of one source, one after the other */
    for (size_t i = 0; i < count; i++) {
        const struct tombstone *t = &tombstones(b)[i];
        edges[2 * i] = edge_of(b, t->start_at, t->start_len, t->seq, 1);
        edges[2 * i + 1] = edge_of(b, t->end_at, t->end_len, t->seq, -1);
        sorted = sorted && (i == 0 || edge_cmp(&edges[2 * i - 1], &edges[2 * i]) <= 0);
    }
    if (!sorted)
        qsort(edges, 2 * count, sizeof *edges, edge_cmp);
    return edges;
}

/* ---- the sweep ---- */

/* A number, and by how many tombstones it is borne; as a change, by how many more. */
struct bearers {
    uint64_t seq;
    int64_t count;
};

struct sweep {
    struct rangedel_parts parts;
    struct buf active, next, changes; /* struct bearers, descending seq */
    struct rangedel_span open;
};

static struct bearers *bearers_at(const struct buf *list, size_t i)
{
    assert(i < list->len / sizeof(struct bearers));
    return (struct bearers *)(void *)list->data + i;
}

/* Applies a change that leaves the numbers what they are. False: it does not. */
static bool recount(struct sweep *sw, const struct bearers *change)
{
    size_t lo = 0, hi = sw->active.len / sizeof *change, count = hi;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (bearers_at(&sw->active, mid)->seq <= change->seq)
            hi = mid;
        else
            lo = mid + 1;
    }
    if (lo == count)
        return false;
    struct bearers *found = bearers_at(&sw->active, lo);
    if (found->seq != change->seq || found->count + change->count == 0)
        return false;
    found->count += change->count;
    assert(found->count > 0);
    return true;
}

/* Sets `changes` to the numbers that come or go at the key of these edges. */
static void gather_changes(struct sweep *sw, const struct edge *edges, size_t count)
{
    buf_clear(&sw->changes);
    for (size_t i = 0; i < count;) {
        struct bearers change = {.seq = edges[i].seq};
        for (; i < count && edges[i].seq == change.seq; i++)
            change.count += edges[i].delta;
        if (change.count && !recount(sw, &change))
            buf_append_bytes(&sw->changes, &change, sizeof change);
    }
}

/* Merges `changes` into `active`: a number in both goes, one in either stays or comes. */
static void apply_changes(struct sweep *sw)
{
    const size_t size = sizeof(struct bearers);
    size_t active = sw->active.len / size, changes = sw->changes.len / size, a = 0, c = 0;
    buf_clear(&sw->next);
    while (a < active || c < changes) {
        const struct bearers *old = a < active ? bearers_at(&sw->active, a) : NULL;
        const struct bearers *change = c < changes ? bearers_at(&sw->changes, c) : NULL;
        if (old && change && old->seq == change->seq) {
            assert(old->count + change->count == 0);
            a++, c++;
        } else if (!change || (old && old->seq > change->seq)) {
            buf_append_bytes(&sw->next, old, size);
            a++;
        } else {
            assert(change->count > 0);
            buf_append_bytes(&sw->next, change, size);
            c++;
        }
    }
    struct buf swap = sw->active;
    sw->active = sw->next;
    sw->next = swap;
}

static void close_fragment(struct sweep *sw, size_t at, uint32_t len)
{
    if (sw->open.seq_count == 0)
        return;
    sw->open.end_at = at;
    sw->open.end_len = len;
    buf_append_bytes(&sw->parts.spans, &sw->open, sizeof sw->open);
    sw->open.seq_count = 0;
}

static void open_fragment(struct sweep *sw, size_t at, uint32_t len)
{
    assert(sw->open.seq_count == 0);
    size_t count = sw->active.len / sizeof(struct bearers);
    assert(count <= UINT32_MAX);
    sw->open = (struct rangedel_span){.start_at = at, .start_len = len};
    sw->open.seq_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        uint64_t seq = bearers_at(&sw->active, i)->seq;
        buf_append_bytes(&sw->parts.seqs, &seq, sizeof seq);
    }
}

static void sweep_edges(struct sweep *sw, const struct edge *edges, size_t count)
{
    for (size_t i = 0, group; i < count; i += group) {
        for (group = 1; i + group < count; group++)
            if (edge_key_cmp(&edges[i], &edges[i + group]) != 0)
                break;
        gather_changes(sw, &edges[i], group);
        if (sw->changes.len == 0)
            continue;
        apply_changes(sw);
        size_t at = (size_t)(edges[i].key - sw->parts.keys.data);
        close_fragment(sw, at, edges[i].key_len);
        open_fragment(sw, at, edges[i].key_len);
    }
    assert(sw->active.len == 0 && sw->open.seq_count == 0);
}

struct rangedel *rangedel_build(struct rangedel_builder *b)
{
    struct sweep sw = {0};
    struct edge *edges = sorted_edges(b);
    sw.parts.keys = b->keys;
    b->keys = (struct buf){0};
    sweep_edges(&sw, edges, 2 * tombstone_count(b));
    free(edges);
    buf_release(&b->tombstones);
    buf_release(&sw.active);
    buf_release(&sw.next);
    buf_release(&sw.changes);
    return rangedel_from_parts(&sw.parts);
}
