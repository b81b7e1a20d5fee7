/* cmd_snapshot_list: the list of snapshots, with what deleting each of them alone would free. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "mount/cmd_snapshot_priv.h"
#include "mount/control.h"
#include "mount/json.h"
#include "mount/tell.h"

/* What is known of one. */
struct shot {
    char *name;
    int64_t created_ns;
    bool has_space; /* otherwise it was not asked for, or cannot be told */
    struct store_pin_space space;
};
struct shots {
    struct shot *list;
    size_t count;
};

static void add_shot(struct shots *s, const char *name, int64_t created_ns)
{
    assert(name && *name);
    s->list = mem_realloc(s->list, (s->count + 1) * sizeof *s->list);
    s->list[s->count++] = (struct shot){.name = mem_strdup(name), .created_ns = created_ns};
}

static void shots_release(struct shots *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->list[i].name);
    free(s->list);
}

static int on_snapshot(void *ctx, const struct fs_snapshot *snapshot)
{
    add_shot(ctx, snapshot->name, snapshot->created_ns);
    return 0;
}

/* "SECONDS.NANOSECONDS"; 0 when it cannot be told (deleted meanwhile). */
static int64_t created_of(const char *path)
{
    char text[32];
    long long seconds, ns;
    ssize_t len = getxattr(path, CONTROL_XATTR_CREATED, text, sizeof text - 1);
    text[len > 0 ? len : 0] = '\0';
    return sscanf(text, "%lld.%9lld", &seconds, &ns) == 2 ? seconds * 1000000000 + ns : 0;
}

/* As fs_snapshot_space(), of a mount's. */
static int space_of(const char *dir, const char *name, struct store_pin_space *space)
{
    char text[CONTROL_SHOT_TEXT_MAX];
    char *path = mem_printf("%s/%s", dir, name);
    ssize_t len = getxattr(path, CONTROL_XATTR_FREES, text, sizeof text - 1);
    int err = len < 0 ? -errno : 0;
    free(path);
    text[len > 0 ? len : 0] = '\0';
    return err < 0 ? err : control_frees_parse(text, space);
}

/* One that is deleted meanwhile, or that others may not ask about, is listed without. */
static int add_spaces(struct snapshot_work *w, struct shots *s)
{
    int err = 0;
    for (size_t i = 0; i < s->count && err == 0; i++) {
        struct shot *shot = &s->list[i];
        tell_progress("what snapshots hold", i, s->count);
        int told = w->fs ? fs_snapshot_space(w->fs, shot->name, &shot->space)
                         : space_of(w->dir, shot->name, &shot->space);
        shot->has_space = told == 0;
        if (told == -EIO)
            err = told;
    }
    tell_progress_end();
    return err;
}

static int list_dir(const char *path, struct shots *out)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    if (!dir)
        return -errno;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *child = mem_printf("%s/%s", path, entry->d_name);
        add_shot(out, entry->d_name, created_of(child));
        free(child);
    }
    closedir(dir);
    return 0;
}

static int by_age(const void *a, const void *b)
{
    const struct shot *x = a, *y = b;
    int order = (x->created_ns > y->created_ns) - (x->created_ns < y->created_ns);
    return order ? order : strcmp(x->name, y->name);
}

static void print_json(const struct shots *s)
{
    struct json j;
    json_init(&j, stdout);
    json_list(&j, NULL);
    for (size_t i = 0; i < s->count; i++) {
        char created[TELL_TIME_MAX];
        tell_time_utc(s->list[i].created_ns, created);
        json_object(&j, NULL);
        json_string(&j, "name", s->list[i].name);
        json_string(&j, "created", created);
        if (s->list[i].has_space) {
            const struct store_pin_space *space = &s->list[i].space;
            json_uint(&j, "frees_bytes", space->value_bytes + space->entry_bytes);
            json_uint(&j, "frees_value_bytes", space->value_bytes);
            json_uint(&j, "frees_entry_bytes", space->entry_bytes);
        }
        json_close(&j);
    }
    json_close(&j);
}

static void print_text(const struct shots *s, bool space)
{
    for (size_t i = 0; i < s->count; i++) {
        char created[TELL_TIME_MAX], bytes[TELL_BYTES_MAX] = "-";
        const struct shot *shot = &s->list[i];
        tell_time(shot->created_ns, created);
        if (shot->has_space)
            tell_bytes(shot->space.value_bytes + shot->space.entry_bytes, bytes);
        printf("%s  ", created);
        if (space)
            printf("%10s  ", bytes);
        tell_name(s->list[i].name);
        putchar('\n');
    }
}

int cmd_snapshot_list(const struct snapshot_where *where, bool space, bool as_json)
{
    struct snapshot_work w = {0};
    struct shots s = {0};
    int status = cmd_snapshot_open(where, true, &w);
    if (status == 0) {
        int err = w.fs ? fs_snapshot_list(w.fs, on_snapshot, &s) : list_dir(w.dir, &s);
        if (err >= 0 && space)
            err = add_spaces(&w, &s);
        if (err < 0)
            status = tell_error("%s: %s", where->path, strerror(-err));
    }
    if (s.count)
        qsort(s.list, s.count, sizeof *s.list, by_age);
    if (status == 0 && as_json)
        print_json(&s);
    else if (status == 0)
        print_text(&s, space);
    shots_release(&s);
    return cmd_snapshot_close(&w, status);
}
