/* cmd_snapshot: the snapshots of a mount, by file tools' own calls under .varve/snapshots, or of a
 * volume that is not mounted. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mount/cmd_snapshot_priv.h"
#include "mount/explain.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs snapshot create WHERE NAME...\n"
    "       varvefs snapshot delete WHERE NAME...\n"
    "       varvefs snapshot rename WHERE NAME NEWNAME\n"
    "       varvefs snapshot list [--json] [--no-space] WHERE\n"
    "\n"
    "WHERE is a mount point of varvefs, or any path inside one, or a "
    "volume. A snapshot is the whole\n"
    "tree as it is at this moment. In a mount it can be read under "
    ".varve/snapshots/NAME, where mkdir,\n"
    "rmdir and mv do the same as this command.\n"
    "\n"
    "The list tells when each was taken, and how much deleting it alone would free at most:\n"
    "values of files are counted as they lie on disk, names and attributes without compression.\n"
    "\n"
    "  --json                print the list as JSON\n"
    "  --no-space            do not find out what deleting would free\n" CMD_PASSPHRASE_HELP
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n";

enum { OPT_JSON = CMD_OPTION, OPT_NO_SPACE };

static const struct option longs[] = {
    {"json", no_argument, NULL, OPT_JSON},
    {"no-space", no_argument, NULL, OPT_NO_SPACE},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

int cmd_snapshot_open(const struct snapshot_where *where, bool read_only, struct snapshot_work *w)
{
    struct passphrase passphrase;
    struct fs_options o;
    int status = cmd_find_place(where->path, &w->place);
    if (status != 0)
        return status;
    if (w->place.mount) {
        w->dir = mem_printf("%s/%s/%s", w->place.mount, FS_CONTROL_NAME, FS_SNAPSHOTS_NAME);
        return 0;
    }
    fs_options_init(&o);
    o.read_only = read_only;
    status = passphrase_of_volume(&where->source, w->place.volume, &passphrase);
    if (status != 0)
        return status;
    o.secret = &passphrase.secret;
    int err = fs_open(w->place.volume, &o, &w->fs);
    passphrase_wipe(&passphrase);
    return err < 0 ? explain_volume(where->path, err) : 0;
}

int cmd_snapshot_close(struct snapshot_work *w, int status)
{
    int err = w->fs ? fs_close(w->fs) : 0;
    if (err < 0)
        status = explain_volume(w->place.volume, err);
    cmd_place_release(&w->place);
    free(w->dir);
    return status;
}

static int explain_shot(const char *name, int err)
{
    switch (err) {
    case -EEXIST:
        return tell_error("snapshot '%s' exists already", name);
    case -ENOENT:
        return tell_error("there is no snapshot '%s'", name);
    case -ENAMETOOLONG:
        return tell_error("a snapshot's name has at most %d bytes", FS_NAME_MAX);
    case -EACCES:
    case -EPERM:
        return tell_error(
            "snapshot '%s': only the owner of the mounted folder and root may do that", name);
    case -EROFS:
        return tell_error("snapshot '%s': mounted read-only", name);
    case -EMLINK:
        return tell_error("snapshot '%s': there are %d already, and that is the most", name,
                          FS_SNAPSHOTS_MAX);
    default:
        return tell_error("snapshot '%s': %s", name, strerror(-err));
    }
}

static int check_name(const char *name)
{
    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return tell_usage("snapshot", "'%s' cannot be a snapshot's name", name);
    return strlen(name) > FS_NAME_MAX ? explain_shot(name, -ENAMETOOLONG) : 0;
}

/* ---- on a mount and on a volume: 0 or a negative errno ---- */

static int create_one(const struct snapshot_work *w, const char *name)
{
    if (w->fs)
        return fs_snapshot_create(w->fs, name);
    char *path = mem_printf("%s/%s", w->dir, name);
    int err = mkdir(path, 0755) ? -errno : 0;
    free(path);
    return err;
}

static int delete_one(const struct snapshot_work *w, const char *name)
{
    if (w->fs)
        return fs_snapshot_delete(w->fs, name);
    char *path = mem_printf("%s/%s", w->dir, name);
    int err = rmdir(path) ? -errno : 0;
    free(path);
    return err;
}

static int rename_one(const struct snapshot_work *w, const char *from, const char *to)
{
    if (w->fs)
        return fs_snapshot_rename(w->fs, from, to);
    char *old_path = mem_printf("%s/%s", w->dir, from), *new_path = mem_printf("%s/%s", w->dir, to);
    int err = rename(old_path, new_path) ? -errno : 0;
    free(old_path);
    free(new_path);
    return err;
}

/* ---- the commands: exit statuses ---- */

typedef int one_fn(const struct snapshot_work *w, const char *name);

static int each(const struct snapshot_where *where, char **names, int count, one_fn *fn)
{
    struct snapshot_work w = {0};
    int status = 0;
    for (int i = 0; i < count && status == 0; i++)
        status = check_name(names[i]);
    if (status == 0)
        status = cmd_snapshot_open(where, false, &w);
    for (int i = 0; i < count && status == 0; i++) {
        int err = fn(&w, names[i]);
        if (err < 0)
            status = explain_shot(names[i], err);
    }
    return cmd_snapshot_close(&w, status);
}

static int rename_shot(const struct snapshot_where *where, const char *from, const char *to)
{
    struct snapshot_work w = {0};
    int status = check_name(from);
    if (status == 0)
        status = check_name(to);
    if (status == 0)
        status = cmd_snapshot_open(where, false, &w);
    int err = status == 0 ? rename_one(&w, from, to) : 0;
    if (err < 0)
        status = explain_shot(err == -EEXIST ? to : from, err);
    return cmd_snapshot_close(&w, status);
}

int cmd_snapshot(int argc, char **argv)
{
    const struct cmd_line line = {.name = "snapshot",
                                  .usage = usage,
                                  .shorts = ":hV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct snapshot_where where = {0};
    bool as_json = false, space = true;
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        as_json = as_json || option == OPT_JSON;
        space = space && option != OPT_NO_SPACE;
        passphrase_option(&where.source, option, optarg);
    }
    const char *verb = optind < argc ? argv[optind] : "";
    bool is_list = strcmp(verb, "list") == 0, is_rename = strcmp(verb, "rename") == 0;
    if (!is_list && !is_rename && strcmp(verb, "create") != 0 && strcmp(verb, "delete") != 0)
        return *verb ? tell_usage("snapshot", "unknown command '%s'", verb)
                     : tell_usage("snapshot",
                                  "what to do is missing: create, list, delete or rename");
    optind++;
    status = is_list     ? cmd_operands(&line, 1, 1, "WHERE")
             : is_rename ? cmd_operands(&line, 3, 3, "WHERE NAME NEWNAME")
                         : cmd_operands(&line, 2, argc, "WHERE NAME");
    if (status != 0)
        return status;
    where.path = argv[optind];
    if (is_list)
        return cmd_snapshot_list(&where, space, as_json);
    if (is_rename)
        return rename_shot(&where, argv[optind + 1], argv[optind + 2]);
    return each(&where, argv + optind + 1, argc - optind - 1,
                *verb == 'c' ? create_one : delete_one);
}
