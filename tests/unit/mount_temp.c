/* temp: folders of commands beside a volume: those whose owner is gone are removed, others not. */
#include "mount/temp.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fs/fs.h"
#include "tests/unit/unit.h"

struct site {
    char dir[64], volume[96];
};

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void make_folder(const char *path)
{
    char *file = mem_printf("%s/file", path);
    assert_ok(mkdir(path, 0755));
    make_file(file);
    free(file);
}

static int enter(void **state)
{
    struct site *s = mem_zalloc(sizeof *s);
    strcpy(s->dir, "/tmp/varve-temp-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->volume, sizeof s->volume, "%s/volume", s->dir);
    assert_ok(mkdir(s->volume, 0755));
    *state = s;
    return 0;
}

static int leave(void **state)
{
    struct site *s = *state;
    char *command = mem_printf("rm -rf %s", s->dir);
    assert_ok(system(command));
    free(command);
    free(s);
    return 0;
}

static void dropped(void **state)
{
    struct site *s = *state;
    struct temp t, u, none = {0};
    assert_ok(temp_drop(&none));
    assert_ok(temp_take(s->volume, &t));
    assert_ok(temp_take(s->volume, &u));
    assert_string_not_equal(t.path, u.path);
    assert_int_equal(strncmp(t.path, s->dir, strlen(s->dir)), 0);
    assert_true(exists(t.lock_path) && !exists(t.path)); /* the folder is the owner's to make */
    make_folder(t.path);
    char *path = mem_strdup(t.path), *lock_path = mem_strdup(t.lock_path);
    assert_ok(temp_drop(&t));
    assert_true(!exists(path) && !exists(lock_path));
    assert_ok(temp_drop(&u)); /* which never was */
    free(path);
    free(lock_path);
}

/* Another process takes one, makes it, and is killed. */
static char *left_by_another(const struct site *s)
{
    int ends[2];
    char path[128] = {0};
    assert_ok(pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        struct temp t;
        if (temp_take(s->volume, &t) != 0)
            _exit(1);
        make_folder(t.path);
        ssize_t n = write(ends[1], t.path, strlen(t.path));
        pause();
        _exit(n < 0);
    }
    assert_true(pid > 0 && read(ends[0], path, sizeof path - 1) > 0);
    assert_true(exists(path));
    temp_sweep(s->volume); /* it lives */
    assert_true(exists(path));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ends[0]);
    close(ends[1]);
    return mem_strdup(path);
}

static void swept(void **state)
{
    struct site *s = *state;
    struct temp mine;
    assert_ok(temp_take(s->volume, &mine));
    make_folder(mine.path);
    char *left = left_by_another(s), *lock_path = mem_printf("%s.lock", left);
    assert_true(exists(left) && exists(lock_path));
    temp_sweep(s->volume);
    assert_true(!exists(left) && !exists(lock_path));
    assert_true(exists(mine.path) && exists(mine.lock_path)); /* one's own, too */
    assert_ok(temp_drop(&mine));
    free(left);
    free(lock_path);
}

/* Who has asked the daemon for a folder is killed before the daemon makes it: it is found then, and
 * a lock that nothing came to goes after a while. */
static void comes_late(void **state)
{
    struct site *s = *state;
    char *late = mem_printf("%s/.varvefs-reading-abcdef", s->dir);
    char *lock = mem_printf("%s/.varvefs-reading-abcdef.lock", s->dir);
    make_file(lock);
    temp_sweep(s->volume);
    assert_true(exists(lock));
    make_folder(late);
    temp_sweep(s->volume);
    assert_true(!exists(late) && !exists(lock));
    make_file(lock);
    const struct timespec long_ago[2] = {{.tv_sec = time(NULL) - 7200},
                                         {.tv_sec = time(NULL) - 7200}};
    assert_ok(utimensat(AT_FDCWD, lock, long_ago, 0));
    temp_sweep(s->volume);
    assert_true(!exists(lock));
    free(late);
    free(lock);
}

/* Nothing but what is certainly left is touched. */
static void left_alone(void **state)
{
    struct site *s = *state;
    char *victim = mem_printf("%s/victim", s->dir), *file = mem_printf("%s/victim/file", s->dir);
    char *link = mem_printf("%s/.varvefs-reading-abcdef", s->dir);
    char *lock = mem_printf("%s/.varvefs-reading-abcdef.lock", s->dir);
    char *full = mem_printf("%s/.varvefs-reading-uvwxyz", s->dir);
    char *sub = mem_printf("%s/.varvefs-reading-uvwxyz/sub", s->dir);
    char *full_lock = mem_printf("%s/.varvefs-reading-uvwxyz.lock", s->dir);
    char *alone = mem_printf("%s/.varvefs-reading-folder", s->dir);
    make_folder(victim);
    assert_ok(symlink(victim, link));
    make_file(lock);
    make_folder(full);
    assert_ok(mkdir(sub, 0755));
    make_file(full_lock);
    make_folder(alone);
    temp_sweep(s->volume);
    assert_true(exists(file));                     /* behind a symbolic link */
    assert_true(exists(link) && exists(lock));     /* which is no folder */
    assert_true(exists(sub) && exists(full_lock)); /* for the next time */
    assert_true(exists(alone));                    /* without a lock file it is none of these */
    assert_ok(rmdir(sub));
    temp_sweep(s->volume);
    assert_true(!exists(full) && !exists(full_lock));
    free(victim);
    free(file);
    free(link);
    free(lock);
    free(full);
    free(sub);
    free(full_lock);
    free(alone);
}

static void refused(void **state)
{
    struct site *s = *state;
    struct temp t;
    char *nowhere = mem_printf("%s/none/volume", s->dir);
    assert_errno(temp_take(nowhere, &t), ENOENT);
    assert_null(t.path);
    temp_sweep(nowhere);
    free(nowhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dropped, enter, leave),
        cmocka_unit_test_setup_teardown(swept, enter, leave),
        cmocka_unit_test_setup_teardown(comes_late, enter, leave),
        cmocka_unit_test_setup_teardown(left_alone, enter, leave),
        cmocka_unit_test_setup_teardown(refused, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
