/* retention: which automatic snapshots there are to be: a rule, and what follows from it. Pure
 * functions of the rule, the snapshots and the time. */
#ifndef VARVE_MOUNT_RETENTION_H
#define VARVE_MOUNT_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RETENTION_CLAUSES_MAX = 8, RETENTION_KEPT_MAX = 10000, RETENTION_NAME_MAX = 40 };

/* "SPAN@EVERY[,SPAN@EVERY...]": for so long back there is to be a snapshot for every so much: of
 * each such piece of time (counted from 1970, UTC) the first one that was taken in it. */
struct retention_clause {
    int64_t span_ns, every_ns; /* every_ns <= span_ns */
};
struct retention_rule {
    struct retention_clause clauses[RETENTION_CLAUSES_MAX];
    size_t count; /* 0: no rule */
};
/* 0, or -EINVAL with *why: one line for the user that says what is allowed, which the caller frees.
 */
int retention_parse(const char *text, struct retention_rule *rule, char **why);

/* How history is kept: for so long back, a moment every so much. */
struct retention_history {
    int64_t span_ns, every_ns; /* 0: none */
};
enum { RETENTION_MOMENTS_MAX = 4000, RETENTION_MOMENTS = 1000 };
/* "24h", or "24h@5m"; without EVERY it is a thousandth of it, in whole minutes and one at least. As
 * retention_parse(). */
int retention_parse_history(const char *text, struct retention_history *h, char **why);

/* "auto-2026-11-20T14:03", UTC. */
void retention_name(int64_t realtime_ns, char name[RETENTION_NAME_MAX]);
/* Has it the name that an automatic one of that time gets? Any other is somebody's, and left alone;
 * so is one that somebody has renamed. */
bool retention_is_auto(const char *name, int64_t created_ns);

struct retention_shot {
    const char *name;
    int64_t created_ns;
    bool drop; /* set by retention_thin() */
};
/* Is one to be taken now: has the present piece of the shortest EVERY none yet? */
bool retention_is_due(const struct retention_rule *rule, const struct retention_shot *shots,
                      size_t count, int64_t now_ns);
/* How long until that may be so. */
int64_t retention_next_ns(const struct retention_rule *rule, int64_t now_ns);
/* Marks those that no clause wants any more; returns how many. The newest stays whatever the rule
 * says, as do all that the clock says are of the future. */
size_t retention_thin(const struct retention_rule *rule, struct retention_shot *shots, size_t count,
                      int64_t now_ns);

#endif
