/* tell: everything that people read on a terminal: one wording, one form ("varvefs: ..."), one line
 * for each message. */
#ifndef VARVE_MOUNT_TELL_H
#define VARVE_MOUNT_TELL_H

#include <stdint.h>

#define VARVEFS_VERSION "0.1.0"

/* What the program ends with. fsck has codes of its own (cmd_fsck.c). */
enum tell_exit { TELL_OK = 0, TELL_FAILED = 1, TELL_USAGE = 2 };

/* "varvefs: TEXT" to standard error. Control characters are shown as '?', so that a strange file
 * name cannot make two lines of one. Returns TELL_FAILED. */
int tell_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for what is worth knowing and no error. */
void tell_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "varvefs: COMMAND: TEXT; see: varvefs COMMAND --help". `command` may be "". Returns TELL_USAGE.
 */
int tell_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "512 bytes", "1.5 GiB". */
enum { TELL_BYTES_MAX = 32 };
void tell_bytes(uint64_t bytes, char out[TELL_BYTES_MAX]);
/* "2024-05-01 12:00:00", local time; and "2024-05-01T10:00:00Z". */
enum { TELL_TIME_MAX = 32 };
void tell_time(int64_t realtime_ns, char out[TELL_TIME_MAX]);
void tell_time_utc(int64_t realtime_ns, char out[TELL_TIME_MAX]);
/* "none", "zstd:3". */
enum { TELL_COMPRESSION_MAX = 24 };
void tell_compression(int zstd_level, char out[TELL_COMPRESSION_MAX]);
/* "f81d4fae-7dec-11d0-a765-00a0c91e6bf6". */
enum { TELL_UUID_MAX = 40 };
void tell_uuid(const uint8_t uuid[16], char out[TELL_UUID_MAX]);
/* "file", "folder", "link", ... by the type bits of a mode. */
const char *tell_type(uint32_t mode);
/* Prints a name to standard output, control characters as '?'. */
void tell_name(const char *name);

/* A line on standard error that is overwritten: "WHAT: 45 %". Only on a terminal, and at most ten
 * times a second. */
void tell_progress(const char *what, uint64_t done, uint64_t total);
/* The same where nobody knows how many there are: "WHAT: 12345". */
void tell_count(const char *what, uint64_t done);
/* Takes that line away again. */
void tell_progress_end(void);

#endif
