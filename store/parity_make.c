/* parity_make: writes the companion of a finished file.
 *
 * The file is read once, a strip of rows at a time: a piece of each column, which together give a
 * piece of each parity column. The checksums come last, since they are known last; so a companion
 * that is cut off has no sound checksums, and is of no use, but does no harm.
 *
 * Memory: a strip, and 8 bytes a shard. */
#include "store/parity_priv.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>
#include <isa-l/erasure_code.h>
#include <stdlib.h>
#include <xxhash.h>

enum { STRIP_PIECE_BYTES = 64 << 10, TABLE_BYTES_EACH = 32 };

struct making {
    struct parity_layout layout;
    struct env_file *data, *io;
    uint8_t header[FILE_HEADER_SIZE];
    uint64_t seed;
    uint64_t *sums;
    uint8_t *tables; /* of the code, for ISA-L */
    uint8_t *strip;  /* pieces of all columns, data first */
    uint32_t strip_rows;
};

static void making_release(struct making *m)
{
    if (m->data)
        m->data->ops->close(m->data);
    if (m->io)
        m->io->ops->close(m->io);
    free(m->sums);
    free(m->tables);
    free(m->strip);
}

static void code_init(struct making *m)
{
    const struct parity_layout *l = &m->layout;
    size_t k = l->data;
    uint8_t *matrix = parity_matrix(l);
    m->tables = mem_alloc(TABLE_BYTES_EACH * k * l->parity);
    ec_init_tables((int)k, (int)l->parity, matrix + k * k, m->tables);
    free(matrix);
    m->strip_rows = STRIP_PIECE_BYTES / l->shard_bytes;
    if (m->strip_rows == 0)
        m->strip_rows = 1;
    m->strip = mem_alloc((size_t)m->strip_rows * l->shard_bytes * (l->data + l->parity));
    m->sums = mem_zalloc(parity_sums_bytes(l));
}

static uint8_t *piece_of(const struct making *m, uint32_t column)
{
    return m->strip + (size_t)column * m->strip_rows * m->layout.shard_bytes;
}

/* Rows [row, row + rows) of a data column, zeros where the file has ended. */
static int read_piece(struct making *m, uint32_t column, uint32_t row, uint32_t rows)
{
    const struct parity_layout *l = &m->layout;
    uint8_t *piece = piece_of(m, column);
    uint32_t first = column * l->rows + row;
    size_t len = (size_t)rows * l->shard_bytes, want = len, got = 0;
    uint64_t offset = (uint64_t)first * l->shard_bytes;
    uint64_t left = offset < l->file_bytes ? l->file_bytes - offset : 0;
    want = left < want ? (size_t)left : want;
    int err = want ? m->data->ops->read(m->data, offset, piece, want, &got) : 0;
    if (err == 0 && got < want)
        err = -EIO;
    if (err < 0)
        return err;
    memset(piece + want, 0, len - want);
    for (uint32_t i = 0; i < rows && first + i < l->shards; i++)
        m->sums[first + i] = parity_shard_sum(
            m->seed, first + i, piece + (size_t)i * l->shard_bytes, parity_shard_len(l, first + i));
    return 0;
}

static int write_piece(struct making *m, uint32_t column, uint32_t row, uint32_t rows)
{
    const struct parity_layout *l = &m->layout;
    const uint8_t *piece = piece_of(m, l->data + column);
    uint32_t first = column * l->rows + row;
    for (uint32_t i = 0; i < rows; i++)
        m->sums[l->shards + first + i] = parity_shard_sum(
            m->seed, l->shards + first + i, piece + (size_t)i * l->shard_bytes, l->shard_bytes);
    return m->io->ops->write(m->io, parity_shards_at(l) + (uint64_t)first * l->shard_bytes, piece,
                             (size_t)rows * l->shard_bytes);
}

static int make_strip(struct making *m, uint32_t row)
{
    const struct parity_layout *l = &m->layout;
    uint32_t rows = l->rows - row < m->strip_rows ? l->rows - row : m->strip_rows;
    uint8_t *in[PARITY_DATA_MAX], *out[PARITY_MAX];
    int err = 0;
    for (uint32_t c = 0; c < l->data && err == 0; c++) {
        in[c] = piece_of(m, c);
        err = read_piece(m, c, row, rows);
    }
    if (err < 0)
        return err;
    for (uint32_t c = 0; c < l->parity; c++)
        out[c] = piece_of(m, l->data + c);
    ec_encode_data((int)(rows * l->shard_bytes), (int)l->data, (int)l->parity, m->tables, in, out);
    for (uint32_t c = 0; c < l->parity && err == 0; c++)
        err = write_piece(m, c, row, rows);
    return err;
}

/* The checksums as they are on disk. */
static void encode_sums(const struct making *m, struct buf *out)
{
    uint32_t count = parity_shard_count(&m->layout);
    for (uint32_t i = 0; i < count; i++)
        buf_put_u64(out, m->sums[i]);
    buf_put_u64(out, XXH3_64bits_withSeed(out->data, out->len, m->seed + PARITY_SEED_SUMS));
    assert(out->len == parity_sums_bytes(&m->layout));
}

/* All that is doubled: behind the shards, then in front, so that a file that was cut off does not
 * look whole. */
static int write_ends(struct making *m)
{
    struct buf sums = {0}, part = {0};
    uint8_t head[PARITY_HEAD_BYTES];
    encode_sums(m, &sums);
    parity_head_encode(&m->layout, m->seed, head);
    buf_append(&part, buf_slice(&sums));
    buf_append_bytes(&part, head, sizeof head);
    buf_append_bytes(&part, m->header, sizeof m->header);
    int err =
        m->io->ops->write(m->io, parity_layout_bytes(&m->layout) - part.len, part.data, part.len);
    buf_clear(&part);
    buf_append_bytes(&part, m->header, sizeof m->header);
    buf_append_bytes(&part, head, sizeof head);
    buf_append(&part, buf_slice(&sums));
    if (err == 0)
        err = m->io->ops->write(m->io, 0, part.data, part.len);
    buf_release(&part);
    buf_release(&sums);
    return err;
}

static int make_header(struct env *env, uint64_t number, const uint8_t *uuid, struct making *m)
{
    struct file_header h = {.kind = FILE_PARITY, .version = FORMAT_VERSION, .number = number};
    memcpy(h.uuid, uuid, UUID_SIZE);
    int err = env->random(env, h.salt, SALT_SIZE);
    file_header_encode(&h, m->header);
    m->seed = parity_seed(m->header);
    return err;
}

static int open_data(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                     const struct parity_options *opt, struct making *m)
{
    char *path = name_file(dir, kind, number);
    uint64_t size = 0;
    int err = env->open(env, path, ENV_OPEN_READ, &m->data);
    if (err == 0)
        err = m->data->ops->size(m->data, &size);
    if (err == 0 && size == 0)
        err = -EIO;
    if (err == 0) {
        parity_layout_init(&m->layout, size, opt);
        code_init(m);
    }
    free(path);
    return err;
}

static int create(struct env *env, const char *path, struct making *m)
{
    int err = env->open(env, path, ENV_OPEN_CREATE, &m->io);
    if (err == -EEXIST) {
        err = env->remove(env, path);
        if (err == 0)
            err = env->open(env, path, ENV_OPEN_CREATE, &m->io);
    }
    return err;
}

static int fill(struct making *m)
{
    int err = 0;
    for (uint32_t row = 0; row < m->layout.rows && err == 0; row += m->strip_rows)
        err = make_strip(m, row);
    if (err == 0)
        err = write_ends(m);
    return err == 0 ? m->io->ops->sync(m->io) : err;
}

int parity_make(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                const uint8_t uuid[UUID_SIZE], const struct parity_options *opt, uint64_t *bytes)
{
    struct making m = {0};
    char *path = name_file(dir, FILE_PARITY, number);
    assert(kind == FILE_TABLE || kind == FILE_BLOB);
    *bytes = 0;
    int err = open_data(env, dir, kind, number, opt, &m);
    if (err == 0)
        err = make_header(env, number, uuid, &m);
    if (err == 0)
        err = create(env, path, &m);
    if (err == 0)
        err = fill(&m);
    bool made = m.io != NULL;
    if (err == 0)
        *bytes = parity_layout_bytes(&m.layout);
    making_release(&m);
    if (err < 0) {
        log_message(LOG_WARNING, "%s: no parity could be made for it: %s", path, strerror(-err));
        if (made)
            env->remove(env, path);
    }
    free(path);
    return err;
}

int parity_remove(struct env *env, const char *dir, uint64_t number)
{
    char *path = name_file(dir, FILE_PARITY, number);
    int err = env->remove(env, path);
    free(path);
    return err == -ENOENT ? 1 : err;
}
