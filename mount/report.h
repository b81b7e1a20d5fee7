/* report: what a file system tells of its work and its settings, as text for people or as JSON; a
 * mount hands it out, and `varvefs stat` shows it. */
#ifndef VARVE_MOUNT_REPORT_H
#define VARVE_MOUNT_REPORT_H

#include <stdbool.h>

#include "fs/fs.h"

/* Each appends to `*out`: lines of text, or one JSON value. 0 or a negative errno. */

/* Look-ups and their outcomes, levels, amplification, stalls, latencies since it was opened. */
int report_activity(struct fs *fs, bool as_json, struct buf *out);
/* All settings with their values, defaults and ranges. */
int report_settings(struct fs *fs, bool as_json, struct buf *out);

/* The same figures in Prometheus' text format. */
int report_metrics(struct fs *fs, struct buf *out);

/* What a mount calls them: attributes of /.varve, not listed. */
#define REPORT_XATTR_ACTIVITY      "user.varve.activity"
#define REPORT_XATTR_ACTIVITY_JSON "user.varve.activity.json"
#define REPORT_XATTR_SETTINGS      "user.varve.settings"
#define REPORT_XATTR_SETTINGS_JSON "user.varve.settings.json"
/* The report of that name. 1: there is none. */
int report_xattr(struct fs *fs, const char *name, struct buf *out);

#endif
