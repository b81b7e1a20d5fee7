/* edit: see edit.h.
 *
 * Decoding is total: whatever the bytes, it ends in an edit that edit_add_*() could have made, or
 * in an error, and takes memory only in proportion to the bytes it was given.
 *
 * Invariants:
 *   1. blobs_garbage ascends by number, one entry per file.
 *   2. An array of n items has room for n rounded up to a power of two, at least ARRAY_LEAST. */
#include "store/edit.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { ARRAY_LEAST = 4 };

enum edit_tag {
    TAG_UUID = 1,
    TAG_NEXT_FILE = 3,
    TAG_FLUSHED = 5,
    TAG_LOG = 7,
    TAG_TABLE_REMOVED = 9,
    TAG_TABLE_ADDED = 11,
    TAG_BLOB_ADDED = 13,
    TAG_BLOB_GARBAGE = 15,
    TAG_BLOB_REMOVED = 17,
    TAG_PIN_REMOVED = 19,
    TAG_PIN_ADDED = 21,
    TAG_ANCESTOR = 23,
    TAG_HISTORY = 24,
    TAG_BLOB_KEY = 39,
};

void edit_init(struct edit *e)
{
    *e = (struct edit){0};
}

void edit_release(struct edit *e)
{
    for (uint32_t i = 0; i < e->tables_added_count; i++)
        table_meta_unref(e->tables_added[i].meta);
    for (uint32_t i = 0; i < e->pins_added_count; i++)
        free(e->pins_added[i].name);
    for (uint32_t i = 0; i < e->pins_removed_count; i++)
        free(e->pins_removed[i]);
    free(e->tables_added);
    free(e->tables_removed);
    free(e->blobs_added);
    free(e->blobs_garbage);
    free(e->blobs_removed);
    free(e->pins_added);
    free(e->pins_removed);
    lineage_release(&e->ancestors);
    edit_init(e);
}

/* Room for one more item behind `count`; moves the array only if that fills it (invariant 2). */
static void *array_grow(void *items, uint32_t count, size_t item_bytes)
{
    assert(count <= UINT32_MAX / 2);
    if (count == 0)
        return mem_realloc(items, ARRAY_LEAST * item_bytes);
    if (count < ARRAY_LEAST || (count & (count - 1)) != 0)
        return items;
    return mem_realloc(items, (size_t)count * 2 * item_bytes);
}

void edit_add_table(struct edit *e, int level, struct table_meta *meta)
{
    assert(level >= 0 && level < LEVEL_COUNT && meta->number != 0);
    assert(slice_cmp(buf_slice(&meta->smallest), buf_slice(&meta->limit)) < 0);
    e->tables_added = array_grow(e->tables_added, e->tables_added_count, sizeof e->tables_added[0]);
    e->tables_added[e->tables_added_count++] = (struct edit_table){level, table_meta_ref(meta)};
}

void edit_remove_table(struct edit *e, int level, uint64_t number)
{
    assert(level >= 0 && level < LEVEL_COUNT && number != 0);
    e->tables_removed =
        array_grow(e->tables_removed, e->tables_removed_count, sizeof e->tables_removed[0]);
    e->tables_removed[e->tables_removed_count++] = (struct edit_number){level, number};
}

int edit_removed_from(const struct edit *e, uint64_t number)
{
    for (uint32_t i = 0; i < e->tables_removed_count; i++)
        if (e->tables_removed[i].number == number)
            return e->tables_removed[i].level;
    return -1;
}

void edit_add_blob(struct edit *e, uint64_t number, uint64_t count, uint64_t bytes,
                   uint64_t file_bytes)
{
    assert(number != 0);
    e->blobs_added = array_grow(e->blobs_added, e->blobs_added_count, sizeof e->blobs_added[0]);
    e->blobs_added[e->blobs_added_count++] = (struct edit_blob){
        .number = number, .count = count, .bytes = bytes, .file_bytes = file_bytes};
}

void edit_set_blob_key(struct edit *e, uint64_t number, uint32_t key_epoch, uint64_t header_sum)
{
    assert(e->blobs_added_count > 0);
    struct edit_blob *b = &e->blobs_added[e->blobs_added_count - 1];
    assert(b->number == number);
    b->key_epoch = key_epoch;
    b->header_sum = key_epoch ? header_sum : 0;
}

/* Index of the first garbage entry whose number is >= `number`. */
static uint32_t garbage_find(const struct edit *e, uint64_t number)
{
    uint32_t lo = 0, hi = e->blobs_garbage_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (e->blobs_garbage[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void edit_add_garbage(struct edit *e, uint64_t number, uint64_t count, uint64_t bytes)
{
    assert(number != 0);
    uint32_t i = garbage_find(e, number);
    if (i == e->blobs_garbage_count || e->blobs_garbage[i].number != number) {
        e->blobs_garbage =
            array_grow(e->blobs_garbage, e->blobs_garbage_count, sizeof e->blobs_garbage[0]);
        struct edit_blob *at = e->blobs_garbage + i;
        memmove(at + 1, at, (e->blobs_garbage_count - i) * sizeof *at);
        *at = (struct edit_blob){.number = number};
        e->blobs_garbage_count++;
    }
    struct edit_blob *b = &e->blobs_garbage[i];
    assert(b->count + count >= count && b->bytes + bytes >= bytes);
    b->count += count;
    b->bytes += bytes;
}

void edit_remove_blob(struct edit *e, uint64_t number)
{
    assert(number != 0);
    e->blobs_removed =
        array_grow(e->blobs_removed, e->blobs_removed_count, sizeof e->blobs_removed[0]);
    e->blobs_removed[e->blobs_removed_count++] = number;
}

static bool pin_name_ok(struct slice name)
{
    return name.len >= 1 && name.len <= PIN_NAME_MAX && !memchr(name.data, 0, name.len);
}

void edit_append(struct edit *e, const struct edit *from)
{
    assert(from->tables_removed_count == 0 && from->blobs_removed_count == 0);
    assert(from->pins_added_count == 0 && from->pins_removed_count == 0);
    assert(!from->has_uuid && !from->has_flushed && !from->has_log);
    for (uint32_t i = 0; i < from->tables_added_count; i++)
        edit_add_table(e, from->tables_added[i].level, from->tables_added[i].meta);
    for (uint32_t i = 0; i < from->blobs_added_count; i++) {
        const struct edit_blob *b = &from->blobs_added[i];
        edit_add_blob(e, b->number, b->count, b->bytes, b->file_bytes);
        edit_set_blob_key(e, b->number, b->key_epoch, b->header_sum);
    }
    for (uint32_t i = 0; i < from->blobs_garbage_count; i++) {
        const struct edit_blob *b = &from->blobs_garbage[i];
        edit_add_garbage(e, b->number, b->count, b->bytes);
    }
    if (from->has_history && (!e->has_history || e->history_seq < from->history_seq))
        e->history_seq = from->history_seq;
    e->has_history |= from->has_history;
}

void edit_add_pin(struct edit *e, const struct pin *pin)
{
    assert(pin->seq >= 1 && pin->seq <= SEQ_MAX && pin_name_ok(slice_str(pin->name)));
    e->pins_added = array_grow(e->pins_added, e->pins_added_count, sizeof e->pins_added[0]);
    struct pin *copy = &e->pins_added[e->pins_added_count++];
    *copy = *pin;
    copy->name = mem_strdup(pin->name);
}

void edit_remove_pin(struct edit *e, const char *name)
{
    assert(pin_name_ok(slice_str(name)));
    e->pins_removed = array_grow(e->pins_removed, e->pins_removed_count, sizeof e->pins_removed[0]);
    e->pins_removed[e->pins_removed_count++] = mem_strdup(name);
}

/* ---- encoding ---- */

/* Moves what `field` gathered behind its tag into `out`. */
static void put_field(struct buf *out, enum edit_tag tag, struct buf *field)
{
    buf_put_varint(out, (uint64_t)tag);
    buf_put_lenbytes(out, buf_slice(field));
    buf_clear(field);
}

static void put_number(struct buf *out, enum edit_tag tag, uint64_t number)
{
    uint8_t bytes[VARINT64_MAX];
    buf_put_varint(out, (uint64_t)tag);
    buf_put_lenbytes(out, slice_of(bytes, varint_put(bytes, number)));
}

static void encode_state(const struct edit *e, struct buf *field, struct buf *out)
{
    if (e->has_uuid) {
        buf_append_bytes(field, e->uuid, UUID_SIZE);
        buf_put_u64(field, e->features);
        put_field(out, TAG_UUID, field);
    }
    for (uint32_t i = 0; i < e->ancestors.count; i++) {
        buf_put_varint(field, e->ancestors.parts[i].end);
        buf_append_bytes(field, e->ancestors.parts[i].uuid, UUID_SIZE);
        put_field(out, TAG_ANCESTOR, field);
    }
    if (e->has_history)
        put_number(out, TAG_HISTORY, e->history_seq);
    if (e->has_next_file)
        put_number(out, TAG_NEXT_FILE, e->next_file);
    if (e->has_flushed)
        put_number(out, TAG_FLUSHED, e->flushed_seq);
    if (e->has_log)
        put_number(out, TAG_LOG, e->log_number);
}

static void encode_tables(const struct edit *e, struct buf *field, struct buf *out)
{
    for (uint32_t i = 0; i < e->tables_removed_count; i++) {
        buf_put_varint(field, (uint64_t)e->tables_removed[i].level);
        buf_put_varint(field, e->tables_removed[i].number);
        put_field(out, TAG_TABLE_REMOVED, field);
    }
    for (uint32_t i = 0; i < e->tables_added_count; i++) {
        buf_put_varint(field, (uint64_t)e->tables_added[i].level);
        table_meta_encode(e->tables_added[i].meta, field);
        put_field(out, TAG_TABLE_ADDED, field);
    }
}

static void encode_blobs(const struct edit *e, struct buf *field, struct buf *out)
{
    for (uint32_t i = 0; i < e->blobs_added_count; i++) {
        const struct edit_blob *b = &e->blobs_added[i];
        buf_put_varint(field, b->number);
        buf_put_varint(field, b->count);
        buf_put_varint(field, b->bytes);
        buf_put_varint(field, b->file_bytes);
        put_field(out, TAG_BLOB_ADDED, field);
        if (b->key_epoch == 0)
            continue;
        buf_put_varint(field, b->number);
        buf_put_varint(field, b->key_epoch);
        buf_put_u64(field, b->header_sum);
        put_field(out, TAG_BLOB_KEY, field);
    }
    for (uint32_t i = 0; i < e->blobs_garbage_count; i++) {
        const struct edit_blob *b = &e->blobs_garbage[i];
        assert(i == 0 || b[-1].number < b->number);
        buf_put_varint(field, b->number);
        buf_put_varint(field, b->count);
        buf_put_varint(field, b->bytes);
        put_field(out, TAG_BLOB_GARBAGE, field);
    }
    for (uint32_t i = 0; i < e->blobs_removed_count; i++)
        put_number(out, TAG_BLOB_REMOVED, e->blobs_removed[i]);
}

static void encode_pins(const struct edit *e, struct buf *field, struct buf *out)
{
    for (uint32_t i = 0; i < e->pins_removed_count; i++) {
        buf_append(field, slice_str(e->pins_removed[i]));
        put_field(out, TAG_PIN_REMOVED, field);
    }
    for (uint32_t i = 0; i < e->pins_added_count; i++) {
        const struct pin *p = &e->pins_added[i];
        buf_put_varint(field, p->seq);
        buf_put_u64(field, p->tag);
        buf_put_u64(field, (uint64_t)p->created_ns);
        buf_append(field, slice_str(p->name));
        put_field(out, TAG_PIN_ADDED, field);
    }
}

void edit_encode(const struct edit *e, struct buf *out)
{
    struct buf field = {0};
    encode_state(e, &field, out);
    encode_tables(e, &field, out);
    encode_blobs(e, &field, out);
    encode_pins(e, &field, out);
    buf_release(&field);
}

/* ---- decoding: each returns false for a field that is not sound ---- */

static bool take_level(struct slice *in, int *level)
{
    uint64_t v;
    if (!take_varint(in, &v) || v >= LEVEL_COUNT)
        return false;
    *level = (int)v;
    return true;
}

/* A file number: never 0. */
static bool take_number(struct slice *in, uint64_t *number)
{
    return take_varint(in, number) && *number != 0;
}

static bool decode_uuid(struct slice in, struct edit *e)
{
    struct slice uuid;
    if (e->has_uuid || !take_bytes(&in, UUID_SIZE, &uuid) || !take_u64(&in, &e->features))
        return false;
    memcpy(e->uuid, uuid.data, UUID_SIZE);
    e->has_uuid = true;
    return in.len == 0;
}

static bool decode_ancestor(struct slice in, struct edit *e)
{
    uint64_t end;
    struct slice uuid;
    return take_varint(&in, &end) && take_bytes(&in, UUID_SIZE, &uuid) && in.len == 0 &&
           lineage_add(&e->ancestors, end, uuid.data);
}

static bool decode_once(struct slice in, bool *has, uint64_t *v, uint64_t v_max)
{
    if (*has)
        return false;
    *has = true;
    return take_varint(&in, v) && *v <= v_max && in.len == 0;
}

static bool decode_table_removed(struct slice in, struct edit *e)
{
    int level;
    uint64_t number;
    if (!take_level(&in, &level) || !take_number(&in, &number) || in.len != 0)
        return false;
    edit_remove_table(e, level, number);
    return true;
}

static bool decode_table_added(struct slice in, struct edit *e)
{
    int level;
    struct table_meta *meta;
    if (!take_level(&in, &level) || table_meta_decode(in, &meta) != 0)
        return false;
    bool ok = meta->number != 0;
    if (ok)
        edit_add_table(e, level, meta);
    table_meta_unref(meta);
    return ok;
}

static bool decode_blob_added(struct slice in, struct edit *e)
{
    struct edit_blob b;
    if (!take_number(&in, &b.number) || !take_varint(&in, &b.count) ||
        !take_varint(&in, &b.bytes) || !take_varint(&in, &b.file_bytes) || in.len != 0)
        return false;
    edit_add_blob(e, b.number, b.count, b.bytes, b.file_bytes);
    return true;
}

static bool decode_blob_key(struct slice in, struct edit *e)
{
    uint64_t number, header_sum;
    uint32_t epoch, n = e->blobs_added_count;
    if (!take_number(&in, &number) || !take_varint32(&in, &epoch) || !take_u64(&in, &header_sum) ||
        in.len != 0 || epoch == 0)
        return false;
    if (n == 0 || e->blobs_added[n - 1].number != number || e->blobs_added[n - 1].key_epoch != 0)
        return false;
    edit_set_blob_key(e, number, epoch, header_sum);
    return true;
}

static bool decode_garbage(struct slice in, struct edit *e)
{
    struct edit_blob b;
    uint32_t n = e->blobs_garbage_count;
    if (!take_number(&in, &b.number) || !take_varint(&in, &b.count) ||
        !take_varint(&in, &b.bytes) || in.len != 0)
        return false;
    if (n > 0 && e->blobs_garbage[n - 1].number >= b.number)
        return false;
    edit_add_garbage(e, b.number, b.count, b.bytes);
    return true;
}

static bool decode_blob_removed(struct slice in, struct edit *e)
{
    uint64_t number;
    if (!take_number(&in, &number) || in.len != 0)
        return false;
    edit_remove_blob(e, number);
    return true;
}

static bool decode_pin_removed(struct slice in, struct edit *e)
{
    char name[PIN_NAME_MAX + 1] = "";
    if (!pin_name_ok(in))
        return false;
    memcpy(name, in.data, in.len);
    edit_remove_pin(e, name);
    return true;
}

static bool decode_pin_added(struct slice in, struct edit *e)
{
    char name[PIN_NAME_MAX + 1] = "";
    struct pin p = {.name = name};
    uint64_t created;
    if (!take_varint(&in, &p.seq) || !take_u64(&in, &p.tag) || !take_u64(&in, &created))
        return false;
    if (p.seq < 1 || p.seq > SEQ_MAX || !pin_name_ok(in))
        return false;
    p.created_ns = (int64_t)created;
    memcpy(name, in.data, in.len);
    edit_add_pin(e, &p);
    return true;
}

/* Returns 0, -EIO or -EPROTONOSUPPORT. */
static int decode_field(uint64_t tag, struct slice in, struct edit *e)
{
    bool ok = false;
    switch (tag) {
    case 0: /* a stretch of zeros is no edit */
        break;
    case TAG_UUID:
        ok = decode_uuid(in, e);
        break;
    case TAG_NEXT_FILE:
        ok = decode_once(in, &e->has_next_file, &e->next_file, UINT64_MAX);
        break;
    case TAG_FLUSHED:
        ok = decode_once(in, &e->has_flushed, &e->flushed_seq, SEQ_MAX);
        break;
    case TAG_LOG:
        ok = decode_once(in, &e->has_log, &e->log_number, UINT64_MAX);
        break;
    case TAG_TABLE_REMOVED:
        ok = decode_table_removed(in, e);
        break;
    case TAG_TABLE_ADDED:
        ok = decode_table_added(in, e);
        break;
    case TAG_BLOB_ADDED:
        ok = decode_blob_added(in, e);
        break;
    case TAG_BLOB_KEY:
        ok = decode_blob_key(in, e);
        break;
    case TAG_BLOB_GARBAGE:
        ok = decode_garbage(in, e);
        break;
    case TAG_BLOB_REMOVED:
        ok = decode_blob_removed(in, e);
        break;
    case TAG_PIN_REMOVED:
        ok = decode_pin_removed(in, e);
        break;
    case TAG_PIN_ADDED:
        ok = decode_pin_added(in, e);
        break;
    case TAG_ANCESTOR:
        ok = decode_ancestor(in, e);
        break;
    case TAG_HISTORY:
        ok = decode_once(in, &e->has_history, &e->history_seq, SEQ_MAX);
        break;
    default:
        return tag % 2 ? -EPROTONOSUPPORT : 0;
    }
    return ok ? 0 : -EIO;
}

int edit_decode(struct slice in, struct edit *e)
{
    assert(!e->has_uuid && e->tables_added_count == 0 && e->blobs_garbage_count == 0);
    int ret = 0;
    while (in.len > 0 && ret == 0) {
        uint64_t tag;
        struct slice field;
        if (!take_varint(&in, &tag) || !take_lenbytes(&in, &field))
            ret = -EIO;
        else
            ret = decode_field(tag, field, e);
    }
    assert(ret <= 0);
    if (ret != 0)
        edit_release(e);
    return ret;
}
