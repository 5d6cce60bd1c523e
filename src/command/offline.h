// SPDX-License-Identifier: Apache-2.0
// offline: compiles a config as the broker does, and passes frames through its table as the relay does, but opens
// nothing: the caller gets the packets that would leave.
#ifndef MCR_COMMAND_OFFLINE_H
#define MCR_COMMAND_OFFLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compile/compile.h"
#include "machine/machine.h"
#include "config/model.h"
#include "relay/forward.h"
#include "relay/ingress.h"
#include "stats/counters.h"

// Called with each packet that would leave by o, as a whole Ethernet frame with complete checksums. If the kernel would
// find the next hop, its MAC address is OFFLINE_NEXT_HOP. On a link without Ethernet headers, the header is invented.
typedef void offline_sink(void *context, const struct table_output *o, const uint8_t *frame, size_t length);

#define OFFLINE_NEXT_HOP ((const uint8_t[6]){0x02, 'm', 'c', 'r', 0, 0})

struct offline {
    const struct config *config;
    struct table_view table;
    struct link *links;      // in the order of the table's interfaces
    struct forward *forward; // with the counters of rules and outputs, as in the daemon; now_ns: when a frame leaves
    struct ingress *ingress; // of each of the table's interfaces, with its counters
    // Private.
    struct table_image image;
    struct outlet *outlets;
    offline_sink *sink;
    void *context;
    // The counters before the present frame.
    struct stats_interface_counters seen;
    struct stats_drops *seen_drops;
    uint64_t *seen_legs; // their packets
    struct stats_output_counters *seen_outputs;
};

// Returns NULL with why. The caller keeps the config, which must outlive the result, and frees that with
// offline_close().
struct offline *offline_open(const struct config *config, offline_sink *sink, void *context, char why[COMPILE_WHY_MAX]);
void offline_close(struct offline *o);

// Returns a sentence about the interfaces that this machine does not have, for an array of notes; the caller owns it.
// NULL: it has all of them.
struct json_t *offline_note(const struct offline *o);

// Appends a sentence for each rule that datagrams came to and that waits or is down on this machine: why.
void offline_add_reasons(const struct offline *o, struct json_t *notes);

// Returns the index of the input interface with this name, or TABLE_NONE; name NULL: the only input interface. Only
// inputs of enabled rules count.
uint32_t offline_input(const struct offline *o, const char *name);

// A note where a datagram of a rule with deadline_us is forwarded.
#define OFFLINE_DEADLINE "deadline_us is not judged here: how long a datagram stays is known only where it runs"

#define OFFLINE_INPUTS_MAX (CONFIG_INTERFACES_MAX * (IFNAMSIZ + 2))

// The names of the interfaces that rules take in from: "ot0, ot1", or "none". Returns text.
const char *offline_inputs(const struct offline *o, char text[OFFLINE_INPUTS_MAX]);

// The result of a frame.
struct offline_verdict {
    const char *name;                 // "forwarded", that of drop, or "held"
    bool forwarded;                   // an output has taken it
    bool held_back;                   // it is held until those before it have come (reorder_ms)
    uint64_t released;                // datagrams that were held back, and leave because this one has come
    const struct stats_counter *drop; // the first counter of a drop that it added to; NULL: none
    // The path and the input (index in the table) of the rule that took it in; the path is that of the datagram if it
    // got to the outputs. TABLE_NONE: no rule did.
    uint32_t path, input;
    // What it added to the counters of that rule and to those of the path's outputs.
    struct stats_drops drops;
    struct stats_output_counters outputs[CONFIG_OUTPUTS_MAX];
};

// The input of the file that took it in, where a rule did.
const struct config_input *offline_input_of(const struct offline *o, const struct offline_verdict *v);

// The line of the file that decided it; 0: none did.
int offline_line(const struct offline *o, const struct offline_verdict *v);

// Passes one frame from an interface (index in the table); see ingress_frame(). now_ns: a time of any epoch. What is
// held back (reorder_ms) and due before leaves first. The result of a frame that is held back, and of a fragment of an
// incomplete datagram, is "held".
void offline_frame(struct offline *o, uint32_t interface, uint64_t now_ns, const uint8_t *bytes, size_t length,
                   const struct packet_meta *meta, uint8_t kind, struct offline_verdict *v);

// Merges forget what has come: the next frame is the first one to them.
void offline_forget(struct offline *o);

// Ends the input: what is held back leaves, and the datagrams whose fragments did not all come are counted.
void offline_end(struct offline *o);

#endif
