/* unlock: see unlock.h.
 *
 * Invariant: a passphrase is only in the pages that secret_alloc() gave for it, and they are wiped
 * before unlock_ask() returns. */
#include "store/unlock.h"

#include "store/manifest.h"
#include "store/secret.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int unlock_ask(const struct store_secret *secret, unlock_use_fn *use, void *ctx)
{
    uint8_t *passphrase = secret_alloc(STORE_SECRET_MAX);
    size_t len = 0;
    int err = secret->get(secret->ctx, passphrase, &len);
    assert(err <= 0 && len <= STORE_SECRET_MAX);
    if (!err)
        err = len > 0 ? use(ctx, slice_of(passphrase, len)) : -EINVAL;
    secret_free(passphrase, STORE_SECRET_MAX);
    return err;
}

struct crypt_cost unlock_cost(const struct store_options *o)
{
    struct crypt_cost cost = {(uint8_t)o->scrypt_log_n, KEY_COST_R_DEFAULT, KEY_COST_P_DEFAULT};
    assert(key_cost_is_sane(&cost));
    return cost;
}

struct request {
    struct env *env;
    const char *dir;
    const struct store_options *options;
    const uint8_t *uuid;
    struct keyslots **out;
};

static int make_keys(void *ctx, struct slice passphrase)
{
    const struct request *r = ctx;
    struct crypt_cost cost = unlock_cost(r->options);
    int err = keyslots_new(r->env, r->uuid, passphrase, &cost, r->out);
    return err ? err : keyslots_write(*r->out, r->env, r->dir);
}

int unlock_new(struct env *env, const char *dir, const struct store_options *o,
               const uint8_t uuid[UUID_SIZE], struct keyslots **out)
{
    struct request r = {.env = env, .dir = dir, .options = o, .uuid = uuid, .out = out};
    *out = NULL;
    return unlock_ask(o->secret, make_keys, &r);
}

static int open_keys(void *ctx, struct slice passphrase)
{
    const struct request *r = ctx;
    return keyslots_unlock(r->env, r->dir, passphrase, r->out);
}

/* What the header of the manifest in force says; false also when it cannot be read. */
static bool manifest_is_encrypted(struct env *env, const char *dir)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file_header h = {0};
    struct env_file *f;
    uint64_t number;
    size_t got = 0;
    if (manifest_current(env, dir, &number) != 0)
        return false;
    char *path = name_file(dir, FILE_MANIFEST, number);
    int err = env->open(env, path, ENV_OPEN_READ, &f);
    free(path);
    if (err < 0)
        return false;
    err = f->ops->read(f, 0, bytes, sizeof bytes, &got);
    f->ops->close(f);
    return err == 0 && file_header_decode(slice_of(bytes, got), &h) == HEADER_OK &&
           h.cipher != CIPHER_NONE;
}

int unlock_store(struct env *env, const char *dir, const struct store_options *o,
                 struct keyslots **out)
{
    struct request r = {.env = env, .dir = dir, .out = out};
    struct key_file file;
    *out = NULL;
    int err = keyslots_read(env, dir, &file);
    if (err == 1 && o->secret && o->secret->required)
        return manifest_is_encrypted(env, dir) ? unlock_missing(env, dir) : -EMEDIUMTYPE;
    if (err == 1)
        return 0; /* if it is encrypted after all, the manifest will tell */
    if (err)
        return err;
    return o->secret ? unlock_ask(o->secret, open_keys, &r) : -ENOKEY;
}

int unlock_missing(struct env *env, const char *dir)
{
    char *path = name_keys(dir);
    uint64_t size;
    int err = env->file_size(env, path, &size);
    assert(err < 0);
    (void)err;
    err = corrupt(path, UINT64_MAX,
                  "it is missing, but the volume is encrypted; without a copy of this file nothing "
                  "can be read");
    free(path);
    return err;
}
