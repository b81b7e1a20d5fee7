/* salvage_priv: shared by the files of module salvage. */
#ifndef VARVE_STORE_SALVAGE_PRIV_H
#define VARVE_STORE_SALVAGE_PRIV_H

#include "store/cache.h"
#include "store/manifest.h"
#include "store/memtable.h"
#include "store/salvage.h"

struct salvage_file {
    enum file_kind kind;
    uint64_t number, bytes;
};

struct salvage {
    struct env *env;
    const char *dir;
    struct store_options opt;
    uint8_t uuid[UUID_SIZE];
    struct cache *cache;
    struct version_source source; /* its uuid and lineage are the two here */
    struct lineage lineage;       /* whose files those of an ancestor are */
    store_finding_fn *fn;
    store_progress_fn *progress;
    void *ctx;
    struct store_salvage_report *report;

    struct salvage_file *files; /* everything with a number, ascending */
    size_t file_count, file_cap;
    uint64_t next_file;
    uint64_t done_bytes, total_bytes;
    struct edit edit; /* of what is found and made */

    struct table_meta **known; /* references; ascending number */
    size_t known_count;

    /* sources of entries */
    struct iter **children;
    size_t child_count;
    struct rangedel_builder *dels;
    uint64_t max_seq; /* of everything that was found */
};

void salvage_tell(struct salvage *s, int code, enum store_severity severity, enum file_kind kind,
                  uint64_t number, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
void salvage_did(struct salvage *s, uint64_t bytes);
void salvage_add_child(struct salvage *s, struct iter *it);
void salvage_add_rangedels(struct salvage *s, const struct rangedel *r);
/* Copies a file to NAME.damaged, unreadable places as zeros. */
int salvage_keep_copy(struct salvage *s, enum file_kind kind, uint64_t number);

/* ---- salvage_manifest.c ---- */

struct salvage_best {
    struct version *version; /* a reference; NULL: none can be read */
    uint64_t number;
    bool in_force; /* CURRENT names it */
    bool clean;    /* it ends as it should */
    bool complete; /* all files that it names are there */
};
/* The newest manifest of which all is there, or the newest that can be read; its uuid and ancestors
 * are the salvage's then. */
void salvage_find_manifest(struct salvage *s, struct salvage_best *out);
/* With no manifest: which volume it is, and what it shares with the one that it is a checkpoint of,
 * by the headers of the files. 0, or -EIO: there is none that can be read. */
int salvage_find_uuid(struct salvage *s);
/* Of the volume that file `number` should be of. */
const uint8_t *salvage_uuid(const struct salvage *s, uint64_t number);
/* Collects what any manifest that can be read says, or once said, of tables: how the volume sees
 * them is written nowhere else. Once. */
void salvage_know(struct salvage *s);
/* What is known of table `number`, borrowed, or NULL. */
struct table_meta *salvage_known(const struct salvage *s, uint64_t number);

/* ---- salvage_table.c ---- */

/* Opens the table and reads all of it. `meta`: what the manifest has of it; NULL: it is not known.
 * 0 with the table (a reference), or 1: something in it is damaged. */
int salvage_open_table(struct salvage *s, uint64_t number, struct table_meta *meta,
                       struct table **out);
/* What is sound in a damaged table, as the volume sees it if `meta` is there: its entries, and its
 * tombstones to `dels`. `*lost`: bytes of the file that could not be read. `*placed_later`: see
 * struct table_meta; false if the properties cannot be read. */
void salvage_scan_table(struct salvage *s, uint64_t number, const struct table_meta *meta,
                        struct memtable *out, struct rangedel_builder *dels, uint64_t *lost,
                        bool *placed_later);

/* ---- salvage_log.c ---- */

/* All logs from number `from` on become sources. */
int salvage_logs(struct salvage *s, uint64_t from);

/* ---- salvage_build.c ---- */

/* Writes the sources to tables of `level`, which the edit adds. Sources are used up. */
int salvage_build(struct salvage *s, int level);
/* Adds to the edit the blob files that its tables refer to, with their accounts. */
int salvage_blobs(struct salvage *s);

#endif
