/* cmd: see cmd.h. */
#include "mount/cmd.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

#include "fs/fs.h"
#include "mount/explain.h"
#include "mount/mounts.h"
#include "mount/tell.h"

/* The word that getopt_long() has just refused. */
static void describe(const struct cmd_line *line, char out[64])
{
    if (optopt > 0 && optopt < CMD_OPTION)
        snprintf(out, 64, "-%c", optopt);
    else
        snprintf(out, 64, "%.*s", (int)strcspn(line->argv[optind - 1], "="),
                 line->argv[optind - 1]);
}

static int refuse(const struct cmd_line *line, int found)
{
    char word[64];
    describe(line, word);
    if (found == ':')
        tell_usage(line->name, "option '%s' needs a value", word);
    else if (optopt >= CMD_OPTION || (optopt && strncmp(line->argv[optind - 1], "--", 2) == 0))
        tell_usage(line->name, "option '%.*s' takes no value",
                   (int)strcspn(line->argv[optind - 1], "="), line->argv[optind - 1]);
    else
        tell_usage(line->name, "unknown option '%s'", word);
    return line->usage_status;
}

int cmd_next(const struct cmd_line *line, int *status)
{
    assert(line->shorts[0] == ':');
    opterr = 0;
    int found = getopt_long(line->argc, line->argv, line->shorts, line->longs, NULL);
    switch (found) {
    case 'h':
        fputs(line->usage, stdout);
        *status = TELL_OK;
        return CMD_EXIT;
    case 'V':
        puts("varvefs " VARVEFS_VERSION);
        *status = TELL_OK;
        return CMD_EXIT;
    case '?':
    case ':':
        *status = refuse(line, found);
        return CMD_EXIT;
    default:
        return found;
    }
}

int cmd_operands(const struct cmd_line *line, int least, int most, const char *wanted)
{
    int count = line->argc - optind;
    assert(wanted && *wanted);
    assert(least <= most && count >= 0);
    if (count >= least && count <= most)
        return 0;
    if (count < least)
        tell_usage(line->name, "%s missing: %s",
                   count + 1 == least ? "an operand is" : "operands are", wanted);
    else
        tell_usage(line->name, "too much on the command line: '%s'", line->argv[optind + most]);
    return line->usage_status;
}

/* ---- places ---- */

void cmd_place_release(struct cmd_place *p)
{
    free(p->mount);
    free(p->volume);
    *p = (struct cmd_place){0};
}

static void take_mount(const struct mount_point *m, struct cmd_place *out)
{
    assert(mounts_is_ours(m) && !out->mount && !out->volume);
    out->mount = mem_strdup(m->dir);
    out->volume = mem_strdup(m->source);
}

/* Inside a mount of ours? 0 with *out, or 1. */
static int find_around(const char *path, struct cmd_place *out)
{
    struct mount_point part = {0}, whole = {0};
    int found = 1;
    if (mounts_around(path, &part) == 0 && mounts_is_ours(&part) &&
        mounts_whole(&part, &whole) == 0) {
        take_mount(&whole, out);
        found = 0;
    }
    mounts_release(&part);
    mounts_release(&whole);
    return found;
}

int cmd_find_place(const char *path, struct cmd_place *out)
{
    struct mount_point m = {0};
    char *real = mounts_real_path(path);
    assert(!real || *real == '/');
    int status = 0, err;
    *out = (struct cmd_place){0};
    if (!real)
        return tell_error("%s: %s", path, strerror(errno));
    if (find_around(real, out) == 0) {
        if (mounts_is_dead(out->mount))
            status = tell_error(
                "%s: mounted, but its daemon has ended; take it down with: varvefs umount %s", path,
                out->mount);
    } else if ((err = explain_is_volume(real)) < 0) {
        status = explain_volume(path, err);
    } else if (mounts_of_volume(real, &m) == 0 && !mounts_is_dead(m.dir)) {
        take_mount(&m, out);
    } else {
        out->volume = mem_strdup(real);
    }
    mounts_release(&m);
    free(real);
    if (status != 0)
        cmd_place_release(out);
    return status;
}

/* ---- signals ---- */

static volatile sig_atomic_t cancelled;

static void cancel(int signal_number)
{
    (void)signal_number;
    cancelled = 1;
}

void cmd_catch_signals(void)
{
    /* Without SA_RESTART: who waits for input is to wake. */
    const struct sigaction action = {.sa_handler = cancel};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool cmd_cancelled(void)
{
    return cancelled;
}

void cmd_nap(void)
{
    struct timespec t = {.tv_nsec = 100 * 1000 * 1000};
    nanosleep(&t, NULL);
}

int cmd_ask_mount(const char *mount, const char *name, struct buf *out)
{
    enum { REPORT_MAX = 64 << 10 }; /* of an attribute, as the kernel has it */
    char *path = mem_printf("%s/" FS_CONTROL_NAME, mount);
    ssize_t len = getxattr(path, name, buf_reserve(out, REPORT_MAX), REPORT_MAX);
    int err = len < 0 ? -errno : 0;
    out->len = len > 0 ? (size_t)len : 0;
    buf_put_u8(out, 0);
    free(path);
    return err;
}
