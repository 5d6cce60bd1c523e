// SPDX-License-Identifier: Apache-2.0
// monitor: wire/monitor.c with any datagrams, beside a simple one that keeps all that came and counts at the end. The
// input is the settings, and a list of datagrams, each as take() reads it.
#include <config.h>

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/wide.h"
#include "wire/monitor.h"

#define DATAGRAMS_MAX 400
#define BYTES         2048u
#define TS            188u

struct said {
    uint8_t session[MONITOR_SESSION_MAX];
    uint64_t number;
    uint32_t timestamp;
};

// What came of one source, as far as it is one run of numbers: how far each is from the first.
struct run {
    struct said first;
    int64_t places[DATAGRAMS_MAX], highest;
    unsigned n;
    uint64_t heard_ns, jitter;
    uint32_t transit;
};

struct ts_packet {
    uint16_t pid;
    uint8_t head[6];
};

struct rig {
    struct monitor_settings s;
    struct run present, next;
    unsigned others;
    uint64_t n_offered, n_placed;
    struct monitor_counters c;
    struct ts_packet packets[DATAGRAMS_MAX * (BYTES / TS)];
    unsigned n_packets;
    uint64_t now_ns;
};

// --- numbers ---------------------------------------------------------------------------------------------------------

static unsigned width(const struct rig *x)
{
    return x->s.as == MONITOR_FIELD ? x->s.field.bytes : 2;
}

// How far a number is ahead of another in the circle of the numbers.
static int64_t apart(const struct rig *x, uint64_t a, uint64_t b)
{
    uint64_t d = a - b;
    unsigned w = width(x);

    return w == 1 ? (int8_t) d : w == 2 ? (int16_t) d : w == 4 ? (int32_t) d : (int64_t) d;
}

static bool same_session(const struct run *r, const struct said *k)
{
    return memcmp(r->first.session, k->session, MONITOR_SESSION_MAX) == 0;
}

static bool belongs(const struct rig *x, const struct run *r, const struct said *k)
{
    int64_t ahead = apart(x, k->number, r->first.number + (uint64_t) r->highest);
    unsigned w = width(x);

    if (r->n == 0 || !same_session(r, k))
        return false;
    if (r->n == 1)
        return ahead == 1;
    return ahead < (w == 1 ? 64 : w == 2 ? 3000 : 1 << 20) && ahead > (w == 1 ? -32 : -100);
}

static void append(const struct rig *x, struct run *r, const struct said *k, uint64_t stamp_ns)
{
    uint64_t rest;
    uint32_t arrival = (uint32_t) wide_scale(stamp_ns, x->s.clock_hz, 0, 1000000000, &rest);
    uint32_t transit = arrival - k->timestamp;
    int64_t d = (int32_t) (transit - r->transit);

    d = d < 0 ? -d : d;
    if (r->n > 0 && d <= x->s.clock_hz)
        r->jitter += (uint64_t) d - ((r->jitter + 8) >> 4);
    r->transit = transit;
    r->heard_ns = stamp_ns;
    int64_t place = r->n > 0 ? r->highest + apart(x, k->number, r->first.number + (uint64_t) r->highest) : 0;
    r->places[r->n++] = place;
    r->highest = place > r->highest ? place : r->highest;
}

static bool is_silent(struct run *r, uint64_t now_ns)
{
    r->heard_ns = now_ns < r->heard_ns ? now_ns : r->heard_ns;
    return now_ns - r->heard_ns >= MONITOR_GONE_NS;
}

// Looks at each number beside all that came before it.
static void count(const struct run *r, struct monitor_counters *c)
{
    uint64_t found = 0;
    int64_t highest = 0;

    for (unsigned i = 0; i < r->n; i++) {
        unsigned j = 0;
        while (r->places[j] != r->places[i])
            j++;
        c->repeated += j < i;
        c->reordered += j == i && r->places[i] < highest;
        found += j == i && r->places[i] >= 0;
        highest = r->places[i] > highest ? r->places[i] : highest;
    }
    c->expected += r->n > 0 ? (uint64_t) highest + 1 : 0;
    c->lost += r->n > 0 ? (uint64_t) highest + 1 - found : 0;
}

static bool goes(struct rig *x, const struct said *k, uint64_t stamp_ns)
{
    struct run *r = &x->next;

    return r->n == 0 || is_silent(r, stamp_ns) || (r->n == 1 && (same_session(r, k) || ++x->others > MONITOR_PATIENCE));
}

static void take_number(struct rig *x, const struct said *k, uint64_t stamp_ns)
{
    if (belongs(x, &x->present, k)) {
        append(x, &x->present, k, stamp_ns);
        return;
    }
    if (belongs(x, &x->next, k)) {
        append(x, &x->next, k, stamp_ns);
    } else if (goes(x, k, stamp_ns)) {
        x->next = (struct run){.first = *k};
        x->others = 0;
        append(x, &x->next, k, stamp_ns);
    }
    if (x->next.n > 1 && (x->present.n == 0 || is_silent(&x->present, stamp_ns))) {
        count(&x->present, &x->c);
        x->n_placed += x->present.n;
        x->c.resets += x->present.n > 0;
        x->present = x->next;
        x->next.n = 0;
    }
}

// --- transport stream ------------------------------------------------------------------------------------------------

// The packet before packet i of the same PID, or NULL.
static const struct ts_packet *before(const struct rig *x, const struct ts_packet *p)
{
    for (const struct ts_packet *q = p; q > x->packets;)
        if ((--q)->pid == p->pid)
            return q;
    return NULL;
}

static bool has_payload(const struct ts_packet *p)
{
    return p->head[3] >> 4 & 1;
}

static bool is_discontinuous(const struct ts_packet *p)
{
    return p->head[3] >> 5 & 1 && p->head[4] > 0 && p->head[5] >> 7;
}

static bool has_same_counter(const struct ts_packet *a, const struct ts_packet *b)
{
    return (a->head[3] & 15) == (b->head[3] & 15);
}

// One of two or more with the same counter and a payload, one behind the other.
static bool is_repetition(const struct rig *x, const struct ts_packet *p)
{
    const struct ts_packet *q = before(x, p);

    return q && has_payload(p) && !is_discontinuous(p) && has_same_counter(p, q);
}

static bool is_wrong(const struct rig *x, const struct ts_packet *p)
{
    const struct ts_packet *q = before(x, p);

    if (!q || is_discontinuous(p))
        return false;
    if (is_repetition(x, p))
        return !has_payload(q) || is_repetition(x, q);
    return (p->head[3] & 15) != (q->head[3] + has_payload(p)) % 16;
}

static void take_ts(struct rig *x, const uint8_t *p, size_t length)
{
    size_t at = 0;

    for (; at + TS <= length; at += TS) {
        struct ts_packet *t = &x->packets[x->n_packets];
        memcpy(t->head, p + at, sizeof(t->head));
        t->pid = (uint16_t) (t->head[1] % 32 * 256 + t->head[2]);
        x->c.sync_errors += t->head[0] != 0x47;
        x->c.ts_packets += t->head[0] == 0x47;
        x->c.transport_errors += t->head[0] == 0x47 && t->head[1] >= 128;
        if (t->head[0] != 0x47 || t->head[1] >= 128 || t->pid == 0x1fff)
            continue;
        x->n_packets++;
        x->c.pids += !before(x, t);
        x->c.continuity_errors += is_wrong(x, t);
    }
    x->c.sync_errors += at != length || length == 0;
}

// --- datagrams -------------------------------------------------------------------------------------------------------

// The bytes of the header, or 0.
static size_t read_rtp(struct said *k, const uint8_t *p, size_t length)
{
    *k = (struct said){.number = 0};
    if (length < 12 || (p[0] & 0xc0) != 0x80 || (p[1] >= 200 && p[1] <= 204))
        return 0;
    size_t header = 12 + 4 * (p[0] & 15u);
    if (p[0] & 0x10)
        header += header + 4 <= length ? 4 + 4 * (p[header + 2] * 256u + p[header + 3]) : BYTES;
    k->number = p[2] * 256u + p[3];
    k->timestamp = (uint32_t) p[4] << 24 | (uint32_t) p[5] << 16 | (uint32_t) p[6] << 8 | p[7];
    memcpy(k->session, p + 8, 4);
    return header <= length ? header : 0;
}

static bool read_field(const struct rig *x, struct said *k, const uint8_t *p, size_t length)
{
    size_t at = x->s.field.at, n = x->s.field.bytes, session = x->s.field.session_bytes;

    *k = (struct said){.number = 0};
    if (at + n > length || (session > 0 && x->s.field.session_at + session > length))
        return false;
    for (size_t i = 0; i < n; i++)
        k->number |= (uint64_t) p[at + i] << 8 * (x->s.field.little ? i : n - 1 - i);
    memcpy(k->session, p + (session > 0 ? x->s.field.session_at : 0), session);
    return true;
}

static void watch(struct rig *x, uint64_t stamp_ns, const uint8_t *p, size_t length)
{
    struct said k;
    size_t header = x->s.as == MONITOR_FIELD ? read_field(x, &k, p, length) : read_rtp(&k, p, length);
    bool is_ts = x->s.as == MONITOR_TS;

    if (is_ts && length % TS == 0 && (header == length || p[header] != 0x47))
        header = 0;
    x->n_offered += !is_ts || header > 0;
    if (header > 0)
        take_number(x, &k, stamp_ns);
    if (is_ts) {
        size_t padding = header > 0 && p[0] & 0x20 ? p[length - 1] : 0, body = length - header;
        take_ts(x, p + header, padding < body ? body - padding : 0);
    }
}

static void compare(struct rig *x, struct monitor *m)
{
    const struct monitor_counters *c = monitor_counters(m);
    struct monitor_counters wanted = x->c;

    count(&x->present, &wanted);
    wanted.unjudged = x->n_offered - x->n_placed - x->present.n;
    if (x->s.as != MONITOR_FIELD)
        wanted.jitter_us = (x->present.jitter >> 4) * 1000000 / x->s.clock_hz;
    FUZZ_ASSERT(c->expected == wanted.expected && c->lost == wanted.lost);
    FUZZ_ASSERT(c->reordered == wanted.reordered && c->repeated == wanted.repeated);
    FUZZ_ASSERT(c->resets == wanted.resets && c->unjudged == wanted.unjudged);
    FUZZ_ASSERT(c->jitter_us == wanted.jitter_us);
    FUZZ_ASSERT(c->ts_packets == wanted.ts_packets && c->sync_errors == wanted.sync_errors);
    FUZZ_ASSERT(c->continuity_errors == wanted.continuity_errors && c->pids == wanted.pids);
    FUZZ_ASSERT(c->transport_errors == wanted.transport_errors);
    FUZZ_ASSERT(c->lost <= c->expected && c->unjudged <= x->n_offered && c->pids <= 8191);
}

// Flags, how much time has passed (flags & 3: in us, ms, or back), the number, what is behind an RTP header, how many
// packets, each with its head, and changes of any bytes. The datagram ends where its memory ends.
static void take(struct rig *x, struct monitor *m, struct fuzz_input *in)
{
    uint8_t p[BYTES] = {0}, flags = fuzz_u8(in), time = fuzz_u8(in);
    uint16_t number = fuzz_u16(in);
    size_t header = x->s.as == MONITOR_FIELD || flags & 4 ? 0 : 12, n = flags & 8 ? fuzz_u8(in) % 8 : 0;
    size_t length = header + n * TS;

    x->now_ns += time * (flags & 1 ? UINT64_C(10000000) : UINT64_C(1000)) * (flags & 2 ? (uint64_t) -1 : 1);
    if (header > 0) {
        const uint8_t bytes[12] = {0x80, 33, (uint8_t) (number >> 8), (uint8_t) number, [11] = flags >> 6};
        memcpy(p, bytes, sizeof(bytes));
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t *t = p + header + i * TS, a = fuzz_u8(in);
        t[0] = 0x47;
        t[2] = a >> 6;
        t[3] = (uint8_t) ((a & 0x20 ? 0x20 : 0x10) | (a & 15));
    }
    if (x->s.as == MONITOR_FIELD) {
        length = (size_t) x->s.field.at + x->s.field.session_at + 24;
        for (unsigned i = 0; i < 2 && i < x->s.field.bytes; i++)
            p[x->s.field.at + (x->s.field.little ? i : x->s.field.bytes - 1u - i)] = (uint8_t) (number >> 8 * i);
        p[x->s.field.session_at] ^= flags >> 6;
    }
    if (flags & 16)
        fuzz_patch(in, p, BYTES);
    if (flags & 32)
        length = fuzz_u16(in) % BYTES;
    uint8_t *exact = malloc(length + 1);
    memcpy(exact + 1, p, length);
    monitor_take(m, x->now_ns, exact + 1, length);
    watch(x, x->now_ns, exact + 1, length);
    free(exact);
}

// What the settings are: any, of which some are not valid.
static void choose(struct rig *x, struct fuzz_input *in)
{
    x->s.as = fuzz_u8(in) % 4;
    x->s.clock_hz = fuzz_u32(in);
    x->s.field.at = fuzz_u8(in);
    x->s.field.bytes = fuzz_u8(in) % 10;
    x->s.field.little = fuzz_u8(in) & 1;
    x->s.field.session_bytes = fuzz_u8(in) % 20;
    x->s.field.session_at = fuzz_u8(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig x;
    struct fuzz_input in = {.at = data, .left = size};

    memset(&x, 0, sizeof(x));
    choose(&x, &in);
    struct monitor *m = monitor_new(&x.s);
    FUZZ_ASSERT(!m == (monitor_bytes(&x.s) == 0));
    for (unsigned i = 0; m && in.left > 0 && i < DATAGRAMS_MAX; i++) {
        take(&x, m, &in);
        if (i % 16 == 0)
            compare(&x, m);
    }
    if (m)
        compare(&x, m);
    free(m);
    return 0;
}
