#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Restarts of mcrd, one after the other: what merges hold back in order, and that no counter of any kind falls."""
import os
import signal
import time

import mcrtest as t

PORT, OUT_PORT = 5000, 6000
ENDS = {signal.SIGTERM: 0, signal.SIGKILL: -signal.SIGKILL}  # and mcrd's exit status


def groups(number):
    """Of a rule: its leg A, its leg B, and where it goes to."""
    return f"239.255.0.{number}", f"239.255.10.{number}", f"239.255.1.{number}"


def merged(number, name="m", keys=None, **merge):
    a, b, out = groups(number)
    return {"name": name, "inputs": [{"leg": "A", "interface": "in0", "group": a, "port": PORT},
                                     {"leg": "B", "interface": "in1", "group": b, "port": PORT}],
            "merge": merge, "outputs": [t.to_group(out, OUT_PORT)], **(keys or {})}


def legs(number, a="", b=""):
    return [f"s0,{groups(number)[0]},{PORT}{a}", f"s1,{groups(number)[1]},{PORT}{b}"]


def restart(d, number, pause=0.):
    line = d.restart(number, ENDS[number], pause=pause)
    t.check(line, "nothing was taken over")
    t.check(" dropped=0" in line, line)


def short_wait_round(rule):
    """How many datagrams are missing at the receiver that a leg has brought, and how far the legs were apart at most."""
    with t.two_paths() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, [rule]) as d:
        lost = os.path.join(d.config.directory, "lost")
        judged = {"as": "rtp", "lost_file": lost}
        receiver = t.Receiver(net.dst, "d0", groups(1)[2], OUT_PORT, idle_ms=4000, seconds=60, **judged)
        source = t.start_sending_legs(net.src, legs(1, ",loss=5%", ",loss=5%"), count=8000, rate=1000, **judged)
        for _ in range(6):
            time.sleep(.8 * t.SLOWNESS)
            restart(d, signal.SIGTERM, pause=.1)
        sent, report = t.finish_sending(source), receiver.report()
        t.equal(report["corrupt"], 0, "corrupt")
        rule = d.stats()["rules"][0]
        return (8000 - sent["lost_by_all"] - report["received"], rule["drops"]["late"],
                max(leg["skew_us"]["max"] for leg in rule["inputs"]))


@t.test("a merge in order that holds no more than comes in reorder_ms: what one leg's ring holds after a gap is there by the other's before its turn is over",
        released=True)
def short_wait():
    # It has room for 128; after a restart each ring holds about 200.
    rule = merged(1, by="rtp", window_ms=200, reorder_ms=60,
                  keys={"max_payload": 1472, "limit": {"packets_per_second": 1200, "burst_ms": 500}})
    for _ in range(4):
        missing, late, apart_us = short_wait_round(rule)
        if apart_us < 60000:
            t.equal((missing, late), (0, 0), "missing, late")
            return
    raise t.Skip("this machine does not send by two legs within 60 ms")


# What may fall: times, means and what is most of late, states; all of "continued" is that of the last restart.
GAUGES = {"pid", "from_pid", "uptime_s", "heartbeat_ms", "last_packet_ms", "jitter_us", "mean", "p50", "p90", "p99", "p999",
          "trial_remaining_s", "waiting", "landlock"}


def counters(x, path=""):
    """Of a JSON document, each number by its path."""
    if isinstance(x, dict):
        pairs = [(f"{path}.{k}", v) for k, v in x.items() if k not in GAUGES | {"continued"}]
    elif isinstance(x, list):
        pairs = [(f"{path}[{i}]", v) for i, v in enumerate(x)]
    else:
        return {} if isinstance(x, bool) or not isinstance(x, (int, float)) else {path: x}
    return {k: v for name, value in pairs for k, v in counters(value, name).items()}


@t.test("five restarts, five kills: no counter falls, of merges by each way, a monitor, a limit per source and a range")
def nothing_falls():
    monitor = {"monitor": {"as": "rtp"}}
    plain = t.rule("plain", "239.255.0.6", PORT, [t.to_group("239.255.1.6", OUT_PORT)], **monitor,
                   limit={"packets_per_second": 300, "per_source": True})
    many = t.rule("many", "239.255.0.16/30", PORT, [t.to_group("239.255.1.16/30", OUT_PORT)])
    field = {"at": 0, "bytes": 4}
    limit = {"limit": {"packets_per_second": 5000}}  # so that more numbers pass than a merge knows
    rules = [merged(1, "rtp", {**limit, **monitor}, by="rtp", window_ms=200),
             merged(2, "order", {**limit, "max_payload": 300}, by="rtp", window_ms=200, reorder_ms=150),
             merged(3, "field", limit, by="field", field=field, window_ms=200),
             merged(4, "payload", limit, by="payload", window_ms=200), merged(5, "active", by="active"), plain, many]
    lossy = (",pattern=3/100", ",pattern=5/100@50,delay_ms=10")
    for number in ENDS:
        with t.two_paths() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, rules) as d:
            sources = [t.start_sending_legs(net.src, legs(i, *lossy), seconds=60, rate=2000 if i < 4 else 500, size=200,
                                            **{"as": kind})
                       for i, kind in enumerate(("rtp", "rtp", "field,at=0,bytes=4", None, None), 1)]
            sources += [t.start_sending(net.src, "s0", group, PORT, seconds=60, rate=500, size=200, **{"as": "rtp"})
                        for group in ("239.255.0.6", "239.255.0.17")]
            fallen = []
            for _ in range(5):
                time.sleep(.7 * t.SLOWNESS)
                before = counters(d.stats())
                restart(d, number)
                after = counters(d.stats())
                t.check(before.keys() <= after.keys(), f"missing: {before.keys() - after.keys()}")
                fallen += [(k, before[k], after[k]) for k in before if after[k] < before[k]]
            for source in sources:
                source.send_signal(signal.SIGINT)
            for source in sources:
                t.finish_sending(source)
            t.equal(fallen, [], "counters that have fallen")
            stats = t.wait_for(lambda: (s := d.stats()) and s["rules"][0]["merge"]["recovered"] > 4096 * .07 and s, 5,
                               "what the merge has recovered")
            t.equal([r["state"] for r in stats["rules"]], ["active"] * len(rules), "states")
            t.equal([x for x in d.logged("continued") if "level=warning" in x], [], "states that were refused")


if __name__ == "__main__":
    t.main()
