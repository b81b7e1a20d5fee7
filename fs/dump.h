/* dump: the file system's keys and records in words, for `varvefs dump`. fs_dump() of the door. */
#ifndef VARVE_FS_DUMP_H
#define VARVE_FS_DUMP_H

#include "fs/format.h"

/* Appends the key in the form that dump_parse_key() takes; one that the file system does not write
 * as "raw:" and its bytes in hexadecimal. */
void dump_tell_key(struct slice key, struct buf *out);
/* Reads such a form, or the beginning of one: "17" is every key of the inode. Replaces `*out`. 0 or
 * -EINVAL. */
int dump_parse_key(const char *text, struct buf *out);
/* Appends what the value of the key says, as far as it is short; nothing for data. */
void dump_tell_value(struct slice key, struct slice value, struct buf *out);

#endif
