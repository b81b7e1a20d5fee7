/* cmd_checkpoint: makes a second volume of a volume that is not mounted, or has the daemon of a
 * mount make one of its. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/fs.h"
#include "mount/cmd_checkpoint_priv.h"
#include "mount/control.h"
#include "mount/explain.h"
#include "mount/json.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs checkpoint [options] VOLUME|MOUNTPOINT FOLDER\n"
    "\n"
    "Makes FOLDER, which has to be empty or not to exist, a volume of its own with all that "
    "VOLUME\n"
    "has at this moment, snapshots included. Its files are links to those of the volume, which "
    "take\n"
    "no space and no time, if FOLDER is on the same file system, and copies otherwise. From then "
    "on\n"
    "each of the two goes its own way: neither ever writes to what both have. A volume may be\n"
    "mounted and in use meanwhile.\n"
    "\n"
    "  --snapshot=NAME       the tree as it is in that snapshot, with the snapshots before it\n"
    "  --json                print what was made as JSON\n"
    "  -q, --quiet           print nothing\n" CMD_PASSPHRASE_HELP
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n";

enum { OPT_SNAPSHOT = CMD_OPTION, OPT_JSON };

static const struct option longs[] = {
    {"snapshot", required_argument, NULL, OPT_SNAPSHOT},
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, 'q'},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

/* The absolute path of a folder that need not be there, but for the one above it. NULL: errno says
 * why. */
static char *absolute(const char *path)
{
    char *real = realpath(path, NULL);
    if (real || errno != ENOENT)
        return real;
    char *copy = mem_strdup(path);
    size_t len = strlen(copy);
    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = 0;
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    char *above = NULL;
    errno = ENOENT;
    if (*name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
        char *folder = slash == copy ? mem_strdup("/")
                       : slash       ? mem_printf("%.*s", (int)(slash - copy), copy)
                                     : mem_strdup(".");
        above = realpath(folder, NULL);
        free(folder);
    }
    real = above ? mem_printf("%s/%s", strcmp(above, "/") == 0 ? "" : above, name) : NULL;
    free(above);
    free(copy);
    return real;
}

/* ---- what went wrong ---- */

static int explain_checkpoint(const struct checkpoint *c, int err)
{
    switch (err) {
    case -ENODATA:
        return tell_error("there is no snapshot '%s'", c->snapshot);
    case -EPERM:
        return tell_error("%s: only who mounted it and root may make a checkpoint of it", c->shown);
    case -ELOOP:
        return tell_error("%s: it lies within the mount; give a folder outside", c->dir_shown);
    case -EROFS:
        return tell_error("%s: it is mounted read-only, or %s is on a read-only file system",
                          c->shown, c->dir_shown);
    case -EACCES:
        return tell_error("%s: permission denied%s", c->dir_shown,
                          c->place.mount ? ", for the user whose daemon serves the mount" : "");
    case -EIO:
        return tell_error("%s: damaged, or a disk fails; the messages of %s say what", c->shown,
                          c->place.mount ? "the mount" : "this command");
    case -EAGAIN:
        return tell_error("%s: another checkpoint is being made there", c->dir_shown);
    default:
        return explain_make(c->dir_shown, err);
    }
}

/* ---- the two ways: 0 or a negative errno ---- */

static int make_of_mount(struct checkpoint *c)
{
    return control_checkpoint_ask(c->place.mount, c->dir, c->snapshot, &c->made);
}

static int make_of_volume(struct checkpoint *c, struct fs *fs)
{
    int err = fs_checkpoint(fs, c->dir, c->snapshot, &c->made);
    return err == 1 ? -ENODATA : err;
}

/* ---- */

static void report(const struct checkpoint *c)
{
    char uuid[TELL_UUID_MAX], copied[TELL_BYTES_MAX];
    const struct store_checkpoint *m = &c->made;
    struct json j;
    tell_uuid(m->uuid, uuid);
    tell_bytes(m->copied_bytes, copied);
    if (c->as_json) {
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_string(&j, "volume", c->place.volume);
        json_string(&j, c->is_clone ? "clone" : "checkpoint", c->dir);
        if (c->snapshot)
            json_string(&j, "snapshot", c->snapshot);
        json_string(&j, "uuid", uuid);
        json_uint(&j, "linked_files", m->linked_files);
        json_uint(&j, "copied_files", m->copied_files);
        json_uint(&j, "copied_bytes", m->copied_bytes);
        json_close(&j);
    } else if (!c->quiet) {
        tell_name(c->dir_shown);
        printf(": a %s, %s; %" PRIu64 " files linked, %" PRIu64 " copied (%s)\n",
               c->is_clone ? "clone" : "checkpoint", uuid, m->linked_files, m->copied_files,
               copied);
    }
}

static int run_mount(struct checkpoint *c)
{
    int err = make_of_mount(c);
    return err < 0 ? explain_checkpoint(c, err) : 0;
}

static int run_volume(struct checkpoint *c)
{
    struct passphrase passphrase;
    struct fs_options o;
    struct fs *fs;
    if (passphrase_of_volume(&c->source, c->place.volume, &passphrase) != 0)
        return TELL_FAILED;
    fs_options_init(&o);
    o.secret = &passphrase.secret;
    int err = fs_open(c->place.volume, &o, &fs);
    passphrase_wipe(&passphrase);
    if (err < 0)
        return explain_volume(c->shown, err);
    int status = 0;
    err = make_of_volume(c, fs);
    if (err < 0)
        status = explain_checkpoint(c, err);
    err = fs_close(fs);
    return err < 0 && status == 0 ? explain_volume(c->shown, err) : status;
}

static bool is_within(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == 0);
}

/* Can files of the volume have a second name where the folder is to be? 0 or a negative errno. */
static int try_link(const struct checkpoint *c)
{
    char *above = mem_strdup(c->dir), *slash = strrchr(above, '/');
    slash[slash == above] = 0;
    char *from = mem_printf("%s/CURRENT", c->place.volume);
    char *to = mem_printf("%s/.varvefs-link-%ld", above, (long)getpid());
    int err = link(from, to) ? -errno : 0;
    if (err == 0 && unlink(to) != 0)
        err = -errno;
    free(to);
    free(from);
    free(above);
    return err;
}

static int refuse_copies(const struct checkpoint *c)
{
    int err = try_link(c);
    if (err == -EXDEV || err == -EPERM || err == -EOPNOTSUPP || err == -EMLINK)
        return tell_error("%s: not on the file system of %s, or one without hard links, so a clone "
                          "would be a copy; make one with: varvefs checkpoint, or: varvefs send",
                          c->dir_shown, c->place.volume);
    return err < 0 ? explain_checkpoint(c, err) : 0;
}

int cmd_checkpoint_run(struct checkpoint *c)
{
    int status = cmd_find_place(c->shown, &c->place);
    if (status != 0)
        return status;
    c->dir = absolute(c->dir_shown);
    if (!c->dir)
        return explain_checkpoint(c, -errno);
    if (is_within(c->dir, c->place.volume))
        return tell_error("%s: it lies within the volume; give a folder beside it", c->dir_shown);
    if (c->is_clone && (status = refuse_copies(c)) != 0)
        return status;
    status = c->place.mount ? run_mount(c) : run_volume(c);
    if (status == 0)
        report(c);
    return status;
}

void cmd_checkpoint_release(struct checkpoint *c)
{
    cmd_place_release(&c->place);
    free(c->dir);
}

int cmd_checkpoint(int argc, char **argv)
{
    const struct cmd_line line = {.name = "checkpoint",
                                  .usage = usage,
                                  .shorts = ":qhV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct checkpoint c = {0};
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        if (option == OPT_SNAPSHOT)
            c.snapshot = optarg;
        c.as_json |= option == OPT_JSON;
        c.quiet |= option == 'q';
        passphrase_option(&c.source, option, optarg);
    }
    status = cmd_operands(&line, 2, 2, "VOLUME or MOUNTPOINT, and FOLDER");
    if (status != 0)
        return status;
    c.shown = argv[optind];
    c.dir_shown = argv[optind + 1];
    status = cmd_checkpoint_run(&c);
    cmd_checkpoint_release(&c);
    return status;
}
