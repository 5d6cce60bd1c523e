// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "firewall/nft.h"

#include <string.h>

#define COMMENT_MAX 128 // of an element; nftables takes no longer one

// What decides how a field is named: nftables has names for it, except in a frame whose tag is among its bytes.
enum { TAGGED_FRAME = 1, FRAGMENT = 2, IPV6 = 4 };

struct view {
    unsigned of;      // sum of these
    const char *lead; // the conditions under which the names are right
    // One expression for each of FLOW_SOURCE, FLOW_SOURCE_PORT, FLOW_DESTINATION, FLOW_PORT.
    const char *names[4];
};

// "@ll,BIT,BITS" counts from the start of the frame: Ethernet and tag are 14 + 4 bytes, then IPv4 without options 20 or
// IPv6 40; a fragment of IPv6 has its header of 8 bytes before UDP.
static const struct view views[] = {
    {0, "", {"ip saddr", "udp sport", "ip daddr", "udp dport"}},
    {IPV6, "", {"ip6 saddr", "udp sport", "ip6 daddr", "udp dport"}},
    {FRAGMENT, "ip frag-off & 0x1fff != 0 ip protocol udp ", {"ip saddr", NULL, "ip daddr", NULL}},
    {FRAGMENT | IPV6, "frag frag-off != 0 frag nexthdr udp ", {"ip6 saddr", NULL, "ip6 daddr", NULL}},
    {TAGGED_FRAME,
     "@ll,128,16 0x0800 @ll,144,8 0x45 @ll,216,8 17 @ll,192,16 & 0x1fff == 0 ",
     {"@ll,240,32", "@ll,304,16", "@ll,272,32", "@ll,320,16"}},
    {TAGGED_FRAME | IPV6,
     "@ll,128,16 0x86dd @ll,192,8 17 ",
     {"@ll,208,128", "@ll,464,16", "@ll,336,128", "@ll,480,16"}},
    // The first fragment of the same. A set gets an nftables rule for each row that is of its kind.
    {TAGGED_FRAME | IPV6,
     "@ll,128,16 0x86dd @ll,192,8 44 @ll,464,8 17 @ll,480,16 & 0xfff8 == 0 ",
     {"@ll,208,128", "@ll,528,16", "@ll,336,128", "@ll,544,16"}},
    {TAGGED_FRAME | FRAGMENT,
     "@ll,128,16 0x0800 @ll,144,8 0x45 @ll,216,8 17 @ll,192,16 & 0x1fff != 0 ",
     {"@ll,240,32", NULL, "@ll,272,32", NULL}},
    {TAGGED_FRAME | FRAGMENT | IPV6,
     "@ll,128,16 0x86dd @ll,192,8 44 @ll,464,8 17 @ll,480,16 & 0xfff8 != 0 ",
     {"@ll,208,128", NULL, "@ll,336,128", NULL}},
};
#define N_VIEWS (sizeof(views) / sizeof(views[0]))

bool nft_next_set(struct nft_set *set)
{
    do {
        size_t i = set->first ? (size_t) (set->first - set->flows->list) + set->n : 0;
        if (i == set->flows->n)
            return false;
        set->first = &set->flows->list[i];
        set->n = flows_set_end(set->flows, i) - i;
        set->number++;
    } while (set->wanted && !set->wanted(set->first));
    return true;
}

const char *nft_tag(uint16_t vlan, char text[NFT_TAG_MAX])
{
    text[0] = '\0';
    if (vlan)
        snprintf(text, NFT_TAG_MAX, ".%u", vlan);
    return text;
}

static void write_set_name(const struct nft_set *set, FILE *to)
{
    char tag[NFT_TAG_MAX];

    fprintf(to, "%s_%s%s_%u", set->direction, set->first->interface, nft_tag(set->first->vlan, tag), set->number);
}

static bool is_tagged_frame(const struct nft_set *set)
{
    return set->tags == NFT_TAGS_IN_FRAMES && set->first->vlan;
}

static bool is_view_of(const struct view *v, const struct nft_set *set)
{
    return v->of == ((is_tagged_frame(set) ? TAGGED_FRAME : 0u) | (set->first->fragment ? FRAGMENT : 0u) |
                     (set->first->to.address.addr.family == ADDR_IPV6 ? IPV6 : 0u));
}

static void write_concatenation(unsigned shape, const struct view *v, FILE *to)
{
    const char *between = "";

    for (unsigned i = 0; i < 4; i++)
        if (shape & (1u << i)) {
            fprintf(to, "%s%s", between, v->names[i]);
            between = " . ";
        }
}

void nft_write_rule(const struct nft_set *set, const char *interface, const char *verdict, FILE *to)
{
    for (const struct view *v = views; v < views + N_VIEWS; v++) {
        if (!is_view_of(v, set))
            continue;
        fprintf(to, "\t\t%s ", interface);
        if (is_tagged_frame(set))
            fprintf(to, "@ll,96,16 0x8100 @ll,112,16 & 0x0fff == %u ", set->first->vlan);
        else if (set->tags == NFT_TAGS_KNOWN && set->first->vlan)
            fprintf(to, "vlan id %u ", set->first->vlan);
        if (set->first->broadcast)
            fputs("ether daddr ff:ff:ff:ff:ff:ff meta protocol ip ", to);
        fputs(v->lead, to);
        write_concatenation(set->first->shape, v, to);
        fputs(" @", to);
        write_set_name(set, to);
        fprintf(to, " %s\n", verdict);
    }
}

// --- elements --------------------------------------------------------------------------------------------------------

// An address as one hexadecimal number; a prefix as its first and last address.
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

static void write_ports(const struct flow_end *e, FILE *to)
{
    fprintf(to, "%u", e->first);
    if (e->last != e->first)
        fprintf(to, "-%u", e->last);
}

// Names the rules of n equal flows; "N more" stands for those that have no room.
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
    char text[ADDR_TEXT_MAX];
    const char *between = "\t\t\t";

    for (unsigned i = 0; i < 4; i++) {
        const struct flow_end *e = i < 2 ? &f->from : &f->to;
        if (!(f->shape & (1u << i)))
            continue;
        fputs(between, to);
        between = " . ";
        if (i % 2 == 1)
            write_ports(e, to);
        else if (is_tagged_frame(set))
            write_raw_address(&e->address, to);
        else
            fputs(addr_prefix_format(&e->address, text), to);
    }
    write_comment(f, n, to);
    fputc(',', to);
    if (is_tagged_frame(set))
        fprintf(to, " # to %s", addr_prefix_format(&f->to.address, text));
    fputc('\n', to);
}

void nft_write_sets(struct nft_set set, FILE *to)
{
    while (nft_next_set(&set)) {
        const struct view *v = views;
        while (!is_view_of(v, &set))
            v++;
        fputs("\n\tset ", to);
        write_set_name(&set, to);
        fputs(" {\n\t\ttypeof ", to);
        write_concatenation(set.first->shape, v, to);
        fprintf(to, "\n%s\t\tcounter\n\t\telements = {\n",
                set.first->shape & FLOW_RANGED ? "\t\tflags interval\n" : "");
        for (size_t i = 0, end; i < set.n; i = end) {
            end = i + 1;
            while (end < set.n && flow_equal(&set.first[i], &set.first[end]))
                end++;
            write_element(&set, &set.first[i], end - i, to);
        }
        fputs("\t\t}\n\t}\n", to);
    }
}
