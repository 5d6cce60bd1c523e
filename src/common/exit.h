// SPDX-License-Identifier: Apache-2.0
// exit: the exit statuses of mcrd, mcrstat and mcrgen.
#ifndef MCR_COMMON_EXIT_H
#define MCR_COMMON_EXIT_H

#include <stdlib.h>

// EXIT_SUCCESS and EXIT_FAILURE (0 and 1) are the two answers of a command: valid or not, equal or not.
#define EXIT_TROUBLE 2 // the command could not find the answer
#define EXIT_USAGE   2 // the command line is wrong

#endif
