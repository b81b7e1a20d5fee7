/* log: see log.h.
 *
 * Invariants:
 *  1. The sink of err.h is set once, before threads start; what changes afterwards is `where`,
 * which is atomic.
 *  2. A line of the log file is written by one write(2) at its end, so lines do not mix. */
#include "mount/log.h"

#include "fs/fs.h"

/* <syslog.h> has macros with the names of err.h's levels: no level is called by its name after this
 * line. */
_Static_assert(LOG_ERROR == 0 && LOG_WARNING == 1 && LOG_INFO == 2 && LOG_DEBUG == 3,
               "the tables of this file are in this order");
enum { LEVEL_ERROR, LEVEL_WARNING };

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_log.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum where { TO_STDERR, TO_SYSLOG, TO_FILE };

static enum where where; /* atomic */
static int file_fd = -1; /* set before `where` says TO_FILE, never closed */
static bool everything;

static pthread_mutex_t keep_lock = PTHREAD_MUTEX_INITIALIZER;
static bool keeping;    /* [keep_lock] */
static struct buf kept; /* [keep_lock] */

static void to_file(const char *text)
{
    char line[1400];
    time_t now = time(NULL);
    struct tm parts;
    size_t used = localtime_r(&now, &parts) ? strftime(line, 32, "%Y-%m-%d %H:%M:%S ", &parts) : 0;
    int len = snprintf(line + used, sizeof line - used, "%s\n", text);
    assert(len > 0);
    used += (size_t)len < sizeof line - used ? (size_t)len : sizeof line - used - 1;
    if (write(file_fd, line, used) < 0)
        return; /* a log that cannot be written is no reason to stop */
}

static void sink(void *ctx, enum log_level level, const char *text)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    (void)ctx;
    assert((size_t)level < sizeof priorities / sizeof *priorities);
    assert(text);
    if ((int)level > LEVEL_WARNING && !everything)
        return;
    switch (__atomic_load_n(&where, __ATOMIC_ACQUIRE)) {
    case TO_STDERR:
        fprintf(stderr, "varvefs: %s\n", text);
        break;
    case TO_SYSLOG:
        syslog(priorities[level], "%s", text);
        break;
    case TO_FILE:
        to_file(text);
        break;
    }
}

static void __attribute__((format(printf, 2, 0)))
from_libfuse(enum fuse_log_level level, const char *format, va_list args)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    pthread_mutex_lock(&keep_lock);
    bool keep = keeping && level <= FUSE_LOG_WARNING;
    if (keep) {
        buf_append(&kept, slice_str(kept.len ? "; " : ""));
        buf_append(&kept, slice_str(text));
    }
    pthread_mutex_unlock(&keep_lock);
    if (!keep)
        sink(NULL,
             level <= FUSE_LOG_ERR ? (enum log_level)LEVEL_ERROR : (enum log_level)LEVEL_WARNING,
             text);
}

void log_start(bool verbose)
{
    assert(where == TO_STDERR && file_fd < 0);
    everything = verbose;
    log_set_sink(sink, NULL);
    fuse_set_log_func(from_libfuse);
}

int log_redirect(const char *path)
{
    if (path) {
        int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            return -errno;
        assert(file_fd < 0);
        file_fd = fd;
    } else {
        openlog("varvefs", LOG_PID, LOG_DAEMON);
    }
    __atomic_store_n(&where, path ? TO_FILE : TO_SYSLOG, __ATOMIC_RELEASE);
    return 0;
}

void log_keep_begin(void)
{
    pthread_mutex_lock(&keep_lock);
    assert(!keeping && kept.len == 0);
    keeping = true;
    pthread_mutex_unlock(&keep_lock);
}

char *log_keep_end(void)
{
    pthread_mutex_lock(&keep_lock);
    assert(keeping);
    keeping = false;
    char *text = mem_printf("%.*s", (int)kept.len, kept.len ? (const char *)kept.data : "");
    buf_release(&kept);
    pthread_mutex_unlock(&keep_lock);
    return text;
}
