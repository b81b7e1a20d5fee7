/* ops_dir: listings.
 *
 * Invariant: each entry of a readdirplus answer, but "." and ".." and the files of .varve, is
 * counted before the answer is given, and no other. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "mount/live.h"
#include "mount/ops_priv.h"
#include "mount/times.h"

/* Where the files of .varve stand in its listing: behind all that the file system lists there. */
#define LIVE_COOKIE (UINT64_C(1) << 62)

/* The least that an entry with attributes takes in an answer: struct fuse_direntplus without a
 * name. */
enum { ENTRY_PLUS_MIN = 152 };

struct listing {
    fuse_req_t req;
    bool plus, full;
    bool live;  /* entries are now the files of .varve */
    char *data; /* the answer */
    size_t size, used;
    uint64_t *told; /* inodes that are counted, in order */
    size_t told_count, told_max;
};

/* Folders have nothing to open: the kernel, once told, does not ask again, and keeps listings. */
void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    reply_status(req, -ENOSYS);
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* No reference to the inode goes with such an entry. */
static bool is_bare(const struct listing *l, const char *name)
{
    return l->live || is_dots(name);
}

static size_t add_plain(struct listing *l, const char *name, const struct fs_attr *attr, off_t next)
{
    const struct stat st = {.st_ino = attr->ino, .st_mode = attr->mode};
    return fuse_add_direntry(l->req, l->data + l->used, l->size - l->used, name, &st, next);
}

static size_t add_plus(struct listing *l, const char *name, const struct fs_attr *attr, off_t next)
{
    struct fuse_entry_param entry;
    reply_entry_fill(attr, &entry);
    if (is_bare(l, name))
        entry.ino = 0;
    return fuse_add_direntry_plus(l->req, l->data + l->used, l->size - l->used, name, &entry, next);
}

static int add_entry(void *ctx, const char *name, const struct fs_attr *attr, uint64_t next)
{
    struct listing *l = ctx;
    assert(next > 0 && next <= INT64_MAX);
    assert(l->used <= l->size && *name);
    assert(attr->ino != 0 && (attr->mode & S_IFMT) != 0);
    size_t len =
        l->plus ? add_plus(l, name, attr, (off_t)next) : add_plain(l, name, attr, (off_t)next);
    l->full = len > l->size - l->used;
    if (l->full)
        return 1;
    l->used += len;
    if (l->plus && !is_bare(l, name)) {
        assert(l->told_count < l->told_max);
        lookups_add(mount_of(l->req)->lookups, attr->ino);
        l->told[l->told_count++] = attr->ino;
    }
    return 0;
}

static void list_live(struct listing *l, uint64_t offset)
{
    const char *name;
    struct fs_attr attr;
    l->live = true;
    for (uint64_t i = offset > LIVE_COOKIE ? offset - LIVE_COOKIE : 0;
         !l->full && live_list((unsigned)i, &name, &attr); i++)
        add_entry(l, name, &attr, LIVE_COOKIE + i + 1);
}

static void list(fuse_req_t req, uint64_t dir, size_t size, off_t offset, bool plus)
{
    struct mount *m = mount_of(req);
    size_t told_max = plus ? size / ENTRY_PLUS_MIN + 1 : 0;
    /* The inodes' numbers stand after the answer, aligned. */
    size_t answer = (size + 7) & ~(size_t)7;
    char *data = reply_buffer(answer + told_max * sizeof(uint64_t));
    struct listing l = {.req = req, .plus = plus, .data = data, .size = size, .told_max = told_max};
    l.told = (uint64_t *)(void *)(data + answer);
    assert(offset >= 0);
    uint64_t from = (uint64_t)offset;
    bool control = dir == FS_INO_CONTROL, behind = control && from >= LIVE_COOKIE;
    int err = behind ? 0 : fs_readdir(m->fs, dir, from, plus, add_entry, &l);
    if (err == 0 && control && !l.full)
        list_live(&l, from);
    times_nudge(m->times);
    if (err < 0 && l.used == 0) {
        reply_status(req, err);
        return;
    }
    /* After an error, what was found before it is shown; the next call meets the error first. The
     * request is gone after the reply, so `m` is what takes back. */
    if (fuse_reply_buf(req, data, l.used) == -ENOENT)
        for (size_t i = 0; i < l.told_count; i++)
            reply_forget(m, l.told[i], 1);
}

void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                 struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, offset, false);
}

void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, offset, true);
}
