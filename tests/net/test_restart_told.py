#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a restart tells: the record of a refused file, the status line, and where nothing goes on, why."""
import os
import signal
import time

import mcrtest as t

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


if __name__ == "__main__":
    t.main()
