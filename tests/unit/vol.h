/* vol: a fixture: a volume on a simulated disk, and short words for what tests do with it. Failures
 * fail the test. */
#ifndef VARVE_UNIT_VOL_H
#define VARVE_UNIT_VOL_H

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fs/fs.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/small_store.h"
#include "tests/unit/unit.h"

#define VOL_DIR "/volume"

struct vol {
    struct simdisk *disk;
    struct fs *fs; /* NULL: closed */
    struct store_options store;
    struct fs_options options; /* of vol_open() */
};

static inline void vol_open(struct vol *v)
{
    assert_null(v->fs);
    assert_ok(fs_open(VOL_DIR, &v->options, &v->fs));
    assert_non_null(v->fs);
}

static inline void vol_close(struct vol *v)
{
    struct fs *fs = v->fs;
    v->fs = NULL;
    assert_ok(fs_close(fs));
}

static inline void vol_reopen(struct vol *v)
{
    vol_close(v);
    vol_open(v);
}

/* Makes and opens a volume. Without workers; the caller sets the rest of v->options, if it wants,
 * and reopens. */
static inline void vol_make(struct vol *v, uint32_t chunk_bytes)
{
    struct fs_make_options make;
    *v = (struct vol){.disk = simdisk_new(1)};
    small_store(&v->store);
    fs_options_init(&v->options);
    v->options.env = simdisk_env(v->disk);
    v->options.workers = 0;
    v->options.store = &v->store;
    fs_make_options_init(&make);
    make.env = v->options.env;
    make.chunk_bytes = chunk_bytes;
    make.uid = 1000;
    make.gid = 100;
    log_set_sink(unit_log, NULL);
    assert_ok(fs_make(VOL_DIR, &make));
    vol_open(v);
}

/* The process dies (SIM_KEEP_ALL) or the power is cut; then the volume is opened again. */
static inline void vol_crash(struct vol *v, enum sim_crash mode)
{
    simdisk_cut_at(v->disk, 1, SIM_CUT_BEFORE);
    fs_close(v->fs);
    v->fs = NULL;
    simdisk_crash(v->disk, mode, 1);
    vol_open(v);
}

/* ---- the verifier ---- */

struct vol_findings {
    size_t count;
    int code[64];
    char path[64][64];
    char text[4096]; /* all of them */
};

static inline int vol_on_finding(void *ctx, const struct store_finding *f)
{
    struct vol_findings *list = ctx;
    size_t used = strlen(list->text);
    snprintf(list->text + used, sizeof list->text - used, "  %d \"%s\": %s\n", f->code, f->file,
             f->text);
    if (list->count < 64) {
        list->code[list->count] = f->code;
        snprintf(list->path[list->count], sizeof list->path[0], "%s", f->file);
        list->count++;
    }
    return 0;
}

static inline int vol_check_disk(struct simdisk *d, struct vol_findings *list,
                                 struct fs_check_report *report)
{
    struct store_options store;
    struct fs_options o;
    small_store(&store);
    fs_options_init(&o);
    o.env = simdisk_env(d);
    o.store = &store;
    *list = (struct vol_findings){0};
    return fs_check(VOL_DIR, &o, true, vol_on_finding, NULL, list, report);
}

/* The disk as a process would find it that is started now, if this one were killed, holds a sound
 * volume; nothing is to be said of it but what `allowed` says (0: nothing). */
static inline void vol_assert_sound_but(struct vol *v, int allowed)
{
    struct vol_findings list;
    struct fs_check_report report;
    struct simdisk *d = simdisk_clone(v->disk);
    uint64_t before = simdisk_digest(d);
    assert_ok(vol_check_disk(d, &list, &report));
    for (size_t i = 0; i < list.count; i++)
        if (list.code[i] != allowed)
            fail_msg("the verifier says:\n%s", list.text);
    assert_true(simdisk_digest(d) == before);
    simdisk_free(d);
}

static inline void vol_assert_sound(struct vol *v)
{
    vol_assert_sound_but(v, 0);
}

/* The end of every test. */
static inline void vol_free(struct vol *v)
{
    if (v->fs)
        vol_close(v);
    vol_assert_sound(v);
    assert_int_equal(simdisk_open_files(v->disk), 0);
    assert_int_equal(simdisk_locks(v->disk), 0);
    simdisk_free(v->disk);
}

/* ---- short words; each returns an inode number ---- */

static const struct fs_cred vol_cred = {.uid = 1000, .gid = 100};

static inline uint64_t vol_file(struct vol *v, uint64_t dir, const char *name)
{
    struct fs_attr a;
    assert_ok(fs_mknod(v->fs, dir, name, S_IFREG | 0644, 0, &vol_cred, &a));
    return a.ino;
}

static inline uint64_t vol_mkdir(struct vol *v, uint64_t dir, const char *name)
{
    struct fs_attr a;
    assert_ok(fs_mkdir(v->fs, dir, name, 0755, &vol_cred, &a));
    return a.ino;
}

static inline uint64_t vol_symlink(struct vol *v, uint64_t dir, const char *name,
                                   const char *target)
{
    struct fs_attr a;
    assert_ok(fs_symlink(v->fs, dir, name, target, &vol_cred, &a));
    return a.ino;
}

/* A file with that text. */
static inline uint64_t vol_text(struct vol *v, uint64_t dir, const char *name, const char *text)
{
    uint64_t ino = vol_file(v, dir, name);
    assert_ok(fs_write(v->fs, ino, 0, text, strlen(text)));
    return ino;
}

/* The inode of that name, or 0. */
static inline uint64_t vol_find(struct vol *v, uint64_t dir, const char *name)
{
    struct fs_attr a;
    int err = fs_lookup(v->fs, dir, name, &a);
    assert_true(err == 0 || err == -ENOENT);
    return err == 0 ? a.ino : 0;
}

static inline struct fs_attr vol_attr(struct vol *v, uint64_t ino)
{
    struct fs_attr a;
    assert_ok(fs_getattr(v->fs, ino, &a));
    assert_true(a.ino == ino);
    return a;
}

static inline void vol_assert_text(struct vol *v, uint64_t ino, const char *text)
{
    char data[4096];
    size_t got;
    assert_ok(fs_read(v->fs, ino, 0, data, sizeof data, &got));
    assert_slice_str(slice_of(data, got), text);
}

/* Does all the work that is waiting. */
static inline void vol_settle(struct vol *v)
{
    int err;
    while ((err = fs_work(v->fs)) == 0)
        ;
    assert_absent(err);
}

static inline int64_t vol_ns(struct fs_time t)
{
    return t.sec * 1000000000 + t.nsec;
}

static inline bool vol_same_time(struct fs_time a, struct fs_time b)
{
    return a.sec == b.sec && a.nsec == b.nsec;
}

static inline bool vol_same_attr(const struct fs_attr *a, const struct fs_attr *b)
{
    return a->ino == b->ino && a->size == b->size && a->blocks == b->blocks && a->rdev == b->rdev &&
           a->mode == b->mode && a->nlink == b->nlink && a->uid == b->uid && a->gid == b->gid &&
           a->block_bytes == b->block_bytes && vol_same_time(a->atime, b->atime) &&
           vol_same_time(a->mtime, b->mtime) && vol_same_time(a->ctime, b->ctime) &&
           vol_same_time(a->btime, b->btime);
}

#endif
