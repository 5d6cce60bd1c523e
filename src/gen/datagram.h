// SPDX-License-Identifier: Apache-2.0
// datagram: what mcrgen sends, in parts that are not copied, and how many of them are handed to the kernel at once.
#ifndef MCR_GEN_DATAGRAM_H
#define MCR_GEN_DATAGRAM_H

#include "gen/framing.h"
#include "gen/options.h"
#include "gen/payload.h"
#include "gen/report.h"

#include <stdint.h>
#include <sys/socket.h>

#define DATAGRAM_HEADER_MAX (FRAMING_MAX + PAYLOAD_HEADER)
#define DATAGRAM_PARTS      2 // header and body

// The maker of the options' datagrams. NULL when out of memory. To be freed by free(3).
struct payload_maker *datagram_maker_new(const struct gen_options *o);

// Fills the parts of a datagram: its header, which is written to `header`, and its body, which belongs to the maker.
// Returns how many there are; the shortest have one or none.
unsigned datagram_parts(const struct gen_options *o, const struct payload_maker *maker, uint64_t seq, uint64_t time_ns,
                        uint8_t header[DATAGRAM_HEADER_MAX], struct iovec parts[DATAGRAM_PARTS]);

// Sends these messages, which hold n datagrams, each of them `each`, the last one what is left. What fails is counted
// and not tried again. Returns how many messages were dealt with: all, unless a signal came and run_stopped().
unsigned datagram_send(int fd, struct mmsghdr *messages, unsigned total, uint64_t n, uint64_t each,
                       struct gen_sent *result);

#endif
