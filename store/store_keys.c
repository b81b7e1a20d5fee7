/* store_keys: the keys of a store that is not open: who may open it, and starting a new generation.
 *
 * Each function reads KEYS, changes it in memory and writes it as a whole, under the store's lock;
 * so it has happened, or not. */
#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/env_posix.h"
#include "store/secret.h"
#include "store/unlock.h"

_Static_assert(STORE_KEY_SLOTS == (int)KEY_SLOTS, "the door says what the file has");
_Static_assert(STORE_KEY_LABEL_MAX == KEY_LABEL_SIZE - 1, "the door says what the file has");
_Static_assert(STORE_KEY_GENERATIONS_MAX == (int)KEY_GENERATIONS_MAX, "so it does here");

static void describe(const struct key_file *f, uint32_t number, struct store_key_slot *out)
{
    const struct key_slot *s = &f->slots[number];
    assert(number < KEY_SLOTS && s->used);
    *out = (struct store_key_slot){.number = number,
                                   .made_ns = s->made_ns,
                                   .scrypt_log_n = s->cost.log_n,
                                   .scrypt_r = s->cost.r,
                                   .scrypt_p = s->cost.p};
    memcpy(out->label, s->label, sizeof out->label);
}

static struct env *env_of(const struct store_options *o)
{
    return o->env ? o->env : env_posix();
}

int store_keys_get(const char *dir, const struct store_options *o, struct store_keys *out)
{
    struct key_file f;
    *out = (struct store_keys){0};
    int err = keyslots_read(env_of(o), dir, &f);
    if (err)
        return err;
    for (uint32_t i = 0; i < KEY_SLOTS; i++)
        if (f.slots[i].used)
            describe(&f, i, &out->slots[out->slot_count++]);
    out->generations = f.ring.count;
    return 0;
}

/* ---- changing ---- */

/* A store whose keys are being changed. */
struct change {
    struct env *env;
    const char *dir;
    const struct store_options *options;
    struct env_lock *lock;
    struct keyslots *keys;
    const char *label;
    uint32_t slot;
};

static int require_store(const struct change *c)
{
    char *path = name_current(c->dir);
    uint64_t size;
    int err = c->env->file_size(c->env, path, &size);
    free(path);
    return err;
}

/* 0, 1 when the store is not encrypted, or an error. change_end() ends it in any case. */
static int change_begin(struct change *c, const char *dir, const struct store_options *o)
{
    *c = (struct change){.env = env_of(o), .dir = dir, .options = o, .label = ""};
    char *path = name_lock(dir);
    int err = require_store(c);
    if (err == 0)
        err = c->env->lock(c->env, path, &c->lock);
    if (err == 0)
        err = unlock_store(c->env, dir, o, &c->keys);
    if (err == 0 && !c->keys)
        err = 1;
    free(path);
    return err;
}

/* Writes what was changed if `err` is 0. */
static int change_end(struct change *c, int err)
{
    if (err == 0) {
        assert(c->lock && c->keys);
        err = keyslots_write(c->keys, c->env, c->dir);
    }
    keyslots_free(c->keys);
    if (c->lock)
        c->env->unlock(c->env, c->lock);
    return err;
}

static int set_slot(void *ctx, struct slice passphrase)
{
    struct change *c = ctx;
    struct crypt_cost cost = unlock_cost(c->options);
    return keyslots_set(c->keys, c->env, c->slot, passphrase, &cost, c->label);
}

static int free_slot(const struct key_file *f, uint32_t *slot)
{
    for (*slot = 0; *slot < KEY_SLOTS; ++*slot)
        if (!f->slots[*slot].used)
            return 0;
    return -ENOSPC;
}

int store_keys_add(const char *dir, const struct store_options *o, const struct store_secret *added,
                   const char *label, uint32_t *slot)
{
    struct change c;
    *slot = 0;
    if (strlen(label) > STORE_KEY_LABEL_MAX)
        return -EINVAL;
    int err = change_begin(&c, dir, o);
    if (err == 0)
        err = free_slot(keyslots_file(c.keys), &c.slot);
    c.label = label;
    if (err == 0)
        err = unlock_ask(added, set_slot, &c);
    *slot = c.slot;
    return change_end(&c, err);
}

int store_keys_change(const char *dir, const struct store_options *o,
                      const struct store_secret *now, uint32_t *slot)
{
    struct change c;
    char label[KEY_LABEL_SIZE] = "";
    int err = change_begin(&c, dir, o);
    if (err == 0) {
        c.slot = keyslots_slot(c.keys);
        memcpy(label, keyslots_file(c.keys)->slots[c.slot].label, sizeof label);
        c.label = label;
        err = unlock_ask(now, set_slot, &c);
    }
    *slot = c.slot;
    return change_end(&c, err);
}

static uint32_t slots_used(const struct key_file *f)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < KEY_SLOTS; i++)
        count += f->slots[i].used;
    return count;
}

int store_keys_remove(const char *dir, const struct store_options *o, uint32_t slot)
{
    struct change c;
    int err = change_begin(&c, dir, o);
    if (err == 0 && (slot >= KEY_SLOTS || !keyslots_file(c.keys)->slots[slot].used))
        err = -ENOENT;
    if (err == 0 && slots_used(keyslots_file(c.keys)) == 1)
        err = -EBUSY;
    if (err == 0)
        keyslots_clear(c.keys, slot);
    return change_end(&c, err);
}

/* ---- a new generation ---- */

struct rotation {
    struct change change;
    store_keys_other_fn *other;
    void *ctx;
    uint8_t (*passphrases)[STORE_SECRET_MAX]; /* of each slot, in locked memory */
    struct slice given[KEY_SLOTS];
};

/* Asks for one of the other passphrases. 0 also when the slot is given up. */
static int ask_other(struct rotation *r, uint32_t slot)
{
    struct store_key_slot shown;
    size_t len = 0;
    describe(keyslots_file(r->change.keys), slot, &shown);
    int err = r->other ? r->other(r->ctx, &shown, r->passphrases[slot], &len) : 1;
    if (err)
        return err == 1 ? 0 : err;
    assert(len <= STORE_SECRET_MAX);
    if (len == 0)
        return -EINVAL;
    r->given[slot] = slice_of(r->passphrases[slot], len);
    return keyslots_try(r->change.keys, slot, r->given[slot]);
}

static int ask_others(struct rotation *r)
{
    const struct key_file *f = keyslots_file(r->change.keys);
    uint32_t own = keyslots_slot(r->change.keys);
    for (uint32_t i = 0; i < KEY_SLOTS; i++) {
        int err = f->slots[i].used && i != own ? ask_other(r, i) : 0;
        if (err) {
            r->change.slot = i;
            return err;
        }
    }
    return 0;
}

/* The passphrase that unlocks it is asked for once, so it is noted on the way. */
struct noting {
    const struct store_secret *secret;
    uint8_t *passphrase; /* STORE_SECRET_MAX bytes */
    size_t len;
};

static int note(void *ctx, uint8_t out[STORE_SECRET_MAX], size_t *len)
{
    struct noting *n = ctx;
    int err = n->secret->get(n->secret->ctx, out, len);
    if (!err) {
        memcpy(n->passphrase, out, *len);
        n->len = *len;
    }
    return err;
}

static int rotate(struct rotation *r, const struct noting *own)
{
    int err = ask_others(r);
    if (err)
        return err;
    r->given[keyslots_slot(r->change.keys)] = slice_of(own->passphrase, own->len);
    return keyslots_rotate(r->change.keys, r->change.env, r->given);
}

int store_keys_rotate(const char *dir, const struct store_options *o, store_keys_other_fn *other,
                      void *ctx, uint32_t *slot)
{
    /* One place behind those of the slots is for the own one. */
    const size_t bytes = (KEY_SLOTS + 1) * (size_t)STORE_SECRET_MAX;
    struct rotation r = {.other = other, .ctx = ctx, .passphrases = secret_alloc(bytes)};
    struct noting noting = {.secret = o->secret, .passphrase = r.passphrases[KEY_SLOTS]};
    struct store_secret noted = {.ctx = &noting, .get = note};
    struct store_options options = *o;
    if (o->secret) {
        noted.required = o->secret->required;
        options.secret = &noted;
    }
    int err = change_begin(&r.change, dir, &options);
    r.change.slot = KEY_SLOTS;
    if (err == 0)
        err = rotate(&r, &noting);
    *slot = r.change.slot;
    err = change_end(&r.change, err);
    secret_free(r.passphrases, bytes);
    return err;
}
