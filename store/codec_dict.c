/* codec_dict: dictionaries in memory (codec_zstd.h).
 *
 * Invariants:
 *   1. The tables of a dictionary are made once for each level, published with release, and never
 *      change until the last reference is gone.
 *   2. Those that are shared are in one list, each content once; the last reference takes it out
 *      under the list's lock, so whoever finds one there gets a reference that counts. */
#include "store/codec_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <zdict.h>

static pthread_mutex_t known_lock = PTHREAD_MUTEX_INITIALIZER;
static struct codec_dict *known; /* [known_lock] */
static uint32_t known_count;     /* [known_lock] */

int codec_dict_new(uint16_t id, struct slice content, struct codec_dict **out)
{
    assert(id != 0);
    *out = NULL;
    /* Bytes without a dictionary's header would be taken as they are, and have no number. */
    if (content.len > ZSTD_DICT_BYTES_MAX || ZDICT_getDictID(content.data, content.len) == 0)
        return -EIO;
    ZSTD_DDict *decode = ZSTD_createDDict(content.data, content.len);
    if (!decode)
        return -EIO;
    struct codec_dict *d = mem_zalloc(sizeof *d);
    d->refs = 1;
    d->id = id;
    d->decode = decode;
    buf_set(&d->content, content);
    pthread_mutex_init(&d->making, NULL);
    *out = d;
    return 0;
}

/* [known_lock held] */
static struct codec_dict *find(uint16_t id, struct slice content)
{
    struct codec_dict *d = known;
    while (d && (d->id != id || !slice_eq(buf_slice(&d->content), content)))
        d = d->next;
    return d;
}

int codec_dict_share(uint16_t id, struct slice content, struct codec_dict **out)
{
    int err = 0;
    pthread_mutex_lock(&known_lock);
    *out = find(id, content);
    if (*out) {
        codec_dict_ref(*out);
    } else {
        err = codec_dict_new(id, content, out);
        if (err == 0) {
            (*out)->shared = true;
            (*out)->next = known;
            known = *out;
            known_count++;
        }
    }
    pthread_mutex_unlock(&known_lock);
    return err;
}

uint32_t codec_dict_shared_count(void)
{
    pthread_mutex_lock(&known_lock);
    uint32_t count = known_count;
    pthread_mutex_unlock(&known_lock);
    return count;
}

struct codec_dict *codec_dict_ref(struct codec_dict *d)
{
    int before = __atomic_fetch_add(&d->refs, 1, __ATOMIC_RELAXED);
    assert(before > 0);
    (void)before;
    return d;
}

static bool drop(struct codec_dict *d)
{
    int before = __atomic_fetch_sub(&d->refs, 1, __ATOMIC_ACQ_REL);
    assert(before > 0);
    return before == 1;
}

static bool drop_shared(struct codec_dict *d)
{
    pthread_mutex_lock(&known_lock);
    bool last = drop(d);
    struct codec_dict **at = &known;
    while (last && *at != d)
        at = &(*at)->next;
    if (last) {
        *at = d->next;
        known_count--;
    }
    pthread_mutex_unlock(&known_lock);
    return last;
}

void codec_dict_unref(struct codec_dict *d)
{
    if (!d || !(d->shared ? drop_shared(d) : drop(d)))
        return;
    ZSTD_freeDDict(d->decode);
    for (int level = 0; level <= ZSTD_LEVEL_MAX; level++)
        ZSTD_freeCDict(d->levels[level]);
    pthread_mutex_destroy(&d->making);
    buf_release(&d->content);
    free(d);
}

uint16_t codec_dict_id(const struct codec_dict *d)
{
    return d->id;
}

struct slice codec_dict_content(const struct codec_dict *d)
{
    return buf_slice(&d->content);
}

uint64_t codec_dict_memory_bytes(const struct codec_dict *d)
{
    uint64_t bytes = sizeof *d + d->content.cap + ZSTD_sizeof_DDict(d->decode);
    for (int level = 0; level <= ZSTD_LEVEL_MAX; level++)
        bytes += ZSTD_sizeof_CDict(__atomic_load_n(&d->levels[level], __ATOMIC_ACQUIRE));
    return bytes;
}

uint64_t codec_dict_share_bytes(const struct codec_dict *d)
{
    int refs = __atomic_load_n(&d->refs, __ATOMIC_RELAXED);
    return codec_dict_memory_bytes(d) / (uint64_t)(refs > 0 ? refs : 1);
}

const ZSTD_CDict *codec_dict_for_level(struct codec_dict *d, int level)
{
    assert(level >= 1 && level <= ZSTD_LEVEL_MAX);
    ZSTD_CDict *made = __atomic_load_n(&d->levels[level], __ATOMIC_ACQUIRE);
    if (made)
        return made;
    pthread_mutex_lock(&d->making);
    made = d->levels[level];
    if (!made) {
        made = ZSTD_createCDict(d->content.data, d->content.len, level);
        __atomic_store_n(&d->levels[level], made, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&d->making);
    return made;
}
