/* format: every fixed structure that the store writes, its constants and its decoders.
 *
 * A volume's store folder holds:
 *
 *   CURRENT          text: the name of the manifest in force, and a checksum
 *   LOCK             lock against a second opener
 *   KEYS             of an encrypted volume: its keys, and who may open them (format_keys.h)
 *   TAIL             the end of the newest log (logtail.h)
 *   INCOMPLETE       only while the folder is being made as a checkpoint of another store
 *   SCRUB            text: where a scrub stands
 *   NNNNNN.manifest  base state and edits        (journal file)
 *   NNNNNN.log       write-ahead log             (journal file)
 *   NNNNNN.table     sorted table, immutable
 *   NNNNNN.blob      large values, append-only until sealed
 *   NNNNNN.parity    companion of the table or blob file of this number
 *
 * NNNNNN is the file number, decimal, at least six digits; a number is never used twice, whatever
 * the kind, but for a companion, which has that of its file. Each file begins with a file header
 * (FILE_HEADER_SIZE bytes); everything after it is frames, except a table's footer. A frame is a
 * payload that has gone through the block pipeline (compress, encrypt, checksum), see codec.h.
 *
 * Structures are written field by field, little-endian, without padding. */
#ifndef VARVE_STORE_FORMAT_H
#define VARVE_STORE_FORMAT_H

#include "store/bytes.h"

enum file_kind {
    FILE_MANIFEST = 1,
    FILE_LOG = 2,
    FILE_TABLE = 3,
    FILE_BLOB = 4,
    FILE_PARITY = 5, /* parity.h */
    /* kinds of names without a number, for name_parse() only */
    FILE_CURRENT = 16,
    FILE_LOCK,
    FILE_TAIL,
    FILE_TEMP, /* left by an interrupted replacement of CURRENT: NNNNNN.tmp */
    FILE_KEYS,
    FILE_KEYS_TEMP,  /* left by an interrupted replacement of KEYS: KEYS.tmp */
    FILE_EVENTS,     /* text for people (events.h) */
    FILE_EVENTS_OLD, /* the same, turned over: EVENTS.1 */
    FILE_INCOMPLETE, /* a checkpoint is being made here, or was interrupted: no store yet */
    FILE_SCRUB,      /* where a scrub stands */
};

/* Sequence numbers are 56 bits, so that one fits in a word beside an entry type. 0 is never given
 * out. */
#define SEQ_MAX ((UINT64_C(1) << 56) - 1)

enum {
    FORMAT_VERSION = 1,
    UUID_SIZE = 16,
    SALT_SIZE = 32,
    FILE_HEADER_SIZE = 96,
    FRAME_HEADER_SIZE = 24,
    TABLE_FOOTER_SIZE = 96,
    LOGTAIL_HEADER_SIZE = 64,
    FRAME_RAW_MAX = 1 << 28, /* a decoder refuses frames that claim more */
    FRAME_TAG_SIZE = 16,
    FRAME_SEAL_SIZE = FRAME_TAG_SIZE + 4, /* what encryption adds to a frame: tag, draft u32 */
    FRAME_DRAFT_MAX = (1 << 24) - 1,
    LEVEL_COUNT = 7,
};

/* Feature bits: an opener that meets an incompatible bit it does not know refuses the volume (bits
 * in the manifest), or the file (bits in its header). */
#define FEATURES_KNOWN      UINT64_C(0)
#define FILE_FEATURE_ROWS   UINT64_C(1) /* of a log: frames may be rows of records (journal.h) */
#define FILE_FEATURES_KNOWN FILE_FEATURE_ROWS

/* ---- names ---- */

/* "000012.table" under `dir`; the caller frees it. */
char *name_file(const char *dir, enum file_kind kind, uint64_t number);
char *name_current(const char *dir);
char *name_lock(const char *dir);
char *name_tail(const char *dir);
char *name_events(const char *dir, bool old);
char *name_incomplete(const char *dir);
char *name_scrub(const char *dir);
char *name_temp(const char *dir, uint64_t number);
char *name_keys(const char *dir);
char *name_keys_temp(const char *dir);
/* Whether files of this kind are named by number. */
static inline bool kind_is_numbered(enum file_kind kind)
{
    return kind <= FILE_PARITY || kind == FILE_TEMP;
}
/* What `name` (no folder) is. Returns 0, or 1 for a name that is none of ours. */
int name_parse(const char *name, enum file_kind *kind, uint64_t *number);
const char *file_kind_name(enum file_kind kind);

/* ---- file header: 96 bytes ----
 *  0 magic "VARVE\r\n\x1a"   8 version u16   10 kind u8   11 cipher u8 (0 none)   12 key epoch u32
 * 16 incompatible features u64   24 volume uuid   40 file number u64   48 salt (32)
 * 80 reserved u64 (0)   88 XXH3 of bytes 0..88 */
struct file_header {
    enum file_kind kind;
    uint16_t version;
    uint8_t cipher;
    uint32_t key_epoch;
    uint64_t features;
    uint8_t uuid[UUID_SIZE];
    uint64_t number;
    uint8_t salt[SALT_SIZE];
};

void file_header_encode(const struct file_header *h, uint8_t out[FILE_HEADER_SIZE]);

/* The checksum that ends the encoded header: with its salt, what tells a file from all others. */
uint64_t file_header_sum(const struct file_header *h);

enum header_verdict {
    HEADER_OK,
    HEADER_NOT_OURS, /* no magic */
    HEADER_DAMAGED,  /* magic, but the checksum does not hold, or the file is too short */
    HEADER_NEWER,    /* a later format version, or features that this program does not know */
};
enum header_verdict file_header_decode(struct slice in, struct file_header *out);

/* ---- frame header: 24 bytes ----
 *  0 stored length u32 (payload as on disk, without this header)   4 raw length u32
 *  8 codec u8   9 cipher u8   10 key epoch u16 (low bits)   12 dictionary u16   14 flags u16
 * 16 XXH3 of bytes 0..16 and the stored payload, seeded by file and offset (codec.h) */
enum codec_id { CODEC_RAW = 0, CODEC_ZSTD = 1, CODEC_ZSTD_DICT = 2 };
enum cipher_id { CIPHER_NONE = 0, CIPHER_AES256_GCM = 1 };

struct frame_header {
    uint32_t stored_len, raw_len;
    uint8_t codec, cipher;
    uint16_t key_epoch, dict, flags;
    uint64_t checksum;
};
void frame_header_encode(const struct frame_header *h, uint8_t out[FRAME_HEADER_SIZE]);
void frame_header_decode(const uint8_t in[FRAME_HEADER_SIZE], struct frame_header *h);

/* ---- where a frame is within its file ---- */
struct frame_ref {
    uint64_t offset;
    uint32_t len; /* header included */
};

/* ---- table footer: the last 96 bytes ----
 *  0 index, 16 filter, 32 range tombstones, 48 properties: each offset u64, length u32 (0: there
 *    is none), reserved u32
 * 64 in an encrypted table the tag over bytes 0..64 (codec.h), else zeros (16)
 * 80 XXH3 of bytes 0..80, seeded like a frame at the footer's offset
 * 88 "VRVTABLE" */
enum { FOOTER_TAGGED_SIZE = 64 };
struct table_footer {
    struct frame_ref index, filter, rangedel, props;
    uint8_t tag[FRAME_TAG_SIZE]; /* proves the key; not the tag that the manifest knows */
};
/* `seed` as from codec_seed() for this file and the footer's offset. The tag is the checksum. */
uint64_t table_footer_encode(const struct table_footer *f, uint64_t seed,
                             uint8_t out[TABLE_FOOTER_SIZE]);
/* Returns 0, or -EIO when it does not verify. */
int table_footer_decode(const uint8_t in[TABLE_FOOTER_SIZE], uint64_t seed,
                        struct table_footer *out, uint64_t *tag);

/* ---- index entry value: where a data block is, and which sequence numbers it holds ----
 * varints: offset, length, lowest sequence number, highest minus lowest */
struct block_handle {
    struct frame_ref where;
    uint64_t min_seq, max_seq;
};
void block_handle_encode(const struct block_handle *h, struct buf *out);
bool block_handle_take(struct slice *in, struct block_handle *h);

/* ---- reference to a separated value: varints: file, offset, length, raw length ---- */
struct blob_ref {
    uint64_t file;
    struct frame_ref where; /* length of the frame, header included */
    uint32_t raw_len;       /* of the value */
};
enum { BLOB_REF_MAX = 10 + 10 + 5 + 5 };
void blob_ref_encode(const struct blob_ref *r, struct buf *out);
/* False also when bytes are left over. */
bool blob_ref_decode(struct slice in, struct blob_ref *r);

/* ---- header of TAIL: 64 bytes ----
 *  0 "VRVETAIL"   8 number of the log u64 (0: none)   16 offset in the log u64   24 reserved (32)
 * 56 XXH3 of bytes 0..56 */
void logtail_header_encode(uint64_t number, uint64_t base, uint8_t out[LOGTAIL_HEADER_SIZE]);
/* False when it does not verify, or names no log. */
bool logtail_header_decode(const uint8_t in[LOGTAIL_HEADER_SIZE], uint64_t *number, uint64_t *base);

/* ---- CURRENT: "varve-current 1\nmanifest NNNNNN\nxxh3 HHHHHHHHHHHHHHHH\n"; the checksum is over
 * the two lines before it ---- */
void current_encode(uint64_t manifest_number, struct buf *out);
/* Returns 0, 1 when it is none of ours, -EIO when damaged. */
int current_decode(struct slice in, uint64_t *manifest_number);

/* ---- SCRUB: "varve-scrub 1\n", a line "NAME NUMBER\n" for each field of the state in its order,
 * "xxh3 HHHHHHHHHHHHHHHH\n" over all before ---- */
struct scrub_state {
    uint64_t passes;         /* ended, ever */
    uint64_t started, ended; /* of this pass or the last one: nanoseconds since 1970 */
    uint64_t limit;          /* files from this number on are left out; 0: no pass is under way */
    uint64_t file, offset;   /* the next frame to look at */
    uint64_t bytes, frames, repaired, damaged, parity_made; /* of this pass so far */
};
void scrub_state_encode(const struct scrub_state *s, struct buf *out);
/* Returns 0, or -EIO for what scrub_state_encode() does not write. */
int scrub_state_decode(struct slice in, struct scrub_state *s);

#endif
