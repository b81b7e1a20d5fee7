/* check_report: how findings are put into words, and the paths in them. A path is looked for only
 * when there is something to say about it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "fs/check.h"

enum {
    PATH_DEPTH_MAX = 128,
    PATH_LOOKS_MAX = 20 << 20, /* entries; beyond, a badly damaged volume would take for ever */
};

static void say(struct check *c, int code, enum store_severity severity, const char *path,
                const char *text)
{
    struct store_finding f = {
        .code = code, .severity = severity, .file = path, .offset = UINT64_MAX, .text = text};
    if (c->stopped == 0)
        c->stopped = c->fn(c->ctx, &f);
}

void check_say(struct check *c, int code, enum store_severity severity, const char *path,
               const char *format, ...)
{
    char text[512];
    va_list args;
    if (c->again)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(c, code, severity, path, text);
}

/* The name under which `folder` lists `ino`, or false. */
static bool name_in(struct check *c, uint64_t folder, uint64_t ino, struct buf *name)
{
    struct key lower = key_kind(folder, KIND_DIRENT), upper = key_kind(folder, KIND_DATA);
    assert(ino != 0);
    struct store_iter *it = store_iter_new(&c->reader.read, key_slice(&lower), key_slice(&upper));
    bool found = false;
    buf_clear(name);
    for (int err = store_iter_first(it); err == 0 && !found && c->looked < PATH_LOOKS_MAX;
         err = store_iter_next(it)) {
        c->looked++;
        struct slice value;
        struct dirent_record d;
        if (store_iter_value(it, &value) == 0 && dirent_decode(value, &d) == 0 && d.ino == ino) {
            buf_set(name, d.name);
            found = true;
        }
    }
    store_iter_free(it);
    return found;
}

/* A folder that lists `ino`, and the name there: what the inode's record says; when that leads
 * nowhere, and once all entries are known, one of these. */
static bool parent_of(struct check *c, uint64_t ino, uint64_t *folder, struct buf *name)
{
    struct inode n;
    if (inode_get(&c->reader.read, ino, &n) == 0) {
        *folder = n.parent;
        if (name_in(c, *folder, ino, name))
            return true;
    }
    size_t count = 0;
    const struct check_entry *entries = c->sorted ? check_entries_of(c, ino, &count) : NULL;
    if (!entries)
        return false;
    *folder = entries[0].folder;
    return name_in(c, *folder, ino, name);
}

/* Puts "/a/b" of `ino` in front of what is in `path`; begins with "?" where the chain of parents
 * cannot be followed. */
static void path_of(struct check *c, uint64_t ino, struct buf *path)
{
    struct buf name = {0}, longer = {0};
    for (int depth = 0; ino != FS_INO_ROOT; depth++) {
        uint64_t folder = 0;
        bool known = depth < PATH_DEPTH_MAX && parent_of(c, ino, &folder, &name);
        buf_clear(&longer);
        buf_put_u8(&longer, '/');
        if (known)
            buf_append(&longer, buf_slice(&name));
        else
            buf_put_u8(&longer, '?');
        buf_append(&longer, buf_slice(path));
        buf_set(path, buf_slice(&longer));
        if (!known)
            break;
        ino = folder;
    }
    buf_release(&name);
    buf_release(&longer);
}

void check_say_inode(struct check *c, int code, uint64_t ino, const char *format, ...)
{
    char text[400], full[512];
    struct buf path = {0}, shown = {0};
    va_list args;
    if (c->again)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(full, sizeof full, "inode %" PRIu64 ": %s", ino, text);
    path_of(c, ino, &path);
    buf_append(&shown, slice_str(c->prefix));
    buf_append(&shown, path.len ? buf_slice(&path) : slice_str("/"));
    buf_put_u8(&shown, 0);
    say(c, code, STORE_DAMAGE, (const char *)shown.data, full);
    buf_release(&path);
    buf_release(&shown);
}
