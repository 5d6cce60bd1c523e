#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Interfaces that are missing, come late, go, come again as another one, are renamed, lose or change their address: the
rules that use them sleep and resume by themselves, and the others do not notice."""
import contextlib
import json
import os
import resource
import signal
import socket
import time

import mcrtest as t
import reloadtest as r

IN, PORT, OUT, OUT_PORT = "239.255.0.1", 5000, "239.255.1.1", 6000
WITHIN = 1.0  # s
# One that streams and one for fences; what is played with is beside them.
REST = [t.rule("rests", IN, PORT, [t.to_group(OUT, OUT_PORT)]),
        t.rule("fences", "239.255.0.9", PORT, [t.to_group("239.255.1.9", OUT_PORT)])]


def second(*outputs, interface="in1", **keys):
    """The rule that is played with."""
    return t.rule("plays", "239.255.0.2", PORT, list(outputs) or [t.to_group("239.255.1.2", OUT_PORT, "out1")],
                  interface, **keys)


@contextlib.contextmanager
def beside(net):
    """The stream of the rule "rests", of which nothing may be lost in the block."""
    with r.undisturbed(net.src0, net.dst0, IN, PORT, OUT, OUT_PORT):
        yield


def index_of(node, interface):
    return json.loads(node.run("ip", "-j", "link", "show", "dev", interface)[1])[0]["ifindex"]


def passes(source, destination, to="239.255.1.2", within=WITHIN, group="239.255.0.2", source_interface="s0",
           interface="d0"):
    """Whether a datagram comes through within that time, from now on. Returns its frame and the seconds it took."""
    capture, sender = t.Capture(destination, interface, to), t.RawSender(source, source_interface)
    start = time.monotonic()
    while True:
        sender.send(t.datagram(group, PORT, b"does it pass"))
        with contextlib.suppress(t.Failure):
            t.wait_for(lambda: capture.udp(to), 0.02)
            return capture.udp(to)[0], time.monotonic() - start
        t.check(time.monotonic() < start + within * t.SLOWNESS, f"nothing came through within {within} s")


def fence(net):
    """What was sent before this has been dealt with."""
    passes(net.src0, net.dst0, "239.255.1.9", group="239.255.0.9")


def passes_not(net, source, destination, to="239.255.1.2", source_interface="s0"):
    """Nothing comes through to `to`."""
    capture = t.Capture(destination, "d0", to)
    t.RawSender(source, source_interface).send(*[t.datagram("239.255.0.2", PORT, b"must not pass")] * 5)
    fence(net)
    t.equal(capture.udp(to), [], "datagrams that must not pass")


# --- late ------------------------------------------------------------------------------------------------------------


@t.test("an input interface that is missing at the start: its rule waits, and works within a second of its coming")
def late_input():
    with t.star(inputs=1, outputs=2) as net, t.Mcrd(net.relay, [*REST, second()]) as d, beside(net):
        r.wait_state(d, {"rests": "active", "plays": "waiting"}, {"in0": "up", "in1": "missing"})
        net.link(net.node("src1"), "s0", "198.18.11.1/24", net.relay, "in1", None)
        _, seconds = passes(net.src1, net.dst1)
        r.wait_state(d, {"plays": "active"}, {"in1": "up"})
        t.joined(net.relay, "in1", {"239.255.0.2"})
        t.note(f"{seconds * 1000:.0f} ms after it was up the first datagram passed")


@t.test("an output interface that is missing at the start; another output of the rule works meanwhile")
def late_output():
    rule = second(t.to_group("239.255.1.2", OUT_PORT, "out1"), t.to_group("239.255.1.3", OUT_PORT, "out0"))
    with t.star(inputs=2, outputs=1) as net, t.Mcrd(net.relay, [*REST, rule]) as d, beside(net):
        r.wait_state(d, {"rests": "active", "plays": "waiting"}, {"out0": "up", "out1": "missing"})
        passes(net.src1, net.dst0, "239.255.1.3")
        net.link(net.relay, "out1", "198.18.21.2/24", net.node("dst1"), "d0", "198.18.21.1/24")
        frame, seconds = passes(net.src1, net.dst1)
        t.equal(frame.source, "198.18.21.2", "the source address")
        passes(net.src1, net.dst0, "239.255.1.3")
        r.wait_state(d, {"plays": "active"}, {"out1": "up"})
        t.note(f"{seconds * 1000:.0f} ms after it was up the first datagram passed")


@t.test("what waits is told once and by name, again for another reason, and once when it is open; a reload tells nothing anew")
def waiting_is_told():
    def told(event, *keys):
        return [tuple(r.fields(x).get(k) for k in keys) for x in d.logged(event)]

    with t.star(inputs=2, outputs=1) as net, t.Mcrd(net.relay, [*REST, second()]) as d:
        output = ("plays", "out1", f"239.255.1.2:{OUT_PORT}")
        t.equal(told("interface_missing", "interface", "rules"), [("out1", "plays")], "the interface and its rules")
        t.equal(told("output_waiting", "rule", "interface", "to"), [output], "the output")
        # Another table by a reload, and by links.
        r.accepted(d, [*REST, second(note="another")])
        net.relay.run("ip", "address", "add", "198.18.99.1/24", "dev", "in1")
        net.link(net.relay, "out1", None, net.node("dst1"), "d0", "198.18.21.1/24")
        t.wait_for(lambda: len(d.logged("output_waiting")) > 1, 5, "the other reason")
        net.relay.run("ip", "address", "add", "198.18.21.2/24", "dev", "out1")
        passes(net.src1, net.dst1)
        t.equal(len(d.logged("interface_missing")), 1, "lines of the interface")
        t.equal([x[:3] for x in told("output_waiting", "rule", "interface", "to")], [output] * 2, "lines of the output")
        reasons = [x for x, in told("output_waiting", "reason")]
        t.check("does not exist" in reasons[0] and "no address" in reasons[1], f"reasons: {reasons}")
        t.equal(told("output_opened", "rule", "interface", "to"), [output], "the output that is open")


@t.test("what refused a link passes: it is tried again 5 s later, though nothing more is heard of links")
def refused_link():
    with t.star(inputs=1, outputs=2) as net, t.Mcrd(net.relay, [*REST, second()]) as d, beside(net):
        r.wait_state(d, {"plays": "waiting"}, {"in1": "missing"})
        r.wait_idle(d.broker)
        log = r.Log(d)
        # Without descriptors the broker cannot look at it.
        with r.limited(d.broker, resource.RLIMIT_NOFILE, max(r.descriptors(d.broker)) + 2):
            net.link(net.node("src1"), "s0", "198.18.11.1/24", net.relay, "in1", None)
            for node, interface in ((net.relay, "in1"), (net.src1, "s0")):
                node.wait_running(interface)
            told = t.wait_for(lambda: log.events("links"), WITHIN, "the refusal")[-1]
            t.equal(told["result"], "refused", f"the links ({told})")
            r.wait_idle(d.broker, 200)
            told = (log.events("links") or [told])[-1]
            since = time.monotonic()
        r.wait_state(d, {"rests": "active", "plays": "waiting"})
        r.wait_state(d, {"plays": "active"}, {"in1": "up"}, 8)
        t.check(time.monotonic() - since > 3, "something else than the time has had it tried again: the test is none")
        passes(net.src1, net.dst1)
        t.equal(log.events("links"), [], "more refusals")


# --- down and up -----------------------------------------------------------------------------------------------------


@t.test("interfaces that go down and up: \"down\" in the statistics, and within a second of \"up\" datagrams pass")
def down_and_up():
    with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, [*REST, second()]) as d, beside(net):
        passes(net.src1, net.dst1)
        for interface, far, far_interface in (("out1", net.dst1, "d0"), ("in1", net.src1, "s0")):
            for _ in range(2):
                net.relay.run("ip", "link", "set", interface, "down")
                r.wait_state(d, {"rests": "active", "plays": "down"}, {interface: "down"})
                t.equal([x["reason"] for x in d.stats()["rules"] if x["name"] == "plays"], [f"{interface} is down"],
                        "the reason")
                net.relay.run("ip", "link", "set", interface, "up")
                net.relay.wait_running(interface)
                far.wait_running(far_interface)
                passes(net.src1, net.dst1)
                r.wait_state(d, {"plays": "active"}, {interface: "up"})
            # And by the other end: the carrier goes.
            far.run("ip", "link", "set", far_interface, "down")
            r.wait_state(d, {"rests": "active", "plays": "down"}, {interface: "down"})
            far.run("ip", "link", "set", far_interface, "up")
            far.wait_running(far_interface)
            net.relay.wait_running(interface)
            passes(net.src1, net.dst1)
            r.wait_state(d, {"plays": "active"}, {interface: "up"})
        t.equal(d.stats()["generation"], 1, "generation: links are no reload")


@t.test("an output that is a port of a bridge leaves it: datagrams go on leaving by it")
def bridge_port():
    with t.line() as net:
        if net.relay.run("ip", "link", "add", "br0", "type", "bridge", check_status=False)[0] != 0:
            raise t.Skip("no bridges here")
        net.relay.run("ip", "link", "set", "out0", "master", "br0")
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)])]) as d:
            passes(net.src, net.dst, OUT, group=IN)
            net.relay.run("ip", "link", "set", "out0", "nomaster")
            passes(net.src, net.dst, OUT, group=IN)
            time.sleep(0.3)  # the broker has looked
            passes(net.src, net.dst, OUT, group=IN)
            t.equal(d.stats()["rules"][0]["outputs"][0]["errors"], 0, "errors")


# --- addresses -------------------------------------------------------------------------------------------------------


@t.test("the output's address goes: without source the rule waits; with another address frames carry that one")
def address_changes():
    outputs = [t.to_group("239.255.1.2", OUT_PORT, "out1"), t.to_group("239.255.1.3", OUT_PORT, "out1", mode="socket")]
    with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, [*REST, second(*outputs)]) as d, beside(net):
        for to in ("239.255.1.2", "239.255.1.3"):
            t.equal(passes(net.src1, net.dst1, to)[0].source, "198.18.21.2", "the source address")
        net.relay.run("ip", "address", "flush", "dev", "out1")
        r.wait_state(d, {"rests": "active", "plays": "waiting"}, {"out1": "up"})
        t.equal([x["reason"] for x in d.stats()["rules"] if x["name"] == "plays"],
                ["out1 has no address to send from"], "the reason")
        for to in ("239.255.1.2", "239.255.1.3"):
            passes_not(net, net.src1, net.dst1, to)
        net.relay.run("ip", "address", "add", "198.18.121.7/24", "dev", "out1")
        for to in ("239.255.1.2", "239.255.1.3"):
            t.equal(passes(net.src1, net.dst1, to)[0].source, "198.18.121.7", "the source address")
        r.wait_state(d, {"plays": "active"})
        # From one to the other without a time between: the old one is never seen again once the new one was.
        net.relay.run("ip", "address", "add", "198.18.122.7/24", "dev", "out1")
        net.relay.run("ip", "address", "delete", "198.18.121.7/24", "dev", "out1")
        for to in ("239.255.1.2", "239.255.1.3"):
            t.wait_for(lambda to=to: passes(net.src1, net.dst1, to)[0].source == "198.18.122.7", WITHIN,
                       "the new address")
            t.equal(passes(net.src1, net.dst1, to)[0].source, "198.18.122.7", "the source address")


@t.test("the output's address goes: with a source of its own the rule in frame mode goes on")
def address_not_needed():
    rule = second(t.to_group("239.255.1.2", OUT_PORT, "out1", source="198.19.1.1"))
    with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, [*REST, rule]) as d, beside(net):
        passes(net.src1, net.dst1)
        net.relay.run("ip", "address", "flush", "dev", "out1")
        net.relay.run("ip", "address", "flush", "dev", "in1")
        for _ in range(5):
            t.equal(passes(net.src1, net.dst1)[0].source, "198.19.1.1", "the source address")
        r.wait_state(d, {"plays": "active"})


@t.test("the address that is an output's source goes, by socket and by raw UDP: the rule waits and says so, until it is back")
def source_goes():
    # Below 1024 the broker may not bind the port.
    for port in (OUT_PORT, 162):
        rule = second(t.to_host("198.18.21.1", port, "out1", source="198.18.21.9"))
        with t.star(inputs=2, outputs=2) as net:
            net.relay.run("ip", "address", "add", "198.18.21.9/24", "dev", "out1")
            with t.Mcrd(net.relay, [*REST, rule]) as d, beside(net):
                for _ in range(2):
                    t.equal(passes(net.src1, net.dst1, "198.18.21.1")[0].source, "198.18.21.9", "the source")
                    net.relay.run("ip", "address", "del", "198.18.21.9/24", "dev", "out1")
                    r.wait_state(d, {"rests": "active", "plays": "waiting"}, {"out1": "up"})
                    t.equal([x["reason"] for x in d.stats()["rules"] if x["name"] == "plays"],
                            ["out1 does not have the address 198.18.21.9"], "the reason")
                    d.reload()
                    r.wait_state(d, {"rests": "active", "plays": "waiting"})
                    net.relay.run("ip", "address", "add", "198.18.21.9/24", "dev", "out1")
                    r.wait_state(d, {"rests": "active", "plays": "active"})


@t.test("an output's source is on another interface of the host: a reload keeps the socket, the rule stays active")
def source_elsewhere():
    rule = second(t.to_host("198.18.21.1", OUT_PORT, "out1", source="198.18.199.1"))
    with t.star(inputs=2, outputs=2) as net:
        net.relay.run("ip", "address", "add", "198.18.199.1/32", "dev", "lo")
        with t.Mcrd(net.relay, [*REST, rule]) as d, beside(net):
            for _ in range(2):
                t.equal(passes(net.src1, net.dst1, "198.18.21.1")[0].source, "198.18.199.1", "the source")
                d.reload()
                r.wait_state(d, {"rests": "active", "plays": "active"})


@t.test("unicast: a route, and then an address, that come later; and go")
def late_route():
    rule = second(t.to_host("198.18.99.1", OUT_PORT, "out1"))
    with t.star(inputs=2, outputs=2) as net:
        # It answers for the host behind it only as a router.
        net.dst1.run("sh", "-ec", "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore")
        net.dst1.run("ip", "address", "add", "198.18.99.1/32", "dev", "lo")
        net.relay.run("ip", "address", "flush", "dev", "out1")
        with t.Mcrd(net.relay, [*REST, rule]) as d, beside(net):
            r.wait_state(d, {"rests": "active", "plays": "waiting"}, {"out1": "up"})
            net.relay.run("ip", "address", "add", "198.18.21.2/24", "dev", "out1")
            # Without a route the kernel takes what a socket that is bound to a device sends to for a neighbour there.
            r.wait_state(d, {"plays": "active"})
            passes_not(net, net.src1, net.dst1, "198.18.99.1")
            net.relay.run("ip", "route", "add", "198.18.99.1/32", "via", "198.18.21.1")
            passes(net.src1, net.dst1, "198.18.99.1")
            r.wait_state(d, {"rests": "active", "plays": "active"})
            net.relay.run("ip", "address", "flush", "dev", "out1")
            r.wait_state(d, {"plays": "waiting"})
            net.relay.run("ip", "address", "add", "198.18.21.2/24", "dev", "out1")
            net.relay.run("ip", "route", "replace", "198.18.99.1/32", "via", "198.18.21.1")
            passes(net.src1, net.dst1, "198.18.99.1")
            r.wait_state(d, {"plays": "active"})


# --- gone, and come again --------------------------------------------------------------------------------------------


@t.test("an input that is deleted and made again under another index: the rule waits, then works within a second")
def new_index_input():
    with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, [*REST, second()]) as d, beside(net):
        passes(net.src1, net.dst1)
        for _ in range(2):
            before = index_of(net.relay, "in1")
            net.relay.run("ip", "link", "delete", "in1")
            r.wait_state(d, {"rests": "active", "plays": "waiting"}, {"in1": "missing"})
            net.link(net.src1, "s0", "198.18.11.1/24", net.relay, "in1", "198.18.11.2/24")
            t.check(index_of(net.relay, "in1") != before, "the index is the old one: the test is none")
            passes(net.src1, net.dst1)
            r.wait_state(d, {"plays": "active"}, {"in1": "up"})
            t.joined(net.relay, "in1", {"239.255.0.2"})
            passes(net.src1, net.dst1)
        # Its counters go on by name, as the rule's do.
        counted = {x["name"]: x for x in d.stats()["rules"] + d.stats()["interfaces"]}
        t.equal(counted["in1"]["received"] - counted["in1"]["unmatched"], counted["plays"]["packets"],
                "received by in1 for its one rule")


MODES = {"frame": t.to_group("239.255.1.2", OUT_PORT, "out1", mode="frame"),
         "socket": t.to_group("239.255.1.2", OUT_PORT, "out1", mode="socket"),
         "host": t.to_host("198.18.21.1", OUT_PORT, "out1"),
         "raw": t.to_host("198.18.21.1", OUT_PORT, "out1", source="preserve"),
         "raw UDP": t.to_host("198.18.21.1", OUT_PORT, "out1", source_port="preserve")}


@t.test("an output that is deleted and made again under another index")
def new_index_output():
    with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, [*REST, second(
            *({**o, "port": OUT_PORT + i} for i, o in enumerate(MODES.values())))]) as d, beside(net), \
            contextlib.ExitStack() as listeners:
        for i in range(len(MODES)):  # else a rule whose port nobody has is down
            listeners.enter_context(net.dst1.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("", OUT_PORT + i))
        for _ in range(2):
            net.relay.run("ip", "link", "delete", "out1")
            r.wait_state(d, {"rests": "active", "plays": "waiting"}, {"out1": "missing"})
            net.link(net.relay, "out1", "198.18.21.2/24", net.dst1, "d0", "198.18.21.1/24")
            for to in ("239.255.1.2", "198.18.21.1"):
                passes(net.src1, net.dst1, to)
            r.wait_state(d, {"plays": "active"}, {"out1": "up"})


def stale_index(net, output, before=lambda: None):
    """Deletes out1 and gives its index and its address to another interface, while a stream flows to the output. Then,
    when asked again, how many datagrams came there. before: is called before the stream: who stops the relay must not do so
    in the middle of a pass."""
    other = net.node("other")
    passes(net.src1, net.dst1, output.get("group", output.get("address")))
    index = index_of(net.relay, "out1")
    # Made elsewhere, with its other end up and watched already: it keeps its index when it moves in.
    other.run("ip", "link", "add", "other0", "index", index, "type", "veth", "peer", "name", "o0")
    for interface in ("o0", "other0"):
        other.run("ip", "link", "set", interface, "up")
    other.wait_running("o0")
    capture = t.Capture(other, "o0")
    before()
    sending = r.Sending(net.src1, "239.255.0.2", PORT, 2, r.rate(20000))
    net.relay.run("ip", "link", "delete", "out1")
    other.run("ip", "link", "set", "other0", "netns", net.relay.holder.pid)
    net.relay.run("sh", "-ec", """ip -batch - <<END
link set other0 up
address add 198.18.21.2/24 dev other0
neighbour replace 198.18.21.1 lladdr 02:00:00:00:99:99 dev other0
END
""")
    t.equal(index_of(net.relay, "other0"), index, "the index of the other one")
    net.relay.wait_running("other0")
    yield
    sending.finish()
    fence(net)
    yield len(capture.udp())


@t.test("an output goes, another interface takes its index and its address at once: nothing is ever sent there")
def stale_index_output():
    wrong = {}
    for mode, output in MODES.items():
        with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, [*REST, second(output)]) as d:
            run = stale_index(net, output)
            next(run)
            r.wait_state(d, {"rests": "active", "plays": "waiting"}, {"out1": "missing"})
            wrong[mode] = next(run)
    t.equal(wrong, {mode: 0 for mode in MODES}, "datagrams that were sent to the interface that took the index")


@t.test("the same while the broker is busy or gone: the relay by itself never sends to a stale index")
def stale_index_without_broker():
    wrong = {}
    for mode, output in MODES.items():
        with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, [*REST, second(output)]) as d:
            os.kill(d.broker, signal.SIGSTOP)
            try:
                run = stale_index(net, output)
                next(run)
                wrong[mode] = next(run)
            finally:
                os.kill(d.broker, signal.SIGCONT)
            r.wait_state(d, {"rests": "active", "plays": "waiting"}, {"out1": "missing"})
    t.equal(wrong, {mode: 0 for mode in MODES}, "datagrams that were sent to the interface that took the index")


def lose_news(net, d):
    """Stops the relay, and has more to tell of links than the kernel keeps for it: what comes next is lost."""
    os.kill(d.process.pid, signal.SIGSTOP)
    net.relay.run("sh", "-ec", """
ip link add storm0 type veth peer name thunder0
ip link set storm0 up
for i in $(seq 1000); do echo "link set storm0 txqueuelen $((1000 + i))"; done | ip -batch -
""", seconds=60)


@t.test("the same while the kernel has no room for the news of it: outputs by their index wait for the broker")
def stale_index_lost_news():
    wrong, told = {}, {}
    for mode, output in MODES.items():
        with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, [*REST, second(output)]) as d:
            run = stale_index(net, output, lambda n=net, e=d: lose_news(n, e))
            next(run)
            os.kill(d.process.pid, signal.SIGCONT)
            r.wait_state(d, {"rests": "active", "plays": "waiting"}, {"out1": "missing"})
            wrong[mode], told[mode] = next(run), len(d.logged("links_lost")) > 0
    t.equal(wrong, {mode: 0 for mode in MODES}, "datagrams that were sent to the interface that took the index")
    t.equal(told, {mode: True for mode in MODES}, "event=links_lost")


@t.test("news are lost, but nothing has gone: outputs go on at once; after a second where the broker hangs or has ended")
def lost_news():
    output = t.to_host("198.18.21.1", OUT_PORT, interface="out1")
    for state, of_broker, within in (("looks", None, WITHIN), ("hangs", signal.SIGSTOP, 3),
                                     ("has ended", signal.SIGKILL, WITHIN)):
        with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, [*REST, second(output)]) as d:
            passes(net.src1, net.dst1, "198.18.21.1")
            if of_broker:
                os.kill(d.broker, of_broker)
            if of_broker == signal.SIGKILL:
                t.wait_for(lambda e=d: e.logged("broker"), 5, "event=broker")
                d.broker_expected = False
            lose_news(net, d)
            os.kill(d.process.pid, signal.SIGCONT)
            _, took = passes(net.src1, net.dst1, "198.18.21.1", within)
            t.note(f"the broker {state}: {1000 * took:.0f} ms")
            t.equal(bool(d.logged("links_lost")), of_broker != signal.SIGKILL, f"the broker {state}: event=links_lost")
            if of_broker == signal.SIGSTOP:
                os.kill(d.broker, signal.SIGCONT)


@t.test("a host of a link has more to tell of addresses and routes than the kernel keeps: nothing waits, nothing is lost")
def advertised():
    prefixes = [f"2001:db8:{0x100 + i:x}::" for i in range(44)]  # as many as a frame holds
    storm = [t.router_advertisement(prefixes, lifetime) for lifetime in ((1 << 32) - 1, 0)] * 50
    output = t.to_group(OUT, OUT_PORT, mode="socket")
    with t.line6() as net, t.Mcrd(net.relay, [t.rule("r", IN, PORT, [output])]) as d:
        stranger, received = t.RawSender(net.src, "s0"), r.Streams(net.dst, (OUT, OUT_PORT, 1))
        sending = r.Sending(net.src, IN, PORT, 1, r.rate(1000))
        until = time.monotonic() + 2
        while time.monotonic() < until:
            stranger.send(*storm)
        sent = sending.finish()
        t.equal(d.logged("links_lost"), [], "event=links_lost")
        r.exactly_once("the stream", r.wait_quiet(received)[OUT, OUT_PORT], sent, 1)
        d.account({"r": sent})


@t.test("input and output are deleted and made again under the same index, before the broker looks: they work again")
def same_index():
    modes = {k: {**o, "port": OUT_PORT + i} for i, (k, o) in enumerate(MODES.items())}
    with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, [*REST, second(*modes.values())]) as d, beside(net):
        for interface, far, far_interface, here, there in (("out1", net.dst1, "d0", "198.18.21.2/24", "198.18.21.1/24"),
                                                           ("in1", net.src1, "s0", "198.18.11.2/24", "198.18.11.1/24")):
            passes(net.src1, net.dst1)
            os.kill(d.broker, signal.SIGSTOP)
            try:
                index = index_of(net.relay, interface)
                net.relay.run("ip", "link", "delete", interface)
                net.relay.run("ip", "link", "add", interface, "index", index, "type", "veth", "peer", "name",
                              far_interface, "netns", far.holder.pid)
                for node, name, address in ((net.relay, interface, here), (far, far_interface, there)):
                    node.run("ip", "address", "add", address, "dev", name)
                    node.run("ip", "link", "set", name, "up")
            finally:
                os.kill(d.broker, signal.SIGCONT)
            net.relay.wait_running(interface)
            far.wait_running(far_interface)
            t.equal(index_of(net.relay, interface), index, "its index")
            capture = t.Capture(net.dst1, "d0")
            for to in ("239.255.1.2", "198.18.21.1"):
                passes(net.src1, net.dst1, to)
            came = {k for k, o in modes.items() if capture.udp(port=o["port"])}
            t.equal(came, set(modes), f"{interface}: outputs that work")
            t.joined(net.relay, "in1", {"239.255.0.2"})


@t.test("an input goes, another interface takes its index: nothing that comes in there is taken")
def stale_index_input():
    with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, [*REST, second()]) as d, beside(net):
        passes(net.src1, net.dst1)
        index = index_of(net.relay, "in1")
        other = net.node("other")
        net.relay.run("sh", "-ec", f"""ip -batch - <<END
link delete in1
link add other0 index {index} type veth peer name o0 netns {other.holder.pid}
link set other0 up
END
""")
        other.run("ip", "link", "set", "o0", "up")
        net.relay.wait_running("other0")
        for _ in range(5):
            passes_not(net, other, net.dst1, source_interface="o0")
        r.wait_state(d, {"rests": "active", "plays": "waiting"}, {"in1": "missing"})
        t.joined(net.relay, "other0", set())
        passes_not(net, other, net.dst1, source_interface="o0")


# --- renamed ---------------------------------------------------------------------------------------------------------


@t.test("interfaces that are renamed away and back: the file names names, so the rule waits meanwhile")
def renamed():
    with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, [*REST, second()]) as d, beside(net):
        for interface in ("out1", "in1"):
            passes(net.src1, net.dst1)
            for command in ("down", "name", "up"):
                net.relay.run("ip", "link", "set", interface if command != "up" else "away1",
                              *(("name", "away1") if command == "name" else (command,)))
            r.wait_state(d, {"rests": "active", "plays": "waiting"}, {interface: "missing"})
            net.relay.wait_running("away1")
            passes_not(net, net.src1, net.dst1)
            t.joined(net.relay, "away1", set())
            for name, command in (("away1", ("down",)), ("away1", ("name", interface)), (interface, ("up",))):
                net.relay.run("ip", "link", "set", name, *command)
            net.relay.wait_running(interface)
            passes(net.src1, net.dst1)
            r.wait_state(d, {"plays": "active"}, {interface: "up"})


@t.test("another interface gets the name of one that has gone: it is that one from now on")
def renamed_in_place():
    with t.star(inputs=2, outputs=3) as net, t.Mcrd(net.relay, [*REST, second()]) as d, beside(net):
        passes(net.src1, net.dst1)
        net.relay.run("ip", "link", "delete", "out1")
        r.wait_state(d, {"plays": "waiting"}, {"out1": "missing"})
        for name, command in (("out2", ("down",)), ("out2", ("name", "out1")), ("out1", ("up",))):
            net.relay.run("ip", "link", "set", name, *command)
        net.relay.wait_running("out1")
        t.equal(passes(net.src1, net.dst2)[0].source, "198.18.22.2", "the source address")
        r.wait_state(d, {"plays": "active"}, {"out1": "up"})


# --- MTU -------------------------------------------------------------------------------------------------------------


@t.test("the MTU of input and output changes while a stream flows: nothing is lost; larger datagrams pass then")
def mtu_changes():
    with t.star(inputs=1, outputs=1) as net, t.Mcrd(net.relay, REST) as d:
        with r.undisturbed(net.src0, net.dst0, IN, PORT, OUT, OUT_PORT, pps=20000):
            for mtu in (1400, 1500, 2000, 1500, 4000):
                for interface in ("out0", "in0"):
                    net.relay.run("ip", "link", "set", interface, "mtu", mtu)
                    time.sleep(0.1)
        for node, interface in ((net.src0, "s0"), (net.dst0, "d0")):
            node.run("ip", "link", "set", interface, "mtu", 4000)
        receiver = t.Receiver(net.dst0, "d0", OUT, OUT_PORT, expect=200)
        t.send(net.src0, "s0", IN, PORT, count=200, rate=2000, size=3900)
        receiver.all_came()
        t.equal([i["ring_drops"] for i in d.stats()["interfaces"]], [0, 0], "ring_drops")


@t.test("a storm of other links and addresses: nothing of it concerns the rules, and nothing is lost")
def storm():
    with t.star(inputs=1, outputs=1) as net, t.Mcrd(net.relay, REST) as d, beside(net):
        before = r.holds(d)
        net.relay.run("sh", "-ec", """
for i in $(seq 50); do echo "link add storm$i type veth peer name thunder$i"
echo "address add 198.19.$i.1/24 dev storm$i"; echo "link set storm$i up"
echo "link set thunder$i up"; done | ip -batch -
for i in $(seq 50); do echo "link delete storm$i"; done | ip -batch -
""", seconds=30)
        r.same_holds(d, before)
        r.wait_state(d, {"rests": "active"}, {"in0": "up", "out0": "up"})
        t.equal(d.logged("links"), [], "refused")


if __name__ == "__main__":
    t.main()
