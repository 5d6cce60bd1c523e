#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""IPv6 in and out, and from one family to the other."""
import mcrtest as t

IN6, OUT6, OTHER6 = "ff15::4d:1", "ff15::4d:2", "ff15::4d:99"
IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
HOST6, HOST = "2001:db8:2::2", "198.18.2.1"


@t.test("IPv6 group to IPv6 group, in frame and socket mode, to an IPv6 host, and to an IPv4 group: at once")
def ipv6_to_all():
    rules = [t.rule("r", IN6, PORT, [t.to_group(OUT6, 6000, mode="frame"), t.to_group(OUT6, 6001, mode="socket"),
                                     t.to_host(HOST6, 6002), t.to_group(OUT, 6003), t.to_host(HOST, 6004)])]
    with t.line6() as net:
        t.passes(net, rules, [(OUT6, 6000), (OUT6, 6001), (HOST6, 6002), (OUT, 6003), (HOST, 6004)], IN6)


@t.test("IPv4 group to IPv6 groups and an IPv6 host")
def ipv4_to_ipv6():
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT6, 6000), t.to_group(OUT6, 6001, mode="socket"),
                                    t.to_host(HOST6, 6002)])]
    with t.line6() as net:
        t.passes(net, rules, [(OUT6, 6000), (OUT6, 6001), (HOST6, 6002)], IN)


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


if __name__ == "__main__":
    t.main()
