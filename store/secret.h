/* secret: memory for keys and passphrases. It is kept out of swap and core dumps where the system
 * allows it (mlock, MADV_DONTDUMP; a limit on locked memory that is used up is no error), and is
 * wiped before it is given back. */
#ifndef VARVE_STORE_SECRET_H
#define VARVE_STORE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed, whole pages of its own: for a few things that live long. Never NULL (as mem_alloc()). */
void *secret_alloc(size_t bytes);
/* Wipes and frees; `bytes` as it was asked for. NULL is fine. */
void secret_free(void *secret, size_t bytes);
/* Overwrites memory of any kind, which the compiler may not leave out. */
void secret_wipe(void *data, size_t bytes);
/* Compares in a time that depends on `bytes` alone. */
bool secret_equal(const void *a, const void *b, size_t bytes);

#endif
