#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ranges: one rule for a prefix of groups and a range of ports."""
import mcrtest as t

GROUPS = [f"239.255.16.{i}" for i in range(16)]
PORTS = range(5000, 5004)
ALL = [(g, p) for g in GROUPS for p in PORTS]


def ranges(*outputs, name="r", group="239.255.16.0/28", port="5000-5003", **keys):
    return [t.rule(name, group, port, list(outputs), **keys)]


def payload(group, port, i=0):
    return f"{group}:{port} {i}".encode()


def to_each(destinations, rounds=1):
    """A datagram to each destination, which says so, round by round."""
    return [t.datagram(g, p, payload(g, p, i)) for i in range(rounds) for g, p in destinations]


def seen(capture):
    return sorted((f.destination, f.port, f.source_port, f.payload) for f in capture.udp())


OUTSIDE = [("239.255.16.16", 5000), ("239.255.15.255", 5000), (GROUPS[0], 4999), (GROUPS[0], 5004)]


@t.test("each group and port to its counterpart; what lies beside the range stays out; one rule in the counters")
def counterparts():
    with t.line() as net:
        net.relay.ethtool("out0", "tx", "off")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, ranges(t.to_group("239.255.32.0/28", "6000-6003"))) as d:
            t.joined(net.relay, "in0", set(GROUPS))
            sender.send(*to_each(OUTSIDE + ALL + OUTSIDE, rounds=3))
            capture.wait(3 * len(ALL))
            s = d.account({"r": 3 * len(ALL)})
            t.equal([o["to"] for o in s["rules"][0]["outputs"]], ["out0 239.255.32.0/28:6000-6003"], "outputs")
        t.joined(net.relay, "in0", set())
        t.equal(seen(capture), sorted((g.replace(".16.", ".32."), p + 1000, p + 1000, payload(g, p, i))
                                      for g, p in ALL for i in range(3)), "what came")
        for f in capture.udp():
            t.check(f.udp_checksum_ok, f"{f}: checksum")
            t.equal(f.to, t.group_mac(f.destination), "address of the frame")


@t.test("folded: groups, ports or both to one output, beside counterparts of the same rule")
def folded():
    with t.line() as net:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        rules = ranges(t.to_group("239.255.40.1", 7000), t.to_group("239.255.41.0/28", 7000),
                       t.to_group("239.255.42.1", "8000-8003", source_port=9000))
        with t.Mcrd(net.relay, rules) as d:
            sender.send(*to_each(OUTSIDE + ALL))
            capture.wait(3 * len(ALL))
            d.account({"r": len(ALL)})
        t.equal(seen(capture), sorted(x for g, p in ALL for x in (
            ("239.255.40.1", 7000, 7000, payload(g, p)), (g.replace(".16.", ".41."), 7000, 7000, payload(g, p)),
            ("239.255.42.1", p + 3000, 9000, payload(g, p)))), "what came")


@t.test("another family and a host: IPv4 groups to IPv6 ones and to ports of a host, in socket mode too")
def families():
    rules = ranges(t.to_group("ff15::4d:0/124", 6000), t.to_group("ff15::4e:0/124", 6000, mode="socket"),
                   t.to_host("198.18.2.1", "6000-6003"))
    with t.line6() as net:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            sender.send(*to_each(OUTSIDE + ALL))
            t.wait_for(lambda: len(t.captured6(capture)) >= 2 * len(ALL), 5, "the IPv6 datagrams")
            capture.wait(len(ALL), destination="198.18.2.1")
            d.account({"r": len(ALL)})
        t.equal(sorted((f.destination, f.port, f.payload) for f in t.captured6(capture)),
                sorted((f"ff15::{n}:{int(g.split('.')[3]):x}", 6000, payload(g, p)) for g, p in ALL for n in ("4d", "4e")),
                "IPv6")
        t.equal(sorted((f.port, f.payload) for f in capture.udp(destination="198.18.2.1")),
                sorted((p + 1000, payload(g, p)) for g, p in ALL), "to the host")


@t.test("IPv6 groups and ports of this host as ranges of inputs")
def ipv6_and_hosts():
    rules = ranges(t.to_group("239.255.32.0/28", 6000), group="ff15::10/124", port=5000) + [
        t.rule_of("h", [t.to_group("239.255.33.0", "7000-7003")], address="198.18.1.1", port="5000-5003")]
    with t.line6() as net:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            to = t.mac(net, "relay", "in0")
            sender.send(*(t.datagram6(f"ff15::{i:x}", 5000, b"%d" % i) for i in range(15, 33)),
                        *(t.datagram("198.18.1.1", p, b"%d" % p, to=to) for p in range(4999, 5005)))
            capture.wait(20)
            d.account({"r": 16, "h": 4})
        t.equal(seen(capture), sorted([(f"239.255.32.{i}", 6000, 6000, b"%d" % (16 + i)) for i in range(16)] +
                                      [("239.255.33.0", p + 2000, p + 2000, b"%d" % p) for p in PORTS]), "what came")


@t.test("senders by name: a source-specific membership for each group of the range")
def source_specific():
    rules = ranges(t.to_group("239.255.32.0/28", "6000-6003"), sources=["198.18.1.1", "198.18.1.7"])
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        joined = {(w[2], w[3]) for w in (x.split() for x in net.relay.read_proc("mcfilter").splitlines()[1:])
                  if w[1] == "in0" and int(w[4]) > 0}
        t.equal(joined, {(f"0xefff10{i:02x}", a) for i in range(16) for a in ("0xc6120101", "0xc6120107")}, "mcfilter")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        sender.send(*(t.datagram(g, p, a.encode(), source=a) for g, p in ALL for a in ("198.18.1.9", "198.18.1.7")))
        capture.wait(len(ALL))
        d.account({"r": {"packets": 2 * len(ALL), "drops": {"source": len(ALL)}}})


@t.test("a limit is that of the rule, not of each group")
def limit():
    rules = ranges(t.to_group("239.255.32.0/28", "6000-6003"), limit={"packets_per_second": 10, "burst_ms": 1000})
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        sender.send(*to_each(ALL))
        capture.wait(10)
        s = t.wait_for(lambda: (s := d.stats())["rules"][0]["packets"] == len(ALL) and s, 5, "the counters")
        r = s["rules"][0]
        t.check(10 <= r["outputs"][0]["packets"] <= 12, f"passed: {r['outputs'][0]['packets']}")
        t.equal(r["outputs"][0]["packets"] + r["drops"]["rate"], len(ALL), "passed and dropped")


@t.test("more flows than batches at once: 80 streams of a range, each complete and in order, in frames and by sockets")
def streams():
    for mode in ("frame", "socket"):
        rules = ranges(t.to_group("239.255.32.0/27", "6000-6003", mode=mode), group="239.255.16.0/27")
        destinations = [(f"239.255.16.{i}", p) for i in range(20) for p in PORTS]
        with t.line() as net:
            capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
            with t.Mcrd(net.relay, rules) as d:
                for i in range(20):
                    sender.send(*(t.datagram(g, p, payload(g, p, i) * 10) for g, p in destinations))
                    capture.wait((i + 1) * len(destinations))
                d.account({"r": 20 * len(destinations)})
            came = {}
            for f in capture.udp():
                came.setdefault((f.destination, f.port), []).append(f.payload)
            t.equal(came, {(g.replace(".16.", ".32."), p + 1000): [payload(g, p, i) * 10 for i in range(20)]
                           for g, p in destinations}, "what came")


@t.test("a reload widens the range under traffic: the streams that stay lose nothing and the counters go on")
def reload_wider():
    with t.line() as net:
        with t.Mcrd(net.relay, ranges(t.to_group("239.255.32.0/28", "6000-6003"))) as d:
            receivers = [t.Receiver(net.dst, "d0", g, p, expect=4000)
                         for g, p in (("239.255.32.0", 6000), ("239.255.32.15", 6003))]
            senders = [t.start_sending(net.src, "s0", g, p, count=4000, rate=4000, size=500)
                       for g, p in ((GROUPS[0], 5000), (GROUPS[15], 5003))]
            for mask in (27, 26, 28, 27):
                d.config.rules = ranges(t.to_group(f"239.255.32.0/{mask}", "6000-6003"), group=f"239.255.16.0/{mask}")
                d.config.write()
                t.check("result=accepted" in (answer := d.reload()), answer)
            for s in senders:
                t.finish_sending(s)
            for r in receivers:
                r.all_came()
            d.account({"r": 8000})
            t.joined(net.relay, "in0", {f"239.255.16.{i}" for i in range(32)})


@t.test("the largest: 4096 groups of one rule, joined, forwarded, left")
def largest():
    rules = ranges(t.to_group("239.255.64.0/20", 6000), group="239.255.16.0/20", port=5000)
    destinations = [(f"239.255.{16 + i // 256}.{i % 256}", 5000) for i in range(4096)]
    with t.line() as net:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            t.joined(net.relay, "in0", {g for g, _ in destinations})
            for i in range(0, 4096, 128):
                sender.send(*to_each(destinations[i:i + 128]))
                capture.wait(i + 128)
            d.account({"r": 4096})
        t.joined(net.relay, "in0", set())
        t.equal(seen(capture), sorted((f"239.255.{64 + i // 256}.{i % 256}", 6000, 6000, payload(*destinations[i]))
                                      for i in range(4096)), "what came")


if __name__ == "__main__":
    t.main()
