// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/payload.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

// The header on the wire, in network byte order; payload.h describes the fields.
struct header {
    uint32_t magic, stream;
    uint64_t seq, time_ns;
    uint32_t length, crc;
};
_Static_assert(sizeof(struct header) == PAYLOAD_HEADER, "no padding");

static uint32_t crc(uint32_t before, const void *data, size_t size)
{
    return (uint32_t) crc32(before, data, (uInt) size);
}

enum payload_verdict payload_check(const uint8_t *buffer, size_t size, size_t prefix, struct payload_info *info)
{
    struct header h;
    size_t body = prefix + PAYLOAD_HEADER;

    if (size < body)
        return PAYLOAD_FOREIGN;
    memcpy(&h, buffer + prefix, sizeof(h));
    if (be32toh(h.magic) != PAYLOAD_MAGIC)
        return PAYLOAD_FOREIGN;
    uint32_t wanted = be32toh(h.crc);
    h.crc = 0;
    // zlib takes a null pointer for a wish to start anew; there is always a byte's address here.
    uint32_t sum = crc(0, buffer, prefix);
    sum = crc(sum, &h, sizeof(h));
    sum = crc(sum, buffer + body, size - body);
    if (be32toh(h.length) != size || sum != wanted || be64toh(h.seq) > PAYLOAD_SEQ_MAX)
        return PAYLOAD_CORRUPT;
    *info = (struct payload_info){be32toh(h.stream), be64toh(h.seq), be64toh(h.time_ns)};
    return PAYLOAD_GOOD;
}

bool payload_check_compact(const uint8_t *buffer, size_t size, uint8_t *seq_low)
{
    for (size_t i = 1; i < size; i++)
        if (buffer[i] != (uint8_t) (buffer[0] + i))
            return false;
    *seq_low = buffer[0];
    return true;
}

struct payload_maker {
    size_t size, prefix, header; // of a payload, of what stands before its header, of both
    uint32_t stream;
    uint32_t body_crc[256]; // CRC of the body alone, by the lowest byte of seq
    // A CRC is linear: appending a body of fixed length multiplies the header's CRC by a matrix of 32 by 32 bits, which
    // is applied here a byte at a time.
    uint32_t carry[4][256];
    uint8_t ramp[256 + PAYLOAD_MAX]; // ramp[i] = i & 0xff; every body is part of it
};

static void prepare_crc(struct payload_maker *maker, size_t length)
{
    const uint8_t *zeros = maker->ramp; // not filled in yet
    uint32_t base = crc(0, zeros, length);

    for (unsigned byte = 0; byte < 4; byte++)
        for (unsigned value = 1; value < 256; value++) {
            unsigned lowest = value & -value;
            uint32_t *row = maker->carry[byte];
            row[value] =
                value == lowest ? crc(value << (8 * byte), zeros, length) ^ base : row[lowest] ^ row[value ^ lowest];
        }
}

struct payload_maker *payload_maker_new(size_t size, uint32_t stream, size_t prefix)
{
    struct payload_maker *maker = calloc(1, sizeof(*maker));

    if (!maker)
        return NULL;
    maker->size = size;
    maker->stream = stream;
    maker->prefix = prefix;
    maker->header = size < PAYLOAD_HEADER ? 0 : prefix + PAYLOAD_HEADER;
    size_t length = size - maker->header;
    prepare_crc(maker, length);
    for (size_t i = 0; i < sizeof(maker->ramp); i++)
        maker->ramp[i] = (uint8_t) i;
    for (unsigned low = 0; low < 256; low++)
        maker->body_crc[low] = crc(0, payload_maker_body(maker, low, &length), length);
    return maker;
}

void payload_maker_header(const struct payload_maker *maker, uint64_t seq, uint64_t time_ns, uint8_t *header)
{
    struct header h = {htobe32(PAYLOAD_MAGIC), htobe32(maker->stream),          htobe64(seq),
                       htobe64(time_ns),       htobe32((uint32_t) maker->size), 0};
    uint32_t sum = crc(crc(0, header, maker->prefix), &h, sizeof(h));

    sum = maker->carry[0][sum & 0xff] ^ maker->carry[1][sum >> 8 & 0xff] ^ maker->carry[2][sum >> 16 & 0xff] ^
          maker->carry[3][sum >> 24] ^ maker->body_crc[seq & 0xff];
    h.crc = htobe32(sum);
    memcpy(header + maker->prefix, &h, sizeof(h));
}

const uint8_t *payload_maker_body(const struct payload_maker *maker, uint64_t seq, size_t *length)
{
    *length = maker->size - maker->header;
    // The body's first value is seq + header; wrap before adding, to stay inside.
    return maker->ramp + ((seq + maker->header) & 0xff);
}
