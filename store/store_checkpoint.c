/* store_checkpoint: checkpoints behind the door. */
#include "store/checkpoint.h"

#include <errno.h>

#include "store/store_priv.h"

/* What was acknowledged before is in tables once a flush has ended: a version taken then holds all
 * of it, and a prefix of what came since. Its files stay as long as it is referenced. */
static int make(struct store *s, const char *dir, const char *pin, struct store_checkpoint *out)
{
    struct view *view = viewbox_get(s->tree.box);
    const struct pin *found = pin ? version_find_pin(view->version, pin) : NULL;
    int err = 1;
    if (!pin || found)
        err = checkpoint_make(&s->tree, view->version, found ? found->seq : 0, dir, out);
    view_unref(view);
    return err;
}

int store_checkpoint(struct store *s, const char *dir, const char *pin,
                     struct store_checkpoint *out)
{
    *out = (struct store_checkpoint){0};
    int err = store_flush(s);
    if (err < 0)
        return err;
    purge_pause(&s->tree.purge);
    err = make(s, dir, pin, out);
    purge_resume(&s->tree.purge);
    return err;
}
