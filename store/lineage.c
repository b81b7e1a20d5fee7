/* lineage: see lineage.h.
 *
 * Invariant: ends ascend strictly, so each number belongs to exactly one volume. */
#include "store/lineage.h"

#include <assert.h>
#include <stdlib.h>

void lineage_release(struct lineage *l)
{
    free(l->parts);
    *l = (struct lineage){0};
}

bool lineage_add(struct lineage *l, uint64_t end, const uint8_t uuid[UUID_SIZE])
{
    if (l->count > 0 ? end <= l->parts[l->count - 1].end : end == 0)
        return false;
    l->parts = mem_realloc(l->parts, (l->count + 1) * sizeof *l->parts);
    struct lineage_part *p = &l->parts[l->count++];
    p->end = end;
    memcpy(p->uuid, uuid, UUID_SIZE);
    return true;
}

/* Few parts, and asked once for each file that is opened: a walk. */
const uint8_t *lineage_uuid(const struct lineage *l, uint64_t number, const uint8_t *own)
{
    for (uint32_t i = 0; l && i < l->count; i++) {
        assert(i == 0 || l->parts[i - 1].end < l->parts[i].end);
        if (number < l->parts[i].end)
            return l->parts[i].uuid;
    }
    return own;
}
