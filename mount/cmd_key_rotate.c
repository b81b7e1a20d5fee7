/* cmd_key_rotate: a new generation of the key, and the work of carrying the data over. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mount/cmd_key_priv.h"
#include "mount/explain.h"
#include "mount/json.h"
#include "mount/tell.h"

enum { LOOK_EVERY_MS = 100 };

/* ---- beginning ---- */

struct asking {
    const struct key_request *request;
    int status; /* an exit status after something was told */
    bool dropped;
};

/* store_keys_other_fn: the passphrase of another slot. */
static int ask_other(void *ctx, const struct store_key_slot *slot, uint8_t out[STORE_SECRET_MAX],
                     size_t *len)
{
    struct asking *a = ctx;
    struct passphrase p;
    const struct passphrase_source *source = &a->request->others[slot->number];
    if (!source->file && a->request->drop_others)
        return 1;
    if (!source->file && !isatty(STDIN_FILENO)) {
        a->status =
            tell_error("%s: slot %u needs its passphrase, too: give --other-passfile=%u:FILE, "
                       "or --drop-others to give up the others",
                       a->request->volume, slot->number, slot->number);
        return -ECANCELED;
    }
    char *what = mem_printf("Passphrase of slot %u%s%s", slot->number, *slot->label ? ", " : "",
                            slot->label);
    a->status = passphrase_read(source, what, false, &p);
    free(what);
    if (a->status != 0)
        return -ECANCELED;
    int err = p.secret.get(p.secret.ctx, out, len);
    passphrase_wipe(&p);
    return err;
}

static int begin(const struct key_request *r, const struct passphrase *p)
{
    struct asking asking = {.request = r};
    uint32_t slot;
    int err = fs_keys_rotate(r->volume, &p->secret, ask_other, &asking, &slot);
    if (asking.status != 0)
        return asking.status;
    if (err == -EKEYREJECTED && slot < STORE_KEY_SLOTS)
        return tell_error("%s: the passphrase of slot %u is wrong; nothing was changed", r->volume,
                          slot);
    if (err == -ENOSPC)
        return tell_error("%s: there are %d generations already; let the data be carried over "
                          "first: varvefs key finish %s",
                          r->volume, STORE_KEY_GENERATIONS_MAX, r->volume);
    return err != 0 ? cmd_key_explain(r->volume, err) : 0;
}

/* ---- carrying over ---- */

static void show_result(const struct key_request *r, const struct store_stats *s)
{
    struct json j;
    char bytes[TELL_BYTES_MAX];
    bool complete = s->key_generations == 1;
    tell_bytes(s->old_key_bytes, bytes);
    if (r->as_json) {
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_string(&j, "volume", r->volume);
        json_uint(&j, "generation", s->key_epoch);
        json_bool(&j, "complete", complete);
        json_uint(&j, "old_files", s->old_key_files);
        json_uint(&j, "old_bytes", s->old_key_bytes);
        json_close(&j);
    } else if (complete) {
        printf("%s: complete: everything is encrypted with generation %llu of the key\n", r->volume,
               (unsigned long long)s->key_epoch);
    } else {
        printf("%s: generation %llu of the key; %s in %llu files are of older ones\n", r->volume,
               (unsigned long long)s->key_epoch, bytes, (unsigned long long)s->old_key_files);
    }
}

/* Waits until the volume's background work has carried everything over, or has failed. */
static int wait_for_it(const struct key_request *r, struct fs *fs, struct store_stats *out)
{
    const struct timespec pause = {.tv_nsec = LOOK_EVERY_MS * 1000L * 1000};
    struct fs_stats stats;
    uint64_t total = 0;
    int err = 0;
    for (;;) {
        err = fs_get_stats(fs, &stats);
        if (err < 0 || stats.store.key_generations == 1 || fs_failure(fs))
            break;
        if (stats.store.old_key_bytes > total)
            total = stats.store.old_key_bytes;
        tell_progress("varvefs: key", total - stats.store.old_key_bytes, total);
        nanosleep(&pause, NULL);
    }
    tell_progress_end();
    *out = stats.store;
    if (err == 0 && fs_failure(fs))
        return tell_error("%s: %s", r->volume, fs_failure(fs));
    return err < 0 ? explain_volume(r->volume, err) : 0;
}

static int carry_over(const struct key_request *r, const struct passphrase *p)
{
    struct fs_options o;
    struct fs *fs = NULL;
    struct store_stats stats = {0};
    fs_options_init(&o);
    o.secret = &p->secret;
    int err = fs_open(r->volume, &o, &fs);
    if (err < 0)
        return explain_volume(r->volume, err);
    int status = wait_for_it(r, fs, &stats);
    err = fs_close(fs);
    if (status == 0 && err < 0)
        status = explain_volume(r->volume, err);
    if (status == 0)
        show_result(r, &stats);
    return status;
}

/* ---- the commands ---- */

static int show_begun(const struct key_request *r, const struct passphrase *p)
{
    struct fs_options o;
    struct fs *fs = NULL;
    struct fs_stats stats;
    fs_options_init(&o);
    o.secret = &p->secret;
    o.read_only = true;
    int err = fs_open(r->volume, &o, &fs);
    if (err == 0)
        err = fs_get_stats(fs, &stats);
    if (fs)
        fs_close(fs);
    if (err < 0)
        return explain_volume(r->volume, err);
    show_result(r, &stats.store);
    return TELL_OK;
}

int cmd_key_rotate(const struct key_request *r)
{
    struct passphrase p;
    int status = cmd_key_unlock(r, &p);
    if (status == 0)
        status = begin(r, &p);
    if (status == 0)
        status = r->later ? show_begun(r, &p) : carry_over(r, &p);
    passphrase_wipe(&p);
    return status;
}

int cmd_key_finish(const struct key_request *r)
{
    struct passphrase p;
    int status = cmd_key_unlock(r, &p);
    if (status == 0)
        status = carry_over(r, &p);
    passphrase_wipe(&p);
    return status;
}
