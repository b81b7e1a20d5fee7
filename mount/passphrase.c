/* passphrase: see passphrase.h.
 *
 * Invariants:
 * 1. The bytes of a passphrase are in its locked page, on the kernel's way to it, and, from a
 *    command, nowhere else in this process: they are read with read(2), one by one where what
 *    follows belongs to somebody else.
 * 2. The terminal echoes again however reading ended, signals included. */
#include "mount/passphrase.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "mount/tell.h"

enum { PAGE_BYTES = 16384 };
_Static_assert(PAGE_BYTES >= 2 * STORE_SECRET_MAX, "a page holds it, and what it is compared with");

void passphrase_option(struct passphrase_source *source, int option, const char *value)
{
    if (option == CMD_PASSFILE)
        source->file = value;
    else if (option == CMD_EXTPASS)
        source->command = value;
}

static int give(void *ctx, uint8_t out[STORE_SECRET_MAX], size_t *len)
{
    const struct passphrase *p = ctx;
    if (!p->bytes)
        return -ENOKEY;
    memcpy(out, p->bytes, p->len);
    *len = p->len;
    return 0;
}

/* ---- memory ---- */

/* Neither the passphrase nor what is made of it may end up in a core dump. */
static void forbid_core_dumps(void)
{
    const struct rlimit none = {0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int take_page(struct passphrase *p)
{
    forbid_core_dumps();
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return tell_error("no memory for the passphrase: %s", strerror(errno));
    (void)mlock(page, PAGE_BYTES);
    (void)madvise(page, PAGE_BYTES, MADV_DONTDUMP);
    *p = (struct passphrase){.bytes = page, .secret = {.ctx = p, .get = give}};
    return 0;
}

void passphrase_wipe(struct passphrase *p)
{
    if (p->bytes) {
        explicit_bzero(p->bytes, PAGE_BYTES);
        munmap(p->bytes, PAGE_BYTES);
    }
    *p = (struct passphrase){0};
}

/* ---- a line of a file ---- */

/* Reads up to a newline, which is taken but not kept, or to the end. 0, -E2BIG, or an error. */
static int read_line(int fd, uint8_t *out, size_t *len)
{
    uint8_t byte;
    *len = 0;
    for (;;) {
        ssize_t n = read(fd, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0 || byte == '\n')
            return 0;
        if (*len == STORE_SECRET_MAX)
            return -E2BIG;
        out[(*len)++] = byte;
    }
}

/* Reads the line, and tells what is wrong with it, if anything. */
static int take_line(int fd, const char *from, struct passphrase *p)
{
    int err = read_line(fd, p->bytes, &p->len);
    if (err == -E2BIG)
        return tell_error("%s: the passphrase is longer than %d bytes", from, STORE_SECRET_MAX);
    if (err < 0)
        return tell_error("%s: %s", from, strerror(-err));
    if (p->len == 0)
        return tell_error("%s: no passphrase there: the first line is empty", from);
    return 0;
}

static int from_file(const char *path, struct passphrase *p)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return tell_error("%s: cannot read the passphrase: %s", path, strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0077))
        tell_note("%s: others may read this passphrase; take that away with: chmod 600 %s", path,
                  path);
    int status = take_line(fd, path, p);
    close(fd);
    return status;
}

/* ---- a command ---- */

/* Starts it with its output to a pipe. 0 or a negative errno. */
static int start_command(const char *command, pid_t *pid, int *out)
{
    int fds[2];
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, mem_strdup(command), NULL};
    posix_spawn_file_actions_t actions;
    if (pipe2(fds, O_CLOEXEC) != 0) {
        free(argv[2]);
        return -errno;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    int err = -posix_spawn(pid, "/bin/sh", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    free(argv[2]);
    close(fds[1]);
    if (err < 0)
        close(fds[0]);
    *out = fds[0];
    return err;
}

static int from_command(const char *command, struct passphrase *p)
{
    pid_t pid, ended;
    int fd = -1, result = 0;
    int err = start_command(command, &pid, &fd);
    if (err < 0)
        return tell_error("cannot run '%s' for the passphrase: %s", command, strerror(-err));
    err = read_line(fd, p->bytes, &p->len);
    close(fd);
    do
        ended = waitpid(pid, &result, 0);
    while (ended < 0 && errno == EINTR);
    if (ended != pid || !WIFEXITED(result) || WEXITSTATUS(result) != 0)
        return tell_error("'%s', which should print the passphrase, failed", command);
    if (err < 0 || p->len == 0)
        return tell_error("'%s' printed no passphrase of 1 to %d bytes", command, STORE_SECRET_MAX);
    return 0;
}

/* ---- the terminal ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = number;
}

/* Reads a line without echo. 0 or a negative errno; -EINTR: the user gave up. */
static int ask_silently(int fd, const char *what, uint8_t *out, size_t *len)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction act = {.sa_handler = on_interrupt}, old[4];
    struct termios normal, silent;
    if (tcgetattr(fd, &normal) != 0)
        return -errno;
    interrupted = 0;
    for (int i = 0; i < 4; i++)
        sigaction(signals[i], &act, &old[i]);
    silent = normal;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK);
    silent.c_lflag |= ECHONL | ICANON | ISIG;
    tcsetattr(fd, TCSAFLUSH, &silent);
    dprintf(fd, "%s: ", what);
    uint8_t byte;
    int err = 0;
    for (*len = 0; err == 0;) {
        ssize_t n = interrupted ? 0 : read(fd, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || byte == '\n') {
            err = interrupted ? -EINTR : n < 0 ? -errno : 0;
            break;
        }
        if (*len == STORE_SECRET_MAX)
            err = -E2BIG;
        else
            out[(*len)++] = byte;
    }
    tcsetattr(fd, TCSAFLUSH, &normal);
    for (int i = 0; i < 4; i++)
        sigaction(signals[i], &old[i], NULL);
    return err;
}

static int from_terminal(const char *what, bool twice, struct passphrase *p)
{
    uint8_t *again = p->bytes + STORE_SECRET_MAX;
    size_t again_len = 0;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        fd = dup(STDIN_FILENO);
    int err = ask_silently(fd, what, p->bytes, &p->len);
    if (err == 0 && twice && p->len > 0)
        err = ask_silently(fd, "The same again", again, &again_len);
    close(fd);
    if (err < 0)
        return tell_error("no passphrase: %s", err == -EINTR   ? "given up"
                                               : err == -E2BIG ? "too long"
                                                               : strerror(-err));
    if (p->len == 0)
        return tell_error("an empty passphrase is none");
    if (twice && (again_len != p->len || memcmp(again, p->bytes, p->len) != 0))
        return tell_error("the two are not the same; nothing was done");
    return 0;
}

/* ---- all of them ---- */

bool passphrase_is_at_hand(const struct passphrase_source *source)
{
    return source->file || source->command || isatty(STDIN_FILENO);
}

int passphrase_read(const struct passphrase_source *source, const char *what, bool twice,
                    struct passphrase *p)
{
    int status = take_page(p);
    if (status != 0)
        return status;
    if (source->file && strcmp(source->file, "-") != 0)
        status = from_file(source->file, p);
    else if (source->command)
        status = from_command(source->command, p);
    else if (!source->file && isatty(STDIN_FILENO))
        status = from_terminal(what, twice, p);
    else
        status = take_line(STDIN_FILENO, "standard input", p);
    if (status != 0)
        passphrase_wipe(p);
    assert(status != 0 || (p->len > 0 && p->len <= STORE_SECRET_MAX));
    return status;
}

int passphrase_of_volume(const struct passphrase_source *source, const char *volume,
                         struct passphrase *p)
{
    struct store_keys keys;
    *p = (struct passphrase){.secret = {.ctx = p, .get = give}};
    p->secret.required = source->file || source->command;
    if (fs_keys_get(volume, &keys) != 0)
        return 0; /* not encrypted, or opening it will say what is wrong */
    char *what = mem_printf("Passphrase for %s", volume);
    int status = passphrase_read(source, what, false, p);
    free(what);
    return status;
}
