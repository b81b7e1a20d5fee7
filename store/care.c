/* care: see care.h.
 *
 * Invariant: a file is in the list at most once, by kind and number. */
#include "store/care.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/err.h"

/* Messages for one file; more would say nothing new. */
enum { MESSAGES_MAX = 16 };

void care_init(struct care *c)
{
    *c = (struct care){0};
    pthread_mutex_init(&c->lock, NULL);
}

void care_release(struct care *c)
{
    pthread_mutex_destroy(&c->lock);
    free(c->files);
    *c = (struct care){0};
}

/* NULL: not in the list. [lock held] */
static struct care_file *find(struct care *c, enum file_kind kind, uint64_t number)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->files[i].kind == kind && c->files[i].number == number)
            return &c->files[i];
    return NULL;
}

/* [lock held] */
static struct care_file *add(struct care *c, enum file_kind kind, uint64_t number, uint64_t offset)
{
    if (c->count == c->cap) {
        c->cap = c->cap ? c->cap * 2 : 16;
        c->files = mem_realloc(c->files, c->cap * sizeof *c->files);
    }
    assert(c->count < c->cap);
    c->files[c->count] = (struct care_file){.kind = kind, .number = number, .offset = offset};
    __atomic_store_n(&c->count, c->count + 1, __ATOMIC_RELAXED);
    return &c->files[c->count - 1];
}

void care_report(struct care *c, enum file_kind kind, uint64_t number, uint64_t offset,
                 const char *name)
{
    assert(number > 0 && (kind == FILE_TABLE || kind == FILE_BLOB));
    pthread_mutex_lock(&c->lock);
    struct care_file *f = find(c, kind, number);
    if (!f)
        f = add(c, kind, number, offset);
    uint32_t nth = ++f->frames;
    pthread_mutex_unlock(&c->lock);
    __atomic_fetch_add(&c->repairs, 1, __ATOMIC_RELAXED);
    if (nth <= MESSAGES_MAX)
        log_message(LOG_WARNING,
                    "%s was damaged at offset %" PRIu64 " and has been rebuilt from its parity; "
                    "the file will be healed%s",
                    name, offset, nth == MESSAGES_MAX ? " (no more messages about it)" : "");
}

bool care_any(const struct care *c)
{
    return __atomic_load_n(&c->count, __ATOMIC_RELAXED) > 0;
}

size_t care_list(struct care *c, struct care_file **out)
{
    pthread_mutex_lock(&c->lock);
    size_t count = c->count;
    *out = count ? mem_dup(c->files, count * sizeof **out) : NULL;
    pthread_mutex_unlock(&c->lock);
    return count;
}

bool care_has(struct care *c, enum file_kind kind, uint64_t number)
{
    pthread_mutex_lock(&c->lock);
    bool has = find(c, kind, number) != NULL;
    pthread_mutex_unlock(&c->lock);
    return has;
}

void care_done(struct care *c, enum file_kind kind, uint64_t number, bool healed)
{
    pthread_mutex_lock(&c->lock);
    struct care_file *f = find(c, kind, number);
    if (f) {
        size_t at = (size_t)(f - c->files);
        memmove(f, f + 1, (c->count - at - 1) * sizeof *f);
        __atomic_store_n(&c->count, c->count - 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&c->lock);
    if (f && healed)
        __atomic_fetch_add(&c->healed, 1, __ATOMIC_RELAXED);
}

void care_beyond(struct care *c, enum file_kind kind, uint64_t number)
{
    pthread_mutex_lock(&c->lock);
    struct care_file *f = find(c, kind, number);
    if (f)
        f->beyond = true;
    pthread_mutex_unlock(&c->lock);
}

/* ---- of one open file ---- */

void care_link_report(struct care_link *l, enum file_kind kind, uint64_t number, uint64_t offset,
                      const char *name)
{
    struct care *c = __atomic_load_n(&l->care, __ATOMIC_ACQUIRE);
    if (c) {
        care_report(c, kind, number, offset, name);
        return;
    }
    __atomic_store_n(&l->offset, offset, __ATOMIC_RELAXED);
    __atomic_fetch_add(&l->waiting, 1, __ATOMIC_RELAXED);
}

void care_link_set(struct care_link *l, struct care *c, enum file_kind kind, uint64_t number,
                   const char *name)
{
    __atomic_store_n(&l->care, c, __ATOMIC_RELEASE);
    uint32_t waiting = __atomic_exchange_n(&l->waiting, 0, __ATOMIC_RELAXED);
    if (c && waiting)
        care_report(c, kind, number, __atomic_load_n(&l->offset, __ATOMIC_RELAXED), name);
}
