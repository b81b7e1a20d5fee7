/* keyslots: see keyslots.h.
 *
 * Guarantees: KEYS is never without a whole set of keys, whatever fails while it is replaced. What
 * unlocks is what was written: a slot, a ring, or a mixture of two editions of the file that
 * somebody put together is refused. (An older edition as a whole is not recognised.)
 *
 * Invariants:
 * 1. The slots in `file` wrap `root`; the ring in `file` is made only when it is written, of what
 *    the keyring holds then.
 * 2. A salt and a nonce are used for one wrap. */
#include "store/keyslots.h"

#include "store/err.h"
#include "store/replace.h"
#include "store/secret.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct keyslots {
    struct key_file file;
    struct keyring *ring;
    uint8_t root[CRYPT_KEY_SIZE];
    uint32_t slot;
    uint32_t oldest; /* generations before this one are not written */
};

static const char ring_label[] = "varvefs ring";

/* ---- slots ---- */

/* What a passphrase is made into. */
struct slot_keys {
    uint8_t wrapping[CRYPT_KEY_SIZE], check[CRYPT_KEY_SIZE];
};
_Static_assert(sizeof(struct slot_keys) == 2 * CRYPT_KEY_SIZE, "one run of scrypt fills both");

static int slot_keys_make(const struct key_slot *s, struct slice passphrase, struct slot_keys *out)
{
    return crypt_scrypt(passphrase, slice_of(s->salt, SALT_SIZE), &s->cost, (uint8_t *)out,
                        sizeof *out);
}

static void make_check(const struct key_file *f, uint32_t slot, const struct slot_keys *keys,
                       uint8_t out[CRYPT_MAC_SIZE])
{
    uint8_t bound[KEY_SLOT_EXTRA_SIZE + CRYPT_NONCE_SIZE];
    key_slot_extra(f, slot, bound);
    memcpy(bound + KEY_SLOT_EXTRA_SIZE, f->slots[slot].nonce, CRYPT_NONCE_SIZE);
    crypt_hmac(slice_of(keys->check, sizeof keys->check), slice_of(bound, sizeof bound), out);
}

/* 0 with the root key, -EKEYREJECTED, -EIO (tampered with) or -ENOMEM. */
static int slot_open(const struct key_file *f, uint32_t slot, struct slice passphrase,
                     uint8_t root[CRYPT_KEY_SIZE])
{
    const struct key_slot *s = &f->slots[slot];
    uint8_t extra[KEY_SLOT_EXTRA_SIZE], check[CRYPT_MAC_SIZE];
    struct slot_keys keys;
    int err = slot_keys_make(s, passphrase, &keys);
    if (err)
        return err;
    make_check(f, slot, &keys, check);
    if (!secret_equal(check, s->check, sizeof check)) {
        err = -EKEYREJECTED;
    } else {
        struct crypt_key *key = crypt_key_new(keys.wrapping);
        key_slot_extra(f, slot, extra);
        if (crypt_open(key, s->nonce, slice_of(extra, sizeof extra), s->wrapped, CRYPT_KEY_SIZE,
                       root, s->tag))
            err = -EIO;
        crypt_key_free(key);
    }
    secret_wipe(&keys, sizeof keys);
    return err;
}

static void slot_seal(struct key_file *f, uint32_t slot, const struct slot_keys *keys,
                      const uint8_t root[CRYPT_KEY_SIZE])
{
    struct key_slot *s = &f->slots[slot];
    uint8_t extra[KEY_SLOT_EXTRA_SIZE];
    struct crypt_key *key = crypt_key_new(keys->wrapping);
    key_slot_extra(f, slot, extra);
    crypt_seal(key, s->nonce, slice_of(extra, sizeof extra), root, CRYPT_KEY_SIZE, s->wrapped,
               s->tag);
    crypt_key_free(key);
    make_check(f, slot, keys, s->check);
}

int keyslots_set(struct keyslots *k, struct env *env, uint32_t slot, struct slice passphrase,
                 const struct crypt_cost *cost, const char *label)
{
    struct key_slot s = {.used = true, .cost = *cost, .made_ns = env->realtime_ns(env)};
    struct slot_keys keys;
    assert(slot < KEY_SLOTS && passphrase.len > 0 && strlen(label) < KEY_LABEL_SIZE);
    memcpy(s.label, label, strlen(label));
    int err = env->random(env, s.salt, sizeof s.salt);
    if (!err)
        err = env->random(env, s.nonce, sizeof s.nonce);
    if (!err)
        err = slot_keys_make(&s, passphrase, &keys);
    if (err)
        return err;
    k->file.slots[slot] = s;
    slot_seal(&k->file, slot, &keys, k->root);
    secret_wipe(&keys, sizeof keys);
    return 0;
}

static uint32_t slots_used(const struct key_file *f)
{
    uint32_t count = 0;
    for (int i = 0; i < KEY_SLOTS; i++)
        count += f->slots[i].used;
    return count;
}

void keyslots_clear(struct keyslots *k, uint32_t slot)
{
    assert(slot < KEY_SLOTS && slots_used(&k->file) > 1);
    k->file.slots[slot] = (struct key_slot){0};
}

int keyslots_try(const struct keyslots *k, uint32_t slot, struct slice passphrase)
{
    uint8_t root[CRYPT_KEY_SIZE];
    assert(slot < KEY_SLOTS && k->file.slots[slot].used);
    int err = slot_open(&k->file, slot, passphrase, root);
    secret_wipe(root, sizeof root);
    return err;
}

/* ---- the ring ---- */

static struct crypt_key *ring_key(const struct key_file *f, const uint8_t root[CRYPT_KEY_SIZE])
{
    uint8_t info[sizeof ring_label - 1 + UUID_SIZE], key[CRYPT_KEY_SIZE];
    memcpy(info, ring_label, sizeof ring_label - 1);
    memcpy(info + sizeof ring_label - 1, f->uuid, UUID_SIZE);
    crypt_hkdf(slice_of(root, CRYPT_KEY_SIZE), slice_of(f->ring.salt, SALT_SIZE),
               slice_of(info, sizeof info), key, sizeof key);
    struct crypt_key *k = crypt_key_new(key);
    secret_wipe(key, sizeof key);
    return k;
}

/* What the ring holds in plain; on the way from one to the other. */
struct ring_plain {
    struct key_generation list[KEY_GENERATIONS_MAX];
    uint8_t bytes[KEY_RING_SIZE];
};

static void ring_seal(struct keyslots *k)
{
    struct key_ring *ring = &k->file.ring;
    struct ring_plain *plain = secret_alloc(sizeof *plain);
    uint8_t extra[KEY_RING_EXTRA_SIZE];
    uint32_t all = keyring_copy(k->ring, plain->list), first = 0;
    while (first < all && plain->list[first].epoch < k->oldest)
        first++;
    ring->count = all - first;
    key_generations_encode(plain->list + first, ring->count, plain->bytes);
    key_ring_extra(&k->file, extra);
    struct crypt_key *key = ring_key(&k->file, k->root);
    crypt_seal(key, ring->nonce, slice_of(extra, sizeof extra), plain->bytes, KEY_RING_SIZE,
               ring->sealed, ring->tag);
    crypt_key_free(key);
    secret_free(plain, sizeof *plain);
}

/* False when it was tampered with. */
static bool ring_open(struct keyslots *k)
{
    const struct key_ring *ring = &k->file.ring;
    struct ring_plain *plain = secret_alloc(sizeof *plain);
    uint8_t extra[KEY_RING_EXTRA_SIZE];
    key_ring_extra(&k->file, extra);
    struct crypt_key *key = ring_key(&k->file, k->root);
    bool good = crypt_open(key, ring->nonce, slice_of(extra, sizeof extra), ring->sealed,
                           KEY_RING_SIZE, plain->bytes, ring->tag) == 0 &&
                key_generations_decode(plain->bytes, ring->count, plain->list);
    for (uint32_t i = 0; i < ring->count && good; i++)
        keyring_add(k->ring, &plain->list[i]);
    crypt_key_free(key);
    secret_free(plain, sizeof *plain);
    return good;
}

/* ---- making and unlocking ---- */

static struct keyslots *slots_alloc(const uint8_t uuid[UUID_SIZE])
{
    struct keyslots *k = secret_alloc(sizeof *k);
    memcpy(k->file.uuid, uuid, UUID_SIZE);
    k->ring = keyring_new(uuid);
    return k;
}

void keyslots_free(struct keyslots *k)
{
    if (!k)
        return;
    keyring_free(k->ring);
    secret_free(k, sizeof *k);
}

static int add_generation(struct keyslots *k, struct env *env)
{
    struct key_generation g = {.epoch = keyring_current(k->ring) + 1,
                               .made_ns = env->realtime_ns(env)};
    int err = env->random(env, g.key, sizeof g.key);
    if (!err)
        err = env->random(env, k->root, sizeof k->root);
    if (!err)
        keyring_add(k->ring, &g);
    secret_wipe(&g, sizeof g);
    return err;
}

int keyslots_new(struct env *env, const uint8_t uuid[UUID_SIZE], struct slice passphrase,
                 const struct crypt_cost *cost, struct keyslots **out)
{
    struct keyslots *k = slots_alloc(uuid);
    *out = NULL;
    int err = add_generation(k, env);
    if (!err)
        err = keyslots_set(k, env, 0, passphrase, cost, "");
    if (err)
        keyslots_free(k);
    else
        *out = k;
    return err;
}

/* Finds the slot that the passphrase fits. One that was tampered with is told only if none fits. */
static int find_slot(struct keyslots *k, struct slice passphrase)
{
    int result = -EKEYREJECTED;
    for (uint32_t i = 0; i < KEY_SLOTS; i++) {
        if (!k->file.slots[i].used)
            continue;
        int err = slot_open(&k->file, i, passphrase, k->root);
        k->slot = i;
        if (err == 0)
            return 0;
        if (err != -EKEYREJECTED)
            result = err;
    }
    return result;
}

int keyslots_unlock(struct env *env, const char *dir, struct slice passphrase,
                    struct keyslots **out)
{
    struct key_file file;
    *out = NULL;
    int err = keyslots_read(env, dir, &file);
    if (err)
        return err;
    char *path = name_keys(dir);
    struct keyslots *k = slots_alloc(file.uuid);
    k->file = file;
    err = find_slot(k, passphrase);
    if (err == -EIO)
        err = corrupt(path, UINT64_MAX, "a key slot was tampered with");
    else if (err == 0 && !ring_open(k))
        err = corrupt(path, UINT64_MAX, "it was tampered with: the master keys do not verify");
    free(path);
    if (err)
        keyslots_free(k);
    else
        *out = k;
    return err;
}

struct keyring *keyslots_ring(struct keyslots *k)
{
    return k->ring;
}

const struct key_file *keyslots_file(const struct keyslots *k)
{
    return &k->file;
}

uint32_t keyslots_slot(const struct keyslots *k)
{
    return k->slot;
}

/* ---- generations ---- */

int keyslots_rotate(struct keyslots *k, struct env *env, const struct slice passphrases[KEY_SLOTS])
{
    if (keyring_count(k->ring) == KEY_GENERATIONS_MAX)
        return -ENOSPC;
    int err = add_generation(k, env);
    for (uint32_t i = 0; i < KEY_SLOTS && !err; i++) {
        struct key_slot old = k->file.slots[i];
        k->file.slots[i] = (struct key_slot){0};
        if (old.used && passphrases[i].len > 0)
            err = keyslots_set(k, env, i, passphrases[i], &old.cost, old.label);
    }
    assert(err || slots_used(&k->file) > 0);
    return err;
}

void keyslots_drop_before(struct keyslots *k, uint32_t epoch)
{
    assert(epoch > 0 && epoch <= keyring_current(k->ring));
    k->oldest = epoch;
}

/* ---- the file ---- */

static int decode(const char *path, struct slice bytes, struct key_file *out)
{
    switch (key_file_decode(bytes, out)) {
    case KEY_FILE_OK:
        return 0;
    case KEY_FILE_NOT_OURS:
        return corrupt(path, 0, "it does not hold the keys of a volume");
    case KEY_FILE_DAMAGED:
        return corrupt(path, UINT64_MAX,
                       "it is damaged: its checksum or its form does not hold; put back a copy");
    case KEY_FILE_NEWER:
        break;
    }
    log_message(LOG_ERROR, "%s: made by a newer varvefs; upgrade varvefs", path);
    return -EPROTONOSUPPORT;
}

int keyslots_read(struct env *env, const char *dir, struct key_file *out)
{
    uint8_t bytes[KEYS_SIZE + 1]; /* one more shows that it is too long */
    size_t got = 0;
    struct env_file *f;
    char *path = name_keys(dir);
    *out = (struct key_file){0};
    int err = env->open(env, path, ENV_OPEN_READ, &f);
    if (!err) {
        err = f->ops->read(f, 0, bytes, sizeof bytes, &got);
        f->ops->close(f);
    }
    if (err == -ENOENT)
        err = 1;
    else if (err == -EACCES || err == -EPERM)
        ; /* of the whole folder, most likely: the caller says so */
    else if (err)
        log_message(LOG_ERROR, "%s: cannot read it: %s", path, strerror(-err));
    else
        err = decode(path, slice_of(bytes, got), out);
    free(path);
    return err;
}

int keyslots_write(struct keyslots *k, struct env *env, const char *dir)
{
    uint8_t bytes[KEYS_SIZE];
    char *path = name_keys(dir), *temp = name_keys_temp(dir);
    bool tried;
    assert(slots_used(&k->file) > 0);
    k->file.edition++;
    int err = env->random(env, k->file.ring.salt, SALT_SIZE);
    if (!err)
        err = env->random(env, k->file.ring.nonce, CRYPT_NONCE_SIZE);
    if (!err) {
        ring_seal(k);
        key_file_encode(&k->file, bytes);
        err = replace_file(env, dir, temp, path, slice_of(bytes, sizeof bytes), &tried);
    }
    if (!err && k->oldest)
        keyring_drop_before(k->ring, k->oldest);
    free(temp);
    free(path);
    return err;
}

void keyslots_remove_temp(struct env *env, const char *dir)
{
    char *temp = name_keys_temp(dir);
    uint64_t size;
    if (env->file_size(env, temp, &size) == 0)
        env->remove(env, temp);
    free(temp);
}
