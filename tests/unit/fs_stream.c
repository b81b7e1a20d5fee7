/* Sending snapshots and receiving them: the trees are equal; what is truncated, altered, of another
 * volume or for another base is refused, and nothing of it is there; an interrupted stream is gone
 * on with. */
#include "tests/unit/vol.h"

#include "fs/stream.h"
#include "tests/sim/fsmodel.h"
#include "tests/sim/fspipe.h"
#include "tests/sim/secrets.h"

#define ROOT FS_INO_ROOT
#define COPY "/copy"

enum { OPS = 250 };

/* ---- streams in memory ---- */

static void send_to(struct fs *fs, const char *from, const char *to, const char *token,
                    struct fspipe *p)
{
    struct fs_stream_report report;
    p->bytes.len = p->at = 0;
    assert_ok(fs_send(fs, from, to, token, fspipe_write, p, &report));
    assert_string_equal(report.snapshot, to);
    p->end = p->bytes.len;
}

static int try_receive(struct fs *fs, struct fspipe *p, bool force)
{
    struct fs_receive_options o = {.force = force};
    struct fs_stream_report report;
    p->at = 0;
    return fs_receive(fs, &o, fspipe_read, p, &report);
}

static int try_receive_new(struct simdisk *d, const struct store_secret *secret, struct fspipe *p)
{
    struct fs_receive_options o = {0};
    struct fs_make_options make;
    struct fs_stream_report report;
    fs_make_options_init(&make);
    make.env = simdisk_env(d);
    make.secret = secret;
    p->at = 0;
    return fs_receive_new(COPY, &make, &o, fspipe_read, p, &report);
}

/* The copy, which lies on the same disk. */
static void open_copy(struct vol *v, const struct store_secret *secret, struct fs **out)
{
    struct fs_options o = v->options;
    o.secret = secret;
    assert_ok(fs_open(COPY, &o, out));
}

static int on_finding(void *ctx, const struct store_finding *f)
{
    (void)ctx;
    if (f->severity != STORE_NOTE)
        fail_msg("%d %s: %s", f->code, f->file, f->text);
    return 0;
}

static void check_copy(struct vol *v, const struct store_secret *secret)
{
    struct fs_options o = v->options;
    struct fs_check_report report;
    o.secret = secret;
    assert_ok(fs_check(COPY, &o, true, on_finding, NULL, NULL, &report));
}

/* ---- two volumes, and what leads from one snapshot to the next ---- */

struct play {
    struct vol v;
    struct fsmodel m;
    uint64_t *inos;
    size_t ino_count, cap;
    struct simrng r;
};

static void begin(struct play *p, uint64_t seed)
{
    struct fs_attr a, want = {.uid = 7, .gid = 8, .mode = 0755};
    *p = (struct play){.cap = 20 * OPS, .ino_count = 1, .r = {seed}};
    p->inos = calloc(p->cap, sizeof *p->inos);
    vol_make(&p->v, FSMODEL_CHUNK);
    assert_ok(fs_setattr(p->v.fs, ROOT, FS_SET_UID | FS_SET_GID | FS_SET_MODE, &want, &a));
    fsmodel_init(&p->m);
    p->m.limits_unseen = true; /* a stream has none */
    p->inos[0] = ROOT;
}

static void end(struct play *p)
{
    fsmodel_release(&p->m);
    free(p->inos);
    vol_free(&p->v);
}

/* Some of what has lost its name is still in use when the snapshot is taken. */
static void change(struct play *p)
{
    for (int i = 0; i < OPS; i++) {
        struct fsop op;
        fsmodel_random(&p->m, &p->r, false, &op);
        if (op.kind < FSOP_SYNC)
            assert_int_equal(fsop_play(p->v.fs, &op, p->inos, &p->ino_count),
                             fsmodel_apply(&p->m, &op));
        else
            fs_work(p->v.fs);
    }
}

static void reopen(struct play *p)
{
    static const struct fsop op = {.kind = FSOP_REOPEN};
    vol_reopen(&p->v);
    fsmodel_apply(&p->m, &op);
}

static void assert_shows(struct fs *fs, const struct fsmodel *m, const char *snapshot)
{
    struct fs_attr a = {0};
    char why[256];
    if (snapshot)
        assert_ok(fs_lookup(fs, FS_INO_SNAPSHOTS, snapshot, &a));
    if (!fsmodel_equals(m, fs, a.ino >> FS_INO_BITS, NULL, why))
        fail_msg("%s: %s", snapshot ? snapshot : "the present", why);
}

static void test_random(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    static const char *const names[] = {"s0", "s1", "s2", "s3", "s4", "s5"};
    for (uint64_t round = 0; round < 6; round++) {
        struct secret_text text = {.text = "correct horse"};
        const struct store_secret locked = secret_of(&text);
        const struct store_secret *secret = round % 3 == 0 ? &locked : NULL;
        struct fspipe pipe = {0};
        struct play p;
        struct fs *copy;
        begin(&p, seed + round);
        for (int i = 0; i < 6; i++) {
            change(&p);
            if (round % 4 == 1)
                assert_ok(fs_compact(p.v.fs));
            assert_ok(fs_snapshot_create(p.v.fs, names[i]));
            send_to(p.v.fs, i > 0 ? names[i - 1] : NULL, names[i], NULL, &pipe);
            if (i == 0) {
                assert_ok(try_receive_new(p.v.disk, secret, &pipe));
                open_copy(&p.v, secret, &copy);
            } else {
                open_copy(&p.v, secret, &copy);
                assert_ok(try_receive(copy, &pipe, false));
                assert_errno(try_receive(copy, &pipe, false), EALREADY);
            }
            assert_shows(copy, &p.m, NULL);
            assert_shows(copy, &p.m, names[i]);
            assert_ok(fs_close(copy));
            check_copy(&p.v, secret);
            if (i == 3)
                reopen(&p);
        }
        /* From the first to the last at once, and on from the copy to a third. */
        open_copy(&p.v, secret, &copy);
        assert_ok(fs_compact(copy));
        assert_shows(copy, &p.m, "s5");
        send_to(copy, "s4", "s5", NULL, &pipe);
        assert_ok(fs_close(copy));
        assert_errno(try_receive(p.v.fs, &pipe, false), EALREADY);
        buf_release(&pipe.bytes);
        end(&p);
    }
}

/* Limits are not sent; those that the receiver has set since go with its other changes. */
static void test_limits_stay_here(void **state)
{
    (void)state;
    struct fspipe pipe = {0};
    struct play p;
    struct fs_quota q;
    struct fs *copy;
    begin(&p, unit_seed());
    struct vol *v = &p.v;
    uint64_t d = vol_mkdir(v, ROOT, "d"), f = vol_text(v, d, "f", "12345");
    assert_ok(fs_set_quota(v->fs, d, 100));
    assert_ok(fs_snapshot_create(v->fs, "a"));
    send_to(v->fs, NULL, "a", NULL, &pipe);
    assert_ok(try_receive_new(v->disk, NULL, &pipe));
    open_copy(v, NULL, &copy);
    assert_absent(fs_get_quota(copy, f, &q));
    assert_ok(fs_set_quota(copy, d, 1000));
    assert_ok(fs_get_quota(copy, f, &q));
    assert_ok(fs_write(v->fs, f, 5, "678", 3));
    assert_ok(fs_snapshot_create(v->fs, "b"));
    send_to(v->fs, "a", "b", NULL, &pipe);
    assert_errno(try_receive(copy, &pipe, false), EBUSY);
    assert_ok(try_receive(copy, &pipe, true));
    assert_absent(fs_get_quota(copy, f, &q));
    assert_ok(fs_set_quota(copy, d, 1000));
    assert_ok(fs_get_quota(copy, f, &q));
    assert_int_equal(q.used_bytes, 8);
    assert_ok(fs_close(copy));
    check_copy(v, NULL);
    assert_ok(fs_get_quota(v->fs, f, &q));
    assert_int_equal(q.limit_bytes, 100);
    buf_release(&pipe.bytes);
    end(&p);
}

/* A state that has rules of its own is no base: what a stream leaves alone would go by them still.
 */
static void refuse_to_send_back(bool limit)
{
    struct fspipe pipe = {0};
    struct play p;
    struct fs *copy;
    begin(&p, unit_seed());
    struct vol *v = &p.v;
    uint64_t d = vol_mkdir(v, ROOT, "d"), f = vol_text(v, d, "f", "12345");
    assert_ok(limit ? fs_set_quota(v->fs, d, 100) : fs_set_compression(v->fs, f, 5));
    assert_ok(fs_snapshot_create(v->fs, "a"));
    send_to(v->fs, NULL, "a", NULL, &pipe);
    assert_ok(try_receive_new(v->disk, NULL, &pipe));
    open_copy(v, NULL, &copy);
    assert_ok(fs_write(copy, f, 5, "678", 3));
    assert_ok(fs_snapshot_create(copy, "b"));
    send_to(copy, "a", "b", NULL, &pipe);
    assert_ok(fs_close(copy));
    assert_errno(try_receive(v->fs, &pipe, false), EOPNOTSUPP);
    assert_errno(try_receive(v->fs, &pipe, true), EOPNOTSUPP);
    buf_release(&pipe.bytes);
    end(&p);
}

static void test_sent_back(void **state)
{
    (void)state;
    refuse_to_send_back(true);
    refuse_to_send_back(false);
}

/* Between two snapshots nothing may have changed; the second is there all the same. */
static void test_nothing_changed(void **state)
{
    (void)state;
    struct fspipe pipe = {0};
    struct fs_attr a;
    struct play p;
    struct fs *copy;
    begin(&p, unit_seed());
    assert_ok(fs_snapshot_create(p.v.fs, "a"));
    assert_ok(fs_snapshot_create(p.v.fs, "b"));
    send_to(p.v.fs, NULL, "a", NULL, &pipe);
    assert_ok(try_receive_new(p.v.disk, NULL, &pipe));
    open_copy(&p.v, NULL, &copy);
    send_to(p.v.fs, "a", "b", NULL, &pipe);
    assert_ok(try_receive(copy, &pipe, false));
    assert_ok(fs_lookup(copy, FS_INO_SNAPSHOTS, "b", &a));
    assert_errno(try_receive(copy, &pipe, false), EALREADY);
    assert_shows(copy, &p.m, "b");
    assert_ok(fs_close(copy));
    buf_release(&pipe.bytes);
    end(&p);
}

/* ---- what is refused: nothing changes ---- */

struct pair {
    struct play p;
    struct fs *copy;           /* has "a" */
    struct fspipe first, more; /* to "a"; from "a" to "b" */
};

static void pair_begin(struct pair *x, uint64_t seed)
{
    *x = (struct pair){0};
    begin(&x->p, seed);
    change(&x->p);
    reopen(&x->p);
    assert_ok(fs_snapshot_create(x->p.v.fs, "a"));
    send_to(x->p.v.fs, NULL, "a", NULL, &x->first);
    assert_ok(try_receive_new(x->p.v.disk, NULL, &x->first));
    open_copy(&x->p.v, NULL, &x->copy);
    change(&x->p);
    change(&x->p);
    assert_ok(fs_snapshot_create(x->p.v.fs, "b"));
    send_to(x->p.v.fs, "a", "b", NULL, &x->more);
}

static void pair_end(struct pair *x)
{
    assert_ok(fs_close(x->copy));
    check_copy(&x->p.v, NULL);
    buf_release(&x->first.bytes);
    buf_release(&x->more.bytes);
    end(&x->p);
}

static int count(void *ctx, const struct fs_difference *d)
{
    (void)d;
    ++*(int *)ctx;
    return 0;
}

static void assert_untouched(struct fs *fs)
{
    struct fs_attr a;
    int differences = 0;
    assert_ok(fs_diff(fs, "a", NULL, count, &differences));
    assert_int_equal(differences, 0);
    assert_errno(fs_lookup(fs, FS_INO_SNAPSHOTS, "b", &a), ENOENT);
}

static void test_truncated(void **state)
{
    (void)state;
    struct pair x;
    pair_begin(&x, unit_seed());
    size_t whole = x.more.end;
    for (size_t cut = 0; cut < whole; cut += 1 + (cut > 300 ? whole / 40 : 0)) {
        x.more.end = cut;
        assert_errno(try_receive(x.copy, &x.more, false), EPIPE);
    }
    x.more.end = whole - 1;
    assert_errno(try_receive(x.copy, &x.more, false), EPIPE);
    assert_untouched(x.copy);
    x.more.end = whole;
    buf_put_u8(&x.more.bytes, 0); /* something behind the end */
    x.more.end++;
    assert_errno(try_receive(x.copy, &x.more, false), EBADMSG);
    assert_untouched(x.copy);
    x.more.end--;
    assert_ok(try_receive(x.copy, &x.more, false));
    assert_shows(x.copy, &x.p.m, NULL);
    pair_end(&x);
}

static void test_altered(void **state)
{
    (void)state;
    struct pair x;
    pair_begin(&x, unit_seed());
    size_t whole = x.more.end;
    for (size_t at = 0; at < whole; at += 1 + (at > 400 ? whole / 60 : 0)) {
        x.more.bytes.data[at] ^= 0x10;
        int err = try_receive(x.copy, &x.more, false);
        bool version = at >= 8 && at < 10;
        if (err != -EBADMSG && !(at < 8 && err == -ENOMSG) &&
            !(version && err == -EPROTONOSUPPORT) && !(err == -EPIPE))
            fail_msg("byte %zu: %d", at, err);
        x.more.bytes.data[at] ^= 0x10;
    }
    assert_untouched(x.copy);
    assert_ok(try_receive(x.copy, &x.more, false));
    assert_shows(x.copy, &x.p.m, NULL);
    pair_end(&x);
}

static void test_other_bases(void **state)
{
    (void)state;
    struct pair x;
    struct fspipe pipe = {0};
    pair_begin(&x, unit_seed());
    /* Another volume's. */
    struct stream_head head;
    size_t len;
    assert_ok(stream_head_length(x.more.bytes.data, &len));
    assert_ok(stream_head_decode(slice_of(x.more.bytes.data, len), &head));
    head.origin[3] ^= 1;
    head.sum = stream_first_sum(&head);
    stream_head_encode(&head, &pipe.bytes);
    pipe.end = pipe.bytes.len;
    assert_errno(try_receive(x.copy, &pipe, false), EXDEV);
    assert_errno(try_receive(x.copy, &pipe, true), EXDEV);
    /* From nothing, into something; from a snapshot, into nothing. */
    assert_errno(try_receive(x.copy, &x.first, false), EALREADY);
    send_to(x.p.v.fs, NULL, "b", NULL, &pipe);
    assert_errno(try_receive(x.copy, &pipe, false), ENOTEMPTY);
    assert_errno(try_receive_new(x.p.v.disk, NULL, &x.more), ESTALE);
    /* From a snapshot that is not there. */
    vol_text(&x.p.v, ROOT, "later", "text");
    assert_ok(fs_snapshot_create(x.p.v.fs, "c"));
    send_to(x.p.v.fs, "b", "c", NULL, &pipe);
    assert_errno(try_receive(x.copy, &pipe, false), ESTALE);
    assert_errno(try_receive(x.copy, &pipe, true), ESTALE);
    assert_untouched(x.copy);
    /* A snapshot of that name which is another one, also one that was taken of the same state. */
    assert_ok(fs_snapshot_create(x.copy, "b"));
    assert_errno(try_receive(x.copy, &x.more, false), EEXIST);
    assert_errno(try_receive(x.copy, &pipe, false), ESTALE);
    assert_ok(fs_snapshot_delete(x.copy, "b"));
    /* The base may have another name here. */
    assert_ok(fs_snapshot_rename(x.copy, "a", "renamed"));
    assert_ok(try_receive(x.copy, &x.more, false));
    assert_ok(try_receive(x.copy, &pipe, false));
    buf_release(&pipe.bytes);
    pair_end(&x);
}

/* What was changed in the copy is not lost without being asked; then it is undone. */
static void test_changed_meanwhile(void **state)
{
    (void)state;
    struct pair x;
    struct fs_attr a;
    pair_begin(&x, unit_seed());
    for (int i = 0; i < 20; i++) {
        char name[24];
        snprintf(name, sizeof name, "local%d", i);
        assert_ok(fs_mknod(x.copy, ROOT, name, S_IFREG | 0644, 0, &vol_cred, &a));
        assert_ok(fs_write(x.copy, a.ino, 0, name, strlen(name)));
    }
    uint64_t last = a.ino;
    for (int i = 0; i < FSMODEL_NAMES - 1; i++)
        fs_unlink(x.copy, ROOT, fsmodel_name(i));
    assert_ok(fs_close(x.copy));
    open_copy(&x.p.v, NULL, &x.copy);
    assert_errno(try_receive(x.copy, &x.more, false), EBUSY);
    assert_ok(fs_lookup(x.copy, ROOT, "local7", &a));
    /* Also when it is truncated. */
    x.more.end--;
    assert_errno(try_receive(x.copy, &x.more, true), EPIPE);
    assert_ok(fs_lookup(x.copy, ROOT, "local7", &a));
    x.more.end++;
    assert_ok(try_receive(x.copy, &x.more, true));
    assert_shows(x.copy, &x.p.m, NULL);
    assert_errno(fs_lookup(x.copy, ROOT, "local7", &a), ENOENT);
    /* Numbers that were given out here stay so. */
    assert_ok(fs_mknod(x.copy, ROOT, "fresh", S_IFREG | 0644, 0, &vol_cred, &a));
    assert_true(a.ino > last);
    pair_end(&x);
}

static void test_senders_refusals(void **state)
{
    (void)state;
    struct pair x;
    struct fspipe pipe = {0};
    struct fs_stream_report report;
    pair_begin(&x, unit_seed());
    struct fs *fs = x.p.v.fs;
    assert_errno(fs_send(fs, NULL, "none", NULL, fspipe_write, &pipe, &report), ENOENT);
    assert_errno(fs_send(fs, "none", "b", NULL, fspipe_write, &pipe, &report), ENOENT);
    assert_errno(fs_send(fs, "b", "a", NULL, fspipe_write, &pipe, &report), EINVAL);
    assert_errno(fs_send(fs, "a", "a", NULL, fspipe_write, &pipe, &report), EINVAL);
    assert_errno(fs_send(fs, "a", "b", "nonsense", fspipe_write, &pipe, &report), EINVAL);
    assert_int_equal(pipe.bytes.len, 0);
    pair_end(&x);
}

/* ---- going on ---- */

/* Files enough for some blocks. */
static void fill(struct play *p, char salt)
{
    uint8_t *data = malloc(70000);
    struct fs_attr a;
    for (int i = 0; i < 20; i++) {
        char name[16];
        struct simrng r = {(uint64_t)i + (uint64_t)salt * 100};
        snprintf(name, sizeof name, "%c%d", salt, i);
        for (int k = 0; k < 70000; k++)
            data[k] = (uint8_t)simrng_next(&r);
        assert_ok(fs_mknod(p->v.fs, ROOT, name, S_IFREG | 0644, 0, &vol_cred, &a));
        assert_ok(fs_write(p->v.fs, a.ino, 0, data, 70000));
    }
    free(data);
}

/* Cut off somewhere, gone on with there, cut off again, and so on; put together it is a stream. */
static void resume(struct fs *fs, const char *from, const char *to, uint64_t seed,
                   struct fspipe *whole)
{
    struct fs_stream_kept *k = fs_stream_kept_new();
    char token[FS_STREAM_TOKEN_MAX] = "";
    struct simrng r = {seed};
    int err = -EPIPE, pieces = 0;
    struct fspipe piece = {0};
    while (err == -EPIPE) {
        send_to(fs, from, to, token[0] ? token : NULL, &piece);
        assert_true(++pieces < 100);
        if (pieces < 8)
            piece.end = (size_t)simrng_below(&r, piece.end + 1);
        piece.at = 0;
        /* One context serves both callbacks: what is kept is counted, and copied after. */
        size_t kept = (size_t)fs_stream_kept_bytes(k);
        err = fs_stream_keep(k, fspipe_read, NULL, &piece);
        size_t more = (size_t)fs_stream_kept_bytes(k) - kept, skip = 0;
        if (kept > 0 && more > 0) /* the head of a piece that goes on is not kept */
            assert_ok(stream_head_length(piece.bytes.data, &skip));
        buf_append_bytes(&whole->bytes, piece.bytes.data + skip, more);
        fs_stream_token(k, token);
    }
    assert_ok(err);
    assert_int_equal(token[0], 0);
    whole->end = whole->bytes.len;
    fs_stream_kept_free(k);
    buf_release(&piece.bytes);
}

static void test_going_on(void **state)
{
    (void)state;
    uint64_t seed = unit_seed();
    for (uint64_t round = 0; round < 4; round++) {
        struct play p;
        struct fspipe full = {0}, more = {0};
        struct fs *copy;
        begin(&p, seed + round);
        change(&p);
        fill(&p, 'x');
        assert_ok(fs_snapshot_create(p.v.fs, "a"));
        change(&p);
        fill(&p, 'y');
        assert_ok(fs_snapshot_create(p.v.fs, "b"));
        resume(p.v.fs, NULL, "a", seed + round, &full);
        resume(p.v.fs, "a", "b", seed - round, &more);
        assert_ok(try_receive_new(p.v.disk, NULL, &full));
        open_copy(&p.v, NULL, &copy);
        assert_ok(try_receive(copy, &more, false));
        int differences = 0;
        struct fs_attr f, c;
        for (int i = 0; i < 20; i++) {
            char name[16];
            static uint8_t left[70000], right[70000];
            size_t got;
            snprintf(name, sizeof name, "%c%d", i % 2 ? 'x' : 'y', i);
            assert_ok(fs_lookup(p.v.fs, ROOT, name, &f));
            assert_ok(fs_lookup(copy, ROOT, name, &c));
            assert_true(vol_same_attr(&f, &c));
            assert_ok(fs_read(p.v.fs, f.ino, 0, left, sizeof left, &got));
            assert_ok(fs_read(copy, c.ino, 0, right, sizeof right, &got));
            assert_memory_equal(left, right, got);
        }
        assert_ok(fs_diff(copy, "b", NULL, count, &differences));
        assert_int_equal(differences, 0);
        assert_ok(fs_close(copy));
        check_copy(&p.v, NULL);
        buf_release(&full.bytes);
        buf_release(&more.bytes);
        end(&p);
    }
}

/* A piece of another stream, or of another place. */
static void test_pieces_that_do_not_fit(void **state)
{
    (void)state;
    struct pair x;
    struct fs_stream_report report;
    char token[FS_STREAM_TOKEN_MAX];
    struct fspipe rest = {0};
    pair_begin(&x, unit_seed());
    fill(&x.p, 'z');
    assert_ok(fs_snapshot_create(x.p.v.fs, "c"));
    struct fspipe third = {0};
    send_to(x.p.v.fs, "b", "c", NULL, &third);
    third.end -= 10;
    struct fs_stream_kept *k = fs_stream_kept_new();
    assert_errno(fs_stream_keep(k, fspipe_read, NULL, &third), EPIPE);
    fs_stream_token(k, token);
    assert_true(token[0]);
    assert_errno(fs_send(x.p.v.fs, "a", "c", token, fspipe_write, &rest, &report), EINVAL);
    send_to(x.p.v.fs, "b", "c", token, &rest);
    /* By itself it is no stream. */
    assert_errno(try_receive(x.copy, &rest, false), ECHILD);
    x.more.at = 0;
    assert_errno(fs_stream_keep(k, fspipe_read, NULL, &x.more), EINVAL);
    rest.at = 0;
    assert_ok(fs_stream_keep(k, fspipe_read, NULL, &rest));
    fs_stream_kept_free(k);
    k = fs_stream_kept_new();
    rest.at = 0;
    assert_errno(fs_stream_keep(k, fspipe_read, NULL, &rest), ECHILD);
    fs_stream_kept_free(k);
    buf_release(&third.bytes);
    buf_release(&rest.bytes);
    pair_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_limits_stay_here),
        cmocka_unit_test(test_sent_back),
        cmocka_unit_test(test_nothing_changed),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_altered),
        cmocka_unit_test(test_other_bases),
        cmocka_unit_test(test_changed_meanwhile),
        cmocka_unit_test(test_senders_refusals),
        cmocka_unit_test(test_going_on),
        cmocka_unit_test(test_pieces_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
