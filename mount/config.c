/* config: see config.h. A text is taken in three steps: all lines are parsed, all values are tried
 * on options that nobody uses, and only then is one after the other set; should that fail all the
 * same, what was set before it is put back. */
#include "mount/config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- printing ---- */

static int print_setting(void *ctx, const struct store_setting *s)
{
    struct buf *out = ctx;
    buf_append(out, slice_str(s->name));
    buf_put_u8(out, '=');
    buf_append(out, slice_str(s->text));
    buf_put_u8(out, '\n');
    return 0;
}

void config_print(struct fs *fs, const char *error, struct buf *out)
{
    static const char about[] = "# Settings in force. Write NAME=VALUE here to change one until it "
                                "is unmounted; 'varvefs config' tells what each means.\n";
    buf_append(out, slice_str(about));
    if (error && *error) {
        buf_append(out, slice_str(CONFIG_ERROR_LINE));
        buf_append(out, slice_str(error));
        buf_put_u8(out, '\n');
    }
    fs_list_settings(fs, print_setting, out);
}

/* ---- lines ---- */

struct change {
    unsigned line; /* from 1 */
    char name[64], value[STORE_SETTING_TEXT_MAX];
    char before[STORE_SETTING_TEXT_MAX]; /* in force until now; "": there is no such setting */
    bool live;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice trimmed(struct slice s)
{
    while (s.len && is_blank(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

/* As a string, or false if it does not fit or is empty. */
static bool take_word(struct slice s, char *out, size_t size)
{
    if (s.len == 0 || s.len >= size || memchr(s.data, 0, s.len))
        return false;
    memcpy(out, s.data, s.len);
    out[s.len] = 0;
    return true;
}

/* 1: the line means nothing. */
static int parse_line(struct slice line, struct change *c)
{
    line = trimmed(line);
    if (line.len == 0 || line.data[0] == '#')
        return 1;
    const uint8_t *sign = memchr(line.data, '=', line.len);
    if (!sign)
        return -EINVAL;
    size_t len = (size_t)(sign - line.data);
    bool good =
        take_word(trimmed(slice_of(line.data, len)), c->name, sizeof c->name) &&
        take_word(trimmed(slice_of(sign + 1, line.len - len - 1)), c->value, sizeof c->value);
    return good ? 0 : -EINVAL;
}

struct changes {
    struct change *list; /* owned */
    size_t count, room;
};

static int parse(struct slice text, struct changes *all, char message[STORE_MESSAGE_MAX])
{
    for (unsigned line = 1; text.len; line++) {
        struct change c = {.line = line};
        const uint8_t *end = memchr(text.data, '\n', text.len);
        size_t len = end ? (size_t)(end - text.data) : text.len;
        int err = parse_line(slice_of(text.data, len), &c);
        if (err < 0) {
            snprintf(message, STORE_MESSAGE_MAX, "line %u: this is not NAME=VALUE", line);
            return err;
        }
        if (err == 0) {
            if (all->count == all->room) {
                all->room = all->room * 2 + 8;
                all->list = mem_realloc(all->list, all->room * sizeof *all->list);
            }
            all->list[all->count++] = c;
        }
        len += end != NULL;
        text = slice_of(text.data + len, text.len - len);
    }
    return 0;
}

/* ---- trying and setting ---- */

static int note_before(void *ctx, const struct store_setting *s)
{
    struct changes *all = ctx;
    for (size_t i = 0; i < all->count; i++) {
        struct change *c = &all->list[i];
        if (strcmp(c->name, s->name) == 0) {
            c->live = s->live;
            memcpy(c->before, s->text, sizeof c->before);
        }
    }
    return 0;
}

static void explain(const struct change *c, const char *why, char message[STORE_MESSAGE_MAX])
{
    int len = snprintf(message, STORE_MESSAGE_MAX, "line %u: %s", c->line, why);
    assert(len > 0);
    (void)len; /* cut if it is longer */
}

static int try_one(const struct change *c, char message[STORE_MESSAGE_MAX])
{
    struct store_options scratch;
    char why[STORE_MESSAGE_MAX];
    fs_settings_init(&scratch);
    int err = fs_settings_set(&scratch, c->name, c->value, why);
    if (err == 0 && !c->live && strcmp(c->value, c->before) != 0) {
        snprintf(why, sizeof why, "%s: it cannot change while mounted", c->name);
        err = -EPERM;
    }
    if (err < 0)
        explain(c, why, message);
    return err == -ENOENT ? -EINVAL : err;
}

static int set_one(struct fs *fs, const struct change *c, const char *value,
                   char message[STORE_MESSAGE_MAX])
{
    char why[STORE_MESSAGE_MAX];
    if (!c->live)
        return 0; /* it is what it was */
    int err = fs_set(fs, c->name, value, why);
    if (err < 0 && message)
        explain(c, why, message);
    return err;
}

/* All or none. */
static int set_all(struct fs *fs, const struct changes *all, char message[STORE_MESSAGE_MAX])
{
    for (size_t i = 0; i < all->count; i++) {
        int err = set_one(fs, &all->list[i], all->list[i].value, message);
        if (err == 0)
            continue;
        while (i-- > 0)
            set_one(fs, &all->list[i], all->list[i].before, NULL);
        return err;
    }
    return 0;
}

int config_apply(struct fs *fs, struct slice text, char message[STORE_MESSAGE_MAX])
{
    struct changes all = {0};
    message[0] = 0;
    int err = parse(text, &all, message);
    if (err == 0)
        fs_list_settings(fs, note_before, &all);
    for (size_t i = 0; i < all.count && err == 0; i++)
        err = try_one(&all.list[i], message);
    if (err == 0)
        err = set_all(fs, &all, message);
    free(all.list);
    assert((err == 0) == (message[0] == 0));
    return err;
}
