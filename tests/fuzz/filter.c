// SPDX-License-Identifier: Apache-2.0
// filter: machine/filter.c, judged by the kernel: whatever the destinations are, it takes the program, which lets
// through exactly the frames to one of them. The input is flags, a count of destinations, the destinations, and then
// frames.
#include <config.h>

#include "fuzz.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine/filter.h"

#define KEYS_MAX  255
#define FRAME_MAX 512

enum flags { ETHERNET = 1, DETAIL_SHIFT = 1 }; // then filter_build()'s coarser
enum key_flags { KEY_IPV6 = 1, KEY_WHOLE = 2, KEY_PORT = 4 };

// Few bytes make near neighbours; with KEY_WHOLE and KEY_PORT, anything.
static struct filter_key take_key(struct fuzz_input *in)
{
    uint8_t flags = fuzz_u8(in);
    struct filter_key k = {.address = {.family = flags & KEY_IPV6 ? ADDR_IPV6 : ADDR_IPV4, .bytes = {239, 255}}};
    size_t length = addr_length(&k.address), got;

    if (flags & KEY_WHOLE) {
        const uint8_t *bytes = fuzz_bytes(in, length, &got);
        memcpy(k.address.bytes, bytes, got);
    } else {
        k.address.bytes[length - 1 - flags / 64] = fuzz_u8(in);
    }
    k.port = (uint16_t) (flags & KEY_PORT ? fuzz_u16(in) : 5000 + (flags >> 3 & 7));
    return k;
}

// --- what must be let through ----------------------------------------------------------------------------------------

static bool wanted_address(const struct filter_key *keys, size_t n, uint8_t family, const uint8_t *address, int port)
{
    for (size_t i = 0; i < n; i++)
        if (keys[i].address.family == family &&
            memcmp(keys[i].address.bytes, address, addr_length(&keys[i].address)) == 0 &&
            (port < 0 || keys[i].port == port))
            return true;
    return false;
}

static bool has(const struct filter_key *keys, size_t n, uint8_t family)
{
    for (size_t i = 0; i < n; i++)
        if (keys[i].address.family == family)
            return true;
    return false;
}

static bool wanted_ipv4(const struct filter_key *keys, size_t n, const uint8_t *ip, size_t length, int detail)
{
    if (!has(keys, n, ADDR_IPV4) || length < 10 || ip[9] != IPPROTO_UDP)
        return false;
    if (detail == 2)
        return true;
    if (length < 20)
        return false;
    size_t port = (ip[0] & 15u) * 4u + 2;
    if (detail == 1 || (ip[6] & 0x3f) != 0 || ip[7] != 0)
        return wanted_address(keys, n, ADDR_IPV4, ip + 16, -1);
    return length >= port + 2 && wanted_address(keys, n, ADDR_IPV4, ip + 16, ip[port] << 8 | ip[port + 1]);
}

static bool wanted_ipv6(const struct filter_key *keys, size_t n, const uint8_t *ip, size_t length, int detail)
{
    if (!has(keys, n, ADDR_IPV6) || length < 7)
        return false;
    bool udp = ip[6] == IPPROTO_UDP, extended = ip[6] == 0 || ip[6] == 43 || ip[6] == 44 || ip[6] == 60;
    if (!udp && !extended)
        return false;
    if (detail == 2)
        return true;
    if (length < 40)
        return false;
    if (detail == 1 || extended)
        return wanted_address(keys, n, ADDR_IPV6, ip + 24, -1);
    return length >= 44 && wanted_address(keys, n, ADDR_IPV6, ip + 24, ip[42] << 8 | ip[43]);
}

static bool wanted(const struct filter_key *keys, size_t n, const uint8_t *frame, size_t length, bool ethernet,
                   int detail)
{
    size_t lead = ethernet ? 14 : 0;
    int type = ethernet && length >= 14 ? frame[12] << 8 | frame[13] : 0;

    if (length <= lead)
        return false;
    bool v4 = ethernet ? type == 0x0800 : frame[0] >> 4 == 4, v6 = ethernet ? type == 0x86dd : frame[0] >> 4 == 6;
    if (v4)
        return wanted_ipv4(keys, n, frame + lead, length - lead, detail);
    return v6 && wanted_ipv6(keys, n, frame + lead, length - lead, detail);
}

// --- frames ----------------------------------------------------------------------------------------------------------

// One to a destination, with a port that may be its own or near, changed here and there.
static size_t make_frame(struct fuzz_input *in, const struct filter_key *keys, size_t n, bool ethernet, uint8_t *frame)
{
    size_t lead = ethernet ? 14 : 0, got;
    uint8_t which = fuzz_u8(in), near = fuzz_u8(in);

    memset(frame, 0, FRAME_MAX);
    if (n == 0 || which >= n) {
        const uint8_t *bytes = fuzz_bytes(in, near, &got);
        memcpy(frame, bytes, got);
        return got;
    }
    const struct filter_key *k = &keys[which];
    bool v4 = k->address.family == ADDR_IPV4;
    uint8_t *ip = frame + lead, *udp = ip + (v4 ? 20 : 40);
    uint16_t port = (uint16_t) (k->port + (near & 3) - (near >> 2 & 3));
    if (ethernet)
        memcpy(frame + 12, v4 ? "\x08\x00" : "\x86\xdd", 2);
    ip[0] = v4 ? 0x45 : 0x60;
    ip[v4 ? 9 : 6] = IPPROTO_UDP;
    memcpy(ip + (v4 ? 16 : 24), k->address.bytes, addr_length(&k->address));
    udp[2] = (uint8_t) (port >> 8);
    udp[3] = (uint8_t) port;
    size_t length = (size_t) (udp - frame) + 8;
    fuzz_patch(in, frame, length);
    return near & 16 ? length - near % 16 : length;
}

// A message that the filter refuses is dropped in silence, or send() fails with EPERM.
static bool kernel_takes(const int ends[2], const uint8_t *frame, size_t length)
{
    uint8_t got[FRAME_MAX];

    (void) !send(ends[0], frame, length, MSG_DONTWAIT);
    return recv(ends[1], got, sizeof(got), MSG_DONTWAIT) == (ssize_t) length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    uint8_t flags = fuzz_u8(&in), frame[FRAME_MAX];
    bool ethernet = flags & ETHERNET;
    int detail = (flags >> DETAIL_SHIFT) % (FILTER_COARSEST + 1), ends[2];
    struct filter_key keys[KEYS_MAX], sorted[KEYS_MAX];
    struct sock_fprog program;
    size_t n = fuzz_u8(&in);

    for (size_t i = 0; i < n; i++)
        keys[i] = take_key(&in);
    memcpy(sorted, keys, n * sizeof(*keys));
    FUZZ_ASSERT(filter_build(&program, sorted, n, ethernet, detail));
    FUZZ_ASSERT(program.len >= 1 && program.len <= BPF_MAXINSNS);
    FUZZ_ASSERT(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0);
    bool attached = setsockopt(ends[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
    FUZZ_ASSERT(attached || errno == ENOMEM); // net.core.optmem_max
    while (attached && in.left > 0) {
        size_t length = make_frame(&in, keys, n, ethernet, frame);
        if (length > 0)
            FUZZ_ASSERT(kernel_takes(ends, frame, length) == wanted(keys, n, frame, length, ethernet, detail));
    }
    free(program.filter);
    close(ends[0]);
    close(ends[1]);
    return 0;
}
