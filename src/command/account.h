// SPDX-License-Identifier: Apache-2.0
// account: what the user that the daemon becomes will meet, asked before it meets it.
#ifndef MCR_COMMAND_ACCOUNT_H
#define MCR_COMMAND_ACCOUNT_H

#include <stdbool.h>
#include <sys/types.h>

#include "config/file.h"

// The user and the group that mcrd becomes when root starts it with this file. False, with a warning for each, when
// they do not exist; false without one when it is not root who asks, since a daemon of another user stays that user.
bool account_find(const struct config *c, struct file_reader *reader, struct config_problems *problems);

// Whether the file at path can be opened by this user with the groups that process `daemon` has now, or, with 0, with
// those that it belongs to on this host. Tried by root in a process that takes these rights; if not, the reason is in
// why. True where it cannot be tried.
bool account_may_read(const char *path, const struct file_reader *of_file, pid_t daemon, char why[FILE_WHY_MAX]);

// Whether this user can make a file beside the one at this absolute path, with the groups that it belongs to on this
// host. Tried in the same way. True where the directory is not there.
bool account_may_write(const char *path, const struct file_reader *reader, char why[FILE_WHY_MAX]);

#endif
