#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many datagrams: none lost, twice or changed; and what exceeds a limit is dropped, counted one by one."""
import time

import mcrtest as t

IN, PORT = "239.255.0.1", 5000
OUT, OUT_PORT = "239.255.1.1", 6000


def lossless(net, outputs, receivers, n, args=(), during=None, **options):
    """n datagrams through all outputs; each receiver gets all.

    A receiver that has lost datagrams in its own socket has seen nothing of the relay's doing: then the relay's
    counters and its ring decide whether the run is repeated, on a machine that has something else to do.
    """
    for attempt in range(3):
        with t.Mcrd(net.relay, [t.rule("r", IN, PORT, outputs)], args) as d:
            sinks = [t.Receiver(net.dst, "d0", to, port, expect=n, idle_ms=500, seconds=40)
                     for to, port in receivers]
            sending = t.start_sending(net.src, "s0", IN, PORT, count=n, **options)
            if during:
                during(d)
            sent = t.finish_sending(sending)
            t.equal(sent["sent"], n, "sent")
            reports = [r.report() for r in sinks]
            if attempt < 2 and any(r["socket_drops"] > 0 and r["lost"] == r["socket_drops"] for r in reports):
                d.account({"r": n})
                t.note("the receiver's own socket lost "
                       f"{[r['socket_drops'] for r in reports]}; the relay sent all; once more")
                continue
            for r in reports:
                t.check(r["ok"] and r["foreign"] == 0, f"mcrgen recv: {t.describe(r)}; mcrd: {d.stats()}")
            d.account({"r": n})
            return sent


@t.test("100,000 datagrams at 50,000/s to a group")
def hundred_thousand_frames():
    with t.line() as net:
        lossless(net, [t.to_group(OUT, OUT_PORT)], [(OUT, OUT_PORT)], 100000, rate=50000, size=200)


@t.test("100,000 datagrams at 50,000/s to a host")
def hundred_thousand_unicast():
    with t.line() as net:
        lossless(net, [t.to_host("198.18.2.1", OUT_PORT)], [("198.18.2.1", OUT_PORT)], 100000, rate=50000, size=200)


@t.test("40,000 full-size datagrams at 20,000/s, the output's link without offloads")
def full_size():
    with t.line() as net:
        net.relay.ethtool("out0", "tx", "off", "gso", "off")
        lossless(net, [t.to_group(OUT, OUT_PORT)], [(OUT, OUT_PORT)], 40000, rate=20000, size=1472)


@t.test("40,000 datagrams at 20,000/s without GSO")
def without_gso():
    with t.line() as net:
        lossless(net, [t.to_group(OUT, OUT_PORT), t.to_host("198.18.2.1", OUT_PORT)],
                 [(OUT, OUT_PORT), ("198.18.2.1", OUT_PORT)], 40000, ("--without", "packet-gso,udp-gso"), rate=20000,
                 size=200)


@t.test("60,000 datagrams in super-frames, at 100,000/s")
def super_frames():
    with t.line() as net:
        lossless(net, [t.to_group(OUT, OUT_PORT)], [(OUT, OUT_PORT)], 60000, rate=100000, size=1000, gso=20)


@t.test("5 reloads of an unchanged file during 20,000/s: nothing lost, nothing twice, counters kept")
def reloads():
    def reload_five_times(d):
        for i in range(5):
            t.wait_for(lambda n=i: d.stats()["rules"][0]["packets"] > 4000 * (n + 1), 20, "traffic")
            before = d.stats()
            answer = d.reload()
            t.check("result=accepted" in answer, answer)
            after = d.stats()
            t.equal(after["generation"], before["generation"] + 1, "generation")
            t.check(after["rules"][0]["packets"] >= before["rules"][0]["packets"] > 0, "the rule's packets went back")
            t.check(after["interfaces"][0]["received"] >= before["interfaces"][0]["received"] > 0,
                    "the interface's received went back")
            t.equal((after["pid"], after["config"]["state"]), (before["pid"], "current"), "pid and state")

    with t.line() as net:
        lossless(net, [t.to_group(OUT, OUT_PORT), t.to_host("198.18.2.1", OUT_PORT)],
                 [(OUT, OUT_PORT), ("198.18.2.1", OUT_PORT)], 50000, during=reload_five_times, rate=20000, size=200)


def limited(limit, count, rate, size, least, most):
    """Sends count datagrams and checks that between least(s) and most(s) of them pass, in s seconds of sending."""
    rules = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)], limit=limit)]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        r = t.Receiver(net.dst, "d0", OUT, OUT_PORT, first=0)
        begin = time.monotonic()
        sent = t.send(net.src, "s0", IN, PORT, count=count, rate=rate, size=size)
        outside = time.monotonic() - begin
        report = r.report()
        t.equal((report["duplicates"], report["corrupt"], report["foreign"], report["socket_drops"]), (0, 0, 0, 0),
                "duplicates, corrupt, foreign, socket drops")
        passed = report["received"]
        d.account({"r": {"packets": count, "drops": {"rate": count - passed}}})
        low, high = least(sent["duration_s"]), most(outside)
        t.check(low <= passed <= high, f"{passed} of {count} passed, expected {low:.0f} to {high:.0f}")
        t.note(f"{passed} of {count} passed, allowed {low:.0f} to {high:.0f}")


@t.test("limit packets_per_second: 1000/s and a burst of 100")
def packets_per_second():
    limited({"packets_per_second": 1000, "burst_ms": 100}, 10000, 5000, 200,
            lambda s: 0.97 * (1000 * s + 100), lambda s: 1000 * s + 100)


@t.test("limit packets_per_second: what stays below it passes whole")
def packets_per_second_below():
    limited({"packets_per_second": 5000, "burst_ms": 100}, 2000, 2000, 200, lambda s: 2000, lambda s: 2000)


@t.test("limit bits_per_second: 8M of payload, 1000 bytes each")
def bits_per_second():
    limited({"bits_per_second": "8M", "burst_ms": 100}, 10000, 5000, 1000,
            lambda s: 0.97 * (1000 * s + 100), lambda s: 1000 * s + 100)


@t.test("both limits: the tighter one counts")
def both_limits():
    limited({"packets_per_second": 4000, "bits_per_second": "4M", "burst_ms": 200}, 5000, 5000, 1000,
            lambda s: 0.97 * (500 * s + 100), lambda s: 500 * s + 100)


if __name__ == "__main__":
    t.main()
