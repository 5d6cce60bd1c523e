// SPDX-License-Identifier: Apache-2.0
// report: the result of a run on stdout, as one JSON object or the same members as lines.
#ifndef MCR_GEN_REPORT_H
#define MCR_GEN_REPORT_H

#include "gen/histogram.h"
#include "gen/options.h"
#include "gen/sequence.h"

#include <stdbool.h>
#include <stdint.h>

#define GEN_ERRNOS 4096 // MAX_ERRNO of linux/err.h, and 0

// What one leg did; datagrams.
struct gen_leg_sent {
    uint64_t sent, failed;
    uint64_t lost;                // did not leave, on purpose
    uint64_t repeated, reordered; // of those sent
};

struct gen_sent {
    uint64_t made;               // numbers
    uint64_t sent, failed;       // datagrams, by all legs
    uint64_t bytes;              // of payload, sent
    uint64_t duration_ns;        // from the first to the last datagram
    uint64_t given_up_ns;        // by how much the schedule was moved after stalls
    uint64_t errors[GEN_ERRNOS]; // how often each errno came
    struct gen_leg_sent legs[LEG_MOST];
    uint64_t lost_by_all; // numbers
};

struct gen_received {
    uint64_t received; // good datagrams of the stream, with duplicates
    uint64_t bytes;    // of their payload
    uint64_t corrupt, foreign;
    uint64_t stream; // or GEN_NONE
    struct sequence sequence;
    uint64_t lost, unexpected;
    uint64_t expected, lost_by_all;         // or GEN_NONE
    bool not_judged;                        // the file of what was lost is missing or wrong
    uint64_t first_ns, last_ns, gap_max_ns; // arrivals by CLOCK_REALTIME, as the kernel stamped them
    struct histogram latency;               // nanoseconds
    uint64_t socket_drops;
    uint64_t checksum_errors; // or GEN_NONE
    uint64_t receive_buffer;
    const char *stopped_by;
    bool coming; // datagrams still came when the time was over
    bool ok;
};

// Print a report. Return false if stdout could not be written.
bool gen_report_sent(const struct gen_options *o, const struct gen_sent *r);
bool gen_report_received(const struct gen_options *o, const struct gen_received *r);

#endif
