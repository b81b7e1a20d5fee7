/* cmd: the commands, and how each reads its command line. A command gets argv with its own name in
 * argv[0] and returns the exit status. */
#ifndef VARVE_MOUNT_CMD_H
#define VARVE_MOUNT_CMD_H

#include <getopt.h>
#include <stdbool.h>

int cmd_mkfs(int argc, char **argv);
int cmd_mount(int argc, char **argv);
/* As mount(8) calls its helpers: there -f means "pretend", -n and -v are known, and -s lets unknown
 * options pass. */
int cmd_mount_helper(int argc, char **argv);
int cmd_umount(int argc, char **argv);
int cmd_fsck(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_rollback(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_send(int argc, char **argv);
int cmd_receive(int argc, char **argv);
int cmd_clone(int argc, char **argv);
int cmd_checkpoint(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_scrub(int argc, char **argv);
int cmd_compact(int argc, char **argv);
int cmd_salvage(int argc, char **argv);
int cmd_key(int argc, char **argv);

/* A command line that is being read. */
struct cmd_line {
    const char *name;           /* of the command, for messages */
    const char *usage;          /* what --help prints */
    const char *shorts;         /* as for getopt_long(3), beginning with ":" */
    const struct option *longs; /* ends with {0} */
    int argc;
    char **argv;
    int usage_status; /* for a wrong command line */
};
/* Values for long options without a letter. */
enum { CMD_OPTION = 256 };
/* Every command has these. */
#define CMD_COMMON                        \
    {"help", no_argument, NULL, 'h'},     \
    {                                     \
        "version", no_argument, NULL, 'V' \
    }

enum { CMD_END = -1, CMD_EXIT = -2 };
/* The next option's value, with its argument in `optarg`; CMD_END when only operands are left, from
 * argv[optind] on; or CMD_EXIT: --help or --version were served or an unknown option was refused,
 * and *status is what to exit with. */
int cmd_next(const struct cmd_line *line, int *status);
/* Refuses a number of operands outside [least, most]; `wanted` names them: "VOLUME MOUNTPOINT". 0
 * or the exit status. */
int cmd_operands(const struct cmd_line *line, int least, int most, const char *wanted);

/* From now on Ctrl-C and SIGTERM do not end the program: cmd_cancelled() tells that one came. */
void cmd_catch_signals(void);
bool cmd_cancelled(void);
/* Between two looks at how far a daemon is: a tenth of a second, less if a signal comes. */
void cmd_nap(void);

/* What a command is to work on: a mounted file system, or a volume that is not mounted. */
struct cmd_place {
    char *mount;  /* where it is mounted, or NULL */
    char *volume; /* absolute path */
};
/* Finds out what `path` is: anything inside of a mount of ours, or a volume (mounted or not). 0, or
 * an exit status after telling why. */
int cmd_find_place(const char *path, struct cmd_place *out);
void cmd_place_release(struct cmd_place *p);

/* What a mount tells of itself under that name (report.h), into `*out`, with a NUL. 0 or a negative
 * errno. */
struct buf;
int cmd_ask_mount(const char *mount, const char *name, struct buf *out);

#endif
