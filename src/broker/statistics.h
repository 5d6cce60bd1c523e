// SPDX-License-Identifier: Apache-2.0
// statistics: lays out the statistics segment of a new table and puts it in the place of the one before; beside it, a
// copy of the file in force, so that anyone can see what runs.
#ifndef MCR_BROKER_STATISTICS_H
#define MCR_BROKER_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "stats/layout.h"
#include "table/view.h"

// Makes the directory of path when it is missing (only the last component; mode 0755, owner uid and gid), and looks
// whether another mcrd writes there. Returns a descriptor of PATH.lock, which the relay locks and the caller closes; or
// -1 with *why and errno; *other is the other's pid or 0.
int statistics_prepare(const char *path, uid_t uid, gid_t gid, const char **why, pid_t *other);

// Makes PATH.new with the names of the table filled in and every counter zero, all memory taken. Returns a
// descriptor that the caller closes, or -1 with errno set; statistics_publish() or statistics_discard() is due.
int statistics_create(const char *path, const char *config_path, const struct stats_features *features,
                      const struct table_view *table);

// Puts PATH.new in the place of PATH; or removes it.
bool statistics_publish(const char *path);
void statistics_discard(const char *path);

// Puts size bytes of text, the file in force, in the place of running.conf beside PATH, at once. Who may not read the
// file itself may not read the copy: mode is the file's, without any right to write for others. False with errno set.
bool statistics_save_running(const char *path, const char *text, size_t size, mode_t mode);

#endif
