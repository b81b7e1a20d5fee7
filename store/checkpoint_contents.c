/* checkpoint_contents: the edit by which a version is made that has what another one has, or had up
 * to some number.
 *
 * Invariant: what a cut takes from the new version, but not from the files, is counted: whole
 * tables at once as garbage of the blob files, parts of tables when a compaction rewrites them. */
#include "store/checkpoint.h"

/* A table of which only a part belongs to the new store. So that it is rewritten some day, about so
 * much of it as lies behind the cut is said to be held for a pin that will never be. */
static struct table_meta *meta_cut(const struct table_meta *m, uint64_t cut_seq)
{
    struct table_meta *cut = table_meta_copy(m);
    uint64_t shares = 0, all = m->max_seq - m->min_seq + 1, behind = m->max_seq - cut_seq + 1;
    for (uint32_t i = 0; i < m->share_count; i++)
        shares += m->shares[i].bytes;
    double part = (double)behind / (double)all;
    cut->cut_seq = cut_seq;
    table_meta_add_held(cut, SEQ_MAX,
                        1 + (uint64_t)(part * (double)(table_meta_bytes(m) + shares)));
    return cut;
}

static void add_table(struct edit *e, uint64_t cut_seq, int level, struct table_meta *meta)
{
    uint64_t cut = cut_seq;
    if (cut && meta->cut_seq && meta->cut_seq < cut)
        cut = meta->cut_seq;
    if (cut_seq == 0 || meta->max_seq < cut_seq) {
        edit_add_table(e, level, meta);
    } else if (meta->min_seq >= cut_seq) {
        for (uint32_t i = 0; i < meta->share_count; i++)
            edit_add_garbage(e, meta->shares[i].file, meta->shares[i].count, meta->shares[i].bytes);
    } else {
        struct table_meta *part = meta_cut(meta, cut);
        edit_add_table(e, level, part);
        table_meta_unref(part);
    }
}

void checkpoint_contents(const struct version *v, uint64_t cut_seq, struct edit *e)
{
    e->has_uuid = e->has_next_file = e->has_flushed = e->has_log = e->has_history = true;
    e->features = v->features;
    e->flushed_seq = v->flushed_seq;
    e->history_seq = cut_seq ? v->flushed_seq : v->history_seq; /* what is cut off is gone */
    for (uint32_t i = 0; i < v->blob_count; i++) {
        const struct version_blob_state *b = &v->blobs[i];
        edit_add_blob(e, b->blob->number, b->count, b->bytes, b->file_bytes);
        edit_set_blob_key(e, b->blob->number, b->key_epoch, b->header_sum);
        if (b->garbage_count > 0 || b->garbage_bytes > 0)
            edit_add_garbage(e, b->blob->number, b->garbage_count, b->garbage_bytes);
    }
    for (int level = 0; level < LEVEL_COUNT; level++)
        for (uint32_t i = 0; i < v->levels[level].count; i++)
            add_table(e, cut_seq, level, v->levels[level].tables[i]->meta);
    for (uint32_t i = 0; i < v->pin_count; i++)
        if (cut_seq == 0 || v->pins[i].seq <= cut_seq)
            edit_add_pin(e, &v->pins[i]);
}
