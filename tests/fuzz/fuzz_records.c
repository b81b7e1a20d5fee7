/* The file system's keys and records, its operator included: what decodes encodes to what decodes
 * the same. */
#include "fs/acl.h"
#include "tests/fuzz/fuzz.h"

enum { SAMPLES = 11 };
static struct buf samples[SAMPLES];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct super_record super = {.chunk_bytes = 128 << 10, .zstd_level = 3, .hash_seed = 77};
    struct counters counters = {.inodes = 5, .chunks = -3};
    struct received_record received = {.seq = 9, .created_ns = 8, .pin_tag = 1};
    struct inode inode = {.mode = S_IFREG | 0644,
                          .nlink = 2,
                          .size = 1 << 20,
                          .chunks = 8,
                          .parent = 1,
                          .slot = SLOT_MIN,
                          .quota = 77,
                          .policy = 4};
    struct quota_record quota = {.limit_bytes = 1 << 30, .taking = true, .from = 99};
    struct policy policy = {.start = 55, .end = 99, .since = 7, .level = 9};
    struct quota_used used = {.inodes = -1, .bytes = 1 << 20};
    struct dirent_record dirent = {.ino = 99, .type = S_IFREG >> 12, .name = slice_str("a name")};
    fuzz_quiet();
    super_encode(&super, &samples[0]);
    counters_encode(&counters, &samples[1]);
    inode_encode(&inode, &samples[2]);
    dirent_encode(&dirent, &samples[3]);
    patch_put_write(&samples[4], 10, slice_str("bytes"));
    patch_put_cut(&samples[4], 3);
    patch_put_write(&samples[4], 100, slice_str(""));
    buf_put_u64(&samples[5], FS_INO_FIRST);
    static const uint16_t acl[][2] = {{1, 6}, {2, 7}, {4, 5}, {16, 7}, {32, 4}};
    buf_put_u32(&samples[6], 2);
    for (size_t i = 0; i < sizeof acl / sizeof *acl; i++) {
        buf_put_u16(&samples[6], acl[i][0]);
        buf_put_u16(&samples[6], acl[i][1]);
        buf_put_u32(&samples[6], acl[i][0] == 2 ? 1000 : UINT32_MAX);
    }
    received_encode(&received, &samples[7]);
    quota_encode(&quota, &samples[8]);
    quota_used_encode(&used, &samples[9]);
    policy_encode(&policy, &samples[10]);
    return 0;
}

static void limits(struct slice bytes)
{
    struct quota_record q, again;
    struct buf once = {0};
    if (quota_decode(bytes, &q) == 0) {
        quota_encode(&q, &once);
        int err = quota_decode(buf_slice(&once), &again);
        assert(err == 0 && again.limit_bytes == q.limit_bytes && again.taking == q.taking &&
               again.from == q.from);
    }
    buf_release(&once);
}

static void policies(struct slice bytes)
{
    struct policy p, again;
    struct buf once = {0};
    if (policy_decode(bytes, 55, &p) == 0) {
        policy_encode(&p, &once);
        int err = policy_decode(buf_slice(&once), 55, &again);
        assert(err == 0 && again.end == p.end && again.level == p.level && again.since == p.since);
    }
    buf_release(&once);
}

static void inodes(struct slice bytes)
{
    struct inode n, again;
    struct buf once = {0}, twice = {0};
    if (inode_decode(bytes, 55, &n) == 0) {
        inode_encode(&n, &once);
        int err = inode_decode(buf_slice(&once), 55, &again);
        assert(err == 0);
        inode_encode(&again, &twice);
        assert(slice_eq(buf_slice(&once), buf_slice(&twice)));
    }
    buf_release(&once);
    buf_release(&twice);
}

static void dirents(struct slice bytes)
{
    struct dirent_record d;
    if (dirent_decode(bytes, &d) < 0)
        return;
    assert(d.name.len >= 1 && d.name.len <= FS_NAME_MAX);
    assert(!memchr(d.name.data, '/', d.name.len) && !memchr(d.name.data, 0, d.name.len));
    uint64_t slot = dirent_slot(7, d.name);
    assert(slot >= SLOT_MIN && slot <= SLOT_MAX);
    assert(dirent_slot_next(slot) >= SLOT_MIN && dirent_slot_next(slot) <= SLOT_MAX);
}

/* Whatever list it is, and whatever mode: it stays one, and agrees with the permission bits. */
static void lists(struct slice bytes, uint32_t mode)
{
    if (acl_check(bytes) != 0)
        return;
    struct buf list = {0};
    buf_append(&list, bytes);
    uint32_t left = acl_limit(list.data, list.len, mode);
    assert((left & ~mode) == 0 && acl_check(buf_slice(&list)) == 0);
    assert(acl_mode(buf_slice(&list)) == (left & 0777));
    acl_chmod(list.data, list.len, mode);
    assert(acl_check(buf_slice(&list)) == 0 && acl_mode(buf_slice(&list)) == (mode & 0777));
    buf_release(&list);
}

static void patches(struct slice bytes)
{
    enum patch_kind kind;
    uint32_t offset;
    struct slice piece;
    int rc;
    while ((rc = patch_take(&bytes, &kind, &offset, &piece)) == 0)
        assert(kind == PATCH_WRITE || kind == PATCH_CUT || kind == PATCH_ZERO);
}

static void merges(struct slice *in, struct slice operand)
{
    struct buf out = {0};
    struct key keys[3] = {key_super(SUPER_COUNTERS), key_chunk(55, 3), key_quota_used(77)};
    struct slice key = key_slice(&keys[fuzz_u8(in) % 3]), base = fuzz_bytes(in, 100);
    struct slice operands[2] = {operand, fuzz_u8(in) % 2 ? operand : fuzz_bytes(in, 100)};
    fs_merge.full(fs_merge.ctx, key, fuzz_u8(in) % 2 ? &base : NULL, operands, 2, &out);
    buf_clear(&out);
    if (fs_merge.partial(fs_merge.ctx, key, operands, 2, &out) == 0) {
        /* One operand for both does what both do. */
        struct slice joined = buf_slice(&out);
        struct buf apart = {0}, at_once = {0};
        int err = fs_merge.full(fs_merge.ctx, key, &base, operands, 2, &apart);
        if (err == 0) {
            err = fs_merge.full(fs_merge.ctx, key, &base, &joined, 1, &at_once);
            assert(err == 0 && slice_eq(buf_slice(&apart), buf_slice(&at_once)));
        }
        buf_release(&apart);
        buf_release(&at_once);
    }
    buf_release(&out);
}

static void keys(struct slice bytes)
{
    uint64_t ino;
    uint8_t kind;
    struct slice rest;
    if (key_split(bytes, &ino, &kind, &rest))
        assert(rest.len == bytes.len - 9 && get_be64(bytes.data) == ino);
    else
        assert(bytes.len < 9);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct super_record super;
    struct counters counters;
    struct received_record received;
    struct quota_used used;
    uint64_t next;
    struct buf payload = {0};
    keys(fuzz_bytes(&in, KEY_MAX));
    fuzz_payload(&in, buf_slice(&samples[fuzz_u8(&in) % SAMPLES]), &payload);
    struct slice bytes = buf_slice(&payload);
    super_decode(bytes, &super);
    counters_decode(bytes, &counters);
    next_ino_decode(bytes, &next);
    received_decode(bytes, &received);
    quota_used_decode(bytes, &used);
    limits(bytes);
    policies(bytes);
    inodes(bytes);
    dirents(bytes);
    patches(bytes);
    lists(bytes, fuzz_u8(&in) | (uint32_t)fuzz_u8(&in) << 8);
    merges(&in, bytes);
    buf_release(&payload);
    return 0;
}
