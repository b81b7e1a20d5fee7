/* fs: the door of the file system: POSIX semantics over the store's ordered key space. It knows
 * nothing of FUSE, nor of files on disk, so it runs in a unit test, in the verifier and in a
 * simulator without a kernel.
 *
 * Inodes are named by number. Numbers of the present are below 2^48; the inode `i` of snapshot
 * number s is s << 48 | i, and is read-only (-EROFS). Names are any bytes but '/' and NUL, 1 to
 * FS_NAME_MAX.
 *
 * Permissions are the caller's business (the kernel checks them); everything else that POSIX asks
 * of an operation is done here. Every operation is atomic, also across a power cut, and has
 * happened when it returns; it is durable after fs_sync() or fs_fsync(). Functions are thread-safe
 * and return 0 or a negative errno: what ext4 would return, and -EIO for damage (the log names file
 * and offset), -ENOSPC, and -EROFS on a volume that is open read-only or has failed. */
#ifndef VARVE_FS_FS_H
#define VARVE_FS_FS_H

#include <sys/types.h>

#include "store/store.h"

enum { FS_NAME_MAX = 255, FS_SYMLINK_MAX = 4095, FS_XATTR_VALUE_MAX = 65536, FS_LINK_MAX = 65000 };
enum { FS_WRITE_MAX = 32 << 20 };
#define FS_FILE_SIZE_MAX INT64_MAX

/* Inode numbers that are fixed. */
enum {
    FS_INO_ROOT = 1,
    FS_INO_CONTROL = 2,   /* /.varve: found by lookup, not shown by readdir */
    FS_INO_SNAPSHOTS = 3, /* /.varve/snapshots: mkdir, rmdir and rename are the commands */
    FS_INO_AT = 5,        /* /.varve/at: the tree as it was at a time, by name */
    FS_INO_FIRST = 16,    /* the first that is given out */
};
#define FS_INO_BITS       48
#define FS_CONTROL_NAME   ".varve"
#define FS_SNAPSHOTS_NAME "snapshots"
#define FS_AT_NAME        "at"
/* The trees that inode numbers tell apart: the present is 0, snapshots come from 1 on, then moments
 * of history. */
enum { FS_SNAPSHOTS_MAX = 61439, FS_MOMENT_FIRST = 61440, FS_TREES_MAX = 65535 };

struct fs;

struct fs_time {
    int64_t sec;
    uint32_t nsec;
};

/* As chattr(1) sets them; the values are Linux's. What they forbid is -EPERM, as on ext4. */
enum fs_flag {
    FS_FLAG_IMMUTABLE = 0x10, /* nothing of it changes; in such a folder no name does */
    FS_FLAG_APPEND = 0x20,    /* it only grows; in such a folder names are only made */
    FS_FLAG_NODUMP = 0x40,    /* only kept; new inodes have it from their folder */
    FS_FLAGS = FS_FLAG_IMMUTABLE | FS_FLAG_APPEND | FS_FLAG_NODUMP,
};

struct fs_attr {
    uint64_t ino;
    uint64_t size;
    uint64_t blocks; /* of 512 bytes, allocated */
    uint64_t rdev;   /* dev_t of device nodes */
    uint32_t mode;   /* type and permission bits, as st_mode */
    uint32_t nlink, uid, gid;
    uint32_t block_bytes; /* st_blksize */
    uint32_t flags;       /* bits of enum fs_flag */
    struct fs_time atime, mtime, ctime, btime;
};

/* Who makes a new inode. A folder's set-group-id bit and default access control list are honoured
 * here; `umask` takes permission bits away where there is no such list. */
struct fs_cred {
    uint32_t uid, gid, umask;
};

/* ---- volumes ---- */

/* When reading a file, a folder or a link sets its access time. */
enum fs_atime {
    FS_ATIME_NONE,
    FS_ATIME_RELATIVE, /* when it is not later than the last change, or a day old */
    FS_ATIME_STRICT,
};

struct fs_options {
    struct env *env;              /* NULL: the real system */
    bool read_only;               /* changes nothing on disk; replays the log in memory */
    uint64_t cache_bytes;         /* 0: the store's default */
    uint64_t memtable_bytes;      /* 0: the store's default */
    int zstd_level;               /* -1: what the volume was made with */
    uint32_t workers;             /* background threads; 0: fs_work() is pulled */
    enum store_recovery recovery; /* about damaged logs */
    uint64_t scrub_rate;          /* bytes a second; 0: the store's default */
    bool no_sweep; /* leave orphans alone, at the end too (for tests; implied by read_only) */
    const char *snapshot; /* this one's tree is the volume's, read-only; inodes have the numbers
                             that they have in the present. NULL: the present */
    enum fs_atime atime;  /* FS_ATIME_NONE is the default */
    bool no_dir_atime;    /* not those of folders */
    const struct store_secret *secret; /* opens an encrypted volume; NULL: there is none */
    const struct store_options
        *store; /* settings instead of all defaults; what is set above wins; NULL: defaults */
};
void fs_options_init(struct fs_options *o);

struct fs_make_options {
    struct env *env;
    uint32_t chunk_bytes;              /* 0: default; a power of two, 16 KiB to 1 MiB */
    int zstd_level;                    /* -1: default; 0 to 19; kept in the volume */
    uint32_t uid, gid, mode;           /* of the root folder; mode: permission bits */
    const struct store_secret *secret; /* the volume is encrypted; NULL: it is not */
};
void fs_make_options_init(struct fs_make_options *o);

/* Makes an empty volume in folder `path`, which is made if it does not exist. -ENOTEMPTY if
 * anything is in it. */
int fs_make(const char *path, const struct fs_make_options *o);
/* Opens, recovers, and sweeps orphans. -ENOENT: not a volume (or no such folder); -EAGAIN: in use
 * by another process; -EPROTONOSUPPORT: made by a newer varvefs; -ENOKEY: encrypted, and there is
 * no o->secret; -ENODATA: there is no o->snapshot; -EKEYREJECTED: the passphrase is wrong;
 * -EMEDIUMTYPE: not encrypted, but the secret says that it must be. */
int fs_open(const char *path, const struct fs_options *o, struct fs **out);
/* Releases orphans, syncs, frees (also when it fails). */
int fs_close(struct fs *fs);
/* NULL, or why the volume has become read-only. */
const char *fs_failure(struct fs *fs);
/* One bounded step of background work: 0 did something, 1 nothing to do. With workers == 0. */
int fs_work(struct fs *fs);
/* Everything to the bottom of the tree; for tools and tests. */
int fs_compact(struct fs *fs);
/* The same, with progress and a way out: as store_compact_watched(). May be called with workers,
 * while the volume is in use. */
int fs_compact_watched(struct fs *fs, store_compaction_fn *fn, void *ctx);

/* ---- names ---- */
/* "." is the inode itself, of whatever type, and ".." the folder above a folder (of a snapshot's
 * root FS_INO_SNAPSHOTS): that is how handles that someone has kept are opened. */
int fs_lookup(struct fs *fs, uint64_t dir, const char *name, struct fs_attr *attr);
/* Regular files, device nodes, FIFOs and sockets; type from `mode`. */
int fs_mknod(struct fs *fs, uint64_t dir, const char *name, uint32_t mode, uint64_t rdev,
             const struct fs_cred *cred, struct fs_attr *attr);
int fs_mkdir(struct fs *fs, uint64_t dir, const char *name, uint32_t mode,
             const struct fs_cred *cred, struct fs_attr *attr);
int fs_symlink(struct fs *fs, uint64_t dir, const char *name, const char *target,
               const struct fs_cred *cred, struct fs_attr *attr);
int fs_link(struct fs *fs, uint64_t ino, uint64_t dir, const char *name, struct fs_attr *attr);
/* A regular file without a name, as open(2) with O_TMPFILE makes it: an orphan from the beginning,
 * but if it is `linkable` fs_link() may give it its first name. Of `dir` it takes what a file made
 * there would. */
int fs_tmpfile(struct fs *fs, uint64_t dir, uint32_t mode, bool linkable,
               const struct fs_cred *cred, struct fs_attr *attr);
/* The last link gone, the inode stays readable and writable as an orphan until fs_forget(). */
int fs_unlink(struct fs *fs, uint64_t dir, const char *name);
int fs_rmdir(struct fs *fs, uint64_t dir, const char *name);
/* As renameat2(2); the values are Linux's. Others are -EINVAL. */
enum { FS_RENAME_NOREPLACE = 1, FS_RENAME_EXCHANGE = 2 };
int fs_rename(struct fs *fs, uint64_t dir, const char *name, uint64_t new_dir, const char *new_name,
              unsigned flags);
/* Is the inode, a regular file, fit to take the place of what another name leads to now? Called
 * with locks held: it must not call the file system. */
typedef bool fs_ready_fn(void *ctx, uint64_t ino);
struct fs_rename_how {
    unsigned flags; /* of Linux, as above */
    /* RENAME_WHITEOUT: under the old name there is then a character device 0:0 that this one owns,
     * by which union file systems know that something is deleted. With FS_RENAME_EXCHANGE -EINVAL.
     * NULL: none is made. */
    const struct fs_cred *whiteout;
    fs_ready_fn *ready; /* NULL: whatever is renamed is */
    void *ready_ctx;
};
/* fs_rename(), and where `ready` says no nothing is done: -EAGAIN. It is asked when all else is
 * well, of what replaces something, or of both sides of an exchange; perhaps again for the same
 * call. */
int fs_rename_with(struct fs *fs, uint64_t dir, const char *name, uint64_t new_dir,
                   const char *new_name, const struct fs_rename_how *how);
/* Nobody outside refers to the inode any more: if it is an orphan it is deleted. */
void fs_forget(struct fs *fs, uint64_t ino);

/* ---- inodes ---- */
int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *attr);

enum fs_set {
    FS_SET_MODE = 1,
    FS_SET_UID = 2,
    FS_SET_GID = 4,
    FS_SET_SIZE = 8,
    FS_SET_ATIME = 16,
    FS_SET_MTIME = 32,
    FS_SET_CTIME = 64, /* otherwise every change sets it to now; what the caller's clock is ahead of
                          ours by a tick, ours is from then on */
    FS_SET_ATIME_NOW = 128,
    FS_SET_MTIME_NOW = 256,
};
/* `set`: bits of enum fs_set, values from `want`. One atomic change. `*attr` is what results. A
 * change of size sets mtime too unless given. */
int fs_setattr(struct fs *fs, uint64_t ino, unsigned set, const struct fs_attr *want,
               struct fs_attr *attr);
/* All of FS_FLAGS at once. -EOPNOTSUPP for other bits; -ENOTTY: neither a file nor a folder. Who
 * may, is the caller's business. */
int fs_set_flags(struct fs *fs, uint64_t ino, uint32_t flags);
/* Opening for writing, `append`: at the end only. 0, -EROFS, -EPERM by the flags. */
int fs_check_open(struct fs *fs, uint64_t ino, bool append);
/* Into `target` (FS_SYMLINK_MAX + 1 bytes), NUL-terminated. */
int fs_readlink(struct fs *fs, uint64_t ino, char *target);

/* ---- access times ---- */

/* fs_read(), fs_readdir() and fs_readlink() set them as fs_options.atime says: at first in memory,
 * where fs_getattr() and its like see them. fs_write_times(), fs_sync() and fs_close() write them;
 * a crash loses what was not. */

/* How many are not written, of at most FS_TIMES_MAX; what is beyond that is not kept at all. */
enum { FS_TIMES_MAX = 12288 };
size_t fs_times_waiting(struct fs *fs);
/* In batches of a few inodes each. 0, or an error, after which they still wait. */
int fs_write_times(struct fs *fs);

/* ---- data ---- */
/* `*got` < len only at the end of the file. */
int fs_read(struct fs *fs, uint64_t ino, uint64_t offset, void *data, size_t len, size_t *got);
/* The same, and sets no access time (O_NOATIME). */
int fs_peek(struct fs *fs, uint64_t ino, uint64_t offset, void *data, size_t len, size_t *got);
/* All or nothing. Extends the file; sets mtime and ctime. -EFBIG past FS_FILE_SIZE_MAX, -EINVAL for
 * more than FS_WRITE_MAX at once. */
int fs_write(struct fs *fs, uint64_t ino, uint64_t offset, const void *data, size_t len);
/* The same for a cache that knows when the data was written, and tells by fs_setattr(): no time
 * changes here. */
int fs_write_back(struct fs *fs, uint64_t ino, uint64_t offset, const void *data, size_t len);
/* As lseek(2) with SEEK_DATA / SEEK_HOLE, at the granularity of chunks. -ENXIO. */
int fs_seek_data(struct fs *fs, uint64_t ino, uint64_t offset, uint64_t *found);
int fs_seek_hole(struct fs *fs, uint64_t ino, uint64_t offset, uint64_t *found);
/* As fallocate(2); the values are Linux's, others are -EOPNOTSUPP. Zeroed and punched ranges are
 * holes afterwards. Nothing is set aside: what has no room now is -ENOSPC now, what has may still
 * meet a full disk later. Sets mtime and ctime. -ENODEV for what is no file, -EFBIG. */
enum { FS_FALLOCATE_KEEP_SIZE = 1, FS_FALLOCATE_PUNCH_HOLE = 2, FS_FALLOCATE_ZERO_RANGE = 16 };
int fs_fallocate(struct fs *fs, uint64_t ino, unsigned mode, uint64_t offset, uint64_t len);
/* As copy_file_range(2): what `from` has from its offset on is then in `to`, holes as holes. Goes
 * up to the end of `from`, and stops early after about FS_COPY_MAX bytes: `*copied` tells. Atomic
 * in steps of some MiB. -EINVAL for ranges of one file that overlap. */
enum { FS_COPY_MAX = 256 << 20 };
int fs_copy(struct fs *fs, uint64_t from, uint64_t from_offset, uint64_t to, uint64_t to_offset,
            uint64_t len, uint64_t *copied);
int fs_fsync(struct fs *fs, uint64_t ino, bool data_only);
int fs_sync(struct fs *fs);

/* ---- directories ---- */
/* `next` is where to go on after this entry. Returning nonzero ends the listing: the entry does not
 * count as taken. `attr` is complete if attributes were asked for, otherwise only ino and the type
 * bits of mode. Both are valid during the call. */
typedef int fs_dirent_fn(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next);
/* From `cookie` (0: the beginning) in a stable order, "." and ".." first. Entries that exist
 * throughout a listing are met exactly once, however it is divided, and whatever else is made,
 * renamed and removed meanwhile. Cookies stay good across remounts and in snapshots; they fit 63
 * bits. An entry whose inode is damaged is listed all the same, with nothing but ino and type in
 * `attr`: then nlink is 0. `fn` must not call functions of this door. Returns 0 at the end or when
 * `fn` ended it; -ENOENT for a folder that has been removed. */
int fs_readdir(struct fs *fs, uint64_t dir, uint64_t cookie, bool with_attr, fs_dirent_fn *fn,
               void *ctx);

/* ---- extended attributes ---- */
enum { FS_XATTR_CREATE = 1, FS_XATTR_REPLACE = 2 }; /* as in setxattr(2) */
/* With an access control list: who sets it is not in the file's group, and may not leave it
 * set-group-id. */
enum { FS_XATTR_KILL_SGID = 0x100 };
/* -EOPNOTSUPP for names outside user., trusted. and security.; -EINVAL for one of these alone, and
 * for unknown flags; -ERANGE, -E2BIG: the name, the value is too long; -EEXIST, -ENODATA by flags.
 *
 * Access control lists are set, read, removed and listed as system.posix_acl_access and
 * system.posix_acl_default, in the kernel's form. An access list sets the permission bits; one that
 * says no more than they do is not kept; one without entries stands for none. They follow
 * fs_setattr(), and default lists are inherited. -EINVAL: no list; -EOPNOTSUPP: another version, or
 * of a symbolic link; -EACCES: a default list of no folder. Removing one that is not there is no
 * error; the flags do not matter. */
int fs_setxattr(struct fs *fs, uint64_t ino, const char *name, const void *value, size_t len,
                int flags);
/* `*len` is the value's length. size 0: only that. -ERANGE when `size` is too small. -ENODATA.
 * Names are refused as by fs_setxattr(). */
int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, void *value, size_t size,
                size_t *len);
/* Names, each with its NUL. Same rules for size. */
int fs_listxattr(struct fs *fs, uint64_t ino, char *names, size_t size, size_t *len);
int fs_removexattr(struct fs *fs, uint64_t ino, const char *name);

/* ---- snapshots (the folder /.varve/snapshots offers the same by mkdir, rmdir and rename) ---- */
struct fs_snapshot {
    const char *name; /* valid during the call */
    uint64_t number;
    int64_t created_ns; /* realtime */
};
/* -EEXIST, -EINVAL (a name with '/', "." or ".."), -ENOENT (an empty one), -ENAMETOOLONG, -EMLINK
 * when there are FS_SNAPSHOTS_MAX. */
int fs_snapshot_create(struct fs *fs, const char *name);
int fs_snapshot_delete(struct fs *fs, const char *name);                 /* -ENOENT */
int fs_snapshot_rename(struct fs *fs, const char *from, const char *to); /* -ENOENT, -EEXIST */
typedef int fs_snapshot_fn(void *ctx, const struct fs_snapshot *snapshot);
int fs_snapshot_list(struct fs *fs, fs_snapshot_fn *fn, void *ctx); /* by age */
/* What deleting that snapshot alone would free: as store_pin_space(). -ENOENT. */
int fs_snapshot_space(struct fs *fs, const char *name, struct store_pin_space *out);

/* ---- history: what was, without snapshots ----
 *
 * Moments are kept that the outside asks for now and then, and forgotten some time later. The
 * folder
 * /.varve/at has the tree of each time since the oldest: a name is "2026-11-20T14:03", or with
 * ":SS", in UTC, and its tree that of the last moment that was kept until then. */
/* Keeps the present moment, if anything has changed since the last one. 0, 1 (nothing has), or an
 * error. */
int fs_history_keep(struct fs *fs);
/* Forgets what is not needed to tell of times from `since_ns` on (realtime; INT64_MAX: all). */
int fs_history_forget(struct fs *fs, int64_t since_ns);
/* How many moments are kept, and when the oldest and the newest were (0: none). */
struct fs_history {
    uint64_t moments;
    int64_t oldest_ns, newest_ns;
};
void fs_history_get(struct fs *fs, struct fs_history *out);

/* ---- how two states differ ---- */
enum fs_difference_kind {
    FS_CREATED, /* a name that was not there, of a new inode or an old one */
    FS_CHANGED, /* an inode that is in both states has other contents or attributes */
    FS_RENAMED, /* a name of an inode that has another one instead */
    FS_DELETED, /* a name that is not there any more */
};
enum fs_difference_what { FS_DIFFERS_DATA = 1, FS_DIFFERS_ATTR = 2, FS_DIFFERS_XATTR = 4 };
struct fs_difference {
    enum fs_difference_kind kind;
    unsigned what; /* FS_CHANGED: bits of enum fs_difference_what */
    const char
        *path; /* "/a/b"; of what is deleted: where it was. Valid during the call, as is ... */
    const char *from; /* FS_RENAMED: ... what it was; otherwise NULL */
    uint64_t ino;     /* in the present's numbers */
    uint32_t mode;    /* type bits */
};
typedef int fs_difference_fn(void *ctx, const struct fs_difference *d); /* nonzero: stop */
/* What leads from snapshot `from` to `to`, in the order of inode numbers (NULL: the present). It
 * costs what was changed between the two, not what there is; only where a changed file's name is
 * not known (its last one was taken away while it had others, or its record is older than this) the
 * folder it was made in is searched, and then all. Of a changed file with several names one is
 * told. Not told are access times, change times, and what a folder's own times owe to its entries.
 * Returns what `fn` returned last, -ENOENT for no such snapshot, or -EIO. */
int fs_diff(struct fs *fs, const char *from, const char *to, fs_difference_fn *fn, void *ctx);

/* ---- a snapshot as a stream, from one volume to another (docs/FORMAT.md, section 11) ---- */

/* Writes all of it. 0, or a negative errno that ends the sending and is returned. */
typedef int fs_stream_write_fn(void *ctx, const void *data, size_t len);
/* Reads `len` bytes; `*got` is less only at the end. 0, or a negative errno, as above. */
typedef int fs_stream_read_fn(void *ctx, void *data, size_t len, size_t *got);
enum { FS_STREAM_TOKEN_MAX = 1024 };
struct fs_stream_report {
    uint64_t records, bytes; /* of keys and values */
    uint64_t blocks;
    char snapshot[FS_NAME_MAX + 1];
};
/* Writes what leads from snapshot `from` (NULL: from nothing) to snapshot `to`, which is the later
 * one. `token` (NULL: from the beginning): goes on where an interrupted stream of the same two
 * ends; see fs_stream_keep(). -ENOENT: no such snapshot; -EINVAL: `from` is not the earlier one, or
 * the token is not of this stream. */
int fs_send(struct fs *fs, const char *from, const char *to, const char *token,
            fs_stream_write_fn *write, void *ctx, struct fs_stream_report *report);

/* Errors of the functions that read a stream, beside those of their callbacks and of writing:
 * -ENOMSG           it does not begin as a stream does
 * -EPROTONOSUPPORT  a newer program wrote it
 * -EBADMSG          it was altered, or holds what no stream does
 * -EPIPE            it ends before its end
 * -ECHILD           it goes on with another stream, and has no beginning of its own
 * -ENOTEMPTY        it leads from nothing, and this volume has something
 * -EXDEV            it is not of this volume, nor of one that this is a copy of
 * -ESTALE           the snapshot that it leads from is not here
 * -EOPNOTSUPP       that snapshot has limits of folders, or a compression of single files, which
 *                   streams do not have
 * -EBUSY            the volume was changed since that snapshot
 * -EALREADY         what it leads to is here already (report->snapshot)
 * -EEXIST           there is another snapshot of this name
 * After each nothing has changed. */
struct fs_receive_options {
    const char *name; /* of the snapshot here; NULL: as it was */
    bool force;       /* what was changed here since the base is undone */
};
/* Makes the present what the stream leads to, and a snapshot of it: both at once, and durably, when
 * all of the stream has been read and verified. For a volume that nobody uses, as fs_rollback(). */
int fs_receive(struct fs *fs, const struct fs_receive_options *o, fs_stream_read_fn *read,
               void *ctx, struct fs_stream_report *report);
/* Makes a volume in folder `path` of a stream that leads from nothing (otherwise -ESTALE). As
 * fs_make(), with its env and secret. After an error the folder may hold remains, which fs_open()
 * refuses. */
int fs_receive_new(const char *path, const struct fs_make_options *make,
                   const struct fs_receive_options *o, fs_stream_read_fn *read, void *ctx,
                   struct fs_stream_report *report);

/* A stream that comes in pieces, each of which may be cut off. */
struct fs_stream_kept;
struct fs_stream_kept *fs_stream_kept_new(void);
void fs_stream_kept_free(struct fs_stream_kept *k);
/* Reads on: the first piece, or one that goes on where the one before ended. What verifies is
 * handed to `write` (NULL: nobody), a whole block at a time: after the first piece's head, only
 * blocks, so that all together is one stream. 0: it is whole; -EPIPE: it can be gone on with;
 * -EINVAL: this piece is of another stream, or begins elsewhere; otherwise as above. */
int fs_stream_keep(struct fs_stream_kept *k, fs_stream_read_fn *read, fs_stream_write_fn *write,
                   void *ctx);
/* What fs_send() goes on with. "": nothing has been kept. */
void fs_stream_token(const struct fs_stream_kept *k, char token[FS_STREAM_TOKEN_MAX]);
/* How many bytes of all were kept: what came behind them was cut off. */
uint64_t fs_stream_kept_bytes(const struct fs_stream_kept *k);
void fs_stream_kept_report(const struct fs_stream_kept *k, struct fs_stream_report *report);

/* ---- going back to a snapshot ---- */
struct fs_rollback {
    uint64_t restored, removed; /* records of the store that were written again, or deleted */
    uint64_t bytes;             /* of what was written again, before compression */
};
/* `done` of about `total` changes, as far as that can be told (total 0: it cannot). Nonzero: stop.
 */
typedef int fs_progress_fn(void *ctx, uint64_t done, uint64_t total);
/* Makes the present what snapshot `name` is, at once and durably, or not at all. `keep`: the state
 * before is kept under this name; NULL: it is not kept. All snapshots stay. Takes time and space in
 * proportion to what has changed since. For a volume that nobody uses: what the outside knows of
 * inodes is void. -ENOENT; -EEXIST: of `keep`; -EINTR when `fn` (NULL: nobody is told) wants it;
 * otherwise as fs_write(). After an error all is as before. */
int fs_rollback(struct fs *fs, const char *name, const char *keep, fs_progress_fn *fn, void *ctx,
                struct fs_rollback *out);
/* The same in no time, however much has changed, and for good: what came after the snapshot is
 * gone, later snapshots too. Opens the volume, which nobody has open. Errors of fs_open(), and
 * -ENODATA: there is no such snapshot. */
int fs_rewind(const char *path, const struct fs_options *o, const char *name);

/* ---- limits of folders ---- */

/* A folder may have a limit for what the files in it and below take (fs_attr.blocks: before
 * compression, without snapshots). Inodes count towards the limit of the folder that they are made
 * in; folders within that have a limit of their own, and what is in them, count towards that one
 * alone. What would exceed a limit is -EDQUOT, and does not happen; what adds nothing always goes.
 *
 * What is renamed into or out of the tree of a limit is counted there or no more. -EXDEV: a folder
 * with contents, either way; a file with several names, and another name for a file, into the tree
 * from outside. The other way they may go; then the file counts where it did. A deleted file that
 * is still open counts. */
#define FS_QUOTA_MAX ((uint64_t)INT64_MAX / 2)
struct fs_quota {
    uint64_t folder;      /* whose limit it is */
    uint64_t limit_bytes; /* 0: none */
    uint64_t used_bytes, inodes;
};
/* 0: no limit any more; what it is for is counted all the same until the folder is deleted. The
 * first limit of a folder with contents takes these over, one by one, while the volume is in use: a
 * crash meanwhile leaves a part, which fs_open() completes. May be below what is used. -ENOTDIR,
 * -ERANGE (over FS_QUOTA_MAX), -EROFS, -EPERM. */
int fs_set_quota(struct fs *fs, uint64_t ino, uint64_t limit_bytes);
/* What `ino` counts towards. 1: nothing; so do snapshots. */
int fs_get_quota(struct fs *fs, uint64_t ino, struct fs_quota *out);

/* What df shows for a file or folder: of the limit that it counts towards, otherwise of the volume.
 */
struct fs_space {
    uint64_t total_bytes, free_bytes;
    uint64_t inodes, inodes_free; /* in use; as many as would fit */
};
int fs_get_space(struct fs *fs, uint64_t ino, struct fs_space *out);

/* ---- compression of single files ---- */

enum { FS_COMPRESSION_DEFAULT = -1 };
/* Contents of a file that are written from now on, and whatever of the old ones compaction
 * compresses again, are compressed at this level of zstd, 0 (not at all) to 19, whatever the
 * settings say; FS_COMPRESSION_DEFAULT: as they say. Of a folder: what is made in it from now on,
 * files as well as folders, is made with that. -EINVAL: another level, or neither a file nor a
 * folder. */
int fs_set_compression(struct fs *fs, uint64_t ino, int zstd_level);
/* 0, or 1: as the settings say. */
int fs_get_compression(struct fs *fs, uint64_t ino, int *zstd_level);

/* ---- figures ---- */
struct fs_stats {
    uint64_t total_bytes, free_bytes; /* of the disk below, the reserve taken off */
    uint64_t inodes;                  /* in use */
    uint64_t used_bytes;              /* allocated by files, before compression */
    uint64_t volume_bytes;            /* on disk: tables, blobs, logs */
    uint32_t chunk_bytes;
    int zstd_level;
    int64_t made_ns;
    uint8_t uuid[16];
    struct store_stats store;
};
int fs_get_stats(struct fs *fs, struct fs_stats *out);

/* ---- looking inside ---- */

/* Keys in words: "17/attr", "17/data/3", "17/xattr/user.x", "17/slot/123456", "super/counters",
 * "raw:0011ff"; as `from` and `to` also their beginnings: "17", "17/data". */
struct fs_dump_options {
    const char *from, *to; /* entries with from <= key < to; NULL: no bound */
    uint64_t limit;        /* entries, tombstones and values to show at most; 0: all */
    bool entries, blocks;  /* show them */
};
/* Shows file `name` of a volume (NULL: the manifest in force), which may be mounted; keys come as
 * texts. As store_dump(); -EINVAL also for a key that is none. */
int fs_dump(const char *path, const struct fs_options *o, const char *name,
            const struct fs_dump_options *opt, store_item_fn *fn, void *ctx);
/* Every version of one key that the volume still has. */
int fs_dump_key(struct fs *fs, const char *key, uint64_t limit, store_item_fn *fn, void *ctx);

/* The lines of the event log of a volume, which may be mounted, oldest first. */
int fs_events(const char *path, store_line_fn *fn, void *ctx);

/* ---- settings, and how the store has fared ---- */

/* As the functions of store.h with these names. fs_settings_*() are for fs_options.store. */
void fs_settings_init(struct store_options *so);
int fs_settings_set(struct store_options *so, const char *name, const char *value,
                    char message[STORE_MESSAGE_MAX]);
/* As store_lend_memory(). */
void fs_lend_memory(struct fs *fs, uint64_t bytes);
int fs_set(struct fs *fs, const char *name, const char *value, char message[STORE_MESSAGE_MAX]);
int fs_list_settings(struct fs *fs, store_setting_fn *fn, void *ctx);
void fs_get_insight(struct fs *fs, struct store_insight *out);
const char *fs_timer_name(enum store_timer which);
const char *fs_cache_kind_name(enum store_cache_kind which);
const char *fs_space_state_name(enum store_space_state state);

/* ---- keys of a volume that nobody has open: store.h, which has the contracts, by path ---- */
int fs_keys_get(const char *path, struct store_keys *out);
int fs_keys_add(const char *path, const struct store_secret *secret,
                const struct store_secret *added, const char *label, uint32_t *slot);
int fs_keys_change(const char *path, const struct store_secret *secret,
                   const struct store_secret *now, uint32_t *slot);
int fs_keys_remove(const char *path, const struct store_secret *secret, uint32_t slot);
int fs_keys_rotate(const char *path, const struct store_secret *secret, store_keys_other_fn *other,
                   void *ctx, uint32_t *slot);

/* ---- verifying ---- */
/* Findings of the file system, beside those of the store (1xx). Numbers never change their meaning;
 * docs/OPERATIONS.md says of each what it means and what to do. */
enum fs_finding_code {
    FINDING_SUPER = 201,       /* the superblock is missing or damaged */
    FINDING_COUNTERS = 202,    /* its counters are not what was counted */
    FINDING_NEXT_INO = 203,    /* an inode number is in use that was never reserved */
    FINDING_INODE = 204,       /* an inode's attributes do not decode, or contradict themselves */
    FINDING_NO_INODE = 205,    /* data, entries or attributes that belong to no inode */
    FINDING_KEY = 206,         /* a key that the file system does not write */
    FINDING_DIRENT = 207,      /* a folder entry does not decode */
    FINDING_SLOT = 208,        /* a folder entry stands where a look-up does not find it */
    FINDING_DIR_COUNT = 209,   /* a folder's number of entries is wrong */
    FINDING_DANGLING = 210,    /* an entry for an inode that does not exist */
    FINDING_DIRENT_TYPE = 211, /* an entry says another type than its inode */
    FINDING_LINKS = 212,       /* a link count is wrong */
    FINDING_DIR_TWICE = 213,   /* a folder has several names */
    FINDING_PARENT = 214,      /* a folder's record names another parent than lists it */
    FINDING_LOST = 215,        /* an inode without a name that is not in the list of orphans */
    FINDING_UNREACHABLE = 216, /* a folder that no path leads to */
    FINDING_ORPHAN = 217,      /* the list of orphans names an inode that is none */
    FINDING_BEYOND_END = 218,  /* data beyond the end of a file */
    FINDING_CHUNK_COUNT = 219, /* a file's number of chunks is wrong */
    FINDING_CHUNK = 220,       /* data that cannot be read */
    FINDING_XATTR = 221,       /* an extended attribute that could not have been set */
    FINDING_SYMLINK = 222,     /* a symbolic link without a proper target */
    FINDING_ORPHAN_NOTE = 223, /* orphans that the next mount will delete */
    FINDING_ACL = 225,   /* an access control list that is none, or does not go with its inode */
    FINDING_QUOTA = 230, /* a folder's limit does not decode, or is none of that folder */
    FINDING_QUOTA_USED = 231, /* what counts towards a limit is not what was counted */
    FINDING_QUOTA_TREE = 232, /* a folder counts towards another limit than the one above it, or
                                 towards its own, which is not there */
    FINDING_POLICY = 234,     /* a file's record says another compression than holds for its number,
                                 or what says that does not decode */
    FINDING_QUOTA_NOTE = 233, /* a limit's folder is being taken over; the next mount goes on */
};

struct fs_check_report {
    uint64_t inodes, folders, files, symlinks, others, entries, chunks, bytes;
    uint64_t lines; /* of inodes and entries that were in memory at a time, at most */
    uint64_t notes, warnings, damages; /* findings by severity, the store's included */
};
/* A finding of either level; file system findings have codes 2xx, `file` is the path as far as it
 * can be told. */
/* Verifies a volume that nobody has open, changing nothing: the store, then the tree of files in
 * the present and (if `snapshots`) in every snapshot. Returns 0 when it ran to its end, whatever it
 * found; -ENOENT, -EAGAIN, -EPROTONOSUPPORT as fs_open(). */
int fs_check(const char *path, const struct fs_options *o, bool snapshots, store_finding_fn *fn,
             store_progress_fn *progress, void *ctx, struct fs_check_report *report);
/* Of an encrypted volume, without its key: store_check_keyless(). Only findings are counted. */
int fs_check_keyless(const char *path, store_finding_fn *fn, store_progress_fn *progress, void *ctx,
                     struct fs_check_report *report);

/* ---- checkpoints ---- */

/* Makes folder `dir` (which is made, or must be empty) a volume of its own, durably, of links to
 * this one's files as far as the file system below has them: with all that was acknowledged before
 * the call and all snapshots (`snapshot` NULL), or the tree as that snapshot has it, with the
 * snapshots up to it. Both go on apart from each other. 1: there is no such snapshot; -ENOTEMPTY;
 * or an error, after which nothing is left, or a folder that fs_open() refuses (-EUCLEAN). */
int fs_checkpoint(struct fs *fs, const char *dir, const char *snapshot,
                  struct store_checkpoint *out);

/* ---- scrubbing and salvage: as in store.h ---- */
int fs_scrub_start(struct fs *fs);
int fs_scrub_stop(struct fs *fs);
void fs_scrub_status(struct fs *fs, struct store_scrub_status *out);
void fs_scrub_listen(struct fs *fs, store_finding_fn *fn, void *ctx);
/* With workers == 0: 0 did something, 1 nothing to do now, or an error. */
int fs_scrub_step(struct fs *fs);
/* Of a volume that nobody has open. */
int fs_salvage(const char *path, const struct fs_options *o, store_finding_fn *fn,
               store_progress_fn *progress, void *ctx, struct store_salvage_report *report);

#endif
