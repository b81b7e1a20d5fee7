/* mounts: see mounts.h. The format of mountinfo is in proc(5): fields by spaces, in which space,
 * tab, newline and backslash are written as \ooo. */
#include "mount/mounts.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/fs.h"

void mounts_release(struct mount_point *m)
{
    free(m->root);
    free(m->dir);
    free(m->type);
    free(m->source);
    *m = (struct mount_point){0};
}

/* ---- /proc/self/mountinfo ---- */

static bool is_octal(const char *s)
{
    return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' && s[2] <= '7';
}

static char *unescape(const char *field)
{
    char *out = mem_alloc(strlen(field) + 1), *to = out;
    assert(*field);
    while (*field) {
        if (*field == '\\' && is_octal(field + 1)) {
            *to++ = (char)((field[1] - '0') << 6 | (field[2] - '0') << 3 | (field[3] - '0'));
            field += 4;
        } else {
            *to++ = *field++;
        }
    }
    *to = '\0';
    return out;
}

/* "ID PARENT MAJOR:MINOR ROOT DIR OPTIONS [TAGS...] - TYPE SOURCE SUPEROPTIONS". False: not such a
 * line. */
static bool parse_line(char *line, struct mount_point *m)
{
    enum { DEVICE = 2, ROOT = 3, DIR = 4, FIELDS = 5 };
    char *field[FIELDS], *save = NULL;
    for (size_t i = 0; i < FIELDS; i++) {
        field[i] = strtok_r(i ? NULL : line, " \n", &save);
        if (!field[i])
            return false;
    }
    char *word = strtok_r(NULL, " \n", &save);
    while (word && strcmp(word, "-") != 0)
        word = strtok_r(NULL, " \n", &save);
    char *type = strtok_r(NULL, " \n", &save), *source = strtok_r(NULL, " \n", &save);
    if (!type || !source || sscanf(field[DEVICE], "%u:%u", &m->major, &m->minor) != 2)
        return false;
    m->root = unescape(field[ROOT]);
    m->dir = unescape(field[DIR]);
    m->type = unescape(type);
    m->source = unescape(source);
    return true;
}

/* How well a mount answers what is looked for: 0 not at all; of those with the best answer, the
 * last one counts. */
typedef size_t match_fn(const void *ctx, const struct mount_point *m);

static int find_mount(match_fn *match, const void *ctx, struct mount_point *out)
{
    char *line = NULL;
    size_t room = 0, best = 0;
    *out = (struct mount_point){0};
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f)
        return -errno;
    while (getline(&line, &room, f) > 0) {
        struct mount_point m = {0};
        size_t quality = parse_line(line, &m) ? match(ctx, &m) : 0;
        if (quality > 0 && quality >= best) {
            mounts_release(out);
            *out = m;
            best = quality;
        } else {
            mounts_release(&m);
        }
    }
    free(line);
    fclose(f);
    assert((best > 0) == (out->dir != NULL));
    return best > 0 ? 0 : 1;
}

static size_t match_dir(const void *ctx, const struct mount_point *m)
{
    return strcmp(m->dir, ctx) == 0;
}

int mounts_at(const char *dir, struct mount_point *out)
{
    assert(*dir == '/');
    return find_mount(match_dir, dir, out);
}

/* The longest of the folders that lead to the path. */
static size_t match_prefix(const void *ctx, const struct mount_point *m)
{
    const char *path = ctx;
    size_t len = strlen(m->dir);
    if (*m->dir != '/')
        return 0;
    if (strcmp(m->dir, "/") == 0)
        return 1;
    return strncmp(path, m->dir, len) == 0 && (path[len] == '/' || path[len] == '\0') ? len : 0;
}

int mounts_around(const char *path, struct mount_point *out)
{
    assert(*path == '/');
    return find_mount(match_prefix, path, out);
}

static size_t match_whole(const void *ctx, const struct mount_point *m)
{
    const struct mount_point *part = ctx;
    return part->major == m->major && part->minor == m->minor && strcmp(m->root, "/") == 0;
}

int mounts_whole(const struct mount_point *m, struct mount_point *out)
{
    if (strcmp(m->root, "/") != 0)
        return find_mount(match_whole, m, out);
    *out = (struct mount_point){.major = m->major,
                                .minor = m->minor,
                                .root = mem_strdup(m->root),
                                .dir = mem_strdup(m->dir),
                                .type = mem_strdup(m->type),
                                .source = mem_strdup(m->source)};
    return 0;
}

static size_t match_volume(const void *ctx, const struct mount_point *m)
{
    return mounts_is_ours(m) && strcmp(m->root, "/") == 0 && strcmp(m->source, ctx) == 0;
}

int mounts_of_volume(const char *volume, struct mount_point *out)
{
    assert(*volume == '/');
    return find_mount(match_volume, volume, out);
}

bool mounts_is_ours(const struct mount_point *m)
{
    return strcmp(m->type, MOUNTS_TYPE) == 0;
}

bool mounts_is_dead(const char *dir)
{
    struct statvfs st; /* stat(2) may be answered from the kernel's cache */
    return statvfs(dir, &st) != 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

/* ---- taking down ---- */

/* fusermount3 says itself on standard error what is wrong: it is kept from there, since the caller
 * says it better. */
static int run_fusermount(const char *dir, bool lazy)
{
    char *argv[] = {(char[]){"fusermount3"},
                    (char[]){"-u"},
                    (char[]){"-q"},
                    (char[]){"-z"},
                    (char[]){"--"},
                    NULL,
                    NULL};
    char *where = mem_strdup(dir);
    pid_t pid;
    int status = 0;
    size_t i = lazy ? 4 : 3;
    argv[i++] = (char[]){"--"};
    argv[i++] = where;
    argv[i] = NULL;
    int err = -posix_spawnp(&pid, "fusermount3", NULL, NULL, argv, environ);
    free(where);
    while (err == 0 && waitpid(pid, &status, 0) < 0)
        err = errno == EINTR ? 0 : -errno;
    if (err < 0)
        return err;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return -ENOENT;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int mounts_unmount(const char *dir, bool lazy)
{
    assert(*dir == '/');
    if (umount2(dir, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return 0;
    return errno == EPERM ? run_fusermount(dir, lazy) : -errno;
}

/* ---- paths ---- */

char *mounts_real_path(const char *path)
{
    struct stat st;
    char *real = stat(path, &st) == 0 ? realpath(path, NULL) : NULL;
    if (real)
        return real;
    int error = errno;
    char *copy = mem_strdup(path);
    size_t len = strlen(copy);
    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    char *slash = strrchr(copy, '/'), *parent = NULL;
    const char *name = slash ? slash + 1 : copy;
    if (slash != copy || !slash) {
        if (slash)
            *slash = '\0';
        parent = realpath(slash ? copy : ".", NULL);
    } else {
        parent = mem_strdup("");
    }
    if (parent && *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        real = mem_printf("%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name);
    free(parent);
    free(copy);
    errno = error;
    return real;
}
