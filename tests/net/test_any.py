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
            for name, port, payloads in (("tagged", 6000, tagged), ("plain", 6001, plain)):
                t.equal([f.payload for f in capture.udp(port=port)], payloads if name in names else [],
                        f"{names}: {name}")
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
    whole = t.udp(t.SOURCE, IN, bytes(range(250)) * 10, PORT)

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


@t.test("fragments of IPv6 are counted, not forwarded; what came in as IPv4 leaves in IPv6 fragments")
def fragments6():
    outputs = [t.to_group(OUT6, 6000, mode="socket"), t.to_host(HOST6, 6001), t.to_group(OUT6, 6002)]
    with t.line6() as net:
        passes(net, [t.rule("r", IN, PORT, outputs)], [(OUT6, 6000), (HOST6, 6001), (OUT6, 6002)], IN, n=40,
               size=20000, rate=200)
    with t.line6() as net:
        with t.Mcrd(net.relay, [t.rule("r", IN6, PORT, outputs)]) as d:
            r = t.Receiver(net.dst, "d0", HOST6, 6001, expect=1, first=100, idle_ms=500)
            t.send(net.src, "s0", IN6, PORT, count=10, size=20000, rate=200)
            t.send(net.src, "s0", IN6, PORT, count=1, first=100, size=1000)
            r.all_came()
            d.account({"r": 1}, in0={"fragments": 10 * 14})


# --- unicast and broadcast inputs ------------------------------------------------------------------------------------


def icmp(capture, kind=0x0800):
    """The ICMP packets that came, but neighbour discovery and MLD: destination unreachable is what matters."""
    found = []
    for f in capture.poll():
        if f.outgoing or f.kind != kind:
            continue
        if kind == 0x0800 and f.data[23] == 1 and f.data[14 + (f.data[14] & 15) * 4] == 3:
            found.append(f)
        if kind == 0x86dd and f.data[20] == 58 and f.data[54] == 1:
            found.append(f)
    return found


@t.test("unicast input, IPv4 and IPv6: forwarded, no ICMP error to the sender; another port: an error, not forwarded")
def unicast_input():
    with t.line6() as net:
        for address, to, kind in (("198.18.1.2", OUT, 0x0800), ("2001:db8:1::1", OUT6, 0x86dd)):
            rules = [t.rule_of("r", [t.to_group(to, OUT_PORT), t.to_host(HOST, 6001)], address=address, port=PORT)]
            back = t.Capture(net.src, "s0")
            with t.Mcrd(net.relay, rules) as d:
                receivers = [t.Receiver(net.dst, "d0", a, p, expect=500) for a, p in ((to, OUT_PORT), (HOST, 6001))]
                # So slow that ICMP's rate limit lets errors through.
                t.send(net.src, "s0", address, PORT, count=480, rate=2000)
                t.send(net.src, "s0", address, PORT, count=20, first=480, gso=20)
                for r in receivers:
                    r.all_came()
                d.account({"r": 500})
                t.equal(len(icmp(back, kind)), 0, f"{address}: ICMP errors for the rule's port")
                t.send(net.src, "s0", address, PORT + 1, count=3, first=900, check_status=False)
                t.wait_for(lambda b=back, k=kind: icmp(b, k), 3, f"{address}: an ICMP error for another port")
                d.account({"r": 500})


@t.test("unicast input: not what is for the group of the same port, nor for another address of the relay")
def unicast_input_only():
    rules = [t.rule_of("r", [t.to_group(OUT, OUT_PORT)], address="198.18.1.2", port=PORT)]
    with t.line() as net:
        net.relay.run("ip", "address", "add", "198.18.1.3/24", "dev", "in0")
        to = t.mac(net, "relay", "in0")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(t.datagram(IN, PORT, b"group"), t.datagram("198.18.1.3", PORT, b"other address", to=to),
                        t.datagram("198.18.1.255", PORT, b"subnet", to=BROADCAST),
                        t.datagram("255.255.255.255", PORT, b"all", to=BROADCAST),
                        t.datagram("198.18.1.2", PORT, b"low source port", to=to, udp_keys={"source_port": 7}),
                        t.datagram("198.18.1.2", PORT, b"last", to=to))
            capture.wait_payload(b"last")
            d.account({"r": 2})
        t.equal([f.payload for f in capture.udp(OUT)], [b"low source port", b"last"], "forwarded")


@t.test("broadcast input: 255.255.255.255 and the subnet's; output broadcast = true")
def broadcast():
    # The address as "ip address add" sets it up without brd: the kernel takes the subnet's broadcasts all the same.
    broadcast_with(None)


@t.test("the same where the interface's broadcast address is set (brd +)")
def broadcast_set():
    broadcast_with("+")


def broadcast_with(brd):
    rules = [t.rule_of("r", [{"interface": "out0", "broadcast": True, "port": OUT_PORT}, t.to_group(OUT, OUT_PORT)],
                       broadcast=True, port=PORT)]
    with t.line() as net:
        if brd:
            net.relay.run("ip", "address", "flush", "dev", "in0")
            net.relay.run("ip", "address", "add", "198.18.1.2/24", "brd", brd, "dev", "in0")
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(t.datagram("255.255.255.255", PORT, b"all", to=BROADCAST),
                        t.datagram("198.18.1.255", PORT, b"subnet", to=BROADCAST),
                        t.datagram("198.18.2.255", PORT, b"other subnet", to=BROADCAST),
                        t.datagram("255.255.255.255", PORT + 1, b"other port", to=BROADCAST),
                        t.datagram(IN, PORT, b"group"),
                        t.datagram("198.18.1.2", PORT, b"unicast", to=t.mac(net, "relay", "in0")),
                        t.datagram("255.255.255.255", PORT, b"last", to=BROADCAST))
            capture.wait_payload(b"last")
            capture.wait(6, port=OUT_PORT)
            d.account({"r": 3})
        seen = capture.udp(port=OUT_PORT)
        for to, hardware in (("255.255.255.255", BROADCAST), (OUT, t.group_mac(OUT))):
            mine = [f for f in seen if f.destination == to]
            t.equal([f.payload for f in mine], [b"all", b"subnet", b"last"], f"datagrams to {to}")
            for f in mine:
                t.equal((f.to, f.source, f.ttl), (hardware, "198.18.2.2", 1), f"addressing to {to}")
                t.check(f.ip_checksum_ok and f.udp_checksum_ok, "checksums")
        t.equal(len(seen), 6, "datagrams in all")


@t.test("broadcast to broadcast, mcrgen at both ends, also in socket mode")
def broadcast_volume():
    for mode in ("frame", "socket"):
        rules = [t.rule_of("r", [{"interface": "out0", "broadcast": True, "port": OUT_PORT, "mode": mode}],
                           broadcast=True, port=PORT)]
        with t.line() as net, t.Mcrd(net.relay, rules) as d:
            r = t.Receiver(net.dst, "d0", "255.255.255.255", OUT_PORT, expect=500)
            t.send(net.src, "s0", "255.255.255.255", PORT, count=500, rate=5000)
            r.all_came()
            d.account({"r": 500})


# --- the sender's address and port are kept --------------------------------------------------------------------------


KEEP = {"source": "preserve", "source_port": "preserve"}


@t.test("source and source_port = \"preserve\": group and unicast outputs, two senders in turn")
def preserve():
    outputs = [t.to_group(OUT, OUT_PORT, **KEEP), t.to_host(HOST, OUT_PORT, **KEEP),
               t.to_group("239.255.1.2", OUT_PORT)]
    who = [("198.18.1.1", 4000), ("198.18.1.77", 514), ("198.18.1.1", 4001), ("198.18.9.9", 65535)]
    sent = [(*who[i % 4 if i % 7 else 0], f"datagram {i}".encode().ljust(64)) for i in range(60)]
    with t.line() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, outputs)]) as d:
            sender.send(*(t.datagram(IN, PORT, p, source=a, udp_keys={"source_port": n}) for a, n, p in sent))
            for o in (OUT, HOST, "239.255.1.2"):
                capture.wait(len(sent), o)
            d.account({"r": len(sent)})
        for to in (OUT, HOST):
            seen = capture.udp(to)
            t.equal([(f.source, f.source_port, f.payload) for f in seen], sent, f"what came to {to}")
            t.check(all(f.ip_checksum_ok and f.udp_checksum_ok and f.ttl == 1 for f in seen), f"{to}: checksums, ttl")
            hardware = t.mac(net, "dst", "d0") if to == HOST else t.group_mac(OUT)
            t.equal({f.to for f in seen}, {hardware}, f"frames to {to}")
        t.equal({(f.source, f.source_port) for f in capture.udp("239.255.1.2")}, {("198.18.2.2", OUT_PORT)},
                "the output that does not keep them")


@t.test("preserve over IPv6: group and unicast outputs, two senders in turn")
def preserve6():
    outputs = [t.to_group(OUT6, OUT_PORT, **KEEP), t.to_host(HOST6, OUT_PORT, **KEEP)]
    who = [("2001:db8:1::2", 4000), ("2001:db8:9::77", 514), ("2001:db8:1::2", 4001)]
    sent = [(*who[i % 3], f"datagram {i}".encode().ljust(64)) for i in range(60)]
    with t.line6() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, [t.rule("r", IN6, PORT, outputs)]) as d:
            sender.send(*(t.datagram6(IN6, PORT, p, source=a, source_port=n) for a, n, p in sent))
            t.wait_for(lambda: len(t.captured6(capture)) >= 2 * len(sent), 5,
                       f"{2 * len(sent)} datagrams")
            d.account({"r": len(sent)})
        for to in (OUT6, HOST6):
            seen = [f for f in t.captured6(capture) if f.destination == to]
            t.equal([(f.source, f.source_port, f.payload) for f in seen], sent, f"what came to {to}")
            t.check(all(f.udp_checksum_ok for f in seen), f"{to}: checksums")


@t.test("preserve with ttl = \"decrement\": of each datagram its own, and what has expired does not come")
def preserve_ttl():
    outputs = [t.to_group(OUT, OUT_PORT, ttl="decrement", **KEEP), t.to_host(HOST, OUT_PORT, ttl="decrement", **KEEP)]
    ttls = [64, 64, 3, 1, 2, 255, 64]
    with t.line() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, outputs)]) as d:
            sender.send(*(t.datagram(IN, PORT, bytes([i]) * 50, ttl=k, source=f"198.18.1.{7 + i % 2}", dscp=i)
                          for i, k in enumerate(ttls)))
            for o in (OUT, HOST):
                capture.wait(6, o)
            d.account({"r": {"packets": 7, "drops": {"ttl": 1}}})
        for to in (OUT, HOST):
            t.equal([(f.payload[0], f.ttl, f.source, f.source_port, f.dscp) for f in capture.udp(to)],
                    [(i, k - 1, f"198.18.1.{7 + i % 2}", 4000, i) for i, k in enumerate(ttls) if k > 1], to)


def preserve_volume(**options):
    outputs = [t.to_group(OUT, 6000, **KEEP), t.to_host(HOST, 6001, **KEEP)]
    with t.line() as net:
        passes(net, [t.rule("r", IN, PORT, outputs)], [(OUT, 6000), (HOST, 6001)], IN, source="198.18.1.1",
               source_port=514, **options)


@t.test("preserve: super-frames, to a group and a host")
def preserve_super_frames():
    preserve_volume(n=2000, gso=20)


@t.test("preserve: datagrams in fragments, to a group and a host, from the first one on")
def preserve_fragments():
    # A raw socket gives a packet with the id 0 an id of its own: each fragment another one.
    preserve_volume(n=40, size=20000, rate=200)


@t.test("source_port = 514 to a host, a group in both modes, and over IPv6")
def low_source_port():
    outputs = [t.to_host(HOST, 6000, source_port=514), t.to_group(OUT, 6001, source_port=514, mode="socket"),
               t.to_group(OUT, 6002, source_port=514), t.to_host(HOST6, 6003, source_port=514)]
    with t.line6() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, outputs)]) as d:
            sender.send(t.datagram(IN, PORT, b"one"), t.datagram(IN, PORT, b"two"))
            capture.wait(6)
            t.wait_for(lambda: len(t.captured6(capture)) >= 2, 5, "IPv6 datagrams")
            d.account({"r": 2})
        seen = capture.udp() + t.captured6(capture)
        t.equal(sorted((f.port, f.source_port, f.payload) for f in seen),
                sorted((p, 514, x) for p in range(6000, 6004) for x in (b"one", b"two")), "datagrams")
        t.check(all(f.udp_checksum_ok for f in seen), "checksums")


# --- links without Ethernet ------------------------------------------------------------------------------------------


TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000


def tun(node, name, *addresses):
    """A tun device in a node; its file descriptor."""
    try:
        with node.inside():
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    except OSError as e:
        raise t.Skip(f"no tun device: {e}") from None
    for a in addresses:
        node.run("ip", "address", "add", a, "dev", name)
    node.run("ip", "link", "set", name, "up")
    return fd


@t.test("from a tun device: groups and this host's address; another port and another group are not taken")
def tun_input():
    rules = [t.rule("g", IN, PORT, [t.to_group(OUT, 6000)], interface="tun0"),
             t.rule_of("u", [t.to_group(OUT, 6001), t.to_host(HOST, 6002, **KEEP)], interface="tun0",
                       address="198.18.5.2", port=PORT)]
    with t.line() as net:
        net.relay.ethtool("out0", "tx", "off")
        fd = tun(net.relay, "tun0", "198.18.5.2/24")
        capture = t.Capture(net.dst, "d0")

        def packet(to, port, payload):
            return t.ipv4("198.18.5.9", to, t.udp("198.18.5.9", to, payload, port))

        with t.Mcrd(net.relay, rules) as d:
            for p in (packet(IN, PORT, b"group"), packet(IN, PORT + 1, b"other port"),
                      packet("239.255.0.9", PORT, b"other group"), packet("198.18.5.2", PORT, b"host"),
                      packet("198.18.5.2", PORT + 1, b"other port"), packet(IN, PORT, b"last")):
                os.write(fd, p)
            capture.wait_payload(b"last")
            capture.wait(4)
            d.account({"g": 2, "u": 1})
        os.close(fd)
        t.equal(sorted((f.port, f.source, f.payload) for f in capture.udp()),
                [(6000, "198.18.2.2", b"group"), (6000, "198.18.2.2", b"last"), (6001, "198.18.2.2", b"host"),
                 (6002, "198.18.5.9", b"host")], "forwarded")
        t.check(all(f.udp_checksum_ok for f in capture.udp()), "checksums")


@t.test("to a tun device: to a host, to a group, and with the sender's address kept")
def tun_output():
    rules = [t.rule("r", IN, PORT, [t.to_host("198.18.5.9", 6000, interface="tun0", ttl=7),
                                    t.to_group(OUT, 6001, interface="tun0"),
                                    t.to_host("198.18.5.9", 6002, interface="tun0", **KEEP)])]
    payloads = [bytes((i + k) & 0xff for k in range(700)) for i in range(30)]
    with t.line() as net:
        fd = tun(net.relay, "tun0", "198.18.5.2/24")
        sender = t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(*(t.datagram(IN, PORT, p) for p in payloads), t.datagram(IN, PORT + 1, b"not for us"))
            d.account({"r": 30})
            packets = []
            deadline = time.monotonic() + 5
            while len(packets) < 90 and time.monotonic() < deadline:
                if select.select([fd], [], [], 0.1)[0]:
                    p = os.read(fd, 70000)
                    if p[0] >> 4 == 4 and p[9] == socket.IPPROTO_UDP:
                        packets.append(t.Frame(bytes(12) + b"\x08\0" + p, None, False, False))
        os.close(fd)
        for port, to, source, source_port, ttl in ((6000, "198.18.5.9", "198.18.5.2", 6000, 7),
                                                   (6001, OUT, "198.18.5.2", 6001, 1),
                                                   (6002, "198.18.5.9", t.SOURCE, 4000, 1)):
            seen = [f for f in packets if f.port == port]
            t.check([f.payload for f in seen] == payloads, f"port {port}: {len(seen)} datagrams, or contents")
            for f in seen:
                t.equal((f.destination, f.source, f.source_port, f.ttl), (to, source, source_port, ttl), f"port {port}")
                t.check(f.ip_checksum_ok and f.udp_checksum_ok, f"port {port}: checksums")
        t.equal(len(packets), 90, "packets in all")


if __name__ == "__main__":
    t.main()
