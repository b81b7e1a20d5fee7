/* Keys, records and patches: their bytes, their ranges, and that decoders stand whatever bytes they
 * are given. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "fs/format.h"
#include "tests/sim/simrng.h"

/* Bytes in a place of exactly their size, so that a sanitizer sees every read outside. */
static uint8_t *exact(const void *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    return copy;
}

/* ---- keys ---- */

static void test_key_bytes(void **state)
{
    (void)state;
    struct key k = key_super(SUPER_COUNTERS);
    assert_slice(key_slice(&k), "\0\0\0\0\0\0\0\0\1", 9);
    k = key_orphan(0x1234);
    assert_slice(key_slice(&k), "\0\0\0\0\0\0\0\0\3\0\0\0\0\0\0\x12\x34", 17);
    k = key_attr(1);
    assert_slice(key_slice(&k), "\0\0\0\0\0\0\0\1\0", 9);
    k = key_xattr(FS_INO_MASK, "user.a");
    assert_slice(key_slice(&k), "\0\0\xff\xff\xff\xff\xff\xff\1user.a", 15);
    k = key_dirent(16, SLOT_MIN);
    assert_slice(key_slice(&k), "\0\0\0\0\0\0\0\x10\2\0\0\0\0\0\0\x10\0", 17);
    k = key_chunk(16, 1);
    assert_slice(key_slice(&k), "\0\0\0\0\0\0\0\x10\3\0\0\0\0\0\0\0\1", 17);
}

static struct key random_key(struct simrng *r, uint64_t ino)
{
    char name[256];
    switch (simrng_below(r, 4)) {
    case 0:
        return key_attr(ino);
    case 1:
        memset(name, 1 + (int)simrng_below(r, 255), sizeof name);
        name[1 + simrng_below(r, 255)] = 0;
        return key_xattr(ino, name);
    case 2:
        return key_dirent(ino, simrng_next(r));
    default:
        return key_chunk(ino, simrng_next(r));
    }
}

/* All that belongs to an inode, and nothing else, is in [key_attr, key_kind(KIND_END)). */
static void test_key_interval(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    for (int i = 0; i < 20000; i++) {
        uint64_t a = 1 + simrng_below(&r, FS_INO_MASK), b = simrng_coin(&r) ? a : a + 1;
        struct key k = random_key(&r, b), start = key_attr(a), end = key_kind(a, KIND_END);
        bool inside = slice_cmp(key_slice(&start), key_slice(&k)) <= 0 &&
                      slice_cmp(key_slice(&k), key_slice(&end)) < 0;
        assert_int_equal(inside, a == b);
        uint64_t ino;
        uint8_t kind;
        struct slice rest;
        assert_true(key_split(key_slice(&k), &ino, &kind, &rest));
        assert_true(ino == b && kind < KIND_END && rest.len + 9 == k.len);
    }
}

static void test_key_order(void **state)
{
    (void)state;
    struct key a = key_attr(7), x = key_xattr(7, "user.z"), d = key_dirent(7, 0),
               c = key_chunk(7, 0), c9 = key_chunk(7, UINT64_MAX), next = key_attr(8);
    assert_true(slice_cmp(key_slice(&a), key_slice(&x)) < 0);
    assert_true(slice_cmp(key_slice(&x), key_slice(&d)) < 0);
    assert_true(slice_cmp(key_slice(&d), key_slice(&c)) < 0);
    assert_true(slice_cmp(key_slice(&c), key_slice(&c9)) < 0);
    assert_true(slice_cmp(key_slice(&c9), key_slice(&next)) < 0);
}

static void test_key_split_short(void **state)
{
    (void)state;
    uint64_t ino;
    uint8_t kind;
    struct slice rest;
    uint8_t bytes[9] = {0};
    for (size_t len = 0; len <= 9; len++) {
        uint8_t *copy = exact(bytes, len);
        assert_int_equal(key_split(slice_of(copy, len), &ino, &kind, &rest), len == 9);
        free(copy);
    }
}

/* ---- records ---- */

static struct super_record random_super(struct simrng *r)
{
    struct super_record s = {.chunk_bytes = 1u << (14 + simrng_below(r, 7)),
                             .zstd_level = (int32_t)simrng_below(r, 20),
                             .hash_seed = simrng_next(r),
                             .made_ns = (int64_t)simrng_next(r)};
    for (size_t i = 0; i < sizeof s.uuid; i++)
        s.uuid[i] = (uint8_t)simrng_next(r);
    return s;
}

static struct fs_time random_time(struct simrng *r)
{
    return (struct fs_time){.sec = (int64_t)simrng_next(r),
                            .nsec = (uint32_t)simrng_below(r, 1000000000)};
}

static struct inode random_inode(struct simrng *r)
{
    static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR,
                                     S_IFBLK, S_IFIFO, S_IFSOCK};
    return (struct inode){.ino = 77,
                          .mode = types[simrng_below(r, 7)] | (uint32_t)simrng_below(r, 010000),
                          .nlink = (uint32_t)simrng_next(r),
                          .uid = (uint32_t)simrng_next(r),
                          .gid = (uint32_t)simrng_next(r),
                          .flags = (uint32_t)simrng_below(r, 2),
                          .rdev = simrng_next(r),
                          .size = simrng_next(r) >> 1,
                          .chunks = simrng_next(r),
                          .parent = 1 + simrng_below(r, FS_INO_MASK),
                          .slot = 1 + simrng_below(r, SLOT_MAX),
                          .quota = 1 + simrng_below(r, FS_INO_MASK),
                          .policy = (uint8_t)(1 + simrng_below(r, FS_ZSTD_LEVEL_MAX + 1)),
                          .atime = random_time(r),
                          .mtime = random_time(r),
                          .ctime = random_time(r),
                          .btime = random_time(r)};
}

static void assert_same_inode(const struct inode *a, const struct inode *b)
{
    assert_true(a->ino == b->ino && a->mode == b->mode && a->nlink == b->nlink && a->uid == b->uid);
    assert_true(a->gid == b->gid && a->flags == b->flags && a->rdev == b->rdev);
    assert_true(a->size == b->size && a->chunks == b->chunks && a->parent == b->parent);
    assert_true(a->slot == b->slot && a->quota == b->quota && a->policy == b->policy);
    assert_true(a->atime.sec == b->atime.sec && a->atime.nsec == b->atime.nsec);
    assert_true(a->mtime.sec == b->mtime.sec && a->mtime.nsec == b->mtime.nsec);
    assert_true(a->ctime.sec == b->ctime.sec && a->ctime.nsec == b->ctime.nsec);
    assert_true(a->btime.sec == b->btime.sec && a->btime.nsec == b->btime.nsec);
}

/* Where records end that older versions made: without the newest field, without the newest two ...
 * `*n` becomes what they say, if that is `len`. */
static bool ends_there(struct inode *n, size_t len)
{
    struct buf b = {0};
    bool found = false;
    for (int fields = 0; fields < 3 && !found; fields++) {
        n->policy = 0;
        n->quota = fields > 0 ? 0 : n->quota;
        n->slot = fields > 1 ? 0 : n->slot;
        buf_clear(&b);
        inode_encode(n, &b);
        found = b.len == len;
    }
    buf_release(&b);
    return found;
}

static void test_inode_round_trip(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    struct buf b = {0};
    for (int i = 0; i < 5000; i++) {
        struct inode n = random_inode(&r), back;
        buf_clear(&b);
        inode_encode(&n, &b);
        size_t whole = b.len;
        buf_append_bytes(&b, "later", simrng_below(&r, 6)); /* a later version's fields */
        assert_ok(inode_decode(buf_slice(&b), n.ino, &back));
        assert_same_inode(&n, &back);
        size_t cut = simrng_below(&r, whole);
        uint8_t *copy = exact(b.data, cut);
        if (ends_there(&n, cut)) {
            assert_ok(inode_decode(slice_of(copy, cut), n.ino, &back));
            assert_same_inode(&n, &back);
        } else {
            assert_errno(inode_decode(slice_of(copy, cut), n.ino, &back), EIO);
        }
        free(copy);
    }
    buf_release(&b);
}

/* The bytes of version 1, for ever. */
static void test_inode_bytes(void **state)
{
    (void)state;
    struct inode n = {.mode = S_IFREG | 0644,
                      .nlink = 1,
                      .uid = 1000,
                      .gid = 100,
                      .size = 300,
                      .chunks = 1,
                      .parent = 16,
                      .atime = {1, 2},
                      .mtime = {3, 4},
                      .ctime = {5, 6},
                      .btime = {-1, 999999999}};
    static const uint8_t expected[] = {
        0xa4, 0x81, 0,    0,    1,    0,    0,    0,    0xe8, 3,    0,    0,
        100,  0,    0,    0,    0,    0,    0,    0,                            /**/
        1,    0,    0,    0,    0,    0,    0,    0,    2,    0,    0,    0,    /**/
        3,    0,    0,    0,    0,    0,    0,    0,    4,    0,    0,    0,    /**/
        5,    0,    0,    0,    0,    0,    0,    0,    6,    0,    0,    0,    /**/
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc9, 0x9a, 0x3b, /**/
        0,    0xac, 2,    1,    16};
    struct buf b = {0};
    inode_encode(&n, &b);
    assert_slice(buf_slice(&b), expected, sizeof expected);
    /* Where its name stands is behind that, if it is known. */
    static const uint8_t slot[] = {8, 7, 6, 5, 4, 3, 2, 1};
    n.slot = UINT64_C(0x0102030405060708);
    buf_clear(&b);
    inode_encode(&n, &b);
    assert_slice(slice_of(b.data, sizeof expected), expected, sizeof expected);
    assert_slice(slice_of(b.data + sizeof expected, b.len - sizeof expected), slot, sizeof slot);
    buf_release(&b);
}

/* Every value that the rest of fs/ relies on is checked where it enters. */
static void test_inode_ranges(void **state)
{
    (void)state;
    struct inode n = {.mode = S_IFREG, .nlink = 1, .parent = 1}, back;
    struct buf b = {0};
    inode_encode(&n, &b);
    assert_ok(inode_decode(buf_slice(&b), 20, &back));
    for (uint32_t type = 0; type < 16; type++) {
        bool known = type == 1 || type == 2 || type == 4 || type == 6 || type == 8 || type == 10 ||
                     type == 12;
        put_u32(b.data, type << 12);
        assert_int_equal(inode_decode(buf_slice(&b), 20, &back), known ? 0 : -EIO);
    }
    put_u32(b.data, S_IFREG);
    for (size_t at = 28; at <= 64; at += 12) { /* the nanoseconds of all four times */
        put_u32(b.data + at, 1000000000);
        assert_errno(inode_decode(buf_slice(&b), 20, &back), EIO);
        put_u32(b.data + at, 999999999);
        assert_ok(inode_decode(buf_slice(&b), 20, &back));
    }
    const uint64_t sizes[] = {(uint64_t)INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
    const uint64_t parents[] = {FS_INO_MASK, 0, FS_INO_MASK + 1};
    for (int i = 0; i < 6; i++) {
        b.len = 68;
        buf_put_varint(&b, 0);
        buf_put_varint(&b, i < 3 ? sizes[i] : 0);
        buf_put_varint(&b, 0);
        buf_put_varint(&b, i < 3 ? 1 : parents[i - 3]);
        assert_int_equal(inode_decode(buf_slice(&b), 20, &back), i % 3 ? -EIO : 0);
    }
    buf_release(&b);
}

static void test_super_round_trip(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    struct buf b = {0};
    for (int i = 0; i < 2000; i++) {
        struct super_record s = random_super(&r), back;
        buf_clear(&b);
        super_encode(&s, &b);
        assert_int_equal(b.len, 52);
        assert_ok(super_decode(buf_slice(&b), &back));
        assert_true(back.version == 1 && back.features == 0 && s.chunk_bytes == back.chunk_bytes);
        assert_true(s.zstd_level == back.zstd_level && s.hash_seed == back.hash_seed);
        assert_true(s.made_ns == back.made_ns && memcmp(s.uuid, back.uuid, 16) == 0);
        size_t cut = simrng_below(&r, b.len);
        uint8_t *copy = exact(b.data, cut);
        assert_errno(super_decode(slice_of(copy, cut), &back), EIO);
        assert_int_equal(back.chunk_bytes, 0); /* nothing half-read is left */
        free(copy);
    }
    buf_release(&b);
}

static void test_super_ranges(void **state)
{
    (void)state;
    struct super_record s = {.chunk_bytes = 16 << 10}, back;
    struct buf b = {0};
    super_encode(&s, &b);
    static const struct {
        size_t at;
        uint32_t value;
        int expected;
    } cases[] = {
        {0, 0, -EIO},
        {0, 1, 0},
        {0, 2, -EPROTONOSUPPORT},
        {4, 1, -EPROTONOSUPPORT},
        {8, 1u << 31, -EPROTONOSUPPORT},
        {12, 8 << 10, -EIO},
        {12, 16 << 10, 0},
        {12, 48 << 10, -EIO},
        {12, 1 << 20, 0},
        {12, 2 << 20, -EIO},
        {12, 0, -EIO},
        {16, 19, 0},
        {16, 20, -EIO},
        {16, UINT32_MAX, -EIO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t before = get_u32(b.data + cases[i].at);
        put_u32(b.data + cases[i].at, cases[i].value);
        assert_int_equal(super_decode(buf_slice(&b), &back), cases[i].expected);
        put_u32(b.data + cases[i].at, before);
    }
    /* A newer version is recognised even if the rest makes no sense to this one. */
    put_u32(b.data, 2);
    b.len = 12;
    assert_errno(super_decode(buf_slice(&b), &back), EPROTONOSUPPORT);
    buf_release(&b);
}

static void test_small_records(void **state)
{
    (void)state;
    struct counters c = {.inodes = -5, .chunks = INT64_MAX}, back;
    struct buf b = {0};
    uint64_t next;
    counters_encode(&c, &b);
    assert_slice(buf_slice(&b), "\xfb\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                 16);
    assert_ok(counters_decode(buf_slice(&b), &back));
    assert_true(back.inodes == -5 && back.chunks == INT64_MAX);
    for (size_t len = 0; len < 16; len++) {
        uint8_t *copy = exact(b.data, len);
        assert_errno(counters_decode(slice_of(copy, len), &back), EIO);
        free(copy);
    }
    const struct {
        uint64_t value;
        int expected;
    } numbers[] = {{0, -EIO},        {FS_INO_FIRST - 1, -EIO}, {FS_INO_FIRST, 0},
                   {FS_INO_MASK, 0}, {FS_INO_MASK + 1, -EIO},  {UINT64_MAX, -EIO}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uint8_t bytes[8];
        put_u64(bytes, numbers[i].value);
        assert_int_equal(next_ino_decode(slice_of(bytes, 8), &next), numbers[i].expected);
        assert_errno(next_ino_decode(slice_of(bytes, 7), &next), EIO);
    }
    buf_release(&b);
}

static int decode_dirent(uint64_t ino, uint8_t type, const void *name, size_t len)
{
    struct dirent_record d;
    struct buf b = {0};
    buf_put_u64(&b, ino);
    buf_put_u8(&b, type);
    buf_append_bytes(&b, name, len);
    uint8_t *copy = exact(b.data, b.len);
    int err = dirent_decode(slice_of(copy, b.len), &d);
    if (err == 0) {
        assert_true(d.ino == ino && d.type == type);
        assert_slice(d.name, name, len);
    }
    free(copy);
    buf_release(&b);
    return err;
}

static void test_dirent(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'n', sizeof name);
    struct dirent_record d = {.ino = 0x10, .type = 8, .name = slice_str("ab")};
    struct buf b = {0};
    dirent_encode(&d, &b);
    assert_slice(buf_slice(&b),
                 "\x10\0\0\0\0\0\0\0\x08"
                 "ab",
                 11);
    buf_release(&b);
    assert_ok(decode_dirent(16, 8, "a", 1));
    assert_ok(decode_dirent(FS_INO_MASK, 4, name, 255));
    assert_ok(decode_dirent(16, 8, "\xff\x01\\", 3));
    assert_ok(decode_dirent(16, 8, "...", 3));
    assert_errno(decode_dirent(16, 8, name, 256), EIO);
    assert_errno(decode_dirent(16, 8, "", 0), EIO);
    assert_errno(decode_dirent(16, 8, "a/b", 3), EIO);
    assert_errno(decode_dirent(16, 8, "a\0b", 3), EIO);
    assert_errno(decode_dirent(16, 8, ".", 1), EIO);
    assert_errno(decode_dirent(16, 8, "..", 2), EIO);
    assert_errno(decode_dirent(0, 8, "a", 1), EIO);
    assert_errno(decode_dirent(FS_INO_MASK + 1, 8, "a", 1), EIO);
    assert_errno(decode_dirent(16, 3, "a", 1), EIO);
    assert_errno(decode_dirent(16, 16 + 8, "a", 1), EIO);
    struct dirent_record back;
    for (size_t len = 0; len < 9; len++)
        assert_errno(dirent_decode(slice_of("\x10\0\0\0\0\0\0\0\x08", len), &back), EIO);
}

/* ---- slots ---- */

static void test_slots(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    size_t share[16] = {0}, differ = 0;
    enum { NAMES = 40000 };
    for (int i = 0; i < NAMES; i++) {
        char name[32];
        int len = snprintf(name, sizeof name, "name %d", i);
        uint64_t seed = simrng_next(&r);
        uint64_t slot = dirent_slot(seed, slice_of(name, (size_t)len));
        assert_true(slot >= SLOT_MIN && slot <= SLOT_MAX);
        assert_true(slot == dirent_slot(seed, slice_of(name, (size_t)len)));
        share[(slot - SLOT_MIN) / ((SLOT_MAX - SLOT_MIN) / 16 + 1)]++;
        differ += slot != dirent_slot(seed + 1, slice_of(name, (size_t)len));
    }
    for (int i = 0; i < 16; i++) /* 2500 expected; 6 standard deviations */
        assert_in_range(share[i], 2500 - 300, 2500 + 300);
    assert_int_equal(differ, NAMES);
    assert_true(dirent_slot_next(SLOT_MIN) == SLOT_MIN + 1);
    assert_true(dirent_slot_next(SLOT_MAX) == SLOT_MIN);
    /* A fixed point: volumes on disk depend on it. */
    const char *text = "a folder entry with a somewhat longer name.txt";
    assert_true(dirent_slot(1, slice_str("varve")) == UINT64_C(4958376436518651101));
    assert_true(dirent_slot(UINT64_C(0x123456789abcdef0), slice_str(text)) ==
                UINT64_C(6392277241250902361));
}

/* ---- patches ---- */

static void test_patches(void **state)
{
    (void)state;
    struct buf b = {0};
    enum patch_kind kind;
    uint32_t offset;
    struct slice bytes;
    patch_put_write(&b, 300, slice_str("xy"));
    patch_put_cut(&b, 5);
    patch_put_write(&b, FS_CHUNK_BYTES_MAX, (struct slice){0});
    patch_put_zero(&b, 300, 400);
    assert_slice(slice_of(b.data, 9), "\1\xac\2\2xy\2\5\1", 9);
    assert_slice(slice_of(b.data + b.len - 5, 5), "\3\xac\2\x90\3", 5);
    struct slice in = buf_slice(&b);
    assert_ok(patch_take(&in, &kind, &offset, &bytes));
    assert_true(kind == PATCH_WRITE && offset == 300);
    assert_slice_str(bytes, "xy");
    assert_ok(patch_take(&in, &kind, &offset, &bytes));
    assert_true(kind == PATCH_CUT && offset == 5 && bytes.len == 0);
    assert_ok(patch_take(&in, &kind, &offset, &bytes));
    assert_true(kind == PATCH_WRITE && offset == FS_CHUNK_BYTES_MAX && bytes.len == 0);
    assert_ok(patch_take(&in, &kind, &offset, &bytes));
    assert_true(kind == PATCH_ZERO && offset == 300 && bytes.len == 400);
    assert_absent(patch_take(&in, &kind, &offset, &bytes));
    buf_release(&b);
}

static int take_raw(const char *data, size_t len)
{
    enum patch_kind kind;
    uint32_t offset;
    struct slice bytes;
    uint8_t *copy = exact(data, len);
    struct slice in = slice_of(copy, len);
    int err = patch_take(&in, &kind, &offset, &bytes);
    free(copy);
    return err;
}

static void test_patches_hostile(void **state)
{
    (void)state;
    assert_errno(take_raw("\0\0", 2), EIO);
    assert_errno(take_raw("\4\0", 2), EIO);
    assert_errno(take_raw("\3\0", 2), EIO);
    assert_ok(take_raw("\3\0\x80\x80\x40", 5));
    assert_errno(take_raw("\3\1\x80\x80\x40", 5), EIO);
    assert_errno(take_raw("\3\0\xff\xff\xff\xff\xff\xff\1", 9), EIO);
    assert_errno(take_raw("\1", 1), EIO);
    assert_errno(take_raw("\1\0", 2), EIO);
    assert_errno(take_raw("\1\0\2x", 4), EIO);
    assert_ok(take_raw("\2\x80\x80\x40", 4));         /* 1 MiB */
    assert_errno(take_raw("\2\x81\x80\x40", 4), EIO); /* one more */
    assert_errno(take_raw("\1\x80\x80\x40\1x", 6), EIO);
    assert_errno(take_raw("\1\xff\xff\xff\xff\xff\xff\1x", 8), EIO);
}

/* ---- any bytes ---- */

static void decode_all(struct slice in)
{
    struct super_record s;
    struct counters c;
    struct inode n;
    struct dirent_record d;
    enum patch_kind kind;
    uint32_t offset;
    uint64_t next;
    struct slice bytes;
    int err = super_decode(in, &s);
    assert_true(err == 0 || err == -EIO || err == -EPROTONOSUPPORT);
    err = counters_decode(in, &c);
    assert_true(err == 0 || err == -EIO);
    err = next_ino_decode(in, &next);
    assert_true(err == 0 || err == -EIO);
    err = inode_decode(in, 5, &n);
    assert_true(err == 0 || err == -EIO);
    err = dirent_decode(in, &d);
    assert_true(err == 0 || err == -EIO);
    while ((err = patch_take(&in, &kind, &offset, &bytes)) == 0)
        assert_true(offset + bytes.len <= FS_CHUNK_BYTES_MAX);
    assert_true(err == 1 || err == -EIO);
}

static void test_hostile_bytes(void **state)
{
    (void)state;
    struct simrng r = {unit_seed()};
    struct buf b = {0};
    for (int i = 0; i < 60000; i++) {
        buf_clear(&b);
        struct inode n = random_inode(&r);
        struct super_record s = random_super(&r);
        switch (simrng_below(&r, 4)) {
        case 0:
            inode_encode(&n, &b);
            break;
        case 1:
            super_encode(&s, &b);
            break;
        case 2:
            patch_put_write(&b, (uint32_t)simrng_below(&r, 1000), slice_str("some bytes"));
            patch_put_cut(&b, (uint32_t)simrng_below(&r, 1000));
            break;
        default:
            for (uint64_t len = simrng_below(&r, 80); len > 0; len--)
                buf_put_u8(&b, (uint8_t)simrng_next(&r));
        }
        for (uint64_t flips = simrng_below(&r, 4); flips > 0 && b.len > 0; flips--)
            b.data[simrng_below(&r, b.len)] ^= (uint8_t)(1u << simrng_below(&r, 8));
        size_t len = simrng_coin(&r) ? b.len : simrng_below(&r, b.len + 1);
        uint8_t *copy = exact(b.data, len);
        decode_all(slice_of(copy, len));
        free(copy);
    }
    buf_release(&b);
}

static void test_limits_and_compressions(void **state)
{
    (void)state;
    struct buf b = {0};
    struct quota_record q, quota = {.limit_bytes = 1 << 30, .taking = true, .from = 4711};
    struct quota_used u, used = {.inodes = -3, .bytes = INT64_C(1) << 40};
    struct policy p, policy = {.start = 77, .end = 1101, .since = 300, .level = 9};
    quota_encode(&quota, &b);
    assert_ok(quota_decode(buf_slice(&b), &q));
    assert_true(q.limit_bytes == quota.limit_bytes && q.taking && q.from == quota.from);
    for (size_t cut = 0; cut < b.len; cut++)
        assert_errno(quota_decode(slice_of(b.data, cut), &q), EIO);
    assert_errno(quota_decode(slice_of("\5\0\1", 3), &q), EIO); /* from, and not taking */
    assert_errno(quota_decode(slice_of("\5\2\0", 3), &q), EIO);
    buf_clear(&b);
    quota_used_encode(&used, &b);
    assert_ok(quota_used_decode(buf_slice(&b), &u));
    assert_true(u.inodes == used.inodes && u.bytes == used.bytes);
    assert_errno(quota_used_decode(slice_of(b.data, 15), &u), EIO);
    buf_clear(&b);
    policy_encode(&policy, &b);
    assert_ok(policy_decode(buf_slice(&b), 77, &p));
    assert_true(p.end == policy.end && p.level == 9 && p.since == 300);
    for (size_t cut = 0; cut < b.len; cut++)
        assert_errno(policy_decode(slice_of(b.data, cut), 77, &p), EIO);
    assert_errno(policy_decode(slice_of("\0\1\0", 3), 77, &p), EIO);  /* of no inodes */
    assert_errno(policy_decode(slice_of("\1\24\0", 3), 77, &p), EIO); /* level 20 */
    assert_errno(policy_decode(slice_of("\1\1\0", 3), 0, &p), EIO);
    assert_errno(policy_decode(slice_of("\2\1\0", 3), FS_INO_MASK, &p), EIO);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_bytes),
        cmocka_unit_test(test_key_interval),
        cmocka_unit_test(test_key_order),
        cmocka_unit_test(test_key_split_short),
        cmocka_unit_test(test_inode_round_trip),
        cmocka_unit_test(test_limits_and_compressions),
        cmocka_unit_test(test_inode_bytes),
        cmocka_unit_test(test_inode_ranges),
        cmocka_unit_test(test_super_round_trip),
        cmocka_unit_test(test_super_ranges),
        cmocka_unit_test(test_small_records),
        cmocka_unit_test(test_dirent),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_patches),
        cmocka_unit_test(test_patches_hostile),
        cmocka_unit_test(test_hostile_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
