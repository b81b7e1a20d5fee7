/* The workers, on a socket that plays the kernel: nothing is lost when they are woken,
 * session_quiesce() waits for all that was read, and they end when told to. */
#include "mount/session.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/unit.h"

enum { WORKERS = 6, ALL_TOGETHER = 1 << 20 };

struct stage {
    struct fuse_session *fuse;
    struct session *session;
    int kernel; /* our end */
    pthread_t drainer;
    pthread_barrier_t together;
    uint64_t unique;
    uint64_t sent;
    uint64_t done; /* atomic: requests handled */
};

static struct stage stage;

static void nap(long ns)
{
    struct timespec t = {.tv_nsec = ns};
    while (nanosleep(&t, &t) != 0)
        continue; /* woken by the signal that session.c uses */
}

/* A request that takes a while, and says so in its argument. */
static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    if (ino == ALL_TOGETHER)
        pthread_barrier_wait(&stage.together);
    else
        nap((long)(ino % 10000) * 1000);
    __atomic_add_fetch(&stage.done, 1, __ATOMIC_SEQ_CST);
    fuse_reply_err(req, ENOENT);
}

static const struct fuse_lowlevel_ops ops = {.getattr = on_getattr};

static ssize_t plain_read(int fd, void *data, size_t size, void *userdata)
{
    (void)userdata;
    ssize_t n = read(fd, data, size);
    /* A request that is read and not in hand yet: the moment that session_quiesce() must not
     * overlook. */
    if (n > 0)
        nap((long)(((uint8_t *)data)[8] % 4) * 100000);
    if (n != 0)
        return n;
    errno = ENODEV; /* as /dev/fuse says it */
    return -1;
}

static ssize_t plain_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    (void)userdata;
    return writev(fd, iov, count);
}

static void send_request(uint32_t opcode, uint64_t ino, const void *arg, size_t len)
{
    uint8_t data[512] = {0};
    struct fuse_in_header header = {.len = (uint32_t)(sizeof header + len),
                                    .opcode = opcode,
                                    .unique = ++stage.unique,
                                    .nodeid = ino};
    memcpy(data, &header, sizeof header);
    memcpy(data + sizeof header, arg, len);
    assert_int_equal(send(stage.kernel, data, header.len, 0), header.len);
    stage.sent++;
}

static void send_slow(uint64_t microseconds)
{
    const struct fuse_getattr_in in = {0};
    send_request(FUSE_GETATTR, microseconds, &in, sizeof in);
}

/* Reads the answers away, until the connection ends, so that the socket does not fill. */
static void *drain(void *arg)
{
    char answer[1024];
    (void)arg;
    while (recv(stage.kernel, answer, sizeof answer, 0) > 0)
        continue;
    return NULL;
}

static int set_up(void **state)
{
    static const struct fuse_custom_io io = {.read = plain_read, .writev = plain_writev};
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    const struct fuse_init_in init = {.major = 7, .minor = 31};
    char answer[1024];
    int fds[2];
    (void)state;
    memset(&stage, 0, sizeof stage);
    pthread_barrier_init(&stage.together, NULL, WORKERS);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    fuse_opt_add_arg(&args, "test");
    stage.fuse = fuse_session_new(&args, &ops, sizeof ops, NULL);
    fuse_opt_free_args(&args);
    assert_non_null(stage.fuse);
    assert_int_equal(fuse_session_custom_io(stage.fuse, &io, fds[1]), 0);
    stage.kernel = fds[0];
    assert_ok(session_start(stage.fuse, WORKERS, NULL, NULL, NULL, &stage.session));
    send_request(FUSE_INIT, 0, &init, sizeof init);
    assert_true(recv(stage.kernel, answer, sizeof answer, 0) > 0);
    stage.sent = 0;
    assert_int_equal(pthread_create(&stage.drainer, NULL, drain, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shutdown(stage.kernel, SHUT_RDWR); /* workers that still run see the end of the connection */
    pthread_join(stage.drainer, NULL);
    session_wait(stage.session);
    session_free(stage.session);
    fuse_session_destroy(stage.fuse);
    close(stage.kernel);
    pthread_barrier_destroy(&stage.together);
    return 0;
}

static void ends_with_the_connection(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        send_slow(10);
    while (__atomic_load_n(&stage.done, __ATOMIC_SEQ_CST) < 100)
        nap(100000);
}

/* All of them wait for requests, or are busy; each ends, none needs another request for it. */
static void stops(void **state)
{
    (void)state;
    send_slow(900);
    session_stop(stage.session);
    session_stop(stage.session); /* again is fine */
}

/* After all that was sent has been read off the socket, quiesce waits until it is handled. */
static void quiesces(void **state)
{
    uint64_t seed = unit_seed();
    (void)state;
    for (int round = 0; round < 200; round++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        int count = (int)(seed >> 60);
        for (int i = 0; i < count; i++)
            send_slow(seed >> (20 + i) & 4095);
        for (int waiting = 1; waiting > 0;) {
            /* What the socket still holds of ours, as the sender sees it. */
            assert_int_equal(ioctl(stage.kernel, TIOCOUTQ, &waiting), 0);
            sched_yield();
        }
        session_quiesce(stage.session);
        assert_int_equal(__atomic_load_n(&stage.done, __ATOMIC_SEQ_CST), stage.sent);
    }
}

/* All workers serve, though only a few wait for requests at a time: here each request waits for all
 * the others. */
static void serves_in_parallel(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < WORKERS; i++)
            send_slow(ALL_TOGETHER);
        while (__atomic_load_n(&stage.done, __ATOMIC_SEQ_CST) < stage.sent)
            nap(100000);
    }
}

static bool feeding;

static void *feed(void *arg)
{
    (void)arg;
    while (__atomic_load_n(&feeding, __ATOMIC_SEQ_CST)) {
        send_slow(50);
        nap(20000);
    }
    return NULL;
}

/* It comes to an end although requests never cease, and none is lost by being woken. */
static void quiesces_under_load(void **state)
{
    pthread_t feeder;
    (void)state;
    feeding = true;
    assert_int_equal(pthread_create(&feeder, NULL, feed, NULL), 0);
    for (int round = 0; round < 100; round++)
        session_quiesce(stage.session);
    __atomic_store_n(&feeding, false, __ATOMIC_SEQ_CST);
    pthread_join(feeder, NULL);
    for (int waiting = 1; waiting > 0; sched_yield())
        assert_int_equal(ioctl(stage.kernel, TIOCOUTQ, &waiting), 0);
    session_quiesce(stage.session);
    assert_int_equal(stage.done, stage.sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ends_with_the_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(serves_in_parallel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(quiesces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(quiesces_under_load, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
