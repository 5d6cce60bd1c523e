#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What mcrd tells beside its statistics: in the log, and to systemd."""
import contextlib
import os
import re
import signal
import socket
import time

import mcrtest as t
import reloadtest as r

IN, OUT, PORT, OUT_PORT = "239.255.0.1", "239.255.1.1", 5000, 6000
RULE = [t.rule("r", IN, PORT, [t.to_group(OUT, OUT_PORT)])]


def passes(net):
    """Whether the rule r lets a datagram through now."""
    capture = t.Capture(net.dst, "d0")
    t.RawSender(net.src, "s0").send(t.datagram(IN, PORT, b"it runs"))
    capture.wait_payload(b"it runs")


def told_path(d, event, key, path, seconds=5):
    """The last line of this event names this path, whatever is in it."""
    line = t.wait_for(lambda: d.logged(event), seconds, f"event={event}")[-1]
    t.equal(r.fields(line).get(key), path, f"{key} in {line!r}")


@t.test("paths with blanks and quotes: in the log each is one field, which says all of it")
def paths_in_log():
    name = 'a "b" event=c'
    with t.line() as net:
        c = t.Config(RULE)
        run, etc = os.path.join(c.directory, "run " + name), os.path.join(c.directory, "etc " + name)
        c.stats_file = c.top["stats_file"] = os.path.join(run, "stats " + name)
        os.makedirs(c.stats_file)
        c.write()
        refused = t.Mcrd(net.relay, c)
        t.equal(refused.run_to_end()[0], 1, "exit status")
        told_path(refused, "start", "stats_file", c.stats_file)
        os.rmdir(c.stats_file)
        os.rmdir(run)
        # A directory that may be gone through and not read cannot be watched.
        os.mkdir(etc)
        c.file = os.path.join(etc, "mcr.conf")
        c.write()
        os.chmod(etc, 0o111)
        with t.Mcrd(net.relay, c) as d:
            told_path(d, "watch", "directory", etc)
            passes(net)
            # The new statistics cannot be put in the place of a directory; what runs, runs.
            os.unlink(c.stats_file)
            os.mkdir(c.stats_file)
            t.check("result=accepted" in (answer := d.reload()), answer)
            told_path(d, "statistics", "file", c.stats_file)
            os.rmdir(c.stats_file)
            t.check("result=accepted" in (answer := d.reload()), answer)
            passes(net)


@t.test("the start in the log: pid is the daemon's, by_pid who started it, and what is no digest is none")
def start_in_log():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        started = r.fields(d.logged("started")[0])
        t.equal((started["pid"], started["sha256_before"]), (str(d.process.pid), "none"), "pid and the digest before")
        with open(f"/proc/{d.process.pid}/stat", encoding="ascii") as f:
            parent = f.read().rpartition(") ")[2].split()[1]
        t.equal((started["by_pid"], started["uid"]), (parent, str(os.getuid())), "who started it")
        os.unlink(d.config.file)
        refused = r.refused(d, "No such file")
        t.equal(refused["sha256"], "none", "the digest of no file")
        t.check("by_pid" not in refused and refused["pid"] == str(os.getpid()), f"who asked: {refused}")


@t.test("another instance after a reload: in each line of both processes from then on; a refused file changes nothing")
def instance_in_log():
    def instances(event):
        return [(x["process"], x["instance"]) for x in log.events(event)]

    def note(text):
        return [{**RULE[0], "note": text}]

    with t.line() as net, t.Mcrd(net.relay, RULE, instance="one") as d:
        log = r.Log(d)
        for i, instance in enumerate(("one", "two", "three")):
            d.config.top["instance"] = instance
            r.accepted(d, note(f"{i}"))
            # The broker's, which come after the relay's record.
            t.wait_for(lambda i=i: len(d.logged("rule_changed")) == i + 1, 5, "event=rule_changed")
            t.equal(instances("rule_changed"), [("broker", instance)], "the broker's lines")
            t.equal(r.fields(d.logged("reload")[-1])["instance"], instance, "instance of the relay's record")
        d.config.top["instance"] = "refused"
        d.config.top["missing_interface"] = "reject"
        d.config.rules = note("4") + [t.rule("m", "239.255.0.2", PORT, [t.to_group(OUT, OUT_PORT)], "nowhere0")]
        d.config.write()
        r.refused(d, "nowhere0")
        # What the broker says then without another file: of a link.
        net.relay.run("ip", "address", "flush", "dev", "out0")
        t.wait_for(lambda: d.logged("output_waiting"), 5, "event=output_waiting")
        t.equal(instances("output_waiting"), [("broker", "three")], "the broker's lines after a refusal")


class Piped(t.PipedLog, t.Mcrd):
    pass


@t.test("nobody reads the log: a refused file, with its errors, is told in the statistics; datagrams pass, and the next file is taken")
def log_that_nobody_reads():
    with t.line() as net, Piped(net.relay, RULE) as d:
        good, d.config.rules = d.config.rules, [{"name": f"r{i}", "nonsense": i} for i in range(20)]
        d.stop_log()
        d.config.write()
        d.signal(signal.SIGHUP)
        t.wait_for(lambda: "nonsense" in (d.stats()["config"]["last_error"] or "") or None, 5, "the refusal")
        passes(net)
        d.config.rules = [{**good[0], "note": "another"}]
        d.config.write()
        t.run_command([t.MCRD, "--reload", "--config", d.config.file])
        t.equal(d.stats()["generation"], 2, "generation")
        d.start_log()


@t.test("an output whose datagrams the kernel refuses: named once, and once more when it works again")
def failing_output():
    with t.line() as net, t.Mcrd(net.relay, RULE) as d:
        sender = t.RawSender(net.src, "s0")

        def send_until(condition, seconds, what):
            def sent():
                sender.send(t.datagram(IN, PORT, b"x"))
                return condition()
            return t.wait_for(sent, seconds, what)

        net.relay.run("ip", "link", "set", "out0", "down")
        failed = r.fields(send_until(lambda: d.logged("send_failed"), 5, "event=send_failed")[0])
        t.equal([failed[k] for k in ("rule", "interface", "to", "error")],
                ["r", "out0", f"{OUT}:{OUT_PORT}", "Network is down"], "what it names")
        send_until(lambda: d.stats()["rules"][0]["outputs"][0]["errors"] >= 20, 10, "errors")
        net.relay.run("ip", "link", "set", "out0", "up")
        works = r.fields(send_until(lambda: d.logged("send_works"), 15, "event=send_works")[0])
        t.equal([works[k] for k in ("rule", "interface", "to", "failed")],
                ["r", "out0", f"{OUT}:{OUT_PORT}", str(d.stats()["rules"][0]["outputs"][0]["errors"])], "what it names")
        t.equal((len(d.logged("send_failed")), len(d.logged("send_works"))), (1, 1), "lines")
        passes(net)


@t.test("a host that is not there, a port that nobody has: the rule is down and says why, until it gets through")
def dead_host():
    rules = [t.rule("gone", IN, PORT, [t.to_group(OUT, OUT_PORT), t.to_host("198.18.2.77", 6001)]),
             t.rule("shut", "239.255.0.2", PORT, [t.to_host("198.18.2.1", 6002)])]
    with t.line() as net, t.Mcrd(net.relay, rules) as d:
        net.relay.run("ip", "link", "set", "lo", "up")  # the kernel tells its own sockets by an ICMP error to itself
        sender = t.RawSender(net.src, "s0")

        def shown():
            sender.send(t.datagram(IN, PORT, b"x"), t.datagram("239.255.0.2", PORT, b"x"))
            return {r["name"]: (r["state"], r.get("reason") or "") for r in d.stats()["rules"]}

        def wait(seconds, want):
            with contextlib.suppress(t.Failure):
                t.wait_for(lambda: shown() == want, seconds)
            t.equal(shown(), want, "states and reasons")

        t.equal(shown(), {"gone": ("active", ""), "shut": ("active", "")}, "states before an answer")
        wait(15, {"gone": ("down", "to 198.18.2.77: No route to host (1 of 2 outputs)"),
                  "shut": ("down", "to 198.18.2.1: Connection refused")})
        outputs = [o for rule in d.stats()["rules"] for o in rule["outputs"]]
        t.equal([o["unreachable"] > 0 for o in outputs], [False, True, True], "outputs with answers")
        t.equal([o["errors"] for o in outputs], [0, 0, 0], "datagrams that the kernel refused")
        t.equal({(f["rule"], f["to"]) for f in map(r.fields, d.logged("send_failed"))},
                {("gone", "198.18.2.77:6001"), ("shut", "198.18.2.1:6002")}, "what the log names")
        net.dst.run("ip", "address", "add", "198.18.2.77/24", "dev", "d0")
        with contextlib.ExitStack() as listeners:
            for where in (("198.18.2.77", 6001), ("198.18.2.1", 6002)):
                listeners.enter_context(net.dst.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(where)
            wait(40, {"gone": ("active", ""), "shut": ("active", "")})
        t.equal((len(d.logged("send_failed")), len(d.logged("send_works"))), (2, 2), "lines")


@t.test("rare datagrams to a port that nobody has: the rule is down from the first answer until a datagram leaves without one")
def rare_and_refused():
    with t.line() as net, t.Mcrd(net.relay, [t.rule("traps", IN, PORT, [t.to_host("198.18.2.1", 6002)])]) as d:
        sender = t.RawSender(net.src, "s0")

        def send():
            before = d.stats()["rules"][0]["outputs"][0]["packets"]
            sender.send(t.datagram(IN, PORT, b"trap"))
            t.wait_for(lambda: d.stats()["rules"][0]["outputs"][0]["packets"] == before + 1, 5, "the datagram")

        def shown():
            rule = d.stats()["rules"][0]
            return rule["state"], rule.get("reason") or "", rule["outputs"][0]["unreachable"]

        refused = "to 198.18.2.1: Connection refused"
        send()
        time.sleep(.3)  # the answer comes, and nothing reads it
        t.equal(shown(), ("active", "", 0), "before the next datagram")
        send()
        t.wait_for(lambda: shown() == ("down", refused, 1), 2, "down with the first answer that is read")
        time.sleep(8.5)  # behind the time in which a stream that works would be active again
        t.equal(shown(), ("down", refused, 1), "without a datagram")
        send()
        time.sleep(.5)
        t.equal(shown(), ("down", refused, 2), "with the second answer, 8.5 s behind the first")
        with net.dst.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
            listener.bind(("198.18.2.1", 6002))
            send()  # reads the answer to the one before
            time.sleep(2.5)
            send()
            t.wait_for(lambda: shown() == ("active", "", 3), 8, "active again")
        t.equal((len(d.logged("send_failed")), len(d.logged("send_works"))), (1, 1), "lines")


class Systemd:
    """Its end of NOTIFY_SOCKET."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self.socket, self.other = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.other.connect(self.path)
        for s in (self.socket, self.other):
            s.setblocking(False)
        self.heard = []

    def fill(self):
        """Until there is no room."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.other.send(b"full")

    def hear(self):
        """What has come since it was filled, but the status lines that came before something else, and what the broker
        gives to the store (test_restart.py)."""
        with contextlib.suppress(BlockingIOError):
            while True:
                heard = self.socket.recv(2048)
                if not heard.startswith(b"FDSTORE"):
                    self.heard.append(heard)
        return [x for i, x in enumerate(self.heard)
                if x != b"full" and (not x.startswith(b"STATUS=") or i == len(self.heard) - 1)]

    def hears(self, *patterns):
        """Whether it hears these, and nothing else."""
        heard = []

        def last():
            heard[:] = self.hear()
            return len(heard) >= len(patterns)

        t.wait_for(last, 5, f"{patterns}")
        self.heard = []
        t.check(len(heard) == len(patterns) and all(map(re.fullmatch, patterns, heard)), f"{heard}, not {patterns}")


@t.test("READY and RELOADING that systemd's queue has no room for go out once it has, each once and in their order")
def notify_later():
    reload = (rb"RELOADING=1\nMONOTONIC_USEC=\d+", b"READY=1", b"STATUS=generation %d, .*")
    with t.line() as net:
        c = t.Config(RULE)
        systemd = Systemd(c.directory)
        systemd.fill()
        with t.Mcrd(net.relay, c, before=["env", f"NOTIFY_SOCKET={systemd.path}"]) as d:
            systemd.hears(b"READY=1", reload[2] % 1)
            systemd.fill()
            t.check("result=accepted" in (answer := d.reload()), answer)
            systemd.hears(*reload[:2], reload[2] % 2)
            t.check("result=accepted" in (answer := d.reload()), answer)
            systemd.hears(*reload[:2], reload[2] % 3)
            passes(net)


if __name__ == "__main__":
    t.main()
