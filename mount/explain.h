/* explain: what went wrong, in one line that says what to do. */
#ifndef VARVE_MOUNT_EXPLAIN_H
#define VARVE_MOUNT_EXPLAIN_H

#include <stdbool.h>
#include <sys/types.h>

/* Tells why a volume could not be opened or checked: `err` is what fs_open() or fs_check()
 * returned. Returns TELL_FAILED. */
int explain_volume(const char *path, int err);
/* The same for fs_make(). */
int explain_make(const char *path, int err);
/* Is there a volume in the folder (a CURRENT file)? 0, or the negative errno that says why not: for
 * explain_volume(). */
int explain_is_volume(const char *path);
/* The process that has the volume open, as its LOCK file says; 0: unknown. */
pid_t explain_holder(const char *volume);

/* Tells why this process cannot mount, if that can be told beforehand: no /dev/fuse, no permission,
 * no user_allow_other. 0, or TELL_FAILED. `shared`: with allow_other or allow_root. */
int explain_fuse(bool shared);
/* Tells why mounting failed; `libfuse_said`: what libfuse said, may be "". Returns TELL_FAILED. */
int explain_mount(const char *dir, const char *libfuse_said);
/* Tells why taking down failed. Returns TELL_FAILED. */
int explain_unmount(const char *dir, int err);

#endif
