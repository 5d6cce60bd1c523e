// SPDX-License-Identifier: Apache-2.0
// feature: abilities of newer kernels that mcrd uses where it finds them, and does without elsewhere.
#ifndef MCR_MACHINE_FEATURE_H
#define MCR_MACHINE_FEATURE_H

#include <stdbool.h>

#include "stats/layout.h"

// What may be treated as missing (mcrd --without), to test each fallback: X(NAME, field, name, help), and Y for the
// last.
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

// Parses a comma-separated list of names into *mask. False on an unknown name.
bool feature_parse(const char *text, unsigned *mask);

// Finds out what is there but for the mask `without`, and logs it. Sockets are opened, asked and closed; nothing is
// sent. Needs CAP_NET_RAW. The kernel does not report packet_gso: it is there where super-frames are; where they
// are not, the first batch tries it.
struct stats_features feature_probe(unsigned without);

// Whether a ring of this packet socket may have a virtio_net_hdr before each frame. Before 6.2 the kernel has no word
// for UDP super-frames there, and such a ring takes nothing in any more after one. The kernel does not
// report it: a related option that Linux 6.4 added is tested.
bool feature_super_frames(int fd);

#endif
