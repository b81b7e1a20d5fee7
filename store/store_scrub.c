/* store_scrub: scrubbing behind the door. */
#include "store/store_priv.h"

#include <assert.h>
#include <errno.h>

#include "store/env.h"

int store_scrub_start(struct store *s)
{
    if (!s->writable)
        return -EROFS;
    scrub_start(&s->scrub);
    return 0;
}

int store_scrub_stop(struct store *s)
{
    if (!s->writable)
        return -EROFS;
    scrub_stop(&s->scrub);
    return 0;
}

void store_scrub_status(struct store *s, struct store_scrub_status *out)
{
    scrub_get(&s->scrub, out);
}

void store_scrub_listen(struct store *s, store_finding_fn *fn, void *ctx)
{
    pthread_mutex_lock(&s->scrub.lock);
    s->scrub.fn = fn;
    s->scrub.fn_ctx = ctx;
    pthread_mutex_unlock(&s->scrub.lock);
}

/* A pass that is due by the settings is asked for. */
static void begin_when_due(struct store *s)
{
    struct tree *t = &s->tree;
    uint64_t every = setting_u64(&t->settings.live.scrub_every_ns);
    if (every == 0 || scrub_wanted(&s->scrub))
        return;
    struct store_scrub_status at;
    scrub_get(&s->scrub, &at);
    uint64_t now = (uint64_t)t->env->realtime_ns(t->env), ended = (uint64_t)at.ended_ns;
    if (ended == 0 || now < ended || now - ended >= every)
        scrub_start(&s->scrub);
}

int store_scrub_work(struct store *s)
{
    begin_when_due(s);
    return scrub_step(&s->scrub, setting_u64(&s->tree.settings.live.scrub_rate));
}

int store_scrub_step(struct store *s)
{
    if (!s->writable)
        return -EROFS;
    assert(s->pulled);
    int err = store_step(s);
    return err == 1 && scrub_wanted(&s->scrub) ? store_scrub_work(s) : err;
}
