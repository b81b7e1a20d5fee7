/* cmd_config: the settings of a mount, shown and changed. It does what reading and writing
 * .varve/config does. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs.h"
#include "mount/cmd.h"
#include "mount/config.h"
#include "mount/report.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs config [--json] MOUNTPOINT\n"
    "       varvefs config MOUNTPOINT NAME\n"
    "       varvefs config MOUNTPOINT NAME=VALUE...\n"
    "\n"
    "Shows the settings of a mount, with what they mean and may be; or one, its value alone; or\n"
    "changes some, all of them or, if one is refused, none. They are in force until it is\n"
    "unmounted; for longer, mount it with -o set=NAME=VALUE. The file .varve/config of the mount\n"
    "does the same. Changing takes the owner of the mounted folder, or root.\n"
    "\n"
    "  --json                print all as JSON\n"
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n";

enum { OPT_JSON = CMD_OPTION };

static const struct option longs[] = {
    {"json", no_argument, NULL, OPT_JSON},
    CMD_COMMON,
    {0},
};

static int show_all(const char *mount, bool as_json)
{
    struct buf text = {0};
    int err =
        cmd_ask_mount(mount, as_json ? REPORT_XATTR_SETTINGS_JSON : REPORT_XATTR_SETTINGS, &text);
    if (err == 0)
        fputs((const char *)text.data, stdout);
    buf_release(&text);
    return err < 0 ? tell_error("%s: %s", mount, strerror(-err)) : TELL_OK;
}

/* The rest of the first line of the file that begins so, without its newline; owned; NULL: there is
 * none. */
static char *find_line(const char *path, const char *start)
{
    char *line = NULL, *found = NULL;
    size_t room = 0, len = strlen(start);
    FILE *f = fopen(path, "re");
    while (f && !found && getline(&line, &room, f) > 0) {
        if (strncmp(line, start, len) != 0)
            continue;
        line[strcspn(line, "\n")] = 0;
        found = mem_strdup(line + len);
    }
    if (f)
        fclose(f);
    free(line);
    return found;
}

static int show_one(const char *path, const char *name)
{
    char *start = mem_printf("%s=", name);
    char *value = find_line(path, start);
    if (value)
        puts(value);
    free(start);
    free(value);
    return value ? TELL_OK : tell_error("%s: there is no such setting", name);
}

/* Why the mount refused, as it says itself. */
static int explain(const char *mount, const char *path, int err)
{
    if (err == EACCES || err == EPERM)
        return tell_error("%s: only the owner of the mounted folder and root may change settings",
                          mount);
    if (err == EROFS)
        return tell_error("%s: it is mounted read-only", mount);
    char *why = find_line(path, CONFIG_ERROR_LINE);
    const char *text = why ? strstr(why, ": ") : NULL; /* behind the number of the line */
    int status = tell_error("%s", text ? text + 2 : strerror(err));
    free(why);
    return status;
}

static int change(const char *mount, const char *path, char **words)
{
    struct buf text = {0};
    for (; *words; words++) {
        buf_append(&text, slice_str(*words));
        buf_put_u8(&text, '\n');
    }
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    /* Where the kernel caches it, syncing tells whether it was accepted. */
    bool good = fd >= 0 && write(fd, text.data, text.len) == (ssize_t)text.len && fsync(fd) == 0;
    int err = good ? 0 : errno;
    if (fd >= 0)
        close(fd);
    buf_release(&text);
    return good ? TELL_OK : explain(mount, path, err);
}

static int run(const struct cmd_place *place, bool as_json, char **words)
{
    char **word = words;
    if (!place->mount)
        return tell_error("%s: it is not mounted; settings belong to a mount", place->volume);
    if (!*words)
        return show_all(place->mount, as_json);
    while (*word && strchr(*word, '='))
        word++;
    bool sets = !*word;
    if (as_json || (!sets && words[1]))
        return tell_usage("config", "either --json, or one NAME, or NAME=VALUE...");
    char *path = mem_printf("%s/" FS_CONTROL_NAME "/config", place->mount);
    int status = sets ? change(place->mount, path, words) : show_one(path, words[0]);
    free(path);
    return status;
}

int cmd_config(int argc, char **argv)
{
    const struct cmd_line line = {.name = "config",
                                  .usage = usage,
                                  .shorts = ":hV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct cmd_place place;
    int option, status = 0;
    bool as_json = false;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        as_json |= option == OPT_JSON;
    }
    status = cmd_operands(&line, 1, argc, "MOUNTPOINT [NAME | NAME=VALUE...]");
    if (status == 0)
        status = cmd_find_place(argv[optind], &place);
    if (status != 0)
        return status;
    status = run(&place, as_json, argv + optind + 1);
    cmd_place_release(&place);
    return status;
}
