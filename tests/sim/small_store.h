/* small_store: settings under which a short history of a file system fills memtables, flushes,
 * compacts and writes blob files. */
#ifndef VARVE_TESTS_SIM_SMALL_STORE_H
#define VARVE_TESTS_SIM_SMALL_STORE_H

#include "store/store.h"

static inline void small_store(struct store_options *o)
{
    store_options_init(o);
    o->memtable_bytes = 24 << 10;
    o->block_bytes = 512;
    o->index_whole_bytes = 300; /* in parts */
    o->table_bytes = 8 << 10;
    o->blob_bytes = 64 << 10;
    o->separate_min = 256;
    o->direct_min = 4 << 10;
    o->cache_bytes = 256 << 10;
    o->reserve_bytes = 0;
    o->events_bytes = 0;
    o->log_row_bytes = 512;
}

#endif
