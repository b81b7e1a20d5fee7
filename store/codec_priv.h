/* codec_priv: what the files of the codec module share; nobody else includes it. */
#ifndef VARVE_STORE_CODEC_PRIV_H
#define VARVE_STORE_CODEC_PRIV_H

#include <pthread.h>
#include <zstd.h>

#include "store/codec.h"

#define FRAME_SIZE_MAX ((size_t)FRAME_HEADER_SIZE + FRAME_RAW_MAX + FRAME_SEAL_SIZE)

/* Memory of this thread for `len` bytes, good until it is asked for again. */
uint8_t *codec_scratch(size_t len);

/* Decrypts the stored payload (at least FRAME_SEAL_SIZE bytes) of the frame at `offset` into `out`,
 * which takes FRAME_SEAL_SIZE bytes less and may be where `stored` begins. Returns 0 or -EIO. */
int codec_open(const struct codec_file *cf, uint64_t offset, const struct frame_header *h,
               struct slice stored, uint8_t *out);

/* ---- dictionaries (codec_dict.c) ---- */

struct codec_dict {
    int refs; /* atomic; of one that is shared: [known_lock] */
    uint16_t id;
    bool shared; /* codec_dict_share() finds it */
    struct buf content;
    ZSTD_DDict *decode;
    pthread_mutex_t making;                 /* held while tables for a level are made */
    ZSTD_CDict *levels[ZSTD_LEVEL_MAX + 1]; /* atomic: made at first use, then never changes */
    struct codec_dict *next;                /* [known_lock] of those that are shared */
};

/* Ready for compressing at that level. NULL when zstd does not take it for that: it decodes all the
 * same. */
const ZSTD_CDict *codec_dict_for_level(struct codec_dict *d, int level);

#endif
