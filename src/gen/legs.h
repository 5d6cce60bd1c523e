// SPDX-License-Identifier: Apache-2.0
// legs: the legs at work. A datagram is made once, its number and times are kept until the last leg has sent it, and
// each leg sends the same bytes.
#ifndef MCR_GEN_LEGS_H
#define MCR_GEN_LEGS_H

#include "gen/options.h"
#include "gen/payload.h"
#include "gen/report.h"

#include <stdbool.h>
#include <stdint.h>

// So many datagrams may wait for delayed legs: the options see to it. As a stalled run catches up at twice the rate,
// twice as many are kept, 16 bytes each: 32 MiB at most.
#define LEGS_WAITING_MOST UINT64_C(1000000)

struct legs;

// Opens a socket for each leg of the options, and the file of what is lost. Options, maker and result, which what is
// sent and lost is added to, stay the caller's. NULL after saying on stderr what failed.
struct legs *legs_new(const struct gen_options *o, const struct payload_maker *maker, struct gen_sent *result);
void legs_free(struct legs *legs);

// How many datagrams may be made now.
uint64_t legs_room(const struct legs *legs);

// Makes the next n datagrams, no more than there is room for; now is CLOCK_MONOTONIC.
void legs_make(struct legs *legs, uint64_t n, uint64_t now_ns);

// Sends what is due, or will be within PACE_GROUP_NS. Returns when the next is due that is made: UINT64_MAX for none,
// which means after the end that all is sent.
uint64_t legs_send(struct legs *legs, uint64_t now_ns, bool ended);

// Completes the file of what is lost. False after saying on stderr that it could not be written.
bool legs_finish(struct legs *legs);

#endif
