/* retention: see retention.h. */
#include "mount/retention.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/fs.h"

#define SECOND   INT64_C(1000000000)
#define MINUTE   (60 * SECOND)
#define SPAN_MAX (100 * INT64_C(365) * 24 * 60 * MINUTE)

/* ---- rules ---- */

/* "24h" off the front of `*text`: 0 or -EINVAL. */
static int take_duration(const char **text, int64_t *ns)
{
    static const struct {
        char letter;
        int64_t ns;
    } units[] = {{'m', MINUTE},
                 {'h', 60 * MINUTE},
                 {'d', 24 * 60 * MINUTE},
                 {'w', 7 * 24 * 60 * MINUTE},
                 {'y', 365 * INT64_C(24) * 60 * MINUTE}};
    char *end;
    if (!isdigit((unsigned char)**text))
        return -EINVAL;
    errno = 0;
    long long count = strtoll(*text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units && errno == 0; i++)
        if (*end == units[i].letter && count > 0 && count <= SPAN_MAX / units[i].ns) {
            *ns = count * units[i].ns;
            *text = end + 1;
            return 0;
        }
    return -EINVAL;
}

static int take_clause(const char **text, struct retention_clause *c)
{
    if (take_duration(text, &c->span_ns) < 0 || **text != '@')
        return -EINVAL;
    ++*text;
    return take_duration(text, &c->every_ns) < 0 || c->every_ns > c->span_ns ? -EINVAL : 0;
}

static int64_t kept_by(const struct retention_rule *rule)
{
    int64_t kept = 0;
    for (size_t i = 0; i < rule->count; i++)
        kept += rule->clauses[i].span_ns / rule->clauses[i].every_ns + 1;
    return kept;
}

int retention_parse(const char *text, struct retention_rule *rule, char **why)
{
    const char *at = text;
    int err = 0;
    *rule = (struct retention_rule){0};
    *why = NULL;
    do {
        if (rule->count == RETENTION_CLAUSES_MAX)
            err = -EINVAL;
        if (err == 0)
            err = take_clause(&at, &rule->clauses[rule->count]);
        rule->count += err == 0;
    } while (err == 0 && *at++ == ',');
    if (err == 0 && at[-1] != '\0')
        err = -EINVAL;
    if (err < 0)
        *why =
            mem_printf("'%.100s' is no rule for snapshots; write SPAN@EVERY, up to %d of them with "
                       "commas, such as 24h@1h,7d@1d: a number and m, h, d, w or y each, EVERY no "
                       "more than SPAN",
                       text, RETENTION_CLAUSES_MAX);
    else if (kept_by(rule) > RETENTION_KEPT_MAX)
        *why =
            mem_printf("the rule '%.100s' would keep %" PRId64 " snapshots; at most %d are allowed",
                       text, kept_by(rule), RETENTION_KEPT_MAX);
    if (*why)
        *rule = (struct retention_rule){0};
    return *why ? -EINVAL : 0;
}

int retention_parse_history(const char *text, struct retention_history *h, char **why)
{
    const char *at = text;
    *h = (struct retention_history){0};
    *why = NULL;
    int err = take_duration(&at, &h->span_ns);
    if (err == 0 && *at == '@') {
        at++;
        err = take_duration(&at, &h->every_ns);
    } else {
        int64_t minutes = h->span_ns / MINUTE;
        h->every_ns = (minutes + RETENTION_MOMENTS - 1) / RETENTION_MOMENTS * MINUTE;
    }
    if (err < 0 || *at || h->every_ns > h->span_ns)
        *why =
            mem_printf("'%.100s' is no time to keep history for; write DURATION or DURATION@EVERY, "
                       "such as 2h or 24h@5m: a number and m, h, d, w or y",
                       text);
    else if (h->span_ns / h->every_ns > RETENTION_MOMENTS_MAX)
        *why = mem_printf("'%.100s' would keep %" PRId64 " moments; at most %d are allowed", text,
                          h->span_ns / h->every_ns, RETENTION_MOMENTS_MAX);
    if (*why)
        *h = (struct retention_history){0};
    return *why ? -EINVAL : 0;
}

/* ---- names ---- */

void retention_name(int64_t realtime_ns, char name[RETENTION_NAME_MAX])
{
    time_t seconds = (time_t)(realtime_ns / SECOND);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(name, RETENTION_NAME_MAX, "auto-%Y-%m-%dT%H:%M", &tm);
}

bool retention_is_auto(const char *name, int64_t created_ns)
{
    char expected[RETENTION_NAME_MAX];
    int64_t before = created_ns - created_ns % MINUTE - MINUTE;
    retention_name(created_ns, expected);
    if (strcmp(name, expected) == 0)
        return true;
    /* It gets its name first, and may be taken in the next minute. */
    retention_name(before, expected);
    return strcmp(name, expected) == 0;
}

/* ---- what follows ---- */

/* The number of the piece of time that `ns` lies in. */
static int64_t piece(int64_t ns, int64_t every_ns)
{
    return ns / every_ns - (ns % every_ns < 0);
}

static int64_t shortest(const struct retention_rule *rule)
{
    int64_t every = INT64_MAX;
    for (size_t i = 0; i < rule->count; i++)
        if (rule->clauses[i].every_ns < every)
            every = rule->clauses[i].every_ns;
    return every;
}

bool retention_is_due(const struct retention_rule *rule, const struct retention_shot *shots,
                      size_t count, int64_t now_ns)
{
    if (rule->count == 0)
        return false;
    int64_t every = shortest(rule), now = piece(now_ns, every);
    for (size_t i = 0; i < count; i++)
        if (retention_is_auto(shots[i].name, shots[i].created_ns) &&
            piece(shots[i].created_ns, every) == now)
            return false;
    return true;
}

int64_t retention_next_ns(const struct retention_rule *rule, int64_t now_ns)
{
    if (rule->count == 0)
        return INT64_MAX;
    int64_t every = shortest(rule);
    return (piece(now_ns, every) + 1) * every - now_ns;
}

/* Is it the first automatic one in its piece? Of two of one moment, the one that is listed first.
 */
static bool is_first(const struct retention_shot *shots, size_t count, size_t at, int64_t every)
{
    const struct retention_shot *s = &shots[at];
    for (size_t i = 0; i < count; i++) {
        bool earlier =
            shots[i].created_ns < s->created_ns || (i < at && shots[i].created_ns == s->created_ns);
        if (earlier && piece(shots[i].created_ns, every) == piece(s->created_ns, every) &&
            retention_is_auto(shots[i].name, shots[i].created_ns))
            return false;
    }
    return true;
}

static bool is_wanted(const struct retention_rule *rule, const struct retention_shot *shots,
                      size_t count, size_t at, int64_t now_ns)
{
    const struct retention_shot *s = &shots[at];
    if (s->created_ns > now_ns)
        return true; /* the clock was set back: nobody knows how old it is */
    for (size_t i = 0; i < rule->count; i++) {
        const struct retention_clause *c = &rule->clauses[i];
        if (now_ns - s->created_ns <= c->span_ns && is_first(shots, count, at, c->every_ns))
            return true;
    }
    return false;
}

size_t retention_thin(const struct retention_rule *rule, struct retention_shot *shots, size_t count,
                      int64_t now_ns)
{
    size_t newest = SIZE_MAX, dropped = 0;
    for (size_t i = 0; i < count; i++) {
        shots[i].drop = false;
        if (retention_is_auto(shots[i].name, shots[i].created_ns) &&
            (newest == SIZE_MAX || shots[i].created_ns >= shots[newest].created_ns))
            newest = i;
    }
    for (size_t i = 0; i < count && rule->count > 0; i++) {
        if (i == newest || !retention_is_auto(shots[i].name, shots[i].created_ns) ||
            is_wanted(rule, shots, count, i, now_ns))
            continue;
        shots[i].drop = true;
        dropped++;
    }
    return dropped;
}
