// SPDX-License-Identifier: Apache-2.0
// The mcr host: nothing in but what groups and hosts cannot be reached without, nothing through, nothing out but the
// outputs.
#include <config.h>

#include <stdbool.h>

#include "firewall/nft.h"
#include "firewall/roles.h"

static const char preface[] =
    "#\n"
    "# What this can do, and what it cannot:\n"
    "# - The relay takes datagrams in with packet sockets, which see a frame before any hook of netfilter does. No\n"
    "#   rule here decides what it takes in: the file does, and firewall 1. Then chain ingress drops the frame, so\n"
    "#   that the host's own IP stack never sees a zone's traffic.\n"
    "# - What the relay sends as frames passes no chain of table inet. Chain egress sees all that leaves, whichever\n"
    "#   socket it comes from; it needs Linux 5.16 and nftables 1.0.1. The socket option PACKET_QDISC_BYPASS would go\n"
    "#   round it: the relay's sandbox denies it.\n"
    "# - Interfaces that the file does not name, such as one for management, are left to the host's other rules.\n"
    "#   Nothing is forwarded between any two interfaces.\n"
    "# - In chain ingress a frame's VLAN tag is not among its bytes, but known as \"vlan id\". In chain egress that\n"
    "#   of the relay's frames is among them: they are matched by their bytes (@ll). A VLAN interface on top of an\n"
    "#   interface of the file gets nothing: name the VLAN interface in the file instead.\n"
    "# - ICMP is not let in: the path to an output's destination must carry what the interface carries.\n"
    "# - Table netdev needs its interfaces when it is loaded, and goes with them: load this again when one was made\n"
    "#   anew.\n"
    "\n"
    "# Interfaces on which this mcr host and a second one agree by VRRP who is active: change the name to yours.\n"
    "define vrrp = { \"lo\" }\n"
    "\n"
    "table inet mcr_host\n"
    "delete table inet mcr_host\n"
    "table netdev mcr_host\n"
    "delete table netdev mcr_host\n";

// --- interfaces ------------------------------------------------------------------------------------------------------

static bool is_named(const struct interface_use *u)
{
    (void) u;
    return true;
}

static bool is_used(const struct interface_use *u)
{
    return u->in || u->out;
}

static bool needs_igmp(const struct interface_use *u)
{
    return u->in & INTERFACE_GROUP4;
}

static bool needs_arp(const struct interface_use *u)
{
    return (u->in | u->out) & INTERFACE_HOST4;
}

static bool needs_nd(const struct interface_use *u)
{
    return (u->in | u->out) & INTERFACE_HOST6;
}

// Neighbours are asked by way of groups.
static bool needs_mld(const struct interface_use *u)
{
    return (u->in & INTERFACE_GROUP6) || needs_nd(u);
}

// The names of the interfaces that are wanted; how many.
static size_t names_of(const struct interface_uses *uses, bool (*wanted)(const struct interface_use *u),
                       const char *names[FIREWALL_INTERFACES_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < uses->n; i++)
        if (wanted(&uses->list[i]))
            names[n++] = uses->list[i].name;
    return n;
}

// A rule for the interfaces that are wanted, if there are any.
static void write_for(const struct interface_uses *uses, bool (*wanted)(const struct interface_use *u),
                      const char *condition, const char *rest, FILE *to)
{
    const char *names[FIREWALL_INTERFACES_MAX];
    size_t n = names_of(uses, wanted, names);

    if (n == 0)
        return;
    fprintf(to, "\t\t%s ", condition);
    nft_write_names(names, n, to);
    fprintf(to, " %s\n", rest);
}

// VRRP (RFC 9568): protocol 112, and the address that moves is made known by ARP.
#define VRRP(direction)                                                                                                \
    "\t\t" direction                                                                                                   \
    " $vrrp ip daddr 224.0.0.18 meta l4proto 112 counter accept\n"                                                     \
    "\t\t" direction " $vrrp ip6 daddr ff02::12 meta l4proto 112 counter accept\n"
#define VRRP_ARP "\t\toifname $vrrp " ROLES_ARP "\n"
#define VRRP_ND  "\t\toifname $vrrp " ROLES_NEIGHBOURS "\n"

static void write_needs_in(const struct interface_uses *uses, FILE *to)
{
    write_for(uses, needs_igmp, "iifname", ROLES_IGMP_QUERIES, to);
    write_for(uses, needs_mld, "iifname", ROLES_MLD_QUERIES, to);
    write_for(uses, needs_nd, "iifname", ROLES_NEIGHBOURS, to);
    fputs(VRRP("iifname"), to);
}

static void write_needs_out(const struct interface_uses *uses, FILE *to)
{
    write_for(uses, needs_igmp, "oifname", ROLES_IGMP_REPORTS, to);
    write_for(uses, needs_mld, "oifname", ROLES_MLD_REPORTS, to);
    write_for(uses, needs_nd, "oifname", ROLES_NEIGHBOURS, to);
    fputs(VRRP("oifname") VRRP_ND, to);
}

// --- table inet ------------------------------------------------------------------------------------------------------

#define FORWARD "\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n" ROLES_REST

static void write_inet(const struct flows *out, const struct interface_uses *uses, FILE *to)
{
    struct nft_set set = {.direction = "out"};

    fputs("\ntable inet mcr_host {", to);
    while (nft_next_set(out, &set))
        nft_write_set(&set, to);
    // Without any interface, nothing would be left to the host's other rules.
    if (uses->n == 0) {
        fputs(FORWARD "}\n", to);
        return;
    }
    fputs("\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n", to);
    write_for(uses, is_named, "iifname !=", "accept", to);
    write_needs_in(uses, to);
    fputs(ROLES_REST FORWARD "\n\tchain output {\n\t\ttype filter hook output priority filter; policy drop;\n", to);
    write_for(uses, is_named, "oifname !=", "accept", to);
    set = (struct nft_set){.direction = "out"};
    while (nft_next_set(out, &set)) {
        fprintf(to, "\t\toifname \"%s\" ", set.first->interface);
        nft_write_match(&set, 0, to);
        fputs(" accept\n", to);
    }
    write_needs_out(uses, to);
    fputs(ROLES_REST "}\n", to);
}

// --- table netdev ----------------------------------------------------------------------------------------------------

// The drop rules of the inputs with a tag, or of those without.
static void write_inputs(const struct flows *in, bool tagged, FILE *to)
{
    struct nft_set set = {.direction = "in"};

    while (nft_next_set(in, &set)) {
        if ((set.first->vlan != 0) != tagged)
            continue;
        fprintf(to, "\t\tiifname \"%s\" ", set.first->interface);
        if (tagged)
            fprintf(to, "vlan id %u ", set.first->vlan);
        nft_write_match(&set, 0, to);
        fputs(" drop\n", to);
    }
}

static bool next_frames(const struct flows *frames, struct nft_set *set)
{
    if (!nft_next_set(frames, set))
        return false;
    set->view = set->first->vlan ? NFT_TAGGED_FRAME : NFT_PACKET;
    return true;
}

static void write_outputs(const struct flows *frames, FILE *to)
{
    struct nft_set set = {.direction = "out"};

    while (next_frames(frames, &set))
        for (unsigned i = 0; i < nft_n_matches(&set); i++) {
            fprintf(to, "\t\toifname \"%s\" ", set.first->interface);
            if (set.view == NFT_TAGGED_FRAME)
                fprintf(to, "@ll,96,16 0x8100 @ll,112,16 & 0x0fff == %u ", set.first->vlan);
            nft_write_match(&set, i, to);
            fputs(" accept\n", to);
        }
}

static void write_netdev(const struct host_flows *flows, const struct interface_uses *uses, FILE *to)
{
    const char *names[FIREWALL_INTERFACES_MAX];
    size_t n = names_of(uses, is_used, names);
    struct nft_set in = {.direction = "in"}, out = {.direction = "out"};

    if (n == 0)
        return;
    fputs("\ntable netdev mcr_host {", to);
    while (nft_next_set(&flows->in, &in))
        nft_write_set(&in, to);
    while (next_frames(&flows->frames, &out))
        nft_write_set(&out, to);

    fputs("\n\tchain tagged {\n", to);
    write_inputs(&flows->in, true, to);
    fputs(ROLES_REST "\n\tchain ingress {\n\t\ttype filter hook ingress devices = ", to);
    nft_write_names(names, n, to);
    fputs(" priority -500; policy drop;\n\t\tvlan id != 0 goto tagged\n", to);
    write_inputs(&flows->in, false, to);
    write_for(uses, needs_arp, "iifname", ROLES_ARP, to);
    write_needs_in(uses, to);

    fputs(ROLES_REST "\n\tchain egress {\n\t\ttype filter hook egress devices = ", to);
    nft_write_names(names, n, to);
    fputs(" priority filter; policy drop;\n", to);
    write_outputs(&flows->frames, to);
    write_for(uses, needs_arp, "oifname", ROLES_ARP, to);
    fputs(VRRP_ARP, to);
    write_needs_out(uses, to);
    fputs(ROLES_REST "}\n", to);
}

void host_write(const struct host_flows *flows, const struct interface_uses *uses, FILE *to)
{
    fputs(preface, to);
    write_inet(&flows->out, uses, to);
    write_netdev(flows, uses, to);
}
