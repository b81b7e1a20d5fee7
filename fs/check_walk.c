/* check_walk: the pass over all keys; see check.h.
 *
 * Keys of one inode come together, attributes first. `n` holds the attributes of the inode that the
 * pass is in; without them, whatever else it has is reported once. */
#include <inttypes.h>

#include "fs/check.h"
#include "fs/dir.h"
#include "fs/extent.h"
#include "fs/xattr.h"

struct walk {
    struct check *c;
    struct store_iter *it;
    uint64_t ino;    /* the inode that the pass is in; 0: the superblock's keys */
    bool known;      /* its attributes were met and decode */
    bool complained; /* that they were not */
    struct inode n;
    uint64_t entries, chunks;
    uint32_t subfolders;
    uint64_t max_ino, next_ino;
};

#define GROW(list, count, cap)                                    \
    do {                                                          \
        if ((count) == (cap)) {                                   \
            (cap) = (cap) ? (cap)*2 : 1024;                       \
            (list) = mem_realloc((list), (cap) * sizeof *(list)); \
        }                                                         \
    } while (0)

static uint64_t span_count(const struct walk *w)
{
    uint64_t chunk = w->c->fs->super.chunk_bytes;
    return w->n.size / chunk + (w->n.size % chunk != 0);
}

/* ---- an inode as a whole ---- */

static void end_inode(struct walk *w)
{
    struct check *c = w->c;
    if (w->ino == 0 || !w->known)
        return;
    if (inode_is_dir(&w->n) && w->entries != w->n.size)
        check_say_inode(c, FINDING_DIR_COUNT, w->ino,
                        "the folder's record counts %" PRIu64 " entries, there are %" PRIu64,
                        w->n.size, w->entries);
    if (w->chunks != w->n.chunks)
        check_say_inode(c, FINDING_CHUNK_COUNT, w->ino,
                        "the record counts %" PRIu64 " chunks, there are %" PRIu64, w->n.chunks,
                        w->chunks);
    if (S_ISLNK(w->n.mode) && (w->n.size == 0 || w->n.size > FS_SYMLINK_MAX || w->chunks != 1))
        check_say_inode(c, FINDING_SYMLINK, w->ino, "the symbolic link has no proper target");
    c->counted.inodes++;
    c->counted.chunks += (int64_t)w->chunks;
    GROW(c->inodes, c->inode_count, c->inode_cap);
    c->inodes[c->inode_count++] = (struct check_inode){.ino = w->ino,
                                                       .parent = w->n.parent,
                                                       .mode = w->n.mode,
                                                       .nlink = w->n.nlink,
                                                       .subfolders = w->subfolders};
}

static void begin_inode(struct walk *w, uint64_t ino)
{
    end_inode(w);
    w->ino = ino;
    w->known = w->complained = false;
    w->entries = w->chunks = 0;
    w->subfolders = 0;
    if (ino > w->max_ino)
        w->max_ino = ino;
}

static void count_type(struct fs_check_report *r, const struct inode *n)
{
    r->inodes++;
    if (S_ISDIR(n->mode))
        r->folders++;
    else if (S_ISREG(n->mode))
        r->files++;
    else if (S_ISLNK(n->mode))
        r->symlinks++;
    else
        r->others++;
    if (S_ISREG(n->mode))
        r->bytes += n->size;
}

static bool type_known(uint32_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) ||
           S_ISFIFO(mode) || S_ISSOCK(mode);
}

static void on_attr(struct walk *w, struct slice value)
{
    if (inode_decode(value, w->ino, &w->n) < 0 || !type_known(w->n.mode)) {
        check_say(w->c, FINDING_INODE, STORE_DAMAGE, "",
                  "inode %" PRIu64 ": its attributes do not decode", w->ino);
        w->complained = true;
        return;
    }
    w->known = true;
    count_type(w->c->report, &w->n);
}

/* ---- what belongs to it ---- */

static bool slot_right(struct walk *w, uint64_t slot, struct slice name)
{
    uint64_t home = dirent_slot(w->c->fs->super.hash_seed, name);
    if (slot == home)
        return true;
    uint64_t distance = slot > home ? slot - home : slot + (SLOT_MAX - SLOT_MIN + 1) - home;
    return (w->n.flags & INODE_DISPLACED) && distance <= SLOT_PROBES;
}

static void on_dirent(struct walk *w, struct slice rest, struct slice value)
{
    struct check *c = w->c;
    struct dirent_record d;
    uint64_t slot;
    if (!take_be64(&rest, &slot) || rest.len || dirent_decode(value, &d) < 0) {
        check_say_inode(c, FINDING_DIRENT, w->ino, "an entry of the folder does not decode");
        return;
    }
    if (!inode_is_dir(&w->n))
        check_say_inode(c, FINDING_INODE, w->ino, "it has entries, but is no folder");
    if (!slot_right(w, slot, d.name))
        check_say_inode(c, FINDING_SLOT, w->ino, "entry \"%.*s\" stands where a look-up misses it",
                        (int)d.name.len, (const char *)d.name.data);
    w->entries++;
    w->subfolders += d.type == S_IFDIR >> 12;
    c->report->entries++;
    GROW(c->entries, c->entry_count, c->entry_cap);
    c->entries[c->entry_count++] =
        (struct check_entry){.child = d.ino, .folder = w->ino, .type = d.type};
}

static void on_chunk(struct walk *w, struct slice rest)
{
    struct check *c = w->c;
    uint64_t chunk, spans = span_count(w), chunk_bytes = c->fs->super.chunk_bytes;
    struct slice value;
    if (!take_be64(&rest, &chunk) || rest.len) {
        check_say_inode(c, FINDING_KEY, w->ino, "a chunk without a number");
        return;
    }
    w->chunks++;
    c->report->chunks++;
    if (chunk >= spans || inode_is_dir(&w->n)) {
        check_say_inode(c, FINDING_BEYOND_END, w->ino, "chunk %" PRIu64 " is beyond its end",
                        chunk);
        return;
    }
    /* The others' lengths do not matter to any reader; that they can be read, the store's own check
     * has proved. */
    if (chunk + 1 != spans)
        return;
    uint64_t most = w->n.size - chunk * chunk_bytes;
    int err = store_iter_value(w->it, &value);
    if (err < 0)
        check_say_inode(c, FINDING_CHUNK, w->ino, "its last chunk cannot be read");
    else if (value.len > most)
        check_say_inode(c, FINDING_BEYOND_END, w->ino,
                        "its last chunk holds %zu bytes beyond its end", value.len - (size_t)most);
}

static void on_xattr(struct walk *w, struct slice rest, struct slice value)
{
    char name[256];
    if (rest.len >= 1 && rest.len <= 255) {
        memcpy(name, rest.data, rest.len);
        name[rest.len] = 0;
        if (strlen(name) == rest.len && xattr_check_name(name) == 0 &&
            value.len <= FS_XATTR_VALUE_MAX)
            return;
    }
    check_say_inode(w->c, FINDING_XATTR, w->ino,
                    "an extended attribute that could not have been set");
}

/* ---- the superblock's keys ---- */

static void on_super(struct walk *w, uint8_t kind, struct slice rest, struct slice value)
{
    struct check *c = w->c;
    uint64_t ino;
    switch (kind) {
    case SUPER_RECORD: /* read when the volume was opened */
        break;
    case SUPER_COUNTERS:
        if (counters_decode(value, &c->stored) < 0)
            check_say(c, FINDING_SUPER, STORE_DAMAGE, "", "the counters do not decode");
        break;
    case SUPER_NEXT_INO:
        if (!take_u64(&value, &w->next_ino))
            check_say(c, FINDING_SUPER, STORE_DAMAGE, "", "the next inode number does not decode");
        break;
    case SUPER_ORPHAN:
        if (!take_be64(&rest, &ino))
            break;
        GROW(c->orphans, c->orphan_count, c->orphan_cap);
        c->orphans[c->orphan_count++] = ino;
        break;
    default:
        check_say(c, FINDING_KEY, STORE_DAMAGE, "", "a key of the superblock that is unknown");
    }
}

/* ---- the pass ---- */

static int on_key(struct walk *w)
{
    struct slice value = {0}, rest;
    uint64_t ino;
    uint8_t kind;
    if (!key_split(store_iter_key(w->it), &ino, &kind, &rest) || (ino && kind >= KIND_END)) {
        check_say(w->c, FINDING_KEY, STORE_DAMAGE, "", "a key that the file system does not write");
        return 0;
    }
    int err = ino && kind == KIND_DATA ? 0 : store_iter_value(w->it, &value);
    if (err < 0)
        return err;
    if (ino != w->ino)
        begin_inode(w, ino);
    if (ino == 0)
        on_super(w, kind, rest, value);
    else if (kind == KIND_ATTR)
        on_attr(w, value);
    else if (!w->known && !w->complained) {
        w->complained = true;
        check_say(w->c, FINDING_NO_INODE, STORE_DAMAGE, "",
                  "inode %" PRIu64 " has no attributes, but other keys", ino);
    } else if (w->known && kind == KIND_XATTR)
        on_xattr(w, rest, value);
    else if (w->known && kind == KIND_DIRENT)
        on_dirent(w, rest, value);
    else if (w->known)
        on_chunk(w, rest);
    return 0;
}

static void check_super(struct walk *w)
{
    struct check *c = w->c;
    if (w->max_ino >= FS_INO_FIRST && w->max_ino >= w->next_ino)
        check_say(c, FINDING_NEXT_INO, STORE_DAMAGE, c->prefix,
                  "inode %" PRIu64 " is in use, but numbers are reserved only below %" PRIu64,
                  w->max_ino, w->next_ino);
    if (c->stored.inodes != c->counted.inodes || c->stored.chunks != c->counted.chunks)
        check_say(c, FINDING_COUNTERS, STORE_DAMAGE, c->prefix,
                  "the superblock counts %" PRId64 " inodes and %" PRId64
                  " chunks, there are %" PRId64 " and %" PRId64,
                  c->stored.inodes, c->stored.chunks, c->counted.inodes, c->counted.chunks);
}

int check_walk(struct check *c)
{
    struct slice all = {0};
    struct walk w = {.c = c, .it = store_iter_new(&c->reader.read, all, all)};
    int err;
    for (err = store_iter_first(w.it); err == 0 && c->stopped == 0; err = store_iter_next(w.it)) {
        err = on_key(&w);
        if (err < 0)
            break;
    }
    if (err == 1)
        err = 0;
    end_inode(&w);
    if (err == 0 && c->stopped == 0)
        check_super(&w);
    store_iter_free(w.it);
    return err;
}
