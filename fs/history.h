/* history: what was, without snapshots: moments that are kept for a while, and times as names. */
#ifndef VARVE_FS_HISTORY_H
#define VARVE_FS_HISTORY_H

#include "fs/volume.h"

enum { HISTORY_NAME_MAX = 24 };
/* "2026-11-20T14:03:20", UTC, for years 1970 to 9999. */
void history_name(int64_t second, char name[HISTORY_NAME_MAX]);
/* Such a name, or one without seconds. 0 or -ENOENT. */
int history_parse(const char *name, int64_t *second);

/* As fs_history_keep() and the others. */
int history_keep(struct fs *fs);
int history_forget(struct fs *fs, int64_t since_ns);
/* The number of the tree of that name: of the last moment that was kept until then. -ENOENT for no
 * time, one before the oldest, or of the future. */
int history_find(struct fs *fs, const char *name, uint64_t *number);
/* The first moment kept after `after_ns` (realtime), as a name. 0, or 1: there is none. */
int history_after(struct fs *fs, int64_t after_ns, int64_t *created_ns,
                  char name[HISTORY_NAME_MAX]);
bool history_any(struct fs *fs);

#endif
