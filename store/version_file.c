/* version_file: the shared objects of tables and blob files (version.h).
 *
 * Guarantees: a file is opened at most once as long as its object lives, and `on_death` is called
 * when nobody reads it any more.
 *
 * Invariants:
 *   1. An object's `table` or `reader` goes from NULL to open under `opening`, and is published
 *      with release; so whoever sees it sees all of what it points to.
 *   2. What it points to lives as long as the object, also a reader that was replaced.
 *   3. Of the objects of one table each that is older has a reference on the next: so they end in
 *      the order in which they see less, and the file is closed by all before it is removed. */
#include "store/version.h"

#include <assert.h>
#include <stdlib.h>

#include "store/err.h"

static void ref_up(int *refs)
{
    int before = __atomic_fetch_add(refs, 1, __ATOMIC_RELAXED);
    assert(before > 0);
    (void)before;
}

/* True for the last reference: everything that others did before they let go is visible then. */
static bool ref_down(int *refs)
{
    int before = __atomic_fetch_sub(refs, 1, __ATOMIC_ACQ_REL);
    assert(before > 0);
    return before == 1;
}

/* Takes over `table`. */
static void tell_death(const struct version_source *src, const bool *dead, enum file_kind kind,
                       uint64_t number, struct table *table)
{
    if (__atomic_load_n(dead, __ATOMIC_ACQUIRE) && src->on_death)
        src->on_death(src->death_ctx, kind, number, table);
    else
        table_unref(table);
}

/* ---- tables ---- */

struct version_table *version_table_new(const struct version_source *src, struct table_meta *meta)
{
    assert(src && meta->number != 0);
    struct version_table *t = mem_zalloc(sizeof *t);
    t->refs = 1;
    t->source = src;
    t->number = meta->number;
    t->meta = table_meta_ref(meta);
    pthread_mutex_init(&t->opening, NULL);
    return t;
}

struct version_table *version_table_ref(struct version_table *t)
{
    ref_up(&t->refs);
    return t;
}

static void tell_cut(const struct version_source *src, const struct version_table *rest)
{
    if (!__atomic_load_n(&rest->dead, __ATOMIC_ACQUIRE) && src->on_cut)
        src->on_cut(src->death_ctx, rest->meta);
}

void version_table_unref(struct version_table *t)
{
    while (t && ref_down(&t->refs)) {
        struct version_table *rest = t->rest;
        assert(!rest || !t->dead);
        tell_death(t->source, &t->dead, FILE_TABLE, t->number, t->table);
        if (rest)
            tell_cut(t->source, rest);
        table_meta_unref(t->meta);
        pthread_mutex_destroy(&t->opening);
        free(t);
        t = rest;
    }
}

struct table *version_table_opened(const struct version_table *t)
{
    return __atomic_load_n(&t->table, __ATOMIC_ACQUIRE);
}

/* Whoever is last of those who open the table and those who change `upper` sees both. */
static void tell_upper(struct version_table *t)
{
    struct table *table = __atomic_load_n(&t->table, __ATOMIC_SEQ_CST);
    bool upper;
    if (!table)
        return;
    do {
        upper = __atomic_load_n(&t->upper, __ATOMIC_SEQ_CST);
        table_set_upper(table, upper);
    } while (__atomic_load_n(&t->upper, __ATOMIC_SEQ_CST) != upper);
}

void version_table_set_upper(struct version_table *t, bool upper)
{
    if (__atomic_exchange_n(&t->upper, upper, __ATOMIC_SEQ_CST) != upper)
        tell_upper(t);
}

int version_table_open(struct version_table *t, struct table **out)
{
    int err = 0;
    *out = version_table_opened(t);
    if (*out)
        return 0;
    pthread_mutex_lock(&t->opening);
    *out = t->table;
    if (!*out) {
        const struct version_source *src = t->source;
        const uint8_t *uuid = lineage_uuid(src->lineage, t->number, src->uuid);
        err = table_open(src->env, src->dir, t->meta, uuid, src->cache, out);
        assert(err <= 0 && (err == 0) == (*out != NULL));
        if (err == 0)
            table_set_care(*out, src->care);
        if (err == 0)
            table_set_counters(*out, src->counters);
        __atomic_store_n(&t->failed, err != 0, __ATOMIC_RELAXED);
        __atomic_store_n(&t->table, *out, __ATOMIC_SEQ_CST);
        tell_upper(t);
    }
    pthread_mutex_unlock(&t->opening);
    return err;
}

/* ---- blob files ---- */

struct version_blob *version_blob_new(const struct version_source *src, uint64_t number)
{
    assert(src && number != 0);
    struct version_blob *b = mem_zalloc(sizeof *b);
    b->refs = 1;
    b->source = src;
    b->number = number;
    pthread_mutex_init(&b->opening, NULL);
    return b;
}

struct version_blob *version_blob_ref(struct version_blob *b)
{
    ref_up(&b->refs);
    return b;
}

void version_blob_unref(struct version_blob *b)
{
    if (!b || !ref_down(&b->refs))
        return;
    if (b->reader)
        blob_reader_free(b->reader);
    for (uint32_t i = 0; i < b->old_count; i++)
        blob_reader_free(b->old[i]);
    free(b->old);
    tell_death(b->source, &b->dead, FILE_BLOB, b->number, NULL);
    pthread_mutex_destroy(&b->opening);
    free(b);
}

/* A file of the same number from another copy of the volume has another salt. */
static int require_header(const struct version_blob *b, struct blob_reader **reader)
{
    uint64_t expected = __atomic_load_n(&b->header_sum, __ATOMIC_RELAXED);
    if (!expected || file_header_sum(blob_reader_header(*reader)) == expected)
        return 0;
    char *path = name_file(b->source->dir, FILE_BLOB, b->number);
    int err = corrupt(path, 0, "the file is an older or a foreign one");
    free(path);
    blob_reader_free(*reader);
    *reader = NULL;
    return err;
}

int version_blob_open(struct version_blob *b, struct blob_reader **out)
{
    int err = 0;
    *out = __atomic_load_n(&b->reader, __ATOMIC_ACQUIRE);
    if (*out)
        return 0;
    pthread_mutex_lock(&b->opening);
    *out = b->reader;
    if (!*out) {
        const struct version_source *src = b->source;
        const uint8_t *uuid = lineage_uuid(src->lineage, b->number, src->uuid);
        err = blob_open(src->env, src->dir, b->number, uuid, out);
        if (err == 0)
            err = require_header(b, out);
        assert(err <= 0 && (err == 0) == (*out != NULL));
        if (err == 0)
            blob_set_care(*out, src->care);
        __atomic_store_n(&b->reader, *out, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&b->opening);
    return err;
}

int version_blob_reopen(struct version_blob *b)
{
    const struct version_source *src = b->source;
    struct blob_reader *fresh;
    pthread_mutex_lock(&b->opening);
    const uint8_t *uuid = lineage_uuid(src->lineage, b->number, src->uuid);
    int err = blob_open(src->env, src->dir, b->number, uuid, &fresh);
    if (err == 0)
        err = require_header(b, &fresh);
    if (err == 0) {
        blob_set_care(fresh, src->care);
        if (b->reader) {
            b->old = mem_realloc(b->old, (b->old_count + 1) * sizeof(struct blob_reader *));
            b->old[b->old_count++] = b->reader;
        }
        __atomic_store_n(&b->reader, fresh, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&b->opening);
    return err;
}
