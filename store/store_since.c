/* store_since: what has changed, behind the door. */
#include "store/since.h"

#include <errno.h>

#include "store/store_priv.h"

static struct since *since_of(struct store_since *s)
{
    return (struct since *)s;
}

int store_since_new(const struct store_read *r, uint64_t from_seq, struct slice lower,
                    struct slice upper, int flags, struct store_since **out)
{
    struct since *s = NULL;
    *out = NULL;
    if (from_seq > r->seq)
        return -EINVAL;
    if (!since_is_kept(r->view, from_seq))
        return -ESTALE;
    int err = since_new(r->view, &r->store->tree.read_ctx, from_seq, r->seq, lower, upper,
                        (flags & STORE_SINCE_KEYS) != 0, &s);
    *out = (struct store_since *)s;
    return err;
}

void store_since_free(struct store_since *s)
{
    since_free(since_of(s));
}

int store_since_next(struct store_since *s, struct store_change *change)
{
    return since_next(since_of(s), change);
}

int store_since_value(struct store_since *s, enum store_side side, struct slice *value)
{
    return since_value(since_of(s), side == STORE_AFTER, value);
}

void store_since_effort(const struct store_since *s, struct store_effort *out)
{
    const struct table_since_counts *c = since_counts((const struct since *)s);
    *out = (struct store_effort){.tables_read = c->tables_read,
                                 .tables_skipped = c->tables_skipped,
                                 .blocks_read = c->blocks_read,
                                 .blocks_skipped = c->blocks_skipped};
}
