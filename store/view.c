/* view: references, and one point read from the newest source to the oldest.
 *
 * Invariants:
 *   1. Sources are asked newest first: memtables, level 0 in its order, then the deeper levels.
 *      By version.h's invariant 3 the first base met below the read's number, and not under a
 *      tombstone met so far, is the answer; and once a tombstone over the key was met, no older
 *      source has one.
 *   2. What a result points into (memtable, cached block) is held by the view or by the value's
 *      own pin. */
#include "store/view_priv.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct view *view_new(struct memgen *const *gens, uint32_t gen_count, struct version *version)
{
    struct view *v = mem_zalloc(sizeof *v);
    assert(version);
    v->refs = 1;
    v->gens = mem_alloc(gen_count * sizeof *v->gens);
    v->gen_count = gen_count;
    for (uint32_t i = 0; i < gen_count; i++)
        v->gens[i] = memgen_ref(gens[i]);
    v->version = version_ref(version);
    return v;
}

struct view *view_ref(struct view *v)
{
    int before = __atomic_fetch_add(&v->refs, 1, __ATOMIC_RELAXED);
    assert(before > 0);
    return v;
}

void view_unref(struct view *v)
{
    if (!v)
        return;
    int before = __atomic_fetch_sub(&v->refs, 1, __ATOMIC_ACQ_REL);
    assert(before > 0);
    if (before > 1)
        return;
    for (uint32_t i = 0; i < v->gen_count; i++)
        memgen_unref(v->gens[i]);
    version_unref(v->version);
    free(v->gens);
    free(v);
}

/* ---- blobs ---- */

static struct version_blob *find_blob(const struct view *v, uint64_t number)
{
    struct version_blob_state *state = version_find_blob(v->version, number);
    if (state)
        return state->blob;
    for (uint32_t i = 0; i < v->gen_count; i++) {
        struct version_blob *b = __atomic_load_n(&v->gens[i]->blob, __ATOMIC_ACQUIRE);
        if (b && b->number == number)
            return b;
    }
    return NULL;
}

static int no_blob(const struct blob_ref *ref)
{
    char name[64];
    snprintf(name, sizeof name, "%06" PRIu64 ".blob", ref->file);
    return corrupt(name, ref->where.offset, "a value is in it, but the manifest does not name it");
}

/* Decoded to `into`, or, if that is NULL, to where it stays. The reference may be damaged: memory
 * is taken once the frame has shown that its lengths are right. */
static int decode_blob(struct blob_reader *reader, const struct blob_ref *ref, uint8_t *into,
                       struct cache_item **value)
{
    struct buf *frame = codec_frame_room();
    struct cache_item *room = NULL;
    *value = NULL;
    int err = blob_fetch(reader, ref, frame);
    if (err == 0) {
        if (!into)
            room = cache_alloc(ref->raw_len);
        err = blob_unpack(reader, ref, frame, into ? into : cache_bytes(room));
    }
    if (err < 0)
        cache_discard(room);
    else
        *value = room;
    return err;
}

static int decode_current(struct version_blob *blob, const struct blob_ref *ref, uint8_t *into,
                          struct cache_item **value)
{
    struct blob_reader *reader;
    int err = version_blob_open(blob, &reader);
    if (err < 0)
        return err;
    struct blob_reader *used = reader;
    err = decode_blob(reader, ref, into, value);
    /* The file may have been replaced by a healed one just now (version_blob_reopen()). */
    if (err == -EIO && version_blob_open(blob, &reader) == 0 && reader != used)
        err = decode_blob(reader, ref, into, value);
    return err;
}

/* The cached value of a reference that is right in file and place but not in its lengths is not
 * what it asks for. */
static struct cache_item *cached_blob(struct view_context *ctx, const struct blob_ref *ref)
{
    struct cache_item *item =
        ctx->values ? values_get(ctx->values, ref->file, ref->where.offset) : NULL;
    if (item && item->data.len != ref->raw_len) {
        cache_release(ctx->cache, item);
        item = NULL;
    }
    return item;
}

/* A reader's own memory for a value: empty if it has none. */
struct room {
    uint8_t *data;
    size_t len;
};

/* What a value that was read is to become. */
enum place { PLACE_OWN, PLACE_KEPT, PLACE_TRIED, PLACE_LOOSE };

static enum place place_of(struct view_context *ctx, const struct blob_ref *ref, bool keep,
                           const struct room *own)
{
    if (!keep || !ctx->values)
        return own->data && ref->raw_len <= own->len ? PLACE_OWN : PLACE_LOOSE;
    if (!own->data || ref->raw_len > own->len)
        return PLACE_TRIED;
    return values_wanted(ctx->values, ref->file, ref->where.offset, ref->raw_len) ? PLACE_KEPT
                                                                                  : PLACE_OWN;
}

static struct cache_item *put_away(struct view_context *ctx, const struct blob_ref *ref,
                                   enum place place, struct cache_item *item)
{
    uint64_t file = ref->file, offset = ref->where.offset;
    if (place == PLACE_LOOSE)
        return cache_insert_loose(ctx->cache, item);
    return place == PLACE_KEPT ? values_keep(ctx->values, file, offset, item)
                               : values_put(ctx->values, file, offset, item);
}

/* `*value` stays NULL if the value went to `own`. */
static int read_blob(struct view *v, struct view_context *ctx, const struct blob_ref *ref,
                     bool keep, const struct room *own, struct cache_item **value)
{
    struct cache_item *item;
    *value = NULL;
    struct version_blob *blob = find_blob(v, ref->file);
    if (!blob)
        return no_blob(ref);
    *value = cached_blob(ctx, ref);
    if (*value) {
        counter_add(counters_mine(ctx->counters), COUNT_BLOB_CACHED, 1);
        return 0;
    }
    enum place place = place_of(ctx, ref, keep, own);
    int err = decode_current(blob, ref, place == PLACE_OWN ? own->data : NULL, &item);
    if (err < 0)
        return err;
    counter_add(counters_mine(ctx->counters), COUNT_BLOB_READ, 1);
    if (place == PLACE_OWN)
        return 0;
    *value = put_away(ctx, ref, place, item);
    assert((*value)->data.len == ref->raw_len);
    return 0;
}

static int malformed(void)
{
    return corrupt("a table", UINT64_MAX, "a malformed reference to a blob file");
}

int view_read_blob(struct view *v, struct view_context *ctx, struct slice encoded_ref, bool keep,
                   struct cache_item **value)
{
    struct blob_ref ref;
    *value = NULL;
    if (!blob_ref_decode(encoded_ref, &ref))
        return malformed();
    return read_blob(v, ctx, &ref, keep, &(struct room){0}, value);
}

/* ---- the walk ---- */

bool view_goes_on(struct lookup *l)
{
    if (l->cover_seq > 0 && !lookup_done(l))
        lookup_end(l);
    return !lookup_done(l);
}

/* Tables that may have the key, newest first. They are gathered before any of them is asked, so
 * that their filters come from memory side by side. */
enum { ASKED_MAX = 16 };
struct asked {
    struct version_table *tables[ASKED_MAX];
    uint8_t sources[ASKED_MAX]; /* their levels, for lookup.source */
    uint32_t count;
};

static int ask_gathered(struct asked *asked, struct lookup *l)
{
    int err = 0;
    for (uint32_t i = 0; i < asked->count && err == 0 && view_goes_on(l); i++) {
        struct table *table;
        if (lookup_covered(l, asked->tables[i]->meta->max_seq))
            continue;
        l->source = asked->sources[i];
        err = version_table_open(asked->tables[i], &table);
        if (err == 0)
            err = table_get(table, l);
    }
    asked->count = 0;
    return err;
}

static int ask_soon(struct asked *asked, struct version_table *vt, int level, struct lookup *l)
{
    if (slice_cmp(l->key, buf_slice(&vt->meta->smallest)) < 0 ||
        slice_cmp(l->key, buf_slice(&vt->meta->limit)) >= 0) {
        l->tables_out_of_span++;
        return 0;
    }
    struct table *table = version_table_opened(vt);
    if (table)
        table_prefetch(table, l->hash);
    assert(asked->count < ASKED_MAX);
    asked->sources[asked->count] = (uint8_t)(LOOKUP_LEVEL + level);
    asked->tables[asked->count++] = vt;
    return asked->count == ASKED_MAX ? ask_gathered(asked, l) : 0;
}

static int ask_version(const struct version *v, struct lookup *l)
{
    struct asked asked = {.count = 0};
    int err = 0;
    for (uint32_t i = 0; i < v->levels[0].count && err == 0 && view_goes_on(l); i++) {
        err = ask_soon(&asked, v->levels[0].tables[i], 0, l);
        l->level0_asked++;
    }
    for (int level = 1; level < LEVEL_COUNT && err == 0 && view_goes_on(l); level++) {
        const struct version_level *lv = &v->levels[level];
        uint32_t i = lv->count ? version_find(lv, l->key) : 0;
        if (i < lv->count)
            err = ask_soon(&asked, lv->tables[i], level, l);
    }
    return err == 0 && view_goes_on(l) ? ask_gathered(&asked, l) : err;
}

int view_ask_memtables(struct view *v, struct lookup *l)
{
    int err = 0;
    assert(l->read_seq > 0);
    for (uint32_t i = 0; i < v->gen_count && err == 0 && view_goes_on(l); i++) {
        l->source = i == 0 ? LOOKUP_MEMTABLE : LOOKUP_SEALED;
        err = memtable_get(v->gens[i]->mem, l);
    }
    return err;
}

static int walk(struct view *v, struct lookup *l)
{
    int err = view_ask_memtables(v, l);
    return err == 0 && view_goes_on(l) ? ask_version(v->version, l) : err;
}

/* ---- results ---- */

void view_count_steps(struct view_context *ctx, uint64_t steps)
{
    counter_add(counters_mine(ctx->counters), COUNT_PASSED, steps);
}

static uint32_t outcome(const struct lookup *l)
{
    static const uint8_t absences[] = {[LOOKUP_NOTHING] = COUNT_ABSENT,
                                       [LOOKUP_TOMBSTONE] = COUNT_DELETED,
                                       [LOOKUP_RANGE] = COUNT_RANGE_DELETED};
    if (l->state == LOOKUP_ABSENT)
        return absences[l->absence];
    if (l->source >= LOOKUP_LEVEL)
        return COUNT_FOUND_LEVEL + (unsigned)(l->source - LOOKUP_LEVEL);
    return l->source == LOOKUP_MEMTABLE ? COUNT_FOUND_MEMTABLE : COUNT_FOUND_SEALED;
}

/* A read that has ended, with an error or without. What came to no table has nothing to count of
 * them. */
static void count(struct view_context *ctx, const struct lookup *l, int err)
{
    struct counter_stripe *mine = counters_mine(ctx->counters);
    counter_add(mine, COUNT_GET, 1);
    if (err >= 0) {
        counter_add(mine, outcome(l), 1);
        counter_add(mine, COUNT_FOLDED, l->operand_count > 0);
    }
    if (l->tables_asked + l->tables_out_of_span == 0)
        return;
    counter_add(mine, COUNT_TABLE_OUT_OF_SPAN, l->tables_out_of_span);
    counter_add(mine, COUNT_TABLE_ASKED, l->tables_asked);
    counter_add(mine, COUNT_FILTER_NEGATIVE, l->filter_negatives);
    counter_add(mine, COUNT_FILTER_FALSE_POSITIVE, l->filter_false_positives);
    counter_add(mine, COUNT_FILTER_TRUE_POSITIVE, l->filter_true_positives);
    counter_add(mine, COUNT_BLOCK_MISSED, l->blocks_missed);
    counter_add(mine, COUNT_LEVEL0_ASKED, l->level0_asked);
}

void view_reset_value(struct store_value *out)
{
    assert(!out->pin || out->pin_owner);
    view_unref(out->view);
    out->view = NULL;
    if (out->pin)
        cache_release(out->pin_owner, out->pin);
    out->pin = out->pin_owner = NULL;
    out->data = (struct slice){0};
    out->own.len = 0;
}

static int base_only(struct view *v, struct view_context *ctx, struct lookup *l,
                     const struct room *own, struct store_value *out)
{
    struct blob_ref ref;
    struct cache_item *value;
    assert(l->state == LOOKUP_FOUND && l->operand_count == 0);
    if (!entry_type_is_blob(l->type)) {
        out->data = l->base;
        out->pin = l->pin;
        out->pin_owner = l->pin ? ctx->cache : NULL;
        l->pin = NULL;
        return 0;
    }
    if (!blob_ref_decode(l->base, &ref))
        return malformed();
    int err = read_blob(v, ctx, &ref, true, own, &value);
    if (err < 0)
        return err;
    out->data = value ? value->data : slice_of(own->data, ref.raw_len);
    out->pin = value;
    out->pin_owner = value ? ctx->cache : NULL;
    return 0;
}

/* Operands and base with everything fetched, oldest first. */
struct fold {
    struct slice base;
    bool has_base;
    struct slice *operands;
    struct cache_item **fetched; /* to be released */
    uint32_t fetched_count;
};

static int fetch(struct view *v, struct view_context *ctx, struct fold *f, bool blob,
                 struct slice stored, struct slice *out)
{
    *out = stored;
    if (!blob)
        return 0;
    int err = view_read_blob(v, ctx, stored, true, &f->fetched[f->fetched_count]);
    if (err == 0)
        *out = f->fetched[f->fetched_count++]->data;
    return err;
}

static int gather(struct view *v, struct view_context *ctx, const struct lookup *l, struct fold *f)
{
    int err = 0;
    f->has_base = l->state == LOOKUP_FOUND;
    if (f->has_base)
        err = fetch(v, ctx, f, entry_type_is_blob(l->type), l->base, &f->base);
    for (uint32_t i = 0; i < l->operand_count && err == 0; i++) {
        const struct lookup_operand *op = &l->operands[l->operand_count - 1 - i];
        struct slice stored = slice_of(l->bytes.data + op->offset, op->len);
        err = fetch(v, ctx, f, entry_type_is_blob(op->type), stored, &f->operands[i]);
    }
    return err;
}

static int folded(struct view *v, struct view_context *ctx, struct lookup *l,
                  struct store_value *out)
{
    if (!ctx->merge)
        return corrupt("the store", UINT64_MAX, "it holds merge entries, but has no operator");
    struct fold f = {.operands = mem_alloc(l->operand_count * sizeof(struct slice)),
                     .fetched = mem_alloc((l->operand_count + 1) * sizeof(struct cache_item *))};
    int err = gather(v, ctx, l, &f);
    if (err == 0)
        err = ctx->merge->full(ctx->merge->ctx, l->key, f.has_base ? &f.base : NULL, f.operands,
                               l->operand_count, &out->own);
    assert(err <= 0);
    out->data = err == 0 ? buf_slice(&out->own) : (struct slice){0};
    for (uint32_t i = 0; i < f.fetched_count; i++)
        cache_release(ctx->cache, f.fetched[i]);
    free(f.fetched);
    free(f.operands);
    return err;
}

static int finish(struct view *v, struct view_context *ctx, struct lookup *l, int err,
                  const struct room *own, struct store_value *out)
{
    if (err == 0) {
        if (!lookup_done(l))
            lookup_end(l);
        if (l->operand_count > 0)
            err = folded(v, ctx, l, out);
        else
            err = l->state == LOOKUP_FOUND ? base_only(v, ctx, l, own, out) : 1;
    }
    assert(err == 0 || out->data.len == 0);
    count(ctx, l, err);
    lookup_release(l, ctx->cache);
    return err;
}

int view_finish(struct view *v, struct view_context *ctx, struct lookup *l, int err,
                struct store_value *out)
{
    return finish(v, ctx, l, err, &(struct room){0}, out);
}

int view_get_into(struct view *v, struct view_context *ctx, struct slice key, uint64_t read_seq,
                  uint8_t *into, size_t room, struct store_value *out)
{
    struct lookup l;
    view_reset_value(out);
    lookup_init(&l, key, read_seq);
    int err = walk(v, &l);
    return finish(v, ctx, &l, err, &(struct room){into, room}, out);
}

int view_get(struct view *v, struct view_context *ctx, struct slice key, uint64_t read_seq,
             struct store_value *out)
{
    return view_get_into(v, ctx, key, read_seq, NULL, 0, out);
}

int view_trace(struct view *v, struct view_context *ctx, struct slice key, uint64_t read_seq,
               struct lookup *l)
{
    lookup_init(l, key, read_seq);
    int err = walk(v, l);
    if (err == 0 && !lookup_done(l))
        lookup_end(l);
    count(ctx, l, err);
    return err;
}

int view_has(struct view *v, struct view_context *ctx, struct slice key, uint64_t read_seq)
{
    struct lookup l;
    int err = view_trace(v, ctx, key, read_seq, &l);
    if (err == 0)
        err = l.state == LOOKUP_FOUND || l.operand_count > 0 ? 0 : 1;
    lookup_release(&l, ctx->cache);
    return err;
}
