/* main: which command is meant, by the program's name or its first word. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "mount/cmd.h"
#include "mount/fuse.h"
#include "mount/tell.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary; /* NULL: not in the list */
};

static int cmd_help(int argc, char **argv);
static int cmd_version(int argc, char **argv);

static const struct command commands[] = {
    {"mkfs", cmd_mkfs, "make a volume"},
    {"mount", cmd_mount, "mount a volume"},
    {"umount", cmd_umount, "take a mount down and wait until everything is on disk"},
    {"snapshot", cmd_snapshot, "create, list, delete and rename snapshots"},
    {"rollback", cmd_rollback, "make a volume what it was at a snapshot"},
    {"diff", cmd_diff, "list what leads from a snapshot to another, or to the present"},
    {"clone", cmd_clone, "make a writable volume of a volume or a snapshot, at once"},
    {"send", cmd_send, "write a snapshot, or what leads to it, as a stream"},
    {"receive", cmd_receive, "make a volume, or a snapshot of one, of a stream"},
    {"checkpoint", cmd_checkpoint, "make a second volume of a volume or a mount, by links"},
    {"stat", cmd_stat, "show figures of a volume or a mount"},
    {"config", cmd_config, "show and change the settings of a mount"},
    {"fsck", cmd_fsck, "verify a volume"},
    {"events", cmd_events, "show what the store under a volume did"},
    {"dump", cmd_dump, "show what is in a file of a volume, or what became of a key"},
    {"scrub", cmd_scrub, "read everything, and heal what is damaged"},
    {"compact", cmd_compact, "bring everything to the bottom of the tree, and free what it can"},
    {"salvage", cmd_salvage, "repair a volume that cannot be mounted"},
    {"key", cmd_key, "passphrases and keys of an encrypted volume"},
    {"help", cmd_help, "print this, or the help of a command"},
    {"version", cmd_version, "print the version"},
};

/* Names under which the program is installed. */
static const struct command aliases[] = {
    {"mkfs.varvefs", cmd_mkfs, NULL},
    {"fsck.varvefs", cmd_fsck, NULL},
    {"mount.varvefs", cmd_mount_helper, NULL},
    {"mount.fuse.varvefs", cmd_mount_helper, NULL},
};

enum { COMMANDS = sizeof commands / sizeof *commands, ALIASES = sizeof aliases / sizeof *aliases };

static const struct command *find(const struct command *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

static int print_usage(void)
{
    puts("usage: varvefs COMMAND [options] ...\n"
         "\n"
         "A file system in a folder: compressed, checksummed, encrypted if you like, with "
         "snapshots.\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    puts("\n"
         "To begin:   varvefs mkfs ~/vault\n"
         "            mkdir ~/work && varvefs mount ~/vault ~/work\n"
         "'varvefs COMMAND --help' tells more of each.");
    return TELL_OK;
}

static int cmd_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("varvefs " VARVEFS_VERSION " (libfuse %s)\n", fuse_pkgversion());
    return TELL_OK;
}

static int cmd_help(int argc, char **argv)
{
    if (argc < 2)
        return print_usage();
    const struct command *c = find(commands, COMMANDS, argv[1]);
    if (!c)
        return tell_usage("", "unknown command '%s'", argv[1]);
    if (c->run == cmd_help || c->run == cmd_version)
        return print_usage();
    char *help[] = {argv[1], (char[]){"--help"}, NULL};
    return c->run(2, help);
}

/* mount.fuse(8) calls "varvefs VOLUME MOUNTPOINT -o ...". */
static bool is_path(const char *word)
{
    struct stat st;
    return strchr(word, '/') || (stat(word, &st) == 0 && S_ISDIR(st.st_mode));
}

static int run(int argc, char **argv)
{
    assert(argc > 0 && !argv[argc]);
    const char *slash = strrchr(argv[0], '/');
    const struct command *c = find(aliases, ALIASES, slash ? slash + 1 : argv[0]);
    if (c)
        return c->run(argc, argv);
    if (argc < 2)
        return tell_usage("", "what to do is missing");
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
        return print_usage();
    if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0)
        return cmd_version(argc, argv);
    c = find(commands, COMMANDS, argv[1]);
    if (c)
        return c->run(argc - 1, argv + 1);
    if (argv[1][0] == '-')
        return tell_usage("", "unknown option '%s'", argv[1]);
    if (argc > 2 && is_path(argv[1]))
        return cmd_mount_helper(argc, argv);
    return tell_usage("", "unknown command '%s'", argv[1]);
}

int main(int argc, char **argv)
{
    if (argc < 1)
        return TELL_USAGE;
    int status = run(argc, argv);
    /* What was printed may not have arrived: on a full disk, for example. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == TELL_OK)
        status = tell_error("cannot write to standard output: %s", strerror(errno));
    return status;
}
