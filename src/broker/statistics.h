// SPDX-License-Identifier: Apache-2.0
// statistics: creates the statistics segment of a new table, which replaces the previous one; and writes a copy of the
// file in force beside it, so that anyone can see what runs.
#ifndef MCR_BROKER_STATISTICS_H
#define MCR_BROKER_STATISTICS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "stats/layout.h"
#include "table/view.h"

// Makes the directory of path if it is missing (only the last component; mode 0755, owner uid and gid), and checks
// whether another mcrd writes there. Returns a descriptor of PATH.lock, which the relay locks and the caller closes; or
// -1 with *why (static text) and errno set. *other: the pid of the other mcrd, or 0.
int statistics_prepare(const char *path, uid_t uid, gid_t gid, const char **why, pid_t *other);

// Reads whose statistics lie at PATH: from_pid and ended_ns of *continued. Leaves both zero if there are none.
void statistics_read_before(const char *path, struct stats_continued *continued);

// Makes PATH.new with all its memory allocated, the names of the table filled in, and every counter zero. told: what
// the broker says, the rest of it zero. Returns a descriptor that the caller closes, or -1 with errno set. The caller
// then calls statistics_publish() or statistics_discard().
int statistics_create(const char *path, const struct stats_header *told, const struct table_view *table);

// The path of the statistics of a table to go back to, or of the copy of its file (STATS_BACK_SUFFIX).
const char *statistics_back_path(const char *path, char out[PATH_MAX]);

// Give them the names of what runs; false with errno set.
bool statistics_go_back(const char *path);
bool statistics_running_back(const char *path);

// Removes them, where they are left from a trial.
void statistics_forget_back(const char *path);

// Renames PATH.new to PATH (false with errno set), or removes it.
bool statistics_publish(const char *path);
void statistics_discard(const char *path);

// Replaces the copy beside PATH (config_running_path()) atomically by size bytes of text, the file in force, or of the
// one to go back to. mode: that of the file, so that only those who may read the file may read the copy; rights to
// write are removed for others. Returns false with errno set.
bool statistics_save_running(const char *path, bool back, const char *text, size_t size, mode_t mode);

#endif
