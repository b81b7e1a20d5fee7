/* temp: see temp.h.
 *
 * Invariants:
 *  1. A folder is there only while its lock file is. It may come after whoever has the lock is gone
 * (the daemon makes it, and finds out late): so a lock without a folder stays for LATE_SECONDS.
 *  2. A lock counts only while the file has its name: one that was locked as it was being removed
 * is nobody's.
 *  3. Others may be able to write where the folder is: no symbolic link is followed, and files are
 * removed by the descriptor of the folder that was looked at. */
#include "mount/temp.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/fs.h"

enum { LATE_SECONDS = 60 * 60 };

static const char prefix[] = ".varvefs-reading-", suffix[] = ".lock";

/* The folder that has it. */
static char *place_of(const char *volume)
{
    struct stat own, above;
    char *place = mem_strdup(volume), *slash = strrchr(place, '/');
    assert(*volume == '/' && slash);
    slash[slash == place] = '\0';
    bool beside = stat(volume, &own) == 0 && stat(place, &above) == 0 && own.st_dev == above.st_dev;
    if (beside)
        return place;
    free(place);
    return mem_strdup(volume);
}

/* Is it the file that has the name? */
static bool has_name(int fd, const char *path)
{
    struct stat open, named;
    return fstat(fd, &open) == 0 && lstat(path, &named) == 0 && open.st_dev == named.st_dev &&
           open.st_ino == named.st_ino;
}

static bool take_lock(int fd, const char *path)
{
    return flock(fd, LOCK_EX | LOCK_NB) == 0 && has_name(fd, path);
}

/* ---- removing ---- */

static void remove_files(int dir_fd)
{
    DIR *dir = fdopendir(dir_fd);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        unlinkat(dir_fd, entry->d_name, 0); /* not "." and ".." */
    if (dir)
        closedir(dir);
    else
        close(dir_fd);
}

/* 0 when there is none any more. */
static int remove_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        remove_files(fd);
    return rmdir(path) == 0 || errno == ENOENT ? 0 : -errno;
}

/* There is no folder, and there may yet be one. */
static bool may_come(int lock_fd, const char *path)
{
    struct stat folder, lock;
    return lstat(path, &folder) < 0 && errno == ENOENT && fstat(lock_fd, &lock) == 0 &&
           time(NULL) - lock.st_mtime < LATE_SECONDS;
}

/* What belongs to the lock file `name` in `place`, if nobody has it locked. */
static void sweep_one(const char *place, const char *name)
{
    char *lock_path = mem_printf("%s/%s", place, name);
    char *path = mem_printf("%.*s", (int)(strlen(lock_path) - strlen(suffix)), lock_path);
    int fd = open(lock_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && take_lock(fd, lock_path) && !may_come(fd, path) && remove_folder(path) == 0)
        unlink(lock_path);
    if (fd >= 0)
        close(fd);
    free(path);
    free(lock_path);
}

static bool is_lock(const char *name)
{
    size_t len = strlen(name);
    return len > strlen(prefix) + strlen(suffix) && strncmp(name, prefix, strlen(prefix)) == 0 &&
           strcmp(name + len - strlen(suffix), suffix) == 0;
}

void temp_sweep(const char *volume)
{
    char *place = place_of(volume);
    DIR *dir = opendir(place);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        if (is_lock(entry->d_name))
            sweep_one(place, entry->d_name);
    if (dir)
        closedir(dir);
    free(place);
}

/* ---- having one ---- */

/* A file that is ours: others could take it for left between making and locking. */
static int make_lock(char *lock_path)
{
    for (;;) {
        int fd = mkostemps(lock_path, (int)strlen(suffix), O_CLOEXEC);
        if (fd < 0)
            return -errno;
        fchmod(fd, 0644); /* whoever may remove it may lock it */
        int err = flock(fd, LOCK_EX | LOCK_NB) == 0 || errno == EWOULDBLOCK ? 0 : -errno;
        if (err == 0 && take_lock(fd, lock_path))
            return fd;
        if (err < 0)
            unlink(lock_path); /* nothing can be locked here */
        close(fd);
        if (err < 0)
            return err;
        memset(lock_path + strlen(lock_path) - strlen(suffix) - 6, 'X', 6);
    }
}

int temp_take(const char *volume, struct temp *out)
{
    char *place = place_of(volume);
    char *lock_path = mem_printf("%s/%sXXXXXX%s", place, prefix, suffix);
    *out = (struct temp){0};
    free(place);
    int fd = make_lock(lock_path);
    if (fd < 0) {
        free(lock_path);
        return fd;
    }
    *out = (struct temp){
        .path = mem_printf("%.*s", (int)(strlen(lock_path) - strlen(suffix)), lock_path),
        .lock_path = lock_path,
        .lock = fd};
    return 0;
}

int temp_drop(struct temp *t)
{
    if (!t->path)
        return 0;
    assert(t->lock >= 0);
    int err = remove_folder(t->path);
    if (err == 0)
        unlink(t->lock_path);
    close(t->lock);
    free(t->path);
    free(t->lock_path);
    *t = (struct temp){0};
    return err;
}
