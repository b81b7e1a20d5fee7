/* reading: see reading.h. */
#include "mount/reading.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mount/control.h"
#include "mount/explain.h"
#include "mount/tell.h"

/* ---- names ---- */

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* ".../.varve/snapshots/NAME", perhaps with a slash behind it: the mount and the name. */
static bool take_folder(const char *path, struct reading_name *out)
{
    static const char door[] = "/" FS_CONTROL_NAME "/" FS_SNAPSHOTS_NAME "/";
    const char *at = strstr(path, door);
    size_t len = at ? strcspn(at + sizeof door - 1, "/") : 0;
    if (len == 0 || strspn(at + sizeof door - 1 + len, "/") != strlen(at + sizeof door - 1 + len))
        return false;
    out->where = at == path ? mem_strdup("/") : mem_printf("%.*s", (int)(at - path), path);
    out->snapshot = mem_printf("%.*s", (int)len, at + sizeof door - 1);
    return true;
}

/* The first '@' before which there is something that exists: both paths and names may have some. */
void reading_name_parse(const char *text, struct reading_name *out)
{
    *out = (struct reading_name){0};
    if (exists(text) && take_folder(text, out))
        return;
    for (const char *at = strchr(text, '@'); at && !exists(text); at = strchr(at + 1, '@')) {
        char *where = at > text ? mem_printf("%.*s", (int)(at - text), text) : mem_strdup(".");
        if (at[1] && exists(where)) {
            out->where = where;
            out->snapshot = mem_strdup(at + 1);
            return;
        }
        free(where);
    }
    out->where = mem_strdup(text);
}

void reading_name_release(struct reading_name *n)
{
    free(n->where);
    free(n->snapshot);
    *n = (struct reading_name){0};
}

bool reading_is_snapshot_name(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strlen(name) <= FS_NAME_MAX;
}

/* ---- a mount's checkpoint ---- */

static int make_temp(struct reading *r, const char *where)
{
    struct store_checkpoint made;
    temp_sweep(r->place.volume);
    int err = temp_take(r->place.volume, &r->temp);
    if (err < 0)
        return tell_error("%s: no folder can be made beside it to link to its present state: %s",
                          r->place.volume, strerror(-err));
    err = control_checkpoint_ask(r->place.mount, r->temp.path, NULL, &made);
    if (err == 0)
        return 0;
    if (err == -EPERM)
        return tell_error("%s: only who mounted it and root may read it in this way", where);
    return tell_error("%s: its present state cannot be linked to, in %s: %s", where, r->temp.path,
                      strerror(-err));
}

static void drop_temp(struct reading *r)
{
    char *path = r->temp.path ? mem_strdup(r->temp.path) : NULL;
    int err = temp_drop(&r->temp);
    if (err < 0)
        tell_error(
            "%s: cannot be removed: %s; the next command that needs such a folder tries again",
            path, strerror(-err));
    free(path);
}

/* ---- */

int reading_open(const struct passphrase_source *source, const char *where, struct reading *r)
{
    struct passphrase passphrase;
    struct fs_options o;
    *r = (struct reading){0};
    int status = cmd_find_place(where, &r->place);
    if (status == 0)
        status = passphrase_of_volume(source, r->place.volume, &passphrase);
    if (status != 0)
        return status;
    cmd_catch_signals();
    if (r->place.mount)
        status = make_temp(r, where);
    if (status == 0) {
        fs_options_init(&o);
        o.read_only = true;
        o.secret = &passphrase.secret;
        int err = fs_open(r->temp.path ? r->temp.path : r->place.volume, &o, &r->fs);
        status = err < 0 ? explain_volume(where, err) : 0;
    }
    passphrase_wipe(&passphrase);
    return status;
}

int reading_close(struct reading *r, int status)
{
    int err = r->fs ? fs_close(r->fs) : 0;
    if (err < 0 && status == 0)
        status = explain_volume(r->place.volume, err);
    drop_temp(r);
    cmd_place_release(&r->place);
    *r = (struct reading){0};
    return status;
}
