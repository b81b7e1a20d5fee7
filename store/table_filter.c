/* table_filter: the filter of a table: one, resident, or a large one in parts.
 *
 * A filter over many keys is cut by the hashes, which are spread evenly: part i of n has those with
 * hash * n / 2^64 = i. So a hash names its part, and the directory of parts is no more than where
 * their frames are. It stays in memory; parts come and go through the cache, as data blocks do.
 *
 * Guarantees: no false "no", whatever is in the cache. A part is verified before it is used; what
 * is wrong with it is raised by corrupt().
 *
 * Invariants:
 *   1. Frames of parts lie one behind the other, before the directory's.
 *   2. Nothing changes once the filter is open. */
#include "store/table_priv.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* The first byte of a directory; that of a filter is its version, 1. */
enum { DIRECTORY = 2 };

/* ---- writing ---- */

uint32_t table_filter_parts(size_t hash_count, uint32_t whole_max)
{
    if (hash_count <= whole_max)
        return 1;
    size_t each = whole_max < TABLE_FILTER_PART_HASHES ? whole_max : TABLE_FILTER_PART_HASHES;
    size_t parts = (hash_count + each - 1) / each;
    return parts < UINT32_MAX ? (uint32_t)parts : UINT32_MAX;
}

static uint32_t part_of(uint64_t hash, uint32_t parts)
{
    return (uint32_t)((unsigned __int128)hash * parts >> 64);
}

/* In place (American flag sort, McIlroy et al. 1993): what stands where another part's are to be is
 * changed for what stands where it is to be itself. */
void table_filter_sort(uint64_t *hashes, size_t count, uint32_t parts, size_t *ends)
{
    size_t *next = mem_alloc(parts * sizeof *next), begin = 0;
    memset(ends, 0, parts * sizeof *ends);
    for (size_t i = 0; i < count; i++)
        ends[part_of(hashes[i], parts)]++;
    for (uint32_t p = 0; p < parts; begin = ends[p++]) {
        next[p] = begin;
        ends[p] += begin;
    }
    assert(ends[parts - 1] == count);
    for (uint32_t p = 0; p < parts; p++)
        while (next[p] < ends[p]) {
            uint64_t *here = &hashes[next[p]];
            uint64_t *there = &hashes[next[part_of(*here, parts)]++];
            uint64_t hash = *here;
            *here = *there;
            *there = hash;
        }
    free(next);
}

void table_filter_directory(const struct frame_ref *parts, uint32_t count, struct buf *out)
{
    buf_put_u8(out, DIRECTORY);
    buf_put_varint(out, count);
    buf_put_varint(out, parts[0].offset);
    for (uint32_t i = 0; i < count; i++) {
        assert(i == 0 || parts[i].offset == parts[i - 1].offset + parts[i - 1].len);
        buf_put_varint(out, parts[i].len);
    }
}

/* ---- opening ---- */

/* False: it is no directory of frames in [FILE_HEADER_SIZE, end). */
static bool take_directory(struct table_filter *f, struct slice in, uint64_t end)
{
    uint8_t kind;
    uint32_t count;
    uint64_t at;
    if (!take_u8(&in, &kind) || !take_varint32(&in, &count) || !take_varint(&in, &at) ||
        count < 2 || count > in.len || at < FILE_HEADER_SIZE)
        return false;
    f->parts = mem_alloc(count * sizeof *f->parts);
    for (; f->part_count < count; f->part_count++) {
        struct frame_ref *part = &f->parts[f->part_count];
        part->offset = at;
        if (!take_varint32(&in, &part->len) || part->len < FRAME_HEADER_SIZE || at > end ||
            part->len > end - at)
            return false;
        at += part->len;
    }
    return in.len == 0;
}

int table_filter_open(struct table_filter *f, struct buf *payload, uint64_t end)
{
    assert(!f->is_there);
    if (payload->len > 0 && payload->data[0] == DIRECTORY) {
        if (!take_directory(f, buf_slice(payload), end))
            return -EIO;
    } else {
        f->bytes = *payload;
        *payload = (struct buf){0};
        if (filter_open(buf_slice(&f->bytes), &f->whole))
            return -EIO;
    }
    f->is_there = true;
    return 0;
}

void table_filter_release(struct table_filter *f)
{
    buf_release(&f->bytes);
    free(f->parts);
    *f = (struct table_filter){0};
}

uint64_t table_filter_memory_bytes(const struct table_filter *f)
{
    return f->bytes.cap + f->part_count * sizeof *f->parts;
}

/* ---- asking ---- */

/* A part, pinned in the cache. */
static int pin_part(struct table *t, const struct frame_ref *where, struct cache_item **item)
{
    struct frame_header h;
    struct buf frame = {0};
    *item = cache_get(t->cache, STORE_CACHE_FILTER, t->meta->number, where->offset);
    if (*item)
        return 0;
    int rc = file_read_frame(&t->file, where, &frame, &h);
    if (rc == 0) {
        struct cache_item *room = cache_alloc(h.raw_len);
        struct slice stored = frame_stored(buf_slice(&frame));
        if (frame_unpack_to(&t->file.codec, where->offset, &h, stored, cache_bytes(room))) {
            cache_discard(room);
            rc = corrupt(t->file.path, where->offset, "a part of the filter does not decode");
        } else {
            *item = table_cache_part(t, where->offset, room);
        }
    }
    buf_release(&frame);
    return rc;
}

int table_filter_ask(struct table *t, uint64_t hash, bool *maybe)
{
    const struct table_filter *f = &t->filter;
    struct filter part;
    struct cache_item *item;
    assert(f->is_there);
    *maybe = true;
    if (f->part_count == 0) {
        *maybe = filter_may_contain(&f->whole, hash);
        return 0;
    }
    const struct frame_ref *where = &f->parts[part_of(hash, f->part_count)];
    int rc = pin_part(t, where, &item);
    if (rc)
        return rc;
    if (filter_open(item->data, &part))
        rc = corrupt(t->file.path, where->offset, "a part of the filter does not decode");
    else
        *maybe = filter_may_contain(&part, hash);
    cache_release(t->cache, item);
    return rc;
}

void table_filter_prefetch(const struct table *t, uint64_t hash)
{
    if (t->filter.is_there && t->filter.part_count == 0)
        filter_prefetch(&t->filter.whole, hash);
}

uint32_t table_filter_part_of(const struct table_filter *f, uint64_t hash)
{
    return f->part_count ? part_of(hash, f->part_count) : 0;
}

int table_denies_prefix(struct table *t, uint64_t rule, uint64_t hash, bool *denies)
{
    bool maybe = true;
    int rc = 0;
    if (t->filter.is_there && t->meta->prefix_rule == rule && rule != 0)
        rc = table_filter_ask(t, hash, &maybe);
    *denies = !maybe;
    return rc;
}
