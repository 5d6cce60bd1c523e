// SPDX-License-Identifier: Apache-2.0
// merge_active: which of the legs is the active one (by active). Pure.
#ifndef MCR_WIRE_MERGE_ACTIVE_H
#define MCR_WIRE_MERGE_ACTIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/merge.h"

struct active {
    uint32_t n_legs;
    uint64_t switch_after_ns, return_after_ns; // return_after_ns 0: never
    struct {
        bool known;
        uint64_t since_ns, last_ns; // alive since, last datagram
    } legs[MERGE_LEGS_MAX];
    uint64_t begun_ns;
    uint64_t settled_ns; // merge_settled()
};

// No leg has brought anything yet.
void active_begin(struct active *a, const struct merge_settings *s);

// Leg `leg` has brought a datagram with the stamp ns; newest_ns: the highest stamp. was: the active leg until then;
// MERGE_NO_LEG: it is the first datagram. Returns the active leg.
uint32_t active_take(struct active *a, uint32_t was, uint32_t leg, uint64_t ns, uint64_t newest_ns);

#endif
