/* open: making, opening and closing a volume, and its figures; the part of the door that is about
 * the volume as a whole. */
#include <inttypes.h>
#include <stdio.h>

#include "fs/atime.h"
#include "fs/open.h"
#include "fs/orphan.h"
#include "fs/quota_set.h"
#include "fs/volume.h"

void fs_options_init(struct fs_options *o)
{
    *o = (struct fs_options){.zstd_level = -1, .workers = 2};
}

void fs_make_options_init(struct fs_make_options *o)
{
    *o = (struct fs_make_options){
        .chunk_bytes = FS_CHUNK_BYTES_DEFAULT, .zstd_level = FS_ZSTD_LEVEL_DEFAULT, .mode = 0755};
}

/* ---- making ---- */

static void put_root(struct store_batch *b, const struct store *s, const struct fs_make_options *o)
{
    struct fs_time t = fs_time_of(store_realtime(s));
    struct inode root = {.mode = S_IFDIR | (o->mode & 07777),
                         .nlink = 2,
                         .uid = o->uid,
                         .gid = o->gid,
                         .parent = FS_INO_ROOT,
                         .atime = t,
                         .mtime = t,
                         .ctime = t,
                         .btime = t};
    struct buf value = {0};
    struct key k = key_attr(FS_INO_ROOT);
    inode_encode(&root, &value);
    store_batch_put(b, key_slice(&k), buf_slice(&value));
    buf_release(&value);
}

static void put_super(struct store_batch *b, const struct store *s, const struct fs_make_options *o)
{
    struct super_record super = {
        .chunk_bytes = o->chunk_bytes, .zstd_level = o->zstd_level, .made_ns = store_realtime(s)};
    struct counters c = {.inodes = 1};
    struct buf value = {0};
    struct key k = key_super(SUPER_RECORD);
    store_uuid(s, super.uuid);
    /* Names are spread by the volume's own number, so that nobody can prepare names that collide.
     */
    super.hash_seed = get_u64(super.uuid) ^ get_u64(super.uuid + 8);
    super_encode(&super, &value);
    store_batch_put(b, key_slice(&k), buf_slice(&value));
    buf_clear(&value);
    k = key_super(SUPER_COUNTERS);
    counters_encode(&c, &value);
    store_batch_put(b, key_slice(&k), buf_slice(&value));
    buf_clear(&value);
    k = key_super(SUPER_NEXT_INO);
    buf_put_u64(&value, FS_INO_FIRST);
    store_batch_put(b, key_slice(&k), buf_slice(&value));
    buf_release(&value);
}

/* Scans go over one kind of one inode. Attributes are a single key each. */
static size_t prefix_len(struct slice key)
{
    enum { INO_AND_KIND = 9 };
    if (key.len < INO_AND_KIND)
        return 0;
    uint8_t kind = key.data[INO_AND_KIND - 1];
    return kind >= KIND_XATTR && kind <= KIND_DATA ? INO_AND_KIND : 0;
}

/* Part of the format: a rule that is another must have another number. */
static const struct store_prefix fs_prefix = {.id = 1, .len = prefix_len};

/* The classes are the kinds, which docs/OPERATIONS.md tells to people; but contents of files may
 * have a level of their own. `ctx`: the policies of an open file system, or NULL. */
static uint32_t class_of(void *ctx, struct slice key)
{
    uint64_t ino;
    uint8_t kind;
    struct slice rest;
    if (!key_split(key, &ino, &kind, &rest) || ino == 0 || kind >= KIND_END)
        return KIND_ATTR;
    int level = ctx && kind == KIND_DATA ? policy_level(ctx, ino) : -1;
    return level < 0 ? kind : STORE_CLASS_ZSTD + (uint32_t)level;
}
static uint64_t class_since(void *ctx, struct slice key)
{
    uint64_t ino;
    uint8_t kind;
    struct slice rest;
    bool data = key_split(key, &ino, &kind, &rest) && ino > 0 && kind == KIND_DATA;
    return data ? policy_since(ctx, ino, ino + 1) : 0;
}

static uint64_t class_since_in(void *ctx, struct slice start, struct slice limit)
{
    uint64_t first = 0, end = UINT64_MAX, last;
    if (start.len)
        take_be64(&start, &first);
    if (limit.len && take_be64(&limit, &last))
        end = last + 1;
    return policy_since(ctx, first, end);
}

_Static_assert(KIND_END <= (int)STORE_CLASSES, "each kind of key is a class");
_Static_assert(FS_ZSTD_LEVEL_MAX < (int)STORE_ZSTD_LEVELS, "the store knows each level");

static const struct store_classes fs_classes = {.of = class_of};

void open_store_options(struct store_options *so, const struct fs_options *o)
{
    if (o->store)
        *so = *o->store;
    else
        store_options_init(so);
    so->env = o->env;
    so->read_only = o->read_only;
    so->workers = o->workers;
    so->merge = &fs_merge;
    so->recovery = o->recovery;
    if (o->scrub_rate)
        so->scrub_rate = o->scrub_rate;
    if (o->secret)
        so->secret = o->secret;
    so->prefix = &fs_prefix;
    so->classes = &fs_classes;
    if (o->cache_bytes)
        so->cache_bytes = o->cache_bytes;
    if (o->memtable_bytes)
        so->memtable_bytes = o->memtable_bytes;
    if (o->zstd_level >= 0)
        so->zstd_level = o->zstd_level;
}

static int fill(struct store *s, const struct fs_make_options *o)
{
    struct store_batch *b = store_batch_new(s);
    put_root(b, s, o);
    put_super(b, s, o);
    int err = store_write(s, b, STORE_SYNC);
    store_batch_free(b);
    return err;
}

static int check_make_options(const struct fs_make_options *o)
{
    bool power = (o->chunk_bytes & (o->chunk_bytes - 1)) == 0;
    if (!power || o->chunk_bytes < FS_CHUNK_BYTES_MIN || o->chunk_bytes > FS_CHUNK_BYTES_MAX)
        return -EINVAL;
    return o->zstd_level >= 0 && o->zstd_level <= FS_ZSTD_LEVEL_MAX ? 0 : -EINVAL;
}

int fs_make(const char *path, const struct fs_make_options *given)
{
    struct fs_make_options o = *given;
    struct fs_options open = {.env = o.env, .zstd_level = 1, .secret = o.secret};
    struct store_options so;
    struct store *s;
    if (o.chunk_bytes == 0)
        o.chunk_bytes = FS_CHUNK_BYTES_DEFAULT;
    if (o.zstd_level < 0)
        o.zstd_level = FS_ZSTD_LEVEL_DEFAULT;
    int err = check_make_options(&o);
    if (err < 0)
        return err;
    open_store_options(&so, &open);
    err = store_create(path, &so);
    if (err < 0)
        return err;
    err = store_open(path, &so, &s);
    if (err < 0)
        return err;
    err = fill(s, &o);
    int closed = store_close(s);
    return err < 0 ? err : closed;
}

/* ---- opening ---- */

static int require_root(struct fs *fs)
{
    struct store_read read;
    struct inode root;
    volume_read_begin(fs, &read);
    int err = inode_get(&read, FS_INO_ROOT, &root);
    store_read_end(&read);
    if (err == -ENOENT || (err == 0 && !inode_is_dir(&root)))
        err = corrupt("inode 1", UINT64_MAX, "there is no root folder");
    return err;
}

static int set_level(struct fs *fs)
{
    char value[16], message[STORE_MESSAGE_MAX];
    snprintf(value, sizeof value, "%" PRIi32, fs->super.zstd_level);
    return store_set(fs->store, "compression.level", value, message);
}

/* What cannot be done now, on a full disk for one, must not keep the volume from being used. */
static void complete_quotas(struct fs *fs)
{
    int err = quota_resume(fs);
    if (err < 0)
        log_message(LOG_WARNING, "not all that is below a folder with a limit is counted yet: %s",
                    strerror(-err));
}

int fs_open(const char *path, const struct fs_options *o, struct fs **out)
{
    struct store_options so;
    *out = NULL;
    if (o->zstd_level > FS_ZSTD_LEVEL_MAX)
        return -EINVAL;
    struct fs *fs = mem_zalloc(sizeof *fs);
    fs->read_only = o->read_only || o->snapshot;
    fs->no_sweep = o->no_sweep || fs->read_only;
    open_store_options(&so, o);
    so.read_only = fs->read_only;
    policy_init(fs); /* the store's workers ask it from the beginning */
    fs->classes = (struct store_classes){class_of, &fs->policies, class_since, class_since_in};
    so.classes = &fs->classes;
    int err = store_open(path, &so, &fs->store);
    if (err < 0) {
        policy_release(fs);
        free(fs);
        return err;
    }
    err = volume_load(fs, o->snapshot);
    if (err == 0)
        err = require_root(fs);
    if (err == 0 && o->zstd_level < 0 && !fs->read_only)
        err = set_level(fs);
    if (err == 0 && !fs->no_sweep) {
        orphan_sweep(fs);
        complete_quotas(fs);
    }
    if (err == 0 && !o->read_only)
        fs->atimes = atimes_new(o->atime, !o->no_dir_atime);
    if (err < 0) {
        volume_release(fs);
        store_close(fs->store);
        policy_release(fs);
        free(fs);
        return err;
    }
    *out = fs;
    return 0;
}

int fs_close(struct fs *fs)
{
    assert(fs && fs->store);
    /* Nobody is left who could use an orphan. If this fails the next mount does it. */
    if (!fs->no_sweep && !store_failure(fs->store))
        orphan_sweep(fs);
    if (!store_failure(fs->store))
        fs_write_times(fs);
    atimes_free(fs->atimes);
    volume_release(fs);
    int err = store_close(fs->store);
    policy_release(fs);
    free(fs);
    return err;
}

const char *fs_failure(struct fs *fs)
{
    return store_failure(fs->store);
}

int fs_work(struct fs *fs)
{
    return store_work(fs->store);
}

int fs_compact(struct fs *fs)
{
    return store_compact(fs->store, (struct slice){0}, (struct slice){0});
}

int fs_compact_watched(struct fs *fs, store_compaction_fn *fn, void *ctx)
{
    return store_compact_watched(fs->store, (struct slice){0}, (struct slice){0}, fn, ctx);
}

/* ---- settings ---- */

void fs_settings_init(struct store_options *so)
{
    store_options_init(so);
}

int fs_settings_set(struct store_options *so, const char *name, const char *value,
                    char message[STORE_MESSAGE_MAX])
{
    return store_options_set(so, name, value, message);
}

void fs_lend_memory(struct fs *fs, uint64_t bytes)
{
    store_lend_memory(fs->store, bytes);
}

int fs_set(struct fs *fs, const char *name, const char *value, char message[STORE_MESSAGE_MAX])
{
    return store_set(fs->store, name, value, message);
}

int fs_list_settings(struct fs *fs, store_setting_fn *fn, void *ctx)
{
    return store_list_settings(fs->store, fn, ctx);
}

/* ---- figures ---- */

void fs_get_insight(struct fs *fs, struct store_insight *out)
{
    store_get_insight(fs->store, out);
}

const char *fs_timer_name(enum store_timer which)
{
    return store_timer_name(which);
}

const char *fs_space_state_name(enum store_space_state state)
{
    return store_space_state_name(state);
}

const char *fs_cache_kind_name(enum store_cache_kind which)
{
    return store_cache_kind_name(which);
}

static uint64_t at_least_zero(const int64_t *counter)
{
    int64_t v = __atomic_load_n(counter, __ATOMIC_RELAXED);
    return v > 0 ? (uint64_t)v : 0;
}

int fs_get_stats(struct fs *fs, struct fs_stats *out)
{
    *out = (struct fs_stats){.chunk_bytes = fs->super.chunk_bytes,
                             .zstd_level = fs->super.zstd_level,
                             .made_ns = fs->super.made_ns};
    int err = store_get_stats(fs->store, &out->store);
    if (err < 0)
        return err;
    store_uuid(fs->store, out->uuid); /* a checkpoint has the superblock of where it came from */
    out->total_bytes = out->store.disk_total_bytes;
    out->free_bytes = out->store.disk_usable_bytes;
    out->inodes = at_least_zero(&fs->inodes);
    out->used_bytes = at_least_zero(&fs->chunks) * fs->super.chunk_bytes;
    out->volume_bytes = out->store.log_bytes + out->store.blob_bytes;
    for (size_t i = 0; i < sizeof out->store.level_bytes / sizeof *out->store.level_bytes; i++)
        out->volume_bytes += out->store.level_bytes[i];
    return 0;
}
