/* vol_site: a volume with one of everything, faults planted in it behind the file system's back,
 * and what the verifier then says. Whatever is planted, using the volume must crash nothing. */
#ifndef VARVE_UNIT_VOL_SITE_H
#define VARVE_UNIT_VOL_SITE_H

#include "tests/unit/vol_raw.h"

#define ROOT FS_INO_ROOT

/* ---- a volume with one of everything ---- */

enum { CHUNK = 16 << 10, UNUSED_INO = 31 /* of the root's first run: reserved, not given out */ };

struct site {
    struct vol v;
    uint64_t dir, plain, file, sub, inner, link, fifo;
};

static inline void site_make(struct site *s)
{
    struct vol *v = &s->v;
    struct fs_attr a;
    static uint8_t data[CHUNK];
    memset(data, 'd', sizeof data);
    vol_make(v, CHUNK);
    s->dir = vol_mkdir(v, ROOT, "dir");
    s->plain = vol_text(v, s->dir, "plain", "text");
    s->file = vol_file(v, s->dir, "file"); /* of three chunks, the last not full */
    assert_ok(fs_write(v->fs, s->file, 0, data, CHUNK));
    assert_ok(fs_write(v->fs, s->file, CHUNK, data, CHUNK));
    assert_ok(fs_write(v->fs, s->file, 2 * CHUNK, data, 100));
    assert_ok(fs_setxattr(v->fs, s->file, "user.a", "value", 5, 0));
    s->sub = vol_mkdir(v, s->dir, "sub");
    s->inner = vol_file(v, s->sub, "inner");
    s->link = vol_symlink(v, ROOT, "link", "dir/file");
    assert_ok(fs_mknod(v->fs, ROOT, "fifo", S_IFIFO | 0644, 0, &vol_cred, &a));
    s->fifo = a.ino;
    assert_ok(fs_link(v->fs, s->plain, ROOT, "second", &a));
    assert_true(s->fifo < UNUSED_INO);
}

/* ---- using a damaged volume ---- */

/* Whatever may come back: errors, but no crash and no user's error that hides the damage. */
struct visit {
    struct fs *fs;
    uint64_t child[64];
    char name[64][FS_NAME_MAX + 1];
    size_t count;
};

static inline int note_child(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    struct visit *k = ctx;
    (void)next;
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && k->count < 64) {
        k->child[k->count] = attr->ino;
        strcpy(k->name[k->count++], name);
    }
    return 0;
}

static inline void use_inode(struct fs *fs, uint64_t ino)
{
    static char data[CHUNK * 4];
    size_t got;
    uint64_t found;
    struct fs_attr a;
    fs_getattr(fs, ino, &a);
    fs_read(fs, ino, 0, data, sizeof data, &got);
    fs_readlink(fs, ino, data);
    fs_seek_data(fs, ino, 1, &found);
    fs_seek_hole(fs, ino, 1, &found);
    fs_listxattr(fs, ino, data, sizeof data, &got);
    fs_getxattr(fs, ino, "user.a", data, sizeof data, &got);
    fs_write(fs, ino, CHUNK - 1, "xy", 2);
    struct fs_attr want = {.size = CHUNK + 5};
    fs_setattr(fs, ino, FS_SET_SIZE, &want, &a);
}

static inline void use_folder(struct fs *fs, uint64_t dir, int depth)
{
    struct visit *k = calloc(1, sizeof *k);
    fs_readdir(fs, dir, 0, true, note_child, k);
    for (size_t i = 0; i < k->count; i++) {
        struct fs_attr a;
        fs_lookup(fs, dir, k->name[i], &a);
        use_inode(fs, k->child[i]);
        if (depth < 5)
            use_folder(fs, k->child[i], depth + 1);
        fs_link(fs, k->child[i], dir, "another", &a);
        fs_rename(fs, dir, k->name[i], ROOT, "moved", 0);
        if (fs_unlink(fs, dir, k->name[i]) < 0)
            fs_rmdir(fs, dir, k->name[i]);
        fs_forget(fs, k->child[i]);
    }
    fs_set_quota(fs, dir, CHUNK);
    fs_set_compression(fs, dir, 3);
    fs_mkdir(fs, dir, "new", 0755, &vol_cred, &(struct fs_attr){0});
    free(k);
}

static inline void use_volume(struct vol *v)
{
    struct fs *fs;
    if (fs_open(VOL_DIR, &v->options, &fs) < 0)
        return;
    use_inode(fs, UNUSED_INO);
    use_folder(fs, ROOT, 0);
    fs_compact(fs);
    fs_close(fs);
}

/* ---- planting ---- */

typedef void plant_fn(struct raw *r, const struct site *s);

struct expected {
    int code;
    const char *path;
};

static inline void assert_found(const struct vol_findings *list, const struct expected *e,
                                size_t count)
{
    bool right = list->count == count;
    for (size_t i = 0; right && i < count; i++)
        right = list->code[i] == e[i].code && strcmp(list->path[i], e[i].path) == 0;
    if (right)
        return;
    char text[512] = "";
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "  %d \"%s\"\n", e[i].code, e[i].path);
    }
    fail_msg("the verifier says:\n%sinstead of\n%s", list->text, text);
}

static inline void assert_finds_all(plant_fn *plant, const struct expected *e, size_t count)
{
    struct site s;
    struct raw r;
    struct vol_findings list;
    struct fs_check_report report;
    site_make(&s);
    vol_assert_sound(&s.v);
    raw_begin(&r, &s.v);
    plant(&r, &s);
    raw_end(&r);
    uint64_t digest = simdisk_digest(s.v.disk);
    assert_ok(vol_check_disk(s.v.disk, &list, &report));
    assert_true(simdisk_digest(s.v.disk) == digest);
    assert_found(&list, e, count);
    assert_int_equal(report.notes + report.warnings + report.damages, count);
    use_volume(&s.v);
    simdisk_free(s.v.disk);
}

static inline void assert_finds(plant_fn *plant, int code, const char *path)
{
    const struct expected e = {code, path};
    assert_finds_all(plant, &e, 1);
}

/* Changes to one field of an inode's record. */
#define CHANGE_INODE(r, ino, change)            \
    do {                                        \
        struct inode n = raw_inode((r), (ino)); \
        change;                                 \
        raw_put_inode((r), &n);                 \
    } while (0)

static inline void put_name(struct raw *r, uint64_t dir, const char *name, uint64_t ino,
                            uint32_t mode)
{
    raw_put_dirent(r, dir, raw_slot(r, name), name, ino, mode);
    CHANGE_INODE(r, dir, n.size++);
}

static inline void remove_name(struct raw *r, uint64_t dir, const char *name)
{
    raw_delete(r, key_dirent(dir, raw_slot(r, name)));
    CHANGE_INODE(r, dir, n.size--);
}

/* A new empty inode, in no folder. */
static inline void put_inode(struct raw *r, uint64_t ino, uint32_t mode, uint32_t nlink,
                             uint64_t parent)
{
    struct inode n = {.ino = ino, .mode = mode, .nlink = nlink, .parent = parent};
    raw_put_inode(r, &n);
    raw_add_counters(r, 1, 0);
}

#endif
