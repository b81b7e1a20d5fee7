/* simtree: see simtree.h.
 *
 * Guarantees: a power cut leaves each name as some earlier change left it, and no name newer than a
 * change of the same name that was lost; both halves of a rename or none.
 *
 * Invariants:
 *  1. (folder, name) occurs at most once in a simnames, and never with SIM_NO_NODE.
 *  2. `durable` with all of `pending` applied in order equals `now`.
 *  3. Changes that share a name are applied to `durable` in the order in which they were made. */
#include "tests/sim/simtree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool same_place(const struct simentry *e, uint32_t folder, const char *name)
{
    return e->folder == folder && strcmp(e->name, name) == 0;
}

static size_t names_index(const struct simnames *n, uint32_t folder, const char *name)
{
    size_t i = 0;
    while (i < n->count && !same_place(&n->at[i], folder, name))
        i++;
    return i;
}

const struct simentry *simnames_find(const struct simnames *n, uint32_t folder, const char *name)
{
    size_t i = names_index(n, folder, name);
    return i < n->count ? &n->at[i] : NULL;
}

const struct simentry *simnames_of(const struct simnames *n, uint32_t node)
{
    for (size_t i = 0; i < n->count; i++)
        if (n->at[i].node == node)
            return &n->at[i];
    return NULL;
}

static void names_copy(struct simnames *to, const struct simnames *from)
{
    to->count = to->cap = from->count;
    to->at = mem_dup(from->at, from->count * sizeof *from->at);
}

static void names_drop(struct simnames *n, size_t i)
{
    assert(i < n->count);
    memmove(&n->at[i], &n->at[i + 1], (n->count - i - 1) * sizeof *n->at);
    n->count--;
}

static void names_set(struct simnames *n, const struct simentry *e)
{
    size_t i = names_index(n, e->folder, e->name);
    if (i < n->count && e->node == SIM_NO_NODE) {
        names_drop(n, i);
    } else if (e->node != SIM_NO_NODE) {
        if (n->count == n->cap) {
            n->cap = n->cap ? 2 * n->cap : 16;
            n->at = mem_realloc(n->at, n->cap * sizeof *n->at);
        }
        n->count += i == n->count;
        n->at[i] = *e;
    }
    assert(n->count <= n->cap);
}

static void names_apply(struct simnames *n, const struct simchange *c)
{
    assert(c->count == 1 || c->count == 2);
    for (int i = 0; i < c->count; i++)
        names_set(n, &c->set[i]);
}

/* Drops what lies in folders that are not there: a folder's own making may have been lost. */
static void names_prune(struct simnames *n)
{
    for (size_t i = 0; i < n->count;) {
        if (n->at[i].folder == SIM_ROOT || simnames_of(n, n->at[i].folder)) {
            i++;
            continue;
        }
        names_drop(n, i);
        i = 0; /* what lay in it, if it was a folder, may stand before it */
    }
}

void simtree_release(struct simtree *t)
{
    free(t->now.at);
    free(t->durable.at);
    free(t->pending);
    *t = (struct simtree){0};
}

void simtree_clone(struct simtree *to, const struct simtree *from)
{
    names_copy(&to->now, &from->now);
    names_copy(&to->durable, &from->durable);
    to->pending_count = to->pending_cap = from->pending_count;
    to->pending = mem_dup(from->pending, from->pending_count * sizeof *from->pending);
}

/* Takes the next name off the front of `*path` into `*name`. Returns its length, 0 at the end. */
static size_t next_name(const char **path, const char **name)
{
    for (;;) {
        *path += strspn(*path, "/");
        *name = *path;
        size_t len = strcspn(*path, "/");
        *path += len;
        if (len != 1 || **name != '.')
            return len;
    }
}

int simtree_resolve(const struct simtree *t, const char *path, struct simentry *place)
{
    *place = (struct simentry){.node = SIM_ROOT, .is_folder = true};
    const char *name;
    for (size_t len; (len = next_name(&path, &name)) > 0;) {
        int err = place->node == SIM_NO_NODE ? -ENOENT
                  : !place->is_folder        ? -ENOTDIR
                  : len > SIM_NAME_MAX       ? -ENAMETOOLONG
                                             : 0;
        struct simentry next = {.folder = place->node, .node = SIM_NO_NODE};
        if (err) {
            *place = next;
            return err;
        }
        memcpy(next.name, name, len);
        const struct simentry *found = simnames_find(&t->now, next.folder, next.name);
        *place = found ? *found : next;
    }
    return 0;
}

void simtree_change(struct simtree *t, const struct simchange *c)
{
    names_apply(&t->now, c);
    if (t->pending_count == t->pending_cap) {
        t->pending_cap = t->pending_cap ? 2 * t->pending_cap : 16;
        t->pending = mem_realloc(t->pending, t->pending_cap * sizeof *t->pending);
    }
    t->pending[t->pending_count++] = *c;
}

static bool share_a_name(const struct simchange *a, const struct simchange *b)
{
    for (int i = 0; i < a->count; i++)
        for (int j = 0; j < b->count; j++)
            if (same_place(&a->set[i], b->set[j].folder, b->set[j].name))
                return true;
    return false;
}

static bool touches(const struct simchange *c, uint32_t folder)
{
    return c->set[0].folder == folder || c->set[c->count - 1].folder == folder;
}

/* Applies the marked changes to `durable`, and keeps the others pending. Frees `marked`. */
static void apply_marked(struct simtree *t, bool *marked)
{
    size_t left = 0;
    for (size_t i = 0; i < t->pending_count; i++) {
        if (marked[i])
            names_apply(&t->durable, &t->pending[i]);
        else
            t->pending[left++] = t->pending[i];
    }
    t->pending_count = left;
    free(marked);
}

void simtree_sync(struct simtree *t, uint32_t folder)
{
    bool *marked = mem_zalloc(t->pending_count * sizeof *marked);
    for (size_t i = t->pending_count; i-- > 0;) {
        marked[i] = touches(&t->pending[i], folder);
        for (size_t j = i + 1; j < t->pending_count && !marked[i]; j++)
            marked[i] = marked[j] && share_a_name(&t->pending[i], &t->pending[j]);
    }
    apply_marked(t, marked);
}

/* Each change or not, but none that would overtake one that was lost. */
static void mark_each(const struct simtree *t, bool *marked, struct simrng *rng)
{
    for (size_t i = 0; i < t->pending_count; i++) {
        marked[i] = simrng_coin(rng);
        for (size_t j = 0; j < i && marked[i]; j++)
            marked[i] = marked[j] || !share_a_name(&t->pending[i], &t->pending[j]);
    }
}

static void apply_random_part(struct simtree *t, struct simrng *rng)
{
    enum { NONE, ALL, EACH, EACH_AGAIN, PREFIX, MOODS };
    bool *marked = mem_zalloc(t->pending_count * sizeof *marked);
    uint64_t mood = simrng_below(rng, MOODS), whole = 0;
    if (mood == ALL)
        whole = t->pending_count;
    else if (mood == PREFIX)
        whole = simrng_below(rng, t->pending_count + 1);
    for (size_t i = 0; i < whole; i++)
        marked[i] = true;
    if (mood == EACH || mood == EACH_AGAIN)
        mark_each(t, marked, rng);
    apply_marked(t, marked);
}

void simtree_crash(struct simtree *t, enum sim_crash mode, struct simrng *rng)
{
    if (mode == SIM_RANDOM)
        apply_random_part(t, rng);
    struct simnames *kept = mode == SIM_KEEP_ALL ? &t->now : &t->durable;
    struct simnames *lost = mode == SIM_KEEP_ALL ? &t->durable : &t->now;
    names_prune(kept);
    free(lost->at);
    names_copy(lost, kept);
    t->pending_count = 0;
}

bool simtree_mentions(const struct simtree *t, uint32_t node)
{
    assert(node != SIM_NO_NODE);
    if (simnames_of(&t->now, node) || simnames_of(&t->durable, node))
        return true;
    for (size_t i = 0; i < t->pending_count; i++)
        for (int j = 0; j < t->pending[i].count; j++)
            if (t->pending[i].set[j].node == node)
                return true;
    return false;
}

bool simtree_is_pending(const struct simtree *t, uint32_t folder, const char *name)
{
    for (size_t i = 0; i < t->pending_count; i++)
        for (int j = 0; j < t->pending[i].count; j++)
            if (same_place(&t->pending[i].set[j], folder, name))
                return true;
    return false;
}

/* Invariant 1, and that each folder has one name, and each name is in a folder that has one. */
static void names_assert_valid(const struct simnames *n)
{
    assert(n->count <= n->cap);
    for (size_t i = 0; i < n->count; i++) {
        const struct simentry *e = &n->at[i];
        assert(e->node != SIM_NO_NODE && e->node != SIM_ROOT && *e->name);
        assert(names_index(n, e->folder, e->name) == i);
        assert(!e->is_folder || simnames_of(n, e->node) == e);
        assert(e->folder == SIM_ROOT || simnames_of(n, e->folder));
    }
}

void simtree_assert_valid(const struct simtree *t)
{
    struct simnames replayed;
    names_copy(&replayed, &t->durable);
    for (size_t i = 0; i < t->pending_count; i++)
        names_apply(&replayed, &t->pending[i]);
    names_assert_valid(&replayed);
    names_assert_valid(&t->now);
    assert(replayed.count == t->now.count);
    for (size_t i = 0; i < replayed.count; i++) {
        const struct simentry *e = &replayed.at[i];
        const struct simentry *same = simnames_find(&t->now, e->folder, e->name);
        assert(same && same->node == e->node && same->is_folder == e->is_folder);
    }
    free(replayed.at);
}
