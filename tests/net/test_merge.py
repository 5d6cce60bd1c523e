#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two copies of a stream merged into one: the first copy of each number leaves, once, whatever the legs lose."""
import contextlib
import itertools
import os
import shutil
import signal
import struct
import tempfile
import time

import mcrtest as t
import reloadtest as r

A, B, OUT = "239.255.0.1", "239.255.10.1", "239.255.1.1"
PORT, OUT_PORT = 5000, 6000
RTP, FIELD = "rtp", "field,at=0,bytes=4"


def rule(by="rtp", outputs=None, rule_keys=None, **keys):
    return {"name": "r", "inputs": [{"leg": "A", "interface": "in0", "group": A, "port": PORT},
                                    {"leg": "B", "interface": "in1", "group": B, "port": PORT}],
            "merge": {"by": by, **keys}, "outputs": outputs or [t.to_group(OUT, OUT_PORT)], **(rule_keys or {})}


FIELD_MERGE = {"by": "field", "field": {"at": 0, "bytes": 4}}
# The legs are 20 ms apart at most; the rest is for a sender that a busy machine does not run for a while.
REORDER = {"reorder_ms": 100, "window_ms": 120, "rule_keys": {"max_payload": 1472}}


def legs(a="", b=""):
    return [f"s0,{A},{PORT}{a}", f"s1,{B},{PORT}{b}"]


def through(net, d, sent_legs, framing=RTP, in_order=False, count=5000, rate=10000, during=None, seconds=60, **options):
    """A stream by both legs: exactly what both lose is missing at the receiver. Returns the sender's report and rule."""
    with tempfile.TemporaryDirectory() as directory:
        lost = os.path.join(directory, "lost")
        judged = {"as": framing, "lost_file": lost, **({"in_order": True} if in_order else {})}
        receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=1500, seconds=seconds, **judged)
        sender = t.start_sending_legs(net.src, sent_legs, count=count, rate=rate, lost_file=lost,
                                      **{"as": framing, **options})
        if during:
            during()
        sent = t.finish_sending(sender, seconds)
        report = receiver.report(seconds)
    t.check(report["ok"], f"the receiver: {t.describe(report)}; sent: {sent}")
    t.equal(report["received"], count - sent["lost_by_all"], "datagrams")
    rule = t.wait_for(lambda: accounted(d, sent), 5, f"the accounts of {sent}: {d.stats()['rules'][0]}")
    return sent, rule


def accounted(d, sent):
    """The rule, once the sum over its legs is what was sent, and what left with the drops."""
    rule = d.stats()["rules"][0]
    came = sum(leg["sent"] for leg in sent["legs"])
    left = rule["outputs"][0]["packets"] + sum(rule["drops"].values())
    return rule if rule["packets"] == came == left == sum(i["packets"] for i in rule["inputs"]) + left - came else None


def exact(d, sent):
    """What the merge has counted is what the sender left out."""
    missing = [leg["lost"] for leg in sent["legs"]]
    lost = sent["lost_by_all"]

    def figures():
        rule = d.stats()["rules"][0]
        return [i["missing"] for i in rule["inputs"]], rule["merge"]["lost"], rule["merge"]["recovered"]

    # A stream does not tell what it has lost before its first number and behind its last.
    def near():
        legs_missing, merge_lost, recovered = figures()
        return (all(m - 3 <= x <= m for x, m in zip(legs_missing, missing)) and lost - 2 <= merge_lost <= lost and
                abs(recovered - (sum(missing) - 2 * lost)) <= 3)

    with contextlib.suppress(t.Failure):
        t.wait_for(near, 5)
    t.check(near(), f"missing, lost, recovered: found {figures()}, sent {missing, lost}")


@t.test("RTP by two legs that lose 10 % each: what both lost is missing, nothing comes twice; the figures are exact")
def rtp():
    with t.two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
        sent, _ = through(net, d, legs(",loss=10%", ",loss=10%"), seed=7)
        t.check(sent["lost_by_all"] > 10, f"the sender lost too little: {sent}")
        exact(d, sent)


@t.test("one leg 40 ms late: the first copy leaves at once, each once")
def skew():
    with t.two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
        _, shown = through(net, d, legs(",loss=5%", ",loss=5%,delay_ms=40"), seed=3)
        late = next(i for i in shown["inputs"] if i["leg"] == "B")["skew_us"]
        t.check(35000 <= late["mean"] <= 49000, f"the skew of the late leg: {late}")


@t.test("with reorder_ms nothing is out of order, whichever leg is late; what nobody brings costs no more than that")
def in_order():
    with t.two_paths() as net, t.Mcrd(net.relay, [rule(**REORDER)]) as d:
        through(net, d, legs(",loss=10%", ",loss=10%,delay_ms=20"), in_order=True, seed=11)


@t.test("legs that repeat and reorder by themselves: nothing twice; with reorder_ms all in order")
def unruly():
    for keys, ordered in (({}, False), (REORDER, True)):
        with t.two_paths() as net, t.Mcrd(net.relay, [rule(**keys)]) as d:
            _, shown = through(net, d, legs(",loss=5%,repeat=1", ",delay_ms=5,reorder=5,repeat=2"), in_order=ordered)
            a, b = shown["inputs"]
            t.check(a["repeated"] > 4000 and b["repeated"] >= 9990 and b["reordered"] > 500, f"what the legs do: {a, b}")


@t.test("numbers that wrap: 16 bits of RTP, 16 and 32 of a field")
def wraps():
    for framing, keys, first in ((RTP, {"by": "rtp"}, 64000),
                                 ("field,at=0,bytes=2", {"by": "field", "field": {"at": 0, "bytes": 2},
                                                         "rule_keys": {"limit": {"packets_per_second": 100000}}}, 64000),
                                 (FIELD, FIELD_MERGE, 0xffffff00)):
        with t.two_paths() as net, t.Mcrd(net.relay, [rule(**keys)]) as d:
            through(net, d, legs(",loss=10%", ",loss=10%,delay_ms=10"), framing, seed=5, first_number=first)


@t.test("a sender that begins again, with another SSRC and number, while one leg still brings the old ones")
def restart():
    with t.two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
        _, shown = through(net, d, legs("", ",delay_ms=30"), restart=1000)
        t.check(shown["merge"]["resets"] >= 4, f"new beginnings: {shown['merge']}")


@t.test("by the whole payload, which has no number that mcr knows")
def payload():
    with t.two_paths() as net, t.Mcrd(net.relay, [rule(by="payload")]) as d:
        through(net, d, legs(",loss=10%", ",loss=10%,delay_ms=10"), framing=FIELD, seed=9)


@t.test("what both legs lose at once, a run, is told as lost together")
def together():
    with t.two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
        sent, _ = through(net, d, legs(",pattern=20@1000", ",pattern=20@1000"), seed=1)
        t.equal(sent["lost_by_all"], 20, "lost by both")
        t.wait_for(lambda: d.stats()["rules"][0]["merge"]["lost_together"] == 1, 5, "a run that was lost together")


def plugin(d):
    return t.run_command([t.MCRSTAT, "--check", "--stats", d.config.stats_file], check_status=False)[:2]


def offer(net, d, datagrams):
    """Sends pairs of payloads, for A and B; b"" is none. Returns once all have come."""
    senders = (t.RawSender(net.src, "s0"), A), (t.RawSender(net.src, "s1"), B)
    for pair in datagrams:
        for (sender, group), payload in zip(senders, pair):
            if payload:
                sender.send(t.datagram(group, PORT, payload))
    sent = sum(bool(payload) for pair in datagrams for payload in pair)
    t.wait_for(lambda: d.stats()["rules"][0]["packets"] == sent, 10, "all that was sent")


def rtp_of(ssrc, number):
    return struct.pack("!BBHII", 0x80, 33, number, number * 3000, ssrc) + b"RTP"


BARE = t.SANDBOX != "enforce"  # the plugin warns of this in any case


@t.test("two encoders: all leaves, and the plugin, JSON and the metric tell; legs that take turns with one stream are none")
def two_streams():
    encoders = [(rtp_of(77, n), rtp_of(88, 30000 + n)) for n in range(1200)]
    turns = [(rtp_of(77, n), b"") if n < 1200 else (b"", rtp_of(77, n)) for n in range(2400)]
    for datagrams, two in (encoders, True), (turns, False):
        with t.two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
            offer(net, d, datagrams)
            t.wait_for(lambda: [i["first"] for i in d.stats()["rules"][0]["inputs"]] == [1200, 1200], 5, "first copies")
            t.wait_for(lambda: d.stats()["rules"][0]["merge"]["two_streams"] == two, 5, "JSON")
            status, line = plugin(d)
            t.check(status == (two or BARE) and ("r: the legs have no number in common" in line) == two, f"the plugin: {status} {line}")
            metrics = t.run_command([t.MCRSTAT, "--prometheus", "--stats", d.config.stats_file])[1]
            t.check(f'mcr_rule_merge_two_streams{{rule="r",stats_file="{d.config.stats_file}"}} {int(two)}\n' in metrics,
                    f"the metric: {metrics}")


@t.test("copies at first, two encoders now: the plugin tells of it within seconds, and no more when they are copies again",
        released=True)
def two_streams_now():
    def shown(d):
        return d.stats()["rules"][0]["merge"]["two_streams"]

    with t.two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
        senders = (t.RawSender(net.src, "s0"), A), (t.RawSender(net.src, "s1"), B)
        sent = itertools.count()

        def both_until(ssrcs, condition, seconds, what):
            """Each leg brings its SSRC's numbers, 1000 a second, until the condition holds."""
            end = time.monotonic() + seconds
            while not condition():
                t.check(time.monotonic() < end, f"not within {seconds} s: {what}; {d.stats()['rules'][0]}")
                for n in itertools.islice(sent, 250):
                    for (sender, group), ssrc in zip(senders, ssrcs):
                        sender.send(t.datagram(group, PORT, rtp_of(ssrc, n & 0xffff)))
                time.sleep(0.2)
        both_until((5, 5), lambda: d.stats()["rules"][0]["drops"]["copy"] > 3000, 30, "copies")
        t.check(not shown(d), "one encoder")
        both_until((5, 6), lambda: shown(d), 20, "two encoders")
        status, line = plugin(d)
        t.check(status == 1 and "r: the legs have no number in common" in line, f"the plugin: {status} {line}")
        d.reload()
        t.check(shown(d), "behind a reload")
        both_until((6, 6), lambda: not shown(d), 20, "one encoder again")


@t.test("numbers that count messages, and no count_at: all leaves once, and the plugin asks; with count_at it does not")
def messages():
    first, datagrams = 0, []
    for i in range(600):
        count = i % 4 + 1
        datagrams.append((struct.pack("!IH", first, count) + b"x" * 20,) * 2)
        first += count
    for field, asks in (FIELD_MERGE["field"], True), ({**FIELD_MERGE["field"], "count_at": 4, "count_bytes": 2}, False):
        with t.two_paths() as net, t.Mcrd(net.relay, [rule(by="field", field=field)]) as d:
            offer(net, d, datagrams)
            t.wait_for(lambda: sum(i["first"] for i in d.stats()["rules"][0]["inputs"]) == 600, 5, "each once")

            def told():
                status, line = plugin(d)
                return status == (asks or BARE) and ("r: many numbers are missing by every leg alike: do they" in line) == asks
            t.wait_for(told, 5, f"the plugin: {plugin(d)}; {d.stats()['rules'][0]}")


@t.test("no RTP: dropped as no_sequence, nothing is guessed")
def no_rtp():
    with t.two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
        t.RawSender(net.src, "s0").send(*[t.datagram(A, PORT, b"x"), t.datagram(A, PORT, b"y" * 100)] * 3)
        t.wait_for(lambda: d.stats()["rules"][0]["drops"]["no_sequence"] == 6, 5, "no_sequence")
        t.equal(d.stats()["rules"][0]["outputs"][0]["packets"], 0, "sent")


@t.test("a rule that drops all that comes is down and says why, and active again once something passes")
def blocked():
    with t.two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
        sender = t.RawSender(net.src, "s0")

        def state():
            sender.send(t.datagram(A, PORT, b"no RTP"))
            return d.stats()["rules"][0]
        shown = t.wait_for(lambda: (s := state())["state"] == "down" and s, 10, "down")
        t.equal(shown["reason"], "nearly all that comes is dropped: no_sequence (has no number to be merged by)", "reason")
        status, out, _ = t.run_command([t.MCRSTAT, "--check", "--stats", d.config.stats_file], check_status=False)
        t.check(status == 2 and "no_sequence" in out, out)
        t.equal(len(d.logged("rule_blocked")), 1, "rule_blocked")
        numbers = iter(range(1, 1000))

        def mended():
            sender.send(t.datagram(A, PORT, struct.pack("!BBHII", 0x80, 33, next(numbers), 1, 1) + b"RTP"))
            return state()["state"] == "active"
        t.wait_for(mended, 5, "active")
        t.equal(len(d.logged("rule_unblocked")), 1, "rule_unblocked")


@t.test("by active: one leg leaves, the other takes over when it falls silent, and gives back")
def active():
    keys = {"by": "active", "switch_after_ms": 1500, "return_after_ms": 3000}  # beyond what asking takes
    with t.two_paths() as net, t.Mcrd(net.relay, [rule(**keys)]) as d:
        capture = t.Capture(net.dst, "d0", OUT)
        a, b = t.RawSender(net.src, "s0"), t.RawSender(net.src, "s1")

        def shown():
            return d.stats()["rules"][0]["merge"]["active_leg"]

        def send_until(leg, by_a=True):
            def sent():
                if by_a:
                    a.send(t.datagram(A, PORT, b"A"))
                b.send(t.datagram(B, PORT, b"B"))
                return shown() == leg
            t.wait_for(sent, 20, f"leg {leg}")

        send_until("A")
        for _ in range(20):
            a.send(t.datagram(A, PORT, b"A"))
            b.send(t.datagram(B, PORT, b"B"))
        send_until("B", by_a=False)
        send_until("A")
        t.wait_for(lambda: d.stats()["rules"][0]["drops"]["standby"] > 20, 5, "standby")
        # The ring of B may have been looked at first.
        order = "".join(f.payload.decode() for f in capture.udp(OUT)).lstrip("B")
        switches = sum(x != y for x, y in zip(order, order[1:]))
        t.equal((order[0], switches), ("A", 2), f"which leg left: {order}")
        told = [(f["before"], f["leg"]) for f in map(r.fields, d.logged("leg_active"))]
        t.equal([x for x in told if x[0] != "none"][-2:], [("A", "B"), ("B", "A")], "what is told")
        _, out, _ = t.run_command([t.MCRSTAT, "--prometheus", "--stats", d.config.stats_file])
        t.check('mcr_rule_active_leg{rule="r",leg="A"' in out, out)


@t.test("a reload under a merged stream: nothing is lost or comes twice, the state goes over by leg")
def reload():
    with t.two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
        def reload_often():
            for i in range(4):
                r.accepted(d, [rule(rule_keys={"note": f"change {i}"})])
        through(net, d, legs(",loss=10%", ",loss=10%,delay_ms=30"), count=20000, seed=13, during=reload_often)


@t.test("with reorder_ms a relay that stands still for longer: what waits in its rings is in time, nothing is lost")
def stalled():
    with t.two_paths() as net, t.Mcrd(net.relay, [rule(**REORDER)]) as d:
        def stop_often():
            for _ in range(3):
                os.kill(d.process.pid, signal.SIGSTOP)
                time.sleep(0.3)
                os.kill(d.process.pid, signal.SIGCONT)
                time.sleep(0.2)
        sent, _ = through(net, d, legs(",loss=10%", ",loss=10%,delay_ms=20"), in_order=True, count=10000, rate=5000,
                          seed=11, during=stop_often)
        exact(d, sent)


@t.test("a reload that gives a merge another limit, payload, window or wait: nothing is lost, comes twice or out of order")
def reload_with_other_room():
    for keys in ({}, REORDER):
        changes = [{"limit": {"packets_per_second": 50000}}, {"limit": {"packets_per_second": 400000}}, {},
                   {"max_payload": 9000},
                   # What a slow machine held while it read a file leaves in one run: the limit takes it.
                   {"max_payload": 3000, "limit": {"packets_per_second": 30000, "burst_ms": 2000}}]
        first = {**keys.get("rule_keys", {}), "silence_ms": 5000}
        with t.two_paths() as net, t.Mcrd(net.relay, [rule(**{**keys, "rule_keys": first})]) as d:
            def reload_often():
                for i, change in enumerate(changes):
                    wait = {"reorder_ms": 100 + 10 * i, "window_ms": 120 + 20 * i} if keys else {"window_ms": 60 + 20 * i}
                    merge = {**keys, **wait}
                    r.accepted(d, [rule(**{**merge, "rule_keys": {**first, **change}})])
                    time.sleep(0.1)
            # The wait leaves room for a relay that a busy machine does not run for a while.
            delay_ms = 5 if keys else 30
            sent, _ = through(net, d, legs(",loss=10%", f",loss=10%,delay_ms={delay_ms}"), count=20000, seed=7,
                              during=reload_often, in_order=bool(keys))
            exact(d, sent)


@t.test("a stream that goes on long after its first numbers have left the room of the merge, with legs near and far",
        released=True)
def long_stream():
    for delay_ms in (0, 15):
        with t.two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
            through(net, d, legs(",loss=5%", f",loss=5%,delay_ms={delay_ms}"), count=90000, rate=30000, seed=9, size=200)


@t.test("50,000/s for a minute by two legs that lose a tenth each, one 20 ms late: exact, with reorder_ms in order", long=True)
def minute():
    for keys in ({}, REORDER):
        with t.two_paths() as net, t.Mcrd(net.relay, [rule(**keys)], ring_mib=64) as d:
            through(net, d, legs(",loss=10%", ",loss=10%,delay_ms=20"), in_order=bool(keys), count=3000000, rate=50000,
                    seconds=120, seed=3, size=200)


@t.test("a leg that is pulled and comes back, then the other: nothing is lost")
def pulled():
    with t.two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
        through(net, d, legs(",pattern=4000@2000", ",pattern=4000@10000"), count=20000, seed=2)
        t.equal(d.stats()["rules"][0]["merge"]["lost"], 0, "lost")


# --- three relays: two paths, and one that merges ---------------------------------------------------------------------

FED_A, FED_B = "239.255.20.1", "239.255.30.1"


@contextlib.contextmanager
def three_relays(**keys):
    """src s0 --- r1 --- r3, src s1 --- r2 --- r3, r3 --- dst. Yields the nodes and the three daemons."""
    with t.Net() as net, contextlib.ExitStack() as stack:
        for name in ("src", "r1", "r2", "r3", "dst"):
            net.node(name)
        for i, relay in enumerate((net.r1, net.r2)):
            net.link(net.src, f"s{i}", f"198.18.1{i}.1/24", relay, "in0", f"198.18.1{i}.2/24")
            net.link(relay, "out0", f"198.18.2{i}.1/24", net.r3, f"in{i}", f"198.18.2{i}.2/24")
        net.link(net.r3, "out0", "198.18.3.2/24", net.dst, "d0", "198.18.3.1/24")
        merging = rule(**keys)
        for one, group in zip(merging["inputs"], (FED_A, FED_B)):
            one["group"] = group
        daemons = [t.Mcrd(net.r1, [t.rule("a", A, PORT, [t.to_group(FED_A, PORT)])]),
                   t.Mcrd(net.r2, [t.rule("b", B, PORT, [t.to_group(FED_B, PORT)])]), t.Mcrd(net.r3, [merging])]
        yield net, daemons, stack


def survives(harm):
    """A stream by both paths, to one of whose relays, and then to the other, harm is done: nothing lost, nothing twice."""
    for victim in (0, 1):
        survives_without(victim, harm)


def survives_without(victim, harm):
    with three_relays() as (net, daemons, stack):
        first, merging = daemons[victim], daemons[2]
        stack.enter_context(merging)
        stack.enter_context(daemons[1 - victim])
        first.launch()
        t.wait_for(lambda: first.logged("started"), 20, "event=started")
        try:
            rate = int(os.environ.get("MCR_RATE", "20000"))
            count = 3 * rate
            receiver = t.Receiver(net.dst, "d0", OUT, OUT_PORT, idle_ms=1500, seconds=60, expect=count, **{"as": RTP})
            sender = t.start_sending_legs(net.src, legs(), count=count, rate=rate, **{"as": RTP})
            time.sleep(1)
            harm((net.r1, net.r2)[victim], first)
            t.finish_sending(sender)
            receiver.all_came()
        finally:
            t.kill_process(first.process)
        missing = [i["missing"] for i in merging.stats()["rules"][0]["inputs"]]
        t.check(missing[victim] > 1000 and missing[1 - victim] == 0, f"what the legs missed: {missing}")


@t.test("the link of one leg goes: the rule stays active and says so, the alarm is that of the leg; with both it is down")
def link_of_a_leg():
    with t.two_paths() as net, t.Mcrd(net.relay, [rule()]) as d:
        def shown():
            now = d.stats()["rules"][0]
            return now["state"], now["reason"], now["alarms"]

        # Nothing is ever sent: no leg is heard.
        def ended(reason):
            lines = d.logged("leg_cleared")
            t.check(lines and "leg=B " in lines[-1] and lines[-1].endswith(f' reason="{reason}"'), f"how it ended: {lines}")
            t.equal(d.logged("leg_heard"), [], "legs that were heard")

        t.equal(shown(), ("active", None, []), "with both")
        net.relay.run("ip", "link", "set", "in1", "down")
        t.wait_for(lambda: shown() == ("active", "in1 is down (1 of 2 inputs)", ["leg"]), 5, "the state without one")
        status, line = plugin(d)
        t.check(status == 1 and "r: in1 is down (1 of 2 inputs), silence on leg B" in line, f"the plugin: {status} {line}")
        told = d.logged("leg_silent")[-1]
        t.check("leg=B " in told and told.endswith(' reason="in1 is down"'), f"what the log says of the leg: {told}")
        r.accepted(d, [rule(rule_keys={"shadow": True})])
        t.wait_for(lambda: shown()[:2] == ("shadow", "in1 is down (1 of 2 inputs); on trial (shadow = true): nothing is sent"),
                   5, "the state on trial")
        r.accepted(d, [rule()])
        net.relay.run("ip", "link", "set", "in0", "down")
        t.wait_for(lambda: shown() == ("down", "in0 is down; in1 is down", []), 5, "the state without both")
        t.equal(plugin(d)[0], 2, "the plugin without both")
        ended("no other leg has a link, either")
        net.relay.run("ip", "link", "set", "in0", "up")
        t.wait_for(lambda: shown()[2] == ["leg"], 5, "the alarm, again")
        net.relay.run("ip", "link", "set", "in1", "up")
        t.wait_for(lambda: shown() == ("active", None, []), 5, "the state with both again")
        ended("its link is up again")
        net.relay.run("ip", "link", "delete", "in1")
        t.wait_for(lambda: d.logged("leg_silent")[-1].endswith(' reason="in1 is missing"'), 5, "the log without the interface")


@t.test("two relays by two paths, merged by a third: kill -9 of either loses nothing, and nothing comes twice", released=True)
def relay_killed():
    survives(lambda relay, first: first.signal(signal.SIGKILL))


@t.test("two relays by two paths, merged by a third: a pulled link of either loses nothing, and nothing comes twice", released=True)
def link_pulled():
    survives(lambda relay, first: relay.run("ip", "link", "set", "out0", "down"))


# --- real senders and receivers ---------------------------------------------------------------------------------------


def transport_stream(path, seconds, rate):
    """MPEG-TS with a PCR each 20 ms, of so many packets a second (ISO 13818-1, 2.4.3)."""
    with open(path, "wb") as f:
        for i in range(seconds * rate):
            pid, counter = 0x100, i & 15
            header = bytes([0x47, pid >> 8, pid & 255])
            if i % (rate // 50) == 0:
                base, extension = divmod(i * 27000000 // rate, 300)
                pcr = (base << 15 | 0x3f << 9 | extension).to_bytes(6, "big")
                f.write(header + bytes([0x30 | counter, 183, 0x10]) + pcr + bytes([0xff] * 176))
                # An adaptation field of 183 bytes leaves no payload: the counter stands for a packet with one byte.
            else:
                f.write(header + bytes([0x10 | counter]) + i.to_bytes(4, "big") * 46)


@t.test("multicat's RTP over two legs of which each loses a tenth: the file is received byte for byte", released=True)
def multicat():
    if not shutil.which("multicat"):
        raise t.Skip("multicat is not installed")
    if not shutil.which("nft"):
        raise t.Skip("nft (nftables) is not installed")
    fan = t.rule("fan", A, PORT, [t.to_group(FED_A, PORT, "out0"), t.to_group(FED_B, PORT, "out1")])
    with tempfile.TemporaryDirectory() as directory, t.Net() as net:
        for name in ("src", "r1", "x", "r3", "dst"):
            net.node(name)
        net.link(net.src, "s0", "198.18.10.1/24", net.r1, "in0", "198.18.10.2/24")
        net.link(net.r3, "out0", "198.18.3.2/24", net.dst, "d0", "198.18.3.1/24")
        for i in range(2):  # each leg by a bridge that loses
            net.link(net.r1, f"out{i}", f"198.18.2{i}.1/24", net.x, f"a{i}", None)
            net.link(net.x, f"b{i}", None, net.r3, f"in{i}", f"198.18.2{i}.2/24")
            net.x.run("ip", "link", "add", f"br{i}", "type", "bridge", "mcast_snooping", "0")
            net.x.run("ip", "link", "set", f"br{i}", "up")
            for port in (f"a{i}", f"b{i}"):
                net.x.run("ip", "link", "set", port, "master", f"br{i}")
        status, _, err = net.x.run("nft", "table bridge x { chain c { type filter hook forward priority 0; "
                                   f"ip daddr {FED_A} numgen inc mod 10 0 drop; "
                                   f"ip daddr {FED_B} numgen inc mod 10 5 drop; }}; }}", check_status=False)
        if status != 0:
            raise t.Skip(f"nftables does not work here: {err.strip()}")
        merging = rule(window_ms=200, reorder_ms=100, rule_keys={"max_payload": 1472})
        for one, group in zip(merging["inputs"], (FED_A, FED_B)):
            one["group"] = group
        source, received = os.path.join(directory, "sent.ts"), os.path.join(directory, "received.ts")
        transport_stream(source, 4, 7 * 250)
        t.run_command(["ingests", "-p", "256", source])
        with t.Mcrd(net.r1, [fan]), t.Mcrd(net.r3, [merging]) as d:
            listener = t.start_process(["multicat", "-t", "1", f"@{OUT}:{OUT_PORT}/ifaddr=198.18.3.1", received], net.dst)
            try:
                time.sleep(0.5)
                net.src.run("multicat", "-p", "256", source, f"{A}:{PORT}@198.18.10.1/ttl=4", seconds=60)
                with open(source, "rb") as f:
                    sent = f.read()
                t.wait_for(lambda: os.path.getsize(received) >= len(sent), 10, "the whole file")
            finally:
                t.end_process(listener)
            with open(received, "rb") as f:
                t.check(f.read() == sent, "the received file is another one")
            figures = d.stats()["rules"][0]
            t.check(figures["merge"]["recovered"] > 20, f"the legs lost too little: {figures}")


t.main()
