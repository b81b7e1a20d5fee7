/* packers: see packers.h. */
#include "store/packers.h"

#include <assert.h>

enum { CROWD_LEAST = 2 };

static uint32_t at_work; /* atomic */

bool packers_begin(uint32_t processors)
{
    uint32_t now = __atomic_add_fetch(&at_work, 1, __ATOMIC_RELAXED);
    assert(now > 0);
    return processors > 0 && now >= processors && now >= CROWD_LEAST;
}

void packers_end(void)
{
    uint32_t before = __atomic_fetch_sub(&at_work, 1, __ATOMIC_RELAXED);
    assert(before > 0);
    (void)before;
}
