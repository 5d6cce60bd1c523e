// SPDX-License-Identifier: Apache-2.0
// state: what the relay's one loop knows; shared by relay.c (the loop), rings.c (what comes in), request.c (the
// broker) and publish.c (what others may see). No one else includes it.
#ifndef MCR_RELAY_STATE_H
#define MCR_RELAY_STATE_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "handover/handover.h"
#include "relay/notify.h"
#include "relay/coalesce.h"
#include "relay/relay.h"
#include "relay/swap.h"

// What the broker can be asked for, the most urgent first.
enum request { REQUEST_LOAD, REQUEST_LINKS, REQUEST_PROBE, REQUESTS, REQUEST_NONE = REQUESTS };

struct relay;

// A descriptor or a timer that the loop watches, and what answers it. The watcher is first: libev gives it back.
struct source {
    ev_io io;
    void (*answer)(struct relay *r);
};
struct timer {
    ev_timer timer;
    void (*answer)(struct relay *r);
};

struct relay {
    const struct relay_options *options;
    struct ev_loop *loop; // the relay is its user data
    struct source from_broker, signals, links, addresses, neighbours, inotify;
    struct timer tick, links_timer, probe_timer, summary_timer, watchdog, alarm;
    int broker;
    struct coalesce coalesce;
    uint32_t turn_frames;   // taken in this turn of the loop
    uint32_t turn_flows;    // of so many flows: one that comes by two rings, or often, may count more than once
    bool full;              // a ring holds more than one pass has taken
    uint64_t last_frame_ns; // CLOCK_MONOTONIC
    bool ending;
    struct notify notify;
    struct swap swap;
    struct ingress_spill *spill;

    // One request is under way at a time; those asked for meanwhile are folded into one more of each kind.
    bool wanted[REQUESTS];
    enum request under_way;
    bool unrecorded; // the table of the request under way is in force, and the broker has not said that it is in the
                     // record
    uint32_t serial;
    uint64_t links_retry_ns;                 // when a refused REQUEST_LINKS is tried again, or 0
    uint64_t doubt_ends_ns;                  // when doubted outputs send again although the broker has not looked, or 0
    uint64_t stuck_ring;                     // id of the ring that the broker is to replace, or 0
    uint64_t stuck_next_ns;                  // no other ring is named before
    struct handover_asker next_asker, asker; // of the load that is wanted, and of the one under way

    struct stats_header shown; // what others may see, from pid on: what the relay knows of it is written here
    uint64_t asked_then;       // shown.asked when the load under way began

    uint32_t summary_next; // rule that the summary under way goes on with
    int status;            // to exit with
};

// The table in force, or NULL.
static inline const struct table_view *relay_table(const struct relay *r)
{
    return r->swap.now ? r->swap.now->table : NULL;
}

// Ends the loop.
static inline void relay_stop(struct relay *r, int status)
{
    r->status = status;
    r->ending = true;
    ev_break(r->loop, EVBREAK_ALL);
}

// rings.c
// One pass over a ring. Returns how many frames it took.
uint32_t rings_pass(struct relay *r, struct ingress *in);
// Answers a ring's watcher.
void rings_on_readable(struct ev_loop *loop, ev_io *io, int events);
// Writes the counters of all rings into the statistics, and asks for another ring in the place of one that is stuck.
void rings_publish(struct relay *r);

// publish.c: statistics, systemd, summary, alarms.
void publish_header(struct relay *r, enum stats_segment_state state);
void publish_everything(struct relay *r);
void publish_status(struct relay *r);
// Begins the summary; its other parts may be spread over later turns of the loop.
void publish_summary_begin(struct relay *r);
// One part of it. False: that was the last.
bool publish_summary_next(struct relay *r);
// Looks at every output that the kernel has refused a datagram of.
void publish_sends(struct relay *r);
// Looks at every rule that should not fall silent, or has a limit.
void publish_alarms(struct relay *r);
// Looks as often as the table in force wants it.
void publish_alarms_watch(struct relay *r);

// request.c: asks for something, now or when the broker is free.
void request_send(struct relay *r, enum request what);
// Takes one message of the broker.
void request_on_message(struct relay *r);

#endif
