// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "rig_machine.h"

#include <criterion/criterion.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "relay/state.h"
#include "rig.h"

// --- interfaces ------------------------------------------------------------------------------------------------------

static struct state {
    char name[IFNAMSIZ], word[8];
} states[16];
static size_t n_states;

void rig_link(struct rig *x, const char *name, const char *word)
{
    size_t i = 0;

    rig_tell(x, "=== %s is %s", name, word);
    while (i < n_states && strcmp(states[i].name, name) != 0)
        i++;
    cr_assert_lt(i, sizeof(states) / sizeof(states[0]));
    n_states += i == n_states;
    snprintf(states[i].name, sizeof(states[i].name), "%s", name);
    snprintf(states[i].word, sizeof(states[i].word), "%s", word);
}

static const char *state_of(const char *name)
{
    for (size_t i = 0; i < n_states; i++)
        if (strcmp(states[i].name, name) == 0)
            return states[i].word;
    return "up";
}

// "in3" has the index 103, "out3" 203.
static uint8_t number_of(const char *name)
{
    return (uint8_t) ((name[0] == 'o' ? 200 : 100) + name[strlen(name) - 1] - '0');
}

static bool links(struct link *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t number = number_of(l[i].name);
        if (strcmp(state_of(l[i].name), "missing") == 0)
            continue;
        l[i].ifindex = number;
        l[i].up = strcmp(state_of(l[i].name), "up") == 0;
        l[i].ethernet = true;
        l[i].mtu = 1500;
        memcpy(l[i].mac, (uint8_t[]){2, 0, 0, 0, 0, number}, sizeof(l[i].mac));
        l[i].ipv4 = (struct addr){.family = ADDR_IPV4, .bytes = {198, 18, number, 1}};
        l[i].broadcast = (struct addr){.family = ADDR_IPV4, .bytes = {198, 18, number, 255}};
    }
    return true;
}

// --- sockets ---------------------------------------------------------------------------------------------------------

// What leaves by a socket for frames is read at the other end, when somebody looks.
static struct wire {
    char interface[IFNAMSIZ];
    int fd;
    ino_t inode; // of the sender's end
    int error;   // of each datagram; 0: none
} wires[64];
static size_t n_wires;

static int ring_socket_of_file(const char **step)
{
    *step = "ring";
    return memfd_create("ring", MFD_CLOEXEC);
}

static bool ring_of_file(int fd, uint32_t ifindex, const struct ring_geometry *g, const struct ring_filter *filter,
                         unsigned without, bool *super_frames, const char **step)
{
    (void) ifindex, (void) filter, (void) without;
    *super_frames = false;
    *step = "ring";
    return ftruncate(fd, (off_t) (g->n_slots / (g->block_size / g->slot_size)) * g->block_size) == 0;
}

// A relay may still have it mapped.
static bool release_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 &&
           (st.st_size == 0 || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, st.st_size) == 0);
}

static bool any_filter(int fd, const struct ring_filter *filter)
{
    (void) fd, (void) filter;
    return true;
}

static int open_wire(enum registry_kind kind, const struct output_address *a, unsigned without, bool *gso,
                     const char **step)
{
    struct stat st;
    int ends[2];

    (void) without;
    *gso = false;
    *step = "socket";
    if (kind != REGISTRY_FRAME)
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    cr_assert(n_wires < sizeof(wires) / sizeof(wires[0]) &&
              socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0 && fstat(ends[0], &st) == 0);
    // Room for what comes between two looks.
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &(int){1 << 20}, sizeof(int));
    struct wire *w = &wires[n_wires++];
    *w = (struct wire){.fd = ends[1], .inode = st.st_ino};
    // Of a frame the address says the index alone.
    snprintf(w->interface, sizeof(w->interface), "%s%u", a->ifindex >= 200 ? "out" : "in", a->ifindex % 100);
    return ends[0];
}

static bool any_source(const struct output_address *a)
{
    (void) a;
    return true;
}

static bool joined(struct memberships *m, uint32_t ifindex, const struct addr *group, const struct addr *source,
                   bool again)
{
    (void) m, (void) ifindex, (void) group, (void) source, (void) again;
    return true;
}

const struct machine rig_machine = {
    .links = links,
    .ring_socket = ring_socket_of_file,
    .ring_open = ring_of_file,
    .ring_release = release_file,
    .ring_set_filter = any_filter,
    .open = open_wire,
    .has_source = any_source,
    .join = joined,
};

void rig_refuse(struct rig *x, const char *interface, int error)
{
    rig_tell(x, "=== %s %s", interface, error ? strerror(error) : "takes all");
    for (size_t i = 0; i < n_wires; i++)
        if (strcmp(wires[i].interface, interface) == 0)
            wires[i].error = error;
}

__typeof__(writev) __wrap_writev, __real_writev;

ssize_t __wrap_writev(int fd, const struct iovec *iov, int n)
{
    struct stat st;

    for (size_t i = 0; i < n_wires; i++)
        if (wires[i].error && fstat(fd, &st) == 0 && st.st_ino == wires[i].inode) {
            errno = wires[i].error;
            return -1;
        }
    return __real_writev(fd, iov, n);
}

// --- in place of the machine's own ---

bool rig_rings;

// Every user and group is there.
__typeof__(getpwnam) __wrap_getpwnam, __real_getpwnam;
__typeof__(getgrnam) __wrap_getgrnam, __real_getgrnam;

struct passwd *__wrap_getpwnam(const char *name)
{
    static struct passwd anybody;

    return rig_rings ? &anybody : __real_getpwnam(name);
}

struct group *__wrap_getgrnam(const char *name)
{
    static struct group any;

    return rig_rings ? &any : __real_getgrnam(name);
}

__typeof__(ring_socket) __wrap_ring_socket, __real_ring_socket;
__typeof__(ring_verify) __wrap_ring_verify, __real_ring_verify;

int __wrap_ring_socket(const char **step)
{
    return rig_rings ? rig_machine.ring_socket(step) : __real_ring_socket(step);
}

bool __wrap_ring_verify(int fd, int own, uint32_t ifindex, const struct ring_geometry *g, bool super_frames,
                        const char **why)
{
    return rig_rings || __real_ring_verify(fd, own, ifindex, g, super_frames, why);
}

// --- datagrams -------------------------------------------------------------------------------------------------------

static void describe(char line[256], const char *interface, const uint8_t *sent, size_t size)
{
    // Behind what the kernel takes off.
    const uint8_t *frame = sent + sizeof(struct virtio_net_hdr);
    const uint8_t *ip = frame + 14, *udp = ip + 20;
    int n = 0;

    size -= sizeof(struct virtio_net_hdr);
    if (size < 42 || frame[12] != 8 || frame[13] != 0) {
        snprintf(line, 256, "%.15s: %zu bytes", interface, size);
        return;
    }
    n = snprintf(line, 256, "%.15s: %u.%u.%u.%u:%u to %u.%u.%u.%u:%u ttl %u tos %u \"", interface, ip[12], ip[13],
                 ip[14], ip[15], udp[0] << 8 | udp[1], ip[16], ip[17], ip[18], ip[19], udp[2] << 8 | udp[3], ip[8],
                 ip[1]);
    for (size_t i = 42; i < size && i < 42 + 24; i++)
        n += snprintf(line + n, 256 - (size_t) n, isprint(frame[i]) ? "%c" : "\\%02x", frame[i]);
    snprintf(line + n, 256 - (size_t) n, "\" %zu", size - 42);
}

void rig_machine_say(FILE *to)
{
    for (size_t i = 0; i < n_wires; i++) {
        uint8_t frame[2048];
        char line[256], before[256] = "";
        unsigned times = 0;
        ssize_t n;
        while ((n = recv(wires[i].fd, frame, sizeof(frame), MSG_DONTWAIT)) > 0) {
            describe(line, wires[i].interface, frame, (size_t) n);
            if (times > 0 && strcmp(line, before) != 0) {
                fprintf(to, "  > %s, %u times\n", before, times);
                times = 0;
            }
            strcpy(before, line);
            times++;
        }
        if (times > 0)
            fprintf(to, "  > %s, %u times\n", before, times);
    }
}

static void put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t) (value >> 8);
    at[1] = (uint8_t) value;
}

static struct ingress *ring_on(struct relay *r, const char *interface)
{
    for (size_t i = 0; i < r->swap.n_rings; i++)
        if (strcmp(relay_table(r)->interfaces[r->swap.rings[i]->interface].name, interface) == 0)
            return r->swap.rings[i];
    cr_assert(false, "no ring on %s", interface);
    return NULL;
}

#define AT 96u // of the frame in its slot

void rig_machine_frame(struct relay *r, const char *interface, const uint8_t *frame, size_t size, uint64_t stamp_ns,
                       const struct rig_slot *how)
{
    const struct ingress *in = ring_on(r, interface);
    uint32_t number = in->head;
    struct tpacket2_hdr h;
    uint8_t *slot;

    do {
        slot = in->ring + (size_t) (number / in->slots_per_block) * in->block_size +
               (size_t) (number % in->slots_per_block) * in->slot_size;
        memcpy(&h, slot, sizeof(h));
        number = (number + 1) % in->n_slots;
    } while (h.tp_status != TP_STATUS_KERNEL);
    struct sockaddr_ll from = {.sll_pkttype = how->kind};

    cr_assert_leq(AT + size, in->slot_size);
    h = (struct tpacket2_hdr){.tp_status = TP_STATUS_USER | how->status,
                              .tp_len = (uint32_t) size + how->cut,
                              .tp_snaplen = (uint32_t) size,
                              .tp_mac = how->mac ? how->mac : AT,
                              .tp_net = AT + 14,
                              .tp_sec = (uint32_t) (stamp_ns / NS_PER_S),
                              .tp_nsec = (uint32_t) (stamp_ns % NS_PER_S),
                              .tp_vlan_tci = how->tci,
                              .tp_vlan_tpid = how->tpid};
    memcpy(slot + AT, frame, size);
    memcpy(slot + TPACKET_ALIGN(sizeof(h)), &from, sizeof(from));
    memcpy(slot, &h, sizeof(h));
}

size_t rig_machine_udp(uint8_t *frame, uint8_t group, uint8_t host, const void *payload, size_t size)
{
    uint8_t *ip = frame + 14;
    size_t length = 28 + size;

    memset(frame, 0, 14 + 28);
    memcpy(frame + 12, "\x08\x00", 2);
    ip[0] = 0x45;
    put16(ip + 2, length);
    ip[8] = 64;
    ip[9] = IPPROTO_UDP;
    memcpy(ip + 12, (uint8_t[]){198, 18, 0, host}, 4);
    memcpy(ip + 16, (uint8_t[]){239, 255, 0, group}, 4);
    put16(ip + 20, 40000);
    put16(ip + 22, 5000);
    put16(ip + 24, length - 20);
    memcpy(ip + 28, payload, size);
    rig_machine_sign(frame);
    return 14 + length;
}

void rig_machine_sign(uint8_t *frame)
{
    uint8_t *ip = frame + 14;

    memset(ip + 10, 0, 2);
    uint16_t sum = (uint16_t) ~packet_sum(0, ip, 20);
    memcpy(ip + 10, &sum, 2);
}

void rig_machine_end(FILE *to)
{
    char byte;

    for (size_t i = 0; i < n_wires; i++) {
        // The other end is gone, or it is still open somewhere.
        if (recv(wires[i].fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN && send(wires[i].fd, "", 1, 0) == 1)
            fprintf(to, "still open: %s\n", wires[i].interface);
        close(wires[i].fd);
    }
    n_wires = n_states = 0;
}
