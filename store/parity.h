/* parity: a companion of a finished table or blob file, NNNNNN.parity, from which damaged parts of
 * it are rebuilt: Reed-Solomon over the bytes as they are on disk, so it needs no key.
 *
 * The file is cut in shards of `shard_bytes`; shard i lies in column i / rows, row i % rows. The
 * `data` shards of a row (a group: they lie far apart in the file) and its `parity` shards can be
 * had from any `data` of them, so a row survives `parity` damaged shards, and the file a damaged
 * run of about parity * rows shards. Each shard has a checksum, so that it is known which are
 * damaged. The code is the Cauchy matrix of ISA-L's gf_gen_cauchy1_matrix() over GF(2^8),
 * polynomial 0x11d.
 *
 * On disk (docs/FORMAT.md, 10):
 *
 *   0    file header, kind 5, number of the file that it protects
 *   96   head, 32 bytes
 *   128  checksums: u64 each, of the data shards (the last one may be short), then of the parity
 *        shards column by column; XXH3 of them all
 *   ...  parity shards, column by column
 *   ...  checksums, head and file header again, in this order: the header ends the file
 *
 *   head: 0 bytes of the file u64   8 shard bytes u32   12 data columns u16   14 parity columns u16
 *         16 rows u32   20 reserved u32 (0)   24 XXH3 of bytes 0..24
 *   seeds: S = the checksum in the file header; the head's is S, that of the checksums S + 1, shard
 *   j's S + 2 + j (parity shards are counted on after the data shards)
 *
 * What is rebuilt is proved by its shard's checksum here, and once more by whoever reads it, since
 * frames have their own: a parity file that is old, foreign or damaged can do no harm. */
#ifndef VARVE_STORE_PARITY_H
#define VARVE_STORE_PARITY_H

#include "store/env.h"
#include "store/format.h"

enum {
    PARITY_DATA_MAX = 128, /* data columns */
    PARITY_MAX = 32,       /* parity columns */
    PARITY_SHARD_BYTES = 4096,
};

struct parity_options {
    uint32_t data, parity; /* columns; parity 0: none is made */
};
/* 0 or -EINVAL. */
int parity_options_check(const struct parity_options *opt);

/* Shards and where they are. Follows from the size of a file and the columns asked for. */
struct parity_layout {
    uint64_t file_bytes;
    uint32_t shard_bytes; /* 4 KiB, doubled until the file has no more than 2^20 shards */
    uint32_t data, parity, rows;
    uint32_t shards; /* of the file */
};
/* The layout for a file of `file_bytes` (> 0): no more data columns than it has shards. */
void parity_layout_init(struct parity_layout *l, uint64_t file_bytes,
                        const struct parity_options *opt);
/* Bytes of the companion. */
uint64_t parity_layout_bytes(const struct parity_layout *l);

/* ---- the head (a decoder of its own, for tests and fuzzing) ---- */
enum { PARITY_HEAD_BYTES = 32 };
void parity_head_encode(const struct parity_layout *l, uint64_t seed,
                        uint8_t out[PARITY_HEAD_BYTES]);
/* 0, or -EIO for what parity_head_encode() does not write. */
int parity_head_decode(const uint8_t in[PARITY_HEAD_BYTES], uint64_t seed, struct parity_layout *l);

/* ---- making ---- */

/* Makes the companion of file `number` of `kind` (FILE_TABLE or FILE_BLOB), which is complete and
 * not written to any more, and syncs it (the folder is the caller's); one that is there is
 * replaced. `*bytes` is its size. On failure, logged, nothing of it is left as far as it can be
 * removed: the file is as good without. */
int parity_make(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                const uint8_t uuid[UUID_SIZE], const struct parity_options *opt, uint64_t *bytes);
/* Removes the companion. Returns 0, 1 when there is none, or an error. Durable when the folder is
 * synced. */
int parity_remove(struct env *env, const char *dir, uint64_t number);

/* ---- using ---- */
struct parity;

/* Opens the companion of the file at `data_path` with number `number`. Returns 0, 1 when there is
 * none that could be used (logged, unless it is just not there), or an I/O error. Whatever is
 * damaged in it, the rest of it is used. */
int parity_open(struct env *env, const char *data_path, uint64_t number, struct parity **out);
void parity_free(struct parity *p); /* NULL is fine */
/* Of the file that it protects. */
const struct parity_layout *parity_get_layout(const struct parity *p);
/* Bytes [offset, offset + len) of the file `data` as they were when the companion was made, rebuilt
 * where they are damaged or cannot be read. Returns 0, or 1 when that is not possible. */
int parity_restore(struct parity *p, struct env_file *data, uint64_t offset, uint8_t *out,
                   size_t len);
/* Reads all of the companion itself. Returns 0 when it is whole, 1 when it is damaged somewhere and
 * should be made again, or an I/O error. */
int parity_check(struct parity *p);

#endif
