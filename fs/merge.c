/* merge: how the store folds partial updates of the file system: sums for the counters, patches for
 * chunks of data. Declared in fs/format.h.
 *
 * Folding is associative: one MERGE made of several does what they do in turn, so the store may
 * fold in any grouping that keeps the order. */
#include "fs/format.h"

enum {
    PARTIAL_BYTES_MAX =
        2 * FS_CHUNK_BYTES_MAX, /* longer runs are left apart until their base is met */
    PARTIAL_LOOK = 64,          /* later patches that may make one superfluous */
};

/* ---- counters ---- */

/* Those of the volume and those of a limit are of one form: two sums. */
static int fold_counters(const struct slice *base, const struct slice *operands, size_t count,
                         struct buf *out)
{
    struct counters sum = {0}, c;
    if (base && counters_decode(*base, &sum) < 0)
        return -EIO;
    for (size_t i = 0; i < count; i++) {
        if (counters_decode(operands[i], &c) < 0)
            return -EIO;
        /* Without overflow, whatever the disk says. */
        sum.inodes = (int64_t)((uint64_t)sum.inodes + (uint64_t)c.inodes);
        sum.chunks = (int64_t)((uint64_t)sum.chunks + (uint64_t)c.chunks);
    }
    counters_encode(&sum, out);
    return 0;
}

/* ---- patches ---- */

/* `out` holds the chunk from `start` on. */
static void apply(struct buf *out, size_t start, enum patch_kind kind, uint32_t offset,
                  struct slice bytes)
{
    assert(start <= out->len && offset <= FS_CHUNK_BYTES_MAX);
    size_t len = out->len - start;
    if (kind == PATCH_CUT) {
        if (len > offset)
            out->len = start + offset;
        return;
    }
    size_t end = offset + bytes.len;
    if (kind == PATCH_ZERO) {
        if (len > offset)
            memset(out->data + start + offset, 0, (end < len ? end : len) - offset);
        return;
    }
    if (end > len) {
        buf_reserve(out, end - len);
        memset(out->data + out->len, 0, end - len);
        out->len = start + end;
    }
    assert(end <= FS_CHUNK_BYTES_MAX && out->len - start >= end);
    if (bytes.len)
        memcpy(out->data + start + offset, bytes.data, bytes.len);
}

static int fold_patches(const struct slice *base, const struct slice *operands, size_t count,
                        struct buf *out)
{
    size_t start = out->len;
    if (base)
        buf_append(out, *base);
    for (size_t i = 0; i < count; i++) {
        struct slice in = operands[i], bytes;
        enum patch_kind kind;
        uint32_t offset;
        int err;
        while ((err = patch_take(&in, &kind, &offset, &bytes)) == 0)
            apply(out, start, kind, offset, bytes);
        if (err < 0)
            return err;
    }
    return 0;
}

struct patch {
    enum patch_kind kind;
    uint32_t offset;
    struct slice bytes;
};

/* A write, or zeros, all of whose bytes a later write replaces has no effect, whatever lies
 * between.
 */
static bool superfluous(const struct patch *list, size_t i, size_t count)
{
    const struct patch *p = &list[i];
    assert(i < count);
    if (p->kind == PATCH_CUT)
        return false;
    for (size_t j = i + 1; j < count && j <= i + PARTIAL_LOOK; j++)
        if (list[j].kind == PATCH_WRITE && list[j].offset <= p->offset &&
            list[j].offset + list[j].bytes.len >= p->offset + p->bytes.len)
            return true;
    return false;
}

static int parse(const struct slice *operands, size_t count, struct patch **list, size_t *n)
{
    size_t cap = 0;
    *list = NULL;
    *n = 0;
    for (size_t i = 0; i < count; i++) {
        struct slice in = operands[i];
        struct patch p;
        int err;
        while ((err = patch_take(&in, &p.kind, &p.offset, &p.bytes)) == 0) {
            if (*n == cap) {
                cap = cap ? cap * 2 : 16;
                *list = mem_realloc(*list, cap * sizeof **list);
            }
            (*list)[(*n)++] = p;
        }
        if (err < 0)
            return err;
    }
    return 0;
}

static int join_patches(const struct slice *operands, size_t count, struct buf *out)
{
    struct patch *list;
    size_t n, start = out->len;
    int err = parse(operands, count, &list, &n);
    for (size_t i = 0; i < n && err == 0; i++) {
        if (superfluous(list, i, n))
            continue;
        if (list[i].kind == PATCH_WRITE)
            patch_put_write(out, list[i].offset, list[i].bytes);
        else if (list[i].kind == PATCH_ZERO)
            patch_put_zero(out, list[i].offset, (uint32_t)list[i].bytes.len);
        else
            patch_put_cut(out, list[i].offset);
        if (out->len - start > PARTIAL_BYTES_MAX)
            err = 1;
    }
    if (err)
        out->len = start;
    free(list);
    return err;
}

/* ---- the operator ---- */

static bool is_counters(struct slice key)
{
    struct key all = key_super(SUPER_COUNTERS), one = key_super(SUPER_QUOTA_USED);
    return slice_eq(key, key_slice(&all)) || slice_has_prefix(key, key_slice(&one));
}

static int merge_full(void *ctx, struct slice key, const struct slice *base,
                      const struct slice *operands, size_t count, struct buf *out)
{
    (void)ctx;
    int err = is_counters(key) ? fold_counters(base, operands, count, out)
                               : fold_patches(base, operands, count, out);
    return err < 0 ? corrupt("a table", UINT64_MAX, "a merge operand that is no patch") : 0;
}

static int merge_partial(void *ctx, struct slice key, const struct slice *operands, size_t count,
                         struct buf *out)
{
    (void)ctx;
    int err = is_counters(key) ? fold_counters(NULL, operands, count, out)
                               : join_patches(operands, count, out);
    return err < 0 ? corrupt("a table", UINT64_MAX, "a merge operand that is no patch") : err;
}

const struct store_merge fs_merge = {.full = merge_full, .partial = merge_partial};
