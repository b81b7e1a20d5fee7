/* check_gather: what the pass keeps to tell links by. See check.h.
 *
 * An inode that is no folder and has n links adds n times the hash of its number and type to a sum,
 * each entry takes one off. So a sum is 0 when each inode has as many entries as links, all of its
 * type, and each entry its inode; that it is 0 otherwise happens at most once in 2^64, for a
 * difference of one in 2^128: the hash is multiplied by the difference, and of one that 2^k
 * divides, k bits of each half have no effect. */
#include <xxhash.h>

#include "fs/check.h"

static struct check_sum *sum_of(const struct check *c, uint64_t ino)
{
    return &c->sums[ino * UINT64_C(0x9e3779b97f4a7c15) >> (64 - CHECK_SUMS_LOG2)];
}

static bool agrees(const struct check_sum *s)
{
    return s->one == 0 && s->other == 0;
}

static void add(struct check *c, uint64_t ino, uint32_t type, uint64_t times)
{
    const uint64_t what[] = {ino, type};
    XXH128_hash_t hash = XXH3_128bits_withSeed(what, sizeof what, c->fs->super.hash_seed);
    struct check_sum *s = sum_of(c, ino);
    s->one += times * hash.low64;
    s->other += times * hash.high64;
}

/* In the second pass: is it one of those that do not agree? */
static bool is_wanted(const struct check *c, uint64_t ino)
{
    return c->again && !agrees(sum_of(c, ino));
}

void *check_grow(void *list, size_t count, size_t *cap, size_t each_bytes)
{
    assert(count <= *cap);
    if (count < *cap)
        return list;
    *cap = *cap ? *cap * 2 : 64;
    return mem_realloc(list, *cap * each_bytes);
}

void check_gather_inode(struct check *c, const struct check_inode *n)
{
    bool folder = S_ISDIR(n->mode), counts = !n->damaged && !folder;
    if (!counts || n->nlink == 0 || check_is_orphan(c, n->ino) || is_wanted(c, n->ino)) {
        c->inodes = check_grow(c->inodes, c->inode_count, &c->inode_cap, sizeof *c->inodes);
        c->inodes[c->inode_count++] = *n;
    }
    if (counts && !c->again)
        add(c, n->ino, (n->mode & S_IFMT) >> 12, n->nlink);
}

void check_gather_entry(struct check *c, const struct check_entry *e)
{
    bool folder = e->type == S_IFDIR >> 12;
    if (folder || is_wanted(c, e->child)) {
        c->entries = check_grow(c->entries, c->entry_count, &c->entry_cap, sizeof *c->entries);
        c->entries[c->entry_count++] = *e;
    }
    if (!folder && !c->again)
        add(c, e->child, e->type, UINT64_MAX); /* less one */
}

static bool all_agree(const struct check *c)
{
    for (size_t i = 0; i < CHECK_SUMS; i++)
        if (!agrees(&c->sums[i]))
            return false;
    return true;
}

/* All else has been said and counted, and the orphans are known. */
static int walk_again(struct check *c)
{
    c->inode_count = c->entry_count = 0;
    c->again = true;
    int err = check_walk(c);
    c->again = false;
    return err;
}

int check_gather_rest(struct check *c)
{
    return c->stopped || all_agree(c) ? 0 : walk_again(c);
}
