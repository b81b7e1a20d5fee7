/* check_policy: how contents are compressed, by the number of an inode, against what its record
 * says. */
#include <inttypes.h>

#include "fs/check.h"

void check_policy_key(struct check *c, struct slice rest, struct slice value)
{
    struct policy p;
    uint64_t start, from = c->policy_count ? c->policies[c->policy_count - 1].end : 1;
    if (!take_be64(&rest, &start) || rest.len || policy_decode(value, start, &p) < 0 ||
        p.start < from) {
        check_say(c, FINDING_POLICY, STORE_DAMAGE, c->prefix,
                  "a compression of inodes does not decode, or is there twice");
        return;
    }
    c->policies = check_grow(c->policies, c->policy_count, &c->policy_cap, sizeof *c->policies);
    c->policies[c->policy_count++] = p;
}

static int level_of(const struct check *c, uint64_t ino)
{
    size_t lo = 0, hi = c->policy_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->policies[mid].end <= ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    bool in = lo < c->policy_count && c->policies[lo].start <= ino;
    return in ? c->policies[lo].level : -1;
}

/* What holds for the number of a folder is for nothing; its record is for what is made in it. */
void check_policy_inode(struct check *c, const struct inode *n)
{
    int level = S_ISREG(n->mode) ? level_of(c, n->ino) : n->policy - 1;
    if (level != n->policy - 1)
        check_say_inode(c, FINDING_POLICY, n->ino,
                        "its contents are compressed at level %d, its record says %d (-1: as set)",
                        level, n->policy - 1);
}
