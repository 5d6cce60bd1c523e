// SPDX-License-Identifier: Apache-2.0
// merge: which copy of a datagram passes where several legs bring the same stream. Pure: stamps and payloads in,
// verdicts out. All memory is taken by merge_new().
//
// A line is the state of one session (an SSRC, a session of a field, or what follows a jump of its numbers): a ring
// that knows of each number which legs have brought it. There are two lines, so that the slower leg's tail of a session
// is recognised while the next one has begun. A session gets a line when it has shown two numbers in order, and
// never the line of one that is alive. Until then its datagrams pass as well, and their copies are found in the crowd:
// the last MERGE_CROWD datagrams of sessions without a line. Thus forged sessions neither take memory nor disturb a
// stream in order.
#ifndef MCR_WIRE_MERGE_H
#define MCR_WIRE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "table/layout.h"

#define MERGE_LEGS_MAX 8
#define MERGE_CROWD    1024 // datagrams of sessions without a line, of which copies are recognised

// Numbers in a row that no leg brought, from which they count as lost together. With independent losses of 1 % on two
// legs such a run comes once in 10^16 numbers.
#define MERGE_TOGETHER 4

#define MERGE_NO_LEG UINT32_MAX

enum merge_by { MERGE_RTP, MERGE_FIELD, MERGE_PAYLOAD, MERGE_ACTIVE };

struct merge_settings {
    enum merge_by by;
    uint32_t n_legs;     // 1 to MERGE_LEGS_MAX
    uint32_t window_ms;  // 1 to 10000
    uint32_t reorder_ms; // 0 to window_ms; not by payload or active
    struct {
        uint32_t at;
        uint8_t bytes; // 1, 2, 4 or 8
        bool little;
        uint32_t session_at;
        uint8_t session_bytes; // 0 to 16
        uint32_t count_at;
        uint8_t count_bytes; // how many numbers a datagram brings: 0 (each brings one), 1, 2 or 4
    } field;
    uint32_t switch_after_ms, return_after_ms; // by active; return_after_ms 0: never
    uint32_t numbers;     // of two windows at the highest rate expected; a power of two, at least 64
    uint32_t max_payload; // bytes of a datagram that is held back
    uint64_t key[2];      // secret of the process: no sender can choose what it collides with
};

struct merge_leg_counters {
    uint64_t first;                            // of its datagrams passed, as the first copy
    uint64_t missing;                          // numbers that it did not bring within the window
    uint64_t reordered;                        // came behind a higher number of the same leg
    uint64_t repeated;                         // had come by the same leg already
    uint64_t skew_us, skew_count, skew_max_us; // behind the first copy, by the stamps: sum, copies, most
};

struct merge_counters {
    struct merge_leg_counters legs[MERGE_LEGS_MAX];
    uint64_t recovered;     // numbers that some leg missed and another brought; of several in one datagram, one
    uint64_t lost;          // numbers that no leg brought within the window
    uint64_t lost_together; // runs of at least MERGE_TOGETHER of these, with more than one leg
    uint64_t resets;        // times that the stream has gone on in another line
    uint32_t two_streams;   // 1: lately the legs bring two streams that have no number in common (merge_apart.h)
    uint32_t active_leg;    // by active; else, and before the first datagram, MERGE_NO_LEG
};

// What is held, when its turn comes.
struct merge_held {
    const uint8_t *payload; // valid until merge_sent(), or the next merge_take()
    size_t length;
    uint32_t leg;
    uint64_t tag;
};

enum merge_verdict {
    MERGE_PASSES,
    MERGE_COPY,        // of a datagram that has passed or is held
    MERGE_LATE,        // a copy from beyond the window; with reorder_ms also a number whose turn is over
    MERGE_NO_SEQUENCE, // no RTP of version 2, RTCP, too short for the field: nothing is guessed
    MERGE_STANDBY,     // by active: another leg is active
    MERGE_HELD,        // merge_next() gives it back, once
};

struct merge;

// What the table says of a rule that merges, with the secret of the process.
struct merge_settings merge_settings_of(const struct table_rule *rule, const uint64_t key[2]);

// Bytes that a merge takes.
size_t merge_bytes(const struct merge_settings *settings);

// Changes with the structs that lie in this memory.
uint64_t merge_layout(void);

// Bytes that a datagram must have to be judged by its number; a shorter one has none. 0: any.
uint32_t merge_least(const struct merge_settings *settings);

// The settings are checked by the caller. NULL without memory.
struct merge *merge_new(const struct merge_settings *settings);
void merge_free(struct merge *m);

// The same in merge_bytes() of the caller's memory, which is zero and aligned to a cache line. merge_free() leaves it.
struct merge *merge_place(const struct merge_settings *settings, void *memory);

// Goes on with what a merge of these settings has left in such memory. Its process may have ended at any moment, or
// mean ill: nothing there makes a later call read or write elsewhere, or run for long. Returns NULL if it is no state;
// the merge in this memory then is a new one.
struct merge *merge_resume(const struct merge_settings *settings, void *memory);

// Forgets what leg `leg` has brought first since from_ns, as stamped: it is about to come again, because the process
// ended before it was sent. By payload and for sessions without a line, copies of other legs then pass as well.
void merge_forget(struct merge *m, uint32_t leg, uint64_t from_ns);

// Makes m the same as `from`, which has the same settings but for the key, and of which all that was given was sent.
void merge_copy(struct merge *m, const struct merge *from);

// Takes over the state of the one before (a reload), if both merge by the same: leg i was leg_map[i] there
// (MERGE_LEGS_MAX or more: it is new). Windows, room and payload may be others. What is held back there goes over with
// its turns; where that does not fit it stays, and its turn is over: call merge_next(from, UINT64_MAX, ...) afterwards.
// A ring that is larger now knows no more than the one before did.
void merge_carry(struct merge *m, struct merge *from, const uint8_t leg_map[MERGE_LEGS_MAX]);

// By active: what the other legs' rings hold begins at this stamp; UINT64_MAX, as at first: nothing. A leg is silent
// only as far as its ring was read.
void merge_settled(struct merge *m, uint64_t stamp_ns);

// Judges one datagram of leg `leg`, below n_legs. stamp_ns: the kernel's stamp, of a clock that may step; legs need not
// come in its order. tag: the caller's, given back with what was held.
enum merge_verdict merge_take(struct merge *m, uint32_t leg, uint64_t stamp_ns, const uint8_t *payload, size_t length,
                              uint64_t tag);

// Takes a held datagram whose turn has come; call it after each merge_take() and at merge_due_ns(), until it says
// false. now_ns is of the clock of the stamps: all that was stamped before has been given to merge_take(), so that a
// number which has not come is missing. 0: not known, only what is in order leaves; UINT64_MAX: all leave.
bool merge_next(struct merge *m, uint64_t now_ns, struct merge_held *out);

// All that merge_next() has given has been sent. If the process ends before, merge_resume() holds it again.
void merge_sent(struct merge *m);

// When the first of those that are held leaves at the latest, on the clock of the stamps; UINT64_MAX: nothing is held.
// A timer should not wait longer than reorder_ms, whatever this says, because the clock may have been set back.
uint64_t merge_due_ns(const struct merge *m);

// Judges the numbers that have left the window at now_ns, on the clock of the stamps, and whether the legs bring two
// streams; all that was stamped before has been given to merge_take(). For a timer, and before the counters are shown.
void merge_look(struct merge *m, uint64_t now_ns);

const struct merge_counters *merge_counters(const struct merge *m);

#endif
