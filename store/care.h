/* care: which files had to be repaired while they were read, and are to be healed. One for an open
 * store. In memory only: what is damaged on disk is met again by the next read of it, or by the
 * next scrub, so the list needs no place of its own on a disk that is known to be bad. */
#ifndef VARVE_STORE_CARE_H
#define VARVE_STORE_CARE_H

#include <pthread.h>

#include "store/format.h"

struct care_file {
    enum file_kind kind;
    uint64_t number;
    uint64_t offset; /* of the first frame that had to be rebuilt */
    uint32_t frames; /* how often a frame had to be */
    bool beyond;     /* healing it was tried in vain: it stays in the list until it is gone */
};

struct care {
    pthread_mutex_t lock;
    struct care_file *files; /* [lock] in the order in which they were met */
    size_t count, cap;       /* [lock]; count is also read without, atomically */
    uint64_t repairs;        /* atomic: frames rebuilt, ever */
    uint64_t healed;         /* atomic: files that were healed, ever */
};

void care_init(struct care *c);
void care_release(struct care *c);
/* A frame of that file did not verify and was rebuilt. Counted and logged; the file is put in the
 * list, if it is not in it. `name` is for the message. Any thread. */
void care_report(struct care *c, enum file_kind kind, uint64_t number, uint64_t offset,
                 const char *name);
/* Is there anything in the list? No lock. */
bool care_any(const struct care *c);
/* The files in the list: a copy of them all, malloc'd. */
size_t care_list(struct care *c, struct care_file **out);
/* Was frames of this file repaired since it came into the list? */
bool care_has(struct care *c, enum file_kind kind, uint64_t number);
/* The file needs no healing any more: it was healed (`healed`), or is gone. */
void care_done(struct care *c, enum file_kind kind, uint64_t number, bool healed);
/* Healing it was tried in vain. */
void care_beyond(struct care *c, enum file_kind kind, uint64_t number);

/* ---- of one open file ---- */

/* What an open file tells its store. The store is known only after opening it, which may already
 * need repairs: these wait. All fields atomic. */
struct care_link {
    struct care *care; /* NULL: not known yet, or nobody */
    uint32_t waiting;
    uint64_t offset; /* of one that waits */
};
void care_link_report(struct care_link *l, enum file_kind kind, uint64_t number, uint64_t offset,
                      const char *name);
/* From now on repairs are reported to `c`; with those that wait. */
void care_link_set(struct care_link *l, struct care *c, enum file_kind kind, uint64_t number,
                   const char *name);

#endif
