/* receive: see receive.h.
 *
 * A bulk ingestion takes the records as they come, which nobody sees until it is finished; that is
 * done when the end has come and all has verified, together with the snapshot, by one edit.
 *
 * The records of the stream and what has to be undone of local changes come in the same order, by
 * key, and are merged: where the stream has a record, that is the one.
 *
 * Limits of folders, and how single files are compressed, are nobody's business but the volume's
 * that they were set in: a stream has none, and those that were set here since go with the other
 * local changes. A state that has some is no base for a stream: what it does not change would still
 * say that it counts, or is compressed, by rules that are gone.
 *
 * Three records are the receiver's own: how far inode numbers were given out never goes back; what
 * was received last says which state this is, for streams to come; and the superblock, of a volume
 * that begins with the stream. */
#include "fs/receive.h"

#include "fs/inode.h"

struct receiving {
    struct store *store;
    const struct store_read *read; /* the state before */
    struct store_ingest *ingest;
    struct stream_reader *stream;
    struct store_pin *pin;
    uint64_t next_ino; /* that the volume has reserved so far */
    /* what is to be undone; NULL: nothing */
    struct store_since *undo;
    struct store_change undo_at;
    int undo_status; /* 0: undo_at is the next; 1: there is none */
    struct buf last; /* key */
    bool received_put, has_root, has_counters, has_next;
    struct stream_totals totals;
};

/* ---- local changes ---- */

static bool is_own(struct slice key)
{
    uint64_t ino;
    uint8_t kind;
    struct slice rest;
    return !key_split(key, &ino, &kind, &rest) || ino == 0;
}

static int undo_next(struct receiving *g)
{
    do
        g->undo_status = store_since_next(g->undo, &g->undo_at);
    while (g->undo_status == 0 && is_own(g->undo_at.key));
    return g->undo_status < 0 ? g->undo_status : 0;
}

static int undo_begin(struct receiving *g, const struct store_read *read, uint64_t base)
{
    struct slice none = {0};
    g->undo_status = 1;
    if (base == 0)
        return 0;
    int err = store_since_new(read, base, none, none, STORE_SINCE_KEYS, &g->undo);
    return err == 0 ? undo_next(g) : err;
}

static int undo_one(struct receiving *g)
{
    struct slice value;
    if (g->undo_at.kind == STORE_CHANGE_CREATED)
        return store_ingest_delete(g->ingest, g->undo_at.key);
    int err = store_since_value(g->undo, STORE_BEFORE, &value);
    assert(err != 1);
    return err == 0 ? store_ingest_put(g->ingest, g->undo_at.key, value) : err;
}

/* Those with keys below `key` (empty: all); of `key` itself the stream knows better. */
static int undo_below(struct receiving *g, struct slice key)
{
    int err = 0;
    while (err == 0 && g->undo_status == 0) {
        int order = key.len ? slice_cmp(g->undo_at.key, key) : -1;
        if (order > 0)
            break;
        if (order < 0)
            err = undo_one(g);
        if (err == 0)
            err = undo_next(g);
    }
    return err;
}

/* A record of a limit, or of how single files are compressed. */
static struct store_iter *own_rules(const struct store_read *read)
{
    struct key lower = key_super(SUPER_QUOTA), upper = key_super(SUPER_POLICY + 1);
    return store_iter_new(read, key_slice(&lower), key_slice(&upper));
}

int receive_has_rules(struct store *store, uint64_t base)
{
    struct store_read read;
    store_read_begin_at(store, base, &read);
    struct store_iter *it = own_rules(&read);
    int err = store_iter_first(it);
    store_iter_free(it);
    store_read_end(&read);
    return err < 0 ? err : err == 0;
}

int receive_is_changed(struct store *store, uint64_t base)
{
    struct store_read read;
    struct store_since *since;
    struct store_change c;
    struct slice none = {0}, value;
    struct buf before = {0};
    bool changed = false;
    store_read_begin(store, &read);
    int err = store_since_new(&read, base, none, none, STORE_SINCE_KEYS, &since);
    if (err == 0) {
        while (!changed && (err = store_since_next(since, &c)) == 0) {
            changed = !is_own(c.key) && c.kind != STORE_CHANGE_CHANGED;
            if (is_own(c.key) || changed)
                continue;
            err = store_since_value(since, STORE_BEFORE, &value);
            buf_set(&before, value);
            if (err == 0)
                err = store_since_value(since, STORE_AFTER, &value);
            if (err < 0)
                break;
            changed = !slice_eq(value, buf_slice(&before));
        }
        store_since_free(since);
    }
    store_read_end(&read);
    buf_release(&before);
    return err < 0 ? err : changed;
}

/* ---- the receiver's own records ---- */

static int drop_rules(struct receiving *g)
{
    struct store_iter *it = own_rules(g->read);
    int err = store_iter_first(it);
    while (err == 0) {
        err = store_ingest_delete(g->ingest, store_iter_key(it));
        if (err == 0)
            err = store_iter_next(it);
    }
    store_iter_free(it);
    return err < 0 ? err : 0;
}

static int put_received(struct receiving *g)
{
    const struct stream_head *h = &g->stream->head;
    struct received_record r = {.seq = h->made.seq,
                                .created_ns = h->made.created_ns,
                                .pin_tag = g->pin->tag,
                                .pin_created_ns = g->pin->created_ns};
    struct key k = key_super(SUPER_RECEIVED);
    struct buf value = {0};
    received_encode(&r, &value);
    int err = store_ingest_put(g->ingest, key_slice(&k), buf_slice(&value));
    buf_release(&value);
    g->received_put = true;
    return err == 0 ? drop_rules(g) : err;
}

static int put_super(struct receiving *g)
{
    struct key k = key_super(SUPER_RECORD);
    struct buf value = {0};
    super_encode(&g->stream->head.super, &value);
    int err = store_ingest_put(g->ingest, key_slice(&k), buf_slice(&value));
    buf_release(&value);
    return err;
}

static int put_next_ino(struct receiving *g, struct slice key, struct slice value)
{
    uint8_t bytes[8];
    uint64_t next;
    int err = next_ino_decode(value, &next);
    assert(err == 0); /* stream_record_check() */
    put_u64(bytes, next > g->next_ino ? next : g->next_ino);
    return err == 0 ? store_ingest_put(g->ingest, key, slice_of(bytes, sizeof bytes)) : err;
}

static int load_next_ino(struct receiving *g, const struct store_read *read)
{
    struct store_value v = {0};
    struct key k = key_super(SUPER_NEXT_INO);
    int err = store_get(read, key_slice(&k), &v);
    if (err == 0 && next_ino_decode(v.data, &g->next_ino) < 0)
        err = corrupt("the superblock", UINT64_MAX, "its next inode number is wrong");
    store_value_release(&v);
    return err < 0 ? err : 0;
}

/* ---- the stream's records ---- */

static int take_own(struct receiving *g, const struct stream_record *r)
{
    bool counters = r->key.data[8] == SUPER_COUNTERS;
    g->has_counters |= counters;
    g->has_next |= !counters;
    return counters ? store_ingest_put(g->ingest, r->key, r->value)
                    : put_next_ino(g, r->key, r->value);
}

static int take_record(struct receiving *g, const struct stream_record *r)
{
    struct key root = key_attr(FS_INO_ROOT);
    if (stream_record_check(r, &g->stream->head.super) < 0 ||
        slice_cmp(r->key, buf_slice(&g->last)) <= 0)
        return -EBADMSG;
    buf_set(&g->last, r->key);
    g->totals.records++;
    g->totals.bytes += r->key.len + r->value.len;
    if (is_own(r->key))
        return take_own(g, r);
    int err = g->received_put ? 0 : put_received(g);
    if (err == 0)
        err = undo_below(g, r->key);
    if (err < 0)
        return err;
    g->has_root |= slice_eq(r->key, key_slice(&root)) && r->kind == STREAM_PUT;
    return r->kind == STREAM_PUT ? store_ingest_put(g->ingest, r->key, r->value)
                                 : store_ingest_delete(g->ingest, r->key);
}

static int take_block(struct receiving *g, struct slice payload)
{
    struct stream_record r;
    int err;
    while ((err = stream_record_take(&payload, &r)) == 0) {
        err = take_record(g, &r);
        if (err < 0)
            return err;
    }
    return err < 0 ? err : 0;
}

static int take_end(struct receiving *g, struct slice payload, uint64_t base)
{
    struct stream_totals said;
    if (stream_totals_decode(payload, &said) < 0 || said.records != g->totals.records ||
        said.bytes != g->totals.bytes || !g->has_counters || !g->has_next ||
        (base == 0 && !g->has_root))
        return -EBADMSG;
    int err = stream_reader_end(g->stream);
    if (err == 0 && !g->received_put)
        err = put_received(g);
    return err == 0 ? undo_below(g, (struct slice){0}) : err;
}

static int take_all(struct receiving *g, uint64_t base)
{
    int err = base == 0 ? put_super(g) : 0;
    while (err == 0) {
        struct slice payload;
        err = stream_reader_block(g->stream, &payload);
        if (err == 0 && g->stream->last.kind == STREAM_END)
            return take_end(g, payload, base);
        if (err == 0)
            err = take_block(g, payload);
    }
    return err;
}

int receive_apply(struct store *store, uint64_t base, struct stream_reader *r,
                  struct store_pin *pin, struct fs_stream_report *report)
{
    struct receiving g = {.store = store, .stream = r, .pin = pin};
    struct store_read read;
    if (r->head.first_block != 0)
        return -ECHILD;
    store_read_begin(store, &read);
    g.read = &read;
    int err = load_next_ino(&g, &read);
    if (err == 0)
        err = undo_begin(&g, &read, base);
    if (err == 0) {
        g.ingest = store_ingest_new(store);
        err = take_all(&g, base);
        if (err == 0)
            err = store_ingest_finish_pinned(g.ingest, pin);
        store_ingest_free(g.ingest);
    }
    store_since_free(g.undo);
    store_read_end(&read);
    buf_release(&g.last);
    report->records = g.totals.records;
    report->bytes = g.totals.bytes;
    report->blocks = r->blocks;
    return err;
}
