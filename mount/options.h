/* options: what is written behind options: sizes, compression, and the list after `mount -o`. */
#ifndef VARVE_MOUNT_OPTIONS_H
#define VARVE_MOUNT_OPTIONS_H

#include "fs/fs.h"
#include "mount/retention.h"

/* "4096", "64K", "1.5G" is not one: a whole number and perhaps K, M, G or T (of 1024), in either
 * case, perhaps followed by "iB". 0, -EINVAL (not a size) or -ERANGE. */
int options_size(const char *text, uint64_t *bytes);

/* "none" (level 0), "zstd" (level 1) or "zstd:LEVEL", 1 to 19. 0 or -EINVAL. */
int options_compression(const char *text, int *zstd_level);

/* Does the kernel ask when a file is opened? By itself: if the mount can be written to. */
enum options_open { OPEN_BY_ITSELF, OPEN_QUICK, OPEN_CHECKED };

/* Do requests come by io_uring (rings.h)? By itself: where the kernel offers it. */
enum options_io_uring { IO_URING_AUTO, IO_URING_ON, IO_URING_OFF };

struct options_mount {
    bool read_only, allow_other, allow_root, nonempty, debug;
    enum fs_atime atime; /* FS_ATIME_RELATIVE */
    bool no_dir_atime,
        lazytime; /* lazytime: access times are written only when something else is */
    enum options_open open;
    enum options_io_uring io_uring;
    uint64_t cache_bytes, memtable_bytes; /* 0: default */
    int zstd_level;                       /* -1: the volume's own */
    enum store_recovery recovery;
    struct store_options store; /* settings by name */
    char *keep;                 /* owned; the rule for automatic snapshots, or NULL */
    struct retention_history history;
    char *snapshot;           /* owned; NULL: the present */
    char *log_path;           /* owned; NULL: the system log */
    char *passfile, *extpass; /* owned; where the passphrase comes from, or NULL */
    struct buf kernel;        /* what libfuse and the kernel shall see, with commas, no NUL */
};
/* All defaults. */
void options_mount_init(struct options_mount *o);
void options_mount_release(struct options_mount *o);
/* Takes a list as it stands after -o: "ro,cache=256M". Later ones win. A backslash takes the next
 * character as it is. With `sloppy`, unknown ones are ignored. 0, or -EINVAL with *why: one line
 * for the user, which the caller frees. */
int options_mount_parse(struct options_mount *o, const char *list, bool sloppy, char **why);

#endif
