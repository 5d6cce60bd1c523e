// SPDX-License-Identifier: Apache-2.0
// options: the command lines of mcrgen send and mcrgen recv, checked.
#ifndef MCR_GEN_OPTIONS_H
#define MCR_GEN_OPTIONS_H

#include "common/addr.h"
#include "common/arguments.h"
#include "gen/framing.h"
#include "gen/leg.h"

#include <stdbool.h>
#include <stdint.h>

#define GEN_NONE UINT64_MAX // a number that was not given, if 0 is allowed

struct gen_options {
    const char *interface; // NULL where legs say where to send
    unsigned ifindex;
    struct addr group, address;
    struct addr destination; // the group or the address; ADDR_NONE: any address of this host
    struct addr source;      // or ADDR_NONE
    uint64_t port, source_port, count, idle_ms, missing_ms; // 0: none
    uint64_t size, stream, first, expect;                   // or GEN_NONE
    uint64_t rate, ttl, dscp, flows, gso, batch, ready_fd;
    double seconds; // 0: no end
    bool dont_fragment, gro, json, progress, in_order;
    uint64_t duration_ns;           // of seconds
    const char *as, *lost_file;     // or NULL
    struct framing framing;         // of as
    struct argument_list leg_texts; // from them:
    struct leg legs[LEG_MOST];
    unsigned n_legs; // 0: none, but interface, destination and port
};

// Parse a command line into *o, with defaults; argv[0] is the role. Return -1 to continue, or the exit status after
// --help,
// --version or a message on stderr.
int gen_options_send(struct gen_options *o, int argc, char **argv);
int gen_options_recv(struct gen_options *o, int argc, char **argv);

#endif
