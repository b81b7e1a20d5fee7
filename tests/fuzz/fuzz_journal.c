/* A journal: frames with headers and payloads of the fuzzer's that verify, between others that do
 * not, and an end of any kind. */
#include "store/journal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/simdisk.h"

static const uint8_t uuid[UUID_SIZE] = "a volume's uuid";
static struct simdisk *disk;
static struct buf beginning;
static struct codec_file codec;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct journal_writer *w;
    struct file_header h;
    fuzz_quiet();
    disk = simdisk_new(1);
    int err = journal_create(simdisk_env(disk), "/", FILE_LOG, 5, uuid, &w);
    assert(err == 0);
    journal_writer_free(w);
    err = simdisk_get(disk, "/000005.log", &beginning);
    assert(err == 0);
    enum header_verdict verdict = file_header_decode(buf_slice(&beginning), &h);
    assert(verdict == HEADER_OK);
    codec_file_init(&codec, &h);
    return 0;
}

static void add_frame(struct slice *in, struct buf *file)
{
    struct buf frame = {0};
    uint8_t how = fuzz_u8(in);
    frame_pack(fuzz_bytes(in, 200), how & 1, &frame);
    if (how & 2)
        fuzz_change(in, frame.data, FRAME_HEADER_SIZE);
    put_u32(frame.data, (uint32_t)(frame.len - FRAME_HEADER_SIZE));
    frame_seal(&codec, file->len, frame.data, frame.len);
    if ((how & 0xfc) == 4)
        fuzz_change(in, frame.data, frame.len);
    buf_append(file, buf_slice(&frame));
    for (int i = how >> 6; i > 0 && (how & 0x20); i--)
        buf_put_u64(file, 0);
    buf_release(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size), payload;
    struct journal_reader *r;
    struct buf file = {0};
    buf_append(&file, buf_slice(&beginning));
    uint16_t cut = fuzz_u16(&in);
    while (in.len > 0 && file.len < 65536)
        add_frame(&in, &file);
    if (cut & 1)
        file.len -= cut / 2 % (file.len + 1);
    int err = simdisk_put(disk, "/000005.log", buf_slice(&file));
    assert(err == 0);
    err = journal_open(simdisk_env(disk), "/", FILE_LOG, 5, uuid, &r);
    uint64_t last = 0;
    while (err == 0 && (err = journal_next(r, &payload)) == 0) {
        struct frame_header h;
        uint64_t at = journal_offset(r);
        assert(at >= last && at < file.len);
        frame_header_decode(file.data + at, &h);
        assert(at > last || journal_is_row(FILE_LOG, &h));
        assert(journal_end(r) == JOURNAL_MORE);
        last = at;
    }
    if (r && err == 1) {
        assert(journal_end(r) != JOURNAL_MORE && journal_offset(r) <= file.len);
        assert(journal_next(r, &payload) == 1);
    }
    journal_reader_free(r);
    buf_release(&file);
    return 0;
}
