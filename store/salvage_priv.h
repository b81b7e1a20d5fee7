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
    struct version_source source;
    store_finding_fn *fn;
    store_progress_fn *progress;
    void *ctx;
    struct store_salvage_report *report;

    struct salvage_file *files; /* everything with a number, ascending */
    size_t file_count, file_cap;
    uint64_t next_file;
    uint64_t done_bytes, total_bytes;
    struct edit edit; /* of what is found and made */

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

/* ---- salvage_table.c ---- */

/* Opens the table and reads all of it. 0 with the table (a reference), or 1: something in it is
 * damaged. */
int salvage_open_table(struct salvage *s, uint64_t number, struct table **out);
/* What is sound in a damaged table: its entries, and its tombstones to `dels`. `*lost`: bytes of
 * the file that could not be read. */
void salvage_scan_table(struct salvage *s, uint64_t number, struct memtable *out,
                        struct rangedel_builder *dels, uint64_t *lost);

/* ---- salvage_log.c ---- */

/* All logs from number `from` on become sources. */
int salvage_logs(struct salvage *s, uint64_t from);

/* ---- salvage_build.c ---- */

/* Writes the sources to tables of `level`, which the edit adds. Sources are used up. */
int salvage_build(struct salvage *s, int level);
/* Adds to the edit the blob files that its tables refer to, with their accounts. */
int salvage_blobs(struct salvage *s);

#endif
