/* An edit of the manifest: what decodes encodes to the same again, and applies to a state or is
 * refused. */
#include "store/version.h"
#include "tests/fuzz/fuzz.h"

static struct buf sample;
static uint8_t uuid[UUID_SIZE];
static struct version_source source = {.dir = "/", .uuid = uuid};

static struct table_meta *meta(uint64_t number, const char *from, const char *to)
{
    struct table_meta *m = table_meta_new();
    m->number = number;
    m->size_bytes = 4096;
    buf_append(&m->smallest, slice_str(from));
    buf_append(&m->limit, slice_str(to));
    m->min_seq = number;
    m->max_seq = number + 10;
    m->entry_count = 100;
    return m;
}

static void add(struct edit *e, int level, struct table_meta *m)
{
    edit_add_table(e, level, m);
    table_meta_unref(m);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct edit e;
    char name[] = "monday";
    struct pin pin = {.seq = 33, .tag = 7, .created_ns = 1700000000, .name = name};
    fuzz_quiet();
    edit_init(&e);
    e.has_uuid = e.has_next_file = e.has_flushed = e.has_log = true;
    e.next_file = 100;
    e.flushed_seq = 50;
    e.log_number = 40;
    add(&e, 0, meta(11, "a", "k"));
    add(&e, 0, meta(12, "b", "z"));
    add(&e, 3, meta(13, "a", "c"));
    add(&e, 3, meta(14, "c", "x"));
    edit_add_blob(&e, 20, 10, 10000, 10500);
    edit_add_blob(&e, 21, 3, 3000, 4000);
    edit_add_garbage(&e, 20, 4, 4000);
    edit_add_pin(&e, &pin);
    edit_encode(&e, &sample);
    edit_release(&e);
    return 0;
}

static void apply(const struct edit *e)
{
    struct version *empty = version_new(&source), *once = NULL, *twice = NULL;
    if (version_apply(empty, e, NULL, 0, &once) == 0) {
        version_assert_valid(once);
        struct edit whole;
        edit_init(&whole);
        version_to_edit(once, &whole);
        int err = version_apply(empty, &whole, NULL, 0, &twice);
        assert(err == 0);
        version_unref(twice);
        edit_release(&whole);
        twice = NULL;
        if (version_apply(once, e, NULL, 0, &twice) == 0)
            version_assert_valid(twice);
        version_unref(twice);
    }
    version_unref(once);
    version_unref(empty);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct buf payload = {0}, once = {0}, twice = {0};
    struct edit e, again;
    edit_init(&e);
    edit_init(&again);
    fuzz_payload(&in, buf_slice(&sample), &payload);
    if (edit_decode(buf_slice(&payload), &e) == 0) {
        edit_encode(&e, &once);
        int err = edit_decode(buf_slice(&once), &again);
        assert(err == 0);
        edit_encode(&again, &twice);
        assert(slice_eq(buf_slice(&once), buf_slice(&twice)));
        apply(&e);
    }
    edit_release(&e);
    edit_release(&again);
    buf_release(&payload);
    buf_release(&once);
    buf_release(&twice);
    return 0;
}
