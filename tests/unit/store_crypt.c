/* Tests of store/crypt.h and store/secret.h: the ciphers do what their standards say, and nothing
 * that was changed is taken. */
#include "store/crypt.h"

#include "store/crypt_short.h"
#include "store/secret.h"
#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>

/* Bytes from hexadecimal digits. */
static struct slice hex(struct buf *out, const char *digits)
{
    buf_clear(out);
    for (; *digits; digits += 2) {
        unsigned byte;
        assert_int_equal(sscanf(digits, "%2x", &byte), 1);
        buf_put_u8(out, (uint8_t)byte);
    }
    return buf_slice(out);
}

/* ---- HMAC and HKDF ---- */

static void hmac_is_as_in_rfc_4231(void **state)
{
    (void)state;
    uint8_t mac[CRYPT_MAC_SIZE];
    struct buf expected = {0};
    crypt_hmac(slice_str("Jefe"), slice_str("what do ya want for nothing?"), mac);
    hex(&expected, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_slice(buf_slice(&expected), mac, sizeof mac);
    buf_release(&expected);
}

static void hkdf_gives(const char *secret, const char *salt, const char *info, const char *expected)
{
    struct buf s = {0}, t = {0}, i = {0}, e = {0};
    uint8_t out[128];
    hex(&e, expected);
    crypt_hkdf(hex(&s, secret), hex(&t, salt), hex(&i, info), out, e.len);
    assert_slice(buf_slice(&e), out, e.len);
    buf_release(&s);
    buf_release(&t);
    buf_release(&i);
    buf_release(&e);
}

static void hkdf_is_as_in_rfc_5869(void **state)
{
    (void)state;
    hkdf_gives(
        "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    hkdf_gives("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021222324252627"
               "28292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
               "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f8081828384858687"
               "88898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
               "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7"
               "d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
               "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac78272"
               "71cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f"
               "1d87");
    hkdf_gives("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
               "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a"
               "96c8");
}

/* ---- scrypt ---- */

static void scrypt_gives(const char *passphrase, const char *salt, struct crypt_cost cost,
                         const char *expected)
{
    struct buf e = {0};
    uint8_t out[64];
    hex(&e, expected);
    assert_ok(crypt_scrypt(slice_str(passphrase), slice_str(salt), &cost, out, sizeof out));
    assert_slice(buf_slice(&e), out, sizeof out);
    buf_release(&e);
}

static void scrypt_is_as_in_rfc_7914(void **state)
{
    (void)state;
    scrypt_gives("", "", (struct crypt_cost){4, 1, 1},
                 "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
                 "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906");
    scrypt_gives("password", "NaCl", (struct crypt_cost){10, 8, 16},
                 "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
                 "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
    scrypt_gives("pleaseletmein", "SodiumChloride", (struct crypt_cost){14, 8, 1},
                 "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
                 "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
}

/* libcrypto's own limit is 32 MiB. */
static void the_default_cost_is_possible(void **state)
{
    (void)state;
    uint8_t a[32], b[32] = {0};
    struct crypt_cost cost = {17, 8, 1};
    assert_ok(crypt_scrypt(slice_str("x"), slice_str("y"), &cost, a, sizeof a));
    assert_memory_not_equal(a, b, sizeof a);
}

/* ---- AES-256-GCM ---- */

struct vector {
    const char *key, *nonce, *extra, *plain, *cipher, *tag;
};

/* Test cases 13, 14 and 16 of McGrew and Viega, "The Galois/Counter Mode of Operation". */
static const struct vector vectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "", "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18",
     "d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void check_vector(const struct vector *v)
{
    struct buf key = {0}, nonce = {0}, extra = {0}, plain = {0}, cipher = {0}, tag = {0};
    uint8_t out[128], made[CRYPT_TAG_SIZE];
    hex(&key, v->key);
    hex(&nonce, v->nonce);
    hex(&extra, v->extra);
    hex(&plain, v->plain);
    hex(&cipher, v->cipher);
    hex(&tag, v->tag);
    struct crypt_key *k = crypt_key_new(key.data);
    for (int again = 0; again < 3; again++) {
        crypt_seal(k, nonce.data, buf_slice(&extra), plain.data, plain.len, out, made);
        assert_slice(slice_of(out, plain.len), cipher.data, cipher.len);
        assert_memory_equal(made, tag.data, tag.len);
        assert_ok(crypt_open(k, nonce.data, buf_slice(&extra), cipher.data, cipher.len, out, made));
        assert_slice(slice_of(out, plain.len), plain.data, plain.len);
    }
    crypt_key_free(k);
    buf_release(&key);
    buf_release(&nonce);
    buf_release(&extra);
    buf_release(&plain);
    buf_release(&cipher);
    buf_release(&tag);
}

static void gcm_is_as_published(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        check_vector(&vectors[i]);
}

enum { SAMPLE_MAX = CRYPT_SHORT_MAX + 200, SAMPLE_EXTRA_MAX = 100 };

/* A message. */
struct sample {
    uint8_t key[CRYPT_KEY_SIZE], nonce[CRYPT_NONCE_SIZE], extra[SAMPLE_EXTRA_MAX];
    uint8_t plain[SAMPLE_MAX];
    size_t len, extra_len;
};

static void sample_make(struct sample *s, struct simrng *rng, size_t len, size_t extra_len)
{
    uint8_t *bytes = (uint8_t *)s;
    for (size_t i = 0; i < sizeof *s; i++)
        bytes[i] = (uint8_t)simrng_next(rng);
    s->len = len;
    s->extra_len = extra_len;
}

/* What libcrypto's own AES-256-GCM makes of it. */
static void seal_by_libcrypto(const struct sample *s, uint8_t *out, uint8_t tag[CRYPT_TAG_SIZE])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int done, len = (int)s->len;
    assert_true(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, s->key, s->nonce));
    if (s->extra_len)
        assert_true(EVP_EncryptUpdate(ctx, NULL, &done, s->extra, (int)s->extra_len));
    assert_true(EVP_EncryptUpdate(ctx, out, &done, s->plain, len));
    assert_int_equal(done, len);
    assert_true(EVP_EncryptFinal_ex(ctx, out + len, &done));
    assert_true(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, CRYPT_TAG_SIZE, tag));
    EVP_CIPHER_CTX_free(ctx);
}

/* Sealed twice with one key, apart and in place, and opened; nothing is written behind the end. */
static void sample_check(const struct sample *s)
{
    uint8_t expected[SAMPLE_MAX + CRYPT_TAG_SIZE], expected_tag[CRYPT_TAG_SIZE];
    uint8_t made[SAMPLE_MAX + 1], tag[CRYPT_TAG_SIZE];
    struct slice extra = slice_of(s->extra, s->extra_len);
    struct crypt_key *k = crypt_key_new(s->key);
    seal_by_libcrypto(s, expected, expected_tag);
    memcpy(made, s->plain, s->len);
    made[s->len] = 0xee;
    for (int again = 0; again < 2; again++) {
        crypt_seal(k, s->nonce, extra, again ? made : s->plain, s->len, made, tag);
        assert_slice(slice_of(made, s->len), expected, s->len);
        assert_memory_equal(tag, expected_tag, CRYPT_TAG_SIZE);
        assert_ok(crypt_open(k, s->nonce, extra, again ? made : expected, s->len, made, tag));
        assert_slice(slice_of(made, s->len), s->plain, s->len);
        assert_int_equal(made[s->len], 0xee);
    }
    crypt_key_free(k);
}

/* Short ones are put together in another way than long ones. */
static void messages_of_all_lengths_are_as_libcrypto_makes_them(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct sample *s = mem_zalloc(sizeof *s);
    for (size_t len = 0; len <= SAMPLE_MAX; len++) {
        sample_make(s, &rng, len, simrng_below(&rng, SAMPLE_EXTRA_MAX + 1));
        sample_check(s);
    }
    for (size_t extra_len = 0; extra_len <= SAMPLE_EXTRA_MAX; extra_len++) {
        sample_make(s, &rng, simrng_below(&rng, CRYPT_SHORT_MAX), extra_len);
        sample_check(s);
    }
    free(s);
}

/* Of one key, without a trace of the message before. */
static void short_and_long_messages_take_turns(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    struct sample *s = mem_zalloc(sizeof *s);
    uint8_t expected[SAMPLE_MAX + CRYPT_TAG_SIZE], made[SAMPLE_MAX];
    uint8_t expected_tag[CRYPT_TAG_SIZE], tag[CRYPT_TAG_SIZE];
    sample_make(s, &rng, 0, 10);
    struct crypt_key *k = crypt_key_new(s->key);
    for (int i = 0; i < 300; i++) {
        s->len = simrng_below(&rng, SAMPLE_MAX + 1);
        put_u64(s->nonce, simrng_next(&rng));
        seal_by_libcrypto(s, expected, expected_tag);
        crypt_seal(k, s->nonce, slice_of(s->extra, s->extra_len), s->plain, s->len, made, tag);
        assert_slice(slice_of(made, s->len), expected, s->len);
        assert_memory_equal(tag, expected_tag, CRYPT_TAG_SIZE);
    }
    crypt_key_free(k);
    free(s);
}

static void every_changed_bit_is_refused_at(size_t len)
{
    enum { LEN_MAX = CRYPT_SHORT_MAX + 1, EXTRA = 20 };
    uint8_t key[CRYPT_KEY_SIZE] = "a key",
            message[CRYPT_NONCE_SIZE + EXTRA + LEN_MAX + CRYPT_TAG_SIZE];
    uint8_t plain[LEN_MAX], out[LEN_MAX], zeros[LEN_MAX] = {0};
    uint8_t *nonce = message, *extra = nonce + CRYPT_NONCE_SIZE, *cipher = extra + EXTRA,
            *tag = cipher + len;
    struct crypt_key *k = crypt_key_new(key);
    memset(message, 7, sizeof message);
    memset(plain, 'p', sizeof plain);
    crypt_seal(k, nonce, slice_of(extra, EXTRA), plain, len, cipher, tag);
    for (size_t bit = 0; bit < (CRYPT_NONCE_SIZE + EXTRA + len + CRYPT_TAG_SIZE) * 8; bit++) {
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_errno(crypt_open(k, nonce, slice_of(extra, EXTRA), cipher, len, out, tag), EBADMSG);
        assert_memory_equal(out, zeros, len);
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_ok(crypt_open(k, nonce, slice_of(extra, EXTRA), cipher, len, out, tag));
    assert_errno(crypt_open(k, nonce, slice_of(extra, EXTRA), cipher, len - 1, out, tag), EBADMSG);
    assert_errno(crypt_open(k, nonce, slice_of(extra, EXTRA - 1), cipher, len, out, tag), EBADMSG);
    crypt_key_free(k);
}

static void every_changed_bit_is_refused(void **state)
{
    (void)state;
    every_changed_bit_is_refused_at(70);
    every_changed_bit_is_refused_at(CRYPT_SHORT_MAX);
    every_changed_bit_is_refused_at(CRYPT_SHORT_MAX + 1);
}

static void values_may_be_encrypted_in_place(void **state)
{
    (void)state;
    uint8_t key[CRYPT_KEY_SIZE] = "a key", nonce[CRYPT_NONCE_SIZE] = {0}, tag[CRYPT_TAG_SIZE];
    size_t len = 3 << 20;
    uint8_t *value = mem_alloc(len), *apart = mem_alloc(len);
    struct crypt_key *k = crypt_key_new(key);
    memset(value, 'v', len);
    crypt_seal(k, nonce, slice_of(NULL, 0), value, len, apart, tag);
    crypt_seal(k, nonce, slice_of(NULL, 0), value, len, value, tag);
    assert_memory_equal(value, apart, len);
    assert_ok(crypt_open(k, nonce, slice_of(NULL, 0), value, len, value, tag));
    memset(apart, 'v', len);
    assert_memory_equal(value, apart, len);
    crypt_key_free(k);
    free(value);
    free(apart);
}

/* ---- threads ---- */

struct shared {
    struct crypt_key *key;
    uint64_t seed;
};

static void *seal_and_open(void *arg)
{
    struct shared *s = arg;
    struct simrng rng = {s->seed};
    uint8_t nonce[CRYPT_NONCE_SIZE] = {0}, tag[CRYPT_TAG_SIZE], plain[500], cipher[500], back[500];
    for (uint64_t i = 0; i < 2000; i++) {
        size_t len = simrng_below(&rng, sizeof plain);
        for (size_t j = 0; j < len; j++)
            plain[j] = (uint8_t)simrng_next(&rng);
        put_u64(nonce, s->seed + i);
        crypt_seal(s->key, nonce, slice_of(nonce, 5), plain, len, cipher, tag);
        if (crypt_open(s->key, nonce, slice_of(nonce, 5), cipher, len, back, tag) != 0 ||
            memcmp(plain, back, len) != 0)
            return s;
    }
    return NULL;
}

/* More threads than a key keeps contexts for. */
static void threads_share_a_key(void **state)
{
    (void)state;
    enum { THREADS = 9 };
    uint8_t bytes[CRYPT_KEY_SIZE] = "shared";
    struct crypt_key *key = crypt_key_new(bytes);
    struct shared shared[THREADS];
    pthread_t threads[THREADS];
    uint64_t seed = unit_seed();
    for (uint64_t i = 0; i < THREADS; i++) {
        shared[i] = (struct shared){key, seed + (i << 32)};
        assert_int_equal(pthread_create(&threads[i], NULL, seal_and_open, &shared[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    crypt_key_free(key);
}

/* ---- memory for secrets ---- */

static void secrets_are_zeroed_memory_of_their_own(void **state)
{
    (void)state;
    uint8_t zeros[100] = {0};
    for (int round = 0; round < 50; round++) {
        uint8_t *a = secret_alloc(sizeof zeros), *b = secret_alloc(40000);
        assert_memory_equal(a, zeros, sizeof zeros);
        assert_true(a + sizeof zeros <= b || b + 40000 <= a);
        memset(a, 's', sizeof zeros);
        memset(b, 's', 40000);
        secret_free(a, sizeof zeros);
        secret_free(b, 40000);
    }
    secret_free(NULL, 1);
    assert_true(secret_equal("abc", "abc", 3));
    assert_false(secret_equal("abc", "abd", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac_is_as_in_rfc_4231),
        cmocka_unit_test(hkdf_is_as_in_rfc_5869),
        cmocka_unit_test(scrypt_is_as_in_rfc_7914),
        cmocka_unit_test(the_default_cost_is_possible),
        cmocka_unit_test(gcm_is_as_published),
        cmocka_unit_test(messages_of_all_lengths_are_as_libcrypto_makes_them),
        cmocka_unit_test(short_and_long_messages_take_turns),
        cmocka_unit_test(every_changed_bit_is_refused),
        cmocka_unit_test(values_may_be_encrypted_in_place),
        cmocka_unit_test(threads_share_a_key),
        cmocka_unit_test(secrets_are_zeroed_memory_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
