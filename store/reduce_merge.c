/* reduce_merge: groups of MERGE entries within one stripe.
 *
 * A group begins at a visible MERGE and takes the following entries of the same key and stripe up
 * to and with the first that is not a MERGE. What ends it decides (rule 3 of reduce.h):
 *   a PUT                                  fold onto it
 *   a DELETE or a hidden entry             fold onto nothing
 *   the key's end, nothing older anywhere  fold onto nothing
 *   otherwise                              one MERGE if the operator can, or all of them unchanged
 *
 * What cannot be folded, for want of an operator or because of damage, is passed on unchanged: the
 * fault is the affair of who reads that key, and must not keep the others from being compacted.
 *
 * Invariants:
 *   1. Entries of a group are in `list`, newest first; only the last one may be a PUT or DELETE.
 *   2. Blob references of a group are dropped together, after what they were folded into was
 *      made. */
#include <assert.h>
#include <stdlib.h>

#include "store/reduce_priv.h"

enum group_end { ENDS_OPEN, ENDS_ON_BASE, ENDS_ON_DELETE, ENDS_ON_NOTHING };

void group_init(struct group *g)
{
    *g = (struct group){0};
}

void group_release(struct group *g)
{
    free(g->list);
    buf_release(&g->bytes);
    buf_release(&g->fetched);
    buf_release(&g->folded);
}

static void push(struct group *g, const struct entry *e)
{
    assert(g->count == 0 ||
           (entry_type_is_merge(g->list[g->count - 1].type) && e->seq < g->list[g->count - 1].seq));
    if (g->count == g->cap) {
        g->cap = g->cap ? g->cap * 2 : 8;
        g->list = mem_realloc(g->list, g->cap * sizeof *g->list);
    }
    g->list[g->count++] =
        (struct operand){.type = e->type, .seq = e->seq, .at = g->bytes.len, .len = e->value.len};
    buf_reserve(&g->bytes, 1); /* not NULL, so that offsets into it are sound if all are empty */
    buf_append(&g->bytes, e->value);
}

static struct slice stored(const struct group *g, uint32_t i)
{
    return slice_of(g->bytes.data + g->list[i].at, g->list[i].len);
}

/* Takes the group's entries off the input. */
static int gather(struct reduce *r, size_t stripe, enum group_end *end)
{
    struct group *g = &r->group;
    int err = 0;
    g->count = g->emit = 0;
    g->bytes.len = 0;
    *end = ENDS_OPEN;
    while (*end == ENDS_OPEN) {
        const struct entry *in = &r->input->e;
        if (!reduce_same_key(r) || reduce_stripe(r, in->seq) != stripe)
            break;
        if (reduce_hidden(r, in->seq)) {
            reduce_drop(r);
            *end = ENDS_ON_NOTHING;
        } else {
            push(g, in);
            if (!entry_type_is_merge(in->type))
                *end = in->type == ENTRY_DELETE ? ENDS_ON_DELETE : ENDS_ON_BASE;
        }
        err = reduce_advance(r);
        if (err < 0)
            return err;
    }
    if (*end == ENDS_OPEN && !reduce_same_key(r) && !reduce_older_exists(r))
        *end = ENDS_ON_NOTHING;
    return 0;
}

/* Fetches the values behind the references of the group. */
static int fetch_all(struct reduce *r)
{
    struct group *g = &r->group;
    int err = 0;
    g->fetched.len = 0;
    for (uint32_t i = 0; i < g->count && err == 0; i++) {
        struct operand *o = &g->list[i];
        if (!entry_type_is_blob(o->type))
            continue;
        o->fetched_at = g->fetched.len;
        err = r->opt.fetch(r->opt.ctx, stored(g, i), &g->fetched);
        o->fetched_len = g->fetched.len - o->fetched_at;
    }
    return err;
}

static struct slice value_of(const struct group *g, uint32_t i)
{
    const struct operand *o = &g->list[i];
    return entry_type_is_blob(o->type) ? slice_of(g->fetched.data + o->fetched_at, o->fetched_len)
                                       : stored(g, i);
}

/* Calls the operator for the `n` newest of the group, and the base behind them if there is one. */
static int call_merge(struct reduce *r, enum group_end end, uint32_t n)
{
    struct group *g = &r->group;
    const struct store_merge *m = r->opt.merge;
    struct slice key = buf_slice(&r->key), base = {0};
    struct slice *operands = mem_alloc(n * sizeof *operands);
    int err;
    for (uint32_t i = 0; i < n; i++)
        operands[i] = value_of(g, n - 1 - i);
    if (end == ENDS_ON_BASE)
        base = value_of(g, n);
    g->folded.len = 0;
    if (end == ENDS_OPEN)
        err = m->partial(m->ctx, key, operands, n, &g->folded);
    else
        err = m->full(m->ctx, key, end == ENDS_ON_BASE ? &base : NULL, operands, n, &g->folded);
    free(operands);
    return err;
}

/* 0 with g->folded; 1 or an error when the group stays as it is. */
static int fold(struct reduce *r, enum group_end end)
{
    struct group *g = &r->group;
    uint32_t n = end == ENDS_ON_BASE || end == ENDS_ON_DELETE ? g->count - 1 : g->count;
    const struct store_merge *m = r->opt.merge;
    assert(n >= 1 && entry_type_is_merge(g->list[n - 1].type));
    if (!m || (end == ENDS_OPEN && (n == 1 || !m->partial)))
        return 1;
    int err = fetch_all(r);
    if (err == 0)
        err = call_merge(r, end, n);
    buf_release(&g->fetched); /* it may be large, and groups that need it are rare */
    return err;
}

static void drop_folded(struct reduce *r)
{
    for (uint32_t i = 0; i < r->group.count; i++)
        if (entry_type_is_blob(r->group.list[i].type))
            r->opt.drop_blob(r->opt.ctx, stored(&r->group, i));
}

int group_reduce(struct reduce *r, struct entry *e)
{
    struct group *g = &r->group;
    enum group_end end;
    uint64_t newest = r->input->e.seq;
    size_t stripe = reduce_stripe(r, newest);
    int err = gather(r, stripe, &end);
    if (err < 0)
        return err;
    if (end != ENDS_OPEN) {
        r->closed = true;
        r->closed_stripe = stripe;
        r->closed_seq = newest;
    }
    if (end == ENDS_ON_NOTHING)
        reduce_lose(r, newest); /* perhaps what was hidden */
    if (fold(r, end) != 0)
        return group_next(r, e);
    if (g->count > 1)
        reduce_lose(r, newest);
    drop_folded(r);
    *e = (struct entry){.key = buf_slice(&r->key),
                        .seq = g->list[0].seq,
                        .type = end == ENDS_OPEN ? ENTRY_MERGE : ENTRY_PUT,
                        .value = buf_slice(&g->folded)};
    g->count = g->emit = 0;
    reduce_keep(r, e);
    return 0;
}

int group_next(struct reduce *r, struct entry *e)
{
    struct group *g = &r->group;
    if (g->emit >= g->count)
        return 1;
    const struct operand *op = &g->list[g->emit];
    *e = (struct entry){
        .key = buf_slice(&r->key), .seq = op->seq, .type = op->type, .value = stored(g, g->emit)};
    g->emit++;
    reduce_keep(r, e);
    return 0;
}
