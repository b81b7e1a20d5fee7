/* Rules for automatic snapshots: what they say, by table, and which rules are refused. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mount/keeper.h"
#include "mount/retention.h"
#include "tests/unit/unit.h"

#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
/* 2026-11-20 14:00 UTC */
#define NOON (INT64_C(1795183200) * SECOND)

static struct retention_rule rule_of(const char *text)
{
    struct retention_rule rule;
    char *why;
    if (retention_parse(text, &rule, &why) != 0)
        fail_msg("%s: %s", text, why);
    assert_null(why);
    return rule;
}

static void test_rules(void **state)
{
    (void)state;
    struct retention_rule r = rule_of("24h@1h,7d@1d");
    assert_int_equal(r.count, 2);
    assert_true(r.clauses[0].span_ns == DAY && r.clauses[0].every_ns == HOUR);
    assert_true(r.clauses[1].span_ns == 7 * DAY && r.clauses[1].every_ns == DAY);
    r = rule_of("1m@1m");
    assert_true(r.clauses[0].span_ns == MINUTE);
    r = rule_of("10y@1w,90m@30m");
    assert_true(r.clauses[0].span_ns == 3650 * DAY && r.clauses[0].every_ns == 7 * DAY);
    rule_of("8h@1h,8h@1h,8h@1h,8h@1h,8h@1h,8h@1h,8h@1h,8h@1h");
}

static void test_refused_rules(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "24h",
                                      "24h@",
                                      "@1h",
                                      "h@1h",
                                      "24@1h",
                                      "24h@1",
                                      "24h@0h",
                                      "0h@0h",
                                      "-1h@1h",
                                      "24h@2d",
                                      "24h@1h,",
                                      ",1h@1h",
                                      "24h@1h 7d@1d",
                                      "24s@1s",
                                      "24h@1h;",
                                      "1.5h@1h",
                                      "101y@1y",
                                      "24h@1h@1h",
                                      "+1h@1h",
                                      "24h @1h",
                                      "1h@1H",
                                      "0x10h@0x1h",
                                      "99999999999999999999h@1h",
                                      "8h@1h,8h@1h,8h@1h,8h@1h,8h@1h,8h@1h,8h@1h,8h@1h,8h@1h"};
    struct retention_rule rule;
    char *why;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (retention_parse(bad[i], &rule, &why) != -EINVAL)
            fail_msg("'%s' is taken", bad[i]);
        assert_non_null(strstr(why, "write SPAN@EVERY"));
        assert_null(strchr(why, '\n'));
        assert_int_equal(rule.count, 0);
        free(why);
    }
    assert_int_equal(retention_parse("1y@1m", &rule, &why), -EINVAL);
    assert_non_null(strstr(why, "at most 10000"));
    free(why);
}

static void test_names(void **state)
{
    (void)state;
    char name[RETENTION_NAME_MAX];
    retention_name(NOON + 59 * SECOND, name);
    assert_string_equal(name, "auto-2026-11-20T14:00");
    assert_true(retention_is_auto(name, NOON));
    assert_true(retention_is_auto(name, NOON + 61 * SECOND)); /* it took a while */
    assert_false(retention_is_auto(name, NOON + 2 * MINUTE));
    assert_false(retention_is_auto(name, NOON - SECOND));
    assert_false(retention_is_auto("monday", NOON));
    assert_false(retention_is_auto("auto-", NOON));
    assert_false(retention_is_auto("auto-2026-11-20T14:00x", NOON));
}

/* ---- what follows: the snapshots by their age in minutes, what is to be left, is one due ---- */

enum { SHOTS_MAX = 64 };
struct given {
    const char *what, *rule;
    int ages[SHOTS_MAX]; /* in minutes, ends with END; negative: of the future */
    const char *left;    /* a letter for each: k: stays, -: goes */
    bool due;
};
#define END 1000000000

static const struct given table[] = {
    {"nothing yet", "24h@1h", {END}, "", true},
    {"one of this hour", "24h@1h", {0, END}, "k", false},
    {"one of the hour before", "24h@1h", {1, END}, "k", true},
    {"hourly", "3h@1h", {0, 60, 120, 180, 240, END}, "kkkk-", false},
    {"the first of each hour", "24h@1h", {0, 10, 20, 59, 60, 70, END}, "k---kk", false},
    {"the newest stays, however old", "1h@1h", {5000, 6000, END}, "k-", true},
    {"two clauses",
     "2h@1h,3d@1d",
     {0, 60, 120, 240, 840, 1000, 2280, 3720, 5160, END},
     "kkk-k-kk-",
     false},
    {"of the future", "1h@1h", {-500, -60, 0, 600, END}, "kkk-", false},
    {"no rule", "", {0, 10, 10000, END}, "kkk", false},
};

/* NOON is a full hour: ages of 1 to 60 minutes lie in the hour before. */
static void check(const struct given *g)
{
    struct retention_rule rule = {0};
    struct retention_shot shots[SHOTS_MAX];
    char names[SHOTS_MAX][RETENTION_NAME_MAX], left[SHOTS_MAX + 1] = "";
    size_t count = 0, dropped = 0;
    if (*g->rule)
        rule = rule_of(g->rule);
    for (; g->ages[count] != END; count++) {
        shots[count] = (struct retention_shot){.created_ns = NOON - g->ages[count] * MINUTE,
                                               .name = names[count]};
        retention_name(shots[count].created_ns, names[count]);
    }
    assert_int_equal(retention_is_due(&rule, shots, count, NOON), g->due);
    size_t marked = retention_thin(&rule, shots, count, NOON);
    for (size_t i = 0; i < count; i++) {
        left[i] = shots[i].drop ? '-' : 'k';
        dropped += shots[i].drop;
    }
    left[count] = 0;
    assert_int_equal(marked, dropped);
    if (strcmp(left, g->left) != 0)
        fail_msg("%s: %s instead of %s", g->what, left, g->left);
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        check(&table[i]);
}

/* Snapshots that somebody made or named are not touched, and do not count. */
static void test_manual_ones(void **state)
{
    (void)state;
    struct retention_rule rule = rule_of("1h@1h");
    struct retention_shot shots[] = {
        {.name = "monday", .created_ns = NOON - 100 * DAY},
        {.name = "auto-2026-08-01T00:00", .created_ns = NOON - 100 * DAY}, /* renamed to that */
        {.name = "auto-2026-11-20T10:00", .created_ns = NOON - 4 * HOUR},
        {.name = "auto-2026-11-20T12:00", .created_ns = NOON - 2 * HOUR},
        {.name = "now", .created_ns = NOON}};
    assert_true(retention_is_due(&rule, shots, 5, NOON));
    assert_int_equal(retention_thin(&rule, shots, 5, NOON), 1);
    assert_true(shots[2].drop);
}

/* Taken and thinned out again and again for a month, there is what the rule says. */
static void test_a_month(void **state)
{
    (void)state;
    struct retention_rule rule = rule_of("24h@1h,7d@1d,4w@1w");
    static struct retention_shot shots[SHOTS_MAX];
    static char names[SHOTS_MAX][RETENTION_NAME_MAX];
    size_t count = 0;
    int64_t now = NOON;
    for (int i = 0; i < 40 * 24 * 6; i++, now += 10 * MINUTE) {
        if (retention_is_due(&rule, shots, count, now)) {
            assert_true(count < SHOTS_MAX);
            shots[count] = (struct retention_shot){.created_ns = now};
            retention_name(now, names[count]);
            shots[count].name = names[count];
            count++;
        }
        retention_thin(&rule, shots, count, now);
        size_t kept = 0;
        for (size_t k = 0; k < count; k++) {
            if (shots[k].drop)
                continue;
            memmove(names[kept], names[k], RETENTION_NAME_MAX);
            shots[kept] = shots[k];
            shots[kept].name = names[kept];
            kept++;
        }
        count = kept;
    }
    size_t day = 0, week = 0;
    for (size_t i = 0; i < count; i++) {
        day += now - shots[i].created_ns <= DAY;
        week += now - shots[i].created_ns <= 7 * DAY;
    }
    assert_true(day >= 24 && day <= 26);
    assert_true(week >= 24 + 5 && week <= 26 + 7);
    assert_true(count >= week + 2 && count <= week + 5);
}

static void test_next(void **state)
{
    (void)state;
    struct retention_rule rule = rule_of("7d@1d,24h@1h");
    assert_true(retention_next_ns(&rule, NOON) == HOUR);
    assert_true(retention_next_ns(&rule, NOON + MINUTE) == HOUR - MINUTE);
    assert_true(retention_next_ns(&rule, NOON - 1) == 1);
}

static void test_clock(void **state)
{
    (void)state;
    int64_t offset = INT64_MIN;
    assert_true(keeper_clock_jumped(NOON, 5, &offset)); /* nobody knows what was before */
    assert_false(keeper_clock_jumped(NOON + HOUR, 5 + (uint64_t)HOUR, &offset));
    assert_false(
        keeper_clock_jumped(NOON + HOUR + MINUTE, 5 + (uint64_t)HOUR, &offset)); /* slewed */
    assert_true(keeper_clock_jumped(NOON + 9 * HOUR, 5 + (uint64_t)HOUR, &offset));
    assert_false(keeper_clock_jumped(NOON + 9 * HOUR, 5 + (uint64_t)HOUR, &offset));
    assert_true(keeper_clock_jumped(NOON, 5 + (uint64_t)HOUR, &offset));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),       cmocka_unit_test(test_refused_rules),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_table),
        cmocka_unit_test(test_manual_ones), cmocka_unit_test(test_a_month),
        cmocka_unit_test(test_next),        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
