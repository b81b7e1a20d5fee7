/* cmd_events: the event log of a volume. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fs.h"
#include "mount/cmd.h"
#include "mount/explain.h"
#include "mount/json.h"
#include "mount/tell.h"

static const char usage[] = "usage: varvefs events [options] VOLUME|MOUNTPOINT\n"
                            "\n"
                            "Shows what the store under a volume did, oldest first: flushes and "
                            "compactions, with a picture\n"
                            "of the keys that they touched, stalls, failures, snapshots, changes "
                            "of settings. The volume may\n"
                            "be mounted.\n"
                            "\n"
                            "  --last N              only the last N events\n"
                            "  --json                print it as JSON\n"
                            "  -h, --help            print this\n"
                            "  -V, --version         print the version\n";

enum { OPT_JSON = CMD_OPTION, OPT_LAST };

static const struct option longs[] = {
    {"json", no_argument, NULL, OPT_JSON},
    {"last", required_argument, NULL, OPT_LAST},
    CMD_COMMON,
    {0},
};

/* Lines; an event begins with a line that does not begin with a blank. */
struct lines {
    char **list;
    size_t count, cap, events;
};

static bool begins(const char *line)
{
    return *line != ' ';
}

static int take(void *ctx, const char *line)
{
    struct lines *l = ctx;
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 256;
        l->list = mem_realloc(l->list, l->cap * sizeof *l->list);
    }
    l->list[l->count++] = mem_strdup(line);
    l->events += begins(line);
    return 0;
}

static void lines_release(struct lines *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->list[i]);
    free(l->list);
}

/* The line from which on there are `last` events. */
static size_t first_line(const struct lines *l, size_t last)
{
    size_t skip = l->events > last ? l->events - last : 0, i = 0;
    while (i < l->count && (skip > 0 || !begins(l->list[i]))) {
        i++;
        if (i < l->count && begins(l->list[i]) && skip > 0)
            skip--;
    }
    return i;
}

/* "TIME WHAT: TEXT", in three. */
static void print_event(struct json *j, char *line)
{
    char *what = strchr(line, ' '), *text = what ? strstr(what, ": ") : NULL;
    json_object(j, NULL);
    if (text) {
        *what = *text = '\0';
        json_string(j, "time", line);
        json_string(j, "what", what + 1);
        json_string(j, "text", text + 2);
    } else {
        json_string(j, "text", line);
    }
    json_list(j, "picture");
}

static void print_json(const struct lines *l, size_t from)
{
    struct json j;
    bool open = false;
    json_init(&j, stdout);
    json_list(&j, NULL);
    for (size_t i = from; i < l->count; i++) {
        if (!begins(l->list[i])) {
            json_string(&j, NULL, l->list[i] + 4);
            continue;
        }
        if (open) {
            json_close(&j);
            json_close(&j);
        }
        print_event(&j, l->list[i]);
        open = true;
    }
    for (int levels = open ? 3 : 1; levels > 0; levels--)
        json_close(&j);
}

static int show(const char *shown, const char *path, size_t last, bool as_json)
{
    struct lines l = {0};
    int err = explain_is_volume(path);
    if (err == 0)
        err = fs_events(path, take, &l);
    size_t from = first_line(&l, last);
    if (err == 0 && as_json)
        print_json(&l, from);
    for (size_t i = from; i < l.count && err == 0 && !as_json; i++)
        puts(l.list[i]);
    lines_release(&l);
    return err < 0 ? explain_volume(shown, err) : TELL_OK;
}

int cmd_events(int argc, char **argv)
{
    const struct cmd_line line = {.name = "events",
                                  .usage = usage,
                                  .shorts = ":hV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct cmd_place place;
    bool as_json = false;
    size_t last = SIZE_MAX;
    char *end;
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        as_json |= option == OPT_JSON;
        if (option == OPT_LAST) {
            last = strtoull(optarg, &end, 10);
            if (*optarg < '0' || *optarg > '9' || *end)
                return tell_usage("events", "'%s' is not a number", optarg);
        }
    }
    status = cmd_operands(&line, 1, 1, "VOLUME or MOUNTPOINT");
    if (status == 0)
        status = cmd_find_place(argv[optind], &place);
    if (status != 0)
        return status;
    status = show(argv[optind], place.volume, last, as_json);
    cmd_place_release(&place);
    return status;
}
