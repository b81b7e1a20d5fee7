/* format_scrub: the file SCRUB, which keeps where a scrub stands (format.h). A decoder of text is
 * total, and takes one spelling only: what it gives encodes to the bytes that it read. */
#include "store/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

static const struct {
    const char *name;
    size_t at;
} scrub_fields[] = {
    {"passes", offsetof(struct scrub_state, passes)},
    {"started", offsetof(struct scrub_state, started)},
    {"ended", offsetof(struct scrub_state, ended)},
    {"limit", offsetof(struct scrub_state, limit)},
    {"file", offsetof(struct scrub_state, file)},
    {"offset", offsetof(struct scrub_state, offset)},
    {"bytes", offsetof(struct scrub_state, bytes)},
    {"frames", offsetof(struct scrub_state, frames)},
    {"repaired", offsetof(struct scrub_state, repaired)},
    {"damaged", offsetof(struct scrub_state, damaged)},
    {"parity", offsetof(struct scrub_state, parity_made)},
};
enum { SCRUB_FIELD_COUNT = sizeof scrub_fields / sizeof scrub_fields[0] };

static uint64_t *scrub_field(struct scrub_state *s, int i)
{
    return (uint64_t *)(void *)((char *)s + scrub_fields[i].at);
}

void scrub_state_encode(const struct scrub_state *s, struct buf *out)
{
    struct scrub_state copy = *s;
    size_t from = out->len;
    char line[64];
    buf_append(out, slice_str("varve-scrub 1\n"));
    for (int i = 0; i < SCRUB_FIELD_COUNT; i++) {
        snprintf(line, sizeof line, "%s %" PRIu64 "\n", scrub_fields[i].name,
                 *scrub_field(&copy, i));
        buf_append(out, slice_str(line));
    }
    snprintf(line, sizeof line, "xxh3 %016" PRIx64 "\n",
             (uint64_t)XXH3_64bits(out->data + from, out->len - from));
    buf_append(out, slice_str(line));
}

static bool take_text(struct slice *in, struct slice text)
{
    struct slice got;
    struct slice rest = *in;
    if (!take_bytes(&rest, text.len, &got) || !slice_eq(got, text))
        return false;
    *in = rest;
    return true;
}

static bool take_decimal(struct slice *in, uint64_t *v)
{
    size_t n = 0;
    *v = 0;
    for (; n < in->len && in->data[n] >= '0' && in->data[n] <= '9'; n++) {
        uint64_t digit = (uint64_t)(in->data[n] - '0');
        if (*v > (UINT64_MAX - digit) / 10)
            return false;
        *v = *v * 10 + digit;
    }
    *in = slice_of(in->data + n, in->len - n);
    return n > 0;
}

int scrub_state_decode(struct slice in, struct scrub_state *s)
{
    struct buf again = {0};
    struct slice rest = in;
    *s = (struct scrub_state){0};
    bool good = take_text(&rest, slice_str("varve-scrub 1\n"));
    for (int i = 0; i < SCRUB_FIELD_COUNT && good; i++)
        good = take_text(&rest, slice_str(scrub_fields[i].name)) &&
               take_text(&rest, slice_str(" ")) && take_decimal(&rest, scrub_field(s, i)) &&
               take_text(&rest, slice_str("\n"));
    if (good) { /* one spelling only, and with it the checksum */
        scrub_state_encode(s, &again);
        good = slice_eq(buf_slice(&again), in);
    }
    buf_release(&again);
    if (!good)
        *s = (struct scrub_state){0};
    return good ? 0 : -EIO;
}
