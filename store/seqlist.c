/* seqlist: see seqlist.h.
 *
 * Invariant: the jumps of a list cut it into pieces whose lengths are those of a skew-binary
 * number: equal jumps of the two in front are joined into one, so a jump leads over 1, 3, 7, 15...
 * elements. */
#include "store/seqlist.h"

#include <assert.h>

static uint64_t length_of(const struct seqlist *list)
{
    return list ? list->length : 0;
}

const struct seqlist *seqlist_push(struct arena *arena, const struct seqlist *list, uint64_t seq)
{
    assert(seq > 0 && (!list || seq > list->seq));
    struct seqlist *front = arena_alloc(arena, sizeof *front);
    *front =
        (struct seqlist){.seq = seq, .length = length_of(list) + 1, .rest = list, .jump = list};
    if (list && list->jump) {
        uint64_t first = list->length - list->jump->length;
        uint64_t second = list->jump->length - length_of(list->jump->jump);
        if (first == second)
            front->jump = list->jump->jump;
    }
    return front;
}

uint64_t seqlist_below(const struct seqlist *list, uint64_t bound)
{
    while (list && list->seq >= bound) {
        bool over = list->jump && list->jump->seq >= bound;
        list = over ? list->jump : list->rest;
    }
    return list ? list->seq : 0;
}
