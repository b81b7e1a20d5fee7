/* store_rewind: going back to a pin, behind the door: a new manifest, as that of a checkpoint at
 * the pin, but in the store's own folder.
 *
 * CURRENT is replaced as a whole, so a crash leaves one state or the other. The manifest of before
 * and what only it names is removed by the next open; the logs are, since the new one needs none of
 * them: all that is in memory is flushed before. */
#include <errno.h>
#include <stdlib.h>

#include "store/checkpoint.h"
#include "store/store_priv.h"

static int rewind_to(struct tree *t, const struct version *v, uint64_t seq)
{
    struct edit e;
    struct version *none = version_new(&t->source), *made = NULL;
    struct manifest *manifest = NULL;
    uint64_t number = tree_new_file(t);
    edit_init(&e);
    memcpy(e.uuid, t->uuid, UUID_SIZE);
    e.next_file = number + 1;
    e.log_number = number;
    checkpoint_contents(v, seq, &e);
    int err = version_apply(none, &e, NULL, 0, &made);
    if (err == 0)
        err = manifest_start(t->env, t->dir, number, made, &manifest);
    manifest_free(manifest);
    version_unref(made);
    version_unref(none);
    edit_release(&e);
    return err;
}

int store_rewind(struct store *s, const char *pin)
{
    struct tree *t = &s->tree;
    int err = s->writable ? store_flush(s) : -EROFS;
    if (err < 0)
        return err;
    if (!s->pulled)
        return -EBUSY;
    struct view *view = viewbox_get(t->box);
    const struct pin *p = version_find_pin(view->version, pin);
    err = p ? rewind_to(t, view->version, p->seq) : 1;
    if (err == 0)
        events_say(t->events, "rewind",
                   "to pin \"%s\", operation %llu; it is in force at the next "
                   "opening",
                   pin, (unsigned long long)p->seq);
    view_unref(view);
    return err;
}
