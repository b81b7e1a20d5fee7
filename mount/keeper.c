/* keeper: see keeper.h.
 *
 * It wakes when the next snapshot may be due, and every now and then, since the clock may be set
 * meanwhile. A snapshot is taken as one by mkdir is: what the kernel holds is fetched first
 * (control_flush()), so the thread is no worker.
 *
 * One that cannot be taken is tried again at the next waking, and told once in a row. */
#include "mount/keeper.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "mount/control.h"

#define SECOND         INT64_C(1000000000)
#define NAP_MAX        (30 * SECOND)
#define JUMP           (120 * SECOND)
#define OFFSET_UNKNOWN INT64_MIN

struct keeper {
    struct mount *mount;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;                        /* [lock] */
    char text[KEEPER_RULE_MAX];       /* [lock] */
    struct retention_rule rule;       /* [lock] */
    struct retention_history history; /* constant */
    uint64_t moment_ns;               /* monotonic: when history is due again */
    int64_t offset;                   /* the thread's own, as are the others */
    uint64_t calm_from_ns;            /* monotonic */
    int told_error, told_history;
};

bool keeper_is_rule(uint64_t ino, const char *name)
{
    return ino == FS_INO_SNAPSHOTS && strcmp(name, KEEPER_XATTR) == 0;
}

static int set_rule(struct keeper *k, const char *text, size_t len)
{
    struct retention_rule rule = {0};
    char *why = NULL, copy[KEEPER_RULE_MAX];
    if (len >= sizeof copy || memchr(text, 0, len))
        return -EINVAL;
    memcpy(copy, text, len);
    copy[len] = 0;
    int err = len > 0 ? retention_parse(copy, &rule, &why) : 0;
    free(why);
    if (err < 0)
        return err;
    pthread_mutex_lock(&k->lock);
    memcpy(k->text, copy, len + 1);
    k->rule = rule;
    pthread_cond_signal(&k->changed);
    pthread_mutex_unlock(&k->lock);
    return 0;
}

struct keeper *keeper_new(struct mount *m, const char *rule,
                          const struct retention_history *history)
{
    struct keeper *k = mem_zalloc(sizeof *k);
    k->mount = m;
    k->history = *history;
    k->offset = OFFSET_UNKNOWN;
    pthread_mutex_init(&k->lock, NULL);
    timed_init(&k->changed);
    int err = rule ? set_rule(k, rule, strlen(rule)) : 0;
    assert(err == 0);
    (void)err;
    return k;
}

void keeper_free(struct keeper *k)
{
    if (!k)
        return;
    assert(!k->started);
    pthread_cond_destroy(&k->changed);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

int keeper_set(struct keeper *k, const char *value, size_t len)
{
    return k->mount->read_only ? -EROFS : set_rule(k, value, len);
}

void keeper_get(struct keeper *k, char text[KEEPER_RULE_MAX])
{
    pthread_mutex_lock(&k->lock);
    memcpy(text, k->text, KEEPER_RULE_MAX);
    pthread_mutex_unlock(&k->lock);
}

/* ---- clocks ---- */

static int64_t realtime_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static uint64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t); /* goes on while the machine sleeps */
    return (uint64_t)(t.tv_sec * SECOND + t.tv_nsec);
}

bool keeper_clock_jumped(int64_t now_ns, uint64_t steady_ns, int64_t *offset)
{
    int64_t fresh = now_ns - (int64_t)steady_ns;
    bool first = *offset == OFFSET_UNKNOWN;
    int64_t by = first ? 0 : fresh - *offset;
    *offset = fresh;
    return first || by > JUMP || by < -JUMP;
}

/* ---- snapshots ---- */

struct shots {
    struct retention_shot *list;
    size_t count;
};

static int on_snapshot(void *ctx, const struct fs_snapshot *snapshot)
{
    struct shots *s = ctx;
    if (!retention_is_auto(snapshot->name, snapshot->created_ns))
        return 0;
    s->list = mem_realloc(s->list, (s->count + 1) * sizeof *s->list);
    s->list[s->count++] = (struct retention_shot){.name = mem_strdup(snapshot->name),
                                                  .created_ns = snapshot->created_ns};
    return 0;
}

static void shots_release(struct shots *s)
{
    for (size_t i = 0; i < s->count; i++)
        free((void *)(uintptr_t)s->list[i].name);
    free(s->list);
}

static void tell(struct keeper *k, const char *what, const char *name, int err)
{
    if (err < 0 && err != k->told_error)
        log_message(LOG_WARNING, "automatic snapshot %s cannot be %s: %s; it is tried again", name,
                    what, strerror(-err));
    k->told_error = err;
}

/* What it remembers of that name, and of the folder, is not so any more. */
static void tell_kernel(struct keeper *k, const char *name)
{
    fuse_lowlevel_notify_inval_entry(k->mount->fuse, FS_INO_SNAPSHOTS, name, strlen(name));
    fuse_lowlevel_notify_inval_inode(k->mount->fuse, FS_INO_SNAPSHOTS, 0, 0);
}

static void take(struct keeper *k, int64_t now_ns)
{
    char name[RETENTION_NAME_MAX];
    retention_name(now_ns, name);
    int err = control_flush(k->mount->control);
    if (err >= 0)
        err = fs_snapshot_create(k->mount->fs, name);
    if (err == 0)
        tell_kernel(k, name);
    if (err == -EEXIST) /* the clock was set back into that minute */
        err = 0;
    tell(k, "taken", name, err);
}

static void thin(struct keeper *k, struct retention_rule *rule, struct shots *s, int64_t now_ns)
{
    retention_thin(rule, s->list, s->count, now_ns);
    for (size_t i = 0; i < s->count; i++) {
        if (!s->list[i].drop)
            continue;
        int err = fs_snapshot_delete(k->mount->fs, s->list[i].name);
        if (err == 0)
            tell_kernel(k, s->list[i].name);
        if (err == 0)
            log_message(LOG_INFO, "automatic snapshot %s has had its time", s->list[i].name);
        else if (err != -ENOENT)
            tell(k, "deleted", s->list[i].name, err);
    }
}

/* ---- history ---- */

static void tell_history(struct keeper *k, int err)
{
    if (err < 0 && err != k->told_history)
        log_message(LOG_WARNING, "a moment of history cannot be kept: %s; it is tried again",
                    strerror(-err));
    k->told_history = err;
}

/* Those that have had their time go; so do all that a mount which keeps none finds. */
static void forget(struct keeper *k, int64_t now_ns, uint64_t steady_ns)
{
    if (k->history.span_ns == 0 || steady_ns >= k->calm_from_ns)
        tell_history(k, fs_history_forget(k->mount->fs, k->history.span_ns
                                                            ? now_ns - k->history.span_ns
                                                            : INT64_MAX));
}

static void keep_moment(struct keeper *k, int64_t now_ns, uint64_t steady_ns)
{
    struct fs_history h;
    if (steady_ns < k->moment_ns)
        return;
    k->moment_ns = steady_ns + (uint64_t)k->history.every_ns;
    int err = control_flush(k->mount->control);
    if (err >= 0)
        err = fs_history_keep(k->mount->fs);
    tell_history(k, err);
    forget(k, now_ns, steady_ns);
    fs_history_get(k->mount->fs, &h);
    if (err == 0 && h.moments == 1)
        fuse_lowlevel_notify_inval_entry(k->mount->fuse, FS_INO_CONTROL, FS_AT_NAME,
                                         strlen(FS_AT_NAME));
    if (err == 0)
        fuse_lowlevel_notify_inval_inode(k->mount->fuse, FS_INO_AT, 0, 0);
}

static void look(struct keeper *k, struct retention_rule *rule)
{
    struct shots s = {0};
    int64_t now = realtime_ns();
    uint64_t steady = monotonic_ns();
    if (keeper_clock_jumped(now, steady, &k->offset))
        k->calm_from_ns = steady + (uint64_t)KEEPER_CALM_NS;
    if (k->history.span_ns)
        keep_moment(k, now, steady);
    if (rule->count == 0 || fs_snapshot_list(k->mount->fs, on_snapshot, &s) != 0) {
        shots_release(&s);
        return;
    }
    if (retention_is_due(rule, s.list, s.count, now))
        take(k, now);
    if (steady >= k->calm_from_ns)
        thin(k, rule, &s, now);
    shots_release(&s);
}

/* ---- the thread ---- */

/* Sleeps until something may be due. The rule then; false: it is to end. */
static bool wait_for_work(struct keeper *k, bool first, struct retention_rule *rule)
{
    pthread_mutex_lock(&k->lock);
    int64_t next = retention_next_ns(&k->rule, realtime_ns());
    int64_t nap = next < NAP_MAX ? next : NAP_MAX;
    uint64_t steady = monotonic_ns();
    if (k->history.span_ns && k->moment_ns < steady + (uint64_t)nap)
        nap = k->moment_ns > steady ? (int64_t)(k->moment_ns - steady) : 1;
    if (!first && !k->stop && nap > 0)
        timed_wait(&k->changed, &k->lock, timed_now() + (uint64_t)nap);
    bool go_on = !k->stop;
    *rule = k->rule;
    pthread_mutex_unlock(&k->lock);
    return go_on;
}

static void *keeper_main(void *arg)
{
    struct keeper *k = arg;
    struct retention_rule rule;
    if (k->history.span_ns == 0)
        forget(k, 0, 0);
    for (bool first = true; wait_for_work(k, first, &rule); first = false)
        look(k, &rule);
    return NULL;
}

int keeper_start(struct keeper *k)
{
    assert(!k->started);
    if (k->mount->read_only)
        return 0;
    int err = -pthread_create(&k->thread, NULL, keeper_main, k);
    k->started = err == 0;
    return err;
}

void keeper_stop(struct keeper *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    bool started = k->started;
    k->started = false;
    k->stop = true;
    pthread_cond_signal(&k->changed);
    pthread_mutex_unlock(&k->lock);
    if (started)
        pthread_join(k->thread, NULL);
}
