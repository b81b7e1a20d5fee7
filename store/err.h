/* err: one way to raise corruption, one place where messages leave the store.
 *
 * Functions return 0, 1 for "absent" or "end", or a negative errno. No fault of the store may look
 * like a user's error: a file of ours that is missing or damaged is raised by corrupt(), as -EIO.
 */
#ifndef VARVE_STORE_ERR_H
#define VARVE_STORE_ERR_H

#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* `text` is one line without a newline, valid during the call; may be called from any thread. */
typedef void log_fn(void *ctx, enum log_level level, const char *text);

/* Where messages go from now on: process-wide, set before threads start. NULL: standard error, from
 * LOG_WARNING upwards. */
void log_set_sink(log_fn *sink, void *ctx);

void log_message(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Logs "FILE at OFFSET: WHY" as an error and returns -EIO. `file` is the name to show. An offset
 * that is not known is UINT64_MAX. */
int corrupt(const char *file, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What this thread raised last by corrupt(), in the same words; "" if nothing since the last
 * corrupt_forget(). Lives until the next. */
const char *corrupt_last(void);
void corrupt_forget(void);

#endif
