/* unit: what every unit test starts with: cmocka, the headers that it wants before it, and a few
 * assertions in the words of this project. */
#ifndef VARVE_UNIT_UNIT_H
#define VARVE_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/bytes.h"
#include "store/err.h"

/* The call returned 0, 1 ("absent", "end"), or the negative errno. */
#define assert_ok(call)           assert_int_equal((call), 0)
#define assert_absent(call)       assert_int_equal((call), 1)
#define assert_errno(call, error) assert_int_equal((call), -(error))

/* The slice has just these bytes; the second form, those of a string without its NUL. */
#define assert_slice(actual, data, len) \
    unit_assert_slice((actual), (data), (len), __FILE__, __LINE__)
#define assert_slice_str(actual, text) \
    unit_assert_slice((actual), (text), strlen(text), __FILE__, __LINE__)

static inline void unit_assert_slice(struct slice actual, const void *data, size_t len,
                                     const char *file, int line)
{
    _assert_int_equal(actual.len, len, file, line);
    if (len)
        _assert_memory_equal(actual.data, data, len, file, line);
}

/* The seed of a random test: $SEED, or one that differs at each run. It is printed, with what
 * repeats the run. Call it once at the start of the test. */
static inline uint64_t unit_seed(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const char *given = getenv("SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0)
                          : (uint64_t)now.tv_sec * 1000000007 + (uint64_t)now.tv_nsec;
    print_message("seed: run again with SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* How much a test does: the number in that variable of the environment, if it is set. */
static inline size_t unit_setting(const char *name, size_t otherwise)
{
    const char *given = getenv(name);
    return given ? strtoull(given, NULL, 0) : otherwise;
}

/* For log_set_sink(): messages of the program are shown with VERBOSE=1 only. */
static inline void unit_log(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    if (getenv("VERBOSE"))
        fprintf(stderr, "[%d] %s\n", (int)level, text);
}

#endif
