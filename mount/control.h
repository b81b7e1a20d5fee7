/* control: the thread for what a worker must not wait for, and what the folder .varve offers beyond
 * fs.h.
 *
 * With write-back caching the kernel holds data that programs have written and the daemon has not
 * seen. A snapshot has to have it, and SEEK_DATA has to know it. Getting it means asking the kernel
 * for it through our own mount, while workers serve the writes that this causes. */
#ifndef VARVE_MOUNT_CONTROL_H
#define VARVE_MOUNT_CONTROL_H

#include <sys/ioctl.h>

#include "mount/reply.h"
#include "mount/session.h"

struct control;

/* `mount_path`: where we are mounted, for the thread's own use. */
struct control *control_new(struct mount *m, const char *mount_path);
/* Starts the thread, once the session runs. 0 or a negative errno. */
int control_start(struct control *c, struct session *s);
/* Finishes the job in hand, refuses the others (-ENOTCONN), gives up a compaction, ends the thread.
 * Needs running workers, or a dead connection. May be called twice. */
void control_stop(struct control *c);
void control_free(struct control *c);

/* Everything that was written to the mount before the call is in the store when it returns, or was
 * refused, of which its writer is told: then 1. Needs running workers; must not be called by one. A
 * negative errno: -ESTALE when our mount cannot be reached by its path. */
int control_flush(struct control *c);

/* These answer the request, later and from the thread: */

/* Takes a snapshot of all that was written before, under /.varve/snapshots. */
void control_snapshot(fuse_req_t req, const char *name, uint32_t mode);
/* Calls `fn`, which answers, with a copy of `args` (CONTROL_ARGS_MAX bytes at most) when all that
 * was written before is in the store; `err` is what control_flush() returned. */
enum { CONTROL_ARGS_MAX = 64 };
typedef void control_fn(fuse_req_t req, int err, const void *args);
void control_after_flush(fuse_req_t req, control_fn *fn, const void *args, size_t len);

/* The kernel forgets, a little later, what it has cached of the inode's contents: a write to it was
 * refused that is in there. */
void control_drop_pages(struct control *c, uint64_t ino);

/* By ioctl(2), on any file or folder: what was written before is durable. */
#define CONTROL_IOC_SYNC _IO('V', 0xa0)

/* ---- the fence: /.varve/.fence, which nobody but control_flush() has a use for ---- */
#define CONTROL_FENCE_NAME ".fence"
enum { CONTROL_INO_FENCE = 4 };
void control_fence_attr(struct fs_attr *attr);
void control_fence_read(fuse_req_t req, size_t size);

/* ---- scrubbing: an attribute of the root folder ---- */
#define CONTROL_XATTR_SCRUB "user.varve.scrub" /* written: "start", "stop"; read: how far it is */
enum { CONTROL_SCRUB_TEXT_MAX = 320 };
bool control_is_scrub(uint64_t ino, const char *name);
/* 0 or a negative errno; -EINVAL for any other word. */
int control_scrub_set(struct mount *m, const char *value, size_t len);
void control_scrub_get(struct mount *m, char text[CONTROL_SCRUB_TEXT_MAX]);
/* The attribute's value, and back: 0 or -EINVAL. */
void control_scrub_print(const struct store_scrub_status *s, char text[CONTROL_SCRUB_TEXT_MAX]);
int control_scrub_parse(const char *text, struct store_scrub_status *s);

/* ---- compaction on demand: an attribute of the root folder ---- */
#define CONTROL_XATTR_COMPACT "user.varve.compact" /* written: "start", "stop"; read: as below */
enum { CONTROL_COMPACT_TEXT_MAX = 256 };
struct control_compact_status {
    bool running;
    uint64_t number; /* of the last one, from 1; 0: there was none since it was mounted */
    int result;      /* of that one, once it has ended: 0 or a negative errno; -EINTR: given up */
    uint64_t jobs, done_bytes, total_bytes; /* as in struct store_compaction */
    uint64_t before_bytes, after_bytes;     /* the volume: when it began; now, or at its end */
};
/* One compaction at a time, in a thread of its own: neither a worker nor a job has to wait. */
struct control_compact;
struct control_compact *control_compact_new(struct fs *fs);
/* Gives up the one under way, waits for its end, and refuses others (-ENOTCONN). May be called
 * twice. */
void control_compact_end(struct control_compact *c);
void control_compact_free(struct control_compact *c); /* after its end; NULL: nothing */
bool control_is_compact(uint64_t ino, const char *name);
/* "start" joins one that runs; "stop" does not wait for its end. 0 or a negative errno: -EINVAL for
 * any other word, -EAGAIN when one is just being given up, -EROFS for a mount that is read-only. */
int control_compact_set(struct control_compact *c, const char *value, size_t len);
void control_compact_get(struct control_compact *c, struct control_compact_status *out);
/* FITRIM: as "start", and answers the request when that has ended, with how many bytes the volume
 * takes less. 0, or an error: then the caller answers. */
int control_compact_trim(struct control_compact *c, fuse_req_t req);
/* The attribute's value, and back: 0 or -EINVAL. */
void control_compact_print(const struct control_compact_status *s,
                           char text[CONTROL_COMPACT_TEXT_MAX]);
int control_compact_parse(const char *text, struct control_compact_status *s);
/* That of a mount. */
struct control_compact *control_compact_of(struct mount *m);

/* ---- checkpoints: an attribute of the folder of snapshots ---- */
/* (While it is set the kernel holds that folder's lock, and making one goes through .varve: so not
 * one of the root.) Written: the absolute path of the folder to make one in, and, behind a NUL, a
 * snapshot's name, if it is to be of that. For who mounted it, and root (-EPERM): the daemon makes
 * files with its own rights. Read: the last one that was made, as below. */
#define CONTROL_XATTR_CHECKPOINT "user.varve.checkpoint"
enum { CONTROL_CHECKPOINT_TEXT_MAX = 160, CONTROL_CHECKPOINT_VALUE_MAX = 4096 + 256 };
bool control_is_checkpoint(uint64_t ino, const char *name);
/* Answers the request, later and from the thread, when it is made: -EINVAL for no such value,
 * -ELOOP for a folder inside of this mount, -ENODATA when there is no such snapshot, or what
 * fs_checkpoint() returns. */
void control_checkpoint(fuse_req_t req, const char *value, size_t len);
/* Empty before the first. */
void control_checkpoint_get(struct mount *m, char text[CONTROL_CHECKPOINT_TEXT_MAX]);

/* What is written: 0 with `*dir` and `*snapshot` (NULL: none), both in `value`, which is followed
 * by a NUL; or -EINVAL. */
int control_checkpoint_take(const char *value, size_t len, const char **dir, const char **snapshot);
/* What is read, and back: 0 or -EINVAL. */
void control_checkpoint_print(const struct store_checkpoint *c,
                              char text[CONTROL_CHECKPOINT_TEXT_MAX]);
int control_checkpoint_parse(const char *text, struct store_checkpoint *c);
/* For who is not the daemon: has that of `mount` make one in `dir`, an absolute path. 0, or a
 * negative errno, as control_checkpoint() has them. */
int control_checkpoint_ask(const char *mount, const char *dir, const char *snapshot,
                           struct store_checkpoint *out);
/* Makes it, when all is in the store. `mount_path`: our own. 0 or a negative errno. */
int control_checkpoint_make(struct mount *m, const char *mount_path, const char *dir,
                            const char *snapshot, struct store_checkpoint *out);

/* ---- limits of folders: attributes of the folder ---- */
#define CONTROL_XATTR_QUOTA      "user.varve.quota" /* a size as in options, or "none"; read: bytes */
#define CONTROL_XATTR_QUOTA_USED "user.varve.quota.used" /* read: bytes that count towards it */
/* Is it one of these? */
bool control_is_quota(const char *name);
/* 0 (`*limit_bytes` 0: none), -EINVAL or -ERANGE. */
int control_quota_parse(const char *value, size_t len, uint64_t *limit_bytes);
/* As fs_set_quota(); also -EPERM for what can only be read. Who may, is the caller's business. */
int control_quota_set(struct mount *m, uint64_t ino, const char *name, const char *value,
                      size_t len);
/* 0 or a negative errno: -ENODATA when the folder has no limit of its own. */
int control_quota_get(struct mount *m, uint64_t ino, const char *name, char text[32]);
int control_quota_remove(struct mount *m, uint64_t ino, const char *name);

/* ---- compression of single files: an attribute of the file, or of a folder for what is made in it
 * ---- */
#define CONTROL_XATTR_COMPRESSION "user.varve.compression" /* as the option, or "default" */
bool control_is_compression(const char *name);
/* 0 or -EINVAL. */
int control_compression_parse(const char *value, size_t len, int *zstd_level);
/* As fs_set_compression(). */
int control_compression_set(struct mount *m, uint64_t ino, const char *value, size_t len);
/* 0 or a negative errno: -ENODATA when it is as the settings say. */
int control_compression_get(struct mount *m, uint64_t ino, char text[32]);
int control_compression_remove(struct mount *m, uint64_t ino);

/* ---- attributes that tell about a snapshot, on its folder ---- */
#define CONTROL_XATTR_CREATED "user.varve.created" /* seconds since 1970, point, nine digits */
/* What deleting it would free: bytes of values, of entries, and how many entries. */
#define CONTROL_XATTR_FREES "user.varve.frees"
/* Of the top folder: the number of the daemon's process, and its space of process numbers as
 * /proc/self/ns/pid names it. */
#define CONTROL_XATTR_PROCESS "user.varve.process"
enum { CONTROL_SHOT_TEXT_MAX = 80 };
/* The value of one of these as text. 0, 1 (no such attribute), or a negative errno. */
int control_xattr(struct mount *m, uint64_t ino, const char *name,
                  char value[CONTROL_SHOT_TEXT_MAX]);
bool control_is_frees(uint64_t ino, const char *name);
/* The value of CONTROL_XATTR_FREES, and back: 0 or -EINVAL. */
void control_frees_print(const struct store_pin_space *space, char text[CONTROL_SHOT_TEXT_MAX]);
int control_frees_parse(const char *text, struct store_pin_space *space);

#endif
