/* acl_maker: access control lists in the kernel's form, from a short text. */
#ifndef VARVE_UNIT_ACL_MAKER_H
#define VARVE_UNIT_ACL_MAKER_H

#include <stdio.h>

#include "fs/acl.h"
#include "tests/unit/unit.h"

/* "u:7 u5:6 g:5 g9:4 m:7 o:1": tags u, g, m, o; behind u and g perhaps a number; permissions. */
static inline void acl_make(const char *text, struct buf *out)
{
    static const struct {
        char letter;
        uint16_t own, named;
    } tags[] = {{'u', 1, 2}, {'g', 4, 8}, {'m', 16, 16}, {'o', 32, 32}};
    buf_clear(out);
    buf_put_u32(out, 2);
    for (const char *s = text; *s; s += *s == ' ') {
        char *end;
        size_t i = 0;
        while (i < 4 && tags[i].letter != *s)
            i++;
        assert_true(i < 4);
        uint32_t id = s[1] == ':' ? UINT32_MAX : (uint32_t)strtoul(s + 1, &end, 10);
        buf_put_u16(out, id == UINT32_MAX ? tags[i].own : tags[i].named);
        s = strchr(s, ':') + 1;
        buf_put_u16(out, (uint16_t)strtoul(s, &end, 8));
        buf_put_u32(out, id);
        s = end;
    }
}

/* The other way round. */
static inline const char *acl_text(struct slice list, char text[256])
{
    size_t used = 0;
    text[0] = 0;
    assert_ok(acl_check(list));
    for (size_t at = 4; at < list.len; at += 8) {
        const uint8_t *e = list.data + at;
        unsigned tag = get_u16(e);
        char letter = tag <= 2 ? 'u' : tag <= 8 ? 'g' : tag == 16 ? 'm' : 'o';
        used += (size_t)snprintf(text + used, 256 - used, "%s%c", used ? " " : "", letter);
        if (tag == 2 || tag == 8)
            used += (size_t)snprintf(text + used, 256 - used, "%u", get_u32(e + 4));
        used += (size_t)snprintf(text + used, 256 - used, ":%o", get_u16(e + 2));
    }
    return text;
}

#endif
