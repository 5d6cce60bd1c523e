// SPDX-License-Identifier: Apache-2.0
// capture: capture files, read and written by libpcap, and their frames as the relay would get them.
//
// libpcap is loaded when it is asked for and never linked: the library brings others (D-Bus, systemd, compression) that
// have no business in the daemon.
#ifndef MCR_COMMAND_CAPTURE_H
#define MCR_COMMAND_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "wire/packet.h"

struct capture;
struct pcap_dumper; // libpcap's: writes a capture

#define CAPTURE_WHY_MAX 512

// Finds libpcap. To be called first, and before files can no longer be opened. False with why.
bool capture_load(char why[CAPTURE_WHY_MAX]);

// Reads the head of a capture. file is then the capture's, and on failure closed. NULL with why.
struct capture *capture_open(FILE *file, char why[CAPTURE_WHY_MAX]);
void capture_close(struct capture *c);

struct capture_frame {
    uint64_t time_ns; // since the epoch, as the file says
    const uint8_t *bytes;
    size_t length;
    bool truncated;          // the capture did not keep all of it (snaplen)
    struct packet_meta meta; // the outer VLAN tag is taken out of the frame, as the kernel does
    uint8_t kind;            // PACKET_HOST and its like (packet(7)); PACKET_HOST where the file does not tell
    bool stations;           // bytes begin with the stations of the network, not with made up ones
};

// The next frame, which stays as it is until the next call.
enum capture_result { CAPTURE_FRAME, CAPTURE_END, CAPTURE_DAMAGED };
enum capture_result capture_next(struct capture *c, struct capture_frame *out, char why[CAPTURE_WHY_MAX]);

// About how many bytes of the file have been read: exact for pcap, less what comments and the like take of pcapng.
uint64_t capture_position(const struct capture *c);

// Begins a capture of Ethernet frames with nanoseconds. file is then the writer's, and on failure closed. NULL with
// why.
struct pcap_dumper *capture_create(FILE *file, char why[CAPTURE_WHY_MAX]);
void capture_write(struct pcap_dumper *w, uint64_t time_ns, const uint8_t *bytes, size_t length);

// Whether everything has reached the file.
bool capture_finish(struct pcap_dumper *w);

#endif
