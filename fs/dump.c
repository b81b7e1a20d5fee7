/* dump: see dump.h, and fs.h for the door.
 *
 * Forms of keys: "super/record", "super/counters", "super/next", "super/received",
 * "super/orphan/INODE", "super/quota/INODE", "super/used/INODE", "super/policy/INODE",
 * "INODE/attr", "INODE/xattr/NAME", "INODE/slot/NUMBER", "INODE/data/CHUNK", "INODE/end" (what
 * follows the inode), "raw:HEX". In a NAME, bytes that are not printable, '%' and ' ' are written
 * as %XX. A
 * '+' at the end of any but the last is a zero byte more: the key right after. */
#include "fs/dump.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/open.h"
#include "fs/volume.h"

/* ---- telling ---- */

static void tell(struct buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct buf *out, const char *format, ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < sizeof text);
    buf_append_bytes(out, text, (size_t)n);
}

static void tell_name(struct buf *out, struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (c > ' ' && c < 127 && c != '%')
            buf_put_u8(out, c);
        else
            tell(out, "%%%02X", c);
    }
}

static void tell_raw(struct buf *out, struct slice key)
{
    tell(out, "raw:");
    for (size_t i = 0; i < key.len; i++)
        tell(out, "%02x", key.data[i]);
}

/* The volume's own kinds of keys; NULL: there is none of that number. */
enum { SUPER_KINDS = SUPER_POLICY + 1 };
static const char *const super_names[SUPER_KINDS] = {
    [SUPER_RECORD] = "record",   [SUPER_COUNTERS] = "counters", [SUPER_NEXT_INO] = "next",
    [SUPER_ORPHAN] = "orphan",   [SUPER_RECEIVED] = "received", [SUPER_QUOTA] = "quota",
    [SUPER_QUOTA_USED] = "used", [SUPER_POLICY] = "policy"};

/* Is an inode's number part of the key? */
static bool names_inode(uint8_t kind)
{
    return kind == SUPER_ORPHAN || kind >= SUPER_QUOTA;
}

static bool tell_super(struct buf *out, uint8_t kind, struct slice rest)
{
    if (kind >= SUPER_KINDS || !super_names[kind])
        return false;
    if (names_inode(kind) && rest.len == 8)
        tell(out, "super/%s/%" PRIu64, super_names[kind], get_be64(rest.data));
    else if (!names_inode(kind) && rest.len == 0)
        tell(out, "super/%s", super_names[kind]);
    else
        return false;
    return true;
}

static bool tell_inode_key(struct buf *out, uint64_t ino, uint8_t kind, struct slice rest)
{
    if (kind == KIND_ATTR && rest.len == 0) {
        tell(out, "%" PRIu64 "/attr", ino);
    } else if (kind == KIND_XATTR && rest.len > 0) {
        tell(out, "%" PRIu64 "/xattr/", ino);
        tell_name(out, rest);
    } else if ((kind == KIND_DIRENT || kind == KIND_DATA) && rest.len == 8) {
        tell(out, "%" PRIu64 "/%s/%" PRIu64, ino, kind == KIND_DATA ? "data" : "slot",
             get_be64(rest.data));
    } else if (kind == KIND_END && rest.len == 0) {
        tell(out, "%" PRIu64 "/end", ino);
    } else {
        return false;
    }
    return true;
}

static bool tell_known(struct slice key, struct buf *out)
{
    uint64_t ino;
    uint8_t kind;
    struct slice rest;
    return key_split(key, &ino, &kind, &rest) &&
           (ino == 0 ? tell_super(out, kind, rest) : tell_inode_key(out, ino, kind, rest));
}

/* The end of a table's span is often the key right after its last one: that key and a zero. */
void dump_tell_key(struct slice key, struct buf *out)
{
    bool after = key.len > 9 && key.data[key.len - 1] == 0;
    if (tell_known(key, out))
        return;
    if (after && tell_known(slice_of(key.data, key.len - 1), out))
        tell(out, "+");
    else
        tell_raw(out, key);
}

static void tell_inode(struct slice value, uint64_t ino, struct buf *out)
{
    struct inode n;
    if (inode_decode(value, ino, &n) < 0) {
        tell(out, "does not decode");
        return;
    }
    tell(out, "mode %06o, %" PRIu32 " links, owner %" PRIu32 ":%" PRIu32 ", size %" PRIu64, n.mode,
         n.nlink, n.uid, n.gid, n.size);
    tell(out, ", %" PRIu64 " chunks", n.chunks);
    if (n.flags & INODE_ACL_ACCESS)
        tell(out, ", access list");
    if (n.flags & INODE_ACL_DEFAULT)
        tell(out, ", default list");
    if (n.quota)
        tell(out, ", counts towards %" PRIu64, n.quota);
    if (n.policy)
        tell(out, ", compressed at level %d", n.policy - 1);
}

static void tell_dirent(struct slice value, struct buf *out)
{
    struct dirent_record d;
    if (dirent_decode(value, &d) < 0) {
        tell(out, "does not decode");
        return;
    }
    tell(out, "inode %" PRIu64 ", type %u, name ", d.ino, d.type);
    tell_name(out, d.name);
}

static void tell_received(struct slice value, struct buf *out)
{
    struct received_record r;
    if (received_decode(value, &r) == 0)
        tell(out, "operation=%" PRIu64 " created=%" PRId64 " snapshot=%" PRIu64 " at=%" PRId64,
             r.seq, r.created_ns, r.pin_tag, r.pin_created_ns);
}

static void tell_counters(struct slice value, struct buf *out)
{
    struct counters c;
    if (counters_decode(value, &c) == 0)
        tell(out, "inodes %+" PRIi64 ", chunks %+" PRIi64, c.inodes, c.chunks);
}

static void tell_quota(struct slice value, struct buf *out)
{
    struct quota_record q;
    if (quota_decode(value, &q) < 0)
        tell(out, "does not decode");
    else
        tell(out, q.taking ? "limit %" PRIu64 ", taking over from %" PRIu64 : "limit %" PRIu64,
             q.limit_bytes, q.from);
}

static void tell_quota_used(struct slice value, struct buf *out)
{
    struct quota_used u;
    if (quota_used_decode(value, &u) == 0)
        tell(out, "inodes %+" PRIi64 ", bytes %+" PRIi64, u.inodes, u.bytes);
}

static void tell_policy(struct slice value, uint64_t start, struct buf *out)
{
    struct policy p;
    if (policy_decode(value, start, &p) == 0)
        tell(out, "up to %" PRIu64 ": level %u", p.end - 1, p.level);
}

static void tell_patches(struct slice value, struct buf *out)
{
    enum patch_kind kind;
    uint32_t offset;
    struct slice bytes;
    while (patch_take(&value, &kind, &offset, &bytes) == 0)
        if (kind == PATCH_CUT)
            tell(out, "cut at %" PRIu32 "; ", offset);
        else
            tell(out, "%s %zu bytes at %" PRIu32 "; ", kind == PATCH_WRITE ? "write" : "zero",
                 bytes.len, offset);
}

void dump_tell_value(struct slice key, struct slice value, struct buf *out)
{
    uint64_t ino;
    uint8_t kind;
    struct slice rest;
    if (!key_split(key, &ino, &kind, &rest))
        return;
    if (ino == 0 && kind == SUPER_COUNTERS)
        tell_counters(value, out);
    else if (ino == 0 && kind == SUPER_QUOTA)
        tell_quota(value, out);
    else if (ino == 0 && kind == SUPER_POLICY && rest.len == 8)
        tell_policy(value, get_be64(rest.data), out);
    else if (ino == 0 && kind == SUPER_QUOTA_USED)
        tell_quota_used(value, out);
    else if (ino == 0 && kind == SUPER_NEXT_INO && value.len == 8)
        tell(out, "%" PRIu64, get_u64(value.data));
    else if (ino == 0 && kind == SUPER_RECEIVED)
        tell_received(value, out);
    else if (ino != 0 && kind == KIND_ATTR)
        tell_inode(value, ino, out);
    else if (ino != 0 && kind == KIND_DIRENT)
        tell_dirent(value, out);
}

/* ---- reading ---- */

/* A decimal number up to the end, or to a '/' with more behind it, which is taken, too. */
static bool take_number(const char **text, uint64_t *value)
{
    char *end;
    if (!isdigit((unsigned char)**text))
        return false;
    *value = strtoull(*text, &end, 10);
    *text = *end == '/' ? end + 1 : end;
    return *end == 0 || (*end == '/' && end[1]);
}

static bool take_word(const char **text, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(*text, word, len) != 0 ||
        ((*text)[len] != 0 && ((*text)[len] != '/' || (*text)[len + 1] == 0)))
        return false;
    *text += len + ((*text)[len] == '/');
    return true;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static int parse_raw(const char *text, struct buf *out)
{
    for (; *text; text += 2) {
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0)
            return -EINVAL;
        buf_put_u8(out, (uint8_t)(high << 4 | low));
    }
    return 0;
}

static int parse_name(const char *text, struct buf *out)
{
    for (; *text; text++) {
        if (*text != '%') {
            buf_put_u8(out, (uint8_t)*text);
            continue;
        }
        int high = hex_digit(text[1]), low = high < 0 ? -1 : hex_digit(text[2]);
        if (low < 0)
            return -EINVAL;
        buf_put_u8(out, (uint8_t)(high << 4 | low));
        text += 2;
    }
    return 0;
}

static int put_number(const char *text, struct buf *out)
{
    uint64_t number;
    if (*text == 0)
        return 0; /* all of this kind */
    if (!take_number(&text, &number) || *text)
        return -EINVAL;
    buf_put_be64(out, number);
    return 0;
}

static int parse_super(const char *text, struct buf *out)
{
    buf_put_be64(out, 0);
    for (uint8_t kind = 0; kind < SUPER_KINDS && *text; kind++) {
        if (!super_names[kind] || !take_word(&text, super_names[kind]))
            continue;
        buf_put_u8(out, kind);
        return names_inode(kind) ? put_number(text, out) : *text ? -EINVAL : 0;
    }
    return *text ? -EINVAL : 0;
}

static int parse_inode(const char *text, struct buf *out)
{
    static const char *const names[] = {[KIND_ATTR] = "attr",
                                        [KIND_XATTR] = "xattr",
                                        [KIND_DIRENT] = "slot",
                                        [KIND_DATA] = "data",
                                        [KIND_END] = "end"};
    uint64_t ino;
    if (!take_number(&text, &ino))
        return -EINVAL;
    buf_put_be64(out, ino);
    for (uint8_t kind = 0; kind <= KIND_END && *text; kind++) {
        if (!take_word(&text, names[kind]))
            continue;
        buf_put_u8(out, kind);
        if (kind == KIND_XATTR)
            return parse_name(text, out);
        return kind == KIND_DIRENT || kind == KIND_DATA ? put_number(text, out)
               : *text                                  ? -EINVAL
                                                        : 0;
    }
    return *text ? -EINVAL : 0;
}

static int parse(const char *text, struct buf *out)
{
    if (strncmp(text, "raw:", 4) == 0)
        return parse_raw(text + 4, out);
    return take_word(&text, "super") ? parse_super(text, out) : parse_inode(text, out);
}

int dump_parse_key(const char *text, struct buf *out)
{
    size_t len = strlen(text);
    bool after = len > 0 && text[len - 1] == '+' && !strstr(text, "/xattr/");
    char *head = mem_strdup(text);
    head[len - after] = 0;
    buf_clear(out);
    int err = parse(head, out);
    if (err == 0 && after)
        buf_put_u8(out, 0);
    if (err < 0)
        buf_clear(out);
    free(head);
    return err;
}

/* ---- the door ---- */

struct showing {
    store_item_fn *fn;
    void *ctx;
};

/* Keys in words, and one more fact for a value that can be told. */
static int show(void *ctx, const struct store_item *item)
{
    struct showing *s = ctx;
    struct store_fact facts[STORE_FACTS_MAX + 1];
    struct buf texts[STORE_FACTS_MAX + 1] = {{0}};
    struct store_item told = {.what = item->what, .facts = facts, .count = item->count};
    struct slice key = {0};
    bool patch = false;
    for (uint32_t i = 0; i < item->count; i++) {
        facts[i] = item->facts[i];
        if (facts[i].kind == FACT_TEXT && strcmp(facts[i].text, "merge") == 0)
            patch = true;
        if (facts[i].kind == FACT_VALUE && key.data) {
            struct buf *means = &texts[STORE_FACTS_MAX];
            uint8_t kind = key.len > 8 ? key.data[8] : KIND_END;
            if (patch && kind == KIND_DATA && get_be64(key.data) != 0)
                tell_patches(facts[i].bytes, means);
            else
                dump_tell_value(key, facts[i].bytes, means);
        }
        if (facts[i].kind == FACT_KEY) {
            key = facts[i].bytes;
            dump_tell_key(key, &texts[i]);
            buf_put_u8(&texts[i], 0);
            facts[i].kind = FACT_TEXT;
            facts[i].text = (const char *)texts[i].data;
        }
    }
    struct buf *means = &texts[STORE_FACTS_MAX];
    if (means->len > 0) {
        buf_put_u8(means, 0);
        facts[told.count++] = (struct store_fact){
            .name = "means", .kind = FACT_TEXT, .text = (const char *)means->data};
    }
    int rc = s->fn(s->ctx, &told);
    for (uint32_t i = 0; i <= STORE_FACTS_MAX; i++)
        buf_release(&texts[i]);
    return rc;
}

/* The store's options for a range given in words; `from` and `to` own its ends. */
static int store_options_of(const struct fs_dump_options *o, struct buf *from, struct buf *to,
                            struct store_dump_options *out)
{
    *out =
        (struct store_dump_options){.limit = o->limit, .entries = o->entries, .blocks = o->blocks};
    int err = o->from ? dump_parse_key(o->from, from) : 0;
    if (err == 0 && o->to)
        err = dump_parse_key(o->to, to);
    out->from = buf_slice(from);
    out->to = buf_slice(to);
    return err;
}

int fs_dump(const char *path, const struct fs_options *o, const char *name,
            const struct fs_dump_options *opt, store_item_fn *fn, void *ctx)
{
    struct showing s = {.fn = fn, .ctx = ctx};
    struct store_options so;
    struct store_dump_options range;
    struct buf from = {0}, to = {0};
    open_store_options(&so, o);
    int err = store_options_of(opt, &from, &to, &range);
    if (err == 0)
        err = store_dump(path, &so, name, &range, show, &s);
    buf_release(&from);
    buf_release(&to);
    return err;
}

int fs_dump_key(struct fs *fs, const char *key, uint64_t limit, store_item_fn *fn, void *ctx)
{
    struct showing s = {.fn = fn, .ctx = ctx};
    struct store_dump_options range = {.limit = limit};
    struct buf bytes = {0};
    int err = dump_parse_key(key, &bytes);
    if (err == 0 && bytes.len == 0)
        err = -EINVAL;
    if (err == 0)
        err = store_dump_key(fs->store, buf_slice(&bytes), &range, show, &s);
    buf_release(&bytes);
    return err;
}

/* ---- events ---- */

struct telling {
    store_line_fn *fn;
    void *ctx;
};

/* Keys in the line in words. One that was cut off stays as it is, or is told as far as it goes. */
static int tell_line(void *ctx, const char *line)
{
    static const char mark[] = "raw:";
    struct telling *t = ctx;
    struct buf out = {0}, key = {0};
    const char *at;
    while ((at = strstr(line, mark))) {
        size_t digits = strspn(at + 4, "0123456789abcdef");
        char *word = mem_printf("%.*s", (int)(4 + digits), at);
        buf_append_bytes(&out, line, (size_t)(at - line));
        buf_clear(&key);
        if (parse_raw(word + 4, &key) == 0)
            dump_tell_key(buf_slice(&key), &out);
        else
            buf_append(&out, slice_str(word));
        free(word);
        line = at + 4 + digits;
    }
    buf_append(&out, slice_str(line));
    buf_put_u8(&out, 0);
    int rc = t->fn(t->ctx, (const char *)out.data);
    buf_release(&out);
    buf_release(&key);
    return rc;
}

int fs_events(const char *path, store_line_fn *fn, void *ctx)
{
    struct telling t = {.fn = fn, .ctx = ctx};
    struct store_options so;
    store_options_init(&so);
    return store_events(path, &so, tell_line, &t);
}
