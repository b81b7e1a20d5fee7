/* dict_maker: records that look like one another, as those of a store do, and a dictionary trained
 * from them. */
#ifndef VARVE_UNIT_DICT_MAKER_H
#define VARVE_UNIT_DICT_MAKER_H

#include "tests/sim/simrng.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <zdict.h>

enum { RECORD_BYTES = 160, DICT_BYTES = 4096 };

/* One record of `kind`; records of one kind share most of their text. */
static inline void record_fill(struct simrng *rng, int kind, uint8_t out[RECORD_BYTES])
{
    char text[2 * RECORD_BYTES];
    unsigned name = (unsigned)simrng_next(rng), uid = (unsigned)simrng_below(rng, 1000);
    memset(text, '.', sizeof text);
    int len = kind == 0 ? snprintf(text, sizeof text,
                                   "{\"name\":\"%08x\",\"mode\":33188,\"owner\":{\"uid\":%u,"
                                   "\"gid\":100},\"flags\":[\"archive\"]}",
                                   name, uid)
                        : snprintf(text, sizeof text,
                                   "<row id='%08x'><cell type='number'>%u</cell><cell "
                                   "type='text'>lorem</cell></row>",
                                   name, uid);
    text[len] = ';';
    memcpy(out, text, RECORD_BYTES);
}

/* `len` bytes of records. */
static inline void records_fill(struct simrng *rng, int kind, uint8_t *out, size_t len)
{
    uint8_t record[RECORD_BYTES];
    for (size_t at = 0; at < len; at += RECORD_BYTES) {
        record_fill(rng, kind, record);
        memcpy(out + at, record, len - at < RECORD_BYTES ? len - at : RECORD_BYTES);
    }
}

static inline void dict_train(struct simrng *rng, int kind, struct buf *out)
{
    enum { SAMPLES = 400 };
    uint8_t *samples = mem_alloc(SAMPLES * RECORD_BYTES);
    size_t lens[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) {
        record_fill(rng, kind, samples + i * RECORD_BYTES);
        lens[i] = RECORD_BYTES;
    }
    buf_clear(out);
    size_t len =
        ZDICT_trainFromBuffer(buf_reserve(out, DICT_BYTES), DICT_BYTES, samples, lens, SAMPLES);
    assert_false(ZDICT_isError(len));
    out->len = len;
    free(samples);
}

#endif
