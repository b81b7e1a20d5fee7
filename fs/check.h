/* check: proves that a volume's file system is what it should be, changing nothing. fs_check() of
 * the door.
 *
 * One pass over all keys in order meets each inode's attributes, extended attributes, entries and
 * data together, and gathers a line per folder and one per entry of a folder; sorting these by
 * inode then tells links, parents and reachability. Of all other inodes and entries it keeps sums
 * alone, by hashes of inode numbers: where the links that inodes have and the entries that name
 * them do not agree, a second pass gathers the lines of these, too. Memory: 64 bytes a folder, and
 * 1 MiB; for each inode with wrong links the same as for a folder, and for one in 65,536 of all
 * others. */
#ifndef VARVE_FS_CHECK_H
#define VARVE_FS_CHECK_H

#include "fs/inode.h"

/* What the pass keeps of an inode; they ascend by number. */
struct check_inode {
    uint64_t ino, parent, quota;
    uint32_t mode, nlink;
    uint32_t subfolders; /* entries of type folder that it lists */
    bool damaged; /* its attributes do not decode: nothing but `ino` and `subfolders` counts */
    bool reachable;
};
/* A folder's limit: what is recorded, and what was counted. */
struct check_quota {
    uint64_t folder, from;
    bool taking;
    bool own; /* the folder's record says that it counts towards itself */
    struct quota_used stored, counted;
};
/* What the pass keeps of an entry. */
struct check_entry {
    uint64_t child, folder;
    uint8_t type;
};

/* Of all inodes with numbers of one hash that are no folders: links less entries. Twice, with
 * hashes that do not depend on each other. */
struct check_sum {
    uint64_t one, other;
};
enum { CHECK_SUMS_LOG2 = 16, CHECK_SUMS = 1 << CHECK_SUMS_LOG2 };

struct check {
    struct fs *fs;
    store_finding_fn *fn;
    void *ctx;
    struct fs_check_report *report;
    int stopped; /* what `fn` returned to stop */
    struct reader reader;
    const char *prefix; /* of paths: "" or "/.varve/snapshots/NAME" */
    bool super_told;    /* that the superblock's keys are damaged has been said already */
    struct check_inode *inodes;
    size_t inode_count, inode_cap;
    struct check_entry *entries; /* after the pass: ascending child, then folder */
    size_t entry_count, entry_cap;
    struct check_sum *sums; /* CHECK_SUMS */
    bool again; /* in the second pass: lines are gathered, nothing is said, the sums stay */
    bool sorted;
    uint64_t looked;   /* entries that were looked at to tell paths */
    uint64_t *orphans; /* ascending */
    size_t orphan_count, orphan_cap;
    struct counters counted;
    struct policy *policies; /* ascending, without overlaps */
    size_t policy_count, policy_cap;
    struct check_quota *quotas; /* ascending */
    size_t quota_count, quota_cap;
};

/* ---- check_report.c ---- */
void check_say(struct check *c, int code, enum store_severity severity, const char *path,
               const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same about an inode, by its path as far as that can be told. */
void check_say_inode(struct check *c, int code, uint64_t ino, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- check_walk.c ---- */
/* The pass over all keys that c->reader sees; the second one looks at nothing but attributes and
 * entries of folders. 0 or an error that ended it. */
int check_walk(struct check *c);

/* ---- check_gather.c ---- */
/* `list` with room for one more than the `count` that are in it. */
void *check_grow(void *list, size_t count, size_t *cap, size_t each_bytes);
/* Keeps an inode's line, or adds it to the sums. In ascending order. */
void check_gather_inode(struct check *c, const struct check_inode *n);
/* The same of an entry. */
void check_gather_entry(struct check *c, const struct check_entry *e);
/* After the pass: the second one, if it takes one. 0 or an error that ended it. */
int check_gather_rest(struct check *c);

/* ---- check_quota.c ---- */
/* A key of a limit, or of what counts towards it. */
void check_quota_key(struct check *c, uint8_t kind, struct slice rest, struct slice value);
/* An inode whose record decodes. [after all keys of limits] */
void check_quota_inode(struct check *c, const struct inode *n);
/* The sums, and the folders. [after check_sort()] */
void check_quotas(struct check *c);

/* ---- check_policy.c ---- */
/* A key that says how contents are compressed. */
void check_policy_key(struct check *c, struct slice rest, struct slice value);
/* An inode whose record decodes. [after all such keys] */
void check_policy_inode(struct check *c, const struct inode *n);

/* ---- check_links.c ---- */
/* Puts c->entries in order. */
void check_sort(struct check *c);
/* The entries for `ino`; NULL if there are none. [after check_sort()] */
const struct check_entry *check_entries_of(const struct check *c, uint64_t ino, size_t *count);
/* NULL if it has no line. */
struct check_inode *check_find(const struct check *c, uint64_t ino);
/* Is it in the list of orphans? */
bool check_is_orphan(const struct check *c, uint64_t ino);
/* Inodes that do not decode. [after check_sort()] */
void check_damaged(struct check *c);
/* Links, parents, orphans, reachability. [after check_sort()] */
void check_links(struct check *c);

#endif
