/* strength: how hard to compress what: by the level of the tree that a table is written for, and by
 * the class of the keys (struct store_classes).
 *
 * A class for which a level is set goes by that, wherever its entries are, and so does a key that
 * is to be compressed at a level of its own. Everything else in
 * tables goes by what is set for the level of the tree, or by compression.level. A block whose keys
 * are of several classes is compressed by the strongest of them. Values in blob files, which stay
 * where they are while their references sink through the levels, go by their class or by
 * compression.level. */
#ifndef VARVE_STORE_STRENGTH_H
#define VARVE_STORE_STRENGTH_H

#include "store/store.h"

/* Levels of zstd, 0 for none, of the classes of keys: those that are set, and then one for each
 * level. Plain data. */
enum { STRENGTH_CLASSES = STORE_CLASSES + STORE_ZSTD_LEVELS };
struct strength {
    const struct store_classes *classes; /* borrowed; NULL: all keys are of class 0 */
    uint8_t levels[STRENGTH_CLASSES];
    uint8_t rest; /* of what belongs to no key: indexes and the like */
};

/* The same level for everything. */
struct strength strength_plain(int zstd_level);
/* For tables of `tree_level`, by `set`: a job's settings, or the live ones, of which each field is
 * read atomically. */
void strength_of_tables(struct strength *s, const struct store_options *set, int tree_level);
/* For values in blob files. */
void strength_of_values(struct strength *s, const struct store_options *set);

/* The class of a key, and the level of that class. */
static inline uint32_t strength_class(const struct strength *s, struct slice key)
{
    uint32_t class = s->classes ? s->classes->of(s->classes->ctx, key) : 0;
    return class < STRENGTH_CLASSES ? class : 0;
}
static inline int strength_of_key(const struct strength *s, struct slice key)
{
    return s->levels[strength_class(s, key)];
}
/* Of a block with keys of the classes in `mask` (bit i: class i; at least one). */
int strength_of_mask(const struct strength *s, uint32_t mask);

#endif
