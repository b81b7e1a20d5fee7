/* token: where an interrupted stream is gone on with, as a line of text: a number of blocks, the
 * checksum that runs on from there, which stream it is of, what was in it, and the last key. */
#ifndef VARVE_FS_TOKEN_H
#define VARVE_FS_TOKEN_H

#include "fs/stream.h"

struct token {
    uint64_t blocks, sum, stream; /* `stream`: stream_first_sum() */
    struct stream_totals totals;  /* up to there */
    struct key last;              /* len 0: none */
};
void token_print(const struct token *t, char text[FS_STREAM_TOKEN_MAX]);
int token_parse(const char *text, struct token *t); /* 0 or -EINVAL */

#endif
