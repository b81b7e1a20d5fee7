/* An index, whole, in parts or a top: what decodes can be searched, whatever the bytes are, and the
 * search is right. */
#include "store/table_priv.h"

#include <stdio.h>

#include "tests/fuzz/fuzz.h"

enum { BLOCKS = 300 };
static struct buf samples[3];

static int keep_part(void *ctx, struct slice payload, struct frame_ref *where)
{
    uint64_t *at = ctx;
    buf_set(&samples[1], payload);
    *where = (struct frame_ref){*at, 1000};
    *at += 1000;
    return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct block_writer w;
    char key[32], next[32];
    uint64_t at = 1 << 20;
    (void)argc, (void)argv;
    fuzz_quiet();
    block_writer_init(&w, TABLE_INDEX_INTERVAL);
    for (int parts = 0; parts < 2; parts++) {
        for (uint64_t i = 0; i < BLOCKS; i++) {
            struct block_handle h = {{FILE_HEADER_SIZE + i * 500, 500}, i + 1, i + 9};
            snprintf(key, sizeof key, "key %04d/%d", (int)i, (int)i * 7);
            if (i % 9)
                snprintf(next, sizeof next, "key %04d", (int)i + 1);
            else
                memcpy(next, key, sizeof next);
            struct slice next_key = slice_str(next);
            table_index_add(&w, &h, slice_str(key), i + 5, i + 1 < BLOCKS ? &next_key : NULL);
        }
        if (parts)
            table_index_cut(&w, 2000, keep_part, &at);
        block_writer_finish(&w, &samples[parts ? 2 : 0]);
    }
    block_writer_release(&w);
    return 0;
}

static void search(const struct table_index *ix, struct slice *in)
{
    struct slice key = fuzz_bytes(in, 64);
    uint64_t seq = fuzz_u64(in) & SEQ_MAX;
    uint32_t i = table_index_search(ix, key, seq);
    assert(i <= ix->count);
    assert(i == ix->count ||
           entry_cmp(table_index_separator(ix, i), ix->entries[i].sep_seq, key, seq) >= 0);
    assert(i == 0 ||
           entry_cmp(table_index_separator(ix, i - 1), ix->entries[i - 1].sep_seq, key, seq) < 0);
    uint32_t young = table_index_young(ix, 0, ix->count, seq);
    assert(young == ix->count || ix->entries[young].handle.max_seq >= seq);
    for (uint32_t k = 0; k < young; k++)
        assert(ix->entries[k].handle.max_seq < seq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct buf payload = {0};
    struct table_index_draft d;
    struct slice sample = buf_slice(&samples[fuzz_u8(&in) % 3]);
    fuzz_payload(&in, sample, &payload);
    const char *fault = table_index_decode(buf_slice(&payload), 1 << 22, &d);
    if (!fault) {
        void *memory = mem_alloc(table_index_size(&d));
        struct table_index ix;
        table_index_lay(&d, memory);
        table_index_view(memory, &ix);
        assert(ix.count == d.count && ix.count > 0 && d.begins[d.count] >= d.count);
        for (int i = 0; i < 4; i++)
            search(&ix, &in);
        free(memory);
    }
    table_index_draft_release(&d);
    buf_release(&payload);
    return 0;
}
