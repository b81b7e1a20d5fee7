/* store_ingest: bulk ingestion behind the door. */
#include "store/ingest.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/store_priv.h"

struct store_ingest {
    struct store *store;
    struct ingest *ingest; /* NULL: the store is read-only */
    bool finished;
};

struct store_ingest *store_ingest_new(struct store *s)
{
    struct store_ingest *g = mem_zalloc(sizeof *g);
    g->store = s;
    g->ingest = s->writable ? ingest_new(&s->commit) : NULL;
    return g;
}

int store_ingest_put(struct store_ingest *g, struct slice key, struct slice value)
{
    assert(!g->finished);
    return g->ingest ? ingest_put(g->ingest, key, value) : -EROFS;
}

int store_ingest_delete(struct store_ingest *g, struct slice key)
{
    assert(!g->finished);
    return g->ingest ? ingest_delete(g->ingest, key) : -EROFS;
}

int store_ingest_finish(struct store_ingest *g)
{
    assert(!g->finished);
    g->finished = true;
    return g->ingest ? ingest_finish(g->ingest, store_flush_sealed, NULL) : -EROFS;
}

/* [pins held] */
static int finish_pinned(struct store_ingest *g, struct pin *pin)
{
    struct view *v = viewbox_get(g->store->tree.box);
    bool taken = version_find_pin(v->version, pin->name) != NULL;
    view_unref(v);
    return taken ? -EEXIST : ingest_finish(g->ingest, store_flush_sealed, pin);
}

int store_ingest_finish_pinned(struct store_ingest *g, struct store_pin *pin)
{
    size_t len = strlen(pin->name);
    assert(!g->finished && len >= 1 && len <= STORE_NAME_MAX);
    g->finished = true;
    if (!g->ingest)
        return -EROFS;
    struct pin made = {
        .tag = pin->tag, .created_ns = pin->created_ns, .name = mem_strdup(pin->name)};
    pthread_mutex_lock(&g->store->pins);
    int err = finish_pinned(g, &made);
    pthread_mutex_unlock(&g->store->pins);
    pin->seq = made.seq;
    free(made.name);
    return err;
}

void store_ingest_free(struct store_ingest *g)
{
    if (!g)
        return;
    ingest_free(g->ingest);
    free(g);
}
