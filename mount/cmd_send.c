/* cmd_send: writes a snapshot, or what leads from one to another, as a stream. */
#include <assert.h>
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
    "usage: varvefs send [options] WHERE@SNAPSHOT\n"
    "\n"
    "Writes a snapshot as a stream to standard output, for 'varvefs receive' on this machine or\n"
    "another: all of it, or with --from only what leads to it from an earlier one, which the "
    "other\n"
    "side has. WHERE is a volume or a mount point; a snapshot's folder in a mount can be given\n"
    "instead. The stream is not compressed, nor encrypted: pipe it through what you like.\n"
    "\n"
    "  --from=SNAPSHOT       only what leads from that snapshot to this one\n"
    "  -o, --output=FILE     write to FILE; if an interrupted stream of the same is there, go on\n"
    "                        where it ends\n"
    "  --resume=TOKEN        go on where the other side was interrupted, as 'varvefs receive\n"
    "                        --partial' has told\n"
    "  --json                print figures as JSON, to standard error unless --output is given\n"
    "  -q, --quiet           print nothing\n" CMD_PASSPHRASE_HELP
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n"
    "\n"
    "Exit status: 0 all was written, 1 it was not, 2 wrong command line.\n";

enum { OPT_FROM = CMD_OPTION, OPT_RESUME, OPT_JSON };

static const struct option longs[] = {
    {"from", required_argument, NULL, OPT_FROM},
    {"output", required_argument, NULL, 'o'},
    {"resume", required_argument, NULL, OPT_RESUME},
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, 'q'},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

struct send {
    struct passphrase_source source;
    const char *shown, *from, *output, *resume;
    bool as_json, quiet;
    struct reading_name name;
    char *from_name; /* owned */
    char token[FS_STREAM_TOKEN_MAX];
    struct stream_file out;
    uint64_t skip; /* bytes of the head that a file which is gone on with does not get */
    struct fs_stream_report report;
};

static int on_write(void *ctx, const void *data, size_t len)
{
    struct send *s = ctx;
    if (cmd_cancelled())
        return -EINTR;
    if (s->skip) { /* the head comes with one call */
        s->skip = 0;
        return 0;
    }
    int err = stream_file_write(&s->out, data, len);
    tell_count("bytes", s->out.bytes);
    return err;
}

static int explain_send(const struct send *s, int err)
{
    switch (err) {
    case -ENOENT:
        return s->from_name
                   ? tell_error("%s: there is no snapshot '%s', or none '%s'", s->name.where,
                                s->from_name, s->name.snapshot)
                   : tell_error("%s: there is no snapshot '%s'", s->name.where, s->name.snapshot);
    case -EINVAL:
        if (s->token[0] || s->resume)
            return tell_error("%s: what is to be gone on with is another stream, or '%s' is not "
                              "the earlier snapshot",
                              s->shown, s->from_name ? s->from_name : "");
        return tell_error("%s: snapshot '%s' is not earlier than '%s'", s->name.where, s->from_name,
                          s->name.snapshot);
    case -EINTR:
        return tell_error("interrupted");
    case -EPIPE:
        return tell_error("nobody reads the stream any more");
    default:
        if (s->out.failed)
            return tell_error("%s: %s", s->output ? s->output : "standard output", strerror(-err));
        return explain_volume(s->name.where, err);
    }
}

/* ---- going on in a file ---- */

/* What is there of a stream is kept as far as it verifies; what is behind is cut off. 0, 1: it is
 * whole already; or an exit status. */
static int look_at_file(struct send *s, int *status)
{
    struct fs_stream_kept *k = fs_stream_kept_new();
    struct stream_file in = {.fd = s->out.fd};
    int err = fs_stream_keep(k, stream_file_read, NULL, &in);
    uint64_t kept = fs_stream_kept_bytes(k);
    fs_stream_token(k, s->token);
    fs_stream_kept_free(k);
    *status = 0;
    if (err == 0)
        return 1;
    if (err != -EPIPE || (in.bytes > 0 && kept == 0 && in.bytes >= STREAM_HEAD_LEAST)) {
        *status =
            tell_error("%s: not a stream that was interrupted; remove it, or write to another "
                       "file",
                       s->output);
        return -EINVAL;
    }
    if (!s->token[0])
        kept = 0; /* not even a block: from the beginning */
    if (ftruncate(s->out.fd, (off_t)kept) != 0 || lseek(s->out.fd, (off_t)kept, SEEK_SET) < 0) {
        *status = tell_error("%s: %s", s->output, strerror(errno));
        return -errno;
    }
    s->skip = kept > 0;
    s->out.bytes = kept;
    return 0;
}

static int open_output(struct send *s, bool *whole)
{
    struct stat st;
    int status = 0;
    *whole = false;
    s->out.fd = STDOUT_FILENO;
    if (!s->output)
        return isatty(STDOUT_FILENO)
                   ? tell_error("the stream would go to the terminal; send it to a file or a pipe")
                   : 0;
    s->out.fd = open(s->output, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->out.fd < 0 || fstat(s->out.fd, &st) != 0)
        return tell_error("%s: %s", s->output, strerror(errno));
    if (st.st_size > 0)
        *whole = look_at_file(s, &status) == 1;
    return status;
}

/* ---- */

static void report(const struct send *s)
{
    FILE *to = s->output ? stdout : stderr;
    struct json j;
    if (s->as_json) {
        json_init(&j, to);
        json_object(&j, NULL);
        json_string(&j, "snapshot", s->report.snapshot);
        if (s->from_name)
            json_string(&j, "from", s->from_name);
        json_uint(&j, "records", s->report.records);
        json_uint(&j, "record_bytes", s->report.bytes);
        json_uint(&j, "stream_bytes", s->out.bytes);
        json_close(&j);
    } else if (s->output && !s->quiet) {
        char bytes[TELL_BYTES_MAX];
        tell_bytes(s->out.bytes, bytes);
        tell_name(s->output);
        printf(": %s, %" PRIu64 " records\n", bytes, s->report.records);
    }
}

static int send_it(struct send *s, struct fs *fs)
{
    const char *token = s->resume ? s->resume : s->token[0] ? s->token : NULL;
    int err = fs_send(fs, s->from_name, s->name.snapshot, token, on_write, s, &s->report);
    if (err == 0 && s->output) {
        err = fsync(s->out.fd) == 0 ? stream_sync_name(s->output) : -errno;
        s->out.failed = err < 0;
    }
    tell_progress_end();
    return err < 0 ? explain_send(s, err) : 0;
}

static int run(struct send *s)
{
    struct reading r;
    bool whole;
    int status = open_output(s, &whole);
    if (status != 0)
        return status;
    if (whole) {
        if (!s->quiet)
            tell_note("%s: is whole already", s->output);
        return 0;
    }
    signal_ignore_pipe();
    status = reading_open(&s->source, s->name.where, &r);
    if (status == 0)
        status = send_it(s, r.fs);
    status = reading_close(&r, status);
    if (status == 0)
        report(s);
    return status;
}

/* "--from=@NAME", a path, or a name. */
static char *base_name(const char *text)
{
    struct reading_name n;
    if (!strchr(text, '/'))
        return mem_strdup(*text == '@' ? text + 1 : text);
    reading_name_parse(text, &n);
    char *name = n.snapshot;
    n.snapshot = NULL;
    reading_name_release(&n);
    return name;
}

int cmd_send(int argc, char **argv)
{
    const struct cmd_line line = {.name = "send",
                                  .usage = usage,
                                  .shorts = ":o:qhV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct send s = {.out = {.fd = -1}};
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        if (option == OPT_FROM)
            s.from = optarg;
        else if (option == OPT_RESUME)
            s.resume = optarg;
        else if (option == 'o')
            s.output = optarg;
        s.as_json |= option == OPT_JSON;
        s.quiet |= option == 'q';
        passphrase_option(&s.source, option, optarg);
    }
    status = cmd_operands(&line, 1, 1, "WHERE@SNAPSHOT");
    if (status == 0 && s.resume && s.output)
        status = tell_usage("send", "--resume and --output exclude each other: a file is gone on "
                                    "with by itself");
    if (status != 0)
        return status;
    s.shown = argv[optind];
    reading_name_parse(s.shown, &s.name);
    s.from_name = s.from ? base_name(s.from) : NULL;
    if (!s.name.snapshot || (s.from && !s.from_name))
        status = tell_usage("send", "'%s' has no snapshot; write it as WHERE@SNAPSHOT",
                            s.name.snapshot ? s.from : s.shown);
    else
        status = run(&s);
    if (s.output && s.out.fd >= 0)
        close(s.out.fd);
    free(s.from_name);
    reading_name_release(&s.name);
    return status;
}
