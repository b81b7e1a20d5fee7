/* token: see token.h. "BLOCKS.SUM.STREAM.RECORDS.BYTES.KEY", all but the first in hexadecimal
 * digits. */
#include "fs/token.h"

#include <inttypes.h>
#include <stdio.h>

void token_print(const struct token *t, char text[FS_STREAM_TOKEN_MAX])
{
    int used = snprintf(text, FS_STREAM_TOKEN_MAX,
                        "%" PRIu64 ".%016" PRIx64 ".%016" PRIx64 ".%" PRIx64 ".%" PRIx64 ".",
                        t->blocks, t->sum, t->stream, t->totals.records, t->totals.bytes);
    assert(used > 0 && (size_t)used + 2 * KEY_MAX < FS_STREAM_TOKEN_MAX);
    for (size_t i = 0; i < t->last.len; i++, used += 2)
        snprintf(text + used, 3, "%02x", t->last.bytes[i]);
}

int token_parse(const char *text, struct token *t)
{
    int used = 0, n;
    *t = (struct token){0};
    if (sscanf(text, "%" SCNu64 ".%16" SCNx64 ".%16" SCNx64 ".%16" SCNx64 ".%16" SCNx64 ".%n",
               &t->blocks, &t->sum, &t->stream, &t->totals.records, &t->totals.bytes, &used) != 5 ||
        used == 0)
        return -EINVAL;
    for (text += used; *text; text += 2) {
        unsigned byte;
        if (t->last.len == KEY_MAX || sscanf(text, "%2x%n", &byte, &n) != 1 || n != 2)
            return -EINVAL;
        t->last.bytes[t->last.len++] = (uint8_t)byte;
    }
    return t->blocks > 0 && t->last.len > 0 ? 0 : -EINVAL;
}
