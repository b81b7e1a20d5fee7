/* json: see json.h.
 *
 * Invariants:
 *  1. closing[0 .. depth) are the brackets still to be written, outermost first.
 *  2. Inside an object every member has a key, inside a list and at the top none has. */
#include "mount/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

void json_init(struct json *j, FILE *out)
{
    *j = (struct json){.out = out};
}

/* How many bytes at `s` are one character of valid UTF-8 (RFC 3629: shortest form, no surrogates,
 * up to U+10FFFF); 0: none. */
static size_t utf8_len(const unsigned char *s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = s[0] < 0x80   ? 1
                 : s[0] < 0xc2 ? 0
                 : s[0] < 0xe0 ? 2
                 : s[0] < 0xf0 ? 3
                 : s[0] < 0xf5 ? 4
                               : 0;
    if (len < 2)
        return len;
    uint32_t c = s[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    return c < least[len] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff ? 0 : len;
}

static void quoted(FILE *out, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    putc('"', out);
    while (*s) {
        size_t len = utf8_len(s);
        if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else if (len == 0 || *s < ' ' || *s == 0x7f)
            fprintf(out, "\\u%04x", *s);
        else
            fwrite(s, 1, len, out);
        s += len ? len : 1;
    }
    putc('"', out);
}

/* What comes before a value: a comma, a new line, the key. */
static void member(struct json *j, const char *key)
{
    if (j->depth == 0) {
        assert(!key);
        return;
    }
    assert((key != NULL) == (j->closing[j->depth - 1] == '}'));
    fputs(j->filled[j->depth - 1] ? ",\n" : "\n", j->out);
    j->filled[j->depth - 1] = true;
    fprintf(j->out, "%*s", (int)(2 * j->depth), "");
    if (key) {
        quoted(j->out, key);
        fputs(": ", j->out);
    }
}

static void open_level(struct json *j, const char *key, char opening, char closing)
{
    assert(j->depth < JSON_DEPTH_MAX);
    member(j, key);
    putc(opening, j->out);
    j->closing[j->depth] = closing;
    j->filled[j->depth] = false;
    j->depth++;
}

void json_object(struct json *j, const char *key)
{
    open_level(j, key, '{', '}');
}

void json_list(struct json *j, const char *key)
{
    open_level(j, key, '[', ']');
}

void json_close(struct json *j)
{
    assert(j->depth > 0);
    j->depth--;
    if (j->filled[j->depth])
        fprintf(j->out, "\n%*s", (int)(2 * j->depth), "");
    putc(j->closing[j->depth], j->out);
    if (j->depth == 0)
        putc('\n', j->out);
}

void json_string(struct json *j, const char *key, const char *value)
{
    member(j, key);
    quoted(j->out, value);
}

void json_uint(struct json *j, const char *key, uint64_t value)
{
    member(j, key);
    fprintf(j->out, "%" PRIu64, value);
}

void json_int(struct json *j, const char *key, int64_t value)
{
    member(j, key);
    fprintf(j->out, "%" PRId64, value);
}

void json_real(struct json *j, const char *key, double value)
{
    assert(value - value == 0);
    member(j, key);
    fprintf(j->out, "%.6f", value);
}

void json_raw(struct json *j, const char *key, const char *value)
{
    member(j, key);
    fputs(value, j->out);
}

void json_bool(struct json *j, const char *key, bool value)
{
    member(j, key);
    fputs(value ? "true" : "false", j->out);
}
