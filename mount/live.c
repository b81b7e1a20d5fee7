/* live: see live.h.
 *
 * Invariants:
 *  1. A node is in the list as long as somebody holds a reference; its text never changes.
 *  2. No two nodes have the same number: a number in use is passed over.
 *  3. At most one node of a file is `newest`, the one that a look-up may share.
 *  4. Locks: `changing` before `lock`; the file system is called with `changing` alone. */
#include "mount/live.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "mount/config.h"
#include "mount/report.h"

enum { FILE_STATS, FILE_METRICS, FILE_CONFIG, FILES };
enum { INO_FIRST = 8, TURN_MAX = 0xffff }; /* of the numbers below FS_INO_FIRST */
#define SHARE_NS UINT64_C(100000000)       /* how long look-ups share a text */

static const struct {
    const char *name;
    uint32_t mode;
} files[FILES] = {
    [FILE_STATS] = {"stats", S_IFREG | 0444},
    [FILE_METRICS] = {"metrics", S_IFREG | 0444},
    [FILE_CONFIG] = {"config", S_IFREG | 0644},
};

struct node {
    struct node *next;
    uint64_t number, refs;
    unsigned file;
    bool newest;
    uint64_t made_ns; /* of the monotonic clock */
    uint64_t changes; /* struct live's, before the text was made */
    struct fs_attr attr;
    struct buf text;
};

struct live {
    struct fs *fs; /* constant */
    pthread_mutex_t changing;
    pthread_mutex_t lock;
    struct node *nodes;            /* [lock] owned */
    uint32_t turn;                 /* [lock] the last that was given out */
    uint64_t changes;              /* [lock] how often something was written */
    struct fs_time changed;        /* [lock] when a setting was changed last */
    char error[STORE_MESSAGE_MAX]; /* [lock] why the last change was refused, or "" */
};

static struct fs_time wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (struct fs_time){.sec = t.tv_sec, .nsec = (uint32_t)t.tv_nsec};
}

struct live *live_new(struct fs *fs)
{
    struct live *l = mem_zalloc(sizeof *l);
    assert(fs);
    l->fs = fs;
    l->changed = wall();
    pthread_mutex_init(&l->changing, NULL);
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

static void node_free(struct node *n)
{
    buf_release(&n->text);
    free(n);
}

void live_free(struct live *l)
{
    if (!l)
        return;
    while (l->nodes) { /* the kernel need not give them back at the end */
        struct node *n = l->nodes;
        l->nodes = n->next;
        node_free(n);
    }
    pthread_mutex_destroy(&l->changing);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* ---- files ---- */

static uint64_t file_ino(unsigned file)
{
    static_assert(INO_FIRST + FILES <= FS_INO_FIRST, "the file system gives out other numbers");
    return INO_FIRST + file;
}

static unsigned file_of(uint64_t node)
{
    assert(live_is(node));
    return (unsigned)(node & ((UINT64_C(1) << FS_INO_BITS) - 1)) - INO_FIRST;
}

bool live_is(uint64_t node)
{
    uint64_t ino = node & ((UINT64_C(1) << FS_INO_BITS) - 1);
    return node >> FS_INO_BITS != 0 && ino >= INO_FIRST && ino < INO_FIRST + FILES;
}

static unsigned find_file(const char *name)
{
    unsigned file = 0;
    while (file < FILES && strcmp(files[file].name, name) != 0)
        file++;
    return file;
}

bool live_is_name(const char *name)
{
    return find_file(name) < FILES;
}

bool live_list(unsigned index, const char **name, struct fs_attr *attr)
{
    if (index >= FILES)
        return false;
    *name = files[index].name;
    *attr = (struct fs_attr){.ino = file_ino(index), .mode = files[index].mode, .nlink = 1};
    return true;
}

/* ---- texts ---- */

/* Reports come with an empty line before each section. */
static int make_stats(struct live *l, struct buf *out)
{
    struct buf text = {0};
    int err = report_activity(l->fs, false, &text);
    size_t skip = text.len > 0 && text.data[0] == '\n';
    buf_append_bytes(out, text.data + skip, text.len - skip);
    buf_release(&text);
    return err;
}

static int make_text(struct live *l, unsigned file, struct buf *out)
{
    char error[STORE_MESSAGE_MAX];
    switch (file) {
    case FILE_STATS:
        return make_stats(l, out);
    case FILE_METRICS:
        return report_metrics(l->fs, out);
    default:
        assert(file == FILE_CONFIG);
        pthread_mutex_lock(&l->lock);
        memcpy(error, l->error, sizeof error);
        pthread_mutex_unlock(&l->lock);
        config_print(l->fs, error, out);
        return 0;
    }
}

/* A node with a text of now, in no list. */
static int node_new(struct live *l, unsigned file, const struct fs_attr *root, struct node **out)
{
    struct node *n = mem_zalloc(sizeof *n);
    n->made_ns = timed_now();
    pthread_mutex_lock(&l->lock);
    n->changes = l->changes;
    pthread_mutex_unlock(&l->lock);
    int err = make_text(l, file, &n->text);
    if (err < 0) {
        node_free(n);
        return err;
    }
    n->file = file;
    pthread_mutex_lock(&l->lock);
    struct fs_time t = file == FILE_CONFIG ? l->changed : wall();
    pthread_mutex_unlock(&l->lock);
    n->attr = (struct fs_attr){.ino = file_ino(file),
                               .size = n->text.len,
                               .blocks = (n->text.len + 511) / 512,
                               .mode = files[file].mode,
                               .nlink = 1,
                               .uid = root->uid,
                               .gid = root->gid,
                               .block_bytes = 4096,
                               .atime = t,
                               .mtime = t,
                               .ctime = t,
                               .btime = t};
    *out = n;
    return 0;
}

/* ---- nodes [all with the lock] ---- */

static struct node *find(struct live *l, uint64_t number)
{
    struct node *n = l->nodes;
    while (n && n->number != number)
        n = n->next;
    return n;
}

/* One that is new enough to be shared, and belongs to who the root folder belongs to now. */
static struct node *find_newest(struct live *l, unsigned file, const struct fs_attr *root)
{
    struct node *n = l->nodes;
    while (n && !(n->newest && n->file == file))
        n = n->next;
    bool good = n && timed_now() - n->made_ns < SHARE_NS && n->attr.uid == root->uid &&
                n->attr.gid == root->gid;
    return good ? n : NULL;
}

static void retire(struct live *l, unsigned file)
{
    for (struct node *n = l->nodes; n; n = n->next)
        n->newest &= n->file != file;
}

static void add(struct live *l, struct node *n)
{
    do {
        l->turn = l->turn % TURN_MAX + 1;
        n->number = (uint64_t)l->turn << FS_INO_BITS | file_ino(n->file);
    } while (find(l, n->number));
    retire(l, n->file);
    n->newest = n->changes == l->changes; /* otherwise its text may be from before the change */
    n->next = l->nodes;
    l->nodes = n;
    assert(live_is(n->number));
}

/* ---- the calls ---- */

static void hand_out(struct node *n, uint64_t *node, struct fs_attr *attr)
{
    n->refs++;
    *node = n->number;
    *attr = n->attr;
}

int live_lookup(struct live *l, const char *name, uint64_t *node, struct fs_attr *attr)
{
    struct fs_attr root;
    struct node *made;
    unsigned file = find_file(name);
    if (file == FILES)
        return 1;
    int err = fs_getattr(l->fs, FS_INO_ROOT, &root);
    if (err < 0)
        return err;
    pthread_mutex_lock(&l->lock);
    struct node *there = find_newest(l, file, &root);
    if (there)
        hand_out(there, node, attr);
    pthread_mutex_unlock(&l->lock);
    if (there)
        return 0;
    err = node_new(l, file, &root, &made);
    if (err < 0)
        return err;
    pthread_mutex_lock(&l->lock);
    add(l, made);
    hand_out(made, node, attr);
    pthread_mutex_unlock(&l->lock);
    return 0;
}

void live_forget(struct live *l, uint64_t node, uint64_t count)
{
    struct node **link, *gone = NULL;
    pthread_mutex_lock(&l->lock);
    for (link = &l->nodes; *link && (*link)->number != node;)
        link = &(*link)->next;
    if (*link) {
        assert((*link)->refs >= count);
        (*link)->refs -= count;
        if ((*link)->refs == 0) {
            gone = *link;
            *link = gone->next;
        }
    }
    pthread_mutex_unlock(&l->lock);
    if (gone)
        node_free(gone);
}

int live_getattr(struct live *l, uint64_t node, struct fs_attr *attr)
{
    pthread_mutex_lock(&l->lock);
    const struct node *n = find(l, node);
    if (n)
        *attr = n->attr;
    pthread_mutex_unlock(&l->lock);
    return n ? 0 : -ESTALE;
}

int live_read(struct live *l, uint64_t node, uint64_t offset, void *data, size_t size, size_t *got)
{
    *got = 0;
    pthread_mutex_lock(&l->lock);
    const struct node *n = find(l, node);
    if (n && offset < n->text.len) {
        size_t left = n->text.len - (size_t)offset;
        *got = size < left ? size : left;
        memcpy(data, n->text.data + offset, *got);
    }
    pthread_mutex_unlock(&l->lock);
    return n ? 0 : -ESTALE;
}

size_t live_own(struct live *l, uint64_t node, uint64_t offset, const void *data, size_t size)
{
    size_t own = 0;
    pthread_mutex_lock(&l->lock);
    const struct node *n = find(l, node);
    if (n && offset < n->text.len && n->text.len - offset <= size)
        own = n->text.len - (size_t)offset;
    if (own && memcmp(data, n->text.data + offset, own) != 0)
        own = 0;
    pthread_mutex_unlock(&l->lock);
    return own;
}

void live_retire(struct live *l, uint64_t node)
{
    pthread_mutex_lock(&l->lock);
    retire(l, file_of(node));
    pthread_mutex_unlock(&l->lock);
}

int live_check_writable(uint64_t node)
{
    return file_of(node) == FILE_CONFIG ? 0 : -EACCES;
}

int live_write(struct live *l, uint64_t node, const void *data, size_t size)
{
    char message[STORE_MESSAGE_MAX];
    int err = live_check_writable(node);
    if (err < 0)
        return err;
    pthread_mutex_lock(&l->changing);
    err = config_apply(l->fs, slice_of(data, size), message);
    pthread_mutex_lock(&l->lock);
    memcpy(l->error, message, sizeof message);
    if (err == 0)
        l->changed = wall();
    for (unsigned file = 0; file < FILES; file++)
        retire(l, file);
    l->changes++;
    pthread_mutex_unlock(&l->lock);
    pthread_mutex_unlock(&l->changing);
    if (err < 0)
        log_message(LOG_WARNING, "settings: %s", message);
    return err;
}
