#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules with several inputs (legs): what comes by any of them is relayed, and each is counted by itself."""
import mcrtest as t
import reloadtest as r

A, B, OUT = "239.255.0.1", "239.255.10.1", "239.255.1.1"
PORT, OUT_PORT = 5000, 6000


def leg(name, group, interface, port=PORT, **keys):
    return {"leg": name, "interface": interface, "group": group, "port": port, **keys}


def rule(*legs, name="r", outputs=None, **keys):
    return {"name": name, "inputs": list(legs), "outputs": outputs or [t.to_group(OUT, OUT_PORT)], **keys}


def two(**keys):
    return rule(leg("A", A, "in0"), leg("B", B, "in1"), **keys)


def inputs(d, index=0):
    return {i["leg"]: i for i in d.stats()["rules"][index]["inputs"]}


def numbers(capture):
    return sorted(int(f.payload) for f in capture.udp(OUT))


@t.test("two legs without merge: all that comes by either leaves, each is counted, the rule is their sum")
def fan_in():
    with t.star(inputs=2, outputs=1) as net, t.Mcrd(net.relay, [two()]) as d:
        capture = t.Capture(net.dst0, "d0", OUT)
        a, b = t.RawSender(net.src0, "s0"), t.RawSender(net.src1, "s0")
        for i in range(300):
            a.send(t.datagram(A, PORT, b"%d" % (2 * i)))
            if i % 3 == 0:
                b.send(t.datagram(B, PORT, b"%d" % (2 * i + 1)))
        b.send(t.datagram(A, PORT, b"0"), t.datagram(B, PORT + 1, b"1"))  # the other leg's group; another port
        capture.wait(400)
        t.equal(numbers(capture), sorted([2 * i for i in range(300)] + [2 * i + 1 for i in range(0, 300, 3)]), "numbers")
        t.wait_for(lambda: d.stats()["rules"][0]["packets"] == 400, 5, "packets of the rule")
        t.equal({name: (i["interface"], i["to"], i["packets"]) for name, i in inputs(d).items()},
                {"A": ("in0", f"{A}:{PORT}", 300), "B": ("in1", f"{B}:{PORT}", 100)}, "legs")
        t.equal(d.stats()["rules"][0]["bytes"], sum(i["bytes"] for i in inputs(d).values()), "bytes")


@t.test("each leg has its own sources and tag; a datagram that one refuses may come by the other")
def own_sources():
    legs = (leg("A", A, "in0", sources=["198.18.1.7"]), leg("B", A, "in0", vlan=7))
    with t.line() as net, t.Mcrd(net.relay, [rule(*legs)]) as d:
        capture, sender = t.Capture(net.dst, "d0", OUT), t.RawSender(net.src, "s0")
        sender.send(t.datagram(A, PORT, b"0", source="198.18.1.7"), t.datagram(A, PORT, b"1", source="198.18.1.8"),
                    t.datagram(A, PORT, b"2", source="198.18.1.8", tags=[(0x8100, 7)]))
        capture.wait(2)
        t.equal(numbers(capture), [0, 2], "what left")
        t.wait_for(lambda: d.stats()["rules"][0]["packets"] == 3, 5, "packets")
        t.equal(({n: i["packets"] for n, i in inputs(d).items()}, d.stats()["rules"][0]["drops"]["source"]),
                ({"A": 2, "B": 1}, 1), "legs, and what sources drops")


@t.test("ranges: what comes by counterparts of the legs goes one way")
def ranges():
    outputs = [t.to_group("239.255.1.0/30", f"{OUT_PORT}-{OUT_PORT + 1}")]
    legs = (leg("A", "239.255.0.0/30", "in0", f"{PORT}-{PORT + 1}"), leg("B", "239.255.10.4/30", "in1", "7000-7001"))
    with t.star(inputs=2, outputs=1) as net, t.Mcrd(net.relay, [rule(*legs, outputs=outputs)]):
        capture = t.Capture(net.dst0, "d0")
        t.RawSender(net.src0, "s0").send(t.datagram("239.255.0.2", PORT + 1, b"a"))
        t.RawSender(net.src1, "s0").send(t.datagram("239.255.10.6", 7001, b"b"))
        capture.wait(2)
        t.equal(sorted((f.destination, f.port, f.payload) for f in capture.udp()),
                [("239.255.1.2", OUT_PORT + 1, b"a"), ("239.255.1.2", OUT_PORT + 1, b"b")], "where they went")


@t.test("a leg is added and taken out by a reload: the other loses nothing, the rule goes on counting")
def reload():
    with t.star(inputs=2, outputs=1) as net, t.Mcrd(net.relay, [rule(leg("A", A, "in0"), leg("B", B, "in1"))]) as d:
        # The pool of rings has the sockets of both interfaces from the start.
        with r.undisturbed(net.src0, net.dst0, A, PORT, OUT, OUT_PORT):
            r.accepted(d, [rule(leg("A", A, "in0"))])
            t.equal(list(inputs(d)), ["A"], "legs after one was taken out")
            r.accepted(d, [rule(leg("B", B, "in1"), leg("A", A, "in0"))])
        before = d.stats()["rules"][0]["packets"]
        t.RawSender(net.src1, "s0").send(*[t.datagram(B, PORT, b"1")] * 5)
        t.wait_for(lambda: d.stats()["rules"][0]["packets"] == before + 5, 5, "packets of the rule")
        r.accepted(d, [rule(leg("A", A, "in0"))])
        t.equal(d.stats()["rules"][0]["packets"], before + 5, "what the leg that is gone has counted stays the rule's")


@t.test("a leg whose interface is missing or down: the rule says so, and the other leg goes on")
def one_missing():
    with t.star(inputs=2, outputs=1) as net:
        net.relay.run("ip", "link", "set", "in1", "down")
        net.relay.run("ip", "link", "set", "in1", "name", "later0")
        with t.Mcrd(net.relay, [two()]) as d:
            def shown():
                rule = d.stats()["rules"][0]
                return rule["state"], rule["reason"]

            t.equal(shown(), ("waiting", "interface in1 is missing (1 of 2 inputs)"), "without the interface")
            capture = t.Capture(net.dst0, "d0", OUT)
            t.RawSender(net.src0, "s0").send(t.datagram(A, PORT, b"7"))
            capture.wait(1)
            net.relay.run("ip", "link", "set", "later0", "name", "in1")
            t.wait_for(lambda: shown() == ("down", "in1 is down (1 of 2 inputs)"), 5, "the state with the interface")
            net.relay.run("ip", "link", "set", "in1", "up")
            t.wait_for(lambda: shown() == ("active", None), 5, "the state with the link")
            t.RawSender(net.src1, "s0").send(t.datagram(B, PORT, b"8"))
            capture.wait(2)
            t.equal(numbers(capture), [7, 8], "what left")


@t.test("a leg is down and the other brings nothing: the reason says both, --state silent finds the rule")
def down_and_silent():
    with t.star(inputs=2, outputs=1) as net:
        net.relay.run("ip", "link", "set", "in1", "down")
        with t.Mcrd(net.relay, [two(silence_ms=500)]) as d:
            def reason():
                return d.stats()["rules"][0]["reason"]

            sender = t.RawSender(net.src0, "s0")
            sender.send(t.datagram(A, PORT, b"7"))
            t.wait_for(lambda: d.stats()["rules"][0]["packets"] == 1, 5, "the datagram of the leg that is up")
            t.equal(reason(), "in1 is down (1 of 2 inputs)", "the reason while it brings something")
            t.wait_for(lambda: reason() == "in1 is down (1 of 2 inputs); nothing has come for 500 ms or longer", 5,
                       "the reason in silence")
            t.equal(len(d.stats("--state", "silent")["rules"]), 1, "rules that are silent")
            sender.send(t.datagram(A, PORT, b"8"))
            t.wait_for(lambda: reason() == "in1 is down (1 of 2 inputs)", 5, "the reason after it")
            t.equal(d.stats("--state", "silent")["rules"], [], "rules that are silent")


t.main()
