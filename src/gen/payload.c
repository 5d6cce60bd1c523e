// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/payload.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { AT_MAGIC = 0, AT_STREAM = 4, AT_SEQ = 8, AT_TIME = 16, AT_LENGTH = 24, AT_CRC = 28 };

static void put32(uint8_t *at, uint32_t value)
{
    value = htobe32(value);
    memcpy(at, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
    value = htobe64(value);
    memcpy(at, &value, sizeof(value));
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return be32toh(value);
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return be64toh(value);
}

static uint32_t crc(uint32_t before, const uint8_t *data, size_t size)
{
    return (uint32_t) crc32(before, data, (uInt) size);
}

// The header with a zero checksum.
static void write_header(uint8_t *header, size_t size, const struct payload_info *info)
{
    put32(header + AT_MAGIC, PAYLOAD_MAGIC);
    put32(header + AT_STREAM, info->stream);
    put64(header + AT_SEQ, info->seq);
    put64(header + AT_TIME, info->time_ns);
    put32(header + AT_LENGTH, (uint32_t) size);
    put32(header + AT_CRC, 0);
}

void payload_write(uint8_t *buffer, size_t size, const struct payload_info *info)
{
    for (size_t i = 0; i < size; i++)
        buffer[i] = (uint8_t) (info->seq + i);
    if (size < PAYLOAD_HEADER)
        return;
    write_header(buffer, size, info);
    put32(buffer + AT_CRC, crc(0, buffer, size));
}

enum payload_verdict payload_check(const uint8_t *buffer, size_t size, struct payload_info *info)
{
    static const uint8_t zero[4];

    if (size < PAYLOAD_HEADER || get32(buffer + AT_MAGIC) != PAYLOAD_MAGIC)
        return PAYLOAD_FOREIGN;
    if (get32(buffer + AT_LENGTH) != size)
        return PAYLOAD_CORRUPT;
    uint32_t sum = crc(crc(0, buffer, AT_CRC), zero, sizeof(zero));
    // zlib takes a null pointer for a wish to start anew; there is always a byte's address here.
    sum = crc(sum, buffer + PAYLOAD_HEADER, size - PAYLOAD_HEADER);
    if (sum != get32(buffer + AT_CRC) || get64(buffer + AT_SEQ) > PAYLOAD_SEQ_MAX)
        return PAYLOAD_CORRUPT;
    info->stream = get32(buffer + AT_STREAM);
    info->seq = get64(buffer + AT_SEQ);
    info->time_ns = get64(buffer + AT_TIME);
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
    size_t size;
    uint32_t stream;
    uint32_t body_crc[256]; // of the body alone, by the lowest byte of seq
    // A CRC is linear: carrying the header's over a body of fixed length is a matrix of 32 by 32 bits,
    // applied here a byte at a time.
    uint32_t carry[4][256];
    uint8_t ramp[256 + PAYLOAD_MAX]; // ramp[i] = i & 0xff: every body is a part of it
};

static size_t body_offset(const struct payload_maker *maker)
{
    return maker->size < PAYLOAD_HEADER ? 0 : PAYLOAD_HEADER;
}

static void prepare_crc(struct payload_maker *maker, size_t length)
{
    const uint8_t *zeros = maker->ramp; // still all zero

    uint32_t base = crc(0, zeros, length);
    for (unsigned byte = 0; byte < 4; byte++)
        for (unsigned value = 1; value < 256; value++) {
            unsigned lowest = value & -value;
            uint32_t *row = maker->carry[byte];
            row[value] =
                value == lowest ? crc(value << (8 * byte), zeros, length) ^ base : row[lowest] ^ row[value ^ lowest];
        }
}

struct payload_maker *payload_maker_new(size_t size, uint32_t stream)
{
    struct payload_maker *maker = calloc(1, sizeof(*maker));

    if (!maker)
        return NULL;
    maker->size = size;
    maker->stream = stream;
    size_t length = size - body_offset(maker);
    if (size >= PAYLOAD_HEADER)
        prepare_crc(maker, length);
    for (size_t i = 0; i < sizeof(maker->ramp); i++)
        maker->ramp[i] = (uint8_t) i;
    if (size >= PAYLOAD_HEADER)
        for (unsigned low = 0; low < 256; low++)
            maker->body_crc[low] = crc(0, payload_maker_body(maker, low, &length), length);
    return maker;
}

void payload_maker_free(struct payload_maker *maker)
{
    free(maker);
}

void payload_maker_header(const struct payload_maker *maker, uint64_t seq, uint64_t time_ns,
                          uint8_t header[PAYLOAD_HEADER])
{
    struct payload_info info = {.stream = maker->stream, .seq = seq, .time_ns = time_ns};

    write_header(header, maker->size, &info);
    uint32_t sum = crc(0, header, PAYLOAD_HEADER);
    put32(header + AT_CRC, maker->carry[0][sum & 0xff] ^ maker->carry[1][sum >> 8 & 0xff] ^
                               maker->carry[2][sum >> 16 & 0xff] ^ maker->carry[3][sum >> 24] ^
                               maker->body_crc[seq & 0xff]);
}

const uint8_t *payload_maker_body(const struct payload_maker *maker, uint64_t seq, size_t *length)
{
    size_t offset = body_offset(maker);

    *length = maker->size - offset;
    // 32 is no multiple of 256, so the body's first value is seq + 32; wrap before adding, to stay inside.
    return maker->ramp + ((seq + offset) & 0xff);
}
