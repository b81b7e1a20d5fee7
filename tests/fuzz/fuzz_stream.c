/* Streams: a head and blocks that are not what they should be, under checksums that hold. What is
 * kept of one is whole blocks, and can be gone on with. */
#include "fs/stream.h"
#include "fs/token.h"
#include "tests/fuzz/fuzz.h"

static struct stream_head sample;
static struct buf records;

static void add(enum stream_record_kind kind, struct key k, struct slice value)
{
    struct stream_record r = {.kind = kind, .key = key_slice(&k), .value = value};
    stream_record_encode(&r, &records);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct counters counters = {.inodes = 5, .chunks = 3};
    struct inode inode = {.mode = S_IFREG | 0644, .nlink = 1, .size = 5, .chunks = 1, .parent = 1};
    struct dirent_record entry = {.ino = 20, .type = S_IFREG >> 12, .name = slice_str("name")};
    struct buf value = {0};
    fuzz_quiet();
    sample = (struct stream_head){.base = {3, 4}, .made = {9, 8}, .name = "snapshot"};
    sample.super = (struct super_record){.chunk_bytes = 128 << 10, .zstd_level = 1};
    counters_encode(&counters, &value);
    add(STREAM_PUT, key_super(SUPER_COUNTERS), buf_slice(&value));
    buf_clear(&value);
    buf_put_u64(&value, 100);
    add(STREAM_PUT, key_super(SUPER_NEXT_INO), buf_slice(&value));
    buf_clear(&value);
    dirent_encode(&entry, &value);
    add(STREAM_PUT, key_dirent(1, SLOT_MIN + 5), buf_slice(&value));
    buf_clear(&value);
    inode_encode(&inode, &value);
    add(STREAM_PUT, key_attr(20), buf_slice(&value));
    add(STREAM_PUT, key_xattr(20, "user.x"), slice_str("value"));
    add(STREAM_PUT, key_chunk(20, 0), slice_str("bytes"));
    add(STREAM_DELETE, key_chunk(20, 1), (struct slice){0});
    buf_release(&value);
    return 0;
}

struct pipe {
    struct buf bytes, out;
    size_t at, end;
};

static int from_pipe(void *ctx, void *data, size_t len, size_t *got)
{
    struct pipe *p = ctx;
    *got = p->end - p->at < len ? p->end - p->at : len;
    if (*got)
        memcpy(data, p->bytes.data + p->at, *got);
    p->at += *got;
    return 0;
}

static int to_buf(void *ctx, const void *data, size_t len)
{
    struct pipe *p = ctx;
    buf_append_bytes(&p->out, data, len);
    return 0;
}

static bool expected(int err)
{
    return err == 0 || err == -EPIPE || err == -EBADMSG || err == -ENOMSG || err == -ECHILD ||
           err == -EPROTONOSUPPORT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct pipe pipe = {0};
    struct buf head = {0}, payload = {0};
    struct stream_head h = sample, decoded;
    struct token token;
    char text[FS_STREAM_TOKEN_MAX];
    h.first_block = fuzz_u8(&in) % 4 == 0;
    h.sum = stream_first_sum(&h);
    stream_head_encode(&h, &head);
    fuzz_payload(&in, buf_slice(&head), &pipe.bytes);
    if (pipe.bytes.len >= 16) { /* its checksum holds */
        put_u32(pipe.bytes.data + 12, (uint32_t)pipe.bytes.len);
        if (stream_head_decode(buf_slice(&pipe.bytes), &decoded) == 0)
            assert(decoded.name[0] && decoded.made.seq);
    }
    for (uint64_t n = 0; n < 3; n++) {
        fuzz_payload(&in, buf_slice(&records), &payload);
        if (payload.len > 0)
            stream_block_encode(n == 2 ? STREAM_END : STREAM_RECORDS, n, buf_slice(&payload),
                                &h.sum, &pipe.bytes);
    }
    pipe.end = fuzz_u8(&in) % 2 ? pipe.bytes.len : fuzz_u16(&in) % (pipe.bytes.len + 1);
    struct fs_stream_kept *k = fs_stream_kept_new();
    int err = fs_stream_keep(k, from_pipe, to_buf, &pipe);
    assert(expected(err));
    assert(fs_stream_kept_bytes(k) == pipe.out.len && pipe.out.len <= pipe.end);
    fs_stream_token(k, text);
    if (text[0]) {
        err = token_parse(text, &token);
        assert(err == 0 && token.blocks > 0);
    }
    fs_stream_kept_free(k);
    buf_release(&pipe.bytes);
    buf_release(&pipe.out);
    buf_release(&head);
    buf_release(&payload);
    return 0;
}
