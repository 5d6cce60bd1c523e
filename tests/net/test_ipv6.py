#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""IPv6 in and out, and from one family to the other."""
import itertools
import socket

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


# --- headers ---------------------------------------------------------------------------------------------------------


def extension(following, *more, length=8):
    """An extension header of padding (RFC 8200, section 4.2), which leads to `following`."""
    body = bytes(more) if more else bytes((1, length - 4, *bytes(length - 4)))
    return bytes((following, length // 8 - 1)) + body[:length - 2].ljust(length - 2, b"\0")


def with_headers(payload, kinds, **keys):
    """The frame of a datagram behind extension headers: (type, bytes behind its first two)."""
    body, following = t.udp6(t.SOURCE6, IN6, payload, PORT, **keys), socket.IPPROTO_UDP
    for kind, more in reversed(kinds):
        body, following = extension(following, *more) + body, kind
    return t.frame6(t.ipv6(t.SOURCE6, IN6, body, following=following))


@t.test("extension headers: walked to the datagram behind them, at most eight; no packet that is on its way elsewhere")
def extension_headers():
    hop, routing, fragment, destination, authentication, none = 0, 43, 44, 60, 51, 59
    passing = {b"hop-by-hop": [(hop, ())], b"destination": [(destination, ())],
               b"routing, at its end": [(routing, (0, 0))], b"atomic fragment": [(fragment, (0, 0, 0, 0, 0, 9))],
               b"all in a row": [(hop, ()), (destination, ()), (routing, (0, 0)), (fragment, (0, 0, 0, 0, 0, 9)),
                                 (destination, ())],
               b"eight": [(destination, ())] * 8}
    malformed = [with_headers(b"too many", [(destination, ())] * n) for n in (9, 100)]
    # Longer than the packet: its second byte says 255 more.
    long = bytearray(with_headers(b"too long", [(destination, ())]))
    long[14 + 40 + 1] = 255
    malformed.append(bytes(long))
    foreign = [with_headers(b"routing, on its way", [(routing, (0, 1))])]
    rules = [t.rule("r", IN6, PORT, [t.to_group(OUT, OUT_PORT)])]
    with t.line6() as net:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(*malformed, *foreign, *(with_headers(p, k) for p, k in passing.items()),
                        # These do not pass the kernel's filter.
                        with_headers(b"authentication", [(authentication, ())]), with_headers(b"nothing", [(none, ())]),
                        # A wrong checksum behind a header is one, too.
                        with_headers(b"checksum", [(hop, ())], checksum=0x1234), t.datagram6(IN6, PORT, b"last"))
            capture.wait_payload(b"last")
            d.account({"r": len(passing) + 1}, in0={"malformed": 3, "unmatched": 1, "bad_checksum": 1})
        t.equal([f.payload for f in capture.udp()], [*passing, b"last"], "what was forwarded")


@t.test("hop limit and traffic class: given, decremented, kept, expired; from either family to the other, without ECN")
def hop_limit_and_class():
    outputs = [t.to_group(OUT6, 6000, ttl=17, dscp="af41"), t.to_group(OUT6, 6001, ttl="decrement"),
               t.to_host(HOST6, 6002, ttl="decrement"), t.to_group(OUT, 6003, ttl="decrement"),
               t.to_group(OUT6, 6004, ttl="decrement", mode="socket")]
    sent = [(64, 0), (2, 46), (255, 63), (1, 7)]
    for group, datagram in ((IN6, t.datagram6), (IN, t.datagram)):
        with t.line6() as net:
            net.relay.ethtool("out0", "tx", "off")
            capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
            with t.Mcrd(net.relay, [t.rule("r", group, PORT, outputs)]) as d:
                for i, (ttl, dscp) in enumerate(sent):
                    f = bytearray(datagram(group, PORT, bytes([i]) * 9, ttl=ttl, dscp=dscp))
                    if group == IN6:
                        f[15] |= 0x30  # ECN: congestion experienced
                    sender.send(bytes(f))
                # The last one has expired where it is decremented.
                d.account({"r": {"packets": 4, "outputs": [4] + [{"packets": 3, "expired": 1}] * 4}})
                t.wait_for(lambda: len(capture.udp()) + len(t.captured6(capture)) == 4 + 4 * 3, 5, "datagrams")
            seen = capture.udp() + t.captured6(capture)
            for port in range(6000, 6005):
                t.equal([(f.payload[0], f.ttl, f.dscp, f.ecn) for f in seen if f.port == port],
                        [(i, 17, 34, 0) for i in range(4)] if port == 6000 else
                        [(i, ttl - 1, dscp, 0) for i, (ttl, dscp) in enumerate(sent) if ttl > 1], f"{group}: {port}")


@t.test("an IPv4 datagram without a checksum leaves with one in IPv6, which wants it")
def no_checksum_to_ipv6():
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT6, 6000), t.to_group(OUT6, 6001, mode="socket"),
                                    t.to_host(HOST6, 6002)])]
    with t.line6() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(t.datagram(IN, PORT, b"none", udp_keys={"checksum": 0}))
            t.wait_for(lambda: len(t.captured6(capture)) == 3, 5, "3 datagrams")
            d.account({"r": 1})
        t.check(all(f.payload == b"none" and f.udp_checksum_ok for f in t.captured6(capture)), "payloads and checksums")


# --- scopes ----------------------------------------------------------------------------------------------------------


LOCAL, LOCAL_OUT = "ff02::4d:1", "ff02::4d:2"  # they stay on their link (RFC 4291, section 2.7)


def star6(inputs, outputs):
    net = t.star(inputs, outputs)
    try:
        for i in range(inputs):
            t.enable_ipv6(getattr(net, f"src{i}"), "s0", f"2001:db8:{10 + i}::2")
            t.enable_ipv6(net.relay, f"in{i}", f"2001:db8:{10 + i}::1")
        for i in range(outputs):
            t.enable_ipv6(getattr(net, f"dst{i}"), "d0", f"2001:db8:{20 + i}::2")
            t.enable_ipv6(net.relay, f"out{i}", f"2001:db8:{20 + i}::1")
            net.relay.ethtool(f"out{i}", "tx", "off")
    except BaseException:
        net.__exit__()
        raise
    return net


@t.test("groups of link-local scope belong to their interface: one group on two links is two inputs, two outputs")
def link_local():
    for mode in ("frame", "socket"):
        rules = [t.rule(f"r{i}", LOCAL, PORT, [t.to_group(LOCAL_OUT, OUT_PORT, interface=f"out{i}", mode=mode)],
                        interface=f"in{i}") for i in range(2)]
        with star6(3, 2) as net:
            captures = [t.Capture(n, "d0") for n in (net.dst0, net.dst1)]
            senders = [t.RawSender(n, "s0") for n in (net.src0, net.src1, net.src2)]
            with t.Mcrd(net.relay, rules) as d:
                for i, joined in enumerate((True, True, False)):
                    t.equal(LOCAL in t.memberships6(net.relay, f"in{i}"), joined, f"joined on in{i}")
                for k in range(10):
                    for i in (2, 1, 0):
                        senders[i].send(t.datagram6(LOCAL, PORT, b"%d from %d" % (k, i), source="fe80::77"),
                                        t.datagram6(LOCAL.replace("ff02", "ff05"), PORT, b"another scope"))
                for c in captures:
                    t.wait_for(lambda c=c: len(t.captured6(c)) >= 10, 5, "10 datagrams")
                d.account({"r0": 10, "r1": 10})
            for i, c in enumerate(captures):
                seen = t.captured6(c)
                t.equal([f.payload for f in seen], [b"%d from %d" % (k, i) for k in range(10)], f"out{i}, {mode}")
                local = t.local_address6(net.relay, f"out{i}")
                for f in seen:
                    t.equal((f.source, f.destination), (local, LOCAL_OUT), f"out{i}")
                    t.equal(f.to.hex(":"), "33:33:00:4d:00:02", "destination of the frame")
                    t.check(f.udp_checksum_ok, "checksum")


@t.test("a host of link-local scope as output: by its interface, though another has the same address")
def link_local_host():
    with star6(1, 2) as net:
        for n in (net.dst0, net.dst1):
            n.run("ip", "address", "add", "fe80::99/64", "dev", "d0", "nodad")
        rules = [t.rule("r", IN6, PORT, [t.to_host("fe80::99", OUT_PORT, interface="out1")])]
        with t.Mcrd(net.relay, rules) as d:
            captures = [t.Capture(n, "d0") for n in (net.dst0, net.dst1)]
            t.RawSender(net.src0, "s0").send(*(t.datagram6(IN6, PORT, bytes([i])) for i in range(5)))
            t.wait_for(lambda: len(t.captured6(captures[1])) == 5, 5, "5 datagrams")
            d.account({"r": 5})
            t.equal({f.source for f in t.captured6(captures[1])}, {t.local_address6(net.relay, "out1")}, "source")
            t.equal(t.captured6(captures[0]), [], "what came to the other")


@t.test("an address that a stranger advertises to the output's interface is no source, while there is another one")
def advertised():
    with t.line6() as net, t.Mcrd(net.relay, [t.rule("r", IN6, PORT, [t.to_group(OUT6, OUT_PORT)])]) as d:
        capture, sender, stranger = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0"), t.RawSender(net.dst, "d0")
        numbers = itertools.count(71)

        def advertise(prefix):
            stranger.send(t.router_advertisement([prefix + ":"], autonomous=True))
            t.wait_for(lambda: prefix in net.relay.run("ip", "-6", "address", "show", "dev", "out0", "-tentative")[1],
                       5, f"an address of {prefix}")

        def source():
            """What it sends from, once it has seen all addresses: one of the input's, which comes last, is no sender."""
            own = f"2001:db8:1::{next(numbers)}"  # another one each time: the last one's end may not be seen yet
            before = d.stats()["interfaces"][0]["martian"]
            net.relay.run("ip", "address", "add", own + "/64", "dev", "in0", "nodad")
            t.wait_for(lambda: sender.send(t.datagram6(IN6, PORT, b"no", source=own)) or
                       d.stats()["interfaces"][0]["martian"] > before, 5, "martian")
            net.relay.run("ip", "address", "del", own + "/64", "dev", "in0")
            sender.send(t.datagram6(IN6, PORT, payload := f"yes {before}".encode()))
            return t.wait_for(lambda: [f for f in t.captured6(capture) if f.payload == payload], 5, "it")[0].source

        advertise("2001:db8:bad:")
        t.equal(source(), "2001:db8:2::1", "the source, with a configured address")
        # Without one it is the first that was advertised.
        net.relay.run("ip", "address", "del", "2001:db8:2::1/64", "dev", "out0")
        first = source()
        t.check(first.startswith("2001:db8:bad:"), first)
        advertise("2001:db8:bad2:")
        t.equal(source(), first, "the source, with another advertised address")


if __name__ == "__main__":
    t.main()
