/* cmd_stat: figures of a volume or a mount. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/fs.h"
#include "mount/cmd.h"
#include "mount/explain.h"
#include "mount/json.h"
#include "mount/passphrase.h"
#include "mount/report.h"
#include "mount/tell.h"

static const char usage[] = "usage: varvefs stat [options] VOLUME|MOUNTPOINT\n"
                            "\n"
                            "Shows what a volume holds and takes. Of a mounted one, what the mount "
                            "tells: its figures\n"
                            "since it was mounted.\n"
                            "\n"
                            "  --settings            of a mount: the settings in force\n"
                            "  --json                print it as JSON\n" CMD_PASSPHRASE_HELP
                            "  -h, --help            print this\n"
                            "  -V, --version         print the version\n";

enum { OPT_JSON = CMD_OPTION, OPT_SETTINGS };

static const struct option longs[] = {
    {"json", no_argument, NULL, OPT_JSON},
    {"settings", no_argument, NULL, OPT_SETTINGS},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

/* One figure: in JSON under its key, for people under its name, in its unit. */
enum unit { UNIT_COUNT, UNIT_BYTES };
struct figure {
    const char *key, *name;
    enum unit unit;
    uint64_t value;
};

static void show_figures(struct json *j, const struct figure *figures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct figure *f = &figures[i];
        char text[TELL_BYTES_MAX];
        if (j) {
            json_uint(j, f->key, f->value);
            continue;
        }
        if (f->unit == UNIT_BYTES)
            tell_bytes(f->value, text);
        else
            snprintf(text, sizeof text, "%" PRIu64, f->value);
        printf("%-24s%s\n", f->name, text);
    }
}

static void show_text(struct json *j, const char *key, const char *name, const char *value)
{
    if (j) {
        json_string(j, key, value);
        return;
    }
    printf("%-24s", name);
    tell_name(value);
    putchar('\n');
}

static uint64_t level_tables(const struct store_stats *s)
{
    uint64_t count = 0;
    for (size_t i = 0; i < sizeof s->level_tables / sizeof *s->level_tables; i++)
        count += s->level_tables[i];
    return count;
}

static uint64_t level_bytes(const struct store_stats *s)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof s->level_bytes / sizeof *s->level_bytes; i++)
        bytes += s->level_bytes[i];
    return bytes;
}

static void show_volume(struct json *j, const char *path, const struct fs_stats *s)
{
    char uuid[TELL_UUID_MAX], made[TELL_TIME_MAX], compression[TELL_COMPRESSION_MAX];
    const struct figure figures[] = {
        {"inodes", "inodes in use", UNIT_COUNT, s->inodes},
        {"used_bytes", "data in files", UNIT_BYTES, s->used_bytes},
        {"volume_bytes", "the volume takes", UNIT_BYTES, s->volume_bytes},
        {"free_bytes", "free on the disk", UNIT_BYTES, s->free_bytes},
        {"total_bytes", "size of the disk", UNIT_BYTES, s->total_bytes},
        {"snapshots", "snapshots", UNIT_COUNT, s->store.pins},
        {"chunk_bytes", "chunk size", UNIT_BYTES, s->chunk_bytes},
        {"log_bytes", "in logs", UNIT_BYTES, s->store.log_bytes},
        {"tables", "tables", UNIT_COUNT, level_tables(&s->store)},
        {"table_bytes", "in tables", UNIT_BYTES, level_bytes(&s->store)},
        {"blob_files", "blob files", UNIT_COUNT, s->store.blob_files},
        {"blob_bytes", "in blob files", UNIT_BYTES, s->store.blob_bytes},
        {"blob_garbage_bytes", "of it garbage", UNIT_BYTES, s->store.blob_garbage_bytes},
        {"space_live_bytes", "live", UNIT_BYTES, s->store.space_live_bytes},
        {"space_garbage_bytes", "known to be garbage", UNIT_BYTES, s->store.space_garbage_bytes},
        {"space_reserve_bytes", "reserve", UNIT_BYTES, s->store.space_reserve_bytes},
        {"space_compaction_bytes", "a compaction takes", UNIT_BYTES,
         s->store.space_compaction_bytes},
        {"key_epoch", "generation of the key", UNIT_COUNT, s->store.key_epoch},
        {"old_key_files", "files of older ones", UNIT_COUNT, s->store.old_key_files},
        {"old_key_bytes", "in them", UNIT_BYTES, s->store.old_key_bytes},
    };
    tell_uuid(s->uuid, uuid);
    (j ? tell_time_utc : tell_time)(s->made_ns, made);
    tell_compression(s->zstd_level, compression);
    show_text(j, "volume", "volume", path);
    show_text(j, "uuid", "uuid", uuid);
    show_text(j, "made", "made", made);
    show_text(j, "compression", "compression", compression);
    show_text(j, "encryption", "encryption", s->store.key_epoch ? "AES-256-GCM" : "none");
    show_text(j, "space_state", "space", fs_space_state_name(s->store.space_state));
    show_figures(j, figures, sizeof figures / sizeof *figures - (s->store.key_epoch ? 0 : 3));
}

static int stat_volume(struct json *j, const char *shown, const char *path,
                       const struct passphrase_source *source)
{
    struct passphrase passphrase;
    struct fs_options o;
    struct fs_stats stats;
    struct fs *fs = NULL;
    fs_options_init(&o);
    o.read_only = true;
    int status = passphrase_of_volume(source, path, &passphrase);
    if (status != 0)
        return status;
    o.secret = &passphrase.secret;
    int err = fs_open(path, &o, &fs);
    passphrase_wipe(&passphrase);
    if (err == 0)
        err = fs_get_stats(fs, &stats);
    if (fs)
        fs_close(fs);
    if (err < 0)
        return explain_volume(shown, err);
    if (j)
        json_object(j, NULL);
    show_volume(j, path, &stats);
    if (j)
        json_close(j);
    return TELL_OK;
}

static int stat_settings(struct json *j, const struct cmd_place *place)
{
    struct buf text = {0};
    if (!place->mount)
        return tell_error("%s: only a mount has settings in force", place->volume);
    int err =
        cmd_ask_mount(place->mount, j ? REPORT_XATTR_SETTINGS_JSON : REPORT_XATTR_SETTINGS, &text);
    if (err == 0)
        fputs((const char *)text.data, stdout);
    buf_release(&text);
    return err < 0 ? tell_error("%s: %s", place->mount, strerror(-err)) : TELL_OK;
}

/* Its activity; a daemon of an older version tells none. */
static void show_activity(struct json *j, const char *mount)
{
    struct buf text = {0};
    if (cmd_ask_mount(mount, j ? REPORT_XATTR_ACTIVITY_JSON : REPORT_XATTR_ACTIVITY, &text) == 0) {
        if (j)
            json_raw(j, "activity", (const char *)text.data);
        else
            fputs((const char *)text.data, stdout);
    }
    buf_release(&text);
}

static int stat_mount(struct json *j, const struct cmd_place *place)
{
    struct statvfs st;
    assert(place->mount && place->volume);
    if (statvfs(place->mount, &st) != 0)
        return tell_error("%s: %s", place->mount, strerror(errno));
    const struct figure figures[] = {
        {"inodes", "inodes in use", UNIT_COUNT, st.f_files - st.f_ffree},
        {"free_bytes", "free on the disk", UNIT_BYTES, (uint64_t)st.f_bfree * st.f_frsize},
        {"total_bytes", "size of the disk", UNIT_BYTES, (uint64_t)st.f_blocks * st.f_frsize},
    };
    if (j)
        json_object(j, NULL);
    show_text(j, "mountpoint", "mounted at", place->mount);
    show_text(j, "volume", "volume", place->volume);
    show_figures(j, figures, sizeof figures / sizeof *figures);
    show_activity(j, place->mount);
    if (j)
        json_close(j);
    return TELL_OK;
}

int cmd_stat(int argc, char **argv)
{
    const struct cmd_line line = {.name = "stat",
                                  .usage = usage,
                                  .shorts = ":hV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct passphrase_source source = {0};
    struct cmd_place place;
    struct json json, *j = NULL;
    int option, status = 0;
    bool settings = false;
    json_init(&json, stdout);
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        j = option == OPT_JSON ? &json : j;
        settings |= option == OPT_SETTINGS;
        passphrase_option(&source, option, optarg);
    }
    status = cmd_operands(&line, 1, 1, "VOLUME or MOUNTPOINT");
    if (status == 0)
        status = cmd_find_place(argv[optind], &place);
    if (status != 0)
        return status;
    status = settings      ? stat_settings(j, &place)
             : place.mount ? stat_mount(j, &place)
                           : stat_volume(j, argv[optind], place.volume, &source);
    cmd_place_release(&place);
    return status;
}
