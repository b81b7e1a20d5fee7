/* What people read: figures, times, and the form of messages. */
#include "mount/tell.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static void bytes_are(uint64_t bytes, const char *expected)
{
    char text[TELL_BYTES_MAX];
    tell_bytes(bytes, text);
    assert_string_equal(text, expected);
}

static void bytes(void **state)
{
    (void)state;
    bytes_are(0, "0 bytes");
    bytes_are(1, "1 byte");
    bytes_are(1023, "1023 bytes");
    bytes_are(1024, "1.0 KiB");
    bytes_are(1536, "1.5 KiB");
    bytes_are((1 << 20) - 1, "1.0 MiB");
    bytes_are(UINT64_C(5) << 30, "5.0 GiB");
    bytes_are(UINT64_MAX, "16.0 EiB");
}

static void times(void **state)
{
    char text[TELL_TIME_MAX];
    (void)state;
    tell_time_utc(INT64_C(951782400) * 1000000000 + 999999999, text);
    assert_string_equal(text, "2000-02-29T00:00:00Z");
    tell_time_utc(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    setenv("TZ", "UTC-2", 1);
    tzset();
    tell_time(0, text);
    assert_string_equal(text, "1970-01-01 02:00:00");
}

static void uuid(void **state)
{
    const uint8_t id[16] = {0xf8, 0x1d, 0x4f, 0xae, 0x7d, 0xec, 0x11, 0xd0,
                            0xa7, 0x65, 0x00, 0xa0, 0xc9, 0x1e, 0x6b, 0x00};
    char text[TELL_UUID_MAX];
    (void)state;
    tell_uuid(id, text);
    assert_string_equal(text, "f81d4fae-7dec-11d0-a765-00a0c91e6b00");
}

static void compression(void **state)
{
    char text[TELL_COMPRESSION_MAX];
    (void)state;
    tell_compression(0, text);
    assert_string_equal(text, "none");
    tell_compression(7, text);
    assert_string_equal(text, "zstd:7");
}

/* Runs `fn` with standard error going to a pipe, and returns what came. */
static const char *caught(void (*fn)(void))
{
    static char text[16384];
    int fds[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    fn();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t len = read(fds[0], text, sizeof text - 1);
    close(fds[0]);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

static void say_error(void)
{
    assert_int_equal(tell_error("%s: %d", "what\nis\x1b[31m this", 7), TELL_FAILED);
}

static void say_usage(void)
{
    assert_int_equal(tell_usage("mkfs", "wrong '%s'", "x"), TELL_USAGE);
}

static void say_usage_of_all(void)
{
    assert_int_equal(tell_usage("", "wrong"), TELL_USAGE);
}

static void say_much(void)
{
    char *long_text = mem_alloc(100001);
    memset(long_text, 'x', 100000);
    long_text[100000] = '\0';
    tell_note("%s", long_text);
    free(long_text);
}

static void say_progress(void)
{
    tell_progress("work", 1, 2);
    tell_progress_end();
}

static void messages(void **state)
{
    (void)state;
    assert_string_equal(caught(say_error), "varvefs: what?is?[31m this: 7\n");
    assert_string_equal(caught(say_usage), "varvefs: mkfs: wrong 'x'; see: varvefs mkfs --help\n");
    assert_string_equal(caught(say_usage_of_all), "varvefs: wrong; see: varvefs --help\n");
    const char *much = caught(say_much);
    assert_true(strlen(much) > 4000 && strchr(much, '\n') == much + strlen(much) - 1);
    assert_string_equal(caught(say_progress), ""); /* not a terminal */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes),       cmocka_unit_test(times),    cmocka_unit_test(uuid),
        cmocka_unit_test(compression), cmocka_unit_test(messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
