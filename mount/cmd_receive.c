/* cmd_receive: makes of a stream of 'varvefs send' a new volume, or a new snapshot and present of
 * one that has the snapshot that it leads from. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mount/explain.h"
#include "mount/json.h"
#include "mount/reading.h"
#include "mount/streams.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs receive [options] VOLUME < STREAM\n"
    "\n"
    "Reads a stream of 'varvefs send' from standard input. If VOLUME does not exist, or is an "
    "empty\n"
    "folder, it becomes a new volume with the tree of the snapshot; the stream must then be one\n"
    "without --from. Otherwise VOLUME, which must not be mounted, must have the snapshot that the\n"
    "stream leads from: its present becomes what the stream leads to. In both cases a snapshot is\n"
    "there then, too. All of it, once all has been read and verified, or nothing.\n"
    "\n"
    "  --name=NAME           the snapshot's name here; otherwise as it was there\n"
    "  --force               undo what was changed here since the snapshot it leads from\n"
    "  -i, --input=FILE      read FILE instead of standard input\n"
    "  --partial=FILE        collect the stream in FILE first, as far as it comes; if it was\n"
    "                        interrupted, tell how 'send' goes on with it, and go on with FILE "
    "the\n"
    "                        next time\n"
    "  --encrypt             encrypt a new volume\n"
    "  --json                print what was made as JSON\n"
    "  -q, --quiet           print nothing\n" CMD_PASSPHRASE_HELP
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n"
    "\n"
    "Exit status: 0 done, or it was there already; 1 nothing has changed; 2 wrong command line;\n"
    "3 interrupted, and kept with --partial.\n";

enum { OPT_NAME = CMD_OPTION, OPT_FORCE, OPT_PARTIAL, OPT_ENCRYPT, OPT_JSON };
enum { RECEIVE_KEPT = 3 };

static const struct option longs[] = {
    {"name", required_argument, NULL, OPT_NAME},
    {"force", no_argument, NULL, OPT_FORCE},
    {"input", required_argument, NULL, 'i'},
    {"partial", required_argument, NULL, OPT_PARTIAL},
    {"encrypt", no_argument, NULL, OPT_ENCRYPT},
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, 'q'},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

struct receive {
    struct passphrase_source source;
    struct passphrase passphrase;
    const char *shown, *input, *partial;
    bool encrypt, as_json, quiet, new_volume;
    struct fs_receive_options options;
    struct stream_file in;
    const char *in_name;
    struct fs_stream_report report;
};

static int on_read(void *ctx, void *data, size_t len, size_t *got)
{
    struct receive *r = ctx;
    int err = stream_file_read(&r->in, data, len, got);
    tell_count("bytes", r->in.bytes);
    return err;
}

static int explain_receive(const struct receive *r, int err)
{
    if (r->in.failed)
        return tell_error("%s: %s", r->in_name, strerror(-err));
    if (err == -EEXIST)
        return tell_error("%s: there is another snapshot '%s'; give this one another name with "
                          "--name=NAME",
                          r->shown, r->report.snapshot);
    if (err == -ESTALE && r->new_volume)
        return tell_error(
            "%s: no volume is here, and the stream leads from a snapshot that another "
            "one has; a new volume needs all of it (send without --from)",
            r->shown);
    return explain_stream(r->in_name, r->shown, err);
}

/* ---- collecting ---- */

struct collecting {
    struct receive *r;
    struct stream_file file;
};

static int collect_read(void *ctx, void *data, size_t len, size_t *got)
{
    struct collecting *c = ctx;
    return on_read(c->r, data, len, got);
}

static int collect_write(void *ctx, const void *data, size_t len)
{
    struct collecting *c = ctx;
    return stream_file_write(&c->file, data, len);
}

/* What is in the file already, as far as it verifies; the rest is cut off. */
static int look_at_file(struct receive *r, struct collecting *c, struct fs_stream_kept *k)
{
    struct stream_file in = {.fd = c->file.fd};
    struct stat st;
    if (fstat(in.fd, &st) == 0 && st.st_size == 0)
        return 0;
    int err = fs_stream_keep(k, stream_file_read, NULL, &in);
    uint64_t kept = fs_stream_kept_bytes(k);
    if ((err < 0 && err != -EPIPE) || kept == 0)
        return tell_error("%s: not a stream that was interrupted; remove it, or give another file",
                          r->partial);
    if (ftruncate(in.fd, (off_t)kept) != 0 || lseek(in.fd, (off_t)kept, SEEK_SET) < 0)
        return tell_error("%s: %s", r->partial, strerror(errno));
    return 0;
}

static int tell_how_to_go_on(const struct receive *r, const struct fs_stream_kept *k)
{
    char token[FS_STREAM_TOKEN_MAX];
    fs_stream_token(k, token);
    if (!token[0])
        return tell_error("%s: the stream is truncated, and nothing of it can be used", r->in_name);
    tell_error("%s: the stream was interrupted; what came is in %s. Go on with: varvefs send "
               "--resume=%s ...",
               r->in_name, r->partial, token);
    return RECEIVE_KEPT;
}

/* Brings the stream together in the file, which is read from then on. */
static int collect(struct receive *r)
{
    struct collecting c = {.r = r};
    struct fs_stream_kept *k = fs_stream_kept_new();
    c.file.fd = open(r->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int status =
        c.file.fd < 0 ? tell_error("%s: %s", r->partial, strerror(errno)) : look_at_file(r, &c, k);
    int err = status == 0 ? fs_stream_keep(k, collect_read, collect_write, &c) : 0;
    tell_progress_end();
    if (c.file.fd >= 0 && fsync(c.file.fd) != 0 && err == 0)
        err = -errno;
    if (err == -EPIPE || err == -EINTR)
        status = tell_how_to_go_on(r, k);
    else if (err == -EINVAL)
        status = tell_error("%s: not what goes on with %s; see: varvefs send --resume", r->in_name,
                            r->partial);
    else if (err < 0)
        status = c.file.failed ? tell_error("%s: %s", r->partial, strerror(-err))
                               : explain_receive(r, err);
    fs_stream_kept_free(k);
    if (status == 0 && lseek(c.file.fd, 0, SEEK_SET) == 0) {
        r->in = c.file;
        r->in.bytes = 0;
        r->in_name = r->partial;
    } else if (c.file.fd >= 0) {
        close(c.file.fd);
    }
    return status;
}

/* ---- a new volume: made beside its place, and moved there when it is whole ---- */

static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char *file = mem_printf("%s/%s", path, entry->d_name);
        unlink(file);
        free(file);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

static int make_new(struct receive *r)
{
    struct fs_make_options make;
    char *path = mem_strdup(r->shown);
    for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
        path[len - 1] = 0;
    char *temp = mem_printf("%s.receiving-%ld", path, (long)getpid());
    fs_make_options_init(&make);
    make.secret = r->encrypt ? &r->passphrase.secret : NULL;
    int err = fs_receive_new(temp, &make, &r->options, on_read, r, &r->report);
    tell_progress_end();
    int status = 0;
    if (err < 0)
        status = err == -ENOENT ? explain_make(path, err) : explain_receive(r, err);
    else if (rename(temp, path) != 0)
        status = explain_make(path, errno == ENOTDIR ? -ENOTDIR : -errno);
    if (status != 0)
        remove_folder(temp);
    else if ((err = stream_sync_name(path)) < 0)
        status = tell_error("%s: %s", path, strerror(-err));
    free(temp);
    free(path);
    return status;
}

/* ---- into a volume ---- */

static int receive_into(struct receive *r, struct cmd_place *place)
{
    struct fs_options o;
    struct fs *fs;
    int status = cmd_find_place(r->shown, place);
    if (status != 0)
        return status;
    if (place->mount)
        return tell_error("%s: mounted at %s; take it down first with: varvefs umount %s", r->shown,
                          place->mount, place->mount);
    status = passphrase_of_volume(&r->source, place->volume, &r->passphrase);
    if (status != 0)
        return status;
    fs_options_init(&o);
    o.secret = &r->passphrase.secret;
    int err = fs_open(place->volume, &o, &fs);
    if (err < 0)
        return explain_volume(r->shown, err);
    err = fs_receive(fs, &r->options, on_read, r, &r->report);
    tell_progress_end();
    int closed = fs_close(fs);
    if (err == -EALREADY) {
        if (!r->quiet)
            tell_note("%s: has it already, as snapshot '%s'", r->shown, r->report.snapshot);
        return closed < 0 ? explain_volume(r->shown, closed) : 0;
    }
    if (err < 0)
        return explain_receive(r, err);
    return closed < 0 ? explain_volume(r->shown, closed) : 0;
}

/* ---- */

static void report(const struct receive *r)
{
    struct json j;
    if (r->as_json) {
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_string(&j, "volume", r->shown);
        json_string(&j, "snapshot", r->report.snapshot);
        json_bool(&j, "new_volume", r->new_volume);
        json_uint(&j, "records", r->report.records);
        json_uint(&j, "record_bytes", r->report.bytes);
        json_close(&j);
    } else if (!r->quiet && r->report.records > 0) {
        char bytes[TELL_BYTES_MAX];
        tell_bytes(r->report.bytes, bytes);
        tell_name(r->shown);
        printf(": snapshot '");
        tell_name(r->report.snapshot);
        printf("', %" PRIu64 " records, %s\n", r->report.records, bytes);
    }
}

static bool is_missing_or_empty(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;
    if (!dir)
        return errno == ENOENT;
    while (count < 3 && readdir(dir))
        count++;
    closedir(dir);
    return count <= 2; /* "." and ".." */
}

static int open_input(struct receive *r)
{
    r->in.fd = STDIN_FILENO;
    r->in_name = "standard input";
    if (!r->input)
        return isatty(STDIN_FILENO) ? tell_error("the stream would come from the terminal; give it "
                                                 "on standard input, or with --input=FILE")
                                    : 0;
    r->in_name = r->input;
    r->in.fd = open(r->input, O_RDONLY | O_CLOEXEC);
    return r->in.fd < 0 ? tell_error("%s: %s", r->input, strerror(errno)) : 0;
}

static int run(struct receive *r)
{
    struct cmd_place place = {0};
    r->new_volume = is_missing_or_empty(r->shown);
    if (r->encrypt && !r->new_volume)
        return tell_error("%s: --encrypt is for a new volume, and something is here", r->shown);
    int status = open_input(r);
    if (status == 0 && r->encrypt)
        status = passphrase_read(&r->source, "Passphrase for the new volume", true, &r->passphrase);
    cmd_catch_signals();
    if (status == 0 && r->partial)
        status = collect(r);
    if (status == 0)
        status = r->new_volume ? make_new(r) : receive_into(r, &place);
    if (status == 0)
        report(r);
    if (status == 0 && r->partial && unlink(r->partial) != 0)
        status = tell_error("%s: %s", r->partial, strerror(errno));
    passphrase_wipe(&r->passphrase);
    cmd_place_release(&place);
    return status;
}

int cmd_receive(int argc, char **argv)
{
    const struct cmd_line line = {.name = "receive",
                                  .usage = usage,
                                  .shorts = ":i:qhV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct receive r = {0};
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        if (option == OPT_NAME)
            r.options.name = optarg;
        else if (option == OPT_PARTIAL)
            r.partial = optarg;
        else if (option == 'i')
            r.input = optarg;
        r.options.force |= option == OPT_FORCE;
        r.encrypt |= option == OPT_ENCRYPT;
        r.as_json |= option == OPT_JSON;
        r.quiet |= option == 'q';
        passphrase_option(&r.source, option, optarg);
    }
    status = cmd_operands(&line, 1, 1, "VOLUME");
    if (status == 0 && r.options.name && !reading_is_snapshot_name(r.options.name))
        status = tell_usage("receive", "'%s' cannot be a snapshot's name", r.options.name);
    if (status != 0)
        return status;
    r.shown = argv[optind];
    return run(&r);
}
