// SPDX-License-Identifier: Apache-2.0
// The firewalls on either side of the mcr host: one direction, the file's flows, nothing else. A routing firewall
// forwards through table inet, a bridging (transparent) one through table bridge.
#include <config.h>

#include <net/if.h>
#include <stdbool.h>
#include <string.h>

#include "firewall/nft.h"
#include "firewall/roles.h"

static const char upstream_preface[] =
    "#\n"
    "# Firewall 1, between the source zone and the mcr host: only the inputs of the file pass, towards the mcr host.\n";

static const char downstream_preface[] =
    "#\n"
    "# Firewall 2, between the mcr host and the destination zone: only the outputs of the file pass, away from the "
    "mcr\n"
    "# host. An output whose source is the interface's own address passes with any: give the address in the file.\n";

static const char common_preface[] =
    "#\n"
    "# - Nothing else is forwarded by this host, unless between interfaces that are named as \"other\" below. What is "
    "for\n"
    "#   this firewall itself (its management, IGMP, MLD or PIM of a multicast router) is for its own rules.\n"
    "# - A firewall that routes uses table inet. Multicast routing must carry the groups (smcroute, pimd, ...); it "
    "takes\n"
    "#   1 from the ttl, so that datagrams of ttl 1 end here. Broadcasts are not routed. Fragments are put together\n"
    "#   first; multicast is not tracked.\n"
    "# - A firewall that bridges uses table bridge, needs no routing and leaves the ttl alone. What the mcr host "
    "cannot\n"
    "#   do without passes too: IGMP and MLD for its groups, ARP and ND for hosts, as far as the file has such flows.\n"
    "#   Later fragments pass by their addresses. Set net.bridge.bridge-nf-call-iptables and -ip6tables to 0, else\n"
    "#   bridged datagrams also pass table inet, as if from and to the bridge.\n"
    "\n"
    "# This firewall's interfaces (bridging: ports) towards the zone and towards the mcr host, for each interface of "
    "the\n"
    "# mcr host. Change the names to yours; several are { \"a\", \"b\" }.\n";

// What differs between the two roles. Flows come from the first side.
static const struct edge {
    const char *preface, *table, *direction, *from, *to;
} edges[] = {
    [FIREWALL_UPSTREAM] = {upstream_preface, "mcr_upstream", "in", "zone", "mcr"},
    [FIREWALL_DOWNSTREAM] = {downstream_preface, "mcr_downstream", "out", "mcr", "zone"},
};

// --- names of interfaces ---------------------------------------------------------------------------------------------

static void write_define(const char *interface, unsigned number, uint16_t vlan, FILE *to)
{
    static const char *const sides[] = {"zone", "mcr"};
    char tag[NFT_TAG_MAX];

    nft_tag(vlan, tag);
    for (int i = 0; i < 2; i++)
        fprintf(to, "define %s_%s%s = \"%s%u%s\"\n", sides[i], interface, tag, sides[i], number, tag);
}

// Defines a name for each interface with flows, and for each of its tags: a router has a VLAN interface for each tag.
static void write_defines(const struct flows *flows, FILE *to)
{
    const struct flow *before = NULL;
    unsigned n = 0;

    for (size_t i = 0; i < flows->n; before = &flows->list[i++]) {
        const struct flow *f = &flows->list[i];
        bool another = !before || strcmp(before->interface, f->interface) != 0;
        if (another)
            write_define(f->interface, n++, 0, to);
        if (f->vlan && (another || before->vlan != f->vlan))
            write_define(f->interface, n - 1, f->vlan, to);
    }
    fputs(
        "# Interfaces with other duties: between them, this file lets everything pass.\n"
        "define other = { \"lo\" }\n",
        to);
}

#define WAY_MAX (2 * IFNAMSIZ + 64)

// "iifname $zone_ot0 oifname $mcr_ot0"; returns text.
static const char *way(const char *from, const char *to, const char *interface, uint16_t vlan, char text[WAY_MAX])
{
    char tag[NFT_TAG_MAX];

    nft_tag(vlan, tag);
    snprintf(text, WAY_MAX, "iifname $%s_%s%s oifname $%s_%s%s", from, interface, tag, to, interface, tag);
    return text;
}

#define OTHER "\t\tiifname $other oifname $other accept\n"

// --- table inet ------------------------------------------------------------------------------------------------------

static bool is_routed(const struct flow *f)
{
    return !f->broadcast && !f->fragment;
}

static void write_inet(const struct edge *e, const struct flows *flows, FILE *to)
{
    struct nft_set set = {.flows = flows, .direction = e->direction, .wanted = is_routed};
    char text[WAY_MAX];

    fprintf(to, "\ntable inet %s {", e->table);
    nft_write_sets(set, to);
    // A rule with ct makes the kernel reassemble fragments before this chain.
    fputs(
        "\n\tchain untracked {\n\t\ttype filter hook prerouting priority raw; policy accept;\n"
        "\t\tip daddr 224.0.0.0/4 notrack\n\t\tip6 daddr ff00::/8 notrack\n\t}\n"
        "\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n" OTHER
        "\t\tct state invalid counter drop\n",
        to);
    while (nft_next_set(&set))
        nft_write_rule(&set, way(e->from, e->to, set.first->interface, set.first->vlan, text), "accept", to);
    fputs(ROLES_REST "}\n", to);
}

// --- table bridge ----------------------------------------------------------------------------------------------------

static void write_bridged(const struct edge *e, struct nft_set set, bool tagged, FILE *to)
{
    char text[WAY_MAX];

    while (nft_next_set(&set))
        if ((set.first->vlan != 0) == tagged)
            nft_write_rule(&set, way(e->from, e->to, set.first->interface, 0, text), "accept", to);
}

// IGMP, MLD, ARP and ND, which the mcr host needs, pass between its interface and the zone in both directions.
static void write_needs(const char *interface, unsigned uses, FILE *to)
{
    static const struct {
        unsigned use;
        const char *to_mcr, *to_zone;
    } needs[] = {
        {INTERFACE_NEEDS_IGMP, ROLES_IGMP_QUERIES, ROLES_IGMP_REPORTS},
        {INTERFACE_NEEDS_MLD, ROLES_MLD_QUERIES, ROLES_MLD_REPORTS},
        {INTERFACE_NEEDS_ARP, ROLES_ARP, ROLES_ARP},
        {INTERFACE_NEEDS_ND, ROLES_NEIGHBOURS, ROLES_NEIGHBOURS},
    };
    char in[WAY_MAX], out[WAY_MAX];

    way("zone", "mcr", interface, 0, in);
    way("mcr", "zone", interface, 0, out);
    for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
        if (uses & needs[i].use)
            fprintf(to, "\t\t%s %s\n\t\t%s %s\n", in, needs[i].to_mcr, out, needs[i].to_zone);
}

static void write_bridge(const struct edge *e, const struct flows *flows, const struct interfaces *all, FILE *to)
{
    struct nft_set set = {.flows = flows, .direction = e->direction, .tags = NFT_TAGS_KNOWN};

    fprintf(to, "\ntable bridge %s {", e->table);
    nft_write_sets(set, to);
    fputs("\n\tchain tagged {\n", to);
    write_bridged(e, set, true, to);
    fputs(ROLES_REST "\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n" OTHER
                     "\t\tvlan id != 0 goto tagged\n",
          to);
    write_bridged(e, set, false, to);
    for (size_t i = 0; i < all->n; i++)
        write_needs(all->list[i].name, e == &edges[FIREWALL_UPSTREAM] ? all->list[i].in : all->list[i].out, to);
    fputs(ROLES_REST "}\n", to);
}

void edge_write(enum firewall_role role, const struct flows *flows, const struct interfaces *all, FILE *to)
{
    const struct edge *e = &edges[role];

    fputs(e->preface, to);
    fputs(common_preface, to);
    write_defines(flows, to);
    fprintf(to, "\ntable inet %s\ndelete table inet %s\ntable bridge %s\ndelete table bridge %s\n", e->table, e->table,
            e->table, e->table);
    write_inet(e, flows, to);
    write_bridge(e, flows, all, to);
}
