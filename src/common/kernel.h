// SPDX-License-Identifier: Apache-2.0
// kernel: constants of the kernel that older headers lack.
#ifndef MCR_COMMON_KERNEL_H
#define MCR_COMMON_KERNEL_H

#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <netinet/udp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 // linux/udp.h, since 4.18
#endif

#ifndef UDP_GRO
#define UDP_GRO 104 // linux/udp.h, since 5.0
#endif

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23 // linux/if_packet.h, since 4.20
#endif

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 // linux/virtio_net.h, since 6.2
#endif

#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24 // linux/if_packet.h, since 6.4
#endif

#endif
