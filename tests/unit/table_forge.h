/* table_forge: takes a table's file apart, lets a test change the parts, and puts together a file
 * whose checksums all hold: what a mistake of ours or a malicious hand would leave, and no checksum
 * finds. */
#ifndef VARVE_UNIT_TABLE_FORGE_H
#define VARVE_UNIT_TABLE_FORGE_H

#include "store/block.h"
#include "store/filter.h"
#include "tests/unit/table_maker.h"

enum { FORGE_BLOCKS_MAX = 512 };

struct forge_block {
    struct buf payload;
    struct buf key; /* the separator */
    uint64_t seq;
    struct block_handle
        handle; /* its place is filled in anew, then moved by `shift` and `stretch` */
    int64_t shift, stretch;
    size_t gap_before; /* bytes that nothing refers to */
    bool junk;         /* a byte too many behind the handle */
};

struct forge {
    uint8_t header_bytes[FILE_HEADER_SIZE];
    struct codec_file codec;
    struct forge_block blocks[FORGE_BLOCKS_MAX];
    size_t block_count;
    struct buf filter, rangedel, props; /* payloads; empty: no frame */
    struct buf index;                   /* if not empty: in place of the one made from `blocks` */
    bool no_index;
    /* Changes the footer before it is sealed. May be NULL. */
    void (*tamper_footer)(struct table_footer *footer);
    uint64_t tag;               /* of the file taken apart, or made last */
    struct table_footer footer; /* of the file taken apart, or made last, before tampering */
};

static inline void forge_unpack(const struct forge *f, struct slice file, struct frame_ref where,
                                struct buf *out)
{
    buf_clear(out);
    if (where.len)
        assert_ok(frame_open(&f->codec, "forge", where.offset,
                             slice_of(file.data + where.offset, where.len), out));
}

static inline void forge_take_index(struct forge *f, struct slice file, struct slice index)
{
    struct block block;
    struct block_iter bi;
    assert_ok(block_open(index, &block));
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    for (int rc = iter_first(&bi.it); rc == 0; rc = iter_next(&bi.it)) {
        struct slice value = bi.it.e.value;
        assert_true(f->block_count < FORGE_BLOCKS_MAX);
        struct forge_block *b = &f->blocks[f->block_count++];
        assert_true(block_handle_take(&value, &b->handle));
        buf_set(&b->key, bi.it.e.key);
        b->seq = bi.it.e.seq;
        forge_unpack(f, file, b->handle.where, &b->payload);
    }
    block_iter_release(&bi);
}

/* Takes a sound file apart. */
static inline struct forge *forge_new(struct slice file)
{
    struct forge *f = mem_zalloc(sizeof *f);
    struct file_header header;
    struct buf index = {0};
    size_t footer_at = file.len - TABLE_FOOTER_SIZE;
    assert_int_equal(file_header_decode(file, &header), HEADER_OK);
    codec_file_init(&f->codec, &header);
    memcpy(f->header_bytes, file.data, FILE_HEADER_SIZE);
    assert_ok(table_footer_decode(file.data + footer_at, codec_seed(&f->codec, footer_at),
                                  &f->footer, &f->tag));
    forge_unpack(f, file, f->footer.filter, &f->filter);
    forge_unpack(f, file, f->footer.rangedel, &f->rangedel);
    forge_unpack(f, file, f->footer.props, &f->props);
    forge_unpack(f, file, f->footer.index, &index);
    f->no_index = f->footer.index.len == 0;
    if (!f->no_index)
        forge_take_index(f, file, buf_slice(&index));
    buf_release(&index);
    return f;
}

static inline void forge_free(struct forge *f)
{
    for (size_t i = 0; i < f->block_count; i++) {
        buf_release(&f->blocks[i].payload);
        buf_release(&f->blocks[i].key);
    }
    buf_release(&f->filter);
    buf_release(&f->rangedel);
    buf_release(&f->props);
    buf_release(&f->index);
    free(f);
}

static inline struct frame_ref forge_frame(const struct forge *f, const struct buf *payload,
                                           struct buf *out)
{
    struct frame_ref where = {.offset = out->len};
    if (payload->len == 0)
        return (struct frame_ref){0};
    where.len = frame_pack(buf_slice(payload), 0, out);
    frame_seal(&f->codec, where.offset, out->data + where.offset, where.len);
    return where;
}

/* The payload of the index over the blocks as they are now. */
static inline void forge_make_index(struct forge *f, struct buf *out)
{
    struct block_writer w;
    struct buf value = {0};
    block_writer_init(&w, 1);
    for (size_t i = 0; i < f->block_count; i++) {
        const struct forge_block *b = &f->blocks[i];
        struct block_handle h = b->handle;
        buf_clear(&value); /* block_handle_encode() asserts what is broken here */
        buf_put_varint(&value, h.where.offset + (uint64_t)b->shift);
        buf_put_varint(&value, h.where.len + (uint64_t)b->stretch);
        buf_put_varint(&value, h.min_seq);
        buf_put_varint(&value, h.max_seq - h.min_seq);
        if (b->junk)
            buf_put_u8(&value, 0);
        block_writer_add(
            &w, &(struct entry){buf_slice(&b->key), b->seq, ENTRY_PUT, 0, buf_slice(&value)});
    }
    block_writer_finish(&w, out);
    block_writer_release(&w);
    buf_release(&value);
}

/* Puts the file together. Replaces `*out`. */
static inline void forge_make(struct forge *f, struct buf *out)
{
    struct table_footer footer = {0};
    struct buf index = {0};
    buf_clear(out);
    buf_append_bytes(out, f->header_bytes, FILE_HEADER_SIZE);
    for (size_t i = 0; i < f->block_count; i++) {
        struct forge_block *b = &f->blocks[i];
        for (size_t n = 0; n < b->gap_before; n++)
            buf_put_u8(out, 0xaa);
        b->handle.where = forge_frame(f, &b->payload, out);
    }
    footer.filter = forge_frame(f, &f->filter, out);
    footer.rangedel = forge_frame(f, &f->rangedel, out);
    footer.props = forge_frame(f, &f->props, out);
    if (f->index.len)
        buf_append(&index, buf_slice(&f->index));
    else if (!f->no_index)
        forge_make_index(f, &index);
    footer.index = forge_frame(f, &index, out);
    f->footer = footer;
    if (f->tamper_footer)
        f->tamper_footer(&footer);
    uint8_t bytes[TABLE_FOOTER_SIZE];
    f->tag = table_footer_encode(&footer, codec_seed(&f->codec, out->len), bytes);
    buf_append_bytes(out, bytes, sizeof bytes);
    buf_release(&index);
}

/* Puts the file in the table's place and tells the meta. */
static inline void forge_install(struct forge *f, struct maker *m)
{
    struct buf bytes = {0};
    forge_make(f, &bytes);
    assert_ok(simdisk_put(m->disk, MAKER_PATH, buf_slice(&bytes)));
    m->meta->size_bytes = bytes.len;
    m->meta->tag = f->tag;
    buf_release(&bytes);
    cache_set_capacity(m->cache, 0);
    cache_set_capacity(m->cache, 1 << 20);
}

/* Replaces the entries of block `i` by those that `change` leaves of them; it returns false to drop
 * one. */
typedef bool forge_change_fn(size_t nth, struct entry *e);
static inline void forge_change_block(struct forge *f, size_t i, forge_change_fn *change)
{
    struct block block;
    struct block_iter bi;
    struct block_writer w;
    struct buf out = {0};
    size_t nth = 0;
    assert_ok(block_open(buf_slice(&f->blocks[i].payload), &block));
    block_iter_init(&bi);
    block_iter_set(&bi, &block);
    block_writer_init(&w, BLOCK_RESTART_INTERVAL);
    for (int rc = iter_first(&bi.it); rc == 0; rc = iter_next(&bi.it)) {
        struct entry e = bi.it.e;
        if (change(nth++, &e))
            block_writer_add(&w, &e);
    }
    block_writer_finish(&w, &out);
    block_writer_release(&w);
    block_iter_release(&bi);
    buf_release(&f->blocks[i].payload);
    f->blocks[i].payload = out;
}

#endif
