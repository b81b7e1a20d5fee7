/* table_writer: writes a table front to back: data frames, index parts, filter, range tombstones,
 * properties, index, footer.
 *
 * A block is ended by the entry after which another of the size that its entries have would take it
 * past its aim. So it fits, with what the cache adds, into memory of the aim's size. Its index
 * entry waits for the key that comes next, since the separator lies between the two. Frames are
 * gathered and written in large pieces.
 *
 * Guarantees: nothing is known of the table before table_finish() returned 0, and then it is
 * synced; in every other end the file is removed. Memory: one piece, the index, and 8 bytes for
 * each key's filter hash.
 *
 * Invariants (writer_assert_valid):
 *   1. Entries come in internal order, so keys come in order and equal keys together: a key is
 * distinct from all before if it is from the last one.
 *   2. `last_key`, `last_seq` are those of the last entry; meta counts every entry added.
 *   3. A block is open (data.count > 0), or waits for its separator, or neither; never both.
 *   4. After a failure nothing is written any more. */
#include "store/append.h"
#include "store/press.h"
#include "store/table_priv.h"

#include "store/err.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    PIECE_BYTES = 512 << 10, /* written at once */
    CACHE_HEADER_BYTES = 96, /* what a cached block takes beside its bytes, or a few more */
    GROUP_BYTES = 1024,      /* between two restart points, where entries are not larger */
};

struct table_writer {
    struct env *env;
    struct append file;
    struct table_options opt;
    struct table_meta *meta;
    struct block_writer data, index;
    struct press *press;
    struct press_block *ended; /* NULL, or a block that waits for its separator */
    struct buf last_key;
    uint64_t last_seq, last_hash; /* the hash of last_key */
    uint64_t *hashes;
    size_t hash_count, hash_cap;
    uint32_t classes;          /* of the keys in the open block: a bit for each */
    struct rangedel *rangedel; /* a reference, or NULL */
    struct buf scratch;
    bool failed;
    uint64_t block_sums; /* of the entries in `data`; only if opt.sums */
    uint32_t warm;       /* entries of `data` that were called warm */
};

static void writer_assert_valid(const struct table_writer *w)
{
    assert(!w->failed);
    assert(!w->ended || w->data.count == 0);
    assert(w->hash_count <= 2 * w->meta->entry_count && w->hash_count <= w->hash_cap);
    assert(w->meta->entry_count >= w->data.count);
    assert(w->index.count == 0 || w->meta->entry_count > 0);
    (void)w;
}

static int put_block(void *ctx, struct press_block *b);

static void begin_press(struct table_writer *w)
{
    enum { DICT_PART = 16 }; /* the dictionary may be so large a part of the blocks */
    struct codec_dict *dict = w->opt.dict;
    struct press_options opt = {.dict = dict, .squad = w->opt.squad};
    if (dict)
        opt.dict_from_bytes = DICT_PART * (uint64_t)codec_dict_content(dict).len;
    w->press = press_new(&opt, put_block, w);
}

int table_create(struct env *env, const char *dir, uint64_t number, const uint8_t uuid[UUID_SIZE],
                 const struct table_options *opt, struct table_writer **out)
{
    struct append file;
    assert(opt->block_bytes > 0 && opt->block_bytes <= FRAME_RAW_MAX / 4);
    assert(opt->filter_one_in == 0 || (opt->filter_one_in >= 2 && opt->filter_one_in <= 65536));
    *out = NULL;
    int rc = append_create(env, dir, FILE_TABLE, number, uuid, &file);
    if (rc)
        return rc;
    struct table_writer *w = mem_zalloc(sizeof *w);
    w->env = env;
    w->file = file;
    w->opt = *opt;
    w->meta = table_meta_new();
    w->meta->number = number;
    w->meta->key_epoch = file.file.header.key_epoch;
    w->meta->placed_later = opt->placed_later;
    block_writer_init(&w->data, BLOCK_RESTART_INTERVAL);
    block_writer_init(&w->index, TABLE_INDEX_INTERVAL);
    begin_press(w);
    writer_assert_valid(w);
    *out = w;
    return 0;
}

static void writer_free(struct table_writer *w)
{
    if (w->ended)
        press_drop(w->press, w->ended);
    press_free(w->press);
    append_close(&w->file);
    table_meta_unref(w->meta);
    block_writer_release(&w->data);
    block_writer_release(&w->index);
    buf_release(&w->last_key);
    free(w->hashes);
    rangedel_unref(w->rangedel);
    buf_release(&w->scratch);
    free(w);
}

void table_abandon(struct table_writer *w)
{
    if (!w)
        return;
    char *path = mem_strdup(w->file.file.path);
    struct env *env = w->env;
    writer_free(w);
    int rc = env->remove(env, path);
    if (rc) /* nothing names the file: the next recovery removes it */
        log_message(LOG_WARNING, "%s: cannot remove the file: %s", path, strerror(-rc));
    free(path);
}

/* ---- frames ---- */

static int write_pending(struct table_writer *w)
{
    int rc = append_write(&w->file);
    w->failed = w->failed || rc != 0;
    return rc;
}

/* Seals the packed frame that begins at pending.data[at]. */
static int seal_frame(struct table_writer *w, size_t at, struct frame_ref *where)
{
    where->offset = w->file.size + at;
    where->len = append_seal(&w->file, at);
    return w->file.pending.len >= PIECE_BYTES ? write_pending(w) : 0;
}

/* Adds the frame of `payload`, and tells where it will be. */
static int put_frame(struct table_writer *w, struct slice payload, int zstd_level,
                     struct frame_ref *where)
{
    assert(payload.len <= FRAME_RAW_MAX);
    size_t at = w->file.pending.len;
    frame_pack(payload, zstd_level, &w->file.pending);
    return seal_frame(w, at, where);
}

/* ---- blocks ---- */

/* The dictionary stands before the first block, and once more behind the last. */
static int put_dict(struct table_writer *w, struct frame_ref *where)
{
    return put_frame(w, codec_dict_content(press_dict(w->press)), w->opt.strength.rest, where);
}

static int put_first_dict(struct table_writer *w)
{
    struct frame_ref where;
    int rc = put_dict(w, &where);
    assert(where.offset == FILE_HEADER_SIZE);
    w->meta->dict_len = where.len;
    return rc;
}

/* Reads the block once more when it is packed, and adds up the sums of its entries again. */
static int verify_block(const struct table_writer *w, const struct press_block *b)
{
    struct block block;
    struct block_iter bi;
    uint64_t sums = 0;
    if (!w->opt.sums)
        return 0;
    int err = block_open(buf_slice(&b->raw), &block);
    block_iter_init(&bi);
    if (err == 0) {
        block_iter_set(&bi, &block);
        for (err = iter_first(&bi.it); err == 0; err = iter_next(&bi.it))
            sums += entry_sum(&bi.it.e);
    }
    block_iter_release(&bi);
    if (err == 1 && sums == b->sums)
        return 0;
    return corrupt(w->file.file.path, append_offset(&w->file),
                   "a block was changed in memory before it was written: suspect the machine's "
                   "memory");
}

/* A block that is packed is written, with its index entry. */
static int put_block(void *ctx, struct press_block *b)
{
    struct table_writer *w = ctx;
    struct block_handle handle = {.min_seq = b->min_seq, .max_seq = b->max_seq};
    struct slice next_key = buf_slice(&b->next_key);
    int rc = verify_block(w, b);
    if (!rc && press_dict(w->press) && w->meta->dict_len == 0)
        rc = put_first_dict(w);
    if (rc)
        return rc;
    size_t at = w->file.pending.len;
    buf_append(&w->file.pending, buf_slice(&b->packed));
    rc = seal_frame(w, at, &handle.where);
    table_index_add(&w->index, &handle, buf_slice(&b->last_key), b->last_seq,
                    b->is_last ? NULL : &next_key);
    if (rc == 0 && b->warm)
        cache_release(w->opt.cache, cache_put(w->opt.cache, w->meta->number, handle.where.offset,
                                              buf_slice(&b->raw)));
    return rc;
}

/* The block that waits goes on its way; `next_key` NULL: there is no next block. */
static int send_block(struct table_writer *w, const struct slice *next_key)
{
    struct press_block *b = w->ended;
    b->is_last = !next_key;
    if (next_key)
        buf_set(&b->next_key, *next_key);
    w->ended = NULL;
    int rc = press_add(w->press, b);
    w->failed = w->failed || rc != 0;
    return rc;
}

/* ---- entries ---- */

static void end_block(struct table_writer *w)
{
    assert(w->data.count > 0 && !w->ended);
    struct press_block *b = press_block(w->press);
    uint32_t entries = w->data.count;
    b->min_seq = w->data.min_seq;
    b->max_seq = w->data.max_seq;
    b->last_seq = w->last_seq;
    buf_set(&b->last_key, buf_slice(&w->last_key));
    b->zstd_level = strength_of_mask(&w->opt.strength, w->classes);
    block_writer_finish(&w->data, &b->raw);
    w->meta->raw_bytes += b->raw.len;
    b->sums = w->block_sums;
    w->block_sums = 0;
    b->warm = w->opt.cache && w->warm > 0 && 2 * (uint64_t)w->warm >= entries;
    w->warm = 0;
    w->ended = b;
}

static void add_hash(struct table_writer *w, uint64_t hash)
{
    if (w->hash_count == w->hash_cap) {
        w->hash_cap = w->hash_cap ? w->hash_cap * 2 : 1024;
        w->hashes = mem_realloc(w->hashes, w->hash_cap * sizeof *w->hashes);
    }
    assert(w->hash_count < w->hash_cap);
    w->hashes[w->hash_count++] = hash;
}

/* Of a key that is new: its hash, and that of its prefix if that is new as well. */
static void add_hashes(struct table_writer *w, struct slice key)
{
    const struct store_prefix *rule = w->opt.prefix;
    add_hash(w, w->last_hash);
    size_t len = rule ? rule->len(key) : 0;
    if (len == 0)
        return;
    assert(len <= key.len);
    struct slice prefix = slice_of(key.data, len), last = buf_slice(&w->last_key);
    if (!slice_has_prefix(last, prefix) || rule->len(last) != len)
        add_hash(w, filter_hash_prefix(prefix, rule->id));
}

/* Entries may come from damaged tables, so a reference that is none is no mistake of ours. */
static int count_ref(struct table_writer *w, const struct entry *e)
{
    struct blob_ref ref;
    if (!blob_ref_decode(e->value, &ref)) {
        w->failed = true;
        return corrupt(w->file.file.path, UINT64_MAX,
                       "an entry that was to be written here has no sound blob reference");
    }
    table_meta_add_share(w->meta, ref.file, 1, ref.where.len);
    return 0;
}

static void widen_seqs(struct table_meta *m, uint64_t min_seq, uint64_t max_seq)
{
    bool first = m->entry_count == 0 && m->rangedel_count == 0;
    assert(min_seq <= max_seq && max_seq <= SEQ_MAX);
    if (first || min_seq < m->min_seq)
        m->min_seq = min_seq;
    if (first || max_seq > m->max_seq)
        m->max_seq = max_seq;
}

/* How many entries share a restart point in the block that `e` begins: so many that a search steps
 * over about GROUP_BYTES at most. It goes by what the entries of the table were like so far. */
static uint32_t interval_for(const struct table_writer *w, const struct entry *e)
{
    const struct table_meta *m = w->meta;
    uint64_t each = e->key.len + e->value.len, interval = BLOCK_RESTART_INTERVAL;
    if (m->entry_count > 0)
        each = m->raw_bytes / m->entry_count;
    while (interval > 1 && interval * each > GROUP_BYTES)
        interval /= 2;
    return (uint32_t)interval;
}

static bool block_is_full(const struct table_writer *w)
{
    size_t bytes = w->data.estimate_bytes, aim = w->opt.block_bytes;
    if (aim > 8 * CACHE_HEADER_BYTES)
        aim -= CACHE_HEADER_BYTES;
    return bytes + bytes / w->data.count > aim;
}

int table_add(struct table_writer *w, const struct entry *e)
{
    struct slice last = buf_slice(&w->last_key);
    bool first = w->meta->entry_count == 0;
    writer_assert_valid(w);
    assert(e->type < ENTRY_RANGE_DELETE);
    assert(first || entry_cmp(last, w->last_seq, e->key, e->seq) < 0);
    if (entry_type_is_blob(e->type)) {
        int rc = count_ref(w, e);
        if (rc)
            return rc;
    }
    if (w->ended) {
        int rc = send_block(w, &e->key);
        if (rc)
            return rc;
    }
    if (first || !slice_eq(last, e->key)) {
        w->last_hash = filter_hash(e->key);
        if (w->opt.filter_one_in)
            add_hashes(w, e->key);
    }
    if (first)
        buf_set(&w->meta->smallest, e->key);
    if (w->data.count == 0) {
        w->classes = 0;
        block_writer_set_interval(&w->data, interval_for(w, e));
    }
    w->classes |= 1U << strength_class(&w->opt.strength, e->key);
    if (w->opt.sums)
        w->block_sums += e->sum ? e->sum : entry_sum(e);
    block_writer_add_hashed(&w->data, e, w->last_hash);
    widen_seqs(w->meta, e->seq, e->seq);
    w->meta->entry_count++;
    w->meta->delete_count += e->type == ENTRY_DELETE;
    buf_set(&w->last_key, e->key);
    w->last_seq = e->seq;
    if (block_is_full(w))
        end_block(w);
    return 0;
}

void table_add_warm(struct table_writer *w)
{
    w->warm++;
}

void table_set_rangedel(struct table_writer *w, struct rangedel *r)
{
    assert(!w->rangedel && !w->failed);
    if (rangedel_count(r) > 0)
        w->rangedel = rangedel_ref(r);
}

void table_add_held(struct table_writer *w, uint64_t pin, uint64_t bytes)
{
    table_meta_add_held(w->meta, pin, bytes);
}

uint64_t table_estimate_bytes(const struct table_writer *w)
{
    uint64_t filter = w->hash_count; /* a byte for each key is near enough */
    uint64_t waiting = press_pending_bytes(w->press, w->ended ? w->ended->raw.len : 0);
    return append_offset(&w->file) + waiting + w->data.estimate_bytes + w->index.estimate_bytes +
           filter;
}

uint64_t table_writer_bytes(const struct table_writer *w)
{
    return w->hash_count * sizeof *w->hashes + w->index.estimate_bytes;
}

uint64_t table_entry_count(const struct table_writer *w)
{
    return w->meta->entry_count;
}

/* ---- the end ---- */

/* Tombstones enter into counts, numbers and span. */
static void count_rangedel(struct table_meta *m, const struct rangedel *r)
{
    for (size_t i = 0; i < rangedel_count(r); i++) {
        struct rangedel_fragment f = rangedel_at(r, i);
        assert(f.seq_count > 0 && slice_cmp(f.start, f.end) < 0);
        widen_seqs(m, f.seqs[f.seq_count - 1], f.seqs[0]);
        m->rangedel_count++;
        if (m->limit.len == 0 || slice_cmp(f.end, buf_slice(&m->limit)) > 0)
            buf_set(&m->limit, f.end);
    }
    struct slice start = rangedel_at(r, 0).start;
    if (m->entry_count == 0 || slice_cmp(start, buf_slice(&m->smallest)) < 0)
        buf_set(&m->smallest, start);
}

static void complete_meta(struct table_writer *w)
{
    struct table_meta *m = w->meta;
    int64_t now_ns = w->env->realtime_ns(w->env);
    m->created_ns = now_ns > 0 ? (uint64_t)now_ns : 0;
    if (m->entry_count > 0) { /* the next key after the last is that with a zero byte behind */
        buf_set(&m->limit, buf_slice(&w->last_key));
        buf_put_u8(&m->limit, 0);
    }
    if (w->hash_count > 0 && w->opt.prefix)
        m->prefix_rule = w->opt.prefix->id;
    if (w->rangedel)
        count_rangedel(m, w->rangedel);
    table_meta_assert_valid(m);
}

static int put_whole_filter(struct table_writer *w, uint64_t *hashes, size_t count,
                            struct frame_ref *where)
{
    buf_clear(&w->scratch);
    filter_build(hashes, count, w->opt.filter_one_in, &w->scratch);
    /* As good as random: it cannot be compressed. */
    return put_frame(w, buf_slice(&w->scratch), 0, where);
}

static int put_parts(struct table_writer *w, uint32_t parts, struct frame_ref *where)
{
    size_t *ends = mem_alloc(parts * sizeof *ends), begin = 0;
    struct frame_ref *refs = mem_alloc(parts * sizeof *refs);
    int rc = 0;
    table_filter_sort(w->hashes, w->hash_count, parts, ends);
    for (uint32_t p = 0; p < parts && !rc; begin = ends[p++])
        rc = put_whole_filter(w, w->hashes + begin, ends[p] - begin, &refs[p]);
    if (!rc) {
        buf_clear(&w->scratch);
        table_filter_directory(refs, parts, &w->scratch);
        rc = put_frame(w, buf_slice(&w->scratch), w->opt.strength.rest, where);
    }
    free(ends);
    free(refs);
    return rc;
}

static int put_filter(struct table_writer *w, struct frame_ref *where)
{
    enum { WHOLE_KEYS = 1 << 20 };
    if (w->hash_count == 0)
        return 0;
    uint32_t whole = w->opt.filter_whole_keys ? w->opt.filter_whole_keys : WHOLE_KEYS;
    uint32_t parts = table_filter_parts(w->hash_count, whole);
    return parts > 1 ? put_parts(w, parts, where)
                     : put_whole_filter(w, w->hashes, w->hash_count, where);
}

static int put_rangedel(struct table_writer *w, struct frame_ref *where)
{
    if (!w->rangedel)
        return 0;
    buf_clear(&w->scratch);
    rangedel_encode(w->rangedel, &w->scratch);
    return put_frame(w, buf_slice(&w->scratch), w->opt.strength.rest, where);
}

static int put_props(struct table_writer *w, struct frame_ref *where)
{
    uint64_t number = w->meta->number;
    buf_clear(&w->scratch);
    w->meta->number = 0; /* the file knows it from its header */
    table_meta_encode(w->meta, &w->scratch);
    w->meta->number = number;
    return put_frame(w, buf_slice(&w->scratch), w->opt.strength.rest, where);
}

static int put_index_part(void *ctx, struct slice payload, struct frame_ref *where)
{
    struct table_writer *w = ctx;
    return put_frame(w, payload, w->opt.strength.rest, where);
}

/* The parts of a large index: what put_index() writes is then the top. */
static int put_index_parts(struct table_writer *w)
{
    enum { WHOLE_BYTES = 512 << 10 };
    uint32_t whole = w->opt.index_whole_bytes ? w->opt.index_whole_bytes : WHOLE_BYTES;
    uint32_t part = whole < TABLE_INDEX_PART_BYTES ? whole : TABLE_INDEX_PART_BYTES;
    if (w->index.count == 0 || w->index.estimate_bytes <= whole)
        return 0;
    return table_index_cut(&w->index, part, put_index_part, w);
}

static int put_index(struct table_writer *w, struct frame_ref *where)
{
    if (w->index.count == 0)
        return 0;
    buf_clear(&w->scratch);
    block_writer_finish(&w->index, &w->scratch);
    return put_frame(w, buf_slice(&w->scratch), w->opt.strength.rest, where);
}

static int put_footer(struct table_writer *w, struct table_footer *footer)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    w->meta->tag = footer_encode(&w->file.file.codec, append_offset(&w->file), footer, bytes);
    buf_append_bytes(&w->file.pending, bytes, sizeof bytes);
    w->meta->size_bytes = append_offset(&w->file);
    return write_pending(w);
}

static int finish_blocks(struct table_writer *w)
{
    struct frame_ref copy;
    int rc = 0;
    if (w->data.count > 0)
        end_block(w);
    if (w->ended)
        rc = send_block(w, NULL);
    if (!rc)
        rc = press_finish(w->press);
    if (!rc && w->meta->dict_len) {
        rc = put_dict(w, &copy);
        assert(copy.len == w->meta->dict_len);
        w->meta->dict_copy = copy.offset;
    }
    return rc;
}

static int finish(struct table_writer *w)
{
    struct table_footer footer = {0};
    int rc = finish_blocks(w);
    if (!rc)
        complete_meta(w);
    if (!rc)
        rc = put_index_parts(w);
    if (!rc)
        rc = put_filter(w, &footer.filter);
    if (!rc)
        rc = put_rangedel(w, &footer.rangedel);
    if (!rc)
        rc = put_props(w, &footer.props);
    if (!rc)
        rc = put_index(w, &footer.index);
    if (!rc)
        rc = put_footer(w, &footer);
    return rc ? rc : append_sync(&w->file);
}

int table_finish(struct table_writer *w, struct table_meta **meta)
{
    *meta = NULL;
    writer_assert_valid(w);
    assert(w->meta->entry_count > 0 || w->rangedel);
    int rc = finish(w);
    if (rc) {
        table_abandon(w);
        return rc;
    }
    *meta = table_meta_ref(w->meta);
    writer_free(w);
    return 0;
}
