#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Limits of each sender, rules on trial, alarms, and how the relay waits."""
import time

import mcrtest as t
import reloadtest as r

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
OTHER_IN, OTHER_OUT = "239.255.0.2", "239.255.1.2"


def rules(**keys):
    return [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)], **keys)]


def state(d):
    rule = d.stats()["rules"][0]
    return rule["state"], rule["alarms"]


@t.test("per_source: each sender has the limit for itself, and a flood of one takes nothing from another")
def per_source():
    limit = {"packets_per_second": 10, "burst_ms": 1000}
    for per_source, passed in ((True, 20), (False, 10)):
        with t.line() as net, t.Mcrd(net.relay, rules(limit={**limit, "per_source": per_source})) as d:
            capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
            sender.send(*(t.datagram(IN, PORT, b"flood", source="198.18.1.9") for _ in range(100)),
                        *(t.datagram(IN, PORT, b"quiet", source="198.18.1.1") for _ in range(10)))
            capture.wait(passed)
            s = t.wait_for(lambda: (s := d.stats())["rules"][0]["packets"] == 110 and s, 5, "the counters")
            sent = s["rules"][0]["outputs"][0]["packets"]
            t.check(passed <= sent <= passed + 2, f"passed: {sent}")
            t.equal(sent + s["rules"][0]["drops"]["rate"], 110, "passed and dropped")
            if per_source:
                t.equal(len([f for f in capture.udp() if f.payload == b"quiet"]), 10, "of the quiet sender")


@t.test("per_source: 5,000 forged senders pass no more than the places that are told apart and one limit more")
def forged():
    limit = {"packets_per_second": 1, "burst_ms": 1000, "per_source": True}
    with t.line() as net, t.Mcrd(net.relay, rules(limit=limit)) as d:
        sender = t.RawSender(net.src, "s0")
        for i in range(0, 5000, 100):
            sender.send(*(t.datagram(IN, PORT, b"x", source=f"198.19.{j // 250}.{j % 250 + 1}")
                          for j in range(i, i + 100)))
        s = t.wait_for(lambda: (s := d.stats())["rules"][0]["packets"] == 5000 and s, 5, "the counters")
        sent = s["rules"][0]["outputs"][0]["packets"]
        # Who came first may be idle again after a second: bounded by how long this took, with room for a slow machine.
        t.check(400 <= sent <= 1600, f"passed: {sent}")
        t.equal(sent + s["rules"][0]["drops"]["rate"], 5000, "passed and dropped")


@t.test("limit: that a rule begins to drop by it is logged once, and once that it has ceased to")
def limited():
    with t.line() as net, t.Mcrd(net.relay, rules(limit={"packets_per_second": 10, "burst_ms": 1000})) as d:
        sender = t.RawSender(net.src, "s0")
        sender.send(*(t.datagram(IN, PORT, b"x") for _ in range(10)))
        t.wait_for(lambda: d.stats()["rules"][0]["packets"] == 10, 5, "those within the limit")
        for _ in range(3):
            sender.send(*(t.datagram(IN, PORT, b"x") for _ in range(30)))
            time.sleep(0.7)
        dropped = d.stats()["rules"][0]["drops"]["rate"]
        t.check(dropped > 50, f"dropped: {dropped}")
        t.equal([r.fields(x)["rule"] for x in d.logged("rule_limited")], ["r"], "who drops")
        t.equal(d.logged("rule_within_limit"), [], "while it does")
        within = r.fields(t.wait_for(lambda: d.logged("rule_within_limit"), 10, "event=rule_within_limit")[0])
        t.equal((within["rule"], within["dropped"]), ("r", str(dropped)), "who, and how many")
        t.check(1000 <= int(within["limited_ms"]) < 5000, f"limited for {within['limited_ms']} ms")
        t.equal(len(d.logged("rule_limited")), 1, "lines")


@t.test("shadow = true: joined, matched and counted, nothing sent; a reload makes it real")
def shadow():
    with t.line() as net, t.Mcrd(net.relay, rules(shadow=True)) as d:
        capture, sender = t.Capture(net.dst, "d0"), t.RawSender(net.src, "s0")
        t.joined(net.relay, "in0", {IN})
        sender.send(*(t.datagram(IN, PORT, b"trial") for _ in range(7)))
        s = d.account({"r": {"packets": 7, "drops": {"shadow": 7}}})
        t.equal((s["rules"][0]["state"], s["rules"][0]["reason"]),
                ("shadow", "on trial (shadow = true): nothing is sent"), "state")
        d.config.rules = rules()
        d.config.write()
        t.check("result=accepted" in (answer := d.reload()), answer)
        sender.send(t.datagram(IN, PORT, b"real"))
        capture.wait(1)
        d.account({"r": {"packets": 8, "drops": {"shadow": 7}}})
        t.equal([f.payload for f in capture.udp()], [b"real"], "what came")
        t.equal((s := d.stats()["rules"][0]) and (s["state"], s["reason"]), ("active", None), "state")


@t.test("silence_ms: raised once and cleared once, in log and statistics; a foreign sender does not clear it")
def silence():
    with t.line() as net, t.Mcrd(net.relay, rules(silence_ms=1000, sources=["198.18.1.1"])) as d:
        sender = t.RawSender(net.src, "s0")
        sender.send(t.datagram(IN, PORT, b"x"))
        t.equal(state(d), ("active", []), "at the start")
        for alarms in (1, 2):
            t.wait_for(lambda: state(d) == ("silent", ["silence"]), 3, "the alarm")
            sender.send(*(t.datagram(IN, PORT, b"x", source="198.18.1.9") for _ in range(5)))
            time.sleep(1.5)
            t.equal(state(d), ("silent", ["silence"]), "after foreign senders")
            t.equal(len(d.logged("rule_silent")), alarms, "log lines of the alarm")
            sender.send(t.datagram(IN, PORT, b"x"))
            t.wait_for(lambda: state(d) == ("active", []), 3, "the alarm clears")
            t.wait_for(lambda: len(d.logged("rule_heard")) == alarms, 3, "the log line of its end")


@t.test("silence_ms of a range: one destination that falls silent is not told while another goes on (mcr.conf(5), RANGES)")
def silence_of_range():
    many = [t.rule("r", "239.255.2.0/31", PORT, [t.to_group("239.255.3.0/31", OUT_PORT)], silence_ms=500)]
    with t.line() as net, t.Mcrd(net.relay, many) as d:
        sender = t.RawSender(net.src, "s0")
        sender.send(t.datagram("239.255.2.1", PORT, b"ends"))
        for _ in range(10):
            sender.send(t.datagram("239.255.2.0", PORT, b"goes on"))
            time.sleep(0.2)
        t.equal((state(d), d.logged("rule_silent")), (("active", []), []), "while one goes on")


@t.test("silence_ms: more alarms at once than the log takes in a second are all named, in one line")
def silence_of_many():
    names = [f"rule-{i}" for i in range(40)]
    many = [t.rule(name, f"239.255.2.{i}", PORT, [t.to_group(f"239.255.3.{i}", OUT_PORT)], silence_ms=200)
            for i, name in enumerate(names)]

    def told():
        lines = [r.fields(x) for x in d.logged("rule_silent")]
        return [x["rule"] for x in lines if "rule" in x], [x for x in lines if "names" in x]

    with t.line() as net, t.Mcrd(net.relay, many) as d:
        t.wait_for(lambda: told()[1], 5, "the line with the names")
        alone, summed_up = told()
        t.check(10 <= len(alone) <= 20, f"lines of one rule: {alone}")
        t.equal(sorted(alone + [n for x in summed_up for n in x["names"].split(", ")]), sorted(names), "who is named")
        t.equal(sum(int(x["suppressed"]) for x in summed_up), 40 - len(alone), "those that were left out")


@t.test("silence_ms: an alarm outlives a reload without being told again, and goes with its bound")
def silence_reload():
    with t.line() as net, t.Mcrd(net.relay, rules(silence_ms=200)) as d:
        t.wait_for(lambda: state(d) == ("silent", ["silence"]), 3, "the alarm")
        t.check("result=accepted" in (answer := d.reload()), answer)
        time.sleep(0.5)
        t.equal(state(d), ("silent", ["silence"]), "after a reload")
        t.equal(len(d.logged("rule_silent")), 1, "log lines of the alarm")
        d.config.rules = rules()
        d.config.write()
        t.check("result=accepted" in (answer := d.reload()), answer)
        t.wait_for(lambda: state(d) == ("active", []), 3, "the alarm goes")


@t.test("alarms across reloads: a rule that is enabled, or gets its first bound, begins anew; one without bounds has no alarm")
def begins_anew():
    def load(d, **keys):
        d.config.rules = rules(**keys)
        d.config.write()
        t.check("result=accepted" in (answer := d.reload()), answer)

    with t.line() as net, t.Mcrd(net.relay, rules(silence_ms=300)) as d:
        t.wait_for(lambda: state(d) == ("silent", ["silence"]), 3, "the alarm")
        load(d, silence_ms=300, enabled=False)
        t.equal(state(d)[1], [], "alarms of a disabled rule")
        time.sleep(1)
        load(d, silence_ms=300)
        t.equal(state(d), ("active", []), "just enabled")
        t.wait_for(lambda: len(d.logged("rule_silent")) == 2, 3, "silent again")
        silent = int(d.logged("rule_silent")[1].split(" silent_ms=")[1].split()[0])
        t.check(300 <= silent < 900, f"silent for {silent} ms: from when it was enabled")
        load(d)
        t.equal(state(d), ("active", []), "without a bound")
        load(d, min_packets_per_second=100)
        t.equal(state(d), ("active", []), "with its first bound")
        t.wait_for(lambda: state(d)[1] == ["rate"], 4, "slow")
        load(d)
        t.equal(state(d), ("active", []), "without it: at once")


@t.test("min_packets_per_second: raised when the stream slows down, cleared when it is back")
def slow():
    with t.line() as net, t.Mcrd(net.relay, rules(min_packets_per_second=50)) as d:
        t.wait_for(lambda: state(d) == ("slow", ["rate"]), 3, "the alarm")
        sending = t.start_sending(net.src, "s0", IN, PORT, count=600, rate=200, size=100)
        t.wait_for(lambda: state(d) == ("active", []), 4, "the alarm clears")
        t.finish_sending(sending)
        t.wait_for(lambda: state(d) == ("slow", ["rate"]), 4, "the alarm again")
        t.equal((len(d.logged("rule_slow")), len(d.logged("rule_in_time"))), (2, 1), "log lines")


@t.test("coalesce_usecs and busy_poll: every datagram once, unchanged and in order, whatever the relay waits for")
def waiting():
    n = 40000
    for top in ({"coalesce_usecs": 0}, {"coalesce_usecs": 10000}, {"busy_poll": True}, {"busy_poll": 500}):
        both = rules() + [t.rule("s", OTHER_IN, PORT, [t.to_group(OTHER_OUT, OUT_PORT, mode="socket")])]
        # A ring that holds all of it, however late the relay is on a busy machine.
        with t.line() as net, t.Mcrd(net.relay, both, ring_mib=128, **top) as d:
            fast, slow = (t.Receiver(net.dst, "d0", g, OUT_PORT, expect=e, idle_ms=1000)
                          for g, e in ((OUT, n), (OTHER_OUT, 200)))
            senders = [t.start_sending(net.src, "s0", IN, PORT, count=n, rate=150000, size=200),
                       t.start_sending(net.src, "s0", OTHER_IN, PORT, count=200, rate=400, size=100)]
            for s in senders:
                t.finish_sending(s)
            d.account({"r": n, "s": 200})
            slow.all_came()
            report = fast.report()
            t.equal([report[k] for k in ("duplicates", "corrupt", "reordered")], [0, 0, 0], "duplicates, corrupt, reordered")
            # What the receiver's own socket had no room for did arrive.
            t.equal(report["received"] + report["socket_drops"], n, "arrived")
            # The loop's other work is done meanwhile.
            t.check("result=accepted" in (answer := d.reload()), answer)


@t.test("coalesce_usecs: a datagram alone never waits for others")
def alone():
    with t.line() as net, t.Mcrd(net.relay, rules(), coalesce_usecs=10000) as d:
        receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, expect=400)
        t.send(net.src, "s0", IN, PORT, count=400, rate=400, size=100)
        report = receiver.report()
        d.account({"r": 400})
        # A tenth of a wait, at the median: a busy machine is late too.
        t.check(report["latency_us"]["p50"] < 1000, f"latency: {report['latency_us']}")


if __name__ == "__main__":
    t.main()
