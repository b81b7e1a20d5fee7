/* check_walk: the pass over all keys; see check.h.
 *
 * Keys of one inode come together, attributes first. `n` holds the attributes of the inode that the
 * pass is in; without them, whatever else it has is reported once. */
#include <inttypes.h>

#include "fs/acl.h"
#include "fs/check.h"
#include "fs/dir.h"
#include "fs/extent.h"
#include "fs/xattr.h"

enum attr_state { ATTR_NONE, ATTR_DAMAGED, ATTR_GOOD };

struct walk {
    struct check *c;
    struct store_iter *it;
    uint64_t ino; /* the inode that the pass is in; 0: the superblock's keys */
    enum attr_state attr;
    bool complained; /* of what is reported once for an inode */
    struct inode n;  /* if attr is ATTR_GOOD */
    uint64_t entries, chunks;
    uint32_t subfolders;
    uint32_t acls;              /* flags of the access control lists that were met */
    uint64_t max_ino, next_ino; /* 0: none */
    struct counters stored;
    bool has_counters;
};

static uint64_t span_count(const struct walk *w)
{
    uint64_t chunk = w->c->fs->super.chunk_bytes;
    return w->n.size / chunk + (w->n.size % chunk != 0);
}

static bool holds_data(const struct inode *n)
{
    return S_ISREG(n->mode) || S_ISLNK(n->mode);
}

/* ---- an inode as a whole ---- */

static void check_counts(struct walk *w)
{
    struct check *c = w->c;
    const struct inode *n = &w->n;
    if (inode_is_dir(n) && w->entries != n->size)
        check_say_inode(c, FINDING_DIR_COUNT, w->ino,
                        "the folder's record counts %" PRIu64 " entries, there are %" PRIu64,
                        n->size, w->entries);
    if (w->chunks != n->chunks)
        check_say_inode(c, FINDING_CHUNK_COUNT, w->ino,
                        "the record counts %" PRIu64 " chunks, there are %" PRIu64, n->chunks,
                        w->chunks);
    if (S_ISLNK(n->mode) && (n->size == 0 || n->size > FS_SYMLINK_MAX || w->chunks != 1))
        check_say_inode(c, FINDING_SYMLINK, w->ino, "the symbolic link has no proper target");
    if (!holds_data(n) && !inode_is_dir(n) && n->size > 0)
        check_say_inode(c, FINDING_INODE, w->ino, "its type has no size, but it has one");
    if ((n->flags & (INODE_ACL_ACCESS | INODE_ACL_DEFAULT)) != w->acls)
        check_say_inode(c, FINDING_ACL, w->ino,
                        "the record is wrong about which access control lists there are");
}

static void end_inode(struct walk *w)
{
    struct check *c = w->c;
    if (w->ino == 0 || w->attr == ATTR_NONE)
        return;
    struct check_inode line = {
        .ino = w->ino, .subfolders = w->subfolders, .damaged = w->attr == ATTR_DAMAGED};
    if (!line.damaged) {
        line.parent = w->n.parent;
        line.mode = w->n.mode;
        line.nlink = w->n.nlink;
        line.quota = w->n.quota;
    }
    check_gather_inode(c, &line);
    if (c->again)
        return;
    c->counted.inodes++;
    c->counted.chunks += (int64_t)w->chunks;
    if (line.damaged)
        return;
    check_quota_inode(c, &w->n);
    check_policy_inode(c, &w->n);
    check_counts(w);
}

static void begin_inode(struct walk *w, uint64_t ino)
{
    end_inode(w);
    assert(ino > w->ino);
    w->ino = ino;
    w->attr = ATTR_NONE;
    w->complained = false;
    w->entries = w->chunks = 0;
    w->subfolders = 0;
    w->acls = 0;
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

/* That it is damaged is said later, when its name can be told: check_damaged(). */
static void on_attr(struct walk *w, struct slice value)
{
    w->max_ino = w->ino;
    w->attr = inode_decode(value, w->ino, &w->n) == 0 ? ATTR_GOOD : ATTR_DAMAGED;
    if (w->attr == ATTR_GOOD && !w->c->again)
        count_type(w->c->report, &w->n);
}

/* ---- what belongs to it ---- */

/* Does a look-up of that name come to that slot? */
static bool slot_right(struct walk *w, uint64_t slot, struct slice name)
{
    const struct check *c = w->c;
    char text[FS_NAME_MAX + 1];
    struct dirent found;
    if (slot == dirent_slot(c->fs->super.hash_seed, name))
        return true;
    memcpy(text, name.data, name.len);
    text[name.len] = 0;
    return dir_find(c->fs, &c->reader.read, &w->n, text, &found) == 0 && found.slot == slot;
}

static void check_dirent(struct walk *w, uint64_t slot, struct slice name)
{
    if (!inode_is_dir(&w->n)) {
        if (!w->complained)
            check_say_inode(w->c, FINDING_INODE, w->ino, "it has entries, but is no folder");
        w->complained = true;
    } else if (!slot_right(w, slot, name)) {
        check_say_inode(w->c, FINDING_SLOT, w->ino,
                        "entry \"%.*s\" stands where a look-up misses it", (int)name.len,
                        (const char *)name.data);
    }
}

static void on_dirent(struct walk *w, struct slice rest, struct slice value)
{
    struct check *c = w->c;
    struct dirent_record d;
    uint64_t slot;
    bool key = take_be64(&rest, &slot) && rest.len == 0 && slot >= SLOT_MIN && slot <= SLOT_MAX;
    if (!key || dirent_decode(value, &d) < 0) {
        check_say_inode(c, FINDING_DIRENT, w->ino, "an entry of the folder does not decode");
        return;
    }
    if (!c->again) {
        if (w->attr == ATTR_GOOD)
            check_dirent(w, slot, d.name);
        w->entries++;
        c->report->entries++;
    }
    w->subfolders += d.type == S_IFDIR >> 12;
    const struct check_entry line = {.child = d.ino, .folder = w->ino, .type = d.type};
    check_gather_entry(c, &line);
}

/* The last chunk of a file: the others' lengths do not matter to any reader; that they can be read,
 * the store's own check has proved. */
static void check_last_chunk(struct walk *w, uint64_t most)
{
    struct slice value;
    int err = store_iter_value(w->it, &value);
    if (err < 0)
        check_say_inode(w->c, FINDING_CHUNK, w->ino, "its last chunk cannot be read");
    else if (value.len > most)
        check_say_inode(w->c, FINDING_BEYOND_END, w->ino,
                        "its last chunk holds %" PRIu64 " bytes beyond its end",
                        (uint64_t)value.len - most);
    else if (S_ISLNK(w->n.mode) && (value.len < most || memchr(value.data, 0, value.len)))
        check_say_inode(w->c, FINDING_SYMLINK, w->ino, "the symbolic link's target is cut off");
}

static void on_chunk(struct walk *w, struct slice rest)
{
    struct check *c = w->c;
    uint64_t chunk, chunk_bytes = c->fs->super.chunk_bytes;
    if (!take_be64(&rest, &chunk) || rest.len) {
        check_say_inode(c, FINDING_KEY, w->ino, "a chunk without a number");
        return;
    }
    w->chunks++;
    c->report->chunks++;
    if (w->attr != ATTR_GOOD)
        return;
    if (chunk >= span_count(w) || !holds_data(&w->n))
        check_say_inode(c, FINDING_BEYOND_END, w->ino, "chunk %" PRIu64 " is beyond its end",
                        chunk);
    else if (chunk + 1 == span_count(w))
        check_last_chunk(w, w->n.size - chunk * chunk_bytes);
}

static void check_acl(struct walk *w, enum acl_kind kind, struct slice list)
{
    const struct inode *n = &w->n;
    bool good = acl_check(list) == 0;
    w->acls |= kind == ACL_ACCESS ? INODE_ACL_ACCESS : INODE_ACL_DEFAULT;
    if (w->attr == ATTR_GOOD)
        good = good && (kind == ACL_DEFAULT ? inode_is_dir(n)
                                            : !S_ISLNK(n->mode) && !acl_is_minimal(list) &&
                                                  acl_mode(list) == (n->mode & 0777));
    if (!good)
        check_say_inode(w->c, FINDING_ACL, w->ino,
                        "an access control list that is none, or does not go with its inode");
}

static void on_xattr(struct walk *w, struct slice rest)
{
    char name[256];
    struct slice value;
    int err = store_iter_value(w->it, &value);
    if (err < 0) {
        check_say_inode(w->c, FINDING_CHUNK, w->ino, "an extended attribute cannot be read");
        return;
    }
    if (rest.len >= 1 && rest.len <= 255) {
        memcpy(name, rest.data, rest.len);
        name[rest.len] = 0;
        if (strlen(name) == rest.len && acl_kind_of(name) != ACL_NOT) {
            check_acl(w, acl_kind_of(name), value);
            return;
        }
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
    struct received_record received;
    uint64_t ino;
    if (kind == SUPER_RECORD && rest.len == 0)
        return; /* read when the volume was opened */
    if (kind == SUPER_COUNTERS && rest.len == 0) {
        w->has_counters = counters_decode(value, &w->stored) == 0;
    } else if (kind == SUPER_NEXT_INO && rest.len == 0) {
        if (next_ino_decode(value, &w->next_ino) < 0)
            w->next_ino = 0;
    } else if (kind == SUPER_RECEIVED && rest.len == 0 && received_decode(value, &received) == 0) {
        return; /* which snapshot it is of, and of which volume, is not to be seen from here */
    } else if (kind == SUPER_ORPHAN && take_be64(&rest, &ino) && rest.len == 0) {
        c->orphans = check_grow(c->orphans, c->orphan_count, &c->orphan_cap, sizeof *c->orphans);
        c->orphans[c->orphan_count++] = ino;
    } else if (kind == SUPER_QUOTA || kind == SUPER_QUOTA_USED) {
        check_quota_key(c, kind, rest, value);
    } else if (kind == SUPER_POLICY) {
        check_policy_key(c, rest, value);
    } else {
        check_say(c, FINDING_KEY, STORE_DAMAGE, c->prefix,
                  "a key of the superblock that is unknown");
    }
}

static void check_super(struct walk *w)
{
    struct check *c = w->c;
    if ((!w->has_counters || w->next_ino == 0) && !c->super_told)
        check_say(c, FINDING_SUPER, STORE_DAMAGE, c->prefix,
                  "counters or next inode number are missing or do not decode");
    if (w->next_ino && w->max_ino >= FS_INO_FIRST && w->max_ino >= w->next_ino)
        check_say(c, FINDING_NEXT_INO, STORE_DAMAGE, c->prefix,
                  "inode %" PRIu64 " is in use, but numbers are reserved only below %" PRIu64,
                  w->max_ino, w->next_ino);
    const struct counters *s = &w->stored, *n = &c->counted;
    if (w->has_counters && (s->inodes != n->inodes || s->chunks != n->chunks))
        check_say(c, FINDING_COUNTERS, STORE_DAMAGE, c->prefix,
                  "the superblock counts %" PRId64 " inodes and %" PRId64
                  " chunks, there are %" PRId64 " and %" PRId64,
                  s->inodes, s->chunks, n->inodes, n->chunks);
}

/* ---- the pass ---- */

static bool key_ours(struct slice key, uint64_t *ino, uint8_t *kind, struct slice *rest)
{
    if (!key_split(key, ino, kind, rest))
        return false;
    if (*ino == 0)
        return true; /* on_super() looks closer */
    return (*ino == FS_INO_ROOT || *ino >= FS_INO_FIRST) && *ino <= FS_INO_MASK &&
           *kind < KIND_END && (*kind != KIND_ATTR || rest->len == 0);
}

static void on_belonging(struct walk *w, uint8_t kind, struct slice rest, struct slice value)
{
    if (w->attr == ATTR_NONE && !w->complained) {
        w->complained = true;
        check_say_inode(w->c, FINDING_NO_INODE, w->ino, "it has no attributes, but other keys");
    }
    if (kind == KIND_XATTR)
        on_xattr(w, rest);
    else if (kind == KIND_DIRENT)
        on_dirent(w, rest, value);
    else
        on_chunk(w, rest);
}

static int on_key(struct walk *w)
{
    struct slice value = {0}, rest;
    uint64_t ino;
    uint8_t kind;
    if (!key_ours(store_iter_key(w->it), &ino, &kind, &rest)) {
        check_say(w->c, FINDING_KEY, STORE_DAMAGE, w->c->prefix,
                  "a key that the file system does not write");
        return 0;
    }
    bool line = ino != 0 && (kind == KIND_ATTR || kind == KIND_DIRENT);
    bool small = line || ino == 0;
    if (w->c->again && !line)
        return 0;
    int err = small ? store_iter_value(w->it, &value) : 0;
    if (err < 0)
        return err;
    if (ino != w->ino)
        begin_inode(w, ino);
    if (ino == 0)
        on_super(w, kind, rest, value);
    else if (kind == KIND_ATTR)
        on_attr(w, value);
    else
        on_belonging(w, kind, rest, value);
    return 0;
}

int check_walk(struct check *c)
{
    struct slice all = {0};
    struct walk w = {.c = c, .it = store_iter_new(&c->reader.read, all, all)};
    int err = store_iter_first(w.it);
    while (err == 0 && c->stopped == 0) {
        err = on_key(&w);
        if (err == 0)
            err = store_iter_next(w.it);
    }
    end_inode(&w);
    if (err >= 0 && c->stopped == 0 && !c->again)
        check_super(&w);
    store_iter_free(w.it);
    return err < 0 ? err : 0;
}
