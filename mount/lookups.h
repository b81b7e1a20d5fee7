/* lookups: how often the kernel has been told of each inode, and how many open descriptions may
 * write to it.
 *
 * The kernel keeps an inode as long as it likes and gives it back with FORGET; an inode without a
 * name must live until then. Only inodes of the present are counted: those of snapshots, the root
 * and the control folders cannot go.
 *
 * Memory: after a walk through ten million files the kernel may know all of them. Sixteen
 * neighbours share 43 bytes at most while none is forgotten, and 64 as some are: so numbers that
 * were given out one after the other take 3 bytes each, then 4, and single ones 43, then 64. One
 * that is told of 15 times or more, or has several writers, takes as much once more. All functions
 * are thread-safe. */
#ifndef VARVE_MOUNT_LOOKUPS_H
#define VARVE_MOUNT_LOOKUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lookups;

/* Is told, with ctx, how much memory the table takes whenever that has changed, in no order. NULL
 * is fine. */
typedef void lookups_memory_fn(void *ctx, size_t bytes);
struct lookups *lookups_new(lookups_memory_fn *fn, void *ctx);
void lookups_free(struct lookups *t);

/* To be called before the reply that tells of the inode: its FORGET may come at once. */
void lookups_add(struct lookups *t, uint64_t ino);
/* Takes `count` back. True when none is left, so that the inode may be forgotten. */
bool lookups_forget(struct lookups *t, uint64_t ino, uint64_t count);

/* An open description that may write, of an inode that the kernel knows. */
void lookups_open(struct lookups *t, uint64_t ino);
void lookups_close(struct lookups *t, uint64_t ino);
bool lookups_has_writer(struct lookups *t, uint64_t ino);

/* Inodes that the kernel knows of, and the memory that knowing this takes. */
size_t lookups_count(struct lookups *t);
size_t lookups_bytes(struct lookups *t);

#endif
