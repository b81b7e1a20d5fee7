/* version_apply: makes the version that an edit leads to (version.h); version_apply_tables.c does
 * its levels.
 *
 * Guarantees: the base is not changed; what comes out obeys version_assert_valid(), whatever the
 * edit says, since it may come from a damaged manifest; or nothing comes out, and the log says what
 * did not fit. */
#include "store/version_priv.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct apply {
    const struct version *base;
    const struct edit *edit;
    struct version *v;
};

int version_misfit(const char *format, ...)
{
    char why[512];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    log_message(LOG_ERROR, "an edit does not fit the state of the store: %s", why);
    return -EIO;
}

/* ---- numbers ---- */

static int check_rises(const char *what, uint64_t from, uint64_t to)
{
    if (to >= from)
        return 0;
    return version_misfit("%s would fall from %" PRIu64 " to %" PRIu64, what, from, to);
}

static int apply_state(struct apply *a)
{
    const struct version *base = a->base;
    const struct edit *e = a->edit;
    struct version *v = a->v;
    int err = 0;
    memcpy(v->uuid, e->has_uuid ? e->uuid : base->uuid, UUID_SIZE);
    v->features = e->has_uuid ? e->features : base->features;
    v->next_file = base->next_file;
    if (e->has_next_file && e->next_file > v->next_file)
        v->next_file = e->next_file;
    v->flushed_seq = e->has_flushed ? e->flushed_seq : base->flushed_seq;
    v->log_number = e->has_log ? e->log_number : base->log_number;
    v->history_seq = base->history_seq;
    if (e->has_history && e->history_seq > v->history_seq)
        v->history_seq = e->history_seq;
    err = check_rises("the flushed sequence number", base->flushed_seq, v->flushed_seq);
    if (err == 0)
        err = check_rises("the log number", base->log_number, v->log_number);
    return err;
}

int version_use_number(struct version *v, uint64_t number)
{
    if (number == UINT64_MAX)
        return version_misfit("file number %" PRIu64 " is absurd", number);
    if (number >= v->next_file)
        v->next_file = number + 1;
    return 0;
}

/* ---- blob files ---- */

static struct version_blob *blob_object(const struct version *base, struct version_blob **blobs,
                                        size_t blob_count, uint64_t number)
{
    for (size_t i = 0; i < blob_count; i++)
        if (blobs[i]->number == number)
            return version_blob_ref(blobs[i]);
    return version_blob_new(base->source, number);
}

static int by_blob_number(const void *a, const void *b)
{
    const struct version_blob_state *x = a, *y = b;
    return (x->blob->number > y->blob->number) - (x->blob->number < y->blob->number);
}

static int add_blobs(struct apply *a, struct version_blob **blobs, size_t blob_count)
{
    const struct version *base = a->base;
    struct version *v = a->v;
    uint32_t added = a->edit->blobs_added_count;
    v->blobs = mem_alloc(((size_t)base->blob_count + added) * sizeof *v->blobs);
    for (uint32_t i = 0; i < base->blob_count; i++) {
        v->blobs[v->blob_count++] = base->blobs[i];
        version_blob_ref(base->blobs[i].blob);
    }
    for (uint32_t i = 0; i < added; i++) {
        const struct edit_blob *b = &a->edit->blobs_added[i];
        v->blobs[v->blob_count++] =
            (struct version_blob_state){.blob = blob_object(base, blobs, blob_count, b->number),
                                        .count = b->count,
                                        .bytes = b->bytes,
                                        .file_bytes = b->file_bytes,
                                        .key_epoch = b->key_epoch,
                                        .header_sum = b->header_sum};
        __atomic_store_n(&v->blobs[v->blob_count - 1].blob->header_sum, b->header_sum,
                         __ATOMIC_RELAXED);
        int err = version_use_number(v, b->number);
        if (err < 0)
            return err;
    }
    if (added > 0)
        qsort(v->blobs, v->blob_count, sizeof *v->blobs, by_blob_number);
    for (uint32_t i = 1; i < v->blob_count; i++)
        if (v->blobs[i - 1].blob->number == v->blobs[i].blob->number)
            return version_misfit("it adds blob file %" PRIu64 ", which is there already",
                                  v->blobs[i].blob->number);
    return 0;
}

static int add_garbage(struct version *v, const struct edit_blob *g)
{
    struct version_blob_state *b = version_find_blob(v, g->number);
    if (!b)
        return version_misfit("garbage in blob file %" PRIu64 ", which is not there", g->number);
    if (g->count > b->count - b->garbage_count || g->bytes > b->bytes - b->garbage_bytes)
        return version_misfit("blob file %" PRIu64 " would have more garbage than contents",
                              g->number);
    b->garbage_count += g->count;
    b->garbage_bytes += g->bytes;
    assert(b->garbage_count <= b->count && b->garbage_bytes <= b->bytes);
    return 0;
}

/* Leaves out what is all garbage, and adds up the rest. */
static void drop_blobs(struct version *v)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < v->blob_count; i++) {
        struct version_blob_state *b = &v->blobs[i];
        if (b->garbage_count >= b->count) {
            version_blob_unref(b->blob);
            continue;
        }
        v->blob_file_bytes += b->file_bytes;
        v->blob_garbage_bytes += b->garbage_bytes;
        v->blobs[kept++] = *b;
    }
    assert(kept <= v->blob_count);
    v->blob_count = kept;
}

static int remove_blobs(struct apply *a)
{
    struct version *v = a->v;
    const struct edit *e = a->edit;
    for (uint32_t i = 0; i < e->blobs_removed_count; i++) {
        struct version_blob_state *b = version_find_blob(v, e->blobs_removed[i]);
        if (!b)
            return version_misfit("it removes blob file %" PRIu64 ", which is not there",
                                  e->blobs_removed[i]);
        b->garbage_count = b->count; /* for drop_blobs() */
    }
    return 0;
}

static int apply_blobs(struct apply *a, struct version_blob **blobs, size_t blob_count)
{
    int err = add_blobs(a, blobs, blob_count);
    for (uint32_t i = 0; i < a->edit->blobs_garbage_count && err == 0; i++)
        err = add_garbage(a->v, &a->edit->blobs_garbage[i]);
    if (err == 0)
        err = remove_blobs(a);
    if (err == 0)
        drop_blobs(a->v);
    return err;
}

/* ---- pins ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in order, malloc'd; `*twice` is one that occurs twice, or NULL. */
static char **sorted_names(char *const *names, uint32_t count, const char **twice)
{
    char **sorted = mem_dup(names, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_name);
    *twice = NULL;
    for (uint32_t i = 1; i < count; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            *twice = sorted[i];
    return sorted;
}

/* Copies the base's pins but those that the edit removes to `pins`. */
static int keep_pins(const struct apply *a, struct pin *pins, uint32_t *count)
{
    const struct edit *e = a->edit;
    const char *twice;
    uint32_t removed = e->pins_removed_count, found = 0;
    char **names = sorted_names(e->pins_removed, removed, &twice);
    int err = twice ? version_misfit("it removes pin \"%s\" twice", twice) : 0;
    for (uint32_t i = 0; i < a->base->pin_count && err == 0; i++) {
        const struct pin *p = &a->base->pins[i];
        if (removed > 0 && bsearch(&p->name, names, removed, sizeof *names, by_name)) {
            found++;
            continue;
        }
        pins[*count] = *p;
        pins[(*count)++].name = mem_strdup(p->name);
    }
    free(names);
    assert(err < 0 || (found <= removed && *count + found == a->base->pin_count));
    if (err == 0 && found < removed)
        err = version_misfit("it removes a pin which is not there (one of %" PRIu32 ")", removed);
    return err;
}

static int by_age(const void *a, const void *b)
{
    const struct pin *x = a, *y = b;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    if (x->created_ns != y->created_ns) /* nothing was written between the two */
        return x->created_ns < y->created_ns ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int check_names(const struct pin *pins, uint32_t count)
{
    const char *twice;
    char **names = mem_alloc(count * sizeof *names);
    for (uint32_t i = 0; i < count; i++)
        names[i] = pins[i].name;
    char **sorted = sorted_names(names, count, &twice);
    int err = twice ? version_misfit("there would be two pins \"%s\"", twice) : 0;
    free(sorted);
    free(names);
    return err;
}

static int apply_pins(struct apply *a)
{
    const struct edit *e = a->edit;
    uint32_t count = 0;
    if (e->pins_added_count == 0 && e->pins_removed_count == 0) {
        version_pins_share(a->v, a->base);
        return 0;
    }
    struct pin *pins = mem_alloc(((size_t)a->base->pin_count + e->pins_added_count) * sizeof *pins);
    int err = keep_pins(a, pins, &count);
    for (uint32_t i = 0; i < e->pins_added_count; i++) {
        pins[count] = e->pins_added[i];
        pins[count++].name = mem_strdup(e->pins_added[i].name);
    }
    qsort(pins, count, sizeof *pins, by_age);
    if (err == 0)
        err = check_names(pins, count);
    version_pins_own(a->v, pins, count);
    return err;
}

int version_apply(const struct version *base, const struct edit *edit, struct version_blob **blobs,
                  size_t blob_count, struct version **out)
{
    assert(blobs || blob_count == 0);
    struct apply a = {.base = base, .edit = edit, .v = version_new(base->source)};
    *out = NULL;
    int err = apply_state(&a);
    if (err == 0)
        err = version_apply_tables(base, edit, a.v);
    if (err == 0)
        err = apply_blobs(&a, blobs, blob_count);
    if (err == 0)
        err = apply_pins(&a);
    if (err < 0)
        version_unref(a.v);
    else
        *out = a.v;
    return err;
}
