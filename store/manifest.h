/* manifest: the journal of edits, and CURRENT, which names the one in force.
 *
 * Order of a rotation: write the new manifest with its base, sync it, sync the folder; write
 * NNNNNN.tmp, sync it, rename it over CURRENT, sync the folder; remove the old manifest. A crash at
 * any point leaves CURRENT naming a whole manifest. */
#ifndef VARVE_STORE_MANIFEST_H
#define VARVE_STORE_MANIFEST_H

#include "store/journal.h"
#include "store/version.h"

/* ---- reading ---- */

/* Reads CURRENT and the manifest that it names. Does not change anything. `*uuid_out` and
 * `src->uuid` must be the same memory: it is filled in before tables are named, and so is
 * `*src->lineage`, which must be empty. Returns 0 with a
 * reference in `*version`; 1 when there is no CURRENT (not a store); -EPROTONOSUPPORT for a newer
 * format or unknown features (logged, says which); -EIO raised by corrupt(), also when the base
 * does not verify; or another I/O error. Ends at the first record that does not verify: `*end`
 * tells how, and the version is that of the edits before it. */
int manifest_read(const struct version_source *src, uint8_t uuid_out[UUID_SIZE],
                  struct version **version, uint64_t *manifest_number, enum journal_end *end);

/* The number that CURRENT has: 0, 1 when there is no CURRENT, or an error that was raised. */
int manifest_current(struct env *env, const char *dir, uint64_t *number);
/* manifest_read() of manifest `number`, whatever CURRENT says. For salvage. */
int manifest_read_file(const struct version_source *src, uint8_t uuid_out[UUID_SIZE],
                       uint64_t number, struct version **version, enum journal_end *end);

/* Every table that an edit of manifest `number` adds, in order, as far as the manifest reads, also
 * those that a later edit removed; `meta` lives during the call. Nothing if it is not that of
 * volume `uuid`. For salvage: what does not read is passed over in silence. */
typedef void manifest_table_fn(void *ctx, struct table_meta *meta);
void manifest_each_table(struct env *env, const char *dir, uint64_t number,
                         const uint8_t uuid[UUID_SIZE], manifest_table_fn *fn, void *ctx);

/* ---- writing: one thread at a time ---- */

struct manifest;

/* Starts manifest `number` with `v` as its base and puts it in force (all of the order above, but
 * the old one is left to the caller to remove). No file in the folder may have the number
 * (-EEXIST). A manifest is never appended to after an open: each open starts a new one. On failure
 * the old one is still in force and nothing is left of the new one as far as it can be removed, if
 * the error is -ENOSPC; after any other it is unknown which of the two is: the caller turns
 * read-only. */
int manifest_start(struct env *env, const char *dir, uint64_t number, const struct version *v,
                   struct manifest **out);
void manifest_free(struct manifest *m); /* NULL is fine */
/* Appends the edit (not an empty one) and syncs. -ENOSPC: nothing was written, and it may be tried
 * again. After any other failure the state on disk is unknown: the caller turns read-only. */
int manifest_append(struct manifest *m, const struct edit *e);
uint64_t manifest_number(const struct manifest *m);
/* True when the edits outweigh the base (more than 4 MiB and 4 times the base): time to start a new
 * one. */
bool manifest_wants_rotation(const struct manifest *m);

#endif
