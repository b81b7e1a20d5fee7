/* compact_pick_renew: tables from before the store's owner wanted values of some of their keys
 * compressed in another way (struct store_classes) are rewritten where they are, when nothing else
 * is to be done, and by compaction on demand. The values are compressed anew on the way
 * (relocate.h).
 *
 * New tables have higher numbers than what the owner asks by, and a job that leaves some of the
 * values, since it moves only so much, marks its tables; it moves one at least, so there is an end
 * to it. */
#include "store/compact_pick_priv.h"

#include <assert.h>

bool pick_is_outdated(const struct pick_options *opt, const struct version_table *t)
{
    const struct store_classes *c = opt->classes;
    struct slice all = {0};
    if (!c || !c->since_in || t->meta->share_count == 0)
        return false;
    bool again = __atomic_load_n(&t->renew, __ATOMIC_RELAXED);
    if (!again && t->number >= c->since_in(c->ctx, all, all))
        return false;
    uint64_t since = c->since_in(c->ctx, buf_slice(&t->meta->smallest), buf_slice(&t->meta->limit));
    return since > 0 && (t->number < since || again);
}

int pick_renew(const struct version *v, const struct pick_options *opt, int base, struct pick *out)
{
    assert(base > 0 && base < LEVEL_COUNT);
    const struct store_classes *c = opt->classes;
    struct slice all = {0};
    if (!c || !c->since_in || c->since_in(c->ctx, all, all) == 0)
        return 1;
    for (uint32_t i = 0; i < v->levels[0].count; i++)
        if (pick_is_outdated(opt, v->levels[0].tables[i]))
            return pick_build_level0(v, opt, PICK_RENEW, base, out);
    for (int l = 1; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < v->levels[l].count; i++) {
            struct pick_run one = {i, i + 1};
            if (pick_is_outdated(opt, v->levels[l].tables[i]) &&
                pick_build(v, opt, PICK_RENEW, l, l, one, false, out) == 0)
                return 0;
        }
    return 1;
}
