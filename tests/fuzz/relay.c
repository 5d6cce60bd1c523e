// SPDX-License-Identifier: Apache-2.0
// relay: the relay's side of the handover (relay/request.c, swap.c) with a broker that says anything: messages of any
// kind and order, tables with changes, sockets that are missing or of the wrong kind. A table is taken over whole or
// not at all, what the relay says is well formed, and no descriptor stays behind. The input is a list of what happens.
#include <config.h>

#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine.h"
#include "relay/state.h"

struct rig {
    struct relay relay;
    struct relay_options options;
    int broker; // the other end
    struct fuzz_input *in;
    uint8_t which;                // table that was offered last
    const struct forward *before; // in force before the present message
    bool offered;                 // it may be taken over: sealed, and neither withdrawn nor replaced
    bool gone;                    // the relay has given its broker up
};

static int null;

#define RING_BYTES (2u << 20)

// --- what the broker says --------------------------------------------------------------------------------------------

static struct handover_message message_of(struct rig *x, uint32_t type)
{
    struct handover_message m = {.type = type, .serial = x->relay.serial};

    return m;
}

static void say(struct rig *x, const struct handover_message *m, const int *fds)
{
    fuzz_say(x->broker, m, sizeof(*m), fds, m->n_fds);
}

static int memory_file(const void *bytes, size_t size, unsigned flags)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC | flags);

    FUZZ_ASSERT(fd >= 0 && ftruncate(fd, (off_t) size) == 0);
    FUZZ_ASSERT(!bytes || write(fd, bytes, size) == (ssize_t) size);
    return fd;
}

enum offer_flags { NOT_SEALED = 1, OTHER_STATS = 2, CHANGED = 4, ONE_FD = 8 };

static void say_offer(struct rig *x)
{
    uint8_t flags = fuzz_u8(x->in);
    const struct table_image *t = machine_table(x->which = fuzz_u8(x->in));
    const struct table_header *h = t->bytes;
    struct handover_message m = message_of(x, HANDOVER_OFFER);
    uint8_t *bytes = malloc(t->size);

    memcpy(bytes, t->bytes, t->size);
    if (flags & CHANGED)
        fuzz_patch(x->in, bytes, t->size);
    size_t stats_size = stats_segment_size(h->interfaces.n, h->rules.n, h->inputs.n, h->n_counters);
    int fds[2] = {memory_file(bytes, t->size, MFD_ALLOW_SEALING),
                  memory_file(NULL, flags & OTHER_STATS ? 8 : stats_size, 0)};
    if (!(flags & NOT_SEALED))
        FUZZ_ASSERT(fcntl(fds[0], F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0);
    x->offered = !(flags & NOT_SEALED);
    m.n_fds = flags & ONE_FD ? 1 : 2;
    say(x, &m, fds);
    close(fds[0]);
    close(fds[1]);
    free(bytes);
}

// One descriptor of what the offered table names; kind and id may be others.
static void put_socket(struct rig *x, struct handover_message *m, int *fds, uint64_t id, uint32_t kind, size_t tx_ring)
{
    if (m->n_fds == HANDOVER_FDS_MAX) {
        say(x, m, fds);
        while (m->n_fds > 0)
            close(fds[--m->n_fds]);
    }
    fds[m->n_fds] = tx_ring > 0 ? memory_file(NULL, tx_ring, 0) : fcntl(null, F_DUPFD_CLOEXEC, 3);
    m->sockets[m->n_fds++] = (struct handover_socket){.id = id, .kind = kind};
}

static void say_sockets(struct rig *x)
{
    const struct table_image *t = machine_table(x->which);
    struct handover_message m = message_of(x, HANDOVER_SOCKETS);
    int fds[HANDOVER_FDS_MAX];
    struct table_view v;
    const char *why;

    FUZZ_ASSERT(table_attach(&v, t->bytes, t->size, &why));
    for (uint32_t i = 0; i < v.n_egress; i++)
        put_socket(x, &m, fds, v.egress[i].id, HANDOVER_EGRESS,
                   v.egress[i].kind == TABLE_EGRESS_TX_RING ? (size_t) TABLE_TX_SLOTS * v.egress[i].slot_size : 0);
    for (uint32_t i = 0; i < v.n_holds; i++)
        put_socket(x, &m, fds, v.holds[i], HANDOVER_HOLD, 0);
    // Some of what it says may be another.
    uint32_t n_fds = m.n_fds;
    fuzz_patch(x->in, m.sockets, sizeof(m.sockets));
    if (n_fds > 0)
        say(x, &m, fds);
    while (n_fds > 0)
        close(fds[--n_fds]);
}

// Files in the place of ring sockets, large enough for the ring of any of the tables.
static void say_pool(struct rig *x)
{
    struct handover_message m = message_of(x, HANDOVER_POOL);
    int fds[HANDOVER_FDS_MAX];

    m.n_fds = fuzz_u8(x->in) % 24;
    for (uint32_t i = 0; i < m.n_fds; i++)
        fds[i] = memory_file(NULL, RING_BYTES, 0);
    say(x, &m, fds);
    while (m.n_fds > 0)
        close(fds[--m.n_fds]);
}

static void say_anything(struct rig *x)
{
    struct handover_message m = message_of(x, fuzz_u8(x->in));
    int fds[HANDOVER_FDS_MAX];
    uint8_t n_fds = fuzz_u8(x->in);
    size_t size = sizeof(m);

    for (int i = 0; i < HANDOVER_FDS_MAX; i++)
        fds[i] = null;
    m.n_fds = n_fds & 15;
    if (n_fds & 128) // other than it says
        n_fds += 16;
    fuzz_patch(x->in, &m, sizeof(m));
    if (m.type == HANDOVER_OFFER)
        x->offered = false;
    if (m.probe_state == 0xee)
        size = fuzz_u16(x->in) % (sizeof(m) + 1);
    fuzz_say(x->broker, &m, size, fds, (n_fds & 15) + (n_fds >> 4 & 3));
}

static void say_text(struct rig *x, uint32_t type)
{
    struct handover_message m = message_of(x, type);

    x->offered &= type != HANDOVER_REFUSED && type != HANDOVER_UNCHANGED;
    m.probe_state = fuzz_u8(x->in);
    memset(m.text, 'x', fuzz_u16(x->in) % (sizeof(m.text) + 1));
    fuzz_patch(x->in, &m.file, sizeof(m.file) + sizeof(m.text));
    say(x, &m, NULL);
}

// --- what the relay does ---------------------------------------------------------------------------------------------

// What it has said since the last time. After a COMMIT, whether the table was changed.
static void hear(struct rig *x)
{
    const struct relay *r = &x->relay;
    struct handover_message m;
    int fds[HANDOVER_FDS_MAX];
    enum handover_result result;

    while ((result = handover_receive(x->broker, &m, fds)) != HANDOVER_EMPTY) {
        FUZZ_ASSERT(result == HANDOVER_GOT && m.n_fds == 0 && !x->gone && m.serial <= r->serial);
        FUZZ_ASSERT(m.type == HANDOVER_LOAD || m.type == HANDOVER_LINKS || m.type == HANDOVER_PROBE ||
                    m.type == HANDOVER_ADOPTED || m.type == HANDOVER_REJECTED);
        if (m.type == HANDOVER_ADOPTED) {
            struct handover_message recorded = message_of(x, HANDOVER_ADOPTED);
            FUZZ_ASSERT(r->swap.now && r->swap.now != x->before && x->offered);
            say(x, &recorded, NULL);
        }
        if (m.type == HANDOVER_REJECTED)
            FUZZ_ASSERT(r->swap.now == x->before && memchr(m.text, '\0', sizeof(m.text)) && m.text[0]);
    }
}

static void take_messages(struct rig *x)
{
    struct relay *r = &x->relay;
    struct table_view again;
    const char *why;

    // As many as the longest offer has.
    for (int i = 0; i < 8 && r->shown.broker_alive && r->status == 0; i++) {
        uint64_t generation = r->swap.now ? relay_table(r)->header->generation : 0;
        x->before = r->swap.now;
        request_on_message(r);
        FUZZ_ASSERT(!x->before || r->swap.now);
        if (r->swap.now && r->swap.now == x->before)
            FUZZ_ASSERT(relay_table(r)->header->generation == generation);
        hear(x);
        x->gone = !r->shown.broker_alive;
    }
    if (r->swap.now)
        FUZZ_ASSERT(table_attach(&again, r->swap.now->table->header, r->swap.now->table->header->size, &why));
    FUZZ_ASSERT(r->shown.refusal[sizeof(r->shown.refusal) - 1] == '\0' &&
                r->shown.disk_error[sizeof(r->shown.disk_error) - 1] == '\0');
}

static void ask(struct rig *x, enum request what)
{
    struct relay *r = &x->relay;

    if (what == REQUEST_LOAD)
        r->shown.asked++;
    x->before = r->swap.now;
    request_send(r, what);
    FUZZ_ASSERT(r->swap.now == x->before && r->shown.answered <= r->shown.asked);
    hear(x);
}

static void run_rings(struct rig *x)
{
    for (size_t i = 0; i < x->relay.swap.n_rings; i++)
        if (x->relay.swap.now)
            FUZZ_ASSERT(rings_pass(&x->relay, x->relay.swap.rings[i]) == 0);
    publish_alarms(&x->relay);
    publish_everything(&x->relay);
}

static void step(struct rig *x)
{
    switch (fuzz_u8(x->in) % 12) {
    case 0:
        say_anything(x);
        break;
    case 1:
        say_offer(x);
        break;
    case 2:
        say_sockets(x);
        break;
    case 3:
        say_text(x, HANDOVER_COMMIT);
        break;
    case 4:
        say_text(x, HANDOVER_REFUSED);
        break;
    case 5:
        say_text(x, HANDOVER_UNCHANGED);
        break;
    case 6:
        say_text(x, HANDOVER_PROBED);
        break;
    case 7:
        ask(x, REQUEST_LOAD);
        break;
    case 8:
        ask(x, REQUEST_LINKS);
        break;
    case 9:
        ask(x, REQUEST_PROBE);
        break;
    case 10:
        run_rings(x);
        break;
    case 11:
        say_pool(x);
        break;
    }
    take_messages(x);
}

// --- life ------------------------------------------------------------------------------------------------------------

static void on_nothing(struct ev_loop *loop, ev_io *io, int events)
{
    (void) loop;
    (void) io;
    (void) events;
}

static void open_rig(struct rig *x, struct fuzz_input *in, struct ev_loop *loop, struct ingress_spill *spill)
{
    struct relay *r = &x->relay;
    int ends[2];

    FUZZ_ASSERT(handover_pair(ends));
    FUZZ_ASSERT(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    x->broker = ends[1];
    x->in = in;
    x->options = (struct relay_options){.sandbox = SANDBOX_OFF, .inotify = -1};
    *r = (struct relay){.options = &x->options,
                        .loop = loop,
                        .broker = ends[0],
                        .notify = {.fd = -1},
                        .spill = spill,
                        .shown.broker_alive = true,
                        .under_way = REQUEST_NONE};
    swap_init(&r->swap, loop, rings_on_readable);
    ev_io_init(&r->from_broker.io, on_nothing, ends[0], EV_READ);
    ev_io_start(loop, &r->from_broker.io);
    request_send(r, REQUEST_LOAD); // as at the start
    hear(x);
}

static void close_rig(struct rig *x)
{
    struct relay *r = &x->relay;

    ev_io_stop(r->loop, &r->from_broker.io);
    ev_timer_stop(r->loop, &r->alarm.timer);
    swap_close(&r->swap);
    FUZZ_ASSERT(r->swap.n_rings == 0);
    close(r->broker);
    close(x->broker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ev_loop *loop;
    static struct ingress_spill *spill;
    static struct rig x;
    struct fuzz_input in = {.at = data, .left = size};

    if (!loop) {
        loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
        spill = ingress_spill_new();
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (size_t i = 0; i < machine_n_configs; i++)
            machine_table(i);
    }
    int open_before = fuzz_descriptors();
    memset(&x, 0, sizeof(x));
    open_rig(&x, &in, loop, spill);
    // Until it stops by itself.
    for (int i = 0; in.left > 0 && i < 64 && x.relay.status == 0; i++)
        step(&x);
    close_rig(&x);
    FUZZ_ASSERT(fuzz_descriptors() == open_before);
    return 0;
}
