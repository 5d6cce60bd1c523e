// SPDX-License-Identifier: Apache-2.0
// directory: the directory of a file that the broker writes, which the start makes where it is missing.
#ifndef MCR_BROKER_DIRECTORY_H
#define MCR_BROKER_DIRECTORY_H

#include <sys/types.h>

// Opens the directory of path, which has a slash, and makes its last component if it is missing, with this mode and
// owner. Works on open descriptors, not on names, so that nobody can replace a component by a link: this may run as
// root. Returns a descriptor that the caller closes, or -1 with errno set.
int directory_open(const char *path, mode_t mode, uid_t uid, gid_t gid);

#endif
