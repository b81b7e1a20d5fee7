/* cmd_mount: mounts a volume, called by a person or by mount(8). */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mount/cmd.h"
#include "mount/daemon.h"
#include "mount/explain.h"
#include "mount/mounts.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs mount [-f] [-o OPTION,...] VOLUME MOUNTPOINT\n"
    "       mount.varvefs VOLUME MOUNTPOINT [-o OPTION,...]    (as mount(8) calls it)\n"
    "       mount -t fuse.varvefs VOLUME MOUNTPOINT\n"
    "\n"
    "Mounts the volume at the folder MOUNTPOINT and returns when it can be used; a daemon goes on\n"
    "serving it in the background. Take it down with 'varvefs umount MOUNTPOINT'.\n"
    "\n"
    "  -f, --foreground      stay in the foreground; an interrupt (Ctrl-C) takes it down\n"
    "  -r, --read-only       the same as -o ro\n"
    "  -d, --debug           show every request; implies -f\n"
    "  -o OPTION,...         mount options, as below; may be repeated\n" CMD_PASSPHRASE_HELP
    "                        for an encrypted volume; the same as -o passfile=, -o extpass=\n"
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n"
    "\n"
    "Options of varvefs:\n"
    "  ro                    change nothing, neither in the files nor in the volume's folder\n"
    "  cache=SIZE            memory for decoded blocks, such as 256M (default: 64M)\n"
    "  memtable=SIZE         a quarter of the memory for what is not in tables yet (default: 16M)\n"
    "  size=SIZE             the volume takes at most so much of the disk, such as 20G\n"
    "  commit=SECONDS        a sync of what was written begins so much later, though\n"
    "                        nobody asks (default: 5; 0: only when somebody does)\n"
    "  compression=WHICH     none, or zstd:1 to zstd:19, for what is written from now on\n"
    "  open=HOW              quick: files are opened without asking the daemon, faster with many\n"
    "                        small files (default if read-only); checked: what may not be written\n"
    "                        is refused when it is opened\n"
    "  io_uring=WHEN         requests come by io_uring, faster with small operations: auto\n"
    "                        (default: where the kernel offers it), on (by root: has the kernel\n"
    "                        offer it from now on), off\n"
    "  recovery=HOW          about damaged logs: tail (default: only an end that was not synced "
    "may be\n"
    "                        torn), strict (nothing may), point (what follows damage is dropped)\n"
    "  passfile=FILE         the passphrase of an encrypted volume is the first line of FILE\n"
    "  extpass=COMMAND       ... the first line that COMMAND prints\n"
    "  snapshot=NAME         mount the tree of that snapshot, read-only\n"
    "  keep=RULE             take snapshots by itself and thin them out, such as 24h@1h,7d@1d:\n"
    "                        for 24 hours one every hour, for 7 days one every day\n"
    "  history=DURATION      keep what was: .varve/at/2026-11-20T14:03 is the tree at that time "
    "(UTC),\n"
    "                        for so long back, such as 2h, or 24h@5m: a moment every 5 minutes\n"
    "  log=FILE              the daemon's messages go there; otherwise to the system log\n"
    "  nonempty              let the mount hide what is in MOUNTPOINT\n"
    "Options of FUSE:\n"
    "  allow_other           other users may use the mount, as far as permissions let them\n"
    "  allow_root            root may\n"
    "  auto_unmount          take the mount down should the daemon be killed\n"
    "Options of every file system: rw, suid, nosuid, dev, nodev, exec, noexec, sync, dirsync, and "
    "about\n"
    "access times: relatime (default), noatime, strictatime, nodiratime, lazytime.\n"
    "What fstab holds for others is ignored: defaults, user, users, auto, noauto, nofail, _netdev, "
    "x-*.\n";

static const struct option longs[] = {
    {"foreground", no_argument, NULL, 'f'},
    {"read-only", no_argument, NULL, 'r'},
    {"debug", no_argument, NULL, 'd'},
    {"options", required_argument, NULL, 'o'},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

struct request {
    struct daemon_config config;
    bool pretend, sloppy, is_helper;
    struct passphrase_source source;
    struct buf list; /* all -o options, joined */
};

static void add_options(struct request *r, const char *list)
{
    if (r->list.len)
        buf_append(&r->list, slice_str(","));
    buf_append(&r->list, slice_str(list));
}

static void take_option(struct request *r, int option)
{
    switch (option) {
    case 'f':
        r->config.foreground = true;
        break;
    case 'F':
        r->pretend = true;
        break;
    case 's':
        r->sloppy = true;
        break;
    case 'r':
        add_options(r, "ro");
        break;
    case 'w':
        add_options(r, "rw");
        break;
    case 'd':
        r->config.foreground = true;
        add_options(r, "debug");
        break;
    case 'o':
        add_options(r, optarg);
        break;
    case CMD_PASSFILE:
    case CMD_EXTPASS:
        passphrase_option(&r->source, option, optarg);
        break;
    default: /* -n, -v, -t TYPE, -N NAMESPACE of mount(8) */
        break;
    }
}

static int parse_list(struct request *r)
{
    char *why = NULL;
    char *list =
        mem_printf("%.*s", (int)r->list.len, r->list.len ? (const char *)r->list.data : "");
    int err = options_mount_parse(&r->config.options, list, r->sloppy, &why);
    int status = err < 0 ? tell_usage("mount", "%s", why) : 0;
    free(why);
    free(list);
    if (!r->source.file)
        r->source.file = r->config.options.passfile;
    if (!r->source.command)
        r->source.command = r->config.options.extpass;
    return status;
}

/* The daemon leaves its folder, so paths have to be absolute. */
static int make_absolute(char **path)
{
    if (!*path || **path == '/')
        return 0;
    char *here = getcwd(NULL, 0);
    if (!here)
        return tell_error("cannot tell the current folder: %s", strerror(errno));
    char *absolute = mem_printf("%s/%s", here, *path);
    free(here);
    free(*path);
    *path = absolute;
    return 0;
}

static int find_paths(struct daemon_config *c, const char *volume, const char *dir)
{
    int err = explain_is_volume(volume);
    c->volume = err == 0 ? realpath(volume, NULL) : NULL;
    if (!c->volume)
        return explain_volume(volume, err < 0 ? err : -errno);
    c->mount_dir = mounts_real_path(dir);
    if (!c->mount_dir)
        return tell_error("%s: no such mount point; make it with: mkdir -p %s", dir, dir);
    return make_absolute(&c->options.log_path);
}

static void release(struct request *r)
{
    options_mount_release(&r->config.options);
    buf_release(&r->list);
    passphrase_wipe(&r->config.passphrase);
    free(r->config.volume);
    free(r->config.mount_dir);
}

static int run(struct request *r, const struct cmd_line *line)
{
    int option, status = 0;
    assert(!r->list.len && !r->config.volume);
    options_mount_init(&r->config.options);
    while ((option = cmd_next(line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        take_option(r, option == 'f' && r->is_helper ? 'F' : option);
    }
    assert(option == CMD_END);
    status = cmd_operands(line, 2, 2, "VOLUME MOUNTPOINT");
    if (status == 0)
        status = parse_list(r);
    if (status == 0)
        status = find_paths(&r->config, line->argv[optind], line->argv[optind + 1]);
    if (status == 0)
        status = daemon_check(&r->config);
    if (status != 0 || r->pretend)
        return status;
    status = passphrase_of_volume(&r->source, r->config.volume, &r->config.passphrase);
    return status == 0 ? daemon_mount(&r->config) : status;
}

static int mount_command(int argc, char **argv, bool is_helper)
{
    const struct cmd_line line = {.name = "mount",
                                  .usage = usage,
                                  .shorts = is_helper ? ":fnsvrwo:t:N:hV" : ":fdrwo:hV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct request r = {.is_helper = is_helper};
    int status = run(&r, &line);
    release(&r);
    return status;
}

int cmd_mount(int argc, char **argv)
{
    return mount_command(argc, argv, false);
}

int cmd_mount_helper(int argc, char **argv)
{
    return mount_command(argc, argv, true);
}
