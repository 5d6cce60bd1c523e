#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A restart is a reload: what the service manager keeps of mcrd while it does not run, and what the next one makes of it."""
import contextlib
import signal

import mcrtest as t

A, B, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.10.1", "239.255.1.1", 5000, 6000
RULES = [t.rule("r", A, PORT, [t.to_group(OUT, OUT_PORT)])]
ENDS = {signal.SIGTERM: 0, signal.SIGKILL: -signal.SIGKILL}  # and mcrd's exit status
ROUNDS = 5 if t.SANITIZED else 20


def merged(**keys):
    return {"name": "m", "inputs": [{"leg": "A", "interface": "in0", "group": A, "port": PORT},
                                    {"leg": "B", "interface": "in1", "group": B, "port": PORT}],
            "merge": {"by": "rtp", "window_ms": 2000, **keys}, "outputs": [t.to_group(OUT, OUT_PORT)]}


@contextlib.contextmanager
def two_paths():
    """src s0 --- in0 relay, src s1 --- in1 relay, relay out0 --- d0 dst"""
    with t.Net() as net:
        for name in ("src", "relay", "dst"):
            net.node(name)
        for i in range(2):
            net.link(net.src, f"s{i}", f"198.18.1{i}.1/24", net.relay, f"in{i}", f"198.18.1{i}.2/24")
        net.link(net.relay, "out0", "198.18.2.2/24", net.dst, "d0", "198.18.2.1/24")
        yield net


def continued(line):
    """The fields of event=continued."""
    t.check(line, "nothing was taken over")
    return {k: float(v) for k, v in (x.split("=") for x in line.split() if "=" in x) if v.replace(".", "").isdigit()}


def restart(d, number):
    return continued(d.restart(number, ENDS[number]))


@t.test("20 restarts by SIGTERM, 20 by SIGKILL: nothing is lost; what comes twice is at most a pass each; counters go on")
def plain():
    for number in ENDS:
        with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
            receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=2000, seconds=90)
            source = t.start_sending(net.src, "s0", A, PORT, seconds=60, rate=5000, size=200)
            waiting, dropped = 0, 0
            for _ in range(ROUNDS):
                found = restart(d, number)
                waiting += found["waiting"]
                dropped += found["dropped"]
                t.equal(found["rings"], 1, "rings")
            source.send_signal(signal.SIGINT)
            sent, report = t.finish_sending(source), receiver.report()
            t.equal((report["lost"], report["corrupt"], report["reordered"], dropped), (0, 0, 0, 0),
                    "lost, corrupt, reordered, dropped")
            t.check(report["duplicates"] <= (0 if number == signal.SIGTERM else 256 * ROUNDS),
                    f"{report['duplicates']} came twice")
            t.check(waiting > 0, "no ring bridged a restart")
            stats = d.stats()
            t.equal(stats["generation"], ROUNDS + 1, "generation")
            t.equal(stats["rules"][0]["packets"], sent["sent"] + report["duplicates"], "packets of the rule")
            t.equal(stats["rules"][0]["outputs"][0]["packets"], sent["sent"] + report["duplicates"], "of its output")
            t.check(stats["interfaces"][0]["received"] >= sent["sent"], "frames of the interface")
            t.equal(stats["continued"]["rings"], 1, "continued.rings")


@t.test("merges, one of them in order: two legs 50 ms apart, each with losses; through restarts each number leaves, once")
def merges():
    for number in ENDS:
        for keys in ({}, {"reorder_ms": 100}):
            rule = {**merged(**keys), "max_payload": 300}
            with two_paths() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, [rule]) as d:
                receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=3000, seconds=90, **{"as": "rtp"})
                legs = [f"s0,{A},{PORT},pattern=3/100", f"s1,{B},{PORT},pattern=5/100@50,delay_ms=50"]
                source = t.start_sending_legs(net.src, legs, seconds=60, rate=4000, size=200, **{"as": "rtp"})
                found = [restart(d, number) for _ in range(max(3, ROUNDS // 2))]
                source.send_signal(signal.SIGINT)
                t.finish_sending(source)
                report = receiver.report()
                print("#", [(x["gap_ms"], x["waiting"], x["dropped"]) for x in found], sum(i["ring_drops"] for i in d.stats()["interfaces"]))
                print("#", number, keys, {k: report[k] for k in ("received", "lost", "duplicates", "reordered")}, d.stats()["rules"][0]["drops"], d.stats()["rules"][0]["merge"])
                t.equal((report["lost"], report["corrupt"]), (0, 0), "lost, corrupt")
                t.check(report["duplicates"] <= (0 if number == signal.SIGTERM else 256 * ROUNDS),
                        f"{report['duplicates']} came twice")
                if keys and number == signal.SIGTERM:
                    t.equal(report["reordered"], 0, "reordered")


if __name__ == "__main__":
    t.main()
