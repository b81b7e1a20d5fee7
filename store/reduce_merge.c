/* reduce_merge: groups of MERGE entries within one stripe.
 *
 * A group begins at a visible MERGE and takes the following entries of the same key and stripe up
 * to and with the first that is not a MERGE. What ends it decides (rule 3 of reduce.h): a PUT fold
 * onto it a DELETE or a hidden entry             fold onto nothing the key's end, nothing older
 * anywhere  fold onto nothing otherwise                              one MERGE if the operator can,
 * or all of them unchanged */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/reduce_priv.h"

enum group_end { ENDS_OPEN, ENDS_ON_BASE, ENDS_ON_NOTHING };

void group_init(struct group *g)
{
    *g = (struct group){0};
}

void group_release(struct group *g)
{
    free(g->list);
    buf_release(&g->bytes);
    buf_release(&g->folded);
}

static void push(struct group *g, const struct entry *e)
{
    if (g->count == g->cap) {
        g->cap = g->cap ? g->cap * 2 : 8;
        g->list = mem_realloc(g->list, g->cap * sizeof *g->list);
    }
    g->list[g->count++] = (struct operand){
        .type = e->type, .seq = e->seq, .offset = g->bytes.len, .len = e->value.len};
    buf_append(&g->bytes, e->value);
}

static struct slice stored(const struct group *g, uint32_t i)
{
    return slice_of(g->bytes.data + g->list[i].offset, g->list[i].len);
}

/* Takes the group's entries off the input. The base, if there is one, is pushed last. */
static int gather(struct reduce *r, size_t stripe, enum group_end *end)
{
    struct group *g = &r->group;
    g->count = g->emit = 0;
    g->bytes.len = 0;
    *end = ENDS_OPEN;
    int err = 0;
    for (;;) {
        const struct entry *in = &r->input->e;
        bool gone = reduce_hidden(r, in->seq) || in->type == ENTRY_DELETE;
        if (gone) {
            reduce_drop(r);
            *end = ENDS_ON_NOTHING;
        } else {
            push(g, in);
            if (!entry_type_is_merge(in->type))
                *end = ENDS_ON_BASE;
        }
        err = reduce_advance(r);
        if (err < 0 || *end != ENDS_OPEN)
            return err;
        if (!reduce_same_key(r) || reduce_stripe(r, r->input->e.seq) != stripe)
            break;
    }
    if (!reduce_same_key(r) && !reduce_older_exists(r))
        *end = ENDS_ON_NOTHING;
    return err;
}

/* The value behind entry i of the group; fetched ones are appended to `room`, which must not move:
 * see fetch_all(). */
struct fetched {
    struct buf bytes;
    size_t *offsets; /* of each fetched one; SIZE_MAX: not fetched */
    size_t *lens;
};

static int fetch_all(struct reduce *r, struct fetched *f)
{
    struct group *g = &r->group;
    f->offsets = mem_alloc((g->count + 1) * sizeof *f->offsets);
    f->lens = mem_alloc((g->count + 1) * sizeof *f->lens);
    for (uint32_t i = 0; i < g->count; i++) {
        f->offsets[i] = SIZE_MAX;
        if (!entry_type_is_blob(g->list[i].type))
            continue;
        f->offsets[i] = f->bytes.len;
        int err = r->opt.fetch(r->opt.ctx, stored(g, i), &f->bytes);
        if (err < 0)
            return err;
        f->lens[i] = f->bytes.len - f->offsets[i];
    }
    return 0;
}

static struct slice value_of(const struct group *g, const struct fetched *f, uint32_t i)
{
    return f->offsets[i] == SIZE_MAX ? stored(g, i)
                                     : slice_of(f->bytes.data + f->offsets[i], f->lens[i]);
}

static void fetched_release(struct fetched *f)
{
    buf_release(&f->bytes);
    free(f->offsets);
    free(f->lens);
}

/* Applies the operator. 0 with g->folded, 1 when the operands are better left apart, or an error.
 */
static int apply(struct reduce *r, enum group_end end)
{
    struct group *g = &r->group;
    struct fetched f = {0};
    uint32_t n = end == ENDS_ON_BASE ? g->count - 1 : g->count;
    struct slice *operands = mem_alloc((n + 1) * sizeof *operands);
    int err = fetch_all(r, &f);
    if (err == 0) {
        for (uint32_t i = 0; i < n; i++)
            operands[i] = value_of(g, &f, n - 1 - i);
        struct slice base = end == ENDS_ON_BASE ? value_of(g, &f, n) : (struct slice){0};
        g->folded.len = 0;
        const struct store_merge *m = r->opt.merge;
        err = end == ENDS_OPEN
                  ? m->partial(m->ctx, buf_slice(&r->key), operands, n, &g->folded)
                  : m->full(m->ctx, buf_slice(&r->key), end == ENDS_ON_BASE ? &base : NULL,
                            operands, n, &g->folded);
    }
    free(operands);
    fetched_release(&f);
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
    size_t stripe = reduce_stripe(r, r->input->e.seq);
    if (!r->opt.merge) {
        log_message(LOG_ERROR, "the store holds merge entries, but was opened without an operator");
        return -EIO;
    }
    int err = gather(r, stripe, &end);
    if (err < 0)
        return err;
    assert(g->count >= 1 && entry_type_is_merge(g->list[0].type));
    bool apart = end == ENDS_OPEN && (g->count == 1 || !r->opt.merge->partial);
    err = apart ? 1 : apply(r, end);
    if (err < 0)
        return err;
    if (err == 1) { /* unchanged, one by one */
        assert(end == ENDS_OPEN);
        return group_next(r, e);
    }
    drop_folded(r);
    *e = (struct entry){.key = buf_slice(&r->key),
                        .seq = g->list[0].seq,
                        .type = end == ENDS_OPEN ? ENTRY_MERGE : ENTRY_PUT,
                        .value = buf_slice(&g->folded)};
    g->count = g->emit = 0;
    if (end != ENDS_OPEN) {
        r->closed = true;
        r->closed_stripe = stripe;
    }
    reduce_keep(r, e, end != ENDS_OPEN);
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
    reduce_keep(r, e, false);
    return 0;
}
