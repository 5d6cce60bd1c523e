// SPDX-License-Identifier: Apache-2.0
// descriptors: closing them: one that is of no use, and those of whoever started the process.
#ifndef MCR_COMMON_DESCRIPTORS_H
#define MCR_COMMON_DESCRIPTORS_H

#include <stdbool.h>

// Leaves of all inherited descriptors standard error, and those from 3 up to first, which were handed over on purpose.
// Standard input and output, and standard error where it is closed, become /dev/null, so that no later descriptor
// takes their numbers. False with errno set.
bool descriptors_leave(int first);

// Closes fd, unless it is -1, and returns -1; errno stays what it is.
int descriptors_close(int fd);

#endif
