/* throttle: see throttle.h.
 *
 * Invariant: `throttle_ns` is the time at which all that was written would have been allowed; it is
 * never more than BURST_NS behind the clock. */
#include "store/throttle.h"

#include <assert.h>

#define BURST_NS UINT64_C(100000000)  /* what was not used is kept so long */
#define AHEAD_NS UINT64_C(1000000000) /* what is urgent makes the others wait no longer */
#define LOOK_NS  UINT64_C(10000000)   /* between two looks at the env's clock */

static uint64_t rate_of(const struct tree *t)
{
    return setting_u32(&t->settings.live.workers) > 0
               ? setting_u64(&t->settings.live.background_rate)
               : 0;
}

/* [lock held] */
static void reckon(struct tree *t, uint64_t rate, uint64_t bytes, bool urgent)
{
    uint64_t now = t->env->monotonic_ns(t->env);
    uint64_t least = now > BURST_NS ? now - BURST_NS : 0;
    if (t->throttle_ns < least)
        t->throttle_ns = least;
    t->throttle_ns += (uint64_t)((double)bytes * 1e9 / (double)rate);
    if (urgent && t->throttle_ns > now + AHEAD_NS)
        t->throttle_ns = now + AHEAD_NS;
}

/* [lock held] */
static bool must_wait(const struct tree *t, uint64_t now)
{
    uint32_t level0 = __atomic_load_n(&t->level0, __ATOMIC_RELAXED);
    return now < t->throttle_ns && rate_of(t) > 0 && !t->closing && !t->failure &&
           level0 < setting_u32(&t->settings.live.level0_tables);
}

void throttle_take(struct tree *t, uint64_t bytes, bool urgent)
{
    uint64_t rate = rate_of(t);
    if (rate == 0)
        return;
    pthread_mutex_lock(&t->lock);
    reckon(t, rate, bytes, urgent);
    uint64_t now = t->env->monotonic_ns(t->env);
    while (!urgent && must_wait(t, now)) {
        uint64_t left = t->throttle_ns - now;
        tree_wait(t, left < LOOK_NS ? left : LOOK_NS);
        now = t->env->monotonic_ns(t->env);
    }
    if (rate_of(t) == 0)
        t->throttle_ns = 0; /* it was lifted: nobody owes anything */
    pthread_mutex_unlock(&t->lock);
}
