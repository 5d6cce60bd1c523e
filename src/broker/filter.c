// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/filter.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define SNAP_ALL 0xffffffffu

// Offsets in an Ethernet frame without a tag.
enum { OFF_TYPE = 12, OFF_IP = 14, OFF_FRAGMENT = 20, OFF_PROTOCOL = 23, OFF_DESTINATION = 30, OFF_UDP_PORT = 14 + 2 };

struct assembler {
    struct sock_filter *code;
    size_t n, room;
};

static void emit(struct assembler *a, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
    // Beyond the room it only counts, so that the caller can see that the program is too long.
    if (a->n < a->room)
        a->code[a->n] = (struct sock_filter){.code = code, .jt = jt, .jf = jf, .k = k};
    a->n++;
}

static void patch_jump(struct assembler *a, size_t at)
{
    if (at < a->room)
        a->code[at].k = (uint32_t) (a->n - at - 1);
}

static void emit_return(struct assembler *a, bool accept)
{
    emit(a, BPF_RET | BPF_K, accept ? SNAP_ALL : 0, 0, 0);
}

// if (A == value) fall through, else return 0.
static void emit_require(struct assembler *a, uint32_t value)
{
    emit(a, BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
    emit_return(a, false);
}

// Ports of one address: A holds the port. keys[0..n-1] are sorted by port.
static void emit_ports(struct assembler *a, const struct filter_key *keys, size_t n)
{
    if (n == 1) {
        emit(a, BPF_JMP | BPF_JEQ | BPF_K, keys[0].port, 0, 1);
        emit_return(a, true);
        emit_return(a, false);
        return;
    }
    size_t half = n / 2;
    emit(a, BPF_JMP | BPF_JGE | BPF_K, keys[half].port, 0, 1);
    size_t jump = a->n;
    emit(a, BPF_JMP | BPF_JA, 0, 0, 0);
    emit_ports(a, keys, half);
    patch_jump(a, jump);
    emit_ports(a, keys + half, n - half);
}

// The first key behind keys[at] with another address.
static size_t next_address(const struct filter_key *keys, size_t n, size_t at)
{
    size_t i = at;

    while (i < n && keys[i].address == keys[at].address)
        i++;
    return i;
}

// The start of an address near the middle of keys, greater than 0; 0 when they are all of one address.
static size_t middle_address(const struct filter_key *keys, size_t n)
{
    size_t at = n / 2;

    while (at > 0 && keys[at - 1].address == keys[at].address)
        at--;
    if (at == 0)
        at = next_address(keys, n, 0);
    return at < n ? at : 0;
}

// Binary search: A holds the destination address, X the length of the IP header, M[0] is 1 for a fragment.
static void emit_addresses(struct assembler *a, const struct filter_key *keys, size_t n, bool ports)
{
    size_t middle = middle_address(keys, n);

    if (middle != 0) {
        emit(a, BPF_JMP | BPF_JGE | BPF_K, keys[middle].address, 0, 1);
        size_t jump = a->n;
        emit(a, BPF_JMP | BPF_JA, 0, 0, 0);
        emit_addresses(a, keys, middle, ports);
        patch_jump(a, jump);
        emit_addresses(a, keys + middle, n - middle, ports);
        return;
    }
    emit_require(a, keys[0].address);
    if (!ports) {
        emit_return(a, true);
        return;
    }
    emit(a, BPF_LD | BPF_MEM, 0, 0, 0);
    emit(a, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
    emit_return(a, true);
    emit(a, BPF_LD | BPF_H | BPF_IND, OFF_UDP_PORT, 0, 0);
    emit_ports(a, keys, n);
}

static void emit_program(struct assembler *a, const struct filter_key *keys, size_t n, bool ports, bool addresses)
{
    a->n = 0;
    if (n == 0) {
        emit_return(a, false);
        return;
    }
    emit(a, BPF_LD | BPF_H | BPF_ABS, OFF_TYPE, 0, 0);
    emit_require(a, ETH_P_IP);
    emit(a, BPF_LD | BPF_B | BPF_ABS, OFF_PROTOCOL, 0, 0);
    emit_require(a, IPPROTO_UDP);
    // M[0] = more fragments or an offset
    emit(a, BPF_LD | BPF_H | BPF_ABS, OFF_FRAGMENT, 0, 0);
    emit(a, BPF_ALU | BPF_AND | BPF_K, 0x3fff, 0, 0);
    emit(a, BPF_ST, 0, 0, 0);
    emit(a, BPF_LDX | BPF_B | BPF_MSH, OFF_IP, 0, 0);
    emit(a, BPF_LD | BPF_W | BPF_ABS, OFF_DESTINATION, 0, 0);
    if (addresses) {
        emit_addresses(a, keys, n, ports);
        return;
    }
    emit(a, BPF_JMP | BPF_JGE | BPF_K, keys[0].address, 1, 0);
    emit_return(a, false);
    emit(a, BPF_JMP | BPF_JGT | BPF_K, keys[n - 1].address, 0, 1);
    emit_return(a, false);
    emit_return(a, true);
}

static int by_address_and_port(const void *x, const void *y)
{
    const struct filter_key *a = x, *b = y;

    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    return (a->port > b->port) - (a->port < b->port);
}

static size_t without_repeats(struct filter_key *keys, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (kept == 0 || by_address_and_port(&keys[kept - 1], &keys[i]) != 0)
            keys[kept++] = keys[i];
    return kept;
}

bool filter_build(struct sock_fprog *program, struct filter_key *keys, size_t n)
{
    struct assembler a = {.room = BPF_MAXINSNS};

    a.code = calloc(BPF_MAXINSNS, sizeof(*a.code));
    if (!a.code)
        return false;
    if (n > 0)
        qsort(keys, n, sizeof(*keys), by_address_and_port);
    n = without_repeats(keys, n);
    emit_program(&a, keys, n, true, true);
    if (a.n > a.room)
        emit_program(&a, keys, n, false, true);
    if (a.n > a.room)
        emit_program(&a, keys, n, false, false);
    program->filter = a.code;
    program->len = (unsigned short) a.n;
    return true;
}
