#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serial, validity, and rules that begin and end by the wall clock. The machine's clock is never set: files have times a
few seconds ahead, or mcrd is shown another clock (witness.c)."""
import os
import re
import signal
import struct
import time

import mcrtest as t
import reloadtest as r

A, B, OUT_A, HOST, PORT, OUT_PORT = "239.255.0.1", "239.255.0.2", "239.255.1.1", "198.18.2.1", 5000, 6000
ALWAYS = t.rule("always", A, PORT, [t.to_group(OUT_A, OUT_PORT)])
SOON = 4 * t.SLOWNESS  # s, until something begins or ends
LATE = 1.0 * t.SLOWNESS  # s: a tick of the relay and a table
DAY = 86400


def moment(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def brief(begins=None, ends=None, **keys):
    """A temporary rule."""
    times = {"active_from": begins, "active_until": ends}
    return t.rule("brief", B, PORT, [t.to_host(HOST, OUT_PORT)], **{k: moment(v) for k, v in times.items() if v},
                  **keys)


def rule_of(d, name="brief"):
    return next(x for x in d.stats()["rules"] if x["name"] == name)


def wait_brief(d, state, reason, seconds):
    """Waits for a state of the temporary rule."""
    t.wait_for(lambda: rule_of(d)["state"] == state, seconds, f"state {state}, not {rule_of(d)}")
    t.equal(rule_of(d)["reason"], reason, f"the reason of {state}")


def sockets_to_host(pid):
    """How many UDP sockets of the process are connected to the output of the temporary rule."""
    with open(f"/proc/{pid}/net/udp", encoding="ascii") as f:
        return sum(x.split()[2].startswith("010212C6:") for x in f.read().splitlines()[1:])


@t.test("a rule begins and ends under two streams: joined, sent, left and closed at its times; the other one loses nothing")
def begins_and_ends():
    with t.line() as net:
        begins = int(time.time() + SOON) + 1
        ends = begins + int(SOON)
        with t.Mcrd(net.relay, [ALWAYS, brief(begins, ends)]) as d:
            log, at_begin = r.Log(d), rule_of(d)
            t.equal((at_begin["state"], at_begin["reason"], at_begin["active_until"]),
                    ("scheduled", f"from {moment(begins)}", moment(ends)), "the rule before its time")
            t.equal(t.memberships(net.relay, "in0"), {A}, "groups before")
            t.equal(sockets_to_host(d.broker), 0, "sockets before")
            received = r.Streams(net.dst, (OUT_A, OUT_PORT, 1), (HOST, OUT_PORT, 2))
            always = r.Sending(net.src, A, PORT, 1, r.rate(5000))
            temporary = r.Sending(net.src, B, PORT, 2, r.rate(2000))
            wait_brief(d, "active", None, begins + LATE + 2 - time.time())
            t.equal(t.memberships(net.relay, "in0"), {A, B}, "groups while it lasts")
            t.equal(sockets_to_host(d.broker), 1, "sockets while it lasts")
            wait_brief(d, "expired", f"until {moment(ends)}", ends + LATE + 2 - time.time())
            t.equal(t.memberships(net.relay, "in0"), {A}, "groups behind it")
            t.equal(sockets_to_host(d.broker), 0, "sockets behind it")
            time.sleep(0.3)
            sent = always.finish()
            temporary.finish()
            runs = r.wait_quiet(received)
            r.exactly_once("the stream of the other rule", runs[OUT_A, OUT_PORT], sent, 1)
            seen = runs[HOST, OUT_PORT]
            t.equal(len(seen), 1, f"runs of the temporary rule: {seen}")
            t.check(begins <= seen[0].first_ns / 1e9 <= begins + LATE,
                    f"the first one came {seen[0].first_ns / 1e9 - begins:.2f} s behind active_from")
            t.check(ends - 0.1 <= seen[0].last_ns / 1e9 <= ends + LATE,
                    f"the last one came {seen[0].last_ns / 1e9 - ends:.2f} s behind active_until")
            now = rule_of(d)
            n = seen[0].last - seen[0].first + 1
            t.equal(now["outputs"][0]["packets"], n, "the rule's counter when it has expired")
            t.equal(now["packets"], n + now["drops"]["outside"], "what came")
            d.check_sums()
            t.equal([(x["state"], x["reason"]) for x in log.events("rule_times")],
                    [("active", f"from {moment(begins)} until {moment(ends)}"), ("expired", f"until {moment(ends)}")],
                    "the log")
            t.equal(d.stats()["generation"], 1, "generation: no file was loaded")


@t.test("a reload: a lower serial, the same one with another text, none, and a file out of its time are refused; the same file is not")
def loads():
    with t.line() as net, t.Mcrd(net.relay, [ALWAYS], serial=2026113001) as d:
        t.equal(d.stats()["config"]["serial"], 2026113001, "serial")

        def attempt(pattern, **top):
            for key in ("serial", "valid_from", "valid_until"):
                d.config.top.pop(key, None)
            d.config.top.update(top)
            d.config.write()
            c = r.wait_config(d, "invalid" if pattern else "pending", disk_sha256=r.sha256_of(d.config.file))
            if not pattern:
                return r.accepted(d)
            said = c["last_error"]
            record = r.refused(d, pattern)
            t.check(re.search(pattern, said), f"what is told of the file on disk: {said}")
            return record

        t.equal(r.reload(d)["result"], "accepted", "the same file again")
        attempt(r'"serial" is 2026113000, and what runs has 2026113001', serial=2026113000)
        attempt(r'"serial" is 2026113001, as that of what runs', serial=2026113001, ring_mib=4)
        attempt(r'"serial" is missing, and what runs has 2026113001')
        del d.config.top["ring_mib"]
        now = int(time.time())
        attempt(r'valid_until is "[^"]+", which has passed', serial=2026113002, valid_until=moment(now - 5))
        attempt(r'valid_from is "[^"]+", which is to come', serial=2026113002, valid_from=moment(now + 3600))
        attempt(None, serial=2026113002, valid_from=moment(now - 60), valid_until=moment(now + 3600))
        t.equal({k: v for k, v in d.stats()["config"].items() if k in ("serial", "valid_from", "valid_until", "expired")},
                {"serial": 2026113002, "valid_from": moment(now - 60), "valid_until": moment(now + 3600),
                 "expired": False}, "what is shown")
        t.equal(d.stats()["rules"][0]["state"], "active", "what runs")


@t.test("a start out of the file's time is refused; valid_until passes while it runs: an alarm, nothing stops; restarts go on")
def validity():
    with t.line() as net, t.Manager() as manager:
        now = int(time.time())
        for times, why in (({"valid_until": moment(now - 5)}, "has passed"), ({"valid_from": moment(now + 60)}, "is to come")):
            status, said = t.Mcrd(net.relay, [ALWAYS], **times).run_to_end()
            t.equal(status, 1, "exit status")
            t.check(why in said and "event=start " in said, said)
        until = int(time.time() + SOON) + 1
        with t.KeptMcrd(manager, net.relay, [ALWAYS], valid_until=moment(until), serial=7) as d:
            log = r.Log(d)
            with r.undisturbed(net.src, net.dst, A, PORT, OUT_A, OUT_PORT):
                t.wait_for(lambda: d.stats()["config"]["expired"], until + LATE + 2 - time.time(), "the alarm")
                t.equal(len(log.events("config_expired")), 1, "the log")
                _, out, _ = t.run_command([t.MCRSTAT, "--check", "--stats", d.config.stats_file], check_status=False)
                t.check(f"was valid until {moment(until)}" in out, out)
                r.refused(d, "which has passed")
                t.check(d.restart(signal.SIGTERM, 0), "nothing was taken over")
            t.check(d.restart(signal.SIGKILL), "nothing was taken over")
            t.equal(d.stats()["config"]["expired"], True, "the alarm behind restarts")
            # An older file does not come back by a reload behind a crash, nor by a restart.
            d.config.top.update(serial=6, valid_until=moment(until + DAY))
            d.config.write()
            r.refused(d, '"serial" is 6, and what runs has 7')
            d.config.top.update(serial=6, valid_until=moment(until + DAY))
            d.config.write()
            t.check(d.restart(signal.SIGTERM, 0), "nothing was taken over")
            t.check('"serial\\" is 6, and what runs has 7' in d.log_text(), "the refusal in the log")
            c = r.wait_config(d, "invalid")
            t.equal(c["serial"], 7, "the serial that runs")
            d.config.top.update(serial=8)
            d.config.write()
            t.check(d.restart(signal.SIGTERM, 0), "nothing was taken over")
            t.equal((d.stats()["config"]["serial"], d.stats()["config"]["state"]), (8, "current"), "a higher one")


@t.test("restarts and a reload while a temporary rule lasts: both streams lose nothing; it ends at its time, and has ended behind a restart", alone=True)
def restarts():
    with t.line() as net, t.Manager() as manager:
        ends = int(time.time() + 2 * SOON) + 1
        with t.KeptMcrd(manager, net.relay, [ALWAYS, brief(None, ends)]) as d:
            received = r.Streams(net.dst, (OUT_A, OUT_PORT, 1), (HOST, OUT_PORT, 2))
            always, temporary = r.Sending(net.src, A, PORT, 1, r.rate(5000)), r.Sending(net.src, B, PORT, 2, r.rate(2000))
            t.check(d.restart(signal.SIGTERM, 0), "nothing was taken over")
            r.accepted(d, [{**ALWAYS, "note": "another file"}, brief(None, ends)])
            t.check(d.restart(signal.SIGTERM, 0), "nothing was taken over")
            t.check(time.time() < ends - 1, "too slow a machine")
            wait_brief(d, "expired", f"until {moment(ends)}", ends + LATE + 2 - time.time())
            n = rule_of(d)["outputs"][0]["packets"]
            t.check(d.restart(signal.SIGTERM, 0), "nothing was taken over")
            t.equal((rule_of(d)["state"], rule_of(d)["outputs"][0]["packets"]), ("expired", n), "behind a restart")
            t.equal(t.memberships(net.relay, "in0"), {A}, "groups")
            sent = always.finish()
            temporary.finish()
            runs = r.wait_quiet(received)
            r.exactly_once("the stream of the other rule", runs[OUT_A, OUT_PORT], sent, 1)
            t.equal([(x.first, x.last) for x in runs[HOST, OUT_PORT]], [(0, n - 1)], "the stream of the temporary rule")


@t.test("the clock is set ahead: what has ended by it is closed and stays so, when it is set back, behind a reload and a restart")
def steps():
    clock = t.Clock()
    with t.line() as net, t.Manager() as manager:
        ends = int(time.time()) + 10 * DAY
        with t.KeptMcrd(manager, net.relay, [ALWAYS, brief(None, ends)], before=clock.before) as d:
            log = r.Log(d)
            t.equal(rule_of(d)["state"], "active", "the state")
            clock.set(20 * DAY)
            wait_brief(d, "expired", f"until {moment(ends)}", LATE + 2)
            t.equal(t.memberships(net.relay, "in0"), {A}, "groups")
            t.equal(round(int(log.events("clock")[0]["step_ms"]) / 1000 / DAY), 20, "the step in the log")
            clock.set(0)
            t.wait_for(lambda: log.events("clock"), LATE + 2, "the step back")
            time.sleep(LATE)
            wait_brief(d, "expired", f"until {moment(ends)}", 1)
            d.config.rules[0] = {**ALWAYS, "note": "another file"}
            r.accepted(d, d.config.rules)
            wait_brief(d, "expired", f"until {moment(ends)}", 1)
            d.restart(signal.SIGTERM, 0)
            wait_brief(d, "expired", f"until {moment(ends)}", 1)
            # Another time opens it anew: somebody has written it.
            r.accepted(d, [ALWAYS, brief(None, ends + 1)])
            wait_brief(d, "active", None, 1)
            t.equal(t.memberships(net.relay, "in0"), {A, B}, "groups")


@t.test("a rule that is to begin: a clock set ahead opens it, one set back closes it again")
def steps_before():
    clock = t.Clock()
    with t.line() as net, t.Mcrd(net.relay, [ALWAYS, brief(int(time.time()) + 10 * DAY)], before=clock.before) as d:
        for ahead, state in ((0, "scheduled"), (20 * DAY, "active"), (0, "scheduled"), (20 * DAY, "active")):
            clock.set(ahead)
            t.wait_for(lambda s=state: rule_of(d)["state"] == s, LATE + 2, state)
            t.equal(t.memberships(net.relay, "in0"), {A, B} if state == "active" else {A}, f"groups of {state}")


@t.test("a clock at 1970: what has no time runs, temporary rules wait, a reload of a file with a validity is refused; then it is set")
def unset():
    clock = t.Clock()
    now = int(time.time())
    with t.line() as net:
        clock.set(-now + 100)
        with t.Mcrd(net.relay, [ALWAYS, brief(None, now + DAY)], before=clock.before, valid_until=moment(now + DAY)) as d:
            wait_brief(d, "scheduled", "the clock is not set", 1)
            t.equal(rule_of(d, "always")["state"], "active", "the permanent rule")
            t.equal(d.stats()["config"]["clock"], "unset", "the clock")
            t.equal(t.memberships(net.relay, "in0"), {A}, "groups")
            r.refused(d, "the clock is not set")
            clock.set(0)
            wait_brief(d, "active", None, LATE + 2)
            t.check(d.stats()["config"]["clock"] in ("set", "unsynchronised"), "the clock")
            r.accepted(d)


@t.test("without a broker the relay closes a rule at its time by itself; what comes is counted as outside")
def without_broker():
    with t.line() as net:
        ends = int(time.time() + SOON) + 1
        with t.Mcrd(net.relay, [ALWAYS, brief(None, ends)]) as d:
            os.kill(d.broker, signal.SIGKILL)
            d.broker_expected = False
            t.wait_for(lambda: d.stats()["broker"] == "gone", 5, "the broker's end")
            with r.undisturbed(net.src, net.dst, A, PORT, OUT_A, OUT_PORT):
                wait_brief(d, "expired", f"until {moment(ends)}", ends + LATE + 2 - time.time())
                leaks = r.Leaks(net.dst, {(OUT_A, OUT_PORT)})
                t.send(net.src, "s0", B, PORT, count=50, rate=1000, size=100)
                t.wait_for(lambda: rule_of(d)["drops"]["outside"] == 50, 2, f"what came: {rule_of(d)}")
                leaks.none()


@t.test("a relay that does not ask: the broker leaves the group and closes the socket by itself, and says so; what runs goes on",
        released=True)
def relay_stands_still():
    # By a ring that another rule uses, too, and by one of its own.
    for interface, sender, other in (("in0", "s0", {A}), ("in1", "s1", set())):
        with t.two_paths() as net:
            ends = int(time.time() + SOON) + 1
            rule = brief(None, ends)
            rule["input"]["interface"] = interface
            with t.Mcrd(net.relay, [ALWAYS, rule]) as d:
                log = r.Log(d)
                t.equal(t.memberships(net.relay, interface), {B} | other, "groups before")
                t.equal(sockets_to_host(d.broker), 1, "sockets before")
                with r.undisturbed(net.src, net.dst, A, PORT, OUT_A, OUT_PORT, pps=500):
                    os.kill(d.process.pid, signal.SIGSTOP)
                    t.wait_for(lambda: t.memberships(net.relay, interface) == other, ends + 3 + LATE + 2 - time.time(),
                               "the end of the membership")
                    t.check(time.time() >= ends + 2, "it had its time to ask")
                    t.wait_for(lambda: sockets_to_host(d.broker) == 0, 1, "the socket's end")
                    t.wait_for(lambda: log.events("rule_revoked"), 1, "the log")
                    os.kill(d.process.pid, signal.SIGCONT)
                    wait_brief(d, "expired", f"until {moment(ends)}", LATE + 2)
                rule = {**rule, "active_until": moment(ends + DAY)}
                r.accepted(d, [ALWAYS, rule])
                t.equal(t.memberships(net.relay, interface), {B} | other, "groups of the next file")
                receiver = t.Receiver(net.dst, "d0", HOST, OUT_PORT, expect=100)
                t.send(net.src, sender, B, PORT, count=100, rate=1000, size=100)
                receiver.all_came()


if __name__ == "__main__":
    t.main()
