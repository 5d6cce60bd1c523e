// SPDX-License-Identifier: Apache-2.0
// The transmit ring, with the kernel's side of it played by tests/tx_kernel.c: alone, and as the egress uses it.
#include <config.h>

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/egress.h"
#include "relay/tx_ring.h"
#include "../make_table.h"
#include "../tx_kernel.h"

#define SLOT_SIZE 2048
#define MOST      4096

// A Criterion test is a process of its own: one kernel each.
static struct tx_kernel kernel;
static unsigned n_calls;
static int error; // of the frame that comes behind `good` others
static unsigned good = UINT32_MAX;
static uint32_t came[MOST]; // the serial numbers of frames, as they came
static size_t n_came;

ssize_t __wrap_write(int fd, const void *bytes, size_t n);
ssize_t __real_write(int fd, const void *bytes, size_t n);

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    if (!kernel.memory || fd != kernel.fd)
        return __real_write(fd, bytes, n);
    cr_assert_eq(n, 0);
    n_calls++;
    tx_kernel_send(&kernel);
    return 0;
}

static int fails(void *context)
{
    (void) context;
    if (good == 0)
        return error;
    good--;
    return 0;
}

static void take(void *context, const uint8_t *frame, size_t length)
{
    (void) context;
    cr_assert(length >= sizeof(came[0]) && n_came < MOST);
    memcpy(&came[n_came++], frame + length - sizeof(came[0]), sizeof(came[0]));
}

static void open_kernel(void)
{
    cr_assert(tx_kernel_open(&kernel, SLOT_SIZE));
    kernel.fails = fails;
    kernel.take = take;
}

// --- the ring --------------------------------------------------------------------------------------------------------

static struct tx_ring *open_ring(void)
{
    open_kernel();
    struct tx_ring *r = tx_ring_new(kernel.fd, SLOT_SIZE);
    cr_assert_not_null(r);
    return r;
}

static bool add(struct tx_ring *r, uint32_t serial)
{
    struct tx_frame f = {.length = 100, .payload = 90};
    struct virtio_net_hdr v = {.hdr_len = 42};
    uint8_t *room = tx_ring_room(r, f.length);

    if (!room)
        return false;
    memcpy(room, &v, sizeof(v));
    memcpy(room + f.length - sizeof(serial), &serial, sizeof(serial));
    tx_ring_add(r, &f);
    return true;
}

Test(tx_ring, frames_leave_in_order_by_one_call_round_and_round)
{
    struct tx_ring *r = open_ring();
    uint32_t serial = 0;

    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 1 + round % 30; i++)
            cr_assert(add(r, serial++));
        cr_assert_eq(n_came, serial - 1 - round % 30, "nothing leaves before its time");
        cr_assert(tx_ring_send(r));
        cr_assert_eq(n_calls, round + 1);
        cr_assert_eq(tx_ring_waiting(r), 0);
        cr_assert_eq(n_came, serial);
    }
    for (uint32_t i = 0; i < serial; i++)
        cr_assert_eq(came[i], i);
    tx_ring_free(r);
}

Test(tx_ring, nothing_to_send_is_no_call)
{
    struct tx_ring *r = open_ring();

    cr_expect(tx_ring_send(r));
    cr_expect_eq(n_calls, 0);
    tx_ring_free(r);
}

Test(tx_ring, holds_all_its_slots_and_no_more)
{
    struct tx_ring *r = open_ring();

    cr_expect_not_null(tx_ring_room(r, SLOT_SIZE - 32));
    cr_expect_null(tx_ring_room(r, SLOT_SIZE - 31), "behind the slot's own header");
    for (uint32_t i = 0; i < TABLE_TX_SLOTS; i++)
        cr_assert(add(r, i));
    cr_expect(!add(r, 0));
    cr_expect(tx_ring_send(r));
    cr_expect(add(r, 0));
    tx_ring_free(r);
}

Test(tx_ring, waits_for_a_slow_device)
{
    struct tx_ring *r = open_ring();
    uint32_t i = 0;

    kernel.slow = true;
    for (; i < TABLE_TX_SLOTS - 3; i++)
        cr_assert(add(r, i));
    cr_assert(tx_ring_send(r));
    for (; i < TABLE_TX_SLOTS; i++)
        cr_assert(add(r, i));
    cr_expect(!add(r, 0), "the device has it still");
    cr_assert(tx_ring_send(r)); // the first ones come back
    cr_expect(add(r, i++));
    cr_assert(tx_ring_send(r));
    cr_expect_eq(n_came, i);
    tx_ring_free(r);
}

static void expect_taken_back(int what)
{
    struct tx_ring *r = open_ring();
    struct tx_frame f;
    uint32_t serial = 0;

    for (unsigned round = 0; round < 60; round++) {
        uint32_t first = serial, n = 0, sent = round % 11;
        good = sent;
        error = what;
        n_came = 0;
        for (unsigned i = 0; i < 10; i++)
            cr_assert(add(r, serial++));
        cr_assert_eq(tx_ring_send(r), sent == 10);
        cr_assert_eq(n_came, sent);
        while (sent < 10 && tx_ring_take_back(r, &f)) {
            uint32_t which;
            memcpy(&which, f.bytes + f.length - sizeof(which), sizeof(which));
            cr_assert_eq(which, first + sent + n, "the first that was left, then the others");
            cr_assert_eq(f.payload, 90);
            n++;
        }
        cr_assert_eq(n, 10 - sent);
        cr_assert_eq(tx_ring_waiting(r), 0);
    }
    tx_ring_free(r);
}

Test(tx_ring, what_the_kernel_leaves_is_taken_back)
{
    expect_taken_back(ENOBUFS);
}

Test(tx_ring, so_is_a_frame_of_no_sense)
{
    expect_taken_back(EINVAL);
}

// --- the egress ------------------------------------------------------------------------------------------------------

struct fixture {
    int ends[2]; // of the socket for frames
    struct egress e;
    struct table_view view;
    struct stats_output_counters counters;
    struct tx_ring *ring;
    uint8_t payload[64][SLOT_SIZE];
};

static struct fixture *open_fixture(bool gso)
{
    struct fixture *x = calloc(1, sizeof(*x));

    make_view(&x->view, NULL,
              "version=1;rules=({name=\"rule\";input={interface=\"in0\";group=\"239.255.0.1\";port=5000;};"
              "outputs=({interface=\"out0\";group=\"239.255.0.1\";port=6000;});});");
    x->ring = open_ring();
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, x->ends), 0);
    egress_init(&x->e, 1, x->ends[0]);
    egress_configure(&x->e, x->view.egress, x->ring);
    x->e.gso = gso;
    return x;
}

static void close_fixture(struct fixture *x)
{
    tx_ring_free(x->ring);
    close(x->ends[0]);
    close(x->ends[1]);
    free((void *) x->view.header);
    free(x);
}

// n datagrams of 100 bytes, each of which ends with the next serial number.
static void send_batch(struct fixture *x, uint32_t n, uint32_t *serial, bool more)
{
    struct batch b = {.n_datagrams = n, .n_pieces = n, .segment = 100, .bytes = n * 100};

    for (uint32_t i = 0; i < n; i++, ++*serial) {
        memcpy(x->payload[i] + 96, serial, sizeof(*serial));
        b.pieces[1 + i] = (struct iovec){.iov_base = x->payload[i], .iov_len = 100};
    }
    egress_send(&x->e, x->view.outputs, &b, &x->counters, more);
    // The ring must not need them any more.
    memset(x->payload, 0xee, sizeof(x->payload));
}

// Reads what left by the socket, and returns how many sends that were.
static unsigned read_socket(struct fixture *x)
{
    static uint8_t buffer[70000];
    unsigned n = 0;
    ssize_t size;

    for (; (size = recv(x->ends[1], buffer, sizeof(buffer), 0)) > 0; n++)
        take(NULL, buffer, (size_t) size); // the last of a batch
    return n;
}

Test(tx_ring, datagrams_that_others_follow_wait_for_one_call)
{
    struct fixture *x = open_fixture(true);
    uint32_t serial = 0;

    for (int i = 0; i < 20; i++)
        send_batch(x, 1, &serial, true);
    cr_expect_eq(n_came, 0);
    cr_expect(egress_waits(&x->e));
    egress_flush(&x->e);
    cr_expect_eq(n_calls, 1);
    cr_expect_eq(read_socket(x), 0);
    cr_expect_eq(n_came, 20);
    for (uint32_t i = 0; i < 20; i++)
        cr_expect_eq(came[i], i);
    cr_expect_eq(x->counters.packets, 20);
    cr_expect_eq(x->counters.bytes, 2000);
    cr_expect(!egress_waits(&x->e));
    close_fixture(x);
}

Test(tx_ring, of_one_output_no_more_than_its_burst_leave_by_one_call)
{
    struct fixture *x = open_fixture(true);
    uint32_t serial = 0;

    ((struct table_output *) x->view.outputs)[0].burst = 3;
    for (int i = 0; i < 7; i++)
        send_batch(x, 1, &serial, true);
    cr_expect_eq(n_calls, 2);
    cr_expect_eq(n_came, 6);
    egress_flush(&x->e);
    cr_expect_eq(n_calls, 3);
    cr_expect_eq(n_came, 7);
    cr_expect_eq(x->counters.largest_run, 3);
    close_fixture(x);
}

Test(tx_ring, one_that_nobody_follows_leaves_at_once)
{
    struct fixture *x = open_fixture(true);
    uint32_t serial = 0;

    send_batch(x, 1, &serial, false);
    cr_expect(!egress_waits(&x->e));
    cr_expect_eq(read_socket(x), 1);
    cr_expect_eq(n_calls, 0);
    close_fixture(x);
}

Test(tx_ring, what_came_before_a_batch_leaves_before_it)
{
    struct fixture *x = open_fixture(true);
    uint32_t serial = 0;

    send_batch(x, 1, &serial, true);
    send_batch(x, 1, &serial, true);
    send_batch(x, 5, &serial, true);
    cr_expect_eq(n_came, 2, "before the batch, which waits in the socket");
    cr_expect_eq(read_socket(x), 1);
    send_batch(x, 1, &serial, true);
    egress_flush(&x->e);
    cr_expect_eq(n_came, 4);
    cr_expect_eq(x->counters.packets, 8);
    close_fixture(x);
}

Test(tx_ring, without_gso_a_batch_leaves_by_one_call)
{
    struct fixture *x = open_fixture(false);
    uint32_t serial = 0;

    send_batch(x, 40, &serial, false);
    egress_flush(&x->e);
    cr_expect_eq(n_calls, 1);
    cr_expect_eq(read_socket(x), 0);
    cr_expect_eq(n_came, 40);
    cr_expect_eq(x->counters.packets, 40);
    close_fixture(x);
}

// A kernel that takes no super-frames, or nothing at all.
static bool all_refused;
static uint32_t n_taken;

static ssize_t refuse_gso(struct egress *e, const struct table_output *o, const struct iovec *iov, int n)
{
    struct virtio_net_hdr v;

    (void) e;
    (void) o;
    memcpy(&v, iov[0].iov_base, sizeof(v));
    if (v.gso_type != VIRTIO_NET_HDR_GSO_NONE || all_refused) {
        errno = EINVAL;
        return -1;
    }
    n_taken++;
    return n;
}

static void expect_gso_judged(bool refused, bool gso_after, uint32_t packets)
{
    struct fixture *x = open_fixture(true);
    uint32_t serial = 0;

    x->e.take = refuse_gso;
    all_refused = refused;
    send_batch(x, 10, &serial, true);
    cr_expect(!egress_waits(&x->e), "what shall prove something leaves at once");
    egress_flush(&x->e);
    cr_expect_eq(x->e.gso, gso_after);
    cr_expect_eq(n_taken, packets);
    cr_expect_eq(x->counters.packets, packets);
    cr_expect_eq(x->counters.errors, 10 - packets);
    close_fixture(x);
}

Test(tx_ring, that_gso_is_missing_is_proven_by_datagrams_that_left)
{
    expect_gso_judged(false, false, 10);
}

Test(tx_ring, and_not_by_a_socket_that_takes_nothing)
{
    expect_gso_judged(true, true, 0);
}

Test(tx_ring, what_fits_no_slot_leaves_by_itself)
{
    struct fixture *x = open_fixture(true);
    uint32_t serial = 0;
    struct batch b = {.n_datagrams = 1, .n_pieces = 1, .segment = SLOT_SIZE, .bytes = SLOT_SIZE};

    x->e.mtu = 9000;
    b.pieces[1] = (struct iovec){.iov_base = x->payload[0], .iov_len = SLOT_SIZE};
    send_batch(x, 1, &serial, true);
    egress_send(&x->e, x->view.outputs, &b, &x->counters, true);
    cr_expect_eq(n_calls, 1, "and the one before it leaves first");
    cr_expect_eq(read_socket(x), 1);
    cr_expect_eq(x->counters.packets, 2);
    close_fixture(x);
}

// The socket's other end is gone: what the ring could not send fails there, too.
Test(tx_ring, a_frame_that_cannot_leave_is_an_error_of_its_output)
{
    struct fixture *x = open_fixture(true);
    uint32_t serial = 0;

    good = 3;
    error = ENOBUFS;
    shutdown(x->ends[1], SHUT_RD);
    for (int i = 0; i < 10; i++)
        send_batch(x, 1, &serial, true);
    egress_flush(&x->e);
    cr_expect_eq(n_came, 3);
    cr_expect_eq(x->counters.packets, 3);
    cr_expect_eq(x->counters.bytes, 300);
    cr_expect_eq(x->counters.errors, 7);
    close_fixture(x);
}

// A queue that was full for a moment: the others leave by the socket, in order.
Test(tx_ring, what_the_ring_leaves_has_another_chance)
{
    struct fixture *x = open_fixture(true);
    uint32_t serial = 0;

    good = 3;
    error = ENOBUFS;
    for (int i = 0; i < 10; i++)
        send_batch(x, 1, &serial, true);
    egress_flush(&x->e);
    cr_expect_eq(read_socket(x), 7);
    for (uint32_t i = 0; i < 10; i++)
        cr_expect_eq(came[i], i);
    cr_expect_eq(x->counters.packets, 10);
    cr_expect_eq(x->counters.errors, 0);
    good = UINT32_MAX;
    send_batch(x, 1, &serial, true);
    egress_flush(&x->e);
    cr_expect_eq(n_came, 11, "the ring goes on");
    close_fixture(x);
}
