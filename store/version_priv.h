/* version_priv: what the files of the version module share. */
#ifndef VARVE_STORE_VERSION_PRIV_H
#define VARVE_STORE_VERSION_PRIV_H

#include "store/version.h"

/* Where `a` stands against `b` on `level`: invariants 1 and 2 of version.h. */
int version_table_order(int level, const struct version_table *a, const struct version_table *b);

/* Into an empty level: takes over level->tables (malloc'd, in order; freed if count is 0) and a
 * reference on each. The other fields but `refs` are set by the caller. */
void version_level_own(struct version_level *level, struct version_level contents);
/* Into an empty level: the same tables as `from`. */
void version_level_share(struct version_level *level, const struct version_level *from);
/* Into a version without pins: takes over `pins` (malloc'd, in order) and their names. */
void version_pins_own(struct version *v, struct pin *pins, uint32_t count);
void version_pins_share(struct version *v, const struct version *from);

/* The edit cannot be applied: a damaged manifest, or a fault of ours. Logs why; returns -EIO. */
int version_misfit(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A file of this number exists, so next_file rises above it. Returns 0 or -EIO. */
int version_use_number(struct version *v, uint64_t number);
/* The levels of `edit`, applied to those of `base`, into `v`, which has none yet. Returns 0 or
 * -EIO. */
int version_apply_tables(const struct version *base, const struct edit *edit, struct version *v);

#endif
