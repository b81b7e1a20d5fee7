/* dicts: see dicts.h.
 *
 * What is tried costs time, so after a training that did not pay the next jobs go without one:
 * two, then four, and so on up to PAUSE_MAX. And where blocks are large none is tried at all.
 *
 * Invariants:
 *   1. Nothing is trained or compressed under the lock. Two jobs may train at once; the later one
 *      is in use then.
 *   2. What decides is measured on blocks that the dictionary was not trained on. */
#include "store/dicts.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
/* For fastCover with parameters that are given: ZDICT_trainFromBuffer() tries several, which takes
 * ten times as long. */
#define ZDICT_STATIC_LINKING_ONLY
#include <zdict.h>

enum {
    BLOCK_BYTES_MAX = 24 << 10, /* of an average block: larger ones hold enough to learn from */
    HELD_OUT = 4,               /* each so many-th block is not trained on */
    MEASURED_MAX = 24,          /* blocks that are compressed to decide */
    TRAIN_SEGMENT = 400,        /* fastCover: bytes that are taken at once, */
    TRAIN_DMER = 8,             /* by how often their pieces of so many bytes occur, */
    TRAIN_TABLE_LOG = 18,       /* counted in a table of 2^this */
    TRAIN_BLOCKS_MIN = 32,
    BETTER_PERCENT = 2, /* by which a new one has to be better than the one in use */
    PAUSE_MAX = 64,
};

struct dicts {
    pthread_mutex_t lock;
    struct codec_dict *current; /* [lock] and so is all below; NULL: none */
    double saves;               /* part of the size without it, when it was made; 0: not known */
    uint32_t since;             /* jobs since `current` was compared with another */
    uint32_t pause, pause_left; /* jobs without training */
    struct dicts_stats stats;
};

struct dicts *dicts_new(void)
{
    struct dicts *d = mem_zalloc(sizeof *d);
    pthread_mutex_init(&d->lock, NULL);
    return d;
}

void dicts_free(struct dicts *d)
{
    if (!d)
        return;
    codec_dict_unref(d->current);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

void dicts_stats(struct dicts *d, struct dicts_stats *out)
{
    pthread_mutex_lock(&d->lock);
    *out = d->stats;
    pthread_mutex_unlock(&d->lock);
}

void dicts_offer(struct dicts *d, struct codec_dict *dict)
{
    pthread_mutex_lock(&d->lock);
    if (!d->current && dict)
        d->current = codec_dict_ref(dict);
    pthread_mutex_unlock(&d->lock);
}

/* ---- measuring ---- */

/* What is to be decided. */
struct trial {
    const struct dict_block *blocks;
    size_t count;
    const struct dict_wanted *wanted;
    uint64_t raw, plain; /* of the blocks that are held out: without compression, without one */
    double saved_once;   /* what the one in use saved when it was made */
};

static bool held_out(size_t i)
{
    return i % HELD_OUT == HELD_OUT - 1;
}

/* The stored size of the blocks that are held out. */
static uint64_t measure(struct trial *t, struct codec_dict *dict)
{
    uint64_t total = 0, raw = 0;
    struct buf out = {0};
    size_t stride = 1 + t->count / HELD_OUT / MEASURED_MAX, seen = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (!held_out(i) || seen++ % stride != 0)
            continue;
        struct pack_how how = {.zstd_level = t->blocks[i].zstd_level, .dict = dict};
        buf_clear(&out);
        total += frame_pack_how(t->blocks[i].raw, &how, &out);
        raw += t->blocks[i].raw.len;
    }
    buf_release(&out);
    t->raw = raw;
    return total;
}

static double saves(const struct trial *t, uint64_t with)
{
    return 1.0 - (double)with / (double)t->plain;
}

/* Does it save enough? Both copies of it are part of the table. */
static bool pays(const struct trial *t, const struct codec_dict *dict, uint64_t with)
{
    double scale = (double)t->wanted->expected_bytes / (double)t->raw;
    double cost = 2.0 * (double)codec_dict_content(dict).len;
    double saved = ((double)t->plain - (double)with) * scale - cost;
    return saved >= (double)t->plain * scale * t->wanted->gain_percent / 100;
}

/* ---- training ---- */

/* A reference, or NULL: nothing could be learned. */
static struct codec_dict *train(const struct trial *t)
{
    size_t *lens = mem_alloc(t->count * sizeof *lens), total = 0;
    unsigned used = 0;
    struct buf samples = {0}, content = {0};
    struct codec_dict *dict = NULL;
    for (size_t i = 0; i < t->count; i++)
        total += t->blocks[i].raw.len;
    buf_reserve(&samples, total);
    for (size_t i = 0; i < t->count; i++) {
        if (held_out(i))
            continue;
        lens[used++] = t->blocks[i].raw.len;
        buf_append(&samples, t->blocks[i].raw);
    }
    size_t room = t->wanted->dict_bytes;
    ZDICT_fastCover_params_t how = {
        .k = TRAIN_SEGMENT, .d = TRAIN_DMER, .f = TRAIN_TABLE_LOG, .accel = 1};
    size_t len = ZDICT_trainFromBuffer_fastCover(buf_reserve(&content, room), room, samples.data,
                                                 lens, used, how);
    if (!ZDICT_isError(len) && codec_dict_share(DICT_ID, slice_of(content.data, len), &dict) < 0)
        dict = NULL;
    buf_release(&samples);
    buf_release(&content);
    free(lens);
    return dict;
}

static bool worth_training(const struct trial *t)
{
    uint64_t total = 0;
    bool compressed = false;
    for (size_t i = 0; i < t->count; i++) {
        total += t->blocks[i].raw.len;
        compressed = compressed || t->blocks[i].zstd_level > 0;
    }
    return compressed && t->count >= TRAIN_BLOCKS_MIN && total / t->count <= BLOCK_BYTES_MAX &&
           total >= 4 * (uint64_t)t->wanted->dict_bytes && codec_dict_shared_count() < DICTS_MAX;
}

/* ---- choosing ---- */

/* The one in use, a reference; whether another may be tried, and whether it is time to. */
static struct codec_dict *begin(struct dicts *d, struct trial *t, bool *may_try, bool *due)
{
    pthread_mutex_lock(&d->lock);
    struct codec_dict *current = d->current ? codec_dict_ref(d->current) : NULL;
    *may_try = d->pause_left == 0;
    t->saved_once = d->saves;
    *due = ++d->since >= DICT_AGAIN;
    d->pause_left -= d->pause_left > 0;
    pthread_mutex_unlock(&d->lock);
    return current;
}

/* A training has ended: `fresh` is in use from now on, or it is NULL and did not pay. */
static void trained(struct dicts *d, struct codec_dict *fresh, double saved)
{
    pthread_mutex_lock(&d->lock);
    d->stats.trained++;
    d->since = 0;
    if (fresh) {
        codec_dict_unref(d->current);
        d->current = codec_dict_ref(fresh);
        d->saves = saved;
        d->pause = 0;
    } else {
        d->stats.refused++;
        d->pause = d->pause ? 2 * d->pause : 2;
        d->pause = d->pause < PAUSE_MAX ? d->pause : PAUSE_MAX;
        d->pause_left = d->pause;
    }
    pthread_mutex_unlock(&d->lock);
}

static struct codec_dict *try_fresh(struct dicts *d, struct trial *t, const struct codec_dict *best,
                                    uint64_t with)
{
    struct codec_dict *fresh = train(t);
    uint64_t size = fresh ? measure(t, fresh) : UINT64_MAX;
    bool better =
        fresh && pays(t, fresh, size) && (!best || size < with - with * BETTER_PERCENT / 100);
    trained(d, better ? fresh : NULL, better ? saves(t, size) : 0);
    if (better)
        return fresh;
    codec_dict_unref(fresh);
    return NULL;
}

/* Of one that came with a table it is known now. Returns it. */
static double first_saving(struct dicts *d, const struct codec_dict *dict, double saved)
{
    pthread_mutex_lock(&d->lock);
    if (d->current == dict)
        d->saves = saved;
    pthread_mutex_unlock(&d->lock);
    return saved;
}

/* What is left of the one in use after it was measured: it, or NULL. */
static struct codec_dict *keep_paying(const struct trial *t, struct codec_dict *dict, uint64_t with)
{
    if (dict && pays(t, dict, with))
        return dict;
    codec_dict_unref(dict);
    return NULL;
}

struct codec_dict *dicts_choose(struct dicts *d, const struct dict_block *blocks, size_t count,
                                const struct dict_wanted *wanted)
{
    struct trial t = {.blocks = blocks, .count = count, .wanted = wanted};
    bool may_try, due;
    struct codec_dict *best = begin(d, &t, &may_try, &due);
    may_try = may_try && worth_training(&t);
    if (best || may_try)
        t.plain = measure(&t, NULL);
    if (t.raw == 0) { /* too few blocks to tell */
        codec_dict_unref(best);
        return NULL;
    }
    uint64_t with = best ? measure(&t, best) : 0;
    if (best && t.saved_once == 0)
        t.saved_once = first_saving(d, best, saves(&t, with));
    /* The data has changed: it saves less than half of what it did. */
    due = due || (best && saves(&t, with) < t.saved_once / 2);
    best = keep_paying(&t, best, with);
    struct codec_dict *fresh = may_try && (due || !best) ? try_fresh(d, &t, best, with) : NULL;
    if (fresh) {
        codec_dict_unref(best);
        best = fresh;
    }
    pthread_mutex_lock(&d->lock);
    d->stats.chosen += best != NULL;
    pthread_mutex_unlock(&d->lock);
    return best;
}
