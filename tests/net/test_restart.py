#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A restart is a reload: what the service manager keeps of mcrd while it does not run, and what the next one makes of it."""
import os
import re
import signal
import socket
import time

import mcrtest as t

A, B, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.10.1", "239.255.1.1", 5000, 6000
RULES = [t.rule("r", A, PORT, [t.to_group(OUT, OUT_PORT)])]
ENDS = {signal.SIGTERM: 0, signal.SIGKILL: -signal.SIGKILL}  # and mcrd's exit status
WITNESS = os.environ.get("WITNESS", os.path.join(os.path.dirname(t.MCRD), "../tests/net/witness.so"))
ROUNDS = 20 if t.LONG else 5 if t.SANITIZED else 8


def merged(**keys):
    return {"name": "m", "inputs": [{"leg": "A", "interface": "in0", "group": A, "port": PORT},
                                    {"leg": "B", "interface": "in1", "group": B, "port": PORT}],
            "merge": {"by": "rtp", "window_ms": 2000, **keys}, "outputs": [t.to_group(OUT, OUT_PORT)]}


def continued(line):
    """The fields of event=continued."""
    t.check(line, "nothing was taken over")
    return {k: float(v) for k, v in (x.split("=") for x in line.split() if "=" in x) if v.replace(".", "").isdigit()}


def restart(d, number):
    return continued(d.restart(number, ENDS[number]))


@t.test(f"{ROUNDS} restarts by SIGTERM, {ROUNDS} by SIGKILL: nothing is lost; what comes twice is at most a pass each; counters go on")
def plain():
    for number in ENDS:
        # Room for 8 s: on a busy machine a start takes its time.
        with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES, ring_mib=32) as d:
            receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=2000, seconds=90)
            source = t.start_sending(net.src, "s0", A, PORT, seconds=60, rate=5000, size=200)
            found = [restart(d, number) for _ in range(ROUNDS)]
            t.equal([(x["rings"], x["dropped"]) for x in found], [(1, 0)] * ROUNDS, f"rings, dropped, with {found}")
            source.send_signal(signal.SIGINT)
            sent, report = t.finish_sending(source), receiver.report()
            t.equal((report["lost"], report["corrupt"], report["reordered"]), (0, 0, 0), f"lost, corrupt, reordered, of {report}")
            t.check(report["duplicates"] <= (0 if number == signal.SIGTERM else 256 * ROUNDS),
                    f"{report['duplicates']} came twice")
            t.check(sum(x["waiting"] for x in found) > 0, "no ring bridged a restart")
            stats = d.stats()
            t.equal(stats["generation"], ROUNDS + 1, "generation")
            # A pass that was cut off may be counted by the one and not yet by the other.
            unsure = 0 if number == signal.SIGTERM else 256 * ROUNDS
            for what, n in (("the rule", stats["rules"][0]["packets"]), ("its output", stats["rules"][0]["outputs"][0]["packets"])):
                t.check(abs(n - sent["sent"]) <= unsure, f"{what} has counted {n} of {sent['sent']}")
            received = stats["interfaces"][0]["received"]
            t.check(received >= sent["sent"] - unsure, f"the interface has counted {received} of {sent['sent']}")
            t.equal(stats["continued"]["rings"], 1, "continued.rings")


@t.test("the broker is killed, again and again: both are started anew, nothing is lost or comes twice, the next reload works")
def broker_killed():
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES, ring_mib=32) as d:
        receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=2000, seconds=90)
        source = t.start_sending(net.src, "s0", A, PORT, seconds=60, rate=5000, size=200)
        for _ in range(2):
            continued(d.restart(signal.SIGKILL, 1, "broker"))
            t.check("result=accepted" in d.reload(), "the next reload")
        source.send_signal(signal.SIGINT)
        t.finish_sending(source)
        report = receiver.report()
        t.equal((report["lost"], report["duplicates"], report["reordered"]), (0, 0, 0), "lost, twice, reordered")
        t.equal(d.stats()["broker"], "alive", "broker")


@t.test("200,000/s by ring_mib = 64: restarts and kills lose nothing", alone=True, released=True)
def fast():
    if t.SANITIZED or t.SLOWNESS > 1:
        raise t.Skip("this mcrd is too slow for that")
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES, ring_mib=64) as d:
        # Single frames, as a network brings them: the source's kernel cuts what it is given in one call.
        net.src.ethtool("s0", "tx-udp-segmentation", "off")
        receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=3000, seconds=60)
        source = t.start_sending(net.src, "s0", A, PORT, seconds=30, rate=200000, size=100, gso=60)
        found = [restart(d, number) for number in ENDS for _ in range(4)]
        source.send_signal(signal.SIGINT)
        t.finish_sending(source)
        report = receiver.report()
        # A machine that is busy otherwise makes a gap longer than the ring bridges, which is told.
        t.equal([x for x in found if x["dropped"] and x["gap_ms"] < 200], [], "dropped in a gap that the ring bridges")
        t.check(min(x["gap_ms"] for x in found) < 200, "every gap was too long")
        t.equal((report["lost"], report["corrupt"]), (d.stats()["interfaces"][0]["ring_drops"] + report["socket_drops"], 0),
                "lost, corrupt")
        t.check(report["duplicates"] <= 4 * 256, f"{report['duplicates']} came twice")


@t.test("merges, one of them in order: two legs 50 ms apart, each with losses; through restarts each number leaves; only what a kill catches on its way comes twice", alone=True)
def merges():
    for number in ENDS:
        for keys in ({}, {"reorder_ms": 1000}):
            rule = {**merged(**keys), "max_payload": 300}
            with t.two_paths() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, [rule]) as d:
                receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=3000, seconds=90, **{"as": "rtp"})
                legs = [f"s0,{A},{PORT},pattern=3/100", f"s1,{B},{PORT},pattern=5/100@50,delay_ms=50"]
                source = t.start_sending_legs(net.src, legs, seconds=60, rate=4000, size=200, **{"as": "rtp"})
                found = [restart(d, number) for _ in range(max(3, ROUNDS // 4))]
                source.send_signal(signal.SIGINT)
                t.finish_sending(source)
                report = receiver.report()
                t.equal(sum(x["dropped"] for x in found), 0, "dropped")
                t.equal((report["lost"], report["corrupt"]), (0, 0), "lost, corrupt")
                t.check(report["duplicates"] <= (0 if number == signal.SIGTERM else 256 * ROUNDS),
                        f"{report['duplicates']} came twice")
                if keys and number == signal.SIGTERM:
                    t.equal(report["reordered"], 0, "reordered")


@t.test("merges, one of them in order: the relay dies in the middle of a pass, and of a release, before it sends: each number leaves")
def merges_cut_off():
    if not os.access(WITNESS, os.R_OK):
        raise t.Skip("tests/net/witness.so is not built")
    for keys in {}, {"reorder_ms": 300}:
        with t.two_paths() as net, t.Manager() as manager, t.KeptMcrd(
                manager, net.relay, [{**merged(**keys), "max_payload": 300}], args=["--without=tx-ring"], before=dying()) as d:
            receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=3000, seconds=60, **{"as": "rtp"})
            legs = [f"s0,{A},{PORT},pattern=3/100", f"s1,{B},{PORT},pattern=5/100@50,delay_ms=50"]
            source = t.start_sending_legs(net.src, legs, seconds=40, rate=2000, size=200, **{"as": "rtp"})
            for before in dying(), dying(), []:
                d.before = before
                found = continued(d.restart(0, -signal.SIGILL))
                t.equal((found["rings"], found["dropped"]), (2, 0), "rings, dropped")
            source.send_signal(signal.SIGINT)
            t.finish_sending(source)
            report = receiver.report()
            t.equal((report["lost"], report["corrupt"]), (0, 0), "lost, corrupt")
            t.check(report["duplicates"] <= 3 * 256, f"{report['duplicates']} came twice")


def dying():
    """What runs mcrd so that its relay dies before a send, a second after its first: the broker has recorded the start."""
    return preloaded(f"DIE_AFTER_MS={1000 * t.SLOWNESS:.0f}")


def preloaded(variable):
    # A sanitizer's library wants to be the first.
    return ["env", f"LD_PRELOAD={WITNESS}", variable,
            f"ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0:handle_sigill=0"]


@t.test("a stream that is within its limit loses nothing of what waited; a flood is limited as before", released=True)
def within_limits():
    most = int(1200 / t.SLOWNESS)
    for limit in ({"packets_per_second": most}, {"packets_per_second": most, "per_source": True}, {"bits_per_second": most * 1416}):
        rule = t.rule("r", A, PORT, [t.to_group(OUT, OUT_PORT)], limit=limit, max_residence_us=int(50000 * t.SLOWNESS))
        with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, [rule]) as d:
            receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=1000, seconds=60)
            source = t.start_sending(net.src, "s0", A, PORT, seconds=40, rate=1000, size=200)
            for number in ENDS:
                time.sleep(.2)
                # What waits exceeds 100 ms of the rate, on any machine.
                continued(d.restart(number, ENDS[number], pause=.3 * t.SLOWNESS))
            time.sleep(1.2)
            t.equal(d.stats()["rules"][0]["alarms"], [], "alarms")
            source.send_signal(signal.SIGINT)
            t.finish_sending(source)
            report = receiver.report()
            t.equal((report["lost"], report["corrupt"]), (0, 0), f"lost, corrupt with {limit}")
            t.equal(d.stats()["rules"][0]["drops"]["rate"], 0, "dropped by the limit")
            t.send(net.src, "s0", A, PORT, count=3000, rate=3000, size=200)
            t.wait_for(lambda: d.stats()["rules"][0]["drops"]["rate"] > 1500, 5, "a flood is limited")


@t.test("merge by active beside other traffic of the main leg's interface: no switch, nothing lost or twice")
def active_leg():
    rules = [{**merged(), "merge": {"by": "active", "switch_after_ms": 100, "return_after_ms": 0}},
             t.rule("r", "239.255.0.9", PORT, [t.to_group("239.255.1.9", 6009)])]
    with t.two_paths() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, rules) as d:
        other = t.start_sending(net.src, "s0", "239.255.0.9", PORT, seconds=60, rate=4000, size=200)
        source = t.start_sending_legs(net.src, [f"s0,{A},{PORT}", f"s1,{B},{PORT}"], seconds=60, rate=500, size=200, **{"as": "rtp"})
        # What the rings hold at first may leave by both legs: within switch_after_ms of the first one, the better leg takes over.
        t.wait_for(lambda: d.stats()["rules"][0]["packets"] > 150, 10, "the end of the beginning")
        seen = len(d.log_text().splitlines())
        receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=2000, seconds=60, **{"as": "rtp"})
        for _ in range(4):
            time.sleep(.3)
            restart(d, signal.SIGTERM)
        for s in (source, other):
            s.send_signal(signal.SIGINT)
            t.finish_sending(s)
        report = receiver.report()
        t.equal((report["lost"], report["duplicates"]), (0, 0), "lost, twice")
        t.equal(d.stats()["rules"][0]["merge"]["active_leg"], "A", "the active leg")
        t.equal([x for x in d.logged("leg_active", seen) if "before=none" not in x], [], "switches")


@t.test("groups stay joined through a restart: no report of IGMP or MLD says that one is left; after a stop all are left")
def memberships():
    v6, source = "ff15::1:1", "198.18.1.1"
    rules = RULES + [t.rule("ssm", "232.1.1.1", PORT, [t.to_group(OUT, 6001)], sources=[source]),
                     t.rule("six", v6, PORT, [t.to_group("ff15::2:2", 6002)])]
    with t.line() as net, t.Manager() as manager:
        capture = t.Capture(net.src, "s0")
        d = t.KeptMcrd(manager, net.relay, rules)
        with d:
            manager.wait_names("member", 2)
            seen = len(capture.poll())
            for number in ENDS:
                restart(d, number)
                t.equal(t.memberships(net.relay, "in0"), {A, "232.1.1.1"}, "groups")
            manager.wait_names("member", 2)
            time.sleep(1.)  # a report is sent within this time (RFC 3376, 8.11: Unsolicited Report Interval)
            t.equal(leaving(capture.poll()[seen:]), 0, "records that leave a group")
        manager.clear()
        t.wait_for(lambda: not t.memberships(net.relay, "in0"), 5, "the end of the memberships")
        t.wait_for(lambda: leaving(capture.poll()[seen:]) > 0, 5, "the records that leave the groups")


def leaving(frames):
    """How many records of reports say that a group is left or a source blocked (RFC 3376, 4.2.12; RFC 3810, 5.2.12)."""
    n = 0
    for f in frames:
        if f.kind == 0x0800 and f.data[23] == 2:
            n += f.data[14 + f.header_length] == 0x22 and f.data[14 + f.header_length + 8] in (3, 6)
        elif f.kind == 0x86dd and f.data[20] == 0:  # a hop-by-hop option before ICMPv6
            n += f.data[62] == 143 and f.data[70] in (3, 6)
    return n


def expect_traffic(net, interface, group, to, port):
    receiver = t.Receiver(net.dst, "d0", to, port, expect=100, seconds=20)
    t.send(net.src, interface, group, PORT, count=100, rate=2000, size=100)
    t.equal(receiver.report()["received"], 100, "datagrams")


@t.test("a changed file: the rule that stays loses nothing, another one ends, a new one begins; limits go on; generation 2")
def changed():
    other, new = "239.255.0.7", "239.255.0.8"
    stays = t.rule("r", A, PORT, [t.to_group(OUT, OUT_PORT)])
    limited = t.rule("l", "239.255.0.9", PORT, [t.to_group("239.255.1.9", 6009)],
                     limit={"packets_per_second": 10, "burst_ms": 10000})
    with t.line() as net, t.Manager() as manager, \
            t.KeptMcrd(manager, net.relay, [stays, limited, t.rule("gone", other, PORT, [t.to_group(OUT, 7000)])]) as d:
        t.send(net.src, "s0", "239.255.0.9", PORT, count=100, rate=1000, size=100)
        receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=2000, seconds=60)
        source = t.start_sending(net.src, "s0", A, PORT, seconds=30, rate=5000, size=200)
        d.config.rules = [t.rule("new", new, PORT, [t.to_group(OUT, 7001)]), limited, stays]
        d.config.write()
        restart(d, signal.SIGTERM)
        t.send(net.src, "s0", "239.255.0.9", PORT, count=100, rate=1000, size=100)
        source.send_signal(signal.SIGINT)
        sent, report = t.finish_sending(source), receiver.report()
        t.equal((report["lost"], report["duplicates"]), (0, 0), "lost, twice")
        rules = {x["name"]: x for x in d.stats()["rules"]}
        t.equal(sorted(rules), ["l", "new", "r"], "rules")
        t.equal(rules["r"]["packets"], sent["sent"], "packets of the rule that stays")
        t.equal(rules["new"]["packets"], 0, "packets of the new one")
        passed = 200 - rules["l"]["drops"]["rate"]
        t.check(100 <= passed < 180, f"the limit let {passed} pass: a new bucket was full")
        t.equal(t.memberships(net.relay, "in0"), {A, new, "239.255.0.9"}, "groups")
        t.equal(d.stats()["generation"], 2, "generation")


@t.test("another ring_mib, a larger MTU, an interface that came anew: told, a new ring each, and the other interface loses nothing")
def other_rings():
    rules = [t.rule("r", A, PORT, [t.to_group(OUT, OUT_PORT)]), t.rule("s", B, PORT, [t.to_group("239.255.1.2", 6001)], "in1")]

    def anew(net, d):
        net.relay.run("ip", "link", "del", "in1")
        net.link(net.src, "s1", "198.18.11.1/24", net.relay, "in1", "198.18.11.2/24")

    def mtu(net, d):
        net.relay.run("ip", "link", "set", "in1", "mtu", "9000")

    for change in (anew, mtu):
        with t.two_paths() as net, t.Manager() as manager, \
                t.KeptMcrd(manager, net.relay, rules, args=["--without", "super-frames"]) as d:
            receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=2000, seconds=60)
            source = t.start_sending(net.src, "s0", A, PORT, seconds=30, rate=5000, size=200)
            manager.wait_names("ring", 2)
            d.signal(signal.SIGSTOP)  # so that it does not follow the change itself
            change(net, d)
            d.signal(signal.SIGCONT)
            restart(d, signal.SIGKILL)
            expect_traffic(net, "s1", B, "239.255.1.2", 6001)
            source.send_signal(signal.SIGINT)
            t.finish_sending(source)
            t.equal(receiver.report()["lost"], 0, "lost by the other interface")
            manager.wait_names("ring", 2)
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        d.config.top["ring_mib"] = 2
        d.config.write()
        t.equal(restart(d, signal.SIGTERM)["replaced"], 1, "rings that are replaced")
        t.equal(d.stats()["continued"]["replaced"], 1, "continued.replaced")
        t.wait_for(lambda: [x for x in manager.names("ring") if "ring_mib=2," in x], 5, "the new ring in the store")
        manager.wait_names("ring", 1)
        expect_traffic(net, "s0", A, OUT, OUT_PORT)


@t.test("the kernel refuses a ring that the file on disk asks for: it is told, and what ran goes on without loss")
def refused_ring():
    if not os.access(WITNESS, os.R_OK):
        raise t.Skip("tests/net/witness.so is not built")
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=2000, seconds=60)
        source = t.start_sending(net.src, "s0", A, PORT, seconds=40, rate=2000, size=200)
        d.config.top["ring_mib"] = 8
        d.config.write()
        d.before = preloaded("REFUSE_RINGS=1")
        t.equal(restart(d, signal.SIGTERM)["dropped"], 0, "dropped")
        refused = [x for x in d.logged("start") if "result=refused" in x]
        t.check(len(refused) == 1 and "Cannot allocate memory" in refused[0], f"the refusal: {refused}")
        t.check("text=kept" in d.logged("started")[-1], "what runs is what ran")
        d.before = []
        restart(d, signal.SIGKILL)
        source.send_signal(signal.SIGINT)
        t.finish_sending(source)
        report = receiver.report()
        t.equal((report["lost"], report["reordered"]), (0, 0), "lost, reordered")


@t.test("a manager that keeps few: the rings come first, what is left out is told, and a restart loses nothing")
def small_store():
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES, most=6) as d:
        # The table, its state and text, the head of the records, a ring, and one spare socket.
        manager.wait_names("spare", 1)
        t.check(manager.names("ring") and not manager.names("member") and len(manager.store) == 6, str(manager.store))
        over = d.stats()["not_kept"]
        t.check(over >= 2, f"{over} are left out")
        t.check(f"over={over}" in d.logged("notify")[-1], "the log")
        receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=2000, seconds=60)
        source = t.start_sending(net.src, "s0", A, PORT, seconds=40, rate=2000, size=200)
        for _ in range(2):
            restart(d, signal.SIGTERM)
        source.send_signal(signal.SIGINT)
        t.finish_sending(source)
        report = receiver.report()
        t.equal((report["lost"], report["duplicates"]), (0, 0), "lost, twice")


@t.test("a ring that a reload has made is kept as the first ones are, though its socket was kept as a spare one")
def made_later():
    with t.two_paths() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        manager.wait_names("ring", 1)
        t.wait_for(lambda: manager.names("spare"), 5, "spare sockets")
        for rules, n in ((RULES + [t.rule("s", B, PORT, [t.to_group("239.255.1.2", 6001)], "in1")], 2), (RULES, 1)):
            d.config.rules = rules
            d.config.write()
            t.check("result=accepted" in d.reload(), "the reload")
            manager.wait_names("ring", n)
            receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=2000, seconds=60)
            source = t.start_sending(net.src, "s0", A, PORT, seconds=30, rate=2000, size=200)
            t.equal(restart(d, signal.SIGTERM)["rings"], n, "rings taken over")
            source.send_signal(signal.SIGINT)
            t.finish_sending(source)
            t.equal(receiver.report()["lost"], 0, "lost")


@t.test("what a restart runs: the file on disk, if it was stopped in order and the file is valid; else what ran before")
def which_file():
    def config(d):
        return d.stats()["config"]

    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        t.send(net.src, "s0", A, PORT, count=10, rate=1000, size=100)
        ran, first = config(d)["sha256"], open(d.config.file, encoding="ascii").read()
        second = first.replace('"r"', '"other"')
        t.check(second != first, "another file")
        # A crash activates nothing that waits on the disk, valid or not.
        for text, state in ((second, "pending"), (second + "x = 1;", "invalid")):
            d.config.write(text)
            restart(d, signal.SIGKILL)
            t.equal(config(d)["sha256"], ran, "what runs after a crash")
            t.wait_for(lambda: config(d)["state"] == state, 5, f"{state}: {config(d)}")
            t.check("text=kept" in d.logged("started")[-1], d.logged("started")[-1])
        # A stop in order reads the disk, and what is there is invalid.
        restart(d, signal.SIGTERM)
        t.equal((config(d)["sha256"], [x["name"] for x in d.stats()["rules"]]), (ran, ["r"]), "an invalid file changes nothing")
        t.wait_for(lambda: config(d)["state"] == "invalid", 5, "invalid")
        t.check(d.config.file + ":" in d.log_text(), "its errors are told")
        t.equal(d.stats()["rules"][0]["packets"], 10, "packets go on")
        # An upgrade: a pending file stays pending.
        d.config.write(second)
        d.signal(signal.SIGUSR2)
        t.wait_for(lambda: "the next start goes on" in d.log_text(), 5, "SIGUSR2")
        restart(d, signal.SIGTERM)
        t.equal(config(d)["sha256"], ran, "what runs after an upgrade")
        t.wait_for(lambda: config(d)["state"] == "pending", 5, "pending")
        t.check("result=accepted" in d.reload(), "the reload")
        t.equal([x["name"] for x in d.stats()["rules"]], ["other"], "rules after the reload")
        # What a reload has put in force since the last start is what a crash and an upgrade go on with.
        reloaded = config(d)["sha256"]
        for number in (signal.SIGKILL, signal.SIGTERM):
            d.config.write(first)
            if number == signal.SIGTERM:
                seen = len(d.logged("continued"))
                d.signal(signal.SIGUSR2)
                t.wait_for(lambda: len(d.logged("continued")) > seen, 5, "SIGUSR2")
            restart(d, number)
            t.equal(config(d)["sha256"], reloaded, "what runs is what was reloaded")
            d.config.write(second)
            t.check("result=accepted" in d.reload(), "the same file once more")
        d.config.write(first)
        restart(d, signal.SIGTERM)
        t.equal([x["name"] for x in d.stats()["rules"]], ["r"], "a restart in order takes a valid file over")
        t.equal(config(d)["state"], "current", "state")
        # What only the load finds: an interface that is missing.
        d.config.write(first.replace('"out0"', '"out9"') + 'missing_interface = "reject";')
        restart(d, signal.SIGTERM)
        t.equal(config(d)["sha256"], ran, "what runs where the load was refused")
        t.check(d.logged("start"), "the refusal is in the record")


@t.test("after a crash what ran cannot run any more: the file on disk is tried, and both are in the record")
def kept_is_refused():
    if not os.access(WITNESS, os.R_OK):
        raise t.Skip("tests/net/witness.so is not built")
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        ran = d.stats()["config"]["sha256"]
        d.config.rules = []
        d.config.write()
        d.signal(signal.SIGSTOP)  # so that it does not follow the change itself
        net.relay.run("ip", "link", "del", "in0")
        net.relay.run("ip", "link", "add", "in0", "type", "veth", "peer", "name", "x0")
        net.relay.run("ip", "link", "set", "in0", "up")
        d.before = preloaded("REFUSE_RINGS=1")
        d.restart(signal.SIGKILL, -signal.SIGKILL)
        refused = d.logged("start")[-1]
        t.check("result=refused" in refused and ran in refused and "Cannot allocate memory" in refused, refused)
        t.check("text=kept" not in d.logged("started")[-1], d.logged("started")[-1])
        t.equal(d.stats()["rules"], [], "rules")


@t.test("after a crash an interface is missing that the file does not let be missing: what ran goes on, and waits for it")
def kept_waits():
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES, missing_interface="reject") as d:
        ran = d.stats()["config"]["sha256"]
        del d.config.top["missing_interface"]
        d.config.write()
        d.signal(signal.SIGSTOP)
        net.relay.run("ip", "link", "del", "out0")
        d.restart(signal.SIGKILL, -signal.SIGKILL)
        t.check("text=kept" in d.logged("started")[-1], d.logged("started")[-1])
        t.equal((d.stats()["config"]["sha256"], [x["state"] for x in d.stats()["rules"]]), (ran, ["waiting"]), "what runs")


@t.test("--fresh: nothing is taken over, and the file on disk must be valid")
def fresh():
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        manager.wait_names("ring", 1)
        t.send(net.src, "s0", A, PORT, count=10, rate=1000, size=100)
        d.args.append("--fresh")
        t.check(d.restart(signal.SIGTERM, 0) is None, "nothing is taken over")
        t.equal((d.stats()["continued"], d.stats()["generation"], d.stats()["rules"][0]["packets"]), (None, 1, 0), "fresh")
        t.equal(len(manager.wait_names("ring", 1)), 1, "rings in the store")
        expect_traffic(net, "s0", A, OUT, OUT_PORT)
        text = open(d.config.file, encoding="ascii").read()
        d.signal(signal.SIGTERM)
        t.end_process(d.process, 10)
        d.config.write(text + "x = 1;")
        d.launch()
        t.check(t.end_process(d.process, 10) != 0, "an invalid file is refused")
        d.config.write(text)
        n = d.started()
        d.launch()
        t.wait_for(lambda: manager.listen() and d.started() > n, 20, "the start")
        d.find_broker()


@t.test("what a monitor knows and an alarm that is raised go on: no new beginning of the stream, no second event")
def monitors():
    rule = {**t.rule("r", A, PORT, [t.to_group(OUT, OUT_PORT)]), "silence_ms": 300, "monitor": {"as": "rtp"}}
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, [rule]) as d:
        for first in (0, 200):
            t.send(net.src, "s0", A, PORT, count=200, rate=2000, size=100, first_number=first, ssrc=7, **{"as": "rtp"})
            if first == 0:
                t.wait_for(lambda: d.stats()["rules"][0]["alarms"] == ["silence"], 5, "the alarm")
                said = len(d.logged("rule_silent"))
                restart(d, signal.SIGKILL)
                t.equal(d.stats()["rules"][0]["alarms"], ["silence"], "alarms after the restart")
                t.equal(len(d.logged("rule_silent")), said, "events of the alarm")
        # The statistics of streams are written five times a second.
        t.wait_for(lambda: d.stats()["rules"][0]["inputs"][0]["stream"]["expected"] == 400, 5, "the numbers of both sends")
        t.equal(d.stats()["rules"][0]["inputs"][0]["stream"]["lost"], 0, "lost")


@t.test("a manager that does not read: mcrd never waits for it, and tells it all once it does")
def slow_manager():
    with t.line() as net, t.Manager(room=1) as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        expect_traffic(net, "s0", A, OUT, OUT_PORT)
        t.check("result=accepted" in d.reload(), "a reload")
        t.equal(len(manager.store), 0, "nothing was read")
        manager.wait_names("ring", 1)
        t.wait_for(lambda: len(manager.names("spare")) >= 4, 10, "the spare sockets")
        restart(d, signal.SIGKILL)


def other_ring(node, interface, super_frames):
    """A ring with fewer slots than mcrd's."""
    s = node.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.setsockopt(263, 10, 1)                                                   # PACKET_VERSION: TPACKET_V2
    s.setsockopt(263, 15, super_frames)                                        # PACKET_VNET_HDR
    s.setsockopt(263, 5, (4096).to_bytes(4, "little") + (4).to_bytes(4, "little") +
                 (2048).to_bytes(4, "little") + (8).to_bytes(4, "little"))      # PACKET_RX_RING
    with node.inside():
        s.bind((interface, 3))
    return s


@t.test("a hostile store: other sockets, files, a ring of other slots, of another interface, names that lie, 1,100 descriptors")
def hostile():
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        name = manager.wait_names("ring", 1)[0]
        index = int(re.search(r"index=(\d+)", name)[1])
        t.check(d.restart(signal.SIGTERM, 0), "taken over")
        manager.wait_names("ring", 1)
        d.signal(signal.SIGTERM)
        t.end_process(d.process, 10)
        # What is right, but can still be written.
        copies = {x: os.memfd_create("x", os.MFD_ALLOW_SEALING) for x in ("table", "file")}
        for x, fd in manager.store:
            if x in copies:
                os.pwrite(copies[x], os.pread(fd, os.fstat(fd).st_size, 0), 0)
        manager.clear()
        for x, fd in copies.items():
            manager.put(x, fd)
        udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
        memory = os.memfd_create("x", os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, 4096)
        super_frames = int(name.endswith("=1"))
        other, out = (other_ring(net.relay, x, super_frames) for x in ("in0", "out0"))
        null = os.open("/dev/null", os.O_RDWR)
        everything = [x.fileno() for x in (udp, tcp, other, out)] + [memory, null]
        lies = ["table", "state", "file", "member,1", "", "x" * 200, "output,%n%s", name + ",",
                "ring,index=4294967295,ring_mib=4294967295,mtu=4294967295,super_frames=1",
                f"ring,index={index},ring_mib=0,mtu=1500,super_frames=1"]
        # Those of which the log is to speak come first: ten of an event are told in a second.
        for lie, what in [(name, x) for x in everything] + [("table", memory), ("ring,index=1", null)] + \
                [(x, y) for x in lies for y in everything]:
            manager.put(lie, what)
        n, seen = d.started(), len(d.logged("continued"))
        d.launch()
        t.wait_for(lambda: manager.listen() and d.started() > n, 20, "the start")
        d.find_broker()
        t.wait_for(lambda: d.stats()["generation"] == 1, 5, "the statistics")
        t.equal(d.stats()["continued"], None, "nothing is taken over")
        closed = [x for x in d.logged("continued")[seen:] if "it is closed" in x][:2]
        t.check("a table's size" in closed[0] and "a config's size" in closed[1], f"what can still be written: {closed}")
        for why in ("no packet socket", "a ring of another size", "not bound to the interface", "an unknown name",
                    "no sealed file of a table's size", "no sealed file of a config's size"):
            t.check(why in d.log_text(), f"the log does not say: {why}")
        expect_traffic(net, "s0", A, OUT, OUT_PORT)
        manager.wait_names("ring", 1)
        t.check(d.restart(signal.SIGTERM, 0), "the ring of the start after it is taken over")
        d.signal(signal.SIGTERM)
        t.end_process(d.process, 10)
        while len(manager.store) < 1100:
            manager.put(name, null)
        n = d.started()
        d.launch()
        t.wait_for(lambda: manager.listen() and d.started() > n, 20, "the start")
        d.find_broker()
        t.wait_for(lambda: d.stats()["generation"] == 1, 5, "too many: nothing is taken over")
        for s in (udp, tcp, other, out):
            s.close()
        for fd in (memory, null, *copies.values()):
            os.close(fd)


@t.test("a state that lies: whatever bytes are in it, the start goes on, and with what is not usable begins anew")
def wrong_state():
    rule = {**merged(reorder_ms=50), "max_payload": 300, "monitor": {"as": "rtp"}}
    limited = t.rule("l", "239.255.0.9", PORT, [t.to_group("239.255.1.9", 6009)],
                     limit={"packets_per_second": 100, "per_source": True})
    for seed in range(8 if t.LONG else 3):
        with t.two_paths() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, [rule, limited]) as d:
            t.send_legs(net.src, [f"s0,{A},{PORT}", f"s1,{B},{PORT}"], count=200, rate=2000, size=200, **{"as": "rtp"})
            t.wait_for(lambda: "state" in [x for x, _ in manager.store] or manager.listen() and False, 5, "the state")
            d.signal(signal.SIGTERM)
            t.end_process(d.process, 10)
            fd = next(fd for name, fd in manager.store if name == "state")
            size = 1 << 20
            data = bytearray(os.pread(fd, size, 0))
            value = seed
            for _ in range((4, 64, 4096)[seed % 3]):  # behind the header, which says whose it is
                value = (value * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
                data[64 + (value >> 20) % (len(data) - 64)] = (value >> 56) & 255
            os.pwrite(fd, data, 0)
            n = d.started()
            d.launch()
            t.wait_for(lambda: manager.listen() and d.started() > n, 20, "the start")
            d.find_broker()
            receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=500, seconds=20, **{"as": "rtp"})
            t.send_legs(net.src, [f"s0,{A},{PORT}", f"s1,{B},{PORT}"], count=200, rate=2000, size=200, ssrc=seed + 7,
                        **{"as": "rtp"})
            report = receiver.report()
            t.check(report["received"] > 0 and report["corrupt"] == 0, f"seed {seed}: {t.describe(report)}")


if __name__ == "__main__":
    t.main()
