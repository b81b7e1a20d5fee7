/* check_priv: shared by the files of module check. */
#ifndef VARVE_STORE_CHECK_PRIV_H
#define VARVE_STORE_CHECK_PRIV_H

#include "store/check.h"

struct check_report {
    store_finding_fn *fn;
    void *ctx;
    store_progress_fn *progress;
    const struct store_prefix *prefix; /* the opener's; may be NULL */
    uint64_t done, total;              /* bytes */
    int stopped;                       /* what `fn` returned to stop; 0: go on */
};

void check_tell(struct check_report *r, int code, enum store_severity severity, const char *file,
                uint64_t offset, const char *text);
/* After an operation failed with `err`: what was raised, or the error's own text. */
void check_tell_error(struct check_report *r, int code, const char *file, int err);
void check_did(struct check_report *r, uint64_t bytes);

/* One value that something refers to. */
struct check_ref {
    uint64_t file, offset;
    uint32_t len, raw_len;
    bool flushed; /* by a table, not a memtable: in the manifest's account */
};
struct check_refs {
    struct check_ref *list;
    size_t count, cap;
};
void check_refs_add(struct check_refs *refs, const struct blob_ref *ref, bool flushed);

/* Every frame that is referred to, file by file in the order of offsets, and the manifest's
 * accounts. Sorts `refs`. */
void check_blobs(struct check_report *r, struct tree *t, struct view *v, struct check_refs *refs);
/* Names in the folder, and the ends of logs and manifest. */
void check_folder(struct check_report *r, struct tree *t, struct view *v);

/* Whether CURRENT names a manifest; if not, that is told. */
bool check_current(struct check_report *r, struct env *env, const char *dir);

#endif
