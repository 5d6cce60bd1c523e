// SPDX-License-Identifier: Apache-2.0
// running: a copy of the file that is in force, beside the statistics, so that anyone can see what runs.
#ifndef MCR_BROKER_RUNNING_H
#define MCR_BROKER_RUNNING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// Puts size bytes of text in the place of running.conf in the directory of stats_file, at once. Who may not read the
// file itself may not read the copy: mode is the file's, without any right to write for others. False with errno set.
bool running_save(const char *stats_file, const char *text, size_t size, mode_t mode);

#endif
