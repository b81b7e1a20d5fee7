/* settings: the table, values in words, snapshots; and changing them while a store is open. */
#include "tests/unit/store_rig.h"

#include "store/store_priv.h"

static char message[STORE_MESSAGE_MAX];

/* ---- the table ---- */

static void test_table(void **state)
{
    (void)state;
    struct store_options o;
    store_options_init(&o);
    assert_null(o.env);
    assert_null(o.merge);
    assert_false(o.read_only);
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *row = &settings_table[i];
        assert_ptr_equal(setting_find(row->name), row);
        assert_true(i == 0 || strcmp(settings_table[i - 1].name, row->name) < 0);
        assert_true(row->min <= row->preset && row->preset <= row->max && row->min < row->max);
        assert_true(row->size == 8 || (row->size == 4 && row->max <= INT32_MAX));
        assert_true((row->kind == STORE_SETTING_CHOICE) == (row->choices != NULL));
        assert_true(row->help && row->help[0] && row->help[strlen(row->help) - 1] != '.');
        assert_int_equal(setting_load(row, &o), row->preset);
        for (size_t k = 0; k < i; k++)
            assert_true(settings_table[k].offset + settings_table[k].size <= row->offset ||
                        row->offset + row->size <= settings_table[k].offset);
    }
    assert_null(setting_find("no.such"));
    assert_null(setting_find(""));
    assert_int_equal(o.memtable_bytes, 16 << 20);
    assert_int_equal(o.workers, 2);
    assert_int_equal(o.idle_flush_ns, 10000000000);
}

/* ---- the document ---- */

/* As a person would write it: "64 MiB", "10 s", "25 %". */
static void tell_value(const struct setting *row, uint64_t value, char out[64])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    char text[STORE_SETTING_TEXT_MAX];
    int unit = 0;
    if (row->kind == STORE_SETTING_BYTES) {
        for (; value >= 1024 && value % 1024 == 0 && unit < 4; unit++)
            value /= 1024;
        snprintf(out, 64, value ? "%" PRIu64 " %s" : "0", value, units[unit]);
    } else if (row->kind == STORE_SETTING_PERCENT) {
        snprintf(out, 64, "%" PRIu64 " %%", value);
    } else {
        snprintf(out, 64, "%s", setting_print(row, value, text));
    }
}

/* The line of docs/OPERATIONS.md, but for its last column. */
static void tell_row(const struct setting *row, char out[1024])
{
    char preset[64], low[64], high[64], range[STORE_RANGE_TEXT_MAX + 64];
    tell_value(row, row->preset, preset);
    tell_value(row, row->min, low);
    tell_value(row, row->max, high);
    setting_print_range(row, range);
    if (row->kind != STORE_SETTING_CHOICE)
        snprintf(range, sizeof range, "%s to %s", low, high);
    snprintf(out, 1024, "| `%s` | %s | %s | %s | ", row->name, preset, range, row->help);
}

static void complain(const char *wanted)
{
    fprintf(stderr, "docs/OPERATIONS.md should have, and then with what it takes effect:\n%s\n",
            wanted);
}

/* Is the line of the document that of a setting? Then it is marked as seen. */
static bool line_agrees(const char *line, bool *seen)
{
    char name[64] = {0}, wanted[1024];
    const struct setting *row = sscanf(line, "| `%63[^`]`", name) == 1 ? setting_find(name) : NULL;
    if (!row || seen[row - settings_table]) {
        fprintf(stderr, "docs/OPERATIONS.md has '%s', which is no setting, or twice\n", name);
        return false;
    }
    seen[row - settings_table] = true;
    tell_row(row, wanted);
    size_t len = strlen(wanted);
    if (strncmp(line, wanted, len) == 0 && strlen(line) >= len + 6 &&
        (strncmp(line + len, "when opened", 11) == 0) == (row->when == SETTING_AT_OPEN))
        return true;
    complain(wanted);
    return false;
}

/* The operations' table of settings is that of settings.c: each has its line, with its default,
 * range and help as they are, and with what it takes effect; there is no other line. */
static void test_document_agrees(void **state)
{
    (void)state;
    char line[4096], wanted[1024];
    bool inside = false, agrees = true, *seen = mem_zalloc(settings_count() * sizeof *seen);
    FILE *f = fopen("docs/OPERATIONS.md", "r");
    assert_non_null(f); /* tests are run from the top of the tree */
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "## ", 3) == 0)
            inside = strcmp(line, "## Settings\n") == 0;
        if (inside && strncmp(line, "| `", 3) == 0)
            agrees = line_agrees(line, seen) && agrees;
    }
    fclose(f);
    for (size_t i = 0; i < settings_count(); i++) {
        if (seen[i])
            continue;
        tell_row(&settings_table[i], wanted);
        complain(wanted);
        agrees = false;
    }
    free(seen);
    assert_true(agrees);
}

/* ---- in words ---- */

static const char *const colours[] = {"red", "green", "blue"};
static const struct setting rows[] = {
    {.name = "bytes", .kind = STORE_SETTING_BYTES, .size = 8, .min = 1024, .max = 1ull << 40},
    {.name = "count", .kind = STORE_SETTING_COUNT, .size = 4, .min = 2, .max = 64},
    {.name = "percent", .kind = STORE_SETTING_PERCENT, .size = 4, .min = 0, .max = 90},
    {.name = "time", .kind = STORE_SETTING_DURATION, .size = 8, .min = 0, .max = 7200000000000},
    {.name = "choice", .kind = STORE_SETTING_CHOICE, .size = 4, .max = 2, .choices = colours},
    {.name = "any", .kind = STORE_SETTING_BYTES, .size = 8, .min = 0, .max = UINT64_MAX},
};
enum { BYTES, COUNT, PERCENT, TIME, CHOICE, ANY };

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        int row;
        const char *text;
        int err;
        uint64_t value;
    } cases[] = {
        {BYTES, "1024", 0, 1024},
        {BYTES, "1K", 0, 1024},
        {BYTES, "1k", 0, 1024},
        {BYTES, "3MiB", 0, 3 << 20},
        {BYTES, "3mb", 0, 3 << 20},
        {BYTES, "2G", 0, 2ull << 30},
        {BYTES, "1T", 0, 1ull << 40},
        {BYTES, "2000B", 0, 2000},
        {BYTES, "1023", -ERANGE, 0},
        {BYTES, "2T", -ERANGE, 0},
        {BYTES, "99999999999999999999", -ERANGE, 0},
        {BYTES, "18014398509481984K", -ERANGE, 0}, /* 2^64 */
        {BYTES, "", -EINVAL, 0},
        {BYTES, "K", -EINVAL, 0},
        {BYTES, "-1", -EINVAL, 0},
        {BYTES, "+5000", -EINVAL, 0},
        {BYTES, " 5000", -EINVAL, 0},
        {BYTES, "5000 ", -EINVAL, 0},
        {BYTES, "5K5", -EINVAL, 0},
        {BYTES, "5Kx", -EINVAL, 0},
        {BYTES, "5iB", -EINVAL, 0},
        {BYTES, "1.5M", -EINVAL, 0},
        {BYTES, "0x1000", -EINVAL, 0},
        {COUNT, "2", 0, 2},
        {COUNT, "64", 0, 64},
        {COUNT, "1", -ERANGE, 0},
        {COUNT, "65", -ERANGE, 0},
        {COUNT, "4K", -EINVAL, 0},
        {PERCENT, "25", 0, 25},
        {PERCENT, "25%", 0, 25},
        {PERCENT, "0%", 0, 0},
        {PERCENT, "91%", -ERANGE, 0},
        {PERCENT, "25%%", -EINVAL, 0},
        {TIME, "0", 0, 0},
        {TIME, "17ns", 0, 17},
        {TIME, "17us", 0, 17000},
        {TIME, "17ms", 0, 17000000},
        {TIME, "17s", 0, 17000000000},
        {TIME, "17m", 0, 1020000000000},
        {TIME, "2h", 0, 7200000000000},
        {TIME, "3h", -ERANGE, 0},
        {TIME, "17", -EINVAL, 0},
        {TIME, "17S", -EINVAL, 0},
        {CHOICE, "red", 0, 0},
        {CHOICE, "blue", 0, 2},
        {CHOICE, "blu", -EINVAL, 0},
        {CHOICE, "2", -EINVAL, 0},
        {CHOICE, "", -EINVAL, 0},
        {ANY, "18446744073709551615", 0, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t value = 77;
        const struct setting *row = &rows[cases[i].row];
        int err = setting_parse(row, cases[i].text, &value, message);
        if (err != cases[i].err || value != cases[i].value)
            fail_msg("%s = '%s': %d, %" PRIu64 " (%s)", row->name, cases[i].text, err, value,
                     message);
        assert_int_equal(message[0] != 0, err != 0);
        assert_true(err == 0 || strstr(message, row->name));
    }
}

static void test_messages_tell_the_range(void **state)
{
    (void)state;
    uint64_t value;
    assert_errno(setting_parse(&rows[BYTES], "12", &value, message), ERANGE);
    assert_string_equal(message,
                        "bytes: '12' is out of range; it takes 1024 to 1099511627776 bytes");
    assert_errno(setting_parse(&rows[TIME], "3h", &value, message), ERANGE);
    assert_string_equal(message, "time: '3h' is out of range; it takes 0ns to 2h");
    assert_errno(setting_parse(&rows[CHOICE], "pink", &value, message), EINVAL);
    assert_string_equal(message, "choice: 'pink' is no such value; it takes red, green, blue");
    assert_errno(setting_parse(&rows[PERCENT], "x", &value, message), EINVAL);
    assert_string_equal(message, "percent: 'x' is no such value; it takes 0% to 90%");
}

static void test_print(void **state)
{
    (void)state;
    char out[STORE_SETTING_TEXT_MAX];
    assert_string_equal(setting_print(&rows[BYTES], 64 << 20, out), "67108864");
    assert_string_equal(setting_print(&rows[ANY], UINT64_MAX, out), "18446744073709551615");
    assert_string_equal(setting_print(&rows[COUNT], 4, out), "4");
    assert_string_equal(setting_print(&rows[PERCENT], 25, out), "25%");
    assert_string_equal(setting_print(&rows[TIME], 0, out), "0ns");
    assert_string_equal(setting_print(&rows[TIME], 7200000000000, out), "2h");
    assert_string_equal(setting_print(&rows[TIME], 90000000000, out), "90s");
    assert_string_equal(setting_print(&rows[TIME], 1500000, out), "1500us");
    assert_string_equal(setting_print(&rows[CHOICE], 1, out), "green");
}

static void test_print_parses_back(void **state)
{
    (void)state;
    struct simrng rng = {unit_seed()};
    char out[STORE_SETTING_TEXT_MAX];
    for (int i = 0; i < 20000; i++) {
        bool own = i % 2;
        const struct setting *row = own ? &rows[simrng_below(&rng, 6)]
                                        : &settings_table[simrng_below(&rng, settings_count())];
        uint64_t span = row->max - row->min, value = simrng_next(&rng);
        value = row->min + (span == UINT64_MAX ? value : value % (span + 1)), span = 0;
        uint64_t back;
        assert_ok(setting_parse(row, setting_print(row, value, out), &back, message));
        assert_int_equal(back, value);
        assert_string_equal(message, "");
    }
}

/* ---- snapshots ---- */

static void test_snapshots(void **state)
{
    (void)state;
    struct settings_box box;
    struct store_options o;
    store_options_init(&o);
    settings_box_init(&box, &o);
    struct settings *before = settings_get(&box), *same = settings_get(&box);
    assert_ptr_equal(before, same);
    assert_int_equal(settings_change(&box, setting_find("memtables.max"), 9), 4);
    assert_int_equal(settings_change(&box, setting_find("table.bytes"), 1 << 20), 64 << 20);
    struct settings *after = settings_get(&box);
    assert_int_equal(before->o.memtables_max, 4); /* a job goes on with what it has */
    assert_int_equal(before->o.table_bytes, 64 << 20);
    assert_int_equal(after->o.memtables_max, 9);
    assert_int_equal(after->o.table_bytes, 1 << 20);
    assert_int_equal(setting_u32(&box.live.memtables_max), 9);
    assert_int_equal(setting_u64(&box.live.table_bytes), 1 << 20);
    settings_unref(before);
    settings_unref(same);
    settings_box_release(&box);
    assert_int_equal(after->o.memtables_max, 9); /* outlives the box */
    settings_unref(after);
    settings_unref(NULL);
}

/* Two settings that are always changed together are never seen apart by more than one change. */
struct race {
    struct settings_box box;
    bool stop; /* atomic */
};

static void *race_reader(void *arg)
{
    struct race *race = arg;
    uint64_t last = 0;
    while (!__atomic_load_n(&race->stop, __ATOMIC_ACQUIRE)) {
        struct settings *s = settings_get(&race->box);
        assert_true(s->o.table_bytes >= last);
        assert_true(s->o.blob_bytes == s->o.table_bytes || s->o.blob_bytes + 1 == s->o.table_bytes);
        last = s->o.table_bytes;
        settings_unref(s);
    }
    return NULL;
}

static void test_snapshots_race(void **state)
{
    (void)state;
    struct race race = {.stop = false};
    struct store_options o;
    pthread_t readers[2];
    store_options_init(&o);
    o.table_bytes = o.blob_bytes = 1;
    settings_box_init(&race.box, &o);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, race_reader, &race), 0);
    for (uint64_t i = 2; i < 20000; i++) {
        settings_change(&race.box, setting_find("table.bytes"), i);
        settings_change(&race.box, setting_find("blob.bytes"), i);
    }
    __atomic_store_n(&race.stop, true, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    settings_box_release(&race.box);
}

/* ---- of a store ---- */

static struct store_setting shown(struct rig *r, const char *name)
{
    struct store_setting out;
    assert_ok(store_get_setting(r->s, name, &out));
    return out;
}

static void set(struct rig *r, const char *name, const char *value)
{
    if (store_set(r->s, name, value, message) != 0)
        fail_msg("%s", message);
    assert_string_equal(message, "");
}

static void test_before_opening(void **state)
{
    struct rig *r = *state;
    assert_ok(store_options_set(&r->opt, "memtable.bytes", "1M", message));
    assert_errno(store_options_set(&r->opt, "memtable.bytes", "1", message), ERANGE);
    assert_errno(store_options_set(&r->opt, "memtable.bytes", "much", message), EINVAL);
    assert_errno(store_options_set(&r->opt, "memtable.byte", "1M", message), ENOENT);
    assert_string_equal(message, "memtable.byte: there is no such setting");
    assert_int_equal(r->opt.memtable_bytes, 1 << 20);
    rig_open(r);
    struct store_setting one = shown(r, "memtable.bytes");
    assert_int_equal(one.value, 1 << 20);
    assert_string_equal(one.text, "1048576");
    assert_string_equal(one.preset_text, "16777216");
    assert_string_equal(one.range_text, "65536 to 17179869184 bytes");
    assert_int_equal(one.kind, STORE_SETTING_BYTES);
    assert_true(one.live);
    assert_absent(store_get_setting(r->s, "memtable", &one));
    rig_close(r);
}

static int count_setting(void *ctx, const struct store_setting *s)
{
    int *left = ctx;
    assert_non_null(setting_find(s->name));
    return --*left == 0 ? 42 : 0;
}

static void test_listing(void **state)
{
    struct rig *r = *state;
    int left = 1000;
    rig_open(r);
    assert_ok(store_list_settings(r->s, count_setting, &left));
    assert_int_equal(1000 - left, settings_count());
    left = 3;
    assert_int_equal(store_list_settings(r->s, count_setting, &left), 42);
    left = 1000;
    assert_ok(store_options_list(&r->opt, count_setting, &left));
    assert_int_equal(1000 - left, settings_count());
    rig_close(r);
}

static void test_refused_values_change_nothing(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    for (size_t i = 0; i < settings_count(); i++) {
        const struct setting *row = &settings_table[i];
        uint64_t before = shown(r, row->name).value;
        char text[64];
        snprintf(text, sizeof text, "%" PRIu64 "%s", row->max + 1,
                 row->kind == STORE_SETTING_DURATION ? "ns" : "");
        assert_errno(store_set(r->s, row->name, text, message),
                     row->kind == STORE_SETTING_CHOICE ? EINVAL : ERANGE);
        assert_non_null(strstr(message, shown(r, row->name).range_text));
        assert_errno(store_set(r->s, row->name, "?", message), EINVAL);
        assert_int_equal(shown(r, row->name).value, before);
    }
    assert_errno(store_set(r->s, "none", "1", message), ENOENT);
    rig_close(r);
}

static void test_memtable_size_is_live(void **state)
{
    struct rig *r = *state;
    r->opt.memtable_bytes = 4 << 20;
    r->opt.memtables_max = 8;
    rig_open(r);
    rig_fill(r, 0, 400, 500, 0);
    assert_int_equal(rig_stats(r).sealed_memtables, 0);
    set(r, "memtable.bytes", "64K");
    rig_fill(r, 400, 402, 500, 0);
    assert_int_equal(rig_stats(r).sealed_memtables, 1);
    set(r, "memtable.bytes", "4M");
    rig_fill(r, 402, 800, 500, 0);
    assert_int_equal(rig_stats(r).sealed_memtables, 1);
    assert_true(rig_logged("memtable.bytes changed from 4194304 to 65536"));
    rig_assert_fill(r, 0, 800, 500, 0);
    rig_close_clean(r);
}

/* Opened with that cache, and as many entries read. */
static void open_and_read(struct rig *r, uint64_t cache_bytes, uint64_t entries)
{
    r->opt.cache_bytes = cache_bytes;
    rig_open(r);
    rig_fill(r, 0, entries, 200, 0);
    rig_compact(r);
    rig_assert_fill(r, 0, entries, 200, 0);
}

static void test_cache_size_is_live(void **state)
{
    struct rig *r = *state;
    open_and_read(r, 8 << 20, 20000);
    assert_true(rig_stats(r).cache_bytes > 2 << 20);
    set(r, "cache.bytes", "1M");
    assert_true(rig_stats(r).cache_bytes <= 1 << 20);
    rig_assert_fill(r, 0, 20000, 200, 0);
    assert_true(rig_stats(r).cache_bytes <= 1 << 20);
    rig_close_clean(r);
}

/* The cache gives way to what the caller keeps, but not by more than half. */
static void test_memory_is_lent(void **state)
{
    struct rig *r = *state;
    open_and_read(r, 4 << 20, 40000);
    assert_true(rig_stats(r).cache_bytes > 3 << 20);
    store_lend_memory(r->s, 1 << 20);
    assert_true(rig_stats(r).cache_bytes <= 3 << 20);
    store_lend_memory(r->s, 100 << 20);
    assert_true(rig_stats(r).cache_bytes <= 2 << 20);
    rig_assert_fill(r, 0, 40000, 200, 0);
    uint64_t half = rig_stats(r).cache_bytes;
    assert_true(half > 1 << 20 && half <= 2 << 20);
    set(r, "cache.bytes", "2M"); /* it stays lent */
    assert_true(rig_stats(r).cache_bytes <= 1 << 20);
    store_lend_memory(r->s, 0);
    rig_assert_fill(r, 0, 40000, 200, 0);
    assert_true(rig_stats(r).cache_bytes > 1 << 20);
    rig_close_clean(r);
}

static void test_table_settings_are_live(void **state)
{
    struct rig *r = *state;
    r->opt.table_bytes = 1 << 20;
    rig_open(r);
    rig_fill(r, 0, 3000, 300, 0);
    rig_compact(r);
    int tables = rig_files(r, FILE_TABLE).count;
    set(r, "table.bytes", "64K");
    set(r, "compression.level", "0");
    rig_fill(r, 0, 3000, 300, 1);
    rig_compact(r);
    assert_true(rig_files(r, FILE_TABLE).count >= tables + 5);
    rig_assert_fill(r, 0, 3000, 300, 1);
    rig_close_clean(r);
}

static void test_blob_thresholds_are_live(void **state)
{
    struct rig *r = *state;
    r->opt.direct_min = r->opt.separate_min = 1 << 20;
    rig_open(r);
    rig_fill(r, 0, 4, 5000, 0);
    assert_int_equal(rig_stats(r).blob_files, 0);
    set(r, "blob.direct_min", "4K");
    rig_fill(r, 4, 8, 5000, 0);
    assert_int_equal(rig_stats(r).blob_files, 1);
    set(r, "blob.separate_min", "1K");
    uint64_t before = rig_stats(r).blob_bytes;
    assert_ok(store_flush(r->s));
    assert_true(rig_stats(r).blob_bytes > before); /* the first four have followed */
    rig_assert_fill(r, 0, 8, 5000, 0);
    rig_close_clean(r);
}

static void test_pulled_work_stays_pulled(void **state)
{
    struct rig *r = *state;
    rig_open(r);
    assert_errno(store_set(r->s, "workers", "2", message), EPERM);
    assert_string_equal(message, "workers: it cannot change while the store is open");
    assert_int_equal(shown(r, "workers").value, 0);
    rig_close(r);
}

static uint32_t threads_running(struct rig *r)
{
    uint32_t n = 0;
    pthread_mutex_lock(&r->s->tree.lock);
    for (uint32_t i = 1; i < 1 + STORE_WORKERS_MAX; i++) /* number 0 only flushes */
        n += r->s->workers[i].store && !r->s->workers[i].ended;
    pthread_mutex_unlock(&r->s->tree.lock);
    return n;
}

static void test_workers_come_and_go(void **state)
{
    struct rig *r = *state;
    r->opt.workers = 1;
    rig_open(r);
    assert_int_equal(threads_running(r), 1);
    set(r, "workers", "5");
    assert_int_equal(threads_running(r), 5);
    set(r, "workers", "2");
    while (threads_running(r) != 2)
        usleep(1000);
    for (uint64_t i = 0; i < 200; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d", (int)(1 + i * 7 % 6));
        set(r, "workers", text);
        rig_fill(r, i * 10, i * 10 + 10, 500, 0);
    }
    set(r, "workers", "3");
    while (threads_running(r) != 3)
        usleep(1000);
    rig_assert_fill(r, 0, 2000, 500, 0);
    rig_close(r);
    rig_open(r);
    assert_int_equal(threads_running(r), 1); /* a change lasts until the store is closed */
    rig_close(r);
}

/* Everything changes all the time, under writers, readers and jobs. */
struct churn {
    struct rig *r;
    bool stop; /* atomic */
    uint64_t seed;
};

static void *churn_settings(void *arg)
{
    struct churn *c = arg;
    struct simrng rng = {c->seed};
    while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
        const struct setting *row = &settings_table[simrng_below(&rng, settings_count())];
        uint64_t small = row->min + (row->max - row->min < 7 ? 0 : simrng_below(&rng, 8));
        char text[STORE_SETTING_TEXT_MAX], said[STORE_MESSAGE_MAX];
        if (row->kind == STORE_SETTING_BYTES)
            small = row->min << simrng_below(&rng, 4);
        assert_int_equal(store_set(c->r->s, row->name, setting_print(row, small, text), said), 0);
        usleep(100);
    }
    return NULL;
}

static void test_all_change_under_load(void **state)
{
    struct rig *r = *state;
    struct churn c = {.r = r, .seed = unit_seed()};
    pthread_t thread;
    r->opt.workers = 2;
    rig_open(r);
    assert_int_equal(pthread_create(&thread, NULL, churn_settings, &c), 0);
    for (uint64_t round = 0; round < 4; round++) {
        rig_fill(r, 0, 2000, 700, round);
        rig_assert_fill(r, 0, 2000, 700, round);
        assert_ok(store_flush(r->s));
    }
    rig_compact(r);
    __atomic_store_n(&c.stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    rig_assert_fill(r, 0, 2000, 700, 3);
    rig_close(r);
    r->opt.workers = 0;
    rig_open(r);
    rig_assert_fill(r, 0, 2000, 700, 3);
    rig_close_clean(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_document_agrees),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_messages_tell_the_range),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_print_parses_back),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_snapshots_race),
        RIG_SIM(test_before_opening),
        RIG_SIM(test_listing),
        RIG_SIM(test_refused_values_change_nothing),
        RIG_SIM(test_memtable_size_is_live),
        RIG_SIM(test_cache_size_is_live),
        RIG_SIM(test_memory_is_lent),
        RIG_SIM(test_table_settings_are_live),
        RIG_SIM(test_blob_thresholds_are_live),
        RIG_SIM(test_pulled_work_stays_pulled),
        RIG_POSIX(test_workers_come_and_go),
        RIG_POSIX(test_all_change_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
