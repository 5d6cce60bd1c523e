// SPDX-License-Identifier: Apache-2.0
// trail: the files in which records are appended: audit_file, and those that rotation has made of it, audit_file.1 (the
// youngest) to audit_file.8; and how they are read.
#ifndef MCR_AUDIT_TRAIL_H
#define MCR_AUDIT_TRAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/chain.h"

#define TRAIL_OLD 8 // files that rotation keeps beside the one that is written

// Bytes of a name of these files with its end: TRAIL_PATH_MAX is that of audit_file.
#define TRAIL_PATH_MAX 108
#define TRAIL_NAME_MAX (TRAIL_PATH_MAX + 4)

// Writes the name of the file with this age; 0: the one that is written. Returns out.
const char *trail_name(const char *path, unsigned age, char out[TRAIL_NAME_MAX]);

// Returns whether name is that of one of these files, or of their lock. Pure.
#define TRAIL_LOCK_SUFFIX ".lock" // appended to audit_file: the file that the process which writes it has locked
bool trail_writes(const char *path, const char *name);

// Gets each line without its newline; bytes that a record never has are cut off an overlong one.
typedef void trail_each(void *context, const char *line, size_t length);

// Reads lines from fd to its end. *whole: bytes up to the end of the last newline. *cut: something follows it, which is
// given to each if it is no part of a file that is written (`tail`). Returns false with errno set if reading fails.
bool trail_read(int fd, trail_each *each, void *context, bool tail, uint64_t *whole, bool *cut);

// The files that are there, from the oldest to the youngest.
struct trail {
    int fds[TRAIL_OLD + 1];
    unsigned ages[TRAIL_OLD + 1]; // as trail_name() takes them
    unsigned n;
    bool complete;   // none can have been removed by rotation
    int error;       // errno of the youngest one that cannot be opened, which is left out, or 0
    unsigned unread; // its age
};

// Opens them. Returns false with errno set if there is none, or none can be opened; t holds none then.
// The caller calls trail_close().
bool trail_open(struct trail *t, const char *path);
void trail_close(struct trail *t);

#endif
