/* reduce: see reduce.h for the rules.
 *
 * A stream, newest version of a key first. PUTs pass through without a copy; a DELETE waits for
 * the next entry to know whether there is anything to hide; MERGEs are gathered (reduce_merge.c).
 *
 * Invariants:
 *   1. Each entry of the input is kept, folded into a kept one, or dropped; each dropped or
 *      folded blob reference is reported once.
 *   2. `closed`: everything of the present key in `closed_stripe` that is still to come is
 *      dropped.
 *   3. kept_min[f] covers the kept entries in fragment f with keys in [taken, present key): what
 *      a piece of the fragment that ends at the present key hides. */
#include <assert.h>
#include <stdlib.h>

#include "store/reduce_priv.h"

struct reduce *reduce_new(struct iter *input, struct rangedel *dels,
                          const struct reduce_options *opt)
{
    struct reduce *r = mem_zalloc(sizeof *r);
    r->input = input;
    r->dels = rangedel_ref(dels);
    r->opt = *opt;
    size_t n = rangedel_count(dels);
    r->kept_min = mem_alloc((n + 1) * sizeof *r->kept_min);
    for (size_t i = 0; i <= n; i++)
        r->kept_min[i] = UINT64_MAX;
    r->key_kept_min = UINT64_MAX;
    group_init(&r->group);
    for (size_t i = 1; i < opt->pin_count; i++)
        assert(opt->pins[i - 1] <= opt->pins[i]);
    return r;
}

void reduce_free(struct reduce *r)
{
    if (!r)
        return;
    iter_free(r->input);
    rangedel_unref(r->dels);
    free(r->kept_min);
    buf_release(&r->key);
    buf_release(&r->taken);
    group_release(&r->group);
    free(r);
}

/* ---- readers ---- */

/* A pin p sees numbers below p. Example: pins 10 and 20; numbers 0-9 are seen by both (stripe 0),
 * 10-19 by the second and the present (stripe 1), 20 and above by the present only (stripe 2). */
size_t reduce_stripe(const struct reduce *r, uint64_t seq)
{
    size_t lo = 0, hi = r->opt.pin_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (r->opt.pins[mid] <= seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    assert(lo == 0 || r->opt.pins[lo - 1] <= seq);
    return lo;
}

/* ---- tombstones ---- */

/* Moves to the fragment that covers the present key or the next one after it. The stream ascends,
 * so this is a walk, but for long gaps. */
static void seek_fragment(struct reduce *r)
{
    size_t n = rangedel_count(r->dels);
    struct slice key = buf_slice(&r->key);
    for (int steps = 0; r->fragment < n; steps++) {
        if (slice_cmp(rangedel_at(r->dels, r->fragment).end, key) > 0)
            return;
        r->fragment = steps < 8 ? r->fragment + 1 : rangedel_find(r->dels, key);
    }
}

/* The fragment over the present key. */
static bool covering(const struct reduce *r, struct rangedel_fragment *f)
{
    if (r->fragment >= rangedel_count(r->dels))
        return false;
    *f = rangedel_at(r->dels, r->fragment);
    return slice_cmp(f->start, buf_slice(&r->key)) <= 0;
}

uint64_t reduce_hidden(struct reduce *r, uint64_t seq)
{
    struct rangedel_fragment f;
    if (!covering(r, &f) || f.seqs[0] <= seq)
        return 0;
    size_t stripe = reduce_stripe(r, seq);
    uint64_t next_pin = stripe < r->opt.pin_count ? r->opt.pins[stripe] : UINT64_MAX;
    /* Newest tombstone that every reader of the entry sees: descending, so the first below
     * next_pin. */
    uint32_t lo = 0, hi = f.seq_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (f.seqs[mid] >= next_pin)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < f.seq_count && f.seqs[lo] > seq ? f.seqs[lo] : 0;
}

/* The oldest tombstone above `seq` over the present key; 0: none. */
static uint64_t oldest_above(const struct reduce *r, uint64_t seq)
{
    struct rangedel_fragment f;
    uint64_t found = 0;
    if (!covering(r, &f))
        return 0;
    for (uint32_t i = 0; i < f.seq_count && f.seqs[i] > seq; i++)
        found = f.seqs[i];
    return found;
}

/* ---- bookkeeping ---- */

int reduce_advance(struct reduce *r)
{
    r->status = iter_next(r->input);
    return r->status < 0 ? r->status : 0;
}

bool reduce_same_key(const struct reduce *r)
{
    return r->status == 0 && r->have_key && slice_eq(r->input->e.key, buf_slice(&r->key));
}

void reduce_drop(struct reduce *r)
{
    if (entry_type_is_blob(r->input->e.type))
        r->opt.drop_blob(r->opt.ctx, r->input->e.value);
}

bool reduce_older_exists(struct reduce *r)
{
    /* The successor of the key bounds it. The terminating zero is kept behind the key's own bytes.
     */
    *buf_reserve(&r->key, 1) = 0;
    struct slice start = buf_slice(&r->key);
    return r->opt.older_exists(r->opt.ctx, start, slice_of(start.data, start.len + 1));
}

static uint64_t entry_bytes(const struct entry *e)
{
    struct blob_ref ref;
    uint64_t bytes = e->key.len + e->value.len;
    if (entry_type_is_blob(e->type) && blob_ref_decode(e->value, &ref))
        bytes += ref.where.len;
    return bytes;
}

/* Reports an entry that only pins still see: those between it and the oldest of what hides it, a
 * kept entry or a tombstone. Example: pins 10 and 20, a PUT at 25, a tombstone at 12, a PUT at 5:
 * pin 20 sees the tombstone, so the last one is held for pin 10. */
static void report_held(struct reduce *r, const struct entry *e)
{
    if (r->opt.pin_count == 0)
        return;
    uint64_t hider = oldest_above(r, e->seq);
    if (hider == 0 || (r->hidden_from && r->hidden_from < hider))
        hider = r->hidden_from;
    if (hider == 0)
        return;
    assert(hider > e->seq);
    size_t stripe = reduce_stripe(r, hider); /* pins up to here do not see the hider */
    if (stripe > 0 && r->opt.pins[stripe - 1] > e->seq)
        r->opt.held(r->opt.ctx, r->opt.pins[stripe - 1], entry_bytes(e));
}

void reduce_keep(struct reduce *r, const struct entry *e)
{
    assert(r->have_key && (r->hidden_from == 0 || e->seq < r->hidden_from));
    if (e->seq < r->key_kept_min)
        r->key_kept_min = e->seq;
    report_held(r, e);
    if (!entry_type_is_merge(e->type))
        r->hidden_from = e->seq;
}

void reduce_key_done(struct reduce *r)
{
    struct rangedel_fragment f;
    if (r->have_key && r->key_kept_min != UINT64_MAX && covering(r, &f) &&
        r->key_kept_min < r->kept_min[r->fragment])
        r->kept_min[r->fragment] = r->key_kept_min;
    r->key_kept_min = UINT64_MAX;
}

static void begin_key(struct reduce *r)
{
    reduce_key_done(r);
    buf_set(&r->key, r->input->e.key);
    r->have_key = true;
    r->closed = false;
    r->hidden_from = 0;
    seek_fragment(r);
}

/* ---- the stream ---- */

/* The entry on which input stands is a DELETE. Gives it if there is something that it hides; 1 if
 * not. */
static int reduce_delete(struct reduce *r, struct entry *e)
{
    uint64_t seq = r->input->e.seq;
    assert(r->input->e.type == ENTRY_DELETE);
    r->closed = true;
    r->closed_stripe = reduce_stripe(r, seq);
    r->closed_seq = seq;
    int err = reduce_advance(r);
    while (err == 0 && reduce_same_key(r) &&
           reduce_stripe(r, r->input->e.seq) == r->closed_stripe) {
        reduce_lose(r, seq);
        reduce_drop(r);
        err = reduce_advance(r);
    }
    if (err < 0)
        return err;
    if (!reduce_same_key(r) && !reduce_older_exists(r))
        return 1;
    *e = (struct entry){.key = buf_slice(&r->key), .seq = seq, .type = ENTRY_DELETE};
    reduce_keep(r, e);
    return 0;
}

/* Decides about the entry that input stands on. 0: `*e` is to be written; 1: nothing yet; or an
 * error. */
static int step(struct reduce *r, struct entry *e)
{
    const struct entry *in = &r->input->e;
    assert(r->input->valid && in->type != ENTRY_RANGE_DELETE);
    if (!reduce_same_key(r))
        begin_key(r);
    size_t stripe = r->opt.pin_count ? reduce_stripe(r, in->seq) : 0;
    bool dead = r->closed && stripe == r->closed_stripe;
    uint64_t hider = dead ? 0 : reduce_hidden(r, in->seq);
    if (hider) {
        r->closed = dead = true;
        r->closed_stripe = stripe;
        r->closed_seq = hider;
    }
    if (dead) {
        assert(r->closed_seq > in->seq);
        reduce_lose(r, r->closed_seq);
        reduce_drop(r);
        int err = reduce_advance(r);
        return err < 0 ? err : 1;
    }
    if (in->type == ENTRY_DELETE)
        return reduce_delete(r, e);
    if (entry_type_is_merge(in->type))
        return group_reduce(r, e);
    *e = *in;
    r->advance = r->closed = true;
    r->closed_stripe = stripe;
    r->closed_seq = e->seq;
    reduce_keep(r, e);
    return 0;
}

int reduce_next(struct reduce *r, struct entry *e)
{
    int err = group_next(r, e);
    if (err != 1)
        return err;
    if (!r->started) {
        r->started = true;
        r->status = iter_first(r->input);
    } else if (r->advance) {
        r->advance = false;
        r->status = iter_next(r->input);
    }
    while (r->status == 0) {
        err = step(r, e);
        if (err != 1)
            return err;
    }
    return r->status;
}

uint64_t reduce_history(const struct reduce *r)
{
    return r->history;
}
