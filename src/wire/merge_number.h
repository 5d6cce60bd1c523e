// SPDX-License-Identifier: Apache-2.0
// merge_number: what a datagram says of itself: its number, its session, and what its copies have in common. Pure.
#ifndef MCR_WIRE_MERGE_NUMBER_H
#define MCR_WIRE_MERGE_NUMBER_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wire/merge.h"
#include "wire/merge_digest.h"

// What each datagram goes through is one function for the compiler.
#define MERGE_INLINE static inline __attribute__((always_inline))

#define RTP_HEADER 12 // bytes (RFC 3550, section 5.1)

struct session {
    uint64_t a, b;
};

// One datagram that has a number.
struct datagram {
    struct session session;
    uint64_t number;
    uint32_t count; // numbers that it brings, from number on
    uint32_t time;  // RTP time stamp
    uint16_t check;
    uint32_t leg;
    uint32_t us;
    const uint8_t *payload;
    size_t length;
    uint64_t tag;
};

static inline bool is_same(const struct session *a, const struct session *b)
{
    return a->a == b->a && a->b == b->b;
}

// Where number, session and count end; what lies behind is the datagram's own.
static inline uint32_t header_of(const struct merge_settings *s)
{
    uint32_t number = s->field.at + s->field.bytes, session = s->field.session_at + s->field.session_bytes;
    uint32_t count = s->field.count_at + s->field.count_bytes, end = number;

    if (s->field.session_bytes > 0 && session > end)
        end = session;
    return s->field.count_bytes > 0 && count > end ? count : end;
}

static inline uint32_t load32(const uint8_t *at)
{
    uint32_t v;

    memcpy(&v, at, sizeof(v));
    return be32toh(v);
}

// RTP (RFC 3550, section 5.1). RTCP on the same port has packet types that RTP leaves out (RFC 5761, section 4).
MERGE_INLINE bool read_rtp(struct datagram *d)
{
    const uint8_t *p = d->payload;

    if (d->length < RTP_HEADER || p[0] >> 6 != 2 || (p[1] >= 192 && p[1] <= 223))
        return false;
    d->number = load32(p) & 0xffff;
    d->time = load32(p + 4);
    d->session.a = load32(p + 8);
    d->check = (uint16_t) (d->time ^ d->time >> 16);
    return true;
}

static inline uint64_t read_number(const uint8_t *at, uint32_t bytes, bool little)
{
    uint64_t v = 0;

    if (bytes == 8)
        return little ? le64toh(load64(at)) : be64toh(load64(at));
    for (uint32_t i = 0; i < bytes; i++)
        v = v << 8 | at[little ? bytes - 1 - i : i];
    return v;
}

// The bytes of a session; where there are more than 8, those in the middle count twice.
static inline struct session read_session(const uint8_t *at, uint32_t bytes)
{
    if (bytes < 8)
        return (struct session){.a = read_number(at, bytes, false)};
    return (struct session){.a = load64(at), .b = load64(at + bytes - 8)};
}

// How many numbers a datagram brings. 0, and all bits set, say none (MoldUDP64: heartbeat, end of session). No more
// than it has bytes, and than the line could take.
static inline uint32_t read_count(const struct merge_settings *s, uint32_t most, const struct datagram *d)
{
    uint32_t bytes = s->field.count_bytes;
    uint64_t count = read_number(d->payload + s->field.count_at, bytes, s->field.little);
    uint64_t limit = d->length < most ? d->length : most;

    if (count == UINT64_MAX >> (64 - 8 * bytes))
        return 0;
    return (uint32_t) (count < limit ? count : limit);
}

MERGE_INLINE bool read_field(const struct merge_settings *s, uint32_t header, uint32_t most, struct datagram *d)
{
    if (d->length < header)
        return false;
    d->number = read_number(d->payload + s->field.at, s->field.bytes, s->field.little);
    if (s->field.session_bytes > 0)
        d->session = read_session(d->payload + s->field.session_at, s->field.session_bytes);
    d->check = digest_check(s->key, d->payload + header, d->length - header);
    if (s->field.count_bytes > 0)
        d->count = read_count(s, most, d);
    return true;
}

// A datagram that brings nothing with its number. Where its count does not say so, that is one that ends with its
// header, or with 2 bytes behind it: MoldUDP64's heartbeat and end of session, which tell the next number again and
// again.
MERGE_INLINE bool is_bare(const struct merge_settings *s, uint32_t header, const struct datagram *d)
{
    return s->by == MERGE_FIELD && (s->field.count_bytes > 0 ? d->count == 0 : d->length <= header + 2);
}

#endif
