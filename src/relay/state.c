// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "common/clock.h"
#include "log/log.h"

void relay_stop(struct relay *r, int status)
{
    r->status = status;
    r->ending = true;
    ev_break(r->loop, EVBREAK_ALL);
}

// --- ingress ---------------------------------------------------------------------------------------------------------

uint32_t relay_pass(struct relay *r, struct ingress *in)
{
    struct forward *f = r->swap.now->forward;

    f->now_ns = clock_monotonic_ns();
    uint32_t n = ingress_pass(in, f, r->spill);
    forward_publish(f);
    publish_interface(r, in);
    r->turn_frames += n;
    r->turn_flows += f->flushed;
    f->flushed = 0;
    r->full |= in->more;
    if (n > 0)
        r->last_frame_ns = f->now_ns;
    return n;
}

// An empty pass means that the socket woke us with an error: the link went down, or the interface is gone. rtnetlink
// tells the rest.
static void clear_error(const struct ingress *in)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (getsockopt(in->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0)
        log_debug("ring", "id=%llu error=\"%s\"", (unsigned long long) in->id, strerror(error));
}

static void on_ring_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct ring_watcher *w = (struct ring_watcher *) io;

    (void) loop;
    (void) events;
    if (relay_pass(io->data, w->in) == 0)
        clear_error(w->in);
}

void relay_on_ring(void *context, struct ingress *in, bool comes)
{
    struct relay *r = context;

    for (size_t i = 0; i < sizeof(r->watchers) / sizeof(r->watchers[0]); i++) {
        struct ring_watcher *w = &r->watchers[i];
        if (comes ? w->in != NULL : w->in != in)
            continue;
        if (comes) {
            ev_io_init(&w->io, on_ring_readable, in->fd, EV_READ);
            w->io.data = r;
            w->in = in;
            ev_io_start(r->loop, &w->io);
        } else {
            ev_io_stop(r->loop, &w->io);
            w->in = NULL;
        }
        return;
    }
}
