/* check_links: names against inodes: both lists in the order of inode numbers, walked side by side.
 */
#include <inttypes.h>

#include "fs/check.h"

/* ---- the lists ---- */

static int by_child(const void *a, const void *b)
{
    const struct check_entry *x = a, *y = b;
    if (x->child != y->child)
        return x->child < y->child ? -1 : 1;
    return (x->folder > y->folder) - (x->folder < y->folder);
}

void check_sort(struct check *c)
{
    if (c->entry_count)
        qsort(c->entries, c->entry_count, sizeof *c->entries, by_child);
    c->sorted = true;
}

const struct check_entry *check_entries_of(const struct check *c, uint64_t ino, size_t *count)
{
    size_t lo = 0, hi = c->entry_count;
    assert(c->sorted);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->entries[mid].child < ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (hi = lo; hi < c->entry_count && c->entries[hi].child == ino; hi++)
        ;
    *count = hi - lo;
    return *count ? c->entries + lo : NULL;
}

struct check_inode *check_find(const struct check *c, uint64_t ino)
{
    size_t lo = 0, hi = c->inode_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->inodes[mid].ino < ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->inode_count && c->inodes[lo].ino == ino ? &c->inodes[lo] : NULL;
}

bool check_is_orphan(const struct check *c, uint64_t ino)
{
    size_t lo = 0, hi = c->orphan_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c->orphans[mid] < ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->orphan_count && c->orphans[lo] == ino;
}

void check_damaged(struct check *c)
{
    for (size_t i = 0; i < c->inode_count && c->stopped == 0; i++)
        if (c->inodes[i].damaged)
            check_say_inode(c, FINDING_INODE, c->inodes[i].ino, "its attributes do not decode");
}

/* ---- names ---- */

static bool listed_by(const struct check_entry *names, size_t count, uint64_t folder)
{
    for (size_t i = 0; i < count; i++)
        if (names[i].folder == folder)
            return true;
    return false;
}

static void check_folder_links(struct check *c, const struct check_inode *n)
{
    if (n->nlink != 2 + n->subfolders)
        check_say_inode(c, FINDING_LINKS, n->ino,
                        "its link count is %" PRIu32 ", with %" PRIu32
                        " folders in it it should be %" PRIu32,
                        n->nlink, n->subfolders, 2 + n->subfolders);
}

static void check_folder(struct check *c, struct check_inode *n, const struct check_entry *names,
                         size_t count)
{
    if (count > 1)
        check_say_inode(c, FINDING_DIR_TWICE, n->ino, "the folder has %zu names", count);
    if (count > 0 && !listed_by(names, count, n->parent)) {
        check_say_inode(c, FINDING_PARENT, n->ino,
                        "folder %" PRIu64 " lists it, but its record says %" PRIu64,
                        names[0].folder, n->parent);
        n->parent = names[0].folder; /* the path that leads to it */
    }
    if (count > 0 || n->nlink > 0)
        check_folder_links(c, n);
}

static void check_root(struct check *c, const struct check_inode *n, size_t count)
{
    if (count > 0)
        check_say_inode(c, FINDING_DIR_TWICE, n->ino, "the root folder is listed in another");
    if (n->parent != n->ino)
        check_say_inode(c, FINDING_PARENT, n->ino, "the root folder has another as its parent");
    check_folder_links(c, n);
}

/* One inode and all its names. */
static void check_names(struct check *c, struct check_inode *n, const struct check_entry *names,
                        size_t count)
{
    assert(count == 0 || (names[0].child == n->ino && names[count - 1].child == n->ino));
    if (n->damaged) {
        n->parent = count ? names[0].folder : 0; /* the best guess, for those below it */
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (names[i].type != (n->mode & S_IFMT) >> 12)
            check_say_inode(c, FINDING_DIRENT_TYPE, n->ino,
                            "folder %" PRIu64 " lists it as another type", names[i].folder);
    if (n->ino == FS_INO_ROOT)
        check_root(c, n, count);
    else if (count == 0 && check_is_orphan(c, n->ino))
        return; /* check_orphans() looks at it */
    else if (count == 0)
        check_say_inode(c, FINDING_LOST, n->ino,
                        "nothing names it (%" PRIu32 " links are recorded)", n->nlink);
    else if (S_ISDIR(n->mode))
        check_folder(c, n, names, count);
    else if (n->nlink != count)
        check_say_inode(c, FINDING_LINKS, n->ino, "its link count is %" PRIu32 ", it has %zu names",
                        n->nlink, count);
}

/* ---- orphans ---- */

static void check_orphans(struct check *c)
{
    size_t sound = 0;
    for (size_t i = 0; i < c->orphan_count; i++) {
        const struct check_inode *n = check_find(c, c->orphans[i]);
        if (!n)
            check_say(c, FINDING_ORPHAN, STORE_DAMAGE, c->prefix,
                      "the list of orphans names inode %" PRIu64 ", which does not exist",
                      c->orphans[i]);
        else if (n->nlink != 0)
            check_say_inode(c, FINDING_ORPHAN, n->ino,
                            "it is in the list of orphans, but has %" PRIu32 " links", n->nlink);
        else
            sound++;
    }
    /* Those of a snapshot go with it. */
    if (sound > 0 && c->prefix[0] == 0)
        check_say(c, FINDING_ORPHAN_NOTE, STORE_NOTE, "",
                  "%zu deleted files were still open; the next mount frees them", sound);
}

/* ---- paths ---- */

/* Follows the parents of a folder until one that is known to be reachable; then all on the way are.
 */
static void check_reachable(struct check *c, struct check_inode *n)
{
    struct check_inode *at = n;
    for (size_t steps = 0; at && !at->reachable && steps <= c->inode_count; steps++)
        at = at->parent == at->ino ? NULL : check_find(c, at->parent);
    if (!at || !at->reachable) {
        check_say_inode(c, FINDING_UNREACHABLE, n->ino, "no path leads to this folder");
        n->reachable = true; /* said once */
        return;
    }
    for (at = n; !at->reachable; at = check_find(c, at->parent))
        at->reachable = true;
}

static void check_paths(struct check *c)
{
    struct check_inode *root = check_find(c, FS_INO_ROOT);
    if (!root || (!root->damaged && !S_ISDIR(root->mode)))
        check_say(c, FINDING_INODE, STORE_DAMAGE, c->prefix, "there is no root folder");
    if (!root)
        return;
    root->reachable = true;
    for (size_t i = 0; i < c->inode_count && c->stopped == 0; i++)
        if (S_ISDIR(c->inodes[i].mode) && c->inodes[i].nlink > 0)
            check_reachable(c, &c->inodes[i]);
}

void check_links(struct check *c)
{
    size_t at = 0;
    assert(c->sorted);
    for (size_t i = 0; i <= c->inode_count && c->stopped == 0; i++) {
        uint64_t ino = i < c->inode_count ? c->inodes[i].ino : UINT64_MAX;
        for (; at < c->entry_count && c->entries[at].child < ino; at++)
            check_say_inode(c, FINDING_DANGLING, c->entries[at].folder,
                            "an entry is for inode %" PRIu64 ", which does not exist",
                            c->entries[at].child);
        size_t first = at;
        while (at < c->entry_count && c->entries[at].child == ino)
            at++;
        if (i < c->inode_count)
            check_names(c, &c->inodes[i], at > first ? c->entries + first : NULL, at - first);
    }
    if (c->stopped == 0)
        check_orphans(c);
    if (c->stopped == 0)
        check_paths(c);
}
