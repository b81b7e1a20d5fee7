#include <errno.h>

#include "store/reduce.h"
#include "tests/unit/history.h"

enum { KEYS = 12, PINS_MAX = 6, PIECES_MAX = 64, BLOB_FILE = 7 };

/* ---- the input ---- */

/* Operations `from` to `to` (exclusive) of a history as a job's input; what is before them lies
 * below it. */
struct job {
    struct simrng *rng;
    struct history h;
    size_t from;
    uint64_t pins[PINS_MAX];
    size_t pin_count;
    bool refuses; /* the operator does, now and then, and so do fetches */
    struct store_merge merge;
    bool over_cautious; /* older_exists() says yes where it need not */
    bool joins;         /* rule 6 is applied */
    struct rangedel *dels;
    struct entry *input; /* in internal order; blob types with references */
    uint8_t (*refs)[BLOB_REF_MAX];
    size_t input_count;
    unsigned *dropped; /* for each operation: how often its reference was */
    /* the output */
    struct entry *out; /* keys and values are its own; values as stored */
    size_t out_count;
    struct rangedel *pieces[PIECES_MAX];
    struct buf piece_ends[PIECES_MAX];
    size_t piece_count;
    uint64_t held_pin, held_bytes; /* of the entry that comes next */
    bool held;
};

static size_t op_of_ref(const struct job *j, struct slice encoded)
{
    struct blob_ref ref;
    assert_true(blob_ref_decode(encoded, &ref));
    assert_int_equal(ref.file, BLOB_FILE);
    size_t op = ref.where.offset;
    assert_true(op < j->h.count && entry_type_is_blob(j->h.ops[op].type));
    return op;
}

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return entry_cmp(x->key, x->seq, y->key, y->seq);
}

static void make_ref(struct job *j, size_t op, struct entry *e)
{
    struct buf bytes = {0};
    struct blob_ref ref = {.file = BLOB_FILE,
                           .where = {op, 100 + (uint32_t)e->value.len},
                           .raw_len = (uint32_t)e->value.len};
    blob_ref_encode(&ref, &bytes);
    memcpy(j->refs[op], bytes.data, bytes.len);
    e->value = slice_of(j->refs[op], bytes.len);
    buf_release(&bytes);
}

static void make_input(struct job *j)
{
    struct rangedel_builder *b = rangedel_builder_new();
    j->input = mem_alloc(j->h.count * sizeof *j->input);
    j->refs = mem_alloc(j->h.count * sizeof *j->refs);
    j->dropped = mem_zalloc(j->h.count * sizeof *j->dropped);
    for (size_t i = j->from; i < j->h.count; i++) {
        struct entry e = j->h.ops[i];
        if (e.type == ENTRY_RANGE_DELETE) {
            rangedel_builder_add(b, e.key, e.value, e.seq);
            continue;
        }
        if (entry_type_is_blob(e.type))
            make_ref(j, i, &e);
        j->input[j->input_count++] = e;
    }
    qsort(j->input, j->input_count, sizeof *j->input, compare);
    j->dels = rangedel_build(b);
    rangedel_builder_free(b);
}

/* A cursor over the input, which fails at entry `fails_at`. */
struct input_iter {
    struct iter it;
    const struct job *job;
    size_t at, fails_at;
};

static int input_stand(struct input_iter *ii)
{
    ii->it.valid = ii->at < ii->job->input_count && ii->at != ii->fails_at;
    if (ii->it.valid)
        ii->it.e = ii->job->input[ii->at];
    return ii->at == ii->fails_at ? -EIO : ii->it.valid ? 0 : 1;
}

static int input_first(struct iter *it)
{
    ((struct input_iter *)it)->at = 0;
    return input_stand((struct input_iter *)it);
}

static int input_next(struct iter *it)
{
    assert_true(it->valid);
    ((struct input_iter *)it)->at++;
    return input_stand((struct input_iter *)it);
}

static void input_free(struct iter *it)
{
    free(it);
}

static struct iter *input_new(const struct job *j, size_t fails_at)
{
    static const struct iter_ops ops = {
        .first = input_first, .next = input_next, .free = input_free};
    struct input_iter *ii = mem_zalloc(sizeof *ii);
    ii->it.ops = &ops;
    ii->job = j;
    ii->fails_at = fails_at;
    return &ii->it;
}

/* ---- what reduce asks ---- */

static bool below_has(const struct job *j, struct slice start, struct slice limit)
{
    for (size_t i = 0; i < j->from; i++) {
        const struct entry *op = &j->h.ops[i];
        if (op->type != ENTRY_RANGE_DELETE && slice_cmp(op->key, start) >= 0 &&
            slice_cmp(op->key, limit) < 0)
            return true;
    }
    return false;
}

static bool older_exists(void *ctx, struct slice start, struct slice limit)
{
    struct job *j = ctx;
    assert_true(slice_cmp(start, limit) < 0);
    return below_has(j, start, limit) || (j->over_cautious && simrng_coin(j->rng));
}

static uint64_t older_newest(void *ctx, struct slice start, struct slice limit)
{
    struct job *j = ctx;
    uint64_t newest = 0;
    if (j->over_cautious && simrng_below(j->rng, 4) == 0)
        return SEQ_MAX;
    for (size_t i = 0; i < j->from; i++) {
        const struct entry *op = &j->h.ops[i];
        if (op->type != ENTRY_RANGE_DELETE && slice_cmp(op->key, start) >= 0 &&
            slice_cmp(op->key, limit) < 0)
            newest = op->seq > newest ? op->seq : newest;
    }
    return newest;
}

static int fetch(void *ctx, struct slice encoded, struct buf *out)
{
    struct job *j = ctx;
    if (j->refuses && simrng_below(j->rng, 8) == 0) {
        buf_put_u8(out, '?');
        return -EIO;
    }
    buf_append(out, j->h.ops[op_of_ref(j, encoded)].value);
    return 0;
}

static void drop_blob(void *ctx, struct slice encoded)
{
    struct job *j = ctx;
    j->dropped[op_of_ref(j, encoded)]++;
}

static void held(void *ctx, uint64_t pin, uint64_t bytes)
{
    struct job *j = ctx;
    assert_false(j->held);
    j->held = true;
    j->held_pin = pin;
    j->held_bytes = bytes;
}

static int full(void *ctx, struct slice key, const struct slice *base, const struct slice *operands,
                size_t count, struct buf *out)
{
    struct job *j = ctx;
    history_full(NULL, key, base, operands, count, out);
    return j->refuses && simrng_below(j->rng, 4) == 0 ? -EIO : 0;
}

static int partial(void *ctx, struct slice key, const struct slice *operands, size_t count,
                   struct buf *out)
{
    struct job *j = ctx;
    assert_true(count >= 2);
    history_full(NULL, key, NULL, operands, count, out);
    return !j->refuses || simrng_coin(j->rng) ? 0 : simrng_coin(j->rng) ? 1 : -EIO;
}

static struct reduce_options options(struct job *j)
{
    return (struct reduce_options){.pins = j->pins,
                                   .pin_count = j->pin_count,
                                   .merge = j->merge.full ? &j->merge : NULL,
                                   .ctx = j,
                                   .older_exists = older_exists,
                                   .older_newest = j->joins ? older_newest : NULL,
                                   .fetch = fetch,
                                   .drop_blob = drop_blob,
                                   .held = held};
}

/* ---- the run ---- */

static uint64_t lowest_tombstone_above(const struct job *j, const struct entry *e)
{
    for (size_t i = j->from; i < j->h.count; i++)
        if (j->h.ops[i].seq > e->seq && history_hides(&j->h.ops[i], e->key))
            return j->h.ops[i].seq;
    return UINT64_MAX;
}

/* What held() should have been told of the output's last entry. */
static void check_held(const struct job *j)
{
    const struct entry *e = &j->out[j->out_count - 1];
    uint64_t hider = lowest_tombstone_above(j, e), pin = 0, bytes = e->key.len + e->value.len;
    for (size_t i = j->out_count - 1; i-- > 0 && slice_eq(j->out[i].key, e->key);)
        if (!entry_type_is_merge(j->out[i].type) && j->out[i].seq < hider)
            hider = j->out[i].seq;
    for (size_t i = 0; i < j->pin_count; i++)
        if (hider != UINT64_MAX && j->pins[i] > e->seq && j->pins[i] <= hider)
            pin = j->pins[i];
    if (entry_type_is_blob(e->type))
        bytes += 100 + j->h.ops[op_of_ref(j, e->value)].value.len;
    assert_int_equal(j->held, pin != 0);
    if (pin != 0) {
        assert_int_equal(j->held_pin, pin);
        assert_int_equal(j->held_bytes, bytes);
    }
}

/* Takes the tombstones up to `upto`; all of them lie where they should. */
static void take_piece(struct job *j, struct reduce *r, struct slice upto)
{
    struct slice from =
        j->piece_count ? buf_slice(&j->piece_ends[j->piece_count - 1]) : (struct slice){0};
    struct rangedel *piece = reduce_rangedels(r, upto);
    for (size_t i = 0; i < rangedel_count(piece); i++) {
        struct rangedel_fragment f = rangedel_at(piece, i);
        assert_true(slice_cmp(f.start, from) >= 0);
        assert_true(upto.len == 0 || slice_cmp(f.end, upto) <= 0);
    }
    assert_true(j->piece_count < PIECES_MAX);
    j->pieces[j->piece_count] = piece;
    buf_set(&j->piece_ends[j->piece_count++], upto);
}

static void take_entry(struct job *j, const struct entry *e)
{
    struct entry *to = &j->out[j->out_count++];
    *to = *e;
    to->key.data = mem_dup(e->key.data, e->key.len);
    to->value.data = mem_dup(e->value.data, e->value.len);
    assert_true(j->out_count == 1 || compare(to - 1, to) < 0);
}

static void run(struct job *j)
{
    struct reduce_options opt = options(j);
    struct reduce *r = reduce_new(input_new(j, SIZE_MAX), j->dels, &opt);
    struct entry e;
    int status;
    j->out = mem_alloc((j->input_count + 1) * sizeof *j->out);
    for (;;) {
        j->held = false;
        status = reduce_next(r, &e);
        if (status != 0)
            break;
        bool fresh = j->out_count == 0 || !slice_eq(e.key, j->out[j->out_count - 1].key);
        if (fresh && j->piece_count + 1 < PIECES_MAX && simrng_below(j->rng, 4) == 0)
            take_piece(j, r, e.key);
        take_entry(j, &e);
        check_held(j);
    }
    assert_int_equal(status, 1);
    assert_absent(reduce_next(r, &e));
    take_piece(j, r, (struct slice){0});
    struct rangedel *nothing = reduce_rangedels(r, (struct slice){0});
    assert_int_equal(rangedel_count(nothing), 0);
    rangedel_unref(nothing);
    reduce_free(r);
}

static void job_release(struct job *j)
{
    for (size_t i = 0; i < j->out_count; i++) {
        free((void *)(uintptr_t)j->out[i].key.data);
        free((void *)(uintptr_t)j->out[i].value.data);
    }
    for (size_t i = 0; i < j->piece_count; i++) {
        rangedel_unref(j->pieces[i]);
        buf_release(&j->piece_ends[i]);
    }
    rangedel_unref(j->dels);
    free(j->out);
    free(j->input);
    free(j->refs);
    free(j->dropped);
    history_release(&j->h);
}

/* ---- what must be so ---- */

static int compare_seq(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* What is below the job and what came out of it, as a history. */
static struct history result_of(const struct job *j)
{
    size_t cap = j->from + j->out_count, count = 0;
    for (size_t p = 0; p < j->piece_count; p++)
        for (size_t i = 0; i < rangedel_count(j->pieces[p]); i++)
            cap += rangedel_at(j->pieces[p], i).seq_count;
    struct entry *all = mem_alloc(cap * sizeof *all);
    for (size_t i = 0; i < j->from; i++)
        all[count++] = j->h.ops[i];
    for (size_t i = 0; i < j->out_count; i++) {
        all[count] = j->out[i];
        if (entry_type_is_blob(all[count].type))
            all[count].value = j->h.ops[op_of_ref(j, all[count].value)].value;
        count++;
    }
    for (size_t p = 0; p < j->piece_count; p++)
        for (size_t i = 0; i < rangedel_count(j->pieces[p]); i++) {
            struct rangedel_fragment f = rangedel_at(j->pieces[p], i);
            for (uint32_t k = 0; k < f.seq_count; k++)
                all[count++] = (struct entry){f.start, f.seqs[k], ENTRY_RANGE_DELETE, 0, f.end};
        }
    qsort(all, count, sizeof *all, compare_seq);
    struct history h = {0};
    for (size_t i = 0; i < count; i++)
        history_add(&h, all[i].key, all[i].seq, all[i].type, all[i].value);
    free(all);
    return h;
}

static void check_readers(const struct job *j)
{
    uint8_t room[HISTORY_KEY_MAX];
    struct history result = result_of(j);
    struct buf want = {0}, have = {0};
    for (size_t p = 0; p <= j->pin_count; p++) {
        uint64_t read_seq = p < j->pin_count ? j->pins[p] : SEQ_MAX;
        for (size_t k = 0; k < KEYS; k++) {
            struct slice key = history_key(k, room);
            bool there = history_read(&j->h, key, read_seq, &want);
            assert_int_equal(history_read(&result, key, read_seq, &have), there);
            assert_slice(buf_slice(&have), want.data, want.len);
        }
    }
    buf_release(&want);
    buf_release(&have);
    history_release(&result);
}

/* Each blob entry of the input is passed on, or was dropped once. */
static void check_blobs(const struct job *j)
{
    unsigned *kept = mem_zalloc(j->h.count * sizeof *kept);
    for (size_t i = 0; i < j->out_count; i++)
        if (entry_type_is_blob(j->out[i].type))
            kept[op_of_ref(j, j->out[i].value)]++;
    for (size_t i = 0; i < j->h.count; i++)
        assert_int_equal(kept[i] + j->dropped[i],
                         i >= j->from && entry_type_is_blob(j->h.ops[i].type) ? 1 : 0);
    free(kept);
}

static size_t stripe(const struct job *j, uint64_t seq)
{
    size_t n = 0;
    while (n < j->pin_count && j->pins[n] <= seq)
        n++;
    return n;
}

/* No entry that nobody sees; folded, if the operator always obliges. */
static void check_entries(const struct job *j)
{
    bool obliges = j->merge.full && !j->refuses;
    for (size_t i = 1; i < j->out_count; i++) {
        const struct entry *newer = &j->out[i - 1], *e = &j->out[i];
        if (!slice_eq(newer->key, e->key) || stripe(j, newer->seq) != stripe(j, e->seq))
            continue;
        assert_true(entry_type_is_merge(newer->type));
        assert_false(obliges && (!entry_type_is_merge(e->type) || j->merge.partial));
    }
}

static bool hides_something(const struct job *j, const struct rangedel_fragment *f, uint64_t seq)
{
    for (size_t i = 0; i < j->out_count; i++) {
        const struct entry *e = &j->out[i];
        if (slice_cmp(f->start, e->key) <= 0 && slice_cmp(e->key, f->end) < 0 && e->seq < seq)
            return true;
    }
    return below_has(j, f->start, f->end);
}

/* No tombstone that hides nothing, and no two of one stripe over one place. */
static void check_tombstones(const struct job *j)
{
    for (size_t p = 0; p < j->piece_count && !j->over_cautious; p++)
        for (size_t i = 0; i < rangedel_count(j->pieces[p]); i++) {
            struct rangedel_fragment f = rangedel_at(j->pieces[p], i);
            for (uint32_t k = 0; k < f.seq_count; k++) {
                assert_true(hides_something(j, &f, f.seqs[k]));
                assert_true(k == 0 || stripe(j, f.seqs[k - 1]) != stripe(j, f.seqs[k]));
            }
        }
}

/* With nothing below and no pins only values are left. */
static void check_bottom(const struct job *j)
{
    if (j->from > 0 || j->pin_count > 0 || j->over_cautious || !j->merge.full || j->refuses)
        return;
    for (size_t i = 0; i < j->out_count; i++)
        assert_true(j->out[i].type == ENTRY_PUT || j->out[i].type == ENTRY_PUT_BLOB);
    for (size_t p = 0; p < j->piece_count; p++)
        assert_int_equal(rangedel_count(j->pieces[p]), 0);
}

/* ---- random jobs ---- */

static const struct history_mix mix = {
    .of = {[ENTRY_DELETE] = 3,
           [ENTRY_PUT] = 8,
           [ENTRY_MERGE] = 6,
           [ENTRY_PUT_BLOB] = 2,
           [ENTRY_MERGE_BLOB] = 2,
           [ENTRY_RANGE_DELETE] = 2},
    .keys = KEYS,
    .value_max = 10,
};

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void random_job(struct job *j, struct simrng *rng)
{
    *j = (struct job){.rng = rng};
    history_random(&j->h, rng, &mix, 1 + simrng_below(rng, 80));
    if (simrng_coin(rng))
        j->from = simrng_below(rng, j->h.count);
    if (simrng_below(rng, 3))
        j->pin_count = simrng_below(rng, PINS_MAX + 1);
    for (size_t i = 0; i < j->pin_count; i++)
        j->pins[i] = 1 + simrng_below(rng, j->h.count + 1);
    qsort(j->pins, j->pin_count, sizeof *j->pins, compare_numbers);
    j->over_cautious = simrng_below(rng, 4) == 0;
    j->joins = simrng_below(rng, 4) > 0;
    j->refuses = simrng_below(rng, 4) == 0;
    j->merge = (struct store_merge){.ctx = j, .full = full, .partial = partial};
    if (simrng_below(rng, 4) == 0)
        j->merge.partial = NULL;
    if (simrng_below(rng, 8) == 0)
        j->merge.full = NULL; /* no operator at all */
    make_input(j);
}

static void readers_see_the_same_before_and_after(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int i = 0; i < 6000; i++) {
        struct job j;
        random_job(&j, &rng);
        run(&j);
        check_readers(&j);
        check_blobs(&j);
        check_entries(&j);
        check_tombstones(&j);
        check_bottom(&j);
        job_release(&j);
    }
}

/* Passing once more loses nothing. (It may find more to drop: what the first pass dropped further
 * down a key was still there when it looked at what is above.) */
static void a_second_pass_loses_nothing(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int i = 0; i < 1000; i++) {
        struct job j, k = {.rng = &rng};
        random_job(&j, &rng);
        j.refuses = j.over_cautious = false;
        run(&j);
        k.h = result_of(&j);
        k.from = j.from;
        memcpy(k.pins, j.pins, sizeof k.pins);
        k.pin_count = j.pin_count;
        k.merge = j.merge;
        k.merge.ctx = &k;
        make_input(&k);
        run(&k);
        assert_true(k.out_count <= j.out_count);
        check_readers(&k);
        check_entries(&k);
        check_tombstones(&k);
        job_release(&k);
        job_release(&j);
    }
}

/* ---- neighbours ---- */

enum { NEIGHBOURS = 10000, LOWEST = 100 };

/* Something is older everywhere, with numbers below LOWEST, but for one place. */
struct older {
    uint64_t at, newest; /* in the interval of neighbour `at` the newest has this number */
};

static bool always_older(void *ctx, struct slice start, struct slice limit)
{
    (void)ctx, (void)start, (void)limit;
    return true;
}

static uint64_t newest_of(void *ctx, struct slice start, struct slice limit)
{
    const struct older *o = ctx;
    return get_be64(start.data) <= o->at && o->at < get_be64(limit.data) ? o->newest : LOWEST - 1;
}

/* Neighbour i, [i, i + 1), has number LOWEST + i. Their tombstones, reduced; one reference. */
static struct rangedel *reduce_neighbours(struct reduce_options *opt)
{
    struct rangedel_builder *b = rangedel_builder_new();
    uint8_t start[8], end[8];
    struct entry e;
    struct job none = {0};
    for (uint64_t i = 0; i < NEIGHBOURS; i++) {
        put_be64(start, i);
        put_be64(end, i + 1);
        rangedel_builder_add(b, slice_of(start, 8), slice_of(end, 8), LOWEST + i);
    }
    struct rangedel *all = rangedel_build(b);
    assert_int_equal(rangedel_count(all), NEIGHBOURS);
    struct reduce *r = reduce_new(input_new(&none, SIZE_MAX), all, opt);
    assert_absent(reduce_next(r, &e));
    struct rangedel *left = reduce_rangedels(r, (struct slice){0});
    /* Who asks for history from before the highest number that was lowered is told. */
    bool joined = rangedel_count(left) < NEIGHBOURS;
    assert_int_equal(reduce_history(r), joined ? LOWEST + NEIGHBOURS : 0);
    reduce_free(r);
    rangedel_unref(all);
    rangedel_builder_free(b);
    return left;
}

static void assert_one(const struct rangedel *r, size_t i, uint64_t start, uint64_t end,
                       uint64_t seq)
{
    struct rangedel_fragment f = rangedel_at(r, i);
    assert_int_equal(get_be64(f.start.data), start);
    assert_int_equal(get_be64(f.end.data), end);
    assert_int_equal(f.seqs[0], seq);
    assert_int_equal(f.seq_count, 1);
}

static void neighbours_join(void **state)
{
    (void)state;
    struct older older = {UINT64_MAX, 0};
    uint64_t pin = LOWEST + 4000;
    struct reduce_options opt = {
        .ctx = &older, .older_exists = always_older, .older_newest = newest_of};
    struct rangedel *r = reduce_neighbours(&opt);
    assert_int_equal(rangedel_count(r), 1);
    assert_one(r, 0, 0, NEIGHBOURS, LOWEST);
    rangedel_unref(r);
    /* A pin that sees the one half and not the other. */
    opt.pins = &pin;
    opt.pin_count = 1;
    r = reduce_neighbours(&opt);
    assert_int_equal(rangedel_count(r), 2);
    assert_one(r, 0, 0, 4000, LOWEST);
    assert_one(r, 1, 4000, NEIGHBOURS, LOWEST + 4000);
    rangedel_unref(r);
    opt.pin_count = 0;
    /* Older data that the lowest number would no longer hide. */
    older = (struct older){3000, LOWEST + 5};
    r = reduce_neighbours(&opt);
    assert_int_equal(rangedel_count(r), 2);
    assert_one(r, 0, 0, 3000, LOWEST);
    assert_one(r, 1, 3000, NEIGHBOURS, LOWEST + 3000);
    rangedel_unref(r);
    opt.older_newest = NULL;
    r = reduce_neighbours(&opt);
    assert_int_equal(rangedel_count(r), NEIGHBOURS);
    rangedel_unref(r);
}

static void an_error_of_the_input_comes_through(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    for (int i = 0; i < 500; i++) {
        struct job j;
        struct entry e;
        int status;
        random_job(&j, &rng);
        struct reduce_options opt = options(&j);
        size_t fails_at = simrng_below(&rng, j.input_count + 1);
        struct reduce *r = reduce_new(input_new(&j, fails_at), j.dels, &opt);
        do {
            j.held = false;
            status = reduce_next(r, &e);
        } while (status == 0);
        assert_int_equal(status, -EIO);
        reduce_free(r);
        job_release(&j);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_the_same_before_and_after),
        cmocka_unit_test(a_second_pass_loses_nothing),
        cmocka_unit_test(neighbours_join),
        cmocka_unit_test(an_error_of_the_input_comes_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
