// SPDX-License-Identifier: Apache-2.0
// replayed: what a replay prints: a line for each packet, and what became of all.
#ifndef MCR_COMMAND_REPLAYED_H
#define MCR_COMMAND_REPLAYED_H

#include <stdbool.h>
#include <stdint.h>

#include "command/capture.h"
#include "command/command.h"
#include "command/offline.h"
#include "command/unmatched.h"
#include "common/arguments.h"
#include "common/digest.h"
#include "config/model.h"
#include "wire/packet.h"

struct json_t;

// What a replay knows of the present packet and of all before it.
struct replayed {
    const struct replay_options *options;
    struct config *config;
    struct offline *offline;
    uint32_t interfaces[ARGUMENT_LIST_MOST]; // of the captures
    // Of the present packet.
    uint32_t interface;
    struct capture_frame frame;
    struct packet packet;
    enum packet_verdict parsed; // packet's addresses are known of fragments, too
    struct offline_verdict verdict;
    // Of all.
    uint64_t n, n_frames, first_ns;
    uint64_t unfinished, merged, truncated, held_back;
    struct json_t *verdicts; // {VERDICT: N}
    struct unmatched *unmatched;
    struct json_t *note; // that other rules run; NULL: not known
    char running[DIGEST_TEXT_MAX];
};

// Prints the head of the JSON, where JSON is asked for; then each packet, unless it shall be quiet; then what became of
// all of them. damaged: a capture could not be read to its end.
void replayed_begin(const struct replayed *r);
void replayed_packet(const struct replayed *r);
void replayed_end(const struct replayed *r, bool damaged);

#endif
