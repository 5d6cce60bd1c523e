// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/monitor.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/wide.h"

#define BLIND_LEAST                                                                                                    \
    16 // datagrams (of a transport stream: packets) of a second that cannot be judged, and so many
       // times those that can, are an alarm
#define BLIND_TIMES 9
#define TS_BYTES    188
#define TS_PIDS     8192
#define TS_NULL     0x1fff

// What one datagram says of its place in a stream.
struct mark {
    uint64_t number;
    uint64_t session[2];
    uint32_t timestamp; // of RTP
};

struct source {
    uint64_t session[2];
    uint64_t highest;
    uint64_t came[2]; // bit i % 64 of word i / 64: highest - i has come
    // Since it began. A source with one datagram is in probation, one with none is not there.
    uint64_t taken, expected, lost, reordered, repeated;
    uint64_t heard_ns;
    uint64_t jitter;  // in 16ths of a unit of the RTP clock
    uint32_t transit; // of the last datagram, in these units
};

_Static_assert(MONITOR_MISORDER <= 128 && MONITOR_MISORDER_BYTE <= 128, "source.came has 128 bits");

struct monitor {
    struct monitor_settings settings;
    int64_t dropout, misorder;
    unsigned shift; // bits that a number does not have
    struct source present, next;
    unsigned others;  // datagrams of others while next is in probation
    uint64_t offered; // datagrams that should have a number
    uint64_t placed;  // of these, those of sources before the present one
    // Of the sources before the present one, until monitor_counters() adds it to `told`.
    struct monitor_counters past, told;
    uint8_t pids[]; // with TS, TS_PIDS of them: what is remembered of each
};

#define PID_SEEN       0x80
#define PID_MAY_REPEAT 0x40 // the last packet was the first of its number, with a payload
#define PID_COUNTER    0x0f

// --- creation --------------------------------------------------------------------------------------------------------

static bool is_valid(const struct monitor_settings *s)
{
    unsigned n = s->field.bytes;

    if (s->as == MONITOR_RTP || s->as == MONITOR_TS)
        return s->clock_hz >= 1 && s->clock_hz <= MONITOR_CLOCK_HZ_MAX;
    return s->as == MONITOR_FIELD && (n == 1 || n == 2 || n == 4 || n == 8) && s->field.at <= MONITOR_AT_MAX &&
           s->field.session_at <= MONITOR_AT_MAX && s->field.session_bytes <= MONITOR_SESSION_MAX;
}

_Static_assert(TABLE_MONITOR_RTP + MONITOR_TS == TABLE_MONITOR_TS &&
                   TABLE_MONITOR_RTP + MONITOR_FIELD == TABLE_MONITOR_FIELD,
               "the table's words for a monitor, behind that for none");

struct monitor_settings monitor_settings_of(const struct table_rule *rule)
{
    const struct table_monitor *m = &rule->monitor;

    return (struct monitor_settings){
        .as = (enum monitor_as)(m->as - TABLE_MONITOR_RTP),
        .clock_hz = m->clock_hz,
        .field = {m->at, m->bytes, m->little == 1, m->session_bytes, m->session_at},
    };
}

size_t monitor_bytes(const struct monitor_settings *settings)
{
    if (!is_valid(settings))
        return 0;
    return sizeof(struct monitor) + (settings->as == MONITOR_TS ? TS_PIDS : 0);
}

struct monitor *monitor_place(const struct monitor_settings *settings, void *memory)
{
    struct monitor *m = memory;
    unsigned bytes = settings->as == MONITOR_FIELD ? settings->field.bytes : 2;

    m->settings = *settings;
    m->shift = 64 - 8 * bytes;
    m->dropout = bytes == 1 ? MONITOR_DROPOUT_BYTE : bytes == 2 ? MONITOR_DROPOUT : MONITOR_DROPOUT_WIDE;
    m->misorder = bytes == 1 ? MONITOR_MISORDER_BYTE : MONITOR_MISORDER;
    return m;
}

struct monitor *monitor_new(const struct monitor_settings *settings)
{
    size_t size = monitor_bytes(settings);
    void *memory = size > 0 ? calloc(1, size) : NULL;

    return memory ? monitor_place(settings, memory) : NULL;
}

void monitor_copy(struct monitor *m, const struct monitor *from)
{
    memcpy(m, from, monitor_bytes(&from->settings));
}

// --- numbers ---------------------------------------------------------------------------------------------------------

static bool is_of(const struct source *s, const struct mark *k)
{
    return s->taken > 0 && s->session[0] == k->session[0] && s->session[1] == k->session[1];
}

// How far the number is ahead of the highest, or behind it, where it can belong to the same run. In probation that is
// the next one alone.
static bool fits(const struct monitor *m, const struct source *s, const struct mark *k, int64_t *ahead)
{
    if (!is_of(s, k))
        return false;
    int64_t d = (int64_t) ((k->number - s->highest) << m->shift) >> m->shift;
    *ahead = d;
    return s->taken == 1 ? d == 1 : -m->misorder < d && d < m->dropout;
}

// Units of the RTP clock, modulo 2^32, rounded down.
static uint32_t transit_of(const struct monitor *m, const struct mark *k, uint64_t stamp_ns)
{
    uint64_t hz = m->settings.clock_hz;

    return (uint32_t) (stamp_ns / NS_PER_S * hz + stamp_ns % NS_PER_S * hz / NS_PER_S) - k->timestamp;
}

static void begin(const struct monitor *m, struct source *s, const struct mark *k, uint64_t stamp_ns)
{
    *s = (struct source){.session = {k->session[0], k->session[1]},
                         .highest = k->number,
                         .came = {1},
                         .taken = 1,
                         .expected = 1,
                         .heard_ns = stamp_ns,
                         .transit = transit_of(m, k, stamp_ns)};
}

// A.8, in order of arrival: late and repeated ones, too.
static void take_transit(const struct monitor *m, struct source *s, const struct mark *k, uint64_t stamp_ns)
{
    uint32_t transit = transit_of(m, k, stamp_ns), d = transit - s->transit;

    if (d > INT32_MAX)
        d = -d;
    s->transit = transit;
    if (d <= m->settings.clock_hz)
        s->jitter += d - ((s->jitter + 8) >> 4);
}

static void take_ahead(struct source *s, uint64_t ahead)
{
    if (ahead < 64) {
        s->came[1] = s->came[1] << ahead | s->came[0] >> 1 >> (63 - ahead);
        s->came[0] = s->came[0] << ahead | 1;
    } else {
        s->came[1] = ahead < 128 ? s->came[0] << (ahead - 64) : 0;
        s->came[0] = 1;
    }
    s->expected += ahead;
    s->lost += ahead - 1;
}

static void take_behind(struct source *s, uint64_t behind)
{
    uint64_t bit = UINT64_C(1) << behind % 64;

    if (s->came[behind / 64] & bit) {
        s->repeated++;
        return;
    }
    s->came[behind / 64] |= bit;
    s->reordered++;
    // A number from before the first one was never expected.
    if (behind < s->expected)
        s->lost--;
}

static void take(const struct monitor *m, struct source *s, const struct mark *k, int64_t ahead, uint64_t stamp_ns)
{
    s->taken++;
    s->heard_ns = stamp_ns;
    if (m->settings.as != MONITOR_FIELD)
        take_transit(m, s, k, stamp_ns);
    if (ahead > 0) {
        s->highest = k->number;
        take_ahead(s, (uint64_t) ahead);
    } else {
        take_behind(s, (uint64_t) -ahead);
    }
}

// Where the clock was set back, silence begins anew.
static bool is_gone(struct source *s, uint64_t now_ns)
{
    if (now_ns < s->heard_ns)
        s->heard_ns = now_ns;
    return now_ns - s->heard_ns >= MONITOR_GONE_NS;
}

static bool is_replaceable(struct monitor *m, const struct mark *k, uint64_t now_ns)
{
    if (m->next.taken == 0 || is_gone(&m->next, now_ns))
        return true;
    return m->next.taken == 1 && (is_of(&m->next, k) || ++m->others > MONITOR_PATIENCE);
}

static void add_source(struct monitor_counters *c, const struct source *s)
{
    c->expected += s->expected;
    c->lost += s->lost;
    c->reordered += s->reordered;
    c->repeated += s->repeated;
}

static void take_over(struct monitor *m)
{
    add_source(&m->past, &m->present);
    m->placed += m->present.taken;
    m->past.resets += m->present.taken > 0;
    m->present = m->next;
    m->next.taken = 0;
}

// What belongs to the present source is counted there; what does not makes up the next one, which takes over, with all
// that it has counted, when the present one is gone.
static void take_number(struct monitor *m, const struct mark *k, uint64_t stamp_ns)
{
    int64_t ahead;

    if (fits(m, &m->present, k, &ahead)) {
        take(m, &m->present, k, ahead, stamp_ns);
        return;
    }
    if (fits(m, &m->next, k, &ahead)) {
        take(m, &m->next, k, ahead, stamp_ns);
    } else if (is_replaceable(m, k, stamp_ns)) {
        begin(m, &m->next, k, stamp_ns);
        m->others = 0;
    }
    if (m->next.taken > 1 && (m->present.taken == 0 || is_gone(&m->present, stamp_ns)))
        take_over(m);
}

// --- RTP -------------------------------------------------------------------------------------------------------------

static uint32_t load_u16(const uint8_t *at)
{
    uint16_t n;

    memcpy(&n, at, sizeof(n));
    return be16toh(n);
}

static uint32_t load_u32(const uint8_t *at)
{
    uint32_t n;

    memcpy(&n, at, sizeof(n));
    return be32toh(n);
}

// RFC 3550, 5.1 and 5.3.1, with the checks of A.1 that hold for SRTP as well, which hides the count of the padding.
// Gives the bytes of the header, CSRC and extension with it; 0: no RTP.
static size_t read_rtp(struct mark *k, const uint8_t *p, size_t length)
{
    if (length < 12 || p[0] >> 6 != 2 || (p[1] >= 200 && p[1] <= 204)) // those are RTCP (RFC 5761)
        return 0;
    size_t header = 12 + 4 * (size_t) (p[0] & 0x0f);
    if (p[0] & 0x10) {
        if (length < header + 4)
            return 0;
        header += 4 + 4 * (size_t) load_u16(p + header + 2);
    }
    *k = (struct mark){.number = load_u16(p + 2), .timestamp = load_u32(p + 4), .session = {load_u32(p + 8), 0}};
    return header <= length ? header : 0;
}

// --- field -----------------------------------------------------------------------------------------------------------

static bool read_field(const struct monitor_settings *s, struct mark *k, const uint8_t *p, size_t length)
{
    size_t n = s->field.bytes, session = s->field.session_bytes;

    if (s->field.at + n > length || (session > 0 && s->field.session_at + session > length))
        return false;
    *k = (struct mark){.number = 0};
    memcpy(k->session, p + (session > 0 ? s->field.session_at : 0), session);
    for (size_t i = 0; i < n; i++)
        k->number = k->number << 8 | p[s->field.at + (s->field.little ? n - 1 - i : i)];
    return true;
}

// --- transport stream ------------------------------------------------------------------------------------------------

// ISO/IEC 13818-1, 2.4.3.3 to 2.4.3.5: the counter goes up with each packet that has a payload. Such a packet may come
// twice, one behind the other. What cannot be seen: 16 lost in a row, and 15, which look like a repetition.
static void take_continuity(struct monitor *m, const uint8_t *p, uint8_t *pid)
{
    uint8_t counter = p[3] & PID_COUNTER, last = *pid & PID_COUNTER;
    bool payload = p[3] & 0x10, seen = *pid & PID_SEEN;

    if (seen && payload && counter == ((last + 1) & PID_COUNTER)) { // the usual one
        *pid = PID_SEEN | PID_MAY_REPEAT | counter;
        return;
    }
    bool discontinuity = p[3] & 0x20 && p[4] > 0 && p[5] & 0x80;
    bool repeats = seen && !discontinuity && payload && counter == last;
    bool right = repeats ? *pid & PID_MAY_REPEAT : counter == ((last + payload) & PID_COUNTER);

    m->past.continuity_errors += seen && !discontinuity && !right;
    m->past.pids += !seen;
    *pid = (uint8_t) (PID_SEEN | (payload && !repeats ? PID_MAY_REPEAT : 0) | counter);
}

static void take_ts_packet(struct monitor *m, const uint8_t *p)
{
    uint32_t head = load_u32(p), pid = head >> 8 & 0x1fff;

    if (head >> 24 != 0x47) {
        m->past.sync_errors++;
        return;
    }
    m->past.ts_packets++;
    if (head & 0x800000)
        m->past.transport_errors++;
    else if (pid != TS_NULL)
        take_continuity(m, p, &m->pids[pid]);
}

static void take_ts_packets(struct monitor *m, const uint8_t *p, size_t length)
{
    m->past.sync_errors += length % TS_BYTES != 0 || length == 0;
    for (; length >= TS_BYTES; p += TS_BYTES, length -= TS_BYTES)
        take_ts_packet(m, p);
}

// A datagram is RTP when it reads as RTP, and not better as packets whose first sync byte is wrong.
static void take_ts(struct monitor *m, uint64_t stamp_ns, const uint8_t *p, size_t length)
{
    struct mark k;
    size_t header = read_rtp(&k, p, length);

    if (header == 0 || (length % TS_BYTES == 0 && (header == length || p[header] != 0x47))) {
        take_ts_packets(m, p, length);
        return;
    }
    size_t body = length - header, padding = p[0] & 0x20 ? p[length - 1] : 0;
    m->offered++;
    take_number(m, &k, stamp_ns);
    take_ts_packets(m, p + header, padding < body ? body - padding : 0);
}

// --- monitor ---------------------------------------------------------------------------------------------------------

void monitor_take(struct monitor *m, uint64_t stamp_ns, const uint8_t *payload, size_t length)
{
    struct mark k;

    if (m->settings.as == MONITOR_TS) {
        take_ts(m, stamp_ns, payload, length);
        return;
    }
    m->offered++;
    if (m->settings.as == MONITOR_RTP ? read_rtp(&k, payload, length) > 0
                                      : read_field(&m->settings, &k, payload, length))
        take_number(m, &k, stamp_ns);
}

const struct monitor_counters *monitor_counters(struct monitor *m)
{
    m->told = m->past;
    add_source(&m->told, &m->present);
    m->told.unjudged = m->offered - m->placed - m->present.taken;
    if (m->settings.as != MONITOR_FIELD)
        m->told.jitter_us = (m->present.jitter >> 4) * 1000000 / m->settings.clock_hz;
    return &m->told;
}

// --- alarms ----------------------------------------------------------------------------------------------------------

void monitor_alarms_init(struct monitor_alarms *a, const struct monitor_counters *now, uint64_t now_ns)
{
    *a = (struct monitor_alarms){.before = *now, .window_ns = now_ns};
}

static uint64_t grown(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

static uint64_t ppm(uint64_t part, uint64_t whole)
{
    uint64_t rest;

    return whole > 0 ? wide_scale(part, 1000000, 0, whole, &rest) : 0;
}

// What came late in this window can take back more losses than there were.
static uint64_t loss_of(const struct monitor_counters *now, const struct monitor_counters *before)
{
    uint64_t numbers = ppm(grown(now->lost, before->lost), grown(now->expected, before->expected));
    uint64_t packets =
        ppm(grown(now->continuity_errors, before->continuity_errors), grown(now->ts_packets, before->ts_packets));

    return numbers > packets ? numbers : packets;
}

// Whether nearly nothing of a window could be judged. A stream begins with a few of these.
static bool is_blind(const struct monitor_counters *now, const struct monitor_counters *before)
{
    uint64_t unjudged = grown(now->unjudged, before->unjudged);

    return unjudged >= BLIND_LEAST && unjudged / BLIND_TIMES >= grown(now->expected, before->expected);
}

// The same of the packets of a transport stream. RTP around them may be judged all the same.
static bool is_out_of_sync(const struct monitor_counters *now, const struct monitor_counters *before)
{
    uint64_t errors = grown(now->sync_errors, before->sync_errors);

    return errors >= BLIND_LEAST && errors / BLIND_TIMES >= grown(now->ts_packets, before->ts_packets);
}

static void judge(struct monitor_alarms *a, unsigned alarm, uint64_t value, uint64_t limit, uint64_t now_ns)
{
    if (limit == 0 || value <= limit)
        return;
    a->above_ns[alarm] = now_ns;
    if (!(a->alarms & 1u << alarm))
        a->raised_ns[alarm] = now_ns;
    a->alarms |= 1u << alarm;
}

// A limit that a reload took away ends its alarm at once.
static void end(struct monitor_alarms *a, unsigned alarm, uint64_t limit, uint64_t now_ns)
{
    if (limit == 0 || now_ns - a->above_ns[alarm] >= MONITOR_QUIET_NS)
        a->alarms &= ~(1u << alarm);
}

uint32_t monitor_alarms_look(struct monitor_alarms *a, const struct monitor_limits *limits,
                             const struct monitor_counters *now, uint64_t now_ns)
{
    uint32_t before = a->alarms;

    if (now_ns - a->window_ns >= NS_PER_S) {
        bool flows = now->expected != a->before.expected;
        bool blind = is_blind(now, &a->before);
        a->loss_ppm = loss_of(now, &a->before);
        bool no_packets = is_out_of_sync(now, &a->before);
        judge(a, MONITOR_ALARM_LOSS, blind || no_packets ? UINT64_MAX : a->loss_ppm, limits->max_loss_ppm, now_ns);
        judge(a, MONITOR_ALARM_JITTER, blind ? UINT64_MAX : flows ? now->jitter_us : 0, limits->max_jitter_us, now_ns);
        a->before = *now;
        a->window_ns = now_ns;
    }
    end(a, MONITOR_ALARM_LOSS, limits->max_loss_ppm, now_ns);
    end(a, MONITOR_ALARM_JITTER, limits->max_jitter_us, now_ns);
    return before ^ a->alarms;
}
