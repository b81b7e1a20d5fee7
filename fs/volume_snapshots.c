/* volume_snapshots: the table of snapshots in memory; see volume.h.
 *
 * Invariant: entries ascend by number. */
#include "fs/volume.h"

size_t snapshot_place(const struct snapshot_table *t, uint64_t number)
{
    size_t lo = 0, hi = t->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->entries[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void snapshot_insert(struct snapshot_table *t, const struct snapshot_entry *entry)
{
    size_t at = snapshot_place(t, entry->number);
    assert(entry->number >= 1 && entry->number <= FS_TREES_MAX);
    assert(at == t->count || t->entries[at].number > entry->number);
    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 16;
        t->entries = mem_realloc(t->entries, t->cap * sizeof *t->entries);
    }
    memmove(t->entries + at + 1, t->entries + at, (t->count - at) * sizeof *t->entries);
    t->entries[at] = *entry;
    t->count++;
}

struct snapshot_entry snapshot_remove(struct snapshot_table *t, size_t place)
{
    assert(place < t->count);
    struct snapshot_entry gone = t->entries[place];
    t->count--;
    memmove(t->entries + place, t->entries + place + 1, (t->count - place) * sizeof *t->entries);
    return gone;
}
