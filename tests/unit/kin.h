/* kin: a second store in another folder of the same env, made as a checkpoint of the first. */
#ifndef VARVE_UNIT_KIN_H
#define VARVE_UNIT_KIN_H

#include "tests/unit/store_rig.h"

/* The same rig in another folder of the same env; nothing is there yet. */
static inline struct rig kin_beside(const struct rig *r, const char *name)
{
    struct rig other = *r;
    other.s = NULL;
    snprintf(other.dir, sizeof other.dir, "%.200s%s", r->dir, name);
    return other;
}

/* Makes the store of `other`: of all that `r` has, or (`pin` not NULL) of what that pin holds. */
static inline struct store_checkpoint kin_make(struct rig *r, const struct rig *other,
                                               const char *pin)
{
    struct store_checkpoint out;
    assert_ok(store_checkpoint(r->s, other->dir, pin, &out));
    return out;
}

#endif
