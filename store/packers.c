/* packers: see packers.h. */
#include "store/packers.h"

#include <assert.h>

enum { CROWD_LEAST = 2 };

bool packers_begin(struct packers *p)
{
    uint32_t now = __atomic_add_fetch(&p->at_work, 1, __ATOMIC_RELAXED);
    assert(now > 0);
    return p->processors > 0 && now >= p->processors && now >= CROWD_LEAST;
}

void packers_end(struct packers *p)
{
    uint32_t before = __atomic_fetch_sub(&p->at_work, 1, __ATOMIC_RELAXED);
    assert(before > 0);
    (void)before;
}
