// SPDX-License-Identifier: Apache-2.0
// options: the command line of mcrgen send and mcrgen recv, checked.
#ifndef MCR_GEN_OPTIONS_H
#define MCR_GEN_OPTIONS_H

#include "common/addr.h"

#include <stdbool.h>
#include <stdint.h>

enum gen_role { GEN_SEND = 1, GEN_RECV = 2 };

enum gen_option {
    GEN_INTERFACE,
    GEN_GROUP,
    GEN_ADDRESS,
    GEN_PORT,
    GEN_RATE,
    GEN_COUNT,
    GEN_SECONDS,
    GEN_SIZE,
    GEN_TTL,
    GEN_DSCP,
    GEN_SOURCE,
    GEN_SOURCE_PORT,
    GEN_STREAM,
    GEN_FIRST,
    GEN_FLOWS,
    GEN_GSO,
    GEN_BATCH,
    GEN_DONT_FRAGMENT,
    GEN_IDLE_MS,
    GEN_EXPECT,
    GEN_READY_FD,
    GEN_GRO,
    GEN_JSON,
    GEN_PROGRESS,
    GEN_HELP,
    GEN_VERSION,
};

struct gen_options {
    enum gen_role role;
    uint32_t given; // a bit for each enum gen_option
    const char *interface;
    unsigned ifindex;
    struct addr group, address;
    struct addr destination; // the group or the address; ADDR_NONE: whatever is addressed to this host
    struct addr source;
    uint64_t port, rate, count, size, ttl, dscp, source_port, stream, first, flows, gso, batch, idle_ms, expect,
        ready_fd;
    uint64_t duration_ns;
};

static inline bool gen_given(const struct gen_options *o, enum gen_option option)
{
    return (o->given & UINT32_C(1) << option) != 0;
}

// Reads argv[1..]; argv[0] is the name of the role. On failure says on stderr what is wrong and what is
// allowed, and returns false. --help and --version end the reading at once with true.
bool gen_options_read(struct gen_options *o, enum gen_role role, int argc, char *argv[]);

#endif
