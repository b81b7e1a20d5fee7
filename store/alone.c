/* alone: see alone.h.
 *
 * An entry is seen by the readers from its own number up to that of what hides it: a newer PUT or
 * DELETE of its key, or a tombstone. It is held by one pin alone if that pin sees it, the pin
 * before does not (so it is not older than that), and the pin behind, or the present, does not
 * either (so its hider is older than that). Such a key has changed between the two, and is told by
 * `since`.
 *
 * Example: pins 10, 20, 30; a PUT at 15, an operand at 18, a PUT at 25. Pin 20 alone holds the
 * entries 15 and 18. With an operand at 25 instead it holds none: pin 30 sees all three.
 *
 * What is older than the pin and was hidden before it is nobody's, and not counted; nor are
 * tombstones. */
#include "store/alone.h"

#include <assert.h>

struct sum {
    struct view *view;
    struct view_context *ctx;
    uint64_t before, seq, behind; /* numbers of the pin's neighbours; 0: there is none before */
    struct store_pin_space total;
};

static void add(struct sum *s, const struct lookup *l, enum entry_type type, struct slice value)
{
    struct blob_ref ref;
    s->total.entry_bytes += l->key.len + value.len;
    if (entry_type_is_blob(type) && blob_ref_decode(value, &ref))
        s->total.value_bytes += ref.where.len;
    s->total.entries++;
}

/* From which number on the reader behind sees entries of the key. */
static int hidden_below(const struct sum *s, struct slice key, uint64_t *seq)
{
    struct lookup l;
    int err = view_trace(s->view, s->ctx, key, s->behind, &l);
    *seq = l.end_seq > l.cover_seq ? l.end_seq : l.cover_seq;
    lookup_release(&l, s->ctx->cache);
    return err;
}

static int add_key(struct sum *s, struct slice key)
{
    struct lookup l;
    uint64_t hider = 0;
    int err = hidden_below(s, key, &hider);
    if (err < 0)
        return err;
    err = view_trace(s->view, s->ctx, key, s->seq, &l);
    for (uint32_t i = 0; i < l.operand_count && err == 0; i++) {
        const struct lookup_operand *op = &l.operands[i];
        if (op->seq >= s->before && op->seq < hider)
            add(s, &l, op->type, slice_of(l.bytes.data + op->offset, op->len));
    }
    if (err == 0 && l.state == LOOKUP_FOUND && l.end_seq >= s->before && l.end_seq < hider)
        add(s, &l, l.type, l.base);
    lookup_release(&l, s->ctx->cache);
    return err;
}

static int add_all(struct sum *s)
{
    struct since *since;
    struct store_change change;
    struct slice none = {0};
    int err = since_new(s->view, s->ctx, s->seq, s->behind, none, none, true, &since);
    if (err < 0)
        return err;
    while ((err = since_next(since, &change)) == 0) {
        if (change.kind != STORE_CHANGE_CREATED)
            err = add_key(s, change.key);
        if (err < 0)
            break;
    }
    since_free(since);
    return err < 0 ? err : 0;
}

int alone_sum(struct view *view, struct view_context *ctx, uint64_t seq, uint64_t published,
              struct store_pin_space *out)
{
    const struct version *v = view->version;
    struct sum s = {.view = view, .ctx = ctx, .seq = seq, .behind = published};
    uint32_t same = 0;
    *out = (struct store_pin_space){0};
    for (uint32_t i = 0; i < v->pin_count; i++) { /* ascending */
        uint64_t pin = v->pins[i].seq;
        same += pin == seq;
        if (pin < seq)
            s.before = pin;
        if (pin > seq && pin < s.behind)
            s.behind = pin;
    }
    assert(same > 0 && s.behind >= seq);
    if (same > 1 || s.behind == seq)
        return 0;
    int err = add_all(&s);
    if (err == 0)
        *out = s.total;
    return err;
}
