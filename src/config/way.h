// SPDX-License-Identifier: Apache-2.0
// way: the kind of socket by which an output's datagrams leave, and so what a compromised relay could send by it.
#ifndef MCR_CONFIG_WAY_H
#define MCR_CONFIG_WAY_H

#include <jansson.h>
#include <stdbool.h>

#include "config/model.h"

enum config_way {
    CONFIG_WAY_FRAME,   // a packet socket on its interface: any frame
    CONFIG_WAY_SOCKET,  // a connected UDP socket: any payload, from one address and port to one address and port
    CONFIG_WAY_PORT,    // CONFIG_WAY_SOCKET if the broker may bind the source port, else CONFIG_WAY_RAW_UDP
    CONFIG_WAY_RAW_UDP, // a connected raw socket of UDP: any UDP header, from one address to one address
    CONFIG_WAY_RAW_IP, // a connected raw socket, mcr writes the IP header: any IP packet to the next hop of one address
};
#define CONFIG_WAYS (CONFIG_WAY_RAW_IP + 1)

#define CONFIG_WAY_TEXT_MAX 128

// Ports below this need CAP_NET_BIND_SERVICE by default (net.ipv4.ip_unprivileged_port_start).
#define CONFIG_RESERVED_PORTS 1024

// Returns the way of an output. framed: frames can leave by its interface, which has Ethernet headers, and is not the
// loopback interface unless the output has a VLAN tag.
enum config_way config_way(const struct config_output *o, bool framed);

// Returns the way that follows from the file alone: that with a framed interface. *otherwise: the way without.
enum config_way config_way_of_file(const struct config_output *o, enum config_way *otherwise);

// Return the name of a way, and how a datagram leaves by it ("as a frame").
const char *config_way_name(enum config_way way);
const char *config_way_phrase(enum config_way way);

// Writes the output's way in a few words, as far as it follows from the file, and what makes it a raw socket. Returns
// text.
const char *config_way_text(const struct config_output *o, char text[CONFIG_WAY_TEXT_MAX]);

// Returns the same as {"ways": [KIND, ...], "text"}, in the order in which the ways are tried. The caller frees it.
json_t *config_way_tree(const struct config_output *o);

#endif
