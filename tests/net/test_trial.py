#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A file on trial: it is confirmed, or what ran before runs again, and what is in both files loses nothing."""
import os
import signal
import time

import mcrtest as t
import reloadtest as r

PORT, OUT_PORT = 5000, 6000
STAYS, GOES, COMES = "239.255.0.1", "239.255.0.2", "239.255.0.3"
OUT = {STAYS: "239.255.1.1", GOES: "239.255.1.2", COMES: "239.255.1.3"}
NAMES = {STAYS: "stays", GOES: "goes", COMES: "comes"}
LATE = 1.5 * t.SLOWNESS  # s, behind the end of a trial


def rule(group, **keys):
    return t.rule(NAMES[group], group, PORT, [t.to_group(OUT[group], OUT_PORT)], **keys)


BEFORE, AFTER = [rule(STAYS), rule(GOES)], [rule(STAYS), rule(COMES)]


def write(d, rules, **top):
    """The next file: with trial=..., on trial."""
    d.config.rules, d.config.top = rules, {**{k: v for k, v in d.config.top.items() if k != "trial"}, **top}
    d.config.write()


def try_out(d, rules, seconds, **keys):
    """Reloads a file that is on trial for so long; the fields of the record."""
    write(d, rules, trial={"seconds": seconds, **keys})
    record = r.reload(d)
    t.equal((record["result"], record.get("trial_s")), ("accepted", str(seconds)), "the record of a trial")
    return record


def confirm(d):
    """mcrd --confirm; (exit status, what it said)."""
    status, out, err = t.run_command([t.MCRD, "--confirm", "--config", d.config.file], check_status=False)
    return status, out + err


def state(d):
    return d.stats()["config"]["state"]


def wait_state(d, wanted, seconds):
    t.wait_for(lambda: state(d) == wanted, seconds, f"config.state {wanted}, not {state(d)}")


def rule_of(d, name):
    return next(x for x in d.stats()["rules"] if x["name"] == name)


def fields_of(d, event):
    return [r.fields(x) for x in d.logged(event)]


def check(d):
    return t.run_command([t.MCRSTAT, "--check", "--stats", d.config.stats_file], check_status=False)[1]


@t.test("confirmed: it stays; its record says by whom; a start is never on trial, nor is a file that runs already")
def confirmed():
    with t.line() as net, t.Mcrd(net.relay, BEFORE, trial={"seconds": 600}) as d:
        t.equal(state(d), "current", "state of a start")
        status, said = confirm(d)
        t.check(status == 1 and "nothing is on trial" in said, f"--confirm without a trial: {status} {said}")
        r.reload(d)
        t.equal(state(d), "current", "state of a reload of the same file")
        write(d, AFTER, trial={"seconds": 2})
        status, out, err = t.run_command([t.MCRD, "--reload", "--config", d.config.file], check_status=False)
        t.check(status == 0 and "on trial for 2 s" in out, f"--reload: {status} {out} {err}")
        config = d.stats()["config"]
        t.check(config["state"] == "trial" and 0 < config["trial_remaining_s"] <= 2, f"{config}")
        trial = config["sha256"]
        said = check(d)
        sound = "MCR OK - " if t.SANDBOX == "enforce" else "MCR WARNING - the sandbox is not in force, "
        t.check(said.startswith(f"{sound}on trial for another 00:00:0"), said)
        receiver = t.Receiver(net.dst, "d0", OUT[COMES], OUT_PORT, expect=100)
        t.send(net.src, "s0", COMES, PORT, count=100, rate=1000)
        receiver.all_came()
        status, said = confirm(d)
        t.check(status == 0 and said.startswith("confirmed: generation ") and trial in said, f"{status} {said}")
        config = d.stats()["config"]
        t.equal((config["state"], config["trial_remaining_s"], config["sha256"]), ("current", None, trial), "confirmed")
        (record,) = fields_of(d, "confirmed")
        t.equal((record["sha256"], record["uid"]), (trial, "0"), "who confirmed what")
        t.check(int(record["pid"]) > 0, "the pid of who confirmed")
        time.sleep(2 + LATE)
        t.equal((state(d), d.logged("returned")), ("current", []), "behind the time of the trial")
        status, said = confirm(d)
        t.equal(status, 1, "a second --confirm")


@t.test("not confirmed: what ran before runs again; its rule counts on, and nothing that came meanwhile is sent later")
def returned():
    with t.line() as net, t.Mcrd(net.relay, BEFORE) as d:
        before = d.stats()["config"]
        t.send(net.src, "s0", GOES, PORT, count=50, rate=1000)
        t.wait_for(lambda: rule_of(d, "goes")["packets"] == 50, 5, "the rule that goes")
        watch = t.Receiver(net.dst, "d0", OUT[STAYS], OUT_PORT, idle_ms=2000, seconds=60)
        source = t.start_sending(net.src, "s0", STAYS, PORT, seconds=60, rate=2000)
        late = t.Receiver(net.dst, "d0", OUT[GOES], OUT_PORT, idle_ms=3000, seconds=60)
        seconds = int(2 * t.SLOWNESS)
        record = try_out(d, AFTER, seconds)
        t.send(net.src, "s0", GOES, PORT, count=50, rate=1000)  # nobody takes these
        write(d, BEFORE + [rule(COMES)])
        refused = r.reload(d)
        t.check(refused["result"] == "refused" and "is on trial" in refused["reason"], f"a second reload: {refused}")
        _, out, _ = t.run_command([t.MCRD, "--diff", "--config", d.config.file], check_status=False)
        t.check("a reload is refused: " in out and "a file is on trial" in out, f"--diff in a trial: {out}")
        write(d, BEFORE)
        _, out, _ = t.run_command([t.MCRD, "--diff", "--config", d.config.file], check_status=False)
        t.check("is refused" not in out, f"--diff of the file before: {out}")
        wait_state(d, "trial", 1)
        write(d, AFTER, trial={"seconds": seconds})
        wait_state(d, "returned", seconds + LATE)
        config = d.stats()["config"]
        t.equal(config["sha256"], before["sha256"], "what runs")
        t.equal(config["returned"], f"it was not confirmed within {seconds} s", "why")
        (back,) = t.wait_for(lambda: fields_of(d, "returned"), 5, "the record")
        t.equal((back["sha256"], back["from_sha256"], back["from_generation"]),
                (before["sha256"], record["sha256"], record["generation"]), "the record of the return")
        t.equal({x["name"]: x["packets"] for x in d.stats()["rules"] if x["name"] != "stays"}, {"goes": 50}, "counted on")
        # The filter takes in no more than before.
        unmatched = d.stats()["interfaces"][0]["unmatched"]
        t.send(net.src, "s0", COMES, PORT, count=50, rate=1000)
        time.sleep(.3)
        t.equal(d.stats()["interfaces"][0]["unmatched"], unmatched, "what only the file on trial took in")
        t.send(net.src, "s0", GOES, PORT, count=50, rate=1000, stream=7)
        source.send_signal(signal.SIGINT)
        t.finish_sending(source)
        report = watch.report()
        t.equal((report["lost"], report["duplicates"], report["corrupt"]), (0, 0, 0), "of what is in both files")
        report = late.report()
        t.equal((report["received"] + report["foreign"] + report["unexpected"], report["corrupt"]), (50, 0),
                "what came in the trial is not sent later")
        status, said = confirm(d)
        t.check(status == 1 and "not confirmed within" in said, f"--confirm behind it: {status} {said}")
        t.equal(d.stats()["broker"], "alive", "broker")
        write(d, BEFORE)
        wait_state(d, "current", 5)


@t.test("20 trials go back and 20 are confirmed under 20,000/s: what is in both files loses nothing, nothing comes twice", alone=True)
def many():
    n = 6 if t.SANITIZED else 20
    with t.line() as net, t.Mcrd(net.relay, BEFORE, ring_mib=64) as d:
        receiver = t.Receiver(net.dst, "d0", OUT[STAYS], OUT_PORT, idle_ms=3000, seconds=150)
        source = t.start_sending(net.src, "s0", STAYS, PORT, seconds=140, rate=r.rate(20000), size=200)
        for i in range(n):
            try_out(d, AFTER + [rule(GOES, note=f"{i}")] if i % 2 else AFTER, 1)
            t.wait_for(lambda: len(d.logged("returned")) == i + 1, 2 + LATE, "a return")
        # What runs stays the same, so that each trial is another file than that.
        for i in range(n):
            try_out(d, BEFORE if i % 2 else AFTER, 600)
            t.equal(confirm(d)[0], 0, "--confirm")
        source.send_signal(signal.SIGINT)
        t.finish_sending(source)
        report = receiver.report()
        drops = d.stats()["interfaces"][0]["ring_drops"]
        t.equal((report["lost"], report["duplicates"], report["reordered"], report["corrupt"]),
                (drops + report["socket_drops"], 0, 0, 0), "lost, twice, reordered, corrupt")
        t.check(drops == 0, f"{drops} dropped by the ring")


@t.test("the broker is killed in a trial: the relay goes back by itself, and shows it")
def broker_killed():
    with t.line() as net, t.Mcrd(net.relay, BEFORE) as d:
        before = d.stats()["config"]["sha256"]
        seconds = int(2 * t.SLOWNESS)
        receiver = t.Receiver(net.dst, "d0", OUT[STAYS], OUT_PORT, idle_ms=2000, seconds=60)
        source = t.start_sending(net.src, "s0", STAYS, PORT, seconds=60, rate=2000)
        try_out(d, AFTER, seconds)
        wait_state(d, "trial", 5)
        record = d.stats()["config"]["audit"]
        t.check(record["n"] > 0, f"the record: {record}")
        d.broker_expected = False
        os.kill(d.broker, signal.SIGKILL)
        t.wait_for(lambda: d.logged("broker"), 5, "the news of the broker's end")
        status, said = confirm(d)
        t.check(status == 1 and "broker" in said, f"--confirm without a broker: {status} {said}")
        told = check(d)
        t.check("broker is gone: put the file before back (running.conf.back, else" in told, f"in the trial: {told}")
        t.wait_for(lambda: d.logged("returned"), seconds + LATE, "the return")
        told = check(d)
        t.check("broker is gone: put the file before back (running.conf.back, else" in told, f"behind it: {told}")
        t.equal(d.stats()["config"]["sha256"], before, "what runs")
        running = os.path.join(os.path.dirname(d.config.stats_file), "running.conf.back")
        t.equal(r.sha256_of(running), before, "the file that runs")
        status, out, err = t.run_command([t.MCRD, "--print", "--running", "--config", d.config.file], check_status=False)
        t.check(status == 0 and '"goes"' in out and not err, f"--print --running: {status} {out} {err}")
        t.equal(d.stats()["config"]["audit"], record, "the record, which nobody can make longer")
        t.equal({x["name"] for x in d.stats()["rules"]}, {"stays", "goes"}, "rules")
        late = t.Receiver(net.dst, "d0", OUT[GOES], OUT_PORT, expect=100)
        t.send(net.src, "s0", GOES, PORT, count=100, rate=1000)
        late.all_came()
        source.send_signal(signal.SIGINT)
        t.finish_sending(source)
        report = receiver.report()
        t.equal((report["lost"], report["duplicates"]), (0, 0), "of what is in both files")
    for what in ([t.MCRSTAT, "--check", "--stats", d.config.stats_file], [t.MCRD, "--reload", "--config", d.config.file]):
        _, out, err = t.run_command(what, check_status=False)
        t.check("no daemon: mcrd (pid" in out + err and "has ended" in out + err, f"{what[0]}: {out} {err}")


@t.test("return on silence: when a rule that relayed has nothing for silence_ms, or drops nearly all, within 100 ms")
def on_silence():
    quiet = 500 * t.SLOWNESS
    watched = rule(STAYS, silence_ms=int(quiet))
    with t.line() as net, t.Mcrd(net.relay, [watched, rule(GOES, silence_ms=int(quiet))]) as d:
        source = t.start_sending(net.src, "s0", STAYS, PORT, seconds=60, rate=1000)
        t.wait_for(lambda: rule_of(d, "stays")["packets"] > 200, 10, "the stream")
        t.wait_for(lambda: rule_of(d, "goes")["state"] == "silent", 10, "the rule that is silent before")
        wrong = {**watched, "input": {**watched["input"], "port": PORT + 1}}
        try_out(d, [wrong, rule(GOES, silence_ms=int(quiet))], 60, return_on_silence=True)
        began = time.monotonic()
        t.wait_for(lambda: d.logged("returned"), quiet / 1000 + 5, "the return")
        took = (time.monotonic() - began) * 1000
        t.check(took <= quiet + 100 + 150 * t.SLOWNESS, f"{took:.0f} ms behind the reload")
        t.check("rule stays fell silent" in d.logged("returned")[0], d.logged("returned")[0])
        # A rule that was silent before does not count, and one that goes on does not fall silent.
        try_out(d, [watched, rule(GOES, silence_ms=int(quiet), note="other")], int(3 * t.SLOWNESS), return_on_silence=True)
        time.sleep(2 * quiet / 1000)
        t.equal(state(d), "trial", "nothing has fallen silent")
        t.wait_for(lambda: len(d.logged("returned")) == 2, 3 * t.SLOWNESS + LATE, "its end")
        # All that comes is too large for it.
        try_out(d, [{**watched, "max_payload": 10}], int(30 * t.SLOWNESS), return_on_silence=True)
        t.wait_for(lambda: len(d.logged("returned")) == 3, 10 * t.SLOWNESS, "the return of a rule that drops all")
        t.check("rule stays drops nearly all" in d.logged("returned")[2], d.logged("returned")[2])
        source.send_signal(signal.SIGINT)
        t.finish_sending(source)


@t.test("links that change in a trial, another ring_mib, and a reload of the file before, which ends it")
def links():
    with t.line() as net, t.Mcrd(net.relay, BEFORE) as d:
        before = d.stats()["config"]["sha256"]
        seconds = int(6 * t.SLOWNESS)
        write(d, AFTER, trial={"seconds": seconds}, ring_mib=8)
        t.equal(r.reload(d)["result"], "accepted", "the trial")
        net.relay.run("ip", "link", "set", "out0", "down")
        t.wait_for(lambda: rule_of(d, "comes")["state"] == "down", 5, "the link's end")
        net.relay.run("ip", "link", "set", "out0", "up")
        t.wait_for(lambda: rule_of(d, "comes")["state"] == "active", 10, "the link's return")
        wait_state(d, "returned", seconds + LATE)
        t.equal(d.stats()["config"]["sha256"], before, "what runs")
        receiver = t.Receiver(net.dst, "d0", OUT[GOES], OUT_PORT, expect=100)
        t.send(net.src, "s0", GOES, PORT, count=100, rate=1000)
        receiver.all_came()
        write(d, AFTER, ring_mib=16, trial={"seconds": 600})
        t.equal(r.reload(d)["result"], "accepted", "the next trial")
        write(d, BEFORE)
        d.config.top.pop("ring_mib", None)
        d.config.write()
        record = r.reload(d)
        t.equal((record["result"], record["sha256"]), ("accepted", before), "the file before, again")
        t.equal((state(d), len(d.logged("returned"))), ("current", 1), "the trial has ended")


@t.test("a reload of the file before ends a trial as the return does: rules that only that file has count on, and no limit is told anew")
def ended_by_the_file_before():
    goes = rule(GOES, limit={"packets_per_second": 10})
    with t.line() as net, t.Mcrd(net.relay, [rule(STAYS), goes]) as d:
        t.send(net.src, "s0", GOES, PORT, count=50, rate=1000)
        counters = t.wait_for(lambda: (x := rule_of(d, "goes"))["packets"] == 50 and x, 5, "the rule that goes")
        t.check(counters["drops"]["rate"] > 0, "nothing was limited")
        try_out(d, AFTER, 600)
        write(d, [rule(STAYS), goes])
        told = len(d.logged("rule_limited"))
        t.equal((r.reload(d)["result"], state(d)), ("accepted", "current"), "the file before, again")
        time.sleep(.5)
        now = rule_of(d, "goes")
        for key in ("packets", "bytes", "drops", "outputs"):
            t.equal(now[key], counters[key], key)
        t.equal((now["state"], len(d.logged("rule_limited"))), ("active", told), "state, lines of the limit")
        t.send(net.src, "s0", GOES, PORT, count=50, rate=1000)
        t.wait_for(lambda: rule_of(d, "goes")["packets"] == 100, 5, "it counts on")


@t.test("an answer of the broker that comes behind the end of the trial puts nothing in force: news of links, a load, in any state")
def overtaken():
    for what in ("links", "load"):
        with t.line() as net, t.Mcrd(net.relay, BEFORE) as d:
            before = d.stats()["config"]["sha256"]
            try_out(d, AFTER, int(2 * t.SLOWNESS))
            wait_state(d, "trial", 5)
            os.kill(d.broker, signal.SIGSTOP)
            if what == "links":
                net.relay.run("ip", "link", "set", "out0", "down")
            else:
                write(d, BEFORE)
                d.signal(signal.SIGHUP)
            time.sleep(2 * t.SLOWNESS + 1)
            os.kill(d.broker, signal.SIGCONT)
            t.wait_for(lambda: d.logged("returned"), 5, "the record of the return")
            net.relay.run("ip", "link", "set", "out0", "up")
            t.wait_for(lambda: {x["name"] for x in d.stats()["rules"]} == {"stays", "goes"}, 5, f"the rules behind {what}")
            t.equal(d.stats()["config"]["sha256"], before, "what runs")
            t.wait_for(lambda: rule_of(d, "goes")["state"] == "active", 10, "the link is up again")
            receiver = t.Receiver(net.dst, "d0", OUT[GOES], OUT_PORT, expect=100)
            t.send(net.src, "s0", GOES, PORT, count=100, rate=1000)
            receiver.all_came()
            t.equal(d.stats()["broker"], "alive", "broker")


@t.test("a file that comes during a trial: reload_on_change takes it behind the return, and behind a confirmation, which names the other")
def third():
    with t.line() as net, t.Mcrd(net.relay, BEFORE, reload_on_change=True) as d:
        def put(rules, **top):
            write(d, rules, reload_on_change=True, **top)
            return r.sha256_of(d.config.file)

        for ends in ("returned", "confirmed"):
            tried = put(AFTER + [rule(GOES, note=ends)], trial={"seconds": int(4 * t.SLOWNESS)})
            wait_state(d, "trial", 5)
            other = put(BEFORE + [rule(COMES, note=ends)])
            time.sleep(.5)
            t.equal(d.stats()["config"]["sha256"], tried, "what runs in the trial")
            if ends == "confirmed":
                status, said = confirm(d)
                t.check(status == 0 and f"sha256 {tried}" in said, f"--confirm: {said}")
            t.wait_for(lambda: d.stats()["config"]["sha256"] == other, 4 * t.SLOWNESS + 5, f"the other file, behind {ends}")
            t.equal(len(d.logged(ends)), 1, ends)


def disk_as_told(d):
    """What mcrstat --check says of the disk, the metrics pending and invalid, and the state."""
    said = t.run_command([t.MCRSTAT, "--check", "--stats", d.config.stats_file], check_status=False)
    metrics = t.run_command([t.MCRSTAT, "--prometheus", "--stats", d.config.stats_file])[1].splitlines()
    values = tuple(next(x.split()[-1] for x in metrics if x.split("{")[0].split(" ")[0] == f"mcr_config_{name}")
                   for name in ("pending", "invalid"))
    word = next((w for w in ("pending", "invalid") if f"the file on disk is {w}: not what is on trial" in said[1]), None)
    t.equal(said[0], 0 if not word and t.SANDBOX == "enforce" else 1, f"status of {said}")
    return word, values, state(d)


@t.test("another file on the disk during a trial is told as ever; reload_on_change takes over the file before, which ends it")
def disk_in_a_trial():
    with t.line() as net, t.Mcrd(net.relay, BEFORE, reload_on_change=True) as d:
        before = d.stats()["config"]["sha256"]
        write(d, AFTER, reload_on_change=True, trial={"seconds": 600})
        wait_state(d, "trial", 5)
        t.equal(disk_as_told(d), (None, ("0", "0"), "trial"), "the file on trial lies on the disk")
        with open(d.config.file, "w", encoding="ascii") as f:
            f.write("version = 1; rules = (")
        t.wait_for(lambda: disk_as_told(d) == ("invalid", ("0", "1"), "trial"), 5, "an invalid file")
        (told,) = [x for x in d.logged("file") if "state=invalid" in x]
        t.check("level=warning" in told and d.config.file in r.fields(told).get("reason", ""), told)
        t.check(d.config.file in d.stats()["config"]["last_error"], "last_error")
        write(d, BEFORE + [rule(COMES)], reload_on_change=True)
        t.wait_for(lambda: disk_as_told(d) == ("pending", ("1", "0"), "trial"), 5, "another file")
        t.equal([x["state"] for x in fields_of(d, "file") if x["sha256"] == r.sha256_of(d.config.file)], ["pending"], "its lines")
        write(d, BEFORE, reload_on_change=True)
        wait_state(d, "current", 5)
        t.equal((d.stats()["config"]["sha256"], d.logged("returned"), d.stats()["config"]["returned"]), (before, [], None),
                "the file before ends the trial, which is no return")


@t.test("--confirm where the file cannot be read any more says so, and where it looked")
def unread():
    with t.line() as net, t.Mcrd(net.relay, BEFORE) as d:
        try_out(d, AFTER, 600)
        with open(d.config.file, "w", encoding="ascii") as f:
            f.write("version = 1; rules = (")
        status, said = confirm(d)
        t.check(status == 2 and d.config.file in said and "SIGRTMIN" in said, f"{status} {said}")
        os.unlink(d.config.file)
        status, said = confirm(d)
        t.check(status == 2 and "SIGRTMIN" in said and "No such file" in said, f"{status} {said}")
        other = os.path.join(d.config.directory, "other.conf")
        with open(other, "w", encoding="ascii") as f:
            f.write(f'version = 1; stats_file = "{d.config.stats_file}"; rules = ( 1 );')
        status, out, err = t.run_command([t.MCRD, "--confirm", "--config", other], check_status=False)
        t.check(status == 2 and f"{other}:1:" in err and f"runs {d.config.file}" in err, f"{status} {out} {err}")
        d.signal(signal.SIGRTMIN)
        wait_state(d, "invalid", 5)
        t.equal(len(d.logged("confirmed")), 1, "records")


@t.test("a restart, a kill, or the broker's end in a trial: what ran before goes on, nothing is lost, the file stays on the disk")
def restarts():
    ends = [("relay", signal.SIGTERM, 0), ("relay", signal.SIGKILL, -signal.SIGKILL), ("broker", signal.SIGKILL, 1)]
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, BEFORE) as d:
        before = d.stats()["config"]["sha256"]
        receiver = t.Receiver(net.dst, "d0", OUT[STAYS], OUT_PORT, idle_ms=3000, seconds=90)
        source = t.start_sending(net.src, "s0", STAYS, PORT, seconds=80, rate=2000)
        for i, (what, number, status) in enumerate(ends):
            tried = try_out(d, AFTER + [rule(GOES, note=str(i))] * (i % 2), 600)
            manager.listen()
            t.send(net.src, "s0", GOES, PORT, count=10)
            line = d.restart(number, status, what)
            t.check(line and "rings=1" in line, f"{what}: {line}")
            t.equal(d.stats()["config"]["sha256"], before, f"what runs behind {what}'s end")
            wait_state(d, "returned", 5)
            back = fields_of(d, "returned")
            t.equal(len(back), i + 1, "records of a return")
            t.equal((back[-1]["sha256"], back[-1]["from_sha256"], back[-1]["from_generation"], "n" in back[-1]),
                    (before, tried["sha256"], tried["generation"], True), "the record of the return")
            t.equal({x["name"] for x in d.stats()["rules"]}, {"stays", "goes"}, "rules")
        # What has returned is not what the next start begins with, however that comes about.
        d.restart(signal.SIGTERM, 0)
        t.equal(d.stats()["config"]["sha256"], before, "what runs behind another restart")
        wait_state(d, "returned", 5)
        t.equal(d.stats()["config"]["returned"], "mcrd was started anew, and a start is never on trial", "why")
        t.equal(len(fields_of(d, "returned")), len(ends), "records of a return, behind a restart that ended none")
        source.send_signal(signal.SIGINT)
        t.finish_sending(source)
        report = receiver.report()
        t.equal((report["lost"], report["corrupt"]), (0, 0), "of what is in both files")
        t.check(report["duplicates"] <= 2 * 256, f"{report['duplicates']} came twice")
        # Another file is read by a restart at once.
        write(d, BEFORE + [rule(COMES)])
        d.restart(signal.SIGTERM, 0)
        config = d.stats()["config"]
        t.equal((config["sha256"], config["state"], config["returned"]), (r.sha256_of(d.config.file), "current", None), "another file")
        # A file that names nobody leaves what ran.
        write(d, BEFORE, user="nobody-at-all")
        d.restart(signal.SIGTERM, 0)
        t.equal(d.stats()["config"]["sha256"], config["sha256"], "what runs behind a file that names nobody")
        write(d, BEFORE + [rule(COMES)], user=t.USER)


@t.test("a relay that does not go back in time: the broker closes what the trial has opened; woken, it goes back")
def relay_late():
    with t.line() as net, t.Mcrd(net.relay, BEFORE) as d:
        before = d.stats()["config"]["sha256"]
        try_out(d, AFTER, 1)
        d.signal(signal.SIGSTOP)
        t.wait_for(lambda: any("has not gone back" in x for x in d.logged("returned")), 10, "the broker's answer")
        filters = len(d.logged("returned"))
        d.signal(signal.SIGCONT)
        t.wait_for(lambda: len(d.logged("returned")) > filters, 5, "the return")
        t.equal(d.stats()["config"]["sha256"], before, "what runs")
        receiver = t.Receiver(net.dst, "d0", OUT[GOES], OUT_PORT, expect=100)
        t.send(net.src, "s0", GOES, PORT, count=100, rate=1000)
        receiver.all_came()
        t.equal(r.reload(d)["result"], "accepted", "the next reload")
        t.equal(confirm(d)[0], 0, "--confirm")
        t.equal(d.logged("links"), [], "news of links that were refused")


if __name__ == "__main__":
    t.main()
