/* cmd_dump: what is in one file of a volume, or in the manifest, or what became of one key. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/fs.h"
#include "mount/cmd.h"
#include "mount/explain.h"
#include "mount/json.h"
#include "mount/passphrase.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs dump [options] VOLUME [FILE]\n"
    "       varvefs dump [options] --key KEY VOLUME\n"
    "\n"
    "Shows a file of a volume, such as 000012.table, 000013.log, 000014.blob, TAIL or CURRENT;\n"
    "without FILE the manifest in force. The volume may be mounted; nothing is changed. With "
    "--key: all\n"
    "versions of one key, with where they are; for this the volume may not be in use.\n"
    "\n"
    "A KEY is 17/attr, 17/xattr/NAME, 17/slot/NUMBER, 17/data/CHUNK, super/record, "
    "super/counters,\n"
    "super/next, super/orphan/INODE or raw:HEX.\n"
    "\n"
    "  --key KEY             this key's history\n"
    "  --from KEY, --to KEY  of a file only entries from here on, and before there; also 17 or "
    "17/data\n"
    "  --limit N             show no more than N entries\n"
    "  --brief               no entries\n"
    "  --blocks              blocks and indexes, too\n"
    "  --values              values in full\n"
    "  --json                print it as JSON\n" CMD_PASSPHRASE_HELP
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n";

enum {
    OPT_JSON = CMD_OPTION,
    OPT_KEY,
    OPT_FROM,
    OPT_TO,
    OPT_LIMIT,
    OPT_BRIEF,
    OPT_BLOCKS,
    OPT_VALUES,
};

static const struct option longs[] = {
    {"json", no_argument, NULL, OPT_JSON},
    CMD_PASSPHRASE,
    {"key", required_argument, NULL, OPT_KEY},
    {"from", required_argument, NULL, OPT_FROM},
    {"to", required_argument, NULL, OPT_TO},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"brief", no_argument, NULL, OPT_BRIEF},
    {"blocks", no_argument, NULL, OPT_BLOCKS},
    {"values", no_argument, NULL, OPT_VALUES},
    CMD_COMMON,
    {0},
};

enum { VALUE_SHOWN = 32 };

struct dump_request {
    struct fs_dump_options range;
    const char *key;
    bool as_json, values;
    struct passphrase_source source;
    struct json json;
};

/* ---- printing ---- */

/* Bytes as text: what is not printable as \xHH. The caller frees it. */
static char *escaped(struct slice bytes, size_t most)
{
    size_t shown = bytes.len < most ? bytes.len : most;
    char *text = mem_alloc(4 * shown + 4), *at = text;
    for (size_t i = 0; i < shown; i++) {
        uint8_t c = bytes.data[i];
        if (c >= ' ' && c < 127 && c != '\\')
            *at++ = (char)c;
        else
            at += sprintf(at, "\\x%02x", c);
    }
    strcpy(at, shown < bytes.len ? "..." : "");
    return text;
}

/* A fact as text, or NULL when it is a plain number. The caller frees it. */
static char *fact_text(const struct dump_request *r, const struct store_fact *f)
{
    char time[TELL_TIME_MAX];
    switch (f->kind) {
    case FACT_HEX:
        return mem_printf("%016" PRIx64, f->number);
    case FACT_TIME:
        tell_time_utc((int64_t)f->number, time);
        return mem_strdup(time);
    case FACT_TEXT:
        return mem_strdup(f->text);
    case FACT_KEY:
    case FACT_VALUE:
        return escaped(f->bytes, r->values ? SIZE_MAX : VALUE_SHOWN);
    default:
        return NULL;
    }
}

static void print_json(struct dump_request *r, const struct store_item *item)
{
    json_object(&r->json, NULL);
    json_string(&r->json, "what", item->what);
    for (uint32_t i = 0; i < item->count; i++) {
        const struct store_fact *f = &item->facts[i];
        char *text = fact_text(r, f);
        if (text)
            json_string(&r->json, f->name, text);
        else
            json_uint(&r->json, f->name, f->number);
        free(text);
    }
    json_close(&r->json);
}

static void print_text(struct dump_request *r, const struct store_item *item)
{
    printf("%-14s", item->what);
    for (uint32_t i = 0; i < item->count; i++) {
        const struct store_fact *f = &item->facts[i];
        char *text = fact_text(r, f);
        if (!text)
            printf("  %s %" PRIu64, f->name, f->number);
        else if (strchr(text, ' ') || f->kind == FACT_VALUE)
            printf("  %s \"%s\"", f->name, text);
        else
            printf("  %s %s", f->name, text);
        free(text);
    }
    putchar('\n');
}

static int print(void *ctx, const struct store_item *item)
{
    struct dump_request *r = ctx;
    assert(item->what);
    if (r->as_json)
        print_json(r, item);
    else
        print_text(r, item);
    return ferror(stdout) ? -EIO : 0;
}

/* ---- showing ---- */

static int explain(const struct dump_request *r, const char *shown, const char *name, int err)
{
    if (err == -EINVAL && r->key)
        return tell_error("%s: that is no key; see: varvefs dump --help", r->key);
    if (err == -EINVAL)
        return tell_error("%s: no file that can be shown, or --from or --to is no key",
                          name ? name : shown);
    if (err == -ENOENT && name)
        return tell_error("%s: there is no such file in %s", name, shown);
    return explain_volume(shown, err);
}

static int show_key(struct dump_request *r, const char *path, const struct store_secret *secret)
{
    struct fs_options o;
    struct fs *fs = NULL;
    fs_options_init(&o);
    o.read_only = true;
    o.secret = secret;
    int err = fs_open(path, &o, &fs);
    if (err == 0)
        err = fs_dump_key(fs, r->key, r->range.limit, print, r);
    if (fs)
        fs_close(fs);
    return err;
}

static int show(struct dump_request *r, const char *shown, const char *path, const char *name)
{
    struct passphrase passphrase = {0};
    struct fs_options o;
    int status = 0;
    fs_options_init(&o);
    /* Without a key there is still something to show. */
    if (r->key || passphrase_is_at_hand(&r->source)) {
        status = passphrase_of_volume(&r->source, path, &passphrase);
        o.secret = &passphrase.secret;
    }
    if (status != 0)
        return status;
    json_init(&r->json, stdout);
    if (r->as_json)
        json_list(&r->json, NULL);
    int err = r->key ? show_key(r, path, o.secret) : fs_dump(path, &o, name, &r->range, print, r);
    if (r->as_json)
        json_close(&r->json);
    passphrase_wipe(&passphrase);
    return err < 0 ? explain(r, shown, name, err) : TELL_OK;
}

static int take_option(struct dump_request *r, int option)
{
    char *end;
    switch (option) {
    case OPT_KEY:
        r->key = optarg;
        break;
    case OPT_FROM:
        r->range.from = optarg;
        break;
    case OPT_TO:
        r->range.to = optarg;
        break;
    case OPT_LIMIT:
        r->range.limit = strtoull(optarg, &end, 10);
        if (*optarg < '0' || *optarg > '9' || *end)
            return tell_usage("dump", "'%s' is not a number", optarg);
        break;
    default:
        passphrase_option(&r->source, option, optarg);
        r->as_json |= option == OPT_JSON;
        r->values |= option == OPT_VALUES;
        r->range.blocks |= option == OPT_BLOCKS;
        r->range.entries &= option != OPT_BRIEF;
    }
    return 0;
}

int cmd_dump(int argc, char **argv)
{
    const struct cmd_line line = {.name = "dump",
                                  .usage = usage,
                                  .shorts = ":hV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct dump_request r = {.range = {.entries = true}};
    struct cmd_place place;
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option != CMD_EXIT)
            status = take_option(&r, option);
        if (option == CMD_EXIT || status != 0)
            return status;
    }
    status = cmd_operands(&line, 1, r.key ? 1 : 2, r.key ? "VOLUME" : "VOLUME [FILE]");
    if (status == 0)
        status = cmd_find_place(argv[optind], &place);
    if (status != 0)
        return status;
    status = show(&r, argv[optind], place.volume, argv[optind + 1]);
    cmd_place_release(&place);
    return status;
}
