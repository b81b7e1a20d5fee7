/* compact_pick_rekey: while data of an older generation of the key is left (rekey.h), tables that
 * are encrypted with one, or have values in blob files that are, are rewritten where they are, when
 * nothing else is to be done. The values move on the way (relocate.h).
 *
 * New files are of the current generation, and a job moves at least one value out of an old blob
 * file of its tables, so there is an end to it. */
#include "store/compact_pick_priv.h"

#include <assert.h>

static bool is_old(const struct version *v, const struct version_table *t, uint32_t epoch)
{
    const struct table_meta *m = t->meta;
    if (m->key_epoch != epoch)
        return true;
    for (uint32_t i = 0; i < m->share_count; i++) {
        const struct version_blob_state *b = version_find_blob(v, m->shares[i].file);
        if (b && version_blob_has_old_key(b, epoch))
            return true;
    }
    return false;
}

static bool level0_is_old(const struct version *v, uint32_t epoch)
{
    for (uint32_t i = 0; i < v->levels[0].count; i++)
        if (is_old(v, v->levels[0].tables[i], epoch))
            return true;
    return false;
}

int pick_rekey(const struct version *v, const struct pick_options *opt, int base, struct pick *out)
{
    assert(base > 0 && base < LEVEL_COUNT);
    if (opt->key_epoch == 0)
        return 1;
    /* Level 0 cannot be rewritten where it is: its order is that of age. */
    if (level0_is_old(v, opt->key_epoch) && pick_build_level0(v, opt, PICK_REKEY, base, out) == 0)
        return 0;
    for (int l = 1; l < LEVEL_COUNT; l++)
        for (uint32_t i = 0; i < v->levels[l].count; i++) {
            struct pick_run one = {i, i + 1};
            if (is_old(v, v->levels[l].tables[i], opt->key_epoch) &&
                pick_build(v, opt, PICK_REKEY, l, l, one, false, out) == 0)
                return 0;
        }
    return 1;
}
