/* err: see err.h. The sink is written once, before threads start, and only read afterwards. */
#include "store/err.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void to_stderr(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    if (level <= LOG_WARNING)
        fprintf(stderr, "varvefs: %s\n", text);
}

static log_fn *sink_fn = to_stderr;
static void *sink_ctx;

void log_set_sink(log_fn *sink, void *ctx)
{
    sink_fn = sink ? sink : to_stderr;
    sink_ctx = ctx;
}

void log_message(enum log_level level, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sink_fn(sink_ctx, level, text);
}

static _Thread_local char last[1024];

int corrupt(const char *file, uint64_t offset, const char *format, ...)
{
    char why[768];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    if (offset == UINT64_MAX)
        snprintf(last, sizeof last, "%.200s is damaged: %s", file, why);
    else
        snprintf(last, sizeof last, "%.200s is damaged at offset %" PRIu64 ": %s", file, offset,
                 why);
    log_message(LOG_ERROR, "%s", last);
    return -EIO;
}

const char *corrupt_last(void)
{
    return last;
}

void corrupt_forget(void)
{
    last[0] = 0;
}
