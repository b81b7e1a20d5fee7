/* simdisk_priv: what the files that make up simdisk share. Nothing else includes it. */
#ifndef VARVE_TESTS_SIM_SIMDISK_PRIV_H
#define VARVE_TESTS_SIM_SIMDISK_PRIV_H

#include <sys/queue.h>

#include "tests/sim/simdisk.h"
#include "tests/sim/simfile.h"
#include "tests/sim/simrng.h"
#include "tests/sim/simtree.h"

struct simnode {
    bool used;
    bool is_folder;
    bool nameless;       /* a file without a name that handles still keep */
    unsigned handles;    /* and locks */
    struct simfile file; /* valid if used and not a folder */
};

/* What env hands out for a file. After a crash `node` is SIM_NO_NODE: the handle is dead. */
struct simhandle {
    struct env_file base;
    struct simdisk *disk;
    char *path;
    uint32_t node;
    bool writable;
    LIST_ENTRY(simhandle) link;
};

struct env_lock {
    uint32_t node; /* SIM_NO_NODE: dead */
    bool exclusive;
    LIST_ENTRY(env_lock) link;
};

struct simfault {
    struct sim_fault spec; /* without its path_part: */
    char path_part[SIM_NAME_MAX + 1];
};

struct simdisk {
    struct env env; /* ctx points back to the disk */
    struct simtree tree;
    struct simnode *nodes; /* by number; SIM_ROOT is the first */
    uint32_t node_count, node_cap;
    LIST_HEAD(, simhandle) handles;
    LIST_HEAD(, env_lock) locks;
    struct simrng rng;
    uint64_t clock_ns; /* since 1970 */
    uint64_t ops;
    sim_listen_fn *listen;
    void *listen_ctx;
    uint64_t cut_left; /* the power is cut when it reaches 0; 0: not armed */
    enum sim_cut cut_how;
    bool is_cut;
    struct simfault faults[SIM_FAULTS_MAX];
    size_t fault_count;
    uint64_t capacity_bytes;
};

enum { SIM_CALL_NS = 1000 }; /* how far each call moves the clocks */
#define SIM_CAPACITY_DEFAULT (UINT64_C(1) << 50)

/* The disk whose env it is. */
struct simdisk *simdisk_of(struct env *env);

/* Every call of the env begins here: the clock moves, changes are counted, the cut and the faults
 * have their turn. Returns what the call must return in the end, and in `*go` whether it has an
 * effect all the same: always if 0 is returned; otherwise a part of its effect, or all, as the call
 * likes. */
int simdisk_enter(struct simdisk *d, enum sim_call call, const char *path, bool *go);

/* A node in a free place: its number, valid until no name, change or handle refers to it. */
uint32_t simdisk_add_node(struct simdisk *d, bool is_folder);
/* Frees the nodes that nothing refers to. */
void simdisk_collect(struct simdisk *d);

/* One handle or lock less on the node; a file that has no name either is gone then. */
void simdisk_drop_handle(struct simdisk *d, uint32_t node);
/* What files may still take; 0 if the capacity was set below what is used. */
uint64_t simdisk_free_bytes(const struct simdisk *d);

/* Where the file at `path` is. -ENOENT, -EISDIR and what simtree_resolve() returns; `*place` is as
 * that left it. */
int simdisk_find(const struct simdisk *d, const char *path, struct simentry *place);
/* Makes a file or folder at `place`, where nothing is and whose folder is; returns its node. */
uint32_t simdisk_make_node(struct simdisk *d, struct simentry *place, bool is_folder);
/* Makes a file; `*out` is set on success only. Errors as of env.open. */
int simdisk_create(struct simdisk *d, const char *path, struct env_file **out);
/* A new handle, which close() frees, on the file at `node`. */
struct env_file *simdisk_new_handle(struct simdisk *d, const char *path, uint32_t node,
                                    bool writable);

/* The calls of the env on paths: contracts in env.h. */
int simdisk_open(struct env *env, const char *path, enum env_open_mode mode, struct env_file **out);
int simdisk_remove(struct env *env, const char *path);
int simdisk_rename(struct env *env, const char *from, const char *to);
int simdisk_link(struct env *env, const char *from, const char *to);
int simdisk_mkdir(struct env *env, const char *path);
int simdisk_list(struct env *env, const char *path, env_list_fn *fn, void *fn_ctx);
int simdisk_sync_dir(struct env *env, const char *path);
int simdisk_file_size(struct env *env, const char *path, uint64_t *size);
int simdisk_file_usage(struct env *env, const char *path, struct env_usage *out);

/* All of them, with `ctx` still to be set. */
extern const struct env simdisk_env_table;

#endif
