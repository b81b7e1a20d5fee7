/* format: see format.h. Encoders write every byte of their structure; decoders are total functions
 * of their input: whatever the bytes are, they end in a verdict and read nothing outside.
 *
 * Invariants:
 * 1. What an encoder writes, its decoder accepts, and gives back the same fields.
 * 2. A decoder accepts one spelling only: reserved bytes are zero, names and CURRENT are canonical.
 * So encoding what was decoded gives the bytes that were read, and a checksum over one is over the
 * other.
 * 3. The checksum of a file header is at the same place in every format version, so that a newer
 * file can be told from a damaged one. */
#include "store/format.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

/* Places within the file header. */
enum {
    HEADER_AT_VERSION = 8,
    HEADER_AT_KIND = 10,
    HEADER_AT_CIPHER = 11,
    HEADER_AT_EPOCH = 12,
    HEADER_AT_FEATURES = 16,
    HEADER_AT_UUID = 24,
    HEADER_AT_NUMBER = 40,
    HEADER_AT_SALT = 48,
    HEADER_AT_RESERVED = 80,
    HEADER_AT_SUM = 88,
};

/* Places within the frame header. */
enum {
    FRAME_AT_STORED = 0,
    FRAME_AT_RAW = 4,
    FRAME_AT_CODEC = 8,
    FRAME_AT_CIPHER = 9,
    FRAME_AT_EPOCH = 10,
    FRAME_AT_DICT = 12,
    FRAME_AT_FLAGS = 14,
    FRAME_AT_SUM = 16,
};

/* Places within the table footer. */
enum {
    FOOTER_AT_TAG = FOOTER_TAGGED_SIZE,
    FOOTER_AT_SUM = 80,
    FOOTER_AT_MAGIC = 88,
    FOOTER_REF_SIZE = 16
};

enum { NAME_DIGITS_MIN = 6 };

_Static_assert(HEADER_AT_UUID + UUID_SIZE == HEADER_AT_NUMBER, "uuid fits its place");
_Static_assert(HEADER_AT_SALT + SALT_SIZE == HEADER_AT_RESERVED, "salt fits its place");
_Static_assert(HEADER_AT_SUM + 8 == FILE_HEADER_SIZE, "the checksum ends the file header");
_Static_assert(FRAME_AT_SUM + 8 == FRAME_HEADER_SIZE, "the checksum ends the frame header");
_Static_assert(4 * FOOTER_REF_SIZE == FOOTER_AT_TAG, "four references");
_Static_assert(FOOTER_AT_TAG + FRAME_TAG_SIZE == FOOTER_AT_SUM, "the checksum follows the tag");
_Static_assert(FOOTER_AT_MAGIC + 8 == TABLE_FOOTER_SIZE, "the magic ends the footer");
_Static_assert((uint64_t)FRAME_RAW_MAX + FRAME_HEADER_SIZE <= UINT32_MAX, "lengths are 32 bits");

static const uint8_t header_magic[8] = {'V', 'A', 'R', 'V', 'E', '\r', '\n', 0x1a};
static const uint8_t footer_magic[8] = {'V', 'R', 'V', 'T', 'A', 'B', 'L', 'E'};

/* ---- names ---- */

static const struct {
    enum file_kind kind;
    const char *suffix;
} suffixes[] = {
    {FILE_MANIFEST, "manifest"}, {FILE_LOG, "log"},       {FILE_TABLE, "table"},
    {FILE_BLOB, "blob"},         {FILE_PARITY, "parity"}, {FILE_TEMP, "tmp"},
};
enum { SUFFIX_COUNT = sizeof suffixes / sizeof suffixes[0] };

/* Names without a number. */
static const struct {
    enum file_kind kind;
    const char *name;
} fixed[] = {
    {FILE_CURRENT, "CURRENT"},     {FILE_LOCK, "LOCK"},          {FILE_TAIL, "TAIL"},
    {FILE_KEYS, "KEYS"},           {FILE_KEYS_TEMP, "KEYS.tmp"}, {FILE_EVENTS, "EVENTS"},
    {FILE_EVENTS_OLD, "EVENTS.1"}, {FILE_SCRUB, "SCRUB"},        {FILE_INCOMPLETE, "INCOMPLETE"},
};
enum { FIXED_COUNT = sizeof fixed / sizeof fixed[0] };

static const char *suffix_of(enum file_kind kind)
{
    for (int i = 0; i < SUFFIX_COUNT; i++)
        if (suffixes[i].kind == kind)
            return suffixes[i].suffix;
    return NULL;
}

char *name_file(const char *dir, enum file_kind kind, uint64_t number)
{
    const char *suffix = suffix_of(kind);
    assert(suffix);
    return mem_printf("%s/%0*" PRIu64 ".%s", dir, NAME_DIGITS_MIN, number, suffix);
}

char *name_current(const char *dir)
{
    return mem_printf("%s/CURRENT", dir);
}

char *name_lock(const char *dir)
{
    return mem_printf("%s/LOCK", dir);
}

char *name_tail(const char *dir)
{
    return mem_printf("%s/TAIL", dir);
}

char *name_events(const char *dir, bool old)
{
    return mem_printf("%s/EVENTS%s", dir, old ? ".1" : "");
}

char *name_incomplete(const char *dir)
{
    return mem_printf("%s/INCOMPLETE", dir);
}

char *name_scrub(const char *dir)
{
    return mem_printf("%s/SCRUB", dir);
}

char *name_temp(const char *dir, uint64_t number)
{
    return name_file(dir, FILE_TEMP, number);
}

char *name_keys(const char *dir)
{
    return mem_printf("%s/KEYS", dir);
}

char *name_keys_temp(const char *dir)
{
    return mem_printf("%s/KEYS.tmp", dir);
}

const char *file_kind_name(enum file_kind kind)
{
    switch (kind) {
    case FILE_MANIFEST:
        return "manifest";
    case FILE_LOG:
        return "log";
    case FILE_TABLE:
        return "table";
    case FILE_BLOB:
        return "blob file";
    case FILE_PARITY:
        return "parity file";
    case FILE_CURRENT:
        return "CURRENT";
    case FILE_LOCK:
        return "lock";
    case FILE_TAIL:
        return "end of the log";
    case FILE_SCRUB:
        return "SCRUB";
    case FILE_TEMP:
    case FILE_KEYS_TEMP:
        return "temporary file";
    case FILE_KEYS:
        return "keys";
    case FILE_EVENTS:
    case FILE_EVENTS_OLD:
        return "event log";
    case FILE_INCOMPLETE:
        return "mark of an unfinished checkpoint";
    }
    return "unknown file";
}

/* Takes the decimal digits at the front, as name_file() writes them. False when there are fewer
 * than six, zeros beyond the sixth place, or more than 64 bits hold. */
static bool take_number(struct slice *in, uint64_t *number)
{
    uint64_t v = 0;
    size_t n = 0;
    for (; n < in->len && in->data[n] >= '0' && in->data[n] <= '9'; n++) {
        uint64_t digit = (uint64_t)(in->data[n] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    if (n < NAME_DIGITS_MIN || (n > NAME_DIGITS_MIN && in->data[0] == '0'))
        return false;
    *number = v;
    in->data += n;
    in->len -= n;
    return true;
}

int name_parse(const char *name, enum file_kind *kind, uint64_t *number)
{
    *kind = FILE_CURRENT;
    *number = 0;
    for (int i = 0; i < FIXED_COUNT; i++)
        if (strcmp(name, fixed[i].name) == 0) {
            *kind = fixed[i].kind;
            return 0;
        }
    struct slice rest = slice_str(name);
    if (!take_number(&rest, number) || rest.len == 0 || rest.data[0] != '.')
        return 1;
    rest = slice_of(rest.data + 1, rest.len - 1);
    for (int i = 0; i < SUFFIX_COUNT; i++)
        if (slice_eq(rest, slice_str(suffixes[i].suffix))) {
            *kind = suffixes[i].kind;
            return 0;
        }
    return 1;
}

/* ---- file header ---- */

static bool kind_has_header(unsigned kind)
{
    return kind >= FILE_MANIFEST && kind <= FILE_PARITY;
}

static bool all_zero(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

void file_header_encode(const struct file_header *h, uint8_t out[FILE_HEADER_SIZE])
{
    assert(kind_has_header(h->kind));
    assert(h->version > 0);
    memcpy(out, header_magic, sizeof header_magic);
    put_u16(out + HEADER_AT_VERSION, h->version);
    out[HEADER_AT_KIND] = (uint8_t)h->kind;
    out[HEADER_AT_CIPHER] = h->cipher;
    put_u32(out + HEADER_AT_EPOCH, h->key_epoch);
    put_u64(out + HEADER_AT_FEATURES, h->features);
    memcpy(out + HEADER_AT_UUID, h->uuid, UUID_SIZE);
    put_u64(out + HEADER_AT_NUMBER, h->number);
    memcpy(out + HEADER_AT_SALT, h->salt, SALT_SIZE);
    put_u64(out + HEADER_AT_RESERVED, 0);
    put_u64(out + HEADER_AT_SUM, XXH3_64bits(out, HEADER_AT_SUM));
}

uint64_t file_header_sum(const struct file_header *h)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    file_header_encode(h, bytes);
    return get_u64(bytes + HEADER_AT_SUM);
}

static void header_fields(const uint8_t *p, struct file_header *h)
{
    h->kind = (enum file_kind)p[HEADER_AT_KIND];
    h->version = get_u16(p + HEADER_AT_VERSION);
    h->cipher = p[HEADER_AT_CIPHER];
    h->key_epoch = get_u32(p + HEADER_AT_EPOCH);
    h->features = get_u64(p + HEADER_AT_FEATURES);
    memcpy(h->uuid, p + HEADER_AT_UUID, UUID_SIZE);
    h->number = get_u64(p + HEADER_AT_NUMBER);
    memcpy(h->salt, p + HEADER_AT_SALT, SALT_SIZE);
}

enum header_verdict file_header_decode(struct slice in, struct file_header *out)
{
    *out = (struct file_header){0};
    size_t magic_len = in.len < sizeof header_magic ? in.len : sizeof header_magic;
    if (magic_len && memcmp(in.data, header_magic, magic_len) != 0)
        return HEADER_NOT_OURS;
    if (in.len < FILE_HEADER_SIZE)
        return HEADER_DAMAGED;
    if (get_u64(in.data + HEADER_AT_SUM) != XXH3_64bits(in.data, HEADER_AT_SUM))
        return HEADER_DAMAGED;
    header_fields(in.data, out);
    if (out->version > FORMAT_VERSION || (out->features & ~FILE_FEATURES_KNOWN) != 0)
        return HEADER_NEWER;
    if (out->version == 0 || !kind_has_header(out->kind) ||
        !all_zero(in.data + HEADER_AT_RESERVED, HEADER_AT_SUM - HEADER_AT_RESERVED))
        return HEADER_DAMAGED;
    return HEADER_OK;
}

/* ---- frame header ---- */

void frame_header_encode(const struct frame_header *h, uint8_t out[FRAME_HEADER_SIZE])
{
    put_u32(out + FRAME_AT_STORED, h->stored_len);
    put_u32(out + FRAME_AT_RAW, h->raw_len);
    out[FRAME_AT_CODEC] = h->codec;
    out[FRAME_AT_CIPHER] = h->cipher;
    put_u16(out + FRAME_AT_EPOCH, h->key_epoch);
    put_u16(out + FRAME_AT_DICT, h->dict);
    put_u16(out + FRAME_AT_FLAGS, h->flags);
    put_u64(out + FRAME_AT_SUM, h->checksum);
}

void frame_header_decode(const uint8_t in[FRAME_HEADER_SIZE], struct frame_header *h)
{
    h->stored_len = get_u32(in + FRAME_AT_STORED);
    h->raw_len = get_u32(in + FRAME_AT_RAW);
    h->codec = in[FRAME_AT_CODEC];
    h->cipher = in[FRAME_AT_CIPHER];
    h->key_epoch = get_u16(in + FRAME_AT_EPOCH);
    h->dict = get_u16(in + FRAME_AT_DICT);
    h->flags = get_u16(in + FRAME_AT_FLAGS);
    h->checksum = get_u64(in + FRAME_AT_SUM);
}

/* ---- header of TAIL ---- */

enum { TAIL_AT_NUMBER = 8, TAIL_AT_BASE = 16, TAIL_AT_RESERVED = 24, TAIL_AT_SUM = 56 };
static const uint8_t tail_magic[8] = {'V', 'R', 'V', 'E', 'T', 'A', 'I', 'L'};

void logtail_header_encode(uint64_t number, uint64_t base, uint8_t out[LOGTAIL_HEADER_SIZE])
{
    memcpy(out, tail_magic, sizeof tail_magic);
    put_u64(out + TAIL_AT_NUMBER, number);
    put_u64(out + TAIL_AT_BASE, base);
    memset(out + TAIL_AT_RESERVED, 0, TAIL_AT_SUM - TAIL_AT_RESERVED);
    put_u64(out + TAIL_AT_SUM, XXH3_64bits(out, TAIL_AT_SUM));
}

bool logtail_header_decode(const uint8_t in[LOGTAIL_HEADER_SIZE], uint64_t *number, uint64_t *base)
{
    *number = get_u64(in + TAIL_AT_NUMBER);
    *base = get_u64(in + TAIL_AT_BASE);
    return memcmp(in, tail_magic, sizeof tail_magic) == 0 &&
           get_u64(in + TAIL_AT_SUM) == XXH3_64bits(in, TAIL_AT_SUM) && *number > 0 &&
           *base >= FILE_HEADER_SIZE && *base <= INT64_MAX - UINT32_MAX;
}

/* ---- table footer ---- */

static void footer_put_ref(uint8_t *p, const struct frame_ref *ref)
{
    put_u64(p, ref->offset);
    put_u32(p + 8, ref->len);
    put_u32(p + 12, 0);
}

/* False for a reference that no writer makes: bytes that are not used, a frame smaller than its
 * header, one that would end past 2^63. */
static bool footer_get_ref(const uint8_t *p, struct frame_ref *ref)
{
    ref->offset = get_u64(p);
    ref->len = get_u32(p + 8);
    if (get_u32(p + 12) != 0 || ref->offset > INT64_MAX - UINT32_MAX)
        return false;
    return ref->len == 0 || ref->len >= FRAME_HEADER_SIZE;
}

uint64_t table_footer_encode(const struct table_footer *f, uint64_t seed,
                             uint8_t out[TABLE_FOOTER_SIZE])
{
    const struct frame_ref *refs[] = {&f->index, &f->filter, &f->rangedel, &f->props};
    for (int i = 0; i < 4; i++) {
        assert(refs[i]->len == 0 || refs[i]->len >= FRAME_HEADER_SIZE);
        footer_put_ref(out + i * FOOTER_REF_SIZE, refs[i]);
    }
    memcpy(out + FOOTER_AT_TAG, f->tag, FRAME_TAG_SIZE);
    uint64_t tag = XXH3_64bits_withSeed(out, FOOTER_AT_SUM, seed);
    put_u64(out + FOOTER_AT_SUM, tag);
    memcpy(out + FOOTER_AT_MAGIC, footer_magic, sizeof footer_magic);
    return tag;
}

int table_footer_decode(const uint8_t in[TABLE_FOOTER_SIZE], uint64_t seed,
                        struct table_footer *out, uint64_t *tag)
{
    *out = (struct table_footer){0};
    *tag = get_u64(in + FOOTER_AT_SUM);
    if (memcmp(in + FOOTER_AT_MAGIC, footer_magic, sizeof footer_magic) != 0)
        return -EIO;
    if (*tag != XXH3_64bits_withSeed(in, FOOTER_AT_SUM, seed))
        return -EIO;
    memcpy(out->tag, in + FOOTER_AT_TAG, FRAME_TAG_SIZE);
    struct frame_ref *refs[] = {&out->index, &out->filter, &out->rangedel, &out->props};
    for (int i = 0; i < 4; i++)
        if (!footer_get_ref(in + i * FOOTER_REF_SIZE, refs[i]))
            return -EIO;
    return 0;
}

/* ---- index entry value ---- */

void block_handle_encode(const struct block_handle *h, struct buf *out)
{
    assert(h->min_seq <= h->max_seq);
    assert(h->max_seq <= SEQ_MAX);
    buf_put_varint(out, h->where.offset);
    buf_put_varint(out, h->where.len);
    buf_put_varint(out, h->min_seq);
    buf_put_varint(out, h->max_seq - h->min_seq);
}

bool block_handle_take(struct slice *in, struct block_handle *h)
{
    struct slice rest = *in;
    uint64_t spread;
    if (!take_varint(&rest, &h->where.offset) || !take_varint32(&rest, &h->where.len) ||
        !take_varint(&rest, &h->min_seq) || !take_varint(&rest, &spread))
        return false;
    if (h->min_seq > SEQ_MAX || spread > SEQ_MAX - h->min_seq)
        return false;
    h->max_seq = h->min_seq + spread;
    *in = rest;
    return true;
}

/* ---- reference to a separated value ---- */

void blob_ref_encode(const struct blob_ref *r, struct buf *out)
{
    size_t before = out->len;
    buf_put_varint(out, r->file);
    buf_put_varint(out, r->where.offset);
    buf_put_varint(out, r->where.len);
    buf_put_varint(out, r->raw_len);
    assert(out->len - before <= BLOB_REF_MAX);
}

bool blob_ref_decode(struct slice in, struct blob_ref *r)
{
    return take_varint(&in, &r->file) && take_varint(&in, &r->where.offset) &&
           take_varint32(&in, &r->where.len) && take_varint32(&in, &r->raw_len) && in.len == 0;
}

/* ---- CURRENT ---- */

#define CURRENT_MARK "varve-current "
#define CURRENT_HEAD CURRENT_MARK "1\nmanifest "

void current_encode(uint64_t manifest_number, struct buf *out)
{
    char text[128];
    int head = snprintf(text, sizeof text, CURRENT_HEAD "%0*" PRIu64 "\n", NAME_DIGITS_MIN,
                        manifest_number);
    assert(head > 0 && (size_t)head < sizeof text);
    buf_append_bytes(out, text, (size_t)head);
    uint64_t sum = XXH3_64bits(text, (size_t)head);
    int tail = snprintf(text, sizeof text, "xxh3 %016" PRIx64 "\n", sum);
    assert(tail > 0 && (size_t)tail < sizeof text);
    buf_append_bytes(out, text, (size_t)tail);
}

int current_decode(struct slice in, uint64_t *manifest_number)
{
    *manifest_number = 0;
    if (!slice_has_prefix(in, slice_str(CURRENT_MARK)))
        return 1;
    struct slice rest = in, head;
    uint64_t number;
    if (!take_bytes(&rest, strlen(CURRENT_HEAD), &head) || !take_number(&rest, &number))
        return -EIO;
    /* Everything else is fixed by the number: what differs from the canonical text is damaged. */
    struct buf expected = {0};
    current_encode(number, &expected);
    bool same = slice_eq(in, buf_slice(&expected));
    buf_release(&expected);
    if (!same)
        return -EIO;
    *manifest_number = number;
    return 0;
}
