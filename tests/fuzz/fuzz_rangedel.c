/* Range tombstones: what decodes is sound: disjoint, ascending, and the same when it is encoded and
 * decoded again. */
#include "store/rangedel.h"
#include "tests/fuzz/fuzz.h"

static struct buf sample;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct rangedel_builder *b = rangedel_builder_new();
    fuzz_quiet();
    rangedel_builder_add(b, slice_str("a"), slice_str("m"), 10);
    rangedel_builder_add(b, slice_str("c"), slice_str("zz"), 300);
    rangedel_builder_add(b, slice_str("cab"), slice_str("cabbage"), 70000);
    rangedel_builder_add(b, slice_str("x"), slice_str("y"), 5);
    struct rangedel *r = rangedel_build(b);
    rangedel_encode(r, &sample);
    rangedel_unref(r);
    rangedel_builder_free(b);
    return 0;
}

static void use(struct rangedel *r, struct slice key, uint64_t seq)
{
    struct rangedel_cover cover;
    struct buf again = {0};
    struct rangedel *back;
    for (size_t i = 0; i < rangedel_count(r); i++) {
        struct rangedel_fragment f = rangedel_at(r, i);
        assert(f.seq_count > 0 && slice_cmp(f.start, f.end) < 0);
        assert(i == 0 || slice_cmp(rangedel_at(r, i - 1).end, f.start) <= 0);
        for (uint32_t k = 1; k < f.seq_count; k++)
            assert(f.seqs[k] < f.seqs[k - 1]);
    }
    rangedel_cover(r, key, seq, &cover);
    assert(cover.seq < seq);
    rangedel_encode(r, &again);
    assert(rangedel_decode(buf_slice(&again), &back) == 0);
    assert(rangedel_count(back) == rangedel_count(r));
    rangedel_unref(back);
    buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size), key = fuzz_bytes(&in, 20);
    uint64_t seq = 1 + fuzz_u16(&in);
    struct buf payload = {0};
    struct rangedel *r;
    fuzz_payload(&in, buf_slice(&sample), &payload);
    if (rangedel_decode(buf_slice(&payload), &r) == 0) {
        use(r, key, seq);
        rangedel_unref(r);
    }
    buf_release(&payload);
    return 0;
}
