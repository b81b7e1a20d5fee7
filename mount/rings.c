/* rings: see rings.h. The structures are the kernel's (<linux/fuse.h>, protocol 7.42); what headers
 * of Debian 12 do not have stands here under names of our own.
 *
 * Invariants:
 *  1. What an entry's buffers hold belongs to the kernel from when the entry is submitted until its
 * completion comes, to the ring's thread from there to the answer, and then to nobody until it is
 * submitted again.
 *  2. Only the ring's own thread submits: the kernel runs what belongs to a request in the thread
 * that submitted its entry. Whoever else answers puts the entry on `answered` and wakes the thread.
 *  3. `unique` is not 0 while the entry has a request without an answer. It is answered once
 * (libfuse); who does so finds it by that number.
 *  4. A ring has at most one entry more than it has requests that wait for an answer by another
 * thread.
 *
 * Small requests are handled on the processor that they come from: its cache is warm, and nothing
 * has to be woken on another one. Large ones take longer than that costs, and the kernel sends many
 * of them, for one file, from one processor: while a thread has one in hand it is not bound.
 *
 * Memory of an entry: one mapping. The first page begins with the headers that the kernel fills,
 * and its end is room; the payload follows. The headers of a request are copied to the end of the
 * room, so that they and the payload lie together, as libfuse wants them. */
#include "mount/rings.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs/fs.h"

enum { CMD_REGISTER = 1, CMD_COMMIT_AND_FETCH = 2 };

/* struct fuse_uring_req_header, with fuse_uring_ent_in_out at its end */
struct headers {
    uint8_t in_out[128]; /* struct fuse_in_header; of an answer: fuse_out_header */
    uint8_t op_in[128];
    uint64_t flags, commit_id;
    uint32_t payload_size, padding;
    uint64_t reserved;
};
/* struct fuse_uring_cmd_req */
struct command {
    uint64_t flags, commit_id;
    uint16_t queue;
    uint8_t padding[6];
};
_Static_assert(sizeof(struct headers) == 288 && sizeof(struct command) == 24,
               "as the kernel has them");

enum {
    RING_ENTRIES = 8, /* that one system call submits */
    RINGS_EACH = 4,   /* for each processor at least */
    RINGS_ALL = 16,   /* and in all, if these are more */
    PAGE = 4096,
    ENTRY_SIZE = PAGE + RINGS_PAYLOAD_MAX,
    LARGE = 64 << 10,
    ROOM = sizeof(struct fuse_in_header) + 128,
};
_Static_assert(sizeof(struct headers) + ROOM <= PAGE, "both in the first page");

enum state {
    IN_HAND,  /* of the ring's thread, without an answer */
    LEFT,     /* by it: whoever answers wakes it */
    ANSWERED, /* to be handed in */
};

struct entry {
    struct ring *ring;
    struct entry *older;     /* in `entries`; constant */
    struct entry *next;      /* [ring's lock] in `answered` */
    struct headers *headers; /* the mapping */
    uint8_t *payload;
    struct iovec iov[2]; /* for the kernel, when it is told of the entry */
    uint64_t commit_id;
    uint64_t unique; /* atomic */
    unsigned queue;
    int state; /* atomic: enum state */
};

struct ring {
    struct rings *all;
    struct io_uring uring;
    unsigned cpu;
    int wake_fd;
    bool woken; /* atomic: and not told yet */
    bool is_bound;
    bool armed;            /* wake_fd is being watched */
    uint64_t requests;     /* atomic */
    struct entry *in_hand; /* what ring_next() returned last */
    pthread_mutex_t lock;
    struct entry *answered; /* [lock; looked at without] to be handed in */
};

struct rings {
    int fd;
    unsigned queues;   /* of the kernel: one for each processor that there may ever be */
    cpu_set_t *usable; /* processors that this process may use */
    size_t set_size;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* decided; or someone was woken */
    bool decided;           /* [lock] */
    bool used;              /* atomic */
    struct entry *entries;  /* atomic: all that there are, the last made first */
    unsigned count;
    struct ring *list;
};

static __thread struct ring *mine;

/* ---- the kernel's switch ---- */

static const char switch_path[] = "/sys/module/fuse/parameters/enable_uring";

bool rings_are_allowed(void)
{
    int fd = open(switch_path, O_RDONLY | O_CLOEXEC);
    char value = 'Y';
    if (fd < 0)
        return errno != ENOENT || access("/sys/module/fuse/parameters", F_OK) != 0;
    if (read(fd, &value, 1) < 0)
        value = 'Y';
    close(fd);
    return value == 'Y';
}

int rings_allow(void)
{
    int fd = open(switch_path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = write(fd, "1", 1) == 1 ? 0 : -errno;
    close(fd);
    return err;
}

/* ---- processors ---- */

/* The number behind the last one in the kernel's list ("0-3", "0,2-7"). 0: unknown. */
static unsigned possible_processors(void)
{
    char line[256];
    FILE *f = fopen("/sys/devices/system/cpu/possible", "re");
    bool ok = f && fgets(line, sizeof line, f);
    if (f)
        fclose(f);
    if (!ok)
        return 0;
    char *last = line + strcspn(line, "\n");
    *last = '\0';
    while (last > line && last[-1] >= '0' && last[-1] <= '9')
        last--;
    return (unsigned)strtoul(last, NULL, 10) + 1;
}

static bool is_in(const struct rings *r, unsigned cpu)
{
    return CPU_ISSET_S(cpu, r->set_size, r->usable);
}

/* Which processors there are, and which this process may use: 0 or a negative errno. */
static int look_at_processors(struct rings *r)
{
    r->queues = possible_processors();
    r->usable = CPU_ALLOC(r->queues);
    r->set_size = CPU_ALLOC_SIZE(r->queues);
    if (r->queues == 0 || !r->usable)
        return -ENOSYS;
    return sched_getaffinity(0, r->set_size, r->usable) == 0 ? 0 : -errno;
}

/* Where that fails the thread runs anywhere, which is slower. */
static void bind_thread(struct ring *ring)
{
    const struct rings *r = ring->all;
    cpu_set_t *set = CPU_ALLOC(r->queues);
    if (!set)
        return;
    CPU_ZERO_S(r->set_size, set);
    CPU_SET_S(ring->cpu, r->set_size, set);
    sched_setaffinity(0, r->set_size, set);
    CPU_FREE(set);
    ring->is_bound = true;
}

static void unbind_thread(struct ring *ring)
{
    sched_setaffinity(0, ring->all->set_size, ring->all->usable);
    ring->is_bound = false;
}

/* ---- entries ---- */

static void push_entry(struct rings *r, struct entry *e)
{
    e->older = __atomic_load_n(&r->entries, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&r->entries, &e->older, e, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        continue;
}

static struct entry *new_entry(struct ring *ring, unsigned queue)
{
    uint8_t *memory = mmap(NULL, ENTRY_SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, ENTRY_SIZE, MADV_NOHUGEPAGE); /* most requests touch a page or two of it */
    struct entry *e = mem_zalloc(sizeof *e);
    e->ring = ring;
    e->queue = queue;
    e->headers = (struct headers *)memory;
    e->payload = memory + PAGE;
    e->iov[0] = (struct iovec){.iov_base = e->headers, .iov_len = sizeof *e->headers};
    e->iov[1] = (struct iovec){.iov_base = e->payload, .iov_len = RINGS_PAYLOAD_MAX};
    push_entry(ring->all, e);
    return e;
}

static void free_entry(struct entry *e)
{
    munmap(e->headers, ENTRY_SIZE);
    free(e);
}

/* ---- submitting: the ring's thread ---- */

static struct io_uring_sqe *take_sqe(struct ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (!sqe) {
        io_uring_submit(&ring->uring);
        sqe = io_uring_get_sqe(&ring->uring);
    }
    assert(sqe);
    return sqe;
}

static void submit(struct entry *e, unsigned op)
{
    struct io_uring_sqe *sqe = take_sqe(e->ring);
    const struct command command = {.commit_id = op == CMD_REGISTER ? 0 : e->commit_id,
                                    .queue = (uint16_t)e->queue};
    memset(sqe, 0, 2 * sizeof *sqe); /* SQE128 */
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = e->ring->all->fd;
    sqe->cmd_op = op;
    if (op == CMD_REGISTER) {
        sqe->addr = (uint64_t)(uintptr_t)e->iov;
        sqe->len = 2;
    }
    memcpy(sqe->cmd, &command, sizeof command);
    io_uring_sqe_set_data(sqe, e);
}

static void watch_wake_fd(struct ring *ring)
{
    struct io_uring_sqe *sqe = take_sqe(ring);
    memset(sqe, 0, 2 * sizeof *sqe);
    io_uring_prep_poll_multishot(sqe, ring->wake_fd, POLLIN);
    io_uring_sqe_set_data(sqe, NULL);
    ring->armed = true;
}

static void submit_answered(struct ring *ring)
{
    if (!__atomic_load_n(&ring->answered, __ATOMIC_ACQUIRE))
        return;
    pthread_mutex_lock(&ring->lock);
    struct entry *e = __atomic_exchange_n(&ring->answered, NULL, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&ring->lock);
    for (struct entry *next; e; e = next) {
        next = e->next;
        submit(e, CMD_COMMIT_AND_FETCH);
    }
}

/* ---- requests ---- */

/* Puts the headers before the payload. Returns the request's length, or 0 for one that is not as it
 * should be. */
static size_t assemble(struct entry *e, void **request)
{
    struct fuse_in_header in;
    const struct headers *h = e->headers;
    memcpy(&in, h->in_out, sizeof in);
    size_t payload = h->payload_size;
    if (payload > RINGS_PAYLOAD_MAX || in.len < sizeof in + payload ||
        in.len - sizeof in - payload > sizeof h->op_in)
        return 0;
    size_t op_len = in.len - sizeof in - payload;
    uint8_t *begin = e->payload - op_len - sizeof in;
    memcpy(begin, &in, sizeof in);
    memcpy(begin + sizeof in, h->op_in, op_len);
    e->commit_id = h->commit_id;
    __atomic_store_n(&e->state, IN_HAND, __ATOMIC_RELAXED);
    __atomic_store_n(&e->unique, in.unique, __ATOMIC_RELEASE);
    *request = begin;
    return in.len;
}

/* How much data has it to do with, in or out? */
static size_t data_of(const struct entry *e)
{
    struct fuse_in_header in;
    struct fuse_read_in read_in;
    memcpy(&in, e->headers->in_out, sizeof in);
    if (in.opcode != FUSE_READ)
        return e->headers->payload_size;
    memcpy(&read_in, e->headers->op_in, sizeof read_in);
    return read_in.size;
}

static void answer_error(struct entry *e, int err)
{
    struct fuse_in_header in;
    memcpy(&in, e->headers->in_out, sizeof in);
    const struct fuse_out_header out = {.len = sizeof out, .error = err, .unique = in.unique};
    memcpy(e->headers->in_out, &out, sizeof out);
    e->headers->payload_size = 0;
    e->commit_id = e->headers->commit_id;
    submit(e, CMD_COMMIT_AND_FETCH);
}

/* One completion of an entry. */
static ssize_t take_entry(struct ring *ring, struct entry *e, int result, void **request)
{
    if (result == -EINTR || result == -EAGAIN) {
        submit(e, e->commit_id ? CMD_COMMIT_AND_FETCH : CMD_REGISTER);
        return 0;
    }
    if (result == -ENOTCONN || result == -ECONNABORTED || result == -ECANCELED)
        return -ENODEV;
    if (result < 0) { /* the kernel does without it; the ring may have others */
        log_message(LOG_WARNING, "io_uring: %s; one request less at a time", strerror(-result));
        return 0;
    }
    size_t len = assemble(e, request);
    if (len == 0) {
        log_message(LOG_ERROR, "a request by io_uring has wrong sizes");
        answer_error(e, -EIO);
        return 0;
    }
    bool large = data_of(e) >= LARGE;
    if (large && ring->is_bound)
        unbind_thread(ring);
    else if (!large && !ring->is_bound)
        bind_thread(ring);
    ring->in_hand = e;
    __atomic_store_n(&ring->requests, ring->requests + 1, __ATOMIC_RELAXED);
    return (ssize_t)len;
}

static void take_wake(struct ring *ring, const struct io_uring_cqe *cqe)
{
    uint64_t count;
    if (!(cqe->flags & IORING_CQE_F_MORE))
        ring->armed = false;
    if (read(ring->wake_fd, &count, sizeof count) < 0)
        assert(errno == EAGAIN || errno == EINTR);
}

ssize_t ring_next(struct ring *ring, void **request)
{
    struct io_uring_cqe *cqe;
    assert(mine == ring && !ring->in_hand);
    submit_answered(ring);
    if (!ring->armed)
        watch_wake_fd(ring);
    if (io_uring_sq_ready(&ring->uring) > 0 || io_uring_peek_cqe(&ring->uring, &cqe) < 0) {
        int err = io_uring_submit_and_wait(&ring->uring, 1);
        if (err < 0 && err != -EINTR && err != -EAGAIN && err != -EBUSY)
            return err;
    }
    if (__atomic_exchange_n(&ring->woken, false, __ATOMIC_ACQ_REL))
        return 0;
    if (io_uring_peek_cqe(&ring->uring, &cqe) < 0)
        return 0;
    ssize_t n = 0;
    struct entry *e = io_uring_cqe_get_data(cqe);
    int result = cqe->res;
    if (!e)
        take_wake(ring, cqe);
    io_uring_cqe_seen(&ring->uring, cqe);
    if (e)
        n = take_entry(ring, e, result, request);
    return n;
}

void ring_done(struct ring *ring)
{
    struct entry *e = ring->in_hand;
    int state = IN_HAND;
    assert(mine == ring && e);
    ring->in_hand = NULL;
    if (!__atomic_compare_exchange_n(&e->state, &state, LEFT, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        assert(state == ANSWERED);
        submit(e, CMD_COMMIT_AND_FETCH);
        return;
    }
    struct entry *spare = new_entry(ring, e->queue);
    if (spare) /* or this ring takes no request until the other one is answered */
        submit(spare, CMD_REGISTER);
}

/* ---- answers: any thread ---- */

static struct entry *find_entry(struct rings *r, uint64_t unique)
{
    if (mine && mine->all == r && mine->in_hand && mine->in_hand->unique == unique)
        return mine->in_hand;
    struct entry *e = __atomic_load_n(&r->entries, __ATOMIC_ACQUIRE);
    while (e && __atomic_load_n(&e->unique, __ATOMIC_ACQUIRE) != unique)
        e = e->older;
    return e;
}

void *rings_room(struct rings *r, size_t size)
{
    bool has = mine && mine->all == r && mine->in_hand && size <= RINGS_PAYLOAD_MAX;
    return has ? mine->in_hand->payload : NULL;
}

static void fill_answer(struct entry *e, const struct iovec *iov, int count)
{
    struct fuse_out_header out;
    size_t len = 0;
    memcpy(&out, iov[0].iov_base, sizeof out);
    for (int i = 1; i < count; i++) {
        assert(iov[i].iov_len <= RINGS_PAYLOAD_MAX - len);
        if (iov[i].iov_base != e->payload + len) /* rings_room() */
            memcpy(e->payload + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    memcpy(e->headers->in_out, &out, sizeof out);
    e->headers->payload_size = (uint32_t)len;
}

/* Ends the wait of the ring's thread, or its next one. */
static void poke(struct ring *ring)
{
    const uint64_t one = 1;
    if (write(ring->wake_fd, &one, sizeof one) < 0)
        assert(errno == EAGAIN); /* it has been, very often */
}

static void hand_over(struct entry *e)
{
    struct ring *ring = e->ring;
    pthread_mutex_lock(&ring->lock);
    e->next = ring->answered;
    __atomic_store_n(&ring->answered, e, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&ring->lock);
    poke(ring);
}

bool rings_answer(struct rings *r, const struct iovec *iov, int count)
{
    struct fuse_out_header out;
    assert(count > 0 && iov[0].iov_len == sizeof out);
    memcpy(&out, iov[0].iov_base, sizeof out);
    if (out.unique == 0 || !rings_are_used(r))
        return false;
    struct entry *e = find_entry(r, out.unique);
    if (!e)
        return false;
    fill_answer(e, iov, count);
    __atomic_store_n(&e->unique, 0, __ATOMIC_RELEASE);
    if (__atomic_exchange_n(&e->state, ANSWERED, __ATOMIC_ACQ_REL) == LEFT)
        hand_over(e);
    return true;
}

/* ---- beginning and end ---- */

void rings_decide(struct rings *r, bool use)
{
    pthread_mutex_lock(&r->lock);
    assert(!r->decided);
    r->decided = true;
    __atomic_store_n(&r->used, use, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

bool rings_are_used(const struct rings *r)
{
    return __atomic_load_n(&r->used, __ATOMIC_ACQUIRE);
}

uint64_t rings_requests(const struct rings *r)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < r->count; i++)
        sum += __atomic_load_n(&r->list[i].requests, __ATOMIC_RELAXED);
    return sum;
}

void ring_wake(struct ring *ring)
{
    pthread_mutex_lock(&ring->all->lock);
    __atomic_store_n(&ring->woken, true, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&ring->all->changed);
    pthread_mutex_unlock(&ring->all->lock);
    poke(ring);
}

int ring_begin(struct ring *ring)
{
    struct rings *r = ring->all;
    pthread_mutex_lock(&r->lock);
    while (!r->decided && !ring->woken)
        pthread_cond_wait(&r->changed, &r->lock);
    bool go = r->decided && rings_are_used(r);
    pthread_mutex_unlock(&r->lock);
    if (!go)
        return -ECANCELED;
    mine = ring;
    pthread_setname_np(pthread_self(), "varve-ring");
    bind_thread(ring);
    for (struct entry *e = __atomic_load_n(&r->entries, __ATOMIC_ACQUIRE); e; e = e->older)
        if (e->ring == ring)
            submit(e, CMD_REGISTER);
    return 0;
}

/* One entry for each ring, in its own queue. The kernel wants some in each queue before it uses
 * any: those of processors that are not there, or not for us, go round the rings. All are made
 * before the kernel is told, since it then waits for them. */
static int make_entries(struct rings *r)
{
    bool made = true;
    for (unsigned i = 0; i < r->count && made; i++)
        made = new_entry(&r->list[i], r->list[i].cpu) != NULL;
    for (unsigned cpu = 0; cpu < r->queues; cpu++)
        for (unsigned i = 0; i < RINGS_EACH && made && !is_in(r, cpu); i++)
            made = new_entry(&r->list[(cpu * RINGS_EACH + i) % r->count], cpu) != NULL;
    return made ? 0 : -ENOMEM;
}

static int init_ring(struct ring *ring, struct rings *r, unsigned cpu)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SQE128 | IORING_SETUP_CLAMP};
    *ring = (struct ring){.all = r, .cpu = cpu};
    int err = io_uring_queue_init_params(RING_ENTRIES, &ring->uring, &p);
    if (err < 0)
        return err;
    io_uring_ring_dontfork(&ring->uring);
    ring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ring->wake_fd < 0) {
        err = -errno;
        io_uring_queue_exit(&ring->uring);
        return err;
    }
    pthread_mutex_init(&ring->lock, NULL);
    return 0;
}

/* `each` rings for each processor that can be used. */
static int init_rings(struct rings *r, unsigned each)
{
    int err = 0;
    for (unsigned cpu = 0; cpu < r->queues && err == 0; cpu++)
        for (unsigned i = 0; i < each && is_in(r, cpu) && err == 0; i++) {
            err = init_ring(&r->list[r->count], r, cpu);
            r->count += err == 0;
        }
    return err;
}

int rings_new(int fd, struct rings **out)
{
    struct rings *r = mem_zalloc(sizeof *r);
    *out = NULL;
    r->fd = fd;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    int err = look_at_processors(r);
    if (err == 0) {
        unsigned cpus = (unsigned)CPU_COUNT_S(r->set_size, r->usable);
        unsigned each = RINGS_ALL / cpus > RINGS_EACH ? RINGS_ALL / cpus : RINGS_EACH;
        r->list = mem_zalloc((size_t)cpus * each * sizeof r->list[0]);
        err = init_rings(r, each);
    }
    if (err == 0)
        err = make_entries(r);
    if (err < 0)
        rings_free(r);
    else
        *out = r;
    return err;
}

void rings_free(struct rings *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < r->count; i++) {
        io_uring_queue_exit(&r->list[i].uring);
        close(r->list[i].wake_fd);
        pthread_mutex_destroy(&r->list[i].lock);
    }
    for (struct entry *e = r->entries, *older; e; e = older) {
        older = e->older;
        free_entry(e);
    }
    if (r->usable)
        CPU_FREE(r->usable);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r->list);
    free(r);
}

unsigned rings_count(const struct rings *r)
{
    return r->count;
}

struct ring *rings_get(struct rings *r, unsigned i)
{
    assert(i < r->count);
    return &r->list[i];
}
