/* A companion and its file, both damaged: what is restored is what was written, or nothing; and a
 * head that verifies, whatever it says. */
#include "store/parity.h"

#include <xxhash.h>

#include "tests/fuzz/fuzz.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/simrng.h"

enum { FILE_BYTES = 50000 };

static const uint8_t uuid[UUID_SIZE] = "a volume's uuid";
static struct simdisk *disk;
static struct buf content, companion;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct simrng rng = {1};
    struct parity_options opt = {6, 2};
    uint64_t bytes;
    fuzz_quiet();
    disk = simdisk_new(1);
    while (content.len < FILE_BYTES)
        buf_put_u64(&content, simrng_next(&rng));
    int err = simdisk_put(disk, "/000007.blob", buf_slice(&content));
    assert(err == 0);
    err = parity_make(simdisk_env(disk), "/", FILE_BLOB, 7, uuid, &opt, &bytes);
    assert(err == 0);
    err = simdisk_get(disk, "/000007.parity", &companion);
    assert(err == 0);
    return 0;
}

static void fuzz_head(struct slice *in)
{
    struct parity_layout l, again;
    uint8_t head[PARITY_HEAD_BYTES] = {0}, encoded[PARITY_HEAD_BYTES];
    for (size_t i = 0; i < 20; i++)
        head[i] = fuzz_u8(in);
    put_u64(head + 24, XXH3_64bits_withSeed(head, 24, 9));
    if (parity_head_decode(head, 9, &l) != 0)
        return;
    parity_head_encode(&l, 9, encoded);
    assert(memcmp(head, encoded, sizeof head) == 0);
    assert(parity_head_decode(encoded, 9, &again) == 0 && again.shards == l.shards);
    assert((uint64_t)l.shards * l.shard_bytes >= l.file_bytes);
    assert((uint64_t)l.data * l.rows >= l.shards);
}

static void damage(struct slice *in, const char *path, const struct buf *whole)
{
    struct buf bytes = {0};
    fuzz_payload(in, buf_slice(whole), &bytes);
    int err = simdisk_put(disk, path, buf_slice(&bytes));
    assert(err == 0);
    buf_release(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct env *env = simdisk_env(disk);
    struct parity *p;
    struct env_file *f;
    static uint8_t out[FILE_BYTES];
    fuzz_head(&in);
    damage(&in, "/000007.parity", &companion);
    damage(&in, "/000007.blob", &content);
    if (parity_open(env, "/000007.blob", 7, &p) != 0)
        return 0;
    int err = env->open(env, "/000007.blob", ENV_OPEN_READ, &f);
    assert(err == 0);
    uint64_t offset = fuzz_u16(&in) % FILE_BYTES;
    size_t len = fuzz_u16(&in) % (FILE_BYTES - offset);
    if (parity_restore(p, f, offset, out, len) == 0)
        assert(memcmp(out, content.data + offset, len) == 0);
    (void)parity_check(p);
    f->ops->close(f);
    parity_free(p);
    return 0;
}
