#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a stream carries: numbers that are missing, late or twice, packets of a transport stream, and alarms of legs."""
import itertools
import os
import struct

import mcrtest as t
import reloadtest as r

A, B, OUT = "239.255.0.1", "239.255.10.1", "239.255.1.1"
PORT, OUT_PORT = 5000, 6000
NONE = {"lost": 0, "reordered": 0, "repeated": 0, "resets": 0, "unjudged": 0}


def single(name="r", group=A, out=OUT, **keys):
    return t.rule(name, group, PORT, [t.to_group(out, OUT_PORT)], **keys)


def two_legs(**keys):
    return {"name": "r", "inputs": [{"leg": "A", "interface": "in0", "group": A, "port": PORT},
                                    {"leg": "B", "interface": "in0", "group": B, "port": PORT}],
            "outputs": [t.to_group(OUT, OUT_PORT)], **keys}


def merged(**keys):
    return two_legs(merge={"by": "rtp"}, **keys)


def until(condition, what, seconds=5):
    """As t.wait_for(), but what() says what was found."""
    try:
        return t.wait_for(condition, seconds, "the condition")
    except t.Failure:
        raise t.Failure(f"not within {seconds} s: {what()}") from None


def streams(d, rule=0):
    return [i["stream"] for i in d.stats()["rules"][rule]["inputs"]]


def wait_stream(d, wanted, leg=0, rule=0, seconds=5):
    """The stream, once it has these figures."""
    def there():
        stream = streams(d, rule)[leg]
        return stream if all(stream[k] == v for k, v in wanted.items()) else None
    return until(there, lambda: f"{wanted} of {streams(d, rule)[leg]}", seconds)


def all_left(d, n, rule=0):
    """What is looked at leaves as it came."""
    shown = d.stats()["rules"][rule]
    t.equal((shown["packets"], shown["outputs"][0]["packets"], sum(shown["drops"].values())), (n, n, 0), "the account")


def rtp(number, payload=b"x", ssrc=1, timestamp=0):
    return struct.pack(">BBHII", 0x80, 96, number & 0xffff, timestamp & 0xffffffff, ssrc) + payload


def ts(pid, counter, sync=0x47, broken=False):
    return struct.pack(">BHB", sync, (0x8000 if broken else 0) | pid, 0x10 | counter & 15) + bytes(184)


def send_numbers(sender, numbers, group=A, **keys):
    sender.send(*(t.datagram(group, PORT, rtp(n, **keys)) for n in numbers))


# --- figures ---------------------------------------------------------------------------------------------------------

@t.test("RTP of one input, sent with losses, repeats and reordering: all leaves as it came, and the figures are exact")
def rtp_figures():
    with t.line() as net, t.Mcrd(net.relay, [single(monitor={"as": "rtp"})]) as d:
        sent = t.send_legs(net.src, [f"s0,{A},{PORT},loss=10%,repeat=1,reorder=3"], count=3000, rate=10000, seed=7,
                           **{"as": "rtp"})["legs"][0]
        t.wait_for(lambda: d.stats()["rules"][0]["packets"] == sent["sent"], 5, "the counters")

        # What is lost before the first number, or behind the last, is in no stream; what comes while the first ones are
        # on probation is not judged; a number from before the first was not expected.
        def fits():
            s = streams(d)[0]
            judged = s["expected"] - s["lost"] + s["repeated"]
            return s if sent["sent"] - 3 <= judged + s["unjudged"] <= sent["sent"] else None
        stream = until(fits, lambda: f"what was sent, {sent}, in {streams(d)}")
        t.check(sent["lost"] - 3 <= stream["lost"] <= sent["lost"] and stream["unjudged"] < 20, f"{stream} of {sent}")
        t.check(stream["repeated"] > sent["repeated"] - 20 and stream["reordered"] > sent["reordered"] - 20,
                f"what the leg does: {stream} of {sent}")
        t.equal((stream["as"], stream["resets"], "ts" in stream), ("rtp", 0, False), "the rest")
        all_left(d, sent["sent"])


@t.test("numbers by hand: a late one takes its loss back, a repeated one does not, no RTP is not judged, 16 bits wrap")
def numbers():
    with t.line() as net, t.Mcrd(net.relay, [single(monitor={"as": "rtp"})]) as d:
        sender = t.RawSender(net.src, "s0")
        send_numbers(sender, [65533, 65534, 1, 2, 5, 5])
        wait_stream(d, {**NONE, "expected": 9, "lost": 4, "repeated": 1})
        send_numbers(sender, [0])
        wait_stream(d, {**NONE, "expected": 9, "lost": 3, "repeated": 1, "reordered": 1})
        sender.send(t.datagram(A, PORT, b"no RTP, but longer than its header"))
        wait_stream(d, {**NONE, "expected": 9, "lost": 3, "repeated": 1, "reordered": 1, "unjudged": 1})
        all_left(d, 8)


@t.test("field: a number of 4 bytes, in order of the least byte first; another session is a new beginning")
def field():
    monitor = {"as": "field", "field": {"at": 4, "bytes": 4, "endian": "little", "session_at": 0, "session_bytes": 4}}
    with t.line() as net, t.Mcrd(net.relay, [single(monitor=monitor)]) as d:
        sent = t.send_legs(net.src, [f"s0,{A},{PORT},pattern=5/100@50"], count=1000, rate=5000,
                           **{"as": "field,at=4,bytes=4,endian=little,session_at=0,session_bytes=4"})["legs"][0]
        t.check(sent["lost"] >= 45, f"what was sent: {sent}")
        wait_stream(d, {**NONE, "expected": 1000, "lost": sent["lost"], "jitter_us": None})
        sender = t.RawSender(net.src, "s0")

        # The one before must have been silent for a second.
        def taken_over():
            sender.send(*(t.datagram(A, PORT, b"new!" + struct.pack("<I", taken_over.n + i)) for i in range(2)))
            taken_over.n += 2
            return streams(d)[0]["resets"] == 1
        taken_over.n = 7
        t.wait_for(taken_over, 5, "the new session")


@t.test("transport stream in UDP and in RTP: sync, continuity and transport errors by PID, null packets aside")
def transport():
    for in_rtp in (False, True):
        with t.line() as net, t.Mcrd(net.relay, [single(monitor={"as": "ts"})]) as d:
            sender = t.RawSender(net.src, "s0")
            sent = 0

            def send(*packets):
                nonlocal sent
                body = b"".join(packets)
                sender.send(t.datagram(A, PORT, rtp(sent, body) if in_rtp else body))
                sent += 1

            def shown(**wanted):
                return until(lambda: (s := streams(d)[0])["ts"] == {**none, **wanted} and s,
                             lambda: f"{wanted} of {streams(d)[0]}")

            none = {"packets": 0, "sync_errors": 0, "continuity_errors": 0, "transport_errors": 0, "pids": 0}
            send(ts(256, 0), ts(257, 7), ts(256, 1), ts(0x1fff, 3), ts(0x1fff, 9), ts(257, 8), ts(256, 2))
            shown(packets=7, pids=2)
            send(ts(256, 4), ts(256, 4), ts(257, 9))  # one lost; a repetition is none
            shown(packets=10, pids=2, continuity_errors=1)
            send(ts(256, 5), ts(257, 10, broken=True), ts(257, 10))
            shown(packets=13, pids=2, continuity_errors=1, transport_errors=1)
            send(ts(256, 6), ts(257, 11, sync=0x46), ts(257, 11))
            stream = shown(packets=15, pids=2, continuity_errors=1, transport_errors=1, sync_errors=1)
            t.equal((stream["as"], stream["expected"], stream["lost"]), ("ts", 4 if in_rtp else 0, 0), "numbers")
            all_left(d, 4)


@t.test("super-frames: each of their datagrams is looked at by itself, and they leave together")
def super_frames():
    monitor = {"as": "field", "field": {"at": 0, "bytes": 4}}
    with t.line() as net, t.Mcrd(net.relay, [single(monitor=monitor)]) as d:
        receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, expect=4000, **{"as": "field"})
        t.send(net.src, "s0", A, PORT, count=4000, rate=20000, gso=16, size=1000, **{"as": "field"})
        receiver.all_came()
        wait_stream(d, {**NONE, "expected": 4000})


@t.test("two legs that are merged by RTP: each is monitored by itself, without a section; what is refused is not judged")
def merged_legs():
    with t.line() as net, t.Mcrd(net.relay, [merged(max_payload=100)]) as d:
        sender = t.RawSender(net.src, "s0")
        send_numbers(sender, [1, 2, 3, 4, 6], group=A)
        send_numbers(sender, [1, 2, 5, 6], group=B)
        sender.send(t.datagram(B, PORT, rtp(900, bytes(200))))
        wait_stream(d, {**NONE, "expected": 6, "lost": 1}, leg=0)
        wait_stream(d, {**NONE, "expected": 6, "lost": 2}, leg=1)
        t.wait_for(lambda: d.stats()["rules"][0]["drops"]["size"] == 1, 5, "the large one")
        shown = d.stats()["rules"][0]
        t.equal((shown["outputs"][0]["packets"], shown["drops"]["copy"]), (6, 3), "what has left, and copies")


@t.test("a range: each of its destinations is a stream of its own; the sum is shown, of the jitter the largest")
def ranges():
    with t.line() as net, t.Mcrd(net.relay, [single(group="239.255.4.0/30", monitor={"as": "rtp"})]) as d:
        sender = t.RawSender(net.src, "s0")
        for i in range(4):
            send_numbers(sender, [1000 * i, 1000 * i + 2], group=f"239.255.4.{i}", ssrc=i)
        # Two in a row begin a stream; until then it is on probation.
        wait_stream(d, {"expected": 0, "unjudged": 8})
        for i in range(4):
            send_numbers(sender, [1000 * i + 3, 1000 * i + 5], group=f"239.255.4.{i}", ssrc=i)
        wait_stream(d, {**NONE, "expected": 16, "lost": 4, "unjudged": 4})
        all_left(d, 16)


@t.test("a rule without monitor shows no stream, in no form; one with it in all of them")
def without():
    with t.line() as net, t.Mcrd(net.relay, [single(), single("seen", "239.255.0.2", "239.255.1.2",
                                                            monitor={"as": "ts"})]) as d:
        sender = t.RawSender(net.src, "s0")
        send_numbers(sender, [1, 2, 4])
        sender.send(t.datagram("239.255.0.2", PORT, ts(1, 0) + ts(1, 5)))
        wait_stream(d, {"lost": 0}, rule=1)
        t.wait_for(lambda: streams(d, 1)[0]["ts"]["continuity_errors"] == 1, 5, "the error")
        t.equal(streams(d, 0), [None], "the stream of a rule without")
        metrics, table = (t.run_command([t.MCRSTAT, *form, "--stats", d.config.stats_file])[1]
                          for form in (["--prometheus"], []))
        of = {name for line in metrics.splitlines() if line.startswith("mcr_rule_input_stream_")
              for name in [line.partition('rule="')[2].partition('"')[0]]}
        t.equal(of, {"seen"}, "whose metrics are there")
        t.check('mcr_rule_input_stream_ts_continuity_errors_total{rule="seen",leg="1",' in metrics, metrics)
        t.equal([x.split() for x in table.splitlines() if "stream" in x], [["stream", "continuity_errors", "1"]],
                "lines of the table")


# --- alarms ----------------------------------------------------------------------------------------------------------

def alarms(d):
    rule = d.stats()["rules"][0]
    return rule["state"], rule["alarms"], [i["alarms"] for i in rule["inputs"]]


def told(d, event, n=1):
    """The fields of the n-th line of this event, which must be the last one."""
    lines = t.wait_for(lambda: len(x := d.logged(event)) >= n and x, 5, f"event={event}")
    t.equal(len(lines), n, f"lines of {event}")
    return r.fields(lines[-1])


@t.test("loss: the alarm names leg and figures, begins and ends once, and changes no state; mcrstat --check warns",
        released=True)
def loss():
    limits = {"as": "rtp", "max_loss_ppm": 50000}
    with t.line() as net, t.Mcrd(net.relay, [merged(monitor=limits)]) as d:
        legs = [f"s0,{A},{PORT}", f"s0,{B},{PORT},loss=20%"]
        sender = t.start_sending_legs(net.src, legs, seconds=60, rate=500, **{"as": "rtp"})
        try:
            until(lambda: alarms(d) == ("active", ["loss"], [[], ["loss"]]), lambda: f"the alarm: {alarms(d)}", 10)
            begun = told(d, "rule_lossy")
            t.equal((begun["rule"], begun["leg"], begun["allowed_ppm"]), ("r", "B", "50000"), "who is told")
            t.check(100000 < int(begun["loss_ppm"]) < 300000, f"the loss: {begun}")
            status, line, _ = t.run_command([t.MCRSTAT, "--check", "--stats", d.config.stats_file], check_status=False)
            t.check(status == 1 and "r: loss on leg B" in line, f"the plugin: {status} {line}")
        finally:
            t.end_process(sender)
        until(lambda: alarms(d) == ("active", [], [[], []]), lambda: f"the end of the alarm: {alarms(d)}", 15)
        ended = told(d, "rule_complete")
        t.check((ended["rule"], ended["leg"]) == ("r", "B") and int(ended["alarm_ms"]) >= 5000, f"its end: {ended}")


@t.test("what cannot be judged raises the alarms that are asked for: nobody knows whether their limits are kept")
def blind():
    limits = {"as": "rtp", "max_loss_ppm": 10, "max_jitter_us": 1000}
    with t.line() as net, t.Mcrd(net.relay, [single(monitor=limits)]) as d:
        sender = t.RawSender(net.src, "s0")

        def send():
            sender.send(*[t.datagram(A, PORT, b"\x47" + bytes(187))] * 20)
            return alarms(d)[1] == ["loss", "jitter"]

        until(send, lambda: f"the alarms: {streams(d)}, {alarms(d)}", 10)
        t.check(int(told(d, "rule_lossy")["unjudged"]) > 16, "the line says what is not judged")
        t.equal(streams(d)[0]["jitter_us"], None, "jitter that nobody has measured")
        _, table, _ = t.run_command([t.MCRSTAT, "--stats", d.config.stats_file])
        t.check("unjudged" in table and "not as rtp" in table, f"the table: {table}")


@t.test("as a transport stream, nothing of which is one (zero bytes, random ones, audio, each in RTP; no RTP): the alarm loss")
def no_transport_stream():
    payloads = {"zero": lambda n: rtp(n, bytes(1316)), "random": lambda n: rtp(n, os.urandom(1316)),
                "audio": lambda n: rtp(n, bytes(288)), "none": lambda n: bytes(1316)}
    rules = [single(name, f"239.255.0.{i}", f"239.255.1.{i}", monitor={"as": "ts", "max_loss_ppm": 100})
             for i, name in enumerate([*payloads, "stream"], 1)]
    payloads["stream"] = lambda n: rtp(n, b"".join(ts(256, 7 * n + i) for i in range(7)))
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        sender = t.RawSender(net.src, "s0")
        number = itertools.count()

        def raised():
            for n in itertools.islice(number, 20):
                sender.send(*[t.datagram(f"239.255.0.{i}", PORT, make(n))
                              for i, make in enumerate(payloads.values(), 1)])
            return [rule["alarms"] for rule in d.stats()["rules"]] == [["loss"]] * 4 + [[]]

        until(raised, lambda: f"{d.stats()['rules']}", 10)
        t.check(all(int(line["sync_errors"]) >= 16 for line in map(r.fields, d.logged("rule_lossy"))), "the lines say what is no packet")
        status, line, _ = t.run_command([t.MCRSTAT, "--check", "--stats", d.config.stats_file], check_status=False)
        t.check(status == 1 and "zero: loss" in line and "none: loss" in line, f"the plugin: {status} {line}")


@t.test("jitter: time stamps that do not fit the arrival raise the alarm of their leg; without a limit there is none")
def jitter():
    for limits, wanted in (({"max_jitter_us": 1000}, ["jitter"]), ({}, [])):
        with t.line() as net, t.Mcrd(net.relay, [single(monitor={"as": "rtp", **limits})]) as d:
            sender = t.RawSender(net.src, "s0")
            sent = 0

            def send():
                nonlocal sent
                # 20 ms to and fro, in units of 90 kHz.
                for n in range(sent, sent + 20):
                    send_numbers(sender, [n], timestamp=n % 2 * 1800)
                sent += 20
                return (streams(d)[0]["jitter_us"] or 0) > 10000 and (not wanted or alarms(d)[1] == wanted)

            until(send, lambda: f"jitter: {streams(d)}, {alarms(d)}", 10)
            if wanted:
                begun = told(d, "rule_jittery")
                t.check(begun["leg"] == "1" and int(begun["jitter_us"]) > 1000, f"the line: {begun}")
                t.wait_for(lambda: alarms(d)[1] == [], 15, "its end")
                told(d, "rule_steady")
            else:
                t.equal((alarms(d), d.logged("rule_jittery")), (("active", [], [[]]), []), "without a limit")


@t.test("leg: one that is silent for silence_ms beside another is told; both together are the silence of the rule")
def silent_leg():
    with t.line() as net, t.Mcrd(net.relay, [two_legs(silence_ms=500)]) as d:
        sender = t.RawSender(net.src, "s0")
        sent = 0

        def send(*groups):
            nonlocal sent
            for group in groups:
                sent += 1
                sender.send(t.datagram(group, PORT, struct.pack(">I", sent)))

        def raised(*groups, wanted):
            def there():
                send(*groups)
                return alarms(d) == wanted
            until(there, lambda: f"{wanted}: {alarms(d)}", 10)

        raised(A, B, wanted=("active", [], [[], []]))
        raised(A, wanted=("active", ["leg"], [[], ["leg"]]))
        begun = told(d, "leg_silent")
        t.check((begun["rule"], begun["leg"], begun["allowed_ms"]) == ("r", "B", "500") and
                int(begun["silent_ms"]) >= 500, f"the line: {begun}")
        raised(A, B, wanted=("active", [], [[], []]))
        t.equal(told(d, "leg_heard")["leg"], "B", "who is heard")
        # Both are silent.
        send(A, B)
        until(lambda: alarms(d) == ("silent", ["silence"], [[], []]), lambda: f"silence: {alarms(d)}", 5)
        told(d, "leg_silent")


@t.test("reload: a leg that is added or renamed raises no alarm of another while nothing has come")
def added_legs():
    rule = two_legs(silence_ms=300)
    with t.line() as net, t.Mcrd(net.relay, [rule]) as d:
        until(lambda: alarms(d) == ("silent", ["silence"], [[], []]), lambda: f"silence: {alarms(d)}", 5)
        rule["inputs"][1]["leg"] = "C"
        r.accepted(d, [rule])
        t.equal(alarms(d), ("silent", ["silence"], [[], []]), "after the reload, with which a look comes")
        t.equal(d.logged("leg_silent"), [], "alarms of legs")
        sender = t.RawSender(net.src, "s0")

        def there():
            sender.send(t.datagram(A, PORT, b"x"))
            return alarms(d) == ("active", ["leg"], [[], ["leg"]])
        until(there, lambda: f"the alarm: {alarms(d)}", 10)
        rule["silence_ms"] = 86400000
        r.accepted(d, [rule])
        line = told(d, "leg_cleared")
        t.equal((line["leg"], d.logged("leg_heard")), ("C", []), "who is cleared, and not heard")
        t.check(d.logged("leg_cleared")[-1].endswith('reason="a reload has changed the rule"'), f"the reason: {line}")


@t.test("a foreign sender on a leg does not make it heard")
def strangers():
    rule = two_legs(silence_ms=500)
    rule["inputs"][1]["sources"] = ["198.18.1.1"]
    with t.line() as net, t.Mcrd(net.relay, [rule]) as d:
        sender = t.RawSender(net.src, "s0")

        def there():
            sender.send(t.datagram(A, PORT, b"x"), t.datagram(B, PORT, b"x", source="198.18.1.9"))
            return alarms(d)[2] == [[], ["leg"]]
        until(there, lambda: f"the alarm: {alarms(d)}", 10)


# --- reload ----------------------------------------------------------------------------------------------------------

@t.test("a reload keeps the figures of a leg whose monitor did not change, whatever its limits, and begins anew else")
def reload_keeps():
    monitor = {"as": "rtp"}
    with t.line() as net, t.Mcrd(net.relay, [merged(monitor=monitor)]) as d:
        sender = t.RawSender(net.src, "s0")
        send_numbers(sender, [1, 2, 4], group=A)
        send_numbers(sender, [1, 2, 3], group=B)
        wait_stream(d, {**NONE, "expected": 4, "lost": 1})
        wait_stream(d, {**NONE, "expected": 3}, leg=1)
        # Other limits, and another leg before them.
        rule = merged(monitor={**monitor, "max_loss_ppm": 5}, silence_ms=60000)
        rule["inputs"].insert(0, {"leg": "C", "interface": "in0", "group": "239.255.20.1", "port": PORT})
        r.accepted(d, [rule])
        send_numbers(sender, [5, 7], group=A)
        wait_stream(d, {**NONE, "expected": 0}, leg=0)
        wait_stream(d, {**NONE, "expected": 7, "lost": 2}, leg=1)
        wait_stream(d, {**NONE, "expected": 3}, leg=2)
        r.accepted(d, [merged(monitor={**monitor, "clock_hz": 48000})])
        wait_stream(d, {**NONE, "expected": 0})
        r.accepted(d, [merged()])  # monitored by the merge alone
        send_numbers(sender, [8, 9], group=A)
        wait_stream(d, {**NONE, "expected": 2})


@t.test("an alarm outlives a reload without being told again, and goes with its limit")
def reload_alarm():
    with t.line() as net, t.Mcrd(net.relay, [single(monitor={"as": "rtp", "max_loss_ppm": 1000})]) as d:
        sender = t.RawSender(net.src, "s0")
        sent = 0

        def lossy():
            nonlocal sent
            send_numbers(sender, [sent, sent + 2])
            sent += 4
            return alarms(d)[1] == ["loss"]

        send_numbers(sender, [65534, 65535])
        until(lossy, lambda: f"the alarm: {alarms(d)}", 10)
        r.accepted(d, [single(monitor={"as": "rtp", "max_loss_ppm": 1001})])
        t.equal((alarms(d), len(d.logged("rule_lossy"))), (("active", ["loss"], [["loss"]]), 1), "after a reload")
        r.accepted(d, [single()])
        t.wait_for(lambda: alarms(d) == ("active", [], [[]]), 5, "the alarm goes")
        told(d, "rule_complete")


t.main()
