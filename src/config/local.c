// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/local.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/port.h"

// --- interfaces ------------------------------------------------------------------------------------------------------

// The interface that has this address, or NULL; `preferred` if it is one of several (link-local ones are).
static const char *owner_of(const struct local *local, const struct addr *a, const char *preferred)
{
    const char *owner = NULL;

    for (size_t i = 0; i < local->n; i++)
        if (addr_equal(&local->list[i].net.addr, a) && (!owner || strcmp(local->list[i].interface, preferred) == 0))
            owner = local->list[i].interface;
    return owner;
}

const char *local_interface_hint(const struct local *local, const char *name, char text[LOCAL_HINT_MAX])
{
    struct if_nameindex *all = if_nameindex();
    struct addr address;

    text[0] = '\0';
    for (size_t i = 0; all && all[i].if_index != 0; i++)
        if (strcasecmp(all[i].if_name, name) == 0)
            snprintf(text, LOCAL_HINT_MAX, " (did you mean \"%s\"?)", all[i].if_name);
    if_freenameindex(all);
    if (addr_parse(name, &address)) {
        const char *owner = owner_of(local, &address, "");
        snprintf(text, LOCAL_HINT_MAX, " (it is an address%s%s%s: write the name of the interface)",
                 owner ? " of \"" : "", owner ? owner : "", owner ? "\"" : "");
    }
    return text;
}

// --- addresses -------------------------------------------------------------------------------------------------------

struct check {
    const struct local *local;
    const struct config_rule *rule;
    struct config_problems *problems;
    bool reject_missing;
};

static bool is_link_local(const struct addr *a)
{
    return a->family == ADDR_IPV6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

// The first address of this family that the interface has, or NULL.
static const struct addr *address_of(const struct local *local, const char *interface, uint8_t family)
{
    for (size_t i = 0; i < local->n; i++)
        if (strcmp(local->list[i].interface, interface) == 0 && local->list[i].net.addr.family == family &&
            !is_link_local(&local->list[i].net.addr))
            return &local->list[i].net.addr;
    return NULL;
}

// "name an address of "ot0", such as 192.0.2.1"; returns text.
static const char *advise(const struct local *local, const char *interface, uint8_t family, char text[128])
{
    const struct addr *own = address_of(local, interface, family);
    char shown[ADDR_TEXT_MAX] = "";

    snprintf(text, 128, "name an address of \"%s\"%s%s", interface, own ? ", such as " : "",
             own ? addr_format(own, shown) : "");
    return text;
}

// Whether it is the broadcast of a subnet of the interface (RFC 919). Subnets of 31 and 32 bits have none (RFC 3021).
static bool is_broadcast_of(const struct local *local, const char *interface, const struct addr *a)
{
    for (size_t i = 0; i < local->n; i++) {
        const struct addr_prefix *net = &local->list[i].net;
        struct addr after = addr_after(a, 1);
        if (a->family == ADDR_IPV4 && net->bits < 31 && !local->list[i].to_one &&
            strcmp(local->list[i].interface, interface) == 0 && addr_prefix_contains(net, a) &&
            !addr_prefix_contains(net, &after))
            return true;
    }
    return false;
}

// The subnet of the interface whose first address it is, which seldom is a host's; else NULL. IPv4 alone: in IPv6 it is
// an address of routers (RFC 4291, section 2.6.1).
static const struct addr_prefix *network_of(const struct local *local, const char *interface, const struct addr *a)
{
    for (size_t i = 0; i < local->n; i++) {
        const struct addr_prefix *net = &local->list[i].net;
        struct addr before = addr_after(a, UINT32_MAX);
        if (a->family == ADDR_IPV4 && net->bits > 0 && net->bits < 31 && !local->list[i].to_one &&
            strcmp(local->list[i].interface, interface) == 0 && addr_prefix_contains(net, a) &&
            !addr_prefix_contains(net, &before) && !addr_equal(&net->addr, a))
            return net;
    }
    return NULL;
}

// Told in place of what holds for addresses of hosts.
static bool check_broadcast(const struct check *k, const char *interface, const struct addr *a, int line)
{
    char text[ADDR_TEXT_MAX];
    bool is = is_broadcast_of(k->local, interface, a);

    if (is)
        config_warning(
            k->problems, line, k->rule->name,
            "%s is the broadcast of a subnet of \"%s\", no host: write broadcast = true in place of \"address\"",
            addr_format(a, text), interface);
    return is;
}

static bool is_loopback(const char *interface)
{
    return strcmp(interface, CONFIG_LOOPBACK) == 0;
}

static bool is_within(const struct addr_prefix *net, const struct addr_prefix *p)
{
    return net->bits <= p->bits && addr_prefix_contains(net, &p->addr);
}

// Whether addresses of the prefix are on a subnet of the interface, as far as its own addresses tell: one with all
// bits, of a host route or DHCPv6, knows none, and neither does a link-local one.
static bool may_be_near(const struct local *local, const char *interface, const struct addr_prefix *p)
{
    bool known = false;

    for (size_t i = 0; i < local->n; i++) {
        const struct local_address *l = &local->list[i];
        if (strcmp(l->interface, interface) != 0 || l->net.addr.family != p->addr.family)
            continue;
        if (l->to_one || is_within(&l->net, p) || is_within(p, &l->net))
            return true;
        known = known || (l->net.bits < 8 * addr_length(&p->addr) && !is_link_local(&l->net.addr));
    }
    return !known;
}

// Whether the prefix is within a subnet of the interface.
static bool network_has(const struct local *local, const char *interface, const struct addr_prefix *p)
{
    for (size_t i = 0; i < local->n; i++)
        if (strcmp(local->list[i].interface, interface) == 0 && is_within(&local->list[i].net, p))
            return true;
    return false;
}

static bool is_exact(const struct addr_prefix *p)
{
    return p->bits == 8 * addr_length(&p->addr);
}

static bool is_host(const struct addr *a, const struct addr_prefix *p)
{
    return is_exact(p) && addr_equal(a, &p->addr);
}

// The interface with a link on whose subnet the prefix is, while no part of it is on one of this one; else NULL.
static const char *near_other(const struct local *local, const char *interface, const struct addr_prefix *p)
{
    const char *other = NULL;

    if (is_link_local(&p->addr) || may_be_near(local, interface, p))
        return NULL;
    for (size_t i = 0; i < local->n && !other; i++) {
        const struct local_address *l = &local->list[i];
        if (l->running && !l->to_one && l->net.bits > 0 && !is_loopback(l->interface) && is_within(&l->net, p) &&
            !is_host(&l->net.addr, p))
            other = l->interface;
    }
    return other;
}

// A tagged frame belongs to the VLAN's own interface, which may have any name. Routers bring what is for an address of
// the loopback interface by any other.
static void check_input(const struct check *k, const struct config_input *in)
{
    char text[ADDR_TEXT_MAX], advice[128];

    if (in->kind != CONFIG_ADDRESS || in->vlan != 0 || addr_is_loopback(&in->address) ||
        check_broadcast(k, in->interface, &in->address, in->line))
        return;
    const char *owner = owner_of(k->local, &in->address, in->interface);
    if (!owner && if_nametoindex(in->interface) != 0)
        config_warning(k->problems, in->line, k->rule->name, "\"%s\" does not have %s, nothing is sent to it there: %s",
                       in->interface, addr_format(&in->address, text),
                       advise(k->local, in->interface, in->address.family, advice));
    else if (owner && strcmp(owner, in->interface) != 0 && !is_loopback(owner) && if_nametoindex(in->interface) != 0)
        config_warning(k->problems, in->line, k->rule->name, "\"%s\" does not have %s, \"%s\" does: %s", in->interface,
                       addr_format(&in->address, text), owner,
                       advise(k->local, in->interface, in->address.family, advice));
}

// The host joins, and answers queries, by the bridge that has its traffic.
static void check_port(const struct check *k, const struct config_input *in)
{
    char master[IF_NAMESIZE];

    if (in->kind == CONFIG_GROUP && in->vlan == 0 && port_of(in->interface, master))
        config_warning(
            k->problems, in->line, k->rule->name,
            "\"%s\" is a port of \"%s\", by which the host answers no query for the group: write interface = "
            "\"%s\"",
            in->interface, master, master);
}

static bool has_family(const struct local *local, const char *interface, uint8_t family)
{
    for (size_t i = 0; i < local->n; i++)
        if (strcmp(local->list[i].interface, interface) == 0 && local->list[i].net.addr.family == family)
            return true;
    return false;
}

// What to do where an interface has no address of its own.
static const char *advise_address(const char *interface, char text[64])
{
    char master[IF_NAMESIZE];

    snprintf(text, 64, "give it one");
    if (port_of(interface, master))
        snprintf(text, 64, "write interface = \"%s\", of which it is a port", master);
    return text;
}

// Of a network whose broadcasts are to come, the interface must have an address. Hosts that look for one (DHCP) send to
// 255.255.255.255.
static void check_broadcasts(const struct check *k, const struct config_input *in)
{
    char advice[64];

    if (in->kind != CONFIG_BROADCAST || in->port == 67 || in->port == 68 || if_nametoindex(in->interface) == 0 ||
        is_loopback(in->interface))
        return;
    if (in->vlan != 0)
        config_warning(k->problems, in->line, k->rule->name,
                       "with vlan, 255.255.255.255 is taken and the broadcasts of \"%s\"'s own subnets, not those of "
                       "the VLAN's: name the VLAN's own interface for them",
                       in->interface);
    else if (!has_family(k->local, in->interface, ADDR_IPV4))
        config_warning(k->problems, in->line, k->rule->name,
                       "\"%s\" has no IPv4 address: 255.255.255.255 is taken, and no network's broadcast: %s",
                       in->interface, advise_address(in->interface, advice));
}

// Senders with an address of the input's own interface, of which all is dropped (relay/martian.c).
static void check_own_sources(const struct check *k, const struct config_input *in)
{
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < in->n_sources && in->vlan == 0 && !is_loopback(in->interface); i++) {
        const struct addr_prefix *source = &in->sources[i];
        const char *owner = owner_of(k->local, &source->addr, in->interface);
        if (!is_exact(source) || !owner || strcmp(owner, in->interface) != 0)
            continue;
        config_warning(k->problems, in->sources_line, k->rule->name,
                       "source %s is this host itself (\"%s\"): what comes from it is dropped (martian): name the "
                       "sender's address",
                       addr_format(&source->addr, text), owner);
    }
}

// Addresses of a subnet of the input's interface that are no host's.
static void check_no_senders(const struct check *k, const struct config_input *in)
{
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < in->n_sources && in->vlan == 0 && !is_loopback(in->interface); i++) {
        const struct addr *a = &in->sources[i].addr;
        const struct addr_prefix *net = is_exact(&in->sources[i]) ? network_of(k->local, in->interface, a) : NULL;
        addr_format(a, text);
        if (net)
            config_warning(k->problems, in->sources_line, k->rule->name,
                           "source %s is the address of a network of \"%s\", hardly of a sender: write \"%s/%u\" for "
                           "all of it",
                           text, in->interface, text, net->bits);
        else if (is_exact(&in->sources[i]) && is_broadcast_of(k->local, in->interface, a))
            config_warning(k->problems, in->sources_line, k->rule->name,
                           "source %s is the broadcast of a subnet of \"%s\", no sender: what has it is dropped "
                           "(martian)",
                           text, in->interface);
    }
}

static bool has_input(const struct config_rule *rule, const char *interface)
{
    size_t i = 0;

    while (i < rule->n_inputs && strcmp(rule->inputs[i].interface, interface) != 0)
        i++;
    return i < rule->n_inputs;
}

// The first sender, or prefix of them, that is a neighbour by an interface that no input of the rule names. Legs may
// have the senders of all of them; one behind a router may come by any.
static void check_far_sources(const struct check *k, const struct config_input *in)
{
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < in->n_sources && in->vlan == 0 && !is_loopback(in->interface); i++) {
        const struct addr_prefix *source = &in->sources[i];
        const char *other = near_other(k->local, in->interface, source);
        if (!other || has_input(k->rule, other) || (is_exact(source) && owner_of(k->local, &source->addr, "")))
            continue;
        config_warning(k->problems, in->sources_line, k->rule->name,
                       "source %s is on the subnet of \"%s\", not of \"%s\", and what it sends arrives there: write "
                       "interface = \"%s\", or mend the source",
                       addr_prefix_format(source, text), other, in->interface, other);
        return;
    }
}

// Without a source of its own an output sends from an address of its interface.
static void check_has_address(const struct check *k, const struct config_output *out)
{
    static const char format[] = "\"%s\" has no %s address to send from: %s%s%s";
    uint8_t family = out->kind == CONFIG_BROADCAST ? ADDR_IPV4 : out->address.family;
    const char *name = family == ADDR_IPV6 ? "IPv6" : "IPv4";
    char master[IF_NAMESIZE], give[64];
    // The route to a host is the bridge's, whatever the source.
    const char *source = out->kind == CONFIG_ADDRESS && port_of(out->interface, master) ? "" : ", or set source";

    if (family == ADDR_NONE || out->source.family != ADDR_NONE || out->keep_source ||
        has_family(k->local, out->interface, family) || if_nametoindex(out->interface) == 0)
        return;
    advise_address(out->interface, give);
    if (k->reject_missing)
        config_error(k->problems, out->line, k->rule->name, format, out->interface, name, give, source,
                     "; missing_interface = \"reject\" refuses it");
    else
        config_warning(k->problems, out->line, k->rule->name, format, out->interface, name, give, source,
                       "; until then it waits");
}

// Whether the kernel sends from an address that this host does not have; true where it does not say. From one of IPv4
// it finds no route, whatever net.ipv4.ip_nonlocal_bind is.
static bool sends_nonlocal(uint8_t family)
{
    FILE *f = family == ADDR_IPV6 ? fopen("/proc/sys/net/ipv6/ip_nonlocal_bind", "re") : NULL;
    int answer = f ? fgetc(f) : EOF;

    if (f)
        fclose(f);
    return family == ADDR_IPV6 && answer != '0';
}

// A frame may have any source; the interface then needs no address. A rule that begins later is not opened now.
static void check_source(const struct check *k, const struct config_output *out)
{
    bool frame = out->kind != CONFIG_ADDRESS && out->mode != CONFIG_MODE_SOCKET;
    char text[ADDR_TEXT_MAX], advice[128];

    if (addr_is_loopback(&out->source) || (frame && !address_of(k->local, out->interface, out->source.family)))
        return; // the first is refused without asking the kernel
    if (out->source.family == ADDR_NONE || owner_of(k->local, &out->source, out->interface) ||
        if_nametoindex(out->interface) == 0)
        return;
    advise(k->local, out->interface, out->source.family, advice);
    if (k->reject_missing && !frame && !schedule_given(k->rule->active) && !sends_nonlocal(out->source.family))
        config_error(
            k->problems, out->line, k->rule->name,
            "this host does not have the source %s, which missing_interface = \"reject\" refuses: %s, or write "
            "\"wait\" if it comes later (VRRP)",
            addr_format(&out->source, text), advice);
    else
        config_warning(k->problems, out->line, k->rule->name,
                       "this host does not have the source %s: %s, unless it comes later (VRRP)",
                       addr_format(&out->source, text), advice);
}

// What goes by lo stays on this host.
static void check_stays(const struct check *k, const struct config_output *out)
{
    const struct addr_prefix to = {out->address, (uint8_t) (8 * addr_length(&out->address))};
    const char *other = near_other(k->local, out->interface, &to);
    char text[ADDR_TEXT_MAX], write[64] = "name an address of this host, or the interface that leads to it";

    if (addr_is_loopback(&out->address) || owner_of(k->local, &out->address, out->interface))
        return;
    if (other)
        snprintf(write, sizeof(write), "write interface = \"%s\"", other);
    config_warning(k->problems, out->line, k->rule->name,
                   "address %s is not of this host, and by \"" CONFIG_LOOPBACK "\" nothing leaves it: %s",
                   addr_format(&out->address, text), write);
}

static void check_receiver(const struct check *k, const struct config_output *out)
{
    const struct addr_prefix to = {out->address, (uint8_t) (8 * addr_length(&out->address))};
    const char *owner = owner_of(k->local, &out->address, out->interface);
    const char *other = near_other(k->local, out->interface, &to);
    char text[ADDR_TEXT_MAX], master[IF_NAMESIZE];

    // The hosts of a bridge's subnet are reached by the bridge.
    if (!other && !network_has(k->local, out->interface, &to) && port_of(out->interface, master) &&
        network_has(k->local, master, &to))
        other = master;
    if ((owner && is_loopback(owner)) || check_broadcast(k, out->interface, &out->address, out->line))
        return; // the first is told without asking the kernel
    if (owner)
        config_warning(
            k->problems, out->line, k->rule->name,
            "address %s is this host itself (\"%s\"), it does not leave: name the receiver's, or write interface = "
            "\"" CONFIG_LOOPBACK "\" for one on this host",
            addr_format(&out->address, text), owner);
    else if (other)
        config_warning(k->problems, out->line, k->rule->name,
                       "%s is on the subnet of \"%s\", not of \"%s\": write interface = \"%s\", or mend the address",
                       addr_format(&out->address, text), other, out->interface, other);
    else if (network_of(k->local, out->interface, &out->address))
        config_warning(k->problems, out->line, k->rule->name,
                       "address %s is that of a network of \"%s\", hardly of a receiver: name a host, or write "
                       "broadcast = true for all of them",
                       addr_format(&out->address, text), out->interface);
    else if (out->ttl == 1 && !out->ttl_decrement && !may_be_near(k->local, out->interface, &to))
        config_warning(k->problems, out->line, k->rule->name,
                       "leaves with ttl 1, and %s is on no subnet of \"%s\": the first router drops it",
                       addr_format(&out->address, text), out->interface);
}

void local_check(const struct config *c, const struct local *local, struct config_problems *problems)
{
    for (size_t i = 0; i < c->n_rules; i++) {
        const struct config_rule *rule = &c->rules[i];
        const struct check k = {local, rule, problems, c->reject_missing};
        if (!rule->enabled)
            continue;
        for (size_t j = 0; j < rule->n_inputs; j++) {
            check_input(&k, &rule->inputs[j]);
            check_port(&k, &rule->inputs[j]);
            check_broadcasts(&k, &rule->inputs[j]);
            check_own_sources(&k, &rule->inputs[j]);
            check_no_senders(&k, &rule->inputs[j]);
            check_far_sources(&k, &rule->inputs[j]);
        }
        for (size_t o = 0; o < rule->n_outputs; o++) {
            const struct config_output *out = &rule->outputs[o];
            check_has_address(&k, out);
            if (!is_loopback(out->interface))
                check_source(&k, out);
            if (out->kind == CONFIG_ADDRESS)
                (is_loopback(out->interface) ? check_stays : check_receiver)(&k, out);
        }
    }
}
