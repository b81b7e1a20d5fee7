/* fuzz_volume: files of a store taken apart into frames, so that a payload can be damaged and the
 * frame sealed again: everything verifies, and nothing need be true. */
#ifndef VARVE_FUZZ_FUZZ_VOLUME_H
#define VARVE_FUZZ_FUZZ_VOLUME_H

#include "store/codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/simdisk.h"

enum { VOLUME_FILES_MAX = 32, VOLUME_FRAMES_MAX = 4096 };

struct fuzz_file {
    char path[64];
    enum file_kind kind;
    struct buf bytes;
    struct codec_file codec;
    struct frame_ref frames[VOLUME_FRAMES_MAX];
    uint32_t frame_count;
};

struct fuzz_volume {
    struct simdisk *disk;
    struct fuzz_file files[VOLUME_FILES_MAX];
    uint32_t file_count;
};

/* Frames follow each other from the header on, in all kinds of file. */
static inline void fuzz_find_frames(struct fuzz_file *f)
{
    uint64_t at = FILE_HEADER_SIZE;
    struct frame_header h;
    while (f->frame_count < VOLUME_FRAMES_MAX &&
           frame_verify(&f->codec, at, slice_of(f->bytes.data + at, f->bytes.len - at), &h) ==
               FRAME_OK) {
        struct frame_ref where = {at, FRAME_HEADER_SIZE + h.stored_len};
        f->frames[f->frame_count++] = where;
        at += where.len;
    }
}

static inline int fuzz_take_file(void *ctx, const char *path)
{
    struct fuzz_volume *v = ctx;
    struct file_header h;
    enum file_kind kind;
    uint64_t number;
    const char *name = strrchr(path, '/');
    if (v->file_count == VOLUME_FILES_MAX || name_parse(name + 1, &kind, &number) != 0 ||
        kind > FILE_BLOB)
        return 0;
    struct fuzz_file *f = &v->files[v->file_count];
    int err = simdisk_get(v->disk, path, &f->bytes);
    assert(err == 0 && strlen(path) < sizeof f->path);
    strcpy(f->path, path);
    f->kind = kind;
    if (file_header_decode(buf_slice(&f->bytes), &h) != HEADER_OK)
        return 0;
    codec_file_init(&f->codec, &h);
    fuzz_find_frames(f);
    v->file_count += f->frame_count > 0;
    return 0;
}

/* Takes the files of the disk, which is kept as it is. */
static inline void fuzz_volume_take(struct fuzz_volume *v, struct simdisk *disk)
{
    v->disk = disk;
    int err = simdisk_files(disk, fuzz_take_file, v);
    assert(err == 0 && v->file_count > 0);
}

/* Damages one frame of one file, as the input says, on the disk `d`, a clone. */
static inline void fuzz_volume_damage(const struct fuzz_volume *v, struct slice *in,
                                      struct simdisk *d)
{
    const struct fuzz_file *f = &v->files[fuzz_u8(in) % v->file_count];
    const struct frame_ref *where = &f->frames[fuzz_u16(in) % f->frame_count];
    struct buf bytes = {0};
    uint8_t how = fuzz_u8(in);
    /* Earlier damage of the same file stays. */
    int err = simdisk_get(d, f->path, &bytes);
    assert(err == 0 && bytes.len == f->bytes.len);
    uint8_t *frame = bytes.data + where->offset, *payload = frame + FRAME_HEADER_SIZE;
    for (int i = 0; i <= how % 4; i++)
        fuzz_change(in, payload, where->len - FRAME_HEADER_SIZE);
    if (how >= 240) { /* the header, too, but for the length that the next frame begins after */
        fuzz_change(in, frame, FRAME_HEADER_SIZE);
        put_u32(frame, where->len - FRAME_HEADER_SIZE);
    }
    frame_seal(&f->codec, where->offset, frame, where->len);
    err = simdisk_put(d, f->path, buf_slice(&bytes));
    assert(err == 0);
    buf_release(&bytes);
}

#endif
