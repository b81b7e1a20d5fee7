/* live: the files of /.varve: `stats` (figures for people), `metrics` (the same in Prometheus' text
 * format) and `config` (the settings in force; what is written there changes them).
 *
 * Their contents are made when somebody looks, so the size that stat(2) tells has to be that of the
 * very text that is read then; and with write-back caching the kernel never takes another size for
 * a file that it knows. So each look-up gives an inode of its own, with a text that does not change
 * any more: node numbers are turn << 48 | file number, while stat(2) shows the file number alone.
 * Look-ups within a moment share one. All functions are thread-safe. */
#ifndef VARVE_MOUNT_LIVE_H
#define VARVE_MOUNT_LIVE_H

#include "fs/fs.h"

struct live;

struct live *live_new(struct fs *fs);
void live_free(struct live *l); /* NULL: nothing */

/* Is that the node number of one of the files? */
bool live_is(uint64_t node);

/* Is it, in /.varve, the name of one of the files? */
bool live_is_name(const char *name);

/* The files one after the other, from 0: name and type; false: there are no more. */
bool live_list(unsigned index, const char **name, struct fs_attr *attr);

/* The file of that name: a node, and a reference on it, until live_forget(). 0, 1 (there is none),
 * or a negative errno. */
int live_lookup(struct live *l, const char *name, uint64_t *node, struct fs_attr *attr);
void live_forget(struct live *l, uint64_t node, uint64_t count);

/* -ESTALE: nobody holds such a node. */
int live_getattr(struct live *l, uint64_t node, struct fs_attr *attr);
int live_read(struct live *l, uint64_t node, uint64_t offset, void *data, size_t size, size_t *got);
/* May it be opened for writing? 0 or -EACCES. */
int live_check_writable(uint64_t node);
/* Takes whole lines, wherever in the file they are written, as config_apply() has it; what is wrong
 * with them is logged, and the next text of `config` shows it until something is accepted. */
int live_write(struct live *l, uint64_t node, const void *data, size_t size);
/* How many of the bytes that were written at `offset` are the node's own text, in its place and to
 * its end: the kernel's cache writes whole pages, with what was in them before. */
size_t live_own(struct live *l, uint64_t node, uint64_t offset, const void *data, size_t size);
/* No further look-up is given this node: the kernel may have another idea of its size. */
void live_retire(struct live *l, uint64_t node);

#endif
