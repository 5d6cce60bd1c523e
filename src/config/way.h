// SPDX-License-Identifier: Apache-2.0
// way: by which kind of socket an output's datagrams leave, and so what a relay that was taken over could send by it.
#ifndef MCR_CONFIG_WAY_H
#define MCR_CONFIG_WAY_H

#include <jansson.h>
#include <stdbool.h>

#include "config/model.h"

enum config_way {
    CONFIG_WAY_FRAME,   // a packet socket of its interface: any frame
    CONFIG_WAY_SOCKET,  // a connected UDP socket: any payload, from one address and port to one address and port
    CONFIG_WAY_PORT,    // the same where the host lets the broker bind the source port, else as CONFIG_WAY_RAW_UDP
    CONFIG_WAY_RAW_UDP, // a connected raw socket of UDP: any UDP header, from one address to one address
    CONFIG_WAY_RAW_IP,  // a connected raw socket whose IP header is ours: any IP packet to the next hop of one address
};
#define CONFIG_WAYS (CONFIG_WAY_RAW_IP + 1)

#define CONFIG_WAY_TEXT_MAX 128

// framed: its interface has Ethernet headers, and is not the loopback interface or the output has a VLAN tag.
enum config_way config_way(const struct config_output *o, bool framed);

// The same as far as the file tells: the way where the interface is framed, and *otherwise the way where it is not.
enum config_way config_way_of_file(const struct config_output *o, enum config_way *otherwise);

// Its name, and how a datagram leaves by it ("as a frame").
const char *config_way_name(enum config_way way);
const char *config_way_phrase(enum config_way way);

// Says in a few words what the file tells of the output's way, and what makes it a raw socket. Returns text.
const char *config_way_text(const struct config_output *o, char text[CONFIG_WAY_TEXT_MAX]);

// The same as {"ways": [KIND, ...], "text"}, the first of the ways being tried first. The caller's.
json_t *config_way_tree(const struct config_output *o);

#endif
