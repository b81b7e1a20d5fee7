/* cmd_diff: what leads from one snapshot to another, or to the present. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mount/explain.h"
#include "mount/json.h"
#include "mount/reading.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs diff [options] WHERE@SNAPSHOT [WHERE[@SNAPSHOT]]\n"
    "\n"
    "Lists what leads from a snapshot to another one of the same volume, or to its present: paths\n"
    "that were made (+), that have other contents or attributes (M), that have another name (R), "
    "or\n"
    "are gone (-). It takes the time of what was changed, not of what there is. WHERE is a volume "
    "or\n"
    "a mount point; the second may be left out, or be '@SNAPSHOT' alone. A snapshot's folder in a\n"
    "mount (.varve/snapshots/NAME) can be given instead.\n"
    "\n"
    "  --json                print a JSON object for each\n"
    "  -0, --null            end each line with a NUL, and show names as they "
    "are\n" CMD_PASSPHRASE_HELP "  -h, --help            print this\n"
    "  -V, --version         print the version\n"
    "\n"
    "Exit status: 0 done, 1 could not be done, 2 wrong command line.\n";

enum { OPT_JSON = CMD_OPTION };

static const struct option longs[] = {
    {"json", no_argument, NULL, OPT_JSON},
    {"null", no_argument, NULL, '0'},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

struct diff {
    struct passphrase_source source;
    bool as_json, null;
};

static void print_json(const struct fs_difference *d)
{
    static const char *const kinds[] = {[FS_CREATED] = "created",
                                        [FS_CHANGED] = "changed",
                                        [FS_RENAMED] = "renamed",
                                        [FS_DELETED] = "deleted"};
    struct json j;
    json_init(&j, stdout);
    json_object(&j, NULL);
    json_string(&j, "change", kinds[d->kind]);
    json_string(&j, "path", d->path);
    if (d->from)
        json_string(&j, "from", d->from);
    json_string(&j, "type", tell_type(d->mode));
    if (d->kind == FS_CHANGED) {
        json_bool(&j, "data", d->what & FS_DIFFERS_DATA);
        json_bool(&j, "attributes", d->what & FS_DIFFERS_ATTR);
        json_bool(&j, "xattrs", d->what & FS_DIFFERS_XATTR);
    }
    json_close(&j);
}

static void print_path(const struct diff *diff, const char *path)
{
    if (diff->null)
        fputs(path, stdout);
    else
        tell_name(path);
}

static int on_difference(void *ctx, const struct fs_difference *d)
{
    static const char letters[] = {
        [FS_CREATED] = '+', [FS_CHANGED] = 'M', [FS_RENAMED] = 'R', [FS_DELETED] = '-'};
    const struct diff *diff = ctx;
    if (diff->as_json) {
        print_json(d);
    } else {
        printf("%c ", letters[d->kind]);
        if (d->from) {
            print_path(diff, d->from);
            fputs(" -> ", stdout);
        }
        print_path(diff, d->path);
        putchar(diff->null ? 0 : '\n');
    }
    return cmd_cancelled() ? -EINTR : 0;
}

static int explain_diff(const struct reading_name *a, const struct reading_name *b, int err)
{
    switch (err) {
    case -ENOENT:
        return b->snapshot ? tell_error("%s: there is no snapshot '%s', or none '%s'", a->where,
                                        a->snapshot, b->snapshot)
                           : tell_error("%s: there is no snapshot '%s'", a->where, a->snapshot);
    case -EINTR:
        return tell_error("given up");
    default:
        return explain_volume(a->where, err);
    }
}

/* Do both mean the same volume? "@SNAPSHOT" alone does. */
static bool same_volume(const struct reading *r, const char *where)
{
    struct cmd_place place;
    if (cmd_find_place(where, &place) != 0)
        return false;
    bool same = strcmp(place.volume, r->place.volume) == 0;
    cmd_place_release(&place);
    return same;
}

static int run(struct diff *d, const struct reading_name *a, const struct reading_name *b)
{
    struct reading r;
    int status = reading_open(&d->source, a->where, &r);
    if (status == 0 && b->where && !same_volume(&r, b->where))
        status = tell_error("%s and %s: not of one volume", a->where, b->where);
    if (status == 0) {
        int err = fs_diff(r.fs, a->snapshot, b->snapshot, on_difference, d);
        status = err < 0 ? explain_diff(a, b, err) : 0;
    }
    return reading_close(&r, status);
}

int cmd_diff(int argc, char **argv)
{
    const struct cmd_line line = {.name = "diff",
                                  .usage = usage,
                                  .shorts = ":0hV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct diff d = {0};
    struct reading_name a, b = {0};
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        d.as_json |= option == OPT_JSON;
        d.null |= option == '0';
        passphrase_option(&d.source, option, optarg);
    }
    status = cmd_operands(&line, 1, 2, "WHERE@SNAPSHOT, and perhaps another");
    if (status != 0)
        return status;
    reading_name_parse(argv[optind], &a);
    const char *other = optind + 1 < argc ? argv[optind + 1] : NULL;
    if (other && other[0] == '@')
        b.snapshot = mem_strdup(other + 1);
    else if (other)
        reading_name_parse(other, &b);
    if (!a.snapshot)
        status =
            tell_usage("diff", "'%s' has no snapshot; write it as WHERE@SNAPSHOT", argv[optind]);
    else
        status = run(&d, &a, &b);
    reading_name_release(&a);
    reading_name_release(&b);
    return status;
}
