// SPDX-License-Identifier: Apache-2.0
// fuzz: what the targets share. Each target is one LLVMFuzzerTestOneInput(): libFuzzer calls it ("make fuzz"), or
// replay.c does, with the corpus ("make check").
#ifndef MCR_TESTS_FUZZ_H
#define MCR_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/layout.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What must hold whatever the input is. Tells where it did not, and aborts.
#define FUZZ_ASSERT(condition) ((condition) ? (void) 0 : fuzz_fail(__FILE__, __LINE__, #condition))
void fuzz_fail(const char *file, int line, const char *condition) __attribute__((noreturn));

// The bytes of an input that are left. A number that is not there any more is 0.
struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

uint8_t fuzz_u8(struct fuzz_input *in);
uint16_t fuzz_u16(struct fuzz_input *in); // little-endian, as all of them
uint32_t fuzz_u32(struct fuzz_input *in);

// At most n of the bytes that are left; *got tells how many.
const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t n, size_t *got);

// Changes what lies in memory: a count, and then as many records of an offset (u16, modulo size), a length (u8, at most
// 15) and as many bytes.
void fuzz_patch(struct fuzz_input *in, void *memory, size_t size);

// One's complement sum of RFC 1071, byte by byte: what packet_sum() is compared with. Big-endian.
uint16_t fuzz_sum(uint16_t sum, const uint8_t *bytes, size_t length);

// Makes the checksums of an IP packet right where their place can be told: that of an IPv4 header and, with udp, that
// of the UDP datagram that follows the first header.
void fuzz_mend(uint8_t *ip, size_t length, bool udp);

// Sends `size` bytes, and n_fds of fds (at most HANDOVER_FDS_MAX), by a Unix socket: whatever the message says of
// itself. What does not fit is left out.
void fuzz_say(int socket, const void *message, size_t size, const int *fds, size_t n_fds);

// A directory for this process alone, in memory where there is a place for it; what lies in it goes with the process.
const char *fuzz_directory(void);

// What an interface received and no rule took: all of its counters but received, and ring_drops, which was never
// received.
static inline uint64_t fuzz_unclaimed(const struct stats_interface_counters *c)
{
#define ADD(name, help, key) +c->name
    return (0 STATS_INTERFACE_COUNTERS(ADD)) - c->received - c->ring_drops;
#undef ADD
}

// How many descriptors are open, of those that the targets use: the lowest, and the lowest of ingress sockets.
int fuzz_descriptors(void);

#endif
