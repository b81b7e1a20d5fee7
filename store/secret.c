/* secret: see secret.h.
 *
 * Locking works on whole pages and does not nest, so each secret has pages of its own: freeing one
 * cannot unlock another.
 *
 * Invariant: what secret_alloc() handed out is zero again when its pages go back to the heap. */
#include "store/secret.h"

#include "store/bytes.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/mman.h>

/* As large as pages are on any machine that we run on: too large does no harm. */
enum { PAGE_BYTES = 16384 };

static size_t whole_pages(size_t bytes)
{
    assert(bytes > 0 && bytes < SIZE_MAX - PAGE_BYTES);
    return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

void *secret_alloc(size_t bytes)
{
    size_t size = whole_pages(bytes);
    void *secret = mem_aligned(PAGE_BYTES, size);
    (void)mlock(secret, size);
    (void)madvise(secret, size, MADV_DONTDUMP);
    return secret;
}

void secret_free(void *secret, size_t bytes)
{
    if (!secret)
        return;
    size_t size = whole_pages(bytes);
    assert((uintptr_t)secret % PAGE_BYTES == 0);
    secret_wipe(secret, size);
    (void)madvise(secret, size, MADV_DODUMP);
    (void)munlock(secret, size);
    free(secret);
}

void secret_wipe(void *data, size_t bytes)
{
    if (bytes)
        OPENSSL_cleanse(data, bytes);
}

bool secret_equal(const void *a, const void *b, size_t bytes)
{
    return CRYPTO_memcmp(a, b, bytes) == 0;
}
