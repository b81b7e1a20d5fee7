/* simtree: the names on a simulated disk: what callers see, what would survive a power cut, and the
 * changes in between. It knows nodes by their numbers only. */
#ifndef VARVE_TESTS_SIM_SIMTREE_H
#define VARVE_TESTS_SIM_SIMTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/simdisk.h"
#include "tests/sim/simrng.h"

enum { SIM_ROOT = 0 };
#define SIM_NO_NODE UINT32_MAX

struct simentry {
    uint32_t folder, node; /* as a change, `node` may be SIM_NO_NODE: the name goes */
    bool is_folder;
    char name[SIM_NAME_MAX + 1];
};

/* A set of names, in the order of their making. */
struct simnames {
    struct simentry *at;
    size_t count, cap;
};

/* One call's effect: one entry set, or two at once (a rename). */
struct simchange {
    int count;
    struct simentry set[2];
};

/* The fields may be read from outside. Zero-initialised is an empty root. */
struct simtree {
    struct simnames now, durable;
    struct simchange *pending; /* oldest first; applied to `durable` they give `now` */
    size_t pending_count, pending_cap;
};

void simtree_release(struct simtree *t);
void simtree_clone(struct simtree *to, const struct simtree *from); /* initialises `*to` */

const struct simentry *simnames_find(const struct simnames *n, uint32_t folder, const char *name);

/* The first entry by which the node is reached, or NULL. */
const struct simentry *simnames_of(const struct simnames *n, uint32_t node);

/* Where `path` leads: fills in `place->folder` and `place->name`, and `node` and `is_folder` of
 * what is there, if anything (else SIM_NO_NODE). Returns 0, -ENOENT or -ENOTDIR for a folder on the
 * way, or -ENAMETOOLONG; then, and for the root, the name is empty. */
int simtree_resolve(const struct simtree *t, const char *path, struct simentry *place);

/* Happens now, and is durable some day. */
void simtree_change(struct simtree *t, const struct simchange *c);
/* Makes durable what is pending for the names in `folder`, and what must not be overtaken by it. */
void simtree_sync(struct simtree *t, uint32_t folder);
/* Power is cut: what callers see, and what is durable, is what `mode` leaves (simdisk.h). */
void simtree_crash(struct simtree *t, enum sim_crash mode, struct simrng *rng);

/* Checks the invariants, with assert(). */
void simtree_assert_valid(const struct simtree *t);

/* Does anything refer to the node: a name, a durable one, or a pending change? */
bool simtree_mentions(const struct simtree *t, uint32_t node);
/* Is any change of this name pending? */
bool simtree_is_pending(const struct simtree *t, uint32_t folder, const char *name);

#endif
