// SPDX-License-Identifier: Apache-2.0
// account: checks in advance what the user that the daemon becomes may access.
#ifndef MCR_COMMAND_ACCOUNT_H
#define MCR_COMMAND_ACCOUNT_H

#include <stdbool.h>
#include <sys/types.h>

#include "config/file.h"

// Finds the user and the group that mcrd becomes if root starts it with this file. Returns false with a warning for
// each that does not exist; false without a warning if the caller is not root, because a daemon of another user stays
// that user.
bool account_find(const struct config *c, struct file_reader *reader, struct config_problems *problems);

// Returns whether this user can open the file at path; if not, why has the reason. daemon: the process whose present
// groups are used; 0: the user's groups on this host. Root tries it in a child process with these rights. Returns true
// if it cannot be tried.
bool account_may_read(const char *path, const struct file_reader *of_file, pid_t daemon, char why[FILE_WHY_MAX]);

// Whether this user can make a file beside the one at this absolute path, with the groups that it belongs to on this
// host. own: as file_directory_is_shut(). Tried in the same way. True where the directory is not there.
bool account_may_write(const char *path, const char *own, const struct file_reader *reader, char why[FILE_WHY_MAX]);

#endif
