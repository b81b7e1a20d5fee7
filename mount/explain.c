/* explain: see explain.h. */
#include "mount/explain.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/fs.h"
#include "mount/mounts.h"
#include "mount/tell.h"

int explain_is_volume(const char *path)
{
    struct stat st;
    char *current = mem_printf("%s/CURRENT", path);
    int err = stat(current, &st) ? -errno : S_ISREG(st.st_mode) ? 0 : -ENOENT;
    free(current);
    return err;
}

pid_t explain_holder(const char *volume)
{
    long pid = 0;
    assert(*volume);
    char *path = mem_printf("%s/LOCK", volume);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%ld", &pid) != 1)
        pid = 0;
    if (f)
        fclose(f);
    free(path);
    return pid > 0 ? (pid_t)pid : 0;
}

static bool is_empty(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;
    while (dir && count < 3 && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return dir && count <= 2; /* "." and ".." */
}

static int not_a_volume(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return tell_error("%s: no such folder; make a volume there with: varvefs mkfs %s", path,
                          path);
    if (is_empty(path))
        return tell_error(
            "%s: not a varvefs volume (no CURRENT file); make one with: varvefs mkfs %s", path,
            path);
    return tell_error(
        "%s: not a varvefs volume (no CURRENT file); make one in an empty folder with: "
        "varvefs mkfs FOLDER",
        path);
}

static int in_use(const char *path)
{
    struct mount_point m = {0};
    char *real = realpath(path, NULL);
    pid_t pid = real ? explain_holder(real) : 0;
    char *who = pid ? mem_printf(" by process %ld", (long)pid) : mem_strdup(" by another process");
    if (real && mounts_of_volume(real, &m) == 0)
        tell_error("%s: in use%s, mounted at %s; take it down first with: varvefs umount %s", path,
                   who, m.dir, m.dir);
    else
        tell_error("%s: in use%s; try again when that has ended", path, who);
    mounts_release(&m);
    free(who);
    free(real);
    return TELL_FAILED;
}

static int no_permission(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && st.st_uid != geteuid())
        return tell_error(
            "%s: permission denied: the folder belongs to user %u, and this is user %u", path,
            (unsigned)st.st_uid, (unsigned)geteuid());
    return tell_error("%s: permission denied", path);
}

int explain_volume(const char *path, int err)
{
    assert(err < 0);
    switch (err) {
    case -ENOENT:
        return not_a_volume(path);
    case -ENOTDIR:
        return tell_error("%s: not a folder, and a volume is a folder", path);
    case -EAGAIN:
        return in_use(path);
    case -EPROTONOSUPPORT:
        return tell_error("%s: made by a newer varvefs than this one (%s); use a newer varvefs",
                          path, VARVEFS_VERSION);
    case -EACCES:
    case -EPERM:
        return no_permission(path);
    case -EROFS:
        return tell_error("%s: on a read-only file system; it can be mounted with: -o ro", path);
    case -ENOSPC:
        return tell_error("%s: no space left on the disk", path);
    case -ENOKEY:
        return tell_error("%s: encrypted; give its passphrase with --passfile=FILE or "
                          "--extpass=COMMAND, on standard input, or at a terminal",
                          path);
    case -EKEYREJECTED:
        return tell_error("%s: the passphrase is wrong", path);
    case -EMEDIUMTYPE:
        return tell_error("%s: a passphrase was given, but this volume is not encrypted; if it "
                          "should be, it is not the volume that you made",
                          path);
    case -EUCLEAN:
        return tell_error("%s: a checkpoint that was not finished; if no 'varvefs checkpoint' "
                          "works on it any more, delete the folder and make it again",
                          path);
    case -EIO:
        return tell_error("%s: damaged, or the disk fails; to know what is wrong: varvefs fsck %s; "
                          "to repair what can be: varvefs salvage %s",
                          path, path, path);
    default:
        return tell_error("%s: %s", path, strerror(-err));
    }
}

int explain_make(const char *path, int err)
{
    assert(err < 0);
    if (err == -ENOTEMPTY && explain_is_volume(path) == 0)
        return tell_error(
            "%s: there is a varvefs volume in it already; to make a new one there, delete it "
            "first, with all its data",
            path);
    if (err == -ENOTEMPTY)
        return tell_error("%s: not empty; give an empty folder, or one that does not exist yet",
                          path);
    if (err == -ENOENT)
        return tell_error("%s: the folder above it does not exist; make that first", path);
    if (err == -EROFS)
        return tell_error("%s: on a read-only file system", path);
    return explain_volume(path, err);
}

/* ---- FUSE ---- */

static bool allows_others(void)
{
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    FILE *f = fopen("/etc/fuse.conf", "re");
    while (f && !found && getline(&line, &room, f) > 0)
        found = strncmp(line, "user_allow_other", 16) == 0 && strchr("\n \t#", line[16]);
    if (f)
        fclose(f);
    free(line);
    return found;
}

int explain_fuse(bool shared)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    int error = errno;
    if (fd >= 0)
        close(fd);
    else if (error == ENOENT || error == ENODEV || error == ENXIO)
        return tell_error(
            "there is no /dev/fuse: load the kernel's module with 'modprobe fuse', or start "
            "the container with --device /dev/fuse --cap-add SYS_ADMIN");
    else if (error == EACCES || error == EPERM)
        return tell_error(
            "no permission to open /dev/fuse: run as root, or let users have it with "
            "'chmod 666 /dev/fuse'; a container has to be started with --device /dev/fuse "
            "--cap-add SYS_ADMIN");
    else
        return tell_error("cannot open /dev/fuse: %s", strerror(error));
    if (shared && geteuid() != 0 && !allows_others())
        return tell_error("allow_other and allow_root are for root only, unless the line "
                          "'user_allow_other' stands in /etc/fuse.conf");
    return 0;
}

int explain_mount(const char *dir, const char *libfuse_said)
{
    bool is_root = geteuid() == 0;
    assert(*dir == '/' && libfuse_said);
    const char *hint = "";
    if (strstr(libfuse_said, "fusermount3") && strstr(libfuse_said, "exec"))
        hint = "; run as root, or install the package fuse3, whose fusermount3 mounts for users";
    else if (is_root)
        hint = "; a container has to be started with --device /dev/fuse --cap-add SYS_ADMIN";
    else if (access(dir, W_OK) != 0)
        hint = "; without root, the mount point has to be a folder that you may write to";
    return tell_error("%s: cannot mount%s%s%s", dir, *libfuse_said ? ": " : "", libfuse_said, hint);
}

int explain_unmount(const char *dir, int err)
{
    assert(err < 0);
    switch (err) {
    case -EBUSY:
        return tell_error(
            "%s: in use: a file in it is open, or a shell stands in it; 'fuser -vm %s' shows "
            "whose",
            dir, dir);
    case -ENOENT:
        return tell_error("%s: taking it down without root needs fusermount3, of the package fuse3",
                          dir);
    case -EPERM:
    case -EACCES:
        return tell_error("%s: no permission to take it down; only who mounted it may, or root",
                          dir);
    default:
        return tell_error("%s: cannot take it down: %s", dir, strerror(-err));
    }
}
