// SPDX-License-Identifier: Apache-2.0
// merge_state: what a merge holds, and what its files count.
#ifndef MCR_WIRE_MERGE_STATE_H
#define MCR_WIRE_MERGE_STATE_H

#include "wire/merge.h"
#include "wire/merge_active.h"
#include "wire/merge_number.h"
#include "wire/merge_recent.h"

#define MERGE_LINES      2
#define MERGE_CANDIDATES 256 // sessions that may be about to get a line

enum { SEEN = 0x80, HELD = 0x40, COVERED = 0x20, LEAVING = 0x10, FIRST_LEG = 0x0f };

// What is known of one number.
struct slot {
    uint32_t us;    // of its first copy; while there is none, of the datagram that showed the gap
    uint16_t check; // of what its copies have in common
    uint8_t legs;   // mask: who has brought it within the window
    uint8_t state;  // SEEN, HELD, LEAVING: given to the caller, who may not have sent it yet, COVERED: by a datagram of
                    // several numbers; and the leg of the first copy
};
_Static_assert(sizeof(struct slot) == 8, "eight in a cache line");

// The numbers of one session, or of what follows a jump of them.
struct line {
    bool used;
    struct session session;
    uint64_t head;    // the highest number, extended to 64 bits
    uint64_t tail;    // the lowest one that is still in the window
    uint64_t base;    // its first number
    uint32_t base_us; // when that came
    uint64_t next;    // whose turn it is (reorder)
    uint32_t last_us; // of its last datagram
    uint32_t head_us; // of the first one with the number head
    uint32_t time;    // RTP time stamp of head
    uint32_t n_held;
    uint32_t run; // numbers in a row before tail that no leg brought
    struct {
        bool known;
        uint32_t us;   // of its last datagram
        uint64_t high; // its highest number
    } legs[MERGE_LEGS_MAX];
    struct slot *slots; // of head - room + 1 to head
    uint32_t *times;    // RTP time stamp of each block; only where the number alone is ambiguous
    uint32_t *buffers;  // of each slot that is HELD or LEAVING
};

// A session without a line: where it was last.
struct candidate {
    struct session session;
    uint64_t number;
    uint32_t count;
    uint32_t us;
    uint16_t check;
    bool used;
};

// A datagram that is held back, by its buffer.
struct held {
    uint64_t tag;
    uint32_t length;
    uint32_t leg;
    uint32_t line, at; // its slot
};

// When a leg last brought a line, as the looks see it.
struct apart_leg {
    uint64_t when_ns; // of the look that found it; 0: never
    uint32_t us;      // its stamp
};

// What tells two streams from one (merge_apart.h).
struct apart {
    struct apart_leg lines[MERGE_LINES][MERGE_LEGS_MAX];
    uint64_t first[MERGE_LEGS_MAX]; // first copies of each leg when the lines were not apart for the last time
    uint64_t sum;                   // of the first copies of all legs, at the last look
};

struct merge {
    void *memory; // that it lies in
    struct merge_settings s;
    uint32_t room;     // numbers that a line knows
    uint32_t width;    // bits of a number
    uint32_t header;   // bytes up to the end of number, session and count
    uint32_t step;     // numbers that may be missing at once, whatever time has passed
    uint32_t most;     // numbers that may be missing at once
    uint32_t n_blocks; // of times
    uint32_t store;    // datagrams that are held at most
    uint32_t stride;   // bytes of a buffer
    uint32_t window_us, reorder_us;
    uint8_t all; // mask of the legs
    uint32_t newest;
    uint32_t us; // the highest stamp
    uint64_t ns;
    uint32_t crowd_us; // when a session without a line last passed
    bool crowded;
    struct line lines[MERGE_LINES];
    struct candidate *candidates;
    struct recent recent;
    uint32_t n_free, n_leaving;
    uint32_t *free; // buffers: from the front those that are free, from the end those whose datagram is LEAVING
    struct held *held;
    uint8_t *bytes;
    struct active active;
    struct apart apart;
    struct merge_counters counters;
};

// Sets what follows from the settings: pointers into the memory of merge_bytes() that begins with m, sizes, and times.
void merge_settle(struct merge *m, const struct merge_settings *settings);

static inline bool has_lines(const struct merge_settings *s)
{
    return s->by == MERGE_RTP || s->by == MERGE_FIELD;
}

static inline void count_skew(struct merge *m, uint32_t leg, uint32_t us)
{
    struct merge_leg_counters *c = &m->counters.legs[leg];

    c->skew_us += us;
    c->skew_count++;
    if (us > c->skew_max_us)
        c->skew_max_us = us;
}

// The first copy that came need not have the lower stamp: the legs' rings are emptied one after the other.
static inline void count_copy(struct merge *m, uint32_t leg, uint32_t us, uint32_t first_leg, uint32_t first_us)
{
    int32_t behind = (int32_t) (us - first_us);

    if (behind >= 0)
        count_skew(m, leg, (uint32_t) behind);
    else if (first_leg < m->s.n_legs)
        count_skew(m, first_leg, 0u - (uint32_t) behind);
}

// A number, or by payload a datagram, has left the window. legs: who has brought it.
static inline void count_left(struct merge *m, uint8_t legs)
{
    for (unsigned missing = m->all & ~legs; missing != 0; missing &= missing - 1)
        m->counters.legs[__builtin_ctz(missing)].missing++;
    m->counters.recovered += (m->all & ~legs) != 0;
}

#endif
