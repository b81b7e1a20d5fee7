/* store_pin: durable snapshots behind the door.
 *
 * Making one: its number is entered as pending under the tree's lock, at the moment it is read, so
 * that every job that starts from then on respects it; then everything below it is synced; then an
 * edit names it. A job that started before reads nothing that is newer than its own start, and
 * drops only what was hidden at that time, thus also for the new pin.
 *
 * Invariant: whether a name is taken is looked up, and the edit installed, under `pins`: an edit
 * always fits. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/alone.h"
#include "store/env.h"
#include "store/store_priv.h"

static int check_name(const char *name)
{
    size_t len = strlen(name);
    if (len == 0)
        return -EINVAL;
    return len > STORE_NAME_MAX ? -ENAMETOOLONG : 0;
}

static uint64_t pending_add(struct tree *t)
{
    pthread_mutex_lock(&t->lock);
    uint64_t seq = tree_published(t);
    t->pending_pins =
        mem_realloc(t->pending_pins, (t->pending_pin_count + 1) * sizeof *t->pending_pins);
    t->pending_pins[t->pending_pin_count++] = seq;
    pthread_mutex_unlock(&t->lock);
    return seq;
}

static void pending_remove(struct tree *t, uint64_t seq)
{
    pthread_mutex_lock(&t->lock);
    uint32_t i = 0;
    while (t->pending_pins[i] != seq)
        i++;
    assert(i < t->pending_pin_count);
    t->pending_pins[i] = t->pending_pins[--t->pending_pin_count];
    pthread_mutex_unlock(&t->lock);
}

static bool pin_exists(struct tree *t, const char *name, struct pin *copy)
{
    struct view *v = viewbox_get(t->box);
    const struct pin *p = version_find_pin(v->version, name);
    bool found = p != NULL;
    if (found && copy) {
        *copy = *p;
        copy->name = NULL;
    }
    view_unref(v);
    return found;
}

/* [pins held] */
static int create(struct store *s, struct pin *made)
{
    struct tree *t = &s->tree;
    if (pin_exists(t, made->name, NULL))
        return -EEXIST;
    made->seq = pending_add(t);
    int err = store_sync(s);
    if (err == 0) {
        struct edit edit;
        edit_init(&edit);
        edit_add_pin(&edit, made);
        err = tree_install(t, &edit, NULL, 0);
        edit_release(&edit);
    }
    pending_remove(t, made->seq);
    return err;
}

int store_pin_create(struct store *s, const char *name, uint64_t tag, struct store_pin *pin)
{
    int err = check_name(name);
    if (err == 0 && !s->writable)
        err = -EROFS;
    if (err < 0)
        return err;
    struct pin made = {.tag = tag, .created_ns = store_realtime(s), .name = mem_strdup(name)};
    pthread_mutex_lock(&s->pins);
    err = create(s, &made);
    pthread_mutex_unlock(&s->pins);
    free(made.name);
    if (err == 0)
        *pin = (struct store_pin){.seq = made.seq, .tag = tag, .created_ns = made.created_ns};
    return err;
}

/* What a pin held back is to be dropped soon: the tombstones that hide it may still be in memory.
 */
static void want_reclaim(struct tree *t)
{
    pthread_mutex_lock(&t->lock);
    t->flush_wanted = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

/* [pins held] */
static int delete (struct store *s, const char *name)
{
    struct tree *t = &s->tree;
    if (!pin_exists(t, name, NULL))
        return 1;
    struct edit edit;
    edit_init(&edit);
    edit_remove_pin(&edit, name);
    int err = tree_install(t, &edit, NULL, 0);
    edit_release(&edit);
    if (err == 0)
        want_reclaim(t);
    return err;
}

int store_pin_delete(struct store *s, const char *name)
{
    if (!s->writable)
        return -EROFS;
    pthread_mutex_lock(&s->pins);
    int err = delete (s, name);
    pthread_mutex_unlock(&s->pins);
    return err;
}

/* [pins held] */
static int rename_pin(struct store *s, const char *from, const char *to)
{
    struct tree *t = &s->tree;
    struct pin pin;
    if (!pin_exists(t, from, &pin))
        return 1;
    if (pin_exists(t, to, NULL))
        return strcmp(from, to) == 0 ? 0 : -EEXIST;
    struct edit edit;
    edit_init(&edit);
    pin.name = mem_strdup(to);
    edit_remove_pin(&edit, from);
    edit_add_pin(&edit, &pin);
    int err = tree_install(t, &edit, NULL, 0);
    edit_release(&edit);
    free(pin.name);
    return err;
}

int store_pin_rename(struct store *s, const char *from, const char *to)
{
    int err = check_name(to);
    if (err == 0 && !s->writable)
        err = -EROFS;
    if (err < 0)
        return err;
    pthread_mutex_lock(&s->pins);
    err = rename_pin(s, from, to);
    pthread_mutex_unlock(&s->pins);
    return err;
}

/* [pins held] */
static int expire(struct store *s, uint64_t tag, int64_t before_ns, uint64_t *count)
{
    struct view *v = viewbox_get(s->tree.box);
    struct edit edit;
    edit_init(&edit);
    for (uint32_t i = 0; i < v->version->pin_count; i++) {
        const struct pin *p = &v->version->pins[i];
        if (p->tag == tag && p->created_ns < before_ns)
            edit_remove_pin(&edit, p->name);
    }
    uint32_t found = edit.pins_removed_count;
    int err = found > 0 ? tree_install(&s->tree, &edit, NULL, 0) : 0;
    *count = err == 0 ? found : 0;
    edit_release(&edit);
    view_unref(v);
    return err;
}

int store_pin_expire(struct store *s, uint64_t tag, int64_t before_ns, uint64_t *count)
{
    *count = 0;
    if (!s->writable)
        return -EROFS;
    pthread_mutex_lock(&s->pins);
    int err = expire(s, tag, before_ns, count);
    pthread_mutex_unlock(&s->pins);
    return err;
}

int store_pin_list(struct store *s, store_pin_fn *fn, void *ctx)
{
    struct view *v = viewbox_get(s->tree.box);
    int err = 0;
    for (uint32_t i = 0; i < v->version->pin_count && err == 0; i++) {
        const struct pin *p = &v->version->pins[i];
        struct store_pin pin = {
            .seq = p->seq, .tag = p->tag, .created_ns = p->created_ns, .name = p->name};
        err = fn(ctx, &pin);
    }
    view_unref(v);
    return err;
}

int store_pin_space(struct store *s, const char *name, struct store_pin_space *out)
{
    struct store_read r;
    *out = (struct store_pin_space){0};
    store_read_begin(s, &r);
    const struct pin *p = version_find_pin(r.view->version, name);
    int err = p ? alone_sum(r.view, &s->tree.read_ctx, p->seq, r.seq, out) : 1;
    store_read_end(&r);
    return err;
}
