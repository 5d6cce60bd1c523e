#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reload: nothing of what stays is lost, what goes stops, what comes starts, and what fails changes nothing."""
import datetime
import os
import re
import resource
import signal
import statistics
import time

import mcrtest as t
import reloadtest as r

PORT = 5000
GROUPS = [f"239.255.0.{i}" for i in range(1, 5)]
STAYS, SWITCHES, GOES, COMES = GROUPS
OUT = "239.255.1.1"
RULE = [t.rule("stays", STAYS, PORT, [t.to_group(OUT, 6000)], note="CHG0000001")]

# What is wrong with a reload shows in one of the first; what grows with each by more of them.
RELOADS, SECONDS = (110, 30) if t.LONG else (35, 10)


def other_rules(n, interface="in0"):
    """n rules that nobody sends to."""
    return [t.rule(f"other-{i}", f"239.255.{16 + i // 250}.{1 + i % 250}", PORT,
                   [t.to_group(f"233.252.0.{1 + i % 250}", 10000 + i // 250)], interface) for i in range(n)]


# --- four streams ----------------------------------------------------------------------------------------------------


class FourStreams:
    """One rule stays; one changes its output, and with it the interface; one is there at even turns, one at odd."""

    # By turn: where the stream of SWITCHES goes.
    PLACES = [(OUT[:-1] + "2", 6002, "out0"), (OUT[:-1] + "3", 6003, "out1")]
    GOES_TO, COMES_TO = (OUT[:-1] + "4", 6004), (OUT[:-1] + "5", 6005)

    def rules(self, turn):
        even = turn % 2 == 0
        group, port, interface = self.PLACES[turn % 2]
        found = RULE + [t.rule("switches", SWITCHES, PORT, [t.to_group(group, port, interface)], note=f"turn {turn}"),
                        t.rule("goes", GOES, PORT, [t.to_group(*self.GOES_TO)]) if even else
                        t.rule("comes", COMES, PORT, [t.to_group(*self.COMES_TO, "out1")])]
        return found if turn % 3 else list(reversed(found))

    def spoil(self, config, i):
        """An invalid file, another one each time. What the reason must name."""
        good = config.rules
        kind = (i // 5) % 5
        if kind == 0:
            config.write("version = 1;\nrules = (")
        elif kind == 1:
            config.rules = good + [t.rule("bad", "198.18.0.1", PORT, [t.to_group(OUT, 6000)])]
            config.write()
        elif kind == 2:
            config.rules = good + good[:1]
            config.write()
        elif kind == 3:
            os.unlink(config.file)
        else:
            os.chmod(config.file, 0o666)
        config.rules = good
        return ("syntax error", "not multicast|multicast", "name|twice|already", "No such file", "mode is 0666")[kind]


def turns(d, four, first_held):
    """The reloads, each at its time. Returns [(turn, begin, end)]: from when until when, in ns, the rules of this turn
    were in force for certain; and what the records say."""
    log, periods, records, turn = r.Log(d), [], [], 0
    begun, start = time.time_ns(), time.monotonic()
    digest = r.sha256_of(d.config.file)
    for i in range(1, RELOADS + 1):
        time.sleep(max(0, start + i * SECONDS / RELOADS - time.monotonic()))
        # At both turns of the rules; the broker has long closed what is no longer used.
        if turn in (6, 7):
            first_held[turn % 2] = held(d)
        if i % 5 == 0:
            pattern = four.spoil(d.config, i)
            record = r.refused(d, pattern, log=log)
            d.config.write()
        else:
            d.config.rules = four.rules(turn + 1)
            d.config.write()
            ended = time.time_ns()
            record = r.accepted(d, log=log)
            periods.append((turn, begun, ended))
            begun, turn = time.time_ns(), turn + 1
            t.equal(record["sha256_before"], digest, f"reload {i}: the digest before")
            digest = r.sha256_of(d.config.file)
        t.equal(int(record["generation"]), turn + 1, f"reload {i}: generation")
        records.append(record)
    periods.append((turn, begun, time.time_ns()))
    return periods, records


def held(d):
    """What may not grow from reload to reload."""
    return {"descriptors": [len(r.descriptors(p)) for p in (d.process.pid, d.broker)],
            "mappings": [len(r.mappings(p)) for p in (d.process.pid, d.broker)],
            "memberships": r.joined(d.node), "kib": [r.resident_kib(p) for p in (d.process.pid, d.broker)]}


def not_grown(d, before):
    """After RELOADS the same as after the first few, but for some KiB that the heap may have needed since."""
    def same():
        now = held(d)
        return all(now[k] == before[k] for k in ("descriptors", "mappings", "memberships")) and now

    try:
        now = t.wait_for(same, 2)
    except t.Failure:
        now = held(d)
        if not t.SANITIZED or any(now[k] != before[k] for k in ("descriptors", "memberships")):
            raise t.Failure(f"held after the first reloads: {before}; after the last: {now}") from None
    t.note(f"relay, broker after {RELOADS} reloads: {now['descriptors']} descriptors, {now['mappings']} mappings, "
           f"{before['kib']} -> {now['kib']} KiB resident")
    if not t.SANITIZED:
        for who, was, is_now in zip(("relay", "broker"), before["kib"], now["kib"]):
            t.check(is_now - was <= 256, f"the {who} has grown from {was} to {is_now} KiB")


def check_presence(name, runs, periods, present, grace_ns=100_000_000 if t.SANITIZED else 50_000_000):
    """A rule that comes and goes: datagrams without a gap while it is there, none while it is not."""
    there = [(a, b) for turn, a, b in periods if turn % 2 == present]
    away = [(a, b) for turn, a, b in periods if turn % 2 != present]
    for begin, end in away:
        late = [x for x in runs if x.overlaps(begin + grace_ns, end)]
        t.check(not late, f"{name}: {late} came while the rule was not there")
    for begin, end in there:
        if end - begin < 2 * grace_ns:
            continue  # a busy machine was late for one reload, and made the next at once
        t.check(any(x.first_ns < begin + grace_ns and x.last_ns > end - grace_ns for x in runs),
                f"{name}: not all the time while the rule was there, {begin}..{end}, but "
                f"{[x for x in runs if x.overlaps(begin, end)]}")
    # Never twice, never back; and one run for each time that it was there is: no loss while it was.
    t.check(all(a.last < b.first for a, b in zip(runs, runs[1:])), f"{name}: twice or reordered: {runs}")
    t.check(len(runs) <= len(there),
            f"{name}: lost while the rule was there: {len(runs)} pieces in {len(there)} turns: {runs}")


@t.test(f"four streams, together 50,000/s, {RELOADS} reloads in {SECONDS} s, each fifth file invalid", alone=True)
def four_streams():
    four, first_held = FourStreams(), {}
    (group_a, port_a, _), (group_b, port_b, _) = four.PLACES
    with t.star(inputs=1, outputs=2) as net, t.Mcrd(net.relay, four.rules(0)) as d:
        stays = t.Receiver(net.dst0, "d0", OUT, 6000, idle_ms=2000, seconds=SECONDS + 30, stream=1, first=0)
        left = r.Streams(net.dst0, (group_a, port_a, 2), (*four.GOES_TO, 3))
        right = r.Streams(net.dst1, (group_b, port_b, 2), (*four.COMES_TO, 4))
        leaks = [r.Leaks(net.dst0, [(OUT, 6000), (group_a, port_a), four.GOES_TO]),
                 r.Leaks(net.dst1, [(group_b, port_b), four.COMES_TO])]
        sending = [r.Sending(net.src0, g, PORT, i + 1, r.rate(pps))
                   for i, (g, pps) in enumerate(zip(GROUPS, (20000, 10000, 10000, 10000)))]
        periods, records = turns(d, four, first_held)
        not_grown(d, first_held[periods[-1][0] % 2])
        sent = [s.finish() for s in sending]
        report = stays.report()
        at = {**r.wait_quiet(left), **right.finish()}
        for leak in leaks:
            leak.none()

        wanted = {"received": sent[0], "lost": 0, "duplicates": 0, "reordered": 0, "corrupt": 0, "foreign": 0,
                  "socket_drops": 0}
        t.equal({k: report[k] for k in wanted}, wanted, "the stream whose rule never changes")
        places = [at[group_a, port_a], at[group_b, port_b]]
        r.exactly_once("the stream whose rule changes its output", places[0] + places[1], sent[1], len(periods))
        for turn, begin, end in periods:
            late = [x for x in places[1 - turn % 2] if x.overlaps(begin + 50_000_000, end)]
            t.check(not late, f"turn {turn}: {late} came at the output of the turn before")
        check_presence("the rule that goes", at[four.GOES_TO], periods, 0)
        check_presence("the rule that comes", at[four.COMES_TO], periods, 1)

        # The daemon's own account: counters go on by name, and end with a rule.
        s = t.wait_for(lambda: (s := d.stats())["rules"] and s, 5)
        counted = {x["name"]: x for x in s["rules"]}
        t.equal([counted[n]["packets"] for n in ("stays", "switches")], sent[:2], "packets of the rules that stayed")
        t.equal([counted["stays"]["outputs"][0]["packets"], sum(counted["stays"]["drops"].values())], [sent[0], 0],
                "the rule that never changes: sent, dropped")
        t.equal(sum(i["ring_drops"] for i in s["interfaces"]), 0, "ring_drops")
        good = [x for x in records if x["result"] == "accepted"]
        t.equal((len(good), len(records)), (RELOADS - RELOADS // 5, RELOADS), "accepted and all records")
        t.equal({x["ring_drops"] for x in good}, {"0"}, "the receipts' ring_drops")
        took = sorted(float(x["took_ms"]) for x in good)
        t.note(f"{sum(sent)} datagrams in {SECONDS} s; a reload took {took[0]:.1f} to {took[-1]:.1f} ms, median "
               f"{statistics.median(took):.1f}; longest gap of the first stream {report['gap_max_ms']:.1f} ms, latency "
               f"p50 {report['latency_us']['p50']:.0f} us, max {report['latency_us']['max']:.0f} us")


@t.test("ring_mib changed during a stream: no datagram twice, next to none lost; disturbs only that interface")
def ring_size():
    rules = RULE + [t.rule("elsewhere", STAYS, PORT, [t.to_group(OUT, 6001)], "in1")]
    with t.star(inputs=2, outputs=1) as net, t.Mcrd(net.relay, rules) as d:
        receiver = t.Receiver(net.dst0, "d0", OUT, 6000, idle_ms=1000, seconds=30, stream=1, first=0)
        sending = r.Sending(net.src0, STAYS, PORT, 1, r.rate(20000))
        log = r.Log(d)
        records = []
        for mib in (4, 32, 16, 1, 16):
            d.config.top["ring_mib"] = mib
            records.append(r.accepted(d, d.config.rules, log))
            time.sleep(0.1)
        sent = sending.finish()
        report = receiver.report()
        t.equal([report[k] for k in ("duplicates", "reordered", "corrupt", "foreign", "socket_drops")], [0] * 5,
                "duplicates, reordered, corrupt, foreign, socket_drops")
        t.note(f"5 changes of ring_mib: {report['lost']} of {sent} datagrams lost")
        # Less than 1 % here; on a machine that does other work meanwhile the relay may be kept waiting between its look
        # at the old ring and that at the new one.
        t.check(report["lost"] <= sent // 20, f"lost: {report['lost']} of {sent}")
        # What is lost is lost before the ring; the account stays exact.
        d.account({"stays": report["received"]})
        for x in records:
            t.check(int(x["received"]) < sent and int(x["ring_drops"]) < sent,
                    f"the receipt is {x['received']} received, {x['ring_drops']} ring_drops")


@t.test("an input interface comes and goes with its rules, both streaming: the other one's stream loses nothing", alone=True)
def ring_comes_and_goes():
    second = t.rule("second", SWITCHES, PORT, [t.to_group(OUT, 6001)], "in1")
    with t.star(inputs=2, outputs=1) as net, t.Mcrd(net.relay, RULE) as d:
        with r.undisturbed(net.src0, net.dst0, STAYS, PORT, OUT, 6000, pps=20000):
            sending, log = r.Sending(net.src1, SWITCHES, PORT, 2, r.rate(2000)), r.Log(d)
            for _ in range(20):
                capture = t.Capture(net.dst0, "d0")
                r.accepted(d, RULE + [second], log)
                t.wait_for(lambda c=capture: c.udp(OUT, 6001), 2, "the second stream")
                record = r.accepted(d, RULE, log)
                t.check(int(record["received"]) < 1 << 32, f"the receipt: received={record['received']}")
                t.wait_for(lambda: not t.memberships(net.relay, "in1"), 2, "the groups of the other one are left")
            sending.finish()


# --- what fails ------------------------------------------------------------------------------------------------------

# Of everything something: a ring, frames, connected sockets, more groups than one socket joins.
def more(n):
    return RULE + other_rules(n) + [
        t.rule("more-in", GOES, PORT, [t.to_group("239.255.3.1", 7000, "out1")], "in1"),
        t.rule("more-out", COMES, PORT, [t.to_host("198.18.20.1", 7000), t.to_host("198.18.21.1", 7000, "out1"),
                                         t.to_group("239.255.3.2", 7000, mode="socket")])]


MORE = more(45)


def nothing_changed(d, before, generation):
    s = d.stats()
    t.equal((s["generation"], [x["name"] for x in s["rules"]], s["broker"]), (generation, ["stays"], "alive"),
            "generation, rules, broker")
    r.same_holds(d, before)


def sweep(d, limits, pid, limit, rules=None):
    """MORE (or other rules) is loaded under one limit after the other. Each must be refused and leave nothing, until
    one passes."""
    before, generation, log, reasons = r.holds(d), d.stats()["generation"], r.Log(d), []
    d.config.rules = rules or MORE
    d.config.write()
    r.wait_config(d, "pending")
    r.wait_idle(d.broker)
    for value in limits:
        with r.limited(pid, limit, value):
            record = r.reload(d, log)
            # The probe that follows a refusal, too, is under this limit as a whole.
            r.wait_idle(d.broker)
        if record["result"] == "accepted":
            break
        reasons.append(record["reason"])
        t.check(re.search("Too many open files|Cannot allocate memory|out of memory|no memory|descriptor|No memory",
                          record["reason"], re.IGNORECASE), f"limit {value}: the reason is {record['reason']!r}")
        nothing_changed(d, before, generation)
    t.check(reasons, "no limit was in the way")
    if record["result"] != "accepted":
        r.accepted(d, log=log)
    t.equal(len(d.stats()["rules"]), len(d.config.rules), "rules")
    # And back: nothing of it stays.
    r.accepted(d, RULE, log)

    def summary(now):
        return {k: len(v) if k in ("relay", "broker") else v for k, v in now.items()}

    # The broker closes what has gone after it has been told that the relay has changed over.
    t.wait_for(lambda: summary(r.holds(d)) == summary(before), 2, "after RULE is back, as many descriptors (relay, "
               "broker), memberships, packet sockets and files as before")
    t.note(f"{len(reasons)} loads refused; reasons: " + "; ".join(sorted({re.sub("^/.*mcr.conf: ", "", x)
                                                                          for x in reasons})))


def with_stream(limit_test):
    """Runs limit_test(d, net) beside a stream that it may not disturb."""
    config = t.Config(RULE)
    # Not where the file lies: each line of the log would be news of that directory, and have the file probed.
    os.mkdir(os.path.join(config.directory, "log"))
    config.log = os.path.join(config.directory, "log", "mcrd.log")
    with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, config) as d:
        with r.undisturbed(net.src0, net.dst0, STAYS, PORT, OUT, 6000):
            limit_test(d, net)


@t.test("the broker runs out of descriptors, at any of them: refused, all as before, streams flow")
def broker_descriptors():
    def run(d, _):
        first = max(r.descriptors(d.broker)) + 1
        sweep(d, range(first, first + 40), d.broker, resource.RLIMIT_NOFILE)
    with_stream(run)


@t.test("the relay runs out of descriptors: refused, all as before, the broker stays, streams flow")
def relay_descriptors():
    def run(d, _):
        # Those of rings and memberships are far above the others: no room for them, then none for any.
        low = max(x for x in r.descriptors(d.process.pid) if x < 16384) + 1
        high = max(r.descriptors(d.process.pid)) + 1
        sweep(d, [*range(low, low + 6), high, high + 1], d.process.pid, resource.RLIMIT_NOFILE)
    with_stream(run)


@t.test("the broker runs out of memory: refused, all as before, streams flow")
def broker_memory():
    if t.SANITIZED:
        raise t.Skip("an address sanitizer needs all the address space")

    def run(d, _):
        size = r.virtual_bytes(d.broker)
        sweep(d, [size + (i << 19) for i in range(-1, 40)], d.broker, resource.RLIMIT_AS, more(2000))
    with_stream(run)


@t.test("the relay runs out of memory: refused, all as before, streams flow")
def relay_memory():
    if t.SANITIZED:
        raise t.Skip("an address sanitizer needs all the address space")

    def run(d, _):
        size = r.virtual_bytes(d.process.pid)
        # The table, its statistics and state, and the ring of 16 MiB.
        sweep(d, [size + i for i in (0, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 4 << 20, 15 << 20)], d.process.pid,
              resource.RLIMIT_AS, more(2000))
    with_stream(run)


@t.test("the broker is killed in the midst of a reload: streams flow, the reload is refused, and so are later ones")
def broker_killed():
    with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, RULE) as d:
        with r.undisturbed(net.src0, net.dst0, STAYS, PORT, OUT, 6000):
            log, before = r.Log(d), r.holds(d)
            d.config.rules = MORE
            d.config.write()
            os.kill(d.broker, signal.SIGSTOP)
            t.wait_for(lambda: t.process_status(d.broker)["State"].startswith("T"), 5, "the broker stops")
            d.signal(signal.SIGHUP)
            t.wait_for(lambda: log.events("reload_asked"), 5, "the signal is seen")
            os.kill(d.broker, signal.SIGKILL)
            record = t.wait_for(lambda: log.events("reload"), 5, "the record")[0]
            t.equal(record["result"], "refused", "the reload under way")
            t.check("broker" in record["reason"], record["reason"])
            d.broker_expected = False
            r.refused(d, "broker is gone: restart mcrd", log=log)
            s = d.stats()
            t.equal((s["broker"], s["generation"], len(s["rules"])), ("gone", 1, 1), "broker, generation, rules")
            t.equal(r.joined(d.node), before["memberships"], "memberships")
            t.check("restart" in s["config"]["last_error"], f"last_error is {s['config']['last_error']!r}")


@t.test("the broker is killed while it probes or looks at links: a reload that waits is refused, not forgotten")
def broker_killed_before():
    with t.star(inputs=2, outputs=2) as net:
        for what in ("probe", "links"):
            with t.Mcrd(net.relay, RULE) as d:
                log = r.Log(d)
                os.kill(d.broker, signal.SIGSTOP)
                t.wait_for(lambda d=d: t.process_status(d.broker)["State"].startswith("T"), 5, "the broker stops")
                if what == "probe":
                    d.config.write("rules = (")
                else:
                    net.relay.run("ip", "link", "set", "in0", "down")
                # The relay asks for it some time after the news, to fold several; there is no sign of it outside.
                time.sleep(0.3)
                for _ in range(2):
                    d.signal(signal.SIGHUP)
                    t.wait_for(lambda log=log: log.events("reload_asked"), 5, "the signal is seen")
                os.kill(d.broker, signal.SIGKILL)
                d.broker_expected = False
                record = t.wait_for(lambda log=log: log.events("reload"), 5, f"the record of a reload after {what}")[0]
                t.equal(record["result"], "refused", "the result")
                t.check("broker" in record["reason"], record["reason"])
                r.refused(d, "broker is gone", log=log)


def says_gone(d):
    """The broker may also be gone after the take-over and before its statistics have replaced the old ones."""
    _, out, err = t.run_command([t.MCRSTAT, "--json", "--stats", d.config.stats_file], check_status=False)
    return "was not replaced" in err or '"broker": "gone"' in out


@t.test("the broker is killed at any moment of a reload: streams flow, exit status 0 at the end")
def broker_killed_at_random():
    with t.star(inputs=2, outputs=2) as net:
        for ms in (0, 1, 2, 4, 8, 16):
            with t.Mcrd(net.relay, RULE) as d:
                with r.undisturbed(net.src0, net.dst0, STAYS, PORT, OUT, 6000):
                    log = r.Log(d)
                    d.config.rules = MORE
                    d.config.write()
                    d.signal(signal.SIGHUP)
                    time.sleep(ms / 1000)
                    os.kill(d.broker, signal.SIGKILL)
                    d.broker_expected = False
                    t.wait_for(lambda log=log: log.events("reload"), 5, "the record")
                    t.wait_for(lambda d=d: says_gone(d), 5, "mcrstat says that the broker is gone")
                    r.refused(d, "broker is gone", log=r.Log(d))  # there may be a record by each


@t.test("a file that cannot be read, has a wrong owner, names a missing interface under \"reject\": all as before")
def unreadable():
    def run(d, _):
        before, log = r.holds(d), r.Log(d)
        d.config.rules = MORE
        d.config.write()
        os.chmod(d.config.file, 0)
        record = r.refused(d, r"Permission denied; user \S+ cannot read it \(0000 \S+\): .*chmod", log=log)
        t.check("restart" not in record["reason"], record["reason"])
        nothing_changed(d, before, 1)
        if t.USER != "root":
            d.config.write()
            os.chown(d.config.file, 12345, 12345)
            r.refused(d, "own", log=log)
            nothing_changed(d, before, 1)
        d.config.top["missing_interface"] = "reject"
        d.config.rules = MORE + [t.rule("missing", "239.255.0.9", PORT, [t.to_group("239.255.3.9", 7000, "nowhere0")])]
        d.config.write()
        r.refused(d, '"nowhere0" does not exist', log=log)
        nothing_changed(d, before, 1)
        # The directory is no place for the statistics any more.
        run_directory = os.path.dirname(d.config.stats_file)
        d.config.rules = MORE
        d.config.write()
        os.chmod(run_directory, 0o555)
        try:
            r.refused(d, "Permission denied", log=log)
            nothing_changed(d, before, 1)
        finally:
            os.chmod(run_directory, 0o755)
        r.accepted(d, MORE, log)
    with_stream(run)


# --- much ------------------------------------------------------------------------------------------------------------


@t.test("10,000 rules: taken over beside a stream of 20,000/s, and left again", alone=True, released=True)
def ten_thousand():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        pids = {"relay": d.process.pid, "broker": d.broker}
        small = {k: r.resident_kib(p) for k, p in pids.items()}
        before, log = r.holds(d), r.Log(d)
        with r.undisturbed(net.src, net.dst, STAYS, PORT, OUT, 6000, pps=20000):
            many = r.accepted(d, RULE + other_rules(9999), log, 60)
            large = {k: r.resident_kib(p) for k, p in pids.items()}
            # Most of them stay: one is added, one goes, one is changed.
            rules = d.config.rules[:-1] + [t.rule("another", COMES, PORT, [t.to_group(OUT, 6001)])]
            rules[5000] = {**rules[5000], "note": "CHG0000002"}
            again = r.accepted(d, rules, log, 60)
            t.equal(len(d.stats()["rules"]), 10000, "rules")
            t.equal(len(t.memberships(net.relay, "in0")), 10000, "memberships")
            few = r.accepted(d, RULE, log, 60)
        t.equal([again["added"], again["removed"], again["changed"]], ["1", "1", "1"], "added, removed, changed")
        t.wait_for(lambda: t.memberships(net.relay, "in0") == {STAYS}, 5, "the other groups are left")
        t.equal(r.holds(d)["packet sockets"], before["packet sockets"], "packet sockets")
        t.note(f"9,999 rules added in {many['took_ms']} ms, three of 10,000 changed in {again['took_ms']} ms, 9,999 "
               f"removed in {few['took_ms']} ms; resident KiB, with 1 and with 10,000 rules: " + ", ".join(
                   f"{k} {small[k]} and {large[k]}" for k in pids))
        back = {k: r.resident_kib(p) for k, p in pids.items()}
        t.note(f"and back with 1 rule: {back}")


# --- signals ---------------------------------------------------------------------------------------------------------


@t.test("two SIGHUPs 1 ms apart: both are answered, by the file as it is then; nothing is lost", alone=True)
def two_signals():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        with r.undisturbed(net.src, net.dst, STAYS, PORT, OUT, 6000, pps=20000):
            log = r.Log(d)
            for i in range(20):
                d.config.rules = RULE + other_rules(40 + i)
                d.config.write()
                # While the broker still judged the file that has changed, both would be one load.
                r.wait_config(d, "pending", disk_sha256=r.sha256_of(d.config.file))
                d.signal(signal.SIGHUP)
                time.sleep(0.001)
                d.config.rules = RULE + other_rules(20 - i)
                d.config.write()
                d.signal(signal.SIGHUP)
                # What lay there at the last signal runs in the end, whatever became of the first one.
                r.wait_config(d, "current", sha256=r.sha256_of(d.config.file), disk_sha256=r.sha256_of(d.config.file))
                seen = []
                t.wait_for(lambda seen=seen: seen.extend(log.events("reload")) or len(seen) >= 2, 5, "two records")
                t.equal([x["result"] for x in seen], ["accepted"] * 2, f"the two records of pair {i}")
                t.equal(len(d.stats()["rules"]), 21 - i, "rules")


@t.test("SIGHUPs while the links of another rule flap: each is answered, nothing is lost, all is up in the end")
def flapping():
    rules = RULE + [t.rule("flaps", COMES, PORT, [t.to_group(OUT, 6001, "out1")], "in1")]
    with t.star(inputs=2, outputs=2) as net, t.Mcrd(net.relay, rules) as d:
        with r.undisturbed(net.src0, net.dst0, STAYS, PORT, OUT, 6000, pps=20000):
            log = r.Log(d)
            for i in range(30):
                net.relay.run("ip", "link", "set", "in1" if i % 3 else "out1", "up" if i % 2 else "down")
                r.accepted(d, rules + other_rules(i % 4), log)
            for interface in ("in1", "out1"):
                net.relay.run("ip", "link", "set", interface, "up")
            r.wait_state(d, {"stays": "active", "flaps": "active"},
                         {x: "up" for x in ("in0", "in1", "out0", "out1")}, 3)
            capture = t.Capture(net.dst1, "d0")
            t.RawSender(net.src1, "s0").send(t.datagram(COMES, PORT, b"after all"))
            capture.wait_payload(b"after all", 2)


@t.test("SIGTERM in the midst of a reload, at any moment: exit status 0, nothing is left")
def terminated():
    with t.line() as net:
        for ms in (0, 1, 3, 10, 30, 100, 200):
            with t.Mcrd(net.relay, RULE) as d:
                d.config.rules = RULE + other_rules(3000)
                d.config.write()
                d.signal(signal.SIGHUP)
                time.sleep(ms / 1000)
                # stop() asserts exit status, and the end of both processes, after a look at their rights.
            t.equal(net.relay.read_proc("packet").splitlines()[1:], [], "packet sockets")
            t.joined(net.relay, "in0", set())
            left = set(os.listdir(os.path.dirname(d.config.stats_file)))
            t.check(left <= {"stats", "stats.lock", "running.conf"}, f"SIGTERM after {ms} ms: files left: {sorted(left)}")


@t.test("SIGTERM while the broker does not answer: exit status 0 all the same, and it ends as soon as it runs")
def terminated_stuck():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        d.config.rules = MORE[:20]
        d.config.write()
        os.kill(d.broker, signal.SIGSTOP)
        t.wait_for(lambda: t.process_status(d.broker)["State"].startswith("T"), 5, "the broker stops")
        d.signal(signal.SIGHUP)
        d.signal(signal.SIGTERM)
        t.equal(t.end_process(d.process, 10), 0, "exit status")
        os.kill(d.broker, signal.SIGCONT)
        t.wait_for(lambda: t.process_status(d.broker) is None, 5, "the broker's end")
        d.stop = lambda: None


# --- counters --------------------------------------------------------------------------------------------------------


@t.test("counters: kept by name by rules that stay or change, whatever their place in the file; new ones begin at 0")
def counters():
    first, second = (t.rule(n, g, PORT, [t.to_group(OUT, 6000 + i)]) for i, (n, g) in enumerate(
        (("first", STAYS), ("second", SWITCHES))))
    with t.line() as net, t.Mcrd(net.relay, [first, second]) as d:
        sender, log = t.RawSender(net.src, "s0"), r.Log(d)

        def counted(**wanted):
            """Packets of a rule and of each of its outputs; one that was added later has less."""
            def found():
                return {x["name"]: [x["packets"], *(o["packets"] for o in x["outputs"])] for x in d.stats()["rules"]}
            t.wait_for(lambda: found() == wanted, 5, f"{wanted} counted, not {found()}")

        to = {g: t.datagram(g, PORT, b"counted") for g in (STAYS, SWITCHES, COMES)}
        sender.send(*[to[STAYS]] * 3, *[to[SWITCHES]] * 5)
        d.account({"first": 3, "second": 5})
        # Places are exchanged, the second one gets another output beside its own, and another input.
        second["outputs"].insert(0, t.to_group(OUT, 6005))
        second["input"]["group"] = COMES
        second["max_payload"] = 100
        r.accepted(d, [second, first], log)
        sender.send(to[STAYS], *[to[COMES]] * 2)
        counted(first=[4, 4], second=[7, 2, 7])
        # A rule is its name: under another one it begins anew, and so does one that comes again.
        third = {**first, "name": "third"}
        r.accepted(d, [second, third], log)
        counted(third=[0, 0], second=[7, 2, 7])
        r.accepted(d, [second, first], log)
        counted(first=[0, 0], second=[7, 2, 7])
        # Refused ones change nothing; a rule that is switched off keeps its own.
        d.config.write("version = 1;\nrules = (")
        r.refused(d, "syntax error", log=log)
        r.accepted(d, [{**second, "enabled": False}, first], log)
        s = d.stats()
        t.equal([(x["name"], x["packets"], x["state"]) for x in s["rules"]],
                [("second", 7, "disabled"), ("first", 0, "active")], "rules")
        r.accepted(d, [second, first], log)
        sender.send(to[COMES])
        counted(first=[0, 0], second=[8, 3, 8])


@t.test("a limit that stays keeps its bucket: reloads are no way around it")
def bucket():
    rules = [t.rule("stays", STAYS, PORT, [t.to_group(OUT, 6000)], limit={"packets_per_second": 100, "burst_ms": 100})]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        log, start, sent = r.Log(d), time.monotonic(), 0
        sender, burst = t.RawSender(net.src, "s0"), [t.datagram(STAYS, PORT, b"one of many")] * 50
        for _ in range(20):
            sender.send(*burst)
            sent += len(burst)
            r.accepted(d, rules, log)
        s = t.wait_for(lambda: (s := d.stats()["rules"][0])["packets"] == sent and s, 5, "all are counted")
        seconds = time.monotonic() - start
        passed = s["packets"] - s["drops"]["rate"]
        t.check(passed <= 10 + 100 * seconds + 1, f"{passed} passed in {seconds:.2f} s at 100/s")


# --- the record ------------------------------------------------------------------------------------------------------


@t.test("the record of each attempt: result, generation, digests, file, who asked, how long, what changed, the receipt")
def record():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        log, sender = r.Log(d), t.RawSender(net.src, "s0")
        before = r.sha256_of(d.config.file)
        rules = [{**RULE[0], "max_payload": 1000}] + other_rules(3)
        found = r.accepted(d, rules, log)
        status = os.stat(d.config.file)
        mtime = datetime.datetime.fromtimestamp(int(status.st_mtime), datetime.timezone.utc)
        uid = os.getuid()
        t.equal({k: found.get(k) for k in ("result", "generation", "file", "sha256", "sha256_before", "size", "owner",
                                           "mode", "mtime", "pid", "uid", "rules", "added", "removed", "changed",
                                           "level", "process")},
                {"result": "accepted", "generation": "2", "file": d.config.file, "sha256": r.sha256_of(d.config.file),
                 "sha256_before": before, "size": str(status.st_size), "owner": str(status.st_uid), "mode": "0644",
                 "mtime": mtime.strftime("%Y-%m-%dT%H:%M:%SZ"), "pid": str(os.getpid()), "uid": str(uid), "rules": "4",
                 "added": "3", "removed": "0", "changed": "1", "level": "notice", "process": "broker"}, "the record")
        t.check(0 < float(found["took_ms"]) < 5000, f"took_ms={found['took_ms']}")
        t.equal((found["ring_drops"], "received" in found), ("0", True), "the receipt")
        with open(f"/proc/{os.getpid()}/loginuid", encoding="ascii") as f:
            login = int(f.read())
        t.check(int(found["loginuid"]) in (-1, login) and (login != 0xffffffff or found["loginuid"] == "-1"),
                f"loginuid={found['loginuid']}, is {login}")
        # Who asked, when it is another process.
        _, out, _ = net.relay.run("sh", "-c", f"kill -HUP {d.process.pid} & echo $!; wait")
        again = t.wait_for(lambda: log.events("reload"), 5, "the record")[0]
        t.check(again["pid"] != str(os.getpid()), f"pid={again['pid']}, asked by a shell ({out})")
        t.equal([again[k] for k in ("generation", "added", "removed", "changed", "sha256", "sha256_before")],
                ["3", "0", "0", "0"] + [r.sha256_of(d.config.file)] * 2, "a reload of the same file")
        # One that is refused tells the same of the file, and the digest that stays in force.
        d.config.write("version = 1;\nrules = (\n")
        refused = r.refused(d, re.escape(d.config.file) + r":\d+: ", log=log)
        status = os.stat(d.config.file)
        t.equal({k: refused.get(k) for k in ("generation", "size", "owner", "mode", "pid", "sha256", "sha256_before")},
                {"generation": "3", "size": str(status.st_size), "owner": str(status.st_uid), "mode": "0644",
                 "pid": str(os.getpid()), "sha256": r.sha256_of(d.config.file), "sha256_before": again["sha256"]},
                "the record of a refusal")
        # The receipt: what came in between the last turn under the old table and the first under the new one.
        d.config.rules = rules
        d.config.write()
        os.kill(d.broker, signal.SIGSTOP)
        t.wait_for(lambda: t.process_status(d.broker)["State"].startswith("T"), 5, "the broker stops")
        d.signal(signal.SIGHUP)
        sender.send(*[t.datagram(STAYS, PORT, b"meanwhile")] * 7)
        d.account({"stays": 7})
        os.kill(d.broker, signal.SIGCONT)
        answer = t.wait_for(lambda: log.events("reload"), 5, "the record")[0]
        t.equal([answer[k] for k in ("result", "received", "ring_drops")], ["accepted", "0", "0"], "the receipt")


@t.test("each attempt leaves its record, also when many are refused within a second")
def every_record():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        log = r.Log(d)
        d.config.write("version = 1;\nrules = (")
        seen = []
        for i in range(30):
            d.signal(signal.SIGHUP)
            t.wait_for(lambda: seen.extend(log.events("reload")) or len(seen) > i, 3, f"the record of attempt {i + 1}")
        t.equal({x["result"] for x in seen}, {"refused"}, "results")


@t.test("one line for each rule that is added, removed or changed, with its note")
def rule_lines():
    events = ("rule_added", "rule_removed", "rule_changed")
    a, b, c = (t.rule(n, g, PORT, [t.to_group(OUT, 6000 + i)], note=note) for i, (n, g, note) in enumerate(
        (("a", STAYS, "CHG0000001"), ("b", SWITCHES, "CHG0000002 a \"quoted\" note"), ("c", GOES, "CHG0000003"))))
    with t.line() as net, t.Mcrd(net.relay, [a, b]) as d:
        log = r.Log(d)

        def lines(rules):
            seen = []
            r.accepted(d, rules)
            # The broker writes them after it has been told that the relay has taken the table over.
            t.wait_for(lambda: seen.extend(log.events(*events)) or len(seen) >= len(changed), 2, "a line for each rule")
            return sorted((x["event"], x["rule"], x["note"]) for x in seen)

        changed = [("rule_added", "c", "CHG0000003"), ("rule_changed", "a", "CHG0000009"),
                   ("rule_removed", "b", "CHG0000002 a \"quoted\" note")]
        t.equal(lines([{**a, "note": "CHG0000009", "max_payload": 1000}, c]), changed, "the lines")
        # A hundred at once: none is left out.
        changed = [("rule_added", f"other-{i}", "CHG0000005") for i in range(100)]
        t.equal(lines([{**a, "note": "CHG0000009", "max_payload": 1000}, c] + [
            {**x, "note": "CHG0000005"} for x in other_rules(100)]), sorted(changed), "the lines")
        # Nothing of a refused file.
        d.config.rules = [a, b, c, a]
        d.config.write()
        r.refused(d)
        t.equal(log.events(*events), [], "lines of a refused file")


if __name__ == "__main__":
    t.main()
