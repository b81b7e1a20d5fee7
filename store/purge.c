/* purge: see purge.h. A number is never used twice, so a queued file can be removed at any later
 * time without harm, or not at all: the next open finds that nothing names it. The same goes for
 * holes: the manifest names what is left of a table before its hole is queued. */
#include "store/purge.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/err.h"
#include "store/parity.h"

/* What a file may take beyond its contents: file systems count some of what they need themselves.
 */
enum { STORED_EXTRA = 2 * ENV_PUNCH_UNIT };

void purge_init(struct purge *p, struct env *env, const char *dir)
{
    *p = (struct purge){.env = env, .dir = dir};
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->idle, NULL);
}

void purge_release(struct purge *p)
{
    assert(p->running == 0 && p->paused == 0);
    pthread_cond_destroy(&p->idle);
    pthread_mutex_destroy(&p->lock);
    for (size_t i = 0; i < p->count; i++)
        table_unref(p->files[i].table);
    free(p->files);
    *p = (struct purge){0};
}

static void add(struct purge *p, const struct purge_file *file)
{
    assert(file->number > 0);
    pthread_mutex_lock(&p->lock);
    if (p->count == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 16;
        p->files = mem_realloc(p->files, p->cap * sizeof *p->files);
    }
    p->files[p->count++] = *file;
    pthread_mutex_unlock(&p->lock);
}

void purge_add(struct purge *p, enum file_kind kind, uint64_t number)
{
    add(p, &(struct purge_file){.kind = kind, .number = number});
}

void purge_add_table(struct purge *p, uint64_t number, struct table *table)
{
    add(p, &(struct purge_file){.kind = FILE_TABLE, .number = number, .table = table});
}

void purge_add_hole(struct purge *p, const struct table_meta *left)
{
    struct purge_file file = {.kind = FILE_TABLE, .number = left->number};
    if (table_meta_hole(left, &file.from, &file.end))
        add(p, &file);
}

void purge_find_hole(struct purge *p, const struct table_meta *left)
{
    struct env_usage usage;
    char *path = name_file(p->dir, FILE_TABLE, left->number);
    if (p->env->file_usage(p->env, path, &usage) == 0 &&
        usage.stored_bytes > table_meta_bytes(left) + STORED_EXTRA)
        purge_add_hole(p, left);
    free(path);
}

void purge_pause(struct purge *p)
{
    pthread_mutex_lock(&p->lock);
    p->paused++;
    while (p->running > 0)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void purge_resume(struct purge *p)
{
    pthread_mutex_lock(&p->lock);
    assert(p->paused > 0);
    p->paused--;
    pthread_mutex_unlock(&p->lock);
}

bool purge_begin(struct purge *p)
{
    pthread_mutex_lock(&p->lock);
    bool go = p->paused == 0;
    p->running += go;
    pthread_mutex_unlock(&p->lock);
    return go;
}

void purge_end(struct purge *p)
{
    pthread_mutex_lock(&p->lock);
    assert(p->running > 0);
    if (--p->running == 0)
        pthread_cond_broadcast(&p->idle);
    pthread_mutex_unlock(&p->lock);
}

static bool take(struct purge *p, struct purge_file *file)
{
    pthread_mutex_lock(&p->lock);
    bool any = p->count > 0;
    if (any)
        *file = p->files[--p->count];
    pthread_mutex_unlock(&p->lock);
    return any;
}

static void remove_file(struct purge *p, const struct purge_file *file)
{
    char *path = name_file(p->dir, file->kind, file->number);
    if (file->table)
        table_forget(file->table);
    table_unref(file->table);
    int err = p->env->remove(p->env, path);
    if (err < 0 && err != -ENOENT)
        log_message(LOG_WARNING, "cannot remove %s, which is not needed any more: %s", path,
                    strerror(-err));
    free(path);
    if (file->kind == FILE_TABLE || file->kind == FILE_BLOB)
        parity_remove(p->env, p->dir, file->number); /* what stays is removed at the next open */
}

/* Has it only the name that is ours? */
static bool is_ours(struct purge *p, const char *path)
{
    struct env_usage usage;
    return p->env->file_usage(p->env, path, &usage) == 0 && usage.links == 1;
}

/* The companion is gone for good before: found beside a file with a hole it would be taken for one
 * that protects it. (Where there is none, whoever removed it has synced the folder, or the next
 * open has.) What fails is left to the next open. */
static int punch(struct purge *p, const struct purge_file *file, const char *path)
{
    struct env_file *f;
    int err = parity_remove(p->env, p->dir, file->number);
    if (err == 0)
        err = p->env->sync_dir(p->env, p->dir);
    if (err >= 0)
        err = p->env->open(p->env, path, ENV_OPEN_WRITE, &f);
    if (err < 0)
        return err;
    err = f->ops->punch(f, file->from, file->end - file->from);
    f->ops->close(f);
    if (err == 0)
        __atomic_fetch_add(&p->punched_bytes, file->end - file->from, __ATOMIC_RELAXED);
    return err;
}

static void make_hole(struct purge *p, const struct purge_file *file)
{
    char *path = name_file(p->dir, FILE_TABLE, file->number);
    int err = is_ours(p, path) ? punch(p, file, path) : 0;
    if (err < 0 && err != -ENOENT)
        log_message(LOG_WARNING, "%s: what is not needed of it cannot be given back: %s", path,
                    strerror(-err));
    free(path);
}

int purge_run(struct purge *p)
{
    struct purge_file file;
    int result = 1;
    while (purge_begin(p)) {
        bool any = take(p, &file);
        if (any && file.end)
            make_hole(p, &file);
        else if (any)
            remove_file(p, &file);
        purge_end(p);
        if (!any)
            break;
        result = 0;
    }
    return result;
}
