/* simimage: the bytes of one simulated file, shared between copies until one of them changes.
 *
 * Sharing has two levels: whole images, and their chunks of 4 KiB. So a copy costs one counter, and
 * a small change to a large shared image costs its table of chunks and the chunks that it touches.
 * Holes and space that is reserved cost nothing. The counters are atomic, so that images that share
 * chunks may be used in different threads; one image is used by one thread at a time. */
#ifndef VARVE_TESTS_SIM_SIMIMAGE_H
#define VARVE_TESTS_SIM_SIMIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct simimage;

enum { SIMIMAGE_CHUNK = 4096 };
#define SIMIMAGE_WRITE_END_MAX (UINT64_C(16) << 30) /* no byte is written at or after it */

/* An empty one; its owner gives it back with simimage_unref(). */
struct simimage *simimage_new(void);
struct simimage *simimage_ref(struct simimage *m); /* returns `m` */
void simimage_unref(struct simimage *m);           /* NULL is ignored */

uint64_t simimage_size(const struct simimage *m);

/* Bytes of storage that it would take on a disk of its own: whole chunks, without holes, with what
 * is reserved. */
uint64_t simimage_stored_bytes(const struct simimage *m);

/* Copies what lies in [offset, offset + len) and before the end; returns how many bytes. */
size_t simimage_read(const struct simimage *m, uint64_t offset, void *data, size_t len);

/* Do both read the same? */
bool simimage_equal(const struct simimage *a, const struct simimage *b);

/* How many of the first bytes of [offset, offset + len) can be written when no more than
 * `free_bytes` of further storage are to be had. */
size_t simimage_fit(const struct simimage *m, uint64_t offset, size_t len, uint64_t free_bytes);

/* These change `*m`; other owners of the image keep what they had. What lies between an old end and
 * a new one reads as zeros. offset + len <= SIMIMAGE_WRITE_END_MAX, except that truncation may set
 * any size. Reserving does not change the size; truncation gives up what is reserved after the end.
 */
void simimage_write(struct simimage **m, uint64_t offset, const void *data, size_t len);
void simimage_truncate(struct simimage **m, uint64_t size);
void simimage_reserve(struct simimage **m, uint64_t offset, uint64_t len);
/* Whole chunks (offset and len are multiples of SIMIMAGE_CHUNK) read as zeros, without storage. */
void simimage_punch(struct simimage **m, uint64_t offset, uint64_t len);

#endif
