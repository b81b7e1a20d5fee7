/* sliced: a fixture: a store whose next compaction is far too large for what the disk has free, and
 * what is in it now and at a snapshot, read in every way, so that it can be compared at any time.
 */
#ifndef VARVE_UNIT_SLICED_H
#define VARVE_UNIT_SLICED_H

#include "tests/unit/store_rig.h"

enum {
    SLICED_KEYS = 1500, /* small values, in tables */
    SLICED_EACH = 20,   /* of them every so many has a value in a blob file */
    SLICED_FLUSHES = 4,
    SLICED_ROOM = 96 << 10, /* of a disk that is nearly full */
};

static inline uint64_t sliced_hash(struct slice s, uint64_t h)
{
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ s.data[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* The hashes of all entries that a cursor gives, in the order of keys. */
static inline void sliced_scan(const struct store_read *read, bool backward, struct buf *hashes)
{
    struct store_iter *it = store_iter_new(read, (struct slice){0}, (struct slice){0});
    int err = backward ? store_iter_last(it) : store_iter_first(it);
    buf_clear(hashes);
    for (; err == 0; err = backward ? store_iter_prev(it) : store_iter_next(it)) {
        struct slice value;
        uint64_t h = sliced_hash(store_iter_key(it), 14695981039346656037u);
        assert_ok(store_iter_value(it, &value));
        h = sliced_hash(value, h);
        buf_append_bytes(hashes, &h, sizeof h);
    }
    assert_int_equal(err, 1);
    store_iter_free(it);
    if (!backward)
        return;
    uint64_t *list = (uint64_t *)(void *)hashes->data;
    for (size_t i = 0, k = hashes->len / sizeof *list; i + 1 < k; i++) {
        uint64_t other = list[--k];
        list[k] = list[i];
        list[i] = other;
    }
}

/* Of all that a read sees: by cursors both ways, and by look-ups. */
static inline uint64_t sliced_contents_at(const struct store_read *read)
{
    struct buf forward = {0}, backward = {0};
    struct store_value v = {0};
    sliced_scan(read, false, &forward);
    sliced_scan(read, true, &backward);
    assert_true(slice_eq(buf_slice(&forward), buf_slice(&backward)));
    uint64_t h = sliced_hash(buf_slice(&forward), 1);
    for (uint64_t i = 0; i < SLICED_KEYS; i++) {
        int err = store_get(read, slice_str(rig_key(i)), &v);
        assert_true(err == 0 || err == 1);
        h = sliced_hash(err == 0 ? v.data : slice_str("none"), h);
    }
    store_value_release(&v);
    buf_release(&forward);
    buf_release(&backward);
    return h;
}

static inline int sliced_note_pin(void *ctx, const struct store_pin *pin)
{
    *(uint64_t *)ctx = pin->seq;
    return 0;
}

/* Now, and at the snapshot if there is one. */
static inline uint64_t sliced_contents(struct rig *r)
{
    struct store_read read;
    uint64_t pin = 0;
    store_read_begin(r->s, &read);
    uint64_t h = sliced_contents_at(&read);
    store_read_end(&read);
    assert_ok(store_pin_list(r->s, sliced_note_pin, &pin));
    if (pin == 0)
        return h;
    store_read_begin_at(r->s, pin, &read);
    h ^= sliced_contents_at(&read) * 3;
    store_read_end(&read);
    return h;
}

/* Everything on the bottom, a snapshot of it, and level 0 with as much again and more: overwritten,
 * deleted singly and in ranges that reach over many slices, folded. Closed. `blobs`: and values in
 * blob files. */
static inline void sliced_make(struct rig *r, bool blobs)
{
    struct store_pin pin;
    r->opt.level0_tables = 64;
    r->opt.memtable_bytes = 1 << 20;
    rig_open(r);
    rig_fill(r, 0, SLICED_KEYS, 300, 0);
    for (uint64_t i = 12; blobs && i < SLICED_KEYS; i += SLICED_EACH)
        rig_fill(r, i, i + 1, 900, 0);
    for (uint64_t i = 3; i < SLICED_KEYS; i += 100)
        rig_put(r, rig_key(i), "a");
    rig_compact(r);
    assert_ok(store_pin_create(r->s, "past", 1, &pin));
    for (uint64_t f = 1; f <= SLICED_FLUSHES; f++) {
        rig_fill(r, f, SLICED_KEYS, 300, f * 10000);
        for (uint64_t i = 12; blobs && i < SLICED_KEYS; i += SLICED_EACH)
            rig_fill(r, i, i + 1, 900, f);
        for (uint64_t i = f; i < SLICED_KEYS; i += 7)
            rig_delete(r, rig_key(i));
        for (uint64_t i = 3; i < SLICED_KEYS; i += 100)
            rig_merge_op(r, rig_key(i), "b");
        rig_delete_range(r, rig_key(200 * f), rig_key(200 * f + 300));
        assert_ok(store_flush(r->s));
    }
    rig_close(r);
    r->opt.level0_tables = 4;
    r->opt.memtable_bytes = 64 << 10;
}

/* Leaves the disk with so much. */
static inline void sliced_room(struct rig *r, uint64_t bytes)
{
    simdisk_set_capacity(r->disk, simdisk_used_bytes(r->disk) + bytes);
}

#endif
