/* secrets: passphrases for tests, and a cost at which they can be tried by the thousand. */
#ifndef VARVE_TESTS_SIM_SECRETS_H
#define VARVE_TESTS_SIM_SECRETS_H

#include "store/store.h"

enum { SECRET_LOG_N = 10 };

/* A passphrase, and how often it was asked for. */
struct secret_text {
    const char *text;
    int asked;
};

static inline int secret_get(void *ctx, uint8_t out[STORE_SECRET_MAX], size_t *len)
{
    struct secret_text *s = ctx;
    s->asked++;
    *len = strlen(s->text);
    memcpy(out, s->text, *len);
    return 0;
}

static inline struct store_secret secret_of(struct secret_text *text)
{
    return (struct store_secret){.ctx = text, .get = secret_get};
}

/* The settings of an encrypted store. */
static inline void secret_options(struct store_options *o, const struct store_secret *secret)
{
    o->secret = secret;
    o->scrypt_log_n = SECRET_LOG_N;
}

#endif
