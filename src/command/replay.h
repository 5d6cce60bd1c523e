// SPDX-License-Identifier: Apache-2.0
// replay: what the steps of command_replay() share. Private to replay*.c.
#ifndef MCR_COMMAND_REPLAY_H
#define MCR_COMMAND_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "command/capture.h"
#include "command/command.h"
#include "command/offline.h"

#define VERDICTS_MAX 64 // more than there are counters

struct replay {
    const struct replay_options *options;
    struct config *config;
    struct offline *offline;
    struct capture *capture;
    struct capture_writer *writer;
    uint32_t interface;
    struct offline_verdict verdict;
    // Of the present packet.
    struct capture_frame frame;
    struct packet packet;
    enum packet_verdict parsed; // packet's addresses are known of fragments, too
    // Of all.
    uint64_t n, n_frames, first_ns;
    uint64_t unfinished, merged, truncated;
    struct tally {
        const char *name;
        uint64_t n;
    } verdicts[VERDICTS_MAX];
};

// Print as the options say: what comes before the packets, the present one, and the counts of all.
void replay_show_head(const struct replay *r);
void replay_show_packet(const struct replay *r);
void replay_show_end(const struct replay *r, bool damaged);

#endif
