// SPDX-License-Identifier: Apache-2.0
// lost: the file by which a sender tells which numbers it lost on purpose, and a receiver judges whether exactly those
// are missing that no leg brought:
//
//    mcrgen-lost first 0 legs 2        the first number, and how many legs there were
//    17 1                              a number and the legs that lost it, 1 to 8; numbers go up
//    23 1 2
//    count 100000                      how many numbers there were; without this line the file is not complete
#ifndef MCR_GEN_LOST_H
#define MCR_GEN_LOST_H

#include "gen/sequence.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

// Begins a file. NULL with errno when it cannot be made.
FILE *lost_create(const char *path, uint64_t first, unsigned legs);

// Notes a number that these legs lost: bit 0 is leg 1.
void lost_write(FILE *f, uint64_t number, unsigned legs);

// Ends and closes a file. False with errno when not all of it could be written.
bool lost_finish(FILE *f, uint64_t count);

struct lost_verdict {
    uint64_t expected;   // numbers that some leg brought
    uint64_t all;        // numbers that all legs lost
    uint64_t missing;    // expected, and did not come
    uint64_t unexpected; // came, though all legs lost them or the sender did not make them
};

#define LOST_WHY_MAX 256

// Holds what came, which was judged with SEQUENCE_ANY, against a file. False, with the reason in why, when the file
// cannot be read, is wrong or incomplete, or tells of more than SEQUENCE_WINDOW numbers, which are not remembered.
bool lost_judge(const char *path, const struct sequence *came, struct lost_verdict *v, char why[LOST_WHY_MAX]);

#endif
