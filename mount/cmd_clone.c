/* cmd_clone: makes a volume, writable and at once, of another one or of a snapshot of it: a
 * checkpoint of links only. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mount/cmd_checkpoint_priv.h"
#include "mount/reading.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs clone [options] WHERE[@SNAPSHOT] NEWVOLUME\n"
    "\n"
    "Makes NEWVOLUME, which has to be an empty folder or not to exist, a volume of its own with "
    "what\n"
    "WHERE, a volume or a mount point, has now or had at that snapshot, with the snapshots up to\n"
    "then. Both can be mounted and written to, and go their own ways. It takes no time and no "
    "space\n"
    "whatever the size: all is links, so NEWVOLUME has to be on the same file system. Both can "
    "send\n"
    "snapshots to each other.\n"
    "\n"
    "  --json                print what was made as JSON\n"
    "  -q, --quiet           print nothing\n" CMD_PASSPHRASE_HELP
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n";

enum { OPT_JSON = CMD_OPTION };

static const struct option longs[] = {
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, 'q'},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

int cmd_clone(int argc, char **argv)
{
    const struct cmd_line line = {.name = "clone",
                                  .usage = usage,
                                  .shorts = ":qhV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct checkpoint c = {.is_clone = true};
    struct reading_name name;
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        c.as_json |= option == OPT_JSON;
        c.quiet |= option == 'q';
        passphrase_option(&c.source, option, optarg);
    }
    status = cmd_operands(&line, 2, 2, "WHERE[@SNAPSHOT] NEWVOLUME");
    if (status != 0)
        return status;
    reading_name_parse(argv[optind], &name);
    c.shown = name.where;
    c.snapshot = name.snapshot;
    c.dir_shown = argv[optind + 1];
    status = cmd_checkpoint_run(&c);
    cmd_checkpoint_release(&c);
    reading_name_release(&name);
    return status;
}
