// SPDX-License-Identifier: Apache-2.0
// feature: abilities of newer kernels that mcrd uses where it finds them, and does without elsewhere.
#ifndef MCR_MACHINE_FEATURE_H
#define MCR_MACHINE_FEATURE_H

#include <stdbool.h>

#include "stats/layout.h"

// What may be treated as missing (mcrd --without), to test each fallback: X for the first, Y for every other
// (NAME, bit, name, what it is).
#define FEATURES(X, Y)                                                                                                 \
    X(PACKET_GSO, 0, "packet-gso", "UDP GSO frames on packet sockets: Linux 6.2")                                      \
    Y(UDP_GSO, 1, "udp-gso", "UDP_SEGMENT: Linux 4.18")                                                                \
    Y(IGNORE_OUTGOING, 2, "ignore-outgoing", "PACKET_IGNORE_OUTGOING: Linux 4.20")                                     \
    Y(SUPER_FRAMES, 3, "super-frames", "UDP super-frames in a ring: Linux 6.2, known by what came with 6.4")           \
    Y(LANDLOCK, 4, "landlock", "Linux 5.13, where it is turned on")                                                    \
    Y(TX_RING, 5, "tx-ring", "memory for transmit rings")

#define FEATURE_ENUM(NAME, bit, name, help) FEATURE_##NAME = 1 << (bit),
enum feature { FEATURES(FEATURE_ENUM, FEATURE_ENUM) };

// "packet-gso, udp-gso, ..."
#define FEATURE_FIRST(NAME, bit, name, help) name
#define FEATURE_OTHER(NAME, bit, name, help) ", " name
#define FEATURE_NAMES                        FEATURES(FEATURE_FIRST, FEATURE_OTHER)

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
