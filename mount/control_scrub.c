/* control_scrub: the attribute of the root folder by which a mounted volume is scrubbed. Written,
 * it starts and stops; read, it tells how far it is, as numbers in the order below. Not listed, so
 * no copy of the tree carries it. */
#include "mount/control.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool control_is_scrub(uint64_t ino, const char *name)
{
    return ino == FS_INO_ROOT && strcmp(name, CONTROL_XATTR_SCRUB) == 0;
}

int control_scrub_set(struct mount *m, const char *value, size_t len)
{
    if (len == 5 && memcmp(value, "start", len) == 0)
        return fs_scrub_start(m->fs);
    if (len == 4 && memcmp(value, "stop", len) == 0)
        return fs_scrub_stop(m->fs);
    return -EINVAL;
}

void control_scrub_print(const struct store_scrub_status *s, char text[CONTROL_SCRUB_TEXT_MAX])
{
    int len =
        snprintf(text, CONTROL_SCRUB_TEXT_MAX,
                 "%d %" PRIu64 " %" PRId64 " %" PRId64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                 s->running, s->passes, s->started_ns, s->ended_ns, s->file, s->offset,
                 s->done_bytes, s->total_bytes, s->frames, s->repaired, s->damaged, s->parity_made);
    assert(len > 0 && len < CONTROL_SCRUB_TEXT_MAX);
    (void)len;
}

int control_scrub_parse(const char *text, struct store_scrub_status *s)
{
    int running, used = 0;
    *s = (struct store_scrub_status){0};
    int got = sscanf(text,
                     "%d %" SCNu64 " %" SCNd64 " %" SCNd64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                     " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 "%n",
                     &running, &s->passes, &s->started_ns, &s->ended_ns, &s->file, &s->offset,
                     &s->done_bytes, &s->total_bytes, &s->frames, &s->repaired, &s->damaged,
                     &s->parity_made, &used);
    s->running = running == 1;
    return got == 12 && text[used] == 0 ? 0 : -EINVAL;
}

void control_scrub_get(struct mount *m, char text[CONTROL_SCRUB_TEXT_MAX])
{
    struct store_scrub_status s;
    fs_scrub_status(m->fs, &s);
    control_scrub_print(&s, text);
}
