/* check_blobs: every value in a blob file that something refers to, and the accounts of garbage. A
 * value has exactly one reference: more would make the accounts wrong when the first of them is
 * dropped. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/check_priv.h"

static int by_place(const void *a, const void *b)
{
    const struct check_ref *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static struct version_blob *find(struct view *v, uint64_t number)
{
    struct version_blob_state *state = version_find_blob(v->version, number);
    if (state)
        return state->blob;
    for (uint32_t i = 0; i < v->gen_count; i++)
        if (v->gens[i]->blob && v->gens[i]->blob->number == number)
            return v->gens[i]->blob;
    return NULL;
}

static void check_value(struct check_report *r, struct blob_reader *reader, const char *name,
                        const struct check_ref *c)
{
    struct blob_ref ref = {
        .file = c->file, .where = {.offset = c->offset, .len = c->len}, .raw_len = c->raw_len};
    uint8_t *value = NULL;
    corrupt_forget();
    int err = blob_read(reader, &ref, &value);
    free(value);
    if (err < 0) {
        const char *raised = corrupt_last();
        check_tell(r, FINDING_BLOB_FRAME, STORE_DAMAGE, name, c->offset,
                   raised[0] ? raised : strerror(-err));
    }
    check_did(r, c->len);
}

static void check_values(struct check_report *r, struct blob_reader *reader, const char *name,
                         const struct check_ref *list, size_t count)
{
    for (size_t i = 0; i < count && r->stopped == 0; i++) {
        if (i > 0 && list[i].offset == list[i - 1].offset)
            check_tell(r, FINDING_BLOB_TWICE, STORE_DAMAGE, name, list[i].offset,
                       "two entries refer to the same value");
        check_value(r, reader, name, &list[i]);
    }
}

static void check_account(struct check_report *r, const struct version_blob_state *s,
                          const char *name, const struct check_ref *list, size_t n)
{
    uint64_t count = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        count += list[i].flushed;
        bytes += list[i].flushed ? list[i].len : 0;
    }
    if (count == s->count - s->garbage_count && bytes == s->bytes - s->garbage_bytes)
        return;
    char text[200];
    snprintf(text, sizeof text,
             "the manifest counts %" PRIu64 " values of %" PRIu64
             " bytes in use, the tables %" PRIu64 " of %" PRIu64,
             s->count - s->garbage_count, s->bytes - s->garbage_bytes, count, bytes);
    check_tell(r, FINDING_BLOB_GARBAGE, STORE_DAMAGE, name, UINT64_MAX, text);
}

/* The references to one file. */
static void check_file(struct check_report *r, struct view *v, const struct check_ref *list,
                       size_t count)
{
    char name[48];
    struct blob_reader *reader;
    snprintf(name, sizeof name, "%06" PRIu64 ".blob", list[0].file);
    struct version_blob *blob = find(v, list[0].file);
    if (!blob) {
        check_tell(r, FINDING_BLOB_UNKNOWN, STORE_DAMAGE, name, list[0].offset,
                   "values are said to be in it, but the manifest does not name it");
        return;
    }
    corrupt_forget();
    int err = version_blob_open(blob, &reader);
    if (err < 0)
        check_tell_error(r, FINDING_BLOB_OPEN, name, err);
    else
        check_values(r, reader, name, list, count);
    const struct version_blob_state *s = version_find_blob(v->version, list[0].file);
    if (s)
        check_account(r, s, name, list, count);
}

/* Files that the manifest names, but nothing refers to. */
static void check_unreferenced(struct check_report *r, const struct view *v,
                               const struct check_refs *refs)
{
    size_t at = 0;
    for (uint32_t i = 0; i < v->version->blob_count; i++) {
        const struct version_blob_state *s = &v->version->blobs[i];
        while (at < refs->count && refs->list[at].file < s->blob->number)
            at++;
        if (at < refs->count && refs->list[at].file == s->blob->number)
            continue;
        char name[48];
        snprintf(name, sizeof name, "%06" PRIu64 ".blob", s->blob->number);
        check_account(r, s, name, NULL, 0);
    }
}

void check_blobs(struct check_report *r, struct tree *t, struct view *v, struct check_refs *refs)
{
    (void)t;
    if (refs->count)
        qsort(refs->list, refs->count, sizeof *refs->list, by_place);
    for (size_t i = 0, j; i < refs->count && r->stopped == 0; i = j) {
        for (j = i; j < refs->count && refs->list[j].file == refs->list[i].file; j++)
            ;
        check_file(r, v, refs->list + i, j - i);
    }
    check_unreferenced(r, v, refs);
}
