/* bytes: borrowed slices, owned growing buffers, fixed-width and variable-width integers.
 *
 * All integers on disk are little-endian unless a name says `be`; big-endian is used only inside
 * keys, where the order of the bytes has to be the order of the numbers. */
#ifndef VARVE_STORE_BYTES_H
#define VARVE_STORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes: whoever hands one out says how long it lives. `data` may be NULL if `len` is 0.
 */
struct slice {
    const uint8_t *data;
    size_t len;
};

/* Owned bytes; zero-initialised is empty and valid. Release with buf_release(). */
struct buf {
    uint8_t *data;
    size_t len, cap;
};

/* The longest encodings that varint_put32/64 produce. */
enum { VARINT32_MAX = 5, VARINT64_MAX = 10 };

static inline struct slice slice_of(const void *data, size_t len)
{
    return (struct slice){(const uint8_t *)data, len};
}

static inline struct slice slice_str(const char *text)
{
    return slice_of(text, strlen(text));
}

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->data, b->len};
}

/* Bytewise order, a prefix first: <0, 0 or >0. */
static inline int slice_cmp(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_has_prefix(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

/* How many leading bytes `a` and `b` share. */
size_t slice_shared(struct slice a, struct slice b);

/* Memory that cannot be had ends the process (like git's xmalloc): a file system daemon that goes
 * on half-blind is worse than one that is restarted, and nothing acknowledged is lost by an end.
 * The result is never NULL; the caller frees it with free(). */
void *mem_alloc(size_t bytes);
void *mem_zalloc(size_t bytes);
/* Zeroed, at a multiple of `alignment` (a power of two, at least the size of a pointer). */
void *mem_aligned(size_t alignment, size_t bytes);
void *mem_realloc(void *old, size_t bytes);
void *mem_dup(const void *data, size_t bytes);
char *mem_strdup(const char *text);
/* printf into a fresh string. */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

void buf_release(struct buf *b);
/* Room for `extra` more bytes; returns where they would go. `len` does not change. */
uint8_t *buf_reserve(struct buf *b, size_t extra);
void buf_append(struct buf *b, struct slice s);
void buf_append_bytes(struct buf *b, const void *data, size_t len);
/* Replaces the contents. `s` must not point into `b`. */
void buf_set(struct buf *b, struct slice s);
static inline void buf_clear(struct buf *b)
{
    b->len = 0;
}

void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_be64(struct buf *b, uint64_t v);
void buf_put_varint(struct buf *b, uint64_t v);
/* varint length, then the bytes. */
void buf_put_lenbytes(struct buf *b, struct slice s);

static inline void put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
/* Byte by byte and without loops, which compilers make one store of. */
static inline void put_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}
static inline void put_u64(uint8_t *p, uint64_t v)
{
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}
static inline void put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}
static inline void put_be64(uint8_t *p, uint64_t v)
{
    put_be32(p, (uint32_t)(v >> 32));
    put_be32(p + 4, (uint32_t)v);
}
static inline uint16_t get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t get_u64(const uint8_t *p)
{
    return (uint64_t)get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}
static inline uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}
static inline uint64_t get_be64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

/* LEB128, as in protocol buffers. Writes at most VARINT64_MAX bytes at `p`; returns how many. */
size_t varint_put(uint8_t *p, uint64_t v);
size_t varint_len(uint64_t v);

/* The `take_` functions decode from the front of `*in` and move it past what they read. They return
 * true, or false (with `*in` unchanged) when the bytes end early or a number does not fit. They
 * never read outside `*in`. Slices taken point into `*in`'s memory. */
bool take_u8(struct slice *in, uint8_t *v);
bool take_u16(struct slice *in, uint16_t *v);
bool take_u32(struct slice *in, uint32_t *v);
bool take_u64(struct slice *in, uint64_t *v);
bool take_be64(struct slice *in, uint64_t *v);
bool take_varint(struct slice *in, uint64_t *v);
bool take_varint32(struct slice *in, uint32_t *v);
bool take_bytes(struct slice *in, size_t len, struct slice *out);
bool take_lenbytes(struct slice *in, struct slice *out);

#endif
