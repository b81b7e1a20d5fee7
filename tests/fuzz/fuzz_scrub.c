/* The file SCRUB: what decodes encodes to the same bytes. */
#include "store/format.h"
#include "tests/fuzz/fuzz.h"

static struct buf sample;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct scrub_state s = {.passes = 3, .limit = 77, .file = 12, .offset = 4096, .bytes = 1 << 20};
    fuzz_quiet();
    scrub_state_encode(&s, &sample);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct buf text = {0}, again = {0};
    struct scrub_state s;
    fuzz_payload(&in, buf_slice(&sample), &text);
    if (scrub_state_decode(buf_slice(&text), &s) == 0) {
        scrub_state_encode(&s, &again);
        assert(slice_eq(buf_slice(&again), buf_slice(&text)));
    }
    buf_release(&again);
    buf_release(&text);
    return 0;
}
