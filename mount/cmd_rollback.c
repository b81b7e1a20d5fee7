/* cmd_rollback: makes a volume that is not mounted what it was at a snapshot. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mount/explain.h"
#include "mount/json.h"
#include "mount/reading.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs rollback [options] VOLUME SNAPSHOT\n"
    "\n"
    "Makes the present of the volume, which must not be mounted, what that snapshot is: all of "
    "it,\n"
    "at once, or nothing. The state before is kept as a snapshot, and all snapshots stay. It "
    "takes\n"
    "time and space in proportion to what has changed since the snapshot.\n"
    "\n"
    "  --keep=NAME           the name under which the state before is kept; otherwise\n"
    "                        before-rollback-TIME\n"
    "  --discard             for good: do not keep the state before, nor later snapshots; takes "
    "no\n"
    "                        time and no space, however much has changed\n"
    "  --json                print what was done as JSON\n"
    "  -q, --quiet           print nothing\n" CMD_PASSPHRASE_HELP
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n";

enum { OPT_KEEP = CMD_OPTION, OPT_DISCARD, OPT_JSON };

static const struct option longs[] = {
    {"keep", required_argument, NULL, OPT_KEEP},
    {"discard", no_argument, NULL, OPT_DISCARD},
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, 'q'},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

struct rollback {
    struct passphrase_source source;
    const char *shown, *snapshot, *keep;
    char kept[64]; /* the name that is made up */
    bool discard, as_json, quiet;
    struct cmd_place place;
    struct fs_rollback done;
};

static int explain_rollback(const struct rollback *r, int err)
{
    switch (err) {
    case -ENOENT:
    case -ENODATA:
        return tell_error("%s: there is no snapshot '%s'", r->shown, r->snapshot);
    case -EEXIST:
        return tell_error("%s: snapshot '%s' exists already; keep the state before under another "
                          "name with --keep=NAME",
                          r->shown, r->keep);
    case -EMLINK:
        return tell_error(
            "%s: there are %d snapshots already, and that is the most; delete one, or "
            "do without the state before with --discard",
            r->shown, FS_SNAPSHOTS_MAX);
    case -EINTR:
        return tell_error("%s: given up; nothing has changed", r->shown);
    case -ENOSPC:
        return tell_error("%s: no space left on the disk for what has changed since; nothing has "
                          "changed. --discard takes no space",
                          r->shown);
    default:
        return explain_volume(r->shown, err);
    }
}

static int on_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    (void)total;
    tell_count("records", done);
    return cmd_cancelled();
}

static int go_back(struct rollback *r, const struct fs_options *o)
{
    struct fs *fs;
    if (r->discard)
        return fs_rewind(r->place.volume, o, r->snapshot);
    int err = fs_open(r->place.volume, o, &fs);
    if (err < 0)
        return err == -ENOENT ? -ENOTDIR : err; /* it was a volume just now */
    cmd_catch_signals();
    err = fs_rollback(fs, r->snapshot, r->keep, on_progress, NULL, &r->done);
    tell_progress_end();
    int closed = fs_close(fs);
    return err < 0 ? err : closed;
}

static void report(const struct rollback *r)
{
    struct json j;
    if (r->as_json) {
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_string(&j, "volume", r->place.volume);
        json_string(&j, "snapshot", r->snapshot);
        if (!r->discard) {
            json_string(&j, "kept", r->keep);
            json_uint(&j, "restored_records", r->done.restored);
            json_uint(&j, "removed_records", r->done.removed);
            json_uint(&j, "restored_bytes", r->done.bytes);
        }
        json_close(&j);
    } else if (!r->quiet) {
        tell_name(r->shown);
        printf(": is now what it was at snapshot '");
        tell_name(r->snapshot);
        if (r->discard) {
            printf("'; what came after is gone\n");
            return;
        }
        printf("'; the state before is kept as '");
        tell_name(r->keep);
        printf("'\n");
    }
}

static void choose_name(struct rollback *r)
{
    struct timespec now;
    char time[TELL_TIME_MAX];
    if (r->keep)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    tell_time((int64_t)now.tv_sec * 1000000000 + now.tv_nsec, time);
    char *space = strchr(time, ' ');
    if (space)
        *space = 'T';
    snprintf(r->kept, sizeof r->kept, "before-rollback-%s", time);
    r->keep = r->kept;
}

static int run(struct rollback *r)
{
    struct passphrase passphrase;
    struct fs_options o;
    int status = cmd_find_place(r->shown, &r->place);
    if (status != 0)
        return status;
    if (r->place.mount)
        return tell_error("%s: mounted at %s; take it down first with: varvefs umount %s", r->shown,
                          r->place.mount, r->place.mount);
    if (passphrase_of_volume(&r->source, r->place.volume, &passphrase) != 0)
        return TELL_FAILED;
    choose_name(r);
    fs_options_init(&o);
    o.secret = &passphrase.secret;
    int err = go_back(r, &o);
    passphrase_wipe(&passphrase);
    if (err < 0)
        return explain_rollback(r, err);
    report(r);
    return 0;
}

int cmd_rollback(int argc, char **argv)
{
    const struct cmd_line line = {.name = "rollback",
                                  .usage = usage,
                                  .shorts = ":qhV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct rollback r = {0};
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        if (option == OPT_KEEP)
            r.keep = optarg;
        r.discard |= option == OPT_DISCARD;
        r.as_json |= option == OPT_JSON;
        r.quiet |= option == 'q';
        passphrase_option(&r.source, option, optarg);
    }
    if (r.keep && r.discard)
        return tell_usage("rollback", "--keep and --discard exclude each other");
    if (r.keep && !reading_is_snapshot_name(r.keep))
        return tell_usage("rollback", "'%s' cannot be a snapshot's name", r.keep);
    status = cmd_operands(&line, 2, 2, "VOLUME SNAPSHOT");
    if (status != 0)
        return status;
    r.shown = argv[optind];
    r.snapshot = argv[optind + 1];
    status = run(&r);
    cmd_place_release(&r.place);
    return status;
}
