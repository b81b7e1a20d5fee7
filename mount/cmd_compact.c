/* cmd_compact: brings everything in a volume to the bottom of its tree, which frees what nobody can
 * see any more; or has the daemon of a mount do it.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/fs.h"
#include "mount/cmd.h"
#include "mount/control.h"
#include "mount/explain.h"
#include "mount/json.h"
#include "mount/passphrase.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs compact [options] VOLUME|MOUNTPOINT\n"
    "\n"
    "Compacts all of a volume now, instead of when it is worth it: what was deleted and "
    "overwritten,\n"
    "and no snapshot holds, gives its space back, and reads find everything in one place. Of a\n"
    "mounted volume the daemon does it, while the mount is in use. Ctrl-C gives it up: nothing is\n"
    "lost, and what was done stays done.\n"
    "\n"
    "  --status              only tell how far the one on the mount is\n"
    "  --stop                give up the one that runs on the mount\n"
    "  --no-wait             start it on the mount and return\n"
    "  --json                print the report as JSON\n" CMD_PASSPHRASE_HELP
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n"
    "\n"
    "Exit status: 0 done, 1 could not be done, 2 wrong command line, 32 given up.\n";

enum { OPT_STATUS = CMD_OPTION, OPT_STOP, OPT_NO_WAIT, OPT_JSON };
enum { COMPACT_GIVEN_UP = 32 };

static const struct option longs[] = {
    {"status", no_argument, NULL, OPT_STATUS},
    {"stop", no_argument, NULL, OPT_STOP},
    {"no-wait", no_argument, NULL, OPT_NO_WAIT},
    {"json", no_argument, NULL, OPT_JSON},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

struct compact {
    struct passphrase_source source;
    const char *shown; /* as on the command line */
    struct cmd_place place;
    bool status_only, stop, no_wait, as_json;
};

/* ---- the report ---- */

static const char *state_of(const struct control_compact_status *s)
{
    return s->number == 0        ? "never"
           : s->running          ? "running"
           : s->result == -EINTR ? "given up"
           : s->result < 0       ? "failed"
                                 : "done";
}

static uint64_t freed_bytes(const struct control_compact_status *s)
{
    return s->before_bytes > s->after_bytes ? s->before_bytes - s->after_bytes : 0;
}

static void report_json(const struct compact *c, const struct control_compact_status *s)
{
    struct json j;
    json_init(&j, stdout);
    json_object(&j, NULL);
    json_string(&j, "volume", c->place.volume);
    json_string(&j, "state", state_of(s));
    if (!s->running && s->result < 0)
        json_string(&j, "error", strerror(-s->result));
    json_uint(&j, "jobs", s->jobs);
    json_uint(&j, "done_bytes", s->done_bytes);
    json_uint(&j, "total_bytes", s->total_bytes);
    json_uint(&j, "before_bytes", s->before_bytes);
    json_uint(&j, "after_bytes", s->after_bytes);
    json_uint(&j, "freed_bytes", freed_bytes(s));
    json_close(&j);
}

static void report_text(const struct compact *c, const struct control_compact_status *s)
{
    char before[TELL_BYTES_MAX], after[TELL_BYTES_MAX], freed[TELL_BYTES_MAX];
    char done[TELL_BYTES_MAX], total[TELL_BYTES_MAX];
    tell_bytes(s->before_bytes, before);
    tell_bytes(s->after_bytes, after);
    tell_bytes(freed_bytes(s), freed);
    tell_bytes(s->done_bytes, done);
    tell_bytes(s->total_bytes, total);
    tell_name(c->shown);
    if (s->number == 0)
        puts(": not compacted on demand since it was mounted");
    else if (s->running)
        printf(": compacting, %s of about %s read\n", done, total);
    else if (s->result == -EINTR)
        printf(": given up after %s of about %s\n", done, total);
    else if (s->result < 0)
        printf(": could not be compacted: %s\n", strerror(-s->result));
    else
        printf(": compacted; %s before, %s after, %s freed\n", before, after, freed);
}

static void report(const struct compact *c, const struct control_compact_status *s)
{
    tell_progress_end();
    if (c->as_json)
        report_json(c, s);
    else
        report_text(c, s);
}

static int explain(const struct compact *c, int err)
{
    switch (err) {
    case -EINTR:
        tell_error("%s: given up; nothing is lost, and what was done stays done", c->shown);
        return COMPACT_GIVEN_UP;
    case -ENOSPC:
        return tell_error("%s: no space left for it: a compaction takes some before it gives any "
                          "back; free some on the disk, or delete files and snapshots",
                          c->shown);
    case -EIO:
        return tell_error("%s: damaged, or a disk fails: not all could be compacted; see: varvefs "
                          "scrub %s",
                          c->shown, c->shown);
    case -EROFS:
        return tell_error("%s: it is read-only, or has become so after a failure", c->shown);
    default:
        return tell_error("%s: %s", c->shown, strerror(-err));
    }
}

/* Of one that has ended and that was waited for: the exit status. */
static int conclude(const struct compact *c, const struct control_compact_status *s)
{
    assert(!s->running);
    if (s->result == 0 || c->as_json)
        report(c, s);
    return s->result < 0 ? explain(c, s->result) : TELL_OK;
}

/* ---- of a volume that is not mounted ---- */

static int on_progress(void *ctx, const struct store_compaction *told)
{
    struct control_compact_status *s = ctx;
    s->jobs = told->jobs;
    s->done_bytes = told->done_bytes;
    s->total_bytes = told->total_bytes;
    tell_progress("varvefs: compact", told->done_bytes, told->total_bytes);
    return cmd_cancelled();
}

static void run_volume(struct fs *fs, struct control_compact_status *s)
{
    struct fs_stats stats;
    *s = (struct control_compact_status){.number = 1};
    s->result = fs_get_stats(fs, &stats);
    if (s->result < 0)
        return;
    s->before_bytes = s->after_bytes = stats.store.space_used_bytes;
    s->result = fs_compact_watched(fs, on_progress, s);
    if (fs_get_stats(fs, &stats) == 0)
        s->after_bytes = stats.store.space_used_bytes;
    tell_progress_end();
}

static int compact_volume(const struct compact *c)
{
    struct passphrase passphrase;
    struct control_compact_status s;
    struct fs_options o;
    struct fs *fs;
    if (passphrase_of_volume(&c->source, c->place.volume, &passphrase) != 0)
        return TELL_FAILED;
    cmd_catch_signals(); /* not before: at the passphrase Ctrl-C ends the program */
    fs_options_init(&o);
    o.secret = &passphrase.secret;
    int err = fs_open(c->place.volume, &o, &fs);
    passphrase_wipe(&passphrase);
    if (err < 0)
        return explain_volume(c->shown, err);
    run_volume(fs, &s);
    err = fs_close(fs);
    if (s.result == 0 && err < 0)
        return explain_volume(c->shown, err);
    return conclude(c, &s);
}

/* ---- of a mount: the attribute of its root ---- */

static int mount_tell(const struct compact *c, const char *word)
{
    if (setxattr(c->place.mount, CONTROL_XATTR_COMPACT, word, strlen(word), 0) == 0)
        return TELL_OK;
    if (errno == EACCES || errno == EPERM)
        return tell_error("%s: only the owner of the mounted folder and root may compact it",
                          c->shown);
    if (errno == EAGAIN)
        return tell_error("%s: a compaction is just being given up; try again", c->shown);
    return explain(c, -errno);
}

static int mount_ask(const struct compact *c, struct control_compact_status *s)
{
    char text[CONTROL_COMPACT_TEXT_MAX] = "";
    if (getxattr(c->place.mount, CONTROL_XATTR_COMPACT, text, sizeof text - 1) < 0)
        return errno == ENODATA || errno == ENOTCONN || errno == EOPNOTSUPP
                   ? tell_error("%s: no longer mounted; a compaction is given up with that, and "
                                "nothing is lost",
                                c->shown)
                   : tell_error("%s: %s", c->shown, strerror(errno));
    if (control_compact_parse(text, s) != 0)
        return tell_error("%s: the daemon's answer is strange", c->shown);
    return TELL_OK;
}

/* Until it has ended. Asked to end, this gives the compaction up, too. */
static int watch_mount(const struct compact *c, struct control_compact_status *s)
{
    bool told = c->stop;
    int status = mount_ask(c, s);
    while (status == TELL_OK && s->running) {
        if (cmd_cancelled() && !told) {
            status = mount_tell(c, "stop");
            told = true;
        }
        tell_progress("varvefs: compact", s->done_bytes, s->total_bytes);
        cmd_nap();
        if (status == TELL_OK)
            status = mount_ask(c, s);
    }
    tell_progress_end();
    return status;
}

static int compact_mount(const struct compact *c)
{
    struct control_compact_status s;
    bool starts = !c->stop && !c->status_only;
    cmd_catch_signals();
    int status = c->status_only ? TELL_OK : mount_tell(c, starts ? "start" : "stop");
    if (status == TELL_OK)
        status = c->status_only || (starts && c->no_wait) ? mount_ask(c, &s) : watch_mount(c, &s);
    if (status != TELL_OK)
        return status;
    if (starts && !c->no_wait)
        return conclude(c, &s);
    report(c, &s);
    return TELL_OK;
}

static int run(struct compact *c)
{
    int status = cmd_find_place(c->shown, &c->place);
    if (status != TELL_OK)
        return status;
    if (c->place.mount)
        return compact_mount(c);
    if (c->status_only || c->stop || c->no_wait)
        return tell_error("%s: it is not mounted", c->shown);
    return compact_volume(c);
}

int cmd_compact(int argc, char **argv)
{
    const struct cmd_line line = {.name = "compact",
                                  .usage = usage,
                                  .shorts = ":hV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct compact c = {0};
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        c.status_only |= option == OPT_STATUS;
        c.stop |= option == OPT_STOP;
        c.no_wait |= option == OPT_NO_WAIT;
        c.as_json |= option == OPT_JSON;
        passphrase_option(&c.source, option, optarg);
    }
    status = cmd_operands(&line, 1, 1, "VOLUME or MOUNTPOINT");
    if (status != 0)
        return status;
    if (c.status_only + c.stop + c.no_wait > 1)
        return tell_usage("compact", "only one of --status, --stop and --no-wait");
    c.shown = argv[optind];
    status = run(&c);
    cmd_place_release(&c.place);
    return status;
}
