/* keyring: see keyring.h.
 *
 * Invariants (keyring_assert_valid):
 * 1. Generations ascend by epoch, and none is 0; the last is the current one.
 * 2. Key bytes are nowhere but in the ring's own pages, on the stack for as long as a file's key is
 *    being made, and in that key. */
#include "store/keyring.h"

#include "store/secret.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>

struct keyring {
    pthread_mutex_t lock;
    uint8_t uuid[UUID_SIZE]; /* constant */
    uint32_t count;          /* [lock] and so is all below */
    struct key_generation generations[KEY_GENERATIONS_MAX];
};

static const char file_label[] = "varvefs file";

static void keyring_assert_valid(const struct keyring *k)
{
    assert(k->count <= KEY_GENERATIONS_MAX);
    for (uint32_t i = 0; i < k->count; i++)
        assert(k->generations[i].epoch > (i ? k->generations[i - 1].epoch : 0));
}

struct keyring *keyring_new(const uint8_t uuid[UUID_SIZE])
{
    struct keyring *k = secret_alloc(sizeof *k);
    pthread_mutex_init(&k->lock, NULL);
    memcpy(k->uuid, uuid, UUID_SIZE);
    return k;
}

void keyring_free(struct keyring *k)
{
    if (!k)
        return;
    pthread_mutex_destroy(&k->lock);
    secret_free(k, sizeof *k);
}

void keyring_add(struct keyring *k, const struct key_generation *g)
{
    pthread_mutex_lock(&k->lock);
    assert(k->count < KEY_GENERATIONS_MAX);
    k->generations[k->count++] = *g;
    keyring_assert_valid(k);
    pthread_mutex_unlock(&k->lock);
}

void keyring_drop_before(struct keyring *k, uint32_t epoch)
{
    uint32_t gone = 0;
    pthread_mutex_lock(&k->lock);
    while (gone < k->count && k->generations[gone].epoch < epoch)
        gone++;
    assert(gone < k->count && k->generations[gone].epoch == epoch);
    k->count -= gone;
    memmove(k->generations, k->generations + gone, k->count * sizeof k->generations[0]);
    secret_wipe(k->generations + k->count, gone * sizeof k->generations[0]);
    keyring_assert_valid(k);
    pthread_mutex_unlock(&k->lock);
}

uint32_t keyring_current(struct keyring *k)
{
    pthread_mutex_lock(&k->lock);
    uint32_t epoch = k->count ? k->generations[k->count - 1].epoch : 0;
    pthread_mutex_unlock(&k->lock);
    return epoch;
}

uint32_t keyring_count(struct keyring *k)
{
    pthread_mutex_lock(&k->lock);
    uint32_t count = k->count;
    pthread_mutex_unlock(&k->lock);
    return count;
}

uint32_t keyring_copy(struct keyring *k, struct key_generation out[KEY_GENERATIONS_MAX])
{
    pthread_mutex_lock(&k->lock);
    uint32_t count = k->count;
    memcpy(out, k->generations, count * sizeof out[0]);
    pthread_mutex_unlock(&k->lock);
    return count;
}

const uint8_t *keyring_uuid(const struct keyring *k)
{
    return k->uuid;
}

static bool find_master(struct keyring *k, uint32_t epoch, uint8_t out[CRYPT_KEY_SIZE])
{
    bool found = false;
    pthread_mutex_lock(&k->lock);
    for (uint32_t i = k->count; i-- > 0 && !found;) {
        found = k->generations[i].epoch == epoch;
        if (found)
            memcpy(out, k->generations[i].key, CRYPT_KEY_SIZE);
    }
    pthread_mutex_unlock(&k->lock);
    return found;
}

int keyring_file_key(struct keyring *k, const struct file_header *header, struct crypt_key **out)
{
    uint8_t master[CRYPT_KEY_SIZE], key[CRYPT_KEY_SIZE];
    uint8_t info[sizeof file_label - 1 + 1 + UUID_SIZE + 8], *p = info;
    *out = NULL;
    if (!find_master(k, header->key_epoch, master))
        return -ENOKEY;
    memcpy(p, file_label, sizeof file_label - 1);
    p += sizeof file_label - 1;
    *p++ = (uint8_t)header->kind;
    memcpy(p, header->uuid, UUID_SIZE);
    put_u64(p + UUID_SIZE, header->number);
    crypt_hkdf(slice_of(master, sizeof master), slice_of(header->salt, SALT_SIZE),
               slice_of(info, sizeof info), key, sizeof key);
    *out = crypt_key_new(key);
    secret_wipe(master, sizeof master);
    secret_wipe(key, sizeof key);
    return 0;
}
