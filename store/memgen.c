/* memgen: a memtable with the log and blob file behind it; see view.h. */
#include <assert.h>
#include <stdlib.h>

#include "store/view.h"

struct memgen *memgen_new(uint64_t log_number, uint64_t first_seq)
{
    assert(log_number > 0 && first_seq > 0);
    struct memgen *g = mem_zalloc(sizeof *g);
    g->refs = 1;
    g->mem = memtable_new();
    g->log_number = log_number;
    g->first_seq = first_seq;
    return g;
}

struct memgen *memgen_ref(struct memgen *g)
{
    int before = __atomic_fetch_add(&g->refs, 1, __ATOMIC_RELAXED);
    assert(before > 0);
    return g;
}

void memgen_unref(struct memgen *g)
{
    if (!g)
        return;
    int before = __atomic_fetch_sub(&g->refs, 1, __ATOMIC_ACQ_REL);
    assert(before > 0);
    if (before > 1)
        return;
    memtable_unref(g->mem);
    version_blob_unref(g->blob);
    free(g);
}

void memgen_set_blob(struct memgen *g, struct version_blob *blob)
{
    assert(!g->blob && blob);
    __atomic_store_n(&g->blob, blob, __ATOMIC_RELEASE);
}
