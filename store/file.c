/* file: see file.h. Every numbered file of the volume passes through here when it begins and when
 * it is opened, so there is one place that decides what counts as the right file.
 *
 * Guarantees: a file that opens is the one that was asked for: its header is whole, and names this
 * kind, this number and, if asked, this volume. A reference never makes the reader take more memory
 * than the file has bytes, but for a small constant.
 *
 * Invariants:
 * 1. Every file has a salt of its own, so that two files never share a frame's checksum seed.
 * 2. On failure nothing is open and `*out` is as file_close() leaves it. */
#include "store/file.h"

#include "store/err.h"
#include "store/keyring.h"
#include "store/parity.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* Memory up to this is taken for a frame before it is known that the file is that long. */
enum { FRAME_TRUSTED_BYTES = 1 << 20 };

static bool file_is_open(const struct file *f)
{
    return f->io != NULL;
}

void file_close(struct file *f)
{
    assert(!file_is_open(f) || f->path);
    if (file_is_open(f))
        f->io->ops->close(f->io);
    crypt_key_free(f->key);
    free(f->path);
    free(f->link);
    *f = (struct file){0};
}

/* Logs what the system refused; faults of the disk are told apart from corruption, which is ours.
 */
static int io_failed(const struct file *f, const char *what, int err)
{
    assert(err < 0);
    log_message(LOG_ERROR, "%s: cannot %s: %s", f->path, what, strerror(-err));
    return err;
}

/* ---- parity ---- */

/* Opens the companion. 0 or 1; only tables and blob files that are open for reading have one. */
static int companion_open(const struct file *f, struct parity **out)
{
    *out = NULL;
    if (!f->link)
        return 1;
    return parity_open(f->env, f->path, f->header.number, out) == 0 ? 0 : 1;
}

void file_set_care(const struct file *f, struct care *care)
{
    if (f->link)
        care_link_set(f->link, care, f->header.kind, f->header.number, f->path);
}

void file_repaired(const struct file *f, uint64_t offset)
{
    assert(f->link);
    care_link_report(f->link, f->header.kind, f->header.number, offset, f->path);
}

int file_restore(const struct file *f, uint64_t offset, void *data, size_t len)
{
    struct parity *p;
    if (companion_open(f, &p) != 0)
        return 1;
    int rc = parity_restore(p, f->io, offset, data, len);
    parity_free(p);
    return rc;
}

int file_size(const struct file *f, bool whole, uint64_t *size)
{
    struct parity *p;
    int rc = f->io->ops->size(f->io, size);
    if (rc)
        return io_failed(f, "get the size", rc);
    if (whole && companion_open(f, &p) == 0) {
        uint64_t was = parity_get_layout(p)->file_bytes;
        if (*size < was)
            *size = was;
        parity_free(p);
    }
    return 0;
}

/* ---- beginning a file ---- */

static int header_write(struct env *env, struct file *f)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    int err = env->random(env, f->header.salt, SALT_SIZE);
    if (err)
        return io_failed(f, "get random bytes for the header", err);
    file_header_encode(&f->header, bytes);
    codec_file_init(&f->codec, &f->header);
    if (env->keys) {
        err = keyring_file_key(env->keys, &f->header, &f->key);
        if (err)
            return io_failed(f, "make its key", err);
        f->codec.key = f->key;
    }
    err = f->io->ops->write(f->io, 0, bytes, sizeof bytes);
    return err ? io_failed(f, "write the header", err) : 0;
}

int file_create(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                const uint8_t uuid[UUID_SIZE], struct file *out)
{
    assert(kind >= FILE_MANIFEST && kind <= FILE_BLOB);
    *out = (struct file){.path = name_file(dir, kind, number)};
    out->header = (struct file_header){.kind = kind, .version = FORMAT_VERSION, .number = number};
    memcpy(out->header.uuid, uuid, UUID_SIZE);
    if (kind == FILE_LOG)
        out->header.features = FILE_FEATURE_ROWS;
    if (env->keys) {
        out->header.cipher = CIPHER_AES256_GCM;
        out->header.key_epoch = keyring_current(env->keys);
    }
    int err = env->open(env, out->path, ENV_OPEN_CREATE, &out->io);
    if (err) {
        io_failed(out, "create the file", err);
        goto fail;
    }
    err = header_write(env, out);
    if (err) {
        /* A file without a header helps nobody; if it stays, the next recovery removes it. */
        env->remove(env, out->path);
        goto fail;
    }
    return 0;
fail:
    file_close(out);
    return err;
}

/* ---- opening a file ---- */

static int refuse(const struct file *f, const char *why, uint64_t value)
{
    log_message(LOG_ERROR, "%s: %s (%" PRIu64 "): a newer varvefs is needed to read it", f->path,
                why, value);
    return -EPROTONOSUPPORT;
}

/* The header is whole and of a known format; is it the one of this file? */
static int identity_check(const struct file *f, enum file_kind kind, uint64_t number,
                          const uint8_t *uuid)
{
    const struct file_header *h = &f->header;
    if (h->kind != kind)
        return corrupt(f->path, 0, "the header is that of a %s and not of a %s",
                       file_kind_name(h->kind), file_kind_name(kind));
    if (uuid && memcmp(h->uuid, uuid, UUID_SIZE) != 0)
        return corrupt(f->path, 0, "the file belongs to another volume");
    if (h->number != number)
        return corrupt(f->path, 0,
                       "the file was swapped or renamed: it was written as number %" PRIu64,
                       h->number);
    if (h->cipher != CIPHER_NONE && h->cipher != CIPHER_AES256_GCM)
        return refuse(f, "the file has an unknown cipher", h->cipher);
    return 0;
}

/* Gets the key of a file that is encrypted; refuses one that is not although the volume is: it was
 * put there by somebody else. */
static int key_get(struct env *env, struct file *f)
{
    const struct file_header *h = &f->header;
    if (h->cipher == CIPHER_NONE)
        return env->keys ? corrupt(f->path, 0, "the file is not encrypted, but the volume is") : 0;
    if (!env->keys) {
        log_message(LOG_ERROR, "%s: the file is encrypted, and there is no key to read it",
                    f->path);
        return -ENOKEY;
    }
    int err = keyring_file_key(env->keys, h, &f->key);
    f->codec.key = f->key;
    return err ? corrupt(f->path, 0,
                         "it is encrypted with generation %" PRIu32
                         " of the key, which the volume does not have",
                         h->key_epoch)
               : 0;
}

/* The header from parity, which has to be that of this file: 0 or 1. */
static int header_restore(const struct file *f, uint64_t number, uint8_t bytes[FILE_HEADER_SIZE])
{
    struct file_header h;
    struct parity *p;
    if (!f->link || parity_open(f->env, f->path, number, &p) != 0)
        return 1;
    int rc = parity_restore(p, f->io, 0, bytes, FILE_HEADER_SIZE);
    parity_free(p);
    bool ours = rc == 0 && file_header_decode(slice_of(bytes, FILE_HEADER_SIZE), &h) == HEADER_OK &&
                h.number == number;
    return ours ? 0 : 1;
}

/* Returns 0, 1 when the file was cut off while it was created, or a raised error. */
static int header_read(struct file *f, uint64_t number)
{
    static const uint8_t zeros[FILE_HEADER_SIZE];
    uint8_t bytes[FILE_HEADER_SIZE];
    size_t got;
    int err = f->io->ops->read(f->io, 0, bytes, sizeof bytes, &got);
    assert(err < 0 || got <= sizeof bytes);
    enum header_verdict verdict =
        err < 0 ? HEADER_DAMAGED : file_header_decode(slice_of(bytes, got), &f->header);
    if ((verdict == HEADER_DAMAGED || verdict == HEADER_NOT_OURS) &&
        header_restore(f, number, bytes) == 0) {
        care_link_report(f->link, f->header.kind, number, 0, f->path);
        got = sizeof bytes;
        err = 0;
    }
    if (err)
        return io_failed(f, "read the header", err);
    if (got < sizeof bytes || memcmp(bytes, zeros, sizeof bytes) == 0)
        return 1;
    switch (file_header_decode(slice_of(bytes, got), &f->header)) {
    case HEADER_OK:
        codec_file_init(&f->codec, &f->header);
        return 0;
    case HEADER_NOT_OURS:
        return corrupt(f->path, 0, "this is not a file of varvefs");
    case HEADER_DAMAGED:
        return corrupt(f->path, 0, "the checksum of the file header does not hold");
    case HEADER_NEWER:
        break;
    }
    if (f->header.version > FORMAT_VERSION)
        return refuse(f, "the file has a later format version", f->header.version);
    return refuse(f, "the file needs unknown features", f->header.features & ~FILE_FEATURES_KNOWN);
}

static int open_any(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                    const uint8_t *uuid, bool keyless, struct file *out)
{
    assert(kind >= FILE_MANIFEST && kind <= FILE_BLOB);
    *out = (struct file){.path = name_file(dir, kind, number), .env = env};
    if (kind == FILE_TABLE || kind == FILE_BLOB)
        out->link = mem_zalloc(sizeof *out->link);
    int rc = env->open(env, out->path, ENV_OPEN_READ, &out->io);
    if (rc && rc != -ENOENT)
        io_failed(out, "open the file", rc);
    if (!rc)
        rc = header_read(out, number);
    if (!rc)
        rc = identity_check(out, kind, number, uuid);
    if (!rc && !keyless)
        rc = key_get(env, out);
    if (rc)
        file_close(out);
    return rc;
}

int file_open_maybe(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                    const uint8_t uuid[UUID_SIZE], struct file *out)
{
    return open_any(env, dir, kind, number, uuid, false, out);
}

int file_open_keyless(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
                      struct file *out)
{
    return open_any(env, dir, kind, number, NULL, true, out);
}

int file_open(struct env *env, const char *dir, enum file_kind kind, uint64_t number,
              const uint8_t uuid[UUID_SIZE], struct file *out)
{
    int rc = file_open_maybe(env, dir, kind, number, uuid, out);
    if (rc != 1 && rc != -ENOENT)
        return rc;
    char *path = name_file(dir, kind, number);
    if (rc == 1)
        rc = corrupt(path, 0, "the file has no header: it is cut off or zeroed");
    else
        rc = corrupt(path, UINT64_MAX, "the file is missing");
    free(path);
    return rc;
}

/* ---- reading ---- */

int file_read(const struct file *f, uint64_t offset, void *data, size_t len)
{
    assert(file_is_open(f));
    size_t got;
    int err = f->io->ops->read(f->io, offset, data, len, &got);
    if (err)
        return io_failed(f, "read", err);
    assert(got <= len);
    if (got < len)
        return corrupt(f->path, offset, "the file ends %zu bytes too early", len - got);
    return 0;
}

/* A reference may be damaged: it is checked before it is used as an offset or as a size of memory.
 */
static bool place_is_sane(const struct file *f, const struct frame_ref *where)
{
    uint32_t seal = f->header.cipher == CIPHER_NONE ? 0 : FRAME_SEAL_SIZE;
    return where->offset >= FILE_HEADER_SIZE && where->offset <= INT64_MAX - UINT32_MAX &&
           where->len >= FRAME_HEADER_SIZE &&
           where->len - FRAME_HEADER_SIZE <= FRAME_RAW_MAX + seal;
}

/* Takes memory for the frame, if it is small or the file is long enough to have it. 0, 1, or an I/O
 * error. */
static int frame_room(const struct file *f, const struct frame_ref *where, struct buf *frame)
{
    uint64_t size = UINT64_MAX;
    int err = 0;
    if (where->len > FRAME_TRUSTED_BYTES)
        err = f->io->ops->size(f->io, &size);
    if (err)
        return io_failed(f, "get the size", err);
    if (where->offset + where->len > size)
        return 1;
    buf_reserve(frame, where->len);
    return 0;
}

/* The frame as it is on disk. Returns 0, 1 with the reason in `*why`, or an I/O error. */
static int frame_read(const struct file *f, const struct frame_ref *where, struct buf *frame,
                      struct frame_header *h, const char **why)
{
    size_t got = 0;
    *why = "the file ends before the frame does";
    int rc = frame_room(f, where, frame);
    if (rc)
        return rc;
    rc = f->io->ops->read(f->io, where->offset, frame->data, where->len, &got);
    if (rc)
        return io_failed(f, "read", rc);
    assert(got <= where->len);
    if (got < where->len)
        return 1;
    struct slice in = slice_of(frame->data, got);
    enum frame_verdict verdict = frame_verify(&f->codec, where->offset, in, h);
    *why = frame_verdict_text(verdict);
    if (verdict != FRAME_OK)
        return 1;
    *why = "the frame has another length than its reference says";
    if (in.len != (size_t)FRAME_HEADER_SIZE + h->stored_len)
        return 1;
    frame->len = in.len;
    return 0;
}

/* The frame from parity: 0 or 1. The place was found sane, but may be damaged all the same: no more
 * memory is taken than the file had bytes. */
static int frame_rebuild(const struct file *f, const struct frame_ref *where, struct buf *frame,
                         struct frame_header *h)
{
    struct parity *p;
    if (companion_open(f, &p) != 0)
        return 1;
    int rc = 1;
    if (where->offset + where->len <= parity_get_layout(p)->file_bytes) {
        buf_clear(frame);
        rc = parity_restore(p, f->io, where->offset, buf_reserve(frame, where->len), where->len);
    }
    parity_free(p);
    if (rc == 0) {
        struct slice in = slice_of(frame->data, where->len);
        bool whole = frame_verify(&f->codec, where->offset, in, h) == FRAME_OK &&
                     in.len == (size_t)FRAME_HEADER_SIZE + h->stored_len;
        frame->len = whole ? in.len : 0;
        rc = whole ? 0 : 1;
    }
    if (rc == 0)
        file_repaired(f, where->offset);
    return rc;
}

/* Returns 0, 1 with the reason in `*why`, or an I/O error. */
static int frame_fetch(const struct file *f, const struct frame_ref *where, struct buf *frame,
                       struct frame_header *h, const char **why)
{
    assert(file_is_open(f));
    buf_clear(frame);
    *h = (struct frame_header){0};
    *why = "no frame can have this place and size";
    if (!place_is_sane(f, where))
        return 1;
    int rc = frame_read(f, where, frame, h, why);
    if (rc != 0 && frame_rebuild(f, where, frame, h) == 0)
        rc = 0;
    return rc;
}

int file_read_frame(const struct file *f, const struct frame_ref *where, struct buf *frame,
                    struct frame_header *h)
{
    const char *why;
    int rc = frame_fetch(f, where, frame, h, &why);
    if (rc == 1)
        return corrupt(f->path, where->offset, "%s (a frame of %" PRIu32 " bytes)", why,
                       where->len);
    return rc;
}

int file_probe_frame(const struct file *f, const struct frame_ref *where, struct buf *frame,
                     struct frame_header *h)
{
    const char *why;
    return frame_fetch(f, where, frame, h, &why);
}

/* Cannot be read: it is none. */
static bool unit_is_zero(const struct file *f, uint64_t at)
{
    static const uint8_t zeros[ENV_PUNCH_UNIT];
    uint8_t bytes[ENV_PUNCH_UNIT];
    size_t got = 0;
    return f->io->ops->read(f->io, at, bytes, sizeof bytes, &got) == 0 && got == sizeof bytes &&
           memcmp(bytes, zeros, sizeof bytes) == 0;
}

uint64_t file_hole_end(const struct file *f, uint64_t at, uint64_t end)
{
    const uint64_t unit = ENV_PUNCH_UNIT;
    uint64_t first = (at + unit - 1) / unit * unit, behind = first;
    while (behind + unit <= end && unit_is_zero(f, behind))
        behind += unit;
    return behind > first ? behind : at;
}
