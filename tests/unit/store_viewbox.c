#include <pthread.h>

#include "store/view.h"
#include "tests/unit/unit.h"

/* A source without files: nothing here is read from a table. */
static const struct version_source nowhere;

static struct version *version_flushed(uint64_t flushed_seq)
{
    struct version *v = version_new(&nowhere);
    v->flushed_seq = flushed_seq;
    return v;
}

static struct view *empty_view(struct version *version)
{
    return view_new(NULL, 0, version);
}

/* ---- one thread ---- */

static void gives_what_was_set_last(void **state)
{
    (void)state;
    struct version *version = version_flushed(1);
    struct view *first = empty_view(version), *second = empty_view(version);
    struct viewbox *box = viewbox_new(first);
    struct view *held = viewbox_get(box);
    assert_ptr_equal(held, first);
    viewbox_set(box, second);
    assert_ptr_equal(viewbox_peek(box), second);
    assert_int_equal(held->refs, 1); /* the box let go of it, the reader has not */
    view_unref(held);
    held = viewbox_get(box);
    assert_ptr_equal(held, second);
    viewbox_free(box);
    assert_int_equal(held->refs, 1);
    view_unref(held);
    assert_int_equal(version->refs, 1);
    version_unref(version);
}

static void a_view_holds_its_parts(void **state)
{
    (void)state;
    struct version *version = version_flushed(1);
    struct memgen *gens[2] = {memgen_new(8, 10), memgen_new(7, 1)};
    struct view *view = view_new(gens, 2, version);
    version_unref(version);
    memgen_unref(gens[0]);
    memgen_unref(gens[1]);
    assert_ptr_equal(view->version, version);
    assert_ptr_equal(view->gens[0], gens[0]);
    assert_ptr_equal(view->gens[1], gens[1]);
    assert_int_equal(version->refs + gens[0]->refs + gens[1]->refs, 3);
    memgen_set_blob(gens[1], version_blob_new(&nowhere, 5));
    view_unref(view);
    view_unref(NULL);
}

/* ---- many threads ---- */

enum { READERS = 4, SETS = 3000, GENS_MAX = 5, TURN = 16 };

/* What a store does to its view: entries go into the newest memtable and are published; now and
 * then a new memtable is put in front, or the oldest one goes, and a version says so. */
struct stress {
    struct viewbox *box;
    uint64_t published; /* atomic */
    bool done;          /* atomic */
    struct version *version;
    struct memgen *gens[GENS_MAX]; /* newest first */
    uint32_t gen_count;
    uint64_t next_seq;
    uint64_t wrong; /* atomic: what readers found amiss */
    uint64_t reads; /* atomic */
};

static struct slice seq_key(uint64_t seq, uint8_t room[8])
{
    put_be64(room, seq);
    return slice_of(room, 8);
}

static void write_some(struct stress *s)
{
    uint8_t room[8];
    for (int i = 0; i < TURN; i++) {
        struct entry e = {.key = seq_key(s->next_seq, room), .seq = s->next_seq, .type = ENTRY_PUT};
        memtable_add(s->gens[0]->mem, &e);
        s->next_seq++;
        __atomic_store_n(&s->published, s->next_seq, __ATOMIC_RELEASE);
    }
}

static void push_gen(struct stress *s)
{
    memmove(s->gens + 1, s->gens, s->gen_count * sizeof *s->gens);
    s->gens[0] = memgen_new(1, s->next_seq);
    s->gen_count++;
}

static void drop_gen(struct stress *s)
{
    memgen_unref(s->gens[--s->gen_count]);
    version_unref(s->version);
    s->version = version_flushed(s->gens[s->gen_count - 1]->first_seq);
}

static void *write_and_set(void *arg)
{
    struct stress *s = arg;
    for (int i = 0; i < SETS; i++) {
        if (s->gen_count == GENS_MAX || (s->gen_count > 1 && i % 3 == 0))
            drop_gen(s);
        else
            push_gen(s);
        viewbox_set(s->box, view_new(s->gens, s->gen_count, s->version));
        write_some(s);
        if (i % 64 == 0)
            sched_yield();
    }
    __atomic_store_n(&s->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static bool has_entry(const struct view *v, uint64_t seq)
{
    uint8_t room[8];
    struct lookup l;
    lookup_init(&l, seq_key(seq, room), SEQ_MAX);
    for (uint32_t i = 0; i < v->gen_count && !lookup_done(&l); i++)
        memtable_get(v->gens[i]->mem, &l);
    bool found = l.state == LOOKUP_FOUND;
    lookup_release(&l, NULL);
    return found;
}

/* Everything below `seq` is in the view: the versions below flushed_seq, the memtables from there
 * on without a gap, and in them the newest and the oldest that they should have. */
static bool holds_all_below(const struct view *v, uint64_t seq)
{
    uint64_t flushed = v->version->flushed_seq;
    if (v->gen_count == 0 || v->gens[v->gen_count - 1]->first_seq != flushed)
        return false;
    return seq <= flushed || (has_entry(v, seq - 1) && has_entry(v, flushed) &&
                              has_entry(v, flushed + (seq - flushed) / 2));
}

static void *get_and_check(void *arg)
{
    struct stress *s = arg;
    uint64_t last = 0, seq, reads = 0, wrong = 0;
    do {
        struct view *v = viewbox_get_with_seq(s->box, &s->published, &seq);
        wrong += !holds_all_below(v, seq) || seq < last;
        last = seq;
        view_unref(v);
        v = viewbox_get(s->box);
        wrong += v->gen_count == 0;
        view_unref(v);
        reads++;
    } while (!__atomic_load_n(&s->done, __ATOMIC_ACQUIRE));
    __atomic_fetch_add(&s->wrong, wrong, __ATOMIC_RELAXED);
    __atomic_fetch_add(&s->reads, reads, __ATOMIC_RELAXED);
    return NULL;
}

static void readers_always_get_a_whole_living_view(void **state)
{
    (void)state;
    pthread_t threads[READERS], writer;
    struct stress s = {.published = 1, .next_seq = 1, .version = version_flushed(1)};
    push_gen(&s);
    s.box = viewbox_new(view_new(s.gens, s.gen_count, s.version));
    for (int i = 0; i < READERS; i++)
        assert_ok(pthread_create(&threads[i], NULL, get_and_check, &s));
    assert_ok(pthread_create(&writer, NULL, write_and_set, &s));
    pthread_join(writer, NULL);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(s.wrong, 0);
    assert_true(s.reads >= READERS);
    /* Each view let go of its parts once: the box's last one has the only other references. */
    assert_int_equal(s.version->refs, 2);
    for (uint32_t i = 0; i < s.gen_count; i++)
        assert_int_equal(s.gens[i]->refs, 2);
    viewbox_free(s.box);
    assert_int_equal(s.version->refs, 1);
    for (uint32_t i = 0; i < s.gen_count; i++)
        memgen_unref(s.gens[i]);
    version_unref(s.version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_what_was_set_last),
        cmocka_unit_test(a_view_holds_its_parts),
        cmocka_unit_test(readers_always_get_a_whole_living_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
