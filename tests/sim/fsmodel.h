/* fsmodel: a file system in a few arrays, and operations on it: what a real one has to do, in the
 * simplest way that can be. Nodes are known by an id that is never used again; the root is 0. */
#ifndef VARVE_TESTS_SIM_FSMODEL_H
#define VARVE_TESTS_SIM_FSMODEL_H

#include "fs/fs.h"
#include "tests/sim/simrng.h"

/* With FS_RENAME_ flags: fs_rename_with(). */
enum { FSMODEL_WHITEOUT = 4 };

enum { FSMODEL_NAMES = 8, FSMODEL_XATTRS = 3, FSMODEL_SIZE_MAX = 90000, FSMODEL_CHUNK = 16 << 10 };
enum { FSMODEL_UMASK = 027 }; /* of whoever makes something */

/* The names that entries may have; the last is none that may be made. */
const char *fsmodel_name(int i);
const char *fsmodel_xattr(int i);

/* An access control list: for the owner, user 5, the group, the mask, and others. A plain one has
 * no user 5 and no mask. */
struct fsacl {
    bool there, plain;
    uint8_t owner, user, group, mask, other;
};

struct fsnode {
    uint32_t mode, nlink, uid, gid;
    uint32_t flags;           /* of FS_FLAGS */
    bool linkable;            /* made without a name, and has not had one yet */
    bool gone;                /* deleted: nothing can be done with it */
    struct buf data;          /* contents, or a symbolic link's target */
    int parent;               /* folders */
    int policy;               /* 1 + the level that it is compressed at, or passes on; 0: none */
    int quota;                /* the folder whose limit it counts towards: id + 1; 0: none */
    int entry[FSMODEL_NAMES]; /* folders: id + 1; 0: none */
    struct buf xattr[FSMODEL_XATTRS];
    bool has_xattr[FSMODEL_XATTRS];
    struct fsacl acl[2]; /* its own, and a folder's default */
};

struct fsmodel {
    struct fsnode *nodes;
    size_t count, cap;
    bool limits_unseen; /* what it is compared with has none of them, and no compressions */
};

enum fsop_kind {
    FSOP_CREATE,
    FSOP_FIFO,
    FSOP_MKDIR,
    FSOP_SYMLINK,
    FSOP_TMPFILE,
    FSOP_LINK,
    FSOP_UNLINK,
    FSOP_RMDIR,
    FSOP_RENAME,
    FSOP_WRITE,
    FSOP_TRUNCATE,
    FSOP_FALLOCATE,
    FSOP_COPY,
    FSOP_CHANGE, /* mode and owner */
    FSOP_FLAGS,
    FSOP_SETXATTR,
    FSOP_REMOVEXATTR,
    FSOP_SETACL, /* name: which; fill: the list */
    FSOP_REMOVEACL,
    FSOP_POLICY, /* fill: the compression of a file or folder */
    FSOP_QUOTA,  /* a folder gets a limit, but none that refuses anything */
    FSOP_FORGET,
    /* These change nothing that can be seen. */
    FSOP_SYNC,
    FSOP_WORK,
    FSOP_SNAPSHOT,
    FSOP_UNSNAPSHOT,
    FSOP_REOPEN, /* but this ends the orphans */
    FSOP_KINDS,
};

struct fsop {
    enum fsop_kind kind;
    int node, name;       /* a folder and a name; or the node that it is about */
    int node2, name2;     /* of a rename's, link's or copy's destination */
    unsigned flags;       /* of rename, fallocate, setxattr; what setattr or set_flags sets; of an
                             unnamed file: linkable */
    uint32_t offset, len; /* of data, which follows from `fill` */
    uint32_t offset2;     /* of a copy's destination */
    uint32_t fill;        /* also: mode and owner */
    int pin;              /* which snapshot */
};

void fsmodel_init(struct fsmodel *m);
void fsmodel_release(struct fsmodel *m);
/* Does it; returns what the real one has to return. Something made gets the next id. */
int fsmodel_apply(struct fsmodel *m, const struct fsop *op);
/* A random operation, mostly one that makes sense in this state. Kinds FSOP_SYNC and later come
 * rarely, and no reopening unless asked for. */
void fsmodel_random(const struct fsmodel *m, struct simrng *r, bool reopen, struct fsop *op);
/* The list that FSOP_SETACL sets, and one in the form that fs_setxattr() takes. */
struct fsacl fsop_acl(const struct fsop *op);
void fsacl_bytes(const struct fsacl *acl, struct buf *out);
const char *fsacl_name(int which);

/* The bytes that an operation writes; len + 1 of them, with a NUL at the end. */
void fsop_bytes(const struct fsop *op, struct buf *out);
void fsop_print(const struct fsop *op, char text[160]);

/* The same operation on the real one. `inos`: of each node by id; a new one is put at the end,
 * which the caller has made room for. For the kinds up to FSOP_FORGET. */
int fsop_play(struct fs *fs, const struct fsop *op, uint64_t *inos, size_t *ino_count);

/* Compares all that can be seen from the root of `fs` or of a snapshot: names, types, links,
 * attributes, contents, extended attributes. True when they are equal; then, if `inos` is not NULL,
 * it has the inode number of each node that has a name (0 for others). Otherwise `why` says what
 * differs. */
bool fsmodel_equals(const struct fsmodel *m, struct fs *fs, uint64_t snapshot, uint64_t *inos,
                    char why[256]);

#endif
