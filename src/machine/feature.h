// SPDX-License-Identifier: Apache-2.0
// feature: abilities of newer kernels that mcrd uses where it finds them, and does without elsewhere.
#ifndef MCR_MACHINE_FEATURE_H
#define MCR_MACHINE_FEATURE_H

#include <stdbool.h>

#include "stats/layout.h"

// Bits of a mask of features that are to be treated as missing (mcrd --without), to test each fallback.
enum feature {
    FEATURE_PACKET_GSO = 1 << 0,      // UDP GSO frames on packet sockets: Linux 6.2
    FEATURE_UDP_GSO = 1 << 1,         // UDP_SEGMENT: Linux 4.18
    FEATURE_IGNORE_OUTGOING = 1 << 2, // PACKET_IGNORE_OUTGOING: Linux 4.20
    FEATURE_SUPER_FRAMES = 1 << 3,    // UDP super-frames in a ring: Linux 6.2, known by what came with 6.4
    FEATURE_LANDLOCK = 1 << 4,        // Linux 5.13, where it is turned on
    FEATURE_TX_RING = 1 << 5,         // no memory for transmit rings
};

// Parses a comma-separated list of names into *mask. On an unknown name returns false; *names lists the known ones.
bool feature_parse(const char *text, unsigned *mask, const char **names);

// Finds out what is there but for the mask `without`, and logs it. Sockets are opened, asked and closed; nothing is
// sent. Needs CAP_NET_RAW. Nobody can be asked for packet_gso without sending: it is there where super-frames are, and
// is tried with the first batch where they are not.
struct stats_features feature_probe(unsigned without);

// Whether a ring of this packet socket may have a virtio_net_hdr before each frame. Before 6.2 the kernel has no word
// for UDP super-frames there, and such a ring takes nothing in any more after one. Nothing tells but a neighbour
// of 6.4.
bool feature_super_frames(int fd);

#endif
