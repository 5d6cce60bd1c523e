#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loops: own frames never re-enter, two relays that face each other die out, discovery crosses once each way."""
import re
import socket
import struct

import mcrtest as t

PORT, N = 5000, 20
GROUPS = {4: ("239.255.0.1", "239.255.0.2"), 6: ("ff15::4d:1", "ff15::4d:2")}


# --- two relays ------------------------------------------------------------------------------------------------------


def facing():
    """a l0 ─── l0 b, a r0 ─── r0 b: a relays from left to right, b from right to left"""
    net = t.Net()
    try:
        a, b = net.node("a"), net.node("b")
        for i, name in ((1, "l0"), (2, "r0")):
            net.link(a, name, f"198.18.{i}.2/24", b, name, f"198.18.{i}.1/24")
            t.enable_ipv6(a, name, f"2001:db8:{i}::1")
            t.enable_ipv6(b, name, f"2001:db8:{i}::2")
    except BaseException:
        net.__exit__()
        raise
    return net


def there_and_back(family, **keys):
    one, two = GROUPS[family]
    return ([t.rule("there", one, PORT, [t.to_group(two, PORT, interface="r0", **keys)], interface="l0")],
            [t.rule("back", two, PORT, [t.to_group(one, PORT, interface="l0", **keys)], interface="r0")])


def seen(capture, family):
    return [f.ttl for f in (capture.udp() if family == 4 else t.captured6(capture))]


@t.test("two relays that face each other, ttl = \"decrement\": a datagram comes round as often as ttl says")
def die_out():
    for family, mode in ((4, "frame"), (4, "socket"), (6, "frame"), (6, "socket")):
        datagram = t.datagram if family == 4 else t.datagram6
        with facing() as net:
            there, back = there_and_back(family, ttl="decrement", mode=mode)
            left, right = t.Capture(net.a, "l0"), t.Capture(net.b, "r0")
            with t.Mcrd(net.a, there) as a, t.Mcrd(net.b, back) as b:
                t.RawSender(net.b, "l0").send(datagram(GROUPS[family][0], PORT, b"round", ttl=8))
                b.account({"back": {"packets": 4, "drops": {"ttl": 1}}})
                a.account({"there": 4})
                t.equal((seen(left, family), seen(right, family)), ([8, 6, 4, 2], [7, 5, 3, 1]), "ttls, left and right")
                t.RawSender(net.b, "l0").send(datagram(GROUPS[family][0], PORT, b"round", ttl=3))
                a.account({"there": {"packets": 6, "drops": {"ttl": 1}}})
                b.account({"back": {"packets": 5, "drops": {"ttl": 1}}})


@t.test("the same of 2000 datagrams in super-frames: ttl of them times 2000 in all")
def die_out_many():
    with facing() as net:
        there, back = there_and_back(4, ttl="decrement")
        with t.Mcrd(net.a, there) as a, t.Mcrd(net.b, back) as b:
            t.send(net.b, "l0", GROUPS[4][0], PORT, count=2000, gso=20, ttl=9, rate=20000)
            a.account({"there": {"packets": 10000, "drops": {"ttl": 2000}}})
            b.account({"back": 8000})


@t.test("two relays with a fixed ttl: a datagram comes round for ever, so that the tests above would have seen it")
def circles_for_ever():
    with facing() as net:
        there, back = there_and_back(4, ttl=8)
        left = t.Capture(net.a, "l0")
        with t.Mcrd(net.a, there):
            with t.Mcrd(net.b, back) as d:
                t.RawSender(net.b, "l0").send(t.datagram(GROUPS[4][0], PORT, b"round", ttl=8))
                t.wait_for(lambda: d.stats()["rules"][0]["packets"] >= 100, 5, "100 turns")
            # Once the circle is open: it turns faster than the capture can be read.
            t.check(len(left.wait(100)) >= 100, "captured")


# --- discovery -------------------------------------------------------------------------------------------------------


DISCOVERY = {"mDNS": ("224.0.0.251", 5353), "mDNS over IPv6": ("ff02::fb", 5353), "DDS": ("239.255.0.1", 7400),
             "BACnet/IP": ("255.255.255.255", 47808), "BACnet/IP to the subnet": (None, 47808)}


def both_ways(address, port, two_way=True, **keys):
    to = {"broadcast": True} if address is None or address == "255.255.255.255" else {"group": address}
    return [{"name": name, "input": {"interface": i, "port": port, **to},
             "outputs": [{"interface": o, "port": port, **to, **keys}], **({"two_way": True} if two_way else {})}
            for name, i, o in (("east", "in0", "out0"), ("west", "out0", "in0"))]


def host(node, interface, mine, address, port):
    """A socket as such a protocol's hosts have it: the well-known port at both ends."""
    s = node.socket(socket.AF_INET6 if address and ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    with node.inside():
        index = socket.if_nametoindex(interface)
        s.bind(("", port))
        if address and ":" in address:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                         socket.inet_pton(socket.AF_INET6, address) + struct.pack("I", index))
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        elif address and t.is_group(address):
            of = socket.inet_aton(mine)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(address) + of)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, of)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        else:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            # 255.255.255.255 has no route.
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    return s


def discovery(address, port, args=(), **keys):
    ends = (("src", "s0", "198.18.1.1"), ("dst", "d0", "198.18.2.1"))
    with t.line6() as net:
        captures = [t.Capture(getattr(net, n), i) for n, i, _ in ends]
        hosts = [host(getattr(net, n), i, a, address, port) for n, i, a in ends]
        said = [[f"{n} {k}".encode() for k in range(N)] for n, _, _ in ends]
        with t.Mcrd(net.relay, both_ways(address, port, **keys), args) as d:
            # Question and answer in turn.
            for k in range(N):
                for me in (0, 1):
                    to = address or ("198.18.1.255", "198.18.2.255")[me]
                    hosts[me].sendto(said[me][k], (to, port))
                    got, sender = hosts[1 - me].recvfrom(100)
                    t.equal((got, sender[1]), (said[me][k], port), "what came, and from which port")
                    if to.endswith("255"):
                        t.equal(hosts[me].recv(100), said[me][k], "the sender's own copy")
            own = {"in0": {"own": N}, "out0": {"own": N}} if args else {}
            d.account({"east": N, "west": N}, **own)
        for me in (0, 1):
            came = [f.payload for f in (t.captured6 if address and ":" in address else t.Capture.udp)(captures[me])]
            t.equal(came, said[1 - me], f"what came to {ends[me][0]}: each once, and nothing of its own")


# --- one relay, whose own frames come back -----------------------------------------------------------------------------


def one_segment():
    """in0 and out0 of the relay, and s0 and d0, on one switch: a patch cable too many, or a VLAN that leaks."""
    net = t.Net()
    try:
        relay, switch = net.node("relay"), net.node("switch")
        switch.run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        switch.run("ip", "link", "set", "br0", "up")
        for i, (node, name) in enumerate(((net.node("src"), "s0"), (relay, "in0"), (relay, "out0"))):
            net.link(node, name, f"198.18.{max(1, i)}.{i + 1}/24", switch, f"p{i}", None)
            t.enable_ipv6(node, name, f"2001:db8:{max(1, i)}::{i + 11}")
            switch.run("ip", "link", "set", f"p{i}", "master", "br0")
    except BaseException:
        net.__exit__()
        raise
    return net


@t.test("input and output on one segment, by accident: what the relay has sent does not come in again, whoever is its sender; the log says so")
def same_segment():
    outputs = ({}, {"source": "preserve"}, {"mode": "socket"})
    for family, datagram in ((4, t.datagram), (6, t.datagram6)):
        group = GROUPS[family][0]
        for keys in outputs[:3 if family == 4 else 2]:
            with one_segment() as net, t.Mcrd(net.relay, [t.rule("r", group, PORT, [t.to_group(group, PORT, **keys)])]) as d:
                t.RawSender(net.src, "s0").send(*[datagram(group, PORT, b"once")] * N)
                d.account({"r": N}, in0={"own": N})
                line = t.wait_for(lambda: d.logged("looped"), 5, "event=looped")[0]
                t.check("interface=in0 datagrams=" in line, line)


@t.test("stations: a virtual router's address is nobody's own; another host with the input's address passes, unless the sender's address is the relay's, too")
def stations():
    group = GROUPS[4][0]
    with t.line() as net:
        shared, vrrp = bytes.fromhex("02aa00000007"), bytes.fromhex("00005e000107")
        net.relay.run("ip", "link", "set", "in0", "address", shared.hex(":"))
        net.relay.run("ip", "link", "set", "out0", "address", vrrp.hex(":"))
        with t.Mcrd(net.relay, [t.rule("r", group, PORT, [t.to_group(group, PORT)])]) as d:
            def sent(source, station):
                return t.datagram(group, PORT, b"x", source=source)[:6] + station + t.datagram(group, PORT, b"x", source=source)[12:]

            t.RawSender(net.src, "s0").send(sent("198.18.1.1", vrrp), sent("198.18.1.1", shared), sent("198.18.2.2", shared),
                                            sent("198.18.2.2", bytes.fromhex("02aa00000047")))
            d.account({"r": 3}, in0={"own": 1})


@t.test("discovery in both directions: mDNS, IPv4 and IPv6, DDS, BACnet/IP: each datagram crosses once")
def discovery_frame():
    for address, port in DISCOVERY.values():
        discovery(address, port)


@t.test("the same by UDP sockets, and where the kernel does not hide the relay's own frames")
def discovery_socket():
    for address, port in DISCOVERY.values():
        discovery(address, port, mode="socket")
        discovery(address, port, args=("--without", "ignore-outgoing"))


@t.test("the same files without two_way, or with one rule of two that says it, are refused")
def refused():
    with t.line6() as net:
        for address, port in DISCOVERY.values():
            for kept in (0, 1):
                rules = both_ways(address, port, two_way=False)
                rules[0].update({"two_way": True} if kept else {})
                status, said = t.Mcrd(net.relay, rules).run_to_end()
                t.equal(status, 1, f"{address}: exit status")
                t.check(re.search(r'mcr\.conf:\d+: rule "(east|west)": .*circle.*two_way', said), f"{address}: {said}")


@t.test("a circle by way of both families, and of a third rule, is refused; with two_way on each it runs")
def families():
    def three(two_way):
        ways = (("a", "in0", "239.255.0.1", "out0", "ff15::4d:1"), ("b", "out0", "ff15::4d:1", "in0", "ff15::4d:2"),
                ("c", "in0", "ff15::4d:2", "in0", "239.255.0.1"))
        return [t.rule(n, g, PORT, [t.to_group(to, PORT, interface=o)], interface=i,
                       **({"two_way": True} if n in two_way else {})) for n, i, g, o, to in ways]

    with t.line6() as net:
        for two_way in ("", "a", "ab"):
            status, said = t.Mcrd(net.relay, three(two_way)).run_to_end()
            t.equal(status, 1, "exit status")
            t.check("circle" in said and "two_way" in said, said)
        with t.Mcrd(net.relay, three("abc")) as d:
            capture = t.Capture(net.dst, "d0")
            t.RawSender(net.src, "s0").send(t.datagram("239.255.0.1", PORT, b"once"))
            t.wait_for(lambda: t.captured6(capture), 5, "the datagram")
            # What leaves by out0 and in0 is the relay's own and does not come back in.
            d.account({"a": 1})


if __name__ == "__main__":
    t.main()
