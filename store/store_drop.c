/* store_drop: a range of keys is dropped at once, behind the door. */
#include "store/drop.h"
#include "store/store_priv.h"

#include <errno.h>

/* The tombstone, on disk; its number lies between the two. */
static int hide(struct store *s, struct slice start, struct slice limit, uint64_t *from_seq,
                uint64_t *upto_seq)
{
    struct store_batch *b = store_batch_new(s);
    *from_seq = tree_published(&s->tree);
    store_batch_delete_range(b, start, limit);
    int err = store_write(s, b, STORE_SYNC | STORE_RESERVE);
    store_batch_free(b);
    *upto_seq = tree_published(&s->tree);
    return err;
}

int store_drop_range(struct store *s, struct slice start, struct slice limit,
                     struct store_dropped *out)
{
    uint64_t from_seq, upto_seq;
    *out = (struct store_dropped){0};
    if (!s->writable)
        return -EROFS;
    if (slice_cmp(start, limit) >= 0)
        return 0;
    int err = hide(s, start, limit, &from_seq, &upto_seq);
    return err < 0 ? err : drop_tables(&s->tree, start, limit, from_seq, upto_seq, out);
}
