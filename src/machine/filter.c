// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/filter.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define SNAP_ALL 0xffffffffu

// Offsets in an Ethernet frame without a tag, and in an IP packet.
enum { ETH_TYPE = 12, ETH_SIZE = 14 };
enum { IP4_FRAGMENT = 6, IP4_PROTOCOL = 9, IP4_DESTINATION = 16 };
enum { IP6_NEXT = 6, IP6_DESTINATION = 24, IP6_SIZE = 40 };
enum { UDP_PORT = 2 };

// How exact a program is.
enum detail { PORTS, ADDRESSES, PROTOCOL };

struct assembler {
    struct sock_filter *code;
    size_t n, room;
    uint32_t ip; // offset of the IP header
    enum detail detail;
};

static void emit(struct assembler *a, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
    // Without room it only counts, so that filter_build() detects that the program is too long.
    if (a->n < a->room)
        a->code[a->n] = (struct sock_filter){.code = code, .jt = jt, .jf = jf, .k = k};
    a->n++;
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

// if (A >= value) jump to where land() is called. It needs BPF_JA, because conditional jumps reach 255 instructions at
// most.
static size_t emit_jump_if_at_least(struct assembler *a, uint32_t value)
{
    emit(a, BPF_JMP | BPF_JGE | BPF_K, value, 0, 1);
    emit(a, BPF_JMP | BPF_JA, 0, 0, 0);
    return a->n - 1;
}

static void land(struct assembler *a, size_t jump)
{
    if (jump < a->room)
        a->code[jump].k = (uint32_t) (a->n - jump - 1);
}

// Returns word i (32 bits) of an address in host order.
static uint32_t word(const struct filter_key *k, size_t i)
{
    uint32_t w;

    memcpy(&w, k->address.bytes + 4 * i, sizeof(w));
    return ntohl(w);
}

static size_t words(const struct filter_key *k)
{
    return addr_length(&k->address) / 4;
}

// Checks the port in A against the keys of one address, sorted by port, with a binary search.
static void emit_ports(struct assembler *a, const struct filter_key *keys, size_t n)
{
    if (n == 1) {
        emit_require(a, keys[0].port);
        emit_return(a, true);
        return;
    }
    size_t half = n / 2;
    size_t jump = emit_jump_if_at_least(a, keys[half].port);
    emit_ports(a, keys, half);
    land(a, jump);
    emit_ports(a, keys + half, n - half);
}

// Continues when the address matches. M[0] is not 0 if the port cannot be checked (fragments, extension headers).
static void emit_matched(struct assembler *a, const struct filter_key *keys, size_t n)
{
    if (a->detail != PORTS) {
        emit_return(a, true);
        return;
    }
    emit(a, BPF_LD | BPF_MEM, 0, 0, 0);
    emit(a, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
    emit_return(a, true);
    if (keys[0].address.family == ADDR_IPV4)
        emit(a, BPF_LD | BPF_H | BPF_IND, a->ip + UDP_PORT, 0, 0); // X: length of the IP header
    else
        emit(a, BPF_LD | BPF_H | BPF_ABS, a->ip + IP6_SIZE + UDP_PORT, 0, 0);
    emit_ports(a, keys, n);
}

// Returns how many keys from the first one on have the same word i.
static size_t same_word(const struct filter_key *keys, size_t n, size_t i)
{
    size_t same = 1;

    while (same < n && word(&keys[same], i) == word(&keys[0], i))
        same++;
    return same;
}

static void emit_word(struct assembler *a, const struct filter_key *keys, size_t n, size_t i, uint32_t destination);

// Searches keys by word i of the packet, which A holds, with a binary search.
static void emit_search(struct assembler *a, const struct filter_key *keys, size_t n, size_t i, uint32_t destination)
{
    size_t first = same_word(keys, n, i), middle = n / 2;

    if (first == n) {
        emit_require(a, word(&keys[0], i));
        if (i + 1 < words(&keys[0]))
            emit_word(a, keys, n, i + 1, destination);
        else
            emit_matched(a, keys, n);
        return;
    }
    // Split at the first key of a value near the middle, but not at the first value.
    while (middle > first && word(&keys[middle - 1], i) == word(&keys[middle], i))
        middle--;
    if (middle < first)
        middle = first;
    size_t jump = emit_jump_if_at_least(a, word(&keys[middle], i));
    emit_search(a, keys, middle, i, destination);
    land(a, jump);
    emit_search(a, keys + middle, n - middle, i, destination);
}

static void emit_word(struct assembler *a, const struct filter_key *keys, size_t n, size_t i, uint32_t destination)
{
    emit(a, BPF_LD | BPF_W | BPF_ABS, destination + 4 * (uint32_t) i, 0, 0);
    emit_search(a, keys, n, i, destination);
}

static void emit_ipv4(struct assembler *a, const struct filter_key *keys, size_t n)
{
    if (n == 0) {
        emit_return(a, false);
        return;
    }
    emit(a, BPF_LD | BPF_B | BPF_ABS, a->ip + IP4_PROTOCOL, 0, 0);
    emit_require(a, IPPROTO_UDP);
    if (a->detail == PROTOCOL) {
        emit_return(a, true);
        return;
    }
    // M[0] = more fragments or an offset
    emit(a, BPF_LD | BPF_H | BPF_ABS, a->ip + IP4_FRAGMENT, 0, 0);
    emit(a, BPF_ALU | BPF_AND | BPF_K, 0x3fff, 0, 0);
    emit(a, BPF_ST, 0, 0, 0);
    emit(a, BPF_LDX | BPF_B | BPF_MSH, a->ip, 0, 0);
    emit_word(a, keys, n, 0, a->ip + IP4_DESTINATION);
}

static void emit_ipv6(struct assembler *a, const struct filter_key *keys, size_t n)
{
    if (n == 0) {
        emit_return(a, false);
        return;
    }
    // M[0] = there are extension headers, which only the relay parses
    emit(a, BPF_LD | BPF_B | BPF_ABS, a->ip + IP6_NEXT, 0, 0);
    emit(a, BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 6, 0);
    emit(a, BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_HOPOPTS, 3, 0);
    emit(a, BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ROUTING, 2, 0);
    emit(a, BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_FRAGMENT, 1, 0);
    emit(a, BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_DSTOPTS, 0, 4);
    emit(a, BPF_LD | BPF_IMM, 1, 0, 0);
    emit(a, BPF_JMP | BPF_JA, 3, 0, 0);
    emit(a, BPF_LD | BPF_IMM, 0, 0, 0); // UDP
    emit(a, BPF_JMP | BPF_JA, 1, 0, 0);
    emit_return(a, false); // none of them
    emit(a, BPF_ST, 0, 0, 0);
    if (a->detail == PROTOCOL)
        emit_return(a, true);
    else
        emit_word(a, keys, n, 0, a->ip + IP6_DESTINATION);
}

static void emit_program(struct assembler *a, const struct filter_key *keys, size_t n, bool ethernet,
                         enum detail detail)
{
    size_t n4 = 0, jump;

    while (n4 < n && keys[n4].address.family == ADDR_IPV4)
        n4++;
    a->n = 0;
    a->ip = ethernet ? ETH_SIZE : 0;
    a->detail = detail;
    if (ethernet) {
        emit(a, BPF_LD | BPF_H | BPF_ABS, ETH_TYPE, 0, 0);
        emit(a, BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 2, 0);
        emit(a, BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 2, 0);
        emit_return(a, false);
    } else {
        emit(a, BPF_LD | BPF_B | BPF_ABS, 0, 0, 0);
        emit(a, BPF_ALU | BPF_AND | BPF_K, 0xf0, 0, 0);
        emit(a, BPF_JMP | BPF_JEQ | BPF_K, 0x60, 2, 0);
        emit(a, BPF_JMP | BPF_JEQ | BPF_K, 0x40, 2, 0);
        emit_return(a, false);
    }
    emit(a, BPF_JMP | BPF_JA, 0, 0, 0);
    jump = a->n - 1;
    emit_ipv4(a, keys, n4);
    land(a, jump);
    emit_ipv6(a, keys + n4, n - n4);
}

static int compare(const void *x, const void *y)
{
    const struct filter_key *a = x, *b = y;

    int order = a->address.family - b->address.family;
    if (order == 0)
        order = memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));
    return order ? order : a->port - b->port;
}

static size_t without_repeats(struct filter_key *keys, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (kept == 0 || compare(&keys[kept - 1], &keys[i]) != 0)
            keys[kept++] = keys[i];
    return kept;
}

bool filter_build(struct sock_fprog *program, struct filter_key *keys, size_t n, bool ethernet, int coarser)
{
    struct assembler a = {.room = BPF_MAXINSNS};

    a.code = calloc(BPF_MAXINSNS, sizeof(*a.code));
    if (!a.code)
        return false;
    if (n > 0)
        qsort(keys, n, sizeof(*keys), compare);
    n = without_repeats(keys, n);
    for (enum detail detail = (enum detail) coarser; detail <= PROTOCOL; detail++) {
        emit_program(&a, keys, n, ethernet, detail);
        if (a.n <= a.room)
            break;
    }
    program->filter = a.code;
    program->len = (unsigned short) a.n;
    return true;
}
