/* arena: chunks per slot; an allocation is one compare-and-swap on the chunk's fill mark.
 *
 * Chunks double from CHUNK_MIN to CHUNK_MAX, so that a memtable with three entries is small and one
 * with a million takes few. They are of memory that is used again (pages.h). What is too large for
 * a chunk to be worth it gets one of its own.
 *
 * Invariants:
 *   1. `used` <= `size` in every chunk; it only grows.
 *   2. A slot's chunk is replaced only under the mutex, by one that is ready for use.
 *   3. Every chunk is in the list `all` from the moment that a thread can see it. */
#include "store/arena.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "store/pages.h"

enum { CHUNK_MIN = 4 << 10, CHUNK_MAX = 256 << 10 };

struct chunk {
    struct chunk *next; /* in `all`; mutex */
    size_t size;        /* immutable, as is */
    size_t total;       /* what was allocated */
    _Atomic size_t used;
    uint8_t *data; /* immutable; aligned to ARENA_LINE */
};

struct slot {
    _Atomic(struct chunk *) chunk; /* NULL before the first allocation */
    uint8_t pad[ARENA_LINE - sizeof(struct chunk *)];
};

struct arena {
    struct slot slots[ARENA_SLOTS];
    pthread_mutex_t mutex;
    struct chunk *all; /* mutex */
    _Atomic size_t bytes;
};

unsigned arena_slot(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned mine; /* 0: not chosen yet */
    if (mine == 0)
        mine = 1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % ARENA_SLOTS;
    return mine - 1;
}

struct arena *arena_new(void)
{
    struct arena *a = mem_zalloc(sizeof *a);
    pthread_mutex_init(&a->mutex, NULL);
    atomic_init(&a->bytes, sizeof *a);
    return a;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    for (struct chunk *c = a->all, *next; c; c = next) {
        assert(atomic_load(&c->used) <= c->size);
        next = c->next;
        pages_free(c, c->total);
    }
    pthread_mutex_destroy(&a->mutex);
    free(a);
}

size_t arena_bytes(const struct arena *a)
{
    return atomic_load_explicit(&a->bytes, memory_order_relaxed);
}

/* Mutex held. */
static struct chunk *chunk_new(struct arena *a, size_t total)
{
    struct chunk *c = pages_alloc(total);
    uintptr_t data = (uintptr_t)(c + 1);
    data = (data + ARENA_LINE - 1) / ARENA_LINE * ARENA_LINE;
    size_t size = total - (size_t)(data - (uintptr_t)c);
    *c = (struct chunk){.next = a->all, .size = size, .total = total, .data = (uint8_t *)data};
    a->all = c;
    atomic_fetch_add_explicit(&a->bytes, total, memory_order_relaxed);
    return c;
}

/* NULL when it does not fit. */
static void *chunk_alloc(struct chunk *c, size_t bytes, size_t align)
{
    size_t used = atomic_load_explicit(&c->used, memory_order_relaxed), at;
    do {
        assert(used <= c->size);
        at = (used + align - 1) / align * align;
        if (at > c->size || c->size - at < bytes)
            return NULL;
    } while (!atomic_compare_exchange_weak_explicit(&c->used, &used, at + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return c->data + at;
}

/* The slot's chunk `full` (NULL: none yet) has no room. NULL: another thread has refilled it. */
static void *alloc_slow(struct arena *a, struct slot *slot, struct chunk *full, size_t bytes,
                        size_t align)
{
    size_t total = full ? full->total * 2 : CHUNK_MIN;
    total = total < CHUNK_MAX ? total : CHUNK_MAX;
    void *result = NULL;
    pthread_mutex_lock(&a->mutex);
    if (bytes > total / 4) {
        size_t room = sizeof(struct chunk) + ARENA_LINE + bytes;
        result = chunk_alloc(chunk_new(a, pages_size(room)), bytes, align);
    } else if (atomic_load_explicit(&slot->chunk, memory_order_relaxed) == full) {
        struct chunk *fresh = chunk_new(a, total);
        result = chunk_alloc(fresh, bytes, align);
        atomic_store_explicit(&slot->chunk, fresh, memory_order_release);
    }
    pthread_mutex_unlock(&a->mutex);
    return result;
}

static void *alloc(struct arena *a, size_t bytes, size_t align)
{
    assert(bytes > 0 && bytes < SIZE_MAX / 2);
    bytes = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    struct slot *slot = &a->slots[arena_slot()];
    for (;;) {
        struct chunk *c = atomic_load_explicit(&slot->chunk, memory_order_acquire);
        void *result = c ? chunk_alloc(c, bytes, align) : NULL;
        if (!result)
            result = alloc_slow(a, slot, c, bytes, align);
        if (result) {
            assert((uintptr_t)result % align == 0);
            return result;
        }
    }
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    return alloc(a, bytes, ARENA_ALIGN);
}

void *arena_alloc_line(struct arena *a, size_t bytes)
{
    return alloc(a, bytes, ARENA_LINE);
}
