/*
 * fsbench-ops POOLFILE OP ARGS... - the timed loops of fsbench.
 *
 * One process runs one operation and prints how many seconds the measured
 * part took and how many operations that were.  A failed call, a short
 * transfer or a wrong byte ends it with a message and exit status 1.
 *
 * File data are slices of the pool, so that writing costs no copy and any
 * process can check what another wrote: file f is made of 1 MiB chunks, and
 * its chunk c is slice(f << 20 | c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 20)
#define BLOCK ((size_t)4096)

static char *pool, **arg;
static size_t pool_size;
static const char *path; /* the first argument of every operation */
static double start;

static void need(int ok, const char *what, const char *which)
{
    if (!ok) {
        fprintf(stderr, "%s %s: %s\n", what, which,
                errno ? strerror(errno) : "not as it should be");
        exit(1);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void report(long ops)
{
    printf("sec %.9f\nops %ld\n", now() - start, ops);
}

static uint64_t mix(uint64_t x) /* splitmix64 */
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static const char *slice(uint64_t id)
{
    return pool + (mix(id) % (pool_size - CHUNK) & ~(uint64_t)63);
}

static int xopen(const char *p, int flags)
{
    int fd = open(p, flags | O_CLOEXEC, 0644);
    need(fd >= 0, "open", p);
    return fd;
}

static void xwrite(int fd, uint64_t id, size_t len, off_t off)
{
    errno = 0;
    need(pwrite(fd, slice(id), len, off) == (ssize_t)len, "write to", path);
}

static void xread(int fd, char *to, const char *want, size_t len, off_t off)
{
    errno = 0;
    need(pread(fd, to, len, off) == (ssize_t)len && !memcmp(to, want, len), "read from", path);
}

static void in_threads(long n, void *(*fn)(void *))
{
    pthread_t th[16];
    for (long i = 0; i < n; i++)
        need(!pthread_create(&th[i], NULL, fn, (void *)i), "pthread_create for", path);
    for (long i = 0; i < n; i++)
        pthread_join(th[i], NULL);
}

/* ---- a tree of small files: DIR/dNNN/fNNNNNN; arguments DIR N PERDIR SIZE ---- */

static long nfiles, perdir, fsize, nthreads;

static void name(char *to, long dir, int kind, long i)
{
    sprintf(to, "%s/d%03ld/%c%06ld", path, dir, kind, i);
}

static void *create_thread(void *which)
{
    char p[4096];
    for (long d = (long)which; d * perdir < nfiles; d += nthreads) {
        sprintf(p, "%s/d%03ld", path, d);
        need(!mkdir(p, 0755), "mkdir", p);
        for (long i = d * perdir; i < nfiles && i < (d + 1) * perdir; i++) {
            name(p, d, 'f', i);
            int fd = xopen(p, O_WRONLY | O_CREAT | O_EXCL);
            if (fsize)
                xwrite(fd, i << 20, fsize, 0);
            need(!close(fd), "close", p);
        }
    }
    return NULL;
}

static void op_create(void) /* ... THREADS */
{
    nthreads = atol(arg[4]);
    need(!mkdir(path, 0755), "mkdir", path);
    in_threads(nthreads, create_thread);
    report(nfiles);
}

static void op_stat(void) /* ... MINSEC: jumping about; whole passes until MINSEC is over */
{
    char p[4096];
    struct stat st;
    long ops = 0;
    do {
        for (long i = 0; i < nfiles; i++, ops++) {
            long k = i * 7919 % nfiles;
            name(p, k / perdir, 'f', k);
            errno = 0;
            need(!lstat(p, &st) && st.st_size == fsize, "lstat", p);
        }
    } while (now() - start < atof(arg[4]));
    report(ops);
}

static long seen;

static int visit(const char *p, const struct stat *st, int type, struct FTW *at)
{
    (void)at;
    errno = 0;
    need(type == FTW_D || (type == FTW_F && st->st_size == fsize), "walk at", p);
    seen += type == FTW_F;
    return 0;
}

static void op_walk(void) /* ... MINSEC: readdir and lstat of everything, as often */
{
    long passes = 0;
    do {
        seen = errno = 0;
        need(!nftw(path, visit, 64, FTW_PHYS) && seen == nfiles, "walk of", path);
        passes++;
    } while (now() - start < atof(arg[4]));
    report(passes * nfiles);
}

static void op_readfiles(void)
{
    char p[4096], to[65536];
    for (long i = 0; i < nfiles; i++) {
        name(p, i / perdir, 'f', i);
        int fd = xopen(p, O_RDONLY);
        xread(fd, to, slice(i << 20), fsize, 0);
        close(fd);
    }
    report(nfiles);
}

static void op_rename(void) /* every fourth file moves to another directory */
{
    char from[4096], to[4096];
    for (long i = 0; i < nfiles; i++) {
        name(from, i / perdir, 'f', i);
        name(to, (i % 4 ? i : nfiles - 1 - i) / perdir, 'r', i);
        need(!rename(from, to), "rename", from);
    }
    report(nfiles);
}

/* ---- one large file; arguments FILE BYTES ... ---- */

static size_t size;
static long count;

static void op_write(void) /* 1 MiB at a time, then fsync */
{
    int fd = xopen(path, O_WRONLY | O_CREAT | O_TRUNC);
    for (size_t off = 0; off < size; off += CHUNK)
        xwrite(fd, off / CHUNK, CHUNK, off);
    need(!fsync(fd), "fsync", path);
    report(size / CHUNK);
}

static void op_read(void)
{
    char *to = malloc(CHUNK);
    int fd = xopen(path, O_RDONLY);
    for (size_t off = 0; off < size; off += CHUNK)
        xread(fd, to, slice(off / CHUNK), CHUNK, off);
    report(size / CHUNK);
}

static void *randread_thread(void *which)
{
    char to[BLOCK];
    int fd = xopen(path, O_RDONLY);
    for (long i = 0; i < count; i++) {
        off_t off = mix((uint64_t)which << 32 | i) % (size / BLOCK) * BLOCK;
        xread(fd, to, slice(off / CHUNK) + off % CHUNK, BLOCK, off);
    }
    return NULL;
}

static void op_randread(void) /* ... N THREADS */
{
    nthreads = atol(arg[3]);
    count = atol(arg[2]) / nthreads;
    in_threads(nthreads, randread_thread);
    report(count * nthreads);
}

static void op_randwrite(void) /* ... N, then one fsync */
{
    int fd = xopen(path, O_WRONLY);
    count = atol(arg[2]);
    for (long i = 0; i < count; i++)
        xwrite(fd, 1u << 31 | i, BLOCK, mix(i) % (size / BLOCK) * BLOCK);
    need(!fsync(fd), "fsync", path);
    report(count);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int args;
        void (*run)(void);
    } ops[] = {
        {"create", 5, op_create},       {"stat", 5, op_stat},
        {"walk", 5, op_walk},           {"readfiles", 4, op_readfiles},
        {"rename", 4, op_rename},       {"write", 2, op_write},
        {"read", 2, op_read},           {"randread", 4, op_randread},
        {"randwrite", 3, op_randwrite},
    };
    for (size_t i = 0; argc > 2 && i < sizeof ops / sizeof *ops; i++) {
        if (strcmp(argv[2], ops[i].name) || argc - 3 != ops[i].args)
            continue;
        int fd = xopen(argv[1], O_RDONLY);
        pool_size = lseek(fd, 0, SEEK_END);
        pool = malloc(pool_size);
        need(pool && pread(fd, pool, pool_size, 0) == (ssize_t)pool_size, "read", argv[1]);
        arg = argv + 3;
        path = arg[0], nfiles = size = atol(arg[1]);
        if (argc > 6)
            perdir = atol(arg[2]), fsize = atol(arg[3]);
        start = now();
        ops[i].run();
        return 0;
    }
    fprintf(stderr, "fsbench-ops: unknown operation or wrong number of arguments\n");
    return 2;
}
