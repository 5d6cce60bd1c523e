// SPDX-License-Identifier: Apache-2.0
// The rings of the table in force: their watchers, passes, counters, and what happens when one is stuck.
#include <config.h>

#include "relay/state.h"

#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "log/log.h"

#define HELD_MOST_NS (12 * NS_PER_S) // the longest wait (reorder_ms), and what stamps may be apart

static void publish_counters(struct relay *r, struct ingress *in)
{
    struct stats_interface *to = &r->swap.now->stats.interfaces[in->interface];

    r->swap.now->interfaces[in->interface] = in->counters;
    stats_write_begin(&to->sequence);
    to->counters = in->counters;
    stats_write_end(&to->sequence);
}

#define LOOPED_SECONDS 60 // least time between two warnings

// A loop of the network is told as long as it lasts.
static void tell_looped(const struct relay *r, struct ingress *in, uint64_t now_ns)
{
    if (in->looped == 0 || now_ns < in->looped_next_ns)
        return;
    log_warn(
        EVENT_LOOPED,
        "interface=%s datagrams=%llu reason=\"what this host has sent comes back: the network of this interface is "
        "connected with that of another one, or mirrors\" effect=\"it is dropped (own)\"",
        relay_table(r)->interfaces[in->interface].name, (unsigned long long) in->looped);
    in->looped = 0;
    in->looped_next_ns = now_ns + LOOPED_SECONDS * NS_PER_S;
}

#define STUCK_SECONDS 1 // least time between two requests: the broker may let a stuck ring wait (ring_pool.h)

void rings_publish(struct relay *r)
{
    for (size_t i = 0; r->swap.now && i < r->swap.n_rings; i++) {
        struct ingress *in = r->swap.rings[i];
        bool asked = r->wanted[REQUEST_LINKS] || r->under_way == REQUEST_LINKS;
        uint64_t now_ns = clock_monotonic_ns();
        if (ingress_count_drops(in, now_ns) && !asked && r->stuck_ring == 0 && now_ns >= r->stuck_next_ns) {
            log_warn(EVENT_RING_STUCK,
                     "interface=%s reason=\"a frame that the kernel cannot describe\" effect=\"the broker is asked for "
                     "another ring\"",
                     relay_table(r)->interfaces[in->interface].name);
            r->stuck_ring = in->id;
            r->stuck_next_ns = now_ns + STUCK_SECONDS * NS_PER_S;
        }
        tell_looped(r, in, now_ns);
        publish_counters(r, in);
    }
}

// The stamp until which all rings but one have been emptied.
static uint64_t others_settled_ns(const struct relay *r, const struct ingress *but)
{
    uint64_t settled = UINT64_MAX;

    for (size_t i = 0; i < r->swap.n_rings; i++) {
        const struct ingress *in = r->swap.rings[i];
        if (in != but && ingress_ready(in) && ingress_next_stamp(in) < settled)
            settled = ingress_next_stamp(in);
    }
    return settled;
}

uint32_t rings_pass(struct relay *r, struct ingress *in)
{
    struct forward *f = r->swap.now;

    if (f->by_active)
        f->others_ns = others_settled_ns(r, in);
    f->now_ns = clock_monotonic_ns();
    // Only behind a gap are rings apart; a network that floods one leg's does not hold up another's.
    uint64_t until_ns = f->bridged_ns == 0
                            ? UINT64_MAX
                            : ingress_until(r->swap.rings, r->swap.n_rings, in, f, (uint64_t) (ev_now(r->loop) * 1e9));
    uint32_t n = ingress_pass(in, f, r->spill, until_ns);
    forward_publish(f);
    publish_counters(r, in);
    r->turn_frames += n;
    r->turn_flows += f->flushed;
    f->flushed = 0;
    r->full |= in->more;
    if (n > 0)
        r->last_frame_ns = f->now_ns;
    return n;
}

void rings_on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct ingress *in = io->data;
    int error = 0;
    socklen_t length = sizeof(error);

    (void) events;
    if (rings_pass(ev_userdata(loop), in) > 0 || in->more)
        return;
    // The first frame of a ring that was taken over tells its head, if the stamps have told a wrong one.
    if (in->taken == 0 && ingress_resume(in) > 0 && rings_pass(ev_userdata(loop), in) > 0)
        return;
    // An empty pass means that the socket has reported an error: the link is down, or the interface is gone. rtnetlink
    // events tell which; reading SO_ERROR clears it.
    if (getsockopt(in->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0)
        log_debug(EVENT_RING, "id=%llu error=\"%s\"", (unsigned long long) in->id, strerror(error));
}

// --- what has been taken ---------------------------------------------------------------------------------------------

// What was stamped before has been in its ring when the turn began.
static uint64_t turn_ns(const struct relay *r)
{
    return (uint64_t) (ev_now(r->loop) * 1e9) - RINGS_SETTLED_NS;
}

uint64_t rings_settled_ns(const struct relay *r)
{
    uint64_t settled = turn_ns(r);

    for (size_t i = 0; i < r->swap.n_rings; i++) {
        const struct ingress *in = r->swap.rings[i];
        if (ingress_ready(in) && ingress_next_stamp(in) < settled)
            settled = ingress_next_stamp(in);
    }
    return settled;
}

void rings_settle(struct relay *r)
{
    struct forward *f = r->swap.now;
    uint64_t now, settled;

    if (!f || f->due_ns == UINT64_MAX)
        return;
    now = turn_ns(r);
    settled = rings_settled_ns(r);
    // What is due further ahead than anything can be was stamped before the clock was set back.
    if (f->due_ns > settled && (f->due_ns <= now || f->due_ns - now <= HELD_MOST_NS))
        return;
    f->now_ns = clock_monotonic_ns();
    forward_release(f, settled);
    forward_publish(f);
}

bool rings_pass_ready(struct relay *r)
{
    bool any = false;

    for (size_t i = 0; i < r->swap.n_rings; i++)
        if (ingress_ready(r->swap.rings[i]))
            any |= rings_pass(r, r->swap.rings[i]) > 0;
    rings_settle(r);
    return any;
}
