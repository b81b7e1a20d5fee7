/* tell: see tell.h.
 *
 * Invariants:
 *  1. A message is written with one call, so lines of several threads or processes do not mix.
 *  2. The progress line is taken away before any message is printed over it. */
#include "mount/tell.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192, PROGRESS_PERIOD_MS = 100 };

static bool progress_shown;

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

static void sanitize(char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (is_control(line[i]))
            line[i] = '?';
}

static void say(const char *prefix, const char *text, const char *suffix)
{
    char line[LINE_MAX_BYTES];
    int len = snprintf(line, sizeof line - 1, "varvefs: %s%s%s", prefix, text, suffix);
    assert(len > 0);
    size_t used = (size_t)len < sizeof line - 1 ? (size_t)len : sizeof line - 2;
    sanitize(line, used);
    line[used] = '\n';
    tell_progress_end();
    fflush(stdout);
    if (write(STDERR_FILENO, line, used + 1) < 0)
        return; /* nobody to tell */
}

int tell_error(const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say("", text, "");
    return TELL_FAILED;
}

void tell_note(const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say("", text, "");
}

int tell_usage(const char *command, const char *format, ...)
{
    char text[LINE_MAX_BYTES], prefix[64] = "", suffix[96];
    va_list args;
    assert(strlen(command) < 32);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (*command)
        snprintf(prefix, sizeof prefix, "%s: ", command);
    snprintf(suffix, sizeof suffix, "; see: varvefs %s%s--help", command, *command ? " " : "");
    say(prefix, text, suffix);
    return TELL_USAGE;
}

void tell_bytes(uint64_t bytes, char out[TELL_BYTES_MAX])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(out, TELL_BYTES_MAX, "%" PRIu64 " byte%s", bytes, bytes == 1 ? "" : "s");
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    while (value >= 1023.95) { /* what "%.1f" would show as 1024.0 */
        value /= 1024;
        unit++;
    }
    assert(unit < sizeof units / sizeof *units);
    snprintf(out, TELL_BYTES_MAX, "%.1f %s", value, units[unit]);
}

/* For a time that no calendar has. */
static void plain_time(int64_t seconds, char out[TELL_TIME_MAX])
{
    snprintf(out, TELL_TIME_MAX, "%" PRId64, seconds);
}

void tell_time(int64_t realtime_ns, char out[TELL_TIME_MAX])
{
    time_t seconds = (time_t)(realtime_ns / 1000000000);
    struct tm parts;
    if (!localtime_r(&seconds, &parts) ||
        strftime(out, TELL_TIME_MAX, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        plain_time(seconds, out);
}

void tell_time_utc(int64_t realtime_ns, char out[TELL_TIME_MAX])
{
    time_t seconds = (time_t)(realtime_ns / 1000000000);
    struct tm parts;
    if (!gmtime_r(&seconds, &parts) ||
        strftime(out, TELL_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        plain_time(seconds, out);
}

void tell_compression(int zstd_level, char out[TELL_COMPRESSION_MAX])
{
    if (zstd_level == 0)
        snprintf(out, TELL_COMPRESSION_MAX, "none");
    else
        snprintf(out, TELL_COMPRESSION_MAX, "zstd:%d", zstd_level);
}

void tell_uuid(const uint8_t uuid[16], char out[TELL_UUID_MAX])
{
    for (size_t i = 0; i < 16; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        out += sprintf(out, dash ? "-%02x" : "%02x", uuid[i]);
    }
}

const char *tell_type(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "folder";
    case S_IFLNK:
        return "link";
    case S_IFCHR:
    case S_IFBLK:
        return "device";
    case S_IFIFO:
        return "pipe";
    case S_IFSOCK:
        return "socket";
    default:
        return "unknown";
    }
}

void tell_name(const char *name)
{
    for (const char *c = name; *c; c++)
        putchar(is_control(*c) ? '?' : *c);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Is it time to show it again? */
static bool progress_due(void)
{
    static int64_t last_ms = -PROGRESS_PERIOD_MS;
    int64_t now = now_ms();
    if (!isatty(STDERR_FILENO) || now - last_ms < PROGRESS_PERIOD_MS)
        return false;
    last_ms = now;
    progress_shown = true;
    return true;
}

void tell_count(const char *what, uint64_t done)
{
    if (progress_due())
        fprintf(stderr, "\r%s: %" PRIu64 "\033[K", what, done);
}

void tell_progress(const char *what, uint64_t done, uint64_t total)
{
    assert(done <= total || total == 0);
    if (!progress_due())
        return;
    if (total)
        fprintf(stderr, "\r%s: %u %%\033[K", what, (unsigned)((double)done * 100 / (double)total));
    else
        fprintf(stderr, "\r%s\033[K", what);
}

void tell_progress_end(void)
{
    if (!progress_shown)
        return;
    progress_shown = false;
    fputs("\r\033[K", stderr);
}
