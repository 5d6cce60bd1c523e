#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Frames with tags, in and out."""
import os
import socket
import struct

import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
IN6, OUT6 = "ff15::4d:1", "ff15::4d:2"


@t.test("input vlan = 200: only frames with this tag; without vlan: only untagged ones and priority tags")
def vlan_input():
    rules = [t.rule_of("tagged", [t.to_group(OUT, 6000)], group=IN, port=PORT, vlan=200),
             t.rule_of("plain", [t.to_group(OUT, 6001)], group=IN, port=PORT)]
    frames = [t.datagram(IN, PORT, b"untagged"), t.datagram(IN, PORT, b"tag 200", tags=[(0x8100, 200)]),
              t.datagram(IN, PORT, b"tag 200, priority 5", tags=[(0x8100, 5 << 13 | 200)]),
              t.datagram(IN, PORT, b"priority tag", tags=[(0x8100, 5 << 13)]),
              t.datagram(IN, PORT, b"tag 201", tags=[(0x8100, 201)]),
              t.datagram(IN, PORT, b"provider's tag 200", tags=[(0x88a8, 200)]),
              t.datagram(IN, PORT, b"provider's tag 0", tags=[(0x88a8, 0)]),
              # The kernel takes the outer tag away; what is left is no IP to the filter.
              t.datagram(IN, PORT, b"200 in 200", tags=[(0x8100, 200), (0x8100, 200)]),
              t.datagram(IN, PORT, b"200 in a priority tag", tags=[(0x8100, 0), (0x8100, 200)]),
              t.datagram(IN, PORT, b"200 in a provider's 200", tags=[(0x88a8, 200), (0x8100, 200)]),
              t.datagram(IN, PORT, b"last"), t.datagram(IN, PORT, b"last, 200", tags=[(0x8100, 200)])]
    tagged, plain = [b"tag 200", b"tag 200, priority 5", b"last, 200"], [b"untagged", b"priority tag", b"last"]
    for kept, counted in ((rules, {"vlan": 3}), (rules[:1], None), (rules[1:], {"vlan": 6})):
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
                    t.check(i["vlan"] == 3 and i["unmatched"] in (0, 3), f"counters {i}")
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


@t.test("IPv6 with tags, in and out: each rule its VLAN, on one link")
def vlan6():
    rules = [t.rule_of(f"v{n}", [t.to_group(OUT6, OUT_PORT + n, vlan=n + 300)], group=IN6, port=PORT,
                       **({"vlan": n} if n else {}))
             for n in (0, 100, 200)]
    with t.line6() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(*(t.datagram6(IN6, PORT, b"%d" % n, tags=[(0x8100, n)] if n else [])
                          for n in (300, 0, 100, 200, 101)), t.datagram6(IN6, PORT, b"last"))
            t.wait_for(lambda: len(t.captured6(capture)) == 4, 5, "4 datagrams")
            d.account({"v0": 2, "v100": 1, "v200": 1}, in0={"vlan": 2})
        t.equal(sorted((f.port - OUT_PORT, f.vlan, f.payload) for f in t.captured6(capture)),
                [(0, 300, b"0"), (0, 300, b"last"), (100, 400, b"100"), (200, 500, b"200")], "port, tag, payload")
        t.check(all(f.udp_checksum_ok for f in t.captured6(capture)), "checksums")


if __name__ == "__main__":
    t.main()
