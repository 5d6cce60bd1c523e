// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/clock.h"
#include "log/log.h"
#include "relay/rtnetlink.h"
#include "relay/state.h"

// After link events were lost: how long outputs wait for the broker to look at the links.
#define DOUBT_SECONDS 1

static void distrust(struct egress *e, enum egress_trust trust)
{
    if (e && e->trust < trust)
        e->trust = trust;
}

void trust_doubt_links(struct relay *r)
{
    for (size_t i = 0; i < r->swap.n_sockets; i++)
        distrust(r->swap.sockets[i].egress, EGRESS_ALONE);
}

// Stops UDP and raw outputs after link events were lost: an interface may be gone, and another one may have its index.
// The kernel unbinds a packet socket when its interface goes, but a UDP or raw socket stays bound to the index.
static void doubt_outputs(struct relay *r)
{
    trust_doubt_links(r);
    // Without a broker nobody would look at the links, so forwarding continues. The kernel seldom reuses an index.
    if (!r->shown.broker_alive)
        return;
    log_warn(EVENT_LINKS_LOST,
             "reason=\"the kernel had no room for all news of links\" effect=\"outputs by UDP and raw "
             "sockets wait until the broker has looked\"");
    for (size_t i = 0; i < r->swap.n_sockets; i++) {
        struct egress *e = r->swap.sockets[i].egress;
        if (e && e->kind != TABLE_EGRESS_FRAME && e->kind != TABLE_EGRESS_TX_RING)
            distrust(e, EGRESS_DOUBTED);
    }
    r->doubt_ends_ns = clock_monotonic_ns() + DOUBT_SECONDS * NS_PER_S;
    // Ask at once: the answer covers all events so far.
    ev_timer_stop(r->loop, &r->links_timer.timer);
    request_send(r, REQUEST_LINKS);
}

void trust_restore(struct relay *r)
{
    r->doubt_ends_ns = 0;
    for (size_t i = 0; i < r->swap.n_sockets; i++) {
        struct egress *e = r->swap.sockets[i].egress;
        if (e && e->trust == EGRESS_DOUBTED)
            e->trust = EGRESS_ALONE;
    }
}

void trust_on_gone(void *context, uint32_t ifindex)
{
    struct relay *r = context;
    const struct table_view *t = relay_table(r);

    if (ifindex == RTNETLINK_LOST) {
        doubt_outputs(r);
        return;
    }
    for (uint32_t i = 0; t && i < t->n_outputs; i++)
        if (t->outputs[i].egress != TABLE_NONE && t->interfaces[t->outputs[i].interface].ifindex == ifindex)
            distrust(r->swap.now->egress[t->outputs[i].egress], EGRESS_GONE);
}
