#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long datagrams stay in the relay: the histogram, its alarm, the deadline; and how many leave at once."""
import contextlib
import os
import re
import signal
import time

import mcrtest as t

IN, OUT, OTHER_OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", "239.255.1.2", 5000, 6000


def rules(**keys):
    return [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)], **keys)]


@contextlib.contextmanager
def stopped(d):
    """The relay's process, for as long as the block takes: what comes waits in its ring."""
    os.kill(d.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(d.process.pid, signal.SIGCONT)


def residence(d, count):
    """That of the rule, once so many are counted."""
    rule = t.wait_for(lambda: (x := d.stats()["rules"][0])["residence_us"]["count"] == count and x, 5, f"{count} of them")
    t.equal(rule["clock_steps"], 0, "steps of the clock")
    return rule["residence_us"]


def metric(d, name):
    _, out, _ = t.run_command([t.MCRSTAT, "--prometheus", "--stats", d.config.stats_file])
    return {m[1]: float(m[2]) for m in re.finditer(rf'^{name}(?:\{{(.*?)\}})? (\S+)$', out, re.M)}


@t.test("residence_us: each datagram is counted, as long as its receiver finds; a stop of the relay is seen; "
        "a reload keeps it")
def histogram():
    with t.line() as net, t.Mcrd(net.relay, rules()) as d:
        ready = t.Receiver(net.dst, "d0", OUT, OUT_PORT, expect=600)
        t.send(net.src, "s0", IN, PORT, count=600, rate=1000, size=1000)
        report = ready.all_came()
        r = residence(d, 600)
        t.check(0 < r["p50"] <= r["p90"] <= r["p99"] <= r["p999"] <= r["max"], f"{r}")
        # The receiver's stamp comes within the call, behind whose end the relay looks at the clock; the middle of a bucket
        # may be above.
        there = report["latency_us"]
        t.check(0.2 * there["p50"] <= r["p50"] <= 3 * there["p50"], f"{r}, at the receiver {there}")
        sender = t.RawSender(net.src, "s0")
        with stopped(d):
            sender.send(*(t.datagram(IN, PORT, b"waits") for _ in range(10)))
            time.sleep(0.3)
        r = residence(d, 610)
        t.check(300000 <= r["max"] < 5000000, f"{r}")
        t.check(r["p50"] < 100000, f"{r}")
        d.config.rules[0]["note"] = "another"
        d.config.write()
        d.reload()
        t.equal(residence(d, 610)["max"], r["max"], "after a reload")
        count = metric(d, "mcr_rule_residence_seconds_count")
        t.equal(list(count.values()), [610], "count of the metric")
        buckets = [v for _, v in sorted(metric(d, "mcr_rule_residence_seconds_bucket").items(),
                                        key=lambda x: float(re.search(r',le="(.*?)"', x[0])[1].replace("+Inf", "inf")))]
        t.check(buckets == sorted(buckets) and buckets[-1] == 610 and 595 <= buckets[16] <= 600, f"{buckets}")
        (seconds,) = metric(d, "mcr_rule_residence_seconds_sum").values()
        t.check(3 <= seconds < 30, f"sum of the metric: {seconds} s")
        d.account({"r": 610})


@t.test("deadline_us: what has waited for longer is dropped as stale, what comes later is relayed")
def deadline():
    with t.line() as net, t.Mcrd(net.relay, rules(deadline_us=150000)) as d:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        sender.send(t.datagram(IN, PORT, b"before"))
        capture.wait_payload(b"before")
        with stopped(d):
            sender.send(*(t.datagram(IN, PORT, b"late") for _ in range(50)))
            time.sleep(0.4)
        sender.send(t.datagram(IN, PORT, b"after"))
        capture.wait_payload(b"after")
        t.equal([f.payload for f in capture.udp(OUT, OUT_PORT)], [b"before", b"after"], "what came")
        d.account({"r": {"packets": 52, "drops": {"stale": 50}}})
        residence(d, 2)


@t.test("max_residence_us: a second in which datagrams stay too long raises the alarm, once; five good ones clear it")
def alarm():
    with t.line() as net, t.Mcrd(net.relay, rules(max_residence_us=200000)) as d:
        sender = t.RawSender(net.src, "s0")
        sender.send(t.datagram(IN, PORT, b"in time"))
        residence(d, 1)
        time.sleep(1.2)
        t.equal(d.stats()["rules"][0]["alarms"], [], "alarms before")
        with stopped(d):
            sender.send(*(t.datagram(IN, PORT, b"late") for _ in range(10)))
            time.sleep(0.4)
        t.wait_for(lambda: d.stats()["rules"][0]["alarms"] == ["residence"], 5, "the alarm")
        (line,) = d.logged("rule_delayed")
        t.check("rule=r " in line and int(re.search(r"p99_us=(\d+)", line)[1]) >= 350000, line)
        t.equal(d.stats()["rules"][0]["state"], "active", "state")
        status, out, _ = t.run_command([t.MCRSTAT, "--check", "--stats", d.config.stats_file], check_status=False)
        t.check(status == 1 and "r: datagrams stay here too long" in out, out)
        _, out, _ = t.run_command([t.MCRSTAT, "--stats", d.config.stats_file])
        t.check(re.search(r"^  stayed +p50 ", out, re.M), out)
        t.wait_for(lambda: d.logged("rule_prompt"), 15, "its end")
        t.equal(d.stats()["rules"][0]["alarms"], [], "alarms afterwards")
        t.equal(len(d.logged("rule_delayed")), 1, "lines")


@t.test("burst: no call sends more datagrams of the output, super-frames are cut alike, and all of it comes")
def burst():
    two = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT, burst=4), t.to_group(OTHER_OUT, OUT_PORT)])]
    with t.line() as net, t.Mcrd(net.relay, two, ring_mib=16) as d:
        capture = t.Capture(net.dst, "d0")
        with stopped(d):
            t.send(net.src, "s0", IN, PORT, count=1000, rate=20000, size=300)
        capture.wait(1000, OUT, OUT_PORT)
        capture.wait(1000, OTHER_OUT, OUT_PORT)
        t.equal([f.payload for f in capture.udp(OUT)], [f.payload for f in capture.udp(OTHER_OUT)], "both are the same")
        small, large = (o["largest_run"] for o in d.account({"r": 1000})["rules"][0]["outputs"])
        t.equal(small, 4, "largest run with burst = 4")
        t.equal(large, 64, "largest run without")
        gauges = metric(d, "mcr_output_largest_run")
        t.equal(sorted(gauges.values()), [4, 64], "the metric")
    for args in ([], ["--without=packet-gso"], ["--without=packet-gso,tx-ring"]):
        with t.line() as net, t.Mcrd(net.relay, two, args) as d:
            ready = [t.Receiver(net.dst, "d0", a, OUT_PORT, expect=2000) for a in (OUT, OTHER_OUT)]
            t.send(net.src, "s0", IN, PORT, count=2000, rate=40000, size=300)
            for r in ready:
                r.all_came()
            small, _ = (o["largest_run"] for o in d.account({"r": 2000})["rules"][0]["outputs"])
            t.check(1 <= small <= 4, f"largest run with burst = 4 ({args}): {small}")


if __name__ == "__main__":
    t.main()
