/* compact_dict: see compact_dict.h.
 *
 * What the job will write is not known yet, but is much like what it reads: of the inputs' blocks
 * so many are read, evenly spread, as the sample takes. A block that is larger than those to be
 * written counts as far as one of those would reach. */
#include "store/compact_dict.h"

#include <assert.h>
#include <stdlib.h>

#include "store/dicts.h"
#include "store/press.h"

enum {
    LEVELS_WITH = 2,        /* the last levels */
    SAMPLE_BYTES = 1 << 20, /* at most */
    SAMPLE_BLOCKS = 256,    /* at most */
    DICT_PART = 64,         /* the inputs have at least so many times the size of a dictionary */
};

struct sample {
    struct buf bytes; /* the blocks, one behind the other */
    struct dict_block blocks[SAMPLE_BLOCKS];
    size_t count;
    struct codec_dict *used; /* by an input, borrowed */
};

/* Keeps lengths in place of addresses: the bytes may move. A block that cannot be read is left out:
 * the job will meet it. */
static void take(struct sample *s, struct table *t, uint64_t i, size_t len_max)
{
    struct buf block = {0};
    if (table_copy_block(t, (uint32_t)i, &block) == 0) {
        size_t len = block.len < len_max ? block.len : len_max;
        buf_append_bytes(&s->bytes, block.data, len);
        s->blocks[s->count++].raw.len = len;
    }
    buf_release(&block);
}

static void fill(struct sample *s, struct table *const *tables, size_t count, size_t len_max)
{
    uint64_t total = 0, before = 0;
    size_t wanted = SAMPLE_BYTES / len_max;
    wanted = wanted < SAMPLE_BLOCKS ? wanted + 1 : SAMPLE_BLOCKS;
    for (size_t i = 0; i < count; i++)
        total += table_block_count(tables[i]);
    if (total == 0)
        return;
    uint64_t stride = (total + wanted - 1) / wanted, at = stride / 2;
    for (size_t i = 0; i < count; before += table_block_count(tables[i++])) {
        for (; at < before + table_block_count(tables[i]); at += stride)
            take(s, tables[i], at - before, len_max);
        s->used = s->used ? s->used : table_dict(tables[i]);
    }
    assert(s->count <= SAMPLE_BLOCKS);
}

struct codec_dict *compact_dict(const struct job *j, const struct pick *p,
                                struct table *const *tables, size_t count)
{
    const struct store_options *set = &j->set->o;
    struct dicts *dicts = j->tree->dicts;
    struct strength strength;
    uint64_t input_bytes = 0;
    for (size_t i = 0; i < count; i++)
        input_bytes += table_meta_bytes(table_get_meta(tables[i]));
    if (tree_closing(j->tree) || set->dict_bytes == 0 ||
        p->output_level < LEVEL_COUNT - LEVELS_WITH || input_bytes / DICT_PART < set->dict_bytes)
        return NULL;
    struct sample *s = mem_zalloc(sizeof *s);
    fill(s, tables, count, set->block_bytes);
    strength_of_tables(&strength, set, p->output_level);
    int level = strength_of_mask(&strength, (1U << STORE_CLASSES) - 1);
    for (size_t i = 0, at = 0; i < s->count; at += s->blocks[i++].raw.len)
        s->blocks[i] =
            (struct dict_block){slice_of(s->bytes.data + at, s->blocks[i].raw.len), level};
    dicts_offer(dicts, s->used);
    struct dict_wanted wanted = {.dict_bytes = set->dict_bytes,
                                 .gain_percent = set->dict_gain_percent,
                                 .expected_bytes =
                                     input_bytes < j->table_bytes ? input_bytes : j->table_bytes};
    struct codec_dict *dict = dicts_choose(dicts, s->blocks, s->count, &wanted);
    buf_release(&s->bytes);
    free(s);
    return dict;
}
