/* simfile: one simulated file: what readers see, what would survive a power cut, and what lies
 * between.
 *
 * The time between a write and the sync that follows it is kept as a list of changes, so that a
 * power cut can keep, lose or tear each of them on its own. */
#ifndef VARVE_TESTS_SIM_SIMFILE_H
#define VARVE_TESTS_SIM_SIMFILE_H

#include <stdbool.h>

#include "tests/sim/simdisk.h"
#include "tests/sim/simimage.h"
#include "tests/sim/simrng.h"

enum { SIM_SECTOR = 512 };

struct simfile_change;

/* The fields may be read from outside, and are changed only by the functions below. */
struct simfile {
    struct simimage *now;           /* what readers see */
    struct simimage *durable;       /* as of the last sync */
    struct simfile_change *pending; /* what was done since then, newest first; shared with clones */
    bool diverged;                  /* a sync has failed: `now` is not durable + pending */
};

void simfile_init(struct simfile *f); /* empty, durable */
void simfile_release(struct simfile *f);
/* Initialises `*to` as a copy of `*from`, in constant time. */
void simfile_clone(struct simfile *to, const struct simfile *from);

/* Limits as in simimage.h. */
void simfile_write(struct simfile *f, uint64_t offset, const void *data, size_t len);
void simfile_truncate(struct simfile *f, uint64_t size);
void simfile_punch(struct simfile *f, uint64_t offset, uint64_t len);
void simfile_reserve(struct simfile *f, uint64_t offset, uint64_t len);

/* All that was done becomes durable, except what an earlier failed sync has given up. */
void simfile_sync(struct simfile *f);
/* The sync fails, as it does on Linux: each pending change reached the disk, in part, or never
 * will, though readers go on seeing all of it until the next crash. */
void simfile_sync_failed(struct simfile *f, struct simrng *rng);
/* What readers see becomes durable, without exception. */
void simfile_settle(struct simfile *f);

/* Power is cut: readers see, and durable is, what `mode` leaves (simdisk.h). */
void simfile_crash(struct simfile *f, enum sim_crash mode, struct simrng *rng);

/* Checks the invariants, with assert(); takes as long as reading the file. */
void simfile_assert_valid(const struct simfile *f);

/* How many bytes of a write of `len` bytes at `offset` are done when it is torn: it ends at the
 * edge of a sector, or did not begin, or is complete. */
size_t simfile_tear(uint64_t offset, size_t len, struct simrng *rng);

#endif
