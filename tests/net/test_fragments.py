#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Datagrams in fragments, in and out."""
import struct

import mcrtest as t

IN6, OUT6 = "ff15::4d:1", "ff15::4d:2"
IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
HOST6, HOST = "2001:db8:2::2", "198.18.2.1"
KEEP = {"source": "preserve", "source_port": "preserve"}
RULE = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)])]
OPTIONS = bytes((17, 0, 1, 4, 0, 0, 0, 0))  # a destination options header of padding


def text(size, salt=0):
    return bytes((i * 7 + i // 251 + salt) & 0xff for i in range(size))


def forwarded(net, configured, frames, expected, check=None, **counters):
    """Sends frames, then a whole datagram; expected are the payloads that come, in this order where there is one rule,
    and that one.

    check(daemon) comes before the counters, which are as in Mcrd.account() without the last one.
    """
    net.relay.ethtool("out0", "tx", "off")
    counted = counters.pop("rules", {})
    last = configured[0]["name"]
    plain = counted.get(last, 0)
    counted[last] = plain + 1 if isinstance(plain, int) else {**plain, "packets": plain["packets"] + 1}
    capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
    group = configured[0]["input"]["group"]
    fence = (t.datagram6 if ":" in group else t.datagram)(group, PORT, b"the last one")
    with t.Mcrd(net.relay, configured) as d:
        sender.send(*frames, fence)
        capture.wait_payload(b"the last one")
        capture.wait(len(expected) + 1)
        if check:
            check(d)
        d.account(counted, **counters)
    seen = capture.udp()
    order = list if len(configured) == 1 else sorted
    came, wanted = order(f.payload for f in seen), order([*expected, b"the last one"])
    t.equal([(len(p), p[:16]) for p in came], [(len(p), p[:16]) for p in wanted], "what was forwarded")
    t.check(came == wanted, "contents")
    t.check(all(f.udp_checksum_ok for f in seen), "checksums")
    return seen


def expired(n):
    return lambda d: t.wait_for(lambda: d.stats()["interfaces"][0]["fragments"] == n, 5, f"{n} that expired")


# --- whole streams ---------------------------------------------------------------------------------------------------


@t.test("datagrams of 20,000 and 65,507 bytes across links of 1500: frame, socket, unicast")
def large():
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT, 6000, mode="frame"), t.to_group(OUT, 6001, mode="socket"),
                                    t.to_host(HOST, 6002)])]
    for size in (20000, 65507):
        with t.line() as net:
            t.passes(net, rules, [(OUT, 6000), (OUT, 6001), (HOST, 6002)], IN, n=40, size=size, rate=200)


@t.test("the same in IPv6, and from either family to the other")
def large6():
    outputs = [t.to_group(OUT6, 6000, mode="frame"), t.to_group(OUT6, 6001, mode="socket"), t.to_host(HOST6, 6002),
               t.to_group(OUT, 6003)]
    receivers = [(OUT6, 6000), (OUT6, 6001), (HOST6, 6002), (OUT, 6003)]
    for group in (IN6, IN):
        for size in (20000, 65507):
            with t.line6() as net:
                t.passes(net, [t.rule("r", group, PORT, outputs)], receivers, group, n=40, size=size, rate=200)


@t.test("10,000 datagrams of 4000 bytes at 5000/s from four senders at once: none is lost")
def many():
    rules = [t.rule(f"r{i}", IN, PORT + i, [t.to_group(OUT, OUT_PORT + i)]) for i in range(4)]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        receivers = [t.Receiver(net.dst, "d0", OUT, OUT_PORT + i, expect=2500) for i in range(4)]
        senders = [t.start_sending(net.src, "s0", IN, PORT + i, count=2500, rate=1250, size=4000) for i in range(4)]
        for s in senders:
            t.finish_sending(s)
        for r in receivers:
            r.all_came()
        d.account({f"r{i}": 2500 for i in range(4)})


# --- frame by frame --------------------------------------------------------------------------------------------------


@t.test("fragments in any order, among other datagrams, and twice: each datagram once; ttl and dscp of the first one")
def any_order():
    a, b, c = text(3000), text(2000, 1), text(1500, 2)
    one = t.fragments(IN, PORT, a, 1000, 2000, ident=7, ttl=9, dscp=46)
    two = t.fragments(IN, PORT, b, 1400, ident=7, source="198.18.1.9", udp_keys={"source_port": 53})
    three = t.fragments(IN, PORT, c, 800, ident=8, options=b"\x94\x04\0\0")
    frames = [one[2], two[0], one[0], one[0], t.datagram(IN, PORT, b"between"), three[1], two[1], one[2], one[1],
              three[0]]
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT, ttl="decrement", **KEEP)])]
    with t.line(mtu=9000) as net:
        seen = forwarded(net, rules, frames, [b"between", b, a, c], rules={"r": 4})
        t.equal([(f.source, f.source_port, f.ttl, f.dscp) for f in seen],
                [(t.SOURCE, 4000, 7, 0), ("198.18.1.9", 53, 7, 0), (t.SOURCE, 4000, 8, 46), (t.SOURCE, 4000, 7, 0),
                 (t.SOURCE, 4000, 7, 0)], "senders, ttl, dscp")


@t.test("fragments of IPv6 in any order, also with extension headers in the fragments; ttl and dscp of the first one")
def any_order6():
    a, b = text(3000), text(2000, 1)
    one, two = t.fragments6(IN6, PORT, a, 1000, 2000, ident=7, ttl=9, dscp=46), t.fragments6(
        IN6, PORT, b, 1400, ident=1 << 31, before=OPTIONS)
    rules = [t.rule("r", IN6, PORT, [t.to_group(OUT, OUT_PORT, ttl="decrement")])]
    with t.line6(mtu=9000) as net:
        seen = forwarded(net, rules, [two[1], one[2], one[1], two[0], one[0]], [b, a], rules={"r": 2})
        t.equal([(f.ttl, f.dscp) for f in seen], [(7, 0), (8, 46), (7, 0)], "ttl, dscp")


@t.test("incomplete ones expire and are counted; what comes after that is of no use")
def incomplete():
    frames = [*t.fragments(IN, PORT, text(3000), 1000, 2000, ident=1)[:2],
              t.fragments(IN, PORT, text(900), 80, ident=2)[1], t.fragments(IN, PORT, text(900), 80, ident=3)[0]]
    with t.line() as net:
        forwarded(net, RULE, frames, [], check=expired(3), in0={"fragments": 3})
        # The last one of the first datagram is a datagram's only fragment now.
        sender, capture = t.RawSender(net.src, "s0"), t.Capture(net.dst, "d0")
        with t.Mcrd(net.relay, RULE) as d:
            one = t.fragments(IN, PORT, text(3000), 1000, 2000, ident=1)
            sender.send(*one[:2])
            expired(1)(d)
            sender.send(one[2])
            expired(2)(d)
            d.account(in0={"fragments": 2})
            t.equal(capture.udp(), [], "what was forwarded")


@t.test("overlapping ones are dropped, in any order, with all that follow; a repeated one of the same bytes is none")
def overlapping():
    whole = t.udp(t.SOURCE, IN, text(200), PORT)

    def part(start, end, more, body=whole, ident=9):
        return t.frame(t.ipv4(t.SOURCE, IN, body[start:end], ident=ident, flags=more, offset=start), t.group_mac(IN))

    other = bytes(x ^ 0x55 for x in whole)
    for frames in ([part(0, 80, 1), part(72, 160, 1), part(160, 208, 0)],
                   [part(160, 208, 0), part(72, 160, 1), part(0, 80, 1)],
                   [part(0, 80, 1), part(0, 80, 1, other), part(80, 208, 0), part(0, 80, 1)],
                   [part(80, 208, 0), part(80, 160, 0), part(0, 80, 1)],
                   [part(80, 160, 1), part(80, 208, 0), part(0, 80, 1)]):
        with t.line() as net:
            forwarded(net, RULE, frames, [], in0={"overlapping": 1})
    with t.line() as net:
        forwarded(net, RULE, [part(0, 80, 1), part(0, 80, 1), part(80, 208, 0)], [text(200)], rules={"r": 1})


@t.test("overlapping ones of IPv6 are dropped")
def overlapping6():
    whole = t.udp6(t.SOURCE6, IN6, text(200), PORT)

    def part(start, end, more):
        return t.frame6(t.ipv6(t.SOURCE6, IN6, struct.pack("!BBHI", 17, 0, start | more, 5) + whole[start:end],
                               following=44))

    rules = [t.rule("r", IN6, PORT, [t.to_group(OUT, OUT_PORT)])]
    with t.line6() as net:
        forwarded(net, rules, [part(0, 80, 1), part(72, 160, 1), part(160, 208, 0)], [], in0={"overlapping": 1})


@t.test("what cannot be a fragment: odd lengths, beyond 65,535 bytes, none at all")
def malformed():
    def part(body, offset, more):
        return t.frame(t.ipv4(t.SOURCE, IN, body, ident=3, flags=more, offset=offset), t.group_mac(IN))

    with t.line() as net:
        forwarded(net, RULE, [part(bytes(81), 0, 1), part(bytes(80), 65480, 0), part(b"", 80, 0)], [],
                  in0={"malformed": 3})


@t.test("fragments are no way around anything: source, size, checksum, port, group, another station, other protocols")
def filtered():
    wrong = t.udp("198.18.1.1", IN, text(900), PORT, checksum="bad")
    frames = [*t.fragments(IN, PORT, text(900), 80, ident=1, source="198.18.1.9"),
              *t.fragments(IN, PORT, text(1101), 80, ident=2),
              *[t.frame(t.ipv4(t.SOURCE, IN, b, ident=3, flags=int(more), offset=o), t.group_mac(IN))
                for o, b, more in t.cut(wrong, 80)],
              *t.fragments(IN, PORT + 1, text(900), 80, ident=4),
              *t.fragments("239.255.0.9", PORT, text(900), 80, ident=5),
              *t.fragments(IN, PORT, text(900), 80, ident=6, protocol=6)]
    stranger = [bytes.fromhex("020000009999") + f[6:] for f in t.fragments(IN, PORT, text(900), 80, ident=7)]
    rules = [{**t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)], sources=[t.SOURCE]), "max_payload": 1100}]
    with t.line() as net:
        net.relay.run("ip", "link", "set", "in0", "promisc", "on")
        forwarded(net, rules, frames + stranger, [], in0={"bad_checksum": 1, "unmatched": 1 + 2},
                  rules={"r": {"packets": 2, "drops": {"source": 1, "size": 1}}})


# --- zones -----------------------------------------------------------------------------------------------------------


@t.test("fragments of one interface never complete a datagram of another; the same stream on both passes on both")
def interfaces():
    rules = [t.rule(f"r{i}", IN, PORT, [t.to_group(OUT, OUT_PORT + i)], interface=f"in{i}") for i in range(2)]
    with t.star(inputs=2, outputs=1) as net:
        net.relay.ethtool("out0", "tx", "off")
        capture = t.Capture(net.dst0, "d0")
        senders = [t.RawSender(n, "s0") for n in (net.src0, net.src1)]
        with t.Mcrd(net.relay, rules) as d:
            mixed = t.fragments(IN, PORT, text(1200), 800, ident=1)
            both = t.fragments(IN, PORT, text(1200, 1), 800, ident=2)
            for i in range(2):
                senders[i].send(mixed[i])
            for f in both:
                for s in senders:
                    s.send(f)
            for s in senders:
                s.send(t.datagram(IN, PORT, b"last"))
            capture.wait(4)
            t.wait_for(lambda: sum(i["fragments"] for i in d.stats()["interfaces"]) == 2, 5, "one expired on each")
            d.account({"r0": 2, "r1": 2}, in0={"fragments": 1}, in1={"fragments": 1})
        for i in range(2):
            t.check([f.payload for f in capture.udp(port=OUT_PORT + i)] == [text(1200, 1), b"last"], f"r{i}: what came")


@t.test("fragments of one VLAN never complete a datagram of another, nor an untagged one")
def vlans():
    rules = [t.rule_of("plain", [t.to_group(OUT, 6000)], group=IN, port=PORT),
             t.rule_of("tagged", [t.to_group(OUT, 6001)], group=IN, port=PORT, vlan=200)]
    tags = [(), [(0x8100, 200)], [(0x8100, 201)], [(0x8100, 0)]]
    pieces = [t.fragments(IN, PORT, text(1200), 800, ident=5, tags=x) for x in tags]
    with t.line() as net:
        # Each first with each other's second; a priority tag is no VLAN.
        forwarded(net, rules, [pieces[0][0], pieces[1][1], pieces[2][0]], [],
                  check=expired(3), in0={"fragments": 3})
        forwarded(net, rules, [pieces[0][0], pieces[1][0], pieces[2][0], pieces[2][1], pieces[1][1], pieces[3][1]],
                  [text(1200), text(1200)], rules={"plain": 1, "tagged": 1}, in0={"vlan": 1})


@t.test("a flood of incomplete ones: bounded memory, all counted, and whole datagrams pass, fragmented or not")
def flood():
    def resident(pid):
        return int(t.process_status(pid)["VmRSS"].split()[0])

    flooding = [t.fragments(IN, PORT, text(1400), 1000, ident=i & 0xffff, source=f"198.18.1.{10 + i % 200}")[i % 2]
                for i in range(5000)]
    with t.line() as net:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, RULE) as d:
            before = resident(d.process.pid)
            for i in range(0, len(flooding), 100):
                good = t.fragments(IN, PORT, text(1200, i), 800, ident=i & 0xffff)
                sender.send(*flooding[i:i + 100], *good, t.datagram(IN, PORT, b"whole"))
                capture.wait(i // 50 + 2)
            t.wait_for(lambda: d.stats()["interfaces"][0]["fragments"] == 5000, 6, "all counted")
            d.account({"r": 100}, in0={"fragments": 5000})
            # 64 times 64 KiB at most, and what a relay under load touches for the first time.
            t.check(resident(d.process.pid) - before < 64 * 64 + 2048, f"{resident(d.process.pid) - before} KiB more")


@t.test("a datagram of which one fragment comes before a reload and one behind it passes")
def across_reload():
    one = t.fragments(IN, PORT, text(1200), 800)
    with t.line() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, RULE) as d:
            sender.send(one[0])
            d.config.write()
            t.check("result=accepted" in d.reload(), "reload")
            sender.send(one[1])
            capture.wait(1)
            d.account({"r": 1})


if __name__ == "__main__":
    t.main()
