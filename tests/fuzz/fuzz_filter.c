/* A filter: whatever the bytes are, asking stays within them; undamaged it denies nothing that is
 * in it. */
#include "store/filter.h"
#include "tests/fuzz/fuzz.h"

enum { KEYS = 3000 };
static struct buf samples[4];

static uint64_t hash(uint64_t i)
{
    return filter_hash(slice_of(&i, sizeof i));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    static const size_t counts[] = {1, 60, 700, KEYS};
    static uint64_t hashes[KEYS];
    fuzz_quiet();
    for (size_t s = 0; s < 4; s++) {
        for (size_t i = 0; i < counts[s]; i++)
            hashes[i] = hash(i);
        filter_build(hashes, counts[s], s == 2 ? 65536 : 100, &samples[s]);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    const struct buf *sample = &samples[fuzz_u8(&in) % 4];
    struct buf payload = {0};
    struct filter f;
    fuzz_payload(&in, buf_slice(sample), &payload);
    bool same = slice_eq(buf_slice(&payload), buf_slice(sample));
    uint8_t *exact = mem_dup(payload.data, payload.len);
    if (filter_open(slice_of(exact, payload.len), &f) == 0) {
        for (uint64_t i = 0; i < 500; i++) {
            bool maybe = filter_may_contain(&f, hash(i));
            assert(maybe || !same || i >= filter_count(&f));
            filter_may_contain(&f, i * UINT64_C(0x9E3779B97F4A7C15));
        }
        filter_may_contain(&f, 0);
        filter_may_contain(&f, UINT64_MAX);
    } else {
        assert(!same);
    }
    free(exact);
    buf_release(&payload);
    return 0;
}
