// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/framing.h"

#include <stdio.h>
#include <string.h>

#include "gen/random.h"

#define AT(field)     offsetof(struct framing, field)
#define COUNT(of)     (sizeof(of) / sizeof((of)[0]))
#define RTP_VERSION_2 0x80 // no padding, no extension, no contributing sources

static bool take_endian(const char *value, void *into)
{
    struct framing *f = into;

    f->little_endian = strcmp(value, "little") == 0;
    return f->little_endian || strcmp(value, "big") == 0;
}

// As in mcr.conf(5).
static bool take_bytes(const char *value, void *into)
{
    struct framing *f = into;

    f->bytes = (uint64_t) (*value - '0');
    return strlen(value) == 1 && strchr("1248", *value);
}

static const struct list_key rtp_keys[] = {
    {"payload_type", AT(payload_type), .most = 127},
    // So that a time stamp's ticks fit into 64 bits.
    {"clock_hz", AT(clock_hz), .least = 1, .most = 1000000000},
};

static const struct list_key field_keys[] = {
    {"at", AT(at), .most = FRAMING_MAX - 1},
    {"bytes", .take = take_bytes, .allowed = "1, 2, 4 or 8"},
    {"endian", .take = take_endian, .allowed = "big or little"},
    {"session_at", AT(session_at), .most = FRAMING_MAX - 1},
    {"session_bytes", AT(session_bytes), .most = FRAMING_SESSION},
};

bool framing_parse(const char *text, struct framing *f, char why[LIST_WHY_MAX])
{
    char copy[LIST_TEXT_MAX], *rest = copy;

    if (!list_copy(text, copy, why))
        return false;
    const char *as = strsep(&rest, ",");
    f->payload_type = 96; // the first dynamic one (RFC 3551, section 6)
    f->clock_hz = 90000;
    f->bytes = 4;
    f->as = strcmp(as, "rtp") == 0 ? FRAMING_AS_RTP : strcmp(as, "field") == 0 ? FRAMING_AS_FIELD : FRAMING_NONE;
    if (f->as == FRAMING_AS_RTP)
        return list_take(rest, rtp_keys, COUNT(rtp_keys), f, why);
    if (f->as == FRAMING_NONE) {
        snprintf(why, LIST_WHY_MAX, "allowed are rtp and field");
        return false;
    }
    if (!list_take(rest, field_keys, COUNT(field_keys), f, why))
        return false;
    if (framing_length(f) > FRAMING_MAX)
        snprintf(why, LIST_WHY_MAX, "allowed are number and session within the first %d bytes", FRAMING_MAX);
    else if (f->session_bytes && f->session_at < f->at + f->bytes && f->at < f->session_at + f->session_bytes)
        snprintf(why, LIST_WHY_MAX, "allowed are number and session beside each other");
    else
        return true;
    return false;
}

size_t framing_length(const struct framing *f)
{
    uint64_t number = f->at + f->bytes, session = f->session_bytes ? f->session_at + f->session_bytes : 0;

    if (f->as == FRAMING_AS_FIELD)
        return (size_t) (number > session ? number : session);
    return f->as == FRAMING_AS_RTP ? FRAMING_RTP : 0;
}

bool framing_holds(const struct framing *f, uint64_t number)
{
    uint64_t bits = f->as == FRAMING_AS_RTP ? 16 : 8 * f->bytes;

    return bits == 64 || number >> bits == 0;
}

// The lowest bytes of a value; what exceeds 8 of them is zero.
static void put(uint8_t *out, uint64_t bytes, bool little_endian, uint64_t value)
{
    for (uint64_t i = 0; i < bytes; i++)
        out[little_endian ? i : bytes - 1 - i] = (uint8_t) (i < 8 ? value >> 8 * i : 0);
}

// The ticks of the clock until this place, modulo 2^64: whole seconds and the rest apart, as a product of all three
// would overflow before it is divided.
static uint64_t ticks_of(const struct framing *f, uint64_t place)
{
    uint64_t n = place * f->stride;

    return n / f->rate * f->clock_hz + n % f->rate * f->clock_hz / f->rate;
}

void framing_write(const struct framing *f, uint64_t place, uint8_t *out)
{
    uint64_t life = f->restart ? place / f->restart : 0, age = f->restart ? place % f->restart : place;
    uint64_t number = age + (life ? random_of(f->seed, RANDOM_NUMBER, life) : f->first_number);
    // An odd step: the next session differs from the one before in any number of its lowest bits.
    uint64_t session = (uint32_t) (f->session + life * 0x9e3779b9);

    if (f->as == FRAMING_AS_RTP) {
        out[0] = RTP_VERSION_2;
        out[1] = (uint8_t) f->payload_type;
        put(out + 2, 2, false, number);
        put(out + 4, 4, false, random_of(f->seed, RANDOM_TIME, life) + ticks_of(f, place));
        put(out + 8, 4, false, session);
    } else if (f->as == FRAMING_AS_FIELD) {
        memset(out, 0, framing_length(f));
        put(out + f->at, f->bytes, f->little_endian, number);
        put(out + f->session_at, f->session_bytes, false, session);
    }
}
