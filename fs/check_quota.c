/* check_quota: limits against the inodes that count towards them. */
#include <inttypes.h>

#include "fs/check.h"

static struct check_quota *find(const struct check *c, uint64_t folder)
{
    size_t lo = 0, hi = c->quota_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->quotas[mid].folder < folder)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->quota_count && c->quotas[lo].folder == folder ? &c->quotas[lo] : NULL;
}

/* Keys come in their order: all limits, by folder, before all sums. A sum without a limit is what a
 * deleted folder may leave; the next mount takes it away. */
void check_quota_key(struct check *c, uint8_t kind, struct slice rest, struct slice value)
{
    struct quota_record record;
    uint64_t folder;
    if (!take_be64(&rest, &folder) || rest.len || folder == 0) {
        check_say(c, FINDING_QUOTA, STORE_DAMAGE, c->prefix, "a limit of no folder");
        return;
    }
    struct check_quota *q = find(c, folder);
    if (kind == SUPER_QUOTA_USED) {
        if (q && quota_used_decode(value, &q->stored) < 0)
            check_say(c, FINDING_QUOTA, STORE_DAMAGE, c->prefix,
                      "what counts towards the limit of inode %" PRIu64 " does not decode", folder);
        return;
    }
    assert(kind == SUPER_QUOTA && !q);
    if (quota_decode(value, &record) < 0) {
        check_say(c, FINDING_QUOTA, STORE_DAMAGE, c->prefix,
                  "the limit of inode %" PRIu64 " does not decode", folder);
        return;
    }
    c->quotas = check_grow(c->quotas, c->quota_count, &c->quota_cap, sizeof *c->quotas);
    c->quotas[c->quota_count++] =
        (struct check_quota){.folder = folder, .from = record.from, .taking = record.taking};
}

void check_quota_inode(struct check *c, const struct inode *n)
{
    struct check_quota *q = n->quota ? find(c, n->quota) : NULL;
    if (!q)
        return; /* a file may outlive the folder: it is open still, or has a name elsewhere */
    q->counted.inodes++;
    q->counted.bytes += (int64_t)inode_bytes(c->fs, n);
    q->own |= n->ino == q->folder && inode_is_dir(n);
}

static void check_sums(struct check *c, const struct check_quota *q)
{
    if (!q->own)
        check_say(c, FINDING_QUOTA, STORE_DAMAGE, c->prefix,
                  "there is a limit of inode %" PRIu64 ", which is no folder that has one",
                  q->folder);
    if (q->stored.inodes != q->counted.inodes || q->stored.bytes != q->counted.bytes)
        check_say_inode(c, FINDING_QUOTA_USED, q->folder,
                        "its limit counts %" PRId64 " inodes and %" PRId64
                        " bytes, there are %" PRId64 " and %" PRId64,
                        q->stored.inodes, q->stored.bytes, q->counted.inodes, q->counted.bytes);
    if (q->taking && c->prefix[0] == 0)
        check_say(c, FINDING_QUOTA_NOTE, STORE_NOTE, c->prefix,
                  "what is below inode %" PRIu64 ", which has a limit, is not all counted yet; the "
                  "next mount goes on",
                  q->folder);
}

/* Does something in a folder that counts towards `above` rightly count towards `quota`? */
static bool follows(const struct check *c, uint64_t quota, uint64_t above)
{
    const struct check_quota *q = find(c, above);
    return quota == above || (q && q->taking && quota == q->from);
}

static void check_folder(struct check *c, const struct check_inode *n)
{
    const struct check_inode *above = check_find(c, n->parent);
    uint64_t expected = n->ino == FS_INO_ROOT || !above ? 0 : above->quota;
    if (n->quota == n->ino) {
        if (!find(c, n->ino))
            check_say_inode(c, FINDING_QUOTA_TREE, n->ino,
                            "it counts towards a limit of its own, which is not there");
    } else if ((!above || !above->damaged) && !follows(c, n->quota, expected)) {
        check_say_inode(c, FINDING_QUOTA_TREE, n->ino,
                        "it counts towards the limit of inode %" PRIu64
                        ", the folder above it towards that of %" PRIu64 " (0: none)",
                        n->quota, expected);
    }
}

void check_quotas(struct check *c)
{
    for (size_t i = 0; i < c->quota_count && c->stopped == 0; i++)
        check_sums(c, &c->quotas[i]);
    for (size_t i = 0; i < c->inode_count && c->stopped == 0; i++) {
        const struct check_inode *n = &c->inodes[i];
        if (!n->damaged && S_ISDIR(n->mode) && n->nlink > 0)
            check_folder(c, n);
    }
}
