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
import os
import re
import shutil
import socket
import struct

import mcrtest as t

IN, OUT, OTHER = "239.255.0.1", "239.255.1.1", "239.255.9.9"
PORT, OUT_PORT, HOST_PORT = 5000, 6000, 6002
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
        first.route((a["ot0"],), groups, 1, 0)
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


def need_nft():
    if not shutil.which("nft"):
        raise t.Skip("nft (nftables) is not installed")
    with t.Net() as net:
        status, _, err = net.node("a").run("nft", "add table bridge x; add table netdev x; add table inet x",
                                           check_status=False)
        if status != 0:
            raise t.Skip(f"nftables does not work here: {err.strip()}")


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


def host_probes(net, captures, stage):
    """What a relay that was taken over, or another process of its host, tries."""
    found = []

    def frame(name, interface, firewall, seen_at, address, port, source_port):
        payload = f"relay {name} {stage}".encode()
        f = group_frame(net.addresses[interface], address, port, payload, t.mac(net, "relay", interface), source_port)
        sender = t.RawSender(net.relay, interface)

        def send():
            try:
                sender.send(f)
            except OSError as e:  # chain egress has dropped it
                t.equal(e.errno, errno.ENOBUFS, "error of the packet socket")
        found.append(Probe(f"relay: {name}", ["relay", firewall], send, captures[seen_at], has_udp(payload)))

    def sent(name, interface, firewall, seen_at, address, port):
        payload = f"relay {name} {stage}".encode()

        def send():
            with net.relay.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, contextlib.suppress(PermissionError):
                s.bind((net.addresses[interface], 0))
                s.sendto(payload, (address, port))
        found.append(Probe(f"relay: {name}", ["relay", firewall], send, captures[seen_at], has_udp(payload)))

    frame("a frame into the source zone", "ot0", "fw1", "s0", IN, PORT, PORT)
    frame("a frame to another group", "dmz0", "fw2", "d0", OTHER, OUT_PORT, OUT_PORT)
    frame("a frame to another port", "dmz0", "fw2", "d0", OUT, OUT_PORT + 1, OUT_PORT)
    frame("a frame from another port", "dmz0", "fw2", "d0", OUT, OUT_PORT, OUT_PORT + 1)
    sent("a datagram into the source zone", "ot0", "fw1", "s0", net.addresses["src"], 9)
    sent("a datagram to another port", "dmz0", "fw2", "d0", net.addresses["dst"], HOST_PORT + 1)
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


# --- the tests -------------------------------------------------------------------------------------------------------

RULES = [t.rule("telemetry", IN, PORT, [t.to_group(OUT, OUT_PORT, interface="dmz0", ttl=4),
                                        t.to_host("198.18.4.1", HOST_PORT, interface="dmz0", ttl=4)],
                interface="ot0", sources=["198.18.1.1"]),
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


def exact(routed):
    need_nft()
    with Dmz(routed) as net, t.Mcrd(net.relay, t.Config(RULES)) as d:
        files = {node: generate(d.config, role) for node, role in ROLES.items()}
        captures = {i: t.Capture(getattr(net, n), i)
                    for n, i in (("src", "s0"), ("relay", "ot0"), ("relay", "dmz0"), ("dst", "d0"))}
        stages = [set(), {"fw1"}, {"relay"}, {"fw2"}, set(ROLES)]
        for stage, loaded in enumerate(stages):
            for node in ROLES:
                getattr(net, node).run("nft", "flush", "ruleset")
                if node in loaded:
                    getattr(net, node).run("nft", "-f", files[node])
            for c in captures.values():
                c.poll()
                c.frames.clear()
            probes = [*zone_probes(net, "src", captures, stage), *zone_probes(net, "dst", captures, stage),
                      *host_probes(net, captures, stage), arp_probe(net, captures)]
            sender, mark = t.RawSender(net.src, "s0"), f"the configured flow {stage}".encode()

            def fence():
                sender.send(group_frame(net.addresses["src"], IN, PORT, mark, t.mac(net, "src", "s0")))
                captures["d0"].wait_payload(mark)
            try_all(net, loaded, probes, fence)
            t.note(f"rules of {', '.join(sorted(loaded)) or 'nobody'}: {len(probes)} probes")
        whole_way(net, d)
        whole_way(net, d, size=9000)


@t.test("firewalls that route: the configured flow passes, whole and in fragments; nothing else does, either way")
def routed():
    exact(True)


@t.test("firewalls that bridge: the configured flow passes, whole and in fragments; nothing else does, either way")
def bridged():
    exact(False)


t.main()
