// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "firewall/nft.h"

#include <string.h>

#define COMMENT_MAX 128 // of an element; nftables takes no longer one

// One expression for each of FLOW_SOURCE, FLOW_SOURCE_PORT, FLOW_DESTINATION, FLOW_PORT.
struct fields {
    const char *lead; // what makes them valid
    const char *names[4];
};

// As bits from the start of the frame: 14 + 4 bytes of Ethernet and tag, then 20 of IPv4 without options or 40 of IPv6.
// A fragment has its header between IPv6 and UDP.
static const struct fields packet_fields[2] = {
    {"", {"ip saddr", "udp sport", "ip daddr", "udp dport"}},
    {"", {"ip6 saddr", "udp sport", "ip6 daddr", "udp dport"}},
};
static const struct fields packet_fragment_fields[2] = {
    {"ip frag-off & 0x1fff != 0 ip protocol udp ", {"ip saddr", NULL, "ip daddr", NULL}},
    {"frag frag-off != 0 frag nexthdr udp ", {"ip6 saddr", NULL, "ip6 daddr", NULL}},
};
static const struct fields frame_fields[3] = {
    {"@ll,128,16 0x0800 @ll,144,8 0x45 @ll,216,8 17 @ll,192,16 & 0x1fff == 0 ",
     {"@ll,240,32", "@ll,304,16", "@ll,272,32", "@ll,320,16"}},
    {"@ll,128,16 0x86dd @ll,192,8 17 ", {"@ll,208,128", "@ll,464,16", "@ll,336,128", "@ll,480,16"}},
    // The first fragment.
    {"@ll,128,16 0x86dd @ll,192,8 44 @ll,464,8 17 @ll,480,16 & 0xfff8 == 0 ",
     {"@ll,208,128", "@ll,528,16", "@ll,336,128", "@ll,544,16"}},
};
static const struct fields frame_fragment_fields[2] = {
    {"@ll,128,16 0x0800 @ll,144,8 0x45 @ll,216,8 17 @ll,192,16 & 0x1fff != 0 ",
     {"@ll,240,32", NULL, "@ll,272,32", NULL}},
    {"@ll,128,16 0x86dd @ll,192,8 44 @ll,464,8 17 @ll,480,16 & 0xfff8 != 0 ",
     {"@ll,208,128", NULL, "@ll,336,128", NULL}},
};

bool nft_next_set(const struct flows *flows, struct nft_set *set)
{
    size_t i = set->first ? (size_t) (set->first - flows->list) + set->n : 0;

    if (i == flows->n)
        return false;
    set->first = &flows->list[i];
    set->n = flows_set_end(flows, i) - i;
    set->number++;
    return true;
}

static void write_set_name(const struct nft_set *set, FILE *to)
{
    fprintf(to, "%s_%s", set->direction, set->first->interface);
    if (set->first->vlan)
        fprintf(to, ".%u", set->first->vlan);
    fprintf(to, "_%u", set->number);
}

unsigned nft_n_matches(const struct nft_set *set)
{
    return set->view == NFT_TAGGED_FRAME && set->first->destination.addr.family == ADDR_IPV6 && !set->first->fragment
               ? 2
               : 1;
}

static const struct fields *fields_of(const struct nft_set *set, unsigned i)
{
    unsigned v6 = set->first->destination.addr.family == ADDR_IPV6;

    if (set->view == NFT_PACKET)
        return set->first->fragment ? &packet_fragment_fields[v6] : &packet_fields[v6];
    return set->first->fragment ? &frame_fragment_fields[v6] : &frame_fields[v6 + i];
}

static void write_concatenation(const struct nft_set *set, const struct fields *fields, FILE *to)
{
    unsigned shape = flow_shape(set->first);
    const char *between = "";

    for (unsigned i = 0; i < 4; i++)
        if (shape & (1u << i)) {
            fprintf(to, "%s%s", between, fields->names[i]);
            between = " . ";
        }
}

void nft_write_match(const struct nft_set *set, unsigned i, FILE *to)
{
    const struct fields *fields = fields_of(set, i);

    if (set->first->broadcast)
        fputs("ether daddr ff:ff:ff:ff:ff:ff meta protocol ip ", to);
    fputs(fields->lead, to);
    write_concatenation(set, fields, to);
    fputs(" @", to);
    write_set_name(set, to);
}

// --- elements --------------------------------------------------------------------------------------------------------

// As one number, of a prefix the first and the last.
static void write_raw_address(const struct addr_prefix *p, FILE *to)
{
    size_t size = addr_length(&p->addr);

    for (int last = 0; last <= (p->bits < 8 * size); last++) {
        fputs(last ? "-0x" : "0x", to);
        for (size_t i = 0; i < size; i++) {
            unsigned fixed = p->bits > 8 * i ? p->bits - 8 * (unsigned) i : 0;
            unsigned rest = fixed >= 8 ? 0 : 0xffu >> fixed;
            fprintf(to, "%02x", p->addr.bytes[i] | (last ? rest : 0));
        }
    }
}

static void write_address(const struct addr_prefix *p, enum nft_view view, FILE *to)
{
    char text[ADDR_TEXT_MAX];

    if (view == NFT_PACKET)
        fputs(addr_prefix_format(p, text), to);
    else
        write_raw_address(p, to);
}

static void write_ports(struct flow_ports p, FILE *to)
{
    fprintf(to, "%u", p.first);
    if (p.last != p.first)
        fprintf(to, "-%u", p.last);
}

// The rules of n equal flows, as far as there is room for their names.
static void write_comment(const struct flow *f, size_t n, FILE *to)
{
    size_t used = 0, left_out = 0;

    fputs(" comment \"", to);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && strcmp(f[i].rule, f[i - 1].rule) == 0)
            continue;
        size_t length = strlen(f[i].rule) + (used ? 2 : 0);
        if (left_out || used + length > COMMENT_MAX - sizeof(", 1048576 more")) {
            left_out++;
            continue;
        }
        fprintf(to, "%s%s", used ? ", " : "", f[i].rule);
        used += length;
    }
    if (left_out)
        fprintf(to, ", %zu more", left_out);
    fputc('"', to);
}

static void write_element(const struct nft_set *set, const struct flow *f, size_t n, FILE *to)
{
    unsigned shape = flow_shape(f);
    char text[ADDR_TEXT_MAX];
    const char *between = "";

    fputs("\t\t\t", to);
    for (unsigned i = 1; i <= FLOW_PORT; i <<= 1) {
        if (!(shape & i))
            continue;
        fputs(between, to);
        between = " . ";
        if (i == FLOW_SOURCE || i == FLOW_DESTINATION)
            write_address(i == FLOW_SOURCE ? &f->source : &f->destination, set->view, to);
        else
            write_ports(i == FLOW_SOURCE_PORT ? f->source_port : f->port, to);
    }
    write_comment(f, n, to);
    fputc(',', to);
    if (set->view == NFT_TAGGED_FRAME)
        fprintf(to, " # to %s", addr_prefix_format(&f->destination, text));
    fputc('\n', to);
}

void nft_write_set(const struct nft_set *set, FILE *to)
{
    fputs("\n\tset ", to);
    write_set_name(set, to);
    fputs(" {\n\t\ttypeof ", to);
    write_concatenation(set, fields_of(set, 0), to);
    fprintf(to, "\n%s\t\tcounter\n\t\telements = {\n",
            flow_shape(set->first) & FLOW_RANGED ? "\t\tflags interval\n" : "");
    for (size_t i = 0, end; i < set->n; i = end) {
        end = i + 1;
        while (end < set->n && flow_equal(&set->first[i], &set->first[end]))
            end++;
        write_element(set, &set->first[i], end - i, to);
    }
    fputs("\t\t}\n\t}\n", to);
}

// --- the rest --------------------------------------------------------------------------------------------------------

void nft_write_names(const char *const *names, size_t n, FILE *to)
{
    for (size_t i = 0; i < n; i++)
        fprintf(to, "%s\"%s\"", i ? ", " : "{ ", names[i]);
    fputs(" }", to);
}

void nft_write_text(const char *text, FILE *to)
{
    for (; *text; text++)
        fputc((unsigned char) *text < ' ' || *text == 0x7f ? '?' : *text, to);
}
