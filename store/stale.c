/* stale: see stale.h.
 *
 * Invariants:
 *   1. `files` ascends by number, each file once; sought_count of them are sought.
 *   2. Of two files that could be sought, the one with the larger part of garbage goes first; so,
 *      as long as garbage presses, a file that is sought stays sought while values are moved out
 *      of it. */
#include "store/stale.h"

#include <assert.h>
#include <stdlib.h>

enum {
    /* Garbage is collected down to this part of where it begins to press: the tables that have to
     * be rewritten are so for many files at once. */
    SOUGHT_DOWN = 4,
    SOUGHT_DOWN_OF = 5,
    /* A file with less than this part of `garbage_percent` is not worth moving. There is a better
     * one, unless those could not be read, or are too large for the room that is left. */
    SOUGHT_LEAST = 2,
};

static uint64_t live_bytes(const struct version_blob_state *b)
{
    assert(b->garbage_bytes <= b->bytes);
    return b->bytes - b->garbage_bytes;
}

static bool failed(const struct version_blob_state *b)
{
    return __atomic_load_n(&b->blob->failed, __ATOMIC_RELAXED);
}

/* garbage >= percent of bytes, without overflow for any file size. */
static bool at_least(uint64_t garbage, uint64_t bytes, uint32_t percent)
{
    return (double)garbage * 100 >= (double)bytes * percent;
}

bool stale_presses(const struct version *v, const struct stale_options *opt)
{
    return v->blob_garbage_bytes > opt->garbage_min &&
           (double)v->blob_garbage_bytes * 100 > (double)v->blob_file_bytes * opt->garbage_percent;
}

/* ---- what is stale by itself ---- */

static bool is_stale(const struct version *v, uint32_t index, const struct stale_options *opt)
{
    const struct version_blob_state *b = &v->blobs[index];
    assert(index < v->blob_count);
    if (b->garbage_bytes == 0)
        return false;
    if (at_least(b->garbage_bytes, b->bytes, opt->stale_percent))
        return true;
    bool old = (uint64_t)index * 100 < (uint64_t)v->blob_count * opt->age_percent;
    return old && at_least(b->garbage_bytes, b->bytes, (opt->stale_percent + 1) / 2);
}

/* ---- what is sought ---- */

/* The file with the larger part of garbage first; of two alike the older. */
static int by_part(const void *a, const void *b)
{
    const struct version_blob_state *x = *(const struct version_blob_state *const *)a;
    const struct version_blob_state *y = *(const struct version_blob_state *const *)b;
    double left = (double)x->garbage_bytes * (double)y->bytes;
    double right = (double)y->garbage_bytes * (double)x->bytes;
    if (left != right)
        return left > right ? -1 : 1;
    return (x->blob->number > y->blob->number) - (x->blob->number < y->blob->number);
}

/* Marks the files in `order` (of `count`) that it takes to come down. `sought` has a flag for each
 * file of the version. */
static void seek_files(const struct version *v, const struct stale_options *opt,
                       const struct version_blob_state *const *order, uint32_t count, bool *sought)
{
    double part = (double)opt->garbage_percent / 100 * SOUGHT_DOWN / SOUGHT_DOWN_OF;
    uint64_t bytes = v->blob_file_bytes, garbage = v->blob_garbage_bytes, moved = 0;
    for (uint32_t i = 0, n = 0; i < count && n < STALE_SOUGHT_MAX; i++) {
        const struct version_blob_state *b = order[i];
        if ((double)garbage <= (double)bytes * part ||
            !at_least(b->garbage_bytes, b->bytes, opt->garbage_percent / SOUGHT_LEAST))
            return;
        if (moved + live_bytes(b) > opt->live_max)
            continue;
        moved += live_bytes(b);
        garbage -= b->garbage_bytes;
        bytes -= b->garbage_bytes < bytes ? b->garbage_bytes : bytes;
        sought[b - v->blobs] = true;
        n++;
    }
}

/* malloc'd flags, or NULL when none is sought. */
static bool *find_sought(const struct version *v, const struct stale_options *opt)
{
    uint32_t count = 0;
    if (!stale_presses(v, opt))
        return NULL;
    const struct version_blob_state **order = mem_alloc(v->blob_count * sizeof *order);
    for (uint32_t i = 0; i < v->blob_count; i++)
        if (v->blobs[i].garbage_bytes > 0 && !failed(&v->blobs[i]))
            order[count++] = &v->blobs[i];
    bool *sought = mem_zalloc(v->blob_count * sizeof *sought);
    if (count > 1)
        qsort(order, count, sizeof *order, by_part);
    seek_files(v, opt, order, count, sought);
    free(order);
    return sought;
}

/* ---- both ---- */

static void add_file(struct stale *s, const struct version_blob_state *b, bool sought)
{
    assert(s->count == 0 || s->files[s->count - 1].number < b->blob->number);
    s->files = mem_realloc(s->files, (s->count + 1) * sizeof *s->files);
    s->files[s->count++] =
        (struct stale_file){b->blob->number, live_bytes(b), b->garbage_bytes, sought};
    if (!sought)
        return;
    s->sought_count++;
    s->sought_live_bytes += live_bytes(b);
    s->sought_garbage_bytes += b->garbage_bytes;
}

void stale_init(struct stale *s, const struct version *v, const struct stale_options *opt)
{
    *s = (struct stale){0};
    assert(opt->stale_percent > 0);
    bool *sought = find_sought(v, opt);
    for (uint32_t i = 0; i < v->blob_count; i++) {
        bool one = sought && sought[i];
        if (one || (!failed(&v->blobs[i]) && is_stale(v, i, opt)))
            add_file(s, &v->blobs[i], one);
    }
    free(sought);
    assert(s->sought_count <= s->count && s->sought_count <= STALE_SOUGHT_MAX);
}

void stale_release(struct stale *s)
{
    free(s->files);
    *s = (struct stale){0};
}

const struct stale_file *stale_find(const struct stale *s, uint64_t number)
{
    uint32_t lo = 0, hi = s->count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->files[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    assert(lo == s->count || s->files[lo].number >= number);
    return lo < s->count && s->files[lo].number == number ? &s->files[lo] : NULL;
}
