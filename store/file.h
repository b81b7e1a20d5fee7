/* file: a numbered file of the volume: how it begins, and how frames are read from it.
 *
 * What does not verify, or cannot be read, of a table or blob file that has parity (parity.h) is
 * rebuilt from it, in memory: reading never writes. The store is told (care.h), which heals the
 * file.
 *
 * Logs, manifests, tables and blob files all start with a file header (format.h) that holds a fresh
 * random salt, and all bind their frames to that header (codec.h). This module writes the header,
 * checks it at opening, and reads single frames by reference. */
#ifndef VARVE_STORE_FILE_H
#define VARVE_STORE_FILE_H

#include "store/care.h"
#include "store/codec.h"
#include "store/env.h"

/* An open file whose header is sound. Everything but `io` is fixed once it is open, so any number
 * of threads may use it at once (env.h). Zero-initialised is "not open". */
struct file {
    struct env_file *io;
    char *path; /* also the name in messages */
    struct file_header header;
    struct codec_file codec;
    struct crypt_key *key; /* NULL: the file is not encrypted, or open without its key */
    struct env *env;
    struct care_link *link; /* of tables and blob files that are open for reading; else NULL */
};

/* Creates file `number` of `kind` in `dir` and writes its header (FILE_HEADER_SIZE bytes at offset
 * 0; frames begin behind it). If the volume has keys (env->keys) it is encrypted, with a key of the
 * current generation. Does not sync, neither file nor folder. -EEXIST if it is there, or
 * another I/O error; nothing is left open or, as far as it can be removed, on disk then. */
int file_create(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                const uint8_t uuid[UUID_SIZE], struct file *out);

/* Opens for reading a file that must be there, and checks that it is what it claims: kind, number
 * (a file that was swapped or renamed), volume (`uuid`; NULL: not checked), and that it is
 * encrypted if and only if the volume is. Returns 0; -EIO raised by corrupt() also for a file that
 * is missing or too short; -EPROTONOSUPPORT, logged, for a later format or an unknown cipher;
 * -ENOKEY, logged, for an encrypted file when there are no keys; or another I/O error. */
int file_open(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
              const uint8_t uuid[UUID_SIZE], struct file *out);

/* The same for a file that may be missing or cut off while it was created: -ENOENT, or 1 when it is
 * shorter than a header or its header is all zeros; neither is raised. */
int file_open_maybe(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                    const uint8_t uuid[UUID_SIZE], struct file *out);

/* The same as file_open_maybe(), for somebody who has no keys and only looks at checksums: the file
 * may be encrypted, and its frames can be verified but not decoded. */
int file_open_keyless(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                      struct file *out);

/* Closes without syncing and frees what `f` holds; a file that is not open is fine. */
void file_close(struct file *f);

/* Who is told of repairs, also of those that opening took; `care` lives longer than the file. */
void file_set_care(const struct file *f, struct care *care);

/* The size in bytes. `whole`: what it was, if the file was cut off and has parity. */
int file_size(const struct file *f, bool whole, uint64_t *size);
/* `len` bytes at `offset`, rebuilt from parity where they are damaged or cannot be read; they are
 * as they were written, but what they say is for the caller to verify, who then calls
 * file_repaired(). Returns 0, or 1 when that cannot be done. */
int file_restore(const struct file *f, uint64_t offset, void *data, size_t len);
void file_repaired(const struct file *f, uint64_t offset);

/* Reads exactly `len` bytes at `offset`. Returns 0, -EIO raised by corrupt() when the file ends
 * before, or another I/O error (logged). */
int file_read(const struct file *f, uint64_t offset, void *data, size_t len);

/* Reads and verifies the frame at `where`, which may come from a damaged place: lengths are checked
 * before memory is taken. Rebuilt from parity if need be. Replaces `*frame` by header and payload
 * as stored; `*h` is the header; frame_unpack() of frame_stored() gives the value. Returns 0, -EIO
 * raised by corrupt(), or another I/O error. */
int file_read_frame(const struct file *f, const struct frame_ref *where, struct buf *frame,
                    struct frame_header *h);
/* The same without raising: 1 when the frame is not whole and sound. */
int file_probe_frame(const struct file *f, const struct frame_ref *where, struct buf *frame,
                     struct frame_header *h);
/* Is there a hole a little behind `at`, where no frame is: does the next ENV_PUNCH_UNIT read as
 * zeros? Then where it ends, `end` at the most; otherwise `at`. For who has nothing but the file: a
 * compaction in slices gives the front of tables back (compact_slice.h). */
uint64_t file_hole_end(const struct file *f, uint64_t at, uint64_t end);

#endif
