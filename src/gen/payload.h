// SPDX-License-Identifier: Apache-2.0
// payload: makes and checks the payload of mcrgen's datagrams. Pure.
//
// A payload of 32 bytes or more, in network byte order:
//
//    0  magic    u32  0x6d637267, "mcrg"
//    4  stream   u32  number of the source
//    8  seq      u64  at most 2^63 - 1
//   16  time     u64  CLOCK_REALTIME of the sender in nanoseconds
//   24  length   u32  of the whole payload
//   28  crc      u32  zlib's crc32 over the whole payload, this field taken as zero
//   32  body          byte i of the payload is (seq + i) & 0xff
//
// Below 32 bytes, the compact form: byte i of the payload is (seq + i) & 0xff, and nothing else.
//
// A prefix (gen/framing.h) may stand before all this: the offsets then count from its end, while length, crc and the
// bytes of the body are those of the whole payload, prefix included.
#ifndef MCR_GEN_PAYLOAD_H
#define MCR_GEN_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAYLOAD_MAGIC   0x6d637267u
#define PAYLOAD_HEADER  32
#define PAYLOAD_MAX     65507 // bytes: 65535 without an IPv4 header and a UDP header (RFC 791, RFC 768)
#define PAYLOAD_SEQ_MAX ((uint64_t) INT64_MAX)

struct payload_info {
    uint32_t stream;
    uint64_t seq;
    uint64_t time_ns;
};

enum payload_verdict {
    PAYLOAD_GOOD,
    PAYLOAD_FOREIGN, // not from mcrgen: too short for the header, or without the magic
    PAYLOAD_CORRUPT, // the magic is there, but length or checksum is wrong
};

// Judges a payload of the full form behind a prefix of so many bytes; info is filled in only when it is good.
enum payload_verdict payload_check(const uint8_t *buffer, size_t size, size_t prefix, struct payload_info *info);

// Checks a compact payload of 1 to 31 bytes. *seq_low: its sequence number modulo 256. Returns false if it is corrupt.
bool payload_check_compact(const uint8_t *buffer, size_t size, uint8_t *seq_low);

// Makes many payloads of one size and stream at little cost: a body is pointed to, not written, and the checksum is put
// together from that of prefix and header and one made beforehand.
struct payload_maker;

// For payloads of so many bytes, of which `prefix` stand before the header: 0 for the compact form, and never so many
// that less than a header is left. NULL when out of memory. To be freed by free(3).
struct payload_maker *payload_maker_new(size_t size, uint32_t stream, size_t prefix);

// Writes the header of seq's payload behind the prefix, which is there; only for sizes of at least PAYLOAD_HEADER.
void payload_maker_header(const struct payload_maker *maker, uint64_t seq, uint64_t time_ns, uint8_t *header);

// Returns the body of the payload with number seq (or the whole compact payload), which belongs to the maker. *length:
// its bytes.
const uint8_t *payload_maker_body(const struct payload_maker *maker, uint64_t seq, size_t *length);

#endif
