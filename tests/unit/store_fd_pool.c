/* fd_pool: few descriptors for many files: the limit, pins, second chance, files that went away,
 * many threads. Through env_posix where that can show it. */
#include "store/fd_pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "tests/sim/simrng.h"
#include "tests/unit/env_place.h"
#include "tests/unit/logged.h"

enum { FILES = 40 };

/* Descriptors that this process has. */
static int descriptors(void)
{
    int count = -3; /* ".", "..", and the one that looks */
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static const char *numbered(struct place *p, int i)
{
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    return in(p, name);
}

static void make_files(struct place *p)
{
    for (int i = 0; i < FILES; i++)
        file_make(p->env, numbered(p, i), numbered(p, i));
}

static void open_files(struct place *p, struct fd_pool_file *files, int count)
{
    for (int i = 0; i < count; i++)
        assert_ok(fd_pool_open(&files[i], numbered(p, i)));
}

static void close_files(struct fd_pool_file *files, int count)
{
    for (int i = 0; i < count; i++)
        fd_pool_close(&files[i]);
}

/* The limit is the process's: each test leaves it as it was. */
static int leave(void **state)
{
    assert_int_equal(fd_pool_count(), 0);
    return place_leave(state);
}

static void test_limit_at_the_start(void **state)
{
    (void)state;
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = 64; /* the pool has not been used yet */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
    size_t limit = fd_pool_limit();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    assert_int_equal(r.rlim_cur, r.rlim_max);
    assert_true(limit >= 1 && limit <= FD_POOL_LIMIT_MAX);
    assert_true(limit <= r.rlim_cur / 2);
}

static void test_more_files_than_descriptors(void **state)
{
    struct place *p = *state;
    struct env_file *files[FILES];
    int before = descriptors();
    size_t limit = fd_pool_limit();
    make_files(p);
    fd_pool_set_limit(3);
    for (int i = 0; i < FILES; i++) {
        files[i] = file_open(p->env, numbered(p, i), ENV_OPEN_READ);
        assert_true(fd_pool_count() <= 3);
    }
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < FILES; i++) {
            file_assert(files[i], numbered(p, i));
            assert_ok(files[i]->ops->sync(files[i]));
            assert_true(fd_pool_count() <= 3);
        }
    assert_int_equal(descriptors(), before + 3);
    for (int i = 0; i < FILES; i++)
        files[i]->ops->close(files[i]);
    assert_int_equal(descriptors(), before);
    fd_pool_set_limit(limit);
}

static void test_pins_go_over_the_limit(void **state)
{
    struct place *p = *state;
    struct fd_pool_file files[8];
    int fd[8], again;
    size_t limit = fd_pool_limit();
    make_files(p);
    fd_pool_set_limit(2);
    open_files(p, files, 8);
    for (int i = 0; i < 5; i++)
        assert_ok(fd_pool_pin(&files[i], &fd[i]));
    assert_int_equal(fd_pool_count(), 5);
    assert_ok(fd_pool_pin(&files[0], &again)); /* pins nest, and keep the descriptor */
    assert_int_equal(again, fd[0]);
    fd_pool_unpin(&files[0]);
    assert_ok(fd_pool_pin(&files[7], &fd[7]));
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            assert_int_not_equal(fd[i], fd[j]);
    for (int i = 0; i < 5; i++)
        fd_pool_unpin(&files[i]);
    assert_ok(fd_pool_pin(&files[6], &fd[6]));
    assert_int_equal(fd_pool_count(), 2); /* 6, 7 */
    fd_pool_unpin(&files[6]);
    fd_pool_unpin(&files[7]);
    fd_pool_set_limit(0); /* means one */
    assert_int_equal(fd_pool_count(), 1);
    close_files(files, 8);
    fd_pool_set_limit(limit);
}

/* A file that is read again and again keeps its descriptor while others come and go: it can be told
 * from the number, as its path no longer leads to it. */
static void test_second_chance(void **state)
{
    struct place *p = *state;
    struct fd_pool_file files[FILES];
    int hot, fd;
    size_t limit = fd_pool_limit();
    make_files(p);
    fd_pool_set_limit(4);
    open_files(p, files, FILES);
    assert_ok(fd_pool_pin(&files[0], &hot));
    fd_pool_unpin(&files[0]);
    assert_ok(p->env->remove(p->env, numbered(p, 0)));
    for (int i = 1; i < FILES; i++) {
        assert_ok(fd_pool_pin(&files[i], &fd));
        fd_pool_unpin(&files[i]);
        assert_ok(fd_pool_pin(&files[0], &fd));
        fd_pool_unpin(&files[0]);
        assert_int_equal(fd, hot);
    }
    close_files(files, FILES);
    fd_pool_set_limit(limit);
}

static void test_gone_or_replaced(void **state)
{
    struct place *p = *state;
    struct fd_pool_file files[4];
    int fd;
    size_t limit = fd_pool_limit();
    make_files(p);
    fd_pool_set_limit(1);
    open_files(p, files, 4); /* only the last has a descriptor */
    assert_ok(p->env->remove(p->env, numbered(p, 0)));
    file_make(p->env, in(p, "spare"), "another");
    assert_ok(p->env->rename(p->env, in(p, "spare"), numbered(p, 1)));
    logged_reset();
    assert_errno(fd_pool_pin(&files[0], &fd), EIO);
    assert_logged("removed");
    assert_errno(fd_pool_pin(&files[1], &fd), EIO);
    assert_logged("replaced");
    assert_int_equal(fd, -1);
    log_set_sink(NULL, NULL);
    assert_ok(fd_pool_pin(&files[2], &fd));
    fd_pool_unpin(&files[2]);
    struct env_file *f;
    assert_errno(p->env->open(p->env, in(p, "none"), ENV_OPEN_READ, &f), ENOENT);
    close_files(files, 4);
    fd_pool_set_limit(limit);
}

/* Other parts of the process have used up the descriptors: the pool gives up its own. */
static void test_system_has_no_more(void **state)
{
    struct place *p = *state;
    struct fd_pool_file files[FILES];
    struct rlimit before, low;
    make_files(p);
    assert_true(fd_pool_limit() > FILES);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int first_free = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(first_free);
    low = (struct rlimit){(rlim_t)first_free + 8, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    open_files(p, files, FILES);
    assert_true(fd_pool_count() <= 8);
    for (int i = 0; i < FILES; i++) {
        struct env_file *f = file_open(p->env, numbered(p, i), ENV_OPEN_WRITE);
        file_assert(f, numbered(p, i));
        f->ops->close(f);
        file_assert_at(p->env, numbered(p, i), numbered(p, i));
    }
    assert_ok(p->env->sync_dir(p->env, p->folder));
    close_files(files, FILES);
    struct env_file *own[16];
    int count = 0;
    while (count < 16 && !p->env->open(p->env, numbered(p, count), ENV_OPEN_WRITE, &own[count]))
        count++;
    assert_true(count < 16);
    assert_errno(p->env->open(p->env, numbered(p, 0), ENV_OPEN_READ, &own[count]), EMFILE);
    while (count-- > 0)
        own[count]->ops->close(own[count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

struct readers {
    struct place *place;
    struct env_file **files;
    uint64_t seed;
    int wrong; /* written by its own thread, read after the join */
};

static void read_at_random(void *arg)
{
    struct readers *r = arg;
    struct simrng rng = {r->seed};
    char text[512], expected[512];
    for (int step = 0; step < 3000; step++) {
        int i = (int)simrng_below(&rng, FILES);
        size_t got = 0;
        snprintf(expected, sizeof expected, "%s/%d", r->place->folder, i);
        int err = r->files[i]->ops->read(r->files[i], 0, text, sizeof text, &got);
        r->wrong += err || got != strlen(expected) || memcmp(text, expected, got) != 0;
    }
}

static void test_many_threads(void **state)
{
    enum { THREADS = 6 };
    struct place *p = *state;
    struct env_file *files[FILES];
    struct readers readers[THREADS];
    struct env_thread *threads[THREADS];
    size_t limit = fd_pool_limit();
    make_files(p);
    fd_pool_set_limit(5);
    for (int i = 0; i < FILES; i++)
        files[i] = file_open(p->env, numbered(p, i), ENV_OPEN_READ);
    for (int i = 0; i < THREADS; i++) {
        readers[i] = (struct readers){p, files, (uint64_t)i, 0};
        assert_ok(p->env->thread_start(p->env, read_at_random, &readers[i], &threads[i]));
    }
    for (int i = 0; i < THREADS; i++)
        p->env->thread_join(p->env, threads[i]);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(readers[i].wrong, 0);
    assert_true(fd_pool_count() <= THREADS);
    for (int i = 0; i < FILES; i++)
        files[i]->ops->close(files[i]);
    fd_pool_set_limit(limit);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, place_posix, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_at_the_start),
        IN_PLACE(test_more_files_than_descriptors),
        IN_PLACE(test_pins_go_over_the_limit),
        IN_PLACE(test_second_chance),
        IN_PLACE(test_gone_or_replaced),
        IN_PLACE(test_system_has_no_more),
        IN_PLACE(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
