#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Senders by address and prefix: source-specific memberships (IGMPv3, MLDv2), and the relay's filter behind them."""
import ipaddress

import mcrtest as t

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
IN6, OUT6 = "ff15::4d:1", "ff15::4d:2"


def included(net):
    """(group, source) of in0 in /proc/net/mcfilter and mcfilter6: those that some socket includes.

    A line is: index, interface, group, source, how many sockets include it, and how many exclude it.
    """
    found = set()
    for path, size in (("mcfilter", 4), ("mcfilter6", 16)):
        for w in (x.split() for x in net.relay.read_proc(path).splitlines() if " in0 " in x):
            if int(w[4], 0) > 0:
                found.add(tuple(str(ipaddress.ip_address(bytes.fromhex(a.removeprefix("0x")))) for a in w[2:4]))
    return found


def of(group, sources):
    return {(str(ipaddress.ip_address(group)), str(ipaddress.ip_address(a))) for a in sources}


def heard(net, sent, expected):
    """Sends from each of `sent` (group, source) and compares what comes with expected (rule's index, source)."""
    capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
    for group, source in sent:
        make = t.datagram6 if ":" in group else t.datagram
        sender.send(make(group, PORT, source.encode(), source=source))
    capture.wait(len(expected))
    t.equal(sorted((f.port - OUT_PORT, f.payload.decode()) for f in capture.udp()), sorted(expected), "what came")


@t.test("senders: addresses and prefixes; all others are drops.source")
def prefixes():
    given = ["198.18.1.1", "198.18.4.0/22", "198.19.0.128/25"]
    good = ["198.18.1.1", "198.18.4.0", "198.18.7.255", "198.19.0.128", "198.19.0.255"]
    bad = ["198.18.1.2", "198.18.3.255", "198.18.8.0", "198.19.0.127", "198.19.1.128", "0.0.0.0", "255.255.255.255"]
    given6 = ["2001:db8:1::2", "2001:db8:1:0:1::/80"]
    good6 = ["2001:db8:1::2", "2001:db8:1:0:1::7", "2001:db8:1:0:1:ffff:0:1"]
    bad6 = ["2001:db8:1::3", "2001:db8:1:0:2::1", "2001:db8:1:0:0:ffff:ffff:ffff", "fe80::1"]
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)], sources=given),
             t.rule("r6", IN6, PORT, [t.to_group(OUT, OUT_PORT + 1)], sources=given6)]
    with t.line6() as net, t.Mcrd(net.relay, rules) as d:
        # A prefix makes it a membership for all senders.
        t.equal(included(net), set(), "sources that are joined")
        t.joined(net.relay, "in0", {IN})
        heard(net, [(IN, a) for a in good + bad] + [(IN6, a) for a in good6 + bad6],
              [(0, a) for a in good] + [(1, a) for a in good6])
        # Three of them can be nobody's: the relay's own address is among them.
        d.account({"r": {"packets": 9, "drops": {"source": 4}}, "r6": {"packets": 7, "drops": {"source": 4}}},
                  in0={"martian": 3})


@t.test("exact senders become source-specific memberships, IGMPv3 and MLDv2; what the link brings of others is dropped")
def exact():
    given, given6 = ["198.18.1.1", "198.18.1.7"], ["2001:db8:1::2", "2001:db8:1::7"]
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)], sources=given),
             t.rule("r6", IN6, PORT, [t.to_group(OUT, OUT_PORT + 1)], sources=given6)]
    with t.line6() as net:
        with t.Mcrd(net.relay, rules) as d:
            t.equal(included(net), of(IN, given) | of(IN6, given6), "sources that are joined")
            t.joined(net.relay, "in0", {IN})
            heard(net, [(IN, a) for a in ("198.18.1.9", *given)] + [(IN6, a) for a in ("2001:db8:1::9", *given6)],
                  [(0, a) for a in given] + [(1, a) for a in given6])
            d.account({"r": {"packets": 3, "drops": {"source": 1}}, "r6": {"packets": 3, "drops": {"source": 1}}})
        t.wait_for(lambda: not included(net), 5, "left")


@t.test("25 senders of one IPv4 group and 70 of one IPv6 group, more than a socket may have, joined one by one")
def many_sources():
    # None is the relay's.
    given = [f"198.18.1.{i}" for i in range(3, 28)]
    given6 = [f"2001:db8:1::{i:x}" for i in range(2, 72)]
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)], sources=given),
             t.rule("r6", IN6, PORT, [t.to_group(OUT, OUT_PORT + 1)], sources=given6)]
    with t.line6() as net:
        # As they are set where nobody has changed them.
        net.relay.run("sh", "-c", "echo 10 > /proc/sys/net/ipv4/igmp_max_msf; echo 64 > /proc/sys/net/ipv6/mld_max_msf",
                      check_status=False)
        with t.Mcrd(net.relay, rules) as d:
            t.equal(included(net), of(IN, given) | of(IN6, given6), "sources that are joined")
            others, others6 = ["198.18.1.28", "198.18.1.0"], ["2001:db8:1::48", "2001:db8:1::"]
            heard(net, [(IN, a) for a in given + others] + [(IN6, a) for a in given6 + others6],
                  [(0, a) for a in given] + [(1, a) for a in given6])
            d.account({"r": {"packets": 27, "drops": {"source": 2}}, "r6": {"packets": 72, "drops": {"source": 2}}})
        t.wait_for(lambda: not included(net), 5, "left")


@t.test("25 groups of each family, with a sender each: joined, forwarded, left")
def many_groups():
    groups = [f"239.255.3.{i}" for i in range(1, 26)] + [f"ff15::4d:{i:x}" for i in range(1, 26)]
    rules = [t.rule(f"g{i}", g, PORT, [t.to_group(OUT, OUT_PORT + i)],
                    sources=["2001:db8:1::2" if ":" in g else "198.18.1.1"]) for i, g in enumerate(groups)]
    with t.line6() as net:
        net.relay.run("sh", "-ec", "echo 20 > /proc/sys/net/ipv4/igmp_max_memberships")
        with t.Mcrd(net.relay, rules) as d:
            t.equal(included(net), {x for r in rules for x in of(r["input"]["group"], r["input"]["sources"])}, "joined")
            t.joined(net.relay, "in0", {g for g in groups if ":" not in g})
            sent = [(r["input"]["group"], r["input"]["sources"][0]) for r in rules]
            heard(net, sent, [(i, a) for i, (_, a) in enumerate(sent)])
            d.account({r["name"]: 1 for r in rules})
        t.joined(net.relay, "in0", set())
        t.wait_for(lambda: not included(net), 5, "left")


@t.test("a reload adds and takes away senders; a second rule of the group for everybody makes it one for everybody")
def changed():
    def rules(four, six, everybody=False):
        made = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)], sources=four),
                t.rule("r6", IN6, PORT, [t.to_group(OUT, OUT_PORT + 1)], sources=six)]
        # The same groups by another port.
        return made + [t.rule(f"all{i}", g, PORT + 1, [t.to_group(OUT, OUT_PORT + 2 + i)])
                       for i, g in enumerate((IN, IN6)) if everybody]

    def addresses(*numbers):
        return [f"198.18.1.{n}" for n in numbers], [f"2001:db8:1::{n}" for n in numbers]

    with t.line6() as net, t.Mcrd(net.relay, rules(*addresses(1, 7))) as d:
        for numbers, everybody in (((7, 8), False), ((7, 8), True), ((8,), False), ((8, 9), True), ((1,), False)):
            d.config.rules = rules(*addresses(*numbers), everybody=everybody)
            d.config.write()
            t.check("result=accepted" in d.reload(), "reload")
            # Groups are left behind the answer, and before the next one.
            t.check("result=accepted" in d.reload(), "reload")
            four, six = addresses(*numbers)
            t.equal(included(net), set() if everybody else of(IN, four) | of(IN6, six), f"{numbers}, {everybody}: joined")
            t.joined(net.relay, "in0", {IN})
            t.check(IN6 in t.memberships6(net.relay, "in0"), "IPv6: joined")


if __name__ == "__main__":
    t.main()
