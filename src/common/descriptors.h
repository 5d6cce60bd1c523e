// SPDX-License-Identifier: Apache-2.0
// descriptors: closes inherited descriptors, and single ones.
#ifndef MCR_COMMON_DESCRIPTORS_H
#define MCR_COMMON_DESCRIPTORS_H

#include <stdbool.h>

// Closes all inherited descriptors except standard error and those from 3 to first - 1, which were handed over on
// purpose. Standard input and output, and standard error if it is closed, become /dev/null, so that no later descriptor
// takes their numbers. Returns false with errno set.
bool descriptors_leave(int first);

// Closes fd, unless it is -1. Keeps errno. Always returns -1.
int descriptors_close(int fd);

#endif
