#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whatever arrives: IPv6, tags, fragments, unicast and broadcast inputs, kept sources, links without Ethernet."""
import fcntl
import os
import select
import socket
import struct
import time

import mcrtest as t

IN6, OUT6, OTHER6 = "ff15::4d:1", "ff15::4d:2", "ff15::4d:99"
IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
HOST6, HOST = "2001:db8:2::2", "198.18.2.1"
BROADCAST = b"\xff" * 6


def passes(net, rules, receivers, to, n=600, **options):
    """n datagrams by mcrgen; each receiver (address, port) gets each of them once, and what is not for us none."""
    with t.Mcrd(net.relay, rules) as d:
        ready = [t.Receiver(net.dst, "d0", a, p, expect=n) for a, p in receivers]
        t.send(net.src, "s0", to, PORT, count=n, **{"rate": 10000, "size": 1000, **options})
        for r in ready:
            r.all_came()
        return d.account({"r": n})


# --- IPv6 ------------------------------------------------------------------------------------------------------------


@t.test("IPv6 group to IPv6 group, in frame and socket mode, to an IPv6 host, and to an IPv4 group: at once")
def ipv6_to_all():
    rules = [t.rule("r", IN6, PORT, [t.to_group(OUT6, 6000, mode="frame"), t.to_group(OUT6, 6001, mode="socket"),
                                     t.to_host(HOST6, 6002), t.to_group(OUT, 6003), t.to_host(HOST, 6004)])]
    with t.line6() as net:
        passes(net, rules, [(OUT6, 6000), (OUT6, 6001), (HOST6, 6002), (OUT, 6003), (HOST, 6004)], IN6)


@t.test("IPv4 group to IPv6 groups and an IPv6 host")
def ipv4_to_ipv6():
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT6, 6000), t.to_group(OUT6, 6001, mode="socket"),
                                    t.to_host(HOST6, 6002)])]
    with t.line6() as net:
        passes(net, rules, [(OUT6, 6000), (OUT6, 6001), (HOST6, 6002)], IN)


@t.test("IPv6 super-frames from the source, several flows at once")
def ipv6_super_frames():
    rules = [t.rule("a", IN6, PORT, [t.to_group(OUT6, 6000), t.to_host(HOST6, 6002)]),
             t.rule("b", IN6, PORT + 1, [t.to_group(OUT6, 6001, mode="socket"), t.to_group(OUT, 6003)])]
    with t.line6() as net:
        for off in (False, True):
            if off:
                net.relay.ethtool("out0", "tx", "off", "gso", "off", "tx-udp-segmentation", "off")
            with t.Mcrd(net.relay, rules) as d:
                receivers = [t.Receiver(net.dst, "d0", a, p, expect=2000)
                             for a, p in ((OUT6, 6000), (HOST6, 6002), (OUT6, 6001), (OUT, 6003))]
                senders = [t.start_sending(net.src, "s0", IN6, PORT + i, count=2000, rate=20000, size=1000, gso=20)
                           for i in range(2)]
                for s in senders:
                    t.finish_sending(s)
                for r in receivers:
                    r.all_came()
                d.account({"a": 2000, "b": 2000})


@t.test("IPv6: another group, another port and a wrong or missing checksum are not forwarded; the emitted packet")
def ipv6_exact():
    rules = [t.rule("r", IN6, PORT, [t.to_group(OUT6, OUT_PORT, dscp="ef"), t.to_host(HOST6, OUT_PORT, ttl=9)])]
    with t.line6() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(t.datagram6(OTHER6, PORT, b"other group"), t.datagram6(IN6, PORT + 1, b"other port"),
                        t.datagram6(IN6, PORT, b"no checksum", checksum=0),
                        t.datagram6(IN6, PORT, b"bad checksum", checksum=0x1234),
                        # The same Ethernet address, another group.
                        t.datagram6("ff15::1:4d:1", PORT, b"other group, same frame address"),
                        t.datagram6(IN6, PORT, b"right"), t.datagram6(IN6, PORT, b"the last one"))
            t.wait_for(lambda: len(t.captured6(capture)) >= 4, 5, "4 datagrams")
            d.account({"r": 2}, in0={"bad_checksum": 2})
        seen = t.captured6(capture)
        t.equal(sorted((f.destination, f.payload) for f in seen),
                sorted((a, p) for a in (OUT6, HOST6) for p in (b"right", b"the last one")), "datagrams")
        for f in seen:
            t.check(f.udp_checksum_ok, f"{f}: checksum")
            t.equal((f.source, f.source_port, f.port), ("2001:db8:2::1", OUT_PORT, OUT_PORT), "source and ports")
            t.equal(f.sender, t.mac(net, "relay", "out0"), "source address of the frame")
            if f.destination == OUT6:
                t.equal((f.to.hex(":"), f.ttl, f.dscp), ("33:33:00:4d:00:02", 1, 46), "group output")
            else:
                t.equal((f.to, f.ttl, f.dscp), (t.mac(net, "dst", "d0"), 9, 0), "host output")


@t.test("IPv6: the relay joins its groups on the input alone, and leaves them")
def ipv6_join():
    rules = [t.rule("r", IN6, PORT, [t.to_group(OUT6, OUT_PORT)])]
    with t.line6() as net:
        t.check(IN6 not in t.memberships6(net.relay, "in0"), "joined before mcrd")
        with t.Mcrd(net.relay, rules):
            t.check(IN6 in t.memberships6(net.relay, "in0"), f"not joined: {t.memberships6(net.relay, 'in0')}")
            t.check(not {IN6, OUT6} & t.memberships6(net.relay, "out0"), "joined on the output")
            t.check(OTHER6 not in t.memberships6(net.relay, "in0"), "joined another group")
        t.wait_for(lambda: IN6 not in t.memberships6(net.relay, "in0"), 5, "left the group")


@t.test("IPv6: sources = [...], an address and a prefix")
def ipv6_sources():
    for sources, allowed in ((["2001:db8:1::2"], ["2001:db8:1::2"]),
                             (["2001:db8:1:0:1::/80"], ["2001:db8:1:0:1::7", "2001:db8:1:0:1:ffff:0:1"])):
        rules = [t.rule("r", IN6, PORT, [t.to_group(OUT6, OUT_PORT)], sources=sources)]
        with t.line6() as net:
            net.relay.ethtool("out0", "tx", "off")
            capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
            every = ["2001:db8:1::3", "2001:db8:1:0:2::1", *allowed]
            with t.Mcrd(net.relay, rules) as d:
                sender.send(*(t.datagram6(IN6, PORT, a.encode(), source=a) for a in every))
                t.wait_for(lambda: len(t.captured6(capture)) >= len(allowed), 5, "what is allowed")
                d.account({"r": {"packets": len(every), "drops": {"source": 2}}})
            t.equal([f.payload.decode() for f in t.captured6(capture)], allowed, f"sources {sources}")


# --- VLAN ------------------------------------------------------------------------------------------------------------


@t.test("input vlan = 200: only frames with this tag; without vlan: only untagged ones and priority tags")
def vlan_input():
    rules = [t.rule_of("tagged", [t.to_group(OUT, 6000)], group=IN, port=PORT, vlan=200),
             t.rule_of("plain", [t.to_group(OUT, 6001)], group=IN, port=PORT)]
    frames = [t.datagram(IN, PORT, b"untagged"), t.datagram(IN, PORT, b"tag 200", tags=[(0x8100, 200)]),
              t.datagram(IN, PORT, b"tag 200, priority 5", tags=[(0x8100, 5 << 13 | 200)]),
              t.datagram(IN, PORT, b"priority tag", tags=[(0x8100, 5 << 13)]),
              t.datagram(IN, PORT, b"tag 201", tags=[(0x8100, 201)]),
              t.datagram(IN, PORT, b"last"), t.datagram(IN, PORT, b"last, 200", tags=[(0x8100, 200)])]
    tagged, plain = [b"tag 200", b"tag 200, priority 5", b"last, 200"], [b"untagged", b"priority tag", b"last"]
    for kept, counted in ((rules, {"vlan": 1}), (rules[:1], None), (rules[1:], {"vlan": 4})):
        names = [r["name"] for r in kept]
        with t.line() as net:
            capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
            with t.Mcrd(net.relay, kept) as d:
                sender.send(*frames)
                capture.wait(3 * len(kept), OUT)
                if counted is None:
                    # Untagged frames pass the kernel's filter or not: either way they are not the rule's.
                    s = t.wait_for(lambda x=d: (lambda s: s if s["rules"][0]["packets"] == 3 else None)(x.stats()), 5)
                    i = s["interfaces"][0]
                    t.check(i["vlan"] == 1 and i["unmatched"] in (0, 3), f"counters {i}")
                    d.check_sums()
                else:
                    d.account({n: 3 for n in names}, in0=counted)
            t.equal([f.payload for f in capture.udp(port=6000)], tagged if "tagged" in names else [], f"{names}: tagged")
            t.equal([f.payload for f in capture.udp(port=6001)], plain if "plain" in names else [], f"{names}: plain")
            t.check(all(f.vlan is None for f in capture.udp()), "a tag at the destination")


def vlan_out(net, n=50, size=1000, **output):
    """What the destination sees of n datagrams that a super-frame brought, by an output with vlan = 300."""
    capture = t.Capture(net.dst, "d0")
    into = net.src.socket(socket.AF_INET, socket.SOCK_DGRAM)
    into.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("198.18.1.1"))
    payload = os.urandom(n * size)
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT, 6000, vlan=300, **output), t.to_group(OUT, 6001)])]
    with t.Mcrd(net.relay, rules) as d:
        into.sendmsg([payload], [(socket.IPPROTO_UDP, t.UDP_SEGMENT, struct.pack("H", size))], 0, (IN, PORT))
        into.sendto(b"alone", (IN, PORT))
        capture.wait(n + 1, OUT, 6000)
        capture.wait(n + 1, OUT, 6001)
        d.account({"r": n + 1})
    expected = [payload[i:i + size] for i in range(0, len(payload), size)] + [b"alone"]
    for port, vlan in ((6000, 300), (6001, None)):
        seen = capture.udp(OUT, port)
        t.equal({f.vlan for f in seen}, {vlan}, f"tags of port {port}")
        t.check([f.payload for f in seen] == expected, f"port {port}: payloads")
    return capture


@t.test("output vlan = 300: frames carry the tag, also those of super-frames")
def vlan_output():
    with t.line() as net:
        vlan_out(net)
        net.relay.ethtool("out0", "tx", "off", "tx-udp-segmentation", "off")
        capture = vlan_out(net)
        t.equal(capture.super_frames, 0, "super-frames on a link without offloads")
        t.check(all(f.ip_checksum_ok and f.udp_checksum_ok for f in capture.udp()), "checksums")
        net.relay.ethtool("out0", "txvlan", "off")
        vlan_out(net)


@t.test("output vlan = 300: the VLAN's own interface at the destination gets all of it, d0 and VLAN 301 nothing")
def vlan_output_received():
    with t.line() as net:
        for n in (300, 301):
            if net.dst.run("ip", "link", "add", "link", "d0", "name", f"d0.{n}", "type", "vlan", "id", n,
                           check_status=False)[0] != 0:
                raise t.Skip("no VLAN interfaces here")
            net.dst.run("ip", "address", "add", f"198.18.{n - 270}.1/24", "dev", f"d0.{n}")
            net.dst.run("ip", "link", "set", f"d0.{n}", "up")
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT, vlan=300)])]) as d:
            good = t.Receiver(net.dst, "d0.300", OUT, OUT_PORT, expect=2000)
            bad = [t.Receiver(net.dst, i, OUT, OUT_PORT, expect=0, seconds=2) for i in ("d0", "d0.301")]
            t.send(net.src, "s0", IN, PORT, count=2000, rate=20000, gso=20, size=1000)
            good.all_came()
            for r in bad:
                r.all_came()
            d.account({"r": 2000})


# --- fragments -------------------------------------------------------------------------------------------------------


@t.test("datagrams of 20,000 and 65,507 bytes across links of 1500: frame, socket, unicast")
def fragments():
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT, 6000, mode="frame"), t.to_group(OUT, 6001, mode="socket"),
                                    t.to_host(HOST, 6002)])]
    for size in (20000, 65507):
        with t.line() as net:
            passes(net, rules, [(OUT, 6000), (OUT, 6001), (HOST, 6002)], IN, n=40, size=size, rate=200)


@t.test("fragments: among them whole datagrams; a datagram with a missing fragment does not come")
def fragments_missing():
    whole = t.udp(t.SOURCE, IN, bytes(range(250)) * 12, PORT)

    def piece(ident, first, last, more):
        return t.frame(t.ipv4(t.SOURCE, IN, whole[first:last], ident=ident, flags=int(more), offset=first),
                       t.group_mac(IN))

    frames = [piece(1, 0, 1400, True), t.datagram(IN, PORT, b"between"), piece(1, 1400, len(whole), False),
              piece(2, 0, 1400, True), piece(3, 1400, len(whole), False), t.datagram(IN, PORT, b"last")]
    with t.line() as net:
        r = net.dst.socket(socket.AF_INET, socket.SOCK_DGRAM)
        r.settimeout(3)
        with net.dst.inside():
            r.bind((HOST, OUT_PORT))
        sender = t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, [t.to_host(HOST, OUT_PORT)])]) as d:
            sender.send(*frames)
            got = []
            while not got or got[-1] != b"last":
                got.append(r.recv(70000))
            t.equal([x[:8] for x in got], [b"between", whole[8:16], b"last"], "received")
            t.check(got[1] == whole[8:], "contents of the fragmented one")
            d.account({"r": 3})


@t.test("fragments over IPv6")
def fragments6():
    rules = [t.rule("r", IN6, PORT, [t.to_group(OUT6, 6000, mode="socket"), t.to_host(HOST6, 6002),
                                     t.to_group(OUT, 6003)])]
    with t.line6() as net:
        passes(net, rules, [(OUT6, 6000), (HOST6, 6002), (OUT, 6003)], IN6, n=40, size=20000, rate=200)


if __name__ == "__main__":
    t.main()
