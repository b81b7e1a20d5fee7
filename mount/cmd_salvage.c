/* cmd_salvage: makes a volume that can be mounted of what is left of one. Exit statuses are those
 * of fsck(8). */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs.h"
#include "mount/cmd.h"
#include "mount/explain.h"
#include "mount/json.h"
#include "mount/passphrase.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs salvage [options] VOLUME\n"
    "\n"
    "For a volume that does not mount, or of which fsck finds tables damaged: makes a volume of\n"
    "everything in it that can still be read. Nothing is removed; what is replaced and could not "
    "be\n"
    "read whole is kept as NAME.damaged. It may be interrupted and started again. It takes as "
    "much\n"
    "space as the volume's tables. If you can, copy the folder first.\n"
    "\n"
    "  -y, --yes             do not ask\n"
    "  --json                print the report as JSON\n" CMD_PASSPHRASE_HELP
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n"
    "\n"
    "Exit status: 0 there was nothing to do, 1 the volume was repaired and nothing is lost, 4 it "
    "was\n"
    "repaired as far as possible, 8 it could not be, 16 wrong command line, 32 not agreed to.\n";

enum { OPT_JSON = CMD_OPTION };
enum salvage_exit {
    SALVAGE_NOTHING = 0,
    SALVAGE_WHOLE = 1,
    SALVAGE_LOSSES = 4,
    SALVAGE_FAILED = 8,
    SALVAGE_USAGE = 16,
    SALVAGE_CANCELLED = 32
};

static const struct option longs[] = {
    {"yes", no_argument, NULL, 'y'},
    {"json", no_argument, NULL, OPT_JSON},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

struct salvage {
    const char *volume;
    bool yes, as_json;
    struct passphrase_source source;
    struct json json;
};

static int on_finding(void *ctx, const struct store_finding *f)
{
    static const char letters[] = {'N', 'W', 'E'};
    static const char *const names[] = {"note", "warning", "damage"};
    struct salvage *s = ctx;
    assert(f->severity <= STORE_DAMAGE);
    if (s->as_json) {
        json_object(&s->json, NULL);
        json_int(&s->json, "code", f->code);
        json_string(&s->json, "severity", names[f->severity]);
        if (*f->file)
            json_string(&s->json, "file", f->file);
        if (f->offset != UINT64_MAX)
            json_uint(&s->json, "offset", f->offset);
        json_string(&s->json, "text", f->text);
        json_close(&s->json);
        return 0;
    }
    tell_progress_end();
    printf("%c%d ", letters[f->severity], f->code);
    tell_name(f->file);
    if (f->offset != UINT64_MAX)
        printf(" at %" PRIu64, f->offset);
    printf("%s%s\n", *f->file ? ": " : "", f->text);
    fflush(stdout);
    return 0;
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    tell_progress("varvefs: salvage", done, total);
}

static int exit_status(int err, const struct store_salvage_report *r)
{
    if (err < 0)
        return SALVAGE_FAILED;
    if (err == 1)
        return SALVAGE_NOTHING;
    return r->losses || r->pins_lost ? SALVAGE_LOSSES : SALVAGE_WHOLE;
}

static void report_json(struct salvage *s, int err, const struct store_salvage_report *r)
{
    json_close(&s->json); /* the findings */
    json_bool(&s->json, "complete", err >= 0);
    json_bool(&s->json, "needed", err == 0);
    json_uint(&s->json, "tables_kept", r->tables_kept);
    json_uint(&s->json, "tables_rebuilt", r->tables_rebuilt);
    json_uint(&s->json, "entries", r->entries);
    json_uint(&s->json, "blob_files", r->blob_files);
    json_uint(&s->json, "logs", r->logs);
    json_uint(&s->json, "operations", r->operations);
    json_uint(&s->json, "losses", r->losses);
    json_bool(&s->json, "snapshots_lost", r->pins_lost);
    json_close(&s->json);
}

static void report_text(const struct salvage *s, int err, const struct store_salvage_report *r)
{
    tell_name(s->volume);
    if (err == 1) {
        puts(": there is nothing to repair; verify it with: varvefs fsck");
        return;
    }
    printf(": repaired; %" PRIu64 " tables whole, %" PRIu64 " in parts, %" PRIu64
           " operations from %" PRIu64 " logs",
           r->tables_kept, r->tables_rebuilt, r->operations, r->logs);
    if (r->losses)
        printf("; %" PRIu64 " LOSSES, see above", r->losses);
    puts("; now verify it with: varvefs fsck");
}

static int run(struct salvage *s)
{
    struct passphrase passphrase;
    struct fs_options o;
    struct store_salvage_report r;
    if (passphrase_of_volume(&s->source, s->volume, &passphrase) != 0)
        return SALVAGE_FAILED;
    fs_options_init(&o);
    o.secret = &passphrase.secret;
    if (s->as_json) {
        json_init(&s->json, stdout);
        json_object(&s->json, NULL);
        json_string(&s->json, "volume", s->volume);
        json_list(&s->json, "findings");
    }
    int err = fs_salvage(s->volume, &o, on_finding, on_progress, s, &r);
    passphrase_wipe(&passphrase);
    tell_progress_end();
    if (s->as_json)
        report_json(s, err, &r);
    if (err < 0)
        explain_volume(s->volume, err);
    else if (!s->as_json)
        report_text(s, err, &r);
    return exit_status(err, &r);
}

/* On a terminal the user is asked; elsewhere -y is needed. */
static bool agreed(const struct salvage *s)
{
    char answer[16];
    if (s->yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        tell_error("%s: salvage changes the volume: say -y if that is what you want", s->volume);
        return false;
    }
    fprintf(stderr, "Repair %s with what can still be read of it? Nothing is removed. [y/N] ",
            s->volume);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

int cmd_salvage(int argc, char **argv)
{
    const struct cmd_line line = {.name = "salvage",
                                  .usage = usage,
                                  .shorts = ":yhV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = SALVAGE_USAGE};
    struct salvage s = {0};
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        s.yes |= option == 'y';
        s.as_json |= option == OPT_JSON;
        passphrase_option(&s.source, option, optarg);
    }
    status = cmd_operands(&line, 1, 1, "VOLUME");
    if (status != 0)
        return status;
    s.volume = argv[optind];
    return agreed(&s) ? run(&s) : SALVAGE_CANCELLED;
}
