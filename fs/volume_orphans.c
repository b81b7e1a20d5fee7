/* volume_orphans: the set of orphans in memory; see volume.h. Open addressing with linear probing.
 *
 * Invariants:
 *   1. At most half of the places are taken, so every probe ends.
 *
 *   2. Between a number's home and its place all places are taken. */
#include "fs/volume.h"

static size_t home(const struct orphan_set *s, uint64_t ino)
{
    return (size_t)((ino * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (s->cap - 1);
}

static void insert(struct orphan_set *s, uint64_t ino)
{
    assert(ino != 0 && 2 * s->count < s->cap);
    size_t i = home(s, ino);
    while (s->inos[i] && s->inos[i] != ino)
        i = (i + 1) & (s->cap - 1);
    s->count += s->inos[i] == 0;
    s->inos[i] = ino;
}

static void grow(struct orphan_set *s)
{
    struct orphan_set old = *s;
    s->cap = old.cap ? old.cap * 2 : 64;
    s->inos = mem_zalloc(s->cap * sizeof *s->inos);
    s->count = 0;
    for (size_t i = 0; i < old.cap; i++)
        if (old.inos[i])
            insert(s, old.inos[i]);
    free(old.inos);
}

static void hint(struct orphan_set *s)
{
    __atomic_store_n(&s->count_hint, s->count, __ATOMIC_RELEASE);
}

void orphan_add(struct fs *fs, uint64_t ino)
{
    struct orphan_set *s = &fs->orphans;
    assert(ino != 0);
    pthread_mutex_lock(&s->lock);
    if (2 * (s->count + 1) > s->cap)
        grow(s);
    insert(s, ino);
    hint(s);
    pthread_mutex_unlock(&s->lock);
}

/* Closes the gap at `i`: whatever was pushed behind it moves up (deletion in linear probing). */
static void close_gap(struct orphan_set *s, size_t i)
{
    for (size_t j = (i + 1) & (s->cap - 1); s->inos[j]; j = (j + 1) & (s->cap - 1)) {
        size_t distance = (j - home(s, s->inos[j])) & (s->cap - 1);
        if (distance >= ((j - i) & (s->cap - 1))) {
            s->inos[i] = s->inos[j];
            i = j;
        }
    }
    s->inos[i] = 0;
}

bool orphan_take(struct fs *fs, uint64_t ino)
{
    struct orphan_set *s = &fs->orphans;
    if (ino == 0 || __atomic_load_n(&s->count_hint, __ATOMIC_ACQUIRE) == 0)
        return false;
    pthread_mutex_lock(&s->lock);
    size_t i = home(s, ino);
    while (s->inos[i] && s->inos[i] != ino)
        i = (i + 1) & (s->cap - 1);
    bool found = s->inos[i] == ino;
    if (found) {
        assert(s->count > 0);
        close_gap(s, i);
        s->count--;
        hint(s);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

size_t orphan_list(struct fs *fs, uint64_t **list)
{
    struct orphan_set *s = &fs->orphans;
    size_t count = 0;
    pthread_mutex_lock(&s->lock);
    *list = mem_alloc((s->count + 1) * sizeof **list);
    for (size_t i = 0; i < s->cap; i++)
        if (s->inos[i])
            (*list)[count++] = s->inos[i];
    assert(count == s->count);
    pthread_mutex_unlock(&s->lock);
    return count;
}
