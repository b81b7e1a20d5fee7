/* folder: see folder.h. */
#include "store/folder.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "store/format.h"

static int is_entry(void *ctx, const char *name)
{
    enum file_kind kind;
    uint64_t number;
    (void)ctx;
    bool left = name_parse(name, &kind, &number) == 0 &&
                (kind == FILE_LOCK || kind == FILE_KEYS || kind == FILE_KEYS_TEMP);
    return left ? 0 : -ENOTEMPTY;
}

int folder_claim(struct env *env, const char *dir)
{
    assert(dir[0] != 0);
    int err = env->mkdir(env, dir);
    return err == -EEXIST ? env->list(env, dir, is_entry, NULL) : err;
}

/* "a/b//" and "a/b" lie in "a", "/a" in "/", "a" in ".". */
int folder_sync_parent(struct env *env, const char *dir)
{
    char *parent = mem_strdup(dir);
    size_t len = strlen(parent);
    while (len > 1 && parent[len - 1] == '/')
        len--;
    while (len > 0 && parent[len - 1] != '/')
        len--;
    while (len > 1 && parent[len - 1] == '/')
        len--;
    parent[len] = 0;
    int err = env->sync_dir(env, len ? parent : ".");
    free(parent);
    return err;
}
