/* fs_keys: the keys of a volume, of which the file system knows nothing: they are the store's. */
#include "fs/fs.h"

static struct store_options options_of(const struct store_secret *secret)
{
    struct store_options o;
    store_options_init(&o);
    o.secret = secret;
    return o;
}

int fs_keys_get(const char *path, struct store_keys *out)
{
    struct store_options o = options_of(NULL);
    return store_keys_get(path, &o, out);
}

int fs_keys_add(const char *path, const struct store_secret *secret,
                const struct store_secret *added, const char *label, uint32_t *slot)
{
    struct store_options o = options_of(secret);
    return store_keys_add(path, &o, added, label, slot);
}

int fs_keys_change(const char *path, const struct store_secret *secret,
                   const struct store_secret *now, uint32_t *slot)
{
    struct store_options o = options_of(secret);
    return store_keys_change(path, &o, now, slot);
}

int fs_keys_remove(const char *path, const struct store_secret *secret, uint32_t slot)
{
    struct store_options o = options_of(secret);
    return store_keys_remove(path, &o, slot);
}

int fs_keys_rotate(const char *path, const struct store_secret *secret, store_keys_other_fn *other,
                   void *ctx, uint32_t *slot)
{
    struct store_options o = options_of(secret);
    return store_keys_rotate(path, &o, other, ctx, slot);
}
