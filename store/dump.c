/* dump: items, and the way from a file's name to what shows its kind. See dump.h. */
#include "store/dump.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/unlock.h"

/* ---- items ---- */

void dump_begin(struct dump *d, const char *what)
{
    d->what = what;
    d->count = 0;
}

static struct store_fact *add(struct dump *d, const char *name, enum store_fact_kind kind)
{
    assert(d->what && d->count < STORE_FACTS_MAX);
    struct store_fact *f = &d->facts[d->count++];
    *f = (struct store_fact){.name = name, .kind = kind};
    return f;
}

void dump_number(struct dump *d, const char *name, uint64_t number)
{
    add(d, name, FACT_NUMBER)->number = number;
}

void dump_hex(struct dump *d, const char *name, uint64_t number)
{
    add(d, name, FACT_HEX)->number = number;
}

void dump_time(struct dump *d, const char *name, int64_t realtime_ns)
{
    add(d, name, FACT_TIME)->number = (uint64_t)realtime_ns;
}

void dump_text(struct dump *d, const char *name, const char *text)
{
    add(d, name, FACT_TEXT)->text = text;
}

void dump_key(struct dump *d, const char *name, struct slice key)
{
    add(d, name, FACT_KEY)->bytes = key;
}

void dump_value(struct dump *d, const char *name, struct slice value)
{
    add(d, name, FACT_VALUE)->bytes = value;
}

void dump_end(struct dump *d)
{
    struct store_item item = {.what = d->what, .facts = d->facts, .count = d->count};
    if (d->stop == 0)
        d->stop = d->fn(d->ctx, &item);
    d->what = NULL;
}

void dump_damage(struct dump *d, uint64_t offset, const char *why)
{
    dump_begin(d, "damage");
    if (offset != UINT64_MAX)
        dump_number(d, "offset", offset);
    dump_text(d, "why", why);
    dump_end(d);
}

/* ---- entries ---- */

const char *dump_type_name(enum entry_type type)
{
    static const char *const names[ENTRY_TYPE_COUNT] = {
        [ENTRY_DELETE] = "delete",         [ENTRY_PUT] = "put",
        [ENTRY_MERGE] = "merge",           [ENTRY_PUT_BLOB] = "put-blob",
        [ENTRY_MERGE_BLOB] = "merge-blob", [ENTRY_RANGE_DELETE] = "range-delete",
    };
    assert((int)type < ENTRY_TYPE_COUNT && names[type]);
    return names[type];
}

bool dump_wants_entries(const struct dump *d)
{
    return d->stop == 0 && d->opt->entries && (!d->opt->limit || d->shown < d->opt->limit);
}

static bool asked_for(const struct dump *d, struct slice key)
{
    return slice_cmp(key, d->opt->from) >= 0 &&
           (d->opt->to.len == 0 || slice_cmp(key, d->opt->to) < 0);
}

static void reference(struct dump *d, struct slice value)
{
    struct blob_ref ref;
    if (!blob_ref_decode(value, &ref)) {
        dump_text(d, "damage", "a malformed reference to a blob file");
        return;
    }
    dump_number(d, "blob_file", ref.file);
    dump_number(d, "blob_offset", ref.where.offset);
    dump_number(d, "blob_bytes", ref.where.len);
    dump_number(d, "value_bytes", ref.raw_len);
}

void dump_entry(struct dump *d, const char *where, const struct entry *e)
{
    if (!dump_wants_entries(d) || !asked_for(d, e->key))
        return;
    d->shown++;
    dump_begin(d, "entry");
    dump_key(d, "key", e->key);
    dump_number(d, "seq", e->seq);
    dump_text(d, "type", dump_type_name(e->type));
    if (where)
        dump_text(d, "where", where);
    if (entry_type_is_blob(e->type)) {
        reference(d, e->value);
    } else if (e->type == ENTRY_RANGE_DELETE) {
        dump_key(d, "end", e->value);
    } else if (e->type != ENTRY_DELETE) {
        dump_number(d, "value_bytes", e->value.len);
        dump_value(d, "value", e->value);
    }
    dump_end(d);
}

/* ---- files ---- */

void dump_uuid_digits(const uint8_t uuid[UUID_SIZE], char out[DUMP_UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < UUID_SIZE; i++) {
        out[2 * i] = digits[uuid[i] >> 4];
        out[2 * i + 1] = digits[uuid[i] & 15];
    }
    out[2 * UUID_SIZE] = 0;
}

static void file_item(struct dump *d, const char *name, const struct file *f, uint64_t size)
{
    char uuid[DUMP_UUID_TEXT];
    dump_uuid_digits(f->header.uuid, uuid);
    dump_begin(d, "file");
    dump_text(d, "name", name);
    dump_text(d, "kind", file_kind_name(f->header.kind));
    dump_number(d, "bytes", size);
    dump_number(d, "number", f->header.number);
    dump_number(d, "version", f->header.version);
    dump_text(d, "volume", uuid);
    dump_number(d, "cipher", f->header.cipher);
    if (f->header.cipher != CIPHER_NONE)
        dump_number(d, "key_epoch", f->header.key_epoch);
    dump_hex(d, "features", f->header.features);
    dump_end(d);
}

int dump_blob(struct dump *d, const struct file *f, uint64_t size)
{
    struct dump_walk w;
    struct dump_frame frame;
    int err;
    dump_walk_init(&w, d, f, size);
    while (dump_wants_entries(d) && (err = dump_walk_next(&w, &frame)) == 0) {
        d->shown++;
        dump_begin(d, "value");
        dump_number(d, "offset", frame.offset);
        dump_number(d, "bytes", (uint64_t)FRAME_HEADER_SIZE + frame.header.stored_len);
        dump_number(d, "codec", frame.header.codec);
        dump_number(d, "value_bytes", frame.header.raw_len);
        if (frame.decoded)
            dump_value(d, "value", frame.payload);
        dump_end(d);
    }
    dump_walk_release(&w);
    return dump_wants_entries(d) && err < 0 ? err : 0;
}

int dump_open_file(struct dump *d, enum file_kind kind, uint64_t number, struct file *f)
{
    int err = file_open(d->env, d->dir, kind, number, NULL, f);
    if (err == -ENOKEY)
        err = file_open_keyless(d->env, d->dir, kind, number, f);
    return err;
}

static int show_file(struct dump *d, const char *name, enum file_kind kind, uint64_t number)
{
    struct file f = {0};
    uint64_t size = 0;
    int err = dump_open_file(d, kind, number, &f);
    if (err == 0)
        err = f.io->ops->size(f.io, &size);
    if (err == 0) {
        file_item(d, name, &f, size);
        err = kind == FILE_TABLE  ? dump_table(d, &f, size)
              : kind == FILE_BLOB ? dump_blob(d, &f, size)
                                  : dump_journal(d, &f, size);
    }
    file_close(&f);
    return err;
}

/* The whole of a small file. */
static int read_small(struct env *env, const char *path, struct buf *out)
{
    enum { SMALL = 4096 };
    struct env_file *f;
    size_t got = 0;
    int err = env->open(env, path, ENV_OPEN_READ, &f);
    if (err < 0)
        return err;
    err = f->ops->read(f, 0, buf_reserve(out, SMALL), SMALL, &got);
    out->len = err == 0 ? got : 0;
    f->ops->close(f);
    return err;
}

static int show_current(struct dump *d, uint64_t *manifest)
{
    struct buf text = {0};
    char *path = name_current(d->dir);
    int err = read_small(d->env, path, &text);
    *manifest = 0;
    if (err == 0 && current_decode(buf_slice(&text), manifest) != 0) {
        dump_damage(d, UINT64_MAX, "CURRENT does not decode");
        err = -EIO;
    }
    free(path);
    buf_release(&text);
    if (err < 0)
        return err;
    dump_begin(d, "current");
    dump_number(d, "manifest", *manifest);
    dump_end(d);
    return 0;
}

static int show_manifest(struct dump *d)
{
    uint64_t number;
    int err = show_current(d, &number);
    if (err < 0)
        return err;
    char *path = name_file(d->dir, FILE_MANIFEST, number);
    err = show_file(d, strrchr(path, '/') + 1, FILE_MANIFEST, number);
    free(path);
    return err;
}

static void key_slot(struct dump *d, uint32_t number, const struct key_slot *s)
{
    dump_begin(d, "key-slot");
    dump_number(d, "number", number);
    dump_text(d, "label", s->label);
    dump_time(d, "made", s->made_ns);
    dump_number(d, "scrypt_log_n", s->cost.log_n);
    dump_number(d, "scrypt_r", s->cost.r);
    dump_number(d, "scrypt_p", s->cost.p);
    dump_end(d);
}

/* Who may open the volume; nothing that helps to. */
static int show_keys(struct dump *d)
{
    struct key_file f;
    int err = keyslots_read(d->env, d->dir, &f);
    if (err != 0)
        return err < 0 ? err : -ENOENT;
    dump_begin(d, "keys");
    dump_number(d, "edition", f.edition);
    dump_number(d, "generations", f.ring.count);
    dump_end(d);
    for (uint32_t i = 0; i < KEY_SLOTS; i++)
        if (f.slots[i].used)
            key_slot(d, i, &f.slots[i]);
    return 0;
}

static int show(struct dump *d, const char *name)
{
    enum file_kind kind;
    uint64_t number;
    if (!name)
        return show_manifest(d);
    if (strchr(name, '/') || name_parse(name, &kind, &number) != 0)
        return -EINVAL;
    if (kind == FILE_CURRENT)
        return show_current(d, &number);
    if (kind == FILE_KEYS)
        return show_keys(d);
    if (kind == FILE_TAIL)
        return dump_tail(d);
    return kind <= FILE_BLOB ? show_file(d, name, kind, number) : -EINVAL;
}

int store_dump(const char *dir, const struct store_options *o, const char *name,
               const struct store_dump_options *opt, store_item_fn *fn, void *ctx)
{
    struct env env = *(o->env ? o->env : env_posix());
    struct keyslots *keys = NULL;
    struct dump d = {.env = &env, .dir = dir, .opt = opt, .fn = fn, .ctx = ctx};
    int err = unlock_store(&env, dir, o, &keys);
    if (err == -ENOKEY && !o->secret)
        err = 0; /* frames can be verified, and are shown as such */
    if (keys)
        env.keys = keyslots_ring(keys);
    if (err == 0)
        err = show(&d, name);
    keyslots_free(keys);
    return d.stop ? d.stop : err;
}
