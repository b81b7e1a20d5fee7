/* history: see history.h (docs/decisions/0064 says why in this way).
 *
 * A moment that is kept is a pin of the store, with a tag by which it is no snapshot, under a name
 * that no snapshot can have. The pin is the index, too: it has the time, and the number that reads
 * go by. So compaction keeps just what the moments show, and what lay between two of them goes.
 *
 * A tree that is asked for by a time gets a number of its own for its inodes, whatever moment it
 * shows: one folder has one path. These numbers go round. */
#include "fs/history.h"

#include <stdio.h>

#define SECOND INT64_C(1000000000)
#define DAY    INT64_C(86400)

/* ---- times as names ---- */

/* Days since 1970 of a date, and back: H. Hinnant, "chrono-compatible low-level date algorithms".
 */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, of_era = days - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;
    *day = of_year - (153 * m + 2) / 5 + 1;
    *month = m + (m < 10 ? 3 : -9);
    *year = y + era * 400 + (*month <= 2);
}

void history_name(int64_t second, char name[HISTORY_NAME_MAX])
{
    int64_t year, month, day, of_day = second % DAY;
    assert(second >= 0);
    date_of(second / DAY, &year, &month, &day);
    snprintf(name, HISTORY_NAME_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", (int)(year % 10000),
             (int)month, (int)day, (int)(of_day / 3600), (int)(of_day / 60 % 60),
             (int)(of_day % 60));
}

/* `count` digits. */
static bool take_digits(const char **text, int count, int64_t *value)
{
    *value = 0;
    for (; count > 0; count--, ++*text) {
        if (**text < '0' || **text > '9')
            return false;
        *value = *value * 10 + (**text - '0');
    }
    return true;
}

static bool take_char(const char **text, char c)
{
    return *(*text)++ == c;
}

int history_parse(const char *name, int64_t *second)
{
    int64_t year, month, day, hour, minute, s = 0, y, m, d;
    *second = 0;
    if (strnlen(name, HISTORY_NAME_MAX) < 16 || strnlen(name, HISTORY_NAME_MAX) > 19)
        return -ENOENT;
    bool ok =
        take_digits(&name, 4, &year) && take_char(&name, '-') && take_digits(&name, 2, &month) &&
        take_char(&name, '-') && take_digits(&name, 2, &day) && take_char(&name, 'T') &&
        take_digits(&name, 2, &hour) && take_char(&name, ':') && take_digits(&name, 2, &minute);
    if (ok && *name)
        ok = take_char(&name, ':') && take_digits(&name, 2, &s) && !*name;
    if (!ok || year < 1970 || month < 1 || month > 12 || hour > 23 || minute > 59 || s > 59)
        return -ENOENT;
    int64_t days = days_of(year, month, day);
    date_of(days, &y, &m, &d);
    if (y != year || m != month || d != day) /* no such day of that month */
        return -ENOENT;
    *second = days * DAY + hour * 3600 + minute * 60 + s;
    return 0;
}

/* ---- keeping and forgetting ---- */

/* [change held] */
static int keep(struct fs *fs)
{
    struct history *h = &fs->history;
    struct store_read read;
    struct store_pin pin;
    char name[40];
    store_read_begin(fs->store, &read);
    uint64_t now = read.seq;
    store_read_end(&read);
    if (h->count > 0 && h->points[h->count - 1].seq == now)
        return 1;
    snprintf(name, sizeof name, "at/%lld", (long long)store_realtime(fs->store));
    int err = store_pin_create(fs->store, name, FS_HISTORY_TAG, &pin);
    if (err < 0)
        return err;
    const struct history_point point = {.seq = pin.seq, .created_ns = pin.created_ns};
    pthread_rwlock_wrlock(&fs->snapshots.lock);
    history_add(h, &point);
    pthread_rwlock_unlock(&fs->snapshots.lock);
    return 0;
}

int history_keep(struct fs *fs)
{
    if (fs->read_only)
        return -EROFS;
    pthread_mutex_lock(&fs->snapshots.change);
    int err = keep(fs);
    pthread_mutex_unlock(&fs->snapshots.change);
    return err;
}

/* The last moment at or before `since_ns` shows what was then: it stays, and what is older goes. */
static int64_t oldest_needed(const struct history *h, int64_t since_ns)
{
    int64_t needed = INT64_MIN;
    if (since_ns == INT64_MAX)
        return INT64_MAX;
    for (size_t i = 0; i < h->count; i++)
        if (h->points[i].created_ns <= since_ns && h->points[i].created_ns > needed)
            needed = h->points[i].created_ns;
    return needed;
}

/* First out of the table, so that nobody begins to read what is about to go. [change held] */
static int forget(struct fs *fs, int64_t since_ns)
{
    struct history *h = &fs->history;
    int64_t before = oldest_needed(h, since_ns);
    size_t kept = 0;
    uint64_t count;
    pthread_rwlock_wrlock(&fs->snapshots.lock);
    for (size_t i = 0; i < h->count; i++)
        if (h->points[i].created_ns >= before)
            h->points[kept++] = h->points[i];
    bool any = kept < h->count;
    h->count = kept;
    pthread_rwlock_unlock(&fs->snapshots.lock);
    return any ? store_pin_expire(fs->store, FS_HISTORY_TAG, before, &count) : 0;
}

int history_forget(struct fs *fs, int64_t since_ns)
{
    if (fs->read_only)
        return -EROFS;
    pthread_mutex_lock(&fs->snapshots.change);
    int err = forget(fs, since_ns);
    pthread_mutex_unlock(&fs->snapshots.change);
    return err;
}

/* ---- looking ---- */

bool history_any(struct fs *fs)
{
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    bool any = fs->history.count > 0;
    pthread_rwlock_unlock(&fs->snapshots.lock);
    return any;
}

/* The state that was kept last until the end of that second; 0: none was. [lock] */
static uint64_t state_at(const struct history *h, int64_t second)
{
    int64_t latest = INT64_MIN;
    uint64_t seq = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct history_point *p = &h->points[i];
        if (p->created_ns / SECOND <= second && p->created_ns >= latest) {
            latest = p->created_ns;
            seq = p->seq;
        }
    }
    return seq;
}

/* Its tree's number: the one that it has already, or the next, if no snapshot has that. [lock] */
static uint64_t number_of(struct fs *fs, int64_t second, uint64_t seq)
{
    struct history *h = &fs->history;
    const struct snapshot_table *t = &fs->snapshots;
    uint64_t number = 0;
    pthread_mutex_lock(&h->asking);
    for (size_t i = 0; i < HISTORY_MOMENTS && number == 0; i++)
        if (h->moments[i].seq == seq && h->moments[i].second == second)
            number = FS_MOMENT_FIRST + i;
    for (size_t tries = 0; tries < HISTORY_MOMENTS && number == 0; tries++) {
        size_t at = h->next_moment;
        h->next_moment = (at + 1) % HISTORY_MOMENTS;
        size_t place = snapshot_place(t, FS_MOMENT_FIRST + at);
        if (place < t->count && t->entries[place].number == FS_MOMENT_FIRST + at)
            continue;
        h->moments[at] = (struct history_moment){.second = second, .seq = seq};
        number = FS_MOMENT_FIRST + at;
    }
    pthread_mutex_unlock(&h->asking);
    return number;
}

int history_find(struct fs *fs, const char *name, uint64_t *number)
{
    int64_t second;
    *number = 0;
    int err = history_parse(name, &second);
    if (err < 0 || second > store_realtime(fs->store) / SECOND)
        return -ENOENT;
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    uint64_t seq = state_at(&fs->history, second);
    if (seq)
        *number = number_of(fs, second, seq);
    pthread_rwlock_unlock(&fs->snapshots.lock);
    return *number ? 0 : -ENOENT;
}

int history_after(struct fs *fs, int64_t after_ns, int64_t *created_ns, char name[HISTORY_NAME_MAX])
{
    const struct history *h = &fs->history;
    *created_ns = INT64_MAX;
    pthread_rwlock_rdlock(&fs->snapshots.lock);
    for (size_t i = 0; i < h->count; i++)
        if (h->points[i].created_ns > after_ns && h->points[i].created_ns < *created_ns)
            *created_ns = h->points[i].created_ns;
    pthread_rwlock_unlock(&fs->snapshots.lock);
    if (*created_ns == INT64_MAX || *created_ns < 0)
        return 1;
    history_name(*created_ns / SECOND, name);
    return 0;
}
