/* format: see format.h. Decoders are total: whatever the bytes are, they end in 0, 1 or -EIO and
 * never read outside.
 *
 * Invariant: each decoder takes the fields it knows from the front and lets what follows be, so
 * that a later minor version may append. */
#include "fs/format.h"

#include <xxhash.h>

/* ---- keys ---- */

static struct key key_begin(uint64_t ino, uint8_t kind)
{
    struct key k = {.len = 9};
    put_be64(k.bytes, ino);
    k.bytes[8] = kind;
    return k;
}

static struct key key_number(uint64_t ino, uint8_t kind, uint64_t number)
{
    struct key k = key_begin(ino, kind);
    put_be64(k.bytes + 9, number);
    k.len = 17;
    return k;
}

struct key key_super(enum fs_super_kind kind)
{
    return key_begin(0, (uint8_t)kind);
}

struct key key_orphan(uint64_t ino)
{
    return key_number(0, SUPER_ORPHAN, ino);
}

struct key key_quota(uint64_t folder)
{
    return key_number(0, SUPER_QUOTA, folder);
}

struct key key_quota_used(uint64_t folder)
{
    return key_number(0, SUPER_QUOTA_USED, folder);
}

struct key key_policy(uint64_t start)
{
    return key_number(0, SUPER_POLICY, start);
}

struct key key_attr(uint64_t ino)
{
    return key_begin(ino, KIND_ATTR);
}

struct key key_xattr(uint64_t ino, const char *name)
{
    struct key k = key_begin(ino, KIND_XATTR);
    size_t len = strlen(name);
    assert(len >= 1 && len <= 255);
    memcpy(k.bytes + 9, name, len);
    k.len = (uint16_t)(9 + len);
    return k;
}

struct key key_dirent(uint64_t dir, uint64_t slot)
{
    return key_number(dir, KIND_DIRENT, slot);
}

struct key key_chunk(uint64_t ino, uint64_t chunk)
{
    return key_number(ino, KIND_DATA, chunk);
}

struct key key_kind(uint64_t ino, enum fs_kind kind)
{
    return key_begin(ino, (uint8_t)kind);
}

bool key_split(struct slice key, uint64_t *ino, uint8_t *kind, struct slice *rest)
{
    *rest = key;
    return take_be64(rest, ino) && take_u8(rest, kind);
}

/* ---- superblock ---- */

enum { SUPER_VERSION = 1 };

static bool chunk_bytes_valid(uint32_t bytes)
{
    return (bytes & (bytes - 1)) == 0 && bytes >= FS_CHUNK_BYTES_MIN && bytes <= FS_CHUNK_BYTES_MAX;
}

static bool zstd_level_valid(int32_t level)
{
    return level >= 0 && level <= FS_ZSTD_LEVEL_MAX;
}

void super_encode(const struct super_record *s, struct buf *out)
{
    assert(chunk_bytes_valid(s->chunk_bytes) && zstd_level_valid(s->zstd_level));
    buf_put_u32(out, SUPER_VERSION);
    buf_put_u64(out, s->features);
    buf_put_u32(out, s->chunk_bytes);
    buf_put_u32(out, (uint32_t)s->zstd_level);
    buf_put_u64(out, s->hash_seed);
    buf_put_u64(out, (uint64_t)s->made_ns);
    buf_append_bytes(out, s->uuid, sizeof s->uuid);
}

static bool super_take(struct slice *in, struct super_record *s)
{
    uint32_t level;
    uint64_t made;
    struct slice uuid;
    if (!take_u32(in, &s->chunk_bytes) || !take_u32(in, &level) || !take_u64(in, &s->hash_seed) ||
        !take_u64(in, &made) || !take_bytes(in, sizeof s->uuid, &uuid))
        return false;
    s->zstd_level = (int32_t)level;
    s->made_ns = (int64_t)made;
    memcpy(s->uuid, uuid.data, sizeof s->uuid);
    return chunk_bytes_valid(s->chunk_bytes) && zstd_level_valid(s->zstd_level);
}

int super_decode(struct slice in, struct super_record *s)
{
    *s = (struct super_record){0};
    if (!take_u32(&in, &s->version) || !take_u64(&in, &s->features) || s->version == 0)
        return -EIO;
    if (s->version > SUPER_VERSION || s->features != 0)
        return -EPROTONOSUPPORT;
    if (super_take(&in, s))
        return 0;
    *s = (struct super_record){0};
    return -EIO;
}

void counters_encode(const struct counters *c, struct buf *out)
{
    buf_put_u64(out, (uint64_t)c->inodes);
    buf_put_u64(out, (uint64_t)c->chunks);
}

int counters_decode(struct slice in, struct counters *c)
{
    uint64_t inodes, chunks;
    *c = (struct counters){0};
    if (!take_u64(&in, &inodes) || !take_u64(&in, &chunks))
        return -EIO;
    *c = (struct counters){(int64_t)inodes, (int64_t)chunks};
    return 0;
}

int next_ino_decode(struct slice in, uint64_t *next)
{
    return take_u64(&in, next) && *next >= FS_INO_FIRST && *next <= FS_INO_MASK ? 0 : -EIO;
}

/* ---- what was received ---- */

void received_encode(const struct received_record *r, struct buf *out)
{
    buf_put_u64(out, r->seq);
    buf_put_u64(out, (uint64_t)r->created_ns);
    buf_put_u64(out, r->pin_tag);
    buf_put_u64(out, (uint64_t)r->pin_created_ns);
}

int received_decode(struct slice in, struct received_record *r)
{
    uint64_t created, pin_created;
    *r = (struct received_record){0};
    if (!take_u64(&in, &r->seq) || !take_u64(&in, &created) || !take_u64(&in, &r->pin_tag) ||
        !take_u64(&in, &pin_created))
        return -EIO;
    r->created_ns = (int64_t)created;
    r->pin_created_ns = (int64_t)pin_created;
    return 0;
}

/* ---- limits of folders ---- */

void quota_encode(const struct quota_record *q, struct buf *out)
{
    assert(q->taking || q->from == 0);
    buf_put_varint(out, q->limit_bytes);
    buf_put_u8(out, q->taking);
    buf_put_varint(out, q->from);
}

int quota_decode(struct slice in, struct quota_record *q)
{
    uint8_t taking;
    *q = (struct quota_record){0};
    if (!take_varint(&in, &q->limit_bytes) || !take_u8(&in, &taking) ||
        !take_varint(&in, &q->from) || taking > 1 || q->from > FS_INO_MASK ||
        (!taking && q->from) || q->limit_bytes > FS_QUOTA_MAX)
        return -EIO;
    q->taking = taking;
    return 0;
}

void quota_used_encode(const struct quota_used *u, struct buf *out)
{
    buf_put_u64(out, (uint64_t)u->inodes);
    buf_put_u64(out, (uint64_t)u->bytes);
}

int quota_used_decode(struct slice in, struct quota_used *u)
{
    uint64_t inodes, bytes;
    *u = (struct quota_used){0};
    if (!take_u64(&in, &inodes) || !take_u64(&in, &bytes))
        return -EIO;
    *u = (struct quota_used){(int64_t)inodes, (int64_t)bytes};
    return 0;
}

/* ---- compression of single files ---- */

void policy_encode(const struct policy *p, struct buf *out)
{
    assert(p->start < p->end && p->level <= FS_ZSTD_LEVEL_MAX);
    buf_put_varint(out, p->end - p->start);
    buf_put_u8(out, p->level);
    buf_put_varint(out, p->since);
}

int policy_decode(struct slice in, uint64_t start, struct policy *p)
{
    uint64_t count;
    *p = (struct policy){.start = start};
    if (start == 0 || start > FS_INO_MASK || !take_varint(&in, &count) ||
        !take_u8(&in, &p->level) || !take_varint(&in, &p->since) || count == 0 ||
        count > FS_INO_MASK - start + 1 || p->level > FS_ZSTD_LEVEL_MAX)
        return -EIO;
    p->end = start + count;
    return 0;
}

/* ---- inodes ---- */

static bool type_valid(uint32_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) ||
           S_ISFIFO(mode) || S_ISSOCK(mode);
}

static bool ino_valid(uint64_t ino)
{
    return ino > 0 && ino <= FS_INO_MASK;
}

static void put_time(struct buf *out, struct fs_time t)
{
    assert(t.nsec < 1000000000);
    buf_put_u64(out, (uint64_t)t.sec);
    buf_put_u32(out, t.nsec);
}

static bool take_time(struct slice *in, struct fs_time *t)
{
    uint64_t sec;
    if (!take_u64(in, &sec) || !take_u32(in, &t->nsec))
        return false;
    t->sec = (int64_t)sec;
    return t->nsec < 1000000000;
}

void inode_encode(const struct inode *n, struct buf *out)
{
    assert(type_valid(n->mode) && ino_valid(n->parent));
    assert(n->size <= (uint64_t)FS_FILE_SIZE_MAX);
    buf_put_u32(out, n->mode);
    buf_put_u32(out, n->nlink);
    buf_put_u32(out, n->uid);
    buf_put_u32(out, n->gid);
    buf_put_u32(out, n->flags);
    put_time(out, n->atime);
    put_time(out, n->mtime);
    put_time(out, n->ctime);
    put_time(out, n->btime);
    buf_put_varint(out, n->rdev);
    buf_put_varint(out, n->size);
    buf_put_varint(out, n->chunks);
    buf_put_varint(out, n->parent);
    /* Each of these is there only if those before it are. */
    if (n->slot || n->quota || n->policy)
        buf_put_u64(out, n->slot);
    if (n->quota || n->policy)
        buf_put_varint(out, n->quota);
    if (n->policy)
        buf_put_u8(out, n->policy);
}

int inode_decode(struct slice in, uint64_t ino, struct inode *n)
{
    *n = (struct inode){.ino = ino};
    bool ok = take_u32(&in, &n->mode) && take_u32(&in, &n->nlink) && take_u32(&in, &n->uid) &&
              take_u32(&in, &n->gid) && take_u32(&in, &n->flags) && take_time(&in, &n->atime) &&
              take_time(&in, &n->mtime) && take_time(&in, &n->ctime) && take_time(&in, &n->btime) &&
              take_varint(&in, &n->rdev) && take_varint(&in, &n->size) &&
              take_varint(&in, &n->chunks) && take_varint(&in, &n->parent);
    if (ok && in.len > 0)
        ok = take_u64(&in, &n->slot);
    if (ok && in.len > 0)
        ok = take_varint(&in, &n->quota) && n->quota <= FS_INO_MASK;
    if (ok && in.len > 0)
        ok = take_u8(&in, &n->policy) && n->policy <= FS_ZSTD_LEVEL_MAX + 1;
    return ok && type_valid(n->mode) && ino_valid(n->parent) &&
                   n->size <= (uint64_t)FS_FILE_SIZE_MAX
               ? 0
               : -EIO;
}

/* ---- directory entries ---- */

static bool name_valid(struct slice name)
{
    bool dots = slice_eq(name, slice_str(".")) || slice_eq(name, slice_str(".."));
    return name.len >= 1 && name.len <= FS_NAME_MAX && !dots && !memchr(name.data, 0, name.len) &&
           !memchr(name.data, '/', name.len);
}

void dirent_encode(const struct dirent_record *d, struct buf *out)
{
    assert(name_valid(d->name) && ino_valid(d->ino) && type_valid((uint32_t)d->type << 12));
    buf_put_u64(out, d->ino);
    buf_put_u8(out, d->type);
    buf_append(out, d->name);
}

int dirent_decode(struct slice in, struct dirent_record *d)
{
    *d = (struct dirent_record){0};
    if (!take_u64(&in, &d->ino) || !take_u8(&in, &d->type))
        return -EIO;
    d->name = in;
    return name_valid(in) && ino_valid(d->ino) && d->type <= S_IFMT >> 12 &&
                   type_valid((uint32_t)d->type << 12)
               ? 0
               : -EIO;
}

uint64_t dirent_slot(uint64_t hash_seed, struct slice name)
{
    uint64_t hash = XXH3_64bits_withSeed(name.data, name.len, hash_seed);
    /* Scaled by multiplication: the high 64 bits of hash * span. */
    unsigned __int128 wide = (unsigned __int128)hash * (SLOT_MAX - SLOT_MIN + 1);
    return SLOT_MIN + (uint64_t)(wide >> 64);
}

uint64_t dirent_slot_next(uint64_t slot)
{
    assert(slot >= SLOT_MIN && slot <= SLOT_MAX);
    return slot == SLOT_MAX ? SLOT_MIN : slot + 1;
}

/* ---- patches ---- */

void patch_put_write(struct buf *out, uint32_t offset, struct slice bytes)
{
    assert(offset + bytes.len <= FS_CHUNK_BYTES_MAX);
    buf_put_u8(out, PATCH_WRITE);
    buf_put_varint(out, offset);
    buf_put_lenbytes(out, bytes);
}

void patch_put_cut(struct buf *out, uint32_t offset)
{
    assert(offset <= FS_CHUNK_BYTES_MAX);
    buf_put_u8(out, PATCH_CUT);
    buf_put_varint(out, offset);
}

void patch_put_zero(struct buf *out, uint32_t offset, uint32_t len)
{
    assert(offset <= FS_CHUNK_BYTES_MAX && len <= FS_CHUNK_BYTES_MAX - offset);
    buf_put_u8(out, PATCH_ZERO);
    buf_put_varint(out, offset);
    buf_put_varint(out, len);
}

int patch_take(struct slice *in, enum patch_kind *kind, uint32_t *offset, struct slice *bytes)
{
    uint8_t k;
    uint32_t zeros = 0;
    *bytes = (struct slice){0};
    if (in->len == 0)
        return 1;
    if (!take_u8(in, &k) || !take_varint32(in, offset))
        return -EIO;
    if (k == PATCH_WRITE && !take_lenbytes(in, bytes))
        return -EIO;
    if (k == PATCH_ZERO && !take_varint32(in, &zeros))
        return -EIO;
    if (zeros)
        *bytes = slice_of(NULL, zeros);
    if (k < PATCH_WRITE || k > PATCH_ZERO || *offset > FS_CHUNK_BYTES_MAX ||
        bytes->len > FS_CHUNK_BYTES_MAX - *offset)
        return -EIO;
    *kind = (enum patch_kind)k;
    return 0;
}
