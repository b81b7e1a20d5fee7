/* daemon_check: what can be known to fail before a daemon is started. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mount/daemon.h"
#include "mount/explain.h"
#include "mount/mounts.h"
#include "mount/tell.h"

/* A mount whose daemon was killed: ours is taken away, so that "mount again" is all that is to be
 * done after a kill. */
static int clear_dead(const char *dir)
{
    struct mount_point m = {0};
    int status = TELL_FAILED;
    if (!mounts_is_dead(dir))
        return 0;
    if (mounts_at(dir, &m) != 0 || !mounts_is_ours(&m)) {
        tell_error("%s: a file system is mounted here whose daemon has ended; take it down with: "
                   "umount %s",
                   dir, dir);
    } else {
        int err = mounts_unmount(dir, true);
        status = err < 0 ? explain_unmount(dir, err) : 0;
        if (err == 0)
            tell_note("%s: took down what a varvefs that was killed had left mounted here", dir);
    }
    mounts_release(&m);
    return status;
}

static int check_empty(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry = NULL;
    if (!dir)
        return tell_error("%s: cannot be looked into: %s", path, strerror(errno));
    do
        entry = readdir(dir);
    while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    closedir(dir);
    return entry
               ? tell_error(
                     "%s: not empty, and the mount would hide what is in it; give an empty folder, "
                     "or the option -o nonempty",
                     path)
               : 0;
}

static int check_mounted(const char *dir)
{
    struct mount_point m = {0};
    int status = 0;
    if (mounts_at(dir, &m) == 0 && mounts_is_ours(&m))
        status = tell_error("%s: a varvefs volume is mounted here already: %s", dir, m.source);
    mounts_release(&m);
    return status;
}

static bool is_inside(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 &&
           (path[len] == '/' || path[len] == '\0' || strcmp(dir, "/") == 0);
}

static int check_mount_dir(const struct daemon_config *c)
{
    struct stat st;
    const char *dir = c->mount_dir;
    if (stat(dir, &st) != 0 && errno == ENOENT)
        return tell_error("%s: no such mount point; make it with: mkdir %s", dir, dir);
    if (stat(dir, &st) != 0)
        return tell_error("%s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return tell_error("%s: not a folder, so nothing can be mounted here", dir);
    int status = check_mounted(dir);
    if (status == 0 && !c->options.nonempty)
        status = check_empty(dir);
    /* The daemon would wait for itself when it opens the volume's files. */
    if (status == 0 && is_inside(c->volume, dir))
        status = tell_error("%s: the volume %s lies inside it; mount it elsewhere", dir, c->volume);
    if (status == 0 && is_inside(dir, c->volume))
        status = tell_error("%s: lies inside the volume; mount it elsewhere", dir);
    return status;
}

static int check_log(const char *path)
{
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (path && fd < 0)
        return tell_error("%s: cannot be written to as a log: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return 0;
}

int daemon_check(const struct daemon_config *c)
{
    assert(*c->volume == '/' && *c->mount_dir == '/');
    int status = clear_dead(c->mount_dir);
    if (status == 0)
        status = check_mount_dir(c);
    if (status == 0)
        status = check_log(c->options.log_path);
    if (status == 0)
        status = explain_fuse(c->options.allow_other || c->options.allow_root);
    return status;
}
