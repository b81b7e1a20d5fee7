/* json: writes one JSON value to a stream. Keeps track of commas; the caller keeps the nesting
 * right, which is asserted. */
#ifndef VARVE_MOUNT_JSON_H
#define VARVE_MOUNT_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_DEPTH_MAX = 8 };

struct json {
    FILE *out;
    unsigned depth;
    char closing[JSON_DEPTH_MAX]; /* what closes each open level */
    bool filled[JSON_DEPTH_MAX];  /* that level has a member already */
};

void json_init(struct json *j, FILE *out);
/* Opens an object or a list as the value of `key`; NULL inside a list and at the top. */
void json_object(struct json *j, const char *key);
void json_list(struct json *j, const char *key);
/* Closes the innermost; after the outermost, ends the line. */
void json_close(struct json *j);

/* Members; `key` as above. A string is escaped as RFC 8259 wants; of a byte that is not part of
 * valid UTF-8 the output has \u00XX, so that every file name can be written down and most can be
 * read. */
void json_string(struct json *j, const char *key, const char *value);
void json_uint(struct json *j, const char *key, uint64_t value);
void json_int(struct json *j, const char *key, int64_t value);
/* A finite number, to six digits behind the point. */
void json_real(struct json *j, const char *key, double value);
/* A value that is JSON already. */
void json_raw(struct json *j, const char *key, const char *value);
void json_bool(struct json *j, const char *key, bool value);

#endif
