/* logged: keeps the messages that leave the store during a test, so that they can be checked and do
 * not clutter its output. For tests of one thread. */
#ifndef VARVE_UNIT_LOGGED_H
#define VARVE_UNIT_LOGGED_H

#include "store/err.h"
#include "tests/unit/unit.h"

static struct {
    size_t count;    /* since logged_reset() */
    char last[1024]; /* the last message */
} logged;

static inline void logged_sink(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    size_t len = strlen(text);
    assert_true(len < sizeof logged.last);
    memcpy(logged.last, text, len + 1);
    logged.count++;
}

/* Forgets what was logged; from the first call on messages come here. */
static inline void logged_reset(void)
{
    log_set_sink(logged_sink, NULL);
    logged.count = 0;
    logged.last[0] = 0;
}

/* Something was logged since logged_reset(), and the last message contains `part`. */
static inline void assert_logged(const char *part)
{
    assert_true(logged.count > 0);
    if (!strstr(logged.last, part))
        fail_msg("\"%s\" is not in \"%s\"", part, logged.last);
}

#endif
