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

int store_ingest_finish(struct store_ingest *g)
{
    assert(!g->finished);
    g->finished = true;
    return g->ingest ? ingest_finish(g->ingest, store_flush_sealed) : -EROFS;
}

void store_ingest_free(struct store_ingest *g)
{
    if (!g)
        return;
    ingest_free(g->ingest);
    free(g);
}
