/*
 * kvbench.c - measures key-value engines with what a filesystem asks of its store.
 *
 * Each workload runs in a child process of its own: peak memory, processor time and bytes written
 * are then its alone, and a crash can be played by killing it.  A record can be computed again
 * from its number, so every read is checked.
 */
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/kv_driver.h"

#define X(engine) extern const struct kv_driver kv_driver_##engine;
KV_ENGINES
#undef X
#define X(engine) &kv_driver_##engine,
static const struct kv_driver *const engines[] = {KV_ENGINES};
#undef X

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MIB          1048576.0

enum {
    NAMES_PER_DIRECTORY = 100,
    BLOBS_PER_FILE = 64,
    EXTENT_VALUE = 32,
    KEEP_EVERY = 10, /* the delete-range work leaves each tenth inode alone */
    COLD_READS = 2000,
    POOL_BYTES = 16 << 20,
    MAX_KEY = 64,
    MAX_THREADS = 64,
    MAX_BATCH = 1000,
    MAX_ROWS = 256,
};

static struct options {
    struct kv_config config;
    const char *engine, *dir, *workloads, *label, *json;
    uint64_t entries, value, reads, seconds, threads, batch, blob_bytes, range_inodes,
        range_extents, recovery_bytes, seed;
    const char *blob_sizes;
    bool sync;
} opt = {
    .entries = 2 << 20,
    .value = 150,
    .reads = 1 << 20,
    .seconds = 15,
    .threads = 1,
    .batch = 100,
    .blob_bytes = 512 << 20,
    .blob_sizes = "4K,64K,128K",
    .range_inodes = 10000,
    .range_extents = 1000,
    .recovery_bytes = 256 << 20,
    .seed = 42,
    .config = {.memtable_bytes = 64 << 20,
               .cache_bytes = 256 << 20,
               .block_bytes = 16384,
               .filter_bits = 10,
               .codec = "zstd",
               .level = 3,
               .jobs = 2},
};

static char *pool; /* the text that values are cut from */

/* ---- clock, random numbers, latencies ---- */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t random_below(uint64_t *state, uint64_t limit)
{
    *state += 0x9e3779b97f4a7c15u;
    return (uint64_t)(((unsigned __int128)mix(*state) * limit) >> 64);
}

/* A fixed permutation of 0..count-1: a four-round Feistel network, walked until it fits. */
static uint64_t permute(uint64_t index, uint64_t count)
{
    unsigned half = 1;
    while (half < 32 && 1ull << (2 * half) < count)
        half++;
    uint64_t mask = (1ull << half) - 1;
    do {
        uint64_t left = index >> half, right = index & mask;
        for (uint64_t round = 1; round <= 4; round++) {
            uint64_t next = left ^ (mix(right + (round << 40) + opt.seed) & mask);
            left = right;
            right = next;
        }
        index = left << half | right;
    } while (index >= count);
    return index;
}

/* Ranks after a zipfian law (the method of Gray and others, as in YCSB). */
struct zipf {
    double count, theta, zeta, eta;
};

static struct zipf zipf_make(uint64_t count, double theta)
{
    struct zipf z = {(double)count, theta, 0, 0};
    for (uint64_t i = 1; i <= count; i++)
        z.zeta += pow((double)i, -theta);
    z.eta = (1 - pow(2 / z.count, 1 - theta)) / (1 - (1 + pow(0.5, theta)) / z.zeta);
    return z;
}

static uint64_t zipf_next(const struct zipf *z, uint64_t *state)
{
    double u = (double)random_below(state, 1ull << 53) * 0x1p-53;
    if (u * z->zeta < 1)
        return 0;
    if (u * z->zeta < 1 + pow(0.5, z->theta))
        return 1;
    double rank = z->count * pow(z->eta * u - z->eta + 1, 1 / (1 - z->theta));
    return (uint64_t)fmin(rank, z->count - 1);
}

/* Nanoseconds in buckets of about 3 %: 32 to each power of two. */
struct histogram {
    uint64_t count, bucket[1920];
};

static void histogram_add(struct histogram *h, uint64_t ns)
{
    unsigned top = ns < 32 ? 4 : 63 - (unsigned)__builtin_clzll(ns);
    h->bucket[ns < 32 ? ns : (top - 4) * 32 + ((ns >> (top - 5)) & 31)]++;
    h->count++;
}

static double histogram_us(const struct histogram *h, double share)
{
    uint64_t left = (uint64_t)(share * (double)(h->count - 1));
    size_t i = 0;
    while (i < COUNT(h->bucket) - 1 && left >= h->bucket[i])
        left -= h->bucket[i++];
    return (double)(i < 32 ? i : (33 + i % 32) << (i / 32 - 1)) / 1000;
}

/* ---- the process and its files ---- */

static uint64_t proc_field(const char *path, const char *name)
{
    char line[256];
    uint64_t value = 0;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)))
            value = strtoull(line + strlen(name), NULL, 10);
    if (f)
        fclose(f);
    return value;
}

static uint64_t bytes_written(void)
{
    return proc_field("/proc/self/io", "write_bytes:");
}

static double peak_memory(void)
{
    return (double)proc_field("/proc/self/status", "VmHWM:") * 1024;
}

static void reset_peak_memory(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f) {
        fputs("5", f);
        fclose(f);
    }
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double usage_sum;

static int add_usage(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path, (void)type, (void)ftw;
    usage_sum += 512 * (double)st->st_blocks;
    return 0;
}

static int drop_cached(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    int fd = open(path, O_RDONLY);
    if (fd >= 0) {
        fsync(fd);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
    return 0;
}

static int remove_path(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static double disk_usage(const char *dir)
{
    usage_sum = 0;
    nftw(dir, add_usage, 16, FTW_PHYS);
    return usage_sum;
}

/* Waits until the process has written nothing for a second; returns how long it was busy. */
static double settle(void)
{
    uint64_t start = now_ns(), busy = start, seen = bytes_written();
    while (now_ns() - busy < 1000000000u && now_ns() - start < 240000000000u) {
        usleep(50000);
        uint64_t written = bytes_written();
        if (written != seen)
            busy = now_ns();
        seen = written;
    }
    return (double)(busy - start) / 1e9;
}

/* ---- keys and values ---- */

enum key_type { TYPE_INODE = 1, TYPE_NAME = 2, TYPE_EXTENT = 3 };

/* Makes the `index`th key in order; an absent one differs in its last byte only. */
typedef struct kv_slice key_fn(uint8_t *key, uint64_t index, bool absent);

static struct kv_slice key_prefix(uint8_t *key, uint64_t inode, unsigned type)
{
    for (int i = 0; i < 8; i++)
        key[i] = (uint8_t)(inode >> (56 - 8 * i));
    key[8] = (uint8_t)type;
    return (struct kv_slice){key, 9};
}

static struct kv_slice extent_key(uint8_t *key, uint64_t inode, uint64_t offset)
{
    key_prefix(key, inode, TYPE_EXTENT);
    for (int i = 0; i < 7; i++)
        key[9 + i] = (uint8_t)(offset >> (48 - 8 * i));
    return (struct kv_slice){key, 16};
}

static struct kv_slice blob_key(uint8_t *key, uint64_t index, bool absent)
{
    return extent_key(key, index / BLOBS_PER_FILE, (index % BLOBS_PER_FILE << 20) + absent);
}

/* A directory's inode, then its names, then the next directory: 16 to 40 bytes. */
static struct kv_slice record_key(uint8_t *key, uint64_t index, bool absent)
{
    uint64_t inode = index / (NAMES_PER_DIRECTORY + 1), slot = index % (NAMES_PER_DIRECTORY + 1);
    size_t len = key_prefix(key, inode, slot ? TYPE_NAME : TYPE_INODE).len;
    if (slot == 0) {
        memset(key + len, 0, 7);
        len += 7;
    } else {
        uint64_t bits = mix(index + opt.seed);
        len += (size_t)sprintf((char *)key + len, "%04x", (unsigned)slot * 655);
        for (uint64_t letters = 3 + bits % 25; letters > 0; letters--, bits = mix(bits))
            key[len++] = (uint8_t)('a' + bits % 26);
    }
    if (absent)
        key[len - 1] = '~';
    return (struct kv_slice){key, len};
}

/* Begins with the record's number, mixed; the rest depends on `version` too. */
static struct kv_slice make_value(char *room, uint64_t index, uint64_t version, size_t len)
{
    uint64_t stamp = mix(index + 1);
    memcpy(room, pool + mix(stamp + version) % (POOL_BYTES - len), len);
    memcpy(room, &stamp, sizeof stamp);
    return (struct kv_slice){room, len};
}

/* Words after a zipfian law and some numbers: text that compresses to about a half. */
static void pool_init(void)
{
    enum { WORDS = 8192 };
    static const char letters[] = "eeeeeetttttaaaaooooiiiinnnnsssshhhrrrddllluucmmwfgypbvkxjqz";
    static char words[WORDS][12];
    struct zipf law = zipf_make(WORDS, 0.9);
    uint64_t state = opt.seed;
    for (size_t i = 0; i < WORDS; i++)
        for (size_t len = 2 + random_below(&state, 9); len > 0; len--)
            words[i][len - 1] = letters[random_below(&state, sizeof letters - 1)];
    pool = malloc(POOL_BYTES + 64);
    for (size_t at = 0; at < POOL_BYTES;) {
        if (random_below(&state, 100) < 14)
            at += (size_t)sprintf(pool + at, "%llx ", (unsigned long long)mix(state) >> 28);
        else
            at += (size_t)sprintf(pool + at, "%s%s", words[zipf_next(&law, &state)],
                                  random_below(&state, 12) ? " " : ",\n");
    }
}

/* ---- phases of operations, each giving a row of figures ---- */

enum column {
    THREADS,
    ENTRIES,
    SECONDS,
    RATE,
    THROUGHPUT,
    P50,
    P99,
    P999,
    MAX,
    CPU,
    SETTLE,
    WRITE_AMP,
    SPACE,
    MEMORY,
    WRITTEN,
    DISK,
    ERRORS,
    COLUMNS
};

static const struct {
    const char *name;
    int width, digits;
} columns[COLUMNS] = {
    [THREADS] = {"thr", 3, 0}, [ENTRIES] = {"entries", 9, 0}, [SECONDS] = {"sec", 7, 2},
    [RATE] = {"k/s", 8, 1},    [THROUGHPUT] = {"MB/s", 7, 1}, [P50] = {"p50us", 8, 1},
    [P99] = {"p99us", 8, 1},   [P999] = {"p999us", 8, 1},     [MAX] = {"maxms", 8, 2},
    [CPU] = {"cpu-us", 7, 2},  [SETTLE] = {"settle", 6, 1},   [WRITE_AMP] = {"w-amp", 6, 2},
    [SPACE] = {"space", 5, 2}, [MEMORY] = {"rssMB", 6, 0},    [WRITTEN] = {"wrMB", 7, 0},
    [DISK] = {"diskMB", 7, 0}, [ERRORS] = {"wrong", 5, 0},
};

struct row {
    char name[40], note[64];
    double v[COLUMNS]; /* NAN: does not apply */
};

struct report {
    unsigned count;
    struct row rows[MAX_ROWS];
};

struct run {
    const struct kv_driver *driver;
    const struct workload *workload;
    struct kv_store *store;
    struct kv_config config;
    struct report *report;
    struct row *last;
    key_fn *key_of;
    uint64_t records;
    size_t value_bytes;
    char suffix[24]; /* of row names */
    double open_ms, base_memory;
};

struct worker;
typedef void op_fn(struct worker *w, uint64_t i);

struct phase {
    const char *name;
    op_fn *op;
    uint64_t ops;            /* calls of op; 0: until the time is up */
    uint64_t first;          /* number of the first call */
    uint64_t threads, items; /* 0: one; items are entries that a call handles */
    uint64_t seconds;        /* limit; 0: none */
    enum { PICKED, IN_ORDER, PERMUTED } order;
    unsigned percent; /* of reads; the rest are writes */
    bool absent, sync, read_first;
    const struct zipf *law; /* NULL: uniform */
    double live_bytes;      /* user data afterwards; not 0: flush, settle, give the space */
};

struct worker {
    pthread_t thread;
    struct run *run;
    const struct phase *phase;
    uint64_t id, random, deadline, end, ops, bytes, errors, version;
    uint8_t key[MAX_KEY], to[MAX_KEY];
    char *room; /* for keys and values on their way in */
    struct kv_buf value, old;
    struct histogram latency;
};

static uint64_t or_one(uint64_t count)
{
    return count ? count : 1;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    const struct phase *p = w->phase;
    uint64_t limit = p->ops ? p->ops : UINT64_MAX, step = or_one(p->threads);
    w->end = now_ns();
    for (uint64_t i = w->id; i < limit && w->end < w->deadline; i += step) {
        p->op(w, p->first + i);
        uint64_t now = now_ns();
        histogram_add(&w->latency, now - w->end);
        w->end = now;
        w->ops++;
    }
    return NULL;
}

static struct row *new_row(struct run *r, const char *name)
{
    if (r->report->count == MAX_ROWS)
        abort();
    struct row *row = r->last = &r->report->rows[r->report->count++];
    snprintf(row->name, sizeof row->name, "%s%s", name, r->suffix);
    for (int c = 0; c < COLUMNS; c++)
        row->v[c] = NAN;
    return row;
}

/* Adds up the workers of a phase, from `w` on. */
static void fill_row(struct row *row, const struct worker *w, uint64_t start)
{
    struct histogram all = {0};
    uint64_t threads = or_one(w->phase->threads), ops = 0, end = start;
    double bytes = 0, errors = 0;
    for (const struct worker *stop = w + threads; w < stop; w++) {
        ops += w->ops * or_one(w->phase->items);
        bytes += (double)w->bytes;
        errors += (double)w->errors;
        end = w->end > end ? w->end : end;
        all.count += w->latency.count;
        for (size_t i = 0; i < COUNT(all.bucket); i++)
            all.bucket[i] += w->latency.bucket[i];
    }
    double *v = row->v;
    v[THREADS] = (double)threads;
    v[ENTRIES] = (double)ops;
    v[SECONDS] = (double)(end - start) / 1e9;
    v[RATE] = v[ENTRIES] / v[SECONDS] / 1e3;
    v[THROUGHPUT] = bytes / v[SECONDS] / 1e6;
    v[P50] = histogram_us(&all, 0.5);
    v[P99] = histogram_us(&all, 0.99);
    v[P999] = histogram_us(&all, 0.999);
    v[MAX] = histogram_us(&all, 1) / 1e3;
    v[ERRORS] = errors;
}

/* Runs phases side by side.  Figures of the process as a whole go to the last one's row. */
static void drive(struct run *r, const struct phase *phases, size_t count)
{
    struct worker *workers = calloc(MAX_THREADS, sizeof *workers), *end = workers, *w = workers;
    reset_peak_memory();
    double cpu = cpu_seconds();
    uint64_t written = bytes_written(), start = now_ns();
    for (const struct phase *p = phases; p < phases + count; p++)
        for (uint64_t id = 0; id < or_one(p->threads); id++, end++) {
            *end = (struct worker){.run = r,
                                   .phase = p,
                                   .id = id,
                                   .version = start,
                                   .deadline =
                                       p->seconds ? start + p->seconds * 1000000000u : UINT64_MAX};
            end->random = mix(opt.seed + (r->report->count << 8) + (uint64_t)(end - workers));
            end->room = malloc(MAX_BATCH * (MAX_KEY + opt.value + EXTENT_VALUE) + r->value_bytes);
            pthread_create(&end->thread, NULL, work, end);
        }
    for (w = workers; w < end; w++)
        pthread_join(w->thread, NULL);
    w = workers;
    for (const struct phase *p = phases; p < phases + count; w += or_one(p->threads), p++)
        fill_row(new_row(r, p->name), w, start);
    double *v = r->last->v, live = phases[count - 1].live_bytes;
    if (live > 0) {
        uint64_t flushing = now_ns();
        if (r->driver->flush)
            r->driver->flush(r->store);
        v[SETTLE] = (double)(now_ns() - flushing) / 1e9 + settle();
        v[DISK] = disk_usage(r->config.dir) / MIB;
        v[SPACE] = v[DISK] * MIB / live;
    }
    v[CPU] = (cpu_seconds() - cpu) * 1e6 / v[ENTRIES];
    v[WRITTEN] = (double)(bytes_written() - written) / MIB;
    if (live > 0)
        v[WRITE_AMP] = v[WRITTEN] * MIB / (v[THROUGHPUT] * v[SECONDS] * 1e6);
    v[MEMORY] = (peak_memory() - r->base_memory) / MIB;
    for (w = workers; w < end; w++) {
        free(w->room);
        free(w->value.data);
        free(w->old.data);
    }
    free(workers);
}

/* ---- operations ---- */

static void expect(struct worker *w, bool right)
{
    w->errors += !right && strcmp(w->run->driver->name, "null");
}

static int write_one(struct run *r, struct kv_op op, bool sync)
{
    const struct kv_driver *d = r->driver;
    if (op.kind == KV_PUT && d->put)
        return d->put(r->store, op.key, op.value, sync);
    if (op.kind == KV_DELETE_RANGE && d->delete_range)
        return d->delete_range(r->store, op.key, op.value, sync);
    return d->write_batch(r->store, &op, 1, sync);
}

static uint64_t pick(struct worker *w)
{
    if (w->phase->law)
        return permute(zipf_next(w->phase->law, &w->random), w->run->records);
    return random_below(&w->random, w->run->records);
}

static void put_record(struct worker *w, uint64_t index)
{
    struct run *r = w->run;
    struct kv_op op = {KV_PUT, r->key_of(w->key, index, false),
                       make_value(w->room, index, w->version, r->value_bytes)};
    expect(w, write_one(r, op, w->phase->sync || opt.sync) == KV_OK);
    w->bytes += op.key.len + op.value.len;
}

static void get_record(struct worker *w, uint64_t index, struct kv_snapshot *snapshot)
{
    struct run *r = w->run;
    bool absent = w->phase->absent;
    uint64_t stamp = mix(index + 1);
    struct kv_slice key = r->key_of(w->key, index, absent);
    int status = r->driver->get(r->store, snapshot, key, &w->value);
    expect(w, absent ? status == KV_NOT_FOUND
                     : status == KV_OK && w->value.len == r->value_bytes &&
                           !memcmp(w->value.data, &stamp, sizeof stamp));
    w->bytes += key.len + (status == KV_OK ? w->value.len : 0);
}

/* Reads, writes or both, as the phase says. */
static void op_record(struct worker *w, uint64_t i)
{
    const struct phase *p = w->phase;
    uint64_t index = p->order == IN_ORDER   ? i
                     : p->order == PERMUTED ? permute(i, w->run->records)
                                            : pick(w);
    bool read = p->percent && random_below(&w->random, 100) < p->percent;
    if (read || p->read_first)
        get_record(w, index, NULL);
    if (!read)
        put_record(w, index);
}

/* What a snapshot shows stays what it was before a write. */
static void op_snapshot(struct worker *w, uint64_t i)
{
    (void)i;
    const struct kv_driver *d = w->run->driver;
    uint64_t index = pick(w);
    get_record(w, index, NULL);
    kv_buf_set(&w->old, w->value.data, w->value.len);
    w->version++;
    struct kv_snapshot *snapshot = d->snapshot(w->run->store);
    put_record(w, index);
    get_record(w, index, snapshot);
    expect(w, !memcmp(w->value.data, w->old.data, w->old.len));
    d->release(w->run->store, snapshot);
}

static void op_put_batch(struct worker *w, uint64_t i)
{
    struct run *r = w->run;
    struct kv_op ops[MAX_BATCH];
    for (uint64_t j = 0; j < opt.batch; j++) {
        uint64_t index = permute(i * opt.batch + j, r->records);
        char *room = w->room + j * (MAX_KEY + r->value_bytes);
        ops[j] = (struct kv_op){KV_PUT, r->key_of((uint8_t *)room, index, false),
                                make_value(room + MAX_KEY, index, 0, r->value_bytes)};
        w->bytes += ops[j].key.len + ops[j].value.len;
    }
    expect(w, r->driver->write_batch(r->store, ops, opt.batch, opt.sync) == KV_OK);
}

struct tally {
    uint64_t seen, limit, bytes, first_inode;
};

static bool count_entry(void *arg, struct kv_slice key, struct kv_slice value)
{
    struct tally *t = arg;
    for (int i = 0; t->seen == 0 && i < 8; i++)
        t->first_inode = t->first_inode << 8 | ((const uint8_t *)key.data)[i];
    t->bytes += key.len + value.len;
    return ++t->seen < t->limit;
}

static struct tally scan(struct worker *w, struct kv_slice from, struct kv_slice to, uint64_t limit)
{
    struct tally t = {.limit = limit};
    expect(w, w->run->driver->scan(w->run->store, NULL, from, to, count_entry, &t) == KV_OK);
    w->bytes += t.bytes;
    return t;
}

static void op_list_directory(struct worker *w, uint64_t i)
{
    (void)i;
    uint64_t inode = random_below(&w->random, w->run->records / (NAMES_PER_DIRECTORY + 1));
    struct tally t = scan(w, key_prefix(w->key, inode, TYPE_NAME),
                          key_prefix(w->to, inode, TYPE_NAME + 1), UINT64_MAX);
    expect(w, t.seen == NAMES_PER_DIRECTORY);
}

/* The `i`th of the inodes that go: those that KEEP_EVERY does not divide. */
static uint64_t doomed_inode(uint64_t i)
{
    return i / (KEEP_EVERY - 1) * KEEP_EVERY + i % (KEEP_EVERY - 1) + 1;
}

static void op_load_extents(struct worker *w, uint64_t inode)
{
    struct kv_op ops[MAX_BATCH];
    for (uint64_t done = 0, n = 0; done < opt.range_extents; done += n) {
        for (n = 0; n < MAX_BATCH && done + n < opt.range_extents; n++) {
            char *room = w->room + n * (MAX_KEY + EXTENT_VALUE);
            ops[n] = (struct kv_op){KV_PUT, extent_key((uint8_t *)room, inode, (done + n) << 16),
                                    make_value(room + MAX_KEY, inode, done + n, EXTENT_VALUE)};
            w->bytes += ops[n].key.len + EXTENT_VALUE;
        }
        expect(w, w->run->driver->write_batch(w->run->store, ops, n, false) == KV_OK);
    }
}

static void op_delete_extents(struct worker *w, uint64_t i)
{
    uint64_t inode = doomed_inode(i);
    struct kv_op op = {KV_DELETE_RANGE, key_prefix(w->key, inode, TYPE_EXTENT),
                       key_prefix(w->to, inode, TYPE_EXTENT + 1)};
    expect(w, write_one(w->run, op, opt.sync) == KV_OK);
    w->bytes += op.key.len + op.value.len;
}

/* An extent of one of the first `records` deleted inodes, or of a live one near by. */
static void op_get_extent(struct worker *w, uint64_t i)
{
    (void)i;
    bool absent = w->phase->absent;
    uint64_t inode = doomed_inode(pick(w));
    struct kv_slice key = extent_key(w->key, absent ? inode : inode / KEEP_EVERY * KEEP_EVERY,
                                     random_below(&w->random, opt.range_extents) << 16);
    int status = w->run->driver->get(w->run->store, NULL, key, &w->value);
    expect(w, status == (absent ? KV_NOT_FOUND : KV_OK));
    w->bytes += key.len;
}

static void op_delete_then_get(struct worker *w, uint64_t i)
{
    op_delete_extents(w, i);
    op_get_extent(w, i);
}

/* From inside deleted extents on to the first ten live ones. */
static void op_scan_across(struct worker *w, uint64_t i)
{
    (void)i;
    uint64_t inode = doomed_inode(pick(w));
    struct tally t = scan(w, key_prefix(w->key, inode, TYPE_EXTENT), (struct kv_slice){0}, 10);
    expect(w, t.first_inode == (inode / KEEP_EVERY + 1) * KEEP_EVERY);
}

static void op_scan_all(struct worker *w, uint64_t i)
{
    (void)i;
    struct tally t = scan(w, key_prefix(w->key, 0, 0), (struct kv_slice){0}, UINT64_MAX);
    expect(w, t.seen == w->phase->items);
}

/* ---- workloads ---- */

enum {
    FRESH = 1,
    COLD = 2,
    BLOBS = 4,
    UNOPENED = 8,
    ABSENT = 16,
    BATCHED = 32,
    LISTING = 64,
    SHUFFLED = 128
};

struct workload {
    const char *name, *dir;     /* workloads of one dir share its store */
    op_fn *op;                  /* the only phase's */
    void (*run)(struct run *r); /* or what runs several */
    unsigned flags;
    const char *what;
};

static double record_bytes(struct run *r)
{
    uint8_t key[MAX_KEY];
    double total = (double)(r->records * r->value_bytes);
    for (uint64_t i = 0; i < r->records; i++)
        total += (double)r->key_of(key, i, false).len;
    return total;
}

/* Fills write each record once; others read, within a limit of time. */
static void run_plain(struct run *r)
{
    unsigned flags = r->workload->flags;
    struct kv_stats before = {0}, after = {0};
    struct phase p = {.name = r->workload->name,
                      .op = r->workload->op,
                      .threads = opt.threads,
                      .ops = opt.reads,
                      .seconds = opt.seconds,
                      .absent = flags & ABSENT,
                      .percent = 100};
    p.items = flags & BATCHED ? opt.batch : flags & LISTING ? NAMES_PER_DIRECTORY : 1;
    if (flags & FRESH) {
        p.ops = r->records / p.items;
        p.order = flags & SHUFFLED ? PERMUTED : IN_ORDER;
        p.percent = p.seconds = 0;
        p.live_bytes = record_bytes(r);
    } else if (flags & COLD) {
        p.ops = COLD_READS;
    } else if (flags & BLOBS) {
        p.ops = r->records;
    }
    bool known = p.absent && r->driver->stats && r->driver->stats(r->store, &before) == KV_OK;
    drive(r, &p, 1);
    if (known && r->driver->stats(r->store, &after) == KV_OK) {
        double stopped = (double)(after.filter_negatives - before.filter_negatives);
        double passed = (double)(after.filter_false_positives - before.filter_false_positives);
        snprintf(r->last->note, sizeof r->last->note, "false positives %.3f%% of %.0f probes",
                 100 * passed / (passed + stopped), passed + stopped);
    } else if (flags & COLD) {
        snprintf(r->last->note, sizeof r->last->note, "open %.0f ms", r->open_ms);
    }
}

/* As much of the key space as fills half the cache, read once before. */
static void run_readhot(struct run *r)
{
    uint64_t hot = opt.config.cache_bytes / (2 * (r->value_bytes + MAX_KEY));
    r->records = hot < r->records ? hot : r->records;
    struct worker w = {.run = r, .phase = &(struct phase){.name = ""}};
    for (uint64_t i = 0; i < r->records; i++)
        get_record(&w, i, NULL);
    free(w.value.data);
    run_plain(r);
}

static void run_overwrite(struct run *r)
{
    struct zipf law = zipf_make(r->records, 0.99);
    struct phase p = {.name = "over-uniform",
                      .op = op_record,
                      .ops = r->records,
                      .threads = opt.threads,
                      .live_bytes = record_bytes(r)};
    drive(r, &p, 1);
    p.name = "over-zipf";
    p.law = &law;
    drive(r, &p, 1);
}

static void run_mixed(struct run *r)
{
    struct zipf law = zipf_make(r->records, 0.99);
    struct phase mixes[] = {{.name = "ycsb-a", .percent = 50},
                            {.name = "ycsb-b", .percent = 95},
                            {.name = "ycsb-c", .percent = 100},
                            {.name = "ycsb-f", .percent = 50, .read_first = true}};
    for (size_t i = 0; i < COUNT(mixes); i++) {
        mixes[i].op = op_record;
        mixes[i].law = &law;
        mixes[i].ops = opt.reads;
        mixes[i].threads = opt.threads;
        mixes[i].seconds = opt.seconds;
        drive(r, &mixes[i], 1);
    }
}

static void run_readwhilewriting(struct run *r)
{
    const struct phase both[] = {
        {.name = "rww-read", .op = op_record, .percent = 100, .seconds = 10},
        {.name = "rww-write", .op = op_record, .seconds = 10},
    };
    drive(r, both, COUNT(both));
}

static void run_sync(struct run *r)
{
    for (unsigned threads = 1; threads <= 8; threads = threads == 1 ? 2 : threads * 4)
        drive(r,
              &(struct phase){.name = "sync-write",
                              .op = op_record,
                              .sync = true,
                              .threads = threads,
                              .seconds = 5},
              1);
}

/* Rows "1" see the range tombstones fresh in memory, rows "2" after a flush and settling. */
static void run_deleterange(struct run *r)
{
    uint64_t half = opt.range_inodes / 2 / (KEEP_EVERY - 1) * (KEEP_EVERY - 1), gone = 2 * half;
    uint64_t extents = opt.range_extents;
    uint64_t inodes = (doomed_inode(gone - 1) / KEEP_EVERY + 1) * KEEP_EVERY + 1;
    double each = (double)extents * (16 + EXTENT_VALUE), live = (double)(inodes - gone) * each;
    r->records = half;
    const struct phase first[] = {
        {.name = "range-load",
         .op = op_load_extents,
         .ops = inodes,
         .items = extents,
         .live_bytes = (double)inodes * each},
        {.name = "range-delete", .op = op_delete_extents, .ops = half},
        {.name = "get-deleted-1",
         .op = op_get_extent,
         .absent = true,
         .ops = 200000,
         .seconds = 10},
        {.name = "get-live-1", .op = op_get_extent, .ops = 200000, .seconds = 10},
        {.name = "scan-across-1", .op = op_scan_across, .items = 10, .ops = 20000, .seconds = 10},
        {.name = "delete+get",
         .op = op_delete_then_get,
         .ops = gone - half,
         .first = half,
         .absent = true,
         .live_bytes = live},
    };
    for (size_t i = 0; i < COUNT(first); i++)
        drive(r, &first[i], 1);
    r->last->v[WRITE_AMP] = NAN; /* of deletes it says nothing */
    struct phase second[] = {
        first[2],
        first[3],
        first[4],
        {.name = "scan-all-2", .op = op_scan_all, .ops = 1, .items = (inodes - gone) * extents}};
    second[0].name = "get-deleted-2";
    second[1].name = "get-live-2";
    second[2].name = "scan-across-2";
    r->records = gone;
    for (size_t i = 0; i < COUNT(second); i++)
        drive(r, &second[i], 1);
}

/* A child writes into a log that it never gets to flush, and dies; then the store is opened. */
static void run_recovery(struct run *r)
{
    struct worker w = {.run = r, .phase = &(struct phase){.name = ""}};
    r->records = opt.recovery_bytes / (r->value_bytes + 28);
    if (fork() == 0) {
        w.room = malloc(r->value_bytes);
        r->config.memtable_bytes = 8 * opt.recovery_bytes;
        r->store = r->driver->open(&r->config);
        for (uint64_t i = 0; r->store && i < r->records; i++)
            put_record(&w, permute(i, r->records));
        kill(getpid(), SIGKILL);
    }
    wait(NULL);
    double *v = new_row(r, "recovery")->v, cpu = cpu_seconds();
    v[DISK] = disk_usage(r->config.dir) / MIB;
    reset_peak_memory();
    uint64_t start = now_ns(), written = bytes_written();
    r->store = r->driver->open(&r->config);
    v[SECONDS] = (double)(now_ns() - start) / 1e9;
    v[MEMORY] = (peak_memory() - r->base_memory) / MIB;
    v[WRITTEN] = (double)(bytes_written() - written) / MIB;
    v[ENTRIES] = (double)r->records;
    v[RATE] = v[ENTRIES] / v[SECONDS] / 1e3;
    v[THROUGHPUT] = record_bytes(r) / v[SECONDS] / 1e6;
    v[CPU] = (cpu_seconds() - cpu) * 1e6 / v[ENTRIES];
    for (uint64_t i = 0; r->store && i < r->records; i++)
        get_record(&w, i, NULL);
    snprintf(r->last->note, sizeof r->last->note, "lost %llu", (unsigned long long)w.errors);
}

static const struct workload workloads[] = {
    {"fillseq", "seq", op_record, 0, FRESH, "small records in key order"},
    {"fillbatch", "batch", op_put_batch, 0, FRESH | BATCHED, "random order, --batch at a time"},
    {"fillrandom", "small", op_record, 0, FRESH | SHUFFLED, "random order, one at a time"},
    {"readhot", "small", op_record, run_readhot, 0, "random reads of what the cache holds"},
    {"readrandom", "small", op_record, 0, 0, "random reads of everything"},
    {"readcold", "small", op_record, 0, COLD, "the same with nothing cached"},
    {"readmissing", "small", op_record, 0, ABSENT, "reads of absent keys"},
    {"scan", "small", op_list_directory, 0, LISTING, "the 100 names of a random directory"},
    {"mixed", "small", 0, run_mixed, 0, "YCSB A, B, C and F; zipfian 0.99"},
    {"rww", "small", 0, run_readwhilewriting, 0, "one reader beside one writer"},
    {"overwrite", "small", 0, run_overwrite, 0, "uniform, then zipfian 0.99"},
    {"sync", "small", 0, run_sync, 0, "each write synced; 1, 2 and 8 threads"},
    {"snapshot", "small", op_snapshot, 0, 0, "get, snapshot, put, get the old value"},
    {"deleterange", "range", 0, run_deleterange, FRESH, "inodes' extents; reads across them"},
    {"blobfill", "blob", op_record, 0, FRESH | BLOBS, "large values in key order"},
    {"blobread", "blob", op_record, 0, BLOBS, "random reads of large values"},
    {"blobcold", "blob", op_record, 0, BLOBS | COLD, "the same with nothing cached"},
    {"blobover", "blob", 0, run_overwrite, BLOBS, "overwrites, uniform, then zipfian 0.99"},
    {"recovery", "recovery", 0, run_recovery, FRESH | UNOPENED, "open after a kill"},
};

static uint64_t parse_number(const char *text, const char **end)
{
    static const char units[] = "KMG";
    double value = strtod(text, (char **)end);
    const char *unit = **end ? strchr(units, **end) : NULL;
    if (unit)
        ++*end;
    return (uint64_t)(value * (double)(1ull << (unit ? 10 * (unit - units + 1) : 0)));
}

static void run_in_child(const struct workload *w, size_t blob_bytes, struct report *report)
{
    char dir[4096];
    struct run r = {.driver = NULL,
                    .workload = w,
                    .config = opt.config,
                    .report = report,
                    .key_of = blob_bytes ? blob_key : record_key,
                    .records = blob_bytes ? opt.blob_bytes / blob_bytes : opt.entries,
                    .value_bytes = blob_bytes ? blob_bytes : opt.value};
    for (size_t i = 0; i < COUNT(engines); i++)
        if (!strcmp(engines[i]->name, opt.engine))
            r.driver = engines[i];
    if (blob_bytes)
        snprintf(r.suffix, sizeof r.suffix, "-%zuk", blob_bytes >> 10);
    snprintf(dir, sizeof dir, "%s/%s%s", opt.dir, w->dir, r.suffix);
    r.config.dir = dir;
    r.config.want_stats = w->flags & ABSENT;
    if (w->flags & FRESH)
        nftw(dir, remove_path, 16, FTW_DEPTH | FTW_PHYS);
    if (w->flags & COLD)
        nftw(dir, drop_cached, 16, FTW_PHYS);
    mkdir(opt.dir, 0755);
    mkdir(dir, 0755);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        r.base_memory = peak_memory();
        uint64_t start = now_ns();
        if (!(w->flags & UNOPENED) && !(r.store = r.driver->open(&r.config)))
            _exit(1);
        r.open_ms = (double)(now_ns() - start) / 1e6;
        w->run ? w->run(&r) : run_plain(&r);
        if (r.store)
            r.driver->close(r.store);
        _exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) < 0 || status)
        fprintf(stderr, "%s: %s ended badly (%d)\n", opt.engine, w->name, status);
}

/* ---- output and command line ---- */

static void print_row(const struct row *row)
{
    printf("%-18s", row ? row->name : opt.label);
    for (int c = 0; c < COLUMNS; c++)
        if (!row)
            printf(" %*s", columns[c].width, columns[c].name);
        else if (isnan(row->v[c]))
            printf(" %*s", columns[c].width, "-");
        else
            printf(" %*.*f", columns[c].width, columns[c].digits, row->v[c]);
    printf("  %s\n", row ? row->note : "note");
    fflush(stdout);
}

static void write_json(const struct report *report)
{
    FILE *f = fopen(opt.json, "w");
    if (!f) {
        perror(opt.json);
        return;
    }
    fprintf(f, "{\"engine\":\"%s\",\"label\":\"%s\",\"rows\":[", opt.engine, opt.label);
    for (const struct row *row = report->rows; row < report->rows + report->count; row++) {
        fprintf(f, "%s\n{\"workload\":\"%s\",\"note\":\"%s\"", row > report->rows ? "," : "",
                row->name, row->note);
        for (int c = 0; c < COLUMNS; c++)
            if (!isnan(row->v[c]))
                fprintf(f, ",\"%s\":%.6g", columns[c].name, row->v[c]);
        fputs("}", f);
    }
    fputs("\n]}\n", f);
    fclose(f);
}

static const struct option {
    const char *name;
    enum { NUMBER, TEXT, FLAG } kind;
    void *at;
    const char *help;
} options[] = {
    {"--engine", TEXT, &opt.engine, "which engine"},
    {"--dir", TEXT, &opt.dir, "directory for the stores"},
    {"--workloads", TEXT, &opt.workloads, "which ones, as A,B,.. (all)"},
    {"--entries", NUMBER, &opt.entries, "small records"},
    {"--value", NUMBER, &opt.value, "bytes of a small record's value"},
    {"--reads", NUMBER, &opt.reads, "operations of a reading workload at most"},
    {"--seconds", NUMBER, &opt.seconds, "seconds of a reading workload at most"},
    {"--threads", NUMBER, &opt.threads, "threads where the workload does not say"},
    {"--batch", NUMBER, &opt.batch, "records in a batch of fillbatch"},
    {"--sync", FLAG, &opt.sync, "sync each write"},
    {"--codec", TEXT, &opt.config.codec, "none, lz4 or zstd"},
    {"--level", NUMBER, &opt.config.level, "of zstd"},
    {"--memtable", NUMBER, &opt.config.memtable_bytes, "bytes of all write buffers together"},
    {"--cache", NUMBER, &opt.config.cache_bytes, "bytes of the engine's read cache"},
    {"--block", NUMBER, &opt.config.block_bytes, "bytes of a table block"},
    {"--filter-bits", NUMBER, &opt.config.filter_bits, "per key"},
    {"--ribbon", FLAG, &opt.config.ribbon, "ribbon filter in place of bloom"},
    {"--jobs", NUMBER, &opt.config.jobs, "background threads"},
    {"--blob-min", NUMBER, &opt.config.blob_min, "separate values from this size on; 0: never"},
    {"--blob-bytes", NUMBER, &opt.blob_bytes, "bytes of large values, for each size"},
    {"--blob-sizes", TEXT, &opt.blob_sizes, "sizes of large values"},
    {"--range-inodes", NUMBER, &opt.range_inodes, "inodes whose extents get deleted"},
    {"--range-extents", NUMBER, &opt.range_extents, "extents of each"},
    {"--recovery-bytes", NUMBER, &opt.recovery_bytes, "bytes of log to recover"},
    {"--seed", NUMBER, &opt.seed, "of everything random"},
    {"--label", TEXT, &opt.label, "heading of the table"},
    {"--json", TEXT, &opt.json, "file for the figures"},
};

static int usage(void)
{
    printf("usage: kvbench --engine NAME --dir DIR [options]; engines:");
    for (size_t i = 0; i < COUNT(engines); i++)
        printf(" %s", engines[i]->name);
    puts("\n\noptions (numbers take K, M, G):");
    for (const struct option *o = options; o < options + COUNT(options); o++) {
        printf("  %-17s %s", o->name, o->help);
        if (o->kind == NUMBER)
            printf(" (%llu)", (unsigned long long)*(uint64_t *)o->at);
        else if (o->kind == TEXT && *(const char **)o->at)
            printf(" (%s)", *(const char **)o->at);
        putchar('\n');
    }
    puts("  --dump-text       only write 16M of the text that values are made of\n\n"
         "workloads, in this order; those of one store build on the one that fills it:");
    for (const struct workload *w = workloads; w < workloads + COUNT(workloads); w++)
        printf("  %-12s %-9s %s\n", w->name, w->dir, w->what);
    return 2;
}

static bool parse_options(char **argv)
{
    for (const struct option *o; *argv; argv++) {
        for (o = options; o < options + COUNT(options) && strcmp(o->name, *argv); o++)
            ;
        if (o == options + COUNT(options) || (o->kind != FLAG && !argv[1]))
            return false;
        const char *end = "";
        if (o->kind == FLAG)
            *(bool *)o->at = true;
        else if (o->kind == TEXT)
            *(const char **)o->at = *++argv;
        else
            *(uint64_t *)o->at = parse_number(*++argv, &end);
        if (*end)
            return false;
    }
    bool known = false;
    for (size_t i = 0; opt.engine && i < COUNT(engines); i++)
        known |= !strcmp(engines[i]->name, opt.engine);
    return known && opt.dir && opt.batch >= 1 && opt.batch <= MAX_BATCH && opt.threads >= 1 &&
           opt.threads <= MAX_THREADS && opt.value >= 16 && opt.value <= POOL_BYTES / 2 &&
           opt.entries >= 1000 && opt.range_inodes >= 20;
}

static bool selected(const char *name)
{
    size_t len = strlen(name);
    for (const char *at = opt.workloads; at && *at; at += strcspn(at, ","), at += *at == ',')
        if (!strncmp(at, name, len) && strcspn(at, ",") == len)
            return true;
    return !opt.workloads;
}

int main(int argc, char **argv)
{
    pool_init();
    if (argc == 2 && !strcmp(argv[1], "--dump-text"))
        return fwrite(pool, 1, POOL_BYTES, stdout) != POOL_BYTES;
    if (!parse_options(argv + 1))
        return usage();
    if (!opt.label)
        opt.label = opt.engine;
    struct report *report =
        mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    print_row(NULL);
    unsigned shown = 0;
    for (const struct workload *w = workloads; w < workloads + COUNT(workloads); w++) {
        const char *at = opt.blob_sizes;
        do {
            size_t blob_bytes = w->flags & BLOBS ? parse_number(at, &at) : 0;
            if (selected(w->name))
                run_in_child(w, blob_bytes, report);
            for (; shown < report->count; shown++)
                print_row(&report->rows[shown]);
        } while (w->flags & BLOBS && *at++ == ',');
    }
    if (opt.json)
        write_json(report);
    return 0;
}
