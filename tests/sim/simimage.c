/* simimage: see simimage.h.
 *
 * Guarantees: what one owner changes, no other owner sees.
 *
 * Invariants:
 *  1. An image or chunk is changed only while its counter is 1, by the one who holds that
 *     reference; so nobody can gain another one meanwhile.
 *  2. at[i] is the bytes from i * SIMIMAGE_CHUNK on, or NULL for zeros without storage. i < count.
 *  3. The bytes of chunks that lie after `size` are zero.
 *  4. `stored` counts the chunks that are not NULL. */
#include "tests/sim/simimage.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/bytes.h"

struct chunk {
    atomic_uint refs;
    uint8_t bytes[SIMIMAGE_CHUNK];
};

struct simimage {
    atomic_uint refs;
    uint64_t size;
    size_t count, cap, stored;
    struct chunk **at;
};

/* What is reserved and not yet written. Its own reference is never given back, so it never changes.
 */
static struct chunk zeros = {.refs = 1};

static struct chunk *chunk_ref(struct chunk *c)
{
    if (c)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

static void chunk_unref(struct chunk *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    assert(c != &zeros);
    free(c);
}

struct simimage *simimage_new(void)
{
    struct simimage *m = mem_zalloc(sizeof *m);
    atomic_init(&m->refs, 1);
    return m;
}

struct simimage *simimage_ref(struct simimage *m)
{
    assert(m);
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void simimage_unref(struct simimage *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < m->count; i++)
        chunk_unref(m->at[i]);
    free(m->at);
    free(m);
}

uint64_t simimage_size(const struct simimage *m)
{
    return m->size;
}

uint64_t simimage_stored_bytes(const struct simimage *m)
{
    assert(m->stored <= m->count);
    return (uint64_t)m->stored * SIMIMAGE_CHUNK;
}

/* Makes the caller the only owner of `**m`. */
static struct simimage *own_image(struct simimage **m)
{
    struct simimage *old = *m;
    if (atomic_load_explicit(&old->refs, memory_order_acquire) == 1)
        return old;
    struct simimage *copy = simimage_new();
    copy->size = old->size;
    copy->stored = old->stored;
    copy->count = copy->cap = old->count;
    copy->at = mem_alloc(copy->cap * sizeof *copy->at);
    for (size_t i = 0; i < copy->count; i++)
        copy->at[i] = chunk_ref(old->at[i]);
    simimage_unref(old);
    *m = copy;
    return copy;
}

static void grow_table(struct simimage *m, size_t count)
{
    if (count > m->cap) {
        m->cap = count + count / 2;
        m->at = mem_realloc(m->at, m->cap * sizeof *m->at);
    }
    while (m->count < count)
        m->at[m->count++] = NULL;
}

/* The chunk at `i`, with storage and no other owner. */
static struct chunk *own_chunk(struct simimage *m, size_t i)
{
    assert(i < m->count);
    struct chunk *old = m->at[i];
    if (old && atomic_load_explicit(&old->refs, memory_order_acquire) == 1)
        return old;
    struct chunk *fresh = mem_alloc(sizeof *fresh);
    atomic_init(&fresh->refs, 1);
    memcpy(fresh->bytes, old ? old->bytes : zeros.bytes, sizeof fresh->bytes);
    m->stored += old == NULL;
    m->at[i] = fresh;
    chunk_unref(old);
    return fresh;
}

/* How much of [offset, offset + len) lies in the chunk of `offset`. */
static size_t span(uint64_t offset, size_t len)
{
    size_t room = SIMIMAGE_CHUNK - (size_t)(offset % SIMIMAGE_CHUNK);
    return len < room ? len : room;
}

static size_t chunks_until(uint64_t end)
{
    return (size_t)(end / SIMIMAGE_CHUNK + (end % SIMIMAGE_CHUNK != 0));
}

static bool has_chunk(const struct simimage *m, uint64_t offset)
{
    return offset / SIMIMAGE_CHUNK < m->count && m->at[offset / SIMIMAGE_CHUNK];
}

size_t simimage_read(const struct simimage *m, uint64_t offset, void *data, size_t len)
{
    if (offset >= m->size)
        return 0;
    if (len > m->size - offset)
        len = (size_t)(m->size - offset);
    for (size_t done = 0, n; done < len; done += n) {
        uint64_t at = offset + done;
        n = span(at, len - done);
        const uint8_t *from = has_chunk(m, at) ? m->at[at / SIMIMAGE_CHUNK]->bytes : zeros.bytes;
        memcpy((uint8_t *)data + done, from + at % SIMIMAGE_CHUNK, n);
    }
    return len;
}

bool simimage_equal(const struct simimage *a, const struct simimage *b)
{
    uint8_t from_a[SIMIMAGE_CHUNK], from_b[SIMIMAGE_CHUNK];
    if (a->size != b->size)
        return false;
    size_t chunks = a->count > b->count ? a->count : b->count;
    for (uint64_t at = 0; at < (uint64_t)chunks * SIMIMAGE_CHUNK; at += SIMIMAGE_CHUNK) {
        size_t n = simimage_read(a, at, from_a, sizeof from_a);
        if (simimage_read(b, at, from_b, sizeof from_b) != n || memcmp(from_a, from_b, n) != 0)
            return false;
    }
    return true;
}

size_t simimage_fit(const struct simimage *m, uint64_t offset, size_t len, uint64_t free_bytes)
{
    size_t done = 0;
    while (done < len) {
        uint64_t need = has_chunk(m, offset + done) ? 0 : SIMIMAGE_CHUNK;
        if (need > free_bytes)
            break;
        free_bytes -= need;
        done += span(offset + done, len - done);
    }
    return done;
}

void simimage_write(struct simimage **m, uint64_t offset, const void *data, size_t len)
{
    assert(offset <= SIMIMAGE_WRITE_END_MAX && len <= SIMIMAGE_WRITE_END_MAX - offset);
    if (len == 0)
        return;
    struct simimage *own = own_image(m);
    grow_table(own, chunks_until(offset + len));
    for (size_t done = 0, n; done < len; done += n) {
        uint64_t at = offset + done;
        n = span(at, len - done);
        struct chunk *c = own_chunk(own, (size_t)(at / SIMIMAGE_CHUNK));
        memcpy(c->bytes + at % SIMIMAGE_CHUNK, (const uint8_t *)data + done, n);
    }
    if (own->size < offset + len)
        own->size = offset + len;
}

void simimage_truncate(struct simimage **m, uint64_t size)
{
    struct simimage *own = own_image(m);
    while (own->count > chunks_until(size)) {
        struct chunk *c = own->at[--own->count];
        own->stored -= c != NULL;
        chunk_unref(c);
    }
    size_t tail = (size_t)(size % SIMIMAGE_CHUNK);
    if (size < own->size && tail && has_chunk(own, size)) {
        struct chunk *c = own_chunk(own, (size_t)(size / SIMIMAGE_CHUNK));
        memset(c->bytes + tail, 0, sizeof c->bytes - tail);
    }
    own->size = size;
}

void simimage_reserve(struct simimage **m, uint64_t offset, uint64_t len)
{
    assert(offset <= SIMIMAGE_WRITE_END_MAX && len <= SIMIMAGE_WRITE_END_MAX - offset);
    if (len == 0)
        return;
    struct simimage *own = own_image(m);
    grow_table(own, chunks_until(offset + len));
    for (size_t i = (size_t)(offset / SIMIMAGE_CHUNK); i < chunks_until(offset + len); i++) {
        if (own->at[i])
            continue;
        own->at[i] = chunk_ref(&zeros);
        own->stored++;
    }
}

void simimage_punch(struct simimage **m, uint64_t offset, uint64_t len)
{
    assert(offset % SIMIMAGE_CHUNK == 0 && len % SIMIMAGE_CHUNK == 0);
    struct simimage *own = own_image(m);
    uint64_t first = offset / SIMIMAGE_CHUNK, end = first + len / SIMIMAGE_CHUNK;
    for (uint64_t i = first; i < end && i < own->count; i++) {
        own->stored -= own->at[i] != NULL;
        chunk_unref(own->at[i]);
        own->at[i] = NULL;
    }
}
