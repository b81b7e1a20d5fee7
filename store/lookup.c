/* lookup: the rules by which entries and tombstones, newest first, add up to one answer.
 *
 * Guarantees: a read that meets no merge operand allocates nothing; a value is pinned only if it is
 * the result.
 *
 * Invariants:
 *   1. The state leaves LOOKUP_MORE once and never returns to it.
 *   2. `base` and `pin` are set only if the state is LOOKUP_FOUND.
 *   3. `cover_seq` never falls, and is below `read_seq` unless it is 0.
 *   4. Operand i lies in `bytes` before operand i + 1 and is newer than it. */
#include "store/lookup.h"

#include <assert.h>
#include <stdlib.h>

#include "store/filter.h"

void lookup_init(struct lookup *l, struct slice key, uint64_t read_seq)
{
    *l = (struct lookup){.key = key, .read_seq = read_seq, .state = LOOKUP_MORE};
    l->hash = filter_hash(key);
}

void lookup_release(struct lookup *l, struct cache *cache)
{
    assert(!l->pin || l->state == LOOKUP_FOUND);
    if (l->pin)
        cache_release(cache, l->pin);
    free(l->operands);
    buf_release(&l->bytes);
    *l = (struct lookup){.state = LOOKUP_ABSENT};
}

void lookup_cover(struct lookup *l, uint64_t seq)
{
    assert(l->state == LOOKUP_MORE);
    assert(seq == 0 || seq < l->read_seq);
    if (seq > l->cover_seq)
        l->cover_seq = seq;
}

static void gather(struct lookup *l, const struct entry *e)
{
    if (l->operand_count == l->operand_cap) {
        l->operand_cap = l->operand_cap ? l->operand_cap * 2 : 8;
        l->operands = mem_realloc(l->operands, l->operand_cap * sizeof *l->operands);
    }
    assert(l->operand_count < l->operand_cap);
    l->operands[l->operand_count++] = (struct lookup_operand){
        .type = e->type, .seq = e->seq, .offset = l->bytes.len, .len = e->value.len};
    buf_reserve(&l->bytes, 1); /* not NULL, so that offsets into it are sound if all are empty */
    buf_append(&l->bytes, e->value);
}

static void found(struct lookup *l, const struct entry *e, struct cache_item *pin)
{
    assert(!l->pin);
    l->state = LOOKUP_FOUND;
    l->type = e->type;
    l->base = e->value;
    l->end_seq = e->seq;
    l->pin = pin ? cache_pin(pin) : NULL;
}

bool lookup_entry(struct lookup *l, const struct entry *e, struct cache_item *pin)
{
    assert(l->state == LOOKUP_MORE);
    assert(e->seq < l->read_seq && slice_eq(e->key, l->key));
    if (e->seq < l->cover_seq || e->type == ENTRY_DELETE) {
        l->state = LOOKUP_ABSENT;
        l->absence = e->seq < l->cover_seq ? LOOKUP_RANGE : LOOKUP_TOMBSTONE;
        l->end_seq = l->absence == LOOKUP_TOMBSTONE ? e->seq : 0;
        return false;
    }
    if (entry_type_is_merge(e->type)) {
        gather(l, e);
        return true;
    }
    assert(e->type == ENTRY_PUT || e->type == ENTRY_PUT_BLOB);
    found(l, e, pin);
    return false;
}

void lookup_end(struct lookup *l)
{
    if (l->state != LOOKUP_MORE)
        return;
    l->state = LOOKUP_ABSENT;
    l->absence = l->cover_seq > 0 ? LOOKUP_RANGE : LOOKUP_NOTHING;
}
