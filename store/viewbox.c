/* viewbox: the current view, taken by readers without a lock.
 *
 * Sleepable read-copy-update after McKenney ("Sleepable RCU", 2006). A reader is inside a short
 * section between `enter` and `leave`, in which it loads the pointer and takes a reference. All
 * operations on the counters, the phase and the pointer are sequentially consistent.
 *
 * Invariants:
 *   1. A view whose pointer a reader loaded has a reference of the box until that reader has left
 *      its section: the writer drops it only after synchronize().
 *   2. synchronize() returns only after every section that began before it has ended. A reader
 *      counts itself in under the phase that it loaded. Those who loaded the present phase are
 *      waited for after the flip; a reader that loaded the former phase, but was slow to count
 *      itself in, is waited for before the flip, or it counts itself in after that sum was taken,
 *      and thus loads the pointer after the exchange, and gets the new view.
 *   3. The sum of `leave` is read before the sum of `enter`: a reader that comes and goes in
 *      between can only make the sums differ, never agree too early. */
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "store/view.h"

enum { SLOTS = 16, CACHE_LINE = 64 };

struct slot {
    _Alignas(CACHE_LINE) atomic_uint_fast64_t enter[2];
    atomic_uint_fast64_t leave[2];
};

struct viewbox {
    struct slot slots[SLOTS];
    atomic_uint phase;
    _Atomic(struct view *) current;
};

static struct slot *my_slot(struct viewbox *b)
{
    static atomic_uint threads;
    static _Thread_local unsigned mine;
    if (mine == 0)
        mine = atomic_fetch_add(&threads, 1) + 1;
    return &b->slots[mine % SLOTS];
}

struct viewbox *viewbox_new(struct view *first)
{
    assert(first);
    struct viewbox *b = mem_aligned(CACHE_LINE, sizeof *b);
    atomic_init(&b->current, first);
    return b;
}

void viewbox_free(struct viewbox *b)
{
    if (!b)
        return;
    view_unref(atomic_load(&b->current));
    free(b);
}

struct view *viewbox_get(struct viewbox *b)
{
    struct slot *slot = my_slot(b);
    unsigned phase = atomic_load(&b->phase) & 1;
    atomic_fetch_add(&slot->enter[phase], 1);
    struct view *v = view_ref(atomic_load(&b->current));
    atomic_fetch_add(&slot->leave[phase], 1);
    return v;
}

struct view *viewbox_get_with_seq(struct viewbox *b, const uint64_t *published, uint64_t *seq)
{
    for (;;) {
        struct view *v = viewbox_get(b);
        *seq = __atomic_load_n(published, __ATOMIC_SEQ_CST);
        /* If the view is still current, it was when `published` was read: everything published by
         * then is in it. It cannot have been freed and made anew at the same address, since we hold
         * a reference. */
        if (atomic_load(&b->current) == v)
            return v;
        view_unref(v);
    }
}

static bool drained(struct viewbox *b, unsigned phase)
{
    uint64_t left = 0, entered = 0;
    for (int i = 0; i < SLOTS; i++)
        left += atomic_load(&b->slots[i].leave[phase]);
    for (int i = 0; i < SLOTS; i++)
        entered += atomic_load(&b->slots[i].enter[phase]);
    assert(left <= entered);
    return left == entered;
}

static void synchronize(struct viewbox *b)
{
    unsigned phase = atomic_load(&b->phase) & 1;
    while (!drained(b, !phase))
        sched_yield();
    atomic_fetch_add(&b->phase, 1);
    while (!drained(b, phase))
        sched_yield();
}

void viewbox_set(struct viewbox *b, struct view *v)
{
    assert(v);
    struct view *old = atomic_exchange(&b->current, v);
    synchronize(b);
    view_unref(old);
}

struct view *viewbox_peek(struct viewbox *b)
{
    return atomic_load(&b->current);
}
