/* codec_zstd: the compression of the block pipeline: zstd with and without a dictionary, and when
 * not to compress at all. What a frame around it looks like is codec.h's.
 *
 * A dictionary (RFC 8878, section 5) is what zstd takes to be in front of a value, with tables of
 * how often what occurs; blocks of a few KiB, which hold too little to learn from, come out as
 * small as large ones do without. It carries a number of 32 bits that zstd writes into everything
 * made with it, and asks for when that is decoded: a wrong dictionary is an error, not wrong data.
 */
#ifndef VARVE_STORE_CODEC_ZSTD_H
#define VARVE_STORE_CODEC_ZSTD_H

#include "store/bytes.h"

enum {
    ZSTD_LEVEL_MAX = 19,
    ZSTD_DICT_BYTES_MAX = 1 << 20, /* of a dictionary; a longer one is refused */
};

/* A dictionary in memory, ready for use. Reference-counted, thread-safe. */
struct codec_dict;

/* Copies `content`. `id` (1 to 65535) is what frames call it. Returns 0 with one reference, or
 * -EIO: that is no dictionary. */
int codec_dict_new(uint16_t id, struct slice content, struct codec_dict **out);
/* The same, but one of that number and content that is in memory already and was got by this
 * function is used again. So tables that have the same dictionary share it. */
int codec_dict_share(uint16_t id, struct slice content, struct codec_dict **out);
/* How many there are that were got so, in this process. */
uint32_t codec_dict_shared_count(void);
struct codec_dict *codec_dict_ref(struct codec_dict *d);
void codec_dict_unref(struct codec_dict *d); /* NULL is fine */
uint16_t codec_dict_id(const struct codec_dict *d);
struct slice codec_dict_content(const struct codec_dict *d); /* lives as long as the dictionary */
/* What is kept of it: content, tables for decoding, and for each level that was used. */
uint64_t codec_dict_memory_bytes(const struct codec_dict *d);
/* That divided by the number of those who hold it. */
uint64_t codec_dict_share_bytes(const struct codec_dict *d);

/* What is known of a stream (the values of one batch) that is in a hurry: zero-initialise. */
struct pack_hurry {
    uint8_t left;  /* values that the verdict still holds for */
    bool no_match; /* looking for repeats does not pay */
};

/* How a value is to be compressed. */
struct pack_how {
    int zstd_level;          /* 0: not at all; to ZSTD_LEVEL_MAX */
    struct codec_dict *dict; /* NULL: none; borrowed */
    /* Of the stream that the value belongs to (the blocks of one table, the values of one batch):
     * how many in a row did not shrink. NULL: nothing is remembered. One thread at a time. */
    uint8_t *misses;
    /* Not NULL: processors are what is short. Then at level 1, whose point is speed, a large value
     * in which repeats save little is coded by how often its bytes occur and no more: three times
     * as fast, and a quarter larger at most by a sample. It is zstd's format all the same, and
     * decodes faster. */
    struct pack_hurry *hurry;
};

/* The longest stored form that is worth decompressing again: 15/16 of the value. */
static inline size_t zstd_useful_len(size_t raw_len)
{
    return raw_len - raw_len / 16;
}

/* Compresses to `out`, which has room for zstd_useful_len() bytes. Returns the length; 0: it is not
 * worth while, or was not asked for. Thread-safe; keeps a context per thread. */
size_t zstd_pack(struct slice in, const struct pack_how *how, uint8_t *out);
/* Decodes into `out` of exactly `raw_len` bytes. `dict` NULL: without. Returns 0, or -EIO when the
 * bytes are none that decode to that length with that dictionary. Total over any bytes. */
int zstd_unpack(struct slice stored, const struct codec_dict *dict, uint8_t *out, size_t raw_len);

#endif
