/* salvage: makes a store that can be opened of what is left of one.
 *
 * With a manifest that reads and whose files are all there (CURRENT may be lost), tables that are
 * damaged are replaced by what is sound in them, and all else stays. Without, everything that can
 * be read is merged into new tables of the bottom level: tables, the sound blocks of damaged
 * tables, and logs. An age of whole tables that could be put in order does not exist: of two tables
 * with overlapping numbers, each can have the newer version of some key. So levels cannot be
 * guessed, and merging, which orders single entries, is what is safe. Nothing is dropped but
 * entries that occur twice. Values stay where they are; the accounts of their files are reckoned
 * anew.
 *
 * Nothing is removed. A manifest, table or log that is replaced although something in it could not
 * be read is first copied to NAME.damaged, and a blob file that nothing refers to, while something
 * was lost, is renamed to NAME.orphan: neither is a name of ours, so no mount removes it. CURRENT
 * changes last: a salvage that was interrupted begins anew, and takes what the first one wrote for
 * what it is, more copies of the same entries. */
#ifndef VARVE_STORE_SALVAGE_H
#define VARVE_STORE_SALVAGE_H

#include "store/env.h"
#include "store/store.h"

/* store_salvage() of store.h, the lock being held. */
int salvage_run(struct env *env, const char *dir, const struct store_options *o,
                store_finding_fn *fn, store_progress_fn *progress, void *ctx,
                struct store_salvage_report *out);

#endif
