/* keeper: the thread of a mount that takes snapshots by itself and thins them out, by a rule that
 * can be changed while it is mounted; and that keeps the moments of history. */
#ifndef VARVE_MOUNT_KEEPER_H
#define VARVE_MOUNT_KEEPER_H

#include "mount/reply.h"
#include "mount/retention.h"

/* After mounting, and after the clock was set, nothing is deleted for so long: a wrong clock is
 * mostly put right by then. */
#define KEEPER_CALM_NS INT64_C(600000000000)

struct keeper;
/* `rule` (NULL or "": none) was parsed before. */
struct keeper *keeper_new(struct mount *m, const char *rule,
                          const struct retention_history *history);
/* Once the session runs. 0 or a negative errno. */
int keeper_start(struct keeper *k);
/* Waits for the snapshot in hand. May be called twice, or before the start. NULL: nothing. */
void keeper_stop(struct keeper *k);
void keeper_free(struct keeper *k); /* after its stop; NULL: nothing */

/* The rule as an attribute of the folder of snapshots. */
#define KEEPER_XATTR "user.varve.keep"
enum { KEEPER_RULE_MAX = 256 };
bool keeper_is_rule(uint64_t ino, const char *name);
/* 0 or -EINVAL; nothing at all: no rule from now on. -EROFS. */
int keeper_set(struct keeper *k, const char *value, size_t len);
void keeper_get(struct keeper *k, char text[KEEPER_RULE_MAX]);

/* Has the clock been set since the last call? `*offset`: of the clock against one that is never
 * set, as it was then. A pure function. */
bool keeper_clock_jumped(int64_t realtime_ns, uint64_t monotonic_ns, int64_t *offset);

#endif
