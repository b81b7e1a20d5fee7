/* parity_priv: what the files of the parity module share. The door is parity.h. */
#ifndef VARVE_STORE_PARITY_PRIV_H
#define VARVE_STORE_PARITY_PRIV_H

#include "store/parity.h"

enum { PARITY_SEED_SUMS = 1, PARITY_SEED_SHARDS = 2, PARITY_SUM_BYTES = 8 };

/* Shards of the file and of its companion together. */
static inline uint32_t parity_shard_count(const struct parity_layout *l)
{
    return l->shards + l->parity * l->rows;
}
/* Bytes of the checksums with the one over them. */
static inline uint64_t parity_sums_bytes(const struct parity_layout *l)
{
    return ((uint64_t)parity_shard_count(l) + 1) * PARITY_SUM_BYTES;
}
/* Where the parity shards begin. */
static inline uint64_t parity_shards_at(const struct parity_layout *l)
{
    return FILE_HEADER_SIZE + PARITY_HEAD_BYTES + parity_sums_bytes(l);
}
/* Bytes of the file in its shard `i`, all but the last of which are full. */
static inline uint32_t parity_shard_len(const struct parity_layout *l, uint32_t i)
{
    uint64_t left = l->file_bytes - (uint64_t)i * l->shard_bytes;
    return left < l->shard_bytes ? (uint32_t)left : l->shard_bytes;
}

/* The coding matrix, (data + parity) x data: the caller frees it. */
uint8_t *parity_matrix(const struct parity_layout *l);
uint64_t parity_shard_sum(uint64_t seed, uint32_t shard, const uint8_t *bytes, size_t len);
/* The seed of everything, from the encoded file header. */
uint64_t parity_seed(const uint8_t header[FILE_HEADER_SIZE]);

#endif
