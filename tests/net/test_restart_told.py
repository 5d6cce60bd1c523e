#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a restart tells: the record of a refused file, the status line, and where nothing goes on, why."""
import os
import signal
import threading
import time

import mcrtest as t
import reloadtest as r

A, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
RULES = [t.rule("r", A, PORT, [t.to_group(OUT, OUT_PORT)])]
ENDS = {signal.SIGTERM: 0, signal.SIGKILL: -signal.SIGKILL}  # and mcrd's exit status


def status(manager):
    """The status line as the manager has it."""
    manager.listen()
    lines = [m["STATUS"] for m in manager.messages if "STATUS" in m]
    return lines[-1] if lines else ""


@t.test("SIGUSR2 where nothing keeps descriptors has no effect, and says so; the next start reads the file on disk")
def nothing_keeps():
    with t.line() as net, t.Mcrd(net.relay, RULES) as d:
        d.signal(signal.SIGUSR2)
        line = t.wait_for(lambda: d.logged("continued"), 5, "SIGUSR2")[0]
        t.check(line.startswith("level=warning") and "none: the next start reads the file on the disk" in line, line)
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES, most=0) as d:
        d.signal(signal.SIGUSR2)
        line = t.wait_for(lambda: d.logged("continued"), 5, "SIGUSR2")[0]
        t.check(line.startswith("level=warning"), line)


@t.test("a restart goes on with what ran: that the file on disk was refused is in the record, whatever is wrong with it")
def refusal():
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        text = open(d.config.file, encoding="ascii").read()

        def missing():
            os.unlink(d.config.file)

        for spoil, reason in ((missing, "No such file"), (lambda: d.config.write(text + "x = 1;"), '\\"x\\"'),
                              (lambda: d.config.write(text.replace("version = 1;", "version = ;")), "mcr.conf:1")):
            spoil()
            seen = len(d.logged("start"))
            t.check(d.restart(signal.SIGTERM, 0), "what ran goes on")
            lines = d.logged("start")[seen:]
            t.equal(len(lines), 1, f"records: {lines}")
            t.check("result=refused" in lines[0] and reason in lines[0], f"the record: {lines[0]}")
            t.check("text=kept" in d.logged("started")[-1], "the record of the start")
        d.config.write(text)
        seen = len(d.logged("start"))
        d.restart(signal.SIGTERM, 0)
        t.equal(len(d.logged("start")), seen, "a valid file is not refused")


@t.test("no input is there while mcrd is started anew, and there is no ring: counters and generation go on all the same, and that is told")
def no_input():
    for number in ENDS:
        with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
            t.send(net.src, "s0", A, PORT, count=50, rate=1000)
            t.wait_for(lambda: d.stats()["rules"][0]["packets"] == 50, 5, "the packets")
            net.relay.run("ip", "link", "del", "in0")
            t.wait_for(lambda: d.stats()["rules"][0]["state"] == "waiting", 5, "the link's end")
            manager.wait_names("ring", 0)
            for generation in 2, 3:
                line = d.restart(number, ENDS[number])
                t.check(line and " rings=0 " in line, f"the line: {line}")
                stats = d.stats()
                t.equal((stats["generation"], stats["rules"][0]["packets"], stats["continued"]["rings"]), (generation, 50, 0),
                        "generation, packets, continued.rings")


@t.test("LISTEN_PID of another process: what was kept is not taken over, and that is told")
def another_process():
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        manager.wait_names("ring", 1)
        d.before = ["env", "LISTEN_PID=1"]
        t.check(not d.logged("continued"), "the first start has nothing to tell")
        line = d.restart(signal.SIGTERM, 0)
        t.check(line.startswith("level=warning") and "LISTEN_PID is 1, and this is " in line and
                "not taken over" in line, f"the line: {line}")


@t.test("the status line says within a second what lies on disk, after each restart")
def status_line():
    said = {"pending": "a changed file is PENDING", "invalid": "the file on disk is INVALID", "current": "file is current"}
    with t.line() as net, t.Manager() as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        first = open(d.config.file, encoding="ascii").read()
        for number, text, state in ((signal.SIGKILL, first.replace('"r"', '"other"'), "pending"),
                                    (signal.SIGKILL, first + "x = 1;", "invalid"),
                                    (signal.SIGTERM, first + "x = 1;", "invalid"),
                                    (signal.SIGTERM, first, "current")) * 2:
            manager.wait_names("ring", 1)
            d.config.write(text)
            d.restart(number, ENDS[number])
            t.wait_for(lambda: d.stats()["config"]["state"] == state, 5, state)
            t.wait_for(lambda: said[state] in status(manager), 1, f"{state}: {status(manager)}")


@t.test("a manager whose queue is full: the status line is sent once there is room, though nothing else changes")
def status_lost():
    with t.line() as net, t.Manager(room=1) as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        t.wait_for(lambda: "file is current" in status(manager), 5, "the status line")
        # Nobody reads: what the relay tells of the file has no room behind what fills the queue.
        text = open(d.config.file, encoding="ascii").read()
        for n in range(3):
            d.config.write(text.replace('"r"', f'"other{n}"'))
            t.wait_for(lambda n=n: len(d.logged("file")) == n + 1, 5, "event=file")
        d.config.write(text + "x = 1;")
        t.wait_for(lambda: d.stats()["config"]["state"] == "invalid", 5, "invalid")
        time.sleep(0.5)  # no event: the relay has nothing to send any more
        t.wait_for(lambda: "the file on disk is INVALID" in status(manager), 1, f"the status line: {status(manager)}")


@t.test("a file that a restart puts in force: the record has the digest before and the counts, and each rule one, as of a reload; "
        "nothing of the kind where what ran goes on")
def changed_rules():
    def rule(name, group, **keys):
        return t.rule(name, group, PORT, [t.to_group(OUT, OUT_PORT, **keys)])

    with t.line() as net, t.Manager() as manager, \
            t.KeptMcrd(manager, net.relay, [rule("same", "239.255.0.1"), rule("gone", "239.255.0.2"),
                                            rule("other", "239.255.0.3")]) as d:
        first = r.fields(d.logged("started")[-1])
        t.equal((first["sha256_before"], "added" in first), ("none", False), "the first start")
        d.config.rules = [rule("same", "239.255.0.1"), rule("other", "239.255.0.3", ttl=9), rule("new", "239.255.0.4")]
        d.config.write()
        d.restart(signal.SIGKILL, -signal.SIGKILL)
        t.equal(d.logged("rule_added"), [], "what ran goes on")
        for again in range(2):
            d.restart(signal.SIGTERM, 0)
            line = r.fields(d.logged("started")[-1])
            t.equal((line["sha256_before"], line.get("added"), line.get("removed"), line.get("changed")),
                    (line["sha256"], None, None, None) if again else (first["sha256"], "1", "1", "1"), f"the record, {again}")
            for event, name in ("added", "new"), ("removed", "gone"), ("changed", "other"):
                lines = t.wait_for(lambda event=event: d.logged(f"rule_{event}"), 5, f"rule_{event}")
                t.equal([r.fields(x)["rule"] for x in lines], [name], event)


@t.test("a manager with little room and a restart at once: the rest is told before the broker ends, or that it is not")
def told_at_the_end():
    with t.line() as net, t.Manager(room=1) as manager, t.KeptMcrd(manager, net.relay, RULES) as d:
        for generation in 2, 3:
            reader = threading.Thread(target=lambda: [manager.listen() and time.sleep(0.01) for _ in range(100)])
            reader.start()
            t.check("rings=1" in (line := d.restart(signal.SIGTERM, 0)), line)
            reader.join()
            t.equal(d.stats()["generation"], generation, "generation")
        t.check(not [x for x in d.logged("notify") if "not taken" in x], "it was told")
        d.config.rules = [t.rule("other", A, PORT + 1, [t.to_group(OUT, OUT_PORT)])]
        d.config.write()
        d.reload()
    line = t.wait_for(lambda: [x for x in d.logged("notify") if "has not taken all descriptors" in x], 5, "the warning")[0]
    t.check(line.startswith("level=warning"), line)


if __name__ == "__main__":
    t.main()
