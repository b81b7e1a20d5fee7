/* diff_priv: what the parts of diff share: what was gathered of the changes. */
#ifndef VARVE_FS_DIFF_PRIV_H
#define VARVE_FS_DIFF_PRIV_H

#include "fs/diff.h"
#include "fs/inode.h"

/* An inode of which some record has changed. */
struct diff_node {
    uint64_t ino;
    uint32_t mode;
    unsigned what; /* bits of enum fs_difference_what */
    bool was, is;  /* it has names in the state before, after */
    bool entries;  /* a folder in which names came or went */
    bool times;    /* its modification time is another */
};
/* A name that came or went. */
struct diff_name {
    uint64_t ino, dir;
    bool came;
    size_t at, len; /* in `text` */
};
struct diff_changes {
    struct diff_node *nodes; /* ascending */
    size_t node_count, node_cap;
    struct diff_name *names; /* ascending by inode, those that went first */
    size_t name_count, name_cap;
    struct buf text;
};

/* ---- diff_gather.c ---- */
/* All changes between the two states. `before` and `after` read them. 0 or an error. */
int diff_gather(const struct store_read *after, uint64_t from, struct diff_changes *out);
void diff_changes_release(struct diff_changes *c);
static inline struct slice diff_name_text(const struct diff_changes *c, const struct diff_name *n)
{
    return slice_of(c->text.data + n->at, n->len);
}

#endif
