/* bytes: see bytes.h. Nothing here knows a format; decoders are total: any input ends in true or
 * false, never outside the slice. */
#include "store/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

size_t slice_shared(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len, i = 0;
    while (i < n && a.data[i] == b.data[i])
        i++;
    return i;
}

_Noreturn static void out_of_memory(size_t bytes)
{
    fprintf(stderr, "varvefs: out of memory (%zu bytes asked for)\n", bytes);
    abort();
}

void *mem_alloc(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p)
        out_of_memory(bytes);
    return p;
}

void *mem_aligned(size_t alignment, size_t bytes)
{
    void *p = NULL;
    if (posix_memalign(&p, alignment, bytes ? bytes : 1) != 0)
        out_of_memory(bytes);
    memset(p, 0, bytes);
    return p;
}

void *mem_zalloc(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        out_of_memory(bytes);
    return p;
}

void *mem_realloc(void *old, size_t bytes)
{
    void *p = realloc(old, bytes ? bytes : 1);
    if (!p)
        out_of_memory(bytes);
    return p;
}

void *mem_dup(const void *data, size_t bytes)
{
    void *p = mem_alloc(bytes);
    if (bytes)
        memcpy(p, data, bytes);
    return p;
}

char *mem_strdup(const char *text)
{
    return mem_dup(text, strlen(text) + 1);
}

char *mem_printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    char *text = mem_alloc((size_t)len + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}

void buf_release(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

uint8_t *buf_reserve(struct buf *b, size_t extra)
{
    assert(b->len <= b->cap);
    if (b->cap - b->len < extra || !b->data) {
        size_t want = b->len + extra, twice = b->cap * 2;
        assert(want >= extra);
        b->cap = want > twice ? want : twice;
        if (b->cap < 64)
            b->cap = 64;
        b->data = mem_realloc(b->data, b->cap);
    }
    return b->data + b->len;
}

void buf_append_bytes(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buf_reserve(b, len), data, len);
    b->len += len;
}

void buf_append(struct buf *b, struct slice s)
{
    buf_append_bytes(b, s.data, s.len);
}

void buf_set(struct buf *b, struct slice s)
{
    b->len = 0;
    buf_append(b, s);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
    *buf_reserve(b, 1) = v;
    b->len += 1;
}

void buf_put_u16(struct buf *b, uint16_t v)
{
    put_u16(buf_reserve(b, 2), v);
    b->len += 2;
}

void buf_put_u32(struct buf *b, uint32_t v)
{
    put_u32(buf_reserve(b, 4), v);
    b->len += 4;
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    put_u64(buf_reserve(b, 8), v);
    b->len += 8;
}

void buf_put_be64(struct buf *b, uint64_t v)
{
    put_be64(buf_reserve(b, 8), v);
    b->len += 8;
}

void buf_put_varint(struct buf *b, uint64_t v)
{
    b->len += varint_put(buf_reserve(b, VARINT64_MAX), v);
}

void buf_put_lenbytes(struct buf *b, struct slice s)
{
    buf_put_varint(b, s.len);
    buf_append(b, s);
}

size_t varint_put(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

size_t varint_len(uint64_t v)
{
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

bool take_bytes(struct slice *in, size_t len, struct slice *out)
{
    if (in->len < len)
        return false;
    *out = slice_of(in->data, len);
    in->data = len ? in->data + len : in->data;
    in->len -= len;
    return true;
}

bool take_u8(struct slice *in, uint8_t *v)
{
    struct slice s;
    if (!take_bytes(in, 1, &s))
        return false;
    *v = s.data[0];
    return true;
}

bool take_u16(struct slice *in, uint16_t *v)
{
    struct slice s;
    if (!take_bytes(in, 2, &s))
        return false;
    *v = get_u16(s.data);
    return true;
}

bool take_u32(struct slice *in, uint32_t *v)
{
    struct slice s;
    if (!take_bytes(in, 4, &s))
        return false;
    *v = get_u32(s.data);
    return true;
}

bool take_u64(struct slice *in, uint64_t *v)
{
    struct slice s;
    if (!take_bytes(in, 8, &s))
        return false;
    *v = get_u64(s.data);
    return true;
}

bool take_be64(struct slice *in, uint64_t *v)
{
    struct slice s;
    if (!take_bytes(in, 8, &s))
        return false;
    *v = get_be64(s.data);
    return true;
}

bool take_varint(struct slice *in, uint64_t *v)
{
    uint64_t result = 0;
    for (size_t i = 0; i < in->len && i < VARINT64_MAX; i++) {
        uint64_t byte = in->data[i];
        if (i == VARINT64_MAX - 1 && byte > 1)
            return false; /* bits past the 64th */
        result |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *v = result;
            in->data += i + 1;
            in->len -= i + 1;
            return true;
        }
    }
    return false;
}

bool take_varint32(struct slice *in, uint32_t *v)
{
    struct slice rest = *in;
    uint64_t wide;
    if (!take_varint(&rest, &wide) || wide > UINT32_MAX)
        return false;
    *v = (uint32_t)wide;
    *in = rest;
    return true;
}

bool take_lenbytes(struct slice *in, struct slice *out)
{
    struct slice rest = *in;
    uint64_t len;
    if (!take_varint(&rest, &len) || len > rest.len || !take_bytes(&rest, (size_t)len, out))
        return false;
    *in = rest;
    return true;
}
