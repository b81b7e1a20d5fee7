/* A block: whatever the payload is, a cursor stays within it and comes to an end; undamaged it has
 * as much forward as backward. */
#include <stdio.h>

#include "store/block.h"
#include "tests/fuzz/fuzz.h"

static struct buf sample;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct block_writer w;
    char key[32];
    fuzz_quiet();
    block_writer_init(&w, BLOCK_RESTART_INTERVAL);
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "key %03d", i / 3);
        struct entry e = {slice_str(key), (uint64_t)(200 - i), (enum entry_type)(i % 5), 0,
                          slice_of(key, (size_t)i % 8)};
        block_writer_add(&w, &e);
    }
    block_writer_finish(&w, &sample);
    block_writer_release(&w);
    return 0;
}

static void walk(struct block *b, bool same, struct slice target, uint64_t seq)
{
    struct block_iter bi;
    uint64_t forward = 0, backward = 0;
    int rc;
    block_iter_init(&bi);
    block_iter_set(&bi, b);
    for (rc = iter_first(&bi.it); rc == 0; rc = iter_next(&bi.it))
        forward += bi.it.e.key.len + bi.it.e.value.len + 1;
    bool sound = rc == 1;
    assert(rc == 1 || rc < 0);
    for (rc = iter_last(&bi.it); rc == 0; rc = iter_prev(&bi.it))
        backward += bi.it.e.key.len + bi.it.e.value.len + 1;
    assert(rc == 1 || rc < 0);
    assert(!same || (sound && forward == backward));
    rc = iter_seek(&bi.it, target, seq);
    if (rc == 0 && same)
        assert(entry_cmp(bi.it.e.key, bi.it.e.seq, target, seq) >= 0);
    for (int i = 0; i < 3 && rc == 0; i++)
        rc = i % 2 ? iter_next(&bi.it) : iter_prev(&bi.it);
    block_iter_release(&bi);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size), target = fuzz_bytes(&in, 40);
    uint64_t seq = fuzz_u8(&in);
    struct buf payload = {0};
    struct block b;
    fuzz_payload(&in, buf_slice(&sample), &payload);
    /* In memory of exactly its size, so that a read outside is seen. */
    uint8_t *exact = mem_dup(payload.data, payload.len);
    if (block_open(slice_of(exact, payload.len), &b) == 0)
        walk(&b, slice_eq(buf_slice(&payload), buf_slice(&sample)), target, seq);
    free(exact);
    buf_release(&payload);
    return 0;
}
