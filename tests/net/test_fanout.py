#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several rules, several outputs, several interfaces: each datagram to exactly those that its rule names."""
import json

import mcrtest as t


@t.test("rules on one port, told apart by group")
def one_port_many_groups():
    groups = {f"239.255.0.{i}": f"239.255.1.{i}" for i in range(1, 6)}
    rules = [t.rule(f"r{i}", g, 5000, [t.to_group(o, 6000)]) for i, (g, o) in enumerate(groups.items())]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        receivers = [t.Receiver(net.dst, "d0", o, 6000, stream=i, expect=100) for i, o in enumerate(groups.values())]
        senders = [t.start_sending(net.src, "s0", g, 5000, stream=i, count=100, rate=2000)
                   for i, g in enumerate(groups)]
        for s in senders:
            t.finish_sending(s)
        for r in receivers:
            r.all_came()
        d.account({r["name"]: 100 for r in rules})


@t.test("rules on one group, told apart by port")
def one_group_many_ports():
    ports = [5000, 5001, 5002, 80, 65535]
    rules = [t.rule(f"p{p}", "239.255.0.1", p, [t.to_group("239.255.1.1", 6000 + i)]) for i, p in enumerate(ports)]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        receivers = [t.Receiver(net.dst, "d0", "239.255.1.1", 6000 + i, stream=i, expect=100)
                     for i in range(len(ports))]
        senders = [t.start_sending(net.src, "s0", "239.255.0.1", p, stream=i, count=100, rate=2000)
                   for i, p in enumerate(ports)]
        for s in senders:
            t.finish_sending(s)
        for r in receivers:
            r.all_came()
        d.account({r["name"]: 100 for r in rules})


@t.test("a rule beside a disabled one: only the enabled one forwards")
def disabled_rule():
    rules = [t.rule("on", "239.255.0.1", 5000, [t.to_group("239.255.1.1", 6000)]),
             t.rule("off", "239.255.0.2", 5000, [t.to_group("239.255.1.2", 6000)], enabled=False)]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        sender.send(t.datagram("239.255.0.2", 5000, b"no"), t.datagram("239.255.0.1", 5000, b"yes"))
        capture.wait_payload(b"yes")
        s = d.account({"on": 1})
        t.equal([r["state"] for r in s["rules"]], ["active", "disabled"], "states")
        t.equal([f.payload for f in capture.udp()], [b"yes"], "captured")
        t.joined(net.relay, "in0", {"239.255.0.1"})


@t.test("one rule to 3 outputs on different links")
def three_links():
    outputs = [t.to_group("239.255.1.1", 6000, "out0"), t.to_group("239.255.1.2", 6001, "out1", mode="socket"),
               t.to_host("198.18.22.1", 6002, "out2")]
    with t.star() as net, t.Mcrd(net.relay, [t.rule("r", "239.255.0.1", 5000, outputs)]) as d:
        captures = [t.Capture(n, "d0") for n in (net.dst0, net.dst1, net.dst2)]
        receivers = [t.Receiver(net.dst0, "d0", "239.255.1.1", 6000, expect=2000),
                     t.Receiver(net.dst1, "d0", "239.255.1.2", 6001, expect=2000),
                     t.Receiver(net.dst2, "d0", "198.18.22.1", 6002, expect=2000)]
        t.send(net.src0, "s0", "239.255.0.1", 5000, count=2000, rate=10000)
        for r in receivers:
            r.all_came()
        d.account({"r": 2000})
        for capture, to in zip(captures, ("239.255.1.1", "239.255.1.2", "198.18.22.1")):
            t.equal({f.destination for f in capture.udp()}, {to}, "what this link carries")


@t.test("one rule to 16 outputs on one link")
def sixteen_on_one_link():
    outputs = [t.to_group(f"239.255.1.{i}", 6000 + i % 3) for i in range(1, 17)]
    with t.line() as net, t.Mcrd(net.relay, [t.rule("r", "239.255.0.1", 5000, outputs)]) as d:
        receivers = [t.Receiver(net.dst, "d0", o["group"], o["port"], expect=1000) for o in outputs]
        t.send(net.src, "s0", "239.255.0.1", 5000, count=1000, rate=5000, size=500)
        for r in receivers:
            r.all_came()
        d.account({"r": 1000})


@t.test("two inputs with the same group and port do not mix")
def two_inputs():
    rules = [t.rule(f"from{i}", "239.255.0.1", 5000, [t.to_group("239.255.1.1", 6000, f"out{i}")], f"in{i}")
             for i in range(2)]
    with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, rules) as d:
        captures = [t.Capture(n, "d0") for n in (net.dst0, net.dst1)]
        for source, name in ((net.src0, b"zero"), (net.src1, b"one")):
            sender = t.RawSender(source, "s0")
            sender.send(*(t.datagram("239.255.0.1", 5000, name) for _ in range(50)))
        for capture in captures:
            capture.wait(50)
        d.account({"from0": 50, "from1": 50})
        t.equal([{f.payload for f in c.udp()} for c in captures], [{b"zero"}, {b"one"}], "what the links carry")


@t.test("a reload may add four input interfaces; with a fifth it is refused, and all runs on; a restart takes it")
def more_inputs():
    rules = [t.rule(f"r{i}", "239.255.0.1", 5000, [t.to_group("239.255.1.1", 6000 + i)], f"in{i}") for i in range(6)]
    with t.star(inputs=6, outputs=1) as net:
        sources = [getattr(net, f"src{i}") for i in range(6)]
        with t.Mcrd(net.relay, rules[:1]) as d:
            for n, answer in ((5, "result=accepted"), (6, "6 input interfaces, and sockets for 5")):
                d.config.rules = rules[:n]
                d.config.write()
                _, out, _ = net.relay.run(t.MCRD, "--diff", "--json", "--config", d.config.file, check_status=False)
                t.equal(json.loads(out)["needs_restart"], n == 6, "--diff says so before")
                t.check(answer in (line := d.reload()), line)
                for source in sources[:5]:
                    t.send(source, "s0", "239.255.0.1", 5000, count=100, rate=5000)
            d.account({f"r{i}": 200 for i in range(5)})
        with t.Mcrd(net.relay, rules) as d:
            t.send(sources[5], "s0", "239.255.0.1", 5000, count=100, rate=5000)
            d.account({f"r{i}": 100 if i == 5 else 0 for i in range(6)})


@t.test("several sources of one group are all forwarded, in their order")
def several_sources():
    with t.line() as net, t.Mcrd(net.relay, [t.rule("r", "239.255.0.1", 5000, [t.to_group("239.255.1.1", 6000)])]) as d:
        receivers = [t.Receiver(net.dst, "d0", "239.255.1.1", 6000, stream=i, expect=300) for i in range(3)]
        senders = [t.start_sending(net.src, "s0", "239.255.0.1", 5000, stream=i, count=300, rate=3000)
                   for i in range(3)]
        for s in senders:
            t.finish_sending(s)
        for r in receivers:
            report = r.report()
            t.check(report["ok"] and report["foreign"] == 600, t.describe(report))
            t.equal(report["reordered"], 0, "reordered")
        d.account({"r": 900})


@t.test("30 groups on one interface, more than a socket may hold: joined, forwarded, left")
def thirty_groups():
    groups = [f"239.255.3.{i}" for i in range(1, 31)]
    rules = [t.rule(f"g{i}", g, 5000, [t.to_group(f"239.255.4.{i}", 6000)]) for i, g in enumerate(groups, 1)]

    with t.line() as net:
        net.relay.run("sh", "-c", "echo 20 > /proc/sys/net/ipv4/igmp_max_memberships")
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        with t.Mcrd(net.relay, rules) as d:
            t.joined(net.relay, "in0", set(groups))
            sender.send(*(t.datagram(g, 5000, g.encode()) for g in groups))
            capture.wait(30)
            d.account({r["name"]: 1 for r in rules})
        t.joined(net.relay, "in0", set())
        t.equal({f.payload.decode(): f.destination for f in capture.udp()},
                {g: g.replace(".3.", ".4.") for g in groups}, "what came")


if __name__ == "__main__":
    t.main()
