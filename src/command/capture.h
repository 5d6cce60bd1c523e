// SPDX-License-Identifier: Apache-2.0
// capture: reads and writes capture files with libpcap, and gives their frames as the relay would get them.
//
// libpcap is loaded on demand and never linked, because it needs other libraries (D-Bus, systemd, compression) that
// must not be in the daemon.
#ifndef MCR_COMMAND_CAPTURE_H
#define MCR_COMMAND_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "wire/packet.h"

struct capture;
struct pcap_dumper; // of libpcap: writes a capture

#define CAPTURE_WHY_MAX 512

// Loads libpcap. Call it first, while files can still be opened. Returns false with why.
bool capture_load(char why[CAPTURE_WHY_MAX]);

// Reads the header of a capture. The result owns file, which is closed on failure. Returns NULL with why.
struct capture *capture_open(FILE *file, char why[CAPTURE_WHY_MAX]);
void capture_close(struct capture *c);

struct capture_frame {
    uint64_t time_ns; // since the epoch, from the file
    const uint8_t *bytes;
    size_t length;
    bool truncated;          // the capture does not have the whole frame (snaplen)
    struct packet_meta meta; // the outer VLAN tag is removed from the frame, as the kernel does
    uint8_t kind;            // sll_pkttype of packet(7); PACKET_HOST if the file does not have it
    bool stations;           // bytes begin with the real MAC addresses, not with invented ones
};

// Reads the next frame, which is valid until the next call.
enum capture_result { CAPTURE_FRAME, CAPTURE_END, CAPTURE_DAMAGED };
enum capture_result capture_next(struct capture *c, struct capture_frame *out, char why[CAPTURE_WHY_MAX]);

// Returns how many bytes of the file have been read: exact for pcap; for pcapng without comments and other blocks.
uint64_t capture_position(const struct capture *c);

// Begins a capture of Ethernet frames with nanoseconds. The result owns file, which is closed on failure. Returns NULL
// with why.
struct pcap_dumper *capture_create(FILE *file, char why[CAPTURE_WHY_MAX]);
void capture_write(struct pcap_dumper *w, uint64_t time_ns, const uint8_t *bytes, size_t length);

// Ends the capture and frees w. Returns whether everything was written to the file.
bool capture_finish(struct pcap_dumper *w);

#endif
