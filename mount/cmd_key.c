/* cmd_key: the passphrases of an encrypted volume, and new generations of its key. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mount/cmd_key_priv.h"
#include "mount/explain.h"
#include "mount/json.h"
#include "mount/tell.h"

static const char usage[] =
    "usage: varvefs key list   [--json] VOLUME\n"
    "       varvefs key add    [--label=TEXT] VOLUME\n"
    "       varvefs key change VOLUME\n"
    "       varvefs key remove --slot=NUMBER VOLUME\n"
    "       varvefs key rotate [--drop-others] [--later] [--json] VOLUME\n"
    "       varvefs key finish [--json] VOLUME\n"
    "\n"
    "An encrypted volume is opened by any of up to eight passphrases, each in a slot of its own. "
    "It\n"
    "must not be mounted. 'add' sets one more, 'change' replaces the one that was given, 'remove'\n"
    "takes one away. 'rotate' begins a new generation of the key, and encrypts all data anew; the\n"
    "passphrases of all slots are needed, or are given up. It may be interrupted: mounts go on "
    "with\n"
    "it, and so does 'finish'.\n"
    "\n" CMD_PASSPHRASE_HELP
    "  --new-passfile=FILE   'add' and 'change': where the new one comes from\n"
    "  --new-extpass=COMMAND\n"
    "  --other-passfile=NUMBER:FILE\n"
    "                        'rotate': the passphrase of slot NUMBER; may be repeated\n"
    "  --drop-others         'rotate': give up all slots whose passphrase is not given\n"
    "  --later               'rotate': only begin; the next mounts do the work\n"
    "  --label=TEXT          'add': what to call it, for people\n"
    "  --slot=NUMBER         'remove': which\n"
    "  --json                print the result as JSON\n"
    "  -h, --help            print this\n"
    "  -V, --version         print the version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong command line.\n";

enum {
    OPT_JSON = CMD_OPTION,
    OPT_LABEL,
    OPT_SLOT,
    OPT_LATER,
    OPT_DROP_OTHERS,
    OPT_NEW_PASSFILE,
    OPT_NEW_EXTPASS,
    OPT_OTHER_PASSFILE,
};

static const struct option longs[] = {
    {"json", no_argument, NULL, OPT_JSON},
    {"label", required_argument, NULL, OPT_LABEL},
    {"slot", required_argument, NULL, OPT_SLOT},
    {"later", no_argument, NULL, OPT_LATER},
    {"drop-others", no_argument, NULL, OPT_DROP_OTHERS},
    {"new-passfile", required_argument, NULL, OPT_NEW_PASSFILE},
    {"new-extpass", required_argument, NULL, OPT_NEW_EXTPASS},
    {"other-passfile", required_argument, NULL, OPT_OTHER_PASSFILE},
    CMD_PASSPHRASE,
    CMD_COMMON,
    {0},
};

int cmd_key_explain(const char *volume, int err)
{
    switch (err) {
    case 1:
        return tell_error("%s: not encrypted, so there are no keys", volume);
    case -ENOSPC:
        return tell_error("%s: all %d slots are in use; remove one first, or change one", volume,
                          STORE_KEY_SLOTS);
    case -EBUSY:
        return tell_error("%s: that is the only passphrase; add another one first", volume);
    default:
        return explain_volume(volume, err);
    }
}

/* ---- list ---- */

static void print_json(const char *volume, const struct store_keys *keys)
{
    struct json j;
    json_init(&j, stdout);
    json_object(&j, NULL);
    json_string(&j, "volume", volume);
    json_uint(&j, "generations", keys->generations);
    json_list(&j, "slots");
    for (uint32_t i = 0; i < keys->slot_count; i++) {
        const struct store_key_slot *s = &keys->slots[i];
        char made[TELL_TIME_MAX];
        tell_time_utc(s->made_ns, made);
        json_object(&j, NULL);
        json_uint(&j, "slot", s->number);
        json_string(&j, "label", s->label);
        json_string(&j, "made", made);
        json_uint(&j, "scrypt_log_n", s->scrypt_log_n);
        json_uint(&j, "scrypt_r", s->scrypt_r);
        json_uint(&j, "scrypt_p", s->scrypt_p);
        json_close(&j);
    }
    json_close(&j);
    json_close(&j);
}

static void print_text(const struct store_keys *keys)
{
    for (uint32_t i = 0; i < keys->slot_count; i++) {
        const struct store_key_slot *s = &keys->slots[i];
        char made[TELL_TIME_MAX];
        tell_time(s->made_ns, made);
        printf("slot %u  %s  scrypt N=2^%u r=%u p=%u  ", s->number, made, s->scrypt_log_n,
               s->scrypt_r, s->scrypt_p);
        tell_name(s->label);
        putchar('\n');
    }
    if (keys->generations > 1)
        printf("%u generations of the key: data is being encrypted anew\n", keys->generations);
}

static int list(const struct key_request *r)
{
    struct store_keys keys;
    int err = explain_is_volume(r->volume);
    if (err == 0)
        err = fs_keys_get(r->volume, &keys);
    if (err != 0)
        return cmd_key_explain(r->volume, err);
    if (r->as_json)
        print_json(r->volume, &keys);
    else
        print_text(&keys);
    return TELL_OK;
}

/* ---- add, change, remove ---- */

int cmd_key_unlock(const struct key_request *r, struct passphrase *p)
{
    struct store_keys keys;
    int err = explain_is_volume(r->volume);
    *p = (struct passphrase){0};
    if (err == 0)
        err = fs_keys_get(r->volume, &keys);
    return err != 0 ? cmd_key_explain(r->volume, err)
                    : passphrase_of_volume(&r->source, r->volume, p);
}

typedef int set_fn(const struct key_request *r, const struct passphrase *old,
                   const struct passphrase *new, uint32_t *slot);

static int add_one(const struct key_request *r, const struct passphrase *old,
                   const struct passphrase *new, uint32_t *slot)
{
    return fs_keys_add(r->volume, &old->secret, &new->secret, r->label, slot);
}

static int change_one(const struct key_request *r, const struct passphrase *old,
                      const struct passphrase *new, uint32_t *slot)
{
    return fs_keys_change(r->volume, &old->secret, &new->secret, slot);
}

static void show_slot(const struct key_request *r, const char *what, uint32_t slot)
{
    struct json j;
    if (!r->as_json) {
        printf("%s: slot %u: %s\n", r->volume, slot, what);
        return;
    }
    json_init(&j, stdout);
    json_object(&j, NULL);
    json_string(&j, "volume", r->volume);
    json_uint(&j, "slot", slot);
    json_close(&j);
}

static int set(const struct key_request *r, set_fn *fn, const char *what)
{
    struct passphrase old, new = {0};
    uint32_t slot;
    int status = cmd_key_unlock(r, &old);
    if (status == 0)
        status = passphrase_read(&r->new_source, "New passphrase", true, &new);
    if (status == 0) {
        int err = fn(r, &old, &new, &slot);
        if (err != 0)
            status = cmd_key_explain(r->volume, err);
        else
            show_slot(r, what, slot);
    }
    passphrase_wipe(&old);
    passphrase_wipe(&new);
    return status;
}

static int remove_one(const struct key_request *r)
{
    struct passphrase p;
    if (r->slot < 0)
        return tell_usage("key", "which slot is missing: --slot=NUMBER");
    int status = cmd_key_unlock(r, &p);
    if (status == 0) {
        int err = fs_keys_remove(r->volume, &p.secret, (uint32_t)r->slot);
        if (err == -ENOENT)
            status = tell_error("%s: slot %d is not in use", r->volume, r->slot);
        else if (err != 0)
            status = cmd_key_explain(r->volume, err);
        else
            show_slot(r, "removed", (uint32_t)r->slot);
    }
    passphrase_wipe(&p);
    return status;
}

/* ---- the command line ---- */

static int take_slot(const char *text, size_t len)
{
    return len == 1 && *text >= '0' && *text < '0' + STORE_KEY_SLOTS ? *text - '0' : -1;
}

/* Returns 0 or an exit status. */
static int take_option(struct key_request *r, int option)
{
    size_t len = optarg ? strcspn(optarg, ":") : 0;
    int slot;
    passphrase_option(&r->source, option, optarg);
    switch (option) {
    case OPT_LABEL:
        r->label = optarg;
        if (strlen(optarg) > STORE_KEY_LABEL_MAX)
            return tell_usage("key", "a label has at most %d bytes", STORE_KEY_LABEL_MAX);
        break;
    case OPT_SLOT:
        r->slot = take_slot(optarg, strlen(optarg));
        if (r->slot < 0)
            return tell_usage("key", "'%s' is no slot: 0 to %d", optarg, STORE_KEY_SLOTS - 1);
        break;
    case OPT_OTHER_PASSFILE:
        slot = take_slot(optarg, len);
        if (slot < 0 || optarg[len] != ':' || !optarg[len + 1])
            return tell_usage("key", "'%s' is not a slot and a file: NUMBER:FILE", optarg);
        r->others[slot].file = optarg + len + 1;
        break;
    case OPT_NEW_PASSFILE:
        r->new_source.file = optarg;
        break;
    case OPT_NEW_EXTPASS:
        r->new_source.command = optarg;
        break;
    default:
        r->as_json = r->as_json || option == OPT_JSON;
        r->later = r->later || option == OPT_LATER;
        r->drop_others = r->drop_others || option == OPT_DROP_OTHERS;
        break;
    }
    return 0;
}

static int run(const struct key_request *r, const char *verb)
{
    if (strcmp(verb, "list") == 0)
        return list(r);
    if (strcmp(verb, "add") == 0)
        return set(r, add_one, "a new passphrase");
    if (strcmp(verb, "change") == 0)
        return set(r, change_one, "the passphrase was changed");
    if (strcmp(verb, "remove") == 0)
        return remove_one(r);
    if (strcmp(verb, "rotate") == 0)
        return cmd_key_rotate(r);
    if (strcmp(verb, "finish") == 0)
        return cmd_key_finish(r);
    return *verb ? tell_usage("key", "unknown command '%s'", verb)
                 : tell_usage("key", "what to do is missing: list, add, change, remove, rotate or "
                                     "finish");
}

int cmd_key(int argc, char **argv)
{
    const struct cmd_line line = {.name = "key",
                                  .usage = usage,
                                  .shorts = ":hV",
                                  .longs = longs,
                                  .argc = argc,
                                  .argv = argv,
                                  .usage_status = TELL_USAGE};
    struct key_request r = {.slot = -1, .label = ""};
    int option, status = 0;
    while ((option = cmd_next(&line, &status)) != CMD_END) {
        if (option == CMD_EXIT)
            return status;
        status = take_option(&r, option);
        if (status != 0)
            return status;
    }
    const char *verb = optind < argc ? argv[optind++] : "";
    if (*verb) {
        status = cmd_operands(&line, 1, 1, "VOLUME");
        if (status != 0)
            return status;
        r.volume = argv[optind];
    }
    assert(r.slot < STORE_KEY_SLOTS);
    return run(&r, verb);
}
