/* cmd_mkfs: makes a volume. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mount/cmd.h"
#include "mount/explain.h"
#include "mount/json.h"
#include "mount/options.h"
#include "mount/passphrase.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs mkfs [options] VOLUME\n"
    "       mkfs.varvefs [options] VOLUME\n"
    "\n"
    "Makes an empty volume in the folder VOLUME, which has to be empty or not to exist.\n"
    "Its root folder belongs to the user who makes it.\n"
    "\n"
    "  --chunk-size=SIZE     files are cut in chunks of this size, 16K to 1M, a power of two; "
    "large\n"
    "                        chunks pack better, small ones suit databases (default: 64K)\n"
    "  --compression=WHICH   none, or zstd:1 (fast) to zstd:19 (small); can be changed at each "
    "mount\n"
    "                        (default: zstd:1)\n"
    "  --encrypt             encrypt it; the passphrase is asked for twice, or comes from one "
    "of\n" CMD_PASSPHRASE_HELP "                        without it nothing can ever be read: keep "
    "it, and a copy of VOLUME/KEYS\n"
    "  --json                print what was made as JSON\n"
    "  -q, --quiet           print nothing\n"
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n";

enum { OPT_CHUNK_SIZE = CMD_OPTION, OPT_COMPRESSION, OPT_ENCRYPT, OPT_JSON };

static const struct option longs[] = {
    {"chunk-size", required_argument, NULL, OPT_CHUNK_SIZE},
    {"compression", required_argument, NULL, OPT_COMPRESSION},
    {"encrypt", no_argument, NULL, OPT_ENCRYPT},
    CMD_PASSPHRASE,
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, 'q'},
    CMD_COMMON,
    {0},
};

static int set_chunk(const char *text, struct fs_make_options *o)
{
    uint64_t bytes;
    if (options_size(text, &bytes) < 0 || bytes < 16 << 10 || bytes > 1 << 20 ||
        (bytes & (bytes - 1)))
        return tell_usage("mkfs", "'%s' is no chunk size: 16K, 32K, 64K, 128K, 256K, 512K or 1M",
                          text);
    o->chunk_bytes = (uint32_t)bytes;
    assert(o->chunk_bytes == bytes);
    return 0;
}

static int set_compression(const char *text, struct fs_make_options *o)
{
    if (options_compression(text, &o->zstd_level) < 0)
        return tell_usage("mkfs", "'%s' is no compression: none, zstd, or zstd:1 to zstd:19", text);
    return 0;
}

static void print_json(const char *path, const struct fs_stats *stats, const char *uuid)
{
    struct json j;
    json_init(&j, stdout);
    json_object(&j, NULL);
    json_string(&j, "volume", path);
    json_string(&j, "uuid", uuid);
    json_uint(&j, "chunk_bytes", stats->chunk_bytes);
    json_int(&j, "zstd_level", stats->zstd_level);
    json_bool(&j, "encrypted", stats->store.key_epoch != 0);
    json_close(&j);
}

/* Opens what was made, which shows that it can be, and says what it is. */
static int show(const char *path, bool as_json, const struct store_secret *secret)
{
    struct fs_options o;
    struct fs_stats stats;
    struct fs *fs = NULL;
    char chunk[TELL_BYTES_MAX], uuid[TELL_UUID_MAX], compression[TELL_COMPRESSION_MAX];
    fs_options_init(&o);
    o.read_only = true;
    o.secret = secret;
    int err = fs_open(path, &o, &fs);
    if (err == 0)
        err = fs_get_stats(fs, &stats);
    if (fs)
        fs_close(fs);
    if (err < 0)
        return explain_volume(path, err);
    assert(stats.inodes == 1); /* the root folder */
    tell_uuid(stats.uuid, uuid);
    tell_bytes(stats.chunk_bytes, chunk);
    tell_compression(stats.zstd_level, compression);
    if (as_json)
        print_json(path, &stats, uuid);
    else
        printf("%s: a new volume, %s, chunks of %s, compression %s%s\n", path, uuid, chunk,
               compression, secret ? ", encrypted" : "");
    return TELL_OK;
}

/* Makes it, and shows it unless `quiet`. */
static int make(const char *path, struct fs_make_options *o, bool as_json, bool quiet)
{
    mode_t mask = umask(0);
    umask(mask);
    o->uid = geteuid();
    o->gid = getegid();
    o->mode = 0755 & ~mask;
    int err = fs_make(path, o);
    if (err < 0)
        return explain_make(path, err);
    return quiet ? TELL_OK : show(path, as_json, o->secret);
}

static int make_encrypted(const char *path, struct fs_make_options *o, bool as_json, bool quiet,
                          const struct passphrase_source *source)
{
    struct passphrase passphrase;
    char *what = mem_printf("Passphrase for the new volume %s", path);
    int status = passphrase_read(source, what, true, &passphrase);
    free(what);
    if (status != 0)
        return status;
    o->secret = &passphrase.secret;
    status = make(path, o, as_json, quiet);
    o->secret = NULL;
    passphrase_wipe(&passphrase);
    return status;
}

int cmd_mkfs(int argc, char **argv)
{
    const struct cmd_line line = {.name = "mkfs",
                                  .usage = usage,
                                  .shorts = ":hqV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct fs_make_options o;
    struct passphrase_source source = {0};
    bool as_json = false, quiet = false, encrypt = false;
    int option, status = 0;
    fs_make_options_init(&o);
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        if (option == OPT_CHUNK_SIZE)
            status = set_chunk(optarg, &o);
        else if (option == OPT_COMPRESSION)
            status = set_compression(optarg, &o);
        passphrase_option(&source, option, optarg);
        encrypt = encrypt || option == OPT_ENCRYPT;
        as_json = as_json || option == OPT_JSON;
        quiet = quiet || option == 'q';
        if (status != 0)
            return status;
    }
    status = cmd_operands(&line, 1, 1, "VOLUME");
    if (status != 0)
        return status;
    if (!encrypt && (source.file || source.command))
        return tell_usage("mkfs", "a passphrase was given, but not --encrypt");
    const char *path = argv[optind];
    return encrypt ? make_encrypted(path, &o, as_json, quiet, &source)
                   : make(path, &o, as_json, quiet);
}
