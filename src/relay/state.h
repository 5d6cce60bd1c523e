// SPDX-License-Identifier: Apache-2.0
// state: the state of the relay, shared by relay.c (the loop), rings.c (inputs), request.c (the broker) and publish.c
// (statistics, log), trust.c (what links allow). No other file includes it.
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

// The requests to the broker, the most urgent first.
enum request {
    REQUEST_RETURNED, // nothing else is understood before
    REQUEST_CONFIRM,
    REQUEST_LOAD,
    REQUEST_LINKS,
    REQUEST_PROBE,
    REQUESTS,
    REQUEST_NONE = REQUESTS
};

struct relay;

// A descriptor or a timer that the loop watches, and its handler. The watcher is the first member, because libev passes
// its address to the callback.
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
    struct ev_loop *loop; // its user data is this struct
    struct source from_broker, signals, links, addresses, neighbours, inotify;
    struct timer tick, links_timer, probe_timer, summary_timer, watchdog, alarm, held;
    int broker;
    struct coalesce coalesce;
    uint32_t turn_frames;   // frames taken in this turn of the loop
    uint32_t turn_flows;    // number of their flows; a flow in two rings, or flushed twice, counts more than once
    bool full;              // a ring has more frames than one pass takes
    uint64_t last_frame_ns; // CLOCK_MONOTONIC
    bool ending;
    bool goes_on; // SIGUSR2: the next start is to go on with the file that runs
    struct notify notify;
    struct swap swap;
    struct ingress_spill *spill;

    // One request is under way at a time. Requests of a kind that come meanwhile become one further request.
    bool wanted[REQUESTS];
    enum request under_way;
    bool unrecorded; // the table of the request under way is in force, but the broker has not confirmed its record yet
    uint32_t serial;
    int64_t clock_ahead_ns;                  // CLOCK_REALTIME before CLOCK_BOOTTIME at the last look; 0: none yet
    uint64_t times_next_ns;                  // earliest time to ask the broker again what begins or ends
    bool clock_stepped;                      // the broker is to judge the times anew
    uint64_t links_retry_ns;                 // when a refused REQUEST_LINKS is tried again, or 0
    uint64_t probe_again_ns;                 // when the signatures of the file on disk must have arrived, or 0
    uint64_t doubt_ends_ns;                  // when doubted outputs send again, even without the broker, or 0
    uint64_t stuck_ring;                     // id of the ring that the broker is asked to replace, or 0
    uint64_t stuck_next_ns;                  // earliest time to ask for another ring
    struct handover_asker next_asker, asker; // who asked for the load that is wanted, and for the one under way

    struct stats_header shown; // the relay keeps the header's fields from pid on here; publish_header() copies them
    uint64_t asked_then;       // shown.asked when the load or confirmation under way began
    struct handover_asker next_confirmer;

    // What runs is on trial until shown.trial_ends_ns.
    struct {
        struct timer timer;
        bool *armed; // of each rule: whether it relayed when the trial began
        uint32_t n_armed;
    } trial;

    uint32_t summary_next; // next rule of the summary under way
    int status;            // exit status
};

// Returns the table in force, or NULL.
static inline const struct table_view *relay_table(const struct relay *r)
{
    return r->swap.now ? r->swap.now->table : NULL;
}

// Ends the loop. status: the exit status.
static inline void relay_stop(struct relay *r, int status)
{
    r->status = status;
    r->ending = true;
    ev_break(r->loop, EVBREAK_ALL);
}

// signals.c
// Blocks the signals that the loop answers. Returns their descriptor (signalfd), or -1 with errno set.
int signals_open(void);
void signals_answer(struct relay *r);

// rings.c
// Makes one pass over a ring. Returns the number of frames.
uint32_t rings_pass(struct relay *r, struct ingress *in);
// Makes one over each ring that has something, and sends what is due: also between two parts of a long piece of work,
// but not while a table is being swapped. Returns whether there was something.
bool rings_pass_ready(struct relay *r);
// Callback of a ring's watcher.
void rings_on_readable(struct ev_loop *loop, ev_io *io, int events);
// Writes the counters of all rings to the statistics, and notes one that is stuck, so that the broker replaces it.
void rings_publish(struct relay *r);
#define RINGS_SETTLED_NS UINT64_C(1000000) // a frame is in its ring so long after its stamp
// The time until when all that came has been taken, at most the time of the turn. A number that has not come by then is
// missing. The stamps of what was taken do not tell: the rings of two legs are emptied one after the other, and after a
// pause each holds what came in all its time. A signal or a timer ends a turn without a look at the rings, so each is
// asked for the next stamp.
uint64_t rings_settled_ns(const struct relay *r);
// Sends what was held back and is due.
void rings_settle(struct relay *r);

// trust.c
// Makes all frames leave at once. A link may have a smaller MTU now, and a transmit ring sends frames that exceed it.
void trust_doubt_links(struct relay *r);
// Stops all outputs of an interface that has gone, until the broker has looked at the links; RTNETLINK_LOST: those that
// the kernel would let send by the index of another one. context: the relay.
void trust_on_gone(void *context, uint32_t ifindex);
// Lets doubted outputs send again when the broker has not looked in time: it has ended, hangs, or could not make a
// table of the present links.
void trust_restore(struct relay *r);

// timed.c: rules and files that begin and end, and the clock.
// Closes the rules that have ended. Returns whether the broker is to be asked for a table (REQUEST_LINKS), because
// something begins or ends or the clock was set. To be called at least once a second.
bool timed_look(struct relay *r);
// Shows what the table in force says of the file's times.
void timed_adopted(struct relay *r);

// on_trial.c: a table on trial.
// Begins, follows or ends the trial of the table that has just been put in force. first: it is the first one.
void on_trial_adopted(struct relay *r, bool first);
// Goes back to the table before, if the trial's time is over and it was not confirmed.
void on_trial_ended(struct relay *r);
// Whether rules that relayed when the trial began are watched; if so, goes back if one of them does not relay any more.
bool on_trial_watches(const struct relay *r);
void on_trial_look(struct relay *r);
// What is shown of the file: state as the broker judges it, unless the trial says more.
enum stats_config_state on_trial_config_state(const struct relay *r, enum stats_config_state state);
void on_trial_confirm(struct relay *r, const struct handover_asker *asker);
void on_trial_free(struct relay *r);

// publish.c: statistics, systemd, summary, alarms.
void publish_header(struct relay *r, enum stats_segment_state state);
void publish_everything(struct relay *r);
void publish_status(struct relay *r);
// Begins the summary in the log. Its other parts may be spread over later turns of the loop.
void publish_summary_begin(struct relay *r);
// Logs the next part. Returns false after the last one.
bool publish_summary_next(struct relay *r);
// Checks every output of which the kernel has refused a datagram, and logs changes.
void publish_sends(struct relay *r);
// Checks every rule for what it drops, and which of its legs is active, and logs changes.
void publish_drops(struct relay *r);
// Checks the health of every rule (health.h), and logs changes.
void publish_alarms(struct relay *r);
// Sets the timer of publish_alarms() to the period that the table in force needs.
void publish_alarms_watch(struct relay *r);

// request.c: sends a request, now or when the broker has answered the one under way.
void request_send(struct relay *r, enum request what);
// Sends again what is due at this time (CLOCK_MONOTONIC).
void request_again(struct relay *r, uint64_t now);
// Receives and handles one message of the broker.
void request_on_message(struct relay *r);

#endif
