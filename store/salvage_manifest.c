/* salvage_manifest: what the manifests of a store say, and whose files those are when none does.
 *
 * How a volume sees a table is in its manifest alone: the number that ingested entries have, and
 * where a checkpoint was cut (table_lens.c). So every edit of every manifest that can be read is
 * asked, also of one that is of no use as a base, and also for tables that a later edit removed:
 * their files may still be there. */
#include "store/salvage_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "store/err.h"
#include "store/file.h"

enum { UUIDS_MAX = 16 };

const uint8_t *salvage_uuid(const struct salvage *s, uint64_t number)
{
    return lineage_uuid(&s->lineage, number, s->uuid);
}

/* ---- without a manifest ---- */

struct vote {
    uint8_t uuid[UUID_SIZE];
    uint32_t count;
};

static bool read_uuid(const struct salvage *s, const struct salvage_file *f, uint8_t *uuid)
{
    struct file file;
    if (f->kind > FILE_BLOB || file_open_maybe(s->env, s->dir, f->kind, f->number, NULL, &file))
        return false;
    memcpy(uuid, file.header.uuid, UUID_SIZE);
    file_close(&file);
    return true;
}

static void count_vote(struct vote *votes, uint32_t *known, const uint8_t *uuid)
{
    uint32_t at = 0;
    while (at < *known && memcmp(votes[at].uuid, uuid, UUID_SIZE) != 0)
        at++;
    if (at == *known && *known < UUIDS_MAX)
        memcpy(votes[(*known)++].uuid, uuid, UUID_SIZE);
    if (at < *known)
        votes[at].count++;
}

/* Of most files of these kinds; false: there is none. */
static bool elect(struct salvage *s, enum file_kind first, enum file_kind last)
{
    struct vote votes[UUIDS_MAX] = {0};
    uint32_t known = 0, best = 0;
    uint8_t uuid[UUID_SIZE];
    for (size_t i = 0; i < s->file_count; i++)
        if (s->files[i].kind >= first && s->files[i].kind <= last &&
            read_uuid(s, &s->files[i], uuid))
            count_vote(votes, &known, uuid);
    for (uint32_t i = 1; i < known; i++)
        if (votes[i].count > votes[best].count)
            best = i;
    if (known > 0)
        memcpy(s->uuid, votes[best].uuid, UUID_SIZE);
    return known > 0;
}

/* Files of other volumes, all below the first own one, in rows: of ancestors, as far as one can
 * see. */
static void guess_lineage(struct salvage *s)
{
    uint8_t uuid[UUID_SIZE], before[UUID_SIZE];
    uint64_t end = 0;
    for (size_t i = 0; i < s->file_count; i++) {
        if (!read_uuid(s, &s->files[i], uuid))
            continue;
        if (end > 0 && memcmp(uuid, before, UUID_SIZE) != 0)
            lineage_add(&s->lineage, end, before);
        if (memcmp(uuid, s->uuid, UUID_SIZE) == 0)
            break;
        memcpy(before, uuid, UUID_SIZE);
        end = s->files[i].number + 1;
    }
    if (s->lineage.count > 0)
        salvage_tell(s, FINDING_SALVAGE_PLACE, STORE_WARNING, FILE_MANIFEST, 0, UINT64_MAX,
                     "files of another volume, with lower numbers than any of this one, are taken "
                     "for what it shares with the one that it is a checkpoint of");
}

int salvage_find_uuid(struct salvage *s)
{
    /* Manifests and logs are never shared; a volume may share more tables than it has made. */
    if (!elect(s, FILE_MANIFEST, FILE_LOG) && !elect(s, FILE_TABLE, FILE_BLOB))
        return corrupt(s->dir, UINT64_MAX, "no file of a volume that can be read is in it");
    guess_lineage(s);
    return 0;
}

/* ---- which manifest ---- */

static bool is_there(const struct salvage *s, enum file_kind kind, uint64_t number)
{
    for (size_t i = 0; i < s->file_count; i++)
        if (s->files[i].kind == kind && s->files[i].number == number)
            return true;
    return false;
}

static bool complete(const struct salvage *s, const struct version *v)
{
    for (int level = 0; level < LEVEL_COUNT; level++)
        for (uint32_t i = 0; i < v->levels[level].count; i++)
            if (!is_there(s, FILE_TABLE, v->levels[level].tables[i]->number))
                return false;
    for (uint32_t i = 0; i < v->blob_count; i++)
        if (!is_there(s, FILE_BLOB, v->blobs[i].blob->number))
            return false;
    return true;
}

/* A manifest that ends in bytes that do not verify may have lost edits, and with them the names of
 * files: is there a table that it does not name? */
static bool names_all_tables(const struct salvage *s, const struct version *v)
{
    uint64_t named = 0, there = 0;
    for (int level = 0; level < LEVEL_COUNT; level++)
        named += v->levels[level].count;
    for (size_t i = 0; i < s->file_count; i++)
        there += s->files[i].kind == FILE_TABLE;
    return there <= named;
}

/* Takes it if it is a better base than what there is. A version points to the salvage's uuid and
 * lineage, so both are those of the one that is taken. */
static void offer(struct salvage *s, struct salvage_best *b, uint64_t number, bool in_force)
{
    struct version *v;
    enum journal_end end;
    struct lineage kept = s->lineage;
    uint8_t uuid[UUID_SIZE];
    memcpy(uuid, s->uuid, UUID_SIZE);
    s->lineage = (struct lineage){0};
    bool good = manifest_read_file(&s->source, s->uuid, number, &v, &end) == 0;
    struct salvage_best new = {.version = v, .number = number, .in_force = in_force};
    if (good) {
        new.clean = end == JOURNAL_CLEAN;
        new.complete = complete(s, v) && (new.clean || names_all_tables(s, v));
    }
    if (good && (!b->version || (new.complete && !b->complete))) {
        version_unref(b->version);
        lineage_release(&kept);
        *b = new;
    } else {
        version_unref(v);
        lineage_release(&s->lineage);
        s->lineage = kept;
        memcpy(s->uuid, uuid, UUID_SIZE);
    }
}

void salvage_find_manifest(struct salvage *s, struct salvage_best *b)
{
    uint64_t current = 0;
    *b = (struct salvage_best){0};
    if (manifest_current(s->env, s->dir, &current) == 0)
        offer(s, b, current, true);
    for (size_t i = s->file_count; i-- > 0 && !b->complete;)
        if (s->files[i].kind == FILE_MANIFEST && s->files[i].number != current)
            offer(s, b, s->files[i].number, false);
}

/* ---- what is known of tables ---- */

static void note_table(void *ctx, struct table_meta *meta)
{
    struct salvage *s = ctx;
    s->known = mem_realloc(s->known, (s->known_count + 1) * sizeof(struct table_meta *));
    s->known[s->known_count++] = table_meta_ref(meta);
}

static int by_number(const void *a, const void *b)
{
    const struct table_meta *x = *(struct table_meta *const *)a,
                            *y = *(struct table_meta *const *)b;
    return (x->number > y->number) - (x->number < y->number);
}

void salvage_know(struct salvage *s)
{
    for (size_t i = 0; i < s->file_count; i++)
        if (s->files[i].kind == FILE_MANIFEST)
            manifest_each_table(s->env, s->dir, s->files[i].number, s->uuid, note_table, s);
    if (s->known_count)
        qsort(s->known, s->known_count, sizeof(struct table_meta *), by_number);
}

struct table_meta *salvage_known(const struct salvage *s, uint64_t number)
{
    size_t low = 0, high = s->known_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->known[mid]->number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low < s->known_count && s->known[low]->number == number ? s->known[low] : NULL;
}
