#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The reference DMZ: source zone, firewall 1, mcr, firewall 2, destination zone, with the rules of mcrd --firewall.

    src s0 --- zone0 fw1 mcr0 --- ot0 relay dmz0 --- mcr0 fw2 zone0 --- d0 dst

The firewalls route (multicast by static routes) or bridge. Every probe is sent again and again, with no rules at all, with
those of one role, and with all: where nothing stops it it must come through, so that a probe that does not is known to
have been stopped by the rules. Where it must not, the rules' own counters tell that it was dropped.
"""
import contextlib
import errno
import json
import os
import re
import shutil
import socket
import struct
import time

import mcrtest as t

IN, OUT, OTHER = "239.255.0.1", "239.255.1.1", "239.255.9.9"
PORT, OUT_PORT, HOST_PORT = 5000, 6000, 6002
ALLOWED = "198.18.1.8"  # may send too, were it there
ROLES = {"fw1": "upstream", "relay": "host", "fw2": "downstream"}

# --- what the firewalls are ------------------------------------------------------------------------------------------

MRT_INIT, MRT_ADD_VIF, MRT_ADD_MFC = 200, 202, 204  # linux/mroute.h
VIFF_USE_IFINDEX = 8


class MulticastRouter:
    """The kernel's multicast routing with static routes, as smcroute sets it up. They live as long as the socket."""

    def __init__(self, node, *interfaces):
        self.socket = node.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
        self.socket.setsockopt(socket.IPPROTO_IP, MRT_INIT, 1)
        with node.inside():
            for number, name in enumerate(interfaces):
                vif = struct.pack("=HBBIi4s", number, VIFF_USE_IFINDEX, 1, 0, socket.if_nametoindex(name), bytes(4))
                self.socket.setsockopt(socket.IPPROTO_IP, MRT_ADD_VIF, vif)

    def route(self, sources, groups, from_vif, to_vif):
        for source in sources:
            for group in groups:
                thresholds = bytes(1 if i == to_vif else 0 for i in range(32))
                entry = struct.pack("=4s4sH32sxxIIIi", socket.inet_aton(source), socket.inet_aton(group), from_vif,
                                    thresholds, 0, 0, 0, 0)
                self.socket.setsockopt(socket.IPPROTO_IP, MRT_ADD_MFC, entry)


class MulticastRouter6:
    """The same for IPv6."""

    def __init__(self, node, *interfaces):
        self.socket = node.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        self.socket.setsockopt(socket.IPPROTO_IPV6, MRT_INIT, 1)
        with node.inside():
            for number, name in enumerate(interfaces):
                mif = struct.pack("=HBBHxxI", number, 0, 1, socket.if_nametoindex(name), 0)
                self.socket.setsockopt(socket.IPPROTO_IPV6, MRT_ADD_VIF, mif)

    def route(self, sources, groups, from_vif, to_vif):
        for source in sources:
            for group in groups:
                addresses = b"".join(struct.pack("=HHI16sI", socket.AF_INET6, 0, 0,
                                                 socket.inet_pton(socket.AF_INET6, a), 0) for a in (source, group))
                entry = addresses + struct.pack("=Hxx8I", from_vif, 1 << to_vif, *[0] * 7)
                self.socket.setsockopt(socket.IPPROTO_IPV6, MRT_ADD_MFC, entry)


class Dmz(t.Net):
    """The nodes and links; addresses of src, relay (both sides) and dst as attributes."""

    def __init__(self, routed):
        super().__init__()
        self.routed = routed
        self.addresses = {"src": "198.18.1.1", "dst": "198.18.4.1",
                          "ot0": "198.18.2.2" if routed else "198.18.1.2",
                          "dmz0": "198.18.3.2" if routed else "198.18.4.2"}
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise

    def build(self):
        for name in ("src", "fw1", "relay", "fw2", "dst"):
            self.node(name)
        a = {k: v + "/24" for k, v in self.addresses.items()}
        fw = [f"198.18.{i}.254/24" if self.routed else None for i in range(1, 5)]
        self.link(self.src, "s0", a["src"], self.fw1, "zone0", fw[0])
        self.link(self.fw1, "mcr0", fw[1], self.relay, "ot0", a["ot0"])
        self.link(self.relay, "dmz0", a["dmz0"], self.fw2, "mcr0", fw[2])
        self.link(self.fw2, "zone0", fw[3], self.dst, "d0", a["dst"])
        for node in (self.fw1, self.relay, self.fw2):
            node.run("sh", "-ec", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self.route() if self.routed else self.bridge()

    def route(self):
        self.src.run("ip", "route", "add", "default", "via", "198.18.1.254")
        self.dst.run("ip", "route", "add", "default", "via", "198.18.4.254")
        self.relay.run("ip", "route", "add", "198.18.1.0/24", "via", "198.18.2.254")
        self.relay.run("ip", "route", "add", "198.18.4.0/24", "via", "198.18.3.254")
        self.fw1.run("ip", "route", "add", "198.18.4.0/24", "via", "198.18.2.2")
        self.fw2.run("ip", "route", "add", "198.18.1.0/24", "via", "198.18.3.2")
        # Far more than the flows need: it is the rules that must stop the rest.
        a, groups = self.addresses, (IN, OUT, OTHER)
        first, second = MulticastRouter(self.fw1, "zone0", "mcr0"), MulticastRouter(self.fw2, "mcr0", "zone0")
        first.route((a["src"], "198.18.1.9"), groups, 0, 1)
        first.route((a["ot0"], ALLOWED), groups, 1, 0)
        second.route((a["dmz0"],), groups, 0, 1)
        second.route((a["dst"], a["src"]), groups, 1, 0)
        self.routers = first, second

    def bridge(self):
        self.src.run("ip", "route", "add", "default", "via", self.addresses["ot0"])
        self.dst.run("ip", "route", "add", "default", "via", self.addresses["dmz0"])
        for node in (self.fw1, self.fw2):
            node.run("sh", "-ec", "ip link add br0 type bridge mcast_snooping 0; ip link set br0 up; "
                                  "for i in zone0 mcr0; do ip link set $i master br0; done; "
                                  "for i in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do "
                                  "if [ -e $i ]; then echo 0 > $i; fi; done")

    def next_hop(self, node):
        """The hardware address by which src or dst reaches what is beyond its link."""
        where = {"src": ("fw1", "zone0") if self.routed else ("relay", "ot0"),
                 "dst": ("fw2", "zone0") if self.routed else ("relay", "dmz0")}
        return t.mac(self, *where[node])

    def __exit__(self, *arguments):
        for r in getattr(self, "routers", ()):
            r.socket.close()
        super().__exit__(*arguments)


EGRESS = 'table netdev x { chain c { type filter hook egress device "lo" priority 0; }; }'


def need_nft():
    if not shutil.which("nft"):
        raise t.Skip("nft (nftables) is not installed")
    with t.Net() as net:
        node = net.node("a")
        status, _, err = node.run("nft", "add table bridge x; add table inet x; add table netdev x", check_status=False)
        if status != 0:
            raise t.Skip(f"nftables does not work here: {err.strip()}")
        if node.run("nft", EGRESS, check_status=False)[0] != 0:
            raise t.Skip("needs Linux 5.16: chains for egress")


def generate(config, role, edit=lambda text: text):
    """The rules of a role, in a file."""
    _, text, _ = t.run_command([t.MCRD, "--firewall", "--role", role, "--config", config.file])
    path = os.path.join(config.directory, f"{role}.nft")
    with open(path, "w", encoding="ascii") as f:
        f.write(edit(text))
    return path


def dropped(node):
    """What the rules have counted as everything else."""
    _, out, _ = node.run("nft", "list ruleset")
    return sum(int(n) for n in re.findall(r'counter packets (\d+) bytes \d+ comment "everything else"', out))


# --- probes ----------------------------------------------------------------------------------------------------------


class Probe:
    """send() sends what arrived() must find in a capture, unless the rules of a node in path are loaded: the first."""

    def __init__(self, name, path, send, capture, arrived):
        self.name, self.path, self.send, self.capture, self.arrived = name, path, send, capture, arrived

    def seen(self):
        return any(self.arrived(f) for f in self.capture.poll())


def icmp_echo(source, destination, payload):
    body = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + payload
    body = body[:2] + struct.pack("!H", 0xffff & ~t.ones_sum(body)) + body[4:]
    return t.ipv4(source, destination, body, protocol=socket.IPPROTO_ICMP)


def tcp_syn(source, destination, port, source_port):
    body = struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 5 << 4, 2, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, 6, len(body))
    body = body[:16] + struct.pack("!H", 0xffff & ~t.ones_sum(pseudo + body)) + body[18:]
    return t.ipv4(source, destination, body, protocol=socket.IPPROTO_TCP)


def group_frame(source, group, port, payload, mac, source_port=4000):
    packet = t.ipv4(source, group, t.udp(source, group, payload, port, source_port))
    return t.frame(packet, t.group_mac(group), mac)


def arp_request(source, target, mac):
    return (b"\xff" * 6 + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + mac + socket.inet_aton(source) +
            bytes(6) + socket.inet_aton(target))


def ip_of(f, protocol):
    """The IPv4 packet of a captured frame that came in, if it is of this protocol."""
    if f.kind == 0x0800 and not f.outgoing and f.data[23] == protocol:
        return f.data[14:]
    return None


def has_udp(payload):
    return lambda f: not f.outgoing and f.payload is not None and payload in f.payload


def has_bytes(protocol, wanted):
    return lambda f: wanted in (ip_of(f, protocol) or b"")


def answers(protocol, source, first_byte=None):
    """An answer of this protocol from this address; of ICMP by its type."""
    def arrived(f):
        ip = ip_of(f, protocol)
        return (ip is not None and ip[12:16] == socket.inet_aton(source) and
                (first_byte is None or ip[20] == first_byte))
    return arrived


def zone_probes(net, zone, captures, stage):
    """What a zone tries against the mcr host and the zone behind it. stage makes payloads unlike those before."""
    node, interface, near, firewall = (("src", "s0", "ot0", "fw1") if zone == "src" else ("dst", "d0", "dmz0", "fw2"))
    far, far_interface, far_firewall = ("dst", "d0", "fw2") if zone == "src" else ("src", "s0", "fw1")
    me, host, other = net.addresses[node], net.addresses[near], net.addresses[far]
    mac, link, sender = t.mac(net, node, interface), net.next_hop(node), t.RawSender(getattr(net, node), interface)
    at_relay, at_me, at_far = captures[near], captures[interface], captures[far_interface]
    found = []

    def add(name, path, frame, capture, arrived):
        found.append(Probe(f"{zone}: {name}", path, lambda: sender.send(frame), capture, arrived))

    def group(name, address, port, source=me, source_port=4000):
        payload = f"{zone} {name} {stage}".encode()
        add(name, [firewall], group_frame(source, address, port, payload, mac, source_port), at_relay, has_udp(payload))

    def to_host(name, packet, arrived, path=None, capture=at_me):
        add(name, path or [firewall, "relay"], t.frame(packet, link, mac), capture, arrived)

    def datagram(to, port, payload):
        return t.ipv4(me, to, t.udp(me, to, payload, port))

    group("another port", IN, PORT + 1)
    group("another group", OTHER, PORT)
    group("the output's flow", OUT, OUT_PORT, source_port=OUT_PORT)
    if zone == "src":
        group("another sender", IN, PORT, source="198.18.1.9")
    else:
        group("the input's flow", IN, PORT)
        group("the input's flow from its sender", IN, PORT, source=net.addresses["src"])
    mark = f"{zone} protocol {stage}".encode()
    add("ICMP to the input's group", [firewall], t.frame(icmp_echo(me, IN, mark), t.group_mac(IN), mac), at_relay,
        has_bytes(socket.IPPROTO_ICMP, mark))
    add("TCP to the input's group", [firewall], t.frame(tcp_syn(me, IN, PORT, 7000 + stage), t.group_mac(IN), mac),
        at_relay, lambda f: ip_of(f, 6) is not None and f.source == me and f.data[34:36] == struct.pack("!H", 7000 + stage))
    to_host("ICMP echo to the host", icmp_echo(me, host, mark), answers(socket.IPPROTO_ICMP, host, 0))
    to_host("TCP to the host", tcp_syn(me, host, 22, 8000 + stage), answers(socket.IPPROTO_TCP, host))
    to_host("UDP to the host", datagram(host, 9, mark), answers(socket.IPPROTO_ICMP, host, 3))
    to_host("UDP to the host, on the input's port", datagram(host, PORT, mark + b"!"), has_udp(mark + b"!"),
            [firewall], at_relay)
    to_host("UDP through the host", datagram(other, 9, mark + b"?"), has_udp(mark + b"?"),
            [firewall, "relay", far_firewall], at_far)
    return found


def send_or_stopped(sender, f):
    """A frame of the mcr host, which its chain egress may drop."""
    try:
        sender.send(f)
    except OSError as e:
        t.equal(e.errno, errno.ENOBUFS, "error of the packet socket")


def host_probes(net, captures, stage):
    """What a relay that was taken over, or another process of its host, tries."""
    found = []

    def frame(name, interface, firewall, seen_at, address, port, source_port, source=None):
        payload = f"relay {name} {stage}".encode()
        f = group_frame(source or net.addresses[interface], address, port, payload, t.mac(net, "relay", interface),
                        source_port)
        sender = t.RawSender(net.relay, interface)
        found.append(Probe(f"relay: {name}", ["relay", firewall], lambda: send_or_stopped(sender, f),
                           captures[seen_at], has_udp(payload)))

    def sent(name, interface, firewall, seen_at, address, port):
        payload = f"relay {name} {stage}".encode()

        def send():
            with net.relay.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, contextlib.suppress(PermissionError):
                s.bind((net.addresses[interface], 0))
                s.sendto(payload, (address, port))
        found.append(Probe(f"relay: {name}", ["relay", firewall], send, captures[seen_at], has_udp(payload)))

    def raw(name, interface, firewall, seen_at, source, address, port):
        """As by a raw IP output towards the destination's host."""
        payload = f"relay {name} {stage}".encode()
        packet = t.ipv4(source, address, t.udp(source, address, payload, port, source_port=HOST_PORT))

        def send():
            with net.relay.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
                s.connect((address, 0))
                with contextlib.suppress(PermissionError):
                    s.send(packet)
        found.append(Probe(f"relay: {name}", ["relay", firewall], send, captures[seen_at], has_udp(payload)))

    frame("a frame into the source zone", "ot0", "fw1", "s0", IN, PORT, PORT)
    frame("the input's flow, back", "ot0", "fw1", "s0", IN, PORT, 4000, ALLOWED)
    frame("a frame to another group", "dmz0", "fw2", "d0", OTHER, OUT_PORT, OUT_PORT)
    frame("a frame to another port", "dmz0", "fw2", "d0", OUT, OUT_PORT + 1, OUT_PORT)
    frame("a frame from another port", "dmz0", "fw2", "d0", OUT, OUT_PORT, OUT_PORT + 1)
    sent("a datagram into the source zone", "ot0", "fw1", "s0", net.addresses["src"], 9)
    sent("a datagram to another port", "dmz0", "fw2", "d0", net.addresses["dst"], HOST_PORT + 1)
    raw("a raw packet to another port", "dmz0", "fw2", "d0", ALLOWED, net.addresses["dst"], HOST_PORT + 1)
    return found


def arp_probe(net, captures):
    """Only groups come in by ot0: nobody there needs to know the host's hardware address."""
    node, interface, path = ("fw1", "mcr0", ["relay"]) if net.routed else ("src", "s0", ["fw1", "relay"])
    me, host = "198.18.2.254" if net.routed else net.addresses["src"], net.addresses["ot0"]
    frame = arp_request(me, host, t.mac(net, node, interface))
    sender = t.RawSender(getattr(net, node), interface)
    capture = t.Capture(getattr(net, node), interface)
    return Probe("ARP for the address of the input interface", path, lambda: sender.send(frame), capture,
                 lambda f: not f.outgoing and f.kind == 0x0806 and f.data[20:22] == b"\0\2" and
                 f.data[28:32] == socket.inet_aton(host))


def try_all(net, loaded, probes, fence):
    """Sends every probe and judges it. loaded: the nodes whose rules are in force."""
    expected = {node: 0 for node in loaded}
    passing, stopped = [], []
    for p in probes:
        stop = next((node for node in p.path if node in loaded), None)
        (stopped if stop else passing).append(p)
        if stop:
            expected[stop] += 1
    before = {node: dropped(getattr(net, node)) for node in loaded}
    for p in probes:
        p.send()
    for p in passing:
        t.wait_for(p.seen, 5, f"rules of {sorted(loaded)}: {p.name}")
    for node, n in expected.items():
        t.wait_for(lambda x=node, least=n: dropped(getattr(net, x)) - before[x] >= least, 5,
                   f"{n} dropped by the rules of {node}")
    fence()
    for p in stopped:
        t.check(not p.seen(), f"rules of {sorted(loaded)}: {p.name}: came through")


# --- IPv6 and tags ---------------------------------------------------------------------------------------------------

IN6, OUT6, OTHER6 = "ff15::4d:1", "ff15::4d:2", "ff15::4d:9"
SRC6, FOREIGN6 = "2001:db8:1::1", "2001:db8:1::9"


def enable_ipv6(net):
    if not os.path.exists("/proc/sys/net/ipv6"):
        raise t.Skip("the kernel has no IPv6")
    places = [(net.src, "s0", SRC6), (net.dst, "d0", "2001:db8:4::1")]
    if net.routed:
        places += [(net.fw1, "zone0", "2001:db8:1::fe"), (net.fw1, "mcr0", "2001:db8:2::fe"),
                   (net.relay, "ot0", "2001:db8:2::2"), (net.relay, "dmz0", "2001:db8:3::2"),
                   (net.fw2, "mcr0", "2001:db8:3::fe"), (net.fw2, "zone0", "2001:db8:4::fe")]
    else:
        places += [(net.relay, "ot0", "2001:db8:1::2"), (net.relay, "dmz0", "2001:db8:4::2")]
    for place in places:
        t.enable_ipv6(*place)
    if net.routed:
        first, second = MulticastRouter6(net.fw1, "zone0", "mcr0"), MulticastRouter6(net.fw2, "mcr0", "zone0")
        first.route((SRC6, FOREIGN6), (IN6, OTHER6), 0, 1)
        second.route(("2001:db8:3::2",), (OUT6, OTHER6), 0, 1)
        net.routers += first, second


def has_udp6(payload):
    return lambda f: not f.outgoing and f.kind == 0x86dd and payload in f.data


def ipv6_probes(net, captures, stage):
    src, relay = t.RawSender(net.src, "s0"), t.RawSender(net.relay, "dmz0")
    macs = t.mac(net, "src", "s0"), t.mac(net, "relay", "dmz0")
    from_relay = "2001:db8:3::2" if net.routed else "2001:db8:4::2"
    found = []

    def add(name, path, sender, mac, capture, *datagram, **keys):
        payload = f"ipv6 {name} {stage}".encode()
        whole = t.datagram6(*datagram, payload, **keys)
        found.append(Probe(name, path, lambda: send_or_stopped(sender, whole[:6] + mac + whole[12:]), captures[capture],
                           has_udp6(payload)))

    add("another port", ["fw1"], src, macs[0], "ot0", IN6, PORT + 1, source=SRC6)
    add("another group", ["fw1"], src, macs[0], "ot0", OTHER6, PORT, source=SRC6)
    add("another sender", ["fw1"], src, macs[0], "ot0", IN6, PORT, source=FOREIGN6)
    for name, group, port, source_port in (("to another port", OUT6, OUT_PORT + 1, OUT_PORT),
                                           ("to another group", OTHER6, OUT_PORT, OUT_PORT),
                                           ("from another port", OUT6, OUT_PORT, OUT_PORT + 1)):
        probe_path = ["relay", "fw2"]
        add(name, probe_path, relay, macs[1], "d0", group, port, source=from_relay, source_port=source_port)
    return found


def tag_probes(net, captures, stage):
    """Only for firewalls that bridge: those that route have an interface for each tag."""
    src, relay = t.RawSender(net.src, "s0"), t.RawSender(net.relay, "dmz0")
    macs = t.mac(net, "src", "s0"), t.mac(net, "relay", "dmz0")
    found = []

    def add(name, path, sender, mac, capture, source, group, port, source_port, tag):
        payload = f"tag {name} {stage}".encode()
        whole = group_frame(source, group, port, payload, mac, source_port)
        whole = whole[:12] + struct.pack("!HH", 0x8100, tag) + whole[12:] if tag else whole
        found.append(Probe(name, path, lambda: send_or_stopped(sender, whole), captures[capture], has_udp(payload)))

    add("another tag", ["fw1"], src, macs[0], "ot0", net.addresses["src"], IN, PORT, 4000, 201)
    add("no tag", ["fw1"], src, macs[0], "ot0", net.addresses["src"], IN, PORT, 4000, None)
    add("another port, tagged", ["fw1"], src, macs[0], "ot0", net.addresses["src"], IN, PORT + 1, 4000, 200)
    for name, port, tag in (("out: another tag", OUT_PORT, 301), ("out: no tag", OUT_PORT, None),
                            ("out: another port, tagged", OUT_PORT + 1, 300)):
        add(name, ["relay", "fw2"], relay, macs[1], "d0", net.addresses["dmz0"], OUT, port, OUT_PORT, tag)
    return found


# --- the tests -------------------------------------------------------------------------------------------------------

RULES = [t.rule("telemetry", IN, PORT, [t.to_group(OUT, OUT_PORT, interface="dmz0", ttl=4),
                                        t.to_host("198.18.4.1", HOST_PORT, interface="dmz0", ttl=4)],
                interface="ot0", sources=["198.18.1.1", ALLOWED]),
         t.rule("not-enabled", OTHER, PORT, [t.to_group(OTHER, OUT_PORT, interface="dmz0", ttl=4)], interface="ot0",
                enabled=False)]


def whole_way(net, d, size=1000):
    """300 datagrams of the configured flow, each judged at the destination."""
    before = d.stats()["rules"][0]["packets"]
    receivers = [t.Receiver(net.dst, "d0", a, p, expect=300)
                 for a, p in ((OUT, OUT_PORT), (net.addresses["dst"], HOST_PORT))]
    t.send(net.src, "s0", IN, PORT, count=300, rate=5000, size=size, ttl=8)
    for r in receivers:
        r.all_came()
    t.equal(d.stats()["rules"][0]["packets"] - before, 300, "datagrams of the rule")
    d.check_sums()


def stages(net, d, stages, probes, fence):
    """Each time with the rules of other nodes in force: sends and judges probes(captures, stage)."""
    files = {node: generate(d.config, role) for node, role in ROLES.items()}
    captures = {i: t.Capture(getattr(net, n), i)
                for n, i in (("src", "s0"), ("relay", "ot0"), ("relay", "dmz0"), ("dst", "d0"))}
    for stage, loaded in enumerate(stages):
        for node in ROLES:
            getattr(net, node).run("nft", "flush", "ruleset")
            if node in loaded:
                getattr(net, node).run("nft", "-f", files[node])
        for c in captures.values():
            c.poll()
            c.frames.clear()
        tried = probes(captures, stage)
        try_all(net, loaded, tried, lambda n=stage: fence(captures, n))
        t.note(f"rules of {', '.join(sorted(loaded)) or 'nobody'}: {len(tried)} probes")


def exact(routed):
    need_nft()
    with Dmz(routed) as net, t.Mcrd(net.relay, t.Config(RULES)) as d:
        sender = t.RawSender(net.src, "s0")

        def probes(captures, stage):
            return [*zone_probes(net, "src", captures, stage), *zone_probes(net, "dst", captures, stage),
                    *host_probes(net, captures, stage), arp_probe(net, captures)]

        def fence(captures, stage):
            mark = f"the configured flow {stage}".encode()
            sender.send(group_frame(net.addresses["src"], IN, PORT, mark, t.mac(net, "src", "s0")))
            captures["d0"].wait_payload(mark)

        stages(net, d, [set(), {"fw1"}, {"relay"}, {"fw2"}, set(ROLES)], probes, fence)
        whole_way(net, d)
        whole_way(net, d, size=9000)
        if routed:
            fragments_of_another_port(net, lambda captures: fence(captures, 9))


def fragments_of_another_port(net, fence):
    """A firewall that routes puts them together first: not even those without a port pass."""
    captures = {"ot0": t.Capture(net.relay, "ot0"), "d0": t.Capture(net.dst, "d0")}
    before = dropped(net.fw1)
    t.send(net.src, "s0", IN, PORT + 1, count=5, rate=1000, size=4000, ttl=8)
    t.wait_for(lambda: dropped(net.fw1) - before >= 5, 5, "5 datagrams dropped")
    fence(captures)
    came = [f for f in captures["ot0"].poll() if not f.outgoing and ip_of(f, socket.IPPROTO_UDP)]
    t.equal(len(came), 1, "datagrams before the mcr host")


@t.test("firewalls that route: the configured flow passes, whole and in fragments; nothing else does, either way")
def routed():
    exact(True)


@t.test("firewalls that bridge: the configured flow passes, whole and in fragments; nothing else does, either way")
def bridged():
    exact(False)


def exact_ipv6(routed):
    need_nft()
    rules = [t.rule("r", IN6, PORT, [t.to_group(OUT6, OUT_PORT, interface="dmz0", ttl=4)], interface="ot0",
                    sources=["2001:db8:1::/125"])]
    with Dmz(routed) as net:
        enable_ipv6(net)
        with t.Mcrd(net.relay, t.Config(rules)) as d:
            def fence(captures, stage):
                mark = f"the configured flow {stage}".encode()
                t.RawSender(net.src, "s0").send(t.datagram6(IN6, PORT, mark, source=SRC6))
                t.wait_for(lambda: any(f.payload == mark for f in t.captured6(captures["d0"])), 5, "the fence")

            stages(net, d, [set(), {"fw1"}, {"relay"}, {"fw2"}, set(ROLES)],
                   lambda captures, stage: ipv6_probes(net, captures, stage), fence)
            for size in (1000, 5000):
                receiver = t.Receiver(net.dst, "d0", OUT6, OUT_PORT, expect=200)
                t.send(net.src, "s0", IN6, PORT, count=200, rate=5000, size=size, ttl=8)
                receiver.all_came()
            d.check_sums()


@t.test("IPv6, firewalls that route: the same")
def routed_ipv6():
    exact_ipv6(True)


@t.test("IPv6, firewalls that bridge: the same")
def bridged_ipv6():
    exact_ipv6(False)


@t.test("VLAN tags, firewalls that bridge: only the tags of the file pass, each with its flow")
def tags():
    need_nft()
    rules = [t.rule_of("r", [t.to_group(OUT, OUT_PORT, interface="dmz0", ttl=4, vlan=300)], interface="ot0", group=IN,
                       port=PORT, vlan=200)]
    with Dmz(False) as net, t.Mcrd(net.relay, t.Config(rules)) as d:
        def fence(captures, stage):
            mark = f"the configured flow {stage}".encode()
            f = group_frame(net.addresses["src"], IN, PORT, mark, t.mac(net, "src", "s0"))
            t.RawSender(net.src, "s0").send(f[:12] + struct.pack("!HH", 0x8100, 200) + f[12:])
            captures["d0"].wait_payload(mark)
            t.equal([f.vlan for f in captures["d0"].frames if f.payload == mark], [300], "its tag")

        stages(net, d, [set(), {"fw1"}, {"relay"}, {"fw2"}, set(ROLES)],
               lambda captures, stage: tag_probes(net, captures, stage), fence)
        # What is written in fragments, tagged: sent without an error, all of it.
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        before = d.stats()["rules"][0]["outputs"][0]
        for f in fragments(net.addresses["src"], IN, PORT, bytes(range(250)) * 16, t.mac(net, "src", "s0")):
            sender.send(f[:12] + struct.pack("!HH", 0x8100, 200) + f[12:])
        t.wait_for(lambda: d.stats()["rules"][0]["outputs"][0]["packets"] == before["packets"] + 1, 5, "the datagram")
        t.wait_for(lambda: len([f for f in capture.poll() if f.vlan == 300 and ip_of(f, 17)]) == 3, 5, "3 fragments")
        t.equal(d.stats()["rules"][0]["outputs"][0]["errors"], 0, "errors")


def fragments(source, group, port, payload, mac, size=1480):
    """A datagram in frames with so many bytes of it each."""
    whole = t.udp(source, group, payload, port)
    return [t.frame(t.ipv4(source, group, whole[i:i + size], ident=77, offset=i,
                           flags=1 if i + size < len(whole) else 0), t.group_mac(group), mac)
            for i in range(0, len(whole), size)]


# --- the mcr host alone ----------------------------------------------------------------------------------------------

HOST6 = "2001:db8:2::2"


def every_kind():
    to_all = [t.to_group(OUT, 6000), t.to_group(OUT, 6001, mode="socket"), t.to_host("198.18.2.1", 6002),
              t.to_group(OUT, 6003, source="preserve", source_port="preserve"),
              t.to_host("198.18.2.1", 6004, source="preserve"), t.to_group(OUT, 6005, vlan=300),
              t.to_group(OUT6, 6006), t.to_group(OUT6, 6007, vlan=300), t.to_host(HOST6, 6008),
              {"interface": "out0", "broadcast": True, "port": 6009}]
    return [t.rule("group", IN, PORT, to_all, sources=["198.18.1.0/24"]),
            t.rule("group-6", IN6, PORT, [t.to_group(OUT6, 6100, source="preserve"), t.to_host(HOST6, 6101)]),
            t.rule_of("tagged", [t.to_group(OUT, 6200)], group=IN, port=PORT, vlan=200),
            t.rule_of("host", [t.to_group(OUT, 6300)], address="198.18.1.2", port=5140),
            t.rule_of("host-6", [t.to_group(OUT6, 6400)], address="2001:db8:1::1", port=5140),
            t.rule_of("broadcast", [t.to_group(OUT, 6500)], broadcast=True, port=47808),
            t.rule("range", "239.255.16.0/28", "5000-5003", [t.to_group("239.255.32.0/28", "7000-7003")])]


def counters_by_rule(node):
    """What the sets of the inputs have counted, by the rules' names."""
    _, out, _ = node.run("nft", "list table netdev mcr_host")
    found, inside = {}, False
    for line in out.splitlines():
        if line.strip().startswith("set "):
            inside = line.strip().startswith("set in_")
        for n, name in re.findall(r'counter packets (\d+) bytes \d+ comment "([^"]*)"', line) if inside else ():
            found[name] = found.get(name, 0) + int(n)
    return found


@t.test("the mcr host: all that the file says passes, of every kind, and is counted by rule; groups are joined")
def host_every_kind():
    need_nft()
    rules = every_kind()
    with t.line6() as net:
        mac = t.mac(net, "relay", "in0")
        config = t.Config(rules)
        file = generate(config, "host")
        net.relay.run("nft", "-f", file)
        at_src, at_dst = t.Capture(net.src, "s0"), t.Capture(net.dst, "d0")
        net.relay.run("ip", "neighbour", "flush", "dev", "out0")
        sender = t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, config) as d:
            t.wait_for(lambda: any(ip_of(f, socket.IPPROTO_IGMP) for f in at_src.poll()), 5, "an IGMP report")
            t.wait_for(lambda: any(f.kind == 0x86dd and not f.outgoing and f.data[62] == 143 and f.data[20] == 0
                                   for f in at_src.poll()), 5, "an MLD report")
            sender.send(t.datagram(IN, PORT, b"group"), t.datagram6(IN6, PORT, b"group-6"),
                        t.datagram(IN, PORT, b"tagged", tags=[(0x8100, 200)]),
                        t.datagram("198.18.1.2", 5140, b"host", to=mac),
                        t.datagram6("2001:db8:1::1", 5140, b"host-6", to=mac),
                        t.datagram("255.255.255.255", 47808, b"broadcast", to=b"\xff" * 6),
                        t.datagram("239.255.16.5", 5002, b"range"))

            def came():
                four = [(f.payload, f.port, f.vlan) for f in at_dst.udp()]
                six = [(f.payload, f.port, f.vlan) for f in t.captured6(at_dst)]
                return sorted(four + six, key=str)
            expected = sorted([(b"group", 6000 + i, 300 if i in (5, 7) else None) for i in range(10)] +
                              [(b"group-6", 6100, None), (b"group-6", 6101, None), (b"tagged", 6200, None),
                               (b"host", 6300, None), (b"host-6", 6400, None), (b"broadcast", 6500, None),
                               (b"range", 7002, None)], key=str)
            with contextlib.suppress(t.Failure):
                t.wait_for(lambda: came() == expected, 5)
            t.equal(came(), expected, "what came")
            t.equal(counters_by_rule(net.relay), {r["name"]: 1 for r in rules}, "counted by the rules")
            # In fragments by each of the outputs; the relay puts what comes in together.
            t.send(net.src, "s0", IN, PORT, count=20, rate=1000, size=4000)
            t.send(net.src, "s0", IN6, PORT, count=20, rate=1000, size=4000)
            t.wait_for(lambda: [r["packets"] for r in d.stats()["rules"][:2]] == [21, 21], 5, "40 datagrams")
            for r in d.check_sums()["rules"]:
                t.equal([o["errors"] for o in r["outputs"]], [0] * len(r["outputs"]), f"{r['name']}: errors")
            # Loaded again while it runs.
            net.relay.run("nft", "-f", file)
            t.equal(counters_by_rule(net.relay)["group"], 0, "counters of the new rules")
            sender.send(t.datagram(IN, PORT, b"after"))
            t.wait_for(lambda: len([x for x in came() if x[0] == b"after"]) == 10, 5, "10 outputs")


def echoed(node, address):
    """Whether an ICMP echo is answered within half a second."""
    v6 = ":" in address
    body = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 1, 1)
    if not v6:  # the kernel makes that of IPv6
        body = body[:2] + struct.pack("!H", 0xffff & ~t.ones_sum(body)) + body[4:]
    with node.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW,
                     socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP) as s:
        s.sendto(body, (address, 0))
        deadline = time.monotonic() + 0.5
        while (left := deadline - time.monotonic()) > 0:
            s.settimeout(left)
            try:
                answer, source = s.recvfrom(2048)
            except TimeoutError:
                break
            if source[0] == address and answer[0 if v6 else 20] == (129 if v6 else 0):
                return True
    return False


@t.test("the mcr host: neighbours are answered where the file has hosts, nothing else is, by IPv4 or IPv6")
def host_answers():
    need_nft()
    with t.line6() as net:
        config = t.Config(every_kind())

        def reach():
            return [echoed(node, address)
                    for node, address in ((net.src, "198.18.1.2"), (net.src, "2001:db8:1::1"), (net.dst, "198.18.2.2"),
                                          (net.dst, "2001:db8:2::1"))]

        def neighbours():
            for node in (net.src, net.dst):
                out = json.loads(node.run("ip", "-j", "neighbour", "show")[1])
                yield {x["dst"] for x in out if "lladdr" in x}

        t.equal(reach(), [True] * 4, "before")
        net.relay.run("nft", "-f", generate(config, "host"))
        for node, interface in ((net.src, "s0"), (net.dst, "d0")):
            node.run("ip", "neighbour", "flush", "dev", interface)
        t.equal(reach(), [False] * 4, "with the rules")
        at_src, at_dst = neighbours()
        t.check({"198.18.1.2", "2001:db8:1::1"} <= at_src, f"neighbours of src: {at_src}")
        t.check({"198.18.2.2", "2001:db8:2::1"} <= at_dst, f"neighbours of dst: {at_dst}")


@t.test("the mcr host: VRRP passes where it is named, and only there")
def host_vrrp():
    need_nft()
    with t.line() as net:
        config = t.Config(RULES_OF_LINE)
        sender, at_dst = t.RawSender(net.dst, "d0"), t.Capture(net.dst, "d0")
        heard = net.relay.socket(socket.AF_INET, socket.SOCK_RAW, 112)
        heard.settimeout(0.5)
        with net.relay.inside():
            join = socket.inet_aton("224.0.0.18") + socket.inet_aton("198.18.2.2")
            heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, join)
            heard.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("198.18.2.2"))

        def pass_both_ways(mark):
            for f in (t.ipv4("198.18.2.1", "224.0.0.18", mark, ttl=255, protocol=113),
                      t.ipv4("198.18.2.1", "224.0.0.18", mark, ttl=255, protocol=112)):
                sender.send(t.frame(f, t.group_mac("224.0.0.18"), t.mac(net, "dst", "d0")))
            try:
                into = heard.recv(2048).endswith(mark)
            except TimeoutError:
                into = False
            with contextlib.suppress(PermissionError):
                heard.sendto(mark + b"!", ("224.0.0.18", 0))
            out = False
            with contextlib.suppress(t.Failure):
                t.wait_for(lambda: any(mark + b"!" in (ip_of(f, 112) or b"") for f in at_dst.poll()), 0.5)
                out = True
            return into, out

        t.equal(pass_both_ways(b"before"), (True, True), "without rules")
        net.relay.run("nft", "-f", generate(config, "host"))
        t.equal(pass_both_ways(b"not named"), (False, False), "with the rules as they are")
        net.relay.run("nft", "-f", generate(config, "host", lambda x: x.replace('{ "lo" }', '{ "in0" }')))
        t.equal(pass_both_ways(b"elsewhere"), (False, False), "named on another interface")
        net.relay.run("nft", "-f", generate(config, "host", lambda x: x.replace('{ "lo" }', '{ "out0" }')))
        t.equal(pass_both_ways(b"named"), (True, True), "named")


@t.test("the mcr host: an interface named in manage is left to the host's other rules, no other is, and flows stay the relay's")
def host_manage():
    need_nft()
    with t.line() as net:
        config = t.Config(RULES_OF_LINE)
        host = net.relay.socket(socket.AF_INET, socket.SOCK_DGRAM)
        host.bind(("", 2222))
        with net.relay.inside():
            host.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                            socket.inet_aton(IN) + socket.inet_aton("198.18.1.2"))
        flow = net.relay.socket(socket.AF_INET, socket.SOCK_DGRAM)
        flow.bind((IN, PORT))
        peers = {name: node.socket(socket.AF_INET, socket.SOCK_DGRAM) for name, node in (("in0", net.src), ("out0", net.dst))}
        for s in (host, flow, *peers.values()):
            s.settimeout(0.5)

        def answered(name, address):
            """Whether the host's stack takes in what comes by this interface, and its answer leaves."""
            try:
                peers[name].sendto(b"login", (address, 2222))
                host.sendto(b"welcome", host.recvfrom(100)[1])
                return peers[name].recv(100) == b"welcome"
            except (TimeoutError, PermissionError):
                return False

        def reached():
            return answered("in0", "198.18.1.2"), answered("out0", "198.18.2.2")

        sender = t.RawSender(net.src, "s0")
        t.wait_for(lambda: reached() == (True, True), 5, "answers by both, without rules")
        sender.send(t.datagram(IN, PORT, b"to the host"))
        t.equal(flow.recv(100), b"to the host", "without rules")
        net.relay.run("nft", "-f", generate(config, "host"))
        t.equal(reached(), (False, False), "with the rules as they are")
        net.relay.run("nft", "-f", generate(config, "host", lambda x: x.replace("no/interface", "in0")))
        t.equal(reached(), (True, False), "in0 named")
        sender.send(t.datagram(IN, PORT, b"the flow"))
        try:
            t.check(False, f"the host's stack took {flow.recv(100)!r}")
        except TimeoutError:
            pass


RULES_OF_LINE = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)])]


@t.test("at boot: an interface of the rules that is missing stops all of nftables.conf before Linux 6.16, and nothing after")
def at_boot():
    need_nft()
    with t.line() as net:
        config = t.Config(RULES_OF_LINE)
        rules, whole = generate(config, "host"), os.path.join(config.directory, "nftables.conf")
        with open(whole, "w", encoding="ascii") as f:
            f.write("flush ruleset\ntable inet site {\n chain input { type filter hook input priority 0; policy drop; }\n}\n"
                    f'include "{rules}"\n')

        def load(path):
            status, _, _ = t.run_command(["nft", "-f", path], net.relay, check_status=False)
            _, listed, _ = net.relay.run("nft", "list", "ruleset")
            return status, sorted(re.findall(r"^table (\S+ \S+) ", listed, re.MULTILINE))

        everything = ["inet mcr_host", "inet site", "netdev mcr_host"]
        t.equal(load(whole), (0, everything), "with both interfaces")
        net.relay.run("nft", "flush", "ruleset")
        net.relay.run("ip", "link", "set", "out0", "down")
        net.relay.run("ip", "link", "set", "out0", "name", "later0")
        t.equal(load(whole), (0, everything) if t.KERNEL >= (6, 16) else (1, []), "with out0 missing")
        # The site's own rules hold whatever becomes of these, when these are loaded by themselves.
        with open(whole, encoding="ascii") as f:
            own = f.read().replace("include", "# include")
        with open(whole, "w", encoding="ascii") as f:
            f.write(own)
        t.equal(load(whole), (0, ["inet site"]), "without the rules of the mcr host")
        net.relay.run("ip", "link", "set", "later0", "name", "out0")
        t.equal(load(rules), (0, everything), "the rules of the mcr host, once the interface is there")


@t.test("rules of the host that are older than the file: its new rule is down, and log and statistics name nftables")
def older_rules():
    need_nft()
    first = t.rule("first", IN, PORT, [t.to_group(OUT, OUT_PORT)])
    new = t.rule("new", "239.255.0.2", PORT, [t.to_group("239.255.1.2", OUT_PORT), t.to_host("198.18.2.1", HOST_PORT)])
    reason = "to 239.255.1.2: No buffer space available: the queue is full, or nftables drops it (egress)"
    with t.line() as net:
        config = t.Config([first])
        net.relay.run("nft", "-f", generate(config, "host"))
        config.rules = [first, new]
        config.write()
        with t.Mcrd(net.relay, config) as d:
            sender = t.RawSender(net.src, "s0")

            def down():
                sender.send(t.datagram(IN, PORT, b"x"), t.datagram("239.255.0.2", PORT, b"x"))
                first, new = d.stats()["rules"]
                return first["state"] == "active" and new["state"] == "down" and new

            rule = t.wait_for(lambda: (lambda r: r and r["reason"] == reason and r)(down()), 10, "the reason")
            t.equal([o["packets"] for o in rule["outputs"]], [0, 0], "what left")
            t.check(all(o["errors"] > 0 for o in rule["outputs"]), f"nothing was refused: {rule}")
            errors = " ".join(d.logged("send_failed"))
            for hint in ("drops it (egress)", "drops it (output)"):
                t.check(hint in errors, f"the log does not say: {hint}")
            status, out, _ = t.run_command([t.MCRSTAT, "--check", "--stats", config.stats_file], check_status=False)
            t.check(status == 2 and "1 down" in out, f"the plugin says {status}: {out}")


@t.test("one firewall on both sides: the rules of both roles beside each other, by names of its interfaces")
def one_firewall():
    need_nft()
    with t.Net() as net:
        for name in ("src", "fw", "relay", "dst"):
            net.node(name)
        net.link(net.src, "s0", "198.18.1.1/24", net.fw, "plant", None)
        net.link(net.fw, "dmz-in", None, net.relay, "ot0", "198.18.1.2/24")
        net.link(net.relay, "dmz0", "198.18.4.2/24", net.fw, "dmz-out", None)
        net.link(net.fw, "office", None, net.dst, "d0", "198.18.4.1/24")
        for bridge, ports in (("br0", ("plant", "dmz-in")), ("br1", ("dmz-out", "office"))):
            net.fw.run("ip", "link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
            net.fw.run("ip", "link", "set", bridge, "up")
            for port in ports:
                net.fw.run("ip", "link", "set", port, "master", bridge)
        net.fw.run("sh", "-ec", "for i in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do "
                                "if [ -e $i ]; then echo 0 > $i; fi; done")

        def named(zone, mcr, others):
            def edit(text):
                for old, new in (('"zone0"', f'"{zone}"'), ('"mcr0"', f'"{mcr}"'), ('{ "lo" }', others)):
                    t.equal(text.count(old), 1, old)
                    text = text.replace(old, new)
                return text
            return edit

        with t.Mcrd(net.relay, t.Config(RULES)) as d:
            capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
            at_relay = t.Capture(net.relay, "ot0")
            upstream = generate(d.config, "upstream", named("plant", "dmz-in", '{ "dmz-out", "office" }'))
            downstream = generate(d.config, "downstream", named("office", "dmz-out", '{ "plant", "dmz-in" }'))
            net.fw.run("nft", "-f", upstream)
            net.fw.run("nft", "-f", downstream)
            net.relay.run("nft", "-f", generate(d.config, "host"))
            before = dropped(net.fw)
            sender.send(t.datagram(IN, PORT + 1, b"another port"), t.datagram(IN, PORT, b"the flow"))
            capture.wait(2)
            t.equal(sorted((f.payload, f.port) for f in capture.udp()), [(b"the flow", OUT_PORT), (b"the flow", HOST_PORT)],
                    "what came")
            t.equal([f.payload for f in at_relay.udp()], [b"the flow"], "what came to the mcr host")
            t.check(dropped(net.fw) > before, "nothing was counted as everything else")


t.main()
