/* A record of the log: entries within the record, numbered upwards; gaps are what does nothing. */
#include "store/batch.h"
#include "store/store.h"
#include "tests/fuzz/fuzz.h"

static struct buf sample;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct store_batch b;
    fuzz_quiet();
    batch_init(&b, 1 << 20, &(struct strength){0});
    store_batch_put(&b, slice_str("key"), slice_str("value"));
    store_batch_delete(&b, slice_str("another key"));
    store_batch_merge(&b, slice_str("key"), slice_str("operand"));
    store_batch_delete_range(&b, slice_str("a"), slice_str("b"));
    store_batch_put(&b, slice_str("k"), slice_str(""));
    batch_encode(&b, 1000, &sample);
    batch_release(&b);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct buf payload = {0};
    struct batch_reader r;
    struct entry e;
    fuzz_payload(&in, buf_slice(&sample), &payload);
    const uint8_t *end = buf_reserve(&payload, 1);
    if (batch_reader_init(&r, buf_slice(&payload)) == 0) {
        uint64_t expected = r.first_seq;
        int rc;
        while ((rc = batch_reader_next(&r, &e)) == 0) {
            assert(e.seq >= expected && e.seq < r.first_seq + r.count);
            assert(e.type < ENTRY_TYPE_COUNT);
            expected = e.seq + 1;
            assert(e.key.len >= 1 && e.key.data + e.key.len <= end);
            assert(e.value.len == 0 || e.value.data + e.value.len <= end);
        }
        assert(rc < 0 || r.seq == r.first_seq + r.count);
    }
    buf_release(&payload);
    return 0;
}
