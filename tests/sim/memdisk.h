/* memdisk: a store's files in memory, behind struct env: for tests that want neither a disk nor its
 * speed, and threads. Nothing survives memdisk_free(), and nothing is ever lost before: there are
 * no crashes, faults or limits here (those are simdisk.h's).
 *
 * Any number of threads. Clocks, randomness and threads are the real system's. Paths are taken from
 * the root, which exists, whether or not they begin with "/"; ".." is no special name. */
#ifndef VARVE_TESTS_SIM_MEMDISK_H
#define VARVE_TESTS_SIM_MEMDISK_H

#include "store/env.h"

struct memdisk;

struct memdisk *memdisk_new(void);
/* No file may be open and no lock held (asserted). NULL is ignored. */
void memdisk_free(struct memdisk *d);
/* Valid as long as the disk. */
struct env *memdisk_env(struct memdisk *d);
/* Bytes in all files, each counted once. */
uint64_t memdisk_used_bytes(struct memdisk *d);

#endif
