/* options: see options.h.
 *
 * Guarantees: what is accepted is true. An option that the kernel's or libfuse's FUSE knows is
 * handed on; one that changes nothing here (for mount(8), fstab and systemd) is taken and dropped;
 * any other is refused by its name.
 *
 * Invariant: `kernel` holds only words of the table below, so it needs no escaping. */
#include "mount/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

int options_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGT";
    char *end;
    *bytes = 0;
    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno == ERANGE)
        return -ERANGE;
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    end += unit ? 1 : 0;
    if (unit && strcmp(end, "iB") == 0)
        end += 2;
    if (*end)
        return -EINVAL;
    if (value > UINT64_MAX >> shift)
        return -ERANGE;
    assert(shift < 64);
    *bytes = (uint64_t)value << shift;
    return 0;
}

int options_compression(const char *text, int *zstd_level)
{
    int level = 1, used = 0;
    *zstd_level = -1;
    if (strcmp(text, "none") == 0)
        level = 0;
    else if (strcmp(text, "zstd") != 0 &&
             (sscanf(text, "zstd:%2d%n", &level, &used) != 1 || text[used] || level < 1 ||
              level > 19 || !isdigit((unsigned char)text[5])))
        return -EINVAL;
    assert(level >= 0 && level <= 19);
    *zstd_level = level;
    return 0;
}

void options_mount_init(struct options_mount *o)
{
    *o = (struct options_mount){.zstd_level = -1, .atime = FS_ATIME_RELATIVE};
    fs_settings_init(&o->store);
}

void options_mount_release(struct options_mount *o)
{
    free(o->keep);
    free(o->snapshot);
    free(o->log_path);
    free(o->passfile);
    free(o->extpass);
    buf_release(&o->kernel);
    options_mount_init(o);
}

/* ---- single options ---- */

static int set_size(const char *value, uint64_t *bytes, char **why)
{
    if (options_size(value, bytes) == 0 && *bytes > 0)
        return 0;
    *why = mem_printf("'%s' is not a size; write for example 64M or 2G", value);
    return -EINVAL;
}

static int set_cache(struct options_mount *o, const char *value, char **why)
{
    return set_size(value, &o->cache_bytes, why);
}

static int set_memtable(struct options_mount *o, const char *value, char **why)
{
    return set_size(value, &o->memtable_bytes, why);
}

/* For people who know the option from tmpfs. */
static int set_limit(struct options_mount *o, const char *value, char **why)
{
    uint64_t bytes;
    int err = set_size(value, &bytes, why);
    if (err == 0)
        o->store.limit_bytes = bytes;
    return err;
}

/* Whole seconds, as ext4 has them; the setting knows the range. */
static int set_commit(struct options_mount *o, const char *value, char **why)
{
    char message[STORE_MESSAGE_MAX];
    bool digits = value[strspn(value, "0123456789")] == '\0';
    if (!digits) {
        *why =
            mem_printf("'%s' is no number of seconds; write for example 5, or 0 for never", value);
        return -EINVAL;
    }
    char *interval = mem_printf("%ss", value);
    int err = fs_settings_set(&o->store, "commit.interval", interval, message);
    if (err < 0)
        *why = mem_strdup(message);
    free(interval);
    return err < 0 ? -EINVAL : 0;
}

static int set_compression(struct options_mount *o, const char *value, char **why)
{
    if (options_compression(value, &o->zstd_level) == 0)
        return 0;
    *why = mem_printf("'%s' is no compression; write none, zstd or zstd:1 to zstd:19", value);
    return -EINVAL;
}

static int set_recovery(struct options_mount *o, const char *value, char **why)
{
    static const char *const words[] = {[STORE_RECOVER_TAIL] = "tail",
                                        [STORE_RECOVER_STRICT] = "strict",
                                        [STORE_RECOVER_POINT] = "point"};
    for (int i = STORE_RECOVER_TAIL; i <= STORE_RECOVER_POINT; i++)
        if (strcmp(words[i], value) == 0) {
            o->recovery = (enum store_recovery)i;
            return 0;
        }
    *why = mem_printf("'%s' is no way to recover; write tail, strict or point", value);
    return -EINVAL;
}

static int set_open(struct options_mount *o, const char *value, char **why)
{
    bool quick = strcmp(value, "quick") == 0;
    o->open = quick ? OPEN_QUICK : OPEN_CHECKED;
    if (quick || strcmp(value, "checked") == 0)
        return 0;
    *why = mem_printf("'%s' is no way to open; write quick or checked", value);
    return -EINVAL;
}

static int set_io_uring(struct options_mount *o, const char *value, char **why)
{
    static const char *const words[] = {
        [IO_URING_AUTO] = "auto", [IO_URING_ON] = "on", [IO_URING_OFF] = "off"};
    for (int i = IO_URING_AUTO; i <= IO_URING_OFF; i++)
        if (strcmp(words[i], value) == 0) {
            o->io_uring = (enum options_io_uring)i;
            return 0;
        }
    *why = mem_printf("io_uring cannot be '%s'; write auto, on or off", value);
    return -EINVAL;
}

static int set_text(const char *value, char **text)
{
    free(*text);
    *text = mem_strdup(value);
    return 0;
}

static int set_log(struct options_mount *o, const char *value, char **why)
{
    (void)why;
    return set_text(value, &o->log_path);
}

static int set_snapshot(struct options_mount *o, const char *value, char **why)
{
    if (strchr(value, '/')) {
        *why = mem_printf("'%s' cannot be a snapshot's name", value);
        return -EINVAL;
    }
    return set_text(value, &o->snapshot);
}

static int set_keep(struct options_mount *o, const char *value, char **why)
{
    struct retention_rule rule;
    int err = retention_parse(value, &rule, why);
    return err == 0 ? set_text(value, &o->keep) : err;
}

/* A rule has commas, which also stand between options: what looks like a piece of a rule behind one
 * belongs to it. */
static bool goes_on(const struct options_mount *o, const char *word)
{
    return o->keep && isdigit((unsigned char)*word) && strchr(word, '@') && !strchr(word, '=');
}

static int add_to_keep(struct options_mount *o, const char *word, char **why)
{
    char *rule = mem_printf("%s,%s", o->keep, word);
    int err = set_keep(o, rule, why);
    free(rule);
    return err;
}

static int set_history(struct options_mount *o, const char *value, char **why)
{
    return retention_parse_history(value, &o->history, why);
}

static int set_passfile(struct options_mount *o, const char *value, char **why)
{
    (void)why;
    return set_text(value, &o->passfile);
}

static int set_extpass(struct options_mount *o, const char *value, char **why)
{
    (void)why;
    return set_text(value, &o->extpass);
}

/* "NAME=VALUE", of the store's settings. The level of compression has an option of its own, which
 * the volume has, too. */
static int set_setting(struct options_mount *o, const char *value, char **why)
{
    char message[STORE_MESSAGE_MAX], *name = mem_strdup(value), *sep = strchr(name, '=');
    int err = 0;
    if (!sep) {
        *why = mem_printf("'%s' sets nothing; write set=NAME=VALUE", value);
        err = -EINVAL;
    } else {
        *sep = '\0';
        err = fs_settings_set(&o->store, name, sep + 1, message);
        if (err < 0)
            *why = mem_strdup(message);
        else if (strcmp(name, "compression.level") == 0)
            o->zstd_level = o->store.zstd_level;
    }
    free(name);
    return err < 0 ? -EINVAL : 0;
}

/* What has to do with access times. False: the name has not. */
static bool set_times(struct options_mount *o, const char *name)
{
    bool no = strncmp(name, "no", 2) == 0;
    const char *what = no ? name + 2 : name;
    if (strcmp(what, "atime") == 0)
        o->atime = no ? FS_ATIME_NONE : FS_ATIME_RELATIVE;
    else if (strcmp(what, "relatime") == 0)
        o->atime = FS_ATIME_RELATIVE;
    else if (strcmp(what, "strictatime") == 0)
        o->atime = no ? FS_ATIME_RELATIVE : FS_ATIME_STRICT;
    else if (strcmp(what, "diratime") == 0)
        o->no_dir_atime = no;
    else if (strcmp(what, "lazytime") == 0)
        o->lazytime = !no;
    else
        return false;
    return true;
}

/* Booleans, by where they stand in the struct. */
static void set_flag(struct options_mount *o, const char *name, bool value)
{
    if (set_times(o, name))
        return;
    if (strcmp(name, "ro") == 0 || strcmp(name, "rw") == 0)
        o->read_only = value;
    else if (strcmp(name, "allow_other") == 0)
        o->allow_other = value;
    else if (strcmp(name, "allow_root") == 0)
        o->allow_root = value;
    else if (strcmp(name, "debug") == 0)
        o->debug = value;
    else if (strcmp(name, "nonempty") == 0)
        o->nonempty = value;
    else
        assert(false);
}

enum option_use {
    USE_KERNEL = 1, /* is handed on to libfuse */
    USE_FLAG = 2,   /* sets a flag of ours */
    USE_NOT = 4,    /* that flag becomes false */
    USE_IGNORED = 0,
    USE_VALUE = 8,      /* NAME=VALUE, for `set` */
    USE_ANY_VALUE = 16, /* ignored, with or without a value */
};

struct option {
    const char *name;
    unsigned use;
    int (*set)(struct options_mount *o, const char *value, char **why);
};

static const struct option options[] = {
    {"ro", USE_KERNEL | USE_FLAG, NULL},
    {"rw", USE_KERNEL | USE_FLAG | USE_NOT, NULL},
    {"allow_other", USE_KERNEL | USE_FLAG, NULL},
    {"allow_root", USE_KERNEL | USE_FLAG, NULL},
    {"auto_unmount", USE_KERNEL, NULL},
    {"debug", USE_KERNEL | USE_FLAG, NULL},
    {"nonempty", USE_FLAG, NULL},
    {"cache", USE_VALUE, set_cache},
    {"memtable", USE_VALUE, set_memtable},
    {"size", USE_VALUE, set_limit},
    {"commit", USE_VALUE, set_commit},
    {"compression", USE_VALUE, set_compression},
    {"log", USE_VALUE, set_log},
    {"set", USE_VALUE, set_setting},
    {"snapshot", USE_VALUE, set_snapshot},
    {"keep", USE_VALUE, set_keep},
    {"history", USE_VALUE, set_history},
    {"recovery", USE_VALUE, set_recovery},
    {"open", USE_VALUE, set_open},
    {"io_uring", USE_VALUE, set_io_uring},
    {"passfile", USE_VALUE, set_passfile},
    {"extpass", USE_VALUE, set_extpass},
    {"suid", USE_KERNEL, NULL},
    {"nosuid", USE_KERNEL, NULL},
    {"dev", USE_KERNEL, NULL},
    {"nodev", USE_KERNEL, NULL},
    {"exec", USE_KERNEL, NULL},
    {"noexec", USE_KERNEL, NULL},
    {"async", USE_KERNEL, NULL},
    {"sync", USE_KERNEL, NULL},
    {"dirsync", USE_KERNEL, NULL},
    {"noatime", USE_KERNEL | USE_FLAG, NULL},
    {"atime", USE_FLAG, NULL},
    {"relatime", USE_FLAG, NULL},
    {"strictatime", USE_FLAG, NULL},
    {"nostrictatime", USE_FLAG, NULL},
    {"diratime", USE_FLAG, NULL},
    {"nodiratime", USE_FLAG, NULL},
    {"lazytime", USE_FLAG, NULL},
    {"nolazytime", USE_FLAG, NULL},
    /* Always so: */
    {"default_permissions", USE_IGNORED, NULL},
    {"acl", USE_IGNORED, NULL},
    {"user_xattr", USE_IGNORED, NULL},
    {"noiversion", USE_IGNORED, NULL},
    {"nomand", USE_IGNORED, NULL},
    {"silent", USE_IGNORED, NULL},
    {"loud", USE_IGNORED, NULL},
    /* For mount(8), fstab(5) and systemd: */
    {"defaults", USE_IGNORED, NULL},
    {"auto", USE_IGNORED, NULL},
    {"noauto", USE_IGNORED, NULL},
    {"nofail", USE_IGNORED, NULL},
    {"user", USE_ANY_VALUE, NULL},
    {"users", USE_IGNORED, NULL},
    {"nouser", USE_IGNORED, NULL},
    {"nousers", USE_IGNORED, NULL},
    {"owner", USE_IGNORED, NULL},
    {"noowner", USE_IGNORED, NULL},
    {"group", USE_IGNORED, NULL},
    {"nogroup", USE_IGNORED, NULL},
    {"_netdev", USE_IGNORED, NULL},
    {"comment", USE_ANY_VALUE, NULL},
    {"uhelper", USE_ANY_VALUE, NULL},
    {"helper", USE_ANY_VALUE, NULL},
};

static const struct option *find_option(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    return NULL;
}

static void hand_on(struct options_mount *o, const char *name)
{
    assert(!strpbrk(name, ",\\"));
    if (o->kernel.len)
        buf_append(&o->kernel, slice_str(","));
    buf_append(&o->kernel, slice_str(name));
}

/* One option, without its comma. */
static int take_option(struct options_mount *o, const char *word, bool sloppy, char **why)
{
    const char *value = strchr(word, '=');
    size_t len = value ? (size_t)(value - word) : strlen(word);
    const struct option *opt = find_option(word, len);
    if (*word == '\0' || strncasecmp(word, "x-", 2) == 0 || (!opt && sloppy && !goes_on(o, word)))
        return 0;
    if (!opt && goes_on(o, word))
        return add_to_keep(o, word, why);
    if (!opt) {
        *why = mem_printf("unknown mount option '%.*s'", (int)(len < 200 ? len : 200), word);
        return -EINVAL;
    }
    if (opt->use & USE_ANY_VALUE)
        return 0;
    bool wants = opt->use & USE_VALUE;
    if (wants ? !value || !value[1] : value != NULL) {
        *why = mem_printf("mount option '%s' %s", opt->name,
                          wants ? "needs a value" : "takes no value");
        return -EINVAL;
    }
    assert((opt->set != NULL) == wants);
    if (opt->set)
        return opt->set(o, value + 1, why);
    if (opt->use & USE_FLAG)
        set_flag(o, opt->name, !(opt->use & USE_NOT));
    if (opt->use & USE_KERNEL)
        hand_on(o, opt->name);
    return 0;
}

int options_mount_parse(struct options_mount *o, const char *list, bool sloppy, char **why)
{
    char *word = mem_alloc(strlen(list) + 1);
    int err = 0;
    *why = NULL;
    for (const char *s = list; err == 0; s++) {
        size_t len = 0;
        for (; *s && *s != ','; s++) {
            if (*s == '\\' && s[1])
                s++;
            word[len++] = *s;
        }
        word[len] = '\0';
        err = take_option(o, word, sloppy, why);
        if (!*s)
            break;
    }
    if (err == 0 && o->snapshot) { /* whatever is said of rw, which mount(8) says by itself */
        o->read_only = true;
        hand_on(o, "ro");
    }
    assert((err == 0) == (*why == NULL));
    free(word);
    return err;
}
