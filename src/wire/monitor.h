// SPDX-License-Identifier: Apache-2.0
// monitor: what a stream carries: numbers that are missing, late or twice, jitter, and the packets of a transport
// stream. It looks and counts, and decides nothing. Pure: the caller gives the time, and all memory is taken by
// monitor_new().
#ifndef MCR_WIRE_MONITOR_H
#define MCR_WIRE_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "table/layout.h"

// RTP: RFC 3550. TS: ISO/IEC 13818-1 in UDP, or behind an RTP header, whose numbers then count as well (RFC 2250).
// FIELD: a number at a fixed place of the payload.
enum monitor_as { MONITOR_RTP, MONITOR_TS, MONITOR_FIELD };

#define MONITOR_CLOCK_HZ_MAX 1000000000u
#define MONITOR_AT_MAX       65535u // offset in a payload
#define MONITOR_SESSION_MAX  16u    // bytes

struct monitor_settings {
    enum monitor_as as;
    uint32_t clock_hz; // of RTP time stamps, 1 to MONITOR_CLOCK_HZ_MAX; not for FIELD
    struct {
        uint32_t at;           // offset of the number, at most MONITOR_AT_MAX
        uint8_t bytes;         // of the number: 1, 2, 4 or 8
        bool little;           // its byte order
        uint8_t session_bytes; // what tells a new beginning, at most MONITOR_SESSION_MAX; 0: nothing does
        uint32_t session_at;
    } field; // for FIELD alone
};

// A number is followed when it is less than `dropout` ahead of the highest, and taken as late or repeated when it is
// less than `misorder` behind it: MAX_DROPOUT and MAX_MISORDER of RFC 3550, A.1, for 2 bytes. Numbers of 4 and 8 bytes
// are not drawn at random from a small space, so that a longer outage is still told as a loss; in 1 byte the two
// together must stay well below 256.
#define MONITOR_DROPOUT       3000
#define MONITOR_DROPOUT_WIDE  (1 << 20)
#define MONITOR_DROPOUT_BYTE  64
#define MONITOR_MISORDER      100
#define MONITOR_MISORDER_BYTE 32

// A source (an SSRC or session, with its run of numbers) is gone after so long without a datagram. Only then does
// another one take its place, with all that it has sent since it began, so that no flood of forged sources ends one
// that sends at least once a second. What A.1 calls a restart, two numbers in a row far from the others, waits alike. A
// forged number that fits is believed: it costs less than `dropout` losses, and this time until the true ones take
// over.
#define MONITOR_GONE_NS UINT64_C(1000000000)

// A source in probation has sent one datagram, and keeps its place for so many datagrams of others (A.1:
// MIN_SEQUENTIAL, 2): two streams side by side, or up to so many forged sources for each datagram, do not hide it.
#define MONITOR_PATIENCE 64

// What has come since monitor_new(). All but lost, unjudged and jitter_us only grow.
struct monitor_counters {
    // Of the present source, and of those whose place it took.
    uint64_t expected; // numbers from the first to the highest (RFC 3550, A.3)
    uint64_t lost; // of these, numbers that have not come, never below 0. A late one takes its loss back. A repeated
                   // one does not hide the loss of another: A.3 would take `repeated` off
    uint64_t reordered; // numbers lower than one that came before, for the first time
    uint64_t repeated;  // numbers that had come before
    uint64_t resets;    // other sources, or jumps of the number, that took over
    uint64_t jitter_us; // RFC 3550, 6.4.1 and A.8, of the present source
    uint64_t unjudged;  // datagrams without a number, of other sources, or in probation; not for TS without RTP
    // Of a transport stream.
    uint64_t ts_packets;        // with a right sync byte
    uint64_t sync_errors;       // places of a packet with another byte there (TR 101 290, 1.1 and 1.2), and datagrams
                                // that end within a packet, or have none
    uint64_t continuity_errors; // TR 101 290, 1.4
    uint64_t transport_errors; // packets with transport_error_indicator (TR 101 290, 2.1); nothing else is read of them
    uint64_t pids;             // that have been seen, without that of null packets
};

struct monitor;

// The settings of a rule with TABLE_RULE_MONITORS.
struct monitor_settings monitor_settings_of(const struct table_rule *rule);

// Bytes that a monitor takes, all at its creation; 0 for settings that are not valid.
size_t monitor_bytes(const struct monitor_settings *settings);

// NULL without memory, or for settings that are not valid. For free(3).
struct monitor *monitor_new(const struct monitor_settings *settings);

// The same in monitor_bytes() of the caller's memory, aligned to 16 bytes: zero, or what a monitor of these settings
// has left there, in whatever state it is.
struct monitor *monitor_place(const struct monitor_settings *settings, void *memory);

// Makes m the same as `from`, which has the same settings.
void monitor_copy(struct monitor *m, const struct monitor *from);

// Looks at the payload of one datagram. stamp_ns is when the kernel received it, by any clock. Where that clock, or the
// sender's, steps, the difference of two transit times is no jitter: those of more than a second are left out.
// (chrony's default on most systems is to step from a second on, and to slew below; a smaller step counts once, and
// fades by a sixteenth with each datagram.)
void monitor_take(struct monitor *m, uint64_t stamp_ns, const uint8_t *payload, size_t length);

// Valid until the next call.
const struct monitor_counters *monitor_counters(struct monitor *m);

// --- alarms ----------------------------------------------------------------------------------------------------------

enum monitor_alarm { MONITOR_ALARM_LOSS, MONITOR_ALARM_JITTER, MONITOR_ALARMS };

// 0: no alarm.
struct monitor_limits {
    uint64_t
        max_loss_ppm; // of the numbers that were expected, or continuity errors of the packets of a transport stream
    uint64_t max_jitter_us;
};

// An alarm ends when no window was above its limit for so long, so that what comes in bursts is one alarm.
#define MONITOR_QUIET_NS UINT64_C(5000000000)

// A timer looks at the counters, window by window. An alarm is raised by a window above its limit.
struct monitor_alarms {
    struct monitor_counters before; // at the beginning of the present window
    uint64_t window_ns;             // when that was
    uint64_t loss_ppm;              // in the last whole window
    uint32_t alarms;                // mask of 1 << enum monitor_alarm
    uint64_t raised_ns[MONITOR_ALARMS], above_ns[MONITOR_ALARMS];
};

void monitor_alarms_init(struct monitor_alarms *a, const struct monitor_counters *now, uint64_t now_ns);

// Returns the alarms that have changed, raised or ended: a->alarms tells which. now_ns is of a clock that is never set
// back. A window is a second, or what has passed since the last call if that is longer. A window in which nothing was
// expected raises nothing: its alarm is that of silence. One in which nearly nothing could be judged raises all that
// have a limit: nobody knows whether it is kept. One of a transport stream with nearly no packet raises that of loss.
uint32_t monitor_alarms_look(struct monitor_alarms *a, const struct monitor_limits *limits,
                             const struct monitor_counters *now, uint64_t now_ns);

#endif
