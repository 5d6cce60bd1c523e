// SPDX-License-Identifier: Apache-2.0
// feature: optional kernel features, which mcrd uses if the kernel has them.
#ifndef MCR_MACHINE_FEATURE_H
#define MCR_MACHINE_FEATURE_H

#include <stdbool.h>

#include "stats/layout.h"

// The features that mcrd --without can disable, to test each fallback: X(NAME, field, name, help), and Y for the last.
#define FEATURES(X, Y)                                                                                                 \
    STATS_FEATURES(X)                                                                                                  \
    X(LANDLOCK, landlock, "landlock", "Linux 5.13, where it is turned on")                                             \
    Y(TX_RING, tx_ring, "tx-ring", "memory for transmit rings")

#define FEATURE_BIT(NAME, field, name, help)  FEATURE_BIT_##NAME,
#define FEATURE_MASK(NAME, field, name, help) FEATURE_##NAME = 1 << FEATURE_BIT_##NAME,
enum feature_bit { FEATURES(FEATURE_BIT, FEATURE_BIT) };
enum feature { FEATURES(FEATURE_MASK, FEATURE_MASK) };

// "packet-gso, udp-gso, ..."
#define FEATURE_NAME(NAME, field, name, help) name ", "
#define FEATURE_LAST(NAME, field, name, help) name
#define FEATURE_NAMES                         FEATURES(FEATURE_NAME, FEATURE_LAST)

// Adds the features of a comma-separated list of names to *mask. Returns false on an unknown name.
bool feature_parse(const char *text, unsigned *mask);

// Detects and logs the features, except those in the mask `without`. Opens sockets, queries and closes them; sends
// nothing. Needs CAP_NET_RAW. The kernel does not report packet_gso: a kernel with super-frames has it; on others, mcrd
// detects it on the first send (STATS_FEATURE_TRIED).
struct stats_features feature_probe(unsigned without);

// Returns whether a ring of this packet socket may have a virtio_net_hdr before each frame. Before Linux 6.2 that
// header cannot describe UDP super-frames, and the first one blocks such a ring for good. The kernel does not report
// this, so a related option of Linux 6.4 (PACKET_VNET_HDR_SZ) is tested.
bool feature_super_frames(int fd);

#endif
