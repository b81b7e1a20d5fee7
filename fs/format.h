/* format: every key and record that the file system writes.
 *
 * A key is an inode number (be64), a kind (u8), and what the kind says. Everything that belongs to
 * an inode is one interval of keys. Inode 0 stands for the volume:
 *
 *   0, SUPER_RECORD            the superblock
 *
 *   0, SUPER_COUNTERS          sums of inodes and chunks, i64 each; operands are changes of them
 *
 *   0, SUPER_NEXT_INO          u64: no inode number from here on was ever given out
 *
 *   0, SUPER_ORPHAN, be64      an inode without a name that was still in use; empty value
 *
 *   0, SUPER_RECEIVED          which snapshot of another volume was received last, and as which
 *
 *   0, SUPER_QUOTA, be64       a folder with a limit: see struct quota_record
 *
 *   0, SUPER_QUOTA_USED, be64  what counts towards it: sums of inodes and bytes, i64 each; operands
 *                              are changes of them
 *
 *   0, SUPER_POLICY, be64      inode numbers from this one on whose contents are compressed in a
 * way of their own: see struct policy
 *
 *   ino, KIND_ATTR             attributes
 *
 *   ino, KIND_XATTR, name      an extended attribute: its value
 *
 *   ino, KIND_DIRENT, be64     an entry of a folder, by slot: u64 inode, u8 type, name to the end
 *
 *   ino, KIND_DATA, be64       a chunk, by number: up to chunk_bytes; operands are patches
 *
 * A chunk that is shorter than chunk_bytes ends in zeros or at the end of the file; one that is
 * missing is a hole. The target of a symbolic link is its chunk 0. The type of an entry is its
 * inode's S_IFMT >> 12.
 *
 * Slot: where an entry stands in its folder, and the readdir cookie: XXH3(name, seed of the volume)
 * scaled to [SLOT_MIN, SLOT_MAX]. When another name has the slot, the next free of the SLOT_PROBES
 * following ones is taken (wrapping at SLOT_MAX), and the folder's record says so for ever
 * (INODE_DISPLACED): a look-up that misses then probes them all.
 *
 * Integers in records are little-endian. Records other than entries may grow at the end: a reader
 * takes the fields it knows.
 *
 * Patch: one or more of these, applied in turn:
 *
 *   u8 PATCH_WRITE, varint offset, varint length, bytes   they go to offset, zeros before them
 *
 *   u8 PATCH_CUT, varint offset   the chunk ends at offset, if it is longer
 *
 *   u8 PATCH_ZERO, varint offset, varint length   bytes that the chunk has there become zeros */
#ifndef VARVE_FS_FORMAT_H
#define VARVE_FS_FORMAT_H

#include "fs/types.h"

enum fs_kind { KIND_ATTR = 0, KIND_XATTR = 1, KIND_DIRENT = 2, KIND_DATA = 3, KIND_END = 4 };
enum fs_super_kind {
    SUPER_RECORD = 0,
    SUPER_COUNTERS = 1,
    SUPER_NEXT_INO = 2,
    SUPER_ORPHAN = 3,
    SUPER_RECEIVED = 4,
    SUPER_QUOTA = 8,
    SUPER_QUOTA_USED = 9,
    SUPER_POLICY = 10,
};
enum patch_kind { PATCH_WRITE = 1, PATCH_CUT = 2, PATCH_ZERO = 3 };

#define SLOT_MIN UINT64_C(4096)
#define SLOT_MAX (UINT64_C(0x7fffffffffffffff) - 4096)
enum { SLOT_PROBES = 8 };

/* ---- keys ---- */
enum { KEY_MAX = 8 + 1 + 255 };
/* A key in its own memory; pass key_slice(&k). */
struct key {
    uint8_t bytes[KEY_MAX];
    uint16_t len;
};
static inline struct slice key_slice(const struct key *k)
{
    return slice_of(k->bytes, k->len);
}
struct key key_super(enum fs_super_kind kind);
struct key key_orphan(uint64_t ino);
struct key key_quota(uint64_t folder);
struct key key_quota_used(uint64_t folder);
struct key key_policy(uint64_t start);
struct key key_attr(uint64_t ino);
struct key key_xattr(uint64_t ino, const char *name);
struct key key_dirent(uint64_t dir, uint64_t slot);
struct key key_chunk(uint64_t ino, uint64_t chunk);
/* The first key of a kind, and the first after everything of the inode (kind KIND_END). */
struct key key_kind(uint64_t ino, enum fs_kind kind);
/* Splits a key; `rest` is what follows the kind. False: shorter than 9 bytes. */
bool key_split(struct slice key, uint64_t *ino, uint8_t *kind, struct slice *rest);

/* ---- superblock ---- */
struct super_record {
    uint32_t version;  /* 1 */
    uint64_t features; /* incompatible ones; unknown bits: refused */
    uint32_t chunk_bytes;
    int32_t zstd_level;
    uint64_t hash_seed;
    int64_t made_ns;
    uint8_t uuid[16];
};
/* `version` is not taken from `s`. */
void super_encode(const struct super_record *s, struct buf *out);
/* 0, -EIO, or -EPROTONOSUPPORT for a later version or unknown features. */
int super_decode(struct slice in, struct super_record *s);

struct counters {
    int64_t inodes, chunks;
};
void counters_encode(const struct counters *c, struct buf *out);
int counters_decode(struct slice in, struct counters *c); /* 0 or -EIO */
/* The value of SUPER_NEXT_INO. 0 or -EIO: a number that cannot be. */
int next_ino_decode(struct slice in, uint64_t *next);

/* ---- what was received ---- */
/* By this, and while the pin with that number and time is read, the state is that of `seq` and
 * `created_ns` of the volume that it came from. */
struct received_record {
    uint64_t seq;
    int64_t created_ns;
    uint64_t pin_tag;
    int64_t pin_created_ns;
};
void received_encode(const struct received_record *r, struct buf *out);
int received_decode(struct slice in, struct received_record *r); /* 0 or -EIO */

/* ---- limits of folders ---- */
struct quota_record {
    uint64_t limit_bytes; /* 0: none; what counts towards it is counted all the same */
    bool taking;          /* not all that is below the folder counts towards it yet: */
    uint64_t from;        /* ... the rest does towards this one (0: none) */
};
void quota_encode(const struct quota_record *q, struct buf *out);
int quota_decode(struct slice in, struct quota_record *q); /* 0 or -EIO */
struct quota_used {
    int64_t inodes, bytes;
};
void quota_used_encode(const struct quota_used *u, struct buf *out);
int quota_used_decode(struct slice in, struct quota_used *u); /* 0 or -EIO */

/* ---- compression of single files ---- */
/* Contents of the inodes in [start, end) are compressed at this level of zstd; 0: not at all. What
 * is in files of the store with numbers below `since` was compressed in another way. */
struct policy {
    uint64_t start, end, since;
    uint8_t level;
};
void policy_encode(const struct policy *p, struct buf *out);
int policy_decode(struct slice in, uint64_t start, struct policy *p); /* 0 or -EIO */

/* ---- inode attributes ---- */
enum inode_flags {
    INODE_DISPLACED = 1,    /* a folder some entry of which does not stand at its own slot */
    INODE_IMMUTABLE = 0x10, /* as enum fs_flag, and the kernel */
    INODE_APPEND = 0x20,
    INODE_NODUMP = 0x40,
    INODE_ACL_ACCESS = 0x100,  /* it has an access control list: see acl.h */
    INODE_ACL_DEFAULT = 0x200, /* a folder that has a default one */
    INODE_LINKABLE = 0x800,    /* made without a name, and may get one */
};
/* What the counters of a limit have of an inode. */
struct inode_counted {
    uint64_t quota, size, chunks;
};
struct inode {
    uint64_t ino; /* not in the record: from the key */
    uint32_t mode, nlink, uid, gid, flags;
    uint64_t rdev;
    uint64_t size;   /* folders: the number of entries */
    uint64_t chunks; /* data keys that exist */
    uint64_t parent; /* folders: the folder above (root: itself); others: the folder of creation or
                        last rename, a hint */
    uint64_t
        slot; /* of its entry in the folder `parent`; 0: not known. Of folders it is right, for
                 others a hint: they may have been given another name since, and lost this one */
    uint64_t quota; /* the folder whose limit it counts towards, 0: none. A folder with a limit
                       counts towards its own. Absent in the record: 0 */
    uint8_t policy; /* 1 + the level of zstd that a file is compressed at, or what is made in a
                       folder; 0: as is set. Absent in the record: 0 */
    struct fs_time atime, mtime, ctime, btime;
    struct inode_counted counted; /* not in the record: kept by inode_get() and inode_put() */
};
static inline bool same_time(struct fs_time a, struct fs_time b)
{
    return a.sec == b.sec && a.nsec == b.nsec;
}
void inode_encode(const struct inode *n, struct buf *out);
/* 0 or -EIO. What comes out can be relied on: the type is one of the seven, numbers are in range.
 */
int inode_decode(struct slice in, uint64_t ino, struct inode *n);

/* ---- directory entries ---- */
struct dirent_record {
    uint64_t ino;
    uint8_t type; /* S_IFMT >> 12, the DT_ constants */
    struct slice name;
};
void dirent_encode(const struct dirent_record *d, struct buf *out);
/* 0 or -EIO. The name, which points into `in`, is one that an entry may have; the inode number is
 * in range. */
int dirent_decode(struct slice in, struct dirent_record *d);
/* The slot that `name` should have. */
uint64_t dirent_slot(uint64_t hash_seed, struct slice name);
/* The slot that is tried after `slot`. */
uint64_t dirent_slot_next(uint64_t slot);

/* ---- patches ---- */
void patch_put_write(struct buf *out, uint32_t offset, struct slice bytes);
void patch_put_cut(struct buf *out, uint32_t offset);
void patch_put_zero(struct buf *out, uint32_t offset, uint32_t len);
/* Takes the next patch off `*in`. 0, 1 at the end, -EIO. `bytes`: what PATCH_WRITE writes; of
 * PATCH_ZERO only its length counts. */
int patch_take(struct slice *in, enum patch_kind *kind, uint32_t *offset, struct slice *bytes);

/* The operator that the store is opened with: counters for inode 0, patches for data. */
extern const struct store_merge fs_merge;

#endif
