/* Properties of a table: what decodes can be encoded, and decodes to the same again. */
#include "store/table.h"
#include "tests/fuzz/fuzz.h"

static struct buf sample;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct table_meta *m = table_meta_new();
    fuzz_quiet();
    m->number = 12;
    m->size_bytes = 123456;
    m->tag = UINT64_C(0x0123456789abcdef);
    buf_append(&m->smallest, slice_str("apple"));
    buf_append(&m->limit, slice_str("pear"));
    m->min_seq = 5;
    m->max_seq = 5000;
    m->entry_count = 700;
    m->delete_count = 7;
    m->rangedel_count = 3;
    m->raw_bytes = 300000;
    m->created_ns = UINT64_C(1700000000000000000);
    table_meta_add_share(m, 3, 10, 10000);
    table_meta_add_share(m, 9, 1, 70000);
    table_meta_encode(m, &sample);
    table_meta_unref(m);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct buf payload = {0}, once = {0}, twice = {0};
    struct table_meta *m, *again;
    fuzz_payload(&in, buf_slice(&sample), &payload);
    if (table_meta_decode(buf_slice(&payload), &m) == 0) {
        assert(slice_cmp(buf_slice(&m->smallest), buf_slice(&m->limit)) < 0);
        table_meta_encode(m, &once);
        assert(table_meta_decode(buf_slice(&once), &again) == 0);
        table_meta_encode(again, &twice);
        assert(slice_eq(buf_slice(&once), buf_slice(&twice)));
        table_meta_unref(again);
        table_meta_unref(m);
    }
    buf_release(&payload);
    buf_release(&once);
    buf_release(&twice);
    return 0;
}
