// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/kernel.h"
#include "machine/feature.h"
#include "../make_table.h"
#include "fuzz.h"

// Of the types that they stand for.
__typeof__(setsockopt) __wrap_setsockopt, __real_setsockopt;
__typeof__(write) __wrap_write, __real_write;
__typeof__(writev) __wrap_writev, __real_writev;
__typeof__(nanosleep) __wrap_nanosleep;

bool machine_flapped;
void (*machine_on_segment)(int fd);
int (*machine_on_write)(void);

// --- interfaces ------------------------------------------------------------------------------------------------------

static bool called(const struct link *l, const char *name)
{
    return strncmp(l->name, name, strlen(name)) == 0;
}

// FNV-1a
static uint32_t hash(const char *name)
{
    uint32_t h = 2166136261u;

    for (; *name; name++)
        h = (h ^ (uint8_t) *name) * 16777619u;
    return h;
}

static void answer(struct link *l)
{
    uint8_t h = (uint8_t) hash(l->name);

    if (called(l, "gone") || (called(l, "flap") && machine_flapped))
        return;
    // The same name has the same index, whatever else there is.
    l->ifindex = (hash(l->name) & 0x3fffffff) + 1;
    l->up = !called(l, "down");
    l->ethernet = !called(l, "tun");
    l->mtu = 1500;
    memcpy(l->mac, (uint8_t[]){2, 0, 0, 0, 0, h}, sizeof(l->mac));
    if (called(l, "bare"))
        return;
    l->ipv4 = (struct addr){.family = ADDR_IPV4, .bytes = {198, 18, h, 1}};
    l->broadcast = (struct addr){.family = ADDR_IPV4, .bytes = {198, 18, h, 255}};
    l->ipv6 = (struct addr){.family = ADDR_IPV6, .bytes = {0x20, 0x01, 0x0d, 0xb8, [14] = h, [15] = 1}};
    l->local6 = (struct addr){.family = ADDR_IPV6, .bytes = {0xfe, 0x80, [14] = h, [15] = 1}};
    const struct addr own[] = {l->ipv6, l->ipv4, l->broadcast, l->local6}; // in order
    if ((l->own = malloc(sizeof(own)))) {
        memcpy(l->own, own, sizeof(own));
        l->n_own = sizeof(own) / sizeof(own[0]);
    }
}

static bool any_links(struct link *links, size_t n)
{
    for (size_t i = 0; i < n; i++)
        answer(&links[i]);
    return true;
}

// --- sockets ---------------------------------------------------------------------------------------------------------

// Whatever the destinations are, there is a program for them.
static void check_filter(const struct ring_filter *filter)
{
    struct sock_fprog program;

    for (int coarser = 0; coarser <= FILTER_COARSEST; coarser++) {
        FUZZ_ASSERT(filter_build(&program, filter->keys, filter->n, filter->ethernet, coarser));
        FUZZ_ASSERT(program.len >= 1 && program.len <= BPF_MAXINSNS);
        free(program.filter);
    }
}

static int any_ring_socket(const char **step)
{
    *step = "ring";
    return memfd_create("ring", MFD_CLOEXEC);
}

static bool any_ring_open(int fd, uint32_t ifindex, const struct ring_geometry *g, const struct ring_filter *filter,
                          unsigned without, bool *super_frames, const char **step)
{
    *super_frames = !(without & FEATURE_SUPER_FRAMES);
    *step = "ring";
    FUZZ_ASSERT(ifindex > 0);
    check_filter(filter);
    FUZZ_ASSERT(ftruncate(fd, (off_t) (g->n_slots / (g->block_size / g->slot_size)) * g->block_size) == 0);
    return true;
}

static bool any_ring_release(int fd)
{
    FUZZ_ASSERT(ftruncate(fd, 0) == 0);
    return true;
}

static bool any_ring_set_filter(int fd, const struct ring_filter *filter)
{
    (void) fd;
    check_filter(filter);
    return true;
}

static int any_output(enum registry_kind kind, const struct output_address *a, unsigned without, bool *gso,
                      const char **step)
{
    FUZZ_ASSERT(a->ifindex > 0);
    if (kind == REGISTRY_TX_RING) {
        int fd = memfd_create("transmit ring", MFD_CLOEXEC);
        *step = "memfd";
        FUZZ_ASSERT(fd < 0 || ftruncate(fd, (off_t) TABLE_TX_SLOTS * a->slot_size) == 0);
        return fd;
    }
    if (kind != REGISTRY_FRAME)
        FUZZ_ASSERT(a->interface[0] && a->destination.family != ADDR_NONE && a->port > 0);
    if (kind == REGISTRY_QUIET)
        FUZZ_ASSERT(addr_is_unicast(&a->destination));
    if (kind == REGISTRY_RAW_UDP)
        FUZZ_ASSERT(a->source.family == a->destination.family);
    if (kind == REGISTRY_SOCKET && a->source_port < 1024) {
        *step = "bind";
        errno = EACCES;
        return -1;
    }
    *gso = (kind == REGISTRY_FRAME && !(without & FEATURE_PACKET_GSO)) ||
           (kind == REGISTRY_SOCKET && !(without & FEATURE_UDP_GSO));
    *step = "/dev/null";
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static bool any_source(const struct output_address *a)
{
    return a->port % 2 == 0;
}

const struct machine machine_any = {
    .links = any_links,
    .ring_socket = any_ring_socket,
    .ring_open = any_ring_open,
    .ring_release = any_ring_release,
    .ring_set_filter = any_ring_set_filter,
    .open = any_output,
    .has_source = any_source,
    .join = memberships_want,
};

// Groups are joined, and datagrams given their ttl and dscp, by a yes.
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    if (level == IPPROTO_UDP && name == UDP_SEGMENT && machine_on_segment)
        machine_on_segment(fd);
    if (level == IPPROTO_IP || level == IPPROTO_IPV6 || level == IPPROTO_UDP)
        return 0;
    return __real_setsockopt(fd, level, name, value, size);
}

ssize_t __wrap_writev(int fd, const struct iovec *iov, int n)
{
    int error = machine_on_write ? machine_on_write() : 0;

    if (!error)
        return __real_writev(fd, iov, n);
    errno = error;
    return -1;
}

#define TX_RINGS 32
static struct tx_kernel tx_rings[TX_RINGS];

struct tx_kernel *machine_tx_ring(uint32_t i, uint32_t slot_size)
{
    FUZZ_ASSERT(i < TX_RINGS && (tx_rings[i].memory || tx_kernel_open(&tx_rings[i], slot_size)));
    FUZZ_ASSERT(tx_rings[i].slot_size == slot_size); // all interfaces have the same MTU
    return &tx_rings[i];
}

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    for (size_t i = 0; n == 0 && i < TX_RINGS; i++)
        if (tx_rings[i].memory && tx_rings[i].fd == fd) {
            tx_kernel_send(&tx_rings[i]);
            return 0;
        }
    return __real_write(fd, bytes, n);
}

// Nobody changes anything meanwhile.
int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left)
{
    (void) wanted;
    (void) left;
    return 0;
}

// Their names where a 32-bit machine has times of 64 bits.
__typeof__(setsockopt) __wrap___setsockopt64 __attribute__((alias("__wrap_setsockopt")));
__typeof__(nanosleep) __wrap___nanosleep64 __attribute__((alias("__wrap_nanosleep")));

// --- tables ----------------------------------------------------------------------------------------------------------

#define RULE(name, input, outputs) "{name=\"" name "\";input={" input "};outputs=(" outputs ");}"

const char *const machine_configs[] = {
    // Everything that a rule may say.
    "version=1;ring_mib=1;instance=\"fuzz\";rules=("
    "{name=\"limited\";note=\"CHG1\";max_payload=1200;input={interface=\"in0\";group=\"239.255.0.1\";port=5000;"
    "sources=[\"198.18.0.1\",\"198.18.1.0/24\"];};outputs=({interface=\"out0\";group=\"239.255.1.1\";port=6000;ttl=4;});"
    "limit={packets_per_second=1000;bits_per_second=\"1M\";burst_ms=20;};},"
    RULE("fan", "interface=\"in0\";group=\"239.255.0.2\";port=5000;",
         "{interface=\"out0\";group=\"239.255.1.2\";port=6000;ttl=\"decrement\";},"
         "{interface=\"out0\";vlan=7;group=\"ff15::2\";port=6000;dscp=46;},"
         "{interface=\"out0\";address=\"198.18.2.1\";port=6000;},"
         "{interface=\"tun0\";address=\"2001:db8::1\";port=6000;source_port=53;},"
         "{interface=\"gone0\";group=\"239.255.1.2\";port=6000;}") ","
    RULE("kept", "interface=\"in0\";group=\"239.255.0.3\";port=5000;",
         "{interface=\"out0\";group=\"239.255.1.3\";port=6000;source=\"preserve\";source_port=\"preserve\";},"
         "{interface=\"out0\";address=\"198.18.2.3\";port=6000;source=\"preserve\";ttl=\"decrement\";},"
         "{interface=\"out0\";address=\"198.18.2.4\";port=6000;source_port=\"preserve\";}") ","
    RULE("six", "interface=\"in0\";group=\"ff15::4\";port=5000;",
         "{interface=\"out0\";group=\"ff15::5\";port=6000;ttl=\"decrement\";},"
         "{interface=\"out0\";group=\"239.255.1.4\";port=6000;}") ","
    RULE("tagged", "interface=\"in0\";vlan=7;group=\"239.255.0.1\";port=5000;",
         "{interface=\"out0\";vlan=9;group=\"239.255.1.7\";port=6000;}") ","
    RULE("host", "interface=\"in0\";address=\"198.18.0.9\";port=5000;",
         "{interface=\"out0\";broadcast=true;port=6000;}") ","
    RULE("all", "interface=\"in0\";broadcast=true;port=5000;",
         "{interface=\"out0\";group=\"239.255.1.8\";port=6000;mode=\"socket\";}") ","
    RULE("bare", "interface=\"tun1\";group=\"239.255.0.1\";port=5000;",
         "{interface=\"bare0\";group=\"239.255.1.9\";port=6000;source=\"198.18.9.9\";}") ","
    RULE("range", "interface=\"in0\";group=\"239.255.8.0/31\";port=\"5000-5001\";",
         "{interface=\"out0\";group=\"239.255.9.0/31\";port=\"6000-6001\";},"
         "{interface=\"out0\";group=\"239.255.9.2\";port=\"6000-6001\";mode=\"socket\";},"
         "{interface=\"out0\";group=\"ff15::9\";port=6000;source=\"2001:db8::9\";}") ","
    "{name=\"senders\";silence_ms=1000;min_packets_per_second=10;input={interface=\"tun1\";group=\"ff15::6\";port=5000;};"
    "outputs=({interface=\"out0\";group=\"ff15::6\";port=6000;});limit={packets_per_second=50;per_source=true;};},"
    "{name=\"trial\";shadow=true;input={interface=\"in0\";group=\"239.255.0.5\";port=5000;};"
    "outputs=({interface=\"out0\";group=\"239.255.1.5\";port=6000;});});",
    // Other rules of some of the same names.
    "version=1;ring_mib=1;reload_on_change=true;coalesce_usecs=0;busy_poll=true;rules=("
    RULE("fan", "interface=\"in0\";group=\"239.255.0.2\";port=5000;",
         "{interface=\"out0\";group=\"239.255.1.2\";port=6000;},{interface=\"out1\";group=\"239.255.1.2\";port=6000;}") ","
    RULE("new", "interface=\"flap0\";group=\"239.255.0.4\";port=5000;",
         "{interface=\"out0\";group=\"239.255.1.4\";port=6000;}") ","
    RULE("range", "interface=\"in0\";group=\"239.255.8.0/30\";port=5000;",
         "{interface=\"out0\";group=\"239.255.9.0/30\";port=6000;}") ","
    "{name=\"senders\";input={interface=\"tun1\";group=\"ff15::6\";port=5000;};"
    "outputs=({interface=\"out0\";group=\"ff15::6\";port=6000;});limit={packets_per_second=60;per_source=true;};},"
    "{name=\"off\";enabled=false;input={interface=\"in0\";group=\"239.255.0.9\";port=5000;};"
    "outputs=({interface=\"out0\";group=\"239.255.1.10\";port=6000;});});",
    // None.
    "version=1;rules=();",
};
const size_t machine_n_configs = sizeof(machine_configs) / sizeof(machine_configs[0]);

const struct table_image *machine_table(size_t i)
{
    static struct table_image tables[sizeof(machine_configs) / sizeof(machine_configs[0])];
    struct table_image *t = &tables[i % machine_n_configs];

    if (!t->bytes)
        *t = make_table(machine_configs[i % machine_n_configs], &machine_any, 0, NULL);
    return t;
}
