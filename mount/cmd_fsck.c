/* cmd_fsck: verifies a volume without changing it. Exit statuses are those of fsck(8). */
#include <assert.h>
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
    "usage: varvefs fsck [options] VOLUME\n"
    "       fsck.varvefs [options] VOLUME\n"
    "\n"
    "Reads a volume that is not mounted, all of it, and proves that everything fits together: the "
    "store's\n"
    "files, and in them the tree of folders and files, now and in every snapshot. Changes "
    "nothing.\n"
    "\n"
    "  -n                    (always so) change nothing\n"
    "  -a, -p, -y            accepted for fsck(8); this version does not repair\n"
    "  -f                    accepted for fsck(8); every check is a full one\n"
    "  --no-snapshots        leave the trees of the snapshots out\n"
    "  -v, --verbose         also print notes, such as the unfinished last record after a crash\n"
    "  --json                print the report as JSON\n" CMD_PASSPHRASE_HELP
    "                        of an encrypted volume; with -a or -p, and where nobody can be "
    "asked,\n"
    "                        its checksums are verified without\n"
    "  --keyless             verify the checksums of an encrypted volume without its passphrase\n"
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n"
    "\n"
    "Findings are printed as E (damage), W (untidy, harmless) or N (note) with a number that the\n"
    "documentation explains, the file or path, and what is wrong.\n"
    "\n"
    "Exit status: 0 no damage, 4 damage was found, 8 could not be checked, 16 wrong command line,\n"
    "32 cancelled by Ctrl-C.\n";

enum { OPT_NO_SNAPSHOTS = CMD_OPTION, OPT_JSON, OPT_KEYLESS };
enum fsck_exit {
    FSCK_CLEAN = 0,
    FSCK_DAMAGED = 4,
    FSCK_FAILED = 8,
    FSCK_USAGE = 16,
    FSCK_CANCELLED = 32
};

static const struct option longs[] = {
    {"no-snapshots", no_argument, NULL, OPT_NO_SNAPSHOTS},
    {"verbose", no_argument, NULL, 'v'},
    {"json", no_argument, NULL, OPT_JSON},
    {"keyless", no_argument, NULL, OPT_KEYLESS},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

struct fsck {
    const char *volume;
    bool snapshots, verbose, as_json;
    bool keyless;    /* an encrypted volume is looked at without its key */
    bool unattended; /* nobody is to be asked */
    struct passphrase_source source;
    struct json json;
};

/* Nothing has been changed, so there is nothing to undo. */
static void cancel(int signal_number)
{
    static const char text[] = "\nvarvefs: fsck: cancelled\n";
    (void)signal_number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(FSCK_CANCELLED);
    _exit(FSCK_CANCELLED);
}

static char letter(enum store_severity severity)
{
    return severity == STORE_DAMAGE ? 'E' : severity == STORE_WARNING ? 'W' : 'N';
}

static void finding_json(struct json *j, const struct store_finding *f)
{
    static const char *const names[] = {"note", "warning", "damage"};
    assert(f->severity <= STORE_DAMAGE && f->file && f->text);
    json_object(j, NULL);
    json_int(j, "code", f->code);
    json_string(j, "severity", names[f->severity]);
    if (*f->file)
        json_string(j, "file", f->file);
    if (f->offset != UINT64_MAX)
        json_uint(j, "offset", f->offset);
    json_string(j, "text", f->text);
    json_close(j);
}

static int on_finding(void *ctx, const struct store_finding *f)
{
    struct fsck *k = ctx;
    assert(f->code >= 100 && f->code < 300 && f->text);
    if (k->as_json) {
        finding_json(&k->json, f);
        return 0;
    }
    if (f->severity == STORE_NOTE && !k->verbose)
        return 0;
    tell_progress_end();
    printf("%c%d ", letter(f->severity), f->code);
    if (*f->file)
        tell_name(f->file);
    if (f->offset != UINT64_MAX)
        printf(" at %" PRIu64, f->offset);
    printf("%s%s\n", *f->file || f->offset != UINT64_MAX ? ": " : "", f->text);
    fflush(stdout);
    return 0;
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    tell_progress("varvefs: fsck", done < total ? done : total, total);
}

static void report_json(struct fsck *k, const struct fs_check_report *r, int err)
{
    json_close(&k->json); /* the findings */
    json_bool(&k->json, "complete", err == 0 && !k->keyless);
    json_bool(&k->json, "keyless", k->keyless);
    json_bool(&k->json, "clean", err == 0 && r->damages == 0);
    json_uint(&k->json, "damages", r->damages);
    json_uint(&k->json, "warnings", r->warnings);
    json_uint(&k->json, "notes", r->notes);
    json_uint(&k->json, "inodes", r->inodes);
    json_uint(&k->json, "folders", r->folders);
    json_uint(&k->json, "files", r->files);
    json_uint(&k->json, "symlinks", r->symlinks);
    json_uint(&k->json, "others", r->others);
    json_uint(&k->json, "entries", r->entries);
    json_uint(&k->json, "chunks", r->chunks);
    json_uint(&k->json, "bytes", r->bytes);
    json_close(&k->json);
}

static void report_text(const struct fsck *k, const struct fs_check_report *r)
{
    char bytes[TELL_BYTES_MAX];
    assert(k->volume && !k->as_json);
    tell_bytes(r->bytes, bytes);
    tell_name(k->volume);
    if (k->keyless) {
        if (r->damages)
            printf(": DAMAGED, %" PRIu64 " finding%s", r->damages, r->damages == 1 ? "" : "s");
        else
            fputs(": no damage, as far as can be told without the key", stdout);
        puts("; whether all fits together, and the files in it, were not looked at");
        return;
    }
    if (r->damages)
        printf(": DAMAGED, %" PRIu64 " finding%s", r->damages, r->damages == 1 ? "" : "s");
    else
        fputs(": clean", stdout);
    if (r->warnings)
        printf(", %" PRIu64 " warning%s", r->warnings, r->warnings == 1 ? "" : "s");
    printf("; %" PRIu64 " folders, %" PRIu64 " files, %" PRIu64 " others, %s\n", r->folders,
           r->files, r->symlinks + r->others, bytes);
}

/* Gets the passphrase, if there is to be one. 0 or an exit status. */
static int unlock(struct fsck *k, struct passphrase *p)
{
    struct store_keys keys;
    bool given = k->source.file || k->source.command;
    *p = (struct passphrase){0};
    int err = fs_keys_get(k->volume, &keys);
    if (err == 1)
        k->keyless = false; /* there is no key to be without */
    else if (err == 0 && !given && (k->unattended || !passphrase_is_at_hand(&k->source)))
        k->keyless = true;
    return k->keyless || passphrase_of_volume(&k->source, k->volume, p) == 0 ? 0 : FSCK_FAILED;
}

static int run_check(struct fsck *k, const struct passphrase *p, struct fs_check_report *report)
{
    struct fs_options o;
    if (k->keyless)
        return fs_check_keyless(k->volume, on_finding, on_progress, k, report);
    fs_options_init(&o);
    o.read_only = true;
    o.secret = &p->secret;
    return fs_check(k->volume, &o, k->snapshots, on_finding, on_progress, k, report);
}

static int check(struct fsck *k)
{
    struct fs_check_report report = {0};
    struct passphrase passphrase;
    int status = unlock(k, &passphrase);
    if (status != 0)
        return status;
    signal(SIGINT, cancel);
    signal(SIGTERM, cancel);
    if (k->as_json) {
        json_init(&k->json, stdout);
        json_object(&k->json, NULL);
        json_string(&k->json, "volume", k->volume);
        json_list(&k->json, "findings");
    }
    int err = run_check(k, &passphrase, &report);
    passphrase_wipe(&passphrase);
    tell_progress_end();
    if (k->as_json)
        report_json(k, &report, err);
    if (err < 0) {
        explain_volume(k->volume, err);
        return FSCK_FAILED;
    }
    if (!k->as_json)
        report_text(k, &report);
    return report.damages ? FSCK_DAMAGED : FSCK_CLEAN;
}

int cmd_fsck(int argc, char **argv)
{
    const struct cmd_line line = {.name = "fsck",
                                  .usage = usage,
                                  .shorts = ":napyfvC::hV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = FSCK_USAGE};
    struct fsck k = {.snapshots = true};
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        if (option == OPT_NO_SNAPSHOTS)
            k.snapshots = false;
        k.verbose = k.verbose || option == 'v';
        k.as_json = k.as_json || option == OPT_JSON;
        k.keyless = k.keyless || option == OPT_KEYLESS;
        k.unattended = k.unattended || option == 'a' || option == 'p';
        passphrase_option(&k.source, option, optarg);
    }
    status = cmd_operands(&line, 1, 1, "VOLUME");
    if (status != 0)
        return status;
    k.volume = argv[optind];
    return check(&k);
}
