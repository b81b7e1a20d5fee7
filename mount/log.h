/* log: where the daemon's messages go: those of the layers below (err.h) and libfuse's.
 * Process-wide. */
#ifndef VARVE_MOUNT_LOG_H
#define VARVE_MOUNT_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* From here on messages go to standard error as "varvefs: ...": errors and warnings, with `verbose`
 * all. To be called once, before threads are started. */
void log_start(bool verbose);
/* From here on they go to the file (opened for appending, with date and time), or to the system log
 * if `path` is NULL. 0 or a negative errno; then nothing has changed. May be called while other
 * threads write messages. */
int log_redirect(const char *path);
/* libfuse's errors and warnings between these two go to a text, which the caller frees ("" if there
 * were none), and no there were none. For mounting, where they have to be explained. */
void log_keep_begin(void);
char *log_keep_end(void);

#endif
