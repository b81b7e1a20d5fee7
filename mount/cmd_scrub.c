/* cmd_scrub: reads a whole volume and heals what can be healed; or has the daemon of a mount do it.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/fs.h"
#include "mount/cmd.h"
#include "mount/control.h"
#include "mount/explain.h"
#include "mount/json.h"
#include "mount/options.h"
#include "mount/passphrase.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs scrub [options] VOLUME|MOUNTPOINT\n"
    "\n"
    "Reads every file of the volume and verifies its checksums. What is damaged and has parity is\n"
    "healed; files without the parity that the settings ask for get it. A scrub that was "
    "interrupted\n"
    "goes on where it was. Of a mounted volume the daemon does it, in the background.\n"
    "\n"
    "  --status              only tell how far it is\n"
    "  --stop                stop the one that runs on the mount; it can be gone on with\n"
    "  --no-wait             start it on the mount and return\n"
    "  --rate=SIZE           read no more than so many bytes a second (of a volume that is not\n"
    "                        mounted; default: no limit)\n"
    "  --json                print the report as JSON\n" CMD_PASSPHRASE_HELP
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n"
    "\n"
    "Exit status: 0 no damage, 1 damage was met and repaired, 4 damage is left, 8 could not be\n"
    "scrubbed, 16 wrong command line, 32 interrupted by Ctrl-C.\n";

enum { OPT_STATUS = CMD_OPTION, OPT_STOP, OPT_NO_WAIT, OPT_RATE, OPT_JSON };
enum scrub_exit {
    SCRUB_CLEAN = 0,
    SCRUB_REPAIRED = 1,
    SCRUB_DAMAGED = 4,
    SCRUB_FAILED = 8,
    SCRUB_USAGE = 16,
    SCRUB_CANCELLED = 32
};

static const struct option longs[] = {
    {"status", no_argument, NULL, OPT_STATUS},
    {"stop", no_argument, NULL, OPT_STOP},
    {"no-wait", no_argument, NULL, OPT_NO_WAIT},
    {"rate", required_argument, NULL, OPT_RATE},
    {"json", no_argument, NULL, OPT_JSON},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

struct scrub {
    struct passphrase_source source;
    const char *shown; /* as on the command line */
    struct cmd_place place;
    bool status_only, stop, no_wait, as_json;
    uint64_t rate;
};

/* ---- the report ---- */

static int exit_status(const struct store_scrub_status *s)
{
    return s->damaged ? SCRUB_DAMAGED : s->repaired ? SCRUB_REPAIRED : SCRUB_CLEAN;
}

static void report_json(const struct scrub *c, const struct store_scrub_status *s)
{
    char started[TELL_TIME_MAX], ended[TELL_TIME_MAX];
    struct json j;
    json_init(&j, stdout);
    json_object(&j, NULL);
    json_string(&j, "volume", c->place.volume);
    json_bool(&j, "running", s->running);
    json_uint(&j, "passes", s->passes);
    if (s->started_ns) {
        tell_time_utc(s->started_ns, started);
        json_string(&j, "started", started);
    }
    if (s->ended_ns) {
        tell_time_utc(s->ended_ns, ended);
        json_string(&j, "ended", ended);
    }
    json_uint(&j, "file", s->file);
    json_uint(&j, "offset", s->offset);
    json_uint(&j, "done_bytes", s->done_bytes);
    json_uint(&j, "total_bytes", s->total_bytes);
    json_uint(&j, "frames", s->frames);
    json_uint(&j, "repaired", s->repaired);
    json_uint(&j, "damaged", s->damaged);
    json_uint(&j, "parity_made", s->parity_made);
    json_close(&j);
}

static void report_text(const struct scrub *c, const struct store_scrub_status *s)
{
    char done[TELL_BYTES_MAX], total[TELL_BYTES_MAX], when[TELL_TIME_MAX];
    tell_bytes(s->done_bytes, done);
    tell_bytes(s->total_bytes, total);
    tell_name(c->shown);
    if (!s->started_ns) {
        puts(": never scrubbed");
        return;
    }
    if (s->ended_ns) {
        tell_time(s->ended_ns, when);
        printf(": scrubbed on %s, %s", when, done);
    } else {
        printf(": %s of %s scrubbed%s", done, total, s->running ? "" : ", stopped");
    }
    printf("; repaired %" PRIu64 ", damaged %" PRIu64, s->repaired, s->damaged);
    if (s->parity_made)
        printf(", parity made for %" PRIu64 " files", s->parity_made);
    putchar('\n');
}

static int report(const struct scrub *c, const struct store_scrub_status *s)
{
    tell_progress_end();
    if (c->as_json)
        report_json(c, s);
    else
        report_text(c, s);
    return exit_status(s);
}

/* ---- of a volume that is not mounted ---- */

static int on_finding(void *ctx, const struct store_finding *f)
{
    const struct scrub *c = ctx;
    if (c->as_json)
        return 0;
    tell_progress_end();
    printf("E%d ", f->code);
    tell_name(f->file);
    printf(" at %" PRIu64 ": %s\n", f->offset, f->text);
    fflush(stdout);
    return 0;
}

static int run_volume(struct scrub *c, struct fs *fs)
{
    struct store_scrub_status s;
    int err = 0;
    fs_scrub_listen(fs, on_finding, c);
    if (!c->status_only)
        err = fs_scrub_start(fs);
    fs_scrub_status(fs, &s);
    while (err >= 0 && !c->status_only && !cmd_cancelled()) {
        err = fs_scrub_step(fs);
        fs_scrub_status(fs, &s);
        tell_progress("varvefs: scrub", s.done_bytes, s.total_bytes);
        if (err == 1 && !s.running)
            break;
        if (err == 1)
            cmd_nap();
    }
    fs_scrub_listen(fs, NULL, NULL);
    if (err < 0) {
        tell_progress_end();
        explain_volume(c->shown, err);
        return SCRUB_FAILED;
    }
    int status = report(c, &s);
    return cmd_cancelled() ? SCRUB_CANCELLED : status;
}

static int scrub_volume(struct scrub *c)
{
    struct passphrase passphrase;
    struct fs_options o;
    struct fs *fs;
    if (passphrase_of_volume(&c->source, c->place.volume, &passphrase) != 0)
        return SCRUB_FAILED;
    fs_options_init(&o);
    o.secret = &passphrase.secret;
    o.workers = 0;
    o.read_only = c->status_only;
    o.scrub_rate = c->rate;
    int err = fs_open(c->place.volume, &o, &fs);
    passphrase_wipe(&passphrase);
    if (err < 0) {
        explain_volume(c->shown, err);
        return SCRUB_FAILED;
    }
    int status = run_volume(c, fs);
    err = fs_close(fs);
    if (err < 0 && status < SCRUB_FAILED) {
        explain_volume(c->shown, err);
        status = SCRUB_FAILED;
    }
    return status;
}

/* ---- of a mount: the attribute of its root ---- */

static int mount_tell(const struct scrub *c, const char *word)
{
    if (setxattr(c->place.mount, CONTROL_XATTR_SCRUB, word, strlen(word), 0) == 0)
        return 0;
    int err = -errno;
    if (err == -EACCES || err == -EPERM)
        tell_error("%s: only the owner of the mounted folder and root may scrub it", c->shown);
    else
        tell_error("%s: %s", c->shown, strerror(-err));
    return err;
}

static int mount_ask(const struct scrub *c, struct store_scrub_status *s)
{
    char text[CONTROL_SCRUB_TEXT_MAX] = "";
    ssize_t len = getxattr(c->place.mount, CONTROL_XATTR_SCRUB, text, sizeof text - 1);
    if (len < 0 || control_scrub_parse(text, s) != 0) {
        tell_error("%s: %s", c->shown,
                   len < 0 ? strerror(errno) : "the daemon's answer is strange");
        return -EIO;
    }
    return 0;
}

static int scrub_mount(struct scrub *c)
{
    struct store_scrub_status s;
    if (c->stop && mount_tell(c, "stop") < 0)
        return SCRUB_FAILED;
    bool watch = !c->stop && !c->status_only;
    if (watch && mount_tell(c, "start") < 0)
        return SCRUB_FAILED;
    watch = watch && !c->no_wait;
    do {
        if (mount_ask(c, &s) < 0)
            return SCRUB_FAILED;
        if (watch && s.running) {
            tell_progress("varvefs: scrub", s.done_bytes, s.total_bytes);
            cmd_nap();
        }
    } while (watch && s.running && !cmd_cancelled());
    int status = report(c, &s);
    if (cmd_cancelled()) {
        tell_note("%s: the scrub goes on in the background; stop it with: varvefs scrub --stop %s",
                  c->shown, c->shown);
        return SCRUB_CANCELLED;
    }
    return status;
}

static int set_rate(struct scrub *c, const char *text)
{
    if (options_size(text, &c->rate) == 0 && c->rate > 0)
        return 0;
    tell_usage("scrub", "'%s' is not a rate; write for example 32M", text);
    return SCRUB_USAGE;
}

int cmd_scrub(int argc, char **argv)
{
    const struct cmd_line line = {.name = "scrub",
                                  .usage = usage,
                                  .shorts = ":hV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = SCRUB_USAGE};
    struct scrub c = {.rate = UINT64_C(1) << 40};
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        c.status_only |= option == OPT_STATUS;
        c.stop |= option == OPT_STOP;
        c.no_wait |= option == OPT_NO_WAIT;
        c.as_json |= option == OPT_JSON;
        passphrase_option(&c.source, option, optarg);
        if (option == OPT_RATE && set_rate(&c, optarg) != 0)
            return SCRUB_USAGE;
    }
    status = cmd_operands(&line, 1, 1, "VOLUME or MOUNTPOINT");
    if (status != 0)
        return status;
    c.shown = argv[optind];
    if (cmd_find_place(c.shown, &c.place) != 0)
        return SCRUB_FAILED;
    cmd_catch_signals();
    if (!c.place.mount && (c.stop || c.no_wait)) {
        tell_error("%s: it is not mounted", c.shown);
        status = SCRUB_FAILED;
    } else {
        status = c.place.mount ? scrub_mount(&c) : scrub_volume(&c);
    }
    cmd_place_release(&c.place);
    return status;
}
