// SPDX-License-Identifier: Apache-2.0
// framing: what stands before mcrgen's own payload, so that a relay or a receiver can number the datagrams: an RTP
// header, or a number at a fixed place. Pure: it follows from the datagram's place in the stream.
#ifndef MCR_GEN_FRAMING_H
#define MCR_GEN_FRAMING_H

#include "gen/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAMING_MAX     64 // bytes; no longer prefix can be asked for
#define FRAMING_RTP     12 // the fixed header of RFC 3550, section 5.1
#define FRAMING_SESSION 16 // bytes of a session id; as of mcr.conf(5)'s merge

enum framing_as { FRAMING_NONE, FRAMING_AS_RTP, FRAMING_AS_FIELD };

struct framing {
    enum framing_as as;
    uint64_t payload_type, clock_hz; // of RTP
    // Of a field: bytes; what the number and the session leave free is zero.
    uint64_t at, bytes, session_at, session_bytes;
    bool little_endian; // the number; a session id is in network byte order

    uint64_t first_number; // of the first datagram
    uint64_t session;      // SSRC, or session id, of the first datagram; 32 bits
    uint64_t restart;      // after so many datagrams a new session begins, with a random number; 0: never
    uint64_t seed;         // of what is random
    uint64_t rate;         // datagrams a second, for RTP's time stamps; at least 1
    uint64_t stride;       // time stamps move on by so many datagrams for one of this stream; at least 1
};

// Reads "rtp[,payload_type=N][,clock_hz=N]" or "field[,at=N][,bytes=N][,endian=E][,session_at=N][,session_bytes=N]".
// False, with the reason in why, when it is not one.
bool framing_parse(const char *text, struct framing *f, char why[LIST_WHY_MAX]);

// The length in bytes, 0 to FRAMING_MAX.
size_t framing_length(const struct framing *f);

// Whether the field has room for this number; RTP has 16 bits.
bool framing_holds(const struct framing *f, uint64_t number);

// Writes what stands before the datagram at this place of the stream, counted from 0: framing_length() bytes.
void framing_write(const struct framing *f, uint64_t place, uint8_t *out);

#endif
