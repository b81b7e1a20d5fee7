/* reduce_dels: what is left of the tombstones (reduce.h, rules 5 and 6).
 *
 * Tombstones over neighbours come one by one, each with a number of its own: a folder that is
 * removed has one for each file. Rule 6 makes one of them. Example: [a, c) with 5 and [c, f) with
 * 8, no pin at 6, 7 or 8: both become [a, f) with 5, if nothing outside the job, on deeper levels,
 * has 5, 6 or 7 for a key in [c, f). What the job itself has there with these numbers is hidden by
 * the 8 and dropped: whoever sees such an entry sees the tombstone. Sources that are newer for a
 * key have only numbers above 8 for it, and the number becomes lower, so they are none the wiser. A
 * reader has a number above all inputs, or is a pin, and none of these lies between.
 *
 * Invariants:
 *   1. `pieces` are disjoint, in key order, each with at least one number, descending, of which
 * each is in another stripe.
 *   2. A number of a run is the lowest of those of its pieces in that stripe. */
#include <assert.h>
#include <stdlib.h>

#include "store/reduce_priv.h"

struct piece {
    struct slice start, end;
    uint64_t *seqs; /* in `numbers` */
    uint32_t count;
};

struct pieces {
    struct piece *list;
    size_t count;
    uint64_t *numbers;
};

/* ---- rule 5 ---- */

/* The numbers of one piece [start, end) of a fragment that have to stay. */
static void keep_numbers(struct reduce *r, const struct rangedel_fragment *f, uint64_t kept_min,
                         struct piece *p)
{
    bool older = r->opt.older_exists(r->opt.ctx, p->start, p->end);
    size_t last_stripe = SIZE_MAX;
    for (uint32_t i = 0; i < f->seq_count; i++) {
        size_t stripe = reduce_stripe(r, f->seqs[i]);
        if (stripe != last_stripe && (older || kept_min < f->seqs[i]))
            p->seqs[p->count++] = f->seqs[i];
        if (stripe == last_stripe)
            reduce_lose(r, f->seqs[i - 1]);
        last_stripe = stripe;
    }
}

/* The fragments from number `first` on that begin before `upto`: room for their numbers. */
static void make_room(const struct reduce *r, size_t first, struct slice upto, struct pieces *ps)
{
    size_t numbers = 0, i;
    for (i = first; i < rangedel_count(r->dels); i++) {
        struct rangedel_fragment f = rangedel_at(r->dels, i);
        if (upto.len > 0 && slice_cmp(f.start, upto) >= 0)
            break;
        numbers += f.seq_count;
    }
    ps->list = mem_alloc((i - first) * sizeof *ps->list);
    ps->numbers = mem_alloc(numbers * sizeof *ps->numbers);
}

/* Pieces of the fragments from number `first` on, in [from, upto). */
static void gather(struct reduce *r, size_t first, struct slice from, struct slice upto,
                   struct pieces *ps)
{
    uint64_t *room = ps->numbers;
    for (size_t i = first; i < rangedel_count(r->dels); i++) {
        struct rangedel_fragment f = rangedel_at(r->dels, i);
        if (upto.len > 0 && slice_cmp(f.start, upto) >= 0)
            break;
        struct piece *p = &ps->list[ps->count];
        *p = (struct piece){.seqs = room};
        p->start = slice_cmp(f.start, from) < 0 ? from : f.start;
        p->end = upto.len > 0 && slice_cmp(f.end, upto) > 0 ? upto : f.end;
        keep_numbers(r, &f, r->kept_min[i], p);
        r->kept_min[i] = UINT64_MAX; /* what follows belongs to the piece after `upto` */
        room += p->count;
        ps->count += p->count > 0;
    }
}

/* ---- rule 6 ---- */

/* Pieces that have become one. */
struct run {
    struct piece p;        /* its numbers are those of its first piece, lowered */
    uint64_t older_newest; /* what is older and outside the job has no number above, in all of it */
};

static uint64_t lowest(const struct piece *p)
{
    return p->seqs[p->count - 1];
}

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool same_stripes(const struct reduce *r, const struct piece *a, const struct piece *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (reduce_stripe(r, a->seqs[i]) != reduce_stripe(r, b->seqs[i]))
            return false;
    return true;
}

/* Makes the piece behind the run part of it. False: it cannot be. */
static bool join(struct reduce *r, struct run *run, const struct piece *p)
{
    if (!slice_eq(run->p.end, p->start) || !same_stripes(r, &run->p, p))
        return false;
    uint64_t older = r->opt.older_newest(r->opt.ctx, p->start, p->end);
    older = older > run->older_newest ? older : run->older_newest;
    if (older >= min(lowest(&run->p), lowest(p)))
        return false;
    for (uint32_t i = 0; i < p->count; i++) {
        uint64_t a = run->p.seqs[i], b = p->seqs[i];
        if (a != b)
            reduce_lose(r, a > b ? a : b);
        run->p.seqs[i] = min(a, b);
    }
    run->p.end = p->end;
    run->older_newest = older;
    return true;
}

static void add_run(const struct run *run, struct rangedel_builder *b)
{
    for (uint32_t i = 0; i < run->p.count; i++)
        rangedel_builder_add(b, run->p.start, run->p.end, run->p.seqs[i]);
}

static void add_all(struct reduce *r, const struct pieces *ps, struct rangedel_builder *b)
{
    struct run run = {.p = {.count = 0}};
    for (size_t i = 0; i < ps->count; i++) {
        const struct piece *p = &ps->list[i];
        if (run.p.count > 0 && r->opt.older_newest && join(r, &run, p))
            continue;
        add_run(&run, b);
        run = (struct run){.p = *p};
        if (r->opt.older_newest)
            run.older_newest = r->opt.older_newest(r->opt.ctx, p->start, p->end);
    }
    add_run(&run, b);
}

/* ---- both ---- */

struct rangedel *reduce_rangedels(struct reduce *r, struct slice upto)
{
    struct rangedel_builder *b = rangedel_builder_new();
    struct slice from = buf_slice(&r->taken);
    struct pieces ps = {0};
    bool to_end = upto.len == 0;
    assert(to_end || (!r->taken_all && slice_cmp(from, upto) < 0));
    if (to_end)
        reduce_key_done(r); /* the stream has ended: the last key counts */
    if (!r->taken_all) {
        size_t first = rangedel_find(r->dels, from);
        make_room(r, first, upto, &ps);
        gather(r, first, from, upto, &ps);
        add_all(r, &ps, b);
        free(ps.list);
        free(ps.numbers);
    }
    r->taken_all |= to_end;
    struct rangedel *out = rangedel_build(b);
    rangedel_builder_free(b);
    buf_set(&r->taken, upto);
    return out;
}
