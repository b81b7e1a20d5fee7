/* Tests of the cipher half of store/codec.h, and of encrypted files as journals, blob files and
 * tables use them: what was written with the key comes back with it; what was moved, swapped,
 * repeated, cut off, or made without the key does not; and no nonce is used twice. */
#include "store/keyring.h"

#include "store/append.h"
#include "store/blob.h"
#include "store/journal.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/simrng.h"
#include "tests/unit/logged.h"

#include <errno.h>
#include <stdio.h>
#include <xxhash.h>

static const uint8_t uuid[UUID_SIZE] = "this volume's id";
#define DIR  "vol"
#define BLOB "vol/000005.blob"

struct fixture {
    struct simdisk *disk;
    struct env env; /* with keys */
    struct keyring *keys;
};

static void add_generation(struct keyring *keys, uint32_t epoch)
{
    struct key_generation g = {.epoch = epoch};
    memset(g.key, (int)epoch, sizeof g.key);
    keyring_add(keys, &g);
}

static int setup(void **state)
{
    struct fixture *x = mem_zalloc(sizeof *x);
    x->disk = simdisk_new(1);
    x->env = *simdisk_env(x->disk);
    x->keys = keyring_new(uuid);
    add_generation(x->keys, 3);
    x->env.keys = x->keys;
    *state = x;
    logged_reset();
    return x->env.mkdir(&x->env, DIR);
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    bool leaked = simdisk_open_files(x->disk) > 0;
    simdisk_free(x->disk);
    keyring_free(x->keys);
    free(x);
    return leaked;
}

/* A file's identity with its key, as file.c makes it. */
struct sealed {
    struct codec_file cf;
    struct crypt_key *key;
};

static struct sealed sealed_new(struct keyring *keys, uint64_t number, uint8_t salt, uint32_t epoch)
{
    struct file_header h = {.kind = FILE_BLOB,
                            .version = FORMAT_VERSION,
                            .number = number,
                            .cipher = CIPHER_AES256_GCM,
                            .key_epoch = epoch};
    struct sealed s;
    memset(h.salt, salt, sizeof h.salt);
    memcpy(h.uuid, uuid, UUID_SIZE);
    codec_file_init(&s.cf, &h);
    assert_ok(keyring_file_key(keys, &h, &s.key));
    s.cf.key = s.key;
    return s;
}

static void fill(struct simrng *rng, uint8_t *out, size_t len)
{
    bool text = simrng_coin(rng);
    for (size_t i = 0; i < len; i++)
        out[i] = text ? (uint8_t)("varve lake "[i % 11]) : (uint8_t)simrng_next(rng);
}

static void make_frame(const struct codec_file *cf, uint64_t offset, uint32_t draft,
                       struct slice value, int level, struct buf *out)
{
    size_t at = out->len;
    frame_pack(value, level, out);
    frame_encrypt(cf, offset, draft, out, at);
    frame_seal(cf, offset, out->data + at, out->len - at);
}

/* frame_unpack_last() in memory of exactly that much; of `frame` nothing is used up. */
static int unpack_last(const struct codec_file *cf, uint64_t offset, const struct frame_header *h,
                       struct slice frame, struct buf *out)
{
    uint8_t *used = mem_dup(frame_stored(frame).data, h->stored_len);
    buf_clear(out);
    int err = frame_unpack_last(cf, offset, h, used, buf_reserve(out, h->raw_len));
    out->len = err ? 0 : h->raw_len;
    free(used);
    return err;
}

/* What a forger can do who has no key: the checksum is right again. */
static int open_resealed(const struct codec_file *cf, uint64_t offset, struct buf *frame)
{
    struct buf out = {0};
    struct frame_header h;
    frame_seal(cf, offset, frame->data, frame->len);
    if (frame_verify(cf, offset, buf_slice(frame), &h) != FRAME_OK)
        return -EIO;
    int err = frame_unpack(cf, offset, &h, frame_stored(buf_slice(frame)), &out);
    assert_int_equal(out.len, err ? 0 : h.raw_len);
    assert_int_equal(unpack_last(cf, offset, &h, buf_slice(frame), &out), err);
    buf_release(&out);
    return err;
}

/* ---- frames ---- */

static void values_come_back(void **state)
{
    struct fixture *x = *state;
    struct simrng rng = {unit_seed()};
    struct sealed s = sealed_new(x->keys, 5, 1, 3);
    for (int round = 0; round < 300; round++) {
        size_t len = simrng_below(&rng, round % 10 ? 2000 : 300000);
        uint8_t *value = mem_alloc(len);
        struct buf frame = {0}, packed = {0}, back = {0};
        struct frame_header h;
        uint64_t offset = 96 + simrng_below(&rng, 1 << 30);
        int level = (int)simrng_below(&rng, 3);
        fill(&rng, value, len);
        make_frame(&s.cf, offset, (uint32_t)simrng_below(&rng, 5), slice_of(value, len), level,
                   &frame);
        assert_ok(frame_open(&s.cf, "f", offset, buf_slice(&frame), &back));
        assert_slice(buf_slice(&back), value, len);
        assert_int_equal(frame_verify(&s.cf, offset, buf_slice(&frame), &h), FRAME_OK);
        assert_ok(unpack_last(&s.cf, offset, &h, buf_slice(&frame), &back));
        assert_slice(buf_slice(&back), value, len);
        /* A relocation gets what was packed. */
        frame_pack(slice_of(value, len), level, &packed);
        assert_ok(frame_decrypt(&s.cf, offset, &frame));
        assert_slice(buf_slice(&frame), packed.data, packed.len);
        buf_release(&frame);
        buf_release(&packed);
        buf_release(&back);
        free(value);
    }
    crypt_key_free(s.key);
}

static void the_value_is_not_to_be_seen(void **state)
{
    struct fixture *x = *state;
    struct sealed s = sealed_new(x->keys, 5, 1, 3);
    struct buf frame = {0};
    const char marker[] = "a marker that nobody may see";
    make_frame(&s.cf, 96, 0, slice_str(marker), 0, &frame);
    assert_null(memmem(frame.data, frame.len, marker, 8));
    buf_release(&frame);
    crypt_key_free(s.key);
}

/* Also when whoever flipped it mends the checksum: but for the checksum itself. */
static void every_bit_of_a_frame_matters(void **state)
{
    struct fixture *x = *state;
    struct sealed s = sealed_new(x->keys, 5, 1, 3);
    struct buf frame = {0};
    make_frame(&s.cf, 960, 2, slice_str("some value, and a bit more of it"), 0, &frame);
    assert_ok(open_resealed(&s.cf, 960, &frame));
    for (size_t bit = 0; bit < frame.len * 8; bit++) {
        bool sum = bit / 8 >= 16 && bit / 8 < FRAME_HEADER_SIZE;
        if (bit / 8 < 4 || sum)
            continue; /* the length: below */
        frame.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_errno(open_resealed(&s.cf, 960, &frame), EIO);
        frame.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (uint32_t len = 0; len < frame.len - FRAME_HEADER_SIZE; len++) {
        struct buf cut = {0};
        buf_append_bytes(&cut, frame.data, FRAME_HEADER_SIZE + len);
        put_u32(cut.data, len);
        assert_errno(open_resealed(&s.cf, 960, &cut), EIO);
        buf_release(&cut);
    }
    buf_release(&frame);
    crypt_key_free(s.key);
}

static void a_frame_belongs_to_one_place(void **state)
{
    struct fixture *x = *state;
    struct sealed s = sealed_new(x->keys, 5, 1, 3), other = sealed_new(x->keys, 6, 1, 3),
                  salted = sealed_new(x->keys, 5, 2, 3);
    struct buf frame = {0};
    make_frame(&s.cf, 960, 0, slice_str("value"), 0, &frame);
    assert_ok(open_resealed(&s.cf, 960, &frame));
    assert_errno(open_resealed(&s.cf, 961, &frame), EIO);
    assert_errno(open_resealed(&s.cf, 96, &frame), EIO);
    assert_errno(open_resealed(&other.cf, 960, &frame), EIO);
    assert_errno(open_resealed(&salted.cf, 960, &frame), EIO);
    assert_ok(open_resealed(&s.cf, 960, &frame));
    buf_release(&frame);
    crypt_key_free(s.key);
    crypt_key_free(other.key);
    crypt_key_free(salted.key);
}

static void a_file_belongs_to_one_generation(void **state)
{
    struct fixture *x = *state;
    add_generation(x->keys, 4);
    struct sealed s = sealed_new(x->keys, 5, 1, 3), newer = sealed_new(x->keys, 5, 1, 4);
    struct buf frame = {0};
    make_frame(&s.cf, 960, 0, slice_str("value"), 0, &frame);
    assert_errno(open_resealed(&newer.cf, 960, &frame), EIO);
    put_u16(frame.data + 10, 4); /* the frame's own word for it */
    assert_errno(open_resealed(&newer.cf, 960, &frame), EIO);
    buf_release(&frame);
    crypt_key_free(s.key);
    crypt_key_free(newer.key);
}

/* A plain frame with a sound checksum is what somebody without a key would put there. */
static void plain_frames_are_refused_in_an_encrypted_file(void **state)
{
    struct fixture *x = *state;
    struct sealed s = sealed_new(x->keys, 5, 1, 3);
    struct buf frame = {0};
    struct frame_header h;
    frame_pack(slice_str("value"), 0, &frame);
    assert_errno(open_resealed(&s.cf, 960, &frame), EIO);
    assert_int_equal(frame_verify(&s.cf, 960, buf_slice(&frame), &h), FRAME_OK);
    assert_false(frame_is_plain(&s.cf, &h));
    assert_errno(frame_decrypt(&s.cf, 960, &frame), EIO);
    buf_release(&frame);
    crypt_key_free(s.key);
}

static void encrypted_frames_are_refused_in_a_plain_file(void **state)
{
    struct fixture *x = *state;
    struct sealed s = sealed_new(x->keys, 5, 1, 3);
    struct file_header h = {.kind = FILE_BLOB, .version = FORMAT_VERSION, .number = 5};
    struct codec_file plain;
    struct buf frame = {0};
    codec_file_init(&plain, &h);
    make_frame(&s.cf, 960, 0, slice_str("value"), 0, &frame);
    assert_errno(open_resealed(&plain, 960, &frame), EIO);
    assert_errno(frame_decrypt(&plain, 960, &frame), EIO);
    buf_release(&frame);
    crypt_key_free(s.key);
}

/* ---- the footer ---- */

static void a_footer_proves_the_key(void **state)
{
    struct fixture *x = *state;
    struct sealed s = sealed_new(x->keys, 5, 1, 3);
    struct codec_file keyless = s.cf;
    struct table_footer f = {.index = {96, 100}, .props = {196, 50}}, back;
    uint8_t bytes[TABLE_FOOTER_SIZE];
    uint64_t tag;
    keyless.key = NULL;
    assert_true(footer_encode(&s.cf, 1000, &f, bytes) != 0);
    assert_ok(footer_decode(&s.cf, 1000, bytes, &back, &tag));
    assert_int_equal(back.props.offset, 196);
    assert_ok(footer_decode(&keyless, 1000, bytes, &back, &tag));
    assert_errno(footer_decode(&s.cf, 1001, bytes, &back, &tag), EIO);
    for (size_t bit = 0; bit < FOOTER_TAGGED_SIZE * 8 + 128; bit++) {
        uint8_t changed[TABLE_FOOTER_SIZE];
        memcpy(changed, bytes, sizeof changed);
        changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        put_u64(changed + 80, XXH3_64bits_withSeed(changed, 80, codec_seed(&s.cf, 1000)));
        assert_errno(footer_decode(&s.cf, 1000, changed, &back, &tag), EIO);
    }
    /* A longer or shorter file with the same footer. */
    put_u64(bytes + 80, XXH3_64bits_withSeed(bytes, 80, codec_seed(&s.cf, 2000)));
    assert_errno(footer_decode(&s.cf, 2000, bytes, &back, &tag), EIO);
    crypt_key_free(s.key);
}

static void a_plain_footer_has_no_tag(void **state)
{
    struct fixture *x = *state;
    struct sealed s = sealed_new(x->keys, 5, 1, 3);
    struct file_header h = {.kind = FILE_TABLE, .version = FORMAT_VERSION, .number = 5};
    struct table_footer f = {.index = {96, 100}}, back;
    struct codec_file plain;
    uint8_t bytes[TABLE_FOOTER_SIZE];
    uint64_t tag;
    codec_file_init(&plain, &h);
    footer_encode(&plain, 1000, &f, bytes);
    assert_ok(footer_decode(&plain, 1000, bytes, &back, &tag));
    for (size_t at = 64; at < 80; at++) {
        bytes[at] = 1;
        put_u64(bytes + 80, XXH3_64bits_withSeed(bytes, 80, codec_seed(&plain, 1000)));
        assert_errno(footer_decode(&plain, 1000, bytes, &back, &tag), EIO);
        bytes[at] = 0;
    }
    crypt_key_free(s.key);
}

/* ---- files ---- */

static void files_are_encrypted_if_the_volume_is(void **state)
{
    struct fixture *x = *state;
    struct env *plain = simdisk_env(x->disk);
    struct file f;
    assert_ok(file_create(&x->env, DIR, FILE_BLOB, 5, uuid, &f));
    assert_int_equal(f.header.cipher, CIPHER_AES256_GCM);
    assert_int_equal(f.header.key_epoch, 3);
    file_close(&f);
    assert_ok(file_open(&x->env, DIR, FILE_BLOB, 5, uuid, &f));
    assert_non_null(f.codec.key);
    file_close(&f);
    assert_errno(file_open(plain, DIR, FILE_BLOB, 5, uuid, &f), ENOKEY);
    assert_logged("there is no key to read it");
    assert_ok(file_open_keyless(plain, DIR, FILE_BLOB, 5, &f));
    assert_null(f.codec.key);
    file_close(&f);
    assert_ok(file_create(plain, DIR, FILE_BLOB, 6, uuid, &f));
    file_close(&f);
    assert_errno(file_open(&x->env, DIR, FILE_BLOB, 6, uuid, &f), EIO);
    assert_logged("not encrypted, but the volume is");
}

static void a_missing_generation_is_damage(void **state)
{
    struct fixture *x = *state;
    struct file f;
    assert_ok(file_create(&x->env, DIR, FILE_BLOB, 5, uuid, &f));
    file_close(&f);
    add_generation(x->keys, 7);
    assert_ok(file_open(&x->env, DIR, FILE_BLOB, 5, uuid, &f));
    file_close(&f);
    keyring_drop_before(x->keys, 7);
    assert_errno(file_open(&x->env, DIR, FILE_BLOB, 5, uuid, &f), EIO);
    assert_logged("generation 3 of the key");
    assert_ok(file_create(&x->env, DIR, FILE_BLOB, 6, uuid, &f));
    assert_int_equal(f.header.key_epoch, 7);
    file_close(&f);
}

/* A volume that began as a checkpoint of another has its keys: they fit both, but a file is that of
 * one of them. */
static void keys_fit_a_relative_and_files_do_not(void **state)
{
    struct fixture *x = *state;
    static const uint8_t other[UUID_SIZE] = "another volume's";
    struct file f;
    assert_ok(file_create(&x->env, DIR, FILE_BLOB, 5, other, &f));
    file_close(&f);
    assert_ok(file_open(&x->env, DIR, FILE_BLOB, 5, other, &f));
    file_close(&f);
    assert_errno(file_open(&x->env, DIR, FILE_BLOB, 5, uuid, &f), EIO);
    assert_logged("belongs to another volume");
}

/* ---- journals and blob files ---- */

static void journals_come_back(void **state)
{
    struct fixture *x = *state;
    struct simrng rng = {unit_seed()};
    struct journal_writer *w;
    struct journal_reader *r;
    struct slice record;
    uint8_t value[3000];
    uint64_t seed = rng.state;
    assert_ok(journal_create(&x->env, DIR, FILE_LOG, 3, uuid, &w));
    for (int i = 0; i < 500; i++) {
        size_t len = simrng_below(&rng, sizeof value);
        fill(&rng, value, len);
        journal_add(w, slice_of(value, len));
        if (i % 7 == 0)
            assert_ok(journal_write(w));
    }
    assert_ok(journal_write(w));
    journal_writer_free(w);
    assert_ok(journal_open(&x->env, DIR, FILE_LOG, 3, uuid, &r));
    rng.state = seed;
    for (int i = 0; i < 500; i++) {
        size_t len = simrng_below(&rng, sizeof value);
        fill(&rng, value, len);
        assert_ok(journal_next(r, &record));
        assert_slice(record, value, len);
    }
    assert_absent(journal_next(r, &record));
    assert_int_equal(journal_end(r), JOURNAL_CLEAN);
    journal_reader_free(r);
}

static struct blob_ref put_blob(struct blob_writer *w, const char *value)
{
    struct buf packed = {0};
    struct blob_ref ref;
    frame_pack(slice_str(value), 1, &packed);
    blob_add(w, buf_slice(&packed), (uint32_t)strlen(value), &ref);
    buf_release(&packed);
    return ref;
}

static void assert_blob(struct env *env, const struct blob_ref *ref, const char *expected)
{
    struct blob_reader *r;
    uint8_t *value;
    assert_ok(blob_open(env, DIR, ref->file, uuid, &r));
    assert_ok(blob_probe(r, ref));
    assert_ok(blob_read(r, ref, &value));
    assert_slice_str(slice_of(value, ref->raw_len), expected);
    free(value);
    blob_reader_free(r);
}

/* A frame is carried from an old generation to a new one without being compressed again. */
static void blobs_move_to_another_key(void **state)
{
    struct fixture *x = *state;
    const char *text = "text text text text text text text text text text text text text text";
    struct blob_writer *w;
    struct blob_reader *r;
    struct buf frame = {0};
    struct blob_ref moved;
    assert_ok(blob_create(&x->env, DIR, 5, uuid, &w));
    put_blob(w, "first");
    struct blob_ref ref = put_blob(w, text);
    assert_ok(blob_write(w));
    blob_writer_free(w);
    assert_blob(&x->env, &ref, text);
    add_generation(x->keys, 4);
    assert_ok(blob_open(&x->env, DIR, 5, uuid, &r));
    assert_ok(blob_read_frame(r, &ref, &frame));
    blob_reader_free(r);
    assert_ok(blob_create(&x->env, DIR, 6, uuid, &w));
    blob_add(w, buf_slice(&frame), ref.raw_len, &moved);
    assert_int_equal(moved.where.len, ref.where.len);
    assert_ok(blob_write(w));
    blob_writer_free(w);
    keyring_drop_before(x->keys, 4);
    assert_blob(&x->env, &moved, text);
    buf_release(&frame);
}

/* Two values of one length change places, checksums mended. */
static void swapped_and_repeated_values_are_refused(void **state)
{
    struct fixture *x = *state;
    struct blob_writer *w;
    struct blob_reader *r;
    struct buf bytes = {0}, frame = {0};
    uint8_t *value;
    assert_ok(blob_create(&x->env, DIR, 5, uuid, &w));
    struct blob_ref a = put_blob(w, "value number one"), b = put_blob(w, "value number two");
    assert_ok(blob_write(w));
    blob_writer_free(w);
    assert_ok(blob_open(&x->env, DIR, 5, uuid, &r));
    assert_ok(simdisk_get(x->disk, BLOB, &bytes));
    struct file_header h;
    struct codec_file cf;
    assert_int_equal(file_header_decode(buf_slice(&bytes), &h), HEADER_OK);
    codec_file_init(&cf, &h);
    assert_int_equal(a.where.len, b.where.len);
    buf_append_bytes(&frame, bytes.data + a.where.offset, a.where.len);
    frame_seal(&cf, b.where.offset, frame.data, frame.len);
    memcpy(bytes.data + b.where.offset, frame.data, frame.len);
    assert_ok(simdisk_put(x->disk, BLOB, buf_slice(&bytes)));
    assert_ok(blob_probe(r, &b)); /* a scrub does not see it */
    logged_reset();
    assert_errno(blob_read(r, &b, &value), EIO);
    assert_logged("does not decode");
    assert_errno(blob_read_frame(r, &b, &frame), EIO);
    blob_reader_free(r);
    buf_release(&bytes);
    buf_release(&frame);
}

/* ---- nonces ---- */

struct seen {
    uint64_t offset;
    uint32_t draft;
};

/* How often the offset was there before; never with that draft. */
static size_t check_unseen(const struct seen *seen, size_t count, struct seen now)
{
    size_t again = 0;
    for (size_t i = 0; i < count; i++) {
        again += seen[i].offset == now.offset;
        assert_false(seen[i].offset == now.offset && seen[i].draft == now.draft);
    }
    return again;
}

/* Every frame that was ever sealed for one file, by way of writes that fail, are cut back, pending
 * frames that are dropped, and frames that take the place of others: no offset comes twice with one
 * draft, though offsets do. */
static void no_nonce_comes_twice(void **state)
{
    struct fixture *x = *state;
    enum { ROUNDS = 400, FRAMES_MAX = 6 };
    static struct seen seen[ROUNDS * (FRAMES_MAX + 1)];
    struct simrng rng = {unit_seed()};
    struct append a;
    size_t count = 0, again = 0;
    uint8_t value[40] = {0};
    assert_ok(append_create(&x->env, DIR, FILE_BLOB, 5, uuid, &a));
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t frames = 1 + simrng_below(&rng, FRAMES_MAX);
        for (uint64_t i = 0; i < frames; i++) {
            size_t at = a.pending.len;
            struct seen now = {append_offset(&a), 0};
            frame_pack(slice_of(value, simrng_below(&rng, sizeof value)), 0, &a.pending);
            append_seal(&a, at);
            now.draft = get_u32(a.pending.data + a.pending.len - 4);
            again += check_unseen(seen, count, now);
            seen[count++] = now;
        }
        struct sim_fault fault = {.call = SIM_WRITE, .err = -ENOSPC};
        uint64_t what = simrng_below(&rng, 5);
        int err = what % 2 == 0 ? -ENOSPC : 0;
        if (err)
            simdisk_fail(x->disk, &fault);
        if (what == 4) {
            simdisk_heal(x->disk);
            append_discard(&a);
        } else if (what < 2) {
            assert_int_equal(append_write(&a), err);
        } else {
            struct buf frame = {0};
            struct seen now = {a.size, 0};
            frame_pack(slice_of(value, 1), 0, &frame);
            assert_int_equal(append_write_instead(&a, &frame, 0), err);
            now.draft = get_u32(frame.data + frame.len - 4);
            check_unseen(seen, count, now);
            seen[count++] = now;
            buf_release(&frame);
        }
    }
    assert_true(again > 100);
    append_close(&a);
}

static void a_file_whose_drafts_are_used_up_is_spent(void **state)
{
    struct fixture *x = *state;
    struct append a;
    assert_ok(append_create(&x->env, DIR, FILE_BLOB, 5, uuid, &a));
    a.draft = FRAME_DRAFT_MAX;
    size_t at = a.pending.len;
    frame_pack(slice_str("v"), 0, &a.pending);
    append_seal(&a, at);
    append_discard(&a);
    assert_true(a.spent);
    assert_errno(append_write(&a), EIO);
    append_close(&a);
}

/* Two files, and two that are the same but for their salt, have different keys. */
static void the_same_value_never_looks_the_same(void **state)
{
    struct fixture *x = *state;
    struct buf a = {0}, b = {0}, c = {0};
    struct sealed s = sealed_new(x->keys, 5, 1, 3), t = sealed_new(x->keys, 6, 1, 3),
                  u = sealed_new(x->keys, 5, 2, 3);
    make_frame(&s.cf, 96, 0, slice_str("value"), 0, &a);
    make_frame(&t.cf, 96, 0, slice_str("value"), 0, &b);
    make_frame(&u.cf, 96, 0, slice_str("value"), 0, &c);
    assert_memory_not_equal(a.data + FRAME_HEADER_SIZE, b.data + FRAME_HEADER_SIZE, 5);
    assert_memory_not_equal(a.data + FRAME_HEADER_SIZE, c.data + FRAME_HEADER_SIZE, 5);
    buf_clear(&b);
    make_frame(&s.cf, 96, 1, slice_str("value"), 0, &b);
    assert_memory_not_equal(a.data + FRAME_HEADER_SIZE, b.data + FRAME_HEADER_SIZE, 5);
    buf_clear(&b);
    make_frame(&s.cf, 97, 0, slice_str("value"), 0, &b);
    assert_memory_not_equal(a.data + FRAME_HEADER_SIZE, b.data + FRAME_HEADER_SIZE, 5);
    buf_release(&a);
    buf_release(&b);
    buf_release(&c);
    crypt_key_free(s.key);
    crypt_key_free(t.key);
    crypt_key_free(u.key);
}

/* ---- any bytes ---- */

static void decoding_is_total(void **state)
{
    struct fixture *x = *state;
    struct simrng rng = {unit_seed()};
    struct sealed s = sealed_new(x->keys, 5, 1, 3);
    for (int round = 0; round < 20000; round++) {
        struct buf frame = {0};
        size_t len = FRAME_HEADER_SIZE + simrng_below(&rng, 60);
        for (size_t i = 0; i < len; i++)
            buf_put_u8(&frame, (uint8_t)simrng_next(&rng));
        put_u32(frame.data, (uint32_t)(len - FRAME_HEADER_SIZE));
        put_u32(frame.data + 4, (uint32_t)simrng_below(&rng, 100));
        frame.data[8] &= 1;
        frame.data[9] = CIPHER_AES256_GCM;
        put_u16(frame.data + 10, 3);
        put_u32(frame.data + 12, 0);
        assert_errno(open_resealed(&s.cf, 960, &frame), EIO);
        assert_errno(frame_decrypt(&s.cf, 960, &frame), EIO);
        buf_release(&frame);
    }
    crypt_key_free(s.key);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(values_come_back),
        test(the_value_is_not_to_be_seen),
        test(every_bit_of_a_frame_matters),
        test(a_frame_belongs_to_one_place),
        test(a_file_belongs_to_one_generation),
        test(plain_frames_are_refused_in_an_encrypted_file),
        test(encrypted_frames_are_refused_in_a_plain_file),
        test(a_footer_proves_the_key),
        test(a_plain_footer_has_no_tag),
        test(files_are_encrypted_if_the_volume_is),
        test(a_missing_generation_is_damage),
        test(keys_fit_a_relative_and_files_do_not),
        test(journals_come_back),
        test(blobs_move_to_another_key),
        test(swapped_and_repeated_values_are_refused),
        test(no_nonce_comes_twice),
        test(a_file_whose_drafts_are_used_up_is_spent),
        test(the_same_value_never_looks_the_same),
        test(decoding_is_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
