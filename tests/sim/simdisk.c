/* simdisk: see simdisk.h. This file has the disk itself: its life, clones, crashes, cuts and
 * faults. simdisk_env.c has the calls of the env, simdisk_tools.c what tests do behind its back.
 *
 * Guarantees: all that happens follows from the seeds and the calls. A clone shares nothing with
 * its origin that either could see.
 *
 * Invariants:
 *  1. A node is used exactly as long as the tree mentions it or a handle refers to it, or the next
 *     simdisk_collect() frees it. Its number is not given to another before that.
 *  2. node.handles is the number of handles in the list that refer to it.
 *  3. Once the power is cut, only simdisk_crash() lets a call have an effect again. */
#include "tests/sim/simdisk_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Some Monday, so that the simulated times look like times. */
static const uint64_t clock_start_ns = UINT64_C(1735516800) * 1000000000u;

uint32_t simdisk_add_node(struct simdisk *d, bool is_folder)
{
    uint32_t i = 0;
    while (i < d->node_count && d->nodes[i].used)
        i++;
    if (i == d->node_cap) {
        d->node_cap = d->node_cap ? 2 * d->node_cap : 16;
        d->nodes = mem_realloc(d->nodes, d->node_cap * sizeof *d->nodes);
    }
    if (i == d->node_count)
        d->node_count++;
    assert(i < SIM_NO_NODE && d->node_count <= d->node_cap);
    d->nodes[i] = (struct simnode){.used = true, .is_folder = is_folder};
    if (!is_folder)
        simfile_init(&d->nodes[i].file);
    return i;
}

static void drop_node(struct simnode *n)
{
    assert(n->handles == 0);
    if (n->used && !n->is_folder)
        simfile_release(&n->file);
    *n = (struct simnode){0};
}

void simdisk_collect(struct simdisk *d)
{
    for (uint32_t i = SIM_ROOT + 1; i < d->node_count; i++) {
        struct simnode *n = &d->nodes[i];
        if (n->used && n->handles == 0 && !simtree_mentions(&d->tree, i))
            drop_node(n);
    }
}

void simdisk_drop_handle(struct simdisk *d, uint32_t node)
{
    struct simnode *n = &d->nodes[node];
    assert(n->used && n->handles > 0);
    if (--n->handles == 0 && n->nameless) {
        n->nameless = false;
        simdisk_collect(d);
    }
}

static struct simdisk *disk_alloc(void)
{
    struct simdisk *d = mem_zalloc(sizeof *d);
    d->env = simdisk_env_table;
    d->env.ctx = d;
    LIST_INIT(&d->handles);
    LIST_INIT(&d->locks);
    return d;
}

struct simdisk *simdisk_new(uint64_t seed)
{
    struct simdisk *d = disk_alloc();
    d->rng.state = seed;
    d->clock_ns = clock_start_ns;
    d->capacity_bytes = SIM_CAPACITY_DEFAULT;
    uint32_t root = simdisk_add_node(d, true);
    assert(root == SIM_ROOT);
    (void)root;
    return d;
}

static void kill_handles(struct simdisk *d)
{
    struct simhandle *h;
    struct env_lock *l;
    LIST_FOREACH(h, &d->handles, link)
    h->node = SIM_NO_NODE;
    LIST_FOREACH(l, &d->locks, link)
    l->node = SIM_NO_NODE;
    for (uint32_t i = 0; i < d->node_count; i++) {
        d->nodes[i].handles = 0;
        d->nodes[i].nameless = false;
    }
}

static void free_handles(struct simdisk *d)
{
    while (!LIST_EMPTY(&d->handles)) {
        struct simhandle *h = LIST_FIRST(&d->handles);
        LIST_REMOVE(h, link);
        free(h->path);
        free(h);
    }
    while (!LIST_EMPTY(&d->locks)) {
        struct env_lock *l = LIST_FIRST(&d->locks);
        LIST_REMOVE(l, link);
        free(l);
    }
}

void simdisk_free(struct simdisk *d)
{
    if (!d)
        return;
    kill_handles(d);
    free_handles(d);
    for (uint32_t i = 0; i < d->node_count; i++)
        drop_node(&d->nodes[i]);
    free(d->nodes);
    simtree_release(&d->tree);
    free(d);
}

struct simdisk *simdisk_clone(const struct simdisk *d)
{
    struct simdisk *copy = mem_dup(d, sizeof *d);
    copy->env.ctx = copy;
    copy->listen = NULL;
    LIST_INIT(&copy->handles);
    LIST_INIT(&copy->locks);
    simtree_clone(&copy->tree, &d->tree);
    copy->node_cap = d->node_count;
    copy->nodes = mem_dup(d->nodes, d->node_count * sizeof *d->nodes);
    for (uint32_t i = 0; i < copy->node_count; i++)
        if (copy->nodes[i].used && !copy->nodes[i].is_folder)
            simfile_clone(&copy->nodes[i].file, &d->nodes[i].file);
    kill_handles(copy);
    simdisk_collect(copy);
    return copy;
}

struct env *simdisk_env(struct simdisk *d)
{
    assert(d->env.ctx == d);
    return &d->env;
}

void simdisk_advance(struct simdisk *d, uint64_t ns)
{
    d->clock_ns += ns;
}

uint64_t simdisk_ops(const struct simdisk *d)
{
    return d->ops;
}

void simdisk_listen(struct simdisk *d, sim_listen_fn *fn, void *ctx)
{
    d->listen = fn;
    d->listen_ctx = ctx;
}

void simdisk_cut_at(struct simdisk *d, uint64_t n, enum sim_cut how)
{
    d->cut_left = n;
    d->cut_how = how;
}

bool simdisk_is_cut(const struct simdisk *d)
{
    return d->is_cut;
}

void simdisk_crash(struct simdisk *d, enum sim_crash mode, uint64_t seed)
{
    assert(mode == SIM_KEEP_SYNCED || mode == SIM_KEEP_ALL || mode == SIM_RANDOM);
    struct simrng rng = {seed};
    kill_handles(d);
    simtree_crash(&d->tree, mode, &rng);
    for (uint32_t i = 0; i < d->node_count; i++)
        if (d->nodes[i].used && !d->nodes[i].is_folder)
            simfile_crash(&d->nodes[i].file, mode, &rng);
    simdisk_collect(d);
    simdisk_heal(d);
    d->cut_left = 0;
    d->is_cut = false;
}

void simdisk_fail(struct simdisk *d, const struct sim_fault *fault)
{
    const char *part = fault->path_part ? fault->path_part : "";
    assert(d->fault_count < SIM_FAULTS_MAX);
    assert(fault->err < 0 && fault->call < SIM_CALLS && strlen(part) <= SIM_NAME_MAX);
    struct simfault *f = &d->faults[d->fault_count++];
    f->spec = *fault;
    f->spec.path_part = NULL;
    memcpy(f->path_part, part, strlen(part) + 1);
}

void simdisk_heal(struct simdisk *d)
{
    d->fault_count = 0;
}

/* The error of the armed faults for this call, or 0. */
static int fault_for(struct simdisk *d, enum sim_call call, const char *path)
{
    int err = 0;
    for (size_t i = 0; i < d->fault_count;) {
        struct simfault *f = &d->faults[i];
        bool hit = f->spec.call == call && strstr(path, f->path_part);
        if (hit && f->spec.after > 0)
            f->spec.after--;
        else if (hit) {
            err = f->spec.err;
            if (!f->spec.sticky) {
                *f = d->faults[--d->fault_count];
                continue;
            }
        }
        i++;
    }
    return err;
}

int simdisk_enter(struct simdisk *d, enum sim_call call, const char *path, bool *go)
{
    *go = false;
    d->clock_ns += SIM_CALL_NS;
    d->ops += call >= SIM_CREATE;
    if (d->listen && call >= SIM_CREATE)
        d->listen(d->listen_ctx, call);
    if (d->is_cut)
        return -EIO;
    if (call >= SIM_CREATE && d->cut_left && --d->cut_left == 0) {
        d->is_cut = true;
        *go = d->cut_how == SIM_CUT_WITHIN && (call == SIM_WRITE || simrng_coin(&d->rng));
        return -EIO;
    }
    int err = fault_for(d, call, path);
    *go = err == 0 || call == SIM_WRITE;
    return err;
}

static unsigned count_handles(const struct simdisk *d, uint32_t node)
{
    unsigned count = 0;
    const struct simhandle *h;
    const struct env_lock *l;
    LIST_FOREACH(h, &d->handles, link)
    count += h->node == node;
    LIST_FOREACH(l, &d->locks, link)
    count += l->node == node;
    return count;
}

void simdisk_assert_valid(const struct simdisk *d)
{
    assert(d->node_count > SIM_ROOT && d->nodes[SIM_ROOT].is_folder);
    simtree_assert_valid(&d->tree);
    for (uint32_t i = 0; i < d->node_count; i++) {
        const struct simnode *n = &d->nodes[i];
        const struct simentry *e = simnames_of(&d->tree.now, i);
        assert(n->handles == count_handles(d, i));
        assert(n->used || (!n->handles && !simtree_mentions(&d->tree, i)));
        assert(!e || e->is_folder == n->is_folder);
        assert(n->nameless == (!e && n->handles > 0));
        if (n->used && !n->is_folder)
            simfile_assert_valid(&n->file);
    }
}
