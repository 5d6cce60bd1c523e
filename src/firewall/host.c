// SPDX-License-Identifier: Apache-2.0
// The mcr host: nothing in but what groups and hosts cannot be reached without, nothing through, nothing out but the
// outputs.
#include <config.h>

#include <net/if.h>
#include <stdbool.h>

#include "firewall/nft.h"
#include "firewall/roles.h"

static const char preface[] =
    "#\n"
    "# WARNING: this closes the interfaces of the file to all but its flows, ssh included. Come by another interface,\n"
    "# or name yours in \"define manage\" below. The first command takes it back in 5 minutes, the second keeps it:\n"
    "#   systemd-run --on-active=5min --unit=mcr-nft-undo \\\n"
    "#     nft 'delete table inet mcr_host; delete table netdev mcr_host'\n"
    "#   systemctl stop mcr-nft-undo.timer\n"
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
    "# Interfaces of the file by which this host is managed: besides the flows, they are left to the host's other\n"
    "# rules, in and out, for the relay too. No interface can have the name that stands here.\n"
    "define manage = { \"no/interface\" }\n"
    "\n"
    "table inet mcr_host\n"
    "delete table inet mcr_host\n"
    "table netdev mcr_host\n"
    "delete table netdev mcr_host\n";

// --- interfaces ------------------------------------------------------------------------------------------------------

// { "a", "b" }: those that have one of these uses.
static void write_names(const struct interfaces *all, unsigned uses, FILE *to)
{
    const char *between = "{ ";

    for (size_t i = 0; i < all->n; i++)
        if ((all->list[i].in | all->list[i].out) & uses) {
            fprintf(to, "%s\"%s\"", between, all->list[i].name);
            between = ", ";
        }
    fputs(" }", to);
}

// A rule for them, if there are any.
static void write_for(const struct interfaces *all, unsigned uses, const char *condition, const char *rest, FILE *to)
{
    if (!(all->uses & uses))
        return;
    fprintf(to, "\t\t%s ", condition);
    write_names(all, uses, to);
    fprintf(to, " %s\n", rest);
}

// Lets pass what the flows need in one direction, except ARP. VRRP is IP protocol 112 (RFC 9568), and announces the
// address that moves by ARP and ND.
static void write_needs(const struct interfaces *all, bool in, FILE *to)
{
    const char *side = in ? "iifname" : "oifname";

    write_for(all, INTERFACE_NEEDS_IGMP, side, in ? ROLES_IGMP_QUERIES : ROLES_IGMP_REPORTS, to);
    write_for(all, INTERFACE_NEEDS_MLD, side, in ? ROLES_MLD_QUERIES : ROLES_MLD_REPORTS, to);
    write_for(all, INTERFACE_NEEDS_ND, side, ROLES_NEIGHBOURS, to);
    fprintf(to, "\t\t%s $vrrp ip daddr 224.0.0.18 meta l4proto 112 counter accept\n", side);
    fprintf(to, "\t\t%s $vrrp ip6 daddr ff02::12 meta l4proto 112 counter accept\n", side);
    fprintf(to, "\t\t%s $manage counter accept\n", side);
    if (!in)
        fputs("\t\toifname $vrrp " ROLES_NEIGHBOURS "\n", to);
}

static void write_rule(const struct nft_set *set, const char *side, const char *verdict, FILE *to)
{
    char interface[IFNAMSIZ + 16];

    snprintf(interface, sizeof(interface), "%s \"%s\"", side, set->first->interface);
    nft_write_rule(set, interface, verdict, to);
}

// --- table inet ------------------------------------------------------------------------------------------------------

#define FORWARD "\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n" ROLES_REST

static void write_inet(struct nft_set out, const struct interfaces *all, FILE *to)
{
    fputs("\ntable inet mcr_host {", to);
    nft_write_sets(out, to);
    // A chain input or output without an interface would drop everything of the host.
    if (all->n == 0) {
        fputs(FORWARD "}\n", to);
        return;
    }
    fputs("\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n", to);
    write_for(all, INTERFACE_NAMED, "iifname !=", "accept", to);
    write_needs(all, true, to);
    fputs(ROLES_REST FORWARD "\n\tchain output {\n\t\ttype filter hook output priority filter; policy drop;\n", to);
    write_for(all, INTERFACE_NAMED, "oifname !=", "accept", to);
    while (nft_next_set(&out))
        write_rule(&out, "oifname", "accept", to);
    write_needs(all, false, to);
    fputs(ROLES_REST "}\n", to);
}

// --- table netdev ----------------------------------------------------------------------------------------------------

// Writes the rules that drop what the relay takes in: those of tagged or of untagged inputs.
static void write_inputs(struct nft_set in, bool tagged, FILE *to)
{
    while (nft_next_set(&in))
        if ((in.first->vlan != 0) == tagged)
            write_rule(&in, "iifname", "drop", to);
}

static void write_netdev(struct nft_set in, struct nft_set out, const struct interfaces *all, FILE *to)
{
    if (!(all->uses & INTERFACE_USED))
        return;
    fputs("\ntable netdev mcr_host {", to);
    nft_write_sets(in, to);
    nft_write_sets(out, to);

    fputs("\n\tchain tagged {\n", to);
    write_inputs(in, true, to);
    fputs(ROLES_REST "\n\tchain ingress {\n\t\ttype filter hook ingress devices = ", to);
    write_names(all, INTERFACE_USED, to);
    fputs(" priority -500; policy drop;\n\t\tvlan id != 0 goto tagged\n", to);
    write_inputs(in, false, to);
    write_for(all, INTERFACE_NEEDS_ARP, "iifname", ROLES_ARP, to);
    write_needs(all, true, to);

    fputs(ROLES_REST "\n\tchain egress {\n\t\ttype filter hook egress devices = ", to);
    write_names(all, INTERFACE_USED, to);
    fputs(" priority filter; policy drop;\n", to);
    while (nft_next_set(&out))
        write_rule(&out, "oifname", "accept", to);
    write_for(all, INTERFACE_NEEDS_ARP, "oifname", ROLES_ARP, to);
    fputs("\t\toifname $vrrp " ROLES_ARP "\n", to);
    write_needs(all, false, to);
    fputs(ROLES_REST "}\n", to);
}

void host_write(const struct flows *in, const struct flows *out, const struct flows *frames,
                const struct interfaces *all, FILE *to)
{
    struct nft_set in_set = {.flows = in, .direction = "in", .tags = NFT_TAGS_KNOWN};
    struct nft_set out_set = {.flows = out, .direction = "out"};
    struct nft_set frame_set = {.flows = frames, .direction = "out", .tags = NFT_TAGS_IN_FRAMES};

    fputs(preface, to);
    write_inet(out_set, all, to);
    write_netdev(in_set, frame_set, all, to);
}
