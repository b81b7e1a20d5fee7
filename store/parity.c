/* parity: the layout and the head of a companion, and rebuilding from it; making one is
 * parity_make.c's.
 *
 * Guarantees: every decoder is total. What parity_restore() gives back matches the checksums that
 * were made with the companion; memory is bounded by the checksums and one row.
 *
 * Invariants (layout_valid):
 *   1. shards = ceil(file_bytes / shard_bytes) <= 2^20; rows = ceil(shards / data) and no column is
 *      without a shard of the file.
 *   2. 1 <= data <= PARITY_DATA_MAX, 1 <= parity <= PARITY_MAX, so that all elements of the matrix
 *      are different elements of GF(2^8). */
#include "store/parity_priv.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>
#include <isa-l/erasure_code.h>
#include <stdlib.h>
#include <xxhash.h>

#define SHARDS_MAX UINT32_C(0x100000)
enum { HEAD_AT_SHARD = 8, HEAD_AT_DATA = 12, HEAD_AT_PARITY = 14, HEAD_AT_ROWS = 16 };
enum { HEAD_AT_RESERVED = 20, HEAD_AT_SUM = 24, TABLE_BYTES_EACH = 32 };

/* ---- layout ---- */

int parity_options_check(const struct parity_options *opt)
{
    bool good = opt->parity == 0 ||
                (opt->parity <= PARITY_MAX && opt->data >= 1 && opt->data <= PARITY_DATA_MAX);
    return good ? 0 : -EINVAL;
}

static uint32_t ceil_div(uint64_t a, uint64_t b)
{
    return (uint32_t)((a + b - 1) / b);
}

static bool layout_valid(const struct parity_layout *l)
{
    return l->file_bytes > 0 && l->shard_bytes >= PARITY_SHARD_BYTES && l->data >= 1 &&
           l->data <= PARITY_DATA_MAX && l->parity >= 1 && l->parity <= PARITY_MAX &&
           l->shards >= 1 && l->shards <= SHARDS_MAX && l->rows == ceil_div(l->shards, l->data) &&
           l->data == ceil_div(l->shards, l->rows);
}

void parity_layout_init(struct parity_layout *l, uint64_t file_bytes,
                        const struct parity_options *opt)
{
    assert(file_bytes > 0 && file_bytes <= INT64_MAX && opt->parity > 0);
    assert(parity_options_check(opt) == 0);
    *l = (struct parity_layout){
        .file_bytes = file_bytes, .shard_bytes = PARITY_SHARD_BYTES, .parity = opt->parity};
    while (l->file_bytes > (uint64_t)l->shard_bytes * SHARDS_MAX && l->shard_bytes < 1U << 30)
        l->shard_bytes *= 2;
    l->shards = ceil_div(file_bytes, l->shard_bytes);
    l->rows = ceil_div(l->shards, opt->data);
    l->data = ceil_div(l->shards, l->rows);
    assert(layout_valid(l));
}

uint64_t parity_layout_bytes(const struct parity_layout *l)
{
    return 2 * parity_shards_at(l) + (uint64_t)l->parity * l->rows * l->shard_bytes;
}

/* ---- head and checksums ---- */

uint64_t parity_seed(const uint8_t header[FILE_HEADER_SIZE])
{
    return get_u64(header + FILE_HEADER_SIZE - PARITY_SUM_BYTES);
}

uint64_t parity_shard_sum(uint64_t seed, uint32_t shard, const uint8_t *bytes, size_t len)
{
    return XXH3_64bits_withSeed(bytes, len, seed + PARITY_SEED_SHARDS + shard);
}

void parity_head_encode(const struct parity_layout *l, uint64_t seed,
                        uint8_t out[PARITY_HEAD_BYTES])
{
    assert(layout_valid(l));
    put_u64(out, l->file_bytes);
    put_u32(out + HEAD_AT_SHARD, l->shard_bytes);
    put_u16(out + HEAD_AT_DATA, (uint16_t)l->data);
    put_u16(out + HEAD_AT_PARITY, (uint16_t)l->parity);
    put_u32(out + HEAD_AT_ROWS, l->rows);
    put_u32(out + HEAD_AT_RESERVED, 0);
    put_u64(out + HEAD_AT_SUM, XXH3_64bits_withSeed(out, HEAD_AT_SUM, seed));
}

int parity_head_decode(const uint8_t in[PARITY_HEAD_BYTES], uint64_t seed, struct parity_layout *l)
{
    *l = (struct parity_layout){.file_bytes = get_u64(in),
                                .shard_bytes = get_u32(in + HEAD_AT_SHARD),
                                .data = get_u16(in + HEAD_AT_DATA),
                                .parity = get_u16(in + HEAD_AT_PARITY),
                                .rows = get_u32(in + HEAD_AT_ROWS)};
    if (get_u64(in + HEAD_AT_SUM) != XXH3_64bits_withSeed(in, HEAD_AT_SUM, seed) ||
        get_u32(in + HEAD_AT_RESERVED) != 0 || l->file_bytes > INT64_MAX ||
        l->shard_bytes < PARITY_SHARD_BYTES || l->shard_bytes > 1U << 30)
        return -EIO;
    uint64_t shards = (l->file_bytes + l->shard_bytes - 1) / l->shard_bytes;
    if (shards == 0 || shards > SHARDS_MAX || l->rows == 0 || l->data == 0)
        return -EIO;
    l->shards = (uint32_t)shards;
    return layout_valid(l) ? 0 : -EIO;
}

uint8_t *parity_matrix(const struct parity_layout *l)
{
    uint8_t *matrix = mem_alloc((size_t)(l->data + l->parity) * l->data);
    gf_gen_cauchy1_matrix(matrix, (int)(l->data + l->parity), (int)l->data);
    return matrix;
}

/* ---- opening ---- */

struct parity {
    struct env_file *io;
    char *path;
    uint64_t size, seed;
    struct parity_layout layout;
    struct buf sums; /* as on disk, with the checksum over them */
    bool worn;       /* one of its doubled parts does not verify */
};

/* Whole, or 1. An error of the disk is damage like any other: the other copy may be readable. */
static int read_at(const struct parity *p, uint64_t offset, uint8_t *out, size_t len)
{
    size_t got = 0;
    int err = p->io->ops->read(p->io, offset, out, len, &got);
    return err < 0 || got < len ? 1 : 0;
}

/* One of the doubled parts: in front or behind. The two places differ only in offset. */
typedef int load_fn(struct parity *p, uint64_t offset, uint64_t number);

static int load_header(struct parity *p, uint64_t offset, uint64_t number)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file_header h;
    if (read_at(p, offset, bytes, sizeof bytes) != 0 ||
        file_header_decode(slice_of(bytes, sizeof bytes), &h) != HEADER_OK ||
        h.kind != FILE_PARITY || h.number != number)
        return 1;
    p->seed = parity_seed(bytes);
    return 0;
}

static int load_head(struct parity *p, uint64_t offset, uint64_t number)
{
    uint8_t bytes[PARITY_HEAD_BYTES];
    (void)number;
    if (read_at(p, offset, bytes, sizeof bytes) != 0 ||
        parity_head_decode(bytes, p->seed, &p->layout) < 0)
        return 1;
    return parity_layout_bytes(&p->layout) == p->size ? 0 : 1;
}

static int load_sums(struct parity *p, uint64_t offset, uint64_t number)
{
    size_t len = (size_t)parity_sums_bytes(&p->layout), own = len - PARITY_SUM_BYTES;
    (void)number;
    buf_clear(&p->sums);
    if (read_at(p, offset, buf_reserve(&p->sums, len), len) != 0)
        return 1;
    p->sums.len = len;
    uint64_t sum = XXH3_64bits_withSeed(p->sums.data, own, p->seed + PARITY_SEED_SUMS);
    return get_u64(p->sums.data + own) == sum ? 0 : 1;
}

static int load_either(struct parity *p, load_fn *load, uint64_t front, uint64_t back,
                       uint64_t number)
{
    if (load(p, front, number) == 0)
        return 0;
    p->worn = true;
    return load(p, back, number);
}

static int load(struct parity *p, uint64_t number)
{
    uint64_t head = FILE_HEADER_SIZE, sums = head + PARITY_HEAD_BYTES;
    if (p->size < 2 * sums)
        return 1;
    int rc = load_either(p, load_header, 0, p->size - head, number);
    if (rc == 0)
        rc = load_either(p, load_head, head, p->size - sums, number);
    if (rc == 0)
        rc =
            load_either(p, load_sums, sums, p->size - sums - parity_sums_bytes(&p->layout), number);
    return rc;
}

/* "DIR/000012.table" -> "DIR/000012.parity" */
static char *companion_of(const char *data_path)
{
    const char *dot = strrchr(data_path, '.');
    assert(dot);
    return mem_printf("%.*s.parity", (int)(dot - data_path), data_path);
}

int parity_open(struct env *env, const char *data_path, uint64_t number, struct parity **out)
{
    struct parity *p = mem_zalloc(sizeof *p);
    *out = NULL;
    p->path = companion_of(data_path);
    int rc = env->open(env, p->path, ENV_OPEN_READ, &p->io);
    if (rc == 0)
        rc = p->io->ops->size(p->io, &p->size);
    if (rc == 0) {
        rc = load(p, number);
        if (rc == 1)
            log_message(LOG_WARNING, "%s: the parity file is damaged and of no use", p->path);
    } else if (rc == -ENOENT) {
        rc = 1;
    }
    if (rc != 0) {
        parity_free(p);
        return rc;
    }
    assert(layout_valid(&p->layout));
    *out = p;
    return 0;
}

void parity_free(struct parity *p)
{
    if (!p)
        return;
    if (p->io)
        p->io->ops->close(p->io);
    buf_release(&p->sums);
    free(p->path);
    free(p);
}

const struct parity_layout *parity_get_layout(const struct parity *p)
{
    return &p->layout;
}

/* ---- rebuilding ---- */

static bool sum_holds(const struct parity *p, uint32_t shard, const uint8_t *bytes, size_t len)
{
    uint64_t sum = get_u64(p->sums.data + (size_t)shard * PARITY_SUM_BYTES);
    return parity_shard_sum(p->seed, shard, bytes, len) == sum;
}

/* Shard `i` of the file with zeros behind its end. False when it is damaged. */
static bool read_shard(struct parity *p, struct env_file *data, uint32_t i, uint8_t *out)
{
    const struct parity_layout *l = &p->layout;
    size_t len = parity_shard_len(l, i), got = 0;
    int err = data->ops->read(data, (uint64_t)i * l->shard_bytes, out, len, &got);
    if (err < 0 || got < len || !sum_holds(p, i, out, len))
        return false;
    memset(out + len, 0, l->shard_bytes - len);
    return true;
}

/* Shard `row` of parity column `column`. */
static bool read_parity_shard(struct parity *p, uint32_t column, uint32_t row, uint8_t *out)
{
    const struct parity_layout *l = &p->layout;
    uint32_t i = column * l->rows + row;
    uint64_t at = parity_shards_at(l) + (uint64_t)i * l->shard_bytes;
    return read_at(p, at, out, l->shard_bytes) == 0 &&
           sum_holds(p, l->shards + i, out, l->shard_bytes);
}

/* As many sound shards of the row as its code has data columns. */
struct row {
    uint8_t *shards[PARITY_DATA_MAX];
    uint8_t which[PARITY_DATA_MAX]; /* row of the coding matrix */
    uint32_t count;
};

/* Column `c` of the row, parity counted on after the data. */
static bool read_column(struct parity *p, struct env_file *data, uint32_t c, uint32_t row,
                        uint8_t *out)
{
    const struct parity_layout *l = &p->layout;
    if (c >= l->data)
        return read_parity_shard(p, c - l->data, row, out);
    uint32_t i = c * l->rows + row;
    if (i < l->shards)
        return read_shard(p, data, i, out);
    memset(out, 0, l->shard_bytes); /* the last column may end early */
    return true;
}

/* False when too much is damaged. `room` has layout.data shards. */
static bool gather_row(struct parity *p, struct env_file *data, uint32_t row, uint8_t *room,
                       struct row *out)
{
    const struct parity_layout *l = &p->layout;
    out->count = 0;
    for (uint32_t c = 0; c < l->data + l->parity && out->count < l->data; c++) {
        uint8_t *shard = room + (size_t)out->count * l->shard_bytes;
        if (!read_column(p, data, c, row, shard))
            continue;
        out->shards[out->count] = shard;
        out->which[out->count++] = (uint8_t)c;
    }
    return out->count == l->data;
}

/* The data shard of `column`, from the shards gathered. */
static bool solve(const struct parity_layout *l, struct row *row, uint32_t column, uint8_t *out)
{
    size_t k = l->data;
    uint8_t *matrix = parity_matrix(l), *part = mem_alloc(2 * k * k), *inverse = part + k * k;
    uint8_t *tables = mem_alloc(TABLE_BYTES_EACH * k);
    for (size_t i = 0; i < k; i++)
        memcpy(part + i * k, matrix + row->which[i] * k, k);
    bool good = gf_invert_matrix(part, inverse, (int)k) == 0;
    if (good) {
        ec_init_tables((int)k, 1, inverse + column * k, tables);
        ec_encode_data((int)l->shard_bytes, (int)k, 1, tables, row->shards, &out);
    }
    free(tables);
    free(part);
    free(matrix);
    return good;
}

static bool rebuild_shard(struct parity *p, struct env_file *data, uint32_t i, uint8_t *out)
{
    const struct parity_layout *l = &p->layout;
    uint8_t *room = mem_alloc((size_t)l->data * l->shard_bytes);
    struct row row;
    assert(i < l->shards);
    bool good = gather_row(p, data, i % l->rows, room, &row) && solve(l, &row, i / l->rows, out) &&
                sum_holds(p, i, out, parity_shard_len(l, i));
    free(room);
    return good;
}

int parity_restore(struct parity *p, struct env_file *data, uint64_t offset, uint8_t *out,
                   size_t len)
{
    const struct parity_layout *l = &p->layout;
    if (offset > l->file_bytes || len > l->file_bytes - offset)
        return 1;
    uint8_t *shard = mem_alloc(l->shard_bytes);
    int rc = 0;
    while (len > 0 && rc == 0) {
        uint32_t i = (uint32_t)(offset / l->shard_bytes),
                 from = (uint32_t)(offset % l->shard_bytes);
        size_t n = parity_shard_len(l, i) - from;
        n = n < len ? n : len;
        if (!read_shard(p, data, i, shard) && !rebuild_shard(p, data, i, shard))
            rc = 1;
        else
            memcpy(out, shard + from, n);
        offset += n;
        out += n;
        len -= n;
    }
    free(shard);
    return rc;
}

/* Both copies of what is doubled, if the one behind is as good as the one in front. */
static bool back_is_sound(struct parity *p)
{
    struct parity back = {.io = p->io, .size = p->size, .path = p->path};
    uint64_t at = p->size - FILE_HEADER_SIZE;
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file_header h;
    if (read_at(p, at, bytes, sizeof bytes) != 0 ||
        file_header_decode(slice_of(bytes, sizeof bytes), &h) != HEADER_OK)
        return false;
    back.seed = parity_seed(bytes);
    at -= PARITY_HEAD_BYTES;
    bool good = back.seed == p->seed && load_head(&back, at, 0) == 0 &&
                load_sums(&back, at - parity_sums_bytes(&back.layout), 0) == 0;
    buf_release(&back.sums);
    return good;
}

int parity_check(struct parity *p)
{
    const struct parity_layout *l = &p->layout;
    if (p->worn || !back_is_sound(p))
        return 1;
    uint8_t *shard = mem_alloc(l->shard_bytes);
    bool good = true;
    for (uint32_t c = 0; c < l->parity && good; c++)
        for (uint32_t row = 0; row < l->rows && good; row++)
            good = read_parity_shard(p, c, row, shard);
    free(shard);
    return good ? 0 : 1;
}
