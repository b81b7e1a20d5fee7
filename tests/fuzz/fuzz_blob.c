/* A blob file with one forged frame that verifies, and references to it that may be anything. */
#include "store/blob.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/simdisk.h"

static const uint8_t uuid[UUID_SIZE] = "a volume's uuid";
static struct simdisk *disk;
static struct buf before, packed; /* the file up to the frame; a sound frame */
static struct codec_file codec;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct blob_writer *w;
    struct blob_ref ref;
    struct file_header h;
    static uint8_t value[400];
    fuzz_quiet();
    disk = simdisk_new(1);
    int err = blob_create(simdisk_env(disk), "/", 7, uuid, &w);
    assert(err == 0);
    memset(value, 'v', sizeof value);
    frame_pack(slice_of(value, sizeof value), 1, &packed);
    blob_add(w, buf_slice(&packed), sizeof value, &ref);
    err = blob_write(w);
    assert(err == 0);
    blob_writer_free(w);
    err = simdisk_get(disk, "/000007.blob", &before);
    assert(err == 0 && before.len == ref.where.offset + ref.where.len);
    before.len = ref.where.offset;
    enum header_verdict verdict = file_header_decode(buf_slice(&before), &h);
    assert(verdict == HEADER_OK);
    codec_file_init(&codec, &h);
    return 0;
}

/* The frame, damaged, with a length and a checksum that hold. */
static void forge(struct slice *in, struct buf *file)
{
    struct buf frame = {0};
    fuzz_payload(in, buf_slice(&packed), &frame);
    while (frame.len < FRAME_HEADER_SIZE)
        buf_put_u8(&frame, 0);
    put_u32(frame.data, (uint32_t)(frame.len - FRAME_HEADER_SIZE));
    frame_seal(&codec, before.len, frame.data, frame.len);
    buf_append(file, buf_slice(&before));
    buf_append(file, buf_slice(&frame));
    buf_release(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct blob_ref ref = {.file = 7, .where = {before.len, 0}};
    struct blob_reader *r;
    struct buf file = {0}, frame = {0};
    uint8_t *value = NULL;
    uint8_t odd = fuzz_u8(&in);
    uint32_t raw_len = fuzz_u32(&in);
    forge(&in, &file);
    ref.where.len = (uint32_t)(file.len - before.len);
    ref.raw_len = odd & 1 ? raw_len : get_u32(file.data + before.len + 4);
    if (odd & 2)
        ref.where.offset += odd >> 3;
    if (odd & 4)
        ref.where.len = raw_len;
    int err = simdisk_put(disk, "/000007.blob", buf_slice(&file));
    assert(err == 0);
    err = blob_open(simdisk_env(disk), "/", 7, uuid, &r);
    assert(err == 0);
    err = blob_read(r, &ref, &value);
    assert((err == 0) == (value != NULL));
    /* What can be read verifies, too. */
    assert(err != 0 || (blob_probe(r, &ref) == 0 && blob_read_frame(r, &ref, &frame) == 0));
    free(value);
    blob_probe(r, &ref);
    blob_read_frame(r, &ref, &frame);
    blob_reader_free(r);
    buf_release(&file);
    buf_release(&frame);
    return 0;
}
