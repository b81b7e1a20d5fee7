/* The small fixed structures: CURRENT with a checksum that holds, names, file and frame headers,
 * footers, references, block handles. */
#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

#include "store/codec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_quiet();
    return 0;
}

static void current(struct slice *in)
{
    struct buf text = {0};
    uint64_t number = 0, again;
    char sum[32];
    current_encode(fuzz_u32(in), &text);
    if (fuzz_u8(in) % 2) { /* two lines of the fuzzer's, and a sum that holds for them */
        fuzz_payload(in, buf_slice(&text), &text);
        size_t lines = 0, len = 0;
        while (len < text.len && lines < 2)
            lines += text.data[len++] == '\n';
        text.len = len;
        snprintf(sum, sizeof sum, "xxh3 %016" PRIx64 "\n", XXH3_64bits(text.data, text.len));
        buf_append(&text, slice_str(sum));
    }
    if (current_decode(buf_slice(&text), &number) == 0) {
        struct buf same = {0};
        current_encode(number, &same);
        assert(current_decode(buf_slice(&same), &again) == 0 && again == number);
        buf_release(&same);
    }
    buf_release(&text);
}

static void names(struct slice *in)
{
    char name[64] = {0};
    enum file_kind kind;
    uint64_t number;
    struct slice given = fuzz_bytes(in, sizeof name - 1);
    if (given.len)
        memcpy(name, given.data, given.len);
    if (name_parse(name, &kind, &number) == 0 && kind <= FILE_BLOB) {
        char *path = name_file("", kind, number);
        assert(strcmp(path + 1, name) == 0 || strcmp(path, name) == 0);
        free(path);
    }
}

static void headers(struct slice *in)
{
    uint8_t bytes[FILE_HEADER_SIZE] = {0};
    struct file_header h = {.kind = (enum file_kind)(1 + fuzz_u8(in) % FILE_PARITY),
                            .version = FORMAT_VERSION,
                            .number = fuzz_u64(in)},
                       back;
    file_header_encode(&h, bytes);
    for (int i = fuzz_u8(in) % 4; i > 0; i--)
        fuzz_change(in, bytes, sizeof bytes);
    put_u64(bytes + 88, XXH3_64bits(bytes, 88));
    if (file_header_decode(slice_of(bytes, sizeof bytes), &back) == HEADER_OK)
        assert(back.version >= 1 && back.kind >= FILE_MANIFEST && kind_is_numbered(back.kind));
    file_header_decode(slice_of(bytes, fuzz_u8(in) % sizeof bytes), &back);
}

static void references(struct slice *in)
{
    struct blob_ref ref;
    struct block_handle handle;
    struct buf again = {0};
    struct slice bytes = fuzz_bytes(in, BLOB_REF_MAX + 2), rest = bytes;
    if (blob_ref_decode(bytes, &ref)) {
        struct blob_ref back;
        blob_ref_encode(&ref, &again);
        assert(blob_ref_decode(buf_slice(&again), &back) && back.file == ref.file &&
               back.where.offset == ref.where.offset && back.where.len == ref.where.len &&
               back.raw_len == ref.raw_len);
    }
    if (block_handle_take(&rest, &handle))
        assert(handle.max_seq >= handle.min_seq && rest.len < bytes.len);
    buf_release(&again);
}

static void footers(struct slice *in)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    struct table_footer f = {.index = {fuzz_u64(in) >> 2, FRAME_HEADER_SIZE + fuzz_u16(in)}}, back;
    uint64_t seed = fuzz_u64(in), tag = table_footer_encode(&f, seed, bytes), got;
    assert(table_footer_decode(bytes, seed, &back, &got) == 0 && got == tag);
    for (int i = fuzz_u8(in) % 4; i > 0; i--)
        fuzz_change(in, bytes, sizeof bytes);
    table_footer_decode(bytes, seed, &back, &got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    current(&in);
    names(&in);
    headers(&in);
    references(&in);
    footers(&in);
    return 0;
}
