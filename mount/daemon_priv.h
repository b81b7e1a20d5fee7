/* daemon_priv: the parts of daemon.c. */
#ifndef VARVE_MOUNT_DAEMON_PRIV_H
#define VARVE_MOUNT_DAEMON_PRIV_H

#include <signal.h>

#include "mount/daemon.h"

/* What the daemon writes to the pipe when the mount is there; anything else is an exit status. */
enum { DAEMON_READY = 0x7f };

/* daemon.c: serves until the end. `ready_fd`: the pipe's end to report to; -1 in the foreground. */
int daemon_serve(struct daemon_config *c, int ready_fd);

/* daemon_process.c */
/* Fits the process for its life: signals blocked, many open files allowed; in the background, its
 * own session and nothing of the shell's left open but standard input, output and error. */
void daemon_prepare(int ready_fd);
/* The signals that end the daemon; blocks them in this thread. */
void daemon_signals(sigset_t *set);
/* Standard input, output and error to /dev/null. */
void daemon_close_stdio(void);

#endif
