/* check: fs_check() of the door: the store first, then the present and each snapshot. */
#include "fs/check.h"

#include "fs/open.h"

struct counting {
    store_finding_fn *fn;
    store_progress_fn *progress;
    void *ctx; /* of both */
    struct fs_check_report *report;
    bool stopped; /* `fn` has asked for the end */
    bool super_told;
};

/* Every finding goes through here. */
static int count_finding(void *ctx, const struct store_finding *f)
{
    struct counting *k = ctx;
    uint64_t *counter = f->severity == STORE_NOTE      ? &k->report->notes
                        : f->severity == STORE_WARNING ? &k->report->warnings
                                                       : &k->report->damages;
    ++*counter;
    int stop = k->fn(k->ctx, f);
    k->stopped |= stop != 0;
    return stop;
}

static void pass_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct counting *k = ctx;
    if (k->progress)
        k->progress(k->ctx, done, total);
}

static const char *reason(int err)
{
    return corrupt_last()[0] ? corrupt_last() : strerror(-err);
}

/* The present (number 0) or a snapshot. */
static int check_tree(struct fs *fs, uint64_t number, const char *prefix, struct counting *k)
{
    struct fs_check_report ignored = {0};
    struct check c = {.fs = fs,
                      .fn = count_finding,
                      .ctx = k,
                      .report = number ? &ignored : k->report,
                      .prefix = prefix,
                      .super_told = number == 0 && k->super_told};
    int err = reader_begin(fs, ino_join(number, FS_INO_ROOT), &c.reader);
    if (err < 0)
        return err;
    c.sums = mem_zalloc(CHECK_SUMS * sizeof *c.sums);
    corrupt_forget();
    err = check_walk(&c);
    if (err == 0)
        err = check_gather_rest(&c);
    if (err < 0)
        check_say(&c, FINDING_CHUNK, STORE_DAMAGE, prefix, "%s", reason(err));
    check_sort(&c);
    check_damaged(&c);
    if (err == 0) { /* otherwise whatever was not met would be missed */
        check_links(&c);
        check_quotas(&c);
    }
    reader_end(&c.reader);
    if (c.inode_count + c.entry_count > k->report->lines)
        k->report->lines = c.inode_count + c.entry_count;
    free(c.sums);
    free(c.inodes);
    free(c.entries);
    free(c.orphans);
    free(c.quotas);
    free(c.policies);
    return 0;
}

static int check_snapshots(struct fs *fs, struct counting *k)
{
    int err = 0;
    for (size_t i = 0; i < fs->snapshots.count && err == 0 && !k->stopped; i++) {
        const struct snapshot_entry *s = &fs->snapshots.entries[i];
        char *prefix = mem_printf("/%s/%s/%s", FS_CONTROL_NAME, FS_SNAPSHOTS_NAME, s->name);
        err = check_tree(fs, s->number, prefix, k);
        free(prefix);
    }
    return err;
}

static int check_trees(struct fs *fs, bool snapshots, struct counting *k)
{
    corrupt_forget();
    int err = volume_load(fs, NULL);
    if (err == -EIO) {
        struct store_finding f = {.code = FINDING_SUPER,
                                  .severity = STORE_DAMAGE,
                                  .file = "",
                                  .offset = UINT64_MAX,
                                  .text = reason(err)};
        count_finding(k, &f);
        k->super_told = true;
        err = 0;
    }
    bool readable = fs->super.chunk_bytes != 0;
    if (err == 0 && readable && !k->stopped)
        err = check_tree(fs, 0, "", k);
    if (err == 0 && readable && snapshots)
        err = check_snapshots(fs, k);
    volume_release(fs);
    return err;
}

static int check_open(struct store *s, bool snapshots, struct counting *k)
{
    struct fs *fs = mem_zalloc(sizeof *fs);
    fs->store = s;
    fs->read_only = true;
    policy_init(fs);
    int err = store_check(s, count_finding, pass_progress, k);
    if (err == 0 && !k->stopped)
        err = check_trees(fs, snapshots, k);
    policy_release(fs);
    free(fs);
    return err;
}

int fs_check(const char *path, const struct fs_options *o, bool snapshots, store_finding_fn *fn,
             store_progress_fn *progress, void *ctx, struct fs_check_report *report)
{
    struct counting k = {.fn = fn, .progress = progress, .ctx = ctx, .report = report};
    struct fs_options read_only = *o;
    struct store_options so;
    struct store *s;
    *report = (struct fs_check_report){0};
    read_only.read_only = true;
    open_store_options(&so, &read_only);
    int err = store_open(path, &so, &s);
    if (err == -EIO)
        return store_check_closed(path, &so, count_finding, &k);
    if (err < 0)
        return err;
    err = check_open(s, snapshots, &k);
    store_close(s);
    return err;
}

int fs_check_keyless(const char *path, store_finding_fn *fn, store_progress_fn *progress, void *ctx,
                     struct fs_check_report *report)
{
    struct counting k = {.fn = fn, .progress = progress, .ctx = ctx, .report = report};
    struct store_options so;
    *report = (struct fs_check_report){0};
    store_options_init(&so);
    return store_check_keyless(path, &so, count_finding, pass_progress, &k);
}
