// SPDX-License-Identifier: Apache-2.0
// audit_head: the head of the records in a memory file, which the service manager keeps while mcrd does not run, so
// that the chain goes on over a restart; and which file has them. Only the broker has its descriptor: the relay cannot
// write it.
#ifndef MCR_BROKER_AUDIT_HEAD_H
#define MCR_BROKER_AUDIT_HEAD_H

#include "audit/chain.h"
#include "audit/trail.h"

struct audit_place {
    struct chain_head head;
    uint64_t file_n;           // number of the last record in that
    char file[TRAIL_PATH_MAX]; // the last audit_file in which records were written; empty: there was none
};

// Two of them, so that one is whole whenever the process is killed.
struct audit_head {
    uint64_t magic;
    volatile uint32_t now; // which of the two
    uint32_t reserved;
    struct audit_place places[2];
};

// Makes the file. Returns a descriptor that the caller closes, or -1 with errno set.
int audit_head_new(void);

// Maps it. Returns NULL, with *why, unless fd is such a file; the caller calls audit_head_unmap(). To be called before
// the system call filter is loaded.
struct audit_head *audit_head_map(int fd, const char **why);
void audit_head_unmap(struct audit_head *h);

// file: that has these records; NULL: as it was. h may be NULL: nothing is kept.
void audit_head_set(struct audit_head *h, const struct chain_head *head, const char *file);

// n is 0 if there is none.
struct chain_head audit_head_get(const struct audit_head *h);

// Returns the last audit_file in which records were written; empty: none is known. It is h's. *n: the number of the
// last of them.
const char *audit_head_file(const struct audit_head *h, uint64_t *n);

#endif
