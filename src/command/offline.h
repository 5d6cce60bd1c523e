// SPDX-License-Identifier: Apache-2.0
// offline: a config compiled as the broker does it, and frames taken through its table as the relay does it, with
// nothing opened: what would leave goes to the caller.
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

// Takes one packet that would leave by o, as a whole Ethernet frame with its checksums finished. Where the kernel would
// find the next hop, its station is OFFLINE_NEXT_HOP; on a link without Ethernet headers, the header is made up.
typedef void offline_sink(void *context, const struct table_output *o, const uint8_t *frame, size_t length);

#define OFFLINE_NEXT_HOP ((const uint8_t[6]){0x02, 'm', 'c', 'r', 0, 0})

struct offline {
    const struct config *config;
    struct table_view table;
    struct link *links;      // in the order of the table's interfaces
    struct forward *forward; // with what the daemon would have counted of rules and outputs
    struct ingress ingress;  // and of the interface
    // Private.
    struct table_image image;
    struct outlet *outlets;
    offline_sink *sink;
    void *context;
    // What the counters were before the present frame.
    struct stats_interface_counters seen;
    struct stats_drops *seen_drops;
    struct stats_output_counters *seen_outputs;
};

// NULL with why. The config stays the caller's and must outlive it.
struct offline *offline_open(const struct config *config, offline_sink *sink, void *context, char why[COMPILE_WHY_MAX]);
void offline_close(struct offline *o);

// The interfaces that are not on this machine, as a sentence for an array of them; the caller's. NULL: all are here.
struct json_t *offline_note(const struct offline *o);

// The interface of this name among those that an enabled rule takes in from, or TABLE_NONE; name NULL: the only one.
uint32_t offline_input(const struct offline *o, const char *name);

#define OFFLINE_INPUTS_MAX (CONFIG_INTERFACES_MAX * (IFNAMSIZ + 2))

// The names of the interfaces that rules take in from: "ot0, ot1", or "none". Returns text.
const char *offline_inputs(const struct offline *o, char text[OFFLINE_INPUTS_MAX]);

// What became of a frame.
struct offline_verdict {
    const char *name;                 // "forwarded", that of drop, or "held"
    bool forwarded;                   // an output has taken it
    const struct stats_counter *drop; // the first counter of a drop that it added to; NULL: none
    // One of the rule that took it in, that of the datagram if it got to the outputs. TABLE_NONE: no rule did.
    uint32_t path;
    // What it added to the counters of that rule and to those of the path's outputs.
    struct stats_drops drops;
    struct stats_output_counters outputs[CONFIG_OUTPUTS_MAX];
};

// The line of the file that decided it; 0: none did.
int offline_line(const struct offline *o, const struct offline_verdict *v);

// Takes one frame in by an interface of the table at a time of any epoch; see ingress_frame(). A fragment that waits
// for the others of its datagram is "held".
void offline_frame(struct offline *o, uint32_t interface, uint64_t now_ns, const uint8_t *bytes, size_t length,
                   const struct packet_meta *meta, uint8_t kind, struct offline_verdict *v);

// Counts the datagrams whose fragments did not all come.
void offline_end(struct offline *o);

#endif
